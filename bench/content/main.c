/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * bench/content [--reps N] — what the renderer of HTML, the finder of URIs and the decoder of words
 * cost on one core, in GB/s of input: mail as it is, and input made to cost most, each of 1 MiB and
 * of 2 MiB. The last column is how many times as long the double takes an octet: above 1.3
 * something is not linear. The median of N repetitions; see bench/README.md.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/content/html.h"
#include "dataplane/content/test_words.h"
#include "dataplane/content/uri.h"
#include "dataplane/content/words.h"

#define SIZE     (1u << 20)
#define RUN      (64u * 1024) /* CONTENT_RUN */
#define REPS_MAX 101

static struct html *html;
static struct uri *uri;
static uint8_t *input;
static uint64_t octets_out, uris_out; /* so that nothing is optimised away, and to look at */

static void text_out(void *ctx, const uint8_t *p, size_t n)
{
	(void)ctx;
	(void)p;
	octets_out += n;
}

static void link_out(void *ctx, enum html_link kind, struct str url)
{
	(void)ctx;
	(void)kind;
	octets_out += url.n;
}

static void uri_out(void *ctx, const uint8_t *p, size_t n)
{
	(void)ctx;
	(void)p;
	octets_out += n;
	uris_out++;
}

static void run_html(size_t n)
{
	static const struct html_sink sink = {text_out, link_out, NULL};

	html_begin(html, &sink);
	for (size_t i = 0; i < n; i += RUN)
		html_feed(html, input + i, RUN);
	html_end(html);
}

static void run_uri(size_t n)
{
	static const struct uri_sink sink = {uri_out, NULL};

	uri_begin(uri, &sink);
	for (size_t i = 0; i < n; i += RUN)
		uri_text(uri, input + i, RUN);
	uri_text_end(uri);
}

/* Fields of 64 KiB, LIMIT_HEADER_FIELD. */
static void run_words(size_t n)
{
	struct test_charset state = {0};
	struct words_charset cs = TEST_CHARSET(state);

	for (size_t i = 0; i < n; i += RUN)
		(void)words_decode(str_make(input + i, RUN), &cs, text_out, NULL);
}

static void run_mailboxes(size_t n)
{
	struct test_charset state = {0};
	struct words_charset cs = TEST_CHARSET(state);

	for (size_t i = 0; i < n; i += RUN) {
		(void)words_addresses(str_make(input + i, RUN), SIZE, text_out, NULL);
		(void)words_names(str_make(input + i, RUN), SIZE, &cs, text_out, NULL);
	}
}

static void run_param(size_t n)
{
	struct test_charset state = {0};
	struct words_charset cs = TEST_CHARSET(state);
	static uint8_t buf[LIMIT_URI];
	uint32_t marks = 0;
	size_t len;

	for (size_t i = 0; i < n; i += RUN) {
		(void)words_param(str_make(input + i, RUN), STR("name"), &cs, buf, sizeof(buf),
				  &len, &marks);
		octets_out += len;
	}
}

static const char prose[] =
	"We are writing to let you know that the terms of your account will change next month. "
	"Nothing has to be done on your side; the new terms apply from the first of the month on. "
	"If you have questions, our staff will answer them (Monday to Friday, 9:00 to 17:30).\n"
	"The invoice no. 2026.1142 of 3.5. is enclosed. Please note: the amount is 1,250.00 "
	"EUR.\n\n";

static const char newsletter[] =
	"<tr><td class=\"c\" style=\"padding:0 "
	"12px;font-family:Arial,Helvetica,sans-serif;font-size:"
	"14px;line-height:21px;color:#333333\" width=\"280\" valign=\"top\">\r\n"
	"  <a href=\"https://click.example.com/t?id=8812&amp;u=77aa&amp;l=3\" "
	"style=\"color:#0066cc\">"
	"<img src=\"https://img.example.net/a/b/c.png\" width=\"280\" height=\"120\" alt=\"\" "
	"border=\"0\"></a>\r\n  <p style=\"margin:0\">The new collection is here &ndash; with more "
	"than "
	"forty colours, made to last, and now&nbsp;for a short time at half the price. Delivery is "
	"free "
	"within three days for every order above 40&euro;.</p>\r\n</td></tr>\r\n";

static const char plain_html[] =
	"<p>We are writing to let you know that the terms of your account will change next month. "
	"Nothing has to be done on your side; the new terms apply from the first of the month on. "
	"If you have <b>questions</b>, our staff will answer them (Monday to Friday, 9:00 to "
	"17:30).\n"
	"The invoice no. 2026.1142 of 3.5. is enclosed. Please note: the amount is 1,250.00 "
	"EUR.</p>\n";

