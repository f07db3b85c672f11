/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/trace/facts.h"

#include "control/mail/proxy_tlv.h"
#include "dataplane/content/charset_words.h"
#include "dataplane/content/words.h"

json_t *trace_text(struct str s)
{
	bool nul = s.n && memchr(s.p, '\0', s.n);
	json_t *v = nul ? NULL : json_stringn(s.n ? (const char *)s.p : "", s.n);
	char buf[512];
	size_t n = s.n < sizeof(buf) ? s.n : sizeof(buf);

	if (v)
		return v;
	for (size_t i = 0; i < n; i++)
		buf[i] = s.p[i] >= 0x20 && s.p[i] < 0x7f ? (char)s.p[i] : '?';
	return json_stringn(buf, n);
}

struct subject {
	uint8_t text[TRACE_SUBJECT];
	size_t n;
	bool cut;
};

static void take(void *ctx, const uint8_t *p, size_t n)
{
	struct subject *s = ctx;
	size_t room = sizeof(s->text) - s->n, k = n < room ? n : room;

	memcpy(s->text + s->n, p, k);
	s->n += k;
	s->cut |= k < n;
}

json_t *trace_subject(struct str raw)
{
	bool bad = false;
	struct charset_words w = {.bad = &bad};
	struct words_charset cs = charset_words(&w);
	struct subject s = {.n = 0};

	words_decode(raw, &cs, take, &s);
	/* The beginning of a character is none. */
	while (s.cut && s.n && (s.text[s.n - 1] & 0xc0) == 0x80)
		s.n--;
	if (s.cut && s.n && s.text[s.n - 1] >= 0xc0)
		s.n--;
	return trace_text(str_make(s.text, s.n));
}

static json_t *hex(const uint8_t *p, size_t n)
{
	static const char digit[] = "0123456789abcdef";
	char buf[2 * 255];

	if (n > sizeof(buf) / 2)
		n = sizeof(buf) / 2;
	for (size_t i = 0; i < n; i++) {
		buf[2 * i] = digit[p[i] >> 4];
		buf[2 * i + 1] = digit[p[i] & 15];
	}
	return json_stringn(buf, 2 * n);
}

json_t *trace_tls_version(uint16_t v)
{
	return v == 0x0304 ? json_string("TLSv1.3") : v == 0x0303 ? json_string("TLSv1.2")
								     : json_sprintf("0x%04x", v);
}

static json_t *tls(const struct mail_envelope *e)
{
	bool client = e->tls_flags & TLS_F_CLIENT;

	return json_pack("{s:o, s:o, s:b, s:o, s:o, s:b, s:o}", "version", trace_tls_version(e->tls_version),
			 "cipher", trace_text(e->tls_cipher), "resumed",
			 (e->tls_flags & TLS_F_RESUMED) != 0, "sni", trace_text(e->tls_sni), "client",
			 client ? trace_text(e->tls_client) : json_null(), "client_verified",
			 client && (e->tls_flags & TLS_F_VERIFIED), "client_sha256",
			 client ? hex(e->tls_client_sha256, sizeof(e->tls_client_sha256)) : json_null());
}

static void put(json_t *o, const char *name, struct str s)
{
	if (s.p)
		json_object_set_new(o, name, trace_text(s));
}

static json_t *proxy(const struct mail_envelope *e)
{
	struct proxy_facts f;
	bool ok = proxy_tlv_parse(e->proxy_tlv, &f);
	json_t *o = json_object(), *ssl;

	put(o, "authority", f.authority);
	put(o, "alpn", f.alpn);
	if (f.unique_id.p)
		json_object_set_new(o, "unique_id", hex(f.unique_id.p, f.unique_id.n));
	if (f.ssl) {
		ssl = json_pack("{s:b}", "verified", f.ssl_verified);
		put(ssl, "version", f.ssl_version);
		put(ssl, "cn", f.ssl_cn);
		put(ssl, "cipher", f.ssl_cipher);
		json_object_set_new(o, "ssl", ssl);
	}
	if (!ok)
		json_object_set_new(o, "malformed", json_true());
	if (e->flags & RECORD_F_TLV_CUT)
		json_object_set_new(o, "cut", json_true());
	return o;
}

void trace_facts(json_t *record, const struct mail_envelope *e)
{
	if (e->smtputf8)
		json_object_set_new(record, "smtputf8", json_true());
	if (e->tls_version)
		json_object_set_new(record, "tls", tls(e));
	if (e->proxy_tlv.n)
		json_object_set_new(record, "proxy", proxy(e));
}
