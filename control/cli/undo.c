/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What was done to the header: changes that are usual, taken back alone and up to three together.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/undo.h"

#define MAX_TRIES     4096 /* of one signature; each costs a verification, 0.1 s in all */
#define MAX_SUBJECT   998  /* octets of a Subject that is cut */
#define MAX_TAGS      48
#define MAX_FROMS     5
#define MAX_DROPS     16
#define MAX_ENCODINGS 16
#define ROOM          (256u * 1024) /* for fields that are put in place of others */

/* A field that is put in place of another, or left out. */
struct change {
	size_t field; /* h->n: one more */
	bool drop;
	struct header_field put;
};

/* One way to take a change back. Index 0 of each kind is: there was none. */
struct option {
	struct undo_step step;
	struct change change[2];
	size_t n;
};

enum kind { TAG, FROM, DROP, ENCODING, KINDS };

struct header_undo {
	const struct headers *h;
	const struct dkim_signature *sig;
	const struct dkim_params *p;
	const struct look_txt *key;
	uint8_t *block; /* the header block, and behind it what is put in */
	size_t used;
	struct header_field *field;
	struct option option[KINDS][MAX_TAGS];
	size_t n[KINDS];
	unsigned int tries;
};

static const size_t most[KINDS] = {MAX_TAGS, MAX_FROMS, MAX_DROPS, MAX_ENCODINGS};

/* ---- options -------------------------------------------------------------------------------- */

static struct option *add(struct header_undo *u, enum kind kind, const char *what)
{
	struct option *o;

	if (u->n[kind] == most[kind])
		return NULL;
	o = &u->option[kind][u->n[kind]++];
	*o = (struct option){.step.what = what};
	return o;
}

/* "name:" and the value in two pieces, as one more field of the block. */
static bool write_field(struct header_undo *u, struct str name, struct str a, struct str b,
			struct header_field *out)
{
	size_t off = u->used, len = name.n + 1 + a.n + b.n + 2;
	uint8_t *p = u->block + off;

	if (len > u->h->size + ROOM - off || len > LIMIT_HEADER_FIELD)
		return false;
	memcpy(p, name.p, name.n);
	p[name.n] = ':';
	if (a.n)
		memcpy(p + name.n + 1, a.p, a.n);
	if (b.n)
		memcpy(p + name.n + 1 + a.n, b.p, b.n);
	memcpy(p + len - 2, "\r\n", 2);
	*out = (struct header_field){.off = (uint32_t)off,
				     .len = (uint32_t)len,
				     .name_len = (uint16_t)name.n,
				     .value_off = (uint32_t)(off + name.n + 1)};
	u->used += len;
	return true;
}

/* The option gets one more field changed. */
static bool put(struct header_undo *u, struct option *o, size_t field, struct str name,
		struct str a, struct str b)
{
	struct change *c = &o->change[o->n];

	c->field = field;
	if (!write_field(u, name, a, b, &c->put))
		return false;
	o->n++;
	return true;
}

/* Without the octets [from, to) of the value of a field. */
static void cut_out(struct header_undo *u, size_t field, size_t from, size_t to)
{
	struct str v = header_value(u->h, field);
	struct option *o = add(u, TAG, "subject-tag");
	char tag[80];

	if (!o)
		return;
	snprintf(o->step.text, sizeof(o->step.text), "\"%s\" is taken off the Subject",
		 look_clean(str_trim(str_make(v.p + from, to - from)), tag, sizeof(tag)));
	if (!put(u, o, field, header_name(u->h, field), str_cut(v, from), str_skip(v, to)))
		u->n[TAG]--;
}

/* Behind which octets a tag in front may end, and at which one behind may begin. */
static bool ends_tag(uint8_t c)
{
	return ascii_is_wsp(c) || memchr("]})>:*|-#!", c, 10);
}

/* Octets of the "Re:" in front; lists put their tag behind it. */
static size_t reply_mark(struct str v)
{
	static const char *const mark[] = {"re:", "fwd:", "fw:", "aw:", "wg:"};
	size_t lead = 0;

	while (lead < v.n && ascii_is_wsp_crlf(v.p[lead]))
		lead++;
	for (size_t i = 0; i < sizeof(mark) / sizeof(mark[0]); i++)
		if (str_istarts(str_skip(v, lead), str_c(mark[i]))) {
			size_t n = lead + strlen(mark[i]);

			while (n < v.n && ascii_is_wsp_crlf(v.p[n]))
				n++;
			return n;
		}
	return 0;
}

