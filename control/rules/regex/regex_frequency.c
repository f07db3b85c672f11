/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * How often octets follow each other in mail: pairs and triples of the built-in sample, letters
 * without their case. A literal's frequency is that of its first triple, times how likely each
 * further octet is behind the two before it.
 */

#include <pthread.h>
#include <stdlib.h>

#include "control/rules/mailtext.h"
#include "control/rules/regex/regex.h"

#define SYMBOLS 64u
#define SAMPLE (512u * 1024)

static struct {
	uint8_t symbol[256];
	uint8_t share[SYMBOLS];  /* octets that a symbol stands for, cases aside */
	uint32_t octet[256];
	uint32_t one[SYMBOLS], two[SYMBOLS][SYMBOLS], three[SYMBOLS][SYMBOLS][SYMBOLS];
	uint32_t all;
} table;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void symbols(void)
{
	uint8_t next = 29;

	for (unsigned int c = 0; c < 256; c++) {
		uint8_t s;

		if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
			s = (uint8_t)((c | 0x20) - 'a');
		else if (c >= '0' && c <= '9')
			s = 26;
		else if (c == ' ')
			s = 27;
		else if (c == '\n')
			s = 28;
		else if (c > ' ' && c < 0x7f)
			s = next++;
		else
			s = c < 0x80 ? 61 : 62;
		table.symbol[c] = s;
		if (c < 'A' || c > 'Z')
			table.share[s]++;
	}
}

static void count(void)
{
	uint8_t *text = malloc(SAMPLE);
	uint8_t a = 27, b = 27;

	symbols();
	if (!text)
		return; /* all literals of one length are then equally rare */
	mailtext_body(1, text, SAMPLE / 2);
	mailtext_rawbody(2, text + SAMPLE / 2, SAMPLE / 2);
	for (size_t i = 0; i < SAMPLE; i++) {
		uint8_t c = table.symbol[text[i]];

		table.octet[text[i]]++;
		table.one[c]++;
		table.two[b][c]++;
		table.three[a][b][c]++;
		table.all++;
		a = b;
		b = c;
	}
	free(text);
}

static double one(uint8_t c)
{
	return (table.one[c] + 1.0) / (table.all + SYMBOLS);
}

/* Where a pair was seen rarely, the shorter context speaks with it. */
static double two(uint8_t b, uint8_t c)
{
	return (table.two[b][c] + 20 * one(c)) / (table.one[b] + 20.0);
}

static double three(uint8_t a, uint8_t b, uint8_t c)
{
	return (table.three[a][b][c] + 20 * two(b, c)) / (table.two[a][b] + 20.0);
}

double regex_literal_frequency(const struct regex_literal *l)
{
	double f = 1;
	bool upper = false;

	pthread_once(&once, count);
	for (unsigned int i = 0; i < l->len; i++) {
		uint8_t c = table.symbol[l->octet[i]];

		if (i == 0)
			f *= one(c);
		else if (i == 1)
			f *= two(table.symbol[l->octet[0]], c);
		else
			f *= three(table.symbol[l->octet[i - 2]], table.symbol[l->octet[i - 1]], c);
		f /= table.share[c];
		upper |= l->octet[i] >= 'A' && l->octet[i] <= 'Z';
	}
	return !l->caseless && upper ? f / 10 : f;
}

/* Capitals are rarer in the sample than where somebody shouts. */
static double octet(unsigned int c)
{
	double f = (table.octet[c] + 1.0) / (table.all + 256), shouted = 0;

	if (c >= 'A' && c <= 'Z')
		shouted = table.octet[c | 0x20] / (table.all + 256.0) / 10;
	return f > shouted ? f : shouted;
}

double regex_class_frequency(const struct regex_class *c)
{
	double f = 0;

	pthread_once(&once, count);
	for (unsigned int i = 0; i < 256; i++)
		if (regex_class_has(c, (uint8_t)i))
			f += octet(i);
	return f;
}
