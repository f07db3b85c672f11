/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The link against peers that are written out by hand here: children of this process, since they
 * get killed. */

#include "dataplane/handoff/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TURNS 2000 /* of at most 10 ms: the bound of every wait */

struct fix {
	char dir[32], path[64];
	struct dp_arena *arena;
	struct dp_link *link;
	pid_t child;
	/* what the callbacks saw */
	unsigned int starts, ends, drains, pushes;
	bool drain, child_was_gone;
	uint64_t epoch;
	struct handoff_config config;
	char rules[8];
	size_t rules_len;
	int push_error, kill_error;
	unsigned int kills;
};

static void on_start(void *arg, uint64_t epoch, uint32_t n_loops)
{
	struct fix *f = arg;

	f->starts++;
	f->epoch = epoch;
	assert_int_equal(n_loops, 2);
}

static void on_end(void *arg, uint64_t epoch)
{
	struct fix *f = arg;
	siginfo_t si = {0};

	f->ends++;
	assert_int_equal(epoch, f->epoch);
	/* Not a moment before the process is dead. */
	assert_int_equal(waitid(P_PID, (id_t)f->child, &si, WEXITED | WNOHANG | WNOWAIT), 0);
	f->child_was_gone = si.si_pid == f->child;
}

static int on_push(void *arg, const struct dp_push *push, char *text, size_t cap)
{
	struct fix *f = arg;

	f->pushes++;
	f->config = *push->config;
	f->rules_len = push->rules_len;
	memcpy(f->rules, push->rules, push->rules_len < 8 ? push->rules_len : 8);
	if (f->push_error)
		snprintf(text, cap, "databases of another platform");
	return f->push_error;
}

static void on_drain(void *arg, bool drain)
{
	struct fix *f = arg;

	f->drains++;
	f->drain = drain;
}

static size_t on_ports(void *arg, char *buf, size_t cap)
{
	(void)arg;
	return (size_t)snprintf(buf, cap, "{\"ports\":[]}");
}

static int on_kill(void *arg, int pidfd)
{
	struct fix *f = arg;

	(void)pidfd;
	f->kills++;
	if (f->kill_error)
		return f->kill_error;
	return kill(f->child, SIGKILL) < 0 ? -errno : 0;
}

static int open_link(struct fix *f, bool hook)
{
	struct dp_link_opts o = {
		.path = f->path, .group = -1, .allow_uid = -1, .allow_gid = -1,
		.heartbeat_ms = 1500, .grace_ms = 50, .max_rules = 100000,
		.kill = hook ? on_kill : NULL, .arg = f,
		.ops = {on_start, on_end, on_push, on_drain, on_ports, NULL},
	};

	return dp_link_new(&o, f->arena, &f->link);
}

static int setup(void **state)
{
	struct dp_arena_opts o = {.n_workers = 1, .slice_mb = 8, .hugetlb = DP_HUGETLB_NEVER};
	struct fix *f = calloc(1, sizeof(*f));
	char err[160];

	strcpy(f->dir, "/tmp/postern-link-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/dp.sock", f->dir);
	assert_int_equal(dp_arena_new(&o, &f->arena, err, sizeof(err)), 0);
	assert_int_equal(open_link(f, false), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	if (f->child > 0) {
		kill(f->child, SIGKILL);
		waitpid(f->child, NULL, 0);
	}
	dp_link_free(f->link);
	assert_int_equal(access(f->path, F_OK), -1); /* it takes its socket along */
	rmdir(f->dir);
	dp_arena_free(f->arena);
	free(f);
	return 0;
}

/* ---- a peer -------------------------------------------------------------------------------- */

static int dial(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	return connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 ? fd : -1;
}

static struct link_hello hello(void)
{
	return (struct link_hello){
		.head.type = LINK_HELLO, .magic = HANDOFF_MAGIC, .version = HANDOFF_VERSION,
		.layout_hash = handoff_layout_hash(POSTERN_DP_COUNTER_COUNT), .n_loops = 2,
	};
}

static ssize_t get(int fd, void *buf, size_t cap, int *fds, size_t *n)
{
	char c[CMSG_SPACE(sizeof(int) * 90)];
	struct iovec iov = {buf, cap};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = c,
			   .msg_controllen = sizeof(c)};
	ssize_t k = recvmsg(fd, &m, 0);
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	*n = 0;
	if (k > 0 && h) {
		*n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(h), *n * sizeof(int));
	}
	return k;
}

