"""Runs the cells in rounds, pairs the windows, and rejects pairs that something else disturbed.

Every round has fresh processes, and every cell gets a few pairs in each round; so neither one lucky memory layout nor one
noisy minute decides a cell. Pairs alternate A B, B A. Rejected pairs are kept in the raw numbers and are measured again
in extra rounds, as long as there are any left.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field

from .cells import Cell
from .servers import Programs, Round, Server

# A pair is rejected when, in one of its windows, ...
CPU_PER_OP_MIN_NS = 20  # ... the measured process used less, so it cannot be what answered,
COUNT_DIFFERENCE = (0, 2)  # ... the server's own count differs from replies by anything but the counting itself,
IDLE_SHARE_MAX = 0.01  # ... the servers that had nothing to do used more CPU than this share of the window,
STEAL_SHARE_MAX = 0.05  # ... the hypervisor took more of the machine than this,
WAIT_SHARE_MAX = 0.05  # ... server or load generator stood in line for its CPU for longer than this (pinned cells),
FOREIGN_SHARE_MAX = 0.15  # ... or anything else took more than this share of a CPU (cells that are not pinned).


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    pairs: int
    rounds: int
    extra_rounds: int
    window_ms: int
    ramp_ms: int
    connections: int
    server_cpu: int
    client_cpu: int
    keep_noisy: bool


@dataclass
class Pair:
    """Two neighbouring windows, one of each server, and why they do not count (if so)."""

    round: int
    order: str
    a: dict
    b: dict
    rejected: str | None


@dataclass
class Measured:
    """A cell and its pairs. `error` is what ended it: a reply that was not the expected one, a server that died."""

    cell: Cell
    pairs: list[Pair] = field(default_factory=list)
    error: str | None = None

    @property
    def kept(self) -> list[Pair]:
        """The pairs that count."""
        return [pair for pair in self.pairs if pair.rejected is None]


def run(cells: list[Cell], programs: Programs, plan: Plan) -> list[Measured]:
    """Measures all cells."""
    results = [Measured(cell) for cell in cells]
    for number in range(plan.rounds + plan.extra_rounds):
        short = [result for result in results if missing(result, plan, number) > 0]
        # A section at a time, so that few servers are up: each one that idles costs a little.
        for section in dict.fromkeys(result.cell.section for result in short):
            members = [result for result in short if result.cell.section == section]
            with Round(wanted(members), programs, {plan.server_cpu}) as servers:
                for result in members:
                    measure(result, servers, programs, plan, number, missing(result, plan, number))
    return results


def wanted(results: list[Measured]) -> dict[str, set[str]]:
    """The servers of these cells, and the workloads that each must be ready for."""
    workloads: dict[str, set[str]] = {}
    for result in results:
        for server, workload in reversed(result.cell.sides):
            workloads.setdefault(server, set()).add(workload)
    return workloads


def missing(result: Measured, plan: Plan, number: int) -> int:
    """Pairs to measure in this round. Rejected ones are made up for in the extra rounds, to keep the others alike."""
    if result.error:
        return 0
    per_round = -(-plan.pairs // plan.rounds)
    if number < plan.rounds:
        return min(plan.pairs, per_round * (number + 1)) - len(result.pairs)
    return min(plan.pairs - len(result.kept), per_round)


def measure(result: Measured, servers: dict[str, Server], programs: Programs, plan: Plan, number: int, count: int) -> None:
    """Adds `count` pairs to a cell."""
    cell = result.cell
    orders = ["AB" if (len(result.pairs) + index) % 2 == 0 else "BA" for index in range(count)]
    command = load_command(cell, servers, programs, plan) + ["--order", "".join(orders)]
    every_cpu = os.sched_getaffinity(0)
    for name in (cell.a, cell.b):
        servers[name].place({plan.server_cpu} if cell.pinned else every_cpu)
    client_cpus = {plan.client_cpu} if cell.pinned else every_cpu
    timeout_s = 60 + 4 * count * (plan.ramp_ms + plan.window_ms) / 1e3
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s,
                          preexec_fn=lambda: os.sched_setaffinity(0, client_cpus))
    if done.returncode != 0:
        result.error = " ".join(done.stderr.split())
        print(f"cell {cell.name}: {result.error}", file=sys.stderr, flush=True)
        return
    windows = [json.loads(line) for line in done.stdout.splitlines()]
    for order, pair in zip(orders, zip(windows[::2], windows[1::2])):
        a, b = pair if order == "AB" else pair[::-1]
        result.pairs.append(Pair(number, order, a, b, rejection(a, b, cell, plan.keep_noisy)))
    progress(result, number, count)


def load_command(cell: Cell, servers: dict[str, Server], programs: Programs, plan: Plan) -> list[str]:
    """The load generator's command line for a cell, but for the order of its windows."""
    a, b = servers[cell.a], servers[cell.b]
    (_, a_workload), (_, b_workload) = cell.sides
    words = [
        programs.bench, "load", "--workload", a_workload, "--b-workload", b_workload, "--pipeline", cell.pipeline,
        "--connections", plan.connections, "--window-ms", plan.window_ms, "--ramp-ms", plan.ramp_ms,
        "--a-port", a.port_for(a_workload), "--a-pid", a.process.pid,
        "--b-port", b.port_for(b_workload), "--b-pid", b.process.pid,
    ]
    for server in servers.values():
        if server not in (a, b):
            words += ["--idle-pid", server.process.pid]
    return [str(word) for word in words]


def rejection(a: dict, b: dict, cell: Cell, keep_noisy: bool) -> str | None:
    """Why a pair does not count, or None. What is wrong with a server is never noise, and never kept."""
    wrong = faulty(a) or faulty(b)
    return wrong or (None if keep_noisy else disturbed(a, cell) or disturbed(b, cell))


def faulty(window: dict) -> str | None:
    """What shows that operations and CPU time do not belong together, or None."""
    if cpu_per_op(window) < CPU_PER_OP_MIN_NS:
        return "measured process did not do the work"
    counted = window["server_commands"]
    least, most = COUNT_DIFFERENCE
    if counted is not None and not least <= counted - window["ops"] <= most:
        return "count of commands differs"
    return None


def disturbed(window: dict, cell: Cell) -> str | None:
    """What else was going on, or None."""
    elapsed = window["elapsed_ns"]
    if window["idle_cpu_ns"] > IDLE_SHARE_MAX * elapsed:
        return "idle peer used CPU"
    if window["machine_steal_ns"] > STEAL_SHARE_MAX * elapsed * os.cpu_count():
        return "steal"
    waited = window["client_wait_ns"] if cell.journals else max(window["server_wait_ns"], window["client_wait_ns"])
    if cell.pinned and waited > WAIT_SHARE_MAX * elapsed:
        return "other work on the CPU"
    foreign = window["machine_busy_ns"] - window["server_cpu_ns"] - window["client_cpu_ns"] - window["idle_cpu_ns"]
    if not cell.pinned and foreign > FOREIGN_SHARE_MAX * elapsed:
        return "other work on the machine"
    return None


def progress(result: Measured, number: int, count: int) -> None:
    """One line per cell and round, for whoever waits."""
    fresh = result.pairs[-count:]
    ratios = " ".join(f"{cpu_per_op(pair.a) / cpu_per_op(pair.b):.3f}{'' if pair.rejected is None else '!'}" for pair in fresh)
    print(f"round {number + 1}  {result.cell.name:18} {ratios}", file=sys.stderr, flush=True)


def cpu_per_op(window: dict) -> float:
    """Server CPU per operation, in ns."""
    return window["server_cpu_ns"] / window["ops"]
