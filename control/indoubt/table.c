/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Slots of 64 octets behind a header page, 16 to a bucket. A killed writer may leave one half-written:
 * each carries a check over itself, and what does not fit is free. The check is keyed and so are the
 * buckets, so that nobody who chooses Message-IDs can aim at one.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "control/hash/sha256.h"
#include "control/hash/siphash.h"
#include "control/indoubt/indoubt.h"
#include "postern/limits.h"

#define MAGIC UINT64_C(0x31544255444f4e49)
#define BUCKET 16u
#define SLOTS (LIMIT_INDOUBT / BUCKET * BUCKET)
#define PAGE 4096u

enum state { FREE, PENDING, TAKEN, DOUBT };

struct slot {
	uint8_t key[16];   /* of message and recipient */
	uint64_t owner;    /* the process that wrote it; of TAKEN another's is in doubt */
	uint64_t expires;  /* seconds since 1970 */
	char trace_id[17];
	uint8_t state;
	uint8_t spare[6];
	uint64_t check;    /* over all of the above */
};
_Static_assert(sizeof(struct slot) == 64, "a line of the cache");

struct header {
	uint64_t magic, slots;
	uint8_t secret[16];
};

struct indoubt {
	int fd;
	struct header *header; /* the mapping */
	struct slot *slot;
	uint64_t owner;
	struct indoubt_stats stats;
};

struct indoubt_ticket {
	struct indoubt *table;
	size_t n;
	struct {
		uint32_t slot;
		uint8_t key[16];
	} entry[];
};

static uint64_t check_of(const struct indoubt *t, const struct slot *s)
{
	return siphash128(t->header->secret, (const uint8_t *)s, offsetof(struct slot, check)).lo;
}

/* What a reader takes it for. */
static enum state state_of(const struct indoubt *t, const struct slot *s, uint64_t now)
{
	if (s->state == FREE || s->check != check_of(t, s) || s->expires <= now)
		return FREE;
	if (s->owner == t->owner)
		return (enum state)s->state;
	return s->state == PENDING ? FREE : DOUBT;
}

/* Half of it in the file is FREE for whoever reads it next. */
static void write_slot(struct indoubt *t, struct slot *to, const struct slot *s)
{
	struct slot full = *s;

	full.check = check_of(t, &full);
	__atomic_store_n(&to->check, ~full.check, __ATOMIC_SEQ_CST);
	memcpy(to, &full, offsetof(struct slot, check));
	__atomic_store_n(&to->check, full.check, __ATOMIC_SEQ_CST);
}

static void clear_slot(struct slot *s)
{
	__atomic_store_n(&s->state, FREE, __ATOMIC_SEQ_CST);
}

/* ---- the file --------------------------------------------------------------------------------- */

static int make_new(int fd, size_t size)
{
	struct header h = {.magic = MAGIC, .slots = SLOTS};

	if (getrandom(h.secret, sizeof(h.secret), 0) != sizeof(h.secret))
		return -EIO;
	/* The zeros first: a file that has a header is whole. */
	if (ftruncate(fd, 0) || ftruncate(fd, (off_t)size))
		return -errno;
	/* Room for all of it now, so that no write to the mapping can fail (SIGBUS). */
	if (posix_fallocate(fd, 0, (off_t)size))
		return -ENOSPC;
	return pwrite(fd, &h, sizeof(h), 0) == sizeof(h) ? 0 : -EIO;
}

