/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Commands for a running Postern. Their text is the manual's, in scdoc's marks. */

#include "control/cli/cli.h"
#include "control/cli/grammar.h"
#include "control/cli/grammar_table.h"

const struct grammar_group grammar_groups[] = {
	{"show", "what runs, and its counters", NULL},
	{"sources", "where mail comes from, and what that is charged with", NULL},
	{"breaker", "routes whose refusals are watched", NULL},
	{"quarantine", "what is held back", NULL},
	{"config", "the configuration: help, check, diff, reload", NULL},
	{"rules", "rule files: check, test, compile", NULL},
	{"keys", "the keys that seal, and their DNS records", "keys list"},
	{"completion", "for bash and zsh", NULL},
};
const size_t n_grammar_groups = sizeof(grammar_groups) / sizeof(grammar_groups[0]);

static const char *const tops[] = {"cost", "hits", "opened", NULL};
static const char *const watched[] = {"sessions", "messages", "all", NULL};
static const char *const levels[] = {"error", "notice", "info", "debug", NULL};
static const char *const outcomes[] = {"delivered",   "rejected",  "deferred",
				       "quarantined", "discarded", "aborted",
				       "observed",    "unjudged",  NULL};
static const char *const fields[] = {"google", "microsoft", "postern", NULL};

static const struct grammar_option all_option[] = {{"--all", FLAG, "those that are zero, too", 0}};
static const struct grammar_option rules_options[] = {
	{"--top", CHOICE(tops), "those first that cost, hit or opened most", 0},
	{"--limit", TEXT("N"), "so many rules, 1 to 20000", 0},
};
static const struct grammar_option ack_options[] = {
	{"--learn", FLAG, "the refusals are right: they are what is usual", 0},
};
static const struct grammar_option list_options[] = {
	{"--rcpt", ADDRESS("ADDR"), "recipient, or @domain", 0},
	{"--from", ADDRESS("ADDR"), "sender, or @domain", 0},
	{"--limit", TEXT("N"), "so many messages", 0},
};
static const struct grammar_option top_options[] = {
	{"--interval", TEXT("S"), "seconds between two views, 0.1 to 3600", 0},
	{"--sort", TEXT("COLUMN,..."), "the order of workers, routes and rules", 0},
	{"--once", FLAG, "one view, printed", 0},
};
static const struct grammar_option watch_options[] = {
	{"--peer", ADDRESS("IP|NETWORK"), "who connects", 0},
	{"--domain", TEXT("NAME"), "of sender or recipient", 0},
	{"--rule", VALUE(RULE, "NAME"), "that hit", 0},
	{"--trace-id", VALUE(TRACE, "ID"), "Postern's own id of a message", 0},
	{"--route", VALUE(ROUTE, "NAME"), "on which it goes", 0},
	{"--outcome", {GRAMMAR_CHOICE, "WORD", outcomes}, "what became of it", 0},
	{"--limit", TEXT("N"), "so many events", 0},
};
static const struct grammar_option trace_options[] = {
	{"--trace-id", VALUE(TRACE, "ID"), "Postern's own id of a message", 0},
	{"--message-id", TEXT("ID"), "of the header field", 0},
	{"--from", ADDRESS("ADDR"), "sender, or @domain", 0},
	{"--rcpt", ADDRESS("ADDR"), "recipient, or @domain", 0},
	{"--origin", ADDRESS("IP|NETWORK"), "whose message it was", 0},
	{"--outcome", {GRAMMAR_CHOICE, "WORD", outcomes}, "what became of it", 0},
	{"--rule", VALUE(RULE, "NAME"), "that hit", 0},
	{"--route", VALUE(ROUTE, "NAME"), "on which it went", 0},
	{"--since", TEXT("TIME"), "2026-01-31, 2026-01-31T12:00:00Z, or 90s, 30m, 2h, 7d ago", 0},
	{"--until", TEXT("TIME"), "the same", 0},
	{"--limit", TEXT("N"), "so many records, 1 to 10000", 0},
	{"--before", TEXT("N"), "goes on where the last page ended", 0},
	{"--long", FLAG, "paragraphs", 0},
	{"--csv", FLAG, "comma-separated", 0},
	{"--fields", CHOICE(fields), "column names of --csv", 0},
	{"--database", FILES("FILE"), "the index", 0},
	{"--log", FILES("FILE"), "the log of the index", 0},
	{"--config", FILES("FILE"), "whose index and log they are", 0},
};
static const struct grammar_option shares_options[] = {
	{"--since", TEXT("TIME"), "2026-01-31, 2026-01-31T12:00:00Z, or 90s, 30m, 2h, 7d ago", 0},
	{"--database", FILES("FILE"), "the index", 0},
	{"--config", FILES("FILE"), "whose index it is", 0},
};
static const struct grammar_option reindex_options[] = {
	{"--database", FILES("FILE"), "the index", 0},
	{"--log", FILES("FILE"), "the log of the index", 0},
	{"--config", FILES("FILE"), "whose index and log they are", 0},
};

