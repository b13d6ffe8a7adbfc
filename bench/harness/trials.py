"""What is measured once per fresh server instead of in paired windows: memory, deletion, expiry, pauses, connections, tails.

A trial is one line in the list at the end. Sizes are the full ones; a quick run takes a sixteenth.
"""

import os
import resource
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from . import cells, durable, http
from .cells import FLOOR_EPOLL, FLOOR_TOKIO, KEVY, PANTRY, REDIS, REDIS_TWIN
from .lab import Lab
from .rows import AT_LEAST, AT_MOST, TIMES_REDIS, Row, Target
from .servers import Server

MEMORY, DELETION, EXPIRY, GROWTH = "Memory per pair", "After deleting 90 % at random", "Mass expiry", "Growth to 10 million pairs"
CONNECTIONS, TAIL, IN_PROCESS = "Idle connections", "Tail latency at half of redis's capacity", "In process, one namespace"

MEBI = 2**20
STAGES = (MEBI, MEBI * 5 // 4, MEBI * 3 // 2, MEBI * 7 // 4, 10_000_000)
QUICK_SHARE = 16
OTHER_FILES = 200
NEVER_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True)
class Trial:
    """A measurement with a name for `--only`."""

    name: str
    group: str
    measure: Callable[[Lab], list[Row]]


def scaled(lab: Lab, count: int) -> int:
    """As many, or fewer in a quick run."""
    return count // QUICK_SHARE if lab.quick else count


def memory(key: int, value: int, timed: bool) -> Callable[[Lab], list[Row]]:
    """Bytes of RSS per pair in one namespace, at several sizes, since every doubling has its best and its worst point."""

    def measure(lab: Lab) -> list[Row]:
        stages = [scaled(lab, count) for count in STAGES]
        options = ["--key-bytes", key, "--value-bytes", value, *(["--ttl-ms", NEVER_MS] if timed else [])]
        options += [word for count in stages for word in ("--until", count)]
        values = growth_per_pair(lab, options, (PANTRY,) if timed else (PANTRY, REDIS, KEVY))
        suffix = ", a TTL on each" if timed else ""
        return [Row(MEMORY, f"{key}/{value} bytes{suffix}, {count:,} pairs", "bytes", values.get(count, {}),
                    memory_target(key, value, timed, full)) for count, full in zip(stages, STAGES)]

    return measure


def memory_target(key: int, value: int, timed: bool, pairs: int) -> Target | None:
    """The figures that were asked for are of 16/32 bytes."""
    if (key, value) != (16, 32):
        return None
    if timed:
        return Target(AT_MOST, 74) if pairs == STAGES[-1] else None
    return Target(AT_MOST, 62 if pairs == STAGES[-1] else 68)


def memory_of_namespaces(lab: Lab) -> list[Row]:
    """A million namespaces of ten pairs."""
    pairs = scaled(lab, 10_000_000)
    options = ["--key-bytes", 8, "--value-bytes", 16, "--namespace-pairs", 10, "--until", pairs]
    values = growth_per_pair(lab, options, (PANTRY, REDIS, KEVY))
    return [Row(MEMORY, f"8/16 bytes, {pairs // 10:,} namespaces of ten pairs", "bytes", values.get(pairs, {}), Target(TIMES_REDIS, 1))]


def growth_per_pair(lab: Lab, options: list, names: tuple[str, ...]) -> dict[int, dict[str, float]]:
    """Number of pairs -> server -> RSS growth per pair."""
    values: dict[int, dict[str, float]] = {}
    for name in lab.present(*names):
        with lab.attempt(f"memory of {name}"), lab.servers({name: set()}) as servers:
            for line in lab.account(servers[name], "load-pairs", *options):
                values.setdefault(line["pairs"], {})[name] = line["rss_growth_bytes"] / line["pairs"]
    return values


def deletion(lab: Lab) -> list[Row]:
    """What of its peak a server keeps."""
    pairs = scaled(lab, 10_000_000)
    values = {}
    for name in lab.present(PANTRY, REDIS, KEVY):
        with lab.attempt(f"deletion of {name}"), lab.servers({name: set()}) as servers:
            lab.account(servers[name], "load-pairs", "--until", pairs)
            after = lab.account(servers[name], "delete-pairs", "--pairs", pairs)[0]
            values[name] = 100 * after["rss_bytes"] / after["rss_peak_bytes"]
    return [Row(DELETION, f"RSS ten seconds after, of its peak, 16/32 bytes, {pairs:,} pairs", "%", values, Target(AT_MOST, 30))]


