/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * tcp_script [-g GROUP]... [-x GROUP]... FILE|DIRECTORY...
 *
 * Runs every script; of a directory all *.tcp, in order of name. -g: only those whose name begins
 * with GROUP-; -x: not those. Prints `N scripts, M failed`; the exit code is 1 if any failed, 2 if
 * there was nothing to run.
 */

#include "tests/script/script.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define GROUPS 32

struct selection {
	const char *with[GROUPS], *without[GROUPS];
	unsigned int n_with, n_without;
};

static unsigned int scripts, failures;

/* A script that failed was left by longjmp(): what it held then is no leak of the stack. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return failures != 0;
}

_Noreturn void fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	printf("%s:%u: ", w->file, w->line_no);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	if (w->line.text[0])
		printf("\n    %s", w->line.text);
	printf("\n");
	fflush(w->trace_file);
	if (w->trace_len)
		printf("  what came (time in s, numbers relative):\n%s", w->trace);
	printf("\n");
	longjmp(w->failed, 1);
}

/* Its own function, so that nothing that is needed after the jump lives in a register. */
static void play(struct world *w, FILE *f)
{
	char text[SCRIPT_LINE];

	while (fgets(text, sizeof(text), f)) {
		w->line_no++;
		if (!strchr(text, '\n') && !feof(f))
			fail(w, "line too long");
		text[strcspn(text, "\n")] = 0;
		if (w->line_no == 1 && strncmp(text, "# RFC ", 6))
			fail(w, "the first line is a comment that begins with the RFC it proves");
		lex(w, text);
		command(w);
	}
	w->line.text[0] = 0;
	script_end(w);
}

static void run_file(const char *path)
{
	struct world *w = malloc(sizeof(*w));
	FILE *f = fopen(path, "r");

	if (!w)
		abort();
	scripts++;
	if (!f) {
		printf("%s: cannot be opened\n", path);
		failures++;
		free(w);
		return;
	}
	world_init(w, path);
	if (setjmp(w->failed))
		failures++;
	else
		play(w, f);
	world_free(w);
	fclose(f);
	free(w);
}

static bool in_group(const char *name, const char *group)
{
	size_t n = strlen(group);

	return !strncmp(name, group, n) && name[n] == '-';
}

static bool selected(const struct selection *s, const char *name)
{
	bool with = !s->n_with;

	for (unsigned int i = 0; i < s->n_with; i++)
		with |= in_group(name, s->with[i]);
	for (unsigned int i = 0; i < s->n_without; i++)
		with &= !in_group(name, s->without[i]);
	return with;
}

static void run_directory(const char *path, const struct selection *s)
{
	struct dirent **entry;
	int n = scandir(path, &entry, NULL, alphasort);

	if (n < 0) {
		printf("%s: cannot be read\n", path);
		failures++;
		return;
	}
	for (int i = 0; i < n; i++) {
		const char *name = entry[i]->d_name;
		size_t len = strlen(name);
		char full[4096];

		if (len > 4 && !strcmp(name + len - 4, ".tcp") && selected(s, name)) {
			snprintf(full, sizeof(full), "%s/%s", path, name);
			run_file(full);
		}
		free(entry[i]);
	}
	free(entry);
}

int main(int argc, char **argv)
{
	struct selection s = {0};
	int i = 1;

	for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
		if (!strcmp(argv[i], "-g") && s.n_with < GROUPS)
			s.with[s.n_with++] = argv[i + 1];
		else if (!strcmp(argv[i], "-x") && s.n_without < GROUPS)
			s.without[s.n_without++] = argv[i + 1];
		else
			break;
	}
	for (; i < argc; i++) {
		struct stat st;

		if (!stat(argv[i], &st) && S_ISDIR(st.st_mode))
			run_directory(argv[i], &s);
		else
			run_file(argv[i]);
	}
	printf("%u scripts, %u failed\n", scripts, failures);
	if (failures)
		return 1;
	return scripts || s.n_without ? 0 : 2;
}
