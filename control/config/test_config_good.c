/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Each key of the table in a file that loads, without an error, and is what was read: its default or its
 * least, or what stands below. A new key that is neither a number, nor yes or no, nor a word needs a line here.
 * That bad values and typing errors are refused by the name of the key shows test_config_keys.c.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "control/config/config.h"
#include "control/config/config_settings.h"
#include "control/config/config_value.h"

#define HEX32 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define PEM                                                                                        \
	"[\"-----BEGIN PRIVATE KEY-----\", \"MC4CAQAwBQYDK2VwBCIEIAQFBgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\", " \
	"\"-----END PRIVATE KEY-----\"]"
#define DIALLED "route \"dial\" { to = \"dialled\"; xclient = yes }\n"
#define CABLE	"inline { server \"s\" { addresses = [\"192.0.2.80\"]; route = \"x\"; allow-clear = yes } }\n"
#define TLS	"tls { certificate \"c\" { chain = \"@/cert\"; key = \"@/key\" } }\n"
#define ARC	"arc { key \"k\" { domain = \"example.net\"; selector = \"s\"; pem = " PEM " } }\n"
#define CHAIN	"chain \"peer\" { key = \"" HEX32 "\" }\n"
#define HELD	"quarantine { directory = \"@/held\" }\n"

/* ---- what a section needs, and what stands around it ------------------------------------------- */

static const struct home {
	const char *section;
	const char *beside[4];       /* "key = value", left out where it is about that key */
	const char *outer;           /* in the section around */
	const char *whole;           /* at the top */
} homes[] = {
	{"", {"hostname = \"mx.example.net\""}, NULL, NULL},
	{"listener", {"port = 2", "address = [\"198.51.100.25/24\"]"}, NULL, NULL},
	{"inline", {"server \"y\" { addresses = [\"192.0.2.80\"]; mode = \"observe\" }"}, NULL, NULL},
	{"inline.server", {"addresses = [\"192.0.2.80\"]", "route = \"dial\"", "allow-clear = yes"}, NULL, DIALLED},
	{"route", {"domains = [\"example.org\"]", "hosts = [\"198.51.100.2\"]"}, NULL, NULL},
	{"route.hosts", {"host = \"198.51.100.2\""}, "domains = [\"example.org\"]", NULL},
	{"route.policy", {NULL}, "domains = [\"example.org\"]; hosts = [\"198.51.100.2\"]", NULL},
	{"relay", {"addresses = [\"203.0.113.0/24\"]"}, NULL, NULL},
	{"relay.tenant", {"header = \"X-OriginatorOrg\"", "values = \"example.org\""}, "addresses = [\"203.0.113.0/24\"]", NULL},
	{"trust", {"addresses = [\"203.0.113.0/24\"]"}, NULL, NULL},
	{"chain", {"key = \"" HEX32 "\""}, NULL, NULL},
	{"tls", {"certificate \"c\" { chain = \"@/cert\"; key = \"@/key\" }"}, NULL, NULL},
	{"tls.certificate", {"chain = \"@/cert\"", "key = \"@/key\""}, NULL, NULL},
	{"arc.key", {"domain = \"example.net\"", "selector = \"s\"", "pem = " PEM}, NULL, NULL},
	{"dnsbl", {"zone = \"bl.example.net\""}, NULL, NULL},
	{"list", {"file = \"@/domains\""}, NULL, NULL},
	{"attachment", {"extensions = [\"exe\"]"}, NULL, NULL},
	{"quarantine", {"directory = \"@/held\""}, NULL, NULL},
};

/* ---- what is neither number, yes or no, nor a word ---------------------------------------------- */

