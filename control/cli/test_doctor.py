#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""posternctl doctor: each planted fault of our side is found, and the scripts are right. argv[1] is the posternctl."""

import json
import os
import re
import subprocess
import sys
import tempfile

CTL = sys.argv[1]
NOW = "1795730400"  # 2026-11-26
CONF = """hostname = "gw.example.net"
listener "public" {{ port = 0; address = ["198.51.100.25/24"] }}
{more}
route "office" {{
  domains = ["example.com", ".below.example"]
  provider = "{provider}"
  hosts = ["{host}"]
  {route}
}}
"""
ZONE = """$ORIGIN example.com.
@ IN MX 10 gw.example.net.
$ORIGIN example.net.
gw IN A 198.51.100.7
gw IN TXT "v=spf1 ip4:198.51.100.7 -all"
7.100.51.198.in-addr.arpa. IN PTR gw.example.net.
example-com.mail.protection.outlook.com. IN A 203.0.113.200
smtp.google.com. IN A 203.0.113.201
"""
CLOUDS = {"exchange": ("exchange-online", "example-com.mail.protection.outlook.com"),
          "google": ("google-workspace", "smtp.google.com")}
SOURCE = 'source-address = "198.51.100.7"'
RELAYS = ('relay "edge" { addresses = ["192.0.2.40", "192.0.2.44-192.0.2.46", "10.1.2.3", "2001:db8:9::1"]; '
          'by = ["edge.example.net"] }')


class Lab:
    def __init__(self, where):
        self.dir = where
        self.ca = None

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        return self.path(name)

    def run(self, side="exchange", *words, route=SOURCE, more="", zone=ZONE, provider=None, host=None, name="office",
            conf=None, form=("--json",)):
        provider, host = provider or CLOUDS[side][0], host or CLOUDS[side][1]
        conf = self.write("postern.conf", conf or CONF.format(more=more, provider=provider, host=host, route=route))
        p = subprocess.run([CTL, *form, "doctor", side, name, "--config", conf, "--dns-zone", self.write("zone", zone),
                            "--now", NOW, *words], capture_output=True, timeout=60, check=False)
        if not form or p.returncode == 2:
            return p
        r = json.loads(p.stdout.decode("ascii"))
        assert set(r) == {"schema", "side", "route", "ok", "checks", "setup", "messages"}, r
        assert r["schema"] == "doctor/1" and r["side"] == side and r["messages"] == [], r
        assert r["ok"] == (p.returncode == 0), r
        levels = {c["level"] for c in r["checks"]}
        bad = bool(levels & {"warning", "FAIL"})
        assert p.returncode == (1 if bad else 3 if "unknown" in levels else 0), (p.returncode, r)
        for c in r["checks"]:
            assert set(c) == {"code", "level", "text", "advice"} and c["level"] in ("ok", "warning", "FAIL", "unknown"), c
        return r

    def bad(self, want, *words, side="exchange", **more):
        """What is not ok, as "code level"; the checks by code."""
        r = self.run(side, *words, **more)
        found = [c["code"] + " " + c["level"] for c in r["checks"] if c["level"] != "ok"]
        assert found == want, (found, want, r["checks"])
        return {c["code"]: c for c in r["checks"] if c["level"] != "ok"}, r

    def certificate(self, name, names, days, *more):
        key, req, crt, ext = (self.path(name + x) for x in (".key", ".req", ".crt", ".ext"))
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if not self.ca:
            self.ca = self.path("ca")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.ca + ".key", "-out",
                            self.ca + ".crt", "-days", "9000", "-subj", "/CN=CA"], **quiet)
        subprocess.run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", req, "-subj", "/O=x"], **quiet)
        self.write(name + ".ext", "".join(x + "\n" for x in ("subjectAltName=" + names, *more)))
        subprocess.run(["openssl", "x509", "-req", "-in", req, "-CA", self.ca + ".crt", "-CAkey", self.ca + ".key",
                        "-set_serial", "7", "-days", str(days), "-extfile", ext, "-out", crt], **quiet)
        os.chmod(key, 0o600)
        return f'{SOURCE}; tls-certificate = "{crt}"; tls-key = "{key}"'


