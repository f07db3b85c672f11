/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Verifies message files against a table of keys and prints a JSON array of signatures for each:
 *   dkim_tool [-p PIECE] [-n NOW] KEYS FILE...
 * -p cuts the content into pieces of that many octets. */

#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "control/auth/dkim/dkim.h"
#include "control/auth/dkim/test_dns.h"

static void print_results(void *arg, const struct dkim_results *r)
{
	json_t *list = json_array();

	(void)arg;
	for (size_t i = 0; i < r->n; i++) {
		const struct dkim_signature *s = &r->sig[i];

		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s, s:s, s:i, s:b}", "result",
						dkim_result_name(s->result), "reason", s->reason,
						"domain", s->domain, "algorithm", s->algorithm,
						"bits", (int)s->key_bits, "testing", s->testing));
	}
	json_dumpf(list, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(list);
}

static uint8_t *slurp(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	size_t cap = 1 << 16, k;
	uint8_t *data = malloc(cap);

	*n = 0;
	if (!f || !data)
		exit(2);
	while ((k = fread(data + *n, 1, cap - *n, f)) > 0) {
		*n += k;
		if (*n == cap) {
			data = realloc(data, cap *= 2);
			if (!data)
				exit(2);
		}
	}
	fclose(f);
	return data;
}

static void verify_file(struct event_base *base, struct dns *dns, const char *path, size_t piece,
			const struct dkim_options *opt)
{
	size_t n, n_iov = 0;
	uint8_t *data = slurp(path, &n);
	struct iovec *iov = calloc((piece ? n / piece : 0) + 2, sizeof(*iov));
	struct mail_bytes content = {iov, 0, n};
	struct headers h;
	struct dkim_check *c;

	if (!iov)
		exit(2);
	for (size_t at = 0; at < n; at += iov[n_iov++].iov_len) {
		size_t k = piece && piece < n - at ? piece : n - at;

		iov[n_iov] = (struct iovec){data + at, k};
	}
	content.n_iov = n_iov;
	if (headers_parse(&h, &content))
		exit(2);
	c = dkim_verify(dns, base, &h, &content, opt, print_results, NULL);
	if (!c)
		exit(2);
	event_base_dispatch(base);
	dkim_check_free(c);
	headers_free(&h);
	free(iov);
	free(data);
}

int main(int argc, char **argv)
{
	struct event_base *base = event_base_new();
	struct dkim_options opt = {.now = 1700000000};
	struct dns *dns = test_dns_new(base);
	size_t piece = 0;
	int c;

	while ((c = getopt(argc, argv, "p:n:")) != -1) {
		if (c == 'p')
			piece = strtoul(optarg, NULL, 10);
		else if (c == 'n')
			opt.now = strtoll(optarg, NULL, 10);
		else
			return 2;
	}
	if (optind >= argc || !test_dns_load(dns, argv[optind]))
		return 2;
	for (int i = optind + 1; i < argc; i++)
		verify_file(base, dns, argv[i], piece, &opt);
	test_dns_free(dns);
	event_base_free(base);
	return 0;
}
