# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The HTML of scan_mail.py: what four kinds of programs write. Each gives the text part and the HTML part; `m` is the
Writer that makes the words."""

import html

import scan_words as w

FONT = "font-family:Helvetica,Arial,sans-serif;"
# What a word processor puts before a letter.
MSO = """<html xmlns:o="urn:schemas-microsoft-com:office:office" xmlns="http://www.w3.org/TR/REC-html40">
<head><meta http-equiv="Content-Type" content="text/html; charset=utf-8">
<meta name="Generator" content="Example Word 16 (filtered)">
<!--[if gte mso 9]><xml><o:shapedefaults v:ext="edit" spidmax="1026"/></xml><![endif]-->
<style><!--
""" + "".join(f"""{name}
\t{{margin:{k}.0pt {k}.0pt 0cm 0cm;
\tfont-size:1{k}.0pt;
\tfont-family:"Calibri",sans-serif;
\tmso-style-priority:9{k};}}
""" for k, name in enumerate(("p.MsoNormal, li.MsoNormal, div.MsoNormal", "a:link, span.MsoHyperlink", "p.MsoListParagraph",
                              "span.EmailStyle17", ".MsoChpDefault", "div.WordSection1"))) + """--></style></head>
<body lang="EN-GB" link="#0563C1" vlink="#954F72"><div class="WordSection1">
"""
RESPONSIVE = "".join(
    f".{c} {{ width: 100% !important; max-width: {n}px !important; padding-left: {n // 40}px !important; }}\n"
    for c, n in (("wrapper", 600), ("column", 480), ("hero-image", 600), ("mobile-pad", 320), ("button-td", 280),
                 ("footer-cell", 560)))


def escape(s):
    return html.escape(s, quote=False)


def _linked(m, s):
    """Escaped, with the URLs in it as links."""
    return " ".join(f'<a href="{html.escape(x)}">{escape(x)}</a>' if x.startswith("http") else escape(x)
                    for x in s.split(" "))


def _words(m, size):
    language, spam = m.language(), m.chance(0.03)
    return [m.fill(m.pick(w.OPENINGS)), *m.paragraphs(size, language=language, spam=spam), m.fill(m.pick(w.CLOSINGS)),
            m.pick(w.FIRST)]


def letter(m):
    words = _words(m, m.size(1400, 0.9, 60, 15e3))
    quoted = m.paragraphs(m.size(1200, 0.8, 60, 9e3)) if m.chance(0.6) else []
    who = "%s &lt;<a href=\"mailto:%s\">" % m.address()
    page = "".join(f"<div>{_linked(m, p)}</div><div><br></div>" for p in words)
    page = f'<div dir="ltr">{page}</div>\n'
    if quoted:
        page += ('<br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">On '
                 f'{m.field("date")}, {who}mail</a>&gt; wrote:<br></div>'
                 '<blockquote class="gmail_quote" style="margin:0px 0px 0px 0.8ex;border-left:1px solid rgb(204,204,204);'
                 'padding-left:1ex">' + "".join(f"<p>{_linked(m, p)}</p>\n" for p in quoted) + "</blockquote></div>\n")
    return "\n\n".join(words + [">" + q for q in quoted]), page


def outlook(m):
    words, quoted = _words(m, m.size(1500, 0.9, 60, 15e3)), m.paragraphs(m.size(1500, 0.9, 60, 9e3))
    p = ('<p class="MsoNormal"><span lang="EN-US" style="font-size:11.0pt;color:#1F497D;mso-fareast-language:EN-US">%s'
         '<o:p></o:p></span></p>\n')
    gap = '<p class="MsoNormal"><o:p>&nbsp;</o:p></p>\n'
    name, addr = m.address()
    page = MSO + gap.join(p % _linked(m, s) for s in words) + (
        '<div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm">\n'
        f'<p class="MsoNormal"><b>From:</b> {name} &lt;{addr}&gt;<br><b>Sent:</b> {m.field("date")}<br>'
        f'<b>To:</b> {m.address()[0]}<br><b>Subject:</b> RE: {escape(m.noun())}<o:p></o:p></p></div>\n')
    page += gap.join(p % _linked(m, s) for s in quoted) + "</div></body></html>\n"
    return "\n\n".join(words + [f"From: {name} <{addr}>"] + quoted), page


def _row(m, cells):
    return "<tr>" + "".join(
        '<td style="padding:8px 12px;border-bottom:1px solid #e5e5e5;font-size:14px;line-height:20px;color:#333333;'
        f'{FONT}">{escape(c)}</td>' for c in cells) + "</tr>\n"


def notice(m):
    """An order, an account: one column, a table, a button."""
    words = m.paragraphs(m.size(700, 0.6, 100, 4e3))
    rows = [(m.noun().capitalize(), f"{m.below(1, 9)} x", m.field("money")) for _ in range(m.below(2, 14))]
    link = m.url(True)
    page = ('<!DOCTYPE html>\n<html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<title>{escape(m.noun())}</title></head>\n'
            '<body style="margin:0;padding:0;background-color:#f6f6f6;">\n'
            '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"><tr><td align="center">\n'
            + "".join(f'<p style="margin:0 0 16px;font-size:15px;line-height:24px;{FONT}">{_linked(m, p)}</p>\n'
                      for p in words)
            + '<table width="560" style="border-collapse:collapse;">\n' + "".join(_row(m, r) for r in rows) + "</table>\n"
            + f'<a href="{html.escape(link)}" style="display:inline-block;background:#0a66c2;color:#ffffff;padding:12px 24px;'
              f'border-radius:4px;text-decoration:none;{FONT}">View your {escape(m.noun())}</a>\n</td></tr></table>\n'
            f'<img src="https://open.{m.host()}/o/{m.token(90)}" width="1" height="1" alt="" style="display:none">\n'
            '</body></html>\n')
    return "\n\n".join(words + ["%s %s %s" % r for r in rows] + [link]), page


def _tile(m):
    link = html.escape(m.url(True))
    picture = f"https://img.{m.host()}/{m.token(8)}/{m.below(100, 999)}x{m.below(100, 999)}/{m.word('n')}.png"
    text = m.fill(m.pick(w.MARKETING)).capitalize()
    return text, (
        '<td class="column" width="280" valign="top" style="padding:10px;mso-table-lspace:0pt;mso-table-rspace:0pt;">\n'
        f'<a href="{link}" target="_blank" style="text-decoration:none;"><img src="{picture}" width="260" '
        f'alt="{escape(m.noun())}" border="0" style="display:block;width:100%;max-width:260px;height:auto;'
        '-ms-interpolation-mode:bicubic;"></a>\n'
        f'<h3 style="margin:12px 0 4px;font-size:18px;line-height:22px;font-weight:bold;color:#222222;{FONT}">'
        f'{escape(text)}</h3>\n<p style="margin:0;font-size:14px;line-height:20px;color:#555555;{FONT}">'
        f'{escape(m.sentence())} {escape(m.sentence())}</p>\n<table cellpadding="0" cellspacing="0" border="0"><tr>'
        '<td class="button-td" bgcolor="#e4002b" style="border-radius:3px;">'
        f'<a href="{link}" style="display:inline-block;padding:10px 18px;color:#ffffff;font-size:13px;{FONT}">'
        f'{m.pick(["Shop now", "Read more", "Discover", "Get the offer", "Book today"])}</a></td></tr></table>\n'
        '</td>\n')


def newsletter(m):
    tiles = [_tile(m) for _ in range(m.size(11, 0.6, 4, 40))]
    words = m.paragraphs(m.size(800, 0.5, 200, 4e3), offers=True)
    foot, leave = m.fill(w.DISCLAIMERS[2]), m.url(True)
    page = ('<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" '
            '"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n<html xmlns="http://www.w3.org/1999/xhtml"><head>'
            '<meta http-equiv="Content-Type" content="text/html; charset=utf-8" />\n<style type="text/css">\n'
            'body, table, td, a { -webkit-text-size-adjust: 100%; -ms-text-size-adjust: 100%; }\n'
            'img { border: 0; height: auto; outline: none; }\n'
            f'@media screen and (max-width: 600px) {{\n{RESPONSIVE}}}\n</style>\n<!--[if gte mso 9]><xml>'
            '<o:OfficeDocumentSettings><o:AllowPNG/></o:OfficeDocumentSettings></xml><![endif]--></head>\n'
            '<body style="margin:0 !important;padding:0 !important;background-color:#eeeeee;">\n'
            '<div style="display:none;font-size:1px;line-height:1px;max-height:0px;opacity:0;overflow:hidden;">'
            + escape(m.sentence()) + "&nbsp;&zwnj;" * m.below(10, 120) + "</div>\n"
            '<table class="wrapper" border="0" cellpadding="0" cellspacing="0" width="100%" style="border-spacing:0;">\n'
            '<tr>\n')
    for i, (_, tile) in enumerate(tiles):
        page += tile + ("</tr>\n<tr>\n" if i % 2 else "")
    page += "</tr>\n" + "".join(
        f'<tr><td colspan="2" style="padding:20px;font-size:16px;line-height:24px;color:#444444;{FONT}">'
        f'{_linked(m, p)}</td></tr>\n' for p in words)
    page += (f'<tr><td class="footer-cell" colspan="2" style="font-size:11px;color:#999999;{FONT}">{escape(foot)} '
             f'<a href="{html.escape(leave)}" style="color:#999999;">Unsubscribe</a> &copy; 2026</td></tr></table>\n'
             f'<img src="https://open.{m.host()}/o.gif?{m.token(120)}" height="1" width="1" alt="">\n</body></html>\n')
    return "\n\n".join(words + [t + "\n" + m.url(True) for t, _ in tiles] + [foot, leave]), page
