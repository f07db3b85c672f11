/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * docs/smtp.md, executed: what the next hop does at which stage, and what comes of it. A row is a
 * cell of that table; the retry at RCPT shows what was remembered.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/deliver/fake_hop.h"

#define TEXT "Subject: test\r\n\r\n.dot\r\nbody\r\n"
#define ID " [0123456789abcdef]"
#define SHORT_MS 250
#define NO_PIPELINING "250-hop.example.net\r\n250 8BITMIME"

enum at { BANNER, EHLO, HELO, MAIL, RCPT0, RCPT1, DATA, MID, DOT, CHUNK, LAST };

struct cell {
	const char *name;
	enum at at;
	const char *says;
	size_t n_rcpts;
	uint16_t code;
	unsigned int cls, subject, detail;
	enum deliver_outcome outcome;
	const char *stage;
	bool alert, in_doubt;
	uint16_t retry;      /* what the refused recipient's retry hears at RCPT from memory; 0: nothing */
	bool no_pipelining;
	bool bdat;           /* CHUNKING is offered, also for what fails before content */
};

#define OK DELIVER_DELIVERED
#define NO DELIVER_REJECTED
#define LATER DELIVER_DEFERRED

static const struct cell cells[] = {
	/* banner */
	{"banner 2xx", BANNER, "220 hi", 1, 250, 2, 0, 0, OK, "dot"},
	{"banner 4xx", BANNER, "450 4.3.0 not now", 1, 450, 4, 3, 0, LATER, "banner"},
	{"banner 5xx", BANNER, "554 5.7.1 go away", 1, 451, 4, 4, 0, LATER, "banner", true},
	{"banner 421", BANNER, "421 4.3.2 busy", 1, 451, 4, 3, 2, LATER, "banner"},
	{"banner 3xx", BANNER, "354 what", 1, 451, 4, 5, 0, LATER, "banner"},
	{"banner hang", BANNER, HOP_HANG, 1, 451, 4, 4, 1, LATER, "banner"},
	{"banner reset", BANNER, HOP_RESET, 1, 451, 4, 4, 1, LATER, "banner"},
	{"banner close", BANNER, HOP_CLOSE, 1, 451, 4, 4, 1, LATER, "banner"},
	{"banner garbage", BANNER, HOP_GARBAGE, 1, 451, 4, 5, 0, LATER, "banner"},
	{"banner over-long", BANNER, HOP_LONG, 1, 451, 4, 5, 0, LATER, "banner"},
	{"banner multi-line", BANNER, "220-one\r\n220-two\r\n220 three", 1, 250, 2, 0, 0, OK, "dot"},
	{"banner endless", BANNER, HOP_MANY, 1, 451, 4, 5, 0, LATER, "banner"},
	/* EHLO */
	{"EHLO 4xx", EHLO, "451 4.3.0 not now", 1, 451, 4, 3, 0, LATER, "ehlo"},
	{"EHLO 5xx unknown", EHLO, "502 5.5.1 EHLO?", 1, 250, 2, 0, 0, OK, "dot"},
	{"EHLO 5xx", EHLO, "550 5.7.1 you are listed", 1, 451, 4, 4, 0, LATER, "ehlo", true},
	{"EHLO 421", EHLO, "421 no", 1, 451, 4, 0, 0, LATER, "ehlo"},
	{"EHLO hang", EHLO, HOP_HANG, 1, 451, 4, 4, 2, LATER, "ehlo"},
	{"EHLO reset", EHLO, HOP_RESET, 1, 451, 4, 4, 2, LATER, "ehlo"},
	{"EHLO garbage", EHLO, HOP_GARBAGE, 1, 451, 4, 5, 0, LATER, "ehlo"},
	{"EHLO over-long", EHLO, HOP_LONG, 1, 451, 4, 5, 0, LATER, "ehlo"},
	{"EHLO mixed codes", EHLO, HOP_MIXED, 1, 451, 4, 5, 0, LATER, "ehlo"},
	{"HELO 5xx", HELO, "550 5.7.1 no", 1, 451, 4, 4, 0, LATER, "ehlo", true},
	/* MAIL */
	{"MAIL 4xx", MAIL, "451 4.7.500 slow down", 1, 451, 4, 7, 500, LATER, "mail"},
	{"MAIL 5xx", MAIL, "550 5.7.1 not from you", 1, 451, 4, 4, 0, LATER, "mail", true},
	{"MAIL 5xx, n", MAIL, "550 5.1.8 no such sender", 2, 451, 4, 4, 0, LATER, "mail", true},
	{"MAIL 5xx, one by one", MAIL, "550 5.1.8 no", 2, 451, 4, 4, 0, LATER, "mail", true,
	 .no_pipelining = true},
	{"MAIL 421", MAIL, "421 4.4.5 busy", 1, 451, 4, 4, 5, LATER, "mail"},
	{"MAIL 3xx", MAIL, "354 what", 1, 451, 4, 5, 0, LATER, "mail"},
	{"MAIL hang", MAIL, HOP_HANG, 1, 451, 4, 4, 2, LATER, "mail"},
	{"MAIL reset", MAIL, HOP_RESET, 1, 451, 4, 4, 2, LATER, "mail"},
	{"MAIL garbage", MAIL, HOP_GARBAGE, 1, 451, 4, 5, 0, LATER, "mail"},
	{"MAIL over-long", MAIL, HOP_LONG, 1, 451, 4, 5, 0, LATER, "mail"},
	{"MAIL mixed codes", MAIL, HOP_MIXED, 1, 451, 4, 5, 0, LATER, "mail"},
	/* RCPT, single */
	{"RCPT 4xx", RCPT0, "450 4.2.2 full", 1, 450, 4, 2, 2, LATER, "rcpt", .retry = 450},
	{"RCPT 4xx bare", RCPT0, "450 later", 1, 450, 4, 0, 0, LATER, "rcpt", .retry = 450},
	{"RCPT 5xx", RCPT0, "550 5.1.1 nobody", 1, 550, 5, 1, 1, NO, "rcpt", .retry = 550},
	{"RCPT 5xx bare", RCPT0, "550 nobody", 1, 550, 5, 0, 0, NO, "rcpt", .retry = 550},
	{"RCPT 5xx wrong class", RCPT0, "550 4.1.1 nobody", 1, 550, 5, 0, 0, NO, "rcpt", .retry = 550},
	{"RCPT relay fault", RCPT0, "550 5.7.64 TenantAttribution; Relay Access Denied", 1, 451, 4, 4,
	 0, LATER, "rcpt", true},
	{"RCPT relay text", RCPT0, "550 5.7.1 Relaying denied", 1, 451, 4, 4, 0, LATER, "rcpt", true},
	{"RCPT 530", RCPT0, "530 5.7.0 Must issue STARTTLS", 1, 451, 4, 4, 0, LATER, "rcpt", true},
	{"RCPT 503", RCPT0, "503 5.5.1 MAIL first", 1, 451, 4, 4, 0, LATER, "rcpt", true},
	{"RCPT 421", RCPT0, "421 4.3.2 going down", 1, 451, 4, 3, 2, LATER, "rcpt"},
	{"RCPT 4.3.2", RCPT0, "451 4.3.2 not now", 1, 451, 4, 3, 2, LATER, "rcpt"},
	{"RCPT hang", RCPT0, HOP_HANG, 1, 451, 4, 4, 2, LATER, "rcpt"},
	/* one by one: an RST takes back even what was said before it */
	{"RCPT reset", RCPT0, HOP_RESET, 1, 451, 4, 4, 2, LATER, "rcpt", .no_pipelining = true},
	{"RCPT garbage", RCPT0, HOP_GARBAGE, 1, 451, 4, 5, 0, LATER, "rcpt"},
	{"RCPT over-long", RCPT0, HOP_LONG, 1, 451, 4, 5, 0, LATER, "rcpt"},
	{"RCPT multi-line", RCPT0, "550-5.1.1 no\r\n550 5.1.1 body", 1, 550, 5, 1, 1, NO, "rcpt",
	 .retry = 550},
	/* RCPT 2 of 3 */
	{"RCPT i 4xx", RCPT1, "450 4.2.2 full", 3, 451, 4, 3, 0, LATER, "rcpt", .retry = 450},
	/* of the transaction, not of the recipient: see test_truth.c */
	{"RCPT i too many", RCPT1, "452 4.5.3 too many", 3, 451, 4, 3, 0, LATER, "rcpt"},
	{"RCPT i 5xx", RCPT1, "550 5.1.1 nobody", 3, 451, 4, 3, 0, LATER, "rcpt", .retry = 550},
	{"RCPT i 5xx one by one", RCPT1, "550 5.1.1 nobody", 3, 451, 4, 3, 0, LATER, "rcpt",
	 .retry = 550, .no_pipelining = true},
	/* others were taken: deferred once, so that they go */
	{"RCPT i relay fault", RCPT1, "550 5.7.606 banned", 3, 451, 4, 4, 0, LATER, "rcpt", true,
	 .retry = 451},
	{"RCPT i 4.3.2", RCPT1, "451 4.3.2 not now", 3, 451, 4, 3, 0, LATER, "rcpt", .retry = 451},
	{"RCPT i 421", RCPT1, "421 bye", 3, 451, 4, 0, 0, LATER, "rcpt", .retry = 451},
	{"RCPT i hang", RCPT1, HOP_HANG, 3, 451, 4, 4, 2, LATER, "rcpt"},
	{"RCPT i reset", RCPT1, HOP_RESET, 3, 451, 4, 4, 2, LATER, "rcpt", .no_pipelining = true},
	{"RCPT i over-long", RCPT1, HOP_LONG, 3, 451, 4, 5, 0, LATER, "rcpt"},
	{"RCPT i garbage", RCPT1, HOP_GARBAGE, 3, 451, 4, 5, 0, LATER, "rcpt"},
	/* DATA */
	{"DATA 2xx", DATA, "250 fine", 1, 451, 4, 5, 0, LATER, "data"},
	{"DATA 4xx", DATA, "451 4.3.0 not now", 1, 451, 4, 3, 0, LATER, "data"},
	{"DATA 5xx", DATA, "554 5.6.0 no", 2, 554, 5, 6, 0, NO, "data"},
	{"DATA 503", DATA, "503 RCPT first", 1, 451, 4, 4, 0, LATER, "data", true},
	{"DATA 421", DATA, "421 4.3.2 down", 1, 451, 4, 3, 2, LATER, "data"},
	{"DATA hang", DATA, HOP_HANG, 1, 451, 4, 4, 2, LATER, "data"},
	{"DATA reset", DATA, HOP_RESET, 1, 451, 4, 4, 2, LATER, "data"},
	{"DATA over-long", DATA, HOP_LONG, 1, 451, 4, 5, 0, LATER, "data"},
	{"DATA multi-line", DATA, "354-go\r\n354 ahead", 1, 250, 2, 0, 0, OK, "dot"},
	{"DATA garbage", DATA, HOP_GARBAGE, 1, 451, 4, 5, 0, LATER, "data"},
	/* after the dot */
	{"dot 2xx", DOT, "250 2.6.0 <x> Queued", 3, 250, 2, 6, 0, OK, "dot"},
	{"dot 2xx other", DOT, "251 fine", 1, 250, 2, 0, 0, OK, "dot"},
	{"dot 3xx", DOT, "354 more", 1, 451, 4, 4, 2, LATER, "dot", .in_doubt = true},
	{"dot 4xx", DOT, "452 4.3.1 disk", 1, 452, 4, 3, 1, LATER, "dot"},
	{"dot 5xx", DOT, "550 5.7.1 spam", 2, 550, 5, 7, 1, NO, "dot"},
	{"dot relay fault", DOT, "550 5.7.25 no PTR", 1, 451, 4, 4, 0, LATER, "dot", true},
	{"dot 421", DOT, "421 4.3.2 down", 1, 451, 4, 3, 2, LATER, "dot"},
	{"dot hang", DOT, HOP_HANG, 1, 451, 4, 4, 2, LATER, "dot", .in_doubt = true},
	{"dot reset", DOT, HOP_RESET, 1, 451, 4, 4, 2, LATER, "dot", .in_doubt = true},
	{"dot close", DOT, HOP_CLOSE, 1, 451, 4, 4, 2, LATER, "dot", .in_doubt = true},
	{"dot garbage", DOT, HOP_GARBAGE, 1, 451, 4, 4, 2, LATER, "dot", .in_doubt = true},
	{"dot over-long", DOT, HOP_LONG, 1, 451, 4, 4, 2, LATER, "dot", .in_doubt = true},
	{"dot multi-line", DOT, "550-5.7.1 one\r\n550 5.7.1 two", 1, 550, 5, 7, 1, NO, "dot"},
	/* BDAT: the chunk */
	{"BDAT, MAIL 5xx", MAIL, "550 5.7.1 no", 1, 451, 4, 4, 0, LATER, "mail", true, .bdat = true},
	{"BDAT, RCPT i 5xx", RCPT1, "550 5.1.1 nobody", 3, 451, 4, 3, 0, LATER, "rcpt", .retry = 550,
	 .bdat = true},
	{"chunk 2xx", CHUNK, "250 2.0.0 31 octets", 1, 250, 2, 0, 0, OK, "dot"},
	{"chunk 2xx other", CHUNK, "251 fine", 2, 250, 2, 0, 0, OK, "dot"},
	{"chunk 2xx twice", CHUNK, HOP_TWICE, 1, 451, 4, 5, 0, LATER, "chunk"},
	{"chunk 2xx, 421", CHUNK, "250 ok\r\n421 4.3.2 down", 1, 451, 4, 3, 2, LATER, "chunk"},
	{"chunk 3xx", CHUNK, "354 go ahead", 1, 451, 4, 5, 0, LATER, "chunk"},
	{"chunk 4xx", CHUNK, "452 4.3.1 disk", 1, 452, 4, 3, 1, LATER, "chunk"},
	{"chunk 5xx", CHUNK, "552 5.3.4 too big", 2, 552, 5, 3, 4, NO, "chunk"},
	{"chunk relay fault", CHUNK, "550 5.7.25 no PTR", 1, 451, 4, 4, 0, LATER, "chunk", true},
	{"chunk unknown", CHUNK, "500 5.5.1 BDAT?", 1, 451, 4, 4, 0, LATER, "chunk", true},
	{"chunk 503", CHUNK, "503 5.5.1 RCPT first", 1, 451, 4, 4, 0, LATER, "chunk", true},
	{"chunk 421", CHUNK, "421 4.3.2 down", 1, 451, 4, 3, 2, LATER, "chunk"},
	{"chunk hang", CHUNK, HOP_HANG, 1, 451, 4, 4, 2, LATER, "chunk"},
	{"chunk reset", CHUNK, HOP_RESET, 1, 451, 4, 4, 2, LATER, "chunk"},
	{"chunk close", CHUNK, HOP_CLOSE, 1, 451, 4, 4, 2, LATER, "chunk"},
	{"chunk garbage", CHUNK, HOP_GARBAGE, 1, 451, 4, 5, 0, LATER, "chunk"},
	{"chunk over-long", CHUNK, HOP_LONG, 1, 451, 4, 5, 0, LATER, "chunk"},
	{"chunk multi-line", CHUNK, "250-one\r\n250 two", 1, 250, 2, 0, 0, OK, "dot"},
	/* after LAST: as after the dot */
	{"LAST 2xx", LAST, "250 2.6.0 <x> Queued", 3, 250, 2, 6, 0, OK, "dot"},
	{"LAST 2xx other", LAST, "251 fine", 1, 250, 2, 0, 0, OK, "dot"},
	{"LAST 3xx", LAST, "354 more", 1, 451, 4, 4, 2, LATER, "dot", .in_doubt = true},
	{"LAST 4xx", LAST, "452 4.3.1 disk", 1, 452, 4, 3, 1, LATER, "dot"},
	{"LAST 5xx", LAST, "550 5.7.1 spam", 2, 550, 5, 7, 1, NO, "dot"},
	{"LAST relay fault", LAST, "550 5.7.25 no PTR", 1, 451, 4, 4, 0, LATER, "dot", true},
	{"LAST 421", LAST, "421 4.3.2 down", 1, 451, 4, 3, 2, LATER, "dot"},
	{"LAST hang", LAST, HOP_HANG, 1, 451, 4, 4, 2, LATER, "dot", .in_doubt = true},
	{"LAST reset", LAST, HOP_RESET, 1, 451, 4, 4, 2, LATER, "dot", .in_doubt = true},
	{"LAST close", LAST, HOP_CLOSE, 1, 451, 4, 4, 2, LATER, "dot", .in_doubt = true},
	{"LAST garbage", LAST, HOP_GARBAGE, 1, 451, 4, 4, 2, LATER, "dot", .in_doubt = true},
	{"LAST over-long", LAST, HOP_LONG, 1, 451, 4, 4, 2, LATER, "dot", .in_doubt = true},
	{"LAST multi-line", LAST, "550-5.7.1 one\r\n550 5.7.1 two", 1, 550, 5, 7, 1, NO, "dot"},
};

