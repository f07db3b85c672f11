/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* SHA256_Init() and its kind: EVP allocates. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "dataplane/tap/tap_report.h"

#include <arpa/inet.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/net/net_parse.h"
#include "dataplane/tap/tap_smtp.h"
#include "postern/utf8.h"

struct report_flow {
	struct tap_report *report;
	struct tap_smtp_session *smtp;
	struct report_flow *next;
	uint64_t told;  /* anomalies that have their line */
	char name[112]; /* "192.0.2.1:40000>198.51.100.1:25" */
};

struct tap_report {
	struct tap_report_options opt;
	struct tap *tap;
	struct tap_smtp *smtp;
	struct report_flow *flow, *free_flow;
	SHA256_CTX *hash; /* by message.index */
};

/* Text from packets: valid JSON whatever its octets. What is no UTF-8 becomes "\xNN". */
static void put_text(FILE *out, struct str text)
{
	fputc('"', out);
	for (size_t i = 0; i < text.n;) {
		uint8_t c = text.p[i];
		size_t n = c & 0x80 ? utf8_non_ascii(text, i) : 1;

		if (!n)
			fprintf(out, "\\\\x%02x", c);
		else if (n > 1)
			fwrite(text.p + i, 1, n, out);
		else if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
		i += n ? n : 1;
	}
	fputc('"', out);
}

static void put_rcpts(FILE *out, const struct tap_message *m, bool refused)
{
	const char *sep = "";

	fputc('[', out);
	for (uint32_t i = 0; i < m->n_rcpts; i++) {
		if ((m->rcpt[i].state == TAP_RCPT_REFUSED) != refused)
			continue;
		fputs(sep, out);
		put_text(out, tap_rcpt_of(m, i));
		sep = ",";
	}
	fputc(']', out);
}

static void put_anomalies(FILE *out, uint64_t mask)
{
	const char *sep = "";

	fputc('[', out);
	for (unsigned int a = 0; a < TAP_ANOMALY_COUNT; a++) {
		if (!(mask & 1ull << a))
			continue;
		fprintf(out, "%s\"%s\"", sep, tap_anomaly_name(a));
		sep = ",";
	}
	fputc(']', out);
}

/* ---- of the parser ---- */

static void begin(void *owner, struct tap_message *m)
{
	struct report_flow *f = owner;

	SHA256_Init(&f->report->hash[m->index]);
}

static void content(void *owner, struct tap_message *m, const uint8_t *p, size_t n)
{
	struct report_flow *f = owner;

	SHA256_Update(&f->report->hash[m->index], p, n);
}

static void put_whole(FILE *out, const struct tap_message *m)
{
	if (m->whole == TAP_WHOLE)
		fputs(",\"complete\":true", out);
	else if (m->whole == TAP_NOT_WHOLE_GAP)
		fprintf(out, ",\"complete\":false,\"incomplete\":\"gap,%llu\"",
			(unsigned long long)m->gap_octets);
	else
		fprintf(out, ",\"complete\":false,\"incomplete\":\"%s\"",
			m->whole == TAP_NOT_WHOLE_ABORTED ? "aborted" : "unsure");
}

static void message(void *owner, struct tap_message *m)
{
	struct report_flow *f = owner;
	FILE *out = f->report->opt.out;
	uint8_t sum[SHA256_DIGEST_LENGTH];

	SHA256_Final(sum, &f->report->hash[m->index]);
	fprintf(out, "{\"type\":\"message\",\"flow\":\"%s\",\"mail_from\":", f->name);
	if (m->mail_from.p)
		put_text(out, m->mail_from);
	else
		fputs("null", out);
	fputs(",\"rcpt_to\":", out);
	put_rcpts(out, m, false);
	fputs(",\"rcpt_refused\":", out);
	put_rcpts(out, m, true);
	if (m->rcpts_cut)
		fprintf(out, ",\"rcpt_more\":%u", m->rcpts_cut);
	fprintf(out, ",\"size\":%llu,\"sha256\":\"", (unsigned long long)m->size);
	for (size_t i = 0; i < sizeof(sum); i++)
		fprintf(out, "%02x", sum[i]);
	fputc('"', out);
	put_whole(out, m);
	fprintf(out, ",\"bdat\":%s,\"reply\":", m->bdat ? "true" : "false");
	if (m->reply_code)
		put_text(out, str_make(m->reply, m->reply_n));
	else
		fputs("null", out);
	fputs(",\"anomalies\":", out);
	put_anomalies(out, m->anomalies);
	fputs("}\n", out);
}

static void gap(void *owner, enum tap_side side, uint32_t octets, enum tap_cause cause)
{
	struct report_flow *f = owner;

	fprintf(f->report->opt.out,
		"{\"type\":\"anomaly\",\"flow\":\"%s\",\"anomaly\":\"gap\",\"side\":\"%s\","
		"\"octets\":%u,\"cause\":\"%s\"}\n",
		f->name, side == TAP_CLIENT ? "client" : "server", octets, tap_cause_name(cause));
}

/* Once a flow: a line for each of a million segments would help nobody. The summary counts all. */
static void anomaly(void *owner, enum tap_anomaly what)
{
	struct report_flow *f = owner;

	if (f->told & 1ull << what)
		return;
	f->told |= 1ull << what;
	fprintf(f->report->opt.out, "{\"type\":\"anomaly\",\"flow\":\"%s\",\"anomaly\":\"%s\"}\n",
		f->name, tap_anomaly_name(what));
}

