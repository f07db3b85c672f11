/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/mime_priv.h"

void mime_header_begin(struct mime *m, bool message, bool digest)
{
	m->mode = MODE_HEADER;
	m->n_field = m->n_line = 0;
	m->line_cut = false;
	m->n_fields = m->n_block = 0;
	mime_entity_init(&m->entity, message, digest);
}

static struct str entity_type(const struct mime_entity *e)
{
	return str_make(e->type, e->n_type);
}

static size_t announce(struct mime *m, enum mime_kind kind, struct str type, uint8_t encoding)
{
	const struct mime_entity *e = &m->entity;
	struct mime_part part = {
		.index = m->n_parts++,
		.depth = m->n_levels,
		.kind = (uint8_t)kind,
		.encoding = encoding,
		.attachment = e->attachment,
		.type = type,
		.charset = str_make(e->charset, e->n_charset),
		.name = e->n_filename ? str_make(e->filename, e->n_filename)
				      : str_make(e->name, e->n_name),
	};

	return m->sink->part(m->sink->ctx, &part);
}

static void leaf_begin(struct mime *m, enum mime_kind kind, struct str type, uint8_t encoding)
{
	m->entity.encoding = encoding;
	m->mode = MODE_LEAF;
	m->encoded = 0;
	decode_base64_init(&m->base64);
	decode_qp_init(&m->qp);
	m->wanted = announce(m, kind, type, encoding);
}

/* A multipart that is none. Its encoding is not undone: RFC 2045 6.4 allows it none. */
static void text_begin(struct mime *m)
{
	m->marks |= CONTENT_M_BAD_BOUNDARY;
	leaf_begin(m, MIME_TEXT, STR("text/plain"), MIME_IDENTITY);
}

static void give(struct mime *m, const uint8_t *p, size_t n)
{
	if (n > m->wanted)
		n = m->wanted;
	if (m->wanted != SIZE_MAX)
		m->wanted -= n;
	if (n)
		m->sink->data(m->sink->ctx, p, n);
}

static void leaf_data(struct mime *m, const uint8_t *p, size_t n)
{
	m->encoded += n;
	if (m->entity.encoding == MIME_IDENTITY) {
		give(m, p, n);
		return;
	}
	while (n && m->wanted) {
		size_t k = n < MIME_PIECE ? n : MIME_PIECE;

		give(m, m->out,
		     m->entity.encoding == MIME_BASE64 ? decode_base64(&m->base64, p, k, m->out)
						       : decode_qp(&m->qp, p, k, m->out));
		p += k;
		n -= k;
	}
}

static void leaf_end(struct mime *m)
{
	/* Where that was enough, how far it was decoded depends on the cuts. */
	bool all = m->wanted > 0;

	if (all && m->entity.encoding == MIME_BASE64)
		give(m, m->out, decode_base64_end(&m->base64, m->out));
	if (all && m->entity.encoding == MIME_QP)
		give(m, m->out, decode_qp_end(&m->qp, m->out));
	if (all && (m->base64.bad || m->qp.bad))
		m->marks |= CONTENT_M_BAD_ENCODING;
	m->mode = MODE_SKIP;
	m->sink->end(m->sink->ctx, m->encoded);
}

static void multipart_begin(struct mime *m)
{
	struct mime_entity *e = &m->entity;
	struct mime_level *l = &m->level[m->n_levels];
	struct str boundary = str_make(e->boundary, e->n_boundary);

	*l = (struct mime_level){.layer = m->n_layers - 1, .multipart = true};
	l->digest = str_eq(entity_type(e), STR("multipart/digest"));
	if (e->bad_boundary || mime_boundary_is_open(m, l->layer, boundary))
		m->marks |= CONTENT_M_BAD_BOUNDARY;
	if (!boundary.n || !mime_boundary_push(m, l, boundary)) {
		text_begin(m);
		return;
	}
	(void)announce(m, MIME_MULTIPART, entity_type(e), e->encoding);
	m->n_levels++;
	m->n_preamble = 0;
	m->mode = MODE_PREAMBLE;
}

static void message_begin(struct mime *m)
{
	struct mime_entity *e = &m->entity;
	struct mime_layer *outer = &m->layer[m->n_layers - 1];

	(void)announce(m, MIME_MESSAGE, entity_type(e), e->encoding);
	m->level[m->n_levels++] =
		(struct mime_level){.layer = m->n_layers - 1, .off = m->n_boundary};
	if (e->encoding != MIME_IDENTITY) {
		outer->encoding = e->encoding;
		decode_base64_init(&outer->base64);
		decode_qp_init(&outer->qp);
		m->layer[m->n_layers].n_hold = m->layer[m->n_layers].n_open = 0;
		m->layer[m->n_layers].phase = HELD_NONE;
		m->n_layers++;
	}
	mime_header_begin(m, true, false);
}

