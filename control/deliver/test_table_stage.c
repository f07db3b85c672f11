/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The scene of a row: what the next hop says and when, what DNS says of it, what the route asks for. */

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/deliver/test_table.h"

#define TEXT "Subject: test\r\n\r\n.dot\r\nbody\r\n"
#define TEXT_BARE "Subject: test\r\n\r\nbare\nbody\r\n"
#define TEXT_8BIT "Subject: test\r\n\r\nb\xc3\xb6" "dy\r\n"
#define BIG (4u * 1024 * 1024)
#define NO_PIPELINING "250-hop.example.net\r\n250 8BITMIME"
#define STS_OK "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nversion: STSv1\n" \
	       "mode: enforce\nmax_age: 86400\n"

enum cert { GOOD, SECOND, WRONG_NAME, EXPIRED, NOT_YET, SELF_SIGNED, OTHER_CA, CERTS };

static struct fake_cert ca, other_ca, web, leaf[CERTS];
static SSL_CTX *server[CERTS], *picky;
static struct str ca_pem;
static char ca_file[64], *big;

int stage_setup(void **state)
{
	int fd;

	(void)state;
	signal(SIGPIPE, SIG_IGN); /* the TLS of the server raises it */
	ca = fake_ca("Test CA");
	other_ca = fake_ca("Other CA");
	ca_pem = fake_pem(&ca);
	web = fake_leaf(&ca, (struct fake_leaf){.dns = "mta-sts.example.com"});
	leaf[GOOD] = fake_leaf(&ca, (struct fake_leaf){.dns = NAME});
	leaf[SECOND] = fake_leaf(&ca, (struct fake_leaf){.dns = NAME2});
	leaf[WRONG_NAME] = fake_leaf(&ca, (struct fake_leaf){.dns = "other.example.net"});
	leaf[EXPIRED] = fake_leaf(&ca, (struct fake_leaf){.dns = NAME, .from_s = -200, .to_s = -100});
	leaf[NOT_YET] = fake_leaf(&ca, (struct fake_leaf){.dns = NAME, .from_s = 100, .to_s = 200});
	leaf[SELF_SIGNED] = fake_leaf(NULL, (struct fake_leaf){.dns = NAME, .self_signed = true});
	leaf[OTHER_CA] = fake_leaf(&other_ca, (struct fake_leaf){.dns = NAME});
	for (int i = 0; i < CERTS; i++)
		server[i] = fake_server(&leaf[i], NULL);
	/* Nothing but a cipher that we do not have with this key: it sends the alert. */
	picky = fake_server(&leaf[GOOD], NULL);
	SSL_CTX_set_max_proto_version(picky, TLS1_2_VERSION);
	assert_true(SSL_CTX_set_cipher_list(picky, "ECDHE-RSA-AES128-GCM-SHA256"));
	big = malloc(BIG + 1);
	assert_non_null(big);
	memset(big, 'x', BIG);
	for (size_t i = 70; i + 2 < BIG; i += 72)
		memcpy(big + i, "\r\n", 2);
	memcpy(big + BIG - 2, "\r\n", 3);
	strcpy(ca_file, "/tmp/postern-table-XXXXXX");
	fd = mkstemp(ca_file);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, ca_pem.p, ca_pem.n), ca_pem.n);
	return close(fd);
}

int stage_teardown(void **state)
{
	(void)state;
	for (int i = 0; i < CERTS; i++) {
		SSL_CTX_free(server[i]);
		fake_cert_free(&leaf[i]);
	}
	SSL_CTX_free(picky);
	fake_cert_free(&ca);
	fake_cert_free(&other_ca);
	fake_cert_free(&web);
	free((void *)(uintptr_t)ca_pem.p);
	free(big);
	return unlink(ca_file);
}

const char *stage_of(const struct row *r)
{
	static const char *const name[SECTIONS] = {
		[AT_CONNECT] = "connect", [AT_BANNER] = "banner", [AT_EHLO] = "ehlo",
		[AT_HELO] = "ehlo", [AT_STARTTLS] = "tls", [IN_HANDSHAKE] = "tls",
		[BY_RECORDS] = "tls", [AT_MAIL] = "mail", [AT_RCPT] = "rcpt",
		[AT_RCPT_OF_SEVERAL] = "rcpt", [AT_DATA] = "data", [IN_CONTENT] = "body",
		[AFTER_DOT] = "dot", [AFTER_LAST] = "dot", [NOT_SENT] = "mail",
	};

	if (!strcmp(r->event, "not named by the policy"))
		return "connect";
	if (!strncmp(r->event, "client gone", 11))
		return "body";
	return name[r->section];
}

