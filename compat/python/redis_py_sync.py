"""redis-py's synchronous client, over RESP2 and over RESP3, through everything that pantry offers to Redis clients.

Started by compat/run. Not the place for exact replies on the wire: what counts is what the library makes of them.
"""

import platform

import redis

import sync_connections  # noqa: F401 - declares its checks
from checks import connect
from sync_data import checks


def main():
    """Runs every check in both protocols, each on empty databases."""
    print(f"redis-py {redis.__version__} on Python {platform.python_version()}")
    for protocol in (2, 3):
        checks.run(f"RESP{protocol}: ", connect(protocol).flushall, protocol)
    checks.close()


if __name__ == "__main__":
    main()
