/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Good files: the example that is shipped, the smallest one, defaults, reading from disk. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/config/config.h"
#include "postern/limits.h"

static const char minimal[] =
	"hostname = mx.example.net\n"
	"listener a { port = 1; address = [\"192.0.2.25/24\"] }\n"
	"route b { domains = [\"Example.COM\", \"b\xc3\xbc" "cher.example\"], hosts = [\"[2001:db8::1]\"] }\n";

static struct config *parse(const char *text)
{
	struct config_error err[4];
	struct config *c = NULL;
	size_t n;
	int rc = config_parse("test.conf", text, strlen(text), 7, &c, err, 4, &n);

	if (rc)
		print_error("%s:%u: %s: %s\n", err[0].file, err[0].line, err[0].key, err[0].reason);
	assert_int_equal(rc, 0);
	assert_int_equal(n, 0);
	return c;
}

static void example_file(void **state)
{
	struct config_error err[4];
	struct config *c = NULL;
	size_t n;
	char ip[64];
	int rc;

	(void)state;
	rc = config_load(EXAMPLE_FILE, 3, &c, err, 4, &n);
	if (rc)
		print_error("%u: %s: %s\n", err[0].line, err[0].key, err[0].reason);
	assert_int_equal(rc, 0);
	assert_string_equal(c->hostname, "mx.example.net");
	assert_string_equal(c->path, EXAMPLE_FILE);
	assert_int_equal(c->generation, 3);
	assert_int_equal(c->n_listeners, 1);
	assert_int_equal(c->listener[0].n_addresses, 2);
	assert_int_equal(c->n_routes, 1);
	assert_int_equal(c->route[0].n_hosts, 3);
	assert_true(c->route[0].host[0].is_ip);
	assert_int_equal(c->route[0].host[1].port, 2525);
	assert_string_equal(ip_format(&c->route[0].host[1].ip, ip, sizeof(ip)), "2001:db8:1::10");
	assert_string_equal(c->route[0].host[2].name, "mail.example.com");
	assert_int_equal(c->route[0].host[2].port, 25);
	assert_int_equal(c->route[0].verify, VERIFY_CALLOUT);
	assert_false(c->route[0].no_chunking);
	assert_false(c->route[0].pass_8bit);
	assert_int_equal(c->relays.n, 1);
	assert_string_equal(ip_format(&c->relays.relay[0].range[0].first, ip, sizeof(ip)), "203.0.113.0");
	assert_string_equal(ip_format(&c->relays.relay[0].range[0].last, ip, sizeof(ip)), "203.0.113.255");
	assert_string_equal(c->relays.relay[0].by[0], "filter.example.org");
	assert_int_equal(c->dns.n_forwarders, 1);
	assert_int_equal(c->dns.timeout_ms, 5000);
	assert_int_equal(c->dataplane.max_message, 50 * 1024 * 1024);
	assert_int_equal(c->dataplane.data_total_timeout_s, 1800);
	config_unref(c);
}