static bool is(const struct run *u, const char *event)
{
	return !strcmp(u->row->event, event);
}

/* What fake_hop.h has for it. Into each reply go names that must not be passed on, and much text. */
static const char *says(struct run *u)
{
	static const struct {
		const char *word, *hop;
	} words[] = {
		{"reset", HOP_RESET}, {"close", HOP_CLOSE}, {"hang", HOP_HANG}, {"garbage", HOP_GARBAGE},
		{"line without end", HOP_LONG}, {"reply without end", HOP_MANY},
	};
	char much[400] = "";

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (is(u, words[i].word))
			return words[i].hop;
	if (!u->row->is_reply)
		row_fail(u->row, "what is that?");
	memset(much, 'y', sizeof(much) - 1);
	snprintf(u->says, sizeof(u->says), "%s " TELL " of " NAME " [127.0.0.1] %s", u->row->event, much);
	return u->says;
}

/* ---- connect ----------------------------------------------------------------------------------- */

static void full_backlog(struct run *u, uint16_t *port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);

	u->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(u->fd, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(u->fd, 0), 0);
	assert_int_equal(getsockname(u->fd, (struct sockaddr *)&in, &len), 0);
	for (int i = 0; i < 4; i++) {
		u->fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(u->fill[i], (struct sockaddr *)&in, len);
	}
	*port = ntohs(in.sin_port);
	deliver_tuning(u->l.d)->connect_ms = SHORT_MS;
}

static void set_mx(struct run *u, enum dns_status status, const char *text)
{
	u->l.route.mx = true;
	u->l.route.n_hosts = 0;
	u->l.route.port = u->h->port;
	fake_dns_add("example.com", DNS_MX, status, text);
}

static void set_connect(struct run *u)
{
	static const struct {
		const char *event;
		bool mx;
		enum dns_status status;
		const char *text;
	} dns[] = {
		{"no address", false, DNS_NODATA, NULL},
		{"address look-up fails", false, DNS_TEMPFAIL, NULL},
		{"address bogus", false, DNS_BOGUS, NULL},
		{"MX look-up fails", true, DNS_TEMPFAIL, NULL},
		{"MX bogus", true, DNS_BOGUS, NULL},
		{"no such domain", true, DNS_NXDOMAIN, NULL},
		{"MX leads back here", true, DNS_OK, "10 relay.example.org"},
		{"null MX", true, DNS_OK, "0 ."},
	};

	if (is(u, "connection refused")) {
		hop_close_listener(u->h);
		return;
	}
	if (is(u, "connect unanswered"))
		return; /* stage_set() did it */
	for (size_t i = 0; i < sizeof(dns) / sizeof(dns[0]); i++) {
		if (!is(u, dns[i].event))
			continue;
		u->no_listener = dns[i].mx;
		if (dns[i].mx) {
			set_mx(u, dns[i].status, dns[i].text);
		} else {
			fake_dns_add(NAME, DNS_A, dns[i].status, NULL);
			fake_dns_add(NAME, DNS_AAAA, dns[i].status, NULL);
		}
		return;
	}
	row_fail(u->row, "what is that?");
}

/* ---- TLS --------------------------------------------------------------------------------------- */

static void set_policy(struct run *u)
{
	static const struct {
		const char *word;
		enum config_tls_policy policy;
	} words[] = {
		{"encrypt", TLS_POLICY_ENCRYPT}, {"verify", TLS_POLICY_VERIFY}, {"dane", TLS_POLICY_DANE},
		{"dane-only", TLS_POLICY_DANE_ONLY}, {"mta-sts", TLS_POLICY_MAY},
	};
	struct config_route_tls *t = &u->l.route.tls;

	t->policy = TLS_POLICY_NONE;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(u->row->tls, words[i].word))
			t->policy = words[i].policy;
	if (t->policy == TLS_POLICY_VERIFY || t->policy == TLS_POLICY_MAY)
		t->ca = ca_pem;
}

