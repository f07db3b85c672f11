/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `>`: a segment of the client, put together octet by octet so that it can be wrong anywhere. */

#include "tests/script/script.h"

#include <stdlib.h>
#include <string.h>

#define VIEWS 16

struct build {
	struct peer *p;
	uint8_t h[64];
	size_t opt_len;
	struct bytes data;
	struct tcp_tuple tuple;
	int64_t doff, hlen, views, ttl, ecn, path;
	bool has_ack;
};

static void add_option(struct world *w, struct build *b, const uint8_t *o, size_t n)
{
	if (b->opt_len + n > SCRIPT_OPTIONS_MAX)
		fail(w, "more than 40 octets of options");
	memcpy(b->h + 20 + b->opt_len, o, n);
	b->opt_len += n;
}

static void add_ts(struct world *w, struct build *b)
{
	struct peer *p = b->p;
	uint8_t o[10] = {8, 10};
	uint32_t ecr = b->h[13] & FLAG_SYN || !p->seen_ts ? 0 : p->last_tsval;

	wr32(o + 2, (uint32_t)number(w, "ts"));
	if (take(w, "ecr"))
		ecr = relative(w, "ecr", p->ts_base);
	wr32(o + 6, ecr);
	add_option(w, b, o, sizeof(o));
}

static void add_sack(struct world *w, struct build *b)
{
	uint8_t o[40] = {5, 2};
	unsigned int n = 2;

	while (more(w) && n + 8 <= sizeof(o)) {
		const struct token *t = &w->line.tok[w->line.at];
		long from, to;
		char end;

		if (sscanf(t->s, "%ld:%ld%c", &from, &to, &end) != 2)
			break;
		w->line.at++;
		wr32(o + n, b->p->server_iss + (uint32_t)from);
		wr32(o + n + 4, b->p->server_iss + (uint32_t)to);
		n += 8;
	}
	o[1] = (uint8_t)n;
	add_option(w, b, o, n);
}

static bool option_field(struct world *w, struct build *b)
{
	uint8_t o[40];

	if (take(w, "mss")) {
		o[0] = 2;
		o[1] = 4;
		wr16(o + 2, (uint32_t)number(w, "mss"));
		add_option(w, b, o, 4);
	} else if (take(w, "ws")) {
		o[0] = 3;
		o[1] = 3;
		o[2] = (uint8_t)number(w, "ws");
		add_option(w, b, o, 3);
	} else if (take(w, "sackok")) {
		add_option(w, b, (uint8_t[]){4, 2}, 2);
	} else if (take(w, "ts")) {
		add_ts(w, b);
	} else if (take(w, "sack")) {
		add_sack(w, b);
	} else if (take(w, "opt")) {
		add_option(w, b, o, hex_octets(w, next(w, "octets of options"), o, sizeof(o)));
	} else {
		return false;
	}
	return true;
}

/* Payload that a script does not spell out is a function of its place in the stream. */
static void data_field(struct world *w, struct build *b)
{
	uint32_t at = rd32(b->h + 4) - b->p->iss;

	if (!more(w) || (!w->line.tok[w->line.at].quoted && !take(w, "len")))
		fail(w, "'%s' is no field of a segment", w->line.tok[w->line.at].s);
	payload(w, &b->data, at);
	if (take(w, "fill")) {
		const struct token *t = next(w, "an octet in quotes");

		memset(b->data.p, t->s[0], b->data.n);
	}
}

static void field(struct world *w, struct build *b, unsigned int nth)
{
	if (take(w, "ack")) {
		wr32(b->h + 8, relative(w, "ack", b->p->server_iss));
		b->has_ack = true;
	} else if (take(w, "win")) {
		wr16(b->h + 14, (uint32_t)number(w, "win"));
	} else if (take(w, "urg")) {
		wr16(b->h + 18, (uint32_t)number(w, "urg"));
	} else if (take(w, "res")) {
		b->h[12] = (uint8_t)(number(w, "res") & 15);
	} else if (take(w, "doff")) {
		b->doff = number(w, "doff");
	} else if (take(w, "hlen")) {
		b->hlen = number(w, "hlen");
	} else if (take(w, "views")) {
		b->views = number(w, "views");
	} else if (take(w, "ttl")) {
		b->ttl = number(w, "ttl");
	} else if (take(w, "ecn")) {
		b->ecn = number(w, "ecn");
	} else if (take(w, "path")) {
		b->path = number(w, "path");
	} else if (take(w, "sport")) {
		b->tuple.remote_port = (uint16_t)number(w, "sport");
	} else if (take(w, "dport")) {
		b->tuple.local_port = (uint16_t)number(w, "dport");
	} else if (take(w, "ports")) {
		b->tuple.remote_port = (uint16_t)(b->tuple.remote_port + nth * number(w, "ports"));
	} else if (take(w, "step")) {
		wr32(b->h + 4, rd32(b->h + 4) + nth * (uint32_t)number(w, "step"));
	} else if (take(w, "land")) {
		memcpy(b->tuple.remote, b->tuple.local, 16);
		b->tuple.remote_port = b->tuple.local_port;
	} else if (!option_field(w, b)) {
		data_field(w, b);
	}
}

