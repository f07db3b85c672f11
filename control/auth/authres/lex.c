/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/auth/authres/lex.h"
#include "control/mail/mail.h"
#include "postern/limits.h"
#include "postern/utf8.h"

size_t authres_comment_len(struct str s, size_t i)
{
	unsigned int depth = 0;

	for (size_t k = i; k < s.n; k++) {
		if (s.p[k] == '\\')
			k++;
		else if (s.p[k] == '(' && ++depth > LIMIT_AUTHRES_NESTING)
			return 0;
		else if (s.p[k] == ')' && --depth == 0)
			return k + 1 - i;
	}
	return 0;
}

size_t authres_quoted_len(struct str s, size_t i)
{
	for (size_t k = i + 1; k < s.n; k++) {
		if (s.p[k] == '\\')
			k++;
		else if (s.p[k] == '"')
			return k + 1 - i;
	}
	return 0;
}

size_t authres_skip_cfws(struct str s, size_t i)
{
	while (i < s.n) {
		size_t k = ascii_is_wsp_crlf(s.p[i]) ? 1 : 0;

		if (s.p[i] == '(') {
			k = authres_comment_len(s, i);
			if (k == 0)
				return s.n + 1;
		}
		if (k == 0)
			break;
		i += k;
	}
	return i;
}

bool authres_is_token(struct str s, bool utf8)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] & 0x80
			    ? !utf8
			    : !ascii_is_vchar(s.p[i]) || memchr("()<>@,;:\\\"/[]?=", s.p[i], 15))
			return false;
	return s.n > 0;
}

bool authres_is_keyword(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_alnum(s.p[i]) && s.p[i] != '-')
			return false;
	/* No hyphen at the end. */
	return s.n > 0 && s.p[s.n - 1] != '-';
}

bool authres_is_address(struct str s, bool utf8)
{
	size_t at = str_find(s, '@');
	struct str domain = str_skip(s, at + 1);
	bool dot = true; /* a dot may not stand here */
	char alabel[MAIL_ALABEL];

	if (at == s.n || !mail_alabel(domain, alabel) || !domain_is_valid(str_c(alabel)) ||
	    (!utf8 && !utf8_is_ascii(s)))
		return false;
	for (size_t i = 0, n; i < at; i += n) {
		n = s.p[i] & 0x80 ? utf8_non_ascii(s, i) : 1;
		if (!n || (n == 1 && (s.p[i] == '.' ? dot : !ascii_is_atext(s.p[i]))))
			return false;
		dot = s.p[i] == '.';
	}
	return at == 0 || !dot;
}
