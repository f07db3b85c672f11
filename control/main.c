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
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/auth/arc/pool.h"
#include "control/config/config_settings.h"
#include "control/grey.h"
#include "control/loop.h"
#include "control/note.h"
#include "control/reload.h"
#include "control/sandbox.h"
#include "control/watch/watch.h"
#include "postern/clock.h"
#include "postern/limits.h"
#include "postern/notify.h"

#define TRACE_KEEP 1000 /* in memory: all that there is without an index */

static struct {
	const char *config;
	const char *user;
	bool check;
} args = {.config = "/etc/postern/postern.conf"};

static struct loop loop;

/* For `show top`: whoever looks at the screen may not look at the log. */
static void remember_alert(const char *text)
{
	loop.alerts.n++;
	loop.alerts.at_ns = clock_real_ns();
	snprintf(loop.alerts.text, sizeof(loop.alerts.text), "%s", text);
}

struct quarantine_options main_quarantine_options(const struct config *c)
{
	return (struct quarantine_options){c->quarantine.directory, c->quarantine.max_size,
					   c->quarantine.min_free, c->quarantine.max_age_s};
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
		note(NOTE_ERROR, "rings: %s", strerror(-rc));
		return;
	}
	l->linked_ns = clock_real_ns();
	note(NOTE_NOTICE, "dataplane linked: epoch %llu, %u worker(s)", (unsigned long long)ctl_epoch_id(e),
		  ctl_epoch_workers(e));
	reload_link_up(l->reload);
}

static void on_down(void *arg, struct ctl_epoch *e)
{
	struct loop *l = arg;

	(void)e;
	l->counters[CTL_dataplane_lost]++;
	l->ready = false;
	commands_ports_lost(l);
	session_end_all(l);
	if (l->rings)
		ctl_loop_free(l->rings);
	l->rings = NULL;
	note(NOTE_NOTICE, "dataplane lost; %zu message(s) under way, those before their final dot are dropped",
		  l->n_messages);
	message_abort_all(l);
	reload_link_down(l->reload);
}

static void on_refused(void *arg, int error, const char *text)
{
	static int last;

	(void)arg;
	if (error != last) /* it tries on and on: say it once */
		note(NOTE_ERROR, "dataplane: %s%s%s", strerror(error), text && *text ? ": " : "",
			  text ? text : "");
	last = error;
}

static void on_alert(void *arg, const struct deliver_alert *a)
{
	(void)arg;
	if (a->over) {
		note(NOTE_NOTICE, "route %s: %s", a->route, a->text);
		return;
	}
	if (a->text && a->host) {
		note(NOTE_ALERT, "route %s: %s port %u, %s: %s (%llu more before, not told)", a->route,
			  a->host, a->port, a->stage, a->text, (unsigned long long)a->untold);
		return;
	}
	if (a->text) {
		note(NOTE_ALERT, "route %s: %s (%llu more before, not told)", a->route, a->text,
			  (unsigned long long)a->untold);
		return;
	}
	note(NOTE_ALERT, "route %s: %s port %u refused this relay at %s: %u %u.%u.%u %s (%llu more before, "
		  "not told)", a->route, a->host, a->port, a->stage, a->said->code, a->said->enh_class,
		  a->said->enh_subject, a->said->enh_detail, a->said->text, (unsigned long long)a->untold);
}

static void on_push_ack(void *arg, uint64_t generation, int error, struct str text)
{
	struct loop *l = arg;

	reload_acked(l->reload, generation, error, text);
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
	(void)notify_send("STOPPING=1");
	if (l->stopping || TAILQ_EMPTY(&l->messages)) {
		event_base_loopbreak(l->base);
		return;
	}
	l->stopping = true;
	note(NOTE_NOTICE, "stopping: %zu message(s) under way are finished first", (size_t)l->n_messages);
	event_base_loopexit(l->base, &limit);
}

static void on_hup(evutil_socket_t sig, short what, void *arg)
{
	struct loop *l = arg;
	int rc = trace_reopen(l->trace);

	(void)sig;
	(void)what;
	if (rc)
		note(NOTE_ERROR, "trace file: %s", strerror(-rc));
	reload_begin(l->reload);
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
		note(NOTE_ALERT, "SPF workers are gone and nobody is left to fork them: spf=temperror until a "
			  "restart");
	l->spf_gone = s.helper_gone;
	dkim_keys_stats(l->keys, &keys);
	l->counters[CTL_dkim_key_hits] = keys.hits;
	l->counters[CTL_dkim_key_misses] = keys.misses;
}

static void on_trace_alert(const char *text)
{
	note(NOTE_ALERT, "%s", text);
}

