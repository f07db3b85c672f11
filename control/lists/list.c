/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/lists/list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/hash/siphash.h"
#include "control/mail/mail.h"
#include "postern/limits.h"

#define BUCKETS 65536u /* by the 16 upper bits */

struct list {
	enum list_kind kind;
	uint8_t secret[16];
	uint64_t *key;           /* ascending, each once */
	size_t n, cap;
	uint32_t bucket[BUCKETS + 1]; /* where the keys with these upper bits begin */
};

static uint64_t key_of(const struct list *l, const uint8_t *p, size_t n)
{
	return siphash128(l->secret, p, n).lo;
}

static bool has(const struct list *l, uint64_t key)
{
	size_t a = l->bucket[key >> 48], b = l->bucket[(key >> 48) + 1];

	while (a < b) {
		size_t mid = a + (b - a) / 2;

		if (l->key[mid] == key)
			return true;
		if (l->key[mid] < key)
			a = mid + 1;
		else
			b = mid;
	}
	return false;
}

/* Lower case, A-labels, without a final dot. 0: no domain. */
static size_t domain_form(struct str host, char out[MAIL_ALABEL])
{
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	if (!host.n || !mail_alabel(host, out))
		return 0;
	return strlen(out);
}

bool list_has_domain(const struct list *l, struct str host, bool below)
{
	char form[MAIL_ALABEL];
	size_t n = domain_form(host, form), at = 0;

	while (at < n) {
		const char *dot;

		if (has(l, key_of(l, (const uint8_t *)form + at, n - at)))
			return true;
		dot = memchr(form + at, '.', n - at);
		if (!below || !dot)
			return false;
		at = (size_t)(dot - form) + 1;
	}
	return false;
}

/* "http://Host/Path" → "host/Path": how it is compared. */
static size_t uri_form(struct str uri, uint8_t *out)
{
	size_t n = 0, host;

	for (size_t i = 0; i + 3 <= uri.n && i < 16; i++)
		if (memcmp(uri.p + i, "://", 3) == 0) {
			uri = str_make(uri.p + i + 3, uri.n - i - 3);
			break;
		}
	host = uri.n;
	for (size_t i = 0; i < uri.n && host == uri.n; i++)
		if (uri.p[i] == '/' || uri.p[i] == '?' || uri.p[i] == '#')
			host = i;
	for (; n < uri.n && n < LIMIT_LIST_LINE; n++)
		out[n] = n < host ? ascii_lower(uri.p[n]) : uri.p[n];
	/* "host" and "host/" are the same resource (RFC 3986 6.2.3). */
	if (n == host + 1 && out[n - 1] == '/')
		n--;
	return n;
}

bool list_has_uri(const struct list *l, struct str uri)
{
	uint8_t form[LIMIT_LIST_LINE];
	size_t n = uri.n > LIMIT_LIST_LINE ? 0 : uri_form(uri, form);

	return n && has(l, key_of(l, form, n));
}

bool list_has_sha256(const struct list *l, const uint8_t sha256[32])
{
	return has(l, key_of(l, sha256, 32));
}

size_t list_count(const struct list *l)
{
	return l->n;
}

size_t list_octets(const struct list *l)
{
	return sizeof(*l) + l->n * sizeof(*l->key);
}

/* ---- reading ------------------------------------------------------------------------------------ */

static struct str trim(struct str s)
{
	size_t hash = str_find(s, '#');

	/* Within a URI "#" is its fragment: a comment stands behind white space. */
	while (hash < s.n && hash && s.p[hash - 1] != ' ' && s.p[hash - 1] != '\t') {
		size_t next = str_find(str_make(s.p + hash + 1, s.n - hash - 1), '#');

		hash += 1 + next;
	}
	s.n = hash < s.n ? hash : s.n;
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = str_make(s.p + 1, s.n - 1);
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
		s.n--;
	return s;
}

/* "0.0.0.0 example.com", as in a hosts file. */
static struct str behind_address(struct str s)
{
	struct ip_addr ip;
	size_t at = 0;

	while (at < s.n && s.p[at] != ' ' && s.p[at] != '\t')
		at++;
	return at < s.n && ip_parse(str_make(s.p, at), &ip) ? trim(str_make(s.p + at, s.n - at)) : s;
}

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *sha256_key(const struct list *l, struct str s, uint64_t *key)
{
	uint8_t b[32];

	if (s.n < 64 || (s.n > 64 && s.p[64] != ' ' && s.p[64] != '\t'))
		return "expected 64 hexadecimal digits";
	for (size_t i = 0; i < 32; i++) {
		int a = hex(s.p[2 * i]), c = hex(s.p[2 * i + 1]);

		if (a < 0 || c < 0)
			return "expected 64 hexadecimal digits";
		b[i] = (uint8_t)(a << 4 | c);
	}
	*key = key_of(l, b, sizeof(b));
	return NULL;
}

static const char *domain_key(const struct list *l, struct str s, uint64_t *key)
{
	char form[MAIL_ALABEL];
	size_t n;

	s = behind_address(s);
	if (s.n > 2 && s.p[0] == '*' && s.p[1] == '.')
		s = str_make(s.p + 2, s.n - 2);
	else if (s.n > 1 && s.p[0] == '.')
		s = str_make(s.p + 1, s.n - 1);
	n = domain_form(s, form);
	if (!n || !domain_is_valid(str_c(form)))
		return "no domain";
	*key = key_of(l, (const uint8_t *)form, n);
	return NULL;
}