static void set(struct hop_script *s, const struct cell *c)
{
	switch (c->at) {
	case BANNER: s->banner = c->says; break;
	case EHLO: s->ehlo = c->says; break;
	case HELO: s->ehlo = "500 what"; s->helo = c->says; break;
	case MAIL: s->mail = c->says; break;
	case RCPT0: s->rcpt[0] = c->says; break;
	case RCPT1: s->rcpt[1] = c->says; break;
	case DATA: s->data = c->says; break;
	case MID: s->mid_body = c->says; break;
	case DOT: s->dot = c->says; break;
	case CHUNK: s->chunk = c->says; break;
	case LAST: s->last = c->says; break;
	}
	if (c->no_pipelining)
		s->ehlo = NO_PIPELINING;
	if (c->bdat || c->at >= CHUNK)
		s->ehlo = HOP_CHUNKING;
}

static void check_retry(struct lab *l, const struct cell *c)
{
	struct asked a;
	uint64_t callouts = l->counters[CTL_callouts];
	const char *rcpt = c->at == RCPT1 ? "user1@example.com" : "user0@example.com";

	/* The next hop is not asked for this: its listener is gone. */
	ask(l, &a, "sender@example.org", rcpt);
	lab_run(l, &a.done);
	if (c->retry) {
		assert_int_equal(a.reply.code, c->retry);
		assert_int_equal(l->counters[CTL_callouts], callouts);
		assert_int_equal(l->counters[CTL_rcpt_remembered], 1);
	} else {
		assert_int_equal(l->counters[CTL_rcpt_remembered], 0);
	}
}

