/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/origin/relays.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/origin/received_lenient.h"

struct text {
	FILE *f;
	char *p;
	size_t n;
};

struct hop {
	const struct ip_addr *ip;
	struct str rdns, helo, by, id, with;
	struct str envfrom;
	bool internal;
};

/* A word as it may stand in a block: what would end the word or the block is a "_". */
static void word(FILE *f, const char *name, struct str s)
{
	fprintf(f, "%s=", name);
	for (size_t i = 0; i < s.n && i < 512; i++)
		fputc(s.p[i] > ' ' && s.p[i] < 0x7f && s.p[i] != '[' && s.p[i] != ']' ? s.p[i] : '_', f);
	fputc(' ', f);
}

/* RFC 3848: "ESMTPA", "ESMTPSA", "LMTPA", ... say that the client authenticated. */
static struct str auth_of(struct str with)
{
	size_t n = str_find(with, ' ');

	with = str_cut(with, n);
	return with.n > 4 && (with.p[with.n - 1] | 0x20) == 'a' && str_ieq(str_cut(with, 5), STR("esmtp"))
		       ? with : STR("");
}

static void block(FILE *f, const struct hop *h)
{
	char ip[64];

	fputs(ftell(f) > 0 ? " [ " : "[ ", f);
	word(f, "ip", str_c(ip_format(h->ip, ip, sizeof(ip))));
	word(f, "rdns", h->rdns);
	word(f, "helo", h->helo);
	word(f, "by", h->by);
	fputs("ident= ", f);
	word(f, "envfrom", h->envfrom);
	fprintf(f, "intl=%d ", h->internal);
	word(f, "id", h->id);
	word(f, "auth", auth_of(h->with));
	fputs("msa=0 ]", f);
}

static void walked(const struct origin *o, const struct mail_envelope *env, struct str own,
		   struct str rdns, FILE *trusted, FILE *untrusted)
{
	for (size_t i = 0; i < o->n_hops; i++) {
		const struct origin_hop *w = &o->hop[i];
		struct hop h = {.ip = &w->ip, .helo = str_c(w->helo), .by = str_c(w->by),
				.rdns = str_c(w->rdns), .id = str_c(w->id), .with = str_c(w->with),
				.internal = w->relay != NULL};

		if (i == 0) {
			h.by = own;
			h.rdns = rdns;
			h.envfrom = env->mail_from;
		}
		block(w->relay ? trusted : untrusted, &h);
	}
}

static bool is_loopback(const struct ip_addr *ip)
{
	static const uint8_t v6[16] = {[15] = 1};

	return ip_is_v4(ip) ? ip->a[12] == 127 : !memcmp(ip->a, v6, sizeof(v6));
}

static void untrusted_from(struct relays_text *out, size_t field)
{
	if (out->first_untrusted != SIZE_MAX)
		return;
	out->first_untrusted = field;
	out->end_trusted = field + 1;
}

/* What is written below the walk. Where that has met relays only, as in SpamAssassin hops inside of one machine belong
 * to them; the first other one is a stranger, and so are all below. */
static void below(const struct headers *h, size_t from, struct relays_text *out, FILE *trusted,
		  FILE *untrusted)
{
	uint8_t scratch[4096];
	unsigned int n = 0;

	for (size_t i = headers_find(h, STR("received"), from); i < h->n && n < RELAYS_HOPS;
	     i = headers_find(h, STR("received"), i + 1)) {
		struct received r;
		struct hop hop;
		const char *why;

		if (received_parse_lenient(header_value(h, i), scratch, sizeof(scratch), &r, &why))
			continue;
		if (!is_loopback(&r.ip))
			untrusted_from(out, i);
		hop = (struct hop){.ip = &r.ip, .rdns = r.rdns, .helo = r.helo, .by = r.by, .id = r.id,
				   .with = r.with, .internal = out->first_untrusted == SIZE_MAX};
		block(hop.internal ? trusted : untrusted, &hop);
		n++;
	}
}

int relays_make(const struct origin *o, const struct mail_envelope *env, const struct headers *h,
		struct str own, struct str rdns, struct relays_text *out)
{
	struct relays_text where = {.first_untrusted = SIZE_MAX};
	struct text t = {0}, u = {0};
	size_t from = 0;

	*out = (struct relays_text){0};
	t.f = open_memstream(&t.p, &t.n);
	u.f = open_memstream(&u.p, &u.n);
	if (t.f && u.f) {
		walked(o, env, own, rdns, t.f, u.f);
		for (size_t i = 0; i < o->n_hops; i++) {
			if (o->hop[i].field >= 0)
				from = (size_t)o->hop[i].field + 1;
			if (!o->hop[i].relay && o->hop[i].field >= 0)
				untrusted_from(&where, (size_t)o->hop[i].field);
			else if (!o->hop[i].relay)
				where.first_untrusted = 0; /* who connected: all is a stranger's */
		}
		below(h, from, &where, t.f, u.f);
	}
	if (t.f && fclose(t.f))
		t.f = NULL;
	if (u.f && fclose(u.f))
		u.f = NULL;
	if (!t.f || !u.f) {
		free(t.p);
		free(u.p);
		return -ENOMEM;
	}
	if (where.first_untrusted == SIZE_MAX)
		where.first_untrusted = where.end_trusted = h->n;
	where.trusted = t.p;
	where.untrusted = u.p;
	*out = where;
	return 0;
}

void relays_free(struct relays_text *r)
{
	free(r->trusted);
	free(r->untrusted);
	*r = (struct relays_text){0};
}
