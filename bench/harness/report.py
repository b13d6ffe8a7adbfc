"""Writes a result directory: result.md to read, ratios.svg to look at, cells.json and windows.csv to work on."""

import csv
import dataclasses
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from . import cells, plot, rows, stats
from .cells import Cell
from .experiment import FOREIGN_SHARE_MAX, IDLE_SHARE_MAX, STEAL_SHARE_MAX, WAIT_SHARE_MAX, Plan
from .rows import Row
from .stats import Figure, Ratio


@dataclass(frozen=True)
class Run:
    """All that a report is made of."""

    day: date
    quick: bool
    plan: Plan
    facts: dict[str, str]
    figures: list[Figure]
    rows: list[Row] = dataclasses.field(default_factory=list)
    failures: list[str] = dataclasses.field(default_factory=list)


def write(run: Run, directory: Path) -> None:
    """Writes all files."""
    directory.mkdir(parents=True)
    (directory / "result.md").write_text(markdown(run))
    (directory / "ratios.svg").write_text(plot.ratios(run.figures))
    (directory / "cells.json").write_text(json.dumps(as_json(run), indent=1) + "\n")
    write_windows(run, directory / "windows.csv")


def markdown(run: Run) -> str:
    """The report."""
    parts = [heading(run), targets(run), not_ahead(run), noise(run), "![Server CPU per operation, as ratios](ratios.svg)"]
    parts += groups(run)
    for section in (section for section in cells.SECTIONS if section != cells.NULL):
        parts.append(section_tables(run, section))
        if section == cells.FLOOR:
            parts.append(floor_multiples(run))
    parts += [rejects(run), machine(run), method(run)]
    return "\n\n".join(part for part in parts if part) + "\n"


def heading(run: Run) -> str:
    """Title, and how to read every ratio."""
    lines = [f"# pantry, measured side by side: {run.day}", ""]
    if run.quick:
        lines += ["**A quick run: too few pairs for a figure. It shows whether something broke, not how fast it is.**", ""]
    if run.plan.keep_noisy:
        lines += ["**Disturbed pairs were kept (`--keep-noisy`): these numbers prove the tools, nothing else.**", ""]
    lines.append("A ratio is server CPU per operation, A over B: below 1, A is cheaper. It is the median of paired windows; "
                 f"in brackets the {stats.CONFIDENCE:.0%} bootstrap interval of the median, then the quartiles of the pairs.")
    return "\n".join(lines)


def targets(run: Run) -> str:
    """What was asked for, next to what was reached."""
    lines = []
    for cell in cells.all_cells():
        if cell.target is None and cell.excess_max_ns is None:
            continue
        figure = next((figure for figure in run.figures if figure.measured.cell == cell), None)
        asked = f"≤ {cell.target:.2f}" if cell.target is not None else f"≤ {cell.b} + {cell.excess_max_ns / 1e3:.2f} µs"
        lines.append([f"{cell.label}: {cell.a} / {cell.b}", asked, reached(cell, figure), verdict(cell, figure, run.plan.pairs)])
    lines += [[f"{row.group}: {row.what}", f"{row.target} {row.unit}", rows.number(row.values.get(cells.PANTRY)), rows.verdict(row)]
              for row in run.rows if row.target]
    return "## Targets\n\n" + table(["what", "target", "reached", "met"], lines)


def reached(cell: Cell, figure: Figure | None) -> str:
    """The figure that the target is about."""
    if cell.excess_max_ns is not None and figure and figure.measured.kept:
        return f"**+ {stats.excess_ns(figure.measured.kept) / 1e3:.3f} µs**"
    return interval(figure.ratio if figure else None)


def verdict(cell: Cell, figure: Figure | None, pairs: int) -> str:
    """Whether the target is met, and what leaves a doubt."""
    if figure is None or figure.ratio is None:
        return "failed" if figure and figure.measured.error else "not measured"
    words = []
    if cell.target is not None:
        low, high = figure.ratio.interval
        words.append("yes" if figure.ratio.median <= cell.target else "**no**")
        if low <= cell.target < high:
            words.append("(the interval crosses the target)")
    if cell.excess_max_ns is not None:
        words.append("yes" if stats.excess_ns(figure.measured.kept) <= cell.excess_max_ns else "**no**")
    if len(figure.measured.kept) < pairs:
        words.append(f"(only {len(figure.measured.kept)} of {pairs} pairs)")
    return " ".join(words)


