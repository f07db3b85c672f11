/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/attachments/attachments.h"

#include <stdio.h>
#include <string.h>

/* ---- lines of the view ------------------------------------------------------------------------- */

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static uint64_t number(struct str s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.n && i < 18 && s.p[i] >= '0' && s.p[i] <= '9'; i++)
		n = n * 10 + (uint64_t)(s.p[i] - '0');
	return n;
}

/* "…" with %XX → a->buffer. */
static void unescape(struct attachment *a, struct str s)
{
	size_t n = 0;

	if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
		s = str_make(s.p + 1, s.n - 2);
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (n == sizeof(a->buffer)) {
			a->cut = true;
			break;
		}
		if (c == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
			c = (uint8_t)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
			i += 2;
		}
		a->buffer[n++] = c;
	}
	a->name = str_make(a->buffer, n);
}

static void hash(struct attachment *a, struct str s)
{
	if (s.n != 64)
		return;
	for (size_t i = 0; i < 32; i++) {
		int hi = hex(s.p[2 * i]), lo = hex(s.p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return;
		a->sha256[i] = (uint8_t)(hi << 4 | lo);
	}
	a->has_sha256 = true;
}

static void word(struct attachment *a, struct str w)
{
	size_t eq = str_find(w, '=');
	struct str key = str_cut(w, eq), value = STR_NONE;

	if (eq < w.n)
		value = str_make(w.p + eq + 1, w.n - eq - 1);
	if (str_eq(key, STR("name")))
		unescape(a, value);
	else if (str_eq(key, STR("part")))
		a->part = (unsigned int)number(value);
	else if (str_eq(key, STR("size")))
		a->size = number(value);
	else if (str_eq(key, STR("type")))
		a->type = value;
	else if (str_eq(key, STR("is")))
		a->is = value;
	else if (str_eq(key, STR("sha256")))
		hash(a, value);
	else if (str_eq(key, STR("encrypted")))
		a->encrypted = true;
	else if (str_eq(key, STR("broken")))
		a->broken = true;
	else if (str_eq(key, STR("cut")))
		a->cut = true;
}

bool attachment_parse(struct str line, struct attachment *a)
{
	bool first = true;

	memset(a, 0, offsetof(struct attachment, buffer));
	while (line.n) {
		size_t n = str_find(line, ' ');
		struct str w = str_cut(line, n);

		if (first && !str_eq(w, STR("part")) && !str_eq(w, STR("member")))
			return false;
		if (first)
			a->member = str_eq(w, STR("member"));
		else
			word(a, w);
		first = false;
		n = n < line.n ? n + 1 : n;
		line = str_make(line.p + n, line.n - n);
	}
	return !first;
}

/* ---- names -------------------------------------------------------------------------------------- */

/* Octets of a character without width that changes how others are shown, at p: 0, or 2 to 3. */
static size_t formatting(const uint8_t *p, size_t n)
{
	if (n >= 2 && p[0] == 0xd8 && p[1] == 0x9c) /* U+061C */
		return 2;
	if (n < 3)
		return 0;
	if (p[0] == 0xe2 && p[1] == 0x80 && (p[2] >= 0x8b && p[2] <= 0x8f)) /* U+200B to 200F */
		return 3;
	if (p[0] == 0xe2 && p[1] == 0x80 && (p[2] >= 0xaa && p[2] <= 0xae)) /* U+202A to 202E */
		return 3;
	if (p[0] == 0xe2 && p[1] == 0x81 && (p[2] >= 0xa0 && p[2] <= 0xaf)) /* U+2060 to 206F */
		return 3;
	return p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf ? 3 : 0; /* U+FEFF */
}

static bool is_disguised(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (formatting(name.p + i, name.n - i))
			return true;
	return false;
}

/* The name as a system takes it, lower case: what is behind the last folder, no formatting, no end
 * of dots and spaces. */
static struct str plain_name(struct str name, uint8_t out[ATTACHMENT_NAME])
{
	size_t n = 0;

	for (size_t i = 0; i < name.n && n < ATTACHMENT_NAME; i++) {
		size_t k = formatting(name.p + i, name.n - i);

		if (k) {
			i += k - 1;
			continue;
		}
		if (name.p[i] == '/' || name.p[i] == '\\' || name.p[i] == ':') {
			/* What is behind the colon is a stream of the file (NTFS), not another name. */
			if (name.p[i] == ':' && n > 1)
				break;
			/* A folder's own entry ends in its slash. */
			if (i + 1 < name.n)
				n = 0;
			continue;
		}
		if (name.p[i] >= 0x20 && name.p[i] != 0x7f)
			out[n++] = ascii_lower(name.p[i]);
	}
	while (n && (out[n - 1] == '.' || out[n - 1] == ' '))
		n--;
	return str_make(out, n);
}

/* Behind the last dot of the first n octets; n 0: none. */
static struct str extension(struct str name)
{
	for (size_t i = name.n; i > 1; i--)
		if (name.p[i - 1] == '.')
			return str_make(name.p + i, name.n - i);
	return STR_NONE;
}

static bool is_one_of(struct str s, const char *const *of, size_t n)
{
	for (size_t i = 0; s.n && i < n; i++)
		if (str_ieq(s, str_c(of[i])))
			return true;
	return false;
}

static bool any_glob(struct str s, const char *const *of, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_iglob(s, str_c(of[i])))
			return true;
	return false;
}

