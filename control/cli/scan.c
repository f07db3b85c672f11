/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `posternctl scan`: a message file through the daemon's own code, without a daemon. */

#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control/cli/message.h"
#include "control/judge/judge.h"
#include "control/snapshot.h"
#include "dataplane/scan/scan_views.h"
#include "postern/limits.h"
#include "postern/stats.h"
#include "postern/utf8.h"

#define MAX_ZONES 16

/* Used where no --config is given: nothing in it is ever connected to. */
static const char default_config[] =
	"hostname = \"localhost.localdomain\"\n"
	"listener \"scan\" { port = 0; address = [\"192.0.2.1/32\"] }\n"
	"route \"scan\" { domains = [\"localhost.localdomain\"]; hosts = [\"192.0.2.2\"] }\n"
	"policy { allow-private-peer = true }\n";

struct scan {
	const char *config_path, *ip, *helo, *from, *output, *file;
	const char *zone[MAX_ZONES];
	size_t n_zones;
	struct str rcpt[HANDOFF_MAX_RCPTS];
	size_t n_rcpts;
	long long now;

	struct config *config;
	struct rules *rules;
	uint8_t *message;
	size_t size;
	struct handoff_match match[HANDOFF_MAX_MATCHES];
	uint32_t n_matches;
	struct mail_envelope env;
	struct iovec iov;
	struct mail_bytes content;
	uint64_t counters[POSTERN_CTL_COUNTER_COUNT];
	struct event_base *base;
};

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "posternctl scan: %s: %s\n", what, why);
	return CLI_USAGE;
}

static int options(struct scan *s, int argc, char **argv)
{
	static const struct option opts[] = {
		{"config", 1, 0, 'c'}, {"ip", 1, 0, 'i'}, {"helo", 1, 0, 'h'}, {"from", 1, 0, 'f'},
		{"rcpt", 1, 0, 'r'}, {"dns-zone", 1, 0, 'z'}, {"now", 1, 0, 'n'}, {"output", 1, 0, 'o'},
		{0}};
	int o;

	optind = 1;
	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (o) {
		case 'c': s->config_path = optarg; break;
		case 'i': s->ip = optarg; break;
		case 'h': s->helo = optarg; break;
		case 'f': s->from = optarg; break;
		case 'n': s->now = atoll(optarg); break;
		case 'o': s->output = optarg; break;
		case 'z':
			if (s->n_zones == MAX_ZONES)
				return complain("--dns-zone", "too many");
			s->zone[s->n_zones++] = optarg;
			break;
		case 'r':
			if (s->n_rcpts == HANDOFF_MAX_RCPTS)
				return complain("--rcpt", "too many");
			s->rcpt[s->n_rcpts++] = str_c(optarg);
			break;
		default: return CLI_USAGE;
		}
	}
	if (optind + 1 != argc)
		return complain("arguments", "exactly one message file, or - for standard input");
	s->file = argv[optind];
	return CLI_OK;
}

static int load(struct scan *s)
{
	static struct snapshot_report report;
	struct config_error err[4];
	struct snapshot *snap;
	size_t n = 0;

	if (!s->config_path) {
		if (config_parse("built-in", default_config, sizeof(default_config) - 1, 1, &s->config, err, 4,
				 &n))
			return complain(err[0].key, err[0].reason);
		return CLI_OK;
	}
	if (snapshot_load(s->config_path, 1, &snap, &report)) {
		fprintf(stderr, "%s:%u: %s: %s\n", report.error[0].file, report.error[0].line,
			report.error[0].key, report.error[0].reason);
		return CLI_USAGE;
	}
	s->config = config_ref(snap->config);
	s->rules = snap->rules;
	snap->rules = NULL;
	snapshot_unref(snap);
	return CLI_OK;
}

static int match_rules(struct scan *s)
{
	static uint64_t counters[POSTERN_DP_COUNTER_COUNT];
	struct scan_generation *g = NULL;
	struct scan_worker *w = NULL;
	const struct scan_target to = {s->match, &s->n_matches, HANDOFF_MAX_MATCHES};
	struct scan_views *v = NULL;
	char err[256] = "";
	void *bundle = NULL;
	size_t len = 0;
	int rc;

	if (!s->rules)
		return CLI_OK;
	rc = rules_pack(s->rules, judge_content_views(s->config), config_wants_hashes(s->config), &bundle,
			&len);
	if (!rc && !bundle)
		return CLI_OK;
	if (!rc)
		rc = scan_generation_new(bundle, len, 1, &g, err, sizeof(err));
	if (!rc)
		rc = scan_worker_new(g, 1, counters, &w);
	if (!rc)
		rc = scan_views_new(0, counters, &v);
	if (!rc)
		s->env.flags |= scan_views_block(v, w, s->message, s->size, &to).flags;
	scan_views_free(v);
	scan_worker_free(w);
	scan_generation_free(g);
	free(bundle);
	return rc ? complain("rules", err[0] ? err : strerror(-rc)) : CLI_OK;
}

