/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The structure of a message (RFC 2045, 2046), cut anywhere: header fields, parts, their octets
 * without transfer encoding. Knows no text, no charsets of bodies, no views. Fixed state, linear
 * time: the boundaries that are open lie in a hash table, so a line is compared with one of them.
 *
 * What is broken is read as SpamAssassin reads it, whose rules are what looks at it:
 *
 *   - A line ends with CRLF or LF.
 *   - Of a field that stands twice the last one counts, of a parameter the first.
 *   - A delimiter is the whole line, white space behind it left out. Of those that are open the
 *     innermost that fits counts; what is inside of it ends there, closed or not.
 *   - A multipart without a boundary, or none of whose parts ever begins, is text/plain.
 *   - In the header of a part the first line that is no field begins the body; in the header of
 *     a message it is passed over.
 *   - message/rfc822 and message/global are read on, encoded ones too; other message types not.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/content/charset.h"
#include "dataplane/content/content.h"
#include "dataplane/content/decode.h"

enum mime_kind {
	MIME_TEXT, /* text of any type that has no other kind: body and rawbody */
	MIME_HTML, /* text/html: body and rawbody */
	MIME_RAW,  /* rawbody only: message types that are not read on, text/x-vcard */
	MIME_OTHER,
	MIME_MULTIPART, /* parts follow; no data of its own */
	MIME_MESSAGE,   /* a message follows */
};

enum mime_encoding { MIME_IDENTITY, MIME_BASE64, MIME_QP };

struct mime_part {
	uint32_t index;     /* from 0, in the order of their headers */
	uint8_t depth;      /* multiparts and messages around it */
	uint8_t kind;       /* enum mime_kind */
	uint8_t encoding;   /* enum mime_encoding */
	bool attachment;    /* Content-Disposition: attachment */
	struct str type;    /* "text/plain", lower case, of what it is taken for */
	struct str charset; /* the parameter; empty: none */
	struct str name; /* UTF-8: filename of the disposition, or name of the type; empty: none */
};

struct mime_field {
	struct str name;  /* as it stands, without white space in front of the colon */
	struct str value; /* behind the colon, folding included, without the final line end */
	bool top;         /* of the header of the message itself, not of a part */
};

/* What they point to is gone when they return. */
struct mime_sink {
	/* Of one header LIMIT_HEADER_FIELDS of them at most, LIMIT_HEADER_BLOCK octets in all. */
	void (*field)(void *ctx, const struct mime_field *f);
	/* The header of the message itself has ended. */
	void (*header)(void *ctx);
	/* A part begins. Returns how many octets of its data are wanted (SIZE_MAX: all). */
	size_t (*part)(void *ctx, const struct mime_part *part);
	/* Decoded octets of the part that began last; n > 0. Not of MULTIPART and MESSAGE. */
	void (*data)(void *ctx, const uint8_t *p, size_t n);
	/* It ends. encoded: octets it has in the message. */
	void (*end)(void *ctx, uint64_t encoded);
	void *ctx;
};

#define MIME_PIECE   4096u /* octets that are decoded at once */
#define MIME_HOLD    (LIMIT_MIME_BOUNDARY + 32u)
#define MIME_BUCKETS 256u

/* The rest is the parser's own. */

struct mime_level {
	uint32_t hash;
	uint16_t off, len; /* the boundary in mime.boundary */
	uint8_t next;      /* of the same bucket: index + 1; 0: none */
	uint8_t layer;
	bool multipart; /* else a message */
	bool open;      /* its boundary is looked for */
	bool digest;    /* parts are messages (RFC 2046 5.1.5) */
};

/* Octets of the message, or of an encoded message inside of another layer. */
struct mime_layer {
	uint16_t n_hold;
	uint8_t phase;
	uint8_t n_open;   /* boundaries that end something here */
	uint8_t encoding; /* of the message that the next layer reads */
	struct decode_base64 base64;
	struct decode_qp qp;
	uint8_t hold[MIME_HOLD];
	uint8_t out[DECODE_OUT(MIME_PIECE)];
};

/* What the header of the part in hand says. */
struct mime_entity {
	bool message; /* it is a message's */
	bool has_type, has_encoding, attachment;
	bool bad_boundary;
	uint8_t encoding;
	uint16_t n_type, n_charset, n_boundary, n_name, n_filename;
	uint8_t type[128];
	uint8_t charset[64];
	uint8_t name[1024];
	uint8_t filename[1024];
	uint8_t boundary[LIMIT_MIME_BOUNDARY];
};

struct mime {
	const struct mime_sink *sink;
	uint32_t marks; /* CONTENT_M_* */
	uint32_t n_parts;
	uint8_t mode;
	uint8_t n_levels;
	uint8_t n_layers;
	bool top_done; /* the header of the message is behind us */
	uint16_t n_boundary, n_preamble;
	size_t wanted; /* of the part in hand */
	uint64_t encoded;
	uint32_t n_field, n_line; /* whole lines of a field, and the line that is coming in */
	bool line_cut;
	uint32_t n_fields, n_block; /* fields of the header in hand, and their octets */
	struct mime_entity entity;
	struct charset charset;      /* for words in fields */
	struct decode_base64 base64; /* of the part in hand */
	struct decode_qp qp;
	uint8_t bucket[MIME_BUCKETS];
	struct mime_level level[LIMIT_MIME_NESTING];
	struct mime_layer layer[LIMIT_MIME_LAYERS];
	uint8_t boundary[LIMIT_MIME_BOUNDARIES];
	uint8_t preamble[LIMIT_MIME_PREAMBLE];
	uint8_t out[DECODE_OUT(MIME_PIECE)];
	uint8_t field[LIMIT_HEADER_FIELD];
};

/* The sink must live until mime_end(). */
void mime_begin(struct mime *m, const struct mime_sink *sink);
void mime_feed(struct mime *m, const uint8_t *p, size_t n);
void mime_end(struct mime *m);
