/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A pushed generation. The memfds must be sealed against writing and resizing before anything in
 * them is believed: what is checked then stays what it was. The configuration is copied all the
 * same.
 */

#include "dataplane/handoff/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "postern/limits.h"

#define PUSH_SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)
#define MAX_FILES 3u /* configuration, TLS, rules */
#define MAX_TLS (64u * 1024 * 1024)

_Static_assert(sizeof(((struct link_push *)0)->fd) / sizeof(((struct link_push *)0)->fd[0]) ==
	       MAX_FILES, "fds of a push");

static int say(char *text, size_t cap, int error, const char *what)
{
	snprintf(text, cap, "%s", what);
	return error;
}

static bool hostname_fits(const char *h, size_t cap)
{
	size_t n = strnlen(h, cap);

	if (n == 0 || n == cap)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!ascii_is_alnum((uint8_t)h[i]) && h[i] != '-' && h[i] != '.')
			return false;
	return true;
}

/* What goes into replies of ours; it may be empty. */
static bool text_fits(const char *t, size_t cap)
{
	size_t n = strnlen(t, cap);

	for (size_t i = 0; i < n; i++)
		if (t[i] < ' ' || t[i] > '~')
			return false;
	return n < cap;
}

static bool modes_fit(const struct handoff_config *c)
{
	return c->early <= EARLY_REFUSE && c->min_rate_mode <= MODE_OFF &&
	       c->min_rate_large_mode <= MODE_OFF && c->data_total_mode <= MODE_OFF &&
	       c->max_errors_mode <= MODE_OFF && c->max_idle_mode <= MODE_OFF &&
	       c->arena_share_mode <= MODE_OFF && c->arena_share <= 100;
}

/* What a gateway port does is TCP's and SMTP's, and much of what a tap does is settled as well:
 * nothing looks these cells up, so they must say what is done. ACT_DEFAULT: any may be asked for. */
static const uint8_t only[PORT_MODE_COUNT][CAUSE_COUNT] = {
	[PORT_MODE_GATEWAY] = {[CAUSE_CONTROL_DOWN] = ACT_IGNORE, [CAUSE_NO_MEMORY] = ACT_IGNORE,
			       [CAUSE_MIDSTREAM] = ACT_IGNORE,	  [CAUSE_FRAGMENT] = ACT_IGNORE,
			       [CAUSE_MALFORMED] = ACT_IGNORE},
	[PORT_MODE_TAP] = {[CAUSE_NO_MEMORY] = ACT_BYPASS,
			   [CAUSE_FRAGMENT] = ACT_IGNORE,
			   [CAUSE_MALFORMED] = ACT_IGNORE},
};

static int check_exceptions(const struct handoff_config *c, char *text, size_t cap)
{
	for (unsigned int mode = 0; mode < PORT_MODE_COUNT; mode++)
		for (unsigned int cause = 0; cause < CAUSE_COUNT; cause++) {
			uint8_t action = c->exception[mode][cause];

			if (action >= ACT_COUNT)
				return say(text, cap, EINVAL, "an exception's action is unknown");
			if (action && only[mode][cause] && action != only[mode][cause])
				return say(text, cap, EINVAL, "an exception asks for what is not done there");
		}
	return 0;
}

static int check_inline(const struct handoff_config *c, char *text, size_t cap)
{
	if (c->n_inlines > HANDOFF_MAX_INLINE || c->n_inline_own > HANDOFF_MAX_INLINE_OWN ||
	    c->n_inline_names > HANDOFF_MAX_INLINE_NAMES)
		return say(text, cap, EINVAL, "too many servers, names or own sources of a cable");
	for (uint32_t i = 0; i < c->n_inline_names; i++)
		if (!hostname_fits(c->inline_name[i], sizeof(c->inline_name[i])))
			return say(text, cap, EINVAL, "a name of a cable's server is empty, "
				   "unterminated or no domain");
	for (uint32_t i = 0; i < c->n_inlines; i++) {
		const struct handoff_inline *s = &c->inlined[i];

		if (!s->tcp_port || s->prefix_len > 128 || s->mode > INLINE_BYPASS)
			return say(text, cap, EINVAL, "a cable's server has a wrong port, prefix or mode");
		/* Nothing else tells a session of a cable from a listener's. */
		if (s->id < HANDOFF_LISTENER_INLINE || s->id == HANDOFF_LISTENER_TAP)
			return say(text, cap, EINVAL, "a cable's server has a listener's number");
		if (s->flags & ~(INLINE_F_TLS | INLINE_F_TRANSPARENT) || s->name > c->n_inline_names)
			return say(text, cap, EINVAL, "a cable's server has a wrong flag or name");
	}
	for (uint32_t i = 0; i < c->n_inline_own; i++)
		if (c->inline_own[i].prefix_len > 128)
			return say(text, cap, EINVAL, "a prefix of own sources is wrong");
	if (c->bypass > 1)
		return say(text, cap, EINVAL, "bypass out of range");
	return check_exceptions(c, text, cap);
}