/* A segment in memory of its own, as a packet would be. */
struct packet {
	struct packet *next;
	struct tcp_segment seg;
	struct tcp_tuple tuple;
	struct tcp_path path;
	struct tcp_view view[VIEWS];
	uint8_t *header, *data;
};

static struct packet *packet_new(struct world *w, struct build *b)
{
	size_t pieces = b->views > 0 ? (size_t)b->views : 1;
	size_t each = (b->data.n + pieces - 1) / pieces;
	size_t n = b->hlen >= 0 ? (size_t)b->hlen : 20 + (b->opt_len + 3) / 4 * 4;
	struct packet *k;

	if (b->views > VIEWS || n > sizeof(b->h))
		fail(w, "at most %u views and %zu octets of header", VIEWS, sizeof(b->h));
	k = calloc(1, sizeof(*k));
	if (!k)
		abort();
	k->tuple = b->tuple;
	k->path.b[0] = (uint8_t)b->path;
	k->data = b->data.p;
	/* Of exactly that size and gone afterwards: the stack may not look past it or keep it. */
	k->header = malloc(n ? n : 1);
	if (!k->header)
		abort();
	memcpy(k->header, b->h, n);
	for (size_t at = 0; at < b->data.n; at += each)
		k->view[k->seg.n_views++] = (struct tcp_view){
			b->data.p + at, (uint32_t)(b->data.n - at < each ? b->data.n - at : each)};
	k->seg.tuple = &k->tuple;
	k->seg.path = &k->path;
	k->seg.view = k->view;
	k->seg.header = k->header;
	k->seg.header_len = (uint16_t)n;
	k->seg.payload_len = (uint32_t)b->data.n;
	k->seg.ttl = (uint8_t)b->ttl;
	k->seg.ecn = (uint8_t)b->ecn;
	return k;
}

/* What waits goes to the stack: a lone segment by tcp_input(), those of a burst together. */
void inject_flush(struct world *w)
{
	struct tcp_segment *seg;
	unsigned int n = 0;

	if (!w->pending)
		return;
	seg = calloc(w->n_pending, sizeof(*seg));
	if (!seg)
		abort();
	for (const struct packet *k = w->pending; k; k = k->next)
		seg[n++] = k->seg;
	if (w->in_burst)
		tcp_input_burst(w->stack, seg, n);
	else
		tcp_input(w->stack, seg);
	free(seg);
	inject_forget(w);
}

void inject_forget(struct world *w)
{
	struct packet *k;

	while ((k = w->pending)) {
		w->pending = k->next;
		free(k->header);
		free(k->data);
		free(k);
	}
	w->pending_end = &w->pending;
	w->n_pending = 0;
}

void inject(struct world *w, struct peer *p, unsigned int nth)
{
	struct build b = {.p = p, .tuple = p->tuple, .doff = -1, .hlen = -1, .views = 1, .ttl = 64};
	uint8_t flags = flags_of(w, next(w, "flags"));

	p->stamp = ++w->stamp;
	b.h[13] = flags;
	wr16(b.h + 14, 65535);
	wr32(b.h + 4, relative(w, "seq", p->iss));
	while (more(w))
		field(w, &b, nth);
	if (flags & FLAG_ACK && !b.has_ack)
		fail(w, "the ACK flag wants an `ack`");
	if (flags & FLAG_FIN) {
		p->fin_sent = true;
		p->fin_end = rd32(b.h + 4) + (uint32_t)b.data.n + 1;
	}
	wr16(b.h, b.tuple.remote_port);
	wr16(b.h + 2, b.tuple.local_port);
	if (b.doff < 0)
		b.doff = (int64_t)(20 + b.opt_len + 3) / 4;
	b.h[12] = (uint8_t)(b.h[12] | (b.doff & 15) << 4);
	fprintf(w->trace_file, "%9.3f ", (double)world_ms(w) / 1000);
	show_segment(w->trace_file, p, b.h, 20 + b.opt_len, (uint32_t)b.data.n, false);
	*w->pending_end = packet_new(w, &b);
	w->pending_end = &(*w->pending_end)->next;
	w->n_pending++;
	if (w->in_burst)
		return;
	inject_flush(w);
	world_settle(w);
}
