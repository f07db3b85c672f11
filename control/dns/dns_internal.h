/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

#include "control/dns/dns_cache.h"
#include "control/dns/dns_wire.h"
#include "postern/buckets.h"
#include "control/dns/dns_zone.h"

/*
 * One question. `ev` is both its time-out and the place where its callback runs: a backend that has
 * the answer calls dns_query_done(), which makes the event active; whatever calls the user comes
 * from the event loop and never from inside dns_resolve().
 */
struct dns_query {
	LIST_ENTRY(dns_query) link;
	struct dns *d;
	struct dns_wire_name name;
	uint16_t type;
	bool done;
	uint64_t asked_us;
	struct event ev;
	dns_callback *cb;
	void *arg;
	struct dns_parsed answer;
	void *ticket; /* the backend's, NULL if nothing is under way */
};

LIST_HEAD(dns_query_list, dns_query);

struct dns {
	struct event_base *base;
	struct dns_query_list queries;
	struct timeval timeout;
	struct dns_zone *zone; /* or */
	struct dns_unbound *unbound;
	struct dns_cache *cache; /* of libunbound's answers */
	struct buckets times;
};

void dns_query_done(struct dns_query *q);

/* libunbound on the event base (dns_unbound.c). */
struct dns_unbound *dns_unbound_new(struct event_base *base, const struct dns_options *opt,
				    char *err, size_t err_len);
void dns_unbound_free(struct dns_unbound *u);
/* Starts the question; a failure to start is an answer as well. 0 or -ENOMEM. */
int dns_unbound_ask(struct dns_unbound *u, struct dns_query *q);
/* The question is no longer wanted; its late answer is dropped. */
void dns_unbound_forget(struct dns_query *q);
