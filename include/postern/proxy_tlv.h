/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * TLVs of a PROXY header ("The PROXY protocol, versions 1 & 2", 2.2): the dataplane checks them and
 * keeps some in the record, control reads those. Any octets.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/str.h"

enum proxy_tlv_type {
	TLV_ALPN = 0x01,
	TLV_AUTHORITY = 0x02,   /* 2.2.2: a host name */
	TLV_CRC32C = 0x03,
	TLV_NOOP = 0x04,
	TLV_UNIQUE_ID = 0x05,
	TLV_SSL = 0x20,
	TLV_SSL_VERSION = 0x21, /* of TLV_SSL, as the two below */
	TLV_SSL_CN = 0x22,
	TLV_SSL_CIPHER = 0x23,
};

#define TLV_SSL_HEAD 5u        /* 2.2.6: flags, and four octets of verification, 0: it succeeded */
#define TLV_UNIQUE_ID_MAX 128u /* 2.2.5 */

/* Takes one off *rest; false: it does not fit, and *rest means nothing any more. */
static inline bool proxy_tlv_next(struct str *rest, uint8_t *type, struct str *value)
{
	size_t n;

	if (rest->n < 3)
		return false;
	*type = rest->p[0];
	n = (size_t)rest->p[1] << 8 | rest->p[2];
	*rest = str_skip(*rest, 3);
	*value = str_cut(*rest, n);
	*rest = str_skip(*rest, n);
	return value->n == n;
}
