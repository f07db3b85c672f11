/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Keys about what is found in mail and what is done with it: policy, dnsbl, list, attachment,
 * quarantine, rules. */

#include "control/config/config.h"
#include "control/config/keys_all.h"
#include "postern/limits.h"

/* ---- policy --------------------------------------------------------------------------------- */

static const char *const dmarc_words[] = {[CONFIG_DMARC_ENFORCE] = "enforce",
					  [CONFIG_DMARC_MONITOR] = "monitor",
					  [CONFIG_DMARC_STRICT] = "strict",
					  NULL};
static const char *const action_words[] = {[CONFIG_ACCEPT] = "accept",
					   [CONFIG_TAG] = "tag",
					   [CONFIG_QUARANTINE] = "quarantine",
					   [CONFIG_DISCARD] = "",
					   [CONFIG_DEFER] = "defer",
					   [CONFIG_REJECT] = "reject",
					   NULL};
/* What may be right at the next try is never refused for good. */
static const char *const passing_words[] = {
	[CONFIG_ACCEPT] = "accept", [CONFIG_TAG] = "tag",     [CONFIG_QUARANTINE] = "quarantine",
	[CONFIG_DISCARD] = "",      [CONFIG_DEFER] = "defer", NULL};
/* The one key by which a message may vanish. */
static const char *const deny_words[] = {[CONFIG_ACCEPT] = "",
					 [CONFIG_TAG] = "tag",
					 [CONFIG_QUARANTINE] = "quarantine",
					 [CONFIG_DISCARD] = "discard",
					 [CONFIG_DEFER] = "defer",
					 [CONFIG_REJECT] = "reject",
					 NULL};
static const char *const required_words[] = {[CONFIG_DKIM_NONE] = "none",
					     [CONFIG_DKIM_PASSING] = "passing",
					     [CONFIG_DKIM_ACCEPTABLE] = "acceptable",
					     [CONFIG_DKIM_AUTHOR] = "author",
					     NULL};
static const char *const l_words[] = {"pass", "fail", NULL};
static const char *const dmarc_hold_words[] = {"tag", "quarantine", NULL};
static const char *const testing_words[] = {"unsigned", "pass", NULL};

