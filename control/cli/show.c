/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Answers for people; those that are tables are in show_tables.c. Every value shown comes out of the JSON, which --json prints as
 * it is. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/cli.h"
#include "control/cli/show_tables.h"
#include "postern/utf8.h"

/* "\\uXXXX", which JSON reads as the code point (RFC 8259 7). */
static void print_escaped(long cp)
{
	if (cp > 0xffff)
		printf("\\u%04lX\\u%04lX", 0xd7c0 + (cp >> 10), 0xdc00 + (cp & 0x3ff));
	else
		printf("\\u%04lX", cp);
}

/* JSON is UTF-8, and what comes from strangers is in its strings: what would turn a line of the
 * terminal around, or break it, is escaped, for which no program cares. */
void print_json(const json_t *v)
{
	char *text = json_dumps(v, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	struct str t = str_c(text);

	for (size_t i = 0, n; i < t.n; i += n) {
		long cp = utf8_at(t, i, &n);

		if (cp == 0x7f || utf8_is_deceptive(cp))
			print_escaped(cp);
		else
			fwrite(t.p + i, 1, n, stdout);
	}
	free(text);
	putchar('\n');
}

/* Controls and deceptive code points are '?': a sender's address must not draw on the terminal. */
const char *show_plain(const char *text)
{
	static char ring[16][1024];
	static unsigned int next;
	struct str t = str_c(text);
	char *out = ring[next++ % 16];
	size_t len = 0;

	for (size_t i = 0, n; i < t.n; i += n) {
		long cp = utf8_at(t, i, &n);
		bool plain = cp >= 0x20 && cp != 0x7f && !utf8_is_deceptive(cp);

		if (len + n >= sizeof(ring[0]))
			break;
		if (plain)
			memcpy(out + len, t.p + i, n);
		else
			out[len] = '?';
		len += plain ? n : 1;
	}
	out[len] = '\0';
	return out;
}

const char *show_text(const json_t *o, const char *name)
{
	return show_plain(json_string_value(json_object_get(o, name)));
}

static const char *s(const json_t *o, const char *name)
{
	return show_text(o, name);
}

static long long n(const json_t *o, const char *name)
{
	return (long long)json_integer_value(json_object_get(o, name));
}

static double f(const json_t *o, const char *name)
{
	return json_number_value(json_object_get(o, name));
}

bool show_progress(const json_t *reload, char *buf, size_t cap)
{
	const char *stage = s(reload, "stage");
	int at;

	if (!*stage || !strcmp(stage, "idle"))
		return false;
	at = snprintf(buf, cap, "%.20s", stage);
	if (n(reload, "all"))
		at += snprintf(buf + at, cap - (size_t)at, ": %lld of %lld %.24s", n(reload, "done"),
			       n(reload, "all"), s(reload, "what"));
	snprintf(buf + at, cap - (size_t)at, ", %.0f s", f(reload, "seconds"));
	return true;
}

static void reloads(const json_t *r)
{
	const json_t *last = json_object_get(r, "last");
	char text[160];

	if (show_progress(r, text, sizeof(text)))
		printf("  reload      %s\n", text);
	if (!strcmp(s(r, "compiler"), "gone"))
		printf("  rules       CANNOT BE RELOADED: the processes that compile them are gone; restart "
		       "postern-control\n");
	if (json_is_false(json_object_get(last, "ok")))
		printf("  last reload FAILED: %s:%lld: %s%s%s\n", s(last, "file"), n(last, "line"),
		       s(last, "key"), *s(last, "key") ? ": " : "", s(last, "reason"));
}

/* What mail does not wait for, and whoever looks after it must know. */
static void watchers(const json_t *a)
{
	const json_t *trace = json_object_get(a, "trace");

	if (*s(json_object_get(a, "metrics"), "error"))
		printf("  metrics     NOT OPEN: %s\n", s(json_object_get(a, "metrics"), "error"));
	if (*s(trace, "file_error"))
		printf("  trace       NO RECORDS: %s\n", s(trace, "file_error"));
	if (*s(trace, "index_error"))
		printf("  trace       index is %lld octets behind: %s\n", n(trace, "lag_bytes"), s(trace, "index_error"));
}

static void status(const json_t *a)
{
	const json_t *dp = json_object_get(a, "dataplane"), *v;
	char up[32], since[32];
	size_t i;

	show_duration(f(a, "uptime_s"), up, sizeof(up));
	show_duration(f(dp, "since_s"), since, sizeof(since));
	printf("%s  Postern %s  %s\n", s(a, "hostname"), s(a, "version"),
	       json_is_true(json_object_get(a, "ready")) ? "READY" : "NOT READY");
	printf("  control     up %s, configuration %lld (%s), %lld rule(s)\n", up, n(a, "generation"),
	       s(a, "config"), n(a, "rules"));
	if (json_is_true(json_object_get(dp, "linked")))
		printf("  dataplane   linked for %s, epoch %lld, %lld worker(s), largest message %lld octets\n",
		       since, n(dp, "epoch"), n(dp, "workers"), n(dp, "max_message"));
	else
		printf("  dataplane   NOT LINKED: clients hear 451 or 421\n");
	if (*s(dp, "error"))
		printf("  refused     %s\n", s(dp, "error"));
	reloads(json_object_get(a, "reload"));
	watchers(a);
	printf("  now         %lld session(s), %lld message(s) in flight\n", n(a, "sessions"),
	       n(a, "messages_in_flight"));
	json_array_foreach(json_object_get(a, "listeners"), i, v) {
		const json_t *ip;
		size_t k;

		printf("  listener    %s: port %lld, SMTP port %lld,", s(v, "name"), n(v, "port"),
		       n(v, "smtp_port"));
		json_array_foreach(json_object_get(v, "address"), k, ip)
			printf(" %s", json_string_value(ip));
		putchar('\n');
	}
	json_array_foreach(json_object_get(a, "inline"), i, v) {
		const json_t *net;
		size_t k;

		printf("  inline      %s: %s, port %lld,", s(v, "name"), s(v, "mode"), n(v, "port"));
		json_array_foreach(json_object_get(v, "addresses"), k, net)
			printf(" %s", json_string_value(net));
		if (!strcmp(s(v, "mode"), "terminate"))
			printf(", as %s, %s STARTTLS, route %s (%s)", s(v, "hostname"),
			       json_is_true(json_object_get(v, "starttls")) ? "with" : "WITHOUT",
			       s(v, "route"), s(v, "client"));
		putchar('\n');
	}
	show_hosts(json_object_get(a, "hosts"));
}

/* The best of the signatures; "none" without one. */
static const char *best_dkim(const json_t *judged)
{
	const char *best = "none";
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(judged, "dkim"), i, v)
		if (i == 0 || !strcmp(s(v, "result"), "pass"))
			best = s(v, "result");
	return best;
}

