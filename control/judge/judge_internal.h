/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

#include "control/judge/judge.h"

#define JUDGE_AUTHRES (16 * 1024)

struct event;

struct judge {
	struct judge_env env;
	struct judge_request req;
	judge_callback *cb;
	void *arg;
	struct judgement result;
	struct dkim_results no_dkim;   /* empty */
	struct arc_results no_arc;     /* none, or what stands for no answer in time */
	struct ptr_query *ptr, *origin_ptr;
	struct spf_check *spf, *spf_helo;
	struct body_run *run;          /* shared by dkim and arc */
	struct dkim_check *dkim;
	struct arc_check *arc;
	struct dmarc_check *dmarc;
	bool dkim_open, arc_open, dmarc_open;
	bool separate_origin_ptr;
	bool v6_plain;
	bool done;
	unsigned int open;             /* answers still to come */
	struct event *timer, *finish, *failed;
	uint64_t started_us;
};

/* Writes the Authentication-Results field. 0 or -ENOSPC. */
int judge_authres(const struct judgement *r, const struct mail_envelope *env, const char *authserv_id,
		  char *buf, size_t cap);
