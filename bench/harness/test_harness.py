"""Tests of the experiment's arithmetic and rules: `python3 -m unittest discover -s bench -t bench`."""

import unittest
from dataclasses import replace
from datetime import date

from . import cells, experiment, plot, report, rows, stats, trials
from .rows import Row, Target

PLAN = experiment.Plan(pairs=4, rounds=2, extra_rounds=1, window_ms=1, ramp_ms=1, connections=1, server_cpu=0, client_cpu=1,
                       keep_noisy=False)
QUIET = {"ops": 1000, "elapsed_ns": 10**9, "server_cpu_ns": 10**9, "server_wait_ns": 0, "server_user_ns": 4, "server_system_ns": 6,
         "client_cpu_ns": 10**8, "client_wait_ns": 0, "idle_cpu_ns": 0, "machine_busy_ns": 11 * 10**8, "machine_steal_ns": 0,
         "server_commands": 1001, "p50_ns": 1, "p99_ns": 2, "p999_ns": 3, "max_ns": 4}


def cell(name: str) -> cells.Cell:
    return next(cell for cell in cells.all_cells() if cell.name == name)


def measured(name: str, ratios: list[float]) -> experiment.Measured:
    pairs = [experiment.Pair(0, "AB", QUIET | {"server_cpu_ns": round(10**9 * ratio)}, QUIET, None) for ratio in ratios]
    return experiment.Measured(cell(name), pairs)


class Cells(unittest.TestCase):
    def test_names_are_unique(self):
        names = [cell.name for cell in cells.all_cells()]
        self.assertEqual(len(names), len(set(names)))

    def test_every_target_has_its_cell(self):
        targets = [cell for cell in cells.all_cells() if cell.target is not None or cell.excess_max_ns is not None]
        above, own, always, two = 2 * len(cells.ABOVE_TARGETS), 1, 1, 6
        journal = len(cells.JOURNAL_TARGETS)
        self.assertEqual(len(targets), len(cells.ONE_TARGETS) + len(cells.REST_TARGETS) + journal + always + above + own + two)

    def test_every_workload_has_a_title(self):
        for cell in cells.all_cells():
            self.assertIn(cell.workload, cells.TITLES)

    def test_each_side_has_its_server_and_workload(self):
        self.assertEqual(cell("hsetex-p16").sides, ((cells.PANTRY, "hsetex"), (cells.PANTRY_TWIN, "hset")))
        results = [experiment.Measured(cell(name)) for name in ("hsetex-p16", "hget-p16")]
        self.assertEqual(experiment.wanted(results), {cells.PANTRY: {"hsetex", "hget"}, cells.PANTRY_TWIN: {"hset"},
                                                      cells.REDIS: {"hget"}})

    def test_a_choice_keeps_a_cell_of_noise(self):
        self.assertEqual([c.name for c in cells.choose("hgetall-p4", set())], ["null-hget-p16", "hgetall-p4"])
        self.assertEqual([c.name for c in cells.choose("rest-get", set())], ["null-rest-get", "rest-get"])
        self.assertEqual(cells.choose("nothing", set()), [])

    def test_without_pantry(self):
        for one in cells.choose(None, cells.PANTRIES):
            self.assertIn(one.section, (cells.NULL, cells.FLOOR))

    def test_names_of_trials_are_no_names_of_cells(self):
        names = [one.name for one in (*cells.all_cells(), *trials.all_trials())]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual([trial.name for trial in trials.choose("tail-*")], ["tail-hget", "tail-hset"])


PINNED, FREE = cell("hget-p1"), cell("two-hget-p1")


