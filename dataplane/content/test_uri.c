/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/test_content.h"
#include "dataplane/content/uri_internal.h"

static struct uri *uri;
static struct collected got; /* URIs, LF behind each */

static void on_uri(void *ctx, const uint8_t *p, size_t n)
{
	assert_null(ctx);
	assert_true(n > 0 && n <= LIMIT_URI);
	assert_null(memchr(p, '\n', n));
	collect(&got, p, n);
	collect(&got, "\n", 1);
}

static const struct uri_sink sink = {on_uri, NULL};

static void begin(void)
{
	got.n = 0;
	uri_begin(uri, &sink);
}

static void find(struct str s, size_t cut)
{
	begin();
	uri_text(uri, s.p, cut);
	uri_text(uri, s.p + cut, s.n - cut);
	uri_text_end(uri);
}

static void check_text(struct str s, struct str want)
{
	for (size_t cut = 0; cut <= s.n; cut++) {
		find(s, cut);
		assert_str(collected(&got), want, s);
	}
	begin();
	for (size_t i = 0; i < s.n; i++)
		uri_text(uri, s.p + i, 1);
	uri_text_end(uri);
	assert_str(collected(&got), want, s);
}

static const struct {
	struct str in, want;
} text_table[] = {
	{STR("foo\xe3\x80\x82"
	     "com 0177.1\xe3\x80\x82"
	     "com/ 1\xef\xbc\x8e"
	     "com, x"),
	 STR("")},
	{STR("see http://a.example/x. and (https://b.example/y), <ftp://c.example> "
	     "\"http://d.example/z\""),
	 STR("http://a.example/x\nhttps://b.example/y\nftp://c.example\nhttp://d.example/"
	     "z\n")},
	{STR("HTTP://A.Example/Path"), STR("HTTP://A.Example/Path\nhttp://a.example/Path\n")},
	{STR("http://a.example http://a.example\nhttp://a.example"), STR("http://a.example\n")},
	/* Without a scheme */
	{STR("www.example.com/a?b=c. example.org, ftp.example.net"),
	 STR("http://www.example.com/a?b=c\nhttp://example.org\nftp://ftp.example.net\n")},
	{STR("end.The x.invalid 1.2.3.4 a..com .com com. -x.com/ foo.bar1 v1.2 17:30"),
	 STR("http://x.com/\n")},
	{STR("_y.com x_y.com 1x.com x=example.com&y a/b.com/c visit:example.com:80/d x:y"),
	 STR("http://y.com\nhttp://x_y.com\nhttp://1x.com\nhttp://example.com\nhttp://"
	     "b.com/c\n"
	     "http://example.com:80/d\nhttp://example.com/d\n")},
	{STR("http:one.com/x http:/two.com/y http:\\\\three.com\\z"),
	 STR("http://one.com/x\nhttp:/two.com/y\nhttp://two.com/y\nhttp:\\\\three.com\\z\n"
	     "http://three.com/z\n")},
	{STR("xhttp://a.example .http://b.example 3http://c.com"),
	 STR("http://b.example\nhttp://c.com\n")},
	{STR("http:// http://. https://- ://a http:x"), STR("")},
	/* Mailboxes */
	{STR("a@b.example x.y+z@example.com. <q@example.org>, @example.net n@localhost"),
	 STR("mailto:x.y+z@example.com\nmailto:q@example.org\nhttp://example.net\n")},
	{STR("mailto:a@b.example?subject=x mailto:b mailto:c@d"),
	 STR("mailto:a@b.example?subject=x\nmailto:a@b.example\nmailto:c@d\n")},
	/* Where it ends */
	{STR("http://a.example/b_(c) (http://a.example/d) http://a.example/e] "
	     "http://a.example/[f]"),
	 STR("http://a.example/b_(c)\nhttp://a.example/d\nhttp://a.example/e\n"
	     "http://a.example/[f]\n")},
	{STR("http://a.example/b!?... http://a.example/c|d http://a.example/e{f} "
	     "http://a.example/g'"),
	 STR("http://a.example/b\nhttp://a.example/c\nhttp://a.example/e\nhttp://a.example/"
	     "g\n")},
	{STR("\xe2\x80\x9chttp://a.example/b\xe2\x80\x9d http://a.example/c\xe3\x80\x82x "
	     "http://a.example/\xc3\xa9"),
	 STR("http://a.example/b\nhttp://a.example/c\nhttp://a.example/\xc3\xa9\n")},
	{STR("\xe8\xaf\xb7www.example.com\xe6\x9f\xa5 \xe8\xaf\xb7http://a.example/ "
	     "\xe8\xaf\xb7"
	     "a@example.com"),
	 STR("http://www.example.com\nhttp://a.example/\nmailto:a@example.com\n")},
	/* Hosts in other letters, addresses */
	{STR("b\xc3\xbc"
	     "cher.de http://\xe4\xbe\x8b\xe3\x81\x88.jp/"),
	 STR("http://b\xc3\xbc"
	     "cher.de\nhttp://xn--bcher-kva.de\n"
	     "http://\xe4\xbe\x8b\xe3\x81\x88.jp/\nhttp://xn--r8jz45g.jp/\n")},
	{STR("http://xn--bcher-kva.de/x"), STR("http://xn--bcher-kva.de/x\nhttp://b\xc3\xbc"
					       "cher.de/x\n")},
	{STR("http://1.2.3.4/x http://[2001:db8::1]:80/ http://0x7f.1/"),
	 STR("http://1.2.3.4/x\nhttp://[2001:db8::1]:80/\nhttp://[2001:db8::1]/\nhttp://"
	     "0x7f.1/\n"
	     "http://127.0.0.1/\n")},
	{STR("http://exam\xc2\xadple.com http://example\xe3\x80\x82"
	     "com/"),
	 STR("http://exam\xc2\xadple.com\nhttp://example.com\nhttp://example\xe3\x80\x82"
	     "com/\n"
	     "http://example.com/\n")},
	{STR(""), STR("")},
	{STR("http://a.example/\0b"), STR("http://a.example/\n")},
};

