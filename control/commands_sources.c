/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `show sources` and `sources forgive`. */

#include <stdio.h>
#include <string.h>

#include "control/loop.h"
#include "postern/limits.h"

static json_t *limits(uint8_t bits)
{
	json_t *a = json_array();

	for (unsigned int i = 0; i < ADMISSION_LIMITS; i++)
		if (bits & 1u << i)
			json_array_append_new(a, json_string(admission_limit_name((enum admission_limit)i)));
	return a;
}

static json_t *one(const struct admission_view *v)
{
	json_t *failures = json_object(), *hit = json_object();
	char text[64];
	size_t n;

	for (unsigned int i = 0; i < FAILURE_KINDS; i++)
		json_object_set_new(failures, admission_failure_name((enum admission_failure)i),
				    json_real((double)v->failures[i]));
	for (unsigned int i = 0; i < ADMISSION_LIMITS; i++)
		json_object_set_new(hit, admission_limit_name((enum admission_limit)i),
				    json_integer((json_int_t)v->hit[i]));
	ip_format(&v->source.addr, text, sizeof(text));
	n = strlen(text);
	if (v->source.prefix != 128)
		snprintf(text + n, sizeof(text) - n, "/%u", v->source.prefix);
	return json_pack("{s:s, s:b, s:o, s:I, s:I, s:I, s:I, s:f, s:o, s:o, s:I}", "source", text, "good",
			 v->good, "over", limits(v->over), "sessions", (json_int_t)v->sessions, "connects",
			 (json_int_t)v->connects, "rate", (json_int_t)v->rate, "prefixes",
			 (json_int_t)v->prefixes, "accepted", (double)v->accepted, "failures", failures,
			 "hit", hit, "idle_s", (json_int_t)v->idle_s);
}

static json_t *list(const struct admission_view *v, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(a, one(&v[i]));
	return a;
}

/* False: answered with an error. */
static bool address_of(struct api_request *req, const json_t *body, struct ip_addr *ip)
{
	const char *text = json_string_value(json_object_get(body, "address"));

	if (text && ip_parse(str_c(text), ip))
		return true;
	api_error(req, "bad-request", "\"%.64s\" is no IP address", text ? text : "");
	return false;
}

void commands_show_sources(void *arg, struct api_request *req, const json_t *body)
{
	struct loop *l = arg;
	const struct config *c = l->active->config;
	static const char *const listed[] = {"no", "allow", "deny"};
	struct admission_view v[LIMIT_SOURCES_SHOWN];
	struct admission *a = sources_table(l);
	uint64_t now = sources_now_ms();
	struct admission_stats stats;
	struct ip_addr ip;
	json_t *answer;
	size_t n;

	if (json_object_get(body, "address")) {
		if (!address_of(req, body, &ip))
			return;
		n = admission_look(a, &c->sources, &ip, now, v);
		api_reply(req, json_pack("{s:s, s:o}", "listed",
			listed[admission_listed(&c->policy.deny, &c->policy.allow, &ip)], "sources", list(v, n)));
		return;
	}
	admission_stats(a, &stats);
	answer = json_pack("{s:I, s:I, s:I}", "known", (json_int_t)stats.used, "room",
			   (json_int_t)stats.entries, "evicted", (json_int_t)stats.evicted);
	n = admission_list(a, &c->sources, now, ADMISSION_WORST, v, LIMIT_SOURCES_SHOWN);
	json_object_set_new(answer, "worst", list(v, n));
	n = admission_list(a, &c->sources, now, ADMISSION_BUSIEST, v, LIMIT_SOURCES_SHOWN);
	json_object_set_new(answer, "busiest", list(v, n));
	api_reply(req, answer);
}

void commands_forgive_source(void *arg, struct api_request *req, const json_t *body)
{
	struct loop *l = arg;
	struct ip_addr ip;

	if (address_of(req, body, &ip))
		api_reply(req, json_pack("{s:I}", "forgiven",
					 (json_int_t)admission_forgive(sources_table(l), &ip)));
}
