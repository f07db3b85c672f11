/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* The entries of the lists of policy, for those who read them and for tests. */

#include "control/config/list.h"

struct config_access_nets {
	struct admission_nets *out;
	size_t room; /* of out->net */
};

/* An address or network; arg: struct config_access_nets. Not sorted yet. */
config_list_take config_access_net;
/* "example.com", ".example.com"; arg: struct config_set. */
config_list_take config_access_domain;
/* "user@example.com", "@example.com", "@.example.com"; arg: struct config_set. */
config_list_take config_access_sender;