class Rejections(unittest.TestCase):
    def test_a_quiet_window_counts(self):
        self.assertIsNone(experiment.rejection(QUIET, QUIET, PINNED, False))
        self.assertIsNone(experiment.rejection(QUIET, QUIET | {"server_commands": None}, FREE, False))

    def test_a_disturbance_of_either_window_rejects_the_pair_unless_noise_is_kept(self):
        for change, one in [
            ({"idle_cpu_ns": 2 * 10**7}, PINNED), ({"machine_steal_ns": 10**12}, PINNED), ({"server_wait_ns": 10**8}, PINNED),
            ({"client_wait_ns": 10**8}, PINNED), ({"machine_busy_ns": 2 * 10**9}, FREE),
        ]:
            for pair in ((QUIET, QUIET | change), (QUIET | change, QUIET)):
                self.assertIsNotNone(experiment.rejection(*pair, one, False), change)
                self.assertIsNone(experiment.rejection(*pair, one, True), change)

    def test_a_wrong_account_is_never_kept(self):
        for change in [{"server_cpu_ns": 10**4}, {"server_commands": 999}, {"server_commands": 1003}]:
            self.assertIsNotNone(experiment.rejection(QUIET, QUIET | change, PINNED, True), change)

    def test_waiting_is_normal_where_nothing_is_pinned(self):
        self.assertIsNone(experiment.rejection(QUIET, QUIET | {"client_wait_ns": 10**8}, FREE, False))

    def test_threads_of_a_server_that_journals_wait_for_one_another(self):
        self.assertIsNone(experiment.rejection(QUIET, QUIET | {"server_wait_ns": 10**8}, cell("everysec-hset-p1"), False))
        self.assertIsNotNone(experiment.rejection(QUIET, QUIET | {"client_wait_ns": 10**8}, cell("everysec-hset-p1"), False))


class Rounds(unittest.TestCase):
    def test_pairs_are_spread_and_rejected_ones_made_up_for(self):
        result = measured("hget-p1", [])
        self.assertEqual(experiment.missing(result, PLAN, 0), 2)
        result = measured("hget-p1", [1, 1])
        result.pairs[0] = replace(result.pairs[0], rejected="steal")
        self.assertEqual([experiment.missing(result, PLAN, number) for number in (0, 1, 2)], [0, 2, 2])
        result = measured("hget-p1", [1, 1, 1, 1])
        self.assertEqual(experiment.missing(result, PLAN, 2), 0)
        result.pairs[0] = replace(result.pairs[0], rejected="steal")
        self.assertEqual(experiment.missing(result, PLAN, 2), 1)

    def test_a_failed_cell_is_left_alone(self):
        result = measured("hget-p1", [])
        result.error = "no"
        self.assertEqual(experiment.missing(result, PLAN, 0), 0)


class Statistics(unittest.TestCase):
    def test_median_and_spread(self):
        ratio = stats.summarize([0.5, 1.0, 2.0])
        self.assertAlmostEqual(ratio.median, 1)
        self.assertAlmostEqual(ratio.quartiles[0] * ratio.quartiles[1], 1)
        self.assertAlmostEqual(ratio.interval[0], 0.5)
        self.assertAlmostEqual(ratio.interval[1], 2)
        self.assertAlmostEqual(ratio.off_one, 1)

    def test_inverse_ratios_give_the_inverse(self):
        values = [0.7, 0.8, 0.85, 0.9, 1.3]
        one, other = stats.summarize(values), stats.summarize([1 / value for value in values])
        self.assertAlmostEqual(one.median * other.median, 1)
        self.assertAlmostEqual(one.quartiles[0] * other.quartiles[1], 1)

    def test_a_single_pair_has_no_spread(self):
        self.assertEqual(stats.summarize([0.5]).interval, stats.summarize([0.5]).quartiles)

    def test_quotient(self):
        ratio = stats.quotient([0.8] * 5, [0.4] * 5)
        self.assertAlmostEqual(ratio.median, 2)
        self.assertAlmostEqual(ratio.interval[0], 2)


