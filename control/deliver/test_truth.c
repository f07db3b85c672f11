/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Recipient truth over several tries of one message: a sender that comes again with whoever was
 * deferred, as all do, gets rid of all of them in the end, whatever the route asks at RCPT and however
 * late the sender comes. And: lists, sizes, who may join, the breaker.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/config/recipients.h"
#include "control/deliver/fake_hop.h"

#define FROM "sender@example.org"
#define TEXT "Subject: a\r\n\r\nb\r\n"
#define N 4

static struct lab l;
static struct hop *h;
static struct { unsigned int n; char text[420]; } told;

static void on_alert(void *arg, const struct deliver_alert *a)
{
	(void)arg;
	told.n++;
	snprintf(told.text, sizeof(told.text), "%s", a->text ? a->text : a->said->text);
}

static int setup(void **state)
{
	(void)state;
	memset(&told, 0, sizeof(told));
	lab_init(&l);
	h = hop_new(l.base);
	lab_add(&l, "127.0.0.1", h->port);
	deliver_on_alert(l.d, on_alert, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hop_free(h);
	lab_fini(&l);
	return 0;
}

static struct deliver_reply answer_from(const char *from, const char *to)
{
	struct asked a = {0};

	assert_non_null(ask(&l, &a, from, to));
	lab_run(&l, &a.done);
	return a.reply;
}

static struct deliver_reply answer(const char *to)
{
	return answer_from(FROM, to);
}

/* ---- a sender and its retries ------------------------------------------------------------------- */

struct sender {
	bool open[N];                /* to be delivered yet */
	uint16_t final[N];           /* what was heard last */
	unsigned int tries;
};

static const char *const name[N] = {"user0@example.com", "user1@example.com", "user2@example.com",
				    "user3@example.com"};

static bool may_join(const char *to, const struct deliver_joined *have, struct deliver_reply *why)
{
	struct deliver_ask one = {.config = &l.config, .route = &l.route, .mail_from = str_c(FROM),
				  .rcpt = str_c(to)};

	return deliver_may_join(l.d, &one, have, why);
}

/* One transaction with all that are open, as control/session_rcpt.c leads it. */
static void attempt(struct sender *s)
{
	struct deliver_reply r;
	struct sent m;
	struct deliver_request req = sent_request(&l, &m, TEXT, 0);
	struct deliver_joined have = {0};
	size_t who[N], n = 0;

	for (size_t i = 0; i < N; i++) {
		if (!s->open[i])
			continue;
		r = answer(name[i]);
		if (r.code / 100 == 2)
			may_join(name[i], &have, &r);
		s->final[i] = r.code;
		if (r.code / 100 == 5)
			s->open[i] = false;
		if (r.code / 100 != 2)
			continue;
		deliver_join(l.d, &have, str_c(name[i]));
		m.to[n] = str_c(name[i]);
		who[n++] = i;
	}
	s->tries++;
	if (!n)
		return;
	req.n_rcpts = n;
	sent_go(&l, &m, &req);
	lab_run(&l, &m.done);
	for (size_t i = 0; i < n; i++) {
		s->final[who[i]] = m.result.reply.code;
		s->open[who[i]] = m.result.reply.code / 100 == 4;
	}
}

static unsigned int left(const struct sender *s)
{
	unsigned int n = 0;

	for (size_t i = 0; i < N; i++)
		n += s->open[i];
	return n;
}

static struct sender everybody(void)
{
	return (struct sender){.open = {true, true, true, true}};
}

/* What the next hop says of user1 at RCPT while others are in the transaction: by name, so that it is
 * the same for a callout and for a delivery, or (`late`) at a delivery only. */
static const struct trouble {
	const char *says;
	bool ends;                   /* a 5xx: user1 is told so in the end */
} troubles[] = {
	{"550 5.1.1 nobody", true}, {"550 5.7.1 not you", true}, {"550 no", true},
	{"450 4.2.2 full", false}, {"451 4.7.1 greylisted", false}, {"451 4.3.2 not now", false},
	{"451 4.4.1 far away", false}, {"550 5.7.64 TenantAttribution", false},
	{"530 5.7.0 STARTTLS first", false}, {"421 4.3.2 closing", false},
};

/* The others are through after two tries that are so long apart, and the sender is never stuck. */
static void others_get_through(enum config_verify verify, unsigned int apart_s, bool known_before)
{
	for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++) {
		const struct trouble *t = &troubles[i];
		struct sender s = everybody();

		setup(NULL);
		l.route.verify = verify;
		if (known_before)
			for (size_t k = 0; k < N; k++)
				assert_int_equal(answer(name[k]).code, 250);
		h->script.refuse = name[1];
		h->script.refuse_with = t->says;
		for (unsigned int k = 0; k < 3 && left(&s) > (t->ends ? 0u : 1u); k++) {
			attempt(&s);
			deliver_tuning(l.d)->skew_s += apart_s;
		}
		for (size_t k = 0; k < N; k++)
			if (s.final[k] != (k == 1 ? (t->ends ? 550 : s.final[1]) : 250))
				fail_msg("verify %d, %u s, %s: user%zu heard %u last", verify, apart_s,
					 t->says, k, s.final[k]);
		if (s.final[1] / 100 == 2 || (!t->ends && s.final[1] / 100 != 4))
			fail_msg("verify %d, %u s, %s: user1 heard %u", verify, apart_s, t->says,
				 s.final[1]);
		if (h->messages != 1)
			fail_msg("verify %d, %u s, %s: %u messages", verify, apart_s, t->says,
				 h->messages);
		teardown(NULL);
	}
}

