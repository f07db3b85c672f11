/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/replies.h"

struct ctl_reply control_reply(enum control_reply r)
{
#define ROW(name, code, subject, detail, text)                                                     \
	[SAYS_##name] = {code, (code) / 100, subject, detail, STR(text)},
	static const struct ctl_reply reply[] = {CONTROL_REPLIES(ROW)};
#undef ROW

	return reply[r];
}
