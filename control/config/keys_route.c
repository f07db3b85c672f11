/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Keys of a route. */

#include "control/config/config.h"
#include "control/config/keys_all.h"
#include "postern/limits.h"

static const char *const provider_words[] = {[PROVIDER_SMTP] = "smtp",
					     [PROVIDER_EXCHANGE_ONLINE] = "exchange-online",
					     [PROVIDER_GOOGLE_WORKSPACE] = "google-workspace",
					     NULL};
static const char *const verify_words[] = {
	[VERIFY_CALLOUT] = "callout", [VERIFY_NONE] = "none", [VERIFY_LIST] = "list", NULL};
static const char *const proxy_words[] = {[PROXY_NONE] = "none", [PROXY_V2] = "v2", NULL};
static const char *const family_words[] = {[FAMILY_ANY] = "any",
					   [FAMILY_V4] = "v4",
					   [FAMILY_V6] = "v6",
					   [FAMILY_PREFER_V6] = "prefer-v6",
					   NULL};
static const char *const to_words[] = {"hosts", "dialled", NULL};
static const char *const case_words[] = {"ignore", "exact", NULL};
static const char *const literal_words[] = {"tagged", "plain", NULL};
static const char *const received_words[] = {"rfc5321", "exchange", NULL};
static const char *const foreign_words[] = {
	[FOREIGN_STRIP] = "strip", [FOREIGN_REJECT] = "reject", [FOREIGN_KEEP] = "keep", NULL};
static const char *const chunking_words[] = {"auto", "never", NULL};
static const char *const seal_words[] = {[ARC_SEAL_NEVER] = "never",
					 [ARC_SEAL_MODIFIED] = "modified",
					 [ARC_SEAL_ALWAYS] = "always",
					 NULL};
static const char *const eight_words[] = {"strict", "pass", NULL};
static const char *const tls_words[] = {TLS_POLICY_WORDS, NULL};

