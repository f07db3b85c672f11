/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/content/attach.h"
#include "dataplane/content/sniff.h"

#define SPLITS 20000

/* Names that were told, a line each: "c" central, "e" encrypted, "x" cut. */
struct told {
	char text[200000];
	size_t n;
};

static void on_member(void *ctx, struct str name, uint32_t flags)
{
	struct told *t = ctx;

	t->n += (size_t)snprintf(t->text + t->n, sizeof(t->text) - t->n, "%.*s%s%s%s\n", STR_FMT(name),
				 flags & ATTACH_MEMBER_CENTRAL ? "|c" : "",
				 flags & ATTACH_MEMBER_ENCRYPTED ? "|e" : "",
				 flags & ATTACH_MEMBER_CUT ? "|x" : "");
}

static uint8_t file[200000];
static size_t n_file;

static void add(const void *p, size_t n)
{
	assert_true(n_file + n <= sizeof(file));
	memcpy(file + n_file, p, n);
	n_file += n;
}

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static void local(const char *name, unsigned int flags, size_t claimed, size_t extra)
{
	uint8_t h[30] = "PK\3\4\24";

	put16(h + 6, flags);
	put16(h + 8, 8);
	put16(h + 18, claimed);
	put16(h + 20, claimed >> 16);
	put16(h + 26, strlen(name));
	put16(h + 28, extra);
	add(h, sizeof(h));
	add(name, strlen(name));
}

static void central(const char *name, unsigned int flags)
{
	uint8_t h[46] = "PK\1\2\24\0\24";

	put16(h + 8, flags);
	put16(h + 10, 8);
	put16(h + 28, strlen(name));
	add(h, sizeof(h));
	add(name, strlen(name));
}

static struct told told;
static struct content_attach state;

static enum content_type whole(void)
{
	told.n = 0;
	told.text[0] = '\0';
	content_attach_begin(&state, false, ATTACH_MEMBERS, on_member, &told);
	content_attach_feed(&state, file, n_file);
	return content_attach_end(&state, NULL);
}

/* The same at random splits. */
static void check_splits(unsigned int rounds)
{
	static struct told first;
	enum content_type t = whole();
	bool broken = content_attach_broken(&state);

	first = told;
	for (unsigned int i = 0; i < rounds; i++) {
		size_t max = (size_t)1 << (rand() % 12);

		told.n = 0;
		told.text[0] = '\0';
		content_attach_begin(&state, false, ATTACH_MEMBERS, on_member, &told);
		for (size_t at = 0, k; at < n_file; at += k) {
			k = (size_t)rand() % max + 1;
			k = k < n_file - at ? k : n_file - at;
			content_attach_feed(&state, file + at, k);
		}
		assert_int_equal(content_attach_end(&state, NULL), t);
		assert_string_equal(told.text, first.text);
		assert_int_equal(content_attach_broken(&state), broken);
	}
}

static void test_members(void **ctx)
{
	(void)ctx;
	n_file = 0;
	local("a.txt", 0, 4, 0);
	add("data", 4);
	local("dir/secret.exe", 9, 0, 0);
	add("PK\7\10............", 16);
	central("a.txt", 0);
	central("dir/secret.exe", 1);
	central("only central.js", 0);
	add("PK\5\6................xx", 22);
	assert_int_equal(whole(), CONTENT_TYPE_zip);
	assert_string_equal(told.text, "a.txt\ndir/secret.exe|e\nonly central.js|c\n");
	assert_false(content_attach_broken(&state));
	check_splits(SPLITS);
}

/* What a false length, a false name or a false extra field would pass over is seen all the same. */
static void test_hidden(void **ctx)
{
	char name[200];

	(void)ctx;
	n_file = 0;
	local("big", 0, 0x7fffffff, 65535);
	central("hidden.exe", 0);
	whole();
	assert_string_equal(told.text, "big\nhidden.exe|c\n");
	n_file = 0;
	memset(name, 'n', sizeof(name));
	name[199] = '\0';
	local(name, 0, 0, 0);
	n_file -= 100;
	central("in a name.exe", 0);
	whole();
	assert_non_null(strstr(told.text, "\nin a name.exe|c\n"));
	check_splits(SPLITS / 10);
	n_file = 0;
	add("MZ a program that unpacks itself ", 33);
	local("x.js", 0, 0, 0);
	add("and the rest", 12);
	assert_int_equal(whole(), CONTENT_TYPE_exe);
	assert_string_equal(told.text, "x.js\n");
}