def expiry(lab: Lab) -> list[Row]:
    """How fast pairs of one deadline go. Redis 7.0 has no deadlines of fields."""
    pairs = scaled(lab, 1_000_000)
    if not lab.present(PANTRY):
        return []
    line: dict = {}
    with lab.attempt("expiry"), lab.servers({PANTRY: set()}) as servers:
        line = lab.account(servers[PANTRY], "expire-pairs", "--pairs", pairs, "--ttl-ms", 5_000 if lab.quick else 20_000)[0]
    if not line:
        return []
    what = f"{pairs:,} pairs with one deadline: "
    return [
        Row(EXPIRY, what + "freed per second", "pairs/s", {PANTRY: line["pairs"] / line["elapsed_ns"] * 1e9}),
        Row(EXPIRY, what + "freed per second of server CPU", "pairs/s", {PANTRY: line["pairs"] / line["server_cpu_ns"] * 1e9},
            Target(AT_LEAST, 1_000_000)),
        Row(EXPIRY, what + "longest wait of a client", "ms", {PANTRY: line["probe"]["probe_max_ns"] / 1e6}),
        slice_row(EXPIRY, what, line["slice_us_max"]),
    ]


def growth(lab: Lab) -> list[Row]:
    """What a client that wants one pair sees while a namespace grows."""
    pairs = scaled(lab, 10_000_000)
    longest, rare, slice_us = {}, {}, None
    for name in lab.present(PANTRY, REDIS, KEVY):
        with lab.attempt(f"growth of {name}"), lab.servers({name: set()}) as servers:
            *stages, probe = lab.account(servers[name], "load-pairs", "--probe", "--settle-ms", 0, "--until", pairs)
            longest[name], rare[name] = probe["probe_max_ns"] / 1e6, probe["probe_p999_ns"] / 1e6
            slice_us = stages[-1]["slice_us_max"] if name == PANTRY else slice_us
    what = f"0 to {pairs:,} pairs: "
    return [Row(GROWTH, what + "longest wait of a client", "ms", longest), Row(GROWTH, what + "p99.9 of its waits", "ms", rare),
            slice_row(GROWTH, what, slice_us)]


def slice_row(group: str, what: str, slice_us: float | None) -> Row:
    """The gauge in INFO, where the server has it."""
    notes = [] if slice_us is not None else ["INFO has no slice_us_max"]
    return Row(group, what + "longest slice (INFO's slice_us_max)", "ms", {} if slice_us is None else {PANTRY: slice_us / 1e3},
               Target(AT_MOST, 1), notes=notes)


