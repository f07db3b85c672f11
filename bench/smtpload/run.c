/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What happens in which order: the gateway's MAC, the sessions, then runs. Without --gate one run
 * and the end. With it, lines on standard input say what is next, and a "ready" is printed when the
 * next line is waited for:
 *     run [seconds=S] [messages=K] [active=M] [rate=R] [churn=C] [flood=R] [decoy=R]
 *     probe        a NOOP on each idle session
 *     end
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/smtpload/load.h"

#define ASK_US   100000u
#define STALL_US 30000000u /* without a step forward: given up */
#define END_US   10000000u
#define A_TURN   64u   /* sessions begun in one turn */
#define PROBES   1024u /* under way at once */

static enum { S_START, S_ARP, S_OPEN, S_WAIT, S_RUN, S_DRAIN, S_PROBE, S_END, S_DONE } step;

static uint64_t begun_us, moved_us;
static uint32_t seen;   /* progress at moved_us */
static uint32_t cursor; /* of walks over all sessions */
static double run_seconds;
static bool from_command; /* go back to waiting */

static void enter(int next)
{
	step = next;
	begun_us = moved_us = load.now_us;
	seen = cursor = 0;
}

static bool stalled(uint32_t progress, uint64_t limit)
{
	if (progress != seen) {
		seen = progress;
		moved_us = load.now_us;
	}
	return load.now_us - moved_us > limit;
}

static double elapsed(void)
{
	return (double)(load.now_us - begun_us) / 1e6;
}

static void clear_figures(void)
{
	memset(&load.f, 0, sizeof(load.f));
}

static void wait_for_command(void)
{
	enter(S_WAIT);
	report_ready();
}

static void begin_run(void)
{
	clear_figures();
	enter(S_RUN);
	load.running = true;
	load.messages_begun = load.messages_done = 0;
	if (pace_start(load.run_rate)) {
		fputs("smtpload: no memory for the sessions that wait\n", stderr);
		load.signalled = 1;
		return;
	}
	for (uint32_t i = load.opt.idle; i < load.n_sess; i++) {
		struct sess *s = &load.sess[i];

		if (is_churn(s))
			smtp_reopen(s);
		else
			smtp_ready(s);
	}
}

static void after(void)
{
	if (from_command)
		wait_for_command();
	else if (load.opt.probe && load.opt.idle && step != S_PROBE)
		enter(S_PROBE);
	else
		enter(S_END);
}

/* ---- commands ------------------------------------------------------------------------------- */

static void set_run(void)
{
	load.run_active = load.opt.active;
	load.run_churn = load.opt.churn;
	load.run_messages = load.opt.messages;
	load.run_rate = load.opt.rate;
	run_seconds = load.opt.seconds;
	flood_rate(load.opt.flood, false);
}

/* False: it is not to be understood, and another run than was asked for would be measured. */
static bool override(char *word)
{
	char *v = strchr(word, '='), *end;
	double n = 0;

	if (v) {
		*v++ = 0;
		n = strtod(v, &end);
	}
	if (!v || end == v || *end || !(n >= 0 && n <= 1e15)) {
		fprintf(stderr, "smtpload: run: %s: KEY=NUMBER is wanted\n", word);
		return false;
	}
	if (strcmp(word, "seconds") == 0)
		run_seconds = n;
	else if (strcmp(word, "messages") == 0)
		load.run_messages = (uint64_t)n;
	else if (strcmp(word, "active") == 0)
		load.run_active = n < load.opt.active ? (uint32_t)n : load.opt.active;
	else if (strcmp(word, "rate") == 0)
		load.run_rate = n;
	else if (strcmp(word, "churn") == 0)
		load.run_churn = n < load.opt.churn ? (uint32_t)n : load.opt.churn;
	else if (strcmp(word, "flood") == 0)
		flood_rate((uint64_t)n, false);
	else if (strcmp(word, "decoy") == 0)
		flood_rate((uint64_t)n, true);
	else
		fprintf(stderr, "smtpload: run: %s is not known\n", word);
	return true;
}

static void command(char *line)
{
	char *save = NULL, *word = strtok_r(line, " \r\n", &save);

	from_command = true;
	if (!word)
		return;
	if (strcmp(word, "run") == 0) {
		set_run();
		while ((word = strtok_r(NULL, " \r\n", &save)))
			if (!override(word)) {
				load.signalled = 1;
				return;
			}
		begin_run();
	} else if (strcmp(word, "probe") == 0) {
		load.f.probes_ok = 0;
		enter(S_PROBE);
	} else if (strcmp(word, "end") == 0) {
		from_command = false;
		enter(S_END);
	} else {
		fprintf(stderr, "smtpload: %s: no such command (run, probe, end)\n", word);
	}
}

