/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/background.h"
#include "control/commands_config.h"
#include "control/grey.h"
#include "control/loop.h"
#include "control/note.h"
#include "control/trace/facts.h"
#include "postern/clock.h"

/* Behind an activation nothing is forgotten for so long: a message may have left the dataplane and not
 * been looked at here. */
#define QUIET_S 3

enum stage { IDLE, READING, COMPILING, TAKING, PUSHING };
static const char *const stage_name[] = {"idle", "reading", "compiling", "taking", "pushing"};

/* What the dataplane gets of the rules. */
struct packed {
	int fd;                        /* sealed memfd; -1: nothing to look for */
	size_t len;
};
#define NOTHING ((struct packed){.fd = -1})

struct reload {
	struct loop *l;
	struct background *background;
	struct compiler *compiler;
	enum stage stage;
	struct api_request *req;       /* who waits */
	bool again;                    /* asked for by a signal meanwhile */
	bool retried;                  /* the helper was killed over it once */
	bool gone_told;
	uint64_t started_ms;
	unsigned int quiet_s;          /* since the last activation */
	uint64_t behind;               /* what reload_second() found a second ago */

	/* READING, TAKING: the thread's alone */
	char *path;
	uint64_t generation;
	struct snapshot *s;            /* until it is pushed */
	json_t *restarts;              /* its keys that take effect after a restart */
	struct snapshot_report report;
	int rc;
	int result;                    /* of the compiler */
	struct compiler_ended end;
	struct packed packed;

	struct {
		time_t at;             /* 0: none yet */
		bool ok;
		double seconds;
		struct config_error error; /* the first */
	} last;
};

/* By the clock, to the millisecond: the dataplane may hold those of a control that is gone. */
uint64_t reload_generation(void)
{
	static uint64_t last;
	uint64_t now = clock_real_ms();

	last = now > last ? now : last + 1;
	return last;
}

void reload_print(const struct snapshot_report *r)
{
	for (size_t i = 0; i < r->n_errors && i < SNAPSHOT_ERRORS; i++) {
		const struct config_error *e = &r->error[i];

		if (e->line)
			fprintf(stderr, "%s:%u: %s%s%s\n", e->file, e->line, e->key,
				e->key[0] ? ": " : "", e->reason);
		else
			fprintf(stderr, "%s: %s%s%s\n", e->file, e->key, e->key[0] ? ": " : "", e->reason);
	}
	if (r->n_errors > SNAPSHOT_ERRORS)
		fprintf(stderr, "and %zu more\n", r->n_errors - SNAPSHOT_ERRORS);
}

/* ---- what came of it ------------------------------------------------------------------------- */

/* Reasons quote files, and those may hold any octets. */
static json_t *error_json(const struct config_error *e)
{
	return json_pack("{s:o, s:i, s:o, s:o}", "file", trace_text(str_c(e->file)), "line", (int)e->line, "key",
			 trace_text(str_c(e->key)), "reason", trace_text(str_c(e->reason)));
}

static json_t *errors(const struct snapshot_report *r)
{
	json_t *a = json_array();

	for (size_t i = 0; i < r->n_errors && i < SNAPSHOT_ERRORS; i++)
		json_array_append_new(a, error_json(&r->error[i]));
	return a;
}

/* One after the other: while the dataplane has not said what it thinks of the last one, the next would
 * take the place of what it may run already. */
static bool is_busy(const struct reload *r)
{
	return r->stage != IDLE || r->l->pending;
}

static void next(struct reload *r)
{
	if (!r->again || is_busy(r))
		return;
	r->again = false;
	reload_begin(r);
}

/* The stage is over, and with it the reload; report NULL: it is in force. */
static void over(struct reload *r, const struct snapshot_report *report, const char *note)
{
	struct api_request *req = r->req;

	r->stage = IDLE;
	r->req = NULL;
	r->last.at = time(NULL);
	r->last.ok = !report;
	r->last.seconds = (double)(clock_mono_ms() - r->started_ms) / 1e3;
	r->last.error = report ? report->error[0] : (struct config_error){0};
	if (req && report)
		api_reply(req, json_pack("{s:b, s:o, s:I}", "ok", 0, "errors", errors(report), "generation",
			(json_int_t)r->l->active->generation));
	else if (req)
		api_reply(req, json_pack("{s:b, s:[], s:I, s:s, s:f, s:O}", "ok", 1, "errors", "generation",
			(json_int_t)r->l->active->generation, "note", note, "seconds", r->last.seconds,
			"restart", r->restarts));
	next(r);
}

