/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Bad files: each must be refused with its line, its key and a reason that says what is wrong. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/config/config.h"
#include "postern/limits.h"

#define H "hostname = \"mx.example.net\"\n"
#define L "listener a { port = 0; address = [\"192.0.2.25/24\"] }\n"
#define R "route b { domains = [\"example.com\"]; hosts = [\"198.51.100.1\"] }\n"
#define HLR H L R /* lines 1 to 3 */
#define ADDR(a) H R "listener a { port = 0\naddress = [\"" a "\"] }\n"
#define HOST(h) H L "route b { domains = [\"example.com\"]\nhosts = [\"" h "\"] }\n"
#define DOMAIN(d) H L "route b { hosts = [\"198.51.100.1\"]\ndomains = [\"" d "\"] }\n"
#define RELAY(a) HLR "relay x { addresses = [\"" a "\"] }\n"

#define ROUTE_POLICY(p)                                                                            \
	H L "route b { domains = [\"example.com\"]; hosts = [\"192.0.2.1\"]\npolicy { " p " } }"
#define DNSBL(a) HLR "dnsbl x { zone = \"bl.example\"\nanswers = [\"" a "\"] }\n"
#define Z60 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefgh"

static const struct bad {
	const char *text;
	unsigned int line;
	const char *key, *reason;
} table[] = {
	/* syntax */
	{HLR "trace { file = /a", 4, "", "section without its closing }"},
	{HLR "api { socket = \"/a }\n", 4, "", "without its closing quote"},
	{HLR "/* never closed\n\n", 4, "", "comment without its end"},
	{HLR "rules { files = [\"/a\"\n", 4, "", "array without its closing ]"},
	{HLR "rules { files = [\"/a\" \"/b\"] }\n", 4, "", "expected , or ]"},
	{HLR "loops =\n\n;", 6, "", "a value is missing"},
	{HLR "loops 1;", 4, "loops", "expected { or ="},
	{HLR "\n= 1;", 5, "", "expected a key"},
	{HLR "}", 4, "", "expected a key"},
	{HLR "loops = 1 1\n", 4, "loops", "expected ; or the end of the line"},
	{HLR "trace { file = \"/a\\x\" }", 4, "", "unknown escape"},
	{HLR "trace { file = \"/a\001\" }", 4, "", "control character 0x01"},
	{HLR ".include \"/etc/other.conf\"\n", 4, ".include", "only a file can include others"},
	{HLR ".include(try=true) \"/etc/other.conf\"\n", 4, ".include", "options are not supported"},
	{HLR ".include\n", 5, ".include", "expected the path of a file"},
	{HLR ".priority 5\n", 4, "", "macros other than .include"},
	{HLR "trace { file = $HOME }", 4, "", "variables and heredocs are not supported"},
	{HLR "trace { file = <<EOD\n/a\nEOD\n}", 4, "", "variables and heredocs"},
	{HLR "a{b{c{d{e{f{g{h{i=1}}}}}}}}", 4, "", "nested deeper than 8"},
	{HLR "dns = [[[[[[[[[1]]]]]]]]]", 4, "", "nested deeper than 8"},

	/* lists of policy, the greylist, mailboxes */
	{HLR "policy { deny-origins = [\"192.0.2.1/24\"] }\n", 4, "policy.deny-origins", "bits behind"},
	{HLR "policy { allow-origins = [\"::ffff:192.0.2.1\"] }\n", 4, "policy.allow-origins",
	 "IPv4-mapped"},
	{HLR "policy { deny-origins = 5 }\n", 4, "policy.deny-origins", "the path of a file"},
	{HLR "policy { deny-origins = \"list\" }\n", 4, "policy.deny-origins", "absolute path"},
	{HLR "policy { deny-origins = \"/nowhere/list\" }\n", 4, "policy.deny-origins",
	 "/nowhere/list: No such file"},
	{HLR "policy { deny-origins = \"/tmp\" }\n", 4, "policy.deny-origins", "no regular file"},
	{HLR "policy { deny-origins = [\"192.0.2.0/24\"]\nallow-origins = [\"192.0.2.0/24\"] }\n", 5,
	 "policy.allow-origins", "192.0.2.0/24 is in allow-origins and in deny-origins"},
	{HLR "policy { deny-senders = [\"example.com\"] }\n", 4, "policy.deny-senders", "@domain"},
	{HLR "policy { deny-senders = [\"a@.example.com\"] }\n", 4, "policy.deny-senders",
	 "without a local part"},
	{HLR "policy { allow-senders = [\"a@example.com\"] }\n", 4, "policy.allow-senders", "unknown key"},
	{HLR "policy { allow-domains = [\"a@example.com\"] }\n", 4, "policy.allow-domains",
	 "there is no address in it"},
	{HLR "policy { deny-domains = [\"com\"] }\n", 4, "policy.deny-domains", "two labels"},
	{HLR "policy { deny-domains = [\"*.example\"] }\n", 4, "policy.deny-domains", "no valid domain"},
	{HLR "policy { deny-action = discard }\n", 4, "policy.deny-action", "nothing is denied"},
	{HLR "policy { deny-domains = [\"x.example\"]\ndeny-action = accept }\n", 5, "policy.deny-action",
	 "\"tag\" or \"quarantine\" or \"discard\" or \"defer\" or \"reject\""},
	{HLR "policy { spf-fail = discard }\n", 4, "policy.spf-fail",
	 "\"accept\" or \"tag\" or \"quarantine\" or \"defer\" or \"reject\""},
	{HLR "policy { spf-temperror = discard }\n", 4, "policy.spf-temperror", "or \"defer\""},
	{HLR "dnsbl x { zone = \"bl.example\"\naction = discard }\n", 5, "dnsbl.x.action", "or \"reject\""},
	{HLR "policy { deny-domains = [\"x.example\"]\ndeny-action = quarantine }\n", 5,
	 "policy.deny-action", "no place for quarantined mail"},
	{HLR "policy { allow-skips = [\"score\"] }\n", 4, "policy.allow-skips", "nothing is allowed"},
	{HLR "policy { allow-domains = [\"x.example\"]; allow-skips = [\"all\"] }\n", 4,
	 "policy.allow-skips", "some of score, dnsbl"},
	{HLR "policy { reject-score = 8; defer-score = 8 }\n", 4, "policy.defer-score", "not below"},
	{HLR "policy { greylist-delay = 60 }\n", 4, "policy.greylist-delay", "greylist is not on"},
	{HLR "policy { greylist = yes; greylist-delay = 1h; greylist-window = 1h }\n", 4,
	 "policy.greylist-window", "no retry would pass"},
	{HLR "policy { greylist = yes; greylist-delay = 2h }\n", 4, "policy.greylist-delay", "out of bounds"},
	{HLR "policy { quarantine-mailbox = \"q@elsewhere.example\" }\n", 4, "policy.quarantine-mailbox",
	 "no route has the domain elsewhere.example"},
	{HLR "policy { quarantine-mailbox = \"q\" }\n", 4, "policy.quarantine-mailbox", "user@example.com"},
	{HLR "policy { quarantine-mailbox = \"q@example.com\"\nquarantine-route = x }\n", 5,
	 "policy.quarantine-route", "there is no route \"x\""},
	{HLR "policy { quarantine-route = b }\n", 4, "policy.quarantine-route", "needs quarantine-mailbox"},
	{ROUTE_POLICY("quarantine-mailbox = \"q@elsewhere.example\""), 4,
	 "route.b.policy.quarantine-mailbox", "no route has the domain"},
	{H L "route b { domains = [\"example.com\"]; hosts = [\"192.0.2.1\"]\nmax-recipients = 5000 }\n", 4,
	 "route.b.max-recipients", "out of bounds"},

	/* keys */
	{HLR "hostnam = x\n", 4, "hostnam", "did you mean \"hostname\"?"},
	{HLR "limits { max-mesage = 5m }\n", 4, "limits.max-mesage", "did you mean \"max-message\"?"},
	{HLR "frobnicate = 1\n", 4, "frobnicate", "unknown key; known here: hostname"},
	{HLR "loops = 1\nspf { workers = 1 }\nloops = 1\n", 6, "loops", "given twice, first in line 4"},
	{HLR "spf { workers = 1\nworkers = 2 }", 5, "spf.workers", "given twice, first in line 4"},
	{HLR L, 4, "listener.a", "given twice, first in line 2"},
	{HLR "route { }", 4, "route", "given twice"},
	{H L "route { domains = [\"example.com\"] }", 3, "route", "needs a name"},
	{HLR "dns \"x\" { timeout = 5s }", 4, "dns", "without a name"},
	{HLR "dns = 5\n", 4, "dns", "expected one section"},
	{HLR "relay x = 5\n", 4, "relay.x", "expected a section"},
	{HLR "relay \"x y\" { addresses = [\"192.0.2.1\"] }", 4, "relay.x y", "a name is 1 to 63"},

	/* types and bounds */
	{H L R "loops = 2\n", 4, "loops", "only 1 event loop is built so far"},
	{HLR "loops = one\n", 4, "loops", "expected a plain number, found a string one"},
	{HLR "loops = 0\n", 4, "loops", "out of bounds"},
	{HLR "spf { workers = 2s }", 4, "spf.workers", "expected a plain number, found a time"},
	{HLR "spf { workers = 1.5 }", 4, "spf.workers", "not a whole number"},
	{HLR "spf { workers = -1 }", 4, "spf.workers", "expected 1 to 64"},
	{HLR "limits { max-message = 65mb }", 4, "limits.max-message", "65mb is out of bounds"},
	{HLR "limits { max-message = 30s }", 4, "limits.max-message", "expected a size"},
	{HLR "limits { max-recipients = 99 }", 4, "limits.max-recipients", "expected 100 to 512"},
	{HLR "limits { max-line = 500 }", 4, "limits.max-line", "at least 1000 octets"},
	{HLR "limits { refuse-bare-cr = 1 }", 4, "limits.refuse-bare-cr", "expected true or false"},
	{HLR "limits { command-timeout = 5m }", 4, "limits.command-timeout", "expected a time"},
	{HLR "limits { command-timeout = 1500ms }", 4, "limits.command-timeout", "whole number of seconds"},
	{HLR "limits { verdict-timeout = 601s }", 4, "limits.verdict-timeout", "expected 1 to 600 seconds"},
	{HLR "limits { min-rate-mode = watch }", 4, "limits.min-rate-mode", "expected \"enforce\" or"},
	{HLR "limits { arena-share = 101 }", 4, "limits.arena-share", "expected 1 to 100"},
	{HLR "texts { banner = \"caf\xc3\xa9\" }", 4, "texts.banner", "only printable ASCII"},
	{HLR "texts { contact = \"a\\nb\" }", 4, "texts.contact", "only printable ASCII"},
	{HLR "texts { contact = \"0123456789012345678901234567890123456789012345678901234567890123456789"
	     "0123456789012345678901234567890123456789012345678901234567\" }", 4, "texts.contact",
	 "text of 128 octets: at most 127"},
	{HLR "limits { early-talkers = off }", 4, "limits.early-talkers", "expected \"observe\" or"},
	{HLR "limits { max-idle-commands = 251 }", 4, "limits.max-idle-commands", "expected 1 to 250"},
	{HLR "limits {\ndata-timeout = 60\ndata-total-timeout = 30\n}", 4, "limits.data-total-timeout",
	 "less than the data-timeout"},
	{HLR "dns { timeout = 61s }", 4, "dns.timeout", "out of bounds"},
	{HLR "policy { dmarc = reject }", 4, "policy.dmarc",
	 "expected \"enforce\" or \"monitor\" or \"strict\""},
	{HLR "policy { tag-score = \"5\" }", 4, "policy.tag-score", "expected a number, found a string"},
	{HLR "policy { tag-score = -1 }", 4, "policy.tag-score", "out of bounds"},
	{HLR "policy { tag-score = 5\nreject-score = 4 }", 4, "policy.reject-score", "below the tag-score"},
	{HLR "policy { quarantine-score = 8 }", 4, "policy.quarantine-score", "no place for quarantined"},
	{HLR "quarantine { max-size = 1gb }", 4, "quarantine.directory", "missing"},
	{HLR "quarantine { directory = \"q\" }", 4, "quarantine.directory", "absolute path"},
	{HLR "quarantine { directory = \"/q\"\nmax-age = 1min }", 5, "quarantine.max-age", "out of bounds"},
	{HLR "rules { files = \"/a\" }", 4, "rules.files", "expected an array"},
	{HLR "rules { files = [5] }", 4, "rules.files", "expected a string, found a number"},
	{HLR "rules { files = [\"\"] }", 4, "rules.files", "an empty string"},
	{HLR "rules { cache = \"rules\" }", 4, "rules.cache", "expected an absolute path"},
	{HLR "rules { score-set = 4 }", 4, "rules.score-set", "expected 0 to 3"},
	{HLR "rules { compile-time = 0s }", 4, "rules.compile-time", "out of bounds"},
	{HLR "rules { compile-time = 2h }", 4, "rules.compile-time", "out of bounds"},
	{HLR "rules { cache-size = 15m }", 4, "rules.cache-size", "15m is out of bounds"},
	{HLR "rules { cache-size = 2000g }", 4, "rules.cache-size", "2000g is out of bounds"},
	{HLR "rules { compile-memory = 1m }", 4, "rules.compile-memory", "1m is out of bounds"},

	/* policy by domain and by check */
	{HLR "policy { trusted-sealers = \"example.org\" }", 4, "policy.trusted-sealers",
	 "expected an array"},
	{HLR "policy { trusted-sealers = [\"org\"] }", 4, "policy.trusted-sealers", "not fully qualified"},
	{HLR "policy { trusted-forwarders = [\"*.example.org\"] }", 4, "policy.trusted-forwarders",
	 "no host or domain name"},
	{HLR "policy { protected-domains = [\"example.com\",\n\"EXAMPLE.com\"] }", 5,
	 "policy.protected-domains", "EXAMPLE.com is listed twice"},
	{HLR "policy { protected-domains = [\"example.com\"]; dmarc = monitor }", 4,
	 "policy.protected-domains", "refuses nothing"},
	{HLR "policy { spf-fail = hold }", 4, "policy.spf-fail",
	 "expected \"accept\" or \"tag\" or \"quarantine\" or \"defer\" or \"reject\""},
	{HLR "policy { spf-fail = quarantine }", 4, "policy.spf-fail", "no place for quarantined"},
	{HLR "policy { dmarc-quarantine = quarantine }", 4, "policy.dmarc-quarantine",
	 "no place for quarantined"},
	{HLR "dnsbl d { zone = \"bl.example\"; action = quarantine }", 4, "dnsbl.d",
	 "no place for quarantined"},
	{HLR "policy { spf-temperror = reject }", 4, "policy.spf-temperror",
	 "expected \"accept\" or \"tag\" or \"quarantine\" or \"defer\", found"},
	{HLR "policy { dkim-required = yes }", 4, "policy.dkim-required", "\"none\" or \"passing\""},
	{HLR "policy { dkim-missing = reject }", 4, "policy.dkim-missing", "needs dkim-required"},
	{HLR "policy { dkim-l = fail\ndkim-l-score = 2 }", 5, "policy.dkim-l-score", "counts for nothing"},

	{ROUTE_POLICY("tag-scor = 1"), 4, "route.b.policy.tag-scor", "did you mean \"tag-score\"?"},
	{ROUTE_POLICY("deny = [\"192.0.2.1\"]"), 4, "route.b.policy.deny", "unknown key"},
	{ROUTE_POLICY("reject-score = 2"), 4, "route.b.policy.reject-score", "below the tag-score of 5"},
	{ROUTE_POLICY("dkim-missing = tag"), 4, "route.b.policy.dkim-missing", "needs dkim-required"},
	{H L "route b { domains = [\"example.com\"]; hosts = [\"192.0.2.1\"]\npolicy = 5 }", 4,
	 "route.b.policy", "expected a section"},

	/* dnsbl */
	{HLR "dnsbl { zone = \"bl.example\" }", 4, "dnsbl", "needs a name"},
	{HLR "dnsbl x { score = 1 }", 4, "dnsbl.x.zone", "missing"},
	{HLR "dnsbl x { zone = \"bl\" }", 4, "dnsbl.x.zone", "not fully qualified"},
	{HLR "dnsbl x { zone = \"" Z60 "." Z60 "." Z60 ".bl.example\" }", 4, "dnsbl.x.zone",
	 "zone of 193 octets: at most 189"},
	{DNSBL("192.0.2.1"), 5, "dnsbl.x.answers", "within 127.0.0.0/8"},
	{DNSBL("126-127.0.0.2"), 5, "dnsbl.x.answers", "within 127.0.0.0/8"},
	{DNSBL("127.255.255.254"), 5, "dnsbl.x.answers", "error codes"},
	{DNSBL("127.0.0.9/29"), 5, "dnsbl.x.answers", "bits behind the prefix"},
	{DNSBL("127.0.*.0/24"), 5, "dnsbl.x.answers", "bits behind the prefix"},
	{DNSBL("127.0.0.2/33"), 5, "dnsbl.x.answers", "expected an address"},
	{DNSBL("127.0.0.7-4"), 5, "dnsbl.x.answers", "expected an address"},
	{DNSBL("127.0.0"), 5, "dnsbl.x.answers", "expected an address"},
	{DNSBL("127.0.0.2.1"), 5, "dnsbl.x.answers", "expected an address"},
	{DNSBL("127.0.0.256"), 5, "dnsbl.x.answers", "expected an address"},
	{DNSBL("127.0.0.02"), 5, "dnsbl.x.answers", "expected an address"},
	{HLR "dnsbl x { zone = \"bl.example\"; answers = [] }", 4, "dnsbl.x.answers", "expected 1 to 64"},
	{HLR "dnsbl x { zone = \"bl.example\"; score = -1 }", 4, "dnsbl.x.score", "needs kind = allow"},
	{HLR "dnsbl x { zone = \"wl.example\"; kind = allow; score = 1 }", 4, "dnsbl.x.kind",
	 "score of 0 or less"},
	{HLR "dnsbl x { zone = \"wl.example\"; kind = allow; evidence = yes }", 4, "dnsbl.x.kind",
	 "no evidence"},
	{HLR "dnsbl x { zone = \"bl.example\"; action = accept }", 4, "dnsbl.x.action",
	 "\"none\" or \"tag\""},
	{HLR "dnsbl x { zone = \"bl.example\"; action = tag; reply = \"See us\" }", 4, "dnsbl.x.reply",
	 "nobody hears it"},
	{HLR "dnsbl x { zone = \"bl.example\"; action = reject; reply = \"a\\nb\" }", 4,
	 "dnsbl.x.reply", "only printable ASCII"},

	/* sources */
	{HLR "sources { sessions = 0 }", 4, "sources.sessions", "expected 1 to 1000000"},
	{HLR "sources { failures-mode = yes }", 4, "sources.failures-mode",
	 "expected \"off\" or \"observe\" or \"enforce\""},
	{HLR "sources { half-life = 59s }", 4, "sources.half-life", "expected 60 to 86400 seconds"},
	{HLR "sources { unknown-recipient = 5 }", 4, "sources.unknown-recipient",
	 "did you mean \"unknown-recipients\"?"},
	{HLR "policy { deny = [\"203.0.113.5/24\"] }", 4, "policy.deny", "did you mean 203.0.113.0/24?"},
	{HLR "policy { deny = [\"::ffff:192.0.2.0/120\"] }", 4, "policy.deny", "write it as IPv4"},
	{HLR "policy { allow = [\"example.org\"] }", 4, "policy.allow", "no address or network"},
	{HLR "policy { deny = [\"192.0.2.0/24\", \"::/0\"]\nallow = [\"192.0.2.0/25\", \"::/0\"] }", 5,
	 "policy.allow", "::/0 is in deny, too"},

	/* names and paths */
	{L R, 0, "hostname", "missing"},
	{L R "hostname = mx", 3, "hostname", "not fully qualified"},
	{L R "hostname = \"mx_1.example.net\"", 3, "hostname", "no host or domain name"},
	{L R "hostname = \"192.0.2.25\"", 3, "hostname", "its last label is a number"},
	{L R "hostname = \"mx.example.net.\"", 3, "hostname", "without a final dot"},
	{HLR "authserv-id = \"a b\"", 4, "authserv-id", "no host or domain name"},
	{HLR "header-prefix = Received", 4, "header-prefix", "expected X-"},
	{HLR "header-prefix = \"X-MS-Exchange\"", 4, "header-prefix", "header fields of others"},
	{HLR "header-prefix = \"X-Post:ern\"", 4, "header-prefix", "letters, digits or hyphens"},
	{HLR "foreign-trust-headers = [\"X-Acme-\",\n\"X-\"]", 5, "foreign-trust-headers",
	 "X- and letters, digits or hyphens, 5 to 64"},
	{HLR "foreign-trust-headers = [\"Received\"]", 4, "foreign-trust-headers", "how the names begin"},
	{HLR "foreign-trust-headers = [\"X-Acme:\"]", 4, "foreign-trust-headers", "how the names begin"},
	{HLR "foreign-trust-headers = \"X-Acme-\"", 4, "foreign-trust-headers", "expected an array"},
	{HLR "foreign-trust-headers = [\"X-Post\"]", 4, "foreign-trust-headers", "cover each other"},
	{HLR "header-prefix = X-Acme\nforeign-trust-headers = [\"x-acme-trust\"]", 4, "header-prefix",
	 "cover each other"},
	{HLR "received-spf = 1", 4, "received-spf", "expected true or false"},
	{HLR "reverify = 2", 4, "reverify", "out of bounds"},
	{HLR "reverify = all", 4, "reverify", "expected a number"},
	{HLR "trace { file = \"trace.jsonl\" }", 4, "trace.file", "expected an absolute path"},
	{HLR "trace { file = \"/var/log/\" }", 4, "trace.file", "absolute path of a file"},
	{HLR "trace { index = trace.db }", 4, "trace.index", "expected an absolute path"},
	{HLR "trace { file = /a.jsonl; index = /a.jsonl }", 4, "trace.index", "its rotation uses"},
	{HLR "trace { file = /a.jsonl; index = \"/a.jsonl.1\" }", 4, "trace.index", "its rotation uses"},
	{HLR "trace { index-size = 15m }", 4, "trace.index-size", "out of bounds"},
	{HLR "trace { index-age = 59min }", 4, "trace.index-age", "out of bounds"},
	{HLR "trace { files = 0 }", 4, "trace.files", "out of bounds"},
	{HLR "trace { files = 101 }", 4, "trace.files", "out of bounds"},
	{HLR "trace { file-size = big }", 4, "trace.file-size", "expected"},
	{HLR "trace { subjects = 1 }", 4, "trace.subjects", "expected true or false"},
	{HLR "trace { indexx = /a }", 4, "trace.indexx", "index"},
	{HLR "metrics { listen = 9325 }", 4, "metrics.listen", "expected"},
	{HLR "metrics { listen = \"localhost:9325\" }", 4, "metrics.listen", "expected \"address:port\""},
	{HLR "metrics { listen = \"127.0.0.1\" }", 4, "metrics.listen", "expected \"address:port\""},
	{HLR "metrics { listen = \"127.0.0.1:\" }", 4, "metrics.listen", "expected \"address:port\""},
	{HLR "metrics { listen = \"127.0.0.1:65536\" }", 4, "metrics.listen", "expected \"address:port\""},
	{HLR "metrics { listen = \"::1:9325\" }", 4, "metrics.listen", "expected \"address:port\""},
	{HLR "metrics { listen = \":9325\" }", 4, "metrics.listen", "expected \"address:port\""},
	{HLR "metrics { listen = \"unix:run/x\" }", 4, "metrics.listen", "expected \"address:port\""},
	{HLR "metrics { listen = \"unix:/0123456789012345678901234567890123456789012345678901234567890123456789"
	     "0123456789012345678901234567890123456\" }", 4, "metrics.listen", "path of more than"},
	{HLR "metrics { port = 1 }", 4, "metrics.port", ""},
	{HLR "api { socket = \"/0123456789012345678901234567890123456789012345678901234567890123456789"
	     "0123456789012345678901234567890123456\" }", 4, "api.socket", "path of 108 octets"},
	{HLR "api { socket = /s }\ndataplane { socket = /s }", 4, "api.socket", "both api and dataplane"},
	{HLR "dataplane { when-control-is-down = 450 }", 4, "dataplane.when-control-is-down",
	 "expected \"451\" or \"421\""},
	{HLR "rules { files = [\"a.cf\"] }", 4, "rules.files", "expected an absolute path"},
	{HLR "rules { files = [\"/etc/*/a.cf\"] }", 4, "rules.files", "last part of a path only"},
	{HLR "rules { files = [\n\"/nonexistent/a.cf\"] }", 5, "rules.files", "no such file"},
	{HLR "rules { files = [\"/dev/null\"] }", 4, "rules.files", "no regular file"},
	{HLR "relay-fault-codes = [\"5.7\"]", 4, "relay-fault-codes", "\"5.7\" is no reply code"},
	{HLR "relay-fault-codes = [\"250\"]", 4, "relay-fault-codes", "of class 4 or 5"},
	{HLR "relay-fault-codes = [\"5.7.9-1\"]", 4, "relay-fault-codes", "no reply code"},

	/* listener */
	{H R, 0, "listener", "at least one listener is needed"},
	{H R "listener a { address = [\"192.0.2.25/24\"] }", 3, "listener.a.port", "missing"},
	{H R "listener a {\nport = 0 }", 3, "listener.a.address", "missing"},
	{H R "listener a { port = 32\naddress = [\"192.0.2.25/24\"] }", 3, "listener.a.port", "0 to 31"},
	{H R "listener a { port = 0; address = [] }", 3, "listener.a.address", "expected 1 to 64 entries"},
	{H R "listener a { port = 0; address = [\"192.0.2.2/24\"]; smtp-port = 0 }", 3,
	 "listener.a.smtp-port", "1 to 65535"},
	{ADDR("192.0.2.25"), 4, "listener.a.address", "lacks the prefix of its link, as in 192.0.2.25/24"},
	{ADDR("192.0.2.25/33"), 4, "listener.a.address", "bad prefix length"},
	{ADDR("192.0.2.256/24"), 4, "listener.a.address", "is no IP address"},
	{ADDR("192.0.2.0/24"), 4, "listener.a.address", "is the network itself"},
	{ADDR("192.0.2.255/24"), 4, "listener.a.address", "is the broadcast address"},
	{ADDR("224.0.0.5/24"), 4, "listener.a.address", "a multicast address"},
	{ADDR("0.0.0.1/8"), 4, "listener.a.address", "in 0.0.0.0/8"},
	{ADDR("255.255.255.255/32"), 4, "listener.a.address", "reserved or broadcast"},
	{ADDR("127.0.0.1/8"), 4, "listener.a.address", "is loopback"},
	{ADDR("192.0.2.1/4"), 4, "listener.a.address", "is no link"},
	{ADDR("ff02::1/64"), 4, "listener.a.address", "a multicast address"},
	{ADDR("::/64"), 4, "listener.a.address", "the unspecified address"},
	{ADDR("2001:db8::/64"), 4, "listener.a.address", "is the network itself"},
	{ADDR("::ffff:192.0.2.1/120"), 4, "listener.a.address", "write it as IPv4"},
	{HLR "listener c { port = 1\naddress = [\"192.0.2.26/24\",\n\"192.0.2.25/24\"] }", 6,
	 "listener.c.address", "taken by listener \"a\""},
	{HLR "listener c { port = 1; smtp-port = 26; address = [\"192.0.2.25/24\"] }", 4,
	 "listener.c.address", "address is on port 0"},
	{HLR "listener c { port = 0; smtp-port = 26; address = [\"192.0.2.25/25\"] }", 4,
	 "listener.c.address", "another prefix"},

	/* route */
	{H L, 0, "route", "there is no default route"},
	{H L "route b { domains = [\"example.com\"] }", 3, "route.b.hosts", "missing"},
	{H L "route b { hosts = [\"192.0.2.1\"] }", 3, "route.b.domains", "missing"},
	{DOMAIN("*.example.com"), 4, "route.b.domains", "without wildcard"},
	{DOMAIN("user@example.com"), 4, "route.b.domains", "no host or domain name"},
	{DOMAIN("a..example.com"), 4, "route.b.domains", "no host or domain name"},
	{DOMAIN("\xff\xfe.example.com"), 4, "route.b.domains", "no valid international domain"},
	{DOMAIN("example.com\", \"EXAMPLE.com"), 4, "route.b.domains", "of route \"b\" already"},
	{HLR "route c { domains = [\"example.org\",\n\"example.com\"]; hosts = [\"x\"] }", 5,
	 "route.c.domains", "example.com is a domain of route \"b\" already"},
	{HOST("192.0.2.25"), 4, "route.b.hosts", "our own address (listener \"a\")"},
	{HOST("192.0.2.25:2525"), 4, "route.b.hosts", "round in a loop"},
	{HOST("mx.example.net"), 4, "route.b.hosts", "our own name"},
	{HOST("mail.example.com:0"), 4, "route.b.hosts", "port of 1 to 65535"},
	{HOST("mail.example.com:65536"), 4, "route.b.hosts", "port of 1 to 65535"},
	{HOST("mail.example.com:"), 4, "route.b.hosts", "port of 1 to 65535"},
	{HOST("[2001:db8::1"), 4, "route.b.hosts", "expected host"},
	{HOST("[2001:db8::1]x"), 4, "route.b.hosts", "expected host"},
	{HOST("[mail.example.com]"), 4, "route.b.hosts", "is no IP address"},
	{HOST("192.0.2.300"), 4, "route.b.hosts", "last label is a number"},
	{HOST("224.0.0.1"), 4, "route.b.hosts", "a multicast address"},
	{HOST("192.0.2.1\", \"192.0.2.1:25"), 4, "route.b.hosts", "is listed twice"},
	{H L "route b { domains = [\"example.com\"]; hosts = [\"192.0.2.1\"]\nverify = maybe }", 4,
	 "route.b.verify", "expected \"callout\" or \"none\" or \"list\", found a string maybe"},
	{H L "route b { domains = [\"example.com\"]; hosts = [\"192.0.2.1\"]\nv6-literal = true }", 4,
	 "route.b.v6-literal", "expected \"tagged\" or \"plain\""},
	{H L "route b { domains = [\"example.com\"]; hosts = [\"192.0.2.1\"]\nreceived-format = gmail }",
	 4, "route.b.received-format", "expected \"rfc5321\" or \"exchange\""},
	{H L "route b { domains = [\"example.com\"]; hosts = [\"192.0.2.1\"]\nreceived-format = exchange\n"
	     "v6-literal = tagged }", 5, "route.b.v6-literal", "which has bare addresses"},
	{H L "route b { domains = [\"example.com\"]; hosts = [\"192.0.2.1\"]\nforeign-trust = drop }", 4,
	 "route.b.foreign-trust", "expected \"strip\" or \"reject\" or \"keep\""},
	{H L "route b { domains = [\"example.com\"]; hosts = [\"192.0.2.1\"]\nreceived-spf = maybe }", 4,
	 "route.b.received-spf", "expected true or false"},
	{H L "route b { domains = [\"example.com\"]; hosts = [\"192.0.2.1\"]\nheader-prefix = Subject }",
	 4, "route.b.header-prefix", "expected X-"},
	{H L "route b { domains = [\"example.com\"]; hosts = [\"192.0.2.1\"]\nheader-prefix = X-Acme }\n"
	     "foreign-trust-headers = [\"X-Acme-\"]", 4, "route.b.header-prefix", "cover each other"},
	{H L "route b { domains = [\"example.com\"]; hosts = [\"192.0.2.1\"]\nmax-connections = 0 }", 4,
	 "route.b.max-connections", "1 to 10000"},
	{H L "route b { domains = [\"example.com\"]; hosts = [\"192.0.2.1\"]\nsource-address = \"::1\" }",
	 4, "route.b.source-address", "same address family"},
	{H L "route b { domains = [\"example.com\"]; hosts = [\"x\"]\nsource-address = \"x\" }",
	 4, "route.b.source-address", "is no IP address"},

	/* relay */
	{HLR "relay x { hops = 1 }", 4, "relay.x.addresses", "missing"},
	{RELAY("0.0.0.0/0"), 4, "relay.x.addresses", "too large for a relay: at least /8"},
	{RELAY("64.0.0.0/7"), 4, "relay.x.addresses", "too large for a relay"},
	{RELAY("2000::/18"), 4, "relay.x.addresses", "at least /19"},
	{RELAY("::ffff:192.0.2.0/120"), 4, "relay.x.addresses", "write it as IPv4"},
	{RELAY("203.0.113.5/24"), 4, "relay.x.addresses", "did you mean 203.0.113.0/24?"},
	{RELAY("2001:db8::5/64"), 4, "relay.x.addresses", "did you mean 2001:db8::/64?"},
	{RELAY("224.0.0.0/8"), 4, "relay.x.addresses", "not a network of hosts"},
	{RELAY("relay.example.org"), 4, "relay.x.addresses", "no address or network"},
	{HLR "relay x { addresses = [\"192.0.2.1\"]; hops = 21 }", 4, "relay.x.hops", "1 to 20"},
	{HLR "relay x { addresses = [\"192.0.2.1\"]; by = [\"-x\"] }", 4, "relay.x.by", "no host or domain"},
	{HLR "relay x { addresses = [\"203.0.113.0/24\"] }\nrelay y { addresses = [\"198.51.100.7\",\n"
	     "\"203.0.113.9\"] }", 6, "relay.y.addresses", "overlaps with an address of relay \"x\""},

	/* dns */
	{HLR "dns { forwarders = [\"ns.example.net\"] }", 4, "dns.forwarders", "is no IP address"},
	{HLR "dns { forwarders = [\"192.0.2.53@\"] }", 4, "dns.forwarders", "address@port"},
	{HLR "dns { forwarders = [\"192.0.2.53:53\"] }", 4, "dns.forwarders", "is no IP address"},
	{HLR "dns { stub = \"192.0.2.53\" }", 4, "dns.stub", "needs a name"},
	{HLR "dns { stub \"a b\" = \"192.0.2.53\" }", 4, "dns.stub.a b", "no host or domain name"},
	{HLR "dns { forwarders = [\"192.0.2.53\"]\nzone-files = [\"/a.zone\"] }", 5, "dns.zone-files",
	 "forwarders and stub contradict it"},
	{HLR "dns { trust-anchor-file = root.key }", 4, "dns.trust-anchor-file", "absolute path"},
};

