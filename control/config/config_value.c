/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/config/config_value.h"

#include <idn2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/limits.h"

/* ---- sections ------------------------------------------------------------------------------- */

void config_unknown_key(struct config_ctx *c, const struct config_node *n,
			const struct config_section_info *s)
{
	const struct config_info *near = config_key_nearest(s, n->key, 1), *elsewhere;
	const struct config_section_info *other;
	char list[240] = "", path[160];
	size_t at = 0;

	/* The very name, in the wrong section, is nearer than another name here. */
	elsewhere = near ? NULL : config_key_nearest_of_all(n->key, 0, &other);
	if (!near)
		near = config_key_nearest(s, n->key, CONFIG_NEAR);
	if (elsewhere) {
		config_fail(c, n, NULL, "unknown key here; did you mean \"%s\"?",
			    config_key_path(other, elsewhere, path, sizeof(path)));
		return;
	}
	if (near) {
		config_fail(c, n, NULL, "unknown key; did you mean \"%s\"?", near->name);
		return;
	}
	for (size_t i = 0; i < s->n && at < sizeof(list); i++) {
		int k = config_key_is_of(s, &s->key[i])
				? snprintf(list + at, sizeof(list) - at, "%s%s", at ? ", " : "", s->key[i].name)
				: 0;

		at += k > 0 ? (size_t)k : 0;
	}
	config_fail(c, n, NULL, "unknown key; known here: %s%s", list, at < sizeof(list) ? "" : " ...");
}

static const struct config_section_info *section_of(const struct config_binding *b)
{
	const struct config_section_info *s = config_section_info(b->path);

	if (!s)
		abort(); /* keys.c lacks it; the test config_keys says so */
	return s;
}

/* Reads n as that key of the table. */
static void read_key_of(struct config_reader *r, const struct config_node *n, const struct config_binding *b,
			const struct config_info *info, void *base)
{
	static config_read *const by_type[] = {
		[KEY_COUNT] = read_count, [KEY_SIZE] = read_size, [KEY_TIME] = read_seconds,
		[KEY_MILLIS] = read_millis, [KEY_NUMBER] = read_double, [KEY_BOOL] = read_bool,
		[KEY_CHOICE] = read_choice, [KEY_DOMAIN] = read_domain, [KEY_PATH] = read_path,
		[KEY_SOCKET] = read_socket, [KEY_NAMED] = NULL};
	struct config_key k;

	for (size_t i = 0; i < b->n; i++) {
		if (strcmp(b->key[i].name, info->name) != 0)
			continue;
		k = b->key[i];
		k.info = info;
		(k.read ? k.read : by_type[info->type])(r, n, &k, (char *)base + k.off);
		return;
	}
	abort(); /* the section does not bind it; the test config_keys says so */
}

void config_read_section(struct config_reader *r, const struct config_node *section,
			 const struct config_binding *b, void *base)
{
	const struct config_section_info *s = section_of(b);

	if (section->kind != NODE_SECTION || (section->named && section->key)) {
		config_fail(r->c, section, NULL, "expected one section { ... } without a name, found %s",
			    section->named ? "named ones" : config_kind_name(section));
		return;
	}
	for (const struct config_node *n = section->first; n; n = n->next) {
		const struct config_info *info = config_key_info(s, n->key);

		if (!info)
			config_unknown_key(r->c, n, s);
		else if (info->type == KEY_NAMED && !n->named)
			config_fail(r->c, n, NULL, "needs a name: %s \"name\" ...", info->name);
		else
			read_key_of(r, n, b, info, base);
	}
	for (size_t i = 0; i < s->n; i++)
		if (s->key[i].needed && !config_child(section, s->key[i].name))
			config_fail(r->c, section->parent ? section : NULL, s->key[i].name, "missing: %s",
				    s->key[i].needed);
}

