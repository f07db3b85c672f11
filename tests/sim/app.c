/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The server's application: takes octets at its own pace, replies, closes, aborts. */

#include "tests/sim/sim.h"

#include <errno.h>
#include <stdlib.h>

static bool is_ghost(const void *app)
{
	return *(const uint32_t *)app != 0;
}

static void wake(struct sim_flow *f, uint64_t at)
{
	if (at >= f->app.timer_at && f->app.timer_at > f->sim->now)
		return;
	f->app.timer_at = at;
	sim_push(f->sim, &(struct sim_event){.at = at, .flow = f->index, .kind = EV_APP});
}

static void retry_later(struct sim_flow *f, uint32_t us)
{
	f->app.retry_at = f->sim->now + us;
	wake(f, f->app.retry_at);
}

/* How much of the reply stream may be sent by now. */
static uint32_t target(const struct sim_flow *f)
{
	const struct sim_app *a = &f->app;
	const struct sim_params *p = &f->par;
	bool all = a->taken >= p->send_total || a->eofs;

	switch (p->app) {
	case APP_ECHO:
		return a->taken;
	case APP_SOURCE:
		return p->reply_total;
	case APP_REPLY:
		return all ? p->reply_total
			   : (uint32_t)((uint64_t)p->reply_total * a->taken / (p->send_total + 1u));
	default:
		return all ? p->reply_total : 0;
	}
}

static void send_some(struct sim_flow *f)
{
	struct sim_app *a = &f->app;
	uint8_t buf[20000];

	while (a->conn && !a->closed_by_us && a->sent < target(f)) {
		uint32_t room = LIMIT_TCP_SEND_QUEUE - tcp_unacked(a->conn);
		uint32_t n = sim_min(target(f) - a->sent, sim_range(&f->sim->rng, 1, sizeof(buf)));
		int err;

		if (!sim_chance(&f->sim->rng, 500)) /* else: what does not fit is refused */
			n = sim_min(n, room);
		if (!n)
			return; /* acked() goes on */
		sim_fill(sim_stream_key(f, true), a->sent, buf, n);
		err = tcp_send(a->conn, buf, n);
		if (err && err != -ENOBUFS)
			sim_fail(f, "tcp_send says %d", err);
		if (n > room && !err)
			sim_fail(f, "tcp_send took %u with room for %u", n, room);
		if (err && n <= room) { /* the pool: nobody tells when it is better */
			if (f->sim->profile != PROFILE_FEW_BLOCKS)
				sim_fail(f, "tcp_send refused %u with room for %u", n, room);
			retry_later(f, 20000);
			return;
		}
		if (!err)
			a->sent += n;
	}
}

static void finish(struct sim_flow *f)
{
	struct sim_app *a = &f->app;
	const struct sim_params *p = &f->par;
	bool now;

	if (!a->conn || a->closed_by_us)
		return;
	switch (p->server_close) {
	case SERVER_EARLY:
		now = a->taken >= p->early_at || a->eofs;
		break;
	case SERVER_AFTER_BYTES:
		now = a->taken >= p->send_total && a->sent >= target(f);
		break;
	case SERVER_AFTER_EOF:
		now = false;
		break;
	default:
		now = false;
		break;
	}
	now = now || (a->eofs && a->sent >= target(f));
	if (!now)
		return;
	a->closed_by_us = true;
	tcp_close(a->conn);
	if (a->conn && tcp_send(a->conn, "x", 1) != -EPIPE)
		sim_fail(f, "tcp_send after tcp_close is not refused");
}

static void pump(struct sim_flow *f)
{
	send_some(f);
	finish(f);
}

static void set_window(struct sim_flow *f, uint32_t octets)
{
	f->app.limit = sim_min(octets, LIMIT_TCP_WINDOW_MAX);
	f->app.limit_max = sim_max(f->app.limit_max, f->app.limit);
	tcp_set_window(f->app.conn, octets);
}

static void *on_accept(void *ctx, struct tcp_conn *conn, const struct tcp_tuple *tuple)
{
	struct sim *s = ctx;
	struct sim_flow *f = &s->flow[tuple->remote_port - 1024u];
	struct sim_app *a = &f->app;

	if (a->accepts) {
		if (s->profile != PROFILE_COOKIES && !f->tainted)
			sim_fail(f, "accepted twice");
		a->ghosts++;
		if (f->ghost.conn || sim_chance(&s->rng, 5000))
			return NULL;
		f->ghost = (struct sim_ghost){1, f, conn, s->now + 30000000};
		sim_push(s, &(struct sim_event){
				    .at = f->ghost.until, .flow = f->index, .kind = EV_APP});
		return &f->ghost;
	}
	a->accepts++;
	a->conn = conn;
	a->limit = a->limit_max = sim_min(s->opt.window_idle ? s->opt.window_idle : 16384, 65535);
	a->last_event = s->now;
	a->abort_at =
		f->par.server_close == SERVER_ABORTS ? s->now + f->par.server_abort_us : SIM_NEVER;
	if (sim_chance(&s->rng, f->par.window_chance))
		set_window(f, LIMIT_TCP_WINDOW_MAX);
	wake(f, sim_min64(a->abort_at, s->now + 60000000));
	pump(f);
	return f;
}

static uint32_t appetite(struct sim_flow *f, uint32_t n)
{
	const struct sim_params *p = &f->par;
	struct sim_app *a = &f->app;

	if (sim_chance(&f->sim->rng, p->hold_chance))
		return 0;
	if (p->take_max)
		n = sim_min(n, sim_range(&f->sim->rng, 1, p->take_max));
	if (p->app == APP_ECHO) {
		uint32_t owed = tcp_unacked(a->conn) + (target(f) - a->sent);

		n = sim_min(n, LIMIT_TCP_SEND_QUEUE > owed ? LIMIT_TCP_SEND_QUEUE - owed : 0);
	}
	return n;
}

