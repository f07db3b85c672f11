/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The exceptions section: what is done with a flow that cannot be treated as its port's mode says,
 * by cause. The table of docs/inline.md; not every action is one everywhere, and the error says why.
 */

#include <string.h>

#include "control/config/config_value.h"

#define DROP (1u << ACT_DROP_FLOW)
#define PASS (1u << ACT_PASS_FLOW)
#define AWAY (1u << ACT_BYPASS)
#define REJECT (1u << ACT_REJECT)
#define IGNORE (1u << ACT_IGNORE)

static const struct rule {
	uint8_t usual;    /* enum handoff_action */
	uint8_t possible; /* bits of it; 0: there is no such cause here */
} rules[PORT_MODE_COUNT][CAUSE_COUNT] = {
	[PORT_MODE_GATEWAY] = {
		[CAUSE_CONTROL_DOWN] = {ACT_IGNORE, IGNORE},
		[CAUSE_NO_MEMORY] = {ACT_IGNORE, IGNORE},
		[CAUSE_MIDSTREAM] = {ACT_IGNORE, IGNORE},
		[CAUSE_FRAGMENT] = {ACT_IGNORE, IGNORE},
		[CAUSE_MALFORMED] = {ACT_IGNORE, IGNORE},
	},
	[PORT_MODE_INLINE] = {
		[CAUSE_CONTROL_DOWN] = {ACT_REJECT, REJECT | AWAY | PASS | DROP},
		[CAUSE_NO_MEMORY] = {ACT_REJECT, REJECT | AWAY | DROP},
		[CAUSE_MIDSTREAM] = {ACT_PASS_FLOW, PASS | AWAY | DROP},
		[CAUSE_FRAGMENT] = {ACT_IGNORE, IGNORE | AWAY},
		[CAUSE_MALFORMED] = {ACT_IGNORE, IGNORE | AWAY},
		[CAUSE_GAP] = {ACT_PASS_FLOW, PASS | AWAY},
	},
	[PORT_MODE_TAP] = {
		[CAUSE_CONTROL_DOWN] = {ACT_IGNORE, IGNORE | AWAY},
		[CAUSE_NO_MEMORY] = {ACT_BYPASS, AWAY},
		[CAUSE_MIDSTREAM] = {ACT_BYPASS, PASS | AWAY},
		[CAUSE_FRAGMENT] = {ACT_IGNORE, IGNORE},
		[CAUSE_MALFORMED] = {ACT_IGNORE, IGNORE},
		[CAUSE_GAP] = {ACT_PASS_FLOW, PASS | AWAY},
	},
};

/* Why `action` is none for `cause` on a port of `mode`. */
static const char *why_not(unsigned int mode, unsigned int cause, unsigned int action)
{
	if (!rules[mode][cause].possible)
		return "there are no gaps in what our own TCP took";
	if (mode == PORT_MODE_GATEWAY && (action == ACT_PASS_FLOW || action == ACT_BYPASS))
		return "a gateway owns its addresses: there is nobody else to whom packets could pass";
	if (mode == PORT_MODE_GATEWAY)
		return "a gateway answers as TCP and SMTP say (when-control-is-down in the dataplane "
		       "section, docs/smtp.md)";
	if (mode == PORT_MODE_TAP && (action == ACT_REJECT || action == ACT_DROP_FLOW))
		return "nothing is sent on a tap port, and nothing can be held up there";
	if (cause == CAUSE_MIDSTREAM && action == ACT_REJECT)
		return "nothing can be said in a conversation whose beginning was not seen";
	if (cause == CAUSE_MIDSTREAM)
		return "it passes and is watched (pass-flow), passes (bypass), or does not pass";
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

static void read_action(struct config_reader *r, const struct config_node *n, const struct config_key *k,
			void *field)
{
	uint8_t *at = field, action = ACT_COUNT;
	size_t cell = (size_t)(at - &r->out->dataplane.exception[0][0]);
	unsigned int mode = (unsigned int)(cell / CAUSE_COUNT), cause = (unsigned int)(cell % CAUSE_COUNT);

	read_choice(r, n, k, &action);
	if (action == ACT_COUNT)
		return;
	if (action == ACT_DEFAULT) {
		*at = rules[mode][cause].usual;
		return;
	}
	if (rules[mode][cause].possible & 1u << action)
		*at = action;
	else
		config_fail(r->c, n, NULL, "%s: %s", k->info->words[action], why_not(mode, cause, action));
}

#define CELL(name, mode, cause)                                                                    \
	{name, read_action, CONFIG_FIELD(struct config, dataplane.exception[mode][cause]), NULL}
#define CELLS(mode)                                                                                \
	{                                                                                          \
		CELL("control-down", mode, CAUSE_CONTROL_DOWN), CELL("no-memory", mode, CAUSE_NO_MEMORY), \
		CELL("midstream", mode, CAUSE_MIDSTREAM), CELL("fragment", mode, CAUSE_FRAGMENT),  \
		CELL("malformed", mode, CAUSE_MALFORMED), CELL("gap", mode, CAUSE_GAP),            \
	}

static const struct config_key gateway_keys[] = CELLS(PORT_MODE_GATEWAY);
static const struct config_key cable_keys[] = CELLS(PORT_MODE_INLINE);
static const struct config_key tap_keys[] = CELLS(PORT_MODE_TAP);
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

void config_exceptions_defaults(struct handoff_config *d)
{
	for (unsigned int mode = 0; mode < PORT_MODE_COUNT; mode++)
		for (unsigned int cause = 0; cause < CAUSE_COUNT; cause++)
			d->exception[mode][cause] = rules[mode][cause].usual;
}