static int open_file(int fd, size_t size)
{
	struct header h;
	struct stat st;

	if (flock(fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size == size && pread(fd, &h, sizeof(h), 0) == sizeof(h) &&
	    h.magic == MAGIC && h.slots == SLOTS)
		/* It may be sparse: made by another program, or copied. */
		return posix_fallocate(fd, 0, (off_t)size) ? -ENOSPC : 0;
	return make_new(fd, size);
}

struct indoubt *indoubt_open(const char *path, char *err, size_t err_len)
{
	size_t size = PAGE + SLOTS * sizeof(struct slot);
	struct indoubt *t = calloc(1, sizeof(*t));
	int rc = -ENOMEM;
	void *p;

	if (!t)
		goto fail;
	t->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	rc = t->fd < 0 ? -errno : open_file(t->fd, size);
	if (rc)
		goto fail;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	rc = p == MAP_FAILED ? -errno : 0;
	if (rc)
		goto fail;
	t->header = p;
	t->slot = (struct slot *)(void *)((uint8_t *)p + PAGE);
	if (getrandom(&t->owner, sizeof(t->owner), 0) != sizeof(t->owner)) {
		rc = -EIO;
		goto fail;
	}
	return t;
fail:
	snprintf(err, err_len, "%s: %s", path,
		 rc == -EBUSY ? "another process has it" : strerror(-rc));
	if (t)
		indoubt_close(t);
	return NULL;
}

void indoubt_close(struct indoubt *t)
{
	if (!t)
		return;
	if (t->header)
		munmap(t->header, PAGE + SLOTS * sizeof(struct slot));
	if (t->fd >= 0)
		close(t->fd);
	free(t);
}

/* ---- what a message is ------------------------------------------------------------------------- */

static void add(EVP_MD_CTX *ctx, struct str s)
{
	uint64_t n = s.n;

	/* The length in front: no two lists of strings are the same octets. */
	EVP_DigestUpdate(ctx, &n, sizeof(n));
	EVP_DigestUpdate(ctx, s.n ? (const void *)s.p : "", s.n);
}

static void add_body(EVP_MD_CTX *ctx, const struct headers *h, const struct mail_bytes *content)
{
	size_t skip = h->body_off;

	for (size_t i = 0; i < content->n_iov; i++) {
		const struct iovec *v = &content->iov[i];

		if (skip < v->iov_len)
			EVP_DigestUpdate(ctx, (const uint8_t *)v->iov_base + skip, v->iov_len - skip);
		skip -= skip < v->iov_len ? skip : v->iov_len;
	}
}

bool indoubt_identify(const struct headers *h, const struct mail_bytes *content,
		      struct str mail_from, struct indoubt_id *id)
{
	static const struct str names[] = {STR("Message-ID"), STR("Date"), STR("From"), STR("To"),
					   STR("Subject"), STR("DKIM-Signature")};
	size_t first = headers_find(h, names[0], 0);
	EVP_MD_CTX *ctx;
	bool ok;

	if (first >= h->n || headers_find(h, names[0], first + 1) < h->n)
		return false;
	ctx = EVP_MD_CTX_new();
	ok = ctx && hash_sha256() && EVP_DigestInit_ex2(ctx, hash_sha256(), NULL) == 1;
	if (ok) {
		add(ctx, mail_from);
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			for (size_t k = headers_find(h, names[i], 0); k < h->n;
			     k = headers_find(h, names[i], k + 1))
				add(ctx, header_value(h, k));
			add(ctx, STR_NONE);
		}
		add_body(ctx, h, content);
		ok = EVP_DigestFinal_ex(ctx, id->digest, NULL) == 1;
	}
	EVP_MD_CTX_free(ctx);
	return ok;
}

/* Of one recipient, octet by octet: a retry says the same, and two mailboxes may differ in case. */
static void key_of(const struct indoubt *t, const struct indoubt_id *id, struct str rcpt,
		   uint8_t key[16])
{
	uint8_t text[sizeof(id->digest) + LIMIT_PATH];
	size_t n = rcpt.n < LIMIT_PATH ? rcpt.n : LIMIT_PATH;
	struct siphash128 h;

	memcpy(text, id->digest, sizeof(id->digest));
	if (n)
		memcpy(text + sizeof(id->digest), rcpt.p, n);
	h = siphash128(t->header->secret, text, sizeof(id->digest) + n);
	memcpy(key, &h.lo, 8);
	memcpy(key + 8, &h.hi, 8);
}

static struct slot *bucket_of(struct indoubt *t, const uint8_t key[16])
{
	uint64_t at;

	memcpy(&at, key, sizeof(at));
	return t->slot + at % (SLOTS / BUCKET) * BUCKET;
}

/* ---- entries ----------------------------------------------------------------------------------- */

static struct slot *find(struct indoubt *t, const uint8_t key[16], uint64_t now)
{
	struct slot *b = bucket_of(t, key);

	for (unsigned int i = 0; i < BUCKET; i++)
		if (memcmp(b[i].key, key, 16) == 0 && state_of(t, &b[i], now) == DOUBT)
			return &b[i];
	return NULL;
}

