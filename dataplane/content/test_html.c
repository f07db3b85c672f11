/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/html.h"
#include "dataplane/content/test_content.h"

static struct html *html;

struct result {
	struct collected text, links;
};

static void on_text(void *ctx, const uint8_t *p, size_t n)
{
	struct result *r = ctx;

	assert_true(n > 0);
	collect(&r->text, p, n);
}

/* "kind url\n" */
static void on_link(void *ctx, enum html_link kind, struct str url)
{
	static const char *const name[] = {"href", "src", "form", "base", "refresh", "css"};
	struct result *r = ctx;

	assert_true(url.n > 0 && url.n <= LIMIT_URI);
	collect(&r->links, name[kind], strlen(name[kind]));
	collect(&r->links, " ", 1);
	collect(&r->links, url.p, url.n);
	collect(&r->links, "\n", 1);
}

static void clear(struct result *r)
{
	r->text.n = r->links.n = 0;
}

static void release(struct result *r)
{
	free(r->text.p);
	free(r->links.p);
}

static void render(struct result *r, struct str s, size_t cut)
{
	struct html_sink sink = {on_text, on_link, r};

	clear(r);
	html_begin(html, &sink);
	html_feed(html, s.p, cut);
	html_feed(html, s.p + cut, s.n - cut);
	html_end(html);
}

/* Text and links of the whole, and the same of every cut and octet by octet. */
/* But for the white space at the ends, see test_ends(). */
static void check(struct str s, struct str text, struct str links)
{
	struct result r = {0};
	struct html_sink sink = {on_text, on_link, &r};

	for (size_t cut = 0; cut <= s.n; cut++) {
		render(&r, s, cut);
		assert_str(str_trim(collected(&r.text)), str_trim(text), s);
		assert_str(collected(&r.links), links, s);
	}
	clear(&r);
	html_begin(html, &sink);
	for (size_t i = 0; i < s.n; i++)
		html_feed(html, s.p + i, 1);
	html_end(html);
	assert_str(str_trim(collected(&r.text)), str_trim(text), s);
	assert_str(collected(&r.links), links, s);
	release(&r);
}

