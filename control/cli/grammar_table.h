/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* How the tables of grammar.h are written. */

#define FLAG                                                                                       \
	{                                                                                          \
		GRAMMAR_FLAG, NULL, NULL                                                           \
	}
#define CHOICE(list)                                                                               \
	{                                                                                          \
		GRAMMAR_CHOICE, NULL, list                                                         \
	}
#define VALUE(kind, name)                                                                          \
	{                                                                                          \
		GRAMMAR_##kind, name, NULL                                                         \
	}
#define TEXT(name)      VALUE(TEXT, name)
#define FILES(name)     VALUE(FILE, name)
#define ADDRESS(name)   VALUE(ADDRESS, name)
#define OPTIONS(list)   .option = list, .n_options = sizeof(list) / sizeof((list)[0])
#define ARGUMENTS(list) .argument = list, .n_arguments = sizeof(list) / sizeof((list)[0])

/* What makes pages and tests of the table runs none of its functions. */
#ifdef GRAMMAR_TEXT_ONLY
#define RUN(function, words) .skip = words
#else
#define RUN(function, words) .run = function, .skip = words
#endif
