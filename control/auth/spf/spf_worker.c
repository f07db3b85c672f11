/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/auth/spf/spf_worker.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <spf2/spf.h>

#include "control/auth/spf/spf.h"
#include "control/auth/spf/spf_sandbox.h"
#include "control/auth/spf/spf_wire.h"
#include "postern/limits.h"

/*
 * libspf2 is old: what it leaks, and what an attacker may have done to its heap, ends with the
 * process after this many messages.
 */
#define RUNS_MAX 5000

#define ROOT_ALIAS "r0-65535-0.invalid"

static struct {
	struct spf_wire_request request;
	struct spf_wire_response response;
	uint8_t in[SPF_WIRE_MAX];
	uint8_t out[512];
	char text[SPF_WIRE_MAX + 1]; /* a record with its NUL */
} w;

/* The first thing that goes wrong decides; libspf2's own result is then worth nothing. */
static void stop(enum spf_outcome why)
{
	if (w.response.outcome == SPF_OUT_RESULT)
		w.response.outcome = (uint8_t)why;
}

static void missing(struct spf_key k)
{
	stop(SPF_OUT_MISSING);
	if (w.response.outcome == SPF_OUT_MISSING && w.response.n_missing < SPF_WIRE_MISSING)
		w.response.missing[w.response.n_missing++] = k;
}

static const struct spf_wire_answer *answer_find(struct spf_key k)
{
	for (size_t i = 0; i < w.request.n_answers; i++)
		if (spf_key_eq(w.request.answer[i].key, k))
			return &w.request.answer[i];
	return NULL;
}

static SPF_dns_rr_t *reply(SPF_dns_server_t *dns, const char *name, ns_type type,
			   SPF_dns_stat_t stat)
{
	return SPF_dns_rr_new_init(dns, name, type, 0, stat);
}

static void mark(struct spf_key k)
{
	w.response.at = k;
	if (k.kind != SPF_KEY_MARK_DNS)
		return;
	/* RFC 7208 4.6.4: ten terms that cause lookups, redirect and include among them. */
	if (w.response.lookups == LIMIT_SPF_LOOKUPS)
		stop(SPF_OUT_LOOKUPS);
	else
		w.response.lookups++;
}

/* Appends one address or host name to a reply. */
static bool add(SPF_dns_rr_t *rr, const void *data, size_t n)
{
	if (SPF_dns_rr_buf_realloc(rr, rr->num_rr, n) != SPF_E_SUCCESS)
		return false;
	memcpy(rr->rr[rr->num_rr], data, n);
	rr->num_rr++;
	return true;
}

static void fill(SPF_dns_rr_t *rr, const struct spf_wire_answer *a, ns_type type)
{
	for (unsigned int i = 0; i < a->count; i++) {
		struct spf_key k = {0, a->key.node, a->key.term, (uint16_t)i};
		char name[2 * SPF_ALIAS_MAX];

		switch (type) {
		case ns_t_a:
		case ns_t_aaaa:
			if (a->width != (type == ns_t_a ? 4 : 16))
				return;
			if (!add(rr, a->data + (size_t)i * a->width, a->width))
				return;
			break;
		case ns_t_mx:
			k.kind = SPF_KEY_MX;
			spf_key_alias(k, name);
			if (!add(rr, name, strlen(name) + 1))
				return;
			break;
		case ns_t_ptr:
			/* Inside the target's alias or not, as the true name is inside the target.
			 */
			if (a->width != 1)
				return;
			snprintf(name, sizeof(name), "h%u-%u-%u.%s%u-%u-0.invalid", k.node, k.term,
				 i, a->data[i] ? "t" : "o", k.node, k.term);
			if (!add(rr, name, strlen(name) + 1))
				return;
			break;
		default:
			return;
		}
	}
}

/* All hosts of an MX answer are wanted as soon as one is: fewer rounds. */
static void missing_all(struct spf_key k, uint8_t of)
{
	struct spf_key list = {of, k.node, k.term, 0};
	const struct spf_wire_answer *a = answer_find(list);

	for (unsigned int i = k.index; a && i < a->count; i++) {
		k.index = (uint16_t)i;
		if (!answer_find(k))
			missing(k);
	}
}

