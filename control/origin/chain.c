/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#include "control/origin/chain.h"

#define SCRATCH 2048 /* the longest field that is written, unfolded, has less */

const char *chain_status_name(enum chain_status s)
{
	static const char *const name[] = {"none",  "verified", "missing", "malformed", "unknown-key",
					   "wrong", "expired",	"error"};

	return name[s];
}

/* The end of line is not hashed: a next hop adds the one that a message without a body lacks. */
int chain_header_digest(const struct headers *h, size_t from, const uint8_t *drop,
			uint8_t out[CHAIN_DIGEST])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL);

	for (size_t i = from; i < h->n && ok; i++) {
		struct str s = str_make(h->block + h->field[i].off, h->field[i].len);

		if (drop && drop[i])
			continue;
		if (s.n && s.p[s.n - 1] == '\n')
			s.n--;
		if (s.n && s.p[s.n - 1] == '\r')
			s.n--;
		ok = EVP_DigestUpdate(md, s.p, s.n) && EVP_DigestUpdate(md, "\r\n", 2);
	}
	ok = ok && EVP_DigestFinal_ex(md, out, NULL);
	EVP_MD_CTX_free(md);
	return ok ? 0 : -EIO;
}

/* Every part with its length in front: no two sets of facts make the same octets. */
static size_t put_part(uint8_t *buf, size_t at, const void *p, size_t n)
{
	buf[at] = (uint8_t)(n >> 8);
	buf[at + 1] = (uint8_t)n;
	if (n)
		memcpy(buf + at + 2, p, n);
	return at + 2 + n;
}

static int code(const struct chain_key *key, const struct chain_facts *f,
		const struct chain_message *m, uint8_t out[CHAIN_DIGEST])
{
	static const char purpose[] = "postern-chain-1";
	uint8_t buf[1024], from[CHAIN_DIGEST];
	unsigned int len = CHAIN_DIGEST;
	char time[24];
	size_t n = 0;

	_Static_assert(sizeof(buf) > sizeof(purpose) + LIMIT_CONFIG_NAME + sizeof(time) +
					     sizeof(f->ip) + sizeof(f->helo) + sizeof(f->via) +
					     3 * CHAIN_DIGEST + 9 * 2, "all parts fit");
	if (!EVP_Digest(m->mail_from.p, m->mail_from.n, from, NULL, EVP_sha256(), NULL))
		return -EIO;
	snprintf(time, sizeof(time), "%llu", (unsigned long long)f->time);
	n = put_part(buf, n, purpose, sizeof(purpose) - 1);
	n = put_part(buf, n, key->name, strlen(key->name));
	n = put_part(buf, n, time, strlen(time));
	n = put_part(buf, n, f->ip.a, sizeof(f->ip.a));
	n = put_part(buf, n, f->helo, strlen(f->helo));
	n = put_part(buf, n, f->via, strlen(f->via));
	n = put_part(buf, n, from, sizeof(from));
	n = put_part(buf, n, m->header, sizeof(m->header));
	n = put_part(buf, n, m->body, sizeof(m->body));
	return HMAC(EVP_sha256(), key->secret, (int)key->n, buf, n, out, &len) ? 0 : -EIO;
}

/* ---- write ---------------------------------------------------------------------------------- */

int chain_write(const struct chain_key *key, struct str prefix, const struct chain_facts *facts,
		const struct chain_message *m, char out[CHAIN_FIELD])
{
	uint8_t h[CHAIN_DIGEST];
	char helo[3 * sizeof(facts->helo)], ip[46];
	int n, rc;

	if (!percent_encode(str_c(facts->helo), helo, sizeof(helo)) || prefix.n > LIMIT_FIELD_NAME ||
	    strlen(key->name) > LIMIT_CONFIG_NAME)
		return -EINVAL;
	rc = code(key, facts, m, h);
	if (rc)
		return rc;
	n = snprintf(out, CHAIN_FIELD, "%.*s-Chain: v=1; k=%s; t=%llu;\r\n\tip=%s; via=%s;\r\n\thelo=%s;"
		     "\r\n\th=", STR_FMT(prefix), key->name, (unsigned long long)facts->time,
		     ip_format(&facts->ip, ip, sizeof(ip)), facts->via, helo);
	if (n < 0 || (size_t)n + 2 * sizeof(h) + 3 > CHAIN_FIELD)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(h); i++)
		n += snprintf(out + n, 3, "%02x", h[i]);
	memcpy(out + n, "\r\n", 3);
	return 0;
}

/* ---- read ----------------------------------------------------------------------------------- */

/* "name=value", to the next ";" or the end, and the white space around it. */
static bool take(struct str *s, struct str name, struct str *value)
{
	size_t n;

	*s = str_trim(*s);
	if (s->n <= name.n || !str_eq(str_cut(*s, name.n), name) || s->p[name.n] != '=')
		return false;
	*s = str_skip(*s, name.n + 1);
	n = str_find(*s, ';');
	*value = str_cut(*s, n);
	*s = str_skip(*s, n + 1);
	return true;
}

