/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * mime-suite DIR: every message below DIR, as files of mail have it (LF becomes CRLF) and as it
 * lies there, in large and in small pieces: its header is indexed without a gap, our block goes in
 * front, the proof holds, and what a next hop gets by BDAT, and by DATA behind an un-stuffing of
 * its own, is the block and the octets of the file. POSTERN_CONFORMANCE names another directory of
 * data. Exit 77 without data.
 */

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/annotate/annotate.h"
#include "control/deliver/stuff.h"

#define MAX_FILES  10000
#define MAX_RANGES 64

static char *files[MAX_FILES];
static size_t n_files, n_removed;
static char why[256];

static int collect(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *name = path + ftw->base;

	(void)st;
	if (type == FTW_F && !strstr(name, "README") && !strstr(name, "LICENSE") &&
	    n_files < MAX_FILES)
		files[n_files++] = strdup(path);
	return 0;
}

static void *need(size_t n)
{
	void *p = calloc(n + 1, 1);

	if (!p) {
		fprintf(stderr, "out of memory\n");
		exit(2);
	}
	return p;
}

static bool wrong(const char *what)
{
	snprintf(why, sizeof(why), "%s", what);
	return false;
}

/* The file; with `smtp` as SMTP would bring it: LF alone becomes CRLF. */
static uint8_t *load(const char *path, bool smtp, size_t *n)
{
	FILE *f = fopen(path, "rb");
	uint8_t *raw, *out;
	long size;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0) {
		perror(path);
		exit(2);
	}
	rewind(f);
	raw = need((size_t)size);
	out = need((size_t)size * 2);
	size = (long)fread(raw, 1, (size_t)size, f);
	fclose(f);
	*n = 0;
	for (long i = 0; i < size; i++) {
		if (smtp && raw[i] == '\n' && (i == 0 || raw[i - 1] != '\r'))
			out[(*n)++] = '\r';
		out[(*n)++] = raw[i];
	}
	free(raw);
	return out;
}

static bool has_bare_lf(const uint8_t *m, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (m[i] == '\n' && (i == 0 || m[i - 1] != '\r'))
			return true;
	return false;
}

/* What goes over the wire, taken by the socket in odd portions. */
static uint8_t *send_all(const struct annotate_output *out, bool bdat, size_t *n, bool *added)
{
	uint8_t *wire = need(2 * out->size + 2);
	const struct iovec *v;
	unsigned int portion = 1;
	struct stuff s;
	size_t cnt;

	*n = 0;
	stuff_init(&s, out->iov, out->n_iov, bdat);
	while ((v = stuff_next(&s, &cnt)) && cnt) {
		size_t take = v->iov_len < portion ? v->iov_len : portion;

		memcpy(wire + *n, v->iov_base, take);
		*n += take;
		stuff_taken(&s, take);
		portion = portion * 5 % 8191 + 1;
	}
	/* By BDAT the last octet goes out apart. */
	if (bdat && stuff_last(out->iov, out->n_iov))
		wire[(*n)++] = *stuff_last(out->iov, out->n_iov);
	*added = s.tail_added;
	return wire;
}

/* RFC 5321 4.5.2 at the receiver: a line that is a dot alone ends it, of any other that begins with
 * one the dot is taken away. In place; false if the end comes early or never. */
static bool unstuff(uint8_t *wire, size_t *n)
{
	size_t at = 0, k = 0;

	while (at < *n) {
		uint8_t *end = memmem(wire + at, *n - at, "\r\n", 2);
		size_t len = end ? (size_t)(end - wire) + 2 - at : 0;

		if (!end)
			return false;
		if (len == 3 && wire[at] == '.') {
			at += 3;
			break;
		}
		if (wire[at] == '.') {
			at++;
			len--;
		}
		memmove(wire + k, wire + at, len);
		k += len;
		at += len;
	}
	if (at != *n)
		return false;
	*n = k;
	return true;
}

static bool forwarded(const struct annotate_output *out, const uint8_t *want, size_t n,
		      bool bare_lf)
{
	bool added, same;
	size_t k;
	uint8_t *wire = send_all(out, true, &k, &added);

	same = k == n && !memcmp(wire, want, n) && !added;
	free(wire);
	if (!same)
		return wrong("BDAT changed it");
	/* Such content is refused to a next hop that takes DATA only. */
	if (bare_lf || stuff_cr_beside(out->iov, out->n_iov))
		return true;
	wire = send_all(out, false, &k, &added);
	memcpy(wire + k, ".\r\n", 3);
	k += 3;
	if (!unstuff(wire, &k)) {
		free(wire);
		return wrong("DATA ends elsewhere");
	}
	same = k == n + (added ? 2 : 0) && !memcmp(wire, want, n) &&
	       (!added || !memcmp(wire + n, "\r\n", 2)) &&
	       added == (n < 2 || memcmp(want + n - 2, "\r\n", 2) != 0);
	free(wire);
	return same || wrong("DATA changed it");
}

