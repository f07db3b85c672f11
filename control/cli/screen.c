/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/cli/screen.h"
#include "control/cli/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* Alternate screen, no cursor, no wrap at the right edge: a line in the last column moves nothing.
 */
#define ENTER    "\x1b[?1049h\x1b[?25l\x1b[?7l"
#define LEAVE    "\x1b[0m\x1b[1;1H\x1b[J\x1b[?7h\x1b[?25h\x1b[?1049l"
#define WRITE_MS 5000 /* a terminal that takes nothing for so long is gone */

static struct {
	bool open, keys, colour;
	struct termios before;
	sigset_t outside;      /* mask of the process before, and inside of ppoll() */
	struct top_line *last; /* what is on the screen */
	size_t n_last;
	unsigned int columns, rows; /* when that was drawn; 0: nothing is known of it */
	char *out;
	size_t n, cap;
} s;

static volatile sig_atomic_t resized, stopped, continued, interrupted, ended;

static void on_signal(int sig)
{
	switch (sig) {
	case SIGWINCH:
		resized = 1;
		break;
	case SIGTSTP:
		stopped = 1;
		break;
	case SIGCONT:
		continued = 1;
		break;
	case SIGINT:
		interrupted = 1;
		break;
	default:
		ended = sig;
	}
}

static const int caught[] = {SIGWINCH, SIGTSTP, SIGCONT, SIGINT, SIGTERM, SIGHUP, SIGQUIT};
#define N_CAUGHT (sizeof(caught) / sizeof(caught[0]))

/* ---- output ---- */

static void put(const char *text, size_t n)
{
	if (s.n + n > s.cap) {
		size_t cap = 2 * (s.n + n) + 4096;
		char *p = realloc(s.out, cap);

		if (!p)
			return;
		s.out = p;
		s.cap = cap;
	}
	memcpy(s.out + s.n, text, n);
	s.n += n;
}

__attribute__((format(printf, 1, 2))) static void putf(const char *fmt, ...)
{
	char text[128];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	put(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static bool flush(void)
{
	size_t done = 0;
	bool all;

	while (done < s.n) {
		ssize_t n = write(STDOUT_FILENO, s.out + done, s.n - done);

		if (n > 0) {
			done += (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};

			if (poll(&p, 1, WRITE_MS) == 0)
				break;
		} else if (n < 0 && errno != EINTR) {
			break;
		}
	}
	all = done == s.n;
	s.n = 0;
	return all;
}

/* ---- the terminal ---- */

static void enter(void)
{
	struct termios t = s.before;

	/* Signals stay on: Ctrl-C and Ctrl-Z do what they do everywhere. */
	t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	t.c_cc[VMIN] = 0;
	t.c_cc[VTIME] = 0;
	if (s.keys)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &t);
	s.columns = s.rows = 0;
	put(ENTER, sizeof(ENTER) - 1);
	(void)flush();
}

static void leave(void)
{
	put(LEAVE, sizeof(LEAVE) - 1);
	(void)flush();
	if (s.keys)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &s.before);
}

static void catch (void (*handler)(int))
{
	struct sigaction a = {.sa_handler = handler};

	sigemptyset(&a.sa_mask);
	for (size_t i = 0; i < N_CAUGHT; i++)
		sigaction(caught[i], &a, NULL);
}

int screen_open(void)
{
	sigset_t block;

	if (!terminal_draws())
		return -ENOTTY;
	s.keys = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &s.before);
	s.colour = terminal_colour();
	sigemptyset(&block);
	for (size_t i = 0; i < N_CAUGHT; i++)
		sigaddset(&block, caught[i]);
	if (sigprocmask(SIG_BLOCK, &block, &s.outside))
		return -errno;
	catch (on_signal);
	s.open = true;
	enter();
	return 0;
}

void screen_close(void)
{
	if (!s.open)
		return;
	leave();
	s.open = false;
	catch (SIG_DFL);
	sigprocmask(SIG_SETMASK, &s.outside, NULL);
	free(s.last);
	free(s.out);
	s.last = NULL;
	s.out = NULL;
	s.n_last = s.n = s.cap = 0;
}

