/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <inttypes.h>
#include <stdio.h>

#include "bench/smtpload/content.h"
#include "bench/smtpload/load.h"

#define BOUND 0.95

static double run_seconds;

/* Buckets of 1/32 octave: exact below 64, then within 3 %. */
static unsigned int bucket_of(uint64_t v)
{
	unsigned int top;

	if (v < 2u << HIST_SUB)
		return (unsigned int)v;
	top = 63u - (unsigned int)__builtin_clzll(v);
	return ((top - HIST_SUB) << HIST_SUB) + (unsigned int)(v >> (top - HIST_SUB));
}

static uint64_t upper_end(unsigned int b)
{
	unsigned int shift;

	if (b < 2u << HIST_SUB)
		return b;
	shift = (b >> HIST_SUB) - 1;
	return (((uint64_t)(b - (shift << HIST_SUB)) + 1) << shift) - 1;
}

void hist_add(struct hist *h, uint64_t v)
{
	h->n++;
	if (v > h->max)
		h->max = v;
	h->bucket[bucket_of(v)]++;
}

uint64_t hist_at(const struct hist *h, double share)
{
	uint64_t want = (uint64_t)(share * (double)h->n), sum = 0;

	if (!h->n)
		return 0;
	for (unsigned int i = 0; i < sizeof(h->bucket) / sizeof(h->bucket[0]); i++) {
		sum += h->bucket[i];
		if (sum > want) {
			uint64_t v = upper_end(i);

			return v < h->max ? v : h->max;
		}
	}
	return h->max;
}

static double busy(void)
{
	return load.f.total_cycles ? (double)load.f.busy_cycles / (double)load.f.total_cycles : 0;
}

/* Too busy, or (a flood) too often without its CPU to keep the rate: then it measures itself. */
static bool bound(void)
{
	return busy() >= BOUND || (double)load.f.flood_behind_us / 1e6 > (1 - BOUND) * run_seconds;
}

static double per(uint64_t n, double seconds)
{
	return seconds > 0 ? (double)n / seconds : 0;
}

static void json_hist(const char *name, const struct hist *h)
{
	printf("\"%s\":{\"n\":%" PRIu64 ",\"p50\":%" PRIu64 ",\"p90\":%" PRIu64 ",\"p99\":%" PRIu64
	       ",\"p999\":%" PRIu64 ",\"max\":%" PRIu64 "},",
	       name, h->n, hist_at(h, 0.5), hist_at(h, 0.9), hist_at(h, 0.99), hist_at(h, 0.999),
	       h->max);
}

static void json_refused(void)
{
	const char *sep = "";

	printf("\"refused\":{");
	for (unsigned int i = 0; i < 1000; i++)
		if (load.f.refused[i]) {
			printf("%s\"%03u\":%" PRIu64, sep, i, load.f.refused[i]);
			sep = ",";
		}
	printf("},");
}

static void json_common(void)
{
	const struct figures *f = &load.f;

	json_refused();
	printf("\"up\":%u,\"lost\":%" PRIu64 ",\"open_failed\":%" PRIu64 ",\"retransmits\":%" PRIu64
	       ",\"timeouts\":%" PRIu64 ",\"rx\":%" PRIu64 ",\"tx\":%" PRIu64
	       ",\"tx_not_taken\":%" PRIu64 ",\"rx_bad\":%" PRIu64 ",\"rx_stray\":%" PRIu64
	       ",\"up_tls\":%u,\"handshakes\":%" PRIu64 ",\"tls_failed\":%" PRIu64
	       ",\"not_offered\":%" PRIu64 ",\"reconnected\":%" PRIu64
	       ",\"busy\":%.4f,\"generator_bound\":%s}\n",
	       load.up, f->lost, f->open_failed, f->retransmits, f->timeouts, f->rx, f->tx,
	       f->tx_not_taken, f->rx_bad, f->rx_stray, load.up_tls, f->handshakes, f->tls_failed,
	       f->not_offered, f->reconnected, busy(), bound() ? "true" : "false");
}

static void text_common(void)
{
	const struct figures *f = &load.f;

	for (unsigned int i = 0; i < 1000; i++)
		if (f->refused[i])
			printf("  %s %03u: %" PRIu64 "\n", i ? "reply" : "connection lost,", i,
			       f->refused[i]);
	if (load.opt.tls > 0)
		printf("  TLS: %u sessions up, %" PRIu64 " handshakes, p50 %" PRIu64 " p99 %" PRIu64
		       " us, %" PRIu64 " failures\n",
		       load.up_tls, f->handshakes, hist_at(&f->handshake, 0.5),
		       hist_at(&f->handshake, 0.99), f->tls_failed);
	if (f->not_offered)
		printf("  %" PRIu64 " connections left: EHLO did not offer what is needed\n",
		       f->not_offered);
	if (f->reconnected)
		printf("  %" PRIu64 " connections left after %u messages\n", f->reconnected,
		       load.opt.per_session);
	printf("  %u sessions up, %" PRIu64 " lost, %" PRIu64 " attempts failed; %" PRIu64
	       " retransmissions, %" PRIu64
	       " frames the ring did not take\n  generator %.1f %% busy%s\n",
	       load.up, f->lost, f->open_failed, f->retransmits, f->tx_not_taken, busy() * 100,
	       bound() ? ": generator-bound" : "");
}