static const struct grammar_argument watch_argument[] = {
	{CHOICE(watched), "sessions, messages or all", 0}};
static const struct grammar_argument address_argument[] = {{ADDRESS("ADDRESS"), "address", 0}};
static const struct grammar_argument forgive_argument[] = {
	{ADDRESS("ADDRESS"), "address", .needed = true}};
static const struct grammar_argument rule_argument[] = {
	{VALUE(RULE, "NAME-GLOB"), "pattern of names", 0}};
static const struct grammar_argument route_argument[] = {
	{VALUE(ROUTE, "ROUTE"), "route", .needed = true}};
static const struct grammar_argument held_argument[] = {
	{VALUE(HELD, "ID"), "message", .needed = true}};
static const struct grammar_argument release_arguments[] = {
	{VALUE(HELD, "ID"), "message", .needed = true},
	{ADDRESS("ADDR"), "recipient", .many = true}};
static const struct grammar_argument file_argument[] = {{FILES("FILE"), "configuration file", 0}};
static const struct grammar_argument key_argument[] = {
	{VALUE(KEY, "KEY"), "key or section", .many = true}};
static const struct grammar_argument level_argument[] = {
	{{GRAMMAR_CHOICE, NULL, levels}, "level", 0}};

const struct grammar_command grammar_daemon[] = {
	{"show status", "is it ready, what listens, next hops and their last errors",
	 "What runs, and its counters. *status* exits 1 while the gateway is not ready. *routes*: "
	 "is each route that was used ok, slow or shedding, what is under way and may be, and how "
	 "long waiting, connect, RCPT, dot and all of a message take (p50/p99 of the last minute, "
	 "milliseconds)."},
	{"show workers", "of the dataplane: load, sessions, memory, packets", NULL},
	{"show ports", "of the dataplane: role, link, packets, losses", NULL},
	{"show sessions", "who is connected, and what they are doing", NULL},
	{"show routes", "is each ok, slow or shedding, and how long its stages take", NULL},
	{"show stats", "all counters, with what they count", NULL},
	{"show drops", "what was refused or dropped, and why",
	 "What was refused or dropped, and why; only what is not zero without --all.",
	 OPTIONS(all_option)},
	{"show sources", "the worst and the busiest prefixes, or one",
	 "The worst and the busiest source prefixes: sessions, rate, messages accepted, failures "
	 "by kind, limits that they are over or ran into. With ADDRESS what counts for it.",
	 ARGUMENTS(address_argument), .request = "address"},
	{"show rules", "what each rule did and cost in control",
	 "What each rule of the set in force did and what it cost: how it is decided (tier), "
	 "score, messages on which it hit, messages of which the dataplane told that control must "
	 "look (opened), messages over which control evaluated its pattern, microseconds of that, "
	 "and microseconds an evaluation. Below, of all messages since control began: with how "
	 "many a gate opened, how many had every pattern evaluated, what control spent a message; "
	 "and which of the rules shown met a limit of PCRE2. *--top* puts those first that cost, "
	 "hit or opened most, 20 of them unless --limit says another number (at most 20000), and "
	 "leaves out those that did not. NAME-GLOB: \\* and ?, in any case. On a terminal the "
	 "table is as wide as that, longer names end in ~, and numbers of six digits and more are "
	 "short; *--json* has them whole. Counts of a rule go on over a reload while each set has "
	 "a rule of its name and kind (docs/rules.md).",
	 OPTIONS(rules_options), ARGUMENTS(rule_argument), RUN(cmd_show_rules, 1),
	 .flags = GRAMMAR_DASHES},
	{"show config", "what is in force, key by key",
	 "What is in force, key by key, as a file would say it; what it does not say is the "
	 "default. Keys and header prefixes are not shown. Behind a # what the file says and a "
	 "restart of control would bring."},
	{"sources forgive", "forget an address's failures",
	 "Forgets failures and rate of the address (of IPv6: of its /64 and of its /48); what is "
	 "open stays counted.",
	 ARGUMENTS(forgive_argument), .request = "address", .flags = GRAMMAR_CHANGES},
	{"breaker show", "which routes' refusals are watched, and what is usual",
	 "Of each route that was used: is its breaker open and since when, the share of 5xx at "
	 "RCPT in its window, what is usual there, and the share at which it opens."},
	{"breaker ack", "pass a route's 5xx on again",
	 "An operator has seen to it: the 5xx of the route are passed on again, and what it "
	 "refused since the breaker opened, or just before, is forgotten. *--learn*: the refusals "
	 "are right. They stay, and their share is what is usual from now on.",
	 OPTIONS(ack_options), ARGUMENTS(route_argument), .request = "route",
	 .flags = GRAMMAR_CHANGES},
	{"top", "rates, workers, routes and rules, live",
	 "A screen of rates, workers, routes with their next hops, and rules, each second or "
	 "each S seconds (0.1 to 3600). COLUMN is *worker*, *busy*, *packets*, *sessions* or "
	 "*messages* of workers, *route*, *load*, *queue*, *latency* or *failing* of routes, "
	 "*hits* or *cost* of rules. *-* is a rate that is not known: the first one, and "
	 "after a restart. Keys: *q* quits, space pauses, *w* *n* *r* change the order of "
	 "workers, routes and rules, *W* *N* *R* show one of them alone. It waits for a "
	 "daemon that is not there. With *--once*, or where standard output is no terminal "
	 "that can be drawn upon, it is printed once; *--json*: postern.top.1 of docs/json.md, a line a view.",
	 OPTIONS(top_options), RUN(cmd_top, 0)},
	{"watch", "sessions and messages as they happen",
	 "Sessions and messages (*all*, the default) as they happen, a line an event, until "
	 "it is interrupted, N events were printed, or the daemon ends (exit status 3). All "
	 "filters must fit; all but *--peer* are of messages and leave sessions out. NAME of "
	 "a rule may hold \\* and ?. Mail does not wait: what is not read in time is left out, "
	 "and it is said how many events. *--json*: postern.watch.1 of docs/json.md.",
	 OPTIONS(watch_options), ARGUMENTS(watch_argument), RUN(cmd_watch, 0),
	 .flags = GRAMMAR_DASHES},
	{"trace", "what became of messages",
	 "What became of messages, newest first, out of the index of the trace. ADDR is a mailbox "
	 "or @domain; WORD is *delivered*, *rejected*, *deferred*, *quarantined*, *discarded*, "
	 "*aborted*, or of tap ports *observed* or *unjudged*; TIME is 2026-01-31T12:00:00Z, "
	 "2026-01-31, or so long ago: 90s, 30m, 2h, 7d, 1w. At most 20 unless --limit says "
	 "another number (up to 10000); *--before* goes on where the last page ended. A table as "
	 "wide as the terminal, longer texts end in ~; *--long* has paragraphs, as has "
	 "*--trace-id*; *--csv* has up to 10000 lines, with the column names of other mail "
	 "systems if *--fields* says so. The files are those of the running process, else of "
	 "*--config* (/etc/postern/postern.conf), or those given; they are only read, and no "
	 "daemon is needed.",
	 OPTIONS(trace_options), RUN(cmd_trace, 0)},
	{"trace shares", "verdicts by route, listener and egress address",
	 "Outcomes by route, our address that clients connected to, and our address that the next "
	 "hop saw, of the last 24 hours unless said otherwise; and which of these ways differs "
	 "from the others of its route. Exits 1 if one does.",
	 OPTIONS(shares_options), RUN(cmd_trace, 0)},
	{"trace status", "where log and index are, and how far it is",
	 "Where log and index are, and how far the index is. Exits 1 if it cannot be written at "
	 "the moment.",
	 RUN(cmd_trace, 0)},
	{"trace reindex", "the index anew, out of the log",
	 "Makes the index anew out of the log files that are there: the running process does it, "
	 "or *posternctl* if there is none or files were named.",
	 OPTIONS(reindex_options), RUN(cmd_trace, 0), .flags = GRAMMAR_CHANGES},
	{"quarantine list", "what is held back, newest first",
	 "What is held back, newest first. ADDR is a mailbox or @domain.", OPTIONS(list_options),
	 RUN(cmd_quarantine, 1)},
	{"quarantine show", "a message that is held back",
	 "Envelope, reason, the header block that would go in front, and the message as it came.",
	 ARGUMENTS(held_argument), RUN(cmd_quarantine, 1)},
	{"quarantine release", "to its next hop after all",
	 "Delivers it after all: the sender's octets, envelope and header block as they would "
	 "have gone out then, by the routes of now. Who has it is struck off; with nobody left it "
	 "is deleted. Exit code 1 if somebody still waits.",
	 ARGUMENTS(release_arguments), RUN(cmd_quarantine, 1), .flags = GRAMMAR_CHANGES},
	{"quarantine delete", "for good", "For good.", ARGUMENTS(held_argument),
	 RUN(cmd_quarantine, 1), .flags = GRAMMAR_CHANGES},
	{"drain", "answer new connections with 421",
	 "Answer new connections with 421, or no longer.", .flags = GRAMMAR_CHANGES},
	{"undrain", "answer them as ever", NULL, .flags = GRAMMAR_CHANGES},
	{"loglevel", "how much control says in its log, or shall say until it ends",
	 "How much *postern-control*(8) says in its log: *error*, *notice*, *info* (as it starts) "
	 "or *debug* (a line for each message and each question of an operator). With a level: "
	 "sets it, until control ends. ALERTs are always told.",
	 ARGUMENTS(level_argument), .request = "level", .flags = GRAMMAR_CHANGES},
	{"config help", "every key: type, bounds, default, meaning",
	 "Type, unit, bounds, default and meaning of a key (_route.port_), of each key of that "
	 "name (_port_), or of a section (_route_). Without KEY a line each.",
	 ARGUMENTS(key_argument), RUN(cmd_config_help, 2)},
	{"config check", "errors with file, line and key",
	 "Errors with file, line and key; warnings of what is taken and should be known.",
	 ARGUMENTS(file_argument), RUN(cmd_config_check, 2)},
	{"config diff", "what a file would change, and what needs a restart",
	 "What FILE, else the file that control was started with, would change: key, what is in "
	 "force, what it says. Of lists the entries that go and come; of what is not shown only "
	 "that it differs. *(restart)* stands behind what a reload does not take over. Only names "
	 "of keys and the syntax are checked, and no file that it names is opened, so that "
	 "whoever may read FILE may ask. Exits 1 if anything differs.",
	 ARGUMENTS(file_argument), RUN(cmd_config_diff, 2)},
	{"config reload", "take the configuration over, or say why not",
	 "Take the configuration over, as a whole. On an error the old one stays. What needs a "
	 "restart is named. What takes long is shown on standard error: the stage (reading, "
	 "compiling, taking, pushing; docs/rules.md) and how many patterns are compiled; not with "
	 "*--json*.",
	 .flags = GRAMMAR_CHANGES},
};
const size_t n_grammar_daemon = sizeof(grammar_daemon) / sizeof(grammar_daemon[0]);
