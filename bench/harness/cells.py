"""The cells of the experiment and the targets that they are held against. Everything else follows from these lists.

A cell is two servers (A against B), one workload, one pipeline. Its figure is A's server CPU per operation over B's.
"""

from dataclasses import dataclass
from fnmatch import fnmatch

REDIS, REDIS_TWIN = "redis", "redis twin"
KEVY = "kevy"
PANTRY, PANTRY_TWIN, PANTRY_TWO = "pantry", "pantry twin", "pantry, 2 threads"
PANTRY_EVERYSEC, PANTRY_ALWAYS, REDIS_ALWAYS = "pantry, everysec", "pantry, always", "redis, always"
PANTRY_ALWAYS_TWO = "pantry, always, 2 threads"
FLOOR_EPOLL, FLOOR_TOKIO = "floor on epoll", "floor on tokio"
HELLO, HELLO_TWIN = "hello on hyper", "hello twin"
FLOOR_COPY = "floor that copies"

PANTRIES = {PANTRY, PANTRY_TWIN, PANTRY_TWO, PANTRY_EVERYSEC, PANTRY_ALWAYS, PANTRY_ALWAYS_TWO}
# Their writes go to the disk, by a thread of its own in pantry.
JOURNALING = {PANTRY_EVERYSEC, PANTRY_ALWAYS, PANTRY_ALWAYS_TWO, REDIS_ALWAYS}

NULL, ONE, PEER, OWN, FLOOR, ABOVE, REST, TWO = "null", "one", "peer", "own", "floor", "above", "rest", "two"
JOURNAL, ALWAYS = "journal", "always"

SECTIONS = {
    NULL: "A against A: the noise of this run",
    ONE: "One worker thread against redis",
    PEER: "One worker thread against kevy",
    OWN: "With a deadline against without, both pantry",
    JOURNAL: "With a journal (everysec) against none, both pantry",
    ALWAYS: "Every write flushed (always), pantry against redis",
    FLOOR: "Floor servers against redis",
    ABOVE: "One worker thread against the floor on tokio",
    REST: "REST against a hello-world on hyper",
    TWO: "Two worker threads against one (not pinned)",
}


