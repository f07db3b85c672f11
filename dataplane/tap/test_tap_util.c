/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/tap/test_tap_util.h"

struct tap_options track_options;
uint64_t counters[POSTERN_DP_COUNTER_COUNT];
bool with_owner;

static char *printed;
static size_t printed_n;

int tap_setup(void **state)
{
	(void)state;
	track_options = (struct tap_options){
		.flows = 8, .pieces = 600, .blocks = 600, .port = {25}, .n_ports = 1};
	with_owner = false;
	return 0;
}

struct seg *add(struct capture *c, enum tap_side side, uint8_t flags, const void *p, size_t n)
{
	struct seg *s = &c->seg[c->n++];

	assert_true(c->n < MAX_SEGMENTS);
	*s = (struct seg){.side = side,
			  .seq = c->nxt[side],
			  .ack = flags & ACK ? c->nxt[!side] : 0,
			  .flags = flags,
			  .ttl = side == TAP_CLIENT ? 57 : 64,
			  .wnd = 65535,
			  .has_ts = c->ts,
			  .tsval = c->tsval++,
			  .port = c->port,
			  .p = p,
			  .n = (uint32_t)n};
	c->nxt[side] += (uint32_t)n + (flags & (SYN | FIN) ? 1 : 0);
	return s;
}

void handshake(struct capture *c, uint32_t client_isn, uint32_t server_isn)
{
	c->nxt[TAP_CLIENT] = client_isn;
	c->nxt[TAP_SERVER] = server_isn;
	add(c, TAP_CLIENT, SYN, NULL, 0);
	add(c, TAP_SERVER, SYN | ACK, NULL, 0);
	add(c, TAP_CLIENT, ACK, NULL, 0);
}

void talk(struct capture *c, enum tap_side side, const void *p, size_t n)
{
	add(c, side, ACK, p, n);
}

void say(struct capture *c, enum tap_side side, const char *text)
{
	talk(c, side, text, strlen(text));
	add(c, !side, ACK, NULL, 0);
}

void goodbye(struct capture *c)
{
	add(c, TAP_SERVER, FIN | ACK, NULL, 0);
	add(c, TAP_CLIENT, FIN | ACK, NULL, 0);
	add(c, TAP_SERVER, ACK, NULL, 0);
}

void script(struct capture *c, const char *lines)
{
	static char wire[16][65536];
	static unsigned int turn;
	char *buf = wire[turn++ % 16];
	size_t n = 0;

	while (*lines) {
		enum tap_side side = lines[0] == 'C' ? TAP_CLIENT : TAP_SERVER;
		size_t begin = n;

		assert_true((lines[0] == 'C' || lines[0] == 'S') && lines[1] == ':' &&
			    lines[2] == ' ');
		for (lines += 3; *lines && *lines != '\n'; lines++)
			buf[n++] = *lines;
		if (*lines)
			lines++;
		buf[n++] = '\r';
		buf[n++] = '\n';
		assert_true(n < sizeof(wire[0]));
		talk(c, side, buf + begin, n - begin);
	}
}

void cut(struct capture *c, uint32_t most)
{
	static struct capture out;

	out = *c;
	out.n = 0;
	for (unsigned int i = 0; i < c->n; i++) {
		struct seg s = c->seg[i];
		uint32_t left = s.n;

		do {
			struct seg *o = &out.seg[out.n++];

			assert_true(out.n < MAX_SEGMENTS);
			*o = s;
			o->n = left < most ? left : most;
			if (o->n < left)
				o->flags &= (uint8_t)~FIN;
			s.seq += o->n;
			s.p += o->n;
			left -= o->n;
		} while (left);
	}
	*c = out;
}

void swap(struct capture *c, unsigned int a, unsigned int b)
{
	struct seg s = c->seg[a];

	c->seg[a] = c->seg[b];
	c->seg[b] = s;
}

void insert(struct capture *c, unsigned int at, const struct seg *s)
{
	struct seg copy = *s;

	memmove(&c->seg[at + 1], &c->seg[at], (c->n - at) * sizeof(*s));
	c->seg[at] = copy;
	c->n++;
	assert_true(c->n < MAX_SEGMENTS);
}

void take_out(struct capture *c, unsigned int at)
{
	c->n--;
	memmove(&c->seg[at], &c->seg[at + 1], (c->n - at) * sizeof(c->seg[0]));
}

