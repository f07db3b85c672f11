/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The pcap file (draft-ietf-opsawg-pcap), link type Ethernet: with nanoseconds (magic 0xa1b23c4d),
 * or with microseconds (0xa1b2c3d4) for readers that know nothing else.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/pcapgen/pcapgen.h"

#define FILE_HEADER   24u
#define RECORD_HEADER 16u
#define BUFFER        (4u << 20)
#define LINK_ETHERNET 1u

static uint8_t *buffer;
static uint32_t used;
static uint64_t packets, octets;
static uint32_t unit; /* ns */
static int fd = -1, failed;

static void flush(void)
{
	for (uint32_t at = 0; at < used && !failed;) {
		ssize_t n = write(fd, buffer + at, used - at);

		if (n > 0)
			at += (uint32_t)n;
		else if (n < 0 && errno != EINTR)
			failed = -errno;
	}
	used = 0;
}

static uint8_t *room(uint32_t n)
{
	uint8_t *p;

	if (used + n > BUFFER)
		flush();
	p = buffer + used;
	used += n;
	octets += n;
	return p;
}

int pcap_open(const char *path, bool microseconds)
{
	const uint32_t head[6] = {microseconds ? 0xa1b2c3d4 : 0xa1b23c4d,
				  4u << 16 | 2,
				  0,
				  0,
				  GEN_SNAPLEN,
				  LINK_ETHERNET};

	fd = strcmp(path, "-") ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)
			       : STDOUT_FILENO;
	if (fd < 0)
		return -errno;
	buffer = malloc(BUFFER);
	if (!buffer)
		return -ENOMEM;
	packets = octets = used = 0;
	unit = microseconds ? 1000 : 1;
	failed = 0;
	memcpy(room(FILE_HEADER), head, FILE_HEADER);
	return 0;
}

uint8_t *pcap_frame(uint64_t time, uint32_t n)
{
	const uint32_t head[4] = {(uint32_t)(time / 1000000000u),
				  (uint32_t)(time % 1000000000u) / unit, n, n};
	uint8_t *p = room(RECORD_HEADER + n);

	memcpy(p, head, RECORD_HEADER);
	packets++;
	return p + RECORD_HEADER;
}

uint64_t pcap_packets(void)
{
	return packets;
}

uint64_t pcap_octets(void)
{
	return octets;
}

int pcap_close(void)
{
	flush();
	free(buffer);
	buffer = NULL;
	if (close(fd) < 0 && !failed)
		failed = -errno;
	fd = -1;
	return failed;
}
