/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The charsets of East Asia: two octets a character, mostly. */
#include "dataplane/content/charset_priv.h"
#include "dataplane/content/charset_tables.h"

static struct charset_step one(uint32_t cp, unsigned int used)
{
	return (struct charset_step){cp, used};
}

/* A pair that may be no character: an ASCII octet in it is then one of its own, or markup could be
 * hidden behind a stray lead octet. */
static struct charset_step pair(uint16_t cp, uint8_t trail)
{
	return cp ? one(cp, 2) : one(CP_BAD, trail < 0x80 ? 1 : 2);
}

static uint32_t gb18030_four(uint32_t n)
{
	size_t low = 0, high = charset_gb18030_n;

	if (n >= 189000 && n - 189000 < 0x100000)
		return 0x10000 + n - 189000;
	if (n >= 39420)
		return CP_BAD;
	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (charset_gb18030[mid].first <= n)
			low = mid;
		else
			high = mid;
	}
	if (!charset_gb18030[low].cp)
		return CP_BAD;
	return charset_gb18030[low].cp + n - charset_gb18030[low].first;
}

struct charset_step charset_step_gb18030(struct charset *c, const uint8_t *p, size_t n)
{
	uint32_t cp;

	(void)c;
	if (p[0] < 0x80)
		return one(p[0], 1);
	if (p[0] == 0x80)
		return one(0x20ac, 1); /* the euro sign of CP936 */
	if (p[0] == 0xff)
		return one(CP_BAD, 1);
	if (n < 2)
		return one(CP_NONE, 0);
	if (p[1] < 0x30 || p[1] > 0x39) {
		bool ok = (p[1] >= 0x40 && p[1] < 0x7f) || (p[1] >= 0x80 && p[1] < 0xff);
		size_t at = (size_t)(p[0] - 0x81) * 190 + p[1] - (p[1] < 0x7f ? 0x40u : 0x41u);

		return pair(ok ? charset_gbk[at] : 0, p[1]);
	}
	if (n > 2 && (p[2] < 0x81 || p[2] > 0xfe))
		return one(CP_BAD, 1);
	if (n < 4)
		return one(CP_NONE, 0);
	if (p[3] < 0x30 || p[3] > 0x39)
		return one(CP_BAD, 1);
	cp = gb18030_four((((uint32_t)(p[0] - 0x81) * 10 + p[1] - 0x30) * 126 + p[2] - 0x81) * 10 +
			  p[3] - 0x30);
	return one(cp, 4);
}

struct charset_step charset_step_big5(struct charset *c, const uint8_t *p, size_t n)
{
	bool ok;

	(void)c;
	if (p[0] < 0x80)
		return one(p[0], 1);
	if (p[0] == 0x80 || p[0] == 0xff)
		return one(CP_BAD, 1);
	if (n < 2)
		return one(CP_NONE, 0);
	ok = (p[1] >= 0x40 && p[1] < 0x7f) || (p[1] > 0xa0 && p[1] < 0xff);
	if (!ok)
		return pair(0, p[1]);
	return pair(
		charset_big5[(size_t)(p[0] - 0x81) * 157 + p[1] - (p[1] < 0x7f ? 0x40u : 0x62u)],
		p[1]);
}

struct charset_step charset_step_sjis(struct charset *c, const uint8_t *p, size_t n)
{
	size_t row;

	(void)c;
	if (p[0] < 0x80)
		return one(p[0], 1);
	if (p[0] >= 0xa1 && p[0] <= 0xdf) /* half-width katakana */
		return one(0xff61u + p[0] - 0xa1u, 1);
	if (p[0] == 0x80 || p[0] == 0xa0 || p[0] > 0xfc)
		return one(CP_BAD, 1);
	if (n < 2)
		return one(CP_NONE, 0);
	if (p[1] < 0x40 || p[1] == 0x7f || p[1] > 0xfc)
		return pair(0, p[1]);
	row = (size_t)(p[0] - (p[0] < 0xa0 ? 0x81 : 0xc1));
	return pair(charset_jis0208[row * 188 + p[1] - (p[1] < 0x7f ? 0x40u : 0x41u)], p[1]);
}

