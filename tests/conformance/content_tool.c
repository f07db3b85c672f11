/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * content-tool [-s STEP] html|text|decode|address|name FILE... — what the content library makes of
 * each file, one line of JSON each: {"text": …, "uris": […]} for html and text (UTF-8), {"text": …}
 * for the value of a header field. -s: fed in runs of so many octets.
 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/content/test_words.h"
#include "dataplane/content/uri.h"
#include "dataplane/content/words.h"

#define INPUT_MAX (64u << 20)

struct collected {
	char *text;
	size_t n, room;
	json_t *uris;
	struct uri *uri;
	enum html_link kind;
};

static void collect(void *ctx, const uint8_t *p, size_t n)
{
	struct collected *c = ctx;

	if (n > c->room - c->n) {
		c->room = 2 * (c->n + n);
		c->text = realloc(c->text, c->room);
		if (!c->text)
			abort();
	}
	memcpy(c->text + c->n, p, n);
	c->n += n;
}

static void html_text(void *ctx, const uint8_t *p, size_t n)
{
	struct collected *c = ctx;

	collect(c, p, n);
	uri_text(c->uri, p, n);
}

static void link_found(void *ctx, enum html_link kind, struct str url)
{
	struct collected *c = ctx;

	uri_link(c->uri, kind, url);
}

/* Octets as they are, one code point each: what is compared may not be UTF-8. */
static json_t *latin1(const uint8_t *p, size_t n)
{
	char *buf = malloc(2 * n + 1);
	size_t k = 0;
	json_t *j;

	if (!buf)
		abort();
	for (size_t i = 0; i < n; i++) {
		if (p[i] < 0x80) {
			buf[k++] = (char)p[i];
		} else {
			buf[k++] = (char)(0xc0 | p[i] >> 6);
			buf[k++] = (char)(0x80 | (p[i] & 0x3f));
		}
	}
	j = json_stringn(buf, k);
	free(buf);
	return j;
}

static void uri_given(void *ctx, const uint8_t *p, size_t n)
{
	struct collected *c = ctx;

	json_array_append_new(c->uris, latin1(p, n));
}

static void run(const char *mode, const uint8_t *p, size_t n, size_t step, struct html *html,
		struct uri *uri)
{
	struct collected c = {.uris = json_array(), .uri = uri};
	struct uri_sink uri_sink = {uri_given, &c};
	struct html_sink html_sink = {html_text, link_found, &c};
	struct test_charset state = {0};
	struct words_charset charset = TEST_CHARSET(state);
	json_t *all = json_object();
	bool is_html = !strcmp(mode, "html"), is_text = !strcmp(mode, "text");

	uri_begin(uri, &uri_sink);
	html_begin(html, &html_sink);
	for (size_t i = 0; i < n && (is_html || is_text); i += step) {
		size_t take = step < n - i ? step : n - i;

		if (is_html)
			html_feed(html, p + i, take);
		else
			html_text(&c, p + i, take);
	}
	html_end(html);
	uri_text_end(uri);
	if (!strcmp(mode, "decode"))
		words_decode(str_make(p, n), &charset, collect, &c);
	else if (!strcmp(mode, "address"))
		words_addresses(str_make(p, n), 1, collect, &c);
	else if (!strcmp(mode, "name"))
		words_names(str_make(p, n), 1, &charset, collect, &c);
	json_object_set_new(all, "text", latin1((uint8_t *)c.text, c.n));
	json_object_set_new(all, "uris", c.uris);
	json_dumpf(all, stdout, JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(all);
	free(c.text);
}

int main(int argc, char **argv)
{
	size_t step = INPUT_MAX;
	struct html *html = html_init(aligned_alloc(64, (html_size() + 63) / 64 * 64));
	struct uri *uri = uri_init(aligned_alloc(64, (uri_size() + 63) / 64 * 64));
	uint8_t *buf = malloc(INPUT_MAX);
	int at = 1;

	if (argc > 2 && !strcmp(argv[1], "-s")) {
		step = strtoul(argv[2], NULL, 10);
		at = 3;
	}
	if (argc - at < 2 || !step || !buf) {
		fprintf(stderr,
			"usage: content-tool [-s STEP] html|text|decode|address|name FILE...\n");
		return 2;
	}
	for (int i = at + 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		size_t n;

		if (!f) {
			perror(argv[i]);
			return 2;
		}
		n = fread(buf, 1, INPUT_MAX, f);
		fclose(f);
		run(argv[at], buf, n, step, html, uri);
	}
	free(buf);
	free(html);
	free(uri);
	return 0;
}