def not_ahead(run: Run) -> str:
    """Every row where pantry is not better than a peer."""
    lines = []
    for figure in run.figures:
        cell = figure.measured.cell
        if cell.section in (cells.ONE, cells.PEER) and figure.ratio and figure.ratio.interval[1] >= 1:
            worse = "dearer" if figure.ratio.interval[0] > 1 else "not clearly cheaper"
            lines.append(f"- {cell.label}: {worse} than {cell.b}, {interval(figure.ratio)}")
    for row in run.rows:
        for peer in rows.not_ahead_of(row):
            lines.append(f"- {row.group}: {row.what}: {rows.number(row.values[cells.PANTRY])} {row.unit} where {peer} has "
                         f"{rows.number(row.values[peer])}")
    measured = any(figure.ratio for figure in run.figures) or run.rows
    return "## Where pantry is not ahead\n\n" + ("\n".join(lines) or ("Nowhere in this run." if measured else "Nothing was measured."))


def groups(run: Run) -> list[str]:
    """A table for each group of rows."""
    tables = []
    for group in dict.fromkeys(row.group for row in run.rows):
        members = [row for row in run.rows if row.group == group]
        servers = list(dict.fromkeys([cells.PANTRY, *(name for row in members for name in row.values)]))
        lines = []
        for row in members:
            ratio = f"{row.ratio:.2f}" if row.ratio is not None and row.compares else "-"
            met = " ".join([rows.verdict(row), *(f"({note})" for note in row.notes)])
            lines.append([row.what, row.unit, *(rows.number(row.values.get(name)) for name in servers), ratio,
                          str(row.target or ""), met])
        heads = ["what", "unit", *servers, "pantry / redis", "target", "met"]
        tables.append(f"## {group}\n\n" + table(heads, lines))
    return tables


def noise(run: Run) -> str:
    """A against A, and what follows for the rest."""
    nulls = [figure for figure in run.figures if figure.measured.cell.section == cells.NULL]
    if not run.figures:
        return ""
    rows = [[f.measured.cell.label, f"{f.measured.cell.a} / {f.measured.cell.b}", full(f.ratio), kept(f)] for f in nulls]
    measured = [figure.ratio.off_one for figure in nulls if figure.ratio]
    if not measured:
        sentence = "**The noise is unknown: nothing here is to be cited.**"
    else:
        worst = max(measured)
        sentence = f"Differences below {worst:.1%} are noise in this run."
        if worst > stats.NOISE_MAX or len(measured) < len(nulls):
            sentence += f" **That is more than {stats.NOISE_MAX:.0%}, or a part is missing: this run is not to be cited.**"
    return f"## {cells.SECTIONS[cells.NULL]}\n\n" + table(["cell", "A / B", "ratio", "pairs"], rows) + "\n\n" + sentence


def section_tables(run: Run, section: str) -> str:
    """The ratios of a section, then what both servers did."""
    figures = [figure for figure in run.figures if figure.measured.cell.section == section]
    if not figures:
        return ""
    ratios, sides = [], []
    for figure in figures:
        cell = figure.measured.cell
        machine_ratio = f"{figure.machine_ratio:.2f}" if figure.machine_ratio else "-"
        ratios.append([cell.label, f"{cell.a} / {cell.b}", full(figure.ratio), machine_ratio, kept(figure)])
        for name, side in ((cell.a, figure.a), (cell.b, figure.b)):
            if side:
                sides.append([cell.label, name, f"{side.cpu_ns:,.0f}", f"{side.ops_per_s / 1e3:,.0f}", f"{side.busy:.0%}",
                              f"{side.kernel:.0%}", f"{side.p50_us:,.0f}", f"{side.p99_us:,.0f}", f"{side.p999_us:,.0f}"])
    heads = ["cell", "server", "CPU ns/op", "1000 op/s", "busy", "kernel", "p50 µs", "p99 µs", "p99.9 µs"]
    return (f"## {cells.SECTIONS[section]}\n\n" + table(["cell", "A / B", "ratio", "whole machine", "pairs"], ratios)
            + "\n\n" + table(heads, sides))


def floor_multiples(run: Run) -> str:
    """Redis and pantry as multiples of the floors, through redis, which both were paired with."""
    by_name = {figure.measured.cell.name: figure for figure in run.figures if figure.ratio}
    rows = []
    for floor in (figure for figure in by_name.values() if figure.measured.cell.section == cells.FLOOR):
        cell = floor.measured.cell
        to_redis = stats.cpu_ratios(floor.measured.kept)
        row = [cell.label, cell.a, interval(stats.summarize([1 / ratio for ratio in to_redis]))]
        pantry = by_name.get(f"{cell.workload}-p{cell.pipeline}")
        row.append(interval(stats.quotient(stats.cpu_ratios(pantry.measured.kept), to_redis) if pantry else None))
        rows.append(row)
    if not rows:
        return ""
    return ("### As multiples of the floor\n\nServer CPU per operation over the floor's; pantry's goes through redis, which both "
            "were paired with.\n\n" + table(["cell", "floor", "redis / floor", "pantry / floor"], rows))


