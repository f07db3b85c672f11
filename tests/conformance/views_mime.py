#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""views_mime.py VIEWS-TOOL DIR — the structure of every message below DIR and the octets of its parts,
against Python's email package; and in runs of 1 and 97 octets against one run.

Lines end with CRLF, as SMTP brings them. Messages that the two read in another way are in DIFFER, with
what is different; one that is there and does not differ is a failure, too. POSTERN_CONFORMANCE names
another directory of data. Exit 77 without data.
"""

import email
import json
import os
import re
import subprocess
import sys
import tempfile

AS_TEXT = 'a multipart of which no part begins: here its text is a part, in Python its payload'
SPACED = 'a boundary with white space that is not quoted: Python has none'
NO_FIELD = 'a line in the header of the message that is no field: here it is passed over, in Python ' \
           'the body begins'
ENCODED = 'an encoded message: here it is read on'
DOUBLED = 'a delimiter behind a delimiter: here an empty part, in Python nothing'
LAST = 'Content-Type twice: here the last one counts, in Python the first'
DIFFER = {
    'attachment_message_rfc822_inline_image.eml': AS_TEXT,
    'bad_date_header2.eml': AS_TEXT,
    'empty_in_reply_to.eml': AS_TEXT,
    'missing_body.eml': AS_TEXT,
    'must_supply_encoding.eml': AS_TEXT,
    'missing-boundary.msg': AS_TEXT,
    'missing-inner-boundary.msg': AS_TEXT,
    'missing-inner-start-boundary.msg': AS_TEXT,
    'multipartnopart.msg': AS_TEXT,
    'badbound.msg': AS_TEXT,
    'ending-boundaries.msg': AS_TEXT,
    'multi-badnames.msg': SPACED,
    'multi-clen.msg': SPACED,
    'multi-digest.msg': SPACED,
    'multi-simple.msg': SPACED,
    'raw_email_incorrect_header.eml': NO_FIELD,
    'example13.eml': NO_FIELD,
    'malformedHeader-nocrlfcrlf.msg': NO_FIELD,
    'malformedHeader-noheader.msg': NO_FIELD,
    'malformedHeaderStartsBody-nocrlfcrlf.msg': NO_FIELD,
    'malformedHeaderStartsBody-noheader.msg': NO_FIELD,
    'obsolete.msg': NO_FIELD,
    'basic-plain-with-bad-header-separator.msg': 'a line of white space in a header folds (RFC 5322 4.2)',
    'hdr-fakeout.msg': 'a line of white space in a header folds (RFC 5322 4.2)',
    'bad-newlines-multiple-parts-base64.msg': ENCODED,
    'base64encoded-rfc822message-nested.msg': ENCODED,
    'base64encoded-rfc822message.msg': ENCODED,
    'multi-2gifs-base64.msg': ENCODED,
    '2002_06_12_doublebound.msg': DOUBLED,
    'double-bound.msg': DOUBLED,
    'multipartemptypart.msg': DOUBLED,
    'multiple_content_types.eml': LAST,
    'multi-bad.msg': LAST,
    'raw_email4.eml': 'Python takes a line end from a part that nothing ends',
    'jt-0498.msg': 'Python takes a line end from a part that nothing ends',
    'twopart.msg': 'white space behind "base64": Python does not decode then',
    'very-very-long-boundary.msg': 'a boundary longer than a line may be (LIMIT_MIME_BOUNDARY)',
}


def files(top):
    out = []
    for where, _, names in os.walk(top):
        out += [os.path.join(where, n) for n in names if not re.match(r'README|LICENSE|\.', n)]
    return sorted(out)


def trim(octets):
    """White space at ends of lines goes in quoted-printable; Python lets it stand."""
    return re.sub(rb'[ \t]+(?=\r?\n|$)', b'', octets)


def python_parts(m, depth=0):
    """(depth, type, octets or None for what has parts)"""
    kind = m.get_content_type()
    if m.is_multipart() and kind != 'message/delivery-status':
        yield depth, kind, None
        for part in m.get_payload():
            yield from python_parts(part, depth + 1)
    elif m.is_multipart():
        # Blocks of fields, which Python takes apart.
        yield depth, kind, b'?'
    else:
        data = m.get_payload(decode=True) or b''
        qp = (m.get('content-transfer-encoding') or '').strip().lower() == 'quoted-printable'
        yield depth, kind, trim(data) if qp else data


def our_parts(line):
    for p in json.loads(line)['parts']:
        data = p.get('data')
        if p['type'] == 'message/delivery-status':
            data = '?'
        data = None if data is None else data.encode('latin-1')
        yield p['depth'], p['type'], trim(data) if p['encoding'] == 2 and data else data


def difference(want, got):
    for a, b in zip(want, got):
        if a[:2] != b[:2]:
            return 'part is %s, not %s' % (b[:2], a[:2])
        if a[2] != b[2]:
            return 'octets of %s: %r, not %r' % (a[1], (b[2] or b'')[:300], (a[2] or b'')[:300])
    return None if len(want) == len(got) else '%d parts, not %d: %s' % (
        len(got), len(want), [p[:2] for p in (got if len(got) > len(want) else want)])


def run(tool, step, paths):
    out = subprocess.run([tool, '-s', str(step), 'parts'] + paths, check=True, capture_output=True)
    return out.stdout.decode('utf-8').rstrip('\n').split('\n')


def main():
    tool, top = sys.argv[1], sys.argv[2]
    if os.environ.get('POSTERN_CONFORMANCE'):
        top = os.path.join(os.environ['POSTERN_CONFORMANCE'], 'mime')
    found = files(top)
    if not found:
        print('no messages at', top)
        return 77
    failed = differ = 0
    with tempfile.TemporaryDirectory() as d:
        paths = []
        for i, name in enumerate(found):
            with open(name, 'rb') as f:
                data = re.sub(rb'\r?\n', b'\r\n', f.read())
            paths.append(os.path.join(d, str(i)))
            with open(paths[-1], 'wb') as f:
                f.write(data)
        whole = run(tool, 1 << 20, paths)
        for step in (1, 97):
            for name, a, b in zip(found, whole, run(tool, step, paths)):
                if a != b:
                    failed += 1
                    print('FAILED: %s: runs of %d give another structure' % (name, step))
        for name, path, line in zip(found, paths, whole):
            with open(path, 'rb') as f:
                want = list(python_parts(email.message_from_bytes(f.read())))
            why = difference(want, list(our_parts(line)))
            base = os.path.basename(name)
            if bool(why) == (base in DIFFER):
                differ += bool(why)
                continue
            failed += 1
            print('FAILED: %s: %s' % (base, why or 'does not differ any more'))
    print('structure: %d messages, %d read in another way (listed), %d failed' % (
        len(found), differ, failed))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
