/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Protocol limits by name, each with the place it comes from. "ours" is a choice of this project. */

/* SMTP: RFC 5321 */
#define LIMIT_LOCAL_PART 64          /* 4.5.3.1.1 */
#define LIMIT_DOMAIN 255             /* 4.5.3.1.2 */
#define LIMIT_PATH 256               /* 4.5.3.1.3, with punctuation */
#define LIMIT_COMMAND_LINE 512       /* 4.5.3.1.4, with CRLF */
#define LIMIT_COMMAND_EXT 2048       /* RFC 5321 4.1.1.11, 2.2.1: with parameters of extensions; ours */
#define LIMIT_REPLY_LINE 512         /* 4.5.3.1.5, with code and CRLF */
#define LIMIT_TEXT_LINE 1000         /* 4.5.3.1.6, with CRLF; longer is accepted and marked */
#define LIMIT_RCPT_MIN 100           /* 4.5.3.1.8: at least this many are taken */
#define LIMIT_RECEIVED_HOPS 100      /* 6.3 */
#define LIMIT_COMMAND_TIMEOUT_S 300  /* 4.5.3.2.7 */
#define LIMIT_DATA_BLOCK_TIMEOUT_S 180 /* 4.5.3.2.5 */
#define LIMIT_FINAL_REPLY_TIMEOUT_S 600 /* 4.5.3.2.6 */
#define LIMIT_BANNER_TIMEOUT_S 300   /* 4.5.3.2.1, as a client */

/* Message structure */
#define LIMIT_HEADER_BLOCK (256 * 1024) /* ours (design: content views) */
#define LIMIT_HEADER_FIELD (64 * 1024)  /* ours */
#define LIMIT_HEADER_FIELDS 2000        /* ours */

/* Authentication */
#define LIMIT_DKIM_SIGNATURES 10     /* ours, against costs; RFC 6376 6.1 allows a limit */
#define LIMIT_SPF_LOOKUPS 10         /* RFC 7208 4.6.4 */
#define LIMIT_SPF_VOID 2             /* RFC 7208 4.6.4 */
#define LIMIT_SPF_MX 10              /* RFC 7208 4.6.4 */
#define LIMIT_SPF_PTR 10             /* RFC 7208 4.6.4, 5.5 */
#define LIMIT_SPF_TIME_S 20          /* RFC 7208 4.6.4 */
#define LIMIT_DNS_NAME 253           /* RFC 1035 2.3.4, text form without the root dot */
#define LIMIT_DNS_LABEL 63           /* RFC 1035 2.3.4 */
#define LIMIT_RSA_BITS_MIN 1024      /* RFC 8301 3.2 */
#define LIMIT_RSA_BITS_MAX 4096      /* RFC 8301 3.2 */

/* Delivery (design: delivery contract) */
#define LIMIT_JUDGE_S 30
#define LIMIT_ONWARD_PROGRESS_S 60
#define LIMIT_CALLOUT_S 5
#define LIMIT_REFUSAL_5XX_TTL_S (24 * 3600)
#define LIMIT_REFUSAL_4XX_TTL_S (15 * 60)
#define LIMIT_UNKNOWN_RCPT_TTL_S (30 * 60)

/* Configuration defaults that operators may change */
#define DEFAULT_MAX_MESSAGE (50u * 1024 * 1024)
#define DEFAULT_MAX_RCPT 100
#define DEFAULT_MAX_ERRORS 20
#define DEFAULT_MAX_TRANSACTIONS 1000
#define DEFAULT_DATA_TOTAL_S 1800
#define DEFAULT_MIN_RATE 500
