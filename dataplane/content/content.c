/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/content.h"

#include "dataplane/content/content_priv.h"

#define WANTS(c, view) ((c)->views & 1u << (view))

static size_t align(size_t n)
{
	return (n + 63) & ~(size_t)63;
}

/* The state, then those of html.h and uri.h: in front of it, since its end is seldom touched. */
size_t content_size(void)
{
	return align(html_size()) + align(uri_size()) + align(sizeof(struct content));
}

struct content *content_init(void *mem)
{
	uint8_t *p = mem;
	struct html *html = html_init(p);
	struct uri *uri = uri_init(p + align(html_size()));
	struct content *c = (struct content *)(void *)(p + align(html_size()) + align(uri_size()));

	c->html = html;
	c->uri = uri;
	content_attach_init(&c->attach);
	return c;
}

static void text(void *ctx, const uint8_t *p, size_t n)
{
	struct content *c = ctx;

	if (WANTS(c, VIEW_BODY))
		fold_text(&c->fold, p, n);
	if (WANTS(c, VIEW_URI))
		uri_text(c->uri, p, n);
}

static void html_link(void *ctx, enum html_link kind, struct str url)
{
	struct content *c = ctx;

	if (WANTS(c, VIEW_URI))
		uri_link(c->uri, kind, url);
}

static void uri_found(void *ctx, const uint8_t *p, size_t n)
{
	struct content *c = ctx;

	run_put(&c->uris, p, n);
	run_octet(&c->uris, '\n');
}

static void on_field(void *ctx, const struct mime_field *f)
{
	content_selectors_field(ctx, f);
}

/* The body view begins with the Subject; there always is a first paragraph. */
static void on_header(void *ctx)
{
	struct content *c = ctx;
	size_t n = 0;

	content_selectors_header(c);
	/* The runs will lie where the header is kept: it goes by way of another buffer. */
	if (WANTS(c, VIEW_BODY) || WANTS(c, VIEW_URI))
		n = content_selectors_subject(c);
	run_begin(&c->body, c->sink, VIEW_BODY, c->u.run.body);
	run_begin(&c->raw, c->sink, VIEW_RAWBODY, c->u.run.raw);
	run_begin(&c->uris, c->sink, VIEW_URI, c->u.run.uris);
	run_begin(&c->attachments, c->sink, VIEW_ATTACHMENT, c->u.run.attachments);
	fold_begin(&c->fold, &c->body);
	if (WANTS(c, VIEW_BODY)) {
		run_put(&c->body, c->selector_buf, n);
		run_octet(&c->body, '\n');
	}
	if (WANTS(c, VIEW_URI)) {
		uri_part(c->uri);
		uri_text(c->uri, c->selector_buf, n);
		uri_text_end(c->uri);
	}
}

static size_t on_part(void *ctx, const struct mime_part *part)
{
	struct content *c = ctx;
	bool is_text = part->kind == MIME_TEXT || part->kind == MIME_HTML;

	c->kind = part->kind;
	c->to_text = is_text && (WANTS(c, VIEW_BODY) || WANTS(c, VIEW_URI));
	c->to_raw = (is_text || part->kind == MIME_RAW) && WANTS(c, VIEW_RAWBODY);
	c->to_attach = WANTS(c, VIEW_ATTACHMENT) && part->kind != MIME_MULTIPART &&
		       (!is_text || part->name.n);
	if (part->kind == MIME_MESSAGE && c->to_attach)
		content_line_container(c, part);
	if (part->kind == MIME_MULTIPART || part->kind == MIME_MESSAGE)
		return 0;
	if (WANTS(c, VIEW_BODY))
		fold_part(&c->fold);
	c->raw_cr = false;
	c->raw_last = 0;
	c->raw_begins = true;
	if (c->to_attach)
		content_line_begin(c, part);
	if (c->to_text) {
		if (charset_begin(&c->charset, part->charset))
			c->marks |= CONTENT_M_UNKNOWN_CHARSET;
		if (WANTS(c, VIEW_URI))
			uri_part(c->uri);
		if (c->kind == MIME_HTML)
			html_begin(c->html, &c->html_sink);
	}
	return c->to_text || c->to_raw || c->to_attach ? SIZE_MAX : 0;
}

