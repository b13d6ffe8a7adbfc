"""A small check runner for the Python clients: one printed line per check, counted, and a closing line.

Not a test framework: no discovery and no fixtures, because each client's file lists its checks in the order they run.
"""

import asyncio
import inspect
import os
import signal
import subprocess
import sys
import time
import traceback

import redis

CHECK_TIMEOUT_S = 20
SOCKET_TIMEOUT_S = 10
BIG_VALUE_BYTES = 8 * 1024 * 1024

PORT = int(os.environ["COMPAT_PORT"])
AUTH_PORT = int(os.environ["COMPAT_AUTH_PORT"])
PASSWORD = os.environ["COMPAT_PASSWORD"]
LACKS = os.environ.get("COMPAT_LACKS", "").split()


class Checks:
    """The checks of one client, in the order in which they were declared."""

    def __init__(self, name):
        self.name = name
        self.declared = []
        self.passed = self.failed = self.skipped = 0

    def check(self, text, needs=None):
        """Declares a check. `needs` names what a peer may lack; pantry lacks nothing that is checked here."""

        def declare(function):
            self.declared.append((text, needs, function))
            return function

        return declare

    def run(self, prefix, before, *arguments):
        """Runs every check with these arguments, after `before`; a check that raises has failed."""
        for text, needs, function in self.declared:
            text = f"{prefix}{text}"
            if needs in LACKS:
                self.skipped += 1
                print(f"skip  {text}", flush=True)
                continue
            try:
                self._run_one(before, function, arguments)
            except Exception as error:  # noqa: BLE001 - whatever a client raises is a failure of its check
                self.failed += 1
                print(f"FAIL  {text}\n      {type(error).__name__}: {str(error)[:600]}", flush=True)
                print(f"      at {_own_frame(error)}", flush=True)
            else:
                self.passed += 1
                print(f"ok    {text}", flush=True)

    def close(self):
        """Prints the closing line and ends the process: status 0 only when nothing failed."""
        print(f"{self.name}: {self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        sys.exit(1 if self.failed else 0)

    @staticmethod
    def _run_one(before, function, arguments):
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(CHECK_TIMEOUT_S)
        try:
            before()
            if inspect.iscoroutinefunction(function):
                asyncio.run(function(*arguments))
            else:
                function(*arguments)
        finally:
            signal.alarm(0)


def connect(protocol, client=redis.Redis, **options):
    """A client for the server without a password; replies are text unless asked otherwise."""
    options = {"port": PORT, "decode_responses": True, "socket_timeout": SOCKET_TIMEOUT_S, **options}
    if protocol is not None:
        options["protocol"] = protocol
    return client(host="127.0.0.1", **options)


def same(actual, expected):
    """Fails unless both are equal, and then shows both."""
    assert actual == expected, f"expected {_short(expected)}, got {_short(actual)}"


def between(actual, lowest, highest):
    """Fails unless the number lies within both bounds."""
    assert lowest <= actual <= highest, f"expected {lowest}..{highest}, got {actual!r}"


class raises:
    """A block that must raise this error with this text in it."""

    def __init__(self, kind, text=""):
        self.kind, self.text = kind, text

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _traceback):
        assert error is not None, f"expected {self.kind} {self.text!r}, got no error"
        if not isinstance(error, self.kind):
            return False
        assert self.text in str(error), f"expected {self.text!r} in {str(error)!r}"
        return True


def until(condition, timeout_s=5.0):
    """Waits until the condition holds; fails when it does not within the time."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "did not become true in time"
        time.sleep(0.02)


def start_server(port):
    """Starts a further server on this port; the caller ends it."""
    return subprocess.Popen(
        [os.environ["COMPAT_SERVE"], str(port), "0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def end_server(process):
    """Ends a server that `start_server` started, and waits for it."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)


def _own_frame(error):
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "site-packages" not in f.filename]
    own = [f for f in frames if os.path.basename(f.filename) != "checks.py"]
    return f"line {own[-1].lineno}: {own[-1].line}" if own else "checks.py"


def _too_long(_signal, _frame):
    raise TimeoutError(f"took longer than {CHECK_TIMEOUT_S} s")


def _short(value):
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:400]}... ({len(text)} characters)"
