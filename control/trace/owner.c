/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/trace/owner.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void owner_text(const char *path, char *out, size_t cap)
{
	char where[4096];
	const char *slash = strrchr(path, '/');
	struct stat st;

	out[0] = '\0';
	snprintf(where, sizeof(where), "%s", path);
	if (stat(where, &st)) {
		if (errno != ENOENT || !slash)
			return;
		snprintf(where, sizeof(where), "%.*s", slash == path ? 1 : (int)(slash - path), path);
		if (stat(where, &st))
			return;
	}
	if (!access(where, R_OK | W_OK) || errno != EACCES)
		return;
	snprintf(out, cap, "; %s belongs to uid %u%s, mode %04o, and this runs as uid %u: chown %u:%u %s", where,
		 (unsigned int)st.st_uid, st.st_uid ? "" : " (root)", (unsigned int)st.st_mode & 07777,
		 (unsigned int)geteuid(), (unsigned int)geteuid(), (unsigned int)getegid(), where);
}
