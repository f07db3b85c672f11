/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Runs a fuzz target without a fuzzer: every file of its corpus, then mutations of them made with a
 * fixed seed, so that a plain `meson test` goes past the seeds. Usage: fuzz_NAME DIR [MUTATIONS].
 */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

#define INPUT_MAX (256 * 1024)
#define MAX_FILES 4096

static uint64_t rng_state = 0x9e3779b97f4a7c15ull;

static uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

struct input {
	uint8_t *p;
	size_t n;
};

static struct input corpus[MAX_FILES];
static size_t n_corpus;

static int load(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d)
		return -1;
	while ((e = readdir(d)) && n_corpus < MAX_FILES) {
		char path[4096];
		FILE *f;
		struct input *in = &corpus[n_corpus];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		f = fopen(path, "rb");
		if (!f)
			continue;
		in->p = malloc(INPUT_MAX);
		if (!in->p)
			abort();
		in->n = fread(in->p, 1, INPUT_MAX, f);
		fclose(f);
		n_corpus++;
	}
	closedir(d);
	return 0;
}

/* An exact-size copy, so that ASan sees a read past the end. */
static void run(const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		abort();
	memcpy(copy, p, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static size_t mutate(uint8_t *p, size_t n)
{
	unsigned int steps = 1 + rng() % 8;

	while (steps--) {
		size_t at = n ? rng() % n : 0;
		const struct input *other = &corpus[rng() % n_corpus];

		switch (rng() % 6) {
		case 0: /* flip a bit */
			if (n)
				p[at] ^= (uint8_t)(1u << (rng() & 7));
			break;
		case 1: /* another octet, with a liking for the special ones */
			if (n)
				p[at] = "\r\n\0 .:;=\"\\<>()\xff"[rng() % 15];
			break;
		case 2: /* cut */
			n = at;
			break;
		case 3: /* double a piece */
			if (n && n < INPUT_MAX / 2) {
				size_t len = 1 + rng() % (n - at);

				memmove(p + at + len, p + at, n - at);
				n += len;
			}
			break;
		case 4: /* take a piece out */
			if (n) {
				size_t len = 1 + rng() % (n - at);

				memmove(p + at, p + at + len, n - at - len);
				n -= len;
			}
			break;
		default: /* splice */
			if (other->n && n < INPUT_MAX / 2) {
				size_t from = rng() % other->n;
				size_t len = other->n - from;

				if (len > INPUT_MAX - at)
					len = INPUT_MAX - at;
				memcpy(p + at, other->p + from, len);
				n = at + len;
			}
		}
	}
	return n;
}

int main(int argc, char **argv)
{
	unsigned long mutations = argc > 2 ? strtoul(argv[2], NULL, 10) : 2000;
	uint8_t *buf = malloc(INPUT_MAX * 2);

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	if (argc < 2 || !buf || load(argv[1]) || !n_corpus) {
		fprintf(stderr, "usage: %s CORPUS-DIR [MUTATIONS]; the directory must hold a file\n", argv[0]);
		return 2;
	}
	for (size_t i = 0; i < n_corpus; i++)
		run(corpus[i].p, corpus[i].n);
	for (unsigned long i = 0; i < mutations; i++) {
		const struct input *in = &corpus[rng() % n_corpus];

		memcpy(buf, in->p, in->n);
		run(buf, mutate(buf, in->n));
	}
	printf("%zu seeds, %lu mutations\n", n_corpus, mutations);
	for (size_t i = 0; i < n_corpus; i++)
		free(corpus[i].p);
	free(buf);
	return 0;
}
