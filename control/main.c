/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * postern-control: reads the configuration, starts the jailed SPF workers, connects to the dataplane
 * and runs the loop. A bad configuration at start is an error with file, line and key; at reload it
 * leaves the old one running.
 */

#include <argp.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/auth/arc/pool.h"
#include "control/grey.h"
#include "control/loop.h"
#include "control/sandbox.h"
#include "postern/limits.h"

#define TRACE_KEEP 10000

static struct {
	const char *config;
	const char *user;
	bool check;
} args = {.config = "/etc/postern/postern.conf"};

static struct loop loop;

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
	time_t now = time(NULL);
	struct tm tm;
	char when[40];
	va_list ap;

	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	fprintf(stderr, "%s control: ", when);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static uint64_t realtime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- configuration in force -------------------------------------------------------------------- */

/* Grows, also over a restart of this process: messages name their generation. */
static uint64_t next_generation(void)
{
	static uint64_t last;
	uint64_t now = (uint64_t)time(NULL);

	last = now > last ? now : last + 1;
	return last;
}

static void print_report(const struct snapshot_report *r)
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

static int push(struct loop *l, struct snapshot *s)
{
	size_t tls_len = 0, rules_len = 0;
	void *tls = NULL, *rules = NULL;
	int rc = config_tls_pack(s->config, &tls, &tls_len);

	if (rc)
		return rc;
	rc = rules_pack(s->rules, judge_content_views(s->config), config_wants_hashes(s->config), &rules,
			&rules_len);
	if (!rc)
		rc = ctl_link_push(l->link, s->generation, &s->config->dataplane, tls, tls_len, rules,
				   rules_len);
	free(rules);
	config_tls_forget(tls, tls_len);
	return rc;
}

static struct quarantine_options quarantine_options(const struct config *c)
{
	return (struct quarantine_options){c->quarantine.directory, c->quarantine.max_size,
					   c->quarantine.min_free, c->quarantine.max_age_s};
}

/* Where a message may vanish, the operator is to see it named. */
static void tell_discards(const struct snapshot *s)
{
	const struct config *c = s->config;

	if (c->policy.access.deny_action == CONFIG_DISCARD)
		note("NOTICE policy.deny-action = discard: what its deny lists name is answered 250 and "
		     "given to nobody");
	for (size_t i = 0; i < c->n_routes; i++)
		if (c->route[i].policy && c->route[i].policy->access.deny_action == CONFIG_DISCARD)
			note("NOTICE route.%s.policy.deny-action = discard: what its deny lists name is "
			     "answered 250 and given to nobody", c->route[i].name);
	for (size_t i = 0; i < rules_total(s->rules); i++)
		if (rules_at(s->rules, i)->action == RULE_DISCARD)
			note("NOTICE rule %s has action discard: what it hits is answered 250 and given to "
			     "nobody", rules_at(s->rules, i)->name);
}

static void activate(struct loop *l, struct snapshot *s)
{
	struct quarantine_options opt = quarantine_options(s->config);
	char err[256];

	if (l->active != s)
		tell_discards(s);
	/* At the start it is opened as the user that owns it, and its want is fatal. */
	if (l->base && !grey_open(l, s->config, err, sizeof(err)))
		note("ALERT greylist: %s: nobody is greylisted until it can be opened", err);

	loop_activate(l, s);
	if (l->quarantine)
		quarantine_set(l->quarantine, &opt);
	if (l->deliver) /* at the start: with the first link */
		deliver_check_routes(l->deliver, s->config);
}

void main_reload_done(struct loop *l, int error, const char *text)
{
	struct api_request *req = l->reload;

	l->reload = NULL;
	if (!req)
		return;
	if (error)
		api_reply(req, json_pack("{s:b, s:[{s:s, s:i, s:s, s:s}], s:I}", "ok", 0, "errors", "file",
			l->active->config->path, "line", 0, "key", "", "reason", text, "generation",
			(json_int_t)l->active->generation));
	else
		api_reply(req, json_pack("{s:b, s:[], s:I, s:s}", "ok", 1, "errors", "generation",
			(json_int_t)l->active->generation, "note", text));
}

