/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Records of the dataplane as control reads them: right ones, wrong ones, those that changed. */

#include "control/handoff/test_pair.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int setup(void **state)
{
	*state = pair_open();
	return 0;
}

static int teardown(void **state)
{
	pair_close(*state);
	return 0;
}

static struct ctl_submission *submit(struct pair_fix *f, size_t n, struct handoff_desc *d)
{
	struct ctl_submission *s = NULL;
	struct dp_msg m = {0};

	pair_message(f, &m, n, 'm');
	*d = pair_submit(f, &m);
	assert_int_equal(ctl_submission_new(f->loop, d, &s), 0);
	return s;
}

static void test_submission(void **state)
{
	struct pair_fix *f = *state;
	struct ctl_submission *s;
	struct handoff_desc d;
	size_t total = 0;

	s = submit(f, 3 * HANDOFF_CHUNK + 17, &d);
	assert_true(str_eq(s->envelope.helo, STR("client.example.net")));
	assert_true(str_eq(s->envelope.mail_from, STR("from@example.net")));
	assert_true(str_eq(s->envelope.tls_cipher, STR("TLS_AES_256_GCM_SHA384")));
	assert_int_equal(s->envelope.n_rcpts, 2); /* the second one was refused */
	assert_true(str_eq(s->envelope.rcpt[0], STR("one@example.org")));
	assert_true(str_eq(s->envelope.rcpt[1], STR("three@example.org")));
	assert_string_equal(s->envelope.trace_id, "0123456789ABCDEF");
	assert_int_equal(s->envelope.peer.a[15], 7);
	assert_int_equal(s->envelope.proto, PROTO_ESMTPS);
	assert_int_equal(s->envelope.time_ns, 12345);
	assert_int_equal(s->envelope.tcp.srtt_us, 4711);
	assert_int_equal(s->n_matches, 1);
	assert_int_equal(s->match[0].rule, 42);
	assert_int_equal(s->content.n_iov, 4);
	assert_int_equal(s->content.size, 3 * HANDOFF_CHUNK + 17);
	for (size_t i = 0; i < s->content.n_iov; i++) {
		const uint8_t *p = s->content.iov[i].iov_base;

		for (size_t k = 0; k < s->content.iov[i].iov_len; k++)
			assert_int_equal(p[k], 'm');
		total += s->content.iov[i].iov_len;
	}
	assert_int_equal(total, s->content.size);
	assert_true(ctl_submission_current(s));
	ctl_submission_free(s);
	ctl_submission_free(NULL);
}

/* Who watches may have seen no recipient; and says in the descriptor already that it only watched. */
static void test_observed(void **state)
{
	struct pair_fix *f = *state;
	struct ctl_submission *s = NULL;
	struct handoff_record *rec;
	struct handoff_desc d;
	struct dp_msg m = {0};

	pair_message(f, &m, 10, 'm');
	rec = dp_msg_record(f->w, &m);
	rec->flags |= RECORD_F_OBSERVED;
	rec->n_rcpts = 0;
	rec->observed = OBSERVED_MESSAGE;
	rec->observed_whole = OBSERVED_GAP;
	rec->observed_gap = 77;
	rec->observed_anomalies = 1ull << 40 | 5;
	assert_int_equal(dp_msg_text(f->w, &m, STR("250 2.0.0 ok"), &rec->observed_reply), 0);
	d = pair_submit(f, &m);
	assert_int_equal(ctl_submission_new(f->loop, &d, &s), -EINVAL);
	d.flags = DESC_F_OBSERVED;
	assert_int_equal(ctl_submission_new(f->loop, &d, &s), 0);
	assert_int_equal(s->envelope.n_rcpts, 0);
	assert_int_equal(s->envelope.observed.whole, OBSERVED_GAP);
	assert_int_equal(s->envelope.observed.gap, 77);
	assert_true(s->envelope.observed.anomalies == (1ull << 40 | 5));
	assert_true(str_eq(s->envelope.observed.reply, STR("250 2.0.0 ok")));
	ctl_submission_free(s);
	rec->observed_reply.off = UINT16_MAX;
	assert_int_equal(ctl_submission_new(f->loop, &d, &s), -EINVAL);
	rec->observed_reply.off = 0;
	rec->observed = OBSERVED_WHAT_COUNT;
	assert_int_equal(ctl_submission_new(f->loop, &d, &s), -EINVAL);
	rec->observed = OBSERVED_MESSAGE;
	rec->flags &= ~RECORD_F_OBSERVED;
	assert_int_equal(ctl_submission_new(f->loop, &d, &s), -EINVAL);
}

static void test_empty_message(void **state)
{
	struct pair_fix *f = *state;
	struct handoff_desc d;
	struct ctl_submission *s = submit(f, 0, &d);

	assert_int_equal(s->content.n_iov, 0);
	assert_int_equal(s->content.size, 0);
	ctl_submission_free(s);
}

