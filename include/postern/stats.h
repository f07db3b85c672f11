/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Every counter and every drop or refusal reason, once. X(name, kind, help)
 *   kind C: event counter   D: something was dropped or refused for this reason   G: gauge
 * The dataplane's list is a block per worker in shared memory (single writer); control's own list
 * is in its memory. CLI and metrics take names and help from here: postern_<name>_total.
 */

#include <stddef.h>
#include <stdint.h>

/* clang-format off */
#define POSTERN_DP_COUNTERS(X) \
	/* worker */ \
	X(loop_turns, C, "turns of the poll loop") \
	X(busy_cycles, C, "TSC cycles in turns that did work") \
	X(total_cycles, C, "TSC cycles in all turns") \
	X(idle_sleeps, C, "times the idle back-off slept") \
	/* port and net */ \
	X(rx_packets, C, "packets received") \
	X(rx_bytes, C, "octets received") \
	X(tx_packets, C, "packets handed to the driver") \
	X(tx_bytes, C, "octets handed to the driver") \
	X(tx_drop_no_mbuf, D, "packet not sent: no mbuf") \
	X(tx_drop_ring_full, D, "packet not sent: driver took no more") \
	X(rx_drop_short, D, "packet shorter than its headers") \
	X(rx_drop_ethertype, D, "EtherType that is not ours") \
	X(rx_drop_not_ours, D, "destination MAC or IP address that is not ours") \
	X(rx_drop_ip_header, D, "malformed IPv4 or IPv6 header") \
	X(rx_drop_ip_checksum, D, "bad IPv4 header checksum") \
	X(rx_drop_source, D, "source address that cannot be (multicast, zero, our own)") \
	X(rx_drop_fragment, D, "fragment dropped: budget, overlap or time-out") \
	X(rx_drop_fragment_low, D, "fragment not kept: receive buffers low (--rx-mbufs)") \
	X(rx_drop_ip_proto, D, "transport protocol that is not ours") \
	X(rx_drop_ext_header, D, "IPv6 extension header chain too long or malformed") \
	X(rx_drop_l4_checksum, D, "bad TCP, ICMP or ICMPv6 checksum") \
	X(rx_pool_empty, D, "receive bursts cut short: no receive buffer left (--rx-mbufs)") \
	X(rx_drop_chain, D, "packet in more buffers, or longer, than is taken") \
	X(rx_reassembled, C, "datagrams put together from fragments") \
	X(arp_rx, C, "ARP packets for us") \
	X(arp_tx, C, "ARP replies and announcements sent") \
	X(nd_rx, C, "neighbour solicitations for us") \
	X(nd_tx, C, "neighbour advertisements sent") \
	X(arp_drop, D, "ARP malformed, not for us, from our own address, or over its rate") \
	X(nd_drop, D, "neighbour solicitation malformed, not for us, or over its rate") \
	X(icmp_echo, C, "echo requests answered") \
	X(icmp_error_rx, C, "ICMP errors received that quote TCP") \
	X(icmp_drop, D, "ICMP message of a kind that is not handled, or over its rate") \
	X(steer_out, C, "packets forwarded to the worker that owns the flow") \
	X(steer_in, C, "packets received from another worker") \
	X(steer_drop, D, "packet for another worker: its ring was full") \
	X(steer_drop_low, D, "packet for another worker: receive buffers low (--rx-mbufs)") \
	/* tap */ \
	X(tap_packets, C, "packets of tap ports") \
	X(tap_tunnelled, C, "packets taken out of GRE, ERSPAN or VXLAN") \
	X(tap_segments, C, "TCP segments of followed flows on tap ports") \
	X(tap_not_smtp, C, "TCP segments on tap ports of other ports than those watched") \
	X(tap_no_flow, C, "segments of no flow: its SYN was not seen, or it has ended") \
	X(tap_flows, C, "flows begun on tap ports") \
	X(tap_flows_midstream, C, "of these, without a SYN") \
	X(tap_flow_evicted, D, "flows given up for want of an entry") \
	X(tap_retransmitted, C, "segments without a new octet") \
	X(tap_out_of_order, C, "segments that waited for octets before them") \
	X(tap_keepalive, C, "keep-alives") \
	X(tap_probe, C, "zero-window probes") \
	X(tap_ack_range, C, "ACKs of octets that cannot have been received") \
	X(tap_taken_up, D, "times a side was taken up anew, far from where it was: over a window is missing") \
	X(tap_unacked, D, "octets judged before they were acknowledged: bound reached") \
	X(tap_unacked_lost, D, "octets never acknowledged and not judged") \
	X(tap_ooo_cap, D, "segments out of order dropped: too many of one side") \
	X(tap_budget, D, "segments dropped: pool of waiting payloads empty") \
	X(tap_gap_never_seen, D, "octets missing: not in the capture") \
	X(tap_gap_nic_missed, D, "octets missing: the NIC dropped packets") \
	X(tap_gap_no_mbuf, D, "octets missing: no receive buffer") \
	X(tap_gap_ooo_cap, D, "octets missing: tap_ooo_cap") \
	X(tap_gap_budget, D, "octets missing: tap_budget") \
	X(tap_gap_checksum, D, "octets missing: bad checksum") \
	X(tap_overlap_diff, C, "overlapping segments that differ") \
	X(tap_out_of_window, D, "segments beyond the receiver's window") \
	X(tap_rst_in_window, D, "RSTs in the window and not exact: no flow ends") \
	X(tap_rst_out_of_window, D, "RSTs outside the window") \
	X(tap_data_after_rst, C, "payload behind the sender's own RST") \
	X(tap_syn_in_flow, D, "SYNs in an open flow") \
	X(tap_syn_data, D, "SYNs with payload, which is not looked at") \
	X(tap_data_after_fin, C, "payload behind the sender's own FIN") \
	X(tap_fin_false, C, "FINs that the receiver did not take for one") \
	X(tap_paws, D, "segments with an old timestamp (RFC 7323)") \
	X(tap_no_ack, D, "segments without ACK") \
	X(tap_bad_flags, D, "flag combinations that cannot be") \
	X(tap_bad_checksum, D, "segments with a bad checksum") \
	X(tap_ttl, C, "segments whose TTL is not that of their flow") \
	X(tap_tiny_segments, C, "runs of tiny segments") \
	X(tap_urgent, C, "segments with urgent data, taken as data") \
	X(tap_early_talk, C, "clients that spoke before the banner") \
	X(tap_early_data, C, "clients that sent content before the reply to DATA") \
	X(tap_bare_lf_command, C, "command lines that end in LF alone") \
	X(tap_bare_lf, C, "messages with a bare LF") \
	X(tap_bare_cr, C, "messages with a bare CR") \
	X(tap_nul, C, "messages with a NUL") \
	X(tap_lookalike, C, "messages with an end-of-data look-alike") \
	X(tap_disputed_end, C, "messages whose server saw an end of data at a look-alike") \
	X(tap_early_reply, C, "replies before the end of data") \
	X(tap_unpaired_reply, C, "replies to nothing") \
	X(tap_bad_reply, C, "lines of servers that are no reply") \
	X(tap_pairing_lost, C, "times replies could not be told to which command they belong") \
	X(tap_bad_bdat, C, "malformed BDAT") \
	X(tap_long_line, C, "command or reply lines over the limit") \
	X(tap_nested_mail, C, "MAIL inside a transaction") \
	X(tap_starttls_injection, C, "clear text behind STARTTLS") \
	X(tap_cut, C, "envelopes longer than is told") \
	X(tap_bypassed, D, "observed connections not followed, or no further: exceptions control-down and gap") \
	X(tap_encrypted_untold, D, "observed sessions gone to TLS that have no record: no control, arena, or ring full") \
	X(tap_gave_way, D, "observed messages given up for others: silent for a minute, and the arena was short") \
	X(tap_no_session, D, "flows not followed: no session left") \
	X(tap_no_message, D, "messages not followed: no message left") \
	X(tap_messages, C, "messages seen on tap ports") \
	X(tap_incomplete, C, "of these, not whole") \
	X(tap_encrypted, C, "sessions gone over to TLS") \
	X(tap_data_refused, C, "DATA refused by the server") \
	X(tap_rcpt_refused, C, "recipients refused by the server") \
	X(tap_submitted, C, "messages and encrypted sessions of tap ports given to control") \
	X(tap_unjudged_control, D, "messages of tap ports not judged: control was not there") \
	X(tap_unjudged_arena, D, "messages of tap ports not judged: no room in the arena") \
	X(tap_unjudged_size, D, "messages of tap ports not judged: over max-message") \
	X(tap_unjudged_ring, D, "messages of tap ports not judged: the ring to control is full") \
	X(tap_unjudged_timeout, D, "messages of tap ports not judged: they took too long") \
	X(tap_copied_low, C, "segments of tap ports copied, not held: receive buffers low") \
	/* inline */ \
	X(inline_bridged_packets, C, "frames taken from one end of a cable to the other as they are") \
	X(inline_bridged_bytes, C, "octets of these") \
	X(inline_drop_mtu, D, "frames of a cable longer than its other end takes") \
	X(inline_terminated, C, "segments of clients that our TCP took in a server's name") \
	X(inline_watched, C, "packets that passed a cable and were watched") \
	X(inline_kernel_out, C, "segments of onward connections out of the exception port") \
	X(inline_kernel_in, C, "segments of servers that went to the exception port") \
	X(inline_neighbour_copied, C, "ARP and ND of a cable copied to the exception port") \
	X(inline_pass_own, C, "segments to servers from own-sources, which pass") \
	X(inline_pass_bypass, C, "segments to servers that pass: bypass") \
	X(inline_pass_control_down, C, "flows let by: control is not there") \
	X(inline_pass_no_memory, C, "flows let by: no memory") \
	X(inline_pass_midstream, C, "flows let by: their begin was not seen; and stray RSTs") \
	X(inline_pass_fragment, C, "fragments to servers let by") \
	X(inline_pass_malformed, C, "malformed packets to servers let by") \
	X(inline_drop_control_down, D, "flows to servers dropped: control is not there") \
	X(inline_drop_no_memory, D, "flows to servers dropped: no memory") \
	X(inline_drop_midstream, D, "flows to servers dropped: their begin was not seen") \
	X(inline_drop_fragment, D, "fragments to servers dropped") \
	X(inline_drop_malformed, D, "malformed packets to servers dropped") \
	X(inline_reject_control_down, D, "flows to servers answered 451 or 421: control is not there") \
	X(inline_reject, D, "flows to servers answered by a RST: no memory") \
	X(inline_drop_flow, D, "packets of flows that are dropped") \
	X(inline_drop_server, D, "packets of servers into flows that are terminated") \
	X(inline_drop_no_exception, D, "frames for the exception port that cannot be copied or sent") \
	X(inline_flow_evicted, D, "flows of a cable forgotten for want of an entry (--inline-flows)") \
	X(inline_link_mirrored, C, "times an end of a cable was taken down with the other") \
	X(inline_link_unsupported, D, "times its driver could not") \
	/* tcp */ \
	X(tcp_segments, C, "TCP segments accepted for processing") \
	X(tcp_syn, C, "SYNs received for a listener") \
	X(tcp_accepted, C, "connections established") \
	X(tcp_cookie_sent, C, "SYN cookies sent") \
	X(tcp_cookie_accepted, C, "connections established by SYN cookie") \
	X(tcp_cookie_bad, D, "ACK that is no valid SYN cookie") \
	X(tcp_syn_drop_pressure, D, "SYN not answered: memory pressure") \
	X(tcp_conn_drop_pool, D, "handshake complete but no TCB left") \
	X(tcp_drop_header, D, "malformed TCP header or options") \
	X(tcp_drop_flags, D, "flag combination that cannot be") \
	X(tcp_drop_port, D, "port 0") \
	X(tcp_drop_out_of_window, D, "segment outside the receive window") \
	X(tcp_drop_ack_range, D, "ACK outside the acceptable range") \
	X(tcp_drop_no_ts, D, "segments without the timestamp that was agreed on") \
	X(tcp_drop_paws, D, "old timestamp") \
	X(tcp_drop_no_flow, D, "segment of no flow, answered by RST where allowed") \
	X(tcp_drop_surplus, D, "octets beyond the window, dropped unacknowledged") \
	X(tcp_drop_ooo_budget, D, "out-of-order octets dropped: budget") \
	X(tcp_drop_held_pool, D, "in-order octets dropped unacknowledged: block pool empty") \
	X(tcp_evicted, D, "connections cut by memory pressure") \
	X(tcp_refused, D, "connections reset because accept() refused them") \
	X(tcp_challenge_ack, C, "challenge ACKs sent") \
	X(tcp_challenge_limited, D, "challenge ACKs not sent: limit") \
	X(tcp_rst_rx, C, "valid RSTs received") \
	X(tcp_rst_rx_bad, D, "RSTs that did not hit RCV.NXT") \
	X(tcp_rst_tx, C, "RSTs sent") \
	X(tcp_rst_limited, D, "RSTs not sent: limit") \
	X(tcp_ooo, C, "segments received out of order") \
	X(tcp_duplicate, C, "segments received a second time") \
	X(tcp_overlap_diff, C, "overlaps whose octets differed; the first stays") \
	X(tcp_retransmit, C, "segments sent again") \
	X(tcp_fast_retransmit, C, "fast retransmits") \
	X(tcp_sack_recovery, C, "losses repaired by the peer's SACK blocks") \
	X(tcp_sack_board_empty, D, "SACK blocks not kept: no scoreboard left") \
	X(tcp_limited_transmit, C, "new segments sent on the first duplicate ACKs") \
	X(tcp_rto, C, "retransmission time-outs") \
	X(tcp_persist, C, "window probes sent") \
	X(tcp_zero_window_rx, C, "window probes answered") \
	X(tcp_timeout, D, "connections given up after retransmissions or persist") \
	X(tcp_time_wait, C, "entries that went to TIME_WAIT") \
	X(tcp_time_wait_recycled, C, "TIME_WAIT entries recycled before their time") \
	X(tcp_time_wait_reuse, C, "SYNs that reused a TIME_WAIT entry") \
	X(tcp_data_on_syn, C, "SYNs that carried data") \
	X(tcp_urgent, C, "segments with URG") \
	X(tcp_option_ignored, C, "SYNs with options that we refuse (TFO, MPTCP, MD5, AO)") \
	X(tcp_pmtu_black_hole, C, "connections whose full segments did not get through") \
	X(tcp_pmtu_lowered, C, "path MTU reductions believed") \
	X(tcp_icmp_ignored, D, "ICMP errors not believed") \
	X(tcp_tx_block_empty, D, "reply octets refused: transmit pool empty") \
	/* smtp */ \
	X(smtp_sessions, C, "sessions started") \
	X(smtp_early_talker, C, "clients that spoke before the banner") \
	X(smtp_early_refused, D, "sessions refused: the client spoke before the banner") \
	X(proxy_headers, C, "sessions that began with a PROXY header") \
	X(proxy_tlv_cut, C, "PROXY headers whose TLVs were not kept whole") \
	X(proxy_bad, D, "sessions cut: no or a malformed PROXY header from who must send one") \
	X(proxy_timeout, D, "sessions cut: PROXY header not complete in time") \
	X(xclient, C, "XCLIENT commands believed") \
	X(xclient_denied, D, "XCLIENT commands refused: the peer is not in the trust list") \
	X(smtp_commands, C, "commands parsed") \
	X(smtp_bad_command, D, "commands that are unknown or malformed (500, 501)") \
	X(smtp_bad_chunk, D, "sessions cut: a BDAT whose size cannot be read") \
	X(smtp_bad_sequence, D, "commands out of sequence (503)") \
	X(smtp_line_too_long, D, "command lines over the limit") \
	X(smtp_non_smtp, D, "sessions cut: another protocol (HTTP, CONNECT, TLS)") \
	X(smtp_too_many_errors, D, "sessions cut: error budget") \
	X(smtp_errors_observed, C, "sessions over their error budget that go on (observe)") \
	X(smtp_too_many_transactions, D, "sessions cut: transactions") \
	X(smtp_timeout, D, "sessions cut: deadline of the phase") \
	X(smtp_slow, D, "sessions cut: data rate below the minimum") \
	X(smtp_slow_large, D, "sessions cut: data rate of a large message below the minimum") \
	X(smtp_slow_observed, C, "messages below a minimum of the data rate that go on (observe)") \
	X(smtp_data_total_observed, C, "messages over the time for DATA that go on (observe)") \
	X(smtp_size_declared, D, "MAIL refused: SIZE over the limit") \
	X(smtp_size_exceeded, D, "messages refused: content over the limit") \
	X(smtp_rcpt_limit, D, "recipients refused: too many in a transaction") \
	X(smtp_no_arena, D, "MAIL or DATA refused: arena or record pool empty (452)") \
	X(smtp_control_down, D, "refused: control is not there (451 or 421)") \
	X(smtp_bare_lf, D, "messages refused: bare LF in DATA") \
	X(smtp_bare_cr, D, "messages refused: bare CR beside a dot or LF, or by option") \
	X(smtp_line_limit, D, "messages refused: content line over the configured maximum") \
	X(smtp_no_line_buffer, D, "sessions cut: no buffer for a partial command line or a long name") \
	X(smtp_no_content, D, "DATA or BDAT refused: too many sessions in it at once (452, 421)") \
	X(smtp_idle_command, D, "commands without effect over their number") \
	X(smtp_idle_observed, C, "times that number was passed and not blamed (observe)") \
	X(smtp_lookalike, C, "end-of-data look-alikes seen") \
	X(smtp_refused_connect, D, "sessions refused by control at CONNECT") \
	X(smtp_refused_rcpt, D, "recipients refused by control") \
	X(smtp_messages, C, "messages submitted to control") \
	X(smtp_message_bytes, C, "octets of content submitted") \
	X(smtp_reply_2xx, C, "messages answered 2xx") \
	X(smtp_reply_4xx, C, "messages answered 4xx") \
	X(smtp_reply_5xx, C, "messages answered 5xx") \
	X(smtp_client_gone, C, "clients gone while a message was being judged") \
	X(smtp_verdict_timeout, D, "messages answered 451: no verdict in time") \
	X(smtp_reply_acked, C, "final replies acknowledged by the client") \
	X(smtp_reply_lost, C, "final replies that were never acknowledged") \
	/* tls */ \
	X(smtp_starttls, C, "STARTTLS commands followed") \
	X(smtp_tls_injected, D, "sessions cut: clear text behind STARTTLS") \
	X(smtp_tls_timeout, D, "sessions cut: TLS handshake not complete in time") \
	X(tls_handshakes, C, "TLS handshakes completed") \
	X(tls_resumed, C, "TLS handshakes that resumed a session") \
	X(tls_version_1_2, C, "TLS handshakes completed with TLS 1.2") \
	X(tls_version_1_3, C, "TLS handshakes completed with TLS 1.3") \
	X(tls_client_verified, C, "clients whose certificate chains to client_ca") \
	X(tls_failed_version, D, "TLS failed: no common version (min_version)") \
	X(tls_failed_cipher, D, "TLS failed: no common cipher, group or signature algorithm") \
	X(tls_failed_alert, D, "TLS failed: the client sent a fatal alert") \
	X(tls_failed_protocol, D, "TLS failed: malformed, or not TLS at all") \
	X(tls_failed_memory, D, "TLS failed: out of memory or of room for a reply") \
	X(tls_failed_overflow, D, "TLS failed: handshake larger than we take") \
	X(tls_barren, D, "TLS failed: too many records without data in a row") \
	X(tls_abandoned, C, "clients gone while their TLS handshake was under way") \
	X(tls_full, D, "STARTTLS refused: no TLS connection left") \
	X(tls_pool_steps, C, "flights of handshakes given to the pool") \
	/* scan */ \
	X(scan_runs, C, "runs scanned") \
	X(scan_bytes, C, "octets scanned") \
	X(scan_matches, C, "matches reported") \
	X(scan_error, D, "scans that failed; message marked partial") \
	X(scan_no_stream, D, "large messages not scanned whole: no stream left") \
	/* content: marks of messages whose views were made */ \
	X(content_header_cut, D, "messages with a header block or field past its bound") \
	X(content_nesting, D, "messages with parts nested too deep") \
	X(content_parts, D, "messages with too many parts") \
	X(content_no_end, C, "messages with a multipart that does not end") \
	X(content_bad_boundary, D, "messages with a boundary that is missing, empty, too long or doubled") \
	X(content_bad_encoding, C, "messages with octets that base64 or quoted-printable cannot hold") \
	X(content_unknown_encoding, C, "messages with an unknown transfer encoding") \
	X(content_unknown_charset, C, "messages with an unknown charset") \
	X(content_bad_charset, C, "messages with octets that their charset cannot hold") \
	X(content_nul, C, "messages with NUL in a header or in text") \
	X(content_8bit_header, C, "messages with 8-bit octets in a header") \
	X(content_html_cut, D, "messages with HTML past a bound") \
	X(content_uri_cut, D, "messages with more or longer URIs than are kept") \
	X(content_duplicate_field, C, "messages with a doubled Content-Type or -Transfer-Encoding") \
	X(content_bad_field, C, "messages with a line in a header that is no field") \
	X(content_archive, C, "messages with an archive whose directory is not as it should be") \
	/* handoff */ \
	X(handoff_submit, C, "descriptors put on submit rings") \
	X(handoff_ring_full, C, "times a submit ring was full and the session waited") \
	X(handoff_verdicts, C, "verdict records read") \
	X(handoff_stale, D, "verdicts for a session or record that is gone") \
	X(handoff_invalid, D, "verdict records that failed validation") \
	X(handoff_doorbell, C, "doorbells rung for control") \
	X(handoff_pinned, C, "messages pinned after CANCEL until RELEASE") \
	X(arena_window_closed, C, "times a DATA flow was held because the arena ran low") \
	X(arena_evicted, D, "sessions cut to free the arena") \
	X(arena_evicted_slow, D, "sessions cut to free the arena: slow, or over the share of the source") \
	X(arena_share_refused, D, "DATA refused: the source holds its share of the arena (452)") \
	X(arena_share_held, C, "times a DATA flow was held because its source is over its share") \
	X(arena_share_observed, C, "messages that go on though their source is over its share (observe)") \
	X(arena_route_refused, D, "DATA refused: the route holds its share of the arena (452)") \
	X(arena_route_held, C, "times a DATA flow was held because its route is over its share") \
	/* sessions */ \
	X(sessions_full, D, "connections reset: no session left (--max-sessions)") \
	X(sessions_evicted, D, "idle sessions sent away with 421 to make room for new ones") \
	/* gauges */ \
	X(sessions_now, G, "sessions open") \
	X(conns_now, G, "TCP connections") \
	X(time_wait_now, G, "TIME_WAIT entries") \
	X(arena_chunks_used, G, "arena chunks in use") \
	X(arena_records_used, G, "message records in use") \
	X(draining, G, "1: new connections get 421, as an operator asked") \
	X(generations_behind, G, "reloads that the oldest message being scanned has outlived")

