/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Which gates share a bit of the masks: those that together pass hardly more places of mail than each
 * for itself, or that pass the same ones. Two by two, those first that it costs least, until they are
 * few enough.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/mailtext.h"
#include "control/rules/regex/regex_automaton.h"

#define SAMPLE (8u * 1024)
#define FOREIGN 1024u         /* of these: other scripts than Latin, where much is a look-alike */
#define MESSAGE 4096u         /* octets, about: in each a gate is told but a few times */
#define HEAVY 600u            /* states of both: more would multiply each other */

struct clustering {
	struct regex_pairs *pairs;
	uint32_t *weight;
	uint16_t *cluster;       /* by item; the first item of a cluster stands for it */
	double *cost;            /* by first item */
	double *together;        /* by two of them, the greater number first */
	size_t n;
	uint8_t text[SAMPLE];
};

static bool passes(const struct regex_pairs *a, const struct regex_pairs *b, const uint8_t *place)
{
	for (unsigned int k = 0; k < AUTOMATON_FIRST; k++)
		if (!regex_class_has(&a->row[k][place[(int)k - 1]], place[k]) &&
		    !regex_class_has(&b->row[k][place[(int)k - 1]], place[k]))
			return false;
	return true;
}

/* Places that pass if both share a bit. */
static double places(const struct clustering *c, size_t a, size_t b)
{
	size_t n = 0;

	for (size_t i = 1; i + AUTOMATON_FIRST < SAMPLE; i++)
		n += passes(&c->pairs[a], &c->pairs[b], c->text + i);
	return (double)n;
}

/* What is met within the first octets is told so often, and is not looked for any more. */
static double alone(const struct clustering *c, size_t a)
{
	const double most = (GATE_PLACES + 1.0) * (SAMPLE / MESSAGE);
	double n = places(c, a, a);

	return c->pairs[a].depth < AUTOMATON_FIRST && n > most ? most : n;
}

static double *together(struct clustering *c, size_t a, size_t b)
{
	return a > b ? &c->together[a * c->n + b] : &c->together[b * c->n + a];
}

static void try_with_all(struct clustering *c, size_t a, size_t upto)
{
	for (size_t b = 0; b < upto; b++)
		if (b != a && c->cluster[b] == b)
			*together(c, a, b) = places(c, a, b);
}

/* False: no two may share one, as they would weigh more than that. */
static bool join_two(struct clustering *c, uint32_t heavy)
{
	size_t best_a = 0, best_b = 0;
	double least = 0;

	for (size_t a = 1; a < c->n; a++)
		for (size_t b = 0; c->cluster[a] == a && b < a; b++) {
			double more = *together(c, a, b) - c->cost[a] - c->cost[b];

			if (c->cluster[b] != b || c->weight[a] + c->weight[b] > heavy ||
			    (best_a && more >= least))
				continue;
			least = more;
			best_a = a;
			best_b = b;
		}
	if (!best_a)
		return false;
	for (unsigned int k = 0; k < AUTOMATON_PAIRS; k++)
		for (unsigned int o = 0; o < 256; o++)
			regex_class_or(&c->pairs[best_b].row[k][o], &c->pairs[best_a].row[k][o]);
	c->weight[best_b] += c->weight[best_a];
	c->cost[best_b] = *together(c, best_a, best_b);
	for (size_t i = 0; i < c->n; i++)
		if (c->cluster[i] == best_a)
			c->cluster[i] = (uint16_t)best_b;
	try_with_all(c, best_b, c->n);
	return true;
}

int regex_cluster(struct regex_pairs *pairs, uint32_t *weight, size_t n, size_t most, uint16_t *cluster)
{
	struct clustering *c = calloc(1, sizeof(*c));
	size_t left = n;
	int rc = -ENOMEM;

	if (!c)
		return rc;
	c->pairs = pairs;
	c->weight = weight;
	c->cluster = cluster;
	c->n = n;
	c->cost = calloc(n + 1, sizeof(*c->cost));
	c->together = calloc(n * n + 1, sizeof(*c->together));
	for (size_t i = 0; i < n; i++)
		cluster[i] = (uint16_t)i;
	if (!c->cost || !c->together)
		goto out;
	mailtext_body(6, c->text, SAMPLE - FOREIGN);
	mailtext_foreign(7, c->text + SAMPLE - FOREIGN, FOREIGN);
	for (size_t i = 0; n > most && i < n; i++) {
		c->cost[i] = alone(c, i);
		try_with_all(c, i, i);
	}
	while (left > most && (join_two(c, HEAVY) || join_two(c, UINT32_MAX)))
		left--;
	rc = 0;
out:
	free(c->cost);
	free(c->together);
	free(c);
	return rc;
}
