/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Policies over a restart. A policy is written as the file that it came in would say it, and read by
 * the same parser, so that nothing gets in that could not have been fetched. Times are CLOCK_REALTIME; a
 * clock that went back makes no policy last longer than its max_age from now.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/sts/internal.h"
#include "postern/ascii.h"
#include "postern/limits.h"

/* To be freed; NULL: out of memory. */
static char *policy_text(const struct sts_policy *p, size_t *n)
{
	const char *mx = p->mx;
	char *text = NULL;
	FILE *f = open_memstream(&text, n);

	if (!f)
		return NULL;
	fprintf(f, "version: STSv1\nmode: %s\nmax_age: %u\n", sts_mode_name(p->mode), p->max_age);
	for (size_t i = 0; i < p->n_mx; i++, mx += strlen(mx) + 1)
		fprintf(f, "mx: %s\n", mx);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

json_t *sts_save(const struct sts *s, uint64_t real_s)
{
	json_t *policies = json_array();
	uint64_t now = sts_now_s(s);
	const struct entry *e;
	size_t total = 0;

	TAILQ_FOREACH(e, &s->entries, lru) {
		size_t n = 0;
		char *text = sts_entry_valid(e) ? policy_text(e->policy, &n) : NULL;

		total += n + strlen(e->domain);
		if (text && total <= LIMIT_STS_KEPT)
			json_array_append_new(policies, json_pack("{s:s, s:s, s:I, s:I, s:s}", "domain",
				e->domain, "id", e->id, "fetched_at",
				(json_int_t)(real_s - (now - e->fetched_s)), "until",
				(json_int_t)(real_s + (e->until_s - now)), "policy", text));
		free(text);
	}
	return json_pack("{s:i, s:o}", "version", 1, "policies", policies);
}

/* As sts_lookup() gets it: A-labels. */
static bool is_domain(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if (ascii_lower((uint8_t)s[i]) != (uint8_t)s[i] ||
		    (!ascii_is_alnum((uint8_t)s[i]) && s[i] != '-' && s[i] != '_' && s[i] != '.'))
			return false;
	return n > 0 && n < sizeof(((struct entry *)0)->domain);
}

static bool is_id(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if (!ascii_is_alnum((uint8_t)s[i]))
			return false;
	return n > 0 && n < STS_ID;
}

/* 1: taken, 0: expired, -EBADMSG, -ENOMEM. */
static int load_one(struct sts *s, const json_t *j, uint64_t real_s)
{
	const char *domain, *id, *text, *why;
	json_int_t fetched, until;
	struct sts_policy *p;
	struct entry *e;
	uint64_t left, age;

	if (json_unpack((json_t *)(uintptr_t)j, "{s:s, s:s, s:I, s:I, s:s}", "domain", &domain, "id", &id,
			"fetched_at", &fetched, "until", &until, "policy", &text))
		return -EBADMSG;
	if (!is_domain(domain) || !is_id(id) || fetched < 0 || until < 0)
		return -EBADMSG;
	p = sts_policy_parse(str_c(text), &why);
	if (!p)
		return -EBADMSG;
	left = (uint64_t)until > real_s ? (uint64_t)until - real_s : 0;
	if (left > p->max_age)
		left = p->max_age;
	age = (uint64_t)fetched < real_s ? real_s - (uint64_t)fetched : 0;
	e = left ? sts_entry_get(s, domain) : NULL;
	if (!e || e->policy) { /* twice: the first is that which was used last */
		sts_policy_unref(p);
		return left && !e ? -ENOMEM : 0;
	}
	e->policy = p;
	memcpy(e->id, id, strlen(id) + 1);
	e->fetched_s = sts_now_s(s) - age;
	e->until_s = sts_now_s(s) + left;
	return 1;
}

int sts_load(struct sts *s, const json_t *j, uint64_t real_s)
{
	const json_t *policies = json_object_get(j, "policies");
	int taken = 0;

	if (json_integer_value(json_object_get(j, "version")) != 1 || !json_is_array(policies) ||
	    json_array_size(policies) > LIMIT_STS_DOMAINS)
		return -EBADMSG;
	/* The last one first, so that those used last are in front again. */
	for (size_t i = json_array_size(policies); i-- > 0;) {
		int rc = load_one(s, json_array_get(policies, i), real_s);

		if (rc < 0)
			return rc;
		taken += rc;
	}
	return taken;
}
