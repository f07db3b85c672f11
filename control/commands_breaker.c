/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `breaker show` and `breaker ack`. */

#include <errno.h>
#include <stdlib.h>

#include "control/loop.h"

static json_t *one(const struct deliver_breaker_status *s)
{
	return json_pack("{s:s, s:b, s:s, s:I, s:I, s:f, s:f, s:f, s:I}", "route", s->route, "open", s->open,
			 "by", !s->open ? "" : s->by_known ? "known" : "share", "open_s",
			 (json_int_t)s->open_s, "opened", (json_int_t)s->opened, "share", s->share,
			 "base", s->base, "limit", s->limit, "samples", (json_int_t)s->samples);
}

json_t *commands_breakers(const struct loop *l)
{
	const struct config *c = l->active->config;
	struct deliver_breaker_status *s = calloc(c->n_routes, sizeof(*s));
	json_t *a = json_array();
	size_t n = s ? deliver_breakers(l->deliver, c, s, c->n_routes) : 0;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(a, one(&s[i]));
	free(s);
	return a;
}

void commands_show_breaker(void *arg, struct api_request *req, const json_t *body)
{
	(void)body;
	api_reply(req, json_pack("{s:o}", "breakers", commands_breakers(arg)));
}

void commands_ack_breaker(void *arg, struct api_request *req, const json_t *body)
{
	struct loop *l = arg;
	const char *route = json_string_value(json_object_get(body, "route"));
	bool learn = json_is_true(json_object_get(body, "learn"));

	switch (route ? deliver_breaker_ack(l->deliver, l->active->config, route, learn) : -ENOENT) {
	case 0:
		api_reply(req, json_pack("{s:s, s:b}", "route", route, "learned", learn));
		return;
	case -EALREADY:
		api_error(req, "failed", "the breaker of route \"%.64s\" is not open", route);
		return;
	default:
		api_error(req, "not-found", "there is no route \"%.64s\"", route ? route : "");
	}
}
