/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Senders nobody knows yet are told to come again (RFC 6647). What is remembered is the triplet of
 * where a message comes from, its MAIL FROM and its recipient; where from is the prefix of the
 * original sender, or the domain of a MAIL FROM that passed SPF, so that a pool of addresses is
 * one. A retry within its time lets the triplet pass from then on. And a source of which a next hop
 * took a message is known and asked for nothing any more.
 *
 *   none --first--> waiting --retry in [delay, window)--> passed --(lifetime unused)--> none
 *                      '--- retry behind the window: it is a first one again
 *
 * The table is bounded and a shared mapping of a file, so that it outlives a restart. A full bucket
 * gives up who waits before who passed and before who is known, among equals whoever ends first:
 * who sends from many addresses pushes out those that wait, and nobody else. Pure but for the file:
 * no clock, no loop. One thread. It must not know sessions or configuration.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/mail/mail.h"

struct greylist;

/* Maps the file, makes it if it is not there (mode 0640); one of another layout is made anew. NULL:
 * err
 * (>= 256 octets) says why. */
struct greylist *greylist_open(const char *path, char *err, size_t err_len);
void greylist_close(struct greylist *g);

struct greylist_rules {
	uint32_t delay_s, window_s, lifetime_s;
};

/* Where a message comes from. */
struct greylist_source {
	struct ip_net net;  /* of its triplets, if domain.n == 0; no bits behind the prefix */
	struct ip_net host; /* that may be known: a neighbour's messages say nothing of it */
	struct str domain;  /* lower-case A-labels, authenticated */
};
/* Of an address; prefixes in bits of their family. A host is an IPv4 address or an IPv6 /64. */
struct greylist_source greylist_source(const struct ip_addr *ip, unsigned int prefix_v4,
				       unsigned int prefix_v6);

enum greylist_answer {
	GREYLIST_FIRST,  /* never seen, or too long ago */
	GREYLIST_EARLY,  /* the delay is not over */
	GREYLIST_PASSED, /* at this retry, or at one before */
	GREYLIST_KNOWN,  /* the source is */
};

/* Changes nothing; GREYLIST_FIRST: it would be. */
enum greylist_answer greylist_look(struct greylist *g, const struct greylist_source *from,
				   struct str mail_from, struct str rcpt,
				   const struct greylist_rules *r, uint64_t now_s);
/* The same, and what it answers is remembered. *wait_s of the first two: how long until a retry
 * passes. */
enum greylist_answer greylist_ask(struct greylist *g, const struct greylist_source *from,
				  struct str mail_from, struct str rcpt,
				  const struct greylist_rules *r, uint64_t now_s, uint32_t *wait_s);
/* A next hop took a message: its source is known for a lifetime from now. */
void greylist_accept(struct greylist *g, const struct greylist_source *from,
		     const struct greylist_rules *r, uint64_t now_s);

struct greylist_stats {
	uint64_t pushed_out; /* since the start */
};
void greylist_stats(const struct greylist *g, struct greylist_stats *out);
