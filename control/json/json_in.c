/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/json/json_in.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "postern/ascii.h"
#include "postern/utf8.h"

#define NUMBER_MAX 400u /* octets; the longest double written out has less */

static bool fail(struct json_in *in)
{
	in->bad = true;
	return false;
}

/* The next octet that is no white space, 0 at the end. */
static char ahead(struct json_in *in)
{
	while (in->p < in->end && (*in->p == ' ' || *in->p == '\t' || *in->p == '\n' || *in->p == '\r'))
		in->p++;
	return in->bad || in->p == in->end ? '\0' : *in->p;
}

void json_in_init(struct json_in *in, char *text, size_t n)
{
	*in = (struct json_in){.p = text, .end = text + n, .bad = !utf8_is_text(str_make(text, n))};
}

/* ---- strings ------------------------------------------------------------------------------------ */

static long hex4(struct json_in *in)
{
	long v = 0;

	if (in->end - in->p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = *in->p++;

		v = v << 4 | (c >= '0' && c <= '9'   ? c - '0'
			      : c >= 'a' && c <= 'f' ? c - 'a' + 10
			      : c >= 'A' && c <= 'F' ? c - 'A' + 10
						     : -1);
		if (v < 0)
			return -1;
	}
	return v;
}

/* Behind "\u". Writes at most four octets, which is less than was read. NULL: it is malformed. */
static char *code_point(struct json_in *in, char *w)
{
	long v = hex4(in), low;

	if (v >= 0xd800 && v < 0xdc00) {
		if (in->end - in->p < 2 || in->p[0] != '\\' || in->p[1] != 'u')
			return NULL;
		in->p += 2;
		low = hex4(in);
		if (low < 0xdc00 || low > 0xdfff)
			return NULL;
		v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
	} else if (v <= 0 || (v >= 0xdc00 && v < 0xe000)) {
		return NULL;
	}
	if (v < 0x80) {
		*w++ = (char)v;
		return w;
	}
	if (v < 0x800) {
		*w++ = (char)(0xc0 | v >> 6);
	} else {
		if (v < 0x10000) {
			*w++ = (char)(0xe0 | v >> 12);
		} else {
			*w++ = (char)(0xf0 | v >> 18);
			*w++ = (char)(0x80 | (v >> 12 & 0x3f));
		}
		*w++ = (char)(0x80 | (v >> 6 & 0x3f));
	}
	*w++ = (char)(0x80 | (v & 0x3f));
	return w;
}

static char *escaped(struct json_in *in, char *w)
{
	static const char letter[] = "\"\\/bfnrt", plain[] = "\"\\/\b\f\n\r\t";
	const char *at;
	char c;

	if (in->p == in->end)
		return NULL;
	c = *in->p++;
	if (c == 'u')
		return code_point(in, w);
	at = strchr(letter, c);
	if (!at)
		return NULL;
	*w = plain[at - letter];
	return w + 1;
}

/* in->p is at the quote. */
static bool string(struct json_in *in, struct str *out)
{
	char *start = ++in->p, *w;

	while (in->p < in->end && *in->p != '"' && *in->p != '\\' && (uint8_t)*in->p >= 0x20)
		in->p++;
	w = in->p;
	while (in->p < in->end && *in->p != '"') {
		if (*in->p == '\\') {
			in->p++;
			w = escaped(in, w);
			if (!w)
				return fail(in);
		} else if ((uint8_t)*in->p < 0x20) {
			return fail(in);
		} else {
			*w++ = *in->p++;
		}
	}
	if (in->p == in->end)
		return fail(in);
	in->p++;
	*w = '\0'; /* where the closing quote stood, or in front of it */
	*out = str_make(start, (size_t)(w - start));
	return true;
}

/* ---- numbers, literals -------------------------------------------------------------------------- */

static const char *digits(const char *p, const char *end)
{
	while (p < end && ascii_is_digit((uint8_t)*p))
		p++;
	return p;
}

