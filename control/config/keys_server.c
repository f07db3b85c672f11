/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Keys of the whole: top level, dataplane, listener, limits, sources, texts, files and sockets. */

#include "control/admission/admission.h"
#include "control/config/keys_all.h"
#include "postern/handoff.h"
#include "postern/limits.h"

const struct config_info keys_top[] = {
	{OF(DOMAIN, "hostname"), .needed = "our own fully qualified name",
	 .text = "Our own name, in the banner, in EHLO and in \"by\" of Received."},
	{OF(DOMAIN, "authserv-id"), .otherwise = "`hostname`",
	 .text = "Name under which we vouch in Authentication-Results."},
	{OF(STRING, "header-prefix"), .flags = KEY_SECRET, .def = "X-Postern",
	 .form = "X- and letters, digits or hyphens, at most 40 characters in all",
	 .text = "Our own header fields begin with this; copies that come from outside are "
		 "removed. Prefixes that would cover the fields of other mail systems are "
		 "refused."},
	{BOOL("received-spf", "no"), .text = "Adds Received-SPF (RFC 7208 9.1), unless a signature "
					     "of the message wants it absent."},
	{LIST("foreign-trust-headers", 0, LIMIT_FOREIGN_TRUST_HEADERS,
	      "beginnings of header field names, X- and more, 5 to 64 characters"),
	 .text = "What `foreign-trust` of a route is about besides X-MS-Exchange-Organization-, "
		 "X-MS-Exchange-CrossPremises- and X-Forefront-. They must not cover our own "
		 "prefixes."},
	{NUMBER("reverify", 0, 1, DEFAULT_REVERIFY), .unit = "share of messages",
	 .text = "Messages whose signatures are verified once more over what leaves, beside "
		 "delivery."},
	{LIST("relay-fault-codes", 0, 1000,
	      "reply codes (`530`), enhanced codes (`5.7.51`) or ranges (`5.7.606-649`) of class 4 "
	      "or 5"),
	 .text = "Replies by which a next hop refuses this relay and not the message, besides "
		 "those that are built in. Answered with 451 4.4.0, with an ALERT."},
	{COUNT("loops", 1, 1, 1), .flags = KEY_RESTART, .unit = "event loops",
	 .text = "Of control. Only 1 is built."},
	{OF(PATH, "in-doubt-file"), .flags = KEY_RESTART,
	 .otherwise = "`in-doubt` beside `api.socket`",
	 .text = "Messages that were delivered and whose client may not know; a retry of such a "
		 "message is answered from it. 4 MB. One control has it. It should outlive a "
		 "restart of the daemon."},
	{OF(PATH, "state-directory"), .flags = KEY_RESTART, .form = "a directory",
	 .otherwise = "`state` beside `api.socket`",
	 .text = "What must be known again after a restart: open breakers and what is usual on a "
		 "route (breakers.json), MTA-STS policies (mta-sts.json). Made if it is not there; "
		 "one control has it. It should outlive a restart of the machine: "
		 "/var/lib/postern, for example."},
	{OF(PATH, "greylist-file"), .flags = KEY_RESTART,
	 .otherwise = "`greylist` beside `api.socket`",
	 .text = "What `greylist` of `policy` remembers, 16 MB; not there if no policy has it on. "
		 "One control has it, and a change needs a restart once it is open. Where a boot "
		 "is not to make all senders new, name a file on a disk."},
	{OF(SECTION, "dataplane"), .text = "The process that clients speak to."},
	{OF(NAMED, "listener"), .text = "Where mail comes in. At least one, unless `inline` or `tap` is all."},
	{OF(SECTION, "inline"), .text = "Servers in a cable."},
	{OF(SECTION, "exceptions"),
	 .text = "What is done with flows that cannot be treated as the mode of their port says."},
	{OF(NAMED, "route"), .text = "Where mail goes. At least one where there is a `listener`; "
				     "there is no default route."},
	{OF(NAMED, "relay"), .text = "Relays in front of us whose Received lines are believed."},
	{OF(NAMED, "trust"), .text = "Peers that may name another client than themselves."},
	{OF(NAMED, "chain"), .text = "Keys that chained instances share."},
	{OF(SECTION, "tls"), .text = "STARTTLS for clients."},
	{OF(SECTION, "arc"), .text = "Keys that seal (ARC)."},
	{OF(SECTION, "dns"), .text = "Who is asked, and how long."},
	{OF(SECTION, "rules"), .text = "Rules in SpamAssassin's language."},
	{OF(SECTION, "policy"), .text = "What is done with mail, by what was found out about it."},
	{OF(NAMED, "dnsbl"), .text = "Lists of addresses in the DNS."},
	{OF(NAMED, "list"), .text = "Files of domains, URIs or hashes."},
	{OF(NAMED, "attachment"), .text = "Criteria for attachments."},
	{OF(SECTION, "quarantine"), .text = "Where messages are held back."},
	{OF(SECTION, "tap"), .text = "What is watched on tap ports."},
	{OF(SECTION, "sources"), .text = "Limits on a source of connections."},
	{OF(SECTION, "limits"), .text = "Limits on a session and a message."},
	{OF(SECTION, "texts"), .text = "What clients get to read."},
	{OF(SECTION, "trace"), .text = "The record of what became of messages."},
	{OF(SECTION, "metrics"), .text = "Numbers for Prometheus; without it there are none."},
	{OF(SECTION, "api"), .text = "The operator's socket."},
	{OF(SECTION, "spf"), .text = "Evaluators of SPF."},
};

