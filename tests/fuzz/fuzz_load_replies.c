/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Whatever a server answers to bench/smtpload: no message is counted twice, or accepted before all
 * of it was said. First octet: options. Then pieces, each a length, how much is acknowledged, and
 * its octets.
 */

#include <stdlib.h>

#include "bench/smtpload/content.h"
#include "bench/smtpload/load.h"

#define PIECES 400u

struct load load;

bool wire_tcp(struct sess *s, uint8_t flags, uint32_t seq, uint32_t from, uint32_t n)
{
	uint8_t copy[1460];

	(void)flags, (void)seq;
	if (n > sizeof(copy) || from + n > smtp_unit_len(s))
		abort();
	if (n)
		smtp_copy(s, copy, from, n);
	return true;
}

static bool start(uint8_t how)
{
	load = (struct load){.now_us = 5000000,
			     .now_ms = 5000,
			     .n_sess = 1,
			     .sources = 1,
			     .blocks = 1,
			     .incarnations = LOAD_PORTS};
	load.opt = (struct load_options){.active = 1,
					 .ehlo = true,
					 .rto_ms = 300,
					 .size = {{.octets = 3000, .weight = 1}},
					 .n_sizes = 1,
					 .from = "a@example.net",
					 .rcpt = "b@example.com",
					 .helo = "h",
					 .pipeline = how & 1,
					 .bdat = how & 2,
					 .chunk = 1000,
					 .tls = how & 4 ? 1 : 0,
					 .per_session = how & 8 ? 1 : 0,
					 .books = how & 16 ? "/dev/null" : NULL};
	if (how & 32)
		load.opt.think_command = (struct think){.kind = THINK_FIXED, .a = 1000};
	load.sess = calloc(1, sizeof(*load.sess));
	load.running = true;
	load.run_active = 1;
	timer_start();
	return load.sess && !smtp_start() && !tls_start() && !think_start() && !books_open();
}

static void check(const struct sess *s)
{
	uint64_t open = load.messages_begun - load.messages_done, refused = 0;

	for (unsigned int i = 0; i < 1000; i++)
		refused += load.f.refused[i];
	if (open > 1 || load.f.accepted > load.messages_done || load.up > 1 ||
	    load.up_tls > load.up)
		abort();
	if (load.messages_done > load.f.accepted + refused)
		abort();
	if (open != (s->phase >= P_MAIL && s->phase <= P_PAUSE))
		abort();
}

static void one(struct sess *s, const uint8_t *p, uint32_t n, uint8_t kind, uint32_t *seq)
{
	struct seg g = {
		.seq = *seq, .ack = s->snd_una, .flags = TH_ACK, .wnd = 16384, .data = p, .len = n};
	uint64_t accepted = load.f.accepted;
	bool body = load.opt.pipeline || s->phase == P_BODY;
	bool whole = s->snd_una == s->unit_seq + smtp_unit_len(s) || kind & 3;

	if (kind & 3)
		g.ack = s->snd_max;
	if (kind & 4)
		g.flags |= TH_FIN;
	tcp_input(s, &g);
	if (load.f.accepted > accepted && !(whole && body))
		abort();
	*seq += n;
	load.now_us += 2000;
	load.now_ms += 2;
	(void)think_turn();
	timer_run();
}

static void play(struct sess *s, const uint8_t *data, size_t size)
{
	uint32_t seq = 0;

	for (unsigned int i = 0; i < PIECES && size >= 2; i++) {
		uint32_t n = data[0];
		uint8_t kind = data[1];

		data += 2;
		size -= 2;
		n = n < size ? n : (uint32_t)size;
		if (s->tcp == T_CLOSED)
			tcp_open(s);
		if (s->tcp == T_SYN_SENT) {
			struct seg syn = {.seq = seq - 1,
					  .ack = s->snd_max,
					  .flags = TH_SYN | TH_ACK,
					  .wnd = 16384};

			tcp_input(s, &syn);
		}
		seq = s->rcv_nxt;
		one(s, data, n, kind, &seq);
		check(s);
		data += n;
		size -= n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (!start(data[0]))
		abort();
	play(load.sess, data + 1, size - 1);
	(void)books_close();
	tls_stop();
	think_stop();
	smtp_stop();
	pace_stop();
	free(load.sess);
	return 0;
}
