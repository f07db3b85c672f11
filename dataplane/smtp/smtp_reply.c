/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAY_LINE(name, code, enh, text) [name] = #code " " enh " " text "\r\n",
#define SAY_LEN(name, code, enh, text) [name] = sizeof(#code " " enh " " text "\r\n") - 1,
#define SAY_CODE(name, code, enh, text) [name] = code,
/* RFC 5321 4.5.3.1.5 */
#define SAY_CHECK(name, code, enh, text)                                                           \
	_Static_assert(sizeof(#code " " enh " " text "\r\n") - 1 <= LIMIT_REPLY_LINE, #name);

SMTP_REPLIES(SAY_CHECK)

#define SAY_TAIL (sizeof("; ") - 1 + SMTP_CONTACT_MAX + sizeof(" id=") - 1 + SMTP_TRACE_ID)
#define SAY_CHECK_TAIL(name, code, enh, text)                                                      \
	_Static_assert(sizeof(#code " " enh " " text "\r\n") - 1 + SAY_TAIL <= LIMIT_REPLY_LINE, #name);
SMTP_REPLIES(SAY_CHECK_TAIL)
/* RFC 5321 4.5.3.1.5: whatever is configured. */
_Static_assert(sizeof("214 2.0.0 \r\n") - 1 + sizeof(((struct handoff_config *)0)->help) - 1 <=
		       LIMIT_REPLY_LINE, "help");
_Static_assert(sizeof("220  ESMTP \r\n") - 1 + LIMIT_DOMAIN +
			       sizeof(((struct handoff_config *)0)->banner) - 1 <= LIMIT_REPLY_LINE,
	       "banner");

static const char *const say_line[SAY_COUNT] = {SMTP_REPLIES(SAY_LINE)};
static const uint16_t say_len[SAY_COUNT] = {SMTP_REPLIES(SAY_LEN)};
static const uint16_t say_code[SAY_COUNT] = {SMTP_REPLIES(SAY_CODE)};

struct str smtp_say_line(enum smtp_say say)
{
	return str_make(say_line[say], say_len[say]);
}

unsigned int smtp_say_code(enum smtp_say say)
{
	return say_code[say];
}

static size_t put(uint8_t *out, struct str s)
{
	if (s.n)
		memcpy(out, s.p, s.n);
	return s.n;
}

size_t smtp_say_format(uint8_t out[LIMIT_REPLY_LINE], enum smtp_say say, struct str contact,
		       const uint8_t *trace_id)
{
	struct str line = smtp_say_line(say);
	unsigned int code = smtp_say_code(say), class = code / 100;
	size_t n = put(out, str_cut(line, line.n - 2));

	if (contact.n && (code == 421 || class == 5)) {
		n += put(out + n, STR("; "));
		n += put(out + n, contact);
	}
	if (trace_id && class >= 4) {
		n += put(out + n, STR(" id="));
		n += put(out + n, str_make(trace_id, SMTP_TRACE_ID));
	}
	return n + put(out + n, STR("\r\n"));
}

static size_t put_number(uint8_t *out, unsigned int v)
{
	uint8_t digit[10];
	size_t n = 0, len;

	do {
		digit[n++] = (uint8_t)('0' + v % 10);
		v /= 10;
	} while (v);
	len = n;
	while (n)
		*out++ = digit[--n];
	return len;
}

static size_t put_text(uint8_t *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		out[i] = s.p[i] == ' ' || ascii_is_vchar(s.p[i]) ? s.p[i] : '?';
	return s.n;
}

static size_t put_enhanced(uint8_t *out, const struct smtp_reply *r)
{
	unsigned int class = r->code / 100u;
	bool ours = r->enh_class == class && r->enh_subject < 1000 && r->enh_detail < 1000;
	size_t n = put_number(out, class);

	/* RFC 3463 2: three digits a part at most. A code that is missing is not invented. */
	out[n++] = '.';
	n += put_number(out + n, ours ? r->enh_subject : 0);
	out[n++] = '.';
	n += put_number(out + n, ours ? r->enh_detail : 0);
	out[n++] = ' ';
	return n;
}

size_t smtp_reply_format(uint8_t out[LIMIT_REPLY_LINE], const struct smtp_reply *r, bool bare,
			 const uint8_t *trace_id)
{
	const size_t tail = 2 + (trace_id ? sizeof(" id=") - 1 + SMTP_TRACE_ID : 0);
	struct str text = str_trim(r->text);
	size_t n = put_number(out, r->code);

	out[n++] = ' ';
	if (!bare)
		n += put_enhanced(out + n, r);
	if (!text.n)
		text = r->code < 400 ? STR("Ok") : STR("Refused");
	n += put_text(out + n, str_cut(text, LIMIT_REPLY_LINE - tail - n));
	if (trace_id) {
		memcpy(out + n, " id=", 4);
		n += 4;
		n += put_text(out + n, str_make(trace_id, SMTP_TRACE_ID));
	}
	out[n++] = '\r';
	out[n++] = '\n';
	return n;
}

static uint32_t or_default(uint32_t v, uint32_t otherwise)
{
	return v ? v : otherwise;
}

/*
 * RFC 9422. Only where a transaction may meet recipients that cannot share it: elsewhere it tells a
 * client nothing that a 452 would not, and costs it messages with many recipients.
 */
static void put_limits(char *out, size_t size, const struct handoff_config *c)
{
	int n;

	out[0] = '\0';
	if (!c->many_routes)
		return;
	n = snprintf(out, size, "250-LIMITS RCPTMAX=%u", c->max_rcpt);
	if (c->max_transactions)
		n += snprintf(out + n, size - (size_t)n, " MAILMAX=%u", c->max_transactions);
	snprintf(out + n, size - (size_t)n, " RCPTDOMAINMAX=1\r\n");
}

/* What goes into replies: with CR LF in it it would forge lines. */
static bool text_fits(const char *text, size_t cap)
{
	size_t n = strnlen(text, cap);

	for (size_t i = 0; i < n; i++)
		if (text[i] != ' ' && !ascii_is_vchar((uint8_t)text[i]))
			return false;
	return n < cap;
}

static bool name_fits(const char *name, size_t cap)
{
	size_t len = strnlen(name, cap);

	return len > 0 && len <= LIMIT_DOMAIN && !memchr(name, ' ', len) && text_fits(name, cap);
}

static bool texts_fit(const struct handoff_config *c)
{
	if (c->n_inline_names > HANDOFF_MAX_INLINE_NAMES)
		return false;
	for (uint32_t i = 0; i < c->n_inline_names; i++)
		if (!name_fits(c->inline_name[i], sizeof(c->inline_name[i])))
			return false;
	return name_fits(c->hostname, sizeof(c->hostname)) &&
	       text_fits(c->banner, sizeof(c->banner)) && text_fits(c->help, sizeof(c->help)) &&
	       text_fits(c->contact, sizeof(c->contact));
}

static void make_face(struct smtp_face *f, const struct handoff_config *c, const char *name)
{
	char limits[96];

	f->banner_len = (uint32_t)snprintf((char *)f->banner, sizeof(f->banner), "220 %s ESMTP%s%s", name,
					   c->banner[0] ? " " : "", c->banner);
	f->helo_len = (uint32_t)snprintf((char *)f->helo, sizeof(f->helo), "250 %s\r\n", name);
	put_limits(limits, sizeof(limits), c);
	/* RFC 5321 4.1.1.1, RFC 2920, RFC 1870, RFC 6152, RFC 6531, RFC 3030, RFC 9422, RFC 2034. */
	f->ehlo_len = (uint32_t)snprintf((char *)f->ehlo, sizeof(f->ehlo),
					 "250-%s\r\n250-PIPELINING\r\n250-SIZE %llu\r\n"
					 "250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n%s"
					 "250 ENHANCEDSTATUSCODES\r\n",
					 name, (unsigned long long)c->max_message, limits);
}

static void make_texts(struct smtp_config *k)
{
	const struct handoff_config *c = &k->c;

	if (c->help[0])
		k->help_len = (uint32_t)snprintf((char *)k->help, sizeof(k->help),
						 "214 2.0.0 %s\r\n", c->help);
	k->contact = str_make(c->contact, strlen(c->contact));
	make_face(&k->face[0], c, c->hostname);
	for (uint32_t i = 1; i < k->n_faces; i++)
		make_face(&k->face[i], c, c->inline_name[i - 1]);
}

struct smtp_config *smtp_config_new(const struct handoff_config *c)
{
	struct smtp_config *k;

	if (!texts_fit(c))
		return NULL;
	k = calloc(1, sizeof(*k) + (1 + c->n_inline_names) * sizeof(k->face[0]));
	if (!k)
		return NULL;
	k->n_faces = 1 + c->n_inline_names;
	k->c = *c;
	k->c.max_message = c->max_message ? c->max_message : DEFAULT_MAX_MESSAGE;
	k->c.max_rcpt = or_default(c->max_rcpt, DEFAULT_MAX_RCPT);
	if (k->c.max_rcpt > HANDOFF_MAX_RCPTS)
		k->c.max_rcpt = HANDOFF_MAX_RCPTS;
	k->c.command_timeout_s = or_default(c->command_timeout_s, LIMIT_COMMAND_TIMEOUT_S);
	k->c.max_idle = or_default(c->max_idle, LIMIT_IDLE_COMMANDS);
	if (k->c.max_idle > LIMIT_IDLE_COMMANDS_MAX)
		k->c.max_idle = LIMIT_IDLE_COMMANDS_MAX;
	k->c.data_timeout_s = or_default(c->data_timeout_s, LIMIT_DATA_BLOCK_TIMEOUT_S);
	k->c.data_total_timeout_s = or_default(c->data_total_timeout_s, DEFAULT_DATA_TOTAL_S);
	k->c.verdict_timeout_s = or_default(c->verdict_timeout_s, LIMIT_FINAL_REPLY_TIMEOUT_S);
	make_texts(k);
	return k;
}

static void offer_tls(struct smtp_face *k)
{
	static const char offer[] = "250-STARTTLS\r\n";
	const uint8_t *lf = memchr(k->ehlo, '\n', k->ehlo_len);
	size_t head = (size_t)(lf - k->ehlo) + 1, n = sizeof(offer) - 1;

	_Static_assert(sizeof(k->ehlo_tls) >= sizeof(k->ehlo) + sizeof(offer), "ehlo_tls");
	/* Behind the first line, which is our name. */
	memcpy(k->ehlo_tls, k->ehlo, head);
	memcpy(k->ehlo_tls + head, offer, n);
	memcpy(k->ehlo_tls + head + n, k->ehlo + head, k->ehlo_len - head);
	k->ehlo_tls_len = k->ehlo_len + (uint32_t)n;
}

void smtp_config_offer_tls(struct smtp_config *k)
{
	for (uint32_t i = 0; i < k->n_faces; i++)
		offer_tls(&k->face[i]);
}

void smtp_config_free(struct smtp_config *c)
{
	free(c);
}
