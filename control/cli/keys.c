/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `posternctl keys`, `keys check`: the keys that seal, and whether DNS has their other halves. */

#include <event2/event.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/cli/keys.h"
#include "control/cli/message.h"
#include "control/config/config.h"
#include "postern/limits.h"

#define MAX_ZONES  16
#define MAX_ERRORS 8

static const char *const published_word[] = {[KEYS_NOT_ASKED] = "",
					     [KEYS_OK] = "ok",
					     [KEYS_MISSING] = "missing",
					     [KEYS_DIFFERS] = "differs",
					     [KEYS_FAILED] = "error"};

struct keys;

struct asked {
	struct keys *keys;
	const struct config_arc_key *key;
	enum keys_published published;
	bool finding;
	char reason[160];
};

struct keys {
	const char *config_path;
	const char *zone[MAX_ZONES];
	size_t n_zones;
	int64_t now;
	bool check;
	struct config *config;
	struct asked asked[LIMIT_ARC_KEYS];
	struct event_base *base;
	size_t open;
	bool finding;
};

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "posternctl keys: %s: %s\n", what, why);
	return CLI_USAGE;
}

static int options(struct keys *k, int argc, char **argv)
{
	static const struct option opts[] = {
		{"config", 1, 0, 'c'}, {"dns-zone", 1, 0, 'z'}, {"now", 1, 0, 'n'}, {0}};
	int o;

	optind = 1;
	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (o) {
		case 'c':
			k->config_path = optarg;
			break;
		case 'n':
			if (!look_now("keys", optarg, &k->now))
				return CLI_USAGE;
			break;
		case 'z':
			if (k->n_zones == MAX_ZONES)
				return complain("--dns-zone", "too many");
			k->zone[k->n_zones++] = optarg;
			break;
		default:
			return CLI_USAGE;
		}
	}
	return CLI_OK;
}

static int load(struct keys *k)
{
	struct config_error err[MAX_ERRORS];
	size_t n = 0;
	int rc = config_load(k->config_path, 1, &k->config, err, MAX_ERRORS, &n);

	for (size_t i = 0; i < n && i < MAX_ERRORS; i++)
		fprintf(stderr, "%s:%u: %s: %s\n", err[i].file, err[i].line, err[i].key,
			err[i].reason);
	return rc ? CLI_USAGE : CLI_OK;
}

/* ---- DNS ------------------------------------------------------------------------------------- */

enum keys_published keys_published(const struct arc_key *key, const struct dns_answer *answer,
				   char *why, size_t cap)
{
	uint8_t text[8192];
	size_t fit = 0;

	why[0] = '\0';
	if (answer->status == DNS_TEMPFAIL || answer->status == DNS_BOGUS) {
		snprintf(why, cap, "%s", answer->reason);
		return KEYS_FAILED;
	}
	if (answer->status != DNS_OK || !answer->n) {
		snprintf(why, cap, "there is no TXT record");
		return KEYS_MISSING;
	}
	for (size_t i = 0; i < answer->n; i++) {
		long n = dns_txt(&answer->rr[i], text, sizeof(text));

		fit += arc_key_fits(key, n < 0 ? STR_NONE : str_make(text, (size_t)n), why, cap);
	}
	if (answer->n == 1) {
		if (fit)
			why[0] = '\0';
		return fit ? KEYS_OK : KEYS_DIFFERS;
	}
	/* RFC 6376 3.6.2.2: undefined */
	snprintf(why, cap, fit ? "there are several records, and verifiers may take another one"
			       : "there are several records, none of them of this key");
	return KEYS_DIFFERS;
}

static void on_answer(void *arg, const struct dns_answer *answer)
{
	struct asked *a = arg;

	a->published = keys_published(a->key->key, answer, a->reason, sizeof(a->reason));
	/* The record of a key whose time is over may be gone. */
	a->finding = a->published != KEYS_OK &&
		     !(a->published == KEYS_MISSING && a->key->active_until <= a->keys->now);
	a->keys->finding |= a->finding;
	if (!--a->keys->open)
		event_base_loopbreak(a->keys->base);
}

static int ask(struct keys *k)
{
	struct dns_options opt = k->config->dns;
	char err[256] = "", name[LIMIT_DNS_NAME + 1];
	struct dns *dns;

	if (k->n_zones) {
		opt.zone_file = k->zone;
		opt.n_zone_files = k->n_zones;
	}
	k->base = event_base_new();
	dns = k->base ? dns_new(k->base, &opt, err, sizeof(err)) : NULL;
	if (!dns) {
		if (k->base)
			event_base_free(k->base);
		return complain("dns", err);
	}
	for (size_t i = 0; i < k->config->arc.n_keys; i++) {
		struct asked *a = &k->asked[i];

		snprintf(name, sizeof(name), "%s._domainkey.%s", a->key->selector, a->key->domain);
		if (dns_resolve(dns, str_c(name), DNS_TXT, on_answer, a)) {
			k->open++;
		} else {
			a->published = KEYS_FAILED;
			snprintf(a->reason, sizeof(a->reason), "out of memory");
		}
	}
	if (k->open)
		event_base_dispatch(k->base);
	dns_free(dns);
	event_base_free(k->base);
	return CLI_OK;
}

/* ---- what is told ---------------------------------------------------------------------------- */

static const char *state(const struct keys *k, const struct config_arc_key *key)
{
	for (size_t i = 0; i < k->config->n_routes; i++)
		if (k->config->route[i].arc_seal != ARC_SEAL_NEVER &&
		    config_arc_key_at(&k->config->route[i], k->now) == key)
			return "signing";
	return key->active_until <= k->now ? "past"
	       : key->active_from > k->now ? "future"
					   : "active";
}