static const struct config_info keys_policy[] = {
	{BOOL("dry-run", "no"),
	 .text = "Policy refuses, defers and holds back nothing, but a message whose sender is not "
		 "known. What would have been done is in the trace (would), in X-Postern-Verdict "
		 "and counted (policy_spared); tags stay. The greylist learns and defers nobody."},
	{NUMBER("tag-score", 0, LIMIT_RULES_SCORE, 5), .unit = "score",
	 .text = "From which a message is tagged. 0: off."},
	{NUMBER("quarantine-score", 0, LIMIT_RULES_SCORE, 0), .unit = "score",
	 .text = "From which it is held back; needs a section `quarantine` or "
		 "`quarantine-mailbox`. 0: off."},
	{NUMBER("defer-score", 0, LIMIT_RULES_SCORE, 0), .unit = "score",
	 .text = "From which it is deferred, 451; below `reject-score`. 0: off."},
	{NUMBER("reject-score", 0, LIMIT_RULES_SCORE, 0), .unit = "score",
	 .text = "From which it is refused; not below `tag-score`. 0: off."},
	{OF(OTHER, "allow-origins"),
	 .form = "list of addresses and networks, or path of a file with one a line",
	 .otherwise = "none",
	 .text = "Original senders that are let in. In a file `#` begins a comment; up to a "
		 "million, without bits behind the prefix. Of `allow-origins` and `deny-origins` "
		 "the longer prefix counts; the same network in both is an error."},
	{OF(OTHER, "deny-origins"),
	 .form = "list of addresses and networks, or path of a file with one a line",
	 .otherwise = "none", .text = "Original senders that are not let in."},
	{OF(OTHER, "deny-senders"),
	 .form = "list, or path of a file, of `user@example.org`, `@example.org`, or "
		 "`@.example.org` for all below",
	 .otherwise = "none", .text = "MAIL FROM that is not let in."},
	{OF(OTHER, "allow-domains"),
	 .form = "list, or path of a file, of `example.org`, or `.example.org` for all below",
	 .otherwise = "none",
	 .text = "Domains that are let in as they are authenticated: by DMARC, DKIM, SPF of MAIL "
		 "FROM, or as a trusted sealer."},
	{OF(OTHER, "deny-domains"), .form = "as `allow-domains`", .otherwise = "none",
	 .text = "Domains that are not let in as they are authenticated. A deny stands over every "
		 "allow."},
	{CHOICE("deny-action", deny_words, "reject"),
	 .text = "Of what a deny list names. `discard` answers 250 and gives it to nobody; the log "
		 "says at each start and reload that this is configured."},
	{LIST("allow-skips", 0, 7, "`score`, `dnsbl`, `checks`, `greylist`, `rules`, `dmarc`"),
	 .otherwise = "score, dnsbl, checks, greylist",
	 .text = "What mail that an allow list names is spared. Never spared is a sender that is "
		 "not known."},
	{BOOL("greylist", "no"),
	 .text = "A sender nobody knows yet is told to try again, 451 4.7.1 (RFC 6647). "
		 "docs/policy.md says who is asked and who is known."},
	{TIME("greylist-delay", 1, 3600, DEFAULT_GREYLIST_DELAY_S),
	 .text = "A retry passes no earlier behind the first attempt."},
	{TIME("greylist-window", 600, 7 * 86400, DEFAULT_GREYLIST_WINDOW_S),
	 .text = "And no later; more than `greylist-delay`."},
	{TIME("greylist-lifetime", 86400, 366 * 86400, DEFAULT_GREYLIST_LIFETIME_S),
	 .text = "For which what has passed is kept since it was last used."},
	{COUNT("greylist-prefix-v4", 16, 32, 24), .unit = "bits",
	 .text = "Of an origin, that are one sender."},
	{COUNT("greylist-prefix-v6", 32, 128, 64), .unit = "bits", .text = "The same of IPv6."},
	{OF(STRING, "quarantine-mailbox"), .form = "an address",
	 .text = "To which what is held back goes, instead of into the directory of `quarantine`. "
		 "The sender hears 250 once its next hop has taken it, else 451. The header block "
		 "says the envelope (X-Postern-Envelope-From, X-Postern-Envelope-To)."},
	{OF(STRING, "quarantine-route"), .form = "name of a route",
	 .otherwise = "that of its domain", .text = "By which that goes."},
	{CHOICE("dmarc", dmarc_words, "enforce"),
	 .text = "What a DMARC verdict (RFC 9989) does. `enforce`: a message that fails under "
		 "p=quarantine or p=reject is tagged; under p=reject it is refused with 550 5.7.26 "
		 "if something else speaks against it as well: a score at `tag-score` or over, a "
		 "listing (`dnsbl`), SPF fail and no DKIM signature that passed or may pass. A "
		 "message whose author cannot be determined (no From or several, malformed "
		 "addresses, more than 5 domains) is tagged. `strict`: both are refused outright; "
		 "lists and forwarders that break signatures suffer. `monitor`: nothing is done, "
		 "results are told only."},
	{CHOICE("dmarc-quarantine", dmarc_hold_words, "tag"),
	 .text = "`quarantine`: what is tagged by `dmarc` is held back instead."},
	{LIST("trusted-sealers", 0, LIMIT_POLICY_DOMAINS, "domains"),
	 .text = "Whose ARC chains lift a failed DMARC: d= of the newest seals. docs/dmarc.md says "
		 "when."},
	{LIST("trusted-forwarders", 0, LIMIT_POLICY_DOMAINS, "domains"),
	 .text = "That lift it when they are authenticated: by DKIM, or by SPF of MAIL FROM. "
		 "Whoever can send through them can send as anybody."},
	{LIST("protected-domains", 0, LIMIT_POLICY_DOMAINS, "domains"),
	 .text = "Author domains, your own and your brands, that are refused whenever DMARC fails, "
		 "whatever their policy. They need a DMARC record. Not with `dmarc` = `monitor`."},
	{CHOICE("dkim-l", l_words, "pass"), .text = "A DKIM signature whose l= is shorter than the "
						    "body; `fail` makes it dkim=policy."},
	{NUMBER("dkim-l-score", 0, LIMIT_RULES_SCORE, 1), .unit = "score",
	 .text = "Added to that of a message that has passing signatures of that kind only. 0: "
		 "off."},
	{CHOICE("dkim-testing", testing_words, "unsigned"),
	 .text = "A DKIM pass by a key with t=y counts for nothing (RFC 6376 3.6.1), or, `pass`, "
		 "counts."},
	{CHOICE("dkim-required", required_words, "none"),
	 .text = "`passing`: a signature that passes; `acceptable`: over the whole body, by a key "
		 "that is not testing; `author`: such a one of each author's domain."},
	{CHOICE("dkim-missing", action_words, "tag"),
	 .text = "What is done without what `dkim-required` says."},
	{CHOICE("spf-fail", action_words, "accept"),
	 .text = "What SPF fail does by itself. Excused by dmarc=pass and by those who lift a "
		 "failed DMARC."},
	{CHOICE("spf-permerror", action_words, "accept"),
	 .text = "What SPF permerror does by itself."},
	{CHOICE("spf-temperror", passing_words, "accept"),
	 .text = "What SPF temperror does by itself."},
	{CHOICE("reverse-dns", action_words, "accept"),
	 .text = "What an origin without a name, or with one that does not lead back, does by "
		 "itself."},
	{CHOICE("arc-fail", action_words, "accept"),
	 .text = "What a broken ARC chain does by itself. Excused as `spf-fail` is."},
	{CHOICE("null-mx", action_words, "accept"),
	 .text = "What a domain of MAIL FROM does whose MX says that it takes no mail. Asks for "
		 "that MX."},
	/* Of the whole only: nobody knows a route when a client connects. */
	{BOOL("allow-private-peer", "no"), .flags = KEY_WHOLE_ONLY,
	 .text = "Takes a private peer that no relay lists as the sender, for labs."},
	{LIST("deny", 0, LIMIT_POLICY_NETS, "addresses or networks"), .flags = KEY_WHOLE_ONLY,
	 .text = "Without bits behind the prefix. These clients are refused with 554."},
	{LIST("allow", 0, LIMIT_POLICY_NETS, "addresses or networks"), .flags = KEY_WHOLE_ONLY,
	 .text = "No limit of `sources` holds for these. Of `deny` and `allow` the longer prefix "
		 "counts, so each can have exceptions; the same network in both is an error. A "
		 "peer of the `trust` list is always heard."},
};