def healthy(lab):
    for side in CLOUDS:
        r = lab.run(side)
        assert r["ok"], r
        assert [c["code"] for c in r["checks"]] == ["provider", "egress", "ptr", "spf", "tls", "client-certificate",
                                                    "hidden-unicode", "mx", "next-hop"], r["checks"]


def addresses(lab):
    # Of the kernel: loopback is private.
    bad, _ = lab.bad(["egress FAIL", "next-hop FAIL"], route="", zone=ZONE.replace("203.0.113.200", "127.0.0.1"))
    assert "127.0.0.1 is private: a NAT" in bad["egress"]["text"], bad
    # The public one behind a NAT, or of several gateways.
    lab.bad([], "--egress", "198.51.100.7", route="")
    many = "".join(f"{n}.100.51.198.in-addr.arpa. IN PTR gw.example.net.\n" for n in range(6, 8))
    many = ZONE.replace("7.100.51.198.in-addr.arpa. IN PTR gw.example.net.\n", many).replace(
        "-all", "ip4:198.51.100.6 -all") + "gw.example.net. IN A 198.51.100.6\n"
    _, r = lab.bad([], "--egress", "198.51.100.6/31", route="", zone=many)
    assert sum(c["code"] == "ptr" for c in r["checks"]) == 2, r
    # The dataplane's own, which the kernel has not.
    bad, _ = lab.bad(["egress FAIL", "ptr FAIL", "spf FAIL"], route='source-address = "198.51.100.25"')
    assert "is a listener's" in bad["egress"]["text"] and "another function of the NIC" in bad["egress"]["advice"], bad
    bad, _ = lab.bad(["egress FAIL"], "--egress", "2001:db8::7")
    assert "IPv6" in bad["egress"]["text"], bad
    r = lab.run("exchange", "--egress", "198.51.0.0/16")
    assert "/24 to /32" in [c for c in r["checks"] if c["code"] == "egress"][0]["text"], r
    lab.bad(["family FAIL"], route=SOURCE + '; family = "prefer-v6"; source-v6 = "2001:db8::7"')
    # No way to know it.
    bad, r = lab.bad(["egress unknown", "next-hop FAIL"], route="", zone=ZONE.replace("example-com.mail",
                                                                                          "other.mail"))
    assert "has no IPv4 address" in bad["next-hop"]["text"], bad
    assert any("name it by --egress" in x for x in r["setup"]["lines"]), r["setup"]
    assert not any("New-InboundConnector" in x for x in r["setup"]["lines"]), r["setup"]


def names(lab):
    bad, _ = lab.bad(["ptr FAIL"], zone=ZONE.replace("7.100.51", "9.100.51"))
    assert "198.51.100.7 has no PTR record" in bad["ptr"]["text"] and "gw.example.net" in bad["ptr"]["advice"], bad
    bad, _ = lab.bad(["ptr FAIL"], zone=ZONE.replace("gw IN A 198.51.100.7", "gw IN A 198.51.100.9"))
    assert "does not have that address" in bad["ptr"]["text"], bad
    bad, _ = lab.bad(["ptr warning"], zone=ZONE.replace("PTR gw.", "PTR nat.") + "nat.example.net. IN A 198.51.100.7\n")
    assert "EHLO gw.example.net" in bad["ptr"]["text"], bad
    bad, _ = lab.bad(["spf warning"], zone=ZONE.replace("v=spf1", "v=other"))
    assert '"v=spf1 ip4:198.51.100.7 -all"' in bad["spf"]["advice"], bad
    lab.bad(["spf FAIL"], zone=ZONE.replace("ip4:198.51.100.7", "ip4:198.51.100.9"))
    lab.bad(["spf FAIL"], zone=ZONE.replace("ip4:198.51.100.7", "ip4:198.51.100.777"))
    # Senders find the cloud itself.
    bad, _ = lab.bad(["mx FAIL"], zone=ZONE.replace("gw IN A", "$ORIGIN example.com.\n@ IN MX 20 "
                                                    "example-com.mail.protection.outlook.com.\n$ORIGIN example.net.\ngw IN A"))
    assert "pass this gateway by" in bad["mx"]["text"], bad
    lab.bad(["next-hop FAIL"], host="mail.example.org")
    lab.bad(["next-hop FAIL"], host="mail.protection.outlook.com.example.org")
    lab.bad(["next-hop warning"], host="203.0.113.200")
    # By MX records that lead to us again.
    bad, _ = lab.bad(["next-hop FAIL"], conf=CONF.replace('hosts = ["{host}"]', "mx = true").replace(
        ', ".below.example"', "").format(more="", provider="exchange-online", route=SOURCE))
    assert "gw.example.net is no name of Exchange Online" in bad["next-hop"]["text"], bad
    lab.bad(["provider warning", "family warning", "tls warning"], "--egress", "198.51.100.7", provider="smtp", route="")


