#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""views_charset.py VIEWS-TOOL — every character of every charset, against Python's codecs.

One file a charset holds all characters the codec can write, a space between them; it is converted
in one run and in runs of three octets. Where labels of mail mean more than the charset of that name
(Latin-1 is Windows-1252), the codec is the wider one.
"""

import os
import subprocess
import sys
import tempfile

# label: codec
CHARSETS = {
    'utf-8': 'utf-8', 'us-ascii': 'ascii', 'iso-8859-1': 'cp1252', 'utf-7': 'utf-7',
    'utf-16': 'utf-16', 'utf-16be': 'utf-16-be', 'utf-16le': 'utf-16-le',
    'gb18030': 'gb18030', 'gbk': 'gbk', 'gb2312': 'gb2312', 'big5': 'cp950', 'shift_jis': 'cp932',
    'euc-jp': 'euc_jp', 'iso-2022-jp': 'iso2022_jp', 'euc-kr': 'euc_kr', 'windows-949': 'cp949',
    'iso-8859-9': 'cp1254', 'iso-8859-11': 'cp874', 'koi8-r': 'koi8_r', 'koi8-u': 'koi8_u',
    'iso-2022-jp-1': 'iso2022_jp_1',
}
CHARSETS.update({'iso-8859-%d' % n: 'iso8859_%d' % n for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)})
CHARSETS.update({'windows-%d' % n: 'cp%d' % n for n in range(1250, 1259)})
CHARSETS.update({'cp%d' % n: 'cp%d' % n for n in (437, 850, 852, 866, 874)})
# Python writes these in another way than it reads them, or other software does: U+FF5E and the like,
# which CP932 and JIS X 0208 map differently; the table is CP932's.
DIFFER = {
    'euc-jp': '\\~¥‾〜‖−¢£¬—', 'iso-2022-jp': '\\~¥‾〜‖−¢£¬—', 'iso-2022-jp-1': '\\~¥‾〜‖−¢£¬—',
    'gb2312': '・―',     # GB 2312 in software is GBK: U+00B7, U+2014
    'shift_jis': '\x80\uf8f0\uf8f1\uf8f2\uf8f3',  # octets that are no character
}


def characters(label, codec):
    out = []
    for cp in range(0x20, 0x110000):
        if 0xd800 <= cp < 0xe000 or cp == 0xfeff or (cp > 0xffff and cp % 251):
            continue
        c = chr(cp)
        if c in DIFFER.get(label, ''):
            continue
        try:
            octets = c.encode(codec)
            # Not what is written as something else: best fit, Hangul by its letters.
            if octets.decode(codec) != c or (codec == 'euc_kr' and len(octets) > 2):
                continue
        except UnicodeError:
            continue
        out.append(c)
    return out


def main():
    tool = sys.argv[1]
    failed = total = 0
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, 'text')
        for label, codec in CHARSETS.items():
            chars = characters(label, codec)
            text = ' '.join(chars)
            with open(path, 'wb') as f:
                f.write(text.encode(codec))
            total += len(chars)
            for step in ('65536', '3'):
                got = subprocess.run([tool, '-s', step, 'charset', label, path], check=True,
                                     capture_output=True).stdout.decode('utf-8')
                if got == text:
                    continue
                failed += 1
                pairs = [(a, b) for a, b in zip(text.split(' '), got.split(' ')) if a != b]
                print('FAILED: %s, runs of %s: %d differ: %s' % (label, step, len(pairs), ' '.join(
                    'U+%04X is %s' % (ord(a), '+'.join('%04X' % ord(x) for x in b))
                    for a, b in pairs[:8] if a)))
    print('charsets: %d, %d characters, %d failed' % (len(CHARSETS), total, failed))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