void config_read_defaults(struct config_reader *r, const struct config_binding *b, void *base)
{
	const struct config_section_info *s = section_of(b);

	for (size_t i = 0; i < s->n; i++) {
		const struct config_info *info = &s->key[i];
		struct config_node n = {.key = (char *)(uintptr_t)info->name, .kind = NODE_STRING,
					.text = (char *)(uintptr_t)info->def};

		if (!config_key_is_of(s, info) || (!info->has_number && !info->def))
			continue;
		if (info->has_number) {
			n.kind = NODE_NUMBER;
			n.number = info->number;
		} else if (info->type == KEY_BOOL) {
			n.kind = NODE_BOOL;
			n.boolean = !strcmp(info->def, "yes");
		}
		read_key_of(r, &n, b, info, base);
	}
}

/* ---- numbers and words ---------------------------------------------------------------------- */

static void store(const struct config_key *k, void *field, uint64_t v)
{
	uint8_t v8 = (uint8_t)v;
	uint16_t v16 = (uint16_t)v;
	uint32_t v32 = (uint32_t)v;

	switch (k->width) {
	case 1:
		memcpy(field, &v8, 1);
		break;
	case 2:
		memcpy(field, &v16, 2);
		break;
	case 4:
		memcpy(field, &v32, 4);
		break;
	default:
		memcpy(field, &v, 8);
	}
}

static bool whole_number(struct config_reader *r, const struct config_node *n,
			 const struct config_key *k, enum config_unit unit, const char *expected,
			 double scale, double *out)
{
	double v = n->number;

	if (n->kind != NODE_NUMBER || (n->unit != UNIT_NONE && n->unit != unit)) {
		config_fail(r->c, n, NULL, "expected %s, found %s%s%s", expected,
			    config_kind_name(n), n->text ? " " : "", n->text ? n->text : "");
		return false;
	}
	if (v < k->info->min || v > k->info->max) {
		config_fail(r->c, n, NULL, "%s is out of bounds: expected %.15g to %.15g%s", n->text,
			    k->info->min, k->info->max,
			    unit == UNIT_TIME ? " seconds" : unit == UNIT_SIZE ? " octets" : "");
		return false;
	}
	v *= scale;
	*out = (double)(uint64_t)(v + 0.5);
	if (v - *out > 1e-6 || *out - v > 1e-6) {
		config_fail(r->c, n, NULL, "%s is not a whole number%s", n->text,
			    unit == UNIT_SIZE   ? " of octets"
			    : unit != UNIT_TIME ? ""
			    : scale > 1         ? " of milliseconds"
						: " of seconds");
		return false;
	}
	return true;
}

void read_count(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		void *field)
{
	double v;

	if (whole_number(r, n, k, UNIT_NONE, "a plain number", 1, &v))
		store(k, field, (uint64_t)v);
}

void read_size(struct config_reader *r, const struct config_node *n, const struct config_key *k,
	       void *field)
{
	double v;

	if (whole_number(r, n, k, UNIT_SIZE, "a size (octets, or with kb, mb, gb)", 1, &v))
		store(k, field, (uint64_t)v);
}

void read_seconds(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		  void *field)
{
	double v;

	if (whole_number(r, n, k, UNIT_TIME, "a time (seconds, or with s, min, h)", 1, &v))
		store(k, field, (uint64_t)v);
}

void read_millis(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		 void *field)
{
	double v;

	if (whole_number(r, n, k, UNIT_TIME, "a time (seconds, or with ms, s, min)", 1000, &v))
		store(k, field, (uint64_t)v);
}

void read_double(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		 void *field)
{
	if (n->kind != NODE_NUMBER || n->unit != UNIT_NONE) {
		config_fail(r->c, n, NULL, "expected a number, found %s", config_kind_name(n));
		return;
	}
	if (n->number < k->info->min || n->number > k->info->max) {
		config_fail(r->c, n, NULL, "%s is out of bounds: expected %g to %g", n->text, k->info->min,
			    k->info->max);
		return;
	}
	memcpy(field, &n->number, sizeof(n->number));
}

void read_bool(struct config_reader *r, const struct config_node *n, const struct config_key *k,
	       void *field)
{
	(void)k;
	if (n->kind != NODE_BOOL) {
		config_fail(r->c, n, NULL, "expected true or false, found %s", config_kind_name(n));
		return;
	}
	memcpy(field, &n->boolean, sizeof(bool));
}

