/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What becomes of a packet of a cable: servers, flows, exceptions, fragments. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/inline/inline_priv.h"
#include "postern/limits.h"

static uint64_t counter[POSTERN_DP_COUNTER_COUNT];
static struct inline_worker *w;
static struct handoff_config config;

#define assert_count(name, v) assert_int_equal(counter[CNT_##name], v)

static void v4(uint8_t out[16], uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	const uint8_t mapped[16] = {[10] = 0xff, 0xff, a, b, c, d};

	memcpy(out, mapped, 16);
}

/* 192.0.2.80:25 is terminated, the rest of 192.0.2.64/26 watched, 192.0.2.96/28 let by;
 * 198.51.100.0/24 is us. */
static void configure(void)
{
	static const struct { uint8_t last, prefix, mode; } s[] = {
		{64, 122, INLINE_OBSERVE}, {80, 128, INLINE_TERMINATE}, {96, 124, INLINE_BYPASS}};

	memset(&config, 0, sizeof(config));
	config.n_inlines = 3;
	for (unsigned int i = 0; i < 3; i++) {
		config.inlined[i] = (struct handoff_inline){
			.tcp_port = 25, .id = (uint16_t)(HANDOFF_LISTENER_INLINE + i),
			.prefix_len = s[i].prefix, .mode = s[i].mode};
		v4(config.inlined[i].address, 192, 0, 2, s[i].last);
	}
	config.n_inline_own = 1;
	v4(config.inline_own[0].address, 198, 51, 100, 0);
	config.inline_own[0].prefix_len = 120;
}

static int up(void **state)
{
	struct inline_options opt = {.flows = 64, .key = "0123456789abcde", .counters = counter};

	(void)state;
	memset(counter, 0, sizeof(counter));
	w = inline_new(&opt);
	if (!w)
		return -1;
	configure();
	inline_set_config(w, &config);
	inline_set_state(w, true, true);
	inline_set_clock(w, 1000);
	return 0;
}

static int down(void **state)
{
	(void)state;
	inline_free(w);
	return 0;
}

static struct tcp_tuple flow(uint8_t server, uint16_t port)
{
	struct tcp_tuple t = {.local_port = 25, .remote_port = port};

	v4(t.local, 192, 0, 2, server);
	v4(t.remote, 203, 0, 113, 9);
	return t;
}

static struct inline_packet last; /* as inline_tcp() left it */

static enum inline_verdict give(const struct tcp_tuple *t, enum inline_way way, uint8_t flags, bool ours)
{
	last = (struct inline_packet){.tuple = t, .server = inline_server(w, t->local, t->local_port),
				      .way = (uint8_t)way, .flags = flags, .ours = ours,
				      .mac = {2, 0, 0, 0, 0, 7}};
	assert_non_null(last.server);
	return inline_tcp(w, &last);
}

#define SYN(t) give(t, INLINE_TO_SERVER, TH_SYN, false)
#define DATA(t) give(t, INLINE_TO_SERVER, TH_ACK, false)
#define BACK(t) give(t, INLINE_FROM_SERVER, TH_ACK, false)

static void servers(void **state)
{
	uint8_t a[16];

	(void)state;
	assert_true(inline_active(w));
	v4(a, 192, 0, 2, 80);
	assert_int_equal(inline_server(w, a, 25)->id, HANDOFF_LISTENER_INLINE + 1);
	assert_null(inline_server(w, a, 26));
	assert_true(inline_address(w, a));
	v4(a, 192, 0, 2, 81);
	assert_int_equal(inline_server(w, a, 25)->mode, INLINE_OBSERVE);
	assert_false(inline_address(w, a));
	v4(a, 192, 0, 2, 111);
	assert_int_equal(inline_server(w, a, 25)->mode, INLINE_BYPASS);
	v4(a, 192, 0, 2, 112);
	assert_int_equal(inline_server(w, a, 25)->mode, INLINE_OBSERVE);
	v4(a, 192, 0, 2, 128);
	assert_null(inline_server(w, a, 25));
	v4(a, 192, 0, 2, 63);
	assert_null(inline_server(w, a, 25));
	/* An IPv6 address is in no IPv4 prefix, but all are in ::/0. */
	memset(a, 0x20, sizeof(a));
	assert_null(inline_server(w, a, 25));
	config.inlined[0].prefix_len = 0;
	inline_set_config(w, &config);
	assert_int_equal(inline_server(w, a, 25)->id, HANDOFF_LISTENER_INLINE);
}

