/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The exceptions section: what is done with a flow that cannot be treated as its port's mode says,
 * by cause. The table of docs/inline.md; not every action is one everywhere (keys_inline.c), and the
 * error says why.
 */

#include <string.h>

#include "control/config/config_value.h"

/* Why `action` is none for `cause` on a port of `mode`. */
static const char *why_not(unsigned int mode, unsigned int cause, unsigned int action)
{
	if (mode == PORT_MODE_GATEWAY && (action == ACT_PASS_FLOW || action == ACT_BYPASS))
		return "a gateway owns its addresses: there is nobody else to whom packets could pass";
	if (mode == PORT_MODE_GATEWAY)
		return "a gateway answers as TCP and SMTP say (when-control-is-down in the dataplane "
		       "section, docs/smtp.md)";
	if (mode == PORT_MODE_TAP && (action == ACT_REJECT || action == ACT_DROP_FLOW))
		return "nothing is sent on a tap port, and nothing can be held up there";
	if (mode == PORT_MODE_TAP && cause == CAUSE_CONTROL_DOWN)
		return "the flow passes in any case: it is watched and not told (ignore), or not watched (bypass)";
	if (mode == PORT_MODE_TAP && cause == CAUSE_MIDSTREAM)
		return "the flow passes in any case: it is watched (pass-flow), or not (bypass)";
	if (mode == PORT_MODE_TAP && (cause == CAUSE_FRAGMENT || cause == CAUSE_MALFORMED))
		return "all that a tap can do is to put fragments together, and to count what cannot be read";
	if (cause == CAUSE_MIDSTREAM && action == ACT_REJECT)
		return "nothing can be said in a conversation whose beginning was not seen";
	if (cause == CAUSE_MIDSTREAM)
		return "it passes and is watched (pass-flow), passes (bypass), or does not pass (drop-flow)";
	if (cause == CAUSE_FRAGMENT)
		return "a fragment names no flow for certain, and anybody can forge one: they are put "
		       "together (ignore) or let by (bypass)";
	if (cause == CAUSE_MALFORMED)
		return "such a packet names no flow for certain, and anybody can forge one: it alone is "
		       "dropped (ignore) or let by (bypass)";
	if (cause == CAUSE_GAP)
		return "what the watcher did not see has passed: the flow goes on and is watched "
		       "(pass-flow) or not (bypass)";
	if (cause == CAUSE_CONTROL_DOWN)
		return "nobody would judge the flow: reject it, or let it by (bypass, pass-flow)";
	return "there is no memory to watch the flow, or to talk with its client";
}

static unsigned int action_of(const char *text)
{
	unsigned int action = 0;

	while (action < ACT_COUNT && (!text || strcmp(text, config_actions[action]) != 0))
		action++;
	return action;
}

static void read_action(struct config_reader *r, const struct config_node *n, const struct config_key *k,
			void *field)
{
	uint8_t *at = field, read = ACT_COUNT;
	size_t cell = (size_t)(at - &r->out->dataplane.exception[0][0]);
	unsigned int mode = (unsigned int)(cell / CAUSE_COUNT), cause = (unsigned int)(cell % CAUSE_COUNT);
	unsigned int action = action_of(n->text);

	/* An action, and none of this key's. */
	if (action < ACT_COUNT && !k->info->words[action][0]) {
		config_fail(r->c, n, NULL, "%s: %s", config_actions[action], why_not(mode, cause, action));
		return;
	}
	read_choice(r, n, k, &read);
	if (read < ACT_COUNT)
		*at = read == ACT_DEFAULT ? (uint8_t)action_of(k->info->def) : read;
}

#define CELL(name, mode, cause)                                                                    \
	{name, read_action, CONFIG_FIELD(struct config, dataplane.exception[mode][cause]), NULL}
#define CELLS(mode)                                                                                \
	CELL("control-down", mode, CAUSE_CONTROL_DOWN), CELL("no-memory", mode, CAUSE_NO_MEMORY),  \
		CELL("midstream", mode, CAUSE_MIDSTREAM), CELL("fragment", mode, CAUSE_FRAGMENT),  \
		CELL("malformed", mode, CAUSE_MALFORMED)

/* There are no gaps in what our own TCP took. */
static const struct config_key gateway_keys[] = {CELLS(PORT_MODE_GATEWAY)};
static const struct config_key cable_keys[] = {CELLS(PORT_MODE_INLINE), CELL("gap", PORT_MODE_INLINE, CAUSE_GAP)};
static const struct config_key tap_keys[] = {CELLS(PORT_MODE_TAP), CELL("gap", PORT_MODE_TAP, CAUSE_GAP)};
const struct config_binding config_of_exceptions_gateway = CONFIG_BINDING("exceptions.gateway", gateway_keys);
const struct config_binding config_of_exceptions_inline = CONFIG_BINDING("exceptions.inline", cable_keys);
const struct config_binding config_of_exceptions_tap = CONFIG_BINDING("exceptions.tap", tap_keys);

static void read_gateway(struct config_reader *r, const struct config_node *n, const struct config_key *k,
			 void *field)
{
	(void)k;
	config_read_section(r, n, &config_of_exceptions_gateway, field);
}

static void read_cable(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		       void *field)
{
	(void)k;
	config_read_section(r, n, &config_of_exceptions_inline, field);
}

static void read_taps(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		      void *field)
{
	(void)k;
	config_read_section(r, n, &config_of_exceptions_tap, field);
}

static const struct config_key mode_keys[] = {
	{"gateway", read_gateway, 0, 0},
	{"inline", read_cable, 0, 0},
	{"tap", read_taps, 0, 0},
};
const struct config_binding config_of_exceptions = CONFIG_BINDING("exceptions", mode_keys);

void read_exceptions(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		     void *field)
{
	(void)k;
	config_read_section(r, n, &config_of_exceptions, field);
}

void config_exceptions_defaults(struct config_reader *r)
{
	config_read_defaults(r, &config_of_exceptions_gateway, r->out);
	config_read_defaults(r, &config_of_exceptions_inline, r->out);
	config_read_defaults(r, &config_of_exceptions_tap, r->out);
}