#define POSTERN_CTL_COUNTERS(X) \
	X(connects, C, "connection questions answered") \
	X(rcpts, C, "recipient questions answered") \
	X(relay_denied, D, "recipients refused: not a configured domain") \
	X(rcpt_remembered, D, "recipients refused from a remembered next-hop reply") \
	X(rcpt_other_route, D, "recipients deferred: another route was taken (452 4.5.3)") \
	X(rcpt_unlisted, D, "recipients refused: not in the list of their route") \
	X(rcpt_too_big, D, "recipients refused: the declared size is over that of the next hop (550 5.3.4)") \
	X(rcpt_over_limit, D, "recipients deferred: max-recipients of their route (452 4.5.3)") \
	X(rcpt_too_many, D, "recipients deferred: the next hop takes them in smaller transactions (452 4.5.3)") \
	X(breaker_opened, C, "breakers of routes that opened") \
	X(breaker_deferred, D, "5xx of a next hop turned into 451 by an open breaker") \
	X(overload_deferred, D, "recipients deferred: their route is at its bound (451 4.4.5)") \
	X(overload_memory, D, "recipients deferred: their route holds its share of the arena (451 4.4.5)") \
	X(overload_closed, D, "sessions ended that insisted on a route that is shedding (421 4.4.5)") \
	X(overload_opened, C, "times a route began to shed") \
	X(callouts, C, "recipient callouts to next hops") \
	X(callout_failed, C, "callouts without an answer in time") \
	X(messages, C, "messages judged") \
	X(loops, D, "messages refused: they go round, or are over too many hops (554 5.4.6)") \
	X(rcpt_loops, D, "recipients that the next hop asked us for while we asked it for them (451 4.4.6)") \
	X(headers_malformed, D, "messages refused: malformed or oversized header (554 5.6.0)") \
	X(not_judged, D, "messages deferred: they could not be judged (451 4.3.0)") \
	X(delivered, C, "messages delivered") \
	X(indoubt_entries, G, "recipients of delivered messages whose client may not know") \
	X(indoubt_kept, C, "recipients whose 250 was not acknowledged") \
	X(indoubt_answered, C, "messages answered from the in-doubt table, not delivered again") \
	X(indoubt_pushed_out, C, "entries of the in-doubt table that lost their place") \
	X(quarantined, C, "messages put into quarantine") \
	X(quarantine_redirected, C, "of these, taken by the next hop of a quarantine mailbox") \
	X(discarded, D, "messages answered 250 and given to nobody, as configuration says") \
	X(quarantine_failed, C, "messages that quarantine did not take, deferred") \
	X(quarantine_held, G, "messages in quarantine") \
	X(quarantine_bytes, G, "octets of messages in quarantine") \
	X(quarantine_expired, C, "messages in quarantine deleted for their age") \
	X(quarantine_released, C, "messages released from quarantine, for one recipient or more") \
	X(quarantine_release_busy, D, "releases refused: the message is being released already") \
	X(observed, C, "messages of tap ports judged") \
	X(observed_incomplete, C, "of these, not whole") \
	X(observed_unjudged, D, "messages of tap ports told and not judged") \
	X(observed_encrypted, C, "sessions on tap ports that went over to TLS") \
	X(journaled, C, "copies of observed messages that the journal's next hop took") \
	X(journal_failed, C, "copies of observed messages that it did not take") \
	X(journal_own, D, "copies of observed messages not sent: they had been here already") \
	X(journal_full, D, "copies of observed messages not sent: too many under way") \
	X(deferred, C, "messages answered 4xx") \
	X(rejected, C, "messages answered 5xx") \
	X(aborted, C, "messages given up before the onward dot (client gone, cancel)") \
	X(desc_invalid, D, "descriptors or records that failed validation") \
	X(desc_stale, D, "descriptors for a session or record that is gone") \
	X(headers_removed, C, "forged own headers removed") \
	X(signatures_voided_oversigned_trace, C, "signatures void: h= wants a field of ours absent") \
	X(signatures_voided_forged_own_header, C, "signatures void: they cover a forged field") \
	X(signatures_voided_foreign_trust, C, "signatures void: they cover a stripped field") \
	X(signatures_broken, C, "signatures that verified on arrival and not on departure") \
	X(reverified, C, "messages whose signatures were verified again on departure") \
	X(reverify_unsettled, C, "signatures whose key was gone then; what they cover was unchanged") \
	X(reverify_unfinished, C, "such verifications that the message did not wait for") \
	X(received_spf_left_out, C, "messages without Received-SPF because a signature wants none") \
	X(foreign_trust, C, "messages of unlisted peers with trust headers of another mail system") \
	X(foreign_trust_stripped, C, "such headers removed") \
	X(foreign_trust_refused, D, "messages refused for such headers") \
	X(spf_pass, C, "spf=pass") X(spf_fail, C, "spf=fail") X(spf_softfail, C, "spf=softfail") \
	X(spf_neutral, C, "spf=neutral") X(spf_none, C, "spf=none") \
	X(spf_temperror, C, "spf=temperror") X(spf_permerror, C, "spf=permerror") \
	X(spf_cache_hits, C, "SPF checks answered by a result kept or under way") \
	X(spf_cache_misses, C, "SPF checks evaluated") \
	X(spf_worker_died, C, "SPF workers that died and were respawned") \
	X(spf_helper_died, D, "processes that fork SPF workers that died") \
	X(dkim_pass, C, "signatures that verified") X(dkim_fail, C, "signatures that did not") \
	X(dkim_neutral, C, "signatures not judged") X(dkim_temperror, C, "signatures without key") \
	X(dkim_permerror, C, "signatures malformed") \
	X(dkim_key_hits, C, "key records found parsed, of DKIM and ARC") \
	X(dkim_key_misses, C, "key records parsed") \
	X(arc_pass, C, "chains that verified") X(arc_fail, C, "chains that did not") \
	X(arc_none, C, "messages without a chain") \
	X(arc_sealed, C, "messages that our set was put on") \
	X(arc_seal_failed, C, "messages that went out unsealed: no key, or it could not be done") \
	X(arc_seal_waited, C, "messages sealed on the event loop: too many waited for the threads that seal") \
	X(arc_seal_skipped, C, "messages not sealed: the chain has ended or 50 sets") \
	X(dmarc_pass, C, "dmarc=pass") X(dmarc_fail, C, "dmarc=fail") \
	X(dmarc_none, C, "dmarc=none") X(dmarc_temperror, C, "dmarc=temperror") \
	X(dmarc_permerror, C, "dmarc=permerror: From fields that cannot be judged") \
	X(dmarc_psl_differs, C, "messages that the public suffix list would judge otherwise") \
	X(dmarc_tagged, C, "messages tagged for DMARC alone") \
	X(dmarc_refused, D, "messages refused for DMARC") \
	X(dmarc_overridden_forwarder, C, "failed DMARC policies lifted by a trusted forwarder") \
	X(dmarc_overridden_sealer, C, "failed DMARC policies lifted by a chain of trusted sealers") \
	X(access_denied, D, "messages, recipients and sessions that a deny list of policy named") \
	X(access_allowed, C, "messages that an allow list of policy named") \
	X(policy_rule, D, "messages refused or deferred: action of a rule") \
	X(policy_score, D, "messages refused or deferred: reject-score, defer-score") \
	X(greylist_deferred, D, "recipients deferred: a sender nobody knows yet (451 4.7.1)") \
	X(greylist_passed, C, "recipients taken at a retry in its time") \
	X(greylist_known, C, "recipients taken at once: the sender is known") \
	X(greylist_spared, C, "recipients that a dry run did not defer") \
	X(greylist_pushed_out, C, "entries of the greylist that lost their place") \
	X(dnsbl_listed, C, "listings in lists in the DNS") \
	X(dnsbl_not_listed, C, "answers of such lists that say no") \
	X(dnsbl_failed, C, "questions to such lists without an answer") \
	X(dnsbl_no_list, C, "answers of such lists that are error codes or no listings") \
	X(dnsbl_broken, C, "listings not believed: the list's test entries are wrong") \
	X(dnsbl_refused, D, "messages refused or deferred: the sender is in a list in the DNS") \
	X(policy_spf_fail, D, "messages refused or deferred: policy.spf-fail") \
	X(policy_spf_error, D, "messages refused or deferred: policy.spf-permerror, spf-temperror") \
	X(policy_dkim, D, "messages refused or deferred: policy.dkim-required") \
	X(policy_reverse_dns, D, "messages refused or deferred: policy.reverse-dns") \
	X(policy_arc, D, "messages refused or deferred: policy.arc-fail") \
	X(policy_null_mx, D, "messages refused or deferred: policy.null-mx") \
	X(policy_spared, C, "messages that a dry run let pass") \
	X(policy_several, D, "messages refused or deferred: more than one of these") \
	X(origin_unresolved, D, "messages deferred: a relay's Received line did not parse or fit") \
	X(origin_unproven, D, "messages from a relay's address without its certificate or tenant's header") \
	X(origin_contradicted, C, "messages whose relay's own header names another sender than the walk") \
	X(origin_chained, C, "messages whose sender a chained instance proved") \
	X(origin_chain_failed, D, "messages of a chained instance without a valid chain field") \
	X(origin_private_peer, D, "sessions refused: private address that is not listed") \
	X(source_denied, D, "sessions refused: policy.deny") \
	X(source_sessions, D, "sessions refused: too many of one source at once") \
	X(source_sessions_observed, C, "sessions that source_sessions would have refused") \
	X(source_rate, D, "sessions refused: too many of one source in a minute") \
	X(source_rate_observed, C, "sessions that source_rate would have refused") \
	X(source_failures, D, "sessions and recipients refused: failures of the source") \
	X(source_failures_observed, C, "what source_failures would have refused") \
	X(source_unknown, D, "sessions and recipients refused: unknown recipients of the source") \
	X(source_unknown_observed, C, "what source_unknown would have refused") \
	X(source_evicted, C, "sources forgotten for want of room, that were worth something") \
	X(rule_messages, C, "messages judged by rules") \
	X(rule_messages_open, C, "of these, messages with an open gate") \
	X(rule_messages_in_full, C, "of these, messages with every pattern evaluated: matches cut, scan not whole") \
	X(rule_ns, C, "nanoseconds that control spent on rules, by the clock") \
	X(rule_pattern_ns, C, "of these, in PCRE2") \
	X(rule_text_ns, C, "of these, making texts") \
	X(rule_evaluated, C, "patterns that PCRE2 was asked about") \
	X(rule_matches, C, "rules hit") \
	X(rule_gates, C, "rules that control looked at because their gate was open") \
	X(rule_texts, C, "texts of views and headers made anew for rules") \
	X(rule_texts_partial, C, "texts that the dataplane looked at in part: control looks at all of them") \
	X(rule_texts_failed, D, "texts that could not be made: their rules did not hit") \
	X(rule_limited, D, "rules that did not hit because PCRE2 met a limit or the time was up") \
	X(rule_hits_cut, D, "messages that more rules hit than are told") \
	X(rule_texts_cut, D, "messages with a text longer than control looks at for rules and lists") \
	X(list_hits, C, "messages with something that a list section names") \
	X(attachment_hits, C, "messages with an attachment that an attachment section means") \
	X(nexthop_connects, C, "connections opened to next hops") \
	X(nexthop_connect_failed, C, "connection attempts to next hops that failed") \
	X(nexthop_reused, C, "messages sent on a pooled connection") \
	X(nexthop_relay_fault, D, "refusals that speak of the relay, answered 451") \
	X(nexthop_reset, C, "connections lost in a transaction") \
	X(nexthop_timeout, C, "next hops that did not answer, or took nothing, in time") \
	X(nexthop_in_doubt, C, "onward dots without a reply") \
	X(nexthop_queue_full, D, "transactions deferred: too many wait for a connection of the route") \
	X(nexthop_queue_timeout, D, "transactions deferred: no connection of the route in its queue-timeout") \
	X(route_null_mx, D, "transactions refused: the recipient's domain has a null MX") \
	X(route_mx_self, D, "transactions deferred: the MX records of the route lead back here") \
	X(route_mx_nowhere, D, "transactions deferred: no domain or no host behind the MX records of the route") \
	X(route_mx_failed, D, "look-ups of MX records that failed: no answer, or bogus") \
	X(nexthop_failover, C, "transactions taken to another address of the next hop") \
	X(nexthop_stale, C, "pooled connections found dead at MAIL, message sent on a fresh one") \
	X(nexthop_garbage, C, "next-hop replies that were no SMTP") \
	X(nexthop_rcpt_refused, C, "recipients refused at delivery and remembered") \
	X(nexthop_no_xclient, D, "transactions deferred: the route wants XCLIENT, its next hop does not offer it") \
	X(inline_unlisted, D, "recipients deferred: the server of a cable that was dialled is listed no more") \
	X(nexthop_transparent, C, "connections to servers of a cable that come from the client's address") \
	X(nexthop_no_transparent, D, "such connections that could not be had: no capability, interface or address") \
	X(nexthop_split, C, "messages refused behind their content for a recipient, deferred to go one by one") \
	X(nexthop_unsendable, D, "messages refused here: the next hop lacks the size or an extension") \
	X(nexthop_bdat, C, "messages delivered by BDAT") \
	X(nexthop_crlf_added, C, "messages delivered by DATA with a final CRLF that they lacked") \
	X(nexthop_tls, C, "TLS handshakes with next hops that came to their end") \
	X(nexthop_tls_resumed, C, "of these, resumed") \
	X(nexthop_tls_failed, D, "attempts at next hops that ended for want of TLS as it should be") \
	X(nexthop_tls_untrusted, D, "of these, the certificate was not the one asked for") \
	X(nexthop_tls_injected, D, "of these, octets in clear behind the reply to STARTTLS") \
	X(nexthop_tlsa_failed, D, "next hops passed over: TLSA records bogus or not to be had") \
	X(nexthop_tls_fallback, C, "TLS failed or was refused, gone on in clear (tls = may)") \
	X(sts_fetched, C, "MTA-STS policies fetched") \
	X(sts_fetch_failed, D, "MTA-STS policies that a domain has and that could not be fetched or read") \
	X(sts_enforced, C, "transactions under an MTA-STS policy in mode enforce") \
	X(sts_mx_refused, D, "hosts of MX records that the MTA-STS policy of their domain does not name") \
	X(sts_refused, D, "transactions deferred: their MTA-STS policy names no host of the MX records") \
	X(sts_testing_failed, C, "what an MTA-STS policy in mode testing would have refused") \
	X(rules_compiled, C, "sets of rules compiled, or found in the cache, for a start or a reload") \
	X(rules_compile_failed, D, "sets of rules that were not taken over: an error, a limit, a compiler killed") \
	X(rules_helper_died, D, "processes that fork compilers of rules that died") \
	X(state_failed, D, "writes of the state directory that failed; they are tried again") \
	X(state_damaged, D, "documents of the state directory that could not be read at the start") \
	X(trace_records, C, "trace records written") \
	X(trace_untold, D, "refusals before there was a message that have no trace record: too many a second") \
	X(trace_failed, D, "trace records that could not be written") \
	X(trace_rotated, C, "times the trace file reached its size and was rotated") \
	X(trace_rotate_failed, D, "times that did not work and it grew on") \
	X(trace_indexed, C, "trace records put into the index") \
	X(trace_index_bad, D, "lines of the trace file that are no records") \
	X(trace_index_failed, D, "transactions of the trace index that failed; they are tried again") \
	X(trace_index_dropped, D, "trace files deleted by rotation before the index had read them") \
	X(trace_index_pruned, C, "trace records that the index forgot for age or size") \
	X(trace_index_rebuilt, C, "damaged trace indexes that were put aside and made anew") \
	X(trace_index_lag_bytes, G, "octets of the trace file that the index has not read") \
	X(trace_index_bytes, G, "octets of the trace index in use") \
	X(trace_shares_diverging, G, "ways of a route whose verdicts differ from its others, last hour") \
	X(api_requests, C, "requests on the control socket") \
	X(watch_events, C, "events sent to those who watch") \
	X(watch_left_out, D, "events not sent to them: they do not read") \
	X(replies_acked, C, "final replies that the client's TCP acknowledged") \
	X(replies_lost, C, "final replies that it did not") \
	X(dataplane_lost, C, "times the dataplane went away")
/* clang-format on */

#define POSTERN_COUNTER_ENUM(name, kind, help) CNT_##name,
enum postern_counter { POSTERN_DP_COUNTERS(POSTERN_COUNTER_ENUM) POSTERN_DP_COUNTER_COUNT };
#define POSTERN_CTL_ENUM(name, kind, help) CTL_##name,
enum postern_ctl_counter { POSTERN_CTL_COUNTERS(POSTERN_CTL_ENUM) POSTERN_CTL_COUNTER_COUNT };

struct postern_counter_info {
	const char *name;
	char kind; /* 'C', 'D', 'G' */
	const char *help;
};

#define POSTERN_COUNTER_INFO(name, kind, help) {#name, #kind[0], help},

_Static_assert(POSTERN_DP_COUNTER_COUNT <= (8192 - 64) / 8, "counters fit their block");
