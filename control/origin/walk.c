/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/origin/origin.h"
#include "postern/limits.h"

#define SCRATCH 8192 /* a Received field longer than this is nobody's honest one */

_Static_assert(ORIGIN_MAX_HOPS == LIMIT_RECEIVED_HOPS, "RFC 5321 6.3");

struct walk {
	const struct origin_request *req;
	struct origin *o;
	size_t cap;
	size_t next;              /* field from which the next Received is looked for */
	struct received line;     /* the last one read; points into scratch */
	long line_field;
	char unproven[192];       /* why the last hop is not the relay at whose address it is */
	char chain[64];           /* what the note of the first hop says of its chain field */
	uint8_t scratch[SCRATCH];
};

const char *origin_status_name(enum origin_status s)
{
	switch (s) {
	case ORIGIN_DIRECT:
		return "direct";
	case ORIGIN_VIA:
		return "via";
	case ORIGIN_PRIVATE_PEER:
		return "private-peer";
	case ORIGIN_UNRESOLVED:
		break;
	}
	return "unresolved";
}

const struct origin_relay *origin_relay_of(const struct origin_relays *relays,
					   const struct ip_addr *ip)
{
	for (size_t i = 0; i < relays->n; i++)
		for (size_t k = 0; k < relays->relay[i].n_ranges; k++)
			if (ip_in_range(ip, &relays->relay[i].range[k]))
				return &relays->relay[i];
	return NULL;
}

/* Text that may be shown: printable ASCII, or "". */
static void copy_text(char *out, size_t cap, struct str s)
{
	out[0] = '\0';
	if (s.n >= cap)
		return;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_vchar(s.p[i]) && s.p[i] != ' ')
			return;
	if (s.n)
		memcpy(out, s.p, s.n);
	out[s.n] = '\0';
}

static void copy_word(char *out, size_t cap, struct str s)
{
	copy_text(out, cap, str_find(s, ' ') == s.n ? s : STR_NONE);
}

/* `line`: what names the hop; its strings are copied. */
static int add_hop(struct walk *w, const struct received *line, const struct origin_relay *relay,
		   long field)
{
	struct origin *o = w->o;
	struct origin_hop *hop;

	if (o->n_hops == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 4;

		hop = realloc(o->hop, cap * sizeof(*hop));
		if (!hop)
			return -ENOMEM;
		o->hop = hop;
		w->cap = cap;
	}
	hop = &o->hop[o->n_hops++];
	*hop = (struct origin_hop){.ip = line->ip, .relay = relay ? relay->name : NULL, .field = field};
	copy_word(hop->helo, sizeof(hop->helo), line->helo);
	if (!hop->helo[0])
		percent_encode(line->helo, hop->helo_raw, sizeof(hop->helo_raw));
	copy_word(hop->rdns, sizeof(hop->rdns), line->rdns);
	copy_word(hop->by, sizeof(hop->by), line->by);
	copy_text(hop->with, sizeof(hop->with), line->with);
	copy_word(hop->id, sizeof(hop->id), line->id);
	copy_text(hop->date, sizeof(hop->date), line->date);
	return 0;
}

static struct origin_hop *last_hop(struct walk *w)
{
	return &w->o->hop[w->o->n_hops - 1];
}

static void __attribute__((format(printf, 2, 3))) note(struct walk *w, const char *fmt, ...)
{
	struct origin_hop *hop = last_hop(w);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(hop->note, sizeof(hop->note), fmt, ap);
	va_end(ap);
}

static void __attribute__((format(printf, 2, 3))) unresolved(struct walk *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->o->reason, sizeof(w->o->reason), fmt, ap);
	va_end(ap);
	w->o->status = ORIGIN_UNRESOLVED;
	note(w, "stopped: %s", w->o->reason);
}

static bool by_fits(const struct origin_relay *relay, struct str by)
{
	if (by.n && by.p[by.n - 1] == '.')
		by.n--;
	for (size_t i = 0; i < relay->n_by; i++)
		if (domain_is_in(by, str_c(relay->by[i])))
			return true;
	return relay->n_by == 0;
}