static void test_current(void **state)
{
	struct pair_fix *f = *state;
	struct handoff_desc d;
	struct ctl_submission *s = submit(f, 10, &d), *t;

	assert_true(ctl_submission_current(s));
	assert_int_equal(dp_record_cancel(f->w, d.msg.record, d.msg.record_gen), 0);
	assert_false(ctl_submission_current(s)); /* the client is gone */
	ctl_submission_free(s);
	dp_record_return(f->w, d.msg.record);
	s = submit(f, 10, &d);
	dp_record_return(f->w, d.msg.record);
	assert_false(ctl_submission_current(s)); /* the record is free */
	t = submit(f, 10, &d);
	assert_int_equal(d.msg.record, s->desc.msg.record);
	assert_false(ctl_submission_current(s)); /* and another message's */
	assert_true(ctl_submission_current(t));
	ctl_epoch_kill(f->epoch);
	assert_false(ctl_submission_current(t)); /* the dataplane is gone */
	ctl_submission_free(s);
	ctl_submission_free(t);
}

/* The memory stays readable after the link's own references are gone. */
static void test_outlives_epoch(void **state)
{
	struct pair_fix *f = *state;
	struct handoff_desc d;
	struct ctl_submission *s = submit(f, 100, &d);

	ctl_loop_free(f->loop);
	ctl_epoch_unref(f->epoch);
	assert_int_equal(((const uint8_t *)s->content.iov[0].iov_base)[99], 'm');
	f->epoch = ctl_epoch_ref(s->epoch);
	assert_int_equal(ctl_loop_new(f->epoch, 0, f->base, f->counters, pair_desc, f, &f->loop),
			 0);
	ctl_submission_free(s);
}

static void test_stale(void **state)
{
	struct pair_fix *f = *state;
	struct ctl_submission *s = NULL;
	struct dp_msg m = {0};
	struct handoff_desc d;

	pair_message(f, &m, 10, 'm');
	d = pair_submit(f, &m);
	d.msg.record_gen += 2;
	assert_int_equal(ctl_submission_new(f->loop, &d, &s), -ESTALE);
	assert_int_equal(f->counters[CTL_desc_stale], 1);
	d.msg.record_gen -= 2;
	d.msg.size++;
	assert_int_equal(ctl_submission_new(f->loop, &d, &s), -EINVAL);
	d.msg.size--;
	d.session++;
	assert_int_equal(ctl_submission_new(f->loop, &d, &s), -EINVAL);
	d.session--;
	d.msg.record = f->epoch->n_records;
	assert_int_equal(ctl_submission_new(f->loop, &d, &s), -EINVAL);
	d.msg.record = 0;
	d.kind = DESC_CANCEL;
	assert_int_equal(ctl_submission_new(f->loop, &d, &s), -EINVAL);
	assert_int_equal(f->counters[CTL_desc_invalid], 4);
	assert_null(s);
}

/* Each field that must be refused, alone, in a record that is right otherwise. */
static void test_invalid_records(void **state)
{
	struct pair_fix *f = *state;
	struct handoff_record *good = malloc(sizeof(*good)), *rec = malloc(sizeof(*rec));
	const uint8_t *chunks = ctl_epoch_chunks(f->epoch, 0);
	struct ctl_submission s = {0};
	struct dp_msg m = {0};

	pair_message(f, &m, HANDOFF_CHUNK + 1, 'm');
	memcpy(good, dp_msg_record(f->w, &m), sizeof(*good));
	assert_int_equal(ctl_record_parse(good, chunks, f->epoch->n_chunks, &s), 0);
	ctl_record_release(&s);
	assert_null(s.owned);
#define BAD(change) \
	do { \
		memcpy(rec, good, sizeof(*rec)); \
		change; \
		assert_int_equal(ctl_record_parse(rec, chunks, f->epoch->n_chunks, &s), -EINVAL); \
		assert_null(s.owned); \
	} while (0)
	BAD(rec->size = 0);
	BAD(rec->size = HANDOFF_CHUNK);
	BAD(rec->size = UINT64_MAX);
	BAD(rec->n_chunks = 1);
	BAD(rec->n_chunks = HANDOFF_MAX_CHUNKS + 1;
	    rec->size = rec->n_chunks * (uint64_t)HANDOFF_CHUNK);
	BAD(rec->chunk[1] = f->epoch->n_chunks);
	BAD(rec->chunk[0] = UINT32_MAX);
	BAD(rec->n_matches = HANDOFF_MAX_MATCHES + 1);
	BAD(rec->match[0].slot = HANDOFF_SLOTS);
	BAD(rec->header_size = HANDOFF_CHUNK + 2);
	BAD(rec->n_rcpts = 0);
	BAD(rec->n_rcpts = HANDOFF_MAX_RCPTS + 1);
	BAD(rec->rcpt[0].accepted = rec->rcpt[2].accepted = 0);
	BAD(rec->rcpt[1].accepted = 2);
	BAD(rec->rcpt[0].addr.len = 0);
	BAD(rec->rcpt[1].addr.off = (uint16_t)(rec->text_len + 1));
	BAD(rec->rcpt[1].addr.len = 5000);
	BAD(rec->rcpt[2].addr.len++);
	BAD(rec->text_len = sizeof(rec->text) + 1);
	BAD(rec->text_len = 5);
	BAD(rec->helo.off = 0xffff);
	BAD(rec->mail_from.len = 0xffff);
	BAD(rec->tls_cipher.len = 0xffff);
	BAD(rec->text[rec->mail_from.off + 2] = '\n');
	BAD(rec->text[rec->helo.off + 2] = '\r');
	BAD(rec->text[rec->rcpt[0].addr.off] = '\0');
	BAD(rec->trace_id[3] = 'a');
	BAD(rec->trace_id[15] = 0);
	BAD(rec->proto = PROTO_UTF8SMTPS + 1);
	BAD(rec->via = VIA_PROXY + 1);
	BAD(rec->body = BODY_8BITMIME + 1);
	dp_msg_free(f->w, &m);
	free(good);
	free(rec);
}

