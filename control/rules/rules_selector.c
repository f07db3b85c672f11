/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* "Subject", "From:addr", "ALL:raw", "X-Spam-Relays-External": which text of a message is meant. */

#include <stdio.h>
#include <string.h>

#include "control/rules/rules_internal.h"
#include "postern/limits.h"

static const struct {
	const char *name;
	enum rules_told told;
} told[] = {
	{"X-Spam-Relays-Trusted", RULES_RELAYS_TRUSTED},
	{"X-Spam-Relays-Untrusted", RULES_RELAYS_UNTRUSTED},
	{"X-Spam-Relays-Internal", RULES_RELAYS_INTERNAL},
	{"X-Spam-Relays-External", RULES_RELAYS_EXTERNAL},
	{"ALL-TRUSTED", RULES_ALL_TRUSTED},
	{"ALL-UNTRUSTED", RULES_ALL_UNTRUSTED},
	{"ALL-INTERNAL", RULES_ALL_INTERNAL},
	{"ALL-EXTERNAL", RULES_ALL_EXTERNAL},
	{"EnvelopeFrom", RULES_ENVELOPE_FROM},
};

struct wanted {
	bool raw, addr, name;
	uint8_t pick;
};

static bool modifier(struct str w, struct wanted *out)
{
	if (str_eq(w, STR("raw")))
		out->raw = true;
	else if (str_eq(w, STR("addr")))
		out->addr = true;
	else if (str_eq(w, STR("name")))
		out->name = true;
	else if (str_eq(w, STR("first")))
		out->pick = CONTENT_PICK_FIRST;
	else if (str_eq(w, STR("last")))
		out->pick = CONTENT_PICK_LAST;
	else
		return false;
	return true;
}

static uint8_t form_of(const struct wanted *w)
{
	if (w->addr)
		return CONTENT_ADDR;
	if (w->name)
		return w->raw ? CONTENT_NAME_RAW : CONTENT_NAME;
	return w->raw ? CONTENT_RAW : CONTENT_DECODED;
}

static bool field_name(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~' || name.p[i] == ':')
			return false;
	return name.n && name.n <= LIMIT_FIELD_NAME;
}

static bool same(const struct content_selector *a, const struct content_selector *b)
{
	return a->source == b->source && a->form == b->form && a->pick == b->pick &&
	       str_eq(a->name, b->name);
}

static bool add(struct rules *r, struct content_selector s, struct str text, uint16_t *slot,
		const char **why)
{
	unsigned int i = 0;
	char *name, *shown;

	while (i < r->n_selectors && !same(&r->selector[i], &s))
		i++;
	*slot = (uint16_t)(CONTENT_SLOT_SELECTOR + i);
	if (i < r->n_selectors)
		return true;
	if (i == CONTENT_MAX_SELECTORS) {
		*why = "more different headers than can be looked at";
		return false;
	}
	name = rules_dup(r, s.name);
	shown = rules_dup(r, text);
	if (!name || !shown)
		return true; /* r->oom */
	s.name = str_make(name, s.name.n);
	r->selector[i] = s;
	r->selector_name[i] = shown;
	r->n_selectors++;
	return true;
}

bool rules_selector(struct rules *r, struct str text, bool mime, uint16_t *slot, const char **why)
{
	struct wanted w = {0};
	size_t colon = str_find(text, ':');
	struct str name = str_cut(text, colon), rest = str_skip(text, colon + 1);
	struct content_selector s = {.source = mime ? CONTENT_MIMEFIELD : CONTENT_FIELD};
	uint8_t lower[LIMIT_FIELD_NAME];

	while (rest.n) {
		size_t end = str_find(rest, ':');

		if (!modifier(str_cut(rest, end), &w)) {
			*why = "of a header's modifiers raw, addr, name, first and last are known here";
			return false;
		}
		rest = str_skip(rest, end + 1);
	}
	if (!field_name(name)) {
		*why = "this is no name of a header";
		return false;
	}
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]) && !mime; i++)
		if (str_ieq(name, str_c(told[i].name))) {
			*slot = (uint16_t)(RULES_SLOT_TOLD + told[i].told);
			return true;
		}
	s.form = form_of(&w);
	s.pick = w.pick;
	if (!mime && str_eq(name, STR("ALL"))) {
		s.source = CONTENT_ALL;
		s.form = w.raw ? CONTENT_RAW : CONTENT_DECODED;
	} else if (!mime && str_ieq(name, STR("ToCc"))) {
		s.source = CONTENT_TOCC;
	} else if (!mime && str_eq(name, STR("MESSAGEID"))) {
		s.source = CONTENT_MESSAGEID;
	} else {
		for (size_t i = 0; i < name.n; i++)
			lower[i] = name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] | 0x20 : name.p[i];
		s.name = str_make(lower, name.n);
	}
	return add(r, s, text, slot, why);
}

const char *rules_slot_name(const struct rules *r, uint16_t slot, char *buf, size_t cap)
{
	static const char *const views[VIEW_COUNT] = {"envelope", "header", "body", "rawbody", "full",
						      "uri", "attachment"};

	snprintf(buf, cap, "-");
	if (slot < VIEW_COUNT)
		snprintf(buf, cap, "%s", views[slot]);
	else if (slot >= CONTENT_SLOT_SELECTOR && slot < CONTENT_SLOT_SELECTOR + r->n_selectors)
		snprintf(buf, cap, "%s %s",
			 r->selector[slot - CONTENT_SLOT_SELECTOR].source == CONTENT_MIMEFIELD ?
				 "mimeheader" : "header",
			 r->selector_name[slot - CONTENT_SLOT_SELECTOR]);
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		if (slot == RULES_SLOT_TOLD + told[i].told)
			snprintf(buf, cap, "header %s", told[i].name);
	return buf;
}