/* The hops of the walk, where it is more than "who connected". */
static void trace_path(const json_t *origin)
{
	const json_t *path = json_object_get(origin, "path"), *h, *c;
	size_t i;

	if (json_array_size(path) < 2 && !*s(origin, "reason"))
		return;
	json_array_foreach(path, i, h)
		printf("\n    hop %zu %s, HELO %s: %s", i, s(h, "ip"),
		       *s(h, "helo") ? s(h, "helo") : *s(h, "helo_raw") ? s(h, "helo_raw") : "none",
		       s(h, "note"));
	json_array_foreach(json_object_get(origin, "corroboration"), i, c)
		if (json_is_false(json_object_get(c, "agrees")))
			printf("\n    %s of relay %s says %s", s(c, "header"), s(c, "relay"), s(c, "ip"));
}

static void trace_peer(const json_t *v, const json_t *judged)
{
	const json_t *via = json_object_get(v, "via"), *tls = json_object_get(v, "tls"), *dmarc, *over;

	printf("  peer %s, HELO %s", s(v, "peer"), s(v, "helo"));
	if (via)
		printf(", named by %s (%s)", s(via, "address"), s(via, "how"));
	printf(tls ? ", %s %s" : ", in clear text", s(tls, "version"), s(tls, "cipher"));
	if (!judged)
		return;
	dmarc = json_object_get(judged, "dmarc");
	over = json_object_get(dmarc, "override");
	printf("\n  sender %s (%s), spf %s, dkim %s, arc %s, dmarc %s",
	       s(v, "origin"), s(json_object_get(judged, "origin"), "status"),
	       s(json_object_get(judged, "spf"), "result"), best_dkim(judged),
	       s(json_object_get(judged, "arc"), "result"), s(dmarc, "result"));
	if (json_is_true(json_object_get(over, "lifted")))
		printf(" lifted (%s: %s)", s(over, "type"), s(over, "comment"));
	printf("; score %.2f, %s", f(judged, "score"), s(judged, "action"));
	if (*s(judged, "reason"))
		printf(" (%s)", s(judged, "reason"));
	trace_path(json_object_get(judged, "origin"));
}

/* What was only watched may lack it. */
static const char *seen(const json_t *v, const char *member)
{
	return json_is_null(json_object_get(v, member)) ? "?" : s(v, member);
}

