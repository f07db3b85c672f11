/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/dns/dns_zone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Master files (RFC 1035 5.1, RFC 2308 4 for $TTL). $INCLUDE is refused: a zone file given to a
 * mail gateway opens no other files.
 */

#define MAX_TOKENS  512
#define MAX_FILE    (64u << 20)
#define DEFAULT_TTL 3600

struct parser {
	struct dns_zone *z;
	struct str in;
	size_t at;
	unsigned int line, start_line;
	const char *why;
	struct dns_wire_name origin, owner;
	bool has_owner;
	uint32_t ttl;
	struct dns_token tok[MAX_TOKENS];
	size_t n_tok;
	bool blank_start; /* the entry starts with white space: same owner as before */
	uint8_t rdata[UINT16_MAX];
};

static int fail(struct parser *p, const char *why)
{
	p->why = why;
	return -EINVAL;
}

static int quoted(struct parser *p)
{
	size_t start = ++p->at;

	for (; p->at < p->in.n && p->in.p[p->at] != '"'; p->at++) {
		if (p->in.p[p->at] == '\n')
			return fail(p, "quoted string does not end on its line");
		if (p->in.p[p->at] == '\\' && p->at + 1 < p->in.n && p->in.p[p->at + 1] != '\n')
			p->at++;
	}
	if (p->at >= p->in.n)
		return fail(p, "quoted string does not end");
	p->tok[p->n_tok++] = (struct dns_token){str_make(p->in.p + start, p->at - start), true};
	p->at++;
	return 0;
}

static void word(struct parser *p)
{
	size_t start = p->at;

	for (; p->at < p->in.n; p->at++) {
		uint8_t c = p->in.p[p->at];

		if (ascii_is_wsp_crlf(c) || c == ';' || c == '(' || c == ')' || c == '"')
			break;
		if (c == '\\' && p->at + 1 < p->in.n && p->in.p[p->at + 1] != '\n')
			p->at++;
	}
	p->tok[p->n_tok++] = (struct dns_token){str_make(p->in.p + start, p->at - start), false};
}

/* Next entry: tokens up to a line end outside parentheses. 1: there is one, 0: end of file. */
static int entry(struct parser *p)
{
	unsigned int depth = 0;

	p->n_tok = 0;
	p->start_line = p->line;
	p->blank_start = p->at < p->in.n && ascii_is_wsp(p->in.p[p->at]);
	while (p->at < p->in.n) {
		uint8_t c = p->in.p[p->at];
		int rc = 0;

		if (p->n_tok == MAX_TOKENS)
			return fail(p, "too many items in one record");
		if (c == '\n') {
			p->at++;
			p->line++;
			if (depth)
				continue;
			if (p->n_tok)
				return 1;
			p->start_line = p->line;
			p->blank_start = p->at < p->in.n && ascii_is_wsp(p->in.p[p->at]);
		} else if (ascii_is_wsp_crlf(c)) {
			p->at++;
		} else if (c == ';') {
			while (p->at < p->in.n && p->in.p[p->at] != '\n')
				p->at++;
		} else if (c == '(') {
			if (depth++)
				return fail(p, "nested parenthesis");
			p->at++;
		} else if (c == ')') {
			if (depth-- == 0)
				return fail(p, "closing parenthesis without an opening one");
			p->at++;
		} else if (c == '"') {
			rc = quoted(p);
		} else {
			word(p);
		}
		if (rc)
			return rc;
	}
	if (depth)
		return fail(p, "parenthesis is not closed");
	return p->n_tok ? 1 : 0;
}

/* "3600" or BIND's "1h30m". */
static bool parse_ttl(struct str s, uint32_t *out)
{
	uint64_t total = 0, v = 0;
	bool digits = false;

	if (s.n == 0 || !ascii_is_digit(s.p[0]))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint64_t unit;

		if (ascii_is_digit(s.p[i])) {
			v = v * 10 + (s.p[i] - '0');
			digits = true;
			if (v > UINT32_MAX)
				return false;
			continue;
		}
		switch (ascii_lower(s.p[i])) {
		case 's':
			unit = 1;
			break;
		case 'm':
			unit = 60;
			break;
		case 'h':
			unit = 3600;
			break;
		case 'd':
			unit = 86400;
			break;
		case 'w':
			unit = 604800;
			break;
		default:
			return false;
		}
		if (!digits)
			return false;
		total += v * unit;
		v = 0;
		digits = false;
	}
	total += v;
	if (total > INT32_MAX) /* RFC 2181 8 */
		return false;
	*out = (uint32_t)total;
	return true;
}

