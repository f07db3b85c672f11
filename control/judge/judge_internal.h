/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

#include "control/auth/dkim/body.h"
#include "control/judge/judge.h"
#include "control/judge/texts.h"
#include "control/origin/relays.h"
#include "postern/limits.h"

/* 10 signatures whose every value is as long as it may be, escaped (1.6 KB each), and the rest. */
#define JUDGE_AUTHRES (32 * 1024)
#define JUDGE_FORGED 256 /* ranges of forged fields; more of them is an attack */
/* A field given back may cut a range in two. */
#define JUDGE_RANGES (JUDGE_FORGED + LIMIT_ARC_SETS)
#define JUDGE_RECEIVED_SPF 8192

struct event;

/* The chain field of the peer, and the one that is written. Both need the whole body's digest. */
struct judge_chain {
	const struct chain_key *sign;  /* of the route; NULL: none is written */
	struct body_run *run;          /* that hashes; NULL: nobody waits */
	struct event *hashed;
	int hash;                      /* index in run->pass */
	bool reading;                  /* the origin waits for it */
	bool have;
	uint8_t body[CHAIN_DIGEST];
	struct chain_claim claim;
};

/* A part of the header as a text that rules look at. */
struct judge_fields {
	struct texts *texts;
	struct iovec iov;
	struct mail_bytes content;
};

struct judge {
	struct judge_env env;
	struct judge_request req;
	judge_callback *cb;
	void *arg;
	struct judgement result;
	struct dkim_results no_dkim;   /* empty */
	struct arc_results no_arc;     /* none, or the chain that we do not take as it is */
	const struct config_route *route; /* of the recipients; NULL: none is ours */
	struct ptr_query *ptr, *origin_ptr;
	struct spf_check *spf, *spf_helo;
	struct body_run *run;          /* shared by dkim and arc */
	struct dkim_check *dkim;
	struct arc_check *arc;
	struct dmarc_check *dmarc;
	struct judge_chain chain;
	struct dnsbl_check *dnsbl;
	struct dns_query *null_mx;
	struct dnsbl_verdict lists[LIMIT_DNSBLS]; /* what stands for no answer in time */
	struct event *body;            /* the body is hashed; NULL: nobody waits for it */
	int ranges_rc;                 /* not 0: what is to be removed could not be listed */
	int body_hash;                 /* index in run->pass of the hash to be sealed, or below 0 */
	bool dkim_open, arc_open, dmarc_open, dnsbl_open, body_open;
	bool arc_late;                 /* the chain was given up: no answer in time */
	bool separate_origin_ptr;
	struct reverify *reverify;
	bool reverify_first;           /* the callback waits for it */
	bool done;
	unsigned int open;             /* answers still to come */
	struct {                       /* the set that is being made; job NULL: none is */
		struct arc_job *job;
		char *set, *authres;
		const struct config_arc_key *key;
	} sealing;
	struct event *timer, *finish, *failed;
	uint64_t started_us;
	struct texts *texts;           /* what rules look at, as far as control does */
	struct content_plan plan;      /* of these */
	struct relays_text relays;
	struct judge_fields trusted, untrusted;
	size_t cap_hits;
	bool alone, parts;             /* of judge_rules_alone() */
};

/* judge.c */
void judge_one_done(struct judge *j); /* one of `open` is through */
/* 0; -EBADMSG: not to be passed on; -ENOMEM. */
int judge_read_headers(struct judge *j);
/* Our name towards the client: behind "by", in SPF's words. */
const char *judge_hostname(const struct judge *j);
void judge_find_route(struct judge *j);
int judge_origin(struct judge *j);    /* finds the sender and starts what asks about him */
void judge_failed(struct judge *j, int rc);
void judge_block_done(struct judge *j); /* the block is whole, the set on top of it */

/* judge_chain.c */
/* Has the peer a chain field that is to be read? Then judge_origin() runs later. 0 or -errno. */
int judge_chain_read(struct judge *j, bool *later);
/* Before anything else joins j->run: the digest for the field that is written. 0 or -errno. */
int judge_chain_prepare(struct judge *j);
void judge_chain_cancel(struct judge *j);
/* The field, or "" if the route wants none. 0 or -errno. */
int judge_chain_field(struct judge *j, char out[CHAIN_FIELD]);
bool judge_sender_is_known(const struct judge *j);

/* judge_seal.c */
/* Takes the chain as it was found. ARC-Authentication-Results in our name have been marked as
 * forged until here; those of a chain that passes and of sets that we sealed are given back. With
 * one that is not ours the chain has failed. */
void judge_own_sets(struct judge *j, const struct arc_results *arc);
/* Before anything else joins the body run: 0, -ENOMEM, -ENOSPC. */
int judge_seal_prepare(struct judge *j);
void judge_seal_cancel(struct judge *j);
/* Puts our set on top of j->result.out if the route wants it; authres as judge_authres() wrote it.
 * Says in j->result.seal what it did. True: it is being made, judge_block_done() comes later, and
 * until then nobody touches what is sealed. */
bool judge_seal(struct judge *j, const char *authres);
/* Ends one that is being made, if any. */
void judge_seal_give_up(struct judge *j);
/* The same, and the message goes on without a set. */
void judge_seal_late(struct judge *j);

/* judge_lists.c: lists in the DNS and the null MX, as far as policy wants to know. 0 or -ENOMEM. */
int judge_lists_start(struct judge *j);
void judge_lists_give_up(struct judge *j);
void judge_lists_free(struct judge *j);
/* Names of the lists that say something against the message, "dnsbl.NAME", as those of rules. */
#define JUDGE_LIST_NAME (LIMIT_CONFIG_NAME + sizeof("dnsbl."))
size_t judge_lists_names(const struct judge *j, char buf[LIMIT_DNSBLS][JUDGE_LIST_NAME],
			 const char **name);
/* judge_rules.c: hits of rules and of what is listed, behind origin and authentication. */
int judge_rules(struct judge *j);
void judge_rules_free(struct judge *j);
/* judge_content.c: the latter. */
int judge_content(struct judge *j, struct texts *t);
/* judge_count.c: after policy has decided. */
void judge_count_policy(const struct judge *j);

/* Writes the Authentication-Results field. 0 or -ENOSPC. */
int judge_authres(const struct judgement *r, const struct mail_envelope *env, const char *authserv_id,
		  char *buf, size_t cap);

/* Writes the Received-SPF field. 0 or -ENOSPC. */
int judge_received_spf(const struct judgement *r, const struct mail_envelope *env,
		       const char *gateway, char *buf, size_t cap);

/* judge_foreign.c: finds and marks for removal, behind the origin walk (0 or -ENOMEM); refuses,
 * behind the policy; counts. */
int judge_foreign_find(struct judge *j);
void judge_foreign_decide(struct judge *j);
void judge_foreign_count(const struct judge *j);

/* judge_proof.c: begins the verification of what leaves, if it is wanted. True: judge_conclude()
 * comes behind it, not before. */
bool judge_proof_start(struct judge *j);
/* Ends one that is under way without a result. */
void judge_proof_give_up(struct judge *j);
/* judge.c: counts, and hands the result to the callback. */
void judge_conclude(struct judge *j);

/* judge_findings.c: members "findings": [{code,name,text}]; "reverified": {checked,voided,broken,unsettled} or null. */
void judge_findings(struct json_out *o, const struct judgement *r);
void judge_reverified(struct json_out *o, const struct judgement *r);
