/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `posternctl quarantine ...`: what is held back, and what becomes of it. */

#include <stdio.h>
#include <string.h>

#include "control/cli/cli.h"
#include "control/cli/request.h"
#include "postern/str.h"
#include "postern/utf8.h"
#include "control/rfc3339.h"

#define LIST_MOST 1000000000L /* control answers at most LIMIT_QUARANTINE_LIST */

static int complain(const char *why)
{
	fprintf(stderr, "posternctl quarantine: %s\n", why);
	return CLI_USAGE;
}

static void print_list(const json_t *answer)
{
	const json_t *v, *r;
	char time[RFC3339];
	size_t i, k;

	json_array_foreach(json_object_get(answer, "messages"), i, v) {
		rfc3339((time_t)(json_integer_value(json_object_get(v, "time_ns")) / 1000000000), time);
		printf("%s  %s  %lld octets, from <%s> at %s\n", show_text(v, "id"), time,
		       (long long)json_integer_value(json_object_get(v, "size")),
		       show_text(v, "mail_from"), show_text(v, "origin"));
		json_array_foreach(json_object_get(v, "rcpts"), k, r)
			printf("    %s <%s>\n", json_is_true(json_object_get(r, "held")) ? "held for"
										      : "released to",
			       show_text(r, "rcpt"));
		printf("    %s\n", show_text(v, "reason"));
	}
	printf("%zu message(s)\n", json_array_size(json_object_get(answer, "messages")));
}

/* Lines of a message on a terminal: controls and deceptive code points are '?'. */
static void print_lines(const char *text)
{
	struct str t = str_c(text);

	for (size_t i = 0, n; i < t.n; i += n) {
		long cp = utf8_at(t, i, &n);

		if (cp == '\r')
			continue;
		if (cp == '\n' || cp == '\t' || (cp >= 0x20 && cp != 0x7f && !utf8_is_deceptive(cp)))
			fwrite(t.p + i, 1, n, stdout);
		else
			putchar('?');
	}
}

static void print_message(const json_t *v)
{
	const json_t *list = json_pack("{s:[O]}", "messages", v);

	print_list(list);
	json_decref((json_t *)list);
	printf("\n--- in front of it would go:\n");
	print_lines(json_string_value(json_object_get(v, "header_block")));
	printf("--- the message as it came%s:\n",
	       json_is_true(json_object_get(v, "cut")) ? ", its beginning" : "");
	print_lines(json_string_value(json_object_get(v, "content")));
}

static void print_release(const json_t *answer)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(answer, "rcpts"), i, v)
		printf("%s <%s>: %s\n", json_is_true(json_object_get(v, "released")) ? "released to"
										      : "still held for",
		       show_text(v, "rcpt"), show_text(v, "reply"));
}

static int ask(const struct cli *cli, const char *what, json_t *request,
	       void (*print)(const json_t *answer))
{
	char command[40];
	int code = CLI_OK;
	json_t *answer;

	snprintf(command, sizeof(command), "quarantine %s", what);
	json_object_set_new(request, "command", json_string(command));
	answer = client_ask(cli, request, &code);
	if (!answer)
		return code;
	if (cli->json)
		print_json(answer);
	else if (print)
		print(answer);
	if (json_is_false(json_object_get(answer, "ok")))
		code = CLI_FINDING;
	json_decref(answer);
	return code;
}

static int limit(json_t *req, const char *text)
{
	long n = request_number(text, LIST_MOST);

	if (!n || json_object_set_new(req, "limit", json_integer(n)))
		return complain("list: --limit: a number from 1 to 1000000000");
	return CLI_OK;
}

static int list(const struct cli *cli, int argc, char **argv)
{
	json_t *req = json_object();
	int rc = CLI_OK;

	for (int i = 0; i + 1 < argc && !rc; i += 2)
		if (!strcmp(argv[i], "--limit"))
			rc = limit(req, argv[i + 1]);
		else
			rc = request_text(req, "quarantine list",
					  !strcmp(argv[i], "--rcpt") ? "rcpt" : "mail_from",
					  argv[i + 1]);
	if (!rc)
		return ask(cli, "list", req, print_list);
	json_decref(req);
	return rc;
}

/* Without recipients in the request all that are held are meant: none may get lost on the way. */
static int release(const struct cli *cli, json_t *req, int n, char **rcpt)
{
	json_t *rcpts = n ? json_array() : NULL;

	for (int i = 0; i < n; i++)
		if (json_array_append_new(rcpts, request_string("quarantine release", rcpt[i]))) {
			json_decref(rcpts);
			json_decref(req);
			return CLI_USAGE;
		}
	if (n)
		json_object_set_new(req, "rcpts", rcpts);
	return ask(cli, "release", req, print_release);
}

int cmd_quarantine(const struct cli *cli, int argc, char **argv)
{
	json_t *req;

	/* Of each word the grammar knows what stands behind it. */
	if (!strcmp(argv[0], "list"))
		return list(cli, argc - 1, argv + 1);
	req = json_pack("{s:s}", "id", argv[1]);
	if (!req)
		return complain("an id is 16 digits and letters");
	if (!strcmp(argv[0], "show"))
		return ask(cli, "show", req, print_message);
	if (!strcmp(argv[0], "delete"))
		return ask(cli, "delete", req, NULL);
	return release(cli, req, argc - 2, argv + 2);
}