def connections(lab: Lab) -> list[Row]:
    """What a connection takes in the server's memory after it was served once."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = scaled(lab, 10_000)
    if hard != resource.RLIM_INFINITY:
        count = min(count, hard - OTHER_FILES)
    values = {}
    for name in lab.present(PANTRY, REDIS, KEVY):
        with lab.attempt(f"connections of {name}"), lab.servers({name: {"hget"}}) as servers:
            line = lab.account(servers[name], "connections", "--count", count)[0]
            values[name] = line["rss_growth_bytes"] / line["connections"]
    return [Row(CONNECTIONS, f"RSS per connection, {count:,} connections", "bytes", values, Target(AT_MOST, 4096))]


def tail(workload: str) -> Callable[[Lab], list[Row]]:
    """Quantiles at a fixed rate, counted from when a request was due. In every round each server has its turn."""

    def measure(lab: Lab) -> list[Row]:
        names = lab.present(FLOOR_EPOLL, FLOOR_TOKIO, REDIS, REDIS_TWIN, PANTRY, KEVY)
        seconds, rounds = (1, 2) if lab.quick else (5, 3) if lab.brief else (10, 5)
        lines: dict[str, list[dict]] = {name: [] for name in names}
        rate = 0.0
        with lab.attempt(f"tail of {workload}"), lab.servers({name: {workload} for name in names}) as servers:
            rate = capacity_per_s(lab, servers, workload) / 2
            for _ in range(rounds):
                for name in names:
                    lines[name] += lab.tool(servers[name], "open-loop", "--workload", workload, "--rate", rate,
                                            "--connections", lab.plan.connections, "--window-ms", seconds * 1000)
        if not all(lines.values()):
            return []
        title = f"{cells.TITLES[workload]} at {rate:,.0f}/s: "
        rows = [Row(TAIL, title + shown, "µs", {name: middle(lines[name], key) / 1e3 for name in names},
                    compares=key != "late_p99_ns") for key, shown in QUANTILES]
        return [*rows, excess_row(title, names, lines)]

    return measure


QUANTILES = (("p50_ns", "p50"), ("p99_ns", "p99"), ("p999_ns", "p99.9"), ("p9999_ns", "p99.99"),
             ("late_p99_ns", "p99 of the generator's own lateness"))


def excess_row(title: str, names: list[str], lines: dict[str, list[dict]]) -> Row:
    """How much more than the floor's a server's p99.9 is, round by round."""
    floor = [line["p999_ns"] for line in lines[FLOOR_TOKIO]]
    excess = {name: statistics.median(line["p999_ns"] - least for line, least in zip(lines[name], floor)) / 1e3
              for name in names if name not in (FLOOR_EPOLL, FLOOR_TOKIO)}
    return Row(TAIL, title + "p99.9 beyond the floor's on tokio", "µs", excess, Target(TIMES_REDIS, 1))


def capacity_per_s(lab: Lab, servers: dict[str, Server], workload: str) -> float:
    """Operations per second of redis under as many connections as it is given, at pipeline 1."""
    command = durable.load_command(lab, servers[REDIS], servers[FLOOR_EPOLL], workload, lab.plan.connections, "AAAAA")
    return statistics.median(window["ops"] / window["elapsed_ns"] * 1e9 for window in lab.run(command))


def middle(lines: list[dict], key: str) -> float:
    """The median over rounds: one noisy round does not decide."""
    return statistics.median(line[key] for line in lines)


def in_process(lab: Lab) -> list[Row]:
    """The store without sockets."""
    if lab.programs.in_process is None or not lab.present(PANTRY):
        return []
    lines: list[dict] = []
    with lab.attempt("in process"):
        options = ["--pairs", scaled(lab, 10_000_000), "--windows", 5 if lab.quick else 21]
        lines = lab.run([lab.programs.in_process, *options], os.sched_getaffinity(0))
    rows = []
    for line in lines:
        operation, pairs = line["operation"].upper(), f"{line['pairs']:,} pairs, batches of 16"
        if line["shares"] == "one namespace":
            what = f"{operation}, {pairs}: "
            rows.append(Row(IN_PROCESS, what + "one thread", "1000 op/s", {PANTRY: line["one_thread_per_s"] / 1e3}, higher_is_better=True))
            rows.append(Row(IN_PROCESS, what + "two threads against one", "×", {PANTRY: line["ratio"]}, Target(AT_LEAST, 1.6)))
        else:
            what = f"{operation}, floor: two threads against one that share {FLOORS[line['shares']]}"
            rows.append(Row(IN_PROCESS, what, "×", {PANTRY: line["ratio"]}, higher_is_better=True))
    return rows


# What the program says that threads share, when it is not the namespace.
FLOORS = {"two tables": "no table", "nothing": "nothing at all"}


def all_trials() -> list[Trial]:
    """Every trial, in the order of the report."""
    shapes = [(8, 8), (16, 32), (24, 100)]
    trials = [Trial(f"memory-{key}-{value}{'-ttl' if timed else ''}", MEMORY, memory(key, value, timed))
              for timed in (False, True) for key, value in shapes]
    trials.append(Trial("memory-namespaces", MEMORY, memory_of_namespaces))
    trials += [Trial("deletion", DELETION, deletion), Trial("expiry", EXPIRY, expiry), Trial("growth", GROWTH, growth)]
    trials.append(Trial("connections", CONNECTIONS, connections))
    trials += [Trial(f"tail-{workload}", TAIL, tail(workload)) for workload in ("hget", "hset")]
    trials += [Trial("everysec-latency", durable.LATENCY, durable.latency), Trial("everysec-tail", durable.LATENCY, durable.tail_with_journal)]
    trials.append(Trial("always-fsyncs", durable.FSYNCS, durable.fsyncs))
    trials.append(Trial("snapshot-memory", durable.SNAPSHOT, durable.snapshot_memory))
    trials.append(Trial("restart", durable.RESTART, durable.restart))
    trials += [Trial("http-list", http.LIST, http.lists), Trial("http-bulk", http.BULK, http.bulk)]
    trials += [Trial("http-watch", http.WATCH, http.watch), Trial("http-idle-watchers", http.WATCH, http.idle_watchers)]
    trials.append(Trial("in-process", IN_PROCESS, in_process))
    return trials


# Those of other sizes than the figures to reach are of.
NOT_BRIEF = {"memory-8-8", "memory-24-100", "memory-8-8-ttl", "memory-24-100-ttl"}


def brief() -> list[Trial]:
    """The trials that the figures to reach need."""
    return [trial for trial in all_trials() if trial.name not in NOT_BRIEF]


def choose(pattern: str | None) -> list[Trial]:
    """The trials whose name matches one of the shell patterns."""
    return [trial for trial in all_trials() if pattern is None or cells.matches(trial.name, pattern)]
