"""Starts the servers of a round with the same data, places them on CPUs, and ends them."""

import os
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from . import cells

START_TIMEOUT_S = 10
RESTART_TIMEOUT_S = 120
ANSWER_TIMEOUT_S = 120
# More than any measurement opens; what a server takes per client beforehand is small.
CLIENTS_MAX = 12_000


@dataclass(frozen=True)
class Programs:
    """The programs to run."""

    bench: Path
    redis: Path
    pantry: Path | None
    kevy: Path | None
    in_process: Path | None


@dataclass
class Server:
    """A running server. `http_port` is the same as `port` for a server that speaks only HTTP."""

    name: str
    process: subprocess.Popen
    port: int
    http_port: int

    def place(self, cpus: set[int]) -> None:
        """Lets every thread of the server run on these CPUs only."""
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            os.sched_setaffinity(int(thread), cpus)

    def port_for(self, workload: str) -> int:
        """Where this workload is to be sent."""
        return self.http_port if workload.startswith("rest") else self.port


def command_line(name: str, programs: Programs, port: int, http_port: int) -> list[str]:
    """How a server is started. Nothing is written to disk, but by those that journal; their files are not rewritten meanwhile."""
    redis = [programs.redis, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
             "--loglevel", "warning", "--maxclients", CLIENTS_MAX, "--protected-mode", "no"]
    pantry = [programs.pantry, "--port", port, "--bind", "127.0.0.1", "--http-port", http_port,
               "--http-bind", "127.0.0.1", "--appendonly", "no", "--dir", "no-data",
               "--loglevel", "warning", "--maxclients", CLIENTS_MAX, "--threads"]

    def journaling(line: list, policy: str) -> list:
        return [*line, "--appendonly", "yes", "--appendfsync", policy, "--auto-aof-rewrite-percentage", 0]

    lines = {
        cells.REDIS: redis,
        cells.REDIS_TWIN: redis,
        cells.PANTRY: [*pantry, 1],
        cells.PANTRY_TWIN: [*pantry, 1],
        cells.PANTRY_TWO: [*pantry, 2],
        cells.PANTRY_EVERYSEC: journaling([*pantry, 1, "--dir", "everysec"], "everysec"),
        cells.PANTRY_ALWAYS: journaling([*pantry, 1, "--dir", "always"], "always"),
        cells.PANTRY_ALWAYS_TWO: journaling([*pantry, 2, "--dir", "always-two"], "always"),
        cells.REDIS_ALWAYS: journaling([*redis, "--appenddirname", "redis-always"], "always"),
        cells.KEVY: [programs.kevy, "--port", port, "--threads", 1, "--no-aof"],
        cells.FLOOR_EPOLL: [programs.bench, "floor-epoll", "--port", port],
        cells.FLOOR_TOKIO: [programs.bench, "floor-tokio", "--port", port],
        cells.FLOOR_COPY: [programs.bench, "floor-copy", "--port", port],
        cells.HELLO: [programs.bench, "hello", "--port", port],
        cells.HELLO_TWIN: [programs.bench, "hello", "--port", port],
    }
    return [str(word) for word in lines[name]]


def ask(server: Server, *words: str) -> str:
    """The reply to a command, as it comes over the wire; a bulk string whole."""
    request = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    with socket.create_connection(("127.0.0.1", server.port), ANSWER_TIMEOUT_S) as connection:
        connection.sendall(request.encode())
        reply = b""
        while b"\r\n" not in reply or (reply[:1] == b"$" and len(reply) < int(reply[1:reply.index(b"\r\n")])):
            part = connection.recv(1 << 16)
            if not part:
                raise OSError("the server closed the connection")
            reply += part
    return reply.decode(errors="replace")


def info(server: Server, field: str) -> int:
    """A number of INFO."""
    for line in ask(server, "INFO", "everything").splitlines():
        if line.startswith(field + ":"):
            return int(float(line.partition(":")[2]))
    raise KeyError(f"INFO has no {field}")


# The servers that hold data.
STORES = {cells.REDIS, cells.REDIS_TWIN, cells.REDIS_ALWAYS, cells.KEVY} | cells.PANTRIES


class Round:
    """Fresh processes of servers, each with the data of the workloads named beside it: `with Round(...) as servers`."""

    def __init__(self, wanted: dict[str, set[str]], programs: Programs, cpus: set[int]):
        self.wanted, self.programs, self.cpus = wanted, programs, cpus
        self.servers: dict[str, Server] = {}
        self.directory = Path(tempfile.mkdtemp(prefix="pantry-bench-"))

    def __enter__(self) -> dict[str, Server]:
        try:
            for name in self.wanted:
                self._start(name)
            for name, server in self.servers.items():
                if self.wanted[name] and name in STORES:
                    fill = [self.programs.bench, "fill", "--port", server.port]
                    fill += ["--http-port", server.http_port] if server.http_port != server.port else []
                    fill += [word for workload in sorted(self.wanted[name]) for word in ("--workload", workload)]
                    done = subprocess.run([str(word) for word in fill], capture_output=True, text=True)
                    if done.returncode != 0:
                        raise RuntimeError(f"{name} does not hold what it was given: {done.stderr.strip()}")
            return self.servers
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_) -> None:
        for server in self.servers.values():
            server.process.terminate()
        for server in self.servers.values():
            try:
                server.process.wait(START_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def restart(self, name: str) -> float:
        """Ends a server as an operator does, and starts it on the same files: seconds until it answers what is in them."""
        old = self.servers[name].process
        old.terminate()
        old.wait(RESTART_TIMEOUT_S)
        began = time.monotonic()
        self._start(name)
        while time.monotonic() < began + RESTART_TIMEOUT_S:
            if ask(self.servers[name], "DBSIZE").startswith(":"):
                return time.monotonic() - began
            time.sleep(0.005)
        raise RuntimeError(f"{name} is still loading")

    def _prepare(self) -> None:
        os.sched_setaffinity(0, self.cpus)
        raise_file_limit()

    def _start(self, name: str) -> None:
        port, http_port = free_ports(2)
        both = name in cells.PANTRIES
        log_path = self.directory / f"{len(self.servers)}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                command_line(name, self.programs, port, http_port), cwd=self.directory,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=self._prepare)
        self.servers[name] = Server(name, process, port, http_port if both else port)
        for one in {port, self.servers[name].http_port}:
            if not accepts(process, one):
                raise RuntimeError(f"{name} did not start:\n{log_path.read_text(errors='replace')[-2000:]}")


def raise_file_limit() -> None:
    """As many open files as this process may have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def accepts(process: subprocess.Popen, port: int) -> bool:
    """Waits until the port accepts connections; false when the process ends or the time runs out."""
    give_up = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < give_up:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False