static const char *const down_words[] = {[DOWN_451] = "451", [DOWN_421] = "421", NULL};

const struct config_info keys_dataplane[] = {
	{OF(SOCKET, "socket"), .flags = KEY_RESTART, .def = "/run/postern/dataplane.sock",
	 .text = "Where it is found, as given to `--socket` of `postern-dataplane`(8)."},
	{CHOICE("when-control-is-down", down_words, "451"),
	 .text = "What clients hear while control is away: 451 to each command, or 421 and "
		 "goodbye."},
};

const struct config_info keys_listener[] = {
	{OF(COUNT, "port"), .max = LIMIT_ETHDEV,
	 .needed = "the number of the network port, as given to the dataplane",
	 .unit = "ethdev port", .text = "As in `--port` of `postern-dataplane`(8)."},
	{LIST("address", 1, HANDOFF_MAX_LISTENERS,
	      "addresses with the prefix of their link, `192.0.2.25/24`"),
	 .needed = "our addresses with the prefix of their link",
	 .text = "Our addresses; at most 64 in all listeners."},
	{COUNT("smtp-port", 1, 65535, 25), .unit = "TCP port", .text = "Where clients connect to."},
};

static const char *const mode_words[] = {
	[MODE_ENFORCE] = "enforce", [MODE_OBSERVE] = "observe", [MODE_OFF] = "off", NULL};
static const char *const early_words[] = {
	[EARLY_OBSERVE] = "observe", [EARLY_REFUSE] = "refuse", NULL};

#define MODE(limit)                                                                                \
	{                                                                                          \
		CHOICE(limit "-mode", mode_words, "enforce"), .text = "Of `" limit "`."            \
	}

