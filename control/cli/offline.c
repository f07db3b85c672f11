/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/cli/offline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/cli/cli.h"
#include "control/judge/judge.h"
#include "control/snapshot.h"
#include "postern/utf8.h"

/* Used where no --config is given: nothing in it is ever connected to. */
#define DEFAULT_CONFIG                                                                             \
	"hostname = \"localhost.localdomain\"\n"                                                    \
	"listener \"scan\" { port = 0; address = [\"192.0.2.1/32\"] }\n"                             \
	"route \"scan\" { domains = [\"localhost.localdomain\"]; hosts = [\"192.0.2.2\"] }\n"         \
	"policy { allow-private-peer = true }\n"
static const char default_config[] = DEFAULT_CONFIG;
static const char relayed_config[] = DEFAULT_CONFIG "relay \"mailbox\" { addresses = [\"127.0.0.1\"] }\n";

static int complain(const struct offline *o, const char *what, const char *why)
{
	fprintf(stderr, "posternctl %s: %s: %s\n", o->who, what, why);
	return CLI_USAGE;
}

static int load_default(struct offline *o)
{
	const char *text = o->relayed ? relayed_config : default_config;
	struct config_error err[4];
	size_t n = 0;

	if (config_parse("built-in", text, strlen(text), 1, &o->config, err, 4, &n))
		return complain(o, err[0].key, err[0].reason);
	return CLI_OK;
}

int offline_load(struct offline *o, const char *path, bool with_rules)
{
	static struct snapshot_report report;
	struct snapshot *snap = NULL;
	struct rules_options opt;
	int rc;

	if (!path)
		return load_default(o);
	rc = snapshot_begin(path, 1, &snap, &report);
	if (!rc && with_rules) {
		opt = snapshot_rules_options(snap->config);
		rc = snapshot_rules(snap, &opt, &report);
	}
	if (!rc) {
		o->config = config_ref(snap->config);
		o->rules = snap->rules;
		snap->rules = NULL;
	} else if (report.n_errors) {
		fprintf(stderr, "%s:%u: %s: %s\n", report.error[0].file, report.error[0].line,
			report.error[0].key, report.error[0].reason);
	} else {
		complain(o, path, strerror(-rc));
	}
	snapshot_unref(snap);
	return rc ? CLI_USAGE : CLI_OK;
}

int offline_arm(struct offline *o)
{
	char err[256] = "";
	void *bundle = NULL;
	size_t len = 0, at = 0;
	int rc;

	if (!o->rules)
		return CLI_OK;
	/* What a message costs is not to hold what is done once. */
	rules_warm(o->rules, &at, 0);
	rc = rules_pack(o->rules, judge_content_views(o->config), config_wants_hashes(o->config), &bundle,
			&len);
	if (!rc && !bundle)
		return CLI_OK;
	if (!rc)
		rc = scan_generation_new(bundle, len, 1, &o->generation, err, sizeof(err));
	if (!rc)
		rc = scan_worker_new(o->generation, 1, o->counters, &o->worker);
	if (!rc)
		rc = scan_views_new(0, o->counters, &o->views);
	free(bundle);
	return rc ? complain(o, "rules", err[0] ? err : strerror(-rc)) : CLI_OK;
}

void offline_close(struct offline *o)
{
	scan_views_free(o->views);
	scan_worker_free(o->worker);
	scan_generation_free(o->generation);
	rules_free(o->rules);
	config_unref(o->config);
}

uint32_t offline_scan(struct offline *o, const uint8_t *p, size_t n,
		      struct handoff_match match[HANDOFF_MAX_MATCHES], uint32_t *n_matches)
{
	const struct scan_target to = {match, n_matches, HANDOFF_MAX_MATCHES};

	*n_matches = 0;
	return o->views ? scan_views_block(o->views, o->worker, p, n, &to).flags : 0;
}

/* To the first listener; without one it is mail to the first server of a cable. */
static void where_it_came(const struct config *c, struct mail_envelope *e)
{
	e->local_port = 25;
	if (c->n_listeners) {
		e->local = c->listener[0].address[0].addr;
		return;
	}
	for (size_t i = 0; i < c->n_inlines; i++)
		if (c->inlined[i].mode == INLINE_TERMINATE) {
			e->listener = (uint16_t)(HANDOFF_LISTENER_INLINE + i);
			e->local = c->inlined[i].net[0].addr;
			e->local_port = c->inlined[i].port;
			return;
		}
}

int offline_envelope(const struct offline *o, const struct offline_sender *s, const uint8_t *p,
		     size_t n, struct mail_envelope *e)
{
	if (!ip_parse(str_c(s->ip), &e->peer))
		return complain(o, "--ip", "not an IPv4 or IPv6 address");
	where_it_came(o->config, e);
	e->smtputf8 = s->from && !utf8_is_ascii(str_c(s->from));
	for (size_t i = 0; i < s->n_rcpts; i++)
		e->smtputf8 |= !utf8_is_ascii(s->rcpt[i]);
	e->proto = e->smtputf8 ? PROTO_UTF8SMTP : PROTO_ESMTP;
	e->flags |= e->smtputf8 ? RECORD_F_SMTPUTF8 : 0;
	e->helo = str_c(s->helo);
	e->mail_from = s->from ? str_c(s->from) : STR_NONE;
	e->rcpt = s->rcpt;
	e->n_rcpts = s->n_rcpts;
	e->time_ns = (uint64_t)(s->now ? s->now : (int64_t)time(NULL)) * 1000000000u;
	for (size_t i = 0; i < n; i++)
		if (p[i] & 0x80)
			e->flags |= RECORD_F_8BIT;
	strcpy(e->trace_id, "0000000000000000");
	return CLI_OK;
}