static void tell_restarts(const struct loop *l, const struct snapshot *s)
{
	static const char *const what[] = {"sockets", "loops", "dns", "spf", "trace", "quarantine",
					   "in-doubt-file", "state-directory", "greylist-file"};
	unsigned int restart = config_restart_needed(l->active->config, s->config);

	for (unsigned int i = 0; i < sizeof(what) / sizeof(what[0]); i++)
		if (restart & 1u << i)
			note("%s changed: takes effect after a restart", what[i]);
}

/* Takes the reference: a whole snapshot. */
static void take_over(struct loop *l, struct snapshot *s)
{
	int rc;

	tell_restarts(l, s);
	if (!l->rings) {
		activate(l, s);
		main_reload_done(l, 0, "the dataplane is not linked; it gets this when it comes");
		return;
	}
	snapshot_unref(l->pending);
	l->pending = s;
	rc = push(l, s);
	if (rc) {
		snapshot_unref(l->pending);
		l->pending = NULL;
		note("configuration not pushed: %s", strerror(-rc));
		main_reload_done(l, -rc, "the dataplane could not be reached");
	}
}

static void not_taken_over(const struct snapshot_report *report)
{
	note("configuration not taken over, the old one stays:");
	print_report(report);
}

/* One after the other: while a set is compiled, or the dataplane has not said what it thinks of the
 * last one, the next would take the place of what it may run already. */
static void reload_again(struct loop *l)
{
	struct snapshot_report report;

	if (!l->reload_again || l->compiling || l->pending)
		return;
	l->reload_again = false;
	main_reload(l, &report);
}

static void on_compiled(void *arg, struct snapshot *s, int rc, const struct snapshot_report *report)
{
	struct loop *l = arg;

	l->compiling = NULL;
	l->counters[rc ? CTL_rules_compile_failed : CTL_rules_compiled]++;
	if (rc) {
		snapshot_unref(s);
		not_taken_over(report);
		commands_reload_failed(l, report);
	} else {
		take_over(l, s);
	}
	reload_again(l);
}

/* Rules are compiled elsewhere, and what comes of it is told by on_compiled(). */
int main_reload(struct loop *l, struct snapshot_report *report)
{
	struct snapshot *s;
	int rc;

	if (l->compiling || l->pending) {
		l->reload_again = true;
		return 0;
	}
	rc = snapshot_begin(l->active->config->path, next_generation(), &s, report);
	if (rc) {
		not_taken_over(report);
		return rc;
	}
	if (!s->config->n_rules_files) {
		rc = snapshot_rules(s, &RULES_DEFAULT, report);
		if (!rc)
			take_over(l, s);
	} else {
		rc = compiler_run(l->compiler, s, on_compiled, l);
		if (!rc)
			l->compiling = s;
		else
			l->counters[CTL_rules_compile_failed]++;
	}
	if (rc) {
		snprintf(report->error[0].key, sizeof(report->error[0].key), "rules");
		snprintf(report->error[0].reason, sizeof(report->error[0].reason), "cannot be compiled: %s",
			 rc == -EPIPE ? "the process that forks compilers is gone; it comes back with a "
					"restart" : strerror(-rc));
		report->n_errors = 1;
		snapshot_unref(s);
		not_taken_over(report);
	}
	return rc;
}

/* ---- link ---------------------------------------------------------------------------------------- */

static void on_desc(void *arg, struct ctl_loop *rings, const struct handoff_desc *d)
{
	(void)rings;
	session_desc(arg, d);
}

static void on_up(void *arg, struct ctl_epoch *e)
{
	struct loop *l = arg;
	int rc = ctl_loop_new(e, 0, l->base, l->counters, on_desc, l, &l->rings);

	if (rc) {
		note("rings: %s", strerror(-rc));
		return;
	}
	l->linked_ns = realtime_ns();
	note("dataplane linked: epoch %llu, %u worker(s)", (unsigned long long)ctl_epoch_id(e),
	     ctl_epoch_workers(e));
	/* What was tried last and refused is not tried again; the one in force is. */
	snapshot_unref(l->pending);
	l->pending = snapshot_ref(l->active);
	rc = push(l, l->active);
	if (rc)
		note("configuration not pushed: %s", strerror(-rc));
}

