/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * White space of the body view, as SpamAssassin folds it: a run of white space with two line ends
 * in it parts two paragraphs, which is one LF (and one SP in front of it or behind it, where there
 * was white space in front of the first line end or behind the last); any other run is one SP.
 * White space is that of Unicode; CRLF is one line end; NUL is a break of its own.
 *
 * Fed with UTF-8, cut anywhere.
 */

#include "dataplane/content/run.h"

struct fold {
	struct content_run *run;
	bool any;       /* text came */
	bool space;     /* white space came that is not written yet: */
	bool before;    /*   in front of its first line end */
	bool after;     /*   behind the last */
	bool cr;        /* the last octet was CR */
	bool nul;       /* NUL came */
	uint8_t last;   /* octet written */
	uint8_t n_lf;   /* line ends in it; 2: or more */
	uint8_t n_held; /* octets of a character that may be white space */
	uint8_t held[2];
};

void fold_begin(struct fold *f, struct content_run *run);
void fold_text(struct fold *f, const uint8_t *p, size_t n);
/* Another part begins: a line end, if there is text before it. */
void fold_part(struct fold *f);
/* The view ends with a line end. */
void fold_end(struct fold *f);