static const struct good {
	const char *key, *value;     /* NULL: as of the others, and beside something */
	const char *without;         /* of what the section needs */
	const char *beside, *whole;
} goods[] = {
	{"hostname", "\"mx2.example.net\"", NULL, NULL, NULL},
	{"authserv-id", "\"mx2.example.net\"", NULL, NULL, NULL},
	{"header-prefix", "\"X-Ours-4711\"", NULL, NULL, NULL},
	{"foreign-trust-headers", "[\"X-Cloud-\"]", NULL, NULL, NULL},
	{"relay-fault-codes", "[\"530\", \"5.7.51\", \"5.7.606-649\"]", NULL, NULL, NULL},
	{"in-doubt-file", "\"@/in-doubt\"", NULL, NULL, NULL},
	{"state-directory", "\"@/state\"", NULL, NULL, NULL},
	{"greylist-file", "\"@/greylist\"", NULL, NULL, NULL},
	{"dataplane.socket", "\"@/dataplane.sock\"", NULL, NULL, NULL},
	{"listener.port", "3", NULL, NULL, NULL},
	{"listener.address", "[\"198.51.100.26/24\", \"2001:db8::25/64\"]", NULL, NULL, NULL},
	{"inline.own-sources", "[\"198.51.100.0/24\", \"2001:db8::1\"]", NULL, NULL, NULL},
	{"inline.server.addresses", "[\"192.0.2.81\", \"2001:db8::80/124\"]", NULL, NULL, NULL},
	{"inline.server.route", "\"dial\"", NULL, NULL, NULL},
	{"inline.server.hostname", "\"mail.example.net\"", NULL, NULL, NULL},
	{"inline.server.allow-clear", "yes", NULL, NULL, NULL},
	{"route.domains", "[\"example.org\", \".example.org\"]", NULL, NULL, NULL},
	{"route.hosts", "[\"198.51.100.2\", \"hop.example.net:2525\", \"[2001:db8::2]:25\"]", NULL, NULL, NULL},
	{"route.mx", "yes", "hosts", NULL, NULL},
	{"route.transparent", "yes", "domains hosts", "to = \"dialled\"", CABLE},
	{"route.transparent-interface", "\"eth1\"", "domains hosts", "to = \"dialled\"; transparent = yes", CABLE},
	{"route.transparent-mark", "7", "domains hosts", "to = \"dialled\"; transparent = yes", CABLE},
	{"route.recipients", "\"@/recipients\"", NULL, "verify = \"list\"", NULL},
	{"route.recipients-delimiter", "\"+\"", NULL, "verify = \"list\"; recipients = \"@/recipients\"", NULL},
	{"route.recipients-case", "\"exact\"", NULL, "verify = \"list\"; recipients = \"@/recipients\"", NULL},
	{"route.source-address", "\"198.51.100.25\"", NULL, NULL, NULL},
	{"route.source-v4", "\"198.51.100.25\"", NULL, NULL, NULL},
	{"route.source-v6", "\"2001:db8::25\"", "hosts", "hosts = [\"hop.example.net\"]", NULL},
	{"route.chain", "\"peer\"", NULL, NULL, CHAIN},
	{"route.header-prefix", "\"X-Office-4711\"", NULL, NULL, NULL},
	{"route.arc-domain", "\"example.net\"", NULL, "arc-seal = \"always\"", ARC},
	{"route.arc-keys", "[\"k\"]", NULL, "arc-seal = \"always\"", ARC},
	{"route.arc-seal", "\"modified\"", NULL, NULL, ARC},
	{"route.tls-name", "[\"hop.example.net\"]", NULL, "tls = \"verify\"", NULL},
	{"route.tls-sni", "\"hop.example.net\"", NULL, NULL, NULL},
	{"route.tls-ca", "\"@/cert\"", NULL, "tls = \"verify\"; tls-name = [\"hop.example.net\"]", NULL},
	{"route.tls-min-version", "\"1.3\"", NULL, NULL, NULL},
	{"route.tls-certificate", "\"@/cert\"", NULL, "tls-key = \"@/key\"", NULL},
	{"route.tls-key", "\"@/key\"", NULL, "tls-certificate = \"@/cert\"", NULL},
	{"route.mta-sts", "yes", "hosts", "mx = yes", NULL},
	{"route.hosts.host", "\"hop.example.net\"", NULL, NULL, NULL},
	{"route.hosts.port", "2525", NULL, NULL, NULL},
	{"relay.addresses", "[\"203.0.113.4\", \"203.0.113.8/29\", \"203.0.113.20-203.0.113.29\"]", NULL, NULL, NULL},
	{"relay.by", "[\"relay.example.net\"]", NULL, NULL, NULL},
	{"relay.tls-name", "[\"relay.example.net\", \".relays.example.net\"]", NULL, NULL,
	 "tls { certificate \"c\" { chain = \"@/cert\"; key = \"@/key\" }; client-ca = \"@/cert\" }\n"},
	{"relay.tls-sha256", "\"" HEX32 "\"", NULL, NULL, TLS},
	{"relay.unproven", "\"direct\"", NULL, "tls-sha256 = \"" HEX32 "\"", TLS},
	{"relay.corroborate", "[\"X-IronPort-RemoteIP\"]", NULL, NULL, NULL},
	{"relay.srs-domains", "[\"example.net\"]", NULL, NULL, NULL},
	{"relay.chain", "\"peer\"", NULL, NULL, CHAIN},
	{"relay.chain-fallback", "yes", NULL, "chain = \"peer\"", CHAIN},
	{"relay.tenant.header", "\"X-Tenant\"", NULL, NULL, NULL},
	{"relay.tenant.values", "[\"a\", \"b\"]", NULL, NULL, NULL},
	{"trust.addresses", "[\"203.0.113.1\", \"2001:db8::/64\"]", NULL, "proxy = yes", NULL},
	{"trust.proxy", "yes", NULL, NULL, NULL},
	{"trust.xclient", "yes", NULL, NULL, NULL},
	{"chain.key", "\"" HEX32 "\"", NULL, NULL, NULL},
	{"chain.key-file", "\"@/chain-key\"", "key", NULL, NULL},
	{"tls.min-version", "\"1.3\"", NULL, NULL, NULL},
	{"tls.ciphers", "\"ECDHE-ECDSA-AES128-GCM-SHA256\"", NULL, NULL, NULL},
	{"tls.client-ca", "\"@/cert\"", NULL, NULL, NULL},
	{"tls.certificate.chain", "\"@/cert\"", NULL, NULL, NULL},
	{"tls.certificate.key", "\"@/key\"", NULL, NULL, NULL},
	{"arc.key.domain", "\"example.org\"", NULL, NULL, NULL},
	{"arc.key.selector", "\"s2026.mail\"", NULL, NULL, NULL},
	{"arc.key.file", "\"@/arc-key\"", "pem", NULL, NULL},
	{"arc.key.pem", PEM, NULL, NULL, NULL},
	{"arc.key.active-from", "\"2026-01-01\"", NULL, NULL, NULL},
	{"arc.key.active-until", "\"2026-12-31\"", NULL, NULL, NULL},
	{"dns.forwarders", "[\"192.0.2.53\", \"192.0.2.54@5353\"]", NULL, NULL, NULL},
	{"dns.stub", "\"example.org\" = \"192.0.2.53\"", NULL, NULL, NULL},
	{"dns.zone-files", "[\"@/zone\"]", NULL, NULL, NULL},
	{"dns.trust-anchor-file", "\"\"", NULL, NULL, NULL},
	{"rules.files", "[\"@/*.cf\"]", NULL, NULL, NULL},
	{"rules.cache", "\"@/cache\"", NULL, NULL, NULL},
	{"policy.allow-origins", "[\"203.0.113.0/24\"]", NULL, NULL, NULL},
	{"policy.deny-origins", "\"@/networks\"", NULL, NULL, NULL},
	{"policy.deny-senders", "[\"user@example.org\", \"@example.com\", \"@.example.net\"]", NULL, NULL, NULL},
	{"policy.allow-domains", "[\"example.org\", \".example.net\"]", NULL, NULL, NULL},
	{"policy.deny-domains", "\"@/domains\"", NULL, NULL, NULL},
	{"policy.deny-action", "\"discard\"", NULL, "deny-domains = [\"bad.example\"]", NULL},
	{"policy.allow-skips", "[\"score\", \"rules\"]", NULL, "allow-domains = [\"good.example\"]", NULL},
	{"policy.greylist-delay", NULL, NULL, "greylist = yes", NULL},
	{"policy.greylist-window", NULL, NULL, "greylist = yes", NULL},
	{"policy.greylist-lifetime", NULL, NULL, "greylist = yes", NULL},
	{"policy.greylist-prefix-v4", NULL, NULL, "greylist = yes", NULL},
	{"policy.greylist-prefix-v6", NULL, NULL, "greylist = yes", NULL},
	{"policy.dkim-missing", NULL, NULL, "dkim-required = \"passing\"", NULL},
	{"policy.quarantine-score", "7", NULL, NULL, HELD},
	{"policy.quarantine-mailbox", "\"held@example.com\"", NULL, NULL, NULL},
	{"policy.quarantine-route", "\"b\"", NULL, "quarantine-mailbox = \"held@example.com\"", NULL},
	{"policy.dmarc-quarantine", "\"quarantine\"", NULL, NULL, HELD},
	{"policy.trusted-sealers", "[\"example.org\"]", NULL, NULL, NULL},
	{"policy.trusted-forwarders", "[\"example.org\"]", NULL, NULL, NULL},
	{"policy.protected-domains", "[\"example.com\"]", NULL, NULL, NULL},
	{"policy.deny", "[\"203.0.113.0/24\"]", NULL, NULL, NULL},
	{"policy.allow", "[\"203.0.113.1\"]", NULL, NULL, NULL},
	{"dnsbl.zone", "\"list.example.org\"", NULL, NULL, NULL},
	{"dnsbl.answers", "[\"127.0.0.2\", \"127.0.0.8/29\", \"127.0.*.4-7\"]", NULL, NULL, NULL},
	{"dnsbl.reply", "\"See https://example.org/\"", NULL, "action = \"reject\"", NULL},
	{"list.file", "\"@/hashes\"", NULL, "kind = \"sha256\"", NULL},
	{"list.describe", "\"Known bad\"", NULL, NULL, NULL},
	{"attachment.extensions", "[\"exe\", \"js\"]", NULL, NULL, NULL},
	{"attachment.names", "[\"invoice*.js\"]", NULL, NULL, NULL},
	{"attachment.contents", "[\"exe\", \"lnk\"]", NULL, NULL, NULL},
	{"attachment.types", "[\"application/x-*\"]", NULL, NULL, NULL},
	{"attachment.hashes", "\"@/hashes\"", NULL, NULL, NULL},
	{"attachment.describe", "\"A program\"", NULL, NULL, NULL},
	{"quarantine.directory", "\"@/held\"", NULL, NULL, NULL},
	{"tap.ports", "[25, 587]", NULL, NULL, NULL},
	{"tap.journal-route", "\"b\"", NULL, "journal-mailbox = \"j@example.com\"", NULL},
	{"tap.journal-mailbox", "\"j@example.com\"", NULL, "journal-route = \"b\"", NULL},
	{"texts.banner", "\"No unsolicited mail\"", NULL, NULL, NULL},
	{"texts.help", "\"https://example.net/help\"", NULL, NULL, NULL},
	{"texts.contact", "\"postmaster@example.net\"", NULL, NULL, NULL},
	{"trace.file", "\"@/trace.jsonl\"", NULL, NULL, NULL},
	{"trace.index", "\"none\"", NULL, NULL, NULL},
	{"metrics.listen", "\"[::1]:9154\"", NULL, NULL, NULL},
	{"api.socket", "\"@/control.sock\"", NULL, NULL, NULL},
};

