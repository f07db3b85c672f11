/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <sqlite3.h>

#include "control/quarantine/quarantine.h"
#include "postern/limits.h"

static char root[] = "/tmp/quarantine-XXXXXX", directory[64];
static struct event_base *base;
static struct quarantine *q;

static struct quarantine_options options(void)
{
	return (struct quarantine_options){.directory = directory};
}

static void start(struct quarantine_options opt)
{
	char err[256] = "";

	base = event_base_new();
	q = quarantine_new(base, &opt, err, sizeof(err));
	if (!q)
		fail_msg("%s", err);
}

static void stop(void)
{
	quarantine_free(q);
	event_base_free(base);
}

static int fresh_directory(void **state)
{
	static int n;

	(void)state;
	snprintf(directory, sizeof(directory), "%s/%d", root, n++);
	return 0;
}

/* ---- one answer at a time --------------------------------------------------------------------- */

struct seen {
	int error, calls;
	char why[160], mail_from[64], route[32], reason[64], block[128], content[256];
	char rcpt[4][64];
	size_t n_rcpts, content_len, n_ranges;
	char held[8];
	struct quarantine_range range[4];
	struct quarantine_dialled dialled;
	json_t *list;
};

static void copy(char *to, size_t cap, struct str s)
{
	snprintf(to, cap, "%.*s", (int)s.n, (const char *)s.p);
}

static void note(void *arg, const struct quarantine_answer *a)
{
	const struct quarantine_message *m = a->message;
	struct seen *s = arg;

	s->calls++;
	s->error = a->error;
	snprintf(s->why, sizeof(s->why), "%s", a->why);
	s->list = json_incref(a->list);
	if (m) {
		s->dialled = m->dialled;
		copy(s->mail_from, sizeof(s->mail_from), m->mail_from);
		copy(s->block, sizeof(s->block), m->block);
		snprintf(s->route, sizeof(s->route), "%s", m->route);
		snprintf(s->reason, sizeof(s->reason), "%s", m->reason);
		s->n_rcpts = m->n_rcpts;
		for (size_t i = 0; i < m->n_rcpts && i < 4; i++)
			copy(s->rcpt[i], sizeof(s->rcpt[i]), m->rcpt[i]);
		for (size_t i = 0; i < m->n_rcpts; i++)
			s->held[i] = m->held[i] ? 'h' : '-';
		s->n_ranges = m->n_ranges;
		memcpy(s->range, m->range, m->n_ranges * sizeof(*m->range));
		s->content_len = m->content.size;
		memcpy(s->content, m->content.iov[0].iov_base, m->content.size);
	}
	event_base_loopbreak(base);
}

static void wait_for(struct seen *s)
{
	assert_int_equal(s->calls, 0); /* never from inside the call */
	event_base_dispatch(base);
	assert_int_equal(s->calls, 1);
}

static const struct str rcpts[] = {STR("a@example.com"), STR("B@example.com"),
				   STR("c@example.org")};

static struct quarantine_dialled dialled; /* of what is put */

static struct quarantine_message message(const char *id, struct iovec *iov, size_t n)
{
	static const struct quarantine_range range[] = {{3, 5}, {100, 1}};
	struct quarantine_message m = {
		.id = id,
		.time_ns = 1700000000000000000u,
		.route = "main",
		.helo = STR("h.example"),
		.mail_from = STR("s@example.net"),
		.message_id = STR("<1@example.net>"),
		.rcpt = rcpts,
		.n_rcpts = 3,
		.reason = "score 9.00",
		.score = 9,
		.block = STR("X-Postern-Score: 9.00\r\n"),
		.range = range,
		.n_ranges = 2,
		.content = {iov, n, 0},
	};

	for (size_t i = 0; i < n; i++)
		m.content.size += iov[i].iov_len;
	assert_true(ip_parse(STR("192.0.2.7"), &m.origin));
	m.dialled = dialled;
	return m;
}

static struct seen put(const char *id, const char *content)
{
	struct iovec iov[2] = {{(char *)content, strlen(content) / 2},
			       {(char *)content + strlen(content) / 2,
				strlen(content) - strlen(content) / 2}};
	struct quarantine_message m = message(id, iov, 2);
	struct seen s = {0};

