/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Commands for files, and posternctl's own; no daemon is needed. Their text is the manual's, in
 * scdoc's marks. */

#include "control/cli/cli.h"
#include "control/cli/grammar.h"
#include "control/cli/grammar_table.h"

static const char *const walkers[] = {
	"exchange", "gmail", "spamassassin", "rspamd", "first-received", "last-public", NULL};
static const char *const clouds[] = {"exchange", "google", NULL};
static const char *const key_types[] = {"rsa", "ed25519", NULL};
static const char *const score_sets[] = {"0", "1", "2", "3", NULL};

#define CONFIG_OPTION                                                                              \
	{                                                                                          \
		"--config", FILES("FILE"),                                                         \
			"configuration, /etc/postern/postern.conf unless given", 0                 \
	}
#define ZONE_OPTION_OF(of)                                                                         \
	{                                                                                          \
		"--dns-zone", FILES("FILE"), of "only zone files answer, and no packet is sent",   \
			.many = true                                                               \
	}
#define ZONE_OPTION ZONE_OPTION_OF("")
#define NOW_OPTION_OF(of)                                                                          \
	{                                                                                          \
		"--now", TEXT("EPOCH"), of "seconds since 1970, for keys and signatures", 0        \
	}
#define NOW_OPTION NOW_OPTION_OF("")
#define CACHE_OPTION                                                                               \
	{                                                                                          \
		"--cache", FILES("DIRECTORY"), "keeps compiled databases there", 0                 \
	}
#define SCORE_OPTION                                                                               \
	{                                                                                          \
		"--score-set", {GRAMMAR_CHOICE, "N", score_sets},                                  \
			"which of four scores counts, 1 unless given", 0                           \
	}

static const struct grammar_option check_options[] = {
	{"--explain", FLAG, "each rule: tier, text, gate and why", 0},
	CACHE_OPTION,
	SCORE_OPTION,
};
static const struct grammar_option test_options[] = {
	{"--rules", FILES("FILE"), "rule file", .many = true},
	{"--config", FILES("FILE"),
	 "configuration, whose rules, relays, lists and thresholds count", 0},
	CACHE_OPTION,
	SCORE_OPTION,
	{"--parts", FLAG, "rules in __, too", 0},
	{"--ip", ADDRESS("IP"), "who connects", 0},
	{"--helo", TEXT("NAME"), "what it says in HELO", 0},
	{"--from", ADDRESS("ADDR"), "envelope sender", 0},
};
static const struct grammar_option compile_options[] = {
	{"--output", FILES("FILE"), "what is written", .needed = true},
	{"--all-views", FLAG, "the dataplane makes every view", 0},
	{"--config", FILES("FILE"), "the rules of this configuration, instead of files", 0},
};
static const struct grammar_option keys_options[] = {CONFIG_OPTION, NOW_OPTION};
static const struct grammar_option keys_check_options[] = {CONFIG_OPTION, ZONE_OPTION, NOW_OPTION};
static const struct grammar_option generate_options[] = {
	{"--type", CHOICE(key_types), "rsa unless given", 0},
	{"--bits", TEXT("N"), "of RSA: 2048 to 4096", 0},
	{"--domain", TEXT("NAME"), "under which the record is published", .needed = true},
	{"--selector", TEXT("NAME"), "by which the key is found", .needed = true},
};
static const struct grammar_option scan_options[] = {
	{"--config", FILES("FILE"), "configuration; without one nothing is connected to", 0},
	{"--ip", ADDRESS("IP"), "who connects", 0},
	{"--helo", TEXT("NAME"), "what it says in HELO", 0},
	{"--from", ADDRESS("ADDR"), "envelope sender", 0},
	{"--rcpt", ADDRESS("ADDR"), "recipient; the first one's route counts", .many = true},
	ZONE_OPTION,
	NOW_OPTION,
	{"--output", FILES("FILE"), "the message as it would be delivered", 0},
};
/* of: of what, where the command takes other things as well. */
#define LOOK_OPTIONS(of)                                                                           \
	{"--gateway", ADDRESS("IP"), of "an address from which the gateway connects over there",   \
	 .many = true},                                                                            \
		{"--skip", TEXT("LIST"),                                                           \
		 of "what the other side skips: addresses, ranges, prefixes, by commas",           \
		 .many = true},                                                                    \
		{"--mail-from", ADDRESS("ADDR"), of "envelope sender, else Return-Path", 0},       \
		{"--from", ADDRESS("ADDR"), of "the same as --mail-from", 0},                      \
		{"--helo", TEXT("NAME"), of "what the gateway says in HELO", 0},                   \
		ZONE_OPTION_OF(of), NOW_OPTION_OF(of)
