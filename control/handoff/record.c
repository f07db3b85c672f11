/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A message record, checked. Everything that is believed is first copied into memory of our own;
 * the content stays where it is, only its chunk list is copied.
 */

#include "control/handoff/internal.h"
#include "postern/limits.h"

#include <errno.h>
#include <stdlib.h>

#define FIXED offsetof(struct handoff_record, rcpt)

/* Only the fixed part: the rest of `to`, 48 KiB of stack, is neither written nor touched. */
static void copy_fixed(struct handoff_record *to, const struct handoff_record *rec)
{
	memcpy(to, rec, FIXED);
}

static bool fixed_fits(const struct handoff_record *r, uint32_t n_chunks)
{
	uint64_t need = r->size / HANDOFF_CHUNK + (r->size % HANDOFF_CHUNK != 0);

	if (r->n_chunks > HANDOFF_MAX_CHUNKS || r->n_chunks > n_chunks || r->n_chunks != need)
		return false;
	if (r->n_matches > HANDOFF_MAX_MATCHES || r->header_size > r->size)
		return false;
	return (r->n_rcpts >= 1 || r->flags & RECORD_F_OBSERVED) && r->n_rcpts <= HANDOFF_MAX_RCPTS;
}

static bool facts_fit(const struct handoff_record *r)
{
	return r->proto <= PROTO_UTF8SMTPS && r->body <= BODY_8BITMIME &&
	       r->observed < OBSERVED_WHAT_COUNT && r->observed_whole < OBSERVED_WHOLE_COUNT &&
	       r->observed_unjudged < UNJUDGED_COUNT && r->text_len <= sizeof(r->text);
}

static bool trace_id_fits(const struct handoff_record *r)
{
	for (size_t i = 0; i < sizeof(r->trace_id); i++)
		if (!ascii_is_digit(r->trace_id[i]) &&
		    (r->trace_id[i] < 'A' || r->trace_id[i] > 'Z'))
			return false;
	return true;
}

/* Within the text, and no longer than a command line. */
static bool ref_lies(struct handoff_ref ref, uint32_t text_len)
{
	return ref.len <= LIMIT_COMMAND_EXT && ref.off <= text_len && ref.len <= text_len - ref.off;
}

/* And nothing in it that could end one. */
static bool ref_fits(struct handoff_ref ref, const uint8_t *text, uint32_t text_len)
{
	if (!ref_lies(ref, text_len))
		return false;
	for (size_t i = 0; i < ref.len; i++) {
		uint8_t c = text[ref.off + i];

		if (c == 0 || c == '\r' || c == '\n')
			return false;
	}
	return true;
}

static struct str ref_str(struct handoff_ref ref, const uint8_t *text)
{
	return str_make(text + ref.off, ref.len);
}

/* One allocation, in order of alignment. */
struct layout {
	struct iovec *iov;
	struct str *rcpt;
	struct handoff_match *match;
	struct handoff_rcpt *raw;
	uint32_t *chunk;
	uint8_t *text;
};

static void *alloc_layout(const struct handoff_record *r, struct layout *l)
{
	size_t iov = r->n_chunks * sizeof(*l->iov), rcpt = r->n_rcpts * sizeof(*l->rcpt);
	size_t match = r->n_matches * sizeof(*l->match), raw = r->n_rcpts * sizeof(*l->raw);
	size_t chunk = r->n_chunks * sizeof(*l->chunk);
	uint8_t *p = malloc(iov + rcpt + match + raw + chunk + r->text_len + 1);

	if (!p)
		return NULL;
	l->iov = (struct iovec *)p;
	l->rcpt = (struct str *)(p + iov);
	l->match = (struct handoff_match *)(p + iov + rcpt);
	l->raw = (struct handoff_rcpt *)(p + iov + rcpt + match);
	l->chunk = (uint32_t *)(p + iov + rcpt + match + raw);
	l->text = p + iov + rcpt + match + raw + chunk;
	return p;
}

