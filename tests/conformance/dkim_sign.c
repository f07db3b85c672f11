/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A signer for the differential test: it signs whatever it is told, sense or not. Jobs come on
 * standard input, one a line, fields separated by tabs:
 *
 *   PEM HEADER-CANON BODY-CANON LIMIT NAMES FIELD FILE
 *
 * Canonicalizations are "simple" and "relaxed", LIMIT is "-" or the octets of body that are hashed,
 * NAMES the header fields hashed (colons between), FIELD the whole field without its last CRLF, in
 * which "%B" becomes the body hash, "%S" the signature and "%F" a fold. FILE.signed is written.
 */

#include <stdio.h>
#include <stdlib.h>

#include "control/auth/arc/seal.h"
#include "control/auth/dkim/canon.h"
#include "control/auth/dkim/tags.h"

#define FIELDS 7
#define FIELD_MAX 65536

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "dkim_sign: %s\n", what);
	exit(1);
}

static uint8_t *slurp(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	long size = -1;

	must(f && fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) >= 0, path);
	rewind(f);
	data = malloc((size_t)size + 1);
	must(data && fread(data, 1, (size_t)size, f) == (size_t)size, path);
	fclose(f);
	*n = (size_t)size;
	return data;
}

static enum dkim_canon canon_of(const char *name)
{
	return strcmp(name, "relaxed") == 0 ? CANON_RELAXED : CANON_SIMPLE;
}

static void parse(struct headers *h, struct iovec *iov, struct mail_bytes *m)
{
	*m = (struct mail_bytes){iov, 1, iov->iov_len};
	must(headers_parse(h, m) == 0, "headers");
}

static void body_hash(const uint8_t *data, size_t n, char **w, char *out)
{
	uint64_t limit = w[3][0] == '-' ? UINT64_MAX : strtoull(w[3], NULL, 10);
	struct iovec iov = {(void *)(uintptr_t)data, n};
	struct mail_bytes m;
	struct canon_pass pass;
	struct headers h;

	parse(&h, &iov, &m);
	canon_pass_init(&pass);
	must(canon_pass_add(&pass, canon_of(w[2]), limit) == 0, "body hash");
	canon_pass_update(&pass, data + h.body_off, n - h.body_off);
	canon_pass_end(&pass);
	EVP_EncodeBlock((unsigned char *)out, pass.hash[0].digest, CANON_DIGEST);
	canon_pass_free(&pass);
	headers_free(&h);
}

/* The template with what is known of it put in. */
static size_t fill(const char *t, const char *bh, const char *b, char *out)
{
	size_t n = 0;

	for (; *t; t++) {
		const char *put = NULL;

		if (t[0] == '%' && t[1] == 'B')
			put = bh;
		else if (t[0] == '%' && t[1] == 'S')
			put = b;
		else if (t[0] == '%' && t[1] == 'F')
			put = "\r\n\t";
		must(n + 1024 < FIELD_MAX, "field too long");
		if (!put) {
			out[n++] = *t;
			continue;
		}
		memcpy(out + n, put, strlen(put));
		n += strlen(put);
		t++;
	}
	memcpy(out + n, "\r\n", 3);
	return n + 2;
}

/* The field without its signature on top of the message, and the signature over that. */
static void sign(const struct arc_key *key, char **w, const char *bh, const uint8_t *data, size_t n,
		 char out[ARC_B64_SIGNATURE])
{
	char *text = malloc(FIELD_MAX + n);
	size_t k = text ? fill(w[5], bh, "", text) : 0;
	struct iovec iov = {text, k + n};
	uint8_t digest[CANON_DIGEST];
	struct str name[256], list = str_c(w[4]);
	struct mail_bytes m;
	struct headers h;
	size_t names = 0;

	must(text != NULL, "memory");
	memcpy(text + k, data, n);
	parse(&h, &iov, &m);
	while (names < 256 && dkim_list_next(&list, ':', &name[names]))
		names++;
	must(canon_headers(&h, name, names, 0, STR_NONE, canon_of(w[1]), digest) == 0, "header hash");
	must(arc_key_sign(key, digest, out) == 0, "signature");
	headers_free(&h);
	free(text);
}

static void job(char **w)
{
	char bh[64], b[ARC_B64_SIGNATURE], path[4096], err[256], *field = malloc(FIELD_MAX);
	size_t n, pem_n, field_n;
	uint8_t *data = slurp(w[6], &n), *pem = slurp(w[0], &pem_n);
	struct arc_key *key = arc_key_new(str_make(pem, pem_n), err, sizeof(err));
	FILE *f;

	must(field && key, "key");
	body_hash(data, n, w, bh);
	sign(key, w, bh, data, n, b);
	field_n = fill(w[5], bh, b, field);
	snprintf(path, sizeof(path), "%s.signed", w[6]);
	f = fopen(path, "wb");
	must(f && fwrite(field, 1, field_n, f) == field_n && fwrite(data, 1, n, f) == n &&
		     fclose(f) == 0,
	     path);
	arc_key_free(key);
	free(field);
	free(data);
	free(pem);
}

int main(void)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) > 0) {
		char *w[FIELDS], *rest = line;

		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		for (size_t i = 0; i < FIELDS; i++) {
			w[i] = strsep(&rest, "\t");
			must(w[i] != NULL, "a job has seven fields");
		}
		job(w);
	}
	free(line);
	return 0;
}
