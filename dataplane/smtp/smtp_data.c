/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_data.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "dataplane/smtp/smtp_lines.h"
#include "postern/handoff.h"
#include "postern/limits.h"

void smtp_data_init(struct smtp_data *d, uint64_t max_size, uint32_t max_line, bool refuse_bare_cr)
{
	*d = (struct smtp_data){
		.max_size = max_size,
		.max_line = max_line,
		.refuse_bare_cr = refuse_bare_cr,
		.state = SMTP_DATA_BOL,
		/* RFC 5321 4.1.1.4: the CRLF of the command is the one before a first dot. */
		.last = '\n',
	};
}

void smtp_data_init_bdat(struct smtp_data *d, uint64_t max_size, uint32_t max_line,
			 bool refuse_bare_cr)
{
	smtp_data_init(d, max_size, max_line, refuse_bare_cr);
	d->bdat = true;
	d->flags = RECORD_F_BDAT;
}

void smtp_data_init_passive(struct smtp_data *d, bool bdat)
{
	if (bdat)
		smtp_data_init_bdat(d, UINT64_MAX, 0, false);
	else
		smtp_data_init(d, UINT64_MAX, 0, false);
	d->passive = true;
}

/* Octets before the first CR, LF or NUL. *high gets a bit if one of them has its top bit set. */
static size_t span_plain(const uint8_t *p, size_t n, unsigned int *high)
{
	size_t i = 0;

#ifdef __SSE2__
	const __m128i cr = _mm_set1_epi8('\r'), lf = _mm_set1_epi8('\n');
	const __m128i nul = _mm_setzero_si128();

	for (; i + 16 <= n; i += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
		__m128i eol = _mm_or_si128(_mm_cmpeq_epi8(v, cr), _mm_cmpeq_epi8(v, lf));
		__m128i hit = _mm_or_si128(eol, _mm_cmpeq_epi8(v, nul));
		unsigned int stop = (unsigned int)_mm_movemask_epi8(hit);
		unsigned int top = (unsigned int)_mm_movemask_epi8(v);

		if (stop) {
			unsigned int k = (unsigned int)__builtin_ctz(stop);

			*high |= top & ((1u << k) - 1);
			return i + k;
		}
		*high |= top;
	}
#endif
	for (; i < n; i++) {
		if (p[i] == '\r' || p[i] == '\n' || p[i] == '\0')
			break;
		*high |= p[i] & 0x80u;
	}
	return i;
}

/* One call of smtp_data_feed(): p[run..at) is content not yet given to the sink. */
struct feed {
	struct smtp_data *d;
	const uint8_t *p;
	size_t n;
	size_t at;
	size_t run;
	size_t room;
	smtp_data_sink sink;
	void *ctx;
};

static void flush(struct feed *f)
{
	struct smtp_data *d = f->d;
	size_t n = f->at - f->run;

	/* Counted even if refused: which refusal it is must not hang on how the octets came. */
	d->size += n;
	if (d->size > d->max_size)
		d->too_big = true;
	if (n && !smtp_data_refused(d)) {
		f->sink(f->ctx, f->p + f->run, n);
		f->room -= n;
	}
	f->run = f->at;
}

/* How many more octets may be taken as content now. */
static size_t allowance(struct feed *f)
{
	size_t left = f->n - f->at, room;

	if (smtp_data_refused(f->d))
		return left;
	room = f->room - (f->at - f->run);
	return left < room ? left : room;
}

static void check_line(struct smtp_data *d)
{
	/* RFC 5321 4.5.3.1.6 */
	if (d->line_len > LIMIT_TEXT_LINE)
		d->flags |= RECORD_F_LONG_LINE;
	if (d->max_line && d->line_len > d->max_line)
		d->line_over = true;
}

/* p[at] shows that the CR before it was bare. */
static void bare_cr(struct smtp_data *d, uint8_t next)
{
	d->flags |= RECORD_F_BARE_CR;
	if (d->refuse_bare_cr || (!d->bdat && (d->cr_beside || next == '.')))
		d->bare_cr = true;
	if (next == '.')
		d->lookalike = true;
}

static void end_line(struct smtp_data *d)
{
	check_line(d);
	d->line_len = 0;
	d->state = SMTP_DATA_BOL;
}

/* In front of a line or within it. This is where the time goes: the rest is for what is odd. */
static void take_lines(struct feed *f, size_t allowed)
{
	struct smtp_data *d = f->d;
	struct smtp_lines l = {.line_len = d->line_len,
			       .longest = LIMIT_TEXT_LINE,
			       .begin = d->state == SMTP_DATA_BOL};
	size_t k;

	if (d->max_line && d->max_line < l.longest)
		l.longest = d->max_line;
	k = smtp_lines_take(f->p + f->at, allowed, &l);
	if (!k)
		return;
	f->at += k;
	d->line_len = l.line_len;
	d->state = l.begin ? SMTP_DATA_BOL : SMTP_DATA_TEXT;
	if (l.high)
		d->flags |= RECORD_F_8BIT;
}