static void read_command(void)
{
	static char line[256];
	static size_t n;
	ssize_t rc = read(STDIN_FILENO, line + n, 1);

	if (rc == 0 || (rc < 0 && errno != EAGAIN && errno != EINTR)) {
		from_command = false;
		enter(S_END);
		return;
	}
	if (rc < 0)
		return;
	if (line[n] != '\n' && n < sizeof(line) - 2) {
		n++;
		return;
	}
	line[n] = 0;
	n = 0;
	command(line);
}

/* ---- steps ---------------------------------------------------------------------------------- */

static unsigned int open_turn(void)
{
	uint32_t total = load.opt.idle + load.opt.active;
	unsigned int work = 0;

	while (load.next_open < total && load.opening < load.opt.window && work < A_TURN) {
		struct sess *s = &load.sess[load.next_open++];

		s->flags |= F_OPENING;
		load.opening++;
		tcp_open(s);
		work++;
	}
	if ((load.next_open == total && !load.opening) || stalled(load.up, STALL_US)) {
		report_opened(elapsed());
		load.next_open = total;
		if (load.opt.gate) {
			wait_for_command();
		} else {
			set_run();
			begin_run();
		}
	}
	return work;
}

static void run_step(void)
{
	bool over = run_seconds > 0 && elapsed() >= run_seconds;

	if (load.run_messages && load.messages_done >= load.run_messages)
		over = true;
	if (run_seconds <= 0 &&
	    (!load.run_messages || stalled((uint32_t)load.messages_done, STALL_US)))
		over = true;
	if (!over)
		return;
	report_run(elapsed());
	load.running = false;
	flood_rate(0, false);
	enter(S_DRAIN);
}

static bool churn_over(void)
{
	for (uint32_t i = load.opt.idle + load.opt.active; i < load.n_sess; i++)
		if (load.sess[i].tcp != T_CLOSED)
			return false;
	return true;
}

static unsigned int probe_turn(void)
{
	unsigned int work = 0;
	static uint32_t asked;

	if (!cursor)
		asked = 0;
	while (cursor < load.opt.idle && asked - (uint32_t)load.f.probes_ok < PROBES &&
	       work < A_TURN) {
		struct sess *s = &load.sess[cursor++];

		if (s->tcp != T_OPEN || s->phase != P_IDLE)
			continue;
		smtp_say(s, P_NOOP);
		asked++;
		work++;
	}
	if ((cursor == load.opt.idle && load.f.probes_ok == asked) ||
	    stalled((uint32_t)load.f.probes_ok + cursor, STALL_US)) {
		report_probe(asked, load.opt.idle - asked);
		after();
	}
	return work;
}

static unsigned int end_turn(void)
{
	unsigned int work = 0;

	load.ending = true;
	if (load.opt.abandon) {
		step = S_DONE;
		return 0;
	}
	while (cursor < load.n_sess && work < A_TURN) {
		struct sess *s = &load.sess[cursor++];

		if (s->tcp == T_OPEN && s->phase == P_IDLE) {
			smtp_say(s, P_QUIT);
			work++;
		}
	}
	if ((cursor == load.n_sess && !load.up) || stalled(load.up + cursor, END_US))
		step = S_DONE;
	return work;
}

bool run_turn(unsigned int *work)
{
	switch (step) {
	case S_START:
		if (load.opt.gate)
			fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
		enter(S_ARP);
		moved_us = 0;
		break;
	case S_ARP:
		if (link_peer_known) {
			enter(S_OPEN);
		} else if (load.now_us - moved_us > ASK_US) {
			moved_us = load.now_us;
			wire_arp_ask();
		}
		if (step == S_ARP && load.now_us - begun_us > STALL_US) {
			fputs("smtpload: the gateway does not answer ARP\n", stderr);
			load.signalled = 1;
		}
		break;
	case S_OPEN:
		*work += open_turn();
		break;
	case S_WAIT:
		read_command();
		break;
	case S_RUN:
		*work += pace_turn() + think_turn();
		run_step();
		break;
	case S_DRAIN:
		*work += think_turn(); /* messages that were begun */
		if ((load.messages_begun == load.messages_done && churn_over()) ||
		    load.now_us - begun_us > STALL_US)
			after();
		break;
	case S_PROBE:
		*work += probe_turn();
		break;
	case S_END:
		*work += end_turn();
		break;
	case S_DONE:
		return false;
	}
	return step != S_DONE;
}
