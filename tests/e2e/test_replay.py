#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""posternctl replay with the dataplane beside it: what the books of generated captures say, pcap and pcapng alike, and
nothing is left behind."""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lab as labs  # noqa: E402

BOOKS = pathlib.Path(__file__).resolve().parent.parent / "tap/tap_books.py"
BUILD = labs.build_dir()


def generate(where, name, *options):
    pcap, book = where / f"{name}.pcap", where / f"{name}.book"
    subprocess.run([BUILD / "bench/pcapgen/pcapgen", "-o", pcap, "-b", book, "--sessions", "60", "--seed", "5", "--size",
                    "500-20k@80,20k-90k@20", *options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return pcap, book


def replay(where, *words, code=0, json_lines=False):
    """Run as an operator would, with a directory for temporary files that must be empty afterwards."""
    tmp = where / "tmp"
    tmp.mkdir(exist_ok=True)
    p = subprocess.run([BUILD / "control/cli/posternctl", *(["--json"] if json_lines else []), "replay", *words],
                       capture_output=True, timeout=300, check=False, env={**os.environ, "TMPDIR": str(tmp)})
    assert p.returncode == code, (words, p.returncode, p.stdout[-2000:], p.stderr)
    assert not list(tmp.iterdir()), list(tmp.iterdir())
    return p.stdout.decode(), p.stderr.decode()


def books(book, lines):
    with open(book.with_suffix(".dump"), "w", encoding="ascii") as f:
        f.write(lines)
    got = subprocess.run([sys.executable, BOOKS, book, f.name], stdout=subprocess.PIPE, text=True, check=False)
    assert got.returncode == 0, got.stdout


def to_pcapng(pcap, out, big):
    """Both octet orders; nanoseconds stay."""
    order, data, at = ">" if big else "<", pcap.read_bytes(), 24

    def block(kind, body):
        body += b"\0" * (-len(body) % 4)
        return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)

    with open(out, "wb") as f:
        f.write(block(0x0a0d0d0a, struct.pack(order + "IHHq", 0x1a2b3c4d, 1, 0, -1)))
        f.write(block(1, struct.pack(order + "HHIHHB3xHH", 1, 0, 0, 9, 1, 9, 0, 0)))
        while at < len(data):
            s, ns, n, wire = struct.unpack_from("<IIII", data, at)
            t = s * 10**9 + ns
            f.write(block(6, struct.pack(order + "IIIII", 0, t >> 32, t & 0xffffffff, n, wire) + data[at + 16:at + 16 + n]))
            at += 16 + n
    return out


def by_direction(pcap, where):
    """Two files with a direction each."""
    data, at = pcap.read_bytes(), 24
    out = [bytearray(data[:24]), bytearray(data[:24])]
    while at < len(data):
        n = 16 + struct.unpack_from("<I", data, at + 8)[0]
        # Of IPv4 without tags: the source port says who.
        out[data[at + 16 + 34:at + 16 + 36] == b"\0\x19"] += data[at:at + n]
        at += n
    names = where / "client.pcap", where / "server.pcap"
    for name, octets in zip(names, out):
        name.write_bytes(octets)
    return names


def main():
    with tempfile.TemporaryDirectory() as d:
        where = pathlib.Path(d)
        # BDAT, STARTTLS, refusals are no finding.
        clean, book = generate(where, "clean", "--with", "binary=0,rset=0,refused-message=0,no-quit=0")
        rows, err = replay(where, clean)
        expected = [json.loads(x) for x in book.read_text().splitlines()]
        messages = [x for x in expected if x["type"] == "message"]
        end = next(x for x in expected if x["type"] == "end")
        assert f"{end['packets']} packets, " in rows and f" {len(messages)} messages (0 incomplete)" in rows and not err, rows
        assert rows.count("encrypted: nothing") == sum(bool(x.get("tls")) for x in expected if x["type"] == "session") > 0
        lines, _ = replay(where, clean, json_lines=True)
        books(book, lines)
        bad, book = generate(where, "bad", "--plant", "all")
        lines, _ = replay(where, bad, json_lines=True, code=1)
        books(book, lines)
        for big in (False, True):
            assert replay(where, to_pcapng(bad, where / "ng.pcapng", big), json_lines=True, code=1)[0] == lines
        # Two files are one feed; a cut one is said to be.
        plain, book = generate(where, "plain", "--with", "none,starttls=10")
        books(book, replay(where, *by_direction(plain, where), json_lines=True)[0])
        cut = where / "cut, off.pcap"
        cut.write_bytes(plain.read_bytes()[:300001])
        rows, err = replay(where, cut, code=1)
        assert "cut off at octet 300001" in err and " packets, " in rows, err
        empty = where / "empty.pcap"
        empty.write_bytes(plain.read_bytes()[:24])
        rows, _ = replay(where, empty)
        assert rows.startswith("0 packets, 0 flows"), rows
        rows, _ = replay(where, "--ports", "2525", plain)
        assert "no connection to port 2525 began" in rows, rows
        # The dataplane's own refusal comes through.
        _, err = replay(where, "--max-sessions", "1", plain, code=3)
        assert "max-sessions" in err and "exit status" in err, err
    print("ok")


if __name__ == "__main__":
    main()
