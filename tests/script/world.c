/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The stack of one script, its clock, and the link: what it sends is kept until a `<` takes it. */

#include "tests/script/script.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void bytes_add(struct bytes *b, const void *p, size_t n)
{
	if (b->n + n > b->room) {
		b->room = (b->n + n) * 2 + 64;
		b->p = realloc(b->p, b->room);
		if (!b->p)
			abort();
	}
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

/* What `len N` puts at an offset of a stream: a period that no segment size shares. */
uint8_t pattern(uint32_t offset)
{
	return (uint8_t)(offset % 251);
}

void map_v4(uint8_t to[16], const uint8_t a[4])
{
	memset(to, 0, 10);
	to[10] = to[11] = 0xff;
	memcpy(to + 12, a, 4);
}

void world_init(struct world *w, const char *file)
{
	memset(w, 0, sizeof(*w));
	w->file = file;
	w->opt = (struct tcp_options){.max_conns = 64, .max_half_open = 64, .max_time_wait = 64,
				      .blocks = 512, .tx_blocks = 512};
	w->listen_port = 25;
	w->pending_end = &w->pending;
	w->secret = 7;
	w->start_us = 1000000000;
	w->trace_file = open_memstream(&w->trace, &w->trace_len);
	if (!w->trace_file)
		abort();
}

void world_free(struct world *w)
{
	tcp_stack_free(w->stack);
	inject_forget(w);
	for (size_t i = 0; i < w->queued; i++)
		free(w->queue[i].data);
	free(w->queue);
	for (unsigned int i = 0; i < w->peers; i++) {
		free(w->peer[i].got.p);
		free(w->peer[i].sent.p);
	}
	fclose(w->trace_file);
	free(w->trace);
}

uint64_t world_ms(const struct world *w)
{
	return (w->now_us - w->start_us) / 1000;
}

struct peer *world_peer(struct world *w, const char *name, bool make)
{
	struct peer *p;

	for (unsigned int i = 0; i < w->peers; i++)
		if (!strcmp(w->peer[i].name, name))
			return &w->peer[i];
	if (!make)
		return NULL;
	if (w->peers == SCRIPT_PEERS || strlen(name) >= sizeof(p->name))
		fail(w, "too many connections, or a name that is too long");
	p = &w->peer[w->peers];
	*p = (struct peer){.world = w, .iss = 1000, .take = SIZE_MAX};
	snprintf(p->name, sizeof(p->name), "%s", name);
	map_v4(p->tuple.local, (uint8_t[]){192, 0, 2, 25});
	map_v4(p->tuple.remote, (uint8_t[]){192, 0, 2, 10});
	p->tuple.local_port = 25;
	p->tuple.remote_port = (uint16_t)(40000 + w->peers++);
	return p;
}

/* Of several names on one tuple, the one used last. */
struct peer *world_peer_of(struct world *w, const struct tcp_tuple *t)
{
	struct peer *best = NULL;

	for (unsigned int i = 0; i < w->peers; i++)
		if (!memcmp(&w->peer[i].tuple, t, sizeof(*t)) &&
		    (!best || w->peer[i].stamp > best->stamp))
			best = &w->peer[i];
	return best;
}

/* RFC 9293 3.8.6: a receiver must not shrink the window; RFC 7323 2.4: but for less than a unit of
 * the scale. Checked on every segment it sends. */
static void check_edge(struct world *w, struct peer *p, const uint8_t *h, size_t n)
{
	uint32_t edge, wnd = rd16(h + 14);
	const uint8_t *o;
	uint8_t len;

	if (h[13] & FLAG_RST)
		return;
	if (p->fin_sent && rd32(h + 8) == p->fin_end)
		return; /* nothing can come any more: the window means nothing */
	if (h[13] & FLAG_SYN) {
		p->server_wscale = find_option(h, n, 3, &o, &len) ? o[2] : 0;
		p->has_edge = false;
	} else {
		wnd <<= p->server_wscale;
	}
	edge = rd32(h + 8) + wnd;
	if (p->has_edge && (int32_t)(edge - p->edge) < 0) {
		if (p->edge - edge >= 1u << p->server_wscale)
			fail(w, "the right edge of the window moved left by %u", p->edge - edge);
		edge = p->edge;
	}
	p->edge = edge;
	p->has_edge = true;
}

static void check_header(struct world *w, const struct tcp_tuple *t, const uint8_t *h, size_t n)
{
	if (n < 20 || n > 60 || n % 4 || (size_t)(h[12] >> 4) * 4 != n || h[12] & 15)
		fail(w, "the stack sent a header of %zu octets with doff %u", n, h[12] >> 4);
	if (rd16(h) != t->local_port || rd16(h + 2) != t->remote_port)
		fail(w, "the stack sent ports %u, %u", rd16(h), rd16(h + 2));
	if (rd16(h + 16))
		fail(w, "the stack filled in a checksum");
}

static int output(void *ctx, const struct tcp_tuple *tuple, const struct tcp_path *path,
		  const uint8_t *header, size_t header_len, const struct tcp_view *view,
		  unsigned int n_views)
{
	struct world *w = ctx;
	struct peer *p = world_peer_of(w, tuple);
	struct bytes data = {0};
	struct sent *s;
	const uint8_t *o;
	uint8_t len;

	if (w->link_down)
		return -ENOBUFS;
	if (w->ending)
		return 0;
	check_header(w, tuple, header, header_len);
	for (unsigned int i = 0; i < n_views; i++)
		bytes_add(&data, view[i].p, view[i].n);
	if (w->queued == w->queue_room) {
		w->queue_room = w->queue_room * 2 + 64;
		w->queue = realloc(w->queue, w->queue_room * sizeof(*w->queue));
		if (!w->queue)
			abort();
	}
	s = &w->queue[w->queued++];
	*s = (struct sent){.tuple = *tuple, .path = path->b[0], .header_len = header_len,
			   .data = data.p, .len = (uint32_t)data.n};
	memcpy(s->header, header, header_len);
	fprintf(w->trace_file, "%9.3f ", (double)world_ms(w) / 1000);
	show_segment(w->trace_file, p, header, header_len, s->len, true);
	if (!p)
		return 0;
	if (find_option(header, header_len, 8, &o, &len) && len == 10) {
		p->last_tsval = rd32(o + 2);
		p->seen_ts = true;
	}
	check_edge(w, p, header, header_len);
	return 0;
}

static bool listening(void *ctx, const struct tcp_tuple *t)
{
	return t->local_port == ((struct world *)ctx)->listen_port;
}

/* An MTU of 1,500: 1,460 over IPv4, 1,440 over IPv6, or what `option mss` says. */
static uint16_t path_mss(void *ctx, const struct tcp_tuple *t, const struct tcp_path *path)
{
	const struct world *w = ctx;
	uint8_t prefix[16];

	(void)path;
	map_v4(prefix, (uint8_t[]){0, 0, 0, 0});
	if (w->mss)
		return w->mss;
	return memcmp(t->local, prefix, 12) ? 1440 : 1460;
}

void world_start(struct world *w)
{
	struct tcp_env env = {.ctx = w, .output = output, .listening = listening,
			      .mss = path_mss, .app = &script_app, .counters = w->counters};

	if (w->stack)
		return;
	memset(env.secret, w->secret, sizeof(env.secret));
	w->now_us = w->start_us;
	w->stack = tcp_stack_new(&w->opt, &env, w->now_us);
	if (!w->stack)
		fail(w, "tcp_stack_new() refused the options");
}

static void check_timers(struct world *w)
{
	const char *wrong = probe_timers(w->stack);

	if (wrong)
		fail(w, "%s", wrong);
}

/* The end of a receive burst, unless a `burst {` is open. */
void world_settle(struct world *w)
{
	if (w->in_burst)
		return;
	tcp_burst_end(w->stack);
	check_timers(w);
}

void world_leap(struct world *w, uint64_t us)
{
	w->now_us += us;
	tcp_advance(w->stack, w->now_us);
	check_timers(w);
}

void world_step(struct world *w)
{
	world_leap(w, 1000);
}

/* The first segment for a tuple (NULL: for any) that nobody took yet. */
struct sent *world_first(struct world *w, const struct tcp_tuple *t, size_t *at)
{
	for (size_t i = 0; i < w->queued; i++) {
		if (t && memcmp(&w->queue[i].tuple, t, sizeof(*t)))
			continue;
		*at = i;
		return &w->queue[i];
	}
	return NULL;
}

void world_drop(struct world *w, size_t at)
{
	free(w->queue[at].data);
	w->queued--;
	memmove(&w->queue[at], &w->queue[at + 1], (w->queued - at) * sizeof(*w->queue));
}

void world_quiet(struct world *w, const char *when)
{
	const struct sent *s;
	char *text = NULL;
	size_t at, n = 0;
	FILE *f;

	s = world_first(w, NULL, &at);
	if (!s)
		return;
	f = open_memstream(&text, &n);
	if (!f)
		abort();
	show_segment(f, world_peer_of(w, &s->tuple), s->header, s->header_len, s->len, true);
	fclose(f);
	fprintf(w->trace_file, "  not expected (%s): %s", when, text);
	free(text);
	fail(w, "%zu segment%s nobody expected, %s", w->queued, w->queued == 1 ? "" : "s", when);
}