void read_choice(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		 void *field)
{
	char list[160] = "";
	size_t at = 0;

	/* "none" and 451 are words here, whatever they look like elsewhere. "" is none of this key. */
	for (unsigned int i = 0; n->text && n->text[0] && k->info->words[i]; i++)
		if (strcmp(n->text, k->info->words[i]) == 0) {
			store(k, field, i);
			return;
		}
	for (unsigned int i = 0; k->info->words[i] && at < sizeof(list); i++) {
		int len = !k->info->words[i][0] ? 0
					  : snprintf(list + at, sizeof(list) - at, "%s\"%s\"",
						     at ? " or " : "", k->info->words[i]);

		at += len > 0 ? (size_t)len : 0;
	}
	config_fail(r->c, n, NULL, "expected %s, found %s%s%s", list, config_kind_name(n),
		    n->text ? " " : "", n->text ? n->text : "");
}

bool config_string(struct config_reader *r, const struct config_node *n)
{
	if (n->kind != NODE_STRING) {
		config_fail(r->c, n, NULL, "expected a string, found %s", config_kind_name(n));
		return false;
	}
	if (!n->text[0]) {
		config_fail(r->c, n, NULL, "an empty string");
		return false;
	}
	return true;
}

bool config_reply_text(struct config_reader *r, const struct config_node *n, size_t max)
{
	size_t len;

	if (!config_string(r, n))
		return false;
	len = strlen(n->text);
	if (len > max) {
		config_fail(r->c, n, NULL, "text of %zu octets: at most %zu are possible here", len, max);
		return false;
	}
	for (size_t i = 0; i < len; i++)
		if (n->text[i] < ' ' || n->text[i] > '~') {
			config_fail(r->c, n, NULL, "only printable ASCII can be in a reply (RFC 5321 4.2)");
			return false;
		}
	return true;
}

bool config_strings(struct config_reader *r, const struct config_node *n, size_t min, size_t max)
{
	bool ok = true;

	if (n->kind != NODE_ARRAY) {
		config_fail(r->c, n, NULL, "expected an array [ ... ] of strings, found %s",
			    config_kind_name(n));
		return false;
	}
	if (n->n < min || n->n > max) {
		config_fail(r->c, n, NULL, "expected %zu to %zu entries, found %zu", min, max, n->n);
		return false;
	}
	for (const struct config_node *e = n->first; e; e = e->next)
		ok &= config_string(r, e);
	return ok;
}

bool config_list(struct config_reader *r, const struct config_node *n, const struct config_key *k)
{
	return config_strings(r, n, (size_t)k->info->min, (size_t)k->info->max);
}

const struct config_node *config_string_or_list(struct config_reader *r,
						const struct config_node *n, size_t max,
						size_t *count)
{
	*count = 1;
	if (n->kind == NODE_STRING)
		return config_string(r, n) ? n : NULL;
	*count = n->n;
	return config_strings(r, n, 1, max) ? n->first : NULL;
}

static bool digits_only(const char *label)
{
	return label[0] && label[strspn(label, "0123456789")] == '\0';
}

char *config_domain(struct config_reader *r, const struct config_node *n, struct str text)
{
	char plain[LIMIT_CONFIG_STRING + 1], *ascii = NULL, *out = NULL;
	const char *last;
	bool is_ascii = true;
	struct str a;

	if (text.n >= sizeof(plain))
		return NULL;
	memcpy(plain, text.p, text.n);
	plain[text.n] = '\0';
	for (size_t i = 0; i < text.n; i++)
		is_ascii &= text.p[i] < 0x80;
	if (!is_ascii) {
		/* RFC 5891 5: U-labels are looked up and compared as A-labels. */
		int rc = idn2_to_ascii_8z(plain, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);

		if (rc != IDN2_OK) {
			config_fail(r->c, n, NULL, "no valid international domain: %s",
				    idn2_strerror(rc));
			return NULL;
		}
	}
	a = str_c(ascii ? ascii : plain);
	last = strrchr((const char *)a.p, '.');
	if (!domain_is_valid(a))
		config_fail(r->c, n, NULL, "\"%s\" is no host or domain name: letters, digits and "
			    "hyphens, labels of 1 to 63, without a final dot", plain);
	else if (digits_only(last ? last + 1 : (const char *)a.p))
		config_fail(r->c, n, NULL, "\"%s\" is no host or domain name: its last label is a "
			    "number (a malformed address?)", plain);
	else
		out = config_dup(r->mem, a);
	for (char *p = out; p && *p; p++)
		*p = (char)ascii_lower((uint8_t)*p);
	idn2_free(ascii);
	return out;
}

