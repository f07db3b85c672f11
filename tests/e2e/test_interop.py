#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The clients that deliver mail on the Internet → gateway → next hop, each with what it can do, and
the gateway → Exim and OpenSMTPD as next hops. Every message once, as it was sent, below our block;
the table at the end is the one of docs/smtp.md."""
import concurrent.futures
import os
import smtplib
import ssl
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import interop  # noqa: E402
import lab as labs  # noqa: E402
import peers  # noqa: E402
import postfix  # noqa: E402
from interop import NAME, SECOND, WRONG, Message, SClient  # noqa: E402

# What the server must announce. A keyword that is missing here and there makes its cells "not
# announced"; one that is missing there only is an error.
REQUIRED = {"PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES", "STARTTLS", "CHUNKING", "LIMITS", "SMTPUTF8"}

BALANCER, FRONT = "192.0.2.12", "192.0.2.13"  # may send a PROXY header; may use XCLIENT
CLIENT = "203.0.113.7"                        # whom they name
BIG = 5_000_000
MANY = [f"many.{i}@example.com" for i in range(50)]
UTF8 = ("jörg@example.net", "büro@example.com")
V6 = f"{labs.GATEWAY6}"
SINK_EHLO = "\r\n".join(("250-hop.example.com", "250-PIPELINING", "250-SIZE 104857600", "250-ENHANCEDSTATUSCODES",
                         "250-SMTPUTF8", "250 8BITMIME"))


class Setup:
    """The lab, its matrix, its certificates, and the peers that could be had."""

    def __init__(self, lab):
        self.lab, self.pki, self.m, self.peers, self.stop = lab, lab.dir / "pki", None, {}, []


# ---- swaks -------------------------------------------------------------------------------
def swaks(s, message, *options, source=labs.CLIENT4, server=labs.GATEWAY4):
    f = s.lab.dir / f"{message.id.strip('<>')}.swaks"
    f.write_bytes(message.wire.removesuffix(b"\r\n"))  # swaks ends the last line itself
    r = s.lab.in_ns("client", "swaks", "--server", server, "--local-interface", source, "--from", message.sender,
                    "--to", ",".join(message.to), "--helo", "client.example.net", "--timeout", "20", "--data",
                    f"@{f}", *options, check=False)
    if r.returncode:
        raise ConnectionError(f"swaks: exit {r.returncode}: {r.stdout[-300:]}")


def by_swaks(s):
    def case(feature, *options, source=labs.CLIENT4, server=labs.GATEWAY4, **kw):
        what = {k: kw.pop(k) for k in ("eight_bit", "to", "size") if k in kw}
        s.m.case("swaks", feature, lambda x: swaks(s, x, *options, source=source, server=server),
                 Message("swaks", feature, **what), **kw)

    s.m.versions["swaks"] = s.lab.in_ns("client", "swaks", "--version").stdout.split()[2]
    case("IPv4")
    case("IPv6", source=labs.CLIENT6, server=V6, ip=labs.CLIENT6)
    case("PIPELINING", "--pipeline", needs=["PIPELINING"], to=MANY[:10])
    case("8BITMIME", needs=["8BITMIME"], eight_bit=True)
    case("5 MB", size=BIG)
    tls = dict(needs=["STARTTLS"])
    case("STARTTLS", "--tls", tls=True, **tls)
    case("STARTTLS", "--tls", "--pipeline", tls=True, **tls)
    case("TLS 1.2", "--tls", "--tls-protocol", "tlsv1_2", tls="TLSv1.2", **tls)
    case("TLS 1.3", "--tls", "--tls-protocol", "tlsv1_3", tls="TLSv1.3", **tls)
    case("verified", "--tls", "--tls-verify", "--tls-ca-path", s.pki / "ca.pem", tls=True, **tls)
    if s.m.offers("swaks", "verified", ["STARTTLS"]):
        with s.m.cell("swaks", "verified"):
            try:
                swaks(s, Message("swaks", "distrusted"), "--tls", "--tls-verify", "--tls-ca-path", s.pki / "other-ca.pem")
            except ConnectionError:
                pass
            else:
                raise AssertionError("verified against the wrong CA")
    case("XCLIENT", "--xclient-addr", CLIENT, "--xclient-name", "client.example.net", source=FRONT, ip=CLIENT)
    proxy = ["--proxy-source", CLIENT, "--proxy-source-port", "4711", "--proxy-dest", labs.GATEWAY4,
             "--proxy-dest-port", "25"]
    one = ["--proxy-version", "1", "--proxy-family", "TCP4", *proxy]
    two = ["--proxy-version", "2", "--proxy-command", "PROXY", "--proxy-protocol", "STREAM", "--proxy-family",
           "AF_INET", *proxy]
    for options in (one, two):
        case("PROXY", *options, source=BALANCER, ip=CLIENT)
        case("PROXY", "--tls", *options, source=BALANCER, ip=CLIENT, tls=True, **tls)


# ---- Postfix, Exim, OpenSMTPD --------------------------------------------------------------
def submit(s, port):
    """To the relay's own port in the client's namespace."""
    def send(message):
        with labs.in_netns(s.lab.ns["client"]):
            c = smtplib.SMTP("127.0.0.1", port, local_hostname="submit.example.net", timeout=30)
        c.ehlo()
        options = ["BODY=8BITMIME"] if not message.wire.isascii() else []
        if not (message.sender + "".join(message.to)).isascii():
            options.append("SMTPUTF8")
        refused = c.sendmail(message.sender, message.to, message.wire, options)
        assert not refused, refused
        c.quit()
    return send


def relay_cases(s, name, port, utf8=True, **only):
    """Alike for all three: the recipient's local part chooses the way, see the configurations."""
    m, send, relayed = s.m, submit(s, port), dict(relayed=True)

    def to(way):
        return f"{way}@example.com"

    m.case(name, "IPv4", send, Message(name, "plain", to=to("plain")), **relayed)
    m.case(name, "IPv6", send, Message(name, "v6", to=to("v6")), ip=labs.CLIENT6, **relayed)
    m.case(name, "PIPELINING", send, Message(name, "pipelining", to=MANY[:10]), needs=["PIPELINING"], **relayed)
    m.case(name, "8BITMIME", send, Message(name, "8bit", to=to("plain"), eight_bit=True), needs=["8BITMIME"], **relayed)
    m.case(name, "5 MB", send, Message(name, "big", to=to("plain"), size=BIG), **relayed)
    m.case(name, "50 recipients", send, Message(name, "many", to=MANY), **relayed)
    tls = dict(needs=["STARTTLS"], **relayed)
    m.case(name, "STARTTLS", send, Message(name, "may", to=to("may")), tls=True, **tls)
    m.case(name, "STARTTLS", send, Message(name, "may", to=to("may"), size=BIG), tls=True, **tls)
    m.case(name, "verified", send, Message(name, "verify", to=to("verify")), tls=True, **tls)
    m.refuses(name, "verified", send, Message(name, "wrong", to=to("wrong")), ["STARTTLS"])
    for way, version in (("tls12", "TLSv1.2"), ("tls13", "TLSv1.3")):
        if way in only.get("versions", ("tls12", "tls13")):
            m.case(name, f"TLS {version[-3:]}", send, Message(name, way, to=to(way)), tls=version, **tls)
    if utf8:
        m.case(name, "SMTPUTF8", send, Message(name, "utf8", to=UTF8[1], sender=UTF8[0], utf8=True),
               utf8=True, needs=["SMTPUTF8"], **relayed)