	assert_int_equal(quarantine_put(q, &m, note, &s), 0);
	wait_for(&s);
	return s;
}

static struct seen get(const char *id)
{
	struct seen s = {0};

	assert_int_equal(quarantine_get(q, id, note, &s), 0);
	wait_for(&s);
	return s;
}

static struct seen list(const char *rcpt, const char *mail_from, size_t limit)
{
	struct quarantine_filter f = {rcpt, mail_from, limit};
	struct seen s = {0};

	assert_int_equal(quarantine_list(q, &f, note, &s), 0);
	wait_for(&s);
	assert_int_equal(s.error, 0);
	return s;
}

static size_t count(const char *rcpt, const char *mail_from, size_t limit)
{
	struct seen s = list(rcpt, mail_from, limit);
	size_t n = json_array_size(s.list);

	json_decref(s.list);
	return n;
}

static unsigned int files(const char *sub)
{
	char path[128];
	unsigned int n = 0;
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s", directory, sub);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/* ---- tests ------------------------------------------------------------------------------------ */

static void as_it_was_put(void **state)
{
	struct seen s;

	(void)state;
	start(options());
	assert_int_equal(put("00000000000000A1", "From: x\r\n\r\nbody\n.\r\n").error, 0);
	stop(); /* another process reads it */
	start(options());
	s = get("00000000000000A1");
	assert_int_equal(s.error, 0);
	assert_int_equal(s.content_len, 19);
	assert_memory_equal(s.content, "From: x\r\n\r\nbody\n.\r\n", 19);
	assert_string_equal(s.mail_from, "s@example.net");
	assert_string_equal(s.block, "X-Postern-Score: 9.00\r\n");
	assert_string_equal(s.route, "main");
	assert_string_equal(s.reason, "score 9.00");
	assert_int_equal(s.n_rcpts, 3);
	assert_string_equal(s.rcpt[1], "B@example.com");
	assert_int_equal(s.n_ranges, 2);
	assert_int_equal(s.range[1].off, 100);
	assert_string_equal(s.held, "hhh");
	/* one file, and only its owner and group read it */
	assert_int_equal(files("held"), 1);
	assert_int_equal(files("new"), 0);
	stop();
}

static void one_owner(void **state)
{
	struct quarantine_options opt = options();
	char err[256] = "";

	(void)state;
	start(opt);
	assert_null(quarantine_new(base, &opt, err, sizeof(err)));
	assert_non_null(strstr(err, "another process"));
	stop();
}

static void ids(void **state)
{
	static const char *const bad[] = {"", "../../../etc/passwd", "00000000000000a1",
					  "00000000000000A", "00000000000000A12", "0000000/000000A1"};
	struct seen s;

	(void)state;
	start(options());
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(get(bad[i]).error, -ENOENT);
		assert_int_equal(put(bad[i], "x").error, -EINVAL);
	}
	assert_int_equal(get("00000000000000A1").error, -ENOENT);
	assert_int_equal(put("00000000000000A1", "one").error, 0);
	s = put("00000000000000A1", "two");
	assert_int_equal(s.error, -EEXIST);
	assert_memory_equal(get("00000000000000A1").content, "one", 3);
	stop();
}

/* One that was acknowledged and whose file somebody took away is not one that never was. */
static void the_file_is_gone(void **state)
{
	char path[200];
	struct seen s;

	(void)state;
	start(options());
	assert_int_equal(put("00000000000000A1", "one").error, 0);
	snprintf(path, sizeof(path), "%s/held/00000000000000A1.eml", directory);
	assert_int_equal(unlink(path), 0);
	s = get("00000000000000A1");
	assert_int_equal(s.error, -ESTALE);
	assert_string_equal(s.why, "message file: held/00000000000000A1.eml is gone");
	s = get("00000000000000A2");
	assert_int_equal(s.error, -ENOENT);
	stop();
}

