/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Lists that others publish: domains, URIs, hashes of files, millions of entries each. What is kept of
 * an entry is 64 bits of its SipHash under a secret of this process, sorted: 8 octets, and half a
 * megabyte for the index. Of n entries a text that is not listed is taken for one that is with
 * probability n / 2^64, and nobody without the secret can look for such a text.
 *
 * Knows nothing of messages; a list is read whole and then never changes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/str.h"

enum list_kind {
	LIST_DOMAIN,  /* a host name, A- or U-labels */
	LIST_URI,     /* as the uri view has them (dataplane/content/uri.h), scheme included or not */
	LIST_SHA256,  /* 64 hexadecimal digits */
};

struct list;

struct list_error {
	unsigned int line; /* 0: of the file as a whole */
	char reason[160];
};

/*
 * One entry a line; white space around it, empty lines and what stands behind "#" do not count. A line
 * of a hosts file (an address in front of a name) is taken for its name. Of a list of domains an
 * entry ".example.com" is the same as "example.com". 0; -EINVAL: *err says where and why; -ENOMEM;
 * or -errno of reading it. Bounds: LIMIT_LIST_ENTRIES, LIMIT_LIST_LINE.
 */
int list_load(const char *path, enum list_kind kind, struct list **out, struct list_error *err);
int list_parse(struct str text, enum list_kind kind, struct list **out, struct list_error *err);
void list_free(struct list *l);
size_t list_count(const struct list *l);  /* different entries */
size_t list_octets(const struct list *l); /* of memory */

/* Is the host listed, or with `below` a domain that it lies in? host: as found, any case. */
bool list_has_domain(const struct list *l, struct str host, bool below);
/* With its scheme or without. */
bool list_has_uri(const struct list *l, struct str uri);
bool list_has_sha256(const struct list *l, const uint8_t sha256[32]);
