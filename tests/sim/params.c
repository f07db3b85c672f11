/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What is drawn for a batch and for each of its connections. */

#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static uint32_t any(struct sim_rng *r, const uint32_t *of, size_t n)
{
	return of[sim_rand(r) % n];
}

#define ANY(r, ...)                                                                                \
	any(r, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / 4)

void sim_draw_batch(struct sim *s)
{
	struct sim_rng *r = &s->rng;

	s->rng.s = s->seed * 0x2545f4914f6cdd1dull + 1;
	s->profile = sim_chance(r, 6000) ? PROFILE_NORMAL
					 : (enum sim_profile)sim_range(r, 1, PROFILE_COUNT - 1);
	s->n_flows = sim_range(r, 64, SIM_FLOWS_MAX);
	/* The millisecond clock wraps in a quarter of the batches. */
	s->start = sim_chance(r, 2500) ? 4294967296000ull - sim_range(r, 1, 20000000)
				       : sim_range(r, 1, 2000000000u);
	s->output_drop = sim_chance(r, 2000) ? sim_range(r, 1, 300) : 0;
	s->opt = (struct tcp_options){
		.max_conns = 512,
		.max_half_open = 2048,
		.max_time_wait = 512,
		.blocks = 16384,
		.tx_blocks = 16384,
		.window_idle = ANY(r, 0, 0, 0, 4096, 16384, 32768, 65535, 262144),
		.time_wait_ms = ANY(r, 0, 0, 1000, 20000),
		.no_sack = sim_chance(r, 500),
		.no_timestamps = sim_chance(r, 500),
	};
	switch (s->profile) {
	case PROFILE_FEW_BLOCKS:
		s->opt.blocks = ANY(r, 2, 8, 32, 128);
		s->opt.tx_blocks = ANY(r, 4, 16, 64);
		break;
	case PROFILE_FEW_TCBS:
		s->opt.max_conns = ANY(r, 4, 16, 48);
		s->opt.max_time_wait = ANY(r, 0, 1, 4, 16);
		break;
	case PROFILE_COOKIES:
		s->opt.max_half_open = ANY(r, 0, 1, 4, 8, 32);
		break;
	case PROFILE_PRESSURE:
		s->opt.max_time_wait = ANY(r, 1, 16, 512);
		break;
	default:
		break;
	}
}

static void draw_link(struct sim *s, struct sim_params *p)
{
	struct sim_rng *r = &s->rng;

	p->delay_us = sim_range(r, 50, ANY(r, 500, 5000, 60000));
	if (p->clean)
		return;
	p->jitter_us = sim_range(r, 0, ANY(r, 0, 2000, 30000));
	p->loss = ANY(r, 0, 0, 50, 300, 1000, 2000);
	p->reorder = ANY(r, 0, 0, 100, 1000, 3000);
	p->dup = ANY(r, 0, 0, 100, 1000);
	p->corrupt = ANY(r, 0, 0, 100, 500);
	p->icmp = ANY(r, 0, 0, 0, 200, 1000);
	if (sim_chance(r, 600))
		p->taint = ANY(r, 50, 500, 3000);
}

