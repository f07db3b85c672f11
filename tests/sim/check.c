/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What must hold of every segment of the stack, and of how a connection ended. */

#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IW_SEGMENTS 10 /* RFC 6928 2 */
#define SLACK_US    30000u

static void print_history(const struct sim_flow *f)
{
	uint32_t from = f->notes > SIM_HISTORY ? f->notes - SIM_HISTORY : 0;

	fprintf(stderr, "offsets: the client's from its ISS, the server's from its own\n");
	for (uint32_t i = from; i < f->notes; i++) {
		const struct sim_note *n = &f->note[i % SIM_HISTORY];
		bool client =
			n->what == '>' || (n->what == '!' && n->seq - f->par.iss < (1u << 24));
		uint32_t seq = client ? n->seq - f->par.iss : n->seq - f->chk.iss;
		uint32_t ack = client ? n->ack - f->chk.iss : n->ack - f->par.iss;

		fprintf(stderr, "%12.3f ms %c %c%c%c%c%c%c seq %u ack %u len %u wnd %u\n",
			(double)(n->at - f->sim->start) / 1000.0, n->what,
			n->flags & SIM_SYN ? 'S' : '-', n->flags & SIM_FIN ? 'F' : '-',
			n->flags & SIM_RST ? 'R' : '-', n->flags & SIM_PSH ? 'P' : '-',
			n->flags & SIM_ACK ? 'A' : '-', n->flags & SIM_URG ? 'U' : '-', seq, ack,
			n->len, n->wnd);
	}
	fprintf(stderr,
		"> arrives at the stack, < the stack sends, c arrives at the client, ! lost\n");
}

void sim_fail(const struct sim_flow *f, const char *fmt, ...)
{
	const struct sim_client *c = &f->c;
	const struct sim_app *a = &f->app;
	const struct sim_check *k = &f->chk;
	va_list ap;

	fprintf(stderr, "FAIL seed %" PRIu64 " connection %u at %.3f ms: ", f->sim->seed, f->index,
		(double)(f->sim->now - f->sim->start) / 1000.0);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	sim_print_params(f);
	fprintf(stderr,
		"client: state %d outcome %d una %u nxt %u max %u edge %u retries %u fin %d/%d "
		"rcv.nxt %u "
		"edge %u buffered %u fin %d\n",
		c->state, c->outcome, c->una, c->nxt, c->max, c->edge, c->retries, c->fin_sent,
		c->fin_acked, c->rcv_nxt, c->rcv_edge, c->buffered, c->fin_rcvd);
	fprintf(stderr,
		"server: accepts %u closes %u (reason %d) eofs %u taken %u sent %u%s%s%s%s tainted "
		"%d\n",
		a->accepts, a->closes, (int)a->reason, a->eofs, a->taken, a->sent,
		a->closed_by_us ? " closed" : "", a->aborted ? " aborted" : "",
		a->evicted ? " evicted" : "", a->holding ? " holding" : "", f->tainted);
	fprintf(stderr, "stack: una %u max %u offered %u announced %u ack %u mss %u tries %u\n",
		k->una, k->snd_max, k->offered, k->edge, k->ack_max, k->mss, k->tx_since_progress);
	print_history(f);
	fprintf(stderr, "again: sim_tcp --seed %" PRIu64 " --connections 1 --verbose\n",
		f->sim->seed);
	exit(1);
}

static uint32_t peer_mss(const struct sim_flow *f)
{
	uint32_t mss = f->par.mss ? f->par.mss : f->par.v6 ? 1220 : 536;

	return sim_min(sim_max(mss, LIMIT_TCP_MSS_MIN), f->par.path_mss);
}

static void syn_ack(struct sim_flow *f, const struct sim_seg *s, uint32_t len)
{
	struct sim_check *k = &f->chk;

	if (s->flags != (SIM_SYN | SIM_ACK) || len)
		sim_fail(f, "a SYN with flags %02x and %u octets", s->flags, len);
	if (f->app.accepts)
		return; /* an old SYN, or the client lost our ACK */
	if (!f->tainted && s->ack != f->par.iss + 1)
		sim_fail(f, "SYN-ACK acknowledges %u", s->ack - f->par.iss);
	if (!k->have_iss)
		k->first_syn_ack = f->sim->now;
	if (!k->have_iss || k->iss != s->seq) {
		k->iss = s->seq;
		k->snd_max = 1;
		k->una = 0;
		k->edge = 0;
		k->mss = k->mss_start = peer_mss(f);
	}
	k->have_iss = true;
	k->wscale = s->wscale;
	k->any_ts = s->has_ts;
	k->tsval = s->tsval;
	if (1 + s->wnd < k->edge)
		sim_fail(f, "the SYN-ACK's window shrank");
	k->edge = sim_max(k->edge, 1 + s->wnd);
}