void read_domain(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		 void *field)
{
	char *d;

	(void)k;
	if (!config_string(r, n))
		return;
	d = config_domain(r, n, str_c(n->text));
	/* RFC 5321 2.3.5: names are fully qualified. */
	if (d && !strchr(d, '.'))
		config_fail(r->c, n, NULL, "\"%s\" is not fully qualified: expected at least two labels",
			    n->text);
	else if (d)
		memcpy(field, &d, sizeof(d));
}

static void path_value(struct config_reader *r, const struct config_node *n, size_t max,
		       void *field)
{
	char *p;

	if (!config_string(r, n))
		return;
	if (n->text[0] != '/' || n->text[strlen(n->text) - 1] == '/') {
		config_fail(r->c, n, NULL, "expected an absolute path of a file, found %s", n->text);
		return;
	}
	if (strlen(n->text) > max) {
		config_fail(r->c, n, NULL, "path of %zu octets: at most %zu are possible here",
			    strlen(n->text), max);
		return;
	}
	p = config_dup(r->mem, str_c(n->text));
	memcpy(field, &p, sizeof(p));
}

void read_path(struct config_reader *r, const struct config_node *n, const struct config_key *k,
	       void *field)
{
	(void)k;
	path_value(r, n, LIMIT_CONFIG_STRING, field);
}

void read_socket(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		 void *field)
{
	(void)k;
	path_value(r, n, LIMIT_SOCKET_PATH, field);
}

bool config_host_address(struct config_reader *r, const struct config_node *n, struct str text,
			 struct ip_addr *out)
{
	static const uint8_t zero[16];
	const char *why = NULL;
	struct ip_addr a;

	if (!ip_parse(text, &a)) {
		config_fail(r->c, n, NULL, "\"%.*s\" is no IP address", STR_FMT(text));
		return false;
	}
	if (ip_is_v4(&a)) {
		if (str_find(text, ':') < text.n)
			why = "an IPv4-mapped address: write it as IPv4";
		else if (a.a[12] == 0)
			why = "in 0.0.0.0/8, which no host has";
		else if (a.a[12] >= 240)
			why = "reserved or broadcast";
		else if (a.a[12] >= 224)
			why = "a multicast address";
	} else if (memcmp(a.a, zero, 16) == 0) {
		why = "the unspecified address";
	} else if (a.a[0] == 0xff) {
		why = "a multicast address";
	}
	if (why) {
		config_fail(r->c, n, NULL, "%.*s is %s", STR_FMT(text), why);
		return false;
	}
	*out = a;
	return true;
}

bool config_port(struct str text, uint16_t *out)
{
	uint32_t v = 0;

	if (!text.n || text.n > 5 || text.p[0] == '0')
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (!ascii_is_digit(text.p[i]))
			return false;
		v = v * 10 + (uint32_t)(text.p[i] - '0');
	}
	if (v > 65535)
		return false;
	*out = (uint16_t)v;
	return true;
}

/* A name of a section goes into headers, replies and trace records. */
bool config_section_name(struct config_reader *r, const struct config_node *n)
{
	size_t len = strlen(n->key);
	bool ok = len && len <= LIMIT_CONFIG_NAME;

	for (size_t i = 0; i < len; i++)
		ok &= ascii_is_alnum((uint8_t)n->key[i]) || strchr("-_.", n->key[i]);
	if (!ok)
		config_fail(r->c, n, NULL, "a name is 1 to %d letters, digits, - _ or .",
			    LIMIT_CONFIG_NAME);
	return ok;
}

bool config_is_section(struct config_reader *r, const struct config_node *n)
{
	if (n->kind == NODE_SECTION && !n->named)
		return true;
	config_fail(r->c, n, NULL, "expected a section { ... }, found %s", config_kind_name(n));
	return false;
}
