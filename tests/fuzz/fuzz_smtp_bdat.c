/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A session in chunks against a model that has every chunk whole. The input is a list of commands:
 * chunks, which take their octets from what follows, and what may or may not stand between them.
 * The same session is played cut at random, with little room, with answers late: what the client
 * hears, what the owner gets and what is counted must be what the model says.
 */

#include "dataplane/smtp/smtp_fake.h"
#include "dataplane/smtp/smtp_naive.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define MAX_IN 600 /* so that what is heard fits the buffers below and of the owner */
#define MAX_SIZE 1000
#define NEED_MAIL "503 5.5.1 Need MAIL first\r\n"
#define CHUNKS "503 5.5.1 A message is coming in chunks, finish it or send RSET\r\n"

static struct model {
	bool refuse_bare_cr;
	size_t max_line;
	bool txn;            /* MAIL was accepted */
	bool rcpt;           /* and RCPT */
	bool chunks;         /* and a chunk came */
	const char *refused; /* what each further one hears */
	bool lookalike;
	uint64_t lookalikes;
	size_t n;
	uint8_t content[MAX_SIZE];
	/* The messages that the owner is to get. */
	unsigned int messages;
	struct {
		uint32_t flags;
		size_t off, n;
	} message[MAX_IN];
	size_t in_n, out_n, all_n;
	uint8_t in[1 << 20];
	char out[1 << 16];
	uint8_t all[1 << 20];
} m;

static void put(const void *p, size_t n)
{
	FAKE_MUST(n <= sizeof(m.in) - m.in_n);
	memcpy(m.in + m.in_n, p, n);
	m.in_n += n;
}

static void hears(const char *text)
{
	FAKE_MUST(strlen(text) <= sizeof(m.out) - m.out_n);
	memcpy(m.out + m.out_n, text, strlen(text));
	m.out_n += strlen(text);
}

static void says(const char *line, const char *reply)
{
	put(line, strlen(line));
	hears(reply);
}

static void reset(void)
{
	m.txn = m.rcpt = m.chunks = m.lookalike = false;
	m.refused = NULL;
	m.n = 0;
}

static void begin(bool good)
{
	if (m.txn && !m.chunks)
		return;
	says("MAIL FROM:<a@example.org>\r\n", m.txn ? "503 5.5.1 Sender already given\r\n"
						    : "250 2.1.0 Sender ok\r\n");
	if (good)
		says("RCPT TO:<b@example.com>\r\n",
		     m.chunks ? CHUNKS : "250 2.1.5 Recipient ok\r\n");
	else
		says("RCPT TO:<no@example.com>\r\n",
		     m.chunks ? CHUNKS : "550 5.1.1 No such user\r\n");
	if (!m.chunks)
		m.rcpt = good;
	m.txn = true;
}

/* A chunk that may come: what the message shows up to here. */
static void look(const uint8_t *p, size_t n, bool last)
{
	struct smtp_naive r;

	memcpy(m.content + m.n, p, n);
	m.n += n;
	smtp_naive_bdat(&r, m.content, m.n, last, MAX_SIZE, m.max_line, m.refuse_bare_cr);
	m.lookalikes += r.lookalike && !m.lookalike;
	m.lookalike |= r.lookalike;
	if (r.bare_cr) {
		m.refused = "554 5.6.0 Message refused: bare CR in content\r\n";
	} else if (r.line_over) {
		m.refused = "554 5.6.0 Message refused: line too long in content\r\n";
	} else if (last) {
		m.message[m.messages].flags = r.flags;
		m.message[m.messages].off = m.all_n;
		m.message[m.messages++].n = m.n;
		FAKE_MUST(m.n <= sizeof(m.all) - m.all_n);
		memcpy(m.all + m.all_n, m.content, m.n);
		m.all_n += m.n;
	}
}

