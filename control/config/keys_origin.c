/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Keys about who sent a message, certificates and keys, and the DNS: relay, chain, trust, tls, arc,
 * dns. */

#include "control/config/config.h"
#include "control/config/keys_all.h"
#include "postern/limits.h"

static const char *const unproven_words[] = {"defer", "direct", NULL};
static const char *const cloud_words[] = {[CLOUD_NONE] = "none",
					  [CLOUD_MICROSOFT365] = "microsoft365",
					  [CLOUD_GOOGLE] = "google",
					  NULL};

static const struct config_info keys_relay[] = {
	{LIST("addresses", 1, LIMIT_CONFIG_LIST,
	      "addresses, networks or ranges (`192.0.2.1-192.0.2.9`), at most a /8 (IPv4) or /19 "
	      "(IPv6) each, networks without bits behind the prefix"),
	 .needed = "the addresses this relay connects from",
	 .text = "Private addresses of machines within the relay's network have to be listed too: "
		 "one that is not might as well be a NAT that hides the sender, and mail that came "
		 "through it is deferred (origin_unresolved)."},
	{LIST("by", 0, LIMIT_CONFIG_LIST, "domains"), .otherwise = "any",
	 .text = "What \"by\" of the relay's Received may end in."},
	{COUNT("hops", 1, 20, 1), .unit = "Received lines", .text = "That the relay adds."},
	{OF(OTHER, "tls-name"), .form = "name, or list of names; with a leading dot any name below",
	 .text = "Of the client certificate that the relay shows, `relay.example.net` or "
		 "`.relays.example.net`. The certificate must verify by `client-ca` of the `tls` "
		 "section, which is needed. The name of a certificate is the first DNS name in it, "
		 "else its CN; a wildcard is none."},
	{OF(OTHER, "tls-sha256"),
	 .form = "fingerprint, or list of them; 64 hexadecimal digits, with or without colons",
	 .text = "SHA-256 of the client certificate, as `openssl x509 -noout -fingerprint -sha256` "
		 "prints it. It may be of any CA, or signed by itself; the dataplane then asks "
		 "every client for a certificate, which none needs to have. Needs a `tls` "
		 "section."},
	{OF(SECTION, "tenant"),
	 .text = "The message must carry a header field exactly once, with one of some values. "
		 "Asked at every hop that is this relay; if it is not there, `unproven` decides. "
		 "For addresses from which others send as well."},
	{CHOICE("cloud", cloud_words, "none"),
	 .text = "The addresses are of this cloud, whose published ranges are known and need no "
		 "such word. A relay with an address of a cloud must have `tenant` and `tls-name` "
		 "(or `tls-sha256`), or the file is refused: any tenant of the cloud could say who "
		 "sent a message."},
	{CHOICE("unproven", unproven_words, "defer"),
	 .text = "`defer`: 451, for the next hop skips the relay's addresses and would take "
		 "whatever an impostor wrote below for the sender. `direct`: it is a peer like any "
		 "other and is judged as the sender. That is for addresses from which others send "
		 "as well, as a shared cloud; they must not stand in the next hop's list then. An "
		 "error where nothing is to be proven."},
	{LIST("corroborate", 0, LIMIT_CORROBORATE, "header field names, `X-IronPort-RemoteIP`"),
	 .text = "In which the relay says who connected to it. One that names nobody of the walk "
		 "is told and counted (origin_contradicted); it decides nothing."},
	{LIST("srs-domains", 1, LIMIT_CONFIG_LIST, "domains"), .otherwise = "those of `by`",
	 .text = "That the relay rewrites MAIL FROM to (SRS, BATV). Such an address of theirs or "
		 "below is read back, for the record alone."},
	{OF(OTHER, "chain"), .form = "name, or list of names, of `chain` sections",
	 .text = "The relay is another Postern that signs with one of these keys what it found, "
		 "and that is taken for the sender. What comes without a valid code is deferred "
		 "(origin_chain_failed). Not with `hops`."},
	{BOOL("chain-fallback", "no"),
	 .text = "Without a valid code the relay's Received is believed after all, while the other "
		 "instance is being set up."},
};

static const struct config_info keys_tenant[] = {
	{OF(STRING, "header"), .form = "a header field name",
	 .needed = "the header field that the tenant's mail carries",
	 .text = "For example `X-OriginatorOrg`."},
	{OF(OTHER, "values"), .form = "string, or list of up to 64", .needed = "what stands in it",
	 .text = "One of them, octet by octet."},
};

static const struct config_info keys_chain[] = {
	{OF(STRING, "key"), .flags = KEY_SECRET, .form = "32 to 256 octets as hexadecimal digits",
	 .text = "White space between them is ignored. This or `key-file` is required."},
	{OF(PATH, "key-file"), .text = "A file with such digits (openssl rand -hex 32), which "
				       "others must not be able to read."},
	{TIME("max-age", 10, LIMIT_CHAIN_AGE_S, DEFAULT_CHAIN_AGE_S),
	 .text = "A code that is older is not believed."},
};

static const struct config_info keys_trust[] = {
	{LIST("addresses", 1, LIMIT_CONFIG_LIST, "addresses or networks"),
	 .needed = "who may name another client than itself", .text = "Of these peers."},
	{BOOL("xclient", "no"), .text = "They are offered XCLIENT and may use it between messages; "
					"everybody else gets 550 5.7.0."},
	{BOOL("proxy", "no"),
	 .text = "Every connection of these peers begins with a PROXY header, version 1 or 2. One "
		 "that does not is cut, so a health check must send one too (LOCAL or UNKNOWN: the "
		 "connection is judged as the peer's own). From everybody else a header is not "
		 "believed."},
};

