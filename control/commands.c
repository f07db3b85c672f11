/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What the operator's socket answers. Shapes are documented in docs/api.md; posternctl makes the
 * tables out of them. */

#include <stdio.h>
#include <string.h>

#include "control/loop.h"
#include "control/reload.h"
#include "control/trace/facts.h"
#include "control/watch/watch.h"
#include "postern/clock.h"

#define MAX_HOSTS 256
#define MAX_SESSIONS_SHOWN 5000
#define TRACE_LIMIT_DEFAULT 20
#define TRACE_LIMIT_MAX 1000

static const struct postern_counter_info dp_info[] = {POSTERN_DP_COUNTERS(POSTERN_COUNTER_INFO)};
static const struct postern_counter_info ctl_info[] = {POSTERN_CTL_COUNTERS(POSTERN_COUNTER_INFO)};

static json_t *address(const struct ip_addr *ip)
{
	char buf[64];

	return json_string(ip_format(ip, buf, sizeof(buf)));
}

/* ---- show status ------------------------------------------------------------------------------- */

static json_t *listeners(const struct config *c)
{
	json_t *a = json_array();

	for (size_t i = 0; i < c->n_listeners; i++) {
		json_t *addr = json_array();

		for (size_t k = 0; k < c->listener[i].n_addresses; k++)
			json_array_append_new(addr, address(&c->listener[i].address[k].addr));
		json_array_append_new(a, json_pack("{s:s, s:i, s:i, s:o}", "name", c->listener[i].name,
			"port", (int)c->listener[i].ethdev, "smtp_port", (int)c->listener[i].smtp_port,
			"address", addr));
	}
	return a;
}

static json_t *inlines(const struct config *c)
{
	static const char *const mode[] = {
		[INLINE_TERMINATE] = "terminate", [INLINE_OBSERVE] = "observe", [INLINE_BYPASS] = "bypass"};
	json_t *a = json_array();
	char text[64];

	for (size_t i = 0; i < c->n_inlines; i++) {
		const struct config_inline *s = &c->inlined[i];
		json_t *nets = json_array();

		for (size_t k = 0; k < s->n_nets; k++) {
			const struct ip_net *n = &s->net[k];
			size_t at;

			ip_format(&n->addr, text, sizeof(text));
			at = strlen(text);
			snprintf(text + at, sizeof(text) - at, "/%d",
				 n->prefix - (ip_is_v4(&n->addr) && n->prefix >= 96 ? 96 : 0));
			json_array_append_new(nets, json_string(text));
		}
		json_array_append_new(a, json_pack("{s:s, s:o, s:i, s:s, s:s, s:s, s:b, s:s}", "name", s->name,
			"addresses", nets, "port", (int)s->port, "mode",
			c->dataplane.bypass ? "bypass" : mode[s->mode], "hostname",
			config_inline_hostname(c, s), "route", s->route ? s->route->name : "", "starttls",
			s->tls, "client", !s->route ? "" : s->route->transparent ? "transparent"
							  : s->route->xclient    ? "xclient" : "proxy"));
	}
	return a;
}

json_t *commands_hosts(const struct loop *l)
{
	static struct deliver_host_status h[MAX_HOSTS];
	size_t n = deliver_status(l->deliver, h, MAX_HOSTS);
	json_t *a = json_array();

	for (size_t i = 0; i < n && i < MAX_HOSTS; i++)
		json_array_append_new(a, json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:s}",
			"route", h[i].route, "host", h[i].host, "port", (int)h[i].port, "connections",
			(int)h[i].connections, "busy", (int)h[i].busy, "waiting", (int)h[i].waiting,
			"delivered", (json_int_t)h[i].delivered, "rejected", (json_int_t)h[i].rejected,
			"deferred", (json_int_t)h[i].deferred, "last_error", h[i].last_error));
	return a;
}

static json_t *dataplane(const struct loop *l)
{
	const struct ctl_epoch *e = ctl_link_epoch(l->link);

	return json_pack("{s:b, s:I, s:i, s:f, s:I, s:s}", "linked", e != NULL, "epoch",
			 (json_int_t)(e ? ctl_epoch_id(e) : 0), "workers",
			 (int)(e ? ctl_epoch_workers(e) : 0), "since_s",
			 e ? clock_since(l->linked_ns) : 0.0, "max_message",
			 (json_int_t)(e ? ctl_epoch_max_message(e) : 0), "error", l->push_error);
}

/* Null: none are asked for. */
static json_t *metrics_status(const struct loop *l)
{
	if (!l->gauges && !l->metrics_error[0])
		return json_null();
	return json_pack("{s:b, s:o}", "open", l->gauges != NULL, "error",
			 l->metrics_error[0] ? trace_text(str_c(l->metrics_error)) : json_null());
}

