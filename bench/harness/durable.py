"""What the journal costs beyond CPU, and what a restart takes: the figures of a server that keeps its data."""

import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from .cells import FLOOR_EPOLL, PANTRY, PANTRY_ALWAYS, PANTRY_ALWAYS_TWO, PANTRY_EVERYSEC, REDIS
from .lab import Lab
from .rows import AT_LEAST, AT_MOST, TIMES_REDIS, Row, Target
from .servers import Server, ask, info

LATENCY, FSYNCS, SNAPSHOT, RESTART = "One client, with the journal", "Writes per fsync", "Memory during a snapshot", "Restart"
ALWAYS_CLIENTS = 64
DISK_PROBE_BYTES = 256 * 2**20
# An HSET of the load, as the journal has it.
RECORD_BYTES = 72
SNAPSHOT_TIMEOUT_S = 120


def load_command(lab: Lab, a: Server, b: Server, workload: str, connections: int, order: str, pipeline: int = 1) -> list[str]:
    """The load generator's command line for two servers."""
    words = [lab.programs.bench, "load", "--workload", workload, "--pipeline", pipeline, "--connections", connections, "--order", order,
             "--a-port", a.port, "--a-pid", a.process.pid, "--b-port", b.port, "--b-pid", b.process.pid]
    return [str(word) for word in words]


def latency(lab: Lab) -> list[Row]:
    """One client's median latency with `everysec` against none: in turns, median of the windows."""
    names = lab.present(PANTRY_EVERYSEC, PANTRY)
    middle: dict[str, float] = {}
    with lab.attempt("latency with the journal"), lab.servers({name: {"hset"} for name in names}) as servers:
        windows = lab.run(load_command(lab, servers[PANTRY_EVERYSEC], servers[PANTRY], "hset", connections=1, order="AB" * (4 if lab.quick else 20)))
        for side, name in (("A", PANTRY_EVERYSEC), ("B", PANTRY)):
            middle[name] = statistics.median(window["p50_ns"] for window in windows if window["server"] == side) / 1e3
    if len(middle) < 2:
        return []
    what = "HSET, pipeline 1, one connection: "
    return [Row(LATENCY, what + "median latency", "µs", middle, compares=False),
            Row(LATENCY, what + "everysec / none", "×", {PANTRY: middle[PANTRY_EVERYSEC] / middle[PANTRY]}, Target(AT_MOST, 1.5))]


def tail_with_journal(lab: Lab) -> list[Row]:
    """p99.99 with `everysec` beside none, at a rate that fills half of the disk's bandwidth or half of the server."""
    names = lab.present(PANTRY, PANTRY_EVERYSEC)
    seconds, rounds = (1, 2) if lab.quick else (10, 3)
    lines: dict[str, list[dict]] = {name: [] for name in names}
    rate, unsynced = 0.0, 0
    with lab.attempt("tail with the journal"), lab.servers({name: {"hset"} for name in (*names, FLOOR_EPOLL)}) as servers:
        command = load_command(lab, servers[PANTRY], servers[FLOOR_EPOLL], "hset", lab.plan.connections, "AAAAA")
        capacity = statistics.median(window["ops"] / window["elapsed_ns"] * 1e9 for window in lab.run(command))
        rate = min(capacity, disk_bytes_per_s() / RECORD_BYTES) / 2
        for _ in range(rounds):
            for name in names:
                lines[name] += lab.tool(servers[name], "open-loop", "--workload", "hset", "--rate", rate,
                                        "--connections", lab.plan.connections, "--window-ms", seconds * 1000)
                unsynced = max(unsynced, info(servers[PANTRY_EVERYSEC], "journal_unsynced_bytes"))
    if not all(lines.values()):
        return []
    what = f"HSET at {rate:,.0f}/s: "
    tails = {name: statistics.median(line["p9999_ns"] for line in lines[name]) / 1e6 for name in names}
    return [Row(LATENCY, what + "p99.99", "ms", tails, compares=False),
            Row(LATENCY, what + "p99.99 with everysec beyond none", "ms", {PANTRY: tails[PANTRY_EVERYSEC] - tails[PANTRY]}, Target(AT_MOST, 5)),
            Row(LATENCY, what + "most bytes not yet on the disk", "MiB", {PANTRY: unsynced / 2**20})]


