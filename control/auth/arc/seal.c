/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/auth/arc/chain.h"
#include "control/auth/arc/seal.h"

/*
 * RFC 8617 5.1: AAR, then the AMS over message and AAR, then the seal over the sets. Each is
 * written in front of the message and the whole is indexed again, so that the hashes run over
 * exactly what a verifier will see. Tags stand in alphabetical order and are folded in one way
 * only: same input, same octets.
 */

#define FOLD_AT   76   /* RFC 5322 2.1.1: lines should not be over 78 */
#define B_LINE    72   /* characters of base64 in a line */
#define MAX_NAMES 4096 /* octets of h= */
#define MAX_SAME  16   /* fields of one name that are signed; ours */

/* ---- writing -------------------------------------------------------------------------------- */

struct out {
	char *p;
	size_t cap, n, column;
	bool failed;
};

static void put(struct out *o, struct str s)
{
	if (s.n > o->cap - o->n) {
		o->failed = true;
		return;
	}
	memcpy(o->p + o->n, s.p, s.n);
	o->n += s.n;
	o->column += s.n;
}

static void fold(struct out *o)
{
	put(o, STR("\r\n\t"));
	o->column = 8;
}

/* "name=value;" behind a space, also at the beginning of a line: dkimpy looks for " i=N;". */
static void tag(struct out *o, const char *name, const char *value, const char *end)
{
	if (o->column + strlen(name) + strlen(value) + 3 > FOLD_AT)
		fold(o);
	put(o, STR(" "));
	put(o, str_c(name));
	put(o, STR("="));
	put(o, str_c(value));
	put(o, str_c(end));
}

static void tag_b(struct out *o, const struct arc_seal_request *req, const char *b)
{
	size_t whole = req->b_line ? req->b_line : B_LINE, line = whole - 2;
	struct str rest = str_c(b);

	fold(o);
	put(o, STR("b="));
	for (; rest.n > line; line = whole) {
		put(o, str_cut(rest, line));
		fold(o);
		rest = str_skip(rest, line);
	}
	put(o, rest);
	put(o, STR(";"));
}

/* h= may be folded behind its colons. */
static void tag_h(struct out *o, const char *names)
{
	struct str list = str_c(names), item;
	bool first = true;

	put(o, STR(" h="));
	while (dkim_list_next(&list, ':', &item)) {
		if (!first)
			put(o, STR(":"));
		if (!first && o->column + item.n + 2 > FOLD_AT)
			fold(o);
		put(o, item);
		first = false;
	}
	put(o, STR(";"));
}

struct sealer {
	const struct arc_seal_request *req;
	const struct mail_bytes *content;
	enum arc_result cv;
	char instance[16], now[24];
	char names[MAX_NAMES];
	char bh[CANON_DIGEST / 3 * 4 + 8];
	char b[ARC_B64_SIGNATURE];
	struct out aar, ams, seal;
};

static const char *algorithm(const struct sealer *s)
{
	return s->req->key->ed25519 ? "ed25519-sha256" : "rsa-sha256";
}

static void write_aar(struct sealer *s)
{
	struct out *o = &s->aar;
	struct str results = str_trim(s->req->results);

	put(o, STR("ARC-Authentication-Results: i="));
	put(o, str_c(s->instance));
	put(o, STR("; "));
	put(o, str_c(s->req->authserv_id));
	put(o, STR(";"));
	if (results.n)
		fold(o);
	put(o, results.n ? results : STR(" none"));
	put(o, STR("\r\n"));
}

static void write_ams(struct sealer *s, const char *b)
{
	struct out *o = &s->ams;

	o->n = o->column = 0;
	put(o, STR("ARC-Message-Signature:"));
	tag(o, "a", algorithm(s), ";");
	tag_b(o, s->req, b);
	fold(o);
	put(o, STR("bh="));
	put(o, str_c(s->bh));
	put(o, STR(";"));
	tag(o, "c", "relaxed/relaxed", ";");
	tag(o, "d", s->req->domain, ";");
	tag_h(o, s->names);
	tag(o, "i", s->instance, ";");
	tag(o, "s", s->req->selector, ";");
	tag(o, "t", s->now, "\r\n");
}

static void write_seal(struct sealer *s, const char *b)
{
	struct out *o = &s->seal;

	o->n = o->column = 0;
	put(o, STR("ARC-Seal:"));
	tag(o, "a", algorithm(s), ";");
	tag_b(o, s->req, b);
	tag(o, "cv", arc_result_name(s->cv), ";");
	tag(o, "d", s->req->domain, ";");
	tag(o, "i", s->instance, ";");
	tag(o, "s", s->req->selector, ";");
	tag(o, "t", s->now, "\r\n");
}