/* Reads the next Received line into w->line. False with *why. */
static bool next_line(struct walk *w, const char **why)
{
	size_t i = headers_find(w->req->headers, STR("Received"), w->next);

	if (i >= w->req->headers->n) {
		w->line_field = -1;
		*why = "no Received line left";
		return false;
	}
	w->next = i + 1;
	w->line_field = (long)i;
	/* RFC 6532: an SMTPUTF8 message may have UTF-8 in a line; the reader says where. */
	if (w->req->headers->field[i].flags &
	    (HEADER_F_NUL | HEADER_F_BARE | HEADER_F_SPACE_COLON |
	     (w->req->env->smtputf8 ? 0 : HEADER_F_8BIT))) {
		*why = "octets that no relay writes";
		return false;
	}
	return received_parse_strict(header_value(w->req->headers, i), w->scratch, sizeof(w->scratch),
				     &w->line, why) == 0;
}

/* Which line is meant, as path[].header in JSON counts. */
static const char *header_number(const struct walk *w, char buf[32])
{
	buf[0] = '\0';
	if (w->line_field >= 0)
		snprintf(buf, 32, " (header %ld)", w->line_field);
	return buf;
}

/* Reads the lines that `relay` adds. True: w->line says who handed it the mail. */
static bool relay_lines(struct walk *w, const struct origin_relay *relay)
{
	unsigned int hops = relay->hops ? relay->hops : 1;
	const char *why = "";
	char number[32];

	for (unsigned int k = 0; k < hops; k++) {
		const struct origin_relay *inner;

		if (!next_line(w, &why)) {
			unresolved(w, "line of relay %.60s%s: %s", relay->name,
				   header_number(w, number), why);
			return false;
		}
		if (!by_fits(relay, w->line.by)) {
			unresolved(w, "line of relay %.60s%s: by does not fit (%.*s)", relay->name,
				   header_number(w, number), STR_FMT(str_cut(w->line.by, 60)));
			return false;
		}
		if (k + 1 == hops)
			break;
		/* A line between the relay's own parts speaks of the relay or of a private address.
		 */
		inner = origin_relay_of(w->req->relays, &w->line.ip);
		if (inner != relay && !ip_is_private(&w->line.ip)) {
			unresolved(w, "line of relay %.60s%s: inner hop from outside", relay->name,
				   header_number(w, number));
			return false;
		}
	}
	return true;
}

static void found(struct walk *w, enum origin_status status)
{
	const struct origin_hop *hop = last_hop(w);

	w->o->status = status;
	w->o->ip = hop->ip;
	memcpy(w->o->helo, hop->helo, sizeof(w->o->helo));
}

/*
 * The relay at this hop's address, with the proofs that can be asked for: a certificate of the peer
 * alone, the tenant's header at every hop. *on: the walk goes on. NULL and *on: the sender is here.
 */
static const struct origin_relay *believed(struct walk *w, const struct ip_addr *ip, bool peer,
					   bool *on)
{
	const struct origin_relay *relay = origin_relay_of(w->req->relays, ip);
	const char *problem = NULL;

	*on = true;
	if (relay && peer)
		problem = origin_tls_problem(relay, w->req->env);
	if (relay && !problem)
		problem = origin_tenant_problem(relay, w->req->headers);
	if (!problem)
		return relay;
	w->o->unproven = true;
	/* The next hop skips this address: it would believe what an impostor wrote below. */
	*on = relay->unproven_direct;
	snprintf(w->unproven, sizeof(w->unproven), "address of relay %.60s, but %.90s", relay->name,
		 problem);
	return NULL;
}

/* The last hop is no relay, or proves not to be one. */
static void end(struct walk *w, bool on, enum origin_status status)
{
	const struct ip_addr *ip = &last_hop(w)->ip;

	if (!on) {
		unresolved(w, "%s", w->unproven);
	} else if (!ip_is_private(ip) || w->req->allow_private) {
		note(w, "stopped: %s, the sender", w->unproven[0] ? w->unproven : "not listed");
		found(w, status);
	} else if (status == ORIGIN_VIA) {
		/*
		 * A private address is a machine of the relay's network or a NAT that hides the sender;
		 * only a list can tell. What it wrote about a listed relay proves nothing: behind a NAT
		 * anybody may have written it.
		 */
		unresolved(w, "private address behind the relay, not listed");
	} else {
		w->o->status = ORIGIN_PRIVATE_PEER;
		snprintf(w->o->reason, sizeof(w->o->reason), "private address that is not listed");
		note(w, "stopped: %s", w->unproven[0] ? w->unproven : w->o->reason);
	}
}

