/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "tests/script/script.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static void set_option(struct world *w)
{
	const char *name = next(w, "name")->s;
	struct {
		const char *name;
		uint32_t *at;
	} const number_option[] = {
		{"max_conns", &w->opt.max_conns},
		{"max_half_open", &w->opt.max_half_open},
		{"max_time_wait", &w->opt.max_time_wait},
		{"blocks", &w->opt.blocks},
		{"tx_blocks", &w->opt.tx_blocks},
		{"boards", &w->opt.boards},
		{"window_idle", &w->opt.window_idle},
		{"time_wait_ms", &w->opt.time_wait_ms},
	};

	if (w->stack)
		fail(w, "options come before the first action");
	for (size_t i = 0; i < sizeof(number_option) / sizeof(number_option[0]); i++) {
		if (strcmp(name, number_option[i].name))
			continue;
		*number_option[i].at = (uint32_t)number(w, name);
		no_more(w);
		return;
	}
	if (!strcmp(name, "no_sack"))
		w->opt.no_sack = true;
	else if (!strcmp(name, "no_timestamps"))
		w->opt.no_timestamps = true;
	else if (!strcmp(name, "mss"))
		w->mss = (uint16_t)number(w, name);
	else if (!strcmp(name, "listen"))
		w->listen_port = (uint16_t)number(w, name);
	else if (!strcmp(name, "secret"))
		w->secret = (uint8_t)number(w, name);
	else if (!strcmp(name, "clock_us"))
		w->start_us = (uint64_t)number(w, name);
	else
		fail(w, "there is no option '%s'", name);
	no_more(w);
}

static void address(struct world *w, uint8_t to[16])
{
	const char *s = next(w, "address")->s;
	uint8_t v4[4];

	if (inet_pton(AF_INET, s, v4) == 1)
		map_v4(to, v4);
	else if (inet_pton(AF_INET6, s, to) != 1)
		fail(w, "'%s' is no address", s);
}

static void declare(struct world *w)
{
	struct peer *p = world_peer(w, next(w, "name")->s, true);

	while (more(w)) {
		if (take(w, "port"))
			p->tuple.remote_port = (uint16_t)number(w, "port");
		else if (take(w, "dport"))
			p->tuple.local_port = (uint16_t)number(w, "dport");
		else if (take(w, "iss"))
			p->iss = (uint32_t)number(w, "iss");
		else if (take(w, "from"))
			address(w, p->tuple.remote);
		else if (take(w, "to"))
			address(w, p->tuple.local);
		else
			fail(w, "a connection has no '%s'", w->line.tok[w->line.at].s);
	}
}

/* The handshake that most scripts begin with; options of the SYN may be given. */
static void establish(struct world *w, struct peer *p)
{
	char text[SCRIPT_LINE], rest[SCRIPT_LINE] = "";
	bool ts = false;
	size_t n = 0;
	int64_t tsval = 0;

	while (more(w)) {
		const struct token *t = next(w, "option");

		if (!strcmp(t->s, "ts") && more(w) &&
		    parse_number(w->line.tok[w->line.at].s, &tsval))
			ts = true;
		n += (size_t)snprintf(rest + n, sizeof(rest) - n, " %s", t->s);
		if (n >= sizeof(rest))
			fail(w, "line too long");
	}
	snprintf(text, sizeof(text), "S 0%.4000s", rest);
	lex(w, text);
	inject(w, p, 0);
	lex(w, ts ? "S. 0 ack 1 ts any" : "S. 0 ack 1");
	match(w, p);
	if (ts)
		snprintf(text, sizeof(text), ". 1 ack 1 ts %lld", (long long)tsval);
	else
		snprintf(text, sizeof(text), ". 1 ack 1");
	lex(w, text);
	inject(w, p, 0);
	if (!p->conn)
		fail(w, "the handshake did not end in a connection");
}

static void repeat(struct world *w, struct peer *p)
{
	int64_t n = number(w, "count");
	unsigned int at;

	if (!take(w, ">"))
		fail(w, "repeat N > ...");
	at = w->line.at;
	for (int64_t i = 0; i < n; i++) {
		w->line.at = at;
		inject(w, p, (unsigned int)i);
	}
}

static void run_clock(struct world *w, uint64_t ms)
{
	world_quiet(w, "before the clock moved");
	while (ms--)
		world_step(w);
}

