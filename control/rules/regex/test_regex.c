/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What is told of a pattern, against PCRE2 and against strings drawn from its tree: every string
 * that PCRE2 finds a match in must hold a literal of the gate and open the automaton, wherever it
 * stands in a text and wherever the text is cut.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <pcre2.h>

#include "control/rules/mailtext.h"
#include "control/rules/regex/regex_automaton.h"
#include "dataplane/scan/automaton.h"

#define DRAWS 400

static uint32_t seed = 1;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)(seed >> 4) * below) >> 28);
}

struct draw {
	uint8_t p[4096];
	size_t n;
};

static void draw(const struct regex *re, uint32_t i, struct draw *d)
{
	const struct regex_node *n = &re->node[i];
	uint32_t k = 0, c, times;

	switch (n->kind) {
	case REGEX_CLASS:
		for (c = rnd(256), k = 0; k < 256 && !regex_class_has(&re->set[n->set], (uint8_t)c); k++)
			c = (c + 1) & 255;
		if (k < 256 && d->n < sizeof(d->p))
			d->p[d->n++] = (uint8_t)c;
		break;
	case REGEX_CAT:
		for (c = n->child; c != REGEX_NONE; c = re->node[c].next)
			draw(re, c, d);
		break;
	case REGEX_ALT:
		for (c = n->child; c != REGEX_NONE; c = re->node[c].next)
			k++;
		k = rnd(k);
		for (c = n->child; k--; c = re->node[c].next)
			;
		draw(re, c, d);
		break;
	case REGEX_REPEAT:
		times = n->max - n->min > 5 ? n->min + rnd(6) : n->min + rnd(n->max - n->min + 1);
		for (k = 0; k < times && d->n < sizeof(d->p) / 2; k++)
			draw(re, n->child, d);
		break;
	default:
		break;
	}
}

static bool holds(const struct draw *d, const struct regex_literal *l)
{
	for (size_t at = 0; at + l->len <= d->n; at++) {
		unsigned int k = 0;

		for (; k < l->len; k++) {
			uint8_t c = d->p[at + k];

			if (l->caseless && c >= 'A' && c <= 'Z')
				c |= 0x20;
			if (c != l->octet[k])
				break;
		}
		if (k == l->len)
			return true;
	}
	return false;
}

static bool holds_one(const struct draw *d, const struct regex_literals *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (holds(d, &l->literal[i]))
			return true;
	return false;
}

static void count(void *ctx, uint32_t id, size_t end)
{
	(void)end;
	assert_int_equal(id, 7);
	++*(unsigned int *)ctx;
}

/* In one run, and cut in two. */
static void opens(const struct automaton *a, const struct draw *d)
{
	unsigned int n = 0, m = 0;
	size_t cut = rnd((uint32_t)d->n + 1);

	automaton_run(a, d->p, d->n, 0, d->n, true, count, &n);
	assert_in_range(n, 1, GATE_PLACES + 1); /* however often it is met */
	automaton_run(a, d->p, cut, 0, cut, false, count, &m);
	automaton_run(a, d->p + cut, d->n - cut, 0, d->n - cut, true, count, &m);
	assert_true(m > 0);
}

static bool matches(pcre2_code *code, pcre2_match_data *data, const struct draw *d)
{
	return pcre2_match(code, d->p, d->n, 0, 0, data, NULL) >= 0;
}

/* Text in front and behind: word boundaries and the like may then hold as well. */
static void embed(struct draw *d, const struct draw *match)
{
	size_t front = rnd(40), behind = rnd(40);

	mailtext_body(rnd(1000), d->p, front);
	memcpy(d->p + front, match->p, match->n);
	mailtext_body(rnd(1000), d->p + front + match->n, behind);
	d->n = front + match->n + behind;
}

struct checked {
	unsigned int matches, gates, automata;
};

