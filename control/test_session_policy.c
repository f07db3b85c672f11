/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What policy says of a session and its recipients before there is content: deny lists, the
 * greylist, how many recipients a route takes. What the lists hold and what the table remembers is
 * the test's own here; policy/ and greylist/ have their own tests.
 */

#define TEST_POLICY_IS_REAL
#include "control/test_session.h"

struct spf_check {
	spf_callback *cb; /* NULL: over */
	void *arg;
};

static struct {
	struct config_policy office; /* of its route, after own_policy() */
	uint8_t denied_peer;   /* last octet of an address that deny_origins of all has; 0: none */
	uint8_t office_denies; /* the same of the route office */
	const char *denied_sender;
	enum greylist_answer by_ip, by_domain;
	char asked[256]; /* "ip" or domain, per question that is remembered */
	char accepted[256];
	struct spf_check spf[8];
	unsigned int n_spf, spf_cancelled;
	bool no_spf;
} p;

/* ---- the neighbours -------------------------------------------------------------------------- */

const struct config_policy *config_policy_for(const struct config *c, const struct config_route *r)
{
	return r && r->policy ? r->policy : &c->policy;
}

bool policy_denies_origin(const struct config_policy *c, const struct ip_addr *ip,
			  struct policy_access *a)
{
	uint8_t denied = c == &p.office ? p.office_denies : p.denied_peer;

	a->list = "deny-origins";
	return denied && ip->a[15] == denied;
}

bool policy_denies_sender(const struct config_policy *c, struct str mail_from,
			  struct policy_access *a)
{
	(void)c;
	a->list = "deny-senders";
	return p.denied_sender && str_eq(mail_from, str_c(p.denied_sender));
}

void policy_denial(const struct policy_access *a, char *text, size_t cap)
{
	snprintf(text, cap, "denied by %s", a->list);
}

static enum greylist_answer answer_of(const struct greylist_source *s)
{
	return s->domain.n ? p.by_domain : p.by_ip;
}

struct greylist_source greylist_source(const struct ip_addr *ip, unsigned int v4, unsigned int v6)
{
	assert_int_equal(v4, 24);
	assert_int_equal(v6, 64);
	return (struct greylist_source){.net.addr = *ip};
}

enum greylist_answer greylist_look(struct greylist *g, const struct greylist_source *from,
				   struct str mail_from, struct str rcpt,
				   const struct greylist_rules *r, uint64_t now)
{
	(void)g;
	(void)mail_from;
	(void)rcpt;
	(void)now;
	assert_int_equal(r->delay_s, 60);
	return answer_of(from);
}

static void note(char *buf, size_t cap, const struct greylist_source *from)
{
	size_t n = strlen(buf);

	snprintf(buf + n, cap - n, "%s%.*s", n ? " " : "",
		 STR_FMT(from->domain.n ? from->domain : STR("ip")));
}

enum greylist_answer greylist_ask(struct greylist *g, const struct greylist_source *from,
				  struct str mail_from, struct str rcpt,
				  const struct greylist_rules *r, uint64_t now, uint32_t *wait)
{
	note(p.asked, sizeof(p.asked), from);
	*wait = 42;
	return greylist_look(g, from, mail_from, rcpt, r, now);
}

void greylist_accept(struct greylist *g, const struct greylist_source *from,
		     const struct greylist_rules *r, uint64_t now)
{
	(void)g;
	(void)r;
	(void)now;
	note(p.accepted, sizeof(p.accepted), from);
}

struct greylist *greylist_open(const char *path, char *err, size_t err_len)
{
	snprintf(err, err_len, "%s: no", path);
	return NULL;
}

struct spf_check *spf_check(struct spf_jail *j, const struct spf_request *req, spf_callback *cb,
			    void *arg)
{
	(void)j;
	assert_int_equal(req->identity, SPF_ID_MAILFROM);
	if (p.no_spf)
		return NULL;
	p.spf[p.n_spf] = (struct spf_check){cb, arg};
	return &p.spf[p.n_spf++];
}

void spf_cancel(struct spf_check *c)
{
	assert_non_null(c->cb);
	c->cb = NULL;
	p.spf_cancelled++;
}

struct str mailbox_alabel(struct str mailbox, uint8_t *buf, size_t cap)
{
	(void)buf;
	(void)cap;
	return mailbox;
}

bool mail_alabel(struct str domain, char out[MAIL_ALABEL])
{
	snprintf(out, MAIL_ALABEL, "%.*s", STR_FMT(domain));
	return true;
}

