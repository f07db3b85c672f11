/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/cables.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "postern/stats.h"

static uint64_t milliseconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void cables_init(struct cables *c, const struct port_info *port, unsigned int n_ports,
		 uint64_t *counters, void (*note)(const char *fmt, ...))
{
	*c = (struct cables){.port = port, .n_ports = n_ports, .counters = counters, .note = note};
	for (unsigned int i = 0; i < n_ports; i++)
		port_mirror_init(&c->mirror[i], milliseconds());
}

static bool has_role(const struct cables *c, uint8_t role)
{
	for (unsigned int i = 0; i < c->n_ports; i++)
		if (c->port[i].role == role)
			return true;
	return false;
}

void cables_check(const struct cables *c, const struct handoff_config *config)
{
	bool transparent = false;

	if (config->n_inlines && !has_role(c, PORT_INLINE)) {
		c->note("it names servers in a cable, and no port is one: give --port N=inline:M");
		return;
	}
	for (uint32_t i = 0; i < config->n_inlines; i++)
		transparent |= config->inlined[i].mode == INLINE_TERMINATE &&
			       config->inlined[i].flags & INLINE_F_TRANSPARENT;
	/* Without one what such a server answers goes to the client, and all its mail waits. There may
	 * be another way back than ours; so it is told of, and not refused. */
	if (transparent && !has_role(c, PORT_EXCEPTION))
		c->note("it has a transparent route to a server in a cable, and no port is the kernel's: give "
			"--port N=exception:M, or what the server answers goes to its clients");
}

static void set_link(struct cables *c, const struct port_info *p, const struct port_info *other,
		     enum port_mirror_do todo)
{
	int rc;

	if (todo == MIRROR_NOTHING)
		return;
	rc = port_set_link(p, todo == MIRROR_UP);
	if (todo == MIRROR_DOWN)
		c->counters[rc ? CNT_inline_link_unsupported : CNT_inline_link_mirrored]++;
	if (rc)
		c->note("port %u: link %s; port %u cannot be made to follow (%s): %s", other->id,
			todo == MIRROR_UP ? "up" : "down", p->id, p->driver, strerror(-rc));
	else
		c->note("port %u: link %s; port %u %s", other->id, todo == MIRROR_UP ? "up" : "down", p->id,
			todo == MIRROR_UP ? "is up again" : "was taken down with it");
}

void cables_mirror(struct cables *c)
{
	for (unsigned int i = 0; i < c->n_ports; i++)
		for (unsigned int k = i + 1; k < c->n_ports; k++) {
			const struct port_info *p[2] = {&c->port[i], &c->port[k]};
			enum port_mirror_do todo[2];
			bool up[2];

			if (p[0]->role != PORT_INLINE || p[1]->role != PORT_INLINE || p[0]->peer != p[1]->id)
				continue;
			up[0] = port_link_up(p[0]);
			up[1] = port_link_up(p[1]);
			port_mirror_step(&c->mirror[i], up, milliseconds(), todo);
			set_link(c, p[0], p[1], todo[0]);
			set_link(c, p[1], p[0], todo[1]);
		}
}
