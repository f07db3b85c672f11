/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* The type that the first octets speak of, as readers of mail and operating systems go by them. */

#include "dataplane/content/attach.h"

/* n: up to ATTACH_HEAD octets, all there are if fewer. unknown: none of them, and no text. */
enum content_type sniff_head(const uint8_t *p, size_t n);
