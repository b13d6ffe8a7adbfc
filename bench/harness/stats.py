"""From pairs to figures: medians of paired ratios, quartiles, and a bootstrap interval."""

import math
import random
import statistics
from dataclasses import dataclass

from .experiment import Measured, Pair, cpu_per_op

BOOTSTRAP_SAMPLES = 4000
CONFIDENCE = 0.95
# A run whose A against A is off by more is not to be cited.
NOISE_MAX = 0.05


@dataclass(frozen=True)
class Ratio:
    """Median of ratios with its quartiles and the bootstrap interval of the median."""

    median: float
    quartiles: tuple[float, float]
    interval: tuple[float, float]

    @property
    def off_one(self) -> float:
        """How far the interval reaches from 1."""
        return max(abs(1 - end) for end in self.interval)


@dataclass(frozen=True)
class Side:
    """What one server of a cell did: medians over its windows."""

    cpu_ns: float
    ops_per_s: float
    busy: float
    kernel: float
    p50_us: float
    p99_us: float
    p999_us: float


@dataclass(frozen=True)
class Figure:
    """A cell's result. `ratio` and the sides are None when every pair was rejected."""

    measured: Measured
    ratio: Ratio | None
    machine_ratio: float | None
    a: Side | None
    b: Side | None

    @property
    def rejects(self) -> dict[str, int]:
        """Rejected pairs by reason."""
        counts: dict[str, int] = {}
        for pair in self.measured.pairs:
            if pair.rejected:
                counts[pair.rejected] = counts.get(pair.rejected, 0) + 1
        return counts


def figure(measured: Measured) -> Figure:
    """The figure of a cell."""
    kept = measured.kept
    if not kept:
        return Figure(measured, None, None, None, None)
    machine = statistics.median(machine_cpu_per_op(pair.a) / machine_cpu_per_op(pair.b) for pair in kept)
    return Figure(measured, summarize(cpu_ratios(kept)), machine, side([p.a for p in kept]), side([p.b for p in kept]))


def cpu_ratios(pairs: list[Pair]) -> list[float]:
    """A over B of every pair."""
    return [cpu_per_op(pair.a) / cpu_per_op(pair.b) for pair in pairs]


def excess_ns(pairs: list[Pair]) -> float:
    """CPU per operation of A beyond B's: the median over the pairs."""
    return statistics.median(cpu_per_op(pair.a) - cpu_per_op(pair.b) for pair in pairs)


def machine_cpu_per_op(window: dict) -> float:
    """All CPU time of the machine but the load generator's, per operation: holds also what the kernel charged to nobody."""
    return max(window["machine_busy_ns"] - window["client_cpu_ns"], 1) / window["ops"]


def summarize(ratios: list[float]) -> Ratio:
    """Median, quartiles and interval. Works on logarithms, so that A/B and B/A tell the same."""
    logs = sorted(math.log(ratio) for ratio in ratios)
    medians = resampled_medians(logs)
    return ratio_of(statistics.median(logs), quantile(logs, 0.25), quantile(logs, 0.75), medians)


def quotient(ratios: list[float], others: list[float]) -> Ratio:
    """One median over the other, for servers that were both paired with a third. The quartiles add as if independent."""
    one, other = [math.log(r) for r in ratios], [math.log(r) for r in others]
    medians = [m - n for m, n in zip(resampled_medians(one), resampled_medians(other, seed=2))]
    middle = statistics.median(one) - statistics.median(other)
    spread = math.hypot(*((quantile(sorted(logs), 0.75) - quantile(sorted(logs), 0.25)) / 2 for logs in (one, other)))
    return ratio_of(middle, middle - spread, middle + spread, medians)


def ratio_of(median: float, low: float, high: float, medians: list[float]) -> Ratio:
    """Back from logarithms."""
    medians = sorted(medians)
    tail = (1 - CONFIDENCE) / 2
    interval = (math.exp(quantile(medians, tail)), math.exp(quantile(medians, 1 - tail)))
    return Ratio(math.exp(median), (math.exp(low), math.exp(high)), interval)


def resampled_medians(values: list[float], seed: int = 1) -> list[float]:
    """Medians of samples with replacement; the same for the same input."""
    source = random.Random(seed)
    return [statistics.median(source.choices(values, k=len(values))) for _ in range(BOOTSTRAP_SAMPLES)]


def quantile(ordered: list[float], share: float) -> float:
    """The quantile of sorted values, interpolated."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def side(windows: list[dict]) -> Side:
    """Medians over windows."""

    def middle(value) -> float:
        return statistics.median(value(window) for window in windows)

    user, kernel = (sum(window[name] for window in windows) for name in ("server_user_ns", "server_system_ns"))
    return Side(
        cpu_ns=middle(cpu_per_op),
        ops_per_s=middle(lambda w: w["ops"] / w["elapsed_ns"] * 1e9),
        busy=middle(lambda w: w["server_cpu_ns"] / w["elapsed_ns"]),
        kernel=kernel / max(user + kernel, 1),
        p50_us=middle(lambda w: w["p50_ns"] / 1e3),
        p99_us=middle(lambda w: w["p99_ns"] / 1e3),
        p999_us=middle(lambda w: w["p999_ns"] / 1e3),
    )
