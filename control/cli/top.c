/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `posternctl top`: asks the daemon again and again, and shows what it says. */

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/cli/cli.h"
#include "control/cli/line.h"
#include "control/cli/screen.h"
#include "control/cli/terminal.h"
#include "control/cli/top.h"
#include "postern/clock.h"

#define INTERVAL_LEAST 0.1
#define INTERVAL_MOST  3600.0
#define ONCE_S         1.0  /* between the two answers that --once needs, if nothing else is said */
#define ONCE_COLUMNS   120  /* of no terminal */
#define SILENT_MS      3000 /* without an answer: the screen says so */
#define RETRY_MS       1000

struct top_run {
	const struct cli *cli;
	double interval; /* 0: not said */
	bool once;
	struct top_state state;
	struct line_client c;
	long long asked_ms; /* 0: no answer is open */
	long long next_ms;
	json_t *before, *now, *view;
	char problem[200], clock[16];
	bool failed; /* it answered with an error: for good */
};

static long long now_ms(void)
{
	return (long long)clock_mono_ms();
}

/* ---- the question ---- */

static int complain(const char *what)
{
	fprintf(stderr, "posternctl top: %s\n", what);
	return CLI_USAGE;
}

static int orders(struct top_run *r, char *list)
{
	char *save = NULL;

	for (char *name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save))
		if (!top_order_named(&r->state.order, name)) {
			fprintf(stderr, "posternctl top: --sort: %s\n", top_order_names());
			return CLI_USAGE;
		}
	return CLI_OK;
}

static int interval(struct top_run *r, const char *text)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !(v >= INTERVAL_LEAST && v <= INTERVAL_MOST))
		return complain("--interval: seconds, from 0.1 to 3600");
	r->interval = v;
	return CLI_OK;
}

static int options(struct top_run *r, int argc, char **argv)
{
	static const struct option opts[] = {
		{"interval", 1, 0, 'i'}, {"sort", 1, 0, 's'}, {"once", 0, 0, 'o'}, {0}};
	int o, rc = CLI_OK;

	optind = 1;
	while (!rc && (o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (o == 'i')
			rc = interval(r, optarg);
		else if (o == 's')
			rc = orders(r, optarg);
		else if (o == 'o')
			r->once = true;
		else
			rc = CLI_USAGE;
	}
	return rc;
}

/* ---- once ---- */

static json_t *ask_once(const struct cli *cli, int *code)
{
	return client_ask(cli, json_pack("{s:s}", "command", "show top"), code);
}

/* A view a line, so that a program can read as they come. */
static void print_view(const json_t *view)
{
	json_dumpf(view, stdout, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6));
	putchar('\n');
	fflush(stdout);
}

static void take_clock(struct top_run *r)
{
	time_t t = time(NULL);
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(r->clock, sizeof(r->clock), "%H:%M:%S", &tm);
	r->state.clock = r->clock;
}

static void print_frame(struct top_run *r)
{
	struct top_frame f = {.columns = ONCE_COLUMNS};
	unsigned int rows;

	if (isatty(STDOUT_FILENO))
		screen_size(&f.columns, &rows);
	take_clock(r);
	r->state.view = r->view;
	top_frame_make(&f, &r->state);
	for (size_t i = 0; i < f.n; i++)
		puts(f.line[i].text);
	top_frame_free(&f);
}

