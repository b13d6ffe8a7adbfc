"""redis-py's synchronous client: transactions, pipelines, bytes, connections and what it asks of the server.

Declares checks for redis_py_sync.py, which runs them; the other half is in sync_data.py.
"""

import os
import socket
import threading
import time

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from checks import (
    AUTH_PORT,
    BIG_VALUE_BYTES,
    PASSWORD,
    PORT,
    SOCKET_TIMEOUT_S,
    between,
    connect,
    end_server,
    raises,
    same,
    start_server,
)
from sync_data import check


# ---- transactions and pipelines


@check("MULTI, EXEC")
def transaction(protocol):
    r = connect(protocol)
    with r.pipeline(transaction=True) as pipe:
        pipe.hset("h", "n", 1).hincrby("h", "n", 41).hgetall("h").get("nope").expire("h", 10)
        same(pipe.execute(), [1, 42, {"n": "42"}, None, True])


@check("a failing command inside EXEC does not stop the others")
def transaction_with_error(protocol):
    r = connect(protocol)
    r.set("s", "text")
    with r.pipeline(transaction=True) as pipe:
        pipe.set("a", 1).hget("s", "f").set("b", 2)
        results = pipe.execute(raise_on_error=False)
    same([results[0], type(results[1]).__name__, results[2]], [True, "ResponseError", True])
    same("WRONGTYPE" in str(results[1]), True)
    with r.pipeline(transaction=True) as pipe:
        pipe.set("c", 1).execute_command("HSET", "h").set("d", 1)
        with raises(redis.ResponseError, "wrong number of arguments"):
            pipe.execute()
    same(r.exists("c", "d"), 0)


@check("WATCH: another client's change aborts, one's own loop wins in the end")
def watch(protocol):
    r, other = connect(protocol), connect(protocol)
    r.hset("account", "balance", 100)
    with r.pipeline() as pipe:
        pipe.watch("account")
        balance = int(pipe.hget("account", "balance"))
        other.hset("account", "balance", 50)
        pipe.multi()
        pipe.hset("account", "balance", balance - 10)
        with raises(redis.WatchError):
            pipe.execute()
    same(r.hget("account", "balance"), "50")
    with r.pipeline() as pipe:
        pipe.watch("account")
        pipe.multi()
        pipe.hset("account", "balance", 1)
        same(pipe.execute(), [0])

    def add_one(pipe):
        current = int(pipe.get("count") or 0)
        pipe.multi()
        pipe.set("count", current + 1)

    def count_up():
        own = connect(protocol)
        for _ in range(20):
            own.transaction(add_one, "count")

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    [t.start() for t in threads]
    [t.join(20) for t in threads]
    same(r.get("count"), "80")


@check("WATCH: UNWATCH forgets, and a name that runs out aborts")
def watch_forgets(protocol):
    r, other = connect(protocol), connect(protocol)
    r.set("k", 1)
    with r.pipeline() as pipe:
        pipe.watch("k")
        other.set("k", 2)
        pipe.unwatch()
        pipe.multi()
        pipe.get("k")
        same(pipe.execute(), ["2"])
    r.set("k", 1, px=400)
    with r.pipeline() as pipe:
        pipe.watch("k")
        time.sleep(0.8)
        pipe.multi()
        pipe.set("other", 1)
        with raises(redis.WatchError):
            pipe.execute()


@check("a pipeline of 10000 commands, in order")
def pipeline(protocol):
    r = connect(protocol)
    with r.pipeline(transaction=False) as pipe:
        for i in range(5000):
            pipe.hset("h", f"f{i}", i)
            pipe.hget("h", f"f{i}")
        same(pipe.execute(), [v for i in range(5000) for v in (1, str(i))])


@check("a pipeline with a failing command in the middle")
def pipeline_with_error(protocol):
    r = connect(protocol)
    with r.pipeline(transaction=False) as pipe:
        pipe.set("s", 1).hget("s", "f").execute_command("NOSUCH", "x").get("s")
        results = pipe.execute(raise_on_error=False)
    same([results[0], results[3]], [True, "1"])
    same(["WRONGTYPE" in str(results[1]), "unknown command 'NOSUCH'" in str(results[2])], [True, True])


# ---- bytes


@check("names, fields and values of any bytes")
def any_bytes(protocol):
    r = connect(protocol, decode_responses=False)
    every_byte = bytes(range(256))
    same(r.hset(every_byte, mapping={every_byte: every_byte[::-1], b"": b"", b"\r\n": b"$5\r\n*3\r\n"}), 3)
    same(r.hgetall(every_byte), {every_byte: every_byte[::-1], b"": b"", b"\r\n": b"$5\r\n*3\r\n"})
    same([r.set(b"", b"\x00"), r.get(b"")], [True, b"\x00"])
    same(set(r.scan_iter()), {every_byte, b""})
    same(dict(r.hscan_iter(every_byte))[b"\r\n"], b"$5\r\n*3\r\n")


