/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/sts/sts_policy.h"

#include <stdlib.h>
#include <string.h>

#include "postern/ascii.h"
#include "postern/limits.h"

const char *sts_mode_name(enum sts_mode m)
{
	static const char *const name[] = {"none", "testing", "enforce"};

	return name[m];
}

struct sts_policy *sts_policy_ref(struct sts_policy *p)
{
	if (p)
		p->refs++;
	return p;
}

void sts_policy_unref(struct sts_policy *p)
{
	if (p && --p->refs == 0)
		free(p);
}

/* ---- record ----------------------------------------------------------------------------------- */

/* What stands before the next ";", trimmed; *rest goes on behind it. */
static struct str field(struct str *rest)
{
	size_t n = str_find(*rest, ';');
	struct str f = str_trim(str_cut(*rest, n));

	*rest = str_skip(*rest, n < rest->n ? n + 1 : n);
	return f;
}

static bool is_id(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_alnum(s.p[i]))
			return false;
	return s.n > 0 && s.n < STS_ID;
}

static bool record(struct str text, char id[STS_ID], bool *valid)
{
	static const struct str version = STR("v=STSv1"), key = STR("id=");
	struct str v = field(&text);

	/* RFC 8461 3.1: what does not begin like this is no record of ours. */
	if (!str_eq(v, version))
		return false;
	*valid = false;
	while (text.n) {
		struct str f = field(&text), value = str_skip(f, key.n);

		if (!str_eq(str_cut(f, key.n), key))
			continue;
		if (*valid || !is_id(value)) {
			*valid = false;
			return true;
		}
		memcpy(id, value.p, value.n);
		id[value.n] = '\0';
		*valid = true;
	}
	return true;
}

bool sts_record_id(const struct dns_rr *rr, size_t n, char id[STS_ID])
{
	bool found = false, valid = false;

	for (size_t i = 0; i < n; i++) {
		uint8_t text[1024];
		long len = dns_txt(&rr[i], text, sizeof(text));

		if (len < 0 || !record(str_make(text, (size_t)len), id, &valid))
			continue;
		if (found)
			return false;
		found = true;
	}
	return found && valid;
}

/* ---- policy ----------------------------------------------------------------------------------- */

/* RFC 8461 3.2: CRLF; LF alone is common and harmless. */
static struct str next_line(struct str *text)
{
	size_t n = str_find(*text, '\n');
	struct str line = str_cut(*text, n);

	*text = str_skip(*text, n < text->n ? n + 1 : n);
	if (line.n && line.p[line.n - 1] == '\r')
		line = str_cut(line, line.n - 1);
	while (line.n && ascii_is_wsp(line.p[line.n - 1]))
		line = str_cut(line, line.n - 1);
	return line;
}

/* A host name of letters, digits and hyphens, at least two labels, or "*." in front of one. */
static bool is_pattern(struct str s)
{
	size_t label = 0, labels = 1;

	if (s.n > 2 && s.p[0] == '*' && s.p[1] == '.')
		s = str_skip(s, 2);
	if (!s.n || s.n > LIMIT_DNS_NAME)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '.') {
			if (!label)
				return false;
			label = 0;
			labels++;
		} else if (!(ascii_is_alnum(s.p[i]) || s.p[i] == '-' || s.p[i] == '_') || ++label > 63) {
			return false;
		}
	}
	return label && labels > 1;
}

static bool number(struct str s, uint32_t *out)
{
	uint64_t v = 0;

	if (!s.n || s.n > 10)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_is_digit(s.p[i]))
			return false;
		v = v * 10 + (s.p[i] - '0');
	}
	*out = v > LIMIT_STS_MAX_AGE_S ? LIMIT_STS_MAX_AGE_S : (uint32_t)v;
	return true;
}

struct draft {
	struct sts_policy *p;
	size_t used;
	bool version, mode, max_age;
	const char *why;
};

static void take_mx(struct draft *d, struct str value)
{
	if (!is_pattern(value)) {
		d->why = "a pattern of mx is no host name";
		return;
	}
	if (d->p->n_mx == LIMIT_STS_MX) {
		d->why = "too many patterns of mx";
		return;
	}
	for (size_t i = 0; i < value.n; i++)
		d->p->mx[d->used++] = (char)ascii_lower(value.p[i]);
	d->p->mx[d->used++] = '\0';
	d->p->n_mx++;
}

static void take_mode(struct draft *d, struct str value)
{
	d->mode = true;
	for (int m = STS_NONE; m <= STS_ENFORCE; m++)
		if (str_eq(value, str_c(sts_mode_name((enum sts_mode)m)))) {
			d->p->mode = (enum sts_mode)m;
			return;
		}
	d->why = "mode is none of enforce, testing, none";
}

/* RFC 8461 3.2: of what stands twice, mx apart, the first counts; what is not known is passed over. */
static void take(struct draft *d, struct str line)
{
	size_t colon = str_find(line, ':');
	struct str key = str_cut(line, colon), value = str_trim(str_skip(line, colon + 1));

	if (!line.n)
		return;
	if (colon == line.n || !key.n) {
		d->why = "a line without key and colon";
		return;
	}
	if (str_eq(key, STR("version")) && !d->version) {
		d->version = true;
		if (!str_eq(value, STR("STSv1")))
			d->why = "version is not STSv1";
	} else if (str_eq(key, STR("mode")) && !d->mode) {
		take_mode(d, value);
	} else if (str_eq(key, STR("max_age")) && !d->max_age) {
		d->max_age = true;
		if (!number(value, &d->p->max_age))
			d->why = "max_age is no number of seconds";
	} else if (str_eq(key, STR("mx"))) {
		take_mx(d, value);
	}
}

struct sts_policy *sts_policy_parse(struct str text, const char **why)
{
	struct draft d = {0};

	*why = "larger than any policy";
	if (text.n > LIMIT_STS_POLICY)
		return NULL;
	/* A pattern with its NUL is shorter than its line with "mx:" and the line end, but the last. */
	d.p = calloc(1, sizeof(*d.p) + text.n + 1);
	*why = "out of memory";
	if (!d.p)
		return NULL;
	d.p->refs = 1;
	while (text.n && !d.why)
		take(&d, next_line(&text));
	if (!d.why && !d.version)
		d.why = "no version";
	else if (!d.why && !d.mode)
		d.why = "no mode";
	else if (!d.why && !d.max_age)
		d.why = "no max_age";
	else if (!d.why && !d.p->n_mx && d.p->mode != STS_NONE)
		d.why = "no mx";
	if (d.why) {
		*why = d.why;
		free(d.p);
		return NULL;
	}
	return d.p;
}

bool sts_policy_allows(const struct sts_policy *p, struct str host)
{
	const char *at = p->mx;

	if (host.n && host.p[host.n - 1] == '.')
		host = str_cut(host, host.n - 1);
	for (size_t i = 0; i < p->n_mx; i++, at += strlen(at) + 1) {
		struct str pattern = str_c(at);
		size_t label = str_find(host, '.');

		if (str_ieq(pattern, host))
			return true;
		if (pattern.p[0] == '*' && label && label < host.n &&
		    str_ieq(str_skip(pattern, 1), str_skip(host, label)))
			return true;
	}
	return false;
}
