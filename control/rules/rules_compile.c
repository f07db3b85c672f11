/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Patterns → PCRE2 code, and what is looked for in each slot → Hyperscan databases.
 *
 * PCRE2 speaks first: it knows the language of the rules as a whole and says where a pattern is
 * wrong. What the dataplane has of a pattern is rules_plan.c's choice: itself, an approximation of
 * it, or literals. Block and streaming database hold the same under the same ids.
 */

#include <errno.h>
#include <hs/hs.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_cache.h"
#include "control/rules/rules_database.h"
#include "control/rules/rules_internal.h"
#include "postern/clock.h"
#include "postern/limits.h"

/* In place of a mode of Hyperscan's: the whole set. */
#define KEPT_MODE 0x4b455054u

static pcre2_code *pcre(const struct rule_source *s, const char *pattern, bool lenient, int *error,
			size_t *at)
{
	uint32_t options = PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C |
			   PCRE2_USE_OFFSET_LIMIT |
			   (s->caseless ? PCRE2_CASELESS : 0) | (s->multiline ? PCRE2_MULTILINE : 0) |
			   (s->dotall ? PCRE2_DOTALL : 0) | (s->extended ? PCRE2_EXTENDED : 0);
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	pcre2_code *code = NULL;

	*error = PCRE2_ERROR_HEAP_FAILED;
	if (!context)
		return NULL;
	pcre2_set_newline(context, PCRE2_NEWLINE_LF);
	/* Perl takes an escaped letter that means nothing as the letter. */
	if (lenient)
		pcre2_set_compile_extra_options(context, PCRE2_EXTRA_BAD_ESCAPE_IS_LITERAL);
	code = pcre2_compile((PCRE2_SPTR)pattern, strlen(pattern), options, error, at, context);
	pcre2_compile_context_free(context);
	return code;
}

/* UTF and \C would change what an octet is; all texts here are octets. */
static pcre2_code *make_code(struct rules *r, const struct rule_source *s, int *error, size_t *at)
{
	pcre2_code *code = pcre(s, rule_pattern(s), false, error, at);

	if (!code && *error == PCRE2_ERROR_UNKNOWN_ESCAPE)
		code = pcre(s, rule_pattern(s), true, error, at);
	if (!code && s->expanded && *error == PCRE2_ERROR_PATTERN_TOO_LARGE) {
		char *calls = rules_replace_by_calls(r, s);
		int other = 0;

		if (calls)
			code = pcre(s, calls, false, &other, at);
		free(calls);
	}
	/* Without JIT (no executable memory) the interpreter does the same. */
	if (code)
		pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
	return code;
}

const pcre2_code *rules_code(const struct rules *r, size_t i)
{
	struct rule_source *s = &r->src[i];
	size_t at = 0;
	int error;

	/* A set that was restored holds only patterns that PCRE2 took in the process that compiled it. */
	if (!s->code)
		s->code = make_code((struct rules *)r, s, &error, &at);
	return s->code;
}

bool rules_warm(const struct rules *r, size_t *at, unsigned int us)
{
	uint64_t until = clock_mono_us() + us;

	for (; *at < r->n; ++*at) {
		if (us && clock_mono_us() >= until)
			return false;
		if (rules_has_pattern(&r->rule[*at]))
			(void)rules_code(r, *at);
	}
	return true;
}

/* No text here holds such a character, so the rule could never hit; its author meant another setting
 * of SpamAssassin's. */
void rules_leave_out_wide(struct rules *r, size_t i)
{
	r->src[i].wide = true;
	r->rule[i].tier = RULE_NOT_SUPPORTED;
	r->rule[i].why = "a character above 0xff: texts are octets here, UTF-8 as it is";
	rules_issue_add(r, RULES_UNSUPPORTED, r->src[i].file, r->src[i].line, r->rule[i].name, "%s",
			r->rule[i].why);
}

static void compile_pcre(struct rules *r, size_t i)
{
	struct rule_source *s = &r->src[i];
	uint32_t empty = 0;
	size_t at = 0;
	int error = 0;
	char text[160];

	s->code = make_code(r, s, &error, &at);
	if (s->code) {
		pcre2_pattern_info(s->code, PCRE2_INFO_MATCHEMPTY, &empty);
		s->empty = empty;
		return;
	}
	if (error == PCRE2_ERROR_HEAP_FAILED)
		r->oom = true;
	if (error == PCRE2_ERROR_CODE_POINT_TOO_BIG) {
		rules_leave_out_wide(r, i);
		return;
	}
	pcre2_get_error_message(error, (PCRE2_UCHAR *)text, sizeof(text));
	rules_issue_add(r, RULES_ERROR, s->file, s->line, r->rule[i].name,
			"bad pattern: %s (at octet %zu of the pattern)", text, at);
}

/* What a header that is not there stands for is known now. */
static void look_at_absence(struct rules *r, size_t i, struct rules_matcher *m)
{
	const struct rules_slot whole = {0};
	struct rule_source *s = &r->src[i];
	struct str text = s->has_default && s->unset ? str_c(s->unset) : STR("");

	/* Compiling all patterns takes longer than a message may. */
	rules_matcher_begin(m);
	s->absent_match = rules_match(m, s, &whole, text, 1, NULL) > 0;
}

bool rules_has_pattern(const struct rule *rule)
{
	return rule->kind < RULE_META && !rule->exists && rule->tier != RULE_NOT_SUPPORTED &&
	       rule->tier != RULE_OFF;
}

