/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/auth/arc/chain.h"
#include "control/auth/dkim/tags.h"

const char *arc_result_name(enum arc_result r)
{
	return r == ARC_PASS ? "pass" : r == ARC_NONE ? "none" : "fail";
}

/* RFC 8617 3.9, 4.2.1: 1*2DIGIT, 1 to 50. */
static unsigned int instance(struct str s)
{
	unsigned int n = 0;

	if (s.n == 0 || s.n > 2)
		return 0;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_is_digit(s.p[i]))
			return 0;
		n = n * 10 + (unsigned int)(s.p[i] - '0');
	}
	return n <= LIMIT_ARC_SETS ? n : 0;
}

/* RFC 5322 3.2.2: comments nest, backslash quotes. An open comment swallows the rest. */
static struct str skip_cfws(struct str s)
{
	unsigned int depth = 0;

	while (s.n && (depth || ascii_is_wsp_crlf(s.p[0]) || s.p[0] == '(')) {
		if (s.p[0] == '(')
			depth++;
		else if (s.p[0] == ')')
			depth--;
		else if (s.p[0] == '\\')
			s = str_skip(s, 1);
		s = str_skip(s, 1);
	}
	return s;
}

unsigned int arc_aar_instance(struct str value, struct str *rest)
{
	struct str s = skip_cfws(value);
	unsigned int n;
	size_t digits = 0;

	if (s.n == 0 || ascii_lower(s.p[0]) != 'i')
		return 0;
	s = skip_cfws(str_skip(s, 1));
	if (s.n == 0 || s.p[0] != '=')
		return 0;
	s = skip_cfws(str_skip(s, 1));
	while (digits < s.n && ascii_is_digit(s.p[digits]))
		digits++;
	n = instance(str_cut(s, digits));
	s = skip_cfws(str_skip(s, digits));
	if (s.n == 0 || s.p[0] != ';')
		return 0;
	*rest = str_trim(str_skip(s, 1));
	return n;
}

static bool cv_take(struct str v, enum arc_result *cv)
{
	for (enum arc_result r = ARC_NONE; r <= ARC_FAIL; r++)
		if (str_ieq(v, str_c(arc_result_name(r)))) {
			*cv = r;
			return true;
		}
	return false;
}

unsigned int arc_tag_instance(struct str value, enum arc_result *cv, bool *cv_known)
{
	const struct dkim_tag *i, *c;
	struct dkim_tags tags;
	const char *why;

	if (dkim_tags_parse(value, &tags, &why))
		return 0;
	i = dkim_tags_find(&tags, "i");
	c = dkim_tags_find(&tags, "cv");
	if (cv)
		*cv_known = c && cv_take(c->value, cv);
	return i ? instance(i->value) : 0;
}

static void fail(struct arc_results *r, const char *why, unsigned int i)
{
	if (r->result == ARC_FAIL)
		return;
	r->result = ARC_FAIL;
	if (i)
		snprintf(r->reason, sizeof(r->reason), "i=%u: %s", i, why);
	else
		snprintf(r->reason, sizeof(r->reason), "%s", why);
}

static const struct str names[] = {STR("ARC-Authentication-Results"), STR("ARC-Message-Signature"),
				   STR("ARC-Seal")};

/* Index into names[], or 3. */
static size_t kind(struct str name)
{
	size_t k = 0;

	while (k < 3 && !str_ieq(name, names[k]))
		k++;
	return k;
}

static void take_field(const struct headers *h, size_t f, size_t k, struct arc_results *r)
{
	struct str rest = STR_NONE, value = header_value(h, f);
	enum arc_result cv = ARC_FAIL;
	bool cv_known = false;
	unsigned int i =
		k == 0 ? arc_aar_instance(value, &rest) : arc_tag_instance(value, &cv, &cv_known);
	struct arc_set *s;
	size_t *slot;

	if (!i) {
		static const char *const why[] = {"an ARC-Authentication-Results without instance",
						  "an ARC-Message-Signature without instance",
						  "an ARC-Seal without instance"};

		fail(r, why[k], 0);
		return;
	}
	s = &r->set[i - 1];
	slot = k == 0 ? &s->aar : k == 1 ? &s->ams : &s->seal;
	if (i > r->n)
		r->n = i;
	if (*slot != SIZE_MAX) {
		static const char *const why[] = {"two ARC-Authentication-Results",
						  "two ARC-Message-Signatures", "two ARC-Seals"};

		fail(r, why[k], i);
		/* Of two seals the one that ends the chain counts. */
		if (k != 2 || !cv_known || cv != ARC_FAIL)
			return;
	}
	*slot = f;
	if (k == 0)
		s->results = rest;
	if (k == 2) {
		s->cv = cv;
		s->cv_known = cv_known;
	}
}