/* What a click runs, on the systems that people read mail on. */
static const char *const program[] = {
	"exe", "scr", "com", "pif", "bat", "cmd", "msi", "msp", "mst", "cpl", "dll", "js", "jse", "vbs",
	"vbe", "wsf", "wsh", "wsc", "sct", "hta", "ps1", "psm1", "psd1", "lnk", "url", "jar", "jnlp",
	"reg", "inf", "scf", "application", "appref-ms", "gadget", "msc", "chm", "hlp", "iso", "img",
	"vhd", "vhdx", "app", "dmg", "pkg", "command", "apk", "xll", "wll", "settingcontent-ms", "library-ms",
	"search-ms", "one", "svg", "html", "htm", "shtml", "xhtml", "mht", "mhtml",
};
static const char *const document[] = {
	"pdf", "doc", "docx", "docm", "xls", "xlsx", "xlsm", "ppt", "pptx", "pptm", "odt", "ods", "odp", "rtf",
	"txt", "csv", "jpg", "jpeg", "png", "gif", "bmp", "tif", "tiff", "mp3", "mp4", "wav", "avi", "mov",
	"zip", "rar", "7z", "gz", "eml", "msg", "xml",
};
/* By their octets. */
static const char *const runs[] = {"exe", "elf", "macho", "class", "lnk", "chm", "script", "wasm"};

#define N(array) (sizeof(array) / sizeof((array)[0]))

static bool is_double(struct str name)
{
	struct str last = extension(name), before;

	if (!last.n)
		return false;
	before = str_make(name.p, name.n - last.n - 1);
	/* "invoice.pdf          .exe" */
	while (before.n && (before.p[before.n - 1] == ' ' || before.p[before.n - 1] == '.'))
		before.n--;
	return is_one_of(last, program, N(program)) && is_one_of(extension(before), document, N(document));
}

static bool is_mismatch(const struct attachment *a, struct str name)
{
	if (!is_one_of(a->is, runs, N(runs)))
		return false;
	return is_one_of(extension(name), document, N(document)) || str_istarts(a->type, STR("image/")) ||
	       str_istarts(a->type, STR("audio/")) || str_istarts(a->type, STR("video/")) ||
	       str_ieq(a->type, STR("application/pdf"));
}

/* ---- judging ------------------------------------------------------------------------------------ */

static const char *reason(const struct attachment_rule *r, const struct attachment *a, struct str name)
{
	if (is_one_of(extension(name), r->extension, r->n_extensions))
		return "its extension";
	if (name.n && any_glob(name, r->glob, r->n_globs))
		return "its name";
	/* What such a name ends in is not known, and nobody has an honest use for it. */
	if (a->cut && (r->n_extensions || r->n_globs || r->double_extension))
		return "a name too long to be told";
	if (is_one_of(a->is, r->is, r->n_is))
		return "what it is";
	if (a->type.n && any_glob(a->type, r->type, r->n_types))
		return "its declared type";
	if (r->hashes && a->has_sha256 && list_has_sha256(r->hashes, a->sha256))
		return "its hash";
	if (r->double_extension && is_double(name))
		return "two extensions";
	if (r->disguised && is_disguised(a->name))
		return "formatting characters in its name";
	if (r->mismatch && is_mismatch(a, name))
		return "a program under another name or type";
	if (r->encrypted && a->encrypted)
		return "encrypted";
	if (r->broken && a->broken)
		return "an archive whose members cannot be told";
	return NULL;
}

bool attachment_meant(const struct attachment_rule *r, const struct attachment *a, char *why, size_t cap)
{
	uint8_t plain[ATTACHMENT_NAME];
	struct str name = plain_name(a->name, plain);
	const char *what;
	size_t n;

	why[0] = '\0';
	if (a->member && !r->members && !(r->encrypted && a->encrypted))
		return false;
	what = a->member && !r->members ? "encrypted" : reason(r, a, name);
	if (!what)
		return false;
	n = (size_t)snprintf(why, cap, "%s%u", a->member ? "member of part " : "part ", a->part);
	if (n < cap && a->is.n)
		n += (size_t)snprintf(why + n, cap - n, " (%.*s)", (int)(a->is.n < 20 ? a->is.n : 20),
				      (const char *)a->is.p);
	if (n < cap && name.n) {
		n += (size_t)snprintf(why + n, cap - n, " \"");
		for (size_t i = 0; i < name.n && i < 80 && n + 1 < cap; i++)
			why[n++] = name.p[i] >= 0x20 && name.p[i] < 0x7f && name.p[i] != '"' ? (char)name.p[i]
											    : '?';
		if (n < cap)
			n += (size_t)snprintf(why + n, cap - n, "\"");
	}
	if (n < cap)
		snprintf(why + n, cap - n, ": %s", what);
	return true;
}

bool attachments_match(const struct attachment_rule *r, struct str view, char *why, size_t cap)
{
	struct attachment a;

	while (view.n) {
		size_t n = str_find(view, '\n');

		if (attachment_parse(str_cut(view, n), &a) && attachment_meant(r, &a, why, cap))
			return true;
		n = n < view.n ? n + 1 : n;
		view = str_make(view.p + n, view.n - n);
	}
	why[0] = '\0';
	return false;
}