/* ---- what goes in --------------------------------------------------------------------------- */

static bool is_name(const char *s, size_t max)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if (!ascii_is_alnum((uint8_t)s[i]) && !strchr("._-", s[i]))
			return false;
	return n > 0 && n <= max;
}

/* One field: white space behind every CRLF, no other CR, LF or NUL. */
static bool is_foldable(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\r' && i + 2 < s.n && s.p[i + 1] == '\n' && ascii_is_wsp(s.p[i + 2]))
			i += 2;
		else if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0')
			return false;
	}
	return true;
}

/* RFC 6376 5.4.1: what is seen or decides how the body is shown; and the signatures that a later
 * verifier is told of in the AAR (RFC 8617 4.1.2). Trace fields and Authentication-Results are left
 * out: they are added and taken away on the way. From is named once more than it is there, so that
 * no second one can be added. */
static int choose_names(struct sealer *s, const struct headers *h)
{
	static const char *const name[] = {"from",
					   "reply-to",
					   "sender",
					   "to",
					   "cc",
					   "subject",
					   "date",
					   "message-id",
					   "in-reply-to",
					   "references",
					   "mime-version",
					   "content-type",
					   "content-transfer-encoding",
					   "content-id",
					   "content-description",
					   "resent-date",
					   "resent-from",
					   "resent-sender",
					   "resent-to",
					   "resent-cc",
					   "resent-message-id",
					   "list-id",
					   "list-help",
					   "list-unsubscribe",
					   "list-unsubscribe-post",
					   "list-subscribe",
					   "list-post",
					   "list-owner",
					   "list-archive",
					   "dkim-signature"};
	struct out o = {.p = s->names, .cap = sizeof(s->names) - 1};

	if (s->req->names) {
		put(&o, str_c(s->req->names));
		return o.failed ? -EINVAL : 0;
	}
	for (size_t k = 0; k < sizeof(name) / sizeof(name[0]); k++) {
		size_t met = k == 0;

		for (size_t i = headers_find(h, str_c(name[k]), 0); i < h->n && met < MAX_SAME;
		     i = headers_find(h, str_c(name[k]), i + 1))
			met++;
		for (; met; met--) {
			put(&o, o.n ? STR(":") : STR(""));
			put(&o, str_c(name[k]));
		}
	}
	return o.failed ? -ENOSPC : 0;
}

static int hash_body(struct sealer *s, const struct headers *h)
{
	const struct mail_bytes *c = s->content;
	struct canon_pass *pass;
	size_t skip = h->body_off;
	int rc;

	if (s->req->body_hash) {
		EVP_EncodeBlock((unsigned char *)s->bh, s->req->body_hash, CANON_DIGEST);
		return 0;
	}
	pass = malloc(sizeof(*pass));
	if (!pass)
		return -ENOMEM;
	canon_pass_init(pass);
	rc = canon_pass_add(pass, CANON_RELAXED, UINT64_MAX);
	for (size_t i = 0; rc >= 0 && i < c->n_iov; i++) {
		size_t off = skip < c->iov[i].iov_len ? skip : c->iov[i].iov_len;

		canon_pass_update(pass, (const uint8_t *)c->iov[i].iov_base + off,
				  c->iov[i].iov_len - off);
		skip -= off;
	}
	if (rc >= 0) {
		canon_pass_end(pass);
		rc = pass->failed ? -EIO : 0;
		EVP_EncodeBlock((unsigned char *)s->bh, pass->hash[0].digest, CANON_DIGEST);
	}
	canon_pass_free(pass);
	free(pass);
	return rc;
}

/* ---- signing -------------------------------------------------------------------------------- */

/* Indexes the message with parts of the set in front. 0, -ENOMEM, -ENOSPC. */
static int parse_with(const struct sealer *s, const struct out *const *front, size_t n_front,
		      struct headers *h)
{
	struct iovec *iov = calloc(s->content->n_iov + n_front, sizeof(*iov));
	struct mail_bytes all = {iov, s->content->n_iov + n_front, s->content->size};
	int rc;

	if (!iov)
		return -ENOMEM;
	for (size_t i = 0; i < n_front; i++) {
		iov[i] = (struct iovec){front[i]->p, front[i]->n};
		all.size += front[i]->n;
	}
	memcpy(iov + n_front, s->content->iov, s->content->n_iov * sizeof(*iov));
	rc = headers_parse(h, &all);
	/* The first of several pieces is copied: nothing of h points into iov. */
	free(iov);
	if (!rc && h->flags & HEADERS_F_TOO_LARGE) {
		headers_free(h);
		rc = -ENOSPC;
	}
	return rc;
}