static const struct config_info keys_tls[] = {
	{OF(NAMED, "certificate"),
	 .needed = "at least one certificate \"NAME\" { chain = ... key = ... }",
	 .text = "An ECDSA and an RSA one may stand side by side. A reload takes renewed files "
		 "over."},
	{OF(STRING, "min-version"), .form = "`1.2` or `1.3`, in quotes", .def = "1.2",
	 .text = "The oldest TLS."},
	{OF(STRING, "ciphers"), .form = "OpenSSL's list of ciphers",
	 .otherwise = "those with forward secrecy", .text = "For TLS 1.2."},
	{OF(PATH, "client-ca"), .text = "PEM file of roots. With it every client is asked for a "
					"certificate, which none needs to have."},
};

static const struct config_info keys_certificate[] = {
	{OF(PATH, "chain"), .needed = "file of the certificate and those between it and the root",
	 .text = "PEM: the certificate with those between it and the root."},
	{OF(PATH, "key"), .needed = "file of its private key",
	 .text = "PEM, not encrypted: its private key."},
};

static const struct config_info keys_arc[] = {
	{OF(NAMED, "key"),
	 .needed = "at least one key \"NAME\" { domain = ... selector = ... file = ... }",
	 .text = "A key that seals, at most 64. Of those of a route the newest (by `active-from`) "
		 "that is active signs; without an active one its mail leaves unsealed and is "
		 "counted. Two that are equally new, and a time between two keys in which none is "
		 "active, are errors. `posternctl keys` shows states and records."},
};

static const struct config_info keys_arc_key[] = {
	{OF(DOMAIN, "domain"), .needed = "d= of the seals", .text = "d= of the seal, in A-labels."},
	{OF(STRING, "selector"), .form = "labels of letters, digits and hyphens, dots between them",
	 .needed = "s=, under which the public key is published",
	 .text = "The public key is published at SELECTOR._domainkey.DOMAIN. Two keys may share it "
		 "only at different times."},
	{OF(PATH, "file"),
	 .text = "The private key in PEM (PKCS#8 or PKCS#1, not encrypted): RSA of 2048 to 4096 "
		 "bits, or Ed25519. A file that others may read or write, or the group may write, "
		 "is refused. It is read again at each reload. This or `pem` is required."},
	{LIST("pem", 1, LIMIT_ARC_PEM_LINES, "the lines of the PEM"), .flags = KEY_SECRET,
	 .text = "The key itself instead. The file that says it may not be readable by others."},
	{OF(STRING, "active-from"), .form = "`YYYY-MM-DD`", .otherwise = "since always",
	 .text = "First day, in UTC, on which it signs. A key that is not active still tells our "
		 "own sets from forged ones."},
	{OF(STRING, "active-until"), .form = "`YYYY-MM-DD`", .otherwise = "for ever",
	 .text = "The last day."},
};

static const struct config_info keys_dns[] = {
	{LIST("forwarders", 0, 64, "addresses, `192.0.2.53` or `192.0.2.53@5353`"),
	 .flags = KEY_RESTART, .otherwise = "full recursion from the root",
	 .text = "Resolvers that are asked."},
	{OF(NAMED, "stub"), .form = "address of a server", .flags = KEY_RESTART,
	 .text = "Asks this server about the zone: `stub \"example.com\" = \"192.0.2.54\"`."},
	{LIST("zone-files", 0, 1000, "absolute paths"), .flags = KEY_RESTART,
	 .text = "That answer instead of the network. Excludes `forwarders` and `stub`."},
	{OF(PATH, "trust-anchor-file"), .flags = KEY_RESTART, .form = "or an empty string: none",
	 .text = "With it answers are validated by DNSSEC; without it they are not."},
	{KEY_NUMERIC(KEY_MILLIS, "timeout", 0.1, 60, 10), .flags = KEY_RESTART,
	 .text = "For an answer."},
};

#define SECTION(name_, path_, ...)                                                                 \
	const struct config_section_info section_##name_ = {.path = path_,                         \
							    .key = keys_##name_,                   \
							    .n = sizeof(keys_##name_) /            \
								 sizeof(keys_##name_[0]),          \
							    __VA_ARGS__}
#define keys_relay_tenant    keys_tenant
#define keys_tls_certificate keys_certificate

SECTION(relay, "relay",
	.about = "Relays in front of us whose Received lines are believed. The addresses of two "
		 "relays must not overlap.",
	.behind = "With `tls-name` or `tls-sha256`, or with one of both, a peer at one of the "
		  "addresses is this relay only if it shows such a certificate; otherwise "
		  "`unproven` says what becomes of its mail, the record says why, and "
		  "origin_unproven counts. Only the peer is asked, not a relay that another relay "
		  "names in its line, and never a client that was named by XCLIENT.");
SECTION(relay_tenant, "relay.tenant");
SECTION(chain, "chain",
	.about = "A key that two Posterns share, up to 16 of them. The `route` of the first names "
		 "it and the `relay` of the second. `header-prefix` must be the same at both. "
		 "docs/origin.md says what the code covers.");
SECTION(trust, "trust",
	.about = "Peers that may name another client than themselves. What they say is what is "
		 "judged, so list only hosts that are yours. The trust is of the TCP peer, never "
		 "of a client that it named. A section needs `xclient` or `proxy`.",
	.behind = "A peer of this list is greeted also from a private address; what it sends in "
		  "its own name meets `allow-private-peer` like everything else.");
SECTION(tls, "tls", .about = "STARTTLS for clients; without this section it is not offered.");
SECTION(tls_certificate, "tls.certificate");
SECTION(arc, "arc");
SECTION(arc_key, "arc.key");
SECTION(dns, "dns");
