/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Ethernet, ARP, IPv4 and TCP headers: what comes is checked, what goes is put together here. */

#include <string.h>

#include <rte_mbuf.h>

#include "bench/smtpload/load.h"

#define ETH         14u
#define IP          20u
#define TCP         20u
#define ARP         28u
#define TS_LEN      12u
#define SYN_OPTIONS 20u /* MSS, SACK permitted, timestamps, window scale: as Linux orders them */
#define WSCALE      7
#define MSS         1460
#define WINDOW      64240

static uint16_t ip_id;

uint64_t wire_sum(const uint8_t *p, uint32_t n, uint64_t sum)
{
	uint32_t v;
	uint16_t w = 0;

	for (; n >= 4; p += 4, n -= 4) {
		memcpy(&v, p, 4);
		sum += v;
	}
	if (n >= 2) {
		memcpy(&w, p, 2);
		sum += w;
		p += 2;
		n -= 2;
	}
	if (n) {
		w = 0;
		memcpy(&w, p, 1);
		sum += w;
	}
	return sum;
}

uint16_t wire_sum_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint64_t pseudo(const uint8_t *ip, uint32_t tcp_len)
{
	uint8_t rest[4] = {0, 6};

	put16(rest + 2, tcp_len);
	return wire_sum(rest, 4, wire_sum(ip + 12, 8, 0));
}

static void put_headers(uint8_t *p, uint32_t source, uint32_t tcp_len)
{
	static const uint8_t ip[IP] = {0x45, [6] = 0x40, [8] = 64, [9] = 6};
	uint16_t sum;

	memcpy(p, link_peer_mac, 6);
	memcpy(p + 6, link_mac, 6);
	put16(p + 12, 0x0800);
	p += ETH;
	memcpy(p, ip, IP);
	put16(p + 2, IP + tcp_len);
	put16(p + 4, ip_id++);
	put32(p + 12, source);
	put32(p + 16, load.opt.to);
	sum = wire_sum_fold(wire_sum(p, IP, 0));
	memcpy(p + 10, &sum, 2);
}

static uint32_t put_options(uint8_t *o, const struct sess *s, bool syn)
{
	static const uint8_t head[8] = {2, 4, MSS >> 8, MSS & 255, 4, 2, 8, 10};
	static const uint8_t tail[4] = {1, 3, 3, WSCALE};

	if (syn && load.opt.timestamps) {
		memcpy(o, head, sizeof(head));
		put32(o + 8, load.now_ms);
		put32(o + 12, 0);
		memcpy(o + 16, tail, sizeof(tail));
		return SYN_OPTIONS;
	}
	if (syn) {
		memcpy(o, head, 4);
		memcpy(o + 4, tail, sizeof(tail));
		return 8;
	}
	if (!(s->flags & F_TS))
		return 0;
	put32(o, 0x0101080a);
	put32(o + 4, load.now_ms);
	put32(o + 8, s->ts_recent);
	return TS_LEN;
}

bool wire_tcp(struct sess *s, uint8_t flags, uint32_t seq, uint32_t from, uint32_t n)
{
	struct rte_mbuf *m = link_alloc();
	uint8_t *p, *t;
	uint32_t opt, len;
	uint16_t sum;

	if (!m)
		return false;
	p = rte_pktmbuf_mtod(m, uint8_t *);
	t = p + ETH + IP;
	opt = put_options(t + TCP, s, flags & TH_SYN);
	len = TCP + opt + n;
	put_headers(p, load.first_source + sess_index(s) % load.sources, len);
	put16(t, tcp_port_of(s));
	put16(t + 2, load.opt.to_port);
	put32(t + 4, seq);
	put32(t + 8, flags & TH_ACK ? s->rcv_nxt : 0);
	t[12] = (uint8_t)((TCP + opt) / 4 << 4);
	t[13] = flags;
	put16(t + 14, flags & TH_SYN ? WINDOW : WINDOW >> WSCALE);
	put32(t + 16, 0);
	if (n)
		smtp_copy(s, t + TCP + opt, from, n);
	sum = wire_sum_fold(wire_sum(t, len, pseudo(p + ETH, len)));
	memcpy(t + 16, &sum, 2);
	m->data_len = (uint16_t)(ETH + IP + len);
	m->pkt_len = m->data_len;
	link_send(m);
	return true;
}

uint32_t wire_syn_template(uint8_t *p)
{
	uint8_t *t = p + ETH + IP;
	uint32_t opt = put_options(t + TCP, NULL, true), len = TCP + opt;
	uint16_t sum;

	put_headers(p, 0, len);
	put16(t, 0);
	put16(t + 2, load.opt.to_port);
	put32(t + 4, 0);
	put32(t + 8, 0);
	t[12] = (uint8_t)(len / 4 << 4);
	t[13] = TH_SYN;
	put16(t + 14, WINDOW);
	put32(t + 16, 0);
	sum = wire_sum_fold(wire_sum(t, len, pseudo(p + ETH, len)));
	memcpy(t + 16, &sum, 2);
	return ETH + IP + len;
}

/* ---- ARP ------------------------------------------------------------------------------------ */

static bool in_prefix(uint32_t ip)
{
	return (ip ^ load.opt.prefix) >> (32 - load.opt.prefix_len) == 0;
}

