"""One server by itself, for scripts that measure what no cell can. It measures nothing itself."""

import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.servers import accepts, free_ports

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PROGRAMS = {"redis": "redis-server", "pantry": str(REPOSITORY / "target/release/pantry")}
# One thread, nothing written to disk.
OPTIONS = {
    "redis": ["--save", "", "--dir", tempfile.gettempdir()],
    "pantry": ["--threads", "1", "--http-port", "0", "--appendonly", "no", "--dir", "none"],
}


class Server:
    """A server on a free port of 127.0.0.1: `with Server(...) as server`."""

    def __init__(self, kind: str, program: str, *options: str, cpu: int | None = None):
        self.port = free_ports(1)[0]
        pinned = [] if cpu is None else ["taskset", "-c", str(cpu)]
        command = [*pinned, program, "--port", str(self.port), *options, *OPTIONS[kind]]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.sockets: list[socket.socket] = []

    def __enter__(self) -> "Server":
        if not accepts(self.process, self.port):
            sys.exit("the server did not start")
        return self

    def __exit__(self, *_) -> None:
        for one in self.sockets:
            one.close()
        self.process.terminate()
        self.process.wait()

    def connect(self) -> socket.socket:
        """One more connection."""
        self.sockets.append(socket.create_connection(("127.0.0.1", self.port)))
        return self.sockets[-1]

    def cpu_ns(self) -> int:
        """CPU time that the server has used, all threads."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)

    def kernel_share(self) -> float:
        """What of it the kernel has used."""
        user, kernel = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        return int(kernel) / max(int(user) + int(kernel), 1)
