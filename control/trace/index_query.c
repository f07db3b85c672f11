/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Searches. Each index ends in the record's number, so that the newest of those that it finds are read
 * first and the rest not at all. Which index is taken is said here and not guessed by SQLite, which
 * knows nothing of how many records a sender has and a domain of ours has.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/trace/index_internal.h"

#define MAX_TERMS 16

enum column {
	C_ID, C_TRACE_ID, C_OUTCOME, C_ORIGIN, C_PEER, C_LOCAL, C_EGRESS, C_SCORE, C_SIZE, C_US, C_JUDGE_US, C_SEGMENT,
	C_OFFSET, C_LENGTH, C_TEXTS
};
#define COLUMNS                                                                                    \
	"r.id, r.trace_id, r.outcome, r.origin, r.peer, r.local, r.egress, r.score, r.size, r.us, "    \
	"r.judge_us, r.segment, r.offset, r.length"
static const char *const texts[] = {"message_id", "mail_from", "rcpt", "subject", "helo", "route", "action",
				    "reason", "stage", "next_hop", "reply", "next_hop_reply", "spf", "dkim",
				    "dmarc", "arc", "how"};
#define N_TEXTS (sizeof(texts) / sizeof(texts[0]))

/* A statement under construction: conditions, and what is bound to them in order. */
struct query {
	char where[1024];
	const char *index;           /* to be taken; NULL: by number */
	const char *from;
	struct {
		const void *p;       /* NULL: number */
		size_t n;
		bool blob;
		int64_t number;
	} bind[MAX_TERMS];
	size_t n;
	char sender[ROW_KEY], rcpt[ROW_KEY];
	char trace_id[64], message_id[1100];
	struct ip_addr first, last;
};

static void term(struct query *q, const char *condition)
{
	size_t at = strlen(q->where);

	snprintf(q->where + at, sizeof(q->where) - at, "%s%s", at ? " AND " : "", condition);
}

static void with_text(struct query *q, const char *condition, const char *value)
{
	term(q, condition);
	q->bind[q->n].p = value;
	q->bind[q->n++].n = strlen(value);
}

static void with_number(struct query *q, const char *condition, int64_t v)
{
	term(q, condition);
	q->bind[q->n++].number = v;
}

static void with_ip(struct query *q, const char *condition, const struct ip_addr *ip)
{
	term(q, condition);
	q->bind[q->n].p = ip->a;
	q->bind[q->n].blob = true;
	q->bind[q->n++].n = sizeof(ip->a);
}

/* The first that is asked for wins: callers go from what is rare to what is common. */
static void prefer(struct query *q, const char *index)
{
	if (!q->index && !q->from)
		q->index = index;
}

static void with_message_id(struct query *q, const char *id)
{
	size_t n = strlen(id);

	if (n > sizeof(q->message_id) - 3)
		n = sizeof(q->message_id) - 3;
	/* As it stands in the message, or without its brackets as other logs have it. */
	snprintf(q->message_id, sizeof(q->message_id), "<%.*s>", (int)n, id);
	with_text(q, "r.message_id IN (?", id);
	strcat(q->where, ", ?)");
	q->bind[q->n].p = q->message_id;
	q->bind[q->n++].n = strlen(q->message_id);
	prefer(q, "by_message_id");
}

static void with_address(struct query *q, bool sender, const char *address)
{
	char *key = sender ? q->sender : q->rcpt;
	const char *domain = row_key(address, strlen(address), key);

	if (address[0] == '@') {
		with_text(q, sender ? "r.sender_domain = ?" : "r.rcpt_domain = ?",
			  *domain ? domain : key + 1);
		return;
	}
	with_text(q, sender ? "ifnull(r.sender_key, r.mail_from) = ?" : "ifnull(r.rcpt_key, r.rcpt) = ?", key);
	prefer(q, sender ? "by_sender" : "by_rcpt");
}

static int with_origin(struct query *q, const char *text, char *err, size_t err_len)
{
	struct ip_net net;
	unsigned int bits;

	if (!ip_net_parse(str_c(text), &net)) {
		snprintf(err, err_len, "%.60s is no address or network", text);
		return -EINVAL;
	}
	q->first = q->last = net.addr;
	bits = net.prefix;
	for (unsigned int i = bits; i < 128; i++) {
		q->first.a[i / 8] &= (uint8_t)~(0x80u >> i % 8);
		q->last.a[i / 8] |= (uint8_t)(0x80u >> i % 8);
	}
	if (bits == 128) {
		with_ip(q, "r.origin = ?", &q->first);
	} else {
		with_ip(q, "r.origin >= ?", &q->first);
		with_ip(q, "r.origin <= ?", &q->last);
	}
	prefer(q, "by_origin");
	return 0;
}