static void draw_client(struct sim *s, struct sim_params *p)
{
	struct sim_rng *r = &s->rng;

	p->iss = sim_chance(r, 2500) ? 0u - sim_range(r, 0, 30000) : (uint32_t)sim_rand(r);
	p->ts_start = sim_chance(r, 2500) ? 0u - sim_range(r, 0, 30000) : (uint32_t)sim_rand(r);
	p->v6 = sim_chance(r, 3000);
	p->mss = (uint16_t)ANY(r, 0, 1460, 1460, 1460, 1440, 1400, 536, 1220, 8960, 65535, 100, 64,
			       1);
	p->path_mss = (uint16_t)ANY(r, 1460, 1460, 1440, 1220, 536, 1360);
	p->wscale = sim_chance(r, 7000) ? (uint8_t)ANY(r, 0, 2, 7, 7, 14) : SIM_NO_WSCALE;
	p->ts = sim_chance(r, 6000);
	p->sack = sim_chance(r, 7000);
	p->use_sack = sim_chance(r, 7000);
	p->send_total = sim_range(r, 0, ANY(r, 0, 100, 3000, 20000, 60000));
	if (sim_chance(r, 200))
		p->send_total = sim_range(r, 200000, 600000);
	p->cwnd_segs = ANY(r, 1, 4, 10, 20, 40);
	p->rcvbuf = sim_range(r, 30000, 300000);
	p->rto_us = sim_range(r, 250, 1000) * 1000;
	p->start_us = sim_range(r, 0, ANY(r, 10000, 1000000));
	p->ack_delay_us = ANY(r, 0, 0, 20000, 40000);
	p->fast_retransmit = sim_chance(r, 8000);
	p->fin_with_data = sim_chance(r, 5000);
	p->strict_rst = sim_chance(r, 5000);
	p->probes_with_data = sim_chance(r, 5000);
	p->again = sim_chance(r, 1500);
	p->tiny_segments = p->send_total < 4000 && sim_chance(r, 3000);
	if (p->clean)
		return;
	if (sim_chance(r, 4000)) /* tiny buffers, slow readers */
		p->rcvbuf = ANY(r, 1, 7, 100, 535, 2000, 10000);
	if (sim_chance(r, 3000)) {
		p->read_chunk = ANY(r, 1, 50, 700, 5000);
		p->read_gap_us = ANY(r, 1000, 20000, 300000);
	}
	if (sim_chance(r, 1500))
		p->stall_us = ANY(r, 100000, 3000000, 40000000);
	p->ack_delay_us = ANY(r, 0, 0, 40000, 200000);
	while (p->wscale != SIM_NO_WSCALE && p->wscale && 1u << p->wscale > p->rcvbuf / 4)
		p->wscale--;
	p->shrinks = sim_chance(r, 500);
	p->rude = sim_chance(r, 500);
	p->lazy_window = sim_chance(r, 500);
}

static void draw_ends(struct sim *s, struct sim_params *p)
{
	struct sim_rng *r = &s->rng;

	p->client_close = sim_chance(r, 5000) ? CLIENT_AFTER_DATA : CLIENT_AFTER_EOF;
	p->server_close = p->client_close == CLIENT_AFTER_EOF || sim_chance(r, 4000)
				  ? SERVER_AFTER_BYTES
				  : SERVER_AFTER_EOF;
	if (p->clean)
		return;
	if (sim_chance(r, 500))
		p->client_close = sim_chance(r, 8000) ? CLIENT_ABORTS : CLIENT_VANISHES;
	if (sim_chance(r, 1000))
		p->server_close = sim_chance(r, 6000) ? SERVER_EARLY : SERVER_ABORTS;
	p->abort_us = sim_range(r, 0, ANY(r, 100000, 2000000, 20000000));
	p->server_abort_us = sim_range(r, 0, ANY(r, 1000, 500000, 5000000));
	p->early_at = sim_range(r, 0, p->send_total);
}

void sim_draw_flow(struct sim *s, struct sim_flow *f)
{
	struct sim_rng *r = &s->rng;
	struct sim_params *p = &f->par;

	p->clean = s->profile == PROFILE_NORMAL && !s->output_drop && sim_chance(r, 2500);
	draw_link(s, p);
	draw_client(s, p);
	draw_ends(s, p);
	p->app = (enum sim_app_mode)sim_range(r, APP_ECHO, APP_SINK);
	p->reply_total = sim_range(r, 0, ANY(r, 0, 50, 500, 5000, 65536, 100000));
	if (sim_chance(r, 100))
		p->reply_total = sim_range(r, 200000, 600000);
	if (p->rcvbuf < 600 && p->loss > 300)
		p->loss = 300;
	if (p->rcvbuf < 100) { /* an octet or a few at a time: not for hours */
		p->reply_total %= 1500;
		if (p->app == APP_ECHO)
			p->send_total %= 1500;
	} else if (p->read_chunk && p->read_chunk < 100) {
		p->reply_total %= 3000;
		if (p->app == APP_ECHO)
			p->send_total %= 3000;
	} else if (p->mss && p->mss < 536) {
		p->reply_total %= 20000;
		if (p->app == APP_ECHO)
			p->send_total %= 20000;
	}
	p->early_at = sim_min(p->early_at, p->send_total);
	if (!p->clean && sim_chance(r, 4000)) {
		p->take_max = ANY(r, 1, 13, 100, 1000, 4000);
		p->hold_chance = ANY(r, 0, 300, 3000);
		p->hold_us = ANY(r, 3000, 10000, 100000, 2000000);
		/* What it does not take it takes later: all of that in a minute or so. */
		p->send_total =
			sim_min(p->send_total, (uint32_t)(30000000ull * p->take_max / p->hold_us));
		p->early_at = sim_min(p->early_at, p->send_total);
	}
	if (!p->clean && sim_chance(r, 2000))
		p->window_chance = ANY(r, 500, 3000);
	f->key = (uint32_t)sim_rand(r) >> 2;
	f->tuple = (struct tcp_tuple){.local_port = 25, .remote_port = (uint16_t)(1024 + f->index)};
	if (p->v6) {
		memcpy(f->tuple.local, (uint8_t[16]){0x20, 1, 0xd, 0xb8, [15] = 25}, 16);
		memcpy(f->tuple.remote, (uint8_t[16]){0x20, 1, 0xd, 0xb8, [14] = 1}, 16);
	} else {
		memcpy(f->tuple.local, (uint8_t[16]){[10] = 255, 255, 192, 0, 2, 25}, 16);
		memcpy(f->tuple.remote, (uint8_t[16]){[10] = 255, 255, 198, 51, 100, 7}, 16);
	}
}

