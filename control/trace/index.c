/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "control/trace/index_internal.h"

#define VERSION 1
#define APPLICATION 1347638354 /* "PSTR" */
#define STRINGIFY_(x) #x
#define STRINGIFY(x) STRINGIFY_(x)
/* Pages of the write-ahead log behind which it is taken over. */
#define CHECKPOINT 1000
#define WAL_SIZE 16777216
#define PRUNE_RECORDS 500
#define BUSY_MS 200

/* Younger than version 1, and older databases of it are given it when they are opened. */
#define EVENT_INDEX "CREATE INDEX IF NOT EXISTS event_time ON event (time);"

/* Some are younger as well, but it takes each record to make them: trace_index_complete(). */
static const struct {
	const char *name, *on;
} indexes[] = {
	{"by_trace_id", "trace_id"},
	{"by_message_id", "message_id) WHERE (message_id IS NOT NULL"},
	{"by_sender", "ifnull(sender_key, mail_from)"},
	{"by_sender_domain", "sender_domain"},
	{"by_rcpt", "ifnull(rcpt_key, rcpt)"},
	{"by_rcpt_domain", "rcpt_domain"},
	{"by_origin", "origin"},
	{"by_outcome", "outcome"},
	{"by_route", "route"},
	{"by_way", "route, egress, local, outcome"},
};
#define N_INDEXES (sizeof(indexes) / sizeof(indexes[0]))
#define STEPS_ASKED 1000 /* of SQLite's machine */

/*
 * id: see index.h. mail_from and rcpt stand as they came; *_key only where what is looked for is
 * something else. Addresses of the network are 16 octets, IPv4 mapped.
 */
static const char schema[] =
	"CREATE TABLE segment (id INTEGER PRIMARY KEY, key INTEGER NOT NULL UNIQUE,"
	" offset INTEGER NOT NULL) STRICT;"
	"CREATE TABLE record (id INTEGER PRIMARY KEY, trace_id TEXT NOT NULL, outcome INTEGER NOT NULL,"
	" message_id TEXT, mail_from TEXT, sender_key TEXT, sender_domain TEXT, rcpt TEXT, rcpt_key TEXT,"
	" rcpt_domain TEXT, origin BLOB, peer BLOB, local BLOB, egress BLOB, helo TEXT, route TEXT,"
	" score REAL, action TEXT, reason TEXT, stage TEXT, next_hop TEXT, reply TEXT, next_hop_reply TEXT,"
	" spf TEXT, dkim TEXT, dmarc TEXT, arc TEXT, size INTEGER, us INTEGER, judge_us INTEGER,"
	" subject TEXT, how TEXT, segment INTEGER NOT NULL, offset INTEGER NOT NULL,"
	" length INTEGER NOT NULL) STRICT;"
	"CREATE TABLE rule (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
	"CREATE TABLE hit (rule INTEGER NOT NULL, record INTEGER NOT NULL,"
	" PRIMARY KEY (rule, record)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE event (trace_id TEXT NOT NULL, time INTEGER NOT NULL, what TEXT NOT NULL,"
	" PRIMARY KEY (trace_id, time, what)) STRICT, WITHOUT ROWID;" EVENT_INDEX
	"PRAGMA application_id = " STRINGIFY(APPLICATION) "; PRAGMA user_version = " STRINGIFY(VERSION) ";";

static const char forget[] =
	"BEGIN IMMEDIATE; DROP TABLE IF EXISTS record; DROP TABLE IF EXISTS hit; DROP TABLE IF EXISTS rule;"
	"DROP TABLE IF EXISTS event; DROP TABLE IF EXISTS segment; PRAGMA user_version = 0;";

