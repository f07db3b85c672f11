/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The machine, the table, the JSON. */

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <jansson.h>
#include <rte_version.h>

#include "bench/micro/micro.h"

static struct micro_row rows[MICRO_ROWS];
static unsigned int n_rows;
uint64_t micro_rdtsc_cost;

_Noreturn void micro_die(const char *what)
{
	fprintf(stderr, "micro: %s\n", what);
	exit(1);
}

struct micro_row *micro_row(const char *group, const char *unit, const char *fmt, ...)
{
	struct micro_row *r = &rows[n_rows];
	va_list ap;

	micro_must(n_rows < MICRO_ROWS, "more rows than the table has");
	n_rows++;
	*r = (struct micro_row){.unit = unit, .sent = -1};
	snprintf(r->group, sizeof(r->group), "%s", group);
	va_start(ap, fmt);
	vsnprintf(r->name, sizeof(r->name), fmt, ap);
	va_end(ap);
	return r;
}

void micro_calibrate(void)
{
	const unsigned int n = 100000;
	uint64_t from = rte_rdtsc();

	for (unsigned int i = 1; i < n; i++)
		(void)rte_rdtsc();
	micro_rdtsc_cost = (rte_rdtsc() - from) / n;
}

static double best_yardstick;

void micro_done(struct micro_row *row, unsigned int rep)
{
	static volatile uint64_t sink;
	uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, t = rte_rdtsc();

	for (unsigned int i = 0; i < 4000; i++) {
		a = (a << 7) - a;
		b = (b << 5) + i;
		c ^= c >> 3;
		d += d >> 1;
		e = (e >> 9) ^ i;
		f -= f << 3;
	}
	row->yardstick[rep] = (double)micro_since(t);
	sink = a ^ b ^ c ^ d ^ e ^ f;
	(void)sink;
	if (best_yardstick == 0 || row->yardstick[rep] < best_yardstick)
		best_yardstick = row->yardstick[rep];
	row->reps = rep + 1;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct spread {
	double low, median, high;
};

static struct spread spread_of(const double *v, unsigned int n)
{
	double sorted[MICRO_REPS];

	if (!n)
		return (struct spread){0};
	memcpy(sorted, v, n * sizeof(*v));
	qsort(sorted, n, sizeof(*sorted), by_value);
	return (struct spread){sorted[0], (sorted[n / 2] + sorted[(n - 1) / 2]) / 2, sorted[n - 1]};
}

static const char *cpu_name(void)
{
	static char name[128];
	char line[256];
	FILE *f = fopen("/proc/cpuinfo", "re");

	snprintf(name, sizeof(name), "unknown");
	while (f && fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) != 0 || !colon)
			continue;
		colon[strcspn(colon, "\n")] = '\0';
		snprintf(name, sizeof(name), "%s", colon + 2);
		break;
	}
	if (f)
		fclose(f);
	return name;
}

static const char *huge_pages(void)
{
	static char text[64];
	FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");

	if (!f || !fgets(text, sizeof(text), f))
		snprintf(text, sizeof(text), "unknown");
	text[strcspn(text, "\n")] = '\0';
	if (f)
		fclose(f);
	return text;
}

void micro_print_machine(void)
{
	struct utsname u;

	uname(&u);
	printf("%s, %ld CPUs, TSC %.3f GHz, kernel %s\n", cpu_name(), sysconf(_SC_NPROCESSORS_ONLN),
	       (double)rte_get_tsc_hz() / 1e9, u.release);
	printf("%s, %s, -march=%s, -O%s, %s, commit %s\n", rte_version(), "gcc " __VERSION__,
	       MICRO_MARCH, MICRO_OPTIMIZATION, "no huge pages for DPDK", micro.commit);
	printf("transparent huge pages: %s; %u repetitions: median (lowest–highest); "
	       "reading the TSC costs %lu cycles, which are taken off\n",
	       huge_pages(), micro.reps, (unsigned long)micro_rdtsc_cost);
}

