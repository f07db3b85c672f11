/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The contract between postern-dataplane and postern-control: link messages, shared memory, rings.
 *
 *   socket   UNIX SOCK_SEQPACKET, owned by the dataplane. struct link_* below, fds by SCM_RIGHTS.
 *   arena    memfd, written by the dataplane only, sealed FUTURE_WRITE|SHRINK|GROW|SEAL: control
 *            cannot get it writable. One slice per worker:
 *              slice = HANDOFF records[n_records] x 48 KiB, then chunks[n_chunks] x 64 KiB
 *   counters memfd, sealed like the arena: one struct handoff_counters per worker.
 *   rings    memfd, written by both, sealed SHRINK|GROW|SEAL; a new one with every epoch.
 *              struct rings_head, then for w in workers, l in loops:
 *              submit ring (dataplane -> control), verdict ring (control -> dataplane)
 *
 * Everything is an offset or an index, never a pointer. A reader copies a descriptor once into
 * private memory and validates the copy. Each side keeps private shadows of its ring indices and
 * believes from the other side only an index that is within the ring's capacity of its own.
 *
 * Ownership: SUBMIT hands record and chunks to control; a VERDICT with VF_RELEASE or a RELEASE
 * gives them back, or control's death (socket EOF and exit seen by pidfd). CANCEL only asks for it.
 * Field comments say who writes: (dp) dataplane, (ctl) control.
 */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define HANDOFF_MAGIC 0x504f5354u /* "POST" */
#define HANDOFF_VERSION 3u

#define HANDOFF_MAX_WORKERS 64u
#define HANDOFF_MAX_LOOPS 16u
/* Configurations that the dataplane holds at once: the newest, and those that scan messages still. */
#define HANDOFF_MAX_GENERATIONS 16u
#define HANDOFF_SLOT 64u
#define HANDOFF_RING_SLOTS 4096u /* each ring; a power of two */
#define HANDOFF_CHUNK (64u * 1024u)
/* 48 KiB: 100 recipients of 256 octets fit beside chunk list and matches (RFC 5321 4.5.3.1.8). */
#define HANDOFF_RECORD (48u * 1024u)
/* 50 MiB at 64 KiB a chunk is 800; with a margin for larger configured maxima (64 MiB). */
#define HANDOFF_MAX_CHUNKS 1024u
#define HANDOFF_MAX_MATCHES 512u
#define HANDOFF_MAX_RCPTS 512u
#define HANDOFF_MAX_ROUTES 256u /* that have a share of the arena; 0 is none */
#define HANDOFF_VERDICT_SLOTS 32u /* of 64 octets: head plus up to 2,008 octets of text */
#define HANDOFF_MAX_TEXT (HANDOFF_VERDICT_SLOTS * HANDOFF_SLOT - 40u)

/* ---- link ------------------------------------------------------------------------------- */

enum link_type {
	LINK_HELLO = 1,   /* ctl -> dp: first packet */
	LINK_WELCOME,     /* dp -> ctl: with fds arena, counters, rings, loop doorbells, worker doorbells */
	LINK_REFUSED,     /* dp -> ctl: text says why; then the socket is closed */
	LINK_PUSH,        /* ctl -> dp: one generation: memfds of configuration, TLS, rules */
	LINK_PUSH_ACK,    /* dp -> ctl: error 0, or errno and text; the old generation then stays */
	LINK_DRAIN,       /* ctl -> dp: arg 1: new connections get 421; 0: back to normal */
	LINK_PORTS,       /* ctl -> dp: asks; answered with LINK_PORTS_REPLY (text: JSON) */
	LINK_PORTS_REPLY,
};

/* Sixteen ports, each with its table of facts. */
#define LINK_TEXT 24576u

struct link_msg {
	uint32_t type;   /* enum link_type */
	uint32_t arg;
	uint64_t generation; /* of a push, and its ack */
	int32_t error;   /* 0 or positive errno */
	uint32_t text_len;
};

struct link_hello {
	struct link_msg head;
	uint32_t magic;
	uint32_t version;
	uint64_t layout_hash; /* HANDOFF_LAYOUT_HASH of the sender */
	uint32_t n_loops;     /* event loops that control runs, 1..HANDOFF_MAX_LOOPS */
	uint32_t pid;         /* informative; credentials come from the kernel */
};

