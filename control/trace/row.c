/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/trace/row.h"

#include <string.h>

#include "control/trace/logfiles.h"

const char *row_key(const char *address, size_t n, char out[ROW_KEY])
{
	uint8_t buf[ROW_KEY];
	struct str a = mailbox_alabel(str_make(address, n < LIMIT_PATH ? n : LIMIT_PATH), buf, sizeof(buf));
	struct str domain = mailbox_domain(a);

	a = str_cut(a, ROW_KEY - 1);
	for (size_t i = 0; i < a.n; i++)
		out[i] = (char)ascii_lower(a.p[i]);
	out[a.n] = '\0';
	return domain.n && domain.n <= a.n ? out + (a.n - domain.n) : out + a.n;
}

/* Cut between characters: the index holds UTF-8. */
static struct row_text cut(const char *p, size_t n)
{
	if (n > ROW_TEXT) {
		n = ROW_TEXT;
		while (n && ((uint8_t)p[n] & 0xc0) == 0x80)
			n--;
	}
	return (struct row_text){p, n};
}

static struct row_text text(const json_t *o, const char *member)
{
	const json_t *v = json_object_get(o, member);

	return json_is_string(v) ? cut(json_string_value(v), json_string_length(v)) : (struct row_text){0};
}

static bool address(const json_t *o, const char *member, struct ip_addr *out)
{
	struct row_text t = text(o, member);

	return t.p && ip_parse(str_make(t.p, t.n), out);
}

static int64_t whole(const json_t *o, const char *member)
{
	return (int64_t)json_integer_value(json_object_get(o, member));
}

/* The best of the signatures. */
static struct row_text dkim(const json_t *judged)
{
	struct row_text best = {0};
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(judged, "dkim"), i, v) {
		struct row_text t = text(v, "result");

		if (t.p && (!best.p || (t.n == 4 && !memcmp(t.p, "pass", 4))))
			best = t;
	}
	return best;
}

static void rules(struct row *r, const json_t *judged)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(judged, "matches"), i, v) {
		struct row_text t = text(v, "rule");
		bool again = false;

		for (size_t k = 0; k < r->n_rules && !again; k++)
			again = r->rule[k].n == t.n && t.p && !memcmp(r->rule[k].p, t.p, t.n);
		if (t.p && t.n && !again && r->n_rules < ROW_RULES)
			r->rule[r->n_rules++] = t;
	}
}

static void judged(struct row *r, const json_t *j)
{
	const json_t *score = json_object_get(j, "score");

	r->has_score = json_is_number(score);
	r->score = json_number_value(score);
	r->action = text(j, "action");
	r->reason = text(j, "reason");
	r->spf = text(json_object_get(j, "spf"), "result");
	r->dkim = dkim(j);
	r->dmarc = text(json_object_get(j, "dmarc"), "result");
	r->arc = text(json_object_get(j, "arc"), "result");
	rules(r, j);
}

bool row_read(struct row *r, const char *line, size_t n, json_t **json)
{
	const json_t *o = *json = json_loadb(line, n, 0, NULL);

	*r = (struct row){.outcome = TRACE_OUTCOMES};
	if (!json_is_object(o))
		return false;
	r->time_ms = logfiles_time_ms(text(o, "time").p);
	r->trace_id = text(o, "trace_id");
	if (!r->time_ms || !r->trace_id.p)
		return false;
	r->event = text(o, "event").p;
	if (r->event)
		return true;
	r->outcome = trace_outcome_of(text(o, "outcome").p);
	if (r->outcome == TRACE_OUTCOMES)
		return false;
	r->message_id = text(o, "message_id");
	r->mail_from = text(o, "mail_from");
	r->rcpt = text(o, "rcpt");
	r->helo = text(o, "helo");
	r->route = text(o, "route");
	r->stage = text(o, "stage");
	r->next_hop = text(o, "next_hop");
	r->reply = text(o, "reply");
	r->next_hop_reply = text(o, "next_hop_reply");
	r->subject = text(o, "subject");
	r->how = text(o, "how");
	r->has_origin = address(o, "origin", &r->origin);
	r->has_peer = address(o, "peer", &r->peer);
	r->has_local = address(o, "local", &r->local);
	r->has_egress = address(o, "egress", &r->egress);
	r->size = whole(o, "size");
	r->us = whole(o, "us");
	r->judge_us = whole(o, "judge_us");
	judged(r, json_object_get(o, "judged"));
	row_key(r->mail_from.p ? r->mail_from.p : "", r->mail_from.n, r->sender_key);
	row_key(r->rcpt.p ? r->rcpt.p : "", r->rcpt.n, r->rcpt_key);
	return true;
}
