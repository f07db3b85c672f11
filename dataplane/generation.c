/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/generation.h"

static int make_scan(const struct dp_push *push, struct generation *g, char *err, size_t err_len)
{
	if (!push->rules)
		return 0;
	return -scan_generation_new(push->rules, push->rules_len, (uint32_t)push->generation, &g->scan,
				    err, err_len);
}

static struct str tls_text(const struct handoff_tls *t, struct handoff_tls_ref r)
{
	return str_make((const uint8_t *)t + r.off, r.len);
}

static int make_tls(const struct dp_push *push, const struct generation_options *o,
		    struct generation *g, char *err, size_t err_len)
{
	struct tls_certificate cert[HANDOFF_MAX_CERTIFICATES];
	const struct handoff_tls *t = push->tls;
	struct tls_options opt;

	_Static_assert(HANDOFF_MAX_CERTIFICATES <= TLS_MAX_CERTIFICATES, "certificates");
	err[0] = '\0';
	if (!t)
		return 0;
	if (!o->tls) {
		snprintf(err, err_len, "certificates are not used: started with --max-tls=0");
		return 0;
	}
	for (uint32_t i = 0; i < t->n_certificates; i++)
		cert[i] = (struct tls_certificate){.chain = tls_text(t, t->certificate[i].chain),
						   .key = tls_text(t, t->certificate[i].key)};
	opt = (struct tls_options){
		.certificate = cert,
		.n_certificates = t->n_certificates,
		.min_version = t->min_version,
		.ciphers = tls_text(t, t->ciphers),
		.client_ca = tls_text(t, t->client_ca),
		.ask_client = t->ask_client,
		.tickets = o->tickets,
	};
	g->tls = tls_context_new(&opt, err, err_len);
	return g->tls ? 0 : EINVAL;
}

static int make_workers(struct generation *g, const struct generation_options *o, char *err,
			size_t err_len)
{
	for (unsigned int i = 0; i < o->n_workers; i++) {
		int error;

		g->worker[i].smtp = smtp_config_new(&g->config);
		if (!g->worker[i].smtp) {
			snprintf(err, err_len, "out of memory for reply texts");
			return ENOMEM;
		}
		if (g->tls)
			smtp_config_offer_tls(g->worker[i].smtp);
		if (!g->scan)
			continue;
		error = -scan_worker_new(g->scan, o->streams, o->counters[i], &g->worker[i].scan);
		if (error) {
			snprintf(err, err_len, "no memory for scratch or %u streams of worker %u",
				 o->streams, i);
			return error;
		}
		error = -scan_views_new(o->streams, o->counters[i], &g->worker[i].views);
		if (error) {
			snprintf(err, err_len, "no memory for views of %u messages of worker %u",
				 o->streams, i);
			return error;
		}
	}
	return 0;
}

int generation_new(const struct dp_push *push, const struct generation_options *opt,
		   struct generation **out, char *err, size_t err_len)
{
	struct generation *g = calloc(1, sizeof(*g));
	int error;

	if (!g) {
		snprintf(err, err_len, "out of memory");
		return ENOMEM;
	}
	g->serial = opt->serial;
	g->config = *push->config;
	g->n_workers = opt->n_workers;
	error = make_scan(push, g, err, err_len);
	if (!error)
		error = make_tls(push, opt, g, err, err_len);
	if (!error)
		error = make_workers(g, opt, err, err_len);
	if (error)
		generation_free(g);
	else
		*out = g;
	return error;
}

void generation_free(struct generation *g)
{
	if (!g)
		return;
	for (unsigned int i = 0; i < g->n_workers; i++) {
		smtp_config_free(g->worker[i].smtp);
		scan_worker_free(g->worker[i].scan);
		scan_views_free(g->worker[i].views);
	}
	scan_generation_free(g->scan);
	tls_context_unref(g->tls);
	free(g);
}
