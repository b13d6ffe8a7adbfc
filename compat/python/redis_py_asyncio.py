"""redis-py's asyncio client, over RESP2 and over RESP3: what its own code does differently from the synchronous one.

Started by compat/run. Single commands are checked with the synchronous client.
"""

import asyncio
import os
import platform

import redis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from checks import (
    AUTH_PORT,
    BIG_VALUE_BYTES,
    PASSWORD,
    PORT,
    SOCKET_TIMEOUT_S,
    Checks,
    between,
    connect,
    raises,
    same,
)

checks = Checks("redis-py-asyncio")
check = checks.check


def open_client(protocol, **options):
    """An asyncio client for the server without a password; leave it with `async with`."""
    return connect(protocol, client=Redis, **options)


@check("hashes and strings")
async def data(protocol):
    async with open_client(protocol) as r:
        same(await r.hset("Sales ETL", mapping={"last run": "2026-11-22", "größe": "ü"}), 2)
        same(await r.hgetall("Sales ETL"), {"last run": "2026-11-22", "größe": "ü"})
        same(await r.hmget("Sales ETL", "größe", "nope"), ["ü", None])
        same([await r.set("s", "1", ex=100, nx=True), await r.set("s", "2", nx=True)], [True, None])
        between(await r.ttl("s"), 98, 100)
        same([await r.incrbyfloat("s", 0.5), await r.getdel("s"), await r.get("s")], [1.5, "1.5", None])


@check("field TTLs", needs="redis-8")
async def field_ttl(protocol):
    async with open_client(protocol) as r:
        same(await r.hsetex("ns", mapping={"a": "1", "b": "2"}, px=60_000), 1)
        between((await r.hpttl("ns", "a"))[0], 55_000, 60_000)
        same(await r.hexpire("ns", 100, "a", "nope"), [1, -2])
        same([await r.hpersist("ns", "a"), await r.httl("ns", "a")], [[1], [-1]])
        same([await r.hgetex("ns", "b", ex=70), await r.hgetdel("ns", "a")], [["2"], ["1"]])
        same(await r.hpexpire("ns", 50, "b"), [1])
        await asyncio.sleep(0.2)
        same([await r.hget("ns", "b"), await r.hgetall("ns")], [None, {}])


@check("SCAN and HSCAN iterators")
async def iterators(protocol):
    async with open_client(protocol) as r:
        await r.mset({f"s:{i}": i for i in range(1000)})
        await r.hset("h", mapping={f"f{i}": str(i) for i in range(1000)})
        same({name async for name in r.scan_iter("s:*", count=50)}, {f"s:{i}" for i in range(1000)})
        same({name async for name in r.scan_iter(_type="hash")}, {"h"})
        same({f: v async for f, v in r.hscan_iter("h", count=50)}, {f"f{i}": str(i) for i in range(1000)})


@check("pipelines and MULTI, EXEC, with a failing command")
async def pipelines(protocol):
    async with open_client(protocol) as r:
        async with r.pipeline(transaction=False) as pipe:
            for i in range(3000):
                pipe.hset("h", f"f{i}", i).hget("h", f"f{i}")
            same(await pipe.execute(), [v for i in range(3000) for v in (1, str(i))])
        async with r.pipeline(transaction=True) as pipe:
            results = await pipe.set("a", 1).hget("a", "f").incr("a").execute(raise_on_error=False)
            same([results[0], "WRONGTYPE" in str(results[1]), results[2]], [True, True, 2])


@check("WATCH: another client's change aborts; transactions that repeat lose no update")
async def watch(protocol):
    async with open_client(protocol) as r, open_client(protocol) as other:
        await r.set("k", 1)
        async with r.pipeline() as pipe:
            await pipe.watch("k")
            await other.set("k", 2)
            pipe.multi()
            pipe.set("k", 3)
            with raises(redis.WatchError):
                await pipe.execute()
        same(await r.get("k"), "2")

        async def add_one(pipe):
            current = int(await pipe.get("count") or 0)
            pipe.multi()
            pipe.set("count", current + 1)

        await asyncio.gather(*[r.transaction(add_one, "count") for _ in range(30)])
        same(await r.get("count"), "30")


@check("200 tasks share 10 connections")
async def many_tasks(protocol):
    pool = BlockingConnectionPool(
        host="127.0.0.1",
        port=PORT,
        protocol=protocol,
        max_connections=10,
        timeout=20,
        socket_timeout=SOCKET_TIMEOUT_S,
    )
    async with Redis.from_pool(pool) as r:
        await asyncio.gather(*[r.hincrby("h", f"f{i % 7}") for i in range(1000)])
        same(sum(int(v) for v in await r.hvals("h")), 1000)
        replies = await asyncio.gather(*[r.echo(f"message {i}") for i in range(200)])
        same(replies, [f"message {i}".encode() for i in range(200)])


@check("any bytes, and 8 MiB, several at once")
async def big_values(protocol):
    async with open_client(protocol, decode_responses=False) as r:
        every_byte = bytes(range(256))
        await r.hset(every_byte, every_byte, every_byte[::-1])
        same(await r.hgetall(every_byte), {every_byte: every_byte[::-1]})
        bigs = [os.urandom(1024) * (BIG_VALUE_BYTES // 1024) for _ in range(3)]
        await asyncio.gather(*[r.set(f"big{i}", big) for i, big in enumerate(bigs)])
        back = await asyncio.gather(*[r.get(f"big{i}") for i in range(3)])
        same([a == b for a, b in zip(back, bigs)], [True] * 3)


@check("a cancelled command does not give its reply to the next one")
async def cancelled(protocol):
    async with open_client(protocol, decode_responses=False, max_connections=1) as r:
        await r.mset({"big": b"x" * BIG_VALUE_BYTES, "small": b"s"})
        for _ in range(5):
            task = asyncio.create_task(r.get("big"))
            await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            same(await r.get("small"), b"s")


@check("CLIENT SETINFO, SETNAME and LIST", needs="redis-8")
async def client_list(protocol):
    async with open_client(protocol, client_name="asyncio-app") as r:
        me = await r.client_info()
        same([me["name"], me["lib-ver"], int(me["resp"])], ["asyncio-app", redis.__version__, protocol])
        same("asyncio-app" in [c["name"] for c in await r.client_list()], True)


@check("CLIENT KILL: the library connects again")
async def client_kill(protocol):
    retry = Retry(ConstantBackoff(0.05), 3)
    async with open_client(protocol) as admin, open_client(protocol, retry=retry) as victim:
        first = await victim.client_id()
        same(await admin.client_kill_filter(_id=first), 1)
        same(await victim.client_id() > first, True)


@check("requirepass: without, with a wrong and with the right password")
async def auth(protocol):
    for password, fits in ((None, False), ("wrong", False), (PASSWORD, True)):
        async with open_client(protocol, port=AUTH_PORT, password=password, retry=Retry(ConstantBackoff(0), 0)) as r:
            if fits:
                same([await r.set("k", 1), await r.get("k")], [True, "1"])
            else:
                with raises(redis.AuthenticationError):
                    await r.get("k")


def main():
    """Runs every check in both protocols, each on empty databases."""
    print(f"redis-py {redis.__version__} (asyncio) on Python {platform.python_version()}")
    for protocol in (2, 3):
        checks.run(f"RESP{protocol}: ", connect(protocol).flushall, protocol)
    checks.close()


if __name__ == "__main__":
    main()