/* ---- dnsbl, list, attachment ---------------------------------------------------------------- */

/* Of what is found: the score alone is "none". */
static const char *const finding_words[] = {[CONFIG_ACCEPT] = "none",
					    [CONFIG_TAG] = "tag",
					    [CONFIG_QUARANTINE] = "quarantine",
					    [CONFIG_DISCARD] = "",
					    [CONFIG_DEFER] = "defer",
					    [CONFIG_REJECT] = "reject",
					    NULL};
static const char *const dnsbl_words[] = {"block", "allow", NULL};
static const char *const kind_words[] = {
	[LIST_DOMAIN] = "domain", [LIST_URI] = "uri", [LIST_SHA256] = "sha256", NULL};
static const char *const match_words[] = {"exact", "below", NULL};

#define FINDING                                                                                    \
	{NUMBER("score", -LIMIT_RULES_SCORE, LIMIT_RULES_SCORE, 1), .unit = "score",               \
	 .text = "Added to the message's."},                                                       \
		{CHOICE("action", finding_words, "none"), .text = "`none`: the score alone."},     \
	{                                                                                          \
		OF(STRING, "describe"),                                                            \
			.form = "printable ASCII, up to 200 octets",                               \
			.text = "What the trace and `posternctl rules test` say of it."            \
	}

