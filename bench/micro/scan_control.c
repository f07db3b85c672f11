/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What control does with the matches of a message: rules_judge() over texts that it makes when the
 * first is asked for. What the judge tells it beside the content (relays, MAIL FROM) are texts of
 * the usual form here, the same for all messages but for the sender.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/micro/scan.h"
#include "control/judge/texts.h"

void sb_texts_begin(struct sb_texts *t, const struct rules *r, const struct sb_corpus *c,
		    size_t message)
{
	*t = (struct sb_texts){.corpus = c, .message = message, .plan = *rules_plan(r)};
	t->plan.views |= rules_views(r);
	t->iov = (struct iovec){c->data + c->message[message].off, c->message[message].n};
	t->bytes = (struct mail_bytes){&t->iov, 1, t->iov.iov_len};
	if (texts_new(&t->plan, &t->bytes, &t->texts))
		sb_die("no memory for texts");
}

void sb_texts_end(struct sb_texts *t)
{
	texts_free(t->texts);
}

/* The mailbox of Return-Path or From, whichever comes first; in a message without, none. */
static void tell(struct sb_texts *t)
{
	const char *p = t->iov.iov_base, *end = p + (t->iov.iov_len < 4096 ? t->iov.iov_len : 4096);
	const char *at = memmem(p, (size_t)(end - p), "From:", 5), *gt;

	if (!strncmp(p, "Return-Path:", end - p < 12 ? (size_t)(end - p) : 12))
		at = p;
	at = at ? memchr(at, '<', (size_t)(end - at)) : NULL;
	gt = at ? memchr(at, '>', (size_t)(end - at)) : NULL;
	snprintf(t->from, sizeof(t->from), "%.*s", gt && gt - at < 150 ? (int)(gt - at - 1) : 0,
		 at ? at + 1 : "");
	at = strchr(t->from, '@');
	snprintf(t->relays, sizeof(t->relays),
		 "[ ip=198.51.100.7 rdns=mail.%s helo=mail.%s by=mx.example.com ident= envfrom=%s intl=0 "
		 "id=0123456789AB auth= msa=0 ]", at ? at + 1 : "", at ? at + 1 : "", t->from);
}

int sb_texts_get(void *ctx, uint16_t slot, struct str *text)
{
	struct sb_texts *t = ctx;

	if (!(slot & RULES_SLOT_TOLD))
		return texts_get(t->texts, slot, text);
	if (!t->relays[0])
		tell(t);
	switch (slot & ~RULES_SLOT_TOLD) {
	case RULES_ENVELOPE_FROM:
		*text = str_c(t->from);
		return 1;
	case RULES_RELAYS_UNTRUSTED:
	case RULES_RELAYS_EXTERNAL:
		*text = str_c(t->relays);
		return 1;
	case RULES_RELAYS_TRUSTED:
	case RULES_RELAYS_INTERNAL:
		*text = STR("");
		return 1;
	case RULES_ALL_UNTRUSTED:
	case RULES_ALL_EXTERNAL: {
		const uint8_t *p = t->iov.iov_base, *end = memmem(p, t->iov.iov_len, "\r\n\r\n", 4);

		*text = str_make(p, end ? (size_t)(end - p) + 2 : t->iov.iov_len);
		return 1;
	}
	default:
		*text = STR("");
		return 1;
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void sb_control(const struct sb_set *s, const struct sb_corpus *c, size_t n_messages,
		struct sb_control *out)
{
	static struct rule_hit hit[HANDOFF_MAX_MATCHES];
	static struct sb_scanned scanned;
	size_t n = n_messages < c->n ? n_messages : c->n;
	double *us = sb_alloc(n, sizeof(*us));

	*out = (struct sb_control){.messages = n};
	for (size_t i = 0; i < n; i++) {
		struct rules_judged judged;
		struct sb_texts t;
		const struct rules_source src = {.text = sb_texts_get, .ctx = &t};
		uint64_t start;
		long hits;

		sb_scan(s, sb_octets(c, i), c->message[i].n, &scanned);
		start = sb_now();
		sb_texts_begin(&t, s->rules, c, i);
		hits = rules_judge(s->rules, scanned.match, scanned.n, scanned.flags, &src, hit,
				   HANDOFF_MAX_MATCHES, &judged);
		sb_texts_end(&t);
		us[i] = (double)(sb_now() - start) / 1e3;
		if (hits < 0)
			sb_die("rules_judge: %s", strerror((int)-hits));
		out->all.ns += (uint64_t)(us[i] * 1e3);
		out->hits += (size_t)hits;
		out->gates += judged.gates;
		out->texts += judged.texts;
		out->with_gates += judged.gates != 0;
		out->limited += judged.limited != 0;
		out->in_full +=
			(scanned.flags & (RECORD_F_SCAN_PARTIAL | RECORD_F_MATCHES_CUT)) != 0;
		out->all.octets += c->message[i].n;
	}
	qsort(us, n, sizeof(*us), by_value);
	out->median_us = (us[n / 2] + us[(n - 1) / 2]) / 2;
	out->p99_us = us[(n - 1) * 99 / 100];
	out->most_us = us[n - 1];
	free(us);
}
