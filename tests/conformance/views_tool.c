/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * views-tool [-s STEP] parts|views FILE... — the structure or the views of each message, one line
 * of JSON each; views-tool [-s STEP] charset LABEL FILE — the file in UTF-8. Fed in runs of STEP
 * octets. Octets are code points in the JSON, as they may not be UTF-8.
 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/content/charset.h"
#include "dataplane/content/content.h"
#include "dataplane/content/mime.h"

struct octets {
	uint8_t *p;
	size_t n, room;
};

static void add(struct octets *o, const uint8_t *p, size_t n)
{
	if (n > o->room - o->n) {
		o->room = 2 * (o->n + n);
		o->p = realloc(o->p, o->room);
		if (!o->p)
			abort();
	}
	if (n)
		memcpy(o->p + o->n, p, n);
	o->n += n;
}

static json_t *latin1(const uint8_t *p, size_t n)
{
	struct octets o = {.n = 0};
	json_t *j;

	for (size_t i = 0; i < n; i++) {
		uint8_t two[2] = {(uint8_t)(0xc0 | p[i] >> 6), (uint8_t)(0x80 | (p[i] & 0x3f))};

		if (p[i] < 0x80)
			add(&o, p + i, 1);
		else
			add(&o, two, 2);
	}
	j = json_stringn(o.n ? (const char *)o.p : "", o.n);
	free(o.p);
	return j;
}

static struct octets load(const char *path)
{
	struct octets o = {.n = 0};
	FILE *f = fopen(path, "rb");
	uint8_t buf[65536];
	size_t n;

	if (!f) {
		perror(path);
		exit(2);
	}
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		add(&o, buf, n);
	fclose(f);
	return o;
}

static void print(json_t *j)
{
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(j);
}

/* ---- parts ---- */

struct parts {
	json_t *list, *open;
	struct octets data;
};

static void on_field(void *ctx, const struct mime_field *f)
{
	(void)ctx;
	(void)f;
}

static void on_header(void *ctx)
{
	(void)ctx;
}

static size_t on_part(void *ctx, const struct mime_part *p)
{
	struct parts *t = ctx;

	t->open =
		json_pack("{s:i,s:i,s:i,s:b,s:o,s:o,s:o}", "depth", p->depth, "kind", p->kind,
			  "encoding", p->encoding, "attachment", p->attachment, "type",
			  latin1(p->type.p, p->type.n), "charset",
			  latin1(p->charset.p, p->charset.n), "name", latin1(p->name.p, p->name.n));
	json_array_append_new(t->list, t->open);
	t->data.n = 0;
	return SIZE_MAX;
}

static void on_data(void *ctx, const uint8_t *p, size_t n)
{
	add(&((struct parts *)ctx)->data, p, n);
}

static void on_end(void *ctx, uint64_t encoded)
{
	struct parts *t = ctx;

	json_object_set_new(t->open, "encoded", json_integer((json_int_t)encoded));
	json_object_set_new(t->open, "data", latin1(t->data.p, t->data.n));
}

static void parts(struct octets in, size_t step)
{
	struct parts t = {.list = json_array()};
	const struct mime_sink sink = {on_field, on_header, on_part, on_data, on_end, &t};
	struct mime *m = malloc(sizeof(*m));

	if (!m)
		abort();
	mime_begin(m, &sink);
	for (size_t i = 0; i < in.n; i += step)
		mime_feed(m, in.p + i, step < in.n - i ? step : in.n - i);
	mime_end(m);
	print(json_pack("{s:i,s:o}", "marks", (int)m->marks, "parts", t.list));
	free(t.data.p);
	free(m);
}

/* ---- views ---- */

