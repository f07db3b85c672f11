/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What control and a jailed worker say to each other: one request, one response, each one message
 * of a SOCK_SEQPACKET socket. Both sides check every length; control does not trust a worker.
 *
 * Names in a request are aliases. A record "include:%{l}.example.com a/24 -all" reaches libspf2 as
 *
 *   v=spf1 ?exists:d0-0-0.invalid +include:r0-0-0.invalid
 *          ?exists:d0-1-0.invalid +a:t0-1-0.invalid/24 ?exists:m0-2-0.invalid -all
 *
 * An alias is a key: a letter, the number of the record, of the term in it, an index. The `exists`
 * marks never match: by them the worker's resolver knows which term is being evaluated, and counts
 * those that look something up.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/str.h"

enum spf_key_kind {
	SPF_KEY_MARK = 'm',     /* evaluation came to a run of terms without lookups */
	SPF_KEY_MARK_DNS = 'd', /* ... to a term that counts as a lookup */
	SPF_KEY_RECORD = 'r',   /* record that `term` of `node` includes or redirects to */
	SPF_KEY_MORE = 'c',     /* rest of a record too long for libspf2, from `term` on */
	SPF_KEY_TARGET = 't',   /* what a, mx or exists of `term` asks for */
	SPF_KEY_MX = 'x',       /* addresses of the index-th MX host of `term` */
	SPF_KEY_PTR = 'p',      /* reverse names of the client */
	SPF_KEY_PTR_HOST = 'h', /* addresses of the index-th reverse name */
};

#define SPF_TERM_END      0xfffdu /* behind the last term: the default result */
#define SPF_TERM_REDIRECT 0xfffeu
#define SPF_TERM_ROOT     0xffffu /* the record of the checked domain itself is (r, 0, ROOT) */

struct spf_key {
	uint8_t kind;
	uint16_t node, term, index;
};

#define SPF_ALIAS_MAX 64
bool spf_key_eq(struct spf_key a, struct spf_key b);
/* "t0-1-0.invalid"; out >= SPF_ALIAS_MAX. */
void spf_key_alias(struct spf_key k, char *out);
/* The key at the start of an alias; false if there is none. */
bool spf_key_parse(const char *alias, struct spf_key *out);

enum spf_answer_status {
	SPF_ANSWER_OK,
	SPF_ANSWER_VOID,
	SPF_ANSWER_TEMPFAIL,
	SPF_ANSWER_TOO_MANY, /* more MX records than RFC 7208 4.6.4 allows */
};

enum spf_outcome {
	SPF_OUT_RESULT,  /* `result` stands */
	SPF_OUT_MISSING, /* keys wanted */
	SPF_OUT_LOOKUPS, /* limits of RFC 7208 4.6.4 */
	SPF_OUT_VOIDS,
	SPF_OUT_MX,
	SPF_OUT_TEMPFAIL, /* a lookup of the last marked term failed */
	SPF_OUT_RECORD,   /* record of the last marked term is missing or broken (control knows why)
			   */
	SPF_OUT_REFUSED,  /* libspf2 would not compile a record */
	SPF_OUT_INTERNAL,
};

#define SPF_WIRE_MAX       (160 * 1024)
#define SPF_WIRE_RECORDS   128
#define SPF_WIRE_ANSWERS   256
#define SPF_WIRE_MISSING   16
#define SPF_WIRE_ADDRESSES 64

struct spf_wire_record { /* status OK: text; else asking for it ends the evaluation */
	struct spf_key key;
	uint8_t status;
	struct str text;
};

/* kinds t (a, exists), x, h: count addresses of `width` octets. t (mx): count hosts, width 0.
 * p: count flags, width 1: does the name lie in the target domain? */
struct spf_wire_answer {
	struct spf_key key;
	uint8_t status, width;
	uint16_t count;
	const uint8_t *data;
};

struct spf_wire_request {
	uint32_t seq;
	bool v6;
	uint8_t ip[16];
	size_t n_records, n_answers;
	struct spf_wire_record record[SPF_WIRE_RECORDS];
	struct spf_wire_answer answer[SPF_WIRE_ANSWERS];
};

struct spf_wire_response {
	uint32_t seq;
	uint8_t outcome; /* enum spf_outcome */
	uint8_t result;  /* enum spf_result */
	uint8_t lookups, voids;
	bool last;         /* the worker ends itself after this one */
	struct spf_key at; /* last mark seen */
	size_t n_missing;
	struct spf_key missing[SPF_WIRE_MISSING];
};

/* A bounded buffer; `bad` sticks. */
struct spf_buf {
	uint8_t *p;
	size_t n, cap;
	bool bad;
};
void spf_put(struct spf_buf *b, const void *p, size_t n);
void spf_put_u8(struct spf_buf *b, unsigned int v);
void spf_put_u16(struct spf_buf *b, unsigned int v);
void spf_put_u32(struct spf_buf *b, uint32_t v);

/* Length, or -EMSGSIZE. */
long spf_wire_put_request(const struct spf_wire_request *r, uint8_t *out, size_t cap);
long spf_wire_put_response(const struct spf_wire_response *r, uint8_t *out, size_t cap);
/* 0 or -EBADMSG. Strings and data of a request lie in p. */
int spf_wire_get_request(struct spf_wire_request *r, const uint8_t *p, size_t n);
int spf_wire_get_response(struct spf_wire_response *r, const uint8_t *p, size_t n);