static void defaults_and_handoff(void **state)
{
	struct config *c = parse(minimal);
	const struct handoff_config *d = &c->dataplane;

	(void)state;
	assert_string_equal(c->authserv_id, "mx.example.net");
	assert_string_equal(c->header_prefix, "X-Postern");
	assert_string_equal(config_header_prefix(c, &c->route[0]), "X-Postern");
	assert_false(config_received_spf(c, &c->route[0]));
	assert_int_equal(c->route[0].foreign_trust, FOREIGN_STRIP);
	assert_true(c->reverify == DEFAULT_REVERIFY);
	assert_int_equal(c->n_foreign_trust_headers, 0);
	assert_string_equal(c->dataplane_socket, "/run/postern/dataplane.sock");
	assert_string_equal(c->api_socket, "/run/postern/control.sock");
	assert_string_equal(c->trace_file, "/var/log/postern/trace.jsonl");
	assert_string_equal(c->trace.index, "/var/log/postern/trace.db");
	assert_int_equal(c->trace.file_size, 256u << 20);
	assert_int_equal(c->trace.files, 8);
	assert_int_equal(c->trace.index_size, 1u << 30);
	assert_int_equal(c->trace.index_age_s, 30 * 86400);
	assert_false(c->trace.subjects);
	assert_null(c->metrics);
	assert_int_equal(c->loops, 1);
	assert_int_equal(c->spf_workers, 2);
	assert_int_equal(c->dns.timeout_ms, 10000);
	assert_true(c->policy.tag_score == 5 && c->policy.reject_score == 0);
	assert_int_equal(c->policy.dmarc, CONFIG_DMARC_ENFORCE);
	/* Nothing that refuses by itself. */
	assert_int_equal(c->policy.spf_fail | c->policy.spf_permerror | c->policy.spf_temperror |
			 c->policy.reverse_dns | c->policy.arc_fail | c->policy.null_mx, CONFIG_ACCEPT);
	assert_int_equal(c->policy.dkim_required, CONFIG_DKIM_NONE);
	assert_true(c->policy.dkim_l_score == 1 && !c->policy.dkim_l_fail);
	assert_false(c->policy.dkim_testing_pass);
	assert_int_equal(c->policy.n_dnsbls, 0);
	assert_int_equal(c->policy.deny.n + c->policy.allow.n, 0);
	assert_int_equal(c->sources.limit[ADMISSION_SESSIONS].max, DEFAULT_SOURCE_SESSIONS);
	assert_int_equal(c->sources.limit[ADMISSION_RATE].max, DEFAULT_SOURCE_RATE);
	assert_int_equal(c->sources.limit[ADMISSION_FAILURES].max, DEFAULT_SOURCE_FAILURES);
	assert_int_equal(c->sources.limit[ADMISSION_UNKNOWN].max, DEFAULT_SOURCE_UNKNOWN);
	assert_int_equal(c->sources.half_life_s, DEFAULT_SOURCE_HALF_LIFE_S);
	for (int i = 0; i < ADMISSION_LIMITS; i++)
		assert_int_equal(c->sources.limit[i].mode, ADMISSION_ENFORCE);
	assert_int_equal(c->route[0].max_connections, 20);
	assert_int_equal(c->route[0].messages_per_connection, 100);
	assert_int_equal(c->route[0].idle_timeout_s, 30);
	assert_int_equal(c->route[0].connect_timeout_s, 10);
	assert_int_equal(c->route[0].command_timeout_s, 60);

	assert_int_equal(d->magic, HANDOFF_MAGIC);
	assert_int_equal(d->size, sizeof(*d));
	assert_int_equal(d->generation, 7);
	assert_string_equal(d->hostname, "mx.example.net");
	assert_int_equal(d->max_message, DEFAULT_MAX_MESSAGE);
	assert_int_equal(d->max_rcpt, 100);
	assert_int_equal(d->max_errors, 20);
	assert_int_equal(d->max_transactions, 1000);
	assert_int_equal(d->max_line, 0);
	assert_int_equal(d->command_timeout_s, 300);
	assert_int_equal(d->data_timeout_s, 180);
	assert_int_equal(d->verdict_timeout_s, 600);
	assert_int_equal(d->min_rate, 500);
	assert_int_equal(d->min_rate_large, 10000);
	assert_int_equal(d->max_idle, 100);
	assert_int_equal(d->early, EARLY_OBSERVE);
	assert_int_equal(d->arena_share, 1);
	assert_int_equal(d->min_rate_mode | d->min_rate_large_mode | d->data_total_mode |
				 d->max_errors_mode | d->max_idle_mode | d->arena_share_mode,
			 MODE_ENFORCE);
	assert_int_equal(d->down_action, DOWN_451);
	assert_int_equal(d->refuse_bare_cr, 0);
	assert_int_equal(d->many_routes, 0);
	assert_int_equal(d->n_listeners, 1);
	assert_int_equal(d->listener[0].tcp_port, 25);
	assert_int_equal(d->listener[0].port, 1);
	assert_int_equal(d->listener[0].prefix_len, 96 + 24);
	assert_int_equal(d->listener[0].address[15], 25);
	config_unref(c);
}

