"""Draws the ratios as an SVG: one line per cell with its median, interval and target. No library, so that it needs none."""

from html import escape

from . import cells
from .stats import Figure

WIDTH, LEFT, RIGHT, TOP, ROW, GAP = 960, 330, 150, 56, 20, 34
RATIO_MAX = 1.8
INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
MET, MISSED, PLAIN, TARGET = "#1b7f5c", "#c2410c", "#3e5c8a", "#b8860b"


def ratios(figures: list[Figure]) -> str:
    """The picture."""
    body: list[str] = []
    y = TOP
    for section, title in cells.SECTIONS.items():
        rows = [figure for figure in figures if figure.measured.cell.section == section and figure.ratio]
        if not rows:
            continue
        body.append(text(12, y + 4, title, weight="bold"))
        y += ROW
        for figure in rows:
            body += row(figure, y)
            y += ROW
        y += GAP - ROW
    return "\n".join([head(y), *grid(y - GAP / 2), *body, "</svg>"]) + "\n"


def head(height: float) -> str:
    """Opening tag, ground, title and legend."""
    legend = "dot: median of the pairs; bar: 95 % interval; whisker: quartiles; tick: target. Left of 1: cheaper than what it is paired with."
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="white"/>',
        text(12, 18, "Server CPU per operation, A over B", weight="bold"),
        text(12, 35, legend, fill=FAINT),
    ])


def grid(bottom: float) -> list[str]:
    """Lines at every 0.2, a strong one at 1."""
    lines = []
    for tenth in range(0, round(RATIO_MAX * 10) + 1, 2):
        x = place(tenth / 10)
        colour = FAINT if tenth == 10 else GRID
        lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{bottom:.1f}" stroke="{colour}"/>')
        lines.append(text(x, bottom + 12, f"{tenth / 10:.1f}", fill=FAINT, anchor="middle"))
    return lines


def row(figure: Figure, y: float) -> list[str]:
    """One cell."""
    cell, ratio = figure.measured.cell, figure.ratio
    colour = PLAIN if cell.target is None else MET if ratio.median <= cell.target else MISSED
    label = f"{cell.label}: {cell.a}" if cell.section in (cells.FLOOR, cells.NULL) else cell.label
    low, high = (place(end) for end in ratio.interval)
    marks = [
        text(LEFT - 12, y + 4, label, anchor="end"),
        line(place(ratio.quartiles[0]), place(ratio.quartiles[1]), y, colour, 1.5),
        line(low, max(high, low + 1), y, colour, 6, opacity=0.45),
        f'<circle cx="{place(ratio.median):.1f}" cy="{y}" r="4" fill="{colour}"/>',
        text(WIDTH - RIGHT + 16, y + 4, f"{ratio.median:.3f}", fill=colour, weight="bold"),
    ]
    if cell.target is not None:
        x = place(cell.target)
        marks.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 8}" y2="{y + 8}" stroke="{TARGET}" stroke-width="2.5"/>')
        marks.append(text(WIDTH - RIGHT + 62, y + 4, f"≤ {cell.target:.2f}", fill=TARGET))
    return marks


def place(ratio: float) -> float:
    """Where a ratio stands; what is off the scale stands at its end."""
    return LEFT + min(ratio, RATIO_MAX) / RATIO_MAX * (WIDTH - LEFT - RIGHT)


def line(start: float, end: float, y: float, colour: str, width: float, opacity: float = 1) -> str:
    """A horizontal line."""
    return (f'<line x1="{start:.1f}" x2="{end:.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="{width}" '
            f'stroke-opacity="{opacity}"/>')


def text(x: float, y: float, words: str, fill: str = INK, anchor: str = "start", weight: str = "normal") -> str:
    """A line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'