static bool take_content(struct ctl_submission *s, const struct handoff_record *r,
			 const struct layout *l, const uint8_t *chunks, uint32_t n_chunks)
{
	uint64_t left = r->size;

	for (uint32_t i = 0; i < r->n_chunks; i++) {
		size_t n = left < HANDOFF_CHUNK ? (size_t)left : HANDOFF_CHUNK;

		if (l->chunk[i] >= n_chunks)
			return false;
		l->iov[i].iov_base =
			(void *)(uintptr_t)(chunks + (size_t)l->chunk[i] * HANDOFF_CHUNK);
		l->iov[i].iov_len = n;
		left -= n;
	}
	s->content = (struct mail_bytes){l->iov, r->n_chunks, (size_t)r->size};
	return true;
}

static bool take_rcpts(struct mail_envelope *e, const struct handoff_record *r,
		       const struct layout *l)
{
	for (uint32_t i = 0; i < r->n_rcpts; i++) {
		if (l->raw[i].accepted > 1 || !l->raw[i].addr.len ||
		    !ref_fits(l->raw[i].addr, l->text, r->text_len))
			return false;
		if (l->raw[i].accepted)
			l->rcpt[e->n_rcpts++] = ref_str(l->raw[i].addr, l->text);
	}
	e->rcpt = l->rcpt;
	/* RFC 5321 3.3: DATA without an accepted recipient is out of sequence. Who watches may not
	 * have seen them. */
	return e->n_rcpts > 0 || r->flags & RECORD_F_OBSERVED;
}

static bool take_matches(struct ctl_submission *s, const struct handoff_record *r,
			 const struct layout *l)
{
	for (uint32_t i = 0; i < r->n_matches; i++)
		if (l->match[i].slot >= HANDOFF_SLOTS)
			return false;
	s->match = l->match;
	s->n_matches = r->n_matches;
	return true;
}

static bool take_envelope(struct mail_envelope *e, const struct handoff_record *r,
			  const uint8_t *text)
{
	if (!ref_fits(r->helo, text, r->text_len) || !ref_fits(r->mail_from, text, r->text_len) ||
	    !ref_fits(r->tls_cipher, text, r->text_len) ||
	    !ref_fits(r->tls_sni, text, r->text_len) ||
	    !ref_fits(r->tls_client, text, r->text_len) ||
	    !ref_fits(r->observed_reply, text, r->text_len) ||
	    !ref_lies(r->proxy_tlv, r->text_len) || r->via > VIA_PROXY)
		return false;
	memcpy(e->via_peer.a, r->via_peer, sizeof(e->via_peer.a));
	e->via_port = r->via_port;
	e->via = r->via;
	memcpy(e->peer.a, r->peer, sizeof(e->peer.a));
	memcpy(e->local.a, r->local, sizeof(e->local.a));
	e->peer_port = r->peer_port;
	e->local_port = r->local_port;
	e->listener = r->listener;
	e->proto = r->proto;
	e->body = r->body;
	e->smtputf8 = r->flags & RECORD_F_SMTPUTF8;
	e->tls_version = r->tls_version;
	e->tls_cipher = ref_str(r->tls_cipher, text);
	e->tls_sni = ref_str(r->tls_sni, text);
	e->tls_client = ref_str(r->tls_client, text);
	e->tls_flags = r->tls_flags;
	memcpy(e->tls_client_sha256, r->tls_client_sha256, sizeof(e->tls_client_sha256));
	e->proxy_tlv = ref_str(r->proxy_tlv, text);
	e->helo = ref_str(r->helo, text);
	e->mail_from = ref_str(r->mail_from, text);
	e->declared_size = r->declared_size;
	e->time_ns = r->data_done_ns;
	memcpy(e->trace_id, r->trace_id, sizeof(r->trace_id));
	e->trace_id[sizeof(r->trace_id)] = '\0';
	e->flags = r->flags;
	if (r->flags & RECORD_F_OBSERVED) {
		e->observed.what = r->observed;
		e->observed.whole = r->observed_whole;
		e->observed.unjudged = r->observed_unjudged;
		e->observed.gap = r->observed_gap;
		e->observed.anomalies = r->observed_anomalies;
		e->observed.reply = ref_str(r->observed_reply, text);
	}
	e->tcp.srtt_us = r->srtt_us;
	e->tcp.retransmits = r->retransmits;
	e->tcp.ooo_segments = r->ooo_segments;
	e->tcp.peer_window = r->peer_window;
	e->tcp.ttl = r->ttl;
	e->tcp.handshake = r->handshake;
	return true;
}

