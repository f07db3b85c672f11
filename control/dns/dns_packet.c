/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/dns/dns_wire.h"

#include <errno.h>
#include <stdio.h>

/*
 * Reads the answer section of a reply: follows the CNAME chain from the question, keeps only the
 * records of the asked type at its end, uncompresses the names in their rdata. A reply with one
 * malformed record is no answer at all.
 */

#define HEADER       12
#define NEGATIVE_TTL 300 /* no SOA in the reply */
#define MAX_TTL      (7 * 86400u)
#define MAX_JUMPS    128
#define CLASS_IN     1

struct reader {
	const uint8_t *p;
	size_t n, at;
};

struct record {
	struct dns_wire_name owner;
	uint16_t type, class;
	uint32_t ttl;
	size_t data;
	uint16_t len;
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* RFC 1035 4.1.4. Pointers only go backwards, so that a loop is impossible. */
static long read_name(const uint8_t *p, size_t n, size_t at, struct dns_wire_name *out)
{
	size_t o = 0, end = 0, floor = at;

	for (unsigned int jumps = 0; jumps < MAX_JUMPS;) {
		uint8_t c;

		if (at >= n)
			return -EBADMSG;
		c = p[at];
		if ((c & 0xc0) == 0xc0) {
			size_t to;

			if (n - at < 2)
				return -EBADMSG;
			to = (size_t)(c & 0x3f) << 8 | p[at + 1];
			if (!end)
				end = at + 2;
			if (to >= floor)
				return -EBADMSG;
			at = floor = to;
			jumps++;
			continue;
		}
		if (c & 0xc0 || n - at < 1u + c || o + 1u + c > DNS_WIRE_NAME)
			return -EBADMSG;
		memcpy(out->b + o, p + at, 1u + c);
		o += 1u + c;
		at += 1u + c;
		if (c == 0) {
			out->len = (uint8_t)o;
			return (long)(end ? end : at);
		}
	}
	return -EBADMSG;
}

static int read_record(struct reader *r, struct record *rec)
{
	long at = read_name(r->p, r->n, r->at, &rec->owner);

	if (at < 0 || r->n - (size_t)at < 10)
		return -EBADMSG;
	rec->type = get16(r->p + at);
	rec->class = get16(r->p + at + 2);
	rec->ttl = get32(r->p + at + 4);
	if (rec->ttl > MAX_TTL) /* RFC 2181 8: the top bit set means 0; the rest is our cap */
		rec->ttl = rec->ttl >> 31 ? 0 : MAX_TTL;
	rec->len = get16(r->p + at + 8);
	rec->data = (size_t)at + 10;
	if (r->n - rec->data < rec->len)
		return -EBADMSG;
	r->at = rec->data + rec->len;
	return 0;
}

/* rdata with its names uncompressed. Length or -EBADMSG; `out` holds 2 names and 22 octets. */
static long flatten(const struct reader *r, const struct record *rec, uint8_t *out)
{
	size_t at = rec->data, end = rec->data + rec->len, o = 0;
	unsigned int names = rec->type == DNS_SOA ? 2 : 1;
	struct dns_wire_name w;

	if (rec->type == DNS_MX) {
		if (rec->len < 3)
			return -EBADMSG;
		memcpy(out, r->p + at, 2);
		at += 2;
		o = 2;
	}
	while (names--) {
		long next = read_name(r->p, end, at, &w);

		if (next < 0)
			return -EBADMSG;
		memcpy(out + o, w.b, w.len);
		o += w.len;
		at = (size_t)next;
	}
	if (rec->type == DNS_SOA) {
		if (end - at != 20)
			return -EBADMSG;
		memcpy(out + o, r->p + at, 20);
		o += 20;
		at = end;
	}
	return at == end ? (long)o : -EBADMSG;
}

static bool has_names(uint16_t type)
{
	return type == DNS_NS || type == DNS_CNAME || type == DNS_PTR || type == DNS_MX ||
	       type == DNS_SOA;
}

static int take(struct dns_parsed *a, const struct reader *r, const struct record *rec)
{
	uint8_t flat[2 * DNS_WIRE_NAME + 24];
	const uint8_t *p = r->p + rec->data;
	size_t n = rec->len;
	int rc;

	if (has_names(rec->type)) {
		long k = flatten(r, rec, flat);

		if (k < 0)
			return -EBADMSG;
		p = flat;
		n = (size_t)k;
	}
	if (!dns_rdata_valid(rec->type, p, n))
		return -EBADMSG;
	rc = dns_parsed_add(a, p, n);
	return rc == -E2BIG ? 0 : rc;
}

/* One pass over the answers: collects records of `type` at `name`, or finds its CNAME. */
static int scan(struct dns_parsed *a, struct reader r, unsigned int count, uint16_t type,
		struct dns_wire_name *name, bool *moved)
{
	struct record rec;
	struct dns_wire_name next;
	bool alias = false;