static bool is_94(uint8_t c)
{
	return c > 0xa0 && c < 0xff;
}

struct charset_step charset_step_eucjp(struct charset *c, const uint8_t *p, size_t n)
{
	(void)c;
	if (p[0] < 0x80)
		return one(p[0], 1);
	if (p[0] != 0x8e && p[0] != 0x8f && !is_94(p[0]))
		return one(CP_BAD, 1);
	if (n < 2)
		return one(CP_NONE, 0);
	if (!is_94(p[1]))
		return pair(0, p[1]);
	if (p[0] == 0x8e)
		return pair(p[1] < 0xe0 ? (uint16_t)(0xff61u + p[1] - 0xa1u) : 0, p[1]);
	if (p[0] != 0x8f)
		return pair(charset_jis0208[(size_t)(p[0] - 0xa1) * 94 + p[1] - 0xa1], p[1]);
	if (n < 3)
		return one(CP_NONE, 0);
	if (is_94(p[2])) {
		uint16_t cp = charset_jis0212[(size_t)(p[1] - 0xa1) * 94 + p[2] - 0xa1];

		return one(cp ? cp : CP_BAD, 3);
	}
	return one(CP_BAD, p[2] < 0x80 ? 2 : 3);
}

struct charset_step charset_step_euckr(struct charset *c, const uint8_t *p, size_t n)
{
	(void)c;
	if (p[0] < 0x80)
		return one(p[0], 1);
	if (p[0] == 0x80 || p[0] == 0xff)
		return one(CP_BAD, 1);
	if (n < 2)
		return one(CP_NONE, 0);
	if (p[1] < 0x41 || p[1] == 0xff)
		return pair(0, p[1]);
	return pair(charset_euckr[(size_t)(p[0] - 0x81) * 190 + p[1] - 0x41], p[1]);
}

/* RFC 1468, RFC 2237, and the katakana that mailers use: what an escape sequence selects. */
static struct charset_step escape(struct charset *c, const uint8_t *p, size_t n)
{
	static const struct {
		uint8_t seq[4], n, set;
	} known[] = {
		{"\033(B", 3, JP_ASCII},
		{"\033(J", 3, JP_ROMAN},
		{"\033(I", 3, JP_KATAKANA},
		{"\033$@", 3, JP_0208},
		{"\033$B", 3, JP_0208},
		{{033, '$', '(', 'D'}, 4, JP_0212},
		{{033, '$', '(', 'B'}, 4, JP_0208},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		size_t k = n < known[i].n ? n : known[i].n;

		if (memcmp(p, known[i].seq, k) != 0)
			continue;
		if (k < known[i].n)
			return one(CP_NONE, 0);
		c->set = known[i].set;
		return one(CP_NONE, known[i].n);
	}
	return one(CP_BAD, 1);
}

struct charset_step charset_step_iso2022jp(struct charset *c, const uint8_t *p, size_t n)
{
	const uint16_t *table = c->set == JP_0212 ? charset_jis0212 : charset_jis0208;

	if (p[0] == 033)
		return escape(c, p, n);
	/* RFC 1468: lines end in ASCII; mailers that forget it are understood. */
	if (p[0] == '\n' || p[0] == '\r')
		c->set = JP_ASCII;
	if (p[0] >= 0x80) /* Shift_JIS under this name is seen, but cannot be told from EUC-JP */
		return one(CP_BAD, 1);
	if (p[0] <= 0x20 || p[0] == 0x7f || c->set == JP_ASCII)
		return one(p[0], 1);
	if (c->set == JP_ROMAN)
		return one(p[0] == '\\' ? 0xa5 : p[0] == '~' ? 0x203e : p[0], 1);
	if (c->set == JP_KATAKANA)
		return one(p[0] < 0x60 ? 0xff61u + p[0] - 0x21u : CP_BAD, 1);
	if (n < 2)
		return one(CP_NONE, 0);
	if (p[1] <= 0x20 || p[1] >= 0x7f)
		return one(CP_BAD, 1);
	return pair(table[(size_t)(p[0] - 0x21) * 94 + p[1] - 0x21], 0xff);
}
