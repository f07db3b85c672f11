/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * oracle [OPTIONS] RULES.cf... — three answers to one question: what a message that comes in pieces
 * is found to hit, what it hits in one piece, and what every pattern finds when it is evaluated in
 * full. Each message is cut anew again and again; every cut must come to the same hits, counts and
 * score.
 *
 *   -m DIR   messages of that directory (more than one), beside those that are made (mailmade.h)
 *   -n N     cuts in all (2000)          -e N  cuts of each message (40)
 *   -s SEED  (of the clock)              -c DIR  compiled databases are kept there
 *   -k DIR   messages that differ are kept there
 *   -d NAME  does one thing wrong, and fails if that is not noticed: octet, end, match, state
 */

#include <dirent.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/oracle/cuts.h"
#include "tests/oracle/mailmade.h"
#include "tests/oracle/pipeline.h"

#define MAX_DIFFERENCES 20u
#define MAIL_FILES      8192u
#define MAIL_FILE_MAX   (1u << 20)
/* Long messages are cut less often. */
#define LONG 40000u

enum defect {
	DEFECT_NONE,
	DEFECT_OCTET, /* the octet behind a cut is not fed */
	DEFECT_END,   /* matches are told to end where the text is over */
	DEFECT_MATCH, /* one match is lost */
	DEFECT_STATE, /* what a stream knows ends with a run */
	DEFECTS
};
static const char *const defect_name[DEFECTS] = {"none", "octet", "end", "match", "state"};

struct totals {
	uint64_t cuts, runs, messages, octets, hits;
	uint64_t by_kind[CUTS_KINDS];
	uint64_t in_full;   /* cuts that were judged in full, as their scan was partial or cut */
	uint64_t partial;   /* texts that were not scanned to their end */
	uint64_t undecided; /* messages and cuts where PCRE2 ran into a limit */
	unsigned int differences;
};

struct oracle {
	struct rules *rules;
	struct pipeline p;
	struct rng rng;
	uint64_t seed;
	enum defect defect;
	const char *keep;
	bool *hit; /* by rule */
	char **file;
	size_t n_files;
	/* of the message */
	uint64_t serial;
	struct str message;
	struct pipeline_texts texts;
	struct pipeline_verdict full, got;
	struct totals t;
};

/* One pass of a message in pieces. */
struct pass {
	struct cuts cuts;
	size_t at, next;
	struct scan_large *large;
	struct pipeline_scan scan;
};

/* ---- what is found --------------------------------------------------------------------------- */

static void keep(const struct oracle *o)
{
	char path[512];
	FILE *f;

	if (!o->keep)
		return;
	snprintf(path, sizeof(path), "%s/%llu-%llu.eml", o->keep, (unsigned long long)o->seed,
		 (unsigned long long)o->serial);
	f = fopen(path, "wb");
	if (f) {
		fwrite(o->message.p, 1, o->message.n, f);
		fclose(f);
	}
}

static void print_cuts(const struct cuts *c)
{
	printf("  %zu cuts (%s):", c->n, cuts_name(c->kind));
	for (size_t i = 0; i < c->n && i < 24; i++)
		printf(" %zu", c->at[i]);
	printf("\n");
}

/* The verdict of a scan against that of all patterns in full. */
static void compare(struct oracle *o, const struct pipeline_scan *s, const char *what,
		    const struct cuts *c)
{
	const struct rule *rule;
	const char *place = "";
	unsigned int a = 0, b = 0, line = 0;

	o->t.in_full += s->flags != 0;
	for (uint32_t i = 0; i < s->n; i++)
		o->t.partial += s->match[i].rule == HANDOFF_PARTIAL;
	for (int tries = 0; tries < 3; tries++) {
		if (!pipeline_judge(&o->p, &o->texts, s, &o->got))
			abort();
		if (!o->got.judged.limited)
			break;
	}
	if (o->got.judged.limited) {
		o->t.undecided++;
		return;
	}
	rule = pipeline_differ(&o->got, &o->full, &a, &b);
	if (!rule && !o->got.judged.unknown && !o->got.judged.failed)
		return;
	o->t.differences++;
	if (o->defect != DEFECT_NONE)
		return;
	printf("DIFFERENCE: seed %llu, message %llu of %zu octets, %s: ",
	       (unsigned long long)o->seed, (unsigned long long)o->serial, o->message.n, what);
	if (rule)
		place = rules_place(o->rules, rule, &line);
	if (rule)
		printf("%s (%s, %s:%u): %u hits, in full %u; score %.3f, in full %.3f\n",
		       rule->name, rule_tier_name(rule->tier), place, line, a, b, o->got.score,
		       o->full.score);
	else
		printf("%u matches of no rule, %u texts that failed\n", o->got.judged.unknown,
		       o->got.judged.failed);
	if (c)
		print_cuts(c);
	keep(o);
}

