#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""smtp-source over a link that loses, reorders and doubles frames: every acknowledged message is at
the next hop exactly once, and every body is byte-identical.

smtp-source makes bodies of X's; our own client sends random bodies with dots and long lines, whose
hashes are compared one by one.
"""
import hashlib
import os
import random
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402

IMPAIR = ["--loss", "2", "--reorder", "2", "--duplicate", "2"]
SESSIONS = 20
SOURCE_MESSAGES = 600
OWN_MESSAGES = 400
BIG = [1 << 20, 3 << 20, 5 << 20]


def body(rng, size):
    """Random text with what breaks relays: leading dots, empty lines, 8-bit, long lines."""
    lines, n = [], 0
    while n < size:
        k = rng.choice((0, 1, 10, 70, 70, 70, 300, 900))
        line = rng.choice((b"", b".", b"..", b"From ")) + bytes(rng.choices(range(33, 127), k=min(k, 64))) * (1 + k // 64)
        lines.append(line[:990])
        n += len(lines[-1]) + 2
    return b"\r\n".join(lines) + b"\r\n"


def send_own(lab, count, seed, acked, errors):
    rng = random.Random(seed)
    try:
        c = labs.Smtp(lab, timeout=120)
        c.cmd("EHLO client.example.net")
        for i in range(count):
            size = BIG[i % 3] if i % 40 == 7 else rng.choice((500, 1000, 5000, 20000, 70000, 200000))
            head = (f"From: a@example.net\r\nTo: b@example.com\r\nSubject: {seed}-{i}\r\n"
                    f"Message-ID: <{seed}.{i}@example.net>\r\n\r\n").encode()
            content = head + body(rng, size)
            c.send("MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
            codes = [c.reply()[0] for _ in range(3)]
            if codes != [250, 250, 354]:
                errors.append((seed, i, codes))
                return
            stuffed = content.replace(b"\r\n.", b"\r\n..")
            c.send(stuffed + b".\r\n")
            code, text = c.reply()
            if code == 250:
                acked[f"<{seed}.{i}@example.net>"] = hashlib.sha256(content).hexdigest()
            else:
                errors.append((seed, i, text))
        c.cmd("QUIT")
        c.close()
    except Exception as e:  # noqa: BLE001: the test reports it
        errors.append((seed, repr(e)))


def run_own(lab, total, sessions=SESSIONS):
    acked, errors = {}, []
    threads = [threading.Thread(target=send_own, args=(lab, total // sessions, 100 + s, acked, errors))
               for s in range(sessions)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(600)
    return acked, errors


def delivered(lab):
    """Message-ID -> list of hashes of what lies below our block."""
    out = {}
    for f in lab.inbox():
        raw = f.read_bytes()
        at = raw.find(b"\r\nFrom: a@example.net\r\n")
        own = raw[at + 2:] if at >= 0 else raw
        mid = raw.split(b"Message-ID: ", 1)[1].split(b"\r\n", 1)[0].decode() if b"Message-ID: " in raw else ""
        out.setdefault(mid, []).append(hashlib.sha256(own).hexdigest())
    return out


def main():
    labs.need_root()
    with labs.Lab("psf", impair=IMPAIR, arena_mb=128, seed=7) as lab:
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        lab.start_sink()
        lab.write_config()
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        acked, errors = run_own(lab, OWN_MESSAGES)
        got = delivered(lab)
        assert not errors, f"{len(errors)} errors, first: {errors[:3]}"
        assert len(acked) == OWN_MESSAGES, len(acked)
        for mid, digest in acked.items():
            assert got.get(mid) == [digest], f"{mid}: {len(got.get(mid, []))} copies or another body"
        print(f"{len(acked)} messages of our own client: each once, byte-identical")

        before = len(lab.inbox())
        r = lab.in_ns("client", "smtp-source", "-s", SESSIONS, "-m", SOURCE_MESSAGES, "-l", 10000,
                      "-f", "a@example.net", "-t", "b@example.com", f"inet:{labs.GATEWAY4}:25",
                      timeout=600, check=False)
        assert r.returncode == 0, r.stdout[-2000:]
        now = len(lab.inbox()) - before
        assert now == SOURCE_MESSAGES, f"smtp-source: {SOURCE_MESSAGES} acknowledged, {now} delivered"
        print(f"{now} messages of smtp-source in {SESSIONS} sessions")
        drops = {c["name"]: c["value"] for c in lab.stats()["dataplane"] if c["value"]}
        print({k: v for k, v in drops.items() if k.startswith("tcp_")})
        assert drops.get("tcp_ooo", 0) > 0, "the link impaired nothing"


if __name__ == "__main__":
    main()
