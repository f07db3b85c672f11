/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/auth/dnsbl/dnsbl.h"
#include "postern/limits.h"

/*
 * The address is asked after in every list at once. Only a list that has it is asked for its test
 * entries, since only then they decide something; the resolver's cache has them, as a rule.
 */

/* RFC 5782 5: 127.0.0.2 is always listed, 127.0.0.1 never; in IPv6 the same as mapped addresses. */
#define V6_ZEROS "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0"
static const char *const test_entry[][3] = {
	{"1.0.0.127", "2.0.0.127", NULL},
	{"1.0.0.0.0.0.f.7.f.f.f.f." V6_ZEROS, "2.0.0.0.0.0.f.7.f.f.f.f." V6_ZEROS, "2.0.0.127"},
};

struct question {
	struct entry *entry;
	struct dns_query *query;
	enum dnsbl_result result;
};

struct entry {
	struct dnsbl_check *check;
	const struct dnsbl_list *list;
	struct question ask, test[3]; /* test: never, always, or instead of always */
	unsigned int open;
	bool testing;
};

struct dnsbl_check {
	struct dns *dns;
	struct event *done, *deadline;
	dnsbl_callback *cb;
	void *arg;
	bool v6;
	char reversed[80];
	struct entry entry[LIMIT_DNSBLS];
	struct dnsbl_verdict verdict[LIMIT_DNSBLS];
	size_t n;
	unsigned int open; /* entries */
};

const char *dnsbl_result_name(enum dnsbl_result r)
{
	static const char *const name[] = {
		[DNSBL_NOT_LISTED] = "not-listed", [DNSBL_LISTED] = "listed",
		[DNSBL_FAILED] = "failed",         [DNSBL_NO_LIST] = "no-list",
		[DNSBL_BROKEN] = "broken",
	};

	return name[r];
}

static struct dnsbl_verdict *verdict_of(struct entry *e)
{
	return &e->check->verdict[e - e->check->entry];
}

static void say(struct entry *e, enum dnsbl_result result, const char *reason)
{
	struct dnsbl_verdict *v = verdict_of(e);

	v->result = result;
	snprintf(v->reason, sizeof(v->reason), "%s", reason);
}

/* Octets that are no listing whatever the list says of itself. */
static const char *no_list(const uint8_t a[4])
{
	if (a[0] != 127)
		return "an answer outside 127.0.0.0/8";
	if (a[1] == 255 && a[2] == 255)
		return "an error code of the list";
	return NULL;
}

static bool fits(const struct dnsbl_list *l, const uint8_t a[4])
{
	for (size_t i = 0; i < l->n_answers; i++) {
		bool in = true;

		for (size_t k = 0; k < 4; k++)
			in &= a[k] >= l->answer[i].low[k] && a[k] <= l->answer[i].high[k];
		if (in)
			return true;
	}
	/* RFC 5782 2.1: 127.0.0.1 is what a wildcard by mistake looks like. */
	return !l->n_answers && memcmp(a, (const uint8_t[]){127, 0, 0, 1}, 4) != 0;
}

/* One bad answer makes all of them worthless. */
static enum dnsbl_result read_answer(const struct dnsbl_list *l, const struct dns_answer *a,
				     struct dnsbl_verdict *v)
{
	enum dnsbl_result result = DNSBL_NOT_LISTED;

	if (a->status == DNS_TEMPFAIL || a->status == DNS_BOGUS) {
		snprintf(v->reason, sizeof(v->reason), "DNS %s", a->reason ? a->reason : "failure");
		return DNSBL_FAILED;
	}
	v->secure = a->secure;
	for (size_t i = 0; i < a->n; i++) {
		const char *why;

		if (a->rr[i].len != 4)
			continue;
		why = no_list(a->rr[i].data);
		if (why || (result == DNSBL_NOT_LISTED && fits(l, a->rr[i].data)))
			memcpy(v->answer, a->rr[i].data, 4);
		if (why) {
			snprintf(v->reason, sizeof(v->reason), "%s", why);
			return DNSBL_NO_LIST;
		}
		if (fits(l, a->rr[i].data))
			result = DNSBL_LISTED;
	}
	return result;
}

static void entry_done(struct entry *e)
{
	struct dnsbl_check *c = e->check;

	if (--c->open)
		return;
	event_del(c->deadline);
	event_active(c->done, 0, 0);
}

/* The tests are through: may the listing stand? */
static void judge_tests(struct entry *e)
{
	const struct question *t = e->test;
	bool always = t[1].result == DNSBL_LISTED || t[2].result == DNSBL_LISTED;
	bool failed = t[1].result == DNSBL_FAILED || t[2].result == DNSBL_FAILED;

	if (t[0].result == DNSBL_LISTED || t[0].result == DNSBL_NO_LIST)
		say(e, DNSBL_BROKEN, "it lists 127.0.0.1, which no list does");
	else if (t[0].result == DNSBL_FAILED || (!always && failed))
		say(e, DNSBL_FAILED, "no answer for its test entries");
	else if (!always)
		say(e, DNSBL_BROKEN, "its test entry 127.0.0.2 is not there");
}