unsigned int find(const struct capture *c, enum tap_side side, const char *begin)
{
	size_t n = strlen(begin);

	for (unsigned int i = 0; i < c->n; i++)
		if (c->seg[i].side == side && c->seg[i].n >= n && !memcmp(c->seg[i].p, begin, n))
			return i;
	fail_msg("no segment begins with %s", begin);
	return 0;
}

/* ---- playing ---- */

struct owner {
	unsigned int refs;
	uint8_t data[65536];
};

static void hold(void *o)
{
	((struct owner *)o)->refs++;
}

static void drop(void *o)
{
	struct owner *owner = o;

	assert_true(owner->refs > 0);
	if (!--owner->refs)
		free(owner);
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static size_t header(const struct seg *s, uint8_t *h)
{
	size_t n = 20;

	memset(h, 0, 60);
	put32(h + 4, s->seq);
	put32(h + 8, s->ack);
	h[13] = s->flags;
	put16(h + 14, s->wnd);
	if (s->has_ts) {
		memcpy(h + 20, (uint8_t[]){1, 1, 8, 10}, 4);
		put32(h + 24, s->tsval);
		n = 32;
	}
	h[12] = (uint8_t)(n / 4 << 4);
	return n;
}

static void tuple_of(const struct seg *s, struct tcp_tuple *t)
{
	static const uint8_t client[16] = {[10] = 0xff, 0xff, 192, 0, 2, 1};
	static const uint8_t server[16] = {[10] = 0xff, 0xff, 198, 51, 100, 7};
	bool c = s->side == TAP_CLIENT;
	uint16_t port = s->port ? s->port : 40000;

	memset(t, 0, sizeof(*t));
	memcpy(t->remote, c ? client : server, 16);
	memcpy(t->local, c ? server : client, 16);
	t->remote_port = c ? port : 25;
	t->local_port = c ? 25 : port;
}

static void play_one(struct tap *t, const struct seg *s, uint64_t us)
{
	struct tcp_tuple tuple;
	struct owner *owner = with_owner ? calloc(1, sizeof(*owner)) : NULL;
	uint8_t h[60], *copy = owner ? owner->data : malloc(s->n + 1);
	struct tap_view view[2];
	struct tap_segment seg = {.tuple = &tuple,
				  .header = h,
				  .header_len = (uint16_t)header(s, h),
				  .view = view,
				  .payload_len = s->n,
				  .time_us = us,
				  .ttl = s->ttl,
				  .bad_checksum = s->bad_checksum};
	uint32_t half = s->n / 2;

	tuple_of(s, &tuple);
	if (s->n)
		memcpy(copy, s->p, s->n);
	view[0] = (struct tap_view){copy, half, owner};
	view[1] = (struct tap_view){copy + half, s->n - half, owner};
	seg.n_views = s->n ? 2 : 0;
	if (owner)
		owner->refs = 1;
	tap_input(t, &seg);
	if (owner)
		drop(owner);
	else
		free(copy);
}

const char *play(const struct capture *c)
{
	struct tap_report_options opt = {.track = track_options,
					 .sessions = 8,
					 .hold = hold,
					 .drop = drop,
					 .counters = counters,
					 .secret = "0123456789abcde"};
	struct tap_report *r;
	struct tap_usage u;
	uint64_t us = 1000000;
	char *summary;

	free(printed);
	memset(counters, 0, sizeof(counters));
	opt.out = open_memstream(&printed, &printed_n);
	assert_non_null(opt.out);
	r = tap_report_new(&opt);
	assert_non_null(r);
	for (unsigned int i = 0; i < c->n; i++) {
		us = c->seg[i].us ? c->seg[i].us : us + 100;
		play_one(tap_report_tap(r), &c->seg[i], us);
	}
	tap_report_finish(r);
	tap_get_usage(tap_report_tap(r), &u);
	assert_int_equal(u.flows, 0);
	assert_int_equal(u.pieces, 0);
	assert_int_equal(u.blocks, 0);
	tap_report_free(r);
	fclose(opt.out);
	summary = strstr(printed, "{\"type\":\"summary\"");
	assert_non_null(summary);
	*summary = 0;
	return printed;
}

unsigned int lines_with(const char *text, const char *what)
{
	unsigned int n = 0;

	while ((text = strstr(text, what))) {
		const char *end = strchr(text, '\n');

		n++;
		if (!end)
			break;
		text = end + 1;
	}
	return n;
}