static void test_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(text_table) / sizeof(text_table[0]); i++)
		check_text(text_table[i].in, text_table[i].want);
}

static const struct {
	struct str base, in, want; /* without what the base itself gives */
} links_table[] = {
	{STR_NONE, STR(" ht\ntp://a.example/\tx \r"), STR("http://a.example/x\n")},
	{STR_NONE, STR("http:\\\\a.example\\b\\..\\c?d\\e"),
	 STR("http:\\\\a.example\\b\\..\\c?d\\e\nhttp://a.example/c?d\\e\n")},
	{STR_NONE, STR("http:a.example"), STR("http:a.example\nhttp://a.example\n")},
	{STR_NONE, STR("HTTP:///a.example//b/./c/../d/."),
	 STR("HTTP:///a.example//b/./c/../d/.\nhttp://a.example//b/d/\n")},
	{STR_NONE, STR("http://a.example/../../x/.."),
	 STR("http://a.example/../../x/..\nhttp://a.example/\n")},
	{STR_NONE, STR("http://u:p@a.example:80/"),
	 STR("http://u:p@a.example:80/\nhttp://u:p@a.example/\n")},
	{STR_NONE, STR("https://a.example:443/"),
	 STR("https://a.example:443/\nhttps://a.example/\n")},
	{STR_NONE, STR("http://a.example:443/"), STR("http://a.example:443/\n")},
	{STR_NONE, STR("http://a.example:/"), STR("http://a.example:/\nhttp://a.example/\n")},
	{STR_NONE, STR("http://a.example./"), STR("http://a.example./\nhttp://a.example/\n")},
	{STR_NONE, STR("http://a.example?b#c"),
	 STR("http://a.example?b#c\nhttp://a.example/?b#c\n")},
	{STR_NONE, STR("http://a.example/%41%7e%2f%20%25%00%ff%zz%"),
	 STR("http://a.example/%41%7e%2f%20%25%00%ff%zz%\nhttp://a.example/A~/"
	     "%20%25%00%ff%zz%\n")},
	{STR_NONE, STR("http://%65x%61mple.com%2f@b.example/"),
	 STR("http://%65x%61mple.com%2f@b.example/\n")},
	{STR_NONE, STR("http://b%C3%BC%43her.de"),
	 STR("http://b%C3%BC%43her.de\nhttp://xn--bcher-kva.de\nhttp://b\xc3\xbc"
	     "cher.de\n")},
	{STR_NONE, STR("http://good.example%40evil.example/"),
	 STR("http://good.example%40evil.example/\nhttp://good.example@evil.example/\n")},
	{STR_NONE, STR("http://0300.0250.257/ "),
	 STR("http://0300.0250.257/\nhttp://192.168.1.1/\n")},
	{STR_NONE, STR("http://3232235777"), STR("http://3232235777\nhttp://192.168.1.1\n")},
	{STR_NONE, STR("http://256.1.1.1/"), STR("http://256.1.1.1/\n")},
	{STR_NONE, STR("http://09.1.1.1/"), STR("http://09.1.1.1/\n")},
	{STR_NONE, STR("http://\xf0\x9d\x90\x9a\xef\xbc\xa2\xe2\x84\xa2.com/"),
	 STR("http://\xf0\x9d\x90\x9a\xef\xbc\xa2\xe2\x84\xa2.com/\nhttp://abtm.com/\n")},
	{STR_NONE, STR("http://xn--a.com/"), STR("http://xn--a.com/\n")},
	/* Inside of others */
	{STR_NONE, STR("http://r.example/?u=http://a.example/x&v=w"),
	 STR("http://r.example/?u=http://a.example/x&v=w\nhttp://a.example/x\n")},
	{STR_NONE, STR("http://r.example/?u=https%253A%252F%252Fa.example%252F"),
	 STR("http://r.example/?u=https%253A%252F%252Fa.example%252F\nhttps://a.example/"
	     "\n")},
	{STR_NONE, STR("http://r.example/http://a.example/https://b.example/"),
	 STR("http://r.example/http://a.example/https://b.example/\n"
	     "http://a.example/https://b.example/\nhttps://b.example/\n")},
	/* Other schemes, and none */
	{STR_NONE, STR("javascript:alert('http://x')"), STR("javascript:alert('http://x')\n")},
	{STR_NONE, STR("mailto:a%40b.example?subject=c"),
	 STR("mailto:a%40b.example?subject=c\nmailto:a@b.example\n")},
	{STR_NONE, STR("cid:a@b"), STR("cid:a@b\n")},
	{STR_NONE, STR("  \n "), STR("")},
	{STR_NONE, STR("www.example.com/x"), STR("www.example.com/x\nhttp://www.example.com/x\n")},
	{STR_NONE, STR("//a.example/x"), STR("//a.example/x\nhttp://a.example/x\n")},
	{STR_NONE, STR("x/y.html"), STR("x/y.html\n")},
	{STR_NONE, STR("#x"), STR("#x\n")},
	{STR_NONE, STR("example.com:80/x"),
	 STR("example.com:80/x\nhttp://example.com:80/x\nhttp://example.com/x\n")},
	/* RFC 3986 5.2 */
	{STR("http://B.example/c/d?e#f"), STR("g/../h"),
	 STR("g/../h\nhttp://b.example/c/g/../h\nhttp://b.example/c/h\n")},
	{STR("http://b.example/c/d?e#f"), STR("/g"), STR("/g\nhttp://b.example/g\n")},
	{STR("http://b.example/c/d?e#f"), STR("//g.example/"),
	 STR("//g.example/\nhttp://g.example/\n")},
	{STR("https://b.example/c/d?e#f"), STR("?g"), STR("?g\nhttps://b.example/c/d?g\n")},
	{STR("http://b.example/c/d?e#f"), STR("#g"), STR("#g\nhttp://b.example/c/d?e#g\n")},
	{STR("http://b.example"), STR("g"), STR("g\nhttp://b.example/g\n")},
	{STR("http://b.example?x"), STR("g"), STR("g\nhttp://b.example/g\n")},
	{STR("mailto:a@b"), STR("g"), STR("g\n")},
	{STR("http://b.example/c"), STR("http://a.example"), STR("http://a.example\n")},
};