static void set_tls_event(struct run *u)
{
	static const struct {
		const char *event;
		enum cert cert;
	} certs[] = {
		{"certificate as asked for", GOOD}, {"certificate of another name", WRONG_NAME},
		{"certificate expired", EXPIRED}, {"certificate not yet valid", NOT_YET},
		{"certificate self-signed", SELF_SIGNED}, {"certificate of another CA", OTHER_CA},
	};
	struct hop_script *k = &u->h->script;

	for (size_t i = 0; i < sizeof(certs) / sizeof(certs[0]); i++)
		if (is(u, certs[i].event)) {
			k->tls = server[certs[i].cert];
			return;
		}
	if (is(u, "STARTTLS not offered"))
		k->ehlo = NO_PIPELINING;
	else if (is(u, "octets behind the 220"))
		k->injected = "250-hop.example.net\r\n250 SIZE 1\r\n";
	else if (is(u, "TLS alert"))
		k->tls = picky;
	else if (u->row->section == AT_STARTTLS)
		k->starttls = says(u);
	else if (is(u, "garbage"))
		k->handshake = "SSH-2.0-no\r\n";
	else
		k->handshake = says(u);
}

static void record(enum cert cert)
{
	fake_dns.tlsa = DNS_OK;
	fake_dns.n_tlsa = 1;
	fake_dns.tlsa_len[0] = fake_tlsa(&leaf[cert], 3, 1, 1, fake_dns.tlsa_data[0],
					 sizeof(fake_dns.tlsa_data[0]));
}

static void set_dane(struct run *u)
{
	char owner[64];

	snprintf(owner, sizeof(owner), "_%u._tcp." NAME, u->l.host[0].port);
	fake_dns.a_secure = fake_dns.aaaa_secure = fake_dns.tlsa_secure = true;
	record(SECOND);
	if (is(u, "key of its TLSA record"))
		record(GOOD);
	else if (is(u, "no TLSA record"))
		fake_dns_add(owner, DNS_TLSA, DNS_NODATA, NULL);
	else if (is(u, "TLSA bogus"))
		fake_dns_add(owner, DNS_TLSA, DNS_BOGUS, NULL);
	else if (is(u, "TLSA look-up fails"))
		fake_dns_add(owner, DNS_TLSA, DNS_TEMPFAIL, NULL);
	else if (!is(u, "another key than its TLSA record"))
		set_tls_event(u);
}

static void set_sts(struct run *u)
{
	struct sts *s = deliver_sts(u->l.d);
	bool named = !is(u, "not named by the policy");

	set_mx(u, DNS_OK, "10 " NAME);
	if (u->other)
		fake_dns_add("example.com", DNS_MX, DNS_OK, "20 " NAME2);
	fake_dns_add("_mta-sts.example.com", DNS_TXT, DNS_OK, "v=STSv1; id=1;");
	u->web = fake_https_new(u->l.base, &web, named ? STS_OK "mx: *.example.net\n"
						       : STS_OK "mx: mx.example.org\n");
	sts_options(s)->ca_file = ca_file;
	sts_options(s)->port = u->web->port;
	u->l.route.mta_sts = true;
	u->no_listener = !named;
	if (named)
		set_tls_event(u);
}

static void set_tls(struct run *u)
{
	set_policy(u);
	u->h->script.tls = server[GOOD];
	if (u->other)
		u->other->script.tls = server[SECOND];
	if (!strncmp(u->row->tls, "dane", 4))
		set_dane(u);
	else if (!strcmp(u->row->tls, "mta-sts"))
		set_sts(u);
	else if (u->row->tls[0])
		set_tls_event(u);
	else
		row_fail(u->row, "without TLS?");
}

/* ---- what cannot be sent ------------------------------------------------------------------------ */

static void set_not_sent(struct run *u)
{
	struct hop_script *k = &u->h->script;
	struct deliver_request *req = &u->req;

	if (!u->row->bdat)
		k->ehlo = HOP_PLAIN;
	if (is(u, "8BITMIME missing, 8-bit content")) {
		req->has_8bit = true;
	} else if (is(u, "SMTPUTF8 missing, the client said it")) {
		req->smtputf8 = true;
	} else if (is(u, "SMTPUTF8 missing, UTF-8 sender")) {
		req->mail_from = STR("s\xc3\xa9nder@example.org");
	} else if (is(u, "CHUNKING missing, bare LF")) {
		req->bare_lf = true;
	} else if (is(u, "`chunking = never`, bare LF")) {
		req->bare_lf = true;
		u->l.route.no_chunking = true;
	} else if (is(u, "SIZE less than the message")) {
		k->ehlo = "250-hop.example.net\r\n250 SIZE 10";
	} else if (is(u, "RCPTMAX=2")) {
		k->ehlo = "250-hop.example.net\r\n250 LIMITS RCPTMAX=2";
	} else if (is(u, "RCPTDOMAINMAX=1, two domains")) {
		k->ehlo = "250-hop.example.net\r\n250 LIMITS RCPTDOMAINMAX=1";
		u->s.to[1] = STR("user1@example.net");
	} else if (!strncmp(u->row->event, "client gone", 11)) {
		u->s.wanted = false;
	} else {
		row_fail(u->row, "what is that?");
	}
}

