/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/generation.h"

static int make_scan(const struct dp_push *push, struct generation *g, char *err, size_t err_len)
{
	struct scan_input in[VIEW_COUNT];
	unsigned int n = 0;

	for (uint32_t i = 0; i < push->n_databases && n < VIEW_COUNT; i++)
		in[n++] = (struct scan_input){
			.view = push->database[i].view,
			.blob = push->database[i].p,
			.len = push->database[i].n,
		};
	if (!n)
		return 0;
	return -scan_generation_new(in, n, (uint32_t)push->generation, &g->scan, err, err_len);
}

int generation_new(const struct dp_push *push, uint64_t serial, unsigned int n_workers,
		   unsigned int streams, uint64_t *const *counters, struct generation **out, char *err,
		   size_t err_len)
{
	struct generation *g = calloc(1, sizeof(*g));
	int error;

	if (!g) {
		snprintf(err, err_len, "out of memory");
		return ENOMEM;
	}
	g->serial = serial;
	g->config = *push->config;
	g->n_workers = n_workers;
	error = make_scan(push, g, err, err_len);
	if (error)
		goto fail;
	for (unsigned int i = 0; i < n_workers; i++) {
		g->worker[i].smtp = smtp_config_new(&g->config);
		if (!g->worker[i].smtp) {
			error = ENOMEM;
			snprintf(err, err_len, "out of memory for reply texts");
			goto fail;
		}
		if (!g->scan)
			continue;
		error = -scan_worker_new(g->scan, streams, counters[i], &g->worker[i].scan);
		if (error) {
			snprintf(err, err_len, "no memory for scratch or %u streams of worker %u",
				 streams, i);
			goto fail;
		}
	}
	*out = g;
	return 0;
fail:
	generation_free(g);
	return error;
}

void generation_free(struct generation *g)
{
	if (!g)
		return;
	for (unsigned int i = 0; i < g->n_workers; i++) {
		smtp_config_free(g->worker[i].smtp);
		scan_worker_free(g->worker[i].scan);
	}
	scan_generation_free(g->scan);
	free(g);
}
