/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Messages from files over many sessions at once, one thread, one connection each, over the
 * kernel's sockets: what smtp-source cannot send, since it makes its messages itself and a
 * signature would not fit them.
 *
 *   mailer ADDRESS:PORT --list FILE --messages N --rcpt ADDRESS --books FILE [--sessions N]
 *          [--per-session N] [--rate N] [--tag N] [--helo NAME] [--patience SECONDS]
 *
 * The list has a line a message: its file, a tab, its reverse-path. They are sent in turn. Sixteen
 * zeros of a Message-ID become the tag and the number of the message in hexadecimal, so that each
 * that is sent can be told from all others; the field must not be signed. --rate: messages begin so
 * many a second, if a session is free; without it as fast as they are answered. A session is as a
 * sender's: EHLO, MAIL, RCPT and DATA together if PIPELINING is offered, QUIT after --per-session
 * messages.
 *
 * A line of the books: the id, the reply (0: none came), microseconds between the final dot was
 * handed to the kernel and the reply. A message is never sent twice.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define ID           16
#define MAX_TEXTS    4096
#define MAX_SESSIONS 1000

struct text {
	char *from;
	char *octets; /* with dots stuffed, and the final one */
	size_t n, id_at;
};

/* What is waited for. */
enum stage { CLOSED, CONNECTING, BANNER, EHLO, FREE, MAIL, RCPT, DATA, DOT, QUIT };

struct session {
	int fd;
	enum stage stage;
	bool pipelining, writing;
	unsigned long sent; /* messages on this connection */
	const struct text *text;
	char id[ID + 1];
	double dot_us;
	char in[2048];
	size_t n_in;
	char out[1024];
	size_t n_out, out_at; /* commands */
	size_t text_at;       /* of the content, while it is on its way */
};

static struct sockaddr_in to;
static struct text texts[MAX_TEXTS];
static size_t n_texts;
static struct session sessions[MAX_SESSIONS];
static unsigned long n_sessions = 10, per_session = 20, messages, begun, over;
static double rate, patience = 60, first_us;
static unsigned long tag, connections, refused, lost;
static const char *rcpt, *helo = "mail.example.net";
static FILE *books;
static int ep;

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "mailer: %s: %s\n", what, why);
	exit(1);
}

/* ---- messages
 * ------------------------------------------------------------------------------------ */

static char *whole_file(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	char *p;
	long size;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET))
		fail(path, strerror(errno));
	*n = (size_t)size;
	p = malloc(*n + 1);
	if (!p || fread(p, 1, *n, f) != *n)
		fail(path, "cannot be read");
	p[*n] = '\0';
	fclose(f);
	return p;
}

/* RFC 5321 4.5.2. The file has CRLF; it must end with it. */
static void add_text(char *path, char *from)
{
	static const char zeros[] = "0000000000000000";
	struct text *t = &texts[n_texts];
	size_t n, dots = 0;
	char *raw, *at;

	if (n_texts == MAX_TEXTS)
		fail(path, "too many messages in the list");
	raw = whole_file(path, &n);
	if (n < 2 || memcmp(raw + n - 2, "\r\n", 2) != 0)
		fail(path, "does not end with CRLF");
	for (size_t i = 0; i < n; i++)
		dots += raw[i] == '.' && (!i || raw[i - 1] == '\n');
	t->octets = malloc(n + dots + 3);
	if (!t->octets)
		fail(path, "no memory");
	for (size_t i = 0; i < n; i++) {
		if (raw[i] == '.' && (!i || raw[i - 1] == '\n'))
			t->octets[t->n++] = '.';
		t->octets[t->n++] = raw[i];
	}
	memcpy(t->octets + t->n, ".\r\n", 3);
	t->n += 3;
	at = memmem(t->octets, t->n, zeros, ID);
	if (!at)
		fail(path, "has no sixteen zeros for an id");
	t->id_at = (size_t)(at - t->octets);
	t->from = strdup(from);
	free(raw);
	n_texts++;
}

static void read_list(const char *path)
{
	size_t n;
	char *save, *text = whole_file(path, &n);

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *tab = strchr(line, '\t');

		if (!tab)
			fail(line, "no tab in the list");
		*tab = '\0';
		add_text(line, tab + 1);
	}
	if (!n_texts)
		fail(path, "no messages in the list");
	free(text);
}

/* ---- sessions
 * ------------------------------------------------------------------------------------ */

static void watch(struct session *s, bool writing, int op)
{
	struct epoll_event e = {.events = EPOLLIN | (writing ? EPOLLOUT : 0u), .data.ptr = s};

	if (epoll_ctl(ep, op, s->fd, &e))
		fail("epoll_ctl", strerror(errno));
	s->writing = writing;
}

static void connect_session(struct session *s)
{
	int one = 1;

	memset(s, 0, sizeof(*s));
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (s->fd < 0 ||
	    (connect(s->fd, (struct sockaddr *)&to, sizeof(to)) && errno != EINPROGRESS))
		fail("connect", strerror(errno));
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s->stage = CONNECTING;
	connections++;
	watch(s, true, EPOLL_CTL_ADD);
}