static void on_down(void *arg, struct ctl_epoch *e)
{
	struct loop *l = arg;

	(void)e;
	l->counters[CTL_dataplane_lost]++;
	l->ready = false;
	session_end_all(l);
	if (l->rings)
		ctl_loop_free(l->rings);
	l->rings = NULL;
	note("dataplane lost; %zu message(s) under way, those before their final dot are dropped",
	     l->n_messages);
	message_abort_all(l);
	/* While its rules are compiled nothing of a reload is lost. */
	if (l->reload && !l->compiling)
		main_reload_done(l, ENOTCONN, "the dataplane went away");
	snapshot_unref(l->pending);
	l->pending = NULL;
	reload_again(l);
}

static void on_refused(void *arg, int error, const char *text)
{
	static int last;

	(void)arg;
	if (error != last) /* it tries on and on: say it once */
		note("dataplane: %s%s%s", strerror(error), text && *text ? ": " : "", text ? text : "");
	last = error;
}

static void on_alert(void *arg, const struct deliver_alert *a)
{
	(void)arg;
	if (a->over) {
		note("route %s: %s", a->route, a->text);
		return;
	}
	if (a->text && a->host) {
		note("ALERT route %s: %s port %u, %s: %s (%llu more before, not told)", a->route, a->host,
		     a->port, a->stage, a->text, (unsigned long long)a->untold);
		return;
	}
	if (a->text) {
		note("ALERT route %s: %s (%llu more before, not told)", a->route, a->text,
		     (unsigned long long)a->untold);
		return;
	}
	note("ALERT route %s: %s port %u refused this relay at %s: %u %u.%u.%u %s (%llu more before, not told)",
	     a->route, a->host, a->port, a->stage, a->said->code, a->said->enh_class, a->said->enh_subject,
	     a->said->enh_detail, a->said->text, (unsigned long long)a->untold);
}

static void on_push_ack(void *arg, uint64_t generation, int error, struct str text)
{
	struct loop *l = arg;
	struct snapshot *s = l->pending;

	if (!s || s->generation != generation)
		return;
	l->pending = NULL;
	l->push_error[0] = '\0';
	if (error)
		snprintf(l->push_error, sizeof(l->push_error), "%.*s", STR_FMT(text));
	if (error) {
		note("the dataplane refused configuration %llu: %s", (unsigned long long)generation,
		     l->push_error);
		snapshot_unref(s);
	} else {
		activate(l, s);
		l->ready = true;
		note("configuration %llu in force", (unsigned long long)generation);
	}
	main_reload_done(l, error, error ? l->push_error : "");
	reload_again(l);
}

/* ---- signals -------------------------------------------------------------------------------------- */

/*
 * What is with a next hop is seen to its end, so that no client is told 451 for a message that is being
 * taken; a second signal, or LIMIT_STOP_S, ends that.
 */
static void on_stop(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval limit = {.tv_sec = LIMIT_STOP_S};
	struct loop *l = arg;

	(void)fd;
	(void)what;
	if (l->stopping || TAILQ_EMPTY(&l->messages)) {
		event_base_loopbreak(l->base);
		return;
	}
	l->stopping = true;
	note("stopping: %zu message(s) under way are finished first", (size_t)l->n_messages);
	event_base_loopexit(l->base, &limit);
}

static void on_hup(evutil_socket_t sig, short what, void *arg)
{
	struct loop *l = arg;
	struct snapshot_report report;
	int rc = trace_reopen(l->trace);

	(void)sig;
	(void)what;
	if (rc)
		note("trace file: %s", strerror(-rc));
	main_reload(l, &report);
}