void sim_print_params(const struct sim_flow *f)
{
	static const char *const profile[] = {"normal", "few-blocks", "few-tcbs", "cookies",
					      "pressure"};
	static const char *const app[] = {"echo", "source", "reply", "sink"};
	static const char *const cc[] = {"after-data", "after-eof", "aborts", "vanishes"};
	static const char *const sc[] = {"after-eof", "after-bytes", "early", "aborts"};
	const struct sim_params *p = &f->par;
	const struct sim *s = f->sim;

	fprintf(stderr,
		"batch %" PRIu64
		" profile %s flows %u conns %u half-open %u time-wait %u blocks %u/%u "
		"window %u tw-ms %u%s%s output-drop %u\n",
		s->seed, profile[s->profile], s->n_flows, s->opt.max_conns, s->opt.max_half_open,
		s->opt.max_time_wait, s->opt.blocks, s->opt.tx_blocks, s->opt.window_idle,
		s->opt.time_wait_ms, s->opt.no_sack ? " no-sack" : "",
		s->opt.no_timestamps ? " no-ts" : "", s->output_drop);
	fprintf(stderr,
		"link: loss %u dup %u reorder %u corrupt %u taint %u icmp %u (of 10,000) delay "
		"%u+%u us%s\n",
		p->loss, p->dup, p->reorder, p->corrupt, p->taint, p->icmp, p->delay_us,
		p->jitter_us, p->clean ? " clean" : "");
	fprintf(stderr,
		"client: iss %u mss %u wscale %u%s%s%s%s%s%s%s%s%s%s%s%s sends %u rcvbuf %u cwnd "
		"%u read "
		"%u/%u us stall %u us ack-delay %u us rto %u us start %u us, closes %s (%u us)\n",
		p->iss, p->mss, p->wscale, p->ts ? " ts" : "", p->sack ? " sack" : "",
		p->use_sack ? " use-sack" : "", p->v6 ? " v6" : "", p->shrinks ? " shrinks" : "",
		p->rude ? " rude" : "", p->lazy_window ? " lazy-window" : "",
		f->reborn ? " second" : "", p->tiny_segments ? " tiny" : "",
		p->probes_with_data ? " data-probes" : "", p->fin_with_data ? " fin-with-data" : "",
		p->strict_rst ? " strict-rst" : "", p->send_total, p->rcvbuf, p->cwnd_segs,
		p->read_chunk, p->read_gap_us, p->stall_us, p->ack_delay_us, p->rto_us, p->start_us,
		cc[p->client_close], p->abort_us);
	fprintf(stderr,
		"server: path-mss %u %s replies %u take %u hold %u/%u us window-chance %u, closes "
		"%s (%u, %u us)\n",
		p->path_mss, app[p->app], p->reply_total, p->take_max, p->hold_chance, p->hold_us,
		p->window_chance, sc[p->server_close], p->early_at, p->server_abort_us);
}