static void not_taken_over(struct reload *r, const struct snapshot_report *report)
{
	note(NOTE_ERROR, "configuration not taken over, the old one stays:");
	reload_print(report);
	snapshot_unref(r->s);
	r->s = NULL;
	over(r, report, NULL);
}

/* One reason that is of no line. */
static void failed(struct reload *r, const char *key, const char *reason)
{
	struct snapshot_report report = {.n_errors = 1};
	struct config_error *e = &report.error[0];

	snprintf(e->file, sizeof(e->file), "%s", r->l->active->config->path);
	snprintf(e->key, sizeof(e->key), "%s", key);
	snprintf(e->reason, sizeof(e->reason), "%s", reason);
	not_taken_over(r, &report);
}

/* ---- in force -------------------------------------------------------------------------------- */

/* Where a message may vanish, the operator is to see it named. */
static void tell_discards(const struct snapshot *s)
{
	const struct config *c = s->config;

	if (c->policy.access.deny_action == CONFIG_DISCARD)
		note(NOTE_NOTICE, "NOTICE policy.deny-action = discard: what its deny lists name is answered 250 and "
			  "given to nobody");
	for (size_t i = 0; i < c->n_routes; i++)
		if (c->route[i].policy && c->route[i].policy->access.deny_action == CONFIG_DISCARD)
			note(NOTE_NOTICE, "NOTICE route.%s.policy.deny-action = discard: what its deny lists name is "
				  "answered 250 and given to nobody", c->route[i].name);
	for (size_t i = 0; i < rules_total(s->rules); i++)
		if (rules_at(s->rules, i)->action == RULE_DISCARD)
			note(NOTE_NOTICE, "NOTICE rule %s has action discard: what it hits is answered 250 and given "
				  "to nobody", rules_at(s->rules, i)->name);
}

static void activate(struct loop *l, struct snapshot *s)
{
	struct quarantine_options opt = main_quarantine_options(s->config);
	bool had_greylist = l->greylist != NULL;
	char err[256];

	if (l->active != s)
		tell_discards(s);
	/* At the start it is opened as the user that owns it, and its want is fatal. */
	if (l->base && !grey_open(l, s->config, err, sizeof(err)))
		note(NOTE_ALERT, "greylist: %s: nobody is greylisted until it can be opened", err);
	if (l->greylist && !had_greylist)
		settings_opened(l, s->config, "greylist-file");

	loop_activate(l, s);
	if (l->quarantine)
		quarantine_set(l->quarantine, &opt);
	if (l->deliver) /* at the start: with the first link */
		deliver_check_routes(l->deliver, s->config);
	if (l->reload)
		l->reload->quiet_s = 0;
}

void reload_first(struct loop *l, struct snapshot *s)
{
	settings_start(l, s->config);
	activate(l, s);
}

static void tell_restarts(struct reload *r, const struct snapshot *s)
{
	const json_t *key;
	size_t i;

	json_decref(r->restarts);
	r->restarts = settings_restarts(r->l, s->config);
	json_array_foreach(r->restarts, i, key)
		note(NOTE_NOTICE, "%s changed: takes effect after a restart", json_string_value(key));
}

/* ---- pushing --------------------------------------------------------------------------------- */

static int pack(const struct snapshot *s, struct packed *p)
{
	void *rules = NULL;
	int rc = rules_pack(s->rules, judge_content_views(s->config), config_wants_hashes(s->config), &rules,
			    &p->len);

	if (!rc && rules) {
		p->fd = ctl_link_rules(rules, p->len);
		rc = p->fd < 0 ? p->fd : 0;
	}
	free(rules);
	return rc;
}

static void forget_packed(struct packed *p)
{
	if (p->fd >= 0)
		close(p->fd);
	*p = NOTHING;
}

static int push(struct loop *l, const struct snapshot *s, const struct packed *p)
{
	size_t tls_len = 0;
	void *tls = NULL;
	int rc = config_tls_pack(s->config, &tls, &tls_len);

	if (rc)
		return rc;
	rc = ctl_link_push(l->link, s->generation, &s->config->dataplane, tls, tls_len, p->fd, p->len);
	config_tls_forget(tls, tls_len);
	return rc;
}