struct link_welcome {
	struct link_msg head;
	uint32_t magic;
	uint32_t version;
	uint64_t layout_hash;
	uint64_t epoch;       /* of the rings; 1, 2, ... */
	uint32_t n_workers;
	uint32_t n_loops;
	uint64_t arena_size;  /* octets of the whole memfd */
	uint64_t slice_size;  /* octets per worker */
	uint32_t n_records;   /* per worker */
	uint32_t n_chunks;    /* per worker */
	uint64_t rings_size;
	uint64_t counters_size;
	uint64_t max_message; /* the largest message that this arena admits: slice / 8 */
};

/* Followed by text_len octets of text in REFUSED, PUSH_ACK, PORTS_REPLY. */

/* What the fds of a LINK_PUSH are, in order. Rules: dataplane/scan/bundle.h. */
enum push_kind { PUSH_CONFIG = 0, PUSH_RULES = 1, PUSH_TLS = 2 };

struct link_push {
	struct link_msg head;
	uint32_t n_fds;
	struct {
		uint8_t kind; /* enum push_kind, each once at most */
		uint8_t pad[7];
		uint64_t size;
	} fd[3];
};

/* ---- configuration pushed to the dataplane ------------------------------------------------ */

#define HANDOFF_MAX_LISTENERS 64u

struct handoff_listener {
	uint8_t address[16];  /* IPv4 mapped */
	uint16_t tcp_port;
	uint16_t port;        /* ethdev port id */
	uint16_t id;          /* index in control's configuration */
	uint8_t prefix_len;   /* of the 128-bit form */
	uint8_t pad;
};

/* In `listener` of descriptors and records: where no listener took the connection. */
#define HANDOFF_LISTENER_INLINE 0x8000u /* and the inline server's index; record.local is it */
#define HANDOFF_LISTENER_TAP 0xffffu

/* Peers that may name another client than themselves. */
#define HANDOFF_MAX_TRUSTS 256u
#define TRUST_XCLIENT 1u
#define TRUST_PROXY 2u        /* a connection begins with a PROXY header, always */

struct handoff_trust {
	uint8_t address[16];  /* IPv4 mapped */
	uint8_t prefix_len;   /* of the 128-bit form */
	uint8_t flags;        /* TRUST_* */
	uint8_t pad[2];
};

/* Servers whose SMTP is looked at in a cable (port role inline): what goes to `tcp_port` of an
 * address within the prefix. Everything else passes. The longest prefix counts. */
#define HANDOFF_MAX_INLINE 256u

enum handoff_inline_mode {
	INLINE_TERMINATE, /* in the server's name; it is the next hop */
	INLINE_OBSERVE,   /* packets pass; what they carry is watched as on a tap port */
	INLINE_BYPASS,    /* packets pass and are not looked at */
};

#define INLINE_F_TLS 1u       /* terminated: STARTTLS is offered; a certificate is of its name */
/* Terminated: our onward connections to it have the address of the client they speak for. */
#define INLINE_F_TRANSPARENT 2u

struct handoff_inline {
	uint8_t address[16];  /* of servers; IPv4 mapped */
	uint16_t tcp_port;
	uint16_t id;          /* HANDOFF_LISTENER_INLINE and the index in control's configuration */
	uint8_t prefix_len;   /* of the 128-bit form */
	uint8_t mode;         /* enum handoff_inline_mode */
	uint8_t flags;        /* INLINE_F_* */
	uint8_t name;         /* in banner and EHLO: inline_name[name - 1]; 0: hostname */
};

#define HANDOFF_MAX_INLINE_NAMES 32u

/* Clients whose flows pass although they go to such a server: our own onward connections, where
 * they have addresses of ours. */
#define HANDOFF_MAX_INLINE_OWN 64u

struct handoff_inline_own {
	uint8_t address[16];
	uint8_t prefix_len;
	uint8_t pad[3];
};

#define HANDOFF_MAX_TAP_PORTS 16u

/* What is done where a flow cannot be treated as configured: by the mode of its port and cause. */
enum handoff_port_mode { PORT_MODE_GATEWAY, PORT_MODE_INLINE, PORT_MODE_TAP, PORT_MODE_COUNT };

