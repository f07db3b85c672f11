/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Gates as the dataplane runs them (dataplane/scan/scan_gates.h), against a search that is plain. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/rules/mailtext.h"
#include "control/rules/rules_literals.h"
#include "dataplane/scan/scan_gates.h"
#include "dataplane/scan/sieve.h"

#define RULES 40u
#define TEXT 3000u

static uint32_t seed = 1;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)(seed >> 4) * below) >> 28);
}

/* A set whose rules are all gated, by literals cut from mail and spoilt. */
struct made {
	struct rules r;
	struct rules_slot slot;
	struct scan_gates gates;
	uint8_t text[TEXT];
	size_t n;
};

/* The shortest that literals of a set are: for each kind of dataplane/scan/literals.h. */
static unsigned int shortest(unsigned int kind)
{
	return literals_kind[kind].gram + literals_kind[kind].stride - 1u;
}

static void make_literal(const struct made *m, struct regex_literal *l, unsigned int least)
{
	size_t at;

	l->len = (uint8_t)(least + rnd(rnd(4) ? 6 : REGEX_LITERAL_MAX - least + 1));
	at = rnd((uint32_t)(m->n - l->len));
	memcpy(l->octet, m->text + at, l->len);
	if (!rnd(3))
		l->octet[rnd(l->len)] = (uint8_t)rnd(256);
	l->caseless = rnd(2);
	for (unsigned int i = 0; l->caseless && i < l->len; i++)
		if (l->octet[i] >= 'A' && l->octet[i] <= 'Z')
			l->octet[i] |= 0x20;
}

static void make(struct made *m)
{
	static unsigned int turn;
	unsigned int kind = turn % LITERALS_KINDS;
	bool few = turn++ / LITERALS_KINDS % 2; /* so few that a sieve stands before them */
	size_t bytes = 0;
	const char *why;

	memset(m, 0, sizeof(*m));
	m->n = TEXT / 2 + rnd(TEXT / 2);
	mailtext_body(rnd(100000), m->text, m->n);
	for (unsigned int i = 0; i < 20; i++)
		m->text[rnd((uint32_t)m->n)] = (uint8_t)rnd(256);
	m->r.n = m->slot.n = RULES;
	m->r.rule = calloc(RULES, sizeof(*m->r.rule));
	m->r.src = calloc(RULES, sizeof(*m->r.src));
	m->slot.rule = calloc(RULES, sizeof(*m->slot.rule));
	for (uint32_t i = 0; i < RULES; i++) {
		struct regex_literals *gate = &m->r.src[i].gate;

		m->slot.rule[i] = m->r.rule[i].id = i;
		m->r.rule[i].tier = RULE_GATED;
		gate->n = few ? i < 4 : 1 + rnd(rnd(4) ? 3 : 60);
		gate->literal = calloc(gate->n + 1, sizeof(*gate->literal));
		for (size_t k = 0; k < gate->n; k++)
			make_literal(m, &gate->literal[k], shortest(kind));
	}
	rules_literals_build(&m->r, &m->slot);
	assert_false(m->r.oom);
	assert_int_equal(scan_gates_load(m->slot.literals, m->slot.literals_len, NULL, 0, RULES, &m->gates, &bytes,
					 &why), 0);
	assert_true(bytes > 0);
	assert_true(m->gates.literals.head->kind >= kind);
}

static void made_free(struct made *m)
{
	for (uint32_t i = 0; i < RULES; i++)
		regex_literals_free(&m->r.src[i].gate);
	free(m->r.rule);
	free(m->r.src);
	free(m->slot.rule);
	free(m->slot.literals);
	scan_gates_free(&m->gates);
}

/* Ends of a rule's literals in the text, each octet by each. */
static size_t plain(const struct made *m, uint32_t rule, bool at_end[TEXT + 1])
{
	const struct regex_literals *gate = &m->r.src[rule].gate;
	size_t n = 0;

	memset(at_end, 0, (TEXT + 1) * sizeof(*at_end));
	for (size_t k = 0; k < gate->n; k++)
		for (size_t at = 0; at + gate->literal[k].len <= m->n; at++) {
			const struct regex_literal *l = &gate->literal[k];
			unsigned int i = 0;

			for (; i < l->len; i++) {
				uint8_t c = m->text[at + i];

				if (l->caseless && c >= 'A' && c <= 'Z')
					c |= 0x20;
				if (c != l->octet[i])
					break;
			}
			if (i == l->len && !at_end[at + i]) {
				at_end[at + i] = true;
				n++;
			}
		}
	return n;
}

struct told {
	unsigned int n[RULES];
	bool at_end[RULES][TEXT + 1];
};

static void found(void *ctx, uint32_t id, uint64_t end)
{
	struct told *t = ctx;

	assert_in_range(id, 0, RULES - 1);
	assert_in_range(end, 1, TEXT);
	t->n[id]++;
	t->at_end[id][end] = true;
}

/* Up to GATE_PLACES all places are told, and nothing else ever is. */
static void check(const struct made *m, const struct told *t)
{
	static bool expected[TEXT + 1];

	for (uint32_t i = 0; i < RULES; i++) {
		size_t n = plain(m, i, expected);

		for (size_t at = 0; at <= TEXT; at++) {
			assert_true(!t->at_end[i][at] || expected[at]);
			if (t->n[i] <= GATE_PLACES)
				assert_int_equal(t->at_end[i][at], expected[at]);
		}
		assert_int_equal(n > 0, t->n[i] > 0);
	}
}

