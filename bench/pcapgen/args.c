/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <argp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/pcapgen/pcapgen.h"

#define SIZES_DEFAULT "1k-16k@70,16k-128k@22,128k-2m@8"
#define MTU_MAX       9600.0

const char *const feature_name[F_COUNT] = {
#define X(sym, name, ...) name,
	FEATURES(X)
#undef X
};

const char *const anomaly_name[A_COUNT] = {
#define X(sym, name, ...) name,
	ANOMALIES(X)
#undef X
};

enum {
	O_SEED = 256,
	O_SESSIONS,
	O_OCTETS,
	O_CONCURRENT,
	O_SIZE,
	O_MESSAGES,
	O_RCPTS,
	O_FROM,
	O_MTU,
	O_REORDER,
	O_PORT,
	O_SERVERS,
	O_WITH,
	O_PLANT,
	O_FLOOD,
	O_SYNS,
	O_MAC,
	O_SERVER,
	O_MICRO,
	O_LIST
};

static const struct argp_option options[] = {
	{"out", 'o', "FILE", 0, "the capture: pcap with nanoseconds; - is standard output", 1},
	{"book", 'b', "FILE", 0, "what is in it, a JSON object a line", 1},
	{"seed", O_SEED, "N", 0, "the same seed and options give the same octets (1)", 1},
	{"sessions", O_SESSIONS, "N", 0, "how many (1000; no bound with --octets)", 2},
	{"octets", O_OCTETS, "N", 0, "no new session once the capture has so many (k, m, g)", 2},
	{"concurrent", O_CONCURRENT, "N", 0, "at one time (32)", 2},
	{"messages", O_MESSAGES, "N", 0, "at most in a session (4)", 2},
	{"rcpts", O_RCPTS, "N", 0, "at most of a message (5)", 2},
	{"size", O_SIZE, "LOW[-HIGH][@WEIGHT],…", 0,
	 "octets of a message, each doubling as likely (" SIZES_DEFAULT ")", 2},
	{"from", O_FROM, "DIRECTORY", 0, "messages are the files in it, LF made CRLF", 2},
	{"with", O_WITH, "NAME=PERCENT,…", 0, "what mail is like; none: nothing of it (--list)", 3},
	{"plant", O_PLANT, "NAME=PERCENT,…", 0, "anomalies; all: each at its rate (--list)", 3},
	{"reorder-distance", O_REORDER, "N", 0, "segments that overtake one, at most (3)", 3},
	{"syn-flood", O_FLOOD, "PERCENT", 0, "SYNs of nobody, of the other packets (0)", 3},
	{"mtu", O_MTU, "N", 0, "of the link, 576 (IPv6: 1280) to 9600 (1500)", 4},
	{"port", O_PORT, "N", 0, "of the servers (25)", 4},
	{"syns", O_SYNS, "N", 0, "N SYNs and no session", 3},
	{"server", O_SERVER, "ADDRESS", 0,
	 "the first server, of its family (198.18.0.25, 2001:db8:25::25)", 4},
	{"server-mac", O_MAC, "MAC", 0, "to which the client's frames go (02:00:00:00:00:02)", 4},
	{"microseconds", O_MICRO, NULL, 0, "in the file, for readers that do not know nanoseconds",
	 4},
	{"servers", O_SERVERS, "N", 0, "their number (1)", 4},
	{"list", O_LIST, NULL, 0, "names for --with and --plant", 5},
	{0},
};

static double number(struct argp_state *state, const char *text, size_t n, double min, double max)
{
	char copy[32], *end;
	double v;

	snprintf(copy, sizeof(copy), "%.*s", (int)n, text);
	errno = 0;
	v = strtod(copy, &end);
	if (end != copy && *end && strchr("kmg", *end)) {
		v *= *end == 'k' ? 1 << 10 : *end == 'm' ? 1 << 20 : 1 << 30;
		end++;
	}
	if (errno || n >= sizeof(copy) || end == copy || *end || !(v >= min && v <= max))
		argp_error(state, "%.*s: expected a number from %.0f to %.0f", (int)n, text, min,
			   max);
	return v;
}

static double whole(struct argp_state *state, const char *text, double min, double max)
{
	return number(state, text, strlen(text), min, max);
}

