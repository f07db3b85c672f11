/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The SMTP server of one connection: command grammar, reply text, order of commands, end of data.
 *
 * It knows no socket, TCP, ring or arena: bytes come in by smtp_input(), everything else goes out
 * through struct smtp_ops. Whatever needs somebody else's answer (may this peer speak, is this
 * recipient ours, was the message taken) is a question: the session stops consuming until the
 * answer is given by one of the smtp_answer_*() calls; what the client pipelined behind stays with
 * the caller, who offers it again afterwards. Only of recipients several may be open at once, up to
 * LIMIT_RCPT_OPEN: behind one that is asked, more of them are still consumed.
 *
 * Content comes by DATA or, in chunks of a told length, by BDAT (RFC 3030); the owner sees no
 * difference but RECORD_F_BDAT.
 *
 * Two layers: smtp_command.c parses one line into a typed command (no state), smtp_data.c finds the
 * end of data and removes dot-stuffing (no state but its own); smtp_session.c is the machine.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/smtp/smtp_client.h"
#include "postern/handoff.h"
#include "postern/str.h"

struct smtp_session;

/* One reply from outside (control) or from the machine. text: single line, printable ASCII. */
struct smtp_reply {
	uint16_t code;
	uint8_t enh_class; /* 0: no enhanced code */
	uint16_t enh_subject;
	uint16_t enh_detail;
	struct str text;
};

/* Parameters of MAIL, as parsed. */
struct smtp_mail {
	struct str reverse_path; /* mailbox without brackets and source route; n == 0: null path */
	uint64_t size;           /* SIZE=, 0 if absent */
	uint8_t body;            /* enum handoff_body */
	bool smtputf8;
};

struct smtp_data_facts {
	uint64_t size;           /* octets of content after unstuffing */
	uint32_t flags;          /* RECORD_F_* that the bytes showed */
};

enum smtp_close { SMTP_CLOSE_AFTER_REPLY, SMTP_CLOSE_ABORT };

/*
 * What the session asks of its owner. All are called from within smtp_input(), smtp_answer_*() or
 * smtp_timeout(); none may call back into the same session.
 */
struct smtp_ops {
	/* Queues reply octets. -ENOBUFS ends the session by SMTP_CLOSE_ABORT. */
	int (*send)(void *owner, const void *p, size_t n);
	/* Questions. 0: asked, an answer will come. -EAGAIN: nobody is there to ask (control is
	 * down); the machine answers by handoff_config.down_action itself. ask_rcpt, -ENOMEM: the
	 * record holds no more recipients (452 4.5.3). With recipients open an ask_rcpt that fails is
	 * made again when all are answered. */
	int (*ask_connect)(void *owner);
	int (*ask_rcpt)(void *owner, struct str mailbox);
	/* MAIL was accepted by grammar: reserve a record. -ENOMEM: 452 4.3.1, -EAGAIN: control is
	 * down. The strings are copied by the owner. */
	int (*txn_begin)(void *owner, struct str helo, uint8_t proto, const struct smtp_mail *mail);
	/* The transaction ends without a message (RSET, EHLO, QUIT, refused, connection lost).
	 * Recipients that are open are not answered any more. */
	void (*txn_end)(void *owner);
	/* DATA or the first BDAT was sent and recipients exist: reserve room. -ENOMEM: 452 4.3.1. */
	int (*data_begin)(void *owner);
	/* How many octets of content data() takes for sure right now; 0: stop consuming. */
	size_t (*data_room)(void *owner);
	/* Content, unstuffed, in order; n is never more than data_room() said. */
	void (*data)(void *owner, const uint8_t *p, size_t n);
	/* End of data: hand over to control; the answer comes by smtp_answer_message().
	 * -EAGAIN: control is down (the machine answers 451 4.3.2). */
	int (*submit)(void *owner, const struct smtp_data_facts *facts);
	/* The trace id, 16 octets, of the message in hand, or of the one that control has; false: there
	 * is none. May be NULL. */
	bool (*trace_id)(void *owner, uint8_t *id);
	/* Replies queued so far end the connection / cut it at once. */
	void (*close)(void *owner, enum smtp_close how);
	/*
	 * STARTTLS: takes what a handshake needs; what is sent next, the 220, still goes in clear.
	 * From then on input is the owner's, until smtp_tls_established(). -ENOMEM: 454. NULL:
	 * STARTTLS is not offered, whatever the configuration says.
	 */
	int (*start_tls)(void *owner);
	/*
	 * In whose name the session is: 0, ours, or 1 and the index in handoff_config.inline_name; and
	 * whether STARTTLS may be offered in it. NULL: ours, and it may.
	 */
	void (*face)(void *owner, uint8_t *name, bool *tls);
	/* The TCP peer; NULL: nobody is trusted to name another, and the two below are not called. */
	void (*tcp_peer)(void *owner, struct smtp_client *out);
	/* The client as it was named last, else the TCP peer (via NONE). */
	void (*client)(void *owner, struct smtp_client *out);
	/* It is this one from now on: of CONNECT, which is asked (again) right behind this. */
	void (*set_client)(void *owner, const struct smtp_client *c);
};

struct smtp_config; /* per worker and generation: texts made once from struct handoff_config */

struct smtp_config *smtp_config_new(const struct handoff_config *c);
/* There is a certificate: STARTTLS is announced to sessions in clear. */
void smtp_config_offer_tls(struct smtp_config *c);
void smtp_config_free(struct smtp_config *c);