static void book(struct session *s, int code, double us)
{
	fprintf(books, "%s %d %.0f\n", s->id, code, us);
	over++;
	s->text = NULL;
	if (!code)
		lost++;
	else if (code / 100 != 2)
		refused++;
}

/* Whatever happened: a message under way has no reply, and the next ones want a session. */
static void drop(struct session *s)
{
	if (s->text)
		book(s, 0, 0);
	close(s->fd);
	s->stage = CLOSED;
	if (begun < messages)
		connect_session(s);
}

static bool flush(struct session *s)
{
	const struct text *t = s->text;

	while (s->out_at < s->n_out) {
		ssize_t k = write(s->fd, s->out + s->out_at, s->n_out - s->out_at);

		if (k < 0)
			return errno == EAGAIN || errno == EINTR;
		s->out_at += (size_t)k;
	}
	s->n_out = s->out_at = 0;
	while (s->stage == DOT && s->text_at < t->n) {
		const char *part[] = {t->octets, s->id, t->octets + t->id_at + ID};
		size_t size[] = {t->id_at, ID, t->n - t->id_at - ID}, skip = s->text_at;
		struct iovec v[3];
		ssize_t k;

		for (unsigned int i = 0; i < 3; i++) {
			size_t gone = skip < size[i] ? skip : size[i];

			v[i] = (struct iovec){.iov_base = (char *)(uintptr_t)part[i] + gone,
					      .iov_len = size[i] - gone};
			skip -= gone;
		}
		k = writev(s->fd, v, 3);
		if (k < 0)
			return errno == EAGAIN || errno == EINTR;
		s->text_at += (size_t)k;
		s->dot_us = now_us();
	}
	return true;
}

static bool waits_to_write(const struct session *s)
{
	return s->n_out || (s->stage == DOT && s->text_at < s->text->n);
}

static void put(struct session *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct session *s, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(s->out + s->n_out, sizeof(s->out) - s->n_out, format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(s->out) - s->n_out)
		fail("command", "too long");
	s->n_out += (size_t)n;
}

static void begin(struct session *s)
{
	s->text = &texts[begun % n_texts];
	snprintf(s->id, sizeof(s->id), "%08lx%08lx", tag & 0xffffffff, begun & 0xffffffff);
	begun++;
	s->sent++;
	s->text_at = 0;
	s->stage = MAIL;
	put(s, "MAIL FROM:<%s>\r\n", s->text->from);
	if (s->pipelining)
		put(s, "RCPT TO:<%s>\r\nDATA\r\n", rcpt);
}

/* A session that has nothing under way: QUIT if it had its share, or nothing is left to send. */
static void rest(struct session *s)
{
	s->stage = FREE;
	if (s->sent >= per_session || begun >= messages) {
		put(s, "QUIT\r\n");
		s->stage = QUIT;
	}
}

static bool next_stage(struct session *s, int code)
{
	static const int good[] = {
		[BANNER] = 2, [EHLO] = 2, [MAIL] = 2, [RCPT] = 2, [DATA] = 3, [DOT] = 2};

	if (s->stage == QUIT || s->stage == FREE)
		return false;
	if (s->stage == DOT) {
		book(s, code, now_us() - s->dot_us);
		rest(s);
		return code != 421;
	}
	if (code / 100 != good[s->stage]) {
		if (s->text)
			book(s, code, 0);
		return false;
	}
	switch (s->stage) {
	case BANNER:
		put(s, "EHLO %s\r\n", helo);
		s->stage = EHLO;
		break;
	case EHLO:
		rest(s);
		break;
	case MAIL:
		if (!s->pipelining)
			put(s, "RCPT TO:<%s>\r\n", rcpt);
		s->stage = RCPT;
		break;
	case RCPT:
		if (!s->pipelining)
			put(s, "DATA\r\n");
		s->stage = DATA;
		break;
	default:
		s->stage = DOT;
		break;
	}
	return true;
}

/* false: the session is over. */
static bool read_replies(struct session *s)
{
	ssize_t k = read(s->fd, s->in + s->n_in, sizeof(s->in) - s->n_in);
	size_t at = 0;
	char *lf;

	if (k <= 0)
		return k < 0 && (errno == EAGAIN || errno == EINTR);
	s->n_in += (size_t)k;
	while ((lf = memchr(s->in + at, '\n', s->n_in - at))) {
		char *line = s->in + at;

		at = (size_t)(lf - s->in) + 1;
		*lf = '\0';
		if (s->stage == EHLO && strlen(line) >= 14 &&
		    !strncasecmp(line + 4, "PIPELINING", 10))
			s->pipelining = true;
		if (strlen(line) >= 3 && line[3] != '-' && !next_stage(s, atoi(line)))
			return false;
	}
	memmove(s->in, s->in + at, s->n_in - at);
	s->n_in -= at;
	return s->n_in < sizeof(s->in);
}

