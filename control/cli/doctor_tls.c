/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* TLS of the route, the certificate that it shows, and what nobody sees in the names of the file.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "control/cli/doctor.h"
#include "control/config/config_settings.h"
#include "postern/limits.h"

#define DAY          86400
#define EXPIRES_SOON (30 * DAY)
#define MAX_HIDDEN   8 /* places that are told */

/* ---- the certificate ------------------------------------------------------------------------ */

static struct str asn1_text(const ASN1_STRING *s)
{
	int n = ASN1_STRING_length(s);

	return str_make(ASN1_STRING_get0_data(s), n > 0 ? (size_t)n : 0);
}

/* Names that nothing can be hidden in. */
static bool is_visible(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_vchar(s.p[i]))
			return false;
	return s.n > 0;
}

static void take_name(struct doctor *d, struct str name, char *list, size_t cap)
{
	char text[256];
	size_t n = strlen(list);

	if (!is_visible(name)) {
		findings_add(&d->findings, "hidden-unicode", FINDINGS_FAIL,
			     "the certificate has the name "
			     "\"%s\", with octets in it that are no visible ASCII",
			     look_clean(name, text, sizeof(text)));
		return;
	}
	snprintf(list + n, cap - n, "%s%.*s", n ? ", " : "", STR_FMT(name));
	if (name.n >= sizeof(d->client_name))
		return;
	/* The connector names one: ours, else the first. */
	if (!d->has_client_name || str_ieq(name, str_c(d->config->hostname)))
		(void)look_clean(name, d->client_name, sizeof(d->client_name));
	d->has_client_name = true;
}

static void take_names(struct doctor *d, X509 *x, char *list, size_t cap)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	X509_NAME *subject = X509_get_subject_name(x);
	int at;

	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);

		if (g->type == GEN_DNS)
			take_name(d, asn1_text(g->d.dNSName), list, cap);
	}
	at = d->has_client_name ? -1 : X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (at >= 0)
		take_name(d, asn1_text(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))),
			  list, cap);
	GENERAL_NAMES_free(names);
}

static void check_time(struct doctor *d, const struct config_certificate *c)
{
	struct findings *f = &d->findings;
	long long days = (long long)(c->not_after - d->look.now) / DAY;

	if (c->not_after <= d->look.now) {
		findings_add(f, "client-certificate", FINDINGS_FAIL,
			     "%.200s has expired: the connector "
			     "does not know us by it any more",
			     c->chain_file);
		findings_advise(f, "Renew it; posternctl config reload takes it over.");
	} else if (c->not_after - d->look.now < EXPIRES_SOON) {
		findings_add(f, "client-certificate", FINDINGS_WARNING,
			     "%.200s expires in %lld day(s)", c->chain_file, days);
	}
}

static void check_x509(struct doctor *d, X509 *x, const struct config_certificate *c)
{
	struct findings *f = &d->findings;
	char names[400] = "";

	take_names(d, x, names, sizeof(names));
	check_time(d, c);
	if (!d->has_client_name) {
		findings_add(f, "client-certificate", FINDINGS_FAIL,
			     "%.200s is of no DNS name that a "
			     "connector could be told",
			     c->chain_file);
		return;
	}
	if (!X509_check_purpose(x, X509_PURPOSE_SSL_CLIENT, 0)) {
		findings_add(f, "client-certificate", FINDINGS_WARNING,
			     "%.200s is not for TLS clients "
			     "(extended key usage): the other side may refuse it",
			     c->chain_file);
		findings_advise(
			f, "Ask the CA for clientAuth, or have the connector know us by address.");
	}
	if (!X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x))) {
		findings_add(f, "client-certificate", FINDINGS_WARNING,
			     "%.200s is self-signed: a "
			     "connector wants one of a public CA",
			     c->chain_file);
	}
	findings_add(f, "client-certificate", FINDINGS_OK,
		     "%.200s is of %.300s, and the key belongs to it", c->chain_file, names);
}