static void release_by_recipient(void **state)
{
	static const uint8_t second[] = {0, 1, 0}, rest[] = {1, 0, 1};
	struct quarantine_stats st;
	struct seen s = {0};

	(void)state;
	start(options());
	put("00000000000000A1", "x");
	assert_int_equal(quarantine_release(q, "00000000000000A1", second, 3, note, &s), 0);
	wait_for(&s);
	assert_string_equal(get("00000000000000A1").held, "h-h");
	s = (struct seen){0};
	assert_int_equal(quarantine_release(q, "00000000000000A1", rest, 2, note, &s), 0);
	wait_for(&s);
	assert_int_equal(s.error, -EINVAL);
	s = (struct seen){0};
	assert_int_equal(quarantine_release(q, "00000000000000A1", rest, 3, note, &s), 0);
	wait_for(&s);
	assert_int_equal(s.error, 0);
	assert_int_equal(get("00000000000000A1").error, -ENOENT);
	assert_int_equal(files("held"), 0);
	quarantine_stats(q, &st);
	assert_int_equal(st.messages, 0);
	assert_int_equal(st.bytes, 0);
	assert_int_equal(st.put, 1);
	assert_int_equal(st.released, 2);
	stop();
}

static void filters(void **state)
{
	struct seen s;

	(void)state;
	start(options());
	for (int i = 0; i < 5; i++) {
		char id[17];

		snprintf(id, sizeof(id), "%016X", i);
		put(id, "x");
	}
	assert_int_equal(count(NULL, NULL, 0), 5);
	assert_int_equal(count(NULL, NULL, 2), 2);
	assert_int_equal(count("b@EXAMPLE.com", NULL, 0), 5);
	assert_int_equal(count("@example.org", NULL, 0), 5);
	assert_int_equal(count("d@example.org", NULL, 0), 0);
	assert_int_equal(count("@example.org", "x@example.net", 0), 0);
	assert_int_equal(count(NULL, "S@example.net", 0), 5);
	s = list(NULL, NULL, 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(s.list, 0), "origin")),
			    "192.0.2.7");
	json_decref(s.list);
	stop();
}

static void bounds(void **state)
{
	struct quarantine_options opt = options();
	struct seen s;

	(void)state;
	opt.max_bytes = 10;
	start(opt);
	assert_int_equal(put("00000000000000A1", "12345678").error, 0);
	s = put("00000000000000A2", "123");
	assert_int_equal(s.error, -ENOSPC);
	assert_non_null(strstr(s.why, "max-size"));
	assert_int_equal(files("held"), 1);
	opt.max_bytes = 0;
	opt.min_free = UINT64_MAX;
	quarantine_set(q, &opt);
	assert_int_equal(put("00000000000000A2", "123").error, -ENOSPC);
	opt.min_free = 0;
	quarantine_set(q, &opt);
	assert_int_equal(put("00000000000000A2", "123").error, 0);
	stop();
}

/* The file system refuses the message's file half-way: nothing of it stays, and the next fits. */
static void file_too_large(void **state)
{
	static char big[300000];
	struct rlimit old, small = {200000, RLIM_INFINITY};
	struct seen s;

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	signal(SIGXFSZ, SIG_IGN);
	start(options());
	getrlimit(RLIMIT_FSIZE, &old);
	setrlimit(RLIMIT_FSIZE, &small);
	s = put("00000000000000A1", big);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(s.error, -EFBIG);
	assert_int_equal(files("held") + files("new"), 0);
	assert_int_equal(get("00000000000000A1").error, -ENOENT);
	assert_int_equal(put("00000000000000A1", "fits").error, 0);
	stop();
}

/* What is in the directory and not in the index was never acknowledged. */
struct told {
	int calls, error[6];
};

static void tell(void *arg, const struct quarantine_answer *a)
{
	struct told *told = arg;

	told->error[told->calls++] = a->error;
	if (told->calls == 6)
		event_base_loopbreak(base);
}

/* SQLite gives up the whole transaction when one row of a batch finds no room. What is put behind it must
 * not be a transaction of its own: its client hears 451, and its row would be without a file. */