static void clock_to(struct world *w)
{
	uint64_t to = duration_ms(w);

	no_more(w);
	if (to < world_ms(w))
		fail(w, "it is %llu ms already", (unsigned long long)world_ms(w));
	run_clock(w, to - world_ms(w));
}

static void icmp(struct world *w, struct peer *p)
{
	uint32_t mtu = 0, seq = p->server_iss + 1;

	while (more(w)) {
		if (take(w, "mtu"))
			mtu = (uint32_t)number(w, "mtu");
		else if (take(w, "seq"))
			seq = relative(w, "seq", p->server_iss);
		else
			fail(w, "icmp [mtu N] seq S");
	}
	tcp_icmp_error(w->stack, &p->tuple, seq, mtu);
	world_settle(w);
}

static void burst(struct world *w, bool open)
{
	if (open && !take(w, "{"))
		fail(w, "burst {");
	no_more(w);
	if (w->in_burst == open)
		fail(w, open ? "bursts do not nest" : "there is no burst to end");
	w->in_burst = open;
	world_settle(w);
}

static void link(struct world *w)
{
	w->link_down = take(w, "down");
	if (!w->link_down && !take(w, "up"))
		fail(w, "link up or link down");
	no_more(w);
}

static void action(struct world *w, struct peer *p)
{
	struct token *first = &w->line.tok[w->line.at];

	if (strcmp(first->s, ">") && strcmp(first->s, "repeat"))
		inject_flush(w);
	if (take(w, ">")) {
		inject(w, p, 0);
	} else if (take(w, "<")) {
		match(w, p);
	} else if (take(w, "establish")) {
		establish(w, p);
	} else if (take(w, "repeat")) {
		repeat(w, p);
	} else if (first->s[0] == '+') {
		first->s++;
		run_clock(w, duration_ms(w));
		no_more(w);
	} else if (take(w, "at")) {
		clock_to(w);
	} else if (take(w, "leap")) {
		world_quiet(w, "before the clock moved");
		world_leap(w, duration_ms(w) * 1000);
		no_more(w);
	} else if (take(w, "burst")) {
		burst(w, true);
	} else if (take(w, "}")) {
		burst(w, false);
	} else if (take(w, "app")) {
		app_command(w, p);
	} else if (take(w, "expect")) {
		expect(w, p);
	} else if (take(w, "icmp")) {
		icmp(w, p);
	} else if (take(w, "pressure")) {
		tcp_set_pressure(w->stack, (int)number(w, "pressure"));
		no_more(w);
	} else if (take(w, "link")) {
		link(w);
	} else {
		fail(w, "'%s' is not understood", first->s);
	}
}

/* One line: `option`, `conn`, or an action, with `NAME:` in front unless it is of main. */
void command(struct world *w)
{
	struct peer *p = world_peer(w, "main", true);
	struct token *first = &w->line.tok[0];

	if (!w->line.n)
		return;
	if (take(w, "option")) {
		set_option(w);
		return;
	}
	if (take(w, "conn")) {
		declare(w);
		return;
	}
	world_start(w);
	if (first->n > 1 && first->s[first->n - 1] == ':' && !first->quoted) {
		char name[32];

		snprintf(name, sizeof(name), "%.*s", (int)(first->n - 1), first->s);
		p = world_peer(w, name, false);
		if (!p)
			fail(w, "there is no connection '%s'", name);
		w->line.at++;
		if (!more(w))
			fail(w, "an action is missing");
	}
	action(w, p);
}

/* Everything is aborted, half-open and TIME_WAIT entries run out: nothing may be left. */
void script_end(struct world *w)
{
	const char *left;

	world_start(w);
	if (w->in_burst)
		fail(w, "a burst is still open");
	world_quiet(w, "at the end");
	w->ending = true;
	w->link_down = false;
	for (unsigned int i = 0; i < w->peers; i++) {
		struct peer *p = &w->peer[i];

		if (!p->conn)
			continue;
		tcp_abort(p->conn);
		if (!p->closed)
			fail(w, "%s: tcp_abort() did not call closed()", p->name);
	}
	tcp_burst_end(w->stack);
	/* Longer than the SYN-ACK timers and TIME_WAIT take. */
	for (uint64_t s = 0; s < 70 + w->opt.time_wait_ms / 1000; s++)
		world_leap(w, 1000000);
	left = probe_empty(w->stack);
	if (left)
		fail(w, "after the end: %s", left);
}
