/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The shell: lines by libedit, each run by dispatch_apart(). At the prompt ^C is a key like others
 * (the terminal makes no signal of it then), so that no signal has to be told from another.
 */

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "control/cli/complete.h"
#include "control/cli/dispatch.h"
#include "control/cli/grammar.h"
#include "control/cli/history.h"
#include "control/cli/terminal.h"
#include "control/cli/words.h"
#include "postern/limits.h"

struct shell {
	const struct cli *cli;
	EditLine *el;
	History *history;
	struct history_file file;
	int status;     /* of the last command */
	bool cancelled; /* ^C */
	bool colour;
	char prompt[64];
	struct grammar_next next;
	struct complete_list list;
};

static struct shell *shell_of(EditLine *el)
{
	void *data = NULL;

	el_get(el, EL_CLIENTDATA, &data);
	return data;
}

/* Escapes stand between \1, which libedit does not count as columns. */
static char *prompt(EditLine *el)
{
	struct shell *s = shell_of(el);
	const char *red = s->colour ? "\1\033[31m\1" : "", *off = s->colour ? "\1\033[0m\1" : "";

	if (s->status)
		snprintf(s->prompt, sizeof(s->prompt), "postern %s[%d]%s> ", red, s->status, off);
	else
		snprintf(s->prompt, sizeof(s->prompt), "postern> ");
	return s->prompt;
}

static unsigned int columns(void)
{
	unsigned int n = terminal_columns();

	return n ? n : 80;
}

/* ---- what may come next ---- */

/* The line up to the cursor. false: in a comment, behind a backslash, or in quotes unless quoted.
 */
static bool look(struct shell *s, struct words *w, const char **typed, size_t *begin, bool quoted)
{
	const LineInfo *li = el_line(s->el);
	size_t n = (size_t)(li->cursor - li->buffer);
	char why[WORDS_WHY];
	int rc = words_split(w, li->buffer, n, why);
	int before;

	if ((rc && rc != -EINVAL) || w->comment || w->quote == '\\' || (w->quote && !quoted)) {
		words_free(w);
		return false;
	}
	*typed = w->open && w->n ? w->word[w->n - 1] : "";
	*begin = w->begin;
	before = (int)w->n - (w->open && w->n);
	grammar_next(&s->next, before, w->word, *typed, true);
	complete_free(&s->list);
	if (s->next.value)
		complete_value(s->cli, s->next.value->kind, *typed, true, &s->list);
	return true;
}

/* Characters, which is what libedit counts. */
static int characters(const char *p, size_t n)
{
	int count = 0;

	for (size_t i = 0; i < n; i++)
		count += ((unsigned char)p[i] & 0xc0) != 0x80;
	return count;
}

/* In place of what was typed of the last word. */
static bool put(struct shell *s, size_t begin, const char *word, bool whole)
{
	const LineInfo *li = el_line(s->el);
	size_t len = strlen(word), n;
	char text[4096];

	n = words_quote(word, text, sizeof(text) - 2);
	if (!n)
		return false;
	/* What is not whole yet is typed on: a quote must not be closed. */
	if (!whole && text[n - 1] == '\'')
		text[--n] = '\0';
	if (whole && len && word[len - 1] != '/')
		strcpy(text + n, " ");
	else if (whole && text[n - 1] == '\'')
		text[n - 1] = '\0';
	el_deletestr(s->el,
		     characters(li->buffer + begin, (size_t)(li->cursor - li->buffer) - begin));
	return el_insertstr(s->el, text) == 0;
}

static bool has_others(const struct shell *s)
{
	for (size_t i = 0; i < s->next.n; i++)
		if (s->next.c[i].text[0] != '-')
			return true;
	return s->list.n || s->next.value;
}

/* Options where they are asked for, or where there is nothing else. */
static size_t gather(struct shell *s, const char *typed, const char **word, size_t cap)
{
	bool options = typed[0] == '-' || !has_others(s);
	size_t n = 0;

	for (size_t i = 0; i < s->next.n && n < cap; i++)
		if (options || s->next.c[i].text[0] != '-')
			word[n++] = s->next.c[i].text;
	for (size_t i = 0; i < s->list.n && n < cap; i++)
		word[n++] = s->list.word[i];
	return n;
}

static size_t common(const char *const *word, size_t n)
{
	size_t len = strlen(word[0]);

	for (size_t i = 1; i < n; i++) {
		size_t k = 0;

		while (k < len && word[i][k] == word[0][k])
			k++;
		len = k;
	}
	/* Not within a character. */
	while (len && ((unsigned char)word[0][len] & 0xc0) == 0x80)
		len--;
	return len;
}

