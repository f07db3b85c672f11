/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/quarantine/internal.h"
#include "postern/limits.h"

#define VERSION 2
#define DIALLED (3 * sizeof(struct ip_addr) + 2) /* octets; of a gateway's message none */

static const char schema[] =
	"CREATE TABLE message (id TEXT PRIMARY KEY, time INTEGER NOT NULL, size INTEGER NOT NULL,"
	" route TEXT NOT NULL, origin BLOB NOT NULL, helo BLOB NOT NULL, mail_from BLOB NOT NULL,"
	" message_id BLOB NOT NULL, held BLOB NOT NULL, reason TEXT NOT NULL, score REAL NOT NULL,"
	" body INTEGER NOT NULL, smtputf8 INTEGER NOT NULL, flags INTEGER NOT NULL,"
	" block BLOB NOT NULL, ranges BLOB NOT NULL, rcpts BLOB NOT NULL,"
	" dialled BLOB NOT NULL DEFAULT x'') STRICT;"
	"CREATE INDEX by_time ON message (time);"
	"PRAGMA user_version = 2;";

/* Version 1 knew no cables. */
static const char from_1[] = "BEGIN IMMEDIATE;"
	"ALTER TABLE message ADD COLUMN dialled BLOB NOT NULL DEFAULT x'';"
	"PRAGMA user_version = 2; COMMIT;";

enum { BEGIN, COMMIT, ROLLBACK, PUT, DELETE, SIZE, HELD, SET_HELD, GET, LIST, OLDEST, TOTALS };

#define COLUMNS                                                                                    \
	"time, size, route, origin, helo, mail_from, message_id, held, reason, score, body, "      \
	"smtputf8, flags, block, ranges, rcpts, dialled"

static const char *const sql[] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[PUT] = "INSERT INTO message (" COLUMNS ", id)"
		" VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[DELETE] = "DELETE FROM message WHERE id = ?",
	[SIZE] = "SELECT size FROM message WHERE id = ?",
	[HELD] = "SELECT held FROM message WHERE id = ?",
	[SET_HELD] = "UPDATE message SET held = ?2 WHERE id = ?1",
	[GET] = "SELECT " COLUMNS " FROM message WHERE id = ?",
	[LIST] = "SELECT id, " COLUMNS " FROM message ORDER BY time DESC, id",
	[OLDEST] = "SELECT id FROM message WHERE time < ? ORDER BY time LIMIT 1",
	[TOTALS] = "SELECT count(*), coalesce(sum(size), 0) FROM message",
};

static int errno_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW: return 0;
	case SQLITE_FULL: return -ENOSPC;
	case SQLITE_CONSTRAINT: return -EEXIST;
	case SQLITE_NOMEM: return -ENOMEM;
	case SQLITE_READONLY:
	case SQLITE_PERM: return -EROFS;
	default: return -EIO;
	}
}

const char *index_why(const struct index *x)
{
	return sqlite3_errmsg(x->db);
}

static int user_version(struct index *x)
{
	sqlite3_stmt *s;
	int v = -1;

	if (sqlite3_prepare_v2(x->db, "PRAGMA user_version", -1, &s, NULL) == SQLITE_OK &&
	    sqlite3_step(s) == SQLITE_ROW)
		v = sqlite3_column_int(s, 0);
	sqlite3_finalize(s);
	return v;
}

/* One owner, so no shared memory beside the log; each commit is on the disk when it returns. */
static int prepare(struct index *x)
{
	int rc = sqlite3_exec(x->db,
			      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
			      "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
			      "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
			      NULL, NULL, NULL);
	int version = rc ? -1 : user_version(x);

	if (!rc && version == 0)
		rc = sqlite3_exec(x->db, schema, NULL, NULL, NULL);
	else if (!rc && version == 1)
		rc = sqlite3_exec(x->db, from_1, NULL, NULL, NULL);
	else if (!rc && version != VERSION)
		rc = SQLITE_MISMATCH;
	for (size_t i = 0; !rc && i < sizeof(sql) / sizeof(sql[0]); i++)
		rc = sqlite3_prepare_v3(x->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &x->stmt[i], NULL);
	return rc;
}

