/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What may be attached: the lines of the attachment view (dataplane/content/content.h) against
 * criteria of the configuration. Pure; knows nothing of actions and scores.
 *
 * A name is looked at as the receiver's system does: without its folders, without the dots, spaces
 * and control characters at its end that Windows drops, and without the Unicode formatting that lets
 * "exe.fdp" be shown as a name in ".exe". Members of archives have names too.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/lists/list.h"
#include "postern/str.h"

#define ATTACHMENT_NAME 1024 /* octets of a name that are looked at */

/* One line of the view. Strings point into it, name into `buffer`. */
struct attachment {
	bool member;            /* of an archive */
	unsigned int part;
	struct str name;        /* decoded; n == 0: none */
	struct str type;        /* declared, lower case */
	struct str is;          /* by its octets */
	uint64_t size;
	bool encrypted, broken, has_sha256, cut;
	uint8_t sha256[32];
	uint8_t buffer[ATTACHMENT_NAME];
};
/* False: no such line. */
bool attachment_parse(struct str line, struct attachment *a);

/* An attachment is meant if any of what is given says so. */
struct attachment_rule {
	const char *name;
	const char *const *extension;   /* lower case, without dot: "exe" */
	size_t n_extensions;
	const char *const *glob;        /* of the name without folders, any case: "invoice*.htm?" */
	size_t n_globs;
	const char *const *is;          /* names of enum content_type */
	size_t n_is;
	const char *const *type;        /* declared; "application/x-*" */
	size_t n_types;
	const struct list *hashes;      /* LIST_SHA256, or NULL */
	bool double_extension;          /* "invoice.pdf.exe": a document's in front of a program's */
	bool disguised;                 /* formatting characters in the name */
	bool mismatch;                  /* a program by its octets, declared or named as something else */
	bool encrypted;                 /* archives with such members */
	bool broken;                    /* archives that cannot be told the members of */
	bool members;                   /* names of members of archives count */
};

/* Why an attachment is meant; "" if it is not. why: >= 200 octets, printable. */
bool attachment_meant(const struct attachment_rule *r, const struct attachment *a, char *why, size_t cap);

/* All lines: the first that is meant. */
bool attachments_match(const struct attachment_rule *r, struct str view, char *why, size_t cap);