static bool compile_codes(struct rules *r)
{
	struct rules_matcher *m = rules_matcher_new();

	r->oom |= !m;
	for (size_t i = 0; i < r->n && !r->oom; i++) {
		if (!rules_has_pattern(&r->rule[i]))
			continue;
		compile_pcre(r, i);
		if (!r->src[i].code)
			continue;
		look_at_absence(r, i, m);
		rules_analyse(r, i);
		if (r->opt.progress)
			r->opt.progress(r->opt.arg, "patterns", i + 1, r->n);
	}
	rules_matcher_free(m);
	return !r->error && !r->oom;
}

/* ---- slots -------------------------------------------------------------------------------- */

static bool is_lines(const struct rules *r, uint16_t slot)
{
	if (slot == VIEW_BODY || slot == VIEW_URI)
		return true;
	return slot >= CONTENT_SLOT_SELECTOR && slot < CONTENT_SLOT_SELECTOR + r->n_selectors &&
	       r->selector[slot - CONTENT_SLOT_SELECTOR].source == CONTENT_MIMEFIELD;
}

static void slot_add(struct rules *r, size_t rule)
{
	uint16_t number = r->rule[rule].slot;
	struct rules_slot *s = (struct rules_slot *)rules_slot_at(r, number);

	if (!s) {
		s = &r->slot[r->n_slots++];
		*s = (struct rules_slot){.number = number, .lines = is_lines(r, number),
					 .line_feed = number != VIEW_URI};
		s->rule = calloc(r->n, sizeof(*s->rule));
		if (!s->rule) {
			r->oom = true;
			return;
		}
	}
	r->rule[rule].id = (uint32_t)s->n;
	s->rule[s->n++] = (uint32_t)rule;
}

void rules_make_slots(struct rules *r)
{
	r->slot = calloc((size_t)VIEW_COUNT + CONTENT_MAX_SELECTORS + RULES_TOLD, sizeof(*r->slot));
	if (!r->slot) {
		r->oom = true;
		return;
	}
	for (size_t i = 0; i < r->n && !r->oom; i++)
		if (rules_has_pattern(&r->rule[i]))
			slot_add(r, i);
}

/* Texts that only control looks at are made by control when it looks: rules_views(). */
void rules_make_plan(struct rules *r)
{
	r->plan = (struct content_plan){.selector = r->selector, .n_selectors = r->n_selectors};
	for (size_t i = 0; i < r->n_slots; i++)
		if (r->slot[i].number < VIEW_COUNT && r->slot[i].blob)
			r->plan.views |= 1u << r->slot[i].number;
}

/* What decides the databases and what their ids mean. */
static void make_digest(struct rules *r)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) &&
		  EVP_DigestUpdate(md, hs_version(), strlen(hs_version()) + 1);

	for (size_t i = 0; ok && i < r->n; i++) {
		const struct rule_source *s = &r->src[i];
		uint32_t head[4] = {r->rule[i].slot, r->rule[i].id, (uint32_t)r->rule[i].tier,
				    (s->caseless ? 1u : 0) | (s->multiline ? 2u : 0) | (s->dotall ? 4u : 0) |
					    (s->extended ? 8u : 0)};

		/* Each string with its NUL, so that one cannot flow into the next. */
		ok = EVP_DigestUpdate(md, head, sizeof(head)) &&
		     EVP_DigestUpdate(md, r->rule[i].name, strlen(r->rule[i].name) + 1) &&
		     (!s->pattern || EVP_DigestUpdate(md, rule_pattern(s), strlen(rule_pattern(s)) + 1));
	}
	if (!ok || !EVP_DigestFinal_ex(md, r->digest, NULL))
		r->oom = true;
	EVP_MD_CTX_free(md);
}

static void compile(struct rules *r)
{
	if (!compile_codes(r))
		return;
	rules_make_slots(r);
	if (!r->oom)
		rules_choose(r);
	make_digest(r);
	for (size_t i = 0; i < r->n_slots && !r->oom && !r->error; i++) {
		rules_database(r, &r->slot[i]);
		if (r->opt.progress)
			r->opt.progress(r->opt.arg, "databases", i + 1, r->n_slots);
	}
	rules_make_plan(r);
}

/* Compiling is a pure function of what the key is made of, but for measures. */
static bool from_cache(struct rules *r, const char *path)
{
	char *kept = NULL;
	size_t len = 0;
	int rc;

	if (!rules_cache_get(path, &kept, &len))
		return false;
	rc = rules_restore(r, kept, len);
	free(kept);
	r->oom |= rc == -ENOMEM;
	return rc == 0 || rc == -ENOMEM;
}

void rules_compile(struct rules *r)
{
	char path[RULES_CACHE_PATH], hex[2 * sizeof(r->key) + 1];
	const char *text = hex;
	unsigned int flags = 0, id = 0;
	void *kept = NULL;
	size_t len = 0;
	bool named;

	rules_make_key(r);
	for (size_t i = 0; i < sizeof(r->key); i++)
		snprintf(hex + 2 * i, 3, "%02x", r->key[i]);
	named = r->opt.cache && !r->opt.explain && !r->oom &&
		rules_cache_path(r->opt.cache, KEPT_MODE, &text, &flags, &id, 1, path);
	if (named && from_cache(r, path))
		return;
	if (!r->oom)
		compile(r);
	if (!named || r->oom || r->error || rules_keep(r, &kept, &len))
		return;
	rules_cache_put(path, kept, len);
	free(kept);
}