static void in_one_piece(void **state)
{
	static struct made m;
	static struct told t;
	unsigned int sieved = 0;

	(void)state;
	for (int turn = 0; turn < 150; turn++) {
		make(&m);
		sieved += m.gates.literals.head->sieve.len > 0;
		memset(&t, 0, sizeof(t));
		scan_gates_block(&m.gates, m.text, m.n, found, &t);
		check(&m, &t);
		made_free(&m);
	}
	assert_in_range(sieved, 1, 149);
}

/* Every code finds the places that the plain one finds, wherever they begin and end. */
static void sieves(void **state)
{
	uint8_t text[300];

	(void)state;
	for (int turn = 0; turn < 2000; turn++) {
		struct sieve s = {.len = 1 + rnd(SIEVE_LEN), .at = {(uint8_t)rnd(SIEVE_REACH), (uint8_t)rnd(SIEVE_REACH),
				  (uint8_t)rnd(SIEVE_REACH), (uint8_t)rnd(SIEVE_REACH)}};
		size_t n = 1 + rnd(sizeof(text)), from = rnd((uint32_t)n), to = from + rnd((uint32_t)(n - from + 1));

		for (size_t i = 0; i < n; i++)
			text[i] = (uint8_t)rnd(256);
		for (unsigned int i = 0; i < 2 + rnd(40); i++)
			sieve_add(&s, rnd(SIEVE_BUCKETS), rnd(s.len), rnd(2) ? text[rnd((uint32_t)n)] : (uint8_t)rnd(256));
		for (enum sieve_level level = SIEVE_PORTABLE; level <= SIEVE_AVX2; level++) {
			size_t at = from;

			(void)sieve_level(level);
			for (size_t i = from; i < to; i++) {
				at = sieve_next(&s, text, n, i, to);
				assert_in_range(at, i, to);
				for (size_t k = i; k < at; k++)
					assert_false(sieve_passes(&s, text + k, n - k));
				assert_true(at == to || sieve_passes(&s, text + at, n - at));
			}
		}
	}
	(void)sieve_level(SIEVE_AVX2);
}

/* Runs of one octet, of a few, of many. */
static void in_runs(void **state)
{
	static struct made m;
	static struct told t;

	(void)state;
	for (int turn = 0; turn < 150; turn++) {
		make(&m);
		for (int again = 0; again < 4; again++) {
			struct scan_carry c = {0};
			uint32_t most = again == 0 ? 1 : again == 1 ? 40 : again == 2 ? 400 : TEXT;
			size_t at = 0;

			memset(&t, 0, sizeof(t));
			while (at < m.n) {
				size_t k = 1 + rnd(most);

				k = k > m.n - at ? m.n - at : k;
				scan_gates_run(&m.gates, &c, at, m.text + at, k, found, &t);
				at += k;
			}
			scan_gates_end(&m.gates, &c, at, found, &t);
			check(&m, &t);
		}
		made_free(&m);
	}
}

static void slow(unsigned int kind)
{
	static struct made m;
	static struct told t;
	size_t bytes = 0;
	const char *why;

	make(&m);
	for (uint32_t i = 0; i < RULES; i++)
		for (size_t k = 0; k < m.r.src[i].gate.n; k++) {
			struct regex_literal *l = &m.r.src[i].gate.literal[k];

			l->len = (uint8_t)(shortest(kind) + (k + i) % 13);
			memset(l->octet, 'a', l->len);
			l->octet[l->len - 1] = (uint8_t)('a' + (k + i) % 3);
		}
	free(m.slot.literals);
	scan_gates_free(&m.gates);
	rules_literals_build(&m.r, &m.slot);
	assert_int_equal(scan_gates_load(m.slot.literals, m.slot.literals_len, NULL, 0, RULES, &m.gates, &bytes,
					 &why), 0);
	assert_int_equal(m.gates.literals.head->kind, kind);
	memset(m.text, 'a', m.n);
	memset(&t, 0, sizeof(t));
	scan_gates_block(&m.gates, m.text, m.n, found, &t);
	for (uint32_t i = 0; i < RULES; i++)
		assert_in_range(t.n[i], 0, GATE_PLACES + 1);
	made_free(&m);
}

/* All of one gram, and a text of nothing else: it opens gates, and ends. */
static void a_text_made_to_be_slow(void **state)
{
	(void)state;
	for (unsigned int kind = 0; kind < LITERALS_KINDS; kind++)
		slow(kind);
}

/* Each octet of the tables spoilt: refused, or as harmless as before. */
static void spoilt(void **state)
{
	static struct made m;
	static struct told t;

	(void)state;
	make(&m);
	for (int turn = 0; turn < 3000; turn++) {
		uint8_t *bad = aligned_alloc(64, m.slot.literals_len);
		struct literals l;

		assert_non_null(bad);
		memcpy(bad, m.slot.literals, m.slot.literals_len);
		bad[rnd(turn % 3 ? 200 : (uint32_t)m.slot.literals_len)] = (uint8_t)rnd(256);
		if (!literals_open(bad, m.slot.literals_len, RULES, &l)) {
			struct scan_gates g = {.literals_mem = bad, .literals = l};

			memset(&t, 0, sizeof(t));
			scan_gates_block(&g, m.text, m.n, found, &t);
		}
		free(bad);
	}
	made_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_one_piece), cmocka_unit_test(in_runs), cmocka_unit_test(sieves),
		cmocka_unit_test(a_text_made_to_be_slow), cmocka_unit_test(spoilt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
