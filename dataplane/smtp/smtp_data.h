/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The content of DATA: finds its end, removes dot-stuffing, notes what the octets show. RFC 5321
 * 2.3.8, 4.1.1.4, 4.5.2. Incremental at any split: no result depends on how the octets were cut.
 * The content of BDAT (RFC 3030) is looked at by the same machine, see smtp_data_init_bdat().
 *
 * End of data is CRLF "." CRLF and nothing else; the CRLF of the DATA command counts as the first.
 * A bare LF, or a bare CR beside a dot or an LF, spoils the message (other servers see an end of
 * data there): the rest is swallowed up to the true end, and the message is refused.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum smtp_data_state {
	SMTP_DATA_BOL,   /* behind CRLF */
	SMTP_DATA_TEXT,  /* within a line */
	SMTP_DATA_ODD,   /* behind a bare LF or a NUL: a dot here is a look-alike */
	SMTP_DATA_CR,    /* behind CR */
	SMTP_DATA_DOT,   /* behind CRLF "." */
	SMTP_DATA_DOTCR, /* behind CRLF "." CR */
	SMTP_DATA_END    /* never in BDAT */
};

struct smtp_data {
	uint64_t size;     /* octets of content so far, unstuffed */
	uint64_t line_len; /* of the line so far, unstuffed */
	uint64_t max_size;
	uint32_t max_line; /* with CRLF; 0: any */
	uint32_t flags;    /* RECORD_F_BARE_CR, _NUL, _8BIT, _LONG_LINE; in BDAT more */
	uint8_t state;     /* enum smtp_data_state */
	uint8_t last;      /* octet before */
	bool bdat;
	bool refuse_bare_cr;
	bool passive;      /* we are not the one who refuses: what is odd is noted only */
	bool cr_beside;    /* the octet before the CR of SMTP_DATA_CR was a dot or an LF */
	bool bare_lf;      /* reasons to refuse */
	bool bare_cr;
	bool too_big;
	bool line_over;
	bool lookalike;    /* something that another server may take for the end */
};

typedef void (*smtp_data_sink)(void *ctx, const uint8_t *p, size_t n);

void smtp_data_init(struct smtp_data *d, uint64_t max_size, uint32_t max_line, bool refuse_bare_cr);
/*
 * The content of BDAT, all chunks of a message in a row. Its length is told, not found: a dot is
 * content, nothing ends it. A bare LF is marked (RECORD_F_BARE_LF), a bare CR is refused by option
 * only. What another server may take for an end of data is noted all the same: that next hop may
 * be given this content.
 */
void smtp_data_init_bdat(struct smtp_data *d, uint64_t max_size, uint32_t max_line,
			 bool refuse_bare_cr);
/*
 * For who only watches (dataplane/tap): nothing refuses the message, all of it goes to the sink. What
 * was noted is in flags, bare_lf, bare_cr and lookalike all the same.
 */
void smtp_data_init_passive(struct smtp_data *d, bool bdat);
/* Behind the last octet of BDAT, once. May refuse: a CR that nothing followed was bare. */
void smtp_data_finish_bdat(struct smtp_data *d);

/*
 * Takes a prefix of p[0..n) and returns its length; gives at most `room` octets to the sink, in
 * order. Less than n is taken only for want of room, or because the end of data was in it (then
 * d->state is SMTP_DATA_END). Once the message is refused nothing goes to the sink and no room is
 * needed.
 */
size_t smtp_data_feed(struct smtp_data *d, const uint8_t *p, size_t n, size_t room,
		      smtp_data_sink sink, void *ctx);

static inline bool smtp_data_refused(const struct smtp_data *d)
{
	return !d->passive && (d->bare_lf || d->bare_cr || d->too_big || d->line_over);
}