static const struct {
	struct str in, text;
} text_table[] = {
	/* White space and breaks */
	{STR("a  b\n\n c\t\td "), STR("a b c d")},
	{STR("<p>Hello <b>wor</b>ld</p><p>second<br>line</p>"), STR("Hello world\n\nsecond\nline")},
	{STR("a <p> b"), STR("a\n\nb")},
	{STR("a<br> b<br>\nc"), STR("a\nb\nc")},
	{STR("a <br> <br> b"), STR("a\n\nb")},
	{STR("<p><p><p>a<p></p>"), STR("a")},
	{STR("<div>a</div><div>b</div>"), STR("a\n\nb")},
	{STR("a<div>b</div>c"), STR("a\nb\nc")},
	{STR("<pre> a   b\n\n c</pre>d"), STR("a b c\n\nd")},
	{STR("a<table><tr><td>b</td><td>c</td></tr></table>d"), STR("a b c d")},
	{STR("x<ul><li>one<li>two</ul>y<h1>H</h1>z"), STR("x one twoy H z")},
	{STR("a<section>b</section>c<o:p>d</o:p><blink2>e"), STR("abcde")},
	{STR("a<hr>b<blockquote>c</blockquote>d"), STR("a\n\nb\n\nc\n\nd")},
	{STR("a\xc2\xa0 \xc3\xa4"), STR("a\xc2\xa0 \xc3\xa4")},
	/* What is no text, and what is */
	{STR("<head><title>T &amp; "
	     "<b>t</title><style>p{}</style><script>x</script></head>b"),
	 STR("T & <b>t\n\nb")},
	{STR("a<img alt=\"Alt\" title=tt>b<span style=\"display:none\">c</span>"), STR("abc")},
	{STR("<textarea>a<b>&lt;</textarea>c"), STR("a<b><c")},
	{STR("<xmp>a<b>&lt;</xmp>c"), STR("a<b>&lt;\n\nc")},
	{STR("<plaintext>a<b></plaintext>&lt;"), STR("a<b></plaintext>&lt;")},
	{STR("<noscript>a</noscript><iframe>b</iframe><noframes><!--</noframes>c"), STR("ac")},
	/* Comments and the like */
	{STR("a<!--x-->b<!---->c<!-->d<!--->e"), STR("abcde")},
	{STR("a<!-- x -- y > --!>b"), STR("ab")},
	{STR("a<!--x--!y-->b<!--!>c-->d<!--x- ->-->e"), STR("abde")},
	{STR("a<!-- unclosed"), STR("a")},
	{STR("a<!DOCTYPE html \"x>y\">b"), STR("ay\">b")},
	{STR("a<!--[if mso]>m<![endif]-->b<![if !mso]>c<![endif]>d"), STR("abcd")},
	{STR("a<?php x ?>b</1>c</ >d</>e<!>f<!->g<![C>h"), STR("abcdefgh")},
	{STR("a<![CDATA[ b & ]c]] ]]>d"), STR("a b & ]c]] d")},
	{STR("a<![CDATA[b]]]>c<![CDATA[d>e]]>"), STR("ab]cde]]>")},
	/* Tags */
	{STR("a < b <> c <3 d < e<"), STR("a < b <> c <3 d < e<")},
	{STR("a<b <i>c<b\nc=\"d>e\">f<b c=d>e>f"), STR("acfe>f")},
	{STR("a<b c='d>e'>f<b=\">g\">h<b \"i>j\">k"), STR("afg\">hj\">k")},
	{STR("a<b c=\">d"), STR("a")},
	{STR("a<br/>b<BR / >c<bR\fx=>d</br>e"), STR("a\nb\nc\nd\ne")},
	{STR("a<brx>b<blockquotexxxxxxxxx>c<b\0r>d"), STR("abcd")},
	{STR("a\0b<b\0>c"), STR("abc")},
	{STR("a</b"), STR("a")},
	{STR("a</"), STR("a</")},
	/* Rawtext and scripts */
	{STR("<style>a</style x>b<style>c</styl></STYLE\n>d"), STR("bd")},
	{STR("<script>a</scriptx></script/>b<script/>c</script>d"), STR("bd")},
	{STR("<script><!-- </script> -->x"), STR("-->x")},
	{STR("<script><!--<script></script>y</script>x"), STR("x")},
	{STR("<script><!--<script></script>--></script>x"), STR("x")},
	{STR("<script><!--<script>--></script>x"), STR("x")},
	{STR("<script><!--><script></script>x"), STR("x")},
	{STR("<title>a</titl></title<b>c"), STR("a</titl></title<b>c")},
	{STR("<style>a"), STR("")},
	{STR("<title>a</ti"), STR("a</ti")},
	/* Character references */
	{STR("&lt;b&gt; &eacute;&EACUTE; &#8364;&#x41;&#X42 &#x2603"),
	 STR("<b> \xc3\xa9&EACUTE; \xe2\x82\xac"
	     "AB \xe2\x98\x83")},
	{STR("&amp &ampb &am; &copy &notit; &notin; &notinx;"),
	 STR("& &b &am; \xc2\xa9 \xc2\xacit; \xe2\x88\x89 \xc2\xacinx;")},
	{STR("&#0;&#xD800;&#x110000;&#99999999999999999999;"),
	 STR("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")},
	{STR("&#150;&#x80;&#129;"), STR("\xe2\x80\x93\xe2\x82\xac\xc2\x81")},
	{STR("a&#32;&#9;&Tab;&NewLine;b&nbsp;c"), STR("a b\xc2\xa0"
						      "c")},
	{STR("& &; &# &#; &#x &#xg; &#a &&amp;&"), STR("& &; &# &#; &#x &#xg; &#a &&&")},
	{STR("&CounterClockwiseContourIntegral;&CounterClockwiseContourIntegralx;"),
	 STR("\xe2\x88\xb3&CounterClockwiseContourIntegralx;")},
	{STR("&nLt;&fjlig;&ZeroWidthSpace;"), STR("\xe2\x89\xaa\xe2\x83\x92"
						  "fj\xe2\x80\x8b")},
	{STR("&#00000000000000000000000000000000000000000000000000000065;"), STR("A")},
	{STR(""), STR("")},
};

static void test_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(text_table) / sizeof(text_table[0]); i++) {
		struct result r = {0};

		render(&r, text_table[i].in, 0);
		release(&r);
		check(text_table[i].in, text_table[i].text, STR(""));
	}
}