static void row_too_large(void **state)
{
	static char block[6 << 20];
	struct iovec iov = {(char *)"text", 4};
	struct quarantine_message m[6];
	struct rlimit old, small = {.rlim_cur = 1 << 20};
	struct told told = {0};
	char id[6][17];
	size_t good = 0;

	(void)state;
	start(options());
	assert_int_equal(put("00000000000000AA", "text").error, 0);
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_FSIZE, &small);
	memset(block, 'x', sizeof(block));
	for (int i = 0; i < 6; i++) {
		snprintf(id[i], sizeof(id[i]), "00000000000000B%d", i);
		m[i] = message(id[i], &iov, 1);
		if (i == 3) /* the first one keeps the disk busy, and the others wait together */
			m[i].block = str_make(block, sizeof(block));
		assert_int_equal(quarantine_put(q, &m[i], tell, &told), 0);
	}
	event_base_dispatch(base);
	setrlimit(RLIMIT_FSIZE, &old);
	for (int i = 0; i < 6; i++)
		good += told.error[i] == 0;
	assert_true(good < 6);
	assert_int_equal(count(NULL, NULL, 0), 1 + good);
	assert_int_equal(files("held"), 1 + good);
	assert_int_equal(put("00000000000000C1", "text").error, 0);
	stop();
	start(options());
	assert_int_equal(count(NULL, NULL, 0), 2 + good);
	assert_int_equal(files("held"), 2 + good);
	stop();
}

static void leftovers(void **state)
{
	char path[128];
	static const char *const there[] = {"held/00000000000000B1.eml", "new/00000000000000B2.eml",
					    "held/notes.txt"};

	(void)state;
	start(options());
	put("00000000000000A1", "x");
	stop();
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, there[i]);
		close(open(path, O_CREAT | O_WRONLY, 0600));
	}
	start(options());
	assert_int_equal(files("held"), 2); /* A1, and what is not ours */
	assert_int_equal(files("new"), 0);
	assert_int_equal(get("00000000000000A1").error, 0);
	stop();
}

/* A file that was cut, or is another: said, not handed out. */
static void damaged(void **state)
{
	char path[128];

	(void)state;
	start(options());
	put("00000000000000A1", "12345678");
	snprintf(path, sizeof(path), "%s/held/00000000000000A1.eml", directory);
	assert_int_equal(truncate(path, 3), 0);
	assert_int_equal(get("00000000000000A1").error, -EBADMSG);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(get("00000000000000A1").error, -ESTALE);
	/* A link that somebody laid there is not followed. */
	assert_int_equal(symlink("/etc/hostname", path), 0);
	assert_int_equal(get("00000000000000A1").error, -ELOOP);
	stop();
}

static void not_a_database(void **state)
{
	struct quarantine_options opt = options();
	char path[128], err[256] = "";
	FILE *f;

	(void)state;
	assert_int_equal(mkdir(directory, 0700), 0);
	snprintf(path, sizeof(path), "%s/index.db", directory);
	f = fopen(path, "w");
	for (int i = 0; i < 1000; i++)
		fputs("no database at all\n", f);
	fclose(f);
	base = event_base_new();
	assert_null(quarantine_new(base, &opt, err, sizeof(err)));
	assert_non_null(strstr(err, "not a database"));
	event_base_free(base);
}

/* ---- killed at any moment ---------------------------------------------------------------------- */

struct stream {
	int fd;
	unsigned int next;
	struct put {
		struct quarantine_message m;
		struct iovec iov;
		char id[17], text[64];
	} put[16];
};

static struct stream stream;

static void put_next(struct put *p);

static void acknowledged(void *arg, const struct quarantine_answer *a)
{
	struct put *p = arg;

	if (!a->error && write(stream.fd, p->id, 16) != 16)
		_exit(3);
	put_next(p);
}

static void put_next(struct put *p)
{
	unsigned int i = stream.next++;

	snprintf(p->id, sizeof(p->id), "%016X", i);
	p->iov = (struct iovec){p->text, (size_t)snprintf(p->text, sizeof(p->text), "message %u", i)};
	p->m = message(p->id, &p->iov, 1);
	if (quarantine_put(q, &p->m, acknowledged, p))
		_exit(4);
}

