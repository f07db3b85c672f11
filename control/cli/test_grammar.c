/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/cli/grammar.h"
#include "control/cli/words.h"
#include "postern/ascii.h"

#define CHILDREN_MOST 64 /* what grammar.c has room for */

static char why[GRAMMAR_WHY];

/* ---- the table ---- */

static void every_command_is_told(void **state)
{
	const struct grammar_command *c;
	char first[32];

	(void)state;
	for (size_t i = 0; (c = grammar_at(i)); i++) {
		size_t len = strcspn(c->words, " ");

		assert_true(*c->words && strlen(c->words) < GRAMMAR_WORDS);
		assert_true(strlen(c->help) > 4 && strlen(c->help) < 100);
		/* In a line behind the words: no sentence. */
		assert_true(c->help[0] == 'M' || c->help[0] < 'A' || c->help[0] > 'Z');
		assert_int_not_equal(c->help[strlen(c->help) - 1], '.');
		assert_true(i || c->text);
		if (c->text)
			assert_int_equal(c->text[strlen(c->text) - 1], '.');
		snprintf(first, sizeof(first), "%.*s", (int)len, c->words);
		/* What is before more than one has help of its own. */
		if (c->words[len])
			assert_true(grammar_group(first) || grammar_named(first));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(grammar_at(k)->words, c->words);
	}
	for (size_t i = 0; i < n_grammar_groups; i++) {
		struct grammar_word word[CHILDREN_MOST];

		assert_true(grammar_children(grammar_groups[i].word, false, word, CHILDREN_MOST) >
			    0);
		assert_true(!grammar_groups[i].otherwise ||
			    grammar_named(grammar_groups[i].otherwise));
	}
}

static void every_option_is_told(void **state)
{
	const struct grammar_command *c;

	(void)state;
	for (size_t i = 0; (c = grammar_at(i)); i++) {
		assert_true(c->n_options <= CHILDREN_MOST);
		/* Who reads both itself has to tell one from the other. */
		assert_true(!c->n_options || !c->n_arguments || c->request ||
			    (c->flags & GRAMMAR_DASHES));
		for (size_t k = 0; k < c->n_options; k++) {
			const struct grammar_option *o = &c->option[k];

			assert_int_equal(strncmp(o->name, "--", 2), 0);
			assert_true(strlen(o->help) > 3 && o->help[strlen(o->help) - 1] != '.');
			assert_true((o->value.kind == GRAMMAR_CHOICE) == (o->value.words != NULL));
			assert_true(o->value.kind == GRAMMAR_FLAG || o->value.name ||
				    o->value.words);
			for (size_t j = 0; j < k; j++)
				assert_string_not_equal(c->option[j].name, o->name);
		}
		for (size_t k = 0; k < c->n_arguments; k++) {
			const struct grammar_argument *a = &c->argument[k];

			assert_true(*a->help && (a->value.name || a->value.words));
			/* One that may be missing is behind those that may not, and of many there
			 * is no end. */
			assert_true(!a->many || k + 1 == c->n_arguments);
			assert_true(!k || !a->needed || c->argument[k - 1].needed);
		}
	}
}

/* No word begins another beside it: it would be offered twice, and whoever stops typing means both.
 */
static void words_are_apart(const char *prefix, bool shell)
{
	struct grammar_word w[CHILDREN_MOST];
	size_t n = grammar_children(prefix, shell, w, CHILDREN_MOST);
	char deeper[GRAMMAR_WORDS];

	assert_true(n < CHILDREN_MOST);
	for (size_t i = 0; i < n; i++) {
		assert_true(w[i].help && *w[i].help);
		for (size_t k = 0; k < n; k++)
			assert_true(i == k ||
				    strncmp(w[i].text, w[k].text, strlen(w[i].text)) != 0);
		snprintf(deeper, sizeof(deeper), "%s%s%s", prefix, *prefix ? " " : "", w[i].text);
		words_are_apart(deeper, shell);
	}
}

static void no_words_are_ambiguous(void **state)
{
	(void)state;
	words_are_apart("", false);
	words_are_apart("", true);
}

/* ---- lines ---- */

