"""What the run was made on and with: machine, versions, commit. No names of hosts, users or directories."""

import os
import platform
import re
import subprocess
from pathlib import Path

from .servers import Programs


def describe(programs: Programs, repository: Path) -> dict[str, str]:
    """Labels and values, in the order of the report."""
    facts = {
        "CPU": cpu_model(),
        "CPUs": str(os.cpu_count()),
        "virtual machine": first_match(r"^flags\s*:.*\b(hypervisor)\b", Path("/proc/cpuinfo").read_text()) and "yes" or "no",
        "memory": memory(),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load average at the start": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "redis": output([programs.redis, "--version"]),
        "pantry": output([programs.pantry, "--version"]) if programs.pantry else "absent: its cells were left out",
        "kevy": output([programs.kevy, "--version"]) if programs.kevy else "absent: its cells were left out",
        "rustc": output(["rustc", "--version"]),
        "commit": commit(repository),
    }
    return facts


def cpu_model() -> str:
    """The processor's name, with family and model, which tell more than many names do."""
    text = Path("/proc/cpuinfo").read_text()
    name = first_match(r"^model name\s*:\s*(.+)$", text) or platform.machine()
    family, model = first_match(r"^cpu family\s*:\s*(.+)$", text), first_match(r"^model\s*:\s*(.+)$", text)
    return f"{name} (family {family}, model {model})" if family else name


def memory() -> str:
    """The machine's memory."""
    kib = first_match(r"^MemTotal:\s*(\d+) kB", Path("/proc/meminfo").read_text())
    return f"{int(kib or 0) / 2**20:.1f} GiB"


def commit(repository: Path) -> str:
    """The commit, and whether the tree held anything else."""
    changed = output(["git", "-C", repository, "status", "--porcelain", "--untracked-files=no"])
    return output(["git", "-C", repository, "rev-parse", "HEAD"]) + (" with uncommitted changes" if changed else "")


def output(command: list) -> str:
    """What a program prints, on one line."""
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=10)
    except OSError as error:
        return f"unknown ({error.strerror})"
    return " ".join(done.stdout.split())


def first_match(pattern: str, text: str) -> str | None:
    """The first group of the first line that matches."""
    found = re.search(pattern, text, re.MULTILINE)
    return found and found.group(1)
