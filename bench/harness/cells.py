"""The cells of the experiment and the targets that they are held against. Everything else follows from these lists.

A cell is two servers (A against B), one workload, one pipeline. Its figure is A's server CPU per operation over B's.
"""

from dataclasses import dataclass
from fnmatch import fnmatch

REDIS, REDIS_TWIN = "redis", "redis twin"
PANTRY, PANTRY_TWO = "pantry", "pantry, 2 threads"
FLOOR_EPOLL, FLOOR_TOKIO = "floor on epoll", "floor on tokio"
HELLO, HELLO_TWIN = "hello on hyper", "hello twin"

NULL, ONE, FLOOR, REST, TWO = "null", "one", "floor", "rest", "two"

SECTIONS = {
    NULL: "A against A: the noise of this run",
    ONE: "One worker thread against redis",
    FLOOR: "Floor servers against redis",
    REST: "REST against a hello-world on hyper",
    TWO: "Two worker threads against one (not pinned)",
}


@dataclass(frozen=True)
class Cell:
    """One comparison. `target` is the largest ratio that was asked for."""

    name: str
    section: str
    workload: str
    pipeline: int
    a: str
    b: str
    target: float | None = None

    @property
    def pinned(self) -> bool:
        """Server on one CPU, load generator on another."""
        return self.section != TWO

    @property
    def label(self) -> str:
        """What a table or plot calls the cell."""
        return f"{TITLES[self.workload]}, pipeline {self.pipeline}"


TITLES = {
    "hset": "HSET", "hget": "HGET", "set": "SET", "get": "GET", "hgetall": "HGETALL of 100 pairs",
    "rest-get": "REST GET", "rest-post": "REST POST",
}

# (workload, pipeline) -> CPU per operation, at most so many times redis's.
ONE_TARGETS = {
    ("hget", 1): 0.92, ("hset", 1): 0.92,
    ("hget", 16): 0.60, ("hset", 16): 0.60,
    ("hget", 64): 0.50,
    ("hgetall", 4): 0.35,
}
REST_TARGETS = {"rest-get": 1.60}
TWO_TARGET = 1.10


def all_cells() -> list[Cell]:
    """Every cell, in the order of the report."""
    cells = [Cell(f"null-hget-p{p}", NULL, "hget", p, REDIS_TWIN, REDIS) for p in (1, 16, 64)]
    cells.append(Cell("null-rest-get", NULL, "rest-get", 1, HELLO_TWIN, HELLO))
    sizes = [(w, p) for w in ("hget", "hset", "get", "set") for p in (1, 16, 64)]
    sizes += [("hgetall", p) for p in (1, 4, 16, 64)]
    cells += [Cell(f"{w}-p{p}", ONE, w, p, PANTRY, REDIS, ONE_TARGETS.get((w, p))) for w, p in sizes]
    for short, floor in (("epoll", FLOOR_EPOLL), ("tokio", FLOOR_TOKIO)):
        for w, p in (("hget", 1), ("hget", 16), ("hget", 64), ("hgetall", 4)):
            cells.append(Cell(f"{short}-{w}-p{p}", FLOOR, w, p, floor, REDIS))
    cells += [Cell(w, REST, w, 1, PANTRY, HELLO, REST_TARGETS.get(w)) for w in ("rest-get", "rest-post")]
    for w, p in ((w, p) for w in ("hget", "hset") for p in (1, 16, 64)):
        cells.append(Cell(f"two-{w}-p{p}", TWO, w, p, PANTRY_TWO, PANTRY, TWO_TARGET))
    return cells


def choose(pattern: str | None, without: set[str]) -> list[Cell]:
    """The cells whose name matches the shell pattern, without those that need a server in `without`.

    A cell of noise stays in every choice: no result without its noise.
    """
    cells = [cell for cell in all_cells() if not {cell.a, cell.b} & without]
    if pattern is None:
        return cells
    chosen = [cell for cell in cells if fnmatch(cell.name, pattern)]
    if chosen and not any(cell.section == NULL for cell in chosen):
        http = all(cell.workload.startswith("rest") for cell in chosen)
        noise = "null-rest-get" if http else "null-hget-p16"
        chosen = [cell for cell in cells if cell.name == noise] + chosen
    return chosen
