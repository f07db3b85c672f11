/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What the server's side of TLS costs: the module, and next to it a bare SSL_accept()/SSL_read()
 * loop over memory BIOs with the same OpenSSL, keys and client, in the same process.
 *
 * CPU time of the process less what the client took is the server's: the threads of the pool and
 * their wake-ups are in it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#define BATCH 32 /* connections in step with each other */
#define MAX_REPS 31

enum bench_case {
	CASE_ECDSA_13, CASE_ECDSA_12, CASE_RSA_13, CASE_RESUMED_13,
	CASE_BULK_16K, CASE_BULK_4K, CASE_BULK_4K_SEGMENTS, CASE_IDLE_13, CASE_IDLE_12,
	N_CASES
};

enum bench_memory { MEMORY_SLAB, MEMORY_MALLOC, N_MEMORIES };
enum bench_side { SIDE_OURS, SIDE_BARE, N_SIDES };

/* Handshakes per second of CPU, Gbit per second of CPU, octets per session. */
struct bench_results {
	double v[N_MEMORIES][N_CASES][N_SIDES][MAX_REPS];
};

/* A server's side; `conns` of them are used at the same indices by the client. */
struct bench_server {
	void (*start)(const char *chain, const char *key);
	void (*stop)(void);
	void (*open)(unsigned int i);
	void (*close)(unsigned int i);
	/* Ciphertext in; what is to go out is appended by bench_to_client(). */
	void (*input)(unsigned int i, const uint8_t *p, size_t n);
	/* Until handshakes under way have given all they can. */
	void (*settle)(void);
	/* Plain octets received in all. */
	uint64_t (*received)(void);
};

extern const struct bench_server bench_ours, bench_bare;

/* client.c */
#define MAX_CONNS 512
void bench_keys(bool rsa, char **chain, char **key);
void client_start(int version);
void client_stop(void);
void client_open(unsigned int i, SSL_SESSION *ticket);
/* Handshake as far as it goes; true when done. */
bool client_step(unsigned int i);
void client_close(unsigned int i);
/* Encrypts n octets in records of `record`; the ciphertext is in client_out(). */
void client_write(unsigned int i, size_t n, size_t record);
const uint8_t *client_out(unsigned int i, size_t *n);
void client_out_clear(unsigned int i);
SSL_SESSION *client_ticket(void); /* the newest, with a reference */
void bench_to_client(unsigned int i, const void *p, size_t n);

_Noreturn void bench_die(const char *what);

/* report.c */
void bench_report(const struct bench_results *r, unsigned int reps);
int bench_write_json(const struct bench_results *r, unsigned int reps, const char *path);