@dataclass(frozen=True)
class Cell:
    """One comparison. `target` is the largest ratio that was asked for, `excess_max_ns` the most that an operation of A may need
    beyond one of B. B is sent `b_workload` where that is another one."""

    name: str
    section: str
    workload: str
    pipeline: int
    a: str
    b: str
    target: float | None = None
    excess_max_ns: float | None = None
    b_workload: str | None = None

    @property
    def pinned(self) -> bool:
        """Server on one CPU, load generator on another."""
        return self.section != TWO

    @property
    def journals(self) -> bool:
        """A server here has a thread that writes to the disk while others serve: they wait for one another on the one CPU."""
        return bool({self.a, self.b} & JOURNALING)

    @property
    def label(self) -> str:
        """What a table or plot calls the cell."""
        other = f" / {TITLES[self.b_workload]}" if self.b_workload else ""
        return f"{TITLES[self.workload]}{other}, pipeline {self.pipeline}"

    @property
    def sides(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Server and workload of A and of B."""
        return (self.a, self.workload), (self.b, self.b_workload or self.workload)


TITLES = {
    "hset": "HSET", "hget": "HGET", "set": "SET", "get": "GET", "hgetall": "HGETALL of 100 pairs", "hsetex": "HSETEX",
    "hset-wide": "HSET into a million namespaces",
    "hget1k": "HGET of 1 KiB", "hget16k": "HGET of 16 KiB", "hget64k": "HGET of 64 KiB",
    "hset1k": "HSET of 1 KiB", "hset16k": "HSET of 16 KiB", "hset64k": "HSET of 64 KiB",
    "rest-get": "REST GET", "rest-post": "REST POST",
}

# (workload, pipeline) -> CPU per operation, at most so many times redis's.
ONE_TARGETS = {
    ("hget", 1): 0.88, ("hset", 1): 0.88,
    ("hget", 16): 0.47, ("hset", 16): 0.47,
    ("hget", 64): 0.33, ("hset", 64): 0.33,
    ("get", 16): 0.55, ("set", 16): 0.55,
    ("hset-wide", 16): 0.60, ("hgetall", 4): 0.28,
}
# Pipeline -> CPU per HGET or HSET, at most so many times the floor's on tokio, or so many ns more.
ABOVE_TARGETS = {1: (1.10, None), 16: (None, 250), 64: (None, 300)}
OWN_TARGET = 1.20
JOURNAL_TARGETS = {1: 1.15, 16: 1.20}
ALWAYS_TARGET = 0.80
REST_TARGETS = {"rest-get": 1.30}
TWO_TARGET = 1.10


# What a client may do, as (workload, pipeline).
SMALL = [(w, p) for w in ("hget", "hset", "get", "set") for p in (1, 16, 64, 256)]
LARGE = [(f"{w}{size}", p) for size, p in (("1k", 16), ("16k", 4), ("64k", 1)) for w in ("hget", "hset")]


def all_cells() -> list[Cell]:
    """Every cell, in the order of the report."""
    cells = [Cell(f"null-hget-p{p}", NULL, "hget", p, REDIS_TWIN, REDIS) for p in (1, 16, 64)]
    cells.append(Cell("null-pantry-hget-p16", NULL, "hget", 16, PANTRY_TWIN, PANTRY))
    cells.append(Cell("null-rest-get", NULL, "rest-get", 1, HELLO_TWIN, HELLO))
    sizes = [*SMALL, *(("hgetall", p) for p in (1, 4, 16, 64)), ("hset-wide", 16), *LARGE]
    cells += [Cell(f"{w}-p{p}", ONE, w, p, PANTRY, REDIS, ONE_TARGETS.get((w, p))) for w, p in sizes]
    sizes = [*SMALL, ("hgetall", 4), ("hset-wide", 16), *LARGE]
    cells += [Cell(f"kevy-{w}-p{p}", PEER, w, p, PANTRY, KEVY) for w, p in sizes]
    cells.append(Cell("hsetex-p16", OWN, "hsetex", 16, PANTRY, PANTRY_TWIN, OWN_TARGET, b_workload="hset"))
    cells += [Cell(f"everysec-hset-p{p}", JOURNAL, "hset", p, PANTRY_EVERYSEC, PANTRY, target) for p, target in JOURNAL_TARGETS.items()]
    cells.append(Cell("always-hset-p1", ALWAYS, "hset", 1, PANTRY_ALWAYS, REDIS_ALWAYS, ALWAYS_TARGET))
    for short, floor in (("epoll", FLOOR_EPOLL), ("tokio", FLOOR_TOKIO)):
        for w, p in [*((w, p) for w in ("hget", "hset") for p in (1, 16, 64, 256)), ("hgetall", 4)]:
            cells.append(Cell(f"{short}-{w}-p{p}", FLOOR, w, p, floor, REDIS))
    for w in ("hget", "hset"):
        for p, (target, excess_max_ns) in ABOVE_TARGETS.items():
            cells.append(Cell(f"above-{w}-p{p}", ABOVE, w, p, PANTRY, FLOOR_TOKIO, target, excess_max_ns))
    cells += [Cell(w, REST, w, 1, PANTRY, HELLO, REST_TARGETS.get(w)) for w in ("rest-get", "rest-post")]
    for w, p in ((w, p) for w in ("hget", "hset") for p in (1, 16, 64)):
        cells.append(Cell(f"two-{w}-p{p}", TWO, w, p, PANTRY_TWO, PANTRY, TWO_TARGET))
    return cells


def matches(name: str, patterns: str) -> bool:
    """Whether one of the shell patterns, which commas stand between, is the name's."""
    return any(fnmatch(name, pattern) for pattern in patterns.split(","))


def brief(without: set[str]) -> list[Cell]:
    """The cells that the figures to reach need: those with a target, the floors and peers beside them, and the noise."""
    def is_wanted(cell: Cell) -> bool:
        has_target = cell.target is not None or cell.excess_max_ns is not None
        beside = matches(cell.name, "null-*,kevy-*-p16,kevy-*-p64,tokio-*-p1,tokio-*-p16,tokio-*-p64,tokio-hgetall-p4,h*64k-p1")
        return has_target or beside

    return [cell for cell in choose(None, without) if is_wanted(cell)]


def choose(pattern: str | None, without: set[str]) -> list[Cell]:
    """The cells whose name matches one of the shell patterns, without those that need a server in `without`.

    A cell of noise stays in every choice: no result without its noise.
    """
    cells = [cell for cell in all_cells() if not {cell.a, cell.b} & without]
    if pattern is None:
        return cells
    chosen = [cell for cell in cells if matches(cell.name, pattern)]
    if chosen and not any(cell.section == NULL for cell in chosen):
        http = all(cell.workload.startswith("rest") for cell in chosen)
        noise = "null-rest-get" if http else "null-hget-p16"
        chosen = [cell for cell in cells if cell.name == noise] + chosen
    return chosen
