/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/cli/doctor.h"

#define SCHEMA     "doctor/1" /* docs/doctor.md */
#define MAX_ERRORS 8

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "posternctl doctor: %s: %s\n", what, why);
	return CLI_USAGE;
}

/* ---- options -------------------------------------------------------------------------------- */

static int add(const char **list, size_t *n, size_t cap, const char *value, const char *option)
{
	if (*n == cap)
		return complain(option, "too many");
	list[(*n)++] = value;
	return CLI_OK;
}

static int add_egress(struct doctor *d, const char *text)
{
	if (d->n_egress == DOCTOR_EGRESS)
		return complain("--egress", "too many");
	if (!ip_range_parse(str_c(text), &d->egress[d->n_egress]))
		return complain("--egress", "not an address or a network");
	d->n_egress++;
	d->egress_given = true;
	return CLI_OK;
}

static int options(struct doctor *d, int argc, char **argv)
{
	static const struct option opts[] = {{"config", 1, 0, 'c'}, {"egress", 1, 0, 'e'},
					     {"users", 1, 0, 'u'},  {"connectors", 1, 0, 'k'},
					     {"verify", 1, 0, 'v'}, {"dns-zone", 1, 0, 'z'},
					     {"now", 1, 0, 'n'},    {0}};
	int o, rc = CLI_OK;

	optind = 1;
	while (!rc && (o = getopt_long(argc, argv, "", opts, NULL)) != -1)
		switch (o) {
		case 'c':
			d->config_path = optarg;
			break;
		case 'e':
			rc = add_egress(d, optarg);
			break;
		case 'u':
			rc = add(d->user, &d->n_users, DOCTOR_USERS, optarg, "--users");
			break;
		case 'k':
			d->connectors = optarg;
			break;
		case 'v':
			rc = add(d->file, &d->n_files, DOCTOR_FILES, optarg, "--verify");
			break;
		case 'z':
			rc = add(d->look.zone, &d->look.n_zones, LOOK_ZONES, optarg, "--dns-zone");
			break;
		case 'n':
			if (!look_now("doctor", optarg, &d->look.now))
				return CLI_USAGE;
			break;
		default:
			return CLI_USAGE;
		}
	if (rc)
		return rc;
	/* "--verify a.eml b.eml", as a shell's * makes it. */
	for (int i = optind + 2; d->n_files && i < argc; i++)
		if (add(d->file, &d->n_files, DOCTOR_FILES, argv[i], "--verify"))
			return CLI_USAGE;
	if (optind + 2 < argc && !d->n_files)
		return complain(argv[optind + 2], "message files stand behind --verify");
	d->side = !strcmp(argv[optind], "exchange") ? ARRIVED_EXCHANGE : ARRIVED_GMAIL;
	d->route_name = argv[optind + 1];
	if (d->connectors && d->side != ARRIVED_EXCHANGE)
		return complain("--connectors", "of exchange only");
	return CLI_OK;
}

/* ---- configuration -------------------------------------------------------------------------- */

/* A file that is there and wrong is a finding; one that is not is not. */
static int load(struct doctor *d)
{
	struct config_error err[MAX_ERRORS];
	size_t n = 0;
	int rc = config_load(d->config_path, 1, &d->config, err, MAX_ERRORS, &n);

	if (rc && rc != -EINVAL) {
		complain(d->config_path, strerror(-rc));
		return CLI_UNREACHABLE;
	}
	for (size_t i = 0; rc && i < n && i < MAX_ERRORS; i++)
		findings_add(&d->findings, "config", FINDINGS_FAIL, "%s:%u: %s: %s", err[i].file,
			     err[i].line, err[i].key, err[i].reason);
	if (rc)
		return CLI_OK;
	for (size_t i = 0; i < d->config->n_routes; i++)
		if (!strcmp(d->config->route[i].name, d->route_name))
			d->route = &d->config->route[i];
	if (!d->route)
		return complain(d->route_name, "no such route in the configuration");
	return CLI_OK;
}

/* ---- messages ------------------------------------------------------------------------------- */

static json_t *entry_json(const struct verify_result *r)
{
	char ip[64];

	return r->has_entry ? json_string(ip_format(&r->entry, ip, sizeof(ip))) : json_null();
}

static int verify_file(const struct verify *v, const char *file, struct verify_result *r)
{
	struct mail_bytes content = {0};
	struct headers h = {0};
	uint8_t *data = NULL;
	struct iovec iov;
	int rc = message_read("doctor", file, &data, &content.size);

	if (rc)
		return rc;
	iov = (struct iovec){data, content.size};
	content.iov = &iov;
	content.n_iov = 1;
	if (headers_parse(&h, &content) || verify_message(v, &h, r))
		rc = complain(file, "out of memory");
	headers_free(&h);
	free(data);
	return rc;
}

