#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Every case of docs/spoofing.md through a running gateway, under each setting of policy.dmarc: what
the client hears, what was judged, and what the next hop gets."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402

sys.path.insert(0, str(labs.ROOT / "tests/conformance"))
import sender_spoofing as spoofing  # noqa: E402


class Gateway(spoofing.Lab):
    attacker, rcpt = labs.CLIENT4, "user@example.com"

    def __init__(self, lab, mode):
        self.lab, self.modes, self.malformed = lab, (mode,), 0
        super().__init__(str(lab.dir))

    def start(self):
        """The network is the caller's; keys and zones are made once for both settings."""

    def session(self):
        c = labs.Smtp(self.lab)
        assert c.cmd(f"EHLO {self.helo}")[0] == 250
        return c

    def mail(self, line):
        c = self.session()
        reply = c.cmd(f"MAIL FROM:{line}")[1][0]
        c.close()
        return reply, None

    @staticmethod
    def routed(path, mailbox):
        del mailbox
        return path

    def scan(self, message, sender, mode):
        had, n = set(self.lab.inbox()), len(self.lab.trace())
        c = self.session()
        for line, code in ((f"MAIL FROM:<{sender}>", 250), (f"RCPT TO:<{self.rcpt}>", 250), ("DATA", 354)):
            got = c.cmd(line)
            assert got[0] == code, (line, got)
        c.send(message + b".\r\n")
        reply = c.reply()[1][0]
        c.close()
        record = labs.wait_for("trace record", lambda: (t := self.lab.trace()) and len(t) > n and t[n])
        new = [p.read_bytes() for p in self.lab.inbox() if p not in had]
        # Delivered if and only if the client was told so.
        spoofing.check("delivered", len(new) == reply.startswith("250 "), reply, len(new))
        # Counted by its own name, and nothing else is.
        malformed = self.counter("headers_malformed")
        spoofing.check("counter", malformed - self.malformed == ("malformed or oversized header" in reply), reply,
                       malformed - self.malformed)
        self.malformed = malformed
        r = dict(record.get("judged") or {})
        r["reply"] = reply
        r["headers"] = [f for f in self.fields(new[0]) if f.startswith("Authentication-Results:")] if new else []
        for data in new:
            spoofing.check("bytes", data.endswith(message), "the message was changed")
        return r

    def counter(self, name):
        return next(c["value"] for c in self.lab.stats()["control"] if c["name"] == name)

    @staticmethod
    def fields(data):
        head = data.split(b"\r\n\r\n", 1)[0].decode("latin-1")
        return head.replace("\r\n\t", " ").replace("\r\n ", " ").split("\r\n")


def configure(lab, mode):
    lab.write_config(policy=f'allow = ["0.0.0.0/0"]; dmarc = "{mode}"')


def main():
    labs.need_root()
    rc = 0
    with labs.Lab("psp") as lab:
        gateways = [Gateway(lab, mode) for mode in spoofing.Lab.modes]
        gateways[1].pem = gateways[0].pem
        lab.start_dns(gateways[0].zones)
        lab.start_sink()
        configure(lab, gateways[0].modes[0])
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        for g in gateways:
            configure(lab, g.modes[0])
            lab.ctl("config", "reload")
            lab.wait_ready()
            g.malformed = g.counter("headers_malformed")
            print(f"policy.dmarc = {g.modes[0]}:")
            rc |= spoofing.run(g, list(spoofing.CASES))
            spoofing.failures.clear()
    return rc


if __name__ == "__main__":
    sys.exit(main())
