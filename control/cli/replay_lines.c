/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Lines of --tap-dump as a table. They hold what strangers sent, and come from a process that read
 * it: each is checked as a whole before anything of it is shown.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "control/cli/cli.h"
#include "control/cli/replay.h"

#define FLOW_WIDTH 43 /* two IPv4 addresses with ports */
#define NAME_WIDTH 28

static bool fault(struct replay_lines *r, const char *what)
{
	snprintf(r->fault, sizeof(r->fault), "%s", what);
	return false;
}

/* ---- checks ---- */

static bool is_count(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	return json_is_integer(v) && json_integer_value(v) >= 0;
}

static bool is_text(const json_t *o, const char *name)
{
	return json_is_string(json_object_get(o, name));
}

static bool is_text_or_null(const json_t *o, const char *name)
{
	return is_text(o, name) || json_is_null(json_object_get(o, name));
}

static bool is_texts(const json_t *o, const char *name)
{
	const json_t *list = json_object_get(o, name), *v;
	size_t i;

	json_array_foreach(list, i, v)
		if (!json_is_string(v))
			return false;
	return json_is_array(list);
}

static bool message_fits(const json_t *o)
{
	const json_t *whole = json_object_get(o, "complete"), *more = json_object_get(o, "rcpt_more");

	return is_text_or_null(o, "mail_from") && is_texts(o, "rcpt_to") && is_texts(o, "rcpt_refused") &&
	       (!more || is_count(o, "rcpt_more")) && is_count(o, "size") && is_text(o, "sha256") &&
	       json_is_boolean(whole) && (json_is_true(whole) || is_text(o, "incomplete")) &&
	       json_is_boolean(json_object_get(o, "bdat")) && is_text_or_null(o, "reply") &&
	       is_texts(o, "anomalies");
}

static bool anomaly_fits(const json_t *o)
{
	return is_text(o, "anomaly") &&
	       (strcmp(json_string_value(json_object_get(o, "anomaly")), "gap") != 0 ||
		(is_text(o, "side") && is_count(o, "octets") && is_text(o, "cause")));
}

static bool summary_fits(const json_t *o)
{
	json_t *counters = json_object_get(o, "counters");
	const json_t *v;
	const char *name;

	if (!json_is_object(counters))
		return false;
	json_object_foreach(counters, name, v)
		if (!is_count(counters, name) ||
		    name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")])
			return false;
	return is_count(o, "packets") && is_count(o, "flows") && is_count(o, "messages") &&
	       is_count(o, "incomplete") && is_count(o, "encrypted");
}

/* ---- rows ---- */

/* What stands in a column: what is over its width ends in "~". */
static void column(const char *text, int width)
{
	size_t n = 0, octets = 0;

	/* Characters, not octets: addresses may be UTF-8. */
	while (text[octets] && n < (size_t)width) {
		octets++;
		while ((text[octets] & 0xc0) == 0x80)
			octets++;
		n++;
	}
	if (!text[octets]) {
		printf("%s%*s  ", text, width - (int)n, "");
		return;
	}
	do
		octets--;
	while ((text[octets] & 0xc0) == 0x80);
	printf("%.*s~  ", (int)octets, text);
}

/* For a table, whatever is in it; a NUL is '?' as other controls are. */
static const char *text_of(const json_t *v)
{
	size_t n = json_string_length(v);
	char *copy = malloc(n + 1);
	const char *text = "";
	json_t *o;

	if (!copy)
		return text;
	for (size_t i = 0; i < n; i++)
		copy[i] = json_string_value(v)[i] ? json_string_value(v)[i] : '?';
	copy[n] = '\0';
	o = json_pack("{s:s}", "v", copy);
	text = show_text(o, "v");
	json_decref(o);
	free(copy);
	return text;
}

static void senders(const json_t *o, char *buf, size_t cap)
{
	const json_t *v = json_object_get(o, "mail_from");

	if (json_is_null(v))
		snprintf(buf, cap, "?");
	else
		snprintf(buf, cap, "%s", json_string_length(v) ? text_of(v) : "<>");
}

/* The first one that was taken, and how many more; (n refused) behind it. */
static void recipients(const json_t *o, char *buf, size_t cap)
{
	const json_t *to = json_object_get(o, "rcpt_to"), *no = json_object_get(o, "rcpt_refused");
	long long more = (long long)json_integer_value(json_object_get(o, "rcpt_more"));
	size_t n = json_array_size(to), refused = json_array_size(no);
	char behind[64] = "";
	int at = 0;

	if (n > 1 || more)
		at = snprintf(behind, sizeof(behind), " +%lld", (n ? (long long)n - 1 : 0) + more);
	if (refused)
		snprintf(behind + at, sizeof(behind) - (size_t)at, " (%zu refused)", refused);
	snprintf(buf, cap, "%s%s", n ? text_of(json_array_get(to, 0)) : "-", behind);
}

static void head(struct replay_lines *r)
{
	if (r->rows++)
		return;
	column("FLOW", FLOW_WIDTH);
	column("FROM", NAME_WIDTH);
	column("TO", NAME_WIDTH);
	printf("%10s  %-11s  %-32s  %s\n", "OCTETS", "COMPLETE", "REPLY", "ANOMALIES");
}

static void print_list(const json_t *list)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
		printf("%s%s", i ? ", " : "", text_of(v));
}

