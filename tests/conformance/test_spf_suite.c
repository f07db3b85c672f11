/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The public RFC 7208 suite through the real path: records in memory, the checks, libspf2 in its
 * jail. Usage: spf-suite [--cases N] [--twice] FILE.yml. With N, another number of cases is a
 * failure too. --twice asks each case twice and with the result cache, which must change nothing.
 * Exit 77 without data.
 */

#include <event2/event.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "control/auth/spf/spf.h"
#include "control/dns/dns_zone.h"

#define WORDS 64

static struct {
	struct event_base *base;
	struct dns_zone *zone;
	struct dns *dns;
	struct spf_jail *jail;
	unsigned int cases, failed;
	uint64_t hits;
	bool done, twice;
	struct spf_verdict verdict;
} s;

static struct str unhex(char *word)
{
	size_t n = 0;

	if (!strcmp(word, "-") || !strcmp(word, "none"))
		return str_make(word, 0);
	for (; word[2 * n] && word[2 * n + 1]; n++)
		word[n] = (char)(ascii_hex((uint8_t)word[2 * n]) << 4 |
				 ascii_hex((uint8_t)word[2 * n + 1]));
	return str_make(word, n);
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "spf-suite: %s\n", what);
	exit(1);
}

static void add_rr(char **w, size_t n)
{
	struct dns_wire_name owner, target;
	uint16_t type = dns_zone_type(str_c(w[2]));
	uint8_t rdata[65535];
	struct ip_addr ip;
	size_t len = 0;

	must(dns_wire_from_text(unhex(w[1]), &owner) == 0, "owner name");
	switch (type) {
	case DNS_TXT:
	case DNS_SPF:
		for (size_t i = 3; i < n && strcmp(w[i], "none"); i++) {
			struct str t = unhex(w[i]);

			do {
				struct str part = str_cut(t, 255);

				rdata[len++] = (uint8_t)part.n;
				memcpy(rdata + len, part.p, part.n);
				len += part.n;
				t = str_skip(t, part.n);
			} while (t.n);
		}
		break;
	case DNS_A:
	case DNS_AAAA:
		must(ip_parse(str_c(w[3]), &ip), "address");
		len = type == DNS_A ? 4 : 16;
		memcpy(rdata, ip.a + (type == DNS_A ? 12 : 0), len);
		break;
	case DNS_MX:
		rdata[0] = 0;
		rdata[1] = (uint8_t)atoi(w[3]);
		len = 2;
		/* fall through */
	default:
		must(dns_wire_from_text(unhex(w[n - 1]), &target) == 0, "target name");
		memcpy(rdata + len, target.b, target.len);
		len += target.len;
	}
	must(dns_zone_add(s.zone, &owner, type, 300, rdata, len) == 0, "record refused");
}

static void on_verdict(void *arg, const struct spf_verdict *v)
{
	(void)arg;
	s.verdict = *v;
	s.done = true;
	event_base_loopbreak(s.base);
}

static bool expected(char *results)
{
	for (char *p = strtok(results, ","); p; p = strtok(NULL, ","))
		if (!strcmp(p, spf_result_name(s.verdict.result)))
			return true;
	return false;
}

static bool explained(struct str want)
{
	const char *got = s.verdict.explanation;

	if (want.n == 0 || s.verdict.result != SPF_FAIL)
		return true;
	if (str_eq(want, STR("DEFAULT")))
		return got[0] == '\0';
	return str_eq(want, str_c(got));
}