struct peer {
	int fd;
	struct link_welcome w;
	struct rings_head *rings;
};

/* In the child. False: something of the welcome is wrong. */
static bool join(struct peer *p, const char *path)
{
	struct link_hello h = hello();
	int fds[90];
	size_t n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	p->fd = dial(path);
	if (p->fd < 0 || send(p->fd, &h, sizeof(h), 0) != sizeof(h))
		return false;
	if (get(p->fd, &p->w, sizeof(p->w), fds, &n) != sizeof(p->w) ||
	    p->w.head.type != LINK_WELCOME || n != 3 + 2 + 1)
		return false;
	p->rings = mmap(NULL, p->w.rings_size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[2], 0);
	return p->rings != MAP_FAILED && p->rings->epoch == p->w.epoch &&
	       mmap(NULL, p->w.arena_size, PROT_READ, MAP_SHARED, fds[0], 0) != MAP_FAILED &&
	       mmap(NULL, p->w.arena_size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0) ==
		       MAP_FAILED;
}

static void beat(struct peer *p)
{
	atomic_fetch_add(&p->rings->loop[0].heartbeat, 1);
	atomic_fetch_add(&p->rings->loop[1].heartbeat, 1);
}

/* Beats until it is killed; bounded, so that a broken parent leaves nobody behind. */
static void stay(struct peer *p)
{
	for (int i = 0; i < 3000; i++) {
		beat(p);
		usleep(20000);
	}
}

typedef void child_main(struct peer *p);

static void start(struct fix *f, child_main *fn)
{
	f->child = fork();
	if (f->child == 0) {
		struct peer p;

		if (!join(&p, f->path))
			_exit(99);
		fn(&p);
		_exit(0);
	}
	assert_true(f->child > 0);
}

static void turn_until_state(struct fix *f, enum dp_link_state s)
{
	for (int i = 0; i < TURNS && dp_link_state(f->link) != s; i++)
		assert_int_equal(dp_link_poll(f->link, 10), 0);
	assert_int_equal(dp_link_state(f->link), s);
}

static int reap(struct fix *f)
{
	int status = -1;

	assert_int_equal(waitpid(f->child, &status, 0), f->child);
	f->child = 0;
	return status;
}

/* ---- refusals ------------------------------------------------------------------------------ */

/* Says `p` and expects REFUSED with `part` in its text, then EOF. */
static void refused(struct fix *f, const void *p, size_t n, const char *part)
{
	struct {
		struct link_msg head;
		char text[LINK_TEXT + 1];
	} r = {0};
	uint64_t before, i;
	struct dp_link_stats s;
	int fd = dial(f->path);

	dp_link_stats(f->link, &s);
	before = s.refused;
	assert_true(fd >= 0);
	assert_int_equal(send(fd, p, n, 0), n);
	for (i = 0; i < TURNS && s.refused == before; i++) {
		dp_link_poll(f->link, 10);
		dp_link_stats(f->link, &s);
	}
	assert_int_equal(s.refused, before + 1);
	assert_true(recv(fd, &r, sizeof(r), 0) > (ssize_t)sizeof(r.head));
	assert_int_equal(r.head.type, LINK_REFUSED);
	assert_true(r.head.error > 0);
	assert_int_equal(strlen(r.text), r.head.text_len);
	if (!strstr(r.text, part))
		fail_msg("\"%s\" does not say \"%s\"", r.text, part);
	assert_int_equal(recv(fd, &r, sizeof(r), 0), 0);
	close(fd);
}

static void test_hello_refused(void **state)
{
	struct fix *f = *state;
	struct link_hello h = hello();

	h.version = 7;
	refused(f, &h, sizeof(h), "version 7");
	refused(f, &h, offsetof(struct link_hello, n_loops), "version 7"); /* of another size */
	h = hello();
	h.layout_hash++;
	refused(f, &h, sizeof(h), "layout");
	h = hello();
	h.magic++;
	refused(f, &h, sizeof(h), "no hello");
	h = hello();
	h.head.type = LINK_PUSH;
	refused(f, &h, sizeof(h), "no hello");
	h = hello();
	h.n_loops = 0;
	refused(f, &h, sizeof(h), "0 loops");
	h.n_loops = HANDOFF_MAX_LOOPS + 1;
	refused(f, &h, sizeof(h), "17 loops");
	h = hello();
	refused(f, &h, sizeof(h) - 1, "octets");
	refused(f, "x", 1, "no hello");
	assert_int_equal(f->starts, 0);
	assert_int_equal(dp_link_state(f->link), DP_LINK_DOWN);
}