static void test_links(void **state)
{
	static const struct {
		struct str in, links;
	} t[] = {
		{STR("<a href=\"http://a.example/?a=1&amp;b=2&copy=3&lt;\">"),
		 STR("href http://a.example/?a=1&b=2&copy=3<\n")},
		{STR("<A HREF = ' x y\n'><area href=z><link href=/w/>"),
		 STR("href x y\nhref z\nhref /w/\n")},
		{STR("<a href=\"\"><a href><a href=><a href=' '>"), STR("")},
		{STR("<a xhref=a hrefx=b title=\"href='c'\" href=d>"), STR("href d\n")},
		{STR("<img src=a srcset=\"b 1x, c,d 2x,, e\" lowsrc=f><td background=g><input "
		     "src=h>"),
		 STR("src a\nsrc b\nsrc c,d\nsrc e\nsrc f\nsrc g\nsrc h\n")},
		{STR("<form action=a><button formaction=b><video poster=c><object data=d><i "
		     "data=e>"),
		 STR("form a\nform b\nsrc c\nsrc d\n")},
		{STR("<base href=a><svg><use xlink:href=\"b\">"), STR("base a\nhref b\n")},
		{STR("<meta http-equiv=refresh content=\"0; URL='a;b'c\">"), STR("refresh a;b\n")},
		{STR("<meta content=\"5,url = a&amp;b\" href=x http-equiv=&quot;>"
		     "<meta content=\"5;a\" http-equiv=\"&#114;efresh\" content=x>"),
		 STR("refresh a\n")},
		{STR("<meta name=x content=\"0;url=a\"><meta http-equiv=refresh content=\"0\">"),
		 STR("")},
		{STR("<p style=\"background:url(a) URL( 'b c' ) curl(d) ur(e) url()\">"),
		 STR("css a\ncss b c\ncss d\n")},
		{STR("<style>@import 'a'; @import url(b);@importx 'c' p{x:url(\"d\n) url( e "
		     ")}</style>"),
		 STR("css a\ncss b\ncss d\ncss e\n")},
		{STR("<style>url(a<b)</style><style>url(c</style>url(d)"), STR("css a<b\n")},
		{STR("</a href=a><!-- <a href=b> --><script><a href=c></script><title><a "
		     "href=d></title>"),
		 STR("")},
		{STR("<a href=a"), STR("")},
		{STR("<a href='a"), STR("")},
		{STR("<a href=h&#116;tp://a.example&#x2f;x>"), STR("href http://a.example/x\n")},
	};
	struct result r = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		render(&r, t[i].in, 0);
		assert_str(collected(&r.links), t[i].links, t[i].in);
		check(t[i].in, str_make(r.text.p ? r.text.p : (const uint8_t *)"", r.text.n),
		      t[i].links);
		render(&r, t[i].in, 0);
	}
	release(&r);
}

/* An attribute past the bound is cut and marked, wherever it is split; an image in data: is not. */
static void test_bounds(void **state)
{
	static const char *const head[] = {
		"<a href=\"", "<img src=\"data:x,", "<a href=",
		"<b title='", "<style>url(",        "<meta http-equiv=refresh content='0;url="};
	static const bool marked[] = {true, false, true, false, true, true};
	static uint8_t in[3 * LIMIT_URI];
	struct result r = {0}, whole = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++) {
		size_t n = strlen(head[i]);

		memcpy(in, head[i], n);
		memset(in + n, 'x', sizeof(in) - n - 16);
		memcpy(in + sizeof(in) - 16, ")\"'></style>text", 16);
		render(&whole, str_make(in, sizeof(in)), 0);
		assert_int_equal(html_marks(html), marked[i] ? HTML_CUT : 0);
		assert_true(whole.links.n <= LIMIT_URI + 16);
		for (size_t cut = 1; cut < sizeof(in); cut += cut < 64 ? 1 : 997) {
			render(&r, str_make(in, sizeof(in)), cut);
			assert_int_equal(html_marks(html), marked[i] ? HTML_CUT : 0);
			assert_true(str_eq(collected(&r.links), collected(&whole.links)));
			assert_true(str_eq(collected(&r.text), collected(&whole.text)));
		}
	}
	render(&r, STR("a\0b"), 1);
	assert_int_equal(html_marks(html), HTML_NUL);
	release(&r);
	release(&whole);
}

static const char *const pieces[] = {
	"<",
	">",
	"&",
	"\"",
	"'",
	"=",
	"-",
	"!",
	"/",
	" ",
	"\n",
	"\r\n",
	"  ",
	"text",
	"a",
	"B",
	";",
	"#",
	"<!--",
	"-->",
	"--!>",
	"<![CDATA[",
	"]]>",
	"]",
	"<p>",
	"</p>",
	"<br>",
	"<div>",
	"<td>",
	"<b ",
	"<a href=",
	"<a href=\"http://a.example/?x=1&amp;y\">",
	"src='",
	" style=\"",
	"url(",
	")",
	"<title>",
	"</title>",
	"<style>",
	"</style>",
	"<script>",
	"</script>",
	"<script",
	"<textarea>",
	"</textarea>",
	"<xmp>",
	"</xmp ",
	"<iframe>",
	"</iframe>",
	"@import '",
	"&lt;",
	"&copy",
	"&#x4",
	"&#65",
	"&notin",
	"&am",
	"<meta http-equiv=refresh",
	" content=\"0;url=",
	"<base href=x>",
	"<img srcset=\"a 1x, b\">",
	"\xc3\xa4",
	"\xe2\x82",
	"<plaintex",
	"<object data=",
	"data:",
	"abcdefghijklmnopqrstuvwxyzabcdefghijklmnop",
};

