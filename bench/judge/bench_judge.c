/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What judging a message costs: the daemon's judge over the messages of a list, on one event loop,
 * with the daemon's resolver and jail. CPU time is that of this process and of the jail's workers;
 * a first pass over the list, which fills the resolver's cache, is not in it.
 *
 *   bench-judge --config FILE --list FILE [--forwarder IP@PORT] [--messages N] [--open N] [--no-caches]
 *
 * A line of the list: message file, client address, HELO, MAIL FROM, with tabs between. Prints one
 * line of JSON with the tallies of the verdicts, so that whoever reads it sees what was done.
 */

#include <event2/event.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "control/judge/judge.h"
#include "postern/limits.h"
#include "postern/stats.h"

#define MAX_MESSAGES 4096
#define MAX_OPEN 1024
#define MAX_WORKERS 64

struct message {
	char *words; /* owned: the line of the list */
	uint8_t *data;
	struct iovec iov;
	struct mail_bytes content;
	struct mail_envelope env;
	struct str rcpt;
};

struct slot {
	struct judge *judge;
	bool done;
};

static struct {
	struct message message[MAX_MESSAGES];
	size_t n_messages, next, started, finished, wanted;
	struct slot slot[MAX_OPEN];
	size_t n_slots;
	struct event *pump;
	struct judge_env env;
	struct config *config;
	uint64_t counters[POSTERN_CTL_COUNTER_COUNT];
	uint64_t spf_pass, dkim_pass, dmarc_pass, arc_pass, errors, octets_out, judge_us;
} b;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "bench-judge: %s: %s\n", what, why);
	exit(1);
}

static void read_message(struct message *m, const char *path)
{
	FILE *f = fopen(path, "rb");
	long n;

	if (!f || fseek(f, 0, SEEK_END) || (n = ftell(f)) <= 0)
		die(path, "cannot be read");
	rewind(f);
	m->data = malloc((size_t)n);
	if (!m->data || fread(m->data, 1, (size_t)n, f) != (size_t)n)
		die(path, "cannot be read");
	fclose(f);
	m->iov = (struct iovec){m->data, (size_t)n};
	m->content = (struct mail_bytes){&m->iov, 1, (size_t)n};
}

static void read_list(const char *path)
{
	FILE *f = fopen(path, "r");
	char *line = NULL, *word[4], *save;
	size_t cap = 0;

	if (!f)
		die(path, "cannot be read");
	while (getline(&line, &cap, f) > 0) {
		struct message *m = &b.message[b.n_messages];

		if (b.n_messages++ == MAX_MESSAGES)
			die(path, "too many lines");
		m->words = strdup(line);
		for (int i = 0; i < 4; i++)
			if (!(word[i] = strtok_r(i ? NULL : m->words, "\t\n", &save)))
				die(path, "a line needs four words");
		read_message(m, word[0]);
		if (!ip_parse(str_c(word[1]), &m->env.peer))
			die(word[1], "is no address");
		m->rcpt = STR("rcpt@example.com");
		m->env.helo = str_c(word[2]);
		m->env.mail_from = str_c(word[3]);
		m->env.rcpt = &m->rcpt;
		m->env.n_rcpts = 1;
		m->env.proto = PROTO_ESMTP;
		m->env.time_ns = (uint64_t)time(NULL) * 1000000000u;
		memcpy(m->env.trace_id, "0123456789abcdef", 17);
	}
	free(line);
	fclose(f);
	if (!b.n_messages)
		die(path, "is empty");
}

static void on_judged(void *arg, const struct judgement *j)
{
	struct slot *s = arg;

	s->done = true;
	b.finished++;
	b.errors += j->error != 0;
	b.spf_pass += j->spf.result == SPF_PASS;
	b.dmarc_pass += j->dmarc_judged && j->dmarc.result == DMARC_PASS;
	b.arc_pass += j->arc->result == ARC_PASS;
	for (size_t i = 0; i < j->dkim->n; i++)
		b.dkim_pass += j->dkim->sig[i].result == DKIM_PASS;
	b.octets_out += j->out.size;
	b.judge_us += j->judge_us;
	event_active(b.pump, 0, 0);
}

static void pump(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	for (size_t i = 0; i < b.n_slots; i++) {
		struct slot *s = &b.slot[i];
		const struct message *m = &b.message[b.next];
		struct judge_request req = {.config = b.config, .env = &m->env,
					    .content = &m->content};

		if (s->judge && !s->done)
			continue;
		judge_free(s->judge);
		*s = (struct slot){0};
		if (b.started == b.wanted)
			continue;
		b.next = (b.next + 1) % b.n_messages;
		b.started++;
		s->judge = judge_start(&b.env, &req, on_judged, s);
		if (!s->judge)
			die("judge", "out of memory");
	}
	if (b.finished == b.wanted)
		event_base_loopbreak(b.env.base);
}

