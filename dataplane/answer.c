/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/answer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "dataplane/args.h"
#include "dataplane/worker.h"
#include "postern/limits.h"

#define RULES_MAX ((off_t)1 << 30) /* as a push */

/* Digits up to `end`, at most max. */
static bool whole(const char *p, const char *end, unsigned long max, unsigned long *out)
{
	char *stop;

	if (p == end || *p < '0' || *p > '9')
		return false;
	*out = strtoul(p, &stop, 10);
	return stop == end && *out <= max;
}

static bool address(const char *p, size_t n, bool ip6, uint8_t out[16])
{
	char text[INET6_ADDRSTRLEN];

	if (n >= sizeof(text))
		return false;
	memcpy(text, p, n);
	text[n] = '\0';
	memset(out, 0, 16);
	if (ip6)
		return inet_pton(AF_INET6, text, out) == 1;
	out[10] = out[11] = 0xff;
	return inet_pton(AF_INET, text, out + 12) == 1;
}

int answer_parse_listen(const char *text, struct handoff_listener *out)
{
	const char *end = text + strlen(text), *equals = strchr(text, '='), *slash = strchr(text, '/'), *colon;
	unsigned long port, len, tcp = 25;
	bool ip6;

	if (!equals || !slash || slash < equals || !whole(text, equals, UINT16_MAX, &port))
		return -EINVAL;
	colon = strchr(slash, ':');
	ip6 = equals[1] == '[' && slash[-1] == ']';
	if (!whole(slash + 1, colon ? colon : end, ip6 ? 128 : 32, &len) ||
	    (colon && (!whole(colon + 1, end, UINT16_MAX, &tcp) || !tcp)))
		return -EINVAL;
	*out = (struct handoff_listener){.port = (uint16_t)port, .tcp_port = (uint16_t)tcp,
					 .prefix_len = (uint8_t)(ip6 ? len : len + 96)};
	if (!address(equals + 1 + ip6, (size_t)(slash - equals) - 1 - 2 * ip6, ip6, out->address))
		return -EINVAL;
	return 0;
}

static void make_config(const struct args *args, uint64_t max_message, struct handoff_config *out)
{
	*out = (struct handoff_config){
		.magic = HANDOFF_MAGIC,
		.size = sizeof(*out),
		.generation = 1,
		.hostname = "bench.invalid",
		.banner = "BENCH: MAIL IS THROWN AWAY",
		.max_message = max_message < DEFAULT_MAX_MESSAGE ? max_message : DEFAULT_MAX_MESSAGE,
		.max_rcpt = DEFAULT_MAX_RCPT,
		.max_errors = DEFAULT_MAX_ERRORS,
		.max_transactions = UINT32_MAX,
		.command_timeout_s = LIMIT_COMMAND_TIMEOUT_S,
		.data_timeout_s = LIMIT_DATA_BLOCK_TIMEOUT_S,
		.data_total_timeout_s = DEFAULT_DATA_TOTAL_S,
		.verdict_timeout_s = LIMIT_FINAL_REPLY_TIMEOUT_S,
		.max_idle = LIMIT_IDLE_COMMANDS_MAX,
		.max_idle_mode = MODE_OFF,
		.min_rate_mode = MODE_OFF,
		.min_rate_large_mode = MODE_OFF,
		/* A generator is few sources. */
		.arena_share = 100,
		.arena_share_mode = MODE_OFF,
		.n_listeners = args->n_listen,
	};
	memcpy(out->listener, args->listen, args->n_listen * sizeof(out->listener[0]));
}

/* The whole file, to be freed. */
static int read_rules(const char *path, void **out, size_t *len, char *err, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = 0;
	struct stat st;
	uint8_t *p = NULL;
	size_t n = 0;

	if (fd < 0 || fstat(fd, &st))
		rc = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_size > RULES_MAX || !st.st_size)
		rc = -EINVAL;
	if (!rc) {
		n = (size_t)st.st_size;
		/* As a push lies in memory. */
		p = aligned_alloc(4096, (n + 4095) / 4096 * 4096);
		rc = p ? 0 : -ENOMEM;
	}
	for (size_t at = 0; !rc && at < n;) {
		ssize_t k = read(fd, p + at, n - at);

		if (k <= 0)
			rc = k ? -errno : -EIO;
		else
			at += (size_t)k;
	}
	if (rc)
		snprintf(err, cap, "%s: %s", path, rc == -EINVAL ? "no file of rules" : strerror(-rc));
	if (rc)
		free(p);
	if (fd >= 0)
		close(fd);
	*out = rc ? NULL : p;
	*len = n;
	return rc;
}

int answer_push(const struct args *args, uint64_t max_message,
		int (*push)(void *arg, const struct dp_push *push, char *text, size_t cap), char *err,
		size_t cap)
{
	struct handoff_config config;
	struct dp_push p = {.generation = 1, .config = &config};
	void *rules = NULL;
	int rc = 0;

	make_config(args, max_message, &config);
	if (args->rules)
		rc = read_rules(args->rules, &rules, &p.rules_len, err, cap);
	p.rules = rules;
	if (!rc)
		rc = push(NULL, &p, err, cap);
	free(rules);
	return rc;
}

void answer_stats(FILE *out, struct worker *const *w, unsigned int n_workers)
{
	static const struct postern_counter_info info[] = {POSTERN_DP_COUNTERS(POSTERN_COUNTER_INFO)};
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	fprintf(out, "{\"type\":\"stats\",\"seconds\":%lld.%06ld,\"tsc\":%llu,\"tsc_hz\":%llu,\"workers\":[",
		(long long)ts.tv_sec, ts.tv_nsec / 1000, (unsigned long long)rte_rdtsc(),
		(unsigned long long)rte_get_tsc_hz());
	for (unsigned int i = 0; i < n_workers; i++) {
		const char *sep = "";

		fputs(i ? ",{" : "{", out);
		for (unsigned int c = 0; c < POSTERN_DP_COUNTER_COUNT; c++) {
			uint64_t v = __atomic_load_n(&w[i]->counters[c], __ATOMIC_RELAXED);

			if (!v)
				continue;
			fprintf(out, "%s\"%s\":%llu", sep, info[c].name, (unsigned long long)v);
			sep = ",";
		}
		fputc('}', out);
	}
	fputs("]}\n", out);
	fflush(out);
}

int answer_poll(uint32_t seconds, struct worker *const *w, unsigned int n_workers)
{
	static time_t next;
	struct timespec ts;

	usleep(100000);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	if (!seconds || ts.tv_sec < next)
		return 0;
	next = ts.tv_sec + seconds;
	answer_stats(stdout, w, n_workers);
	return 0;
}