enum handoff_cause {
	CAUSE_CONTROL_DOWN, /* no control, and a new flow */
	CAUSE_NO_MEMORY,    /* no session, no buffers, and a new flow */
	CAUSE_MIDSTREAM,    /* its begin was not seen */
	CAUSE_FRAGMENT,     /* IP fragments */
	CAUSE_MALFORMED,    /* headers of IP or TCP that cannot be */
	CAUSE_GAP,          /* octets that the watcher did not see */
	CAUSE_COUNT
};

enum handoff_action {
	ACT_DEFAULT,   /* what stands in the table of docs/inline.md */
	ACT_DROP_FLOW, /* this packet, and all that come of its flow */
	ACT_PASS_FLOW, /* its packets pass; it is watched as far as that goes */
	ACT_BYPASS,    /* its packets pass and are not looked at any more */
	ACT_REJECT,    /* refused in the protocol's words: 4xx, or RST where nothing can be said */
	ACT_IGNORE,    /* as if nothing had been: the packet at hand is dropped or let by, as is usual */
	ACT_COUNT
};

/* How the client that is judged is known, if it is not the TCP peer. */
enum handoff_via { VIA_NONE, VIA_XCLIENT, VIA_PROXY };

enum handoff_down_action { DOWN_451 = 0, DOWN_421 = 1 };

/* What becomes of who passes a limit: it is acted upon, only counted, or not looked at. */
enum handoff_mode { MODE_ENFORCE, MODE_OBSERVE, MODE_OFF };
/* Who speaks before the greeting: noted, or refused. */
enum handoff_early { EARLY_OBSERVE, EARLY_REFUSE };

struct handoff_config {
	uint32_t magic;
	uint32_t size;        /* sizeof(struct handoff_config) */
	uint64_t generation;
	char hostname[256];   /* NUL-terminated, our name in banner and EHLO */
	uint64_t max_message; /* octets, as announced by SIZE */
	uint32_t max_rcpt;    /* per transaction */
	uint32_t max_errors;  /* per session, then 421 */
	uint32_t max_transactions; /* per session, then 421 */
	uint32_t max_line;    /* content line accepted, octets with CRLF; 0: any */
	uint32_t command_timeout_s;
	uint32_t data_timeout_s;     /* without progress in DATA */
	uint32_t data_total_timeout_s;
	uint32_t verdict_timeout_s;  /* backstop, 600 */
	uint32_t min_rate;    /* octets/s in DATA, on average since its start; 0: any */
	uint32_t min_rate_large; /* the same over the last minute, of a large message; 0: any */
	uint32_t max_idle;    /* commands without effect between messages; 0: the default */
	uint8_t down_action;  /* enum handoff_down_action */
	uint8_t refuse_bare_cr;
	uint8_t many_routes;  /* 1: recipients of different domains may need different routes */
	uint8_t early;        /* enum handoff_early */
	/* enum handoff_mode, of the limits above */
	uint8_t min_rate_mode;
	uint8_t min_rate_large_mode;
	uint8_t data_total_mode;
	uint8_t max_errors_mode;
	uint8_t max_idle_mode;
	uint8_t arena_share;  /* percent of a worker's slice that one source may hold; 0: the default */
	uint8_t arena_share_mode;
	uint8_t pad;
	/* Printable ASCII, NUL-terminated; empty: none. */
	char banner[128];     /* behind "220 host ESMTP" */
	char help[256];       /* of HELP, in place of the built-in text */
	char contact[128];    /* in our own 421 and 5xx: whom to ask */
	uint32_t n_listeners;
	struct handoff_listener listener[HANDOFF_MAX_LISTENERS];
	uint32_t n_trusts;
	struct handoff_trust trust[HANDOFF_MAX_TRUSTS];
	uint32_t n_inlines;
	struct handoff_inline inlined[HANDOFF_MAX_INLINE];
	uint32_t n_inline_own;
	struct handoff_inline_own inline_own[HANDOFF_MAX_INLINE_OWN];
	uint32_t n_inline_names;
	char inline_name[HANDOFF_MAX_INLINE_NAMES][256]; /* NUL-terminated */
	uint8_t exception[PORT_MODE_COUNT][CAUSE_COUNT]; /* enum handoff_action */
	uint8_t bypass;       /* 1: nothing of any cable is looked at */
	/* Of tap ports. */
	uint8_t tap_midstream; /* 1: connections as well whose begin was not seen */
	uint8_t tap_ignore_checksums;
	uint8_t pad2[3];
	uint32_t n_tap_ports; /* 0: those of the dataplane's command line */
	uint16_t tap_port[HANDOFF_MAX_TAP_PORTS]; /* TCP ports of the servers that are watched */
};

