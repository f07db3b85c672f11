/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <argp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/smtpload/content.h"
#include "bench/smtpload/load.h"

enum {
	O_IDLE = 256,
	O_NO_EHLO,
	O_ACTIVE,
	O_MESSAGES,
	O_SIZE,
	O_RATE,
	O_TEXT,
	O_PIPELINE,
	O_BDAT,
	O_CORPUS,
	O_SKIP_BAD,
	O_TLS,
	O_THINK,
	O_THINK_COMMAND,
	O_PER_SESSION,
	O_SEED,
	O_BOOKS,
	O_CHURN,
	O_FLOOD,
	O_FLOOD_SOURCES,
	O_SECONDS,
	O_PROBE,
	O_ABANDON,
	O_GATE,
	O_JSON,
	O_TO,
	O_FROM_NET,
	O_SOURCES,
	O_WINDOW,
	O_CORE,
	O_HUGE,
	O_RING,
	O_NAP,
	O_RTO,
	O_NO_TS,
	O_MAIL,
	O_RCPT,
	O_HELO
};

static const struct argp_option options[] = {
	{"socket", 's', "PATH", 0, "the memif's socket; the gateway is its server", 1},
	{"to", O_TO, "IP:PORT", 0, "the gateway's listener (198.18.0.25:25)", 1},
	{"prefix", O_FROM_NET, "NET/LEN", 0,
	 "our addresses (10.0.0.0/8); the upper half is the flood's", 1},
	{"idle", O_IDLE, "N", 0, "sessions that say EHLO and then nothing", 2},
	{"no-ehlo", O_NO_EHLO, NULL, 0, "they do not even say that", 2},
	{"active", O_ACTIVE, "M", 0, "sessions that send one message after the other", 2},
	{"messages", O_MESSAGES, "K", 0, "in all, then stop (0: until --seconds)", 2},
	{"size", O_SIZE, "OCTETS[@WEIGHT],…", 0, "of a message (10000), or how many of each size",
	 2},
	{"corpus", O_CORPUS, "DIR", 0, "messages are the files in it, in place of --size", 2},
	{"skip-bad", O_SKIP_BAD, NULL, 0, "files of --corpus that are no messages are left out", 2},
	{"seed", O_SEED, "N", 0, "which message comes next, who thinks how long (1)", 2},
	{"rate", O_RATE, "R", 0,
	 "open loop: R messages a second are due, whether or not a session is free (0: none waits)",
	 2},
	{"text", O_TEXT, "FILE", 0, "lines that messages are made of (letters at random)", 2},
	{"pipeline", O_PIPELINE, NULL, 0,
	 "MAIL, RCPT and DATA at once; with --bdat the content, too", 2},
	{"bdat", O_BDAT, "CHUNK", OPTION_ARG_OPTIONAL,
	 "BDAT in place of DATA, in chunks of so many octets (the whole message)", 2},
	{"per-session", O_PER_SESSION, "N", 0,
	 "messages on a connection, then QUIT and another one (0: any number)", 2},
	{"think", O_THINK, "MS", 0, "wait before each message: MS, or evenly MIN-MAX, or exp:MEAN",
	 2},
	{"think-command", O_THINK_COMMAND, "MS", 0, "the same before each further command of it",
	 2},
	{"tls", O_TLS, "PERCENT", 0, "of --idle and --active that say STARTTLS", 2},
	{"churn", O_CHURN, "C", OPTION_ARG_OPTIONAL,
	 "sessions (256) that connect, read the banner, QUIT, and connect again", 2},
	{"syn-flood", O_FLOOD, "RATE", 0, "SYNs a second from addresses that never answer", 2},
	{"flood-sources", O_FLOOD_SOURCES, "N", 0, "of so many addresses (1000000)", 2},
	{"sources", O_SOURCES, "N", 0,
	 "addresses of sessions (one a session); with --syn-flood and no session, of the flood", 2},
	{"seconds", O_SECONDS, "S", 0, "length of the run (10, or until --messages are sent)", 3},
	{"window", O_WINDOW, "N", 0, "sessions being opened at once (256)", 3},
	{"probe", O_PROBE, NULL, 0, "at the end a NOOP on each idle session: which are alive?", 3},
	{"abandon", O_ABANDON, NULL, 0, "end without QUIT", 3},
	{"books", O_BOOKS, "FILE", 0, "a line a message: its id, reply, latency", 3},
	{"gate", O_GATE, NULL, 0, "wait for commands on standard input: run, probe, end", 3},
	{"json", O_JSON, NULL, 0, "one JSON object a line", 3},
	{"mail-from", O_MAIL, "MAILBOX", 0, "load@example.net", 4},
	{"rcpt-to", O_RCPT, "MAILBOX", 0, "b@example.com", 4},
	{"helo", O_HELO, "NAME", 0, "load.example.net", 4},
	{"core", O_CORE, "N", 0, "CPU to run on (0)", 5},
	{"huge", O_HUGE, NULL, 0, "use huge pages", 5},
	{"ring", O_RING, "LOG2", 0, "descriptors of the memif (10)", 5},
	{"nap-us", O_NAP, "US", 0, "sleep when there is nothing to do (0: spin)", 5},
	{"rto-ms", O_RTO, "MS", 0, "time-out of a segment (300)", 5},
	{"no-timestamps", O_NO_TS, NULL, 0, "SYNs offer MSS and window scale only", 5},
	{0},
};