const struct config_info keys_limits[] = {
	/* An arena record lists at most HANDOFF_MAX_CHUNKS chunks, and one is kept in reserve.
	 * RFC 5321 4.5.3.1.7: 64K at least. */
	{SIZE("max-message", 65536, (double)(HANDOFF_MAX_CHUNKS - 1) * HANDOFF_CHUNK,
	      DEFAULT_MAX_MESSAGE),
	 .text = "The largest message. The dataplane refuses a configuration whose limit is over "
		 "an eighth of `--arena-mb`."},
	{COUNT("max-recipients", LIMIT_RCPT_MIN, HANDOFF_MAX_RCPTS, DEFAULT_MAX_RCPT),
	 .unit = "recipients", .text = "Of one transaction."},
	{COUNT("max-errors", 1, 1000, DEFAULT_MAX_ERRORS), .unit = "commands",
	 .text = "Of a session that are unknown, malformed or out of order; then 421."},
	MODE("max-errors"),
	{COUNT("max-idle-commands", 1, LIMIT_IDLE_COMMANDS_MAX, LIMIT_IDLE_COMMANDS),
	 .unit = "commands",
	 .text = "That lead to nothing (NOOP, RSET, EHLO and the like) between two messages; each "
		 "more is an error."},
	MODE("max-idle-commands"),
	{CHOICE("early-talkers", early_words, "observe"),
	 .text = "Clients that speak before the greeting: `observe` counts and marks them, "
		 "`refuse` gives them 554 in place of the greeting."},
	{COUNT("max-transactions", 1, 1000000, DEFAULT_MAX_TRANSACTIONS), .unit = "transactions",
	 .text = "In one session."},
	{SIZE("max-line", 0, 1e9, 0),
	 .text = "Longest line of content with its CRLF, 1000 at least; 0: any."},
	{TIME("command-timeout", 1, 3600, LIMIT_COMMAND_TIMEOUT_S),
	 .text = "For the next command."},
	{TIME("data-timeout", 1, 3600, LIMIT_DATA_BLOCK_TIMEOUT_S),
	 .text = "For the next octets of content."},
	{TIME("data-total-timeout", 1, 86400, DEFAULT_DATA_TOTAL_S),
	 .text = "For all of the content; not below `data-timeout`."},
	MODE("data-total-timeout"),
	{TIME("verdict-timeout", 1, LIMIT_FINAL_REPLY_TIMEOUT_S, LIMIT_FINAL_REPLY_TIMEOUT_S),
	 .text = "From the end of the content to the reply."},
	{SIZE("min-rate", 0, 1e9, DEFAULT_MIN_RATE),
	 .text = "Octets per second, on average since the start of DATA or BDAT, below which a "
		 "client is cut off; looked at from the first minute on. 0: any."},
	MODE("min-rate"),
	{SIZE("min-rate-large", 0, 1e9, DEFAULT_MIN_RATE_LARGE),
	 .text = "The same over the last minute, for messages from 1 MiB on. 0: any."},
	MODE("min-rate-large"),
	{COUNT("arena-share", 1, 100, DEFAULT_ARENA_SHARE), .unit = "percent",
	 .text = "Of a worker's part of `--arena-mb` that one source (IPv4 address, IPv6 /64) may "
		 "hold in messages that come in or are being delivered; one message of "
		 "`max-message` is always allowed. At it DATA gets 452; when half of the memory is "
		 "taken, more of its messages have to wait. Sources of good standing are bound by "
		 "it only when memory is short."},
	MODE("arena-share"),
	{BOOL("refuse-bare-cr", "no"), .text = "Content with a CR that no LF follows is refused."},
};

static const char *const source_mode_words[] = {[ADMISSION_OFF] = "off",
						[ADMISSION_OBSERVE] = "observe",
						[ADMISSION_ENFORCE] = "enforce",
						NULL};

#define SOURCE_MODE(limit)                                                                         \
	{                                                                                          \
		CHOICE(limit "-mode", source_mode_words, "enforce"), .text = "Of `" limit "`."     \
	}

const struct config_info keys_sources[] = {
	{COUNT("sessions", 1, 1000000, DEFAULT_SOURCE_SESSIONS), .unit = "sessions",
	 .text = "At once, of a source that is not in good standing."},
	SOURCE_MODE("sessions"),
	{COUNT("connection-rate", 1, 1000000, DEFAULT_SOURCE_RATE), .unit = "connections a minute",
	 .text = "And as many in one go, of a source that is not in good standing."},
	SOURCE_MODE("connection-rate"),
	{COUNT("failures", 1, 1000000, DEFAULT_SOURCE_FAILURES), .unit = "failures",
	 .text = "Budget of messages refused, foreign protocols, timeouts and the like, besides "
		 "one for each message accepted."},
	SOURCE_MODE("failures"),
	{COUNT("unknown-recipients", 1, 1000000, DEFAULT_SOURCE_UNKNOWN), .unit = "recipients",
	 .text = "Budget of recipients refused, besides one for 10 messages accepted."},
	SOURCE_MODE("unknown-recipients"),
	{TIME("half-life", 60, 86400, DEFAULT_SOURCE_HALF_LIFE_S),
	 .text = "Of both budgets. A budget that was passed is free again when half of it has "
		 "faded."},
};

const struct config_info keys_tap[] = {
	{OF(OTHER, "ports"), .form = "array of 1 to 16 TCP ports", .otherwise = "`[25]`",
	 .text = "Of the servers that are watched."},
	{BOOL("midstream", "no"), .text = "Whether connections are followed whose begin was not seen."},
	{BOOL("ignore-checksums", "no"),
	 .text = "Whether IP and TCP checksums are not looked at, for mirrors that are made on a "
		 "sending host, whose NIC fills them in."},
	{OF(STRING, "journal-route"), .form = "name of a route", .otherwise = "no copies",
	 .text = "By which an annotated copy of each whole message goes that its server took, or "
		 "whose reply was not seen."},
	{OF(STRING, "journal-mailbox"), .form = "an address",
	 .otherwise = "the recipients of the message",
	 .text = "To which the copies go, by the null reverse-path and with the envelope on top. "
		 "Without it they go to the recipients, by the sender's reverse-path; then the "
		 "route may not go by the MX records of the recipients' own domains."},
};