static void run_cell(const struct cell *c)
{
	struct lab l;
	struct hop *h;
	struct sent s;
	bool bdat = c->bdat || c->at >= CHUNK, dot = c->at == DOT || c->at == LAST || c->outcome == OK;

	lab_init(&l);
	h = hop_new(l.base);
	lab_add(&l, "127.0.0.1", h->port);
	set(&h->script, c);
	if (c->says && !strcmp(c->says, HOP_HANG)) {
		deliver_tuning(l.d)->command_ms = SHORT_MS;
		deliver_tuning(l.d)->chunk_ms = SHORT_MS;
		deliver_tuning(l.d)->final_ms = SHORT_MS;
	}
	sent_start(&l, &s, TEXT, c->n_rcpts);
	lab_run(&l, &s.done);
	assert_int_equal(s.calls, 1);
	assert_int_equal(s.result.reply.code, c->code);
	assert_int_equal(s.result.reply.enh_class, c->cls);
	assert_int_equal(s.result.reply.enh_subject, c->subject);
	assert_int_equal(s.result.reply.enh_detail, c->detail);
	assert_int_equal(s.result.outcome, c->outcome);
	assert_string_equal(s.result.stage, c->stage);
	assert_int_equal(s.result.alert, c->alert);
	assert_int_equal(s.result.dot_written, dot);
	assert_int_equal(s.result.bdat, dot && bdat);
	assert_int_equal(l.counters[CTL_nexthop_bdat], bdat && c->outcome == OK);
	lab_spin(&l, 5); /* an end that should not be would be there by now */
	assert_int_equal(h->saw_dot, dot);
	assert_int_equal(hop_count(h, "BDAT"), bdat && c->at >= DATA ? 1 + dot : 0);
	assert_int_equal(hop_count(h, "BDAT 0 LAST"), bdat && dot);
	assert_int_equal(s.asked, dot ? 1 : 0);
	assert_int_equal(l.counters[CTL_nexthop_in_doubt], c->in_doubt ? 1 : 0);
	assert_non_null(strstr(s.result.reply.text, ID + 1));
	assert_non_null(strstr(s.result.host, "127.0.0.1"));
	for (size_t i = 0; i < c->n_rcpts; i++)
		assert_int_equal(s.rcpt[i].outcome, c->outcome);
	if (dot)
		assert_string_equal((char *)h->content, TEXT);
	else
		assert_null(h->content);
	if (c->stage[0] == 'r' || bdat)
		assert_int_equal(hop_count(h, "DATA"), 0);
	hop_close_all(h);
	hop_close_listener(h);
	if (c->outcome != OK) {
		lab_spin(&l, 5);
		check_retry(&l, c);
	}
	hop_free(h);
	lab_fini(&l);
}

