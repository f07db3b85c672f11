#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""ndr.lua in front of a port that loses what exceeds a rate: argv[1] is a Lua interpreter."""

import csv
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SCRIPT = pathlib.Path(__file__).resolve().parent / "ndr.lua"
LINE = 1_000_000  # packets a second at 100 per cent
# Time passes in delay() only; counters are read once a second of it; a rate comes as a string does from luaL_checkstring.
FAKE = """
local now, sent, came, rate, sending = 0, 0, 0, 0, false
local told = {[0] = {opackets = 7, ipackets = 11}, [1] = {opackets = 0, ipackets = 5}}
local LIMIT, LONG, STRAY = %(limit)s, %(long)s, %(stray)s
local begun = 0
pktgen = {}
function pktgen.set(port, what, value)
	assert(port == "0" and what == "rate")
	rate = assert(tonumber(tostring(value)))
	assert(rate > 0 and rate <= 100)
end
function pktgen.start(port) assert(port == "0" and not sending) sending, begun = true, now end
function pktgen.stop(port) assert(port == "0" and sending) sending = false end
function pktgen.delay(ms)
	assert(math.type(ms) == "integer" and ms > 0)
	for _ = 1, ms / 100 do
		now = now + 100
		if sending then
			local limit = now - begun > 20000 and LONG or LIMIT
			sent = sent + rate * %(line)d / 100 / 10
			came = came + math.min(rate, limit) * %(line)d / 100 / 10
		end
		came = came + STRAY / 10
		if now %% 1000 == 0 then
			told[0].opackets, told[1].ipackets = 7 + math.floor(sent), 5 + math.floor(came)
		end
	end
end
function pktgen.portStats(port, kind)
	assert(kind == "port")
	local n = tonumber(port)
	return {[n] = {opackets = told[n].opackets, ipackets = told[n].ipackets}, n = 1}
end
"""


def run(where, limit, long=None, stray=0, code=0, **env):
    fake = where / "fake.lua"
    fake.write_text(FAKE % {"limit": limit, "long": long or limit, "stray": stray, "line": LINE})
    out = where / "ndr.csv"
    p = subprocess.run([sys.argv[1], "-e", f'dofile("{fake}")', SCRIPT], capture_output=True, text=True, timeout=60, check=False,
                       env={"PATH": os.environ["PATH"], "PG_CSV": str(out), **env})
    assert p.returncode == code, (p.stdout, p.stderr)
    if code:
        return p.stderr
    rows = list(csv.DictReader(out.open()))
    found = {line.split(":")[0]: line.split(": ")[1] for line in p.stdout.splitlines() if line.endswith("of the line") or line.endswith("none")}
    return rows, found


def rate(found):
    return float(found.split()[0])


def main():
    if not shutil.which(sys.argv[1]):
        print(f"skipped: {sys.argv[1]} is not installed (packaging/install-packages test)")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as d:
        where = pathlib.Path(d)
        rows, found = run(where, 37.3)
        assert 36.8 <= rate(found["ndr"]) <= 37.3 and rate(found["ndr"]) <= rate(found["pdr"]) <= 37.8, found
        assert rows[0]["search"] == "ndr" and float(rows[0]["rate_percent"]) == 100
        assert {r["search"] for r in rows} == {"ndr", "ndr-confirm", "pdr", "pdr-confirm"}
        for r in rows:
            seconds, tx, rx, per = (float(r[k]) for k in ("seconds", "sent", "received", "loss_ppm"))
            # The counters' second and the trial's begin together to a tenth: what was sent is in them whole.
            assert abs(tx - seconds * LINE * float(r["rate_percent"]) / 100) <= LINE / 5, r
            assert abs(per - max(0, tx - rx) * 1e6 / tx) < 1 and abs(float(r["sent_per_second"]) - tx / seconds) <= 1, r
            assert seconds == (60 if r["search"].endswith("confirm") else 10)
        # All of it, none of it; a little loss is a PDR; what holds for ten seconds only is none.
        assert rate(run(where, 200)[1]["ndr"]) == 100
        assert run(where, 0.0001)[1] == {"ndr": "none", "pdr": "none"}
        assert rate(run(where, 50, PG_PDR="100000", PG_STEP="0.1")[1]["pdr"]) > 55
        _, found = run(where, 60, long=50, PG_STEP="1")
        assert 48.5 <= rate(found["ndr"]) <= 50, found
        # ARP beside it is no negative loss.
        assert rate(run(where, 200, stray=50)[1]["ndr"]) == 100
        for name, bad in (("PG_SETTLE", "1"), ("PG_SECONDS", "x"), ("PG_PDR", "-1"), ("PG_STEP", "0")):
            assert name in run(where, 50, code=1, **{name: bad}), name
    print("ok")


main()
