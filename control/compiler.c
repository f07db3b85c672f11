/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/compiler.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "postern/limits.h"

/* Behind the time that it gives the compiler, the helper has this to answer in. */
#define ANSWER_S 10

struct compiler {
	int fd;                /* -1: the helper is gone */
	struct event *readable;
	struct event *silent;  /* it should have answered by now */
	bool busy;
	int result;            /* while busy */
	uint32_t serial;       /* of the last request */
	uint64_t deaths;
	compiler_done *done;
	void *arg;
};

int compiler_start(const char *user, int *fd)
{
	int sv[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		return -errno;
	pid = fork();
	if (pid < 0) {
		int e = errno;

		close(sv[0]);
		close(sv[1]);
		return -e;
	}
	if (pid == 0) {
		close(sv[0]);
		compiler_helper(sv[1], user);
	}
	close(sv[1]);
	*fd = sv[0];
	return 0;
}

/* ---- asking ------------------------------------------------------------------------------- */

static void put(FILE *f, const char *text)
{
	fwrite(text, 1, strlen(text) + 1, f);
}

/* memfd of the cache and the files; or -errno. */
static int request_of(const struct config *c)
{
	int fd = memfd_create("postern-rules-request", MFD_CLOEXEC), copy = fd < 0 ? -1 : dup(fd);
	FILE *f = copy < 0 ? NULL : fdopen(copy, "w");
	bool ok;

	if (!f) {
		int e = errno;

		if (copy >= 0)
			close(copy);
		if (fd >= 0)
			close(fd);
		return -e;
	}
	put(f, c->rules_cache ? c->rules_cache : "");
	for (size_t i = 0; i < c->n_rules_files; i++)
		put(f, c->rules_file[i]);
	ok = !ferror(f);
	if (!fclose(f) && ok)
		return fd;
	close(fd);
	return -EIO;
}

static int send_request(int to, const struct config *c, uint32_t serial, int in, int out)
{
	struct compiler_request req = {
		.serial = serial, .n_files = (uint32_t)c->n_rules_files, .score_set = c->rules_score_set,
		.cpu_s = c->rules_compile_time_s, .memory = c->rules_compile_memory,
		.cache_size = c->rules_cache_size};
	struct iovec iov = {&req, sizeof(req)};
	int pass[2] = {in, out};
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(sizeof(pass))];
	} u;
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.b,
			     .msg_controllen = sizeof(u.b)};
	struct cmsghdr *h;

	memset(&u, 0, sizeof(u));
	h = CMSG_FIRSTHDR(&msg);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(pass));
	memcpy(CMSG_DATA(h), pass, sizeof(pass));
	/* The queue is full of requests that a stopped helper does not read: no reason to stop as well. */
	return sendmsg(to, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(req) ? 0 : -errno;
}

/* The memfd that the result will be in, or -errno. */
static int ask(int to, const struct config *c, uint32_t serial)
{
	int in = request_of(c), out, rc;

	if (in < 0)
		return in;
	out = memfd_create("postern-rules", MFD_CLOEXEC);
	rc = out < 0 ? -errno : send_request(to, c, serial, in, out);
	close(in);
	if (!rc)
		return out;
	if (out >= 0)
		close(out);
	return rc;
}

/* ---- what came of it ---------------------------------------------------------------------- */

static int fail(struct snapshot_report *r, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int fail(struct snapshot_report *r, const char *key, const char *fmt, ...)
{
	struct config_error *e = &r->error[0];
	va_list ap;

	memset(r, 0, sizeof(*r));
	va_start(ap, fmt);
	vsnprintf(e->reason, sizeof(e->reason), fmt, ap);
	va_end(ap);
	snprintf(e->key, sizeof(e->key), "%s", key);
	r->n_errors = 1;
	return -EINVAL;
}

/* In the words of the configuration, whose file it is. */
static int ended_badly(const struct config *c, const struct compiler_ended *end, struct snapshot_report *r)
{
	int sig = WIFSIGNALED(end->status) ? WTERMSIG(end->status) : 0;

	if (end->how == COMPILER_GONE)
		fail(r, "rules", COMPILER_GONE_TEXT);
	else if (end->how == COMPILER_SILENT)
		fail(r, "rules", "the process that forks compilers of rules does not answer; is it stopped?");
	else if (end->how == COMPILER_HELPER_DIED)
		fail(r, "rules", "the process that forks compilers of rules was killed; another one is "
		     "there: reload again");
	else if (end->how == COMPILER_NOT_STARTED)
		fail(r, "rules", "the compiler could not be started: %s", strerror(end->error));
	else if (end->how == COMPILER_LATE)
		fail(r, "rules.compile-time", "the rules were not compiled after %u s, %u times the CPU time "
		     "they may take", c->rules_compile_time_s * RULES_COMPILE_WALL, RULES_COMPILE_WALL);
	else if (sig == SIGXCPU)
		fail(r, "rules.compile-time", "compiling the rules takes more than %u s of CPU",
		     c->rules_compile_time_s);
	else if (sig)
		fail(r, "rules", "the compiler was killed by signal %d (%s)%s", sig, strsignal(sig),
		     sig == SIGKILL ? "; by the kernel, if memory is short" : "");
	else
		fail(r, "rules", "the compiler ended without a result");
	snprintf(r->error[0].file, sizeof(r->error[0].file), "%s", c->path);
	return -EINVAL;
}

static int take(struct snapshot *s, const uint8_t *p, size_t len, struct snapshot_report *report)
{
	struct rules_options opt = snapshot_rules_options(s->config);
	struct compiler_result head;
	int rc;

	if (len < sizeof(head))
		return fail(report, "rules", "the compiler ended without a result");
	memcpy(&head, p, sizeof(head));
	if (head.magic != COMPILER_MAGIC || head.kept_len != len - sizeof(head))
		return fail(report, "rules", "the compiler ended without a result");
	if (head.rc == -ENOMEM) {
		fail(report, "rules.compile-memory", "compiling the rules takes more than %llu MB of memory",
		     (unsigned long long)(s->config->rules_compile_memory / 1000000));
		snprintf(report->error[0].file, sizeof(report->error[0].file), "%s", s->config->path);
		return -EINVAL;
	}
	*report = head.report;
	if (head.rc)
		return head.rc;
	memset(report, 0, sizeof(*report));
	opt.kept = p + sizeof(head);
	opt.kept_stays = true;
	opt.kept_len = head.kept_len;
	rc = snapshot_rules(s, &opt, report);
	if (rc && !report->n_errors)
		fail(report, "rules", "%s", strerror(-rc));
	return rc;
}

/* The compiler is gone: nobody writes there any more. */
static int finish(struct snapshot *s, int result, const struct compiler_ended *end,
		  struct snapshot_report *report)
{
	struct stat st;
	void *p;
	int rc;

	memset(report, 0, sizeof(*report));
	if (end->how != COMPILER_ENDED || !WIFEXITED(end->status) || WEXITSTATUS(end->status))
		return ended_badly(s->config, end, report);
	if (fstat(result, &st) || !st.st_size)
		return fail(report, "rules", "the compiler ended without a result");
	/* Populated: one call instead of thousands of page faults. */
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, result, 0);
	if (p == MAP_FAILED)
		return fail(report, "rules", "%s", strerror(errno));
	rc = take(s, p, (size_t)st.st_size, report);
	s->mapped = p;
	s->mapped_len = (size_t)st.st_size;
	return rc;
}

