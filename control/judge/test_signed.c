/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Messages that are really signed (mailgen.h) through the whole judge: signatures that name our own
 * fields, fields that pretend to be ours or the next hop's, header blocks up to the limits.
 * Whatever a message does, our fields are in front, everything else is as it came, no signature is
 * broken, and each one that is void was foretold with its reason. Signer, expectation and search
 * for forgeries are written apart from the code that is tested.
 */

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/dns/dns_zone.h"
#include "control/judge/judge.h"
#include "control/judge/mailgen.h"
#include "postern/stats.h"

#define MESSAGES 6000

static const char config_text[] =
	"hostname = \"mx.example.net\"\n"
	"listener a { port = 0; address = [\"192.0.2.25/24\"] }\n"
	"route plain { domains = [\"a.example.net\"]; hosts = [\"192.0.2.2\"] }\n"
	"route other { domains = [\"b.example.net\"]; hosts = [\"192.0.2.2\"]\n"
	" header-prefix = \"X-Acme-7f3\"; received-format = exchange; received-spf = true }\n"
	"route keeps { domains = [\"c.example.net\"]; hosts = [\"192.0.2.2\"]\n"
	" foreign-trust = keep; received-spf = true }\n";

static const char *const rcpts[] = {"r@a.example.net", "r@b.example.net", "r@c.example.net"};
static const char *const prefixes[] = {"X-Postern", "X-Acme-7f3", "X-Postern"};

static const struct mail *mail;
static struct event_base *base;
static struct dns *dns;
static struct spf_jail *jail;
static struct config *config;
static uint64_t counters[POSTERN_CTL_COUNTER_COUNT];
static struct {
	unsigned int passed, oversigned, forged, foreign, arc, limits, left_out;
	uint64_t removed, stripped;
} seen, want_all;

/* ---- what must come of it ------------------------------------------------------------------- */

static bool is_dropped(const struct field *f)
{
	return f->kind == OURS || (f->kind == OURS_B && mail->route == OTHER) ||
	       (f->kind == FOREIGN && mail->route != KEEPS);
}

static unsigned int there(const char *name, bool all)
{
	unsigned int n = 0;

	for (size_t i = 0; i < mail->n; i++)
		n += !strcasecmp(mail->field[i].name, name) &&
		     (all || !is_dropped(&mail->field[i]));
	return n;
}

static unsigned int named(const struct signature *s, const char *name)
{
	unsigned int n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += !strcasecmp(s->names[i], name);
	return n;
}

static bool is_in_block(const char *name, bool spf)
{
	static const char *const own[] = {"-Original-Sender", "-Score", "-Verdict", "-Trace"};
	size_t n = strlen(prefixes[mail->route]);

	if (!strcasecmp(name, "Authentication-Results") || !strcasecmp(name, "Received"))
		return true;
	if (!strcasecmp(name, "Received-SPF"))
		return spf;
	for (size_t i = 0; i < 4 && !strncasecmp(name, prefixes[mail->route], n); i++)
		if (!strcasecmp(name + n, own[i]))
			return true;
	return false;
}

enum { KEPT, OVER, STRIPPED, FORGED };

static int expected_fate(const struct signature *s, bool spf)
{
	int worst = KEPT;

	for (size_t k = 0; k < s->n; k++) {
		unsigned int wanted = named(s, s->names[k]), chosen = 0;

		for (size_t i = 0; i < mail->n && chosen < wanted; i++) {
			const struct field *f = &mail->field[i];

			if (strcasecmp(f->name, s->names[k]))
				continue;
			chosen++;
			if (is_dropped(f) && f->kind != FOREIGN)
				worst = FORGED;
			else if (is_dropped(f) && worst < STRIPPED)
				worst = STRIPPED;
		}
		if (chosen < wanted && is_in_block(s->names[k], spf) && worst < OVER)
			worst = OVER;
	}
	return worst;
}

static void count_fate(struct annotate_conflicts *c, int fate)
{
	c->oversigned_trace += fate == OVER;
	c->foreign_trust += fate == STRIPPED;
	c->forged_own_header += fate == FORGED;
}

/* Is it signed as absent by somebody whose signature counts? */
static bool spf_unwanted(const struct judgement *r)
{
	bool unwanted = false;

	/* dkim->sig is top to bottom, mail->dkim from the bottom up. */
	for (size_t i = 0; i < mail->n_dkim; i++)
		if (r->dkim->sig[mail->n_dkim - 1 - i].result == DKIM_PASS)
			unwanted |= named(&mail->dkim[i], "Received-SPF") >
				    there("Received-SPF", false);
	for (size_t i = 0; i < mail->n_arc; i++)
		if (r->arc->set[i].message.result == DKIM_PASS)
			unwanted |=
				named(&mail->ams[i], "Received-SPF") > there("Received-SPF", false);
	return unwanted;
}

static unsigned int expected_voids(const struct judgement *r, bool spf,
				   struct annotate_conflicts *want)
{
	unsigned int passed = 0;
	bool aar_gone = false;

