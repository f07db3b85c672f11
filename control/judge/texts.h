/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The texts of a message's slots as the dataplane had them, made anew by the same code
 * (dataplane/content/) for rules that control looks at itself. Made all at once when the first is
 * asked for: most messages ask for none.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/mail/mail.h"
#include "dataplane/content/content.h"

struct texts;

/* Nothing is made yet; plan and content stay the caller's and must live as long. -ENOMEM. */
int texts_new(const struct content_plan *plan, const struct mail_bytes *content, struct texts **out);
void texts_free(struct texts *t);
/* 1 and *text, which stays valid until texts_free(); 0: there is no such text, as a header field
 * that is absent; -ENOMEM; -EINVAL no such slot in the plan. */
int texts_get(struct texts *t, unsigned int slot, struct str *text);
/* Was one that was made longer than LIMIT_RULES_TEXT? It is there as far as that. */
bool texts_cut(const struct texts *t);