static void on_test(void *arg, const struct dns_answer *a)
{
	/* Whatever a list says of its test entries is a listing of them. */
	static const struct dnsbl_range all = {{127, 0, 0, 0}, {127, 255, 255, 255}};
	static const struct dnsbl_list any = {.answer = &all, .n_answers = 1};
	struct question *q = arg;
	struct dnsbl_verdict v = {0};

	q->query = NULL;
	q->result = read_answer(&any, a, &v);
	if (--q->entry->open)
		return;
	judge_tests(q->entry);
	entry_done(q->entry);
}

static bool ask(struct question *q, const char *name, dns_callback *cb)
{
	struct entry *e = q->entry;
	char full[LIMIT_DNS_NAME + 1];
	int n = snprintf(full, sizeof(full), "%s.%s", name, e->list->zone);

	q->result = DNSBL_FAILED;
	if (n < 0 || (size_t)n >= sizeof(full))
		return false;
	q->query = dns_resolve(e->check->dns, str_c(full), DNS_A, cb, q);
	e->open += q->query != NULL;
	return q->query != NULL;
}

static void on_answer(void *arg, const struct dns_answer *a)
{
	struct question *q = arg;
	struct entry *e = q->entry;
	struct dnsbl_verdict *v = verdict_of(e);

	q->query = NULL;
	e->open--;
	v->result = read_answer(e->list, a, v);
	if (v->result == DNSBL_LISTED && !e->list->untested) {
		const char *const *name = test_entry[e->check->v6];

		e->testing = true;
		for (size_t i = 0; i < 3 && name[i]; i++)
			if (!ask(&e->test[i], name[i], on_test))
				e->test[i].result = DNSBL_FAILED;
		if (e->open)
			return;
		say(e, DNSBL_FAILED, "out of memory");
	}
	entry_done(e);
}

static void entry_close(struct entry *e)
{
	struct question *all[] = {&e->ask, &e->test[0], &e->test[1], &e->test[2]};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i]->query)
			dns_cancel(all[i]->query);
		all[i]->query = NULL;
	}
	e->open = 0;
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct dnsbl_check *c = arg;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < c->n; i++) {
		if (c->entry[i].open)
			say(&c->entry[i], DNSBL_FAILED,
			    c->entry[i].testing ? "no answer for its test entries"
						: "no answer in time");
		entry_close(&c->entry[i]);
	}
	c->open = 0;
	event_active(c->done, 0, 0);
}

static void on_done(evutil_socket_t fd, short what, void *arg)
{
	struct dnsbl_check *c = arg;

	(void)fd;
	(void)what;
	c->cb(c->arg, c->verdict, c->n); /* may free c */
}

static void reverse(struct dnsbl_check *c, const struct ip_addr *ip)
{
	char *end;

	dns_reverse_name(ip, c->reversed, sizeof(c->reversed));
	end = strstr(c->reversed, c->v6 ? ".ip6.arpa" : ".in-addr.arpa");
	if (end)
		*end = '\0';
}

struct dnsbl_check *dnsbl_check(struct dns *dns, struct event_base *base,
				const struct dnsbl_list *list, size_t n, const struct ip_addr *ip,
				unsigned int budget_ms, dnsbl_callback *cb, void *arg)
{
	unsigned int ms = budget_ms ? budget_ms : LIMIT_DNSBL_TIME_S * 1000;
	struct timeval budget = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	struct dnsbl_check *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->dns = dns;
	c->cb = cb;
	c->arg = arg;
	c->v6 = !ip_is_v4(ip);
	c->done = event_new(base, -1, 0, on_done, c);
	c->deadline = evtimer_new(base, on_deadline, c);
	if (!c->done || !c->deadline || event_add(c->deadline, &budget)) {
		dnsbl_free(c);
		return NULL;
	}
	reverse(c, ip);
	for (; c->n < n && c->n < LIMIT_DNSBLS; c->n++) {
		struct entry *e = &c->entry[c->n];

		e->check = c;
		e->list = &list[c->n];
		e->ask.entry = e->test[0].entry = e->test[1].entry = e->test[2].entry = e;
		if (ask(&e->ask, c->reversed, on_answer))
			c->open++;
		else
			say(e, DNSBL_FAILED, "out of memory");
	}
	if (!c->open) {
		event_del(c->deadline);
		event_active(c->done, 0, 0);
	}
	return c;
}

void dnsbl_free(struct dnsbl_check *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++)
		entry_close(&c->entry[i]);
	if (c->done)
		event_free(c->done);
	if (c->deadline)
		event_free(c->deadline);
	free(c);
}
