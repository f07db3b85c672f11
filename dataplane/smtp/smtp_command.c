/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_command.h"

#include "dataplane/smtp/smtp_path.h"
#include "postern/utf8.h"

static const struct {
	struct str name;
	enum smtp_verb verb;
} verbs[] = {
	{{(const uint8_t *)"HELO", 4}, VERB_HELO},
	{{(const uint8_t *)"EHLO", 4}, VERB_EHLO},
	{{(const uint8_t *)"MAIL", 4}, VERB_MAIL},
	{{(const uint8_t *)"RCPT", 4}, VERB_RCPT},
	{{(const uint8_t *)"DATA", 4}, VERB_DATA},
	{{(const uint8_t *)"BDAT", 4}, VERB_BDAT},
	{{(const uint8_t *)"RSET", 4}, VERB_RSET},
	{{(const uint8_t *)"NOOP", 4}, VERB_NOOP},
	{{(const uint8_t *)"QUIT", 4}, VERB_QUIT},
	{{(const uint8_t *)"VRFY", 4}, VERB_VRFY},
	{{(const uint8_t *)"HELP", 4}, VERB_HELP},
	{{(const uint8_t *)"XCLIENT", 7}, VERB_XCLIENT},
	{{(const uint8_t *)"STARTTLS", 8}, VERB_STARTTLS},
	/* Known, and not announced. */
	{{(const uint8_t *)"EXPN", 4}, VERB_NOT_OFFERED},
	{{(const uint8_t *)"ETRN", 4}, VERB_NOT_OFFERED},
	{{(const uint8_t *)"AUTH", 4}, VERB_NOT_OFFERED},
	{{(const uint8_t *)"TURN", 4}, VERB_NOT_OFFERED},
};

static enum smtp_verb find_verb(struct str name, struct str line)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (str_ieq(name, verbs[i].name))
			return verbs[i].verb;
	return smtp_foreign_line(line) ? VERB_FOREIGN : VERB_UNKNOWN;
}

static struct str skip_spaces(struct str s)
{
	while (s.n && s.p[0] == ' ')
		s = str_skip(s, 1);
	return s;
}

/*
 * RFC 5321 4.1.1.1 wants a domain or an address literal; 4.1.4 forbids refusing for a name that
 * does not verify, and clients send "localhost", "win_pc", "(none)" and bare addresses. What is
 * asked for here is what keeps the name usable: one word, printable, bounded.
 */
static enum smtp_say parse_helo(struct str arg)
{
	if (!arg.n)
		return SAY_NEED_ARGUMENT;
	if (arg.n > LIMIT_DOMAIN)
		return SAY_BAD_HELO;
	for (size_t i = 0; i < arg.n; i++)
		if (!ascii_is_vchar(arg.p[i]))
			return SAY_BAD_HELO;
	return SAY_NONE;
}

/* RFC 1870 3: 1*20DIGIT. What does not fit is over any limit, so that it saturates. */
static enum smtp_say parse_size(struct str v, struct smtp_mail *m)
{
	uint64_t size = 0;

	if (!v.n || v.n > 20)
		return SAY_BAD_PARAM;
	for (size_t i = 0; i < v.n; i++) {
		uint64_t digit;

		if (!ascii_is_digit(v.p[i]))
			return SAY_BAD_PARAM;
		digit = (uint64_t)(v.p[i] - '0');
		size = size > (UINT64_MAX - digit) / 10 ? UINT64_MAX : size * 10 + digit;
	}
	m->size = size;
	return SAY_NONE;
}

/* RFC 6152 2: BODY. BINARYMIME is not announced. */
static enum smtp_say parse_body(struct str v, struct smtp_mail *m)
{
	if (str_ieq(v, STR("8BITMIME")))
		m->body = BODY_8BITMIME;
	else if (str_ieq(v, STR("7BIT")))
		m->body = BODY_7BIT;
	else
		return SAY_BAD_PARAM;
	return SAY_NONE;
}

/* RFC 5321 4.1.2: esmtp-param = esmtp-keyword ["=" esmtp-value]. */
static bool param_grammar(struct str key, struct str value, bool has_value)
{
	if (!key.n || !ascii_is_alnum(key.p[0]) || (has_value && !value.n))
		return false;
	for (size_t i = 0; i < key.n; i++)
		if (!ascii_is_alnum(key.p[i]) && key.p[i] != '-')
			return false;
	for (size_t i = 0; i < value.n; i++)
		if (!ascii_is_vchar(value.p[i]) || value.p[i] == '=')
			return false;
	return true;
}