static void routes_by_domain(void **state)
{
	struct config *c = parse(minimal);
	struct config by_hand = *c;

	(void)state;
	by_hand.priv = NULL;
	for (int i = 0; i < 2; i++) {
		const struct config *x = i ? &by_hand : c;

		assert_ptr_equal(config_route_for(x, STR("example.com")), &c->route[0]);
		assert_ptr_equal(config_route_for(x, STR("EXAMPLE.com")), &c->route[0]);
		assert_ptr_equal(config_route_for(x, STR("xn--bcher-kva.example")), &c->route[0]);
		assert_ptr_equal(config_route_for(x, STR("b\xc3\xbc" "cher.example")), &c->route[0]);
		assert_ptr_equal(config_route_for(x, STR("B\xc3\x9c" "CHER.example")), &c->route[0]);
		assert_null(config_route_for(x, STR("b\xfc" "cher.example")));
		assert_null(config_route_for(x, STR("b\xc3\xbc" "cher\xe3\x80\x82" "example")));
		assert_null(config_route_for(x, STR("example.co")));
		assert_null(config_route_for(x, STR("sub.example.com")));
		assert_null(config_route_for(x, STR("example.com\0.evil")));
		assert_null(config_route_for(x, STR_NONE));
	}
	config_unref(c);
}

/* Every key, and all spellings of the syntax that are not in the example. */
static bool listed(const struct config_domains *list, const char *domain)
{
	return config_domain_listed(list, domain);
}

