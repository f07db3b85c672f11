#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""What is exported, the alert rules and the dashboard fit together: promtool finds nothing, and every metric
that a rule or a panel names is exported. argv: the test program that renders, docs/monitoring."""
import json
import pathlib
import re
import shutil
import subprocess
import sys

import yaml

SUFFIX = re.compile(r"_(bucket|sum|count)$")


def promtool(*args, text=None):
    r = subprocess.run(["promtool", *args], input=text, capture_output=True, text=True, timeout=100)
    assert r.returncode == 0 and "lint" not in r.stderr, f"promtool {args}: {r.stdout}{r.stderr}"
    return r.stdout + r.stderr


def exported(text):
    names, labels = set(), {}
    for line in text.splitlines():
        if line.startswith("#") or not line:
            continue
        name = re.match(r"[a-zA-Z_:][a-zA-Z0-9_:]*", line).group()
        names.add(name)
        labels.setdefault(name, set()).update(re.findall(r'([a-z]+)="', line))
    return names, labels


def used(expr):
    return set(re.findall(r"\bpostern_[a-z0-9_]+", expr))


def expressions(dashboard):
    for p in dashboard["panels"]:
        for t in p.get("targets", []):
            yield p["title"], t["expr"]


def openmetrics(dump):
    """The strict reader of the reference library, where it is there."""
    text = subprocess.run([dump, "--dump", "openmetrics"], capture_output=True, text=True, check=True).stdout
    assert text.endswith("\n# EOF\n") and text.count("# EOF") == 1
    try:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
    except ImportError:
        return "not parsed (python3-prometheus-client is not there)"
    families = list(parse(text))
    assert len({f.name for f in families}) == len(families) > 200, len(families)
    return f"{len(families)} families"


def main():
    dump, docs = sys.argv[1], pathlib.Path(sys.argv[2])
    text = subprocess.run([dump, "--dump"], capture_output=True, text=True, check=True).stdout
    names, labels = exported(text)
    dashboard = json.loads((docs / "grafana-postern.json").read_text())
    rules = (docs / "postern.rules.yml").read_text()
    for where, expr in [("rules", rules), *expressions(dashboard)]:
        missing = used(expr) - names
        assert not missing, f"{where}: {missing} is not exported"
    assert len(list(expressions(dashboard))) > 20
    ids = [p["id"] for p in dashboard["panels"]]
    assert len(ids) == len(set(ids)), "two panels of one id"
    for n in names:
        if SUFFIX.search(n):
            assert "le" in labels[SUFFIX.sub("_bucket", n)], n
    # Each alert has a test that sees it fire.
    tests = yaml.safe_load((docs / "postern.rules.test.yml").read_text())["tests"]
    fires = {t["alertname"] for group in tests for t in group["alert_rule_test"] if t["exp_alerts"]}
    silent = set(re.findall(r"- alert: (\w+)", rules)) - fires
    assert not silent, f"no test sees these fire: {silent}"
    print("openmetrics:", openmetrics(dump), flush=True)
    if not shutil.which("promtool"):
        print("skipped: promtool is not there (package prometheus)")
        sys.exit(77)
    promtool("check", "metrics", text=text)
    promtool("check", "rules", str(docs / "postern.rules.yml"))
    promtool("test", "rules", str(docs / "postern.rules.test.yml"))
    print("promtool: metrics, rules and their tests: ok")


if __name__ == "__main__":
    main()
