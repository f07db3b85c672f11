/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Whole connections: SYN, ACK, banner, QUIT, 221 with FIN, FIN, TIME_WAIT, with the SMTP server as
 * it is. Control is played by a list: whoever asked is answered when the burst is over, where a
 * worker would read verdicts.
 */

#include <errno.h>
#include <stdlib.h>

#include "bench/micro/lab.h"
#include "bench/micro/micro.h"
#include "dataplane/smtp/smtp.h"

#define AT_ONCE 1024          /* connections in step with each other */
#define CONNECTIONS 65536     /* of one repetition */
#define AIM_PER_S 200000.0
#define TIME_WAITS (2 * CONNECTIONS)

struct session {
	struct tcp_conn *conn;
	struct smtp_session *smtp;
	bool closing;
	struct session *next; /* free, or waiting for an answer */
};

static struct session *pool, *idle, *asking;
static struct smtp_server *server;
static uint64_t opened, finished;

static uint64_t now_ms(void)
{
	return lab.now_us / 1000;
}

/* ---- what smtp/ asks ---- */

static int op_send(void *owner, const void *p, size_t n)
{
	const struct session *s = owner;

	return tcp_send(s->conn, p, n);
}

static int op_ask_connect(void *owner)
{
	struct session *s = owner;

	s->next = asking;
	asking = s;
	return 0;
}

/* No transaction is begun here. */
static int op_ask_rcpt(void *owner, struct str mailbox)
{
	(void)owner;
	(void)mailbox;
	return -EAGAIN;
}

static int op_begin(void *owner, struct str helo, uint8_t proto, const struct smtp_mail *mail)
{
	(void)owner;
	(void)helo;
	(void)proto;
	(void)mail;
	return -EAGAIN;
}

static void op_end(void *owner)
{
	(void)owner;
}

static void op_close(void *owner, enum smtp_close how)
{
	struct session *s = owner;

	micro_must(how == SMTP_CLOSE_AFTER_REPLY, "a session was cut");
	s->closing = true;
}

static const struct smtp_ops ops = {.send = op_send, .ask_connect = op_ask_connect,
				    .ask_rcpt = op_ask_rcpt, .txn_begin = op_begin,
				    .txn_end = op_end, .close = op_close};

static void answer(void)
{
	const struct smtp_reply banner = {.code = 220};

	while (asking) {
		struct session *s = asking;

		asking = s->next;
		smtp_answer_connect(s->smtp, &banner);
	}
}

/* ---- what tcp/ tells ---- */

static void *accepted(void *ctx, struct tcp_conn *conn, const struct tcp_tuple *tuple)
{
	struct session *s = idle;

	(void)ctx;
	(void)tuple;
	micro_must(s != NULL, "more connections than were opened");
	idle = s->next;
	s->conn = conn;
	s->closing = false;
	s->smtp = smtp_session_open(server, s, now_ms());
	micro_must(s->smtp != NULL, "no SMTP session");
	opened++;
	return s;
}

static size_t data(void *app, const struct tcp_view *view, unsigned int n)
{
	struct session *s = app;
	size_t taken = 0;

	for (unsigned int i = 0; i < n; i++)
		taken += smtp_input(s->smtp, view[i].p, view[i].n, now_ms());
	if (s->closing)
		tcp_close(s->conn);
	return taken;
}

static void eof(void *app)
{
	struct session *s = app;

	smtp_eof(s->smtp);
}

static void acked(void *app, uint32_t unacked)
{
	(void)app;
	(void)unacked;
}

static void closed(void *app, enum tcp_close_reason reason)
{
	struct session *s = app;

	micro_must(reason == TCP_CLOSED_NORMAL, "a connection did not end as it should");
	smtp_session_free(s->smtp);
	s->next = idle;
	idle = s;
	finished++;
}

static const struct tcp_app app = {accepted, data, eof, acked, closed};

/* ---- the peers ---- */

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void learn(const uint8_t *tcp, uint32_t n, uint32_t flow)
{
	struct lab_flow *f = &lab.flow[flow];
	uint32_t header = (tcp[12] >> 4) * 4u, end = get32(tcp + 4) + n;

	if (tcp[header - 10] == 8) /* timestamps stand last */
		f->tsecr = get32(tcp + header - 4 - 4);
	if (tcp[13] & 3)
		end++;
	f->ack = end;
}