static void policy_keys(void **state)
{
	struct config *c = parse("hostname = \"mx.example.net\"\n"
		"listener a { port = 0; address = [\"192.0.2.25/24\"] }\n"
		"route b { domains = [\"example.com\"]; hosts = [\"198.51.100.1\"] }\n"
		"policy { trusted-sealers = [\"Lists.example.org\", \".example.com\"]\n"
		"trusted-forwarders = [\"b\xc3\xbc" "cher.example\"]; protected-domains = []\n"
		"dkim-l-score = 2.5; dkim-testing = pass; dkim-required = author; dkim-missing = reject\n"
		"spf-fail = tag; spf-permerror = reject; spf-temperror = defer; reverse-dns = defer\n"
		"arc-fail = tag; null-mx = reject }\n"
		"dnsbl one { zone = \"BL.example\"; answers = [\"127.0.0.2\", \"127.0.0.8/29\",\n"
		"\"127.0.*.4-7\"]; score = 4; action = reject; reply = \"See https://bl.example/\" }\n"
		"dnsbl two { zone = \"wl.example\"; kind = allow; score = -2; test-entries = no }\n"
		"dnsbl three { zone = \"x.example\"; evidence = no; answers = [\"127.0.0.0/8\"] }\n");
	const struct config_policy *p = &c->policy;

	(void)state;
	assert_true(listed(&p->trusted_sealers, "lists.example.org"));
	assert_true(listed(&p->trusted_sealers, "a.b.example.com"));
	/* A leading dot is of what lies below, and nothing matches in the middle of a label. */
	assert_false(listed(&p->trusted_sealers, "example.com"));
	assert_false(listed(&p->trusted_sealers, ".example.com"));
	assert_false(listed(&p->trusted_sealers, "notexample.com"));
	assert_false(listed(&p->trusted_sealers, "a.lists.example.org"));
	assert_false(listed(&p->trusted_sealers, ""));
	assert_true(listed(&p->trusted_forwarders, "xn--bcher-kva.example"));
	assert_int_equal(p->protected_domains.n, 0);
	assert_true(p->dkim_l_score == 2.5 && !p->dkim_l_fail && p->dkim_testing_pass);
	assert_int_equal(p->dkim_required, CONFIG_DKIM_AUTHOR);
	assert_int_equal(p->dkim_missing, CONFIG_REJECT);
	assert_int_equal(p->spf_fail, CONFIG_TAG);
	assert_int_equal(p->spf_permerror, CONFIG_REJECT);
	assert_int_equal(p->spf_temperror, CONFIG_DEFER);
	assert_int_equal(p->reverse_dns, CONFIG_DEFER);
	assert_int_equal(p->arc_fail, CONFIG_TAG);
	assert_int_equal(p->null_mx, CONFIG_REJECT);
	assert_int_equal(p->n_dnsbls, 3);
	assert_string_equal(p->dnsbl[0].zone, "bl.example");
	assert_int_equal(p->dnsbl[0].n_answers, 3);
	assert_memory_equal(p->dnsbl[0].answer[0].low, ((uint8_t[]){127, 0, 0, 2}), 4);
	assert_memory_equal(p->dnsbl[0].answer[0].high, ((uint8_t[]){127, 0, 0, 2}), 4);
	assert_memory_equal(p->dnsbl[0].answer[1].low, ((uint8_t[]){127, 0, 0, 8}), 4);
	assert_memory_equal(p->dnsbl[0].answer[1].high, ((uint8_t[]){127, 0, 0, 15}), 4);
	assert_memory_equal(p->dnsbl[0].answer[2].low, ((uint8_t[]){127, 0, 0, 4}), 4);
	assert_memory_equal(p->dnsbl[0].answer[2].high, ((uint8_t[]){127, 0, 255, 7}), 4);
	assert_true(p->listing[0].score == 4 && p->listing[0].evidence);
	assert_int_equal(p->listing[0].action, CONFIG_REJECT);
	assert_string_equal(p->listing[0].reply, "See https://bl.example/");
	assert_false(p->dnsbl[0].allow || p->dnsbl[0].untested);
	assert_true(p->dnsbl[1].allow && p->dnsbl[1].untested && !p->listing[1].evidence);
	assert_true(p->listing[1].score == -2);
	assert_false(p->listing[2].evidence);
	assert_memory_equal(p->dnsbl[2].answer[0].high, ((uint8_t[]){127, 255, 255, 255}), 4);
	config_unref(c);
}

/* A route says what is different; its section may stand before that of the whole. */
static void policy_of_routes(void **state)
{
	struct config *c = parse("hostname = \"mx.example.net\"\n"
		"listener a { port = 0; address = [\"192.0.2.25/24\"] }\n"
		"route b { domains = [\"example.com\"]; hosts = [\"198.51.100.1\"]\n"
		"policy { tag-score = 9; dmarc = strict; protected-domains = [\"example.com\"] } }\n"
		"route c { domains = [\"example.org\"]; hosts = [\"198.51.100.1\"] }\n"
		"policy { tag-score = 3; reject-score = 20; spf-fail = tag\n"
		"deny = [\"192.0.2.66\"] }\n"
		"dnsbl one { zone = \"bl.example\" }\n");
	const struct config_policy *b = config_policy_for(c, &c->route[0]);

	(void)state;
	assert_ptr_equal(config_policy_for(c, &c->route[1]), &c->policy);
	assert_ptr_equal(config_policy_for(c, NULL), &c->policy);
	assert_true(b->tag_score == 9 && b->reject_score == 20);
	assert_int_equal(b->dmarc, CONFIG_DMARC_STRICT);
	assert_int_equal(b->spf_fail, CONFIG_TAG);
	assert_true(listed(&b->protected_domains, "example.com"));
	assert_int_equal(b->n_dnsbls, 1);
	assert_int_equal(b->deny.n, 1);
	assert_true(c->policy.tag_score == 3 && !c->policy.protected_domains.n);
	config_unref(c);
}