/* A server that is taken off the list: its open sessions stay ours, new ones pass. */
static void taken_off(void **state)
{
	struct tcp_tuple t = flow(80, 1), k = flow(80, 2), n = flow(80, 3), o = flow(81, 4);
	struct handoff_config all = config, none = config;

	(void)state;
	none.n_inlines = 0;
	give(&k, INLINE_KERNEL_OUT, TH_SYN, false);
	assert_int_equal(SYN(&o), INLINE_WATCH);
	for (unsigned int reload = 0; reload < 3; reload++) {
		inline_set_config(w, &none);
		assert_true(inline_active(w));
		assert_true(inline_port(w, 25));
		assert_null(inline_listener(w, &t));
		assert_false(inline_address(w, t.local));
		assert_int_equal(give(&t, INLINE_TO_SERVER, TH_ACK, true), INLINE_OURS);
		assert_int_equal(give(&t, INLINE_FROM_SERVER, TH_ACK, true), INLINE_DROP);
		assert_int_equal(BACK(&k), INLINE_KERNEL);
		assert_int_equal(give(&k, INLINE_KERNEL_OUT, TH_ACK, false), INLINE_PASS);
		assert_int_equal(SYN(&n), INLINE_PASS);
		assert_int_equal(DATA(&n), INLINE_PASS);
		assert_int_equal(DATA(&o), INLINE_PASS);
	}
	assert_int_equal(w->n_servers, 3);
	/* One that is named counts, however short its prefix is, before one that was. */
	none = all;
	none.n_inlines = 1;
	none.inlined[0].mode = INLINE_TERMINATE;
	inline_set_config(w, &none);
	assert_int_equal(w->n_servers, 3);
	assert_int_equal(SYN(&n), INLINE_OURS);
	/* Named again. */
	inline_set_config(w, &all);
	assert_int_equal(w->n_servers, 3);
	assert_non_null(inline_listener(w, &t));
	assert_int_equal(SYN(&n), INLINE_OURS);
}

/* Many reloads, each with other servers: the newest are kept, and none too many. */
static void taken_off_many(void **state)
{
	struct tcp_tuple t = flow(0, 1);

	(void)state;
	config.n_inlines = HANDOFF_MAX_INLINE;
	for (unsigned int reload = 0; reload < 4; reload++) {
		for (unsigned int i = 0; i < HANDOFF_MAX_INLINE; i++) {
			config.inlined[i] = (struct handoff_inline){
				.tcp_port = (uint16_t)(1000 + reload), .id = HANDOFF_LISTENER_INLINE,
				.prefix_len = 128, .mode = INLINE_TERMINATE};
			v4(config.inlined[i].address, 192, 0, 2, (uint8_t)i);
		}
		inline_set_config(w, &config);
		assert_true(w->n_servers <= 2 * HANDOFF_MAX_INLINE);
		for (unsigned int i = 0; i < HANDOFF_MAX_INLINE; i++) {
			t.local[15] = (uint8_t)i;
			assert_int_equal(inline_server(w, t.local, (uint16_t)(1000 + reload))->mode,
					 INLINE_TERMINATE);
			if (reload)
				assert_int_equal(inline_server(w, t.local, (uint16_t)(999 + reload))->mode,
						 INLINE_BYPASS);
		}
	}
	assert_false(inline_port(w, 1001));
}