static void print_columns(const char *const *word, size_t n)
{
	size_t width = 1, per, rows;

	for (size_t i = 0; i < n; i++)
		width = strlen(word[i]) + 2 > width ? strlen(word[i]) + 2 : width;
	per = columns() / width ? columns() / width : 1;
	rows = (n + per - 1) / per;
	putchar('\n');
	for (size_t r = 0; r < rows; r++) {
		for (size_t i = r; i < n; i += rows)
			printf(i + rows < n ? "%-*s" : "%.*s", (int)width, word[i]);
		putchar('\n');
	}
	fflush(stdout);
}

static unsigned char on_tab(EditLine *el, int key)
{
	static const char *word[GRAMMAR_NEXT + COMPLETE_MAX];
	struct shell *s = shell_of(el);
	unsigned char result = CC_REFRESH_BEEP;
	char shared[4096];
	const char *typed;
	struct words w;
	size_t begin, n, len;

	(void)key;
	if (!look(s, &w, &typed, &begin, true))
		return CC_REFRESH_BEEP;
	n = gather(s, typed, word, sizeof(word) / sizeof(word[0]));
	if (n == 1) {
		if (put(s, begin, word[0], true))
			result = CC_REFRESH;
	} else if (n) {
		len = common(word, n);
		if (len > strlen(typed) && len < sizeof(shared)) {
			memcpy(shared, word[0], len);
			shared[len] = '\0';
			if (put(s, begin, shared, false))
				result = CC_REFRESH;
		} else {
			print_columns(word, n);
			result = CC_REDISPLAY;
		}
	}
	words_free(&w);
	return result;
}

/* A word and what it is, cut at the edge. */
static void print_help(const char *word, const char *help)
{
	int room = (int)columns() - 27;

	printf("  %-24s %.*s\n", word, room > 0 ? room : 0, help ? help : "");
}

static void explain_next(struct shell *s, const char *typed)
{
	const struct grammar_next *next = &s->next;

	if (*next->why)
		printf("  %s\n", next->why);
	if (next->value && next->value->kind != GRAMMAR_CHOICE && next->value->name)
		print_help(next->value->name, next->what);
	else if (next->what && !*typed)
		printf("  %s:\n", next->what);
	for (size_t i = 0; i < next->n; i++)
		print_help(next->c[i].text, next->c[i].help);
	if (!complete_is_file(next->value ? next->value->kind : GRAMMAR_TEXT))
		for (size_t i = 0; i < s->list.n && i < 20; i++)
			print_help(s->list.word[i], NULL);
	if (next->complete && !*typed && !*next->why)
		print_help("<Enter>", next->command->help);
	else if (!*next->why && !next->n && !next->value)
		puts("  nothing that begins so");
}

static unsigned char on_help(EditLine *el, int key)
{
	struct shell *s = shell_of(el);
	const char *typed;
	struct words w;
	size_t begin;

	(void)key;
	if (!look(s, &w, &typed, &begin, false)) /* there it is what it is */
		return el_insertstr(el, "?") ? CC_ERROR : CC_REFRESH;
	putchar('\n');
	explain_next(s, typed);
	fflush(stdout);
	words_free(&w);
	return CC_REDISPLAY;
}

static unsigned char on_cancel(EditLine *el, int key)
{
	struct shell *s = shell_of(el);

	(void)key;
	s->cancelled = true;
	el_cursor(el, LIMIT_CLI_LINE);
	el_insertstr(el, "^C");
	el_push(el, "\n"); /* ends the line as its own key would, wherever on the screen it ends */
	return CC_REFRESH;
}

/* ---- the loop ---- */

static void remember(void *arg, const char *line)
{
	struct shell *s = arg;
	HistEvent ev;

	history(s->history, &ev, H_ENTER, line);
}

/* libedit's own handlers give each signal on to whom they found, after they took the terminal back:
 * one ^C too many, typed while a command ended, would end us. It is not for us then; and of the
 * terminal's size libedit is told as it would have told itself. */
static EditLine *resized;

static void on_size(int sig)
{
	int e = errno;

	(void)sig;
	el_resize(resized);
	errno = e;
}

/* The terminal goes back as we found it, and then we as the signal says, when this returns. Not by
 * el_end(): it is no business of a handler, and libedit reads on where a read was interrupted. */
static struct termios found;
static bool has_found;

static void on_end(int sig)
{
	if (has_found)
		tcsetattr(STDIN_FILENO, TCSANOW, &found);
	signal(sig, SIG_DFL);
	raise(sig);
}

/* Unless it is ignored, as nohup does. */
static void end_by(int sig)
{
	struct sigaction act = {.sa_handler = on_end}, old;

	if (!sigaction(sig, NULL, &old) && old.sa_handler != SIG_IGN)
		sigaction(sig, &act, NULL);
}