static const char *uri_key(const struct list *l, struct str s, uint64_t *key)
{
	uint8_t form[LIMIT_LIST_LINE];
	size_t n = uri_form(s, form);

	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] == 0x7f)
			return "a URI has no white space and no control characters";
	if (!n)
		return "no URI";
	*key = key_of(l, form, n);
	return NULL;
}

/* What is wrong with a line; NULL: taken, or nothing on it. */
static const char *add(struct list *l, struct str line)
{
	const char *why;
	uint64_t key = 0;

	if (line.n > LIMIT_LIST_LINE)
		return "the line is too long";
	line = trim(line);
	if (!line.n)
		return NULL;
	if (l->n == l->cap)
		return "more entries than are possible";
	why = l->kind == LIST_DOMAIN ? domain_key(l, line, &key)
	      : l->kind == LIST_URI  ? uri_key(l, line, &key)
				     : sha256_key(l, line, &key);
	if (!why)
		l->key[l->n++] = key;
	return why;
}

/* Least significant octet first: linear in the number of keys. */
static int sort(struct list *l)
{
	uint64_t *to = malloc((l->n + 1) * sizeof(*to)), *from = l->key;

	if (!to)
		return -ENOMEM;
	for (unsigned int shift = 0; shift < 64; shift += 8) {
		size_t count[257] = {0};
		uint64_t *other = from;

		for (size_t i = 0; i < l->n; i++)
			count[(from[i] >> shift & 255) + 1]++;
		for (unsigned int i = 0; i < 256; i++)
			count[i + 1] += count[i];
		for (size_t i = 0; i < l->n; i++)
			to[count[from[i] >> shift & 255]++] = from[i];
		from = to;
		to = other;
	}
	free(to); /* eight turns: from is l->key again */
	return 0;
}

static int finish(struct list *l)
{
	size_t n = 0, b = 0;
	uint64_t *fit;
	int rc = sort(l);

	if (rc)
		return rc;
	for (size_t i = 0; i < l->n; i++)
		if (!n || l->key[n - 1] != l->key[i])
			l->key[n++] = l->key[i];
	l->n = n;
	for (size_t i = 0; i < n; i++)
		while (b <= l->key[i] >> 48)
			l->bucket[b++] = (uint32_t)i;
	while (b <= BUCKETS)
		l->bucket[b++] = (uint32_t)n;
	fit = realloc(l->key, (n + 1) * sizeof(*l->key));
	if (fit)
		l->key = fit;
	return 0;
}

static size_t count_lines(struct str text)
{
	size_t n = 1;

	for (const uint8_t *p = text.p; (p = memchr(p, '\n', text.n - (size_t)(p - text.p)));) {
		n++;
		if (++p == text.p + text.n)
			break;
	}
	return n < LIMIT_LIST_ENTRIES ? n : LIMIT_LIST_ENTRIES;
}

int list_parse(struct str text, enum list_kind kind, struct list **out, struct list_error *err)
{
	struct list *l = calloc(1, sizeof(*l));
	unsigned int line = 0;
	int rc = -ENOMEM;

	*out = NULL;
	*err = (struct list_error){0};
	if (!l)
		return -ENOMEM;
	l->kind = kind;
	l->cap = text.n ? count_lines(text) : 0;
	l->key = malloc((l->cap + 1) * sizeof(*l->key));
	if (!l->key || getrandom(l->secret, sizeof(l->secret), 0) != sizeof(l->secret))
		goto out;
	while (text.n) {
		size_t n = str_find(text, '\n');
		const char *why = add(l, str_cut(text, n));

		line++;
		if (why) {
			err->line = line;
			snprintf(err->reason, sizeof(err->reason), "%s", why);
			rc = -EINVAL;
			goto out;
		}
		n = n < text.n ? n + 1 : n;
		text = str_make(text.p + n, text.n - n);
	}
	rc = finish(l);
	if (!rc) {
		*out = l;
		return 0;
	}
out:
	list_free(l);
	return rc;
}

int list_load(const char *path, enum list_kind kind, struct list **out, struct list_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), rc = 0;
	struct stat st;
	uint8_t *p = NULL;
	size_t n = 0;

	*out = NULL;
	*err = (struct list_error){0};
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		rc = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_size > LIMIT_LIST_OCTETS)
		rc = -EFBIG;
	else if (!(p = malloc((size_t)st.st_size + 1)))
		rc = -ENOMEM;
	/* Read, not mapped: a file that is cut while it is looked at would be the end of us. */
	while (!rc && n <= (size_t)st.st_size) {
		ssize_t got = read(fd, p + n, (size_t)st.st_size + 1 - n);

		if (got < 0 && errno != EINTR)
			rc = -errno;
		if (got == 0)
			break;
		n += got > 0 ? (size_t)got : 0;
	}
	close(fd);
	/* Half of a list would let in what the other half keeps out. */
	if (!rc && n != (size_t)st.st_size) {
		snprintf(err->reason, sizeof(err->reason), "changed while it was read");
		rc = -EINVAL;
	}
	if (!rc)
		rc = list_parse(str_make(p, n), kind, out, err);
	free(p);
	return rc;
}

void list_free(struct list *l)
{
	if (!l)
		return;
	free(l->key);
	free(l);
}