static int directive(struct parser *p)
{
	struct str name = p->tok[0].raw;

	if (str_ieq(name, STR("$ORIGIN"))) {
		struct dns_wire_name w;

		if (p->n_tok != 2 || dns_zone_name(p->tok[1].raw, &p->origin, &w))
			return fail(p, "$ORIGIN wants one domain name");
		p->origin = w;
		return 0;
	}
	if (str_ieq(name, STR("$TTL"))) {
		if (p->n_tok != 2 || !parse_ttl(p->tok[1].raw, &p->ttl))
			return fail(p, "$TTL wants one time");
		return 0;
	}
	return fail(p, "directive is not supported");
}

static int record(struct parser *p)
{
	size_t i = 0;
	uint32_t ttl = p->ttl;
	bool has_ttl = false, has_class = false;
	uint16_t type;
	long n;

	if (!p->blank_start) {
		if (p->tok[0].quoted || dns_zone_name(p->tok[0].raw, &p->origin, &p->owner))
			return fail(p, "malformed owner name");
		p->has_owner = true;
		i = 1;
	} else if (!p->has_owner) {
		return fail(p, "the first record has no owner name");
	}
	for (; i < p->n_tok; i++) {
		if (!has_ttl && parse_ttl(p->tok[i].raw, &ttl)) {
			has_ttl = true;
		} else if (!has_class && str_ieq(p->tok[i].raw, STR("IN"))) {
			has_class = true;
		} else {
			break;
		}
	}
	if (i == p->n_tok)
		return fail(p, "record type missing");
	type = p->tok[i].quoted ? 0 : dns_zone_type(p->tok[i].raw);
	if (type == 0)
		return fail(p, "unknown record type or class");
	i++;
	n = dns_zone_rdata(type, p->tok + i, p->n_tok - i, &p->origin, p->rdata, sizeof(p->rdata),
			   &p->why);
	if (n < 0)
		return (int)n;
	switch (dns_zone_add(p->z, &p->owner, type, ttl, p->rdata, (size_t)n)) {
	case 0:
		return 0;
	case -ENOMEM:
		return -ENOMEM;
	default:
		return fail(p, "record refused: CNAME beside other data, or malformed");
	}
}

int dns_zone_parse(struct dns_zone *z, const uint8_t *text, size_t n, const char *name, char *err,
		   size_t err_len)
{
	struct parser *p = calloc(1, sizeof(*p));
	int rc;

	if (!p) {
		snprintf(err, err_len, "%s: out of memory", name);
		return -ENOMEM;
	}
	p->z = z;
	p->in = str_make(text, n);
	p->line = 1;
	p->ttl = DEFAULT_TTL;
	p->origin.len = 1; /* the root */
	p->why = "out of memory";
	while ((rc = entry(p)) == 1) {
		if (!p->tok[0].quoted && p->tok[0].raw.n && p->tok[0].raw.p[0] == '$')
			rc = directive(p);
		else
			rc = record(p);
		if (rc)
			break;
	}
	if (rc)
		snprintf(err, err_len, "%s:%u: %s", name, p->start_line, p->why);
	free(p);
	return rc;
}

int dns_zone_load(struct dns_zone *z, const char *path, char *err, size_t err_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
	uint8_t *text = NULL;
	size_t have = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		rc = -errno;
		goto out;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > MAX_FILE) {
		rc = -EFBIG;
		goto out;
	}
	text = malloc((size_t)st.st_size + 1);
	if (!text) {
		rc = -ENOMEM;
		goto out;
	}
	while (have < (size_t)st.st_size) {
		ssize_t k = read(fd, text + have, (size_t)st.st_size - have);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			break;
		have += (size_t)k;
	}
	rc = dns_zone_parse(z, text, have, path, err, err_len);
	free(text);
	close(fd);
	return rc;
out:
	snprintf(err, err_len, "%s: %s", path,
		 rc == -EFBIG ? "not a file of sane size" : strerror(-rc));
	free(text);
	if (fd >= 0)
		close(fd);
	return rc;
}
