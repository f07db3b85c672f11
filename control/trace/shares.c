/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/trace/shares.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/trace/index_internal.h"

#define WAYS_MAX 1024u

struct way {
	char route[64], egress[48], local[48];
	uint64_t n[TRACE_OUTCOMES], all;
};

struct ways {
	struct way *way;
	size_t n;
};

static bool address(sqlite3_stmt *s, int at, char out[48])
{
	const void *p = sqlite3_column_blob(s, at);
	struct ip_addr ip;

	out[0] = '\0';
	if (!p || sqlite3_column_bytes(s, at) != sizeof(ip.a))
		return false;
	memcpy(ip.a, p, sizeof(ip.a));
	ip_format(&ip, out, 48);
	return true;
}

static void tell(sqlite3_stmt *s, uint64_t n, void (*one)(void *arg, const struct trace_share_row *r), void *arg)
{
	char egress[48], local[48];
	int64_t outcome = sqlite3_column_int64(s, 3);
	const char *route = (const char *)sqlite3_column_text(s, 0);

	address(s, 1, egress);
	address(s, 2, local);
	if (n && outcome >= 0 && outcome < TRACE_OUTCOMES)
		one(arg, &(struct trace_share_row){route ? route : "", egress, local, (enum trace_outcome)outcome, n});
}

/* Of a database without by_way: an older version's that has no room for it. */
static int count_all(struct trace_index *x, int64_t from, void (*one)(void *arg, const struct trace_share_row *r),
		     void *arg)
{
	static const char text[] = "SELECT route, egress, local, outcome, count(*) FROM record NOT INDEXED"
				   " WHERE id >= ? GROUP BY 1, 2, 3, 4";
	sqlite3_stmt *s;
	int rc = sqlite3_prepare_v2(x->db, text, -1, &s, NULL);

	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_int64(s, 1, from);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW)
		tell(s, (uint64_t)sqlite3_column_int64(s, 4), one, arg);
	sqlite3_finalize(s);
	return rc;
}

/*
 * There are millions of records and a handful of ways: from each way and outcome the index is asked for the next,
 * and of each only the records since then are counted, which lie side by side. The next one differs in the last
 * column, or, if there is none, in the one before, and so on. NULL comes before everything, and IS finds it.
 */
#define WAY_COLUMNS 4
#define WAY_SELECT "SELECT route, egress, local, outcome FROM record INDEXED BY by_way"
#define WAY_NEXT   " ORDER BY route, egress, local, outcome LIMIT 1"

struct walk {
	sqlite3_stmt *next[WAY_COLUMNS][2]; /* [1]: where the column is NULL */
	sqlite3_stmt *count;
	sqlite3_value *at[WAY_COLUMNS];
};

static int prepare(struct trace_index *x, struct walk *w)
{
	static const char *const column[WAY_COLUMNS] = {"route", "egress", "local", "outcome"};
	char text[512], same[256] = "";
	int rc = SQLITE_OK;

	for (int i = 0; rc == SQLITE_OK && i < WAY_COLUMNS; i++) {
		size_t n = strlen(same);

		snprintf(text, sizeof(text), WAY_SELECT " WHERE %s%s > ?%d" WAY_NEXT, same, column[i], i + 1);
		rc = sqlite3_prepare_v2(x->db, text, -1, &w->next[i][0], NULL);
		snprintf(text, sizeof(text), WAY_SELECT " WHERE %s%s IS NOT NULL" WAY_NEXT, same, column[i]);
		if (rc == SQLITE_OK)
			rc = sqlite3_prepare_v2(x->db, text, -1, &w->next[i][1], NULL);
		snprintf(same + n, sizeof(same) - n, "%s IS ?%d AND ", column[i], i + 1);
	}
	snprintf(text, sizeof(text), "SELECT count(*) FROM record INDEXED BY by_way WHERE %sid >= ?%d", same,
		 WAY_COLUMNS + 1);
	return rc == SQLITE_OK ? sqlite3_prepare_v2(x->db, text, -1, &w->count, NULL) : rc;
}

static void forget(struct walk *w)
{
	for (int i = 0; i < WAY_COLUMNS; i++) {
		sqlite3_finalize(w->next[i][0]);
		sqlite3_finalize(w->next[i][1]);
		sqlite3_value_free(w->at[i]);
	}
	sqlite3_finalize(w->count);
}

static void bind_way(sqlite3_stmt *s, const struct walk *w, int n)
{
	sqlite3_reset(s);
	for (int i = 0; i < n; i++)
		sqlite3_bind_value(s, i + 1, w->at[i]);
}

/* The statement that has the next way as its row; NULL: *rc is SQLITE_DONE, or why not. */
static sqlite3_stmt *following(struct walk *w, int *rc)
{
	for (int i = WAY_COLUMNS; i--;) {
		bool null = sqlite3_value_type(w->at[i]) == SQLITE_NULL;
		sqlite3_stmt *s = w->next[i][null];

		bind_way(s, w, null ? i : i + 1);
		*rc = sqlite3_step(s);
		if (*rc == SQLITE_ROW)
			return s;
		if (*rc != SQLITE_DONE)
			return NULL;
	}
	return NULL;
}

static int take(struct walk *w, sqlite3_stmt *s)
{
	for (int i = 0; i < WAY_COLUMNS; i++) {
		sqlite3_value *v = sqlite3_value_dup(sqlite3_column_value(s, i));

		if (!v)
			return SQLITE_NOMEM;
		sqlite3_value_free(w->at[i]);
		w->at[i] = v;
	}
	return SQLITE_OK;
}