static void run(size_t messages)
{
	b.next = b.started = b.finished = 0;
	b.wanted = messages;
	b.spf_pass = b.dkim_pass = b.dmarc_pass = b.arc_pass = b.errors = 0;
	b.octets_out = b.judge_us = 0;
	memset(b.counters, 0, sizeof(b.counters));
	event_active(b.pump, 0, 0);
	event_base_dispatch(b.env.base);
}

static double own_cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* /proc/PID/schedstat: nanoseconds on a CPU. */
static double worker_cpu(void)
{
	pid_t pid[MAX_WORKERS];
	size_t n = spf_jail_workers(b.env.spf, pid, MAX_WORKERS);
	double sum = 0;

	for (size_t i = 0; i < n && i < MAX_WORKERS; i++) {
		unsigned long long ns = 0;
		char path[64];
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid[i]);
		f = fopen(path, "r");
		if (f && fscanf(f, "%llu", &ns) == 1)
			sum += (double)ns / 1e9;
		if (f)
			fclose(f);
	}
	return sum;
}

static double wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void measure(size_t messages)
{
	double own, workers, seconds;
	json_t *o;

	run(b.n_messages); /* warms the resolver */
	own = own_cpu();
	workers = worker_cpu();
	seconds = wall();
	run(messages);
	own = own_cpu() - own;
	workers = worker_cpu() - workers;
	seconds = wall() - seconds;
	o = json_pack("{s:I, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:f}", "messages",
		      (json_int_t)messages, "cpu_s", own + workers, "cpu_workers_s", workers, "wall_s",
		      seconds, "spf_pass", (json_int_t)b.spf_pass, "dkim_pass",
		      (json_int_t)b.dkim_pass, "dmarc_pass", (json_int_t)b.dmarc_pass, "arc_pass",
		      (json_int_t)b.arc_pass, "errors", (json_int_t)b.errors, "octets_out",
		      (double)b.octets_out / (double)messages);
	json_dumpf(o, stdout, 0);
	putchar('\n');
	json_decref(o);
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {{"config", 1, 0, 'c'},	{"list", 1, 0, 'l'},
					     {"forwarder", 1, 0, 'f'}, {"messages", 1, 0, 'n'},
					     {"open", 1, 0, 'o'},
					     {"no-caches", 0, 0, 'x'}, {0}};
	const char *config = NULL, *list = NULL, *forwarder = NULL;
	struct config_error err;
	struct dns_options dopt;
	struct spf_options sopt = {0};
	char why[256] = "";
	size_t n = 0, messages = 10000;
	bool bare = false;
	int c;

	b.n_slots = 64;
	while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1)
		switch (c) {
		case 'c': config = optarg; break;
		case 'l': list = optarg; break;
		case 'f': forwarder = optarg; break;
		case 'n': messages = strtoul(optarg, NULL, 10); break;
		case 'x': bare = true; break;
		case 'o': b.n_slots = strtoul(optarg, NULL, 10); break;
		default: return 2;
		}
	if (!config || !list || optind != argc || !messages || !b.n_slots || b.n_slots > MAX_OPEN)
		return 2;
	if (config_load(config, 1, &b.config, &err, 1, &n))
		die(err.key, err.reason);
	read_list(list);
	dopt = b.config->dns;
	if (forwarder) {
		dopt.forwarder = &forwarder;
		dopt.n_forwarders = 1;
	}
	sopt.n_workers = b.config->spf_workers;
	sopt.no_cache = bare;
	b.env.base = event_base_new();
	b.env.counters = b.counters;
	b.env.dns = dns_new(b.env.base, &dopt, why, sizeof(why));
	if (!b.env.dns)
		die("dns", why);
	if (!bare) {
		b.env.keys = dkim_keys_new(LIMIT_DKIM_KEYS);
		if (!b.env.keys)
			die("keys", "out of memory");
	}
	b.env.spf = spf_jail_new(b.env.base, b.env.dns, &sopt, why, sizeof(why));
	if (!b.env.spf)
		die("spf", why);
	b.pump = event_new(b.env.base, -1, 0, pump, NULL);
	measure(messages);
	event_free(b.pump);
	spf_jail_free(b.env.spf);
	dkim_keys_free(b.env.keys);
	dns_free(b.env.dns);
	event_base_free(b.env.base);
	for (size_t i = 0; i < b.n_messages; i++) {
		free(b.message[i].words);
		free(b.message[i].data);
	}
	config_unref(b.config);
	return 0;
}
