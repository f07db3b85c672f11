/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * `quarantine release`: the original octets, envelope and header block as they would have gone out, to
 * the next hop that is configured for the recipients now. What a next hop took is taken off the
 * message's list, before the operator hears so; with nobody left the message is deleted. A crash between
 * the two makes a duplicate, never a loss. A message is released by one request at a time: two that
 * began together would both find its recipients held, and both deliver.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/loop.h"
#include "control/note.h"
#include "control/trace/facts.h"

struct release {
	TAILQ_ENTRY(release) all;
	struct loop *loop;
	char *id;
	struct api_request *req;
	struct snapshot *snapshot;
	struct quarantine_message *message;
	json_t *wanted;                  /* addresses; NULL: all that are held */
	uint8_t *open;                   /* by recipient: is to be tried */
	uint8_t *taken;                  /* the next hop of this transaction has it */
	json_t *answer;                  /* an object a recipient */

	/* the transaction under way */
	struct str *rcpt;
	size_t *at, n_rcpts;             /* their places in the message */
	struct deliver_client client;    /* where the server of a cable gets it */
	struct annotate_output out;
	struct mail_range *range;
};

static void next_group(struct release *r);

static void release_free(struct release *r)
{
	TAILQ_REMOVE(&r->loop->releases, r, all);
	free(r->id);
	annotate_free(&r->out);
	free(r->range);
	free(r->open);
	free(r->taken);
	free(r->rcpt);
	free(r->at);
	quarantine_message_free(r->message);
	snapshot_unref(r->snapshot);
	json_decref(r->wanted);
	json_decref(r->answer);
	free(r);
}

static void fail(struct release *r, const char *code, const char *error)
{
	api_error(r->req, code, "%s", error);
	release_free(r);
}

static void finish(struct release *r, const char *error)
{
	bool all = true;
	json_t *o;
	size_t i;

	if (error) {
		fail(r, "failed", error);
		return;
	}
	json_array_foreach(r->answer, i, o)
		all &= json_is_true(json_object_get(o, "released"));
	api_reply(r->req, json_pack("{s:b, s:O}", "ok", all, "rcpts", r->answer));
	release_free(r);
}

static void tell(struct release *r, size_t i, bool released, const struct deliver_reply *said,
		 const char *text)
{
	char buf[512];

	snprintf(buf, sizeof(buf), "%s", text);
	if (said && said->code)
		snprintf(buf, sizeof(buf), "%u %u.%u.%u %s", said->code, said->enh_class,
			 said->enh_subject, said->enh_detail, said->text);
	json_array_append_new(r->answer, json_pack("{s:o, s:b, s:o}", "rcpt",
						   trace_text(r->message->rcpt[i]), "released",
						   released, "reply", trace_text(str_c(buf))));
}

static void record(const struct release *r, size_t k, const struct deliver_result *res)
{
	const struct quarantine_message *m = r->message;
	const struct deliver_rcpt_result *v = &res->rcpt[k];
	char ip[64];
	json_t *o = json_pack("{s:s, s:o, s:s, s:o, s:o, s:s, s:o, s:s, s:I, s:s, s:o}", "trace_id", m->id,
			      "message_id", trace_text(m->message_id), "origin",
			      ip_format(&m->origin, ip, sizeof(ip)), "mail_from",
			      trace_text(m->mail_from), "rcpt", trace_text(r->rcpt[k]), "outcome",
			      trace_outcome_name(v->outcome == DELIVER_DELIVERED  ? TRACE_DELIVERED
						 : v->outcome == DELIVER_REJECTED ? TRACE_REJECTED
										  : TRACE_DEFERRED),
			      "next_hop", trace_text(str_c(res->host)), "stage", res->stage, "size",
			      (json_int_t)m->content.size, "how", "released from quarantine", "route",
			      json_string(m->route));

	if (res->egress[0])
		json_object_set_new(o, "egress", json_string(res->egress));
	json_object_set_new(o, "next_hop_reply", trace_text(str_c(v->next_hop.text)));
	trace_write(r->loop->trace, o);
}

static void on_struck_off(void *arg, const struct quarantine_answer *a)
{
	struct release *r = arg;

	if (a->error && a->error != -ENOENT) {
		note(NOTE_ERROR, "quarantine: message %s was released and is still on the list: %s",
			r->message->id, a->why);
	}
	next_group(r);
}

