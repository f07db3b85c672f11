#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""charset_tables.py OUT.c: the tables of charset_tables.h, out of Python's own codecs.

Labels are compared without case and without what is no letter or digit, so one entry here stands
for "ISO-8859-1", "iso8859_1" and "ISO 8859-1". Where the label of mail and the octets in it differ
by custom, the wider charset is taken, as browsers do: Latin-1 is Windows-1252, Shift_JIS is CP932.
"""

import re
import sys
from encodings.aliases import aliases

# Single octets: codec of Python, further labels.
SINGLE = {
    'cp1252': 'iso88591 latin1 l1 cp819 ibm819 isoir100 iso885911987 csisolatin1 windows1252 ansi',
    'iso8859_2': 'iso88592 latin2 l2 isoir101 iso885921987 csisolatin2',
    'iso8859_3': 'iso88593 latin3 l3 csisolatin3',
    'iso8859_4': 'iso88594 latin4 l4 csisolatin4',
    'iso8859_5': 'iso88595 cyrillic csisolatincyrillic isoir144',
    'iso8859_6': 'iso88596 arabic ecma114 asmo708 iso88596e iso88596i csisolatinarabic',
    'iso8859_7': 'iso88597 greek greek8 ecma118 elot928 csisolatingreek suneugreek',
    'iso8859_8': 'iso88598 hebrew iso88598e iso88598i csisolatinhebrew visual logical',
    'cp1254': 'iso88599 latin5 l5 isoir148 windows1254 csisolatin5',
    'iso8859_10': 'iso885910 latin6 l6 csisolatin6',
    'cp874': 'iso885911 tis620 windows874 dos874 thai',
    'iso8859_13': 'iso885913 latin7 l7',
    'iso8859_14': 'iso885914 latin8 l8',
    'iso8859_15': 'iso885915 latin9 l9 csisolatin9',
    'iso8859_16': 'iso885916 latin10 l10',
    'cp1250': 'windows1250', 'cp1251': 'windows1251', 'cp1253': 'windows1253',
    'cp1255': 'windows1255', 'cp1256': 'windows1256', 'cp1257': 'windows1257',
    'cp1258': 'windows1258',
    'koi8_r': 'koi8r koi koi8 cskoi8r', 'koi8_u': 'koi8u koi8ru', 'koi8_t': '', 'kz1048': '',
    'ptcp154': '',
    'cp437': 'ibm437', 'cp737': 'ibm737', 'cp775': 'ibm775', 'cp850': 'ibm850', 'cp852': 'ibm852',
    'cp855': 'ibm855', 'cp857': 'ibm857', 'cp858': 'ibm858', 'cp860': 'ibm860', 'cp861': 'ibm861',
    'cp862': 'ibm862', 'cp863': 'ibm863', 'cp864': 'ibm864', 'cp865': 'ibm865',
    'cp866': 'ibm866 csibm866', 'cp869': 'ibm869', 'cp1125': 'ibm1125',
    'mac_roman': 'macintosh mac xmacroman macroman csmacintosh',
    'mac_cyrillic': 'xmaccyrillic maccyrillic xmacukrainian', 'mac_greek': 'macgreek xmacgreek',
    'mac_latin2': 'maclatin2 xmacce maccentraleurope', 'mac_turkish': 'macturkish xmacturkish',
    'mac_iceland': 'maciceland xmaciceland', 'hp_roman8': 'hproman8 roman8',
}

# enum charset_kind, without CHARSET_K_: the codec of Python whose aliases it has, further labels.
OTHER = {
    'UTF8': ('utf_8', 'utf8 unicode11utf8 unicode20utf8 xunicode20utf8 cp65001 utf8mb4'),
    'ASCII': ('ascii', 'usascii ascii us ansix341968 ansix341986 iso646us iso646irv1991 cp367'
              ' csascii 7bit 646'),
    'UTF7': ('utf_7', 'utf7 unicode11utf7 csunicode11utf7 cp65000 xunicode20utf7'),
    'UTF16': ('utf_16', 'utf16 unicode iso10646ucs2 ucs2 csunicode utf16le unicodelittle unicodefeff'),
    'UTF16BE': ('utf_16_be', 'utf16be unicodebig unicodefffe'),
    'GB18030': (None, 'gb18030 gbk xgbk cp936 windows936 ms936 gb2312 gb231280 chinese csgb2312'
                ' isoir58 csiso58gb231280 euccn eucgb2312cn gb180302000 gb180302022'),
    'BIG5': (None, 'big5 big5tw cnbig5 csbig5 xxbig5 big5hkscs cp950 windows950 ms950 big5eten'
             ' big5uao'),
    'SJIS': (None, 'shiftjis sjis xsjis csshiftjis mskanji windows31j cswindows31j cp932 ms932'
             ' windows932 xmscp932 shiftjis2004 shiftjisx0213'),
    'EUCJP': (None, 'eucjp xeucjp cseucpkdfmtjapanese ujis eucjpms cp51932 eucjpwin'
              ' extendedunixcodepackedformatforjapanese'),
    'ISO2022JP': (None, 'iso2022jp csiso2022jp iso2022jp1 iso2022jp2 iso2022jpms cp50220 cp50221'
                  ' cp50222 iso2022jpext jis'),
    'EUCKR': (None, 'euckr cseuckr ksc5601 ksc56011987 ksc56011989 ksc5601 ksx1001 korean isoir149'
              ' csksc56011987 cp949 windows949 ms949 uhc xwindows949'),
}


def label(name):
    return re.sub('[^a-z0-9]', '', name.lower())


def decode(octets, *codecs):
    """The one BMP character of these octets, or 0."""
    for codec in codecs:
        try:
            text = octets.decode(codec)
        except UnicodeDecodeError:
            continue
        if len(text) == 1 and ord(text) <= 0xffff:
            return ord(text)
    return 0


def table(out, name, values):
    out.write('const uint16_t %s[%s] = {\n' % (name, len(values)))
    for i in range(0, len(values), 12):
        out.write('\t' + ' '.join('%d,' % v for v in values[i:i + 12]) + '\n')
    out.write('};\n')


def labels():
    found = {}

    def add(names, kind, index):
        for name in names:
            if found.setdefault(label(name), (kind, index)) != (kind, index):
                sys.exit('label %s is given twice' % name)

    for index, (codec, more) in enumerate(SINGLE.items()):
        names = {codec} | set(more.split()) | {a for a, c in aliases.items() if c == codec}
        if codec.startswith('cp'):
            names |= {'x' + codec, codec[2:]}
        add(names, 'SINGLE', index)
    for kind, (codec, more) in OTHER.items():
        add(set(more.split()) | {a for a, c in aliases.items() if codec and c == codec}, kind, 0)
    return sorted(found.items())


def gb18030_ranges():
    """Where four octets, counted through, begin to be another run of code points."""
    runs, expect = [], None
    for n in range(39420):
        octets = bytes((0x81 + n // 12600, 0x30 + n // 1260 % 10, 0x81 + n // 10 % 126, 0x30 + n % 10))
        cp = decode(octets, 'gb18030')
        if not runs or cp != expect:
            runs.append((n, cp))
        expect = cp + 1 if cp else 0
    return runs


def main():
    with open(sys.argv[1], 'w', encoding='ascii') as out:
        out.write('/* Made by charset_tables.py. */\n'
                  '#include "dataplane/content/charset_tables.h"\n')
        single = [decode(bytes([c]), codec) for codec in SINGLE for c in range(128, 256)]
        table(out, 'charset_single', single)
        table(out, 'charset_gbk',
              [decode(bytes((a, b)), 'gb18030') for a in range(0x81, 0xff)
               for b in range(0x40, 0xff) if b != 0x7f])
        table(out, 'charset_big5',
              [decode(bytes((a, b)), 'cp950', 'big5hkscs') for a in range(0x81, 0xff)
               for b in range(0x40, 0xff) if b < 0x7f or b > 0xa0])
        table(out, 'charset_jis0208',
              [decode(bytes((a, b)), 'cp932')
               for a in list(range(0x81, 0xa0)) + list(range(0xe0, 0xfd))
               for b in range(0x40, 0xfd) if b != 0x7f])
        table(out, 'charset_jis0212',
              [decode(bytes((0x8f, a, b)), 'euc_jp') for a in range(0xa1, 0xff)
               for b in range(0xa1, 0xff)])
        table(out, 'charset_euckr',
              [decode(bytes((a, b)), 'cp949') for a in range(0x81, 0xff)
               for b in range(0x41, 0xff)])
        runs = gb18030_ranges()
        out.write('const struct charset_range charset_gb18030[] = {\n')
        out.writelines('\t{%d, %d},\n' % run for run in runs)
        out.write('};\nconst size_t charset_gb18030_n = %d;\n' % len(runs))
        names = labels()
        out.write('const struct charset_label charset_label[] = {\n')
        out.writelines('\t{"%s", CHARSET_K_%s, %d},\n' % (n, k, i) for n, (k, i) in names)
        out.write('};\nconst size_t charset_label_n = %d;\n' % len(names))
        out.write('const uint8_t charset_windows1252 = %d;\n' % list(SINGLE).index('cp1252'))


if __name__ == '__main__':
    main()