static const struct {
	const char *name;
	void (*run)(size_t n);
	const char *piece; /* repeated */
	const char *first; /* stands once in front */
} t[] = {
	{"html, prose with few tags", run_html, plain_html, ""},
	{"html, a newsletter of tables and styles", run_html, newsletter, ""},
	{"html, text alone", run_html, prose, ""},
	{"uri, prose", run_uri, prose, ""},
	{"uri, prose with a link every 700 octets", run_uri,
	 "It is said that all of it can be read at https://www.example.com/news/2026/11?id=7. "
	 "The rest is prose that holds nothing of the kind but is there to be read as well by all "
	 "who "
	 "want to, and it goes on for some while so that there is enough of it to look at in one "
	 "go, "
	 "and it goes on for some while so that there is enough of it to look at in one go. "
	 "and it goes on for some while so that there is enough of it to look at in one go, "
	 "and it goes on for some while so that there is enough of it to look at in one go, "
	 "and it goes on for some while so that there is enough of it to look at in one go, "
	 "and it goes on for some while so that there is enough of it to look at in one go.\n",
	 ""},
	{"words, a field of encoded-words", run_words,
	 "=?utf-8?B?w6TDtsO8IHRleHQ=?= =?utf-8?Q?=C3=A4?= ", ""},
	{"words, mailboxes", run_mailboxes, "\"Doe, J.\" <j.doe@example.com>, a@example.org (A), ",
	 ""},
	/* Hostile */
	{"html, <!-- again and again", run_html, "<!--", ""},
	{"html, a quote without end", run_html, "<a href=x ", "<a href=\""},
	{"html, tags without end", run_html, "<a <a <b ", ""},
	{"html, attributes without end", run_html, "a=b ", "<a "},
	{"html, href by the thousand", run_html, "href=\"http://a.example/\" ", "<a "},
	{"html, & again and again", run_html, "&", ""},
	{"html, references that are none", run_html, "&CounterClockwiseContourIntegra ", ""},
	{"html, digits without end", run_html, "0000000", "&#"},
	{"html, < in <style>", run_html, "</styl", "<style>"},
	{"html, <script> in a script", run_html, "<script ", "<script><!--"},
	{"html, url( in a style attribute", run_html, "<p style=\"", "url(url(url(url("},
	{"html, white space", run_html, " \n\t", ""},
	{"html, <br>", run_html, "<br>", ""},
	{"uri, dots", run_uri, "a.", ""},
	{"uri, mailto: without an address", run_uri, "mailto:", ""},
	{"uri, http:// in one word", run_uri, "http://a", ""},
	{"uri, hosts in one word", run_uri, "a.com/", ""},
	{"uri, hosts and what ends them", run_uri, "a.com,", ""},
	{"uri, @", run_uri, "a@a.com@", ""},
	{"uri, words of 12 octets", run_uri, "a.de.com@b.de ", ""},
	{"uri, one long word without any", run_uri, "abcdefgh", ""},
	{"uri, percent", run_uri, "http://a/?u=http%25253A//%2525252525 ", ""},
	{"uri, a long name", run_uri, "\xc3\xa4\xc3\xb6\xc3\xbc.", "http://"},
	{"words, =? again and again", run_words, "=?", ""},
	{"words, words without end", run_words, "=?a?q?", ""},
	{"words, mailboxes of <", run_mailboxes, "<", ""},
	{"words, mailboxes of (", run_mailboxes, "(", ""},
	{"words, mailboxes of \"", run_mailboxes, "\\\"", "\""},
	{"words, mailboxes of :", run_mailboxes, "a:", ""},
	{"words, parameters", run_param, "; name*1*=%41", "x"},
	{"words, parameters of (", run_param, "\\(", "("},
	{"words, parameters of \"", run_param, "\\\"", "\""},
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static double median(void (*run)(size_t), size_t n, unsigned int reps)
{
	double took[REPS_MAX];

	run(n);
	for (unsigned int i = 0; i < reps; i++) {
		double from = seconds();

		run(n);
		took[i] = seconds() - from;
	}
	qsort(took, reps, sizeof(took[0]), by_value);
	return took[reps / 2];
}

static void fill(const char *first, const char *piece)
{
	size_t n = strlen(first), len = strlen(piece);

	memcpy(input, first, n);
	for (; n < 2 * SIZE; n += len)
		memcpy(input + n, piece, len);
}

int main(int argc, char **argv)
{
	unsigned int reps = 9;

	if (argc == 3 && !strcmp(argv[1], "--reps"))
		reps = (unsigned int)strtoul(argv[2], NULL, 10);
	else if (argc != 1)
		reps = 0;
	if (reps == 0 || reps > REPS_MAX) {
		fprintf(stderr, "usage: content [--reps N]   (1 to %u)\n", REPS_MAX);
		return 2;
	}
	html = html_init(aligned_alloc(64, (html_size() + 63) / 64 * 64));
	uri = uri_init(aligned_alloc(64, (uri_size() + 63) / 64 * 64));
	input = malloc(2 * SIZE + 4096);
	if (!html || !uri || !input)
		return 1;
	printf("%-42s %8s %8s %8s\n", "", "GB/s", "GB/s 2x", "slower");
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		double one, two;

		fill(t[i].first, t[i].piece);
		one = median(t[i].run, SIZE, reps);
		two = median(t[i].run, 2 * SIZE, reps);
		printf("%-42s %8.3f %8.3f %8.2f\n", t[i].name, SIZE / one * 1e-9,
		       2 * SIZE / two * 1e-9, two / one / 2);
	}
	printf("%llu octets and %llu URIs came out\n", (unsigned long long)octets_out,
	       (unsigned long long)uris_out);
	free(html);
	free(uri);
	free(input);
	return 0;
}
