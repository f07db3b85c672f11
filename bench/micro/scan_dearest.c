/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Which rules control's time goes to. Each rule of which a gate opened, and each that control looks
 * at on every message, is read from its line as a set of its own and judged alone, over the
 * messages that it was open in, with the matches that the dataplane found; the texts are made before.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/micro/scan.h"
#include "control/judge/texts.h"

#define SAMPLES 24u /* messages a rule is timed on */
#define TIMES 3u    /* the best of */
#define PLACES 8u   /* matches of its gate that are kept of a message */
/* Looked at before each: the first pattern of a judgement that needs PCRE2's stack pays for its pages.
 * Of a text that control alone has, so that it is looked at always. */
#define FIRST "header FIRST_OF_ALL EnvelopeFrom =~ /^(?:(.)(?=.))+\\d\\z/\n"

struct opening {
	uint32_t corpus, message;
	unsigned int n;
	struct handoff_match match[PLACES];
};

struct tally {
	uint64_t open, messages; /* messages that its gate opens in; that control looks at it in */
	uint64_t now;            /* the last of them, from 1 on */
	struct opening *current; /* its sample; NULL: it is none */
	struct opening sample[SAMPLES];
	unsigned int n_samples;
};

struct work {
	const struct sb_set *s;
	const struct sb_corpus *corpus;
	size_t n_corpora, total;
	struct tally *tally;     /* by rule */
	size_t with_view_gate;   /* messages with an open gate in a view, header fields aside */
	char *tags;              /* lines that are about tags */
	size_t tags_len, tags_cap;
	char *tagged;            /* names behind replace_rules, spaces around */
	size_t tagged_len, tagged_cap;
};

static void append(char **to, size_t *len, size_t *cap, const char *s)
{
	size_t n = strlen(s);

	while (*len + n + 1 > *cap) {
		*cap = *cap ? 2 * *cap : 4096;
		*to = realloc(*to, *cap);
		if (!*to)
			sb_die("no memory for lines");
	}
	memcpy(*to + *len, s, n + 1);
	*len += n;
}

static void read_tags(struct work *k, const struct sb_files *f)
{
	char *line = NULL;
	size_t cap = 0;

	append(&k->tags, &k->tags_len, &k->tags_cap, "");
	append(&k->tagged, &k->tagged_len, &k->tagged_cap, " ");
	for (size_t i = 0; i < f->n; i++) {
		FILE *in = fopen(f->file[i], "re");

		if (!in)
			sb_die("%s: %s", f->file[i], strerror(errno));
		while (getline(&line, &cap, in) > 0) {
			const char *p = line + strspn(line, " \t");

			line[strcspn(line, "\r\n")] = '\0';
			for (char *tab = line; (tab = strchr(tab, '\t'));)
				*tab = ' ';
			if (!strncmp(p, "replace_rules", 13)) {
				append(&k->tagged, &k->tagged_len, &k->tagged_cap, p + 13);
				append(&k->tagged, &k->tagged_len, &k->tagged_cap, " ");
			} else if (!strncmp(p, "replace_", 8)) {
				append(&k->tags, &k->tags_len, &k->tags_cap, p);
				append(&k->tags, &k->tags_len, &k->tags_cap, "\n");
			}
		}
		fclose(in);
	}
	free(line);
}

static bool is_gated(const struct rule *r)
{
	return r->tier == RULE_CONFIRMED || r->tier == RULE_GATED || r->tier == RULE_AUTOMATON;
}

static size_t rule_of(const struct work *k, const struct handoff_match *m)
{
	for (size_t i = 0; i < k->total; i++) {
		const struct rule *r = rules_at(k->s->rules, i);

		if (r->slot == m->slot && r->id == m->rule && is_gated(r))
			return i;
	}
	return k->total;
}

/* Control looks at the rule in this message. Some are kept, so that samples come from all of them. */
static void note(struct tally *t, uint32_t corpus, uint32_t message)
{
	uint64_t seen = t->messages++;

	t->current = NULL;
	if (t->n_samples < SAMPLES)
		t->current = &t->sample[t->n_samples++];
	else if ((seen * 0x9e3779b97f4a7c15ull >> 32) % seen < SAMPLES)
		t->current = &t->sample[seen % SAMPLES];
	if (t->current)
		*t->current = (struct opening){.corpus = corpus, .message = message};
}

/* One of its matches; serial: of the message. */
static void note_match(struct tally *t, uint32_t corpus, uint32_t message, uint64_t serial,
		       const struct handoff_match *m)
{
	if (t->now != serial) {
		t->now = serial;
		t->open++;
		note(t, corpus, message);
	}
	if (t->current && t->current->n < PLACES)
		t->current->match[t->current->n++] = *m;
}

static void count_openings(struct work *k)
{
	static struct sb_scanned out;
	uint64_t serial = 0;

	for (uint32_t c = 0; c < k->n_corpora; c++)
		for (uint32_t i = 0; i < k->corpus[c].n; i++) {
			bool of_view = false;

			serial++;
			sb_scan(k->s, sb_octets(&k->corpus[c], i), k->corpus[c].message[i].n, &out);
			for (uint32_t m = 0; m < out.n; m++) {
				size_t rule = rule_of(k, &out.match[m]);

				if (rule == k->total)
					continue;
				of_view |= out.match[m].slot < CONTENT_SLOT_SELECTOR;
				note_match(&k->tally[rule], c, i, serial, &out.match[m]);
			}
			k->with_view_gate += of_view;
			for (size_t r = 0; r < k->total; r++)
				if (rules_at(k->s->rules, r)->tier == RULE_CONTROL)
					note(&k->tally[r], c, i);
		}
}

