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

int trace_index_shares(struct trace_index *x, int64_t since_ms,
		       void (*one)(void *arg, const struct trace_share_row *r), void *arg)
{
	static const char text[] = "SELECT route, egress, local, outcome, count(*) FROM record NOT INDEXED"
				   " WHERE id >= ? GROUP BY 1, 2, 3, 4";
	sqlite3_stmt *s;
	int rc = sqlite3_prepare_v2(x->db, text, -1, &s, NULL);

	if (rc != SQLITE_OK)
		return trace_index_errno(rc);
	sqlite3_bind_int64(s, 1, since_ms << INDEX_SEQUENCE);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		char egress[48], local[48];
		int64_t outcome = sqlite3_column_int64(s, 3);
		const char *route = (const char *)sqlite3_column_text(s, 0);

		address(s, 1, egress);
		address(s, 2, local);
		if (outcome < 0 || outcome >= TRACE_OUTCOMES)
			continue;
		one(arg, &(struct trace_share_row){route ? route : "", egress, local,
						   (enum trace_outcome)outcome,
						   (uint64_t)sqlite3_column_int64(s, 4)});
	}
	sqlite3_finalize(s);
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
