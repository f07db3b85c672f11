/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The address from which the cloud sees us connect: all that it knows us by, beside a certificate.
 */

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/cli/doctor.h"

#define V4_BITS 96 /* of the mapped form, before the address' own */

/* ---- ranges --------------------------------------------------------------------------------- */

static bool is_bit(const struct ip_addr *a, unsigned int bit)
{
	return a->a[bit / 8] & (0x80u >> bit % 8);
}

/* The last address of the network of this prefix (of 128) that begins with a. */
static struct ip_addr net_last(const struct ip_addr *a, unsigned int prefix)
{
	struct ip_addr last = *a;

	for (unsigned int bit = prefix; bit < 128; bit++)
		last.a[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
	return last;
}

static bool ip_next(struct ip_addr *a)
{
	for (size_t i = 16; i--;)
		if (++a->a[i])
			return true;
	return false;
}

size_t doctor_networks(const struct ip_range *range, struct doctor_net *out, size_t cap)
{
	unsigned int least = ip_is_v4(&range->first) ? V4_BITS : 0;
	struct ip_addr at = range->first, last;
	size_t n = 0;

	do {
		unsigned int prefix = 128;

		/* As large as its alignment and the end allow. */
		while (prefix > least && !is_bit(&at, prefix - 1)) {
			last = net_last(&at, prefix - 1);
			if (memcmp(&last, &range->last, sizeof(last)) > 0)
				break;
			prefix--;
		}
		if (n < cap)
			out[n] = (struct doctor_net){at, prefix - least};
		n++;
		at = net_last(&at, prefix);
	} while (memcmp(&at, &range->last, sizeof(at)) < 0 && ip_next(&at));
	return n;
}

const char *doctor_range(const struct ip_range *range, char *buf, size_t cap)
{
	struct doctor_net net;
	char a[46], b[46];

	ip_format(&range->first, a, sizeof(a));
	if (doctor_networks(range, &net, 1) > 1)
		snprintf(buf, cap, "%s-%s", a, ip_format(&range->last, b, sizeof(b)));
	else if (net.prefix == (ip_is_v4(&net.addr) ? 32u : 128u))
		snprintf(buf, cap, "%s", a);
	else
		snprintf(buf, cap, "%s/%u", a, net.prefix);
	return buf;
}

/* ---- which address -------------------------------------------------------------------------- */

/* The source that the kernel would choose towards an address: nothing is sent. */
static bool kernel_source(const struct ip_addr *to, struct ip_addr *out)
{
	struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(25)}, own;
	socklen_t len = sizeof(own);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok;

	memcpy(&peer.sin_addr, to->a + 12, 4);
	ok = fd >= 0 && !connect(fd, (struct sockaddr *)&peer, sizeof(peer)) &&
	     !getsockname(fd, (struct sockaddr *)&own, &len);
	if (ok) {
		*out = (struct ip_addr){{[10] = 0xff, [11] = 0xff}};
		memcpy(out->a + 12, &own.sin_addr, 4);
	}
	if (fd >= 0)
		close(fd);
	return ok;
}

void doctor_egress_find(struct doctor *d)
{
	const struct config_route *r = d->route;
	struct ip_addr ip, to;
	enum dns_status status;

	if (d->n_egress)
		return;
	if (r->has_source[0]) {
		ip = r->source[0];
	} else {
		/* Only a name is asked for: of MX records the route is the same. */
		bool known = r->n_hosts && r->host[0].is_ip && ip_is_v4(&r->host[0].ip);

		if (known)
			to = r->host[0].ip;
		else if (!r->n_hosts || r->host[0].is_ip ||
			 !doctor_addresses(&d->look, r->host[0].name, &to, 1, &status))
			return;
		if (!kernel_source(&to, &ip))
			return;
	}
	d->egress[0] = (struct ip_range){ip, ip};
	d->n_egress = 1;
}

static void check_address(struct doctor *d, const struct ip_range *range)
{
	struct findings *f = &d->findings;
	struct doctor_net net;
	size_t n = doctor_networks(range, &net, 1);
	char text[96];

	doctor_range(range, text, sizeof(text));
	if (!ip_is_v4(&range->first)) {
		findings_add(f, "egress", FINDINGS_FAIL,
			     "%s is IPv6: connectors and gateway lists know "
			     "IPv4 only, and IPv6 senders are judged by stricter rules",
			     text);
		findings_advise(f, "Leave family = v4 as the preset has it.");
	} else if (ip_is_private(&range->first) || ip_is_private(&range->last)) {
		findings_add(f, "egress", FINDINGS_FAIL,
			     "%s is private: a NAT stands between, and the "
			     "cloud sees its address",
			     text);
		findings_advise(f,
				"Give the public address by --egress. It must be of this gateway "
				"alone: who shares it may name any sender.");
	} else if (!d->egress_given && config_listener_of(d->config, &range->first)) {
		findings_add(f, "egress", FINDINGS_FAIL,
			     "%s is a listener's, which the dataplane has and the kernel has not: no "
			     "next hop is reached from it",
			     text);
		findings_advise(f, "Set source-address to an address of this machine itself, on another "
				   "port or another function of the NIC.");
	} else if (n > 1 || net.prefix < 24) {
		findings_add(f, "egress", FINDINGS_FAIL,
			     "%s: a connector takes single addresses and "
			     "networks of /24 to /32",
			     text);
	} else if (!d->egress_given && !d->route->has_source[0]) {
		findings_add(f, "egress", FINDINGS_WARNING, "%s is what the kernel chooses today",
			     text);
		findings_advise(
			f, "Set source-address of the route, so that another route or address of "
			   "this machine changes nothing.");
	} else {
		findings_add(f, "egress", FINDINGS_OK, "%s, IPv4%s", text,
			     d->egress_given ? ", as told by --egress" : ", by source-address");
	}
}