int dp_config_check(const struct handoff_config *c, uint64_t max_message, char *text, size_t cap)
{
	if (c->magic != HANDOFF_MAGIC || c->size != sizeof(*c))
		return say(text, cap, EPROTO, "configuration of another layout");
	if (!hostname_fits(c->hostname, sizeof(c->hostname)))
		return say(text, cap, EINVAL, "hostname is empty, unterminated or no domain");
	if (c->max_message == 0 || c->max_message > max_message) {
		snprintf(text, cap, "max_message %llu, but the arena admits 1 to %llu octets "
			 "(an eighth of a worker's slice)", (unsigned long long)c->max_message,
			 (unsigned long long)max_message);
		return EINVAL;
	}
	if (c->max_rcpt < 1 || c->max_rcpt > HANDOFF_MAX_RCPTS)
		return say(text, cap, EINVAL, "max_rcpt out of range");
	if (!c->max_errors || !c->max_transactions || !c->command_timeout_s ||
	    !c->data_timeout_s || !c->data_total_timeout_s || !c->verdict_timeout_s)
		return say(text, cap, EINVAL, "a limit or a time-out is 0");
	if (c->down_action > DOWN_421 || c->refuse_bare_cr > 1)
		return say(text, cap, EINVAL, "down_action or refuse_bare_cr out of range");
	if (!modes_fit(c) || c->max_idle > LIMIT_IDLE_COMMANDS_MAX)
		return say(text, cap, EINVAL, "a mode or max_idle out of range");
	if (!text_fits(c->banner, sizeof(c->banner)) || !text_fits(c->help, sizeof(c->help)) ||
	    !text_fits(c->contact, sizeof(c->contact)))
		return say(text, cap, EINVAL, "a text is unterminated or not printable");
	if (c->n_listeners > HANDOFF_MAX_LISTENERS)
		return say(text, cap, EINVAL, "too many listeners");
	for (uint32_t i = 0; i < c->n_listeners; i++)
		if (!c->listener[i].tcp_port || c->listener[i].prefix_len > 128)
			return say(text, cap, EINVAL, "a listener's port or prefix is wrong");
	if (c->n_tap_ports > HANDOFF_MAX_TAP_PORTS || c->tap_midstream > 1 ||
	    c->tap_ignore_checksums > 1)
		return say(text, cap, EINVAL, "what is watched on tap ports is out of range");
	if (c->n_trusts > HANDOFF_MAX_TRUSTS)
		return say(text, cap, EINVAL, "too many trusted networks");
	for (uint32_t i = 0; i < c->n_trusts; i++)
		if (c->trust[i].prefix_len > 128 || !c->trust[i].flags ||
		    c->trust[i].flags & ~(TRUST_XCLIENT | TRUST_PROXY))
			return say(text, cap, EINVAL, "a trusted network is wrong");
	return check_inline(c, text, cap);
}

static bool ref_fits(const struct handoff_tls *t, struct handoff_tls_ref r)
{
	return r.len == 0 || (r.off >= sizeof(*t) && r.off <= t->size && r.len <= t->size - r.off);
}

int dp_tls_check(const struct handoff_tls *t, size_t size, char *text, size_t cap)
{
	if (size < sizeof(*t) || t->magic != HANDOFF_MAGIC || t->size != size)
		return say(text, cap, EPROTO, "TLS material of another layout");
	if (!t->n_certificates || t->n_certificates > HANDOFF_MAX_CERTIFICATES)
		return say(text, cap, EINVAL, "TLS material without or with too many certificates");
	if (t->ask_client > 1)
		return say(text, cap, EINVAL, "TLS material with a wrong flag");
	if (!ref_fits(t, t->ciphers) || !ref_fits(t, t->client_ca))
		return say(text, cap, EINVAL, "a text of the TLS material lies outside of it");
	for (uint32_t i = 0; i < t->n_certificates; i++)
		if (!t->certificate[i].chain.len || !t->certificate[i].key.len ||
		    !ref_fits(t, t->certificate[i].chain) || !ref_fits(t, t->certificate[i].key))
			return say(text, cap, EINVAL, "a certificate of the TLS material lies "
				   "outside of it");
	return 0;
}