class Report(unittest.TestCase):
    def run_of(self, *results: experiment.Measured) -> report.Run:
        return report.Run(date(2026, 1, 2), False, PLAN, {"CPU": "some"}, [stats.figure(result) for result in results])

    def test_targets_say_what_was_reached_and_what_is_in_doubt(self):
        for ratios, words in [([0.4] * 4, "yes"), ([0.7] * 4, "**no**"), ([0.4], "yes (only 1 of 4 pairs)"),
                              ([0.3, 0.4, 0.45, 0.7], "yes (the interval crosses the target)")]:
            figure = stats.figure(measured("hget-p16", ratios))
            self.assertEqual(report.verdict(figure.measured.cell, figure, 4), words)

    def test_a_target_of_an_excess_is_held_against_the_difference(self):
        # An operation of B takes 1 ms, so a ratio of 1.0002 is 200 ns more.
        for ratio, words in [(1.0002, "yes"), (1.0003, "**no**")]:
            figure = stats.figure(measured("above-hget-p16", [ratio] * 4))
            self.assertEqual(report.verdict(figure.measured.cell, figure, 4), words)

    def test_where_pantry_is_not_ahead_is_said(self):
        values = {cells.PANTRY: 2.0, cells.REDIS: 1.0, cells.KEVY: 3.0}
        run = replace(self.run_of(measured("hget-p1", [1.2] * 4), measured("kevy-hget-p1", [0.5] * 4)),
                      rows=[Row("group", "what", "bytes", values)])
        text = report.not_ahead(run)
        self.assertIn("dearer than redis", text)
        self.assertIn("2.00 bytes where redis has 1.00", text)
        self.assertNotIn("kevy", text)

    def test_a_run_without_or_with_much_noise_is_not_to_be_cited(self):
        self.assertIn("unknown", report.noise(self.run_of(measured("hget-p1", [1]))))
        self.assertIn("not to be cited", report.noise(self.run_of(measured("null-hget-p1", [1.2] * 4))))
        self.assertNotIn("cited", report.noise(self.run_of(measured("null-hget-p1", [1.01] * 4))))

    def test_everything_is_in_the_report_also_when_cells_have_no_result(self):
        results = [measured(one.name, [0.9, 1.1]) for one in cells.all_cells()]
        results[5].pairs = [replace(pair, rejected="steal") for pair in results[5].pairs]
        results[6] = experiment.Measured(results[6].cell, [], "a wrong reply")
        run = self.run_of(*results)
        text = report.markdown(run)
        for section in cells.SECTIONS.values():
            self.assertIn(section, text)
        self.assertIn("steal: 2", text)
        self.assertIn("a wrong reply", text)
        self.assertEqual(plot.ratios(run.figures).count("<circle"), len(results) - 2)
        self.assertEqual(len(report.as_json(run)["cells"]), len(results))


class Rows(unittest.TestCase):
    def row(self, values: dict[str, float], target: Target | None, **more) -> Row:
        return Row("group", "what", "bytes", values, target, **more)

    def test_targets(self):
        both = {cells.PANTRY: 62.0, cells.REDIS: 60.0}
        for target, words in [(Target(rows.AT_MOST, 62), "yes"), (Target(rows.AT_MOST, 61.9), "**no**"),
                              (Target(rows.AT_LEAST, 62), "yes"), (Target(rows.AT_LEAST, 62.1), "**no**"),
                              (Target(rows.TIMES_REDIS, 1), "**no**"), (Target(rows.TIMES_REDIS, 1.1), "yes"), (None, "")]:
            self.assertEqual(rows.verdict(self.row(both, target)), words, target)
        self.assertEqual(rows.verdict(self.row({cells.REDIS: 1.0}, Target(rows.AT_MOST, 62))), "not measured")
        self.assertEqual(rows.verdict(self.row({cells.PANTRY: 1.0}, Target(rows.TIMES_REDIS, 1))), "not measured")

    def test_not_ahead(self):
        values = {cells.PANTRY: 2.0, cells.REDIS: 2.0, cells.KEVY: 3.0, cells.FLOOR_EPOLL: 1.0}
        self.assertEqual(rows.not_ahead_of(self.row(values, None)), [cells.REDIS])
        self.assertEqual(rows.not_ahead_of(self.row(values, None, higher_is_better=True)), [cells.REDIS, cells.KEVY])
        self.assertEqual(rows.not_ahead_of(self.row(values, None, compares=False)), [])

    def test_the_excess_is_over_the_floor_of_the_same_round(self):
        names = [cells.FLOOR_TOKIO, cells.REDIS, cells.PANTRY]
        lines = {cells.FLOOR_TOKIO: [{"p999_ns": 1000}, {"p999_ns": 9000}, {"p999_ns": 1000}],
                 cells.REDIS: [{"p999_ns": 4000}, {"p999_ns": 12000}, {"p999_ns": 90000}],
                 cells.PANTRY: [{"p999_ns": 2000}, {"p999_ns": 10000}, {"p999_ns": 2000}]}
        row = trials.excess_row("", names, lines)
        self.assertEqual(row.values, {cells.REDIS: 3.0, cells.PANTRY: 1.0})
        self.assertEqual(rows.verdict(row), "yes")

    def test_numbers_have_the_digits_that_count(self):
        self.assertEqual([rows.number(value) for value in (None, 0.123, 12.34, 123.4, 12345.6)],
                         ["-", "0.12", "12.3", "123", "12,346"])


if __name__ == "__main__":
    unittest.main()
