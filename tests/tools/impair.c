/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A cable with faults between two interfaces, for tests where the kernel has no netem.
 *
 *   impair [options] IFACE_A IFACE_B
 *
 *   --seed N        of the pseudo-random choices (default 1)
 *   --loss P        percent of frames that vanish
 *   --duplicate P   percent that are sent twice
 *   --corrupt P     percent of IP frames in which one bit behind the Ethernet header is turned
 *   --reorder P     percent that are held back, so that later ones overtake
 *   --reorder-ms N  for how long (default 10)
 *   --delay-ms N    every frame
 *   --jitter-ms N   every frame, at random between 0 and N more
 *   --mtu N         a longer datagram that may not be fragmented vanishes, and its sender is told
 *   --fragment N    a longer TCP datagram is cut into fragments, DF or not; each then meets what
 *                   else was asked for
 *   --overlap P     percent of those in which the second fragment overlaps the first, differently
 *
 * A value may be a pair "X,Y": X from A to B, Y from B to A. Frames that the kernel left without a
 * transport checksum get theirs here, so that corruption is seen by whoever verifies it; frames of
 * segmentation offload pass with their instructions and are never corrupted. Frames that leave an
 * interface are not picked up again. On SIGTERM or SIGINT the counts go to stderr.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "impair_ip.h"

#define FRAME_MAX (65536 + 64) /* the largest that segmentation offload makes, with a tag */
#define QUEUE_MAX 4096         /* frames under way in a direction; beyond that they are lost */
#define BURST     64

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

struct frame {
	uint64_t due_us;
	uint64_t serial; /* frames of equal due time keep their order */
	struct virtio_net_hdr vnet;
	size_t n;
	uint8_t b[];
};