static void the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
		printf("  %s\n", cells[i].name);
		run_cell(&cells[i]);
	}
}

static void connect_refused(void **state)
{
	struct lab l;
	struct hop *h;
	struct sent s;

	(void)state;
	lab_init(&l);
	h = hop_new(l.base);
	lab_add(&l, "127.0.0.1", h->port);
	hop_close_listener(h);
	sent_start(&l, &s, TEXT, 1);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.reply.code, 451);
	assert_int_equal(s.result.reply.enh_subject, 4);
	assert_int_equal(s.result.reply.enh_detail, 1);
	assert_string_equal(s.result.stage, "connect");
	assert_int_equal(l.counters[CTL_nexthop_connect_failed], 1);
	assert_false(s.result.alert);
	hop_free(h);
	lab_fini(&l);
}

/* A full backlog swallows the SYN. */
static void connect_hangs(void **state)
{
	struct lab l;
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0), fill[4];
	struct sent s;

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	for (int i = 0; i < 4; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(fill[i], (struct sockaddr *)&in, len);
	}
	lab_init(&l);
	lab_add(&l, "127.0.0.1", ntohs(in.sin_port));
	deliver_tuning(l.d)->connect_ms = SHORT_MS;
	sent_start(&l, &s, TEXT, 1);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.reply.code, 451);
	assert_int_equal(s.result.reply.enh_detail, 1);
	assert_string_equal(s.result.stage, "connect");
	lab_fini(&l);
	for (int i = 0; i < 4; i++)
		close(fill[i]);
	close(fd);
}