def tls(lab):
    lab.bad(["tls warning"], route=SOURCE + '; tls = "may"')
    lab.bad(["tls FAIL"], route=SOURCE + '; tls = "none"')
    good = lab.certificate("good", "DNS:other.example.net,DNS:gw.example.net", 3000)
    _, r = lab.bad([], route=good)
    line = [x for x in r["setup"]["lines"] if x.startswith("New-")][0]
    assert line.endswith("-RequireTls $true -RestrictDomainsToCertificate $true -TlsSenderCertificateName 'gw.example.net'"), line
    text = [c for c in r["checks"] if c["code"] == "client-certificate"][0]["text"]
    assert "other.example.net, gw.example.net" in text, text
    lab.bad(["client-certificate warning"], route=lab.certificate("server", "DNS:gw.example.net", 3000,
                                                                   "extendedKeyUsage=serverAuth"))
    # 1 day from the true now: relative to what --now says, it is long over or about to be.
    end = subprocess.run(["openssl", "x509", "-in", lab.path("good.crt"), "-noout", "-enddate"], capture_output=True, text=True,
                         check=True).stdout.split("=")[1].strip()
    end = int(subprocess.run(["date", "-ud", end, "+%s"], capture_output=True, text=True, check=True).stdout)
    bad, _ = lab.bad(["client-certificate warning"], "--now", str(end - 86400 * 3), route=good)
    assert "expires in 3 day(s)" in bad["client-certificate"]["text"], bad
    bad, _ = lab.bad(["client-certificate FAIL"], "--now", str(end + 1), route=good)
    assert "has expired" in bad["client-certificate"]["text"], bad
    lab.bad(["client-certificate FAIL"], route=lab.certificate("nameless", "email:a@example.net", 3000))
    # A key of another certificate, and a file that is not there: the configuration says so.
    bad, _ = lab.bad(["config FAIL"], route=good.replace("good.key", "server.key"))
    assert "does not belong to" in bad["config"]["text"] and ":4: " in bad["config"]["text"], bad
    bad, _ = lab.bad(["config FAIL"], route=good.replace("good.crt", "none.crt"))
    assert "No such file" in bad["config"]["text"], bad


def hidden(lab):
    bad, _ = lab.bad(["hidden-unicode FAIL"], more="# a\u200bword")
    assert "postern.conf:3: U+200B, which nobody sees, stands at column 4" in bad["hidden-unicode"]["text"], bad
    r = lab.run(route=SOURCE + '; tls-name = ["mail\u200e.protection.outlook.com"]')
    assert any("U+200E" in c["text"] for c in r["checks"]), r
    r = lab.run(more="# \u202e\u2066")
    assert [c["text"].split()[1] for c in r["checks"] if c["code"] == "hidden-unicode"] == ["U+202E,", "U+2066,"], r
    # In a file that is included, where no line of this one has it.
    inner = lab.write("inner.conf", 'policy { protected-domains = ["bank\u200c.example"] }\n')
    bad, _ = lab.bad(["config FAIL", "hidden-unicode FAIL"], more=f'.include "{inner}"')
    assert "policy.protected-domains, of an included file, has U+200C" in bad["hidden-unicode"]["text"], bad
    # Letters that are letters are none.
    lab.bad([], more="# Übung, 文字, نامه")


