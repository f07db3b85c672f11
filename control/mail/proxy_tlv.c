/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/mail/proxy_tlv.h"

#include "postern/limits.h"
#include "postern/proxy_tlv.h"

/* 2.2.6: bits of the first octet of TLV_SSL */
#define CLIENT_SSL 1u
#define CLIENT_CERT 6u /* in this connection or in the session it resumed */

static void keep(struct str *where, struct str value)
{
	if (!where->p)
		*where = value;
}

static bool ssl(struct str v, struct proxy_facts *out)
{
	struct str value;
	uint8_t type;

	if (v.n < TLV_SSL_HEAD)
		return false;
	out->ssl = v.p[0] & CLIENT_SSL;
	out->ssl_verified = out->ssl && (v.p[0] & CLIENT_CERT) &&
			    !(v.p[1] | v.p[2] | v.p[3] | v.p[4]);
	for (v = str_skip(v, TLV_SSL_HEAD); v.n;) {
		if (!proxy_tlv_next(&v, &type, &value))
			return false;
		if (type == TLV_SSL_VERSION)
			keep(&out->ssl_version, value);
		else if (type == TLV_SSL_CN)
			keep(&out->ssl_cn, value);
		else if (type == TLV_SSL_CIPHER)
			keep(&out->ssl_cipher, value);
	}
	return true;
}

bool proxy_tlv_parse(struct str tlvs, struct proxy_facts *out)
{
	bool seen_ssl = false;
	struct str v;
	uint8_t type;

	*out = (struct proxy_facts){0};
	while (tlvs.n) {
		if (!proxy_tlv_next(&tlvs, &type, &v))
			return false;
		switch (type) {
		case TLV_ALPN:
			keep(&out->alpn, v);
			break;
		case TLV_AUTHORITY: /* 2.2.2: a host name */
			if (v.n > LIMIT_DOMAIN)
				return false;
			keep(&out->authority, v);
			break;
		case TLV_UNIQUE_ID:
			if (v.n > TLV_UNIQUE_ID_MAX)
				return false;
			keep(&out->unique_id, v);
			break;
		case TLV_SSL:
			if (!seen_ssl && !ssl(v, out))
				return false;
			seen_ssl = true;
			break;
		default: /* 2.2.7: of others, and what is of no use here */
			break;
		}
	}
	return true;
}