static void test_bounds(void **ctx)
{
	char name[400];

	(void)ctx;
	n_file = 0;
	memset(name, 'a', sizeof(name));
	name[300] = '\0';
	local(name, 0, 0, 0);
	whole();
	assert_int_equal(told.n, ATTACH_NAME + 3);
	assert_string_equal(told.text + ATTACH_NAME, "|x\n");
	/* cut at every octet of its header and its name */
	for (size_t n = 0; n < 40; n++) {
		n_file = 0;
		local("short.txt", 0, 0, 0);
		n_file = n < n_file ? n : n_file;
		whole();
		if (n >= 4 && n < 39)
			assert_true(content_attach_broken(&state));
		check_splits(20);
	}
	/* more than are told, and more than are looked at */
	n_file = 0;
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		local(name, 0, 0, 0);
	}
	whole();
	assert_true(content_attach_broken(&state));
	assert_int_equal(state.n_members, ATTACH_MEMBERS);
	n_file = 0;
	for (int i = 0; i < 6000; i++)
		local("", 0, 0, 0);
	whole();
	assert_true(content_attach_broken(&state));
	assert_int_equal(state.n_entries, ATTACH_ENTRIES);
	/* chance: two letters in data, a version nobody wrote */
	n_file = 0;
	add("PK\3\4\xff\xff............................................", 50);
	whole();
	assert_string_equal(told.text, "");
	assert_false(content_attach_broken(&state));
}

static void test_office(void **ctx)
{
	(void)ctx;
	n_file = 0;
	local("[Content_Types].xml", 0, 0, 0);
	local("word/vbaProject.bin", 0, 0, 0);
	assert_int_equal(whole(), CONTENT_TYPE_ooxml);
	n_file = 0;
	local("META-INF/MANIFEST.MF", 0, 0, 0);
	assert_int_equal(whole(), CONTENT_TYPE_jar);
}

static void test_iso(void **ctx)
{
	(void)ctx;
	n_file = 40000;
	memset(file, 0, n_file);
	memcpy(file + 32769, "CD001", 5);
	assert_int_equal(whole(), CONTENT_TYPE_iso);
	check_splits(50);
	memcpy(file + 32769, "CD002", 5);
	assert_int_equal(whole(), CONTENT_TYPE_unknown);
	n_file = 32771;
	assert_int_equal(whole(), CONTENT_TYPE_unknown);
}

static void test_hash(void **ctx)
{
	/* FIPS 180-2 B.2 */
	static const char text[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	static const uint8_t want[4] = {0x24, 0x8d, 0x6a, 0x61};
	uint8_t got[32];

	(void)ctx;
	for (size_t cut = 0; cut < sizeof(text); cut++) {
		content_attach_begin(&state, true, 0, NULL, NULL);
		content_attach_feed(&state, (const uint8_t *)text, cut);
		content_attach_feed(&state, (const uint8_t *)text + cut, sizeof(text) - 1 - cut);
		content_attach_end(&state, got);
		assert_memory_equal(got, want, 4);
		assert_int_equal(state.size, sizeof(text) - 1);
	}
}

static void test_sniff(void **ctx)
{
	static const struct {
		struct str s;
		enum content_type t;
	} row[] = {
		{STR("MZ\x90"), CONTENT_TYPE_exe}, {STR("\x7f" "ELF\2"), CONTENT_TYPE_elf},
		{STR("%PDF-1.7"), CONTENT_TYPE_pdf}, {STR("\n\njunk %PDF-1.4"), CONTENT_TYPE_pdf},
		{STR("%PDF"), CONTENT_TYPE_text}, {STR("%%%PDF-"), CONTENT_TYPE_pdf},
		{STR("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), CONTENT_TYPE_ole},
		{STR("\xca\xfe\xba\xbe\0\0\0\2"), CONTENT_TYPE_macho},
		{STR("\xca\xfe\xba\xbe\0\0\0\x34"), CONTENT_TYPE_class},
		{STR("RIFF\1\2\3\4WEBPVP8"), CONTENT_TYPE_webp},
		{STR("RIFF\1\2\3\4WAVEfmt"), CONTENT_TYPE_riff},
		{STR("BM\1\2\3\4\0\0\0\0"), CONTENT_TYPE_bmp}, {STR("BM is a name of cars"), CONTENT_TYPE_text},
		{STR("\xef\xbb\xbf <HTML>"), CONTENT_TYPE_html}, {STR("  <!DocType HTML x"), CONTENT_TYPE_html},
		{STR("{\\rtf1"), CONTENT_TYPE_rtf}, {STR("{\\rt"), CONTENT_TYPE_rtf},
		{STR("#!/bin/sh\n"), CONTENT_TYPE_script},
		{STR("BEGIN:VCALENDAR\r\n"), CONTENT_TYPE_calendar},
		{STR("\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80\x30\x80\x02\x01"),
		 CONTENT_TYPE_pkcs7},
		{STR("hello"), CONTENT_TYPE_text}, {STR("\1\2\3"), CONTENT_TYPE_unknown},
		{STR("PK"), CONTENT_TYPE_text}, {STR("7z\xbc\xaf\x27\x1c"), CONTENT_TYPE_sevenzip},
		{STR("1234567**ACE**"), CONTENT_TYPE_ace}, {STR("M"), CONTENT_TYPE_text},
	};

	(void)ctx;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		assert_string_equal(content_type_name(sniff_head(row[i].s.p, row[i].s.n)),
				    content_type_name(row[i].t));
	assert_string_equal(content_type_name(CONTENT_TYPE_COUNT), "unknown");
	n_file = 0;
	assert_int_equal(whole(), CONTENT_TYPE_empty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members), cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_bounds), cmocka_unit_test(test_office),
		cmocka_unit_test(test_iso), cmocka_unit_test(test_hash), cmocka_unit_test(test_sniff),
	};

	srand(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
