/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * postern-dataplane: EAL, ports, arena, workers; then the main lcore serves the link to control.
 * Everything a worker needs is made here, before it starts; abort is only possible during start.
 */

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "dataplane/answer.h"
#include "dataplane/args.h"
#include "dataplane/cables.h"
#include "dataplane/inline/inline.h"
#include "dataplane/privileges.h"
#include "dataplane/sizes.h"
#include "dataplane/tap_dump.h"
#include "dataplane/tap_watch.h"
#include "dataplane/telemetry.h"
#include "dataplane/watchdog.h"
#include "dataplane/worker.h"
#include "postern/notify.h"

#define MBUF_CACHE 256
#define TX_MBUFS_EXTRA 2048
#define TX_OCTETS 2048
#define LAYER2_OCTETS 18 /* Ethernet header and one tag */

static struct {
	struct args args;
	unsigned int n_workers;
	struct worker *worker[HANDOFF_MAX_WORKERS];
	struct port_queue queue[HANDOFF_MAX_WORKERS][NET_MAX_PORTS];
	struct port_info port[NET_MAX_PORTS];
	struct cables cables;
	unsigned int n_ports;
	struct rte_mempool *rx_pool[HANDOFF_MAX_WORKERS], *tx_pool[HANDOFF_MAX_WORKERS];
	struct rte_ring *steer[HANDOFF_MAX_WORKERS];
	struct net_kernel kernel[NET_MAX_PORTS];
	struct dp_arena *arena;
	struct dp_link *link;
	struct dp_answer *answer;       /* --answer: in place of link */
	struct tls_pool *tls_pool;      /* NULL: no TLS */
	struct tls_tickets *tickets;
	struct generation *newest;      /* list by .older */
	uint64_t serial;
	uint8_t secret[32];
	_Atomic(struct generation *) published;
	_Atomic bool stop, drain;
	volatile sig_atomic_t signalled;
	struct watchdog watchdog;
} dp;

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
	struct timespec ts;
	struct tm tm;
	char when[40];
	va_list ap;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	fprintf(stderr, "%s dataplane: ", when);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *fmt, ...)
{
	va_list ap;

	fputs("postern-dataplane: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static void on_signal(int sig)
{
	dp.signalled = sig;
}

/* ---- generations ---------------------------------------------------------------------------- */

static void free_old_generations(void)
{
	uint64_t oldest = UINT64_MAX;
	struct generation **at = &dp.newest;

	for (unsigned int i = 0; i < dp.n_workers; i++) {
		uint64_t o = atomic_load_explicit(&dp.worker[i]->oldest, memory_order_acquire);

		if (o < oldest)
			oldest = o;
	}
	while (*at) {
		struct generation *g = *at;

		if (g == dp.newest || g->serial >= oldest) {
			at = &g->older;
			continue;
		}
		*at = g->older;
		generation_free(g);
	}
}

static int check_config(const struct handoff_config *c, char *text, size_t cap)
{
	struct dp_arena_info info;

	dp_arena_info(dp.arena, &info);
	if (c->max_message > info.max_message) {
		snprintf(text, cap,
			 "max-message is %llu octets; an arena of %u MiB a worker admits %llu: start "
			 "the dataplane with a larger --arena-mb or lower limits.max-message",
			 (unsigned long long)c->max_message, dp.args.arena_mb,
			 (unsigned long long)info.max_message);
		return EFBIG;
	}
	for (uint32_t i = 0; i < c->n_listeners; i++) {
		unsigned int p = 0;

		while (p < dp.n_ports && dp.port[p].id != c->listener[i].port)
			p++;
		if (p == dp.n_ports || dp.port[p].role != PORT_GATEWAY) {
			snprintf(text, cap, "a listener names port %u, which has no option --port %u=gateway",
				 c->listener[i].port, c->listener[i].port);
			return ENODEV;
		}
	}
	return 0;
}

static int on_push(void *arg, const struct dp_push *push, char *text, size_t cap)
{
	uint64_t *counters[HANDOFF_MAX_WORKERS];
	struct generation_options opt;
	struct generation *g;
	unsigned int kept = 0;
	int error = check_config(push->config, text, cap);

	(void)arg;
	if (error)
		return error;
	free_old_generations();
	for (g = dp.newest; g; g = g->older)
		kept++;
	if (kept >= HANDOFF_MAX_GENERATIONS) {
		snprintf(text, cap, "%u configurations are still in use by messages under way", kept);
		return EBUSY;
	}
	for (unsigned int i = 0; i < dp.n_workers; i++)
		counters[i] = dp.worker[i]->counters;
	opt = (struct generation_options){
		.serial = dp.serial + 1,
		.n_workers = dp.n_workers,
		.streams = dp.args.streams,
		.counters = counters,
		.tls = dp.tls_pool != NULL,
		.tickets = dp.tickets,
	};
	error = generation_new(push, &opt, &g, text, cap);
	if (error)
		return error;
	if (text[0])
		note("TLS: %s", text);
	dp.serial++;
	g->older = dp.newest;
	dp.newest = g;
	atomic_store_explicit(&dp.published, g, memory_order_release);
	note("configuration %llu in force: %u listeners, %zu KiB of rules",
	     (unsigned long long)push->generation, push->config->n_listeners, push->rules_len >> 10);
	cables_check(&dp.cables, push->config);
	return 0;
}

static void on_drain(void *arg, bool drain)
{
	(void)arg;
	atomic_store(&dp.drain, drain);
	note(drain ? "draining: new connections get 421" : "not draining any more");
}

static size_t on_ports(void *arg, char *buf, size_t cap)
{
	size_t len = 0;

	(void)arg;
	if (cap < 3)
		return 0;
	buf[len++] = '[';
	for (unsigned int i = 0; i < dp.n_ports; i++) {
		size_t at = len + (i > 0);
		int n = at + 2 < cap ? port_describe(&dp.port[i], buf + at, cap - at - 1) : -ENOSPC;

		if (n < 0)
			break; /* the rest does not fit */
		if (i)
			buf[len] = ',';
		len = at + (size_t)n;
	}
	buf[len++] = ']';
	return len;
}

static void on_note(void *arg, const char *text)
{
	(void)arg;
	note("%s", text);
}

/* ---- start ----------------------------------------------------------------------------------- */

static struct tcp_options tcp_sizes(void)
{
	return sizes_tcp(&dp.args);
}

static uint32_t arena_records(void)
{
	struct dp_arena_info a;

	dp_arena_info(dp.arena, &a);
	return a.n_records;
}

static struct smtp_sizes smtp_sizes(void)
{
	return sizes_smtp(&dp.args, arena_records());
}

static void print_memory(void)
{
	const struct sizes_made made = {
		.args = &dp.args,
		.n_workers = dp.n_workers,
		.session_octets = session_table_bytes(&dp.worker[0]->opt),
		.rx_pool = dp.rx_pool[0],
		.tx_pool = dp.tx_pool[0],
		.arena = dp.arena,
	};

	sizes_print(stderr, &made);
}

static struct port_options port_options(const struct port_arg *arg)
{
	return (struct port_options){.mtu = dp.args.mtu,
				     .rx_desc = dp.args.rx_desc,
				     .no_offloads = dp.args.no_offloads,
				     .bridged = arg->role == PORT_INLINE || arg->role == PORT_EXCEPTION};
}

/* Every worker that frees a packet may keep one and a half caches of its pool: that comes on top, so
 * that n are there to be had. */
static struct rte_mempool *new_pool(const char *name, uint32_t n, uint32_t octets, int socket)
{
	uint32_t cache = n / (4 * dp.n_workers);

	if (cache > MBUF_CACHE)
		cache = MBUF_CACHE;
	return rte_pktmbuf_pool_create(name, n + dp.n_workers * (cache + cache / 2), cache, 0,
				       (uint16_t)(RTE_PKTMBUF_HEADROOM + octets), socket);
}

static void make_pools(void)
{
	uint32_t rx = dp.args.rx_mbufs + tap_watch_mbufs(&dp.args), tx = TX_MBUFS_EXTRA,
		 tx_octets = TX_OCTETS;
	char name[32];

	/* What is sent always lies in one buffer, so these bound the MSS that we announce. */
	if ((uint32_t)dp.args.mtu + LAYER2_OCTETS > tx_octets)
		tx_octets = dp.args.mtu + LAYER2_OCTETS;
	for (unsigned int i = 0; i < dp.args.n_ports; i++) {
		struct port_options opt = port_options(&dp.args.port[i]);
		uint32_t sent;

		if (!rte_eth_dev_is_valid_port(dp.args.port[i].port_id))
			die("--port %u: there is no such device; %u were found (see --vdev, --allow)",
			    dp.args.port[i].port_id, rte_eth_dev_count_avail());
		rx += port_rx_mbufs(dp.args.port[i].port_id, dp.n_workers, &opt) / dp.n_workers;
		sent = dp.args.port[i].role == PORT_TAP ? 0
			: port_tx_mbufs(dp.args.port[i].port_id, dp.n_workers, &opt) / dp.n_workers;
		tx += sent;
		/* What is bridged leaves in the buffer that it came in. */
		if (opt.bridged)
			rx += sent;
	}
	for (unsigned int i = 0; i < dp.n_workers; i++) {
		int socket = (int)rte_lcore_to_socket_id(rte_get_main_lcore());

		snprintf(name, sizeof(name), "rx-%u", i);
		dp.rx_pool[i] = new_pool(name, rx, dp.args.mbuf_size, socket);
		snprintf(name, sizeof(name), "tx-%u", i);
		dp.tx_pool[i] = new_pool(name, tx, tx_octets, socket);
		if (!dp.rx_pool[i] || !dp.tx_pool[i])
			die("no memory for %u + %u packet buffers of worker %u: give EAL more (-m, huge "
			    "pages) or lower --rx-mbufs",
			    rx, tx, i);
		if (dp.n_workers > 1) {
			dp.steer[i] = net_steer_ring_new((uint16_t)i, socket);
			if (!dp.steer[i])
				die("no memory for the steering ring of worker %u", i);
		}
	}
}

static void start_ports(void)
{
	char err[256];

	for (unsigned int i = 0; i < dp.args.n_ports; i++) {
		struct port_options opt = port_options(&dp.args.port[i]);
		struct port_info *p = &dp.port[i];

		opt.receive_only = dp.args.port[i].role == PORT_TAP;
		if (port_init(dp.args.port[i].port_id, (uint16_t)dp.n_workers, dp.rx_pool, &opt, p, err,
			      sizeof(err)))
			die("%s", err);
		p->role = dp.args.port[i].role;
		p->peer = dp.args.port[i].peer;
		for (unsigned int k = 0; k < i; k++)
			if (p->role == PORT_INLINE && dp.port[k].id == p->peer)
				port_pair_rss(p, &dp.port[k]);
		dp.n_ports++;
		note("port %u: %s%s (%s), MTU %u, %u receive queue(s), flows %s", p->id,
		     p->receive_only ? "tap, " : "", p->name, p->driver, p->mtu, p->n_queues,
		     p->rss ? "by RSS" : "by hash");
	}
}

static void start_arena(void)
{
	struct dp_arena_opts opt = {
		.n_workers = dp.n_workers,
		.slice_mb = dp.args.arena_mb,
		.hugetlb = rte_eal_has_hugepages() ? DP_HUGETLB_TRY : DP_HUGETLB_NEVER,
		.prefault = true,
	};
	char err[256];

	if (dp_arena_new(&opt, &dp.arena, err, sizeof(err)))
		die("message arena: %s", err);
}

static void start_link(void)
{
	struct dp_link_opts opt = {
		.path = dp.args.socket,
		.group = dp.args.socket_gid,
		.allow_uid = dp.args.control_uid,
		.allow_gid = -1,
		.ops = {.on_push = on_push, .on_drain = on_drain, .on_ports = on_ports, .on_note = on_note},
	};
	int rc = dp_link_new(&opt, dp.arena, &dp.link);

	if (rc)
		die("socket %s: %s", dp.args.socket, strerror(-rc));
}

/* In place of control's first push. */
static void push_answer(void)
{
	struct dp_arena_info info;
	char err[256] = "";

	dp_arena_info(dp.arena, &info);
	if (answer_push(&dp.args, info.max_message, on_push, err, sizeof(err)))
		die("--answer: %s", err);
	note(ANSWER_WARNING);
}

static int tcp_output(void *ctx, const struct tcp_tuple *tuple, const struct tcp_path *path,
		      const uint8_t *header, size_t header_len, const struct tcp_view *payload,
		      unsigned int n_views)
{
	return net_tcp_output(((struct worker *)ctx)->net, tuple, path, header, header_len, payload,
			      n_views);
}

static bool tcp_listening(void *ctx, const struct tcp_tuple *tuple)
{
	const struct worker *w = ctx;

	return w->current && net_listening(w->net, tuple);
}

static uint16_t tcp_mss(void *ctx, const struct tcp_tuple *tuple, const struct tcp_path *path)
{
	return net_tcp_mss(((struct worker *)ctx)->net, tuple, path);
}

static void make_stacks(struct worker *w, unsigned int i, uint64_t now_us)
{
	struct port_info active[NET_MAX_PORTS];
	struct net_options net = {
		.worker = (uint16_t)i,
		.n_workers = (uint16_t)dp.n_workers,
		.socket = -1,
		.counters = w->counters,
		.port = active,
		.steer = dp.n_workers > 1 ? dp.steer : NULL,
		.tx_pool = dp.tx_pool[i],
		.rx_pool = dp.rx_pool[i],
		/* Of what the started ports left: some drivers keep far more than descriptors. */
		.rx_reserve = RTE_MIN(dp.args.rx_mbufs, rte_mempool_avail_count(dp.rx_pool[i])) / 4,
		.now_us = now_us,
		.inline_flows = dp.args.inline_flows,
		.kernel = dp.kernel,
	};
	struct tcp_options tcp = tcp_sizes();
	struct smtp_sizes smtp = smtp_sizes();
	struct tcp_env env = {
		.ctx = w,
		.output = tcp_output,
		.listening = tcp_listening,
		.mss = tcp_mss,
		.app = &session_tcp_app,
		.counters = w->counters,
	};

	for (unsigned int p = 0; p < dp.n_ports; p++)
		if (!dp.port[p].receive_only)
			active[net.n_ports++] = dp.port[p];
	net.foreign = tap_watch_steered;
	net.foreign_ctx = w;
	net.watch = tap_watch_segment;
	net.watch_ctx = w;
	memcpy(net.hash_key, dp.secret + 16, sizeof(net.hash_key));
	memcpy(env.secret, dp.secret, sizeof(env.secret));
	w->opt.tcp_blocks = tcp.blocks;
	w->opt.tcp_tx_blocks = tcp.tx_blocks;
	w->net = net_new(&net);
	if (!w->net)
		die("network layer of worker %u: %s", i, strerror(errno));
	w->tcp = tcp_stack_new(&tcp, &env, now_us);
	w->smtp = smtp_server_new(&smtp, &session_smtp_ops, w->counters);
	if (!w->tcp || !w->smtp)
		die("no memory for the TCP and SMTP pools of worker %u: lower --max-sessions", i);
	net_set_tcp(w->net, w->tcp);
}

static uint64_t seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec;
}

/* The threads take over the CPUs of the thread that makes them. */
static void start_tls(void)
{
	cpu_set_t own;

	if (!dp.args.max_tls)
		return;
	CPU_ZERO(&own);
	if (dp.args.has_tls_cpus && (sched_getaffinity(0, sizeof(own), &own) ||
				     sched_setaffinity(0, sizeof(cpu_set_t), &dp.args.tls_cpus)))
		die("--tls-cpus: %s", strerror(errno));
	dp.tls_pool = tls_pool_new(dp.args.tls_threads, dp.n_workers);
	if (!dp.tls_pool)
		die("threads for TLS: %s", strerror(errno));
	if (dp.args.has_tls_cpus && sched_setaffinity(0, sizeof(own), &own))
		die("back from --tls-cpus: %s", strerror(errno));
	dp.tickets = tls_tickets_new(seconds());
	if (!dp.tickets)
		die("keys of TLS tickets: no memory or no random numbers");
}

static void make_worker(unsigned int i)
{
	struct worker *w = rte_zmalloc(NULL, sizeof(*w), RTE_CACHE_LINE_SIZE);
	uint64_t hz = rte_get_tsc_hz();

	if (!w)
		die("no memory for worker %u", i);
	dp.worker[i] = w;
	w->opt = (struct worker_options){
		.index = i,
		.max_sessions = dp.args.max_sessions,
		.n_records = arena_records(),
		.max_tls = dp.args.max_tls,
		.idle_sleep_us = dp.args.idle_sleep_us,
		.tsc_hz = hz,
	};
	w->arena = dp_arena_worker(dp.arena, i);
	w->slice = dp_arena_slice(dp.arena, i);
	w->counters = dp_worker_counters(w->arena);
	w->published = &dp.published;
	w->stop = &dp.stop;
	w->drain = &dp.drain;
	for (unsigned int p = 0; p < dp.n_ports; p++)
		if (i < dp.port[p].n_queues && !dp.port[p].receive_only)
			dp.queue[i][w->n_queues++] = (struct port_queue){dp.port[p].id, (uint16_t)i};
	w->queue = dp.queue[i];
	/* Not from rng, which trace ids give away. */
	if (getrandom(w->rng, sizeof(w->rng), 0) != sizeof(w->rng) ||
	    getrandom(w->source_key, sizeof(w->source_key), 0) != sizeof(w->source_key))
		die("no random numbers: %s", strerror(errno));
	make_stacks(w, i, rte_rdtsc() / (hz / 1000000));
	if (dp.tls_pool) {
		w->tls = tls_worker_new(dp.tls_pool, i, dp.args.max_tls, &session_tls_ops, w->counters);
		if (!w->tls)
			die("TLS of worker %u: %s (lower --max-tls)", i, strerror(errno));
	}
	if (session_table_new(w))
		die("no memory for the sessions of worker %u", i);
	if (tap_watch_worker(w, &dp.args, dp.port, dp.n_ports, dp.n_workers, dp.secret + 16))
		die("no memory to watch tap ports in worker %u: lower --max-sessions", i);
	w->answer = dp.answer;
	/* The slot behind theirs is that of all that is watched. */
	if (dp.answer ? dp_answer_rings(dp.answer, w->arena, dp.args.max_sessions + 1, &w->rings)
		      : dp_rings_new(dp.link, w->arena, dp.args.max_sessions + 1, &w->rings))
		die("no memory for the rings of worker %u", i);
}

static void start_telemetry(void)
{
	static uint64_t *counters[HANDOFF_MAX_WORKERS];
	int rc;

	for (unsigned int i = 0; i < dp.n_workers; i++)
		counters[i] = dp.worker[i]->counters;
	rc = telemetry_start(&(struct telemetry){counters, dp.n_workers, dp.port, dp.n_ports});
	if (rc)
		note("telemetry: %s", strerror(-rc));
}

static void launch(void)
{
	unsigned int lcore, i = 0;

	RTE_LCORE_FOREACH_WORKER(lcore)
		if (rte_eal_remote_launch(worker_run, dp.worker[i++], lcore))
			die("lcore %u does not start", lcore);
}

static void feed_watchdog(void)
{
	uint64_t *counters[HANDOFF_MAX_WORKERS];

	for (unsigned int i = 0; i < dp.n_workers; i++)
		counters[i] = dp.worker[i]->counters;
	watchdog_feed(&dp.watchdog, counters, dp.n_workers, seconds());
}

static void stop(void)
{
	atomic_store(&dp.stop, true);
	rte_eal_mp_wait_lcore();
	for (unsigned int i = 0; i < dp.n_workers; i++) {
		struct worker *w = dp.worker[i];

		dp_rings_free(w->rings);
		/* No closed() is called from here: the sessions end with their memory. */
		tap_worker_free(w->tap);
		tcp_stack_free(w->tcp);
		tls_worker_free(w->tls);
		smtp_server_free(w->smtp);
		net_free(w->net);
		session_table_free(w);
		rte_free(w);
	}
	tls_pool_free(dp.tls_pool);
	dp_link_free(dp.link);
	dp_answer_free(dp.answer);
	for (unsigned int p = 0; p < dp.n_ports; p++)
		port_close(&dp.port[p]);
	while (dp.newest) {
		struct generation *g = dp.newest;

		dp.newest = g->older;
		generation_free(g);
	}
	tls_tickets_free(dp.tickets);
	dp_arena_free(dp.arena);
	rte_eal_cleanup();
}

int main(int argc, char **argv)
{
	struct sigaction act = {.sa_handler = on_signal};
	/* Before EAL, which may load a driver that uses OpenSSL. */
	int slab = tls_memory_init(), used = rte_eal_init(argc, argv), told;
	char err[256];

	if (used < 0)
		die("EAL does not start: %s", rte_strerror(rte_errno));
	argv[used] = argv[0];
	args_parse(argc - used, argv + used, &dp.args);
	if (dp.args.tap_dump)
		return tap_dump(&dp.args);
	dp.n_workers = rte_lcore_count() - 1;
	if (!dp.n_workers || dp.n_workers > HANDOFF_MAX_WORKERS)
		die("%u lcores: one is for the link to control, and 1 to %u for workers (-l, --lcores)",
		    rte_lcore_count(), HANDOFF_MAX_WORKERS);
	if (getrandom(dp.secret, sizeof(dp.secret), 0) != sizeof(dp.secret))
		die("no random numbers: %s", strerror(errno));
	if (slab)
		note("OpenSSL works with malloc(): %s", strerror(-slab));
	make_pools();
	start_ports();
	start_arena();
	if (!dp.args.answer)
		start_link();
	else if (dp_answer_new(dp.n_workers, &dp.answer))
		die("no memory for rings");
	/* Threads made from here on, those for handshakes, inherit none. */
	if (dp.args.keep_privileges)
		note("keeping all privileges, as asked");
	else if (privileges_drop(err, sizeof(err)))
		die("dropping capabilities: %s", err);
	start_tls();
	for (unsigned int i = 0; i < dp.n_workers; i++)
		make_worker(i);
	print_memory();
	if (dp.answer)
		push_answer();
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
	cables_init(&dp.cables, dp.port, dp.n_ports, dp.worker[0]->counters, note);
	start_telemetry();
	launch();
	note("ready, %u worker(s), socket %s", dp.n_workers, dp.answer ? "none" : dp.args.socket);
	told = notify_send("READY=1");
	if (told)
		note("telling the service manager: %s", strerror(-told));
	watchdog_start(&dp.watchdog, seconds());
	while (!dp.signalled) {
		int rc = dp.answer ? answer_poll(dp.args.stats_seconds, dp.worker, dp.n_workers)
				   : dp_link_poll(dp.link, 100);

		if (rc && rc != -EINTR)
			note("link: %s", strerror(-rc));
		free_old_generations();
		tap_watch_losses(dp.port, dp.n_ports);
		cables_mirror(&dp.cables);
		if (dp.tickets)
			tls_tickets_rotate(dp.tickets, seconds());
		feed_watchdog();
	}
	note("signal %d: stopping", (int)dp.signalled);
	(void)notify_send("STOPPING=1");
	telemetry_stop();
	if (dp.answer)
		answer_stats(stdout, dp.worker, dp.n_workers);
	stop();
	return 0;
}