/* ---- all together ------------------------------------------------------------------------------- */

static void set_dialogue(struct run *u)
{
	struct hop_script *k = &u->h->script;

	switch (u->row->section) {
	case AT_BANNER: k->banner = says(u); break;
	case AT_EHLO: k->ehlo = says(u); break;
	case AT_HELO: k->ehlo = "500 what"; k->helo = says(u); break;
	case AT_MAIL: k->mail = says(u); break;
	case AT_RCPT: k->rcpt[0] = says(u); break;
	case AT_RCPT_OF_SEVERAL: k->rcpt[1] = says(u); break;
	case AT_DATA: k->data = says(u); break;
	case AFTER_DOT: k->dot = says(u); break;
	case AFTER_LAST: k->last = says(u); break;
	case IN_CONTENT: /* more than both sockets hold, so that it is under way for certain */
		if (!u->row->bdat)
			k->ehlo = "250 hop.example.net"; /* no SIZE */
		if (u->other)
			u->other->script.ehlo = "250 hop.example.net";
		deliver_tuning(u->l.d)->sndbuf = 8192;
		deliver_tuning(u->l.d)->progress_ms = u->row->kind & KIND_HANG ? SHORT_MS : 60000;
		if (u->row->kind & KIND_HANG)
			k->no_read_body = true;
		else
			k->mid_body = says(u);
		break;
	case NOT_SENT: set_not_sent(u); break;
	case AT_CONNECT: set_connect(u); break;
	default: set_tls(u); break;
	}
}

static const char *text_of(const struct run *u)
{
	if (u->row->section == IN_CONTENT)
		return big;
	return strstr(u->row->event, "bare LF")	      ? TEXT_BARE
	       : strstr(u->row->event, "8-bit content") ? TEXT_8BIT
							: TEXT;
}

static void set_dns(void)
{
	fake_dns.a = DNS_OK;
	fake_dns.aaaa = DNS_NODATA;
	fake_dns.tlsa = DNS_NODATA;
	fake_dns.n_a = 1;
	memcpy(fake_dns.a_data[0], (uint8_t[]){127, 0, 0, 1}, 4);
	fake_dns_add(NAME2, DNS_A, DNS_OK, "127.0.0.2");
}

void stage_set(struct run *u, const struct row *r, bool with_other)
{
	uint16_t port;

	memset(u, 0, sizeof(*u));
	u->row = r;
	u->fd = -1;
	lab_init(&u->l);
	u->h = hop_new(u->l.base);
	port = u->h->port;
	set_dns();
	if (is(u, "connect unanswered"))
		full_backlog(u, &port);
	lab_add_name(&u->l, NAME, port);
	if (with_other) {
		u->other = hop_new_at(u->l.base, "127.0.0.2", port);
		lab_add_name(&u->l, NAME2, port);
	}
	/* Whatever the row is about, the next hop's last words are known again. */
	u->h->script.dot = "250 2.0.0 " TELL " at " NAME " [127.0.0.1]";
	if (r->one_by_one)
		u->h->script.ehlo = NO_PIPELINING;
	if (r->bdat)
		u->h->script.ehlo = HOP_CHUNKING;
	if (r->kind & KIND_HANG) {
		deliver_tuning(u->l.d)->command_ms = SHORT_MS;
		deliver_tuning(u->l.d)->final_ms = SHORT_MS;
	}
	u->req = sent_request(&u->l, &u->s, text_of(u), r->n_rcpts);
	set_dialogue(u);
}

void stage_end(struct run *u)
{
	for (int i = 0; u->fd >= 0 && i < 4; i++)
		close(u->fill[i]);
	if (u->fd >= 0)
		close(u->fd);
	if (u->other)
		hop_free(u->other);
	if (u->web)
		fake_https_free(u->web);
	hop_free(u->h);
	lab_fini(&u->l);
}