static void tags_in_front(struct header_undo *u, size_t field, struct str v, size_t start)
{
	while (start < v.n && ascii_is_wsp_crlf(v.p[start]))
		start++;
	for (size_t i = start; i + 1 < v.n && u->n[TAG] + 8 < MAX_TAGS; i++)
		if (ends_tag(v.p[i]) && !ascii_is_wsp_crlf(v.p[i + 1]))
			cut_out(u, field, start, i + 1);
}

static void subject_options(struct header_undo *u)
{
	size_t field = headers_find(u->h, STR("Subject"), 0);
	struct str v = header_value(u->h, field);
	size_t mark;

	if (field >= u->h->n || v.n > MAX_SUBJECT)
		return;
	mark = reply_mark(v);
	if (mark)
		tags_in_front(u, field, v, mark);
	tags_in_front(u, field, v, 0);
	for (size_t i = v.n; i > 1; i--)
		if (ascii_is_wsp(v.p[i - 2]) && memchr("[({<*|-#", v.p[i - 1], 8)) {
			size_t start = i - 1;

			while (start && ascii_is_wsp(v.p[start - 1]))
				start--;
			cut_out(u, field, start, v.n);
		}
}

/* Lists that write their own address into From keep the author's elsewhere. */
static void from_options(struct header_undo *u)
{
	static const char *const kept[] = {"X-Original-From", "Original-From",
					   "X-Google-Original-From", "Reply-To"};
	size_t from = headers_find(u->h, STR("From"), 0);

	if (from >= u->h->n)
		return;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		size_t k = headers_find(u->h, str_c(kept[i]), 0);
		struct option *o = k < u->h->n ? add(u, FROM, "from") : NULL;

		if (!o)
			continue;
		snprintf(o->step.text, sizeof(o->step.text), "From is put back as it stands in %s",
			 kept[i]);
		if (!put(u, o, from, header_name(u->h, from), header_value(u->h, k), STR_NONE))
			u->n[FROM]--;
	}
}

/* A signed name that was not there when it was signed, or not so often. */
static void drop_options(struct header_undo *u)
{
	for (size_t i = 0; i < u->sig->n_signed; i++) {
		struct str name = u->sig->signed_names[i];
		size_t field = headers_find(u->h, name, 0);
		bool again = false;
		struct option *o;
		char text[64];

		for (size_t k = 0; k < i; k++)
			again |= str_ieq(u->sig->signed_names[k], name);
		if (again || field >= u->h->n || field == u->sig->field)
			continue;
		o = add(u, DROP, "field-added");
		if (!o)
			return;
		snprintf(o->step.text, sizeof(o->step.text), "the added %s is left out",
			 look_clean(header_name(u->h, field), text, sizeof(text)));
		o->change[0] = (struct change){.field = field, .drop = true};
		o->n = 1;
	}
}

/* A field put in place of the one called `name`, or beside the others. n == 0: it is dropped. */
static bool replace(struct header_undo *u, struct option *o, const char *name, struct str value)
{
	size_t field = headers_find(u->h, str_c(name), 0);

	if (value.p)
		return put(u, o, field, field < u->h->n ? header_name(u->h, field) : str_c(name),
			   value, STR_NONE);
	if (field < u->h->n)
		o->change[o->n++] = (struct change){.field = field, .drop = true};
	return true;
}

static void encoding_options(struct header_undo *u, const struct look *l)
{
	static const char *const encoding[] = {" 8bit", " 7bit", " quoted-printable", " base64"};
	static const char cte[] = "Content-Transfer-Encoding";
	struct str type = header_value(u->h, headers_find(u->h, STR("Content-Type"), 0));
	struct str body = str_make(l->data + u->h->body_off, l->content.size - u->h->body_off);
	struct undo_mime part[UNDO_PARTS];
	size_t n = undo_parts(type, body, part);
	struct option *o;

	for (size_t i = 0; i < sizeof(encoding) / sizeof(encoding[0]); i++) {
		o = add(u, ENCODING, "encoding");
		if (o && !replace(u, o, cte, str_c(encoding[i])))
			u->n[ENCODING]--;
		else if (o)
			snprintf(o->step.text, sizeof(o->step.text), "%s is%s again", cte,
				 encoding[i]);
	}
	for (size_t i = 0; i < n; i++) {
		o = add(u, ENCODING, "wrapped");
		if (!o)
			return;
		snprintf(o->step.text, sizeof(o->step.text),
			 "Content-Type is that of part %zu of the multipart around it", i + 1);
		if (!replace(u, o, "Content-Type", part[i].type) ||
		    !replace(u, o, cte, part[i].encoding))
			u->n[ENCODING]--;
	}
}

/* ---- trying --------------------------------------------------------------------------------- */