int compiler_take(struct snapshot *s, int result, const struct compiler_ended *end,
		  struct snapshot_report *report)
{
	int rc = finish(s, result, end, report);

	close(result);
	if (!rc)
		rules_warm(s->rules, &(size_t){0}, 0);
	return rc;
}

int compiler_run_and_wait(int fd, struct snapshot *s, struct snapshot_report *report)
{
	struct compiler_ended end;
	int result = ask(fd, s->config, 1);
	ssize_t n;

	if (result < 0)
		return fail(report, "rules", "the compiler could not be asked: %s", strerror(-result));
	do
		n = recv(fd, &end, sizeof(end), 0);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(end))
		end = (struct compiler_ended){.how = COMPILER_GONE};
	return compiler_take(s, result, &end, report);
}

/* ---- beside the loop ---------------------------------------------------------------------- */

static void over(struct compiler *c, const struct compiler_ended *end)
{
	int result = c->result;

	evtimer_del(c->silent);
	c->busy = false;
	c->result = -1;
	c->done(c->arg, result, end);
}

static void on_silent(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	over(arg, &(struct compiler_ended){.how = COMPILER_SILENT});
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct compiler *c = arg;
	struct compiler_ended end;
	ssize_t n = recv(fd, &end, sizeof(end), MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != (ssize_t)sizeof(end)) {
		event_del(c->readable);
		close(c->fd);
		c->fd = -1;
		end = (struct compiler_ended){.serial = c->serial, .how = COMPILER_GONE};
	}
	if (end.how == COMPILER_GONE || end.how == COMPILER_HELPER_DIED)
		c->deaths++;
	/* An answer may be that of a request that was given up. */
	if (c->busy && (end.serial == c->serial || end.how == COMPILER_HELPER_DIED))
		over(c, &end);
}

struct compiler *compiler_new(struct event_base *base, int fd)
{
	struct compiler *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->fd = fd;
	c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->silent = evtimer_new(base, on_silent, c);
	c->result = -1;
	c->serial = 1; /* of the start */
	if (!c->readable || !c->silent || event_add(c->readable, NULL)) {
		compiler_free(c);
		return NULL;
	}
	return c;
}

int compiler_run(struct compiler *c, const struct config *config, compiler_done *done, void *arg)
{
	time_t limit_s = (time_t)config->rules_compile_time_s * RULES_COMPILE_WALL + ANSWER_S;
	int result;

	if (c->busy)
		return -EBUSY;
	if (c->fd < 0)
		return -EPIPE;
	c->serial = c->serial == UINT32_MAX ? 1 : c->serial + 1;
	result = ask(c->fd, config, c->serial);
	if (result < 0)
		return result;
	c->busy = true;
	c->result = result;
	c->done = done;
	c->arg = arg;
	evtimer_add(c->silent, &(struct timeval){.tv_sec = limit_s});
	return 0;
}

bool compiler_progress(const struct compiler *c, char what[24], uint32_t *done, uint32_t *all)
{
	struct compiler_progress p;

	if (!c->busy || pread(c->result, &p, sizeof(p), 0) != (ssize_t)sizeof(p) ||
	    p.magic != COMPILER_PROGRESS || !memchr(p.what, '\0', sizeof(p.what)))
		return false;
	memcpy(what, p.what, sizeof(p.what));
	*done = p.done;
	*all = p.all;
	return true;
}

bool compiler_is_gone(const struct compiler *c)
{
	return c->fd < 0;
}

uint64_t compiler_deaths(const struct compiler *c)
{
	return c->deaths;
}

void compiler_free(struct compiler *c)
{
	if (!c)
		return;
	if (c->readable)
		event_free(c->readable);
	if (c->silent)
		event_free(c->silent);
	if (c->result >= 0)
		close(c->result);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}
