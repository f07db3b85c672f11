/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* A message file, and what can be found out about it without a daemon. */

#include "control/auth/arc/arc.h"
#include "control/auth/dkim/dkim.h"
#include "control/auth/dkim/tags.h"
#include "control/auth/dmarc/dmarc.h"
#include "control/auth/spf/spf.h"
#include "control/cli/cli.h"
#include "control/mail/mail.h"
#include "control/origin/walkers.h"

/* Reads FILE ("-": standard input) with CRLF line ends; *data is owned by the caller. CLI_OK, or
 * CLI_USAGE having said why; `who` is the command. */
int message_read(const char *who, const char *file, uint8_t **data, size_t *size);

#define LOOK_ZONES  16
#define LOOK_RANGES 256
#define LOOK_PATH   512

/* TXT records of one name. */
struct look_txt {
	size_t n;
	struct str record[DKIM_MAX_KEY_RECORDS];
	uint8_t text[DKIM_MAX_KEY_RECORDS][DKIM_MAX_KEY_RECORD];
};

/* The value of --now, seconds since 1970; false: said why on stderr. */
#define LOOK_NOW_MOST 9223372036 /* year 2262: nanoseconds of it are an int64_t */
bool look_now(const char *who, const char *text, int64_t *now);

/* What simulate and explain have in common: the message, its options, resolver and jail. */
struct look {
	const char *who, *file, *from, *helo;
	const char *word; /* the argument in front of the file; only if has_word was set before */
	bool has_word;
	const char *zone[LOOK_ZONES];
	size_t n_zones;
	struct ip_range range[LOOK_RANGES]; /* the gateways first, then --skip */
	struct ip_addr gateway[LOOK_RANGES];
	size_t n_gateways, n_ranges;
	bool no_detect;
	int64_t now;

	uint8_t *data;
	struct iovec iov;
	struct mail_bytes content;
	struct headers headers;
	uint8_t mail_from[LOOK_PATH];
	struct str reverse_path; /* --mail-from, else Return-Path; n == 0: null or unknown */
	const char *path_source; /* "--mail-from", "Return-Path"; NULL: unknown */
	struct walker_start start;

	struct event_base *base;
	struct dns *dns;
	struct spf_jail *jail;
	struct dkim_check *check;
	const struct dkim_results *dkim;
	struct arc_check *arc_check;
	const struct arc_results *arc;
	struct look_txt *txt;
	bool done;
	struct spf_verdict verdict;
	struct dmarc_verdict dmarc;
};

/* Options, file, resolver. CLI_OK or CLI_USAGE; look_close() in either case. */
int look_open(struct look *l, int argc, char **argv);
/* The resolver and the jail alone, without a message: zone files of l, else as opt says. The same. */
int look_resolver(struct look *l, const struct dns_options *opt);
void look_close(struct look *l);
/* The address of the topmost Return-Path, which may be empty; STR_NONE: there is none. It is in buf. */
struct str look_return_path(const struct headers *h, uint8_t buf[LOOK_PATH]);
/* SPF as it comes out where this address and HELO are taken for the sender's. */
const struct spf_verdict *look_spf(struct look *l, const struct ip_addr *ip, const char *helo);
/* All signatures; valid until look_close(). NULL: out of memory. */
const struct dkim_results *look_dkim(struct look *l);
const struct arc_results *look_arc(struct look *l);
/* The records that could be read; out->n is 0 if DNS has none, or does not answer. */
void look_txt(struct look *l, const char *name, struct look_txt *out);
/* DMARC with this result of SPF, and with look_dkim(); valid until the next call. */
const struct dmarc_verdict *look_dmarc(struct look *l, const struct spf_verdict *spf);
/* Octets from outside for a terminal: what is not printable ASCII becomes '?', cut to fit. Returns
 * buf. */
const char *look_clean(struct str s, char *buf, size_t cap);
/* A JSON string of octets from outside: what is not printable ASCII becomes '?'. New reference. */
json_t *look_text(struct str s);
