/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * `posternctl replay`: capture files through the dataplane's own tap. The files are opened here and
 * handed down as descriptors: a name can be no option of a driver, and what was checked is what is
 * read. The dataplane gets no huge pages, no device and no directory but one that is removed again.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/cli/capture.h"
#include "control/cli/cli.h"
#include "control/cli/replay.h"

#define MAX_FILES 16 /* queues of the driver: RTE_PMD_PCAP_MAX_QUEUES */
#define MEMORY    "512" /* MiB: the packets that may wait, twice over */
#define MAX_ARGS  32 /* of them 22 are used */
#define TOLD      1500  /* octets of what a failed dataplane said last */

struct replay {
	const char *dataplane; /* of the command line, or NULL */
	const char *ports, *sessions;
	bool midstream, no_checksums;
	int fd[MAX_FILES];
	int n_files;
	uint64_t packets;      /* in the files */
	bool damaged;
	char program[PATH_MAX];
	char directory[64];    /* of the dataplane's run, removed again */
	char devices[MAX_FILES * 32 + 16], lcores[32], prefix[48];
	const char *arg[MAX_ARGS];
	int errors;            /* memfd: what it writes to standard error */
	struct replay_lines lines;
};

static int complain(int code, const char *what, const char *why)
{
	fprintf(stderr, "posternctl replay: %s: %s\n", what, why);
	return code;
}

/* ---- files ---- */

static int look_at(struct replay *r, const char *file, int fd)
{
	struct capture c;
	uint8_t *buf = malloc(1 << 18);
	ssize_t n = 0;

	if (!buf)
		return complain(CLI_UNREACHABLE, file, "out of memory");
	capture_init(&c);
	while ((n = read(fd, buf, 1 << 18)) > 0)
		if (!capture_feed(&c, buf, (size_t)n))
			break;
	if (n == 0)
		capture_end(&c);
	free(buf);
	if (n < 0)
		return complain(CLI_USAGE, file, strerror(errno));
	if (c.fault[0] && !c.packets)
		return complain(CLI_USAGE, file, c.fault);
	if (c.fault[0])
		complain(0, file, c.fault);
	if (c.cut)
		fprintf(stderr, "posternctl replay: %s: %llu of %llu packets were cut off by the capture "
			"(its snap length): they are not looked at\n", file, (unsigned long long)c.cut,
			(unsigned long long)c.packets);
	r->damaged |= c.fault[0] != '\0';
	r->packets += c.packets;
	return CLI_OK;
}

