/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* trace and metrics. */

#include <stdio.h>
#include <string.h>

#include "control/config/config_value.h"
#include "postern/limits.h"

/* A path, or "none". */
static void read_trace_index(struct config_reader *r, const struct config_node *n, const struct config_key *k,
			     void *field)
{
	if (n->kind == NODE_STRING && !strcmp(n->text, "none"))
		*(char **)field = config_dup(r->mem, STR("none"));
	else
		read_path(r, n, k, field);
}

/* "unix:/path", or "address:port" with an IPv6 address in brackets. */
static void read_metrics_listen(struct config_reader *r, const struct config_node *n,
				const struct config_key *k, void *field)
{
	struct str s, host;
	struct ip_addr ip;
	uint16_t port;
	size_t colon;

	(void)k;
	if (!config_string(r, n))
		return;
	s = str_c(n->text);
	if (str_istarts(s, STR("unix:/"))) {
		if (s.n - 5 >= LIMIT_SOCKET_PATH)
			config_fail(r->c, n, NULL, "path of more than %u octets", LIMIT_SOCKET_PATH - 1);
		else
			*(char **)field = config_dup(r->mem, s);
		return;
	}
	for (colon = s.n; colon && s.p[colon - 1] != ':'; colon--)
		;
	host = str_cut(s, colon ? colon - 1 : 0);
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = str_cut(str_skip(host, 1), host.n - 2);
	else if (str_find(host, ':') < host.n)
		host = STR_NONE; /* IPv6 without brackets: which colon begins the port? */
	if (!host.n || !ip_parse(host, &ip) || !config_port(str_skip(s, colon), &port)) {
		config_fail(r->c, n, NULL, "expected \"address:port\", \"[IPv6 address]:port\" or "
			    "\"unix:/path\"");
		return;
	}
	*(char **)field = config_dup(r->mem, s);
}

static const struct config_key trace_keys[] = {
	{"file", CONFIG_TAKE(struct config, trace_file)},
	{"file-size", CONFIG_TAKE(struct config, trace.file_size)},
	{"files", CONFIG_TAKE(struct config, trace.files)},
	{"index", read_trace_index, CONFIG_FIELD(struct config, trace.index)},
	{"index-size", CONFIG_TAKE(struct config, trace.index_size)},
	{"index-age", CONFIG_TAKE(struct config, trace.index_age_s)},
	{"subjects", CONFIG_TAKE(struct config, trace.subjects)},
};
const struct config_binding config_of_trace = CONFIG_BINDING("trace", trace_keys);

static const struct config_key metrics_keys[] = {
	{"listen", read_metrics_listen, CONFIG_FIELD(struct config, metrics)},
};
const struct config_binding config_of_metrics = CONFIG_BINDING("metrics", metrics_keys);

void read_trace(struct config_reader *r, const struct config_node *n, const struct config_key *k, void *field)
{
	(void)k;
	config_read_section(r, n, &config_of_trace, field);
}

void read_metrics(struct config_reader *r, const struct config_node *n, const struct config_key *k, void *field)
{
	(void)k;
	/* Without the section there are none, so its default is not one of the whole. */
	((struct config *)field)->metrics = config_dup(r->mem, STR(DEFAULT_METRICS_LISTEN));
	config_read_section(r, n, &config_of_metrics, field);
}

/* Is `name` a file that rotation makes of the log, or the log itself? */
static bool is_log(const char *name, const char *file)
{
	size_t n = strlen(file);

	return !strncmp(name, file, n) && strspn(name + n, ".-0123456789") == strlen(name + n);
}

void config_check_trace(struct config_reader *r, const struct config_node *root)
{
	struct config *c = r->out;
	const struct config_node *trace = config_child(root, "trace");
	size_t n = strlen(c->trace_file);
	char text[LIMIT_CONFIG_STRING + 8];

	if (!c->trace.index) {
		if (n > 6 && !strcmp(c->trace_file + n - 6, ".jsonl"))
			n -= 6;
		snprintf(text, sizeof(text), "%.*s.db", (int)n, c->trace_file);
		c->trace.index = config_dup(r->mem, str_c(text));
	} else if (is_log(c->trace.index, c->trace_file)) {
		config_fail(r->c, config_child(trace, "index"), NULL, "is trace.file, or a name that its "
			    "rotation uses");
	}
}
