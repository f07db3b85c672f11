/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* `posternctl doctor`: is our side fit for a cloud behind a route, what is to be set over there,
 * and did a message that arrived there fare as it should? */

#include "control/cli/verify.h"

#define DOCTOR_EGRESS    16
#define DOCTOR_USERS     64
#define DOCTOR_FILES     64
#define DOCTOR_LOOKED_AT 16 /* addresses of a network whose PTR and SPF are asked for */

struct doctor {
	struct look look; /* resolver, zone files, now */
	enum arrived_side side;
	const char *route_name, *config_path, *connectors;
	const char *user[DOCTOR_USERS], *file[DOCTOR_FILES];
	size_t n_users, n_files;
	/* Addresses from which the cloud sees us connect. */
	struct ip_range egress[DOCTOR_EGRESS];
	size_t n_egress;
	bool egress_given; /* by --egress */

	struct config *config;
	const struct config_route *route;
	bool has_client_name;
	char client_name[256]; /* of our certificate, for the connector */
	struct findings findings;
};

/* "192.0.2.1", "192.0.2.0/24" where it is a network, else "192.0.2.1-192.0.2.9"; buf >= 96. */
const char *doctor_range(const struct ip_range *range, char *buf, size_t cap);
/* The fewest networks that hold exactly these addresses, at most `cap`; how many there are (which
 * may be more than cap). The prefix is of the address' own family. */
struct doctor_net {
	struct ip_addr addr;
	unsigned int prefix;
};
size_t doctor_networks(const struct ip_range *range, struct doctor_net *out, size_t cap);

/* Domains of the provider's front doors, NULL-terminated. */
const char *const *doctor_doors(enum arrived_side side);
bool doctor_is_door(enum arrived_side side, const char *host);

/* doctor_dns.c: waits for the answer. */
void doctor_ask(struct look *l, const char *name, uint16_t type, dns_callback *cb, void *arg);
void doctor_ask_ptr(struct look *l, const struct ip_addr *ip, struct ptr_result *out);
/* Up to cap IPv4 addresses of the host; *status says why there are none. */
size_t doctor_addresses(struct look *l, const char *host, struct ip_addr *out, size_t cap,
			enum dns_status *status);

/* doctor_setup.c: may the cloud be told to skip this range of a relay? Not if it is private, of a
 * cloud that all its tenants send from, or (Exchange) IPv6. */
bool doctor_listable(const struct doctor *d, const struct origin_relay *relay,
		     const struct ip_range *r);
/* Each adds what it found to d->findings. */
void doctor_egress(struct doctor *d);      /* doctor_egress.c: address, PTR, SPF */
void doctor_egress_find(struct doctor *d); /* fills egress, silently */
void doctor_hosts(struct doctor *d); /* doctor_dns.c: next hops, MX of the domains, sealer key */
void doctor_keys(struct doctor *d);
void doctor_tls(struct doctor *d); /* doctor_tls.c; fills client_name */
void doctor_hidden(struct doctor *d);
void doctor_relays(struct doctor *d); /* doctor_setup.c: what cannot be listed over there */
/* doctor_connectors.c: what the tenant has. CLI_OK, or CLI_USAGE having said why on stderr. */
int doctor_connectors(struct doctor *d);

/* doctor_setup.c: what is to be set over there, as JSON: {"kind", "lines"[]} or Gmail's settings.
 * New reference. */
json_t *doctor_setup(const struct doctor *d);
void doctor_setup_print(const json_t *setup);
/* doctor_quote.c: any octets as one PowerShell argument that is that string and nothing else.
 * Length without the NUL, or -ENOSPC. */
long doctor_quote(struct str s, char *out, size_t cap);
/* The deceptive or invisible code point at or behind s.p[*at], or -1; *at is its place. */
long doctor_deceptive(struct str s, size_t *at);