static void compare(struct sim_flow *f, const struct tcp_view *view, unsigned int n, uint32_t take)
{
	uint32_t off = f->app.taken;

	for (unsigned int i = 0; i < n && take; i++) {
		uint32_t k = sim_min(take, view[i].n);

		if (!f->tainted && !sim_same(sim_stream_key(f, false), off, view[i].p, k))
			sim_fail(f, "the client's octets differ at %u, %u octets", off, k);
		off += k;
		take -= k;
	}
}

static size_t on_data(void *app, const struct tcp_view *view, unsigned int n_views)
{
	struct sim_flow *f = app;
	struct sim_app *a = &f->app;
	uint32_t n = 0, take;

	if (is_ghost(app))
		return 0;
	for (unsigned int i = 0; i < n_views; i++)
		n += view[i].n;
	if (!n)
		sim_fail(f, "data() without octets");
	if (a->closes || a->closed_by_us || a->eofs || a->in_data)
		sim_fail(f, "data() after closed, close or eof, or inside itself");
	/* Without a block nothing was held: what comes again is offered again. */
	if (a->holding && !a->resuming && f->sim->profile != PROFILE_FEW_BLOCKS)
		sim_fail(f, "data() before tcp_resume()");
	if (!f->tainted && a->taken + n > f->par.send_total)
		sim_fail(f, "%u octets at %u of %u", n, a->taken, f->par.send_total);
	a->last_event = f->sim->now;
	take = appetite(f, n);
	compare(f, view, n_views, n);
	if (f->par.server_close == SERVER_ABORTS && sim_chance(&f->sim->rng, 1000)) {
		a->aborted = true;
		tcp_abort(a->conn);
		return take;
	}
	a->in_data = true;
	a->taken += take;
	a->holding = take < n;
	if (a->holding) {
		a->resume_at = f->sim->now + sim_max(f->par.hold_us, 3000);
		wake(f, a->resume_at);
	}
	if (sim_chance(&f->sim->rng, f->par.window_chance))
		set_window(f, sim_range(&f->sim->rng, 1, LIMIT_TCP_WINDOW_MAX + 1000));
	pump(f);
	a->in_data = false;
	return take;
}

static void on_eof(void *app)
{
	struct sim_flow *f = app;
	struct sim_app *a = &f->app;

	if (is_ghost(app))
		return;
	if (a->eofs++ || a->closes || a->holding || a->closed_by_us)
		sim_fail(f, "eof() twice, late or early");
	if (!f->tainted && a->taken != f->par.send_total)
		sim_fail(f, "eof() after %u of %u octets", a->taken, f->par.send_total);
	pump(f);
}

static void on_acked(void *app, uint32_t unacked)
{
	struct sim_flow *f = app;

	if (is_ghost(app))
		return;
	if (f->app.closes || unacked != tcp_unacked(f->app.conn))
		sim_fail(f, "acked() late or wrong: %u", unacked);
	f->app.last_event = f->sim->now;
	pump(f);
}

static void on_closed(void *app, enum tcp_close_reason reason)
{
	struct sim_flow *f = app;
	struct sim_app *a;

	if (is_ghost(app)) {
		((struct sim_ghost *)app)->conn = NULL;
		return;
	}
	a = &f->app;
	if (a->closes++)
		sim_fail(f, "closed() twice");
	a->reason = reason;
	a->closed_at = f->sim->now;
	sim_check_closed(f, reason);
	a->conn = NULL;
}

const struct tcp_app sim_app_calls = {on_accept, on_data, on_eof, on_acked, on_closed};

void sim_app_evict(struct sim_flow *f)
{
	if (!f->app.conn)
		return;
	f->app.evicted = true;
	tcp_evict(f->app.conn);
}

/* An application has a limit for silence, but only where the other end may fall silent. */
static bool silent(const struct sim_flow *f)
{
	bool may = f->tainted || f->par.client_close >= CLIENT_ABORTS ||
		   f->sim->profile != PROFILE_NORMAL ||
		   (f->c.state == CS_DONE && f->c.outcome != OUT_FINISHED);

	return may && f->sim->now - f->app.last_event >= 240000000;
}

static void give_up(struct sim_flow *f)
{
	f->app.aborted = true;
	tcp_abort(f->app.conn);
	if (f->app.conn)
		sim_fail(f, "tcp_abort() without closed()");
}

void sim_app_timer(struct sim_flow *f)
{
	struct sim_app *a = &f->app;
	uint64_t now = f->sim->now, next = now + 60000000;

	if (f->ghost.conn && now >= f->ghost.until)
		tcp_abort(f->ghost.conn);
	if (!a->conn)
		return;
	if (now >= a->abort_at || silent(f)) {
		give_up(f);
		return;
	}
	/* Without anything held it must do nothing. */
	if (!a->holding || now >= a->resume_at) {
		a->resuming = true;
		a->holding = false;
		tcp_resume(a->conn);
		a->resuming = false;
	}
	if (a->conn && a->retry_at && now >= a->retry_at) {
		a->retry_at = 0;
		pump(f);
	}
	if (!a->conn)
		return;
	if (a->holding && a->resume_at < next)
		next = a->resume_at;
	if (a->retry_at && a->retry_at < next)
		next = a->retry_at;
	if (a->abort_at < next)
		next = a->abort_at;
	wake(f, next > now ? next : now + 1);
}