static void mac(struct argp_state *state, const char *text, uint8_t out[6])
{
	unsigned int b[6];
	int end = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		   &end) != 6 ||
	    text[end])
		argp_error(state, "--server-mac %s: not a MAC address", text);
	for (int i = 0; i < 6; i++)
		out[i] = (uint8_t)b[i];
}

/* Calls `item` for each of a list with commas. */
static void list(struct argp_state *state, const char *text,
		 void (*item)(struct argp_state *, const char *, size_t))
{
	while (*text) {
		size_t n = strcspn(text, ",");

		if (n)
			item(state, text, n);
		text += n + (text[n] == ',');
	}
}

static void size_item(struct argp_state *state, const char *p, size_t n)
{
	struct gen_options *o = state->input;
	const char *at = memchr(p, '@', n), *dash = memchr(p, '-', n);
	size_t range = at ? (size_t)(at - p) : n, low = dash ? (size_t)(dash - p) : range;
	struct size_class c = {.weight = 1};

	if (o->n_sizes == GEN_SIZES_MAX)
		argp_error(state, "--size: more than %u classes", GEN_SIZES_MAX);
	c.low = (uint32_t)number(state, p, low, 1, GEN_MESSAGE_MAX / 2);
	c.high = c.low;
	if (dash)
		c.high = (uint32_t)number(state, dash + 1, range - low - 1, c.low,
					  GEN_MESSAGE_MAX / 2);
	if (at)
		c.weight = (uint32_t)number(state, at + 1, n - range - 1, 1, 1e6);
	o->size[o->n_sizes++] = c;
}

static bool rate(struct argp_state *state, const char *p, size_t n, const char *const *name,
		 uint32_t *ppm, uint32_t names)
{
	const char *eq = memchr(p, '=', n);
	size_t len = eq ? (size_t)(eq - p) : n;

	for (uint32_t i = 0; eq && i < names; i++) {
		if (strlen(name[i]) == len && !strncmp(name[i], p, len)) {
			ppm[i] = (uint32_t)(number(state, eq + 1, n - len - 1, 0, 100) * 1e4 + 0.5);
			return true;
		}
	}
	return false;
}

static void with_item(struct argp_state *state, const char *p, size_t n)
{
	struct gen_options *o = state->input;

	if (n == 4 && !strncmp(p, "none", n))
		memset(o->with, 0, sizeof(o->with));
	else if (!rate(state, p, n, feature_name, o->with, F_COUNT))
		argp_error(state, "--with %.*s: expected NAME=PERCENT, see --list", (int)n, p);
}

static void plant_item(struct argp_state *state, const char *p, size_t n)
{
	static const uint32_t all[A_COUNT] = {
#define X(sym, name, ppm, ...) ppm,
		ANOMALIES(X)
#undef X
	};
	struct gen_options *o = state->input;

	if (n == 3 && !strncmp(p, "all", n))
		memcpy(o->plant, all, sizeof(all));
	else if (!rate(state, p, n, anomaly_name, o->plant, A_COUNT))
		argp_error(state, "--plant %.*s: expected NAME=PERCENT, see --list", (int)n, p);
}

static void print_list(void)
{
	puts("--with, with the default in per cent:");
#define X(sym, name, ppm, what, text)                                                              \
	printf("  %-18s %5.1f of %-22s %s\n", name, (ppm) / 1e4, what, text);
	FEATURES(X)
#undef X
	puts("--plant, with the rate of `all`; * has to be reported, + by who sees one side only:");
#define X(sym, name, ppm, must, must1, what, text)                                                 \
	printf("  %-18s %5.2f of %-22s %s%s %s\n", name, (ppm) / 1e4, what, (must) ? "*" : " ",    \
	       (must1) ? "+" : " ", text);
	ANOMALIES(X)
#undef X
}

