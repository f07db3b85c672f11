/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Control's log: what each level keeps back, and `loglevel`. */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/loop.h"
#include "control/note.h"

struct api_request {
	char code[32]; /* of the error; "ok": answered well; "": not answered */
	json_t *answer;
};

void api_reply(struct api_request *req, json_t *answer)
{
	assert_string_equal(req->code, "");
	strcpy(req->code, "ok");
	req->answer = answer;
}

void api_error(struct api_request *req, const char *code, const char *fmt, ...)
{
	(void)fmt;
	assert_string_equal(req->code, "");
	snprintf(req->code, sizeof(req->code), "%s", code);
}

/* What was said since: to be freed. */
static FILE *heard;
static int told;

static void listen_to(void)
{
	heard = tmpfile();
	assert_non_null(heard);
	fflush(stderr);
	told = dup(STDERR_FILENO);
	dup2(fileno(heard), STDERR_FILENO);
}

static char *said(void)
{
	char *text = calloc(1, 1 << 20);

	fflush(stderr);
	dup2(told, STDERR_FILENO);
	close(told);
	rewind(heard);
	assert_true(fread(text, 1, (1 << 20) - 1, heard) < (1 << 20) - 1);
	fclose(heard);
	return text;
}

static void say_all(void)
{
	note(NOTE_ALERT, "one %d", 1);
	note(NOTE_ERROR, "two");
	note(NOTE_NOTICE, "three");
	note(NOTE_INFO, "four");
	note(NOTE_DEBUG, "five");
}

static void levels(void **state)
{
	static const char *const line[] = {"Z control: ALERT one 1\n", "Z control: two\n",
					   "Z control: three\n", "Z control: four\n",
					   "Z control: five\n"};
	char *text;

	(void)state;
	assert_int_equal(note_level(), NOTE_INFO);
	for (int level = NOTE_ALERT; level <= NOTE_DEBUG; level++) {
		int least = level < NOTE_ERROR ? NOTE_ERROR
					       : level; /* nothing keeps alerts and errors back */

		note_set_level((enum note_level)level);
		assert_int_equal(note_level(), least);
		listen_to();
		say_all();
		text = said();
		for (int i = NOTE_ALERT; i <= NOTE_DEBUG; i++)
			assert_int_equal(strstr(text, line[i]) != NULL, i <= least);
		free(text);
	}
	note_set_level((enum note_level)77);
	assert_int_equal(note_level(), NOTE_DEBUG);
	note_set_level(NOTE_INFO);
}

static char alerts[64];

static void on_alert(const char *text)
{
	snprintf(alerts + strlen(alerts), sizeof(alerts) - strlen(alerts), "[%s]", text);
}

static void alerts_are_heard(void **state)
{
	(void)state;
	note_set_level(NOTE_ERROR);
	note_on_alert(on_alert);
	listen_to();
	say_all();
	note(NOTE_ALERT, "again");
	free(said());
	note_on_alert(NULL);
	note_set_level(NOTE_INFO);
	assert_string_equal(alerts, "[one 1][again]");
}

static void names(void **state)
{
	enum note_level level;

	(void)state;
	for (int i = NOTE_ERROR; i <= NOTE_DEBUG; i++) {
		assert_true(note_level_parse(note_level_name((enum note_level)i), &level));
		assert_int_equal(level, i);
	}
	assert_string_equal(note_level_name(NOTE_ALERT), "");
	assert_false(note_level_parse("", &level));
	assert_false(note_level_parse("alert", &level));
	assert_false(note_level_parse("Debug", &level));
}

static void *many(void *arg)
{
	for (int i = 0; i < 500; i++)
		note(NOTE_ERROR, "%s", (const char *)arg);
	return NULL;
}

static void lines_are_not_mixed(void **state)
{
	char a[200], b[200], *text, *save = NULL;
	size_t lines = 0;
	pthread_t t;

	(void)state;
	memset(a, 'a', sizeof(a) - 1);
	memset(b, 'b', sizeof(b) - 1);
	a[sizeof(a) - 1] = b[sizeof(b) - 1] = '\0';
	listen_to();
	assert_int_equal(pthread_create(&t, NULL, many, a), 0);
	many(b);
	pthread_join(t, NULL);
	text = said();
	for (char *p = strtok_r(text, "\n", &save); p; p = strtok_r(NULL, "\n", &save), lines++) {
		const char *rest = strstr(p, "control: ");

		assert_true(rest && (!strcmp(rest + 9, a) || !strcmp(rest + 9, b)));
	}
	assert_int_equal(lines, 1000);
	free(text);
}

/* What is answered, and what the log says of it. */
static void ask(json_t *body, const char *code, const char *level, const char *before,
		const char *line)
{
	struct api_request req = {.code = ""};
	char *text;

	listen_to();
	commands_loglevel(NULL, &req, body);
	text = said();
	assert_string_equal(req.code, code);
	if (level) {
		assert_string_equal(json_string_value(json_object_get(req.answer, "level")), level);
		assert_string_equal(json_string_value(json_object_get(req.answer, "before")),
				    before);
	}
	if (line)
		assert_non_null(strstr(text, line));
	else
		assert_string_equal(text, "");
	free(text);
	json_decref(req.answer);
	json_decref(body);
}

static void loglevel(void **state)
{
	(void)state;
	note_set_level(NOTE_INFO);
	ask(json_object(), "ok", "info", "info", NULL);
	ask(json_pack("{s:s}", "level", "error"), "ok", "error", "info",
	    "log level error, was info\n");
	ask(json_pack("{s:s}", "level", "debug"), "ok", "debug", "error",
	    "log level debug, was error\n");
	ask(json_pack("{s:s}", "level", "debug"), "ok", "debug", "debug", NULL);
	ask(json_pack("{s:s}", "level", "alert"), "bad-request", NULL, NULL, NULL);
	ask(json_pack("{s:s}", "level", ""), "bad-request", NULL, NULL, NULL);
	ask(json_pack("{s:i}", "level", 3), "bad-request", NULL, NULL, NULL);
	assert_int_equal(note_level(), NOTE_DEBUG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels),   cmocka_unit_test(alerts_are_heard),
		cmocka_unit_test(names),    cmocka_unit_test(lines_are_not_mixed),
		cmocka_unit_test(loglevel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
