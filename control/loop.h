/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * One event loop and everything that lives on it. session.c answers the questions of a session,
 * session_rcpt.c those about recipients (access.c and grey.c: what policy says of them),
 * message.c takes a message from SUBMIT to its verdict, observe.c one that was only watched, hold.c into quarantine, redirect.c
 * to its mailbox, under_way.c finds one by its trace id, watched.c tells who watches of sessions, reload.c replaces the
 * configuration, main.c makes the loop and follows the link.
 * Nothing here blocks.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "control/admission/admission.h"
#include "control/api/api.h"
#include "control/compiler.h"
#include "control/deliver/deliver.h"
#include "control/gauges.h"
#include "control/greylist/greylist.h"
#include "control/handoff/handoff_ctl.h"
#include "control/indoubt/indoubt.h"
#include "control/judge/judge.h"
#include "control/quarantine/quarantine.h"
#include "control/replies.h"
#include "control/snapshot.h"
#include "control/sources.h"
#include "control/state/state.h"
#include "control/trace/trace.h"
#include "postern/stats.h"

/* Generations that messages may still name: those that the dataplane holds, and one that it gave up
 * while a message of it was on its way here. */
#define LOOP_SNAPSHOTS (HANDOFF_MAX_GENERATIONS + 1)
#define LOOP_PORTS_ASKED 16u   /* operators who wait for the dataplane's list of ports */
#define LOOP_BUCKETS 1024u    /* of the messages under way: a few hundred at once are many */
#define SESSION_FINALS 4      /* final replies whose ACK is awaited */
#define SESSION_SLOTS_MAX (1u << 21)
#define SESSION_PAGE 256u     /* sessions allocated at once */

struct hold;
struct journal;
struct message;
struct redirect;
struct session;
struct top;
struct watch;

/* A recipient that is not answered yet. */
struct session_question {
	struct session *session;
	struct handoff_desc desc;
	struct snapshot *snapshot;           /* it was active when this was asked */
	const struct config_route *route;    /* of it; NULL: refused without */
	char way[MAIL_ALABEL];               /* loop_way() */
	struct deliver_question *callout;    /* under way */
	struct spf_check *spf;               /* for the greylist, under way */
	void (*then)(struct session_question *q); /* behind it */
	struct deliver_reply truth;          /* what it hears if the greylist lets it */
	struct deliver_reply reply;          /* code 0: none yet */
	bool by_policy;                      /* refused for who sends: nobody guessed a recipient */
	TAILQ_ENTRY(session_question) link;
};
TAILQ_HEAD(session_questions, session_question);

/*
 * What a session has besides being there: a transaction, questions, a message, a final reply whose
 * ACK is awaited. Made when the first of these begins, freed with the last.
 */
struct session_work {
	struct session *session;

	/* the transaction */
	struct snapshot *snapshot;           /* of its first accepted recipient; NULL: none yet */
	const struct config_route *route;
	char way[MAIL_ALABEL];               /* of it: loop_way() */
	struct deliver_joined accepted;
	uint32_t transaction;
	struct load_ticket ticket;           /* of its route, from its first question to the end */

	struct session_questions questions;  /* its open recipients, in the order of asking */
	unsigned int n_questions, n_callouts;

	struct message *message;             /* in flight; it may outlive the session */
	struct { uint32_t question; char trace_id[17]; struct indoubt_ticket *ticket; } final[SESSION_FINALS];
	unsigned int next_final;
	TAILQ_ENTRY(session_work) all;
};
TAILQ_HEAD(session_works, session_work);

/* A session that does nothing is this and no more; it lies in the page of its slot. */
struct session {
	struct loop *loop;                   /* NULL: nobody is in this slot */
	struct session_work *work;           /* NULL: idle */
	uint64_t connected_ns;
	struct admission_ref source;         /* sources.c: where it is counted, or why not */
	struct ip_addr peer;
	uint32_t slot, generation;
	uint32_t messages, rcpts_refused;
	uint16_t worker, peer_port;
	uint16_t listener;
	uint8_t via;                         /* enum handoff_via */
	bool shed : 1;                       /* it heard that a route takes no more at the moment */
	bool greeted : 1, tls : 1;           /* a recipient was asked about; over TLS, as far as that shows */
};
_Static_assert(sizeof(struct session) <= 72, "a million of them are 72 MB");

