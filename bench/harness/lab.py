"""Runs the tools of ../src against one fresh server at a time, and remembers what failed instead of ending the run."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .experiment import Plan
from .servers import Programs, Round, Server, raise_file_limit

TOOL_TIMEOUT_S = 900


@dataclass
class Lab:
    """Programs, how much is measured, the servers that are not there, and what failed."""

    programs: Programs
    plan: Plan
    quick: bool
    brief: bool
    without: set[str]
    failures: list[str] = field(default_factory=list)

    def present(self, *names: str) -> list[str]:
        """Those of the servers that can be run."""
        return [name for name in names if name not in self.without]

    @contextmanager
    def servers(self, wanted: dict[str, set[str]]) -> Iterator[dict[str, Server]]:
        """Fresh processes, with the data of these workloads."""
        with self.round(wanted) as round_:
            yield round_.servers

    @contextmanager
    def round(self, wanted: dict[str, set[str]]) -> Iterator[Round]:
        """The same with what starts and ends them."""
        round_ = Round(wanted, self.programs, {self.plan.server_cpu})
        with round_ as servers:
            for server in servers.values():
                server.place({self.plan.server_cpu})
            yield round_

    def tool(self, server: Server, name: str, *options) -> list[dict]:
        """The lines that a tool prints about a server."""
        return self.run([self.programs.bench, name, "--port", server.port, *options])

    def account(self, server: Server, name: str, *options) -> list[dict]:
        """The same for a tool that reads the kernel's account of the server."""
        return self.tool(server, name, "--pid", server.process.pid, *options)

    def run(self, command: list, cpus: set[int] | None = None) -> list[dict]:
        """What a program prints, a JSON object a line; on the load generator's CPU if nothing else is said."""
        def prepare() -> None:
            os.sched_setaffinity(0, cpus or {self.plan.client_cpu})
            raise_file_limit()

        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=TOOL_TIMEOUT_S,
                              preexec_fn=prepare)
        if done.returncode != 0:
            raise RuntimeError(" ".join(done.stderr.split()))
        return [json.loads(line) for line in done.stdout.splitlines()]

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """Notes a failure and goes on."""
        try:
            yield
        except (RuntimeError, OSError, subprocess.TimeoutExpired, KeyError, IndexError) as error:
            self.failures.append(f"{what}: {error}")
            print(f"{what}: {error}", file=sys.stderr, flush=True)
