/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>

#include "control/auth/dkim/tags.h"

/* FWS at i: WSP, or CRLF in front of WSP. Octets of it, 0 if there is none. */
static size_t fws_at(struct str s, size_t i)
{
	if (i < s.n && ascii_is_wsp(s.p[i]))
		return 1;
	if (i + 2 < s.n && s.p[i] == '\r' && s.p[i + 1] == '\n' && ascii_is_wsp(s.p[i + 2]))
		return 3;
	return 0;
}

static size_t skip_fws(struct str s, size_t i)
{
	size_t k;

	while ((k = fws_at(s, i)) > 0)
		i += k;
	return i;
}

/* RFC 6376 3.2: VALCHAR; RFC 8616 4 adds UTF-8. */
static bool is_valchar(uint8_t c)
{
	return c > 0x20 && c != ';' && c != 0x7f;
}

static bool is_tag_name(struct str s)
{
	if (s.n == 0 || !ascii_is_alpha(s.p[0]))
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (!ascii_is_alnum(s.p[i]) && s.p[i] != '_')
			return false;
	return true;
}

static int tag_parse(struct str list, size_t *pos, struct dkim_tag *tag, const char **why)
{
	size_t i = skip_fws(list, *pos), start = i, end;

	while (i < list.n && (ascii_is_alnum(list.p[i]) || list.p[i] == '_'))
		i++;
	tag->name = str_make(list.p + start, i - start);
	i = skip_fws(list, i);
	if (!is_tag_name(tag->name) || i == list.n || list.p[i] != '=') {
		*why = "malformed tag name";
		return -EBADMSG;
	}
	start = ++i;
	i = skip_fws(list, i);
	tag->value = str_make(list.p + i, 0);
	end = i;
	while (i < list.n && list.p[i] != ';') {
		size_t k = fws_at(list, i);

		if (k == 0) {
			if (!is_valchar(list.p[i])) {
				*why = "octet that no tag value may hold";
				return -EBADMSG;
			}
			end = ++i;
		} else {
			i += k;
		}
	}
	tag->value.n = (size_t)(list.p + end - tag->value.p);
	tag->raw = str_make(list.p + start, i - start);
	*pos = i;
	return 0;
}

int dkim_tags_parse(struct str list, struct dkim_tags *out, const char **why)
{
	size_t pos = 0;

	out->n = 0;
	do {
		struct dkim_tag tag;
		int rc;

		/* A final semicolon is allowed, and FWS behind it. */
		if (out->n && skip_fws(list, pos) == list.n)
			return 0;
		rc = tag_parse(list, &pos, &tag, why);
		if (rc)
			return rc;
		/* Tag names are case-sensitive; a second one of a name voids the whole list. */
		for (size_t i = 0; i < out->n; i++)
			if (str_eq(out->tag[i].name, tag.name)) {
				*why = "duplicate tag";
				return -EBADMSG;
			}
		if (out->n == DKIM_MAX_TAGS) {
			*why = "too many tags";
			return -EBADMSG;
		}
		out->tag[out->n++] = tag;
	} while (pos < list.n && list.p[pos++] == ';');
	return 0;
}

const struct dkim_tag *dkim_tags_find(const struct dkim_tags *tags, const char *name)
{
	for (size_t i = 0; i < tags->n; i++)
		if (str_eq(tags->tag[i].name, str_c(name)))
			return &tags->tag[i];
	return NULL;
}

static int base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (ascii_is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

long dkim_base64(struct str s, uint8_t *out, size_t cap)
{
	size_t n = 0, chars = 0, pad = 0;
	uint32_t acc = 0;

	for (size_t i = 0; i < s.n;) {
		size_t k = fws_at(s, i);
		int v;

		if (k) {
			i += k;
			continue;
		}
		v = base64_value(s.p[i]);
		if (s.p[i] == '=')
			pad++;
		else if (v < 0 || pad)
			return -EBADMSG;
		i++;
		chars++;
		acc = acc << 6 | (uint32_t)(v < 0 ? 0 : v);
		if (chars % 4)
			continue;
		if (pad > 2)
			return -EBADMSG;
		for (size_t b = 0; b < 3 - pad; b++) {
			if (n == cap)
				return -ENOSPC;
			out[n++] = (uint8_t)(acc >> (16 - 8 * b));
		}
		acc = 0;
		/* Padding ends the text. */
		if (pad && skip_fws(s, i) != s.n)
			return -EBADMSG;
	}
	return chars % 4 ? -EBADMSG : (long)n;
}

bool dkim_list_next(struct str *list, uint8_t sep, struct str *item)
{
	size_t end;

	if (!list->p)
		return false;
	end = str_find(*list, sep);
	*item = str_trim(str_cut(*list, end));
	*list = end == list->n ? STR_NONE : str_skip(*list, end + 1);
	return true;
}
