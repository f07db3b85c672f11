/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/pcapgen/pcapgen.h"

#define BEGIN  1767225600000000000u /* ns: 2026-01-01, so that nothing depends on the clock */
#define SPREAD 3000000u             /* ns between two sessions, at most */

static struct gen_options options;
static struct session *slot;
static uint32_t *heap, n_heap; /* slots by the time of their next packet */
static uint64_t begun, ended, syns;
static struct rng order;

static uint64_t when(uint32_t i)
{
	const struct session *s = &slot[heap[i]];

	return s->pkt[s->next].time;
}

/* The slot breaks ties, so that the order is one. */
static bool before(uint32_t i, uint32_t k)
{
	uint64_t a = when(i), b = when(k);

	return a < b || (a == b && heap[i] < heap[k]);
}

static void swap(uint32_t i, uint32_t k)
{
	uint32_t t = heap[i];

	heap[i] = heap[k];
	heap[k] = t;
}

static void sink(uint32_t i)
{
	for (;;) {
		uint32_t least = i;

		for (uint32_t k = 2 * i + 1; k <= 2 * i + 2 && k < n_heap; k++)
			if (before(k, least))
				least = k;
		if (least == i)
			return;
		swap(i, least);
		i = least;
	}
}

static bool more(void)
{
	return begun < options.sessions && (!options.octets || pcap_octets() < options.octets);
}

/* The next session in this place, if there is to be one. */
static bool begin(struct session *s, uint64_t time)
{
	bool closed = s->n_pkt && s->close == CLOSE_CLEAN && !s->cut_end;
	bool reuse = rng_hit(&order, options.with[F_REUSE]) && closed;

	if (!more())
		return false;
	time += rng_below(&order, SPREAD);
	session_make(s, &options, begun++, time, reuse);
	return true;
}

static void flood(uint64_t time)
{
	uint64_t n = options.flood / RNG_MILLION;

	n += rng_hit(&order, (uint32_t)(options.flood % RNG_MILLION));
	syns += n;
	while (n--)
		frame_syn(&options, &order, time);
}

static void write_next(struct session *s)
{
	const struct pkt *p = &s->pkt[s->next++];

	if (s->sees != SEE_BOTH && (s->sees == SEE_CLIENT) != (p->dir == C2S))
		return;
	if (p->anomaly)
		s->anomaly[p->anomaly - 1].packet = pcap_packets() + 1;
	if (p->how & HOW_UNSEEN)
		return;
	if (!s->first_packet)
		s->first_packet = pcap_packets() + 1;
	frame_write(s, p);
	s->last_packet = pcap_packets();
	if (options.flood)
		flood(p->time);
}

static void run(void)
{
	uint64_t time = BEGIN;

	for (uint32_t i = 0; i < options.concurrent && begin(&slot[i], BEGIN); i++)
		heap[n_heap++] = i;
	for (uint32_t i = n_heap; i--;)
		sink(i);
	while (n_heap) {
		struct session *s = &slot[heap[0]];

		time = s->pkt[s->next].time;
		write_next(s);
		if (s->next == s->n_pkt) {
			book_session(s);
			ended++;
			if (!begin(s, time))
				swap(0, --n_heap);
		}
		sink(0);
	}
}

/* A flood alone: a microsecond a SYN. */
static void run_syns(void)
{
	for (; syns < options.syns; syns++)
		frame_syn(&options, &order, BEGIN + syns * 1000);
}

static int fail(const char *path, int rc)
{
	fprintf(stderr, "pcapgen: %s: %s\n", path, strerror(-rc));
	return 1;
}

int main(int argc, char **argv)
{
	int rc;

	args_parse(argc, argv, &options);
	if (mail_start(&options) < 0)
		return 1;
	order = rng_of(options.seed, UINT64_MAX);
	slot = calloc(options.concurrent, sizeof(*slot));
	heap = calloc(options.concurrent, sizeof(*heap));
	if (!slot || !heap)
		return fail("sessions", -ENOMEM);
	frame_server_mac(options.mac);
	rc = pcap_open(options.out, options.microseconds);
	if (rc < 0)
		return fail(options.out, rc);
	rc = book_open(&options);
	if (rc < 0)
		return fail(options.book, rc);
	if (options.syns)
		run_syns();
	else
		run();
	rc = pcap_close();
	if (rc < 0)
		return fail(options.out, rc);
	rc = book_close(ended, syns);
	if (rc < 0)
		return fail(options.book, rc);
	fprintf(stderr,
		"%" PRIu64 " sessions, %" PRIu64 " packets, %" PRIu64 " octets, %" PRIu64 " SYNs\n",
		ended, pcap_packets(), pcap_octets(), syns);
	for (uint32_t i = 0; i < options.concurrent; i++)
		session_free(&slot[i]);
	free(slot);
	free(heap);
	mail_stop();
	return 0;
}