static void terminated(void **state)
{
	struct tcp_tuple t = flow(80, 1);

	(void)state;
	assert_int_equal(inline_listener(w, &t)->id, HANDOFF_LISTENER_INLINE + 1);
	assert_int_equal(SYN(&t), INLINE_OURS);
	/* Old stacks take these for a SYN: none may reach the server. */
	assert_int_equal(give(&t, INLINE_TO_SERVER, TH_SYN | TH_FIN, false), INLINE_OURS);
	assert_int_equal(give(&t, INLINE_TO_SERVER, TH_ACK, true), INLINE_OURS);
	assert_int_equal(give(&t, INLINE_TO_SERVER, TH_RST, true), INLINE_OURS);
	/* The server has no part in it. */
	assert_int_equal(give(&t, INLINE_FROM_SERVER, TH_ACK, true), INLINE_DROP);
	assert_count(inline_drop_server, 1);
	assert_int_equal(give(&t, INLINE_FROM_SERVER, TH_ACK, false), INLINE_PASS);
	/* What is ours stays ours, whatever is configured since, or lost. */
	config.bypass = 1;
	inline_set_config(w, &config);
	inline_set_state(w, false, false);
	assert_int_equal(give(&t, INLINE_TO_SERVER, TH_ACK, true), INLINE_OURS);
	assert_int_equal(SYN(&t), INLINE_PASS);
	assert_count(inline_pass_bypass, 1);
}

static void own_and_bypass(void **state)
{
	struct tcp_tuple t = flow(80, 1);

	(void)state;
	v4(t.remote, 198, 51, 100, 255);
	assert_int_equal(SYN(&t), INLINE_PASS);
	assert_int_equal(DATA(&t), INLINE_PASS);
	assert_count(inline_pass_own, 2);
	v4(t.remote, 198, 51, 101, 0);
	assert_int_equal(SYN(&t), INLINE_OURS);
	t = flow(100, 1);
	assert_int_equal(SYN(&t), INLINE_PASS);
	assert_count(inline_pass_bypass, 1);
	assert_null(inline_listener(w, &t));
}

static void observed(void **state)
{
	struct tcp_tuple t = flow(81, 1), m = flow(81, 2);

	(void)state;
	inline_set_state(w, false, false); /* a dry run needs neither */
	assert_int_equal(SYN(&t), INLINE_WATCH);
	assert_int_equal(BACK(&t), INLINE_WATCH);
	assert_int_equal(DATA(&t), INLINE_WATCH);
	assert_int_equal(DATA(&m), INLINE_WATCH); /* pass-flow */
	config.exception[PORT_MODE_INLINE][CAUSE_MIDSTREAM] = ACT_DROP_FLOW;
	inline_set_config(w, &config);
	m = flow(81, 3);
	assert_int_equal(DATA(&m), INLINE_PASS);
	assert_int_equal(DATA(&t), INLINE_WATCH);
}

static void set_action(enum handoff_cause cause, enum handoff_action action)
{
	config.exception[PORT_MODE_INLINE][cause] = action;
	inline_set_config(w, &config);
}