def reused(s, name, port, to, feature):
    """Ten messages of a queue by fewer connections."""
    messages = [Message(name, "reuse", to=to) for _ in range(10)]
    send = submit(s, port)
    for x in messages:
        s.m.case(name, feature, send, x, relayed=True)
    ids = {x.id for x in messages}

    def few():
        ports = {(t["peer"], t["peer_port"]) for t in s.lab.trace() if t["message_id"] in ids}
        assert 0 < len(ports) < len(messages), f"{len(ports)} connections for {len(messages)} messages"
    return (name, feature, few)


def start_postfix(s):
    base = "unix - - n - - smtp -o "
    level = "smtp_tls_security_level="
    ways = {"may": level + "may", "v6": level + "none",
            "verify": level + f"secure -o smtp_tls_secure_cert_match={NAME}",
            "wrong": level + f"secure -o smtp_tls_secure_cert_match={WRONG}",
            "tls12": level + "encrypt -o smtp_tls_mandatory_protocols=TLSv1.2",
            "tls13": level + "encrypt -o smtp_tls_mandatory_protocols=TLSv1.3"}
    maps = " ".join("{ %s@example.com = %s:[%s] }" % (w, w, V6 if w == "v6" else labs.GATEWAY4) for w in ways)
    extra = (f"relayhost = [{labs.GATEWAY4}]\ninet_protocols = all\nmynetworks = 127.0.0.0/8\n"
             f"smtp_tls_security_level = none\nsmtp_connection_cache_destinations = {labs.GATEWAY4}\n"
             f"transport_maps = inline:{{ {maps} }}\nsmtp_bind_address = {labs.CLIENT4}\n"
             f"smtp_bind_address6 = {labs.CLIENT6}\nsmtp_tls_CAfile = {s.pki}/ca.pem\n")
    p = postfix.Postfix(s.lab, "client", "sender", "mail.example.net", extra,
                        [f"{w} {base}{o}" for w, o in ways.items()])
    s.stop.append(p.stop)
    s.m.versions["Postfix"] = s.lab.in_ns("client", "postconf", "-h", "mail_version").stdout.strip()


