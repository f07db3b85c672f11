/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "control/sandbox.h"

static int become(const char *user, bool keep, char *err, size_t err_len)
{
	const struct passwd *pw = getpwnam(user);

	if (!pw) {
		snprintf(err, err_len, "there is no user %s", user);
		return -ENOENT;
	}
	/* Of this thread alone: those that run already lose theirs. */
	if (initgroups(user, pw->pw_gid) || setgid(pw->pw_gid) ||
	    (keep && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)) || setuid(pw->pw_uid)) {
		snprintf(err, err_len, "becoming %s: %s", user, strerror(errno));
		return -errno;
	}
	return 0;
}

/* Capabilities in force: without a change of user root keeps file access that only uid 0 gives. */
static int drop_capabilities(bool keep)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct have[2] = {0}, want[2] = {0};

	if (syscall(SYS_capget, &head, have))
		return -errno;
	if (keep)
		want[0].permitted = want[0].effective = 1u << CAP_NET_RAW;
	if (want[0].permitted & ~have[0].permitted)
		return -EPERM;
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* needs CAP_SETPCAP; root has it */
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &head, want) ? -errno : 0;
}

/* Sockets that see or forge what is not theirs; netlink, which is raw by name, asks for addresses.
 * SOCK_PACKET makes a packet socket of whatever family. */
static int deny_sockets(scmp_filter_ctx ctx)
{
	int rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1,
				  /* the kernel takes an int: what stands above it is nothing */
				  SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, AF_PACKET));

	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1,
				      SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_PACKET));
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 2,
				      SCMP_A0(SCMP_CMP_NE, AF_NETLINK),
				      SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_RAW));
	return rc;
}

static int filter(void)
{
	static const int denied[] = {
		SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
		SCMP_SYS(process_vm_writev), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root),
		SCMP_SYS(chroot), SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module),
		SCMP_SYS(kexec_load), SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(keyctl),
		SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(unshare), SCMP_SYS(setns),
		/* by its ring sockets are made that no filter sees */
		SCMP_SYS(io_uring_setup), SCMP_SYS(userfaultfd), SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(acct)};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int rc = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; !rc && i < sizeof(denied) / sizeof(denied[0]); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), denied[i], 0);
	if (!rc)
		rc = deny_sockets(ctx);
	/* All threads: the trace writer runs already. */
	if (!rc)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!rc)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	return rc;
}

int sandbox_enter(const char *user, bool transparent, char *err, size_t err_len)
{
	int rc = 0;

	if (user && geteuid() == 0)
		rc = become(user, transparent, err, err_len);
	if (rc)
		return rc;
	rc = drop_capabilities(transparent);
	if (rc && transparent) {
		snprintf(err, err_len, "a route is transparent, which needs CAP_NET_RAW: %s", strerror(-rc));
		return rc;
	}
	if (!rc && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		rc = -errno;
	if (!rc)
		rc = filter();
	if (rc)
		snprintf(err, err_len, "%s", strerror(-rc));
	return rc;
}
