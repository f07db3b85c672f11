/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/json/json_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/utf8.h"

#define FIRST 4096u
#define ESCAPED 6u /* \u0001 */

/* Room for n octets more; NULL: there is none. */
static char *room(struct json_out *o, size_t n)
{
	size_t cap = o->cap ? o->cap : FIRST;
	char *p;

	if (o->failed)
		return NULL;
	if (o->cap - o->n >= n)
		return o->p + o->n;
	while (cap - o->n < n)
		cap *= 2;
	p = realloc(o->p, cap);
	if (!p) {
		o->failed = true;
		return NULL;
	}
	o->p = p;
	o->cap = cap;
	return p + o->n;
}

void json_out_free(struct json_out *o)
{
	free(o->p);
	*o = (struct json_out){0};
}

/* The comma in front, and the name; and room for n octets behind. An opening bracket stands within a text
 * only in front of its closing quote. */
static char *begin(struct json_out *o, const char *name, size_t n)
{
	size_t len = name ? strlen(name) : 0;
	char *p = room(o, len + 4 + n), *start = p;

	if (!p)
		return NULL;
	if (o->n && p[-1] != '{' && p[-1] != '[')
		*p++ = ',';
	if (name) {
		*p++ = '"';
		memcpy(p, name, len);
		p += len;
		*p++ = '"';
		*p++ = ':';
	}
	o->n += (size_t)(p - start);
	return p;
}

static void put(struct json_out *o, const char *name, const char *s, size_t n)
{
	char *p = begin(o, name, n);

	if (!p)
		return;
	memcpy(p, s, n);
	o->n += n;
}

static void end(struct json_out *o, char c)
{
	char *p = room(o, 1);

	if (!p)
		return;
	*p = c;
	o->n++;
}

void json_out_open(struct json_out *o, const char *name)
{
	put(o, name, "{", 1);
}

void json_out_close(struct json_out *o)
{
	end(o, '}');
}

void json_out_array(struct json_out *o, const char *name)
{
	put(o, name, "[", 1);
}

void json_out_end(struct json_out *o)
{
	end(o, ']');
}

static char *escape(char *p, uint8_t c)
{
	static const char digit[] = "0123456789ABCDEF";
	static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
	const char *at = c ? strchr(plain, c) : NULL;

	*p++ = '\\';
	if (at) {
		*p++ = letter[at - plain];
		return p;
	}
	memcpy(p, "u00", 3);
	p[3] = digit[c >> 4];
	p[4] = digit[c & 15];
	return p + 5;
}

void json_out_text(struct json_out *o, const char *name, struct str s)
{
	bool shown = !utf8_is_text(s);
	char *p = begin(o, name, 2 + ESCAPED * s.n), *start = p;

	if (!p)
		return;
	*p++ = '"';
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (shown && (c < 0x20 || c > 0x7e))
			*p++ = '?';
		else if (c < 0x20 || c == '"' || c == '\\')
			p = escape(p, c);
		else
			*p++ = (char)c;
	}
	*p++ = '"';
	o->n += (size_t)(p - start);
}

void json_out_string(struct json_out *o, const char *name, const char *s)
{
	json_out_text(o, name, str_c(s));
}

void json_out_string_or_null(struct json_out *o, const char *name, const char *s)
{
	if (s)
		json_out_string(o, name, s);
	else
		json_out_null(o, name);
}

void json_out_int(struct json_out *o, const char *name, int64_t v)
{
	char buf[24], *p = buf + sizeof(buf);
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	do
		*--p = (char)('0' + u % 10);
	while (u /= 10);
	if (v < 0)
		*--p = '-';
	put(o, name, p, (size_t)(buf + sizeof(buf) - p));
}

void json_out_real(struct json_out *o, const char *name, double v)
{
	char buf[40];
	int n = snprintf(buf, sizeof(buf), "%.15g", v);

	if (strtod(buf, NULL) != v)
		n = snprintf(buf, sizeof(buf), "%.17g", v);
	/* A real stays one: "5" would be read as an integer. */
	if (!strpbrk(buf, ".e"))
		n += snprintf(buf + n, sizeof(buf) - (size_t)n, ".0");
	put(o, name, buf, (size_t)n);
}

void json_out_bool(struct json_out *o, const char *name, bool v)
{
	put(o, name, v ? "true" : "false", v ? 4 : 5);
}

void json_out_null(struct json_out *o, const char *name)
{
	put(o, name, "null", 4);
}

static int add(const char *p, size_t n, void *arg)
{
	json_out_raw(arg, p, n);
	return 0;
}

void json_out_value(struct json_out *o, const char *name, json_t *v)
{
	if (!v)
		o->failed = true;
	if (begin(o, name, 0) && json_dump_callback(v, add, o, JSON_COMPACT | JSON_ENCODE_ANY))
		o->failed = true;
	json_decref(v);
}

void json_out_members(struct json_out *o, json_t *object)
{
	const char *name;
	json_t *v;

	if (!object)
		o->failed = true;
	json_object_foreach(object, name, v)
		json_out_value(o, name, json_incref(v));
	json_decref(object);
}

void json_out_raw(struct json_out *o, const char *p, size_t n)
{
	char *to = room(o, n);

	if (!to)
		return;
	memcpy(to, p, n);
	o->n += n;
}
