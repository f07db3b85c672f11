/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The tables of docs/smtp.md, read. Nothing is skipped: what is not understood fails the test. */

#include "control/deliver/test_table.h"

#define CELLS 7
#define BEGIN "## What a failure at the next hop becomes"
#define HEADER "| next hop | with | client hears | elsewhere | kept | outcome | counted |"
#define RULE "|---|---|---|---|---|---|---|"
#define BREAK "\xe2\x86\xb5"         /* between the lines of a reply */
#define DASH "\xe2\x80\x93"

#define PROTOCOL                                                                                   \
	(KIND_2XX | KIND_3XX | KIND_4XX | KIND_5XX | KIND_421 | KIND_RESET | KIND_CLOSE |          \
	 KIND_HANG | KIND_GARBAGE | KIND_OVERLONG | KIND_MULTI)

static const struct {
	const char *title;
	unsigned int must_have;
} sections[SECTIONS] = {
	[AT_CONNECT] = {"At connect", KIND_OTHER},
	[AT_BANNER] = {"At the banner", PROTOCOL},
	[AT_EHLO] = {"At EHLO", PROTOCOL},
	[AT_HELO] = {"At HELO", KIND_2XX | KIND_4XX | KIND_5XX | KIND_421 | KIND_RESET | KIND_HANG},
	[AT_STARTTLS] = {"At STARTTLS", PROTOCOL | KIND_OTHER},
	[IN_HANDSHAKE] = {"In the TLS handshake",
			  KIND_RESET | KIND_CLOSE | KIND_HANG | KIND_GARBAGE | KIND_OTHER},
	[BY_RECORDS] = {"By DANE and MTA-STS", KIND_OTHER},
	[AT_MAIL] = {"At MAIL", PROTOCOL},
	[AT_RCPT] = {"At RCPT of one recipient", PROTOCOL},
	[AT_RCPT_OF_SEVERAL] = {"At RCPT of one among several", PROTOCOL},
	[AT_DATA] = {"At DATA", PROTOCOL},
	[IN_CONTENT] = {"Within content", PROTOCOL},
	[AFTER_DOT] = {"After the dot", PROTOCOL},
	[AFTER_LAST] = {"After BDAT LAST", PROTOCOL},
	[NOT_SENT] = {"Not sent at all", KIND_OTHER},
};

void row_fail(const struct row *r, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fail_msg("docs/smtp.md:%u: %s: %s", r->line, r->event, text);
	abort();
}

static char *trim(char *s)
{
	char *end = s + strlen(s);

	while (end > s && end[-1] == ' ')
		*--end = '\0';
	return s + strspn(s, " ");
}

/* Takes `word` off the front. */
static bool eat(char **s, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(*s, word, n) != 0)
		return false;
	*s = trim(*s + n);
	return true;
}

static void read_reply(struct row *r, char *cell)
{
	char *end = strchr(cell + 1, '`'), *out = r->event;

	if (!end)
		row_fail(r, "the quote does not end");
	r->is_reply = true;
	for (char *p = cell + 1; p < end;) {
		if (strncmp(p, " " BREAK " ", strlen(BREAK) + 2) != 0) {
			*out++ = *p++;
			continue;
		}
		memcpy(out, "\r\n", 2);
		out += 2;
		p += strlen(BREAK) + 2;
		r->kind |= KIND_MULTI;
	}
	*out = '\0';
	if (out - r->event < 3)
		row_fail(r, "no reply");
	r->kind |= !strncmp(r->event, "421", 3) ? KIND_421
		   : r->event[0] == '2'	       ? KIND_2XX
		   : r->event[0] == '3'	       ? KIND_3XX
		   : r->event[0] == '4'	       ? KIND_4XX
		   : r->event[0] == '5'	       ? KIND_5XX
					       : 0;
}

static void read_event(struct row *r, char *cell)
{
	static const struct {
		const char *word;
		unsigned int kind;
	} words[] = {
		{"reset", KIND_RESET}, {"close", KIND_CLOSE}, {"hang", KIND_HANG},
		{"garbage", KIND_GARBAGE}, {"line without end", KIND_OVERLONG},
		{"reply without end", KIND_GARBAGE},
	};
	char *note = strstr(cell, " (");

	snprintf(r->event, sizeof(r->event), "%s", cell);
	if (cell[0] == '`' && cell[1] >= '2' && cell[1] <= '5') {
		read_reply(r, cell);
		return;
	}
	if (note)
		r->event[note - cell] = '\0';
	r->kind = KIND_OTHER;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(r->event, words[i].word))
			r->kind = words[i].kind;
}

static void read_with(struct row *r, char *cell)
{
	static const char *const tls[] = {"encrypt", "verify", "dane-only", "dane", "mta-sts"};

	r->n_rcpts = 1;
	for (char *word, *save, *p = cell; (word = strtok_r(p, ",", &save)); p = NULL) {
		bool known = false;

		word = trim(word);
		for (size_t i = 0; i < sizeof(tls) / sizeof(tls[0]); i++)
			known |= !strcmp(word, tls[i]);
		if (known)
			snprintf(r->tls, sizeof(r->tls), "%s", word);
		else if (!strcmp(word, "one by one"))
			r->one_by_one = true;
		else if (!strcmp(word, "BDAT"))
			r->bdat = true;
		else if (word[0] >= '1' && word[0] <= '4' && !word[1])
			r->n_rcpts = (size_t)(word[0] - '0');
		else
			row_fail(r, "with \"%s\"?", word);
	}
}