/* ---- messages in pieces ---------------------------------------------------------------------- */

static void pass_begin(struct oracle *o, struct pass *p)
{
	const struct scan_target t = pipeline_target(&p->scan);

	cuts_draw(&p->cuts, &o->rng, o->message);
	p->at = p->next = 0;
	p->large = scan_views_open(o->p.views, o->p.worker, &t);
	if (!p->large)
		abort();
}

/* An exact-size copy, so that ASan sees a read past the end; and it is gone when the call is over.
 */
static void feed(struct oracle *o, struct pass *p, size_t from, size_t to)
{
	size_t n = to - from;
	uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		abort();
	memcpy(copy, o->message.p + from, n);
	scan_large_run(p->large, copy, n);
	free(copy);
	o->t.runs++;
}

/* The next run; false: that was the last. */
static bool pass_step(struct oracle *o, struct pass *p)
{
	bool last = p->next == p->cuts.n;
	size_t to = last ? o->message.n : p->cuts.at[p->next++];
	size_t from = p->at;

	if (o->defect == DEFECT_OCTET && from && from < to)
		from++;
	feed(o, p, from, to);
	p->at = to;
	return !last;
}

static void spoil(struct oracle *o, struct pipeline_scan *s)
{
	if (o->defect == DEFECT_MATCH && s->n) {
		s->match[rng_below(&o->rng, s->n)] = s->match[s->n - 1];
		s->n--;
	}
	for (uint32_t i = 0; o->defect == DEFECT_END && i < s->n; i++)
		s->match[i].end += 1u << 20;
}

static void pass_end(struct oracle *o, struct pass *p, const char *what)
{
	p->scan.flags |= scan_large_close(p->large).flags;
	spoil(o, &p->scan);
	o->t.cuts++;
	o->t.by_kind[p->cuts.kind]++;
	compare(o, &p->scan, what, &p->cuts);
}

/* Another message was begun and given up: of it nothing may stay. */
static void given_up(struct oracle *o, struct pass *p)
{
	pass_begin(o, p);
	for (uint32_t i = 1 + rng_below(&o->rng, 3); i; i--)
		if (!pass_step(o, p))
			break;
	scan_large_abort(p->large);
}

static void cut_message(struct oracle *o, struct pass *one, struct pass *two)
{
	bool both = !rng_below(&o->rng, 8), more[2] = {true, both};

	if (!rng_below(&o->rng, 16))
		given_up(o, two);
	pass_begin(o, one);
	if (both)
		pass_begin(o, two);
	while (more[0] || more[1]) {
		bool first = more[0] && (!more[1] || rng_below(&o->rng, 2));

		more[!first] = pass_step(o, first ? one : two);
	}
	pass_end(o, one, both ? "in pieces, beside another" : "in pieces");
	if (both)
		pass_end(o, two, "in pieces, beside another");
}

/* ---- views in pieces ------------------------------------------------------------------------- */

static void cut_view(struct oracle *o, unsigned int slot, struct str text, struct pass *p)
{
	struct pipeline_scan *s = &p->scan;
	struct scan_message *m = scan_open(o->p.worker, slot);

	if (!m)
		abort();
	cuts_draw(&p->cuts, &o->rng, text);
	p->at = 0;
	for (size_t i = 0; i <= p->cuts.n; i++) {
		size_t to = i == p->cuts.n ? text.n : p->cuts.at[i], n = to - p->at;
		uint8_t *copy = malloc(n ? n : 1);

		if (!copy)
			abort();
		memcpy(copy, text.p + p->at, n);
		if (n)
			s->flags |= scan_run(m, copy, n, s->match, &s->n, HANDOFF_MAX_MATCHES);
		free(copy);
		if (o->defect == DEFECT_STATE) {
			s->flags |= scan_close(m, s->match, &s->n, HANDOFF_MAX_MATCHES);
			m = scan_open(o->p.worker, slot);
		}
		p->at = to;
		o->t.runs++;
	}
	s->flags |= scan_close(m, s->match, &s->n, HANDOFF_MAX_MATCHES);
	o->t.cuts++;
	o->t.by_kind[p->cuts.kind]++;
}

/* Texts as they are made, each cut somewhere: content/ cuts its runs always at the same places. */
static void cut_views(struct oracle *o, struct pass *p)
{
	unsigned int slots = CONTENT_SLOT_SELECTOR + o->p.plan.n_selectors;
	const struct content_plan *plan = scan_generation_plan(o->p.generation);
	struct pipeline_scan *s = &p->scan;

	(void)pipeline_target(s);
	for (unsigned int slot = 0; slot < slots; slot++) {
		struct str text;

		if ((slot < VIEW_COUNT && !(plan->views & 1u << slot)) ||
		    texts_get(o->texts.texts, slot, &text) <= 0)
			continue;
		if (slot < VIEW_COUNT && scan_has_patterns(o->p.worker, slot))
			cut_view(o, slot, text, p);
		else
			s->flags |= scan_block(o->p.worker, slot, text.p, text.n, s->match, &s->n,
					       HANDOFF_MAX_MATCHES);
	}
	spoil(o, s);
	compare(o, s, "views in pieces (the last one's cuts)", &p->cuts);
}

