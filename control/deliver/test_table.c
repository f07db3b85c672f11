/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * docs/smtp.md, executed: each row of its tables is run with one next hop, and again with a second one
 * that is well, which shows whether another address is tried. After the first the next hop is gone,
 * so that the retry at RCPT shows what was remembered.
 */

#include "control/deliver/test_table.h"

static const char *doc;

static const char *const counter_name[] = {
#define NAME_OF(name, kind, help) #name,
	POSTERN_CTL_COUNTERS(NAME_OF)
};

static void on_alert(void *arg, const struct deliver_alert *a)
{
	struct run *u = arg;

	(void)a;
	u->alerts++;
}

static void start(struct run *u, const struct row *r, bool with_other)
{
	stage_set(u, r, with_other);
	deliver_on_alert(u->l.d, on_alert, u);
	sent_go(&u->l, &u->s, &u->req);
	lab_run(&u->l, &u->s.done);
	assert_int_equal(u->s.calls, 1);
}

/* What the next hop said, or nothing of it; never its names, always our id; a line that fits. */
static void check_text(const struct row *r, const struct deliver_reply *reply)
{
	char line[600];
	int n = snprintf(line, sizeof(line), "%u %u.%u.%u %s\r\n", reply->code, reply->enh_class,
			 reply->enh_subject, reply->enh_detail, reply->text);

	if (n > LIMIT_REPLY_LINE)
		row_fail(r, "a line of %d octets", n);
	for (const char *p = reply->text; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			row_fail(r, "octet 0x%02x in the text", (unsigned char)*p);
	if (!strstr(reply->text, "[0123456789abcdef]"))
		row_fail(r, "no trace id: %s", reply->text);
	if (!!strstr(reply->text, TELL) != r->its)
		row_fail(r, "words of %s: %s", r->its ? "ours" : "the next hop's", reply->text);
	if (strstr(reply->text, NAME) || strstr(reply->text, "127.0.0.1"))
		row_fail(r, "it names the next hop: %s", reply->text);
}

static void check_reply(const struct run *u)
{
	const struct row *r = u->row;
	const struct deliver_result *res = &u->s.result;
	const struct deliver_reply *reply = &res->reply;

	if (reply->code != r->code || reply->enh_class != r->cls || reply->enh_subject != r->subject ||
	    reply->enh_detail != r->detail)
		row_fail(r, "%u %u.%u.%u %s (%s)", reply->code, reply->enh_class, reply->enh_subject,
			 reply->enh_detail, reply->text, res->tls.why);
	check_text(r, reply);
	if (u->alerts != r->alert)
		row_fail(r, "%u alerts", u->alerts);
	if (r->section != AT_CONNECT && r->section != BY_RECORDS)
		assert_int_equal(res->alert, r->alert);
}

static void check_trace(const struct run *u)
{
	const struct row *r = u->row;
	const struct deliver_result *res = &u->s.result;
	const char *stage = r->outcome == DELIVER_DELIVERED ? "dot" : stage_of(r);

	if (res->outcome != r->outcome)
		row_fail(r, "outcome %d", res->outcome);
	for (size_t i = 0; i < r->n_rcpts; i++)
		assert_int_equal(u->s.rcpt[i].outcome, r->outcome);
	if (strcmp(res->stage, stage) != 0)
		row_fail(r, "stage %s, not %s", res->stage, stage);
	if (!u->no_listener && !strstr(res->host, NAME))
		row_fail(r, "host %s", res->host);
}

static bool is_counter(const char *name, const char *word)
{
	return !strcmp(name, word) ||
	       (!strncmp(name, "nexthop_", 8) && !strcmp(name + 8, word));
}

/* Those that the row names, once each, and no other. */
static void check_counters(const struct run *u, const uint64_t *counters)
{
	uint64_t want[POSTERN_CTL_COUNTER_COUNT] = {0};
	char names[ROW_CELL];

	snprintf(names, sizeof(names), "%s", u->row->counted);
	for (char *p = names, *word, *save; (word = strtok_r(p, " ", &save)); p = NULL) {
		size_t i = 0;

		while (i < POSTERN_CTL_COUNTER_COUNT && !is_counter(counter_name[i], word))
			i++;
		if (i == POSTERN_CTL_COUNTER_COUNT)
			row_fail(u->row, "there is no counter %s", word);
		want[i]++;
	}
	for (size_t i = 0; i < POSTERN_CTL_COUNTER_COUNT; i++)
		if (counters[i] != want[i] && i != CTL_nexthop_connects)
			row_fail(u->row, "counter %s is %llu", counter_name[i],
				 (unsigned long long)counters[i]);
}

/* What the next hop saw: content only where it was to be sent, the dot only behind it. */
static void check_hop(const struct run *u)
{
	const struct row *r = u->row;
	const struct hop *h = u->h;
	bool dot = r->outcome == DELIVER_DELIVERED || r->section == AFTER_DOT || r->section == AFTER_LAST;
	bool bdat = r->bdat && r->section != NOT_SENT;

	assert_int_equal(u->s.result.dot_written, dot);
	assert_int_equal(u->s.result.bdat, dot && bdat);
	assert_int_equal(h->saw_dot, dot);
	if (dot)
		assert_int_equal(hop_count(h, "BDAT"), bdat);
	if (dot) {
		assert_int_equal(h->content_n, u->req.size);
		assert_int_equal(u->s.asked, 1);
	} else {
		assert_null(h->content);
	}
	if (r->section < AT_DATA && !dot)
		assert_int_equal(hop_count(h, "DATA") + hop_count(h, "BDAT"), 0);
	if (r->section < AT_MAIL && !dot)
		assert_int_equal(hop_count(h, "MAIL"), 0);
	if (r->section >= AT_STARTTLS && r->section <= BY_RECORDS && dot)
		assert_int_equal(hop_count(h, "+MAIL"), 1);
}

/* ---- kept -------------------------------------------------------------------------------------- */

/* The code that is heard without the next hop; 0: it was asked. */
static unsigned int heard(struct run *u, const char *from)
{
	const char *rcpt = u->row->section == AT_RCPT_OF_SEVERAL ? "user1@example.com"
								 : "user0@example.com";
	uint64_t callouts = u->l.counters[CTL_callouts];
	struct asked a;

	ask(&u->l, &a, from, rcpt);
	lab_run(&u->l, &a.done);
	return u->l.counters[CTL_callouts] == callouts ? a.reply.code : 0;
}

static void expect_heard(struct run *u, const char *from, uint64_t after_s, unsigned int code)
{
	unsigned int said;

	deliver_tuning(u->l.d)->skew_s = after_s;
	said = heard(u, from);
	if (said != code)
		row_fail(u->row, "after %llu s %s hears %u, not %u", (unsigned long long)after_s, from, said,
			 code);
}

static void check_kept(struct run *u)
{
	static const char same[] = "sender@example.org", else_[] = "another@example.org";
	const struct row *r = u->row;
	unsigned int all_s = r->kept / 100 == 2 ? r->kept_s : r->kept_all_s;

	if (!r->kept) {
		expect_heard(u, same, 0, 0);
		return;
	}
	expect_heard(u, same, 0, r->kept);
	if (!r->kept_s) {
		expect_heard(u, same, 0, 0);
		return;
	}
	expect_heard(u, else_, 0, all_s ? r->kept : 0);
	if (all_s) {
		expect_heard(u, else_, all_s - 5, r->kept);
		expect_heard(u, else_, all_s + 5, 0);
	}
	expect_heard(u, same, r->kept_s - 5, r->kept);
	expect_heard(u, same, r->kept_s + 5, 0);
}

/* ---- rows -------------------------------------------------------------------------------------- */

static void alone(const struct row *r)
{
	uint64_t counters[POSTERN_CTL_COUNTER_COUNT];
	struct run u;

	start(&u, r, false);
	memcpy(counters, u.l.counters, sizeof(counters));
	check_reply(&u);
	check_trace(&u);
	check_counters(&u, counters);
	lab_spin(&u.l, 5); /* an end that should not be would be there by now */
	check_hop(&u);
	hop_close_all(u.h);
	hop_close_listener(u.h);
	lab_spin(&u.l, 5);
	check_kept(&u);
	stage_end(&u);
}

static void with_another(const struct row *r)
{
	struct run u;

	start(&u, r, true);
	if (r->elsewhere) {
		if (u.s.result.reply.code != 250 || u.other->messages != 1)
			row_fail(r, "it did not go elsewhere: %u %s (%s)", u.s.result.reply.code,
				 u.s.result.reply.text, u.s.result.tls.why);
		assert_int_equal(u.l.counters[CTL_nexthop_failover], 1);
		assert_int_equal(u.other->content_n, u.req.size);
	} else {
		if (u.other->accepted)
			row_fail(r, "it went elsewhere");
		assert_int_equal(u.s.result.reply.code, r->code);
		assert_int_equal(u.l.counters[CTL_nexthop_failover], 0);
	}
	stage_end(&u);
}

static void the_table(void **state)
{
	static struct row rows[ROWS_MAX];
	size_t n = rows_read(doc, rows);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		printf("  line %u: %.*s\n", rows[i].line, (int)strcspn(rows[i].event, "\r"),
		       rows[i].event);
		alone(&rows[i]);
		if (rows[i].elsewhere >= 0)
			with_another(&rows[i]);
	}
	printf("%zu rows of %s executed\n", n, doc);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_table)};

	if (argc != 2) {
		fprintf(stderr, "usage: test_deliver_table docs/smtp.md\n");
		return 2;
	}
	doc = argv[1];
	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
