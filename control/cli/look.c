/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <event2/event.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/cli/message.h"
#include "control/cli/request.h"
#include "control/origin/received_lenient.h"

static int complain(const struct look *l, const char *what, const char *why)
{
	fprintf(stderr, "posternctl %s: %s: %s\n", l->who, what, why);
	return CLI_USAGE;
}

static int add_range(struct look *l, struct str s, const char *option)
{
	if (l->n_ranges == LOOK_RANGES)
		return complain(l, option, "too many");
	if (!ip_range_parse(str_trim(s), &l->range[l->n_ranges]))
		return complain(l, option, "not an address, a range a-b or a prefix");
	l->n_ranges++;
	return CLI_OK;
}

static int add_gateway(struct look *l, const char *text)
{
	if (l->n_gateways == LOOK_RANGES || !ip_parse(str_c(text), &l->gateway[l->n_gateways]))
		return complain(l, "--gateway", "not an address, or too many");
	l->n_gateways++;
	return add_range(l, str_c(text), "--gateway");
}

static int add_list(struct look *l, struct str list)
{
	int rc = CLI_OK;

	while (list.n && !rc) {
		size_t comma = str_find(list, ',');

		rc = add_range(l, str_cut(list, comma), "--skip");
		list = str_skip(list, comma + 1);
	}
	return rc;
}

bool look_now(const char *who, const char *text, int64_t *now)
{
	long n = request_number(text, LOOK_NOW_MOST);

	if (!n)
		fprintf(stderr, "posternctl %s: --now: \"%.40s\" is no number of seconds since 1970\n",
			who, show_plain(text));
	*now = n;
	return n != 0;
}

