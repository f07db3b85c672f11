/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * A message as control sees it: envelope copied out of the record, content where it lies (arena
 * chunks, or a mapped file in `posternctl scan`), never copied. And the index of its header fields.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "postern/handoff.h"
#include "postern/str.h"

/* Content in pieces, in order. The bytes may live in memory that another process could in theory
 * still write (the arena): read a byte once where a decision hangs on it. */
struct mail_bytes {
	const struct iovec *iov;
	size_t n_iov;
	size_t size;
};

struct ip_addr { uint8_t a[16]; }; /* IPv4 mapped */

struct mail_envelope {
	struct ip_addr peer, local;
	uint16_t peer_port, local_port;
	uint16_t listener;
	uint16_t via_port;
	struct ip_addr via_peer; /* the TCP peer, where it named another client than itself */
	uint8_t via;            /* enum handoff_via: how; `peer` is the client that is judged */
	uint8_t proto;          /* enum handoff_proto */
	uint8_t body;           /* enum handoff_body */
	bool smtputf8;
	uint16_t tls_version;
	struct str tls_cipher;
	struct str tls_sni;     /* as sent */
	struct str tls_client;  /* name in the client's certificate; believed with TLS_F_VERIFIED only */
	uint8_t tls_flags;      /* TLS_F_* */
	uint8_t tls_client_sha256[32];
	struct str proxy_tlv;   /* any octets, unchecked */
	struct str helo;
	struct str mail_from;   /* n == 0: null reverse-path */
	const struct str *rcpt;
	size_t n_rcpts;
	uint64_t declared_size;
	uint64_t time_ns;       /* CLOCK_REALTIME of the end of data (or --now) */
	char trace_id[17];
	uint32_t flags;         /* RECORD_F_* */
	/* With RECORD_F_OBSERVED: nobody is answered; recipients and sender may be missing. */
	struct {
		uint8_t what;      /* enum observed_what */
		uint8_t whole;     /* enum observed_whole */
		uint8_t unjudged;  /* enum observed_unjudged */
		uint32_t gap;      /* octets missing */
		uint64_t anomalies; /* mask of enum tap_anomaly */
		struct str reply;  /* of the server; n == 0: not seen */
	} observed;
	struct { uint32_t srtt_us, retransmits, ooo_segments, peer_window; uint8_t ttl, handshake; } tcp;
};

/* One header field: offsets into headers.block. */
struct header_field {
	uint32_t off;        /* first octet of the name */
	uint32_t len;        /* with its final CRLF */
	uint16_t name_len;   /* octets of the name, without white space before the colon */
	uint16_t flags;      /* HEADER_F_* */
	uint32_t value_off;  /* first octet behind the colon */
};

#define HEADER_F_SPACE_COLON (1u << 0)   /* white space between name and colon (obs-) */
#define HEADER_F_MALFORMED (1u << 1)     /* no colon or bad name; kept as a field, name_len 0 */
#define HEADER_F_NUL (1u << 2)
#define HEADER_F_8BIT (1u << 3)
#define HEADER_F_BARE (1u << 4)          /* bare CR or LF inside */

struct headers {
	const uint8_t *block;      /* contiguous header block without the empty line; borrowed from the
	                              content if it lies in one piece, else owned */
	uint8_t *owned;
	size_t size;               /* octets of block */
	size_t body_off;           /* offset of the body in the content (behind the empty line) */
	struct header_field *field; /* top to bottom; owned */
	size_t n;
	uint32_t flags;            /* union of the fields' flags; HEADERS_F_* */
};

#define HEADERS_F_TOO_LARGE (1u << 16)   /* block, field or count over limits.h: index is cut */
#define HEADERS_F_NO_END (1u << 17)      /* no empty line: everything is header */
#define HEADERS_F_FIRST_FOLDED (1u << 18)/* the first line starts with white space */

/* Indexes the header block. 0, -ENOMEM. A line of the block that is no field is a malformed field. */
int headers_parse(struct headers *h, const struct mail_bytes *content);
/* The same of a message as it leaves: LIMIT_OWN_BLOCK and LIMIT_OWN_FIELDS more. */
int headers_parse_outgoing(struct headers *h, const struct mail_bytes *content);
void headers_free(struct headers *h);
struct str header_name(const struct headers *h, size_t i);
struct str header_value(const struct headers *h, size_t i); /* raw, folded, without final CRLF */
/* Index of the next field called `name` at or below `from`; h->n if none. */
size_t headers_find(const struct headers *h, struct str name, size_t from);
/* Unfolds into out (cap octets): CRLF before WSP removed, trimmed. Returns length or -ENOSPC. */
long header_unfold(struct str value, uint8_t *out, size_t cap);

/* Any octets as plain text: letters, digits and -_.:[] stand as they are, others as %HH. */
const char *percent_octet(uint8_t c, char buf[4]);
/* False: it does not fit; `out` then holds the part that does. */
bool percent_encode(struct str s, char *out, size_t cap);
/* Length, or -1: malformed or longer than cap. */
long percent_decode(struct str s, uint8_t *out, size_t cap);

/* Address helpers shared by everything. */
bool ip_is_v4(const struct ip_addr *a);
/* "192.0.2.1" or "2001:db8::1". buf >= 46. */
const char *ip_format(const struct ip_addr *a, char *buf, size_t cap);
/* Dotted quad or IPv6 text (no brackets, no prefix, no zone). */
bool ip_parse(struct str s, struct ip_addr *out);
struct ip_net { struct ip_addr addr; uint8_t prefix; }; /* prefix of the 128-bit form */
bool ip_net_parse(struct str s, struct ip_net *out); /* "addr" or "addr/len" */
bool ip_in_net(const struct ip_addr *a, const struct ip_net *net);
struct ip_range { struct ip_addr first, last; }; /* both included, of one family */
/* "addr", "addr/len" or "addr-addr" of one family, in order. */
bool ip_range_parse(struct str s, struct ip_range *out);
/* An IPv6 range never holds an IPv4 address, though our form of those lies inside of "::/0". */
bool ip_in_range(const struct ip_addr *ip, const struct ip_range *range);
bool ip_ranges_meet(const struct ip_range *a, const struct ip_range *b);
/* RFC 1918, 6598, 3927, loopback, ULA, link-local: not reachable from the Internet. */
bool ip_is_private(const struct ip_addr *a);
/* Domain of a mailbox (behind the last unquoted @), n == 0 if none. */
struct str mailbox_domain(struct str mailbox);
struct str mailbox_local(struct str mailbox);
/* RFC 5321 Domain grammar: letters, digits, hyphens; labels 1..63; total <= 253. One label allowed. */
bool domain_is_valid(struct str d);
/* Is d this domain, or one below it? No matter the case. */
bool domain_is_in(struct str d, struct str top);
/* A domain as it is looked up and compared: lower case, U-labels as A-labels (RFC 5890, UTS 46). ASCII
 * is not checked further. False: too long, NUL, no U-labels. */
#define MAIL_ALABEL 254 /* LIMIT_DNS_NAME and a NUL */
bool mail_alabel(struct str domain, char out[MAIL_ALABEL]);
/* The mailbox with its domain as A-labels; the one given if there are no U-labels in it, or none that
 * are. buf holds the result. The local part is never touched (RFC 6531 3.2). */
struct str mailbox_alabel(struct str mailbox, uint8_t *buf, size_t cap);
