# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""A control that only answers: for tests of posternctl that need one at the other end of its socket."""
import fnmatch
import json
import os
import socket
import threading

RULES = ["SPAM_ONE", "SPAM_TWO", "OTHER"]
HELD = ["0123456789abcdef", "0123456789fedcba"]
TRACES = ["00000000000000aa", "00000000000000bb"]


class Control:
    """Listens at `path`; `asked` is what it was asked, `silent` makes it answer nothing any more, `error` all with that."""

    def __init__(self, path):
        self.path, self.asked, self.silent, self.ready = path, [], False, True
        self.level, self.error = "info", None
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen(16)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                c = self.server.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.client, args=(c,), daemon=True).start()

    def client(self, c):
        with c, c.makefile("rwb") as f:
            for line in f:
                request = json.loads(line)
                self.asked.append(request)
                if self.silent:
                    continue
                f.write(json.dumps(self.answer(request)).encode() + b"\n")
                f.flush()

    def answer(self, request):
        command = request["command"]
        if self.error:
            return {"error": self.error}
        if command == "show status":
            return {"ready": self.ready, "hostname": "mx.example.net", "version": "0", "routes": ["office", "branch two"]}
        if command == "show rules":
            names = [n for n in RULES if fnmatch.fnmatchcase(n, request.get("name", "*"))]
            return {"rules": [{"name": n} for n in names], "selected": len(names), "in_force": 3, "never_hit": 3, "totals": {}}
        if command == "quarantine list":
            return {"messages": [{"id": i, "rcpts": []} for i in HELD]}
        if command == "trace":
            return {"records": [{"trace_id": i} for i in TRACES]}
        if command == "loglevel":
            before, self.level = self.level, request.get("level", self.level)
            return {"level": self.level, "before": before}
        if command == "trace status":
            return {"index": None, "file": None, "caught_up": True}
        if command == "quarantine release":
            return {"ok": True, "rcpts": []}
        if command in ("drain", "undrain"):
            return {"draining": command == "drain"}
        if command == "breaker show":
            return {"breakers": []}
        return {"error": {"code": "unknown-command", "text": f"unknown command \"{command}\""}}

    def close(self):
        self.server.close()
        os.unlink(self.path)
