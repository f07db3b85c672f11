/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What compiling a set found out, as octets: tiers, measures and databases, none of what the files
 * say. It is restored on top of the same files, read anew; that they are the same the key says, a
 * SHA-256 of all that compiling looks at.
 *
 *   struct kept | struct kept_rule[n_rules] | struct kept_slot[n_slots] | texts | blobs
 */

#include <errno.h>
#include <hs/hs.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_database.h"
#include "control/rules/rules_internal.h"
#include "postern/limits.h"

#define KEPT_MAGIC 0x504b5331u /* "PKS1" */
/* To be raised whenever the same rules would be compiled into something else. */
#define KEPT_VERSION 10u
#define ALIGN 64u

#define KEPT_PREFILTER 1u
#define KEPT_EMPTY 2u
#define KEPT_ABSENT_MATCH 4u
#define KEPT_WIDE 8u

struct kept {
	uint32_t magic, version;
	uint32_t n_rules, n_slots;
	uint64_t texts_len, blobs_len;
	uint8_t key[32], digest[32];
};

struct kept_rule {
	uint32_t tier, flags, why, n_literals;
	double gate, gb_s;
};

struct kept_slot {
	uint64_t blob_len;
	uint32_t number, n;
};

static bool add(EVP_MD_CTX *md, const void *p, size_t n)
{
	return EVP_DigestUpdate(md, p, n);
}

/* With its NUL, so that one cannot flow into the next; NULL is not "". */
static bool add_text(EVP_MD_CTX *md, const char *s)
{
	uint8_t there = s != NULL;

	return add(md, &there, 1) && (!s || add(md, s, strlen(s) + 1));
}

static bool add_rule(EVP_MD_CTX *md, const struct rule *rule, const struct rule_source *s)
{
	uint32_t n[] = {(uint32_t)rule->kind, (uint32_t)rule->tier, rule->slot, s->max_hits,
			rule->multiple, rule->negated, rule->exists, s->caseless, s->multiline,
			s->dotall, s->extended, s->has_default, s->no_subject};

	return add(md, n, sizeof(n)) && add_text(md, rule->name) && add_text(md, s->pattern) &&
	       add_text(md, s->expanded) && add_text(md, s->unset);
}

void rules_make_key(struct rules *r)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	hs_platform_info_t cpu;
	uint32_t head[4] = {KEPT_VERSION, (uint32_t)r->n, r->n_selectors, PCRE2_MAJOR * 1000 + PCRE2_MINOR};
	bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) && hs_populate_platform(&cpu) == HS_SUCCESS &&
		  add(md, head, sizeof(head)) && add_text(md, hs_version()) &&
		  add(md, &cpu.tune, sizeof(cpu.tune)) && add(md, &cpu.cpu_features, sizeof(cpu.cpu_features));

	for (size_t i = 0; ok && i < r->n; i++)
		ok = add_rule(md, &r->rule[i], &r->src[i]);
	for (unsigned int i = 0; ok && i < r->n_selectors; i++) {
		const struct content_selector *s = &r->selector[i];
		uint32_t n[4] = {(uint32_t)s->source, (uint32_t)s->form, (uint32_t)s->pick, (uint32_t)s->name.n};

		ok = add(md, n, sizeof(n)) && (!s->name.n || add(md, s->name.p, s->name.n));
	}
	if (!ok || !EVP_DigestFinal_ex(md, r->key, NULL))
		r->oom = true;
	EVP_MD_CTX_free(md);
}

/* ---- keeping ------------------------------------------------------------------------------ */