static void check_window(struct sim_flow *f, const struct sim_seg *s, uint32_t ack)
{
	struct sim_check *k = &f->chk;
	const struct sim_app *a = &f->app;
	uint32_t edge = ack + (s->wnd << (k->wscale == SIM_NO_WSCALE ? 0 : k->wscale));
	uint32_t base = a->closed_by_us ? ack : 1 + a->taken;
	bool full;

	if (ack < k->ack_max)
		sim_fail(f, "ACK %u after %u", ack, k->ack_max);
	if (ack > k->client_end)
		sim_fail(f, "ACK %u, but only %u arrived", ack, k->client_end);
	k->ack_max = ack;
	if (k->client_fin && ack == k->client_fin_at + 1)
		return; /* nothing can come: the window says nothing any more */
	/*
	 * RFC 9293 3.8.6: the edge does not move left. RFC 7323 2.4: the octets that the scale
	 * cannot express may be missing once the window is as far as the limit lets it.
	 */
	if (!a->accepts) { /* SYN_RCVD says again what the SYN-ACK said, rounded up */
		if (edge < k->edge || edge > k->edge + 7)
			sim_fail(f, "SYN_RCVD announces %u after %u", edge, k->edge);
		return;
	}
	full = k->wscale != SIM_NO_WSCALE &&
	       (k->edge + 8 > base + a->limit || f->sim->profile == PROFILE_PRESSURE);
	if (edge + (full ? 7 : 0) < k->edge)
		sim_fail(f, "the right edge moved left from %u to %u", k->edge, edge);
	if (edge > base + a->limit_max + 7 && edge > k->edge)
		sim_fail(f, "window up to %u: over the limit of %u behind %u", edge, a->limit_max,
			 base);
	k->edge = sim_max(k->edge, edge);
}

static void check_ts(struct sim_flow *f, const struct sim_seg *s)
{
	struct sim_check *k = &f->chk;
	uint32_t now = f->par.ts_start + (uint32_t)((f->sim->now - f->sim->start) / 1000);

	if (s->has_ts != k->any_ts)
		sim_fail(f, "timestamps: %d after %d", s->has_ts, k->any_ts);
	if (!s->has_ts)
		return;
	if ((int32_t)(s->tsval - k->tsval) < 0)
		sim_fail(f, "TSval goes back from %u to %u", k->tsval, s->tsval);
	k->tsval = s->tsval;
	if (s->tsecr - f->par.ts_start > now - f->par.ts_start)
		sim_fail(f, "TSecr %u was never sent", s->tsecr - f->par.ts_start);
}

static void check_data(struct sim_flow *f, const struct sim_seg *s, uint32_t seq, uint32_t len,
		       uint32_t opt)
{
	struct sim_check *k = &f->chk;
	uint32_t most = k->mss > opt + LIMIT_TCP_MSS_MIN ? k->mss - opt : LIMIT_TCP_MSS_MIN;
	uint32_t end = seq + len + !!(s->flags & SIM_FIN);
	uint32_t iw = sim_min(IW_SEGMENTS * k->mss_start, sim_max(2 * k->mss_start, 14600));

	if (len > most)
		sim_fail(f, "%u octets and %u of options, MSS %u", len, opt, k->mss);
	/* RFC 9293 3.8.6.1: one octet asks a closed window. */
	if (len && seq + len > k->offered && !(len == 1 && seq == k->offered && seq <= k->una))
		sim_fail(f, "octets up to %u, the window ends at %u", seq + len, k->offered);
	if (len && seq + len > 1 + f->app.sent)
		sim_fail(f, "octets up to %u, the application sent %u", seq + len, f->app.sent);
	iw += k->early_acks * k->mss_start; /* RFC 3042 2; recovery by RFC 6675 has other rules */
	if (k->una <= 1 && k->early_acks < (f->par.sack ? 1 : 3) && len && seq + len - 1 > iw)
		sim_fail(f, "%u octets before the first ACK, IW is %u", seq + len - 1, iw);
	if (s->flags & SIM_FIN) {
		if (!f->app.closed_by_us || seq + len != 1 + f->app.sent)
			sim_fail(f, "FIN at %u", seq + len);
		k->fin_sent = true;
		k->fin_pos = seq + len;
	}
	if (k->fin_sent && end > k->fin_pos + 1)
		sim_fail(f, "octets behind the FIN");
	if (!len && !(s->flags & SIM_FIN))
		return;
	if (seq < k->snd_max && len)
		k->retransmits++;
	k->tx_since_progress++;
	if (end > k->snd_max)
		k->snd_max = end;
	if (f->par.icmp && len && sim_chance(&f->sim->rng, f->par.icmp))
		sim_link_icmp(f, s->seq);
}

