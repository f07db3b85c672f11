/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The two small grammars inside a line: a regular expression, and the condition of an `if`. */

#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_internal.h"
#include "postern/limits.h"

/* Whose rules we read: `if (version >= 3.004)` compares with this. */
#define LANGUAGE_VERSION 4.000000

static char closing(uint8_t open)
{
	switch (open) {
	case '{':
		return '}';
	case '(':
		return ')';
	case '[':
		return ']';
	case '<':
		return '>';
	default:
		return (char)open;
	}
}

static bool regex_flags(struct str flags, struct rule_source *src, const char **why)
{
	for (size_t i = 0; i < flags.n; i++)
		switch (flags.p[i]) {
		case 'i':
			src->caseless = true;
			break;
		case 'm':
			src->multiline = true;
			break;
		case 's':
			src->dotall = true;
			break;
		case 'x':
			src->extended = true;
			break;
		case 'a': /* ASCII classes: what ours are anyway */
		case 'o': /* compile once: as we do */
			break;
		default:
			*why = "unknown flag behind the pattern; known are i m s x (and a o)";
			return false;
		}
	return true;
}

/* Where the pattern ends: for bracket pairs and in a line with something behind, the first closing
 * delimiter that is not escaped; else the last one, so that a pattern may hold what it should not. */
static size_t pattern_end(struct str text, size_t head, uint8_t open, uint8_t close)
{
	size_t end;

	if (open != close) {
		for (end = text.n; end > head && text.p[end - 1] != close; end--)
			;
		return end > head ? end - 1 : text.n;
	}
	for (end = head; end < text.n; end++) {
		if (text.p[end] == '\\')
			end++;
		else if (text.p[end] == close)
			return end;
	}
	return text.n;
}

bool rules_regex(struct rules *r, struct str text, struct rule_source *src, struct str *rest,
		 const char **why)
{
	size_t head = 1, end, flags;
	uint8_t open, close;

	if (text.n > 1 && text.p[0] == 'm' && !ascii_is_alnum(text.p[1]) && text.p[1] > ' ')
		head = 2;
	else if (!text.n || text.p[0] != '/') {
		*why = "expected a pattern: /.../ or m{...} with flags";
		return false;
	}
	open = text.p[head - 1];
	close = (uint8_t)closing(open);
	/* [if-unset: ...] holds brackets, and is no part of the pattern. */
	if (rest) {
		size_t at = 0;

		for (size_t i = head; i + 10 < text.n; i++)
			if (memcmp(text.p + i, "[if-unset:", 10) == 0)
				at = i;
		*rest = at ? str_skip(text, at) : STR_NONE;
		text = at ? str_trim(str_cut(text, at)) : text;
	}
	end = pattern_end(text, head, open, close);
	if (end >= text.n) {
		*why = "the pattern has no end";
		return false;
	}
	for (flags = end + 1; flags < text.n && ascii_is_alpha(text.p[flags]); flags++)
		;
	if (flags < text.n) {
		*why = open == close ? "the delimiter stands unescaped inside the pattern"
				     : "something stands behind the pattern";
		return false;
	}
	if (!regex_flags(str_skip(text, end + 1), src, why))
		return false;
	if (end == head) {
		*why = "the pattern is empty";
		return false;
	}
	if (end - head > LIMIT_RULES_PATTERN) {
		*why = "the pattern is too long";
		return false;
	}
	src->pattern = rules_dup(r, str_make(text.p + head, end - head));
	return true;
}

/* ---- conditions ------------------------------------------------------------------------- */

/*
 * Plugins that a stock installation of SpamAssassin loads. Their blocks are read, so that the rules
 * in them, and the meta rules over these, are the ones that their authors meant to run together; the
 * eval tests among them are reported. Of the others the `else` branches count.
 */
bool rules_plugin(struct str name)
{
	static const char *const known[] = {"Check", "MIMEHeader", "ReplaceTags", "BodyEval", "DNSEval",
		"HTMLEval", "HeaderEval", "MIMEEval", "RelayEval", "URIEval", "URIDetail", "URIDNSBL",
		"WLBLEval", "VBounce", "ImageInfo", "FreeMail", "AskDNS", "SPF", "DKIM", "DMARC", "HashBL",
		"HTTPSMismatch", "Bayes", "Pyzor", "Razor2", "SpamCop", "AutoLearnThreshold",
		"WelcomeListSubject", "WhiteListSubject"};
	static const char prefix[] = "Mail::SpamAssassin::Plugin::";

	if (!str_istarts(name, str_c(prefix)))
		return false;
	name = str_skip(name, sizeof(prefix) - 1);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (str_eq(name, str_c(known[i])))
			return true;
	return false;
}

