/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The TLVs of a PROXY header, version 2, as a balancer of the trust list sent them ("The PROXY
 * protocol, versions 1 & 2", 2.2). The balancer is trusted, what it copies from its client is not:
 * texts are any octets.
 */

#include <stdbool.h>
#include <stdint.h>

#include "postern/str.h"

struct proxy_facts {
	struct str authority, alpn, unique_id; /* p == NULL: not sent */
	bool ssl;                              /* the client spoke TLS to the balancer */
	bool ssl_verified;                     /* with a certificate that verified there */
	struct str ssl_version, ssl_cn, ssl_cipher;
};

/* Of a TLV that comes twice the first counts. False: malformed; *out then holds what came before. */
bool proxy_tlv_parse(struct str tlvs, struct proxy_facts *out);