static void encrypted(void *owner)
{
	struct report_flow *f = owner;

	fprintf(f->report->opt.out, "{\"type\":\"encrypted\",\"flow\":\"%s\"}\n", f->name);
}

static void closed(void *owner)
{
	struct report_flow *f = owner;

	f->next = f->report->free_flow;
	f->report->free_flow = f;
}

static const struct tap_smtp_ops smtp_ops = {.begin = begin,
					     .content = content,
					     .message = message,
					     .gap = gap,
					     .anomaly = anomaly,
					     .encrypted = encrypted,
					     .closed = closed};

/* ---- of the tracker ---- */

static void name_end(char *out, size_t cap, const uint8_t addr[16], uint16_t port)
{
	bool ip4 = net_is_mapped4(addr);
	char text[INET6_ADDRSTRLEN] = "?";

	inet_ntop(ip4 ? AF_INET : AF_INET6, addr + (ip4 ? 12 : 0), text, sizeof(text));
	snprintf(out, cap, ip4 ? "%s:%u" : "[%s]:%u", text, port);
}

static bool track_full(void *ctx)
{
	const struct tap_report *r = ctx;

	return !r->free_flow || tap_smtp_full(r->smtp);
}

static void *track_open(void *ctx, const struct tap_flow_info *info)
{
	struct tap_report *r = ctx;
	struct report_flow *f = r->free_flow;
	char client[56], server[56];

	if (!f) {
		r->opt.counters[CNT_tap_no_session]++;
		return NULL;
	}
	f->report = r;
	f->told = 0;
	f->smtp = tap_smtp_open(r->smtp, info, f);
	if (!f->smtp)
		return NULL;
	r->free_flow = f->next;
	name_end(client, sizeof(client), info->tuple.remote, info->tuple.remote_port);
	name_end(server, sizeof(server), info->tuple.local, info->tuple.local_port);
	snprintf(f->name, sizeof(f->name), "%s>%s", client, server);
	for (unsigned int a = 0; a < TAP_ANOMALY_COUNT; a++)
		if (info->anomalies & 1ull << a)
			anomaly(f, a);
	return f->smtp;
}

static size_t track_data(void *app, enum tap_side side, const uint8_t *p, size_t n,
			 unsigned int how)
{
	return tap_smtp_data(app, side, p, n, how);
}

static void track_gap(void *app, enum tap_side side, uint32_t octets, enum tap_cause cause)
{
	tap_smtp_gap(app, side, octets, cause);
}

static void track_anomaly(void *app, enum tap_anomaly what)
{
	tap_smtp_anomaly(app, what);
}

static void track_closed(void *app)
{
	tap_smtp_close(app);
}

static const struct tap_app track_app = {.open = track_open,
					 .data = track_data,
					 .gap = track_gap,
					 .anomaly = track_anomaly,
					 .closed = track_closed,
					 .full = track_full};

struct tap_report *tap_report_new(const struct tap_report_options *opt)
{
	struct tap_report *r = calloc(1, sizeof(*r));
	struct tap_env env = {.app = &track_app,
			      .ctx = r,
			      .hold = opt->hold,
			      .drop = opt->drop,
			      .counters = opt->counters};

	if (!r)
		return NULL;
	r->opt = *opt;
	memcpy(env.secret, opt->secret, sizeof(env.secret));
	r->tap = tap_new(&opt->track, &env);
	r->smtp = tap_smtp_new(opt->sessions, &smtp_ops, opt->counters);
	r->flow = calloc(opt->sessions, sizeof(*r->flow));
	r->hash = r->smtp ? calloc(tap_smtp_messages(r->smtp), sizeof(*r->hash)) : NULL;
	if (!r->tap || !r->flow || !r->hash) {
		tap_report_free(r);
		return NULL;
	}
	for (uint32_t i = opt->sessions; i--;) {
		r->flow[i].next = r->free_flow;
		r->free_flow = &r->flow[i];
	}
	return r;
}

void tap_report_free(struct tap_report *r)
{
	if (!r)
		return;
	tap_free(r->tap);
	tap_smtp_free(r->smtp);
	free(r->flow);
	free(r->hash);
	free(r);
}

struct tap *tap_report_tap(struct tap_report *r)
{
	return r->tap;
}

void tap_report_finish(struct tap_report *r)
{
	static const struct postern_counter_info info[] = {
		POSTERN_DP_COUNTERS(POSTERN_COUNTER_INFO)};
	const uint64_t *c = r->opt.counters;
	FILE *out = r->opt.out;
	const char *sep = "";

	tap_finish(r->tap);
	fprintf(out,
		"{\"type\":\"summary\",\"packets\":%llu,\"flows\":%llu,\"messages\":%llu,"
		"\"incomplete\":%llu,\"encrypted\":%llu,\"counters\":{",
		(unsigned long long)c[CNT_tap_packets], (unsigned long long)c[CNT_tap_flows],
		(unsigned long long)c[CNT_tap_messages], (unsigned long long)c[CNT_tap_incomplete],
		(unsigned long long)c[CNT_tap_encrypted]);
	for (unsigned int i = 0; i < POSTERN_DP_COUNTER_COUNT; i++) {
		if (!c[i])
			continue;
		fprintf(out, "%s\"%s\":%llu", sep, info[i].name, (unsigned long long)c[i]);
		sep = ",";
	}
	fputs("}}\n", out);
}