static int parse(struct grammar_call *call, struct words *w, const char *line, bool shell)
{
	char reason[WORDS_WHY];

	assert_int_equal(words_split(w, line, strlen(line), reason), 0);
	return grammar_parse(call, (int)w->n, w->word, shell, why);
}

static const struct {
	const char *line, *command, *argv; /* argv: between bars */
} good[] = {
	{"show status", "show status", "show|status"},
	{"sho statu", "show status", "show|status"},
	{"show drops --all", "show drops", "show|drops|--all"},
	{"show sources 192.0.2.1", "show sources", "show|sources|192.0.2.1"},
	{"show rules --top cost --limit=5 'A?'", "show rules", "rules|--top|cost|--limit|5|A?"},
	{"show rules A --lim 5", "show rules", "rules|A|--limit|5"},
	{"show rules --limit -1", "show rules", "rules|--limit|-1"},
	{"keys", "keys list", "list"},
	{"keys --now 5", "keys list", "list|--now|5"},
	{"keys c --config x --dns-zone a --dns-zone b", "keys check",
	 "check|--config|x|--dns-zone|a|--dns-zone|b"},
	{"trace", "trace", "trace"},
	{"trace --from a@example.com --long", "trace", "trace|--from|a@example.com|--long"},
	{"tr sha", "trace shares", "trace|shares"},
	{"breaker ack --learn mx", "breaker ack", "breaker|ack|--learn|mx"},
	{"quarantine release 0123456789abcdef a@example.com b@example.com", "quarantine release",
	 "release|0123456789abcdef|a@example.com|b@example.com"},
	{"doctor exchange office --verify a.eml b.eml", "doctor",
	 "doctor|exchange|office|--verify|a.eml|b.eml"},
	{"simulate gmail --gateway 192.0.2.1 --gateway 192.0.2.2 -", "simulate",
	 "simulate|gmail|--gateway|192.0.2.1|--gateway|192.0.2.2|-"},
	{"scan --ip 192.0.2.1 -- -odd.eml", "scan", "scan|--ip|192.0.2.1|--|-odd.eml"},
	{"simulate --helo x gmail -- -odd.eml", "simulate", "simulate|--helo|x|--|gmail|-odd.eml"},
	{"scan -- a.eml", "scan", "scan|a.eml"},
	{"show rules -- --top", "show rules", "rules|--|--top"},
	{"quarantine release 0 -- -a@example.com", "quarantine release", "release|0|-a@example.com"},
	{"quarantine show -- -0", "quarantine show", "show|-0"},
	{"config check -- -x.conf", "config check", "-x.conf"},
	{"config diff -- --json", "config diff", "--json"},
	{"explain a.eml", "explain", "explain|a.eml"},
	{"config check", "config check", ""},
	{"config help port tls.certificate", "config help", "port|tls.certificate"},
	{"loglevel debug", "loglevel", "loglevel|debug"},
	{"completion words -- show --a", "completion words", "show|--a"},
	{"completion words -- -- x", "completion words", "--|x"},
};

static void good_lines(void **state)
{
	struct grammar_call call;
	char text[512];
	struct words w;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (parse(&call, &w, good[i].line, false))
			fail_msg("%s: %s", good[i].line, why);
		assert_string_equal(call.command->words, good[i].command);
		text[0] = '\0';
		for (int k = 0; k < call.argc; k++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
				 k ? "|" : "", call.argv[k]);
		assert_string_equal(text, good[i].argv);
		assert_null(call.argv[call.argc]);
		grammar_call_free(&call);
		words_free(&w);
	}
}

