/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>

#include "control/auth/spf/spf.h"
#include "control/auth/spf/spf_tree.h"
#include "control/auth/spf/spf_worker.h"
#include "postern/limits.h"

/*
 * Records through the grammar, the rewriting and then libspf2, in this process: what a jailed
 * worker does for a message, with control's part played here. Input: an octet of flags, sixteen of
 * address, one that says how many octets of answers follow, those, and the records, a line each:
 * the domain's own, then what include and redirect ask for, in the order of asking.
 */

#define ROUNDS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct spf_tree tree;
	struct ip_addr ip;
	struct str records;
	const uint8_t *answers;
	size_t n_answers, at;
	struct spf_wire_request request;
	uint8_t data[SPF_WIRE_ANSWERS][SPF_WIRE_ADDRESSES * 16];
} f;

static uint8_t octet(void)
{
	return f.n_answers ? f.answers[f.at++ % f.n_answers] : 0;
}

static void add_record(struct spf_key k)
{
	size_t end = str_find(f.records, '\n');
	struct str line = str_cut(f.records, end);
	enum spf_node_state state = line.n ? SPF_NODE_OK : SPF_NODE_NONE;
	uint8_t *text = NULL;

	f.records = str_skip(f.records, end + 1);
	if (line.n) {
		text = malloc(line.n);
		if (!text)
			abort();
		memcpy(text, line.p, line.n);
	}
	spf_tree_add(&f.tree, k.node, k.term, state, "example.com", text, line.n);
}

static uint8_t width_of(uint8_t kind)
{
	const struct spf_wire_request *q = &f.request;

	return kind == SPF_KEY_PTR ? 1 : octet() % 8 == 0 ? 0 : q->v6 ? 16 : octet() % 8 ? 4 : 16;
}

static bool is_mx(struct spf_key k)
{
	const struct spf_node *nd = k.node < f.tree.n ? &f.tree.node[k.node] : NULL;

	return k.kind == SPF_KEY_TARGET && nd && nd->state == SPF_NODE_OK &&
	       k.term < nd->rec.n_terms && nd->rec.term[k.term].mech == SPF_MECH_MX;
}

/* False: there is no room for more, where control ends the check. */
static bool add_answer(struct spf_key k)
{
	struct spf_wire_request *q = &f.request;
	struct spf_wire_answer *a = &q->answer[q->n_answers];
	uint8_t *own = f.data[q->n_answers];

	if (q->n_answers == SPF_WIRE_ANSWERS)
		return false;
	q->n_answers++;
	*a = (struct spf_wire_answer){.key = k, .data = own};
	a->status = octet() % 8 < 6 ? SPF_ANSWER_OK : (uint8_t)(octet() % 4);
	a->width = width_of(k.kind);
	a->count = octet() % 4 ? octet() % 4 : octet() % (SPF_WIRE_ADDRESSES + 1);
	/* Control hands on no more names than may be looked at (RFC 7208 4.6.4). */
	if (k.kind == SPF_KEY_PTR && a->count > LIMIT_SPF_PTR)
		a->count = LIMIT_SPF_PTR;
	if (is_mx(k) && a->count > LIMIT_SPF_MX)
		a->count = LIMIT_SPF_MX;
	for (size_t i = 0; i < (size_t)a->count * a->width; i++)
		own[i] = octet();
	/* Now and then it is the client's. */
	if (a->count && a->width >= 4 && octet() % 4 == 0)
		memcpy(own, f.ip.a + 16 - a->width, a->width);
	return true;
}

/* One evaluation. True: it wants to be asked again. */
static bool evaluate(struct SPF_server_struct *server, uint32_t seq)
{
	static uint8_t text[SPF_WIRE_MAX], wire[SPF_WIRE_MAX], out[512];
	struct spf_buf b = {text, 0, sizeof(text), false};
	struct spf_wire_response r;
	long n;

	f.request.n_records = 0;
	f.request.seq = seq;
	if (spf_tree_encode(&f.tree, &f.ip, &b, &f.request))
		return false;
	n = spf_wire_put_request(&f.request, wire, sizeof(wire));
	if (n < 0)
		return false;
	n = spf_worker_run(server, wire, (size_t)n, false, out, sizeof(out));
	if (n < 0 || spf_wire_get_response(&r, out, (size_t)n) || r.seq != seq)
		abort();
	if (r.lookups > LIMIT_SPF_LOOKUPS || r.at.node >= f.tree.n)
		abort();
	if (r.outcome == SPF_OUT_RESULT)
		spf_tree_matched(&f.tree, r.at, &f.ip);
	/* A well-formed record that it refuses would be a permerror the sender has not earned. */
	if (r.outcome == SPF_OUT_REFUSED || r.outcome == SPF_OUT_INTERNAL)
		abort();
	for (size_t i = 0; i < r.n_missing; i++) {
		if (r.missing[i].kind != SPF_KEY_RECORD) {
			if (!add_answer(r.missing[i]))
				return false;
		} else if (f.tree.n < SPF_NODES_MAX) {
			add_record(r.missing[i]);
		} else {
			return false;
		}
	}
	return r.outcome == SPF_OUT_MISSING;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct SPF_server_struct *server;
	uint32_t seq = 1;

	if (!server)
		server = spf_worker_server();
	if (!server || size < 18 || size < 18u + data[17])
		return 0;
	f.request.v6 = data[0] & 1;
	memcpy(f.ip.a, data + 1, 16);
	if (!f.request.v6) {
		memset(f.ip.a, 0, 10);
		memset(f.ip.a + 10, 0xff, 2);
	} else if (ip_is_v4(&f.ip)) {
		f.ip.a[0] = 0x20;
	}
	memcpy(f.request.ip, f.ip.a, 16);
	f.request.n_answers = f.at = 0;
	f.answers = data + 18;
	f.n_answers = data[17];
	f.records = str_make(data + 18 + data[17], size - 18 - data[17]);
	add_record((struct spf_key){SPF_KEY_RECORD, 0, SPF_TERM_ROOT, 0});
	if (f.tree.node[0].state == SPF_NODE_OK)
		while (seq < ROUNDS && evaluate(server, seq))
			seq++;
	if (seq == ROUNDS)
		abort();
	spf_tree_free(&f.tree);
	return 0;
}
