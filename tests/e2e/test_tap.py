#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""A tap port beside a control process: mail between a client and a Postfix, as a hub shows it, is judged against the
true client and recorded with what Postfix said; an annotated copy goes to a journal; nothing is ever sent; with control
killed messages are counted, and the tap goes on.

    client 192.0.2.10 ──┐
    Postfix 192.0.2.26 ─┤ hub (a bridge that learns nothing)
    DPDK tap port ──────┘      gateway namespace ── journal's next hop, NSD
"""
import base64
import hashlib
import json
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lab as labs  # noqa: E402
import postfix  # noqa: E402

SERVER = "192.0.2.26"
JOURNAL = "journal@example.org"
MOST = 64  # LIMIT_TAP_JOURNAL
RULES = ("full     LOTTERY  /you have won the lottery/i\ndescribe LOTTERY A prize\nscore LOTTERY 6.5\n"
         "body     DEEP     /needle in a large message/i\ndescribe DEEP A needle\nscore DEEP 1\n")


class TapLab(labs.Lab):
    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.ns["hub"] = f"{self.name}-hub"
        self.ns["mail"] = f"{self.name}-mail"

    def _veth(self, ns_a, a, ns_b, b):
        n = self.name
        if b != f"{n}g0":
            super()._veth(ns_a, a, ns_b, b)
            return
        # The kernel of its end must not speak there either.
        for ns in ("hub", "gw"):
            self.sysctl(ns, "net.ipv6.conf.default.disable_ipv6=1")
        labs.run("ip", "-n", self.ns["hub"], "link", "add", "hub0", "type", "bridge", "ageing_time", "0",
                 "mcast_snooping", "0")
        labs.run("ip", "-n", self.ns["hub"], "link", "set", "hub0", "up")
        for i, (ns, end) in enumerate((("client", f"{n}c0"), ("mail", f"{n}m0"), ("gw", f"{n}g0"), ("gw", f"{n}x0"))):
            super()._veth(ns, end, "hub", f"{n}b{i}")
            labs.run("ip", "-n", self.ns["hub"], "link", "set", f"{n}b{i}", "master", "hub0")
            labs.run("ip", "netns", "exec", self.ns["hub"], "bridge", "link", "set", "dev", f"{n}b{i}", "learning",
                     "off", "flood", "on")

    def sent_by_tap(self, end=2):
        """Frames that came out of the tap port, as its peer counts them."""
        out = labs.run("ip", "-n", self.ns["hub"], "-s", "-j", "link", "show", "dev", f"{self.name}b{end}").stdout
        stats = json.loads(out)[0]["stats64"]
        assert stats["tx"]["packets"] > 0, "the hub shows the tap nothing"
        return stats["rx"]["packets"]

    def configure(self, mailbox="", journal=True):
        (self.dir / "tap.cf").write_text(RULES)
        self.conf = self.dir / "postern.conf"
        self.conf.write_text(f'''hostname = "mx.example.com"
dataplane {{ socket = "{self.dir}/dataplane.sock" }}
tap {{
	ports = [25, 2525]
	{'journal-route = "journal"' if journal else ''}
	{mailbox}
}}
route "journal" {{ domains = ["example.org"]; hosts = ["{labs.NEXTHOP4}:25"]; verify = "none"; overload-wait = 2min }}
dns {{ forwarders = ["{labs.DNS4}"]; timeout = 5s }}
rules {{ files = ["{self.dir}/tap.cf"] }}
policy {{ allow-private-peer = true; reject-score = 6 }}
limits {{ max-message = 800k }}
trace {{ file = "{self.dir}/trace.jsonl" }}
api {{ socket = "{self.dir}/control.sock" }}
''')

    def outcome(self, subject, n=1, seconds=20):
        """The records of the message with this Message-ID."""
        mid = f"<{subject}@example.net>"
        return labs.wait_for(f"trace of {mid}", lambda: len(t := [
            r for r in self.trace() if r.get("message_id") == mid]) >= n and t, seconds)


def key(directory):
    """(dkimpy's private key, the record's p=)"""
    private = directory / "dkim.key"
    labs.run("openssl", "genrsa", "-traditional", "-out", private, "2048")
    der = subprocess.run(["openssl", "rsa", "-in", private, "-pubout", "-outform", "DER"], check=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return private, base64.b64encode(der).decode()


def signed(private, subject, body, broken=False):
    import dkim
    raw = (f"From: Alice <alice@example.net>\r\nTo: bob@example.com\r\nSubject: {subject}\r\n"
           f"Message-ID: <{subject}@example.net>\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n\r\n").encode() + body
    header = dkim.sign(raw, b"s1", b"example.net", private.read_bytes(), include_headers=[b"from", b"to", b"subject"])
    return header + (raw.replace(b"Alice", b"Mallory") if broken else raw)


def send(lab, data, rcpts=("bob@example.com",), sender="alice@example.net", pace=0.002):
    """Through Postfix; the final reply. A mirror has no flow control: no more at once than its ring takes."""
    c = labs.Smtp(lab, SERVER)
    assert c.cmd("EHLO mail.example.net")[0] == 250
    assert c.cmd(f"MAIL FROM:<{sender}>")[0] == 250
    codes = [c.cmd(f"RCPT TO:<{r}>")[0] for r in rcpts]
    assert c.cmd("DATA")[0] == 354
    data = data.replace(b"\r\n.", b"\r\n..") + b".\r\n"
    for at in range(0, len(data), 32768):
        c.send(data[at:at + 32768])
        time.sleep(pace)
    reply = c.reply()
    c.cmd("QUIT")
    c.close()
    return codes, reply


def judged_as_the_true_client(lab, private):
    data = signed(private, "plain", b"Greetings.\r\n.a dot\r\n")
    codes, reply = send(lab, data, ("bob@example.com", "no@example.com", "carol@example.com"))
    assert codes == [250, 554, 250] and reply[0] == 250, (codes, reply)
    records = lab.outcome("plain", 2)
    assert [r["rcpt"] for r in records] == ["bob@example.com", "carol@example.com"], "a refused recipient is told"
    for r in records:
        assert r["outcome"] == "observed" and r["mode"] == "tap" and r["complete"] is True, r
        assert r["origin"] == r["peer"] == labs.CLIENT4 and r["helo"] == "mail.example.net", r
        assert (r["server"], r["server_port"]) == (SERVER, 25), r
        assert r["server_reply"] == reply[1][-1], (r["server_reply"], reply)
        assert r["mail_from"] == "alice@example.net" and r["anomalies"] == [] and r["size"] == len(data), r
        assert r["judged"]["spf"]["result"] == "pass", r["judged"]["spf"]
        assert [d["result"] for d in r["judged"]["dkim"]] == ["pass"], r["judged"]["dkim"]
        assert r["judged"]["dmarc"]["result"] == "pass" and r["judged"]["action"] == "accept", r["judged"]
        assert "reply" not in r and "next_hop" not in r, "we answered nobody"
    send(lab, signed(private, "broken", b"Greetings.\r\n", broken=True))
    assert [d["result"] for d in lab.outcome("broken")[0]["judged"]["dkim"]] == ["fail"]
    print("judged: ok")


def scanned(lab, private):
    filler = b"".join(b"%06d the quick brown fox jumps over the lazy dog\r\n" % i for i in range(6000))
    send(lab, signed(private, "large", filler + b"a needle in a large message\r\n" + filler))
    r = lab.outcome("large")[0]
    assert [m["rule"] for m in r["judged"]["matches"]] == ["DEEP"] and r["complete"], r
    assert [d["result"] for d in r["judged"]["dkim"]] == ["pass"], r
    send(lab, signed(private, "prize", b"You have won the lottery!\r\n"))
    r = lab.outcome("prize")[0]
    # What policy would have done: it was delivered all the same.
    assert r["judged"]["action"] == "reject" and r["outcome"] == "observed", r
    assert r["server_reply"].startswith("250 "), r
    print("scanned: ok")


def too_many(lab):
    """The next hop stands still: so many copies are under way, and no more; it goes on, and has these."""
    hop = lab.procs["nexthop"].pid
    os.kill(hop, signal.SIGSTOP)
    try:
        c = labs.Smtp(lab, SERVER)
        c.cmd("EHLO mail.example.net")
        for i in range(MOST + 2):
            for line in ("MAIL FROM:<alice@example.net>", "RCPT TO:<bob@example.com>", "DATA"):
                assert c.cmd(line)[0] in (250, 354), line
            c.send(f"Message-ID: <many{i}@example.net>\r\nFrom: alice@example.net\r\n\r\nOne of many.\r\n.\r\n")
            assert c.reply()[0] == 250
        c.close()

        def records():
            return {r["message_id"]: r for r in lab.trace() if str(r.get("message_id")).startswith("<many")}
        # Those without a copy are told at once.
        told = labs.wait_for("those that are too many", lambda: len(t := records()) == 2 and t, 30)
        assert all(r["outcome"] == "observed" and "journal" not in r for r in told.values()), told
    finally:
        os.kill(hop, signal.SIGCONT)
    told = labs.wait_for("all records", lambda: len(t := records()) == MOST + 2 and t, 60)
    assert sum(r.get("journal", {}).get("taken") is True for r in told.values()) == MOST, told
    kept = sum(b"\r\nOne of many.\r\n" in p.read_bytes() for p in lab.inbox())
    control = {c["name"]: c["value"] for c in lab.stats()["control"]}
    assert kept == MOST and (control["journal_full"], control["journal_failed"]) == (2, 0), (kept, control)


def journaled(lab, private):
    """What Postfix took is copied: our block, and below it every octet as it came."""
    def copies(text):
        return [p for p in lab.inbox() if text in p.read_bytes()]

    def envelope(p):
        return [x.split(" SIZE=")[0] for x in p.with_suffix(".env").read_text().splitlines()]
    data = signed(private, "copied", b"A copy.\r\n.of it\r\n")
    codes, _ = send(lab, data, ("bob@example.com", "no@example.com"))
    r = lab.outcome("copied")[0]
    copy, = copies(b"<copied@example.net>")
    raw = copy.read_bytes()
    assert hashlib.sha256(raw[-len(data):]).digest() == hashlib.sha256(data).digest(), "octets differ"
    block = raw[:-len(data)]
    assert b"dkim=pass" in block and b"spf=pass" in block and r["trace_id"].encode() in block, block
    assert envelope(copy) == ["MAIL FROM:<alice@example.net>", "RCPT TO:<bob@example.com>"], envelope(copy)
    assert r["journal"]["taken"] and r["journal"]["route"] == "journal", r["journal"]
    # To a mailbox, after a reload: by the null path, with the envelope on top.
    lab.configure(f'journal-mailbox = "{JOURNAL}"')
    lab.ctl("config", "reload")
    data = signed(private, "kept", b"For the archive.\r\n")
    send(lab, data)
    r = lab.outcome("kept")[0]
    copy, = copies(b"<kept@example.net>")
    assert copy.read_bytes().endswith(data) and b"bob@example.com" in copy.read_bytes()[:-len(data)]
    assert envelope(copy) == ["MAIL FROM:<>", f"RCPT TO:<{JOURNAL}>"], envelope(copy)
    # What comes by again, or was delivered from here, is not copied: it has our name.
    send(lab, b"Received: from a (a [192.0.2.1]) by mx.example.com (Postern) with SMTP id 1; Mon, 02 Nov 2026 10:00:00 +0000\r\n" +
         signed(private, "ours", b"Back again.\r\n"))
    r = lab.outcome("ours")[0]
    assert r["outcome"] == "observed" and "journal" not in r, r
    send(lab, b"Received: from a (a [192.0.2.1]) by mx.example.org with SMTP id 1; Mon, 02 Nov 2026 10:00:00 +0000\r\n" +
         signed(private, "theirs", b"Another's.\r\n"))
    assert lab.outcome("theirs")[0]["journal"]["taken"]
    control = {c["name"]: c["value"] for c in lab.stats()["control"]}
    assert (control["journal_own"], control["journal_full"], control["journal_failed"]) == (1, 0, 0), control
    too_many(lab)
    # A next hop that is gone is counted, and holds up nothing.
    lab.stop("nexthop", signal.SIGKILL)
    send(lab, signed(private, "uncopied", b"Nobody takes it.\r\n"))
    r = lab.outcome("uncopied")[0]
    assert r["outcome"] == "observed" and not r["journal"]["taken"], r
    control = {c["name"]: c["value"] for c in lab.stats()["control"]}
    assert control["journal_failed"] == 1 and control["journaled"] >= 6 + MOST, control
    print("journaled: ok")


def encrypted(lab):
    c = labs.Smtp(lab, SERVER)
    c.cmd("EHLO tls.example.net")
    assert c.cmd("STARTTLS")[0] == 220
    c.sock.sendall(b"\x16\x03\x01\x00\x05hello")
    event = labs.wait_for("the encrypted session", lambda: next(
        (r for r in lab.trace() if r.get("event") == "encrypted"), None))
    assert event["mode"] == "tap" and event["helo"] == "tls.example.net" and event["peer"] == labs.CLIENT4, event
    c.close()
    print("encrypted: ok")


def aborted(lab):
    """The client goes in the middle: what there is is judged, no signature is."""
    c = labs.Smtp(lab, SERVER)
    for line in ("EHLO mail.example.net", "MAIL FROM:<alice@example.net>", "RCPT TO:<bob@example.com>", "DATA"):
        c.cmd(line)
    c.send(b"Message-ID: <aborted@example.net>\r\nDKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=s1; h=from; "
           b"bh=AAAA; b=AAAA\r\nFrom: a@example.net\r\n\r\nhalf a mess")
    time.sleep(0.2)
    c.close()
    r = lab.outcome("aborted")[0]
    assert r["outcome"] == "observed" and not r["complete"] and r["incomplete"] == "aborted", r
    assert r["server_reply"] is None and r["judged"]["spf"]["result"] == "pass", r
    assert r["judged"]["dkim"] == [] and r["judged"]["not_evaluated"] == ["dkim", "arc", "dmarc"], r["judged"]
    assert "journal" not in r
    print("aborted: ok")


def without_control(lab, private):
    """Killed in the middle of everything: messages are counted, and with the next one they are judged again."""
    was = lab.counters()
    lab.stop("control", signal.SIGKILL)
    time.sleep(1.5)
    for i in range(3):
        send(lab, signed(private, f"alone{i}", b"Nobody judges it.\r\n"))
    lab.start_control()
    lab.wait_ready()
    send(lab, signed(private, "again", b"Somebody does.\r\n"))
    assert lab.outcome("again")[0]["outcome"] == "observed"
    now = lab.counters()
    assert now["tap_unjudged_control"] - was["tap_unjudged_control"] == 3, now["tap_unjudged_control"]
    assert now["tap_messages"] - was["tap_messages"] == 4, now["tap_messages"]
    assert not any("alone" in str(r.get("message_id")) for r in lab.trace())
    print("without control: ok")


def too_large(lab):
    """Over max-message: told by its envelope, and not judged."""
    was = lab.counters()["tap_unjudged_size"]
    send(lab, b"Message-ID: <huge@example.net>\r\n\r\n" + (b"y" * 70 + b"\r\n") * 14000, pace=0.02)
    r = labs.wait_for("its record", lambda: next((r for r in lab.trace() if r.get("outcome") == "unjudged"), None))
    assert r["unjudged"] == "size" and r["mail_from"] == "alice@example.net" and r["rcpt"] == "bob@example.com", r
    assert lab.counters()["tap_unjudged_size"] == was + 1
    print("too large: ok")


def dumped(lab, pcap):
    """What --tap-dump says of the messages in a capture."""
    out = labs.run(labs.build_dir() / "dataplane/postern-dataplane", "-l", "0", "--no-huge", "-m", "512", "--no-pci",
                   "--no-telemetry", "--file-prefix", f"tapdump{os.getpid()}", "--vdev", f"net_pcap0,rx_pcap={pcap}", "--",
                   "--tap-dump", timeout=120).stdout
    lines = [json.loads(x) for x in out.splitlines() if x.startswith("{")]
    return sorted(repr((m["flow"], m["mail_from"], m["rcpt_to"], m["size"], m["complete"], m.get("incomplete"), m["reply"],
                        m["anomalies"])) for m in lines if m["type"] == "message")


def recorded(lab):
    messages = {}
    for r in lab.trace():
        if r.get("outcome") not in ("observed", "unjudged"):
            continue
        one = messages.setdefault(r["trace_id"], (r, []))
        one[1].extend([r["rcpt"]] if r["rcpt"] else [])

    def end(ip, port):
        return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
    return sorted(repr((f"{end(r['peer'], r['peer_port'])}>{end(r['server'], r['server_port'])}", r["mail_from"], rcpts,
                        r["size"], r["complete"], r.get("incomplete"), r["server_reply"], r["anomalies"]))
                  for r, rcpts in messages.values()), [r for r, _ in messages.values()]


def captured(lab, workers, options, seed, whole=False):
    """A file waits for control, and the live role says of it what --tap-dump says."""
    pcap = lab.dir / f"{seed}.pcap"
    labs.run(labs.build_dir() / "bench/pcapgen/pcapgen", "-o", pcap, "-b", lab.dir / f"{seed}.book", "--sessions", "150",
             "--seed", seed, "--size", "500-20k@80,20k-200k@20", *options)
    want = dumped(lab, pcap)
    lab.stop("control")
    lab.stop("dataplane")
    lab.dir.joinpath("trace.jsonl").unlink()
    lab.workers = workers
    lab.start_dataplane(["--tap-whole-queues"] if whole else [], role="tap", vdev=f"net_pcap0,rx_pcap={pcap}")
    lab.configure(journal=False)
    time.sleep(1)
    lab.start_control()
    lab.wait_ready()
    try:
        labs.wait_for("all messages", lambda: len(recorded(lab)[0]) >= len(want), 60)
    except TimeoutError as e:
        raise TimeoutError(f"{e}: {len(recorded(lab)[0])} of {len(want)}; {lab.counters()}") from None
    time.sleep(2)
    got, records = recorded(lab)
    odd = [x for x in want if x not in got], [x for x in got if x not in want]
    assert got == want, f"{len(want)} and {len(got)} messages; not there: {odd[0][:5]}; too many: {odd[1][:5]}"
    assert all(r["outcome"] == "observed" for r in records), "a file need not be read faster than it is judged"
    assert any(not r["complete"] for r in records) and any(r["complete"] for r in records)
    counters = lab.counters()
    assert counters["tap_messages"] == len(want), (counters["tap_messages"], len(want))
    if whole:
        assert counters["steer_in"] == counters["steer_out"] == 0, "whose queue it is, watches"
    else:
        assert workers == 1 or counters["steer_in"] > 100, "both workers had flows"
    print(f"captured, {workers} worker(s){', whole queues' if whole else ''}, {len(want)} messages: ok")


def beside_a_gateway():
    """One dataplane on both sides of the mirror: what its gateway port takes its tap port watches."""
    with TapLab("tapg", arena_mb=32) as lab:
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        lab.start_sink()
        lab.write_config(verify="none", extra="tap { }")
        lab.start_dataplane(more=[(f"net_af_packet1,iface={lab.name}x0,framesz=2048,blocksz=65536,framecnt=1024", "tap")])
        lab.start_control()
        lab.wait_ready()
        c = labs.Smtp(lab)
        for line in ("EHLO mail.example.net", "MAIL FROM:<a@example.net>", "RCPT TO:<bob@example.com>", "DATA"):
            assert c.cmd(line)[0] in (250, 354), line
        c.send(b"Message-ID: <both@example.net>\r\nFrom: a@example.net\r\n\r\nSeen twice.\r\n.\r\n")
        reply = c.reply()
        assert reply[0] == 250, reply
        c.cmd("QUIT")
        c.close()
        records = {r["outcome"]: r for r in lab.outcome("both", 2)}
        assert set(records) == {"delivered", "observed"}, records
        seen = records["observed"]
        assert seen["server"] == labs.GATEWAY4 and seen["peer"] == labs.CLIENT4 and seen["route"] == "office", seen
        assert seen["server_reply"] == reply[1][-1] and records["delivered"]["trace_id"] in seen["server_reply"], seen
        assert seen["judged"]["spf"]["result"] == "pass" and "mode" not in records["delivered"]
        assert len(lab.inbox()) == 1, "an observed message is not delivered"
        assert lab.sent_by_tap(3) == 0 and lab.sent_by_tap(2) > 0
    print("beside a gateway: ok")


def main():
    beside_a_gateway()
    with TapLab("tap", arena_mb=32) as lab:
        lab.addr("mail", f"{lab.name}m0", f"{SERVER}/24")
        private, public = key(lab.dir)
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'
                       f's1._domainkey IN TXT "v=DKIM1; k=rsa; p={public[:200]}" "{public[200:]}"\n'
                       '_dmarc IN TXT "v=DMARC1; p=reject"\n'})
        labs.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", lab.dir / "key.pem", "-out",
                 lab.dir / "crt.pem", "-days", "2", "-subj", "/CN=server.example.com")
        (lab.dir / "tls.pem").write_text((lab.dir / "key.pem").read_text() + (lab.dir / "crt.pem").read_text())
        postfix.Postfix(lab, "mail", "server", "server.example.com",
                        "default_transport = discard:\nrelay_transport = discard:\nlocal_transport = discard:\n"
                        f"smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {lab.dir}/tls.pem\n"
                        "smtpd_recipient_restrictions = check_recipient_access inline:{no@example.com=REJECT}, "
                        "permit_mynetworks, reject")
        lab.start_sink()
        lab.configure()
        lab.start_dataplane(role="tap", vdev=lab.vdev(framecnt=4096))
        lab.start_control()
        lab.wait_ready()
        judged_as_the_true_client(lab, private)
        scanned(lab, private)
        journaled(lab, private)
        encrypted(lab)
        aborted(lab)
        too_large(lab)
        without_control(lab, private)
        assert lab.sent_by_tap() == 0, "a tap port sent something"
        captured(lab, 1, ["--plant", "all"], 7)
        captured(lab, 2, ["--plant", "lost=5,reorder=10,tiny=5,fragments=5", "--with", "bdat=30,qinq=20"], 9)
        captured(lab, 2, ["--plant", "lost=5,fragments=5"], 11, whole=True)
    print("tap: ok")


if __name__ == "__main__":
    main()
