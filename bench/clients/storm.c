/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Handshakes, one after the other: connect, EHLO, STARTTLS, SSL_connect() without resumption, close.
 * Each process of it keeps one going. With `plain` there is no SMTP in front: the peer is any TLS
 * server, so that the same work of the client's side can be done beside the gateway and not on it.
 *
 *   storm smtp|plain ADDRESS PORT SECONDS PROCESSES
 */

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

struct shared {
	long done, failed;
};

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int read_reply(int fd)
{
	char buf[2048];
	size_t have = 0;

	while (have < sizeof(buf) - 1) {
		ssize_t k = read(fd, buf + have, sizeof(buf) - 1 - have);
		char *line;

		if (k <= 0)
			return 0;
		have += (size_t)k;
		buf[have] = '\0';
		if (buf[have - 1] != '\n')
			continue;
		buf[have - 1] = '\0';
		line = strrchr(buf, '\n');
		line = line ? line + 1 : buf;
		if (line[3] == ' ')
			return atoi(line);
		buf[have - 1] = '\n';
	}
	return 0;
}

static int greet(int fd)
{
	static const char ehlo[] = "EHLO storm.example.net\r\n", tls[] = "STARTTLS\r\n";

	return read_reply(fd) == 220 && write(fd, ehlo, sizeof(ehlo) - 1) > 0 &&
	       read_reply(fd) == 250 && write(fd, tls, sizeof(tls) - 1) > 0 && read_reply(fd) == 220;
}

static int one(SSL_CTX *ctx, const struct sockaddr_in *to, int smtp)
{
	struct linger rst = {1, 0};
	int fd = socket(AF_INET, SOCK_STREAM, 0), ok = 0;
	SSL *ssl = NULL;

	if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to)))
		goto out;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst)); /* no TIME_WAIT of ours */
	if (smtp && !greet(fd))
		goto out;
	ssl = SSL_new(ctx);
	if (ssl && SSL_set_fd(ssl, fd) == 1)
		ok = SSL_connect(ssl) == 1;
out:
	SSL_free(ssl);
	if (fd >= 0)
		close(fd);
	return ok;
}

static void run(const struct sockaddr_in *to, int smtp, double end, struct shared *s)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (!ctx)
		_exit(1);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	while (now_s() < end)
		__atomic_fetch_add(one(ctx, to, smtp) ? &s->done : &s->failed, 1, __ATOMIC_RELAXED);
	_exit(0);
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct shared *s;
	double start, seconds;
	int smtp;

	if (argc != 6) {
		fprintf(stderr, "usage: storm smtp|plain ADDRESS PORT SECONDS PROCESSES\n");
		return 2;
	}
	smtp = strcmp(argv[1], "smtp") == 0;
	to.sin_port = htons((uint16_t)atoi(argv[3]));
	seconds = atof(argv[4]);
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (inet_pton(AF_INET, argv[2], &to.sin_addr) != 1 || s == MAP_FAILED)
		return 2;
	start = now_s();
	for (int i = 0; i < atoi(argv[5]); i++)
		if (fork() == 0)
			run(&to, smtp, start + seconds, s);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	printf("{\"seconds\": %.2f, \"handshakes\": %ld, \"failed\": %ld}\n", now_s() - start, s->done,
	       s->failed);
	return 0;
}