const struct config_info keys_texts[] = {
	{OF(STRING, "banner"), .form = "printable ASCII, up to 127 octets",
	 .text = "Behind 220, the host name and ESMTP in the greeting."},
	{OF(STRING, "help"), .form = "printable ASCII, up to 255 octets",
	 .otherwise = "the list of commands", .text = "The reply to HELP."},
	{OF(STRING, "contact"), .form = "printable ASCII, up to 127 octets",
	 .text = "Whom to ask, a URL or an address: stands at the end of our own 421 and 5xx "
		 "replies, those for `policy.deny` and `sources` among them. Replies of the next "
		 "hop and of policy are not touched."},
};

const struct config_info keys_trace[] = {
	{OF(PATH, "file"), .flags = KEY_RESTART, .def = "/var/log/postern/trace.jsonl",
	 .text = "JSON lines, one a recipient (docs/trace.md)."},
	{SIZE("file-size", 0, 1e15, DEFAULT_TRACE_FILE_SIZE), .flags = KEY_RESTART,
	 .text = "At which the file becomes FILE.1; 0: never."},
	{COUNT("files", 1, LIMIT_TRACE_FILES, DEFAULT_TRACE_FILES), .flags = KEY_RESTART,
	 .unit = "files", .text = "FILE.1 and so on that are kept."},
	{OF(STRING, "index"), .flags = KEY_RESTART, .form = "absolute path of a file, or `none`",
	 .otherwise = "beside `file`, with .db for .jsonl",
	 .text = "The SQLite database that `posternctl trace` searches."},
	{SIZE("index-size", LIMIT_TRACE_INDEX_LEAST, 1e15, DEFAULT_TRACE_INDEX_SIZE),
	 .flags = KEY_RESTART, .text = "Of the index; the oldest records go first."},
	{TIME("index-age", 3600, 3650.0 * 86400, DEFAULT_TRACE_INDEX_AGE_S), .flags = KEY_RESTART,
	 .text = "Older records are not in the index."},
	{BOOL("subjects", "no"), .text = "Whether records have the Subject."},
};

const struct config_info keys_metrics[] = {
	{OF(STRING, "listen"), .flags = KEY_RESTART,
	 .form = "`address:port`, `[IPv6 address]:port` or `unix:/path`",
	 .otherwise = "`" DEFAULT_METRICS_LISTEN "` if there is the section, else no metrics",
	 .text = "Where /metrics is. There is no authentication."},
};

const struct config_info keys_api[] = {
	{OF(SOCKET, "socket"), .flags = KEY_RESTART, .def = "/run/postern/control.sock",
	 .text = "Of `posternctl`(1)."},
};

const struct config_info keys_spf[] = {
	{COUNT("workers", 1, 64, 2), .flags = KEY_RESTART, .unit = "processes",
	 .text = "Jailed evaluators."},
};

#define SECTION(name_, path_, ...)                                                                 \
	const struct config_section_info section_##name_ = {.path = path_,                         \
							    .key = keys_##name_,                   \
							    .n = sizeof(keys_##name_) /            \
								 sizeof(keys_##name_[0]),          \
							    __VA_ARGS__}

SECTION(top, "");
SECTION(dataplane, "dataplane");
SECTION(listener, "listener", .about = "Where mail comes in. At least one, unless `inline` or `tap` is all.");
SECTION(limits, "limits",
	.behind = "A limit with a `-mode` is `enforce`d; or who passes it is only counted (the "
		  "counters whose names end in observed) and goes on, `observe`; or it is `off`. "
		  "Time in which there is no room here for a client's octets counts against none "
		  "of the timeouts and rates.");
SECTION(sources, "sources",
	.about = "Limits on a source: an IPv4 address or an IPv6 /64. docs/smtp.md says how they "
		 "work together and where the defaults come from.",
	.behind = "Each has a `-mode`: `enforce`; `observe`, which counts and logs and lets pass; "
		  "`off`.");
SECTION(tap, "tap",
	.about = "What is watched on tap ports (`postern-dataplane`(8), docs/tap.md).");
SECTION(texts, "texts", .about = "Printable ASCII that clients get to read.");
SECTION(trace, "trace");
SECTION(metrics, "metrics", .about = "OpenMetrics over HTTP (docs/monitoring.md).");
SECTION(api, "api");
SECTION(spf, "spf");
