/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/telemetry.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_telemetry.h>

#include "postern/stats.h"

static const struct postern_counter_info info[] = {POSTERN_DP_COUNTERS(POSTERN_COUNTER_INFO)};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct telemetry shown; /* n_workers 0: nothing */

static uint64_t load(unsigned int worker, int i)
{
	return __atomic_load_n(&shown.counters[worker][i], __ATOMIC_RELAXED);
}

/* A number below n; -1: the parameter is none. */
static int number(const char *params, unsigned int n)
{
	char *end;
	unsigned long v;

	if (!params || *params < '0' || *params > '9')
		return -1;
	v = strtoul(params, &end, 10);
	return *end || v >= n ? -1 : (int)v;
}

/* A dictionary holds so many entries and no more; what does not fit is said to be missing. */
static void put(struct rte_tel_data *d, const char *name, uint64_t v, unsigned int *n)
{
	if (*n < RTE_TEL_MAX_DICT_ENTRIES - 1)
		rte_tel_data_add_dict_u64(d, name, v);
	else if (*n == RTE_TEL_MAX_DICT_ENTRIES - 1)
		rte_tel_data_add_dict_string(d, "cut", "more than fit: ask for a prefix");
	++*n;
}

static int counters(const char *params, struct rte_tel_data *d)
{
	size_t prefix = params ? strlen(params) : 0;
	unsigned int n = 0;

	rte_tel_data_start_dict(d);
	for (int i = 0; i < POSTERN_DP_COUNTER_COUNT; i++) {
		uint64_t sum = 0;

		for (unsigned int w = 0; w < shown.n_workers; w++)
			sum += load(w, i);
		if (prefix ? !strncmp(info[i].name, params, prefix) : sum > 0)
			put(d, info[i].name, sum, &n);
	}
	return 0;
}

static int workers(const char *params, struct rte_tel_data *d)
{
	int w = number(params, shown.n_workers);
	unsigned int n = 0;

	if (!params) {
		rte_tel_data_start_array(d, RTE_TEL_INT_VAL);
		for (unsigned int i = 0; i < shown.n_workers; i++)
			rte_tel_data_add_array_int(d, (int)i);
		return 0;
	}
	if (w < 0)
		return -EINVAL;
	rte_tel_data_start_dict(d);
	for (int i = 0; i < POSTERN_DP_COUNTER_COUNT; i++)
		if (load((unsigned int)w, i))
			put(d, info[i].name, load((unsigned int)w, i), &n);
	return 0;
}

static const struct port_info *port_of(const char *params)
{
	int id = number(params, UINT16_MAX);

	for (unsigned int i = 0; i < shown.n_ports; i++)
		if (shown.port[i].id == id)
			return &shown.port[i];
	return NULL;
}

static int ports(const char *params, struct rte_tel_data *d)
{
	const struct port_info *p = port_of(params);
	char mac[18];

	if (!params) {
		rte_tel_data_start_array(d, RTE_TEL_INT_VAL);
		for (unsigned int i = 0; i < shown.n_ports; i++)
			rte_tel_data_add_array_int(d, shown.port[i].id);
		return 0;
	}
	if (!p)
		return -EINVAL;
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", p->mac[0], p->mac[1], p->mac[2], p->mac[3],
		 p->mac[4], p->mac[5]);
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(d, "name", p->name);
	rte_tel_data_add_dict_string(d, "driver", p->driver);
	rte_tel_data_add_dict_string(d, "mac", mac);
	rte_tel_data_add_dict_int(d, "mtu", p->mtu);
	rte_tel_data_add_dict_int(d, "rx_queues", p->n_queues);
	rte_tel_data_add_dict_int(d, "tx_queues", p->n_tx_queues);
	rte_tel_data_add_dict_int(d, "rx_desc", p->rx_desc);
	rte_tel_data_add_dict_int(d, "tx_desc", p->tx_desc);
	rte_tel_data_add_dict_int(d, "numa_node", p->socket);
	rte_tel_data_add_dict_string(d, "flows", p->rss ? "rss" : "hash");
	rte_tel_data_add_dict_int(d, "rx_checksum", p->rx_checksum);
	rte_tel_data_add_dict_int(d, "tx_tcp_checksum", p->tx_tcp_checksum);
	rte_tel_data_add_dict_int(d, "promiscuous", p->promiscuous);
	return 0;
}

static int command(const char *name, const char *params, struct rte_tel_data *d)
{
	int rc = -ENODEV;

	if (params && !*params)
		params = NULL;
	pthread_mutex_lock(&lock);
	if (shown.n_workers)
		rc = !strcmp(name, "/postern/counters")	 ? counters(params, d)
		     : !strcmp(name, "/postern/workers") ? workers(params, d)
							 : ports(params, d);
	pthread_mutex_unlock(&lock);
	return rc;
}

int telemetry_start(const struct telemetry *t)
{
	static const char *const text[][2] = {
		{"/postern/counters", "Counters of all workers that are not 0. Parameters: prefix of their names"},
		{"/postern/workers", "Numbers of the workers. Parameters: a number, for its counters"},
		{"/postern/ports", "Numbers of the ports. Parameters: a number, for what it is"}};
	int rc = 0;

	pthread_mutex_lock(&lock);
	shown = *t;
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; !rc && i < sizeof(text) / sizeof(text[0]); i++)
		rc = rte_telemetry_register_cmd(text[i][0], command, text[i][1]);
	return rc;
}

void telemetry_stop(void)
{
	pthread_mutex_lock(&lock);
	shown.n_workers = 0;
	pthread_mutex_unlock(&lock);
}