static void every_bad_file(void **state)
{
	unsigned int wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct bad *b = &table[i];
		struct config_error err[8] = {0};
		struct config *c = (struct config *)1;
		size_t n = 0;
		int rc = config_parse("bad.conf", b->text, strlen(b->text), 1, &c, err, 8, &n);

		if (rc == -EINVAL && !c && n == 1 && err[0].line == b->line &&
		    strcmp(err[0].key, b->key) == 0 && strstr(err[0].reason, b->reason) &&
		    strcmp(err[0].file, "bad.conf") == 0)
			continue;
		print_error("[%zu] expected %u: %s: ..%s..\n%s\n  rc %d, %zu errors\n", i, b->line,
			    b->key, b->reason, b->text, rc, n);
		for (size_t k = 0; k < n && k < 8; k++)
			print_error("  %u: %s: %s\n", err[k].line, err[k].key, err[k].reason);
		wrong++;
		config_unref(rc ? NULL : c);
	}
	assert_int_equal(wrong, 0);
	assert_true(sizeof(table) / sizeof(table[0]) >= 60);
}

/* All problems of a file come at once, and no more are written than there is room for. */
static void several_errors(void **state)
{
	static const char text[] = "loops = 3\nspf { workers = 0 }\ntrace { file = a }\nzzzzzzzz = 1\n";
	struct config_error err[3];
	struct config *c;
	size_t n;

	(void)state;
	memset(err, 0x5a, sizeof(err));
	assert_int_equal(config_parse("x", text, strlen(text), 1, &c, err, 2, &n), -EINVAL);
	assert_int_equal(n, 7);
	assert_int_equal(err[0].line, 1);
	assert_int_equal(err[1].line, 2);
	assert_int_equal(err[2].line, 0x5a5a5a5a);
}

