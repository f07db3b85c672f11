/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/deliver/reply.h"

void reply_reset(struct reply_parser *p)
{
	p->code = 0;
	p->enh_class = 0;
	p->enh_subject = p->enh_detail = 0;
	p->text_len = 0;
	p->lines = 0;
	p->line_len = 0;
}

/* 1..3 digits; octets taken or 0. */
static size_t number(struct str s, uint16_t *out)
{
	size_t n = 0;
	uint16_t v = 0;

	while (n < s.n && ascii_is_digit(s.p[n])) {
		if (n == 3)
			return 0;
		v = (uint16_t)(v * 10 + (s.p[n++] - '0'));
	}
	*out = v;
	return n;
}

size_t reply_enhanced(struct str s, uint8_t *cls, uint16_t *subject, uint16_t *detail)
{
	struct str rest;
	size_t n;

	/* RFC 3463 2: status-code = class "." subject "." detail; class is 2, 4 or 5. */
	if (s.n < 5 || (s.p[0] != '2' && s.p[0] != '4' && s.p[0] != '5') || s.p[1] != '.')
		return 0;
	rest = str_skip(s, 2);
	n = number(rest, subject);
	if (!n || n >= rest.n || rest.p[n] != '.')
		return 0;
	rest = str_skip(rest, n + 1);
	n = number(rest, detail);
	if (!n || (n < rest.n && rest.p[n] != ' '))
		return 0;
	rest = str_skip(rest, n < rest.n ? n + 1 : n);
	*cls = (uint8_t)(s.p[0] - '0');
	return s.n - rest.n;
}

static void add_text(struct reply_parser *p, struct str text)
{
	uint8_t cls;
	uint16_t subject, detail;
	size_t skip = reply_enhanced(text, &cls, &subject, &detail);

	/* RFC 2034 4: the class of the enhanced code must be that of the reply; another is text. */
	if (skip && cls == p->code / 100) {
		if (!p->enh_class && p->lines == 1) {
			p->enh_class = cls;
			p->enh_subject = subject;
			p->enh_detail = detail;
		}
		/* Every line repeats the code (RFC 2034 4); the joined text says it not at all. */
		if (p->enh_class == cls && p->enh_subject == subject && p->enh_detail == detail)
			text = str_skip(text, skip);
	}
	text = str_trim(text);
	if (!text.n)
		return;
	if (p->text_len && p->text_len < REPLY_TEXT)
		p->text[p->text_len++] = ' ';
	text = str_cut(text, REPLY_TEXT - p->text_len);
	memcpy(p->text + p->text_len, text.p, text.n);
	p->text_len += text.n;
}

/* A whole line, without its line end. */
static enum reply_status line_done(struct reply_parser *p)
{
	struct str line = str_make(p->line, p->line_len);
	uint16_t code;
	bool more;

	p->line_len = 0;
	if (line.n < 3)
		return REPLY_GARBAGE;
	code = (uint16_t)((line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0'));
	/* RFC 5321 4.2.1: all lines of a reply carry the same code. */
	if (p->lines && code != p->code)
		return REPLY_GARBAGE;
	if (++p->lines > LIMIT_ONWARD_REPLY_LINES)
		return REPLY_GARBAGE;
	p->code = code;
	more = line.n > 3 && line.p[3] == '-';
	line = str_skip(line, 4);
	if (p->on_line)
		p->on_line(p->arg, p->lines - 1, line);
	add_text(p, line);
	return more ? REPLY_MORE : REPLY_DONE;
}

/* Said at the first octet that cannot be, so that a TLS or HTTP peer is not waited for. */
static bool octet_fits(size_t at, uint8_t c)
{
	switch (at) {
	case 0:
		return c >= '2' && c <= '5'; /* RFC 5321 4.2.1: no 1yz in SMTP */
	case 1:
	case 2:
		return ascii_is_digit(c);
	case 3:
		return c == ' ' || c == '-' || c == '\r';
	default:
		return true;
	}
}

enum reply_status reply_feed(struct reply_parser *p, const uint8_t *data, size_t n, size_t *used)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t c = data[i];

		if (c == '\n') {
			enum reply_status st;

			/* A bare LF ends a line here: it is common and harmless in a reply. */
			while (p->line_len && p->line[p->line_len - 1] == '\r')
				p->line_len--;
			st = line_done(p);
			if (st != REPLY_MORE) {
				*used = i + 1;
				return st;
			}
			continue;
		}
		if (p->line_len == LIMIT_ONWARD_REPLY_LINE || !octet_fits(p->line_len, c)) {
			*used = i;
			return REPLY_GARBAGE;
		}
		p->line[p->line_len++] = c;
	}
	*used = n;
	return REPLY_MORE;
}

