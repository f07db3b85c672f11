/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Slots of 32 octets behind a header page, 16 to a bucket. Keys and buckets are keyed hashes:
 * nobody who chooses addresses can aim at a bucket. A killed writer may leave a slot half-written:
 * each carries a check over itself, and what does not fit is free.
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

#include "control/greylist/greylist.h"
#include "control/hash/siphash.h"
#include "postern/limits.h"

#define MAGIC  UINT64_C(0x315453494c595247)
#define BUCKET 16u
#define SLOTS  (LIMIT_GREYLIST / BUCKET * BUCKET)
#define PAGE   4096u
#define SIZE   (PAGE + SLOTS * sizeof(struct slot))

/* Ascending by worth. */
enum state { FREE, WAITING, PASSED, KNOWN };

struct slot {
	uint8_t key[16];
	uint32_t first; /* seconds since 1970; of WAITING: the first attempt */
	uint32_t expires;
	uint8_t state;
	uint8_t spare[3];
	uint32_t check; /* over all of the above */
};
_Static_assert(sizeof(struct slot) == 32, "two to a line of the cache");

struct header {
	uint64_t magic, slots;
	uint8_t secret[16];
};

struct greylist {
	int fd;
	struct header *header; /* the mapping */
	struct slot *slot;
	struct greylist_stats stats;
};

/* ---- the file ---------------------------------------------------------------------------------
 */

static int make_new(int fd)
{
	struct header h = {.magic = MAGIC, .slots = SLOTS};

	if (getrandom(h.secret, sizeof(h.secret), 0) != sizeof(h.secret))
		return -EIO;
	/* The zeros first: a file that has a header is whole. */
	if (ftruncate(fd, 0) || ftruncate(fd, (off_t)SIZE))
		return -errno;
	/* Room for all of it now, so that no write to the mapping can fail (SIGBUS). */
	if (posix_fallocate(fd, 0, (off_t)SIZE))
		return -ENOSPC;
	return pwrite(fd, &h, sizeof(h), 0) == sizeof(h) ? 0 : -EIO;
}

