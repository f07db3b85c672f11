/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The dialogue around the messages: banner, EHLO, STARTTLS, AUTH, QUIT. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/pcapgen/pcapgen.h"

#define THINK_MIN 20000u /* ns, of a side that has an answer at hand */
#define THINK_MAX 2000000u

void talk_say(struct session *s, enum direction dir, const char *format, ...)
{
	char line[1200];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line))
		abort(); /* a reply of ours that does not fit */
	buf_add(&s->stream[dir], line, (uint32_t)n);
}

static void turn(struct session *s, enum direction dir)
{
	struct turn *t;

	if (s->stream[dir].n == s->said[dir])
		return;
	s->turn = gen_grow(s->turn, s->n_turn, &s->cap_turn, sizeof(*s->turn));
	t = &s->turn[s->n_turn++];
	*t = (struct turn){.from = s->said[dir],
			   .to = s->stream[dir].n,
			   .think = rng_between(&s->rng, THINK_MIN, THINK_MAX),
			   .dir = dir};
	s->said[dir] = s->stream[dir].n;
}

void talk_turns(struct session *s)
{
	turn(s, C2S);
	turn(s, S2C);
}

void talk_wait(struct session *s)
{
	if (!s->pipelining)
		talk_turns(s);
}

static void greeting(struct session *s, bool helo)
{
	if (helo) {
		talk_say(s, C2S, "HELO client%llu.example.net\r\n", (unsigned long long)s->number);
		talk_say(s, S2C, "250 mx.example.com\r\n");
	} else {
		talk_say(s, C2S, "EHLO client%llu.example.net\r\n", (unsigned long long)s->number);
		talk_say(s, S2C,
			 "250-mx.example.com\r\n%s250-SIZE 268435456\r\n250-8BITMIME\r\n"
			 "250-AUTH PLAIN LOGIN\r\n250-STARTTLS\r\n250-ENHANCEDSTATUSCODES\r\n"
			 "250-BINARYMIME\r\n250 CHUNKING\r\n",
			 s->pipelining ? "250-PIPELINING\r\n" : "");
	}
	talk_turns(s);
}

/* Octets in the shape of TLS records (RFC 8446 5.1); nobody could read them. */
static void record(struct session *s, enum direction dir, uint8_t type, uint32_t n)
{
	const uint8_t head[5] = {type, 3, 3, (uint8_t)(n >> 8), (uint8_t)n};
	uint8_t *p;

	buf_add(&s->stream[dir], head, sizeof(head));
	p = buf_room(&s->stream[dir], n);
	for (uint32_t i = 0; i < n; i++)
		p[i] = (uint8_t)rng_next(&s->rng);
	s->stream[dir].n += n;
}

static void opaque(struct session *s)
{
	s->tls = true;
	s->tls_from[C2S] = s->stream[C2S].n;
	s->tls_from[S2C] = s->stream[S2C].n;
	record(s, C2S, 22, 300);
	record(s, S2C, 22, 2400);
	talk_turns(s);
	for (uint64_t i = rng_between(&s->rng, 3, 12); i--;) {
		record(s, C2S, 23, (uint32_t)rng_between(&s->rng, 30, 8000));
		record(s, S2C, 23, (uint32_t)rng_between(&s->rng, 30, 90));
		talk_turns(s);
	}
}

/*
 * RFC 4954. A continuation line may look like a command: "RSET" and "DATA" are base64 of three
 * octets each, and somebody's password. Where the server's 334 is not seen that cannot be known.
 */
static void auth(struct session *s)
{
	static const char *const password[] = {"RSET", "DATA", "QUIT", "c2VjcmV0", "cGFzc3dvcmQx"};
	bool refused = rng_below(&s->rng, 5) == 0;

	if (s->sees == SEE_CLIENT || rng_below(&s->rng, 2)) {
		talk_say(s, C2S, "AUTH PLAIN AHVzZXIAc2VjcmV0\r\n");
	} else {
		talk_say(s, C2S, "AUTH LOGIN\r\n");
		talk_say(s, S2C, "334 VXNlcm5hbWU6\r\n");
		talk_turns(s);
		talk_say(s, C2S, "dXNlcg==\r\n");
		talk_say(s, S2C, "334 UGFzc3dvcmQ6\r\n");
		talk_turns(s);
		talk_say(s, C2S, "%s\r\n", password[rng_below(&s->rng, 5)]);
	}
	talk_say(s, S2C, refused ? "535 5.7.8 Credentials invalid\r\n" : "235 2.7.0 Accepted\r\n");
	talk_turns(s);
}

/* False: nothing but octets of TLS follows. */
static bool starttls(struct session *s, const struct gen_options *o)
{
	bool refused = s->sees != SEE_CLIENT && rng_hit(&s->rng, o->with[F_REFUSED_STARTTLS]);

	if (!refused && !rng_hit(&s->rng, o->with[F_STARTTLS]))
		return true;
	talk_say(s, C2S, "STARTTLS\r\n");
	talk_say(s, S2C, refused ? "454 4.7.0 Not now\r\n" : "220 2.0.0 Go ahead\r\n");
	talk_turns(s);
	if (!refused)
		opaque(s);
	return refused;
}

static void messages(struct session *s, const struct gen_options *o)
{
	uint32_t n = (uint32_t)rng_between(&s->rng, 1, o->messages_max), abort_in = UINT32_MAX;

	if (rng_hit(&s->rng, o->plant[A_ABORT_RST]))
		s->close = CLOSE_RST;
	else if (rng_hit(&s->rng, o->plant[A_ABORT_FIN]))
		s->close = CLOSE_FIN;
	if (s->close != CLOSE_CLEAN)
		abort_in = (uint32_t)rng_below(&s->rng, n);
	for (uint32_t i = 0; i < n; i++) {
		if (s->stream[C2S].n > GEN_STREAM_MAX - 2 * GEN_MESSAGE_MAX)
			break;
		/* An abort needs content: a transaction that is refused before is followed by
		 * another. */
		if (!talk_message(s, o, i >= abort_in))
			return;
		if (rng_below(&s->rng, 30) == 0) {
			talk_say(s, C2S, "NOOP\r\n");
			talk_say(s, S2C, "250 2.0.0 Ok\r\n");
			talk_wait(s);
		}
	}
	s->close = CLOSE_CLEAN;
}

void talk_make(struct session *s, const struct gen_options *o)
{
	bool helo = rng_hit(&s->rng, o->with[F_HELO]);

	s->esmtp = !helo;
	s->pipelining = !helo && rng_hit(&s->rng, o->with[F_PIPELINING]);
	if (rng_below(&s->rng, 10) == 0)
		talk_say(s, S2C, "220-mx.example.com ESMTP\r\n220 no unsolicited mail\r\n");
	else
		talk_say(s, S2C, "220 mx.example.com ESMTP\r\n");
	talk_turns(s);
	greeting(s, helo);
	if (!helo && !starttls(s, o))
		return;
	if (!helo && rng_hit(&s->rng, o->with[F_AUTH]))
		auth(s);
	messages(s, o);
	if (s->close == CLOSE_CLEAN && !rng_hit(&s->rng, o->with[F_NO_QUIT])) {
		talk_say(s, C2S, "QUIT\r\n");
		talk_say(s, S2C, "221 2.0.0 Bye\r\n");
	}
	talk_turns(s);
}
