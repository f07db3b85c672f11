/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The rules one by one, on a virtual clock: who sends what, and what the other side must see. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/tcp/test_tcp_peer.h"

#define ISS 1000u /* the client's */

static struct peer *p;
static uint32_t snd, rcv; /* the client's SND.NXT, RCV.NXT */

static int setup(void **state)
{
	(void)state;
	p = malloc(sizeof(*p));
	peer_new(p);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tcp_stack_free(p->stack);
	free(p);
	return 0;
}

static void seg(uint32_t seq, uint8_t flags, const char *text)
{
	peer_inject(p, seq, flags & PEER_ACK ? rcv : 0, flags, 65535, text, (uint32_t)strlen(text), NULL, 0);
	tcp_burst_end(p->stack);
}

static void handshake(void)
{
	peer_inject(p, ISS, 0, PEER_SYN, 65535, "", 0, NULL, 0);
	tcp_burst_end(p->stack);
	assert_int_equal(p->n_out, 1);
	assert_int_equal(p->out[0].flags, PEER_SYN | PEER_ACK);
	assert_int_equal(p->out[0].ack, ISS + 1);
	snd = ISS + 1;
	rcv = p->out[0].seq + 1;
	peer_clear(p);
	seg(snd, PEER_ACK, "");
	assert_non_null(p->conn);
	assert_int_equal(p->n_out, 0);
}

static void in_order_data_is_acknowledged_late(void **state)
{
	(void)state;
	handshake();
	seg(snd, PEER_ACK, "EHLO a\r\n");
	assert_int_equal(p->n_got, 8);
	assert_int_equal(p->n_out, 0); /* RFC 9293 3.8.6.3 */
	peer_advance(p, 60);
	assert_int_equal(p->n_out, 1);
	assert_int_equal(p->out[0].ack, snd + 8);
}

static void every_second_segment_is_acknowledged(void **state)
{
	(void)state;
	handshake();
	seg(snd, PEER_ACK, "a");
	seg(snd + 1, PEER_ACK, "b");
	assert_int_equal(p->n_out, 1);
	assert_int_equal(p->out[0].ack, snd + 2);
}

static void a_gap_is_told_at_once_and_filled(void **state)
{
	(void)state;
	handshake();
	seg(snd + 3, PEER_ACK, "def");
	assert_int_equal(p->n_out, 1);
	assert_int_equal(p->out[0].ack, snd); /* RFC 5681 4.2 */
	assert_int_equal(p->n_got, 0);
	seg(snd, PEER_ACK, "abc");
	assert_memory_equal(p->got, "abcdef", 6);
	assert_int_equal(p->out[p->n_out - 1].ack, snd + 6);
}

static void the_first_byte_of_an_overlap_wins(void **state)
{
	(void)state;
	handshake();
	seg(snd + 2, PEER_ACK, "CD");
	seg(snd + 1, PEER_ACK, "bxy");
	seg(snd, PEER_ACK, "a");
	assert_int_equal(p->n_got, 4);
	assert_memory_equal(p->got, "abCD", 4);
	assert_int_equal(p->counters[CNT_tcp_overlap_diff], 1);
}

static void what_is_not_taken_closes_the_window_and_comes_again(void **state)
{
	static char block[1460];
	uint32_t start;

	(void)state;
	handshake();
	start = snd;
	p->take = 0;
	memset(block, 'x', sizeof(block));
	for (int i = 0; i < 16; i++) {
		peer_inject(p, snd, rcv, PEER_ACK, 65535, block, sizeof(block), NULL, 0);
		tcp_burst_end(p->stack);
		snd += sizeof(block);
	}
	assert_int_equal(p->n_got, 0);
	assert_int_equal(p->out[p->n_out - 1].ack, start + 16384); /* the window is full, */
	assert_int_equal(p->out[p->n_out - 1].wnd, 0);             /* and the rest not acknowledged */
	p->take = SIZE_MAX;
	peer_clear(p);
	tcp_resume(p->conn);
	tcp_burst_end(p->stack);
	assert_int_equal(p->n_got, 16384);
	assert_true(p->n_out >= 1 && p->out[p->n_out - 1].wnd > 8000); /* told without being asked */
}

