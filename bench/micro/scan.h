/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Shared by the files of micro-scan, the C half of bench/micro/scan: messages → views → matches →
 * control's judgement, each step timed apart. Only public functions of dataplane/scan and
 * control/rules are used, so that the matchers can change under it. All times are CPU time of the
 * one thread there is, in nanoseconds: what else runs on the machine is not in them, but for what
 * it takes of the caches.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <jansson.h>

#include "control/rules/rules.h"
#include "dataplane/scan/scan_views.h"
#include "postern/handoff.h"

/* ---- scan_corpus.c */

struct sb_message {
	size_t off, n;
};

struct sb_corpus {
	char *name;
	uint8_t *data;
	size_t size, cap;
	struct sb_message *message;
	size_t n;
	uint8_t sha256[32];    /* over length (64 bits, little endian) and octets of each message */
};

/* A text as the scanner gets it: a run of a slot of a message. */
struct sb_run {
	uint32_t message;
	uint16_t slot;
	uint8_t flags;         /* CONTENT_RUN_* */
	size_t off, n;
};

struct sb_views {
	uint8_t *data;
	size_t size, cap;
	struct sb_run *run;
	size_t n, cap_runs;
};

/* All regular files of a directory, by name; a message without any CRLF gets them. */
void sb_corpus_load(struct sb_corpus *c, const char *name, const char *directory);
void sb_corpus_free(struct sb_corpus *c);
json_t *sb_corpus_json(const struct sb_corpus *c);
static inline const uint8_t *sb_octets(const struct sb_corpus *c, size_t i)
{
	return c->data + c->message[i].off;
}
/* The views of all messages, `full` with them, made once. */
void sb_views_make(struct sb_views *v, const struct sb_corpus *c, const struct content_plan *plan);
void sb_views_free(struct sb_views *v);

/* ---- scan_set.c */

/* A rule set as control and the dataplane have it. */
struct sb_set {
	struct rules *rules;
	struct scan_generation *generation; /* NULL: nothing of it is for the dataplane */
	struct scan_worker *worker;
	struct scan_views *views;
	void *content;         /* memory of a struct content for views that are not scanned */
	uint64_t *counters;
};

struct sb_files {
	const char **file;
	size_t n;
	const char *cache;
	char *directory;       /* of files that are made on the way */
};

void sb_set_load(struct sb_set *s, const struct sb_files *f);
/* The same with every rule that is not of one of these tiers switched off. */
void sb_set_load_tiers(struct sb_set *s, const struct sb_files *f, const struct rules *all,
		       uint32_t tiers, const char *name);
void sb_set_free(struct sb_set *s);
/* What the dataplane makes of a message for it. */
const struct content_plan *sb_set_plan(const struct sb_set *s);

/* ---- scan_measure.c: of one corpus, once */

struct sb_cost {
	uint64_t ns, octets, matches;
};

#define SB_HEADERS VIEW_COUNT /* in place of a view: all selectors */

struct sb_scanned {
	struct handoff_match match[HANDOFF_MAX_MATCHES];
	uint32_t n, flags;
};

/* One message, as dataplane/message.c does it. */
void sb_scan(const struct sb_set *s, const uint8_t *p, size_t n, struct sb_scanned *out);
/* Of the first n_messages those of up to a chunk (block mode), or the larger ones (streams). */
struct sb_cost sb_whole(const struct sb_set *s, const struct sb_corpus *c, size_t n_messages,
			bool large);
static inline struct sb_cost sb_sum(struct sb_cost a, struct sb_cost b)
{
	return (struct sb_cost){a.ns + b.ns, a.octets + b.octets, a.matches + b.matches};
}
struct sb_cost sb_made_only(const struct sb_set *s, const struct sb_corpus *c);
/* Runs of one view, or of all selectors, that are at hand already. */
struct sb_cost sb_view(const struct sb_set *s, const struct sb_views *v, unsigned int view);

/* ---- scan_control.c */

struct sb_control {
	struct sb_cost all;
	double median_us, p99_us, most_us;
	size_t messages, with_gates, in_full, limited, hits;
	uint64_t gates, texts;
};

void sb_control(const struct sb_set *s, const struct sb_corpus *c, size_t n_messages,
		struct sb_control *out);
/* What each rule costs in control, and how often its gate opens. */
json_t *sb_dearest(const struct sb_set *s, const struct sb_files *f, const struct sb_corpus *c,
		   size_t n_corpora);

/* Texts of a message for rules_judge(), as control/judge has them. */
struct sb_texts {
	const struct sb_corpus *corpus;
	size_t message;
	struct content_plan plan;
	struct texts *texts;
	char relays[400], from[200];
	struct iovec iov;
	struct mail_bytes bytes;
};
void sb_texts_begin(struct sb_texts *t, const struct rules *r, const struct sb_corpus *c,
		    size_t message);
void sb_texts_end(struct sb_texts *t);
/* struct rules_source.text */
int sb_texts_get(void *ctx, uint16_t slot, struct str *text);

/* ---- scan_raw.c: Hyperscan without us */

struct sb_raw;
/* Every pattern of a view in full, in one database; NULL: there are none. *left: how many it is
 * without. cache: directory that databases are kept in, NULL: none. */
struct sb_raw *sb_raw_naive(const struct sb_set *s, unsigned int view, const char *cache, size_t *n,
			    size_t *left);
/* Literals; single: HS_FLAG_SINGLEMATCH. */
struct sb_raw *sb_raw_literals(char *const *literal, size_t n, bool single);
void sb_raw_free(struct sb_raw *r);
struct sb_cost sb_raw_view(struct sb_raw *r, const struct sb_views *v, unsigned int view);
/* The octets of the messages; a large one in runs of a chunk. */
struct sb_cost sb_raw_full(struct sb_raw *r, const struct sb_corpus *c);

/* ---- scan_main.c */

_Noreturn void sb_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void *sb_alloc(size_t n, size_t size);
/* Room for one more of n. */
void sb_grow(void *array, size_t n, size_t *cap, size_t size);
void sb_hex(const uint8_t sha256[32], char out[65]);

static inline uint64_t sb_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