static void check(struct argp_state *state, struct gen_options *o)
{
	uint64_t flights = 0;

	for (enum anomaly_kind k = 0; k < A_COUNT; k++)
		if (k == A_LOST || (k >= A_FLIGHT_FIRST && k <= A_FLIGHT_LAST))
			flights += o->plant[k];
	if (flights > RNG_MILLION)
		argp_error(state, "--plant: rates of flights add up to %.1f per cent",
			   flights / 1e4);
	if (!o->out)
		argp_error(state, "--out is missing");
	if (o->book && !strcmp(o->book, "-") && !strcmp(o->out, "-"))
		argp_error(state, "--out and --book cannot both be standard output");
	if (o->mtu < 1280 && o->with[F_IPV6])
		argp_error(state, "--mtu: IPv6 wants 1280 (RFC 8200 5), or --with ipv6=0");
	if (!o->n_sizes)
		list(state, SIZES_DEFAULT, size_item);
	if (!o->sessions)
		o->sessions = o->octets ? UINT64_MAX / 2 : 1000;
}

static error_t parse_amount(int key, char *arg, struct argp_state *state, struct gen_options *o)
{
	switch (key) {
	case O_SEED:
		o->seed = (uint64_t)whole(state, arg, 0, 1e15);
		break;
	case O_SESSIONS:
		o->sessions = (uint64_t)whole(state, arg, 1, 2.5e11);
		break;
	case O_OCTETS:
		o->octets = (uint64_t)whole(state, arg, 1, 1e15);
		break;
	case O_CONCURRENT:
		o->concurrent = (uint32_t)whole(state, arg, 1, 100000);
		break;
	case O_MESSAGES:
		o->messages_max = (uint32_t)whole(state, arg, 1, 1000);
		break;
	case O_RCPTS:
		o->rcpts_max = (uint32_t)whole(state, arg, 1, GEN_RCPTS_MAX);
		break;
	case O_REORDER:
		o->reorder = (uint32_t)whole(state, arg, 1, GEN_FLIGHT_MAX);
		break;
	case O_SYNS:
		o->syns = (uint64_t)whole(state, arg, 1, 1e12);
		break;
	case O_FLOOD:
		o->flood = (uint64_t)(whole(state, arg, 0, 1e6) * 1e4 + 0.5);
		break;
	case O_MTU:
		o->mtu = (uint32_t)whole(state, arg, 576, MTU_MAX);
		break;
	case O_PORT:
		o->port = (uint32_t)whole(state, arg, 1, 65535);
		break;
	case O_SERVERS:
		o->servers = (uint32_t)whole(state, arg, 1, 65536);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct gen_options *o = state->input;

	switch (key) {
	case 'o':
		o->out = arg;
		break;
	case 'b':
		o->book = arg;
		break;
	case O_FROM:
		o->from = arg;
		break;
	case O_SERVER:
		if (inet_pton(AF_INET, arg, o->server[0]) != 1 &&
		    inet_pton(AF_INET6, arg, o->server[1]) != 1)
			argp_error(state, "--server %s: not an address", arg);
		break;
	case O_MAC:
		mac(state, arg, o->mac);
		break;
	case O_MICRO:
		o->microseconds = true;
		break;
	case O_SIZE:
		list(state, arg, size_item);
		break;
	case O_WITH:
		list(state, arg, with_item);
		break;
	case O_PLANT:
		list(state, arg, plant_item);
		break;
	case O_LIST:
		print_list();
		exit(0);
	case ARGP_KEY_ARG:
		argp_error(state, "%s: not an option", arg);
		break;
	case ARGP_KEY_END:
		check(state, o);
		break;
	default:
		return parse_amount(key, arg, state, o);
	}
	return 0;
}

void args_parse(int argc, char **argv, struct gen_options *out)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = "Captures of SMTP over TCP, with books of what is in them.",
	};

	*out = (struct gen_options){
		.seed = 1,
		.concurrent = 32,
		.messages_max = 4,
		.rcpts_max = 5,
		.mtu = 1500,
		.reorder = 3,
		.port = 25,
		.servers = 1,
		.mac = {2, 0, 0, 0, 0, 2},
		.server = {{198, 18, 0, 25}, {0x20, 1, 0xd, 0xb8, 0, 0x25, [15] = 0x25}},
#define X(sym, name, ppm, ...) .with[F_##sym] = (ppm),
		FEATURES(X)
#undef X
	};
	argp_parse(&argp, argc, argv, 0, NULL, out);
}