def by_postfix(s):
    relay_cases(s, "Postfix", 25)
    return [reused(s, "Postfix", 25, "plain@example.com", "reuse")]


def ca_files(s):
    return {"etc/ca.pem": (s.pki / "ca.pem").read_text(),
            "etc/ssl/certs/ca-certificates.crt": (s.pki / "ca.pem").read_text(),
            "etc/hosts": f"127.0.0.1 localhost\n{labs.GATEWAY4} {NAME} {WRONG}\n"}


def start_exim(s):
    must = ["hosts_require_tls = *"]
    verify = [*must, "tls_verify_certificates = /etc/ca.pem", "tls_verify_hosts = *", "tls_verify_cert_hostnames = *"]
    clear, priority = ["hosts_avoid_tls = *"], "tls_require_ciphers = NORMAL:-VERS-ALL:+VERS-"
    named = {"may": (labs.GATEWAY4, []), "plain": (labs.GATEWAY4, clear + ["hosts_try_chunking ="]),
             "v6": (V6, clear), "verify": (NAME, verify), "wrong": (WRONG, verify),
             "tls12": (labs.GATEWAY4, [*must, priority + "TLS1.2"]),
             "tls13": (labs.GATEWAY4, [*must, priority + "TLS1.3"]),
             "chunks": (labs.GATEWAY4, clear), "tlschunks": (labs.GATEWAY4, must), "rest": (labs.GATEWAY4, clear)}
    s.peers["Exim"] = peers.Exim(s.lab, "client", "send", "exim.example.net", "127.0.0.1", 2525, named, ca_files(s),
                                 "log_selector = +pipelining +outgoing_port")
    s.m.versions["Exim"] = s.peers["Exim"].version()


def exim_line(s, message, *needed):
    """What Exim's log says of a delivery: L pipelining, K chunking, CV=yes a verified certificate."""
    log = s.peers["Exim"].mainlog()
    own = next((x.split()[2] for x in log if f"id={message.id.strip('<>')}" in x), None)
    line = next((x for x in log if f" {own} =>" in x), "")
    assert all(n in line.split() for n in needed), f"no {needed} in: {line!r}"