static const char *const sql[INDEX_STATEMENTS] = {
	[INDEX_BEGIN] = "BEGIN IMMEDIATE",
	[INDEX_COMMIT] = "COMMIT",
	[INDEX_ROLLBACK] = "ROLLBACK",
	/* ?1: the first number of the millisecond; the next that is free is taken. */
	[INDEX_PUT] = "INSERT INTO record VALUES (coalesce((SELECT max(id) + 1 FROM record WHERE id >= ?1"
		      " AND id < ?1 + (1 << " STRINGIFY(INDEX_SEQUENCE) ")), ?1), ?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,"
		      "?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[INDEX_RULE] = "SELECT id FROM rule WHERE name = ?",
	[INDEX_NEW_RULE] = "INSERT INTO rule (name) VALUES (?)",
	[INDEX_HIT] = "INSERT OR IGNORE INTO hit VALUES (?, ?)",
	[INDEX_EVENT] = "INSERT OR IGNORE INTO event VALUES (?, ?, ?)",
	[INDEX_SEGMENT] = "SELECT id, offset FROM segment WHERE key = ?",
	[INDEX_NEW_SEGMENT] = "INSERT INTO segment (key, offset) VALUES (?, 0)",
	[INDEX_SET_OFFSET] = "UPDATE segment SET offset = ?2 WHERE id = ?1",
	[INDEX_PAGES] = "SELECT (SELECT page_count FROM pragma_page_count)"
			" - (SELECT freelist_count FROM pragma_freelist_count)",
	/* The first behind the oldest some hundred; of fewer than twice as many, behind their older half. */
	[INDEX_OLDEST] = "SELECT id FROM record ORDER BY id LIMIT 1 OFFSET (SELECT (count(*) + 1) / 2 FROM"
			 " (SELECT 1 FROM record LIMIT 2 * " STRINGIFY(PRUNE_RECORDS) "))",
	[INDEX_OLDEST_EVENT] = "SELECT time FROM event ORDER BY time LIMIT 1 OFFSET (SELECT (count(*) + 1) / 2"
			       " FROM (SELECT 1 FROM event LIMIT 2 * " STRINGIFY(PRUNE_RECORDS) "))",
	[INDEX_EXPIRE] = "DELETE FROM record WHERE id < ?",
	[INDEX_EXPIRE_HITS] = "DELETE FROM hit WHERE rule = ?1 AND record < ?2",
	/* Bounded, since any number of them may be of one millisecond. */
	[INDEX_EXPIRE_EVENTS] = "DELETE FROM event WHERE (trace_id, time, what) IN (SELECT trace_id, time, what"
				" FROM event WHERE time < ? ORDER BY time LIMIT 2 * " STRINGIFY(PRUNE_RECORDS) ")",
};

int trace_index_errno(int rc)
{
	if (rc == SQLITE_AUTH)
		return -EEXIST;
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW: return 0;
	case SQLITE_BUSY:
	case SQLITE_LOCKED: return -EBUSY;
	case SQLITE_FULL: return -ENOSPC;
	case SQLITE_NOMEM: return -ENOMEM;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_MISMATCH: return -EBADMSG;
	case SQLITE_CANTOPEN: return -ENOENT;
	case SQLITE_READONLY:
	case SQLITE_PERM: return -EACCES;
	default: return -EIO;
	}
}

const char *trace_index_why(const struct trace_index *x)
{
	return x->why[0] ? x->why : sqlite3_errmsg(x->db);
}

bool trace_index_has(struct trace_index *x, const char *index)
{
	sqlite3_stmt *s;
	bool has = false;

	if (sqlite3_prepare_v2(x->db, "SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = ?", -1, &s, NULL) ==
	    SQLITE_OK) {
		sqlite3_bind_text(s, 1, index, -1, SQLITE_STATIC);
		has = sqlite3_step(s) == SQLITE_ROW;
	}
	sqlite3_finalize(s);
	return has;
}