int index_open(struct index *x, const char *path, char *err, size_t err_len)
{
	int rc;

	*x = (struct index){0};
	rc = sqlite3_open_v2(path, &x->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
			     SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK)
		rc = prepare(x);
	if (rc == SQLITE_OK)
		return 0;
	if (rc == SQLITE_MISMATCH)
		snprintf(err, err_len, "%s: of another version of this program", path);
	else
		snprintf(err, err_len, "%s: %s", path, x->db ? sqlite3_errmsg(x->db) : "out of memory");
	index_close(x);
	rc = errno_of(rc);
	return rc ? rc : -EIO;
}

void index_close(struct index *x)
{
	for (size_t i = 0; i < sizeof(x->stmt) / sizeof(x->stmt[0]); i++)
		sqlite3_finalize(x->stmt[i]);
	sqlite3_close(x->db);
	*x = (struct index){0};
}

static sqlite3_stmt *ready(struct index *x, int which)
{
	sqlite3_reset(x->stmt[which]);
	sqlite3_clear_bindings(x->stmt[which]);
	return x->stmt[which];
}

static int run(struct index *x, int which)
{
	int rc = errno_of(sqlite3_step(x->stmt[which]));

	sqlite3_reset(x->stmt[which]);
	return rc;
}

int index_begin(struct index *x)
{
	ready(x, BEGIN);
	return run(x, BEGIN);
}

int index_commit(struct index *x)
{
	ready(x, COMMIT);
	return run(x, COMMIT);
}

void index_rollback(struct index *x)
{
	ready(x, ROLLBACK);
	run(x, ROLLBACK);
}

bool index_in_transaction(const struct index *x)
{
	return !sqlite3_get_autocommit(x->db);
}

static void bind_id(sqlite3_stmt *s, int at, const char *id)
{
	sqlite3_bind_text(s, at, id, QUARANTINE_ID, SQLITE_STATIC);
}

static void bind_str(sqlite3_stmt *s, int at, struct str v)
{
	sqlite3_bind_blob64(s, at, v.n ? (const void *)v.p : "", v.n, SQLITE_STATIC);
}

/* Recipients one behind the other, each behind its length as four octets, network order. */
static uint8_t *pack_rcpts(const struct quarantine_message *m, size_t *len)
{
	uint8_t *out, *p;

	*len = 0;
	for (size_t i = 0; i < m->n_rcpts; i++)
		*len += 4 + m->rcpt[i].n;
	out = p = malloc(*len + 1);
	for (size_t i = 0; out && i < m->n_rcpts; i++) {
		size_t n = m->rcpt[i].n;

		for (int k = 0; k < 4; k++)
			*p++ = (uint8_t)(n >> (24 - 8 * k));
		if (n)
			memcpy(p, m->rcpt[i].p, n);
		p += n;
	}
	return out;
}

static size_t pack_dialled(const struct quarantine_dialled *d, uint8_t out[DIALLED])
{
	const struct ip_addr *ip[] = {&d->server, &d->client, &d->connected};

	for (size_t i = 0; i < 3; i++)
		memcpy(out + i * sizeof(*ip[i]), ip[i]->a, sizeof(*ip[i]));
	out[DIALLED - 2] = (uint8_t)(d->port >> 8);
	out[DIALLED - 1] = (uint8_t)d->port;
	return d->port ? DIALLED : 0;
}

static int unpack_dialled(struct str s, struct quarantine_dialled *d)
{
	struct ip_addr *ip[] = {&d->server, &d->client, &d->connected};

	if (!s.n)
		return 0;
	if (s.n != DIALLED)
		return -EBADMSG;
	for (size_t i = 0; i < 3; i++)
		memcpy(ip[i]->a, s.p + i * sizeof(*ip[i]), sizeof(*ip[i]));
	d->port = (uint16_t)(s.p[DIALLED - 2] << 8 | s.p[DIALLED - 1]);
	return d->port ? 0 : -EBADMSG;
}