static void check(const char *pattern, bool caseless, struct checked *sum)
{
	struct regex_nfa nfa = {.limit = 100000};
	struct regex_literals gate;
	struct regex_stretch s;
	struct regex_gate g = {0};
	struct automaton a;
	struct regex re;
	const char *why = "";
	size_t at, len, states;
	void *blob = NULL;
	int error;
	pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
					 caseless ? PCRE2_CASELESS : 0, &error, &at, NULL);
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	static struct draw d, text;

	assert_non_null(code);
	if (regex_parse(str_c(pattern), caseless ? REGEX_F_CASELESS : 0, &re, &why, &at))
		fail_msg("%s: %s", pattern, why);
	assert_int_equal(regex_literals(&re, &gate), 0);
	if (regex_stretches(&re, 0.01, 3000, &s, 1) && !regex_nfa_add(&nfa, &re, &s, 0, 7, &g) &&
	    !regex_determinise(&nfa, &g, 1, 20000, &blob, &len, &states))
		assert_null(automaton_open(blob, len, 8, &a));
	for (int i = 0; i < DRAWS; i++) {
		d.n = 0;
		draw(&re, re.root, &d);
		if (d.n > sizeof(d.p) - 100)
			continue;
		embed(&text, &d);
		if (!matches(code, data, &text))
			continue;
		sum->matches++;
		if (gate.n)
			assert_true(holds_one(&text, &gate));
		if (blob)
			opens(&a, &text);
	}
	sum->gates += gate.n > 0;
	sum->automata += blob != NULL;
	free(blob);
	regex_gate_free(&g);
	regex_nfa_free(&nfa);
	regex_literals_free(&gate);
	regex_free(&re);
	pcre2_match_data_free(data);
	pcre2_code_free(code);
}

static void gates_are_in_every_match(void **state)
{
	static const char *const patterns[] = {
		"\\bfree\\s+(?:money|cash|gold)\\b", "lott?ery winners?", "(?i)Act (?-i)NOW!{1,3}",
		"(?:click|press|tap)[^a-z]{0,5}here", "a(?:b|cd|efg){2,4}hij", "x{3,}yz+", "(foo|bar)?bazz",
		"(?!credit)[ck][r][e3]d[i1]t", "(?:^|\\W)(?!appl[ey])[a4@]pp[l1]e",
		"(?!milli?[o0]n)m[i1]ll?[i1][o0]n", "(?=b)(?!bro|Bra)[b8]r[oa0][wv]s", "(?!ab?c)[a4]b?c[d0]",
		"xy={14}ab", "ca{15,16}bd", "(?!a?+ab)[a4]b[c8]d[e3]", "(?!(?>a|ab)c)[a4]b[c8][d0]e",
		"[vV][i1!|][a@4]gr[a@]", "(?:\\b|\\s)[_\\W]{0,3}v[_\\W]{0,3}[i1l|]a[_\\W]?g",
		"\\$\\d{1,3}(?:,\\d{3}){2,}", "(?:[a-z]{8,}[ .]+){4}", "\\x41\\x{42}\\003[[:digit:]]{2}",
		"(?=.{0,10}end)begin.*", "a(?<!b)bcd|efgh|ijk", "(\\w+)@\\1\\.(?:com|net)",
		"(?>one|on)e two", "caf\\xc3\\xa9|caf\\xe9", "[^\\x00-\\x7f]{3}abc", "end\\.$", "^begin",
		"(?:a|)(?:b|c?)longer", "one.{0,4}two", "(?:[aA@]|\\xc3[\\xa0-\\xa5])(?:[bB8]|\\xce\\xb2)cd",
		"m(?:ed|on)i?c[a4]t[i1](?:[o0]|\\xd0\\xbe)n",
		/* what may stand before */
		"\\b_{0,3}s[_\\W]?[o0][_\\W]?m[_\\W]?[a4]\\b", "(?:\\b|\\s)[_\\W]{0,3}[vV][i1!|][a4@]gr",
		"(?:^|\\W)(?=a)(?!amazon)[a4]m[a4]z[o0]n", "(?<![-\\d])[1-9]\\d?,\\d{3}", "(?<=[=:])[ab][cd]{3}e",
		"(?<=x|(?<=y)z)[ab][cd]{3}e", "\\B[-+][0-9]{3}[ab]", "(?:\\b|_)[qz]{2,}\\b", "(?:x?\\b)?[kq]{3}[0-9]",
		"(?<!a|bc)[kq]{3}[0-9]", "(?<!\\n)[kq]{3}[0-9]", "(?:\\bab|[cd]\\B)[kq]{2}[0-9]",
		"(?:-\\b)*[kq]{3}[0-9]", "\\b(?:ab)?(?:\\b|-)[kq]{3}[0-9]",
	};
	struct checked sum = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		check(patterns[i], false, &sum);
		check(patterns[i], true, &sum);
	}
	/* The oracle had something to say. */
	assert_true(sum.matches > 5000);
	assert_true(sum.gates > 20);
	assert_true(sum.automata > 50);
}