	assert_int_equal(r->dkim->n, mail->n_dkim);
	for (size_t i = 0; i < mail->n_dkim; i++) {
		if (r->dkim->sig[mail->n_dkim - 1 - i].result != DKIM_PASS)
			continue;
		passed++;
		count_fate(want, expected_fate(&mail->dkim[i], spf));
	}
	for (size_t i = 0; i < mail->n_arc; i++) {
		aar_gone |= mail->own_aar[i];
		if (r->arc->set[i].message.result == DKIM_PASS) {
			passed++;
			count_fate(want, expected_fate(&mail->ams[i], spf));
		}
		if (r->arc->set[i].sealed.result == DKIM_PASS) {
			passed++;
			seen.arc++;
			count_fate(want, aar_gone ? FORGED : KEPT);
		}
	}
	return passed;
}

/* Takes the field called `name` off the front, with its folded lines. */
static void take(const char **at, const char *end, const char *prefix, const char *name)
{
	const char *p = *at, *nl;
	size_t n = strlen(prefix), m = strlen(name);

	if ((size_t)(end - p) < n + m + 1 || memcmp(p, prefix, n) || memcmp(p + n, name, m) ||
	    p[n + m] != ':')
		fail_msg("%s%s expected at\n%.300s", prefix, name, p);
	do {
		nl = memmem(p, (size_t)(end - p), "\r\n", 2);
		assert_non_null(nl);
		p = nl + 2;
	} while (p < end && (*p == ' ' || *p == '\t'));
	*at = p;
}

/* Our fields in their order, then every octet that was not to be removed. */
static void check_octets(const struct judgement *r, bool spf)
{
	static char out[MAILGEN_TEXT + 65536];
	const char *at = out, *end, *prefix = prefixes[mail->route];
	size_t n = 0;

	for (size_t i = 0; i < r->out.n_iov; i++) {
		assert_true(n + r->out.iov[i].iov_len < sizeof(out));
		memcpy(out + n, r->out.iov[i].iov_base, r->out.iov[i].iov_len);
		n += r->out.iov[i].iov_len;
	}
	out[n] = '\0';
	end = out + n;
	take(&at, end, prefix, "-Original-Sender");
	take(&at, end, prefix, "-Score");
	take(&at, end, prefix, "-Verdict");
	take(&at, end, prefix, "-Trace");
	take(&at, end, "Authentication", "-Results");
	if (spf)
		take(&at, end, "Received", "-SPF");
	take(&at, end, "Received", "");
	for (size_t i = mail->n; i > 0; i--) {
		const struct field *f = &mail->field[i - 1];

		if (is_dropped(f))
			continue;
		assert_true((size_t)(end - at) >= f->len);
		assert_memory_equal(at, f->text, f->len);
		at += f->len;
	}
	assert_int_equal(end - at, sizeof(MAILGEN_BODY) + 1);
	assert_memory_equal(at, "\r\n" MAILGEN_BODY, sizeof(MAILGEN_BODY) + 1);
}

static void check(const struct judge *j)
{
	const struct judgement *r = judge_result(j);
	struct annotate_conflicts want = {0};
	bool spf = mail->route != PLAIN && !spf_unwanted(r);
	unsigned int passed, voided;
	uint64_t removed = 0, stripped = 0;

	assert_int_equal(r->error, 0);
	check_octets(r, spf);
	assert_int_equal(r->spf_field_left_out, mail->route != PLAIN && !spf);
	passed = expected_voids(r, spf, &want);
	voided = want.oversigned_trace + want.foreign_trust + want.forged_own_header;
	for (size_t i = 0; i < mail->n; i++) {
		bool dropped = is_dropped(&mail->field[i]);

		removed += dropped && mail->field[i].kind != FOREIGN;
		stripped += dropped && mail->field[i].kind == FOREIGN;
	}
	assert_memory_equal(&r->conflicts, &want, sizeof(want));
	assert_int_equal(r->conflicts.broken, 0);
	/* Verified again: what was foretold, no less and no more. */
	assert_int_equal(r->reverify.done, passed > 0);
	assert_int_equal(r->reverify.checked, passed);
	assert_int_equal(r->reverify.broken, 0);
	assert_int_equal(r->reverify.unsettled, 0);
	if (r->reverify.voided != voided)
		fail_msg("%u void instead of %u of %u\n%.6000s", r->reverify.voided, voided, passed,
			 mail->text);
	seen.passed += passed;
	seen.limits += mail->at_limits;
	seen.oversigned += want.oversigned_trace;
	seen.forged += want.forged_own_header;
	seen.foreign += want.foreign_trust;
	seen.left_out += r->spf_field_left_out;
	want_all.removed += removed;
	want_all.stripped += stripped;
}

static void done(void *arg, const struct judgement *j)
{
	(void)j;
	*(bool *)arg = true;
	event_base_loopbreak(base);
}

