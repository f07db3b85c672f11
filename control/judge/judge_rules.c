/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Rules over the texts of a message, and what the configuration lists beside them. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/judge/judge_internal.h"
#include "control/rules/rules_stats.h"
#include "postern/stats.h"

#define MAX_FACTS 24

static int relays(struct judge *j)
{
	if (j->relays.trusted)
		return 0;
	return relays_make(&j->result.origin, j->req.env, &j->result.headers, str_c(judge_hostname(j)),
			   str_c(j->result.ptr.name), &j->relays);
}

/* As the selector ALL has them, of these fields alone. */
static int fields(const struct headers *h, size_t from, size_t to, struct judge_fields *f, struct str *text)
{
	static const struct content_selector all = {.source = CONTENT_ALL, .form = CONTENT_DECODED};
	static const struct content_plan plan = {.selector = &all, .n_selectors = 1};
	size_t a, b;
	int rc = 0;

	to = to < h->n ? to : h->n;
	if (from >= to)
		return 0;
	a = h->field[from].off;
	b = h->field[to - 1].off + h->field[to - 1].len;
	f->iov = (struct iovec){(uint8_t *)(uintptr_t)h->block + a, b - a};
	f->content = (struct mail_bytes){&f->iov, 1, b - a};
	if (!f->texts)
		rc = texts_new(&plan, &f->content, &f->texts);
	return rc ? rc : texts_get(f->texts, CONTENT_SLOT_SELECTOR, text);
}

static int told(struct judge *j, unsigned int what, struct str *text)
{
	const struct headers *h = &j->result.headers;
	int rc;

	if (what == RULES_ENVELOPE_FROM) {
		*text = j->req.env->mail_from;
		return 1;
	}
	rc = relays(j);
	if (rc)
		return rc;
	switch (what) {
	case RULES_RELAYS_TRUSTED:
	case RULES_RELAYS_INTERNAL:
		*text = str_c(j->relays.trusted);
		return 1;
	case RULES_RELAYS_UNTRUSTED:
	case RULES_RELAYS_EXTERNAL:
		*text = str_c(j->relays.untrusted);
		return 1;
	case RULES_ALL_TRUSTED:
	case RULES_ALL_INTERNAL:
		return fields(h, 0, j->relays.end_trusted, &j->trusted, text);
	case RULES_ALL_UNTRUSTED:
	case RULES_ALL_EXTERNAL:
		return fields(h, j->relays.first_untrusted, h->n, &j->untrusted, text);
	default:
		return -ENOTSUP;
	}
}

static int slot_text(void *ctx, uint16_t slot, struct str *text)
{
	struct judge *j = ctx;

	if (slot & RULES_SLOT_TOLD)
		return told(j, slot & ~RULES_SLOT_TOLD, text);
	return texts_get(j->texts, slot, text);
}

static size_t add_fact(struct rules_fact *f, size_t n, const char *name, unsigned int value)
{
	if (value)
		f[n++] = (struct rules_fact){name, value};
	return n;
}

/* Names of SpamAssassin's own tests whose answer we have. */
static size_t facts(const struct judgement *r, struct rules_fact f[MAX_FACTS])
{
	unsigned int valid = 0;
	size_t n = 0;

	n = add_fact(f, n, "SPF_PASS", r->spf.result == SPF_PASS);
	n = add_fact(f, n, "SPF_FAIL", r->spf.result == SPF_FAIL);
	n = add_fact(f, n, "SPF_SOFTFAIL", r->spf.result == SPF_SOFTFAIL);
	n = add_fact(f, n, "SPF_NEUTRAL", r->spf.result == SPF_NEUTRAL);
	n = add_fact(f, n, "SPF_NONE", r->spf.result == SPF_NONE);
	n = add_fact(f, n, "SPF_HELO_PASS", r->spf_helo.result == SPF_PASS);
	n = add_fact(f, n, "SPF_HELO_FAIL", r->spf_helo.result == SPF_FAIL);
	n = add_fact(f, n, "SPF_HELO_SOFTFAIL", r->spf_helo.result == SPF_SOFTFAIL);
	n = add_fact(f, n, "SPF_HELO_NONE", r->spf_helo.result == SPF_NONE);
	for (size_t i = 0; i < r->dkim->n; i++)
		valid += r->dkim->sig[i].result == DKIM_PASS;
	n = add_fact(f, n, "DKIM_SIGNED", r->dkim->n != 0);
	n = add_fact(f, n, "DKIM_VALID", valid);
	n = add_fact(f, n, "DKIM_INVALID", r->dkim->n && !valid);
	if (r->dmarc_judged) {
		n = add_fact(f, n, "DMARC_PASS", r->dmarc.result == DMARC_PASS);
		n = add_fact(f, n, "DMARC_NONE", r->dmarc.result == DMARC_NONE);
	}
	return n;
}