struct smtp_server; /* per worker: pool of sessions and of line buffers; counters */

/* How many of each are taken at start; 0: a default that goes by `sessions`. */
struct smtp_sizes {
	uint32_t sessions;
	uint32_t lines;      /* incomplete command lines, and HELO names too long for the session */
	uint32_t long_lines; /* incomplete command lines over 256 octets */
	uint32_t contents;   /* sessions in DATA or BDAT at once; one more gets 452, in BDAT 421 */
};

/* `counters` is the worker's block (enum postern_counter). */
struct smtp_server *smtp_server_new(const struct smtp_sizes *sizes, const struct smtp_ops *ops,
				    uint64_t *counters);
void smtp_server_free(struct smtp_server *s);
size_t smtp_server_bytes(const struct smtp_sizes *sizes);
/* For new sessions and, from their next command on, for running ones. */
void smtp_server_set_config(struct smtp_server *s, const struct smtp_config *c);

/* NULL: no slot left. Asks CONNECT at once, or behind the PROXY header that this peer must send; the
 * banner goes out with its answer. */
struct smtp_session *smtp_session_open(struct smtp_server *s, void *owner, uint64_t now_ms);
/* The connection is gone; ops->txn_end is called if a transaction was open and not submitted. */
void smtp_session_free(struct smtp_session *s);

/*
 * Consumes a prefix of p[0..n) and returns its length. 0 with n > 0 means it waits for an answer,
 * for room, or (a partial line was copied aside) never: partial lines are consumed. What was not
 * consumed is offered again after the next answer, also if more are open.
 */
size_t smtp_input(struct smtp_session *s, const uint8_t *p, size_t n, uint64_t now_ms);
/*
 * Phase TLS: the owner's handshake is complete, or has failed (an alert, if there is one, is on its
 * way). Nothing is taken in between.
 */
void smtp_tls_established(struct smtp_session *s);
void smtp_tls_failed(struct smtp_session *s);
/* Clear text came behind STARTTLS, before the answer to it: the session is cut. */
void smtp_tls_injected(struct smtp_session *s);
/* True while bytes may not be consumed: a question is open or there is no room. */
bool smtp_waiting(const struct smtp_session *s);
/*
 * The client closed its direction. To be called when every octet before the FIN was consumed. With
 * a question open its answer is still sent, and ops->close comes with it.
 */
void smtp_eof(struct smtp_session *s);

/*
 * Answers. `trace_id` (16 octets, may be NULL) is put into the reply to the message. An answer in
 * another phase is ignored; that it belongs to the oldest question that is open is the owner's to
 * check by its serial.
 */
void smtp_answer_connect(struct smtp_session *s, const struct smtp_reply *r);
void smtp_answer_rcpt(struct smtp_session *s, const struct smtp_reply *r);
void smtp_answer_message(struct smtp_session *s, const struct smtp_reply *r,
			 const uint8_t *trace_id);
/* Control died or the owner's deadline passed: every open question gets 451 4.3.2. */
void smtp_control_lost(struct smtp_session *s);
/* 421 as soon as nothing is pending (drain, VERDICT_CLOSE, eviction: `text` says why, and must live
 * as long as the server: a literal). */
void smtp_shutdown(struct smtp_session *s, struct str text);
/* The same, but DATA is not waited for: arena pressure, a window closed for too long. */
void smtp_evict(struct smtp_session *s, struct str text);

/* Next deadline in ms (absolute, same clock as now_ms), UINT64_MAX if none. */
uint64_t smtp_deadline(const struct smtp_session *s);
/*
 * The next session whose deadline has passed, each once: smtp_timeout() is to be called with it.
 * NULL: none now. *budget bounds the work and is lowered by it; at 0 there may be more.
 */
struct smtp_session *smtp_expired(struct smtp_server *s, uint64_t now_ms, unsigned int *budget);
void *smtp_owner(const struct smtp_session *s);
/*
 * To be called when the deadline has passed; harmless if called early. If the phase was
 * SMTP_PHASE_SUBMITTED before and is not after, the message was answered 451: the owner cancels it.
 */
void smtp_timeout(struct smtp_session *s, uint64_t now_ms);

enum smtp_phase {
	SMTP_PHASE_CONNECT, SMTP_PHASE_COMMAND, SMTP_PHASE_RCPT_ASKED, SMTP_PHASE_DATA,
	SMTP_PHASE_SUBMITTED, SMTP_PHASE_CLOSING, SMTP_PHASE_PROXY, SMTP_PHASE_TLS
};
/* DATA: content is under way, also between two chunks of BDAT, unless the message is refused. */
enum smtp_phase smtp_phase(const struct smtp_session *s);
/* RECORD_F_EARLY_TALKER and the like, for the record. */
uint32_t smtp_session_flags(const struct smtp_session *s);

/* What control is told when the session is over; to be asked before smtp_session_free(). */
struct smtp_end {
	uint32_t flags;    /* END_F_* */
	uint32_t errors;   /* commands refused for their form or order, since the client was named */
	uint32_t messages; /* submitted, likewise */
};
void smtp_session_end(const struct smtp_session *s, struct smtp_end *out);
/* Adds what others saw of the client: END_F_TLS_FAILED. */
void smtp_session_note(struct smtp_session *s, uint32_t end_flag);