void sim_check_output(struct sim_flow *f, const uint8_t *header, size_t header_len, uint32_t len)
{
	static const uint8_t allowed[] = {
		SIM_SYN | SIM_ACK,           SIM_ACK, SIM_ACK | SIM_PSH, SIM_ACK | SIM_FIN,
		SIM_ACK | SIM_FIN | SIM_PSH, SIM_RST, SIM_RST | SIM_ACK};
	struct sim_check *k = &f->chk;
	struct sim_seg s;

	if (header_len > 60 || !sim_parse(header, header_len, &s))
		sim_fail(f, "a header that cannot be read");
	sim_note(f, '<', header, len);
	if (!memchr(allowed, s.flags, sizeof(allowed)))
		sim_fail(f, "flags %02x", s.flags);
	if (s.flags & SIM_SYN) {
		syn_ack(f, &s, len);
		return;
	}
	if (s.flags & SIM_RST) {
		k->rst_out = true;
		if (len)
			sim_fail(f, "a RST with octets");
		return;
	}
	/* What follows needs to know which connection it is: not after its end, not of a bad peer.
	 */
	if (f->tainted || f->app.closes || f->app.ghosts)
		return;
	if (f->reborn && !k->have_iss)
		return; /* TIME_WAIT answers for the first one */
	if (!k->have_iss)
		sim_fail(f, "a segment before any SYN-ACK");
	check_window(f, &s, s.ack - f->par.iss);
	check_ts(f, &s);
	if (f->app.accepts)
		check_data(f, &s, s.seq - k->iss, len, (uint32_t)header_len - 20);
}

void sim_check_delivered(struct sim_flow *f, const struct sim_packet *p)
{
	struct sim_check *k = &f->chk;
	uint32_t seq, ack, edge, end;
	uint8_t flags = p->header[13];

	sim_note(f, '>', p->header, p->len);
	if (p->tainted) {
		f->tainted = true;
		return;
	}
	seq = sim_get32(p->header + 4) - f->par.iss;
	ack = sim_get32(p->header + 8) - k->iss;
	end = seq + p->len + !!(flags & (SIM_FIN | SIM_SYN));
	if (seq > 0x80000000u && !(flags & SIM_RST))
		return; /* of the connection before this one, or the octet below the first */
	if (flags & SIM_RST) {
		k->client_rst = true;
		return;
	}
	if (end > k->client_end)
		k->client_end = end;
	if (flags & SIM_SYN) {
		k->client_end = sim_max(1, k->client_end);
		k->offered = sim_max(k->offered, 1 + sim_get16(p->header + 14));
		k->window_at = f->sim->now;
		return;
	}
	if (flags & SIM_FIN) {
		k->client_fin = true;
		k->client_fin_at = end - 1;
	}
	if (!(flags & SIM_ACK) || ack > k->snd_max)
		return;
	if (ack > k->una) {
		k->una = ack;
		k->tx_since_progress = 0;
		k->progress_at = f->sim->now;
	} else if (ack == 1 && k->snd_max > 1) {
		k->early_acks++;
	}
	edge = ack +
	       ((uint32_t)sim_get16(p->header + 14)
		<< (k->wscale == SIM_NO_WSCALE || f->par.wscale == SIM_NO_WSCALE ? 0
										 : f->par.wscale));
	if (edge > k->offered)
		k->offered = edge;
	if (edge > ack)
		k->window_at = f->sim->now;
}

