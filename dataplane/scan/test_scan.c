/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Streams against block mode at random splits; bundles that must be refused. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <hs/hs.h>

#include "dataplane/scan/bundle.h"
#include "dataplane/scan/scan_views.h"
#include "dataplane/scan/scan.h"
#include "postern/stats.h"

static uint64_t counters[POSTERN_DP_COUNTER_COUNT];
static uint64_t seed = 88172645463325252ull;

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % below;
}

static const char *const patterns[] = {
	"viagra", "ab+c", "^From:", "end$", "a.{3,9}z", "x{4}", "needle", "\\.exe\\b", "[0-9]{6}",
	"q",
};
static const unsigned int pattern_flags[] = {
	HS_FLAG_CASELESS | HS_FLAG_SINGLEMATCH, 0, HS_FLAG_MULTILINE | HS_FLAG_SINGLEMATCH, 0, 0, 0,
	HS_FLAG_SINGLEMATCH, 0, 0, 0,
};
#define N_PATTERNS (sizeof(patterns) / sizeof(patterns[0]))
#define ID_BASE 100u

static char *serialize(unsigned int mode, size_t *len)
{
	unsigned int ids[N_PATTERNS];
	hs_compile_error_t *e = NULL;
	hs_database_t *db = NULL;
	char *out = NULL;

	for (unsigned int i = 0; i < N_PATTERNS; i++)
		ids[i] = ID_BASE + i * 1000;
	assert_int_equal(hs_compile_multi(patterns, pattern_flags, ids, N_PATTERNS, mode, NULL, &db,
					  &e), HS_SUCCESS);
	assert_int_equal(hs_serialize_database(db, &out, len), HS_SUCCESS);
	hs_free_database(db);
	return out;
}

struct blob {
	uint8_t *p;
	size_t n;
};

static uint64_t up(uint64_t n)
{
	return (n + SCAN_BUNDLE_ALIGN - 1) / SCAN_BUNDLE_ALIGN * SCAN_BUNDLE_ALIGN;
}

#define SELECTOR CONTENT_SLOT_SELECTOR

static struct scan_bundle_slot *slots_of(const struct blob *b)
{
	const struct scan_bundle *h = (const void *)b->p;

	return (void *)(b->p + h->slots);
}

static struct scan_bundle_selector *selectors_of(const struct blob *b)
{
	const struct scan_bundle *h = (const void *)b->p;

	return (void *)(b->p + h->selectors);
}

/* The same patterns in the slots of two views and one header field. */
static struct blob make_bundle(unsigned int first, unsigned int second)
{
	static const uint32_t slot[4] = {VIEW_BODY, VIEW_FULL, VIEW_ATTACHMENT, SELECTOR + 1};
	size_t bn, sn;
	char *b = serialize(first, &bn), *s = serialize(second, &sn);
	struct scan_bundle h = {.magic = SCAN_BUNDLE_MAGIC, .n_slots = 4, .n_selectors = 2};
	struct blob out;
	uint64_t names, block, stream;

	h.slots = up(sizeof(h));
	h.selectors = up(h.slots + 4 * sizeof(struct scan_bundle_slot));
	names = up(h.selectors + 2 * sizeof(struct scan_bundle_selector));
	block = up(names + 16);
	stream = up(block + bn);
	h.size = stream + sn;
	strncpy(h.hs_version, hs_version(), sizeof(h.hs_version) - 1);
	out.n = h.size;
	out.p = aligned_alloc(SCAN_BUNDLE_ALIGN, up(out.n));
	assert_non_null(out.p);
	memset(out.p, 0, out.n);
	memcpy(out.p, &h, sizeof(h));
	memcpy(out.p + names, "subjectx-mailer", 15);
	for (int i = 0; i < 4; i++)
		slots_of(&out)[i] = (struct scan_bundle_slot){
			.slot = slot[i], .n_patterns = N_PATTERNS, .block = block, .block_len = bn,
			.stream = slot[i] < VIEW_COUNT ? stream : 0,
			.stream_len = slot[i] < VIEW_COUNT ? sn : 0};
	slots_of(&out)[2] = (struct scan_bundle_slot){.slot = VIEW_ATTACHMENT, .flags = SCAN_SLOT_PRESENT};
	selectors_of(&out)[0] = (struct scan_bundle_selector){CONTENT_FIELD, CONTENT_RAW, 0, 0, 7, names};
	selectors_of(&out)[1] = (struct scan_bundle_selector){CONTENT_FIELD, CONTENT_DECODED,
							      CONTENT_PICK_LAST, 0, 8, names + 7};
	memcpy(out.p + block, b, bn);
	memcpy(out.p + stream, s, sn);
	free(b);
	free(s);
	return out;
}