void screen_die(void)
{
	int sig = ended;

	screen_close();
	if (sig)
		raise(sig);
}

void screen_size(unsigned int *columns, unsigned int *rows)
{
	struct winsize w;
	bool known = !ioctl(STDOUT_FILENO, TIOCGWINSZ, &w);

	*columns = known && w.ws_col ? w.ws_col : 80;
	*rows = known && w.ws_row ? w.ws_row : 24;
}

int screen_keys_fd(void)
{
	return s.keys ? STDIN_FILENO : -1;
}

/* ---- a frame ---- */

static const char *sgr(enum top_style style)
{
	switch (style) {
	case TOP_BAR:
		return "\x1b[7m";
	case TOP_ALARM:
		return s.colour ? "\x1b[1;31m" : "\x1b[1m";
	case TOP_TITLE:
		return "\x1b[1m";
	case TOP_DIM:
		return "\x1b[2m";
	default:
		return "";
	}
}

static void line(size_t at, const struct top_line *l, unsigned int columns)
{
	const char *style = sgr(l->style);
	size_t n = strlen(l->text);

	putf("\x1b[%zu;1H%s", at + 1, style);
	put(l->text, n);
	if (*style)
		put("\x1b[0m", 4);
	/* Behind the last column there is nothing to wipe, and the cursor stands on it. */
	if (n < columns)
		put("\x1b[K", 3);
}

static bool same(size_t i, const struct top_line *l)
{
	return i < s.n_last && s.last[i].style == l->style && !strcmp(s.last[i].text, l->text);
}

bool screen_draw(const struct top_frame *f)
{
	bool anew = s.columns != f->columns || s.rows != f->rows;
	struct top_line *keep;

	if (anew)
		s.n_last = 0;
	for (size_t i = 0; i < f->n; i++)
		if (!same(i, &f->line[i]))
			line(i, &f->line[i], f->columns);
	if ((anew || f->n < s.n_last) && f->n < f->rows)
		putf("\x1b[%zu;1H\x1b[J", f->n + 1);
	keep = realloc(s.last, (f->n + 1) * sizeof(*keep));
	if (keep)
		memcpy(keep, f->line, f->n * sizeof(*keep));
	s.last = keep ? keep : s.last;
	s.n_last = keep ? f->n : 0;
	s.columns = keep ? f->columns : 0;
	s.rows = f->rows;
	return !s.n || flush();
}

/* ---- signals ---- */

/* As the shell expects it: stopped by the very signal, with the terminal as it was. */
static void stop(void)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL}, ours = {.sa_handler = on_signal};
	sigset_t only;

	leave();
	sigaction(SIGTSTP, &dfl, NULL);
	raise(SIGTSTP);
	sigemptyset(&only);
	sigaddset(&only, SIGTSTP);
	sigaddset(&only, SIGCONT);
	sigprocmask(SIG_UNBLOCK, &only, NULL); /* here we stop, and go on */
	sigprocmask(SIG_BLOCK, &only, NULL);
	sigaction(SIGTSTP, &ours, NULL);
	stopped = continued = 0;
	enter();
}

enum screen_event screen_wait(struct pollfd *p, nfds_t n_fds, int timeout_ms, int *n)
{
	struct timespec t = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};

	*n = ppoll(p, n_fds, timeout_ms < 0 ? NULL : &t, &s.outside);
	if (*n < 0)
		*n = 0;
	if (ended)
		return SCREEN_END;
	if (interrupted)
		return SCREEN_QUIT;
	if (stopped) {
		stop();
		return SCREEN_REDRAW;
	}
	if (continued || resized) {
		/* Stopped by SIGSTOP, the shell may have had the terminal meanwhile. */
		if (continued)
			enter();
		continued = resized = 0;
		s.columns = 0;
		return SCREEN_REDRAW;
	}
	return SCREEN_NOTHING;
}
