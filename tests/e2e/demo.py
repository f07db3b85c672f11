#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The demonstration behind ./quickstart: one signed message from a client through the gateway to a
next hop, and a reading of what arrived. Exit 0 only if the message is there, its body is what was
sent, and dkimpy and Mail::DKIM both verify it as delivered.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lab as labs  # noqa: E402

SENDER = "example.net"
MESSAGE = """From: Alice <alice@example.net>
To: Bob <bob@example.com>
Subject: A message through Postern
Date: {date}
Message-ID: <demo-{n}@example.net>
MIME-Version: 1.0
Content-Type: text/plain; charset=us-ascii

Greetings from the demo.

.a line that begins with a dot
From the first octet to the last, this text arrives as it was sent.
"""


def zones(pubkey):
    chunks = [pubkey[i:i + 200] for i in range(0, len(pubkey), 200)]
    key = " ".join(f'"{c}"' for c in ["v=DKIM1; k=rsa; p=" + chunks[0], *chunks[1:]])
    return {
        SENDER: f'@ IN MX 10 mail\n@ IN TXT "v=spf1 ip4:{labs.CLIENT4} ip6:{labs.CLIENT6} -all"\n'
                f"mail IN A {labs.CLIENT4}\nmail IN AAAA {labs.CLIENT6}\n"
                f'mail IN TXT "v=spf1 a -all"\n'
                f"demo._domainkey IN TXT {key}\n"
                f'_dmarc IN TXT "v=DMARC1; p=reject"\n',
        "2.0.192.in-addr.arpa": f"{labs.CLIENT4.split('.')[3]} IN PTR mail.{SENDER}.\n",
    }


def make_key(directory):
    """A fresh RSA key; returns (private key file, base64 of the public key)."""
    private = directory / "dkim.key"
    labs.run("openssl", "genrsa", "-out", private, "2048")
    public = subprocess.run(["openssl", "rsa", "-in", private, "-pubout"], check=True,
                            capture_output=True, text=True)
    return private, "".join(public.stdout.splitlines()[1:-1])


def sign(text, private, selector=b"demo", domain=SENDER):
    import dkim
    raw = text.replace("\n", "\r\n").encode()
    header = dkim.sign(raw, selector, domain.encode(), private.read_bytes(),
                       canonicalize=(b"simple", b"simple"),
                       include_headers=[b"from", b"to", b"subject", b"date", b"message-id"])
    return header + raw


def dkimpy_verifies(raw, pubkey):
    import dkim
    return dkim.verify(raw, dnsfunc=lambda name, timeout=5: b"v=DKIM1; k=rsa; p=" + pubkey.encode())


def mail_dkim_verifies(lab, path):
    """Mail::DKIM, asking the lab's own name server."""
    script = ('use Mail::DKIM::Verifier; use Mail::DKIM::DNS; use Net::DNS::Resolver; '
              f'Mail::DKIM::DNS::resolver(Net::DNS::Resolver->new(nameservers => ["{labs.DNS4}"])); '
              'my $v = Mail::DKIM::Verifier->new; open(my $f, "<:raw", $ARGV[0]) or die; '
              'local $/; $v->PRINT(<$f>); $v->CLOSE; print $v->result;')
    return lab.in_ns("hop", "perl", "-e", script, path, check=False).stdout.strip()


def say(text):
    print(text, flush=True)


def send(lab, raw):
    path = lab.dir / "sample.eml"
    path.write_bytes(raw.removesuffix(b"\r\n"))  # swaks ends the last line itself
    return lab.in_ns("client", "swaks", "--server", labs.GATEWAY4, "--helo", f"mail.{SENDER}",
                     "--from", f"alice@{SENDER}", "--to", "bob@example.com",
                     "--data", f"@{path}", "--timeout", "30", check=False, timeout=90)


def header_block(raw):
    """Our block: everything above the first field that the sender wrote."""
    head = raw.split(b"\r\n\r\n", 1)[0]
    return head[:head.find(b"\r\nDKIM-Signature:")].decode("latin-1") if b"\r\nDKIM-Signature:" in head \
        else head.decode("latin-1")


