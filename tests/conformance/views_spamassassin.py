#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""views_spamassassin.py VIEWS-TOOL PERL-SCRIPT DIR — body and rawbody of every message below DIR, and of
those here, against SpamAssassin's own.

SpamAssassin has a list of paragraphs and one of lines; here they are one text, each with a line end.
What is read in another way on purpose is in DIFFER. POSTERN_CONFORMANCE names another directory of
data. Exit 77 without SpamAssassin or without data.
"""

import json
import os
import subprocess
import sys
import tempfile

from views_mime import files

OWN = {
    'alternative': b'Content-Type: multipart/alternative; boundary=b\n\npre\n--b\n\nplain\n--b\n'
                   b'Content-Type: text/html\n\n<p>html <b>too</b></p>\n--b--\nepi\n',
    'white-space': b'\nFirst  line\nsecond\t x\n\n\n   third\xc2\xa0\xe2\x80\x83para\n \nA\x0bB\x0cC\x00D\rE\n',
    'types': b'Content-Type: multipart/mixed; boundary=b\n\n' + b''.join(
        b'--b\nContent-Type: %s\n\ntext of %s\n' % (t, t) for t in (
            b'text/plain', b'text/x-foo', b'text/calendar', b'text/x-vcard', b'text', b'text/',
            b'texthtml', b'image/png', b'message/delivery-status', b'message/partial',
            b'message/external-body; access-type=x', b'message/news', b'garbage')) + b'--b--\n',
    'message': b'Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n'
               b'Subject: in\n\nin\n--b\nContent-Type: message/global\n\nSubject: in\n\nglobal\n--b\n'
               b'Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n'
               b'Subject: x=3Dy\nContent-Transfer-Encoding: quoted-printable\n\na=3D3Db\n--b--\n',
    'digest': b'Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: in\n\nin\n--b--\n',
    'quoted-printable': b'Content-Transfer-Encoding: quoted-printable\n\na=3Db=XYc=3=\nd trailing   \n'
                        b'soft=  \nz=e9=0D=0Ay \t \nend=\n',
    'base64': b'Content-Transfer-Encoding: base64\n\nQUJD!QUJD\nQUJD-_QU\nJDQUI',
    'latin-1': b'Content-Type: text/plain; charset=iso-8859-1\n\n\xe9 \x80 \x93x\n',
    'no-charset': b'\n\xe9 \x80 x\n',
    'charset-unknown': b'Content-Type: text/plain; charset=foo\n\n\xe9 \x80 x\n',
    'utf-8-without-label': b'\n\xc3\xa9\n',
    'no-end': b'Content-Type: multipart/mixed; boundary=b\n\n--b\n\nlast\nno end\n',
    'no-such-boundary': b'Content-Type: multipart/mixed; boundary=z\n\ntext\n--b\n\nx\n--b--\n',
    'same-boundary': b'Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed;'
                     b' boundary=b\n\npre\n--b\n\nin\n--b--\n\nmid\n--b\n\nout\n--b--\n',
    'inner-open': b'Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed;'
                  b' boundary=c\n\n--c\n\nin\n--b\n\nout\n--b--\n',
    'delimiters': b'Content-Type: multipart/mixed; boundary=b\n\n--bb\nno\n--b x\nno\n--b \t\n\nyes\n--b-- \n',
    'only-an-end': b'Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b--\nepi\n',
    'no-fields': b'Content-Type: multipart/mixed; boundary=b\n\n--b\nno field\n--b\nContent-Type: text/html\n'
                 b'none <b>x</b>\n--b--\n',
    'twice': b'Content-Type: text/html\nContent-Type: text/plain\n\n<b>x</b>\n',
    'html-ends': b'Content-Type: multipart/mixed; boundary=b\n\n' + b''.join(
        b'--b\n\nplain\n--b\nContent-Type: text/html\n\n%s\n' % h for h in (
            b'<b>x</b>', b'<p>x</p>', b'<div>x</div>y', b' x ', b'<html><body>x<br>y</body></html>'))
                 + b'--b--\n',
}

UTF8 = 'text that is UTF-8 under another label: SpamAssassin believes the octets, readers the label'
BOUNDARY = 'a boundary that ends with white space (RFC 2046 5.1.1 has none): here it is without'
NO_BODY = 'a message of a header only, and no empty line: SpamAssassin knows no Subject then'
WORDS = 'white space beside encoded-words, as RFC 2047 6.2 has it; words of unknown charsets stay'
PRE = 'white space and breaks in HTML (html.h)'
DIFFER = {
    'attachment_pdf_non_ascii.eml': UTF8,
    'attachment_pdf_non_ascii_lf.eml': UTF8,
    'content_transfer_encoding_7-bit.eml': UTF8,
    'content_transfer_encoding_empty.eml': 'Big5 of which part is none',
    'content_transfer_encoding_with_semi_colon.eml': '"quoted-printable;" is undone here',
    'very-long-boundary.msg': BOUNDARY,
    'weird-boundary.msg': BOUNDARY,
    'very-very-long-boundary.msg': 'a boundary longer than a line may be (LIMIT_MIME_BOUNDARY)',
    'empty_in_reply_to.eml': NO_BODY,
    'must_supply_encoding.eml': NO_BODY,
    'missing_body.eml': 'one line end in a body without text',
    'bad_encoded_subject.eml': WORDS,
    'example14.eml': WORDS,
    'obsolete.msg': 'a field folded over an empty line',
    'content_transfer_encoding_with_8bits.eml': PRE,
    'raw_email_encoded_stack_level_too_deep.eml': PRE,
    'multipart_report_multiple_status.eml': PRE,
    '2002_06_12_doublebound.msg': PRE,
    'lennie.msg': PRE,
}


def lines(out):
    return [json.loads(line) for line in out.decode('utf-8').rstrip('\n').split('\n')]


def octets(text):
    return text.encode('latin-1')


def different(sa, ours):
    """SpamAssassin cuts paragraphs and lines that are long; joined they are whole again."""
    want = b''.join(octets(p) for p in sa['body'])
    if not want.endswith(b'\n'):
        want += b'\n'
    if want != octets(ours['body']):
        return 'body: %r, not %r' % (octets(ours['body'])[-300:], want[-300:])
    # Whether the last line of a part had an end cannot be told from the list.
    want = b''.join(octets(p) for p in sa['rawbody']).replace(b'\r\n', b'\n').replace(b'\n', b'')
    # Between parts there is a NUL here, and nothing in its list.
    want = want.replace(b'\0', b'')
    got = octets(ours.get('rawbody', '')).replace(b'\n', b'').replace(b'\0', b'')
    return None if want == got else 'rawbody: %r, not %r' % (got[:300], want[:300])


def main():
    tool, script, top = sys.argv[1:4]
    if os.environ.get('POSTERN_CONFORMANCE'):
        top = os.path.join(os.environ['POSTERN_CONFORMANCE'], 'mime')
    messages = [('own/' + name, b'Subject: a subject\nFrom: a@example.com\n' + data)
                for name, data in OWN.items()]
    for name in files(top):
        with open(name, 'rb') as f:
            messages.append((os.path.basename(name), f.read().replace(b'\r\n', b'\n')))
    if len(messages) == len(OWN):
        print('no messages at', top)
        return 77
    failed = differ = 0
    with tempfile.TemporaryDirectory() as d:
        lf, crlf = [], []
        for i, (_, data) in enumerate(messages):
            for paths, octs in ((lf, data), (crlf, data.replace(b'\n', b'\r\n'))):
                paths.append(os.path.join(d, '%d.%s' % (i, 'lf' if paths is lf else 'crlf')))
                with open(paths[-1], 'wb') as f:
                    f.write(octs)
        sa = subprocess.run(['perl', script] + lf, capture_output=True, check=False)
        if sa.returncode == 77:
            print('SpamAssassin is not installed')
            return 77
        sa = lines(sa.stdout)
        ours = lines(subprocess.run([tool, 'views'] + crlf, capture_output=True, check=True).stdout)
    if not len(sa) == len(ours) == len(messages):
        sys.exit('%d of SpamAssassin, %d of ours' % (len(sa), len(ours)))
    for (name, _), a, b in zip(messages, sa, ours):
        why = different(a, b)
        if bool(why) == (name in DIFFER):
            differ += bool(why)
            continue
        failed += 1
        print('FAILED: %s: %s' % (name, why or 'does not differ any more'))
    print('views: %d messages, %d read in another way (listed), %d failed' % (
        len(messages), differ, failed))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
