/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Text → tree. One pass, no lookahead beyond a character; recursion is bounded by
 * LIMIT_CONFIG_DEPTH and LIMIT_CONFIG_INCLUDES, nodes by LIMIT_CONFIG_NODES. Written here because the line of each value is
 * part of what an error must say. The first syntax error ends the pass.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/config/config_tree.h"
#include "postern/limits.h"

struct parser {
	struct config_ctx *c;
	const struct config_source *source; /* that p is in */
	const uint8_t *p, *end;
	unsigned int line;
	unsigned int inside;       /* files that include this one */
	size_t n_nodes, n_files, octets; /* of all files */
};

static bool section_body(struct parser *s, struct config_node *section, unsigned int depth,
			 bool root);
static struct config_node *value(struct parser *s, struct config_node *parent, char *key,
				 unsigned int depth);

static int peek(const struct parser *s)
{
	return s->p < s->end ? *s->p : -1;
}

static int peek2(const struct parser *s)
{
	return s->end - s->p > 1 ? s->p[1] : -1;
}

static int next(struct parser *s)
{
	if (s->p >= s->end)
		return -1;
	if (*s->p == '\n')
		s->line++;
	return *s->p++;
}

/* At the first line of a text; false: it is none. */
static bool begin(struct parser *s, struct str text)
{
	const uint8_t *nul = text.n ? memchr(text.p, 0, text.n) : NULL;

	s->p = text.p;
	s->end = text.p + text.n;
	s->line = 1;
	if (nul) {
		for (const uint8_t *p = text.p; p < nul; p++)
			s->line += *p == '\n';
		config_fail_line(s->c, s->line, "", "NUL octet: this is no text file");
		return false;
	}
	/* A byte order mark comes from editors, not from people. */
	if (str_istarts(text, STR("\xef\xbb\xbf")))
		s->p += 3;
	return true;
}

/* White space and comments; C comments nest. False: a comment has no end. */
static bool skip_space(struct parser *s)
{
	for (;;) {
		int c = peek(s);

		if (c == '#') {
			while (peek(s) >= 0 && peek(s) != '\n')
				next(s);
		} else if (c == '/' && peek2(s) == '*') {
			unsigned int start = s->line, open = 0;

			do {
				if (s->p >= s->end) {
					config_fail_line(s->c, start, "", "comment without its end */");
					return false;
				}
				if (peek(s) == '/' && peek2(s) == '*') {
					open++;
					next(s);
				} else if (peek(s) == '*' && peek2(s) == '/') {
					open--;
					next(s);
				}
				next(s);
			} while (open);
		} else if (c >= 0 && ascii_is_wsp_crlf((uint8_t)c)) {
			next(s);
		} else {
			return true;
		}
	}
}

static struct config_node *node_new(struct parser *s, enum config_kind kind)
{
	struct config_node *n;

	if (++s->n_nodes > LIMIT_CONFIG_NODES) {
		config_fail_line(s->c, s->line, "", "more than %d values in one file",
				 LIMIT_CONFIG_NODES);
		return NULL;
	}
	n = config_alloc(&s->c->mem, sizeof(*n));
	if (n) {
		n->kind = kind;
		n->source = s->source;
		n->line = s->line;
	}
	return n;
}

static void node_add(struct config_node *parent, struct config_node *child)
{
	child->parent = parent;
	if (parent->last)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
	parent->n++;
}

