/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The octets of a layer. In a body only lines that begin with `--` are of interest, and only where
 * a boundary is open; what lies between two of them goes on in one piece. The line end in front of
 * such a line is held back with it, for it belongs to the delimiter.
 */
#include "dataplane/content/mime.h"

#include "dataplane/content/mime_priv.h"
#include "dataplane/content/vec.h"

static void hold(struct mime_layer *l, const uint8_t *p, size_t n, uint8_t phase)
{
	memcpy(l->hold + l->n_hold, p, n);
	l->n_hold += (uint16_t)n;
	l->phase = phase;
}

/* What is held is no delimiter. */
static void release(struct mime *m, unsigned int layer)
{
	struct mime_layer *l = &m->layer[layer];
	size_t n = l->n_hold;

	l->n_hold = 0;
	l->phase = HELD_NONE;
	if (n)
		mime_body(m, layer, l->hold, n);
}

/* A line end and a line with `--` are held. True: it was a delimiter. */
static bool judge(struct mime *m, unsigned int layer)
{
	struct mime_layer *l = &m->layer[layer];
	size_t skip = l->hold[0] == '\r' ? 2 : l->hold[0] == '\n' ? 1 : 0;
	unsigned int level;
	bool close;

	level = mime_boundary_find(m, layer, str_make(l->hold + skip, l->n_hold - skip), &close);
	if (level == MIME_NO_LEVEL)
		return false;
	l->n_hold = 0;
	l->phase = HELD_START;
	mime_delimiter(m, level, close);
	return true;
}

/* The rest of a line that begins with `--`. */
static size_t held_line(struct mime *m, unsigned int layer, const uint8_t *p, size_t n)
{
	struct mime_layer *l = &m->layer[layer];
	const uint8_t *lf = memchr(p, '\n', n);
	size_t take = lf ? (size_t)(lf - p) + 1 : n, end;

	if (take > sizeof(l->hold) - l->n_hold) {
		/* Longer than any delimiter. */
		release(m, layer);
		return 0;
	}
	hold(l, p, take, HELD_LINE);
	if (!lf || judge(m, layer))
		return take;
	/* Its line end may be that of the next delimiter. */
	end = l->hold[l->n_hold - 2] == '\r' ? 2 : 1;
	l->n_hold -= (uint16_t)end;
	release(m, layer);
	hold(l, (const uint8_t *)"\r\n" + 2 - end, end, HELD_END);
	return take;
}

/* Inside of a line: up to a line end that a `-` follows, or that is the last we have. */
static size_t body_run(struct mime *m, unsigned int layer, const uint8_t *p, size_t n)
{
	size_t at = vec_find_pair(p, n, '\n', '-'), start = at;

	if (p[at] == '\n') {
		if (start && p[start - 1] == '\r')
			start--;
		hold(&m->layer[layer], p + start, at + 1 - start, HELD_END);
	} else if (p[at] == '\r') {
		hold(&m->layer[layer], p + at, 1, HELD_CR);
	} else {
		start = n;
	}
	if (start)
		mime_body(m, layer, p, start);
	return at + 1;
}

static size_t body(struct mime *m, unsigned int layer, const uint8_t *p, size_t n)
{
	struct mime_layer *l = &m->layer[layer];
	uint8_t wanted = '-', next = HELD_DASH;

	if (!l->n_open) {
		release(m, layer);
		mime_body(m, layer, p, n);
		return n;
	}
	switch (l->phase) {
	case HELD_NONE:
		return body_run(m, layer, p, n);
	case HELD_LINE:
		return held_line(m, layer, p, n);
	case HELD_DASH:
		next = HELD_LINE;
		break;
	case HELD_CR:
		wanted = '\n';
		next = HELD_END;
		break;
	default:
		break;
	}
	if (p[0] != wanted) {
		release(m, layer);
		return 0;
	}
	hold(l, p, 1, next);
	return 1;
}

/* A whole line is in m->field: of a field that goes on, behind it, else at the front. */
static void header_line(struct mime *m, unsigned int layer)
{
	struct str line = str_make(m->field + m->n_field, m->n_line);
	bool cut = m->line_cut, close;
	size_t n = line.n;
	unsigned int level;

	m->n_line = 0;
	m->line_cut = false;
	if (m->n_field) {
		m->n_field += (uint32_t)line.n; /* RFC 5322 2.2.3: folding */
		return;
	}
	while (n && (line.p[n - 1] == '\n' || line.p[n - 1] == '\r'))
		n--;
	if (n == 0 && !cut) {
		mime_header_done(m);
		return;
	}
	if (m->layer[layer].n_open && n > 2 && line.p[0] == '-' && line.p[1] == '-') {
		level = mime_boundary_find(m, layer, str_cut(line, n), &close);
		if (level != MIME_NO_LEVEL) {
			mime_delimiter(m, level, close);
			return;
		}
	}
	if (mime_is_field(line)) {
		m->n_field = (uint32_t)line.n;
		return;
	}
	m->marks |= CONTENT_M_BAD_FIELD;
	if (m->entity.message)
		return;
	mime_header_done(m);
	/* Where another header begins (a message in this part), it is written over what was read.
	 */
	mime_scan(m, layer, line.p, line.n);
}

static size_t header(struct mime *m, unsigned int layer, const uint8_t *p, size_t n)
{
	const uint8_t *lf = memchr(p, '\n', n);
	size_t take = lf ? (size_t)(lf - p) + 1 : n, room, fits;

	if (m->n_field && !m->n_line && !m->line_cut && !ascii_is_wsp(p[0]))
		mime_field_done(m);
	room = sizeof(m->field) - m->n_field - m->n_line;
	fits = take < room ? take : room;
	memmove(m->field + m->n_field + m->n_line, p, fits);
	m->n_line += (uint32_t)fits;
	if (fits < take) {
		m->line_cut = true;
		m->marks |= CONTENT_M_HEADER_CUT;
	}
	if (lf)
		header_line(m, layer);
	return take;
}

void mime_scan(struct mime *m, unsigned int layer, const uint8_t *p, size_t n)
{
	while (n) {
		bool in_header = m->mode == MODE_HEADER && layer + 1u == m->n_layers;
		size_t k = in_header ? header(m, layer, p, n) : body(m, layer, p, n);

		p += k;
		n -= k;
	}
}

void mime_scan_end(struct mime *m, unsigned int layer)
{
	if (m->mode == MODE_HEADER && layer + 1u == m->n_layers) {
		if (m->n_line || m->line_cut)
			header_line(m, layer);
		/* A line that is no field has ended the header, and is held as the body's first. */
		if (m->mode == MODE_HEADER || layer + 1u != m->n_layers)
			return;
	}
	if (m->layer[layer].phase == HELD_LINE && judge(m, layer))
		return;
	release(m, layer);
}

void mime_begin(struct mime *m, const struct mime_sink *sink)
{
	m->sink = sink;
	m->marks = 0;
	m->n_parts = 0;
	m->n_levels = 0;
	m->n_layers = 1;
	m->top_done = false;
	m->n_boundary = 0;
	memset(m->bucket, 0, sizeof(m->bucket));
	m->layer[0].n_hold = m->layer[0].n_open = 0;
	m->layer[0].phase = HELD_NONE;
	mime_header_begin(m, true, false);
}

void mime_feed(struct mime *m, const uint8_t *p, size_t n)
{
	mime_scan(m, 0, p, n);
}

void mime_end(struct mime *m)
{
	mime_finish(m);
}