static void send_arp(uint8_t op, const uint8_t *to_mac, uint32_t source, uint32_t target)
{
	static const uint8_t head[7] = {0, 1, 8, 0, 6, 4, 0};
	struct rte_mbuf *m = link_alloc();
	uint8_t *p;

	if (!m)
		return;
	p = rte_pktmbuf_mtod(m, uint8_t *);
	memcpy(p, to_mac, 6);
	memcpy(p + 6, link_mac, 6);
	put16(p + 12, 0x0806);
	memcpy(p + ETH, head, sizeof(head));
	p[ETH + 7] = op;
	memcpy(p + ETH + 8, link_mac, 6);
	put32(p + ETH + 14, source);
	memcpy(p + ETH + 18, to_mac, 6);
	if (op == 1)
		memset(p + ETH + 18, 0, 6);
	put32(p + ETH + 24, target);
	m->data_len = ETH + ARP;
	m->pkt_len = m->data_len;
	link_send(m);
}

void wire_arp_ask(void)
{
	static const uint8_t everybody[6] = {255, 255, 255, 255, 255, 255};

	send_arp(1, everybody, load.first_source, load.opt.to);
}

static void input_arp(const uint8_t *p, uint32_t n)
{
	uint32_t sender, target;

	if (n < ARP || get32(p) != 0x00010800 || get16(p + 4) != 0x0604) {
		load.f.rx_bad++;
		return;
	}
	sender = get32(p + 14);
	target = get32(p + 24);
	if (sender == load.opt.to) {
		memcpy(link_peer_mac, p + 8, 6);
		link_peer_known = true;
	}
	if (get16(p + 6) == 1 && in_prefix(target) && sender != target)
		send_arp(2, p + 8, target, sender);
}

/* ---- TCP ------------------------------------------------------------------------------------ */

static bool parse_options(const uint8_t *p, uint32_t n, struct seg *g)
{
	while (n) {
		uint32_t len;

		if (p[0] == 0)
			return true;
		if (p[0] == 1) {
			p++;
			n--;
			continue;
		}
		if (n < 2 || p[1] < 2 || p[1] > n)
			return false;
		len = p[1];
		if (p[0] == 2 && len == 4) {
			g->has_mss = true;
			g->mss = (uint16_t)get16(p + 2);
		} else if (p[0] == 3 && len == 3) {
			g->has_wscale = true;
			g->wscale = p[2] > 14 ? 14 : p[2];
		} else if (p[0] == 8 && len == 10) {
			g->has_ts = true;
			g->tsval = get32(p + 2);
			g->tsecr = get32(p + 6);
		}
		p += len;
		n -= len;
	}
	return true;
}

static bool parse_tcp(const uint8_t *ip, uint32_t n, struct seg *g)
{
	uint32_t head, total, off;
	const uint8_t *t;

	if (n < IP || ip[0] >> 4 != 4 || ip[9] != 6)
		return false;
	head = (ip[0] & 15u) * 4;
	total = get16(ip + 2);
	if (head < IP || total > n || total < head + TCP || get16(ip + 6) & 0x3fff)
		return false;
	if (wire_sum_fold(wire_sum(ip, head, 0)) != 0)
		return false;
	t = ip + head;
	total -= head;
	off = (uint32_t)(t[12] >> 4) * 4;
	if (off < TCP || off > total || wire_sum_fold(wire_sum(t, total, pseudo(ip, total))) != 0)
		return false;
	*g = (struct seg){
		.remote = get32(ip + 12),
		.local = get32(ip + 16),
		.local_port = (uint16_t)get16(t + 2),
		.seq = get32(t + 4),
		.ack = get32(t + 8),
		.wnd = get16(t + 14),
		.flags = t[13] & 63,
		.data = t + off,
		.len = total - off,
	};
	return get16(t) == load.opt.to_port && g->remote == load.opt.to &&
	       parse_options(t + TCP, off - TCP, g);
}

static struct sess *session_of(const struct seg *g)
{
	uint32_t host = g->local - load.first_source, block, i;
	struct sess *s;

	if (host >= load.sources || g->local_port < LOAD_PORT_FIRST)
		return NULL;
	block = (g->local_port - LOAD_PORT_FIRST) % load.blocks;
	i = block * load.sources + host;
	if (i >= load.n_sess)
		return NULL;
	s = &load.sess[i];
	return tcp_port_of(s) == g->local_port ? s : NULL;
}

void wire_input(const uint8_t *p, uint32_t n)
{
	struct sess *s;
	struct seg g;

	load.f.rx++;
	if (n >= ETH && get16(p + 12) == 0x0806) {
		input_arp(p + ETH, n - ETH);
		return;
	}
	if (n < ETH || get16(p + 12) != 0x0800 || !parse_tcp(p + ETH, n - ETH, &g)) {
		load.f.rx_bad++;
		return;
	}
	if (g.local - load.first_flood < load.opt.flood_sources) {
		if ((g.flags & (TH_SYN | TH_ACK)) == (TH_SYN | TH_ACK))
			load.f.syn_ack++;
		return;
	}
	s = session_of(&g);
	if (s)
		tcp_input(s, &g);
	else
		load.f.rx_stray++;
}