/* What parts the text from that of other parts. */
static void test_ends(void **state)
{
	static const struct {
		struct str in, text;
	} t[] = {
		{STR("a"), STR("a")},
		{STR("  a\n"), STR(" a ")},
		{STR("<p>a</p>"), STR("\n\na\n\n")},
		{STR("<html><body>\n<div>a</div>\n</body></html>\n"), STR("\na\n")},
		{STR(" <br> a <br>"), STR("\na\n")},
		{STR("<p></p>"), STR("\n\n")},
		{STR("<b></b>"), STR("")},
	};
	struct result r = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		for (size_t cut = 0; cut <= t[i].in.n; cut++) {
			render(&r, t[i].in, cut);
			assert_str(collected(&r.text), t[i].text, t[i].in);
		}
	}
	release(&r);
}

static void test_splits(void **state)
{
	static uint8_t in[4096];
	struct result whole = {0}, r = {0};
	struct html_sink sink = {on_text, on_link, &r};
	unsigned int splits = 0;

	(void)state;
	while (splits < 120000) {
		size_t n = test_compose(in, sizeof(in), pieces, sizeof(pieces) / sizeof(pieces[0]),
					60);
		uint32_t marks;

		render(&whole, str_make(in, n), 0);
		marks = html_marks(html);
		for (unsigned int k = 0; k < 20; k++, splits++) {
			size_t most = 1 + test_random() % 40;

			clear(&r);
			html_begin(html, &sink);
			for (size_t i = 0, take; i < n; i += take) {
				take = test_random() % (most + 1);
				take = take < n - i ? take : n - i;
				html_feed(html, in + i, take);
			}
			html_end(html);
			assert_str(collected(&r.text), collected(&whole.text), str_make(in, n));
			assert_str(collected(&r.links), collected(&whole.links), str_make(in, n));
			assert_int_equal(html_marks(html), marks);
		}
		/* No white space twice, nor a third line end. */
		for (size_t i = 0; i + 1 < whole.text.n; i++) {
			const uint8_t *p = whole.text.p + i;

			assert_false(*p == ' ' && (p[1] == ' ' || p[1] == '\n'));
			assert_false(*p == '\n' && p[1] == ' ');
			assert_false(*p == '\n' && p[1] == '\n' && i + 2 < whole.text.n && p[2] == '\n');
		}
	}
	release(&whole);
	release(&r);
}

static void run(const uint8_t *p, size_t n)
{
	static struct result r;

	clear(&r);
	render(&r, str_make(p, n), n / 3);
}

static void test_steps(void **state)
{
	static const char *const hostile[][2] = {
		{"", "<!--"},
		{"", "<!-- --"},
		{"<!--", "-"},
		{"<!--", "--!"},
		{"<a href=\"", "<a href=\""},
		{"", "<a "},
		{"", "<a<a<"},
		{"<a ", "b=c "},
		{"<a ", "href=x "},
		{"<a ", "href='x' "},
		{"<a ", "style='url(url(' "},
		{"<a style='", "url("},
		{"<a srcset='", "a,"},
		{"<a ", "b"},
		{"<", "b"},
		{"", "&"},
		{"", "&#"},
		{"&#", "0"},
		{"&#x", "f"},
		{"", "&am"},
		{"&", "a"},
		{"", "&lt"},
		{"<a href='", "&lt"},
		{"<a href=", "&"},
		{"", "<![CDATA["},
		{"<![CDATA[", "]"},
		{"", "<"},
		{"", "</"},
		{"", "<!"},
		{"", "<?"},
		{"", "\n "},
		{"", "<br>"},
		{"", "<p>"},
		{"", "<table>"},
		{"<style>", "</styl"},
		{"<style>", "url("},
		{"<style>", "@import "},
		{"<style>", "@"},
		{"<script>", "<!--"},
		{"<script><!--", "<script "},
		{"<script><!--", "-"},
		{"<title>", "<"},
		{"<title>", "&"},
		{"<textarea>", "</textare"},
		{"<plaintext>", "<"},
		{"", "<style></style>"},
		{"", "<meta http-equiv=refresh content='0;url=x'>"},
		{"<meta ", "content=a http-equiv=refresh "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++)
		test_linear(hostile[i][0], hostile[i][1], run, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_ends), cmocka_unit_test(test_links),
		cmocka_unit_test(test_bounds), cmocka_unit_test(test_splits),
		cmocka_unit_test(test_steps),
	};
	void *mem = aligned_alloc(64, (html_size() + 63) / 64 * 64);
	int rc;

	memset(mem, 0xa5, html_size()); /* nothing may be taken for granted */
	html = html_init(mem);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	free(mem);
	return rc;
}