/* RFC 8617 5.2 step 3: complete, continuous, and cv= as the place in the chain demands. */
static void check_sets(struct arc_results *r)
{
	for (unsigned int i = 1; i <= r->n; i++) {
		const struct arc_set *s = &r->set[i - 1];

		if (s->aar == SIZE_MAX)
			fail(r, "no ARC-Authentication-Results", i);
		else if (s->ams == SIZE_MAX)
			fail(r, "no ARC-Message-Signature", i);
		else if (s->seal == SIZE_MAX)
			fail(r, "no ARC-Seal", i);
		else if (!s->cv_known)
			fail(r, "no or unknown cv=", i);
		else if (s->cv == ARC_FAIL)
			fail(r, "the seal says cv=fail", i);
		else if (i == 1 && s->cv != ARC_NONE)
			fail(r, "the first seal does not say cv=none", i);
		else if (i > 1 && s->cv != ARC_PASS)
			fail(r, "the seal does not say cv=pass", i);
	}
}

static void judge_structure(const struct headers *h, struct arc_results *r)
{
	const struct arc_set *newest = r->n ? &r->set[r->n - 1] : NULL;

	if (r->result == ARC_NONE)
		r->result = ARC_PASS;
	if (newest && newest->seal != SIZE_MAX && newest->cv_known && newest->cv == ARC_FAIL) {
		/* RFC 8617 5.2 step 2: that ends it, whatever else is wrong. */
		r->ended = true;
		r->result = ARC_PASS;
		fail(r, "the seal says cv=fail", (unsigned int)r->n);
	}
	if (h->flags & HEADERS_F_TOO_LARGE)
		fail(r, "header block too large", 0);
	check_sets(r);
}

int arc_chain_read(const struct headers *h, struct arc_results *r)
{
	size_t met = 0;

	memset(r, 0, sizeof(*r));
	for (size_t f = 0; f < h->n; f++)
		met += kind(header_name(h, f)) < 3;
	if (!met)
		return 0;
	r->set = calloc(LIMIT_ARC_SETS, sizeof(*r->set));
	if (!r->set)
		return -ENOMEM;
	for (size_t i = 0; i < LIMIT_ARC_SETS; i++)
		r->set[i].aar = r->set[i].ams = r->set[i].seal = SIZE_MAX;
	for (size_t f = 0; f < h->n; f++) {
		size_t k = kind(header_name(h, f));

		if (k < 3)
			take_field(h, f, k, r);
	}
	judge_structure(h, r);
	return 0;
}

size_t arc_chain_sealed(const struct arc_results *r, size_t first, size_t last, size_t *field)
{
	size_t n = 0;

	/* RFC 8617 5.1.1: by instance, and of each AAR, AMS, AS. */
	for (size_t i = first; i <= last; i++) {
		field[n++] = r->set[i - 1].aar;
		field[n++] = r->set[i - 1].ams;
		if (i < last)
			field[n++] = r->set[i - 1].seal;
	}
	return n;
}

long arc_sealers(const struct arc_results *r, char *buf, size_t cap)
{
	size_t n = 0;

	buf[0] = '\0';
	for (size_t i = 0; r->result == ARC_PASS && i < r->n; i++) {
		int k = snprintf(buf + n, cap - n, "%s%s", i ? ":" : "", r->set[i].sealed.domain);

		if (k < 0 || (size_t)k >= cap - n)
			return -ENOSPC;
		n += (size_t)k;
	}
	return (long)n;
}