/* ---- what the tests do -------------------------------------------------------------------------
 */

static char host[] = "mx.example.com";

static void begin(void)
{
	up();
	memset(&p, 0, sizeof(p));
	t.config.hostname = host;
	t.config.route = t.route;
	t.config.n_routes = 2;
	t.config.policy.access.deny_action = CONFIG_REJECT;
	t.config.policy.access.skips = CONFIG_SKIP_GREYLIST;
	t.config.policy.greylist = (struct config_greylist){.delay_s = 60,
							    .window_s = 3600,
							    .lifetime_s = 86400,
							    .prefix_v4 = 24,
							    .prefix_v6 = 64};
}

static void own_policy(void)
{
	p.office = t.config.policy;
	t.route[0].policy = &p.office;
}

static void connect_from(uint8_t peer)
{
	struct handoff_desc d = {
		.kind = DESC_CONNECT, .session = 7, .generation = 1, .question = 1};

	d.connect.peer[10] = d.connect.peer[11] = 0xff;
	d.connect.peer[15] = peer;
	t.rcpt_peer = peer;
	session_desc(&t.l, &d);
}

static void rcpt(uint32_t i, const char *name)
{
	const struct handoff_desc d = {.kind = DESC_RCPT,
				       .session = 7,
				       .generation = 1,
				       .question = 10 + i,
				       .msg.rcpt = i,
				       .msg.transaction = 1};

	t.rcpt[i] = name;
	session_desc(&t.l, &d);
}

static void hear(const char *text)
{
	assert_string_equal(t.said, text);
	t.said[0] = '\0';
}

static void over(void)
{
	session_end_all(&t.l);
	assert_int_equal(t.active.refs, 1);
	assert_int_equal(t.running, 0);
	for (unsigned int i = 0; i < p.n_spf; i++)
		assert_null(p.spf[i].cb);
}

static void spf_says(unsigned int i, enum spf_result result)
{
	struct spf_verdict v = {
		.result = result, .identity = SPF_ID_MAILFROM, .domain = "big.example"};
	spf_callback *cb = p.spf[i].cb;

	assert_non_null(cb);
	p.spf[i].cb = NULL;
	cb(p.spf[i].arg, &v);
}

/* ---- deny
 * ---------------------------------------------------------------------------------------- */

static void deny_at_connect(void **state)
{
	static const struct ip_range relay = {{{[10] = 0xff, 0xff, [15] = 9}},
					      {{[10] = 0xff, 0xff, [15] = 9}}};
	static struct origin_relay relays = {.range = (struct ip_range *)(uintptr_t)&relay,
					     .n_ranges = 1};

	(void)state;
	begin();
	p.denied_peer = 9;
	connect_from(8);
	assert_int_equal(t.code, 220);
	connect_from(9);
	assert_int_equal(t.code, 554);
	assert_non_null(strstr(t.text, "deny-origins"));
	assert_int_equal(t.refused, 1);
	assert_int_equal(t.l.counters[CTL_access_denied], 1);
	over();
	/* Another action, a dry run, a relay, or a route that would have it: not yet. */
	for (int i = 0; i < 5; i++) {
		begin();
		p.denied_peer = 9;
		if (i == 0)
			t.config.policy.access.deny_action = CONFIG_QUARANTINE;
		if (i == 1)
			t.config.policy.access.deny_action = CONFIG_DEFER;
		if (i == 2)
			t.config.policy.dry_run = true;
		if (i == 3)
			own_policy();
		if (i == 4) {
			t.config.relays.relay = &relays;
			t.config.relays.n = 1;
		}
		connect_from(9);
		assert_int_equal(t.code, 220);
		rcpt(0, "a@example.com");
		if (i == 1) {
			hear("10:451 ");
		} else {
			hear("");
			verified(250);
			hear("10:250 ");
		}
		/* What the other route thinks of it is its own. */
		if (i == 3) {
			rcpt(1, "o@example.com");
			hear("11:550 ");
			assert_string_equal(t.text, "denied by deny-origins");
		}
		over();
	}
}

