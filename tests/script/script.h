/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * A script plays the client of our TCP on a virtual clock and an in-memory link. README.md is the
 * language. The client's side of the protocol is written here from the RFCs and shares no code with
 * the stack; only probe.c looks inside it.
 *
 *   runner.c   files, directories, the count      lex.c      a line as tokens, numbers, ranges
 *   world.c    one script's stack, clock, link    command.c  lines that are not segments
 *   inject.c   `>`                                match.c    `<`
 *   show.c     a segment as text                  app.c      the application above the stack
 *   expect.c   `expect`                           probe.c    states and pools of the stack
 */

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "dataplane/tcp/tcp.h"
#include "postern/stats.h"

#define SCRIPT_TOKENS 96
#define SCRIPT_LINE   8192
#define SCRIPT_PEERS  16
#define SCRIPT_OPTIONS_MAX 40

#define FLAG_FIN 0x01
#define FLAG_SYN 0x02
#define FLAG_RST 0x04
#define FLAG_PSH 0x08
#define FLAG_ACK 0x10
#define FLAG_URG 0x20
#define FLAG_ECE 0x40
#define FLAG_CWR 0x80

struct token {
	const char *s; /* NUL-terminated; of a quoted one the octets after escapes */
	size_t n;
	bool quoted;
};

/* One line, consumed from the left. */
struct line {
	struct token tok[SCRIPT_TOKENS];
	unsigned int n, at;
	char text[SCRIPT_LINE];   /* as written, for messages */
	char octets[SCRIPT_LINE]; /* what the tokens point into */
};

struct range {
	int64_t lo, hi;
	bool outside; /* all numbers but these */
};

/* A segment on the link, towards the client. */
struct sent {
	struct tcp_tuple tuple;
	uint8_t path; /* first octet of struct tcp_path */
	uint8_t header[64];
	size_t header_len;
	uint8_t *data;
	uint32_t len;
};

struct bytes {
	uint8_t *p;
	size_t n, room;
};

enum app_event { ON_ACCEPT, ON_DATA, ON_EOF, ON_ACKED, ON_EVENTS };

struct world;
struct packet;

/* The client of one connection and the application on the other end of it. */
struct peer {
	struct world *world;
	char name[32];
	struct tcp_tuple tuple;
	uint32_t iss;
	uint64_t stamp; /* when it was last used: two names may share a tuple */

	/* learned of the server */
	uint32_t server_iss, ts_base, last_tsval;
	bool knows_iss, knows_ts, seen_ts;
	uint8_t server_wscale;
	uint32_t edge; /* furthest octet it ever offered to take */
	bool has_edge;
	uint32_t fin_end; /* one past the FIN that the client sent last */
	bool fin_sent;

	/* application */
	struct tcp_conn *conn;
	bool accepted, closed, eof, refuse;
	enum tcp_close_reason reason;
	size_t take; /* octets data() takes at most, a call */
	uint32_t acked;
	struct bytes got, sent;
	size_t looked_at; /* octets of `got` that an `expect data` has seen */
	char on[ON_EVENTS][128];
};

struct world {
	const char *file;
	unsigned int line_no;
	struct line line;
	jmp_buf failed;

	struct tcp_stack *stack; /* NULL until the first action */
	struct tcp_options opt;
	uint16_t mss;
	uint16_t listen_port;
	uint8_t secret;
	uint64_t start_us, now_us;
	uint64_t counters[POSTERN_DP_COUNTER_COUNT];
	uint64_t marked[POSTERN_DP_COUNTER_COUNT], last_delta[POSTERN_DP_COUNTER_COUNT];
	bool in_burst, link_down, ending;
	struct packet *pending, **pending_end; /* segments of the burst, not yet in the stack */
	unsigned int n_pending;

	struct peer peer[SCRIPT_PEERS];
	unsigned int peers;
	uint64_t stamp;

	struct sent *queue;
	size_t queued, queue_room, queue_head;

	char *trace; /* all that went over the link, as text */
	size_t trace_len;
	FILE *trace_file;
};

/* runner.c: ends the script. */
_Noreturn void fail(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* lex.c */
void lex(struct world *w, const char *text);
bool more(const struct world *w);
const struct token *next(struct world *w, const char *what);
bool take(struct world *w, const char *word);
void no_more(struct world *w);
int64_t number(struct world *w, const char *what);
bool parse_number(const char *s, int64_t *v);
struct range range(struct world *w, const char *what);
bool in_range(const struct range *r, int64_t v);
uint64_t duration_ms(struct world *w);
/* Relative to base; `=N` is absolute. */
uint32_t relative(struct world *w, const char *what, uint32_t base);
uint8_t flags_of(struct world *w, const struct token *t);
size_t hex_octets(struct world *w, const struct token *t, uint8_t *to, size_t room);

/* world.c */
void world_init(struct world *w, const char *file);
void world_free(struct world *w);
void world_start(struct world *w);
struct peer *world_peer(struct world *w, const char *name, bool make);
struct peer *world_peer_of(struct world *w, const struct tcp_tuple *t);
void world_settle(struct world *w);
void world_step(struct world *w);
void world_leap(struct world *w, uint64_t us);
void world_quiet(struct world *w, const char *when);
struct sent *world_first(struct world *w, const struct tcp_tuple *t, size_t *at);
void world_drop(struct world *w, size_t at);
uint64_t world_ms(const struct world *w);
void bytes_add(struct bytes *b, const void *p, size_t n);
uint8_t pattern(uint32_t offset);
void map_v4(uint8_t to[16], const uint8_t a[4]);

/* command.c */
void command(struct world *w);
void script_end(struct world *w);

/* inject.c, match.c */
void inject(struct world *w, struct peer *p, unsigned int nth);
void inject_flush(struct world *w);
void inject_forget(struct world *w);
void match(struct world *w, struct peer *p);

/* show.c */
void show_segment(FILE *f, const struct peer *p, const uint8_t *header, size_t header_len,
		  uint32_t len, bool from_server);
/* The options of a header by kind; false when there is none of that kind. */
bool find_option(const uint8_t *header, size_t header_len, uint8_t kind, const uint8_t **p,
		 uint8_t *len);
const char *flags_text(uint8_t flags, char to[12]);

/* app.c */
extern const struct tcp_app script_app;
void app_command(struct world *w, struct peer *p);
/* The line's next token: `"text"`, or a count of octets of the pattern from stream offset at. */
void payload(struct world *w, struct bytes *to, uint32_t at);

/* expect.c */
void expect(struct world *w, struct peer *p);

/* probe.c */
const char *probe_state(const struct world *w, const struct tcp_tuple *t);
/* NULL, or what is left over in a stack that should be empty. */
const char *probe_empty(const struct tcp_stack *s);
const char *probe_timers(const struct tcp_stack *s);

static inline uint16_t rd16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t rd32(const uint8_t *p)
{
	return (uint32_t)rd16(p) << 16 | rd16(p + 2);
}

static inline void wr16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void wr32(uint8_t *p, uint32_t v)
{
	wr16(p, v >> 16);
	wr16(p + 2, v);
}
