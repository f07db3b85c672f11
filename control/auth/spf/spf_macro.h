/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Macro expansion (RFC 7208 section 7), done here so that libspf2 never sees a macro. */

#include "control/mail/mail.h"

struct spf_macro_context {
	const struct ip_addr *ip;
	struct str local, domain; /* of the sender: l, o */
	struct str current;       /* d */
	struct str helo;          /* h */
	struct str hostname;      /* r */
	const char *validated;    /* p; NULL: not known yet */
	uint64_t now;             /* t */
};

/* Expands a valid macro-string into out. Length; -EINVAL if it is malformed; -ENOSPC; -EAGAIN if it
 * wants p and that is not known. `explain`: c, r, t and spaces allowed. */
long spf_macro_expand(struct str s, const struct spf_macro_context *c, bool explain, uint8_t *out,
		      size_t cap);
/* As above for a domain-spec: cut from the left to 253 octets at a label's border (RFC 7208 7.3),
 * without trailing dot. The result may still be no name that DNS could carry. out: 254 octets. */
long spf_macro_domain(struct str spec, const struct spf_macro_context *c, uint8_t *out, size_t cap);