static json_t *day(int64_t t, int64_t open)
{
	time_t seconds = (time_t)t;
	struct tm tm;
	char buf[32];

	if (t == open || !gmtime_r(&seconds, &tm) || !strftime(buf, sizeof(buf), "%Y-%m-%d", &tm))
		return json_null();
	return json_string(buf);
}

static json_t *key_json(const struct keys *k, const struct asked *a)
{
	const struct config_arc_key *key = a->key;
	char record[ARC_KEY_RECORD] = "";
	json_t *o;

	if (arc_key_record(key->key, record, sizeof(record)) < 0)
		record[0] = '\0';
	/* The last day is told as it was given. */
	o = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:o, s:o, s:s}", "name", key->name, "domain",
		      key->domain, "selector", key->selector, "type",
		      arc_key_is_ed25519(key->key) ? "ed25519" : "rsa", "bits",
		      (int)arc_key_bits(key->key), "state", state(k, key), "active_from",
		      day(key->active_from, 0), "active_until",
		      key->active_until == INT64_MAX ? json_null() : day(key->active_until - 1, -1),
		      "record", record);
	if (a->published != KEYS_NOT_ASKED) {
		json_object_set_new(o, "published", json_string(published_word[a->published]));
		json_object_set_new(o, "reason", json_string(a->reason));
	}
	return o;
}

static json_t *routes_json(struct keys *k)
{
	static const char *const word[] = {[ARC_SEAL_NEVER] = "never",
					   [ARC_SEAL_MODIFIED] = "modified",
					   [ARC_SEAL_ALWAYS] = "always"};
	json_t *list = json_array();

	for (size_t i = 0; i < k->config->n_routes; i++) {
		const struct config_route *r = &k->config->route[i];
		const struct config_arc_key *key = config_arc_key_at(r, k->now);

		if (r->arc_seal == ARC_SEAL_NEVER)
			continue;
		k->finding |= k->check && !key;
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s?}", "route", r->name, "arc_seal",
						word[r->arc_seal], "key", key ? key->name : NULL));
	}
	return list;
}

static void print_key(const json_t *o)
{
	const char *from = show_text(o, "active_from"), *until = show_text(o, "active_until");

	printf("%s: %s, %s of %d bits%s%s%s%s\n", show_text(o, "name"), show_text(o, "state"),
	       show_text(o, "type"), (int)json_integer_value(json_object_get(o, "bits")),
	       from[0] ? ", from " : "", from, until[0] ? ", until " : "", until);
	if (json_object_get(o, "published"))
		printf("\t%s._domainkey.%s %s%s%s\n", show_text(o, "selector"), show_text(o, "domain"),
		       show_text(o, "published"), show_text(o, "reason")[0] ? ": " : "", show_text(o, "reason"));
	else
		keys_print_record(show_text(o, "selector"), show_text(o, "domain"), show_text(o, "record"));
}

static void print_all(const struct cli *cli, const struct keys *k, json_t *o)
{
	json_t *item;
	size_t i;

	if (cli->json) {
		json_object_set_new(o, "schema", json_string("postern.keys.1"));
		print_json(o);
		return;
	}
	if (!k->config->arc.n_keys)
		printf("%s: no keys: nothing is sealed\n", k->config_path);
	json_array_foreach(json_object_get(o, "keys"), i, item) print_key(item);
	json_array_foreach(json_object_get(o, "routes"), i, item) printf(
		"route %s: arc-seal = %s, %s%s\n", show_text(item, "route"), show_text(item, "arc_seal"),
		show_text(item, "key")[0] ? "signs with " : "no key is active today", show_text(item, "key"));
}

static int list(const struct cli *cli, struct keys *k)
{
	json_t *keys = json_array(), *routes, *o;
	int rc = CLI_OK;

	for (size_t i = 0; i < k->config->arc.n_keys; i++)
		k->asked[i] = (struct asked){.keys = k, .key = &k->config->arc.key[i]};
	if (k->check)
		rc = ask(k);
	for (size_t i = 0; !rc && i < k->config->arc.n_keys; i++)
		json_array_append_new(keys, key_json(k, &k->asked[i]));
	if (rc) {
		json_decref(keys);
		return rc;
	}
	routes = routes_json(k);
	o = json_pack("{s:b, s:o, s:o}", "ok", !k->finding, "keys", keys, "routes", routes);
	print_all(cli, k, o);
	json_decref(o);
	return k->finding ? CLI_FINDING : CLI_OK;
}

void keys_print_record(const char *selector, const char *domain, const char *record)
{
	struct str rest = str_c(record);

	printf("%s._domainkey.%s. IN TXT (", selector, domain);
	for (; rest.n; rest = str_skip(rest, 255))
		printf("\n\t\"%.*s\"", STR_FMT(str_cut(rest, 255)));
	printf(" )\n");
}

int cmd_keys(const struct cli *cli, int argc, char **argv)
{
	struct keys *k;
	int rc;

	if (!strcmp(argv[0], "generate"))
		return keys_generate(cli, argc, argv);
	k = calloc(1, sizeof(*k));
	if (!k)
		return complain("start", "out of memory");
	k->config_path = "/etc/postern/postern.conf";
	k->now = time(NULL);
	k->check = !strcmp(argv[0], "check");
	rc = options(k, argc, argv);
	if (!rc)
		rc = load(k);
	if (!rc)
		rc = list(cli, k);
	config_unref(k->config);
	free(k);
	return rc;
}