static void count(const struct judge *j, const struct rules_judged *judged)
{
	uint64_t *c = j->env.counters;

	c[CTL_rule_pattern_ns] += judged->pattern_ns;
	c[CTL_rule_text_ns] += judged->text_ns;
	c[CTL_rule_evaluated] += judged->evaluated;
	c[CTL_rule_gates] += judged->gates;
	c[CTL_rule_texts] += judged->texts;
	c[CTL_rule_texts_failed] += judged->failed;
	c[CTL_rule_limited] += judged->limited;
	c[CTL_rule_hits_cut] += judged->cut != 0;
	c[CTL_rule_texts_partial] += judged->partial;
	c[CTL_desc_invalid] += judged->unknown;
}

static int judge_set(struct judge *j)
{
	const uint32_t flags = j->req.env->flags;
	uint64_t *c = j->env.counters;
	struct rules_fact fact[MAX_FACTS];
	/* Alone nobody has asked the DNS: SPF_NONE would be a guess. */
	const struct rules_source src = {.text = slot_text, .ctx = j, .fact = fact,
					 .n_facts = j->alone ? 0 : facts(&j->result, fact),
					 .parts = j->parts, .where = j->alone, .stats = j->req.rules_stats};
	struct judgement *r = &j->result;
	struct rules_judged judged = {0};
	uint64_t start = rules_clock_ns();
	long n = rules_judge(j->req.rules, j->req.match, j->req.n_matches, flags, &src, r->hit, j->cap_hits,
			     &judged);

	/* What was spent was spent, also on a message that could not be judged. */
	c[CTL_rule_ns] += rules_clock_ns() - start;
	count(j, &judged);
	if (n < 0)
		return (int)n;
	r->n_hits = (size_t)n;
	c[CTL_rule_matches] += (uint64_t)n;
	c[CTL_rule_messages]++;
	c[CTL_rule_messages_open] += judged.gates != 0;
	c[CTL_rule_messages_in_full] += (flags & (RECORD_F_SCAN_PARTIAL | RECORD_F_MATCHES_CUT)) != 0;
	return 0;
}

int judge_rules(struct judge *j)
{
	const struct config *c = j->req.config;
	struct judgement *r = &j->result;
	size_t listed = c->n_lists + c->n_attachments;
	int rc;

	if ((!j->req.rules || !rules_count(j->req.rules)) && !listed)
		return 0;
	j->cap_hits = j->alone && j->req.rules ? rules_total(j->req.rules) : HANDOFF_MAX_MATCHES;
	r->hit = calloc(j->cap_hits + listed, sizeof(*r->hit));
	r->found = calloc(listed + 1, sizeof(*r->found));
	if (!r->hit || !r->found)
		return -ENOMEM;
	j->plan = j->req.rules ? *rules_plan(j->req.rules) : (struct content_plan){0};
	j->plan.views |= judge_content_views(c) | (j->req.rules ? rules_views(j->req.rules) : 0);
	j->plan.hash |= config_wants_hashes(c);
	rc = texts_new(&j->plan, j->req.content, &j->texts);
	if (!rc && j->req.rules && rules_count(j->req.rules))
		rc = judge_set(j);
	if (!rc)
		rc = judge_content(j, j->texts);
	j->env.counters[CTL_rule_texts_cut] += !rc && texts_cut(j->texts);
	return rc;
}

void judge_rules_free(struct judge *j)
{
	texts_free(j->texts);
	texts_free(j->trusted.texts);
	texts_free(j->untrusted.texts);
	relays_free(&j->relays);
	free(j->result.found);
	free(j->result.hit);
}