def by_exim(s):
    relay_cases(s, "Exim", 2525)
    later, send = [], submit(s, 2525)
    for way, tls in (("chunks", None), ("tlschunks", True)):
        for size in (0, BIG):
            x = Message("Exim", way, to=f"{way}@example.com", size=size, eight_bit=True)
            needs = ["CHUNKING"] + ["STARTTLS"] * bool(tls)
            s.m.case("Exim", "CHUNKING", send, x, needs=needs, tls=tls, relayed=True)
            if s.m.keywords.issuperset(needs):
                later.append(("Exim", "CHUNKING", lambda x=x: exim_line(s, x, "K")))
    for feature, way, sign, needs in (("PIPELINING", "plain", "L", "PIPELINING"), ("verified", "verify", "CV=yes", "STARTTLS")):
        if needs in s.m.keywords:
            x = Message("Exim", feature, to=f"{way}@example.com")
            s.m.case("Exim", feature, send, x, needs=[needs], tls=way == "verify", relayed=True)
            later.append(("Exim", feature, lambda x=x, sign=sign: exim_line(s, x, sign)))
    return later


def start_opensmtpd(s):
    urls = {"plain": f"smtp+notls://{labs.GATEWAY4}", "v6": f"smtp+notls://[{V6}]", "may": f"smtp://{labs.GATEWAY4}",
            "verify": f"smtp+tls://{NAME}", "wrong": f"smtp+tls://{WRONG}", "rest": f"smtp+notls://{labs.GATEWAY4}"}
    ways = {way: f'host "{url}"' for way, url in urls.items()}
    s.peers["OpenSMTPD"] = peers.OpenSmtpd(s.lab, "client", "send", "smtpd.example.net", "127.0.0.1", 2526, ways,
                                           ca_files(s))
    s.m.versions["OpenSMTPD"] = s.peers["OpenSMTPD"].version()


def by_opensmtpd(s):
    relay_cases(s, "OpenSMTPD", 2526, utf8=False, versions=())
    return [reused(s, "OpenSMTPD", 2526, "plain@example.com", "reuse")]


# ---- smtplib, s_client, BDAT -----------------------------------------------------------------
def smtplib_send(s, message, address=labs.GATEWAY4, starttls=False, options=()):
    with labs.in_netns(s.lab.ns["client"]):
        c = smtplib.SMTP(local_hostname="client.example.net", timeout=30)
        c.connect(address, 25)
    if starttls:
        c._host = NAME  # whom the certificate is for: the address has no name here
        c.starttls(context=ssl.create_default_context(cafile=s.pki / "ca.pem"))
    c.ehlo()
    assert not c.sendmail(message.sender, message.to, message.wire, list(options))
    c.quit()


def by_smtplib(s):
    def case(feature, message, *, address=labs.GATEWAY4, starttls=False, options=(), **kw):
        s.m.case("Python smtplib", feature, lambda x: smtplib_send(s, x, address, starttls, options), message,
                 tls=starttls, **kw)

    s.m.versions["Python smtplib"] = sys.version.split()[0]
    name, tls = "smtplib", dict(starttls=True)
    case("IPv4", Message(name, "plain"))
    case("IPv6", Message(name, "v6"), address=V6, ip=labs.CLIENT6)
    case("8BITMIME", Message(name, "8bit", eight_bit=True), options=["BODY=8BITMIME"], needs=["8BITMIME"])
    case("5 MB", Message(name, "big", size=BIG))
    case("50 recipients", Message(name, "many", to=MANY))
    case("STARTTLS", Message(name, "starttls", eight_bit=True), needs=["STARTTLS"], **tls)
    case("STARTTLS", Message(name, "starttls", size=BIG), needs=["STARTTLS"], **tls)
    case("verified", Message(name, "verified"), needs=["STARTTLS"], **tls)
    utf8 = dict(utf8=True, options=["SMTPUTF8", "BODY=8BITMIME"])
    case("SMTPUTF8", Message(name, "utf8", utf8=True, sender=UTF8[0], to=UTF8[1]), needs=["SMTPUTF8"], **utf8)
    case("SMTPUTF8", Message(name, "utf8", utf8=True, sender=UTF8[0], to=UTF8[1]), needs=["SMTPUTF8", "STARTTLS"],
         **tls, **utf8)


TLS_1_2 = {f"ECDHE-{a}-{short}": f"TLS_ECDHE_{a}_WITH_{long}" for a in ("ECDSA", "RSA") for short, long in (
    ("AES128-GCM-SHA256", "AES_128_GCM_SHA256"), ("AES256-GCM-SHA384", "AES_256_GCM_SHA384"),
    ("CHACHA20-POLY1305", "CHACHA20_POLY1305_SHA256"))}