static size_t aligned(size_t n)
{
	return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static void keep_rules(const struct rules *r, struct kept_rule *to, char *texts)
{
	size_t at = 1; /* texts[0] is "" */

	for (size_t i = 0; i < r->n; i++) {
		const struct rule *rule = &r->rule[i];
		const struct rule_source *s = &r->src[i];
		size_t n = strlen(rule->why) + 1;

		to[i] = (struct kept_rule){
			.tier = (uint32_t)rule->tier, .n_literals = rule->n_literals, .gate = rule->gate,
			.gb_s = rule->gb_s, .why = n > 1 ? (uint32_t)at : 0,
			.flags = (rule->prefilter ? KEPT_PREFILTER : 0) | (s->empty ? KEPT_EMPTY : 0) |
				 (s->absent_match ? KEPT_ABSENT_MATCH : 0) | (s->wide ? KEPT_WIDE : 0)};
		if (n > 1)
			memcpy(texts + at, rule->why, n);
		at += n > 1 ? n : 0;
	}
}

int rules_keep(const struct rules *r, void **out, size_t *len)
{
	struct kept head = {.magic = KEPT_MAGIC, .version = KEPT_VERSION, .n_rules = (uint32_t)r->n,
			    .n_slots = (uint32_t)r->n_slots, .texts_len = 1};
	size_t slots = sizeof(head) + r->n * sizeof(struct kept_rule), texts, at;
	uint8_t *p;

	*out = NULL;
	memcpy(head.key, r->key, sizeof(head.key));
	memcpy(head.digest, r->digest, sizeof(head.digest));
	for (size_t i = 0; i < r->n; i++)
		head.texts_len += r->rule[i].why[0] ? strlen(r->rule[i].why) + 1 : 0;
	for (size_t i = 0; i < r->n_slots; i++)
		head.blobs_len += r->slot[i].blob ? aligned(r->slot[i].blob_len) : 0;
	texts = slots + r->n_slots * sizeof(struct kept_slot);
	at = aligned(texts + head.texts_len);
	*len = at + head.blobs_len;
	p = calloc(1, *len);
	if (!p)
		return -ENOMEM;
	memcpy(p, &head, sizeof(head));
	keep_rules(r, (struct kept_rule *)(void *)(p + sizeof(head)), (char *)p + texts);
	for (size_t i = 0; i < r->n_slots; i++) {
		const struct rules_slot *s = &r->slot[i];
		struct kept_slot to = {s->blob ? s->blob_len : 0, s->number, (uint32_t)s->n};

		memcpy(p + slots + i * sizeof(to), &to, sizeof(to));
		if (s->blob)
			memcpy(p + at, s->blob, s->blob_len);
		at += s->blob ? aligned(s->blob_len) : 0;
	}
	*out = p;
	return 0;
}

/* ---- restoring ---------------------------------------------------------------------------- */

/* Within its blob, so that rules_pack() reads nothing else. */
static bool blob_is_sound(const uint8_t *p, size_t len, size_t n)
{
	struct rules_blob_head h;
	uint64_t part[4][2];

	if (len < sizeof(h))
		return false;
	memcpy(&h, p, sizeof(h));
	part[0][0] = h.block_off, part[0][1] = h.block_len;
	part[1][0] = h.stream_off, part[1][1] = h.stream_len;
	part[2][0] = h.automaton_off, part[2][1] = h.automaton_len;
	part[3][0] = h.literals_off, part[3][1] = h.literals_len;
	for (int i = 0; i < 4; i++)
		if (part[i][0] % ALIGN || part[i][1] > len || part[i][0] > len - part[i][1])
			return false;
	return h.magic == RULES_BLOB_MAGIC && h.n_patterns == n;
}

static bool rule_is_sound(const struct rule *rule, const struct kept_rule *k, size_t texts_len)
{
	if (k->why >= texts_len)
		return false;
	if (!rules_has_pattern(rule))
		return k->tier == (uint32_t)rule->tier;
	if (k->flags & KEPT_WIDE)
		return k->tier == RULE_NOT_SUPPORTED;
	return k->tier <= RULE_CONTROL;
}

/* Where the parts are; false: they do not fit. */
static bool lay_out(const struct rules *r, const struct kept *h, size_t len, size_t at[3])
{
	if (h->n_rules != r->n || h->n_slots > VIEW_COUNT + CONTENT_MAX_SELECTORS + RULES_TOLD ||
	    h->texts_len < 1 || h->texts_len > len || h->blobs_len > len)
		return false;
	at[0] = sizeof(*h) + r->n * sizeof(struct kept_rule);
	at[1] = at[0] + h->n_slots * sizeof(struct kept_slot);
	at[2] = aligned(at[1] + h->texts_len);
	return at[2] + h->blobs_len == len;
}

static void restore_rules(struct rules *r, const uint8_t *from)
{
	for (size_t i = 0; i < r->n; i++) {
		struct rule *rule = &r->rule[i];
		struct kept_rule k;

		memcpy(&k, from + i * sizeof(k), sizeof(k));
		if (!rules_has_pattern(rule))
			continue;
		if (k.flags & KEPT_WIDE) {
			rules_leave_out_wide(r, i);
			continue;
		}
		rule->tier = (enum rule_tier)k.tier;
		rule->prefilter = k.flags & KEPT_PREFILTER;
		rule->n_literals = k.n_literals;
		rule->gate = k.gate;
		rule->gb_s = k.gb_s;
		rule->why = r->kept_text + k.why;
		r->src[i].empty = k.flags & KEPT_EMPTY;
		r->src[i].absent_match = k.flags & KEPT_ABSENT_MATCH;
	}
}

/* The slots follow from rules and tiers; what was kept must be of the same ones. */
static int restore_slots(struct rules *r, const uint8_t *slots, uint32_t n_slots, const uint8_t *blob,
			 size_t left)
{
	rules_make_slots(r);
	if (r->oom)
		return -ENOMEM;
	if (r->n_slots != n_slots)
		return -EBADMSG;
	for (size_t i = 0; i < r->n_slots; i++) {
		struct rules_slot *s = &r->slot[i];
		struct kept_slot k;

		memcpy(&k, slots + i * sizeof(k), sizeof(k));
		if (k.number != s->number || k.n != s->n || k.blob_len > left || aligned(k.blob_len) > left)
			return -EBADMSG;
		if (!k.blob_len)
			continue;
		if (!blob_is_sound(blob, k.blob_len, s->n))
			return -EBADMSG;
		/* A copy of Debian's 18 MB would be 4,500 page faults in the event loop. */
		s->borrowed = r->opt.kept && r->opt.kept_stays;
		s->blob = s->borrowed ? (void *)(uintptr_t)blob : aligned_alloc(ALIGN, aligned(k.blob_len));
		if (!s->blob)
			return -ENOMEM;
		if (!s->borrowed)
			memcpy(s->blob, blob, k.blob_len);
		s->blob_len = k.blob_len;
		blob += aligned(k.blob_len);
		left -= aligned(k.blob_len);
	}
	return left ? -EBADMSG : 0;
}

static void forget_slots(struct rules *r)
{
	for (size_t i = 0; i < r->n_slots; i++) {
		free(r->slot[i].rule);
		if (!r->slot[i].borrowed)
			free(r->slot[i].blob);
	}
	free(r->slot);
	r->slot = NULL;
	r->n_slots = 0;
}

/* A set as it was before, if what was kept turns out unsound. */
static int restore(struct rules *r, const uint8_t *p, const struct kept *h, const size_t at[3])
{
	struct rule *before = malloc((r->n + 1) * sizeof(*before));
	size_t issues = r->n_issues;
	int rc;

	if (!before)
		return -ENOMEM;
	memcpy(before, r->rule, r->n * sizeof(*before));
	restore_rules(r, p + sizeof(*h));
	rc = restore_slots(r, p + at[0], h->n_slots, p + at[2], h->blobs_len);
	if (rc) {
		forget_slots(r);
		memcpy(r->rule, before, r->n * sizeof(*before));
		while (r->n_issues > issues) {
			struct rules_issue *i = &r->issue[--r->n_issues];

			free(i->file);
			free(i->rule);
			free(i->reason);
		}
	}
	free(before);
	return rc;
}

int rules_restore(struct rules *r, const void *kept, size_t len)
{
	const uint8_t *p = kept;
	struct kept h;
	size_t at[3];
	int rc;

	if (len < sizeof(h))
		return -EBADMSG;
	memcpy(&h, p, sizeof(h));
	if (h.magic != KEPT_MAGIC || h.version != KEPT_VERSION)
		return -EBADMSG;
	if (memcmp(h.key, r->key, sizeof(h.key)) != 0)
		return -ESTALE;
	if (!lay_out(r, &h, len, at) || p[at[1] + h.texts_len - 1] != '\0')
		return -EBADMSG;
	for (size_t i = 0; i < r->n; i++) {
		struct kept_rule k;

		memcpy(&k, p + sizeof(h) + i * sizeof(k), sizeof(k));
		if (!rule_is_sound(&r->rule[i], &k, h.texts_len))
			return -EBADMSG;
	}
	r->kept_text = malloc(h.texts_len);
	if (!r->kept_text)
		return -ENOMEM;
	memcpy(r->kept_text, p + at[1], h.texts_len);
	rc = restore(r, p, &h, at);
	if (rc) {
		free(r->kept_text);
		r->kept_text = NULL;
		return rc;
	}
	memcpy(r->digest, h.digest, sizeof(r->digest));
	rules_make_plan(r);
	return 0;
}