static void count_authentication(struct loop *l)
{
	struct dkim_keys_stats keys;
	struct spf_stats s;

	spf_jail_stats(l->spf, &s);
	l->counters[CTL_spf_worker_died] = s.worker_died + s.worker_killed;
	l->counters[CTL_spf_cache_hits] = s.cache_hits + s.cache_shared;
	l->counters[CTL_spf_cache_misses] = s.cache_misses;
	l->counters[CTL_spf_helper_died] = s.helper_died + s.helper_gone;
	if (s.helper_gone && !l->spf_gone)
		note("SPF workers are gone and nobody is left to fork them: spf=temperror until a restart");
	l->spf_gone = s.helper_gone;
	dkim_keys_stats(l->keys, &keys);
	l->counters[CTL_dkim_key_hits] = keys.hits;
	l->counters[CTL_dkim_key_misses] = keys.misses;
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	struct indoubt_stats doubt;
	struct quarantine_stats held;
	struct greylist_stats grey;

	(void)fd;
	(void)what;
	count_authentication(l);
	indoubt_stats(l->indoubt, realtime_ns() / 1000000000u, &doubt);
	l->counters[CTL_indoubt_entries] = doubt.doubt;
	l->counters[CTL_indoubt_kept] = doubt.kept;
	l->counters[CTL_indoubt_pushed_out] = doubt.pushed_out;
	persist_second(l);
	if (l->greylist) {
		greylist_stats(l->greylist, &grey);
		l->counters[CTL_greylist_pushed_out] = grey.pushed_out;
	}
	if (!l->quarantine)
		return;
	quarantine_stats(l->quarantine, &held);
	l->counters[CTL_quarantine_held] = held.messages;
	l->counters[CTL_quarantine_bytes] = held.bytes;
	l->counters[CTL_quarantine_expired] = held.expired;
	l->counters[CTL_quarantine_released] = held.released;
}

/* ---- start ----------------------------------------------------------------------------------------- */