static void test_links(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(links_table) / sizeof(links_table[0]); i++) {
		begin();
		if (links_table[i].base.p)
			uri_link(uri, HTML_LINK_BASE, links_table[i].base);
		got.n = 0;
		uri_link(uri, HTML_LINK_HREF, links_table[i].in);
		assert_str(collected(&got), links_table[i].want, links_table[i].in);
	}
}

/* A base is of its part, and of its part the first one counts. */
static void test_base(void **state)
{
	(void)state;
	begin();
	uri_link(uri, HTML_LINK_BASE, STR("http://a.example/"));
	uri_link(uri, HTML_LINK_BASE, STR("http://b.example/"));
	uri_link(uri, HTML_LINK_SRC, STR("c"));
	uri_part(uri);
	uri_link(uri, HTML_LINK_SRC, STR("d"));
	assert_str(collected(&got),
		   STR("http://a.example/\nhttp://b.example/\nc\nhttp://a.example/c\nd\n"),
		   STR("base"));
}

/* RFC 3492 7.1 (A), (E), (I), (L), (S), and what is wrong. */
static void test_punycode(void **state)
{
	static const struct {
		uint32_t cp[24];
		size_t n;
		struct str ascii;
	} t[] = {
		{{0x644, 0x64a, 0x647, 0x645, 0x627, 0x628, 0x62a, 0x643, 0x644, 0x645, 0x648,
		  0x634, 0x639, 0x631, 0x628, 0x64a, 0x61f},
		 17,
		 STR("egbpdaj6bu4bxfgehfvwxn")},
		{{0x5dc, 0x5de, 0x5d4, 0x5d4, 0x5dd, 0x5e4, 0x5e9, 0x5d5, 0x5d8, 0x5dc, 0x5d0,
		  0x5de, 0x5d3, 0x5d1, 0x5e8, 0x5d9, 0x5dd, 0x5e2, 0x5d1, 0x5e8, 0x5d9, 0x5ea},
		 22,
		 STR("4dbcagdahymbxekheh6e0a7fei0b")},
		{{0x33, 0x5e74, 0x42, 0x7d44, 0x91d1, 0x516b, 0x5148, 0x751f},
		 8,
		 STR("3B-ww4c5e180e575a65lsy2b")},
		{{0x2d, 0x3e, 0x20, 0x24, 0x31, 0x2e, 0x30, 0x30, 0x20, 0x3c, 0x2d},
		 11,
		 STR("-> $1.00 <--")},
		{{0x80}, 1, STR("a")},
	};
	static const struct str wrong[] = {
		{(const uint8_t *)"\xc3-a", 4},
		{(const uint8_t *)"a-b!", 4},
		{(const uint8_t *)"99999999", 8},
		{(const uint8_t *)"a-zzzzzzzzzz", 12},
	};
	uint8_t out[128];
	uint32_t cp[URI_LABEL];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		size_t n = uri_punycode_encode(t[i].cp, t[i].n, out, sizeof(out));

		if (i != 4)
			assert_str(str_make(out, n), t[i].ascii, t[i].ascii);
		assert_int_equal(uri_punycode_decode(str_make(out, n), cp, URI_LABEL), t[i].n);
		assert_memory_equal(cp, t[i].cp, t[i].n * sizeof(cp[0]));
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(uri_punycode_decode(wrong[i], cp, URI_LABEL), 0);
	/* There and back, and no further than the room that is given. */
	for (unsigned int round = 0; round < 20000; round++) {
		uint32_t in[URI_LABEL];
		size_t n = 1 + test_random() % URI_LABEL, len, room = test_random() % sizeof(out);
		uint8_t *exact = malloc(room + 1);

		for (size_t i = 0; i < n; i++)
			in[i] = (uint32_t)(test_random() % (test_random() % 3 ? 0x3000 : 0x110000));
		len = uri_punycode_encode(in, n, exact, room);
		if (len)
			assert_int_equal(uri_punycode_decode(str_make(exact, len), cp, URI_LABEL),
					 n);
		if (len)
			assert_memory_equal(cp, in, n * sizeof(in[0]));
		free(exact);
	}
}

