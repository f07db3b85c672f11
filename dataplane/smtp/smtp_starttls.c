/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_internal.h"

/*
 * STARTTLS (RFC 3207). The handshake is the owner's; here is what makes it safe: nothing that came in
 * clear is believed under TLS. Octets that stand behind the command in clear can only have been put
 * there by somebody who wants them executed inside the tunnel (CVE-2011-0411), and a client that does
 * so by mistake is lost all the same, for it did not wait for the 220: the session is refused.
 */

void smtp_do_starttls(struct smtp_session *s)
{
	const struct smtp_ops *ops = &s->server->ops;
	bool offered;

	(void)smtp_face(s, &offered);
	if (!offered || !ops->start_tls) {
		smtp_blame(s, SAY_NOT_IMPLEMENTED, CNT_smtp_bad_command);
	} else if (s->tls) {
		smtp_blame(s, SAY_TLS_ACTIVE, CNT_smtp_bad_sequence);
	} else if (s->txn) {
		smtp_blame(s, SAY_TLS_TXN, CNT_smtp_bad_sequence);
	} else if (s->server->behind) {
		smtp_count(s, CNT_smtp_tls_injected);
		smtp_say_close(s, SAY_TLS_INJECTED);
	} else if (ops->start_tls(s->owner)) {
		smtp_say(s, SAY_TLS_FULL);
	} else {
		smtp_count(s, CNT_smtp_starttls);
		smtp_say(s, SAY_TLS_GO);
		if (s->phase == SMTP_PHASE_CLOSING)
			return;
		s->phase = SMTP_PHASE_TLS;
		smtp_arm(s, LIMIT_TLS_HANDSHAKE_S);
	}
}

void smtp_tls_established(struct smtp_session *s)
{
	if (s->phase != SMTP_PHASE_TLS)
		return;
	/* RFC 3207 4.2: what the client said before is forgotten. What it did is not. */
	s->tls = true;
	s->helo_seen = false;
	/* Another may speak here than before: a browser whose TLS somebody led to us (smtp_foreign.c). */
	s->spoke = false;
	s->proto = PROTO_SMTP;
	smtp_name_put(s);
	smtp_command_done(s);
	s->soft_deadline = true;
}

void smtp_tls_failed(struct smtp_session *s)
{
	smtp_close(s, SMTP_CLOSE_AFTER_REPLY);
}

void smtp_tls_injected(struct smtp_session *s)
{
	smtp_count(s, CNT_smtp_tls_injected);
	smtp_close(s, SMTP_CLOSE_ABORT);
}

void smtp_tls_timeout(struct smtp_session *s)
{
	smtp_count(s, CNT_smtp_tls_timeout);
	smtp_ending(s, END_F_TLS_FAILED | END_F_TIMEOUT);
	smtp_close(s, SMTP_CLOSE_ABORT);
}
