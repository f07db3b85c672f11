/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `posternctl trace`: search, shares, reindex. With an index it reads files and needs no daemon. */

#include "control/cli/request.h"
#include "control/cli/table.h"
#include "control/cli/terminal.h"
#include "control/cli/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/trace/logfiles.h"
#include "control/trace/reader.h"
#include "control/trace/shares.h"

#define LIMIT_DEFAULT 20
#define CSV_LIMIT_DEFAULT LIMIT_TRACE_SEARCH
#define SHARES_DEFAULT "24h"
#define REBUILD_POLL_US 200000
#define REBUILD_S 3600

struct asked {
	struct trace_search q;
	struct trace_where where;
	const char *fields;
	bool csv, detailed, keyed;   /* keyed: what only an index can answer */
};

enum { OPT_TRACE_ID = 256, OPT_MESSAGE_ID, OPT_FROM, OPT_RCPT, OPT_ORIGIN, OPT_OUTCOME, OPT_RULE, OPT_ROUTE,
       OPT_SINCE, OPT_UNTIL, OPT_LIMIT, OPT_BEFORE, OPT_LONG, OPT_CSV, OPT_FIELDS, OPT_DATABASE, OPT_LOG,
       OPT_CONFIG };

static const struct option options[] = {
	{"trace-id", required_argument, NULL, OPT_TRACE_ID}, {"message-id", required_argument, NULL, OPT_MESSAGE_ID},
	{"from", required_argument, NULL, OPT_FROM}, {"rcpt", required_argument, NULL, OPT_RCPT},
	{"origin", required_argument, NULL, OPT_ORIGIN}, {"outcome", required_argument, NULL, OPT_OUTCOME},
	{"rule", required_argument, NULL, OPT_RULE}, {"route", required_argument, NULL, OPT_ROUTE},
	{"since", required_argument, NULL, OPT_SINCE}, {"until", required_argument, NULL, OPT_UNTIL},
	{"limit", required_argument, NULL, OPT_LIMIT}, {"before", required_argument, NULL, OPT_BEFORE},
	{"long", no_argument, NULL, OPT_LONG}, {"csv", no_argument, NULL, OPT_CSV},
	{"fields", required_argument, NULL, OPT_FIELDS}, {"database", required_argument, NULL, OPT_DATABASE},
	{"log", required_argument, NULL, OPT_LOG}, {"config", required_argument, NULL, OPT_CONFIG},
	{NULL, 0, NULL, 0}};

static int complain(const char *what, const char *value)
{
	fprintf(stderr, "posternctl trace: %s%s%s\n", what, value ? ": " : "", value ? value : "");
	return CLI_USAGE;
}

static int time_option(struct asked *a, int o, const char *text)
{
	int64_t ms = trace_time(text, trace_now_ms());

	if (!ms)
		return complain("expected 2026-01-31T12:00:00Z, 2026-01-31, or 90s, 30m, 2h, 7d ago", text);
	*(o == OPT_SINCE ? &a->q.since_ms : &a->q.until_ms) = ms;
	a->keyed = true;
	return CLI_OK;
}

static int number_option(struct asked *a, int o, const char *text)
{
	int64_t v = request_number(text, o == OPT_LIMIT ? LIMIT_TRACE_SEARCH : LONG_MAX);

	if (!v)
		return complain(o == OPT_LIMIT ? "--limit: expected 1 to 10000" : "--before: expected the number of a "
						 "page", text);
	if (o == OPT_LIMIT)
		a->q.limit = (size_t)v;
	else
		a->q.before = v;
	a->keyed |= o == OPT_BEFORE;
	return CLI_OK;
}

static int one_option(struct asked *a, int o)
{
	switch (o) {
	case OPT_TRACE_ID: a->q.trace_id = optarg; a->detailed = true; break;
	case OPT_MESSAGE_ID: a->q.message_id = optarg; break;
	case OPT_FROM: a->q.mail_from = optarg; break;
	case OPT_RCPT: a->q.rcpt = optarg; break;
	case OPT_ORIGIN: a->q.origin = optarg; break;
	case OPT_OUTCOME: a->q.outcome = optarg; break;
	case OPT_RULE: a->q.rule = optarg; a->keyed = true; break;
	case OPT_ROUTE: a->q.route = optarg; a->keyed = true; break;
	case OPT_SINCE:
	case OPT_UNTIL: return time_option(a, o, optarg);
	case OPT_LIMIT:
	case OPT_BEFORE: return number_option(a, o, optarg);
	case OPT_LONG: a->detailed = true; break;
	case OPT_CSV: a->csv = true; break;
	case OPT_FIELDS: a->fields = optarg; a->csv = true; break;
	case OPT_DATABASE: a->where.database = optarg; break;
	case OPT_LOG: a->where.log = optarg; break;
	case OPT_CONFIG: a->where.config = optarg; break;
	default: return CLI_USAGE; /* getopt said why */
	}
	return CLI_OK;
}

