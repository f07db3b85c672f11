/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/trace/row.h"

#include <string.h>

#include "control/json/json_in.h"
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
static struct row_text cut(struct str s)
{
	const char *p = (const char *)s.p;
	size_t n = s.n;

	if (n > ROW_TEXT) {
		n = ROW_TEXT;
		while (n && (s.p[n] & 0xc0) == 0x80)
			n--;
	}
	return (struct row_text){p, n};
}

/* The next value; none if it is no text. */
static struct row_text text(struct json_in *in)
{
	struct str s;

	return json_in_text(in, &s) ? cut(s) : (struct row_text){0};
}

static bool address(struct json_in *in, struct ip_addr *out)
{
	struct row_text t = text(in);

	return t.p && ip_parse(str_make(t.p, t.n), out);
}

static int64_t whole(struct json_in *in)
{
	int64_t v;
	double d;
	bool is_whole;

	return json_in_number(in, &is_whole, &v, &d) && is_whole ? v : 0;
}

/* "result" of an object. */
static struct row_text result(struct json_in *in, struct str member)
{
	struct row_text t = {0};
	struct str name;

	if (json_in_object(in))
		while (json_in_member(in, &name)) {
			if (str_eq(name, member))
				t = text(in);
			else
				json_in_skip(in);
		}
	return t;
}

/* The best of the signatures. */
static struct row_text dkim(struct json_in *in)
{
	struct row_text best = {0};

	if (json_in_array(in))
		while (json_in_element(in)) {
			struct row_text t = result(in, STR("result"));

			if (t.p && (!best.p || (t.n == 4 && !memcmp(t.p, "pass", 4))))
				best = t;
		}
	return best;
}

static void rules(struct row *r, struct json_in *in)
{
	r->n_rules = 0;
	if (json_in_array(in))
		while (json_in_element(in)) {
			struct row_text t = result(in, STR("rule"));
			bool again = false;

			for (size_t k = 0; k < r->n_rules && !again; k++)
				again = r->rule[k].n == t.n && t.p && !memcmp(r->rule[k].p, t.p, t.n);
			if (t.p && t.n && !again && r->n_rules < ROW_RULES)
				r->rule[r->n_rules++] = t;
		}
}

static void judged(struct row *r, struct json_in *in)
{
	struct row_text none = {0};
	struct str name;
	int64_t i;
	bool is_whole;

	/* Of a member that is there twice the last counts. */
	r->action = r->reason = r->spf = r->dkim = r->dmarc = r->arc = none;
	r->has_score = false;
	r->score = 0;
	r->n_rules = 0;
	if (!json_in_object(in))
		return;
	while (json_in_member(in, &name)) {
		if (str_eq(name, STR("score"))) {
			r->has_score = json_in_number(in, &is_whole, &i, &r->score);
			r->score = r->has_score ? r->score : 0;
		} else if (str_eq(name, STR("action"))) {
			r->action = text(in);
		} else if (str_eq(name, STR("reason"))) {
			r->reason = text(in);
		} else if (str_eq(name, STR("spf"))) {
			r->spf = result(in, STR("result"));
		} else if (str_eq(name, STR("dkim"))) {
			r->dkim = dkim(in);
		} else if (str_eq(name, STR("dmarc"))) {
			r->dmarc = result(in, STR("result"));
		} else if (str_eq(name, STR("arc"))) {
			r->arc = result(in, STR("result"));
		} else if (str_eq(name, STR("matches"))) {
			rules(r, in);
		} else {
			json_in_skip(in);
		}
	}
}

/* Members that are kept as they are. */
static struct row_text *plain(struct row *r, struct str name)
{
	const struct {
		struct str name;
		struct row_text *to;
	} known[] = {
		{STR("trace_id"), &r->trace_id}, {STR("message_id"), &r->message_id},
		{STR("mail_from"), &r->mail_from}, {STR("rcpt"), &r->rcpt}, {STR("helo"), &r->helo},
		{STR("route"), &r->route}, {STR("stage"), &r->stage}, {STR("next_hop"), &r->next_hop},
		{STR("reply"), &r->reply}, {STR("next_hop_reply"), &r->next_hop_reply},
		{STR("subject"), &r->subject}, {STR("how"), &r->how},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (str_eq(known[i].name, name))
			return known[i].to;
	return NULL;
}

static void member(struct row *r, struct str name, struct json_in *in)
{
	struct row_text *to = plain(r, name);

	if (to)
		*to = text(in);
	else if (str_eq(name, STR("time")))
		r->time_ms = logfiles_time_ms(text(in).p);
	else if (str_eq(name, STR("event")))
		r->event = text(in).p;
	else if (str_eq(name, STR("outcome")))
		r->outcome = trace_outcome_of(text(in).p);
	else if (str_eq(name, STR("origin")))
		r->has_origin = address(in, &r->origin);
	else if (str_eq(name, STR("peer")))
		r->has_peer = address(in, &r->peer);
	else if (str_eq(name, STR("local")))
		r->has_local = address(in, &r->local);
	else if (str_eq(name, STR("egress")))
		r->has_egress = address(in, &r->egress);
	else if (str_eq(name, STR("size")))
		r->size = whole(in);
	else if (str_eq(name, STR("us")))
		r->us = whole(in);
	else if (str_eq(name, STR("judge_us")))
		r->judge_us = whole(in);
	else if (str_eq(name, STR("judged")))
		judged(r, in);
	else
		json_in_skip(in);
}

bool row_read(struct row *r, char *line, size_t n)
{
	struct json_in in;
	struct str name;

	*r = (struct row){.outcome = TRACE_OUTCOMES};
	json_in_init(&in, line, n);
	if (!json_in_object(&in))
		return false;
	while (json_in_member(&in, &name))
		member(r, name, &in);
	if (!json_in_done(&in) || !r->time_ms || !r->trace_id.p)
		return false;
	if (r->event) {
		*r = (struct row){.time_ms = r->time_ms, .event = r->event, .trace_id = r->trace_id,
				  .outcome = TRACE_OUTCOMES};
		return true;
	}
	if (r->outcome == TRACE_OUTCOMES)
		return false;
	row_key(r->mail_from.p ? r->mail_from.p : "", r->mail_from.n, r->sender_key);
	row_key(r->rcpt.p ? r->rcpt.p : "", r->rcpt.n, r->rcpt_key);
	return true;
}