/* ---- files that they name ------------------------------------------------------------------------ */

static char dir[64];

static void write_file(const char *name, const char *text)
{
	char p[128];
	FILE *f;

	snprintf(p, sizeof(p), "%s/%s", dir, name);
	f = fopen(p, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void write_certificate(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	char p[128];
	FILE *f;

	X509_set_version(x, 2);
	X509_gmtime_adj(X509_getm_notBefore(x), -1000);
	X509_gmtime_adj(X509_getm_notAfter(x), 1000);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"mx.example.net",
				   -1, -1, 0);
	X509_set_pubkey(x, key);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	snprintf(p, sizeof(p), "%s/cert", dir);
	f = fopen(p, "w");
	PEM_write_X509(f, x);
	fclose(f);
	snprintf(p, sizeof(p), "%s/key", dir);
	f = fopen(p, "w");
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
}

static int setup(void **state)
{
	(void)state;
	umask(077); /* what is secret must not be for others to read */
	strcpy(dir, "/tmp/postern-config-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	write_certificate();
	write_file("recipients", "user@example.org\n");
	write_file("domains", "bad.example\n");
	write_file("networks", "203.0.113.0/24\n");
	write_file("hashes", HEX32 "\n");
	write_file("chain-key", HEX32 "\n");
	write_file("zone", "$ORIGIN example.org.\n@ 60 IN SOA ns hostmaster 1 2 3 4 5\n");
	write_file("a.cf", "body A /a/\n");
	write_file("arc-key", "-----BEGIN PRIVATE KEY-----\n"
			      "MC4CAQAwBQYDK2VwBCIEIAQFBgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
			      "-----END PRIVATE KEY-----\n");
	return 0;
}

static int teardown(void **state)
{
	static const char *const name[] = {"cert", "key", "recipients", "domains", "networks", "hashes", "chain-key",
					   "zone", "a.cf", "arc-key"};
	char p[128];

	(void)state;
	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		snprintf(p, sizeof(p), "%s/%s", dir, name[i]);
		unlink(p);
	}
	return rmdir(dir);
}

/* ---- a file for a key -------------------------------------------------------------------------------- */

static void put(char *out, size_t cap, const char *text)
{
	size_t n = strlen(out);

	for (; *text && n + sizeof(dir) < cap; text++)
		if (*text == '@' && text[1] == '/')
			n += (size_t)snprintf(out + n, cap - n, "%s", dir);
		else
			out[n++] = *text;
	out[n] = '\0';
}

/* "key = ..." of that name. */
static bool is_of(const char *statement, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(statement, name, n) && statement[n] == ' ';
}

static bool is_left_out(const char *statement, const struct good *g, const char *key)
{
	char word[64];

	snprintf(word, sizeof(word), "%.*s", (int)strcspn(statement, " "), statement);
	return is_of(statement, key) || (g && g->without && strstr(g->without, word));
}

static const struct home *home_of(const char *section)
{
	static const struct home none;

	for (size_t i = 0; i < sizeof(homes) / sizeof(homes[0]); i++)
		if (!strcmp(homes[i].section, section))
			return &homes[i];
	return &none;
}

static const struct good *good_of(const char *key)
{
	for (size_t i = 0; i < sizeof(goods) / sizeof(goods[0]); i++)
		if (!strcmp(goods[i].key, key))
			return &goods[i];
	return NULL;
}

/* Opens the section, part by part; close: what ends it. */
static void open_section(const char *section, const char *outer, char *out, size_t cap, char close[32])
{
	const struct config_section_info *s;
	char part[64], sub[160], text[400];

	close[0] = '\0';
	for (size_t n, at = 0; section[at]; at += n + (section[at + n] == '.')) {
		const struct config_info *info;
		bool last;

		n = strcspn(section + at, ".");
		last = !section[at + n];
		snprintf(part, sizeof(part), "%.*s", (int)n, section + at);
		snprintf(sub, sizeof(sub), "%.*s", (int)(at + n), section);
		info = config_key_find(sub, &s);
		assert_non_null(info);
		snprintf(text, sizeof(text), info->type == KEY_OTHER ? "%s = [ {" : info->type == KEY_NAMED ? "%s \"x\" {"
												  : "%s {", part);
		if (last && at && outer) {
			put(out, cap, outer);
			put(out, cap, "; ");
		}
		put(out, cap, text);
		memmove(close + 1 + (info->type == KEY_OTHER), close, strlen(close) + 1);
		memcpy(close, "}]", 1u + (info->type == KEY_OTHER));
	}
}

static void compose(const struct config_section_info *s, const char *key, const char *value, const struct good *g, char *out,
		    size_t cap)
{
	static const char *const top[] = {"hostname = \"mx.example.net\"\n",
					  "listener \"a\" { port = 0; address = [\"192.0.2.25/24\"] }\n",
					  "route \"b\" { domains = [\"example.com\"]; hosts = [\"198.51.100.1\"] }\n"};
	const struct home *h = home_of(s->path);
	char close[32];

	out[0] = '\0';
	for (size_t i = 0; i < 3; i++)
		if (s->path[0] || !is_of(top[i], key))
			put(out, cap, top[i]);
	put(out, cap, h->whole ? h->whole : "");
	put(out, cap, g && g->whole ? g->whole : "");
	open_section(s->path, h->outer, out, cap, close);
	for (size_t i = 0; i < 4 && h->beside[i] && s->path[0]; i++)
		if (!is_left_out(h->beside[i], g, key)) {
			put(out, cap, h->beside[i]);
			put(out, cap, "\n");
		}
	put(out, cap, g && g->beside ? g->beside : "");
	put(out, cap, "\n");
	put(out, cap, key);
	put(out, cap, !strcmp(key, "stub") ? " " : " = ");
	put(out, cap, value);
	put(out, cap, "\n");
	put(out, cap, close);
	put(out, cap, "\n");
}

/* What a key without a line above takes. NULL: it needs one. */
static const char *simple_value(const struct config_info *k, char *out, size_t cap)
{
	if (k->type <= KEY_NUMBER)
		return config_number_text(k->type, k->has_number ? k->number : k->min, out, cap);
	if (k->type == KEY_BOOL)
		return k->def && !strcmp(k->def, "no") ? "no" : "yes";
	if (k->type != KEY_CHOICE)
		return NULL;
	snprintf(out, cap, "\"%s\"", k->def);
	return out;
}

static void loads(const struct config_section_info *s, const struct config_info *k)
{
	char path[160], text[4096], number[64];
	const struct config_settings *set;
	struct config_error err[4] = {{.line = 0}};
	struct config *c = NULL;
	const struct good *g;
	const char *value;
	bool said = false;
	size_t n = 0;

	config_key_path(s, k, path, sizeof(path));
	g = good_of(strncmp(path, "route.policy.", 13) ? path : path + 6);
	value = g && g->value ? g->value : simple_value(k, number, sizeof(number));
	if (!value)
		fail_msg("%s: no good value is known here", path);
	compose(s, k->name, value, g, text, sizeof(text));
	config_parse("test.conf", text, strlen(text), 1, &c, err, 4, &n);
	if (n)
		fail_msg("%s: %s: %s\n%s", path, err[0].key, err[0].reason, text);
	assert_non_null(c);
	/* And it is what was read, not something beside it. */
	set = config_settings(c);
	for (size_t i = 0; i < set->n; i++)
		said |= set->setting[i].info == k;
	if (!said && strcmp(s->path, "route.hosts"))
		fail_msg("%s: it is not in what was read", path);
	config_unref(c);
}

static void each_key_loads(void **state)
{
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < n_config_sections; i++)
		for (size_t k = 0; k < config_sections[i]->n; k++) {
			const struct config_section_info *s = config_sections[i];
			const struct config_info *info = &s->key[k];

			/* Sections are proven by their keys. */
			if (!config_key_is_of(s, info) || info->type == KEY_SECTION ||
			    (info->type == KEY_NAMED && !info->form))
				continue;
			loads(s, info);
			n++;
		}
	assert_true(n > 250);
}

/* Each line above is of a key that there is. */
static void no_line_is_stale(void **state)
{
	const struct config_section_info *s;

	(void)state;
	for (size_t i = 0; i < sizeof(goods) / sizeof(goods[0]); i++)
		if (!config_key_find(goods[i].key, &s))
			fail_msg("%s is no key", goods[i].key);
	for (size_t i = 0; i < sizeof(homes) / sizeof(homes[0]); i++)
		assert_non_null(config_section_info(homes[i].section));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_key_loads), cmocka_unit_test(no_line_is_stale)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