/* RFC 6531 3.4: no value, and like every parameter at most once. */
static enum smtp_say parse_smtputf8(bool has_value, bool *seen)
{
	if (has_value || *seen)
		return SAY_BAD_PARAM;
	*seen = true;
	return SAY_NONE;
}

/* rest: what follows the path. m == NULL: RCPT, where no parameter is known. */
static enum smtp_say parse_params(struct str rest, struct smtp_mail *m)
{
	bool seen_size = false, seen_body = false;

	if (rest.n && rest.p[0] != ' ')
		return SAY_BAD_PARAM;
	for (rest = skip_spaces(rest); rest.n; rest = skip_spaces(rest)) {
		struct str word = str_cut(rest, str_find(rest, ' '));
		size_t eq = str_find(word, '=');
		struct str key = str_cut(word, eq), value = str_skip(word, eq + 1);
		enum smtp_say fault = SAY_UNKNOWN_PARAM;

		rest = str_skip(rest, word.n);
		if (!param_grammar(key, value, eq < word.n))
			return SAY_BAD_PARAM;
		if (m && str_ieq(key, STR("SIZE")) && !seen_size) {
			seen_size = true;
			fault = parse_size(value, m);
		} else if (m && str_ieq(key, STR("BODY")) && !seen_body) {
			seen_body = true;
			fault = parse_body(value, m);
		} else if (m && str_ieq(key, STR("SMTPUTF8"))) {
			fault = parse_smtputf8(eq < word.n, &m->smtputf8);
		} else if (m && (str_ieq(key, STR("SIZE")) || str_ieq(key, STR("BODY")))) {
			fault = SAY_BAD_PARAM;
		}
		/* RFC 5321 4.1.1.11: a parameter that is not known is refused with 555. */
		if (fault)
			return fault;
	}
	return SAY_NONE;
}

static enum smtp_say path_fault(enum smtp_path_verdict v, bool sender)
{
	switch (v) {
	case SMTP_PATH_OK:
		return SAY_NONE;
	case SMTP_PATH_LONG:
		return sender ? SAY_SENDER_LONG : SAY_RCPT_LONG;
	case SMTP_PATH_NOT_UTF8:
		return SAY_NOT_ASCII;
	default:
		return sender ? SAY_BAD_SENDER : SAY_BAD_RCPT;
	}
}

static enum smtp_say parse_mail(struct str arg, struct smtp_command *out)
{
	struct smtp_path path;
	enum smtp_say fault;

	if (!str_istarts(arg, STR("FROM:")))
		return SAY_BAD_SENDER;
	/* RFC 5321 3.3 has no space here; enough clients send one. */
	arg = skip_spaces(str_skip(arg, 5));
	fault = path_fault(smtp_path_parse(arg, SMTP_PATH_REVERSE, &path), true);
	if (fault)
		return fault;
	/* RFC 5321 4.1.1.2, appendix C: a source route is accepted and ignored. */
	out->mail.reverse_path = path.mailbox;
	fault = parse_params(str_skip(arg, path.used), &out->mail);
	/* RFC 6531 3.1, 3.5 */
	return !fault && path.utf8 && !out->mail.smtputf8 ? SAY_NOT_ASCII : fault;
}

static enum smtp_say parse_rcpt(struct str arg, struct smtp_command *out)
{
	struct smtp_path path;
	enum smtp_say fault;

	if (!str_istarts(arg, STR("TO:")))
		return SAY_BAD_RCPT;
	arg = skip_spaces(str_skip(arg, 3));
	fault = path_fault(smtp_path_parse(arg, SMTP_PATH_FORWARD, &path), false);
	if (fault)
		return fault;
	/* RFC 5321 3.6.1: a route names a host to relay by; nobody is relayed for. */
	if (path.source_route)
		return SAY_SOURCE_ROUTE;
	out->rcpt = path.mailbox;
	out->rcpt_utf8 = path.utf8;
	return parse_params(str_skip(arg, path.used), NULL);
}

/* RFC 3030 2: chunk-size = 1*DIGIT, behind it nothing or LAST. */
static enum smtp_say parse_bdat(struct str arg, struct smtp_command *out)
{
	struct str size = str_cut(arg, str_find(arg, ' '));
	struct str rest = skip_spaces(str_skip(arg, size.n));

