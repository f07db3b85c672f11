/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A normal client that measures how long it waits: one session, a message every --every-ms, each
 * timed from its MAIL, and from when its final dot was written, to the last reply. What it prints are
 * percentiles of these, which two runs of it, with something going on beside it and without, are
 * compared by.
 *
 *   bystander ADDRESS PORT MESSAGES EVERY_MS OCTETS [RCPT]
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int fd;

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void fail(const char *what)
{
	fprintf(stderr, "bystander: %s: %s\n", what, errno ? strerror(errno) : "unexpected");
	exit(1);
}

static void put(const char *p, size_t n)
{
	while (n) {
		ssize_t k = write(fd, p, n);

		if (k <= 0)
			fail("write");
		p += k;
		n -= (size_t)k;
	}
}

/* One reply, its last line included; the code. */
static int reply(void)
{
	static char buf[4096];
	static size_t have;

	for (;;) {
		char *lf = memchr(buf, '\n', have);
		ssize_t k;

		if (lf) {
			size_t n = (size_t)(lf - buf) + 1;
			int code = atoi(buf);
			int more = n > 3 && buf[3] == '-';

			memmove(buf, lf + 1, have - n);
			have -= n;
			if (!more)
				return code;
			continue;
		}
		if (have == sizeof(buf))
			fail("reply too long");
		k = read(fd, buf + have, sizeof(buf) - have);
		if (k <= 0)
			fail("read");
		have += (size_t)k;
	}
}

static void expect(int code)
{
	int got = reply();

	errno = 0;
	if (got != code) {
		fprintf(stderr, "bystander: reply %d, expected %d\n", got, code);
		exit(1);
	}
}

static void connect_to(const char *ip, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int one = 1;

	if (inet_pton(AF_INET, ip, &a.sin_addr) != 1)
		fail("address");
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)))
		fail("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	expect(220);
	put("EHLO bystander.example.net\r\n", 28);
	expect(250);
}

/* us: whole transaction; *dot_us: from the final dot. */
static double message(const char *rcpt, const char *content, size_t n, double *dot_us)
{
	char head[512];
	double start = now_us(), dot;

	snprintf(head, sizeof(head), "MAIL FROM:<a@example.net>\r\nRCPT TO:<%.256s>\r\nDATA\r\n", rcpt);
	put(head, strlen(head));
	expect(250);
	expect(250);
	expect(354);
	put(content, n);
	dot = now_us();
	expect(250);
	*dot_us = now_us() - dot;
	return now_us() - start;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print(const char *prefix, double *us, long n)
{
	qsort(us, (size_t)n, sizeof(*us), by_value);
	printf("\"%sp50_us\": %.0f, \"%sp90_us\": %.0f, \"%sp99_us\": %.0f, \"%sp999_us\": %.0f, "
	       "\"%smax_us\": %.0f", prefix, us[n / 2], prefix, us[n * 9 / 10], prefix, us[n * 99 / 100],
	       prefix, us[n * 999 / 1000], prefix, us[n - 1]);
}

int main(int argc, char **argv)
{
	long messages, every, octets;
	double *us, *dot, due;
	char *content;
	size_t n = 0;

	if (argc != 6 && argc != 7) {
		fprintf(stderr, "usage: bystander ADDRESS PORT MESSAGES EVERY_MS OCTETS [RCPT]\n");
		return 2;
	}
	messages = atol(argv[3]);
	every = atol(argv[4]);
	octets = atol(argv[5]);
	if (messages < 1 || every < 0 || octets < 0 || octets > 10000000)
		return 2;
	us = calloc((size_t)messages, sizeof(*us));
	dot = calloc((size_t)messages, sizeof(*dot));
	content = malloc((size_t)octets + 200);
	if (!us || !dot || !content)
		return 1;
	n += (size_t)sprintf(content, "From: a@example.net\r\nSubject: bystander\r\n\r\n");
	while ((long)n < octets)
		n += (size_t)sprintf(content + n, "%-70s\r\n", "the quick brown fox");
	n += (size_t)sprintf(content + n, ".\r\n");
	connect_to(argv[1], atoi(argv[2]));
	due = now_us();
	for (long i = 0; i < messages; i++) {
		double wait = due - now_us();

		if (wait > 0)
			usleep((useconds_t)wait);
		us[i] = message(argc == 7 ? argv[6] : "b@example.com", content, n, &dot[i]);
		due += (double)every * 1000;
		if (due < now_us())
			due = now_us(); /* closed loop: one message at a time, no debt */
	}
	put("QUIT\r\n", 6);
	expect(221);
	printf("{\"messages\": %ld, ", messages);
	print("", us, messages);
	printf(", ");
	print("dot_", dot, messages);
	printf("}\n");
	return 0;
}