/* A retry soon, after the 15 minutes for which a 4xx holds, and hours later. */
static const unsigned int apart[] = {60, 1000, 4 * 3600};

static void no_livelock_with_callouts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(apart) / sizeof(apart[0]); i++)
		for (int known = 0; known < 2; known++)
			others_get_through(VERIFY_CALLOUT, apart[i], known);
}

static void no_livelock_without(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(apart) / sizeof(apart[0]); i++)
		others_get_through(VERIFY_NONE, apart[i], false);
}

/* ---- next hops that refuse behind the content only ---------------------------------------------- */

static void untrusted(const char *says, uint16_t for_user1)
{
	struct sender s = everybody();

	setup(NULL);
	l.route.trust_rcpt = false;
	h->script.refuse_late = name[1];
	h->script.refuse_with = says;
	for (unsigned int k = 0; k < 8 && left(&s) > (for_user1 / 100 == 4 ? 1u : 0u); k++) {
		attempt(&s);
		deliver_tuning(l.d)->skew_s += 3600;
	}
	for (size_t k = 0; k < N; k++)
		if (for_user1 / 100 == 4 && k == 1 ? s.final[k] / 100 != 4
						   : s.final[k] != (k == 1 ? for_user1 : 250))
			fail_msg("%s: user%zu heard %u", says, k, s.final[k]);
	assert_int_equal(h->messages, 3);
	assert_int_equal(l.counters[CTL_callouts], 0);
	assert_int_equal(l.counters[CTL_nexthop_split], 1);
	teardown(NULL);
}

static void refused_behind_the_content(void **state)
{
	(void)state;
	untrusted("550 5.1.1 nobody", 550);
	untrusted("550 no such user", 550);
	untrusted("552 5.2.2 over quota", 552);
	untrusted("450 4.2.2 full", 450);
}

/* What speaks of the message is for all of them. */
static void a_message_is_refused_for_all(void **state)
{
	struct sender s = everybody();

	(void)state;
	l.route.trust_rcpt = false;
	h->script.dot = "554 5.6.0 malformed";
	attempt(&s);
	assert_int_equal(left(&s), 0);
	assert_int_equal(s.final[0], 554);
	assert_int_equal(l.counters[CTL_nexthop_split], 0);
}

static void a_taken_recipient_is_no_truth_there(void **state)
{
	struct sent s;

	(void)state;
	l.route.trust_rcpt = false;
	sent_start(&l, &s, TEXT, 1);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.outcome, DELIVER_DELIVERED);
	/* RCPT is to be asked again from now on: nothing that it said was kept. */
	l.route.trust_rcpt = true;
	assert_int_equal(answer(name[0]).code, 250);
	assert_int_equal(l.counters[CTL_callouts], 1);
}

/* ---- how many at once ----------------------------------------------------------------------------- */

/* 4.5.3 at RCPT speaks of the transaction: next time there are as many as it took. */
static void too_many_is_learned(void **state)
{
	struct sender s = everybody();

	(void)state;
	h->script.rcpt[2] = h->script.rcpt[3] = "452 4.5.3 too many";
	attempt(&s);
	assert_int_equal(left(&s), 4);
	attempt(&s);
	assert_int_equal(left(&s), 2);
	attempt(&s);
	assert_int_equal(left(&s), 0);
	assert_int_equal(h->messages, 2);
	assert_int_equal(l.counters[CTL_rcpt_too_many], 2);
}

/* RFC 9422: said in EHLO, and known by the first callout. */
static void rcptmax_is_kept_to(void **state)
{
	struct sender s = everybody();

	(void)state;
	h->script.ehlo = "250-hop.example.net\r\n250 LIMITS RCPTMAX=3";
	attempt(&s);
	assert_int_equal(left(&s), 1);
	attempt(&s);
	assert_int_equal(left(&s), 0);
	assert_int_equal(h->messages, 2);
}

