/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/refused.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "control/loop.h"
#include "control/trace/facts.h"
#include "postern/clock.h"
#include "postern/limits.h"

#define TRACE_ID 16
/* RFC 5321 4.5.3.1.5, less code and CRLF. */
#define ROOM (LIMIT_REPLY_LINE - 6 - (sizeof(" id=") - 1 + TRACE_ID))

/* As the dataplane makes them: 8 digits of time (ms, 40 bits), 8 random ones. */
static void make_id(char id[TRACE_ID + 1])
{
	static const char digit[33] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint64_t t = clock_real_ms(), r = 0;

	/* Without random numbers two of one millisecond look the same, and no more. */
	(void)!getrandom(&r, sizeof(r), GRND_NONBLOCK);
	for (int i = 7; i >= 0; i--, t >>= 5, r >>= 5) {
		id[i] = digit[t & 31];
		id[8 + i] = digit[r & 31];
	}
	id[TRACE_ID] = '\0';
}

static bool may_tell(struct loop *l)
{
	uint64_t second = clock_real_s();

	if (second != l->refused.second)
		l->refused.told = 0;
	l->refused.second = second;
	if (l->refused.told++ < LIMIT_TRACE_REFUSED)
		return true;
	l->counters[CTL_trace_untold]++;
	return false;
}

static json_t *record(const struct session *s, const char *id, const char *stage,
		      const struct ctl_reply *r)
{
	char ip[64], said[HANDOFF_MAX_TEXT + 32];

	if (r->enh_class)
		snprintf(said, sizeof(said), "%u %u.%u.%u %.*s", r->code, r->enh_class,
			 r->enh_subject, r->enh_detail, STR_FMT(r->text));
	else
		snprintf(said, sizeof(said), "%u %.*s", r->code, STR_FMT(r->text));
	ip_format(&s->peer, ip, sizeof(ip));
	return json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:o, s:s, s:s, s:s, s:s}", "trace_id", id,
			 "origin", ip, "peer", ip, "peer_port", (int)s->peer_port, "outcome",
			 trace_outcome_name(r->code / 100 == 5 ? TRACE_REJECTED : TRACE_DEFERRED),
			 "stage", stage, "reply", trace_text(str_c(said)), "message_id", "", "helo",
			 "", "mail_from", "", "rcpt", "");
}

void refused_connect(struct loop *l, const struct session *s, struct ctl_reply *r,
		     char buf[HANDOFF_MAX_TEXT + 1])
{
	char id[TRACE_ID + 1];

	make_id(id);
	snprintf(buf, HANDOFF_MAX_TEXT + 1, "%.*s id=%s", STR_FMT(str_cut(r->text, ROOM)), id);
	r->text = str_c(buf);
	if (may_tell(l))
		trace_write(l->trace, record(s, id, "connect", r));
}

void refused_rcpt(struct loop *l, const struct session *s, const struct ctl_rcpt_question *asked,
		  const struct config_route *route, const struct ctl_reply *r)
{
	json_t *o;

	if (!asked->trace_id[0] || !may_tell(l))
		return;
	o = record(s, asked->trace_id, "rcpt", r);
	if (!o)
		return;
	json_object_set_new(o, "helo", trace_text(asked->helo));
	json_object_set_new(o, "mail_from", trace_text(asked->mail_from));
	json_object_set_new(o, "rcpt", trace_text(asked->rcpt));
	json_object_set_new(o, "route", route ? json_string(route->name) : json_null());
	trace_write(l->trace, o);
}