static void show_status(void *arg, struct api_request *req, const json_t *body)
{
	struct loop *l = arg;
	const struct config *c = l->active->config;
	struct spf_stats spf;
	json_t *routes = json_array();

	(void)body;
	spf_jail_stats(l->spf, &spf);
	for (size_t i = 0; i < c->n_routes; i++)
		json_array_append_new(routes, json_string(c->route[i].name));
	api_reply(req, json_pack("{s:b, s:s, s:s, s:f, s:I, s:s, s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:o}",
		"ready", l->ready, "version", POSTERN_VERSION, "hostname", c->hostname, "uptime_s",
		clock_since(l->started_ns), "generation", (json_int_t)l->active->generation, "config",
		c->path, "dataplane", dataplane(l), "sessions", (json_int_t)l->n_sessions,
		"messages_in_flight", (json_int_t)l->n_messages, "listeners", listeners(c), "inline", inlines(c), "routes",
		routes,
		"hosts", commands_hosts(l), "rules", (int)rules_count(l->active->rules), "reload",
		reload_status(l->reload), "metrics", metrics_status(l), "trace", trace_status(l->trace), "spf",
		json_pack("{s:b, s:i, s:i, s:i, s:I, s:I, s:I}", "gone", spf.helper_gone, "idle",
			  (int)spf.workers_idle, "busy", (int)spf.workers_busy, "waiting", (int)spf.waiting, "died",
			  (json_int_t)spf.worker_died, "killed", (json_int_t)spf.worker_killed,
			  "cached", (json_int_t)spf.cached)));
}

/* ---- counters ---------------------------------------------------------------------------------- */

static json_t *dp_counter(const struct ctl_epoch *e, int i)
{
	json_t *per = json_array();
	uint64_t sum = 0;

	for (uint32_t w = 0; e && w < ctl_epoch_workers(e); w++) {
		uint64_t v = ctl_epoch_counter(e, w, (enum postern_counter)i);

		sum += v;
		json_array_append_new(per, json_integer((json_int_t)v));
	}
	return json_pack("{s:s, s:s#, s:s, s:I, s:o}", "name", dp_info[i].name, "kind", &dp_info[i].kind, 1,
			 "help", dp_info[i].help, "value", (json_int_t)sum, "workers", per);
}

static json_t *ctl_counter(const struct loop *l, int i)
{
	return json_pack("{s:s, s:s#, s:s, s:I}", "name", ctl_info[i].name, "kind", &ctl_info[i].kind, 1,
			 "help", ctl_info[i].help, "value", (json_int_t)l->counters[i]);
}

static void show_counters(struct loop *l, struct api_request *req, bool drops, bool all)
{
	const struct ctl_epoch *e = ctl_link_epoch(l->link);
	json_t *dp = json_array(), *ctl = json_array();

	for (int i = 0; i < POSTERN_DP_COUNTER_COUNT; i++) {
		json_t *o;

		if (drops && dp_info[i].kind != 'D')
			continue;
		o = dp_counter(e, i);
		if (drops && !all && !json_integer_value(json_object_get(o, "value")))
			json_decref(o);
		else
			json_array_append_new(dp, o);
	}
	for (int i = 0; i < POSTERN_CTL_COUNTER_COUNT; i++)
		if (!drops || (ctl_info[i].kind == 'D' && (all || l->counters[i])))
			json_array_append_new(ctl, ctl_counter(l, i));
	api_reply(req, json_pack("{s:b, s:o, s:o}", "linked", e != NULL, "dataplane", dp, "control", ctl));
}

static void show_stats(void *arg, struct api_request *req, const json_t *body)
{
	(void)body;
	show_counters(arg, req, false, true);
}

static void show_drops(void *arg, struct api_request *req, const json_t *body)
{
	show_counters(arg, req, true, json_is_true(json_object_get(body, "all")));
}

static void show_workers(void *arg, struct api_request *req, const json_t *body)
{
	static const enum postern_counter shown[] = {
		CNT_sessions_now, CNT_conns_now, CNT_time_wait_now, CNT_arena_chunks_used,
		CNT_arena_records_used, CNT_rx_packets, CNT_rx_bytes, CNT_tx_packets, CNT_tx_bytes,
		CNT_loop_turns, CNT_idle_sleeps, CNT_busy_cycles, CNT_total_cycles};
	const struct loop *l = arg;
	const struct ctl_epoch *e = ctl_link_epoch(l->link);
	json_t *a = json_array();

	(void)body;
	for (uint32_t w = 0; e && w < ctl_epoch_workers(e); w++) {
		json_t *o = json_pack("{s:i}", "worker", (int)w);
		double total = (double)ctl_epoch_counter(e, w, CNT_total_cycles);

		for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
			json_object_set_new(o, dp_info[shown[i]].name,
					    json_integer((json_int_t)ctl_epoch_counter(e, w, shown[i])));
		json_object_set_new(o, "busy_share", json_real(total > 0 ?
			(double)ctl_epoch_counter(e, w, CNT_busy_cycles) / total : 0.0));
		json_array_append_new(a, o);
	}
	api_reply(req, json_pack("{s:b, s:o}", "linked", e != NULL, "workers", a));
}

/* ---- sessions ---------------------------------------------------------------------------------- */