void report_opened(double seconds)
{
	uint32_t wanted = load.opt.idle + load.opt.active;

	if (load.opt.json) {
		printf("{\"event\":\"opened\",\"wanted\":%u,\"seconds\":%.3f,\"per_s\":%.0f,",
		       wanted, seconds, per(load.up, seconds));
		json_hist("connect_us", &load.f.connect);
		json_hist("handshake_us", &load.f.handshake);
		json_common();
		return;
	}
	if (!wanted)
		return;
	printf("opened %u of %u sessions in %.2f s: %.0f/s, banner after p50 %" PRIu64
	       " p99 %" PRIu64 " us\n",
	       load.up, wanted, seconds, per(load.up, seconds), hist_at(&load.f.connect, 0.5),
	       hist_at(&load.f.connect, 0.99));
	text_common();
}

/* Of the messages there are; what was sent of them is in the octets. */
static double mean_size(void)
{
	return contents.n ? (double)contents.octets / contents.n : 0;
}

static void json_run(double seconds)
{
	const struct figures *f = &load.f;

	printf("{\"event\":\"run\",\"seconds\":%.3f,\"messages\":%" PRIu64
	       ",\"messages_per_s\":%.1f,\"octets\":%" PRIu64
	       ",\"size\":%.0f,\"contents\":%u,\"connections\":%" PRIu64
	       ",\"connections_per_s\":%.1f,\"flood_wanted\":%" PRIu64 ",\"flood_offered\":%" PRIu64
	       ",\"flood_taken\":%" PRIu64 ",\"flood_per_s\":%.0f,\"syn_ack\":%" PRIu64
	       ",\"flood_behind_s\":%.3f,",
	       seconds, f->accepted, per(f->accepted, seconds), f->octets, mean_size(), contents.n,
	       f->churned, per(f->churned, seconds), load.flood, f->flood_offered, f->flood_taken,
	       per(f->flood_taken, seconds), f->syn_ack, (double)f->flood_behind_us / 1e6);
	printf("\"rate_wanted\":%.1f,\"late\":%" PRIu64 ",", load.run_rate, pace_late());
	json_hist("transaction_us", &f->transaction);
	json_hist("reply_us", &f->reply);
	json_hist("connect_us", &f->connect);
	json_hist("handshake_us", &f->handshake);
	json_common();
}

void report_run(double seconds)
{
	const struct figures *f = &load.f;

	run_seconds = seconds;
	if (load.opt.json) {
		json_run(seconds);
		return;
	}
	printf("ran %.2f s\n", seconds);
	if (load.opt.active)
		printf("  %" PRIu64
		       " messages of %.0f octets: %.0f/s, MAIL to final reply p50 %" PRIu64
		       " p99 %" PRIu64 " max %" PRIu64 " us, final dot to it p50 %" PRIu64
		       " p99 %" PRIu64 " us\n",
		       f->accepted, f->accepted ? (double)f->octets / (double)f->accepted : 0,
		       per(f->accepted, seconds), hist_at(&f->transaction, 0.5),
		       hist_at(&f->transaction, 0.99), f->transaction.max, hist_at(&f->reply, 0.5),
		       hist_at(&f->reply, 0.99));
	if (load.run_rate > 0)
		printf("  %.0f/s were due; none was free for %" PRIu64 " of them\n", load.run_rate,
		       pace_late());
	if (load.opt.churn)
		printf("  %" PRIu64
		       " connections from SYN to FIN: %.0f/s, SYN to banner p50 %" PRIu64
		       " p99 %" PRIu64 " max %" PRIu64 " us\n",
		       f->churned, per(f->churned, seconds), hist_at(&f->connect, 0.5),
		       hist_at(&f->connect, 0.99), f->connect.max);
	if (load.flood)
		printf("  flood: %" PRIu64 "/s wanted, %.0f/s offered, %.0f/s taken by the ring, "
		       "%" PRIu64 " SYN-ACKs (%.0f/s), %.3f s behind\n",
		       load.flood, per(f->flood_offered, seconds), per(f->flood_taken, seconds),
		       f->syn_ack, per(f->syn_ack, seconds), (double)f->flood_behind_us / 1e6);
	text_common();
}

void report_probe(uint32_t asked, uint32_t silent)
{
	uint32_t lost = silent + asked - (uint32_t)load.f.probes_ok;

	if (load.opt.json)
		printf("{\"event\":\"probe\",\"asked\":%u,\"answered\":%" PRIu64 ",\"lost\":%u}\n",
		       asked, load.f.probes_ok, lost);
	else
		printf("probed %u idle sessions: %" PRIu64 " answered, %u lost\n", load.opt.idle,
		       load.f.probes_ok, lost);
}

void report_ready(void)
{
	puts(load.opt.json ? "{\"event\":\"ready\"}" : "ready");
}
