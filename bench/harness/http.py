"""Trials of the HTTP door: long lists, many pairs in one call, watchers."""

import statistics

from .cells import FLOOR_COPY, PANTRY
from .lab import Lab
from .rows import AT_MOST, Row, Target

LIST, BULK, WATCH = "Lists over HTTP", "Many pairs in one HTTP call", "Watchers over HTTP"

LIST_PAIRS, QUICK_LIST_PAIRS = 1_000_000, 100_000
# What load-pairs calls the namespace that it fills.
FILLED = "n0000000"
FORMS = ("csv", "ndjson", "json")
IDLE_WATCHERS, QUICK_IDLE_WATCHERS = 5_000, 500


def lists(lab: Lab) -> list[Row]:
    """CPU per byte of a whole namespace, against a server that does nothing but copy and send."""
    if not lab.present(PANTRY):
        return []
    pairs = QUICK_LIST_PAIRS if lab.quick else LIST_PAIRS
    rows: list[Row] = []
    with lab.attempt("lists"), lab.servers({PANTRY: set(), FLOOR_COPY: set()}) as servers:
        pantry, floor = servers[PANTRY], servers[FLOOR_COPY]
        lab.account(pantry, "load-pairs", "--until", pairs, "--key-bytes", 16, "--value-bytes", 32)
        for form in FORMS:
            path = f"/v1/namespaces/{FILLED}" + ("/pairs" if form == "json" else f".{form}")
            ratios, alone, growth = [], [], []
            for _ in range(3 if lab.quick else 7):
                mine = long_answer(lab, pantry, path)
                least = long_answer(lab, floor, "/")
                alone.append(per_byte_ns(mine))
                ratios.append(alone[-1] / per_byte_ns(least))
                growth.append(mine["rss_growth_bytes"] / 2**20)
            probed = long_answer(lab, pantry, path, "--probe-port", pantry.port)["probe"]
            what = f"{form} of {pairs:,} pairs: "
            rows += [
                Row(LIST, what + "CPU per byte, against copying and sending", "×", {PANTRY: statistics.median(ratios)},
                    Target(AT_MOST, 3)),
                Row(LIST, what + "CPU per byte", "ns", {PANTRY: statistics.median(alone)}),
                Row(LIST, what + "growth of RSS", "MiB", {PANTRY: max(growth)}, Target(AT_MOST, 16)),
                Row(LIST, what + "longest wait of another client's HGET", "ms", {PANTRY: probed["probe_max_ns"] / 1e6}),
                Row(LIST, what + "p99.9 of its waits", "ms", {PANTRY: probed["probe_p999_ns"] / 1e6}),
            ]
    return rows


def long_answer(lab: Lab, server, path: str, *more) -> dict:
    """One reading of an answer."""
    return lab.run([lab.programs.bench, "long-answer", "--http-port", server.http_port, "--pid", server.process.pid,
                    "--path", path, "--times", 1, *more])[0]


def per_byte_ns(line: dict) -> float:
    """The server's CPU time for each byte that was received."""
    return line["server_cpu_ns"] / line["bytes"]


def bulk(lab: Lab) -> list[Row]:
    """CPU per pair of one call against pipelined HSETs of the same pairs."""
    if not lab.present(PANTRY):
        return []
    lines: list[dict] = []
    with lab.attempt("bulk"), lab.servers({PANTRY: set()}) as servers:
        lines = lab.account(servers[PANTRY], "bulk", "--http-port", servers[PANTRY].http_port, "--rounds", 7 if lab.quick else 41)
    if not lines:
        return []
    return [Row(BULK, f"10,000 pairs as {form.upper()}: CPU per pair, against HSETs at pipeline 64", "×",
                {PANTRY: statistics.median(line[f"{form}_ns"] / line["hset_ns"] for line in lines)}, Target(AT_MOST, 2))
            for form in ("json", "csv")]


def watch(lab: Lab) -> list[Row]:
    """A thousand watchers of a namespace that changes fifty times a second."""
    lines: list[dict] = []
    if lab.present(PANTRY):
        with lab.attempt("watch"), lab.servers({PANTRY: set()}) as servers:
            lines = watchers(lab, servers[PANTRY], "--count", 1000, "--rate", 50, "--seconds", 3 if lab.quick else 20)
    what = "1,000 watchers, 50 changes a second, all seen in order: "
    return [Row(WATCH, what + shown, "ms", {PANTRY: line[key] / 1e6}, target) for line in lines for key, shown, target in (
        ("p50_ns", "p50", None), ("p99_ns", "p99", Target(AT_MOST, 250)), ("max_ns", "longest", None))]


def idle_watchers(lab: Lab) -> list[Row]:
    """What a watcher takes that has nothing to see."""
    lines: list[dict] = []
    count = QUICK_IDLE_WATCHERS if lab.quick else IDLE_WATCHERS
    if lab.present(PANTRY):
        with lab.attempt("idle watchers"), lab.servers({PANTRY: set()}) as servers:
            lines = watchers(lab, servers[PANTRY], "--count", count, "--rate", 0)
    return [Row(WATCH, f"RSS per watcher, {count:,} idle ones", "KiB", {PANTRY: line["rss_growth_bytes"] / line["watchers"] / 1024},
                Target(AT_MOST, 20)) for line in lines]


def watchers(lab: Lab, server, *options) -> list[dict]:
    """The lines of the tool."""
    return lab.account(server, "watchers", "--http-port", server.http_port, *options)