static int open_file(struct replay *r, const char *file)
{
	/* A FIFO would hold us up here, and be empty for the dataplane. */
	int fd = open(file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return complain(CLI_USAGE, file, strerror(errno));
	r->fd[r->n_files++] = fd;
	if (fstat(fd, &st))
		return complain(CLI_USAGE, file, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return complain(CLI_USAGE, file, "no regular file: it is read twice");
	return look_at(r, file, fd);
}

/* ---- the dataplane ---- */

static bool runnable(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

static bool beside(struct replay *r, const char *self, const char *where)
{
	int n = snprintf(r->program, sizeof(r->program), "%s/%spostern-dataplane", self, where);

	return n > 0 && (size_t)n < sizeof(r->program) && runnable(r->program);
}

static bool in_path(struct replay *r)
{
	const char *path = getenv("PATH"), *end;

	for (; path && *path; path = *end ? end + 1 : end) {
		end = strchrnul(path, ':');
		/* An empty element is the current directory: not a place to run things from. */
		if (end == path || *path != '/')
			continue;
		snprintf(r->program, sizeof(r->program), "%.*s/postern-dataplane", (int)(end - path), path);
		if (runnable(r->program))
			return true;
	}
	return false;
}

static int find_dataplane(struct replay *r)
{
	/* bin and sbin of one prefix; the build tree. */
	static const char *const where[] = {"", "../sbin/", "../libexec/postern/", "../../dataplane/"};
	char self[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (r->dataplane) {
		if (!runnable(r->dataplane))
			return complain(CLI_UNREACHABLE, r->dataplane, "not there, or no program");
		snprintf(r->program, sizeof(r->program), "%s", r->dataplane);
		return CLI_OK;
	}
	self[n < 0 ? 0 : n] = '\0';
	slash = strrchr(self, '/');
	if (slash) {
		*slash = '\0';
		for (size_t i = 0; i < sizeof(where) / sizeof(where[0]); i++)
			if (beside(r, self, where[i]))
				return CLI_OK;
	}
	if (in_path(r))
		return CLI_OK;
	return complain(CLI_UNREACHABLE, "postern-dataplane", "neither beside posternctl nor in PATH: say "
			"where it is with --dataplane PATH");
}

static int first_cpu(void)
{
	cpu_set_t own;

	if (!sched_getaffinity(0, sizeof(own), &own))
		for (int i = 0; i < CPU_SETSIZE; i++)
			if (CPU_ISSET(i, &own))
				return i;
	return 0;
}

static void arguments(struct replay *r)
{
	size_t n = 0, at;

	at = (size_t)snprintf(r->devices, sizeof(r->devices), "net_pcap0");
	for (int i = 0; i < r->n_files; i++)
		at += (size_t)snprintf(r->devices + at, sizeof(r->devices) - at, ",rx_pcap=/proc/self/fd/%d",
				       r->fd[i]);
	snprintf(r->lcores, sizeof(r->lcores), "0@%d", first_cpu());
	snprintf(r->prefix, sizeof(r->prefix), "postern-replay-%ld", (long)getpid());
	r->arg[n++] = r->program;
	r->arg[n++] = "--lcores";
	r->arg[n++] = r->lcores;
	r->arg[n++] = "--no-huge";
	r->arg[n++] = "--no-shconf";
	r->arg[n++] = "-m";
	r->arg[n++] = MEMORY;
	r->arg[n++] = "--no-pci";
	r->arg[n++] = "--no-telemetry";
	r->arg[n++] = "--log-level=error";
	r->arg[n++] = "--file-prefix";
	r->arg[n++] = r->prefix;
	r->arg[n++] = "--vdev";
	r->arg[n++] = r->devices;
	r->arg[n++] = "--";
	r->arg[n++] = "--tap-dump";
	if (r->ports) {
		r->arg[n++] = "--tap-ports";
		r->arg[n++] = r->ports;
	}
	if (r->sessions) {
		r->arg[n++] = "--max-sessions";
		r->arg[n++] = r->sessions;
	}
	if (r->midstream)
		r->arg[n++] = "--tap-midstream";
	if (r->no_checksums)
		r->arg[n++] = "--tap-ignore-checksums";
	r->arg[n] = NULL;
}

static void become_dataplane(struct replay *r, int out, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY);

	/* It reads what strangers sent, and nothing of it is to outlive us. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(126);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(r->errors, 2) < 0)
		_exit(126);
	for (int i = 0; i < r->n_files; i++)
		if (fcntl(r->fd[i], F_SETFD, 0))
			_exit(126);
	setenv("RUNTIME_DIRECTORY", r->directory, 1);
	execv(r->program, (char *const *)(uintptr_t)r->arg);
	dprintf(2, "%s\n", strerror(errno));
	_exit(127);
}

/* The last of what it said, in characters that a terminal does not obey. */
static void tell_errors(const struct replay *r)
{
	char buf[TOLD];
	off_t size = lseek(r->errors, 0, SEEK_END);
	ssize_t n = pread(r->errors, buf, sizeof(buf), size > TOLD ? size - TOLD : 0);

	for (ssize_t i = 0; i < n; i++)
		fputc(buf[i] == '\n' || (buf[i] >= ' ' && buf[i] <= '~') ? buf[i] : '?', stderr);
	if (n > 0 && buf[n - 1] != '\n')
		fputc('\n', stderr);
}

/* EAL leaves these two empty; what else is there stays, and is named. */
static void remove_directory(const struct replay *r)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/dpdk/%s", r->directory, r->prefix);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/dpdk", r->directory);
	rmdir(path);
	if (rmdir(r->directory))
		complain(0, r->directory, strerror(errno));
}

static int outcome(struct replay *r, int status, bool told)
{
	char how[64];

	fflush(stdout);
	if (WIFEXITED(status) && !WEXITSTATUS(status) && told && r->lines.ended && !ferror(stdout))
		return CLI_OK;
	if (r->lines.fault[0])
		return complain(CLI_UNREACHABLE, "the dataplane printed", r->lines.fault);
	if (ferror(stdout))
		return complain(CLI_UNREACHABLE, "standard output", "cannot be written to");
	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "ended by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status))
		snprintf(how, sizeof(how), "exit status %d", WEXITSTATUS(status));
	else
		snprintf(how, sizeof(how), "ended without a summary");
	tell_errors(r);
	return complain(CLI_UNREACHABLE, r->program, how);
}

/* Reads what it prints to its end. False: it could not be started. */
static bool start(struct replay *r, pid_t *child, bool *told)
{
	pid_t parent = getpid();
	int out[2];
	FILE *in;

	r->errors = memfd_create("postern-replay", MFD_CLOEXEC);
	if (r->errors < 0 || pipe2(out, O_CLOEXEC))
		return false;
	*child = fork();
	if (!*child) {
		signal(SIGINT, SIG_DFL);
		signal(SIGPIPE, SIG_DFL);
		become_dataplane(r, out[1], parent);
	}
	close(out[1]);
	in = *child < 0 ? NULL : fdopen(out[0], "r");
	if (!in) {
		close(out[0]);
		return false;
	}
	*told = replay_read(&r->lines, in);
	fclose(in);
	return true;
}

static int run(struct replay *r)
{
	pid_t child = -1;
	int status = 0, rc = -1;
	bool told = false;

	arguments(r);
	/* The terminal tells both; it then prints its summary, which we want to see. */
	signal(SIGINT, SIG_IGN);
	/* A reader that goes ("| head") is found by ferror(): there is a directory to be removed. */
	signal(SIGPIPE, SIG_IGN);
	if (!start(r, &child, &told))
		rc = complain(CLI_UNREACHABLE, "start", strerror(errno));
	if (child > 0 && !told)
		kill(child, SIGKILL);
	if (child > 0)
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
	if (rc < 0)
		rc = outcome(r, status, told);
	if (r->errors >= 0)
		close(r->errors);
	return rc;
}

/* ---- command ---- */

static int options(struct replay *r, const struct cli *cli, int argc, char **argv)
{
	static const struct option opts[] = {{"dataplane", 1, 0, 'd'}, {"ports", 1, 0, 'p'},
		{"midstream", 0, 0, 'm'}, {"ignore-checksums", 0, 0, 'c'}, {"max-sessions", 1, 0, 'n'},
		{"anomalies", 0, 0, 'a'}, {0}};
	int o;

	r->lines.json = cli->json;
	optind = 1;
	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (o) {
		case 'd': r->dataplane = optarg; break;
		case 'p': r->ports = optarg; break;
		case 'm': r->midstream = true; break;
		case 'c': r->no_checksums = true; break;
		case 'n': r->sessions = optarg; break;
		case 'a': r->lines.all = true; break;
		default: return CLI_USAGE;
		}
	}
	/* What begins with "-" would be an option there. */
	if (r->ports && (!*r->ports || strspn(r->ports, "0123456789,") != strlen(r->ports)))
		return complain(CLI_USAGE, "--ports", "a list like 25,587");
	if (r->sessions && (!*r->sessions || strspn(r->sessions, "0123456789") != strlen(r->sessions)))
		return complain(CLI_USAGE, "--max-sessions", "a number");
	if (argc - optind > MAX_FILES)
		return complain(CLI_USAGE, "arguments", "at most 16 files at once");
	return CLI_OK;
}

static int verdict(const struct replay *r)
{
	const struct replay_lines *l = &r->lines;

	if (l->packets != r->packets) {
		fprintf(stderr, "posternctl replay: %llu packets were read of %llu that are in the files\n",
			(unsigned long long)l->packets, (unsigned long long)r->packets);
		return CLI_FINDING;
	}
	if (!l->flows && l->packets && !l->json)
		printf("no connection to port %s began in it: --ports LIST for others, --midstream for those "
		       "that began before\n", r->ports ? r->ports : "25");
	return r->damaged || l->incomplete || l->anomalies ? CLI_FINDING : CLI_OK;
}

int cmd_replay(const struct cli *cli, int argc, char **argv)
{
	struct replay *r = calloc(1, sizeof(*r));
	const char *tmp = getenv("TMPDIR");
	int rc;

	if (!r)
		return complain(CLI_UNREACHABLE, "start", "out of memory");
	rc = options(r, cli, argc, argv);
	for (int i = optind; !rc && i < argc; i++)
		rc = open_file(r, argv[i]);
	if (!rc)
		rc = find_dataplane(r);
	if (!rc) {
		int n = snprintf(r->directory, sizeof(r->directory), "%s/postern-replay-XXXXXX",
				 tmp && *tmp == '/' ? tmp : "/tmp");

		if (n >= (int)sizeof(r->directory))
			rc = complain(CLI_UNREACHABLE, "TMPDIR", "too long");
		else if (!mkdtemp(r->directory))
			rc = complain(CLI_UNREACHABLE, r->directory, strerror(errno));
	}
	if (!rc) {
		rc = run(r);
		remove_directory(r);
		if (!rc)
			rc = verdict(r);
	}
	for (int i = 0; i < r->n_files; i++)
		close(r->fd[i]);
	free(r);
	return rc;
}
