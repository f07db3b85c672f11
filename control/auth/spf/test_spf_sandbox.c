/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The workers' own jail, entered by a child that then tries what a worker must not. */

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/auth/spf/spf_sandbox.h"
#include "control/auth/spf/spf_wire.h"

static int inside(void (*attempt)(int fd))
{
	int sv[2], status;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (spf_sandbox_enter(sv[0]))
			_exit(99);
		attempt(sv[0]);
		_exit(0);
	}
	close(sv[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(sv[1]);
	return status;
}

static void try_open(int fd)
{
	(void)fd;
	(void)syscall(SYS_openat, AT_FDCWD, "/etc/hostname", O_RDONLY);
}
static void try_socket(int fd)
{
	(void)fd;
	(void)syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0);
}
static void try_unix(int fd)
{
	(void)fd;
	(void)syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
}
static void try_fork(int fd)
{
	(void)fd;
	(void)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}
static void try_exec(int fd)
{
	(void)fd;
	(void)syscall(SYS_execve, "/bin/true", NULL, NULL);
}
static void try_kill(int fd)
{
	(void)fd;
	(void)syscall(SYS_kill, 1, 0);
}
static void try_ptrace(int fd)
{
	(void)fd;
	(void)syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
}
static void try_dup(int fd)
{
	(void)syscall(SYS_dup, fd);
}
static void try_sendmsg(int fd)
{
	(void)syscall(SYS_sendmsg, fd, NULL, 0);
}
static void try_recvmsg(int fd)
{
	(void)syscall(SYS_recvmsg, fd, NULL, 0);
}
static void try_limits(int fd)
{
	(void)fd;
	(void)syscall(SYS_prlimit64, 0, 0, NULL, NULL);
}
static void try_other_fd(int fd)
{
	(void)syscall(SYS_write, fd + 1, "x", 1);
}

static void try_executable(int fd)
{
	(void)fd;
	(void)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
}

static void try_map_file(int fd)
{
	(void)syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
}

static void test_denied(void **state)
{
	static void (*const attempt[])(int) = {
		try_open,   try_socket,   try_unix,       try_fork,     try_exec,
		try_kill,   try_ptrace,   try_dup,        try_sendmsg,  try_recvmsg,
		try_limits, try_other_fd, try_executable, try_map_file,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(attempt) / sizeof(attempt[0]); i++) {
		int status = inside(attempt[i]);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("attempt %zu was not killed by the filter: status %#x", i, status);
	}
}

/* What a worker lives on. */
static void work(int fd)
{
	unsigned char *volatile p[64];
	char byte = 'x';

	for (size_t i = 0; i < 64; i++) {
		p[i] = malloc(4096u << (i % 8));
		if (!p[i])
			_exit(1);
		memset(p[i], 1, 4096);
	}
	for (size_t i = 0; i < 64; i++)
		free(p[i]);
	if (write(fd, &byte, 1) != 1)
		_exit(2);
}

static void test_allowed(void **state)
{
	int status = inside(work);

	(void)state;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_close_others(void **state)
{
	int sv[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
	pid = fork();
	if (pid == 0) {
		spf_close_others(sv[1]);
		for (int fd = 0; fd < 64; fd++)
			if ((fcntl(fd, F_GETFD) >= 0) != (fd == sv[1]))
				_exit(1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(sv[0]);
	close(sv[1]);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_wire(void **state)
{
	static struct spf_wire_request q, r;
	struct spf_wire_response a = {.seq = 7,
				      .outcome = SPF_OUT_MISSING,
				      .lookups = 3,
				      .at = {SPF_KEY_MARK_DNS, 1, SPF_TERM_REDIRECT, 0},
				      .n_missing = 1,
				      .missing = {{SPF_KEY_MX, 1, 2, 9}}},
				 b;
	uint8_t buf[1024];
	struct spf_key k;
	long n;

	(void)state;
	q.seq = 5;
	q.n_records = 1;
	q.record[0] = (struct spf_wire_record){
		{SPF_KEY_RECORD, 0, SPF_TERM_ROOT, 0}, 0, STR("v=spf1 -all")};
	q.n_answers = 1;
	q.answer[0] = (struct spf_wire_answer){
		{SPF_KEY_TARGET, 0, 1, 0}, 0, 4, 1, (const uint8_t *)"\x01\x02\x03\x04"};
	n = spf_wire_put_request(&q, buf, sizeof(buf));
	assert_true(n > 0);
	assert_int_equal(spf_wire_get_request(&r, buf, (size_t)n), 0);
	assert_true(str_eq(r.record[0].text, q.record[0].text));
	assert_true(spf_key_eq(r.answer[0].key, q.answer[0].key));
	for (long i = 0; i < n; i++) /* no prefix of it is a request */
		assert_int_not_equal(spf_wire_get_request(&r, buf, (size_t)i), 0);
	n = spf_wire_put_response(&a, buf, sizeof(buf));
	assert_int_equal(spf_wire_get_response(&b, buf, (size_t)n), 0);
	assert_int_equal(b.seq, 7);
	assert_true(spf_key_eq(a.missing[0], b.missing[0]));
	for (long i = 0; i < n; i++)
		assert_int_not_equal(spf_wire_get_response(&b, buf, (size_t)i), 0);
	assert_true(spf_key_parse("h1-2-3.t1-2-0.invalid", &k));
	assert_true(k.kind == 'h' && k.node == 1 && k.term == 2 && k.index == 3);
	assert_false(spf_key_parse("z1-2-3.invalid", &k));
	assert_false(spf_key_parse("h1-2-99999.invalid", &k));
	assert_false(spf_key_parse("h1-2", &k));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_denied),
		cmocka_unit_test(test_close_others),
		cmocka_unit_test(test_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
