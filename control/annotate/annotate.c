/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/annotate/block.h"

/* Ranges lie within the content, in order, apart from each other. */
static bool ranges_are_sane(const struct mail_bytes *content, const struct mail_range *range,
			    size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		if (range[i].len == 0 || range[i].off < at || range[i].off > content->size ||
		    range[i].len > content->size - range[i].off)
			return false;
		at = range[i].off + range[i].len;
	}
	return true;
}

/* Walks over what stays of the content, piece by piece, in order. */
struct cursor {
	const struct mail_bytes *content;
	const struct mail_range *range;
	size_t n_ranges;
	size_t piece, piece_off; /* in the content */
	size_t off;              /* octets passed */
	size_t next;             /* range that is next */
};

static bool cursor_next(struct cursor *c, struct iovec *out)
{
	while (c->piece < c->content->n_iov) {
		const struct iovec *v = &c->content->iov[c->piece];
		size_t n = v->iov_len - c->piece_off;
		bool stays = true;

		if (n == 0) {
			c->piece++;
			c->piece_off = 0;
			continue;
		}
		if (c->next < c->n_ranges) {
			const struct mail_range *r = &c->range[c->next];

			stays = c->off < r->off;
			if (stays && n > r->off - c->off)
				n = r->off - c->off;
			else if (!stays && n > r->off + r->len - c->off)
				n = r->off + r->len - c->off;
		}
		*out = (struct iovec){(uint8_t *)v->iov_base + c->piece_off, n};
		c->piece_off += n;
		c->off += n;
		if (!stays && c->off == c->range[c->next].off + c->range[c->next].len)
			c->next++;
		if (stays)
			return true;
	}
	return false;
}

/* Behind out->block. Frees what there is of *out when it fails. */
static int add_pieces(struct annotate_output *out, const struct mail_bytes *content,
		      const struct mail_range *range, size_t n_ranges)
{
	struct cursor c = {.content = content, .range = range, .n_ranges = n_ranges};
	struct iovec v;
	int rc = -ENOMEM;

	/* Each range cuts a piece in two at most. */
	out->iov = calloc(content->n_iov + n_ranges + 1, sizeof(*out->iov));
	if (!out->iov)
		goto fail;
	out->iov[out->n_iov++] = (struct iovec){out->block, out->block_len};
	out->size = out->block_len;
	while (cursor_next(&c, &v)) {
		/* A first line that starts with white space would become a part of our last field.
		 */
		rc = -EINVAL;
		if (out->n_iov == 1 && ascii_is_wsp(*(const uint8_t *)v.iov_base))
			goto fail;
		out->iov[out->n_iov++] = v;
		out->size += v.iov_len;
	}
	return 0;
fail:
	annotate_free(out);
	return rc;
}

int annotate_make(const struct annotate_input *in, const struct mail_bytes *content,
		  const struct mail_range *range, size_t n_ranges, struct annotate_output *out)
{
	int rc;

	*out = (struct annotate_output){0};
	if (!ranges_are_sane(content, range, n_ranges))
		return -EINVAL;
	out->utf8 = in->env->smtputf8;
	rc = block_write(in, &out->block, &out->block_len);
	return rc ? rc : add_pieces(out, content, range, n_ranges);
}

int annotate_assemble(struct str block, bool utf8, const struct mail_bytes *content,
		      const struct mail_range *range, size_t n_ranges, struct annotate_output *out)
{
	*out = (struct annotate_output){.utf8 = utf8, .block_len = block.n};
	if (!block.n || !ranges_are_sane(content, range, n_ranges))
		return -EINVAL;
	out->block = malloc(block.n);
	if (!out->block)
		return -ENOMEM;
	memcpy(out->block, block.p, block.n);
	return add_pieces(out, content, range, n_ranges);
}

int annotate_on_top(struct annotate_output *out, const char *fields, size_t len)
{
	char *block;

	if (!block_is_well_formed(fields, len, out->utf8))
		return -EINVAL;
	block = malloc(len + out->block_len);
	if (!block)
		return -ENOMEM;
	memcpy(block, fields, len);
	memcpy(block + len, out->block, out->block_len);
	free(out->block);
	out->block = block;
	out->block_len += len;
	out->iov[0] = (struct iovec){block, out->block_len};
	out->size += len;
	return 0;
}

void annotate_free(struct annotate_output *out)
{
	free(out->block);
	free(out->iov);
	*out = (struct annotate_output){0};
}

int annotate_prove(const struct annotate_output *out, const struct mail_bytes *content,
		   const struct mail_range *range, size_t n_ranges)
{
	struct cursor c = {.content = content, .range = range, .n_ranges = n_ranges};
	size_t i = 1, removed = 0, total = 0;
	struct iovec v;

	if (!ranges_are_sane(content, range, n_ranges))
		return -EBADMSG;
	for (size_t k = 0; k < n_ranges; k++)
		removed += range[k].len;
	for (size_t k = 0; k < content->n_iov; k++)
		total += content->iov[k].iov_len;
	if (total != content->size || out->size != out->block_len + content->size - removed)
		return -EBADMSG;
	if (out->n_iov == 0 || out->iov[0].iov_base != out->block ||
	    out->iov[0].iov_len != out->block_len ||
	    !block_is_well_formed(out->block, out->block_len, out->utf8))
		return -EBADMSG;
	for (; cursor_next(&c, &v); i++)
		if (i >= out->n_iov || out->iov[i].iov_base != v.iov_base ||
		    out->iov[i].iov_len != v.iov_len)
			return -EBADMSG;
	if (i != out->n_iov || c.next != n_ranges)
		return -EBADMSG;
	/* The first octet behind the block must start a line of its own. */
	if (out->n_iov > 1 && ascii_is_wsp(*(const uint8_t *)out->iov[1].iov_base))
		return -EBADMSG;
	return 0;
}
