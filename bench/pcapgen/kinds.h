/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What a run may be made of. FEATURES are what mail is like (--with NAME=PERCENT), with the
 * default; ANOMALIES are planted in it (--plant NAME=PERCENT), by default none.
 *
 * FEATURE(symbol, name, default in ppm, share of what, text)
 * ANOMALY(symbol, name, default of `all` in ppm, must, must1, share of what, text)
 *
 * must: an observer that reports nothing about it is wrong; must1: also when it sees one direction
 * only. What is in neither is usual on a network, and may be reported or not. A flight is what is
 * sent between two waits for an acknowledgement; one has at most one anomaly, so that each can be
 * judged by itself, and a rate is of the flights in which it is possible.
 */

#define FEATURES(X)                                                                                \
	X(PIPELINING, "pipelining", 600000, "sessions", "commands in groups (RFC 2920)")           \
	X(BDAT, "bdat", 250000, "messages", "BDAT in chunks (RFC 3030)")                           \
	X(BINARY, "binary", 100000, "BDAT messages", "NUL, bare CR and LF, no CRLF at the end")    \
	X(RSET, "rset", 40000, "transactions", "given up by RSET, half of BDAT between chunks")    \
	X(REFUSED_MAIL, "refused-mail", 10000, "transactions", "MAIL refused")                     \
	X(REFUSED_RCPT, "refused-rcpt", 80000, "recipients", "RCPT refused")                       \
	X(REFUSED_DATA, "refused-data", 15000, "transactions", "DATA refused")                     \
	X(REFUSED_MESSAGE, "refused-message", 40000, "messages", "refused at its end")             \
	X(STARTTLS, "starttls", 40000, "sessions", "STARTTLS, then octets as of TLS")              \
	X(REFUSED_STARTTLS, "refused-starttls", 10000, "sessions", "STARTTLS refused, goes on")    \
	X(AUTH, "auth", 80000, "sessions", "AUTH PLAIN or LOGIN; some are refused")                \
	X(HELO, "helo", 40000, "sessions", "HELO instead of EHLO")                                 \
	X(NULL_SENDER, "null-sender", 60000, "messages", "MAIL FROM:<>")                           \
	X(NO_QUIT, "no-quit", 30000, "sessions", "ends without QUIT")                              \
	X(IPV6, "ipv6", 300000, "sessions", "over IPv6")                                           \
	X(VLAN, "vlan", 100000, "sessions", "one 802.1Q tag")                                      \
	X(QINQ, "qinq", 30000, "sessions", "an 802.1ad and an 802.1Q tag")                         \
	X(NO_TIMESTAMPS, "no-timestamps", 200000, "sessions", "without RFC 7323 timestamps")       \
	X(NO_WSCALE, "no-wscale", 100000, "sessions", "without window scale")                      \
	X(SMALL_MSS, "small-mss", 50000, "sessions", "MSS of 536 (IPv4) or 1220 (IPv6)")           \
	X(SEQ_WRAP, "seq-wrap", 100000, "sessions", "sequence numbers pass 2^32")                  \
	X(CLIENT_ONLY, "client-only", 0, "sessions", "only the client's packets are captured")     \
	X(SERVER_ONLY, "server-only", 0, "sessions", "only the server's packets are captured")     \
	X(REUSE, "reuse", 20000, "sessions", "the same addresses and ports again")

#define ANOMALIES(X)                                                                               \
	X(LOST, "lost", 5000, true, true, "flights of the client",                                 \
	  "segments the capture missed and the receiver acknowledged")                             \
	X(LOST_REPLY, "lost-reply", 5000, true, true, "messages", "the same of the final reply")   \
	X(UPSTREAM_LOSS, "upstream-loss", 5000, false, false, "flights",                           \
	  "a hole that a retransmission fills")                                                    \
	X(RETRANSMIT, "retransmit", 5000, false, false, "flights", "sent again though it arrived") \
	X(DUPLICATE, "duplicate", 5000, false, false, "flights", "the same frame twice")           \
	X(REORDER, "reorder", 10000, false, false, "flights", "a segment comes late")              \
	X(ACK_EARLY, "ack-early", 2000, false, false, "flights",                                   \
	  "captured behind its acknowledgement, as mirror ports do")                               \
	X(TINY, "tiny", 5000, false, false, "flights", "segments of 1 to 8 octets")                \
	X(OVERLAP_SAME, "overlap-same", 5000, false, false, "flights",                             \
	  "retransmitted with other bounds")                                                       \
	X(OVERLAP_DIFFER, "overlap-differ", 5000, true, false, "flights",                          \
	  "other octets behind the first, before any acknowledgement")                             \
	X(OVERLAP_AHEAD, "overlap-ahead", 5000, true, true, "flights",                             \
	  "the same while a hole is before them")                                                  \
	X(TTL_DECOY, "ttl-decoy", 3000, true, true, "flights in content",                          \
	  "other octets first, with a TTL that does not reach the server")                         \
	X(TTL_RST, "ttl-rst", 500, false, false, "flights", "an exact RST with such a TTL")        \
	X(CHECKSUM, "checksum", 5000, true, true, "flights",                                       \
	  "other octets first, with a wrong checksum")                                             \
	X(OUT_OF_WINDOW, "out-of-window", 5000, true, false, "flights",                            \
	  "data half the sequence space away")                                                     \
	X(KEEPALIVE, "keepalive", 5000, false, false, "flights",                                   \
	  "a segment in front of the window")                                                      \
	X(RST_IN_WINDOW, "rst-in-window", 3000, true, false, "flights",                            \
	  "RST that is not exact (RFC 5961); the session goes on")                                 \
	X(RST_OUT_OF_WINDOW, "rst-out-of-window", 3000, true, false, "flights", "RST far away")    \
	X(FRAGMENTS, "fragments", 5000, false, false, "flights", "IP fragments in any order")      \
	X(FRAG_OVERLAP, "frag-overlap", 3000, false, false, "flights",                             \
	  "overlapping ones; the segment is sent again whole")                                     \
	X(FRAG_LOST, "frag-lost", 3000, false, false, "flights",                                   \
	  "one is missing; the segment is sent again whole")                                       \
	X(LOOKALIKE, "lookalike", 10000, false, false, "DATA messages",                            \
	  "ends of data that are none, with commands behind")                                      \
	X(ABORT_RST, "abort-rst", 5000, false, false, "sessions", "RST within a message")          \
	X(ABORT_FIN, "abort-fin", 5000, false, false, "sessions", "FIN within a message")          \
	X(CUT_START, "cut-start", 5000, false, false, "sessions", "begins before the capture")     \
	X(CUT_END, "cut-end", 5000, false, false, "sessions", "goes on behind the capture")        \
	X(FIN_DATA, "fin-data", 10000, true, false, "sessions (FIN first)",                        \
	  "a message behind the client's FIN")                                                     \
	X(FIN_AGAIN, "fin-again", 10000, false, false, "sessions", "FIN retransmitted")            \
	X(HALF_CLOSE, "half-close", 10000, false, false, "sessions", "FIN together with QUIT")

enum feature {
#define X(sym, ...) F_##sym,
	FEATURES(X)
#undef X
		F_COUNT
};

enum anomaly_kind {
#define X(sym, ...) A_##sym,
	ANOMALIES(X)
#undef X
		A_COUNT
};

#define A_FLIGHT_FIRST A_UPSTREAM_LOSS /* with A_LOST, those that plant.c plants */
#define A_FLIGHT_LAST  A_FRAG_LOST
