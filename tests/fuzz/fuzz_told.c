/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>

#include "control/cli/told.h"
#include "control/cli/undo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void plain(const char *s, size_t cap)
{
	size_t n = strnlen(s, cap);

	if (n == cap)
		abort();
	for (size_t i = 0; i < n; i++)
		if (!ascii_is_vchar((uint8_t)s[i]) && s[i] != ' ')
			abort();
}

static void told(const struct headers *h)
{
	static struct told_list list;
	char text[1024];
	json_t *v;

	told_read(h, &list);
	for (size_t i = 0; i < list.n; i++) {
		const struct told *t = &list.told[i];

		if (t->n_dkim > TOLD_DKIM || (size_t)t->field >= h->n)
			abort();
		plain(t->by, sizeof(t->by));
		plain(t->spf, sizeof(t->spf));
		plain(t->mail_from, sizeof(t->mail_from));
		plain(t->error, sizeof(t->error));
		plain(told_text(t, text, sizeof(text)), sizeof(text));
	}
	v = told_json(&list);
	if (!v || json_array_size(v) != list.n)
		abort();
	json_decref(v);
}

/* No hash fits; all that is cut out is looked at. The bound on hashing is nearly reached already. */
static void inserted(struct str type, struct str body)
{
	static const struct dkim_params p = {.limit = UINT64_MAX};
	struct undo_hash hash = {.p = &p, .hashed = 95u << 20};
	struct undo_part out = {0};

	if (undo_inserted(&hash, type, body, &out) || out.n)
		abort();
}

/* The message as explain reads it: verdicts of servers, parts of a multipart, encodings. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct iovec iov = {(void *)(uintptr_t)data, size};
	struct mail_bytes content = {&iov, 1, size};
	struct undo_mime part[UNDO_PARTS];
	uint8_t *out = malloc(size + 1);
	struct headers h;
	struct str body;
	size_t n;

	if (!out || headers_parse(&h, &content))
		abort();
	told(&h);
	body = str_make(data + h.body_off, size - h.body_off);
	n = undo_parts(header_value(&h, headers_find(&h, STR("Content-Type"), 0)), body, part);
	if (n > UNDO_PARTS)
		abort();
	for (size_t i = 0; i < n; i++) {
		if (part[i].body.p < body.p || part[i].body.p + part[i].body.n > body.p + body.n)
			abort();
		(void)undo_decode(part[i].encoding, part[i].body, out, part[i].body.n);
	}
	if (undo_decode(STR("quoted-printable"), body, out, body.n) > (long)body.n ||
	    undo_decode(STR("base64"), body, out, body.n) > (long)body.n)
		abort();
	inserted(header_value(&h, headers_find(&h, STR("Content-Type"), 0)), body);
	headers_free(&h);
	free(out);
	return 0;
}