static int with_outcome(struct query *q, const char *text, char *err, size_t err_len)
{
	enum trace_outcome o = trace_outcome_of(text);

	if (o == TRACE_OUTCOMES) {
		snprintf(err, err_len, "%.60s is no outcome: delivered, rejected, deferred, quarantined, "
			 "discarded, aborted, observed or unjudged", text);
		return -EINVAL;
	}
	with_number(q, "r.outcome = ?", o);
	/* Most are. */
	if (o != TRACE_DELIVERED)
		prefer(q, "by_outcome");
	return 0;
}

static int build(struct query *q, const struct trace_search *s, char *err, size_t err_len)
{
	int rc = 0;

	if (s->trace_id) {
		/* As they are made: upper case. */
		for (size_t i = 0; i < sizeof(q->trace_id) - 1 && s->trace_id[i]; i++)
			q->trace_id[i] = (char)(s->trace_id[i] >= 'a' && s->trace_id[i] <= 'z' ?
						s->trace_id[i] - 32 : s->trace_id[i]);
		with_text(q, "r.trace_id = ?", q->trace_id);
		prefer(q, "by_trace_id");
	}
	if (s->message_id)
		with_message_id(q, s->message_id);
	if (s->mail_from)
		with_address(q, true, s->mail_from);
	if (s->rcpt)
		with_address(q, false, s->rcpt);
	if (s->origin)
		rc = with_origin(q, s->origin, err, err_len);
	if (!rc && s->rule && !q->index) {
		q->from = "rule n CROSS JOIN hit h ON h.rule = n.id CROSS JOIN record r ON r.id = h.record";
		with_text(q, "n.name = ?", s->rule);
	} else if (!rc && s->rule) {
		with_text(q, "EXISTS (SELECT 1 FROM hit h JOIN rule n ON n.id = h.rule WHERE n.name = ?"
			     " AND h.record = r.id)", s->rule);
	}
	if (!rc && s->mail_from && s->mail_from[0] == '@')
		prefer(q, "by_sender_domain");
	if (!rc && s->outcome)
		rc = with_outcome(q, s->outcome, err, err_len);
	if (!rc && s->rcpt && s->rcpt[0] == '@')
		prefer(q, "by_rcpt_domain");
	if (!rc && s->route)
		with_text(q, "r.route = ?", s->route);
	if (s->since_ms)
		with_number(q, q->from ? "h.record >= ?" : "r.id >= ?", s->since_ms << INDEX_SEQUENCE);
	if (s->until_ms)
		with_number(q, q->from ? "h.record < ?" : "r.id < ?", s->until_ms << INDEX_SEQUENCE);
	if (s->before)
		with_number(q, q->from ? "h.record < ?" : "r.id < ?", s->before);
	return rc;
}

static sqlite3_stmt *compile(struct trace_index *x, const struct query *q, int *rc)
{
	sqlite3_stmt *s = NULL;
	char text[4096], from[128] = "record r NOT INDEXED";
	size_t at;

	if (q->index)
		snprintf(from, sizeof(from), "record r INDEXED BY %s", q->index);
	at = (size_t)snprintf(text, sizeof(text), "SELECT " COLUMNS);
	for (size_t i = 0; i < N_TEXTS; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, ", r.%s", texts[i]);
	snprintf(text + at, sizeof(text) - at, " FROM %s%s%s ORDER BY %s DESC LIMIT ?", q->from ? q->from : from,
		 q->where[0] ? " WHERE " : "", q->where, q->from ? "h.record" : "r.id");
	*rc = sqlite3_prepare_v2(x->db, text, -1, &s, NULL);
	if (*rc != SQLITE_OK)
		return NULL;
	for (size_t i = 0; i < q->n; i++) {
		int k = (int)i + 1;

		if (!q->bind[i].p)
			sqlite3_bind_int64(s, k, q->bind[i].number);
		else if (q->bind[i].blob)
			sqlite3_bind_blob64(s, k, q->bind[i].p, q->bind[i].n, SQLITE_STATIC);
		else
			sqlite3_bind_text64(s, k, q->bind[i].p, q->bind[i].n, SQLITE_STATIC, SQLITE_UTF8);
	}
	return s;
}

/* ---- rows -------------------------------------------------------------------------------------- */

static json_t *time_of(int64_t id)
{
	int64_t ms = id >> INDEX_SEQUENCE;
	time_t t = (time_t)(ms / 1000);
	char day[32] = "", out[48];
	struct tm tm;

	if (id > 0 && gmtime_r(&t, &tm))
		strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, sizeof(out), "%s.%03dZ", day, (int)(ms % 1000));
	return json_string(out);
}

/* Text of a file that may be anybody's: it need not be UTF-8, whatever the type of its column. */
static json_t *text_of(sqlite3_stmt *s, int at)
{
	const char *p = (const char *)sqlite3_column_text(s, at);
	json_t *v;

	if (!p)
		return json_null();
	v = json_stringn(p, (size_t)sqlite3_column_bytes(s, at));
	return v ? v : json_string("(not UTF-8)");
}