/* `turns`: of the loop behind the callback, for what runs beside; < 0: the callback waits for it.
 */
static void one_message(int turns)
{
	struct str rcpt = str_c(rcpts[mail->route]);
	struct mail_envelope env = {.helo = STR("h.example"),
				    .rcpt = &rcpt,
				    .n_rcpts = 1,
				    .mail_from = STR("a@signer.example"),
				    .trace_id = "t",
				    .proto = PROTO_ESMTP,
				    .time_ns = 1700000000000000000u};
	struct judge_env jenv = {base, dns, jail, counters};
	size_t cut = mailgen_below((unsigned int)mail->size);
	struct iovec iov[2] = {{(void *)(uintptr_t)mail->text, cut},
			       {(void *)(uintptr_t)(mail->text + cut), mail->size - cut}};
	struct mail_bytes content = {iov, 2, mail->size};
	struct judge_request req = {.config = config,
				    .env = &env,
				    .content = &content,
				    .reverify = turns < 0 ? REVERIFY_FIRST : REVERIFY_BESIDE};
	bool finished = false;
	struct judge *j;

	assert_true(ip_parse(STR("203.0.113.5"), &env.peer));
	j = judge_start(&jenv, &req, done, &finished);
	assert_non_null(j);
	event_base_dispatch(base);
	assert_true(finished);
	if (turns >= 0)
		assert_false(judge_result(j)->reverify.done);
	for (int i = 0; i < turns && !judge_result(j)->reverify.done; i++)
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	if (turns != 0)
		check(j);
	judge_free(j);
}

static void really_signed(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < MESSAGES; i++) {
		mail = mailgen_next();
		one_message(-1);
	}
	print_message(
		"%u signatures passed, %u seals among them; void: %u oversigned, %u forged, %u "
		"foreign; %u headers at the limits; Received-SPF left out %u times\n",
		seen.passed, seen.arc, seen.oversigned, seen.forged, seen.foreign, seen.limits,
		seen.left_out);
	assert_int_equal(counters[CTL_messages], MESSAGES);
	assert_int_equal(counters[CTL_signatures_broken], 0);
	assert_int_equal(counters[CTL_reverify_unsettled], 0);
	assert_int_equal(counters[CTL_reverify_unfinished], 0);
	assert_int_equal(counters[CTL_signatures_voided_oversigned_trace], seen.oversigned);
	assert_int_equal(counters[CTL_signatures_voided_forged_own_header], seen.forged);
	assert_int_equal(counters[CTL_signatures_voided_foreign_trust], seen.foreign);
	assert_int_equal(counters[CTL_received_spf_left_out], seen.left_out);
	assert_int_equal(counters[CTL_headers_removed], want_all.removed);
	assert_int_equal(counters[CTL_foreign_trust_stripped], want_all.stripped);
	/* None of the classes may be empty. */
	assert_true(seen.passed > MESSAGES && seen.arc > 500 && seen.oversigned > 500 &&
		    seen.forged > 500 && seen.foreign > 200 && seen.limits > 50 &&
		    seen.left_out > 50);
}

/* A share of the messages of a release: nothing waits, and what is not through ends with the
 * message. */
static void beside(void **state)
{
	const uint64_t *c = counters;
	unsigned int done_before = (unsigned int)c[CTL_reverified];

	(void)state;
	memset(&seen, 0, sizeof(seen));
	for (unsigned int i = 0; i < 200; i++) {
		mail = mailgen_next();
		one_message(1000);
	}
	assert_true(seen.passed > 200);
	assert_true(c[CTL_reverified] > done_before + 100);
	assert_int_equal(c[CTL_signatures_broken] + c[CTL_reverify_unfinished], 0);
	for (unsigned int i = 0; i < 200; i++) {
		mail = mailgen_next();
		one_message(0);
	}
	assert_true(c[CTL_reverify_unfinished] > 100);
}

/* ---- set-up ------------------------------------------------------------------------------- */

static int setup(void **state)
{
	struct spf_options opt = {.n_workers = 1};
	struct dns_zone *z = dns_zone_new();
	struct config_error cerr[1];
	static char zone[4096];
	char err[256] = "";
	size_t n;

	(void)state;
	if (mailgen_start(zone, sizeof(zone)) ||
	    dns_zone_parse(z, (uint8_t *)zone, strlen(zone), "test", err, sizeof(err))) {
		fprintf(stderr, "%s\n", err);
		return -1;
	}
	base = event_base_new();
	dns = dns_new_memory(base, z, 0);
	jail = spf_jail_new(base, dns, &opt, err, sizeof(err));
	if (config_parse("t", config_text, sizeof(config_text) - 1, 1, &config, cerr, 1, &n)) {
		fprintf(stderr, "%s: %s\n", cerr[0].key, cerr[0].reason);
		return -1;
	}
	return jail ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	config_unref(config);
	spf_jail_free(jail);
	dns_free(dns);
	event_base_free(base);
	mailgen_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(really_signed),
					   cmocka_unit_test(beside)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
