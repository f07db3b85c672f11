/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Strings of a configuration, of a certificate or of the command line in a script that an
 * administrator of a tenant will paste. PowerShell ends a single-quoted string at ' and, as at
 * that, at U+2018, U+2019, U+201A and U+201B (about_Quoting_Rules); a terminal reads control
 * characters. So nothing but printable ASCII stands between quotes, ' doubled; all else is written
 * as [char]0xNN, and what is no UTF-8 as U+FFFD.
 */

#include <errno.h>
#include <stdio.h>

#include "control/cli/doctor.h"
#include "postern/utf8.h"

struct out {
	char *p;
	size_t n, cap;
	bool full;
};

static void put(struct out *o, const char *s, size_t n)
{
	if (o->full || n >= o->cap - o->n) {
		o->full = true;
		return;
	}
	memcpy(o->p + o->n, s, n);
	o->n += n;
}

static bool is_plain(uint8_t c)
{
	return c == ' ' || ascii_is_vchar(c);
}

static size_t put_plain(struct out *o, struct str s, size_t i)
{
	put(o, "'", 1);
	for (; i < s.n && is_plain(s.p[i]); i++)
		put(o, s.p[i] == '\'' ? "''" : (const char *)&s.p[i], s.p[i] == '\'' ? 2 : 1);
	put(o, "'", 1);
	return i;
}

static size_t put_code(struct out *o, struct str s, size_t i)
{
	char buf[64];
	size_t len;
	long cp = utf8_at(s, i, &len);

	snprintf(buf, sizeof(buf),
		 cp > 0xffff ? "[char]::ConvertFromUtf32(0x%lX)" : "[char]0x%04lX",
		 cp < 0 ? 0xfffdL : cp);
	put(o, buf, strlen(buf));
	return i + len;
}

long doctor_quote(struct str s, char *out, size_t cap)
{
	struct out o = {.p = out, .cap = cap};
	bool plain = true;

	for (size_t i = 0; i < s.n; i++)
		plain &= is_plain(s.p[i]);
	if (!cap)
		return -ENOSPC;
	if (plain) {
		put_plain(&o, s, 0);
	} else {
		/* Begins with a string, so that + joins strings and adds no numbers. */
		put(&o, "(''", 3);
		for (size_t i = 0; i < s.n;) {
			put(&o, " + ", 3);
			i = is_plain(s.p[i]) ? put_plain(&o, s, i) : put_code(&o, s, i);
		}
		put(&o, ")", 1);
	}
	out[o.full ? 0 : o.n] = '\0';
	return o.full ? -ENOSPC : (long)o.n;
}

long doctor_deceptive(struct str s, size_t *at)
{
	size_t len;

	for (size_t i = *at; i < s.n; i += len) {
		long cp = utf8_at(s, i, &len);

		/* The joiners have their use in Persian and Indic text, and none in a host name
		 * that another system compares octet by octet. */
		if (cp >= 0x80 && (utf8_is_deceptive(cp) || cp == 0x200c || cp == 0x200d)) {
			*at = i;
			return cp;
		}
	}
	return -1;
}
