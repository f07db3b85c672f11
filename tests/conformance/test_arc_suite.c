/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The public ARC suites through the real path: arc-suite [--sign] FILE. Exit 77 without data.
 * POSTERN_CONFORMANCE names another directory for FILE.
 */

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "control/auth/arc/arc.h"
#include "control/auth/dkim/test_dns.h"

#define WORDS 16
#define NOW   1700000000

static struct {
	struct event_base *base;
	struct dns *dns;
	bool sign;
	unsigned int passed, failed;
	const struct arc_results *results;
} s;

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "arc-suite: %s\n", what);
	exit(1);
}

/* In place, with a NUL behind it. */
static struct str unhex(char *word)
{
	size_t n = 0;

	if (strcmp(word, "-") != 0)
		for (; word[2 * n] && word[2 * n + 1]; n++)
			word[n] = (char)(ascii_hex((uint8_t)word[2 * n]) << 4 |
					 ascii_hex((uint8_t)word[2 * n + 1]));
	word[n] = '\0';
	return str_make(word, n);
}

static void on_results(void *arg, const struct arc_results *r)
{
	(void)arg;
	s.results = r;
}

static struct arc_check *validate(const struct headers *h, const struct mail_bytes *content)
{
	const struct dkim_options opt = {.now = NOW};
	struct arc_check *c;

	s.results = NULL;
	c = arc_verify(s.dns, s.base, h, content, &opt, on_results, NULL);
	must(c != NULL, "verify");
	event_base_dispatch(s.base);
	must(s.results != NULL && test_dns_open(s.dns) == 0, "no result");
	return c;
}

static void judge(bool ok, const char *name, const char *more, struct str got)
{
	if (ok) {
		s.passed++;
		return;
	}
	s.failed++;
	printf("FAILED %s: %s: %.*s (%s; %s)\n", name, more, STR_FMT(got),
	       arc_result_name(s.results->result), s.results->reason);
}

static void run_test(char **w)
{
	struct str m = unhex(w[3]);
	struct iovec iov = {(void *)(uintptr_t)m.p, m.n};
	struct mail_bytes content = {&iov, 1, m.n};
	struct arc_check *c;
	struct headers h;
	bool ok;

	must(headers_parse(&h, &content) == 0, "headers");
	c = validate(&h, &content);
	if (!strcmp(w[2], "ended"))
		ok = s.results->result == ARC_FAIL && strstr(s.results->reason, "cv=fail");
	else
		ok = !strcmp(w[2], arc_result_name(s.results->result));
	ok = ok && (s.results->result != ARC_FAIL || s.results->reason[0]);
	judge(ok, w[1], w[2], STR("other result"));
	arc_check_free(c);
	headers_free(&h);
}

/* The value of that field of the set, without white space; `spaces`: runs become one. */
static struct str squeeze(struct str v, bool spaces, char *out)
{
	bool gap = false;
	size_t n = 0;

	v = str_trim(v);
	for (size_t i = 0; i < v.n; i++) {
		if (ascii_is_wsp_crlf(v.p[i])) {
			gap = spaces;
			continue;
		}
		if (gap)
			out[n++] = ' ';
		gap = false;
		out[n++] = (char)v.p[i];
	}
	return str_make(out, n);
}

static bool field_is(const struct headers *set, const char *name, struct str want, bool spaces)
{
	static char a[65536], b[65536];
	size_t f = headers_find(set, str_c(name), 0);

	if (want.n == 0)
		return f == set->n;
	return f < set->n &&
	       str_eq(squeeze(header_value(set, f), spaces, a), squeeze(want, spaces, b));
}

static void run_sign(char **w)
{
	static char set[65536];
	char err[128] = "";
	struct str m = unhex(w[2]);
	struct iovec iov = {(void *)(uintptr_t)m.p, m.n}, out;
	struct mail_bytes content = {&iov, 1, m.n}, made = {&out, 1, 0};
	struct arc_key *key = arc_key_new(unhex(w[3]), err, sizeof(err));
	struct arc_seal_request req = {
		.key = key,
		.domain = (const char *)unhex(w[4]).p,
		.selector = (const char *)unhex(w[5]).p,
		.authserv_id = (const char *)unhex(w[6]).p,
		.now = atoll(w[7]),
		.names = (const char *)unhex(w[8]).p,
		.results = unhex(w[9]),
		.b_line = 900,
	};
	struct arc_check *c;
	struct headers h;
	bool ok;
	long n;

	must(key != NULL, err);
	must(headers_parse(&h, &content) == 0, "headers");
	c = validate(&h, &content);
	n = arc_seal(&req, &content, s.results, set, sizeof(set));
	headers_free(&h);
	out = (struct iovec){set, n < 0 ? 0 : (size_t)n};
	made.size = out.iov_len;
	must(headers_parse(&h, &made) == 0, "headers of the set");
	ok = n >= 0 && field_is(&h, "ARC-Seal", unhex(w[10]), false) &&
	     field_is(&h, "ARC-Message-Signature", unhex(w[11]), false) &&
	     field_is(&h, "ARC-Authentication-Results", unhex(w[12]), true) && h.n == (n ? 3u : 0u);
	judge(ok, w[1], "sealed", str_make(set, out.iov_len));
	headers_free(&h);
	arc_check_free(c);
	arc_key_free(key);
}

static void line(char *text)
{
	char *w[WORDS];
	size_t n = 0;

	for (char *p = strtok(text, " \n"); p && n < WORDS; p = strtok(NULL, " \n"))
		w[n++] = p;
	if (n == 1 && !strcmp(w[0], "scenario")) {
		if (s.dns)
			test_dns_free(s.dns);
		s.dns = test_dns_new(s.base);
	} else if (n == 3 && !strcmp(w[0], "txt")) {
		unhex(w[1]);
		unhex(w[2]);
		test_dns_txt(s.dns, w[1], w[2]);
	} else if (n == 4 && !strcmp(w[0], "test") && !s.sign) {
		run_test(w);
	} else if (n == 13 && !strcmp(w[0], "sign") && s.sign) {
		run_sign(w);
	} else {
		must(false, "unknown line");
	}
}

int main(int argc, char **argv)
{
	const char *dir = getenv("POSTERN_CONFORMANCE"), *name;
	char path[4096], cmd[12288], *text = NULL;
	unsigned int cases;
	size_t cap = 0;
	FILE *f;

	s.sign = argc == 3 && !strcmp(argv[1], "--sign");
	if (argc != 2 && !s.sign)
		return 2;
	cases = s.sign ? 17 : 171;
	name = strrchr(argv[argc - 1], '/');
	if (dir)
		snprintf(path, sizeof(path), "%s/arc/%s", dir, name ? name + 1 : argv[argc - 1]);
	else
		snprintf(path, sizeof(path), "%s", argv[argc - 1]);
	if (access(path, R_OK) != 0) {
		printf("no suite at %s\n", path);
		return 77;
	}
	s.base = event_base_new();
	must(s.base != NULL, "event base");
	snprintf(cmd, sizeof(cmd), "'%s' '%s' '%s'", ARC_SUITE_PYTHON, ARC_SUITE_SCRIPT, path);
	f = popen(cmd, "re");
	must(f != NULL, "script");
	while (getline(&text, &cap, f) > 0)
		line(text);
	free(text);
	must(pclose(f) == 0, "the script failed (python3-yaml?)");
	if (s.dns)
		test_dns_free(s.dns);
	event_base_free(s.base);
	printf("arc: %u passed, %u failed\n", s.passed, s.failed);
	return s.passed == cases && s.failed == 0 ? 0 : 1;
}
