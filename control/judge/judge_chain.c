/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The chain field (control/origin/chain.h) in the life of a message. Its code covers the body,
 * which is hashed in turns of the loop: a message of a chained instance waits for that before the
 * sender is known, one that goes to a chained instance has it hashed beside DKIM.
 */

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "control/judge/judge_internal.h"

static uint64_t now_s(const struct judge *j)
{
	return j->req.env->time_ns / 1000000000u;
}

static const struct origin_relay *peer_relay(const struct judge *j)
{
	const struct origin_relay *relay =
		origin_relay_of(&j->req.config->relays, &j->req.env->peer);

	return relay && relay->n_chains ? relay : NULL;
}

static void read_claim(struct judge *j)
{
	const struct origin_relay *relay = peer_relay(j);

	chain_read(relay->chain, relay->n_chains, str_c(j->req.config->header_prefix),
		   &j->result.headers, j->req.env->mail_from, j->chain.body, now_s(j),
		   &j->chain.claim);
}

static void on_hashed(evutil_socket_t fd, short what, void *arg)
{
	struct judge *j = arg;
	struct judge_chain *c = &j->chain;
	bool reading = c->reading;
	int rc = 0;

	(void)fd;
	(void)what;
	if (c->run->pass.failed)
		rc = -EIO;
	else
		memcpy(c->body, c->run->pass.hash[c->hash].digest, sizeof(c->body));
	judge_chain_cancel(j);
	c->have = !rc;
	if (reading) {
		if (!rc) {
			read_claim(j);
			rc = judge_origin(j);
		}
		if (rc)
			judge_failed(j, rc);
		return;
	}
	judge_one_done(j);
}

static int wait_for(struct judge *j, struct body_run *run)
{
	struct judge_chain *c = &j->chain;
	int rc;

	c->hash = canon_pass_add(&run->pass, CANON_SIMPLE, UINT64_MAX);
	if (c->hash < 0)
		return c->hash;
	c->hashed = event_new(j->env.base, -1, 0, on_hashed, j);
	if (!c->hashed)
		return -ENOMEM;
	rc = body_run_join(run, c->hashed);
	if (rc) {
		event_free(c->hashed);
		c->hashed = NULL;
		return rc;
	}
	c->run = run;
	return 0;
}

void judge_chain_cancel(struct judge *j)
{
	struct judge_chain *c = &j->chain;

	if (!c->run)
		return;
	body_run_leave(c->run, c->hashed);
	event_free(c->hashed);
	c->hashed = NULL;
	c->run = NULL;
	c->reading = false;
}

int judge_chain_read(struct judge *j, bool *later)
{
	struct body_run *run;
	int rc;

	*later = peer_relay(j) != NULL;
	if (!*later)
		return 0;
	run = body_run_new(j->env.base, &j->result.headers, j->req.content);
	if (!run)
		return -ENOMEM;
	rc = wait_for(j, run);
	j->chain.reading = !rc;
	/* wait_for() has a reference of its own. */
	body_run_unref(run);
	return rc;
}

int judge_chain_prepare(struct judge *j)
{
	int rc;

	if (!j->chain.sign || j->chain.have)
		return 0;
	rc = wait_for(j, j->run);
	j->open += !rc;
	return rc;
}

int judge_chain_field(struct judge *j, char out[CHAIN_FIELD])
{
	const struct origin *o = &j->result.origin;
	struct chain_message m = {.mail_from = j->req.env->mail_from};
	struct chain_facts facts = {.time = now_s(j), .ip = o->ip};
	int rc;

	out[0] = '\0';
	/* Without a digest the time ran out: the next instance finds no field and says so. */
	if (!j->chain.sign || !j->chain.have ||
	    (o->status != ORIGIN_DIRECT && o->status != ORIGIN_VIA))
		return 0;
	memcpy(facts.helo, o->helo, sizeof(facts.helo));
	snprintf(facts.via, sizeof(facts.via), "%s%s", o->status == ORIGIN_VIA ? "relay:" : "direct",
		 o->via);
	memcpy(m.body, j->chain.body, sizeof(m.body));
	rc = chain_header_digest(&j->result.headers, 0, j->result.drop, m.header);
	if (rc)
		return rc;
	return chain_write(j->chain.sign, str_c(config_header_prefix(j->req.config, j->route)), &facts,
			   &m, out);
}