static const struct {
	const char *line, *why; /* words of it, between bars */
} bad[] = {
	{"", "which command?|show"},
	{"frobnicate", "no command \"frobnicate\""},
	{"shwo status", "no command \"shwo\"|did you mean show?"},
	{"show", "show what?|status|config"},
	{"show --all", "\"--all\": options stand behind"},
	{"show stautus", "show: there is no \"stautus\"|did you mean status?"},
	{"show xyzzy", "show: there is no \"xyzzy\"|status|drops"},
	{"show s", "show: \"s\" may be status|sessions|sources"},
	{"sh st", "\"sh\" may be show or shell"},
	{"show status now", "show status: \"now\" is one too many"},
	{"show status --all", "show status: unknown option \"--all\""},
	{"show drops --al=1", "--all has no value"},
	{"show drops --lal", "unknown option \"--lal\"|did you mean --all?"},
	{"show drops -a", "unknown option \"-a\""},
	{"show rules --top", "--top without its value"},
	{"show rules --top csot", "--top: cost, hits or opened, not \"csot\"|did you mean cost?"},
	{"show rules A B", "\"B\" is one too many"},
	{"trace shrs", "trace: there is no \"shrs\"|did you mean shares?"},
	{"trace --m x --r y", "option \"--r\" may be --rcpt, --rule or --route"},
	{"trace --outcome lost", "delivered, rejected|unjudged, not \"lost\""},
	{"dr", "changes something: its words are written out"},
	{"quarantine del 0", "changes something"},
	{"q delete 0", "changes something"},
	{"breaker ack mx --lea", "written out: --learn"},
	{"logl debug", "changes something"},
	{"keys gen --domain example.com --selector s k.pem", "changes something"},
	{"rules comp --output x a.cf", "changes something"},
	{"sources forgive", "sources forgive: which address?"},
	{"sources forgive a b", "\"b\" is one too many"},
	{"scan", "scan: which message file?"},
	{"scan a b", "\"b\" is one too many"},
	{"doctor outlook office", "exchange or google, not \"outlook\""},
	{"doctor exchange", "doctor: which route?"},
	{"loglevel loud", "error, notice, info or debug, not \"loud\""},
	{"exit", "no command \"exit\""},
	{"\033[31m", "no command \"?[31m\""},
};

static void bad_lines(void **state)
{
	struct grammar_call call;
	struct words w;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char want[256], *save = NULL;

		/* \033 is for words that a program hands over; a line has none. */
		if (bad[i].line[0] == '\033') {
			char *one[] = {(char *)bad[i].line, NULL};

			assert_true(grammar_parse(&call, 1, one, false, why) < 0);
		} else {
			if (!parse(&call, &w, bad[i].line, false))
				fail_msg("%s: taken", bad[i].line);
			words_free(&w);
		}
		snprintf(want, sizeof(want), "%s", bad[i].why);
		for (char *p = strtok_r(want, "|", &save); p; p = strtok_r(NULL, "|", &save))
			if (!strstr(why, p))
				fail_msg("%s: \"%s\" is not in: %s", bad[i].line, p, why);
		assert_null(call.argv);
	}
}

static void shell_and_outside(void **state)
{
	struct grammar_call call;
	struct words w;

	(void)state;
	assert_int_equal(parse(&call, &w, "exit", true), 0);
	grammar_call_free(&call);
	words_free(&w);
	/* sh: outside it may be the shell. */
	assert_int_equal(parse(&call, &w, "sh statu", true), 0);
	assert_string_equal(call.command->words, "show status");
	grammar_call_free(&call);
	words_free(&w);
	assert_true(parse(&call, &w, "shell", true) < 0);
	words_free(&w);
	assert_true(parse(&call, &w, "completion bash", true) < 0);
	words_free(&w);
}

/* A word of any length, and as many as there are. */
static void long_lines(void **state)
{
	static char big[70000];
	static char *many[20001];
	struct grammar_call call;

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	assert_true(grammar_parse(&call, 1, (char *[]){big, NULL}, false, why) < 0);
	assert_true(strlen(why) < GRAMMAR_WHY);
	assert_true(grammar_parse(&call, 3, (char *[]){(char *)"show", (char *)"drops", big, NULL},
				  false, why) < 0);
	memcpy(big, "--", 2);
	assert_true(grammar_parse(&call, 3, (char *[]){(char *)"show", (char *)"drops", big, NULL},
				  false, why) < 0);
	many[0] = (char *)"rules";
	many[1] = (char *)"check";
	for (int i = 2; i < 20000; i++)
		many[i] = (char *)"a.cf";
	assert_int_equal(grammar_parse(&call, 20000, many, false, why), 0);
	assert_int_equal(call.argc, 19999);
	grammar_call_free(&call);
}

