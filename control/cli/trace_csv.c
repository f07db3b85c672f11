/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * RFC 4180, with the column names of Google's export of its e-mail log search, of Exchange Online's message
 * trace (Get-MessageTraceV2), or our own. A line of theirs and one of ours belong together by Message-ID and
 * recipient.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/trace.h"

#define CELL 4200

/* How a column comes from a record. */
struct field {
	const char *name;
	const char *member;          /* of the record; NULL: always empty */
	const char *(*make)(const json_t *record, char *out, size_t cap); /* instead */
};

static const char *outcome(const json_t *r)
{
	const char *o = json_string_value(json_object_get(r, "outcome"));

	return o ? o : "";
}

/* What the table of words says of the outcome. */
static const char *word(const json_t *r, const char *const words[TRACE_OUTCOMES])
{
	enum trace_outcome o = trace_outcome_of(outcome(r));

	return o == TRACE_OUTCOMES ? "" : words[o];
}

static const char *microsoft_status(const json_t *r, char *out, size_t cap)
{
	static const char *const words[TRACE_OUTCOMES] = {
		[TRACE_DELIVERED] = "Delivered", [TRACE_REJECTED] = "Failed", [TRACE_DEFERRED] = "Pending",
		[TRACE_QUARANTINED] = "Quarantined", [TRACE_DISCARDED] = "FilteredAsSpam",
		[TRACE_ABORTED] = "Pending", [TRACE_OBSERVED] = "GettingStatus",
		[TRACE_UNJUDGED] = "GettingStatus"};

	snprintf(out, cap, "%s", word(r, words));
	return out;
}

static const char *google_status(const json_t *r, char *out, size_t cap)
{
	static const char *const words[TRACE_OUTCOMES] = {
		[TRACE_DELIVERED] = "DELIVERED", [TRACE_REJECTED] = "REJECTED", [TRACE_DEFERRED] = "DEFERRED",
		[TRACE_QUARANTINED] = "QUARANTINED", [TRACE_DISCARDED] = "DROPPED",
		[TRACE_ABORTED] = "DEFERRED", [TRACE_OBSERVED] = "OBSERVED",
		[TRACE_UNJUDGED] = "OBSERVED"};

	snprintf(out, cap, "%s", word(r, words));
	return out;
}

static const char *google_target(const json_t *r, char *out, size_t cap)
{
	snprintf(out, cap, "%s", json_string_value(json_object_get(r, "egress")) ? "SMTP_OUT" : "SMTP_IN");
	return out;
}

static const char *received(const json_t *r, char *out, size_t cap)
{
	(void)r;
	snprintf(out, cap, "Received");
	return out;
}

/* "250" of "250 2.0.0 ok". */
static const char *code(const json_t *r, char *out, size_t cap)
{
	const char *said = json_string_value(json_object_get(r, "reply"));

	out[0] = '\0';
	if (said && strspn(said, "0123456789") == 3 && cap > 3)
		snprintf(out, cap, "%.3s", said);
	return out;
}

/* The address of "mx.example.net [198.51.100.10]:25". */
static const char *to_ip(const json_t *r, char *out, size_t cap)
{
	const char *host = json_string_value(json_object_get(r, "next_hop"));
	const char *open = host ? strrchr(host, '[') : NULL;
	const char *close = open ? strchr(open, ']') : NULL;

	out[0] = '\0';
	if (close && (size_t)(close - open) < cap)
		snprintf(out, cap, "%.*s", (int)(close - open - 1), open + 1);
	return out;
}

static const char *encrypted(const json_t *r, char *out, size_t cap)
{
	const json_t *tls = json_object_get(r, "next_hop_tls");

	out[0] = '\0';
	if (json_is_true(json_object_get(r, "detail")))
		snprintf(out, cap, "%s", json_object_get(tls, "version") ? "TRUE" : "FALSE");
	return out;
}

static const struct field google[] = {
	{"Message ID", "message_id", NULL}, {"Start date", "time", NULL}, {"End date", "time", NULL},
	{"Sender", "mail_from", NULL}, {"Message size", "size", NULL}, {"Subject", "subject", NULL},
	{"Direction", NULL, received}, {"Attachments", NULL, NULL}, {"Recipient address", "rcpt", NULL},
	{"Event target", NULL, google_target}, {"Event date", "time", NULL},
	{"Event status", NULL, google_status}, {"Event target IP address", NULL, to_ip},
	{"Has encryption", NULL, encrypted}, {"Event SMTP reply code", NULL, code},
	{"Event description", "reply", NULL}, {NULL, NULL, NULL}};

