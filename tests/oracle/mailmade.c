/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "tests/oracle/mailmade.h"

#include <stdio.h>
#include <stdlib.h>

#include "control/rules/mailtext.h"

/* What rules of nasty.cf look for, and what is one octet from it. Octets above 127 are UTF-8 or
 * not. */
static const char *const piece[] = {
	"free money",
	"Free  Money",
	"free\nmoney",
	"free money!",
	"unfree money",
	"act now",
	"act\nnow",
	"ACT NOW",
	"fact now",
	"act nowadays",
	"v-1_a.g-r.a",
	"v|@gra",
	"V I A G R A",
	"\\/iagra",
	"vi agr",
	"v\xc3\xae"
	"agra",
	"v\xce\xb9"
	"agra",
	"c.i.a.l.i.s",
	"c1al1s",
	"cia\nlis",
	"winner of the prize",
	"winner",
	"prize",
	"urgent",
	"urgent meeting",
	"urgent\nmeeting",
	"cat and cat",
	"cat and dog",
	"lottery prize",
	"lottery\n\nprize",
	"lottery \t prize",
	"$100,000,000",
	"$1,000",
	"please",
	"please please please",
	"pleaseplease",
	"xyzzy",
	"xyzz",
	"one two three",
	"one\ntwo\nthree",
	"start here",
	"the end",
	"end.",
	"END",
	"\xc3\xa4rger",
	"\xc3\x84RGER",
	"\xe4rger",
	"\xc4RGER",
	"\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82",
	"\xff\xfe",
	"\xe2\x82\xac",
	"\xf0\x9f\x92\xb0 cash",
	"aaaaaaaa",
	"aaaaaaab",
	"abababab",
	"abcabcabc",
	"0123456789",
	"remove me",
	"dont remove me",
	"re-move me",
	"click <here>",
	"click here",
	"click\there",
	"100% free",
	"100%  free",
	"wire transfer",
	"wiretransfer",
	"bank wire",
	"q",
	"Q1",
	"_",
	"x-y-z",
	"foo(bar)",
	"foo[bar]",
	"a.b.c",
	"no-reply",
	"reply-no",
	"\xc2\xa0",
	"\xe2\x80\x8b",
	"mon\xe2\x80\x8b"
	"ey",
	"tab\there",
	"\x01\x02",
	"password:",
	"passwort:",
	"pass word",
	"pills pills",
	"pill",
	"cheap pills",
	"cheap\npills",
};
#define N_PIECES (sizeof(piece) / sizeof(piece[0]))

static const char *const link[] = {
	"http://1.example.net/pay",
	"https://198.51.100.7/x?y=1",
	"http://pay.example.com/login",
	"www.example.org/~a/b.php",
	"HTTP://PAY.EXAMPLE.COM/LOGIN",
	"mailto:a@example.com",
	"http://b\xc3\xbc"
	"cher.example.de/",
	"ftp://example.net/f.exe",
	"http://example.com/%70ay",
	"http://a.example.info/redirect?u=http%3A%2F%2Fpay.example.com%2F",
};

static const char *const header[] = {
	"X-Odd: free money\r\n",
	"X-Odd: \r\n",
	"X-Odd:\r\n\tact\r\n\tnow\r\n",
	"X-Mailer: Odd Mailer 1.0\r\n",
	"X-Odd: one\r\nX-Odd: two\r\n",
	"Reply-To: \"No Reply\" <no-reply@example.net>, b@example.org\r\n",
	"X-Eight: \xc3\xa4rger\r\n",
	"X-Eight: \xe4rger\r\n",
	"X-Long: ",
	"Cc: a@example.com,\r\n b@example.com\r\n",
	"Message-Id: <1@example.net>\r\n",
	"Resent-Message-Id: <2@example.net>\r\n",
	"List-Id: <lists.example.org>\r\n",
};

void octets_add(struct octets *o, const void *p, size_t n)
{
	if (n > o->cap - o->n) {
		o->cap = 2 * (o->n + n) + 64;
		o->p = realloc(o->p, o->cap);
		if (!o->p)
			abort();
	}
	if (n)
		memcpy(o->p + o->n, p, n);
	o->n += n;
}

static void add(struct octets *o, const char *s)
{
	octets_add(o, s, strlen(s));
}

static const char *one_of(struct rng *r, const char *const *list, size_t n)
{
	return list[rng_below(r, (uint32_t)n)];
}
#define ONE_OF(r, list) one_of(r, list, sizeof(list) / sizeof((list)[0]))

