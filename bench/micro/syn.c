/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A flood of SYNs: what one costs that gets a mini-TCB, and one that gets a cookie. */

#include "bench/micro/lab.h"
#include "bench/micro/micro.h"

#define SYNS 262144 /* of one repetition: it ends before the first SYN-ACK would go out again */
#define SOURCES 1000000
#define AIM 150

static void *refused(void *ctx, struct tcp_conn *conn, const struct tcp_tuple *tuple)
{
	(void)ctx;
	(void)conn;
	(void)tuple;
	return NULL;
}

static const struct tcp_app nobody = {.accept = refused};

/* Sources in an order without rhyme: a multiplier prime to their number walks through all. */
static uint32_t source(uint32_t i)
{
	return (uint32_t)((uint64_t)i * 618033989u % SOURCES);
}

static void flood(struct lab_cost *c, uint32_t from)
{
	for (uint32_t done = 0; done < SYNS; done += LAB_BATCH) {
		for (uint32_t i = 0; i < LAB_BATCH; i++)
			lab_make_syn(source(from + done + i));
		lab_run(c);
	}
}

static void mini(enum lab_checksum checksum, const char *name)
{
	struct tcp_options opt = {.max_conns = 16, .max_half_open = SOURCES, .max_time_wait = 16,
				  .blocks = 16, .tx_blocks = 16};
	struct micro_row *row = micro_row("SYN flood", "SYN", "%s", name);

	row->aim = AIM;
	for (unsigned int rep = 0; rep <= micro.reps; rep++) {
		struct lab_cost c = {0};

		lab_up(&opt, &nobody);
		lab.checksum = checksum;
		flood(&c, rep * SYNS);
		micro_must(lab.counters[CNT_tcp_syn] == SYNS &&
				   lab.counters[CNT_tcp_cookie_sent] == 0 && c.sent == SYNS,
			   "a SYN got no mini-TCB");
		if (rep)
			lab_row(row, rep - 1, &c, SYNS);
		lab_down();
	}
}

static void cookie(enum lab_checksum checksum, const char *name)
{
	struct tcp_options opt = {.max_conns = 16, .max_half_open = LAB_BATCH, .max_time_wait = 16,
				  .blocks = 16, .tx_blocks = 16};
	struct micro_row *row = micro_row("SYN flood", "SYN", "%s", name);

	row->aim = AIM;
	lab_up(&opt, &nobody);
	lab.checksum = checksum;
	for (unsigned int rep = 0; rep <= micro.reps; rep++) {
		uint64_t before = lab.counters[CNT_tcp_cookie_sent];
		struct lab_cost c = {0};

		flood(&c, rep * SYNS);
		if (!rep)
			continue;
		lab_row(row, rep - 1, &c, SYNS);
		/* A source that holds a mini-TCB gets its SYN-ACK again. */
		micro_must(lab.counters[CNT_tcp_cookie_sent] - before >= SYNS - LAB_BATCH,
			   "a SYN got no cookie");
	}
	lab_down();
}

void bench_syn(void)
{
	mini(LAB_SUM_NIC, "SYN-ACK and mini-TCB");
	cookie(LAB_SUM_NIC, "SYN-ACK and cookie");
	cookie(LAB_SUM_SOFTWARE, "SYN-ACK and cookie, received sums in software");
}