/* On a tap port: what its server said, and what speaks against believing all of it. */
static void observed(const json_t *v)
{
	const json_t *odd;
	size_t i;

	printf("\n  %s of %s:%lld, which %s%s%s", s(v, "mode"), s(v, "server"), n(v, "server_port"),
	       *s(v, "server_reply") ? "answered \"" : "was not heard to answer", s(v, "server_reply"),
	       *s(v, "server_reply") ? "\"" : "");
	if (*s(v, "incomplete"))
		printf("; incomplete: %s", s(v, "incomplete"));
	if (*s(v, "unjudged"))
		printf("; not judged: %s", s(v, "unjudged"));
	json_array_foreach(json_object_get(v, "anomalies"), i, odd)
		printf("%s%s", i ? ", " : "; odd: ", json_string_value(odd));
}

static void trace(const json_t *a)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(a, "records"), i, v) {

		if (*s(v, "event")) {
			printf("%s  %s  %s\n\n", s(v, "time"), s(v, "trace_id"), s(v, "event"));
			continue;
		}
		printf("%s  %s  %s\n", s(v, "time"), s(v, "trace_id"), s(v, "outcome"));
		printf("  from <%s> to <%s>, %lld octets, Message-ID %s\n", seen(v, "mail_from"), seen(v, "rcpt"),
		       n(v, "size"), *s(v, "message_id") ? s(v, "message_id") : "none");
		trace_peer(v, json_object_get(v, "judged"));
		if (*s(v, "mode"))
			observed(v);
		else
			printf("\n  answered \"%s\"", s(v, "reply"));
		if (*s(v, "next_hop"))
			printf("; %s said \"%s\" (%s)", s(v, "next_hop"), s(v, "next_hop_reply"), s(v, "stage"));
		printf("\n\n");
	}
	printf("%zu record(s)\n", json_array_size(json_object_get(a, "records")));
}

static void reload(const json_t *a)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(a, "errors"), i, v)
		printf("%s:%lld: %s%s%s\n", s(v, "file"), n(v, "line"), s(v, "key"), *s(v, "key") ? ": " : "",
		       s(v, "reason"));
	if (json_is_true(json_object_get(a, "ok")))
		printf("configuration %lld in force%s%s\n", n(a, "generation"), *s(a, "note") ? ": " : "",
		       s(a, "note"));
	json_array_foreach(json_object_get(a, "restart"), i, v)
		printf("%s takes effect after a restart of control\n", show_plain(json_string_value(v)));
	if (json_is_true(json_object_get(a, "ok")))
		return;
	printf("configuration %lld stays in force\n", n(a, "generation"));
}

static void config(const json_t *a)
{
	const json_t *v;
	size_t i;

	printf("# %s, configuration %lld\n", s(a, "file"), n(a, "generation"));
	json_array_foreach(json_object_get(a, "settings"), i, v)
		printf("%s = %s\n", s(v, "key"), json_is_true(json_object_get(v, "secret")) ? "(not shown)" : s(v, "value"));
	json_array_foreach(json_object_get(a, "restart"), i, v)
		printf("# %s of the file takes effect after a restart of control\n",
		       show_plain(json_string_value(v)));
}

void show_answer(const char *command, const json_t *answer)
{
	if (!strcmp(command, "show status"))
		status(answer);
	else if (!strcmp(command, "show workers"))
		show_workers(answer);
	else if (!strcmp(command, "show ports"))
		show_ports(answer);
	else if (!strcmp(command, "show sessions"))
		show_sessions(answer);
	else if (!strcmp(command, "show sources"))
		show_sources(answer);
	else if (!strcmp(command, "show routes"))
		show_routes(answer);
	else if (!strcmp(command, "breaker show"))
		show_breakers(answer);
	else if (!strcmp(command, "breaker ack"))
		printf("route %s: its 5xx are passed on again%s\n", s(answer, "route"),
		       json_is_true(json_object_get(answer, "learned")) ? ", and are normal from now on" : "");
	else if (!strcmp(command, "loglevel"))
		puts(s(answer, "level"));
	else if (!strcmp(command, "drain") || !strcmp(command, "undrain"))
		puts(json_is_true(json_object_get(answer, "draining")) ? "draining: new connections are answered with 421"
								       : "not draining: new connections are taken");
	else if (!strcmp(command, "sources forgive"))
		printf("%lld source(s) forgiven\n", n(answer, "forgiven"));
	else if (!strcmp(command, "show stats") || !strcmp(command, "show drops"))
		show_stats(answer);
	else if (!strcmp(command, "trace"))
		trace(answer);
	else if (!strcmp(command, "config reload"))
		reload(answer);
	else if (!strcmp(command, "show config"))
		config(answer);
	else
		print_json(answer);
}