static SPF_dns_rr_t *lookup(SPF_dns_server_t *dns, const char *name, ns_type type, int cache)
{
	const struct spf_wire_answer *a;
	SPF_dns_rr_t *rr;
	struct spf_key k;

	(void)cache;
	if (w.response.outcome != SPF_OUT_RESULT)
		return reply(dns, name, type, TRY_AGAIN);
	if (type == ns_t_ptr) /* libspf2 made the name; which term wants it, the mark has told */
		k = (struct spf_key){SPF_KEY_PTR, w.response.at.node, w.response.at.term, 0};
	else if (!spf_key_parse(name, &k)) {
		stop(SPF_OUT_INTERNAL);
		return reply(dns, name, type, TRY_AGAIN);
	}
	if (k.kind == SPF_KEY_MARK || k.kind == SPF_KEY_MARK_DNS) {
		mark(k);
		return reply(dns, name, type,
			     w.response.outcome == SPF_OUT_RESULT ? HOST_NOT_FOUND : TRY_AGAIN);
	}
	a = answer_find(k);
	if (!a) {
		if (k.kind == SPF_KEY_MX)
			missing_all(k, SPF_KEY_TARGET);
		else if (k.kind == SPF_KEY_PTR_HOST)
			missing_all(k, SPF_KEY_PTR);
		else
			missing(k);
		return reply(dns, name, type, TRY_AGAIN);
	}
	switch (a->status) {
	case SPF_ANSWER_OK:
		rr = reply(dns, name, type, NETDB_SUCCESS);
		if (rr)
			fill(rr, a, type);
		return rr;
	case SPF_ANSWER_VOID:
		/* RFC 7208 4.6.4: two void lookups; counted for the term's own question. */
		if ((k.kind == SPF_KEY_TARGET || k.kind == SPF_KEY_PTR) &&
		    w.response.voids++ == LIMIT_SPF_VOID) {
			stop(SPF_OUT_VOIDS);
			return reply(dns, name, type, TRY_AGAIN);
		}
		return reply(dns, name, type, HOST_NOT_FOUND);
	case SPF_ANSWER_TOO_MANY:
		stop(SPF_OUT_MX);
		return reply(dns, name, type, TRY_AGAIN);
	default:
		/* RFC 7208 5.5: for ptr an error is no match; anywhere else it ends the check. */
		if (k.kind == SPF_KEY_PTR || k.kind == SPF_KEY_PTR_HOST)
			return reply(dns, name, type, HOST_NOT_FOUND);
		stop(SPF_OUT_TEMPFAIL);
		return reply(dns, name, type, TRY_AGAIN);
	}
}

/* libspf2 drops mechanisms that it has no room for, and says nothing. */
static bool whole(const SPF_record_t *rec)
{
	unsigned int n = 0;

	for (const char *p = strchr(w.text, ' '); p; p = strchr(p + 1, ' '))
		n++;
	return rec->num_mech == n; /* redirect is a mechanism to it */
}

static SPF_errcode_t get_record(SPF_server_t *server, SPF_request_t *req, SPF_response_t *resp,
				SPF_record_t **out)
{
	SPF_errcode_t rc;
	struct spf_key k;

	if (w.response.outcome != SPF_OUT_RESULT || !spf_key_parse(req->cur_dom, &k)) {
		stop(SPF_OUT_INTERNAL);
		return SPF_E_DNS_ERROR;
	}
	for (size_t i = 0; i < w.request.n_records; i++) {
		const struct spf_wire_record *r = &w.request.record[i];

		if (!spf_key_eq(r->key, k))
			continue;
		if (r->status != SPF_ANSWER_OK) {
			stop(SPF_OUT_RECORD);
			return SPF_E_DNS_ERROR;
		}
		memcpy(w.text, r->text.p, r->text.n);
		w.text[r->text.n] = '\0';
		rc = SPF_record_compile(server, resp, out, w.text);
		if (rc != SPF_E_SUCCESS || !whole(*out)) {
			stop(SPF_OUT_REFUSED);
			return rc != SPF_E_SUCCESS ? rc : SPF_E_BIG_MECH;
		}
		return rc;
	}
	missing(k);
	return SPF_E_DNS_ERROR;
}