/* RFC 8259 6. The end of the number that begins at p; NULL: there is none. */
static const char *number_end(const char *p, const char *end, bool *whole)
{
	const char *from;

	*whole = true;
	p += p < end && *p == '-';
	from = p;
	p = digits(p, end);
	if (p == from || (*from == '0' && p - from > 1))
		return NULL;
	if (p < end && *p == '.') {
		*whole = false;
		from = ++p;
		p = digits(p, end);
		if (p == from)
			return NULL;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		*whole = false;
		p++;
		p += p < end && (*p == '+' || *p == '-');
		from = p;
		p = digits(p, end);
		if (p == from)
			return NULL;
	}
	return p;
}

static bool number(struct json_in *in, bool *whole, int64_t *integer, double *real)
{
	const char *end = number_end(in->p, in->end, whole);
	char buf[NUMBER_MAX + 1];
	size_t n;

	if (!end || end - in->p > (ptrdiff_t)NUMBER_MAX)
		return fail(in);
	n = (size_t)(end - in->p);
	memcpy(buf, in->p, n);
	buf[n] = '\0';
	in->p += n;
	errno = 0;
	*integer = *whole ? strtoll(buf, NULL, 10) : 0;
	if (errno == ERANGE)
		return fail(in);
	*real = *whole ? (double)*integer : strtod(buf, NULL);
	return isfinite(*real) || fail(in);
}

static void literal(struct json_in *in, struct str word)
{
	if ((size_t)(in->end - in->p) < word.n || memcmp(in->p, word.p, word.n))
		in->bad = true;
	else
		in->p += word.n;
}

/* ---- values ------------------------------------------------------------------------------------- */

static bool is_number(char c)
{
	return c == '-' || ascii_is_digit((uint8_t)c);
}

static void skip(struct json_in *in, unsigned int depth)
{
	char c = ahead(in);
	struct str none;
	int64_t i;
	double d;
	bool whole;

	if (depth > JSON_IN_DEPTH) {
		fail(in);
	} else if (c == '"') {
		string(in, &none);
	} else if (c == '{') {
		json_in_object(in);
		while (json_in_member(in, &none))
			skip(in, depth + 1);
	} else if (c == '[') {
		json_in_array(in);
		while (json_in_element(in))
			skip(in, depth + 1);
	} else if (is_number(c)) {
		number(in, &whole, &i, &d);
	} else {
		literal(in, c == 't' ? STR("true") : c == 'f' ? STR("false") : STR("null"));
	}
}

void json_in_skip(struct json_in *in)
{
	if (!in->bad)
		skip(in, 1);
}

static bool opened(struct json_in *in, char bracket)
{
	if (ahead(in) != bracket) {
		json_in_skip(in);
		return false;
	}
	in->p++;
	in->fresh = true;
	return true;
}

bool json_in_object(struct json_in *in)
{
	return opened(in, '{');
}

bool json_in_array(struct json_in *in)
{
	return opened(in, '[');
}

/* Behind a comma there is something, and in front of a second one, too. */
static bool more(struct json_in *in, char closing)
{
	bool fresh = in->fresh;
	char c = ahead(in);

	in->fresh = false;
	if (in->bad)
		return false;
	if (c == closing) {
		in->p++;
		return false;
	}
	if (fresh)
		return true;
	if (c != ',')
		return fail(in);
	in->p++;
	return true;
}

bool json_in_member(struct json_in *in, struct str *name)
{
	if (!more(in, '}'))
		return false;
	if (ahead(in) != '"' || !string(in, name) || ahead(in) != ':')
		return fail(in);
	in->p++;
	return true;
}

bool json_in_element(struct json_in *in)
{
	return more(in, ']');
}

bool json_in_text(struct json_in *in, struct str *out)
{
	if (ahead(in) == '"')
		return string(in, out);
	json_in_skip(in);
	return false;
}

bool json_in_number(struct json_in *in, bool *whole, int64_t *integer, double *real)
{
	if (is_number(ahead(in)))
		return number(in, whole, integer, real);
	json_in_skip(in);
	return false;
}

bool json_in_done(struct json_in *in)
{
	return !ahead(in) && !in->bad && in->p == in->end;
}