/* JSON's escapes, of which \u is left out: names are ASCII, domains may be written as UTF-8. */
static bool quoted(struct parser *s, char **out)
{
	unsigned int start = s->line;
	uint8_t buf[LIMIT_CONFIG_STRING];
	size_t n = 0;

	next(s);
	for (;;) {
		int c = next(s);

		if (c < 0 || c == '\n') {
			config_fail_line(s->c, start, "", "string without its closing quote");
			return false;
		}
		if (c == '"')
			break;
		if (c == '\\') {
			static const char from[] = "\"\\/nrt", to[] = "\"\\/\n\r\t";
			int e = next(s);
			const char *at = e > 0 ? strchr(from, e) : NULL;

			if (!at) {
				config_fail_line(s->c, start, "", "unknown escape in a string; known: "
						 "\\\" \\\\ \\/ \\n \\r \\t");
				return false;
			}
			c = to[at - from];
		} else if (c < 0x20 || c == 0x7f) {
			config_fail_line(s->c, start, "", "control character 0x%02x in a string",
					 (unsigned int)c);
			return false;
		}
		if (n == sizeof(buf)) {
			config_fail_line(s->c, start, "", "string of more than %d octets",
					 LIMIT_CONFIG_STRING);
			return false;
		}
		buf[n++] = (uint8_t)c;
	}
	*out = config_dup(&s->c->mem, str_make(buf, n));
	return *out != NULL;
}

static bool is_word(int c)
{
	return c > 0x20 && c != 0x7f && !strchr("{}[]\"=;,#", c);
}

static bool is_key(int c)
{
	return c > 0 && (ascii_is_alnum((uint8_t)c) || c == '-' || c == '_');
}

static struct str bare(struct parser *s, bool (*accept)(int))
{
	const uint8_t *from = s->p;

	while (s->p < s->end && accept(*s->p))
		s->p++;
	return str_make(from, (size_t)(s->p - from));
}

static const struct suffix {
	const char *text;
	enum config_unit unit;
	double factor;
} suffixes[] = {
	{"k", UNIT_SIZE, 1e3}, {"m", UNIT_SIZE, 1e6}, {"g", UNIT_SIZE, 1e9},
	{"kb", UNIT_SIZE, 1024.0}, {"mb", UNIT_SIZE, 1048576.0}, {"gb", UNIT_SIZE, 1073741824.0},
	{"ms", UNIT_TIME, 1e-3}, {"s", UNIT_TIME, 1}, {"min", UNIT_TIME, 60},
	{"h", UNIT_TIME, 3600}, {"d", UNIT_TIME, 86400},
};

/* True if the word is a number as a whole; "192.0.2.1" and "5x" are words. */
static bool as_number(struct str w, double *number, enum config_unit *unit)
{
	double v = 0, scale = 1;
	bool minus = w.n && w.p[0] == '-', digits = false;
	size_t i = minus ? 1 : 0;

	for (; i < w.n && ascii_is_digit(w.p[i]); i++, digits = true)
		v = v * 10 + (w.p[i] - '0');
	if (digits && i < w.n && w.p[i] == '.') {
		i++;
		for (digits = false; i < w.n && ascii_is_digit(w.p[i]); i++, digits = true)
			v += (w.p[i] - '0') * (scale /= 10);
	}
	/* 1e300 and beyond would be no number of anything. */
	if (!digits || w.n > 32)
		return false;
	*unit = UNIT_NONE;
	*number = minus ? -v : v;
	if (i == w.n)
		return true;
	for (size_t k = 0; k < sizeof(suffixes) / sizeof(suffixes[0]); k++) {
		if (!str_ieq(str_skip(w, i), str_c(suffixes[k].text)))
			continue;
		*unit = suffixes[k].unit;
		*number *= suffixes[k].factor;
		return true;
	}
	return false;
}

static struct config_node *word_value(struct parser *s)
{
	static const struct { const char *text; bool value; } booleans[] = {
		{"true", true}, {"yes", true}, {"on", true},
		{"false", false}, {"no", false}, {"off", false},
	};
	struct config_node *n = node_new(s, NODE_STRING);
	struct str w = bare(s, is_word);

