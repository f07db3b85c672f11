/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Messages. Their bodies are runs of whole lines from pools that are made once from the seed, each
 * from another place: so making costs little more than the copy. In place of the pools there may be
 * a directory of messages.
 */

#include <dirent.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/pcapgen/pcapgen.h"

#define POOL        (1u << 20)
#define LINE        76u /* RFC 2045 6.8: of base64 */
#define FILES_MAX   10000u
#define FILES_BYTES (1u << 30)

/* clang-format off */
static const char *const words[] = {
	"the", "of", "and", "to", "in", "is", "that", "for", "you", "was", "with", "are", "this",
	"have", "from", "will", "your", "not", "which", "please", "order", "meeting", "invoice",
	"attached", "regards", "week", "project", "report", "thanks", "question", "number",
	"account", "service", "delivery", "customer", "before", "should", "could", "because",
	"between", "Tuesday", "morning", "schedule", "document", "changes", "version", "network",
	"machine", "garden", "window", "letter", "bridge", "silver", "without", "another",
	"through", "himself", "country", "against", "nothing", "evening", "purpose", "surface",
	"general", "history", "Gr\xc3\xbcn", "caf\xc3\xa9", "na\xc3\xafve",
	"http://www.example.com/", "https://shop.example.net/offer?id=", "12", "2024", "3.50",
	"100%", "(see", "below)", "e.g.",
};
/* clang-format on */

#define WORDS (sizeof(words) / sizeof(words[0]))

static struct buf text, html, base64;
static struct buf *file;
static uint8_t file_odd[FILES_MAX]; /* what mail_make() returns */
static uint32_t n_files;

static void make_text(struct rng *r, struct buf *b, bool tags)
{
	while (b->n < POOL) {
		uint32_t left = (uint32_t)rng_between(r, 20, 74);

		/* A text whose lines begin with dots is what stuffing is for. */
		if (rng_below(r, 40) == 0)
			buf_printf(b, "%.*s", (int)rng_between(r, 1, 3), "...");
		if (tags && rng_below(r, 4))
			buf_printf(b, "<p>");
		else if (tags)
			buf_printf(b, "<td style=\"color:#%06x\">",
				   (unsigned int)rng_below(r, 1 << 24));
		for (uint32_t n = 0; n < left;) {
			const char *w = words[rng_below(r, WORDS)];

			buf_printf(b, n ? " %s" : "%s", w);
			n += (uint32_t)strlen(w) + 1;
		}
		if (tags)
			buf_printf(b, "</p>");
		else if (rng_below(r, 3) == 0)
			buf_printf(b, ".");
		buf_printf(b, "\r\n");
		if (rng_below(r, 12) == 0)
			buf_printf(b, "\r\n");
		if (rng_below(r, 200) == 0)
			buf_printf(b, ".\r\n");
	}
}

static void make_base64(struct rng *r, struct buf *b)
{
	uint8_t raw[LINE / 4 * 3], *p;

	while (b->n < POOL) {
		for (uint32_t i = 0; i < sizeof(raw); i++)
			raw[i] = (uint8_t)rng_next(r);
		p = buf_room(b, LINE + 3);
		EVP_EncodeBlock(p, raw, sizeof(raw));
		p[LINE] = '\r';
		p[LINE + 1] = '\n';
		b->n += LINE + 2;
	}
}

/* SMTP knows lines that end in CRLF only: a file's LF becomes that, and its last line gets one. */
static void normalise(struct buf *out, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\n' && (i == 0 || p[i - 1] != '\r'))
			buf_add(out, "\r", 1);
		buf_add(out, p + i, 1);
	}
	if (out->n < 2 || out->p[out->n - 2] != '\r' || out->p[out->n - 1] != '\n')
		buf_add(out, "\r\n", 2);
}

static int read_file(const char *path, struct buf *out)
{
	struct stat st;
	uint8_t *p = NULL;
	FILE *f;
	int rc = 0;

	f = fopen(path, "rbe");
	if (!f)
		return -errno;
	if (fstat(fileno(f), &st) < 0 || !S_ISREG(st.st_mode)) {
		rc = -EINVAL;
		goto out;
	}
	if (st.st_size > GEN_MESSAGE_MAX / 2) {
		rc = -EFBIG;
		goto out;
	}
	p = malloc((size_t)st.st_size + 1);
	if (!p || fread(p, 1, (size_t)st.st_size, f) != (size_t)st.st_size) {
		rc = p ? -EIO : -ENOMEM;
		goto out;
	}
	normalise(out, p, (size_t)st.st_size);
out:
	free(p);
	fclose(f);
	return rc;
}

