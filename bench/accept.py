# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""A dataplane without control (--answer=accept) behind a memif, and smtpload at its other end: one worker on the last CPU,
spinning, everything else on the first. No network, no namespace; root only for huge pages and priority."""
import contextlib
import json
import os
import pathlib
import signal
import sys
import threading
import time

import benchlib
import loadlab

LISTEN = f"0={loadlab.LOAD4}/15"


class Accept:
    """As a context: the dataplane runs. measure() is one run of smtpload."""

    def __init__(self, work, rules=None, huge=False, arena_mb=512, max_sessions=65536):
        cpus = sorted(os.sched_getaffinity(0))
        self.dir, self.other_cpu, self.worker_cpu = pathlib.Path(work), cpus[0], cpus[-1]
        self.memif = self.dir / "memif.sock"
        self.log = self.dir / "dataplane.log"
        self.rules, self.huge = rules, huge
        memory = ["--in-memory"] if huge else ["--no-huge", "--no-shconf"]
        self.argv = [benchlib.build_dir() / "dataplane/postern-dataplane", "--lcores", f"0@{self.other_cpu},1@{self.worker_cpu}",
                     *memory, "-m", 512, "--file-prefix", f"accept{os.getpid()}", "--no-pci", "--no-telemetry", "--log-level", "lib.eal:error",
                     f"--vdev=net_memif0,role=server,id=0,socket={self.memif},socket-abstract=no,bsize=2048",
                     "--", "--port", "0=gateway", "--answer=accept", "--listen", LISTEN, "--stats-seconds", "1", "--arena-mb", arena_mb,
                     "--max-sessions", max_sessions, "--max-tls", "0", *(["--rules", rules] if rules else [])]
        self.samples, self.stack = [], contextlib.ExitStack()

    def __enter__(self):
        err = self.stack.enter_context(open(self.log, "wb"))
        self.p = self.stack.enter_context(benchlib.started(self.argv, self.dir, err))
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        try:
            self.wait_sample(0, 120)
            if os.geteuid() == 0:
                benchlib.prefer(self.p.pid, -15)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *a):
        """Its output is read to the end before the pipe is closed under the reader."""
        self.p.send_signal(signal.SIGINT)
        self.reader.join(20)
        self.stack.close()

    def read(self):
        """Lines of statistics, each with the CPU time of the worker's thread when it came."""
        threads = None
        with contextlib.suppress(ValueError, OSError):  # closed, or ended
            for text in self.p.stdout:
                line = json.loads(text)
                if line["workers"]:
                    threads = threads or benchlib.Threads(self.p.pid)
                    self.samples.append((line, sum(threads.cpu_s())))

    def wait_sample(self, after, seconds):
        """The first one that came at least so many seconds (of the monotonic clock) after."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.p.poll() is None:
            if self.samples and self.samples[-1][0]["seconds"] >= after:
                return self.samples[-1]
            time.sleep(0.02)
        raise RuntimeError(f"the dataplane ended or said nothing:\n{self.log.read_text(errors='replace')[-2000:]}")

    def load(self, *args):
        """Again, once, if the memif was not there in time: its server is a thread on the generator's CPU."""
        try:
            return self.start_load(*args)
        except RuntimeError as e:
            if self.p.poll() is not None:
                raise
            print(f"smtpload is started again: {e}", file=sys.stderr)
            return self.start_load(*args)

    def start_load(self, *args):
        return loadlab.Smtpload(self, *args, *(["--huge"] if self.huge else []), nap_us=0, nice=-12 if os.geteuid() == 0 else 0)

    def measure(self, gen, seconds, **run):
        """One run of the generator; a second of warming up at each end is not counted."""
        begin = time.monotonic()
        gen.start(seconds=seconds + 3, **run)
        first = self.wait_sample(begin + 1, 30)
        last = self.wait_sample(first[0]["seconds"] + seconds - 0.2, seconds + 30)
        return {**between(first, last), "generator": gen.result()}


def between(first, last):
    """Two samples → what a worker did and what it cost. busy_s: CPU time of its thread in turns that did work."""
    (a, cpu_a), (b, cpu_b) = first, last

    def d(name):
        return benchlib.total(b, name) - benchlib.total(a, name)
    wall, cpu = b["seconds"] - a["seconds"], cpu_b - cpu_a
    share = d("busy_cycles") / d("total_cycles") if d("total_cycles") else 0
    return {"wall_s": wall, "cpu_s": cpu, "had_cpu": cpu / wall, "busy": share, "busy_s": cpu * share, "tsc_hz": a["tsc_hz"],
            "messages": d("smtp_reply_2xx"), "octets": d("smtp_message_bytes"), "sessions": d("smtp_sessions"),
            "matches": d("scan_matches"), "refused": d("smtp_reply_4xx") + d("smtp_reply_5xx")}