	if (!n)
		return NULL;
	if (!w.n || w.n > LIMIT_CONFIG_STRING) {
		if (!w.n)
			config_fail_line(s->c, s->line, "", "a value is missing");
		else
			config_fail_line(s->c, s->line, "", "value of more than %d octets",
					 LIMIT_CONFIG_STRING);
		return NULL;
	}
	n->text = config_dup(&s->c->mem, w);
	if (!n->text)
		return NULL;
	if (w.n > 1 && (w.p[0] == '$' || str_istarts(w, STR("<<")))) {
		config_fail_line(s->c, s->line, "", "variables and heredocs are not supported: "
				 "%s (a string that begins like this is put in quotes)", n->text);
		return NULL;
	}
	for (size_t i = 0; i < sizeof(booleans) / sizeof(booleans[0]); i++)
		if (str_ieq(w, str_c(booleans[i].text))) {
			n->kind = NODE_BOOL;
			n->boolean = booleans[i].value;
		}
	if (n->kind == NODE_STRING && as_number(w, &n->number, &n->unit))
		n->kind = NODE_NUMBER;
	return n;
}

static struct config_node *array_value(struct parser *s, unsigned int depth)
{
	struct config_node *a = node_new(s, NODE_ARRAY);
	unsigned int start = s->line;

	if (!a)
		return NULL;
	next(s);
	for (;;) {
		struct config_node *v;

		if (!skip_space(s))
			return NULL;
		if (peek(s) < 0) {
			config_fail_line(s->c, start, "", "array without its closing ]");
			return NULL;
		}
		if (peek(s) == ']') {
			next(s);
			return a;
		}
		v = value(s, a, NULL, depth);
		if (!v || !skip_space(s))
			return NULL;
		node_add(a, v);
		if (peek(s) == ',') {
			next(s);
		} else if (peek(s) >= 0 && peek(s) != ']') {
			config_fail_line(s->c, s->line, "", "expected , or ] in an array");
			return NULL;
		}
	}
}

/* parent and key are for the paths of errors inside; the caller adds the value to the tree. */
static struct config_node *value(struct parser *s, struct config_node *parent, char *key,
				 unsigned int depth)
{
	int c = peek(s);
	struct config_node *n;

	if (depth > LIMIT_CONFIG_DEPTH) {
		config_fail_line(s->c, s->line, "", "nested deeper than %d", LIMIT_CONFIG_DEPTH);
		return NULL;
	}
	if (c == '{') {
		n = node_new(s, NODE_SECTION);
		if (!n)
			return NULL;
		n->parent = parent;
		n->key = key;
		next(s);
		return section_body(s, n, depth + 1, false) ? n : NULL;
	}
	if (c == '[')
		return array_value(s, depth + 1);
	if (c == '"') {
		n = node_new(s, NODE_STRING);
		return n && quoted(s, &n->text) ? n : NULL;
	}
	return word_value(s);
}

/* A bare or quoted key; NULL: error recorded. */
static char *read_key(struct parser *s)
{
	char *key = NULL;
	struct str w;

	if (peek(s) == '"') {
		if (!quoted(s, &key))
			return NULL;
		w = str_c(key);
	} else {
		w = bare(s, is_key);
		if (w.n)
			key = config_dup(&s->c->mem, w);
	}
	if (!w.n) {
		config_fail_line(s->c, s->line, "", "expected a key, found '%c'",
				 peek(s) > 0x20 && peek(s) < 0x7f ? peek(s) : '?');
		return NULL;
	}
	if (w.n > LIMIT_DNS_NAME) {
		config_fail_line(s->c, s->line, "", "key of more than %d octets", LIMIT_DNS_NAME);
		return NULL;
	}
	return key;
}

static bool add_keyed(struct parser *s, struct config_node *section, char *key,
		      struct config_node *v)
{
	const struct config_node *old = config_child(section, key);

	v->key = key;
	if (section->n >= LIMIT_CONFIG_KEYS) {
		config_fail_line(s->c, v->line, key, "more than %d keys in one section",
				 LIMIT_CONFIG_KEYS);
		return false;
	}
	if (old) {
		/* Its path is made by the parent; it is reported, and left out of the tree. */
		v->parent = section;
		if (old->source == v->source)
			config_fail(s->c, v, NULL, "given twice, first in line %u", old->line);
		else
			config_fail(s->c, v, NULL, "given twice, first in line %u of %s", old->line,
				    old->source->name);
		return true;
	}
	node_add(section, v);
	return true;
}