int index_put(struct index *x, const struct quarantine_message *m)
{
	sqlite3_stmt *s = ready(x, PUT);
	size_t n;
	uint8_t *rcpts = pack_rcpts(m, &n), held[HANDOFF_MAX_RCPTS], dialled[DIALLED];
	int rc;

	if (!rcpts)
		return -ENOMEM;
	memset(held, 1, sizeof(held));
	sqlite3_bind_int64(s, 1, (sqlite3_int64)m->time_ns);
	sqlite3_bind_int64(s, 2, (sqlite3_int64)m->content.size);
	sqlite3_bind_text(s, 3, m->route, -1, SQLITE_STATIC);
	sqlite3_bind_blob(s, 4, m->origin.a, sizeof(m->origin.a), SQLITE_STATIC);
	bind_str(s, 5, m->helo);
	bind_str(s, 6, m->mail_from);
	bind_str(s, 7, m->message_id);
	sqlite3_bind_blob64(s, 8, held, m->n_rcpts, SQLITE_STATIC);
	sqlite3_bind_text(s, 9, m->reason, -1, SQLITE_STATIC);
	sqlite3_bind_double(s, 10, m->score);
	sqlite3_bind_int(s, 11, m->body);
	sqlite3_bind_int(s, 12, m->smtputf8);
	sqlite3_bind_int64(s, 13, m->flags);
	bind_str(s, 14, m->block);
	sqlite3_bind_blob64(s, 15, m->n_ranges ? (const void *)m->range : "",
			    m->n_ranges * sizeof(*m->range), SQLITE_STATIC);
	sqlite3_bind_blob64(s, 16, rcpts, n, SQLITE_STATIC);
	sqlite3_bind_blob64(s, 17, dialled, pack_dialled(&m->dialled, dialled), SQLITE_STATIC);
	bind_id(s, 18, m->id);
	rc = run(x, PUT);
	sqlite3_clear_bindings(s);
	free(rcpts);
	return rc;
}

/* One number of one message. */
static int number(struct index *x, int which, const char *id, sqlite3_int64 *out)
{
	sqlite3_stmt *s = ready(x, which);
	int rc;

	bind_id(s, 1, id);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? -ENOENT : errno_of(rc);
}

bool index_has(struct index *x, const char *id)
{
	sqlite3_int64 size;

	/* A read that fails must not look like a message that is not there: it would be removed. */
	return number(x, SIZE, id, &size) != -ENOENT;
}

int index_delete(struct index *x, const char *id, uint64_t *size)
{
	sqlite3_int64 n = 0;
	int rc = number(x, SIZE, id, &n);

	if (rc)
		return rc;
	*size = (uint64_t)n;
	bind_id(ready(x, DELETE), 1, id);
	return run(x, DELETE);
}

static struct str column(sqlite3_stmt *s, int at)
{
	const void *p = sqlite3_column_blob(s, at);

	return str_make(p, (size_t)sqlite3_column_bytes(s, at));
}

int index_release(struct index *x, const char *id, const uint8_t *rcpts, size_t n, size_t *left)
{
	sqlite3_stmt *s = ready(x, HELD);
	uint8_t held[HANDOFF_MAX_RCPTS];
	struct str was;
	int rc;

	bind_id(s, 1, id);
	rc = sqlite3_step(s);
	was = rc == SQLITE_ROW ? column(s, 0) : STR_NONE;
	if (was.n && was.n == n && n <= sizeof(held))
		memcpy(held, was.p, n);
	else
		n = 0;
	sqlite3_reset(s);
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? -ENOENT : errno_of(rc);
	if (!n)
		return -EINVAL;
	*left = 0;
	for (size_t i = 0; i < n; i++) {
		held[i] = held[i] && !rcpts[i];
		*left += held[i];
	}
	s = ready(x, SET_HELD);
	bind_id(s, 1, id);
	sqlite3_bind_blob64(s, 2, held, n, SQLITE_STATIC);
	rc = run(x, SET_HELD);
	sqlite3_clear_bindings(s);
	return rc;
}

/* Memory for the copies that a message points to. */
struct shelf {
	uint8_t *p;
	size_t at, cap;
};

static struct str keep(struct shelf *m, struct str s)
{
	uint8_t *to = m->p + m->at;

	if (s.n)
		memcpy(to, s.p, s.n);
	to[s.n] = '\0';
	m->at += s.n + 1;
	return str_make(to, s.n);
}