/* More URIs than are kept, and longer ones: marked; and the next message is not harmed. */
static void test_bounds(void **state)
{
	static uint8_t in[4 * LIMIT_URI];
	char buf[64];
	size_t lines = 0;

	(void)state;
	begin();
	for (unsigned int i = 0; i < LIMIT_URIS + 10; i++)
		uri_link(uri, HTML_LINK_HREF,
			 str_make(buf, (size_t)snprintf(buf, sizeof(buf), "cid:%u", i)));
	for (size_t i = 0; i < got.n; i++)
		lines += got.p[i] == '\n';
	assert_int_equal(lines, LIMIT_URIS);
	assert_int_equal(uri_marks(uri), URI_CUT);
	find(STR("http://a.example"), 3);
	assert_str(collected(&got), STR("http://a.example\n"), STR("after"));
	assert_int_equal(uri_marks(uri), 0);
	memset(in, 'x', sizeof(in));
	memcpy(in, "http://a.example/", 17);
	begin();
	uri_link(uri, HTML_LINK_HREF, str_make(in, sizeof(in)));
	assert_int_equal(uri_marks(uri), URI_CUT);
	assert_int_equal(got.n, LIMIT_URI + 1);
	/* A long word in pieces of LIMIT_URI, whatever the cuts: what lies within one is found. */
	memcpy(in + LIMIT_URI + 5, " http://b.example/ ", 19);
	memcpy(in + 2 * LIMIT_URI + 100, "|www.example.com|", 17);
	for (size_t cut = 0; cut < sizeof(in); cut += 101) {
		find(str_make(in, sizeof(in)), cut);
		assert_int_equal(got.n, LIMIT_URI + 1 + 18 + 23);
		assert_memory_equal(got.p + LIMIT_URI + 1,
				    "http://b.example/\nhttp://www.example.com\n", 41);
	}
}

