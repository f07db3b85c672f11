/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What TLS an attempt must have, and what becomes of it when TLS fails. No OpenSSL here. */

#include <stdio.h>
#include <string.h>

#include "control/deliver/internal.h"

const char *deliver_verified_name(enum deliver_verified v)
{
	static const char *const name[] = {"no", "name", "dane"};

	return name[v];
}

void tls_why(struct conn *c, const char *fmt, ...)
{
	char *why = c->facts.why;
	size_t n = strlen(why), cap = sizeof(c->facts.why);
	va_list ap;

	if (n && n + 3 < cap) {
		memcpy(why + n, "; ", 3);
		n += 2;
	}
	va_start(ap, fmt);
	vsnprintf(why + n, cap - n, fmt, ap);
	va_end(ap);
}

static bool sts_enforces(const struct xact *x)
{
	return x->sts && x->sts->mode == STS_ENFORCE;
}

/* RFC 7672 2.2: usable records bind; where all are unusable the channel is still encrypted; without
 * records there is nothing to go by. */
static enum config_tls_policy level(const struct xact *x)
{
	enum config_tls_policy p = x->route->tls.policy;

	if (p < TLS_POLICY_DANE)
		return p;
	if (x->dane.state == DANE_USABLE)
		return TLS_POLICY_DANE;
	if (x->dane.state == DANE_UNUSABLE && p == TLS_POLICY_DANE)
		return TLS_POLICY_ENCRYPT;
	return p == TLS_POLICY_DANE ? TLS_POLICY_MAY : TLS_POLICY_DANE_ONLY;
}

/* RFC 8461 2: DANE goes before it, and is not to be mended by it. */
static enum config_tls_policy level_with_sts(const struct xact *x)
{
	enum config_tls_policy p = level(x);

	return sts_enforces(x) && p < TLS_POLICY_VERIFY ? TLS_POLICY_VERIFY : p;
}

bool tls_by_sts(const struct conn *c)
{
	return c->level == TLS_POLICY_VERIFY && c->x->route->tls.policy != TLS_POLICY_VERIFY;
}

bool tls_fits(const struct conn *c, const struct xact *x)
{
	/* TLSA records, and names that go with them, are looked for behind the MX records of one domain. */
	if (x->route->tls.policy >= TLS_POLICY_DANE && strcmp(c->domain, x->domain))
		return false;
	return !sts_enforces(x) || c->facts.verified != DELIVER_VERIFIED_NO;
}

void tls_facts(const struct xact *x, struct deliver_tls *facts)
{
	static const char *const word[] = {TLS_POLICY_WORDS};

	*facts = (struct deliver_tls){.policy = word[x->route->tls.policy]};
	snprintf(facts->why, sizeof(facts->why), "%s", x->sts_why);
}

bool tls_prepare(struct conn *c)
{
	struct xact *x = c->x;

	tls_facts(x, &c->facts);
	snprintf(c->domain, sizeof(c->domain), "%s", x->domain);
	if (x->dane.why[0])
		tls_why(c, "%s", x->dane.why);
	c->level = level_with_sts(x);
	if (x->dane.state == DANE_FAILED) {
		c->level = TLS_POLICY_DANE; /* clear text would be what the attacker wants */
		c->fault = TLS_FAULT_LOOKUP;
		return false;
	}
	if (c->level == TLS_POLICY_DANE_ONLY) {
		c->fault = TLS_FAULT_RECORDS;
		return false;
	}
	if (c->level == TLS_POLICY_MAY && x->no_tls) {
		tls_why(c, "in clear, TLS failed: %s", x->tls.why);
		c->level = TLS_POLICY_NONE;
	} else if (c->level == TLS_POLICY_MAY &&
		   c->host->clear_until_ms > deliver_now_us() / 1000) {
		tls_why(c, "in clear, TLS failed there less than %u s ago", LIMIT_TLS_CLEAR_S);
		c->level = TLS_POLICY_NONE;
	}
	return true;
}

enum tls_step tls_next(struct conn *c, bool offered)
{
	if (c->tls || c->level == TLS_POLICY_NONE)
		return TLS_STEP_CLEAR;
	if (offered)
		return TLS_STEP_START;
	tls_why(c, "STARTTLS is not offered");
	if (c->level == TLS_POLICY_MAY) {
		if (c->x->sts)
			deliver_count(c->d, CTL_sts_testing_failed);
		c->level = TLS_POLICY_NONE; /* behind an XCLIENT it is not asked again */
		return TLS_STEP_CLEAR;
	}
	c->fault = TLS_FAULT_MISSING;
	return TLS_STEP_REFUSE;
}

bool tls_falls_back(struct conn *c)
{
	if (c->level != TLS_POLICY_MAY)
		return false;
	deliver_count(c->d, CTL_nexthop_tls_fallback);
	c->host->clear_until_ms = deliver_now_us() / 1000 + LIMIT_TLS_CLEAR_S * 1000u;
	return true;
}

/* What an operator can do something about. */
static bool is_told(enum tls_fault f)
{
	return f != TLS_FAULT_NONE && f != TLS_FAULT_DECLINED && f != TLS_FAULT_LOOKUP;
}

void tls_failed(struct conn *c)
{
	snprintf(c->host->last_error, sizeof(c->host->last_error), "tls: %.150s", c->facts.why);
	deliver_count(c->d, CTL_nexthop_tls_failed);
	if (c->fault == TLS_FAULT_LOOKUP)
		deliver_count(c->d, CTL_nexthop_tlsa_failed);
	if (c->fault == TLS_FAULT_CERTIFICATE)
		deliver_count(c->d, CTL_nexthop_tls_untrusted);
	if (c->fault == TLS_FAULT_INJECTED)
		deliver_count(c->d, CTL_nexthop_tls_injected);
	/* Of a level that clear text will do for only what nobody does by mistake is told. */
	if (c->fault == TLS_FAULT_INJECTED ||
	    (c->level != TLS_POLICY_MAY && is_told(c->fault)))
		xact_warn(c->x, STAGE_TLS, c->facts.why);
}

void tls_reply(enum tls_fault f, struct deliver_reply *reply, bool *alert, const char *trace_id)
{
	*alert = is_told(f);
	switch (f) {
	/* RFC 3463 3.8: X.7.4 a security feature is not supported, X.7.5 cryptography failed. */
	case TLS_FAULT_MISSING:
		verdict_own(reply, 451, 7, 4, "mail service offers no encryption, try again later",
			    trace_id);
		break;
	case TLS_FAULT_CERTIFICATE:
	case TLS_FAULT_RECORDS:
		verdict_own(reply, 451, 7, 5,
			    "mail service could not prove its identity, try again later", trace_id);
		break;
	case TLS_FAULT_HANDSHAKE:
		verdict_own(reply, 451, 7, 5,
			    "no secure connection to the mail service, try again later", trace_id);
		break;
	case TLS_FAULT_LOOKUP:
		verdict_own(reply, 451, 4, 3, "mail service is not found at the moment", trace_id);
		break;
	case TLS_FAULT_LOCAL:
		verdict_own(reply, 451, 3, 5,
			    "secure connections are not possible here, try again later", trace_id);
		break;
	default:
		verdict_relay(reply, trace_id);
		break;
	}
}