static void chunk(const uint8_t *p, size_t n, bool last)
{
	char line[64];

	snprintf(line, sizeof(line), "BDAT %zu%s\r\n", n, last ? " LAST" : "");
	put(line, strlen(line));
	put(p, n);
	if (!m.txn) {
		hears(NEED_MAIL);
		return;
	}
	m.chunks = true;
	if (!m.rcpt)
		m.refused = "554 5.5.1 No valid recipients\r\n";
	else if (!m.refused && n > MAX_SIZE - m.n)
		m.refused = "552 5.3.4 Message too big\r\n";
	else if (!m.refused)
		look(p, n, last);
	snprintf(line, sizeof(line), "250 2.0.0 %zu octets taken\r\n", n);
	hears(m.refused ? m.refused : last ? "250 2.0.0 Delivered id=0123456789ABCDEF\r\n" : line);
	if (last)
		reset();
}

static void command(uint8_t c)
{
	static const uint8_t big[MAX_SIZE + 1] = "\r\n.\r\nQUIT\r\n";

	switch (c & 7) {
	case 0:
		says("NOOP\r\n", "250 2.0.0 Ok\r\n");
		break;
	case 1:
		says("RSET\r\n", "250 2.0.0 Ok\r\n");
		reset();
		break;
	case 2:
		says("HELO c\r\n", "250 mx.example.net\r\n");
		reset();
		break;
	case 3:
		if (!m.txn || m.chunks)
			says("DATA\r\n", m.txn ? CHUNKS : NEED_MAIL);
		break;
	case 4:
		says("BDATA\r\n", "500 5.5.1 Command not recognized\r\n");
		break;
	case 5:
		chunk(big, sizeof(big), c & 8);
		break;
	default:
		begin(c & 1);
		break;
	}
}

static void submitted(const struct fake *f)
{
	unsigned int i = f->messages;

	FAKE_MUST(i < m.messages);
	FAKE_MUST(f->facts.flags == m.message[i].flags);
	FAKE_MUST(f->content_n == m.message[i].n);
	FAKE_MUST(memcmp(f->content, m.all + m.message[i].off, f->content_n) == 0);
}

static void play(uint32_t seed)
{
	static struct fake f;
	struct handoff_config c = fake_config();
	size_t at = 0;

	memset(&f, 0, offsetof(struct fake, out));
	f.now = 1;
	f.submitted = submitted;
	c.max_errors = c.max_transactions = 0;
	c.max_message = MAX_SIZE;
	c.max_line = (uint32_t)m.max_line;
	c.refuse_bare_cr = m.refuse_bare_cr;
	FAKE_MUST(fake_start(&f, &c));
	fake_answer(&f);
	while (at < m.in_n || f.held_n || f.asked) {
		size_t k = 1 + (seed >> 16) % (seed >> 28 & 1 ? 7 : 300);

		k = k < m.in_n - at ? k : m.in_n - at;
		if (f.held_n > 4096)
			k = 0;
		f.room_step = seed >> 12 & 15;
		fake_feed(&f, m.in + at, k, seed >> 29 & 1);
		at += k;
		if (seed >> 30 & 1)
			fake_answer(&f);
		seed = seed * 1103515245u + 12345u;
	}
	FAKE_MUST(!f.closed && f.messages == m.messages);
	FAKE_MUST(f.counters[CNT_smtp_lookalike] == m.lookalikes);
	FAKE_MUST(f.out_n == m.out_n && memcmp(f.out, m.out, m.out_n) == 0);
	fake_stop(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n < 2 || n > MAX_IN)
		return 0;
	memset(&m, 0, offsetof(struct model, in));
	m.refuse_bare_cr = p[0] & 1;
	m.max_line = p[0] & 2 ? 100 : 0;
	hears("220 mx.example.net ESMTP\r\n");
	says("HELO c\r\n", "250 mx.example.net\r\n");
	for (size_t i = 2; i < n; i++) {
		size_t k;

		if (p[i] >= 0x80 || i + 1 == n) {
			command(p[i]);
			continue;
		}
		/* Below 0x80: a chunk, the last one or not, and how long it is. */
		k = p[i + 1] < n - i - 2 ? p[i + 1] : n - i - 2;
		chunk(p + i + 2, k, p[i] & 1);
		i += 1 + k;
	}
	play(p[1] * 2654435761u);
	play(p[1] * 40503u + 1);
	return 0;
}
