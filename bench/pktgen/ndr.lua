-- SPDX-License-Identifier: BSD-3-Clause
-- Copyright (c) 2026 The Postern Authors
--
-- The highest rate without loss (NDR) and with a little (PDR), by halving, as of RFC 2544 26.1; each trial a line of CSV.
-- What is sent is what the port has: a capture by -s, which tap-replay.pkt or syn-flood.pkt switched on, and not started.
-- What counts as come through are the packets of the receiving port: the other side of an inline pair, or the same port for
-- SYNs that the gateway answers.
--
-- From the environment: PG_SEND (0), PG_RECV (1), PG_SECONDS of a trial (10), PG_SETTLE seconds behind it (2, and no less: what
-- portStats says is read from the port once a second), PG_STEP, the share of the line in per cent at which halving ends (0.5), PG_PDR, the loss a PDR allows in ppm (1000), PG_CONFIRM seconds
-- of the last trial (60), PG_CSV (ndr.csv).

package.path = package.path .. ";?.lua;test/?.lua;app/?.lua;../?.lua"
if not pktgen then
	require("Pktgen")
end

local function number(name, default, low, high)
	local v = tonumber(os.getenv(name) or default)
	if not v or v < low or v > high then
		error(name .. ": a number from " .. low .. " to " .. high .. " is wanted")
	end
	return v
end

local send = number("PG_SEND", 0, 0, 255)
local recv = number("PG_RECV", 1, 0, 255)
local seconds = number("PG_SECONDS", 10, 1, 3600)
local settle = number("PG_SETTLE", 2, 2, 60)
local step = number("PG_STEP", 0.5, 0.01, 50)
local allowed = number("PG_PDR", 1000, 0, 1000000)
local confirm = number("PG_CONFIRM", 60, 1, 86400)
local csv = assert(io.open(os.getenv("PG_CSV") or "ndr.csv", "w"))

local function count(port, field)
	return pktgen.portStats(tostring(port), "port")[port][field]
end

-- Returns the loss in ppm. Counters are not cleared but subtracted: clearing is not at once.
local function trial(search, rate, length)
	pktgen.set(tostring(send), "rate", rate)
	pktgen.delay(500)
	local tx, rx = count(send, "opackets"), count(recv, "ipackets")
	pktgen.start(tostring(send))
	pktgen.delay(math.floor(length * 1000))
	pktgen.stop(tostring(send))
	pktgen.delay(math.floor(settle * 1000))
	tx, rx = count(send, "opackets") - tx, count(recv, "ipackets") - rx
	if tx <= 0 then
		error("nothing was sent at " .. rate .. " per cent: is a capture switched on?")
	end
	-- More may come than was sent (ARP, ND): no loss.
	local lost = math.max(0, tx - rx)
	local ppm = lost * 1000000 / tx
	csv:write(string.format("%s,%.3f,%d,%d,%d,%.0f,%.1f\n", search, rate, length, tx, rx, tx / length, ppm))
	csv:flush()
	print(string.format("%s: %.3f %%: %d sent, %d came, %.1f ppm lost", search, rate, tx, rx, ppm))
	return ppm
end

-- The highest rate found whose loss is at most `ppm`; nil: there is none.
local function search(name, ppm)
	local good, bad, rate = 0, 100, 100
	if trial(name, 100, seconds) <= ppm then
		good = 100
	else
		while bad - good > step do
			rate = (good + bad) / 2
			if trial(name, rate, seconds) <= ppm then
				good = rate
			else
				bad = rate
			end
		end
	end
	-- A rate that held for a short trial is one only if it holds for a long one.
	while good > 0 and trial(name .. "-confirm", good, confirm) > ppm do
		good = math.floor((good - step) * 1000 + 0.5) / 1000
	end
	return good > 0 and good or nil
end

csv:write("search,rate_percent,seconds,sent,received,sent_per_second,loss_ppm\n")
for _, s in ipairs({{"ndr", 0}, {"pdr", allowed}}) do
	local rate = search(s[1], s[2])
	print(s[1] .. ": " .. (rate and rate .. " per cent of the line" or "none"))
end
csv:close()