/* Entries of these recipients, for who sets them; NULL: -ENOMEM. */
static struct indoubt_ticket *ticket_new(struct indoubt *t, const struct indoubt_id *id,
					 const struct str *rcpt, size_t n)
{
	struct indoubt_ticket *k = calloc(1, sizeof(*k) + n * sizeof(k->entry[0]));

	if (!k)
		return NULL;
	k->table = t;
	k->n = n;
	for (size_t i = 0; i < n; i++)
		key_of(t, id, rcpt[i], k->entry[i].key);
	return k;
}

struct indoubt_ticket *indoubt_claim(struct indoubt *t, const struct indoubt_id *id,
				     const struct str *rcpt, size_t n, uint64_t now_s,
				     char trace_id[17])
{
	struct indoubt_ticket *k = ticket_new(t, id, rcpt, n);
	struct slot *s = NULL, ours;

	for (size_t i = 0; k && i < n; i++) {
		s = find(t, k->entry[i].key, now_s);
		if (!s) {
			free(k);
			return NULL;
		}
		k->entry[i].slot = (uint32_t)(s - t->slot);
	}
	if (!k || !s) {
		free(k);
		return NULL;
	}
	memcpy(trace_id, s->trace_id, 16);
	trace_id[16] = '\0';
	for (size_t i = 0; i < n; i++) {
		s = &t->slot[k->entry[i].slot];
		ours = *s;
		ours.owner = t->owner;
		ours.state = TAKEN;
		write_slot(t, s, &ours);
	}
	t->stats.answered++;
	return k;
}

/* A free slot, else the one that ends first: of those in doubt, if there is one. */
static struct slot *place(struct indoubt *t, const uint8_t key[16], uint64_t now)
{
	struct slot *b = bucket_of(t, key), *worst = NULL;

	for (unsigned int i = 0; i < BUCKET; i++) {
		if (state_of(t, &b[i], now) == FREE)
			return &b[i];
		if (!worst || b[i].expires < worst->expires)
			worst = &b[i];
	}
	t->stats.pushed_out++;
	return worst;
}

struct indoubt_ticket *indoubt_begin(struct indoubt *t, const struct indoubt_id *id,
				     const struct str *rcpt, size_t n, const char *trace_id,
				     uint64_t now_s)
{
	struct indoubt_ticket *k = ticket_new(t, id, rcpt, n);

	for (size_t i = 0; k && i < n; i++) {
		struct slot *to = place(t, k->entry[i].key, now_s);
		struct slot s = {.owner = t->owner, .expires = now_s + LIMIT_INDOUBT_S,
				 .state = PENDING};

		memcpy(s.key, k->entry[i].key, sizeof(s.key));
		snprintf(s.trace_id, sizeof(s.trace_id), "%s", trace_id);
		write_slot(t, to, &s);
		k->entry[i].slot = (uint32_t)(to - t->slot);
	}
	return k;
}

/* Another message may have pushed ours out. */
static struct slot *own(struct indoubt_ticket *k, size_t i)
{
	struct slot *s = &k->table->slot[k->entry[i].slot];

	return s->state != FREE && s->owner == k->table->owner &&
		       memcmp(s->key, k->entry[i].key, sizeof(s->key)) == 0
		       ? s : NULL;
}

static void set_state(struct indoubt_ticket *k, enum state state)
{
	for (size_t i = 0; i < k->n; i++) {
		struct slot *s = own(k, i), changed;

		if (!s)
			continue;
		if (state == FREE) {
			clear_slot(s);
			continue;
		}
		changed = *s;
		changed.state = (uint8_t)state;
		write_slot(k->table, s, &changed);
	}
}

void indoubt_taken(struct indoubt_ticket *k)
{
	set_state(k, TAKEN);
}

void indoubt_keep(struct indoubt_ticket *k)
{
	if (!k)
		return;
	set_state(k, DOUBT);
	k->table->stats.kept += k->n;
	free(k);
}

void indoubt_drop(struct indoubt_ticket *k)
{
	if (!k)
		return;
	set_state(k, FREE);
	free(k);
}

void indoubt_stats(const struct indoubt *t, uint64_t now_s, struct indoubt_stats *out)
{
	*out = t->stats;
	out->slots = SLOTS;
	for (uint32_t i = 0; i < SLOTS; i++) {
		enum state s = state_of(t, &t->slot[i], now_s);

		out->used += s != FREE;
		out->doubt += s == DOUBT;
	}
}
