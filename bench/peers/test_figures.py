#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""figures.py and mail.py, and mailer against sink on loopback: test_figures.py MAILER SINK"""
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import figures  # noqa: E402
import mail  # noqa: E402


def arrival(number, found=3, reply=250):
    return {"id": f"<{number:016x}.7@d1.example.net>", "found": found, "reply": reply}


class Pure(unittest.TestCase):
    def test_sizes(self):
        self.assertEqual(figures.sizes("10k, 1m,2500"), [10000, 1000000, 2500])
        self.assertEqual([figures.size_name(n) for n in (10000, 1000000, 2500)], ["10k", "1m", "2500"])
        for bad in ("", "10kb", "0", "1k", "11m", "10k,,2k"):
            with self.assertRaises(ValueError):
                figures.sizes(bad)

    def test_percentiles(self):
        v = list(range(100, 0, -1))
        self.assertEqual([figures.percentile(v, s) for s in (0.5, 0.99, 1, 0)], [50, 99, 100, 1])
        self.assertEqual(figures.percentile([7], 0.99), 7)
        self.assertEqual(figures.percentile([1, 2, 3], 0.5), 2)
        self.assertEqual(figures.latencies([("a", 250, 5), ("b", 550, 900), ("c", 250, 7)]), {"p50_us": 5, "p99_us": 7})

    def test_row(self):
        r = figures.row("x", "1/s", [3, 1, 2], "run")
        self.assertEqual((r["median"], r["low"], r["high"], r["runs"]), (2, 1, 3, 3))
        self.assertEqual(figures.cell([3000, 1000, 2000]), "2,000 (1,000–3,000)")
        self.assertEqual(figures.ratios([4, 9], [2, 3]), [2, 3])

    def test_audit(self):
        rows = figures.sent([f"{i:016x} 250 10" for i in range(3)])
        all_there = [arrival(i) for i in range(3)]
        wanted = {0: "spf=pass", 1: "dkim=pass"}
        self.assertEqual(figures.audit(rows, all_there, wanted), [])
        for arrived, words in ((all_there[1:], "1 messages did not arrive"),
                               (all_there + [arrival(1)], "1 messages arrived more than once"),
                               (all_there + [arrival(9)], "1 messages arrived and were never acknowledged"),
                               (all_there[:2] + [arrival(2, found=1)], "1 messages arrived without dkim=pass"),
                               (all_there[:2] + [arrival(2, reply=452)], "1 messages did not arrive")):
            self.assertEqual(figures.audit(rows, arrived, wanted), [words])
        odd = figures.sent(["%016x 451 0" % 0, "%016x 0 0" % 1])
        self.assertEqual(figures.audit(odd, [], wanted), ["1 messages got no reply", "1 messages got the reply 451"])

    def test_fill(self):
        self.assertEqual(figures.fill("a @B@ @B@ d@e.example", {"B": 1}), "a 1 1 d@e.example")
        with self.assertRaises(KeyError):
            figures.fill("@B@", {"C": 1})


class Messages(unittest.TestCase):
    def test_compose(self):
        m = mail.compose(3, 10000)
        self.assertLess(abs(len(m) - 10000 + 620), 10)
        self.assertEqual(m, mail.compose(3, 10000))
        self.assertNotEqual(m, mail.compose(4, 10000))
        self.assertEqual(m.count(mail.ID.encode()), 1)
        self.assertTrue(all(len(x) <= 998 and b"\n" not in x for x in m.split(b"\r\n")))
        for word in (b"=pass", b"ARC-Seal"):
            self.assertNotIn(word, m)
        self.assertTrue(mail.holds(mail.compose(5, 5000, "Some Literal"), [b"some literal"]))
        self.assertFalse(mail.holds(mail.compose(5, 5000), [b"some literal"]))

    def test_zones(self):
        z = mail.zones("-----BEGIN PUBLIC KEY-----\n" + "A" * 400 + "\n-----END PUBLIC KEY-----\n", ["192.0.2.10"])
        self.assertIn("10 IN PTR mail.example.net.", z["2.0.192.in-addr.arpa"])
        self.assertIn("mx.d19 IN A 192.0.2.10", z["example.net"])
        self.assertTrue(all(len(s) <= 255 for s in z["example.net"].split('"')[1::2]))


class Client(unittest.TestCase):
    """All of one list through mailer into sink, and what comes of refusals."""

    def through(self, messages, *sink_options, more=()):
        with tempfile.TemporaryDirectory(prefix="postern-mailer-") as d:
            d = pathlib.Path(d)
            for i in range(2):
                (d / f"{i}.eml").write_bytes(mail.compose(i, 3000).replace(b"\r\n\r\n", b"\r\n\r\n.dot\r\n..\r\n", 1))
            (d / "list").write_text("".join(f"{d / str(i)}.eml\tsender@{mail.domain(i)}\n" for i in range(2)))
            # The sink tells its port only by taking one: the test of bench/sink does the same.
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                port = s.getsockname()[1]
            sink = subprocess.Popen([sys.argv[2], f"127.0.0.1:{port}", "--books", d / "sink", "--look", "Message-ID:", *sink_options],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.assertIn("ready", sink.stdout.readline())
            r = subprocess.run([sys.argv[1], f"127.0.0.1:{port}", "--list", d / "list", "--messages", str(messages), "--rcpt", mail.RCPT,
                                "--books", d / "client", "--sessions", "3", "--per-session", "4", "--tag", "5", *more],
                               capture_output=True, text=True, timeout=60, check=False)
            sink.stdin.write("end\n")
            sink.stdin.flush()
            sink.wait(10)
            sink.stdin.close()
            sink.stdout.close()
            self.assertEqual(r.returncode, 0, r.stderr)
            rows = figures.sent((d / "client").read_text().splitlines())
            arrived = [json.loads(x) for x in (d / "sink").read_text().splitlines()]
            return json.loads(r.stdout), rows, arrived, [(d / f"{i}.eml").stat().st_size for i in range(2)]

    def test_all(self):
        for options in ((), ("--no-pipelining",)):
            told, rows, arrived, size = self.through(25, *options)
            self.assertEqual((told["messages"], told["refused"], told["lost"]), (25, 0, 0))
            self.assertGreaterEqual(told["connections"], 7)
            self.assertEqual(figures.audit(rows, arrived, {0: "Message-ID"}), [])
            self.assertEqual({r[0][:8] for r in rows}, {"00000005"})
            # As they came: two dots are stuffed, the final one has its CRLF.
            self.assertEqual({x["octets"] - 5 for x in arrived}, set(size))

    def test_rate(self):
        told, rows, arrived, _ = self.through(6, more=("--rate", "1000"))
        self.assertEqual(figures.audit(rows, arrived, {}), [])

    def test_refusals(self):
        for stage in ("mail", "rcpt", "data", "dot"):
            told, rows, arrived, _ = self.through(10, "--refuse", f"{stage}=451")
            self.assertEqual((told["refused"], told["lost"]), (10, 0), stage)
            self.assertEqual({r[1] for r in rows}, {451})

    def test_closed(self):
        told, rows, arrived, _ = self.through(10, "--max-messages", "1")
        self.assertEqual(len(rows), 10)
        self.assertEqual(told["refused"] + told["lost"] + len(arrived), 10)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