/* The first number that a statement gives; -1: it gives none. */
static int64_t number_of(struct trace_index *x, const char *text)
{
	sqlite3_stmt *s;
	int64_t v = -1;

	if (sqlite3_prepare_v2(x->db, text, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
		v = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return v;
}

/* A schema that somebody planted runs nothing, and what it gives is checked (sqlite.org/security.html). */
static int distrust(struct trace_index *x)
{
	sqlite3_extended_result_codes(x->db, 1);
	sqlite3_limit(x->db, SQLITE_LIMIT_LENGTH, 4 * 1024 * 1024);
	sqlite3_db_config(x->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(x->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	return sqlite3_exec(x->db, "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;", NULL, NULL, NULL);
}

static int make_indexes(struct trace_index *x)
{
	char text[200];
	int rc = SQLITE_OK;

	for (size_t i = 0; rc == SQLITE_OK && i < N_INDEXES; i++) {
		snprintf(text, sizeof(text), "CREATE INDEX IF NOT EXISTS %s ON record (%s)", indexes[i].name, indexes[i].on);
		rc = sqlite3_exec(x->db, text, NULL, NULL, NULL);
	}
	return rc;
}

static int make_all(struct trace_index *x)
{
	int rc = sqlite3_exec(x->db, schema, NULL, NULL, NULL);

	return rc == SQLITE_OK ? make_indexes(x) : rc;
}

struct asked {
	bool (*stop)(void *ctx);
	void *ctx;
};

static int is_asked(void *arg)
{
	const struct asked *a = arg;

	return a->stop(a->ctx);
}

int trace_index_complete(struct trace_index *x, bool (*stop)(void *ctx), void *ctx)
{
	struct asked a = {stop, ctx};
	int rc;

	sqlite3_progress_handler(x->db, STEPS_ASKED, stop ? is_asked : NULL, &a);
	rc = make_indexes(x);
	sqlite3_progress_handler(x->db, 0, NULL, NULL);
	return (rc & 0xff) == SQLITE_INTERRUPT ? -EINTR : trace_index_errno(rc);
}

static int bound(struct trace_index *x)
{
	char text[64];

	x->page = (uint32_t)number_of(x, "PRAGMA page_size");
	if (x->page < 512 || x->page > 65536)
		return SQLITE_NOTADB;
	snprintf(text, sizeof(text), "PRAGMA max_page_count = %llu",
		 (unsigned long long)(x->size / x->page));
	return sqlite3_exec(x->db, text, NULL, NULL, NULL);
}

/*
 * Each commit is atomic when the process or the machine dies, and the last ones may be gone then
 * (synchronous = NORMAL): place and records of a batch go together, and the log has them.
 */
static int prepare(struct trace_index *x)
{
	int rc = distrust(x);
	int64_t version;

	/* Nothing is written to a database that some other program made. */
	if (!rc && number_of(x, "PRAGMA page_count") > 0 &&
	    number_of(x, "PRAGMA application_id") != APPLICATION)
		return sqlite3_errcode(x->db) ? sqlite3_errcode(x->db) : SQLITE_AUTH;
	sqlite3_busy_timeout(x->db, BUSY_MS);

	if (!rc)
		rc = sqlite3_exec(x->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
				  "PRAGMA wal_autocheckpoint = " STRINGIFY(CHECKPOINT) ";", NULL, NULL, NULL);
	if (!rc)
		rc = sqlite3_exec(x->db, "PRAGMA journal_size_limit = " STRINGIFY(WAL_SIZE), NULL, NULL, NULL);
	if (!rc)
		rc = bound(x);
	version = rc ? -1 : number_of(x, "PRAGMA user_version");
	if (!rc && version == 0)
		rc = make_all(x);
	else if (!rc && version != VERSION)
		rc = SQLITE_MISMATCH;
	else if (!rc)
		rc = sqlite3_exec(x->db, EVENT_INDEX, NULL, NULL, NULL);
	/* Without it they are found more slowly, and when some are gone there is room for it. */
	if ((rc & 0xff) == SQLITE_FULL && version == VERSION)
		rc = SQLITE_OK;
	for (size_t i = 0; !rc && i < INDEX_STATEMENTS; i++)
		rc = sqlite3_prepare_v3(x->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &x->stmt[i], NULL);
	return rc;
}

static int finish(struct trace_index **out, struct trace_index *x, int rc, const char *path, char *err,
		  size_t err_len)
{
	if (rc == SQLITE_OK) {
		*out = x;
		return 0;
	}
	snprintf(err, err_len, "%s: %s", path,
		 rc == SQLITE_MISMATCH ? "of another version of this program"
		 : rc == SQLITE_AUTH   ? "a database of another program"
		 : x && x->db	       ? sqlite3_errmsg(x->db)
				       : "out of memory");
	trace_index_close(x);
	*out = NULL;
	return trace_index_errno(rc);
}

int trace_index_open(struct trace_index **out, const char *path, uint64_t size, char *err, size_t err_len)
{
	struct trace_index *x = calloc(1, sizeof(*x));
	int rc = SQLITE_NOMEM;

	if (x) {
		x->size = size < INDEX_MIN_SIZE ? INDEX_MIN_SIZE : size;
		rc = sqlite3_open_v2(path, &x->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
				     SQLITE_OPEN_NOMUTEX, NULL);
	}
	if (rc == SQLITE_OK)
		rc = prepare(x);
	return finish(out, x, rc, path, err, err_len);
}

/* A path in a URI: what would end it is written as %HH. */
static char *uri(const char *path, const char *rest)
{
	static const char digit[] = "0123456789ABCDEF";
	char *out = malloc(5 + 3 * strlen(path) + strlen(rest) + 1), *p = out;

	if (!out)
		return NULL;
	p = stpcpy(p, "file:");
	for (; *path; path++) {
		uint8_t c = (uint8_t)*path;

		if (ascii_is_alnum(c) || strchr("/._-", c)) {
			*p++ = (char)c;
			continue;
		}
		*p++ = '%';
		*p++ = digit[c >> 4];
		*p++ = digit[c & 15];
	}
	strcpy(p, rest);
	return out;
}

/* A database without a log beside it has no writer, and where the reader may not write either SQLite
 * wants to be told that it will have none. */
static int open_to_read(struct trace_index *x, const char *path)
{
	char *name = uri(path, "?mode=ro"), *still = uri(path, "?mode=ro&immutable=1");
	int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI;
	char wal[4096];
	struct stat st;
	int rc = name && still ? sqlite3_open_v2(name, &x->db, flags, NULL) : SQLITE_NOMEM;

	if (rc == SQLITE_OK)
		rc = distrust(x);
	if (rc == SQLITE_OK && number_of(x, "PRAGMA user_version") < 0)
		rc = sqlite3_errcode(x->db) ? sqlite3_errcode(x->db) : SQLITE_NOTADB;
	if (rc != SQLITE_OK && rc != SQLITE_NOMEM && (rc & 0xff) != SQLITE_NOTADB &&
	    snprintf(wal, sizeof(wal), "%s-wal", path) < (int)sizeof(wal) && stat(wal, &st)) {
		sqlite3_close(x->db);
		x->db = NULL;
		rc = sqlite3_open_v2(still, &x->db, flags, NULL);
		if (rc == SQLITE_OK)
			rc = distrust(x);
	}
	free(name);
	free(still);
	return rc;
}

int trace_index_read(struct trace_index **out, const char *path, char *err, size_t err_len)
{
	struct trace_index *x = calloc(1, sizeof(*x));
	int rc = x ? open_to_read(x, path) : SQLITE_NOMEM;

	if (rc == SQLITE_OK) {
		int64_t version = number_of(x, "PRAGMA user_version");

		sqlite3_busy_timeout(x->db, 5000);
		rc = version == VERSION ? SQLITE_OK
		     : version < 0	? sqlite3_extended_errcode(x->db)
					: SQLITE_MISMATCH;
		if (version < 0 && rc == SQLITE_OK)
			rc = SQLITE_NOTADB;
	}
	return finish(out, x, rc, path, err, err_len);
}

void trace_index_close(struct trace_index *x)
{
	if (!x)
		return;
	for (size_t i = 0; i < INDEX_STATEMENTS; i++)
		sqlite3_finalize(x->stmt[i]);
	sqlite3_close(x->db);
	free(x);
}

/* ---- batches ----------------------------------------------------------------------------------- */

static sqlite3_stmt *ready(struct trace_index *x, int which)
{
	sqlite3_reset(x->stmt[which]);
	sqlite3_clear_bindings(x->stmt[which]);
	return x->stmt[which];
}

static int run(struct trace_index *x, int which)
{
	int rc = trace_index_errno(sqlite3_step(x->stmt[which]));

	sqlite3_reset(x->stmt[which]);
	return rc;
}

int trace_index_begin(struct trace_index *x)
{
	x->why[0] = '\0';
	ready(x, INDEX_BEGIN);
	return run(x, INDEX_BEGIN);
}

int trace_index_commit(struct trace_index *x)
{
	ready(x, INDEX_COMMIT);
	return run(x, INDEX_COMMIT);
}

/* SQLite may have taken it back by itself. Taking it back has no error, and what had is to be told. */
void trace_index_rollback(struct trace_index *x)
{
	x->why[0] = '\0';
	if (trace_index_errno(sqlite3_errcode(x->db)))
		snprintf(x->why, sizeof(x->why), "%s", sqlite3_errmsg(x->db));
	if (sqlite3_get_autocommit(x->db))
		return;
	ready(x, INDEX_ROLLBACK);
	run(x, INDEX_ROLLBACK);
}

int trace_index_place(struct trace_index *x, uint64_t key, int64_t *segment, uint64_t *offset)
{
	sqlite3_stmt *s = ready(x, INDEX_SEGMENT);
	int rc;

	sqlite3_bind_int64(s, 1, (sqlite3_int64)key);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW) {
		*segment = sqlite3_column_int64(s, 0);
		*offset = (uint64_t)sqlite3_column_int64(s, 1);
		sqlite3_reset(s);
		return 0;
	}
	sqlite3_reset(s);
	if (rc != SQLITE_DONE)
		return trace_index_errno(rc);
	sqlite3_bind_int64(ready(x, INDEX_NEW_SEGMENT), 1, (sqlite3_int64)key);
	*offset = 0;
	rc = run(x, INDEX_NEW_SEGMENT);
	*segment = sqlite3_last_insert_rowid(x->db);
	return rc;
}

int trace_index_placed(struct trace_index *x, int64_t segment, uint64_t offset)
{
	sqlite3_stmt *s = ready(x, INDEX_SET_OFFSET);

	sqlite3_bind_int64(s, 1, segment);
	sqlite3_bind_int64(s, 2, (sqlite3_int64)offset);
	return run(x, INDEX_SET_OFFSET);
}

static void bind_text(sqlite3_stmt *s, int at, struct row_text t)
{
	if (t.p)
		sqlite3_bind_text64(s, at, t.p, t.n, SQLITE_STATIC, SQLITE_UTF8);
}

static void bind_ip(sqlite3_stmt *s, int at, bool has, const struct ip_addr *ip)
{
	if (has)
		sqlite3_bind_blob(s, at, ip->a, sizeof(ip->a), SQLITE_STATIC);
}

/* An address as three columns: as it came, as it is looked for if that is something else, its domain. */
static void bind_address(sqlite3_stmt *s, int at, struct row_text t, const char *key)
{
	struct str domain = mailbox_domain(str_c(key));

	bind_text(s, at, t);
	if (t.p && (t.n != strlen(key) || memcmp(t.p, key, t.n)))
		sqlite3_bind_text(s, at + 1, key, -1, SQLITE_STATIC);
	if (t.p && domain.n)
		sqlite3_bind_text(s, at + 2, (const char *)domain.p, (int)domain.n, SQLITE_STATIC);
}

static int rule_of(struct trace_index *x, struct row_text name, int64_t *id)
{
	sqlite3_stmt *s = ready(x, INDEX_RULE);
	int rc;

	bind_text(s, 1, name);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		*id = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	if (rc != SQLITE_DONE)
		return trace_index_errno(rc);
	bind_text(ready(x, INDEX_NEW_RULE), 1, name);
	rc = run(x, INDEX_NEW_RULE);
	*id = sqlite3_last_insert_rowid(x->db);
	return rc;
}

static int put_hits(struct trace_index *x, const struct row *r, int64_t record)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < r->n_rules; i++) {
		int64_t id = 0;

		rc = rule_of(x, r->rule[i], &id);
		if (rc)
			break;
		sqlite3_bind_int64(ready(x, INDEX_HIT), 1, id);
		sqlite3_bind_int64(x->stmt[INDEX_HIT], 2, record);
		rc = run(x, INDEX_HIT);
	}
	return rc;
}

static int put_event(struct trace_index *x, const struct row *r)
{
	sqlite3_stmt *s = ready(x, INDEX_EVENT);

	bind_text(s, 1, r->trace_id);
	sqlite3_bind_int64(s, 2, r->time_ms);
	sqlite3_bind_text(s, 3, r->event, -1, SQLITE_STATIC);
	return run(x, INDEX_EVENT);
}

int trace_index_put(struct trace_index *x, const struct row *r, int64_t segment, uint64_t at, uint64_t len)
{
	sqlite3_stmt *s = ready(x, INDEX_PUT);
	const struct row_text texts[] = {r->helo, r->route}, judged[] = {r->action, r->reason, r->stage,
		r->next_hop, r->reply, r->next_hop_reply, r->spf, r->dkim, r->dmarc, r->arc};
	int rc;

	if (r->event)
		return put_event(x, r);
	sqlite3_bind_int64(s, 1, r->time_ms << INDEX_SEQUENCE);
	bind_text(s, 2, r->trace_id);
	sqlite3_bind_int(s, 3, r->outcome);
	if (r->message_id.n)
		bind_text(s, 4, r->message_id);
	bind_address(s, 5, r->mail_from, r->sender_key);
	bind_address(s, 8, r->rcpt, r->rcpt_key);
	bind_ip(s, 11, r->has_origin, &r->origin);
	bind_ip(s, 12, r->has_peer, &r->peer);
	bind_ip(s, 13, r->has_local, &r->local);
	bind_ip(s, 14, r->has_egress, &r->egress);
	for (int i = 0; i < 2; i++)
		bind_text(s, 15 + i, texts[i]);
	if (r->has_score)
		sqlite3_bind_double(s, 17, r->score);
	for (int i = 0; i < 10; i++)
		bind_text(s, 18 + i, judged[i]);
	sqlite3_bind_int64(s, 28, r->size);
	sqlite3_bind_int64(s, 29, r->us);
	sqlite3_bind_int64(s, 30, r->judge_us);
	bind_text(s, 31, r->subject);
	bind_text(s, 32, r->how);
	sqlite3_bind_int64(s, 33, segment);
	sqlite3_bind_int64(s, 34, (sqlite3_int64)at);
	sqlite3_bind_int64(s, 35, (sqlite3_int64)len);
	rc = run(x, INDEX_PUT);
	sqlite3_clear_bindings(s);
	return rc ? rc : put_hits(x, r, sqlite3_last_insert_rowid(x->db));
}

/* ---- what is forgotten ------------------------------------------------------------------------- */

static int64_t single(struct trace_index *x, int which, int64_t none)
{
	sqlite3_stmt *s = ready(x, which);
	int64_t v = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : none;

	sqlite3_reset(s);
	return v;
}

uint64_t trace_index_bytes(struct trace_index *x)
{
	return (uint64_t)single(x, INDEX_PAGES, 0) * x->page;
}

/* Hits lie by rule: of each its own. */
static int expire_hits(struct trace_index *x, int64_t below)
{
	int64_t last = number_of(x, "SELECT max(id) FROM rule");
	int rc = 0;

	for (int64_t rule = 1; !rc && rule <= last; rule++) {
		sqlite3_stmt *s = ready(x, INDEX_EXPIRE_HITS);

		sqlite3_bind_int64(s, 1, rule);
		sqlite3_bind_int64(s, 2, below);
		rc = run(x, INDEX_EXPIRE_HITS);
	}
	return rc;
}

static int expire(struct trace_index *x, int64_t below, uint64_t *gone)
{
	int rc = trace_index_begin(x);

	if (rc)
		return rc;
	sqlite3_bind_int64(ready(x, INDEX_EXPIRE), 1, below);
	rc = run(x, INDEX_EXPIRE);
	*gone = (uint64_t)sqlite3_changes64(x->db);
	if (!rc)
		rc = expire_hits(x, below);
	if (!rc) {
		sqlite3_bind_int64(ready(x, INDEX_EXPIRE_EVENTS), 1, below >> INDEX_SEQUENCE);
		rc = run(x, INDEX_EXPIRE_EVENTS);
	}
	if (!rc)
		rc = trace_index_commit(x);
	if (rc)
		trace_index_rollback(x);
	return rc;
}

/*
 * Records and events are forgotten by their own times, each bounds what goes with the other: a step takes
 * the oldest some hundred of either and never all that there is, unless it is one.
 */
int trace_index_prune(struct trace_index *x, int64_t before_ms, bool force, uint64_t *pruned, bool *more)
{
	int64_t old = before_ms << INDEX_SEQUENCE, next = single(x, INDEX_OLDEST, INT64_MAX);
	int64_t event = single(x, INDEX_OLDEST_EVENT, INT64_MAX >> INDEX_SEQUENCE);
	int64_t first = number_of(x, "SELECT min(id) FROM record");
	int64_t first_event = number_of(x, "SELECT min(time) FROM event");
	bool large = force || trace_index_bytes(x) > x->size / 16 * 15, last;
	int64_t below;
	int rc;

	*pruned = 0;
	*more = false;
	/* That millisecond as well, or nothing goes when all are of one. */
	if (event < INT64_MAX >> INDEX_SEQUENCE && (event + 1) << INDEX_SEQUENCE < next)
		next = (event + 1) << INDEX_SEQUENCE;
	last = next == INT64_MAX;
	below = large || next < old ? next : old;
	/* min() of nothing is NULL, which is 0. */
	if ((first <= 0 || first >= below) && (first_event <= 0 || first_event >= below >> INDEX_SEQUENCE))
		return 0;
	rc = expire(x, below, pruned);
	if (rc)
		*pruned = 0;
	else
		*more = next < old || (large && !force && !last);
	return rc;
}

int trace_index_reset(struct trace_index *x, bool bare)
{
	int rc;

	/* A statement that is prepared does not mind: it is prepared anew. */
	for (size_t i = 0; i < INDEX_STATEMENTS; i++)
		sqlite3_reset(x->stmt[i]);
	rc = sqlite3_exec(x->db, forget, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = bare ? sqlite3_exec(x->db, schema, NULL, NULL, NULL) : make_all(x);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(x->db, "COMMIT", NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		trace_index_rollback(x);
	return trace_index_errno(rc);
}