static int open_file(int fd)
{
	struct header h;
	struct stat st;

	if (flock(fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size == SIZE && pread(fd, &h, sizeof(h), 0) == sizeof(h) &&
	    h.magic == MAGIC && h.slots == SLOTS)
		return posix_fallocate(fd, 0, (off_t)SIZE) ? -ENOSPC : 0;
	return make_new(fd);
}

struct greylist *greylist_open(const char *path, char *err, size_t err_len)
{
	struct greylist *g = calloc(1, sizeof(*g));
	int rc = -ENOMEM;
	void *p;

	if (!g)
		goto fail;
	g->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
	rc = g->fd < 0 ? -errno : open_file(g->fd);
	if (rc)
		goto fail;
	p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	rc = p == MAP_FAILED ? -errno : 0;
	if (rc)
		goto fail;
	g->header = p;
	g->slot = (struct slot *)(void *)((uint8_t *)p + PAGE);
	return g;
fail:
	snprintf(err, err_len, "%s: %s", path,
		 rc == -EBUSY ? "another process has it" : strerror(-rc));
	greylist_close(g);
	return NULL;
}

void greylist_close(struct greylist *g)
{
	if (!g)
		return;
	if (g->header)
		munmap(g->header, SIZE);
	if (g->fd >= 0)
		close(g->fd);
	free(g);
}

/* ---- keys ---------------------------------------------------------------------------------------
 */

static struct ip_net net_of(const struct ip_addr *ip, unsigned int prefix_v4,
			    unsigned int prefix_v6)
{
	struct ip_net net = {.addr = *ip,
			     .prefix = (uint8_t)(ip_is_v4(ip) ? 96 + prefix_v4 : prefix_v6)};

	for (unsigned int bit = net.prefix; bit < 128; bit++)
		net.addr.a[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
	return net;
}

struct greylist_source greylist_source(const struct ip_addr *ip, unsigned int prefix_v4,
				       unsigned int prefix_v6)
{
	return (struct greylist_source){.net = net_of(ip, prefix_v4, prefix_v6),
					.host = net_of(ip, 32, 64)};
}

struct text {
	uint8_t p[sizeof(struct ip_net) + MAIL_ALABEL + 2 * (LIMIT_ONWARD_PATH + 4) + 4];
	size_t n;
};

/* The length in front: no two lists of strings are the same octets. Without the case of ASCII: some
 * senders change it between two attempts. */
static void add(struct text *t, struct str s)
{
	if (s.n > LIMIT_ONWARD_PATH)
		s.n = LIMIT_ONWARD_PATH;
	t->p[t->n++] = (uint8_t)(s.n >> 8);
	t->p[t->n++] = (uint8_t)s.n;
	for (size_t i = 0; i < s.n; i++)
		t->p[t->n++] = ascii_lower(s.p[i]);
}

static void add_source(struct text *t, struct str domain, const struct ip_net *net)
{
	add(t, domain);
	if (domain.n)
		return;
	memcpy(t->p + t->n, net->addr.a, sizeof(net->addr.a));
	t->n += sizeof(net->addr.a);
	t->p[t->n++] = net->prefix;
}

static void hash(const struct greylist *g, const struct text *t, uint8_t key[16])
{
	struct siphash128 h = siphash128(g->header->secret, t->p, t->n);

	memcpy(key, &h.lo, 8);
	memcpy(key + 8, &h.hi, 8);
}

static void key_of(const struct greylist *g, const struct greylist_source *from,
		   struct str mail_from, struct str rcpt, uint8_t key[16])
{
	struct text t = {.p = "T", .n = 1};

	add_source(&t, from->domain, &from->net);
	add(&t, mail_from);
	add(&t, rcpt);
	hash(g, &t, key);
}

static void source_key(const struct greylist *g, const struct greylist_source *from,
		       uint8_t key[16])
{
	struct text t = {.p = "S", .n = 1};

	add_source(&t, from->domain, &from->host);
	hash(g, &t, key);
}

/* ---- slots --------------------------------------------------------------------------------------
 */

static uint32_t check_of(const struct greylist *g, const struct slot *s)
{
	return (uint32_t)siphash128(g->header->secret, (const uint8_t *)s,
				    offsetof(struct slot, check))
		.lo;
}

static enum state state_of(const struct greylist *g, const struct slot *s, uint64_t now)
{
	if (s->state == FREE || s->state > KNOWN || s->expires <= now || s->check != check_of(g, s))
		return FREE;
	return (enum state)s->state;
}

static struct slot *bucket_of(const struct greylist *g, const uint8_t key[16])
{
	uint64_t at;

	memcpy(&at, key, sizeof(at));
	return g->slot + at % (SLOTS / BUCKET) * BUCKET;
}

static struct slot *find(const struct greylist *g, const uint8_t key[16], uint64_t now)
{
	struct slot *b = bucket_of(g, key);

	for (unsigned int i = 0; i < BUCKET; i++)
		if (memcmp(b[i].key, key, 16) == 0 && state_of(g, &b[i], now) != FREE)
			return &b[i];
	return NULL;
}

static struct slot *place(struct greylist *g, const uint8_t key[16], uint64_t now)
{
	struct slot *b = bucket_of(g, key), *worst = NULL;

	for (unsigned int i = 0; i < BUCKET; i++) {
		if (state_of(g, &b[i], now) == FREE)
			return &b[i];
		if (!worst || b[i].state < worst->state ||
		    (b[i].state == worst->state && b[i].expires < worst->expires))
			worst = &b[i];
	}
	g->stats.pushed_out++;
	return worst;
}

/* Half of it in the file is free for whoever reads it next. */
static void put(struct greylist *g, struct slot *to, const uint8_t key[16], enum state state,
		uint64_t first, uint64_t expires)
{
	struct slot s = {
		.first = (uint32_t)first, .expires = (uint32_t)expires, .state = (uint8_t)state};

	memcpy(s.key, key, sizeof(s.key));
	s.check = check_of(g, &s);
	__atomic_store_n(&to->check, ~s.check, __ATOMIC_SEQ_CST);
	memcpy(to, &s, offsetof(struct slot, check));
	__atomic_store_n(&to->check, s.check, __ATOMIC_SEQ_CST);
}

/* ---- questions ----------------------------------------------------------------------------------
 */

struct found {
	uint8_t key[16], source[16];
	struct slot *slot, *known;
};

static enum greylist_answer look(struct greylist *g, const struct greylist_source *from,
				 struct str mail_from, struct str rcpt,
				 const struct greylist_rules *r, uint64_t now, struct found *f)
{
	source_key(g, from, f->source);
	key_of(g, from, mail_from, rcpt, f->key);
	f->known = find(g, f->source, now);
	f->slot = find(g, f->key, now);
	if (f->known)
		return GREYLIST_KNOWN;
	if (!f->slot)
		return GREYLIST_FIRST;
	if (f->slot->state == PASSED)
		return GREYLIST_PASSED;
	/* The clock went back: nobody is to wait for it. Or the window is shorter than it was. */
	if (f->slot->first > now || now - f->slot->first >= r->window_s)
		return GREYLIST_FIRST;
	return now - f->slot->first < r->delay_s ? GREYLIST_EARLY : GREYLIST_PASSED;
}

enum greylist_answer greylist_look(struct greylist *g, const struct greylist_source *from,
				   struct str mail_from, struct str rcpt,
				   const struct greylist_rules *r, uint64_t now_s)
{
	struct found f;

	return look(g, from, mail_from, rcpt, r, now_s, &f);
}

enum greylist_answer greylist_ask(struct greylist *g, const struct greylist_source *from,
				  struct str mail_from, struct str rcpt,
				  const struct greylist_rules *r, uint64_t now_s, uint32_t *wait_s)
{
	struct found f;
	enum greylist_answer a = look(g, from, mail_from, rcpt, r, now_s, &f);

	*wait_s = 0;
	switch (a) {
	case GREYLIST_FIRST:
		*wait_s = r->delay_s;
		put(g, f.slot ? f.slot : place(g, f.key, now_s), f.key, WAITING, now_s,
		    now_s + r->window_s);
		break;
	case GREYLIST_EARLY:
		*wait_s = r->delay_s - (uint32_t)(now_s - f.slot->first);
		break;
	case GREYLIST_PASSED:
		put(g, f.slot, f.key, PASSED, f.slot->first, now_s + r->lifetime_s);
		break;
	case GREYLIST_KNOWN:
		break; /* its time is that of messages that were taken */
	}
	return a;
}

void greylist_accept(struct greylist *g, const struct greylist_source *from,
		     const struct greylist_rules *r, uint64_t now_s)
{
	uint8_t key[16];
	struct slot *s;

	source_key(g, from, key);
	s = find(g, key, now_s);
	put(g, s ? s : place(g, key, now_s), key, KNOWN, now_s, now_s + r->lifetime_s);
}

void greylist_stats(const struct greylist *g, struct greylist_stats *out)
{
	*out = g->stats;
}
