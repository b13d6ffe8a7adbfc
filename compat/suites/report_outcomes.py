"""A pytest plugin: writes what became of every test into a file, one line each, as `compat/suites/run` reads it.

Not a test. PANTRY_OUTCOMES names the file, PANTRY_DESELECT the patterns of tests that are not to be started.
"""
import fnmatch
import os
import tracemalloc

# redis-py's conftest traces every allocation, which triples the time and has nothing to do with the server.
tracemalloc.start = lambda *_: None

DESELECT = os.environ.get("PANTRY_DESELECT", "").split()


def pytest_collection_modifyitems(config, items):
    gone = [item for item in items if any(fnmatch.fnmatch(item.nodeid, pattern) for pattern in DESELECT)]
    config.hook.pytest_deselected(items=gone)
    items[:] = [item for item in items if item not in set(gone)]


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        message = ""
        if report.skipped and isinstance(report.longrepr, tuple):
            message = report.longrepr[2]
        elif report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            message = crash.message if crash else str(report.longrepr)
        with open(os.environ["PANTRY_OUTCOMES"], "a", encoding="utf-8") as out:
            print(report.outcome, report.nodeid, " ".join(message.split())[:2000], sep="\t", file=out)