/* RFC 9422 4.1: 1 to 6 digits, not 0. What does not parse, and names we do not know, bound nothing. */
static unsigned int limit_value(struct str s)
{
	unsigned int v = 0;

	if (!s.n || s.n > 6)
		return 0;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_is_digit(s.p[i]))
			return 0;
		v = v * 10 + (s.p[i] - '0');
	}
	return v;
}

static void limits(struct ehlo *e, struct str params)
{
	while (params.n) {
		struct str word = str_cut(params, str_find(params, ' ')), value;
		size_t eq = str_find(word, '=');

		value = str_skip(word, eq < word.n ? eq + 1 : eq);
		if (str_ieq(str_cut(word, eq), STR("RCPTMAX")))
			e->rcpt_max = limit_value(value);
		else if (str_ieq(str_cut(word, eq), STR("MAILMAX")))
			e->mail_max = limit_value(value);
		else if (str_ieq(str_cut(word, eq), STR("RCPTDOMAINMAX")))
			e->domain_max = limit_value(value);
		params = str_trim(str_skip(params, word.n));
	}
}

static uint32_t attributes(struct str params)
{
	static const struct {
		struct str name;
		uint32_t bit;
	} known[] = {
		{STR("NAME"), IDENTITY_NAME}, {STR("ADDR"), IDENTITY_ADDR}, {STR("PORT"), IDENTITY_PORT},
		{STR("PROTO"), IDENTITY_PROTO}, {STR("HELO"), IDENTITY_HELO},
		{STR("DESTADDR"), IDENTITY_DESTADDR}, {STR("DESTPORT"), IDENTITY_DESTPORT},
		{STR("IDENT"), IDENTITY_IDENT}, {STR("SOURCE"), IDENTITY_SOURCE},
	};
	uint32_t bits = 0;

	while (params.n) {
		struct str word = str_cut(params, str_find(params, ' '));

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (str_ieq(word, known[i].name))
				bits |= known[i].bit;
		params = str_trim(str_skip(params, word.n));
	}
	return bits;
}

/* RFC 5321 4.1.1.1: ehlo-ok-rsp = "250" SP Domain [ SP ehlo-greet ] */
void ehlo_first(struct ehlo *e, struct str text)
{
	text = str_trim(text);
	text = str_cut(text, str_find(text, ' '));
	if (text.n >= sizeof(e->name))
		return;
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] <= 0x20 || text.p[i] >= 0x7f)
			return;
	memcpy(e->name, text.p, text.n);
	e->name[text.n] = '\0';
}

void ehlo_line(struct ehlo *e, struct str text)
{
	static const struct {
		struct str name;
		uint32_t bit;
	} known[] = {
		{STR("PIPELINING"), EHLO_PIPELINING},     /* RFC 2920 */
		{STR("8BITMIME"), EHLO_8BITMIME},         /* RFC 6152 */
		{STR("SMTPUTF8"), EHLO_SMTPUTF8},         /* RFC 6531 */
		{STR("CHUNKING"), EHLO_CHUNKING},         /* RFC 3030 */
		{STR("ENHANCEDSTATUSCODES"), EHLO_ENHANCED}, /* RFC 2034 */
		{STR("SIZE"), EHLO_SIZE},                 /* RFC 1870 */
		{STR("LIMITS"), EHLO_LIMITS},             /* RFC 9422 */
		{STR("STARTTLS"), EHLO_STARTTLS},         /* RFC 3207 */
	};
	struct str word, param;
	uint64_t size = 0;

	text = str_trim(text);
	word = str_cut(text, str_find(text, ' '));
	param = str_trim(str_skip(text, word.n));
	if (str_ieq(word, STR("XCLIENT")))
		e->xclient |= attributes(param);
	else if (str_ieq(word, STR("XFORWARD")))
		e->xforward |= attributes(param);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!str_ieq(word, known[i].name))
			continue;
		e->caps |= known[i].bit;
		if (known[i].bit == EHLO_LIMITS)
			limits(e, param);
		if (known[i].bit != EHLO_SIZE)
			return;
		/* RFC 1870 3: at most 20 digits; one that does not parse bounds nothing. */
		for (size_t k = 0; k < param.n; k++) {
			if (!ascii_is_digit(param.p[k]) || k >= 18)
				return;
			size = size * 10 + (param.p[k] - '0');
		}
		e->size = size;
		return;
	}
}
