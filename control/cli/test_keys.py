#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""posternctl keys: argv[1] is the posternctl to run."""

import json
import os
import re
import stat
import subprocess
import sys
import tempfile

CTL = sys.argv[1]
NOW = "1800000000"  # 2027-01-15
CONF = """hostname = mx.example.net
listener a {{ port = 0; address = ["192.0.2.25/24"] }}
route cloud {{ domains = ["example.com"]; hosts = ["192.0.2.2"]; arc-seal = always; arc-keys = ["r1", "r2"] }}
route later {{ domains = ["example.org"]; hosts = ["192.0.2.2"]; arc-seal = modified; arc-keys = ["{later}"] }}
route never {{ domains = ["never.example"]; hosts = ["192.0.2.2"] }}
arc {{
  key r1 {{ domain = example.net; selector = "s1"; file = "{dir}/r1.pem"; active-until = "2026-12-31" }}
  key r2 {{ domain = example.net; selector = "s2"; file = "{dir}/r2.pem"; active-from = "2027-01-01" }}
  key ed {{ domain = example.net; selector = "ed"; file = "{dir}/ed.pem" }}
  key next {{ domain = example.net; selector = "s3"; file = "{dir}/ed.pem"; active-from = "2028-02-29" }}
}}
"""


def run(*words, code=0):
    done = subprocess.run([CTL, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == code, (words, done)
    return done.stdout.decode()


def refused(*words):
    done = subprocess.run([CTL, "keys", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2 and done.stderr and not done.stdout, (words, done)


def generate(where, name, *words):
    path = os.path.join(where, name + ".pem")
    out = json.loads(run("--json", "keys", "generate", *words, "--domain", "example.net", "--selector", name, path))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    # An independent reader finds the same public half.
    der = subprocess.run(["openssl", "pkey", "-in", path, "-pubout", "-outform", "DER"], stdout=subprocess.PIPE,
                         check=True).stdout
    b64 = subprocess.run(["openssl", "base64", "-A"], input=der[-32:] if "ed25519" in words else der,
                         stdout=subprocess.PIPE, check=True).stdout.decode()
    assert out["record"].split("p=")[1] == b64, out
    assert out["type"] == ("ed25519" if "ed25519" in words else "rsa") and out["file"] == path, out
    return out["record"]


def zone_line(name, record):
    return "%s._domainkey IN TXT %s\n" % (name, " ".join('"%s"' % record[i:i + 255] for i in range(0, len(record), 255)))


with tempfile.TemporaryDirectory() as tmp:
    os.umask(0)  # the mode is not the umask's doing
    r1 = generate(tmp, "r1")
    r2 = generate(tmp, "r2", "--type", "rsa", "--bits", "3072")
    ed = generate(tmp, "ed", "--type", "ed25519")
    assert r1.startswith("v=DKIM1; k=rsa; p=MIIBI") and ed.startswith("v=DKIM1; k=ed25519; p="), (r1, ed)
    before = open(tmp + "/r1.pem", "rb").read()
    good = ["--domain", "example.net", "--selector", "s"]
    refused("generate", *good, tmp + "/r1.pem")  # it is there
    assert open(tmp + "/r1.pem", "rb").read() == before
    os.symlink(tmp + "/nowhere", tmp + "/link")
    refused("generate", *good, tmp + "/link")
    refused("generate", *good, tmp + "/no/such/dir")
    for bad in (["--bits", "1024"], ["--bits", "8192"], ["--bits", "2049"], ["--bits", "x"], ["--type", "dsa"],
                ["--type", "ed25519", "--bits", "2048"], ["--selector", "a b"], ["--domain", "com"],
                ["--domain", "gr\u00fcn.example"], ["--selector", "x" * 64], ["--what"]):
        refused("generate", *good, *bad, tmp + "/new.pem")
        assert not os.path.exists(tmp + "/new.pem"), bad
    refused("generate", *good)
    refused("generate", "--selector", "s", tmp + "/new.pem")
    text = run("keys", "generate", *good, tmp + "/new.pem")
    assert re.fullmatch(r's\._domainkey\.example\.net\. IN TXT \(\n\t"[^"]{255}"\n\t"[^"]+" \)\n', text), text

    conf = tmp + "/conf"
    with open(conf, "w") as f:
        f.write(CONF.format(dir=tmp, later="ed"))
    told = json.loads(run("--json", "keys", "list", "--config", conf, "--now", NOW))
    keys = {k["name"]: k for k in told["keys"]}
    assert told["ok"] and list(keys) == ["r1", "r2", "ed", "next"], told
    assert [keys[k]["state"] for k in keys] == ["past", "signing", "signing", "future"], told
    assert keys["r1"]["active_until"] == "2026-12-31" and keys["r1"]["active_from"] is None, told
    assert keys["next"]["active_from"] == "2028-02-29" and keys["next"]["active_until"] is None, told
    assert (keys["r2"]["bits"], keys["r2"]["record"]) == (3072, r2) and "published" not in keys["r2"], told
    assert told["routes"] == [{"route": "cloud", "arc_seal": "always", "key": "r2"},
                              {"route": "later", "arc_seal": "modified", "key": "ed"}], told
    # The last day counts to its end, in UTC.
    for now, signer in ((1798761599, "r1"), (1798761600, "r2")):
        told = json.loads(run("--json", "keys", "--config", conf, "--now", str(now)))
        assert told["routes"][0]["key"] == signer, told
    text = run("keys", "--config", conf, "--now", NOW)
    assert "r1: past, rsa of 2048 bits, until 2026-12-31\n" in text and "route later: arc-seal = modified, signs with ed\n" in text, text

    def check(lines, code, **want):
        with open(tmp + "/zone", "w") as f:
            f.write("$ORIGIN example.net.\n$TTL 60\n@ IN SOA ns h 1 2 3 4 5\n" + lines)
        out = json.loads(run("--json", "keys", "check", "--config", conf, "--dns-zone", tmp + "/zone", "--now", NOW, code=code))
        assert out["ok"] == (code == 0), out
        got = {k["name"]: (k["published"], k["reason"]) for k in out["keys"]}
        for name, (word, reason) in want.items():
            assert got[name][0] == word and reason in got[name][1], (name, got)
        return out

    all_good = zone_line("s2", r2) + zone_line("ed", ed) + zone_line("s3", ed)
    # The record of the key whose time is over may be gone; if it is there it must be right.
    check(all_good, 0, r1=("missing", "no TXT"), r2=("ok", ""), ed=("ok", ""), next=("ok", ""))
    check(all_good + zone_line("s1", r1), 0, r1=("ok", ""))
    check(all_good + zone_line("s1", r2), 1, r1=("differs", "of another key"))
    check(zone_line("s2", r2) + zone_line("ed", ed), 1, next=("missing", ""))
    check(zone_line("s2", r1) + zone_line("ed", ed) + zone_line("s3", ed), 1, r2=("differs", "of another key"))
    check(zone_line("s2", ed) + zone_line("ed", ed) + zone_line("s3", ed), 1, r2=("differs", "another type"))
    check(zone_line("s2", "v=DKIM1; p=") + zone_line("ed", ed) + zone_line("s3", ed), 1, r2=("differs", "revoked"))
    check(zone_line("s2", "v=spf1 -all") + zone_line("ed", ed) + zone_line("s3", ed), 1, r2=("differs", "key record"))
    check(zone_line("s2", r2.replace("k=rsa", "k=rsa; h=sha1")) + zone_line("ed", ed) + zone_line("s3", ed), 1,
          r2=("differs", "sha256"))
    check(all_good + zone_line("s2", r1), 1, r2=("differs", "several records, and"))
    check(zone_line("s2", r1) + zone_line("s2", ed) + zone_line("ed", ed) + zone_line("s3", ed), 1, r2=("differs", "several records, none"))
    text = run("keys", "check", "--config", conf, "--dns-zone", tmp + "/zone", "--now", NOW, code=1)
    assert "\ts2._domainkey.example.net differs: there are several records" in text, text
    # A route whose keys are all past or to come.
    with open(conf, "w") as f:
        f.write(CONF.format(dir=tmp, later="next"))
    out = check(all_good, 1, r2=("ok", ""))
    assert out["routes"][1]["key"] is None, out
    assert "route later: arc-seal = modified, no key is active today" in run("keys", "--config", conf, "--now", NOW)

    refused("--config", tmp + "/nothing")
    refused("--config", conf, "--dns-zone", tmp + "/zone")
    refused("--config", conf, "--now", "soon")
    refused("destroy", "--config", conf)
    os.chmod(tmp + "/r1.pem", 0o644)
    done = subprocess.run([CTL, "keys", "--config", conf], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2 and b"arc.key.r1.file: " in done.stderr and b"others may read" in done.stderr, done
print("ok")
