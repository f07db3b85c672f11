/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `quarantine list`, `show` and `delete`; release.c has the fourth. The disk is asked by a thread: the
 * request is answered when it has. */

#include <errno.h>
#include <string.h>

#include "control/loop.h"
#include "control/trace/facts.h"
#include "postern/limits.h"

#define SHOW_DEFAULT (64u * 1024) /* octets of the message that are shown */

bool commands_has_quarantine(const struct loop *l, struct api_request *req)
{
	if (!l->quarantine)
		api_error(req, "failed", "no quarantine is configured");
	return l->quarantine != NULL;
}

/* True: answered with an error. */
static bool is_error(struct api_request *req, const struct quarantine_answer *a)
{
	if (a->error == -ENOENT)
		api_error(req, "not-found", "there is no such message in quarantine");
	else if (a->error)
		api_error(req, "failed", "%s", a->why);
	return a->error != 0;
}

static const char *id_of(struct api_request *req, const json_t *body)
{
	const char *id = json_string_value(json_object_get(body, "id"));

	if (!id)
		api_error(req, "bad-request", "which message? \"id\" is missing");
	return id;
}

static void on_list(void *arg, const struct quarantine_answer *a)
{
	struct api_request *req = arg;

	if (!is_error(req, a))
		api_reply(req, json_pack("{s:O}", "messages", a->list));
}

void commands_quarantine_list(void *arg, struct api_request *req, const json_t *body)
{
	struct loop *l = arg;
	json_int_t limit = json_integer_value(json_object_get(body, "limit"));
	struct quarantine_filter f = {
		.rcpt = json_string_value(json_object_get(body, "rcpt")),
		.mail_from = json_string_value(json_object_get(body, "mail_from")),
		.limit = limit > 0 ? (size_t)limit : 0,
	};

	if (commands_has_quarantine(l, req) && quarantine_list(l->quarantine, &f, on_list, req))
		api_error(req, "failed", "out of memory");
}

static void on_show(void *arg, const struct quarantine_answer *a)
{
	struct api_request *req = arg;
	const struct quarantine_message *m = a->message;
	json_t *rcpts;
	size_t n;
	char ip[64];

	if (is_error(req, a))
		return;
	rcpts = json_array();
	for (size_t i = 0; i < m->n_rcpts; i++)
		json_array_append_new(rcpts, json_pack("{s:o, s:b}", "rcpt", trace_text(m->rcpt[i]),
						       "held", (int)m->held[i]));
	n = m->content.size < SHOW_DEFAULT ? m->content.size : SHOW_DEFAULT;
	api_reply(req, json_pack("{s:s, s:I, s:I, s:s, s:s, s:o, s:o, s:o, s:s, s:f, s:o, s:o, s:o, s:b}",
		"id", m->id, "time_ns", (json_int_t)m->time_ns, "size", (json_int_t)m->content.size,
		"route", m->route, "origin", ip_format(&m->origin, ip, sizeof(ip)), "helo",
		trace_text(m->helo), "mail_from", trace_text(m->mail_from), "message_id",
		trace_text(m->message_id), "reason", m->reason, "score", m->score, "rcpts", rcpts,
		"header_block", trace_text(m->block), "content",
		trace_text(str_make(m->content.iov[0].iov_base, n)), "cut", n < m->content.size));
}

void commands_quarantine_show(void *arg, struct api_request *req, const json_t *body)
{
	struct loop *l = arg;
	const char *id = commands_has_quarantine(l, req) ? id_of(req, body) : NULL;

	if (id && quarantine_get(l->quarantine, id, on_show, req))
		api_error(req, "failed", "out of memory");
}

static void on_deleted(void *arg, const struct quarantine_answer *a)
{
	struct api_request *req = arg;

	if (!is_error(req, a))
		api_reply(req, json_pack("{s:b}", "ok", true));
}

void commands_quarantine_delete(void *arg, struct api_request *req, const json_t *body)
{
	struct loop *l = arg;
	const char *id = commands_has_quarantine(l, req) ? id_of(req, body) : NULL;

	if (id && quarantine_delete(l->quarantine, id, on_deleted, req))
		api_error(req, "failed", "out of memory");
}