@check("values of 8 MiB: string, field, in a transaction, and many in one reply")
def big_values(protocol):
    r = connect(protocol, decode_responses=False)
    big = os.urandom(1024) * (BIG_VALUE_BYTES // 1024)
    same([r.set("big", big), r.strlen("big"), r.get("big") == big], [True, BIG_VALUE_BYTES, True])
    r.hset("h", mapping={"a": big, "b": big, "small": b"1"})
    reply = r.hgetall("h")
    same([len(reply), reply[b"a"] == big, reply[b"b"] == big, reply[b"small"]], [3, True, True, b"1"])
    with r.pipeline(transaction=True) as pipe:
        same(pipe.set("big2", big).get("big2").execute()[1] == big, True)
    same([r.getrange("big", BIG_VALUE_BYTES - 2, -1) == big[-2:], r.append("big", b"!")], [True, BIG_VALUE_BYTES + 1])


# ---- connections


@check("the library's name, its version and the protocol are in CLIENT INFO", needs="redis-8")
def client_library(protocol):
    me = connect(protocol).client_info()
    same([me["lib-name"], me["lib-ver"], int(me["resp"])], ["redis-py", redis.__version__, protocol])


@check("the library's own choice of protocol")
def default_protocol(_):
    same(connect(None).hset("h", mapping={"a": 1, "b": 2}), 2)
    same(connect(None).hgetall("h"), {"a": "1", "b": "2"})


@check("CLIENT SETNAME, GETNAME, ID, INFO, LIST")
def client_list(protocol):
    r = connect(protocol, client_name="qlik-helper", db=3)
    me = r.client_info()
    same([me["name"], int(me["db"]), int(me["id"])], ["qlik-helper", 3, r.client_id()])
    ids = [int(c["id"]) for c in r.client_list()]
    same(r.client_id() in ids, True)
    same([c["name"] for c in r.client_list(client_id=[str(r.client_id())])], ["qlik-helper"])
    same([r.client_setname("renamed"), r.client_getname()], [True, "renamed"])


@check("CLIENT KILL by id, by address and by name's owner; the library connects again")
def client_kill(protocol):
    admin = connect(protocol)
    victim = connect(protocol, retry=Retry(ConstantBackoff(0.05), 3), single_connection_client=True)
    first = victim.client_id()
    same(admin.client_kill_filter(_id=first), 1)
    second = victim.client_id()
    same(second != first, True)
    same(admin.client_kill(victim.client_info()["addr"]), True)
    same(victim.client_id() > second, True)
    same(admin.client_kill_filter(_id=first), 0)
    with raises(redis.ResponseError, "No such client"):
        admin.client_kill("127.0.0.1:1")


@check("a connection without retries sees the end of it, and its pool recovers")
def killed_in_transaction(protocol):
    admin = connect(protocol)
    r = connect(protocol, retry=Retry(ConstantBackoff(0), 0))
    with r.pipeline() as pipe:
        pipe.watch("k")
        pid = pipe.immediate_execute_command("CLIENT", "ID")
        admin.client_kill_filter(_id=pid)
        pipe.multi()
        pipe.set("k", 1)
        with raises((redis.ConnectionError, redis.WatchError)):
            pipe.execute()
    same([r.exists("k"), r.set("k", 2), r.get("k")], [0, True, "2"])


@check("the server is started again, and the library goes on")
def server_restart(protocol):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    r = connect(protocol, port=port, retry=Retry(ConstantBackoff(0.1), 50))
    process = start_server(port)
    try:
        same(r.set("k", "before"), True)
        end_server(process)
        with raises(redis.ConnectionError):
            connect(protocol, port=port, retry=Retry(ConstantBackoff(0), 0)).ping()
        process = start_server(port)
        same([r.set("k", "after"), r.get("k")], [True, "after"])
    finally:
        end_server(process)


@check("requirepass: without, with a wrong and with the right password, with a user name, and in a URL")
def auth(protocol):
    def guarded(**options):
        return connect(protocol, port=AUTH_PORT, retry=Retry(ConstantBackoff(0), 0), **options)

    with raises(redis.AuthenticationError):
        guarded().get("k")
    with raises(redis.AuthenticationError):
        guarded(password="wrong").get("k")
    same(guarded(password=PASSWORD).ping(), True)
    same(guarded(username="default", password=PASSWORD, db=2, client_name="named").client_info()["name"], "named")
    quoted = "".join(f"%{b:02X}" for b in PASSWORD.encode())
    url = f"redis://default:{quoted}@127.0.0.1:{AUTH_PORT}/4?socket_timeout=10"
    same(redis.Redis.from_url(url, protocol=protocol).set("in4", 1), True)
    same(guarded(password=PASSWORD, db=4).get("in4"), "1")


@check("20 threads share a pool of 5 connections")
def threads_and_pool(protocol):
    pool = redis.BlockingConnectionPool(
        host="127.0.0.1",
        port=PORT,
        protocol=protocol,
        max_connections=5,
        timeout=20,
        socket_timeout=SOCKET_TIMEOUT_S,
    )
    r = redis.Redis(connection_pool=pool)
    threads = [threading.Thread(target=lambda: [r.hincrby("h", "n") for _ in range(100)]) for _ in range(20)]
    [t.start() for t in threads]
    [t.join(20) for t in threads]
    same(r.hget("h", "n"), b"2000")
    pool.disconnect()


@check("INFO, COMMAND COUNT, COMMAND, CONFIG GET, TIME, ECHO as the library parses them")
def server_commands(protocol):
    r = connect(protocol)
    info = r.info()
    same([info["redis_version"].split(".")[0].isdigit(), info["tcp_port"], "used_memory" in info], [True, PORT, True])
    same(r.info("keyspace"), {})
    r.set("k", 1, ex=100)
    same([r.info("keyspace")["db0"]["keys"], r.info("keyspace")["db0"]["expires"]], [1, 1])
    commands = r.command()
    hset = commands["hset"]
    same([hset["arity"], hset["first_key_pos"], "write" in hset["flags"]], [-4, 1, True])
    same(r.command_count(), len(commands))
    same("maxmemory" in r.config_get("maxmemory*"), True)
    seconds, microseconds = r.time()
    between(seconds, time.time() - 5, time.time() + 5)
    between(microseconds, 0, 999_999)
    same(r.echo("größe"), "größe")
