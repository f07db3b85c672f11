# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Mail of every kind that smtpload can send, through a whole gateway to a sink, and both books held against each other: the part
`--audit` of bench/gateway, and what tests/e2e/test_smtpload.py runs for seconds."""
import pathlib
import subprocess
import sys

import benchlib
import books

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "micro"))
import scan_mail  # noqa: E402

ID_FIELD = "X-Load-Id"
# What each run is there for; --active and more come from who runs it.
KINDS = {
    "sizes": ("DATA, a mix of sizes, pipelined", ["--size", "1000@6,10000@3,60000@1", "--pipeline"]),
    "commands": ("DATA, command by command, 7 messages a connection", ["--size", "4000", "--per-session", "7"]),
    "bdat": ("BDAT, one chunk, pipelined", ["--size", "1000@2,20000@1", "--bdat", "--pipeline"]),
    "chunks": ("BDAT in chunks of 700 octets, each waits for its reply", ["--size", "5000", "--bdat=700"]),
    "tls": ("half of the sessions under TLS, pipelined", ["--size", "1000@3,30000@1", "--tls", "50", "--pipeline"]),
    "tls-bdat": ("all under TLS, BDAT, 5 messages a connection, thinking", ["--size", "3000", "--tls", "100", "--bdat=1000", "--pipeline",
                                                                           "--per-session", "5", "--think", "exp:3", "--think-command", "0-2"]),
    "corpus": ("messages of files", ["--pipeline"]),
}


def certificate(directory):
    """(chain, key) of its own making."""
    chain, key = directory / "chain.pem", directory / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", chain,
                    "-days", "30", "-subj", "/CN=mx.example.com"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    key.chmod(0o600)
    return chain, key


def tls_config(directory):
    chain, key = certificate(directory)
    return f'tls {{ certificate "mx" {{ chain = "{chain}"; key = "{key}" }} }}'


def runs(start, work, base, corpus_messages, kinds=KINDS, **run):
    """One after the other. start(*args) → smtpload behind its gate. {kind: what it said}, and the paths of its books."""
    out, paths = {}, []
    for kind in kinds:
        path = work / f"load-{kind}.books"
        args = [*base, *KINDS[kind][1], "--books", path]
        if kind == "corpus":
            scan_mail.write("mix", 5, corpus_messages, work / "corpus")
            args += ["--corpus", work / "corpus"]
        with start(*args) as gen:
            out[kind] = gen.run(**run)
            if gen.end():
                raise RuntimeError(f"smtpload, {kind}: it ended with an error")
        paths.append(path)
    return out, paths


def rows(a):
    """Of an audit, as figures."""
    group = "audit through control to a next hop, message by message"
    out = [benchlib.row(f"C.audit.{k}", "all kinds", k.replace("_", " "), [a.counts[k]], group=group, better="none")
           for k in ("sent", "accepted", "refused", "unknown")]
    return out + [benchlib.row(f"C.audit.{k}", "all kinds", k, [len(a.faults[k])], group=group, better="lower") for k in books.KINDS]