/* A whole snapshot is there. */
static void take_over(struct reload *r)
{
	struct loop *l = r->l;
	struct snapshot *s = r->s;
	int rc;

	tell_restarts(r, s);
	r->s = NULL;
	if (!l->rings) {
		forget_packed(&r->packed);
		activate(l, s);
		over(r, NULL, "the dataplane is not linked; it gets this when it comes");
		return;
	}
	r->stage = PUSHING;
	snapshot_unref(l->pending);
	l->pending = s;
	rc = push(l, s, &r->packed);
	forget_packed(&r->packed);
	if (rc) {
		snapshot_unref(l->pending);
		l->pending = NULL;
		note(NOTE_ERROR, "configuration not pushed: %s", strerror(-rc));
		failed(r, "", "the dataplane could not be reached");
	}
}

void reload_acked(struct reload *r, uint64_t generation, int error, struct str text)
{
	struct loop *l = r->l;
	struct snapshot *s = l->pending;

	if (!s || s->generation != generation) {
		/* The one in force, for a new link, which the next one has overtaken. */
		l->ready |= !error && l->active && l->active->generation == generation;
		return;
	}
	l->pending = NULL;
	l->push_error[0] = '\0';
	if (error) {
		snprintf(l->push_error, sizeof(l->push_error), "%.*s", STR_FMT(text));
		note(NOTE_ERROR, "the dataplane refused configuration %llu: %s", (unsigned long long)generation,
			  l->push_error);
		snapshot_unref(s);
	} else {
		activate(l, s);
		l->ready = true;
		note(NOTE_NOTICE, "configuration %llu in force", (unsigned long long)generation);
	}
	/* Else it was the one in force, for a new link. */
	if (r->stage == PUSHING && error)
		failed(r, "", l->push_error);
	else if (r->stage == PUSHING)
		over(r, NULL, "");
	else
		next(r);
}

void reload_link_up(struct reload *r)
{
	struct loop *l = r->l;
	struct packed packed = NOTHING;
	int rc;

	/* What was tried last and refused is not tried again; the one in force is. */
	snapshot_unref(l->pending);
	l->pending = snapshot_ref(l->active);
	l->push_error[0] = '\0';
	rc = pack(l->active, &packed);
	if (!rc)
		rc = push(l, l->active, &packed);
	forget_packed(&packed);
	if (rc) {
		/* Nothing was sent, and nothing will be answered: reload_second() tries again. */
		snapshot_unref(l->pending);
		l->pending = NULL;
		note(NOTE_ERROR, "configuration not pushed: %s", strerror(-rc));
	}
}

void reload_link_down(struct reload *r)
{
	struct loop *l = r->l;

	snapshot_unref(l->pending);
	l->pending = NULL;
	/* In the stages before nothing of it is lost. */
	if (r->stage == PUSHING)
		failed(r, "", "the dataplane went away");
	else
		next(r);
}

/* ---- reading, compiling, taking -------------------------------------------------------------- */

static void work_read(void *arg)
{
	struct reload *r = arg;

	r->rc = snapshot_begin(r->path, r->generation, &r->s, &r->report);
	if (r->rc || r->s->config->n_rules_files)
		return;
	r->rc = snapshot_rules(r->s, &RULES_DEFAULT, &r->report);
	if (!r->rc)
		r->rc = pack(r->s, &r->packed);
}

static void work_take(void *arg)
{
	struct reload *r = arg;

	r->rc = compiler_take(r->s, r->result, &r->end, &r->report);
	if (!r->rc)
		r->rc = pack(r->s, &r->packed);
}

/* A want of memory has no line. */
static void bad_report(struct reload *r)
{
	if (r->report.n_errors)
		not_taken_over(r, &r->report);
	else
		failed(r, "", strerror(-r->rc));
}

static void on_taken(void *arg)
{
	struct reload *r = arg;

	r->l->counters[r->rc ? CTL_rules_compile_failed : CTL_rules_compiled]++;
	if (r->rc)
		bad_report(r);
	else
		take_over(r);
}

static void compile(struct reload *r);

static void on_compiled(void *arg, int result, const struct compiler_ended *end)
{
	struct reload *r = arg;
	int rc;

	/* No fault of the set's: whoever killed the helper hears of it by the counter. */
	if (end->how == COMPILER_HELPER_DIED && !r->retried) {
		close(result);
		r->retried = true;
		compile(r);
		return;
	}
	r->result = result;
	r->end = *end;
	r->stage = TAKING;
	rc = background_run(r->background, work_take, on_taken, r);
	if (!rc)
		return;
	close(result);
	r->rc = rc;
	r->report.n_errors = 0;
	on_taken(r);
}