static void watch_signals(EditLine *el)
{
	struct sigaction act = {.sa_handler = on_size, .sa_flags = SA_RESTART};

	has_found = tcgetattr(STDIN_FILENO, &found) == 0;
	end_by(SIGTERM);
	end_by(SIGHUP);
	resized = el;
	sigaction(SIGWINCH, &act, NULL);
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
}

static bool start(struct shell *s)
{
	char why[256];
	HistEvent ev;

	setlocale(LC_CTYPE, "");
	s->history = history_init();
	s->el = s->history ? el_init("posternctl", stdin, stdout, stderr) : NULL;
	if (!s->el) {
		fputs("posternctl: the shell cannot begin: no memory, or an unknown terminal\n",
		      stderr);
		return false;
	}
	s->colour = terminal_colour();
	el_set(s->el, EL_CLIENTDATA, s);
	el_set(s->el, EL_PROMPT_ESC, prompt, '\1');
	el_set(s->el, EL_EDITOR, "emacs");
	watch_signals(s->el);
	el_set(s->el, EL_HIST, history, s->history);
	history(s->history, &ev, H_SETSIZE, LIMIT_CLI_HISTORY);
	history(s->history, &ev, H_SETUNIQUE, 1);
	/* Wide: of others it keeps copies that it does not free. */
	el_wset(s->el, EL_ADDFN, L"postern-tab", L"what fits", on_tab);
	el_wset(s->el, EL_ADDFN, L"postern-help", L"what may come next", on_help);
	el_wset(s->el, EL_ADDFN, L"postern-cancel", L"not this line", on_cancel);
	el_set(s->el, EL_SETTY, "-d", "-isig", NULL);
	el_set(s->el, EL_BIND, "^I", "postern-tab", NULL);
	el_set(s->el, EL_BIND, "?", "postern-help", NULL);
	el_set(s->el, EL_BIND, "^C", "postern-cancel", NULL);
	el_set(s->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
	history_open(&s->file, remember, s, why, sizeof(why));
	if (*why)
		fprintf(stderr, "posternctl: %s\n", show_plain(why));
	return true;
}

/* A command may leave the terminal as it was not. */
static int run(struct shell *s, int argc, char **argv)
{
	struct termios before;
	bool has = tcgetattr(STDIN_FILENO, &before) == 0;
	int code = dispatch_apart(s->cli, argc, argv, false);

	if (has)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
	if (code == 128 + SIGINT)
		putchar('\n');
	return code;
}

/* false: it was the last. */
static bool line(struct shell *s, const char *text, size_t n)
{
	char why[WORDS_WHY];
	struct words w;
	bool goes_on = true;

	if (n > LIMIT_CLI_LINE) {
		fputs("posternctl: the line is too long\n", stderr);
		s->status = CLI_USAGE;
		return true;
	}
	if (words_split(&w, text, n, why)) {
		fprintf(stderr, "posternctl: %s\n", why);
		s->status = CLI_USAGE;
	} else if (w.n && dispatch_ends(s->cli, (int)w.n, w.word)) {
		goes_on = false;
	} else if (w.n) {
		s->status = run(s, (int)w.n, w.word);
	}
	if (n && history_is_kept(text, n)) {
		char *copy = strndup(text, n);

		if (copy)
			remember(s, copy);
		free(copy);
		history_add(&s->file, text, n);
	}
	words_free(&w);
	return goes_on;
}

int cmd_shell(const struct cli *outer, int argc, char **argv)
{
	struct cli cli = *outer;
	struct shell *s = calloc(1, sizeof(*s));
	const char *text;
	bool goes_on = true;
	int n, status;

	(void)argc;
	(void)argv;
	cli.shell = true;
	if (!s || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		fputs(s ? "posternctl: shell: no terminal; -f - reads commands from standard "
			  "input\n"
			: "posternctl: out of memory\n",
		      stderr);
		free(s);
		return CLI_USAGE;
	}
	s->cli = &cli;
	s->file.fd = -1;
	if (start(s))
		puts("? says what may come next, Tab completes, help lists the commands, exit "
		     "ends.");
	else
		s->status = CLI_UNREACHABLE;
	while (s->el && goes_on) {
		s->cancelled = false;
		el_resize(s->el); /* while a command ran nobody looked */
		text = el_gets(s->el, &n);
		if (s->cancelled)
			continue;
		if (!text || n <= 0) {
			putchar('\n');
			break;
		}
		while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
			n--;
		goes_on = line(s, text, (size_t)n);
	}
	status = s->status;
	complete_free(&s->list);
	history_close(&s->file);
	signal(SIGWINCH, SIG_DFL);
	if (s->el)
		el_end(s->el);
	if (s->history)
		history_end(s->history);
	free(s);
	return status;
}
