/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Searches: what is asked becomes conditions, index_find.c finds the numbers, and of those the records are read. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/trace/index_internal.h"
#include "control/rfc3339.h"

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

/* What is looked for, and the octets of it that are not the caller's. */
struct query {
	struct index_find find;
	char sender[ROW_KEY], rcpt[ROW_KEY];
	char trace_id[64], message_id[1100];
	struct ip_addr first, last;
};

static size_t value(struct query *q, struct index_value v)
{
	q->find.value[q->find.n_values++] = v;
	return q->find.n_values;
}

static size_t text_value(struct query *q, const char *text)
{
	return value(q, (struct index_value){.p = text, .n = strlen(text)});
}

static size_t ip_value(struct query *q, const struct ip_addr *ip)
{
	return value(q, (struct index_value){.p = ip->a, .n = sizeof(ip->a), .blob = true});
}

/* An index that the database does not have is not taken. */
static struct index_term *term(struct trace_index *x, struct query *q, const char *index)
{
	struct index_term *t = &q->find.term[q->find.n_terms++];

	t->index = trace_index_has(x, index) ? index : NULL;
	return t;
}

static void with_text(struct trace_index *x, struct query *q, const char *index, const char *column,
		      const char *text)
{
	struct index_term *t = term(x, q, index);

	snprintf(t->text, sizeof(t->text), "%s = ?%zu", column, text_value(q, text));
}

static void with_trace_id(struct trace_index *x, struct query *q, const char *id)
{
	/* As they are made: upper case. */
	for (size_t i = 0; i < sizeof(q->trace_id) - 1 && id[i]; i++)
		q->trace_id[i] = (char)(id[i] >= 'a' && id[i] <= 'z' ? id[i] - 32 : id[i]);
	with_text(x, q, "by_trace_id", "trace_id", q->trace_id);
}

static void with_message_id(struct trace_index *x, struct query *q, const char *id)
{
	struct index_term *t = term(x, q, "by_message_id");
	size_t n = strlen(id), bare = text_value(q, id);

	if (n > sizeof(q->message_id) - 3)
		n = sizeof(q->message_id) - 3;
	/* As it stands in the message, or without its brackets as other logs have it. */
	snprintf(q->message_id, sizeof(q->message_id), "<%.*s>", (int)n, id);
	snprintf(t->text, sizeof(t->text), "message_id IN (?%zu, ?%zu)", bare, text_value(q, q->message_id));
	t->unordered = true;
}

static void with_address(struct trace_index *x, struct query *q, bool sender, const char *address)
{
	char *key = sender ? q->sender : q->rcpt;
	const char *domain = row_key(address, strlen(address), key);

	if (address[0] == '@')
		with_text(x, q, sender ? "by_sender_domain" : "by_rcpt_domain",
			  sender ? "sender_domain" : "rcpt_domain", *domain ? domain : key + 1);
	else
		with_text(x, q, sender ? "by_sender" : "by_rcpt",
			  sender ? "ifnull(sender_key, mail_from)" : "ifnull(rcpt_key, rcpt)", key);
}

static int with_origin(struct trace_index *x, struct query *q, const char *text, char *err, size_t err_len)
{
	struct index_term *t;
	struct ip_net net;
	size_t first;

	if (!ip_net_parse(str_c(text), &net)) {
		snprintf(err, err_len, "%.60s is no address or network", text);
		return -EINVAL;
	}
	q->first = q->last = net.addr;
	for (unsigned int i = net.prefix; i < 128; i++) {
		q->first.a[i / 8] &= (uint8_t)~(0x80u >> i % 8);
		q->last.a[i / 8] |= (uint8_t)(0x80u >> i % 8);
	}
	t = term(x, q, "by_origin");
	first = ip_value(q, &q->first);
	t->unordered = net.prefix < 128;
	if (t->unordered)
		snprintf(t->text, sizeof(t->text), "origin >= ?%zu AND origin <= ?%zu", first, ip_value(q, &q->last));
	else
		snprintf(t->text, sizeof(t->text), "origin = ?%zu", first);
	return 0;
}

static int with_outcome(struct trace_index *x, struct query *q, const char *text, char *err, size_t err_len)
{
	enum trace_outcome o = trace_outcome_of(text);
	struct index_term *t;

	if (o == TRACE_OUTCOMES) {
		snprintf(err, err_len, "%.60s is no outcome: delivered, rejected, deferred, quarantined, "
			 "discarded, aborted, observed or unjudged", text);
		return -EINVAL;
	}
	t = term(x, q, "by_outcome");
	snprintf(t->text, sizeof(t->text), "outcome = ?%zu", value(q, (struct index_value){.number = o}));
	return 0;
}