static void expect_one(char *text, size_t len, unsigned int line, const char *reason)
{
	struct config_error err[1] = {0};
	struct config *c;
	size_t n;

	assert_int_equal(config_parse("x", text, len, 1, &c, err, 1, &n), -EINVAL);
	assert_int_equal(n, 1);
	assert_int_equal(err[0].line, line);
	assert_non_null(strstr(err[0].reason, reason));
	free(text);
}

static char *filled(const char *head, size_t n, const char *piece, const char *tail)
{
	char *t = malloc(strlen(head) + n * strlen(piece) + strlen(tail) + 1), *p = t;

	assert_non_null(t);
	p = stpcpy(p, head);
	while (n--)
		p = stpcpy(p, piece);
	stpcpy(p, tail);
	return t;
}

static void bounds_of_the_text(void **state)
{
	char *t;

	(void)state;
	t = filled("trace { file = \"/", LIMIT_CONFIG_STRING, "x", "\" }");
	expect_one(t, strlen(t), 1, "string of more than 1024 octets");
	t = filled("trace { file = /", LIMIT_CONFIG_STRING, "x", " }");
	expect_one(t, strlen(t), 1, "value of more than 1024 octets");
	t = filled("", 254, "k", " = 1");
	expect_one(t, strlen(t), 1, "key of more than 253 octets");
	t = filled("\ndns { forwarders = [\n", LIMIT_CONFIG_NODES, "1,", "] }");
	expect_one(t, strlen(t), 3, "more than 200000 values");
	t = filled("", LIMIT_CONFIG_FILE + 1, " ", "");
	expect_one(t, strlen(t), 0, "file of more than 4194304 octets");
	t = filled("\n\n", 4, "x", "");
	t[4] = '\0';
	expect_one(t, 6, 3, "NUL octet");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_bad_file),
		cmocka_unit_test(several_errors),
		cmocka_unit_test(bounds_of_the_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
