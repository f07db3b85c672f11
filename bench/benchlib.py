# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""What the benches share: medians and spreads, the machine they ran on, CPU time of processes and threads, and the shape of a
result that bench/run writes and bench/compare reads.

A row is one figure:

    id        unique in a run and the same in the next: "C.accept.off.10000.messages_s"
    name      for people; group: the table it stands in
    unit      better: "higher", "lower", or "none" for what is told only beside others
    values    one a run; median, low, high, runs follow from them
    baseline  id of the row that it is to be held against (a raw primitive, a peer), or None
    labels    what a reader must know before he believes it: "generator-bound", "lossy"
    plot      None, or {"chart", "series", "x"}: where it stands in the report's plots
"""
import contextlib
import json
import os
import pathlib
import platform
import re
import signal
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
TICK = os.sysconf("SC_CLK_TCK")
SCHEMA = "postern-bench/1"
BOUND = "generator-bound"


def build_dir():
    return pathlib.Path(os.environ.get("POSTERN_BUILD", ROOT / "build" / "release"))


# ---- figures -----------------------------------------------------------------------------------

def middle(values):
    """{"median", "min", "max"}"""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def spread(values, form="{:.0f}"):
    m = middle(values)
    return f"{form} ({form}–{form})".format(m["median"], m["min"], m["max"])


def row(id, name, unit, values, group="", better="higher", baseline=None, labels=(), plot=None):  # noqa: A002
    values = [float(v) for v in values]
    m = middle(values)
    return {"id": id, "name": name, "group": group, "unit": unit, "better": better, "values": values, "median": m["median"],
            "low": m["min"], "high": m["max"], "runs": len(values), "baseline": baseline, "labels": sorted(set(labels)), "plot": plot}


def row_of_spread(id, name, unit, s, runs, **kw):  # noqa: A002
    """From {"median", "min", "max"}, where the single values are not kept."""
    r = row(id, name, unit, [s["median"]], **kw)
    return {**r, "values": [], "low": float(s["min"]), "high": float(s["max"]), "runs": runs}


def slug(text):
    """A part of an id."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def number(v):
    """Three or four digits that count."""
    a = abs(v)
    digits = 0 if a >= 100 or v == int(v) else 1 if a >= 10 else 2 if a >= 1 else 3 if a >= 0.1 else 4
    return f"{v:,.{digits}f}"


def figure(r):
    """Median (low–high)."""
    return number(r["median"]) if r["runs"] == 1 else f"{number(r['median'])} ({number(r['low'])}–{number(r['high'])})"


def marks(labels):
    return "".join(f" **{x.upper()}**" for x in labels)


def cell(r):
    return figure(r) + marks(r["labels"])


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(map(str, r)) + " |" for r in rows)])


def tables(rows):
    """A table for each group: a line for each name, with the labels of its rows, a column for each unit."""
    out = []
    for group in dict.fromkeys(r["group"] for r in rows):
        of = [r for r in rows if r["group"] == group]
        units = list(dict.fromkeys(r["unit"] for r in of))
        cells = {(r["name"], r["unit"]): figure(r) for r in of}
        labels = {n: sorted({x for r in of if r["name"] == n for x in r["labels"]}) for n in dict.fromkeys(r["name"] for r in of)}
        lines = [[n + marks(labels[n]), *(cells.get((n, u), "") for u in units)] for n in labels]
        out.append(f"{group}\n\n{table(['', *units], lines)}\n")
    return "\n".join(out)


# ---- the machine -------------------------------------------------------------------------------

def output_of(*argv, default="?"):
    try:
        r = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    except OSError:
        return default
    return r.stdout.strip() or default


def first_match(path, pattern, default="?"):
    try:
        m = re.search(pattern, pathlib.Path(path).read_text(errors="replace"), re.M)
    except OSError:
        return default
    return m[1].strip() if m else default


def cpu_name():
    return first_match("/proc/cpuinfo", r"^model name\s*:\s*(.*)$", "unknown CPU")


def commit():
    """Short, with "-dirty" if the tree is not what was committed."""
    short = output_of("git", "-C", ROOT, "rev-parse", "--short=12", "HEAD", default="unknown")
    return short + "-dirty" if short != "unknown" and output_of("git", "-C", ROOT, "status", "--porcelain", default="") else short


def build_options():
    try:
        got = json.loads(output_of("meson", "introspect", "--buildoptions", build_dir(), default="[]"))
    except ValueError:
        got = []
    return {x["name"]: x["value"] for x in got if x["name"] in ("machine", "optimization", "buildtype", "b_lto", "b_sanitize")}


def compiler():
    """That of the build: ninja knows how each file was compiled."""
    try:
        command = json.loads((build_dir() / "compile_commands.json").read_text())[0]["command"]
    except (OSError, ValueError, LookupError, TypeError):
        command = "cc"
    return output_of(*command.split(" -", 1)[0].split(), "--version").split("\n")[0]


