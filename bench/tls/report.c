/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <openssl/crypto.h>

static const struct {
	const char *name, *unit;
	double scale;
} cases[N_CASES] = {
	[CASE_ECDSA_13] = {"full, ECDSA P-256, TLS 1.3", "/s", 1},
	[CASE_ECDSA_12] = {"full, ECDSA P-256, TLS 1.2", "/s", 1},
	[CASE_RSA_13] = {"full, RSA-2048, TLS 1.3", "/s", 1},
	[CASE_RESUMED_13] = {"resumed, TLS 1.3", "/s", 1},
	[CASE_BULK_16K] = {"bulk, 16 KiB records", "Gbit/s", 1e-9},
	[CASE_BULK_4K] = {"bulk, 4 KiB records", "Gbit/s", 1e-9},
	[CASE_BULK_4K_SEGMENTS] = {"bulk, 4 KiB records, by 1,448 octets", "Gbit/s", 1e-9},
	[CASE_IDLE_13] = {"idle session, TLS 1.3", "octets", 1},
	[CASE_IDLE_12] = {"idle session, TLS 1.2", "octets", 1},
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct spread {
	double median, min, max;
};

static struct spread spread_of(const double *v, unsigned int n, double scale)
{
	double s[MAX_REPS];

	memcpy(s, v, n * sizeof(*s));
	qsort(s, n, sizeof(*s), by_value);
	return (struct spread){(n & 1 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2) * scale,
			       s[0] * scale, s[n - 1] * scale};
}

static void cpu_name(char *out, size_t size)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	char line[256];

	snprintf(out, size, "unknown CPU");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
			snprintf(out, size, "%.*s", (int)strcspn(strchr(line, ':') + 2, "\n"),
				 strchr(line, ':') + 2);
			break;
		}
	if (f)
		fclose(f);
}

/* One object a case and memory, with the figure of each run. */
int bench_write_json(const struct bench_results *r, unsigned int reps, const char *path)
{
	static const char *const memory[] = {"slab", "malloc"};
	static const char *const side[] = {[SIDE_OURS] = "ours", [SIDE_BARE] = "bare"};
	FILE *f = fopen(path, "we");
	const char *sep = "";

	if (!f) {
		perror(path);
		return -1;
	}
	fputs("{\"bench\":\"tls\",\"cases\":[", f);
	for (unsigned int c = 0; c < N_CASES; c++)
		for (unsigned int m = 0; m < N_MEMORIES; m++) {
			if (r->v[m][c][0][0] <= 0)
				continue;
			fprintf(f, "%s\n{\"name\":\"%s\",\"memory\":\"%s\",\"unit\":\"%s\"", sep, cases[c].name,
				memory[m], cases[c].unit);
			sep = ",";
			for (unsigned int s = 0; s < N_SIDES; s++) {
				fprintf(f, ",\"%s\":[", side[s]);
				for (unsigned int i = 0; i < reps; i++)
					fprintf(f, "%s%.6g", i ? "," : "", r->v[m][c][s][i] * cases[c].scale);
				fputc(']', f);
			}
			fputc('}', f);
		}
	fputs("]}\n", f);
	return fclose(f);
}

void bench_report(const struct bench_results *r, unsigned int reps)
{
	static const char *const memory[] = {"slab", "malloc"};
	struct utsname u;
	char cpu[128];

	cpu_name(cpu, sizeof(cpu));
	uname(&u);
	printf("%s, kernel %s, %s, -march=%s, optimization %s; per second of the server's CPU, %u "
	       "runs: median (min-max)\n\n| what | memory | Postern | bare OpenSSL | ratio |\n"
	       "|---|---|---|---|---|\n", cpu, u.release, OpenSSL_version(OPENSSL_VERSION),
	       BENCH_MARCH, BENCH_OPTIMIZATION, reps);
	for (unsigned int c = 0; c < N_CASES; c++)
		for (unsigned int m = 0; m < N_MEMORIES; m++) {
			struct spread s[N_SIDES], q;
			double ratio[MAX_REPS];

			if (r->v[m][c][0][0] <= 0)
				continue;
			for (unsigned int i = 0; i < reps; i++)
				ratio[i] = r->v[m][c][SIDE_OURS][i] / r->v[m][c][SIDE_BARE][i];
			for (unsigned int side = 0; side < N_SIDES; side++)
				s[side] = spread_of(r->v[m][c][side], reps, cases[c].scale);
			q = spread_of(ratio, reps, 1);
			printf("| %s | %s | %.4g (%.4g-%.4g) %s | %.4g (%.4g-%.4g) | %.2f "
			       "(%.2f-%.2f) |\n", cases[c].name, memory[m], s[0].median, s[0].min,
			       s[0].max, cases[c].unit, s[1].median, s[1].min, s[1].max, q.median,
			       q.min, q.max);
		}
}
