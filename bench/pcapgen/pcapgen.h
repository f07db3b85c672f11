/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * pcapgen: captures of SMTP over TCP, and books of what is in them. It shares no code with
 * dataplane/, which it tests, and needs neither DPDK nor libpcap.
 *
 *     main.c     sessions interleaved in time; when the capture is long enough
 *     args.c     options
 *     mail.c     messages: from pools of made-up text and base64, or from files
 *     talk.c     a session's beginning and end; what each side says, and turn by turn who says it
 *     talk_message.c  a transaction in it
 *     session.c  addresses, ports, TCP options; from the dialogue to packets
 *     tcp.c      turns to segments and their acknowledgements, by a model of the receiver
 *     plant.c    anomalies in a flight of segments
 *     truth.c    what a right observer can know, once it is certain what the capture holds
 *     frame.c    descriptors to frames: Ethernet, 802.1Q, IP, fragments, TCP
 *     pcap.c     the file
 *     book.c     the books
 *
 * A session is made whole when it begins: both streams, then a descriptor for each packet, with
 * payload left where it is in the stream. Frames are made when they are written. Memory is what
 * the sessions at one time hold: their content, and 64 octets a packet.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/pcapgen/kinds.h"
#include "bench/pcapgen/rng.h"

#define GEN_SIZES_MAX    16u
#define GEN_MESSAGE_MAX  (256u << 20) /* octets of one message */
#define GEN_STREAM_MAX   (1u << 30)   /* octets of one direction: offsets stay within 32 bits */
#define GEN_RCPTS_MAX    100u         /* RFC 5321 4.5.3.1.8: servers take at least 100 */
#define GEN_FLIGHT_MAX   32u          /* segments between two waits */
#define GEN_FLIGHT_BYTES 60000u       /* of a flight: below a window without scale */
#define GEN_SNAPLEN      262144u      /* libpcap's MAXIMUM_SNAPLEN */

enum direction { C2S, S2C };

struct size_class {
	uint32_t low, high, weight;
};

struct gen_options {
	const char *out, *book, *from; /* from: a directory of messages, NULL: made up */
	uint64_t seed, sessions, octets;
	uint32_t concurrent;
	struct size_class size[GEN_SIZES_MAX];
	uint32_t n_sizes;
	uint32_t messages_max, rcpts_max; /* of a session, of a message */
	uint32_t mtu, reorder, port, servers;
	uint32_t with[F_COUNT], plant[A_COUNT]; /* ppm */
	uint64_t flood;                         /* SYNs a million packets */
	uint64_t syns;                          /* so many and nothing else */
	uint8_t mac[6];                         /* of the servers */
	uint8_t server[2][16];                  /* the first: IPv4 in the first four, IPv6 */
	bool microseconds;
};

extern const char *const feature_name[F_COUNT];
extern const char *const anomaly_name[A_COUNT];
/* Ends the program on wrong options. */
void args_parse(int argc, char **argv, struct gen_options *out);

/* ---- octets that grow; ends the program when there is no memory ------------------------------ */

struct buf {
	uint8_t *p;
	uint32_t n, cap;
};

uint8_t *buf_room(struct buf *b, uint32_t n); /* at the end, not yet counted */
void buf_add(struct buf *b, const void *p, uint32_t n);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *gen_grow(void *p, uint32_t n, uint32_t *cap, size_t size); /* room for n + 1 of them */

/* ---- what is in a session -------------------------------------------------------------------- */

/* One side speaks: octets from..to of its stream, `think` ns after the other ended. */
struct turn {
	uint32_t from, to;
	uint64_t think;
	enum direction dir;
};

enum expect {
	EXPECT_EXACT,   /* reported once, each field as here */
	EXPECT_OPTIONAL /* may be missing; nothing of it may be wrong */
};

enum lack { LACK_NONE, LACK_GAP, LACK_RST, LACK_FIN, LACK_END, LACK_RSET, LACK_REFUSED };

struct rcpt {
	uint32_t address; /* offset in `text`, NUL behind it */
	bool accepted;
};

/*
 * A message whose content was at least begun. Offsets in the client's stream:
 *     begin … content … end … past
 * begin: what belongs to it at all, from the end of the one before; end: behind the content's last
 * octet; past: behind the final dot (BDAT: equal to end).
 */