int ctl_record_parse(const struct handoff_record *rec, const uint8_t *chunks, uint32_t n_chunks,
		     struct ctl_submission *s)
{
	struct layout l;
	struct handoff_record f;

	copy_fixed(&f, rec);
	if (!fixed_fits(&f, n_chunks) || !facts_fit(&f) || !trace_id_fits(&f))
		return -EINVAL;
	s->owned = alloc_layout(&f, &l);
	if (!s->owned)
		return -ENOMEM;
	memcpy(l.raw, rec->rcpt, f.n_rcpts * sizeof(*l.raw));
	memcpy(l.chunk, rec->chunk, f.n_chunks * sizeof(*l.chunk));
	memcpy(l.match, rec->match, f.n_matches * sizeof(*l.match));
	memcpy(l.text, rec->text, f.text_len);
	if (!take_envelope(&s->envelope, &f, l.text) || !take_rcpts(&s->envelope, &f, &l) ||
	    !take_matches(s, &f, &l) || !take_content(s, &f, &l, chunks, n_chunks)) {
		ctl_record_release(s);
		return -EINVAL;
	}
	s->header_size = f.header_size;
	s->scan_generation = f.scan_generation;
	s->transaction = f.transaction;
	s->connected_ns = f.connected_ns;
	return 0;
}

void ctl_record_release(struct ctl_submission *s)
{
	free(s->owned);
	memset(s, 0, sizeof(*s));
}

/* ---- whose record it is -------------------------------------------------------------------- */

static uint32_t generation_of(const struct handoff_record *rec)
{
	return atomic_load_explicit(&rec->generation, memory_order_acquire);
}

/* The dataplane changes the generation before it touches anything else: unchanged behind a copy, it
 * vouches for the copy. */
static bool still(const struct handoff_record *rec, const struct handoff_desc *d)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&rec->generation, memory_order_relaxed) == d->msg.record_gen;
}

static int count(struct ctl_loop *l, int rc)
{
	if (rc == -EINVAL)
		ctl_loop_counters(l)[CTL_desc_invalid]++;
	else if (rc == -ESTALE)
		ctl_loop_counters(l)[CTL_desc_stale]++;
	return rc;
}

int ctl_submission_new(struct ctl_loop *l, const struct handoff_desc *d,
		       struct ctl_submission **out)
{
	struct ctl_epoch *e = ctl_loop_epoch(l);
	const struct handoff_record *rec = ctl_epoch_record(e, d->worker, d->msg.record);
	struct ctl_submission *s;
	int rc;

	if (!rec || d->kind != DESC_SUBMIT)
		return count(l, -EINVAL);
	if (generation_of(rec) != d->msg.record_gen)
		return count(l, -ESTALE);
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	rc = ctl_record_parse(rec, ctl_epoch_chunks(e, d->worker), e->n_chunks, s);
	if (rc == 0 && (s->content.size != d->msg.size || rec->session != d->session ||
			rec->session_gen != d->generation ||
			!(d->flags & DESC_F_OBSERVED) != !(s->envelope.flags & RECORD_F_OBSERVED)))
		rc = -EINVAL;
	if (rc != -ENOMEM && !still(rec, d))
		rc = -ESTALE;
	if (rc) {
		ctl_record_release(s);
		free(s);
		return count(l, rc);
	}
	s->desc = *d;
	s->epoch = ctl_epoch_ref(e);
	*out = s;
	return 0;
}