static double number(struct argp_state *state, const char *text, double min, double max)
{
	char *end;
	double v;

	errno = 0;
	v = strtod(text, &end);
	if (errno || end == text || *end || !(v >= min && v <= max))
		argp_error(state, "%s: expected a number from %.0f to %.0f", text, min, max);
	return v;
}

static void address(struct argp_state *state, const char *text, char sep, uint32_t *ip,
		    unsigned int *n, double min, double max)
{
	const char *at = strchr(text, sep);
	char host[INET_ADDRSTRLEN];
	struct in_addr a;

	if (!at || (size_t)(at - text) >= sizeof(host))
		argp_error(state, "%s: expected an IPv4 address, %c and a number", text, sep);
	memcpy(host, text, (size_t)(at - text));
	host[at - text] = 0;
	if (inet_pton(AF_INET, host, &a) != 1)
		argp_error(state, "%s: not an IPv4 address", host);
	*ip = ntohl(a.s_addr);
	*n = (unsigned int)number(state, at + 1, min, max);
}

/* OCTETS[@WEIGHT],… */
static void sizes(struct argp_state *state, char *text, struct load_options *o)
{
	char *save = NULL;

	o->n_sizes = 0;
	for (char *w = strtok_r(text, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		char *at = strchr(w, '@');
		struct size_class *c = &o->size[o->n_sizes];

		if (o->n_sizes++ == LOAD_SIZES)
			argp_error(state, "--size: more than %u of them", LOAD_SIZES);
		if (at)
			*at++ = 0;
		c->octets = (uint32_t)number(state, w, 0, 64e6);
		c->weight = at ? number(state, at, 1e-6, 1e6) : 1;
	}
	if (!o->n_sizes)
		argp_error(state, "--size: how many octets?");
}

/* MS, MIN-MAX or exp:MEAN; kept in microseconds. */
static struct think think(struct argp_state *state, char *text)
{
	struct think t = {.kind = THINK_FIXED};
	char *dash = strchr(text, '-');

	if (strncmp(text, "exp:", 4) == 0) {
		t.kind = THINK_EXP;
		t.a = number(state, text + 4, 0, 3.6e6) * 1000;
		return t;
	}
	if (dash && dash > text) {
		*dash = 0;
		t.kind = THINK_EVEN;
		t.a = number(state, text, 0, 3.6e6) * 1000;
		t.b = number(state, dash + 1, 0, 3.6e6) * 1000;
		if (t.b < t.a)
			argp_error(state, "%s-%s: the longer time comes second", text, dash + 1);
		return t;
	}
	t.a = number(state, text, 0, 3.6e6) * 1000;
	return t;
}

/* It is put into commands and header fields. */
static const char *word_of(struct argp_state *state, const char *text)
{
	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c > '~' || *c == '<' || *c == '>')
			argp_error(state, "%s: only printable ASCII without spaces and brackets",
				   text);
	if (!*text || strlen(text) > 255)
		argp_error(state, "%s: 1 to 255 octets are wanted", text);
	return text;
}