static const struct field microsoft[] = {
	{"Received", "time", NULL}, {"SenderAddress", "mail_from", NULL}, {"RecipientAddress", "rcpt", NULL},
	{"Subject", "subject", NULL}, {"Status", NULL, microsoft_status}, {"FromIP", "origin", NULL},
	{"ToIP", NULL, to_ip}, {"Size", "size", NULL}, {"MessageId", "message_id", NULL},
	{"MessageTraceId", "trace_id", NULL}, {NULL, NULL, NULL}};

static const struct field postern[] = {
	{"time", "time", NULL}, {"trace_id", "trace_id", NULL}, {"outcome", "outcome", NULL},
	{"message_id", "message_id", NULL}, {"mail_from", "mail_from", NULL}, {"rcpt", "rcpt", NULL},
	{"origin", "origin", NULL}, {"peer", "peer", NULL}, {"local", "local", NULL}, {"helo", "helo", NULL},
	{"subject", "subject", NULL}, {"size", "size", NULL}, {"route", "route", NULL}, {"score", "score", NULL},
	{"action", "action", NULL}, {"reason", "reason", NULL}, {"spf", "spf", NULL}, {"dkim", "dkim", NULL},
	{"dmarc", "dmarc", NULL}, {"arc", "arc", NULL}, {"egress", "egress", NULL},
	{"next_hop", "next_hop", NULL}, {"stage", "stage", NULL}, {"next_hop_reply", "next_hop_reply", NULL},
	{"reply", "reply", NULL}, {"us", "us", NULL}, {NULL, NULL, NULL}};

/* A spreadsheet takes what begins so for a formula, and strangers write some of these texts: an apostrophe
 * makes it a text. */
static void cell(const char *text, bool first, bool number)
{
	if (!first)
		putchar(',');
	putchar('"');
	if (!number && *text && strchr("=+-@", *text))
		putchar('\'');
	for (; *text; text++) {
		if (*text == '"')
			putchar('"');
		putchar(*text);
	}
	putchar('"');
}

static void value(const json_t *r, const struct field *f, char *out, size_t cap)
{
	const json_t *v = f->member ? json_object_get(r, f->member) : NULL;

	out[0] = '\0';
	if (f->make) {
		char made[CELL];
		json_t *o = json_pack("{s:s}", "v", f->make(r, made, sizeof(made)));

		/* It may have been made of a stranger's text. */
		trace_clean(o, "v", out, cap);
		json_decref(o);
	} else if (json_is_integer(v)) {
		snprintf(out, cap, "%lld", (long long)json_integer_value(v));
	} else if (json_is_real(v)) {
		snprintf(out, cap, "%.2f", json_real_value(v));
	} else if (f->member) {
		trace_clean(r, f->member, out, cap);
	}
}

/* What the log has in objects stands flat in the index, and so here. */
static void flat(json_t *r)
{
	static const char *const results[] = {"spf", "dmarc", "arc"};
	const json_t *j = json_object_get(r, "judged"), *v;
	size_t i;

	if (!json_is_object(j))
		return;
	for (size_t k = 0; k < sizeof(results) / sizeof(results[0]); k++)
		if (!json_is_string(json_object_get(r, results[k])))
			json_object_set(r, results[k], json_object_get(json_object_get(j, results[k]), "result"));
	json_array_foreach(json_object_get(j, "dkim"), i, v) {
		const char *result = json_string_value(json_object_get(v, "result"));

		if (!json_is_string(json_object_get(r, "dkim")) || (result && !strcmp(result, "pass")))
			json_object_set(r, "dkim", json_object_get(v, "result"));
	}
	for (size_t k = 0; k < 3; k++) {
		static const char *const plain[] = {"score", "action", "reason"};

		v = json_object_get(r, plain[k]);
		if (!v || json_is_null(v))
			json_object_set(r, plain[k], json_object_get(j, plain[k]));
	}
}

bool trace_csv(const json_t *records, const char *fields)
{
	const struct field *f = !strcmp(fields, "google")      ? google
				: !strcmp(fields, "microsoft") ? microsoft
				: !strcmp(fields, "postern")   ? postern
							       : NULL;
	char text[CELL];
	json_t *r;
	size_t i;

	if (!f)
		return false;
	for (size_t k = 0; f[k].name; k++)
		cell(f[k].name, !k, false);
	fputs("\r\n", stdout);
	json_array_foreach((json_t *)records, i, r) {
		if (json_object_get(r, "event"))
			continue;
		flat(r);
		for (size_t k = 0; f[k].name; k++) {
			value(r, &f[k], text, sizeof(text));
			cell(text, !k, f[k].member && json_is_number(json_object_get(r, f[k].member)));
		}
		fputs("\r\n", stdout);
	}
	return true;
}
