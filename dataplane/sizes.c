/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/sizes.h"

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "dataplane/handoff/handoff_dp.h"
#include "dataplane/inline/inline.h"
#include "dataplane/tap_watch.h"

/* Replies are under way for a round trip: of a few sessions each has one, of a million few have. */
static uint32_t reply_blocks(const struct args *args)
{
	uint32_t n = args->max_sessions;

	if (args->reply_blocks)
		return args->reply_blocks;
	return 4 * ((n < 16384 ? n : 16384) + n / 32 + 4096);
}

struct tcp_options sizes_tcp(const struct args *args)
{
	return (struct tcp_options){
		.max_conns = args->max_sessions + args->max_sessions / 8,
		.max_half_open = args->half_open,
		.max_time_wait = args->time_wait,
		.blocks = args->blocks,
		.tx_blocks = reply_blocks(args),
		.window_idle = 16 * 1024,
		.time_wait_ms = 60000,
	};
}

struct smtp_sizes sizes_smtp(const struct args *args, uint32_t records)
{
	return (struct smtp_sizes){
		.sessions = args->max_sessions,
		.lines = args->line_buffers,
		/* Each has a record, unless its content is refused already and only swallowed. */
		.contents = 2 * records,
	};
}

static void row(FILE *out, const struct sizes_made *m, const char *pool, uint64_t count, size_t octets,
		const char *text)
{
	fprintf(out, "  %-32s %10llu %10.1f MiB  %s\n", pool, (unsigned long long)count * m->n_workers,
		(double)octets * m->n_workers / (1024.0 * 1024.0), text);
}

/* What a session costs while it is idle, and what all sessions share. */
static void sessions(FILE *out, const struct sizes_made *m, uint32_t records)
{
	struct tcp_options t = sizes_tcp(m->args);
	struct smtp_sizes z = sizes_smtp(m->args, records);
	size_t tcp = tcp_stack_bytes(&t), smtp = smtp_server_bytes(&z), table = m->session_octets;
	size_t replies = (size_t)t.tx_blocks * TCP_TX_BLOCK, blocks = (size_t)t.blocks * 2048 + replies;
	char text[64];

	snprintf(text, sizeof(text), "%zu octets a session", (tcp - blocks + smtp + table) / z.sessions);
	row(out, m, "TCP: connections and table", t.max_conns, tcp - blocks, "");
	row(out, m, "TCP: blocks of 2 KiB received", t.blocks, blocks - replies, "");
	row(out, m, "TCP: blocks of 512 octets to send", t.tx_blocks, replies, "");
	row(out, m, "SMTP: sessions", z.sessions, smtp + table, text);
	if (m->args->max_tls)
		row(out, m, "TLS: sessions", m->args->max_tls, 0, "(about 14 KiB each, when there are any)");
}

void sizes_print(FILE *out, const struct sizes_made *m)
{
	struct dp_arena_info a;
	size_t room = rte_pktmbuf_data_room_size((struct rte_mempool *)(uintptr_t)m->rx_pool);
	uint32_t rx = m->rx_pool->size, tx = m->tx_pool->size, flows = m->args->inline_flows;

	dp_arena_info(m->arena, &a);
	fprintf(out, "memory, %u worker(s):\n  %-32s %10s %14s\n", m->n_workers, "pool", "count", "size");
	row(out, m, "arena: chunks of 64 KiB", a.n_chunks, a.arena_size / m->n_workers,
	    a.hugetlb ? "(huge pages)" : "(4 KiB pages)");
	row(out, m, "arena: records of 48 KiB", a.n_records, (size_t)a.n_records * HANDOFF_RECORD,
	    "(part of it)");
	sessions(out, m, a.n_records);
	tap_watch_print(m->n_workers);
	for (unsigned int i = 0; i < m->args->n_ports; i++)
		if (m->args->port[i].role == PORT_INLINE) {
			row(out, m, "inline: flows that pass", flows, inline_bytes(flows), "");
			break;
		}
	row(out, m, "mbufs: receive", rx, rx * room, "");
	row(out, m, "mbufs: transmit", tx, tx * room, "");
	fprintf(out, "  largest message: %llu octets (an eighth of a worker's arena)\n",
		(unsigned long long)a.max_message);
}
