/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Messages that are held back instead of delivered. The sender hears 250 for one, so it must be as
 * safe as with a next hop: the original octets are in a file, envelope, header block and reason in an
 * index (SQLite), and both are on the disk before put() says so (delivery contract). Nothing else is
 * known here: who is quarantined is policy's, how a message is released is the caller's.
 *
 * All disk work is done by one thread; callbacks come from the event loop, never from inside a call.
 *
 *   DIRECTORY/lock         one owner
 *   DIRECTORY/index.db     what is held; a file without a row was never acknowledged
 *   DIRECTORY/new/         files being written
 *   DIRECTORY/held/ID.eml  the content as the client sent it
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/mail/mail.h"

struct event_base;
struct quarantine;

struct quarantine_options {
	const char *directory;  /* absolute; made if it is not there (mode 0750), its parent is not */
	uint64_t max_bytes;     /* of contents; what would go over it is refused; 0: no bound */
	uint64_t min_free;      /* octets of the file system that are left free */
	unsigned int max_age_s; /* older messages are deleted; 0: never */
};

struct quarantine_range {
	uint64_t off, len;
};

/* A server in a cable that the client dialled, and who that was: a release goes to it, in this name.
 * port 0: the message came to a gateway. */
struct quarantine_dialled {
	struct ip_addr server, client, connected; /* as in struct deliver_client */
	uint16_t port;
};

/* A message as it is put and as it comes back. Put: borrowed until the callback. */
struct quarantine_message {
	const char *id;         /* trace id: 16 of 0-9 A-Z */
	uint64_t time_ns;       /* CLOCK_REALTIME */
	const char *route;      /* name */
	struct ip_addr origin;
	struct quarantine_dialled dialled;
	struct str helo, mail_from, message_id;
	const struct str *rcpt;
	size_t n_rcpts;
	const uint8_t *held;    /* held[i]: rcpt[i] has it not yet; put: all of them */
	const char *reason;
	double score;
	uint8_t body;           /* enum handoff_body */
	bool smtputf8;
	uint32_t flags;         /* RECORD_F_* */
	struct str block;       /* header block that goes in front */
	/* Octets of the content that do not go out: forged copies of our own fields. */
	const struct quarantine_range *range;
	size_t n_ranges;
	struct mail_bytes content;
};

struct quarantine_answer {
	/* 0; -ENOENT: there is no such message; -ESTALE: it is listed, and its file is gone; -EEXIST,
	 * -ENOSPC, -EINVAL, -errno. */
	int error;
	const char *why;        /* what failed, for an operator; "" for none */
	struct quarantine_message *message; /* get; valid in the callback */
	json_t *list;           /* list; borrowed */
};
typedef void quarantine_callback(void *arg, const struct quarantine_answer *a);
/* Inside the callback of get: the message for longer. The caller frees it. */
struct quarantine_message *quarantine_keep(const struct quarantine_answer *a);
void quarantine_message_free(struct quarantine_message *m);

/* Takes the directory over (-EBUSY: another process has it), removes what a crash left. NULL: err
 * (>= 256 octets) says why. */
struct quarantine *quarantine_new(struct event_base *base, const struct quarantine_options *opt,
				  char *err, size_t err_len);
/* Finishes what was begun, calls nobody back any more. */
void quarantine_free(struct quarantine *q);

/* Limits from a new configuration; the directory stays. */
void quarantine_set(struct quarantine *q, const struct quarantine_options *opt);

/* Each: 0, and the callback comes once; or -ENOMEM. */
int quarantine_put(struct quarantine *q, const struct quarantine_message *m,
		   quarantine_callback *cb, void *arg);
int quarantine_get(struct quarantine *q, const char *id, quarantine_callback *cb, void *arg);
/* The message and its file. cb may be NULL. */
int quarantine_delete(struct quarantine *q, const char *id, quarantine_callback *cb, void *arg);
/* The recipients with a 1 have it now; n of them, as in the message. With none left it is deleted. */
int quarantine_release(struct quarantine *q, const char *id, const uint8_t *rcpts, size_t n,
		       quarantine_callback *cb, void *arg);
/* Newest first, at most LIMIT_QUARANTINE_LIST. NULL: any; rcpt and mail_from: an address, or
 * "@domain"; case does not matter. */
struct quarantine_filter {
	const char *rcpt, *mail_from;
	size_t limit;
};
int quarantine_list(struct quarantine *q, const struct quarantine_filter *f,
		    quarantine_callback *cb, void *arg);

struct quarantine_stats {
	uint64_t messages, bytes; /* held now */
	uint64_t put, failed, released, deleted, expired; /* since the start; messages */
};
void quarantine_stats(struct quarantine *q, struct quarantine_stats *out);

/* 16 of 0-9 A-Z? */
bool quarantine_id_valid(const char *id);