	*moved = false;
	for (unsigned int i = 0; i < count; i++) {
		int rc = read_record(&r, &rec);

		if (rc)
			return rc;
		if (rec.class != CLASS_IN || !dns_wire_eq(&rec.owner, name))
			continue;
		if (rec.type == type) {
			rc = take(a, &r, &rec);
			if (rc)
				return rc;
		} else if (rec.type == DNS_CNAME && !alias) {
			long end = read_name(r.p, rec.data + rec.len, rec.data, &next);

			if (end != (long)(rec.data + rec.len))
				return -EBADMSG;
			alias = true;
		} else {
			continue;
		}
		if (rec.ttl < a->ttl)
			a->ttl = rec.ttl;
	}
	if (a->n == 0 && alias) {
		*name = next;
		*moved = true;
	}
	return 0;
}

/* RFC 2308 5: the lesser of the SOA's own TTL and its minimum field. */
static uint32_t negative_ttl(struct reader r, unsigned int skip, unsigned int count)
{
	struct record rec;
	uint8_t flat[2 * DNS_WIRE_NAME + 24];

	for (unsigned int i = 0; i < skip + count; i++) {
		long k;
		uint32_t min;

		if (read_record(&r, &rec))
			break;
		if (i < skip || rec.type != DNS_SOA)
			continue;
		k = flatten(&r, &rec, flat);
		if (k < 20)
			break;
		min = get32(flat + k - 4);
		return min < rec.ttl ? min : rec.ttl;
	}
	return NEGATIVE_TTL;
}

static int bad(struct dns_parsed *a, const char *why)
{
	dns_parsed_fail(a, why);
	return -EBADMSG;
}

int dns_packet_parse(struct dns_parsed *a, const uint8_t *pkt, size_t n,
		     const struct dns_wire_name *qname, uint16_t type)
{
	struct reader r = {pkt, n, HEADER};
	struct dns_wire_name name;
	unsigned int rcode, answers, authority;
	long at;

	if (n < HEADER || !(pkt[2] & 0x80) || get16(pkt + 4) != 1)
		return bad(a, "malformed reply: header");
	rcode = pkt[3] & 15;
	answers = get16(pkt + 6);
	authority = get16(pkt + 8);
	at = read_name(pkt, n, HEADER, &name);
	if (at < 0 || n - (size_t)at < 4)
		return bad(a, "malformed reply: question");
	if (!dns_wire_eq(&name, qname) || get16(pkt + at) != type ||
	    get16(pkt + at + 2) != CLASS_IN)
		return bad(a, "reply to another question");
	r.at = (size_t)at + 4;
	if (rcode != 0 && rcode != 3) {
		char why[40];

		snprintf(why, sizeof(why), "reply with RCODE %u", rcode);
		dns_parsed_fail(a, why);
		return 0;
	}
	a->ttl = MAX_TTL;
	for (unsigned int i = 0;; i++) {
		bool moved;
		int rc = scan(a, r, answers, type, &name, &moved);

		if (rc == -ENOMEM)
			return rc;
		if (rc)
			return bad(a, "malformed reply: answer");
		if (!moved)
			break;
		dns_parsed_alias(a, &name);
		if (i >= DNS_MAX_CHAIN) {
			dns_parsed_fail(a, "CNAME chain too long");
			return 0;
		}
	}
	dns_parsed_seal(a);
	if (a->n) {
		a->status = DNS_OK;
		return 0;
	}
	a->status = rcode == 3 ? DNS_NXDOMAIN : DNS_NODATA;
	a->ttl = negative_ttl(r, answers, authority);
	return 0;
}