def sealer(lab):
    key = lab.path("seal.pem")
    out = subprocess.run([CTL, "--json", "keys", "generate", "--type", "ed25519", "--domain", "example.net", "--selector",
                          "s1", key], capture_output=True, check=True).stdout
    record = json.loads(out)["record"]
    route = SOURCE + '; arc-seal = "always"; arc-keys = ["k"]'
    arc = f'arc {{ key "k" {{ domain = "example.net"; selector = "s1"; file = "{key}" }} }}'
    zone = ZONE + f's1._domainkey.example.net. IN TXT "{record}"\n'
    _, r = lab.bad([], route=route, more=arc, zone=zone)
    assert "Set-ArcConfig -Identity Default -ArcTrustedSealers 'example.net'" in r["setup"]["lines"], r["setup"]
    bad, _ = lab.bad(["sealer FAIL"], route=route, more=arc)
    assert "no TXT record" in bad["sealer"]["text"], bad
    lab.bad(["sealer FAIL"], route=route, more=arc, zone=zone.replace(record, record[:-6] + "AAAAA="))
    lab.bad(["sealer FAIL"], route=route, more=arc.replace("; file", '; active-until = "2026-01-01"; file'), zone=zone)
    assert not any("ArcTrustedSealers" in x for x in lab.run()["setup"]["lines"])


def scripts(lab):
    """What is printed, to the octet."""
    def commands(r):
        return [x for x in r["setup"]["lines"] if not x.startswith("# ")]

    tail = ["Set-OrganizationConfig -RejectDirectSend $true",
            "Get-TransportRule | Where-Object { $_.SetSCL -eq -1 } | Format-List Name,State,SenderIpRanges",
            "Get-HostedConnectionFilterPolicy | Format-List Name,IPAllowList,EnableSafeList"]
    new = ("New-InboundConnector -Name 'Postern office' -ConnectorType Partner -SenderDomains '*' -RequireTls $true "
           "-RestrictDomainsToIPAddresses $true -SenderIPAddresses '198.51.100.7'")
    assert commands(lab.run()) == [new, "Set-InboundConnector -Identity 'Postern office' -EFSkipLastIP $true -EFSkipIPs $null "
                                   "-EFUsers $null"] + tail
    bad, r = lab.bad(["relays warning"], "--users", "o'brien@example.com", "--users", "x@example.com", more=RELAYS)
    assert "2001:db8:9::1 is IPv6" in bad["relays"]["text"], bad
    assert commands(r) == [
        new, "Set-InboundConnector -Identity 'Postern office' -EFSkipLastIP $false -EFSkipIPs "
        "'198.51.100.7','192.0.2.40','192.0.2.44-192.0.2.46' -EFUsers 'o''brien@example.com','x@example.com'",
        "Set-InboundConnector -Identity 'Postern office' -EFUsers $null"] + tail
    text = "\n".join(r["setup"]["lines"])
    assert "OnPremises" not in text and "CloudServicesMailEnabled" not in text, text
    # The same without JSON.
    p = lab.run("exchange", form=())
    assert p.returncode == 0 and new in p.stdout.decode("ascii"), p
    # A relay in a shared cloud is never listed.
    cloud = ('relay "m365" { addresses = ["40.92.0.0/15"]; by = ["outlook.com"]; tls-name = "mail.protection.outlook.com"; '
             'tenant { header = "X-OriginatorOrg"; values = ["example.com"] } }')
    lab.certificate("listener", "DNS:gw.example.net", 3000)
    cloud += ('\ntls { certificate "a" { chain = "%s"; key = "%s" }; client-ca = "%s" }'
              % tuple(lab.path(x) for x in ("listener.crt", "listener.key", "ca.crt")))
    bad, r = lab.bad(["relays warning"], more=cloud)
    assert "all its tenants send from" in bad["relays"]["text"] and "40.92" not in "".join(commands(r)), r
    # Gmail.
    s = lab.run("google", more=RELAYS)["setup"]
    assert s == {"kind": "inbound-gateway", "gateway_ips": ["198.51.100.7", "192.0.2.40", "192.0.2.44/31", "192.0.2.46",
                                                            "2001:db8:9::1"],
                 "detect_external_ip": True, "reject_others": True, "require_tls": True,
                 "header_regexp": "X-Postern-Score: ([0-9.]+)", "spam_score": 5.0}, s
    s = lab.run("google", route=SOURCE + '; header-prefix = "X-Secret-7"; tls = "may"')["setup"]
    assert s["header_regexp"] == "X-Secret-7-Score: ([0-9.]+)" and not s["require_tls"], s