static int count_ways(struct trace_index *x, struct walk *w, int64_t from,
		      void (*one)(void *arg, const struct trace_share_row *r), void *arg)
{
	sqlite3_stmt *first = NULL, *s;
	int rc = sqlite3_prepare_v2(x->db, WAY_SELECT WAY_NEXT, -1, &first, NULL);

	s = first;
	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	while (rc == SQLITE_ROW) {
		rc = take(w, s);
		if (rc != SQLITE_OK)
			break;
		bind_way(w->count, w, WAY_COLUMNS);
		sqlite3_bind_int64(w->count, WAY_COLUMNS + 1, from);
		rc = sqlite3_step(w->count);
		if (rc != SQLITE_ROW)
			break;
		tell(s, (uint64_t)sqlite3_column_int64(w->count, 0), one, arg);
		sqlite3_reset(w->count);
		s = following(w, &rc);
	}
	sqlite3_finalize(first);
	return rc;
}

int trace_index_shares(struct trace_index *x, int64_t since_ms,
		       void (*one)(void *arg, const struct trace_share_row *r), void *arg)
{
	int64_t from = since_ms << INDEX_SEQUENCE;
	struct walk w = {.count = NULL};
	int rc;

	if (!trace_index_has(x, "by_way"))
		return trace_index_errno(count_all(x, from, one, arg));
	rc = prepare(x, &w);
	if (rc == SQLITE_OK)
		rc = count_ways(x, &w, from, one, arg);
	forget(&w);
	return trace_index_errno(rc);
}

static void add(void *arg, const struct trace_share_row *r)
{
	struct ways *w = arg;
	size_t i = 0;

	while (i < w->n && (strcmp(w->way[i].route, r->route) || strcmp(w->way[i].egress, r->egress) ||
			    strcmp(w->way[i].local, r->local)))
		i++;
	/* A configuration has few; a file that is somebody else's may have any number. */
	if (i == WAYS_MAX || strlen(r->route) >= sizeof(w->way[i].route))
		return;
	if (i == w->n) {
		w->n++;
		strcpy(w->way[i].route, r->route);
		strcpy(w->way[i].egress, r->egress);
		strcpy(w->way[i].local, r->local);
	}
	w->way[i].n[r->outcome] += r->n;
	w->way[i].all += r->n;
}

static const char *family(const char *address)
{
	return !*address ? "" : strchr(address, ':') ? "v6" : "v4";
}

static json_t *way_json(const struct way *w)
{
	json_t *o = json_object();

	for (int i = 0; i < TRACE_OUTCOMES; i++)
		if (w->n[i])
			json_object_set_new(o, trace_outcome_name((enum trace_outcome)i),
					    json_integer((json_int_t)w->n[i]));
	return json_pack("{s:o, s:s, s:s, s:s, s:s, s:I, s:o}", "route", json_string(w->route), "listener",
			 w->local, "listener_family", family(w->local), "egress", w->egress, "egress_family",
			 family(w->egress), "messages", (json_int_t)w->all, "outcomes", o);
}

/* Two shares of samples; how many standard deviations they are apart if they are of one. */
static bool differ(uint64_t a, uint64_t n, uint64_t b, uint64_t m)
{
	double p = (double)a / (double)n, q = (double)b / (double)m;
	double both = (double)(a + b) / (double)(n + m);
	double sigma = sqrt(both * (1 - both) * (1 / (double)n + 1 / (double)m));

	return fabs(p - q) >= SHARES_DIFFERENCE && sigma > 0 && fabs(p - q) / sigma >= SHARES_SIGMA;
}

/* Only ways on which mail came to a next hop: without an egress address it was decided before. */
static void compare(const struct ways *w, size_t at, json_t *findings)
{
	const struct way *me = &w->way[at];
	struct way others = {0};
	char text[400];

	for (size_t i = 0; i < w->n; i++) {
		const struct way *o = &w->way[i];

		if (i == at || !*o->egress || strcmp(o->route, me->route))
			continue;
		for (int k = 0; k < TRACE_OUTCOMES; k++)
			others.n[k] += o->n[k];
		others.all += o->all;
	}
	if (!*me->egress || me->all < SHARES_SAMPLES || others.all < SHARES_SAMPLES)
		return;
	for (int k = 0; k < TRACE_OUTCOMES; k++) {
		const char *name = trace_outcome_name((enum trace_outcome)k);
		double share = (double)me->n[k] / (double)me->all;
		double rest = (double)others.n[k] / (double)others.all;

		if (k == TRACE_ABORTED || !differ(me->n[k], me->all, others.n[k], others.all))
			continue;
		snprintf(text, sizeof(text), "route %s by %s from %s: %.1f%% %s of %llu, %.1f%% by its "
			 "other ways", me->route, me->egress, me->local, 100 * share, name,
			 (unsigned long long)me->all, 100 * rest);
		json_array_append_new(findings, json_pack("{s:o, s:s, s:s, s:s, s:f, s:f, s:I, s:o}", "route",
			json_string(me->route), "listener", me->local, "egress", me->egress, "outcome", name,
			"share", share, "others", rest, "messages", (json_int_t)me->all, "text",
			json_string(text)));
	}
}

int shares_of(struct trace_index *x, int64_t since_ms, json_t **out)
{
	struct ways w = {.way = calloc(WAYS_MAX, sizeof(*w.way))};
	json_t *ways = json_array(), *findings = json_array();
	int rc = w.way ? trace_index_shares(x, since_ms, add, &w) : -ENOMEM;

	for (size_t i = 0; !rc && i < w.n; i++) {
		json_array_append_new(ways, way_json(&w.way[i]));
		compare(&w, i, findings);
	}
	free(w.way);
	*out = json_pack("{s:I, s:o, s:o}", "since_ms", (json_int_t)since_ms, "ways", ways, "findings", findings);
	return rc;
}