static void check_family(struct doctor *d)
{
	struct findings *f = &d->findings;

	if (d->route->family == FAMILY_V4)
		return;
	findings_add(f, "family", d->route->family == FAMILY_ANY ? FINDINGS_WARNING : FINDINGS_FAIL,
		     "the route connects by IPv6 %s: such mail comes from an address that is in no "
		     "list over there",
		     d->route->family == FAMILY_V6    ? "only"
		     : d->route->family == FAMILY_ANY ? "when IPv4 fails"
						      : "first");
	findings_advise(f, "family = v4; provider = %s does that.",
			d->side == ARRIVED_EXCHANGE ? "exchange-online" : "google-workspace");
}

/* ---- PTR and SPF ---------------------------------------------------------------------------- */

static void check_ptr(struct doctor *d, const struct ip_addr *ip, const char *text)
{
	struct findings *f = &d->findings;
	struct ptr_result r;

	doctor_ask_ptr(&d->look, ip, &r);
	if (r.status == PTR_OK && str_ieq(str_c(r.name), str_c(d->config->hostname))) {
		findings_add(f, "ptr", FINDINGS_OK, "%s is %.200s, and back", text, r.name);
	} else if (r.status == PTR_OK) {
		findings_add(f, "ptr", FINDINGS_WARNING,
			     "%s is %.200s, and back, but we say EHLO %.200s", text, r.name,
			     d->config->hostname);
		findings_advise(f, "Let the PTR record name the hostname of the configuration.");
	} else if (r.status == PTR_TEMPFAIL) {
		findings_add(f, "ptr", FINDINGS_UNKNOWN, "DNS does not answer for the PTR of %s",
			     text);
	} else {
		findings_add(f, "ptr", FINDINGS_FAIL,
			     r.status == PTR_NONE ? "%s has no PTR record"
						  : "the PTR record of %s names a host that does "
						    "not have that address",
			     text);
		findings_advise(f,
				"Whoever gave you the address sets its PTR: %s. Both clouds hold a "
				"missing one against a sender.",
				d->config->hostname);
	}
}

static void check_spf(struct doctor *d, const struct ip_addr *ip, const char *text)
{
	const struct spf_verdict *v = look_spf(&d->look, ip, d->config->hostname);
	struct findings *f = &d->findings;

	if (v->result == SPF_PASS) {
		findings_add(f, "spf", FINDINGS_OK, "%.200s permits %s (%s)", d->config->hostname,
			     text, v->mechanism);
	} else if (v->result == SPF_TEMPERROR) {
		findings_add(f, "spf", FINDINGS_UNKNOWN, "SPF of %.200s: %s", d->config->hostname,
			     v->reason);
	} else {
		findings_add(f, "spf",
			     v->result == SPF_NONE || v->result == SPF_NEUTRAL ? FINDINGS_WARNING
									       : FINDINGS_FAIL,
			     "SPF of our own name %.200s is %s for "
			     "%s%s%s",
			     d->config->hostname, spf_result_name(v->result), text,
			     v->reason[0] ? ": " : "", v->reason);
		findings_advise(f, "Publish a TXT record at %.200s: \"v=spf1 ip4:%s -all\".",
				d->config->hostname, text);
	}
}

void doctor_egress(struct doctor *d)
{
	char text[64];

	if (!d->n_egress) {
		findings_add(
			&d->findings, "egress", FINDINGS_UNKNOWN,
			"which address we connect from is "
			"not known: no source-address, and no next hop to which the kernel has a "
			"way");
		findings_advise(&d->findings,
				"Set source-address of the route, or name it by --egress.");
	}
	check_family(d);
	for (size_t i = 0; i < d->n_egress; i++) {
		struct ip_addr ip = d->egress[i].first;

		check_address(d, &d->egress[i]);
		if (!ip_is_v4(&ip) || ip_is_private(&ip))
			continue;
		for (size_t k = 0; k < DOCTOR_LOOKED_AT && ip_in_range(&ip, &d->egress[i]); k++) {
			ip_format(&ip, text, sizeof(text));
			check_ptr(d, &ip, text);
			check_spf(d, &ip, text);
			if (!ip_next(&ip))
				break;
		}
	}
}