static int envelope(struct scan *s)
{
	struct mail_envelope *e = &s->env;

	if (!ip_parse(str_c(s->ip), &e->peer))
		return complain("--ip", "not an IPv4 or IPv6 address");
	e->local = s->config->listener[0].address[0].addr;
	e->local_port = 25;
	e->smtputf8 = !utf8_is_ascii(str_c(s->from));
	for (size_t i = 0; i < s->n_rcpts; i++)
		e->smtputf8 |= !utf8_is_ascii(s->rcpt[i]);
	e->proto = e->smtputf8 ? PROTO_UTF8SMTP : PROTO_ESMTP;
	e->flags |= e->smtputf8 ? RECORD_F_SMTPUTF8 : 0;
	e->helo = str_c(s->helo);
	e->mail_from = str_c(s->from);
	e->rcpt = s->rcpt;
	e->n_rcpts = s->n_rcpts;
	e->time_ns = (uint64_t)(s->now ? s->now : (long long)time(NULL)) * 1000000000u;
	for (size_t i = 0; i < s->size; i++)
		if (s->message[i] & 0x80)
			e->flags |= RECORD_F_8BIT;
	strcpy(e->trace_id, "0000000000000000");
	s->iov = (struct iovec){s->message, s->size};
	s->content = (struct mail_bytes){&s->iov, 1, s->size};
	return CLI_OK;
}

static void on_judged(void *arg, const struct judgement *j)
{
	struct scan *s = arg;

	(void)j;
	event_base_loopbreak(s->base);
}

static int write_output(const struct scan *s, const struct judgement *r)
{
	FILE *f;

	if (!s->output)
		return CLI_OK;
	f = fopen(s->output, "wb");
	if (!f)
		return complain(s->output, strerror(errno));
	for (size_t i = 0; i < r->out.n_iov; i++)
		fwrite(r->out.iov[i].iov_base, 1, r->out.iov[i].iov_len, f);
	return fclose(f) ? complain(s->output, strerror(errno)) : CLI_OK;
}

static void print_hop(const struct origin_hop *h, size_t n)
{
	const char *helo = h->helo[0] ? h->helo : h->helo_raw[0] ? h->helo_raw : "-";
	char ip[64];

	printf("  hop %zu  %s  helo %s", n, ip_format(&h->ip, ip, sizeof(ip)), helo);
	if (h->rdns[0])
		printf(" (%s)", h->rdns);
	if (h->by[0])
		printf("  by %s", h->by);
	if (h->with[0])
		printf(" with %s", h->with);
	if (h->id[0])
		printf(" id %s", h->id);
	printf(h->field < 0 ? "  [who connected]" : "  [header %ld]", h->field);
	printf("\n         %s\n", h->note);
}

static void print_origin(const struct origin *o)
{
	char ip[64];

	printf("origin   %s  (%s%s%s)\n", ip_format(&o->ip, ip, sizeof(ip)), origin_status_name(o->status),
	       o->reason[0] ? ": " : "", o->reason);
	for (size_t i = 0; i < o->n_hops; i++)
		print_hop(&o->hop[i], i);
	for (size_t i = 0; i < o->n_corroboration; i++) {
		const struct origin_corroboration *c = &o->corroboration[i];

		printf("  %s of relay %s: %s%s\n", c->header, c->relay,
		       c->has_ip ? ip_format(&c->ip, ip, sizeof(ip)) : "no address",
		       !c->has_ip ? "" : c->agrees ? ", agrees" : ", CONTRADICTS");
	}
	if (o->chain != CHAIN_NONE)
		printf("  chain field %s%s%s\n", chain_status_name(o->chain), o->chain_key[0] ? ", key " : "",
		       o->chain_key);
	if (o->srs.kind != SRS_NONE)
		printf("  MAIL FROM was %s (%s, not checked)\n", o->srs.original, srs_kind_name(o->srs.kind));
}