/* Every action of the causes that meet a SYN, and what the flow's next packets meet. */
static void begin_exceptions(void **state)
{
	static const struct {
		enum handoff_action action;
		enum inline_verdict syn, later;
	} t[] = {
		{ACT_DEFAULT, INLINE_OURS, INLINE_OURS}, {ACT_REJECT, INLINE_OURS, INLINE_OURS},
		{ACT_IGNORE, INLINE_OURS, INLINE_OURS}, {ACT_BYPASS, INLINE_PASS, INLINE_PASS},
		{ACT_PASS_FLOW, INLINE_WATCH, INLINE_WATCH}, {ACT_DROP_FLOW, INLINE_DROP, INLINE_DROP},
	};

	(void)state;
	for (unsigned int cause = CAUSE_CONTROL_DOWN; cause <= CAUSE_NO_MEMORY; cause++) {
		for (unsigned int i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
			struct tcp_tuple f = flow(80, (uint16_t)(100 * cause + i + 1));
			enum inline_verdict want = t[i].syn;

			if (cause == CAUSE_NO_MEMORY && (t[i].action == ACT_DEFAULT || t[i].action == ACT_REJECT))
				want = INLINE_REFUSE;
			set_action(cause, t[i].action);
			inline_set_state(w, cause != CAUSE_CONTROL_DOWN, cause != CAUSE_NO_MEMORY);
			assert_int_equal(SYN(&f), want);
			inline_set_state(w, true, true);
			if (t[i].later != INLINE_OURS) {
				assert_int_equal(SYN(&f), t[i].later); /* sent again */
				assert_int_equal(DATA(&f), t[i].later);
				assert_int_equal(BACK(&f), t[i].later);
			}
		}
	}
	assert_count(inline_reject_control_down, 2);
	assert_count(inline_reject, 2);
	assert_count(inline_pass_control_down, 2);
	assert_count(inline_pass_no_memory, 2);
	assert_count(inline_drop_control_down, 1);
	assert_count(inline_drop_no_memory, 1);
	assert_count(inline_drop_flow, 6);
}

static void midstream_exceptions(void **state)
{
	static const struct {
		enum handoff_action action;
		enum inline_verdict first;
	} t[] = {
		{ACT_DEFAULT, INLINE_WATCH}, {ACT_PASS_FLOW, INLINE_WATCH}, {ACT_BYPASS, INLINE_PASS},
		{ACT_DROP_FLOW, INLINE_DROP}, {ACT_IGNORE, INLINE_PASS}, {ACT_REJECT, INLINE_REFUSE},
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct tcp_tuple f = flow(80, (uint16_t)(i + 1));

		set_action(CAUSE_MIDSTREAM, t[i].action);
		assert_int_equal(DATA(&f), t[i].first);
		assert_int_equal(DATA(&f), t[i].first);
	}
	assert_count(inline_pass_midstream, 3);
	assert_count(inline_drop_midstream, 1);
	assert_count(inline_drop_flow, 1);
	/* A stray RST opens nothing. */
	set_action(CAUSE_MIDSTREAM, ACT_DROP_FLOW);
	struct tcp_tuple f = flow(80, 99);

	assert_int_equal(give(&f, INLINE_TO_SERVER, TH_RST, false), INLINE_PASS);
	assert_null(inline_find(w, &f));
}

/* A segment of no flow opens no way for the SYN behind it. */
static void midstream_then_syn(void **state)
{
	static const enum handoff_action pass[] = {ACT_DEFAULT, ACT_PASS_FLOW, ACT_BYPASS, ACT_IGNORE};
	struct tcp_tuple f;

	(void)state;
	for (unsigned int i = 0; i < sizeof(pass) / sizeof(pass[0]); i++) {
		f = flow(80, (uint16_t)(i + 1));
		set_action(CAUSE_MIDSTREAM, pass[i]);
		assert_in_range(DATA(&f), INLINE_PASS, INLINE_WATCH);
		assert_int_equal(SYN(&f), INLINE_OURS);
		assert_int_equal(give(&f, INLINE_TO_SERVER, TH_SYN | TH_FIN, false), INLINE_OURS);
	}
	/* Dropped is dropped. */
	f = flow(80, 10);
	set_action(CAUSE_MIDSTREAM, ACT_DROP_FLOW);
	assert_int_equal(DATA(&f), INLINE_DROP);
	assert_int_equal(SYN(&f), INLINE_DROP);
	/* An observed one is the same flow still. */
	set_action(CAUSE_MIDSTREAM, ACT_BYPASS);
	f = flow(81, 11);
	assert_int_equal(DATA(&f), INLINE_PASS);
	assert_int_equal(SYN(&f), INLINE_PASS);
	/* What was let by with its SYN goes on, also where a reload has it terminated since. */
	f = flow(81, 12);
	assert_int_equal(SYN(&f), INLINE_WATCH);
	config.inlined[0].mode = INLINE_TERMINATE;
	inline_set_config(w, &config);
	assert_int_equal(SYN(&f), INLINE_WATCH);
	assert_int_equal(DATA(&f), INLINE_WATCH);
}