static void show_message(struct replay_lines *r, const json_t *o)
{
	char from[1024], to[1100], whole[64];
	const json_t *reply = json_object_get(o, "reply");

	head(r);
	senders(o, from, sizeof(from));
	recipients(o, to, sizeof(to));
	snprintf(whole, sizeof(whole), "%s",
		 json_is_true(json_object_get(o, "complete")) ? "yes" : show_text(o, "incomplete"));
	column(show_text(o, "flow"), FLOW_WIDTH);
	column(from, NAME_WIDTH);
	column(to, NAME_WIDTH);
	printf("%10lld  ", (long long)json_integer_value(json_object_get(o, "size")));
	column(whole, 11);
	column(json_is_null(reply) ? "not seen" : text_of(reply), 32);
	print_list(json_object_get(o, "anomalies"));
	putchar('\n');
}

static void show_other(struct replay_lines *r, const json_t *o, bool encrypted)
{
	head(r);
	column(show_text(o, "flow"), FLOW_WIDTH);
	if (encrypted)
		printf("encrypted: nothing of it can be read\n");
	else if (strcmp(show_text(o, "anomaly"), "gap") != 0)
		printf("%s\n", show_text(o, "anomaly"));
	else
		printf("gap of %lld octets of the %s's: %s\n",
		       (long long)json_integer_value(json_object_get(o, "octets")),
		       show_text(o, "side"), show_text(o, "cause"));
}

static void show_summary(struct replay_lines *r, const json_t *o)
{
	static const char *const not_odd[] = {"tap_packets", "tap_segments", "tap_flows", "tap_messages",
		"tap_incomplete", "tap_encrypted"};
	json_t *counters = json_object_get(o, "counters");
	const json_t *v;
	const char *name;

	if (r->rows)
		putchar('\n');
	printf("%llu packets, %llu flows, %llu messages (%llu incomplete), %llu encrypted flows\n",
	       (unsigned long long)r->packets, (unsigned long long)r->flows,
	       (unsigned long long)r->messages, (unsigned long long)r->incomplete,
	       (unsigned long long)r->encrypted);
	json_object_foreach(counters, name, v) {
		size_t i = 0;

		while (i < sizeof(not_odd) / sizeof(not_odd[0]) && strcmp(name, not_odd[i]) != 0)
			i++;
		if (i == sizeof(not_odd) / sizeof(not_odd[0]) &&
		    (!strncmp(name, "tap_", 4) || !strncmp(name, "rx_drop_", 8)))
			printf("  %-28s %10lld\n", name, (long long)json_integer_value(v));
	}
}

/* ---- lines ---- */

static uint64_t count_of(const json_t *o, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(o, name));
}

static bool take(struct replay_lines *r, const json_t *o)
{
	const char *type = json_string_value(json_object_get(o, "type"));
	bool flow = is_text(o, "flow");

	if (r->ended)
		return fault(r, "a line behind the summary");
	if (type && !strcmp(type, "message") && flow && message_fits(o)) {
		r->incomplete += json_is_false(json_object_get(o, "complete"));
		if (!r->json)
			show_message(r, o);
	} else if (type && !strcmp(type, "anomaly") && flow && anomaly_fits(o)) {
		r->anomalies++;
		if (!r->json && r->all)
			show_other(r, o, false);
	} else if (type && !strcmp(type, "encrypted") && flow) {
		r->encrypted++;
		if (!r->json)
			show_other(r, o, true);
	} else if (type && !strcmp(type, "summary") && summary_fits(o)) {
		r->ended = true;
		r->packets = count_of(o, "packets");
		r->flows = count_of(o, "flows");
		r->messages = count_of(o, "messages");
		if (!r->json)
			show_summary(r, o);
	} else {
		return fault(r, "a line that is no message, anomaly, encrypted or summary");
	}
	return true;
}

/* The same JSON; in ASCII, and with DEL escaped, nothing of it can draw on a terminal. */
static void pass_on(const json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);

	for (const char *p = text; p && *p; p++) {
		if (*p == 0x7f)
			fputs("\\u007f", stdout);
		else
			putchar(*p);
	}
	putchar('\n');
	free(text);
}

bool replay_line(struct replay_lines *r, const char *p, size_t n)
{
	json_error_t err;
	/* Octets of a session may be NUL, and are told as \u0000. */
	json_t *o = json_loadb(p, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &err);
	bool ok;

	if (!json_is_object(o)) {
		json_decref(o);
		return fault(r, o ? "a line that is no object" : "a line that is no JSON");
	}
	ok = take(r, o);
	if (ok && r->json) {
		json_object_set_new(o, "schema", json_string("postern.replay.1"));
		pass_on(o);
	}
	json_decref(o);
	return ok && !ferror(stdout);
}

bool replay_read(struct replay_lines *r, FILE *in)
{
	char *line = malloc(REPLAY_LINE + 1);
	size_t n = 0;
	bool ok = line != NULL;
	int c;

	if (!line)
		fault(r, "out of memory");
	while (ok && (c = getc_unlocked(in)) != EOF) {
		if (c == '\n') {
			ok = replay_line(r, line, n);
			n = 0;
		} else if (n == REPLAY_LINE) {
			ok = fault(r, "a line that has no end");
		} else {
			line[n++] = (char)c;
		}
	}
	if (ok && n)
		ok = fault(r, "a line that was cut off");
	free(line);
	return ok;
}