struct session_page {
	uint32_t used;
	struct session session[SESSION_PAGE];
};

struct session_slots { /* of one worker */
	struct session_page **page;
	uint32_t n;
};

struct message {
	struct loop *loop;
	struct session *session;             /* NULL: gone */
	struct snapshot *snapshot;
	const struct config_route *route;
	struct ctl_submission *sub;
	struct load_ticket load;             /* of the route */
	struct judge *judge;
	struct deliver_job *job;
	struct deliver_client client;        /* the original sender */
	uint64_t started_us;
	struct hold *hold;                   /* hold.c: what is put into quarantine */
	struct redirect *redirect;           /* redirect.c: or sent to its mailbox */
	bool holding;                        /* it is being written */
	struct indoubt_id id;                /* if identified */
	bool identified;
	struct indoubt_ticket *ticket;       /* from before the onward dot, or of an earlier delivery */
	bool taken;                          /* by a next hop, or into quarantine */
	bool observed;                       /* observe.c: `job` is a copy for the journal */
	struct journal *journal;
	json_t *message_id, *subject;        /* for the record, once the verdict is out; subject: by option */
	char earlier[17];                    /* trace id of that one; "" if there is none */
	bool cancelled;                      /* the dataplane asked for it back */
	TAILQ_ENTRY(message) all;
	LIST_ENTRY(message) by_id;           /* under_way.c */
};
TAILQ_HEAD(message_all, message);
TAILQ_HEAD(release_all, release);
LIST_HEAD(message_bucket, message);

struct loop {
	struct event_base *base;
	struct dns *dns;
	struct spf_jail *spf;
	struct dkim_keys *keys;
	struct arc_pool *seals;
	bool spf_gone;                       /* its workers, for good; noted once */
	struct deliver *deliver;
	struct trace *trace;
	struct gauges *gauges;               /* NULL: no metrics */
	char metrics_error[256];             /* why nothing listens for them; "": it does, or is not to */
	struct quarantine *quarantine;       /* NULL: there is none */
	struct indoubt *indoubt;             /* NULL in tests only */
	struct state *state;                 /* persist.c */
	uint64_t breakers_saved_s, sts_saved_s, sts_saved; /* when, monotonic; at how many changes */
	struct greylist *greylist;           /* NULL: no policy wants it, or its file could not be had */
	struct { uint64_t second; unsigned int told; } refused; /* refused.c */
	struct sources *sources;             /* NULL: nothing is limited by source */
	struct api *api;
	struct watch *watch;                 /* NULL in tests only */
	struct top *top;                     /* commands_top.c: what it remembers; NULL: nobody has asked */
	struct { uint64_t n, at_ns; char text[256]; } alerts; /* ALERT lines of the log, and the last one */
	struct api_request *ports_asked[LOOP_PORTS_ASKED]; /* commands_ports.c: oldest first */
	unsigned int n_ports_asked;
	uint64_t counters[POSTERN_CTL_COUNTER_COUNT];
	struct judge_env judge_env;

	struct config_settings *start_settings; /* commands_config.h: of keys that need a restart */
	struct snapshot *active;             /* for new questions */
	struct snapshot *pending;            /* pushed, not acknowledged */
	struct snapshot *recent[LOOP_SNAPSHOTS]; /* by age, for matches under way */
	struct reload *reload;

	struct ctl_link *link;
	struct ctl_loop *rings;              /* NULL: the dataplane is not there */
	struct session_slots workers[HANDOFF_MAX_WORKERS];
	struct session_works works;
	struct message_all messages;
	struct release_all releases;         /* of messages in quarantine, under way */
	struct message_bucket under_way[LOOP_BUCKETS];
	size_t n_sessions, n_messages;
	size_t n_journal;                    /* copies under way */
	bool stopping;              /* SIGTERM came: what is under way is finished, nothing new begun */
	uint64_t started_ns, linked_ns;
	bool ready;                          /* the dataplane runs the active snapshot */
	char push_error[320];
};

/* session.c */
void session_desc(struct loop *l, const struct handoff_desc *d);
/* The dataplane is gone: no session is left. Messages whose dot is out go on. */
void session_end_all(struct loop *l);
/* The trace id of the final reply to `question`, and what hangs on its ACK, which it takes. */
void session_remember_final(struct session *s, uint32_t question, const char *trace_id,
			    struct indoubt_ticket *ticket);
