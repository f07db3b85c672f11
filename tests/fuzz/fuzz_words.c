/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A line of posternctl's shell: its words are within bounds, quoted anew they are themselves, and
 * the grammar takes or refuses them. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/grammar.h"
#include "control/cli/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct words *w)
{
	char reason[WORDS_WHY];
	struct words one;

	for (size_t i = 0; i < w->n; i++) {
		size_t cap = 4 * strlen(w->word[i]) + 3;
		char *text = malloc(cap);
		size_t n = words_quote(w->word[i], text, cap);

		if (!n || words_split(&one, text, n, reason) || one.n != 1 ||
		    strcmp(one.word[0], w->word[i]) != 0)
			abort();
		words_free(&one);
		free(text);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct grammar_next next;
	char why[GRAMMAR_WHY];
	struct grammar_call call;
	struct words w;
	int rc = words_split(&w, (const char *)data, size, why);
	size_t octets = 0;

	for (size_t i = 0; i < w.n; i++)
		octets += strlen(w.word[i]);
	if (octets > size || w.n > LIMIT_CLI_WORDS || w.begin > size || w.word[w.n] || !rc != !*why)
		abort();
	if (!rc && (w.quote || (w.comment && w.open)))
		abort();
	if (!rc || rc == -EINVAL) {
		int before = (int)w.n - (w.open && w.n);

		again(&w);
		grammar_next(&next, before, w.word, before < (int)w.n ? w.word[before] : "",
			     size & 1);
		if (next.n > GRAMMAR_NEXT)
			abort();
		if (!grammar_parse(&call, (int)w.n, w.word, size & 1, why)) {
			if (!call.command || call.argc > 2 * (int)w.n + 4)
				abort();
			grammar_call_free(&call);
		}
	}
	words_free(&w);
	return 0;
}
