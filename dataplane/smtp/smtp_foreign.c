/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_command.h"

/*
 * What shows that the peer speaks another protocol. A browser, a proxy or an appliance can be talked
 * into sending octets here whose later lines read as commands (the body of a POST); TLS may bring
 * them to us with a certificate that fits. So the first line that belongs elsewhere ends the session,
 * and nothing behind it is read.
 *
 * Some words are foreign at any time. Others are so only while no command of SMTP was understood:
 * they are words of languages too, and a client that goes on with its message when DATA was refused
 * is broken, not foreign.
 */

#define W(text) {(const uint8_t *)text, sizeof(text) - 1}

static const struct str always[] = {
	/* HTTP, WebDAV, HTTP/2; a PROXY header from who may not send one */
	W("GET"), W("POST"), W("HEAD"), W("PUT"), W("DELETE"), W("PATCH"), W("TRACE"), W("OPTIONS"),
	W("CONNECT"), W("PRI"), W("PROPFIND"), W("MKCOL"), W("M-SEARCH"), W("PROXY"),
};

/* Beginnings of lines: protocols, and fields of HTTP that mail does not have. */
static const struct str always_begin[] = {
	W("SSH-"), W("HTTP/"), W("RTSP/"), W("SIP/"), W("@RSYNCD:"), W("Host:"), W("Content-Length:"),
	W("Transfer-Encoding:"), W("Cookie:"), W("Referer:"),
};

static const struct str at_first[] = {
	/* RTSP, SIP */
	W("DESCRIBE"), W("ANNOUNCE"), W("SETUP"), W("PLAY"), W("PAUSE"), W("TEARDOWN"), W("RECORD"),
	W("GET_PARAMETER"), W("SET_PARAMETER"), W("REDIRECT"), W("INVITE"), W("ACK"), W("CANCEL"),
	W("REGISTER"), W("SUBSCRIBE"), W("NOTIFY"), W("PUBLISH"), W("REFER"), W("MESSAGE"), W("PRACK"),
	/* WebDAV */
	W("REPORT"), W("SEARCH"),
	/* FTP, POP3 */
	W("USER"), W("PASS"), W("PORT"), W("EPRT"), W("PASV"), W("EPSV"), W("STOR"), W("RETR"),
	W("LIST"), W("CWD"), W("CAPA"), W("APOP"),
	/* IRC */
	W("NICK"), W("JOIN"), W("PRIVMSG"), W("CAP"), W("PONG"),
	/* memcached, redis in its plain form */
	W("SET"), W("STATS"), W("FLUSH_ALL"), W("SLAVEOF"), W("EVAL"), W("CONFIG"),
	/* VNC */
	W("RFB"),
};

static const struct str at_first_begin[] = {
	W("<"), W("JRMI"), W("Accept:"), W("Accept-"), W("Connection:"), W("Origin:"), W("Upgrade:"),
	W("Authorization:"), W("X-Forwarded-For:"), W("Sec-"), W("User-Agent:"), W("CSeq:"),
	W("Call-ID:"), W("Max-Forwards:"),
};

/* IMAP: behind a tag of the client's choice. */
static const struct str tagged[] = {W("CAPABILITY"), W("LOGIN"), W("AUTHENTICATE"), W("STARTTLS")};

#define N(list) (sizeof(list) / sizeof((list)[0]))

bool smtp_foreign_octet(uint8_t c)
{
	return c >= 0x7f || (c < 0x20 && c != '\r' && c != '\n' && c != '\t');
}

/* The serialisation of redis: "*3", "$4". */
static bool is_resp(struct str name)
{
	return name.n >= 2 && (name.p[0] == '*' || name.p[0] == '$') && ascii_is_digit(name.p[1]);
}

static bool in(const struct str *list, size_t n, struct str word)
{
	for (size_t i = 0; i < n; i++)
		if (str_ieq(word, list[i]))
			return true;
	return false;
}

static bool begins(const struct str *list, size_t n, struct str line)
{
	for (size_t i = 0; i < n; i++)
		if (str_istarts(line, list[i]))
			return true;
	return false;
}

bool smtp_foreign_line(struct str line)
{
	return in(always, N(always), str_cut(line, str_find(line, ' '))) ||
	       begins(always_begin, N(always_begin), line);
}

bool smtp_foreign_first(struct str line)
{
	struct str name = str_cut(line, str_find(line, ' '));
	struct str rest = str_skip(line, name.n + 1);

	return in(at_first, N(at_first), name) || begins(at_first_begin, N(at_first_begin), line) ||
	       is_resp(name) || in(tagged, N(tagged), str_cut(rest, str_find(rest, ' ')));
}

bool smtp_foreign_binary(struct str line)
{
	/* LDAP begins with 0x30; a command that somebody mistyped begins with a letter. */
	if (!line.n || ascii_is_alpha(line.p[0]))
		return false;
	for (size_t i = 0; i < line.n; i++)
		if (smtp_foreign_octet(line.p[i]) && line.p[i] < 0x80)
			return true;
	return false;
}