/* What the dataplane needs for STARTTLS: this, and behind it the octets that the refs point to. */
#define HANDOFF_MAX_CERTIFICATES 64u

struct handoff_tls_ref {
	uint32_t off;         /* from the begin of struct handoff_tls */
	uint32_t len;
};

struct handoff_tls {
	uint32_t magic;
	uint32_t size;        /* of the whole file */
	uint16_t min_version; /* 0x0303, 0x0304; 0: 0x0303 */
	uint8_t ask_client;   /* 1: any client is asked for a certificate, whoever issued it */
	uint8_t pad;
	uint32_t n_certificates;
	struct handoff_tls_ref ciphers;   /* len 0: built-in list */
	struct handoff_tls_ref client_ca; /* PEM; len 0: none verifies */
	struct {
		struct handoff_tls_ref chain, key; /* PEM */
	} certificate[HANDOFF_MAX_CERTIFICATES];
};

/* ---- rings ------------------------------------------------------------------------------ */

struct rings_head {
	uint32_t magic;
	uint32_t version;
	uint64_t layout_hash;
	uint64_t epoch;
	uint32_t n_workers;
	uint32_t n_loops;
	uint8_t pad0[32];
	struct {
		_Atomic uint64_t heartbeat;  /* (ctl) incremented at least every 500 ms */
		_Atomic uint32_t sleeping;   /* (ctl) 1: ring its doorbell; (dp) clears it then */
		uint8_t pad[52];
	} loop[HANDOFF_MAX_LOOPS];
	struct {
		_Atomic uint32_t sleeping;   /* (dp) 1: ring its doorbell; (ctl) clears it then */
		uint8_t pad[60];
	} worker[HANDOFF_MAX_WORKERS];
};

/* Single producer, single consumer. Indices run freely; slot = index & (slots - 1). */
struct ring_ctl {
	_Atomic uint32_t head;        /* producer: next slot to write */
	uint8_t pad0[60];
	_Atomic uint32_t tail;        /* consumer: next slot to read */
	uint8_t pad1[60];
};

struct handoff_ring {
	struct ring_ctl ctl;
	uint8_t slot[HANDOFF_RING_SLOTS][HANDOFF_SLOT];
};

/* Offset of the pair of (worker, loop) in the rings memfd: submit, then verdict. */
#define HANDOFF_RING_PAIR(w, l, n_loops) \
	(sizeof(struct rings_head) + ((size_t)(w) * (n_loops) + (l)) * 2u * sizeof(struct handoff_ring))
#define HANDOFF_RINGS_SIZE(n_workers, n_loops) HANDOFF_RING_PAIR(n_workers, 0, n_loops)

/* ---- dataplane -> control ------------------------------------------------------------------ */

enum desc_kind {
	DESC_CONNECT = 1,  /* question: may this peer speak? */
	DESC_RCPT,         /* question: is this recipient ours, and where does it go? */
	DESC_SUBMIT,       /* a whole message; ownership moves to control */
	DESC_CANCEL,       /* deadline or client gone: give the message back as soon as possible */
	DESC_REPLY_ACKED,  /* the client's TCP acknowledged our final reply to `question` */
	DESC_REPLY_LOST,   /* it did not, and never will */
	DESC_TXN_END,      /* transaction over without a message (RSET, disconnect, refused) */
	DESC_SESSION_END,  /* the session slot is free; nothing of it follows */
};

