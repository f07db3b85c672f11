/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `posternctl keys generate`: a new key in a file that only its owner reads, and its record. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "control/cli/keys.h"
#include "postern/limits.h"

#define DEFAULT_BITS 2048 /* what every verifier takes, and its record fits into one UDP answer */

struct wish {
	unsigned int bits; /* 0: Ed25519 */
	const char *domain, *selector, *file;
};

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "posternctl keys generate: %s: %s\n", what, why);
	return CLI_USAGE;
}

static int take_bits(const char *text, unsigned int *bits)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*end || n < LIMIT_ARC_RSA_BITS || n > LIMIT_RSA_BITS_MAX || n % 256)
		return complain("--bits", "2048 to 4096, a multiple of 256");
	*bits = (unsigned int)n;
	return CLI_OK;
}

static int check(const struct wish *w, bool ed25519, bool bits)
{
	if (ed25519 && bits)
		return complain("--bits", "an Ed25519 key has no choice of them");
	if (!w->domain || !domain_is_valid(str_c(w->domain)) || !strchr(w->domain, '.'))
		return complain("--domain", "needed: a domain in A-labels");
	if (!w->selector || !domain_is_valid(str_c(w->selector)))
		return complain("--selector",
				"needed: letters, digits, hyphens, dots between labels");
	if (strlen(w->domain) + strlen(w->selector) + strlen("._domainkey.") > LIMIT_DNS_NAME)
		return complain("--selector", "too long for a name of DNS");
	return CLI_OK;
}

static int options(struct wish *w, int argc, char **argv)
{
	static const struct option opts[] = {{"type", 1, 0, 't'},
					     {"bits", 1, 0, 'b'},
					     {"domain", 1, 0, 'd'},
					     {"selector", 1, 0, 's'},
					     {0}};
	bool ed25519 = false, bits = false;
	int o, rc = CLI_OK;

	optind = 1;
	while (!rc && (o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (o) {
		case 't':
			ed25519 = !strcmp(optarg, "ed25519");
			break;
		case 'b':
			bits = true;
			rc = take_bits(optarg, &w->bits);
			break;
		case 'd':
			w->domain = optarg;
			break;
		case 's':
			w->selector = optarg;
			break;
		default:
			return CLI_USAGE;
		}
	}
	if (!rc)
		rc = check(w, ed25519, bits);
	if (!rc)
		w->file = argv[optind];
	if (ed25519)
		w->bits = 0;
	return rc;
}

/* Never over a file that is there: it may be a key that is in use. Whole, or not at all. */
static int write_file(const char *path, const char *pem, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), rc = 0;

	if (fd < 0)
		return complain(path, strerror(errno));
	if (fchmod(fd, 0600))
		rc = errno;
	for (size_t at = 0; at < n && !rc;) {
		ssize_t k = write(fd, pem + at, n - at);

		if (k < 0 && errno != EINTR)
			rc = errno;
		at += k > 0 ? (size_t)k : 0;
	}
	if (!rc && fsync(fd))
		rc = errno;
	if (close(fd) && !rc)
		rc = errno;
	if (!rc)
		return CLI_OK;
	unlink(path);
	return complain(path, strerror(rc));
}

static void tell(const struct cli *cli, const struct wish *w, const char *record)
{
	json_t *o;

	if (!cli->json) {
		keys_print_record(w->selector, w->domain, record);
		return;
	}
	o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s}", "schema", "postern.keys-generate.1", "file", show_plain(w->file), "domain", w->domain,
		      "selector", w->selector, "type", w->bits ? "rsa" : "ed25519", "bits",
		      w->bits ? (int)w->bits : 256, "record", record);
	print_json(o);
	json_decref(o);
}

int keys_generate(const struct cli *cli, int argc, char **argv)
{
	struct wish w = {.bits = DEFAULT_BITS};
	char pem[ARC_KEY_PEM] = "", record[ARC_KEY_RECORD];
	struct arc_key *k = NULL;
	int rc = options(&w, argc, argv);
	long n;

	if (rc)
		return rc;
	k = arc_key_generate(w.bits);
	n = k ? arc_key_pem(k, pem, sizeof(pem)) : -EIO;
	if (n < 0 || arc_key_record(k, record, sizeof(record)) < 0)
		rc = complain(w.file, "no key could be made");
	else
		rc = write_file(w.file, pem, (size_t)n);
	OPENSSL_cleanse(pem, sizeof(pem));
	arc_key_free(k);
	if (!rc)
		tell(cli, &w, record);
	return rc;
}