def read_out(lab, sent, raw, pubkey):
    record = (lab.trace() or [{}])[-1]
    judged = record.get("judged", {})
    path = lab.dir / "delivered.eml"
    path.write_bytes(raw)
    unchanged = raw.endswith(sent)
    py = dkimpy_verifies(raw, pubkey)
    perl = mail_dkim_verifies(lab, path)
    say("\n---- what the next hop got in front of the message ----------------------------------")
    say(header_block(raw).replace("\r\n", "\n"))
    say("-------------------------------------------------------------------------------------")
    o = judged.get("origin", {})
    say(f"  who connected    {record.get('peer')} ({o.get('ptr') or 'no PTR'}), HELO {record.get('helo')}")
    say(f"  original sender  {o.get('ip')}, {o.get('status')}")
    say(f"  spf              {judged.get('spf', {}).get('result')} for {judged.get('spf', {}).get('domain')}")
    for d in judged.get("dkim", []):
        say(f"  dkim             {d['result']} d={d['domain']} s={d['selector']} {d['algorithm']}")
    say(f"  rules hit        {', '.join(m['rule'] for m in judged.get('matches', [])) or 'none'}")
    say(f"  bytes unchanged  {'yes' if unchanged else 'NO'}: the delivered message is our block and then "
        f"the {len(sent)} octets that were sent")
    say(f"  proof            dkimpy: {'pass' if py else 'FAIL'}; Mail::DKIM: {perl}")
    return unchanged and py and perl == "pass" and judged.get("spf", {}).get("result") == "pass" \
        and [d["result"] for d in judged.get("dkim", [])] == ["pass"]


def start(lab):
    private, pubkey = make_key(lab.dir)
    say("   name server (NSD) with the sender's SPF, DKIM key and DMARC")
    lab.start_dns(zones(pubkey))
    say("   next hop")
    lab.start_sink()
    say("   postern-dataplane on a software port (net_af_packet)")
    lab.write_config()
    lab.start_dataplane()
    say("   postern-control")
    lab.start_control()
    lab.wait_ready()
    return private, pubkey


def demo(lab):
    private, pubkey = start(lab)
    text = MESSAGE.format(date=time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime()), n=int(time.time()))
    sent = sign(text, private)
    say("   sending with swaks from " + labs.CLIENT4)
    r = send(lab, sent)
    (lab.dir / "swaks.log").write_text(r.stdout)
    if r.returncode:
        say(r.stdout)
        return False
    got = labs.wait_for("the message at the next hop", lab.inbox, 10)
    labs.wait_for("the trace record", lab.trace, 10)
    return read_out(lab, sent, got[-1].read_bytes(), pubkey)


def down(name):
    for pidfile in pathlib.Path("/run/postern-quickstart").glob("*.pid"):
        try:
            os.killpg(int(pidfile.read_text()), 15)
        except (ValueError, ProcessLookupError):
            pass
    time.sleep(0.5)
    labs.Lab(name, workdir="/run/postern-quickstart").down_network()
    shutil.rmtree("/run/postern-quickstart", ignore_errors=True)
    say("the lab is gone")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--keep", action="store_true")
    p.add_argument("--down", action="store_true")
    args = p.parse_args()
    if args.down:
        down("psq")
        return 0
    if os.path.exists("/run/postern-quickstart"):
        down("psq")
    lab = labs.Lab("psq", workdir="/run/postern-quickstart", arena_mb=64)
    lab.hugepages = bool(os.environ.get("POSTERN_HUGEPAGES"))
    if lab.hugepages and labs.free_hugepages() < 200:
        labs.skip("fewer than 200 free huge pages: echo 256 >/proc/sys/vm/nr_hugepages")
    ok = False
    try:
        lab.up()
        ok = demo(lab)
    except Exception as e:  # noqa: BLE001: whatever it was, the operator wants the logs
        say(f"FAILED: {e}")
        for name in ("dataplane", "control", "nexthop", "nsd"):
            say(f"---- {name}.log\n{lab.log(name)[-2000:]}")
    if args.keep and ok:
        for name, proc in lab.procs.items():
            (lab.dir / f"{name}.pid").write_text(str(proc.pid))
        ctl = f"{labs.build_dir()}/control/cli/posternctl --socket {lab.dir}/control.sock"
        say(f"\nThe lab stays up. Talk to it:\n"
            f"  sudo {ctl} show status\n  sudo {ctl} trace\n"
            f"  sudo ip netns exec {lab.ns['client']} swaks --server {labs.GATEWAY4} "
            f"--from alice@{SENDER} --to bob@example.com\n"
            f"  delivered messages: {lab.dir}/inbox\n  logs: {lab.dir}/*.log\n"
            f"  remove it: sudo ./quickstart --down")
        return 0
    lab.close()
    if ok:
        shutil.rmtree(lab.dir, ignore_errors=True)
    say("\nIt works." if ok else f"\nIt does NOT work; logs are in {lab.dir}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
