/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Lists of policy: any text is taken or told of, and each entry that was taken is found. */

#include <stdlib.h>
#include <string.h>

#include "control/config/access.h"
#include "postern/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config_set set;
static struct admission_nets nets;

static void sender_is_found(struct str line)
{
	uint8_t buf[LIMIT_ONWARD_PATH + 4];
	struct str domain = mailbox_domain(line);

	if (mailbox_local(line).n || domain.p[0] != '.') {
		if (!mailbox_local(line).n) {
			buf[0] = 'x';
			memcpy(buf + 1, line.p, line.n);
			line = str_make(buf, line.n + 1);
		}
	} else {
		memcpy(buf, "x@y", 3);
		memcpy(buf + 3, domain.p, domain.n);
		line = str_make(buf, domain.n + 3);
	}
	if (!config_listed_sender(&set, line))
		abort();
}

static void is_found(int kind, struct str line)
{
	char name[MAIL_ALABEL + 1];
	bool below = line.p[0] == '.';
	struct ip_net net;

	if (kind == 0) {
		if (!ip_net_parse(line, &net) || admission_nets_match(&nets, &net.addr) < 0)
			abort();
	} else if (kind == 1) {
		name[0] = 'x';
		name[1] = '.';
		if (!mail_alabel(str_skip(line, below), name + 2 * below))
			abort();
		if (!config_listed_domain(&set, name))
			abort();
	} else {
		sender_is_found(line);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static config_list_take *const take[] = {config_access_net, config_access_domain,
						 config_access_sender};
	struct config_error err[4];
	struct config_mem mem = {0};
	struct config_ctx ctx = {.file = "f", .err = err, .cap = 4};
	struct config_reader r = {.c = &ctx, .mem = &mem};
	int kind = size ? data[0] % 3 : 0;
	struct str text = str_skip(str_make(data, size), 1), rest = text;
	size_t room = config_list_count(text);
	struct config_access_nets into = {&nets, room};
	bool good;

	nets = (struct admission_nets){.net = config_alloc(&mem, room * sizeof(*nets.net))};
	if (!nets.net || !config_set_make(&r, NULL, &set, room, LIMIT_ACCESS_LIST))
		abort();
	good = config_list_lines(&r, "list", text, take[kind], kind ? (void *)&set : (void *)&into);
	if (good != (ctx.n_errors == 0))
		abort();
	admission_nets_sort(&nets);
	while (good && rest.n) {
		struct str line = str_cut(rest, str_find(rest, '\n'));

		rest = str_skip(rest, line.n + 1);
		line = str_trim(line);
		if (line.n && str_find(line, '#') == line.n)
			is_found(kind, line);
	}
	config_mem_free(&mem);
	config_mem_free(&ctx.mem);
	return 0;
}