static const char *proofs(const struct origin_relay *relay, bool peer)
{
	bool tls = peer && (relay->n_tls_names || relay->n_tls_sha256);

	if (relay->tenant_header)
		return tls ? ", by its certificate and its tenant's header" : ", by its tenant's header";
	return tls ? ", by its certificate" : "";
}

static int walk_on(struct walk *w, const struct origin_relay *relay)
{
	bool on = true;
	int rc;

	while (relay) {
		note(w, "listed: relay %.100s%s%s%s", relay->name, proofs(relay, w->o->n_hops == 1),
		     w->chain[0] ? "; " : "", w->chain);
		w->chain[0] = '\0';
		if (w->o->n_hops == ORIGIN_MAX_HOPS) {
			unresolved(w, "more than %d hops", ORIGIN_MAX_HOPS);
			return 0;
		}
		if (!relay_lines(w, relay))
			return 0;
		relay = believed(w, &w->line.ip, false, &on);
		rc = add_hop(w, &w->line, relay, w->line_field);
		if (rc)
			return rc;
	}
	end(w, on, ORIGIN_VIA);
	return 0;
}

/* What a chained instance proved takes the place of its lines. */
static int take_claim(struct walk *w, const struct origin_relay *relay)
{
	const struct chain_claim *c = w->req->claim;
	const struct received line = {.ip = c->facts.ip, .helo = str_c(c->facts.helo)};
	const struct origin_relay *again = origin_relay_of(w->req->relays, &line.ip);
	int rc;

	note(w, "listed: relay %.100s; its chain field holds (key %.63s, %llu s old)", relay->name,
	     c->key->name, (unsigned long long)c->age);
	rc = add_hop(w, &line, again, c->field);
	if (rc)
		return rc;
	/* The first instance does not list it and stopped: what it would write was not read. */
	if (again)
		unresolved(w, "the chained instance's sender is relay %.60s here", again->name);
	else
		end(w, true, ORIGIN_VIA);
	if (w->o->status == ORIGIN_VIA)
		note(w, "stopped: the chained instance's sender (%.71s)", c->facts.via);
	return 0;
}

static int from_relay(struct walk *w, const struct origin_relay *relay)
{
	const struct chain_claim *c = w->req->claim;
	struct origin *o = w->o;

	snprintf(o->via, sizeof(o->via), "%s", relay->name);
	if (!relay->n_chains)
		return walk_on(w, relay);
	o->chain = c ? c->status : CHAIN_MISSING;
	if (c && c->key)
		snprintf(o->chain_key, sizeof(o->chain_key), "%s", c->key->name);
	if (o->chain == CHAIN_VERIFIED)
		return take_claim(w, relay);
	/* Configured, so whoever sends without it may be an impostor at this address. */
	if (!relay->chain_fallback) {
		unresolved(w, "chain field of relay %.60s: %s", relay->name,
			   chain_status_name(o->chain));
		return 0;
	}
	snprintf(w->chain, sizeof(w->chain), "chain field: %s, its line is believed",
		 chain_status_name(o->chain));
	return walk_on(w, relay);
}

int origin_find(const struct origin_request *req, struct origin *out)
{
	const struct received peer = {.ip = req->env->peer, .helo = req->env->helo};
	struct walk *w = calloc(1, sizeof(*w));
	const struct origin_relay *relay;
	int rc = -ENOMEM;
	bool on;

	*out = (struct origin){.ip = req->env->peer};
	if (!w)
		return -ENOMEM;
	w->req = req;
	w->o = out;
	w->line_field = -1;
	relay = believed(w, &peer.ip, true, &on);
	rc = add_hop(w, &peer, relay, -1);
	if (rc)
		goto out;
	if (relay)
		rc = from_relay(w, relay);
	else
		end(w, on, ORIGIN_DIRECT);
	if (!rc && out->status == ORIGIN_VIA) {
		origin_corroborate(req->relays, req->headers, out);
		origin_unwrap(req->relays, req->env->mail_from, out);
	}
out:
	free(w);
	if (rc)
		origin_free(out);
	return rc;
}

int origin_walk(const struct origin_relays *relays, const struct mail_envelope *env,
		const struct headers *h, bool allow_private, struct origin *out)
{
	const struct origin_request req = {relays, env, h, allow_private, NULL};

	return origin_find(&req, out);
}

void origin_free(struct origin *o)
{
	free(o->hop);
	o->hop = NULL;
	o->n_hops = 0;
}
