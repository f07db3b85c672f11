/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Messages of a directory, and their views made beforehand. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/micro/scan.h"

#define MESSAGE_MAX (64u * 1024 * 1024)

static void append(struct sb_corpus *c, const void *p, size_t n)
{
	while (n > c->cap - c->size) {
		c->cap = c->cap ? 2 * c->cap : 1u << 20;
		c->data = realloc(c->data, c->cap);
		if (!c->data)
			sb_die("no memory for messages");
	}
	memcpy(c->data + c->size, p, n);
	c->size += n;
}

/* As an SMTP client sends it. */
static void add(struct sb_corpus *c, const uint8_t *p, size_t n)
{
	size_t from = c->size, line = 0;

	if (memmem(p, n, "\r\n", 2)) {
		append(c, p, n);
	} else {
		for (size_t i = 0; i < n; i++) {
			if (p[i] != '\n')
				continue;
			append(c, p + line, i - line);
			append(c, "\r\n", 2);
			line = i + 1;
		}
		append(c, p + line, n - line);
	}
	c->message[c->n++] = (struct sb_message){from, c->size - from};
}

static void read_file(struct sb_corpus *c, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *p;
	ssize_t n = 0;

	if (fd < 0 || fstat(fd, &st))
		sb_die("%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || !st.st_size) {
		close(fd);
		return;
	}
	if ((size_t)st.st_size > MESSAGE_MAX)
		sb_die("%s: larger than a message may be", path);
	p = sb_alloc((size_t)st.st_size, 1);
	for (off_t at = 0; at < st.st_size; at += n) {
		n = read(fd, p + at, (size_t)(st.st_size - at));
		if (n <= 0)
			sb_die("%s: %s", path, n ? strerror(errno) : "it shrinks");
	}
	add(c, p, (size_t)st.st_size);
	free(p);
	close(fd);
}

static void digest(struct sb_corpus *c)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	if (!md || !EVP_DigestInit_ex(md, EVP_sha256(), NULL))
		sb_die("SHA-256");
	for (size_t i = 0; i < c->n; i++) {
		uint64_t n = c->message[i].n;

		EVP_DigestUpdate(md, &n, sizeof(n));
		EVP_DigestUpdate(md, sb_octets(c, i), n);
	}
	EVP_DigestFinal_ex(md, c->sha256, NULL);
	EVP_MD_CTX_free(md);
}

void sb_corpus_load(struct sb_corpus *c, const char *name, const char *directory)
{
	struct dirent **entry;
	int n = scandir(directory, &entry, NULL, alphasort);

	*c = (struct sb_corpus){.name = strdup(name)};
	if (n < 0 || !c->name)
		sb_die("%s: %s", directory, strerror(errno));
	c->message = sb_alloc((size_t)n + 1, sizeof(*c->message));
	for (int i = 0; i < n; i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", directory, entry[i]->d_name);
		if (entry[i]->d_name[0] != '.')
			read_file(c, path);
		free(entry[i]);
	}
	free(entry);
	if (!c->n)
		sb_die("%s: no messages", directory);
	digest(c);
}

void sb_corpus_free(struct sb_corpus *c)
{
	free(c->name);
	free(c->data);
	free(c->message);
}

static int by_size(const void *a, const void *b)
{
	const struct sb_message *x = a, *y = b;

	return (x->n > y->n) - (x->n < y->n);
}

json_t *sb_corpus_json(const struct sb_corpus *c)
{
	static const struct { const char *name; unsigned int of_100; } at[] = {
		{"p10", 10}, {"p50", 50}, {"p90", 90}, {"p99", 99}, {"max", 100}};
	struct sb_message *m = sb_alloc(c->n, sizeof(*m));
	json_t *o, *sizes = json_object();
	size_t large = 0;
	char hex[65];

	memcpy(m, c->message, c->n * sizeof(*m));
	qsort(m, c->n, sizeof(*m), by_size);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		json_object_set_new(sizes, at[i].name,
				    json_integer((json_int_t)m[(c->n - 1) * at[i].of_100 / 100].n));
	for (size_t i = 0; i < c->n; i++)
		large += m[i].n > HANDOFF_CHUNK;
	free(m);
	sb_hex(c->sha256, hex);
	o = json_pack("{s:s, s:s, s:I, s:I, s:o, s:I}", "name", c->name, "sha256", hex, "messages",
		      (json_int_t)c->n, "octets", (json_int_t)c->size, "size", sizes, "over_64_kib",
		      (json_int_t)large);
	return o;
}

/* ---- views */

struct maker {
	struct sb_views *v;
	uint32_t message;
};

static void keep(struct maker *m, unsigned int slot, const uint8_t *p, size_t n, unsigned int flags)
{
	struct sb_views *v = m->v;

	while (n > v->cap - v->size) {
		v->cap = v->cap ? 2 * v->cap : 1u << 20;
		v->data = realloc(v->data, v->cap);
		if (!v->data)
			sb_die("no memory for views");
	}
	if (n)
		memcpy(v->data + v->size, p, n);
	sb_grow(&v->run, v->n, &v->cap_runs, sizeof(*v->run));
	v->run[v->n++] = (struct sb_run){.message = m->message, .slot = (uint16_t)slot,
					 .flags = (uint8_t)flags, .off = v->size, .n = n};
	v->size += n;
}

static void on_run(void *ctx, unsigned int slot, const uint8_t *p, size_t n, unsigned int flags)
{
	keep(ctx, slot, p, n, flags);
}

static void keep_full(struct maker *m, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i += HANDOFF_CHUNK) {
		size_t k = n - i < HANDOFF_CHUNK ? n - i : HANDOFF_CHUNK;

		keep(m, VIEW_FULL, p + i, k,
		     (i ? 0 : CONTENT_RUN_FIRST) | (i + k == n ? CONTENT_RUN_LAST : 0));
	}
}

/* Runs of one slot follow each other. */
static int by_slot(const void *a, const void *b)
{
	const struct sb_run *x = a, *y = b;

	if (x->message != y->message)
		return x->message < y->message ? -1 : 1;
	if (x->slot != y->slot)
		return x->slot < y->slot ? -1 : 1;
	return (x->off > y->off) - (x->off < y->off);
}

void sb_views_make(struct sb_views *v, const struct sb_corpus *c, const struct content_plan *plan)
{
	void *memory = aligned_alloc(64, (content_size() + 63) & ~(size_t)63);
	struct maker m = {.v = v};
	const struct content_sink sink = {on_run, &m};
	struct content *content;

	*v = (struct sb_views){0};
	if (!memory)
		sb_die("no memory for views");
	content = content_init(memory);
	for (size_t i = 0; i < c->n; i++) {
		m.message = (uint32_t)i;
		content_begin(content, plan, &sink);
		content_feed(content, sb_octets(c, i), c->message[i].n);
		content_end(content);
		if (plan->views & 1u << VIEW_FULL)
			keep_full(&m, sb_octets(c, i), c->message[i].n);
	}
	qsort(v->run, v->n, sizeof(*v->run), by_slot);
	free(memory);
}

void sb_views_free(struct sb_views *v)
{
	free(v->data);
	free(v->run);
}