static void event(struct session *s, uint32_t events)
{
	if (s->stage == CONNECTING) {
		int error = 0;
		socklen_t n = sizeof(error);

		if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) || error)
			fail("connect", strerror(error));
		s->stage = BANNER;
	}
	if (((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !read_replies(s)) || !flush(s)) {
		drop(s);
		return;
	}
	if (waits_to_write(s) != s->writing)
		watch(s, waits_to_write(s), EPOLL_CTL_MOD);
}

/* Starts what is due on sessions that are free. Milliseconds until the next is due, at most 1000.
 */
static int start_due(void)
{
	double now = now_us();
	size_t i = 0;

	while (begun < messages) {
		double due = rate > 0 && first_us > 0 ? first_us + (double)begun * 1e6 / rate : 0;

		if (due > now)
			return due - now > 1e6 ? 1000 : (int)((due - now) / 1000);
		while (i < n_sessions && sessions[i].stage != FREE)
			i++;
		if (i == n_sessions)
			break;
		if (!begun)
			first_us = now;
		begin(&sessions[i]);
		event(&sessions[i], 0);
	}
	for (i = 0; begun >= messages && i < n_sessions; i++) {
		if (sessions[i].stage == FREE) {
			rest(&sessions[i]);
			event(&sessions[i], 0);
		}
	}
	return 1000;
}

static void run(void)
{
	struct epoll_event e[64];
	unsigned long seen = 0;
	double since = now_us();

	for (unsigned long i = 0; i < n_sessions; i++)
		connect_session(&sessions[i]);
	while (over < messages) {
		int n = epoll_wait(ep, e, 64, start_due());

		for (int i = 0; i < n; i++)
			event(e[i].data.ptr, e[i].events);
		if (over != seen) {
			seen = over;
			since = now_us();
		}
		if (now_us() - since > patience * 1e6)
			fail("no message was answered", "for longer than --patience");
	}
}

static void usage(const char *what)
{
	fprintf(stderr,
		"mailer: %s\nusage: mailer ADDRESS:PORT --list FILE --messages N --rcpt ADDRESS "
		"--books FILE\n"
		"  [--sessions N] [--per-session N] [--rate N] [--tag N] [--helo NAME] [--patience "
		"SECONDS]\n",
		what);
	exit(2);
}

static unsigned long number(const char *option, const char *v, unsigned long least,
			    unsigned long most)
{
	char *end;
	unsigned long n = strtoul(v, &end, 10);

	if (*v < '0' || *v > '9' || *end || n < least || n > most)
		usage(option);
	return n;
}

static void read_option(const char *a, const char *v)
{
	if (!strcmp(a, "--list")) {
		read_list(v);
	} else if (!strcmp(a, "--rcpt")) {
		rcpt = v;
	} else if (!strcmp(a, "--helo")) {
		helo = v;
	} else if (!strcmp(a, "--books")) {
		books = fopen(v, "w");
		if (!books)
			fail(v, strerror(errno));
	} else if (!strcmp(a, "--messages")) {
		messages = number(a, v, 1, 100000000);
	} else if (!strcmp(a, "--sessions")) {
		n_sessions = number(a, v, 1, MAX_SESSIONS);
	} else if (!strcmp(a, "--per-session")) {
		per_session = number(a, v, 1, 1000000);
	} else if (!strcmp(a, "--rate")) {
		rate = (double)number(a, v, 0, 1000000);
	} else if (!strcmp(a, "--tag")) {
		tag = number(a, v, 0, UINT32_MAX);
	} else if (!strcmp(a, "--patience")) {
		patience = (double)number(a, v, 1, 3600);
	} else {
		usage(a);
	}
}

int main(int argc, char **argv)
{
	double start;
	char *colon;

	if (argc < 2 || !(colon = strrchr(argv[1], ':')))
		usage("where to?");
	*colon = '\0';
	to = (struct sockaddr_in){.sin_family = AF_INET,
				  .sin_port = htons((uint16_t)number("port", colon + 1, 1, 65535))};
	if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		usage("an IPv4 address is wanted");
	for (int i = 2; i < argc; i += 2) {
		if (i + 1 == argc)
			usage(argv[i]);
		read_option(argv[i], argv[i + 1]);
	}
	if (!n_texts || !messages || !rcpt || !books)
		usage("--list, --messages, --rcpt and --books are needed");
	if (n_sessions > messages)
		n_sessions = messages;
	ep = epoll_create1(0);
	if (ep < 0)
		fail("epoll_create1", strerror(errno));
	start = now_us();
	run();
	if (fclose(books))
		fail("books", strerror(errno));
	printf("{\"messages\": %lu, \"refused\": %lu, \"lost\": %lu, \"connections\": %lu, "
	       "\"seconds\": %.6f}\n",
	       messages, refused, lost, connections, (now_us() - start) / 1e6);
	return 0;
}