static void check_certificate(struct doctor *d)
{
	const struct config_certificate *c = &d->route->tls.certificate;
	BIO *bio;
	X509 *x;

	if (!c->chain.n) {
		findings_add(&d->findings, "client-certificate", FINDINGS_OK,
			     "none: the other side knows this gateway by its address alone");
		if (d->side == ARRIVED_EXCHANGE)
			findings_advise(&d->findings,
					"A certificate of a public CA (tls-certificate) "
					"outlives a change of addresses, and cannot be "
					"shared by accident.");
		return;
	}
	bio = BIO_new_mem_buf(c->chain.p, (int)c->chain.n);
	x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	if (x)
		check_x509(d, x, c);
	else
		findings_add(&d->findings, "client-certificate", FINDINGS_UNKNOWN,
			     "%.200s cannot be read", c->chain_file);
	X509_free(x);
	BIO_free(bio);
	ERR_clear_error();
}

void doctor_tls(struct doctor *d)
{
	static const char *const word[] = {TLS_POLICY_WORDS};
	enum config_tls_policy policy = d->route->tls.policy;
	struct findings *f = &d->findings;

	if (policy == TLS_POLICY_NONE) {
		findings_add(f, "tls", FINDINGS_FAIL,
			     "tls = none: mail goes to the cloud in clear, and no "
			     "connector that requires TLS takes it");
		findings_advise(f, "tls = verify, the preset of the provider.");
	} else if (policy == TLS_POLICY_MAY || policy == TLS_POLICY_DANE) {
		findings_add(f, "tls", FINDINGS_WARNING,
			     "tls = %s goes on in clear where TLS fails", word[policy]);
		findings_advise(f, "tls = verify, the preset of the provider.");
	} else if (policy == TLS_POLICY_ENCRYPT) {
		findings_add(f, "tls", FINDINGS_WARNING,
			     "tls = encrypt: whoever answers is not verified");
		findings_advise(f, "tls = verify, the preset of the provider.");
	} else {
		findings_add(f, "tls", FINDINGS_OK, "tls = %s", word[policy]);
	}
	check_certificate(d);
}

/* ---- what nobody sees ----------------------------------------------------------------------- */

/* In the files that it includes: by key. */
static size_t hidden_included(struct doctor *d)
{
	struct config_settings *s = NULL;
	size_t errors = 0, found = 0;

	if (config_settings_load(d->config_path, &s, NULL, 0, &errors))
		return 0;
	for (size_t i = 0; i < s->n && found < MAX_HIDDEN; i++) {
		size_t at = 0;
		long cp = doctor_deceptive(str_c(s->setting[i].value), &at);

		if (cp < 0)
			continue;
		found++;
		findings_add(&d->findings, "hidden-unicode", FINDINGS_FAIL,
			     "%.200s, of an included file, "
			     "has U+%04lX in it, which nobody sees",
			     s->setting[i].key, (unsigned long)cp);
		findings_advise(&d->findings, "Delete the word and type it anew.");
	}
	config_settings_unref(s);
	return found;
}

/*
 * In the file as it lies there, for what is read of it has lost them: IDNA maps some away, and a
 * name pasted from a web page then works here and not in the connector that got the same paste.
 */
void doctor_hidden(struct doctor *d)
{
	uint8_t *p = NULL;
	size_t n = 0, found = 0;
	FILE *f = fopen(d->config_path, "rb");
	long cp;

	p = f ? malloc(LIMIT_CONFIG_FILE) : NULL;
	n = p ? fread(p, 1, LIMIT_CONFIG_FILE, f) : 0;
	for (size_t at = 0; (cp = doctor_deceptive(str_make(p, n), &at)) >= 0; at++) {
		unsigned int line = 1, column = 1;

		if (found++ == MAX_HIDDEN)
			break;
		for (size_t i = 0; i < at; i++) {
			column = p[i] == '\n' ? 1 : column + ((p[i] & 0xc0) != 0x80);
			line += p[i] == '\n';
		}
		findings_add(&d->findings, "hidden-unicode", FINDINGS_FAIL,
			     "%.200s:%u: U+%04lX, which nobody sees, stands at column %u",
			     d->config_path, line, (unsigned long)cp, column);
		findings_advise(&d->findings,
				"Delete the word and type it anew; look for the same paste "
				"in the other side's settings.");
	}
	if (p && !found && !hidden_included(d))
		findings_add(&d->findings, "hidden-unicode", FINDINGS_OK, "%.200s has none",
			     d->config_path);
	if (f)
		fclose(f);
	free(p);
}