/* argv[0]: the command. */
static int read_options(struct asked *a, int argc, char **argv)
{
	static char who[] = "posternctl trace";
	int o, rc = CLI_OK;

	*a = (struct asked){.fields = "postern"};
	argv[0] = who; /* getopt's complaints begin so */
	optind = 0;
	while (rc == CLI_OK && (o = getopt_long(argc, argv, "", options, NULL)) != -1)
		rc = one_option(a, o);
	if (!a->q.limit)
		a->q.limit = a->csv ? CSV_LIMIT_DEFAULT : LIMIT_DEFAULT;
	return rc;
}

/* ---- search ------------------------------------------------------------------------------------ */

static int put(json_t *request, const char *member, const char *text)
{
	return text ? request_text(request, "trace", member, text) : CLI_OK;
}

/* The newest records of the running process, without an index. */
static json_t *from_memory(const struct cli *cli, const struct asked *a, int *code)
{
	json_t *r = json_pack("{s:s, s:I}", "command", "trace", "limit", (json_int_t)a->q.limit), *answer;

	if (a->keyed) {
		json_decref(r);
		fputs("posternctl trace: without an index (trace.index) there is no search by time, rule, route or "
		      "page\n", stderr);
		*code = CLI_FINDING;
		return NULL;
	}
	if (put(r, "trace_id", a->q.trace_id) || put(r, "message_id", a->q.message_id) ||
	    put(r, "mail_from", a->q.mail_from) || put(r, "rcpt", a->q.rcpt) ||
	    put(r, "origin", a->q.origin) || put(r, "outcome", a->q.outcome)) {
		json_decref(r);
		*code = CLI_USAGE;
		return NULL;
	}
	answer = client_ask(cli, r, code);
	if (answer)
		json_object_update_new(answer, json_pack("{s:s, s:n}", "schema", TRACE_SCHEMA, "next"));
	return answer;
}

/* What a form shows that the index does not have comes out of the log. */
static bool wants_detail(const struct cli *cli, const struct asked *a)
{
	return cli->json || a->detailed || (a->csv && !strcmp(a->fields, "google"));
}

static json_t *from_index(const struct cli *cli, struct trace_source *s, const struct asked *a, int *code)
{
	json_t *found, *records = json_array(), *r;
	int64_t next;
	char err[512];
	size_t i;
	int rc = trace_index_search(s->index, &a->q, &found, &next, err, sizeof(err));

	if (rc) {
		fprintf(stderr, "posternctl trace: %s\n", show_plain(err));
		*code = rc == -EINVAL ? CLI_USAGE : CLI_UNREACHABLE;
		json_decref(found);
		json_decref(records);
		return NULL;
	}
	json_array_foreach(found, i, r)
		json_array_append_new(records, wants_detail(cli, a) ? trace_source_detail(s, json_incref(r)) :
								      json_incref(r));
	json_decref(found);
	/* As text: it is more than programs that read numbers as floating point can hold. */
	return json_pack("{s:s, s:o, s:o}", "schema", TRACE_SCHEMA, "records", records, "next",
			 next ? json_sprintf("%lld", (long long)next) : json_null());
}

static int search(const struct cli *cli, int argc, char **argv)
{
	struct trace_source s;
	struct asked a;
	json_t *answer;
	int rc = read_options(&a, argc, argv);

	if (rc)
		return rc;
	rc = trace_source_open(&s, cli, &a.where, true);
	if (rc)
		return rc;
	answer = s.index ? from_index(cli, &s, &a, &rc) : from_memory(cli, &a, &rc);
	if (answer && a.csv)
		trace_csv(json_object_get(answer, "records"), a.fields);
	else if (answer && cli->json)
		print_json(answer);
	else if (answer && a.detailed)
		show_answer("trace", answer);
	else if (answer)
		trace_table(answer, terminal_columns());
	json_decref(answer);
	trace_source_close(&s);
	return rc;
}

