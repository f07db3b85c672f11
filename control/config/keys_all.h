/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Private to keys*.c: the sections, each beside its keys. */

#include "control/config/keys.h"

extern const struct config_section_info section_top, section_dataplane, section_listener,
	section_limits, section_sources, section_texts, section_trace, section_metrics, section_api,
	section_spf, section_tap;                                                        /* keys_server.c */
extern const struct config_section_info section_inline, section_inline_server, section_exceptions,
	section_exceptions_gateway, section_exceptions_inline, section_exceptions_tap; /* keys_inline.c */
extern const struct config_section_info section_route, section_route_hosts; /* keys_route.c */
extern const struct config_section_info section_policy, section_route_policy, section_dnsbl,
	section_list, section_attachment, section_quarantine, section_rules; /* keys_policy.c */
extern const struct config_section_info section_relay, section_relay_tenant, section_chain,
	section_trust, section_tls, section_tls_certificate, section_arc, section_arc_key,
	section_dns; /* keys_origin.c */
