/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 *   sink ADDRESS:PORT [--tls CERT KEY] [--books FILE] [--no-pipelining] [--no-chunking]
 *        [--size N] [--delay STAGE=MS] [--refuse STAGE=CODE[:PER_MILLE]] [--max-messages N]
 *        [--look WORD]... [--id-field NAME]
 *
 * STAGE is connect, mail, rcpt, data or dot. A line "report" on standard input is answered by one
 * line of JSON with totals since the start; "end", or SIGTERM, ends it. Bit i of "found" in the
 * books: a line of the header has the WORD i (from 0) in its first 512 octets. --id-field: the id is
 * the value of this field in place of the Message-ID, and "sha256" is of what is behind its line.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sink.h"

struct sink_options options = {.pipelining = true, .chunking = true, .size = 60u * 1024 * 1024};
static volatile sig_atomic_t ending;
static char standard_input; /* its address stands for it in epoll */

static void on_signal(int signo)
{
	(void)signo;
	ending = 1;
}

static void usage(const char *what)
{
	fprintf(stderr,
		"sink: %s\nusage: sink ADDRESS:PORT [--tls CERT KEY] [--books FILE] [--no-pipelining]\n"
		"  [--no-chunking] [--size N] [--delay STAGE=MS] [--refuse STAGE=CODE[:PER_MILLE]]\n"
		"  [--max-messages N] [--look WORD]... [--id-field NAME]\nSTAGE: connect mail rcpt data dot\n",
		what);
	exit(2);
}

/* "rcpt=550:100" → stage and what is behind the "=". */
static enum sink_stage stage_of(const char *text, const char **value)
{
	static const char *const name[] = {"connect", "mail", "rcpt", "data", "dot"};
	const char *eq = strchr(text, '=');

	for (unsigned int i = 0; eq && i < STAGE_COUNT; i++) {
		if (strlen(name[i]) == (size_t)(eq - text) && !strncmp(text, name[i], (size_t)(eq - text))) {
			*value = eq + 1;
			return (enum sink_stage)i;
		}
	}
	usage("unknown stage");
	return STAGE_COUNT;
}

static void set_refuse(const char *text)
{
	const char *value;
	enum sink_stage s = stage_of(text, &value);
	char *end;

	options.refuse[s] = (unsigned int)strtoul(value, &end, 10);
	options.share[s] = *end == ':' ? (unsigned int)strtoul(end + 1, NULL, 10) : 1000;
	if (options.refuse[s] < 400 || options.refuse[s] > 599 || options.share[s] > 1000)
		usage("a code of 400 to 599 and a share of up to 1000 are wanted");
}

static void set_address(char *text)
{
	char *colon = strrchr(text, ':');

	if (!colon)
		usage("ADDRESS:PORT is wanted");
	*colon = '\0';
	options.address = text;
	options.port = atoi(colon + 1);
	if (options.port < 1 || options.port > 65535)
		usage("a port is wanted");
}

static void read_arguments(int argc, char **argv)
{
	if (argc < 2)
		usage("where?");
	set_address(argv[1]);
	for (int i = 2; i < argc; i++) {
		const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;

		if (!strcmp(a, "--no-pipelining")) {
			options.pipelining = false;
			continue;
		}
		if (!strcmp(a, "--no-chunking")) {
			options.chunking = false;
			continue;
		}
		if (!v)
			usage(a);
		i++;
		if (!strcmp(a, "--tls") && i + 1 < argc) {
			options.cert = v;
			options.key = argv[++i];
		} else if (!strcmp(a, "--books")) {
			options.books = v;
		} else if (!strcmp(a, "--id-field") && *v) {
			options.id_field = v;
		} else if (!strcmp(a, "--size")) {
			options.size = strtoull(v, NULL, 10);
		} else if (!strcmp(a, "--max-messages")) {
			options.max_messages = strtoul(v, NULL, 10);
		} else if (!strcmp(a, "--look") && options.n_look < SINK_LOOKS) {
			options.look[options.n_look++] = v;
		} else if (!strcmp(a, "--refuse")) {
			set_refuse(v);
		} else if (!strcmp(a, "--delay")) {
			const char *ms;
			enum sink_stage s = stage_of(v, &ms);

			options.delay_ms[s] = (unsigned int)strtoul(ms, NULL, 10);
		} else {
			usage(a);
		}
	}
}

static void asked(void)
{
	char line[256];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);

	if (n <= 0) {
		if (n < 0 && errno == EAGAIN)
			return;
		/* Started detached: SIGTERM ends it. */
		epoll_ctl(conn_epoll(), EPOLL_CTL_DEL, STDIN_FILENO, NULL);
		return;
	}
	line[n] = '\0';
	if (strstr(line, "report"))
		books_report();
	if (strstr(line, "end"))
		ending = 1;
}

int main(int argc, char **argv)
{
	struct epoll_event ev[64] = {{.events = EPOLLIN, .data.ptr = &standard_input}};
	struct sigaction sa = {.sa_handler = on_signal};
	struct rlimit files;
	int listener;

	read_arguments(argc, argv);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	books_open();
	conn_tls();
	listener = conn_listen();
	fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
	/* /dev/null and files cannot be polled; then there is nobody to ask. */
	(void)epoll_ctl(conn_epoll(), EPOLL_CTL_ADD, STDIN_FILENO, &ev[0]);
	puts("{\"event\": \"ready\"}");
	fflush(stdout);
	while (!ending) {
		int n = epoll_wait(conn_epoll(), ev, 64, conn_due());

		if (n < 0 && errno != EINTR)
			break;
		for (int i = 0; i < n; i++) {
			if (!ev[i].data.ptr)
				conn_accept(listener);
			else if (ev[i].data.ptr == &standard_input)
				asked();
			else
				conn_event(ev[i].data.ptr, ev[i].events);
		}
	}
	conn_end();
	close(listener);
	books_report();
	return books_close() ? 0 : 1;
}