static const struct content_selector selectors[] = {
	{CONTENT_FIELD, CONTENT_DECODED, CONTENT_PICK_ALL, STR("subject")},
	{CONTENT_FIELD, CONTENT_RAW, CONTENT_PICK_ALL, STR("subject")},
	{CONTENT_FIELD, CONTENT_ADDR, CONTENT_PICK_ALL, STR("from")},
	{CONTENT_FIELD, CONTENT_NAME, CONTENT_PICK_ALL, STR("from")},
	{CONTENT_FIELD, CONTENT_DECODED, CONTENT_PICK_FIRST, STR("received")},
	{CONTENT_FIELD, CONTENT_DECODED, CONTENT_PICK_LAST, STR("received")},
	{CONTENT_ALL, CONTENT_DECODED, CONTENT_PICK_ALL, STR_NONE},
	{CONTENT_ALL, CONTENT_RAW, CONTENT_PICK_ALL, STR_NONE},
	{CONTENT_TOCC, CONTENT_DECODED, CONTENT_PICK_ALL, STR_NONE},
	{CONTENT_MESSAGEID, CONTENT_DECODED, CONTENT_PICK_ALL, STR_NONE},
	{CONTENT_MIMEFIELD, CONTENT_DECODED, CONTENT_PICK_ALL, STR("content-type")},
};
#define N_SELECTORS (sizeof(selectors) / sizeof(selectors[0]))
static const char *const slot_name[] = {
	[VIEW_BODY] = "body",
	[VIEW_RAWBODY] = "rawbody",
	[VIEW_URI] = "uri",
	[VIEW_ATTACHMENT] = "attachment",
	[VIEW_COUNT] = "subject",
	"subject:raw",
	"from:addr",
	"from:name",
	"received:first",
	"received:last",
	"all",
	"all:raw",
	"tocc",
	"messageid",
	"content-type",
};

struct views {
	struct octets slot[VIEW_COUNT + N_SELECTORS];
	uint8_t state[VIEW_COUNT + N_SELECTORS]; /* 0 not given, 1 open, 2 over */
};

static void on_run(void *ctx, unsigned int slot, const uint8_t *p, size_t n, unsigned int flags)
{
	struct views *v = ctx;

	if (slot >= VIEW_COUNT + N_SELECTORS || n > CONTENT_RUN ||
	    (!n && !(flags & CONTENT_RUN_LAST)) || v->state[slot] != !(flags & CONTENT_RUN_FIRST)) {
		fprintf(stderr, "a run that cannot be\n");
		abort();
	}
	v->state[slot] = flags & CONTENT_RUN_LAST ? 2 : 1;
	add(&v->slot[slot], p, n);
}

static void views(struct octets in, size_t step)
{
	const struct content_plan plan = {
		.views = 1u << VIEW_BODY | 1u << VIEW_RAWBODY | 1u << VIEW_URI |
			 1u << VIEW_ATTACHMENT,
		.selector = selectors,
		.n_selectors = N_SELECTORS,
		.hash = true,
	};
	struct views *v = calloc(1, sizeof(*v));
	struct content_sink sink = {on_run, v};
	void *mem = aligned_alloc(64, content_size());
	json_t *out = json_object();
	struct content *c;

	if (!v || !mem)
		abort();
	c = content_init(mem);
	content_begin(c, &plan, &sink);
	for (size_t i = 0; i < in.n; i += step)
		content_feed(c, in.p + i, step < in.n - i ? step : in.n - i);
	content_end(c);
	json_object_set_new(out, "marks", json_integer(content_marks(c)));
	for (unsigned int i = 0; i < VIEW_COUNT + N_SELECTORS; i++) {
		if (v->state[i] == 1)
			abort();
		if (v->state[i])
			json_object_set_new(out, slot_name[i], latin1(v->slot[i].p, v->slot[i].n));
		free(v->slot[i].p);
	}
	print(out);
	free(mem);
	free(v);
}

static void charset(const char *label, struct octets in, size_t step)
{
	uint8_t *buf = malloc(CHARSET_OUT(step));
	struct charset c;

	if (!buf || charset_begin(&c, str_c(label))) {
		fprintf(stderr, "%s: not known\n", label);
		exit(1);
	}
	for (size_t i = 0; i < in.n; i += step)
		fwrite(buf, 1, charset_feed(&c, in.p + i, step < in.n - i ? step : in.n - i, buf),
		       stdout);
	fwrite(buf, 1, charset_end(&c, buf), stdout);
	free(buf);
}

static _Noreturn void usage(void)
{
	fputs("usage: views-tool [-s STEP] parts|views FILE... | charset LABEL FILE\n", stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	size_t step = 1u << 20;
	int i = 1;

	if (argc > 3 && strcmp(argv[1], "-s") == 0) {
		step = strtoul(argv[2], NULL, 10);
		i = 3;
	}
	if (argc < i + 2 || !step)
		usage();
	if (strcmp(argv[i], "charset") == 0) {
		struct octets in;

		if (argc != i + 3)
			usage();
		in = load(argv[i + 2]);
		charset(argv[i + 1], in, step);
		free(in.p);
		return 0;
	}
	if (strcmp(argv[i], "parts") != 0 && strcmp(argv[i], "views") != 0)
		usage();
	for (int k = i + 1; k < argc; k++) {
		struct octets in = load(argv[k]);

		if (argv[i][0] == 'p')
			parts(in, step);
		else
			views(in, step);
		free(in.p);
	}
	return 0;
}
