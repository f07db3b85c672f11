/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* U-labels to A-labels: what is looked up and compared is always the latter (RFC 5891 5). */

#include <idn2.h>

#include "control/mail/mail.h"
#include "postern/limits.h"
#include "postern/utf8.h"

static size_t dots(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '.';
	return n;
}

/*
 * UTS 46 without transitional processing, then the rules of IDNA2008. Not IDN2_USE_STD3_ASCII_RULES:
 * libidn2 2.3 then drops what it should refuse (U+00E4 "_b" becomes the A-label of U+00E4 "b");
 * ASCII other than letters, digits and hyphens stands in the clear in an A-label and is refused there.
 */
static bool from_ulabels(const char *text, char out[MAIL_ALABEL])
{
	uint8_t *mapped = NULL;
	int rc = idn2_lookup_u8((const uint8_t *)text, &mapped,
				IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	struct str a = rc == IDN2_OK ? str_c((const char *)mapped) : STR_NONE;
	/* Mapping knows full stops of other scripts: a label more than was written is no label. */
	bool ok = domain_is_valid(a) && dots(a) == dots(str_c(text));

	if (ok)
		memcpy(out, a.p, a.n + 1);
	idn2_free(mapped);
	return ok;
}

bool mail_alabel(struct str domain, char out[MAIL_ALABEL])
{
	char text[LIMIT_DOMAIN + 1];
	bool ascii = utf8_is_ascii(domain);

	if (!domain.n || domain.n > (ascii ? (size_t)LIMIT_DNS_NAME : (size_t)LIMIT_DOMAIN) ||
	    memchr(domain.p, '\0', domain.n))
		return false;
	for (size_t i = 0, n; i < domain.n; i += n) {
		n = domain.p[i] & 0x80 ? utf8_non_ascii(domain, i) : 1;
		if (!n)
			return false;
		for (size_t k = i; k < i + n; k++)
			text[k] = (char)ascii_lower(domain.p[k]);
	}
	text[domain.n] = '\0';
	if (!ascii)
		return from_ulabels(text, out);
	memcpy(out, text, domain.n + 1);
	return true;
}

struct str mailbox_alabel(struct str mailbox, uint8_t *buf, size_t cap)
{
	struct str domain = mailbox_domain(mailbox);
	size_t local = mailbox.n - domain.n;
	char a[MAIL_ALABEL];
	size_t n;

	if (utf8_is_ascii(domain) || !mail_alabel(domain, a))
		return mailbox;
	n = strlen(a);
	if (local > cap || n > cap - local)
		return mailbox;
	memcpy(buf, mailbox.p, local);
	memcpy(buf + local, a, n);
	return str_make(buf, local + n);
}