/* Hostile or not, a damaged row gives no more recipients than it has octets for. */
static int unpack_rcpts(struct str s, struct str *rcpt, size_t *n)
{
	*n = 0;
	while (s.n) {
		size_t len = 0;

		if (s.n < 4)
			return -EBADMSG;
		for (int k = 0; k < 4; k++)
			len = len << 8 | s.p[k];
		s = str_skip(s, 4);
		if (len > s.n || *n == HANDOFF_MAX_RCPTS)
			return -EBADMSG;
		rcpt[(*n)++] = str_cut(s, len);
		s = str_skip(s, len);
	}
	return 0;
}

/* From the columns at `at` on; borrowed from the statement. */
static int read_row(sqlite3_stmt *s, int at, struct quarantine_message *m, struct str *rcpt)
{
	struct str origin = column(s, at + 3), ranges = column(s, at + 14), held = column(s, at + 7);
	int rc;

	m->time_ns = (uint64_t)sqlite3_column_int64(s, at);
	m->content = (struct mail_bytes){.size = (size_t)sqlite3_column_int64(s, at + 1)};
	m->route = (const char *)sqlite3_column_text(s, at + 2);
	m->helo = column(s, at + 4);
	m->mail_from = column(s, at + 5);
	m->message_id = column(s, at + 6);
	m->held = held.p;
	m->reason = (const char *)sqlite3_column_text(s, at + 8);
	m->score = sqlite3_column_double(s, at + 9);
	m->body = (uint8_t)sqlite3_column_int(s, at + 10);
	m->smtputf8 = sqlite3_column_int(s, at + 11);
	m->flags = (uint32_t)sqlite3_column_int64(s, at + 12);
	m->block = column(s, at + 13);
	m->range = (const struct quarantine_range *)ranges.p;
	m->n_ranges = ranges.n / sizeof(*m->range);
	m->rcpt = rcpt;
	if (origin.n != sizeof(m->origin.a) || ranges.n % sizeof(*m->range) || !m->route ||
	    !m->reason)
		return -EBADMSG;
	memcpy(m->origin.a, origin.p, origin.n);
	rc = unpack_dialled(column(s, at + 16), &m->dialled);
	if (rc)
		return rc;
	rc = unpack_rcpts(column(s, at + 15), rcpt, &m->n_rcpts);
	return rc ? rc : held.n != m->n_rcpts ? -EBADMSG : 0;
}

static int copy_row(struct quarantine_message *m, const char *id, void **memory)
{
	size_t ranges = m->n_ranges * sizeof(*m->range), rcpts = m->n_rcpts * sizeof(*m->rcpt);
	size_t need = ranges + rcpts + QUARANTINE_ID + strlen(m->route) + m->helo.n + m->mail_from.n +
		      m->message_id.n + strlen(m->reason) + m->block.n + m->n_rcpts + 8;
	struct shelf shelf = {.at = ranges + rcpts};
	struct str *rcpt;

	for (size_t i = 0; i < m->n_rcpts; i++)
		need += m->rcpt[i].n + 1;
	shelf.cap = need;
	shelf.p = malloc(need);
	if (!shelf.p)
		return -ENOMEM;
	*memory = shelf.p;
	if (ranges)
		memcpy(shelf.p, m->range, ranges);
	m->range = (const struct quarantine_range *)(const void *)shelf.p;
	rcpt = (struct str *)(void *)(shelf.p + ranges);
	for (size_t i = 0; i < m->n_rcpts; i++)
		rcpt[i] = keep(&shelf, m->rcpt[i]);
	m->rcpt = rcpt;
	m->id = (const char *)keep(&shelf, str_make(id, QUARANTINE_ID)).p;
	m->route = (const char *)keep(&shelf, str_c(m->route)).p;
	m->reason = (const char *)keep(&shelf, str_c(m->reason)).p;
	m->helo = keep(&shelf, m->helo);
	m->mail_from = keep(&shelf, m->mail_from);
	m->message_id = keep(&shelf, m->message_id);
	m->block = keep(&shelf, m->block);
	m->held = keep(&shelf, str_make(m->held, m->n_rcpts)).p;
	return 0;
}

int index_get(struct index *x, const char *id, struct quarantine_message *m, void **memory)
{
	struct str *rcpt = calloc(HANDOFF_MAX_RCPTS, sizeof(*rcpt));
	sqlite3_stmt *s = ready(x, GET);
	int rc;

	if (!rcpt)
		return -ENOMEM;
	bind_id(s, 1, id);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW) {
		rc = read_row(s, 0, m, rcpt);
		if (!rc)
			rc = copy_row(m, id, memory);
	} else {
		rc = rc == SQLITE_DONE ? -ENOENT : errno_of(rc);
	}
	sqlite3_reset(s);
	free(rcpt);
	return rc;
}