/* The packet's own fields. */
static int check_packet(const struct link_push *p, size_t n, size_t n_fd, char *text, size_t cap)
{
	uint32_t seen = 0;

	if (n != sizeof(*p) || p->n_fds < 1 || p->n_fds > MAX_FILES || p->n_fds != n_fd)
		return say(text, cap, EPROTO, "push of wrong size or number of files");
	if (p->head.generation == 0 || p->fd[0].kind != PUSH_CONFIG)
		return say(text, cap, EPROTO, "push without generation or configuration");
	for (uint32_t i = 1; i < p->n_fds; i++) {
		if ((p->fd[i].kind != PUSH_RULES && p->fd[i].kind != PUSH_TLS) ||
		    seen & 1u << p->fd[i].kind)
			return say(text, cap, EPROTO, "push with a wrong or doubled file");
		seen |= 1u << p->fd[i].kind;
	}
	return 0;
}

/* Read-only mapping of a sealed memfd of exactly `size` octets. */
static int map_fd(int fd, uint64_t size, uint64_t max, const void **out, char *text, size_t cap)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *p;

	if (seals < 0 || (seals & PUSH_SEALS) != PUSH_SEALS)
		return say(text, cap, EPERM, "a pushed file is not sealed");
	if (fstat(fd, &st) < 0 || st.st_size < 0 || (uint64_t)st.st_size != size || size == 0)
		return say(text, cap, EPROTO, "a pushed file has another size than announced");
	if (size > max)
		return say(text, cap, EFBIG, "a pushed file is too large");
	p = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return say(text, cap, errno, "a pushed file cannot be mapped");
	*out = p;
	return 0;
}

static int take_config(const struct link_push *p, int fd, uint64_t max_message,
		       struct handoff_config *c, char *text, size_t cap)
{
	const void *m;
	int error = map_fd(fd, p->fd[0].size, sizeof(*c), &m, text, cap);

	if (error)
		return error;
	if (p->fd[0].size == sizeof(*c))
		memcpy(c, m, sizeof(*c));
	else
		error = say(text, cap, EPROTO, "configuration of another layout");
	munmap((void *)(uintptr_t)m, (size_t)p->fd[0].size);
	if (error)
		return error;
	if (c->generation != p->head.generation)
		return say(text, cap, EPROTO, "configuration of another generation");
	return dp_config_check(c, max_message, text, cap);
}

int dp_push_take(const struct dp_link_opts *opts, uint64_t max_message, const uint8_t *packet,
		 size_t n, const int *fd, size_t n_fd, char *text, size_t cap)
{
	struct link_push p = {0};
	struct handoff_config config;
	struct dp_push push = {.config = &config};
	size_t tls_size = 0;
	int error;

	memcpy(&p, packet, n < sizeof(p) ? n : sizeof(p));
	error = check_packet(&p, n, n_fd, text, cap);
	if (error)
		return error;
	error = take_config(&p, fd[0], max_message, &config, text, cap);
	if (error)
		return error;
	push.generation = p.head.generation;
	for (uint32_t i = 1; error == 0 && i < p.n_fds; i++) {
		const void *m = NULL;

		if (p.fd[i].kind == PUSH_TLS) {
			error = map_fd(fd[i], p.fd[i].size, MAX_TLS, &m, text, cap);
			push.tls = m;
			tls_size = m ? (size_t)p.fd[i].size : 0;
			if (error == 0)
				error = dp_tls_check(push.tls, tls_size, text, cap);
			continue;
		}
		error = map_fd(fd[i], p.fd[i].size, opts->max_rules, &m, text, cap);
		push.rules = m;
		push.rules_len = m ? (size_t)p.fd[i].size : 0;
	}
	if (error == 0)
		error = opts->ops.on_push ? opts->ops.on_push(opts->arg, &push, text, cap)
					  : say(text, cap, ENOSYS, "pushes are not taken");
	if (push.tls)
		munmap((void *)(uintptr_t)push.tls, tls_size);
	if (push.rules)
		munmap((void *)(uintptr_t)push.rules, push.rules_len);
	return error < 0 ? -error : error;
}