/* Why a session ended, and what it showed; several may hold. */
#define END_F_EARLY_TALKER (1u << 0)
#define END_F_FOREIGN (1u << 1)        /* another protocol */
#define END_F_ERRORS (1u << 2)         /* error budget used up */
#define END_F_TIMEOUT (1u << 3)        /* deadline of a phase */
#define END_F_SLOW (1u << 4)           /* data rate below the minimum */
#define END_F_TLS_FAILED (1u << 5)
#define END_F_PRESSURE (1u << 6)       /* sent away for want of memory: not the client's fault */

/* SUBMIT of what was watched: the session is nobody's, the record says RECORD_F_OBSERVED, and RELEASE
 * is all that is due. */
#define DESC_F_OBSERVED (1u << 0)

struct handoff_desc {
	uint8_t kind;          /* enum desc_kind */
	uint8_t flags;         /* DESC_F_* */
	uint16_t worker;
	uint32_t session;      /* slot in the worker's session table */
	uint32_t generation;   /* of that slot */
	uint32_t question;     /* serial within the session; answers quote it. Of RCPT several may be
				* open: consecutive ones, answered in order; a gap: those before it
				* are not awaited any more */
	union {
		struct {
			uint8_t peer[16];  /* the client that is judged; IPv4 mapped */
			uint8_t via_peer[16]; /* the TCP peer */
			uint16_t peer_port;
			uint16_t via_port;
			uint16_t listener;
			uint8_t via;       /* enum handoff_via; NONE: both are the same */
			uint8_t pad;
			uint64_t time_ns;  /* CLOCK_REALTIME */
		} connect;
		struct {
			uint32_t record;     /* index in the worker's slice */
			uint32_t record_gen; /* handoff_record.generation */
			uint32_t rcpt;       /* RCPT: index into handoff_record.rcpt */
			uint32_t transaction;/* serial within the session */
			uint64_t size;       /* SUBMIT: octets of content */
			uint64_t time_ns;
			uint8_t pad[16];
		} msg;
		struct {
			uint32_t flags;    /* END_F_* */
			uint32_t errors;   /* commands refused for their form or order */
			uint32_t messages; /* submitted */
			uint8_t pad[36];
		} end;                     /* SESSION_END */
		uint8_t raw[48];
	};
};

/* ---- message record ------------------------------------------------------------------------ */

enum handoff_view {
	VIEW_ENVELOPE, VIEW_HEADER, VIEW_BODY, VIEW_RAWBODY, VIEW_FULL, VIEW_URI, VIEW_ATTACHMENT,
	VIEW_COUNT
};

/* Texts that are scanned: a view by its number, header selector i as VIEW_COUNT + i
 * (dataplane/content/content.h). */
#define HANDOFF_MAX_SELECTORS 512u
#define HANDOFF_SLOTS (VIEW_COUNT + HANDOFF_MAX_SELECTORS)

struct handoff_ref { /* octets in handoff_record.text */
	uint16_t off;
	uint16_t len;
};

struct handoff_rcpt {
	struct handoff_ref addr;   /* mailbox without angle brackets, as the client wrote it */
	uint16_t accepted;         /* 1: answered 2xx */
	uint16_t pad;
};

#define HANDOFF_PRESENT UINT32_MAX /* in place of a pattern: the slot has a text */
#define HANDOFF_PARTIAL (UINT32_MAX - 1) /* ... and not all of it was looked at */

/* A gate (dataplane/scan/gate.h) has an entry for each place it was met at; where one of them counts
 * more than one, there are places that are not told. */
struct handoff_match {
	uint32_t rule;     /* pattern id in the database, or HANDOFF_* */
	uint16_t slot;     /* below HANDOFF_SLOTS */
	uint16_t count;    /* saturating */
	uint64_t end;      /* offset behind the first match, in the text of the slot */
};

enum handoff_proto { PROTO_SMTP, PROTO_ESMTP, PROTO_ESMTPS, PROTO_UTF8SMTP, PROTO_UTF8SMTPS };
enum handoff_body { BODY_7BIT, BODY_8BITMIME };

