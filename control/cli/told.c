/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/auth/authres/authres_parse.h"
#include "control/cli/told.h"

#define MAX_VALUE 65536 /* LIMIT_HEADER_FIELD; a longer one is said to be unreadable */

static const char *const authres_name[] = {
	"Authentication-Results", "X-MS-Exchange-Authentication-Results",
	"ARC-Authentication-Results", "Authentication-Results-Original",
	"X-Original-Authentication-Results"};

static void copy(char *out, size_t cap, struct str s)
{
	if (s.n)
		(void)look_clean(s, out, cap);
}

/* Microsoft and Google write the address into the comment: its first word that is one. */
static bool ip_in_text(struct str s, struct ip_addr *out)
{
	while (s.n) {
		size_t n = 0;

		while (n < s.n && (ascii_hex(s.p[n]) >= 0 || s.p[n] == '.' || s.p[n] == ':'))
			n++;
		if (n >= 3) {
			struct str word = str_cut(s, n);

			while (word.n && (word.p[word.n - 1] == '.' || word.p[word.n - 1] == ':'))
				word.n--;
			if (ip_parse(word, out))
				return true;
		}
		/* Only a whole word is an address. */
		while (n < s.n && (ascii_is_alnum(s.p[n]) || s.p[n] == '-' || s.p[n] == '_'))
			n++;
		s = str_skip(s, n ? n : 1);
	}
	return false;
}

static void take_spf(const struct authres *a, const struct authres_resinfo *r, struct told *t)
{
	struct str who = authres_prop(a, r, "smtp", "mailfrom");

	/* Of two, the first is MAIL FROM's. */
	if (t->spf[0])
		return;
	copy(t->spf, sizeof(t->spf), r->result);
	copy(t->mail_from, sizeof(t->mail_from), who.n ? who : authres_prop(a, r, "smtp", "helo"));
	t->has_ip = ip_parse(authres_prop(a, r, "smtp", "remote-ip"), &t->ip) ||
		    ip_in_text(r->comment, &t->ip);
}

static void take_dkim(const struct authres *a, const struct authres_resinfo *r, struct told *t)
{
	struct str d = authres_prop(a, r, "header", "d");

	if (t->n_dkim == TOLD_DKIM)
		return;
	if (!d.n)
		d = mailbox_domain(authres_prop(a, r, "header", "i"));
	copy(t->dkim[t->n_dkim].result, sizeof(t->dkim[0].result), r->result);
	copy(t->dkim[t->n_dkim].domain, sizeof(t->dkim[0].domain), d);
	t->n_dkim++;
}

/* "pass (0 oda=1 ltdi=1 ...)" */
static void take_oda(struct str comment, struct told *t)
{
	for (size_t i = 0; i + 4 < comment.n && !t->has_oda; i++) {
		const uint8_t *p = comment.p + i;

		t->has_oda = !memcmp(p, "oda=", 4) && (p[4] == '0' || p[4] == '1') &&
			     (!i || ascii_is_wsp_crlf(p[-1]));
		t->oda = t->has_oda && p[4] == '1';
	}
}

static void take_result(const struct authres *a, const struct authres_resinfo *r, struct told *t)
{
	if (str_ieq(r->method, STR("spf"))) {
		take_spf(a, r, t);
	} else if (str_ieq(r->method, STR("dkim"))) {
		take_dkim(a, r, t);
	} else if (str_ieq(r->method, STR("dmarc"))) {
		copy(t->dmarc, sizeof(t->dmarc), r->result);
		copy(t->from, sizeof(t->from), authres_prop(a, r, "header", "from"));
	} else if (str_ieq(r->method, STR("arc"))) {
		copy(t->arc, sizeof(t->arc), r->result);
		take_oda(r->comment, t);
	} else if (str_ieq(r->method, STR("compauth"))) {
		copy(t->compauth, sizeof(t->compauth), r->result);
		copy(t->compauth_reason, sizeof(t->compauth_reason), r->reason);
	} else if (str_ieq(r->method, STR("iprev")) && !t->has_ip) {
		t->has_ip = ip_parse(authres_prop(a, r, "policy", "iprev"), &t->ip) ||
			    ip_parse(authres_prop(a, r, "smtp", "remote-ip"), &t->ip);
	}
}

static void read_authres(struct str value, bool aar, struct told *t)
{
	struct authres *a = malloc(sizeof(*a));
	uint8_t *scratch = malloc(value.n + 1);

	if (aar)
		value = authres_instance(value, &t->instance);
	if (!a || !scratch || value.n > MAX_VALUE) {
		snprintf(t->error, sizeof(t->error), "too long");
	} else if (authres_parse(value, AUTHRES_AS_FOUND, scratch, value.n, a)) {
		snprintf(t->error, sizeof(t->error), "%s, at octet %zu", a->error.what,
			 a->error.at);
	} else {
		copy(t->by, sizeof(t->by), a->authserv_id);
		for (unsigned int i = 0; i < a->n_results; i++)
			take_result(a, &a->results[i], t);
	}
	free(scratch);
	free(a);
}

/* The value of "key=" in the list behind the result of Received-SPF (RFC 7208 9.1). */
static struct str spf_key(struct str s, const char *key)
{
	struct str k = str_c(key);

