/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * When signatures are verified once more over what leaves (judge_reverify.h).
 *
 * Debug builds and `posternctl scan` do it for every message and wait for it. Release builds do it
 * for a share of messages and wait for nothing: it runs on the loop while the message is on its way
 * to the next hop, and ends with the message at the latest, because the octets go back to the
 * dataplane then. It can therefore stop nothing, and need not: a signature that we broke is a fault
 * of ours to be repaired, no reason to keep mail from its recipient.
 */

#include <stdio.h>
#include <string.h>

#include "control/hash/siphash.h"
#include "control/judge/judge_internal.h"
#include "control/note.h"
#include "postern/stats.h"

static bool any_passed(const struct judgement *r)
{
	for (size_t i = 0; i < r->dkim->n; i++)
		if (r->dkim->sig[i].result == DKIM_PASS)
			return true;
	for (size_t i = 0; i < r->arc->n; i++)
		if (r->arc->set[i].message.result == DKIM_PASS ||
		    r->arc->set[i].sealed.result == DKIM_PASS)
			return true;
	return false;
}

/* By trace id, so that the same message would be chosen again. */
static bool in_sample(const struct judge *j)
{
	static const uint8_t secret[16];
	const char *id = j->req.env->trace_id;
	double share = j->req.config->reverify;
	struct siphash128 h = siphash128(secret, (const uint8_t *)id, strlen(id));

	return share > 0 && (double)h.lo / 18446744073709551616.0 < share;
}

/* REVERIFY_SHARE: not at all. */
static enum judge_reverify how(const struct judge *j)
{
	if (j->req.reverify != REVERIFY_SHARE)
		return j->req.reverify;
#ifdef POSTERN_DEBUG
	return REVERIFY_FIRST;
#endif
	return in_sample(j) ? REVERIFY_BESIDE : REVERIFY_SHARE;
}

static void on_reverified(void *arg, const struct reverify_result *v)
{
	struct judge *j = arg;
	struct judgement *r = &j->result;
	uint64_t *c = j->env.counters;

	r->reverify = *v;
	c[CTL_reverified]++;
	c[CTL_reverify_unsettled] += v->unsettled;
	c[CTL_signatures_broken] += v->broken;
	if (v->broken)
		note(NOTE_ALERT, "message %s: a signature verified on arrival and does not "
			"on departure: %s",
			j->req.env->trace_id, v->text);
	reverify_free(j->reverify);
	j->reverify = NULL;
	if (j->reverify_first)
		judge_conclude(j);
}

bool judge_proof_start(struct judge *j)
{
	struct judgement *r = &j->result;
	struct reverify_request req = {
		.dns = j->env.dns,
		.base = j->env.base,
		.now = (int64_t)(j->req.env->time_ns / 1000000000u),
		.headers = &r->headers,
		.drop = r->drop,
		.content = j->req.content,
		.sigs = {r->dkim, r->arc},
		.out = &r->out,
	};

	j->reverify_first = how(j) == REVERIFY_FIRST;
	/* Without time there is nothing left to wait for. What is refused goes nowhere. */
	if (how(j) == REVERIFY_SHARE || !any_passed(r) || r->timed_out ||
	    (r->policy.action >= POLICY_DEFER && !j->reverify_first))
		return false;
	j->reverify = reverify_start(&req, on_reverified, j);
	if (!j->reverify) {
		j->env.counters[CTL_reverify_unfinished]++;
		return false;
	}
	return j->reverify_first;
}

void judge_proof_give_up(struct judge *j)
{
	if (!j->reverify)
		return;
	j->env.counters[CTL_reverify_unfinished]++;
	reverify_free(j->reverify);
	j->reverify = NULL;
}