static void all_keys(void **state)
{
	struct config *c = parse(
		"/* a /* nested */ comment */ hostname: \"MX.example.net\", # and this\n"
		"\"loops\" = 1; header-prefix = X-Acmes; relay-fault-codes = [\"530\", \"5.7.51\",\n"
		"\t\"5.7.606-649\",]\n"
		"dataplane { when-control-is-down = 421; socket = /tmp/a.sock }\n"
		"listener a { port = 0; address = [ \"192.0.2.25/24\" ]; smtp-port = 2525 }\n"
		"listener b { port = 0; address = [ \"192.0.2.25/24\", \"192.0.2.26/24\" ] }\n"
		"route r { domains = [\"example.com\"]; hosts = [\"relay:26\", \"127.0.0.1:2526\"]\n"
		"verify = none; v6-literal = plain; source-address = \"192.0.2.30\"; idle-timeout = 2min\n"
		"chunking = never; 8bit = pass; received-format = exchange\n"
		"header-prefix = \"X-Q7f3a\"; received-spf = off; foreign-trust = reject }\n"
		"received-spf = true; reverify = 0.25; foreign-trust-headers = [\"X-Acme-T\", \"x-in-\"]\n"
		"relay s { addresses = [\"198.51.100.7\", \"2001:db8::/32\"], hops = 2 }\n"
		"dns { stub \"Example.com\" = \"127.0.0.1@5353\"; stub \"example.net\" = \"::1\"\n"
		"timeout = 1500ms; trust-anchor-file = \"\" }\n"
		"policy { tag-score = 3.5; reject-score = 10; quarantine-score = 0\n"
		"dmarc = strict; allow-private-peer = yes\n"
		"deny = [\"0.0.0.0/0\", \"2001:db8::/32\", \"192.0.2.66\"]; allow = [\"192.0.2.64/26\"] }\n"
		"sources { sessions = 7; sessions-mode = off; connection-rate = 8\n"
		"connection-rate-mode = observe; failures = 9; unknown-recipients = 10; half-life = 2h\n"
		"failures-mode = enforce; unknown-recipients-mode = \"observe\" }\n"
		"limits { max-message = 1m; max-line = 1kb; refuse-bare-cr = on; min-rate = 0\n"
		"min-rate-mode = off; min-rate-large = 20kb; min-rate-large-mode = observe\n"
		"data-total-timeout-mode = observe; max-errors-mode = \"observe\"\n"
		"max-idle-commands = 250; max-idle-commands-mode = \"off\"; early-talkers = refuse\n"
		"arena-share = 5; arena-share-mode = observe }\n"
		"texts { banner = \"no spam\"; help = \"see RFC 5321\"\n"
		"contact = \"https://postmaster.example.net/\" }\n"
		"spf { workers = 1 } api { socket = /tmp/b.sock }");

	(void)state;
	assert_string_equal(c->hostname, "mx.example.net");
	assert_string_equal(c->header_prefix, "X-Acmes");
	assert_int_equal(c->n_relay_fault_codes, 3);
	assert_string_equal(c->relay_fault_code[0], "530");
	assert_string_equal(c->relay_fault_code[2], "5.7.606-649");
	assert_int_equal(c->dataplane.down_action, DOWN_421);
	assert_int_equal(c->dataplane.n_listeners, 3);
	assert_int_equal(c->dataplane.listener[2].id, 1);
	assert_int_equal(c->dataplane.listener[0].tcp_port, 2525);
	assert_int_equal(c->route[0].verify, VERIFY_NONE);
	assert_true(c->route[0].no_chunking);
	assert_true(c->route[0].pass_8bit);
	assert_true(c->route[0].v6_plain);
	assert_true(c->route[0].received_exchange);
	assert_string_equal(config_header_prefix(c, &c->route[0]), "X-Q7f3a");
	assert_string_equal(config_header_prefix(c, NULL), "X-Acmes");
	assert_false(config_received_spf(c, &c->route[0]));
	assert_true(config_received_spf(c, NULL));
	assert_int_equal(c->route[0].foreign_trust, FOREIGN_REJECT);
	assert_true(c->reverify == 0.25);
	assert_int_equal(c->n_foreign_trust_headers, 2);
	assert_true(str_eq(c->foreign_trust_header[1], STR("x-in-")));
	assert_true(c->route[0].has_source[0]);
	assert_int_equal(c->route[0].family, FAMILY_V4);
	assert_int_equal(c->route[0].idle_timeout_s, 120);
	assert_string_equal(c->route[0].host[0].name, "relay");
	assert_int_equal(c->relays.relay[0].hops, 2);
	assert_true(ip_is_v4(&c->relays.relay[0].range[0].last));
	assert_int_equal(c->relays.relay[0].range[1].last.a[15], 0xff);
	assert_int_equal(c->dns.n_stubs, 2);
	assert_string_equal(c->dns.stub[0].zone, "example.com");
	assert_string_equal(c->dns.stub[0].addr, "127.0.0.1@5353");
	assert_int_equal(c->dns.timeout_ms, 1500);
	assert_null(c->dns.trust_anchor_file);
	assert_true(c->policy.tag_score == 3.5 && c->policy.reject_score == 10);
	assert_int_equal(c->policy.dmarc, CONFIG_DMARC_STRICT);
	assert_true(c->policy.allow_private_peer);
	/* The longest prefix first. */
	assert_int_equal(c->policy.deny.n, 3);
	assert_int_equal(c->policy.deny.net[0].prefix, 128);
	assert_int_equal(c->policy.deny.net[1].prefix, 96);
	assert_int_equal(c->policy.deny.net[2].prefix, 32);
	assert_int_equal(c->policy.allow.net[0].prefix, 122);
	assert_int_equal(c->sources.limit[ADMISSION_SESSIONS].max, 7);
	assert_int_equal(c->sources.limit[ADMISSION_SESSIONS].mode, ADMISSION_OFF);
	assert_int_equal(c->sources.limit[ADMISSION_RATE].max, 8);
	assert_int_equal(c->sources.limit[ADMISSION_RATE].mode, ADMISSION_OBSERVE);
	assert_int_equal(c->sources.limit[ADMISSION_FAILURES].max, 9);
	assert_int_equal(c->sources.limit[ADMISSION_UNKNOWN].max, 10);
	assert_int_equal(c->sources.limit[ADMISSION_UNKNOWN].mode, ADMISSION_OBSERVE);
	assert_int_equal(c->sources.half_life_s, 7200);
	assert_int_equal(c->dataplane.max_message, 1000000);
	assert_int_equal(c->dataplane.max_line, 1024);
	assert_int_equal(c->dataplane.refuse_bare_cr, 1);
	assert_int_equal(c->dataplane.min_rate_mode, MODE_OFF);
	assert_int_equal(c->dataplane.min_rate_large, 20 * 1024);
	assert_int_equal(c->dataplane.min_rate_large_mode, MODE_OBSERVE);
	assert_int_equal(c->dataplane.data_total_mode, MODE_OBSERVE);
	assert_int_equal(c->dataplane.max_errors_mode, MODE_OBSERVE);
	assert_int_equal(c->dataplane.max_idle, 250);
	assert_int_equal(c->dataplane.max_idle_mode, MODE_OFF);
	assert_int_equal(c->dataplane.early, EARLY_REFUSE);
	assert_string_equal(c->dataplane.banner, "no spam");
	assert_string_equal(c->dataplane.help, "see RFC 5321");
	assert_string_equal(c->dataplane.contact, "https://postmaster.example.net/");
	assert_int_equal(c->dataplane.arena_share, 5);
	assert_int_equal(c->dataplane.arena_share_mode, MODE_OBSERVE);
	config_unref(c);
}

