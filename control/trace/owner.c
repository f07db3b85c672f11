/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/trace/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void owner_text(const char *path, char *out, size_t cap)
{
	const char *slash = strrchr(path, '/');
	char where[4096], cure[4200] = "";
	struct stat st;

	out[0] = '\0';
	snprintf(where, sizeof(where), "%s", path);
	/* Whoever follows the advice is root: it is never of what a link of ours points to, nor of a
	 * directory that may be everybody's. */
	if (!lstat(where, &st)) {
		if (S_ISLNK(st.st_mode)) {
			snprintf(out, cap, "; it is a symbolic link, which is not followed");
			return;
		}
		if (S_ISREG(st.st_mode))
			snprintf(cure, sizeof(cure), ": chown -h %u:%u %s", (unsigned int)geteuid(),
				 (unsigned int)getegid(), where);
	} else {
		if ((errno != ENOENT && errno != EACCES) || !slash)
			return;
		snprintf(where, sizeof(where), "%.*s", slash == path ? 1 : (int)(slash - path), path);
		if (stat(where, &st))
			return;
	}
	if (!faccessat(AT_FDCWD, where, R_OK | W_OK, AT_EACCESS) || errno != EACCES)
		return;
	snprintf(out, cap, "; %s belongs to uid %u%s, mode %04o, and this runs as uid %u%s", where,
		 (unsigned int)st.st_uid, st.st_uid ? "" : " (root)", (unsigned int)st.st_mode & 07777,
		 (unsigned int)geteuid(), cure);
}
