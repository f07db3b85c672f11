/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * One check: rounds of "evaluate in a worker" and "resolve what it missed", until libspf2 comes to
 * its result without a gap, a limit is met, or time is up. A check of an (address, domain) that
 * another check is at work on waits for that one first: HELO and MAIL FROM of a message are often
 * the same, and so are many messages of one sender. Internal to this folder.
 */

#include "control/auth/spf/spf_jail.h"
#include "control/auth/spf/spf_macro.h"
#include "control/auth/spf/spf_tree.h"
#include "postern/limits.h"

#define SPF_ROUNDS_MAX                                                                             \
	48 /* ours: 10 terms of at most 3 rounds each (mx behind a macro p), and spare */

/* An answer as the worker will get it, and the names behind its indexes. */
struct spf_answer {
	struct spf_key key;
	uint8_t status, width;
	uint16_t count;
	uint8_t data[SPF_WIRE_ADDRESSES * 16];
	char (*host)[256]; /* t (mx): owned */
};

/* A key that is being resolved. */
struct spf_fetch {
	LIST_ENTRY(spf_fetch) link;
	struct spf_check *c;
	struct spf_key key;
	char name[256];
	struct dns_query *query; /* NULL: not asked yet */
};

/* Reverse names of the client with forward confirmation, looked up once a check. */
struct spf_reverse {
	enum { SPF_REVERSE_UNKNOWN, SPF_REVERSE_ASKING, SPF_REVERSE_READY } state;
	uint8_t status; /* enum spf_answer_status of the PTR question */
	size_t n, open;
	struct dns_query *query;
	struct {
		struct spf_check *c;
		struct dns_query *query;
		char name[256];
		bool confirmed;
	} host[LIMIT_SPF_PTR];
};

struct spf_check {
	LIST_ENTRY(spf_check) link;
	LIST_ENTRY(spf_check) lead;          /* in jail->leader[], if leading */
	LIST_ENTRY(spf_check) follow;        /* in leader->followers, if leader */
	struct spf_check_list followers;
	struct spf_check *leader;
	struct siphash128 key;               /* with a cache */
	bool alone;                          /* a leader's result was not for it: by itself now */
	bool leading, answered;              /* answered: verdict came from cache or leader */
	bool unsure;                         /* a lookup failed: another day, another result */
	struct spf_jail *jail;
	spf_callback *cb;
	void *arg;
	struct event *timer, *begin;
	struct spf_run run;
	struct ip_addr ip;
	uint8_t *strings; /* owned; the three below lie in it */
	struct str helo, mail_from, hostname;
	struct str local, domain; /* sender; "postmaster" if there is no local part */
	uint64_t now;
	struct spf_tree tree;
	struct spf_answer *answer[SPF_WIRE_ANSWERS];
	size_t n_answers;
	LIST_HEAD(spf_fetch_list, spf_fetch) fetches;
	struct spf_reverse reverse;
	unsigned int rounds;
	uint32_t ttl;
	bool explaining;
	struct dns_query *explain_query;
	uint8_t *explain_text; /* owned */
	size_t explain_len;
	char dns_reason[160]; /* of the last lookup that failed */
	struct spf_verdict verdict;
};

/* Cache and followers (spf_share.c). True: the verdict is there, or will be. */
bool spf_share_ask(struct spf_check *c);
/* The verdict is made: keeps it, hands it to the followers that it is right for. */
void spf_share_tell(struct spf_check *c);
/* c goes: its followers look for themselves. */
void spf_share_leave(struct spf_check *c);
/* Ends the check: the callback runs, c is gone. `reason` may be "". */
void spf_finish(struct spf_check *c, enum spf_result result, const char *reason);
/* Macro context with `current` as %{d}. */
void spf_context(const struct spf_check *c, const char *current, struct spf_macro_context *m);
/* Runs the next evaluation. */
void spf_evaluate(struct spf_check *c);
/* Resolves a key (spf_fetch.c). -EINVAL: the worker asked for what cannot be. */
int spf_fetch_add(struct spf_check *c, struct spf_key key);
/* Goes on with all that can go on; evaluates when nothing is open. c may be gone afterwards. */
void spf_fetch_pump(struct spf_check *c);
void spf_fetch_free(struct spf_check *c);
/* Starts the reverse lookups unless they have started (spf_reverse.c). -ENOMEM. */
int spf_reverse_start(struct spf_check *c);
void spf_reverse_free(struct spf_check *c);
/* %{p} for this domain (RFC 7208 7.3). */
const char *spf_reverse_pick(const struct spf_check *c, struct str current);
/* Is `name` equal to or below `domain`? */
bool spf_is_within(struct str name, struct str domain);
/* Finds the explanation of a fail and finishes (spf_explain.c). */
void spf_explain(struct spf_check *c);
