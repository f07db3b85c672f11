/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* The process that runs libspf2: locks itself in and answers requests on fd until its end. */
_Noreturn void spf_worker_main(int fd);
