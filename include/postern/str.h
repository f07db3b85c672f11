/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * (pointer, length) strings. Nothing that came from outside is ever a NUL-terminated string here.
 * A struct str borrows its bytes: whoever made it says how long they live. {NULL, 0} is "absent";
 * a non-NULL pointer with n == 0 is "present and empty".
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "postern/ascii.h"

struct str {
	const uint8_t *p;
	size_t n;
};

/* A string literal as struct str. */
#define STR(lit) ((struct str){(const uint8_t *)("" lit ""), sizeof(lit) - 1})
#define STR_NONE ((struct str){NULL, 0})
/* For printf("%.*s", STR_FMT(s)): cut at INT_MAX is not a concern, limits are far below. */
#define STR_FMT(s) (int)(s).n, (const char *)(s).p

static inline struct str str_make(const void *p, size_t n)
{
	return (struct str){(const uint8_t *)p, n};
}

/* For our own NUL-terminated strings (configuration, literals in tables). */
static inline struct str str_c(const char *s)
{
	return (struct str){(const uint8_t *)s, s ? strlen(s) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII case-insensitive; octets above 127 must be equal. */
static inline bool str_ieq(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	return true;
}

static inline bool str_istarts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_ieq(str_make(s.p, prefix.n), prefix);
}

static inline bool str_iends(struct str s, struct str suffix)
{
	return s.n >= suffix.n && str_ieq(str_make(s.p + s.n - suffix.n, suffix.n), suffix);
}

/* Index of the first octet c, or s.n. */
static inline size_t str_find(struct str s, uint8_t c)
{
	const uint8_t *q = s.n ? memchr(s.p, c, s.n) : NULL;

	return q ? (size_t)(q - s.p) : s.n;
}

/* s without its first k octets (all of them if k > n). */
static inline struct str str_skip(struct str s, size_t k)
{
	if (k > s.n)
		k = s.n;
	return str_make(s.p ? s.p + k : NULL, s.n - k);
}

static inline struct str str_cut(struct str s, size_t k)
{
	return str_make(s.p, k < s.n ? k : s.n);
}

/* Without leading and trailing SP and HTAB (and CR LF, so that folded values come out clean). */
static inline struct str str_trim(struct str s)
{
	while (s.n && ascii_is_wsp_crlf(s.p[0]))
		s = str_skip(s, 1);
	while (s.n && ascii_is_wsp_crlf(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* "*" any octets, "?" one; without case. */
static inline bool str_iglob(struct str s, struct str pattern)
{
	size_t i = 0, j = 0, star = SIZE_MAX, from = 0;

	while (i < s.n) {
		if (j < pattern.n && pattern.p[j] == '*') {
			star = j++;
			from = i;
		} else if (j < pattern.n && (pattern.p[j] == '?' ||
					     ascii_lower(pattern.p[j]) == ascii_lower(s.p[i]))) {
			i++;
			j++;
		} else if (star != SIZE_MAX) {
			j = star + 1;
			i = ++from;
		} else {
			return false;
		}
	}
	while (j < pattern.n && pattern.p[j] == '*')
		j++;
	return j == pattern.n;
}