/* Within a line, at least one octet allowed: plain octets and the one that ends their run. */
static void take_text(struct feed *f, size_t allowed)
{
	struct smtp_data *d = f->d;
	const uint8_t *p = f->p;
	unsigned int high = 0;
	size_t k = span_plain(p + f->at, allowed, &high);
	uint8_t before;

	if (high)
		d->flags |= RECORD_F_8BIT;
	f->at += k;
	d->line_len += k;
	d->state = SMTP_DATA_TEXT;
	if (k == allowed)
		return;
	before = f->at ? p[f->at - 1] : d->last;
	d->line_len++;
	switch (p[f->at++]) {
	case '\r':
		if (allowed - k >= 2 && p[f->at] == '\n') {
			f->at++;
			d->line_len++;
			end_line(d);
			break;
		}
		d->cr_beside = before == '.' || before == '\n';
		d->state = SMTP_DATA_CR;
		break;
	case '\n':
		/* RFC 5321 2.3.8: LF never stands alone. */
		if (d->bdat)
			d->flags |= RECORD_F_BARE_LF;
		else
			d->bare_lf = true;
		d->state = SMTP_DATA_ODD;
		break;
	default:
		d->flags |= RECORD_F_NUL;
		d->state = SMTP_DATA_ODD;
		break;
	}
}

/* An octet of content: counted, and left to the run. */
static void keep(struct feed *f)
{
	f->at++;
	f->d->line_len++;
}

/* States that look at one octet. True: taken; false: the octet is text of the line. */
static bool take_special(struct feed *f, uint8_t c)
{
	struct smtp_data *d = f->d;

	switch (d->state) {
	case SMTP_DATA_BOL:
		if (c != '.')
			return false;
		d->state = SMTP_DATA_DOT;
		if (d->bdat) {
			keep(f);
			return true;
		}
		flush(f); /* RFC 5321 4.5.2: this dot is not content */
		f->run = ++f->at;
		return true;
	case SMTP_DATA_DOT:
		if (c == '\r') {
			d->state = SMTP_DATA_DOTCR;
			if (d->bdat)
				keep(f);
			else
				f->run = ++f->at;
			return true;
		}
		d->lookalike |= c == '\n' || c == '\0';
		return false;
	case SMTP_DATA_DOTCR:
		if (c == '\n' && d->bdat) {
			keep(f);
			end_line(d);
			return true;
		}
		if (c == '\n') {
			f->run = ++f->at;
			d->state = SMTP_DATA_END;
			return true;
		}
		/* The CR was bare and stood beside a dot: refused, so that it is not missed. */
		d->lookalike = true;
		d->cr_beside = true;
		bare_cr(d, c);
		return false;
	case SMTP_DATA_CR:
		if (c != '\n') {
			bare_cr(d, c);
			return false;
		}
		keep(f);
		end_line(d);
		return true;
	case SMTP_DATA_ODD:
		d->lookalike |= c == '.';
		return false;
	default:
		return false;
	}
}

/* A dot behind CRLF and what may follow it are no content in DATA, so that they need no room. */
static bool needs_room(const struct smtp_data *d, uint8_t c)
{
	return d->bdat || !(d->state == SMTP_DATA_DOTCR ||
			    (d->state == SMTP_DATA_DOT && c == '\r') ||
			    (d->state == SMTP_DATA_BOL && c == '.'));
}

size_t smtp_data_feed(struct smtp_data *d, const uint8_t *p, size_t n, size_t room,
		      smtp_data_sink sink, void *ctx)
{
	struct feed f = {.d = d, .p = p, .n = n, .room = room, .sink = sink, .ctx = ctx};

	while (f.at < n && d->state != SMTP_DATA_END) {
		size_t allowed = allowance(&f);
		uint8_t c;

		if (allowed >= SMTP_LINES_BLOCK &&
		    (d->state == SMTP_DATA_BOL || d->state == SMTP_DATA_TEXT)) {
			take_lines(&f, allowed);
			if (f.at == n)
				break;
			allowed = allowance(&f);
		}
		c = p[f.at];
		if (!allowed && needs_room(d, c))
			break;
		if (d->state != SMTP_DATA_TEXT && take_special(&f, c))
			continue;
		allowed = allowance(&f);
		if (allowed)
			take_text(&f, allowed);
	}
	flush(&f);
	check_line(d);
	if (f.at)
		d->last = p[f.at - 1];
	return f.at;
}

void smtp_data_finish_bdat(struct smtp_data *d)
{
	if (d->state == SMTP_DATA_CR || d->state == SMTP_DATA_DOTCR) {
		d->lookalike |= d->state == SMTP_DATA_DOTCR;
		bare_cr(d, 0);
	}
	/* Content without an octet lacks nothing: it ends where the line before it did. */
	if (d->state != SMTP_DATA_BOL)
		d->flags |= RECORD_F_NO_FINAL_CRLF;
}