static void put_ip(json_t *o, const char *name, sqlite3_stmt *s, int at)
{
	const void *p = sqlite3_column_blob(s, at);
	struct ip_addr ip;
	char buf[64];

	if (!p || sqlite3_column_bytes(s, at) != sizeof(ip.a)) {
		json_object_set_new(o, name, json_null());
		return;
	}
	memcpy(ip.a, p, sizeof(ip.a));
	json_object_set_new(o, name, json_string(ip_format(&ip, buf, sizeof(buf))));
}

static json_t *row(sqlite3_stmt *s)
{
	int64_t outcome = sqlite3_column_int64(s, C_OUTCOME);
	json_t *o = json_pack("{s:o, s:o, s:s}", "time", time_of(sqlite3_column_int64(s, C_ID)), "trace_id",
			      text_of(s, C_TRACE_ID), "outcome", outcome >= 0 && outcome < TRACE_OUTCOMES ?
			      trace_outcome_name((enum trace_outcome)outcome) : "unknown");

	for (size_t i = 0; i < N_TEXTS; i++)
		json_object_set_new(o, texts[i], text_of(s, C_TEXTS + (int)i));
	if (json_is_null(json_object_get(o, "message_id")))
		json_object_set_new(o, "message_id", json_string(""));
	put_ip(o, "origin", s, C_ORIGIN);
	put_ip(o, "peer", s, C_PEER);
	put_ip(o, "local", s, C_LOCAL);
	put_ip(o, "egress", s, C_EGRESS);
	json_object_set_new(o, "score", sqlite3_column_type(s, C_SCORE) == SQLITE_NULL ?
			    json_null() : json_real(sqlite3_column_double(s, C_SCORE)));
	json_object_set_new(o, "size", json_integer(sqlite3_column_int64(s, C_SIZE)));
	json_object_set_new(o, "us", json_integer(sqlite3_column_int64(s, C_US)));
	json_object_set_new(o, "judge_us", json_integer(sqlite3_column_int64(s, C_JUDGE_US)));
	json_object_set_new(o, "_segment", json_integer(sqlite3_column_int64(s, C_SEGMENT)));
	json_object_set_new(o, "_offset", json_integer(sqlite3_column_int64(s, C_OFFSET)));
	json_object_set_new(o, "_length", json_integer(sqlite3_column_int64(s, C_LENGTH)));
	return o;
}

int trace_index_search(struct trace_index *x, const struct trace_search *search, json_t **records, int64_t *next,
		       char *err, size_t err_len)
{
	struct query *q = calloc(1, sizeof(*q));
	sqlite3_stmt *s = NULL;
	int64_t last = 0;
	size_t n = 0;
	int rc;

	*records = json_array();
	if (!q || !*records) {
		*next = 0;
		free(q);
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	rc = build(q, search, err, err_len);
	*next = 0; /* it may be the caller's search->before */
	if (rc)
		goto out;
	s = compile(x, q, &rc);
	if (s)
		/* One more says whether there is a next page. */
		sqlite3_bind_int64(s, (int)q->n + 1, (sqlite3_int64)search->limit + 1);
	while (s && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		if (n++ == search->limit) {
			*next = last;
			break;
		}
		last = sqlite3_column_int64(s, C_ID);
		json_array_append_new(*records, row(s));
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		snprintf(err, err_len, "%s", sqlite3_errmsg(x->db));
	rc = trace_index_errno(rc);
out:
	sqlite3_finalize(s);
	free(q);
	return rc;
}

json_t *trace_index_events(struct trace_index *x, const char *trace_id)
{
	json_t *a = json_array();
	sqlite3_stmt *s;

	if (sqlite3_prepare_v2(x->db, "SELECT time, what FROM event WHERE trace_id = ? ORDER BY time LIMIT 100",
			       -1, &s, NULL) != SQLITE_OK)
		return a;
	sqlite3_bind_text(s, 1, trace_id, -1, SQLITE_STATIC);
	while (sqlite3_step(s) == SQLITE_ROW)
		json_array_append_new(a, json_pack("{s:o, s:o}", "time",
			time_of(sqlite3_column_int64(s, 0) << INDEX_SEQUENCE), "event", text_of(s, 1)));
	sqlite3_finalize(s);
	return a;
}

bool trace_index_segment(struct trace_index *x, int64_t segment, uint64_t *key)
{
	sqlite3_stmt *s;
	bool found = false;

	if (sqlite3_prepare_v2(x->db, "SELECT key FROM segment WHERE id = ?", -1, &s, NULL) != SQLITE_OK)
		return false;
	sqlite3_bind_int64(s, 1, segment);
	if (sqlite3_step(s) == SQLITE_ROW) {
		*key = (uint64_t)sqlite3_column_int64(s, 0);
		found = true;
	}
	sqlite3_finalize(s);
	return found;
}