/* ---- what may come next ---- */

static const struct {
	const char *line; /* up to the cursor */
	const char *have, *not ;
	int kind; /* of the value; -1: none */
	bool complete;
} nexts[] = {
	{"", "show|trace|explain|--json", "exit", -1, false},
	{"sh", "show", "trace", -1, false},
	{"show ", "status|drops|config", "show", -1, false},
	{"show st", "status|stats", "drops", -1, false},
	{"show drops ", "--all", NULL, -1, true},
	{"show drops --all ", NULL, "--all", -1, true},
	{"show rules --top ", "cost|hits|opened", "--limit", GRAMMAR_CHOICE, false},
	{"show rules --top h", "hits", "cost", GRAMMAR_CHOICE, false},
	{"show rules ", "--top|--limit", NULL, GRAMMAR_RULE, true},
	{"show rules A ", "--top", NULL, -1, true},
	{"trace ", "shares|status|reindex|--from", NULL, -1, true},
	{"trace --from ", NULL, "--rcpt", GRAMMAR_ADDRESS, false},
	{"trace --from x ", "--rcpt", "--from|shares", -1, true},
	{"breaker ack ", "--learn", NULL, GRAMMAR_ROUTE, false},
	{"doctor ", "exchange|google", NULL, GRAMMAR_CHOICE, false},
	{"doctor google ", "--egress", NULL, GRAMMAR_ROUTE, false},
	{"doctor google office --egress 192.0.2.1 ", "--egress", NULL, GRAMMAR_FILE, true},
	{"quarantine show ", NULL, NULL, GRAMMAR_HELD, false},
	{"explain ", "--gateway", NULL, GRAMMAR_MESSAGE, false},
	{"config help ", NULL, NULL, GRAMMAR_KEY, true},
	{"help ", "show|help", NULL, -1, true},
	{"help show ", "status", "trace", -1, true},
	{"--socket ", NULL, "show", GRAMMAR_FILE, false},
	{"--socket /x --json show dr", "drops", NULL, -1, false},
	{"show stauts --", NULL, "--all", -1, false},
	{"scan -- -", NULL, "--ip", GRAMMAR_FILE, false},
	/* Behind "--" there are no options, not even those that may stand anywhere. */
	{"scan -- --socket ", NULL, "--ip", -1, true},
	{"--", "--json|--socket|--keep-going|--version|--help", "-f", -1, false},
	{"-", "-f|--json", "show", -1, false},
	{"-f ", NULL, "show", GRAMMAR_FILE, false},
	{"--keep-going ", "-f", "show|--version", -1, false},
	{"--json --keep-going -f ", NULL, "show", GRAMMAR_FILE, false},
	{"-f x ", NULL, "show", -1, false},
	{"--json ", "show", NULL, -1, false},
};

static bool is_there(const struct grammar_next *n, const char *text)
{
	for (size_t i = 0; i < n->n; i++)
		if (!strcmp(n->c[i].text, text))
			return true;
	return false;
}

static void what_comes_next(void **state)
{
	struct grammar_next n;
	char reason[WORDS_WHY], list[256];
	struct words w;

	(void)state;
	for (size_t i = 0; i < sizeof(nexts) / sizeof(nexts[0]); i++) {
		const char *line = nexts[i].line, *typed;

		assert_int_equal(words_split(&w, line, strlen(line), reason), 0);
		typed = w.open ? w.word[w.n - 1] : "";
		grammar_next(&n, (int)w.n - w.open, w.word, typed, false);
		for (int want = 1; want >= 0; want--) {
			char *save = NULL;

			snprintf(list, sizeof(list), "%s", want ? nexts[i].have ?: "" : nexts[i].not ?: "");
			for (char *p = strtok_r(list, "|", &save); p;
			     p = strtok_r(NULL, "|", &save))
				if (is_there(&n, p) != want)
					fail_msg("\"%s\": %s is %sthere", line, p,
						 want ? "not " : "");
		}
		if ((n.value ? (int)n.value->kind : -1) != nexts[i].kind ||
		    n.complete != nexts[i].complete)
			fail_msg("\"%s\": kind %d, complete %d", line,
				 n.value ? (int)n.value->kind : -1, n.complete);
		words_free(&w);
	}
}