TLS_1_2 |= {"ECDHE-RSA-AES256-SHA384": "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
            "ECDHE-RSA-AES128-SHA256": "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"}
KEYS = {"ECDSA": "ECDSA+SHA256", "RSA-PSS": "RSA-PSS+SHA256:RSA+SHA256"}  # type of signature -> what is asked for


def by_s_client(s):
    trust = ["-CAfile", s.pki / "ca.pem", "-verify_return_error"]

    def case(feature, *options, tls=True, fact="Verify return code: 0 (ok)", name=NAME):
        def send(message):
            c = SClient(s.lab, *trust, "-servername", name, "-verify_hostname", name, *options)
            c.deliver(message)
            assert fact in c.facts, f"no {fact!r} with {options}: {c.facts[-1500:]}"
        s.m.case("openssl s_client", feature, send, Message("s_client", feature), tls=tls, needs=["STARTTLS"])

    s.m.versions["openssl s_client"] = s.lab.in_ns("client", "openssl", "version").stdout.split()[1]
    case("STARTTLS")
    case("verified")
    for cipher, full in TLS_1_2.items():
        case("TLS 1.2", "-tls1_2", "-cipher", cipher, tls=full)
    for cipher in sorted(interop.CIPHERS["TLSv1.3"]):
        case("TLS 1.3", "-tls1_3", "-ciphersuites", cipher, tls=cipher)
    for kind, algorithms in KEYS.items():
        for version in ("-tls1_2", "-tls1_3"):
            case("ECDSA, RSA", version, "-sigalgs", algorithms, fact=f"Peer signature type: {kind}")
    for version in ("1_2", "1_3"):
        file = s.lab.dir / f"session-{version}"
        case("resumption", f"-tls{version}", "-sess_out", file, fact="New, TLSv")
        case("resumption", f"-tls{version}", "-sess_in", file, fact="Reused, TLSv")
    case("SNI", name=SECOND)


def by_bdat(s):
    def case(chunk, **kw):
        what = {k: kw.pop(k) for k in ("size", "to") if k in kw}
        s.m.case("raw socket", "CHUNKING", lambda x: interop.bdat(s.lab, x, chunk, **kw),
                 Message("bdat", f"chunk {chunk}", eight_bit=True, **what), needs=["CHUNKING"],
                 ip=labs.CLIENT6 if "address" in kw else labs.CLIENT4)
    for chunk in (7, 64, 511, 512, 513, 1460, 4096, 1 << 20):
        case(chunk)
        case(chunk, empty_last=True)
    case(1000, size=200_000, to=MANY[:10])
    for chunk in (16384, 65535, 65536, 65537, 1 << 20, BIG * 2):
        case(chunk, size=BIG if chunk > 100_000 else 400_000)
    case(1000, address=V6)


# ---- the gateway as a client ---------------------------------------------------------------
HOPS = {"Exim": ("exim.example", 2525, peers.Exim), "OpenSMTPD": ("smtpd.example", 2526, peers.OpenSmtpd)}


def routes():
    return "".join(f'route "{name}" {{ domains = ["{domain}"]; hosts = ["{labs.NEXTHOP4}:{port}"]; verify = "callout" }}\n'
                   for name, (domain, port, _) in HOPS.items())


def start_hop(s, name):
    domain, port, kind = HOPS[name]
    s.peers[f"→ {name}"] = kind(s.lab, "hop", "store", f"hop.{domain}", labs.NEXTHOP4, port)


