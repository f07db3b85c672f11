#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""bench/audit: sound books have no fault, each planted fault is found and no other, and what are no books is refused by line."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import books  # noqa: E402

A, B = "a" * 64, "b" * 64


def sent(serial, reply=250, content=0, **kw):
    return {"id": f"0000abcd.{serial:08x}", "content": content, "session": 0, "tls": False, "due_ns": 1, "latency_us": 10, "reply_us": 5,
            "stage": "content", "reply": reply, "text": "", **kw}


def took(serial, reply=250, sha256=A, **kw):
    return {"t_ns": 1, "connection": 1, "message": 0, "id": f"0000abcd.{serial:08x}", "octets": 99, "took_us": 3, "found": 0, "reply": reply,
            "sha256": sha256, **kw}


HEAD = [{"run": "0000abcd", "seed": 1, "version": 1}, {"content": 0, "octets": 9, "sha256": A}, {"content": 1, "octets": 9, "sha256": B, "file": "x"}]


class Books(unittest.TestCase):
    def setUp(self):
        d = tempfile.TemporaryDirectory(prefix="books-")
        self.addCleanup(d.cleanup)
        self.dir = pathlib.Path(d.name)

    def write(self, name, rows):
        path = self.dir / name
        path.write_text("".join(r if isinstance(r, str) else json.dumps(r) + "\n" for r in rows))
        return path

    def load(self, rows, head=None, end=None, name="load"):
        messages = sum("id" in r for r in rows)
        return self.write(name, [*(HEAD if head is None else head), *rows,
                                 *([{"end": True, "messages": messages, "accepted": 0}] if end is None else end)])

    def audit(self, rows, sink):
        return books.audit(books.Load(self.load(rows)), [self.write("sink", sink)])

    def test_sound(self):
        a = self.audit([sent(0), sent(1, content=1), sent(2, 550), sent(3, 451, stage="rcpt"), sent(4, 0), sent(5, 0)],
                       [took(1, sha256=B), took(0, 451), took(0), took(4)])
        self.assertTrue(a.ok)
        self.assertEqual(a.told(), "6 sent: 2 accepted, 2 refused, 2 without a reply (1 of them arrived); 3 taken by the next hop, "
                                   "1 attempts refused there\nno fault")

    def test_planted(self):
        """Beside ten sound messages, each fault alone is found, and no other is invented."""
        good = [sent(i) for i in range(10)], [took(i) for i in range(10)]
        for kind, rows, sink in (
                ("lost", [sent(99)], []),
                ("lost", [sent(99)], [took(99, 451), took(99, 550)]),
                ("arrived", [sent(99, 550)], [took(99)]),
                ("arrived", [sent(99, 451, stage="data")], [took(99)]),
                ("twice", [sent(99)], [took(99), took(99)]),
                ("twice", [sent(99, 0)], [took(99), took(99)]),
                ("differs", [sent(99)], [took(99, sha256=B)]),
                ("differs", [sent(99, content=1)], [took(99, sha256=A)]),
                ("differs", [sent(99)], [took(99, sha256="")]),
                ("differs", [sent(99, 0)], [took(99, sha256=B)]),
                ("unsent", [], [took(99)]),
                ("unsent", [], [took(0, id="", sha256="")]),
                ("unsent", [], [took(0, id='0000abce.00000000')])):
            with self.subTest(kind, rows=rows, sink=sink):
                a = self.audit(good[0] + rows, good[1] + sink)
                self.assertFalse(a.ok)
                self.assertEqual({k: len(v) for k, v in a.faults.items() if v}, {kind: 1})
                self.assertIn(f"{kind}: 1: ", a.told())

    def test_two_runs(self):
        other = [{"run": "0000beef", "seed": 1, "version": 1}, {"content": 0, "octets": 9, "sha256": B}]
        two = self.load([sent(0, id="0000beef.00000000")], other, name="two")
        load = books.Load(self.load([sent(0)]), two)
        sink = [self.write("s1", [took(0)]), self.write("s2", [took(0, id="0000beef.00000000", sha256=B)])]
        self.assertTrue(books.audit(load, sink).ok)
        with self.assertRaises(books.BadBooks):
            books.Load(self.dir / "load", self.dir / "load")

    def test_bad_load(self):
        for why, path in (
                ("no end", self.load([sent(0)], end=[], name="1")),
                ("no end", self.write("2", [])),
                ("2 messages were sent, 1 are here", self.load([sent(0)], end=[{"end": True, "messages": 2, "accepted": 0}], name="3")),
                ("line 5: behind the end", self.load([], end=[{"end": True, "messages": 0}] * 2, name="4")),
                ("line 4: not JSON", self.load(["{\n"], name="5")),
                ("line 4: not an object", self.load(["[]\n"], name="6")),
                ("line 1: version 2", self.load([], [{"run": "0000abcd", "version": 2}], name="7")),
                ("line 1: run is", self.load([], [{"run": "xyz", "version": 1}], name="8")),
                ("line 5: 0000abcd.00000000 was sent twice", self.load([sent(0), sent(0)], name="9")),
                ("line 4: there is no content 7", self.load([sent(0, content=7)], name="10")),
                ("line 4: 0000beef.00000000 is of another run", self.load([sent(0, id="0000beef.00000000")], name="11")),
                ("line 4: reply is True", self.load([sent(0, True)], name="12")),
                ("line 4: reply is 1000", self.load([sent(0, 1000)], name="13")),
                ("line 4: latency_us is -1", self.load([sent(0, latency_us=-1)], name="14")),
                ("line 4: id is None", self.load([sent(0, id=None)], name="15")),
                ("line 2: sha256 is 'q'", self.load([], [HEAD[0], {"content": 0, "octets": 9, "sha256": "q"}], name="16")),
                ("line 5: it is not whole", self.load([sent(0)], end=['{"end": true, "messages": 1}'], name="17")),
                ("No such file", self.dir / "gone")):
            with self.subTest(why):
                with self.assertRaises(books.BadBooks) as e:
                    books.Load(path)
                self.assertIn(why, str(e.exception))
                self.assertIn(str(path), str(e.exception))

    def test_bad_sink(self):
        for why, row in (("reply is 199", took(0, 199)), ("sha256 is 'x'", took(0, sha256="x")), ("id is 5", took(0, id=5)),
                         ("it is not whole", '{"id": "')):
            with self.subTest(why):
                with self.assertRaises(books.BadBooks) as e:
                    self.audit([sent(0)], [row])
                self.assertIn("line 1: " + why, str(e.exception))
        (self.dir / "octets").write_bytes(b"\xff\n")
        with self.assertRaises(books.BadBooks):
            books.taken(self.dir / "octets")

    def test_command(self):
        def run(*argv):
            p = subprocess.run([sys.executable, HERE / "audit", *argv], capture_output=True, text=True, check=False)
            return p.returncode, p.stdout + p.stderr
        load, sink, out = self.load([sent(0), sent(1)]), self.write("sink", [took(0), took(1)]), self.dir / "json"
        self.assertEqual(run(load, "--sink", sink)[0], 0)
        sink = self.write("sink", [took(0)])
        rc, text = run(load, "--sink", sink, "--json", out)
        self.assertEqual(rc, 1, text)
        self.assertIn("lost: 1: 0000abcd.00000001", text)
        self.assertEqual(json.loads(out.read_text())["faults"]["lost"], ["0000abcd.00000001"])
        rc, text = run(load, "--sink", self.dir / "gone")
        self.assertEqual(rc, 2)
        self.assertEqual(text, f"audit: {self.dir}/gone: No such file or directory\n")


if __name__ == "__main__":
    unittest.main()