static void count_stores(struct loop *l)
{
	struct indoubt_stats doubt;
	struct quarantine_stats held;
	struct greylist_stats grey;

	indoubt_stats(l->indoubt, clock_real_s(), &doubt);
	l->counters[CTL_indoubt_entries] = doubt.doubt;
	l->counters[CTL_indoubt_kept] = doubt.kept;
	l->counters[CTL_indoubt_pushed_out] = doubt.pushed_out;
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

/*
 * Mail does not wait for those who watch it: without a place to listen on (taken, or an address that is not
 * there yet) it is said each minute and tried again.
 */
static char *metrics_where;       /* until something listens there */
static unsigned int metrics_in_s;

static void try_metrics(struct loop *l)
{
	char *err = l->metrics_error;

	err[0] = '\0';
	l->gauges = gauges_new(metrics_where, err, sizeof(l->metrics_error));
	metrics_in_s = l->gauges ? 0 : LIMIT_ALERT_S;
	if (!l->gauges) {
		note(NOTE_ALERT, "metrics: %s; mail goes on without metrics, tried again in %u s", err,
			  metrics_in_s);
		return;
	}
	err[0] = '\0';
	free(metrics_where);
	metrics_where = NULL;
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	if (notify_watched())
		(void)notify_send("WATCHDOG=1");
	count_authentication(l);
	reload_second(l->reload);
	persist_second(l);
	trace_second(l->trace, on_trace_alert);
	count_stores(l);
	if (metrics_in_s && !--metrics_in_s)
		try_metrics(l);
	gauges_second(l);
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
	struct quarantine_options opt = main_quarantine_options(l->active->config);
	char err[256];

	if (!opt.directory)
		return 0;
	l->quarantine = quarantine_new(l->base, &opt, err, sizeof(err));
	return l->quarantine ? 0 : die("quarantine", err);
}

static int start_trace(struct loop *l, const struct config *c, char *err, size_t err_len)
{
	struct trace_options opt = {
		.file = c->trace_file,
		.file_size = c->trace.file_size,
		.files = c->trace.files,
		.index = strcmp(c->trace.index, "none") ? c->trace.index : NULL,
		.index_size = c->trace.index_size,
		.index_age_s = c->trace.index_age_s,
		.keep = TRACE_KEEP,
	};

	l->trace = trace_new(&opt, l->counters, err, err_len);
	if (l->trace)
		trace_on_record(l->trace, watch_record, l->watch);
	return l->trace ? 0 : -1;
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
			.on_push_ack = on_push_ack, .on_ports = commands_ports_told},
	};
	char err[512];
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
	l->watch = watch_new(l->counters);
	if (!l->watch)
		return die("watch", "out of memory");
	umask(0027);
	l->api = api_new(l->base, c->api_socket, commands, n_commands, l, l->counters, err, sizeof(err));
	if (!l->api)
		return die(c->api_socket, err);
	l->judge_env = (struct judge_env){
		.base = l->base, .dns = l->dns, .spf = l->spf, .counters = l->counters,
		.keys = l->keys};
	rc = ctl_link_connect(&link, &l->link);
	if (rc)
		return die(c->dataplane_socket, strerror(-rc));
	if (sandbox_enter(args.user, config_wants_transparent(c), err, sizeof(err)))
		return die("sandbox", err);
	l->seals = arc_pool_new(l->base, LIMIT_ARC_THREADS, err, sizeof(err));
	if (!l->seals)
		return die("sealing", err);
	l->judge_env.seals = l->seals;
	/* As the user that it will run as, who owns the directories. */
	if (start_trace(l, c, err, sizeof(err)))
		return die("trace", err);
	metrics_where = c->metrics ? strdup(c->metrics) : NULL;
	if (c->metrics && !metrics_where)
		return die("metrics", "out of memory");
	if (metrics_where)
		try_metrics(l);
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
	watch_free(l->watch);
	commands_top_free(l);
	gauges_free(l->gauges);
	free(metrics_where);
	spf_jail_free(l->spf);
	dkim_keys_free(l->keys);
	dns_free(l->dns);
	reload_free(l->reload);
	config_settings_unref(l->start_settings);
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
		return snapshot_load(args.config, reload_generation(), out, report);
	rc = snapshot_begin(args.config, reload_generation(), &s, report);
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

/*
 * What a message is judged in is some 100 KiB that come and go with it. By default glibc gives the end
 * of the heap back each time, and each message pays for the pages anew.
 */
static void keep_memory(void)
{
	(void)mallopt(M_TRIM_THRESHOLD, 16 << 20);
	(void)mallopt(M_TOP_PAD, 1 << 20);
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
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
	struct compiler *compiles;
	struct loop *l = &loop;
	int rc, compiler = -1;

	keep_memory();
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	signal(SIGPIPE, SIG_IGN);
	note_on_alert(remember_alert);
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
		reload_print(&report);
		return 1;
	}
	if (report.unsupported)
		note(NOTE_NOTICE, "%zu rule(s) are of kinds that are not supported and left out; see posternctl "
			  "rules check", report.unsupported);
	if (args.check) {
		printf("%s: ok, %zu rule(s)\n", args.config, rules_count(first->rules));
		snapshot_unref(first);
		return 0;
	}
	reload_first(l, first);
	l->started_ns = clock_real_ns();
	l->base = event_base_new();
	if (!l->base)
		return die("event loop", "out of memory");
	compiles = compiler_new(l->base, compiler);
	l->reload = compiles ? reload_new(l, compiles) : NULL;
	if (!l->reload)
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
	note(NOTE_NOTICE, "started, %zu route(s), %zu rule(s)", l->active->config->n_routes,
		  rules_count(l->active->rules));
	rc = notify_send("READY=1");
	if (rc)
		note(NOTE_ERROR, "telling the service manager: %s", strerror(-rc));
	event_base_dispatch(l->base);
	for (int i = 0; i < 3; i++)
		event_free(sig[i]);
	event_free(stats);
	stop(l);
	event_base_free(l->base);
	return 0;
}