/* "Mail::SpamAssassin::Conf::feature_x", or a plugin's "...::has_x". */
static bool feature(struct str name)
{
	static const char *const known[] = {"feature_bug6558_free", "feature_welcomelist_blocklist",
		"compat_welcomelist_blocklist", "perl_min_version_5010000", "feature_capture_rules",
		"feature_yesno_takes_args", "feature_registryboundaries", "feature_edns",
		"feature_dns_block_rule", "feature_originating_ip_headers", "feature_bayes_stopwords",
		"feature_dns_local_ports_permit_avoid", "feature_uri_host_listed", "feature_get_host",
		"feature_blocklist_uri_host", "feature_bayes_auto_learn_on_error"};
	static const char conf[] = "Mail::SpamAssassin::Conf::";
	size_t last = name.n;

	if (str_istarts(name, str_c(conf))) {
		name = str_skip(name, sizeof(conf) - 1);
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (str_eq(name, str_c(known[i])))
				return true;
		return false;
	}
	while (last > 2 && !(name.p[last - 1] == ':' && name.p[last - 2] == ':'))
		last--;
	return last > 2 && rules_plugin(str_cut(name, last - 2));
}

struct cond {
	struct str s;
	unsigned int depth;
	bool bad;
};

static int cond_or(struct cond *c);

static bool take(struct cond *c, const char *token)
{
	c->s = str_trim(c->s);
	if (!str_istarts(c->s, str_c(token)))
		return false;
	c->s = str_skip(c->s, strlen(token));
	return true;
}

static struct str word(struct cond *c)
{
	size_t n = 0;
	struct str w;

	c->s = str_trim(c->s);
	while (n < c->s.n && (ascii_is_alnum(c->s.p[n]) || c->s.p[n] == '_' || c->s.p[n] == ':' ||
			      c->s.p[n] == '.'))
		n++;
	w = str_cut(c->s, n);
	c->s = str_skip(c->s, n);
	return w;
}

static bool number(struct str w, double *out)
{
	double v = 0, scale = 1;
	bool dot = false;

	if (!w.n || w.n > 32)
		return false;
	for (size_t i = 0; i < w.n; i++) {
		if (w.p[i] == '.' && !dot) {
			dot = true;
			continue;
		}
		if (!ascii_is_digit(w.p[i]))
			return false;
		if (dot)
			v += (w.p[i] - '0') * (scale /= 10);
		else
			v = v * 10 + (w.p[i] - '0');
	}
	*out = v;
	return true;
}

static int compare(struct cond *c, double left)
{
	static const char *const op[] = {">=", "<=", "==", "!=", ">", "<"};
	double right;

	for (size_t i = 0; i < sizeof(op) / sizeof(op[0]); i++) {
		if (!take(c, op[i]))
			continue;
		if (!number(word(c), &right))
			break;
		switch (i) {
		case 0:
			return left >= right;
		case 1:
			return left <= right;
		case 2:
			return !(left < right) && !(left > right);
		case 3:
			return left < right || left > right;
		case 4:
			return left > right;
		default:
			return left < right;
		}
	}
	c->bad = true;
	return -1;
}

static int cond_unary(struct cond *c)
{
	struct str w;
	int v;

	if (++c->depth > LIMIT_RULES_NESTING) {
		c->bad = true;
		return -1;
	}
	if (take(c, "!")) {
		v = cond_unary(c);
		v = v < 0 ? v : !v;
	} else if (take(c, "(")) {
		v = cond_or(c);
		c->bad |= !take(c, ")");
	} else {
		w = word(c);
		if (str_ieq(w, STR("version"))) {
			v = compare(c, LANGUAGE_VERSION);
		} else if (str_ieq(w, STR("plugin")) || str_ieq(w, STR("can")) ||
			   str_ieq(w, STR("has"))) {
			bool plugin = str_ieq(w, STR("plugin"));

			c->bad |= !take(c, "(");
			w = word(c);
			c->bad |= !w.n || !take(c, ")");
			v = plugin ? rules_plugin(w) : feature(w);
		} else if (str_ieq(w, STR("local_tests_only"))) {
			v = 0;
		} else {
			c->bad = true;
			v = -1;
		}
	}
	c->depth--;
	return v;
}

static int cond_and(struct cond *c)
{
	int v = cond_unary(c);

	while (!c->bad && take(c, "&&"))
		v &= cond_unary(c);
	return v;
}

static int cond_or(struct cond *c)
{
	int v = cond_and(c);

	while (!c->bad && take(c, "||"))
		v |= cond_and(c);
	return v;
}

int rules_condition(struct str expr, const char **why)
{
	struct cond c = {.s = expr};
	int v = cond_or(&c);

	if (c.bad || str_trim(c.s).n || v < 0) {
		*why = "the condition is not understood";
		return -1;
	}
	return v;
}