/* Deliver stops before DATA when one recipient is refused. Those who were not are tried again without
 * it: there is a refusal less each time, so this ends. */
static bool try_without(struct release *r, const struct deliver_result *res)
{
	size_t refused = 0, good = 0;

	for (size_t k = 0; res->rcpt && k < r->n_rcpts; k++) {
		refused += res->rcpt[k].next_hop.code >= 400;
		good += res->rcpt[k].outcome == DELIVER_DELIVERED;
	}
	return refused && refused < r->n_rcpts && !good;
}

static void on_delivered(void *arg, const struct deliver_result *res)
{
	struct release *r = arg;
	size_t n = 0, total = r->message->n_rcpts;
	bool again = try_without(r, res);

	memset(r->taken, 0, total);
	for (size_t k = 0; k < r->n_rcpts; k++) {
		bool good = res->rcpt && res->rcpt[k].outcome == DELIVER_DELIVERED;

		if (again && res->rcpt[k].next_hop.code < 400) {
			r->open[r->at[k]] = 1;
			continue;
		}
		r->taken[r->at[k]] = good;
		n += good;
		tell(r, r->at[k], good, res->rcpt && res->rcpt[k].next_hop.code
						? &res->rcpt[k].next_hop : &res->reply, "");
		if (res->rcpt)
			record(r, k, res);
	}
	annotate_free(&r->out);
	if (n && !quarantine_release(r->loop->quarantine, r->message->id, r->taken, total,
				     on_struck_off, r))
		return;
	next_group(r);
}

static bool has_8bit(struct str block)
{
	for (size_t i = 0; i < block.n; i++)
		if (block.p[i] >= 0x80)
			return true;
	return false;
}

static int send_group(struct release *r, const struct config_route *route)
{
	const struct quarantine_message *m = r->message;
	struct deliver_request req = {
		.config = r->snapshot->config,
		.route = route,
		.mail_from = m->mail_from,
		.rcpt = r->rcpt,
		.n_rcpts = r->n_rcpts,
		.body = m->body,
		.has_8bit = (m->flags & RECORD_F_8BIT) || has_8bit(m->block),
		.bare_lf = m->flags & RECORD_F_BARE_LF,
		.bare_cr = m->flags & RECORD_F_BARE_CR,
		.smtputf8 = m->smtputf8,
		.trace_id = m->id,
	};
	int rc;

	/* A route that tells its next hop who sends has nobody to tell of any more, but for a server in a
	 * cable: only that one knows whom it takes mail from. */
	if (m->dialled.port) {
		r->client = (struct deliver_client){
			.ip = m->dialled.client, .connected = m->dialled.connected,
			.local = m->dialled.server, .local_port = m->dialled.port, .helo = m->helo,
			.esmtp = true,
		};
		req.client = &r->client;
	}
	rc = annotate_assemble(m->block, m->smtputf8, &m->content, r->range, m->n_ranges, &r->out);

	if (rc)
		return rc;
	rc = annotate_prove(&r->out, &m->content, r->range, m->n_ranges);
	if (rc)
		return rc;
	req.iov = r->out.iov;
	req.n_iov = r->out.n_iov;
	req.size = r->out.size;
	return deliver_start(r->loop->deliver, &req, on_delivered, r) ? 0 : -ENOMEM;
}

/* As configured now; NULL: nowhere. */
static const struct config_route *route_of(const struct release *r, struct str rcpt)
{
	const struct quarantine_dialled *d = &r->message->dialled;

	return loop_route_at(r->snapshot->config, d->port ? HANDOFF_LISTENER_INLINE : 0, &d->server, d->port,
			     rcpt);
}

