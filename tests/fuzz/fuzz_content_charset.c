/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Octet 0 chooses a charset, octet 1 the runs. One run and many give the same; it is UTF-8; where
 * ASCII is ASCII, no `<` is lost and none comes up. */

#include <stdlib.h>
#include <string.h>

#include "dataplane/content/charset.h"
#include "postern/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const char *const labels[] = {
	"",
	"us-ascii",
	"utf-8",
	"windows-1252",
	"koi8-u",
	"gb18030",
	"big5",
	"shift_jis",
	"euc-jp",
	"euc-kr",
	"unknown",
	"iso-8859-7",
	/* Shift states: */
	"iso-2022-jp",
	"utf-7",
	"utf-16",
	"utf-16be",
};
#define N_LABELS (sizeof(labels) / sizeof(labels[0]))
#define N_PLAIN  12

static size_t convert(const char *label, const uint8_t *p, size_t n, size_t step, uint8_t *out,
		      bool *bad)
{
	uint8_t *buf = malloc(CHARSET_OUT(step));
	struct charset c;
	size_t k = 0;

	if (!buf)
		abort();
	(void)charset_begin(&c, str_c(label));
	for (size_t i = 0; i < n; i += step) {
		size_t m = charset_feed(&c, p + i, step < n - i ? step : n - i, buf);

		memcpy(out + k, buf, m);
		k += m;
	}
	k += charset_end(&c, out + k);
	*bad = c.bad;
	free(buf);
	return k;
}

static size_t count(const uint8_t *p, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		k += p[i] == '<';
	return k;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	unsigned int which;
	size_t step, n_whole, n_cut;
	uint8_t *whole, *cut;
	bool bad_whole, bad_cut;

	if (n < 3)
		return 0;
	which = p[0] % N_LABELS;
	step = 1u + p[1] % 64u;
	p += 2;
	n -= 2;
	whole = malloc(CHARSET_OUT(n) + CHARSET_OUT(0));
	cut = malloc(CHARSET_OUT(n) + CHARSET_OUT(0));
	if (!whole || !cut)
		abort();
	n_whole = convert(labels[which], p, n, n, whole, &bad_whole);
	n_cut = convert(labels[which], p, n, step, cut, &bad_cut);
	if (n_whole != n_cut || memcmp(whole, cut, n_cut) != 0 || bad_whole != bad_cut)
		abort();
	for (size_t i = 0, len; i < n_whole; i += len)
		if (utf8_at(str_make(whole, n_whole), i, &len) < 0)
			abort();
	if (which < N_PLAIN && count(p, n) != count(whole, n_whole))
		abort();
	free(whole);
	free(cut);
	return 0;
}
