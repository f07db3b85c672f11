/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `<`: the next segment of the stack for this connection, field by field. */

#include "tests/script/script.h"

#include <stdlib.h>
#include <string.h>

#define OPT_MSS    2
#define OPT_WSCALE 3
#define OPT_SACKOK 4
#define OPT_SACK   5
#define OPT_TS     8

struct want {
	bool kinds[256]; /* options that were named */
	bool len, only;
};

static void same(struct world *w, const char *what, const struct range *r, int64_t v)
{
	if (in_range(r, v))
		return;
	if (r->lo == r->hi)
		fail(w, "%s: expected %s%lld, came %lld", what, r->outside ? "not " : "",
		     (long long)r->lo, (long long)v);
	fail(w, "%s: %lld is outside of what was expected", what, (long long)v);
}

static void number_field(struct world *w, const char *what, int64_t v)
{
	struct range r = range(w, what);

	same(w, what, &r, v);
}

/* Sequence numbers: `any`, or one number relative to base. */
static void sequence(struct world *w, const char *what, uint32_t base, uint32_t v)
{
	uint32_t want;

	if (take(w, "any"))
		return;
	want = relative(w, what, base);
	if (want != v)
		fail(w, "%s: expected %d, came %d", what, (int32_t)(want - base),
		     (int32_t)(v - base));
}

static const uint8_t *option(struct world *w, struct want *want, const struct sent *s, uint8_t kind,
			     uint8_t len)
{
	const uint8_t *o;
	uint8_t n;

	want->kinds[kind] = true;
	if (!find_option(s->header, s->header_len, kind, &o, &n))
		fail(w, "option %u is missing", kind);
	if (len && n != len)
		fail(w, "option %u is %u octets long", kind, n);
	return o;
}

static void match_ts(struct world *w, struct want *want, struct peer *p, const struct sent *s)
{
	const uint8_t *o = option(w, want, s, OPT_TS, 10);

	if (!p->knows_ts) { /* the first TSval that is looked at is 0 */
		p->knows_ts = true;
		p->ts_base = rd32(o + 2);
	}
	number_field(w, "ts", (int32_t)(rd32(o + 2) - p->ts_base));
	if (take(w, "ecr"))
		number_field(w, "ecr", rd32(o + 6));
}

static void match_sack(struct world *w, struct want *want, const struct peer *p,
		       const struct sent *s)
{
	const uint8_t *o = option(w, want, s, OPT_SACK, 0);
	unsigned int n = 0, blocks = (o[1] - 2u) / 8;

	if (take(w, "any"))
		return;
	for (; more(w); n++) {
		const struct token *t = &w->line.tok[w->line.at];
		const uint8_t *b = o + 2 + 8 * n;
		long from, to;
		char end;

		if (sscanf(t->s, "%ld:%ld%c", &from, &to, &end) != 2)
			break;
		w->line.at++;
		if (n >= blocks)
			fail(w, "sack: block %s is missing", t->s);
		if (rd32(b) != p->iss + (uint32_t)from || rd32(b + 4) != p->iss + (uint32_t)to)
			fail(w, "sack: expected %s, came %d:%d", t->s, (int32_t)(rd32(b) - p->iss),
			     (int32_t)(rd32(b + 4) - p->iss));
	}
	if (n != blocks)
		fail(w, "sack: expected %u blocks, came %u", n, blocks);
}

static void match_payload(struct world *w, struct want *want, const struct sent *s)
{
	want->len = true;
	if (w->line.tok[w->line.at].quoted) {
		const struct token *t = next(w, "text");

		if (t->n != s->len || memcmp(t->s, s->data ? (const char *)s->data : "", t->n))
			fail(w, "payload: expected \"%s\", came %u octets \"%.*s\"", t->s, s->len,
			     (int)s->len, s->data ? (const char *)s->data : "");
		return;
	}
	number_field(w, "len", s->len);
}