static void test_rcpt_question(void **state)
{
	struct pair_fix *f = *state;
	struct ctl_rcpt_question q;
	struct dp_msg m = {0};
	struct handoff_record *rec;
	struct handoff_desc d;

	pair_message(f, &m, 10, 'm');
	rec = dp_msg_record(f->w, &m);
	d = (struct handoff_desc){
		.kind = DESC_RCPT, .session = 5, .generation = 9,
		.msg = {.record = m.record, .record_gen = dp_msg_generation(f->w, &m), .rcpt = 1},
	};
	assert_int_equal(ctl_rcpt_question(f->loop, &d, &q), 0);
	assert_true(str_eq(q.rcpt, STR("two@example.org")));
	assert_true(str_eq(q.mail_from, STR("from@example.net")));
	assert_true(str_eq(q.helo, STR("client.example.net")));
	assert_string_equal(q.trace_id, "0123456789ABCDEF");
	assert_int_equal(q.n_rcpts, 3);
	assert_int_equal(q.tls_version, 0x0304);
	memset(rec->trace_id, 0, sizeof(rec->trace_id)); /* given at DATA only */
	rec->mail_from.len = 0;
	assert_int_equal(ctl_rcpt_question(f->loop, &d, &q), 0);
	assert_string_equal(q.trace_id, "");
	assert_int_equal(q.mail_from.n, 0);
	assert_non_null(q.mail_from.p);
	d.msg.rcpt = 3;
	assert_int_equal(ctl_rcpt_question(f->loop, &d, &q), -EINVAL);
	d.msg.rcpt = 0;
	rec->rcpt[0].addr.len = 3000;
	assert_int_equal(ctl_rcpt_question(f->loop, &d, &q), -EINVAL);
	d.generation++;
	d.msg.rcpt = 1;
	assert_int_equal(ctl_rcpt_question(f->loop, &d, &q), -EINVAL);
	assert_int_equal(f->counters[CTL_desc_invalid], 3);
	dp_msg_free(f->w, &m); /* RSET */
	assert_int_equal(ctl_rcpt_question(f->loop, &d, &q), -ESTALE);
	assert_int_equal(f->counters[CTL_desc_stale], 1);
}

static void test_welcome_refused(void **state)
{
	struct pair_fix *f = *state;
	struct link_welcome w, good;
	struct ctl_epoch *e = NULL;
	const char *why = NULL;
	int fd[5];

	pair_welcome(f, &good, fd);
	w = good;
	assert_int_equal(ctl_epoch_new(&w, 1, fd, 5, &e, &why), 0);
	assert_int_equal(ctl_epoch_workers(e), 1);
	assert_int_equal(ctl_epoch_max_message(e), good.max_message);
	assert_non_null(ctl_epoch_counters(e, 0));
	assert_null(ctl_epoch_counters(e, 1));
	f->w->counters[CNT_rx_packets] = 21;
	assert_int_equal(ctl_epoch_counter(e, 0, CNT_rx_packets), 21);
	ctl_epoch_unref(e);
#define WRONG(change) \
	do { \
		size_t n = 5; \
		pair_welcome(f, &w, fd); \
		change; \
		why = NULL; \
		assert_int_equal(ctl_epoch_new(&w, 1, fd, n, &e, &why), -EPROTO); \
		assert_non_null(why); \
	} while (0)
	WRONG(w.magic++);
	WRONG(w.version++);
	WRONG(w.layout_hash++);
	WRONG(w.n_workers = 0);
	WRONG(w.n_workers = 2);
	WRONG(w.n_loops = 2);
	WRONG(close(fd[--n]));
	WRONG(w.arena_size += 4096);
	WRONG(w.slice_size *= 2; w.arena_size *= 2); /* the memfd is smaller */
	WRONG(w.n_chunks *= 2);
	WRONG(w.n_records = UINT32_MAX; w.n_chunks = UINT32_MAX);
	WRONG(w.rings_size--);
	WRONG(w.counters_size++);
	WRONG(w.epoch = 0);
	WRONG(w.epoch++); /* the rings say another */
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_submission), T(test_observed), T(test_empty_message), T(test_current),
		T(test_outlives_epoch), T(test_stale), T(test_invalid_records),
		T(test_rcpt_question), T(test_welcome_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
