/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* In the compiler: a request's files → a result. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/compiler.h"
#include "control/rules/rules_cache.h"
#include "postern/limits.h"

static int write_all(int fd, const void *from, size_t n)
{
	const uint8_t *p = from;

	while (n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? -errno : -EIO;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

/* The cache, then the files. *text is the caller's, as is the list. */
static int read_request(int in, uint32_t n_files, char **text, const char ***list)
{
	struct stat st;
	size_t len;
	char *p;

	if (fstat(in, &st))
		return -errno;
	len = (size_t)st.st_size;
	*text = malloc(len + 1);
	*list = calloc((size_t)n_files + 1, sizeof(**list));
	if (!*text || !*list)
		return -ENOMEM;
	if (pread(in, *text, len, 0) != (ssize_t)len)
		return -EIO;
	p = *text;
	for (uint32_t i = 0; i <= n_files; i++) {
		const char *end = memchr(p, '\0', (size_t)(*text + len - p));

		if (!end)
			return -EBADMSG;
		(*list)[i] = p;
		p += end + 1 - p;
	}
	return 0;
}

/* Its absence costs time and nothing else. */
static const char *cache_of(const char *path)
{
	if (!*path)
		return NULL;
	if (mkdir(path, 0700) && errno != EEXIST) {
		fprintf(stderr, "control: rules.cache: %s: %s: rules are compiled at every start\n", path,
			strerror(errno));
		return NULL;
	}
	return path;
}

/* Control looks at it when somebody asks; where it cannot be written nobody is told. */
static void on_progress(void *arg, const char *what, size_t done, size_t all)
{
	struct compiler_progress p = {
		.magic = COMPILER_PROGRESS, .done = (uint32_t)done, .all = (uint32_t)all};

	snprintf(p.what, sizeof(p.what), "%s", what);
	(void)!pwrite(*(const int *)arg, &p, sizeof(p), 0);
}

/* Behind a set that compiled. */
static void prune(const char *cache, uint64_t max)
{
	struct rules_cache_pruned gone;
	int rc = cache ? rules_cache_prune(cache, max, LIMIT_RULES_CACHE_DAYS, &gone) : 0;

	if (rc)
		fprintf(stderr, "control: rules.cache: %s: nothing was removed: %s\n", cache, strerror(-rc));
	else if (cache && gone.files)
		fprintf(stderr, "control: rules.cache: %zu file(s) removed, %llu octets: not used for %u "
			"days, or more than cache-size\n", gone.files, (unsigned long long)gone.octets,
			LIMIT_RULES_CACHE_DAYS);
}

int compiler_compile(const struct compiler_request *req, int in, int out)
{
	struct compiler_result *head = calloc(1, sizeof(*head));
	struct config config = {0};
	struct snapshot s = {.config = &config};
	struct rules_options opt = RULES_DEFAULT;
	const char **list = NULL;
	char *text = NULL;
	void *kept = NULL;
	size_t len = 0;
	int rc = head ? read_request(in, req->n_files, &text, &list) : -ENOMEM;

	if (rc)
		goto out;
	config.rules_file = (char **)(list + 1);
	config.n_rules_files = req->n_files;
	opt.score_set = req->score_set;
	opt.cache = cache_of(list[0]);
	opt.progress = on_progress;
	opt.arg = &out;
	head->magic = COMPILER_MAGIC;
	head->rc = snapshot_rules(&s, &opt, &head->report);
	if (!head->rc)
		head->rc = rules_keep(s.rules, &kept, &len);
	head->kept_len = len;
	rules_free(s.rules);
	/* Over what on_progress() wrote. */
	rc = lseek(out, 0, SEEK_SET) ? -EIO : write_all(out, head, sizeof(*head));
	if (!rc)
		rc = write_all(out, kept, len);
	if (!rc && !head->rc)
		prune(opt.cache, req->cache_size);
out:
	free(kept);
	free(list);
	free(text);
	free(head);
	return rc;
}
