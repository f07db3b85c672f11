# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""What posternctl prints with --json against docs/schemas: a file for each "schema" that it names."""
import json
import os
import pathlib

import jsonschema

ROOT = pathlib.Path(os.environ.get("POSTERN_ROOT", pathlib.Path(__file__).resolve().parents[2]))


def files():
    """Name of the schema -> its file. "config/1" lies in config.1.json."""
    out = {}
    for f in sorted((ROOT / "docs/schemas").glob("*.json")):
        schema = json.loads(f.read_text())
        for one in schema.get("oneOf", [schema]) if "properties" not in schema else [schema]:
            out[one["properties"]["schema"]["const"]] = f
    return out


def open_objects(schema, where="#"):
    """Places at which an object may have members that the schema does not name: what says nothing of its members, not what
    says of which kind they all are."""
    if isinstance(schema, list):
        return [x for i, s in enumerate(schema) for x in open_objects(s, f"{where}/{i}")]
    if not isinstance(schema, dict):
        return []
    found = []
    kind = schema.get("type")
    if ("object" in kind if isinstance(kind, list) else kind == "object") or "properties" in schema:
        if "additionalProperties" not in schema or schema["additionalProperties"] is True:
            found.append(where)
    for key, s in schema.items():
        if key in ("properties", "$defs"):
            found += [x for name, v in s.items() for x in open_objects(v, f"{where}/{key}/{name}")]
        elif key in ("items", "additionalProperties", "oneOf", "anyOf", "then", "else"):
            found += open_objects(s, f"{where}/{key}")
    return found


class Schemas:
    def __init__(self):
        self.file = files()
        self.used = set()
        self.validator = {}

    def check(self, answer):
        """Of a document; the name of its schema."""
        name = answer["schema"]
        if name not in self.file:
            raise AssertionError(f"{name}: docs/schemas has none of that name")
        if name not in self.validator:
            schema = json.loads(self.file[name].read_text())
            jsonschema.Draft202012Validator.check_schema(schema)
            self.validator[name] = jsonschema.Draft202012Validator(schema)
        errors = sorted(self.validator[name].iter_errors(answer), key=lambda x: list(map(str, x.absolute_path)))
        if errors:
            deep = [y for x in errors for y in (x.context or [x])]
            raise AssertionError(f"{name}: " + "; ".join(f"{'.'.join(map(str, x.absolute_path)) or 'it'}: {x.message[:300]}" for x in deep[:5]))
        self.used.add(name)
        return name