/* When an entry ends, the next SYN is a new flow's. */
static void ends(void **state)
{
	struct tcp_tuple t = flow(80, 1);

	(void)state;
	set_action(CAUSE_CONTROL_DOWN, ACT_BYPASS);
	inline_set_state(w, false, true);
	assert_int_equal(SYN(&t), INLINE_PASS);
	inline_set_state(w, true, true);
	assert_int_equal(give(&t, INLINE_TO_SERVER, TH_FIN | TH_ACK, false), INLINE_PASS);
	assert_int_equal(SYN(&t), INLINE_PASS); /* half closed is not closed */
	assert_int_equal(give(&t, INLINE_FROM_SERVER, TH_FIN | TH_ACK, false), INLINE_PASS);
	assert_int_equal(DATA(&t), INLINE_PASS); /* the last ACK is the flow's still */
	assert_count(inline_pass_midstream, 0);
	assert_int_equal(SYN(&t), INLINE_OURS);
	/* RST */
	inline_set_state(w, false, true);
	t = flow(80, 2);
	assert_int_equal(SYN(&t), INLINE_PASS);
	inline_set_state(w, true, true);
	assert_int_equal(give(&t, INLINE_FROM_SERVER, TH_RST, false), INLINE_PASS);
	assert_int_equal(SYN(&t), INLINE_OURS);
	/* Time */
	inline_set_state(w, false, true);
	t = flow(80, 3);
	assert_int_equal(SYN(&t), INLINE_PASS);
	inline_set_state(w, true, true);
	inline_set_clock(w, 1000 + LIMIT_INLINE_IDLE_S - 1);
	assert_int_equal(SYN(&t), INLINE_PASS);
	inline_set_clock(w, 1000 + 2 * LIMIT_INLINE_IDLE_S);
	assert_int_equal(SYN(&t), INLINE_OURS);
	/* Dropped ones may try again, and a RST of theirs is no way round that. */
	set_action(CAUSE_CONTROL_DOWN, ACT_DROP_FLOW);
	inline_set_state(w, false, true);
	t = flow(80, 4);
	assert_int_equal(SYN(&t), INLINE_DROP);
	inline_set_state(w, true, true);
	assert_int_equal(give(&t, INLINE_TO_SERVER, TH_RST, false), INLINE_DROP);
	assert_int_equal(SYN(&t), INLINE_DROP);
	inline_set_clock(w, 1000 + 2 * LIMIT_INLINE_IDLE_S + LIMIT_INLINE_DROP_S);
	assert_int_equal(SYN(&t), INLINE_OURS);
}