/* A set of this rule alone; NULL: its line cannot be found or does not read alone. */
static struct rules *alone(struct work *k, const struct rule *r)
{
	char name[LIMIT_RULES_NAME + 3], *line = NULL, *text = NULL;
	unsigned int wanted, at = 0;
	const char *path = rules_place(k->s->rules, r, &wanted);
	FILE *in = fopen(path, "re");
	size_t cap = 0, len = 0, text_cap = 0;
	struct rules *set = NULL;

	snprintf(name, sizeof(name), " %s ", r->name);
	while (in && at < wanted && getline(&line, &cap, in) > 0)
		at++;
	if (in)
		fclose(in);
	if (at != wanted || !strstr(line, r->name)) {
		free(line);
		return NULL;
	}
	if (strstr(k->tagged, name)) {
		append(&text, &len, &text_cap, k->tags);
		append(&text, &len, &text_cap, "replace_rules");
		append(&text, &len, &text_cap, name);
		append(&text, &len, &text_cap, "\n");
	}
	append(&text, &len, &text_cap, FIRST);
	append(&text, &len, &text_cap, line);
	if (r->multiple) {
		append(&text, &len, &text_cap, "\ntflags ");
		append(&text, &len, &text_cap, r->name);
		append(&text, &len, &text_cap, " multiple\n");
	}
	if (rules_parse(r->name, text, len, &set) || !rules_find(set, r->name)) {
		rules_free(set);
		set = NULL;
	}
	free(text);
	free(line);
	return set;
}

/* Nanoseconds of judging it, over the samples, less `floor`. */
static double time_alone(struct work *k, const struct rules *set, const struct rule *r,
			 struct tally *t, double floor)
{
	const struct rule *own = rules_find(set, r->name);
	double sum = 0;

	for (unsigned int i = 0; i < t->n_samples; i++) {
		struct opening *o = &t->sample[i];
		struct rules_judged judged;
		struct rule_hit hit;
		struct sb_texts texts;
		const struct rules_source src = {.text = sb_texts_get, .ctx = &texts, .parts = true};
		uint64_t best = UINT64_MAX;
		struct str text;

		for (unsigned int j = 0; j < o->n; j++) {
			o->match[j].rule = own->id;
			o->match[j].slot = own->slot;
		}
		sb_texts_begin(&texts, set, &k->corpus[o->corpus], o->message);
		(void)sb_texts_get(&texts, own->slot, &text);
		(void)sb_texts_get(&texts, RULES_SLOT_TOLD | RULES_ENVELOPE_FROM, &text);
		for (unsigned int j = 0; j <= TIMES; j++) {
			uint64_t start = sb_now();

			if (own->tier == r->tier)
				rules_judge(set, o->match, o->n, 0, &src, &hit, 1, &judged);
			else
				rules_judge_in_full(set, &src, &hit, 1, &judged);
			start = sb_now() - start;
			if (j && start < best)
				best = start;
		}
		sb_texts_end(&texts);
		sum += (double)best > floor ? (double)best - floor : 0;
	}
	return t->n_samples ? sum / t->n_samples : 0;
}

/* What a judgement costs that looks at FIRST alone. */
static double floor_ns(struct work *k)
{
	struct tally t = {0};
	struct rules *set;
	double ns;

	if (rules_parse("floor", FIRST, strlen(FIRST), &set))
		sb_die("a rule for comparison does not load");
	for (; t.n_samples < SAMPLES && t.n_samples < k->corpus[0].n; t.n_samples++)
		t.sample[t.n_samples] = (struct opening){.message = t.n_samples};
	ns = time_alone(k, set, &(struct rule){.name = (char[]){"FIRST_OF_ALL"}, .tier = RULE_OFF}, &t, 0);
	rules_free(set);
	return ns;
}

json_t *sb_dearest(const struct sb_set *s, const struct sb_files *f, const struct sb_corpus *c,
		   size_t n_corpora)
{
	struct work k = {.s = s, .corpus = c, .n_corpora = n_corpora, .total = rules_total(s->rules)};
	json_t *list = json_array();
	size_t messages = 0;
	double floor;

	for (size_t i = 0; i < n_corpora; i++)
		messages += c[i].n;
	k.tally = sb_alloc(k.total + 1, sizeof(*k.tally));
	read_tags(&k, f);
	count_openings(&k);
	floor = floor_ns(&k);
	for (size_t i = 0; i < k.total; i++) {
		const struct rule *r = rules_at(s->rules, i);
		struct tally *t = &k.tally[i];
		struct rules *set;
		char slot[200];
		double ns = -1;

		if (!t->messages)
			continue;
		set = alone(&k, r);
		if (set)
			ns = time_alone(&k, set, r, t, floor);
		rules_free(set);
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:f, s:f, s:f}", "rule", r->name, "tier",
			rule_tier_name(r->tier), "slot", rules_slot_name(s->rules, r->slot, slot, sizeof(slot)),
			"open", (double)t->open / (double)messages, "us_each", ns < 0 ? -1 : ns / 1e3,
			"us_a_message", ns < 0 ? -1 : ns / 1e3 * (double)t->messages / (double)messages));
	}
	free(k.tally);
	free(k.tags);
	free(k.tagged);
	return json_pack("{s:o, s:f, s:f}", "rules", list, "with_view_gate",
			 (double)k.with_view_gate / (double)messages, "floor_us", floor / 1e3);
}
