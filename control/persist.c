/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What is known again after a restart, clean or not: breakers and what is usual on a route, MTA-STS
 * policies. An open breaker is written at once, all else rarely. If the document of the breakers is
 * there and cannot be read, all breakers are open: mail is deferred until somebody has looked, where
 * the other guess would bounce it.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/loop.h"
#include "control/note.h"
#include "postern/clock.h"
#include "postern/limits.h"

/* Takes the document. */
static void put(struct loop *l, enum state_doc doc, json_t *j)
{
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;

	json_decref(j);
	if (text)
		state_put(l->state, doc, text, strlen(text));
}

static void put_breakers(struct loop *l)
{
	l->breakers_saved_s = clock_mono_s();
	put(l, STATE_BREAKERS, deliver_breakers_save(l->deliver, clock_real_s()));
}

static void put_sts(struct loop *l)
{
	l->sts_saved_s = clock_mono_s();
	l->sts_saved = deliver_sts_changes(l->deliver);
	put(l, STATE_STS, deliver_sts_save(l->deliver, clock_real_s()));
}

static void on_breaker(void *arg)
{
	put_breakers(arg);
}

/* 0, -ENOENT, or why it cannot be used. */
static int read_doc(struct loop *l, enum state_doc doc, json_t **j)
{
	char *text = NULL;
	size_t n = 0;
	int rc = state_read(l->state, doc, &text, &n);

	if (rc)
		return rc;
	*j = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
	free(text);
	return *j ? 0 : -EBADMSG;
}

static void load_breakers(struct loop *l)
{
	json_t *j = NULL;
	int rc = read_doc(l, STATE_BREAKERS, &j);

	if (!rc)
		rc = deliver_breakers_load(l->deliver, l->active->config, j, clock_real_s());
	json_decref(j);
	if (rc > 0)
		note(NOTE_ALERT, "%d breaker(s) are open, as before the restart: 5xx of these "
			"routes become 451 until they are acknowledged (posternctl breaker)", rc);
	if (rc >= 0 || rc == -ENOENT)
		return;
	l->counters[CTL_state_damaged]++;
	note(NOTE_ALERT, "%s/%s: %s: nobody knows which breakers were open, so all are, "
		"until they are acknowledged (posternctl breaker)", l->active->config->state_directory,
		state_name(STATE_BREAKERS), strerror(-rc));
	deliver_breakers_doubt(l->deliver, l->active->config);
	put_breakers(l);
}

static void load_sts(struct loop *l)
{
	json_t *j = NULL;
	int rc = read_doc(l, STATE_STS, &j);

	if (!rc)
		rc = deliver_sts_load(l->deliver, j, clock_real_s());
	json_decref(j);
	if (rc >= 0 || rc == -ENOENT)
		return;
	l->counters[CTL_state_damaged]++;
	note(NOTE_NOTICE, "%s/%s: %s: MTA-STS policies are fetched anew",
		l->active->config->state_directory, state_name(STATE_STS), strerror(-rc));
}

int persist_start(struct loop *l, char *err, size_t err_len)
{
	l->state = state_open(l->active->config->state_directory, err, err_len);
	if (!l->state)
		return -1;
	load_breakers(l);
	load_sts(l);
	l->breakers_saved_s = l->sts_saved_s = clock_mono_s();
	deliver_on_breaker(l->deliver, on_breaker, l);
	return 0;
}

void persist_second(struct loop *l)
{
	uint64_t now = clock_mono_s();

	l->counters[CTL_state_failed] = state_failed(l->state);
	if (now - l->breakers_saved_s >= LIMIT_BREAKER_SAVE_S)
		put_breakers(l);
	if (deliver_sts_changes(l->deliver) != l->sts_saved && now - l->sts_saved_s >= LIMIT_STS_SAVE_S)
		put_sts(l);
}

void persist_stop(struct loop *l)
{
	if (!l->state)
		return;
	put_breakers(l);
	if (deliver_sts_changes(l->deliver) != l->sts_saved)
		put_sts(l);
	state_close(l->state);
}