/* What is rare comes first: that way is the first to be tried. */
static int build(struct trace_index *x, struct query *q, const struct trace_search *s, char *err, size_t err_len)
{
	struct index_find *f = &q->find;
	int rc = 0;

	if (s->trace_id)
		with_trace_id(x, q, s->trace_id);
	if (s->message_id)
		with_message_id(x, q, s->message_id);
	if (s->mail_from)
		with_address(x, q, true, s->mail_from);
	if (s->rcpt)
		with_address(x, q, false, s->rcpt);
	if (s->origin)
		rc = with_origin(x, q, s->origin, err, err_len);
	if (!rc && s->outcome)
		rc = with_outcome(x, q, s->outcome, err, err_len);
	if (s->route)
		with_text(x, q, "by_route", "route", s->route);
	f->rule = s->rule;
	f->from = s->since_ms << INDEX_SEQUENCE;
	f->below = s->until_ms << INDEX_SEQUENCE;
	if (s->before && (!f->below || s->before < f->below))
		f->below = s->before;
	return rc;
}

/* ---- rows -------------------------------------------------------------------------------------- */

static json_t *time_of(int64_t id)
{
	char text[RFC3339];

	return json_string(id > 0 ? rfc3339_ms((uint64_t)(id >> INDEX_SEQUENCE), text) : "?");
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

static int read_rows(struct trace_index *x, const int64_t *id, size_t n, json_t *records)
{
	sqlite3_stmt *s = NULL;
	char text[1024];
	size_t at = (size_t)snprintf(text, sizeof(text), "SELECT " COLUMNS);
	int rc;

	for (size_t i = 0; i < N_TEXTS; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, ", r.%s", texts[i]);
	snprintf(text + at, sizeof(text) - at, " FROM record r WHERE r.id = ?");
	rc = sqlite3_prepare_v2(x->db, text, -1, &s, NULL);
	for (size_t i = 0; rc == SQLITE_OK && i < n; i++) {
		sqlite3_bind_int64(s, 1, id[i]);
		rc = sqlite3_step(s);
		if (rc == SQLITE_ROW)
			json_array_append_new(records, row(s));
		rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? sqlite3_reset(s) : rc;
	}
	sqlite3_finalize(s);
	return rc;
}

/* Within a transaction, the caller's batch or one of its own: numbers and records are of one moment. */
static int look(struct trace_index *x, struct query *q, size_t limit, json_t *records, int64_t *next)
{
	/* One more says whether there is a next page. */
	int64_t *id = calloc(limit + 1, sizeof(*id));
	bool own = sqlite3_get_autocommit(x->db);
	int rc = SQLITE_OK;
	size_t n = 0;

	if (!id)
		return SQLITE_NOMEM;
	if (own)
		rc = sqlite3_exec(x->db, "BEGIN", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = trace_index_find(x, &q->find, id, limit + 1, &n);
	if (n > limit) {
		n = limit;
		*next = id[n - 1];
	}
	if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		rc = read_rows(x, id, n, records);
	/* Nothing was written, and its error would hide the one that there was. */
	if (own && rc == SQLITE_OK)
		rc = sqlite3_exec(x->db, "COMMIT", NULL, NULL, NULL);
	free(id);
	return rc;
}

int trace_index_search(struct trace_index *x, const struct trace_search *search, json_t **records, int64_t *next,
		       char *err, size_t err_len)
{
	struct query *q = calloc(1, sizeof(*q));
	bool own = sqlite3_get_autocommit(x->db);
	int rc;

	*records = json_array();
	if (!q || !*records) {
		*next = 0;
		free(q);
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	rc = build(x, q, search, err, err_len);
	*next = 0; /* it may be the caller's search->before */
	if (!rc) {
		rc = look(x, q, search->limit, *records, next);
		if (rc != SQLITE_OK)
			snprintf(err, err_len, "%s", sqlite3_errmsg(x->db));
		if (own && !sqlite3_get_autocommit(x->db))
			sqlite3_exec(x->db, "ROLLBACK", NULL, NULL, NULL);
		rc = trace_index_errno(rc);
	}
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
