/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "tests/oracle/pipeline.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool pipeline_new(struct pipeline *p, const struct rules *r, unsigned int streams, char *err)
{
	void *bundle = NULL;
	size_t len = 0;

	memset(p, 0, sizeof(*p));
	p->rules = r;
	p->plan = *rules_plan(r);
	p->plan.views |= rules_views(r);
	snprintf(err, 256, "no memory");
	if (rules_pack(r, 0, false, &bundle, &len))
		return false;
	if (scan_generation_new(bundle, len, 1, &p->generation, err, 256) ||
	    scan_worker_new(p->generation, streams, p->counters, &p->worker) ||
	    scan_views_new(streams, p->counters, &p->views)) {
		free(bundle);
		pipeline_free(p);
		return false;
	}
	free(bundle);
	return true;
}

void pipeline_free(struct pipeline *p)
{
	scan_views_free(p->views);
	scan_worker_free(p->worker);
	scan_generation_free(p->generation);
	p->views = NULL;
	p->worker = NULL;
	p->generation = NULL;
}

struct scan_target pipeline_target(struct pipeline_scan *s)
{
	s->n = s->flags = 0;
	return (struct scan_target){
		.match = s->match, .n_matches = &s->n, .cap = HANDOFF_MAX_MATCHES};
}

void pipeline_block(struct pipeline *p, struct str message, struct pipeline_scan *s)
{
	const struct scan_target t = pipeline_target(s);

	s->flags = scan_views_block(p->views, p->worker, message.p, message.n, &t).flags;
}

bool pipeline_texts_new(struct pipeline *p, struct str message, const size_t cut[2],
			struct pipeline_texts *t)
{
	size_t a = cut[0] < cut[1] ? cut[0] : cut[1], b = cut[0] < cut[1] ? cut[1] : cut[0];
	uint8_t *at = (uint8_t *)message.p;

	b = b < message.n ? b : message.n;
	a = a < b ? a : b;
	t->iov[0] = (struct iovec){at, a};
	t->iov[1] = (struct iovec){at + a, b - a};
	t->iov[2] = (struct iovec){at + b, message.n - b};
	t->content = (struct mail_bytes){t->iov, 3, message.n};
	return texts_new(&p->plan, &t->content, &t->texts) == 0;
}

void pipeline_texts_free(struct pipeline_texts *t)
{
	texts_free(t->texts);
	t->texts = NULL;
}

static int text(void *ctx, uint16_t slot, struct str *out)
{
	static const struct str told[RULES_TOLD] = {
		[RULES_RELAYS_TRUSTED] =
			STR("[ ip=192.0.2.1 rdns=mx.example.com helo=mx by=mail ]"),
		[RULES_RELAYS_UNTRUSTED] =
			STR("[ ip=198.51.100.7 rdns= helo=!203.0.113.9! by=mx ]"),
		[RULES_RELAYS_INTERNAL] = STR(""),
		[RULES_RELAYS_EXTERNAL] =
			STR("[ ip=198.51.100.7 rdns=a.example.net helo=b by=mx ]"),
		[RULES_ALL_TRUSTED] = STR("Received: from a by b\r\n"),
		[RULES_ALL_UNTRUSTED] = STR("Subject: free money\r\n"),
		[RULES_ALL_INTERNAL] = STR("Received: from a by b\r\n"),
		[RULES_ALL_EXTERNAL] = STR("Subject: act now\r\n"),
		[RULES_ENVELOPE_FROM] = STR("bounce-7@lists.example.org"),
	};
	struct pipeline_texts *t = ctx;

	if (!(slot & RULES_SLOT_TOLD))
		return texts_get(t->texts, slot, out);
	*out = told[slot & ~RULES_SLOT_TOLD];
	return 1;
}

bool pipeline_judge(struct pipeline *p, struct pipeline_texts *t, const struct pipeline_scan *s,
		    struct pipeline_verdict *v)
{
	const struct rules_source src = {.text = text, .ctx = t, .parts = true};
	long n;

	if (!v->hit) {
		v->cap = rules_total(p->rules) + 1;
		v->hit = calloc(v->cap, sizeof(*v->hit));
		if (!v->hit)
			return false;
	}
	n = s ? rules_judge(p->rules, s->match, s->n, s->flags, &src, v->hit, v->cap, &v->judged)
	      : rules_judge_in_full(p->rules, &src, v->hit, v->cap, &v->judged);
	v->n = n < 0 ? 0 : (size_t)n;
	v->score = 0;
	for (size_t i = 0; i < v->n; i++)
		v->score += v->hit[i].score;
	return n >= 0;
}

const struct rule *pipeline_differ(const struct pipeline_verdict *x,
				   const struct pipeline_verdict *y, unsigned int *a,
				   unsigned int *b)
{
	size_t i = 0;

	while (i < x->n && i < y->n && x->hit[i].rule == y->hit[i].rule &&
	       x->hit[i].count == y->hit[i].count && fabs(x->hit[i].score - y->hit[i].score) < 1e-9)
		i++;
	if (i == x->n && i == y->n)
		return NULL;
	*a = i < x->n ? x->hit[i].count : 0;
	*b = i < y->n ? y->hit[i].count : 0;
	if (i == x->n || (i < y->n && y->hit[i].rule < x->hit[i].rule)) {
		*a = 0;
		return y->hit[i].rule;
	}
	if (i == y->n || x->hit[i].rule < y->hit[i].rule)
		*b = 0;
	return x->hit[i].rule;
}
