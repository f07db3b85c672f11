/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A set of rules: made from files or memory, asked, given up. */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/rules/rules_internal.h"
#include "postern/limits.h"

void rules_issue_add(struct rules *r, enum rules_severity severity, const char *file,
		     unsigned int line, const char *rule, const char *fmt, ...)
{
	char reason[MAX_REASON];
	struct rules_issue *i;
	va_list ap;

	r->error |= severity == RULES_ERROR;
	/* The first error is kept in any case: it is why the set is refused. */
	if (r->n_issues >= LIMIT_RULES_ISSUES) {
		r->lost_issues++;
		return;
	}
	if (!rules_grow(r, &r->issue, r->n_issues, &r->cap_issues, sizeof(*i)))
		return;
	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	/* What the file says is shown to a terminal. */
	for (char *p = reason; *p; p++)
		if ((uint8_t)*p < 0x20 || *p == 0x7f)
			*p = '?';
	i = &r->issue[r->n_issues++];
	*i = (struct rules_issue){.severity = severity, .line = line};
	i->file = rules_dup(r, str_c(file));
	i->rule = rules_dup(r, str_c(rule));
	i->reason = rules_dup(r, str_c(reason));
}

static void rule_free(struct rule *rule, struct rule_source *src)
{
	free(rule->name);
	free(rule->describe);
	free(src->file);
	free(src->pattern);
	free(src->expanded);
	free(src->unset);
	free(src->step);
	regex_literals_free(&src->gate);
	pcre2_code_free(src->code);
}

static void drop_rules(struct rules *r)
{
	for (size_t i = 0; i < r->n; i++)
		rule_free(&r->rule[i], &r->src[i]);
	for (size_t i = 0; i < r->n_slots; i++) {
		free(r->slot[i].rule);
		if (!r->slot[i].borrowed)
			free(r->slot[i].blob);
		free(r->slot[i].automaton);
		free(r->slot[i].literals);
	}
	r->n = r->n_slots = r->n_order = 0;
	r->plan = (struct content_plan){0};
}

void rules_free(struct rules *r)
{
	if (!r)
		return;
	drop_rules(r);
	for (size_t i = 0; i < r->n_issues; i++) {
		free(r->issue[i].file);
		free(r->issue[i].rule);
		free(r->issue[i].reason);
	}
	for (size_t i = 0; i < r->n_tags; i++) {
		free(r->tag[i].name);
		free(r->tag[i].text);
	}
	for (unsigned int i = 0; i < r->n_selectors; i++) {
		free((void *)r->selector[i].name.p);
		free(r->selector_name[i]);
	}
	free(r->rule);
	free(r->src);
	free(r->by_name);
	free(r->order);
	free(r->tag);
	free(r->issue);
	free(r->slot);
	free(r->kept_text);
	free(r);
}

static struct rules *rules_new(const struct rules_options *opt)
{
	struct rules *r = calloc(1, sizeof(*r));

	if (r)
		r->opt = *opt;
	return r;
}

/* The files were read twice, here and where the set was compiled. */
static int take_kept(struct rules *r)
{
	int rc;

	rules_make_key(r);
	rc = r->oom ? -ENOMEM : rules_restore(r, r->opt.kept, r->opt.kept_len);
	r->oom |= rc == -ENOMEM;
	if (rc && rc != -ENOMEM)
		rules_issue_add(r, RULES_ERROR, "", 0, "", rc == -ESTALE ?
				"the rule files changed while they were compiled; once more, please" :
				"what compiling handed over is damaged");
	return -ESTALE;
}

static int finish(struct rules_reader *rd, struct rules **out)
{
	struct rules *r = rd->r;
	int rc = -EINVAL;

	rules_finish(rd);
	rules_reader_free(rd);
	if (!r->oom && !r->error && r->opt.kept)
		rc = take_kept(r);
	else if (!r->oom && !r->error)
		rules_compile(r);
	if (r->oom) {
		rules_free(r);
		*out = NULL;
		return -ENOMEM;
	}
	/* A set with an error holds issues only: nobody can use half of it. */
	if (r->error)
		drop_rules(r);
	if (r->lost_issues) {
		size_t lost = r->lost_issues + 1;
		struct rules_issue *last = &r->issue[r->n_issues - 1];
		char text[80];
		char *reason;

		snprintf(text, sizeof(text), "%zu more issues are not listed", lost);
		reason = strdup(text);
		if (reason) {
			free(last->reason);
			last->reason = reason;
			last->severity = r->error ? RULES_ERROR : RULES_NOTE;
			last->line = 0;
			last->rule[0] = '\0';
		}
	}
	*out = r;
	return r->error ? rc : 0;
}

int rules_parse(const char *name, const void *text, size_t len, struct rules **out)
{
	struct rules_reader rd = {.r = rules_new(&RULES_DEFAULT)};

	*out = NULL;
	if (!rd.r)
		return -ENOMEM;
	rules_read_text(&rd, name, str_make(text, len));
	return finish(&rd, out);
}

