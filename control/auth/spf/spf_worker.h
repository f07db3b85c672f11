/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Serves requests on fd inside the jail until control closes it. */
_Noreturn void spf_worker_main(int fd);

/* The two halves of it, for tests that run libspf2 without a jail. NULL: libspf2 would not. */
struct SPF_server_struct *spf_worker_server(void);
/* Evaluates one request (spf_wire.h); `last` goes into the response. Its length, -EBADMSG or
 * -EMSGSIZE. in and out must not be the same. */
long spf_worker_run(struct SPF_server_struct *server, const uint8_t *in, size_t n, bool last,
		    uint8_t *out, size_t cap);
