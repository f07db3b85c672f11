/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The books: first the capture, then for each session, once it is over, a line of its own, one for
 * each message and each anomaly, last the totals. bench/README.md says what the fields mean.
 * Addresses are made here and need no escapes.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bench/pcapgen/pcapgen.h"

static FILE *file;
static uint64_t messages, anomalies;

int book_open(const struct gen_options *o)
{
	messages = anomalies = 0;
	file = NULL;
	if (!o->book)
		return 0;
	file = strcmp(o->book, "-") ? fopen(o->book, "we") : stdout;
	if (!file)
		return -errno;
	setvbuf(file, NULL, _IOFBF, 1 << 20);
	fprintf(file, "{\"type\": \"capture\", \"version\": 1, \"seed\": %" PRIu64 "}\n", o->seed);
	return 0;
}

static void flow_text(const struct flow *f, char *out, size_t size)
{
	char a[INET6_ADDRSTRLEN], b[INET6_ADDRSTRLEN];

	inet_ntop(f->v6 ? AF_INET6 : AF_INET, f->address[C2S], a, sizeof(a));
	inet_ntop(f->v6 ? AF_INET6 : AF_INET, f->address[S2C], b, sizeof(b));
	snprintf(out, size, f->v6 ? "[%s]:%u>[%s]:%u" : "%s:%u>%s:%u", a, f->port[C2S], b,
		 f->port[S2C]);
}

static void rcpts(const struct session *s, const struct message *m, bool accepted)
{
	const char *comma = "";

	for (uint32_t i = m->rcpt; i < m->rcpt + m->n_rcpt; i++) {
		if (s->rcpt[i].accepted != accepted)
			continue;
		fprintf(file, "%s\"%s\"", comma, (const char *)s->text.p + s->rcpt[i].address);
		comma = ", ";
	}
}

static void message(const struct session *s, const struct message *m, const char *flow)
{
	static const char *const expect[] = {"exact", "optional"};
	static const char *const odd[] = {"nul", "bare_cr", "bare_lf", "lookalike"};
	static const char *const lack[] = {"null",    "\"gap\"",  "\"rst\"",    "\"fin\"",
					   "\"end\"", "\"rset\"", "\"refused\""};

	const char *comma = "";

	messages++;
	fprintf(file,
		"{\"type\": \"message\", \"session\": %" PRIu64 ", \"flow\": \"%s\", "
		"\"expect\": \"%s\", \"mail_from\": \"%s\", \"rcpt_to\": [",
		s->number, flow, expect[m->expect], (const char *)s->text.p + m->sender);
	rcpts(s, m, true);
	fprintf(file, "], \"rcpt_refused\": [");
	rcpts(s, m, false);
	fprintf(file, "], \"via\": \"%s\", \"size\": %u, \"sha256\": ", m->bdat ? "bdat" : "data",
		m->size);
	if (m->whole) {
		fputc('"', file);
		for (uint32_t i = 0; i < 32; i++)
			fprintf(file, "%02x", m->sha256[i]);
		fputc('"', file);
	} else {
		fprintf(file, "null");
	}
	if (m->reply && s->sees == SEE_BOTH)
		fprintf(file, ", \"reply\": %u", m->reply);
	else
		fprintf(file, ", \"reply\": null");
	fprintf(file, ", \"complete\": %s, \"lack\": %s, \"odd\": ", m->complete ? "true" : "false",
		lack[m->lack]);
	fprintf(file, "[");
	for (uint32_t i = 0; i < 4; i++) {
		if (!(m->odd >> i & 1))
			continue;
		fprintf(file, "%s\"%s\"", comma, odd[i]);
		comma = ", ";
	}
	fprintf(file, "], \"ambiguous\": %s, \"reply_maybe\": %s, \"missing\": ",
		m->ambiguous ? "true" : "false", m->reply_maybe ? "true" : "false");
	if (m->complete || (m->lack == LACK_GAP && m->expect != EXPECT_OPTIONAL))
		fprintf(file, "%u}\n", m->missing);
	else
		fprintf(file, "null}\n");
}

static void anomaly(const struct session *s, const struct anomaly *a, const char *flow)
{
	static const bool must[A_COUNT] = {
#define X(sym, name, ppm, must, ...) must,
		ANOMALIES(X)
#undef X
	};
	static const bool must1[A_COUNT] = {
#define X(sym, name, ppm, must, must1, ...) must1,
		ANOMALIES(X)
#undef X
	};
	bool sure = !a->unsure && !s->cut_start && !s->cut_end && !s->has_ttl_rst &&
		    s->close == CLOSE_CLEAN && s->sees != SEE_SERVER;

	anomalies++;
	fprintf(file,
		"{\"type\": \"anomaly\", \"session\": %" PRIu64 ", \"flow\": \"%s\", "
		"\"kind\": \"%s\", \"from\": \"%s\", \"packet\": %" PRIu64 ", \"offset\": %u, "
		"\"octets\": %u, \"must\": %s}\n",
		s->number, flow, anomaly_name[a->kind], a->dir == C2S ? "client" : "server",
		a->packet, a->from, a->n,
		sure && (s->sees == SEE_BOTH ? must : must1)[a->kind] ? "true" : "false");
}

void book_session(const struct session *s)
{
	static const char *const sees[] = {"both", "client", "server"};
	static const char *const closing[] = {"clean", "rst", "fin"};
	char flow[2 * INET6_ADDRSTRLEN + 32];

	if (!file)
		return;
	flow_text(&s->flow, flow, sizeof(flow));
	fprintf(file,
		"{\"type\": \"session\", \"session\": %" PRIu64 ", \"flow\": \"%s\", "
		"\"sees\": \"%s\", \"tls\": %s, \"close\": \"%s\", \"cut_start\": %s, "
		"\"cut_end\": %s, \"tags\": %u, \"first_packet\": %" PRIu64
		", \"last_packet\": %" PRIu64 "}\n",
		s->number, flow, sees[s->sees], s->tls ? "true" : "false", closing[s->close],
		s->cut_start ? "true" : "false", s->cut_end ? "true" : "false", s->flow.tags,
		s->first_packet, s->last_packet);
	for (uint32_t i = 0; i < s->n_msg && s->sees != SEE_SERVER; i++)
		message(s, &s->msg[i], flow);
	for (uint32_t i = 0; i < s->n_anomaly; i++)
		if (s->anomaly[i].packet)
			anomaly(s, &s->anomaly[i], flow);
}

int book_close(uint64_t sessions, uint64_t syns)
{
	int rc = 0;

	if (!file)
		return 0;
	fprintf(file,
		"{\"type\": \"end\", \"packets\": %" PRIu64 ", \"octets\": %" PRIu64
		", \"sessions\": %" PRIu64 ", \"messages\": %" PRIu64 ", \"anomalies\": %" PRIu64
		", \"syns\": %" PRIu64 "}\n",
		pcap_packets(), pcap_octets(), sessions, messages, anomalies, syns);
	if (ferror(file))
		rc = -EIO;
	if (fclose(file) && !rc)
		rc = -errno;
	file = NULL;
	return rc;
}
