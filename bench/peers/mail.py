# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""What is sent through all relays: messages of one size from many domains, signed by a key of the run, and the zones in
which the domains have SPF, DKIM and DMARC records."""

import pathlib
import re
import sys

import dkim

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "micro"))
import scan_mail  # noqa: E402

DOMAINS, PER_DOMAIN = 20, 5
SELECTOR = "s1"
RCPT = "b@example.com"
ID = "0" * 16  # bench/clients/mailer puts its own there
# The Message-ID is not among them: it differs each time that a message is sent.
SIGNED = [b"from", b"to", b"subject", b"date", b"mime-version", b"content-type"]
HEADER = ("From: {name} <sender@{domain}>\r\nTo: <{rcpt}>\r\nSubject: {subject}\r\n"
          "Date: Fri, 27 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{id}.{number}@{domain}>\r\nMIME-Version: 1.0\r\n"
          "Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n")
SEALER = "example.com"


def domain(i):
    return f"d{i}.example.net"


def text_record(text):
    """Of at most 255 octets a string."""
    return " ".join(f'"{s}"' for s in re.findall(".{1,255}", text))


def key_record(public):
    """public: PEM."""
    return text_record("v=DKIM1; k=rsa; p=" + "".join(re.findall(r"^[A-Za-z0-9+/=]+$", public, re.M)))


def zones(public, clients):
    """{origin: text}. SPF asks include, a and mx, which is the client. clients: IPv4 addresses; all have a name."""
    z = ["$TTL 86400", *(f"mail IN A {c}" for c in clients)]
    for i in range(DOMAINS):
        d = f"d{i}"
        z += [f'{d} IN TXT "v=spf1 include:spf.{d}.example.net a mx -all"', f"{d} IN A 192.0.2.80",
              f"{d} IN MX 10 mx.{d}", *(f"mx.{d} IN A {c}" for c in clients),
              f'spf.{d} IN TXT "v=spf1 ip4:198.18.0.0/24 -all"',
              f"{SELECTOR}._domainkey.{d} IN TXT {key_record(public)}", f'_dmarc.{d} IN TXT "v=DMARC1; p=reject"']
    out = {"example.net": "\n".join(z),
           SEALER: f"$TTL 86400\n{SELECTOR}._domainkey IN TXT {key_record(public)}"}
    for c in clients:
        a, b, e, last = c.split(".")
        out[f"{e}.{b}.{a}.in-addr.arpa"] = f"$TTL 86400\n{last} IN PTR mail.example.net."
    return out


def body(writer, size):
    """Prose in lines, of `size` octets."""
    lines, n = [], 0
    while n < size:
        for line in [*scan_mail.wrap(writer.paragraph()).split("\n"), ""]:
            lines.append(line)
            n += len(line) + 2
    return "\r\n".join(lines)[:size - 2].rstrip("\r\n. ").ljust(size - 2, "-") + "\r\n"


def compose(number, size, with_text=""):
    """Not signed yet: room for the signature is left of the size."""
    w = scan_mail.Mail(f"peers {number}")
    d = domain(number % DOMAINS)
    head = HEADER.format(name="Sender", domain=d, rcpt=RCPT, subject=f"report {number}", id=ID, number=number)
    more = with_text + "\r\n" if with_text else ""
    return (head + more + body(w, max(size - len(head) - len(more) - 620, 100))).encode("ascii", "replace")


def holds(message, literals):
    small = message.lower()
    return any(x in small for x in literals)


def signed(message, number, private):
    return dkim.sign(message, SELECTOR.encode(), domain(number % DOMAINS).encode(), private, include_headers=SIGNED,
                     canonicalize=(b"relaxed", b"relaxed")) + message


def make(directory, size, literals, private):
    """Writes messages of which none has a literal, and one that has. Two lists for mailer: these, and that one."""
    directory.mkdir(parents=True)
    rows, number = [], 0
    while len(rows) < DOMAINS * PER_DOMAIN:
        message = compose(number, size)
        if not holds(message, literals):
            rows.append(write(directory, signed(message, number, private), number))
        number += 1
    (directory / "list").write_text("".join(rows))
    hit = signed(compose(number, size, literals[0].decode("ascii")), number, private)
    (directory / "hit").write_text(write(directory, hit, number))
    return directory / "list", directory / "hit"


def write(directory, message, number):
    path = directory / f"{number}.eml"
    path.write_bytes(message)
    return f"{path}\tsender@{domain(number % DOMAINS)}\n"