def unquote(text):
    """A PowerShell string expression as doctor writes them, by a reader of its own; what follows it."""
    def single(s):
        out = ""
        assert s[0] == "'", s
        i = 1
        while True:
            if s.startswith("''", i):
                out += "'"
                i += 2
            elif s[i] == "'":
                return out, s[i + 1:]
            else:
                assert " " <= s[i] <= "~", s
                out += s[i]
                i += 1

    if text[0] == "'":
        return single(text)
    assert text.startswith("(''"), text
    out, rest = "", text[3:]
    while not rest.startswith(")"):
        assert rest.startswith(" + "), rest
        rest = rest[3:]
        m = re.match(r"\[char\]0x([0-9A-F]{4,})", rest) or re.match(r"\[char\]::ConvertFromUtf32\(0x([0-9A-F]+)\)", rest)
        if m:
            out += chr(int(m[1], 16))
            rest = rest[m.end():]
        else:
            part, rest = single(rest)
            out += part
    return out, rest[1:]


def quoting(lab):
    for user in ("a@example.com", "it's", "''", "'; Remove-Mailbox x; '", "$(Get-Mailbox)", "`$a\"", "\u2018; x \u2019",
                 "\u201a\u201b", "a\nb\r\tc\x1b[2J", "\U0001f600'", "é", "#", "-EFSkipIPs", "@{a=1}", "\u2028", " "):
        lines = lab.run("exchange", "--users", user, "--users", "z@example.com")["setup"]["lines"]
        line = [x for x in lines if "-EFUsers (" in x or "-EFUsers '" in x]
        assert len(line) == 1, lines
        got, rest = unquote(line[0].split("-EFUsers ", 1)[1])
        assert got == user and rest == ",'z@example.com'", (user, line)
        assert all(" " <= c <= "~" for c in "".join(lines)), lines
    lines = lab.run("exchange", "--users", b"\xff'\xc0\x80".decode("utf-8", "surrogateescape"))["setup"]["lines"]
    assert any(x.endswith("-EFUsers ('' + [char]0xFFFD + '''' + [char]0xFFFD + [char]0xFFFD)") for x in lines), lines
    # A comment ends with its line: a file name of two lines starts no command.
    odd = os.path.join(lab.dir, "a\nRemove-Mailbox x\n#")
    os.makedirs(odd, exist_ok=True)
    old, lab.dir = lab.dir, odd
    lines = lab.run("exchange", zone=ZONE)["setup"]["lines"]
    lab.dir = old
    assert not any(x.startswith("Remove") or "\n" in x for x in lines), lines