static error_t parse_mail(int key, char *arg, struct argp_state *state, struct load_options *o)
{
	switch (key) {
	case O_SIZE:
		sizes(state, arg, o);
		break;
	case O_CORPUS:
		o->corpus = arg;
		break;
	case O_SKIP_BAD:
		o->skip_bad = true;
		break;
	case O_TEXT:
		o->text = arg;
		break;
	case O_SEED:
		o->seed = (uint64_t)number(state, arg, 0, UINT32_MAX);
		break;
	case O_BDAT:
		o->bdat = true;
		o->chunk = arg ? (uint32_t)number(state, arg, CONTENT_CHUNK_MIN, 64e6) : 0;
		break;
	case O_TLS:
		o->tls = number(state, arg, 0, 100) / 100;
		break;
	case O_THINK:
		o->think = think(state, arg);
		break;
	case O_THINK_COMMAND:
		o->think_command = think(state, arg);
		break;
	case O_PER_SESSION:
		o->per_session = (uint32_t)number(state, arg, 0, 1e9);
		break;
	case O_BOOKS:
		o->books = arg;
		break;
	case O_MAIL: /* RFC 5321 4.5.5: "" is the null reverse-path */
		o->from = *arg ? word_of(state, arg) : arg;
		break;
	case O_RCPT:
		o->rcpt = word_of(state, arg);
		break;
	case O_HELO:
		o->helo = word_of(state, arg);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static error_t parse_run(int key, char *arg, struct argp_state *state, struct load_options *o)
{
	switch (key) {
	case O_IDLE:
		o->idle = (uint32_t)number(state, arg, 0, LOAD_MAX_SESSIONS);
		break;
	case O_ACTIVE:
		o->active = (uint32_t)number(state, arg, 0, 1 << 20);
		break;
	case O_CHURN:
		o->churn = arg ? (uint32_t)number(state, arg, 0, 65536) : 256;
		break;
	case O_MESSAGES:
		o->messages = (uint64_t)number(state, arg, 0, 1e12);
		break;
	case O_RATE:
		o->rate = number(state, arg, 0, 1e7);
		break;
	case O_PIPELINE:
		o->pipeline = true;
		break;
	case O_FLOOD:
		o->flood = (uint64_t)number(state, arg, 1, 1e8);
		break;
	case O_FLOOD_SOURCES:
		o->flood_sources = (uint32_t)number(state, arg, 1, 1 << 30);
		break;
	case O_SOURCES:
		o->sources = (uint32_t)number(state, arg, 1, 1 << 30);
		break;
	case O_SECONDS:
		o->seconds = number(state, arg, 0, 86400);
		break;
	case O_WINDOW:
		o->window = (uint32_t)number(state, arg, 1, 65536);
		break;
	case O_NO_EHLO:
		o->ehlo = false;
		break;
	case O_PROBE:
		o->probe = true;
		break;
	case O_ABANDON:
		o->abandon = true;
		break;
	case O_GATE:
		o->gate = true;
		break;
	case O_JSON:
		o->json = true;
		break;
	default:
		return parse_mail(key, arg, state, o);
	}
	return 0;
}

static void check(struct argp_state *state, struct load_options *o)
{
	if (!o->socket)
		argp_error(state, "--socket is missing");
	if (o->prefix << o->prefix_len)
		argp_error(state, "--prefix: bits behind the prefix");
	if (!o->gate && !o->idle && !o->active && !o->churn && !o->flood)
		argp_error(state, "nothing to do: --idle, --active, --churn or --syn-flood");
	if (o->corpus && (o->n_sizes || o->text))
		argp_error(state, "--corpus has messages of its own: no --size, no --text");
	if (o->skip_bad && !o->corpus)
		argp_error(state, "--skip-bad is for --corpus");
	if (!o->n_sizes)
		o->size[o->n_sizes++] = (struct size_class){.octets = 10000, .weight = 1};
	/* --syn-flood RATE --sources N alone: N is meant for the flood. */
	if (o->flood && o->sources && !o->idle && !o->active && !o->churn)
		o->flood_sources = o->sources;
	if (o->seconds < 0)
		o->seconds = o->messages ? 0 : 10;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct load_options *o = state->input;
	unsigned int n;

	switch (key) {
	case 's':
		o->socket = arg;
		break;
	case O_TO:
		address(state, arg, ':', &o->to, &n, 1, 65535);
		o->to_port = (uint16_t)n;
		break;
	case O_FROM_NET:
		address(state, arg, '/', &o->prefix, &o->prefix_len, 4, 24);
		break;
	case O_CORE:
		o->core = (unsigned int)number(state, arg, 0, 1023);
		break;
	case O_HUGE:
		o->huge = true;
		break;
	case O_RING:
		o->ring_log2 = (unsigned int)number(state, arg, 6, 13);
		break;
	case O_NAP:
		o->nap_us = (uint32_t)number(state, arg, 0, 100000);
		break;
	case O_RTO:
		o->rto_ms = (uint32_t)number(state, arg, 50, 8000);
		break;
	case O_NO_TS:
		o->timestamps = false;
		break;
	case ARGP_KEY_ARG:
		argp_error(state, "%s: not an option", arg);
		break;
	case ARGP_KEY_END:
		check(state, o);
		break;
	default:
		return parse_run(key, arg, state, o);
	}
	return 0;
}

void args_parse(int argc, char **argv, struct load_options *out)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = "SMTP clients and SYN floods over memif, for the benches.",
	};

	*out = (struct load_options){
		.ring_log2 = 10,
		.ehlo = true,
		.timestamps = true,
		.to = 0xc6120019,
		.to_port = 25,
		.prefix = 0x0a000000,
		.prefix_len = 8,
		.flood_sources = 1000000,
		.window = 256,
		.seed = 1,
		.seconds = -1,
		.rto_ms = 300,
		.from = "load@example.net",
		.rcpt = "b@example.com",
		.helo = "load.example.net",
	};
	argp_parse(&argp, argc, argv, 0, NULL, out);
}
