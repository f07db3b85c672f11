/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* TLS and PROXY facts as JSON, whatever octets they are made of. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/trace/facts.h"
#include "dataplane/tap/tap.h"

/* The record as it is written, read back as any reader would. */
static void is(const struct mail_envelope *e, const char *want)
{
	json_t *o = json_object(), *back, *w;
	json_error_t err;
	char *line;

	trace_facts(o, e);
	trace_observed(o, e);
	line = json_dumps(o, JSON_COMPACT);
	assert_non_null(line);
	back = json_loads(line, 0, NULL);
	w = json_loads(want, 0, &err);
	if (!w)
		fail_msg("%s: %s", want, err.text);
	if (!back || !json_equal(back, w))
		fail_msg("%s\n%s", line, want);
	json_decref(w);
	json_decref(back);
	json_decref(o);
	free(line);
}

static void tls(void **state)
{
	struct mail_envelope e = {.tls_version = 0x0304, .tls_cipher = STR("TLS_AES_128_GCM_SHA256"),
				  .tls_sni = STR("mx.example.net")};

	(void)state;
	is(&(struct mail_envelope){.smtputf8 = true}, "{\"smtputf8\":true}");
	is(&e, "{\"tls\":{\"version\":\"TLSv1.3\",\"cipher\":\"TLS_AES_128_GCM_SHA256\",\"resumed\":false,"
	       "\"sni\":\"mx.example.net\",\"client\":null,\"client_verified\":false,"
	       "\"client_sha256\":null}}");
	/* VERIFIED without a certificate is nothing. */
	e.tls_flags = TLS_F_VERIFIED | TLS_F_RESUMED;
	e.tls_version = 0x0303;
	e.tls_cipher = e.tls_sni = STR("");
	is(&e, "{\"tls\":{\"version\":\"TLSv1.2\",\"cipher\":\"\",\"resumed\":true,\"sni\":\"\","
	       "\"client\":null,\"client_verified\":false,\"client_sha256\":null}}");
	e.tls_flags = TLS_F_CLIENT | TLS_F_VERIFIED;
	e.tls_version = 0x0305;
	e.tls_client = STR("relay\xff\x1b\0");
	memset(e.tls_client_sha256, 0xa5, 31);
	is(&e, "{\"tls\":{\"version\":\"0x0305\",\"cipher\":\"\",\"resumed\":false,\"sni\":\"\","
	       "\"client\":\"relay???\",\"client_verified\":true,\"client_sha256\":"
	       "\"a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a500\"}}");
}

static void proxy(void **state)
{
	struct mail_envelope e = {.proxy_tlv = STR("\1\0\4smtp\2\0\4a.\xc3\xa4\5\0\3\0\xff\x7f\x20\0\x15\7\0\0\0\0"
						   "\x21\0\1v\x22\0\3c\0n\x23\0\3AES")};

	(void)state;
	is(&e, "{\"proxy\":{\"alpn\":\"smtp\",\"authority\":\"a.\xc3\xa4\",\"unique_id\":\"00ff7f\","
	       "\"ssl\":{\"verified\":true,\"version\":\"v\",\"cn\":\"c?n\",\"cipher\":\"AES\"}}}");
	e.proxy_tlv = STR("\2\0\1x\2\0\xff");
	is(&e, "{\"proxy\":{\"authority\":\"x\",\"malformed\":true}}");
	e.proxy_tlv = STR("\xee\0\0");
	is(&e, "{\"proxy\":{}}");
	e.flags = RECORD_F_TLV_CUT;
	is(&e, "{\"proxy\":{\"cut\":true}}");
}

static void texts(void **state)
{
	char big[2000];
	json_t *v;

	(void)state;
	memset(big, 0xe4, sizeof(big));
	v = trace_text(str_make(big, sizeof(big)));
	assert_int_equal(json_string_length(v), 512);
	json_decref(v);
	v = trace_text(STR_NONE);
	assert_string_equal(json_string_value(v), "");
	json_decref(v);
	v = trace_text(STR("\xc3\xa4\0x"));
	assert_string_equal(json_string_value(v), "???x");
	json_decref(v);
}

static void observed(void **state)
{
	struct mail_envelope e = {.flags = RECORD_F_OBSERVED, .listener = HANDOFF_LISTENER_TAP,
				  .local_port = 25, .time_ns = 1795851953123456789u,
				  .observed.reply = STR("250 ok")};

	(void)state;
	memcpy(e.local.a, (uint8_t[16]){[10] = 0xff, 0xff, 192, 0, 2, 25}, 16);
	is(&e, "{\"mode\":\"tap\",\"server\":\"192.0.2.25\",\"server_port\":25,\"seen\":\"2026-11-28T07:45:53.123Z\",\"complete\":true,"
	       "\"server_reply\":\"250 ok\",\"anomalies\":[]}");
	e.listener = HANDOFF_LISTENER_INLINE | 3;
	e.observed.reply = STR_NONE;
	e.observed.whole = OBSERVED_GAP;
	e.observed.gap = 1448;
	e.observed.unjudged = UNJUDGED_ARENA;
	e.observed.anomalies = 1ull << TAP_overlap_diff | 1ull << TAP_cut | 1ull << 63;
	e.flags |= RECORD_F_ONE_WAY | RECORD_F_NO_MAIL | RECORD_F_ENVELOPE_CUT;
	is(&e, "{\"mode\":\"inline\",\"server\":\"192.0.2.25\",\"server_port\":25,\"seen\":\"2026-11-28T07:45:53.123Z\",\"complete\":false,"
	       "\"incomplete\":\"gap,1448\",\"server_reply\":null,\"one_way\":true,"
	       "\"envelope_cut\":true,\"unjudged\":\"arena\","
	       "\"anomalies\":[\"overlap_diff\",\"cut\"]}");
	e.observed.whole = OBSERVED_UNSURE;
	{
		json_t *o = json_object();

		trace_observed(o, &e);
		assert_string_equal(json_string_value(json_object_get(o, "incomplete")), "unsure");
		json_decref(o);
	}
	e.observed.what = OBSERVED_ENCRYPTED;
	is(&e, "{\"mode\":\"inline\",\"server\":\"192.0.2.25\",\"server_port\":25,"
	       "\"seen\":\"2026-11-28T07:45:53.123Z\"}");
	e.observed.what = OBSERVED_UNJUDGED;
	for (uint8_t why = 1; why < UNJUDGED_COUNT; why++) {
		json_t *o = json_object();

		e.observed.unjudged = why;
		trace_observed(o, &e);
		assert_non_null(json_string_value(json_object_get(o, "unjudged")));
		json_decref(o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tls), cmocka_unit_test(observed), cmocka_unit_test(proxy), cmocka_unit_test(texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