static void test_silent_pending(void **state)
{
	struct fix *f = *state;
	struct link_hello h = hello();
	int fd = dial(f->path), other;
	struct link_msg r;

	dp_link_poll(f->link, 100);
	other = dial(f->path); /* while the first one says nothing */
	dp_link_poll(f->link, 100);
	assert_true(recv(other, &r, sizeof(r), MSG_DONTWAIT | MSG_TRUNC) > 0);
	assert_int_equal(r.type, LINK_REFUSED);
	assert_int_equal(r.error, EBUSY);
	close(other);
	close(fd); /* hangs up before hello */
	for (int i = 0; i < 3; i++)
		dp_link_poll(f->link, 10);
	h.version = 9;
	refused(f, &h, sizeof(h), "version 9"); /* the place is free again */
}

static void test_socket_file(void **state)
{
	struct fix *f = *state;
	struct dp_link_opts o = {.path = f->path, .group = -1, .allow_uid = -1, .allow_gid = -1};
	struct dp_link *second = NULL;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct stat st;
	char stale[80];
	int fd;

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(dp_link_new(&o, f->arena, &second), -EADDRINUSE);
	assert_int_equal(stat(f->path, &st), 0); /* left alone */
	snprintf(stale, sizeof(stale), "%s/old.sock", f->dir);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", stale);
	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	o.path = stale;
	assert_int_equal(dp_link_new(&o, f->arena, &second), 0);
	dp_link_free(second);
	fd = open(stale, O_CREAT | O_WRONLY, 0600); /* somebody's file */
	close(fd);
	assert_int_equal(dp_link_new(&o, f->arena, &second), -EEXIST);
	assert_int_equal(unlink(stale), 0);
}

/* ---- life and death ------------------------------------------------------------------------ */

static void test_second_control(void **state)
{
	struct fix *f = *state;
	struct link_hello h = hello();

	start(f, stay);
	turn_until_state(f, DP_LINK_UP);
	assert_int_equal(f->starts, 1);
	refused(f, &h, sizeof(h), "another control");
	assert_int_equal(dp_link_state(f->link), DP_LINK_UP);
	/* It beats: nobody kills it. */
	for (int i = 0; i < 60; i++)
		dp_link_poll(f->link, 10);
	assert_int_equal(dp_link_state(f->link), DP_LINK_UP);
	kill(f->child, SIGKILL);
	turn_until_state(f, DP_LINK_DOWN);
	assert_int_equal(f->ends, 1);
	assert_true(f->child_was_gone);
	reap(f);
}

static void hang(struct peer *p)
{
	atomic_fetch_add(&p->rings->loop[0].heartbeat, 1);
	for (;;) { /* the first loop beats, the second hangs */
		atomic_fetch_add(&p->rings->loop[0].heartbeat, 1);
		usleep(20000);
	}
}