struct message {
	uint32_t begin, content, end, past;
	uint32_t reply_end; /* in the server's stream, behind the final reply; 0: there is none */
	uint32_t sender;    /* offset in `text` */
	uint32_t rcpt, n_rcpt;
	uint32_t extent, n_extent;
	uint32_t size;    /* octets, dots unstuffed */
	uint32_t missing; /* octets of the stream that the capture has not */
	uint16_t reply;   /* 0: none */
	uint8_t sha256[32];
	bool bdat, complete;
	bool ambiguous;   /* other octets came first: they may be taken, if that is reported */
	bool reply_maybe; /* which reply is its own may be past telling */
	bool whole;       /* each octet of it is in the capture, so that its hash can be known */
	uint8_t odd;      /* MAIL_… */
	enum expect expect;
	enum lack lack;
};

/* Octets of the client's stream that are content: of a gap in them it is known what is missing. */
struct extent {
	uint32_t from, to;
};

struct anomaly {
	enum anomaly_kind kind;
	enum direction dir;
	uint64_t packet;  /* 1 is the capture's first; 0: not in the capture */
	uint32_t from, n; /* octets of the stream it concerns */
	bool unsure;      /* an observer need not see it, whatever the table says */
};

/* Where a packet's payload lies. */
enum source { FROM_C2S, FROM_S2C, FROM_JUNK };

#define HOW_OPTIONS     1  /* SYN: MSS, SACK permitted, timestamps, window scale */
#define HOW_UNSEEN      2  /* the receiver gets it, the capture does not */
#define HOW_DECOY       4  /* the capture gets it, the receiver does not take it */
#define HOW_BAD_TCP     8  /* checksum */
#define HOW_BAD_IP      16 /* IPv4 header checksum; over IPv6 TCP's */
#define HOW_LOW_TTL     32
#define HOW_ACKED_FIRST 64  /* the capture has the acknowledgement before it */
#define HOW_LATE        128 /* after a round trip */
#define HOW_FRAGMENTS   256 /* in an order of the packet's number */
#define HOW_FRAG_OVER   512
#define HOW_FRAG_LOST   1024
#define HOW_SAME_FRAME  2048 /* as the packet before */
#define HOW_ANSWERED    4096 /* not taken, but acknowledged */

#define TH_FIN 1
#define TH_SYN 2
#define TH_RST 4
#define TH_PSH 8
#define TH_ACK 16

struct pkt {
	uint64_t time;     /* ns since the epoch */
	uint32_t seq, ack; /* offset + 1 in the stream: 0 is the SYN; added to the ISN */
	uint32_t data, n;  /* octets of `source` */
	uint32_t anomaly;  /* 1 + index; 0: none */
	uint32_t sack[2];  /* as seq; equal: none */
	uint32_t tsval;
	uint32_t tsecr;
	uint16_t how, id;
	uint8_t flags, dir, source;
};

struct flow {
	bool v6, timestamps, wscale;
	uint8_t address[2][16]; /* by direction of the sender; IPv4 in the first four */
	uint16_t port[2];
	uint8_t tags;
	uint16_t vlan[2];
	uint32_t isn[2], tsbase[2];
	uint16_t mss[2]; /* announced */
	uint8_t scale[2], ttl[2];
	uint16_t id[2];
	uint32_t segment[2]; /* largest payload sent, by direction */
};

enum sees { SEE_BOTH, SEE_CLIENT, SEE_SERVER }; /* whose packets the capture has */

struct session {
	uint64_t number;
	struct rng rng;
	struct flow flow;
	enum sees sees;
	bool esmtp, pipelining, tls;
	uint32_t tls_from[2]; /* offsets */
	enum { CLOSE_CLEAN, CLOSE_RST, CLOSE_FIN } close;
	bool reused, cut_start, cut_end, has_ttl_rst;

	struct buf stream[3]; /* by enum source */
	struct buf text;
	uint32_t said[2]; /* of the streams, what is in turns */
	struct turn *turn;
	struct message *msg;
	struct rcpt *rcpt;
	struct extent *extent;
	struct anomaly *anomaly;
	struct pkt *pkt;
	uint32_t n_turn, n_msg, n_rcpt, n_extent, n_anomaly, n_pkt, transactions;
	uint32_t cap_turn, cap_msg, cap_rcpt, cap_extent, cap_anomaly, cap_pkt;
	uint32_t next; /* packet to be written */
	uint64_t first_packet, last_packet;
};

