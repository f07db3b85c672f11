/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A segment as a script would write it. */

#include "tests/script/script.h"

#include <string.h>

bool find_option(const uint8_t *header, size_t header_len, uint8_t kind, const uint8_t **p,
		 uint8_t *len)
{
	size_t i = 20;

	while (i < header_len && header[i]) {
		if (header[i] == 1) {
			i++;
			continue;
		}
		if (i + 1 >= header_len || header[i + 1] < 2 || i + header[i + 1] > header_len)
			return false;
		if (header[i] == kind) {
			*p = header + i;
			*len = header[i + 1];
			return true;
		}
		i += header[i + 1];
	}
	return false;
}

const char *flags_text(uint8_t flags, char to[12])
{
	static const char letter[] = "FSRP.UEW";
	static const uint8_t order[] = {1, 0, 2, 3, 5, 6, 7, 4}; /* S F R P U E W . */
	char *t = to;

	for (unsigned int i = 0; i < 8; i++)
		if (flags & 1u << order[i])
			*t++ = letter[order[i]];
	if (t == to)
		*t++ = '-';
	*t = 0;
	return to;
}

static void show_options(FILE *f, const struct peer *p, const uint8_t *h, size_t n, bool server)
{
	uint32_t base = server ? p->iss : p->server_iss, ts = p->knows_ts ? p->ts_base : 0;

	for (size_t i = 20; i < n && h[i];) {
		uint8_t len;

		if (h[i] == 1) {
			i++;
			continue;
		}
		len = i + 1 < n ? h[i + 1] : 0;
		if (len < 2 || i + len > n) {
			fprintf(f, " opt BROKEN");
			return;
		}
		if (h[i] == 2 && len == 4)
			fprintf(f, " mss %u", rd16(h + i + 2));
		else if (h[i] == 3 && len == 3)
			fprintf(f, " ws %u", h[i + 2]);
		else if (h[i] == 4)
			fprintf(f, " sackok");
		else if (h[i] == 8 && len == 10)
			fprintf(f, server ? " ts %d ecr %u" : " ts %u ecr %d",
				rd32(h + i + 2) - (server ? ts : 0),
				rd32(h + i + 6) - (server ? 0 : ts));
		else if (h[i] == 5 && len % 8 == 2) {
			fprintf(f, " sack");
			for (unsigned int k = 2; k < len; k += 8)
				fprintf(f, " %d:%d", (int32_t)(rd32(h + i + k) - base),
					(int32_t)(rd32(h + i + k + 4) - base));
		} else {
			fprintf(f, " opt kind %u", h[i]);
		}
		i += len;
	}
}

void show_segment(FILE *f, const struct peer *p, const uint8_t *header, size_t header_len,
		  uint32_t len, bool from_server)
{
	static const struct peer nobody = {.name = "?"};
	uint8_t h[64] = {0};
	char flags[12];
	uint32_t seq, ack;

	if (!p)
		p = &nobody;
	if (header_len > 60)
		header_len = 60;
	memcpy(h, header, header_len);
	seq = rd32(h + 4) - (from_server ? p->server_iss : p->iss);
	ack = rd32(h + 8) - (from_server ? p->iss : p->server_iss);
	if (from_server && !p->knows_iss)
		seq = 0;
	fprintf(f, "%s%s%s %s %d", strcmp(p->name, "main") ? p->name : "",
		strcmp(p->name, "main") ? ": " : "", from_server ? "<" : ">",
		flags_text(h[13], flags), (int32_t)seq);
	if (h[13] & FLAG_ACK)
		fprintf(f, " ack %d", (int32_t)ack);
	fprintf(f, " win %u", rd16(h + 14));
	if (len)
		fprintf(f, " len %u", len);
	show_options(f, p, h, header_len, from_server);
	fputc('\n', f);
}
