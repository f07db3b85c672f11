/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/watched.h"

#include <stdio.h>

#include "control/loop.h"
#include "control/trace/facts.h"
#include "control/watch/watch.h"
#include "postern/clock.h"

static json_t *event(const struct session *s, const char *name)
{
	char ip[64], id[40];

	/* The slot is used again, under another generation. */
	snprintf(id, sizeof(id), "%u-%u-%u", s->worker, s->slot, s->generation);
	return json_pack("{s:s, s:s, s:s, s:i}", "event", name, "session", id, "peer",
			 ip_format(&s->peer, ip, sizeof(ip)), "peer_port", (int)s->peer_port);
}

void watched_opened(struct loop *l, const struct session *s, const struct ctl_reply *r)
{
	char said[HANDOFF_MAX_TEXT + 32];
	json_t *o;

	if (!watch_wants_session(l->watch, &s->peer))
		return;
	o = event(s, "opened");
	json_object_set_new(o, "via",
			    json_string(s->via == VIA_PROXY     ? "proxy"
					: s->via == VIA_XCLIENT ? "xclient"
								: ""));
	json_object_set_new(o, "accepted", json_boolean(r->code == 220));
	if (r->code != 220 && r->enh_class)
		snprintf(said, sizeof(said), "%u %u.%u.%u %.*s", r->code, r->enh_class,
			 r->enh_subject, r->enh_detail, STR_FMT(r->text));
	else
		snprintf(said, sizeof(said), "%u %.*s", r->code, STR_FMT(r->text));
	if (r->code != 220)
		json_object_set_new(o, "reply", trace_text(str_c(said)));
	watch_session(l->watch, &s->peer, o);
}

void watched_greeted(struct loop *l, struct session *s, const struct ctl_rcpt_question *asked)
{
	bool first = !s->greeted;
	json_t *o;

	s->greeted = true;
	s->tls = asked->tls_version != 0;
	if (!first || !watch_wants_session(l->watch, &s->peer))
		return;
	o = event(s, "greeted");
	json_object_set_new(o, "helo", trace_text(asked->helo));
	json_object_set_new(
		o, "tls", asked->tls_version ? trace_tls_version(asked->tls_version) : json_null());
	watch_session(l->watch, &s->peer, o);
}

static json_t *reasons(uint32_t flags)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} of[] = {{END_F_EARLY_TALKER, "early-talker"},
		  {END_F_FOREIGN, "not-smtp"},
		  {END_F_ERRORS, "errors"},
		  {END_F_TIMEOUT, "timeout"},
		  {END_F_SLOW, "slow"},
		  {END_F_TLS_FAILED, "tls-failed"},
		  {END_F_PRESSURE, "pressure"}};
	json_t *a = json_array();

	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++)
		if (flags & of[i].flag)
			json_array_append_new(a, json_string(of[i].name));
	return a;
}

void watched_closed(struct loop *l, const struct session *s, const struct handoff_desc *d)
{
	json_t *o;

	if (!watch_wants_session(l->watch, &s->peer))
		return;
	o = event(s, "closed");
	json_object_set_new(o, "seconds", json_real(clock_since(s->connected_ns)));
	json_object_set_new(o, "messages", json_integer((json_int_t)d->end.messages));
	json_object_set_new(o, "rcpts_refused", json_integer((json_int_t)s->rcpts_refused));
	json_object_set_new(o, "errors", json_integer((json_int_t)d->end.errors));
	/* Without a recipient nobody told us. */
	json_object_set_new(o, "tls", s->greeted ? json_boolean(s->tls) : json_null());
	json_object_set_new(o, "why", reasons(d->end.flags));
	watch_session(l->watch, &s->peer, o);
}

void watched_lost(struct loop *l)
{
	if (l->watch && l->n_sessions)
		watch_all_sessions(l->watch, json_pack("{s:s, s:I}", "event", "lost", "sessions",
						       (json_int_t)l->n_sessions));
}
