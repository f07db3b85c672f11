#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""bench/run without its benches, bench/compare, the report, the plots, and how JSON of the scripts becomes rows. No time is
looked at, nothing is measured."""
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
import xml.etree.ElementTree as ET

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import benchlib  # noqa: E402
import levels  # noqa: E402
import model  # noqa: E402
import report  # noqa: E402
import svg  # noqa: E402
import targets  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"
MACHINE = {"cpu": "a CPU", "cores": 2, "cpus": [0, 1], "l2": "1", "l3": "2", "memory_mib": 3, "hugepages": "0 × 2048 kB", "governor": "none",
           "kernel": "6", "compiler": "gcc 12", "march": "x86-64-v2", "optimization": "3", "dpdk": "22.11", "hyperscan": "5.4",
           "openssl": "OpenSSL 3", "commit": "abc", "build": "release"}


def script_of(name):
    """A script without .py, as a module."""
    loader = importlib.machinery.SourceFileLoader("bench_" + name.replace("-", "_"), str(HERE / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def result(*rows, quick=False, **machine):
    return {"schema": benchlib.SCHEMA, "command": "bench/run C", "quick": quick, "runs": 3, "date": "2026-01-02T03:04:05Z",
            "machine": {**MACHINE, **machine}, "load": [0.1, 0.2],
            "levels": {"C": {"scripts": [{"name": "x", "command": "bench/x", "seconds": 1, "load": [0.1, 0.2], "rows": list(rows)}]}}}


class Rows(unittest.TestCase):
    def test_spread(self):
        r = benchlib.row("a", "n", "u", [3, 1, 2])
        self.assertEqual((r["median"], r["low"], r["high"], r["runs"]), (2, 1, 3, 3))
        self.assertEqual(benchlib.cell(r), "2 (1–3)")
        self.assertEqual(benchlib.cell(benchlib.row("a", "n", "u", [12345.6], labels=[benchlib.BOUND])), "12,346 **GENERATOR-BOUND**")

    def test_numbers(self):
        for value, told in ((0, "0"), (0.0123, "0.0123"), (0.5, "0.500"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1,234"), (2, "2"),
                            (-0.5, "-0.500")):
            self.assertEqual(benchlib.number(value), told)

    def test_tables(self):
        rows = [benchlib.row("1", "a", "x", [1], group="g"), benchlib.row("2", "b", "y", [2], group="g"), benchlib.row("3", "a", "y", [3], group="g")]
        self.assertEqual(benchlib.tables(rows), "g\n\n|  | x | y |\n|---|---|---|\n| a | 1 | 3 |\n| b |  | 2 |\n")

    def test_not_a_result(self):
        with tempfile.TemporaryDirectory() as d:
            for text in ("", "[]", "{}", '{"schema": "postern-bench/0"}'):
                path = pathlib.Path(d) / "r.json"
                path.write_text(text)
                with self.assertRaises(SystemExit) as e:
                    benchlib.read_result(path)
                self.assertIn("r.json", str(e.exception))


class Compare(unittest.TestCase):
    def run_it(self, before, after, *more):
        with tempfile.TemporaryDirectory() as d:
            for name, r in (("a", before), ("b", after)):
                (pathlib.Path(d) / name).write_text(json.dumps(r))
            p = subprocess.run([sys.executable, HERE / "compare", f"{d}/a", f"{d}/b", *more], capture_output=True, text=True, check=False)
        return p.returncode, p.stdout + p.stderr

    def test_marks(self):
        before = result(benchlib.row("slower", "n", "u", [100, 101, 102]), benchlib.row("faster", "n", "u", [100, 101, 102]),
                        benchlib.row("less", "n", "u", [100, 101, 102], better="lower"), benchlib.row("same", "n", "u", [100, 101, 102]),
                        benchlib.row("shown", "n", "u", [1], better="none"), benchlib.row("gone", "n", "u", [1]))
        after = result(benchlib.row("slower", "n", "u", [80, 81, 82]), benchlib.row("faster", "n", "u", [110, 111, 112]),
                       benchlib.row("less", "n", "u", [80, 81, 82], better="lower"), benchlib.row("same", "n", "u", [90, 95, 101]),
                       benchlib.row("shown", "n", "u", [9], better="none"), benchlib.row("new", "n", "u", [1]))
        rc, text = self.run_it(before, after)
        self.assertEqual(rc, 1, text)
        line = {x.split(" | ")[0].strip("| "): x for x in text.splitlines() if x.startswith("|")}
        self.assertIn("**REGRESSION**", line["slower"])
        self.assertIn("0.80 (0.78–0.82)", line["slower"])
        self.assertTrue(line["faster"].rstrip("| ").endswith("better"), text)
        self.assertTrue(line["less"].rstrip("| ").endswith("better"), text)
        self.assertNotIn("same", line)
        self.assertNotIn("shown", line)
        self.assertIn("5 rows in both: 2 better, 0 worse within 5 %, 1 regressions; 1 only before, 1 only after", text)
        self.assertIn("same", self.run_it(before, after, "--all")[1])

    def test_tolerance(self):
        before, after = result(benchlib.row("a", "n", "u", [100, 101])), result(benchlib.row("a", "n", "u", [97, 98]))
        self.assertEqual(self.run_it(before, after)[0], 0)
        rc, text = self.run_it(before, after, "--tolerance", "1")
        self.assertEqual(rc, 1)
        self.assertIn("REGRESSION", text)

    def test_from_nothing(self):
        rc, text = self.run_it(result(benchlib.row("lost", "n", "u", [0], better="lower")),
                               result(benchlib.row("lost", "n", "u", [1], better="lower")))
        self.assertEqual(rc, 1, text)
        self.assertIn("1 rows have one run only", text)

    def test_other_machine(self):
        row = benchlib.row("a", "n", "u", [1])
        rc, text = self.run_it(result(row), result(row, kernel="7", quick=True))
        self.assertEqual(rc, 0)
        self.assertIn("Not the same machine or build: kernel", text)
        self.assertIn("--quick", text)

    def test_nothing(self):
        self.assertEqual(self.run_it(result(benchlib.row("a", "n", "u", [1])), result(benchlib.row("b", "n", "u", [1])))[0], 2)


class Plots(unittest.TestCase):
    def test_plot(self):
        picture = svg.plot("T <&>", "x", "y", {"one": [(1000, 5, 4, 6), (10000, 50, 40, 60)], "two": [(1000, 7, 7, 7)], "none": [(0, 1, 1, 1)]},
                           log_x=True)
        root = ET.fromstring(picture)
        self.assertEqual(len(root.findall(f"{SVG}circle")), 3)
        self.assertEqual(len(root.findall(f"{SVG}polyline")), 2)
        self.assertEqual([t.text for t in root.iter(f"{SVG}text") if t.get("class") == "t"], ["T <&>"])
        low, high = root.findall(f"{SVG}circle")[:2]
        self.assertLess(float(low.get("cx")), float(high.get("cx")))
        self.assertGreater(float(low.get("cy")), float(high.get("cy")))

    def test_edges(self):
        self.assertIsNone(svg.plot("t", "x", "y", {}))
        self.assertIsNone(svg.plot("t", "x", "y", {"a": [(0, 1, 1, 1)]}, log_x=True))
        for values in ([(5, 0, 0, 0)], [(5, 3, 3, 3)], [(1, 1e9, 1e9, 1e9), (2, 1e-3, 1e-3, 1e-3)]):
            for log in (False, True):
                picture = svg.plot("t", "x", "y", {"a": values}, log_x=log, log_y=log)
                if picture:
                    for n in ET.fromstring(picture).iter(f"{SVG}circle"):
                        self.assertTrue(svg.LEFT - 1 <= float(n.get("cx")) <= svg.WIDTH and 0 <= float(n.get("cy")) <= svg.HEIGHT)

    def test_flame(self):
        folded = {"main;a;b": 60, "main;a": 20, "main;c<int>": 19, "main;never": 0, "main;d;" + "e" * 200: 1}
        root = ET.fromstring(svg.flame("t", folded))
        width = {g.find(f"{SVG}title").text.split(":")[0]: float(g.find(f"{SVG}rect").get("width")) for g in root.findall(f"{SVG}g")}
        self.assertAlmostEqual(width["main"], svg.FLAME_WIDTH, delta=1)
        self.assertAlmostEqual(width["a"], 0.8 * svg.FLAME_WIDTH, delta=1)
        self.assertAlmostEqual(width["c<int>"], 0.19 * svg.FLAME_WIDTH, delta=1)
        self.assertNotIn("never", width)
        self.assertEqual(svg.self_shares(folded)[:2], [("b", 0.6), ("a", 0.2)])
        self.assertIsNone(svg.flame("t", {}))

    def test_fold(self):
        flame = script_of("flame")
        text = ("lcore-worker-1  4711 12.3: \n\t 55d0 hs_scan+0x1f (/usr/lib/libhs.so.5)\n\t 4ee0 scan_run+0x10 (/x/postern-dataplane)\n"
                "\t 4000 worker_run+0x99 (/x/postern-dataplane)\n\t 7f00 start_thread+0x1 (/lib/libc.so.6)\n\n"
                "lcore-worker-1  4711 12.4: \n\t 4000 worker_run+0x12 (/x/postern-dataplane)\n\t 7f00 start_thread+0x1 (/lib/libc.so.6)\n\n"
                "lcore-worker-1  4711 12.5: \n\t ffff [unknown] ([unknown])\n\n"
                "lcore-worker-1  4711 12.6: \n\t 55d0 [unknown] (/usr/lib/libhs.so.5.4.0)\n\t 4000 worker_run (/x/postern-dataplane)\n\n")
        folded = flame.fold(text)
        self.assertEqual(folded, {"start_thread;worker_run;scan_run;hs_scan": 1, "start_thread;worker_run": 1, "[unknown]": 1,
                                  "worker_run;[libhs.so.5.4.0]": 1})
        self.assertEqual(flame.below(folded, "worker_run"), {"worker_run;scan_run;hs_scan": 1, "worker_run": 1, "[unknown]": 1,
                                                              "worker_run;[libhs.so.5.4.0]": 1})


class Report(unittest.TestCase):
    def test_targets(self):
        rows = [benchlib.row("C.accept.off.10000.messages_core_s", "n", "u", [75_000]), benchlib.row("C.deliver.added.clear.dot_p50_us", "n", "u", [200]),
                benchlib.row("C.deliver.added.clear.dot_p99_us", "n", "u", [6000]), benchlib.row("B.tap.full.gbit", "n", "u", [10]),
                benchlib.row("B.tap.testpmd-rx.gbit", "testpmd", "u", [200], group="tap")]
        got = {t[1]: line for t, line in zip(targets.TARGETS, targets.judge(rows))}
        self.assertEqual(got["C.accept.off.10000.messages_core_s"][3], "**missed**: 50 % of it")
        self.assertEqual(got["C.deliver.added.clear.dot_p50_us"][3], "met")
        self.assertEqual(got["C.deliver.added.clear.dot_p99_us"][3], "**missed**: 2.00 times it")
        self.assertEqual(got["B.tap.full.gbit"][3:], ["met", "tap: testpmd: 200"])
        self.assertEqual(got["C.syn.share"][2], "not measured in this run")
        self.assertEqual(targets.judge([benchlib.row("other", "n", "u", [1])]), [])

    def test_written(self):
        rows = [benchlib.row("a", "ours", "GB/s", [1, 2, 3], group="g", baseline="b"), benchlib.row("b", "raw", "GB/s", [4], group="g", better="none"),
                *(benchlib.row(f"p{x}", "p", "u", [x], group="h", plot={"chart": "accept-messages", "series": "s", "x": x}) for x in (1000, 10000))]
        r = result(*rows, quick=True)
        r["levels"]["C"]["scripts"] += [{"name": "flame", "command": "bench/flame", "seconds": 1, "rows": [], "folded": {"a;b": 2}, "title": "t"},
                                        {"name": "y", "rows": [], "skipped": "needs root"}, {"name": "z", "rows": [], "failed": "ended with 1"}]
        with tempfile.TemporaryDirectory() as d:
            report.write(r, pathlib.Path(d) / "new" / "dir")
            there = {f.name for f in (pathlib.Path(d) / "new" / "dir").iterdir()}
            text = (pathlib.Path(d) / "new" / "dir" / "report.md").read_text()
        self.assertEqual(there, {"report.md", "accept-messages.svg", "flame-flame.svg"})
        for part in ("a CPU, 2 cores", "abc", "--quick", "Left out: needs root", "FAILED: ended with 1", "| ours | 2 (1–3) |",
                     "| ours, GB/s | 2 (1–3) | raw | 4 | 0.50 |", "![accept-messages](accept-messages.svg)"):
            self.assertIn(part, text)


class Levels(unittest.TestCase):
    def test_tap(self):
        def m(gbit, cores=1, came=1.0):
            return {"gbit_s": gbit, "mpps": gbit / 10, "cpu_s": [1.0] * cores, "messages_of_expected": came}
        got = {r["id"]: r for r in levels.tap({"rows": {"testpmd-rx": [m(200)], "full": [m(10), m(12)], "full-2": [m(20, 2), m(21, 2, 0.5)]}})}
        self.assertEqual(got["B.tap.full.gbit"]["median"], 11)
        self.assertEqual(got["B.tap.full.gbit"]["baseline"], "B.tap.testpmd-rx.gbit")
        self.assertEqual(got["B.tap.full-2.gbit"]["high"], 10.5)
        self.assertEqual(got["B.tap.full.two"]["values"], [2.0, 1.75])
        self.assertEqual(got["B.tap.full.two"]["labels"], [])

    def test_micro(self):
        row = {"group": "TCP input", "name": "1,000 flows", "unit": "segment", "cycles": {"median": 2.0, "min": 1.0, "max": 3.0}, "repetitions": 7,
               "yardstick": 1.2}
        got = levels.micro({"rows": [row]})[0]
        self.assertEqual((got["id"], got["low"], got["high"], got["runs"], got["labels"]), ("A.micro.tcp-input.1-000-flows", 1.0, 3.0, 7, ["disturbed"]))

    def test_idle(self):
        def lab(n, pss):
            return {"idle": n, "probe": {"lost": 0}, "memory": {"opened": {"dataplane": [0, pss], "control": [0, 0]}},
                    "runs": [{"cycles": 26000, "tsc_hz": 2.6e9, "control_us": 190, "latency_us": {"p99": 4000}, "generator_bound": n > 0}]}
        got = {r["id"]: r for r in levels.idle_sessions({"labs": [lab(0, 1000), lab(1000, 2000)]})}
        self.assertEqual(got["C.idle.1000.octets"]["median"], 1024)
        self.assertEqual(got["C.idle.0.both_us"]["median"], 200)
        self.assertEqual(got["C.idle.1000.worker_cycles"]["labels"], [benchlib.BOUND])
        self.assertNotIn("C.idle.0.octets", got)

    def test_deliver(self):
        got = {r["id"]: r for r in levels.deliver(
            {"throughput": {"Postern, clear": [{"per_s": 10, "per_cpu_s": 20}], "Postfix, clear": [{"per_s": 1, "per_cpu_s": 2}]},
             "latency": {"direct to sink": [{"dot_p50_us": 20, "dot_p99_us": 100, "dot_p999_us": 1}],
                         "Postern, clear": [{"dot_p50_us": 120, "dot_p99_us": 600, "dot_p999_us": 1}]}})}
        self.assertEqual(got["C.deliver.added.clear.dot_p99_us"]["median"], 500)
        self.assertEqual(got["C.deliver.postern-clear.per_s"]["baseline"], "C.deliver.postfix-clear.per_s")

    def test_peers(self):
        got = levels.peers({"rows": [{"name": n, "values": [v]} for n, v in (("peers/postern-sealing/10k/per_cpu_s", 60), ("peers/haraka/10k/p99_us", 5),
                                                                             ("peers/ratio-sealing/10k/per_cpu_s", 6))]})
        self.assertEqual([r["id"] for r in got], ["E.postern-sealing.10k.per_cpu_s", "E.haraka.10k.p99_us", "E.ratio-sealing.10k.per_cpu_s"])
        self.assertEqual(got[0]["baseline"], "E.postfix-rspamd-sealing.10k.per_cpu_s")
        self.assertEqual((got[1]["better"], got[2]["name"]), ("none", "Postern ÷ Postfix + rspamd, sealing"))
        self.assertIn(got[2]["id"], [t[1] for t in targets.TARGETS])

    def test_beside_and_rest(self):
        runs = [{"p50_us": 5, "p99_us": 9}]
        rows = levels.beside("slow", "g", {"alone": "alone", "beside": "b"})({"alone": runs, "beside": runs})
        self.assertEqual([r["id"] for r in rows], ["C.slow.alone.p50_us", "C.slow.alone.p99_us", "C.slow.beside.p50_us", "C.slow.beside.p99_us"])
        self.assertEqual(rows[-1]["baseline"], "C.slow.alone.p99_us")
        got = levels.tls({"cases": [{"name": "bulk", "memory": "slab", "unit": "Gbit/s", "ours": [2], "bare": [4]}]})
        self.assertEqual(got[1]["baseline"], got[0]["id"])
        self.assertEqual(levels.judge({"Postern": [9], "rspamd": [3]})[0]["baseline"], "A.judge.rspamd")

    def test_rows_are_rows(self):
        """Targets have a sign and a figure; scripts exist and take the options they are given."""
        for _, _, how, wanted, _, _, _ in targets.TARGETS:
            self.assertIn(how, (targets.LEAST, targets.MOST))
            self.assertGreater(wanted, 0)
        names = [s.name for level in levels.LEVELS.values() for s in level]
        self.assertEqual(len(names), len(set(names)))
        for s in (s for level in levels.LEVELS.values() for s in level):
            if s.argv[0].startswith("build:") or s.name == "scan":
                continue
            path = benchlib.ROOT / s.argv[0]
            self.assertTrue(path.exists(), path)
            text = path.read_text()
            if s.name == "micro":
                text += (HERE / "micro/main.c").read_text()
            for option in [s.runs or "", s.json, *[x for x in s.argv[1:] + s.quick if x.startswith("--")], *(["--hugepages"] if s.huge else [])]:
                self.assertIn(option.lstrip("-"), text, f"{path} {option}")


class Model(unittest.TestCase):
    def test_breaks_first(self):
        per = {"worker": 20e-6, "loop": 100e-6, "thread": 50e-6, "spf": 10e-6}
        self.assertEqual(model.limits(1, per), [("workers", 50_000), ("control: its loop", 10_000), ("control: the busiest other thread", 20_000),
                                                ("SPF workers", 200_000)])
        self.assertEqual(model.first(1, per), ("control: its loop", 10_000))
        self.assertEqual(model.first(1, {**per, "loop": 1e-6, "thread": 1e-6})[0], "workers")
        self.assertEqual(model.first(32, {**per, "loop": 1e-6, "thread": 1e-6})[0], "SPF workers")
        self.assertEqual(model.loops_for(32, per), 160)
        self.assertIsNone(model.table([benchlib.row("a", "n", "u", [1])]))


class Gateway(unittest.TestCase):
    def test_rows(self):
        gateway = script_of("gateway")
        g = {"busy": 0.97, "transaction_us": {"p50": 1, "p99": 2, "p999": 3}, "reply_us": {"p50": 1, "p99": 2, "p999": 3}, "rate_wanted": 100, "lost": 0}
        m = {"messages": 1000, "octets": 10_000_000, "wall_s": 10, "busy_s": 5, "had_cpu": 0.99, "busy": 0.5, "generator": g, "refused": 0,
             "sessions": 500, "control_s": 5, "loop_s": 4, "thread_s": 0.6, "children_s": -0.001}
        rows = gateway.rows_of({("accept", "off", 10000): [m, {**m, "busy_s": 2.5}], ("accept", "sessions"): [m], ("accept", "load", 0.5): [m],
                                ("accept", "bdat", 10000): [m], ("through", "full", 10000): [m], ("through", "tls", 10000): [m], ("through", "load", 0.5): [{**m, "had_cpu": 0.5}]})
        by = {r["id"]: r for r in rows}
        self.assertEqual(len(by), len(rows), "an id twice")
        self.assertEqual(by["C.accept.off.10000.messages_core_s"]["values"], [200, 400])
        self.assertEqual(by["C.accept.off.10000.messages_core_s"]["labels"], [benchlib.BOUND])
        self.assertEqual(by["C.accept.bdat.10000.messages_core_s"]["name"], "not scanned, 10,000 octets, BDAT")
        self.assertEqual(by["C.through.tls.10000.messages_cpu_s"]["name"], "literal set on `full`, 10,000 octets, half of the sessions under TLS")
        for r in rows:
            self.assertIn(r["baseline"], [None, *by])
            self.assertEqual(bool(r["baseline"]), any(f".{v}." in r["id"] for v in gateway.VARIANTS) and r["unit"] in (
                "messages/s of a worker's time", "messages/CPU-s, worker and control"), r["id"])
        self.assertEqual(by["C.accept.sessions.sessions_core_s"]["median"], 100)
        self.assertEqual(by["C.accept.load.0.5.goodput"]["median"], 100)
        self.assertEqual(by["C.through.full.10000.messages_cpu_s"]["median"], 100)
        self.assertEqual([by[f"C.through.full.10000.{x}_us"]["median"] for x in ("loop", "thread", "children")], [4000, 600, 0])
        self.assertIn("worker without its CPU", by["C.through.load.0.5.reply_p50"]["labels"])
        self.assertIsNone(model.table(rows), "what a worker takes is not in it")
        rows.append(benchlib.row(model.WORKER, "n", "u", [50_000]))
        told = model.table([*rows, benchlib.row("A.rings.many", "n", "ns", [30])])
        self.assertIn("| 32 |", told)
        self.assertIn("its loop", told)
        charts = {r["plot"]["chart"] for r in rows if r["plot"]}
        self.assertTrue(charts <= set(report.CHARTS), charts)

    def test_between(self):
        import accept

        def line(seconds, **counters):
            return {"seconds": seconds, "tsc_hz": 10, "workers": [counters]}
        got = accept.between((line(1, busy_cycles=10, total_cycles=20), 0.5),
                             (line(3, busy_cycles=25, total_cycles=40, smtp_reply_2xx=8), 2.4))
        self.assertAlmostEqual(got["cpu_s"], 1.9)
        self.assertAlmostEqual(got["busy_s"], 1.9 * 0.75)
        self.assertEqual(got["messages"], 8)


class Run(unittest.TestCase):
    def test_options(self):
        run = script_of("run")
        for bad in (["F"], ["--runs", "0"], ["--only", "nothing"]):
            sys.argv = ["run", *bad]
            with self.assertRaises(SystemExit) as e, contextlib.redirect_stderr(io.StringIO()):
                run.options()
            self.assertEqual(e.exception.code, 2)
        sys.argv = ["run", "a", "d", "--quick"]
        o = run.options()
        self.assertEqual((o.levels, o.runs), (["A", "D"], 1))

    def test_scripts(self):
        run = script_of("run")
        with tempfile.TemporaryDirectory() as d, unittest.mock.patch.object(benchlib, "ROOT", pathlib.Path(d)):
            good, bad = pathlib.Path(d) / "good", pathlib.Path(d) / "bad"
            good.write_text(f"#!{sys.executable}\nimport json,sys\nopen(sys.argv[sys.argv.index('--json')+1],'w').write(json.dumps("
                            "{'rows':[],'argv':sys.argv[1:],'folded':{'a':1},'title':'t'}))\nprint('told')\n")
            bad.write_text("#!/bin/sh\nexit 3\n")
            for f in (good, bad):
                f.chmod(0o755)
            sys.argv = ["run", "--runs", "4"]
            o = run.options()
            seen = []

            def rows(got):
                seen.extend(got["argv"])
                return [benchlib.row("x", "n", "u", [1])]
            with contextlib.redirect_stderr(io.StringIO()):
                got = run.run_script(levels.Script("good", rows, ("good", "--a"), quick=("--q",)), o)
                failed = run.run_script(levels.Script("bad", rows, ("bad",)), o)
                gone = run.run_script(levels.Script("gone", rows, ("gone",)), o)
                lacks = run.run_script(levels.Script("lacks", rows, ("good",), programs=("no-such-program",)), o)
        self.assertEqual(seen[:3], ["--a", "--runs", "4"])
        self.assertNotIn("--q", seen)
        self.assertEqual((got["rows"][0]["id"], got["tables"], got["folded"]), ("x", "told\n", {"a": 1}))
        self.assertNotIn("out.json", got["command"])
        self.assertEqual(failed["failed"], "ended with 3")
        self.assertIn("is not there", gone["skipped"])
        self.assertIn("packaging/install-packages", lacks["skipped"])


if __name__ == "__main__":
    unittest.main()