static void references(void **state)
{
	struct config *a = parse(minimal), *c;
	char text[1024];

	(void)state;
	assert_ptr_equal(config_ref(a), a);
	config_unref(a);
	assert_string_equal(a->hostname, "mx.example.net");
	assert_string_equal(a->state_directory, "/run/postern/state");
	config_unref(a);
	snprintf(text, sizeof(text), "%sroute c { domains = [\"example.net\"]\n"
		 "hosts = [\"192.0.2.9\"] }\nstate-directory = /tmp/s\n", minimal);
	c = parse(text);
	assert_int_equal(c->dataplane.many_routes, 1);
	assert_string_equal(c->state_directory, "/tmp/s");
	config_unref(c);
	snprintf(text, sizeof(text), "%strace { subjects = true; file = /tmp/x; index = none; files = 3; "
		 "file-size = 0 }\nmetrics { }\n", minimal);
	c = parse(text);
	assert_true(c->trace.subjects);
	assert_string_equal(c->trace.index, "none");
	assert_int_equal(c->trace.file_size, 0);
	assert_string_equal(c->metrics, "127.0.0.1:9325");
	config_unref(c);
	snprintf(text, sizeof(text), "%strace { file = \"/tmp/x\"; index-age = 1h; index-size = 16mb }\n"
		 "metrics { listen = \"[2001:db8::1]:1\" }\n", minimal);
	c = parse(text);
	assert_string_equal(c->trace.index, "/tmp/x.db");
	assert_string_equal(c->metrics, "[2001:db8::1]:1");
	config_unref(c);
	snprintf(text, sizeof(text), "%smetrics { listen = \"unix:/run/m.sock\" }\n", minimal);
	c = parse(text);
	assert_string_equal(c->metrics, "unix:/run/m.sock");
	config_unref(c);
	config_unref(NULL);
}

