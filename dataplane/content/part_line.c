/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The attachment view: lines of parts, as content.h has them. */
#include "dataplane/content/content_priv.h"
#include "postern/utf8.h"

static void put(struct content *c, struct str s)
{
	run_put(&c->attachments, s.p, s.n);
}

static void put_number(struct content *c, uint64_t v)
{
	uint8_t digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (uint8_t)('0' + v % 10);
	while (v /= 10);
	run_put(&c->attachments, digits + at, sizeof(digits) - at);
}

static void put_hex(struct content *c, uint8_t octet, const char *digits)
{
	run_octet(&c->attachments, (uint8_t)digits[octet >> 4]);
	run_octet(&c->attachments, (uint8_t)digits[octet & 15]);
}

/* So that a word stays a word, and a name a name: what would end it is %XX, and what is no UTF-8.
 */
static void put_escaped(struct content *c, struct str s)
{
	for (size_t i = 0, len; i < s.n; i += len) {
		long cp = utf8_at(s, i, &len);

		if (cp >= 0x21 && cp != 0x7f && cp != '"' && cp != '%') {
			run_put(&c->attachments, s.p + i, len);
			continue;
		}
		run_octet(&c->attachments, '%');
		put_hex(c, s.p[i], "0123456789ABCDEF");
	}
}

static void put_name(struct content *c, struct str name)
{
	put(c, STR(" name=\""));
	put_escaped(c, name);
	put(c, STR("\""));
}

static void member(void *ctx, struct str name, uint32_t flags)
{
	struct content *c = ctx;

	c->n_members++;
	put(c, STR("member part="));
	put_number(c, c->part_index);
	if (flags & ATTACH_MEMBER_ENCRYPTED)
		put(c, STR(" encrypted"));
	if (flags & ATTACH_MEMBER_CUT)
		put(c, STR(" cut"));
	put_name(c, name);
	put(c, STR("\n"));
}

static void begin(struct content *c, struct str type)
{
	put(c, STR("part part="));
	put_number(c, c->part_index);
	put(c, STR(" type="));
	put_escaped(c, type);
}

static uint16_t copy(uint8_t *to, size_t room, struct str s)
{
	s = str_cut(s, room);
	if (s.n)
		memcpy(to, s.p, s.n);
	return (uint16_t)s.n;
}

/* mime/ keeps so much of it, and never half a character: what fills that may have had more. */
static bool may_be_cut(const struct content *c, struct str name)
{
	return name.n + 4 > sizeof(c->part_name);
}

void content_line_begin(struct content *c, const struct mime_part *part)
{
	c->part_index = part->index;
	c->n_part_type = copy(c->part_type, sizeof(c->part_type), part->type);
	c->n_part_name = copy(c->part_name, sizeof(c->part_name), part->name);
	c->part_name_cut = may_be_cut(c, part->name);
	content_attach_begin(&c->attach, c->plan->hash, LIMIT_CONTENT_MEMBERS - c->n_members, member, c);
}

void content_line_end(struct content *c)
{
	uint8_t sha256[32];
	enum content_type is = content_attach_end(&c->attach, sha256);

	begin(c, str_make(c->part_type, c->n_part_type));
	if (is != CONTENT_TYPE_unknown) {
		put(c, STR(" is="));
		put(c, str_c(content_type_name(is)));
	}
	put(c, STR(" size="));
	put_number(c, c->attach.size);
	if (c->plan->hash) {
		put(c, STR(" sha256="));
		for (size_t i = 0; i < sizeof(sha256); i++)
			put_hex(c, sha256[i], "0123456789abcdef");
	}
	if (content_attach_broken(&c->attach)) {
		c->marks |= CONTENT_M_ARCHIVE;
		put(c, STR(" broken"));
	}
	if (c->part_name_cut)
		put(c, STR(" cut"));
	if (c->n_part_name)
		put_name(c, str_make(c->part_name, c->n_part_name));
	put(c, STR("\n"));
}

void content_line_container(struct content *c, const struct mime_part *part)
{
	c->part_index = part->index;
	begin(c, part->type);
	if (may_be_cut(c, part->name))
		put(c, STR(" cut"));
	if (part->name.n)
		put_name(c, part->name);
	put(c, STR("\n"));
}
