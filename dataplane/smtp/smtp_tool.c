/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* For tests: what the session answers to the lines on standard input (each gets its CRLF), then, if
 * a transaction is open or was, "reverse-path <...>" as control would get it. Answers come at once.
 */

#include "dataplane/smtp/smtp_fake.h"

int main(void)
{
	struct handoff_config c = fake_config();
	static struct fake f;
	char line[4096];

	f.now = 1000;
	if (!fake_start(&f, &c))
		return 2;
	fake_answer(&f);
	while (fgets(line, sizeof(line) - 2, stdin) && !f.closed) {
		size_t n = strcspn(line, "\r\n");

		memcpy(line + n, "\r\n", 2);
		fake_feed(&f, line, n + 2, true);
	}
	fwrite(f.out, 1, f.out_n, stdout);
	if (f.txns)
		printf("reverse-path <%s>\n", f.from);
	fake_stop(&f);
	return 0;
}