/* "a@example.com", or "@example.com" for all of a domain. */
static bool address_fits(struct str address, const char *wanted)
{
	if (!wanted)
		return true;
	return wanted[0] == '@' ? str_ieq(mailbox_domain(address), str_c(wanted + 1))
				: str_ieq(address, str_c(wanted));
}

static bool row_fits(const struct quarantine_message *m, const struct quarantine_filter *f)
{
	bool rcpt = !f->rcpt;

	for (size_t i = 0; i < m->n_rcpts && !rcpt; i++)
		rcpt = address_fits(m->rcpt[i], f->rcpt);
	return rcpt && address_fits(m->mail_from, f->mail_from);
}

/* Addresses of an SMTPUTF8 message are UTF-8; whatever else it may be, JSON must hold it. */
static json_t *text(struct str s)
{
	json_t *t = json_stringn((const char *)s.p, s.n);

	return t ? t : json_string("(not UTF-8)");
}

static json_t *row_json(sqlite3_stmt *s, const struct quarantine_message *m)
{
	json_t *rcpts = json_array();
	char ip[64];

	for (size_t i = 0; i < m->n_rcpts; i++)
		json_array_append_new(rcpts, json_pack("{s:o, s:b}", "rcpt", text(m->rcpt[i]), "held",
						       (int)m->held[i]));
	return json_pack("{s:s, s:I, s:I, s:s, s:s, s:o, s:o, s:s, s:f, s:o}", "id",
			 sqlite3_column_text(s, 0), "time_ns", (json_int_t)m->time_ns, "size",
			 (json_int_t)m->content.size, "route", m->route, "origin",
			 ip_format(&m->origin, ip, sizeof(ip)), "mail_from", text(m->mail_from),
			 "message_id", text(m->message_id), "reason", m->reason, "score", m->score,
			 "rcpts", rcpts);
}

int index_list(struct index *x, const struct quarantine_filter *f, json_t **list)
{
	struct str *rcpt = calloc(HANDOFF_MAX_RCPTS, sizeof(*rcpt));
	sqlite3_stmt *s = ready(x, LIST);
	struct quarantine_message m;
	size_t n = 0;
	int rc = SQLITE_DONE;

	*list = json_array();
	while (rcpt && n < f->limit && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		m = (struct quarantine_message){0};
		if (read_row(s, 1, &m, rcpt) || !row_fits(&m, f))
			continue;
		n += json_array_append_new(*list, row_json(s, &m)) == 0;
	}
	sqlite3_reset(s);
	free(rcpt);
	return rcpt ? errno_of(rc) : -ENOMEM;
}

int index_oldest(struct index *x, uint64_t time_ns, char id[QUARANTINE_ID + 1])
{
	sqlite3_stmt *s = ready(x, OLDEST);
	struct str found;
	int rc;

	sqlite3_bind_int64(s, 1, (sqlite3_int64)time_ns);
	rc = sqlite3_step(s);
	found = rc == SQLITE_ROW ? column(s, 0) : STR_NONE;
	if (found.n == QUARANTINE_ID)
		memcpy(id, found.p, QUARANTINE_ID);
	id[found.n == QUARANTINE_ID ? QUARANTINE_ID : 0] = '\0';
	sqlite3_reset(s);
	if (rc == SQLITE_ROW)
		return id[0] ? 0 : -EBADMSG;
	return rc == SQLITE_DONE ? -ENOENT : errno_of(rc);
}

int index_totals(struct index *x, uint64_t *messages, uint64_t *bytes)
{
	sqlite3_stmt *s = ready(x, TOTALS);
	int rc = sqlite3_step(s);

	if (rc == SQLITE_ROW) {
		*messages = (uint64_t)sqlite3_column_int64(s, 0);
		*bytes = (uint64_t)sqlite3_column_int64(s, 1);
	}
	sqlite3_reset(s);
	return rc == SQLITE_ROW ? 0 : -EIO;
}
