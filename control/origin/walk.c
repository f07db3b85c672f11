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
	const struct origin_relays *relays;
	const struct headers *h;
	struct origin *o;
	size_t cap;
	size_t next;              /* field from which the next Received is looked for */
	struct received line;     /* the last one read; points into scratch */
	long line_field;
	bool utf8;                /* the message is SMTPUTF8 */
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

static const struct origin_relay *relay_of(const struct origin_relays *relays,
					   const struct ip_addr *ip)
{
	for (size_t i = 0; i < relays->n; i++)
		for (size_t k = 0; k < relays->relay[i].n_nets; k++)
			if (ip_in_net(ip, &relays->relay[i].net[k]))
				return &relays->relay[i];
	return NULL;
}

/* Text that may be shown: printable ASCII without white space, or "". */
static void copy_word(char *out, size_t cap, struct str s)
{
	out[0] = '\0';
	if (s.n >= cap)
		return;
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_vchar(s.p[i]))
			return;
	if (s.n)
		memcpy(out, s.p, s.n);
	out[s.n] = '\0';
}

static int add_hop(struct walk *w, const struct ip_addr *ip, struct str helo, struct str by,
		   const struct origin_relay *relay, long field)
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
	*hop = (struct origin_hop){.ip = *ip, .relay = relay ? relay->name : NULL, .field = field};
	copy_word(hop->helo, sizeof(hop->helo), helo);
	copy_word(hop->by, sizeof(hop->by), by);
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
	note(w, "stopped: %.140s", w->o->reason);
}

static bool by_fits(const struct origin_relay *relay, struct str by)
{
	if (by.n && by.p[by.n - 1] == '.')
		by.n--;
	for (size_t i = 0; i < relay->n_by; i++) {
		struct str want = str_c(relay->by[i]);

		if (want.n && want.p[0] == '.')
			want = str_skip(want, 1);
		if (want.n && str_iends(by, want) &&
		    (by.n == want.n || by.p[by.n - want.n - 1] == '.'))
			return true;
	}
	return relay->n_by == 0;
}

/* Reads the next Received line into w->line. False with *why. */
static bool next_line(struct walk *w, const char **why)
{
	size_t i = headers_find(w->h, STR("Received"), w->next);

	if (i >= w->h->n) {
		*why = "no Received line left";
		return false;
	}
	w->next = i + 1;
	w->line_field = (long)i;
	/* RFC 6532: an SMTPUTF8 message may have UTF-8 in a line; the reader says where. */
	if (w->h->field[i].flags & (HEADER_F_NUL | HEADER_F_BARE | HEADER_F_SPACE_COLON |
				    (w->utf8 ? 0 : HEADER_F_8BIT))) {
		*why = "octets that no relay writes";
		return false;
	}
	return received_parse_strict(header_value(w->h, i), w->scratch, sizeof(w->scratch),
				     &w->line, why) == 0;
}

/* Reads the lines that `relay` adds. True: w->line says who handed it the mail. */
static bool relay_lines(struct walk *w, const struct origin_relay *relay)
{
	unsigned int hops = relay->hops ? relay->hops : 1;
	const char *why = "";

	for (unsigned int k = 0; k < hops; k++) {
		const struct origin_relay *inner;

		if (!next_line(w, &why)) {
			unresolved(w, "line of relay %.60s: %s", relay->name, why);
			return false;
		}
		if (!by_fits(relay, w->line.by)) {
			unresolved(w, "line of relay %.60s: by does not fit", relay->name);
			return false;
		}
		if (k + 1 == hops)
			break;
		/* A line between the relay's own parts speaks of the relay or of a private address.
		 */
		inner = relay_of(w->relays, &w->line.ip);
		if (inner != relay && !ip_is_private(&w->line.ip)) {
			unresolved(w, "line of relay %.60s: inner hop from outside", relay->name);
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

static int walk_on(struct walk *w, const struct origin_relay *relay, bool allow_private)
{
	int rc;

	while (relay) {
		note(w, "listed: relay %.100s", relay->name);
		if (w->o->n_hops == ORIGIN_MAX_HOPS) {
			unresolved(w, "more than %d hops", ORIGIN_MAX_HOPS);
			return 0;
		}
		if (!relay_lines(w, relay))
			return 0;
		relay = relay_of(w->relays, &w->line.ip);
		rc = add_hop(w, &w->line.ip, w->line.helo, w->line.by, relay, w->line_field);
		if (rc)
			return rc;
		/*
		 * A private address is a machine of the relay's network or a NAT that hides the sender;
		 * only a list can tell. What it wrote about a listed relay proves nothing: behind a NAT
		 * anybody may have written it.
		 */
		if (!relay && ip_is_private(&w->line.ip) && !allow_private) {
			unresolved(w, "private address behind the relay, not listed");
			return 0;
		}
	}
	note(w, "stopped: not listed, the sender");
	found(w, ORIGIN_VIA);
	return 0;
}

int origin_walk(const struct origin_relays *relays, const struct mail_envelope *env,
		const struct headers *h, bool allow_private, struct origin *out)
{
	const struct origin_relay *listed = relay_of(relays, &env->peer);
	const char *unproven = listed ? origin_tls_problem(listed, env) : NULL;
	const struct origin_relay *relay = unproven ? NULL : listed;
	struct walk *w = calloc(1, sizeof(*w));
	int rc = -ENOMEM;

	*out = (struct origin){.ip = env->peer};
	if (!w)
		return -ENOMEM;
	w->relays = relays;
	w->h = h;
	w->o = out;
	w->line_field = -1;
	w->utf8 = env->smtputf8;
	rc = add_hop(w, &env->peer, env->helo, STR_NONE, relay, -1);
	if (rc)
		goto out;
	if (relay) {
		snprintf(out->via, sizeof(out->via), "%s", relay->name);
		rc = walk_on(w, relay, allow_private);
	} else if (unproven && !listed->unproven_direct) {
		/* The next hop skips this address: it would believe what an impostor wrote below. */
		unresolved(w, "address of relay %.60s, but %.80s", listed->name, unproven);
	} else if (ip_is_private(&env->peer) && !allow_private) {
		out->status = ORIGIN_PRIVATE_PEER;
		snprintf(out->reason, sizeof(out->reason), "private address that is not listed");
		note(w, "stopped: %s", out->reason);
	} else {
		note(w, "stopped: not listed, the sender");
		found(w, ORIGIN_DIRECT);
	}
	out->unproven = unproven != NULL;
	if (unproven && out->status != ORIGIN_UNRESOLVED) {
		note(w, "stopped: address of relay %.60s, but %s", listed->name, unproven);
	}
out:
	free(w);
	if (rc)
		origin_free(out);
	return rc;
}

void origin_free(struct origin *o)
{
	free(o->hop);
	o->hop = NULL;
	o->n_hops = 0;
}