static void replies_go_again_until_acknowledged(void **state)
{
	(void)state;
	handshake();
	assert_int_equal(tcp_send(p->conn, "220 hi\r\n", 8), 0);
	tcp_burst_end(p->stack);
	assert_int_equal(p->n_out, 1);
	assert_int_equal(p->out[0].len, 8);
	peer_advance(p, 190);
	assert_int_equal(p->n_out, 1);
	peer_advance(p, 30);
	assert_int_equal(p->n_out, 2); /* RFC 6298: the handshake was timed; our least RTO, 200 ms */
	assert_int_equal(p->out[1].seq, rcv);
	peer_advance(p, 370);
	assert_int_equal(p->n_out, 2);
	peer_advance(p, 50);
	assert_int_equal(p->n_out, 3); /* doubled */
	rcv += 8;
	seg(snd, PEER_ACK, "");
	assert_int_equal(p->unacked, 0);
	peer_clear(p);
	peer_advance(p, 10000);
	assert_int_equal(p->n_out, 0);
}

static void server_closes_first(void **state)
{
	(void)state;
	handshake();
	assert_int_equal(tcp_send(p->conn, "221\r\n", 5), 0);
	tcp_close(p->conn);
	tcp_burst_end(p->stack);
	assert_int_equal(p->n_out, 1);
	assert_int_equal(p->out[0].len, 5);
	assert_true(p->out[0].flags & PEER_FIN);
	rcv += 6;
	seg(snd, PEER_ACK, "");
	assert_false(p->closed);
	seg(snd, PEER_ACK | PEER_FIN, "");
	assert_true(p->closed);
	assert_int_equal(p->reason, TCP_CLOSED_NORMAL);
	assert_int_equal(p->out[p->n_out - 1].ack, snd + 1);
	/* TIME_WAIT answers a FIN that comes again, and takes no RST (RFC 1337). */
	peer_clear(p);
	seg(snd + 1, PEER_RST, "");
	assert_int_equal(p->n_out, 0);
	seg(snd, PEER_ACK | PEER_FIN, "");
	assert_int_equal(p->n_out, 1);
	assert_int_equal(p->out[0].ack, snd + 1);
}

static void client_closes_first(void **state)
{
	(void)state;
	handshake();
	seg(snd, PEER_ACK | PEER_FIN, "QUIT\r\n");
	assert_int_equal(p->n_got, 6);
	assert_true(p->eof);
	tcp_close(p->conn);
	tcp_burst_end(p->stack);
	assert_true(p->out[p->n_out - 1].flags & PEER_FIN);
	rcv += 1;
	seg(snd + 7, PEER_ACK, "");
	assert_true(p->closed);
	assert_int_equal(p->reason, TCP_CLOSED_NORMAL);
}

static void both_close_at_once(void **state)
{
	(void)state;
	handshake();
	tcp_close(p->conn);
	tcp_burst_end(p->stack);
	seg(snd, PEER_ACK | PEER_FIN, ""); /* does not acknowledge ours yet */
	assert_false(p->closed);
	rcv += 1;
	seg(snd + 1, PEER_ACK, "");
	assert_true(p->closed);
	assert_int_equal(p->counters[CNT_tcp_time_wait], 1);
}

static void fin_waits_for_the_gap_before_it(void **state)
{
	(void)state;
	handshake();
	seg(snd + 3, PEER_ACK | PEER_FIN, "def");
	assert_false(p->eof);
	seg(snd, PEER_ACK, "abc");
	assert_memory_equal(p->got, "abcdef", 6);
	assert_true(p->eof);
	assert_int_equal(p->out[p->n_out - 1].ack, snd + 7);
}

static void only_an_exact_rst_kills(void **state)
{
	(void)state;
	handshake();
	seg(snd + 100, PEER_RST, "");
	assert_false(p->closed); /* RFC 5961 3.2 */
	assert_int_equal(p->n_out, 1);
	assert_int_equal(p->out[0].ack, snd);
	seg(snd + 100000, PEER_RST, "");
	assert_false(p->closed);
	seg(snd, PEER_RST, "");
	assert_true(p->closed);
	assert_int_equal(p->reason, TCP_CLOSED_RESET);
}

