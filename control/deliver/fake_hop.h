/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * For tests: a next hop that says what the test wants, on loopback and on the same event base as the
 * client under test; a configuration built by hand; a resolver that answers what it is told.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/deliver/fake_tls.h"
#include "control/deliver/internal.h"

/* A reply without its last CRLF, or one of these. NULL: what a good server says. */
#define HOP_HANG "!hang"
#define HOP_RESET "!reset"       /* RST */
#define HOP_CLOSE "!close"       /* FIN */
#define HOP_GARBAGE "\x16\x03\x01 no smtp"
#define HOP_LONG "!long"         /* a line without end */
#define HOP_MANY "!many"         /* a reply of more lines than anybody reads */
#define HOP_MIXED "250-one\r\n251 two"
/* Replies to EHLO. */
#define HOP_CHUNKING "250-hop.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 CHUNKING"
#define HOP_PLAIN "250-hop.example.net\r\n250 PIPELINING"

struct hop_script {
	const char *banner, *ehlo, *helo, *mail, *rcpt[4], *data, *dot, *rset;
	const char *last;            /* reply to BDAT LAST; NULL: as dot */
	const char *mid_body;        /* said when the first content is in: a line, octets of a chunk */
	bool proxy;                  /* a PROXY header comes before the banner */
	const char *xclient, *xforward;
	const char *ehlo_again;      /* reply to the second EHLO of a connection; NULL: as ehlo */
	const char *apart;           /* under TLS: behind the first RCPT's reply, in a record of its own */
	const char *refuse;          /* RCPT of this mailbox hears refuse_with */
	const char *refuse_late;     /* so does the dot of a transaction with this one */
	const char *refuse_with;
	unsigned int dot_after_ms;   /* the reply to the message comes so late */
	bool no_read_body;           /* content is not read: the socket fills up */
	bool hold_rcpt;              /* RCPT replies come late, all at once */
	unsigned int close_idle_after; /* connections are closed after so many messages */
	bool die_at_second_mail;     /* a reused connection is closed when MAIL comes */
	SSL_CTX *tls;                /* STARTTLS is offered and done with it */
	const char *starttls;        /* reply to STARTTLS; what is not 220 stays in clear */
	const char *injected;        /* sent in clear right behind the 220, a whole line */
	const char *handshake;       /* HOP_HANG, HOP_CLOSE, HOP_RESET instead of it; or octets that
	                                answer its first message */
	const char *ehlo_tls;        /* reply to EHLO under TLS; NULL: as in clear */
};

struct hop {
	struct event_base *base;
	int fd;
	uint16_t port;
	struct event accept;
	struct hop_script script;
	TAILQ_HEAD(, hop_session) sessions;
	/* what happened */
	unsigned int accepted, open, most_open, messages, quits;
	unsigned int secured, resumed, client_certs;
	char sni[256];               /* last one asked for */
	bool data_before_replies;    /* DATA came while RCPT replies were held */
	char log[16384];             /* commands, one a line */
	uint8_t *content;            /* last message, unstuffed */
	size_t content_n;
	uint64_t raw_body;           /* octets received in body state */
	bool saw_dot;                /* or LAST */
	char client[64];             /* address of the last that connected */
	uint8_t header[2048];        /* PROXY, of the last connection */
	size_t header_n;
};

struct hop *hop_new(struct event_base *base);
/* Of 127.0.0.0/8; port 0: any. */
struct hop *hop_new_at(struct event_base *base, const char *ip, uint16_t port);
void hop_close_listener(struct hop *h);
void hop_close_all(struct hop *h);
void hop_free(struct hop *h);
/* Times `what` starts a line of the log. */
unsigned int hop_count(const struct hop *h, const char *what);

/* One route with up to three hosts. */
struct lab {
	struct event_base *base;
	struct deliver *d;
	struct config config;
	struct config_route route;
	struct config_host host[3];
	uint64_t declared_size;          /* of questions */
	const struct deliver_client *client;
	uint64_t counters[POSTERN_CTL_COUNTER_COUNT];
};

void lab_init(struct lab *l);
void lab_add(struct lab *l, const char *ip, uint16_t port);
void lab_add_name(struct lab *l, const char *name, uint16_t port);
/* Asserts that no reference to the configuration is left. */
void lab_fini(struct lab *l);
/* Runs the loop until *flag is set; fails the test after a long time. */
void lab_run(struct lab *l, const bool *flag);
/* Runs the loop for about so long. */
void lab_spin(struct lab *l, unsigned int ms);

struct sent {
	bool done;
	unsigned int calls;
	struct deliver_result result;
	struct deliver_rcpt_result rcpt[8];
	bool wanted;
	unsigned int asked;
	struct iovec iov[2];
	struct str to[8];
	struct deliver_job *job;
};

/* Starts a message to `n` recipients user0@..user3@example.com. text: content. */
void sent_start(struct lab *l, struct sent *s, const char *text, size_t n_rcpts);
/* The request that it starts, for tests that change it; then sent_go(). */
struct deliver_request sent_request(struct lab *l, struct sent *s, const char *text, size_t n_rcpts);
void sent_go(struct lab *l, struct sent *s, const struct deliver_request *req);
bool sent_wanted(void *arg);
void sent_callback(void *arg, const struct deliver_result *r);

struct asked {
	bool done;
	struct deliver_reply reply;
};
void asked_callback(void *arg, const struct deliver_reply *r);
struct deliver_question *ask(struct lab *l, struct asked *a, const char *from, const char *rcpt);
struct deliver_question *ask_utf8(struct lab *l, struct asked *a, const char *from, const char *rcpt);

/* What the resolver says: addresses of "mx.example.net" and any name that has no record below. */
#define FAKE_RECORDS 48
extern struct fake_dns {
	enum dns_status a, aaaa, tlsa;
	bool a_secure, aaaa_secure, tlsa_secure, mx_secure, cname_secure;
	enum dns_status cname;       /* of the alias itself */
	const char *alias;           /* the addresses are there */
	const char *tlsa_at;         /* NULL: at every name; else elsewhere there are none, */
	bool tlsa_else_insecure;     /* and no proof of it */
	char tlsa_name[256];         /* last one asked for */
	uint8_t tlsa_data[4][1024];
	size_t tlsa_len[4], n_tlsa;
	uint8_t a_data[4][4], aaaa_data[4][16];
	size_t n_a, n_aaaa;
	unsigned int asked, cancelled;
	struct fake_record {
		char name[256];      /* of the question */
		uint16_t type;
		enum dns_status status;
		uint8_t data[280];
		size_t len;          /* 0: a record of its status only */
	} record[FAKE_RECORDS];
	size_t n_records;
} fake_dns;
/* A record, or with text NULL only its status. MX: "10 host" or "0 ."; an address;
 * else the text of a TXT record. */
void fake_dns_add(const char *name, uint16_t type, enum dns_status status, const char *text);
