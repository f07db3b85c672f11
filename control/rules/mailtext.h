/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Text like that of mail, made from a list of words: what patterns are measured on when a plan is
 * made, and what says which literals are rare. Always the same for the same seed.
 */

#include <stddef.h>
#include <stdint.h>

/* n octets of a body view: paragraphs of one line each, line feeds between. */
void mailtext_body(uint32_t seed, uint8_t *out, size_t n);
/* The same in scripts of other languages, UTF-8. */
void mailtext_foreign(uint32_t seed, uint8_t *out, size_t n);
/* n octets of a URI view: one a line. */
void mailtext_uri(uint32_t seed, uint8_t *out, size_t n);
/* n octets of text as it was sent: short lines, some of them HTML. */
void mailtext_rawbody(uint32_t seed, uint8_t *out, size_t n);
/* n octets of one field's value; of several fields, LF between. */
void mailtext_header(uint32_t seed, uint8_t *out, size_t n);