/* ---- a message ------------------------------------------------------------------------------- */

static bool judge_in_full(struct oracle *o)
{
	for (int tries = 0; tries < 3; tries++) {
		if (!pipeline_judge(&o->p, &o->texts, NULL, &o->full))
			abort();
		if (!o->full.judged.limited)
			break;
	}
	if (o->full.judged.limited)
		o->t.undecided++;
	for (size_t i = 0; i < o->full.n; i++)
		o->hit[o->full.hit[i].rule - rules_at(o->rules, 0)] = true;
	o->t.hits += o->full.n;
	return !o->full.judged.limited;
}

static void one_message(struct oracle *o, unsigned int each, struct pass *one, struct pass *two)
{
	uint32_t n = (uint32_t)o->message.n;
	unsigned int before = o->t.differences;
	const size_t cut[2] = {rng_below(&o->rng, n + 1), rng_below(&o->rng, n + 1)};

	o->t.messages++;
	o->t.octets += n;
	if (!pipeline_texts_new(&o->p, o->message, cut, &o->texts))
		abort();
	if (judge_in_full(o)) {
		pipeline_block(&o->p, o->message, &one->scan);
		spoil(o, &one->scan);
		compare(o, &one->scan, "in one piece", NULL);
		/* What differs once differs in many cuts. */
		for (unsigned int i = 0;
		     i < (n > LONG ? each / 4 + 1 : each) && o->t.differences == before; i++) {
			if (rng_below(&o->rng, 4))
				cut_message(o, one, two);
			else
				cut_views(o, one);
		}
	}
	pipeline_texts_free(&o->texts);
}

static void read_mail(const char *path, struct octets *out)
{
	FILE *f = fopen(path, "rb");
	uint8_t buf[65536];
	size_t n;

	out->n = 0;
	if (!f) {
		perror(path);
		exit(2);
	}
	while (out->n < MAIL_FILE_MAX && (n = fread(buf, 1, sizeof(buf), f)) > 0)
		octets_add(out, buf, n);
	fclose(f);
}

static void all_messages(struct oracle *o, uint64_t cuts, unsigned int each)
{
	struct pass *one = calloc(1, sizeof(*one)), *two = calloc(1, sizeof(*two));
	struct octets mail = {0};

	if (!one || !two)
		abort();
	for (; o->t.cuts < cuts && o->t.differences < MAX_DIFFERENCES; o->serial++) {
		o->rng = rng_of(o->seed, o->serial);
		if (o->n_files && o->serial % 4)
			read_mail(o->file[(o->serial - o->serial / 4 - 1) % o->n_files], &mail);
		else
			mailmade(&o->rng, &mail);
		o->message = str_make(mail.p, mail.n);
		one_message(o, each, one, two);
		if (o->t.messages > 100 && o->t.undecided > o->t.messages / 4) {
			printf("%llu undecided: PCRE2's limits leave nothing to compare\n",
			       (unsigned long long)o->t.undecided);
			exit(2);
		}
	}
	cuts_free(&one->cuts);
	cuts_free(&two->cuts);
	free(one);
	free(two);
	free(mail.p);
}

/* ---- start and end --------------------------------------------------------------------------- */

static void find_mail(struct oracle *o, const char *dir)
{
	struct dirent **entry;
	int n = scandir(dir, &entry, NULL, alphasort);

	if (n < 0) {
		perror(dir);
		exit(2);
	}
	if (!o->file)
		o->file = calloc(MAIL_FILES, sizeof(*o->file));
	for (int i = 0; i < n; i++) {
		if (entry[i]->d_name[0] != '.' && o->file && o->n_files < MAIL_FILES &&
		    asprintf(&o->file[o->n_files], "%s/%s", dir, entry[i]->d_name) > 0)
			o->n_files++;
		free(entry[i]);
	}
	free(entry);
}

