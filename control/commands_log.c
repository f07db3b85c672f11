/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `loglevel`: how much control says in its log, and from now on. */

#include "control/loop.h"
#include "control/note.h"

void commands_loglevel(void *arg, struct api_request *req, const json_t *body)
{
	const json_t *asked = json_object_get(body, "level");
	enum note_level before = note_level(), level = before;

	(void)arg;
	if (asked &&
	    (!json_is_string(asked) || !note_level_parse(json_string_value(asked), &level))) {
		api_error(req, "bad-request", "level: error, notice, info or debug");
		return;
	}
	if (level != before) {
		/* At the level that lets it through: a log that falls silent says why. */
		note_set_level(level > before ? level : before);
		note(NOTE_NOTICE, "log level %s, was %s", note_level_name(level),
		     note_level_name(before));
		note_set_level(level);
	}
	api_reply(req, json_pack("{s:s, s:s}", "level", note_level_name(level), "before",
				 note_level_name(before)));
}
