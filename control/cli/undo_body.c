/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What was done to the body: lines put in, a multipart put around it, another encoding. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/undo.h"

#define MAX_BODY        (4u * 1024 * 1024)  /* larger ones are not tried */
#define MAX_HASHED      (96u * 1024 * 1024) /* octets for one signature; a third of a second */
#define MAX_END_LINES   400                 /* lines cut off at either end */
#define MAX_BLOCK_LINES 40                  /* lines cut out of the middle */

struct body_undo {
	struct undo_hash hash;
	struct undo_part *out;
	size_t *line; /* where each line starts, and where the last one ends */
	size_t n;     /* lines */
};

bool undo_exhausted(const struct undo_hash *u)
{
	return u->hashed > MAX_HASHED;
}

bool undo_fits(struct undo_hash *u, const struct str *piece, size_t n)
{
	struct canon_pass pass;
	bool same = false;
	int i;

	for (size_t k = 0; k < n; k++)
		u->hashed += piece[k].n + 64;
	if (undo_exhausted(u))
		return false;
	canon_pass_init(&pass);
	i = canon_pass_add(&pass, u->p->body_canon, u->p->limit);
	if (i >= 0) {
		for (size_t k = 0; k < n; k++)
			canon_pass_update(&pass, piece[k].p, piece[k].n);
		canon_pass_end(&pass);
		same = !pass.failed && !memcmp(pass.hash[i].digest, u->p->body_hash, CANON_DIGEST);
	}
	canon_pass_free(&pass);
	return same;
}

static struct undo_step *step(struct body_undo *u, const char *what)
{
	struct undo_step *s = &u->out->step[u->out->n < UNDO_STEPS ? u->out->n++ : 0];

	s->what = what;
	return s;
}

/* ---- lines put in --------------------------------------------------------------------------- */

static bool find_lines(struct body_undo *u, struct str s)
{
	size_t n = 0;

	/* To either canonicalization empty lines at the end are nothing. */
	while (s.n >= 4 && !memcmp(s.p + s.n - 4, "\r\n\r\n", 4))
		s.n -= 2;
	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '\n';
	free(u->line);
	u->line = calloc(n + 2, sizeof(*u->line));
	if (!u->line)
		return false;
	u->n = 0;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\n')
			u->line[++u->n] = i + 1;
	if (u->line[u->n] < s.n)
		u->line[++u->n] = s.n;
	return true;
}

/* The first line with something in it that was put in. */
static void tell_lines(struct body_undo *u, struct str s, size_t from, size_t to, const char *where)
{
	struct str first = STR_NONE;
	char text[64];

	for (size_t i = from; i < to && !first.n; i++)
		first = str_trim(str_make(s.p + u->line[i], u->line[i + 1] - u->line[i]));
	snprintf(step(u, "lines-added")->text, UNDO_TEXT,
		 "%zu line%s %s of the body (\"%s\") %s left out", to - from,
		 to - from == 1 ? "" : "s", where, look_clean(first, text, sizeof(text)),
		 to - from == 1 ? "is" : "are");
}

static bool without(struct body_undo *u, struct str s, size_t from, size_t to, const char *where)
{
	const struct str rest[] = {str_cut(s, u->line[from]), str_skip(s, u->line[to])};

	if (!undo_fits(&u->hash, rest, 2))
		return false;
	tell_lines(u, s, from, to, where);
	return true;
}

static bool lines_at_ends(struct body_undo *u, struct str s)
{
	size_t most = u->n ? u->n - 1 : 0;

	if (most > MAX_END_LINES)
		most = MAX_END_LINES;
	for (size_t k = 1; k <= most && !undo_exhausted(&u->hash); k++)
		if (without(u, s, u->n - k, u->n, "at the end"))
			return true;
	for (size_t k = 1; k <= most && !undo_exhausted(&u->hash); k++)
		if (without(u, s, 0, k, "at the beginning"))
			return true;
	return false;
}

static bool lines_within(struct body_undo *u, struct str s)
{
	for (size_t len = 1; len <= MAX_BLOCK_LINES && len + 2 <= u->n; len++)
		for (size_t i = 1; i + len < u->n && !undo_exhausted(&u->hash); i++)
			if (without(u, s, i, i + len, "in the middle"))
				return true;
	return false;
}

/* ---- variants ------------------------------------------------------------------------------- */

/* The text by itself, or less lines at its ends; `what` and `text` say how it was come by. */
static bool variant(struct body_undo *u, struct str s, const char *what, const char *text)
{
	size_t had = u->out->n;

	snprintf(step(u, what)->text, UNDO_TEXT, "%s", text);
	if (undo_fits(&u->hash, &s, 1) || (find_lines(u, s) && lines_at_ends(u, s)))
		return true;
	u->out->n = had;
	return false;
}

static bool decoded(struct body_undo *u, struct str encoding, struct str s, const char *what,
		    const char *text)
{
	uint8_t *plain = malloc(s.n + 1);
	long n = plain ? undo_decode(encoding, s, plain, s.n) : -ENOMEM;
	bool found = n >= 0 && variant(u, str_make(plain, (size_t)n), what, text);

	free(plain);
	return found;
}

static bool parts(struct body_undo *u, struct str type, struct str body)
{
	struct undo_mime part[UNDO_PARTS];
	size_t n = undo_parts(type, body, part);
	char text[UNDO_TEXT];

	for (size_t i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "part %zu of the multipart put around it is the body",
			 i + 1);
		if (variant(u, part[i].body, "wrapped", text))
			return true;
		snprintf(text, sizeof(text),
			 "part %zu of the multipart put around it is the body, decoded", i + 1);
		if (decoded(u, part[i].encoding, part[i].body, "wrapped", text))
			return true;
	}
	return false;
}