static int sign_ams(struct sealer *s)
{
	const struct out *front[] = {&s->ams, &s->aar};
	struct str list = str_c(s->names), name[MAX_NAMES / 2];
	uint8_t digest[CANON_DIGEST];
	struct headers h;
	size_t n = 0;
	int rc;

	while (n < MAX_NAMES / 2 && dkim_list_next(&list, ':', &name[n]))
		n += name[n].n > 0;
	write_ams(s, "");
	rc = parse_with(s, front, 2, &h);
	if (rc)
		return rc;
	rc = canon_headers(&h, name, n, 0, STR_NONE, CANON_RELAXED, digest);
	headers_free(&h);
	if (!rc)
		rc = arc_key_sign(s->req->key, digest, s->b);
	if (!rc)
		write_ams(s, s->b);
	return rc;
}

static int sign_seal(struct sealer *s, size_t instance)
{
	const struct out *front[] = {&s->seal, &s->ams, &s->aar};
	size_t field[3 * LIMIT_ARC_SETS], n;
	uint8_t digest[CANON_DIGEST];
	struct arc_results r;
	struct headers h;
	int rc;

	write_seal(s, "");
	rc = parse_with(s, front, 3, &h);
	if (rc)
		return rc;
	rc = arc_chain_read(&h, &r);
	if (!rc && (r.n != instance || r.set[instance - 1].seal != 0 ||
		    (s->cv != ARC_FAIL && r.result != ARC_PASS)))
		rc = -EINVAL;
	if (!rc) {
		/* RFC 8617 5.1.2: the seal that says "fail" covers its own set only. */
		n = arc_chain_sealed(&r, s->cv == ARC_FAIL ? instance : 1, instance, field);
		rc = canon_fields(&h, field, n, 0, STR_NONE, CANON_RELAXED, digest);
	}
	free(r.set);
	headers_free(&h);
	if (!rc)
		rc = arc_key_sign(s->req->key, digest, s->b);
	if (!rc)
		write_seal(s, s->b);
	return rc;
}

static int make_set(struct sealer *s, size_t instance)
{
	struct headers h;
	int rc = headers_parse(&h, s->content);

	if (rc)
		return rc;
	rc = choose_names(s, &h);
	if (!rc)
		rc = hash_body(s, &h);
	headers_free(&h);
	if (rc)
		return rc;
	write_aar(s);
	rc = s->aar.failed ? -ENOSPC : sign_ams(s);
	return rc ? rc : s->ams.failed ? -ENOSPC : sign_seal(s, instance);
}

static bool request_is_sound(const struct arc_seal_request *req)
{
	return is_name(req->domain, LIMIT_DNS_NAME) && is_name(req->selector, LIMIT_DNS_NAME) &&
	       is_name(req->authserv_id, LIMIT_DNS_NAME) && is_foldable(str_trim(req->results)) &&
	       domain_is_valid(str_c(req->domain)) && req->now >= 0 &&
	       (!req->b_line || (req->b_line > 2 && req->b_line <= 900));
}

long arc_seal(const struct arc_seal_request *req, const struct mail_bytes *content,
	      const struct arc_results *chain, char *buf, size_t cap)
{
	size_t instance = chain->n + 1, room = LIMIT_HEADER_FIELD;
	struct sealer *s;
	long rc;

	/* RFC 8617 5.1: a chain that failed for good gets no more sets. */
	if (chain->ended || instance > LIMIT_ARC_SETS)
		return 0;
	if (!request_is_sound(req))
		return -EINVAL;
	s = calloc(1, sizeof(*s) + 3 * room);
	if (!s)
		return -ENOMEM;
	s->req = req;
	s->content = content;
	s->cv = chain->result;
	s->aar = (struct out){.p = (char *)(s + 1), .cap = room};
	s->ams = (struct out){.p = s->aar.p + room, .cap = room};
	s->seal = (struct out){.p = s->ams.p + room, .cap = room};
	snprintf(s->instance, sizeof(s->instance), "%zu", instance);
	snprintf(s->now, sizeof(s->now), "%lld", (long long)req->now);
	rc = make_set(s, instance);
	if (!rc && s->seal.n + s->ams.n + s->aar.n > cap)
		rc = -ENOSPC;
	if (!rc) {
		memcpy(buf, s->seal.p, s->seal.n);
		memcpy(buf + s->seal.n, s->ams.p, s->ams.n);
		memcpy(buf + s->seal.n + s->ams.n, s->aar.p, s->aar.n);
		rc = (long)(s->seal.n + s->ams.n + s->aar.n);
	}
	free(s);
	return rc;
}
