/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/cli/trace.h"
#include "control/config/config.h"
#include "control/trace/logfiles.h"
#include "postern/clock.h"

#define CATCH_UP_MS 2000
#define POLL_MS 10

int64_t trace_now_ms(void)
{
	return (int64_t)clock_real_ms();
}

int64_t trace_time(const char *text, int64_t now_ms)
{
	static const struct { char unit; int64_t ms; } units[] = {
		{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}, {'w', 604800000}};
	char whole[64], *end;
	long n;

	if (strlen(text) == 10 && text[4] == '-') {
		snprintf(whole, sizeof(whole), "%sT00:00:00Z", text);
		return logfiles_time_ms(whole);
	}
	if (strchr(text, 'T'))
		return logfiles_time_ms(text);
	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || end == text || n < 0 || n > 1000000 || !*end || end[1] || text[0] == '+')
		return 0;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (*end == units[i].unit && now_ms > n * units[i].ms)
			return now_ms - n * units[i].ms;
	return 0;
}

/* ---- where it is ------------------------------------------------------------------------------- */

static void copy(char out[4096], const char *text)
{
	snprintf(out, 4096, "%s", text ? text : "");
}

/* trace.db lies beside trace.jsonl, unless configuration says otherwise. */
static void guess_log(struct trace_source *s)
{
	size_t n = strlen(s->database);

	if (n > 3 && !strcmp(s->database + n - 3, ".db"))
		n -= 3;
	snprintf(s->log, sizeof(s->log), "%.*s.jsonl", (int)(n > 4000 ? 4000 : n), s->database);
	if (access(s->log, F_OK))
		snprintf(s->log, sizeof(s->log), "%.*s", (int)(n > 4000 ? 4000 : n), s->database);
}

/* The running process knows, and what it wrote a moment ago is wanted as well. False: nobody is there. */
static bool from_process(struct trace_source *s, const struct cli *cli)
{
	json_t *a = NULL;
	json_int_t written = 0;

	for (int ms = 0; ms <= CATCH_UP_MS; ms += POLL_MS) {
		json_decref(a);
		a = client_try(cli, json_pack("{s:s, s:b}", "command", "trace status", "hurry", true));
		/* Of what comes while we look none is waited for: on a busy gateway that has no end. */
		if (!ms)
			written = json_integer_value(json_object_get(a, "written"));
		if (!a || !json_string_value(json_object_get(a, "index")) || json_is_true(json_object_get(a, "caught_up")) ||
		    json_integer_value(json_object_get(a, "read")) >= written)
			break;
		usleep(POLL_MS * 1000);
	}
	if (!a)
		return false;
	copy(s->database, json_string_value(json_object_get(a, "index")));
	copy(s->log, json_string_value(json_object_get(a, "file")));
	json_decref(a);
	return true;
}

static int from_config(struct trace_source *s, const char *path)
{
	struct config_error e = {0};
	struct config *c;
	size_t n;
	int rc = config_load(path, 1, &c, &e, 1, &n);

	if (rc) {
		fprintf(stderr, "posternctl trace: nobody answers, and %s:%u: %s%s%s\n", path, e.line, e.key,
			e.key[0] ? ": " : "", e.reason[0] ? e.reason : strerror(-rc));
		return CLI_UNREACHABLE;
	}
	copy(s->database, strcmp(c->trace.index, "none") ? c->trace.index : "");
	copy(s->log, c->trace_file);
	config_unref(c);
	return CLI_OK;
}

int trace_source_locate(struct trace_source *s, const struct cli *cli, const struct trace_where *w)
{
	*s = (struct trace_source){.n_files = 0};
	if (w->database) {
		copy(s->database, w->database);
		guess_log(s);
	} else if (w->config || !from_process(s, cli)) {
		int rc = from_config(s, w->config ? w->config : "/etc/postern/postern.conf");

		if (rc)
			return rc;
	}
	if (w->log)
		copy(s->log, w->log);
	return CLI_OK;
}

int trace_source_open(struct trace_source *s, const struct cli *cli, const struct trace_where *w, bool memory)
{
	bool said = w->database || w->config;
	char err[512];
	int rc;

	rc = trace_source_locate(s, cli, w);
	if (rc)
		return rc;
	if (!s->database[0]) {
		if (memory && !said)
			return CLI_OK;
		fputs("posternctl trace: there is no index (trace.index)\n", stderr);
		return CLI_FINDING;
	}
	rc = trace_index_read(&s->index, s->database, err, sizeof(err));
	if (!rc)
		return CLI_OK;
	if (memory && !said && client_try_is_there(cli)) {
		fprintf(stderr, "posternctl trace: %s; these are the newest records of the running process\n",
			show_plain(err));
		return CLI_OK;
	}
	fprintf(stderr, "posternctl trace: %s\n", show_plain(err));
	return CLI_UNREACHABLE;
}

void trace_source_close(struct trace_source *s)
{
	trace_index_close(s->index);
	free(s->files);
}

/* ---- what the log says -------------------------------------------------------------------------- */

static const struct logfile *file_of(struct trace_source *s, int64_t segment)
{
	uint64_t key;

	if (!s->listed) {
		s->n_files = logfiles_list(s->log, &s->files);
		s->listed = true;
	}
	if (s->n_files <= 0 || !trace_index_segment(s->index, segment, &key))
		return NULL;
	for (long i = 0; i < s->n_files; i++)
		if (s->files[i].key == key)
			return &s->files[i];
	return NULL;
}

static json_t *read_line(const char *log, const struct logfile *f, int64_t at, int64_t n)
{
	int fd = f ? logfiles_open(log, f) : -1;
	json_t *line = NULL;
	char *buf;

	if (fd < 0)
		return NULL;
	buf = n > 0 && n <= LOGFILES_LINE && at >= 0 ? malloc((size_t)n) : NULL;
	if (buf && pread(fd, buf, (size_t)n, at) == n)
		line = json_loadb(buf, (size_t)n, 0, NULL);
	free(buf);
	close(fd);
	return line;
}

static bool same(const json_t *a, const json_t *b, const char *member)
{
	const char *x = json_string_value(json_object_get(a, member));
	const char *y = json_string_value(json_object_get(b, member));

	return x && y && !strcmp(x, y);
}

json_t *trace_source_detail(struct trace_source *s, json_t *record)
{
	int64_t segment = json_integer_value(json_object_get(record, "_segment"));
	json_t *line = read_line(s->log, file_of(s, segment),
				 json_integer_value(json_object_get(record, "_offset")),
				 json_integer_value(json_object_get(record, "_length")));

	json_object_del(record, "_segment");
	json_object_del(record, "_offset");
	json_object_del(record, "_length");
	/* Whatever stands there by now: it must be this record. */
	if (!same(record, line, "trace_id") || !same(record, line, "time")) {
		json_decref(line);
		json_object_set_new(record, "detail", json_false());
		return record;
	}
	json_object_update_missing(line, record);
	json_object_set_new(line, "detail", json_true());
	json_decref(record);
	return line;
}
