/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/note.h"
#include "control/sources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "control/loop.h"
#include "postern/clock.h"
#include "postern/limits.h"

/* session.source without an entry: why. */
#define SOURCE_UNSEEN 0u      /* open before this control was, or pushed out of the table */
#define SOURCE_EXEMPT 1u
#define SOURCE_REFUSED 2u     /* nothing of it counts: it was told to come again */

struct sources {
	struct admission *table;
	uint64_t second;             /* of the last line of the log */
	unsigned int lines, untold;  /* in that second; since the last line */
	char text[HANDOFF_MAX_TEXT];
};

struct sources *sources_new(void)
{
	struct sources *s = calloc(1, sizeof(*s));
	uint8_t secret[16];

	if (s && getrandom(secret, sizeof(secret), 0) == sizeof(secret))
		s->table = admission_new(secret, LIMIT_SOURCES);
	if (s && s->table)
		return s;
	free(s);
	return NULL;
}

void sources_free(struct sources *s)
{
	if (s)
		admission_free(s->table);
	free(s);
}

struct admission *sources_table(struct loop *l)
{
	return l->sources->table;
}

uint64_t sources_now_ms(void)
{
	return clock_mono_ms();
}

/* ---- who is not counted ---------------------------------------------------------------------- */

static bool is_exempt(const struct config *c, const struct ip_addr *ip, uint8_t via)
{
	if ((via == VIA_NONE && session_is_trusted(c, ip)) || session_is_relay(c, ip))
		return true;
	return admission_listed(&c->policy.deny, &c->policy.allow, ip) == ADMISSION_ALLOWED;
}

static bool counts(const struct loop *l, const struct session *s)
{
	if (s->source.serial)
		return true;
	return s->source.at == SOURCE_UNSEEN && !is_exempt(l->active->config, &s->peer, s->via);
}

/* ---- what is said ------------------------------------------------------------------------------ */

static const char *source_text(const struct ip_net *net, char *buf, size_t cap)
{
	size_t n;

	ip_format(&net->addr, buf, cap);
	n = strlen(buf);
	if (net->prefix != 128)
		snprintf(buf + n, cap - n, "/%u", net->prefix);
	return buf;
}

static void refusal(struct loop *l, struct ctl_reply *r, uint16_t code, uint16_t detail, const char *what)
{
	const char *contact = l->active->config->dataplane.contact;
	struct sources *s = l->sources;

	snprintf(s->text, sizeof(s->text), "%s%s%s", what, *contact ? "; " : "", contact);
	*r = (struct ctl_reply){code, (uint8_t)(code / 100), 7, detail, str_c(s->text)};
}

static void barred(struct loop *l, const struct admission_verdict *v, struct ctl_reply *r)
{
	static const char *const what[] = {
		[ADMISSION_FAILURES] = "Too many failures of", [ADMISSION_UNKNOWN] = "Too many unknown recipients from",
		[ADMISSION_SESSIONS] = "Too many sessions of", [ADMISSION_RATE] = "Too many connections of"};
	char text[160], source[64];

	snprintf(text, sizeof(text), "%s %s, try again later (limit %s)", what[v->by],
		 source_text(&v->source, source, sizeof(source)), admission_limit_name(v->by));
	refusal(l, r, 421, 0, text);
}

/* A flood of sources must not become one of the log. */
static void tell(struct sources *s, const struct admission_verdict *v)
{
	uint64_t second = sources_now_ms() / 1000;
	char source[64];

	if (second != s->second)
		s->lines = 0;
	s->second = second;
	if (++s->lines > LIMIT_SOURCE_LINES) {
		s->untold++;
		return;
	}
	note(NOTE_INFO, "source %s: limit %s %s: %u, at most %u (%u others before, not told)",
		source_text(&v->source, source, sizeof(source)), admission_limit_name(v->by),
		v->barred ? "enforced" : "observed", v->is, v->max, s->untold);
	s->untold = 0;
}

/* Counters and log of a verdict; true: barred, *r is the refusal. */
static bool judge(struct loop *l, const struct admission_verdict *v, struct ctl_reply *r)
{
	static const struct { int enforced, observed; } counter[] = {
		[ADMISSION_FAILURES] = {CTL_source_failures, CTL_source_failures_observed},
		[ADMISSION_UNKNOWN] = {CTL_source_unknown, CTL_source_unknown_observed},
		[ADMISSION_SESSIONS] = {CTL_source_sessions, CTL_source_sessions_observed},
		[ADMISSION_RATE] = {CTL_source_rate, CTL_source_rate_observed}};

	for (size_t i = 0; i < ADMISSION_LIMITS; i++)
		if (v->observed & 1u << i)
			l->counters[counter[i].observed]++;
	if (v->tell)
		tell(l->sources, v);
	if (!v->barred)
		return false;
	l->counters[counter[v->by].enforced]++;
	barred(l, v, r);
	return true;
}

/* ---- a session ----------------------------------------------------------------------------------- */