/* ---- shares ------------------------------------------------------------------------------------ */

static void print_shares(const json_t *a)
{
	static const struct table_column column[] = {{"ROUTE", TABLE_CUT, 0}, {"LISTENER", 0, 0}, {"EGRESS", 0, 0},
						     {"MESSAGES", TABLE_RIGHT, 0}, {"OUTCOMES", TABLE_WRAP, 0}};
	static const char *const member[] = {"route", "listener", "egress"};
	const json_t *v, *o;
	const char *name;
	char text[256];
	struct table t;
	size_t i;

	table_begin(&t, column, sizeof(column) / sizeof(column[0]), 0);
	json_array_foreach(json_object_get(a, "ways"), i, v) {
		double all = json_number_value(json_object_get(v, "messages"));
		size_t at = 0;

		for (size_t k = 0; k < sizeof(member) / sizeof(member[0]); k++)
			table_add(&t, "%s", trace_clean(v, member[k], text, sizeof(text)) ? text : "-");
		table_add(&t, "%.0f", all);
		text[0] = '\0';
		json_object_foreach((json_t *)json_object_get(v, "outcomes"), name, o)
			if (at < sizeof(text))
				at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s %.1f%%", at ? " " : "", name,
						       all > 0 ? 100 * json_number_value(o) / all : 0.0);
		table_add(&t, "%s", text);
	}
	table_end(&t, terminal_columns());
	json_array_foreach(json_object_get(a, "findings"), i, v)
		printf("DIFFERS: %s\n", show_text(v, "text"));
}

static int shares(const struct cli *cli, int argc, char **argv)
{
	struct trace_source s;
	struct asked a;
	json_t *answer = NULL;
	int rc = read_options(&a, argc, argv);

	if (rc)
		return rc;
	rc = trace_source_open(&s, cli, &a.where, false);
	if (rc)
		return rc;
	if (!a.q.since_ms)
		a.q.since_ms = trace_time(SHARES_DEFAULT, trace_now_ms());
	if (shares_of(s.index, a.q.since_ms, &answer)) {
		fprintf(stderr, "posternctl trace: %s\n", show_plain(trace_index_why(s.index)));
		rc = CLI_UNREACHABLE;
	} else {
		json_object_set_new(answer, "schema", json_string("postern.shares.1"));
		if (cli->json)
			print_json(answer);
		else
			print_shares(answer);
		rc = json_array_size(json_object_get(answer, "findings")) ? CLI_FINDING : CLI_OK;
	}
	json_decref(answer);
	trace_source_close(&s);
	return rc;
}

/* ---- reindex ----------------------------------------------------------------------------------- */

static int said(const struct cli *cli, int64_t records, int64_t bad)
{
	json_t *o = json_pack("{s:s, s:b, s:I, s:I}", "schema", "postern.reindex.1", "ok", true, "records",
			      (json_int_t)records, "bad_lines", (json_int_t)bad);

	if (cli->json)
		print_json(o);
	else
		printf("%lld record(s) indexed, %lld line(s) that are none\n", (long long)records, (long long)bad);
	json_decref(o);
	return CLI_OK;
}

/* The thread of the running process does it, at its own pace. */
static int reindex_running(const struct cli *cli)
{
	json_t *a, *before;
	int code = CLI_OK, n = 0;
	int64_t records = 0;

	before = client_ask(cli, json_pack("{s:s}", "command", "trace status"), &code);
	a = before ? client_ask(cli, json_pack("{s:s}", "command", "trace reindex"), &code) : NULL;
	while (a && !json_is_true(json_object_get(a, "caught_up")) && n++ < REBUILD_S * 5) {
		json_decref(a);
		usleep(REBUILD_POLL_US);
		a = client_ask(cli, json_pack("{s:s}", "command", "trace status"), &code);
		if (isatty(STDERR_FILENO) && a)
			fprintf(stderr, "\r%lld records, %lld octets to go   ",
				(long long)json_integer_value(json_object_get(a, "records")),
				(long long)json_integer_value(json_object_get(a, "lag_bytes")));
	}
	if (isatty(STDERR_FILENO) && n)
		fputc('\n', stderr);
	if (a)
		records = json_integer_value(json_object_get(a, "records")) -
			  json_integer_value(json_object_get(before, "records"));
	json_decref(before);
	json_decref(a);
	return a ? said(cli, records, 0) : code;
}