def connectors(lab):
    good = {"Name": "Postern", "Enabled": True, "ConnectorType": "Partner", "CloudServicesMailEnabled": False,
            "SenderIPAddresses": ["198.51.100.0/28"], "RestrictDomainsToIPAddresses": True, "EFSkipLastIP": True,
            "EFSkipIPs": [], "EFUsers": []}

    def bad(want, *entries, raw=None, **more):
        data = raw if raw is not None else json.dumps(entries[0] if len(entries) == 1 else entries)
        return lab.bad(want, "--connectors", lab.write("connectors.json", data), **more)[0]

    def other(**change):
        return {**good, **change}

    bad([], good)
    bad([], good, other(Name="x", Enabled=False, SenderIPAddresses="203.0.113.9"))
    bad([], raw=b"\xef\xbb\xbf" + json.dumps(good).encode())
    f = bad(["connector-type FAIL"], other(ConnectorType="OnPremises"))
    assert "and this gateway's mail does" in f["connector-type"]["text"], f
    f = bad(["connector-type FAIL"], good, other(Name="hybrid", ConnectorType="OnPremises", SenderIPAddresses=["203.0.113.9"]))
    assert '"hybrid"' in f["connector-type"]["text"] and "does" not in f["connector-type"]["text"], f
    bad(["connector-type warning"], good, other(ConnectorType="OnPremises", Enabled=False))
    bad(["connector-type FAIL"], other(ConnectorType=1))
    f = bad(["connector-trust FAIL"], other(CloudServicesMailEnabled=True))
    assert "CloudServicesMailEnabled" in f["connector-trust"]["text"], f
    bad(["connector-trust FAIL"], other(TreatMessagesAsInternal=True))
    bad(["connectors FAIL"], other(SenderIPAddresses=["203.0.113.9"]))
    bad(["connectors FAIL"], other(Enabled=False))
    bad(["skip-list FAIL"], other(EFSkipLastIP=False))
    r = lab.run("exchange", "--connectors", lab.write("c.json", json.dumps(other(EFSkipIPs=["203.0.113.9", "40.92.0.0/15"]))))
    texts = [c["level"] + " " + c["text"] for c in r["checks"] if c["code"] == "skip-list"]
    assert len(texts) == 3 and "FAIL" in texts[0] and "lacks 198.51.100.7" in texts[0], texts
    assert "warning" in texts[1] and "203.0.113.9, more than" in texts[1], texts
    assert "FAIL" in texts[2] and "40.92.0.0/15, of a cloud" in texts[2], texts
    bad(["skip-list warning"], other(EFUsers=["a@example.com"]))
    bad(["skip-list warning"], other(EFSkipIPs=["198.51.100.7", {"x": 1}]))
    bad(["connector-lock warning"], other(RestrictDomainsToIPAddresses=False))
    f = bad(["hidden-unicode FAIL"], other(TlsSenderCertificateName="\u200egw.example.net"))
    assert "TlsSenderCertificateName has U+200E" in f["hidden-unicode"]["text"], f
    # Relays: each of their public addresses.
    relays = RELAYS.replace(', "10.1.2.3", "2001:db8:9::1"', ', "10.1.2.3"')
    bad([], other(EFSkipIPs=["198.51.100.7", "192.0.2.40", "192.0.2.44-192.0.2.46"]), more=relays)
    r = lab.run("exchange", "--connectors", lab.write("c.json", json.dumps(other(EFSkipIPs=["198.51.100.7", "192.0.2.40"]))),
                more=relays)
    texts = [c["text"] for c in r["checks"] if c["level"] == "FAIL"]
    assert len(texts) == 1 and 'lacks 192.0.2.44-192.0.2.46 of relay "edge"' in texts[0], texts
    f = bad(["skip-list FAIL"], good, more=RELAYS.replace('"192.0.2.40", ', "").replace(', "10.1.2.3", "2001:db8:9::1"', ""))
    assert "skips this gateway only" in f["skip-list"]["text"], f
    # By the certificate.
    cert = lab.certificate("conn", "DNS:gw.example.net", 3000)
    named = other(SenderIPAddresses=[], TlsSenderCertificateName="*.example.net", RestrictDomainsToCertificate=True)
    bad([], named, route=cert)
    bad(["connectors FAIL"], other(SenderIPAddresses=[], TlsSenderCertificateName="*.example.org"), route=cert)
    # What is no export.
    for raw, why in ((b"", b"empty"), (b"{", b"connectors.json:1:"), ("[]".encode("utf-16"), b"UTF-16"), (b"\xff\xff\xff", b":")):
        p = lab.run("exchange", "--connectors", lab.write("connectors.json", raw))
        assert p.returncode == 2 and why in p.stderr, (raw, p)
    bad(["connectors unknown", "connectors FAIL"], raw="[1]")


def usage(lab):
    assert lab.run("exchange", name="nosuch").returncode == 2
    assert lab.run("exchange", "extra").returncode == 2
    assert lab.run("exchange", "--egress", "gw.example.net").returncode == 2
    assert lab.run("google", "--connectors", lab.write("c.json", "[]")).returncode == 2
    assert lab.run("exchange", "--verify", lab.path("nosuch.eml")).returncode == 2
    p = subprocess.run([CTL, "doctor", "exchange", "office", "--config", lab.path("nosuch")], capture_output=True, check=False)
    assert p.returncode == 3 and b"No such file" in p.stderr, p
    assert subprocess.run([CTL, "doctor", "outlook", "office"], capture_output=True, check=False).returncode == 2


def main():
    with tempfile.TemporaryDirectory() as d:
        lab = Lab(d)
        healthy(lab)
        addresses(lab)
        names(lab)
        tls(lab)
        hidden(lab)
        sealer(lab)
        scripts(lab)
        quoting(lab)
        connectors(lab)
        usage(lab)


main()
