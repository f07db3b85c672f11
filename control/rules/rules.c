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

static struct rules *rules_new(void)
{
	return calloc(1, sizeof(struct rules));
}

void rules_free(struct rules *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++) {
		free(r->rule[i].name);
		free(r->rule[i].describe);
		free(r->src[i].file);
		free(r->src[i].pattern);
		pcre2_code_free(r->src[i].code);
	}
	for (size_t i = 0; i < r->n_issues; i++) {
		free(r->issue[i].file);
		free(r->issue[i].rule);
		free(r->issue[i].reason);
	}
	for (unsigned int v = 0; v < VIEW_COUNT; v++) {
		free(r->view[v].rule);
		free(r->view[v].blob);
	}
	free(r->rule);
	free(r->src);
	free(r->issue);
	free(r);
}

/* A set with an error holds issues only: nobody can use half of it. */
static void drop_rules(struct rules *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->rule[i].name);
		free(r->rule[i].describe);
		free(r->src[i].file);
		free(r->src[i].pattern);
		pcre2_code_free(r->src[i].code);
	}
	r->n = 0;
	for (unsigned int v = 0; v < VIEW_COUNT; v++) {
		free(r->view[v].rule);
		free(r->view[v].blob);
		r->view[v] = (struct rules_view){0};
	}
}

static int finish(struct rules_reader *rd, struct rules **out)
{
	struct rules *r = rd->r;

	rules_finish(rd);
	rules_reader_free(rd);
	if (!r->oom && !r->error)
		rules_compile(r);
	if (r->oom) {
		rules_free(r);
		*out = NULL;
		return -ENOMEM;
	}
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
	return r->error ? -EINVAL : 0;
}

int rules_parse(const char *name, const void *text, size_t len, struct rules **out)
{
	struct rules_reader rd = {.r = rules_new()};

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

int rules_load(const char *const *file, size_t n_files, struct rules **out)
{
	struct rules_reader rd = {.r = rules_new()};

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

size_t rules_count(const struct rules *r)
{
	return r->n;
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

const uint8_t *rules_digest(const struct rules *r)
{
	return r->digest;
}

const void *rules_blob(const struct rules *r, uint8_t view, size_t *len)
{
	*len = 0;
	if (view >= VIEW_COUNT || !r->view[view].blob)
		return NULL;
	*len = r->view[view].blob_len;
	return r->view[view].blob;
}