static const struct argp_option options[] = {
	{"config", 'c', "FILE", 0, "configuration (/etc/postern/postern.conf)", 0},
	{"check", 'C', NULL, 0, "check the configuration and its rules, then exit", 0},
	{"user", 'u', "NAME", 0, "user to run as, when started by root", 0},
	{0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'c': args.config = arg; return 0;
	case 'C': args.check = true; return 0;
	case 'u': args.user = arg; return 0;
	case ARGP_KEY_ARG: argp_error(state, "unexpected argument \"%s\"", arg); return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

static int die(const char *what, const char *why)
{
	fprintf(stderr, "postern-control: %s: %s\n", what, why);
	return 1;
}

static int start_quarantine(struct loop *l)
{
	struct quarantine_options opt = quarantine_options(l->active->config);
	char err[256];

	if (!opt.directory)
		return 0;
	l->quarantine = quarantine_new(l->base, &opt, err, sizeof(err));
	return l->quarantine ? 0 : die("quarantine", err);
}

static int start(struct loop *l, const struct spf_helper *helper)
{
	const struct config *c = l->active->config;
	struct spf_options spf = {.n_workers = c->spf_workers, .helper = helper};
	struct ctl_link_opts link = {
		.path = c->dataplane_socket,
		.n_loops = 1,
		.base = l->base,
		.arg = l,
		.ops = {.on_up = on_up, .on_down = on_down, .on_refused = on_refused,
			.on_push_ack = on_push_ack},
	};
	char err[256];
	int rc;

	l->dns = dns_new(l->base, &c->dns, err, sizeof(err));
	if (!l->dns)
		return die("dns", err);
	l->spf = spf_jail_new(l->base, l->dns, &spf, err, sizeof(err));
	if (!l->spf)
		return die("spf", err);
	l->keys = dkim_keys_new(LIMIT_DKIM_KEYS);
	if (!l->keys)
		return die("dkim", "out of memory");
	l->deliver = deliver_new(l->base, l->dns, l->counters);
	if (!l->deliver)
		return die("deliver", "out of memory");
	deliver_on_alert(l->deliver, on_alert, l);
	l->sources = sources_new();
	if (!l->sources)
		return die("sources", "out of memory");
	umask(0027);
	l->trace = trace_new(c->trace_file, TRACE_KEEP, l->counters, err, sizeof(err));
	if (!l->trace)
		return die(c->trace_file, err);
	l->api = api_new(l->base, c->api_socket, commands, n_commands, l, l->counters, err, sizeof(err));
	if (!l->api)
		return die(c->api_socket, err);
	l->judge_env = (struct judge_env){
		.base = l->base, .dns = l->dns, .spf = l->spf, .counters = l->counters,
		.keys = l->keys};
	rc = ctl_link_connect(&link, &l->link);
	if (rc)
		return die(c->dataplane_socket, strerror(-rc));
	if (sandbox_enter(args.user, err, sizeof(err)))
		return die("sandbox", err);
	l->seals = arc_pool_new(l->base, LIMIT_ARC_THREADS, err, sizeof(err));
	if (!l->seals)
		return die("sealing", err);
	l->judge_env.seals = l->seals;
	/* As the user that it will run as, who owns the directories. */
	l->indoubt = indoubt_open(c->indoubt_file, err, sizeof(err));
	if (!l->indoubt)
		return die("in-doubt table", err);
	if (persist_start(l, err, sizeof(err)))
		return die("state directory", err);
	if (!grey_open(l, c, err, sizeof(err)))
		return die("greylist", err);
	return start_quarantine(l);
}

static void stop(struct loop *l)
{
	api_free(l->api);
	persist_stop(l);
	session_end_all(l); /* cancels what it has asked of deliver */
	deliver_free(l->deliver);
	quarantine_free(l->quarantine); /* it reads from messages */
	release_free_all(l);
	message_free_all(l);
	arc_pool_free(l->seals); /* no judgement is left */
	sources_free(l->sources);
	indoubt_close(l->indoubt);
	greylist_close(l->greylist);
	if (l->rings)
		ctl_loop_free(l->rings);
	ctl_link_free(l->link);
	trace_free(l->trace);
	spf_jail_free(l->spf);
	dkim_keys_free(l->keys);
	dns_free(l->dns);
	compiler_free(l->compiler);
	snapshot_unref(l->compiling);
	snapshot_unref(l->pending);
	snapshot_unref(l->active);
	for (size_t i = 0; i < LOOP_SNAPSHOTS; i++)
		snapshot_unref(l->recent[i]);
}

/* compiler < 0: --check, which compiles itself, without limits and cache. */
static int first_snapshot(int compiler, struct snapshot **out, struct snapshot_report *report)
{
	struct snapshot *s;
	int rc;

	if (compiler < 0)
		return snapshot_load(args.config, next_generation(), out, report);
	rc = snapshot_begin(args.config, next_generation(), &s, report);
	if (rc)
		return rc;
	rc = s->config->n_rules_files ? compiler_run_and_wait(compiler, s, report)
				      : snapshot_rules(s, &RULES_DEFAULT, report);
	if (rc)
		snapshot_unref(s);
	else
		*out = s;
	return rc;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {.options = options, .parser = parse,
					 .doc = "The judging and delivering side of Postern."};
	struct event *sig[3], *stats;
	struct timeval second = {.tv_sec = 1};
	struct snapshot_report report;
	struct spf_helper helper;
	struct snapshot *first;
	struct loop *l = &loop;
	int rc, compiler = -1;

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	signal(SIGPIPE, SIG_IGN);
	TAILQ_INIT(&l->works);
	TAILQ_INIT(&l->messages);
	TAILQ_INIT(&l->releases);
	/* Before there is a thread, and before keys are read: what runs libspf2 has none of them. */
	rc = args.check ? 0 : compiler_start(args.user, &compiler);
	if (rc)
		return die("compiler of rules", strerror(-rc));
	rc = args.check ? 0 : spf_helper_start(&helper);
	if (rc)
		return die("spf helper", strerror(-rc));
	if (first_snapshot(compiler, &first, &report)) {
		print_report(&report);
		return 1;
	}
	if (report.unsupported)
		note("%zu rule(s) are of kinds that are not supported and left out; see posternctl rules "
		     "check", report.unsupported);
	if (args.check) {
		printf("%s: ok, %zu rule(s)\n", args.config, rules_count(first->rules));
		snapshot_unref(first);
		return 0;
	}
	activate(l, first);
	l->started_ns = realtime_ns();
	l->base = event_base_new();
	if (!l->base)
		return die("event loop", "out of memory");
	l->compiler = compiler_new(l->base, compiler);
	if (!l->compiler)
		return die("compiler of rules", "out of memory");
	if (start(l, &helper))
		return 1;
	sig[0] = evsignal_new(l->base, SIGTERM, on_stop, l);
	sig[1] = evsignal_new(l->base, SIGINT, on_stop, l);
	sig[2] = evsignal_new(l->base, SIGHUP, on_hup, l);
	stats = event_new(l->base, -1, EV_PERSIST, on_second, l);
	for (int i = 0; i < 3; i++)
		event_add(sig[i], NULL);
	event_add(stats, &second);
	note("started, %zu route(s), %zu rule(s)", l->active->config->n_routes,
	     rules_count(l->active->rules));
	event_base_dispatch(l->base);
	for (int i = 0; i < 3; i++)
		event_free(sig[i]);
	event_free(stats);
	stop(l);
	event_base_free(l->base);
	return 0;
}