	if (!size.n)
		return SAY_BAD_CHUNK;
	for (size_t i = 0; i < size.n; i++) {
		uint64_t digit;

		if (!ascii_is_digit(size.p[i]))
			return SAY_BAD_CHUNK;
		digit = (uint64_t)(size.p[i] - '0');
		if (out->chunk > (UINT64_MAX - digit) / 10)
			return SAY_BAD_CHUNK;
		out->chunk = out->chunk * 10 + digit;
	}
	out->last = str_ieq(rest, STR("LAST"));
	return rest.n && !out->last ? SAY_BAD_CHUNK : SAY_NONE;
}

bool smtp_meant_bdat(struct str line)
{
	while (line.n && ascii_is_wsp(line.p[0]))
		line = str_skip(line, 1);
	return str_istarts(line, STR("BDAT")) && (line.n == 4 || !ascii_is_alnum(line.p[4]));
}

/* RFC 6531 3.7.4.2: SMTPUTF8 behind the string, which may then be UTF-8. */
static enum smtp_say parse_vrfy(struct str arg)
{
	static const struct str param = {(const uint8_t *)" SMTPUTF8", 9};
	bool utf8 = false;
	size_t sp;

	while (str_iends(arg, param)) {
		if (parse_smtputf8(false, &utf8))
			return SAY_BAD_PARAM;
		arg.n -= param.n;
		while (arg.n && arg.p[arg.n - 1] == ' ')
			arg.n--;
	}
	for (sp = arg.n; sp && arg.p[sp - 1] != ' '; sp--)
		continue;
	if (sp && str_istarts(str_skip(arg, sp), STR("SMTPUTF8=")))
		return SAY_BAD_PARAM;
	if (!arg.n)
		return SAY_NEED_ARGUMENT;
	for (size_t i = 0, n; i < arg.n; i += n) {
		n = arg.p[i] & 0x80 ? utf8_non_ascii(arg, i) : 1;
		if (!n || (n > 1 && !utf8))
			return SAY_NOT_ASCII;
	}
	return SAY_NONE;
}

static enum smtp_say check_octets(struct str line, enum smtp_verb verb)
{
	for (size_t i = 0; i < line.n; i++) {
		uint8_t c = line.p[i];

		if (c < 0x20 || c == 0x7f)
			return SAY_CONTROL_CHAR;
		/* MAIL and RCPT have a reply of their own for 8-bit addresses, HELO for names. */
		if (c >= 0x80 && verb == VERB_UNKNOWN)
			return SAY_UNKNOWN;
	}
	return SAY_NONE;
}

static enum smtp_say parse_args(struct str arg, struct smtp_command *out)
{
	switch (out->verb) {
	case VERB_HELO:
	case VERB_EHLO:
		out->arg = arg;
		return parse_helo(arg);
	case VERB_MAIL:
		return parse_mail(arg, out);
	case VERB_RCPT:
		return parse_rcpt(arg, out);
	case VERB_DATA:
	case VERB_RSET:
	case VERB_QUIT:
	case VERB_STARTTLS: /* RFC 3207 4: no parameters */
		return arg.n ? SAY_NO_ARGUMENT : SAY_NONE;
	case VERB_VRFY:
		return parse_vrfy(arg);
	case VERB_NOT_OFFERED:
		return SAY_NOT_IMPLEMENTED;
	case VERB_BDAT:
		return parse_bdat(arg, out);
	case VERB_XCLIENT: /* who may say it comes before how */
		out->arg = arg;
		return SAY_NONE;
	case VERB_NOOP:
	case VERB_HELP:
		return SAY_NONE;
	case VERB_FOREIGN:
		return SAY_FOREIGN;
	case VERB_UNKNOWN:
		break;
	}
	return SAY_UNKNOWN;
}

void smtp_command_parse(struct str line, struct smtp_command *out)
{
	struct str name, arg;

	*out = (struct smtp_command){.verb = VERB_UNKNOWN};
	/* RFC 5321 4.1.1: white space before CRLF is tolerated. */
	while (line.n && ascii_is_wsp(line.p[line.n - 1]))
		line.n--;
	name = str_cut(line, str_find(line, ' '));
	arg = skip_spaces(str_skip(line, name.n));
	out->verb = find_verb(name, line);
	out->fault = check_octets(line, out->verb);
	/* RFC 5321 4.5.3.1.4; only extensions of MAIL and RCPT make a line longer. */
	if (!out->fault && line.n + 2 > LIMIT_COMMAND_LINE && out->verb != VERB_MAIL &&
	    out->verb != VERB_RCPT && out->verb != VERB_FOREIGN)
		out->fault = SAY_LINE_TOO_LONG;
	if (!out->fault)
		out->fault = parse_args(arg, out);
}