/* What the session has under way; made if it has nothing. NULL: out of memory. */
struct session_work *session_work(struct session *s);
/* To be called when something of it is over; it may be gone afterwards. */
void session_work_done(struct session *s);
/* The first session at or behind this place, NULL: no more. *worker, *slot: its place. */
const struct session *session_next(const struct loop *l, uint32_t *worker, uint32_t *slot);

/* Listed in a relay section, in a trust section. */
bool session_is_relay(const struct config *c, const struct ip_addr *ip);
bool session_is_trusted(const struct config *c, const struct ip_addr *ip);

/* The client that is judged is the sender, as far as a connection shows: no relay, and nobody who may
 * yet name another. */
bool session_is_origin(const struct config *c, const struct session *s);

/* session_rcpt.c */
void session_rcpt(struct loop *l, struct session *s, const struct handoff_desc *d);
/* The transaction is over; nobody waits for what is open of it. */
void session_drop_transaction(struct session_work *k);

/* message.c */
void message_submit(struct loop *l, struct session *s, const struct handoff_desc *d);
void message_cancel(struct message *m);
void message_session_gone(struct message *m);
/* The dataplane is gone: whatever has not written its final dot is given up. */
void message_abort_all(struct loop *l);
void message_free_all(struct loop *l);

/* observe.c: a SUBMIT with DESC_F_OBSERVED */
void observe_submit(struct loop *l, const struct handoff_desc *d);

/* loop.c */
struct snapshot *loop_snapshot(struct loop *l, uint32_t scan_generation);
void loop_activate(struct loop *l, struct snapshot *s); /* takes the reference */
/* Drops the snapshots behind the `behind` that came before the active one. */
void loop_forget(struct loop *l, uint64_t behind);
/* CONTROL_REPLY_COUNT: none. */
enum control_reply loop_mailbox_problem(struct str mailbox);
/* Route of a recipient, by the rules of docs/smtp.md; NULL: not ours. */
const struct config_route *loop_route(const struct config *c, struct str mailbox);
/* Of a session in a cable: that of the server which was dialled; NULL: it is not listed (any more). */
const struct config_route *loop_route_at(const struct config *c, uint16_t listener,
					 const struct ip_addr *local, uint16_t port, struct str mailbox);
/* Beside its route: recipients of two ways share no transaction (config_route_way). */
void loop_way(const struct config_route *route, struct str mailbox, char out[MAIL_ALABEL]);
/* What a recipient hears for whom there is no route; problem: of loop_mailbox_problem(), or
 * CONTROL_REPLY_COUNT. */
struct ctl_reply loop_refusal(struct str mailbox, enum control_reply problem);

/* commands.c: what `posternctl` asks of the daemon. */
extern const struct api_command commands[];
extern const size_t n_commands;
/* commands_quarantine.c, release.c */
api_handler commands_quarantine_list, commands_quarantine_show, commands_quarantine_delete;
api_handler commands_quarantine_release;
/* A handler's first question: is there one? Else the request is answered. */
bool commands_has_quarantine(const struct loop *l, struct api_request *req);
/* Nobody calls back any more. */
void release_free_all(struct loop *l);
/* commands_sources.c */
api_handler commands_show_sources, commands_forgive_source;
/* commands_ports.c */
api_handler commands_show_ports;
void commands_ports_told(void *loop, struct str json);
/* Nobody answers any more. */
void commands_ports_lost(struct loop *l);
/* commands_breaker.c */
api_handler commands_show_breaker, commands_ack_breaker;
json_t *commands_breakers(const struct loop *l);
/* commands_routes.c */
api_handler commands_show_routes;
json_t *commands_routes(const struct loop *l);
/* commands.c: next hops */
json_t *commands_hosts(const struct loop *l);
/* commands_top.c */
api_handler commands_show_top;
void commands_top_free(struct loop *l);
/* commands_rules.c */
api_handler commands_show_rules;
/* commands_log.c */
api_handler commands_loglevel;
/* commands_config.c */
api_handler commands_show_config;
/* persist.c */
int persist_start(struct loop *l, char *err, size_t err_len);
void persist_second(struct loop *l);
void persist_stop(struct loop *l);
/* main.c */
struct quarantine_options main_quarantine_options(const struct config *c);
