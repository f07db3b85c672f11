#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""gen_tables.py entities|tlds|idna > FILE — tables of the content library, made on the build machine.

entities: named character references, from Python's html.entities (the list of the HTML standard).
tlds:     top-level domains, from the data of the public suffix list (argument 2), in ASCII.
idna:     characters of host names that stand for others, from Python's unicodedata: the mapping of
          UTS 46 as far as one character, or up to four of ASCII, is its outcome.
"""
import sys
import unicodedata
from html.entities import html5

HASH_SLOTS = 8192


def hash_name(name):
    """As hash_name() of tables.h."""
    h = 2166136261
    for c in name:
        h = ((h ^ c) * 16777619) & 0xffffffff
    return (h ^ (h >> 15)) % HASH_SLOTS


def place(keys):
    """Open addressing: slot → index + 1."""
    slots = [0] * HASH_SLOTS
    for i, key in enumerate(keys):
        at = hash_name(key)
        while slots[at]:
            at = (at + 1) % HASH_SLOTS
        slots[at] = i + 1
    return slots


def emit_array(decl, items):
    print(f'{decl} = {{')
    line = '\t'
    for item in items:
        if len(line) + len(item) > 96:
            print(line.rstrip())
            line = '\t'
        line += item + ', '
    print(line.rstrip())
    print('};')


def emit_names(prefix, names):
    """The names behind each other, their offsets, and the slots."""
    offset, at = [], 0
    for n in names:
        offset.append(at)
        at += len(n)
    offset.append(at)
    if at > 65535:
        sys.exit(f'{prefix}: names are too long for 16-bit offsets')
    emit_array(f'static const uint16_t {prefix}_offset[{len(offset)}]', map(str, offset))
    emit_array(f'static const char {prefix}_text[{at}]', (f"'{chr(c)}'" for n in names for c in n))
    emit_array(f'static const uint16_t {prefix}_slot[{HASH_SLOTS}]', map(str, place(names)))


def entities():
    names = sorted(k.encode() for k in html5)
    emit_names('entity', names)
    emit_array(f'static const uint8_t entity_value[{len(names)}][7]',
               ('{' + ', '.join([str(len(v))] + [str(c) for c in v]) + '}'
                for v in (html5[n.decode()].encode() for n in names)))


def tlds(path):
    found = set()
    icann = False
    try:
        lines = open(path, encoding='utf-8').read().splitlines()
    except OSError as e:
        sys.exit(f'{path}: {e.strerror}; it is in the package publicsuffix')
    for line in lines:
        line = line.strip()
        if '===BEGIN ICANN DOMAINS===' in line:
            icann = True
        elif '===END ICANN DOMAINS===' in line:
            icann = False
        if not icann or not line or line.startswith('//'):
            continue
        label = line.split()[0].rsplit('.', 1)[-1].lstrip('!*')
        if label:
            found.add(label.lower().encode('idna'))
    if len(found) < 1000:
        sys.exit(f'{path}: only {len(found)} top-level domains found; is this the public suffix list?')
    emit_names('tld', sorted(found))


IGNORED = [0xad, 0x34f, 0x200b, 0x200c, 0x200d, 0x2060, 0xfeff] + list(range(0x180b, 0x180e)) + \
    list(range(0xfe00, 0xfe10))
DOTS = [0x3002, 0xff0e, 0xff61]
KEPT = [0xdf, 0x3c2]  # sharp s, final sigma: letters of their own (UTS 46, non-transitional)


def maps_to(cp):
    """None, or what the character becomes."""
    if cp in IGNORED:
        return ''
    if cp in DOTS:
        return '.'
    c = chr(cp)
    if cp in KEPT or 0xd800 <= cp < 0xe000 or unicodedata.category(c) in ('Cn', 'Co', 'Cc'):
        return None
    m = unicodedata.normalize('NFKC', unicodedata.normalize('NFKC', c).casefold())
    if m == c or not m:
        return None
    if all(x.isascii() and (x.isalnum() or x in '-.') for x in m) and len(m) <= 4:
        return m
    if len(m) == 1 and ord(m) >= 0x80 and unicodedata.category(m)[0] in 'LMN':
        return m
    return None


def idna():
    rows = []
    for cp in range(0x80, 0x30000):
        m = maps_to(cp)
        if m is None:
            continue
        if m.isascii():  # four octets of ASCII at most, the last one lowest
            value = 0x80000000
            for c in m:
                value = (value & 0x80000000) | ((value << 7) & 0x0fffffff) | ord(c)
        else:
            value = ord(m)
        rows.append(f'{{0x{cp:x}, 0x{value:x}}}')
    emit_array(f'static const uint32_t idna_map[{len(rows)}][2]', rows)


def main():
    if sys.argv[1:2] == ['tlds'] and len(sys.argv) == 3:
        print(f'/* Made by gen_tables.py from {sys.argv[2].rsplit("/", 1)[-1]}. */')
        tlds(sys.argv[2])
    elif sys.argv[1:] == ['entities'] or sys.argv[1:] == ['idna']:
        print('/* Made by gen_tables.py. */')
        entities() if sys.argv[1] == 'entities' else idna()
    else:
        sys.exit(__doc__)


main()