enum { SYN, ACK, QUIT, FIN, STEPS };
static const char *const step_name[STEPS] = {"SYN", "ACK, banner", "QUIT, 221+FIN", "FIN"};

static void make(unsigned int step, uint32_t flow)
{
	static const char quit[6] = {'Q', 'U', 'I', 'T', '\r', '\n'};

	switch (step) {
	case SYN:
		lab_make_syn(flow);
		break;
	case ACK:
		lab_make(flow, 0, 0x10, NULL, 0);
		break;
	case QUIT:
		lab_make(flow, 0, 0x18, quit, sizeof(quit));
		lab.flow[flow].seq += sizeof(quit);
		break;
	default:
		lab_make(flow, 0, 0x11, NULL, 0);
	}
}

static void round_of(struct lab_cost step[STEPS], uint32_t first)
{
	for (unsigned int k = 0; k < STEPS; k++) {
		for (uint32_t i = 0; i < AT_ONCE; i++)
			make(k, (first + i) % LAB_FLOWS_MAX);
		lab_run(&step[k]);
	}
}

static void add(struct lab_cost *sum, const struct lab_cost *c)
{
	sum->rx += c->rx;
	sum->between += c->between;
	sum->advance += c->advance;
	sum->end += c->end;
	sum->tx += c->tx;
	sum->sent += c->sent;
}

static void repetitions(void)
{
	struct micro_row *all = micro_row("SMTP connections", "connection", "all of it, by call");
	struct micro_row *by_step = micro_row("SMTP connections", "connection", "all of it, by step");
	uint32_t first = 0;

	all->aim = (double)rte_get_tsc_hz() / AIM_PER_S;
	by_step->n_parts = STEPS;
	/* Three before the first that counts: then TIME_WAIT is full and its oldest is recycled. */
	for (unsigned int rep = 0; rep < micro.reps + 3; rep++) {
		struct lab_cost step[STEPS] = {0}, sum = {0};

		for (uint32_t done = 0; done < CONNECTIONS; done += AT_ONCE, first += AT_ONCE)
			round_of(step, first);
		micro_must(opened == first && finished == first, "not every connection went through");
		if (rep < 3)
			continue;
		for (unsigned int k = 0; k < STEPS; k++) {
			const struct lab_cost *c = &step[k];

			add(&sum, c);
			by_step->part[k] = step_name[k];
			by_step->of_part[k][rep - 3] =
				(double)(c->rx + c->between + c->advance + c->end + c->tx) / CONNECTIONS;
		}
		lab_row(all, rep - 3, &sum, CONNECTIONS);
		by_step->total[rep - 3] = all->total[rep - 3];
		micro_done(by_step, rep - 3);
	}
}

void bench_session(void)
{
	const struct handoff_config c = {
		.hostname = "mx.example.net", .max_message = 1 << 20, .max_rcpt = 100, .max_errors = 5,
		.max_transactions = 100, .command_timeout_s = 300, .data_timeout_s = 180,
		.data_total_timeout_s = 1800, .verdict_timeout_s = 600, .min_rate = 500,
	};
	const struct tcp_options opt = {.max_conns = 4 * AT_ONCE, .max_half_open = 4 * AT_ONCE,
					.max_time_wait = TIME_WAITS, .blocks = 4096,
					.tx_blocks = 4 * AT_ONCE};
	const struct smtp_sizes sizes = {.sessions = AT_ONCE};
	struct smtp_config *config = smtp_config_new(&c);

	lab_up(&opt, &app);
	server = smtp_server_new(&sizes, &ops, lab.counters);
	pool = calloc(AT_ONCE, sizeof(*pool));
	micro_must(config && server && pool, "no memory");
	for (uint32_t i = 0; i < AT_ONCE; i++) {
		pool[i].next = idle;
		idle = &pool[i];
	}
	smtp_server_set_config(server, config);
	lab.between = answer;
	lab.sent = learn;
	repetitions();
	lab_down();
	smtp_server_free(server);
	smtp_config_free(config);
	free(pool);
}