static bool joins(const struct deliver_joined *have, const char *to, unsigned int *code)
{
	struct deliver_reply why = {.code = 250};
	bool ok = may_join(to, have, &why);

	*code = why.code;
	return ok;
}

/* RFC 9422 3.3: different domains in one transaction, however they are written. */
static void rcptdomainmax_is_kept_to(void **state)
{
	struct deliver_joined have = {0};
	unsigned int code;

	(void)state;
	h->script.ehlo = "250-hop.example.net\r\n250 LIMITS RCPTDOMAINMAX=2";
	assert_int_equal(answer("a@example.com").code, 250);
	assert_true(joins(&have, "a@example.com", &code));
	deliver_join(l.d, &have, STR("a@example.com"));
	deliver_join(l.d, &have, STR("b@EXAMPLE.com"));
	assert_int_equal(have.n_domains, 1);
	assert_true(joins(&have, "c@m\xc3\xbcnchen.example", &code));
	deliver_join(l.d, &have, STR("c@m\xc3\xbcnchen.example"));
	assert_int_equal(have.n_domains, 2);
	assert_false(joins(&have, "d@example.net", &code));
	assert_int_equal(code, 452);
	assert_int_equal(l.counters[CTL_rcpt_too_many], 1);
	assert_true(joins(&have, "d@xn--mnchen-3ya.example", &code));
	/* More than are told apart: none is too few, not too many. */
	h->script.ehlo = "250-hop.example.net\r\n250 LIMITS RCPTDOMAINMAX=1000";
	hop_close_all(h);
	lab_spin(&l, 20);
	assert_int_equal(answer("new@example.com").code, 250);
	for (char c = 'a'; c < 'a' + LIMIT_RCPT_DOMAINS; c++) {
		char to[] = "x@x.example";

		to[2] = c;
		deliver_join(l.d, &have, str_c(to));
	}
	assert_int_equal(have.n_domains, LIMIT_RCPT_DOMAINS);
	assert_true(joins(&have, "e@a.example", &code));
	assert_false(joins(&have, "e@z.example", &code));
}

/* ---- size ------------------------------------------------------------------------------------------- */

static void declared_size(void **state)
{
	struct deliver_reply r;

	(void)state;
	l.route.size_margin = 65536;
	l.declared_size = 1000000 - 65536; /* the hop says 1,000,000 */
	assert_int_equal(answer(name[0]).code, 250);
	l.declared_size++;
	r = answer(name[0]);
	assert_int_equal(r.code, 550);
	assert_int_equal(r.enh_subject, 3);
	assert_int_equal(r.enh_detail, 4);
	/* Also for the recipient by whose callout it is learned. */
	hop_close_all(h);
	l.route.max_message = 5000;
	l.declared_size = 5001;
	assert_int_equal(answer(name[1]).code, 550);
	l.declared_size = 5000;
	assert_int_equal(answer(name[1]).code, 250);
	assert_int_equal(l.counters[CTL_rcpt_too_big], 2);
}

static void size_at_the_first_callout(void **state)
{
	(void)state;
	l.declared_size = 1000001;
	assert_int_equal(answer(name[0]).code, 550);
	assert_int_equal(hop_count(h, "RCPT"), 1);
}

/* ---- lists ------------------------------------------------------------------------------------------ */

static void a_list(void **state)
{
	struct config_ctx ctx = {.file = "x"};
	struct config_reader r = {.c = &ctx, .mem = &ctx.mem};
	char path[] = "/tmp/postern-test-XXXXXX";
	FILE *f = fdopen(mkstemp(path), "w");
	struct sent s;

	(void)state;
	assert_non_null(f);
	fprintf(f, "User0@example.com\nuser1@example.com\n@all.example.com\n");
	fclose(f);
	l.route.verify = VERIFY_LIST;
	l.route.recipients = config_recipients_load(&r, NULL, path, false, '\0');
	remove(path);
	assert_non_null(l.route.recipients);
	assert_int_equal(answer(name[0]).code, 250);
	assert_int_equal(answer(name[2]).code, 550);
	assert_int_equal(answer("who@all.example.com").code, 250);
	assert_int_equal(answer("Postmaster@example.com").code, 250);
	assert_int_equal(h->accepted, 0); /* nobody was asked */
	assert_int_equal(l.counters[CTL_rcpt_unlisted], 1);
	/* The list is behind the times: the next hop knows better, and is heard. */
	h->script.rcpt[0] = "550 5.1.1 gone";
	sent_start(&l, &s, TEXT, 1);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.reply.code, 550);
	assert_int_equal(answer(name[0]).code, 550);
	config_mem_free(&ctx.mem);
}

/* ---- the breaker -------------------------------------------------------------------------------------- */