/* `key "name" { }` and `key "name" = value` are kept as the section `key` of all the names. */
static bool named_entry(struct parser *s, struct config_node *section, char *key,
			unsigned int depth)
{
	struct config_node *group = (struct config_node *)config_child(section, key), *v;
	unsigned int line = s->line;
	char *name = read_key(s);

	if (!name || !skip_space(s))
		return false;
	if (!group) {
		group = node_new(s, NODE_SECTION);
		if (!group)
			return false;
		group->line = line;
		group->named = true;
		if (!add_keyed(s, section, key, group))
			return false;
	}
	if (!group->named) {
		config_fail_line(s->c, line, key, "given twice, first in line %u%s%s without a name",
				 group->line, group->source == s->source ? "" : " of ",
				 group->source == s->source ? "" : group->source->name);
		return false;
	}
	if (peek(s) == '=' || peek(s) == ':') {
		next(s);
		if (!skip_space(s))
			return false;
	} else if (peek(s) != '{') {
		config_fail_line(s->c, s->line, key, "expected { or = behind the name \"%s\"", name);
		return false;
	}
	v = value(s, group, name, depth);
	if (!v)
		return false;
	v->line = line;
	return add_keyed(s, group, name, v);
}

/* Behind a value: ; , or a new line or the end of the section. */
static bool entry_end(struct parser *s, unsigned int line, const char *key)
{
	if (!skip_space(s))
		return false;
	if (peek(s) == ';' || peek(s) == ',') {
		next(s);
		return true;
	}
	if (peek(s) < 0 || peek(s) == '}' || s->line != line)
		return true;
	config_fail_line(s->c, s->line, key, "expected ; or the end of the line behind a value");
	return false;
}

static bool entry(struct parser *s, struct config_node *section, unsigned int depth)
{
	unsigned int line = s->line;
	struct config_node *v;
	char *key = read_key(s);
	bool section_end;

	if (!key || !skip_space(s))
		return false;
	if (peek(s) == '=' || peek(s) == ':') {
		next(s);
		if (!skip_space(s))
			return false;
	} else if (peek(s) == '"' || (is_key(peek(s)) && s->line == line)) {
		if (!named_entry(s, section, key, depth + 1))
			return false;
		section_end = s->p[-1] == '}';
		line = s->line;
		goto end;
	} else if (peek(s) != '{') {
		config_fail_line(s->c, line, key, "expected = { or a name behind the key");
		return false;
	}
	v = value(s, section, key, depth);
	if (!v)
		return false;
	section_end = v->kind == NODE_SECTION;
	v->line = v->kind == NODE_SECTION || v->kind == NODE_ARRAY ? line : v->line;
	if (!add_keyed(s, section, key, v))
		return false;
	line = s->line;
end:
	if (section_end) {
		if (!skip_space(s))
			return false;
		if (peek(s) == ';' || peek(s) == ',')
			next(s);
		return true;
	}
	return entry_end(s, line, key);
}

/* ---- .include ------------------------------------------------------------------------------- */

/* A file's text, as if it stood here. */
static bool included(struct parser *s, struct config_node *section, const struct config_text *t,
		     unsigned int line, unsigned int depth)
{
	struct parser outer = *s;
	struct config_source *source;
	bool ok;

	for (const struct config_source *by = s->source; by; by = by->by)
		if (!strcmp(by->name, t->name)) {
			config_fail_line(s->c, line, ".include", "%s would include itself", t->name);
			return false;
		}
	s->octets += t->len;
	if (++s->n_files > LIMIT_CONFIG_FILES || s->octets > LIMIT_CONFIG_FILE) {
		config_fail_line(s->c, line, ".include", "%s: more than %d files, or %u octets in all", t->name,
				 LIMIT_CONFIG_FILES, LIMIT_CONFIG_FILE);
		return false;
	}
	source = config_alloc(&s->c->mem, sizeof(*source));
	if (!source)
		return false;
	*source = (struct config_source){config_dup(&s->c->mem, str_c(t->name)), t->readable, s->source};
	if (!source->name)
		return false;
	s->source = source;
	s->c->file = source->name;
	s->inside++;
	ok = begin(s, str_make(t->text, t->len)) && section_body(s, section, depth, true);
	s->source = outer.source;
	s->c->file = outer.source->name;
	s->p = outer.p;
	s->end = outer.end;
	s->line = outer.line;
	s->inside--;
	return ok;
}

