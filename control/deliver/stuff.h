/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Dot-stuffing on the way out (RFC 5321 4.5.2) without a copy: the message stays where it lies and is
 * described by iovecs; where a line begins with a dot, one piece ends with that dot and the next
 * begins with the same octet, so that it goes out twice. For BDAT (RFC 3030) the octets go out as they
 * are, and all but the last of them: that one is sent apart, as the dot is.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define STUFF_IOV 64                   /* pieces in one sendmsg */
#define STUFF_BATCH (256u * 1024)      /* octets looked at ahead of the socket */

struct stuff {
	const struct iovec *in;
	size_t n_in, at, off;
	bool raw;                      /* BDAT: nothing is doubled, nothing added, the last octet left out */
	size_t left;                   /* BDAT: octets of which no piece was made yet */
	enum { STUFF_LINE_START, STUFF_IN_LINE, STUFF_AFTER_CR } state;
	bool doubled;                  /* the dot at the current place has been sent once */
	bool tail_done;                /* the closing CRLF was looked after */
	bool tail_added;               /* and there was none */
	struct iovec out[STUFF_IOV];   /* pieces made and not yet taken by the socket */
	size_t out_at, out_n;
};

void stuff_init(struct stuff *s, const struct iovec *iov, size_t n_iov, bool raw);
/* The pieces that go out next; *n == 0: the whole body has been taken, under DATA with a final CRLF, under
 * BDAT without its last octet. */
const struct iovec *stuff_next(struct stuff *s, size_t *n);
/* Nothing comes behind what stuff_next() gave. */
bool stuff_is_last(const struct stuff *s);
/* The socket took `n` octets of what stuff_next() gave. */
void stuff_taken(struct stuff *s, size_t n);
size_t stuff_count(const struct iovec *iov, size_t n_iov);
/* The last octet of the content; NULL: it has none. */
const uint8_t *stuff_last(const struct iovec *iov, size_t n_iov);
/* Does a bare CR stand beside a dot or an LF? Somebody behind the next hop may then see an end of data
 * where none is, so that DATA cannot carry it. */
bool stuff_cr_beside(const struct iovec *iov, size_t n_iov);
