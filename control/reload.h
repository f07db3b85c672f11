/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * From the file to what is in force, one reload at a time:
 *
 *   reading    a thread reads the configuration, its lists and keys
 *   compiling  a process compiles the rules (compiler.h)
 *   taking     a thread reads the rules again, has PCRE2 compile them and packs what the dataplane gets
 *   pushing    the dataplane makes it ready, and says what it thinks of it
 *
 * Only then it replaces what is active, in one store; whatever goes wrong before leaves that alone.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/snapshot.h"
#include "postern/str.h"

struct api_request;
struct compiler;
struct loop;
struct reload;

/* Takes the compiler. NULL: out of memory. */
struct reload *reload_new(struct loop *l, struct compiler *compiler);
/* Waits for its thread; a request that waits is dropped. */
void reload_free(struct reload *r);

/* At start, before there is a loop: takes the reference. */
void reload_first(struct loop *l, struct snapshot *s);
/* A signal: now, or when the reload under way is over. */
void reload_begin(struct reload *r);
/* The same for somebody who wants to hear what came of it; "busy" if one is under way. */
void reload_ask(struct reload *r, struct api_request *req);
/* The last one was not taken over. */
bool reload_failed(const struct reload *r);
/* Of `show status`: {stage, what, done, all, seconds, compiler, last{}}; docs/api.md. */
json_t *reload_status(const struct reload *r);
/* Each second: forgets snapshots that no message can name any more, and says if compilers are gone. */
void reload_second(struct reload *r);

void reload_link_up(struct reload *r);
void reload_link_down(struct reload *r);
void reload_acked(struct reload *r, uint64_t generation, int error, struct str text);
/* Grows, also over a restart of this process: messages name their generation. */
uint64_t reload_generation(void);
void reload_print(const struct snapshot_report *report);