static const char *const pieces[] = {
	"http://",
	"https:",
	"ftp:/",
	"mailto:",
	"://",
	":",
	".",
	"@",
	"/",
	"\\",
	"?",
	"#",
	"%41",
	"%2F",
	"%",
	"%25",
	" ",
	"\n",
	"\"",
	"<",
	">",
	"(",
	")",
	"[",
	"]",
	"{",
	"a",
	"www.",
	"example.com",
	"a.example",
	".com",
	".org",
	"xn--",
	"xn--bcher-kva.de",
	"b\xc3\xbc"
	"cher",
	"\xe4\xbe\x8b",
	"\xe3\x80\x82",
	"\xe2\x80\x9d",
	"\xc2\xa0",
	"\xef\xbc\x8e",
	"\xff",
	"1.2.3.4",
	"0x7f.1",
	":80",
	"..",
	"/../",
	"?u=http%3A//",
	"&",
	"=",
	"_",
	"-",
	"+",
	"text",
	"user",
	"[2001:db8::1]",
	"abcdefghijklmnopqrstuvwxyz",
	",",
	";",
	"'",
	"h",
	"ttp",
	"FTP.",
};

static void test_splits(void **state)
{
	static uint8_t in[8192];
	struct collected whole = {0};
	unsigned int splits = 0;

	(void)state;
	while (splits < 120000) {
		size_t n = test_compose(in, sizeof(in), pieces, sizeof(pieces) / sizeof(pieces[0]),
					40);

		find(str_make(in, n), 0);
		whole.n = 0;
		collect(&whole, got.p, got.n);
		for (unsigned int k = 0; k < 20; k++, splits++) {
			size_t most = 1 + test_random() % 40;

			begin();
			for (size_t i = 0, take; i < n; i += take) {
				uint8_t *copy; /* for ASan to see where a run ends */

				take = test_random() % (most + 1);
				take = take < n - i ? take : n - i;
				copy = malloc(take + 1);
				uri_text(uri, memcpy(copy + 1, in + i, take), take);
				free(copy);
			}
			uri_text_end(uri);
			assert_str(collected(&got), collected(&whole), str_make(in, n));
		}
		/* As links too: nothing but that it holds. */
		uri_link(uri, HTML_LINK_BASE, str_make(in, n / 2));
		uri_link(uri, HTML_LINK_HREF, str_make(in + n / 2, n - n / 2));
	}
	free(whole.p);
}

/* What was made comparable is not made any more so. */
static void test_idempotent(void **state)
{
	static const char *const name[] = {
		"a",
		"B",
		"www.",
		"Example.",
		"xn--",
		"b\xc3\xbc"
		"cher",
		"\xe4\xbe\x8b",
		"\xef\xbc\x8e",
		"-",
		"1",
		"0x7f",
		".",
		"%41",
		"%C3%BC",
		"_",
		"\xc2\xad",
	};
	static uint8_t in[2048];
	uint8_t one[LIMIT_URI], two[LIMIT_URI];

	(void)state;
	for (unsigned int round = 0; round < 50000; round++) {
		size_t n = 7, k, m;

		memcpy(in, "http://", 7);
		for (unsigned int i = 1 + test_random() % 6; i; i--) {
			const char *s = name[test_random() % (sizeof(name) / sizeof(name[0]))];

			memcpy(in + n, s, strlen(s));
			n += strlen(s);
		}
		in[n++] = '/';
		n += test_compose(in + n, sizeof(in) - n, pieces,
				  sizeof(pieces) / sizeof(pieces[0]), 12);
		k = uri_normalise(str_make(in, n), false, one);
		if (!k || memchr(one, '%', k)) /* "%2%35" */
			continue;
		m = uri_normalise(str_make(one, k), false, two);
		assert_str(str_make(two, m), str_make(one, k), str_make(in, n));
	}
}