static bool indexed(const struct headers *h, const uint8_t *m, size_t n)
{
	size_t covered = 0;

	for (size_t i = 0; i < h->n; i++) {
		if (h->field[i].off != covered || h->field[i].value_off < h->field[i].off)
			return wrong("fields with a gap");
		covered += h->field[i].len;
	}
	if (!(h->flags & HEADERS_F_TOO_LARGE) && covered != h->size)
		return wrong("octets behind the last field");
	if (h->body_off > n || (h->size && memcmp(h->block, m, h->size) != 0))
		return wrong("header block differs");
	return true;
}

static struct annotate_input input(struct mail_envelope *env, struct origin *origin)
{
	*env = (struct mail_envelope){
		.proto = PROTO_ESMTP, .helo = STR("h.example"), .trace_id = "T"};
	*origin = (struct origin){.status = ORIGIN_DIRECT};
	if (!ip_parse(STR("192.0.2.1"), &env->peer))
		abort();
	origin->ip = env->peer;
	return (struct annotate_input){.gateway = "mx.example.net",
				       .prefix = "X-Postern",
				       .env = env,
				       .origin = origin,
				       .authres =
					       "Authentication-Results: mx.example.net; none\r\n",
				       .received_spf = "Received-SPF: none\r\n",
				       .action = "accept"};
}

/* Block, and the octets of the file without the ranges. */
static uint8_t *expected(const struct annotate_output *out, const uint8_t *m, size_t n,
			 const struct mail_range *range, size_t n_ranges, size_t *size)
{
	uint8_t *want = need(out->block_len + n);
	size_t k = out->block_len, r = 0;

	memcpy(want, out->block, k);
	for (size_t i = 0; i < n; i++) {
		while (r < n_ranges && i >= range[r].off + range[r].len)
			r++;
		if (r == n_ranges || i < range[r].off)
			want[k++] = m[i];
	}
	*size = k;
	return want;
}

static bool annotated(const struct headers *h, const struct mail_bytes *c, const uint8_t *m)
{
	static const struct str prefix = STR("X-Postern");
	static const struct annotate_own own = {STR("mx.example.net"), &prefix, 1};
	uint8_t *drop = need(h->n), *want;
	struct mail_range range[MAX_RANGES];
	struct annotate_output out;
	struct annotate_input in;
	struct mail_envelope env;
	struct origin origin;
	size_t n;
	long k;
	bool ok;

	n_removed += annotate_mark_forged(h, &own, drop);
	k = annotate_ranges(h, drop, range, MAX_RANGES);
	free(drop);
	if (k < 0)
		return wrong("too many ranges");
	in = input(&env, &origin);
	if (annotate_make(&in, c, range, (size_t)k, &out))
		return wrong("not annotated");
	want = expected(&out, m, c->size, range, (size_t)k, &n);
	ok = (n == out.size || wrong("another size")) &&
	     (!annotate_prove(&out, c, range, (size_t)k) || wrong("not proven")) &&
	     forwarded(&out, want, n, has_bare_lf(m, c->size));
	free(want);
	annotate_free(&out);
	return ok;
}

static bool check(const char *path, bool smtp, size_t piece)
{
	size_t n, n_iov = 0;
	uint8_t *m = load(path, smtp, &n);
	struct iovec *iov = need((n / piece + 2) * sizeof(*iov));
	struct mail_bytes c = {iov, 0, n};
	struct headers h;
	bool ok;

	for (size_t at = 0; at < n; at += piece)
		iov[n_iov++] = (struct iovec){m + at, piece < n - at ? piece : n - at};
	c.n_iov = n_iov;
	if (headers_parse(&h, &c)) {
		ok = wrong("header not read");
	} else {
		ok = indexed(&h, m, n) && annotated(&h, &c, m);
		headers_free(&h);
	}
	free(iov);
	free(m);
	return ok;
}

int main(int argc, char **argv)
{
	const char *dir = getenv("POSTERN_CONFORMANCE");
	size_t passed = 0, failed = 0;
	char path[4096];

	if (argc != 2)
		return 2;
	if (dir)
		snprintf(path, sizeof(path), "%s/mime", dir);
	else
		snprintf(path, sizeof(path), "%s", argv[1]);
	if (nftw(path, collect, 16, FTW_PHYS) || n_files == 0) {
		printf("no messages at %s\n", path);
		return 77;
	}
	for (size_t i = 0; i < n_files; i++) {
		if (check(files[i], true, 65536) && check(files[i], true, 97) &&
		    check(files[i], false, 65536) && check(files[i], false, 1)) {
			passed++;
		} else {
			failed++;
			printf("FAILED: %s: %s\n", files[i], why);
		}
		free(files[i]);
	}
	printf("%zu fields of ours removed\n", n_removed);
	printf("mime: %zu passed, %zu failed\n", passed, failed);
	return failed ? 1 : 0;
}
