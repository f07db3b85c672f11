/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Mail clouds whose addresses all their tenants send from: an address of theirs says nothing about
 * whose mail it is. The ranges are the ones that the providers publish for their egress. */

#include "control/mail/mail.h"

enum origin_cloud { CLOUD_NONE, CLOUD_MICROSOFT365, CLOUD_GOOGLE };

/* The cloud that has an address of this range, or CLOUD_NONE. */
enum origin_cloud cloud_of(const struct ip_range *range);
/* "Microsoft 365", "Google" */
const char *cloud_name(enum origin_cloud cloud);