/* Of several messages: does it hang on the address that handed them over? */
static void check_intermittent(struct doctor *d, const struct verify_result *r)
{
	struct findings *f = &d->findings;
	char ip[64];

	for (size_t i = 0; i < d->n_files; i++) {
		size_t n = 0, drifted = 0, others = 0, others_drifted = 0;
		bool seen = !r[i].has_entry;

		for (size_t k = 0; k < d->n_files && !seen; k++) {
			bool same = r[k].has_entry &&
				    !memcmp(&r[k].entry, &r[i].entry, sizeof(r[i].entry));

			seen = same && k < i;
			n += same;
			drifted += same && r[k].drifted;
			others += !same && r[k].has_entry;
			others_drifted += !same && r[k].drifted;
		}
		if (seen || !drifted)
			continue;
		ip_format(&r[i].entry, ip, sizeof(ip));
		if (drifted == n && others && !others_drifted) {
			findings_add(
				f, "intermittent", FINDINGS_FAIL,
				"whatever is handed over by %s "
				"(%zu of %zu) is taken for another sender's, and nothing else is",
				ip, drifted, n);
			findings_advise(f, "That address is missing in the list over there.");
		} else if (drifted < n) {
			findings_add(
				f, "intermittent", FINDINGS_FAIL,
				"of what is handed over by %s, %zu "
				"of %zu is taken for another sender's: it does not hang on that "
				"address",
				ip, drifted, n);
			findings_advise(f, "Compare the relays they came by, and their recipients "
					   "(EFUsers); posternctl trace shares shows the shares of "
					   "verdicts by address.");
		}
	}
}

static int verify(struct doctor *d, json_t *out, bool json)
{
	struct verify v = {.names = {d->side, d->config->hostname, d->config->authserv_id,
				     config_header_prefix(d->config, d->route)},
			   .egress = d->egress,
			   .n_egress = d->n_egress,
			   .relays = &d->config->relays,
			   .domain = d->route->domain,
			   .n_domains = d->route->n_domains,
			   .sealing = d->route->arc_seal != ARC_SEAL_NEVER};
	struct verify_result *r = calloc(d->n_files, sizeof(*r));
	int rc = r ? CLI_OK : complain("verify", "out of memory"), worst = CLI_OK;

	for (size_t i = 0; !rc && i < d->n_files; i++) {
		rc = verify_file(&v, d->file[i], &r[i]);
		if (rc)
			break;
		json_array_append_new(
			out, json_pack("{s:o, s:o, s:b, s:o}", "file", look_text(str_c(d->file[i])),
				       "handed_over_by", entry_json(&r[i]), "drifted",
				       (int)r[i].drifted, "checks", findings_json(&r[i].findings)));
		if (!json) {
			char name[256];

			printf("%s%s\n", i ? "\n" : "",
			       look_clean(str_c(d->file[i]), name, sizeof(name)));
			findings_print(&r[i].findings);
		}
		if (findings_exit(&r[i].findings) == CLI_FINDING || worst == CLI_OK)
			worst = findings_exit(&r[i].findings);
	}
	if (!rc)
		check_intermittent(d, r);
	for (size_t i = 0; r && i < d->n_files; i++)
		findings_free(&r[i].findings);
	free(r);
	if (rc)
		return rc;
	return findings_exit(&d->findings) == CLI_FINDING ? CLI_FINDING : worst;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static int checks(struct doctor *d)
{
	static const enum config_provider want[] = {PROVIDER_EXCHANGE_ONLINE,
						    PROVIDER_GOOGLE_WORKSPACE};
	static const char *const word[] = {"exchange-online", "google-workspace"};
	struct findings *f = &d->findings;

	if (d->route->provider == want[d->side]) {
		findings_add(f, "provider", FINDINGS_OK, "provider = %s", word[d->side]);
	} else {
		findings_add(f, "provider", FINDINGS_WARNING,
			     "the route does not begin with what %s is known "
			     "to demand",
			     arrived_side_name(d->side));
		findings_advise(f, "provider = %s", word[d->side]);
	}
	doctor_egress(d);
	doctor_tls(d);
	doctor_hidden(d);
	doctor_keys(d);
	doctor_hosts(d);
	doctor_relays(d);
	return d->connectors ? doctor_connectors(d) : CLI_OK;
}

static int run(const struct cli *cli, struct doctor *d)
{
	json_t *messages = json_array(), *setup = NULL;
	/* What a message says needs no DNS. */
	int rc = d->route && !d->n_files ? look_resolver(&d->look, &d->config->dns) : CLI_OK;

	if (!rc && d->route) {
		/* What the kernel would choose here says nothing of a message of another day. */
		if (!d->n_files || d->route->has_source[0])
			doctor_egress_find(d);
		rc = d->n_files ? verify(d, messages, cli->json) : checks(d);
		if (!d->n_files && !rc) {
			setup = doctor_setup(d);
			rc = findings_exit(&d->findings);
		}
	} else if (!rc) {
		doctor_hidden(d);
		rc = findings_exit(&d->findings);
	}
	if (rc != CLI_USAGE && cli->json) {
		json_t *o = json_pack("{s:s, s:s, s:o, s:b, s:o, s:o, s:o}", "schema", SCHEMA,
				      "side", d->side == ARRIVED_EXCHANGE ? "exchange" : "google",
				      "route", look_text(str_c(d->route_name)), "ok", rc == CLI_OK,
				      "checks", findings_json(&d->findings), "setup",
				      setup ? setup : json_null(), "messages", messages);

		print_json(o);
		json_decref(o);
		return rc;
	}
	if (rc != CLI_USAGE) {
		if (d->n_files && d->findings.n)
			puts("");
		findings_print(&d->findings);
		if (setup)
			doctor_setup_print(setup);
	}
	json_decref(messages);
	json_decref(setup);
	return rc;
}

int cmd_doctor(const struct cli *cli, int argc, char **argv)
{
	struct doctor *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return complain("start", "out of memory");
	d->look.who = "doctor";
	d->look.now = time(NULL);
	d->config_path = "/etc/postern/postern.conf";
	rc = options(d, argc, argv);
	if (!rc)
		rc = load(d);
	if (!rc)
		rc = run(cli, d);
	look_close(&d->look);
	findings_free(&d->findings);
	config_unref(d->config);
	free(d);
	return rc;
}
