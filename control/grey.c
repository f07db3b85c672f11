/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/grey.h"

#include <stdio.h>
#include <string.h>

#include "control/loop.h"
#include "postern/clock.h"
#include "postern/limits.h"

static struct greylist_rules rules_of(const struct config_policy *p)
{
	return (struct greylist_rules){p->greylist.delay_s, p->greylist.window_s,
				       p->greylist.lifetime_s};
}

static struct greylist_source source_of(const struct config_policy *p, const struct ip_addr *ip)
{
	return greylist_source(ip, p->greylist.prefix_v4, p->greylist.prefix_v6);
}

/* Is it asked of this client? A relay's retries say nothing of the sender behind it. */
static bool applies(const struct loop *l, const struct config *c, const struct config_policy *p,
		    const struct session *s)
{
	if (!p->greylist.on || !l->greylist || !session_is_origin(c, s))
		return false;
	return !(p->access.skips & CONFIG_SKIP_GREYLIST) ||
	       admission_listed(&p->access.deny_origins, &p->access.allow_origins, &s->peer) !=
		       ADMISSION_ALLOWED;
}

/* The last word; the text names reason and time, the dataplane adds the trace id. */
static void decide(struct session_question *q, const struct greylist_source *from,
		   const struct ctl_rcpt_question *asked)
{
	const struct config_policy *p = config_policy_for(q->snapshot->config, q->route);
	struct greylist_rules rules = rules_of(p);
	struct loop *l = q->session->loop;
	enum greylist_answer a;
	uint32_t wait;

	a = greylist_ask(l->greylist, from, asked->mail_from, asked->rcpt, &rules, clock_real_s(), &wait);
	q->reply = q->truth;
	if (a == GREYLIST_KNOWN || a == GREYLIST_PASSED) {
		l->counters[a == GREYLIST_KNOWN ? CTL_greylist_known : CTL_greylist_passed]++;
		return;
	}
	if (p->dry_run) {
		l->counters[CTL_greylist_spared]++;
		return;
	}
	l->counters[CTL_greylist_deferred]++;
	q->by_policy = true;
	/* RFC 6647 5: 451 or 450; 4.7.1 as RFC 3463 3.8 has it. */
	q->reply = (struct deliver_reply){451, 4, 7, 1, ""};
	snprintf(q->reply.text, sizeof(q->reply.text),
		 "Greylisted: nobody here knows this sender yet, try again in %u s", wait);
}

static void on_spf(void *arg, const struct spf_verdict *v)
{
	struct session_question *q = arg;
	const struct config_policy *p = config_policy_for(q->snapshot->config, q->route);
	struct greylist_source from = source_of(p, &q->session->peer);
	struct ctl_rcpt_question asked;
	char domain[MAIL_ALABEL];

	q->spf = NULL;
	if (ctl_rcpt_question(q->session->loop->rings, &q->desc, &asked)) {
		q->reply = q->truth; /* the transaction is over: nobody will hear it */
	} else {
		if (v->result == SPF_PASS && v->identity == SPF_ID_MAILFROM &&
		    mail_alabel(str_c(v->domain), domain))
			from.domain = str_c(domain);
		decide(q, &from, &asked);
	}
	q->then(q);
}

bool grey_ask(struct session_question *q, const struct deliver_reply *good,
	      void (*then)(struct session_question *q))
{
	const struct config *c = q->snapshot->config;
	const struct config_policy *p = config_policy_for(c, q->route);
	struct loop *l = q->session->loop;
	struct ctl_rcpt_question asked;
	struct greylist_source from;
	struct greylist_rules rules;
	uint8_t alabels[LIMIT_PATH + MAIL_ALABEL];
	struct spf_request req;
	enum greylist_answer a;

	q->reply = *good;
	if (!applies(l, c, p, q->session) || ctl_rcpt_question(l->rings, &q->desc, &asked))
		return true;
	rules = rules_of(p);
	from = source_of(p, &q->session->peer);
	q->truth = *good;
	a = greylist_look(l->greylist, &from, asked.mail_from, asked.rcpt, &rules, clock_real_s());
	if (a != GREYLIST_KNOWN && a != GREYLIST_PASSED && asked.mail_from.n && l->spf) {
		req = (struct spf_request){
			.ip = q->session->peer,
			.identity = SPF_ID_MAILFROM,
			.helo = asked.helo,
			.mail_from = mailbox_alabel(asked.mail_from, alabels, sizeof(alabels)),
			.hostname = str_c(c->hostname),
			.now = clock_real_s(),
		};
		q->then = then;
		q->spf = spf_check(l->spf, &req, on_spf, q);
		if (q->spf) {
			q->reply = (struct deliver_reply){0};
			return false;
		}
	}
	decide(q, &from, &asked);
	return true;
}

void grey_accepted(struct loop *l, const struct message *m)
{
	const struct judgement *j = m->judge ? judge_result(m->judge) : NULL;
	const struct config_policy *p = j ? j->policy_config : NULL;
	struct greylist_source from;
	struct greylist_rules rules;
	char domain[MAIL_ALABEL];

	if (!p || !p->greylist.on || !l->greylist || j->origin.status != ORIGIN_DIRECT)
		return;
	rules = rules_of(p);
	from = source_of(p, &j->origin.ip);
	greylist_accept(l->greylist, &from, &rules, clock_real_s());
	if (j->spf.result != SPF_PASS || j->spf.identity != SPF_ID_MAILFROM ||
	    !mail_alabel(str_c(j->spf.domain), domain))
		return;
	from.domain = str_c(domain);
	greylist_accept(l->greylist, &from, &rules, clock_real_s());
}

bool grey_open(struct loop *l, const struct config *c, char *err, size_t err_len)
{
	if (l->greylist || !c->greylist)
		return true;
	l->greylist = greylist_open(c->greylist_file, err, err_len);
	return l->greylist != NULL;
}