/* Decoded and nothing else, but that lines end with LF. */
static void raw_text(struct content *c, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n, *cr;

	/* No text of a rule's goes from one part into the next. */
	if (c->raw_begins && c->raw.there)
		run_octet(&c->raw, '\0');
	c->raw_begins = false;
	if (c->raw_cr && *p != '\n')
		run_octet(&c->raw, '\r');
	c->raw_cr = end[-1] == '\r';
	c->raw_last = end[-1];
	while ((cr = memchr(p, '\r', (size_t)(end - p))) != NULL) {
		run_put(&c->raw, p, (size_t)(cr - p));
		p = cr + 1;
		if (p == end)
			return;
		if (*p != '\n')
			run_octet(&c->raw, '\r');
	}
	run_put(&c->raw, p, (size_t)(end - p));
}

static void utf8_text(struct content *c, const uint8_t *p, size_t n)
{
	if (!n)
		return;
	if (c->kind == MIME_HTML)
		html_feed(c->html, p, n);
	else
		text(c, p, n);
}

static void charset_text(struct content *c, const uint8_t *p, size_t n)
{
	while (n) {
		size_t same = charset_same(&c->charset, p, n), k;

		utf8_text(c, p, same);
		p += same;
		n -= same;
		k = n < 1024 ? n : 1024;
		if (k)
			utf8_text(c, c->piece, charset_feed(&c->charset, p, k, c->piece));
		p += k;
		n -= k;
	}
}

static void on_data(void *ctx, const uint8_t *p, size_t n)
{
	struct content *c = ctx;

	if (c->to_attach)
		content_attach_feed(&c->attach, p, n);
	if (c->to_raw)
		raw_text(c, p, n);
	if (c->to_text)
		charset_text(c, p, n);
}

static void on_end(void *ctx, uint64_t encoded)
{
	struct content *c = ctx;

	(void)encoded;
	if (c->to_attach)
		content_line_end(c);
	if (c->to_raw && c->raw_cr)
		run_octet(&c->raw, '\r');
	/* A line is a line, even where the next part begins. */
	if (c->to_raw && c->raw_last && c->raw_last != '\n')
		run_octet(&c->raw, '\n');
	if (!c->to_text)
		return;
	utf8_text(c, c->piece, charset_end(&c->charset, c->piece));
	if (c->charset.bad)
		c->marks |= CONTENT_M_BAD_CHARSET;
	if (c->kind == MIME_HTML) {
		html_end(c->html);
		if (html_marks(c->html) & HTML_CUT)
			c->marks |= CONTENT_M_HTML_CUT;
		if (html_marks(c->html) & HTML_NUL)
			c->marks |= CONTENT_M_NUL;
	}
	if (WANTS(c, VIEW_URI))
		uri_text_end(c->uri);
}

void content_begin(struct content *c, const struct content_plan *plan,
		   const struct content_sink *sink)
{
	c->plan = plan;
	c->sink = sink;
	c->marks = 0;
	c->n_members = 0;
	c->views = plan->views;
	c->html_sink = (struct html_sink){.text = text, .link = html_link, .ctx = c};
	c->uri_sink = (struct uri_sink){.uri = uri_found, .ctx = c};
	c->mime_sink = (struct mime_sink){.field = on_field,
					  .header = on_header,
					  .part = on_part,
					  .data = on_data,
					  .end = on_end,
					  .ctx = c};
	content_selectors_begin(c);
	if (WANTS(c, VIEW_URI))
		uri_begin(c->uri, &c->uri_sink);
	mime_begin(&c->mime, &c->mime_sink);
}

void content_feed(struct content *c, const uint8_t *p, size_t n)
{
	mime_feed(&c->mime, p, n);
}

void content_end(struct content *c)
{
	mime_end(&c->mime);
	if (WANTS(c, VIEW_BODY))
		fold_end(&c->fold);
	if (c->fold.nul)
		c->marks |= CONTENT_M_NUL;
	if (WANTS(c, VIEW_URI) && uri_marks(c->uri) & URI_CUT)
		c->marks |= CONTENT_M_URI_CUT;
	run_end(&c->body);
	run_end(&c->raw);
	run_end(&c->uris);
	run_end(&c->attachments);
	content_selectors_end(c);
	c->marks |= c->mime.marks;
}

uint32_t content_marks(const struct content *c)
{
	return c->marks;
}