def to_hop(s, name):
    """Sent by our own client; what is stored is the next hop's Received, our block and the message."""
    domain, hop = HOPS[name][0], s.peers[f"→ {name}"]
    s.m.versions[f"→ {name}"] = hop.version()
    kinds = {"IPv4": {}, "8BITMIME": {"eight_bit": True}, "5 MB": {"size": BIG},
             "50 recipients": {"to": [f"b.{i}@{domain}" for i in range(50)]}}
    for feature, what in kinds.items():
        with s.m.cell(f"→ {name}", feature):
            x = Message("hop", feature, **{"to": f"b@{domain}", **what})
            smtplib_send(s, x, options=["BODY=8BITMIME"])
            own = f"Message-ID: {x.id}\n".encode()

            def stored():
                got = [f.read_bytes() for f in hop.mail()]
                got = [raw for raw in got if own in raw]
                return got if len(got) >= len(x.to) else None
            got = labs.wait_for(f"{feature} in the mailbox", stored, 20)
            time.sleep(0.2)
            assert len(stored()) == len(got), "more copies than recipients"
            for raw in got:
                head, sep, rest = raw.partition(b"\nX-Postern-Original-Sender: ")
                assert sep and b"Received: " in head, raw[:300]
                assert rest.endswith(x.wire.replace(b"\r\n", b"\n")), "altered on the way"


# ---- all of it -----------------------------------------------------------------------------
def together(*functions):
    """Each in a thread of its own; what one raises is raised here. In the order of the arguments."""
    with concurrent.futures.ThreadPoolExecutor(len(functions)) as pool:
        return [f.result(240) for f in [pool.submit(f) for f in functions]]


def start_gateway(s):
    lab = s.lab
    lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
    lab.start_sink("--rule", f"ehlo={SINK_EHLO}")
    lab.write_config(extra=interop.certificates(s.pki) + routes() +
                     f'trust "front" {{ addresses = ["{FRONT}"]; xclient = yes }}\n'
                     f'trust "balancer" {{ addresses = ["{BALANCER}"]; proxy = yes }}\n')
    lab.start_dataplane()
    lab.start_control()
    lab.wait_ready()


def probe(s):
    """EHLO in clear, and behind STARTTLS where that is offered; STARTTLS must be gone there."""
    keywords = interop.announced(s.lab)
    print("announced:", " ".join(sorted(keywords)))
    assert keywords >= REQUIRED, f"not announced: {sorted(REQUIRED - keywords)}"
    assert interop.announced(s.lab, labs.GATEWAY6) == keywords
    if "STARTTLS" in keywords:
        assert interop.announced(s.lab, tls=True) == keywords - {"STARTTLS"}
    s.m = interop.Matrix(s.lab, keywords)


def run(s):
    lab, started = s.lab, time.monotonic()
    lab.addr("client", f"{lab.name}c0", f"{BALANCER}/24", f"{FRONT}/24")
    have = [n for n in ("exim", "opensmtpd") if peers.unpack(n)]
    start_gateway(s)
    probe(s)
    starts, work = [lambda: start_postfix(s)], [by_postfix]
    for name, start, by in (("exim", start_exim, by_exim), ("opensmtpd", start_opensmtpd, by_opensmtpd)):
        if name in have:
            hop = {"exim": "Exim", "opensmtpd": "OpenSMTPD"}[name]
            starts += [lambda start=start: start(s), lambda hop=hop: start_hop(s, hop)]
            work += [by, lambda s, hop=hop: to_hop(s, hop)]
    together(*starts)
    print(f"everything is up after {time.monotonic() - started:.0f} s")
    later = together(*(lambda f=f: f(s) for f in (by_swaks, *work, by_smtplib, by_s_client, by_bdat)))
    s.m.settle()
    for name, feature, check in (x for xs in later for x in xs or ()):
        with s.m.cell(name, feature):
            check()
    print(f"{len(s.m.open)} messages by way of {len(s.m.versions)} programs in {time.monotonic() - started:.0f} s\n")
    print(s.m.table())
    for name, p in s.peers.items():
        if any(f.startswith(name + ",") for f in s.m.failures):
            print(f"---- {name}\n{p.log()[-4000:]}", file=sys.stderr)
    assert not s.m.failures, "\n".join(s.m.failures)


def main():
    labs.need_root()
    with labs.Lab("psi", arena_mb=128) as lab:
        s = Setup(lab)
        try:
            run(s)
        finally:
            for stop in s.stop:
                stop()


if __name__ == "__main__":
    main()