static void several(const char *prefix, unsigned int n, uint16_t code)
{
	for (unsigned int i = 0; i < n; i++) {
		char to[64];

		snprintf(to, sizeof(to), "%s%u@example.com", prefix, i);
		assert_int_equal(answer(to).code, code);
	}
}

static void breaker(void **state)
{
	struct deliver_breaker_status st;
	struct sent s;

	(void)state;
	l.route.breaker = (struct config_breaker){.on = true, .jump = 60, .samples = 50, .window_s = 600};
	several("good", 30, 250);
	deliver_tuning(l.d)->skew_s += 3600;
	/* All of a sudden nobody is known any more. The tenth of those that were good opens it. */
	h->script.rcpt[0] = "550 5.1.1 nobody";
	several("good", 9, 550);
	several("good", 1, 550); /* from memory: says nothing new */
	assert_int_equal(deliver_breakers(l.d, &l.config, &st, 1), 1);
	assert_false(st.open);
	assert_int_equal(answer("good9@example.com").code, 451);
	assert_int_equal(deliver_breakers(l.d, &l.config, &st, 1), 1);
	assert_true(st.open);
	assert_true(st.by_known);
	assert_int_equal(l.counters[CTL_breaker_opened], 1);
	assert_int_equal(told.n, 1);
	assert_non_null(strstr(told.text, "breaker is open"));
	/* Every 5xx: new, remembered, at a delivery, behind content. */
	assert_int_equal(answer("new@example.com").code, 451);
	assert_int_equal(answer("good0@example.com").code, 451);
	sent_start(&l, &s, TEXT, 1);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.reply.code, 451);
	assert_int_equal(s.result.outcome, DELIVER_DEFERRED);
	assert_false(s.result.alert);
	h->script.rcpt[0] = NULL;
	h->script.dot = "554 5.7.1 spam";
	sent_start(&l, &s, TEXT, 1);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.reply.code, 451);
	h->script.dot = NULL;
	/* What is good is taken meanwhile. */
	assert_int_equal(answer("good20@example.com").code, 250);
	/* Put right and acknowledged: what it refused is not remembered. */
	deliver_tuning(l.d)->skew_s += 10;
	assert_int_equal(deliver_breaker_ack(l.d, &l.config, "nobody", false), -ENOENT);
	assert_int_equal(deliver_breaker_ack(l.d, &l.config, "office", false), 0);
	assert_int_equal(deliver_breaker_ack(l.d, &l.config, "office", false), -EALREADY);
	several("good", 10, 250);
	h->script.rcpt[0] = "550 5.1.1 nobody";
	assert_int_equal(answer("new2@example.com").code, 550);
	assert_int_equal(told.n, 1);
}

static void breaker_learns(void **state)
{
	(void)state;
	l.route.breaker = (struct config_breaker){.on = true, .jump = 60, .samples = 50, .window_s = 600};
	several("good", 30, 250);
	deliver_tuning(l.d)->skew_s += 3600;
	h->script.rcpt[0] = "550 5.1.1 nobody";
	several("good", 9, 550);
	assert_int_equal(answer("good9@example.com").code, 451);
	assert_int_equal(deliver_breaker_ack(l.d, &l.config, "office", true), 0);
	/* They are gone: so it is remembered, and heard. */
	several("good", 9, 550);
	assert_int_equal(answer("good9@example.com").code, 550);
}

/* An open breaker must not make a transaction of several go round for ever either. */
static void breaker_and_several_recipients(void **state)
{
	struct sender s = everybody();

	(void)state;
	l.route.breaker = (struct config_breaker){.on = true, .jump = 60, .samples = 50, .window_s = 600};
	several("good", 30, 250);
	deliver_tuning(l.d)->skew_s += 3600;
	h->script.rcpt[0] = "550 5.1.1 nobody";
	several("good", 9, 550);
	assert_int_equal(answer("good9@example.com").code, 451);
	h->script.rcpt[0] = NULL;
	l.route.verify = VERIFY_NONE;
	h->script.refuse = name[1];
	h->script.refuse_with = "550 5.1.1 nobody";
	attempt(&s);
	attempt(&s);
	assert_int_equal(left(&s), 1);
	assert_int_equal(s.final[1], 451);
	assert_int_equal(h->messages, 1);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_livelock_with_callouts), cmocka_unit_test(no_livelock_without),
		cmocka_unit_test(refused_behind_the_content), T(a_message_is_refused_for_all),
		T(a_taken_recipient_is_no_truth_there), T(too_many_is_learned), T(rcptmax_is_kept_to),
		T(a_taken_recipient_is_no_truth_there), T(too_many_is_learned), T(rcptdomainmax_is_kept_to),
		T(declared_size), T(size_at_the_first_callout), T(a_list), T(breaker), T(breaker_learns),
		T(breaker_and_several_recipients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
