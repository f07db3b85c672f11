/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/cli/cli.h"
#include "control/cli/progress.h"

#define ANSWER_MAX (256u * 1024 * 1024)
#define TIMEOUT_S 30
#define STATUS_S 5
#define QUICK_S 1
#define CLIENT_WAITING_MS 500
#define RELOAD_S 290 /* rules are compiled; control cuts who waits for 300 s */

static int dial(const char *path, time_t timeout_s)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct timeval t = {.tv_sec = timeout_s};
	int fd;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		int e = errno;

		close(fd);
		return -e;
	}
	return fd;
}

static int send_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k < 0)
			return -errno;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

/* Up to the newline. NULL: *error says why. */
static char *read_line(int fd, int *error)
{
	size_t cap = 1 << 16, n = 0;
	char *buf = malloc(cap);

	while (buf) {
		ssize_t k = recv(fd, buf + n, cap - n - 1, 0);

		if (k <= 0) {
			*error = k < 0 ? errno : ECONNRESET;
			break;
		}
		n += (size_t)k;
		buf[n] = '\0';
		if (buf[n - 1] == '\n')
			return buf;
		if (n + 1 == cap) {
			char *more = cap < ANSWER_MAX ? realloc(buf, cap * 2) : NULL;

			if (!more) {
				*error = EMSGSIZE;
				break;
			}
			buf = more;
			cap *= 2;
		}
	}
	free(buf);
	return NULL;
}

/* Line and newline; NULL: *error says why. */
static char *exchange(int fd, const char *text, bool (*waiting)(void *arg), void *arg, int *error)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	*error = -send_all(fd, text, strlen(text));
	if (!*error)
		*error = -send_all(fd, "\n", 1);
	while (!*error && waiting && poll(&p, 1, CLIENT_WAITING_MS) == 0)
		if (!waiting(arg))
			waiting = NULL;
	return *error ? NULL : read_line(fd, error);
}

static json_t *ask(const char *socket, json_t *request, int timeout_s, bool (*waiting)(void *arg), void *arg,
		   int *error)
{
	char *text = json_dumps(request, JSON_COMPACT), *line = NULL;
	int fd = dial(socket, timeout_s);
	json_t *answer = NULL;

	*error = fd < 0 ? -fd : text ? 0 : ENOMEM;
	json_decref(request);
	if (!*error)
		line = exchange(fd, text, waiting, arg, error);
	if (line)
		answer = json_loads(line, 0, NULL);
	free(line);
	free(text);
	if (fd >= 0)
		close(fd);
	return answer;
}

json_t *client_status(const struct cli *cli)
{
	int error;

	return ask(cli->socket, json_pack("{s:s}", "command", "show status"), STATUS_S, NULL, NULL, &error);
}

static json_t *try_within(const struct cli *cli, json_t *request, int timeout_s)
{
	int error;
	json_t *a = ask(cli->socket, request, timeout_s, NULL, NULL, &error);

	if (json_object_get(a, "error")) {
		json_decref(a);
		return NULL;
	}
	return a;
}

json_t *client_try(const struct cli *cli, json_t *request)
{
	return try_within(cli, request, STATUS_S);
}

json_t *client_quick(const struct cli *cli, json_t *request)
{
	return try_within(cli, request, QUICK_S);
}

bool client_try_is_there(const struct cli *cli)
{
	json_t *a = client_try(cli, json_pack("{s:s}", "command", "trace status"));
	bool there = a != NULL;

	json_decref(a);
	return there;
}

int client_refused(const json_t *problem)
{
	const char *text = show_text(problem, "text");

	fprintf(stderr, "posternctl: %s\n", *text ? text : "refused, and it is not said why");
	return strcmp(show_text(problem, "code"), "bad-request") ? CLI_FINDING : CLI_USAGE;
}

json_t *client_ask(const struct cli *cli, json_t *request, int *exit_code)
{
	const char *command = json_string_value(json_object_get(request, "command"));
	bool reload = command && !strcmp(command, "config reload");
	struct progress progress = {.cli = cli};
	int error;
	json_t *answer = ask(cli->socket, request, reload ? RELOAD_S : TIMEOUT_S,
			     reload && !cli->json ? progress_show : NULL, &progress, &error);
	json_t *problem;

	progress_end(&progress);
	if (!answer) {
		fprintf(stderr, "posternctl: %s: %s\n", cli->socket,
			error == EAGAIN ? reload ? "no answer: the reload goes on, see show status"
						 : "no answer within 30 s"
			: error		? strerror(error)
					: "not understood");
		*exit_code = CLI_UNREACHABLE;
		return NULL;
	}
	problem = json_object_get(answer, "error");
	if (problem) {
		*exit_code = client_refused(problem);
		json_decref(answer);
		return NULL;
	}
	return answer;
}
