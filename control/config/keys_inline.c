/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Keys of cables, and of what is done where a flow cannot be treated as configured. */

#include "control/config/keys_all.h"
#include "postern/handoff.h"

static const char *const mode_words[] = {
	[INLINE_TERMINATE] = "terminate", [INLINE_OBSERVE] = "observe", [INLINE_BYPASS] = "bypass", NULL};

static const struct config_info keys_inline[] = {
	{OF(NAMED, "server"), .text = "What goes to its port is SMTP to it; everything else passes."},
	{LIST("own-sources", 0, HANDOFF_MAX_INLINE_OWN, "addresses or networks"),
	 .text = "Whose connections pass though they go to such a server: ours."},
	{BOOL("bypass", "no"), .text = "Everything passes, and nothing is looked at."},
};

static const struct config_info keys_inline_server[] = {
	{LIST("addresses", 1, HANDOFF_MAX_INLINE, "addresses or networks"),
	 .needed = "the servers behind the cable",
	 .text = "The longest prefix counts, over all servers; at most 256 in all."},
	{COUNT("port", 1, 65535, 25), .unit = "TCP port", .text = "Where clients connect to."},
	{CHOICE("mode", mode_words, "terminate"),
	 .text = "`terminate`: in the server's name, and it is the next hop; `observe`: packets pass "
		 "and are watched; `bypass`: they pass."},
	{OF(STRING, "route"), .form = "name of a route", .otherwise = "needed with `terminate`",
	 .text = "Of one with `to` = `dialled` and one of `xclient`, `proxy` and `transparent`."},
	{OF(DOMAIN, "hostname"), .otherwise = "that of the top level",
	 .text = "The server's name in banner, EHLO and Received, with `terminate`; at most 32 "
		 "different ones."},
	{BOOL("allow-clear", "no"),
	 .text = "`terminate` without a certificate of that name in the `tls` section: STARTTLS is "
		 "not offered, and senders that demand it do not deliver."},
};

static const struct config_info keys_exceptions[] = {
	{OF(SECTION, "gateway"), .text = "Ports that own addresses."},
	{OF(SECTION, "inline"), .text = "Ports of a cable."},
	{OF(SECTION, "tap"), .text = "Ports that only receive."},
};

const char *const config_actions[ACT_COUNT] = {
	[ACT_DEFAULT] = "default", [ACT_DROP_FLOW] = "drop-flow", [ACT_PASS_FLOW] = "pass-flow",
	[ACT_BYPASS] = "bypass", [ACT_REJECT] = "reject", [ACT_IGNORE] = "ignore"};

/* Of a cause: "" is what cannot be had there. */
#define WORDS(drop, pass, bypass, reject, ignore)                                                  \
	{[ACT_DEFAULT] = "default", [ACT_DROP_FLOW] = drop, [ACT_PASS_FLOW] = pass,                \
	 [ACT_BYPASS] = bypass, [ACT_REJECT] = reject, [ACT_IGNORE] = ignore, [ACT_COUNT] = NULL}

static const char *const ignored[] = WORDS("", "", "", "", "ignore");
static const char *const ignored_or_bypassed[] = WORDS("", "", "bypass", "", "ignore");
static const char *const bypassed[] = WORDS("", "", "bypass", "", "");
static const char *const watched_or_bypassed[] = WORDS("", "pass-flow", "bypass", "", "");
static const char *const cable_control[] = WORDS("drop-flow", "pass-flow", "bypass", "reject", "");
static const char *const cable_memory[] = WORDS("drop-flow", "", "bypass", "reject", "");
static const char *const cable_midstream[] = WORDS("drop-flow", "pass-flow", "bypass", "", "");

#define CAUSE(name_, words_, def_, text_) {CHOICE(name_, words_, def_), .text = text_}

static const struct config_info keys_exceptions_gateway[] = {
	CAUSE("control-down", ignored, "ignore",
	      "Control is away: `when-control-is-down` says what is heard."),
	CAUSE("no-memory", ignored, "ignore", "No session, no buffers: docs/smtp.md."),
	CAUSE("midstream", ignored, "ignore", "A segment of no connection gets a RST."),
	CAUSE("fragment", ignored, "ignore", "IP fragments are put together."),
	CAUSE("malformed", ignored, "ignore", "Headers of IP or TCP that cannot be are dropped."),
};

static const struct config_info keys_exceptions_inline[] = {
	CAUSE("control-down", cable_control, "reject",
	      "Control is away, and a new flow. `reject`: 451 or 421; `bypass` is fail-open."),
	CAUSE("no-memory", cable_memory, "reject", "No session, no buffers. `reject`: RST."),
	CAUSE("midstream", cable_midstream, "pass-flow", "Its begin was not seen. `pass-flow`: watched."),
	CAUSE("fragment", ignored_or_bypassed, "ignore",
	      "IP fragments for servers are put together, or let by (`bypass`)."),
	CAUSE("malformed", ignored_or_bypassed, "ignore",
	      "Headers that cannot be are dropped, or let by (`bypass`)."),
	CAUSE("gap", watched_or_bypassed, "pass-flow",
	      "Octets that the watcher missed. `pass-flow`: it goes on watching."),
};

static const struct config_info keys_exceptions_tap[] = {
	CAUSE("control-down", ignored_or_bypassed, "ignore", "`ignore`: watched and not told."),
	CAUSE("no-memory", bypassed, "bypass", "A new flow is not watched."),
	CAUSE("midstream", watched_or_bypassed, "bypass", "Its begin was not seen."),
	CAUSE("fragment", ignored, "ignore", "IP fragments are put together."),
	CAUSE("malformed", ignored, "ignore", "Headers that cannot be are counted."),
	CAUSE("gap", watched_or_bypassed, "pass-flow",
	      "Octets that the watcher missed. `pass-flow`: it goes on watching."),
};

#define SECTION(name_, path_, ...)                                                                 \
	const struct config_section_info section_##name_ = {.path = path_,                         \
							    .key = keys_##name_,                   \
							    .n = sizeof(keys_##name_) /            \
								 sizeof(keys_##name_[0]),          \
							    __VA_ARGS__}

SECTION(inline, "inline", .about = "Servers in a cable (port role inline of `postern-dataplane`(8), "
				   "docs/inline.md).");
SECTION(inline_server, "inline.server");
SECTION(exceptions, "exceptions",
	.about = "What is done with a flow that cannot be treated as the mode of its port says, by "
		 "cause (docs/inline.md). Where one action alone is possible the key changes nothing: it "
		 "is there so that a file can say what holds.");
SECTION(exceptions_gateway, "exceptions.gateway");
SECTION(exceptions_inline, "exceptions.inline");
SECTION(exceptions_tap, "exceptions.tap");