#define RECORD_F_BARE_LF (1u << 0)        /* content with bare LF (BDAT only) */
#define RECORD_F_BARE_CR (1u << 1)
#define RECORD_F_NUL (1u << 2)
#define RECORD_F_8BIT (1u << 3)
#define RECORD_F_BDAT (1u << 4)           /* came by BDAT */
#define RECORD_F_NO_FINAL_CRLF (1u << 5)  /* came by BDAT and does not end in CRLF */
#define RECORD_F_LONG_LINE (1u << 6)      /* a line over 1000 octets with CRLF */
#define RECORD_F_OVERLAP (1u << 7)        /* TCP overlap with differing bytes in this session */
#define RECORD_F_EARLY_TALKER (1u << 8)
#define RECORD_F_SCAN_PARTIAL (1u << 9)   /* scan stopped at a bound; text in no field */
#define RECORD_F_MATCHES_CUT (1u << 10)   /* more matches than fit */
#define RECORD_F_SMTPUTF8 (1u << 11)
#define RECORD_F_OBSERVED (1u << 12)      /* watched: nobody waits for a verdict; `observed` says more */
#define RECORD_F_TLV_CUT (1u << 13)       /* proxy_tlv does not hold all that were sent */
/* Of observed ones */
#define RECORD_F_ONE_WAY (1u << 14)       /* the server's octets are not in the feed */
#define RECORD_F_NO_MAIL (1u << 15)       /* its MAIL was not seen */
#define RECORD_F_ENVELOPE_CUT (1u << 16)  /* there were recipients that are not told */

/* What a record with RECORD_F_OBSERVED is about. */
enum observed_what {
	OBSERVED_MESSAGE,
	OBSERVED_UNJUDGED,  /* a message whose content could not be kept: n_chunks is 0 */
	OBSERVED_ENCRYPTED, /* a session that went over to TLS; no message */
	OBSERVED_WHAT_COUNT
};

/* Is all of it there? */
enum observed_whole {
	OBSERVED_WHOLE,
	OBSERVED_GAP,
	OBSERVED_ABORTED,
	OBSERVED_UNSURE, /* no octet is known to be missing; it may be none (docs/tap.md) */
	OBSERVED_WHOLE_COUNT
};

/* Why a message is not judged. */
enum observed_unjudged {
	UNJUDGED_NONE,
	UNJUDGED_CONTROL,   /* not there when its content began, or when it ended */
	UNJUDGED_ARENA,     /* no room */
	UNJUDGED_SIZE,      /* over max_message */
	UNJUDGED_RING,      /* full: counted only */
	UNJUDGED_RULES,     /* control's own: scanned by rules that are gone, or it found no memory */
	UNJUDGED_STOPPING,  /* the same: it ends, or the dataplane did */
	UNJUDGED_MALFORMED, /* the same: the header is malformed or oversized */
	UNJUDGED_TIMEOUT,   /* it took too long: data_total_timeout_s, or its rules went */
	UNJUDGED_COUNT
};

#define TLS_F_CLIENT (1u << 0)            /* the client sent a certificate */
#define TLS_F_VERIFIED (1u << 1)          /* which chains to client-ca */
#define TLS_F_RESUMED (1u << 2)

struct handoff_record {
	/* line 0: control re-reads these two right before the final dot */
	_Atomic uint32_t generation;   /* (dp) even: free, odd: in use; changes with every reuse */
	_Atomic uint32_t client_gone;  /* (dp) 1: nobody waits for the reply any more */
	uint32_t session;
	uint32_t session_gen;
	uint8_t trace_id[16];          /* text, [0-9A-Z], no NUL */
	uint64_t connected_ns;         /* CLOCK_REALTIME */
	uint64_t data_done_ns;
	uint8_t via_peer[16];          /* the TCP peer, where `via` is not NONE */

	/* line 1: connection facts */
	uint8_t peer[16];              /* the client that is judged */
	uint8_t local[16];
	uint16_t peer_port;
	uint16_t local_port;
	uint16_t listener;
	uint8_t proto;                 /* enum handoff_proto */
	uint8_t body;                  /* enum handoff_body */
	uint32_t srtt_us;
	uint32_t retransmits;
	uint32_t ooo_segments;
	uint32_t peer_window;
	uint8_t ttl;
	uint8_t handshake;             /* enum tcp_handshake */
	uint16_t tls_version;          /* 0: clear text; else 0x0303, 0x0304 */
	uint16_t via_port;
	uint8_t via;                   /* enum handoff_via */
	uint8_t pad1;

