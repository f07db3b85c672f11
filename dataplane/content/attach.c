/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* SHA256_Init() and its kind: EVP allocates, and this runs where nothing may. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "dataplane/content/attach.h"

#include <openssl/sha.h>
#include <string.h>

#include "dataplane/content/sniff.h"

_Static_assert(sizeof(SHA256_CTX) <= ATTACH_SHA256_STATE, "room for the state of SHA-256");

#define ISO_AT 32769u /* ECMA-119 8: a descriptor's identifier, in sector 16 */

/* APPNOTE 4.3.7, 4.3.12 */
#define LOCAL_SIZE 30u
#define CENTRAL_SIZE 46u
#define FLAG_ENCRYPTED 1u
/* What is written into archives today; higher is chance. */
#define MAX_VERSION 100u
#define MAX_METHOD 100u

void content_attach_init(struct content_attach *a)
{
	keyed_init(&a->key);
}

void content_attach_begin(struct content_attach *a, bool hash, uint32_t most,
			  void (*member)(void *ctx, struct str name, uint32_t flags), void *ctx)
{
	a->size = 0;
	a->n_head = a->n_tail = 0;
	a->n_members = a->n_entries = 0;
	a->most = most < ATTACH_MEMBERS ? most : ATTACH_MEMBERS;
	a->office = a->java = a->broken = false;
	memset(a->iso, 0, sizeof(a->iso));
	a->hash = hash;
	a->member = member;
	a->ctx = ctx;
	if (hash)
		SHA256_Init((SHA256_CTX *)(void *)a->sha);
}

static uint32_t u16(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8;
}

static bool is_name(struct str name, struct str of)
{
	return name.n >= of.n && memcmp(name.p + name.n - of.n, of.p, of.n) == 0;
}

/* Each name once: local header and central directory mostly agree. */
static void tell(struct content_attach *a, struct str name, uint32_t flags)
{
	/* One that was cut is not the one that is as long as it was cut to. */
	uint64_t h = keyed_hash(&a->key, name) + (flags & (ATTACH_MEMBER_ENCRYPTED | ATTACH_MEMBER_CUT));

	a->office |= is_name(name, STR("[Content_Types].xml"));
	a->java |= is_name(name, STR("META-INF/MANIFEST.MF"));
	for (uint32_t i = 0; i < a->n_members; i++)
		if (a->seen[i] == h)
			return;
	if (a->n_members == a->most) {
		a->broken = true;
		return;
	}
	a->seen[a->n_members++] = h;
	if (a->member)
		a->member(a->ctx, name, flags);
}

/* p begins with "P": a header with its name, as far as the n octets go. */
static void entry(struct content_attach *a, const uint8_t *p, size_t n)
{
	bool central = p[2] == 1;
	size_t size = central ? CENTRAL_SIZE : LOCAL_SIZE, len;
	uint32_t flags;

	if (n < size) {
		a->broken = true;
		return;
	}
	if (p[central ? 6 : 4] > MAX_VERSION || u16(p + (central ? 10 : 8)) > MAX_METHOD)
		return;
	if (a->n_entries == ATTACH_ENTRIES) {
		a->broken = true;
		return;
	}
	a->n_entries++;
	flags = (central ? ATTACH_MEMBER_CENTRAL : 0) |
		(u16(p + (central ? 8 : 6)) & FLAG_ENCRYPTED ? ATTACH_MEMBER_ENCRYPTED : 0);
	len = u16(p + (central ? 28 : 26));
	if (len > ATTACH_NAME) {
		len = ATTACH_NAME;
		flags |= ATTACH_MEMBER_CUT;
	}
	if (len > n - size) {
		len = n - size;
		flags |= ATTACH_MEMBER_CUT;
		a->broken = true;
	}
	if (len)
		tell(a, str_make(p + size, len), flags);
}

/* Headers that begin in the first `begin` of n octets. */
static void entries(struct content_attach *a, const uint8_t *p, size_t n, size_t begin)
{
	size_t i = 0;

	while (i < begin) {
		const uint8_t *at = memchr(p + i, 'P', begin - i);

		if (!at)
			return;
		i = (size_t)(at - p);
		if (n - i >= 4 && at[1] == 'K' &&
		    ((at[2] == 3 && at[3] == 4) || (at[2] == 1 && at[3] == 2)))
			entry(a, at, n - i);
		i++;
	}
}

/* Only a header whose name has certainly all come is looked at; the octets it may have begun in wait. */
static void zip(struct content_attach *a, const uint8_t *p, size_t n)
{
	uint8_t both[2 * (ATTACH_ENTRY - 1)];
	size_t keep = ATTACH_ENTRY - 1, k = n < keep ? n : keep, have = a->n_tail + k;

	if (a->n_tail) {
		memcpy(both, a->tail, a->n_tail);
		memcpy(both + a->n_tail, p, k);
		if (have > keep)
			entries(a, both, have, have - keep < a->n_tail ? have - keep : a->n_tail);
	}
	if (n > keep)
		entries(a, p, n, n - keep);
	if (n >= keep) {
		memcpy(a->tail, p + n - keep, keep);
		a->n_tail = (uint16_t)keep;
		return;
	}
	/* n == k: what is left of both. */
	if (!a->n_tail)
		memcpy(both, p, k);
	k = have > keep ? have - keep : 0;
	memcpy(a->tail, both + k, have - k);
	a->n_tail = (uint16_t)(have - k);
}

void content_attach_feed(struct content_attach *a, const uint8_t *p, size_t n)
{
	if (!n)
		return;
	if (a->n_head < ATTACH_HEAD) {
		size_t k = ATTACH_HEAD - a->n_head;

		k = k < n ? k : n;
		memcpy(a->head + a->n_head, p, k);
		a->n_head = (uint16_t)(a->n_head + k);
	}
	if (a->size <= ISO_AT + sizeof(a->iso))
		for (size_t i = 0; i < sizeof(a->iso); i++)
			if (ISO_AT + i >= a->size && ISO_AT + i - a->size < n)
				a->iso[i] = p[ISO_AT + i - a->size];
	if (a->hash)
		SHA256_Update((SHA256_CTX *)(void *)a->sha, p, n);
	zip(a, p, n);
	a->size += n;
}

enum content_type content_attach_end(struct content_attach *a, uint8_t *sha256)
{
	enum content_type t;

	entries(a, a->tail, a->n_tail, a->n_tail);
	if (a->hash && sha256)
		SHA256_Final(sha256, (SHA256_CTX *)(void *)a->sha);
	if (!a->size)
		return CONTENT_TYPE_empty;
	t = sniff_head(a->head, a->n_head);
	if (t == CONTENT_TYPE_zip)
		return a->office ? CONTENT_TYPE_ooxml : a->java ? CONTENT_TYPE_jar : t;
	if (t == CONTENT_TYPE_unknown && memcmp(a->iso, "CD001", 5) == 0)
		return CONTENT_TYPE_iso;
	if (t == CONTENT_TYPE_unknown && (memcmp(a->iso, "BEA01", 5) == 0 || memcmp(a->iso, "NSR0", 4) == 0))
		return CONTENT_TYPE_udf;
	return t;
}

bool content_attach_broken(const struct content_attach *a)
{
	return a->broken;
}

const char *content_type_name(enum content_type t)
{
	static const char *const name[] = {
#define X(n) #n,
		CONTENT_TYPES(X)
#undef X
	};

	return t < CONTENT_TYPE_COUNT ? name[t] : "unknown";
}
