/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Sections list and attachment of the configuration against the URIs and attachments of a message.
 * Whether it has any the dataplane has told; the texts are made here only if so.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/judge/judge_internal.h"
#include "postern/stats.h"

uint32_t judge_content_views(const struct config *c)
{
	uint32_t views = c->n_attachments ? 1u << VIEW_ATTACHMENT : 0;

	for (size_t i = 0; i < c->n_lists; i++)
		views |= 1u << (c->list[i].kind == LIST_SHA256 ? VIEW_ATTACHMENT : VIEW_URI);
	return views;
}

/* What may be there: told by the scan, or not known because the scan did not see all. */
static uint32_t present(const struct judge *j)
{
	uint32_t views = 0;

	if (j->req.env->flags & (RECORD_F_SCAN_PARTIAL | RECORD_F_MATCHES_CUT))
		return UINT32_MAX;
	for (size_t i = 0; i < j->req.n_matches; i++)
		if (j->req.match[i].rule == HANDOFF_PRESENT && j->req.match[i].slot < VIEW_COUNT)
			views |= 1u << j->req.match[i].slot;
	return views;
}

/* "http://user@Host:25/path" → "Host"; "mailto:a@Host" → "Host". */
static struct str host_of(struct str uri)
{
	size_t end = 0, at = 0;

	for (size_t i = 0; i + 3 <= uri.n && i < 16; i++)
		if (memcmp(uri.p + i, "://", 3) == 0) {
			uri = str_skip(uri, i + 3);
			break;
		}
	if (str_istarts(uri, STR("mailto:")))
		uri = str_skip(uri, 7);
	while (end < uri.n && uri.p[end] != '/' && uri.p[end] != '?' && uri.p[end] != '#')
		end++;
	uri = str_cut(uri, end);
	for (size_t i = 0; i < uri.n; i++)
		if (uri.p[i] == '@')
			at = i + 1;
	uri = str_skip(uri, at);
	return str_cut(uri, str_find(uri, ':'));
}

static bool line_listed(const struct config_list *l, struct str line)
{
	struct attachment a;

	if (l->kind == LIST_DOMAIN)
		return list_has_domain(l->list, host_of(line), l->below);
	if (l->kind == LIST_URI)
		return list_has_uri(l->list, line);
	return attachment_parse(line, &a) && a.has_sha256 && list_has_sha256(l->list, a.sha256);
}

static bool listed(const struct config_list *l, struct str view, char *why, size_t cap)
{
	while (view.n) {
		struct str line = str_cut(view, str_find(view, '\n'));
		size_t n = 0;

		if (line_listed(l, line)) {
			for (; n < line.n && n + 1 < cap && n < 120; n++)
				why[n] = line.p[n] > ' ' && line.p[n] < 0x7f ? (char)line.p[n] : '?';
			why[n] = '\0';
			return true;
		}
		view = str_skip(view, line.n + (line.n < view.n));
	}
	return false;
}

static enum rule_action action_of(enum config_action a)
{
	switch (a) {
	case CONFIG_TAG: return RULE_TAG;
	case CONFIG_QUARANTINE: return RULE_QUARANTINE;
	case CONFIG_DEFER: return RULE_DEFER;
	case CONFIG_REJECT: return RULE_REJECT;
	default: return RULE_SCORE;
	}
}

/* The names are the configuration's, which outlives the judgement. */
static void found(struct judgement *r, const struct config_finding *f, unsigned int view,
		  const char *why)
{
	struct judge_found *x = &r->found[r->n_found++];

	x->rule = (struct rule){.name = (char *)(uintptr_t)f->name,
				.describe = (char *)(uintptr_t)(f->describe ? f->describe : ""),
				.slot = (uint16_t)view, .score = f->score, .action = action_of(f->action)};
	snprintf(x->why, sizeof(x->why), "%s", why);
	r->hit[r->n_hits++] = (struct rule_hit){.rule = &x->rule, .count = 1, .score = f->score,
						.text = str_c(x->why)};
}

static int view_text(struct texts *t, unsigned int view, struct str *out)
{
	int rc = texts_get(t, view, out);

	if (rc <= 0)
		*out = STR_NONE;
	return rc < 0 ? rc : 0;
}

int judge_content(struct judge *j, struct texts *t)
{
	const struct config *c = j->req.config;
	uint32_t views = judge_content_views(c) & present(j);
	struct str uri = STR_NONE, attachment = STR_NONE;
	char why[200];
	int rc = 0;

	if (views & 1u << VIEW_URI)
		rc = view_text(t, VIEW_URI, &uri);
	if (!rc && views & 1u << VIEW_ATTACHMENT)
		rc = view_text(t, VIEW_ATTACHMENT, &attachment);
	for (size_t i = 0; i < c->n_lists && !rc; i++) {
		bool of_parts = c->list[i].kind == LIST_SHA256;

		if (listed(&c->list[i], of_parts ? attachment : uri, why, sizeof(why))) {
			found(&j->result, &c->list[i].finding, of_parts ? VIEW_ATTACHMENT : VIEW_URI, why);
			j->env.counters[CTL_list_hits]++;
		}
	}
	for (size_t i = 0; i < c->n_attachments && !rc; i++)
		if (attachments_match(&c->attachment[i].rule, attachment, why, sizeof(why))) {
			found(&j->result, &c->attachment[i].finding, VIEW_ATTACHMENT, why);
			j->env.counters[CTL_attachment_hits]++;
		}
	return rc;
}
