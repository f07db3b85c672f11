/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/mail/mail.h"
#include "postern/limits.h"

/* Offset of the last @ that stands outside a quoted-string and an address literal, or n. */
static size_t at_sign(struct str m)
{
	size_t at = m.n;
	bool quoted = false, literal = false;

	for (size_t i = 0; i < m.n; i++) {
		uint8_t c = m.p[i];

		/* RFC 5321 4.1.2: quoted-pairSMTP exists inside quotes only, yet a backslash in
		 * front of a quote outside of them would make two readers disagree: skip there as
		 * well. */
		if (c == '\\' && i + 1 < m.n)
			i++;
		else if (c == '"' && !literal)
			quoted = !quoted;
		else if (quoted)
			continue;
		else if (c == '@') {
			at = i;
			literal = false;
		} else if (c == '[' && at != m.n && at + 1 == i)
			literal = true;
	}
	return quoted ? m.n : at;
}

struct str mailbox_domain(struct str mailbox)
{
	size_t at = at_sign(mailbox);

	return at == mailbox.n ? STR_NONE : str_skip(mailbox, at + 1);
}

struct str mailbox_local(struct str mailbox)
{
	return str_cut(mailbox, at_sign(mailbox));
}

bool domain_is_in(struct str d, struct str top)
{
	return top.n && str_iends(d, top) && (d.n == top.n || d.p[d.n - top.n - 1] == '.');
}

bool domain_is_valid(struct str d)
{
	size_t label = 0;

	if (d.n == 0 || d.n > LIMIT_DNS_NAME)
		return false;
	for (size_t i = 0; i < d.n; i++) {
		uint8_t c = d.p[i];

		if (c == '.') {
			if (label == 0 || d.p[i - 1] == '-')
				return false;
			label = 0;
			continue;
		}
		if (!ascii_is_alnum(c) && (c != '-' || label == 0))
			return false;
		if (++label > LIMIT_DNS_LABEL)
			return false;
	}
	return label > 0 && d.p[d.n - 1] != '-';
}
