/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A whole session with an owner that aborts when the machine breaks the contract of smtp.h. The
 * input is a list of events: an octet below 0x80 says how many octets of what follows the client
 * sends; the others are answers, time, loss of control, shut-down and shortage.
 */

#include "dataplane/smtp/smtp_fake.h"
#include "dataplane/smtp/smtp_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* An answer to whatever was asked, of a shape that control should not send. */
static void odd_answer(struct fake *f, uint8_t c)
{
	const uint8_t text[SMTP_TRACE_ID] = {c, '\r', '\n', '2', '5', '0', 0, 0xff};
	const struct smtp_reply r = {(uint16_t)(c * 5), (uint8_t)(c % 7), c, (uint16_t)(c * 257),
				     str_make(text, sizeof(text))};
	enum fake_question q = f->asked;

	if (q == FAKE_NONE)
		return;
	f->asked = FAKE_NONE;
	if (q == FAKE_CONNECT) {
		smtp_answer_connect(f->s, &r);
	} else if (q == FAKE_RCPT) {
		fake_take_rcpt(f);
		f->rcpts += r.code / 100 == 2;
		smtp_answer_rcpt(f->s, &r);
	} else {
		smtp_answer_message(f->s, &r, text);
	}
}

static void pass_time(struct fake *f, uint8_t c)
{
	enum smtp_phase was = smtp_phase(f->s);

	f->now += (uint64_t)(c & 15) * (c & 15) * 4000;
	if (smtp_deadline(f->s) > f->now)
		return;
	/* The owner's question goes with the deadline, or nothing happened. */
	smtp_timeout(f->s, f->now);
	if (smtp_phase(f->s) != was)
		f->asked = FAKE_NONE;
}

static void event(struct fake *f, uint8_t c)
{
	switch (c & 0xf0) {
	case 0x80:
		fake_answer(f);
		break;
	case 0x90: /* what was asked lately stays open */
		for (c &= 15; f->asked != FAKE_NONE && (f->asked != FAKE_RCPT || f->n_open > c);)
			fake_answer(f);
		break;
	case 0xa0:
		odd_answer(f, (uint8_t)(c << 4 | (c & 15)));
		break;
	case 0xb0:
		pass_time(f, c);
		break;
	case 0xc0:
		smtp_control_lost(f->s);
		f->asked = FAKE_NONE;
		break;
	case 0xd0:
		f->down = c & 1;
		f->no_record = c & 2;
		f->no_arena = c & 4;
		f->no_room = c & 8;
		break;
	case 0xe0:
		f->room_step = c & 15;
		if (c == 0xef)
			smtp_eof(f->s);
		break;
	default:
		if (c == 0xff)
			smtp_shutdown(f->s, STR("drain"));
		else if (c == 0xfe)
			smtp_evict(f->s, STR("pressure"));
		else if (c == 0xfd)
			f->send_full = true;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct fake f;
	struct handoff_config c = fake_config();

	if (n < 1 || n > 8192)
		return 0;
	memset(&f, 0, offsetof(struct fake, out));
	f.now = 1;
	c.max_line = p[0] & 1 ? 200 : 0;
	c.refuse_bare_cr = p[0] & 2 ? 1 : 0;
	c.down_action = p[0] & 4 ? DOWN_421 : DOWN_451;
	f.down = p[0] & 8;
	c.max_rcpt = p[0] & 16 ? 100 : 3;
	c.early = p[0] & 64 ? EARLY_REFUSE : EARLY_OBSERVE;
	f.trace = p[0] & 32;
	if (f.trace)
		memcpy(c.contact, "whom to ask", sizeof("whom to ask"));
	c.max_errors_mode = c.max_idle_mode = c.data_total_mode = p[0] >> 6 & 1;
	c.min_rate_mode = c.min_rate_large_mode = p[0] >> 7 & 1;
	c.min_rate_large = 10000;
	FAKE_MUST(fake_start(&f, &c));
	for (size_t i = 1; i < n; i++) {
		uint8_t e = p[i];

		if (e >= 0x80) {
			event(&f, e);
			fake_feed(&f, "", 0, false);
			continue;
		}
		e = e < n - i - 1 ? e : (uint8_t)(n - i - 1);
		fake_feed(&f, p + i + 1, e, false);
		i += e;
		/* Two messages never come of one dot. */
		FAKE_MUST(f.messages <= f.txns && f.txns <= c.max_transactions);
		FAKE_MUST(f.txns == f.ends + f.messages + f.txn);
		/* Both agree on what is open. */
		FAKE_MUST((smtp_phase(f.s) == SMTP_PHASE_RCPT_ASKED) == (f.asked == FAKE_RCPT));
	}
	fake_stop(&f);
	return 0;
}