/* The fields with these options in force; *own follows the signature's. */
static size_t apply(struct header_undo *u, const size_t which[KINDS], size_t *own)
{
	size_t n = 0;

	for (size_t i = 0; i < u->h->n; i++) {
		const struct change *c = NULL;

		for (int k = 0; k < KINDS; k++)
			for (size_t j = 0; j < u->option[k][which[k]].n; j++)
				if (u->option[k][which[k]].change[j].field == i)
					c = &u->option[k][which[k]].change[j];
		if (i == u->sig->field)
			*own = n;
		if (!c)
			u->field[n++] = u->h->field[i];
		else if (!c->drop)
			u->field[n++] = c->put;
	}
	for (int k = 0; k < KINDS; k++)
		for (size_t j = 0; j < u->option[k][which[k]].n; j++)
			if (u->option[k][which[k]].change[j].field >= u->h->n)
				u->field[n++] = u->option[k][which[k]].change[j].put;
	return n;
}

static bool verifies(struct header_undo *u, const size_t which[KINDS])
{
	struct headers t = {.block = u->block, .size = u->used, .field = u->field};
	struct dkim_key_verdict v = {.result = DKIM_NONE};
	uint8_t digest[CANON_DIGEST];
	size_t own = 0;
	struct str cut;

	if (++u->tries > MAX_TRIES)
		return false;
	t.n = apply(u, which, &own);
	cut = str_make(u->block + (u->p->b_raw.p - u->h->block), u->p->b_raw.n);
	if (canon_headers(&t, u->sig->signed_names, u->sig->n_signed, own, cut, u->p->header_canon,
			  digest))
		return false;
	for (size_t i = 0; i < u->key->n && v.result != DKIM_PASS; i++)
		dkim_key_try(NULL, u->key->record[i], u->p, digest, &v);
	return v.result == DKIM_PASS;
}

/* Every choice of options with `changes` of the kinds from `kind` on changed. */
static bool search(struct header_undo *u, size_t which[KINDS], int kind, size_t changes)
{
	if (kind == KINDS)
		return changes == 0 && verifies(u, which);
	which[kind] = 0;
	if (search(u, which, kind + 1, changes))
		return true;
	for (size_t i = 1; changes && i < u->n[kind] && u->tries <= MAX_TRIES; i++) {
		which[kind] = i;
		if (search(u, which, kind + 1, changes - 1))
			return true;
	}
	which[kind] = 0;
	return false;
}

static void report(const struct header_undo *u, const size_t which[KINDS], struct undo_part *out)
{
	for (int k = 0; k < KINDS; k++)
		if (which[k] && out->n < UNDO_STEPS)
			out->step[out->n++] = u->option[k][which[k]].step;
	out->whole = out->n == 0;
}

int undo_header(struct look *l, const struct dkim_signature *sig, const struct dkim_params *p,
		const struct look_txt *key, struct undo_part *out)
{
	const struct headers *h = &l->headers;
	struct header_undo *u = calloc(1, sizeof(*u));
	size_t which[KINDS] = {0};
	int rc = -ENOMEM;

	*out = (struct undo_part){0};
	if (!u)
		return rc;
	*u = (struct header_undo){.h = h, .sig = sig, .p = p, .key = key, .used = h->size};
	u->block = malloc(h->size + ROOM);
	u->field = calloc(h->n + 2 * KINDS, sizeof(*u->field));
	if (!u->block || !u->field)
		goto out;
	rc = 0;
	memcpy(u->block, h->block, h->size);
	for (int k = 0; k < KINDS; k++)
		u->n[k] = 1;
	subject_options(u);
	from_options(u);
	drop_options(u);
	encoding_options(u, l);
	for (size_t changes = 0; changes <= UNDO_STEPS; changes++)
		if (search(u, which, 0, changes)) {
			report(u, which, out);
			break;
		}
out:
	free(u->block);
	free(u->field);
	free(u);
	return rc;
}

int undo_try(struct look *l, const struct dkim_signature *sig, struct undo *out)
{
	const struct dkim_options opt = {.now = l->now};
	struct look_txt *key = malloc(sizeof(*key));
	struct dkim_signature again = {.field = sig->field};
	struct dkim_params *p = malloc(sizeof(*p));
	int rc = -ENOMEM;

	*out = (struct undo){0};
	if (!key || !p)
		goto out;
	rc = dkim_signature_parse(header_value(&l->headers, sig->field), DKIM_FIELD_SIGNATURE, &opt,
				  p, &again);
	if (rc)
		goto out;
	look_txt(l, p->key_name, key);
	rc = key->n ? undo_header(l, &again, p, key, &out->header) : -ENOENT;
	if (!rc)
		undo_body(l, p, &out->body);
out:
	free(again.signed_names);
	free(key);
	free(p);
	return rc;
}