struct direction {
	const char *name;
	int in, out;
	uint64_t random;
	/* settings; shares of 2^32 */
	uint64_t loss, duplicate, corrupt, reorder, overlap;
	uint64_t delay_us, reorder_us, jitter_us;
	size_t mtu, fragment; /* 0: not */
	struct direction *back;
	/* frames under way: a heap by due time */
	struct frame *queue[QUEUE_MAX];
	size_t n_queue;
	uint64_t serial;
	/* counts */
	uint64_t n_in, n_out, n_lost, n_duplicated, n_corrupted, n_reordered, n_queue_full,
		n_send_error, n_refused, n_fragmented, n_overlapped;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* splitmix64 */
static uint64_t next_random(struct direction *d)
{
	uint64_t z = d->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static bool chance(struct direction *d, uint64_t share)
{
	return (next_random(d) >> 32) < share;
}

/* ---- the heap ---- */

static bool before(const struct frame *a, const struct frame *b)
{
	return a->due_us != b->due_us ? a->due_us < b->due_us : a->serial < b->serial;
}

static void push(struct direction *d, struct frame *f)
{
	size_t i = d->n_queue;

	if (i == QUEUE_MAX) {
		d->n_queue_full++;
		free(f);
		return;
	}
	d->n_queue++;
	f->serial = d->serial++;
	for (; i && before(f, d->queue[(i - 1) / 2]); i = (i - 1) / 2)
		d->queue[i] = d->queue[(i - 1) / 2];
	d->queue[i] = f;
}

static struct frame *pop(struct direction *d)
{
	struct frame *top = d->queue[0], *last = d->queue[--d->n_queue];
	size_t i = 0;

	for (size_t child; (child = 2 * i + 1) < d->n_queue; i = child) {
		if (child + 1 < d->n_queue && before(d->queue[child + 1], d->queue[child]))
			child++;
		if (!before(d->queue[child], last))
			break;
		d->queue[i] = d->queue[child];
	}
	d->queue[i] = last;
	return top;
}

/* ---- frames ---- */

/* Finishes the checksum that the sender left to the device: the field holds the pseudo-header. */
static void finish_checksum(struct frame *f)
{
	size_t start = f->vnet.csum_start, field = start + f->vnet.csum_offset;
	uint32_t sum = 0;

	if (!(f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return;
	f->vnet.flags = 0;
	if (field + 2 > f->n)
		return;
	for (size_t i = start; i < f->n; i++)
		sum += (i - start) & 1 ? f->b[i] : (uint32_t)f->b[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	sum = ~sum & 0xffff;
	/* RFC 768: 0 would mean "no checksum"; in TCP both are the same number. */
	if (!sum)
		sum = 0xffff;
	f->b[field] = (uint8_t)(sum >> 8);
	f->b[field + 1] = (uint8_t)sum;
}

/* The kernel takes the tag off on the way in; it belongs into the frame again. */
static void restore_tag(struct frame *f, uint16_t tpid, uint16_t tci)
{
	if (f->n < 12)
		return;
	memmove(f->b + 16, f->b + 12, f->n - 12);
	f->b[12] = (uint8_t)(tpid >> 8);
	f->b[13] = (uint8_t)tpid;
	f->b[14] = (uint8_t)(tci >> 8);
	f->b[15] = (uint8_t)tci;
	f->n += 4;
	if (f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		f->vnet.csum_start += 4;
	if (f->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		f->vnet.hdr_len += 4;
}

static bool is_ip(const struct frame *f)
{
	size_t at = 12;

	if (f->n > 18 && f->b[12] == 0x81 && f->b[13] == 0)
		at = 16;
	return f->n > at + 2 &&
	       ((f->b[at] == 8 && f->b[at + 1] == 0) || (f->b[at] == 0x86 && f->b[at + 1] == 0xdd));
}

/* One frame from the wire, or NULL: nothing there, or not for us. *more: the socket gave one. */
static struct frame *take(int fd, bool *more)
{
	static union {
		struct frame f;
		uint8_t room[sizeof(struct frame) + FRAME_MAX];
	} u;
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	} control;
	struct sockaddr_ll from;
	struct iovec iov[2] = {{&u.f.vnet, sizeof(u.f.vnet)}, {u.f.b, FRAME_MAX - 8}};
	struct msghdr msg = {.msg_name = &from,
			     .msg_namelen = sizeof(from),
			     .msg_iov = iov,
			     .msg_iovlen = 2,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);
	struct frame *f;

	*more = n >= 0;
	if (n <= (ssize_t)sizeof(u.f.vnet) || (msg.msg_flags & MSG_TRUNC) ||
	    from.sll_pkttype == PACKET_OUTGOING)
		return NULL;
	u.f.n = (size_t)n - sizeof(u.f.vnet);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		struct tpacket_auxdata aux;

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		if (aux.tp_status & TP_STATUS_VLAN_VALID)
			restore_tag(&u.f,
				    aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid
									      : ETHERTYPE_VLAN,
				    aux.tp_vlan_tci);
	}
	if (u.f.vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE)
		finish_checksum(&u.f);
	f = malloc(sizeof(*f) + u.f.n);
	if (f)
		memcpy(f, &u.f, sizeof(*f) + u.f.n);
	return f;
}

static struct frame *copy_of(const struct frame *f)
{
	struct frame *c = malloc(sizeof(*c) + f->n);

	if (c)
		memcpy(c, f, sizeof(*c) + f->n);
	return c;
}

/* Every choice is drawn for every frame, so that one setting does not shift the others. */
static void disturb(struct direction *d, struct frame *f, uint64_t now)
{
	bool lose = chance(d, d->loss), twice = chance(d, d->duplicate);
	bool late = chance(d, d->reorder), spoil = chance(d, d->corrupt);
	uint64_t where = next_random(d), more = next_random(d);
	struct frame *second = NULL;

	d->n_in++;
	if (lose) {
		d->n_lost++;
		free(f);
		return;
	}
	f->due_us = now + d->delay_us + (d->jitter_us ? more % d->jitter_us : 0);
	if (twice)
		second = copy_of(f);
	if (spoil && is_ip(f) && f->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		size_t body = f->n - ETH_HLEN;

		f->b[ETH_HLEN + (where >> 8) % body] ^= (uint8_t)(1u << (where & 7));
		d->n_corrupted++;
	}
	if (late) {
		f->due_us += d->reorder_us;
		d->n_reordered++;
	}
	push(d, f);
	if (second) {
		d->n_duplicated++;
		push(d, second);
	}
}

static struct frame *frame_of(const uint8_t *p, size_t n)
{
	struct frame *f = calloc(1, sizeof(*f) + n);

	if (f) {
		f->n = n;
		memcpy(f->b, p, n);
	}
	return f;
}

static void send_piece(void *arg, const uint8_t *p, size_t n)
{
	struct frame *f = frame_of(p, n);

	if (f)
		disturb(arg, f, now_us());
}

/* What depends on the length; the rest is disturb()'s. */
static void measure(struct direction *d, struct frame *f, uint64_t now)
{
	bool overlap = chance(d, d->overlap);
	uint32_t id = (uint32_t)next_random(d);

	if (f->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		if (d->mtu && ip_too_big(f->b, f->n, d->mtu)) {
			uint8_t out[1500];
			size_t n = ip_refuse(f->b, f->n, d->mtu, out, sizeof(out));
			struct frame *answer = n ? frame_of(out, n) : NULL;

			d->n_refused++;
			free(f);
			if (answer)
				push(d->back, answer);
			return;
		}
		if (d->fragment && ip_fragment(f->b, f->n, d->fragment, id,
					       overlap ? IP_CUT_OVERLAP : IP_CUT_NONE, send_piece,
					       d)) {
			d->n_fragmented++;
			d->n_overlapped += overlap;
			free(f);
			return;
		}
	}
	disturb(d, f, now);
}

static void send_frame(struct direction *d, struct frame *f)
{
	struct iovec iov[2] = {{&f->vnet, sizeof(f->vnet)}, {f->b, f->n}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	struct pollfd p = {.fd = d->out, .events = POLLOUT};

	if (sendmsg(d->out, &msg, MSG_DONTWAIT) >= 0) {
		d->n_out++;
		return;
	}
	/* A full device queue is waited for once. */
	if ((errno == EAGAIN || errno == ENOBUFS) && poll(&p, 1, 10) >= 0 &&
	    sendmsg(d->out, &msg, MSG_DONTWAIT) >= 0)
		d->n_out++;
	else
		d->n_send_error++;
}

static void turn(struct direction *d)
{
	uint64_t now = now_us();
	bool more = true;

	for (int i = 0; i < BURST && more; i++) {
		struct frame *f = take(d->in, &more);

		if (f)
			measure(d, f, now);
	}
	while (d->n_queue && d->queue[0]->due_us <= now) {
		struct frame *f = pop(d);

		send_frame(d, f);
		free(f);
	}
}

/* ---- set-up ---- */

static int open_port(const char *name)
{
	struct sockaddr_ll sa = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	struct packet_mreq promisc = {.mr_type = PACKET_MR_PROMISC};
	int one = 1, buffer = 8 << 20;
	/* Protocol 0: nothing is received before the options stand. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	sa.sll_ifindex = (int)if_nametoindex(name);
	promisc.mr_ifindex = sa.sll_ifindex;
	if (fd < 0 || !sa.sll_ifindex ||
	    setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promisc, sizeof(promisc))) {
		fprintf(stderr, "impair: %s: %s\n", name, strerror(errno));
		exit(1);
	}
	/* Both are aids: an older kernel lacks the first, and sll_pkttype is looked at anyway. */
	(void)setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		fprintf(stderr, "impair: %s: bind: %s\n", name, strerror(errno));
		exit(1);
	}
	return fd;
}

static void usage(void)
{
	fprintf(stderr, "usage: impair [--seed N] [--loss P[,P]] [--duplicate P[,P]] "
			"[--corrupt P[,P]] [--reorder P[,P]] [--reorder-ms N[,N]] "
			"[--delay-ms N[,N]] [--jitter-ms N[,N]] [--mtu N[,N]] "
			"[--fragment N[,N]] [--overlap P[,P]] IFACE_A IFACE_B\n");
	exit(2);
}

/* "X" or "X,Y", each 0..most. */
static void pair(const char *text, double most, double out[2])
{
	char *end;

	out[0] = out[1] = strtod(text, &end);
	if (end != text && *end == ',') {
		text = end + 1;
		out[1] = strtod(text, &end);
	}
	for (int i = 0; i < 2; i++)
		if (end == text || *end || !(out[i] >= 0 && out[i] <= most))
			usage();
}

static uint64_t share(double percent)
{
	return (uint64_t)(percent / 100 * 4294967296.0);
}

static void parse_options(int argc, char **argv, struct direction d[2])
{
	static const struct option options[] = {{"seed", required_argument, NULL, 's'},
						{"loss", required_argument, NULL, 'l'},
						{"duplicate", required_argument, NULL, 'd'},
						{"corrupt", required_argument, NULL, 'c'},
						{"reorder", required_argument, NULL, 'r'},
						{"reorder-ms", required_argument, NULL, 'm'},
						{"delay-ms", required_argument, NULL, 't'},
						{"jitter-ms", required_argument, NULL, 'j'},
						{"mtu", required_argument, NULL, 'u'},
						{"fragment", required_argument, NULL, 'f'},
						{"overlap", required_argument, NULL, 'o'},
						{0}};
	uint64_t seed = 1;
	double v[2];
	int c;

	d[0].back = &d[1];
	d[1].back = &d[0];
	d[0].reorder_us = d[1].reorder_us = 10000;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == '?')
			usage();
		if (c == 's') {
			seed = strtoull(optarg, NULL, 0);
			continue;
		}
		pair(optarg, strchr("mtjuf", c) ? 65535 : 100, v);
		for (int i = 0; i < 2; i++) {
			switch (c) {
			case 'l':
				d[i].loss = share(v[i]);
				break;
			case 'd':
				d[i].duplicate = share(v[i]);
				break;
			case 'c':
				d[i].corrupt = share(v[i]);
				break;
			case 'r':
				d[i].reorder = share(v[i]);
				break;
			case 'o':
				d[i].overlap = share(v[i]);
				break;
			case 'j':
				d[i].jitter_us = (uint64_t)(v[i] * 1000);
				break;
			case 'u':
				d[i].mtu = (size_t)v[i];
				break;
			case 'f':
				d[i].fragment = (size_t)v[i];
				break;
			case 'm':
				d[i].reorder_us = (uint64_t)(v[i] * 1000);
				break;
			default:
				d[i].delay_us = (uint64_t)(v[i] * 1000);
				break;
			}
		}
	}
	if (argc - optind != 2)
		usage();
	d[0].random = seed;
	d[1].random = seed ^ 0x5851f42d4c957f2du;
}

/* Until the first frame under way is due; forever (NULL) when there is none. */
static struct timespec *wait_time(const struct direction d[2], struct timespec *ts)
{
	uint64_t now = now_us(), due = UINT64_MAX;

	for (int i = 0; i < 2; i++)
		if (d[i].n_queue && d[i].queue[0]->due_us < due)
			due = d[i].queue[0]->due_us;
	if (due == UINT64_MAX)
		return NULL;
	due = due > now ? due - now : 0;
	*ts = (struct timespec){(time_t)(due / 1000000), (long)(due % 1000000) * 1000};
	return ts;
}

static void report(const struct direction *d)
{
	fprintf(stderr,
		"impair: %s in=%llu out=%llu lost=%llu duplicated=%llu corrupted=%llu "
		"reordered=%llu "
		"queue_full=%llu send_error=%llu refused=%llu fragmented=%llu overlapped=%llu\n",
		d->name, (unsigned long long)d->n_in, (unsigned long long)d->n_out,
		(unsigned long long)d->n_lost, (unsigned long long)d->n_duplicated,
		(unsigned long long)d->n_corrupted, (unsigned long long)d->n_reordered,
		(unsigned long long)d->n_queue_full, (unsigned long long)d->n_send_error,
		(unsigned long long)d->n_refused, (unsigned long long)d->n_fragmented,
		(unsigned long long)d->n_overlapped);
}

int main(int argc, char **argv)
{
	static struct direction d[2] = {{.name = "a>b"}, {.name = "b>a"}};
	struct sigaction sa = {.sa_handler = on_signal};
	sigset_t blocked, during;

	parse_options(argc, argv, d);
	d[0].in = d[1].out = open_port(argv[optind]);
	d[1].in = d[0].out = open_port(argv[optind + 1]);
	/* Signals come only while waiting, so none is missed between test and wait. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, &during);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	fprintf(stderr, "impair: ready\n");
	while (!stop) {
		struct pollfd p[2] = {{.fd = d[0].in, .events = POLLIN},
				      {.fd = d[1].in, .events = POLLIN}};
		struct timespec ts;

		if (ppoll(p, 2, wait_time(d, &ts), &during) < 0 && errno != EINTR)
			break;
		turn(&d[0]);
		turn(&d[1]);
	}
	for (int i = 0; i < 2; i++) {
		report(&d[i]);
		while (d[i].n_queue)
			free(pop(&d[i]));
	}
	return stop ? 0 : 1;
}
