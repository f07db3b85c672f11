/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Validates or seals message files against a table of keys:
 *   arc_tool [-p PIECE] [-n NOW] KEYS FILE...                      one JSON object for each
 *   arc_tool -s PEM:DOMAIN:SELECTOR:ID:RESULTS [...] KEYS FILE...  writes FILE.sealed
 * -p cuts the content into pieces of that many octets. */

#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "control/auth/arc/arc.h"
#include "control/auth/dkim/test_dns.h"

static struct {
	struct event_base *base;
	struct dns *dns;
	struct dkim_options opt;
	size_t piece;
	struct arc_key *key;
	struct arc_seal_request seal;
	const char *path;
	const struct mail_bytes *content;
} t = {.opt = {.now = 1700000000}};

static uint8_t *slurp(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	long size;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET))
		exit(2);
	data = malloc((size_t)size + 1);
	if (!data || fread(data, 1, (size_t)size, f) != (size_t)size)
		exit(2);
	fclose(f);
	*n = (size_t)size;
	return data;
}

static void print_results(const struct arc_results *r)
{
	char sealers[16384];
	json_t *o;

	if (arc_sealers(r, sealers, sizeof(sealers)) < 0)
		exit(2);
	o = json_pack("{s:s, s:s, s:i, s:b, s:i, s:s}", "result", arc_result_name(r->result),
		      "reason", r->reason, "sets", (int)r->n, "ended", r->ended, "oldest_pass",
		      (int)r->oldest_pass, "chain", sealers);
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
}

static void seal_start(char *spec)
{
	char err[128] = "", *part[5], *at = spec;
	size_t n;
	uint8_t *pem;

	for (size_t i = 0; i < 5; i++) {
		part[i] = i < 4 ? strsep(&at, ":") : at;
		if (!part[i])
			exit(2);
	}
	pem = slurp(part[0], &n);
	t.key = arc_key_new(str_make(pem, n), err, sizeof(err));
	free(pem);
	if (!t.key) {
		fprintf(stderr, "%s\n", err);
		exit(2);
	}
	t.seal = (struct arc_seal_request){.key = t.key,
					   .domain = part[1],
					   .selector = part[2],
					   .authserv_id = part[3],
					   .results = str_c(part[4])};
}

static void seal(const struct arc_results *r)
{
	static char set[1 << 17];
	char name[4096];
	FILE *f;
	long n;

	t.seal.now = t.opt.now;
	n = arc_seal(&t.seal, t.content, r, set, sizeof(set));
	if (n < 0) {
		fprintf(stderr, "arc_seal: %ld\n", n);
		exit(1);
	}
	snprintf(name, sizeof(name), "%s.sealed", t.path);
	f = fopen(name, "wb");
	if (!f)
		exit(2);
	fwrite(set, 1, (size_t)n, f);
	for (size_t i = 0; i < t.content->n_iov; i++)
		fwrite(t.content->iov[i].iov_base, 1, t.content->iov[i].iov_len, f);
	fclose(f);
}

static void on_results(void *arg, const struct arc_results *r)
{
	(void)arg;
	if (t.key)
		seal(r);
	else
		print_results(r);
}

static void run_file(const char *path)
{
	size_t n, n_iov = 0;
	uint8_t *data = slurp(path, &n);
	struct iovec *iov = calloc((t.piece ? n / t.piece : 0) + 2, sizeof(*iov));
	struct mail_bytes content = {iov, 0, n};
	struct arc_check *c;
	struct headers h;

	if (!iov)
		exit(2);
	for (size_t at = 0; at < n; at += iov[n_iov++].iov_len) {
		size_t k = t.piece && t.piece < n - at ? t.piece : n - at;

		iov[n_iov] = (struct iovec){data + at, k};
	}
	content.n_iov = n_iov;
	if (headers_parse(&h, &content))
		exit(2);
	t.path = path;
	t.content = &content;
	c = arc_verify(t.dns, t.base, &h, &content, &t.opt, on_results, NULL);
	if (!c)
		exit(2);
	event_base_dispatch(t.base);
	arc_check_free(c);
	headers_free(&h);
	free(iov);
	free(data);
}

int main(int argc, char **argv)
{
	int c;

	t.base = event_base_new();
	t.dns = test_dns_new(t.base);
	while ((c = getopt(argc, argv, "p:n:s:")) != -1) {
		if (c == 'p')
			t.piece = strtoul(optarg, NULL, 10);
		else if (c == 'n')
			t.opt.now = strtoll(optarg, NULL, 10);
		else if (c == 's')
			seal_start(optarg);
		else
			return 2;
	}
	if (optind >= argc || !test_dns_load(t.dns, argv[optind]))
		return 2;
	for (int i = optind + 1; i < argc; i++)
		run_file(argv[i]);
	arc_key_free(t.key);
	test_dns_free(t.dns);
	event_base_free(t.base);
	return 0;
}
