/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * quarantine.c  queue, thread, callbacks
 * store.c       files and their directories
 * index.c       SQLite
 *
 * store and index are the thread's alone.
 */

#include <sqlite3.h>

#include "control/quarantine/quarantine.h"

#define QUARANTINE_ID 16

/* ---- store.c ---------------------------------------------------------------------------------- */

struct store {
	int dir, fresh, held, lock; /* descriptors; -1: not open */
};

int store_open(struct store *s, const char *directory, char *err, size_t err_len);
void store_close(struct store *s);
/* Writes and fsyncs; the name is not safe before store_sync(). */
int store_write(struct store *s, const char *id, const struct mail_bytes *content);
/* Names written since the last call are on the disk. */
int store_sync(struct store *s);
int store_unlink(struct store *s, const char *id);
/* *data is malloc'ed. -EBADMSG: it has another size than the index says. */
int store_read(struct store *s, const char *id, uint64_t size, uint8_t **data);
/* Octets that an unprivileged writer may still use. */
int store_free_bytes(const struct store *s, uint64_t *out);
/* Calls `known` with each held id; what it does not know is removed. Empties fresh. Count removed. */
long store_reconcile(struct store *s, bool (*known)(void *arg, const char *id), void *arg);

/* ---- index.c ---------------------------------------------------------------------------------- */

struct index {
	sqlite3 *db;
	sqlite3_stmt *stmt[12];
};

int index_open(struct index *x, const char *path, char *err, size_t err_len);
void index_close(struct index *x);
const char *index_why(const struct index *x);
/* A transaction is a batch of puts, or any one of the others. */
int index_begin(struct index *x);
int index_commit(struct index *x);
void index_rollback(struct index *x);
/* False: none was begun, or a call that failed has taken it back. */
bool index_in_transaction(const struct index *x);
/* -EEXIST: there is one of that id. */
int index_put(struct index *x, const struct quarantine_message *m);
int index_delete(struct index *x, const char *id, uint64_t *size);
/* *left: who holds it still. -EINVAL: the message has another number of recipients. */
int index_release(struct index *x, const char *id, const uint8_t *rcpts, size_t n, size_t *left);
bool index_has(struct index *x, const char *id);
/* Everything but the content's octets, of which content.size is set. Owned by *memory, which is to
 * be freed. */
int index_get(struct index *x, const char *id, struct quarantine_message *m, void **memory);
int index_list(struct index *x, const struct quarantine_filter *f, json_t **list);
/* The oldest message older than `time_ns`: 0, or -ENOENT. */
int index_oldest(struct index *x, uint64_t time_ns, char id[QUARANTINE_ID + 1]);
int index_totals(struct index *x, uint64_t *messages, uint64_t *bytes);