static int read_all(int fd, char *buf, size_t cap, size_t *len)
{
	size_t n = 0;

	while (n < cap) {
		ssize_t k = read(fd, buf + n, cap - n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			break;
		n += (size_t)k;
	}
	*len = n;
	return 0;
}

static void read_file(struct rules_reader *rd, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), rc = 0;
	char *text = NULL;
	size_t len = 0, cap;
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		rc = -errno;
	} else if (!S_ISREG(st.st_mode)) {
		rules_issue_add(rd->r, RULES_ERROR, path, 0, "", "is no regular file");
		goto out;
	} else {
		/* One octet more than it had, so that a file that grows meanwhile is seen. */
		cap = st.st_size < (off_t)LIMIT_RULES_FILE ? (size_t)st.st_size + 4096
							   : (size_t)LIMIT_RULES_FILE + 1;
		text = malloc(cap);
		if (!text) {
			rd->r->oom = true;
			goto out;
		}
		rc = read_all(fd, text, cap, &len);
	}
	if (rc)
		rules_issue_add(rd->r, RULES_ERROR, path, 0, "", "cannot be read: %s", strerror(-rc));
	else
		rules_read_text(rd, path, str_make(text, len));
out:
	free(text);
	if (fd >= 0)
		close(fd);
}

int rules_load_with(const char *const *file, size_t n_files, const struct rules_options *opt,
		    struct rules **out)
{
	struct rules_reader rd = {.r = rules_new(opt)};

	*out = NULL;
	if (!rd.r)
		return -ENOMEM;
	if (n_files > LIMIT_RULES_FILES) {
		rules_issue_add(rd.r, RULES_ERROR, "", 0, "", "more than %d files", LIMIT_RULES_FILES);
		n_files = 0;
	}
	for (size_t i = 0; i < n_files && !rd.r->oom; i++)
		read_file(&rd, file[i]);
	return finish(&rd, out);
}

int rules_load(const char *const *file, size_t n_files, struct rules **out)
{
	return rules_load_with(file, n_files, &RULES_DEFAULT, out);
}

size_t rules_total(const struct rules *r)
{
	return r->n;
}

size_t rules_count(const struct rules *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->rule[i].tier != RULE_NOT_SUPPORTED && r->rule[i].tier != RULE_OFF;
	return n;
}

const struct rule *rules_at(const struct rules *r, size_t i)
{
	return i < r->n ? &r->rule[i] : NULL;
}

size_t rules_issues(const struct rules *r, const struct rules_issue **issue)
{
	*issue = r->issue;
	return r->n_issues;
}

const char *rules_place(const struct rules *r, const struct rule *rule, unsigned int *line)
{
	const struct rule_source *src = &r->src[rule - r->rule];

	*line = src->line;
	return src->file ? src->file : "";
}

const char *rules_text(const struct rules *r, const struct rule *rule)
{
	const char *text = r->src[rule - r->rule].pattern;

	return text ? text : "";
}

static bool named_before(const struct rule_source *src, size_t k)
{
	for (size_t i = 0; i < k; i++)
		if (src->step[i].op == META_RULE && src->step[i].rule == src->step[k].rule)
			return true;
	return false;
}

const struct rule *rules_meta_over(const struct rules *r, const struct rule *rule, size_t i)
{
	const struct rule_source *src = &r->src[rule - r->rule];

	for (size_t k = 0; k < src->n_steps; k++)
		if (src->step[k].op == META_RULE && src->step[k].rule != UINT32_MAX && !named_before(src, k) &&
		    !i--)
			return &r->rule[src->step[k].rule];
	return NULL;
}

const uint8_t *rules_digest(const struct rules *r)
{
	return r->digest;
}

const struct content_plan *rules_plan(const struct rules *r)
{
	return &r->plan;
}

uint32_t rules_views(const struct rules *r)
{
	uint32_t views = 0;

	for (size_t i = 0; i < r->n_slots; i++)
		if (r->slot[i].number < VIEW_COUNT)
			views |= 1u << r->slot[i].number;
	return views;
}

const void *rules_blob(const struct rules *r, uint16_t number, size_t *len)
{
	const struct rules_slot *slot = rules_slot_at(r, number);

	*len = slot && slot->blob ? slot->blob_len : 0;
	return slot ? slot->blob : NULL;
}

const char *rule_kind_name(enum rule_kind k)
{
	static const char *const name[RULE_KINDS] = {
		[RULE_HEADER] = "header", [RULE_MIMEHEADER] = "mimeheader", [RULE_BODY] = "body",
		[RULE_RAWBODY] = "rawbody", [RULE_URI] = "uri", [RULE_FULL] = "full",
		[RULE_META] = "meta", [RULE_EVAL] = "eval"};

	return k < RULE_KINDS ? name[k] : "";
}

const char *rule_tier_name(enum rule_tier t)
{
	static const char *const name[RULE_TIERS] = {
		[RULE_NATIVE] = "native", [RULE_CONFIRMED] = "confirmed", [RULE_GATED] = "gated",
		[RULE_AUTOMATON] = "automaton", [RULE_CONTROL] = "control",
		[RULE_COMPUTED] = "computed", [RULE_OFF] = "off",
		[RULE_NOT_SUPPORTED] = "unsupported"};

	return t < RULE_TIERS ? name[t] : "";
}
