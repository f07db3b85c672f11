/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The records of one check as far as they are known, and how they are written for libspf2: targets
 * replaced by aliases, marks in front of the terms, what libspf2 wrongly refuses or misreads
 * written another way.
 */

#include "control/auth/spf/spf_grammar.h"
#include "control/auth/spf/spf_wire.h"
#include "control/mail/mail.h"

#define SPF_NODES_MAX 16 /* 1 + 10 lookups fit */

enum spf_node_state { SPF_NODE_OK, SPF_NODE_NONE, SPF_NODE_TEMPFAIL, SPF_NODE_INVALID };

struct spf_node {
	uint16_t parent, term; /* term SPF_TERM_ROOT: the checked domain itself */
	enum spf_node_state state;
	char domain[256];
	uint8_t *text; /* owned */
	size_t len;
	struct spf_record rec;
	char reason[192]; /* printable; why it is not OK */
};

struct spf_tree {
	struct spf_node node[SPF_NODES_MAX];
	size_t n;
};

void spf_tree_free(struct spf_tree *t);
/* Takes `text` (malloc'ed, may be NULL) over, parses it. NULL: no room. */
struct spf_node *spf_tree_add(struct spf_tree *t, uint16_t parent, uint16_t term,
			      enum spf_node_state state, const char *domain, uint8_t *text,
			      size_t len);
/* SPF_NODES_MAX if not there. */
size_t spf_tree_child(const struct spf_tree *t, uint16_t parent, uint16_t term);
/* Writes all records into q; their text goes to b. -EMSGSIZE if they do not fit. */
int spf_tree_encode(const struct spf_tree *t, const struct ip_addr *ip, struct spf_buf *b,
		    struct spf_wire_request *q);
/* The term that matched, by the last mark; NULL for the default result. */
const struct spf_term *spf_tree_matched(const struct spf_tree *t, struct spf_key at,
					const struct ip_addr *ip);
/* Prefix length 0 for this client's family: any address of the name matches. libspf2 takes 0 as
 * "not given", so the answer carries the client's own address instead. */
bool spf_term_any(const struct spf_term *t, const struct ip_addr *ip);