void sim_check_icmp(struct sim_flow *f, uint32_t quoted, uint32_t mtu)
{
	struct sim *s = f->sim;
	struct sim_check *k = &f->chk;
	uint64_t before = s->counters[CNT_tcp_pmtu_lowered];
	uint32_t mss, overhead = f->par.v6 ? 60 : 40, floor = f->par.v6 ? 1220 : 536;

	tcp_icmp_error(s->stack, &f->tuple, quoted, mtu);
	if (s->counters[CNT_tcp_pmtu_lowered] == before)
		return;
	if (f->tainted)
		return;
	/* RFC 5927 4.1; believed at most while something is under way. */
	if (quoted - k->iss > k->snd_max)
		sim_fail(f, "ICMP believed for %u, sent up to %u", quoted - k->iss, k->snd_max);
	mss = mtu > overhead ? mtu - overhead : 0;
	mss = sim_max(mss, floor);
	if (mss >= k->mss)
		sim_fail(f, "ICMP with MTU %u does not lower %u", mtu, k->mss);
	k->mss = mss;
}

void sim_check_closed(struct sim_flow *f, enum tcp_close_reason reason)
{
	const struct sim_check *k = &f->chk;
	const struct sim_app *a = &f->app;
	uint64_t now = f->sim->now;
	bool right = false;

	if (f->tainted)
		return;
	switch (reason) {
	case TCP_CLOSED_NORMAL:
		right = k->client_rst || (k->client_fin && k->fin_sent && k->una == k->fin_pos + 1);
		break;
	case TCP_CLOSED_RESET:
		right = k->client_rst;
		break;
	case TCP_CLOSED_TIMEOUT:
		right = k->tx_since_progress >= LIMIT_TCP_RETRIES ||
			(k->fin_sent && k->una == k->fin_pos + 1 &&
			 now - k->progress_at + SLACK_US >= LIMIT_TCP_FIN_WAIT_2_S * 1000000ull) ||
			now - k->window_at + SLACK_US >= LIMIT_TCP_PERSIST_S * 1000000ull;
		break;
	case TCP_CLOSED_EVICTED:
		right = a->evicted;
		break;
	case TCP_CLOSED_ABORTED:
		right = a->aborted;
		break;
	}
	if (!right)
		sim_fail(f, "closed() with reason %d for nothing", (int)reason);
}

static void finished(struct sim_flow *f)
{
	const struct sim_app *a = &f->app;
	const struct sim_client *c = &f->c;

	if (a->accepts != 1 || a->closes != 1)
		sim_fail(f, "finished, accepted %u, closed %u", a->accepts, a->closes);
	if (c->rcv_nxt - 2 != a->sent)
		sim_fail(f, "the client got %u octets of %u", c->rcv_nxt - 2, a->sent);
	if (!a->closed_by_us)
		sim_fail(f, "a FIN that nobody asked for");
	/* Where the server closed early it may take less. */
	if (f->par.server_close != SERVER_EARLY && a->taken != f->par.send_total)
		sim_fail(f, "the server got %u octets of %u", a->taken, f->par.send_total);
}

static void was_reset(struct sim_flow *f)
{
	const struct sim_app *a = &f->app;
	const struct sim_check *k = &f->chk;

	if (a->closes || f->sim->profile != PROFILE_NORMAL)
		return;
	/* The half-open connection may have ended before the client's ACK came through. */
	if (!a->accepts && f->sim->now - k->first_syn_ack >= 30000000 &&
	    f->par.loss + f->par.corrupt)
		return;
	sim_fail(f, "reset for nothing");
}

/* After the batch: nothing is under way any more. */
void sim_check_flow_end(struct sim_flow *f)
{
	const struct sim_app *a = &f->app;
	bool normal = f->sim->profile == PROFILE_NORMAL;

	if (a->closes != a->accepts)
		sim_fail(f, "accepted %u, closed %u", a->accepts, a->closes);
	if (f->tainted || a->ghosts)
		return;
	switch (f->c.outcome) {
	case OUT_RUNNING:
		sim_fail(f, "still running");
		break;
	case OUT_FINISHED:
		finished(f);
		break;
	case OUT_RESET:
		was_reset(f);
		break;
	case OUT_GAVE_UP:
		if (normal && !a->closes)
			sim_fail(f, "the client gave up");
		break;
	default:
		break;
	}
	if (!f->par.clean)
		return;
	if (f->c.outcome != OUT_FINISHED)
		sim_fail(f, "a clean link, outcome %d", f->c.outcome);
	if (f->chk.retransmits)
		sim_fail(f, "%u segments sent again over a clean link", f->chk.retransmits);
	if (f->c.rtos)
		sim_fail(f, "the client had to send again %u times over a clean link", f->c.rtos);
}