/* ---- mail.c ---------------------------------------------------------------------------------- */

/* The pools of the seed, or the files of the directory: 0 or -errno, which says why on stderr. */
int mail_start(const struct gen_options *o);
void mail_stop(void);

struct mail_wanted {
	uint32_t size; /* wanted; what comes is within some hundred octets of it */
	bool binary, lookalike;
	const char *from, *to;
	uint64_t number; /* for Message-ID */
};

#define MAIL_NUL 1
#define MAIL_CR  2 /* bare */
#define MAIL_LF  4
#define MAIL_DOT 8 /* looks like an end of data */

/* Replaces what is in `out`. The content ends in CRLF unless binary. Returns what is odd in it. */
uint8_t mail_make(struct rng *r, const struct mail_wanted *w, struct buf *out);
/* Appends with dots doubled and the final dot (RFC 5321 4.5.2). */
void mail_stuff(struct buf *out, const uint8_t *p, uint32_t n);
void mail_sha256(const uint8_t *p, uint32_t n, uint8_t sum[32]);

/* ---- talk.c, talk_message.c ------------------------------------------------------------------ */

void talk_make(struct session *s, const struct gen_options *o);
/* One transaction; false: the session ends within it. */
bool talk_message(struct session *s, const struct gen_options *o, bool abort);
void talk_say(struct session *s, enum direction dir, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* What was said since is the client's turn, then the server's. */
void talk_turns(struct session *s);
/* The same, unless the client pipelines. */
void talk_wait(struct session *s);

/* ---- session.c, tcp.c, plant.c, truth.c ------------------------------------------------------ */

/*
 * Makes session `number`, begun at `time`. `s` may hold a former one, whose memory is used again;
 * `reuse`: its addresses and ports as well.
 */
void session_make(struct session *s, const struct gen_options *o, uint64_t number, uint64_t time,
		  bool reuse);
void session_free(struct session *s);

/* Turns to packets, SYN to last ACK. */
void tcp_make(struct session *s, const struct gen_options *o, uint64_t time);

struct flight {
	struct pkt p[GEN_FLIGHT_MAX * 3 + 64];
	uint32_t n;
	enum direction dir;
	uint32_t acked; /* of the sender's stream, before the flight; as seq */
	uint32_t peer;  /* what the sender acknowledges */
};

/* At most one anomaly, for which `s` gets an entry. */
void plant_flight(struct session *s, const struct gen_options *o, struct flight *f);
uint32_t plant_note(struct session *s, enum anomaly_kind kind, enum direction dir, uint32_t from,
		    uint32_t n);

/* The n octets of the client's stream from `from` are in no packet of the capture. */
void truth_gap(struct session *s, uint32_t from, uint32_t n);
/* The stream ends at this offset, within the message's content or before it. */
void truth_cut_content(struct session *s, struct message *m, uint32_t cut, enum lack lack);
/* The capture ends here: the streams are known up to these offsets. */
void truth_cut_end(struct session *s, uint32_t client, uint32_t server);
/* It began within the session; or nobody can say whether it went on behind these offsets. */
void truth_doubt(struct session *s, uint32_t client, uint32_t server);
/* Other octets than the server's came first here. */
void truth_ambiguous(struct session *s, uint32_t from, uint32_t n);
/* Are these octets of the client's stream content, with no end of data among them? */
bool truth_in_content(const struct session *s, uint32_t from, uint32_t n);

/* ---- frame.c, pcap.c, book.c ----------------------------------------------------------------- */

/* The MAC of what is on the servers' side. */
void frame_server_mac(const uint8_t mac[6]);
/* Writes the packet's frames. Returns their number. */
uint32_t frame_write(const struct session *s, const struct pkt *p);
/* A SYN from an address of nobody. */
void frame_syn(const struct gen_options *o, struct rng *r, uint64_t time);
uint64_t frame_sum(const uint8_t *p, uint32_t n, uint64_t sum);
uint16_t frame_fold(uint64_t sum);

int pcap_open(const char *path, bool microseconds);
/* Room for a frame of n octets, which must be filled before the next call. */
uint8_t *pcap_frame(uint64_t time, uint32_t n);
uint64_t pcap_packets(void);
uint64_t pcap_octets(void);
int pcap_close(void);

int book_open(const struct gen_options *o);
void book_session(const struct session *s);
int book_close(uint64_t sessions, uint64_t syns);

static inline void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}
