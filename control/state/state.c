/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/state/state.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/note.h"
#include "postern/limits.h"

#define MAGIC "postern-state 1 "
#define HEAD (sizeof(MAGIC) - 1 + 64 + 1) /* magic, SHA-256 in hexadecimal, line feed */

struct doc {
	char *text;
	size_t n;
};

struct state {
	int dir, lock;               /* descriptors; -1: not open */
	pthread_t thread;

	pthread_mutex_t mutex;       /* of all that follows */
	pthread_cond_t wake;
	struct doc waiting[STATE_DOCS]; /* text NULL: nothing */
	bool stopping;
	uint64_t failed;
};

const char *state_name(enum state_doc doc)
{
	static const char *const name[STATE_DOCS] = {
		[STATE_BREAKERS] = "breakers.json", [STATE_STS] = "mta-sts.json"};

	return name[doc];
}

static void head_of(const char *text, size_t n, char head[HEAD + 1])
{
	uint8_t sum[32];
	size_t at = sizeof(MAGIC) - 1;

	memcpy(head, MAGIC, at);
	EVP_Digest(text, n, sum, NULL, EVP_sha256(), NULL);
	for (size_t i = 0; i < sizeof(sum); i++, at += 2)
		snprintf(head + at, 3, "%02x", sum[i]);
	head[at] = '\n';
	head[at + 1] = '\0';
}

/* ---- the thread --------------------------------------------------------------------------------- */

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

static int write_doc(const struct state *s, enum state_doc which, const struct doc *d)
{
	char name[40], head[HEAD + 1];
	int fd, rc;

	if (d->n > LIMIT_STATE_DOC)
		return -EFBIG;
	head_of(d->text, d->n, head);
	snprintf(name, sizeof(name), "%s.new", state_name(which));
	fd = openat(s->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return -errno;
	rc = write_all(fd, head, HEAD);
	if (!rc)
		rc = write_all(fd, d->text, d->n);
	if (!rc && fsync(fd))
		rc = -errno;
	if (close(fd) && !rc)
		rc = -errno;
	if (!rc && renameat(s->dir, name, s->dir, state_name(which)))
		rc = -errno;
	if (!rc && fsync(s->dir))
		rc = -errno;
	if (rc)
		unlinkat(s->dir, name, 0);
	return rc;
}

/* Under the mutex: the next that waits, STATE_DOCS: none. */
static enum state_doc next(const struct state *s)
{
	int i = 0;

	while (i < STATE_DOCS && !s->waiting[i].text)
		i++;
	return (enum state_doc)i;
}

/* What could not be written waits on, unless a newer one is there already. */
static void keep_failed(struct state *s, enum state_doc which, const struct doc *d, int rc)
{
	if (!s->failed++)
		note(NOTE_ERROR, "state: %s cannot be written: %s", state_name(which),
			strerror(-rc));
	if (s->waiting[which].text || s->stopping || rc == -EFBIG)
		free(d->text);
	else
		s->waiting[which] = *d;
}

static void *work(void *arg)
{
	struct state *s = arg;
	struct timespec until;
	bool wait = false;           /* something failed */

	pthread_mutex_lock(&s->mutex);
	for (;;) {
		enum state_doc which;
		struct doc d;
		int rc;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += LIMIT_STATE_RETRY_S;
		if (wait && !s->stopping)
			pthread_cond_timedwait(&s->wake, &s->mutex, &until);
		while (next(s) == STATE_DOCS && !s->stopping)
			pthread_cond_wait(&s->wake, &s->mutex);
		which = next(s);
		if (which == STATE_DOCS)
			break;
		d = s->waiting[which];
		s->waiting[which].text = NULL;
		pthread_mutex_unlock(&s->mutex);
		rc = write_doc(s, which, &d);
		pthread_mutex_lock(&s->mutex);
		wait = rc != 0;
		if (!rc)
			free(d.text);
		else
			keep_failed(s, which, &d, rc);
	}
	pthread_mutex_unlock(&s->mutex);
	return NULL;
}

/* ---- the loop's side ----------------------------------------------------------------------------- */

void state_put(struct state *s, enum state_doc doc, char *text, size_t n)
{
	pthread_mutex_lock(&s->mutex);
	free(s->waiting[doc].text);
	s->waiting[doc] = (struct doc){text, n};
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->mutex);
}

uint64_t state_failed(struct state *s)
{
	uint64_t n;

	pthread_mutex_lock(&s->mutex);
	n = s->failed;
	pthread_mutex_unlock(&s->mutex);
	return n;
}

static int read_file(int fd, char **data, size_t *n)
{
	struct stat st;
	size_t at = 0;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADMSG;
	if (st.st_size > (off_t)(LIMIT_STATE_DOC + HEAD))
		return -EFBIG;
	*n = (size_t)st.st_size;
	*data = malloc(*n + 1);
	if (!*data)
		return -ENOMEM;
	while (at < *n) {
		ssize_t k = read(fd, *data + at, *n - at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (!k)
			return -EBADMSG;
		at += (size_t)k;
	}
	(*data)[*n] = '\0';
	return 0;
}

int state_read(struct state *s, enum state_doc doc, char **text, size_t *n)
{
	char head[HEAD + 1], bad[40], *data = NULL;
	int fd = openat(s->dir, state_name(doc), O_RDONLY | O_CLOEXEC | O_NOFOLLOW), rc;

	if (fd < 0)
		return -errno;
	rc = read_file(fd, &data, n);
	close(fd);
	if (!rc && *n < HEAD)
		rc = -EBADMSG;
	if (!rc) {
		*n -= HEAD;
		head_of(data + HEAD, *n, head);
		if (memcmp(data, head, HEAD) != 0)
			rc = -EBADMSG;
	}
	if (!rc) {
		memmove(data, data + HEAD, *n + 1);
		*text = data;
		return 0;
	}
	free(data);
	if (rc == -EBADMSG || rc == -EFBIG) {
		/* It stays where it is until a good one takes its place: were it gone and the good
		 * one not written, nobody would doubt what is not there. */
		snprintf(bad, sizeof(bad), "%s.bad", state_name(doc));
		(void)unlinkat(s->dir, bad, 0);
		(void)linkat(s->dir, state_name(doc), s->dir, bad, 0);
	}
	return rc;
}

static int open_directory(struct state *s, const char *directory)
{
	if (mkdir(directory, 0750) && errno != EEXIST)
		return -errno;
	s->dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir < 0)
		return -errno;
	s->lock = openat(s->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (s->lock < 0 || flock(s->lock, LOCK_EX | LOCK_NB))
		return -errno;
	return 0;
}

static void free_all(struct state *s)
{
	for (int i = 0; i < STATE_DOCS; i++)
		free(s->waiting[i].text);
	if (s->lock >= 0)
		close(s->lock);
	if (s->dir >= 0)
		close(s->dir);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->mutex);
	free(s);
}

struct state *state_open(const char *directory, char *err, size_t err_len)
{
	struct state *s = calloc(1, sizeof(*s));
	int rc;

	if (!s) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	s->dir = s->lock = -1;
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->wake, NULL);
	rc = open_directory(s, directory);
	if (!rc)
		rc = -pthread_create(&s->thread, NULL, work, s);
	if (!rc)
		return s;
	if (rc == -EWOULDBLOCK)
		snprintf(err, err_len, "%.180s: another process owns it", directory);
	else
		snprintf(err, err_len, "%.180s: %s", directory, strerror(-rc));
	free_all(s);
	return NULL;
}

void state_close(struct state *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->mutex);
	s->stopping = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->mutex);
	pthread_join(s->thread, NULL);
	free_all(s);
}
