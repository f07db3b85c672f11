/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dataplane/handoff/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_MESSAGE (1u << 20)

static int on_push(void *arg, const struct dp_push *p, char *text, size_t cap)
{
	static volatile uint8_t sink;
	char again[256];

	(void)arg;
	(void)text;
	(void)cap;
	if (p->generation == 0 || p->config->generation != p->generation ||
	    dp_config_check(p->config, MAX_MESSAGE, again, sizeof(again)))
		abort();
	if (p->rules) {
		const uint8_t *q = p->rules;

		sink = q[0];
		sink = q[p->rules_len - 1];
	}
	(void)sink;
	return 0;
}

/* The packet, then the configuration; a rule set of 5 octets comes with it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dp_link_opts opts = {.max_rules = 4096, .ops.on_push = on_push};
	const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
	size_t k = size < sizeof(struct link_push) ? size : sizeof(struct link_push);
	static int database = -1;
	char text[256] = "";
	int fd[2], error;

	if (database < 0) {
		database = dp_memfd("fuzz", 0);
		if (write(database, "hello", 5) != 5 || fcntl(database, F_ADD_SEALS, seals) < 0)
			abort();
	}
	fd[0] = dp_memfd("fuzz", 0);
	fd[1] = database;
	if (fd[0] < 0 || write(fd[0], data + k, size - k) != (ssize_t)(size - k) ||
	    fcntl(fd[0], F_ADD_SEALS, seals) < 0)
		abort();
	error = dp_push_take(&opts, MAX_MESSAGE, data, k, fd, 2, text, sizeof(text));
	if (error < 0 || (error > 0) != (text[0] != '\0'))
		abort();
	close(fd[0]);
	return 0;
}
