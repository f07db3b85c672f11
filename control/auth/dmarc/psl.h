/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Organizational domains by the public suffix list (RFC 7489 3.2), to be compared with. */

/* Points into `domain` (lower case, A-labels): one label below its public suffix, or the domain
 * itself where it is a suffix or no list could be loaded. The first call loads the list: the file
 * of the distribution or what libpsl has built in, whichever is newer. Any thread. */
const char *dmarc_psl_org(const char *domain);