static void rest(double s)
{
	struct timespec t = {(time_t)s, (long)((s - floor(s)) * 1e9)};

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

/* Two answers for the rates of one view; with --json on a terminal, view after view. */
static int print_all(struct top_run *r)
{
	int code = CLI_OK;

	r->before = ask_once(r->cli, &code);
	do {
		if (!r->before)
			return code;
		rest(r->interval > 0 ? r->interval : ONCE_S);
		r->now = ask_once(r->cli, &code);
		if (!r->now)
			return code;
		r->view = top_view(r->before, r->now);
		if (r->cli->json)
			print_view(r->view);
		else
			print_frame(r);
		json_decref(r->view);
		json_decref(r->before);
		r->view = NULL;
		r->before = r->now;
		r->now = NULL;
	} while (!r->once && !ferror(stdout));
	return code;
}

/* ---- the screen ---- */

/* What is on the screen stays, and is said to be old. */
static void lost(struct top_run *r, int error)
{
	line_close(&r->c);
	r->asked_ms = 0;
	snprintf(r->problem, sizeof(r->problem),
		 "control does not answer at %.100s: %s; tried again", r->cli->socket,
		 strerror(error));
	r->state.problem = r->problem;
	/* No rate over the time that it was away. */
	json_decref(r->now);
	r->now = NULL;
	r->next_ms = now_ms() + RETRY_MS;
}

static void ask(struct top_run *r)
{
	int rc = r->c.fd < 0 ? line_open(&r->c, r->cli->socket) : 0;

	if (!rc)
		rc = line_send(&r->c, "{\"command\":\"show top\"}");
	if (rc)
		lost(r, -rc);
	else
		r->asked_ms = now_ms();
}

static void answered(struct top_run *r, const char *text)
{
	json_t *answer = json_loads(text, 0, NULL), *problem = json_object_get(answer, "error");
	long long due = r->next_ms + (long long)(r->interval * 1000), now = now_ms();

	r->asked_ms = 0;
	r->next_ms = due > now ? due : now + (long long)(r->interval * 1000);
	if (!answer || problem) {
		/* Of an earlier version, say. */
		snprintf(r->problem, sizeof(r->problem), "control cannot tell: %s",
			 problem ? show_text(problem, "text") : "its answer is not understood");
		r->state.problem = r->problem;
		json_decref(answer);
		return;
	}
	json_decref(r->before);
	r->before = r->now;
	r->now = answer;
	json_decref(r->view);
	r->view = top_view(r->before, r->now);
	r->state.view = r->view;
	r->state.problem = NULL;
}

static void read_answer(struct top_run *r)
{
	char *text;
	int rc = line_next(&r->c, &text);

	if (rc > 0)
		answered(r, text);
	else if (rc < 0)
		lost(r, -rc);
}

static bool draw(struct top_run *r)
{
	static struct top_frame f; /* its memory is used again */

	screen_size(&f.columns, &f.rows);
	take_clock(r);
	top_frame_make(&f, &r->state);
	return screen_draw(&f);
}

static void alone(struct top_order *o, enum top_section s)
{
	o->only = o->only == (int)s ? -1 : (int)s;
}

/* False: quit. */
static bool key(struct top_run *r, char c)
{
	struct top_order *o = &r->state.order;

	switch (c) {
	case 'q':
	case 4:
		return false; /* Ctrl-D */
	case ' ':
		r->state.paused = !r->state.paused;
		r->next_ms = now_ms();
		/* The next rate is not one over the pause. */
		json_decref(r->now);
		r->now = NULL;
		break;
	case 'w':
		top_order_next(o, TOP_WORKERS);
		break;
	case 'n':
		top_order_next(o, TOP_ROUTES);
		break;
	case 'r':
		top_order_next(o, TOP_RULES);
		break;
	case 'W':
		alone(o, TOP_WORKERS);
		break;
	case 'N':
		alone(o, TOP_ROUTES);
		break;
	case 'R':
		alone(o, TOP_RULES);
		break;
	default:
		break;
	}
	return true;
}

/* The last octet of an arrow and its like (ECMA-48 5.4), whose letters are no keys; what was typed behind
 * it is. */
static ssize_t behind_sequence(const char *c, ssize_t n, ssize_t i)
{
	if (i + 1 == n || (c[i + 1] != '[' && c[i + 1] != 'O'))
		return i;
	for (i += 2; i < n && (c[i] < 0x40 || c[i] > 0x7e); i++)
		;
	return i;
}

static bool read_keys(struct top_run *r, short what, int *fd)
{
	char c[64];
	ssize_t n = what & (POLLIN | POLLHUP) ? read(*fd, c, sizeof(c)) : 0;

	if ((n < 0 && errno != EAGAIN && errno != EINTR) || (n <= 0 && what & ~POLLIN))
		*fd = -1; /* hung up */
	for (ssize_t i = 0; i < n; i++) {
		if (c[i] == 27)
			i = behind_sequence(c, n, i);
		else if (!key(r, c[i]))
			return false;
	}
	return true;
}

static void look_after_time(struct top_run *r)
{
	long long now = now_ms();

	if (!r->asked_ms && !r->state.paused && now >= r->next_ms)
		ask(r);
	if (!r->asked_ms || now - r->asked_ms < SILENT_MS)
		return;
	snprintf(r->problem, sizeof(r->problem), "control has not answered for %lld s",
		 (now - r->asked_ms) / 1000);
	r->state.problem = r->problem;
}

static int timeout_of(const struct top_run *r)
{
	long long left = r->next_ms - now_ms();

	if (r->asked_ms)
		return 1000;
	if (r->state.paused)
		return -1;
	return left < 0 ? 0 : left < 1000 ? (int)left : 1000;
}

static int full_screen(struct top_run *r)
{
	int keys, code = CLI_OK, n;

	r->state.keys = screen_keys_fd() >= 0;
	keys = screen_keys_fd();
	r->next_ms = now_ms();
	for (;;) {
		struct pollfd p[2] = {{.fd = keys, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
		enum screen_event e;

		look_after_time(r);
		if (!draw(r))
			break;
		p[1].fd = r->c.fd;
		e = screen_wait(p, 2, timeout_of(r), &n);
		if (e == SCREEN_END || e == SCREEN_QUIT)
			break;
		if (n > 0 && p[0].revents && !read_keys(r, p[0].revents, &keys))
			break;
		if (n > 0 && p[1].revents)
			read_answer(r);
	}
	if (!r->view)
		code = CLI_UNREACHABLE;
	screen_die();
	if (code)
		fprintf(stderr, "posternctl: %s\n",
			r->state.problem ? r->state.problem : "no answer came");
	return code;
}

int cmd_top(const struct cli *cli, int argc, char **argv)
{
	struct top_run r = {.cli = cli, .c = {.fd = -1}, .state = {.order = {.only = -1}}};
	int rc = options(&r, argc, argv);

	if (rc)
		return rc;
	if (!terminal_draws())
		r.once = true;
	if (r.once || cli->json) {
		rc = print_all(&r);
	} else {
		if (r.interval <= 0)
			r.interval = 1;
		rc = screen_open();
		rc = rc ? complain(strerror(-rc)) : full_screen(&r);
	}
	line_close(&r.c);
	json_decref(r.before);
	json_decref(r.now);
	json_decref(r.view);
	return rc;
}