static double slower(const struct micro_row *r)
{
	double y = spread_of(r->yardstick, r->reps).median;

	return best_yardstick > 0 ? y / best_yardstick : 1;
}

static void print_row(const struct micro_row *r)
{
	struct spread s = spread_of(r->total, r->reps);
	double hz = (double)rte_get_tsc_hz();

	printf("  %-48s %8.1f (%.1f–%.1f)", r->name, s.median, s.low, s.high);
	if (r->aim > 0)
		printf("  aim %.0f: %s", r->aim, s.median <= r->aim ? "met" : "MISSED");
	if (s.median > 0)
		printf("  %.2f M/s", hz / s.median / 1e6);
	if (r->octets > 0)
		printf("  %.1f Gbit/s", hz / s.median * r->octets * 8 / 1e9);
	if (r->sent >= 0)
		printf("  %.2f sent", r->sent);
	if (slower(r) > 1.15)
		printf("  DISTURBED: core %.2f times slower", slower(r));
	putchar('\n');
	if (!r->n_parts)
		return;
	printf("  %-48s ", "");
	for (unsigned int i = 0; i < r->n_parts; i++)
		printf("%s%s %.1f", i ? " + " : "= ", r->part[i],
		       spread_of(r->of_part[i], r->reps).median);
	putchar('\n');
}

void micro_print_rows(void)
{
	for (unsigned int i = 0; i < n_rows; i++) {
		if (!i || strcmp(rows[i].group, rows[i - 1].group) != 0)
			printf("\n%s, cycles per %s\n", rows[i].group, rows[i].unit);
		print_row(&rows[i]);
	}
}

/* How often the kernel gave our CPU to somebody else, for whom the TSC ran on. */
static long preemptions(void)
{
	struct rusage u;

	return getrusage(RUSAGE_SELF, &u) ? -1 : u.ru_nivcsw;
}

void micro_print_disturbance(void)
{
	double load = 0;

	(void)getloadavg(&load, 1);
	printf("\npreempted %ld times; load average %.2f\n", preemptions(), load);
}

static json_t *json_spread(const double *v, unsigned int n)
{
	struct spread s = spread_of(v, n);

	return json_pack("{s:f,s:f,s:f}", "median", s.median, "min", s.low, "max", s.high);
}

static json_t *json_row(const struct micro_row *r)
{
	json_t *o = json_pack("{s:s,s:s,s:s,s:o,s:i}", "group", r->group, "name", r->name, "unit",
			      r->unit, "cycles", json_spread(r->total, r->reps), "repetitions",
			      (int)r->reps);
	json_t *parts = json_object();

	for (unsigned int i = 0; i < r->n_parts; i++)
		json_object_set_new(parts, r->part[i], json_spread(r->of_part[i], r->reps));
	json_object_set_new(o, "parts", parts);
	json_object_set_new(o, "yardstick", json_real(slower(r)));
	if (r->octets > 0)
		json_object_set_new(o, "octets", json_real(r->octets));
	if (r->sent >= 0)
		json_object_set_new(o, "sent", json_real(r->sent));
	if (r->aim > 0)
		json_object_set_new(o, "aim", json_real(r->aim));
	return o;
}

int micro_write_json(const char *path)
{
	json_t *list = json_array(), *all;
	struct utsname u;
	int rc;

	uname(&u);
	for (unsigned int i = 0; i < n_rows; i++)
		json_array_append_new(list, json_row(&rows[i]));
	all = json_pack("{s:s,s:i,s:I,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:o}", "cpu", cpu_name(), "cpus",
			(int)sysconf(_SC_NPROCESSORS_ONLN), "tsc_hz",
			(json_int_t)rte_get_tsc_hz(), "kernel", u.release, "dpdk", rte_version(),
			"compiler", "gcc " __VERSION__, "march", MICRO_MARCH, "optimization",
			MICRO_OPTIMIZATION, "transparent_hugepage", huge_pages(), "commit",
			micro.commit, "preemptions", (int)preemptions(), "rows", list);
	rc = all ? json_dump_file(all, path, JSON_INDENT(1)) : -1;
	json_decref(all);
	return rc;
}
