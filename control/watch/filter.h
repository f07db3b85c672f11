/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What a watcher wants to see. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "control/mail/mail.h"
#include "postern/limits.h"

struct watch_filter {
	bool sessions, messages;
	bool has_peer;
	struct ip_net peer;
	/* Of messages only, "": any. */
	char domain[MAIL_ALABEL];        /* of sender or recipient, as it is compared */
	char rule[LIMIT_RULES_NAME + 1]; /* pattern */
	char trace_id[17];
	char route[LIMIT_CONFIG_NAME + 1];
	char outcome[16];
};

/* Members of a request (docs/api.md). -EINVAL: why (cap octets) says what is wrong. */
int watch_filter_read(struct watch_filter *f, const json_t *body, char *why, size_t cap);
/* A record of the trace. */
bool watch_filter_record(const struct watch_filter *f, const json_t *record);
bool watch_filter_session(const struct watch_filter *f, const struct ip_addr *peer);
