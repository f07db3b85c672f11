/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `posternctl scan`: a message file through the daemon's own code, without a daemon. */

#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/cli/message.h"
#include "control/cli/offline.h"
#include "control/judge/judge.h"

#define MAX_ZONES 16

struct scan {
	const char *config_path, *output, *file;
	const char *zone[MAX_ZONES];
	size_t n_zones;
	struct str rcpt[HANDOFF_MAX_RCPTS];
	struct offline_sender sender; /* its recipients are in rcpt[] */

	struct offline offline;
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
		case 'i': s->sender.ip = optarg; break;
		case 'h': s->sender.helo = optarg; break;
		case 'f': s->sender.from = optarg; break;
		case 'n':
			if (!look_now("scan", optarg, &s->sender.now))
				return CLI_USAGE;
			break;
		case 'o': s->output = optarg; break;
		case 'z':
			if (s->n_zones == MAX_ZONES)
				return complain("--dns-zone", "too many");
			s->zone[s->n_zones++] = optarg;
			break;
		case 'r':
			if (s->sender.n_rcpts == HANDOFF_MAX_RCPTS)
				return complain("--rcpt", "too many");
			s->rcpt[s->sender.n_rcpts++] = str_c(optarg);
			break;
		default: return CLI_USAGE;
		}
	}
	s->file = argv[optind];
	return CLI_OK;
}

/* What the dataplane would have told. */
static int record(struct scan *s)
{
	int rc = offline_arm(&s->offline);

	if (!rc)
		rc = offline_envelope(&s->offline, &s->sender, s->message, s->size, &s->env);
	if (rc)
		return rc;
	s->env.flags |= offline_scan(&s->offline, s->message, s->size, s->match, &s->n_matches);
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

		json_object_set_new(o, "schema", json_string("postern.scan.1"));
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
	struct dns_options dopt = s->offline.config->dns;
	struct spf_options sopt = {.n_workers = 1};
	struct judge_env env = {.counters = s->counters};
	struct judge_request req = {.config = s->offline.config, .rules = s->offline.rules, .env = &s->env,
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
	s->offline.who = "scan";
	s->sender = (struct offline_sender){.ip = "127.0.0.1", .helo = "localhost", .from = "",
					    .rcpt = s->rcpt};
	rc = options(s, argc, argv);
	if (!rc)
		rc = offline_load(&s->offline, s->config_path, true);
	if (!rc)
		rc = message_read("scan", s->file, &s->message, &s->size);
	if (!rc)
		rc = record(s);
	if (!rc)
		rc = judge_it(cli, s);
	offline_close(&s->offline);
	free(s->message);
	free(s);
	return rc;
}