static void read_heard(struct row *r, char *cell)
{
	int used = 0;

	if (sscanf(cell, "`%3u %1u.%3u.%3u`%n", &r->code, &r->cls, &r->subject, &r->detail, &used) != 4 ||
	    !used)
		row_fail(r, "no reply: %s", cell);
	cell = trim(cell + used);
	r->its = eat(&cell, "its");
	if (!r->its && !eat(&cell, "ours"))
		row_fail(r, "whose words? %s", cell);
	r->alert = eat(&cell, ", alert");
	if (*cell)
		row_fail(r, "not understood: %s", cell);
}

static unsigned int read_time(const struct row *r, char **cell)
{
	unsigned long n = strtoul(*cell, cell, 10);

	*cell = trim(*cell);
	if (n && eat(cell, "min"))
		return (unsigned int)n * 60;
	if (n && eat(cell, "h"))
		return (unsigned int)n * 3600;
	row_fail(r, "no time: %s", *cell);
}

static void read_kept(struct row *r, char *cell)
{
	if (!strcmp(cell, DASH))
		return;
	r->kept = (unsigned int)strtoul(cell, &cell, 10);
	cell = trim(cell);
	if (!r->kept)
		row_fail(r, "what is kept? %s", cell);
	if (eat(&cell, "once"))
		return;
	r->kept_s = read_time(r, &cell);
	if (eat(&cell, ", all"))
		r->kept_all_s = read_time(r, &cell);
	if (*cell)
		row_fail(r, "not understood: %s", cell);
}

static void read_outcome(struct row *r, const char *cell)
{
	static const char *const name[] = {
		[DELIVER_DELIVERED] = "delivered", [DELIVER_REJECTED] = "rejected",
		[DELIVER_DEFERRED] = "deferred", [DELIVER_ABORTED] = "aborted"};

	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++)
		if (!strcmp(cell, name[i])) {
			r->outcome = (enum deliver_outcome)i;
			return;
		}
	row_fail(r, "no outcome: %s", cell);
}

static void read_counted(struct row *r, char *cell)
{
	size_t n = strlen(cell);

	if (n && (n < 3 || cell[0] != '`' || cell[n - 1] != '`'))
		row_fail(r, "no counters: %s", cell);
	if (n)
		cell[n - 1] = '\0';
	snprintf(r->counted, sizeof(r->counted), "%s", n ? cell + 1 : "");
}

static void read_row(struct row *r, char *line)
{
	char *cell[CELLS], *p = line + 1, *bar;

	for (size_t i = 0; i < CELLS; i++) {
		bar = strchr(p, '|');
		if (!bar)
			row_fail(r, "%zu of %d cells", i, CELLS);
		*bar = '\0';
		cell[i] = trim(p);
		if (strlen(cell[i]) >= ROW_CELL)
			row_fail(r, "a cell is too long");
		p = bar + 1;
	}
	if (*trim(p))
		row_fail(r, "more than %d cells", CELLS);
	read_event(r, cell[0]);
	read_with(r, cell[1]);
	read_heard(r, cell[2]);
	r->elsewhere = !strcmp(cell[3], "yes") ? 1 : !strcmp(cell[3], "no") ? 0 : -1;
	if (r->elsewhere < 0 && strcmp(cell[3], DASH) != 0)
		row_fail(r, "elsewhere \"%s\"?", cell[3]);
	read_kept(r, cell[4]);
	read_outcome(r, cell[5]);
	read_counted(r, cell[6]);
}

static void check_whole(const struct row *rows, size_t n)
{
	for (int s = 0; s < SECTIONS; s++) {
		unsigned int kinds = 0;

		for (size_t i = 0; i < n; i++)
			kinds |= rows[i].section == (enum section)s ? rows[i].kind : 0;
		if (sections[s].must_have & ~kinds)
			fail_msg("docs/smtp.md: \"%s\" lacks rows of kinds 0x%x", sections[s].title,
				 sections[s].must_have & ~kinds);
	}
}

size_t rows_read(const char *path, struct row *rows)
{
	FILE *f = fopen(path, "r");
	char line[1024];
	unsigned int number = 0;
	int section = -1;
	bool here = false;
	size_t n = 0;

	if (!f)
		fail_msg("%s cannot be read", path);
	while (fgets(line, sizeof(line), f)) {
		number++;
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "## ", 3))
			here = !strcmp(line, BEGIN);
		if (here && !strncmp(line, "### ", 4)) {
			section = -1;
			for (int i = 0; i < SECTIONS; i++)
				section = strcmp(line + 4, sections[i].title) ? section : i;
		}
		if (!here || line[0] != '|' || !strcmp(line, HEADER) || !strcmp(line, RULE))
			continue;
		if (section < 0 || n == ROWS_MAX)
			fail_msg("%s:%u: a row under a title that is not known, or too many", path, number);
		rows[n] = (struct row){.line = number, .section = (enum section)section};
		read_row(&rows[n++], line);
	}
	fclose(f);
	check_whole(rows, n);
	return n;
}