static void match_field(struct world *w, struct want *want, struct peer *p, const struct sent *s)
{
	const uint8_t *h = s->header;

	if (take(w, "ack")) {
		sequence(w, "ack", p->iss, rd32(h + 8));
	} else if (take(w, "win")) {
		number_field(w, "win", rd16(h + 14));
	} else if (take(w, "urg")) {
		number_field(w, "urg", rd16(h + 18));
	} else if (take(w, "mss")) {
		number_field(w, "mss", rd16(option(w, want, s, OPT_MSS, 4) + 2));
	} else if (take(w, "ws")) {
		number_field(w, "ws", option(w, want, s, OPT_WSCALE, 3)[2]);
	} else if (take(w, "sackok")) {
		(void)option(w, want, s, OPT_SACKOK, 2);
	} else if (take(w, "ts")) {
		match_ts(w, want, p, s);
	} else if (take(w, "sack")) {
		match_sack(w, want, p, s);
	} else if (take(w, "path")) {
		number_field(w, "path", s->path);
	} else if (take(w, "only")) {
		want->only = true;
	} else if (w->line.tok[w->line.at].quoted || take(w, "len")) {
		match_payload(w, want, s);
	} else {
		fail(w, "'%s' is no field of a segment", w->line.tok[w->line.at].s);
	}
}

static void check_only(struct world *w, const struct want *want, const struct sent *s)
{
	for (unsigned int kind = 2; kind < 256; kind++) {
		const uint8_t *o;
		uint8_t n;

		if (!want->kinds[kind] &&
		    find_option(s->header, s->header_len, (uint8_t)kind, &o, &n))
			fail(w, "option %u was not expected", kind);
	}
}

/* The payload must be what the application sent at that place, whatever the script asks for. */
static void check_stream(struct world *w, const struct peer *p, const struct sent *s)
{
	uint32_t at = rd32(s->header + 4) - (p->server_iss + 1);

	if (!s->len)
		return;
	if (at > p->sent.n || s->len > p->sent.n - at || memcmp(p->sent.p + at, s->data, s->len))
		fail(w, "payload at %u is not what the application sent there", at + 1);
}

/* Takes `within A..B` off the end of the line. */
static bool within(struct world *w, struct range *r)
{
	struct line *l = &w->line;
	unsigned int end = l->n, at = l->at;

	if (end < at + 2 || strcmp(l->tok[end - 2].s, "within") || l->tok[end - 2].quoted)
		return false;
	l->at = end - 1;
	*r = range(w, "within");
	if (r->outside || r->lo < 0)
		fail(w, "within wants a range of milliseconds");
	l->at = at;
	l->n = end - 2;
	return true;
}

/* `< flood A..B FLAGS`: all that is queued, of any connection. */
static void flood(struct world *w)
{
	struct range r = range(w, "count");
	uint8_t flags = flags_of(w, next(w, "flags"));
	char text[12];
	int64_t n = 0;
	struct sent *s;
	size_t at;

	no_more(w);
	for (; (s = world_first(w, NULL, &at)); n++) {
		if (s->header[13] != flags)
			fail(w, "flood: a segment has flags %s", flags_text(s->header[13], text));
		world_drop(w, at);
	}
	same(w, "number of segments", &r, n);
}

void match(struct world *w, struct peer *p)
{
	struct want want = {0};
	struct range when;
	struct sent *s;
	uint8_t flags;
	char a[12], b[12];
	size_t at;

	if (take(w, "none")) {
		no_more(w);
		world_quiet(w, "where none was allowed");
		return;
	}
	if (take(w, "flood")) {
		flood(w);
		return;
	}
	if (within(w, &when)) {
		uint64_t start = world_ms(w), passed;

		if (!world_first(w, &p->tuple, &at))
			world_quiet(w, "before the clock moved");
		while (!world_first(w, &p->tuple, &at) && (int64_t)(world_ms(w) - start) < when.hi)
			world_step(w);
		passed = world_ms(w) - start;
		if (world_first(w, &p->tuple, &at) && !in_range(&when, (int64_t)passed))
			fail(w, "a segment came after %llu ms", (unsigned long long)passed);
	}
	s = world_first(w, &p->tuple, &at);
	if (!s)
		fail(w, "no segment came");
	flags = take(w, "any") ? s->header[13] : flags_of(w, next(w, "flags"));
	if (flags != s->header[13])
		fail(w, "flags: expected %s, came %s", flags_text(flags, a),
		     flags_text(s->header[13], b));
	if (flags & FLAG_SYN && !p->knows_iss) {
		p->knows_iss = true;
		p->server_iss = rd32(s->header + 4);
	}
	sequence(w, "seq", p->server_iss, rd32(s->header + 4));
	while (more(w))
		match_field(w, &want, p, s);
	if (!want.len && s->len)
		fail(w, "payload: expected none, came %u octets", s->len);
	if (want.only)
		check_only(w, &want, s);
	check_stream(w, p, s);
	world_drop(w, at);
}