static struct blob good;
static struct scan_generation *gen;
static struct scan_worker *worker;

static int setup(void **state)
{
	char err[256] = "";

	(void)state;
	good = make_bundle(HS_MODE_BLOCK, HS_MODE_STREAM);
	if (scan_generation_new(good.p, good.n, 7, &gen, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	assert_int_equal(scan_worker_new(gen, 3, counters, &worker), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	scan_worker_free(worker);
	scan_generation_free(gen);
	free(good.p);
	return 0;
}

static int by_rule(const void *a, const void *b)
{
	const struct handoff_match *x = a, *y = b;

	return x->rule < y->rule ? -1 : x->rule > y->rule;
}

static void same(struct handoff_match *a, uint32_t na, struct handoff_match *b, uint32_t nb)
{
	assert_int_equal(na, nb);
	qsort(a, na, sizeof(*a), by_rule);
	qsort(b, nb, sizeof(*b), by_rule);
	for (uint32_t i = 0; i < na; i++) {
		assert_int_equal(a[i].rule, b[i].rule);
		assert_int_equal(a[i].slot, b[i].slot);
		assert_int_equal(a[i].count, b[i].count);
		assert_int_equal(a[i].end, b[i].end);
		assert_true(i == 0 || a[i].rule != a[i - 1].rule);
	}
}

static size_t random_text(uint8_t *p, size_t max)
{
	static const char *const word[] = {"VIAgra", "abbbc", "From:", "end", "azzzz", "xxxxxxx",
					   "needle", "a.exe ", "1234567", "q", "\r\n", "nee",
					   "dle"};
	size_t n = 0;

	while (n + 16 < max) {
		const char *w = word[rnd(sizeof(word) / sizeof(word[0]))];

		memcpy(p + n, w, strlen(w));
		n += strlen(w);
		if (rnd(40) == 0)
			break;
	}
	return n;
}

static void test_oracle(void **state)
{
	struct handoff_match a[HANDOFF_MAX_MATCHES], b[HANDOFF_MAX_MATCHES];
	uint8_t text[600];
	uint32_t matched = 0;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		size_t n = random_text(text, sizeof(text)), at = 0;
		uint32_t na = 0, nb = 0;
		struct scan_message *m = scan_open(worker, VIEW_FULL);

		assert_non_null(m);
		assert_int_equal(0, scan_block(worker, VIEW_FULL, text, n, a, &na,
					       HANDOFF_MAX_MATCHES));
		while (at < n) {
			size_t k = rnd(round % 2 ? 4 : 80);

			k = k < n - at ? k : n - at;
			assert_int_equal(scan_run(m, text + at, k, b, &nb, HANDOFF_MAX_MATCHES), 0);
			at += k;
		}
		assert_int_equal(scan_close(m, b, &nb, HANDOFF_MAX_MATCHES), 0);
		same(a, na, b, nb);
		matched += na;
	}
	assert_true(matched > 3000);
	assert_int_equal(scan_worker_busy(worker), 0);
}

static void test_matches(void **state)
{
	struct handoff_match m[4];
	uint32_t n = 0;
	const char *text = "q viagra q VIAGRA q";

	(void)state;
	assert_int_equal(0, scan_block(worker, VIEW_BODY, (const uint8_t *)text, strlen(text), m,
				       &n, 4));
	assert_int_equal(n, 2);
	qsort(m, n, sizeof(*m), by_rule);
	assert_int_equal(m[0].rule, ID_BASE);
	assert_int_equal(m[0].count, 1);
	assert_int_equal(m[0].end, 8);
	assert_int_equal(m[1].count, 3);
	assert_int_equal(m[1].end, 1);
	/* The same rules in another slot are entries of their own. */
	assert_int_equal(scan_block(worker, VIEW_FULL, (const uint8_t *)"q", 1, m, &n, 4), 0);
	assert_int_equal(n, 3);
	assert_int_equal(m[2].slot, VIEW_FULL);
	assert_int_equal(scan_block(worker, SELECTOR + 1, (const uint8_t *)"q", 1, m, &n, 4), 0);
	assert_int_equal(n, 4);
	assert_int_equal(m[3].slot, SELECTOR + 1);
}

static void test_present(void **state)
{
	struct handoff_match m[4];
	uint32_t n = 0;

	(void)state;
	assert_int_equal(scan_block(worker, VIEW_ATTACHMENT, (const uint8_t *)"q", 1, m, &n, 4), 0);
	assert_int_equal(scan_block(worker, VIEW_ATTACHMENT, NULL, 0, m, &n, 4), 0);
	assert_int_equal(n, 1);
	assert_int_equal(m[0].rule, HANDOFF_PRESENT);
	assert_int_equal(m[0].slot, VIEW_ATTACHMENT);
	assert_int_equal(m[0].count, 2);
	assert_null(scan_open(worker, VIEW_ATTACHMENT));
	assert_false(scan_has_patterns(worker, VIEW_ATTACHMENT));
	assert_int_equal(scan_present(worker, VIEW_BODY, m, &n, 4), 0);
	assert_int_equal(scan_present(worker, VIEW_ATTACHMENT, m, &n, 4), 0);
	assert_int_equal(n, 1);
	assert_int_equal(m[0].count, 3);
}

static void test_bounds(void **state)
{
	struct handoff_match m[3] = {{0}, {0}, {.rule = 0xdeadbeef}};
	static uint8_t many[200000];
	uint32_t n = 0;

	(void)state;
	assert_int_equal(RECORD_F_MATCHES_CUT,
			 scan_block(worker, VIEW_FULL, (const uint8_t *)"q needle xxxx 123456", 20,
				    m, &n, 2));
	assert_int_equal(n, 2);
	assert_int_equal(m[2].rule, 0xdeadbeef);
	memset(many, 'q', sizeof(many));
	n = 0;
	assert_int_equal(scan_block(worker, VIEW_FULL, many, sizeof(many), m, &n, 2), 0);
	assert_int_equal(n, 1);
	assert_int_equal(m[0].count, UINT16_MAX);
	n = 0;
	assert_int_equal(scan_block(worker, VIEW_FULL, NULL, 0, m, &n, 2), 0);
	/* A view without rules finds nothing and is not an error. */
	assert_int_equal(scan_block(worker, VIEW_URI, many, 10, m, &n, 2), 0);
	assert_int_equal(n, 0);
	assert_null(scan_open(worker, VIEW_URI));
	assert_null(scan_open(worker, SELECTOR));
	assert_null(scan_open(worker, SELECTOR + 1));
	assert_null(scan_open(worker, HANDOFF_SLOTS));
	assert_int_equal(scan_block(worker, HANDOFF_SLOTS, many, 10, m, &n, 2), 0);
	assert_int_equal(scan_block(worker, SELECTOR, many, 10, m, &n, 2), 0);
	assert_int_equal(n, 0);
}

static void test_pool(void **state)
{
	struct handoff_match m[8];
	struct scan_message *s[3];
	uint64_t before = counters[CNT_scan_no_stream];
	uint32_t n = 0;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_non_null(s[i] = scan_open(worker, VIEW_BODY));
	assert_int_equal(scan_worker_busy(worker), 3);
	assert_null(scan_open(worker, VIEW_BODY));
	assert_int_equal(counters[CNT_scan_no_stream], before + 1);
	/* Half a needle is forgotten with its message. */
	assert_int_equal(scan_run(s[1], (const uint8_t *)"nee", 3, m, &n, 8), 0);
	scan_abort(s[1]);
	s[1] = scan_open(worker, VIEW_BODY);
	assert_non_null(s[1]);
	assert_int_equal(scan_run(s[1], (const uint8_t *)"dle", 3, m, &n, 8), 0);
	assert_int_equal(n, 0);
	/* Streams do not mix; "end$" hangs on the end of data. */
	assert_int_equal(scan_run(s[0], (const uint8_t *)"en", 2, m, &n, 8), 0);
	assert_int_equal(scan_run(s[2], (const uint8_t *)"d", 1, m, &n, 8), 0);
	assert_int_equal(scan_run(s[0], (const uint8_t *)"d", 1, m, &n, 8), 0);
	assert_int_equal(n, 0);
	assert_int_equal(scan_close(s[2], m, &n, 8), 0);
	assert_int_equal(n, 0);
	assert_int_equal(scan_close(s[0], m, &n, 8), 0);
	assert_int_equal(n, 1);
	assert_int_equal(m[0].rule, ID_BASE + 3000);
	assert_int_equal(scan_close(s[1], m, &n, 8), 0);
	assert_int_equal(scan_worker_busy(worker), 0);
}

static int try_blob(const uint8_t *p, size_t n)
{
	struct scan_generation *g = NULL;
	char err[256] = "";
	int ret = scan_generation_new(p, n, 1, &g, err, sizeof(err));

	assert_true((ret == 0) == (g != NULL));
	assert_true((ret == 0) == (err[0] == '\0'));
	scan_generation_free(g);
	return ret;
}

static struct blob copy_of_good(void)
{
	struct blob b = {aligned_alloc(SCAN_BUNDLE_ALIGN, up(good.n)), good.n};

	assert_non_null(b.p);
	memcpy(b.p, good.p, good.n);
	return b;
}

#define WRONG(place, field, value) \
	do { \
		(place)->field = (value); \
		assert_int_equal(try_blob(b.p, b.n), -EINVAL); \
		memcpy(b.p, good.p, good.n); \
	} while (0)

static void test_wrong_head(void **state)
{
	struct blob b = copy_of_good();
	struct scan_bundle *h = (void *)b.p;

	(void)state;
	assert_int_equal(try_blob(b.p, b.n), 0);
	assert_int_equal(try_blob(b.p, 0), -EINVAL);
	assert_int_equal(try_blob(b.p, sizeof(*h) - 1), -EINVAL);
	assert_int_equal(try_blob(b.p, sizeof(*h)), -EINVAL);
	assert_int_equal(try_blob(b.p, b.n - 1), -EINVAL);
	WRONG(h, magic, 1);
	WRONG(h, flags, 2);
	WRONG(h, size, b.n + 1);
	WRONG(h, n_slots, 0);
	WRONG(h, n_slots, HANDOFF_SLOTS + 1);
	WRONG(h, n_selectors, CONTENT_MAX_SELECTORS + 1);
	WRONG(h, n_selectors, 1);
	WRONG(h, slots, 0);
	WRONG(h, slots, h->slots + 8);
	WRONG(h, slots, UINT64_MAX - 63);
	WRONG(h, selectors, up(b.n));
	WRONG(h, hs_version[0], 'x');
	memset(h->hs_version, 'x', sizeof(h->hs_version));
	assert_int_equal(try_blob(b.p, b.n), -EINVAL);
	free(b.p);
}

static void test_wrong_tables(void **state)
{
	struct blob b = copy_of_good();
	struct scan_bundle_selector *c = selectors_of(&b);
	struct scan_bundle_slot *s = slots_of(&b);

	(void)state;
	WRONG(s, slot, VIEW_FULL);
	WRONG(s + 3, slot, VIEW_COUNT + 2);
	WRONG(s + 3, slot, UINT32_MAX);
	WRONG(s, flags, 2);
	WRONG(s, automaton_len, 100);
	WRONG(s, block_len, 0); /* a stream is left */
	WRONG(s + 2, flags, 0);
	WRONG(s, block, 8);
	WRONG(s, block, s->block + 1);
	WRONG(s, block, UINT64_MAX - 63);
	WRONG(s, block_len, 0);
	WRONG(s, block_len, UINT64_MAX);
	WRONG(s, block_len, s->block_len - 1);
	WRONG(s, stream, b.n / 64 * 64 + 64);
	WRONG(s, stream_len, s->stream_len + 1);
	WRONG(s, stream_len, 0);
	WRONG(s, stream, s->block);
	WRONG(c, name, UINT64_MAX);
	WRONG(c, name_len, UINT32_MAX);
	WRONG(c, name_len, LIMIT_SELECTOR_NAME + 1);
	WRONG(c, name_len, 0);
	WRONG(c, source, CONTENT_MIMEFIELD + 1);
	WRONG(c, source, CONTENT_ALL); /* has a name */
	WRONG(c, form, CONTENT_NAME_RAW + 1);
	WRONG(c, pick, CONTENT_PICK_LAST + 1);
	/* The checksum of the bytecode. */
	b.p[s->stream + s->stream_len / 2] ^= 0x40;
	assert_int_equal(try_blob(b.p, b.n), -EINVAL);
	free(b.p);
	/* Modes exchanged. */
	b = make_bundle(HS_MODE_STREAM, HS_MODE_BLOCK);
	assert_int_equal(try_blob(b.p, b.n), -EINVAL);
	free(b.p);
	b = make_bundle(HS_MODE_STREAM, HS_MODE_STREAM);
	assert_int_equal(try_blob(b.p, b.n), -EINVAL);
	free(b.p);
}

static unsigned int partial(const struct handoff_match *m, uint32_t n, unsigned int slot)
{
	unsigned int found = 0;

	for (uint32_t i = 0; i < n; i++)
		found += m[i].rule == HANDOFF_PARTIAL && m[i].slot == slot;
	return found;
}

/* A header whose text is longer than a run, and views that no stream is left for. */
static void test_partial(void **state)
{
	/* Windows-1252: each octet becomes two. */
	static const char field[] = "X-Mailer: ", end[] = "\r\n\r\n";
	size_t value = 60000, n = sizeof(field) - 1 + value, size = n + 200000;
	uint8_t *mail = malloc(size);

	(void)state;
	assert_non_null(mail);
	memset(mail, 'x', size);
	memset(mail, 0xe4, n);
	memcpy(mail, field, sizeof(field) - 1);
	memcpy(mail + n, end, sizeof(end) - 1);
	for (unsigned int streams = 0; streams < 2; streams++) {
		struct handoff_match m[64];
		uint32_t found = 0;
		const struct scan_target t = {m, &found, 64};
		struct scan_worker *w;
		struct scan_views *v;
		struct scan_large *l;

		assert_int_equal(scan_worker_new(gen, streams, counters, &w), 0);
		assert_int_equal(scan_views_new(1, counters, &v), 0);
		l = scan_views_open(v, w, &t);
		assert_non_null(l);
		scan_large_run(l, mail, size / 2);
		scan_large_run(l, mail + size / 2, size - size / 2);
		assert_int_equal(scan_large_close(l).flags, 0);
		assert_int_equal(partial(m, found, SELECTOR + 1), 1);
		assert_int_equal(partial(m, found, VIEW_FULL), streams == 0);
		assert_int_equal(partial(m, found, VIEW_BODY), streams == 0);
		assert_int_equal(partial(m, found, VIEW_ATTACHMENT), 0);
		scan_views_free(v);
		scan_worker_free(w);
	}
	free(mail);
}

static void test_facts(void **state)
{
	const struct content_plan *plan;
	size_t db, scratch, stream;
	struct scan_generation *g;
	struct scan_worker *w;
	char err[256];
	uint32_t n = 0;

	(void)state;
	assert_int_equal(scan_generation_id(gen), 7);
	plan = scan_generation_plan(gen);
	assert_int_equal(plan->views, 1u << VIEW_FULL | 1u << VIEW_BODY | 1u << VIEW_ATTACHMENT);
	assert_int_equal(plan->n_selectors, 2);
	assert_false(plan->hash);
	assert_int_equal(plan->selector[1].pick, CONTENT_PICK_LAST);
	assert_true(str_eq(plan->selector[0].name, STR("subject")));
	assert_true(str_eq(plan->selector[1].name, STR("x-mailer")));
	scan_generation_sizes(gen, &db, &scratch, &stream);
	assert_true(db > 0 && scratch > 0 && stream > 0);
	/* No rules at all is a generation as well. */
	assert_int_equal(scan_generation_new(NULL, 0, 8, &g, err, sizeof(err)), 0);
	assert_int_equal(scan_worker_new(g, 4, counters, &w), 0);
	assert_int_equal(scan_block(w, VIEW_FULL, (const uint8_t *)"q", 1, NULL, &n, 0), 0);
	assert_null(scan_open(w, VIEW_FULL));
	scan_worker_free(w);
	scan_generation_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oracle), cmocka_unit_test(test_matches),
		cmocka_unit_test(test_bounds), cmocka_unit_test(test_present),
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_wrong_head), cmocka_unit_test(test_wrong_tables),
		cmocka_unit_test(test_facts), cmocka_unit_test(test_partial),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