static const char *session_state(const struct session_work *k)
{
	if (!k)
		return "idle";
	if (k->message)
		return k->message->job ? "delivering" : "judging";
	if (k->n_questions)
		return "asking";
	return k->route ? "transaction" : "idle";
}

static const char *session_via(const struct session *s)
{
	return s->via == VIA_PROXY ? "proxy" : s->via == VIA_XCLIENT ? "xclient" : "";
}

static void show_sessions(void *arg, struct api_request *req, const json_t *body)
{
	const struct loop *l = arg;
	const struct session *s;
	json_t *a = json_array();
	uint32_t worker = 0, slot = 0;
	size_t n = 0;

	(void)body;
	for (; n < MAX_SESSIONS_SHOWN && (s = session_next(l, &worker, &slot)); n++, slot++) {
		const struct session_work *k = s->work;

		json_array_append_new(a, json_pack("{s:i, s:i, s:o, s:i, s:s, s:f, s:s, s:s, s:I, s:I, s:s}",
			"worker", (int)s->worker, "slot", (int)s->slot, "peer", address(&s->peer),
			"peer_port", (int)s->peer_port, "via", session_via(s), "seconds", clock_since(s->connected_ns), "state",
			session_state(k), "route", k && k->route ? k->route->name : "", "messages",
			(json_int_t)s->messages, "rcpts_refused", (json_int_t)s->rcpts_refused, "trace_id",
			k && k->message ? k->message->sub->envelope.trace_id : ""));
	}
	api_reply(req, json_pack("{s:I, s:o}", "total", (json_int_t)l->n_sessions, "sessions", a));
}

/* ---- trace, drain, reload ------------------------------------------------------------------------ */

static const char *member(const json_t *body, const char *name)
{
	return json_string_value(json_object_get(body, name)); /* NULL: not there */
}

static void trace_command(void *arg, struct api_request *req, const json_t *body)
{
	struct loop *l = arg;
	struct trace_query q = {
		.trace_id = member(body, "trace_id"),
		.message_id = member(body, "message_id"),
		.mail_from = member(body, "mail_from"),
		.rcpt = member(body, "rcpt"),
		.origin = member(body, "origin"),
		.outcome = member(body, "outcome"),
		.limit = TRACE_LIMIT_DEFAULT,
	};
	json_int_t limit = json_integer_value(json_object_get(body, "limit"));

	if (limit > 0)
		q.limit = limit > TRACE_LIMIT_MAX ? TRACE_LIMIT_MAX : (size_t)limit;
	api_reply(req, json_pack("{s:o}", "records", trace_find(l->trace, &q)));
}

static void trace_status_command(void *arg, struct api_request *req, const json_t *body)
{
	struct loop *l = arg;

	if (json_is_true(json_object_get(body, "hurry")))
		trace_hurry(l->trace);
	api_reply(req, trace_status(l->trace));
}

static void trace_reindex_command(void *arg, struct api_request *req, const json_t *body)
{
	struct loop *l = arg;

	(void)body;
	if (trace_reindex(l->trace))
		api_error(req, "failed", "there is no index (trace.index)");
	else
		api_reply(req, trace_status(l->trace));
}

static void drain(struct loop *l, struct api_request *req, bool on)
{
	int rc = ctl_link_drain(l->link, on);

	if (rc)
		api_error(req, "failed", "the dataplane is not linked: %s", strerror(-rc));
	else
		api_reply(req, json_pack("{s:b}", "draining", on));
}

static void drain_command(void *arg, struct api_request *req, const json_t *body)
{
	(void)body;
	drain(arg, req, true);
}

static void undrain_command(void *arg, struct api_request *req, const json_t *body)
{
	(void)body;
	drain(arg, req, false);
}

static void watch_command(void *arg, struct api_request *req, const json_t *body)
{
	struct loop *l = arg;

	watch_request(l->watch, req, body);
}

static void config_reload(void *arg, struct api_request *req, const json_t *body)
{
	struct loop *l = arg;

	(void)body;
	reload_ask(l->reload, req);
}

const struct api_command commands[] = {
	{"show status", show_status},	  {"show workers", show_workers},
	{"show sessions", show_sessions}, {"show stats", show_stats},
	{"show drops", show_drops},	  {"trace", trace_command},
	{"trace status", trace_status_command}, {"trace reindex", trace_reindex_command},
	{"drain", drain_command},	  {"undrain", undrain_command},
	{"config reload", config_reload}, {"show sources", commands_show_sources},
	{"sources forgive", commands_forgive_source},
	{"quarantine list", commands_quarantine_list},
	{"quarantine show", commands_quarantine_show},
	{"quarantine delete", commands_quarantine_delete},
	{"quarantine release", commands_quarantine_release},
	{"show routes", commands_show_routes},
	{"show ports", commands_show_ports},
	{"show rules", commands_show_rules},
	{"show config", commands_show_config},
	{"show top", commands_show_top},
	{"watch", watch_command},
	{"breaker show", commands_show_breaker},
	{"breaker ack", commands_ack_breaker},
	{"loglevel", commands_loglevel},
};
const size_t n_commands = sizeof(commands) / sizeof(commands[0]);