static void next_group(struct release *r)
{
	const struct quarantine_message *m = r->message;
	const struct config_route *route = NULL;
	char way[MAIL_ALABEL], other[MAIL_ALABEL];
	int rc;

	r->n_rcpts = 0;
	for (size_t i = 0; i < m->n_rcpts; i++) {
		const struct config_route *own;

		if (!r->open[i])
			continue;
		own = route_of(r, m->rcpt[i]);
		if (route && own != route)
			continue;
		/* One route may lead to another MX for each domain. */
		if (own)
			loop_way(own, m->rcpt[i], route ? other : way);
		if (route && strcmp(way, other))
			continue;
		r->open[i] = 0;
		if (!own) {
			tell(r, i, false, NULL, "there is no route for this recipient any more");
			continue;
		}
		route = own;
		r->at[r->n_rcpts] = i;
		r->rcpt[r->n_rcpts++] = m->rcpt[i];
	}
	if (!r->n_rcpts) {
		finish(r, NULL);
		return;
	}
	rc = send_group(r, route);
	if (rc)
		finish(r, rc == -ENOMEM ? "out of memory" : "the message does not fit its record");
}

static bool is_wanted(const struct release *r, size_t i)
{
	const json_t *v;
	size_t k;

	if (!r->wanted)
		return true;
	json_array_foreach(r->wanted, k, v) {
		const char *s = json_string_value(v);

		if (s && str_ieq(r->message->rcpt[i], str_c(s)))
			return true;
	}
	return false;
}

static void on_got(void *arg, const struct quarantine_answer *a)
{
	struct release *r = arg;
	const struct quarantine_message *m = a->message;
	size_t n = 0;

	if (a->error) {
		fail(r, a->error == -ENOENT ? "not-found" : "failed",
		     a->error == -ENOENT ? "there is no such message in quarantine" : a->why);
		return;
	}
	r->message = quarantine_keep(a);
	r->range = calloc(m->n_ranges + 1, sizeof(*r->range));
	r->open = calloc(m->n_rcpts + 1, 1);
	r->taken = calloc(m->n_rcpts + 1, 1);
	r->rcpt = calloc(m->n_rcpts + 1, sizeof(*r->rcpt));
	r->at = calloc(m->n_rcpts + 1, sizeof(*r->at));
	if (!r->range || !r->open || !r->taken || !r->rcpt || !r->at) {
		finish(r, "out of memory");
		return;
	}
	for (size_t i = 0; i < m->n_ranges; i++)
		r->range[i] = (struct mail_range){m->range[i].off, m->range[i].len};
	for (size_t i = 0; i < m->n_rcpts; i++)
		n += r->open[i] = m->held[i] && is_wanted(r, i);
	if (!n)
		finish(r, "it is not held for such a recipient");
	else
		next_group(r);
}

void release_free_all(struct loop *l)
{
	struct release *r;

	while ((r = TAILQ_FIRST(&l->releases)))
		release_free(r);
}

static bool is_under_way(const struct loop *l, const char *id)
{
	const struct release *r;

	TAILQ_FOREACH(r, &l->releases, all)
		if (!strcmp(r->id, id))
			return true;
	return false;
}

static struct release *release_new(struct loop *l, struct api_request *req, const char *id,
				   json_t *rcpts)
{
	struct release *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->id = strdup(id);
	r->answer = json_array();
	if (!r->id || !r->answer) {
		free(r->id);
		json_decref(r->answer);
		free(r);
		return NULL;
	}
	r->loop = l;
	r->req = req;
	r->snapshot = snapshot_ref(l->active);
	r->wanted = json_incref(rcpts);
	TAILQ_INSERT_TAIL(&l->releases, r, all);
	return r;
}

void commands_quarantine_release(void *arg, struct api_request *req, const json_t *body)
{
	struct loop *l = arg;
	const char *id = json_string_value(json_object_get(body, "id"));
	json_t *rcpts = json_object_get(body, "rcpts");
	struct release *r;

	if (!commands_has_quarantine(l, req))
		return;
	/* An empty one is a list of which something was lost: nobody asks to release to nobody. */
	if (!id || (rcpts && !json_array_size(rcpts))) {
		api_error(req, "bad-request", "which message? \"id\" is missing, or \"rcpts\" is no "
			  "array of addresses");
		return;
	}
	if (is_under_way(l, id)) {
		l->counters[CTL_quarantine_release_busy]++;
		api_error(req, "busy", "this message is being released already; ask again when that is over");
		return;
	}
	r = release_new(l, req, id, rcpts);
	if (r && !quarantine_get(l->quarantine, id, on_got, r))
		return;
	if (r)
		release_free(r);
	api_error(req, "failed", "out of memory");
}