	/* line 2: message */
	uint64_t size;                 /* octets of content */
	uint64_t declared_size;        /* SIZE= of MAIL, or 0 */
	uint32_t header_size;          /* octets up to and with the empty line; 0: none found */
	uint32_t flags;                /* RECORD_F_* */
	uint32_t n_chunks;
	uint32_t n_matches;
	uint32_t n_rcpts;
	uint32_t text_len;             /* octets used in text */
	struct handoff_ref helo;       /* argument of HELO/EHLO */
	struct handoff_ref mail_from;  /* without brackets; len 0: null reverse-path */
	struct handoff_ref tls_cipher;
	uint32_t scan_generation;      /* of the databases */
	uint32_t transaction;
	uint32_t content_marks;        /* CONTENT_M_* (dataplane/content/content.h) */

	/* line 3: facts of TLS and of the PROXY header */
	uint8_t tls_client_sha256[32]; /* of the client's certificate, with TLS_F_CLIENT */
	struct handoff_ref tls_sni;    /* as sent, lower case */
	struct handoff_ref tls_client; /* first dNSName of its certificate, else CN; len 0: none */
	struct handoff_ref proxy_tlv;  /* TLVs of a PROXY header as they came: any octets */
	uint8_t tls_flags;             /* TLS_F_* */
	/* Facts of who only watched: with RECORD_F_OBSERVED */
	uint8_t observed;              /* enum observed_what */
	uint8_t observed_whole;        /* enum observed_whole */
	uint8_t observed_unjudged;     /* enum observed_unjudged */
	uint64_t observed_anomalies;   /* mask of enum tap_anomaly (dataplane/tap/tap.h) */
	uint32_t observed_gap;         /* octets missing, saturating */
	struct handoff_ref observed_reply; /* last line of the server's final reply; len 0: not seen */

	struct handoff_rcpt rcpt[HANDOFF_MAX_RCPTS];       /* 4 KiB */
	uint32_t chunk[HANDOFF_MAX_CHUNKS];                /* 4 KiB: chunk indices in the slice */
	struct handoff_match match[HANDOFF_MAX_MATCHES];   /* 8 KiB */
	uint8_t text[HANDOFF_RECORD - 256 - 4096 - 4096 - 8192];
};

/* ---- control -> dataplane ------------------------------------------------------------------ */

enum verdict_kind {
	VERDICT_CONNECT = 1, /* answer to DESC_CONNECT: code 220 accepts, 4xx/5xx is the banner */
	VERDICT_RCPT,        /* answer to DESC_RCPT */
	VERDICT_MESSAGE,     /* final reply to a SUBMIT */
	VERDICT_RELEASE,     /* record and chunks are free; no reply is due (answer to CANCEL) */
	VERDICT_CLOSE,       /* end this session with 421 as soon as it is idle */
};

#define VF_RELEASE (1u << 0) /* MESSAGE: record and chunks are free as well */
#define VF_GOOD (1u << 1)    /* CONNECT with 220: a source of good standing */

/* First slot; text continues in the following slots, `slots` in all. */
struct handoff_verdict {
	uint8_t kind;        /* enum verdict_kind */
	uint8_t slots;       /* 1..HANDOFF_VERDICT_SLOTS */
	uint16_t flags;      /* VF_* */
	uint32_t session;
	uint32_t generation;
	uint32_t question;
	uint32_t record;
	uint32_t record_gen;
	uint16_t code;       /* 200..599 */
	uint8_t enh_class;   /* 0: no enhanced code; else 2, 4, 5 */
	uint8_t pad;
	uint16_t enh_subject;
	uint16_t enh_detail;
	uint16_t text_len;   /* <= HANDOFF_MAX_TEXT; printable ASCII, single line, no CR LF */
	uint16_t route;      /* RCPT, 2xx: that of the transaction, below HANDOFF_MAX_ROUTES; 0: none */
	uint8_t route_share; /* percent of what is free and its own, 1..100; 0 with route 0 */
	uint8_t pad2[3];
	uint8_t text[24];
};

/* ---- counters ------------------------------------------------------------------------------ */

#define HANDOFF_COUNTER_BLOCK 8192u /* octets per worker */

