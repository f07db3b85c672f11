/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * SPF (RFC 7208) of the original sender. libspf2 does the matching, in jailed worker processes that
 * see neither a name, a macro nor a file: a strict parser of our own stands in front of it, macros
 * are expanded here, names are resolved by dns.h, and the records reach libspf2 rewritten with
 * aliases (spf_tree.h). All calls on one jail belong to its event loop's thread.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "control/dns/dns.h"

enum spf_result {
	SPF_NONE,
	SPF_NEUTRAL,
	SPF_PASS,
	SPF_FAIL,
	SPF_SOFTFAIL,
	SPF_TEMPERROR,
	SPF_PERMERROR,
};

enum spf_identity { SPF_ID_MAILFROM, SPF_ID_HELO };

/* The processes that fork the workers. */
struct spf_helper {
	pid_t pid;
	int fd;
};

struct spf_options {
	unsigned int n_workers; /* 0: 2; at most 16 */
	unsigned int budget_ms; /* 0: RFC 7208 4.6.4, 20 s; the whole check, DNS included */
	unsigned int run_ms;    /* 0: 2 s; one evaluation in a worker, else it is killed */
	const struct spf_helper *helper; /* taken over; NULL: one is forked now */
	bool no_cache;          /* every check is evaluated: for tests */
};

struct spf_stats {
	uint64_t checks, by_result[7]; /* by enum spf_result */
	uint64_t runs;                 /* evaluations handed to workers */
	uint64_t worker_spawned, worker_died,
		worker_killed;      /* died: on its own; killed: by run_ms */
	uint64_t helper_died;          /* and was forked again */
	bool helper_gone;              /* for good: every check is a temperror */
	uint64_t refused_grammar;   /* records that libspf2 never saw */
	uint64_t refused_evaluator; /* well-formed records that libspf2 would not compile */
	uint64_t budget_exceeded;
	/* Checks answered by spf_cache.h; by a check of the same that was under way; by neither.
	 * Those without a domain to judge are in none of them. */
	uint64_t cache_hits, cache_shared, cache_misses;
	size_t cached;
	unsigned int workers_idle, workers_busy, waiting;
};

struct spf_request {
	struct ip_addr ip;          /* of the original sender */
	enum spf_identity identity; /* SPF_ID_HELO: only HELO is checked */
	struct str helo;
	struct str mail_from; /* n == 0: null reverse-path, then postmaster@HELO (RFC 7208 2.4) */
	struct str hostname;  /* ours, for %{r}; n == 0: "unknown" */
	uint64_t now;         /* seconds, for %{t} */
};

struct spf_verdict {
	enum spf_result result;
	enum spf_identity identity; /* which one was judged; HELO for a null reverse-path */
	char domain[256];           /* judged domain; "" if there was none fit to be judged */
	char mechanism[128];        /* the directive that decided ("-all", "include:x.example"), or
				       "default" */
	char explanation[512];      /* of exp=, printable ASCII; "" for none: the caller's own words
				       apply */
	char reason[192];           /* why an error or none; printable ASCII; else "" */
	unsigned int lookups, voids;
	uint32_t ttl;   /* smallest TTL seen; 0 for errors */
	bool cacheable; /* holds for (ip, domain): no record used s, l, o, h, p nor exists with
			   macros, no text of exp= did, and no lookup failed on the way */
};

struct event_base;
struct spf_jail;
struct spf_check;
typedef void spf_callback(void *arg, const struct spf_verdict *verdict);

const char *spf_result_name(enum spf_result r); /* "none", "pass", ... as RFC 8601 spells them */

/* Forks the helper that forks the workers: before any thread exists, and before memory holds what
 * they need not know. 0 or -errno. Closing fd ends it. */
int spf_helper_start(struct spf_helper *h);
/* `dns` is borrowed and must outlive the jail. NULL: err (>= 256 octets) says why. */
struct spf_jail *spf_jail_new(struct event_base *base, struct dns *dns,
			      const struct spf_options *opt, char *err, size_t err_len);
/* Cancels every check (no callback runs), ends helper and workers, waits for the helper. */
void spf_jail_free(struct spf_jail *j);
void spf_jail_stats(const struct spf_jail *j, struct spf_stats *out);
/* Process ids of the live workers; how many there are (which may be more than cap). */
size_t spf_jail_workers(const struct spf_jail *j, pid_t *out, size_t cap);

/* The request is copied. The callback never runs inside spf_check(), and runs exactly once unless
 * cancelled. NULL: -ENOMEM. */
struct spf_check *spf_check(struct spf_jail *j, const struct spf_request *req, spf_callback *cb,
			    void *arg);
void spf_cancel(struct spf_check *c);