static void deny_at_rcpt(void **state)
{
	(void)state;
	begin();
	own_policy();
	p.office_denies = 9;
	connect_from(9);
	assert_int_equal(t.code, 220);
	rcpt(0, "a@example.com");
	hear("10:550 ");
	assert_int_equal(t.running, 0); /* nobody was asked */
	rcpt(1, "o@example.com");
	verified(250);
	hear("11:250 ");
	over();
	/* MAIL FROM, whoever brings it. */
	begin();
	p.denied_sender = t.mail_from = "bad@sender.example";
	connect_from(8);
	rcpt(0, "a@example.com");
	hear("10:550 ");
	assert_string_equal(t.text, "denied by deny-senders");
	assert_int_equal(t.refused, 1);
	t.mail_from = "good@sender.example";
	rcpt(1, "a@example.com");
	verified(250);
	hear("11:250 ");
	/* An action that is carried out with the content. */
	t.config.policy.access.deny_action = CONFIG_DISCARD;
	t.mail_from = p.denied_sender;
	rcpt(2, "a@example.com");
	verified(250);
	hear("12:250 ");
	over();
}

/* ---- greylist
 * ------------------------------------------------------------------------------------ */

static struct greylist *const some = (struct greylist *)(uintptr_t)8;
static struct spf_jail *const jail = (struct spf_jail *)(uintptr_t)8;

static void grey(enum greylist_answer by_ip, enum greylist_answer by_domain)
{
	begin();
	t.l.greylist = some;
	t.l.spf = jail;
	t.config.policy.greylist.on = true;
	t.mail_from = "a@big.example";
	p.by_ip = by_ip;
	p.by_domain = by_domain;
	connect_from(8);
	t.said[0] = '\0';
}