bool sources_connect(struct loop *l, struct session *s, struct ctl_reply *r)
{
	const struct config *c = l->active->config;
	struct admission_verdict v;
	struct admission_stats stats;

	if (!l->sources)
		return false;
	sources_leave(s);
	s->source.at = SOURCE_REFUSED;
	if (r->code != 220)
		return false;
	/* It has to be heard before it can name its client. */
	if (s->via == VIA_NONE && session_is_trusted(c, &s->peer)) {
		s->source.at = SOURCE_EXEMPT;
		return true;
	}
	if (admission_listed(&c->policy.deny, &c->policy.allow, &s->peer) == ADMISSION_DENIED) {
		l->counters[CTL_source_denied]++;
		refusal(l, r, 554, 1, "Your address is refused by policy (policy.deny)");
		return false;
	}
	if (is_exempt(c, &s->peer, s->via)) {
		s->source.at = SOURCE_EXEMPT;
		return true;
	}
	admission_connect(l->sources->table, &c->sources, &s->peer, sources_now_ms(), &s->source, &v);
	admission_stats(l->sources->table, &stats);
	l->counters[CTL_source_evicted] = stats.evicted;
	if (judge(l, &v, r))
		s->source = (struct admission_ref){.at = SOURCE_REFUSED};
	return v.good && !v.barred;
}

void sources_leave(struct session *s)
{
	if (s->loop->sources)
		admission_leave(s->loop->sources->table, &s->source);
}

void sources_leave_all(struct loop *l)
{
	if (l->sources)
		admission_leave_all(l->sources->table);
}

bool sources_rcpt(struct loop *l, struct session *s, struct ctl_reply *r)
{
	struct admission_verdict v;

	if (!l->sources || !counts(l, s))
		return false;
	admission_check(l->sources->table, &l->active->config->sources, &s->peer, sources_now_ms(), &v);
	return judge(l, &v, r);
}

/* 5xx that speaks of the recipient. What the next hop has not got (5.3.x, 5.6.x) is nobody's guess. */
void sources_rcpt_refused(struct loop *l, struct session *s, struct ctl_reply *r)
{
	struct admission_verdict v;

	if (!l->sources || r->code / 100 != 5 || r->enh_subject == 3 || r->enh_subject == 6 || !counts(l, s))
		return;
	admission_fail(l->sources->table, &l->active->config->sources, &s->peer, FAILURE_RCPT, 1,
		       sources_now_ms(), &v);
	judge(l, &v, r);
}

static void fail(struct loop *l, const struct ip_addr *ip, enum admission_failure kind, uint32_t n)
{
	/* Nobody is refused here: the next CONNECT or RCPT is, and is counted. */
	if (n)
		admission_fail(l->sources->table, &l->active->config->sources, ip, kind, n,
			       sources_now_ms(), NULL);
}

void sources_session_end(struct loop *l, struct session *s, const struct handoff_desc *d)
{
	uint32_t flags = d->end.flags, errors = d->end.errors / LIMIT_SOURCE_ERRORS;

	if (!l->sources || !counts(l, s))
		return;
	if (flags & END_F_ERRORS && !errors)
		errors = 1;
	/* What the dataplane had no memory for came late or not at all, whoever waited for it. And who
	 * had sent a message may keep the connection for the next one until we end it. */
	if (flags & END_F_PRESSURE)
		flags &= ~(END_F_SLOW | END_F_TIMEOUT);
	if (s->messages || d->end.messages)
		flags &= ~END_F_TIMEOUT;
	/* A session has at most LIMIT_IDLE_COMMANDS of them in a row, but the number is the dataplane's. */
	fail(l, &s->peer, FAILURE_PROTOCOL, errors < LIMIT_IDLE_COMMANDS ? errors : LIMIT_IDLE_COMMANDS);
	fail(l, &s->peer, FAILURE_EARLY, !!(flags & END_F_EARLY_TALKER));
	fail(l, &s->peer, FAILURE_FOREIGN, !!(flags & END_F_FOREIGN));
	fail(l, &s->peer, FAILURE_SLOW, !!(flags & (END_F_SLOW | END_F_TIMEOUT)));
	fail(l, &s->peer, FAILURE_TLS, !!(flags & END_F_TLS_FAILED));
}

/* ---- a message ------------------------------------------------------------------------------------ */

void sources_message(struct loop *l, const struct message *m, enum trace_outcome outcome,
		     const struct deliver_result *res)
{
	const struct config *c = l->active->config;
	const struct mail_envelope *e = &m->sub->envelope;
	const struct ip_addr *ip = &e->peer;
	uint8_t via = e->via;

	if (!l->sources || (outcome != TRACE_DELIVERED && outcome != TRACE_REJECTED))
		return;
	if (session_is_relay(c, ip)) {
		const struct judgement *j = m->judge ? judge_result(m->judge) : NULL;

		if (!j || j->origin.status != ORIGIN_VIA)
			return;
		ip = &j->origin.ip;
		via = VIA_PROXY; /* named by another: a trusted peer is none when it is the sender */
	}
	if (is_exempt(c, ip, via))
		return;
	if (outcome == TRACE_DELIVERED)
		admission_accept(l->sources->table, &c->sources, ip, sources_now_ms());
	else if (res && !strcmp(res->stage, "rcpt"))
		fail(l, ip, FAILURE_RCPT, 1);
	else
		fail(l, ip, FAILURE_REJECTED, 1);
}
