/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Which way a search goes. Each index ends in the record's number, so one that has a value gives its records
 * newest first, and a page is read without what lies behind it. But which index it should be depends on how
 * many records a sender, a domain of ours or a network has, and where in time they lie, which nobody counts.
 *
 * So all ways are tried in turn, each for so many steps of SQLite's machine, then each for more: the first that
 * comes to its end has the answer, after a few times the steps that the best one needs alone. Whatever else is
 * asked for is looked up in the index that has it, not in the record, which is some hundred octets on another
 * page: neighbours of one index lie on the pages that were read a moment ago.
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "control/trace/index_internal.h"

#ifndef STEPS_FIRST          /* the test has ways given up after a few records */
#define STEPS_FIRST 200000   /* a few milliseconds */
#define STEPS_LOOK  1000     /* after so many it is looked whether they are used up */
#endif
#define STEPS_GROWTH 6
#define ROUNDS	     4

#define BY_NUMBER ((size_t)-1)
#define BY_RULE	  ((size_t)-2)

struct text {
	char p[4096];
	size_t n;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(t->p + t->n, sizeof(t->p) - t->n, format, ap);
	va_end(ap);
	t->n += n > 0 ? (size_t)n : 0;
	if (t->n >= sizeof(t->p))
		t->n = sizeof(t->p) - 1;
}

static const char *join(const struct text *t)
{
	return strstr(t->p, " WHERE ") ? "AND" : "WHERE";
}

/* Values behind those of the terms. */
static size_t rule_at(const struct index_find *f)
{
	return f->n_values + 1;
}

static void put_rule(struct text *t, const struct index_find *f, size_t way)
{
	if (way == BY_RULE)
		put(t, " %s r.rule = (SELECT id FROM rule WHERE name = ?%zu)", join(t), rule_at(f));
	else
		put(t, " %s EXISTS (SELECT 1 FROM hit h WHERE h.rule = (SELECT id FROM rule WHERE name = ?%zu)"
		    " AND h.record = r.id)", join(t), rule_at(f));
}

static void put_term(struct text *t, const struct index_term *m, bool here, const char *id)
{
	char index[64] = "NOT INDEXED";

	if (here) {
		put(t, " %s %s", join(t), m->text);
		return;
	}
	/* A range of values and one number: no index has that, the record does. */
	if (m->index && !m->unordered)
		snprintf(index, sizeof(index), "INDEXED BY %.40s", m->index);
	put(t, " %s EXISTS (SELECT 1 FROM record o %s WHERE %s AND o.id = %s)", join(t), index, m->text, id);
}

/* way: the term whose index leads, BY_RULE or BY_NUMBER. */
static void statement(struct text *t, const struct index_find *f, size_t way)
{
	const char *id = way == BY_RULE ? "r.record" : "r.id";

	t->n = 0;
	if (way == BY_RULE)
		put(t, "SELECT r.record FROM hit r");
	else if (way == BY_NUMBER)
		put(t, "SELECT r.id FROM record r NOT INDEXED");
	else
		put(t, "SELECT r.id FROM record r INDEXED BY %s", f->term[way].index);
	for (size_t i = 0; i < f->n_terms; i++)
		put_term(t, &f->term[i], way == BY_NUMBER || way == i, id);
	if (f->rule)
		put_rule(t, f, way);
	if (f->from)
		put(t, " %s %s >= ?%zu", join(t), id, f->n_values + 2);
	if (f->below)
		put(t, " %s %s < ?%zu", join(t), id, f->n_values + 3);
	put(t, " ORDER BY %s DESC LIMIT ?%zu", id, f->n_values + 4);
}

static void bind_values(sqlite3_stmt *s, const struct index_find *f, size_t limit)
{
	int k = (int)f->n_values;

	for (size_t i = 0; i < f->n_values; i++) {
		const struct index_value *v = &f->value[i];

		if (!v->p)
			sqlite3_bind_int64(s, (int)i + 1, v->number);
		else if (v->blob)
			sqlite3_bind_blob64(s, (int)i + 1, v->p, v->n, SQLITE_STATIC);
		else
			sqlite3_bind_text64(s, (int)i + 1, v->p, v->n, SQLITE_STATIC, SQLITE_UTF8);
	}
	/* Those that the statement does not have are out of range, which is no harm. */
	if (f->rule)
		sqlite3_bind_text(s, k + 1, f->rule, -1, SQLITE_STATIC);
	if (f->from)
		sqlite3_bind_int64(s, k + 2, f->from);
	if (f->below)
		sqlite3_bind_int64(s, k + 3, f->below);
	sqlite3_bind_int64(s, k + 4, (sqlite3_int64)limit);
}

static int used_up(void *arg)
{
	return (*(long long *)arg -= STEPS_LOOK) < 0;
}

/* steps 0: as many as it takes. SQLITE_INTERRUPT: they were not enough. */
static int go(struct trace_index *x, const struct index_find *f, size_t way, long long steps, int64_t *id,
	      size_t limit, size_t *n)
{
	sqlite3_stmt *s = NULL;
	struct text t;
	int rc;

	statement(&t, f, way);
	*n = 0;
	rc = sqlite3_prepare_v2(x->db, t.p, (int)t.n, &s, NULL);
	if (rc != SQLITE_OK)
		return rc;
	bind_values(s, f, limit);
	sqlite3_progress_handler(x->db, STEPS_LOOK, steps ? used_up : NULL, &steps);
	while (*n < limit && (rc = sqlite3_step(s)) == SQLITE_ROW)
		id[(*n)++] = sqlite3_column_int64(s, 0);
	sqlite3_progress_handler(x->db, 0, NULL, NULL);
	rc = rc == SQLITE_ROW ? SQLITE_DONE : rc;
	sqlite3_finalize(s);
	return rc;
}

int trace_index_find(struct trace_index *x, const struct index_find *f, int64_t *id, size_t limit, size_t *n)
{
	size_t way[INDEX_TERMS + 2], n_ways = 0;
	long long steps = STEPS_FIRST;
	int rc = SQLITE_DONE;

	for (size_t i = 0; i < f->n_terms; i++)
		if (f->term[i].index)
			way[n_ways++] = i;
	if (f->rule)
		way[n_ways++] = BY_RULE;
	way[n_ways++] = BY_NUMBER;
	for (int round = 0; round < ROUNDS; round++, steps *= STEPS_GROWTH)
		for (size_t i = 0; i < n_ways; i++) {
			rc = go(x, f, way[i], n_ways == 1 || round == ROUNDS - 1 ? 0 : steps, id, limit, n);
			if ((rc & 0xff) != SQLITE_INTERRUPT)
				return rc;
		}
	return rc;
}