static void grey_answers(void **state)
{
	static const struct {
		enum greylist_answer by_ip, by_domain;
		enum spf_result spf; /* if it comes to that */
		bool asks_spf;
		const char *said, *asked;
	} r[] = {
		{GREYLIST_KNOWN, GREYLIST_FIRST, 0, false, "10:250 ", "ip"},
		{GREYLIST_PASSED, GREYLIST_FIRST, 0, false, "10:250 ", "ip"},
		{GREYLIST_FIRST, GREYLIST_FIRST, SPF_FAIL, true, "10:451 ", "ip"},
		{GREYLIST_FIRST, GREYLIST_KNOWN, SPF_TEMPERROR, true, "10:451 ", "ip"},
		{GREYLIST_EARLY, GREYLIST_FIRST, SPF_NONE, true, "10:451 ", "ip"},
		{GREYLIST_FIRST, GREYLIST_FIRST, SPF_PASS, true, "10:451 ", "big.example"},
		{GREYLIST_FIRST, GREYLIST_PASSED, SPF_PASS, true, "10:250 ", "big.example"},
		{GREYLIST_FIRST, GREYLIST_KNOWN, SPF_PASS, true, "10:250 ", "big.example"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(r) / sizeof(r[0]); i++) {
		grey(r[i].by_ip, r[i].by_domain);
		rcpt(0, "a@example.com");
		hear(""); /* whether there is such a recipient comes first */
		assert_string_equal(p.asked, "");
		verified(250);
		assert_int_equal(p.n_spf, r[i].asks_spf);
		if (r[i].asks_spf) {
			hear("");
			spf_says(0, r[i].spf);
		}
		hear(r[i].said);
		assert_string_equal(p.asked, r[i].asked);
		if (t.code == 451)
			assert_string_equal(t.text,
					    "Greylisted: nobody here knows this sender yet, try "
					    "again in 42 s");
		assert_int_equal(t.l.counters[CTL_greylist_deferred], t.code == 451);
		assert_int_equal(t.l.counters[CTL_greylist_known] +
					 t.l.counters[CTL_greylist_passed],
				 t.code == 250);
		over();
	}
}

/* Who is not asked. */
static void grey_exempt(void **state)
{
	static const struct ip_range relay = {{{[10] = 0xff, 0xff, [15] = 8}},
					      {{[10] = 0xff, 0xff, [15] = 8}}};
	static struct origin_relay relays = {.range = (struct ip_range *)(uintptr_t)&relay,
					     .n_ranges = 1};
	static struct ip_net net = {.addr = {{[10] = 0xff, 0xff, [15] = 8}}, .prefix = 128};

	(void)state;
	for (int i = 0; i < 5; i++) {
		grey(GREYLIST_FIRST, GREYLIST_FIRST);
		if (i == 0)
			t.config.policy.greylist.on = false;
		if (i == 1)
			t.l.greylist = NULL;
		if (i == 2) {
			t.config.relays.relay = &relays;
			t.config.relays.n = 1;
		}
		if (i >= 3)
			t.config.policy.access.allow_origins = (struct admission_nets){&net, 1};
		if (i == 4)
			t.config.policy.access.skips = 0;
		rcpt(0, "a@example.com");
		verified(250);
		if (i == 4)
			spf_says(0, SPF_NONE);
		hear(i == 4 ? "10:451 " : "10:250 ");
		over();
	}
	/* Unknown recipients hear so at once and are not remembered. */
	grey(GREYLIST_FIRST, GREYLIST_FIRST);
	rcpt(0, "a@example.com");
	verified(550);
	hear("10:550 ");
	assert_string_equal(p.asked, "");
	over();
	/* A dry run learns and tells. */
	grey(GREYLIST_FIRST, GREYLIST_FIRST);
	t.config.policy.dry_run = true;
	rcpt(0, "a@example.com");
	verified(250);
	spf_says(0, SPF_NONE);
	hear("10:250 ");
	assert_string_equal(p.asked, "ip");
	assert_int_equal(t.l.counters[CTL_greylist_spared], 1);
	over();
	/* No domain to be judged, or no memory for it: by address alone. */
	for (int i = 0; i < 2; i++) {
		grey(GREYLIST_FIRST, GREYLIST_KNOWN);
		if (i)
			p.no_spf = true;
		else
			t.mail_from = "";
		rcpt(0, "a@example.com");
		verified(250);
		hear("10:451 ");
		over();
	}
}

/* Several at once, in the order of asking; and what ends while SPF is asked. */
static void grey_order(void **state)
{
	(void)state;
	grey(GREYLIST_FIRST, GREYLIST_PASSED);
	for (uint32_t i = 0; i < 3; i++)
		rcpt(i, "a@example.com");
	for (unsigned int i = 0; i < 3; i++)
		verified_as(&t.callout[i], 250);
	assert_int_equal(t.n_callouts, 3); /* none is asked twice meanwhile */
	spf_says(2, SPF_PASS);
	spf_says(1, SPF_NONE);
	hear("");
	spf_says(0, SPF_PASS);
	hear("10:250 11:451 12:250 ");
	over();
	/* A first recipient that is deferred takes no route: the other one may have it. */
	grey(GREYLIST_FIRST, GREYLIST_FIRST);
	rcpt(0, "a@example.com");
	rcpt(1, "o@example.com");
	verified_as(&t.callout[0], 250);
	spf_says(0, SPF_NONE);
	hear("10:451 ");
	p.by_ip = GREYLIST_KNOWN;
	verified(250);
	hear("11:250 ");
	over();
	/* The session ends. */
	grey(GREYLIST_FIRST, GREYLIST_FIRST);
	rcpt(0, "a@example.com");
	verified(250);
	send_desc(DESC_SESSION_END, 0, 7, 0);
	assert_int_equal(p.spf_cancelled, 1);
	hear("");
	over();
}

static void grey_learns(void **state)
{
	struct message m = {.loop = &t.l, .judge = (struct judge *)(uintptr_t)8};

	(void)state;
	for (int i = 0; i < 5; i++) {
		grey(GREYLIST_FIRST, GREYLIST_FIRST);
		t.judged = (struct judgement){.policy_config = &t.config.policy};
		t.judged.spf = (struct spf_verdict){
			.result = SPF_PASS, .identity = SPF_ID_MAILFROM, .domain = "big.example"};
		if (i == 1)
			t.judged.spf.result = SPF_SOFTFAIL;
		if (i == 2)
			t.judged.spf.identity = SPF_ID_HELO;
		if (i == 3)
			t.judged.origin.status = ORIGIN_VIA;
		if (i == 4)
			t.config.policy.greylist.on = false;
		grey_accepted(&t.l, &m);
		assert_string_equal(p.accepted, i == 0 ? "ip big.example" : i < 3 ? "ip" : "");
		over();
	}
}

/* ---- limits
 * -------------------------------------------------------------------------------------- */

static void recipients(void **state)
{
	(void)state;
	begin();
	t.route[0].max_recipients = 2;
	connect_from(8);
	for (uint32_t i = 0; i < 4; i++) {
		rcpt(i, "a@example.com");
		verified(i == 1 ? 550 : 250);
	}
	hear("10:250 11:550 12:250 13:452 ");
	assert_string_equal(t.text, "Too many recipients: this route takes 2 at once");
	assert_int_equal(t.l.counters[CTL_rcpt_over_limit], 1);
	over();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deny_at_connect), cmocka_unit_test(deny_at_rcpt),
		cmocka_unit_test(grey_answers),    cmocka_unit_test(grey_exempt),
		cmocka_unit_test(grey_order),      cmocka_unit_test(grey_learns),
		cmocka_unit_test(recipients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