static void kernel(void **state)
{
	struct tcp_tuple t = flow(80, 1), other = flow(80, 2);
	const uint8_t mac[6] = {2, 0, 0, 0, 0, 7};
	uint8_t got[6];

	(void)state;
	assert_false(inline_kernel_flow(w, &t, got));
	assert_int_equal(give(&t, INLINE_KERNEL_OUT, TH_SYN, false), INLINE_PASS);
	memset(got, 0, sizeof(got));
	assert_int_equal(BACK(&t), INLINE_KERNEL);
	assert_memory_equal(last.mac, mac, 6);
	assert_true(inline_kernel_flow(w, &t, got));
	assert_memory_equal(got, mac, 6);
	assert_int_equal(BACK(&other), INLINE_PASS);
	/* The client's own segments of the same tuple are not its. */
	assert_int_equal(SYN(&t), INLINE_OURS);
	assert_int_equal(give(&t, INLINE_TO_SERVER, TH_ACK, true), INLINE_OURS);
	/* ... and what the server says is the kernel's, terminated flow or not. */
	assert_int_equal(give(&t, INLINE_FROM_SERVER, TH_ACK, true), INLINE_KERNEL);
	/* A RST from the server is for it, too, and so is what the server sends again. */
	assert_int_equal(give(&t, INLINE_FROM_SERVER, TH_RST, false), INLINE_KERNEL);
	assert_int_equal(BACK(&t), INLINE_KERNEL);
	config.bypass = 1;
	inline_set_config(w, &config);
	assert_int_equal(BACK(&t), INLINE_KERNEL);
	inline_set_clock(w, 1000 + LIMIT_INLINE_CLOSED_S);
	assert_int_equal(BACK(&t), INLINE_PASS);
	assert_count(inline_kernel_out, 1);
	assert_count(inline_kernel_in, 5);
}

/* Who knows the tuple of the kernel's connection, or tries them all, does not get at it. */
static void kernel_kept(void **state)
{
	static const enum handoff_action any[] = {ACT_DEFAULT, ACT_PASS_FLOW, ACT_BYPASS,
						  ACT_DROP_FLOW, ACT_REJECT, ACT_IGNORE};
	struct tcp_tuple t;

	(void)state;
	for (uint16_t i = 0; i < sizeof(any) / sizeof(any[0]); i++) {
		t = flow(80, (uint16_t)(i + 1));
		set_action(CAUSE_MIDSTREAM, any[i]);
		set_action(CAUSE_CONTROL_DOWN, any[i]);
		inline_set_state(w, true, true);
		assert_int_equal(give(&t, INLINE_KERNEL_OUT, TH_SYN, false), INLINE_PASS);
		assert_int_equal(DATA(&t), INLINE_DROP);
		assert_int_equal(give(&t, INLINE_TO_SERVER, TH_RST, false), INLINE_DROP);
		assert_int_equal(give(&t, INLINE_TO_SERVER, TH_SYN | TH_ACK, false), INLINE_DROP);
		assert_int_equal(BACK(&t), INLINE_KERNEL);
		/* A SYN that is let by opens no entry in its place. */
		inline_set_state(w, false, true);
		SYN(&t);
		assert_int_equal(BACK(&t), INLINE_KERNEL);
		/* Closed, maybe by a forged RST. */
		assert_int_equal(give(&t, INLINE_FROM_SERVER, TH_RST, false), INLINE_KERNEL);
		DATA(&t);
		SYN(&t);
		assert_int_equal(BACK(&t), INLINE_KERNEL);
	}
	assert_count(inline_drop_midstream, 3 * 6 + 1);
	assert_count(inline_flow_evicted, 0);
	/* And when its time is over the tuple is anybody's. */
	inline_set_clock(w, 1000 + LIMIT_INLINE_CLOSED_S);
	set_action(CAUSE_MIDSTREAM, ACT_PASS_FLOW);
	assert_int_equal(DATA(&t), INLINE_WATCH);
	assert_int_equal(BACK(&t), INLINE_WATCH);
}

/* A flood of flows costs nobody the kernel's. */
static void full(void **state)
{
	struct tcp_tuple k[8], t;

	(void)state;
	for (uint16_t i = 0; i < 8; i++) {
		k[i] = flow(80, (uint16_t)(60000 + i));
		give(&k[i], INLINE_KERNEL_OUT, TH_SYN, false);
	}
	for (uint16_t i = 1; i < 5000; i++) {
		t = flow(80, i);
		assert_int_equal(DATA(&t), INLINE_WATCH);
	}
	assert_true(counter[CNT_inline_flow_evicted] > 4000);
	for (uint16_t i = 0; i < 8; i++)
		assert_int_equal(BACK(&k[i]), INLINE_KERNEL);
	assert_int_equal(DATA(&t), INLINE_WATCH);
}