static void add_words(struct rng *r, struct octets *o, uint32_t n)
{
	uint8_t text[256];

	n = n < sizeof(text) ? n : sizeof(text);
	mailtext_body((uint32_t)rng_next(r), text, n);
	octets_add(o, text, n);
}

/* About n octets; line ends are LF. */
static void add_text(struct rng *r, struct octets *o, size_t n)
{
	static const char *const between[] = {" ",  " ",  " ", "",  "\n", "\n\n",
					      "  ", ", ", ".", "-", "_",  "\t"};
	size_t end = o->n + n;

	while (o->n < end) {
		switch (rng_below(r, 12)) {
		case 0:
		case 1:
		case 2:
		case 3:
			add(o, ONE_OF(r, piece));
			break;
		case 4:
			add(o, ONE_OF(r, link));
			break;
		case 5:
			/* A piece cut short, or a piece of it again. */
			{
				const char *s = ONE_OF(r, piece);
				uint32_t len = rng_below(r, (uint32_t)strlen(s) + 1);

				octets_add(o, s, len);
			}
			break;
		default:
			add_words(r, o, rng_below(r, 160));
			break;
		}
		add(o, ONE_OF(r, between));
	}
}

static void add_markup(struct rng *r, struct octets *o, size_t n)
{
	static const char *const tag[] = {"<p>",
					  "</p>\n",
					  "<br>",
					  "<b>",
					  "</b>",
					  "<div>\n",
					  "</div>",
					  "<td>",
					  "<!-- ",
					  " -->",
					  "<style>p { color: red }</style>",
					  "<a  href=\"http://pay.example.com/login\">",
					  "</a>",
					  "&nbsp;",
					  "&amp;",
					  "&#102;ree",
					  "<title>",
					  "</title>",
					  "<script>x = '<b>'</script>",
					  "<img src='http://1.example.net/pay'>",
					  "&#x66;",
					  "<",
					  "&"};
	size_t end = o->n + n;

	add(o, "<html><body>");
	while (o->n < end) {
		add_text(r, o, rng_below(r, 300));
		add(o, ONE_OF(r, tag));
	}
	add(o, "</body></html>\n");
}

/* Line ends become CRLF, in lines of at most 990 octets. */
static void add_lines(struct octets *o, const struct octets *text)
{
	size_t line = 0;

	for (size_t i = 0; i < text->n; i++) {
		if (text->p[i] == '\n' || line == 990) {
			add(o, "\r\n");
			line = 0;
		}
		if (text->p[i] != '\n') {
			octets_add(o, text->p + i, 1);
			line++;
		}
	}
}

static void add_quoted(struct rng *r, struct octets *o, const struct octets *text)
{
	size_t line = 0;

	for (size_t i = 0; i < text->n; i++) {
		uint8_t c = text->p[i];
		char s[4];

		if (c == '\n') {
			add(o, "\r\n");
			line = 0;
			continue;
		}
		if (line > 60 + rng_below(r, 12)) {
			add(o, "=\r\n");
			line = 0;
		}
		snprintf(s, sizeof(s),
			 c == '=' || c < ' ' || c > '~' || !rng_below(r, 40) ? "=%02X" : "%c", c);
		add(o, s);
		line += strlen(s);
	}
}

