/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `show routes`: what is under way to each, how long it takes, and what is done about it. */

#include <stdlib.h>

#include "control/loop.h"

static json_t *times(const uint64_t us[2])
{
	return json_pack("{s:I, s:I}", "p50_us", (json_int_t)us[0], "p99_us", (json_int_t)us[1]);
}

static json_t *stages(const struct load_view *v)
{
	json_t *o = json_object();

	for (int i = 0; i < LOAD_STAGES; i++) {
		json_t *stage = times(v->stage_us[i]);

		json_object_set_new(stage, "usual_us", json_integer((json_int_t)v->usual_us[i]));
		json_object_set_new(o, load_stage_name((enum load_stage)i), stage);
	}
	return o;
}

static json_t *one(const struct deliver_load_status *s)
{
	const struct load_view *v = &s->load;

	return json_pack("{s:s, s:s, s:s, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:I, s:I, s:I}",
		"route", s->route, "state", load_state_name(v->state), "cause", load_cause_name(v->cause),
		"shedding_s", (double)v->state_us / 1e6, "outstanding", (json_int_t)v->outstanding, "bound",
		(json_int_t)v->bound, "waiting", (json_int_t)s->waiting, "connections",
		(json_int_t)s->connections, "max_connections", (json_int_t)s->max_connections, "held",
		(json_int_t)v->held, "wait", times(v->wait_us), "message", times(v->whole_us), "stages",
		stages(v), "opened", (json_int_t)v->opened, "refused_bound", (json_int_t)v->refused_bound,
		"refused_memory", (json_int_t)v->refused_memory);
}

json_t *commands_routes(const struct loop *l)
{
	const struct config *c = l->active->config;
	struct deliver_load_status *s = calloc(c->n_routes, sizeof(*s));
	json_t *a = json_array();
	size_t n = s ? deliver_loads(l->deliver, c, s, c->n_routes) : 0;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(a, one(&s[i]));
	free(s);
	return a;
}

void commands_show_routes(void *arg, struct api_request *req, const json_t *body)
{
	(void)body;
	api_reply(req, json_pack("{s:o}", "routes", commands_routes(arg)));
}