void ctl_submission_free(struct ctl_submission *s)
{
	if (!s)
		return;
	ctl_epoch_unref(s->epoch);
	ctl_record_release(s);
	free(s);
}

bool ctl_submission_current(const struct ctl_submission *s)
{
	const struct handoff_record *rec =
		ctl_epoch_record(s->epoch, s->desc.worker, s->desc.msg.record);

	return ctl_epoch_alive(s->epoch) && rec && generation_of(rec) == s->desc.msg.record_gen &&
	       atomic_load_explicit(&rec->client_gone, memory_order_acquire) == 0;
}

/* ---- a recipient --------------------------------------------------------------------------- */

/* A text of at most LIMIT_COMMAND_EXT octets, copied and checked. */
static bool take_text(const struct handoff_record *rec, const struct handoff_record *r,
		      struct handoff_ref ref, uint8_t *buf, struct str *out)
{
	if (ref.len > LIMIT_COMMAND_EXT || ref.off > r->text_len ||
	    ref.len > r->text_len - ref.off)
		return false;
	memcpy(buf, rec->text + ref.off, ref.len);
	*out = str_make(buf, ref.len);
	return ref_fits((struct handoff_ref){0, ref.len}, buf, ref.len);
}

static int parse_question(const struct handoff_record *rec, const struct handoff_desc *d,
			  struct ctl_rcpt_question *q)
{
	struct handoff_rcpt rcpt;
	struct handoff_record f;

	copy_fixed(&f, rec);
	if (!facts_fit(&f) || f.n_rcpts > HANDOFF_MAX_RCPTS || d->msg.rcpt >= f.n_rcpts ||
	    f.session != d->session || f.session_gen != d->generation)
		return -EINVAL;
	memcpy(&rcpt, &rec->rcpt[d->msg.rcpt], sizeof(rcpt));
	if (!rcpt.addr.len ||
	    !take_text(rec, &f, f.mail_from, q->buf, &q->mail_from) ||
	    !take_text(rec, &f, rcpt.addr, q->buf + LIMIT_COMMAND_EXT, &q->rcpt) ||
	    !take_text(rec, &f, f.helo, q->buf + 2 * LIMIT_COMMAND_EXT, &q->helo))
		return -EINVAL;
	q->proto = f.proto;
	q->body = f.body;
	q->smtputf8 = f.flags & RECORD_F_SMTPUTF8;
	q->declared_size = f.declared_size;
	q->n_rcpts = f.n_rcpts;
	q->tls_version = f.tls_version;
	q->listener = f.listener;
	memcpy(q->peer, f.peer, sizeof(q->peer));
	memcpy(q->local, f.local, sizeof(q->local));
	q->local_port = f.local_port;
	memcpy(q->connected, f.via == VIA_NONE ? f.peer : f.via_peer, sizeof(q->connected));
	/* A transaction may get its trace id as late as at DATA. */
	memset(q->trace_id, 0, sizeof(q->trace_id));
	if (trace_id_fits(&f))
		memcpy(q->trace_id, f.trace_id, sizeof(f.trace_id));
	return 0;
}

int ctl_rcpt_question(struct ctl_loop *l, const struct handoff_desc *d, struct ctl_rcpt_question *q)
{
	const struct handoff_record *rec =
		ctl_epoch_record(ctl_loop_epoch(l), d->worker, d->msg.record);
	int rc;

	if (!rec || d->kind != DESC_RCPT)
		return count(l, -EINVAL);
	if (generation_of(rec) != d->msg.record_gen)
		return count(l, -ESTALE);
	rc = parse_question(rec, d, q);
	if (!still(rec, d)) /* the copy may be torn: RSET or disconnect came in between */
		rc = -ESTALE;
	return count(l, rc);
}

_Static_assert(sizeof(((struct ctl_rcpt_question *)0)->buf) == 3 * LIMIT_COMMAND_EXT, "texts");