def disk_bytes_per_s() -> float:
    """How fast the disk takes what is written and flushed."""
    block = os.urandom(2**20)
    with tempfile.TemporaryFile() as file:
        began = time.monotonic()
        for _ in range(DISK_PROBE_BYTES // len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return DISK_PROBE_BYTES / (time.monotonic() - began)


def fsyncs(lab: Lab) -> list[Row]:
    """How many writes of 64 clients one fsync serves, with `always`. Those that came while the last one ran wait for the next.
    The windows are long: clients that only just begin or have just ended share no fsync."""
    rows = []
    for name, threads in ((PANTRY_ALWAYS, "one thread"), (PANTRY_ALWAYS_TWO, "two threads")):
        with lab.attempt(f"writes per fsync, {threads}"), lab.servers({name: {"hset"}, FLOOR_EPOLL: set()}) as servers:
            server = servers[name]
            before = info(server, "journal_fsyncs"), info(server, "total_commands_processed")
            command = load_command(lab, server, servers[FLOOR_EPOLL], "hset", ALWAYS_CLIENTS, "A")
            lab.run([*command, "--window-ms", "1000" if lab.quick else "5000"])
            after = info(server, "journal_fsyncs"), info(server, "total_commands_processed")
            served = {PANTRY: (after[1] - before[1]) / (after[0] - before[0])}
            what = f"HSET, always, {ALWAYS_CLIENTS} clients, {threads}: writes that one fsync serves"
            rows.append(Row(FSYNCS, what, "", served, Target(AT_LEAST, 0.9 * ALWAYS_CLIENTS), higher_is_better=True))
    return rows


def snapshot_memory(lab: Lab) -> list[Row]:
    """How much a snapshot adds to RSS while clients write as fast as they can."""
    values: dict[str, float] = {}
    pairs = 5_000_000 // (16 if lab.quick else 1)
    with lab.attempt("memory during a snapshot"), lab.servers({PANTRY_EVERYSEC: {"hset"}, FLOOR_EPOLL: set()}) as servers:
        server = servers[PANTRY_EVERYSEC]
        lab.account(server, "load-pairs", "--until", pairs)
        load = subprocess.Popen(load_command(lab, server, servers[FLOOR_EPOLL], "hset", lab.plan.connections, "A" * 1000, pipeline=16),
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, {lab.plan.client_cpu}))
        try:
            before = peak_rss(server, 2.0)
            ask(server, "BGSAVE")
            give_up, during = time.monotonic() + SNAPSHOT_TIMEOUT_S, peak_rss(server, 0.05)
            while info(server, "rdb_bgsave_in_progress") and time.monotonic() < give_up:
                during = max(during, peak_rss(server, 0.05))
            values[PANTRY] = 100 * (during / before - 1)
        finally:
            load.terminate()
            load.wait()
    return [Row(SNAPSHOT, f"growth of RSS during BGSAVE under full write load, {pairs:,} pairs and the load's", "%", values, Target(AT_MOST, 10))]


def peak_rss(server: Server, seconds: float) -> int:
    """The most bytes of RSS within a time."""
    most, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
        most = max(most, pages * os.sysconf("SC_PAGE_SIZE"))
        time.sleep(0.01)
    return most


def restart(lab: Lab) -> list[Row]:
    """Seconds from a start until the data is there: from a snapshot, and from the journal alone. The files are in the page cache."""
    pairs = 10_000_000 // (16 if lab.quick else 1)
    took: dict[str, dict[str, float]] = {"a snapshot": {}, "the journal alone": {}}
    for source, name, save in (("a snapshot", PANTRY_EVERYSEC, "BGSAVE"), ("a snapshot", REDIS, "SAVE"), ("the journal alone", PANTRY_EVERYSEC, None)):
        if not lab.present(name):
            continue
        with lab.attempt(f"restart of {name} from {source}"), lab.round({name: set()}) as round_:
            lab.account(round_.servers[name], "load-pairs", "--until", pairs)
            if save:
                ask(round_.servers[name], save)
                give_up = time.monotonic() + SNAPSHOT_TIMEOUT_S
                while info(round_.servers[name], "rdb_bgsave_in_progress") and time.monotonic() < give_up:
                    time.sleep(0.1)
            round_.cpus = os.sched_getaffinity(0)
            took[source][PANTRY if name == PANTRY_EVERYSEC else name] = round_.restart(name)
    what = f"{pairs:,} pairs of 16/32 bytes, from "
    return [Row(RESTART, what + "a snapshot", "s", took["a snapshot"], Target(AT_MOST, 2.5)),
            Row(RESTART, what + "a snapshot, against redis's RDB", "s", took["a snapshot"], Target(TIMES_REDIS, 0.25)),
            Row(RESTART, what + "the journal alone", "s", took["the journal alone"], Target(AT_MOST, 6))]
