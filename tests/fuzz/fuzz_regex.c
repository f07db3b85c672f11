/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A pattern: parsed, analysed, made a gate; the gate is run over the pattern's own text. */

#include <stdlib.h>

#include "control/rules/regex/regex_automaton.h"
#include "dataplane/scan/automaton.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void found(void *ctx, uint32_t id, size_t end)
{
	if (id != 3 || end > *(size_t *)ctx)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct regex_nfa nfa = {.limit = 3000};
	struct regex_literals literals;
	struct regex_lines lines;
	struct regex_stretch s;
	struct regex_gate gate = {0};
	struct automaton a;
	const char *why = NULL;
	size_t at = 0, len, states;
	struct regex re;
	void *blob = NULL;

	if (size < 1 || size > 2000)
		return 0;
	if (regex_parse(str_make(data + 1, size - 1), data[0] & 15, &re, &why, &at)) {
		if (!why || at > size)
			abort();
		return 0;
	}
	regex_lines(&re, &lines);
	if (!regex_literals(&re, &literals)) {
		for (size_t i = 0; i < literals.n; i++)
			if (literals.literal[i].len < REGEX_LITERAL_MIN ||
			    literals.literal[i].len > REGEX_LITERAL_MAX)
				abort();
		regex_literals_free(&literals);
	}
	if (regex_stretches(&re, 0.1, 3000, &s, 1) && !regex_nfa_add(&nfa, &re, &s, 0, 3, &gate) &&
	    !regex_determinise(&nfa, &gate, 1, 500, &blob, &len, &states)) {
		if (automaton_open(blob, len, 4, &a))
			abort();
		automaton_run(&a, data, size, 0, size, data[0] & 16, found, &size);
	}
	free(blob);
	regex_gate_free(&gate);
	regex_nfa_free(&nfa);
	regex_free(&re);
	return 0;
}
