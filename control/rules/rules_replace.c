/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * <TAG> in the patterns of replace_rules. <pre X>, <post X> and <inter X> say what is put before
 * each tag, behind each, and between two that touch. What stands for a tag may hold tags again.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_internal.h"
#include "postern/limits.h"

#define PASSES 6

struct text {
	char *p;
	size_t n, cap;
	bool too_large, oom;
};

static void put(struct text *t, struct str s)
{
	if (t->n + s.n >= LIMIT_RULES_EXPANDED) {
		t->too_large = true;
		return;
	}
	if (t->n + s.n + 1 > t->cap) {
		size_t want = (t->n + s.n + 1) * 2;
		char *p = realloc(t->p, want);

		if (!p) {
			t->oom = true;
			return;
		}
		t->p = p;
		t->cap = want;
	}
	if (s.n)
		memcpy(t->p + t->n, s.p, s.n);
	t->n += s.n;
	t->p[t->n] = '\0';
}

/* What is short is written out in any case. */
#define CALL_FROM 64

/* Tags that are written as a call of a group, (?&tN), which is defined behind the pattern. */
struct calls {
	bool *used, *defined;    /* by tag */
};

/* The last one of that name counts. */
static const struct rules_tag *find_tag(const struct rules *r, enum rules_tag_kind kind,
					struct str name)
{
	for (size_t i = r->n_tags; i-- > 0;)
		if (r->tag[i].kind == kind && r->tag[i].name && str_eq(name, str_c(r->tag[i].name)))
			return &r->tag[i];
	return NULL;
}

static const char *find(const struct rules *r, enum rules_tag_kind kind, struct str name)
{
	const struct rules_tag *t = find_tag(r, kind, name);

	return t ? t->text : NULL;
}

/* "(?:...)" from its first octet to its last: then a call in its place is the same. */
static bool is_group(const char *p)
{
	unsigned int depth = 0;
	bool in_class = false;

	if (strncmp(p, "(?:", 3) != 0)
		return false;
	for (; *p; p++) {
		if (*p == '\\' && p[1])
			p++;
		else if (in_class)
			in_class = *p != ']';
		else if (*p == '[')
			/* "[]...": the first octet of a class never ends it. */
			in_class = p[1] != ']' && (p[1] != '^' || p[2] != ']');
		else if (*p == '(')
			depth++;
		else if (*p == ')' && !--depth)
			return !p[1];
	}
	return false;
}

/* "<...>" at p without brackets of that kind inside: its length, or 0. */
static size_t bracket(const char *p)
{
	size_t n;

	if (*p != '<')
		return 0;
	n = strcspn(p + 1, "<>");
	return n && p[n + 1] == '>' ? n + 2 : 0;
}

/* Takes "<word NAME>" out of the text; what it stands for, or NULL. */
static const char *take(const struct rules *r, char *text, const char *word, enum rules_tag_kind kind)
{
	char *at = strstr(text, word);
	size_t n = at ? bracket(at) : 0;
	const char *found;

	if (!n)
		return NULL;
	found = find(r, kind, str_make(at + strlen(word), n - strlen(word) - 1));
	memmove(at, at + n, strlen(at + n) + 1);
	return found;
}

/* True: there is something left to replace. */
static bool put_tag(const struct rules *r, const char *bracketed, size_t n, struct text *out,
		    struct calls *calls)
{
	const struct rules_tag *tag = find_tag(r, TAG_TAG, str_make(bracketed + 1, n - 2));
	char call[40];

	if (!tag) {
		put(out, str_make(bracketed, n));
		return false;
	}
	if (!calls || strlen(tag->text) < CALL_FROM || !is_group(tag->text)) {
		put(out, str_c(tag->text));
		return strchr(tag->text, '<') && strchr(tag->text, '>');
	}
	calls->used[tag - r->tag] = true;
	snprintf(call, sizeof(call), "(?&t%zu)", (size_t)(tag - r->tag));
	put(out, str_c(call));
	return false;
}

/* One pass; true: there is something left to replace. */
static bool pass(const struct rules *r, char *in, struct text *out, struct calls *calls)
{
	const char *pre = take(r, in, "<pre ", TAG_PRE);
	const char *post = take(r, in, "<post ", TAG_POST);
	const char *inter = take(r, in, "<inter ", TAG_INTER);
	bool touching = false, again = false;

	while (*in && !out->too_large && !out->oom) {
		size_t n = bracket(in);

		if (!n) {
			put(out, str_make(in, 1));
			touching = false;
			in++;
			continue;
		}
		if (touching && inter)
			put(out, str_c(inter));
		if (pre)
			put(out, str_c(pre));
		again |= put_tag(r, in, n, out, calls);
		if (post)
			put(out, str_c(post));
		touching = true;
		in += n;
	}
	return again;
}

/* NULL and *too_large, or out of memory. */
static char *replaced(struct rules *r, const char *pattern, struct calls *calls, bool *too_large)
{
	char *in = rules_dup(r, str_c(pattern));

	for (int i = 0; in && i < PASSES; i++) {
		struct text out = {0};
		bool again;

		put(&out, STR(""));
		again = pass(r, in, &out, calls);
		free(in);
		in = out.p;
		if (out.oom || out.too_large) {
			r->oom |= out.oom;
			*too_large = out.too_large;
			free(in);
			return NULL;
		}
		if (!again)
			break;
	}
	return in;
}

bool rules_replace(struct rules *r, struct rule_source *src, const char **why)
{
	bool too_large = false;

	src->expanded = replaced(r, src->pattern, NULL, &too_large);
	if (too_large)
		*why = "the pattern is too long with its tags replaced";
	return !too_large;
}

/* Definitions of what is called, and of what those call. */
static bool put_definitions(struct rules *r, struct text *out, struct calls *calls)
{
	bool more = true;

	put(out, STR("(?(DEFINE)"));
	while (more) {
		more = false;
		for (size_t i = 0; i < r->n_tags; i++) {
			bool too_large = false;
			char name[40], *text;

			if (!calls->used[i] || calls->defined[i])
				continue;
			text = replaced(r, r->tag[i].text, calls, &too_large);
			if (!text)
				return false;
			snprintf(name, sizeof(name), "(?<t%zu>", i);
			put(out, str_c(name));
			put(out, str_c(text));
			put(out, STR(")"));
			free(text);
			calls->defined[i] = more = true;
		}
	}
	put(out, STR(")"));
	return !out->oom && !out->too_large;
}

char *rules_replace_by_calls(struct rules *r, const struct rule_source *src)
{
	struct calls calls = {calloc(r->n_tags + 1, 1), calloc(r->n_tags + 1, 1)};
	bool too_large = false, ok = false;
	struct text out = {0};
	char *body = NULL;

	if (calls.used && calls.defined)
		body = replaced(r, src->pattern, &calls, &too_large);
	if (body) {
		put(&out, STR("(?:"));
		put(&out, str_c(body));
		put(&out, STR(")"));
		/* Behind the pattern, whose own groups keep their numbers. */
		ok = put_definitions(r, &out, &calls);
	}
	free(body);
	free(calls.used);
	free(calls.defined);
	if (ok)
		return out.p;
	free(out.p);
	return NULL;
}
