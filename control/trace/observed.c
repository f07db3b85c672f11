/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <stdio.h>

#include "control/trace/facts.h"
#include "control/rfc3339.h"
#include "dataplane/tap/tap.h"
#include "postern/handoff.h"

static const char *unjudged(uint8_t why)
{
	static const char *const name[UNJUDGED_COUNT] = {
		[UNJUDGED_NONE] = "none",         [UNJUDGED_CONTROL] = "control",
		[UNJUDGED_ARENA] = "arena",       [UNJUDGED_SIZE] = "size",
		[UNJUDGED_RING] = "ring",         [UNJUDGED_RULES] = "rules",
		[UNJUDGED_STOPPING] = "stopping", [UNJUDGED_MALFORMED] = "malformed",
		[UNJUDGED_TIMEOUT] = "timeout",
	};

	return name[why];
}

static json_t *anomalies(uint64_t mask)
{
	json_t *a = json_array();

	for (unsigned int i = 0; i < TAP_ANOMALY_COUNT; i++)
		if (mask & 1ull << i)
			json_array_append_new(a, json_string(tap_anomaly_name(i)));
	return a;
}

static json_t *incomplete(const struct mail_envelope *e)
{
	char buf[32];

	if (e->observed.whole == OBSERVED_ABORTED)
		return json_string("aborted");
	if (e->observed.whole == OBSERVED_UNSURE)
		return json_string("unsure");
	snprintf(buf, sizeof(buf), "gap,%u", e->observed.gap);
	return json_string(buf);
}

void trace_observed(json_t *record, const struct mail_envelope *e)
{
	bool cable = e->listener != HANDOFF_LISTENER_TAP && e->listener & HANDOFF_LISTENER_INLINE;
	bool message = e->observed.what != OBSERVED_ENCRYPTED;
	char ip[64], seen[RFC3339];

	if (!(e->flags & RECORD_F_OBSERVED))
		return;
	json_object_set_new(record, "mode", json_string(cable ? "inline" : "tap"));
	json_object_set_new(record, "server", json_string(ip_format(&e->local, ip, sizeof(ip))));
	json_object_set_new(record, "server_port", json_integer(e->local_port));
	json_object_set_new(record, "seen", json_string(rfc3339_ms(e->time_ns / 1000000, seen)));
	if (!message)
		return;
	json_object_set_new(record, "server_reply",
			    e->observed.reply.n ? trace_text(e->observed.reply) : json_null());
	json_object_set_new(record, "complete", json_boolean(e->observed.whole == OBSERVED_WHOLE));
	if (e->observed.whole != OBSERVED_WHOLE)
		json_object_set_new(record, "incomplete", incomplete(e));
	if (e->flags & RECORD_F_ONE_WAY)
		json_object_set_new(record, "one_way", json_true());
	if (e->flags & RECORD_F_ENVELOPE_CUT)
		json_object_set_new(record, "envelope_cut", json_true());
	if (e->observed.unjudged)
		json_object_set_new(record, "unjudged",
				    json_string(unjudged(e->observed.unjudged)));
	json_object_set_new(record, "anomalies", anomalies(e->observed.anomalies));
}
