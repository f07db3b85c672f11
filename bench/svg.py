# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Plots and flame graphs as SVG, by hand: a report is then one file of text beside its pictures, and nothing is installed for it."""
import collections
import math
from xml.sax.saxutils import escape

COLOURS = ("#1b6ca8", "#c4501b", "#2e8540", "#7b3fa0", "#8a6d00", "#b0004e")
WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 84, 24, 40, 56
STYLE = "<style>text{font:12px sans-serif;fill:#222}.t{font-size:15px;font-weight:bold}.g{stroke:#ddd}.a{stroke:#222}</style>"


def head(width, height):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">{STYLE}'
            f'<rect width="{width}" height="{height}" fill="#fff"/>')


def short(v):
    """10000 → 10k"""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(v) >= size:
            return f"{v / size:g}{letter}"
    return f"{v:.3g}"


def nice_step(span, most):
    raw = span / most
    ten = 10 ** math.floor(math.log10(raw))
    return next(m * ten for m in (1, 2, 5, 10) if m * ten >= raw * 0.999)


class Axis:
    """Values → places between two ends; ticks."""

    def __init__(self, values, log, begin, end):
        self.log, self.begin, self.end = log, begin, end
        low, high = min(values), max(values)
        if log:
            self.low, self.high = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
            self.high = max(self.high, self.low + 1)
            self.ticks = [10.0 ** e for e in range(self.low, self.high + 1)]
        else:
            low = min(low, 0)
            step = nice_step(high - low or 1, 6)
            self.low, self.high = math.floor(low / step) * step, max(math.ceil(high / step), math.floor(low / step) + 1) * step
            self.ticks = [self.low + i * step for i in range(round((self.high - self.low) / step) + 1)]

    def at(self, v):
        x = math.log10(v) if self.log else v
        return self.begin + (x - self.low) / (self.high - self.low) * (self.end - self.begin)


def line(x1, y1, x2, y2, more='class="g"'):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {more}/>'


def text(x, y, what, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(str(what))}</text>'


def plot(title, x_label, y_label, series, log_x=False, log_y=False):
    """series: {name: [(x, median, low, high)]}. Points with their spread, joined by lines. What a logarithm cannot show is left out."""
    points = {n: sorted(p for p in ps if (not log_x or p[0] > 0) and (not log_y or p[2] > 0)) for n, ps in series.items()}
    points = {n: ps for n, ps in points.items() if ps}
    if not points:
        return None
    every = [p for ps in points.values() for p in ps]
    x = Axis([p[0] for p in every], log_x, LEFT, WIDTH - RIGHT)
    y = Axis([v for p in every for v in (p[2], p[3])], log_y, HEIGHT - BOTTOM, TOP)
    out = [head(WIDTH, HEIGHT + 18 * len(points)), text(LEFT, 22, title, 'class="t"')]
    for t in x.ticks:
        out += [line(x.at(t), TOP, x.at(t), HEIGHT - BOTTOM), text(x.at(t), HEIGHT - BOTTOM + 18, short(t), 'text-anchor="middle"')]
    for t in y.ticks:
        out += [line(LEFT, y.at(t), WIDTH - RIGHT, y.at(t)), text(LEFT - 8, y.at(t) + 4, short(t), 'text-anchor="end"')]
    out += [line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, 'class="a"'), line(LEFT, TOP, LEFT, HEIGHT - BOTTOM, 'class="a"'),
            text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_label, 'text-anchor="middle"'),
            text(0, 0, y_label, f'text-anchor="middle" transform="translate(16,{(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)"')]
    for i, (name, ps) in enumerate(points.items()):
        c = COLOURS[i % len(COLOURS)]
        out.append(f'<polyline fill="none" stroke="{c}" stroke-width="2" points="'
                   + " ".join(f"{x.at(p[0]):.1f},{y.at(p[1]):.1f}" for p in ps) + '"/>')
        for p in ps:
            out += [line(x.at(p[0]), y.at(p[2]), x.at(p[0]), y.at(p[3]), f'stroke="{c}" stroke-width="1.5"'),
                    f'<circle cx="{x.at(p[0]):.1f}" cy="{y.at(p[1]):.1f}" r="3.5" fill="{c}"><title>{escape(name)}: {p[1]:.4g} '
                    f'({p[2]:.4g}–{p[3]:.4g}) at {p[0]:g}</title></circle>']
        at = HEIGHT + 18 * i + 4
        out += [line(LEFT, at - 4, LEFT + 24, at - 4, f'stroke="{c}" stroke-width="3"'), text(LEFT + 32, at, name)]
    return "\n".join([*out, "</svg>"]) + "\n"


# ---- flame graphs ------------------------------------------------------------------------------

ROW = 17
FLAME_WIDTH = 1200


def tree_of(folded):
    """{"a;b;c": n} → {name: [n, children]}"""
    root = {}
    for stack, n in sorted(folded.items()):
        level = root
        for frame in stack.split(";"):
            node = level.setdefault(frame, [0, {}])
            node[0] += n
            level = node[1]
    return root


def depth(level):
    return 1 + max((depth(children) for _, children in level.values()), default=0) if level else 0


def self_shares(folded):
    """[(function, share of all samples in which it was on top)], the largest first."""
    top = collections.Counter()
    for stack, n in folded.items():
        top[stack.rsplit(";", 1)[-1]] += n
    total = sum(top.values())
    return [(f, n / total) for f, n in top.most_common()]


def flame(title, folded):
    """Width is samples, height is depth; alphabetical, as there is no order of time in it. Below a fifth of a pixel nothing is drawn."""
    total = sum(folded.values())
    if not total:
        return None
    root = tree_of(folded)
    height = (depth(root) + 1) * ROW + 50
    out = [head(FLAME_WIDTH, height), text(10, 22, title, 'class="t"')]

    def draw(level, x, row):
        for name, (n, children) in sorted(level.items()):
            w = n / total * FLAME_WIDTH
            if w >= 0.2:
                box(name, n, x, height - 10 - (row + 1) * ROW, w)
                draw(children, x, row + 1)
            x += w

    def box(name, n, x, y, w):
        hue = 10 + sum(name.encode()) % 45
        letters = int(w / 6.6) - 1
        label = name if len(name) <= letters else name[:letters - 2] + "…" if letters > 4 else ""
        out.append(f'<g><title>{escape(name)}: {n} samples, {100 * n / total:.2f} %</title><rect x="{x:.2f}" y="{y}" width="{max(w - 0.4, 0.2):.2f}" '
                   f'height="{ROW - 1}" fill="hsl({hue},85%,62%)"/>' + (text(x + 3, y + 12, label) if label else "") + "</g>")

    draw(root, 0.0, 0)
    return "\n".join([*out, "</svg>"]) + "\n"