static void child(int fd, unsigned int first)
{
	stream = (struct stream){.fd = fd, .next = first};
	start(options());
	for (int i = 0; i < 16; i++)
		put_next(&stream.put[i]);
	event_base_dispatch(base);
	_exit(5);
}

static unsigned int read_ids(int fd, char (*id)[17], unsigned int cap)
{
	unsigned int n = 0;

	while (n < cap && read(fd, id[n], 16) == 16)
		id[n++][16] = '\0';
	return n;
}

static void killed(void **state)
{
	static char id[200000][17];
	unsigned int n = 0, later = 0;

	(void)state;
	for (unsigned int round = 0; round < 8; round++) {
		int fd[2], status;
		pid_t pid;

		assert_int_equal(pipe(fd), 0);
		pid = fork();
		if (!pid)
			child(fd[1], (round + 1) * 1000000);
		close(fd[1]);
		/* It runs; then at another moment each time. */
		n += read_ids(fd[0], id + n, 1);
		usleep(3000 + round * 7919);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		assert_true(WIFSIGNALED(status));
		n += read_ids(fd[0], id + n, 200000 - n);
		close(fd[0]);
	}
	start(options());
	for (unsigned int i = 0; i < n; i++) {
		char want[64];
		struct seen s = get(id[i]);

		if (s.error)
			fail_msg("%s was acknowledged and is gone: %s", id[i], s.why);
		snprintf(want, sizeof(want), "message %lu", strtoul(id[i], NULL, 16));
		assert_int_equal(s.content_len, strlen(want));
		assert_memory_equal(s.content, want, strlen(want));
	}
	later = files("held");
	printf("killed 8 times: %u acknowledged, all there; %u more had been written\n", n, later - n);
	assert_true(n > 0 && later >= n);
	stop();
}

/* To a server in a cable it goes back in the client's name. And a directory of a version that knew no
 * cables is taken over. */
static void cables(void **state)
{
	char path[256];
	sqlite3 *db;
	struct seen s;

	(void)state;
	start(options());
	dialled.port = 2525;
	assert_true(ip_parse(STR("192.0.2.25"), &dialled.server));
	assert_true(ip_parse(STR("2001:db8::7"), &dialled.client));
	assert_true(ip_parse(STR("203.0.113.7"), &dialled.connected));
	assert_int_equal(put("00000000000000C1", "content").error, 0);
	dialled = (struct quarantine_dialled){0};
	s = get("00000000000000C1");
	assert_int_equal(s.error, 0);
	assert_int_equal(s.dialled.port, 2525);
	assert_int_equal(s.dialled.server.a[15], 25);
	assert_int_equal(s.dialled.client.a[15], 7);
	assert_int_equal(s.dialled.connected.a[12], 203);
	assert_int_equal(put("00000000000000C2", "content").error, 0);

	stop();
	snprintf(path, sizeof(path), "%s/index.db", directory);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "ALTER TABLE message DROP COLUMN dialled; PRAGMA user_version = 1",
				      NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	start(options());
	s = get("00000000000000C1");
	assert_int_equal(s.error, 0);
	assert_int_equal(s.dialled.port, 0);
	assert_int_equal(get("00000000000000C2").error, 0);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(as_it_was_put, fresh_directory),
		cmocka_unit_test_setup(one_owner, fresh_directory),
		cmocka_unit_test_setup(ids, fresh_directory),
		cmocka_unit_test_setup(the_file_is_gone, fresh_directory),
		cmocka_unit_test_setup(release_by_recipient, fresh_directory),
		cmocka_unit_test_setup(filters, fresh_directory),
		cmocka_unit_test_setup(bounds, fresh_directory),
		cmocka_unit_test_setup(file_too_large, fresh_directory),
		cmocka_unit_test_setup(row_too_large, fresh_directory),
		cmocka_unit_test_setup(leftovers, fresh_directory),
		cmocka_unit_test_setup(damaged, fresh_directory),
		cmocka_unit_test_setup(not_a_database, fresh_directory),
		cmocka_unit_test_setup(killed, fresh_directory),
		cmocka_unit_test_setup(cables, fresh_directory),
	};
	char command[64];
	int rc;

	if (!mkdtemp(root))
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command) ? 1 : rc;
}