struct handoff_counters {
	uint32_t magic;
	uint32_t n;          /* counters in use: POSTERN_DP_COUNTER_COUNT */
	uint64_t epoch;      /* start of this dataplane, CLOCK_REALTIME ns: restart detection */
	uint8_t pad[48];
	uint64_t value[(HANDOFF_COUNTER_BLOCK - 64) / 8]; /* single writer, relaxed stores */
};

/* ---- layout -------------------------------------------------------------------------------- */

_Static_assert(sizeof(struct handoff_desc) == HANDOFF_SLOT, "desc");
_Static_assert(sizeof(struct handoff_verdict) == HANDOFF_SLOT, "verdict");
_Static_assert(offsetof(struct handoff_verdict, text) == 40, "verdict text");
_Static_assert(sizeof(struct ring_ctl) == 128, "ring_ctl");
_Static_assert(sizeof(struct handoff_ring) == 128 + HANDOFF_RING_SLOTS * HANDOFF_SLOT, "ring");
_Static_assert(offsetof(struct handoff_record, peer) == 64, "record line 1");
_Static_assert(offsetof(struct handoff_desc, connect.via) == 54, "desc via");
_Static_assert(offsetof(struct handoff_record, via_peer) == 48, "record via_peer");
_Static_assert(offsetof(struct handoff_record, via) == 126, "record via");
_Static_assert(offsetof(struct handoff_record, size) == 128, "record line 2");
_Static_assert(offsetof(struct handoff_record, tls_client_sha256) == 192, "record line 3");
_Static_assert(offsetof(struct handoff_record, observed_anomalies) == 240, "record observed");
_Static_assert(offsetof(struct handoff_record, rcpt) == 256, "record rcpt");
_Static_assert(sizeof(struct handoff_record) == HANDOFF_RECORD, "record");
_Static_assert(sizeof(struct handoff_counters) == HANDOFF_COUNTER_BLOCK, "counters");
_Static_assert(sizeof(struct handoff_listener) == 24, "listener");
_Static_assert(sizeof(struct handoff_inline) == 24, "inline");
_Static_assert((HANDOFF_RING_SLOTS & (HANDOFF_RING_SLOTS - 1)) == 0, "ring slots");

/*
 * A number that changes with any layout change that matters: folds sizes and offsets of everything
 * above. Both binaries compute it from their own compile; hello refuses a difference.
 */
#define HL_MIX(h, v) (((h) ^ (uint64_t)(v)) * 0x100000001b3ull)
static inline uint64_t handoff_layout_hash(uint32_t n_counters)
{
	uint64_t h = 0xcbf29ce484222325ull;

	h = HL_MIX(h, HANDOFF_VERSION);
	h = HL_MIX(h, sizeof(struct handoff_desc));
	h = HL_MIX(h, sizeof(struct handoff_verdict));
	h = HL_MIX(h, offsetof(struct handoff_verdict, text_len));
	h = HL_MIX(h, offsetof(struct handoff_verdict, route));
	h = HL_MIX(h, sizeof(struct rings_head));
	h = HL_MIX(h, sizeof(struct handoff_ring));
	h = HL_MIX(h, sizeof(struct handoff_config));
	h = HL_MIX(h, offsetof(struct handoff_config, listener));
	h = HL_MIX(h, offsetof(struct handoff_config, inlined));
	h = HL_MIX(h, offsetof(struct handoff_record, chunk));
	h = HL_MIX(h, offsetof(struct handoff_record, match));
	h = HL_MIX(h, offsetof(struct handoff_record, text));
	h = HL_MIX(h, offsetof(struct handoff_record, tls_cipher));
	h = HL_MIX(h, offsetof(struct handoff_desc, connect.via));
	h = HL_MIX(h, offsetof(struct handoff_record, via_peer));
	h = HL_MIX(h, offsetof(struct handoff_record, via));
	h = HL_MIX(h, offsetof(struct handoff_record, observed_reply));
	h = HL_MIX(h, offsetof(struct handoff_config, tap_port));
	h = HL_MIX(h, HANDOFF_CHUNK);
	h = HL_MIX(h, VIEW_COUNT);
	h = HL_MIX(h, n_counters);
	return h;
}