/* What does not begin with / is looked for beside the file that says it. */
static bool include_pattern(struct parser *s, char out[2 * LIMIT_CONFIG_STRING])
{
	const char *own = s->source->name, *slash = strrchr(own, '/');
	char *path = NULL;
	struct str w;

	if (peek(s) == '(') {
		config_fail_line(s->c, s->line, ".include", "options are not supported: .include \"FILE\"");
		return false;
	}
	if (peek(s) == '"' && !quoted(s, &path))
		return false;
	w = path ? str_c(path) : bare(s, is_word);
	if (!w.n || w.n > LIMIT_CONFIG_STRING) {
		config_fail_line(s->c, s->line, ".include", "expected the path of a file");
		return false;
	}
	snprintf(out, 2 * LIMIT_CONFIG_STRING, "%.*s%.*s",
		 w.p[0] != '/' && slash ? (int)(slash + 1 - own) : 0, own, STR_FMT(w));
	return true;
}

static bool include(struct parser *s, struct config_node *section, unsigned int depth)
{
	char pattern[2 * LIMIT_CONFIG_STRING], why[CONFIG_WHY] = "";
	unsigned int line = s->line;
	struct config_text *t = NULL;
	struct str word;
	bool ok = true;
	size_t n = 0;
	int rc;

	next(s);
	word = bare(s, is_key);
	if (!str_ieq(word, STR("include"))) {
		config_fail_line(s->c, line, "", "macros other than .include are not supported");
		return false;
	}
	if (!skip_space(s) || !include_pattern(s, pattern))
		return false;
	if (!s->c->find || s->inside == LIMIT_CONFIG_INCLUDES) {
		config_fail_line(s->c, line, ".include", s->c->find ? "files inside files deeper than %d"
				 : "only a file can include others (at most %d deep)", LIMIT_CONFIG_INCLUDES);
		return false;
	}
	rc = s->c->find(s->c->find_arg, pattern, LIMIT_CONFIG_FILE, &t, &n, why);
	if (rc == -ENOMEM)
		s->c->mem.failed = true;
	else if (rc)
		config_fail_line(s->c, line, ".include", "%s", why);
	for (size_t i = 0; i < n && ok; i++)
		ok = included(s, section, &t[i], line, depth);
	config_texts_free(t, n);
	free(t);
	return ok && !rc && entry_end(s, s->line, ".include");
}

static bool section_body(struct parser *s, struct config_node *section, unsigned int depth,
			 bool root)
{
	for (;;) {
		if (!skip_space(s))
			return false;
		if (peek(s) < 0) {
			if (root)
				return true;
			config_fail_line(s->c, section->line, "", "section without its closing }");
			return false;
		}
		if (peek(s) == '}' && !root) {
			next(s);
			return true;
		}
		if (peek(s) == '.' ? !include(s, section, depth) : !entry(s, section, depth))
			return false;
	}
}

struct config_node *config_syntax(struct config_ctx *c, struct str text)
{
	struct parser s = {.c = c, .source = c->source, .n_files = 1, .octets = text.n};
	struct config_node *root;

	if (!begin(&s, text))
		return NULL;
	root = node_new(&s, NODE_SECTION);
	if (!root || !section_body(&s, root, 1, true))
		return NULL;
	return root;
}