static void run_case(char **w)
{
	struct spf_request req = {.hostname = STR("receiver.example.net"), .now = 1700000000};
	char results[128];
	struct str explanation;

	if (!s.jail) {
		char err[256];

		s.dns = dns_new_memory(s.base, s.zone, 0);
		must(s.dns != NULL, "dns");
		s.jail = spf_jail_new(
			s.base, s.dns,
			&(struct spf_options){.n_workers = 1, .no_cache = !s.twice}, err,
			sizeof(err));
		must(s.jail != NULL, "jail");
	}
	must(ip_parse(str_c(w[2]), &req.ip), "host");
	req.helo = unhex(w[3]);
	req.mail_from = unhex(w[4]);
	snprintf(results, sizeof(results), "%s", w[5]);
	explanation = unhex(w[6]);
	for (int i = 0; i <= s.twice; i++) {
		s.done = false;
		must(spf_check(s.jail, &req, on_verdict, NULL) != NULL, "check");
		while (!s.done && event_base_loop(s.base, EVLOOP_ONCE) == 0)
			;
	}
	s.cases++;
	if (expected(results) && explained(explanation))
		return;
	s.failed++;
	fprintf(stderr, "FAILED %s: want %s \"%.*s\", got %s \"%s\" (%s; %s)\n", w[1], w[5],
	       STR_FMT(explanation), spf_result_name(s.verdict.result), s.verdict.explanation,
	       s.verdict.mechanism, s.verdict.reason);
}

static void scenario(void)
{
	struct spf_stats stats;

	if (s.jail) {
		spf_jail_stats(s.jail, &stats);
		s.hits += stats.cache_hits;
	}
	spf_jail_free(s.jail);
	s.jail = NULL;
	if (s.dns)
		dns_free(s.dns);
	else
		dns_zone_free(s.zone);
	s.dns = NULL;
	s.zone = dns_zone_new();
	must(s.zone != NULL, "zone");
}

static void line(char *text)
{
	char *w[WORDS];
	size_t n = 0;

	for (char *p = strtok(text, " \n"); p && n < WORDS; p = strtok(NULL, " \n"))
		w[n++] = p;
	if (n >= 2 && !strcmp(w[0], "scenario")) {
		scenario();
	} else if (n >= 4 && !strcmp(w[0], "rr")) {
		add_rr(w, n);
	} else if (n == 2 && !strcmp(w[0], "timeout")) {
		struct dns_wire_name owner;

		must(dns_wire_from_text(unhex(w[1]), &owner) == 0, "owner name");
		must(dns_zone_add_timeout(s.zone, &owner) == 0, "timeout");
	} else if (n == 7 && !strcmp(w[0], "test")) {
		run_case(w);
	} else {
		must(false, "unknown line");
	}
}

int main(int argc, char **argv)
{
	const char *dir = getenv("POSTERN_CONFORMANCE"), *name;
	static const struct option options[] = {
		{"cases", required_argument, NULL, 'c'}, {"twice", no_argument, NULL, 't'}, {0}};
	unsigned long want = 0;
	int c;
	char path[4096], cmd[12288], *text = NULL;
	size_t cap = 0;
	FILE *f;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (c == 'c')
			want = strtoul(optarg, NULL, 10);
		else if (c == 't')
			s.twice = true;
		else
			return 2;
	if (optind != argc - 1)
		return 2;
	name = strrchr(argv[argc - 1], '/');
	if (dir)
		snprintf(path, sizeof(path), "%s/spf/%s", dir, name ? name + 1 : argv[argc - 1]);
	else
		snprintf(path, sizeof(path), "%s", argv[argc - 1]);
	if (access(path, R_OK) != 0) {
		printf("no suite at %s\n", path);
		return 77;
	}
	s.base = event_base_new();
	must(s.base != NULL, "event base");
	snprintf(cmd, sizeof(cmd), "'%s' '%s' '%s'", SPF_SUITE_PYTHON, SPF_SUITE_SCRIPT, path);
	f = popen(cmd, "re");
	must(f != NULL, "script");
	while (getline(&text, &cap, f) > 0)
		line(text);
	free(text);
	must(pclose(f) == 0, "the script failed (python3-yaml?)");
	scenario();
	dns_zone_free(s.zone);
	event_base_free(s.base);
	printf("spf: %u passed, %u failed\n", s.cases - s.failed, s.failed);
	if (s.twice && s.hits == 0)
		return 1;
	return s.failed == 0 && s.cases && (!want || s.cases == want) ? 0 : 1;
}