/* Mid-body: more content than both sockets hold, so that the body is under way for certain. */
static void body_cell(const char *says, bool stuck, uint16_t code, unsigned int subject,
		      unsigned int detail, enum deliver_outcome outcome, bool bdat)
{
	static char text[4 * 1024 * 1024];
	struct lab l;
	struct hop *h;
	struct sent s;

	memset(text, 'x', sizeof(text) - 1);
	for (size_t i = 70; i + 2 < sizeof(text); i += 72)
		memcpy(text + i, "\r\n", 2);
	lab_init(&l);
	h = hop_new(l.base);
	h->script.mid_body = says;
	h->script.ehlo = bdat ? HOP_CHUNKING : "250 hop.example.net";
	h->script.no_read_body = stuck;
	deliver_tuning(l.d)->sndbuf = 8192;
	if (stuck)
		deliver_tuning(l.d)->progress_ms = SHORT_MS;
	lab_add(&l, "127.0.0.1", h->port);
	sent_start(&l, &s, text, 1);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.reply.code, code);
	assert_int_equal(s.result.reply.enh_subject, subject);
	assert_int_equal(s.result.reply.enh_detail, detail);
	assert_int_equal(s.result.outcome, outcome);
	assert_string_equal(s.result.stage, "body");
	assert_false(s.result.dot_written);
	assert_int_equal(s.asked, 0);
	lab_spin(&l, 20);
	assert_false(h->saw_dot);
	assert_int_equal(h->open, stuck ? 1 : 0); /* one that does not read does not see it */
	assert_int_equal(hop_count(h, "BDAT"), bdat);
	assert_int_equal(l.counters[CTL_nexthop_in_doubt], 0);
	hop_free(h);
	lab_fini(&l);
}

static void mid_body(void **state)
{
	(void)state;
	for (int bdat = 0; bdat < 2; bdat++) {
		body_cell(HOP_RESET, false, 451, 4, 2, LATER, bdat);
		body_cell(HOP_CLOSE, false, 451, 4, 2, LATER, bdat);
		body_cell("250 2.0.0 queued", false, 451, 5, 0, LATER, bdat);
		body_cell("452 4.3.1 disk", false, 452, 3, 1, LATER, bdat);
		body_cell("552 5.3.4 too big", false, 552, 3, 4, NO, bdat);
		body_cell("421 4.3.2 down", false, 451, 3, 2, LATER, bdat);
		body_cell(HOP_GARBAGE, false, 451, 5, 0, LATER, bdat);
		body_cell(NULL, true, 451, 4, 2, LATER, bdat);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table),
		cmocka_unit_test(connect_refused),
		cmocka_unit_test(connect_hangs),
		cmocka_unit_test(mid_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