void undo_body(const struct look *l, const struct dkim_params *p, struct undo_part *out)
{
	const struct headers *h = &l->headers;
	struct str body = str_make(l->data + h->body_off, l->content.size - h->body_off);
	struct str type = header_value(h, headers_find(h, STR("Content-Type"), 0));
	struct str encoding = header_value(h, headers_find(h, STR("Content-Transfer-Encoding"), 0));
	struct body_undo u = {.hash.p = p, .out = out};
	char text[UNDO_TEXT], name[40];

	*out = (struct undo_part){0};
	out->whole = undo_fits(&u.hash, &body, 1);
	if (out->whole || body.n > MAX_BODY || !find_lines(&u, body))
		goto out;
	snprintf(text, sizeof(text), "the %s of the body is undone",
		 look_clean(str_trim(encoding), name, sizeof(name)));
	if (lines_at_ends(&u, body) || decoded(&u, encoding, body, "encoding", text) ||
	    parts(&u, type, body))
		goto out;
	if (!undo_inserted(&u.hash, type, body, out) && find_lines(&u, body))
		(void)lines_within(&u, body);
out:
	free(u.line);
}

/* ---- MIME, as much as is needed ------------------------------------------------------------- */

static long decode_qp(struct str in, uint8_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		int a, b;

		if (in.p[i] != '=') {
			out[n++] = in.p[i];
			continue;
		}
		if (i + 2 < in.n && in.p[i + 1] == '\r' && in.p[i + 2] == '\n') {
			i += 2;
			continue;
		}
		if (i + 2 >= in.n)
			return -EBADMSG;
		a = ascii_hex(in.p[i + 1]);
		b = ascii_hex(in.p[i + 2]);
		if (a < 0 || b < 0)
			return -EBADMSG;
		out[n++] = (uint8_t)(a << 4 | b);
		i += 2;
	}
	return (long)n;
}

static long decode_base64(struct str in, uint8_t *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";
	uint32_t bits = 0;
	unsigned int have = 0;
	size_t n = 0;

	for (size_t i = 0; i < in.n && in.p[i] != '='; i++) {
		const char *d = in.p[i] ? strchr(digits, in.p[i]) : NULL;

		if (ascii_is_wsp_crlf(in.p[i]))
			continue;
		if (!d)
			return -EBADMSG;
		bits = bits << 6 | (uint32_t)(d - digits);
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[n++] = (uint8_t)(bits >> have);
		}
	}
	return (long)n;
}

long undo_decode(struct str encoding, struct str in, uint8_t *out, size_t cap)
{
	encoding = str_trim(encoding);
	if (cap < in.n)
		return -EBADMSG;
	if (str_ieq(encoding, STR("quoted-printable")))
		return decode_qp(in, out);
	if (str_ieq(encoding, STR("base64")))
		return decode_base64(in, out);
	return -EBADMSG;
}

/* boundary= of a multipart type; n == 0: it is none. Bounded by RFC 2046 5.1.1. */
static struct str boundary(struct str type)
{
	struct str b;

	if (!str_istarts(str_trim(type), STR("multipart/")))
		return STR_NONE;
	for (; type.n > 9; type = str_skip(type, 1))
		if (str_istarts(type, STR("boundary=")))
			break;
	if (type.n <= 9)
		return STR_NONE;
	b = str_skip(type, 9);
	if (b.p[0] == '"')
		return str_cut(str_skip(b, 1), str_find(str_skip(b, 1), '"'));
	for (size_t i = 0; i < b.n; i++)
		if (ascii_is_wsp_crlf(b.p[i]) || b.p[i] == ';')
			return str_cut(b, i);
	return b;
}

/* Where the next delimiter line begins, at or behind `from`; s.n if there is none. */
static size_t delimiter(struct str s, struct str b, size_t from)
{
	for (size_t i = from; i + 2 + b.n <= s.n;) {
		const uint8_t *nl;

		if (s.p[i] == '-' && s.p[i + 1] == '-' && !memcmp(s.p + i + 2, b.p, b.n))
			return i;
		nl = memchr(s.p + i, '\n', s.n - i);
		if (!nl)
			break;
		i = (size_t)(nl - s.p) + 1;
	}
	return s.n;
}

size_t undo_parts(struct str type, struct str body, struct undo_mime out[UNDO_PARTS])
{
	struct str b = boundary(type);
	size_t n = 0, at;

	if (!b.n || b.n > 70)
		return 0;
	at = delimiter(body, b, 0);
	while (at < body.n && n < UNDO_PARTS) {
		struct str rest = str_skip(body, at + 2 + b.n), text;
		struct iovec iov;
		struct mail_bytes content;
		struct headers h;
		size_t nl = str_find(rest, '\n'), end;

		if (str_istarts(rest, STR("--")) || nl == rest.n)
			break;
		at = (size_t)(rest.p - body.p) + nl + 1;
		end = delimiter(body, b, at);
		text = str_make(body.p + at, end - at);
		at = end;
		iov = (struct iovec){(void *)(uintptr_t)text.p, text.n};
		content = (struct mail_bytes){&iov, 1, text.n};
		if (end == body.n || headers_parse(&h, &content))
			break;
		if (!(h.flags & HEADERS_F_TOO_LARGE)) {
			out[n].type = header_value(&h, headers_find(&h, STR("Content-Type"), 0));
			out[n].encoding = header_value(
				&h, headers_find(&h, STR("Content-Transfer-Encoding"), 0));
			out[n++].body = str_skip(text, h.body_off);
		}
		headers_free(&h);
	}
	return n;
}
