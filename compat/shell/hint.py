"""What redis-cli shows while something is typed: the line, with the hint that it makes of COMMAND DOCS.

    hint.py PORT TEXT

A terminal is needed for that, so it gets one. Nothing is executed: the line is never ended.
"""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

PROMPT = b"> "
QUIET_S = 0.5
PATIENCE_S = 10


def read_until(terminal: int, is_enough) -> bytes:
    """Reads until `is_enough` of what came, or until nothing more does."""
    seen, end = b"", time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        readable, _, _ = select.select([terminal], [], [], QUIET_S)
        if not readable:
            if is_enough(seen):
                break
            continue
        try:
            seen += os.read(terminal, 4096)
        except OSError:
            break
    return seen


def main() -> None:
    port, text = sys.argv[1:]
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm"
        os.execvp("redis-cli", ["redis-cli", "-h", "127.0.0.1", "-p", port])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
    read_until(terminal, lambda seen: PROMPT in seen)
    os.write(terminal, text.encode())
    shown = read_until(terminal, lambda seen: text.encode() in seen)
    os.close(terminal)
    os.waitpid(child, 0)
    # The line is drawn again with every letter; the last drawing counts.
    last = [part for part in shown.split(b"\r") if PROMPT in part][-1]
    plain = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", last).decode()
    print(plain.split(PROMPT.decode(), 1)[-1].strip())


main()