static const struct grammar_option simulate_options[] = {
	LOOK_OPTIONS(""),
	{"--no-detect", FLAG, "Gmail does not look for the external address", 0},
};
static const struct grammar_option explain_options[] = {
	LOOK_OPTIONS("of a file: "),
	{"--database", FILES("FILE"), "of a trace id: the index", 0},
	{"--log", FILES("FILE"), "of a trace id: the log of the index", 0},
	{"--config", FILES("FILE"), "of a trace id: whose index and log they are", 0},
};
static const struct grammar_option replay_options[] = {
	{"--ports", TEXT("LIST"), "TCP ports of the servers, 25 unless given", 0},
	{"--midstream", FLAG, "connections as well that began before the capture", 0},
	{"--ignore-checksums", FLAG, "of captures made on a sending host", 0},
	{"--anomalies", FLAG, "each gap and oddity of a connection, too", 0},
	{"--max-sessions", TEXT("N"), "at once", 0},
	{"--dataplane", FILES("PATH"), "the program", 0},
};
static const struct grammar_option doctor_options[] = {
	CONFIG_OPTION,
	{"--egress", ADDRESS("ADDRESS"), "address or network that the cloud sees", .many = true},
	{"--users", ADDRESS("ADDR"), "of exchange: these recipients first", .many = true},
	{"--connectors", FILES("FILE"), "of exchange: the tenant's export of its connectors", 0},
	{"--verify", FILES("FILE|-"), "a message that arrived there; its own record is compared",
	 .many = true},
	ZONE_OPTION,
	NOW_OPTION,
};

static const struct grammar_argument rule_files[] = {
	{FILES("FILE"), "rule file", .many = true, .needed = true}};
static const struct grammar_argument compile_files[] = {{FILES("FILE"), "rule file", .many = true}};
static const struct grammar_argument test_files[] = {{FILES("FILE|-"), "message", .many = true}};
static const struct grammar_argument key_file[] = {{FILES("FILE"), "file", .needed = true}};
static const struct grammar_argument message[] = {
	{FILES("FILE|-"), "message file", .needed = true}};
static const struct grammar_argument explained[] = {
	{VALUE(MESSAGE, "TRACE-ID|FILE|-"), "trace id or message file", .needed = true}};
static const struct grammar_argument simulate_arguments[] = {
	{CHOICE(walkers), "reader", .needed = true},
	{FILES("FILE|-"), "message file", .needed = true}};
static const struct grammar_argument captures[] = {
	{FILES("FILE.pcap"), "capture file", .many = true, .needed = true}};
static const struct grammar_argument doctor_arguments[] = {
	{CHOICE(clouds), "cloud", .needed = true},
	{VALUE(ROUTE, "ROUTE"), "route", .needed = true},
	{FILES("FILE"), "message, behind --verify", .many = true}};
static const struct grammar_argument command_words[] = {
	{VALUE(COMMAND, "WORD"), "word of a command", .many = true}};
static const struct grammar_argument any_words[] = {{TEXT("WORD"), "word", .many = true}};