def rejects(run: Run) -> str:
    """What was not counted, and why."""
    counts: dict[str, int] = {}
    for figure in run.figures:
        for reason, count in figure.rejects.items():
            counts[reason] = counts.get(reason, 0) + count
    total = sum(len(figure.measured.pairs) for figure in run.figures)
    text = ", ".join(f"{reason}: {count}" for reason, count in sorted(counts.items())) or "none"
    lines = [f"## Rejected pairs\n\nOf {total} pairs: {text}."]
    lines += [f"- {figure.measured.cell.name} failed: {figure.measured.error}" for figure in run.figures if figure.measured.error]
    lines += [f"- {failure}" for failure in run.failures]
    return "\n".join(lines)


def machine(run: Run) -> str:
    """Machine and versions."""
    return "## Machine and versions\n\n" + table(["what", "value"], [[label, value] for label, value in run.facts.items()])


def method(run: Run) -> str:
    """The numbers of the method; the reasons are in bench/README.md."""
    plan = run.plan
    return "\n".join([
        "## Method", "",
        f"- {plan.pairs} pairs a cell over {plan.rounds} rounds of fresh processes (rejected pairs are measured again, in at "
        f"most {plan.extra_rounds} more), order A B, B A, …; windows of {plan.window_ms} ms after {plan.ramp_ms} ms of the same load.",
        f"- {plan.connections} connections, closed loop: a connection sends its pipeline, waits for all replies, sends again.",
        f"- Servers on CPU {plan.server_cpu}, load generator on CPU {plan.client_cpu}; no pinning for two worker threads.",
        "- 100 000 pairs in one namespace and 100 000 plain keys, keys of 16 and values of 32 bytes, uniformly random; writes update "
        "what exists. HGETALL: 100 pairs, keys of 8 and values of 32 bytes. A million namespaces: four pairs of 16/32 bytes each. "
        "Large values: 16 MiB of each size. Redis's defaults otherwise; no persistence anywhere.",
        f"- A pair is rejected when idle servers used more than {IDLE_SHARE_MAX:.0%} of a window, the hypervisor took more than "
        f"{STEAL_SHARE_MAX:.0%} of the machine, server or load generator waited for its pinned CPU for more than "
        f"{WAIT_SHARE_MAX:.0%}, other work took more than {FOREIGN_SHARE_MAX:.0%} of a CPU (cells that are not pinned), or the server's "
        "count of commands is not the number of replies.",
        "- busy: share of the window that the server was on a CPU; far below 100 %, the load generator was the limit, and the server "
        "paid for more wake-ups than it would at its own limit. kernel: share of its CPU time in the kernel (10 ms ticks). whole "
        "machine: the ratio when all CPU time but the load generator's is counted (10 ms ticks).",
    ])


def full(ratio: Ratio | None) -> str:
    """A ratio with interval and quartiles."""
    if ratio is None:
        return "not measured"
    return f"{interval(ratio)} {ratio.quartiles[0]:.3f}–{ratio.quartiles[1]:.3f}"


def interval(ratio: Ratio | None) -> str:
    """A ratio with its interval."""
    if ratio is None:
        return "not measured"
    return f"**{ratio.median:.3f}** [{ratio.interval[0]:.3f}, {ratio.interval[1]:.3f}]"


def kept(figure: Figure) -> str:
    """How many pairs count."""
    return f"{len(figure.measured.kept)} of {len(figure.measured.pairs)}"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def as_json(run: Run) -> dict:
    """The figures and all that is needed to judge them."""
    figures = []
    for figure in run.figures:
        entry = dataclasses.asdict(figure)
        entry["cell"] = entry.pop("measured")["cell"]
        entry["error"] = figure.measured.error
        entry |= {"pairs_kept": len(figure.measured.kept), "pairs_measured": len(figure.measured.pairs), "rejected": figure.rejects}
        entry["ratios"] = stats.cpu_ratios(figure.measured.kept)
        figures.append(entry)
    return {"day": run.day.isoformat(), "quick": run.quick, "plan": dataclasses.asdict(run.plan), "facts": run.facts,
            "cells": figures, "rows": [dataclasses.asdict(row) for row in run.rows], "failures": run.failures}


def write_windows(run: Run, path: Path) -> None:
    """The raw numbers: one line per window, rejected ones included."""
    with path.open("w", newline="") as file:
        writer = None
        for figure in run.figures:
            cell = figure.measured.cell
            for number, pair in enumerate(figure.measured.pairs):
                for side, name, window in (("A", cell.a, pair.a), ("B", cell.b, pair.b)):
                    head = {"cell": cell.name, "round": pair.round + 1, "pair": number + 1, "order": pair.order, "side": side,
                            "server_name": name, "rejected": pair.rejected or ""}
                    row = head | {key: value for key, value in window.items() if key != "server"}
                    if writer is None:
                        writer = csv.DictWriter(file, list(row), lineterminator="\n")
                        writer.writeheader()
                    writer.writerow(row)