static void run(const uint8_t *p, size_t n)
{
	find(str_make(p, n), n / 3);
	for (size_t i = 0; i < n; i += 4096)
		uri_link(uri, HTML_LINK_HREF, str_make(p + i, n - i < 4096 ? n - i : 4096));
}

static void test_steps(void **state)
{
	static const char *const hostile[][2] = {
		{"", "a."},
		{"", "a.com"},
		{"", "a.com,"},
		{"", "a.com/"},
		{"", "a.com "},
		{"", "http://a"},
		{"", "http://a "},
		{"", "http://"},
		{"", "http:"},
		{"", "mailto:"},
		{"", "mailto:{"},
		{"", "mailto:a@b"},
		{"", "@"},
		{"", "a@"},
		{"", "a@a.com@"},
		{"", "a@a.com "},
		{"", "("},
		{"", "http://a.com/(;;;;;;;;"},
		{"", "%25"},
		{"", "http%253a//"},
		{"", "a.b.c.d "},
		{"", "%"},
		{"", "\xc3\xa4."},
		{"http://", "\xc3\xa4"},
		{"", "\xe4\xbe\x8b"
		     "a.com"},
		{"", "\xe2\x80\x9d"
		     "a.com"},
		{"", "xn--a."},
		{"http://", "xn--bcher-kva."},
		{"", "/../"},
		{"http://a/", "../"},
		{"", "x"},
		{"", ":"},
		{"http://a.com/", ";"},
		{"http://", "0."},
		{"http://a@", "a@"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++)
		test_linear(hostile[i][0], hostile[i][1], run, 400);
}

/* URIs that all differ: each is paid for in full, until there are LIMIT_URIS of them. */
static void test_steps_distinct(void **state)
{
	static const char *const form[] = {"http://%u.example/?u=http%%253A%%2F%%2F", "%u.de,",
					   "http://%u/", "a@%u.de ", "http://\xc3\xa4%u.example/ "};
	size_t size = 1u << 20;
	char *in = malloc(size + 64);

	(void)state;
	for (size_t k = 0; k < sizeof(form) / sizeof(form[0]); k++) {
		size_t n = 0;

		for (unsigned int i = 0; n < size; i++)
			n += (size_t)snprintf(in + n, 64, form[k], i);
		content_steps = 0;
		find(str_make(in, size), size / 3);
		assert_in_range(content_steps, size / 64, 64 * size);
	}
	free(in);
}

/* A long base, and short links behind it: made absolute once, not each time. */
static void test_steps_base(void **state)
{
	char base[4000] = "http://example.com/";

	(void)state;
	memset(base + 19, 'a', sizeof(base) - 19);
	base[sizeof(base) - 1] = '/';
	begin();
	uri_part(uri);
	uri_link(uri, HTML_LINK_BASE, str_make(base, sizeof(base)));
	content_steps = 0;
	for (unsigned int i = 0; i < 100000; i++)
		uri_link(uri, HTML_LINK_HREF, STR("a"));
	assert_in_range(content_steps, 100000, 64 * 100000);
	/* Another part, another base: another URI. */
	got.n = 0;
	uri_part(uri);
	uri_link(uri, HTML_LINK_BASE, STR("http://other.example/"));
	uri_link(uri, HTML_LINK_HREF, STR("a"));
	assert_non_null(memmem(got.p, got.n, "http://other.example/a\n", 23));
}

static int release(void **state)
{
	(void)state;
	free(got.p);
	free(uri);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),           cmocka_unit_test(test_links),
		cmocka_unit_test(test_base),           cmocka_unit_test(test_punycode),
		cmocka_unit_test(test_bounds),         cmocka_unit_test(test_splits),
		cmocka_unit_test(test_idempotent),     cmocka_unit_test(test_steps),
		cmocka_unit_test(test_steps_distinct), cmocka_unit_test(test_steps_base),
	};

	uri = uri_init(aligned_alloc(64, (uri_size() + 63) / 64 * 64));
	return cmocka_run_group_tests(tests, NULL, release);
}