/* Whatever is offered is taken. */
static void what_is_offered_is_taken(void **state)
{
	const struct grammar_command *c;
	struct grammar_next n;

	(void)state;
	for (size_t i = 0; (c = grammar_at(i)); i++) {
		struct words w;

		assert_int_equal(words_split(&w, c->words, strlen(c->words), why), 0);
		for (size_t k = 0; k < w.n; k++) {
			grammar_next(&n, (int)k, w.word, "", c->flags & GRAMMAR_SHELL);
			assert_string_equal(n.why, "");
			assert_true(is_there(&n, w.word[k]));
		}
		grammar_next(&n, (int)w.n, w.word, "--", c->flags & GRAMMAR_SHELL);
		assert_ptr_equal(n.command, c);
		for (size_t k = 0; k < c->n_options; k++)
			assert_true(is_there(&n, c->option[k].name));
		words_free(&w);
	}
}

/* ---- pages ---- */

static bool is_within(const char *text, const char *p)
{
	return p > text && ascii_is_alnum((uint8_t)p[-1]) && ascii_is_alnum((uint8_t)p[1]);
}

static char *help_of(const struct grammar_command *c)
{
	char *help;
	size_t n;
	FILE *f = open_memstream(&help, &n);

	grammar_help(f, c, 80);
	fclose(f);
	return help;
}

/* Marks are gone; a star of its own is none, nor an underscore within a word, or two of them. */
static void no_marks(const char *help)
{
	for (const char *p = help; (p = strchr(p, '*')); p++)
		assert_true(p[1] == ' ');
	for (const char *p = help; (p = strchr(p, '_')); p += 1 + (p[1] == '_'))
		assert_true(p[1] == '_' || is_within(help, p));
	assert_null(strchr(help, '\\'));
}

static void marks(void **state)
{
	char *help = help_of(grammar_named("config help"));

	(void)state;
	assert_non_null(strstr(help, "(route.port),"));
	free(help);
	help = help_of(grammar_named("rules test"));
	assert_non_null(strstr(help, "rules in __, too"));
	assert_non_null(strstr(help, "SPF_PASS"));
	free(help);
}

static void pages(void **state)
{
	const struct grammar_command *c;
	char *usage, *manual, *help;
	size_t n;
	FILE *f;

	(void)state;
	f = open_memstream(&usage, &n);
	grammar_usage(f);
	fclose(f);
	for (char *line = usage; *line; line = strchr(line, '\n') + 1)
		assert_true(strcspn(line, "\n") <= 143);
	f = open_memstream(&manual, &n);
	grammar_manual(f);
	fclose(f);
	for (size_t i = 0; (c = grammar_at(i)); i++) {
		char words[80];

		snprintf(words, sizeof(words), "  %s", c->words);
		assert_true((strstr(usage, words) != NULL) == !(c->flags & GRAMMAR_SHELL));
		snprintf(words, sizeof(words), "*%s*", c->words);
		assert_non_null(strstr(manual, words));
		help = help_of(c);
		assert_int_equal(strncmp(help, c->words, strlen(c->words)), 0);
		no_marks(help);
		for (const char *line = help; *line; line += strcspn(line, "\n") + 1)
			if (strcspn(line, "\n") > 80 && strchr(line + 4, ' ') < line + 80)
				fail_msg("%s: %.100s", c->words, line);
		for (size_t k = 0; k < c->n_options; k++)
			assert_non_null(strstr(help, c->option[k].name));
		free(help);
	}
	free(usage);
	free(manual);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_command_is_told),
		cmocka_unit_test(every_option_is_told),
		cmocka_unit_test(no_words_are_ambiguous),
		cmocka_unit_test(good_lines),
		cmocka_unit_test(bad_lines),
		cmocka_unit_test(shell_and_outside),
		cmocka_unit_test(long_lines),
		cmocka_unit_test(what_comes_next),
		cmocka_unit_test(what_is_offered_is_taken),
		cmocka_unit_test(marks),
		cmocka_unit_test(pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
