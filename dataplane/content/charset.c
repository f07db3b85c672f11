/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/charset.h"

#include <errno.h>

#include "dataplane/content/charset_priv.h"
#include "dataplane/content/charset_tables.h"
#include "dataplane/content/vec.h"

#define LABEL_MAX 48u

/* UTF-7 (RFC 2152) and UTF-16: what c->set says. */
enum { U7_DIRECT, U7_SHIFTED, U7_JUST_SHIFTED };
enum { U16_START, U16_LE, U16_BE };

static const struct charset_label *find(const char *name)
{
	size_t low = 0, high = charset_label_n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int cmp = strcmp(name, charset_label[mid].name);

		if (cmp == 0)
			return &charset_label[mid];
		if (cmp < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

int charset_begin(struct charset *c, struct str label)
{
	const struct charset_label *l;
	char name[LABEL_MAX];
	size_t n = 0;

	*c = (struct charset){.kind = CHARSET_K_LENIENT};
	for (size_t i = 0; i < label.n; i++) {
		if (!ascii_is_alnum(label.p[i]))
			continue;
		if (n == sizeof(name) - 1)
			return -ENOENT;
		name[n++] = (char)ascii_lower(label.p[i]);
	}
	name[n] = '\0';
	if (!n)
		return label.n ? -ENOENT : 0;
	l = find(name);
	/* Windows-1252 is also "cp-1252", "x-cp1252", "windows-cp1252". */
	if (!l && !strncmp(name, "windowscp", 9))
		l = find(name + 7);
	if (!l && name[0] == 'x')
		l = find(name + 1);
	if (!l)
		return -ENOENT;
	c->kind = l->kind;
	c->index = l->index;
	if (l->kind == CHARSET_K_UTF16BE)
		c->set = U16_BE;
	return 0;
}

static struct charset_step one(uint32_t cp, unsigned int used)
{
	return (struct charset_step){cp, used};
}

/* RFC 3629; of broken text the longest start of a character counts as one (Unicode 3.9, best
 * practice for U+FFFD), as browsers have it. */
static struct charset_step step_utf8(struct charset *c, const uint8_t *p, size_t n)
{
	uint8_t low = 0x80, high = 0xbf;
	unsigned int more;
	uint32_t cp;

	(void)c;
	if (p[0] < 0x80)
		return one(p[0], 1);
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return one(CP_BAD, 1);
	more = p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : 3;
	cp = p[0] & (0x3fu >> more);
	if (p[0] == 0xe0)
		low = 0xa0;
	if (p[0] == 0xed)
		high = 0x9f;
	if (p[0] == 0xf0)
		low = 0x90;
	if (p[0] == 0xf4)
		high = 0x8f;
	for (unsigned int i = 1; i <= more; i++) {
		if (i == n)
			return one(CP_NONE, 0);
		if (p[i] < low || p[i] > high)
			return one(CP_BAD, i);
		cp = cp << 6 | (p[i] & 0x3fu);
		low = 0x80;
		high = 0xbf;
	}
	return one(cp, more + 1);
}

static uint16_t windows1252(uint8_t octet)
{
	return charset_single[charset_windows1252 * 128u + octet - 128];
}

static struct charset_step step_lenient(struct charset *c, const uint8_t *p, size_t n)
{
	struct charset_step s = step_utf8(c, p, n);

	if (s.cp == CP_BAD) {
		uint16_t cp = windows1252(p[0]);

		c->bad = true;
		return one(cp ? cp : CP_BAD, 1);
	}
	if (c->kind == CHARSET_K_ASCII && s.cp >= 0x80 && s.used)
		c->bad = true;
	return s;
}

static struct charset_step step_single(struct charset *c, const uint8_t *p, size_t n)
{
	uint16_t cp = p[0] < 0x80 ? p[0] : charset_single[c->index * 128u + p[0] - 128];

	(void)n;
	return one(cp || p[0] == 0 ? cp : CP_BAD, 1);
}

static uint32_t unit(const struct charset *c, const uint8_t *p)
{
	return c->set == U16_BE ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

/* RFC 2781. Without a mark of the order it is little-endian, as the mailers that send it are. */
static struct charset_step step_utf16(struct charset *c, const uint8_t *p, size_t n)
{
	uint32_t a, b;

	if (n < 2)
		return one(CP_NONE, 0);
	if (c->set == U16_START) {
		bool be = p[0] == 0xfe && p[1] == 0xff;

		c->set = be ? U16_BE : U16_LE;
		if (be || (p[0] == 0xff && p[1] == 0xfe))
			return one(CP_NONE, 2);
	}
	a = unit(c, p);
	if (a >= 0xdc00 && a < 0xe000)
		return one(CP_BAD, 2);
	if (a < 0xd800 || a >= 0xe000)
		return one(a, 2);
	if (n < 4)
		return one(CP_NONE, 0);
	b = unit(c, p + 2);
	if (b < 0xdc00 || b >= 0xe000)
		return one(CP_BAD, 2);
	return one(0x10000 + ((a - 0xd800) << 10) + (b - 0xdc00), 4);
}

static int digit_of(uint8_t c)
{
	return c >= 'A' && c <= 'Z'   ? c - 'A'
	       : c >= 'a' && c <= 'z' ? c - 'a' + 26
	       : ascii_is_digit(c)    ? c - '0' + 52
	       : c == '+'             ? 62
	       : c == '/'             ? 63
				      : -1;
}

/* The next 16 bits are whole. used is the caller's; where it is 0 the octet comes again. */
static struct charset_step unit_utf7(struct charset *c)
{
	uint32_t u = c->bits >> (c->n_bits - 16) & 0xffff, high = c->high;

	if (high && (u < 0xdc00 || u >= 0xe000)) {
		c->high = 0;
		return one(CP_BAD, 0);
	}
	c->n_bits -= 16;
	c->high = 0;
	if (high)
		return one(0x10000 + ((high - 0xd800) << 10) + (u - 0xdc00), 1);
	if (u >= 0xdc00 && u < 0xe000)
		return one(CP_BAD, 1);
	if (u < 0xd800 || u >= 0xe000)
		return one(u, 1);
	c->high = (uint16_t)u;
	return one(CP_NONE, 1);
}

static struct charset_step step_utf7(struct charset *c, const uint8_t *p, size_t n)
{
	bool just = c->set == U7_JUST_SHIFTED;
	int v = digit_of(p[0]);

	(void)n;
	if (c->set == U7_DIRECT) {
		if (p[0] != '+')
			return one(p[0] < 0x80 ? p[0] : CP_BAD, 1);
		c->set = U7_JUST_SHIFTED;
		c->n_bits = 0;
		c->high = 0;
		return one(CP_NONE, 1);
	}
	if (v >= 0) {
		struct charset_step s = one(CP_NONE, 1);

		if (c->n_bits >= 16) /* the octet comes again, see unit_utf7() */
			return unit_utf7(c);
		c->set = U7_SHIFTED;
		c->bits = c->bits << 6 | (uint32_t)v;
		c->n_bits += 6;
		if (c->n_bits >= 16)
			s = unit_utf7(c);
		return s;
	}
	c->set = U7_DIRECT;
	if (c->high || c->n_bits >= 6) {
		c->high = 0;
		c->n_bits = 0;
		return one(CP_BAD, p[0] == '-');
	}
	if (p[0] == '-')
		return one(just ? '+' : CP_NONE, 1);
	return one(CP_NONE, 0);
}

static charset_step_fn *const step_of[] = {
	[CHARSET_K_LENIENT] = step_lenient,     [CHARSET_K_ASCII] = step_lenient,
	[CHARSET_K_UTF8] = step_utf8,           [CHARSET_K_SINGLE] = step_single,
	[CHARSET_K_UTF7] = step_utf7,           [CHARSET_K_UTF16] = step_utf16,
	[CHARSET_K_UTF16BE] = step_utf16,       [CHARSET_K_GB18030] = charset_step_gb18030,
	[CHARSET_K_BIG5] = charset_step_big5,   [CHARSET_K_SJIS] = charset_step_sjis,
	[CHARSET_K_EUCJP] = charset_step_eucjp, [CHARSET_K_ISO2022JP] = charset_step_iso2022jp,
	[CHARSET_K_EUCKR] = charset_step_euckr,
};

static size_t put(struct charset *c, uint32_t cp, uint8_t *out)
{
	if (cp == CP_NONE)
		return 0;
	if (cp == CP_BAD) {
		c->bad = true;
		cp = 0xfffd;
	}
	if (cp < 0x80) {
		out[0] = (uint8_t)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (uint8_t)(0xc0 | cp >> 6);
		out[1] = (uint8_t)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (uint8_t)(0xe0 | cp >> 12);
		out[1] = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (cp & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | cp >> 18);
	out[1] = (uint8_t)(0x80 | (cp >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (cp & 0x3f));
	return 4;
}

/* ASCII up to the octet that shifts to something else. Not far ahead: it may come often. */
static size_t unshifted(const uint8_t *p, size_t n, uint8_t shift)
{
	size_t k = vec_ascii(p, n < 256 ? n : 256);
	const uint8_t *q = memchr(p, shift, k);

	return q ? (size_t)(q - p) : k;
}

/* Octets of whole characters of UTF-8 at the start. */
static size_t valid_utf8(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n) {
		struct charset_step s;

		i += vec_ascii(p + i, n - i);
		/* Text of other scripts: characters of one length mostly follow each other. */
		while (i < n && p[i] >= 0x80) {
			s = step_utf8(NULL, p + i, n - i);
			if (s.cp == CP_BAD || !s.used)
				return i;
			i += s.used;
		}
	}
	return i;
}

size_t charset_same(const struct charset *c, const uint8_t *p, size_t n)
{
	if (c->n_held)
		return 0;
	switch (c->kind) {
	case CHARSET_K_UTF16:
	case CHARSET_K_UTF16BE:
		return 0;
	case CHARSET_K_UTF7:
		return c->set == U7_DIRECT ? unshifted(p, n, '+') : 0;
	case CHARSET_K_ISO2022JP:
		return c->set == JP_ASCII ? unshifted(p, n, 033) : 0;
	case CHARSET_K_UTF8:
	case CHARSET_K_LENIENT:
		return valid_utf8(p, n);
	default:
		return vec_ascii(p, n);
	}
}

/* Characters that are whole in what is held. */
static size_t drain(struct charset *c, uint8_t *out)
{
	size_t k = 0;

	while (c->n_held) {
		struct charset_step s = step_of[c->kind](c, c->held, c->n_held);

		if (s.cp == CP_NONE && !s.used && c->kind != CHARSET_K_UTF7)
			break;
		k += put(c, s.cp, out + k);
		c->n_held -= (uint8_t)s.used;
		memmove(c->held, c->held + s.used, c->n_held);
	}
	return k;
}

size_t charset_feed(struct charset *c, const uint8_t *in, size_t n, uint8_t *out)
{
	charset_step_fn *step = step_of[c->kind];
	size_t i = 0, k = 0;

	while (i < n) {
		size_t same = charset_same(c, in + i, n - i);
		struct charset_step s;

		if (same) {
			memcpy(out + k, in + i, same);
			i += same;
			k += same;
			continue;
		}
		if (c->n_held) {
			c->held[c->n_held++] = in[i++];
			k += drain(c, out + k);
			continue;
		}
		s = step(c, in + i, n - i);
		if (s.cp == CP_NONE && !s.used && c->kind != CHARSET_K_UTF7) {
			c->n_held = (uint8_t)(n - i);
			memcpy(c->held, in + i, c->n_held);
			break;
		}
		k += put(c, s.cp, out + k);
		i += s.used;
	}
	return k;
}

size_t charset_end(struct charset *c, uint8_t *out)
{
	size_t k = 0;

	/* Half a character. Where octets may mean something else, they get their chance. */
	while (c->n_held && (c->kind == CHARSET_K_LENIENT || c->kind == CHARSET_K_ASCII)) {
		uint16_t cp = windows1252(c->held[0]);

		c->bad = true;
		k += put(c, cp ? cp : CP_BAD, out + k);
		memmove(c->held, c->held + 1, --c->n_held);
	}
	if (c->n_held || c->high ||
	    (c->set != U7_DIRECT && c->kind == CHARSET_K_UTF7 && c->n_bits >= 6))
		k += put(c, CP_BAD, out + k);
	c->n_held = 0;
	c->high = 0;
	c->n_bits = 0;
	return k;
}