static void compile(struct reload *r)
{
	int rc = compiler_run(r->compiler, r->s->config, on_compiled, r);
	char text[160];

	r->stage = COMPILING;
	if (!rc)
		return;
	r->l->counters[CTL_rules_compile_failed]++;
	snprintf(text, sizeof(text), "cannot be compiled: %s",
		 rc == -EPIPE ? COMPILER_GONE_TEXT : strerror(-rc));
	failed(r, "rules", text);
}

static void on_read(void *arg)
{
	struct reload *r = arg;

	if (r->rc)
		bad_report(r);
	else if (r->s->config->n_rules_files)
		compile(r);
	else
		take_over(r);
}

void reload_begin(struct reload *r)
{
	int rc;

	if (is_busy(r)) {
		r->again = true;
		return;
	}
	r->stage = READING;
	r->started_ms = clock_mono_ms();
	r->retried = false;
	r->rc = 0;
	memset(&r->report, 0, sizeof(r->report));
	free(r->path);
	r->path = strdup(r->l->active->config->path);
	r->generation = reload_generation();
	rc = r->path ? background_run(r->background, work_read, on_read, r) : -ENOMEM;
	if (rc)
		failed(r, "", strerror(-rc));
}

void reload_ask(struct reload *r, struct api_request *req)
{
	if (is_busy(r)) {
		api_error(req, "busy", "another reload is under way");
		return;
	}
	r->req = req;
	reload_begin(r);
}

/* ---- beside it ------------------------------------------------------------------------------- */

bool reload_failed(const struct reload *r)
{
	return r->last.at && !r->last.ok;
}

json_t *reload_status(const struct reload *r)
{
	char what[24] = "";
	uint32_t done = 0, all = 0;
	json_t *last = json_null();

	if (r->stage == COMPILING)
		(void)compiler_progress(r->compiler, what, &done, &all);
	if (r->last.at) {
		json_t *told = json_pack("{s:b, s:I, s:f}", "ok", r->last.ok, "at", (json_int_t)r->last.at,
					 "seconds", r->last.seconds);

		last = error_json(&r->last.error);
		if (!last || !told || json_object_update(last, told)) {
			json_decref(last);
			last = json_null();
		}
		json_decref(told);
	}
	return json_pack("{s:s, s:s, s:i, s:i, s:f, s:s, s:o}", "stage", stage_name[r->stage], "what", what,
		"done", (int)done, "all", (int)all, "seconds",
		r->stage == IDLE ? 0.0 : (double)(clock_mono_ms() - r->started_ms) / 1e3, "compiler",
		compiler_is_gone(r->compiler) ? "gone" : "ok", "last", last);
}

/* Messages under way name at most as many of the last snapshots as the slowest worker says. */
static void forget_old(struct reload *r)
{
	const struct ctl_epoch *e = ctl_link_epoch(r->l->link);
	uint64_t behind = 0;

	if (r->quiet_s < QUIET_S) {
		r->quiet_s++;
		return;
	}
	for (uint32_t w = 0; e && w < ctl_epoch_workers(e); w++) {
		uint64_t n = ctl_epoch_counter(e, w, CNT_generations_behind);

		behind = n > behind ? n : behind;
	}
	/* It falls when a message has left the dataplane; that is here by the next second. */
	loop_forget(r->l, behind > r->behind ? behind : r->behind);
	r->behind = behind;
}

void reload_second(struct reload *r)
{
	r->l->counters[CTL_rules_helper_died] = compiler_deaths(r->compiler);
	forget_old(r);
	if (r->l->rings && !r->l->ready && !r->l->push_error[0] && !is_busy(r))
		reload_link_up(r);
	if (!compiler_is_gone(r->compiler) || r->gone_told)
		return;
	r->gone_told = true;
	note(NOTE_ALERT, "rules: %s; what is in force goes on, but until then no reload has an effect where "
		  "rules are configured: restart postern-control", COMPILER_GONE_TEXT);
}

struct reload *reload_new(struct loop *l, struct compiler *compiler)
{
	struct reload *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->l = l;
	r->compiler = compiler;
	r->packed = NOTHING;
	r->background = background_new(l->base);
	if (r->background)
		return r;
	free(r);
	return NULL;
}

void reload_free(struct reload *r)
{
	if (!r)
		return;
	background_free(r->background);
	/* Its end is no longer told: compiled and not taken, the descriptor is ours still. */
	compiler_free(r->compiler);
	snapshot_unref(r->s);
	forget_packed(&r->packed);
	json_decref(r->restarts);
	free(r->path);
	free(r);
}