def machine():
    """The header of every report."""
    options = build_options()
    march = options.get("machine", "?")
    return {"cpu": cpu_name(), "cores": os.cpu_count(), "cpus": sorted(os.sched_getaffinity(0)),
            "l2": output_of("getconf", "LEVEL2_CACHE_SIZE"), "l3": output_of("getconf", "LEVEL3_CACHE_SIZE"),
            "memory_mib": int(first_match("/proc/meminfo", r"^MemTotal:\s*(\d+)", "0")) // 1024,
            "hugepages": first_match("/proc/meminfo", r"^HugePages_Total:\s*(\d+)") + " × " +
                         first_match("/proc/meminfo", r"^Hugepagesize:\s*(.*)$"),
            "governor": first_match("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", r"(.*)", "not told"),
            "kernel": platform.release(), "compiler": compiler(),
            "march": "x86-64-v2" if march == "generic" and platform.machine() == "x86_64" else march,
            "optimization": options.get("optimization", "?"), "sanitize": options.get("b_sanitize", "?"),
            "dpdk": output_of("pkg-config", "--modversion", "libdpdk"), "hyperscan": output_of("pkg-config", "--modversion", "libhs"),
            "openssl": output_of("openssl", "version").split(" (")[0], "commit": commit(), "build": build_dir().name}


def machine_line(m):
    l3 = f"{int(m['l3']) >> 20} MiB" if str(m["l3"]).isdigit() else m["l3"]
    return (f"{m['cpu']}, {m['cores']} cores, L3 {l3}, {m['memory_mib']} MiB, huge pages {m['hugepages']}, governor {m['governor']}, "
            f"kernel {m['kernel']}, {m['compiler']}, -O{m['optimization']} -march={m['march']}, DPDK {m['dpdk']}, Hyperscan "
            f"{m['hyperscan']}, {m['openssl']}, commit {m['commit']}")


def load_average():
    return round(os.getloadavg()[0], 2)


# ---- CPU time ----------------------------------------------------------------------------------

def tree(root):
    """root and its descendants."""
    children, out = {}, []
    for d in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            ppid = int((d / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(ppid, []).append(int(d.name))
    todo = [root]
    while todo:
        pid = todo.pop()
        out.append(pid)
        todo += children.get(pid, [])
    return out


def cpu_of(pid):
    """Seconds on a CPU, all threads; ended children in ticks."""
    total = 0.0
    for f in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total += int(f.read_text().split()[0]) / 1e9
        except (FileNotFoundError, ProcessLookupError):
            continue
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(stat[13]) + int(stat[14])) / TICK
    except (FileNotFoundError, ProcessLookupError):
        pass
    return total


def cpu_by_thread(pid):
    """{thread: seconds on a CPU}; the process itself is its first thread."""
    out = {}
    for t in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            out[int(t.name)] = int((t / "schedstat").read_text().split()[0]) / 1e9
        except (FileNotFoundError, ProcessLookupError):
            continue
    return out


def worker_threads(pid):
    """Directories in /proc of the worker threads, of which each has an lcore."""
    tasks = sorted(pathlib.Path(f"/proc/{pid}/task").iterdir(), key=lambda t: int(t.name))
    out = [t for t in tasks if (t / "comm").read_text().startswith(("lcore-worker", "rte-worker"))]
    if not out:
        raise RuntimeError(f"process {pid} has no worker threads: EAL names them otherwise here")
    return out


class Threads:
    """CPU time of the worker threads: what another process took does not count as theirs."""

    def __init__(self, pid):
        self.files = [t / "schedstat" for t in worker_threads(pid)]

    def cpu_s(self):
        return [int(f.read_text().split()[0]) / 1e9 for f in self.files]


def prefer(pid, nice):
    """nice(1) for a process that leads a session: with autogroups the session's weight counts. Not with POSTERN_BENCH_NICE=0, when
    the machine is not the bench's alone."""
    if os.environ.get("POSTERN_BENCH_NICE") == "0":
        return
    os.setpriority(os.PRIO_PROCESS, pid, nice)
    f = pathlib.Path(f"/proc/{pid}/autogroup")
    if f.exists():
        f.write_text(str(nice))


# ---- processes ---------------------------------------------------------------------------------

@contextlib.contextmanager
def started(argv, work, err):
    """EAL's directory is in ours, and the process ends with the block, whatever ended that."""
    p = subprocess.Popen([str(a) for a in argv], stdout=subprocess.PIPE, stderr=err, stdin=subprocess.DEVNULL, text=True,
                         env={**os.environ, "RUNTIME_DIRECTORY": str(work)}, start_new_session=True)
    try:
        yield p
    finally:
        p.stdout.close()
        p.send_signal(signal.SIGINT)
        try:
            p.wait(20)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()


def total(line, name):
    """Of a line of --stats-seconds: the counter, all workers together."""
    return sum(w.get(name, 0) for w in line["workers"])


# ---- files -------------------------------------------------------------------------------------

def write_json(path, what):
    if path:
        pathlib.Path(path).write_text(json.dumps(what, indent=1, default=str) + "\n")


def read_result(path):
    """A result of bench/run; SystemExit with the reason if it is none."""
    try:
        got = json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError) as e:
        raise SystemExit(f"{path}: {e}") from e
    if not isinstance(got, dict) or got.get("schema") != SCHEMA:
        raise SystemExit(f"{path}: not a result of bench/run ({SCHEMA})")
    return got


def rows_of(result):
    """All rows of a result, in order."""
    return [r for level in result["levels"].values() for s in level["scripts"] for r in s.get("rows", [])]
