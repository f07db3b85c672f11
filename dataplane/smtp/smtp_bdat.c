/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_internal.h"

#include <stdio.h>

/*
 * BDAT, RFC 3030 without BINARYMIME: a message in chunks, each behind a command that tells how
 * long it is.
 *
 * The octets of a chunk are content, perhaps somebody else's words: not one of them may ever be
 * read as a command. So a chunk that is refused is swallowed to its announced end before the reply
 * goes out (RFC 3030 2), and a BDAT whose length cannot be read ends the session.
 *
 * A refused chunk fails its transaction, whose record and room go back at once. As long as neither
 * LAST nor a reset was seen, each further chunk is swallowed too and answered as the first one
 * was: who pipelines may look at the last reply only, and a 503 there would bounce what a 452 meant
 * to come again. Until then the transaction is open for the order of commands (s->txn), and holds
 * nothing (s->txn_held).
 */

void smtp_bdat_bad(struct smtp_session *s)
{
	smtp_count(s, CNT_smtp_bad_chunk);
	smtp_say_close(s, SAY_BAD_CHUNK);
}

void smtp_arm_chunks(struct smtp_session *s)
{
	/* The clocks of rate and total run on: the room is held by a client that is silent. */
	s->content->progress = s->server->now;
	s->content->timeout_s = smtp_conf(s)->command_timeout_s;
	smtp_arm_data(s);
}

static bool begin(struct smtp_session *s)
{
	const struct handoff_config *c = smtp_conf(s);

	if (!smtp_content_get(s))
		return false;
	smtp_content_begin(s);
	s->content->bdat = true;
	s->content->block_timeout_s = c->data_timeout_s;
	/* Who was refused at CONNECT is given the time for a QUIT, whatever it does with it. */
	if (s->refused) {
		s->content->end_by = s->server->now + LIMIT_REFUSED_QUIT_S * 1000u;
		s->content->data_total_mode = MODE_ENFORCE;
	}
	smtp_data_init_bdat(&s->content->data, c->max_message, c->max_line, c->refuse_bare_cr);
	return true;
}

/* What the refused message held goes back; its chunks go on coming. */
static void let_go(struct smtp_session *s)
{
	bool txn = s->txn;

	smtp_end_txn(s);
	s->txn = txn;
	s->content->told = true;
}

static void refuse(struct smtp_session *s, enum smtp_say say)
{
	s->content->say = (uint8_t)say;
	let_go(s);
}

/* May this chunk be taken? If not it is said behind it. */
static void admit(struct smtp_session *s)
{
	struct smtp_content *k = s->content;

	if (s->refused || !s->txn || !s->rcpt_accepted) {
		k->blame = true;
		refuse(s, s->refused ? SAY_REFUSED : s->txn ? SAY_NO_RCPT : SAY_NEED_MAIL);
	} else if (k->chunk > k->data.max_size - k->data.size) {
		/* RFC 1870 6.3: it would be, so that none of it is stored. */
		smtp_count(s, CNT_smtp_size_exceeded);
		smtp_count(s, CNT_smtp_reply_5xx);
		refuse(s, SAY_SIZE_EXCEEDED);
	} else if (!k->begun && s->server->ops.data_begin(s->owner) != 0) {
		smtp_count(s, CNT_smtp_no_arena);
		refuse(s, SAY_NO_STORAGE);
	} else {
		k->begun = true;
	}
}

static void count_lookalike(struct smtp_session *s)
{
	struct smtp_content *k = s->content;

	if (k->data.lookalike && !k->counted)
		smtp_count(s, CNT_smtp_lookalike);
	k->counted = k->data.lookalike;
}

static void say_taken(struct smtp_session *s, uint64_t octets)
{
	uint8_t line[LIMIT_REPLY_LINE];
	char text[48];
	int n = snprintf(text, sizeof(text), "%llu octets taken", (unsigned long long)octets);
	const struct smtp_reply r = {250, 2, 0, 0, str_make(text, (size_t)n)};

	smtp_say_raw(s, line, smtp_reply_format(line, &r, false, NULL));
}

static void say_refused(struct smtp_session *s)
{
	struct smtp_content *k = s->content;
	enum smtp_say say = k->say;
	bool blame = k->blame;

	k->blame = false;
	if (k->last)
		smtp_end_txn(s);
	if (blame)
		smtp_blame(s, say, CNT_smtp_bad_sequence);
	else
		smtp_say(s, say);
	smtp_command_done(s);
}

/* The last octet of a chunk was seen. */
static void chunk_done(struct smtp_session *s)
{
	struct smtp_content *k = s->content;
	enum postern_counter why;

	if (!k->say && k->last) {
		smtp_data_finish_bdat(&k->data);
		count_lookalike(s);
		s->idle_commands = 0;
	}
	if (!k->say && smtp_data_refused(&k->data)) {
		refuse(s, smtp_refusal(&k->data, &why));
		smtp_count(s, why);
		smtp_count(s, CNT_smtp_reply_5xx);
	}
	if (k->say) {
		say_refused(s);
	} else if (k->last) {
		smtp_submit(s);
	} else {
		say_taken(s, k->chunk);
		smtp_command_done(s);
	}
}

void smtp_do_bdat(struct smtp_session *s, const struct smtp_command *cmd)
{
	struct smtp_content *k;

	/* An empty chunk leads to nothing, unless it is the last. */
	if (!cmd->chunk && !cmd->last && !smtp_idle_budget(s))
		return;
	if (!s->content && !begin(s)) {
		/* There is no place to keep in mind how much is to be swallowed. */
		smtp_count(s, CNT_smtp_no_content);
		smtp_ending(s, END_F_PRESSURE);
		smtp_say_close(s, SAY_NO_LINE);
		return;
	}
	k = s->content;
	k->chunk = k->left = cmd->chunk;
	k->last = cmd->last;
	k->progress = s->server->now;
	k->timeout_s = k->block_timeout_s;
	s->phase = SMTP_PHASE_DATA;
	if (!k->say)
		admit(s);
	if (k->left)
		smtp_arm_data(s);
	else
		chunk_done(s);
}

size_t smtp_bdat_input(struct smtp_session *s, const uint8_t *p, size_t n)
{
	struct smtp_content *k = s->content;
	size_t take = n < k->left ? n : (size_t)k->left, used = take, room = 0;

	if (!k->say) {
		if (!smtp_data_refused(&k->data))
			room = s->server->ops.data_room(s->owner);
		used = smtp_data_feed(&k->data, p, take, room, smtp_to_owner, s);
		count_lookalike(s);
		/* Which refusal it is shows at the end of the chunk, however it was cut. */
		if (smtp_data_refused(&k->data) && !k->told)
			let_go(s);
	}
	k->left -= used;
	smtp_data_moved(s, used, used < take);
	if (!k->left)
		chunk_done(s);
	return used;
}