static const struct config_info keys_dnsbl[] = {
	{OF(DOMAIN, "zone"), .needed = "the domain under which addresses are looked up",
	 .text = "The domain of the list, up to 189 octets."},
	{CHOICE("kind", dnsbl_words, "block"),
	 .text = "`allow`: a list of the good, whose score is 0 or less and which has no evidence "
		 "or action."},
	{LIST("answers", 1, LIMIT_DNSBL_ANSWERS,
	      "addresses, `127.0.0.2`; networks, `127.0.0.8/29`; or ranges by octet, "
	      "`127.0.*.4-7`"),
	 .otherwise = "any but 127.0.0.1",
	 .text = "Answers that count, within 127.0.0.0/8 and not all within 127.255.255.0/24, "
		 "which are error codes."},
	{BOOL("test-entries", "yes"),
	 .text = "The list has 127.0.0.2 and has not 127.0.0.1, and is not believed otherwise. "
		 "`no`: for a private list that has none."},
	{NUMBER("score", -LIMIT_RULES_SCORE, LIMIT_RULES_SCORE, 0), .unit = "score",
	 .text = "Added to the message's."},
	{OF(BOOL, "evidence"), .otherwise = "yes, unless `kind` is `allow`",
	 .text = "A listing counts beside a failed DMARC."},
	{CHOICE("action", finding_words, "none"), .text = "What a listing does by itself."},
	{OF(STRING, "reply"), .form = "printable ASCII, up to 150 octets",
	 .text = "Behind \"ADDRESS is listed in ZONE.\" in the reply; with `defer` or `reject` "
		 "only."},
};

static const struct config_info keys_list[] = {
	{CHOICE("kind", kind_words, "domain"), .text = "`domain`: the hosts of URIs."},
	{OF(PATH, "file"), .needed = "the path of the list",
	 .text = "One entry a line; `#` behind white space begins a comment. Up to 16,000,000 "
		 "entries, 1 GiB."},
	{CHOICE("match", match_words, "below"),
	 .text = "Of domains: what lies below an entry is listed as well."},
	FINDING,
};

static const struct config_info keys_attachment[] = {
	{LIST("extensions", 1, LIMIT_ATTACHMENT_WORDS, "`exe`, without a dot"),
	 .text = "Without case."},
	{LIST("names", 1, LIMIT_ATTACHMENT_WORDS, "`invoice*.js`"),
	 .text = "Names without folders, without case."},
	{LIST("contents", 1, LIMIT_ATTACHMENT_WORDS, "types"),
	 .text = "By the octets: empty unknown text html xml rtf pdf ps script lnk url exe elf "
		 "macho class wasm chm ole onenote tnef swf zip ooxml jar rar sevenzip gzip bzip2 "
		 "xz zstd cab ace arj lzh tar iso vhd udf png jpeg gif bmp tiff webp ico mp3 mp4 "
		 "ogg riff email calendar vcard pgp pkcs7."},
	{LIST("types", 1, LIMIT_ATTACHMENT_WORDS, "`application/x-*`"),
	 .text = "Declared types, without case."},
	{OF(PATH, "hashes"), .text = "File with SHA-256 of parts, one a line."},
	{BOOL("double-extension", "no"),
	 .text = "A document's in front of a program's: invoice.pdf.exe."},
	{BOOL("disguised", "no"), .text = "Formatting characters in the name."},
	{BOOL("mismatch", "no"),
	 .text = "A program by its octets, declared or named as something else."},
	{BOOL("encrypted", "no"), .text = "Archives with encrypted members."},
	{BOOL("broken", "no"), .text = "Archives whose members cannot be told."},
	{BOOL("members", "yes"), .text = "Names of members of zip archives count."},
	FINDING,
};

/* ---- quarantine, rules ---------------------------------------------------------------------- */