static void a_syn_in_sync_is_challenged(void **state)
{
	(void)state;
	handshake();
	seg(snd + 5, PEER_SYN, "");
	assert_false(p->closed); /* RFC 5961 4.2 */
	assert_int_equal(p->n_out, 1);
	assert_int_equal(p->out[0].flags, PEER_ACK);
}

static void an_ack_of_the_future_is_not_believed(void **state)
{
	(void)state;
	handshake();
	rcv += 1000;
	seg(snd, PEER_ACK, "x");
	assert_int_equal(p->n_got, 0); /* RFC 5961 5.2 */
	assert_int_equal(p->counters[CNT_tcp_drop_ack_range], 1);
}

static void nobody_listens(void **state)
{
	(void)state;
	p->tuple.local_port = 26;
	peer_inject(p, ISS, 0, PEER_SYN, 65535, "", 0, NULL, 0);
	assert_int_equal(p->n_out, 1);
	assert_int_equal(p->out[0].flags, PEER_RST | PEER_ACK);
	assert_int_equal(p->out[0].ack, ISS + 1);
	peer_clear(p);
	peer_inject(p, ISS, 5, PEER_RST, 0, "", 0, NULL, 0);
	assert_int_equal(p->n_out, 0); /* never a RST for a RST */
}

static void a_closed_window_is_probed(void **state)
{
	(void)state;
	handshake();
	peer_inject(p, snd, rcv, PEER_ACK, 0, "", 0, NULL, 0);
	assert_int_equal(tcp_send(p->conn, "250 ok\r\n", 8), 0);
	tcp_burst_end(p->stack);
	assert_int_equal(p->n_out, 0);
	peer_advance(p, 4000);
	assert_true(p->counters[CNT_tcp_persist] >= 1); /* RFC 9293 3.8.6.1 */
	peer_clear(p);
	seg(snd, PEER_ACK, "");
	assert_int_equal(p->n_out, 1);
	assert_int_equal(p->out[0].len, 8);
}

static void three_duplicate_acks_bring_the_segment_again(void **state)
{
	static uint8_t big[8000];

	(void)state;
	handshake();
	assert_int_equal(tcp_send(p->conn, big, sizeof(big)), 0);
	tcp_burst_end(p->stack);
	assert_true(p->n_out >= 5);
	peer_clear(p);
	seg(snd, PEER_ACK, "");
	seg(snd, PEER_ACK, "");
	assert_int_equal(p->n_out, 2); /* RFC 3042: two new segments */
	assert_int_equal(p->out[0].seq, rcv + 5360);
	assert_int_equal(p->counters[CNT_tcp_limited_transmit], 2);
	peer_clear(p);
	seg(snd, PEER_ACK, "");
	assert_int_equal(p->counters[CNT_tcp_fast_retransmit], 1); /* RFC 5681 3.2 */
	assert_int_equal(p->n_out, 1);
	assert_int_equal(p->out[0].seq, rcv);
}

static void an_aborted_connection_is_reset(void **state)
{
	(void)state;
	handshake();
	tcp_abort(p->conn);
	assert_true(p->closed);
	assert_int_equal(p->reason, TCP_CLOSED_ABORTED);
	assert_true(p->out[0].flags & PEER_RST);
	tcp_burst_end(p->stack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(in_order_data_is_acknowledged_late), T(every_second_segment_is_acknowledged),
		T(a_gap_is_told_at_once_and_filled), T(the_first_byte_of_an_overlap_wins),
		T(what_is_not_taken_closes_the_window_and_comes_again), T(replies_go_again_until_acknowledged),
		T(server_closes_first), T(client_closes_first), T(both_close_at_once),
		T(fin_waits_for_the_gap_before_it), T(only_an_exact_rst_kills), T(a_syn_in_sync_is_challenged),
		T(an_ack_of_the_future_is_not_believed), T(nobody_listens), T(a_closed_window_is_probed),
		T(three_duplicate_acks_bring_the_segment_again), T(an_aborted_connection_is_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