static bool number(struct str s, uint64_t *out)
{
	*out = 0;
	if (s.n == 0 || s.n > 12 || (s.n > 1 && s.p[0] == '0'))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_is_digit(s.p[i]))
			return false;
		*out = *out * 10 + (uint64_t)(s.p[i] - '0');
	}
	return true;
}

static bool hex(struct str s, uint8_t out[CHAIN_DIGEST])
{
	if (s.n != 2 * CHAIN_DIGEST)
		return false;
	for (size_t i = 0; i < CHAIN_DIGEST; i++) {
		int high = ascii_hex(s.p[2 * i]), low = ascii_hex(s.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* Printable, so that it can be shown and written again. */
static bool word(struct str s, char *out, size_t cap)
{
	if (s.n >= cap)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_vchar(s.p[i]))
			return false;
	if (s.n)
		memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return true;
}

static bool parse(struct str s, struct str *key, struct chain_facts *f, uint8_t h[CHAIN_DIGEST])
{
	struct str v, t, ip, via, helo, mac;
	uint8_t raw[sizeof(f->helo)];
	long n;

	if (!take(&s, STR("v"), &v) || !str_eq(v, STR("1")) || !take(&s, STR("k"), key) ||
	    !take(&s, STR("t"), &t) || !number(t, &f->time) || !take(&s, STR("ip"), &ip) ||
	    !ip_parse(ip, &f->ip) || !take(&s, STR("via"), &via) ||
	    !word(via, f->via, sizeof(f->via)) || !take(&s, STR("helo"), &helo) ||
	    !take(&s, STR("h"), &mac) || !hex(mac, h) || s.n)
		return false;
	n = percent_decode(helo, raw, sizeof(raw));
	return n >= 0 && word(str_make(raw, (size_t)n), f->helo, sizeof(f->helo));
}

/* The one field of that name above the topmost Received. */
static enum chain_status find(struct str prefix, const struct headers *h, size_t received,
			      long *field)
{
	char text[LIMIT_FIELD_NAME + 8];
	struct str name;
	size_t i;
	int n = snprintf(text, sizeof(text), "%.*s-Chain", STR_FMT(prefix));

	if (n < 0 || (size_t)n >= sizeof(text))
		return CHAIN_ERROR;
	name = str_c(text);
	i = headers_find(h, name, 0);
	if (i >= received)
		return CHAIN_MISSING;
	*field = (long)i;
	if (headers_find(h, name, i + 1) < received ||
	    (h->field[i].flags & (HEADER_F_SPACE_COLON | HEADER_F_NUL | HEADER_F_8BIT | HEADER_F_BARE)))
		return CHAIN_MALFORMED;
	return CHAIN_VERIFIED;
}

static enum chain_status verify(const struct chain_claim *c, const struct chain_message *m,
				const uint8_t got[CHAIN_DIGEST], uint64_t now)
{
	uint8_t want[CHAIN_DIGEST];

	if (code(c->key, &c->facts, m, want))
		return CHAIN_ERROR;
	if (CRYPTO_memcmp(want, got, sizeof(want)))
		return CHAIN_WRONG;
	if (c->facts.time > now + LIMIT_CHAIN_SKEW_S ||
	    now > c->facts.time + c->key->max_age_s)
		return CHAIN_EXPIRED;
	return CHAIN_VERIFIED;
}

void chain_read(const struct chain_key *const *keys, size_t n_keys, struct str prefix,
		const struct headers *h, struct str mail_from, const uint8_t body[CHAIN_DIGEST],
		uint64_t now, struct chain_claim *out)
{
	size_t received = headers_find(h, STR("Received"), 0);
	struct chain_message m = {.mail_from = mail_from};
	uint8_t scratch[SCRATCH], got[CHAIN_DIGEST];
	struct str name;
	long n;

	*out = (struct chain_claim){.field = -1};
	out->status = find(prefix, h, received, &out->field);
	if (out->status != CHAIN_VERIFIED)
		return;
	out->status = CHAIN_MALFORMED;
	n = header_unfold(header_value(h, (size_t)out->field), scratch, sizeof(scratch));
	if (n < 0 || !parse(str_make(scratch, (size_t)n), &name, &out->facts, got))
		return;
	for (size_t i = 0; i < n_keys; i++)
		if (str_eq(name, str_c(keys[i]->name)))
			out->key = keys[i];
	out->status = CHAIN_UNKNOWN_KEY;
	if (!out->key)
		return;
	memcpy(m.body, body, sizeof(m.body));
	out->age = now > out->facts.time ? now - out->facts.time : 0;
	out->status = chain_header_digest(h, received + 1, NULL, m.header)
			      ? CHAIN_ERROR
			      : verify(out, &m, got, now);
}