static void add_base64(struct rng *r, struct octets *o, const struct octets *text)
{
	static const char digit[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t width = rng_below(r, 4) ? 76 : 1 + rng_below(r, 90), line = 0;

	for (size_t i = 0; i < text->n; i += 3) {
		size_t have = text->n - i < 3 ? text->n - i : 3;
		uint32_t bits = 0;
		char s[4];

		for (size_t k = 0; k < 3; k++)
			bits = bits << 8 | (k < have ? text->p[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			s[k] = k > have ? '=' : digit[bits >> (18 - 6 * k) & 63];
		for (size_t k = 0; k < 4; k++) {
			octets_add(o, s + k, 1);
			if (++line == width) {
				add(o, "\r\n");
				line = 0;
			}
		}
	}
	add(o, "\r\n");
}

static void add_leaf(struct rng *r, struct octets *o, size_t n)
{
	static const char *const charset[] = {"",
					      "; charset=utf-8",
					      "; charset=\"UTF-8\"",
					      "; charset=iso-8859-1",
					      "; charset=windows-1252",
					      "; charset=us-ascii",
					      "; charset=koi8-r",
					      "; charset=none"};
	struct octets text = {0};
	bool markup = rng_below(r, 3) == 0;
	uint32_t encoding = rng_below(r, 4);

	if (markup)
		add_markup(r, &text, n);
	else
		add_text(r, &text, n);
	add(o, markup ? "Content-Type: text/html" : "Content-Type: text/plain");
	add(o, ONE_OF(r, charset));
	add(o, encoding == 0   ? "\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	       : encoding == 1 ? "\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
			       : "\r\n\r\n");
	if (encoding == 0)
		add_base64(r, o, &text);
	else if (encoding == 1)
		add_quoted(r, o, &text);
	else
		add_lines(o, &text);
	free(text.p);
}

static void add_attachment(struct rng *r, struct octets *o)
{
	struct octets text = {0};

	for (uint32_t n = rng_below(r, 400); n; n--) {
		uint8_t c = (uint8_t)rng_next(r);

		octets_add(&text, &c, 1);
	}
	add(o, "Content-Type: application/octet-stream; "
	       "name=\"invoice.exe\"\r\nContent-Transfer-Encoding: base64\r\n\r\n");
	add_base64(r, o, &text);
	free(text.p);
}

/* The rest of a header, an empty line, a body of about n octets. */
static void add_entity(struct rng *r, struct octets *o, size_t n, unsigned int depth)
{
	uint32_t parts = 1 + rng_below(r, 4);
	char boundary[32], line[80];

	if (depth > 3 || rng_below(r, 3)) {
		if (depth && !rng_below(r, 6))
			add_attachment(r, o);
		else
			add_leaf(r, o, n);
		return;
	}
	if (depth && !rng_below(r, 5)) {
		add(o, "Content-Type: message/rfc822\r\n\r\nSubject: act now\r\n");
		add_entity(r, o, n, depth + 1);
		return;
	}
	snprintf(boundary, sizeof(boundary), "=_%u_%u", depth, rng_below(r, 1000000));
	snprintf(line, sizeof(line), "Content-Type: multipart/mixed; boundary=\"%s\"\r\n\r\n",
		 boundary);
	add(o, line);
	for (uint32_t i = 0; i < parts; i++) {
		snprintf(line, sizeof(line), "\r\n--%s\r\n", boundary);
		add(o, line);
		add_entity(r, o, n / parts + 1, depth + 1);
	}
	snprintf(line, sizeof(line), "\r\n--%s--\r\n", boundary);
	add(o, rng_below(r, 10) ? line : "\r\n");
}

/* A field's value: pieces, folded, encoded. */
static void add_value(struct rng *r, struct octets *o, size_t n)
{
	struct octets text = {0};

	add_text(r, &text, n);
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '\n')
			text.p[i] = ' ';
	switch (rng_below(r, 4)) {
	case 0:
		add(o, "=?utf-8?B?");
		{
			struct octets b = {0};

			add_base64(r, &b, &text);
			for (size_t i = 0; i < b.n; i++)
				if (b.p[i] != '\r' && b.p[i] != '\n')
					octets_add(o, b.p + i, 1);
			free(b.p);
		}
		add(o, "?=");
		break;
	case 1:
		for (size_t i = 0; i < text.n; i++) {
			octets_add(o, text.p + i, 1);
			if (text.p[i] == ' ' && !rng_below(r, 8))
				add(o, "\r\n\t");
		}
		break;
	default:
		octets_add(o, text.p, text.n);
		break;
	}
	add(o, "\r\n");
	free(text.p);
}

static size_t size_of(struct rng *r)
{
	uint32_t k = rng_below(r, 40);

	if (k == 0)
		return 60000 + rng_below(r, 150000);
	return k < 4    ? 10000 + rng_below(r, 30000)
	       : k < 10 ? rng_below(r, 120)
			: rng_below(r, 6000);
}

/* As BDAT may bring it. */
static void bare_line_feeds(struct octets *o)
{
	size_t n = 0;

	for (size_t i = 0; i < o->n; i++)
		if (o->p[i] != '\r')
			o->p[n++] = o->p[i];
	o->n = n;
}

void mailmade(struct rng *r, struct octets *out)
{
	uint32_t many = rng_below(r, 60) ? rng_below(r, 8) : 500 + rng_below(r, 600);

	out->n = 0;
	add(out, "From: \"Free Money\" <sender@example.net>\r\nTo: rcpt@example.com\r\n");
	if (rng_below(r, 10)) {
		add(out, "Subject: ");
		add_value(r, out, rng_below(r, 120));
	}
	for (uint32_t i = 0; i < many; i++) {
		const char *h = ONE_OF(r, header);

		add(out, h);
		if (h[strlen(h) - 1] == ' ')
			add_value(r, out, rng_below(r, 30) ? rng_below(r, 300) : 70000);
	}
	add_entity(r, out, size_of(r), 0);
	if (!rng_below(r, 12))
		bare_line_feeds(out);
}