static uint8_t oddities(const uint8_t *p, uint32_t n)
{
	uint8_t odd = 0;

	for (uint32_t i = 0; i < n; i++) {
		bool cr = i && p[i - 1] == '\r', lf = i + 1 < n && p[i + 1] == '\n';

		if (p[i] == 0)
			odd |= MAIL_NUL;
		else if (p[i] == '\n' && !cr)
			odd |= MAIL_LF;
		else if (p[i] == '\r' && !lf)
			odd |= MAIL_CR;
		/* A dot alone between what somebody might take for ends of lines. */
		if (p[i] == '.' && i && i + 1 < n && strchr("\r\n", p[i - 1]) &&
		    strchr("\r\n", p[i + 1]))
			odd |= MAIL_DOT;
	}
	/* Lines with a dot alone are usual; they are doubtful where bare CR, LF or NUL are. */
	return odd == MAIL_DOT ? 0 : odd;
}

static int not_hidden(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static int read_directory(const char *path)
{
	struct dirent **entry;
	uint64_t total = 0;
	int n = scandir(path, &entry, not_hidden, alphasort), rc = 0;

	if (n < 0) {
		fprintf(stderr, "pcapgen: %s: %s\n", path, strerror(errno));
		return -errno;
	}
	file = calloc(FILES_MAX, sizeof(*file));
	if (!file)
		rc = -ENOMEM;
	for (int i = 0; i < n; i++) {
		char name[4096];

		snprintf(name, sizeof(name), "%s/%s", path, entry[i]->d_name);
		free(entry[i]);
		if (rc)
			continue;
		if (n_files >= FILES_MAX || total > FILES_BYTES) {
			fprintf(stderr, "pcapgen: %s: more than %u files or %u octets\n", path,
				FILES_MAX, FILES_BYTES);
			rc = -E2BIG;
			continue;
		}
		rc = read_file(name, &file[n_files]);
		if (rc == -EINVAL) { /* a directory in it, a socket */
			rc = 0;
			continue;
		}
		if (rc)
			fprintf(stderr, "pcapgen: %s: %s\n", name, strerror(-rc));
		else
			file_odd[n_files] = oddities(file[n_files].p, file[n_files].n);
		total += file[n_files++].n;
	}
	free(entry);
	if (!rc && !n_files) {
		fprintf(stderr, "pcapgen: %s: no messages in it\n", path);
		rc = -ENOENT;
	}
	return rc;
}

int mail_start(const struct gen_options *o)
{
	struct rng r = rng_of(o->seed, UINT64_MAX - 1);

	if (o->from)
		return read_directory(o->from);
	make_text(&r, &text, false);
	make_text(&r, &html, true);
	make_base64(&r, &base64);
	return 0;
}

void mail_stop(void)
{
	for (uint32_t i = 0; i < n_files; i++)
		free(file[i].p);
	free(file);
	free(text.p);
	free(html.p);
	free(base64.p);
	file = NULL;
	n_files = 0;
	text = html = base64 = (struct buf){0};
}

/* About n octets in whole lines of a pool, from anywhere in it. */
static void lines(struct rng *r, const struct buf *pool, uint32_t n, struct buf *out)
{
	while (n) {
		uint32_t from = (uint32_t)rng_below(r, POOL / 2), some;
		const uint8_t *p = memchr(pool->p + from, '\n', pool->n - from), *end;

		from = (uint32_t)(p + 1 - pool->p);
		some = n < pool->n - from ? n : pool->n - from;
		end = memchr(pool->p + from + some - 1, '\n', pool->n - from - some + 1);
		some = end ? (uint32_t)(end + 1 - pool->p) - from : pool->n - from;
		buf_add(out, pool->p + from, some);
		n -= n < some ? n : some;
	}
}

static void header(struct rng *r, const struct mail_wanted *w, struct buf *out)
{
	uint32_t x[8];

	/* Drawn before: in which order arguments are evaluated is the compiler's choice. */
	for (uint32_t i = 0; i < 8; i++)
		x[i] = (uint32_t)rng_next(r);
	buf_printf(out,
		   "Received: from client%u.example.net (client%u.example.net [192.0.2.%u])\r\n"
		   "\tby out.example.net with ESMTP id %08x; %u Jan 2026 %02u:%02u:07 +0000\r\n"
		   "Date: %u Jan 2026 10:00:07 +0000\r\nFrom: Sender <%s>\r\nTo: <%s>\r\n"
		   "Message-ID: <%llu.%08x@example.net>\r\nSubject: %s %s",
		   x[0] % 1000, x[0] % 1000, x[1] % 254 + 1, x[2], x[3] % 28 + 1, x[4] % 24,
		   x[5] % 60, x[3] % 28 + 1, *w->from ? w->from : "postmaster@example.net", w->to,
		   (unsigned long long)w->number, x[6], words[x[7] % WORDS],
		   words[x[7] / WORDS % WORDS]);
	if (rng_below(r, 5) == 0)
		buf_printf(out, "\r\n =?utf-8?B?R3LDvMOfZQ==?= %s", words[rng_below(r, WORDS)]);
	buf_printf(out, "\r\nMIME-Version: 1.0\r\n");
}

static void part(struct buf *out, const char *boundary, const char *fields)
{
	buf_printf(out, "--%s\r\n%s\r\n\r\n", boundary, fields);
}

static void multipart(struct rng *r, uint32_t size, struct buf *out)
{
	char boundary[32];
	uint32_t in_text = size < 8192 ? size / 2 : 4096 + (uint32_t)rng_below(r, 4096);
	bool alternative = rng_below(r, 3) == 0;

	snprintf(boundary, sizeof(boundary), "=_%016llx", (unsigned long long)rng_next(r));
	buf_printf(out, "Content-Type: multipart/%s;\r\n boundary=\"%s\"\r\n\r\nMIME.\r\n\r\n",
		   alternative ? "alternative" : "mixed", boundary);
	part(out, boundary, "Content-Type: text/plain; charset=utf-8");
	lines(r, &text, in_text, out);
	if (alternative) {
		part(out, boundary, "Content-Type: text/html; charset=utf-8");
		buf_printf(out, "<html><body>\r\n");
		lines(r, &html, size - in_text, out);
		buf_printf(out, "</body></html>\r\n");
	} else {
		part(out, boundary,
		     "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: "
		     "base64\r\n"
		     "Content-Disposition: attachment; filename=\"data.bin\"");
		lines(r, &base64, size - in_text, out);
	}
	buf_printf(out, "--%s--\r\n", boundary);
}

/* What some servers take for an end of data; that of the capture does not (RFC 5321 4.1.1.4). */
static void lookalike(struct rng *r, struct buf *out)
{
	static const struct {
		const char *p;
		uint32_t n;
	} end[] = {{"\n.\n", 3},     {"\n.\r\n", 4},     {"\n.\r", 3},
		   {"\r.\n", 3},     {"\r.\r", 3},       {"\r.\r\n", 4},
		   {"\n\0.\r\n", 5}, {"\r\n\0.\r\n", 6}, {"\r\r\n\0.\r\r\n", 8}};
	uint32_t i = (uint32_t)rng_below(r, sizeof(end) / sizeof(end[0]));

	buf_printf(out, "smuggled");
	buf_add(out, end[i].p, end[i].n);
	buf_printf(out, "MAIL FROM:<smuggled@example.net>\r\nRCPT TO:<smuggled@example.com>\r\n"
			"DATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n");
}

uint8_t mail_make(struct rng *r, const struct mail_wanted *w, struct buf *out)
{
	out->n = 0;
	if (file) {
		const struct buf *f = &file[rng_below(r, n_files)];

		buf_add(out, f->p, f->n);
		return file_odd[f - file];
	}
	header(r, w, out);
	if (w->size > out->n + 1024 && rng_below(r, 2)) {
		multipart(r, w->size - out->n, out);
	} else {
		buf_printf(out, "Content-Type: text/plain; charset=utf-8\r\n\r\n");
		lines(r, &text, w->size > out->n ? w->size - out->n : 1, out);
	}
	if (w->lookalike)
		lookalike(r, out);
	if (w->binary)
		buf_add(out, "\r\n.\r\n\0\r\r\n\n.\n\xff", 13);
	/* The pools have nothing of the kind. */
	return w->lookalike || w->binary ? oddities(out->p, out->n) : 0;
}

void mail_stuff(struct buf *out, const uint8_t *p, uint32_t n)
{
	const uint8_t *from = p, *end = p + n, *dot = p;

	while ((dot = memchr(dot, '.', (size_t)(end - dot)))) {
		if (dot == p || (dot - p >= 2 && dot[-2] == '\r' && dot[-1] == '\n')) {
			buf_add(out, from, (uint32_t)(dot - from));
			buf_add(out, ".", 1);
			from = dot;
		}
		dot++;
	}
	buf_add(out, from, (uint32_t)(end - from));
	buf_add(out, ".\r\n", 3);
}

void mail_sha256(const uint8_t *p, uint32_t n, uint8_t sum[32])
{
	static const EVP_MD *md;
	static EVP_MD_CTX *ctx;

	/* Fetched once: with OpenSSL 3 that costs more than a small message. */
	if (!ctx) {
		md = EVP_MD_fetch(NULL, "SHA256", NULL);
		ctx = EVP_MD_CTX_new();
	}
	if (!md || !ctx || EVP_DigestInit_ex(ctx, md, NULL) != 1 ||
	    EVP_DigestUpdate(ctx, p, n) != 1 || EVP_DigestFinal_ex(ctx, sum, NULL) != 1)
		abort();
}