const struct grammar_command grammar_files[] = {
	{"explain",
	 "a message: by its trace id, or a file: which hop hid the sender, what broke signatures",

	 "Of a trace id: All that is known of one message: the walk to its sender, checks, rules "
	 "and their scores, decision, next hop, replies, times. Exits 1 if there is no "
	 "record.\nOf a file: What happened to a message on its way into a mailbox, behind "
	 "whatever relay: whom the mailbox took for the sender (by its own stamp, else by the "
	 "list, else the topmost public address), which hop hid the sender, what broke which DKIM "
	 "signature and who stood in its way, and what to configure. Without a list a relay is "
	 "told from a sender by SPF. Lines are read leniently, and whatever stands below the "
	 "first server that is not yours may be forged: findings are hints. Exits 1 if there are "
	 "any.\nWhat servers found is told as they wrote it (Authentication-Results and its "
	 "relatives, Received-SPF), the mailbox host's marked. For the first three broken "
	 "signatures the usual changes are taken back, alone and together, until the hashes fit: "
	 "a tag in the Subject, From written over by a list, a field added, lines added at the "
	 "end, the beginning or in the middle, a banner or footer in text and HTML, a multipart "
	 "put around the body, another transfer encoding. What fits is proof; finding nothing "
	 "says little, for the work is bounded (4 MB of body, about a second).\nFindings: "
	 "*sender-hidden*, *nat-hides*, *line-missing*, *taken-not-in-chain*, *spf-fails*, "
	 "*modified-upstream* (cannot be repaired behind the server that did it), "
	 "*signed-field-missing*, *signer-key*, *signature-unusable*, *arc-sealer* (DMARC failed, "
	 "and a sealer whose chain is whole had seen it pass), *arc-broken*.",
	 OPTIONS(explain_options), ARGUMENTS(explained), RUN(cmd_explain_any, 0),
	 .flags = GRAMMAR_DASHES},
	{"scan", "judge a message file; no daemon needed",
	 "Judge a message file with the daemon's own code. With --dns-zone only these zone files "
	 "answer and no packet is sent. --output writes the message as it would be delivered. The "
	 "route, and with it what is sealed and how, is that of the first --rcpt.",
	 OPTIONS(scan_options), ARGUMENTS(message), RUN(cmd_scan, 0),
	 .flags = GRAMMAR_DASHES},
	{"simulate", "whom the other side would take for the sender",
	 "Whom the other side would take for the sender, with its setting and without: address, "
	 "HELO, the walk over Received hop by hop, and what SPF and DMARC (with DKIM over the "
	 "message as it is) say of each. The first two lines are the answer. With --gateway comes "
	 "an address from which the other side sees the gateway connect, and with --helo what the "
	 "gateway says there. What else the other side is told to skip is listed with --skip, by "
	 "commas: addresses, ranges a-b, prefixes. *exchange* without --skip skips the last "
	 "address only. With --no-detect Gmail's detection of the external address is off. The "
	 "envelope sender is --mail-from (--from is the same), else Return-Path. In a message out "
	 "of a mailbox the walk begins at the line that names the gateway; in one that is yet to "
	 "be delivered, at the gateway itself. Exchange's and Gmail's readers are not documented: "
	 "these are models. Exits 1 if no sender was found.",
	 OPTIONS(simulate_options), ARGUMENTS(simulate_arguments), RUN(cmd_simulate, 0),
	 .flags = GRAMMAR_DASHES},
	{"replay", "the mail that a capture shows; no daemon needed",
	 "The mail that captures show (pcap and pcapng, of Ethernet; several files are one feed, "
	 "read by the time of their packets): a row for each message, with its flow, sender, the "
	 "first recipient and how many more, octets of content, was it seen whole, the server's "
	 "final reply (\"not seen\" if it is not in the capture) and what was odd; a row for each "
	 "flow that went on in TLS; then what was counted. *postern-dataplane*(8) reads them with "
	 "--tap-dump, as the caller, without huge pages, devices or daemon; nothing but the files "
	 "is touched. It is looked for beside posternctl, in ../sbin and in the PATH, unless "
	 "*--dataplane* says where. *--json*: its lines, which docs/tap.md describes. *--ports*: "
	 "TCP ports of the servers, 25 unless given. *--midstream*: connections as well that "
	 "began before the capture. *--ignore-checksums*: for captures made on a sending host, "
	 "whose NIC fills them in. *--anomalies*: a row for each gap and each oddity of a "
	 "connection, too. Exits 1 if a message is incomplete, anything was odd, or a file is cut "
	 "off or damaged; 3 if the dataplane cannot be run.",
	 OPTIONS(replay_options), ARGUMENTS(captures), RUN(cmd_replay, 0),
	 .flags = GRAMMAR_DASHES},
	{"doctor", "is our side fit, what is to be set over there, how did a message fare",
	 "Is our side of the route fit for that cloud: a fixed public IPv4 egress address "
	 "(*--egress*: the ones that the cloud sees, where a NAT or further instances stand "
	 "between), its PTR and the SPF of our name, TLS and our certificate, names with "
	 "characters that nobody sees, the sealer's key in the DNS, next hops and MX records. "
	 "Then what is to be set over there, relays of the configuration included: PowerShell for "
	 "Exchange Online (*--users*: with these recipients first), or the inbound gateway "
	 "settings of Gmail. *--connectors* is the tenant's own export (Get-InboundConnector | "
	 "ConvertTo-Json): OnPremises connectors and CloudServicesMailEnabled are a FAIL, and "
	 "addresses that are missing in skip lists are named.\nWith *--verify*: Compares what the "
	 "cloud stamped on messages out of a mailbox with our own record in them: did they come "
	 "through this gateway, whom did it judge, what came of SPF, DKIM, DMARC and ARC, was the "
	 "filter passed by. Of several messages it says whether the fault hangs on the address "
	 "that handed them over. docs/doctor.md has the codes and the JSON, "
	 "docs/troubleshooting.md goes from symptoms to cures. Exits 3 if nothing was found but "
	 "not all could be looked at.",
	 OPTIONS(doctor_options), ARGUMENTS(doctor_arguments), RUN(cmd_doctor, 0),
	 .flags = GRAMMAR_DASHES},
	{"rules check", "what is wrong or not supported, and the plan",
	 "What is wrong or not supported, with file and line, and how many rules of each kind are "
	 "decided in which way (docs/rules.md). *--explain* names each rule: its tier, the text "
	 "it looks at, the literals of its gate and how often that opens in 10,000 octets of "
	 "mail, what Hyperscan makes of it alone, and why it is where it is. *--cache* keeps "
	 "compiled databases there. *--score-set*: which of four scores counts, 1 unless given.",
	 OPTIONS(check_options), ARGUMENTS(rule_files), RUN(cmd_rules_check, 1),
	 .flags = GRAMMAR_DASHES},
	{"rules test", "what hits in message files, and where",
	 "What hits in message files: score, rule, tier and description, the text that hit (80 "
	 "octets of it, as a pattern would have it), and the rules that a meta rule is made of; "
	 "the sum, and which of the thresholds it reaches. Views, scan and confirmation are the "
	 "daemon's. The rules are those of *--rules*, else of *--config*, whose relays, lists, "
	 "attachments and thresholds count in either case. *--parts* shows rules in \\_\\_, too. "
	 "Without *--config* and *--ip* who connects is a relay, so that the topmost Received "
	 "says who sent the message; without *--from* MAIL FROM is that of Return-Path. Nobody "
	 "asks the DNS: SPF_PASS and its like do not hit, and of the score what lists in the DNS "
	 "add is not there; *scan* judges a message as a whole. Exits 1 if a file could not be "
	 "read or judged.",
	 OPTIONS(test_options), ARGUMENTS(test_files), RUN(cmd_rules_test, 1),
	 .flags = GRAMMAR_DASHES},
	{"rules compile", "for a bench: what control would push",
	 "Writes what control would push of these rule files, or of those of a configuration: for "
	 "*postern-dataplane*(8) with *--answer* and *--rules*, on this machine and with this "
	 "Hyperscan. *--all-views*: the dataplane makes every view, also those that no rule looks "
	 "at.",
	 OPTIONS(compile_options), ARGUMENTS(compile_files), RUN(cmd_rules_compile, 1),
	 .flags = GRAMMAR_DASHES | GRAMMAR_CHANGES},
	{"keys list", "the keys that seal, and their DNS records",
	 "The keys that seal (ARC): domain, selector, type, bits, state, and the TXT record that "
	 "publishes each; which key each sealing route signs with. State is *signing*, *active* "
	 "(but a newer one signs, or no route uses it), *future* or *past*. FILE is "
	 "/etc/postern/postern.conf unless given; it and the keys are read as the caller.",
	 OPTIONS(keys_options), RUN(cmd_keys, 1)},
	{"keys check", "whether DNS has those records",
	 "Asks DNS for each record, as the file's *dns* section says or in zone files only, and "
	 "whether it verifies what the key signs: *ok*, *missing*, *differs*, or *error* (DNS "
	 "failed), with the reason. Exits 1 unless all are ok and each sealing route has a key "
	 "today. The record of a key whose time is over may be missing.",
	 OPTIONS(keys_check_options), RUN(cmd_keys, 1)},
	{"keys generate", "a new key, and the record to publish",
	 "Writes a new private key (RSA of 2048 bits, unless told otherwise) to FILE, readable by "
	 "its owner only, and prints its record. A file that is there is not touched. "
	 "*postern-control*(8) must be able to read it at each reload.",
	 OPTIONS(generate_options), ARGUMENTS(key_file), RUN(cmd_keys, 1),
	 .flags = GRAMMAR_DASHES | GRAMMAR_CHANGES},
	{"help", "of all commands, or of one",
	 "What there is, or of one command: what it does, its options.", ARGUMENTS(command_words),
	 RUN(cmd_help, 1)},
	{"completion bash", "what bash needs to complete commands",
	 "Prints what bash or zsh needs to complete command lines of *posternctl*; where the "
	 "package is installed they have it. Names of routes, rules and held messages are asked "
	 "of control.",
	 RUN(cmd_completion_bash, 2), .flags = GRAMMAR_OUTSIDE},
	{"completion zsh", "the same for zsh", NULL, RUN(cmd_completion_zsh, 2),
	 .flags = GRAMMAR_OUTSIDE},
	{"completion words", "for those: what the last of these words may be", NULL,
	 ARGUMENTS(any_words), RUN(cmd_completion_words, 2),
	 .flags = GRAMMAR_OUTSIDE | GRAMMAR_RAW},
	{"shell", "commands at a prompt, with completion and help",
	 "Commands at a prompt, as without a command at a "
	 "terminal. See SHELL.",
	 RUN(cmd_shell, 0), .flags = GRAMMAR_OUTSIDE},
	{"exit", "the shell ends, with the status of the last command",
	 "Ends the shell, with the exit status of the "
	 "last command.",
	 .flags = GRAMMAR_SHELL},
	{"quit", "the same", NULL, .flags = GRAMMAR_SHELL},
};
const size_t n_grammar_files = sizeof(grammar_files) / sizeof(grammar_files[0]);