static void load(struct oracle *o, const char *const *file, size_t n, const char *cache)
{
	struct rules_options opt = RULES_DEFAULT;
	const struct rules_issue *issue;
	char err[256];
	size_t at = 0;

	opt.cache = cache;
	if (rules_load_with(file, n, &opt, &o->rules)) {
		for (size_t i = 0, k = o->rules ? rules_issues(o->rules, &issue) : 0; i < k; i++)
			if (issue[i].severity == RULES_ERROR)
				fprintf(stderr, "%s:%u: %s\n", issue[i].file, issue[i].line,
					issue[i].reason);
		exit(2);
	}
	if (!pipeline_new(&o->p, o->rules, 3, err)) {
		fprintf(stderr, "%s\n", err);
		exit(2);
	}
	while (!rules_warm(o->rules, &at, 1000000))
		;
	o->hit = calloc(rules_total(o->rules) + 1, sizeof(*o->hit));
	if (!o->hit)
		abort();
}

static void print_tiers(const struct oracle *o)
{
	unsigned int all[RULE_TIERS] = {0}, hit[RULE_TIERS] = {0};

	for (size_t i = 0; i < rules_total(o->rules); i++) {
		all[rules_at(o->rules, i)->tier]++;
		hit[rules_at(o->rules, i)->tier] += o->hit[i];
	}
	printf("rules that hit at least once:");
	for (unsigned int t = 0; t < RULE_OFF; t++)
		printf(" %s %u of %u%s", rule_tier_name((enum rule_tier)t), hit[t], all[t],
		       t + 1 < RULE_OFF ? "," : "\n");
	for (size_t i = 0, n = 0; i < rules_total(o->rules) && n < 8; i++)
		if (!o->hit[i] && rules_at(o->rules, i)->tier < RULE_OFF)
			printf("%s%s", n++ ? " " : "not one hit: ", rules_at(o->rules, i)->name);
	printf("\n");
}

static int report(const struct oracle *o)
{
	const struct totals *t = &o->t;

	printf("seed %llu: %llu cuts, %llu runs, of %llu messages of %.1f kB on average, %.1f hits "
	       "each\n",
	       (unsigned long long)o->seed, (unsigned long long)t->cuts,
	       (unsigned long long)t->runs, (unsigned long long)t->messages,
	       (double)t->octets / 1000 / (double)(t->messages + !t->messages),
	       (double)t->hits / (double)(t->messages + !t->messages));
	for (unsigned int k = 0; k < CUTS_KINDS; k++)
		printf("%s %llu%s", cuts_name((enum cuts_kind)k), (unsigned long long)t->by_kind[k],
		       k + 1 < CUTS_KINDS ? ", " : "\n");
	print_tiers(o);
	printf("judged in full: %llu; texts that were too long: %llu; undecided (PCRE2's limits): "
	       "%llu; differences: %u\n",
	       (unsigned long long)t->in_full, (unsigned long long)t->partial,
	       (unsigned long long)t->undecided, t->differences);
	if (o->defect != DEFECT_NONE)
		printf("defect \"%s\": %s\n", defect_name[o->defect],
		       t->differences ? "noticed" : "NOT NOTICED");
	return o->defect == DEFECT_NONE ? t->differences != 0 : t->differences == 0;
}

static _Noreturn void usage(void)
{
	fputs("usage: oracle [-m DIR] [-n CUTS] [-e CUTS-EACH] [-s SEED] [-c DIR] [-k DIR] [-d "
	      "DEFECT] RULES.cf...\n",
	      stderr);
	exit(2);
}

static enum defect defect_of(const char *name)
{
	for (unsigned int d = 1; d < DEFECTS; d++)
		if (strcmp(name, defect_name[d]) == 0)
			return (enum defect)d;
	usage();
}

int main(int argc, char **argv)
{
	struct oracle *o = calloc(1, sizeof(*o));
	const char *cache = NULL;
	uint64_t cuts = 2000;
	unsigned int each = 40;
	int c, rc;

	if (!o)
		abort();
	o->seed = (uint64_t)time(NULL);
	while ((c = getopt(argc, argv, "m:n:e:s:c:k:d:")) != -1) {
		switch (c) {
		case 'm':
			find_mail(o, optarg);
			break;
		case 'n':
			cuts = strtoull(optarg, NULL, 10);
			break;
		case 'e':
			each = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 's':
			o->seed = strtoull(optarg, NULL, 10);
			break;
		case 'c':
			cache = optarg;
			break;
		case 'k':
			o->keep = optarg;
			break;
		case 'd':
			o->defect = defect_of(optarg);
			break;
		default:
			usage();
		}
	}
	if (optind == argc || !cuts || !each)
		usage();
	printf("seed %llu\n", (unsigned long long)o->seed);
	fflush(stdout);
	load(o, (const char *const *)argv + optind, (size_t)(argc - optind), cache);
	all_messages(o, cuts, each);
	rc = report(o);
	pipeline_free(&o->p);
	rules_free(o->rules);
	for (size_t i = 0; i < o->n_files; i++)
		free(o->file[i]);
	free(o->file);
	free(o->full.hit);
	free(o->got.hit);
	free(o->hit);
	free(o);
	return rc;
}