void mime_header_done(struct mime *m)
{
	struct mime_entity *e = &m->entity;
	enum mime_kind kind = mime_kind_of(entity_type(e));
	bool container = kind == MIME_MULTIPART || kind == MIME_MESSAGE;

	if (!m->top_done) {
		m->top_done = true;
		m->sink->header(m->sink->ctx);
	}
	m->layer[m->n_layers - 1].phase = HELD_START;
	m->layer[m->n_layers - 1].n_hold = 0;
	if (m->n_parts >= LIMIT_MIME_PARTS) { /* a preamble that is text may have passed it */
		m->marks |= CONTENT_M_PARTS;
		m->mode = MODE_SKIP;
	} else if (container && (m->n_levels == LIMIT_MIME_NESTING ||
				 (kind == MIME_MESSAGE && e->encoding != MIME_IDENTITY &&
				  m->n_layers == LIMIT_MIME_LAYERS))) {
		m->marks |= CONTENT_M_NESTING;
		leaf_begin(m, MIME_OTHER, entity_type(e), e->encoding);
	} else if (kind == MIME_MULTIPART) {
		multipart_begin(m);
	} else if (kind == MIME_MESSAGE) {
		message_begin(m);
	} else {
		leaf_begin(m, kind, entity_type(e), e->encoding);
	}
}

static void preamble(struct mime *m, const uint8_t *p, size_t n)
{
	if (n <= sizeof(m->preamble) - m->n_preamble) {
		memcpy(m->preamble + m->n_preamble, p, n);
		m->n_preamble += (uint16_t)n;
		return;
	}
	/* More than one says in front of the first part: it is looked at. */
	text_begin(m);
	leaf_data(m, m->preamble, m->n_preamble);
	leaf_data(m, p, n);
}

void mime_body(struct mime *m, unsigned int layer, const uint8_t *p, size_t n)
{
	struct mime_layer *l = &m->layer[layer];

	if (layer + 1u == m->n_layers) {
		if (m->mode == MODE_LEAF)
			leaf_data(m, p, n);
		else if (m->mode == MODE_PREAMBLE)
			preamble(m, p, n);
		return;
	}
	while (n) {
		size_t k = n < MIME_PIECE ? n : MIME_PIECE, len;

		len = l->encoding == MIME_BASE64 ? decode_base64(&l->base64, p, k, l->out)
						 : decode_qp(&l->qp, p, k, l->out);
		mime_scan(m, layer + 1, l->out, len);
		p += k;
		n -= k;
	}
}

/* The octets of the layers inside of this one end. */
static void end_layers(struct mime *m, unsigned int layer)
{
	for (unsigned int i = layer; i + 1u < m->n_layers; i++) {
		struct mime_layer *l = &m->layer[i];
		size_t n;

		n = l->encoding == MIME_BASE64 ? decode_base64_end(&l->base64, l->out)
					       : decode_qp_end(&l->qp, l->out);
		if (l->base64.bad || l->qp.bad)
			m->marks |= CONTENT_M_BAD_ENCODING;
		mime_scan(m, i + 1, l->out, n);
		mime_scan_end(m, i + 1);
	}
}

/* What is innermost ends. */
static void end_inner(struct mime *m)
{
	while (m->mode == MODE_HEADER) {
		mime_field_done(m);
		mime_header_done(m);
	}
	if (m->mode == MODE_PREAMBLE) {
		text_begin(m);
		leaf_data(m, m->preamble, m->n_preamble);
	}
	if (m->mode == MODE_LEAF)
		leaf_end(m);
}

static void pop(struct mime *m, unsigned int to)
{
	while (m->n_levels > to) {
		struct mime_level *l = &m->level[--m->n_levels];

		if (l->open)
			m->marks |= CONTENT_M_NO_END;
		mime_boundary_close(m, m->n_levels);
		m->n_boundary = l->off;
		m->n_layers = l->layer + 1;
	}
}

void mime_delimiter(struct mime *m, unsigned int level, bool close)
{
	struct mime_level *l = &m->level[level];

	end_layers(m, l->layer);
	/* The preamble of this one is no text (RFC 2046 5.1.1), unless nothing else comes. */
	if (!close && m->mode == MODE_PREAMBLE && level + 1u == m->n_levels)
		m->mode = MODE_SKIP;
	end_inner(m);
	pop(m, level + 1);
	m->layer[l->layer].phase = HELD_START;
	m->layer[l->layer].n_hold = 0;
	if (!close) {
		mime_header_begin(m, false, l->digest);
		return;
	}
	mime_boundary_close(m, level);
	m->mode = MODE_SKIP;
}

void mime_finish(struct mime *m)
{
	mime_scan_end(m, 0);
	end_layers(m, 0);
	end_inner(m);
	pop(m, 0);
}
