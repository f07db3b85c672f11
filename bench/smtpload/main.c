/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_pause.h>

#include "bench/smtpload/load.h"

struct load load;

static void on_signal(int sig)
{
	load.signalled = sig;
}

static void lay_out(void)
{
	struct load_options *o = &load.opt;
	uint32_t half = 1u << (31 - o->prefix_len);

	load.n_sess = o->idle + o->active + o->churn;
	load.sources = o->sources ? o->sources : load.n_sess;
	if (load.sources > load.n_sess)
		load.sources = load.n_sess;
	if (load.sources > half - 2)
		load.sources = half - 2;
	if (!load.sources)
		load.sources = 1;
	load.blocks = (load.n_sess + load.sources - 1) / load.sources;
	if (!load.blocks)
		load.blocks = 1;
	if (load.blocks > LOAD_PORTS / 8) {
		fprintf(stderr, "smtpload: %u sessions need more than %u sources\n", load.n_sess,
			load.sources);
		exit(2);
	}
	load.incarnations = LOAD_PORTS / load.blocks;
	load.first_source = o->prefix + 1;
	load.first_flood = o->prefix + half;
	if (o->flood_sources > half - 1)
		o->flood_sources = half - 1;
	load.sess = calloc(load.n_sess ? load.n_sess : 1, sizeof(*load.sess));
	if (!load.sess) {
		fprintf(stderr, "smtpload: no memory for %u sessions\n", load.n_sess);
		exit(1);
	}
}

static void loop(void)
{
	const struct timespec nap = {.tv_nsec = (long)load.opt.nap_us * 1000};
	uint64_t last = rte_rdtsc();
	bool more;

	do {
		unsigned int work;
		uint64_t now;

		link_clock();
		work = link_poll();
		timer_run();
		more = run_turn(&work);
		work += flood_turn();
		link_flush();
		now = rte_rdtsc();
		if (work)
			load.f.busy_cycles += now - last;
		else if (load.opt.nap_us)
			nanosleep(&nap, NULL);
		else
			rte_pause();
		if (!work)
			now = rte_rdtsc();
		load.f.total_cycles += now - last;
		last = now;
	} while (more && !load.signalled);
}

int main(int argc, char **argv)
{
	struct sigaction act = {.sa_handler = on_signal};
	int bad;

	args_parse(argc, argv, &load.opt);
	lay_out();
	if (smtp_start() || tls_start() || think_start())
		return 1;
	link_start();
	if (books_open())
		return 1;
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* naps as short as asked for */
	setvbuf(stdout, NULL, _IOLBF, 0);
	timer_start();
	/* Other ports than the process before us, as far as there are. */
	for (uint32_t i = 0; i < load.n_sess; i++)
		load.sess[i].incarnation = load.now_ms / 16;
	loop();
	smtp_cut();
	bad = books_close();
	link_stop();
	tls_stop();
	think_stop();
	smtp_stop();
	pace_stop();
	free(load.sess);
	return load.signalled || bad ? 1 : 0;
}
