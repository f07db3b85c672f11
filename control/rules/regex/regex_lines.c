/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Where line feeds may stand in a match. A view of lines is scanned as one text; a pattern is meant
 * for each line with its line feed. Both are the same for a pattern that never takes a line feed and
 * then something more.
 */

#include "control/rules/regex/regex.h"

struct part {
	bool takes;      /* may take octets */
	bool needs;      /* takes at least one */
	bool feed;       /* may take a line feed */
	bool last_feed;  /* one of those that must be taken last may be a line feed */
	bool asserts;    /* asserts an end of a line or text somewhere */
};

static struct part walk(const struct regex *re, uint32_t i, struct regex_lines *out);

static struct part then(struct part a, struct part b, struct regex_lines *out)
{
	out->crosses |= a.feed && b.takes;
	out->lossy |= a.feed && b.asserts;
	return (struct part){
		.takes = a.takes || b.takes, .needs = a.needs || b.needs, .feed = a.feed || b.feed,
		.last_feed = b.needs ? b.last_feed : a.last_feed,
		.asserts = a.asserts || b.asserts,
	};
}

static struct part children(const struct regex *re, const struct regex_node *n,
			    struct regex_lines *out)
{
	struct part all = {0};
	bool first = true;

	for (uint32_t c = n->child; c != REGEX_NONE; c = re->node[c].next) {
		struct part p = walk(re, c, out);

		if (first)
			all = p;
		else if (n->kind == REGEX_CAT)
			all = then(all, p, out);
		else
			all = (struct part){all.takes || p.takes, all.needs && p.needs,
					    all.feed || p.feed, all.last_feed || p.last_feed,
					    all.asserts || p.asserts};
		first = false;
	}
	return all;
}

static struct part place(const struct regex_node *n, struct regex_lines *out)
{
	struct part p = {0};

	switch (n->what) {
	case REGEX_TEXT_START:
		out->text_edges = true;
		break;
	case REGEX_VERY_START:
		out->very_edges = out->text_edges = true;
		break;
	case REGEX_VERY_LAST:
	case REGEX_VERY_END:
		out->very_edges = out->text_edges = true;
		p.asserts = true;
		break;
	case REGEX_TEXT_END:
		out->text_edges = true;
		p.asserts = true;
		break;
	case REGEX_LINE_END:
		p.asserts = true;
		break;
	default:
		break;
	}
	return p;
}

static struct part walk(const struct regex *re, uint32_t i, struct regex_lines *out)
{
	const struct regex_node *n = &re->node[i];
	struct part p = {0};
	bool feed;

	switch (n->kind) {
	case REGEX_CLASS:
		feed = regex_class_has(&re->set[n->set], '\n');
		return (struct part){true, true, feed, feed, false};
	case REGEX_CAT:
	case REGEX_ALT:
		return children(re, n, out);
	case REGEX_REPEAT:
		p = walk(re, n->child, out);
		if (n->max > 1)
			then(p, p, out);
		p.needs &= n->min > 0;
		return p;
	case REGEX_ASSERT:
		return place(n, out);
	case REGEX_LOOK:
		p = walk(re, n->child, out);
		out->crosses |= p.feed;
		out->lossy |= p.feed && (n->what == REGEX_NOT_AHEAD || n->what == REGEX_NOT_BEHIND);
		/* What it does not see is all the same something that it looked for. */
		return (struct part){.asserts = p.asserts};
	case REGEX_BACKREF:
		return (struct part){true, false, true, true, false};
	default:
		return p;
	}
}

void regex_lines(const struct regex *re, struct regex_lines *out)
{
	struct part p;

	*out = (struct regex_lines){0};
	p = walk(re, re->root, out);
	out->empty = !p.needs;
	out->line_end = p.feed;
	out->needs_last = p.needs && p.last_feed;
}