static void test_no_heartbeat(void **state)
{
	struct fix *f = *state;
	struct dp_link_stats s;
	int status;

	start(f, hang);
	turn_until_state(f, DP_LINK_UP);
	turn_until_state(f, DP_LINK_DOWN);
	assert_int_equal(f->ends, 1);
	assert_true(f->child_was_gone);
	dp_link_stats(f->link, &s);
	assert_int_equal(s.killed, 1);
	status = reap(f);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void close_and_live(struct peer *p)
{
	close(p->fd);
	stay(p);
}

static void test_closed_but_alive(void **state)
{
	struct fix *f = *state;
	int status;

	start(f, close_and_live);
	turn_until_state(f, DP_LINK_UP);
	turn_until_state(f, DP_LINK_DOWN);
	assert_true(f->child_was_gone);
	status = reap(f);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_cannot_kill(void **state)
{
	struct fix *f = *state;
	struct link_hello h = hello();

	dp_link_free(f->link);
	assert_int_equal(open_link(f, true), 0);
	f->kill_error = -EPERM;
	start(f, close_and_live);
	turn_until_state(f, DP_LINK_LOST);
	for (int i = 0; i < TURNS && !f->kills; i++)
		dp_link_poll(f->link, 10);
	assert_true(f->kills > 0);
	/* It lives, so nothing is reclaimed and nobody else comes in. */
	assert_int_equal(f->ends, 0);
	assert_int_equal(dp_link_state(f->link), DP_LINK_LOST);
	refused(f, &h, sizeof(h), "not gone yet");
	f->kill_error = 0;
	turn_until_state(f, DP_LINK_DOWN);
	assert_true(f->child_was_gone);
	reap(f);
}

static void garbage_head(struct peer *p)
{
	struct handoff_ring *r =
		(struct handoff_ring *)((uint8_t *)p->rings + HANDOFF_RING_PAIR(0, 1, 2)) + 1;

	atomic_store(&r->ctl.head, 0x80000000u);
	stay(p);
}

static bool no_verdict(void *arg, const struct dp_verdict *v)
{
	(void)arg;
	(void)v;
	fail();
	return false;
}

/* With a worker: the epoch ends only when the worker has let go of it. */
static void test_garbage_ring_and_worker(void **state)
{
	struct fix *f = *state;
	struct dp_worker *w = dp_arena_worker(f->arena, 0);
	enum dp_epoch_event ev = DP_EPOCH_NONE;
	struct dp_rings *r;
	int status;

	assert_int_equal(dp_rings_new(f->link, w, 10, &r), 0);
	start(f, garbage_head);
	turn_until_state(f, DP_LINK_UP);
	assert_int_equal(dp_rings_epoch(r), DP_EPOCH_UP);
	for (int i = 0; i < TURNS && dp_link_state(f->link) != DP_LINK_GONE; i++) {
		dp_rings_poll(r, 10, no_verdict, NULL);
		dp_link_poll(f->link, 10);
	}
	assert_int_equal(dp_link_state(f->link), DP_LINK_GONE);
	for (int i = 0; i < 20; i++)
		dp_link_poll(f->link, 1);
	assert_int_equal(f->ends, 0);
	assert_int_equal(dp_rings_epoch(r), DP_EPOCH_LOST);
	for (int i = 0; i < 3 && ev != DP_EPOCH_GONE; i++)
		ev = dp_rings_epoch(r);
	assert_int_equal(ev, DP_EPOCH_GONE);
	turn_until_state(f, DP_LINK_DOWN);
	assert_int_equal(f->ends, 1);
	status = reap(f);
	assert_true(WIFSIGNALED(status));
	/* And the next control gets an epoch of its own. */
	start(f, stay);
	turn_until_state(f, DP_LINK_UP);
	assert_int_equal(f->epoch, 2);
	assert_int_equal(dp_rings_epoch(r), DP_EPOCH_UP);
	dp_rings_free(r);
}

static void bad_packet(struct peer *p)
{
	struct link_msg m = {.type = LINK_WELCOME};

	send(p->fd, &m, sizeof(m), MSG_NOSIGNAL);
	stay(p);
}

static void bad_drain(struct peer *p)
{
	struct link_msg m = {.type = LINK_DRAIN, .arg = 2};

	send(p->fd, &m, sizeof(m), MSG_NOSIGNAL);
	stay(p);
}

static void huge_packet(struct peer *p)
{
	static char big[16384];

	send(p->fd, big, sizeof(big), MSG_NOSIGNAL);
	stay(p);
}

static void test_bad_packets(void **state)
{
	static child_main *const bad[] = {bad_packet, bad_drain, huge_packet};
	struct fix *f = *state;
	struct dp_link_stats s;

	for (unsigned int i = 0; i < 3; i++) {
		start(f, bad[i]);
		turn_until_state(f, DP_LINK_UP);
		turn_until_state(f, DP_LINK_DOWN);
		reap(f);
		dp_link_stats(f->link, &s);
		assert_int_equal(s.bad_packets, i + 1);
	}
	assert_int_equal(f->drains, 0);
	assert_int_equal(f->ends, 3);
}

/* ---- pushes -------------------------------------------------------------------------------- */

static struct handoff_config good_config(void)
{
	struct handoff_config c = {
		.magic = HANDOFF_MAGIC, .size = sizeof(c), .generation = 3,
		.hostname = "mx.example.org", .max_message = 100000, .max_rcpt = 100,
		.max_errors = 10, .max_transactions = 10, .command_timeout_s = 300,
		.data_timeout_s = 180, .data_total_timeout_s = 1800, .verdict_timeout_s = 600,
		.n_listeners = 1, .listener = {{.tcp_port = 25, .prefix_len = 128}},
	};

	return c;
}

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

static int make_fd(const void *p, size_t n, int seals)
{
	int fd = memfd_create("t", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	if (write(fd, p, n) != (ssize_t)n || (seals && fcntl(fd, F_ADD_SEALS, seals) < 0))
		return -1;
	return fd;
}

static void send_push(int fd, const struct link_push *p, const int *fds, size_t n)
{
	char c[CMSG_SPACE(sizeof(int) * 20)] = {0};
	struct iovec iov = {(void *)(uintptr_t)p, sizeof(*p)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = c,
			   .msg_controllen = CMSG_SPACE(sizeof(int) * n)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(h), fds, sizeof(int) * n);
	sendmsg(fd, &m, MSG_NOSIGNAL);
}

/* The child's i-th push is wrong in the i-th way; it exits with the number of the first one whose
 * answer is not what it must be. */
static void pushes(struct peer *p)
{
	for (int i = 0; i < 14; i++) {
		struct handoff_config c = good_config();
		struct link_push m = {.head = {.type = LINK_PUSH, .generation = 3}, .n_fds = 2};
		struct { struct link_msg head; char text[LINK_TEXT]; } ack = {0};
		int seals = SEALS, fds[2], want = i ? -1 : 0;

		m.fd[0].size = sizeof(c);
		m.fd[1].kind = PUSH_RULES;
		m.fd[1].size = 5;
		switch (i) {
		case 1: seals = 0; break;
		case 2: seals = SEALS & ~F_SEAL_WRITE; break;
		case 3: seals = SEALS & ~F_SEAL_SHRINK; break;
		case 4: m.fd[0].size++; break;
		case 5: m.fd[1].size = 4; break;
		case 6: m.fd[1].kind = PUSH_TLS + 1; break;
		case 7: m.fd[0].kind = PUSH_RULES; break;
		case 8: m.n_fds = 1; break;
		case 9: m.n_fds = 5; break;
		case 10: m.head.generation = 4; break;
		case 11: c.max_message = 1u << 30; break;
		case 12: c.n_listeners = HANDOFF_MAX_LISTENERS + 1; break;
		case 13: memset(c.hostname, 'a', sizeof(c.hostname)); break;
		default: break;
		}
		fds[0] = make_fd(&c, sizeof(c), seals);
		fds[1] = make_fd("hello", 5, SEALS);
		send_push(p->fd, &m, fds, 2);
		beat(p);
		if (recv(p->fd, &ack, sizeof(ack), 0) < (ssize_t)sizeof(ack.head) ||
		    ack.head.type != LINK_PUSH_ACK || ack.head.generation != m.head.generation ||
		    (want == 0 && ack.head.error) ||
		    (want < 0 && (ack.head.error <= 0 || !ack.head.text_len)))
			_exit(i + 1);
		close(fds[0]);
		close(fds[1]);
	}
}

static void test_push(void **state)
{
	struct fix *f = *state;
	struct dp_link_stats s;
	int status;

	start(f, pushes);
	turn_until_state(f, DP_LINK_UP);
	turn_until_state(f, DP_LINK_DOWN);
	status = reap(f);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(f->pushes, 1); /* none of the wrong ones came through */
	assert_string_equal(f->config.hostname, "mx.example.org");
	assert_int_equal(f->rules_len, 5);
	assert_memory_equal(f->rules, "hello", 5);
	dp_link_stats(f->link, &s);
	assert_int_equal(s.pushes, 14);
	assert_int_equal(s.pushes_refused, 13);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_hello_refused), T(test_silent_pending), T(test_socket_file),
		T(test_second_control), T(test_no_heartbeat), T(test_closed_but_alive),
		T(test_cannot_kill), T(test_garbage_ring_and_worker), T(test_bad_packets),
		T(test_push),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
