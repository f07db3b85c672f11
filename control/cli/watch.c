/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `posternctl watch`: a line an event. The daemon filters; this prints. */

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/cli.h"
#include "control/cli/line.h"
#include "control/cli/request.h"

#define FIRST_LINE_MS 30000
#define LIMIT_MOST    1000000000L

/* ---- the question ---- */

static int complain(const char *what)
{
	fprintf(stderr, "posternctl watch: %s\n", what);
	return CLI_USAGE;
}

static int limit_of(const char *text, long *limit)
{
	*limit = request_number(text, LIMIT_MOST);
	return *limit ? CLI_OK : complain("--limit: a number from 1 to 1000000000");
}

static int options(json_t *request, long *limit, int argc, char **argv)
{
	static const struct option opts[] = {{"peer", 1, 0, 0},    {"domain", 1, 0, 0},
					     {"rule", 1, 0, 0},    {"trace-id", 1, 0, 0},
					     {"route", 1, 0, 0},   {"outcome", 1, 0, 0},
					     {"limit", 1, 0, 'l'}, {0}};
	int o, at, rc = CLI_OK;

	optind = 1;
	while (!rc && (o = getopt_long(argc, argv, "", opts, &at)) != -1) {
		if (o == 'l')
			rc = limit_of(optarg, limit);
		else if (o)
			rc = CLI_USAGE;
		else
			rc = request_text(
				request, "watch",
				!strcmp(opts[at].name, "trace-id") ? "trace_id" : opts[at].name,
				optarg);
	}
	if (!rc && optind < argc)
		rc = request_text(request, "watch", "what", argv[optind]);
	return rc;
}

/* ---- for people ---- */

static const char *s(const json_t *o, const char *name)
{
	return show_text(o, name);
}

static long long n(const json_t *o, const char *name)
{
	return (long long)json_integer_value(json_object_get(o, name));
}

/* An address that may not have been seen. */
static const char *seen(const json_t *o, const char *name)
{
	return json_is_string(json_object_get(o, name)) ? s(o, name) : "?";
}

static void message(const json_t *e)
{
	const json_t *rules = json_object_get(e, "rules"), *v;
	size_t i;

	printf("%s  %-11s %s", s(e, "trace_id"), s(e, "outcome"),
	       seen(e, *s(e, "peer") ? "peer" : "origin"));
	if (*s(e, "origin") && *s(e, "peer") && strcmp(s(e, "origin"), s(e, "peer")) != 0)
		printf(" for %s", s(e, "origin"));
	printf(" <%s> -> <%s>", seen(e, "mail_from"), seen(e, "rcpt"));
	if (*s(e, "action"))
		printf("  %s %.2f", s(e, "action"), json_number_value(json_object_get(e, "score")));
	json_array_foreach(rules, i, v)
		printf("%s%s", i ? "," : " [", show_plain(json_string_value(v)));
	if (json_array_size(rules))
		printf(n(e, "rules_hit") > (long long)json_array_size(rules) ? ",...]" : "]");
	if (*s(e, "mode"))
		printf("  %s", s(e, "mode"));
	if (*s(e, "how"))
		printf("  %s", s(e, "how"));
	if (*s(e, "reply"))
		printf("  \"%s\"", s(e, "reply"));
}

static void closed(const json_t *e)
{
	const json_t *why = json_object_get(e, "why"), *tls = json_object_get(e, "tls"), *v;
	size_t i;

	printf("closed     %s:%lld after %.1f s, %lld message(s)", s(e, "peer"), n(e, "peer_port"),
	       json_number_value(json_object_get(e, "seconds")), n(e, "messages"));
	if (n(e, "rcpts_refused"))
		printf(", %lld recipient(s) refused", n(e, "rcpts_refused"));
	if (n(e, "errors"))
		printf(", %lld command(s) refused", n(e, "errors"));
	if (json_is_boolean(tls))
		printf(json_is_true(tls) ? ", TLS" : ", in clear text");
	json_array_foreach(why, i, v)
		printf("%s%s", i ? ", " : ": ", show_plain(json_string_value(v)));
}

