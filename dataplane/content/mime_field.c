/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/charset_words.h"
#include "dataplane/content/mime_priv.h"
#include "dataplane/content/vec.h"

void mime_entity_init(struct mime_entity *e, bool message, bool digest)
{
	e->message = message;
	e->has_type = e->has_encoding = e->attachment = e->bad_boundary = false;
	e->encoding = MIME_IDENTITY;
	e->n_charset = e->n_boundary = e->n_name = e->n_filename = 0;
	/* RFC 2045 5.2, RFC 2046 5.1.5 */
	e->n_type = digest ? 14 : 10;
	memcpy(e->type, digest ? "message/rfc822" : "text/plain", e->n_type);
}

static bool is_type(struct str type, struct str main)
{
	return str_istarts(type, main) && (type.n == main.n || !ascii_is_alnum(type.p[main.n]));
}

enum mime_kind mime_kind_of(struct str type)
{
	if (str_eq(type, STR("text/html")))
		return MIME_HTML;
	if (str_eq(type, STR("text/calendar")))
		return MIME_OTHER;
	if (str_eq(type, STR("text/x-vcard")))
		return MIME_RAW;
	if (is_type(type, STR("text")))
		return MIME_TEXT;
	if (str_istarts(type, STR("multipart/")))
		return MIME_MULTIPART;
	if (str_eq(type, STR("message/rfc822")) || str_eq(type, STR("message/global")))
		return MIME_MESSAGE;
	return is_type(type, STR("message")) ? MIME_RAW : MIME_OTHER;
}

/* Marks of words in fields that concern the message. */
static uint32_t marks_of(uint32_t words)
{
	uint32_t m = 0;

	if (words & WORDS_UNKNOWN_CHARSET)
		m |= CONTENT_M_UNKNOWN_CHARSET;
	if (words & WORDS_BAD_ENCODING)
		m |= CONTENT_M_BAD_ENCODING;
	return m;
}

static bool parameter(struct mime *m, struct str value, struct str name, uint8_t *buf, size_t size,
		      uint16_t *n, uint32_t *marks)
{
	bool bad = false;
	struct charset_words w = {.bad = &bad};
	struct words_charset cs = charset_words(&w);
	size_t len = 0;
	bool there;

	*marks = 0;
	there = words_param(value, name, &cs, buf, size, &len, marks);
	*n = there ? (uint16_t)len : 0;
	m->marks |= marks_of(*marks) | (bad ? CONTENT_M_BAD_CHARSET : 0);
	return there;
}

/* RFC 2045 5.1 */
static void content_type(struct mime *m, struct str value)
{
	struct mime_entity *e = &m->entity;
	uint32_t marks;
	size_t n = 0;

	if (e->has_type)
		m->marks |= CONTENT_M_DUPLICATE_FIELD;
	e->has_type = true;
	e->bad_boundary = false;
	(void)words_main(value, e->type, sizeof(e->type), &n);
	e->n_type = (uint16_t)n;
	if (!n) {
		memcpy(e->type, "text/plain", 10);
		e->n_type = 10;
	}
	(void)parameter(m, value, STR("charset"), e->charset, sizeof(e->charset), &e->n_charset,
			&marks);
	(void)parameter(m, value, STR("name"), e->name, sizeof(e->name), &e->n_name, &marks);
	e->n_boundary = 0;
	if (mime_kind_of(str_make(e->type, e->n_type)) != MIME_MULTIPART)
		return;
	/* Octets, as the delimiters are. */
	n = 0;
	marks = 0;
	if (words_param(value, STR("boundary"), NULL, e->boundary, sizeof(e->boundary), &n, &marks))
		e->n_boundary = (uint16_t)n;
	e->bad_boundary = marks & (WORDS_DUPLICATE | WORDS_CUT);
	if (marks & WORDS_CUT)
		e->n_boundary = 0;
	/* RFC 2046 5.1.1: it does not end with white space; where it does, its delimiters do not.
	 */
	while (e->n_boundary && ascii_is_wsp_crlf(e->boundary[e->n_boundary - 1]))
		e->n_boundary--;
}