/* Patterns put together at random from parts that PCRE2 and we both know. */
static void random_patterns(void **state)
{
	static const char *const part[] = {"abc", "x", "[a-f]", "\\d", "\\W", "(?:one|two)", "(a|bc)", "q?",
		"z{2,3}", "\\s*", "[^x]", ".", "(?:k|l[mn])+", "\\b", "\\B",
		"(?<![\\d-])", "(?<=[a-f.])", "(?:\\b|\\s)", "\\.", "(?!foo)", "h{0,4}", "Sale"};
	struct checked sum = {0};

	(void)state;
	for (int i = 0; i < 400; i++) {
		char pattern[400] = "";
		uint32_t n = 2 + rnd(8);

		for (uint32_t k = 0; k < n; k++) {
			strcat(pattern, part[rnd(sizeof(part) / sizeof(part[0]))]);
			if (!rnd(6) && k + 1 < n)
				strcat(pattern, "|");
		}
		check(pattern, rnd(2), &sum);
	}
	assert_true(sum.matches > 20000);
	assert_true(sum.gates > 50);
	assert_true(sum.automata > 50);
}

static void what_is_not_known_is_not_parsed(void **state)
{
	static const char *const bad[] = {"a(?R)b", "(?(1)a|b)", "\\p{L}", "a{,3}", "x**", "(a", "a)",
		"[a", "\\", "\\x{456}", "(?P>n)", "\\Qa\\E", "(*ACCEPT)", "[[:nope:]]", "\\12", "a{2}{3}"};
	const char *why;
	struct regex re;
	size_t at;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why = NULL;
		if (!regex_parse(str_c(bad[i]), 0, &re, &why, &at))
			fail_msg("%s was parsed", bad[i]);
		assert_non_null(why);
	}
}

static void line_ends(void **state)
{
	static const struct {
		const char *pattern;
		bool crosses, lossy, needs_last, very_edges;
	} t[] = {
		{"foo bar", false, false, false}, {"foo\\s+bar", true, false, false},
		{"foo\\W", false, false, true}, {"foo\\W?", false, false, false},
		{"[^a]b", true, false, false}, {"a.b", false, false, false}, {"(?s)a.b", true, false, false},
		{"foo\\s$", false, true, true}, {"(?<!\\s)foo", true, true, false},
		{"(?<!\\w)foo", false, false, false}, {"(?:a\\n|b)c", true, false, false},
		{"^a$", .very_edges = false}, {"\\Aa", .very_edges = true}, {"a\\Z", .very_edges = true},
		{"a\\z", .very_edges = true}, {"(?m)^a$", .very_edges = false}, {"(?-m)^a", .very_edges = true},
		{"(?-m:a$)", .very_edges = true}, {"(?^:^a)", .very_edges = true}, {"(?^m:^a)", .very_edges = false},
		{"(?-m:(?m:^a)b)", .very_edges = false}, {"(?-m:a)^b", .very_edges = false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct regex_lines l;
		struct regex re;
		const char *why;
		size_t at;

		assert_int_equal(regex_parse(str_c(t[i].pattern), 0, &re, &why, &at), 0);
		regex_lines(&re, &l);
		if (l.crosses != t[i].crosses || l.lossy != t[i].lossy || l.needs_last != t[i].needs_last ||
		    l.very_edges != t[i].very_edges)
			fail_msg("%s: crosses %d lossy %d needs_last %d very_edges %d", t[i].pattern, l.crosses,
				 l.lossy, l.needs_last, l.very_edges);
		regex_free(&re);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gates_are_in_every_match),
		cmocka_unit_test(random_patterns),
		cmocka_unit_test(what_is_not_known_is_not_parsed),
		cmocka_unit_test(line_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