static void session(const json_t *e, const char *event)
{
	printf("session %-16s  ", s(e, "session"));
	if (!strcmp(event, "closed")) {
		closed(e);
		return;
	}
	printf("%-10s %s:%lld", show_plain(event), s(e, "peer"), n(e, "peer_port"));
	if (*s(e, "via"))
		printf(" named by %s", s(e, "via"));
	if (*s(e, "helo"))
		printf(" HELO %s", s(e, "helo"));
	if (!strcmp(event, "greeted"))
		printf(", %s", *s(e, "tls") ? s(e, "tls") : "in clear text");
	if (*s(e, "reply"))
		printf(" \"%s\"", s(e, "reply"));
}

/* 15:04:05.678 of an RFC 3339 time. */
static const char *time_of(const json_t *e)
{
	const char *t = s(e, "time");

	return strlen(t) == 24 ? t + 11 : t;
}

static void print_event(const json_t *e)
{
	const char *event = s(e, "event");

	printf("%.12s  ", time_of(e));
	if (!strcmp(event, "message"))
		message(e);
	else if (!strcmp(event, "left-out"))
		printf("%lld event(s) left out: they were not read in time", n(e, "n"));
	else if (!strcmp(event, "lost"))
		printf("the dataplane is gone, and %lld session(s) with it", n(e, "sessions"));
	else if (json_object_get(e, "session"))
		session(e, event);
	else
		printf("%s  %-11s %s", s(e, "trace_id"), event, s(e, "peer"));
	putchar('\n');
}

/* ---- the stream ---- */

/* As it came, but for what would draw on a terminal. */
static void print_line(const json_t *e)
{
	char *text = json_dumps(e, JSON_COMPACT | JSON_ENSURE_ASCII);

	puts(text ? text : "");
	free(text);
}

/* Events that are counted by --limit. */
static bool counts(const char *event)
{
	return strcmp(event, "watching") != 0 && strcmp(event, "left-out") != 0;
}

static int one(const struct cli *cli, const char *line, long *left)
{
	json_t *e = json_loads(line, 0, NULL);
	const char *event = show_text(e, "event");
	bool counted = counts(event);

	if (!e || !*event) {
		json_decref(e);
		fprintf(stderr, "posternctl: %s: not understood\n", cli->socket);
		return CLI_UNREACHABLE;
	}
	if (cli->json)
		print_line(e);
	else if (strcmp(event, "watching") != 0)
		print_event(e);
	/* Behind each: who reads it through a pipe sees it as it happens. */
	fflush(stdout);
	json_decref(e);
	if (counted && *left > 0 && --*left == 0 && !ferror(stdout))
		return -1;
	return ferror(stdout) ? CLI_FINDING : CLI_OK; /* dispatch_flush() says so */
}

/* The first line says whether there will be more. */
static int refused(const char *line)
{
	json_t *answer = json_loads(line, 0, NULL), *problem = json_object_get(answer, "error");
	int code = CLI_OK;

	if (problem)
		code = client_refused(problem);
	json_decref(answer);
	return code;
}

/* -1: enough; else an exit code. */
static int follow(const struct cli *cli, struct line_client *c, long limit)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	bool first = true;
	char *line;

	for (;;) {
		int rc = line_next(c, &line);

		if (rc < 0) {
			fprintf(stderr, "posternctl: %s: %s\n", cli->socket, strerror(-rc));
			return CLI_UNREACHABLE;
		}
		if (!rc) {
			rc = poll(&p, 1, first ? FIRST_LINE_MS : -1);
			if (rc == 0) {
				fprintf(stderr, "posternctl: %s: no answer within 30 s\n",
					cli->socket);
				return CLI_UNREACHABLE;
			}
			continue;
		}
		rc = first ? refused(line) : CLI_OK;
		if (!rc)
			rc = one(cli, line, &limit);
		if (rc)
			return rc;
		first = false;
	}
}

int cmd_watch(const struct cli *cli, int argc, char **argv)
{
	json_t *request = json_pack("{s:s}", "command", "watch");
	struct line_client c = {.fd = -1};
	long limit = 0;
	int rc = options(request, &limit, argc, argv);
	char *text = json_dumps(request, JSON_COMPACT);

	json_decref(request);
	if (!rc) {
		int error = text ? line_open(&c, cli->socket) : -ENOMEM;

		if (!error)
			error = line_send(&c, text);
		if (error) {
			fprintf(stderr, "posternctl: %s: %s\n", cli->socket, strerror(-error));
			rc = CLI_UNREACHABLE;
		}
	}
	if (!rc)
		rc = follow(cli, &c, limit);
	line_close(&c);
	free(text);
	return rc < 0 ? CLI_OK : rc;
}
