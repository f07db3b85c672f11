/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/annotate/annotate.h"
#include "postern/limits.h"
#include "postern/utf8.h"

/* RFC 5322 2.1.1: 998 octets a line, the name of the field and a last encoded octet included. */
#define MAX_VALUE 850
#define MAX_FIELD (MAX_VALUE + 128)

/* How many octets of s at i stand as they are; 0: they are encoded. RFC 6532 3.2. */
static size_t plain(struct str s, size_t i, bool utf8)
{
	if (ascii_is_vchar(s.p[i]) || s.p[i] == ' ')
		return 1;
	return utf8 ? utf8_non_ascii(s, i) : 0;
}

static size_t put(char *out, size_t n, struct str s, bool utf8)
{
	size_t end = n + MAX_VALUE;
	char octet[4];

	for (size_t i = 0; i < s.n && n < end;) {
		size_t len = plain(s, i, utf8);

		if (len) {
			memcpy(out + n, s.p + i, len);
			n += len;
			i += len;
		} else {
			percent_octet(s.p[i++], octet);
			memcpy(out + n, octet, strlen(octet));
			n += strlen(octet);
		}
	}
	return n;
}

static size_t field(char *out, size_t n, const struct annotate_held *h, const char *name, bool path,
		    struct str value, bool utf8)
{
	n += (size_t)snprintf(out + n, MAX_FIELD, "%.64s-%s: %s", h->prefix, name, path ? "<" : "");
	n = put(out, n, value, utf8);
	if (path)
		out[n++] = '>';
	out[n++] = '\r';
	out[n++] = '\n';
	return n;
}

int annotate_envelope(struct annotate_output *out, const struct annotate_held *h)
{
	char *text = malloc((h->n_rcpts + 2) * MAX_FIELD);
	size_t n = 0;
	int rc;

	if (!text)
		return -ENOMEM;
	n = field(text, n, h, "Quarantine", false, *h->reason ? str_c(h->reason) : STR("policy"),
		  false);
	n = field(text, n, h, "Envelope-From", true, h->mail_from, out->utf8);
	for (size_t i = 0; i < h->n_rcpts; i++)
		n = field(text, n, h, "Envelope-To", true, h->rcpt[i], out->utf8);
	rc = annotate_on_top(out, text, n);
	free(text);
	return rc;
}