/* RFC 2045 6.1 */
static void content_encoding(struct mime *m, struct str value)
{
	static const struct str identity[] = {STR("7bit"), STR("8bit"), STR("binary")};
	struct mime_entity *e = &m->entity;
	uint8_t buf[32];
	struct str name;
	size_t n = 0;

	if (e->has_encoding)
		m->marks |= CONTENT_M_DUPLICATE_FIELD;
	e->has_encoding = true;
	e->encoding = MIME_IDENTITY;
	if (words_main(value, buf, sizeof(buf), &n) & WORDS_CUT)
		n = 0;
	name = str_make(buf, n);
	if (str_eq(name, STR("base64")))
		e->encoding = MIME_BASE64;
	else if (str_eq(name, STR("quoted-printable")))
		e->encoding = MIME_QP;
	else if (!str_eq(name, identity[0]) && !str_eq(name, identity[1]) &&
		 !str_eq(name, identity[2]))
		m->marks |= CONTENT_M_UNKNOWN_ENCODING;
}

/* RFC 2183 */
static void content_disposition(struct mime *m, struct str value)
{
	struct mime_entity *e = &m->entity;
	uint8_t buf[32];
	uint32_t marks;
	size_t n = 0;

	(void)words_main(value, buf, sizeof(buf), &n);
	e->attachment = str_eq(str_make(buf, n), STR("attachment"));
	(void)parameter(m, value, STR("filename"), e->filename, sizeof(e->filename), &e->n_filename,
			&marks);
}

/* Octets in front of the colon, without white space there; 0: no field. */
static size_t name_of(struct str line)
{
	size_t n = 0, k;

	/* RFC 5322 3.6.8: ftext; 4.5: white space behind it. */
	while (n < line.n && ascii_is_vchar(line.p[n]) && line.p[n] != ':')
		n++;
	for (k = n; k < line.n && ascii_is_wsp(line.p[k]); k++)
		;
	return k < line.n && line.p[k] == ':' ? n : 0;
}

bool mime_is_field(struct str line)
{
	return name_of(line) > 0;
}

void mime_field_done(struct mime *m)
{
	struct str line = str_make(m->field, m->n_field);
	struct mime_field f = {.top = !m->top_done};
	size_t n = name_of(line);

	m->n_field = 0;
	if (!n)
		return;
	f.name = str_cut(line, n);
	f.value = str_skip(line, n);
	f.value = str_skip(f.value, str_find(f.value, ':') + 1);
	if (f.value.n && f.value.p[f.value.n - 1] == '\n')
		f.value.n--;
	if (f.value.n && f.value.p[f.value.n - 1] == '\r')
		f.value.n--;
	if (vec_ascii(f.value.p, f.value.n) < f.value.n)
		m->marks |= CONTENT_M_8BIT_HEADER;
	if (f.value.n && memchr(f.value.p, 0, f.value.n))
		m->marks |= CONTENT_M_NUL;
	/* Past its bounds a header is read for the structure only. */
	m->n_fields++;
	m->n_block += (uint32_t)line.n;
	if (m->n_fields > LIMIT_HEADER_FIELDS || m->n_block > LIMIT_HEADER_BLOCK) {
		m->n_fields = LIMIT_HEADER_FIELDS;
		m->marks |= CONTENT_M_HEADER_CUT;
	} else {
		m->sink->field(m->sink->ctx, &f);
	}
	if (!str_istarts(f.name, STR("content-")))
		return;
	if (str_ieq(f.name, STR("content-type")))
		content_type(m, f.value);
	else if (str_ieq(f.name, STR("content-transfer-encoding")))
		content_encoding(m, f.value);
	else if (str_ieq(f.name, STR("content-disposition")))
		content_disposition(m, f.value);
}
