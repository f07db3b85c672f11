/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/auth/dkim/test_dns.h"

#define MAX_ENTRIES 256

struct entry {
	char *name;
	enum dns_status status;
	uint8_t *data;
	size_t len;
	bool silent;
};

struct dns {
	struct event_base *base;
	struct entry entry[MAX_ENTRIES];
	size_t n;
	unsigned int open;
};

struct dns_query {
	struct dns *dns;
	struct event *ev;
	char name[300];
	dns_callback *cb;
	void *arg;
};

struct dns *test_dns_new(struct event_base *base)
{
	struct dns *d = calloc(1, sizeof(*d));

	if (!d)
		abort();
	d->base = base;
	return d;
}

void test_dns_free(struct dns *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->entry[i].name);
		free(d->entry[i].data);
	}
	free(d);
}

static struct entry *entry_new(struct dns *d, const char *name)
{
	if (d->n == MAX_ENTRIES)
		abort();
	d->entry[d->n] = (struct entry){.name = strdup(name)};
	return &d->entry[d->n++];
}

void test_dns_txt(struct dns *d, const char *name, const char *text)
{
	struct entry *e = entry_new(d, name);
	size_t n = strlen(text);

	e->data = malloc(n + n / 255 + 2);
	if (!e->data)
		abort();
	do {
		size_t k = n < 255 ? n : 255;

		e->data[e->len++] = (uint8_t)k;
		memcpy(e->data + e->len, text, k);
		e->len += k;
		text += k;
		n -= k;
	} while (n);
}

void test_dns_status(struct dns *d, const char *name, enum dns_status status)
{
	entry_new(d, name)->status = status;
}

void test_dns_silent(struct dns *d, const char *name)
{
	entry_new(d, name)->silent = true;
}

bool test_dns_load(struct dns *d, const char *path)
{
	char line[16384];
	FILE *f = fopen(path, "r");

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		char *tab = strchr(line, '\t');

		line[strcspn(line, "\n")] = '\0';
		if (!tab)
			continue;
		*tab++ = '\0';
		if (strcmp(tab, "!nxdomain") == 0)
			test_dns_status(d, line, DNS_NXDOMAIN);
		else if (strcmp(tab, "!nodata") == 0)
			test_dns_status(d, line, DNS_NODATA);
		else if (strcmp(tab, "!tempfail") == 0)
			test_dns_status(d, line, DNS_TEMPFAIL);
		else
			test_dns_txt(d, line, tab);
	}
	fclose(f);
	return true;
}

unsigned int test_dns_open(const struct dns *d)
{
	return d->open;
}

static void answer_now(evutil_socket_t fd, short what, void *arg)
{
	struct dns_query *q = arg;
	struct dns *d = q->dns;
	struct dns_answer a = {.status = DNS_NXDOMAIN, .reason = "scripted"};
	struct dns_rr rr[MAX_ENTRIES];
	dns_callback *cb = q->cb;

	(void)fd;
	(void)what;
	arg = q->arg;
	for (size_t i = 0; i < d->n; i++) {
		if (!str_ieq(str_c(d->entry[i].name), str_c(q->name)))
			continue;
		a.status = d->entry[i].status;
		if (a.status == DNS_OK)
			rr[a.n++] = (struct dns_rr){d->entry[i].data, d->entry[i].len};
	}
	a.rr = rr;
	dns_cancel(q);
	cb(arg, &a);
}

struct dns_query *dns_resolve(struct dns *d, struct str name, uint16_t type, dns_callback *cb,
			      void *arg)
{
	static const struct timeval now = {0, 0};
	struct dns_query *q = calloc(1, sizeof(*q));

	if (!q || type != DNS_TXT || name.n >= sizeof(q->name))
		abort();
	q->dns = d;
	q->cb = cb;
	q->arg = arg;
	memcpy(q->name, name.p, name.n);
	q->ev = evtimer_new(d->base, answer_now, q);
	d->open++;
	for (size_t i = 0; i < d->n; i++)
		if (d->entry[i].silent && str_ieq(str_c(d->entry[i].name), name))
			return q;
	event_add(q->ev, &now);
	return q;
}

void dns_cancel(struct dns_query *q)
{
	q->dns->open--;
	event_free(q->ev);
	free(q);
}

long dns_txt(const struct dns_rr *rr, uint8_t *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < rr->len; i += 1u + rr->data[i]) {
		if (rr->len - i - 1 < rr->data[i])
			return -EBADMSG;
		if (cap - n < rr->data[i])
			return -ENOSPC;
		memcpy(out + n, rr->data + i + 1, rr->data[i]);
		n += rr->data[i];
	}
	return (long)n;
}