static void print_human(const struct judge *j)
{
	const struct judgement *r = judge_result(j);

	print_origin(&r->origin);
	printf("spf      %s  %s  %s\n", spf_result_name(r->spf.result), r->spf.domain, r->spf.reason);
	for (size_t i = 0; r->dkim && i < r->dkim->n; i++)
		printf("dkim     %s  d=%s s=%s a=%s  %s\n", dkim_result_name(r->dkim->sig[i].result),
		       r->dkim->sig[i].domain, r->dkim->sig[i].selector, r->dkim->sig[i].algorithm,
		       r->dkim->sig[i].reason);
	printf("arc      %s  %s\n", arc_result_name(r->arc->result), r->arc->reason);
	if (r->seal.status == JUDGE_SEALED)
		printf("sealed   i=%u cv=%s  d=%s s=%s\n", r->seal.instance, arc_result_name(r->seal.cv),
		       r->seal.domain, r->seal.selector);
	else if (r->seal.reason)
		printf("unsealed %s\n", r->seal.reason);
	printf("dmarc    %s  %s  %s%s\n",
	       r->dmarc_judged ? dmarc_result_name(r->dmarc.result) : "none",
	       r->dmarc.decisive < r->dmarc.n ? r->dmarc.author[r->dmarc.decisive].domain : "",
	       r->dmarc.reason, r->dmarc.psl_differs ? "  (public suffix list differs)" : "");
	if (r->policy.override)
		printf("override %s  %s\n", policy_override_name(r->policy.override),
		       r->policy.comment);
	for (size_t i = 0; i < r->n_dnsbls; i++)
		printf("dnsbl    %s  %s  %s\n", dnsbl_result_name(r->dnsbl[i].result),
		       r->policy_config->dnsbl[i].zone, r->dnsbl[i].reason);
	for (size_t i = 0; i < r->n_hits; i++)
		printf("rule     %6.2f  %s  %s\n", r->hit[i].score, r->hit[i].rule->name,
		       r->hit[i].rule->describe);
	printf("score    %.2f\naction   %s", r->policy.score, policy_action_name(r->policy.action));
	if (r->policy.would != r->policy.action)
		printf(" (dry run: %s)", policy_action_name(r->policy.would));
	printf("  %s\n", r->policy.reason);
	printf("removed  %u forged header(s)\n\n%.*s", (unsigned int)r->n_forged, (int)r->out.block_len,
	       r->out.block ? r->out.block : "");
}

static int report(const struct cli *cli, const struct scan *s, const struct judge *j)
{
	const struct judgement *r = judge_result(j);
	int rc = write_output(s, r);

	if (cli->json) {
		json_t *o = judge_json(j);

		print_json(o);
		json_decref(o);
	} else {
		print_human(j);
	}
	if (r->error || r->policy.action >= POLICY_DISCARD)
		return CLI_FINDING;
	return rc;
}

static int judge_it(const struct cli *cli, struct scan *s)
{
	struct dns_options dopt = s->config->dns;
	struct spf_options sopt = {.n_workers = 1};
	struct judge_env env = {.counters = s->counters};
	struct judge_request req = {.config = s->config, .rules = s->rules, .env = &s->env,
				    .content = &s->content, .match = s->match, .n_matches = s->n_matches,
				    .reverify = REVERIFY_FIRST};
	struct judge *j = NULL;
	char err[256] = "";
	int rc = CLI_USAGE;

	if (s->n_zones) {
		dopt.zone_file = s->zone;
		dopt.n_zone_files = s->n_zones;
	}
	s->base = env.base = event_base_new();
	env.dns = dns_new(s->base, &dopt, err, sizeof(err));
	if (!env.dns) {
		rc = complain("dns", err);
		goto out;
	}
	env.spf = spf_jail_new(s->base, env.dns, &sopt, err, sizeof(err));
	if (!env.spf) {
		rc = complain("spf", err);
		goto out;
	}
	j = judge_start(&env, &req, on_judged, s);
	if (!j) {
		rc = complain("judge", "out of memory");
		goto out;
	}
	event_base_dispatch(s->base);
	rc = report(cli, s, j);
out:
	judge_free(j);
	if (env.spf)
		spf_jail_free(env.spf);
	if (env.dns)
		dns_free(env.dns);
	event_base_free(s->base);
	return rc;
}

int cmd_scan(const struct cli *cli, int argc, char **argv)
{
	struct scan *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return complain("start", "out of memory");
	s->ip = "127.0.0.1";
	s->helo = "localhost";
	s->from = "";
	rc = options(s, argc, argv);
	if (!rc)
		rc = load(s);
	if (!rc)
		rc = message_read("scan", s->file, &s->message, &s->size);
	if (!rc)
		rc = match_rules(s);
	if (!rc)
		rc = envelope(s);
	if (!rc)
		rc = judge_it(cli, s);
	rules_free(s->rules);
	config_unref(s->config);
	free(s->message);
	free(s);
	return rc;
}