static const struct config_info keys_quarantine[] = {
	{OF(PATH, "directory"), .flags = KEY_RESTART, .form = "a directory",
	 .needed = "where messages are held",
	 .text = "Made if it is not there; owned by the user that control runs as, and by one "
		 "control only."},
	{SIZE("max-size", 0, 1e15, 0),
	 .text = "Of messages; what would go over it gets 452 4.3.1. 0: no bound."},
	{SIZE("min-free", 0, 1e15, DEFAULT_QUARANTINE_FREE),
	 .text = "Left free on the file system; below it the same."},
	{TIME("max-age", 3600, 3650.0 * 86400, DEFAULT_QUARANTINE_AGE_S),
	 .text = "Older messages are deleted."},
};

static const struct config_info keys_rules[] = {
	{LIST("files", 0, LIMIT_RULES_FILES, "absolute paths; wildcards in the last part only"),
	 .text = "The language is SpamAssassin's (docs/rules.md). Rules that need what is not here "
		 "are left out, and `posternctl rules check` names them; a bad pattern refuses the "
		 "whole set."},
	{OF(PATH, "cache"), .form = "a directory", .otherwise = "`rules` beside `api.socket`",
	 .text = "For what was compiled; made if it is not there. Only the user that control runs "
		 "as may write there: what lies there is what is looked for. Without it every "
		 "start compiles."},
	{SIZE("cache-size", LIMIT_RULES_CACHE_MIN, LIMIT_RULES_CACHE, DEFAULT_RULES_CACHE),
	 .text = "That `cache` may hold; beyond it what was used longest ago is removed after a "
		 "reload."},
	{COUNT("score-set", 0, 3, DEFAULT_RULES_SCORE_SET), .unit = "column",
	 .text = "Which of four scores counts (score NAME a b c d)."},
	{TIME("compile-time", 1, LIMIT_RULES_COMPILE_S, DEFAULT_RULES_COMPILE_S),
	 .text = "Of CPU that compiling may take; four times that by the clock."},
	{SIZE("compile-memory", LIMIT_RULES_COMPILE_MEMORY_MIN, LIMIT_RULES_COMPILE_MEMORY,
	      DEFAULT_RULES_COMPILE_MEMORY),
	 .text = "That it may take."},
};

#define SECTION(name_, path_, ...)                                                                 \
	const struct config_section_info section_##name_ = {.path = path_,                         \
							    .key = keys_##name_,                   \
							    .n = sizeof(keys_##name_) /            \
								 sizeof(keys_##name_[0]),          \
							    __VA_ARGS__}
#define keys_route_policy keys_policy

SECTION(policy, "policy",
	.about = "What is done with mail; also in `policy` of a route. docs/policy.md has the "
		 "order of the checks, and the replies. Domains are the name alone, `example.org`, "
		 "or with a leading dot every name below it and not itself, `.example.org`.");
SECTION(route_policy, "route.policy",
	.about = "All keys of `policy` but `allow-private-peer`, `deny` and `allow`; what is not "
		 "given is as there.");
SECTION(dnsbl, "dnsbl",
	.about = "A list of addresses in the DNS (RFC 5782) that is asked about the original "
		 "sender; up to 16.");
SECTION(list, "list",
	.about = "A file of domains, URIs or hashes (up to 64 sections). What is found counts as "
		 "the rule list.NAME.");
SECTION(attachment, "attachment",
	.about = "Criteria for attachments (up to 64 sections); any of them is enough. What is "
		 "meant counts as the rule attachment.NAME.");
SECTION(quarantine, "quarantine",
	.about = "Where messages are held back that policy does not deliver. Their senders hear "
		 "250 once message and index are on the disk; `posternctl quarantine` lists, "
		 "releases and deletes them.");
SECTION(rules, "rules",
	.behind = "Rules are compiled by a process of their own, at the start and at every reload; "
		  "mail flows meanwhile. A set that needs more than it may, or whose compiler is "
		  "killed, is not taken over: the old one stays, `posternctl config reload` and "
		  "the log say why. At the start control ends.");