static const struct config_info keys_route[] = {
	{LIST("domains", 1, LIMIT_CONFIG_LIST,
	      "`example.com`, or `.example.com` for whatever lies below it"),
	 .otherwise = "needed, but with `to` = `dialled`",
	 .text = "Recipient domains. The most specific entry counts. An entry belongs to one "
		 "route."},
	{CHOICE("provider", provider_words, "smtp"),
	 .text = "Sets `family`, `tls`, `messages-per-connection`, `connection-age`, the names in "
		 "certificates and room for our header within the next hop's SIZE to what these "
		 "document. Other keys of the route say otherwise."},
	{OF(OTHER, "hosts"), .max = LIMIT_CONFIG_HOSTS,
	 .form = "list of 1 to 16: name, address, or either with :port (an IPv6 address with a "
		 "port in brackets); or of sections { `host` `port` `weight` `priority` }",
	 .text = "Next hops in the order in which they are tried; of sections the lowest priority "
		 "first, equals at random by weight. MX records are not looked up. Our own name "
		 "and addresses are refused."},
	{OF(OTHER, "mx"), .form = "yes, no or a domain", .otherwise = "no",
	 .text = "In place of `hosts`. `yes`: mail goes where the MX records of the recipient's "
		 "domain say; or the domain whose records count for all. We ourselves and what is "
		 "not better are dropped."},
	{CHOICE("to", to_words, "hosts"),
	 .text = "`dialled`, in place of `domains`, `hosts` and `mx`: the server of the `inline` "
		 "section that the client dialled, which says at RCPT whose mail it takes. It must "
		 "be told the client by `xclient` or `proxy`, or be shown it (`transparent`)."},
	{BOOL("transparent", "no"), .flags = KEY_RESTART,
	 .text = "Our connections come from the client's address (IP_TRANSPARENT). With `to` = "
		 "`dialled` only, without `xclient` and `proxy`. Needs CAP_NET_RAW, and the kernel's "
		 "routes of docs/inline.md."},
	{OF(STRING, "transparent-interface"), .form = "name of a network interface",
	 .otherwise = "as the kernel's routes say",
	 .text = "That such connections leave by (SO_BINDTODEVICE)."},
	{OF(COUNT, "transparent-mark"), .min = 1, .max = UINT32_MAX, .otherwise = "none", .unit = "mark",
	 .text = "Of the segments of such connections (SO_MARK)."},
	{COUNT("port", 1, 65535, 25), .unit = "TCP port",
	 .text = "Of hosts that name none, and of those that MX records name."},
	{CHOICE("family", family_words, "any"), .flags = KEY_PRESET,
	 .text = "Addresses of hosts: `any`, IPv4 first; `v4` or `v6` only; `prefer-v6`. With "
		 "`provider` `v4`."},
	{CHOICE("verify", verify_words, "callout"),
	 .text = "`callout` asks the next hop about each recipient at RCPT. `list` asks "
		 "`recipients`. `none` accepts at RCPT."},
	{OF(PATH, "recipients"), .text = "With `verify` = `list`: an address or @domain a line, up "
					 "to a million. Read with the configuration."},
	{CHOICE("recipients-case", case_words, "ignore"),
	 .text = "Does the case of local parts count?"},
	{OF(STRING, "recipients-delimiter"), .form = "one of `+` `-` `_` `=` `#` `.`",
	 .text = "What stands behind it in a local part does not count."},
	{BOOL("trust-rcpt", "yes"), .text = "`no` for a next hop that takes everybody at RCPT and "
					    "refuses behind DATA. Nothing is asked at RCPT then."},
	{BOOL("breaker", "yes"), .text = "Refusals that suddenly are far more than usual become "
					 "451 until `posternctl breaker ack`."},
	{COUNT("breaker-jump", 10, 100, 60), .unit = "percent",
	 .text = "How much of what is usually taken must be refused."},
	{COUNT("breaker-samples", 10, 100000, 50), .unit = "recipients",
	 .text = "Of how many at least; a fifth of it, and 10, of those known as good."},
	{TIME("breaker-window", 60, 86400, 600), .text = "Within which time."},
	{BOOL("overload", "yes"), .text = "New mail for a route that is slow or dead hears 451 "
					  "4.4.5 at RCPT, so that the others do not feel it."},
	{TIME("overload-wait", 1, 300, 5),
	 .text = "How long a message may have to wait for a connection."},
	{COUNT("overload-factor", 2, 100, 4), .unit = "times the usual",
	 .text = "A stage that takes so many times what is usual is slow."},
	{COUNT("max-outstanding", 0, LIMIT_ONWARD_WAITING, 0), .unit = "transactions",
	 .text = "Under way at once. 0: as many as the next hop gets through."},
	{COUNT("arena-share", 1, 100, 50), .unit = "percent",
	 .text = "Of the message memory that each of several routes may come to hold, and less "
		 "while others hold much."},
	{COUNT("max-connections", 1, 10000, 20), .unit = "connections",
	 .text = "At once to this route."},
	{COUNT("messages-per-connection", 0, 1000000, 100), .flags = KEY_PRESET, .unit = "messages",
	 .text = "0: no bound. With `provider` `exchange-online` 199."},
	{TIME("connection-age", 0, 86400, 0), .flags = KEY_PRESET,
	 .text = "Nothing begins on an older connection. 0: no bound. With `provider` "
		 "`exchange-online` 19 min."},
	{NUMBER("rate", 0, 100000, 0), .unit = "messages a second",
	 .text = "What comes faster waits. 0: no bound."},
	{TIME("queue-timeout", 1, 600, 60),
	 .text = "For which a message waits for a connection or its turn; then 451."},
	{SIZE("max-message", 0, 1u << 30, 0),
	 .text = "Octets that the next hop takes, at least 64 KiB. 0: as its SIZE says. More is "
		 "550 at RCPT if the client declares it, else 552."},
	{COUNT("max-recipients", 0, HANDOFF_MAX_RCPTS, 0), .unit = "recipients",
	 .text = "Of one transaction; each one more gets 452 4.5.3 and comes in another. 0: as "
		 "many as `limits` say. Less than 100 costs senders transactions (RFC 5321 "
		 "4.5.3.1.8)."},
	{TIME("idle-timeout", 0, 3600, 30), .text = "Of a pooled connection."},
	{TIME("connect-timeout", 1, 300, 10), .text = "For the connection to stand."},
	{TIME("command-timeout", 1, 600, 60), .text = "For replies before DATA."},
	{OF(STRING, "source-address"), .form = "an address",
	 .text = "That we connect from; `family` is its own then. One of the hosts must be of it, "
		 "or be given by name. The kernel must have the address: those of a `listener` are "
		 "the dataplane's alone."},
	{OF(STRING, "source-v4"), .form = "an IPv4 address",
	 .text = "The same, without setting `family`."},
	{OF(STRING, "source-v6"), .form = "an IPv6 address",
	 .text = "The same, without setting `family`."},
	{BOOL("xclient", "no"), .text = "Names the client to the next hop, so that it judges it; "
					"it must offer us XCLIENT."},
	{BOOL("xforward", "no"),
	 .text = "Names the client to the next hop for its log, if it offers XFORWARD."},
	{CHOICE("proxy", proxy_words, "none"),
	 .text = "`v2`: a PROXY header of version 2 begins each connection, which then carries one "
		 "client's mail only."},
	{OF(STRING, "chain"), .form = "the name of a `chain` section",
	 .text = "The next hop is another Postern, and the message tells it the sender, signed."},
	{CHOICE("v6-literal", literal_words, "tagged"),
	 .text = "IPv6 in Received: [IPv6:2001:db8::1] or, `plain`, [2001:db8::1]."},
	{CHOICE("received-format", received_words, "rfc5321"),
	 .text = "Our Received: from HELO (PTR [ADDRESS]); or, `exchange`, from HELO (ADDRESS), "
		 "where an IPv6 address has neither brackets nor tag. `v6-literal` must not stand "
		 "beside that."},
	{OF(STRING, "header-prefix"), .flags = KEY_SECRET, .otherwise = "the global one",
	 .form = "X- and letters, digits or hyphens, at most 40 characters in all",
	 .text = "For mail of this route; it may be a secret. Copies under either are removed."},
	{OF(BOOL, "received-spf"), .otherwise = "the global one",
	 .text = "For mail of this route."},
	{CHOICE("foreign-trust", foreign_words, "strip"),
	 .text = "Header fields that claim the next hop's own trust (`foreign-trust-headers`) on a "
		 "message of a peer that no relay lists: `strip` removes them; `reject` refuses "
		 "the message with 550 5.7.1; `keep` only tells and counts."},
	{CHOICE("chunking", chunking_words, "auto"),
	 .text = "`auto` hands content over by BDAT to a next hop that offers CHUNKING. `never` "
		 "uses DATA: for one that offers it and does not do it well. Content with bare "
		 "line feeds, which only BDAT can carry, is then refused with 550 5.6.11."},
	{CHOICE("8bit", eight_words, "strict"),
	 .text = "8-bit content for a next hop that does not offer 8BITMIME: `strict` refuses it "
		 "with 554 5.6.3; `pass` sends it as it is."},
	{OF(SECTION, "policy"),
	 .text = "What the section `policy` says, said otherwise for this route; all of its keys "
		 "but `allow-private-peer`, `deny` and `allow`. A list replaces the list."},
	{CHOICE("arc-seal", seal_words, "never"),
	 .text = "Whether mail of this route gets a set of ours (ARC, RFC 8617): `modified`: if "
		 "fields of the original are removed here. docs/authentication.md says when that "
		 "is of use."},
	{OF(DOMAIN, "arc-domain"), .otherwise = "that of the keys, if it is one",
	 .text = "Seals with the keys of this domain. Needed where there are keys of several."},
	{LIST("arc-keys", 1, LIMIT_ARC_KEYS, "names of keys of `arc`"),
	 .text = "The keys to seal with, in place of `arc-domain`."},
	{CHOICE("tls", tls_words, "may"), .flags = KEY_PRESET,
	 .text = "TLS to the next hop by STARTTLS: `none`; `may`, where it is offered and works, "
		 "else in clear; `encrypt`, always, with whomever; `verify`, always, and the "
		 "certificate must prove the name; `dane`, as the TLSA records of the host say, "
		 "without any as `may`; `dane-only`, nothing without them. With `provider` "
		 "`verify`. What fails is 451 and another address is tried, never a 5xx. For "
		 "`dane` the hosts have names and `dns` has a `trust-anchor-file`."},
	{LIST("tls-name", 1, LIMIT_TLS_NAMES, "host names"),
	 .otherwise = "with `provider` its domains and what is below them, else the host's name",
	 .text = "Names of which the certificate must have one, with `verify` only."},
	{OF(DOMAIN, "tls-sni"), .otherwise = "the host's name",
	 .text = "Name that is asked for in the handshake."},
	{OF(PATH, "tls-ca"), .otherwise = "those of the system",
	 .text = "CA certificates in PEM, with `verify` only."},
	{OF(STRING, "tls-min-version"), .form = "`1.2` or `1.3`, in quotes", .def = "1.2",
	 .text = "The oldest TLS."},
	{OF(PATH, "tls-certificate"),
	 .text = "PEM: what we show when the next hop asks for a certificate (certificate "
		 "connectors of Exchange), with those between it and the root behind it. One that "
		 "has run out is taken: mail must go on."},
	{OF(PATH, "tls-key"), .text = "PEM, not encrypted: the key of `tls-certificate`."},
	{OF(BOOL, "mta-sts"),
	 .otherwise = "yes where the route goes by `mx` and `tls` is not `none`",
	 .text = "Policies of MTA-STS (RFC 8461) of the recipients' domains are fetched and kept. "
		 "Cannot be on elsewhere."},
};

static const struct config_info keys_hosts[] = {
	{OF(STRING, "host"), .form = "name, address, or either with :port",
	 .needed = "name or address of a next hop", .text = "A next hop."},
	{OF(COUNT, "port"), .min = 1, .max = 65535, .otherwise = "that of the route",
	 .unit = "TCP port", .text = "Of this host."},
	{COUNT("weight", 1, 65535, 1), .unit = "share", .text = "Among those of one priority."},
	{COUNT("priority", 0, 65535, 0), .unit = "rank", .text = "The lowest is tried first."},
};

const struct config_section_info section_route = {
	.path = "route",
	.key = keys_route,
	.n = sizeof(keys_route) / sizeof(keys_route[0]),
	.about = "At least one. There is no default route: recipients of other domains are "
		 "refused."};
const struct config_section_info section_route_hosts = {
	.path = "route.hosts",
	.key = keys_hosts,
	.n = sizeof(keys_hosts) / sizeof(keys_hosts[0]),
	.about = "A host of `hosts` in a section of its own."};
