/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* One file of the log on its way into the index, a batch at a time. Not for two threads at once. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "control/trace/index.h"

#define READER_BATCH 1000u       /* lines a transaction, at most */

struct reader {
	int fd;                      /* -1: none */
	dev_t dev;
	ino_t ino;
	uint64_t key;                /* of its first line */
	uint64_t at;                 /* everything before is in the index */
	unsigned int batch;          /* lines of the next transaction */
	char *buf;
	size_t cap;
};

struct reader_count {
	uint64_t records, bad;
};

void reader_init(struct reader *r);
/* Takes the descriptor. */
void reader_open(struct reader *r, int fd, uint64_t key);
void reader_close(struct reader *r);
void reader_free(struct reader *r);
/* 0: something was read; -ENODATA: no whole line is there; -EREMOTEIO: the file cannot be read; -errno of
 * the index, and nothing was changed. Records older than horizon_ms are passed over. */
int reader_batch(struct reader *r, struct trace_index *x, int64_t horizon_ms, struct reader_count *n);
/* It is shorter than what was read of it. */
bool reader_truncated(const struct reader *r);
/* Octets that are not in the index. */
uint64_t reader_lag(const struct reader *r);