static enum inline_verdict piece(uint8_t server, uint32_t id, bool first, uint16_t port, uint8_t proto)
{
	uint8_t source[16], to[16], header[20] = {0x12, 0x34, (uint8_t)(port >> 8), (uint8_t)port};
	struct inline_fragment f = {.source = source, .destination = to, .id = id, .proto = proto,
				    .first = first, .ports = first && port ? header : NULL};

	v4(source, 203, 0, 113, 9);
	v4(to, 192, 0, 2, server);
	return inline_fragment(w, &f);
}

static void fragments(void **state)
{
	(void)state;
	/* The first decides. */
	assert_int_equal(piece(80, 1, true, 25, 6), INLINE_OURS);
	assert_int_equal(piece(80, 1, false, 0, 6), INLINE_OURS);
	assert_int_equal(piece(80, 2, true, 443, 6), INLINE_PASS);
	assert_int_equal(piece(80, 2, false, 0, 6), INLINE_PASS);
	assert_int_equal(piece(80, 1, false, 0, 6), INLINE_OURS);
	/* UDP, and who is not terminated */
	assert_int_equal(piece(80, 3, false, 0, 17), INLINE_PASS);
	assert_int_equal(piece(81, 4, true, 25, 6), INLINE_PASS);
	assert_int_equal(piece(81, 4, false, 0, 6), INLINE_PASS);
	/* Without its first one: waits. */
	assert_int_equal(piece(80, 5, false, 0, 6), INLINE_OURS);
	/* What hides its ports; with it go those behind it. */
	assert_int_equal(piece(80, 6, true, 0, 6), INLINE_DROP);
	assert_int_equal(piece(80, 6, false, 0, 6), INLINE_DROP);
	assert_int_equal(piece(80, 7, true, 0, 60), INLINE_DROP);
	assert_count(inline_drop_malformed, 2);
	/* Old decisions are none. */
	inline_set_clock(w, 1000 + LIMIT_INLINE_FRAGMENT_S);
	assert_int_equal(piece(80, 2, false, 0, 6), INLINE_OURS);
	set_action(CAUSE_FRAGMENT, ACT_BYPASS);
	assert_int_equal(piece(80, 8, true, 25, 6), INLINE_PASS);
	assert_int_equal(piece(80, 9, false, 0, 6), INLINE_PASS);
	set_action(CAUSE_FRAGMENT, ACT_DROP_FLOW);
	assert_int_equal(piece(80, 8, true, 25, 6), INLINE_DROP);
	assert_int_equal(piece(80, 8, true, 80, 6), INLINE_PASS);
	assert_int_equal(piece(80, 9, false, 0, 6), INLINE_DROP);
	config.bypass = 1;
	inline_set_config(w, &config);
	assert_int_equal(piece(80, 10, true, 25, 6), INLINE_PASS);
	assert_int_equal(piece(80, 11, true, 0, 6), INLINE_PASS);
}

static void malformed(void **state)
{
	(void)state;
	assert_int_equal(inline_malformed(w), INLINE_DROP);
	set_action(CAUSE_MALFORMED, ACT_BYPASS);
	assert_int_equal(inline_malformed(w), INLINE_PASS);
	assert_count(inline_drop_malformed, 1);
	assert_count(inline_pass_malformed, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
	const struct CMUnitTest tests[] = {
		T(servers), T(taken_off), T(taken_off_many), T(terminated), T(own_and_bypass), T(observed), T(begin_exceptions),
		T(midstream_exceptions), T(midstream_then_syn), T(ends), T(kernel), T(kernel_kept), T(full), T(fragments), T(malformed),
	};

	return cmocka_run_group_tests_name("inline", tests, NULL, NULL);
}