	for (size_t i = 0; i + k.n < s.n; i++) {
		struct str v = str_skip(s, i + k.n);
		size_t n = 0;

		if (!str_istarts(str_skip(s, i), k) ||
		    (i && !ascii_is_wsp_crlf(s.p[i - 1]) && s.p[i - 1] != ';'))
			continue;
		if (v.p[0] == '"')
			return str_cut(str_skip(v, 1), str_find(str_skip(v, 1), '"'));
		while (n < v.n && !ascii_is_wsp_crlf(v.p[n]) && v.p[n] != ';')
			n++;
		return str_cut(v, n);
	}
	return STR_NONE;
}

static void read_received_spf(struct str value, struct told *t)
{
	struct str result = str_trim(value);
	size_t n = 0;

	while (n < result.n && ascii_is_alpha(result.p[n]))
		n++;
	if (!n) {
		snprintf(t->error, sizeof(t->error), "no result");
		return;
	}
	copy(t->spf, sizeof(t->spf), str_cut(result, n));
	for (char *p = t->spf; *p; p++)
		*p = (char)ascii_lower((uint8_t)*p);
	copy(t->by, sizeof(t->by), spf_key(value, "receiver="));
	copy(t->mail_from, sizeof(t->mail_from), spf_key(value, "envelope-from="));
	t->has_ip = ip_parse(spf_key(value, "client-ip="), &t->ip) || ip_in_text(value, &t->ip);
}

void told_read(const struct headers *h, struct told_list *out)
{
	out->n = 0;
	for (size_t i = 0; i < h->n && out->n < TOLD_MAX; i++) {
		struct told *t = &out->told[out->n];
		struct str name = header_name(h, i);

		*t = (struct told){.field = (long)i};
		for (size_t k = 0; k < sizeof(authres_name) / sizeof(authres_name[0]); k++)
			if (str_ieq(name, str_c(authres_name[k]))) {
				t->name = authres_name[k];
				read_authres(header_value(h, i), k == 2, t);
			}
		if (str_ieq(name, STR("Received-SPF"))) {
			t->name = "Received-SPF";
			read_received_spf(header_value(h, i), t);
		}
		out->n += t->name != NULL;
	}
}

const struct told *told_dkim(const struct told_list *list, const char *domain, const char *result,
			     const struct told *above)
{
	const struct told *found = NULL;

	for (size_t i = 0; i < list->n && &list->told[i] != above; i++) {
		const struct told *t = &list->told[i];

		for (size_t k = 0; k < t->n_dkim; k++)
			if (str_ieq(str_c(t->dkim[k].result), str_c(result)) &&
			    str_ieq(str_c(t->dkim[k].domain), str_c(domain)))
				found = t;
		if (found && !above)
			return found;
	}
	return found;
}

/* ---- output --------------------------------------------------------------------------------- */

static void __attribute__((format(printf, 3, 4)))
append(char *buf, size_t cap, const char *fmt, ...)
{
	size_t n = strlen(buf);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf + n, cap - n, fmt, ap);
	va_end(ap);
}

const char *told_text(const struct told *t, char *buf, size_t cap)
{
	char ip[64];

	buf[0] = '\0';
	if (t->error[0])
		append(buf, cap, "cannot be read: %s", t->error);
	if (t->spf[0])
		append(buf, cap, "spf %s", t->spf);
	if (t->has_ip)
		append(buf, cap, " (%s)", ip_format(&t->ip, ip, sizeof(ip)));
	for (size_t i = 0; i < t->n_dkim; i++)
		append(buf, cap, "%sdkim %s%s%s%s", buf[0] ? ", " : "", t->dkim[i].result,
		       t->dkim[i].domain[0] ? " (" : "", t->dkim[i].domain,
		       t->dkim[i].domain[0] ? ")" : "");
	if (t->dmarc[0])
		append(buf, cap, "%sdmarc %s%s%s%s", buf[0] ? ", " : "", t->dmarc,
		       t->from[0] ? " (" : "", t->from, t->from[0] ? ")" : "");
	if (t->arc[0])
		append(buf, cap, "%sarc %s", buf[0] ? ", " : "", t->arc);
	if (t->compauth[0])
		append(buf, cap, "%scompauth %s %s", buf[0] ? ", " : "", t->compauth,
		       t->compauth_reason);
	return buf;
}

static json_t *word(const char *s)
{
	return s[0] ? json_string(s) : json_null();
}

json_t *told_json(const struct told_list *list)
{
	json_t *a = json_array();
	char ip[64];

	for (size_t i = 0; i < list->n; i++) {
		const struct told *t = &list->told[i];
		json_t *dkim = json_array();

		for (size_t k = 0; k < t->n_dkim; k++)
			json_array_append_new(dkim,
					      json_pack("{s:s, s:s}", "result", t->dkim[k].result,
							"domain", t->dkim[k].domain));
		json_array_append_new(
			a,
			json_pack("{s:i, s:s, s:s, s:i, s:o, s:o, s:s?, s:s, s:o, s:o, s:s, s:o, "
				  "s:o, s:o}",
				  "header", (int)t->field, "name", t->name, "by", t->by, "instance",
				  (int)t->instance, "error", word(t->error), "spf", word(t->spf),
				  "ip", t->has_ip ? ip_format(&t->ip, ip, sizeof(ip)) : NULL,
				  "mail_from", t->mail_from, "dkim", dkim, "dmarc", word(t->dmarc),
				  "from", t->from, "arc", word(t->arc), "compauth",
				  word(t->compauth), "compauth_reason", word(t->compauth_reason)));
	}
	return a;
}