static int options(struct look *l, int argc, char **argv)
{
	static const struct option opts[] = {
		{"gateway", 1, 0, 'g'}, {"skip", 1, 0, 's'},      {"mail-from", 1, 0, 'f'},
		{"from", 1, 0, 'f'},    {"helo", 1, 0, 'h'},      {"dns-zone", 1, 0, 'z'},
		{"now", 1, 0, 'n'},     {"no-detect", 0, 0, 'd'}, {0}};
	int o, rc = CLI_OK;

	optind = 1;
	while (!rc && (o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (o) {
		case 'g':
			rc = add_gateway(l, optarg);
			break;
		case 's':
			rc = add_list(l, str_c(optarg));
			break;
		case 'f':
			l->from = optarg;
			break;
		case 'h':
			l->helo = optarg;
			break;
		case 'n':
			if (!look_now(l->who, optarg, &l->now))
				return CLI_USAGE;
			break;
		case 'd':
			l->no_detect = true;
			break;
		case 'z':
			if (l->n_zones == LOOK_ZONES)
				return complain(l, "--dns-zone", "too many");
			l->zone[l->n_zones++] = optarg;
			break;
		default:
			return CLI_USAGE;
		}
	}
	if (rc)
		return rc;
	l->word = argv[optind];
	l->file = argv[argc - 1];
	return CLI_OK;
}

struct str look_return_path(const struct headers *h, uint8_t buf[LOOK_PATH])
{
	size_t i = headers_find(h, STR("Return-Path"), 0);
	struct str s;
	long n;

	if (i >= h->n)
		return STR_NONE;
	n = header_unfold(header_value(h, i), buf, LOOK_PATH);
	s = str_make(buf, n < 0 ? 0 : (size_t)n);
	return s.n >= 2 && s.p[0] == '<' && s.p[s.n - 1] == '>' ? str_make(s.p + 1, s.n - 2) : s;
}

static void reverse_path(struct look *l)
{
	struct str s;

	if (l->from) {
		l->reverse_path = str_c(l->from);
		if (l->reverse_path.n >= 2 && l->from[0] == '<' &&
		    l->from[l->reverse_path.n - 1] == '>')
			l->reverse_path = str_make(l->from + 1, l->reverse_path.n - 2);
		l->path_source = "--mail-from";
		return;
	}
	s = look_return_path(&l->headers, l->mail_from);
	if (!s.p)
		return;
	l->reverse_path = s;
	l->path_source = "Return-Path";
}

static bool is_gateway(const struct look *l, const struct ip_addr *ip)
{
	for (size_t i = 0; i < l->n_gateways; i++)
		if (!memcmp(&l->gateway[i], ip, sizeof(*ip)))
			return true;
	return false;
}

/*
 * A message out of a mailbox has the other side's own lines on top, then the one in which it names
 * the gateway: the walk begins there. One that is yet to be delivered begins with the gateway's
 * line.
 */
static void find_start(struct look *l)
{
	uint8_t scratch[8192];

	for (size_t i = headers_find(&l->headers, STR("Received"), 0); i < l->headers.n;
	     i = headers_find(&l->headers, STR("Received"), i + 1)) {
		struct str value = header_value(&l->headers, i);
		struct received r;
		const char *why;

		if (memmem(value.p, value.n, " (Postern) with ", 16))
			break;
		if (!received_parse_lenient(value, scratch, sizeof(scratch), &r, &why) &&
		    is_gateway(l, &r.ip)) {
			l->start.field = i;
			return;
		}
	}
	if (l->n_gateways) {
		l->start.has_peer = true;
		l->start.peer = l->gateway[0];
		l->start.peer_helo = str_c(l->helo);
	}
}

int look_resolver(struct look *l, const struct dns_options *opt)
{
	struct dns_options dopt = *opt;
	char err[256] = "";

	if (l->n_zones) {
		dopt.zone_file = l->zone;
		dopt.n_zone_files = l->n_zones;
	}
	l->base = event_base_new();
	l->dns = l->base ? dns_new(l->base, &dopt, err, sizeof(err)) : NULL;
	if (!l->dns)
		return complain(l, "dns", err);
	l->jail = spf_jail_new(l->base, l->dns, &(struct spf_options){.n_workers = 1}, err,
			       sizeof(err));
	return l->jail ? CLI_OK : complain(l, "spf", err);
}

int look_open(struct look *l, int argc, char **argv)
{
	int rc;

	l->now = time(NULL);
	rc = options(l, argc, argv);
	if (!rc)
		rc = message_read(l->who, l->file, &l->data, &l->content.size);
	if (rc)
		return rc;
	l->iov = (struct iovec){l->data, l->content.size};
	l->content.iov = &l->iov;
	l->content.n_iov = 1;
	if (headers_parse(&l->headers, &l->content))
		return complain(l, l->file, "out of memory");
	reverse_path(l);
	find_start(l);
	return look_resolver(l, &(struct dns_options){.timeout_ms = 10000});
}

void look_close(struct look *l)
{
	dkim_check_free(l->check);
	arc_check_free(l->arc_check);
	if (l->jail)
		spf_jail_free(l->jail);
	if (l->dns)
		dns_free(l->dns);
	if (l->base)
		event_base_free(l->base);
	headers_free(&l->headers);
	free(l->data);
}

static void wait_for(struct look *l)
{
	while (!l->done && event_base_loop(l->base, EVLOOP_ONCE) == 0)
		;
}

static void on_spf(void *arg, const struct spf_verdict *v)
{
	struct look *l = arg;

	l->verdict = *v;
	l->done = true;
}

const struct spf_verdict *look_spf(struct look *l, const struct ip_addr *ip, const char *helo)
{
	uint8_t alabels[sizeof(l->mail_from) + MAIL_ALABEL];
	struct spf_request req = {.ip = *ip,
				  .helo = str_c(helo),
				  /* RFC 8616 4: SPF knows A-labels only. */
				  .mail_from =
					  mailbox_alabel(l->reverse_path, alabels, sizeof(alabels)),
				  .now = (uint64_t)l->now};

	l->done = false;
	l->verdict = (struct spf_verdict){.result = SPF_TEMPERROR, .reason = "out of memory"};
	if (spf_check(l->jail, &req, on_spf, l))
		wait_for(l);
	return &l->verdict;
}

static void on_dkim(void *arg, const struct dkim_results *r)
{
	struct look *l = arg;

	l->dkim = r;
	l->done = true;
}

const struct dkim_results *look_dkim(struct look *l)
{
	if (l->dkim)
		return l->dkim;
	l->done = false;
	l->check = dkim_verify(l->dns, l->base, &l->headers, &l->content,
			       &(struct dkim_options){.now = l->now}, on_dkim, l);
	if (l->check)
		wait_for(l);
	return l->dkim;
}

static void on_arc(void *arg, const struct arc_results *r)
{
	struct look *l = arg;

	l->arc = r;
	l->done = true;
}

const struct arc_results *look_arc(struct look *l)
{
	if (l->arc)
		return l->arc;
	l->done = false;
	l->arc_check = arc_verify(l->dns, l->base, &l->headers, &l->content,
				  &(struct dkim_options){.now = l->now}, on_arc, l);
	if (l->arc_check)
		wait_for(l);
	return l->arc;
}

static void on_txt(void *arg, const struct dns_answer *answer)
{
	struct look *l = arg;
	struct look_txt *t = l->txt;

	for (size_t i = 0; answer->status == DNS_OK && i < answer->n && t->n < DKIM_MAX_KEY_RECORDS;
	     i++) {
		long n = dns_txt(&answer->rr[i], t->text[t->n], sizeof(t->text[0]));

		if (n >= 0) {
			t->record[t->n] = str_make(t->text[t->n], (size_t)n);
			t->n++;
		}
	}
	l->done = true;
}

void look_txt(struct look *l, const char *name, struct look_txt *out)
{
	out->n = 0;
	l->txt = out;
	l->done = false;
	if (dns_resolve(l->dns, str_c(name), DNS_TXT, on_txt, l))
		wait_for(l);
}

static void on_dmarc(void *arg, const struct dmarc_verdict *v)
{
	struct look *l = arg;

	l->dmarc = *v;
	l->done = true;
}

const struct dmarc_verdict *look_dmarc(struct look *l, const struct spf_verdict *spf)
{
	/* It is the other side's verdict that is foretold: large receivers count testing keys. */
	static const struct dmarc_options opt = {.testing_counts = true};
	static const struct dkim_results none = {0};
	struct dmarc_request req = {.headers = &l->headers,
				    .spf = spf,
				    .mail_from = l->reverse_path,
				    .dkim = look_dkim(l)};
	struct dmarc_check *check;

	if (!req.dkim)
		req.dkim = &none;
	l->done = false;
	dmarc_verdict_temperror(&l->dmarc, "out of memory");
	check = dmarc_check(l->dns, l->base, &req, &opt, on_dmarc, l);
	if (check)
		wait_for(l);
	dmarc_check_free(check);
	return &l->dmarc;
}