/* What root makes is for the process that writes the log, which is not root: SQLite's files beside it get
 * the owner of the database. */
static int make_database(const struct trace_source *s, char *err, size_t err_len)
{
	struct stat st;
	int fd, rc = 0;

	umask(0027);
	if (geteuid() || stat(s->log, &st))
		return 0;
	fd = open(s->database, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd < 0 && errno == EEXIST)
		return 0;
	if (fd < 0 || fchown(fd, st.st_uid, st.st_gid))
		rc = -errno;
	if (fd >= 0)
		close(fd);
	if (rc)
		snprintf(err, err_len, "%.200s: %s", s->database, strerror(-rc));
	return rc;
}

static int reindex_files(const struct cli *cli, const struct trace_source *s)
{
	struct reader_count n, all = {0};
	struct reader reader;
	struct trace_index *x;
	struct logfile *list;
	char err[512];
	long files = logfiles_list(s->log, &list);
	int rc = files < 0 ? (int)files : make_database(s, err, sizeof(err));

	if (!rc)
		rc = trace_index_open(&x, s->database, UINT64_MAX / 2, err, sizeof(err));
	if (rc) {
		fprintf(stderr, "posternctl trace reindex: %s\n", files < 0 ? strerror((int)-files) : show_plain(err));
		if (files >= 0)
			free(list);
		return CLI_UNREACHABLE;
	}
	reader_init(&reader);
	rc = trace_index_reset(x, true);
	for (long i = 0; !rc && i < files; i++) {
		int fd = logfiles_open(s->log, &list[i]);

		if (fd < 0)
			continue;
		reader_open(&reader, fd, list[i].key);
		do {
			n = (struct reader_count){0};
			rc = reader_batch(&reader, x, 0, &n);
			all.records += n.records;
			all.bad += n.bad;
		} while (!rc);
		rc = rc == -ENODATA ? 0 : rc;
	}
	if (!rc)
		rc = trace_index_complete(x, NULL, NULL);
	if (rc)
		fprintf(stderr, "posternctl trace reindex: %s\n", show_plain(trace_index_why(x)));
	reader_close(&reader);
	reader_free(&reader);
	trace_index_close(x);
	free(list);
	return rc ? CLI_UNREACHABLE : said(cli, (int64_t)all.records, (int64_t)all.bad);
}

static int reindex(const struct cli *cli, int argc, char **argv)
{
	struct trace_source s;
	struct asked a;
	int rc = read_options(&a, argc, argv);

	if (rc)
		return rc;
	if (!a.where.database && !a.where.config && client_try_is_there(cli))
		return reindex_running(cli);
	rc = trace_source_locate(&s, cli, &a.where);
	return rc ? rc : reindex_files(cli, &s);
}

static int status(const struct cli *cli)
{
	int code = CLI_OK;
	json_t *a = client_ask(cli, json_pack("{s:s}", "command", "trace status"), &code);

	if (!a)
		return code;
	if (cli->json) {
		print_json(a);
	} else {
		printf("log        %s\n", show_text(a, "file"));
		if (*show_text(a, "file_error"))
			printf("           %s\n", show_text(a, "file_error"));
		printf("index      %s\n",
		       *show_text(a, "index") ? show_text(a, "index") : "none");
		if (*show_text(a, "index"))
			printf("           %lld octets, %lld record(s) since the start, %s (%lld octets behind)\n",
			       (long long)json_integer_value(json_object_get(a, "bytes")),
			       (long long)json_integer_value(json_object_get(a, "records")),
			       json_is_true(json_object_get(a, "caught_up")) ? "caught up" : "reading",
			       (long long)json_integer_value(json_object_get(a, "lag_bytes")));
		if (*show_text(a, "index_error"))
			printf("           %s\n", show_text(a, "index_error"));
	}
	if (*show_text(a, "index_error") || *show_text(a, "file_error"))
		code = CLI_FINDING;
	json_decref(a);
	return code;
}

int cmd_trace(const struct cli *cli, int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "shares"))
		return shares(cli, argc - 1, argv + 1);
	if (argc > 1 && !strcmp(argv[1], "reindex"))
		return reindex(cli, argc - 1, argv + 1);
	if (argc == 2 && !strcmp(argv[1], "status"))
		return status(cli);
	return search(cli, argc, argv);
}