static uint8_t map(SPF_result_t r)
{
	switch (r) {
	case SPF_RESULT_NEUTRAL:
		return SPF_NEUTRAL;
	case SPF_RESULT_PASS:
		return SPF_PASS;
	case SPF_RESULT_FAIL:
		return SPF_FAIL;
	case SPF_RESULT_SOFTFAIL:
		return SPF_SOFTFAIL;
	case SPF_RESULT_TEMPERROR:
		return SPF_TEMPERROR;
	case SPF_RESULT_PERMERROR:
		return SPF_PERMERROR;
	default:
		return SPF_NONE;
	}
}

static void evaluate(SPF_server_t *server)
{
	SPF_request_t *req = SPF_request_new(server);
	SPF_response_t *resp = NULL;
	SPF_record_t *record = NULL;

	if (!req) {
		stop(SPF_OUT_INTERNAL);
		return;
	}
	if (w.request.v6) {
		struct in6_addr a;

		memcpy(&a, w.request.ip, 16);
		SPF_request_set_ipv6(req, a);
	} else {
		struct in_addr a;

		memcpy(&a, w.request.ip + 12, 4);
		SPF_request_set_ipv4(req, a);
	}
	SPF_request_set_helo_dom(req, ROOT_ALIAS);
	SPF_request_set_env_from(req, "postmaster@" ROOT_ALIAS);
	req->cur_dom = ROOT_ALIAS;
	resp = SPF_response_new(req);
	if (!resp) {
		stop(SPF_OUT_INTERNAL);
	} else if (get_record(server, req, resp, &record) == SPF_E_SUCCESS) {
		resp->spf_record_exp = record;
		SPF_record_interpret(record, req, resp, 0);
		w.response.result = map(SPF_response_result(resp));
	}
	if (record)
		SPF_record_free(record);
	if (resp)
		SPF_response_free(resp);
	SPF_request_free(req);
}

struct SPF_server_struct *spf_worker_server(void)
{
	static SPF_dns_server_t dns; /* no destructor: libspf2 leaves it alone */
	SPF_response_t *resp = NULL;
	SPF_server_t *server;

	dns.lookup = lookup;
	dns.get_spf = get_record;
	dns.name = "control";
	server = SPF_server_new_dns(&dns, 0);
	if (!server)
		return NULL;
	/* The limits are counted here: libspf2 counts terms that it has not reached, and markers.
	 */
	SPF_server_set_max_dns_mech(server, INT32_MAX);
	SPF_server_set_max_dns_mx(server, SPF_WIRE_ADDRESSES);
	SPF_server_set_max_dns_ptr(server, SPF_WIRE_ADDRESSES);
	SPF_server_set_explanation(server, "none", &resp);
	if (resp)
		SPF_response_free(resp);
	return server;
}

long spf_worker_run(struct SPF_server_struct *server, const uint8_t *in, size_t n, bool last,
		    uint8_t *out, size_t cap)
{
	int rc = spf_wire_get_request(&w.request, in, n);

	if (rc)
		return rc;
	memset(&w.response, 0, sizeof(w.response));
	w.response.at = (struct spf_key){SPF_KEY_MARK, 0, 0, 0};
	w.response.seq = w.request.seq;
	w.response.last = last;
	evaluate(server);
	return spf_wire_put_response(&w.response, out, cap);
}

_Noreturn void spf_worker_main(int fd)
{
	SPF_server_t *server = spf_worker_server(); /* asks for the host name: not possible inside */

	if (!server || spf_sandbox_enter(fd))
		_exit(1);
	for (unsigned int runs = 1;; runs++) {
		ssize_t n = read(fd, w.in, sizeof(w.in));
		long len;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(0);
		len = spf_worker_run(server, w.in, (size_t)n, runs >= RUNS_MAX, w.out,
				     sizeof(w.out));
		if (len == -EBADMSG)
			_exit(2);
		if (len < 0 || write(fd, w.out, (size_t)len) != len || runs >= RUNS_MAX)
			_exit(0);
	}
}