static void reading_the_file(void **state)
{
	struct config_error err[1];
	struct config *c;
	size_t n;

	(void)state;
	assert_int_equal(config_load("/nonexistent/postern.conf", 1, &c, err, 1, &n), -ENOENT);
	assert_null(c);
	assert_int_equal(n, 1);
	assert_int_equal(err[0].line, 0);
	assert_string_equal(err[0].file, "/nonexistent/postern.conf");
	assert_non_null(strstr(err[0].reason, "No such file"));
	assert_int_equal(config_load("/", 1, &c, err, 1, &n), -EISDIR);
	assert_int_equal(config_load("/dev/null", 1, &c, NULL, 0, &n), -ENXIO);
	assert_int_equal(n, 1);
}

static void rule_files_are_expanded(void **state)
{
	char dir[] = "/tmp/postern-config-XXXXXX", text[1024], path[4][64];
	struct config *c;

	(void)state;
	assert_non_null(mkdtemp(dir));
	for (int i = 0; i < 3; i++) {
		static const char *const name[] = {"20_b.cf", "10_a.cf", "other.txt"};
		FILE *f;

		snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name[i]);
		f = fopen(path[i], "w");
		assert_non_null(f);
		fclose(f);
	}
	snprintf(text, sizeof(text), "%srules { files = [\"%s/*.cf\", \"%s/other.txt\", "
		 "\"%s/*.none\"] }", minimal, dir, dir, dir);
	c = parse(text);
	assert_int_equal(c->n_rules_files, 3);
	assert_string_equal(c->rules_file[0], path[1]);
	assert_string_equal(c->rules_file[1], path[0]);
	assert_string_equal(c->rules_file[2], path[2]);
	config_unref(c);
	for (int i = 0; i < 3; i++)
		unlink(path[i]);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(example_file),
		cmocka_unit_test(defaults_and_handoff),
		cmocka_unit_test(routes_by_domain),
		cmocka_unit_test(policy_keys),
		cmocka_unit_test(policy_of_routes),
		cmocka_unit_test(all_keys),
		cmocka_unit_test(references),
		cmocka_unit_test(reading_the_file),
		cmocka_unit_test(rule_files_are_expanded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
