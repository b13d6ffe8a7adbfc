"""redis-py's synchronous client: hashes, field TTLs, strings and generic commands.

Declares checks for redis_py_sync.py, which runs them; the other half is in sync_connections.py.
"""

import time
from datetime import timedelta

import redis
from redis.commands.core import HashDataPersistOptions

from checks import Checks, between, connect, raises, same, until

checks = Checks("redis-py")
check = checks.check


# ---- hashes


@check("HSET of a mapping, HGETALL, HGET, HMGET, HEXISTS, HSTRLEN")
def hash_basics(protocol):
    r = connect(protocol)
    same(r.hset("Sales ETL", mapping={"last run": "2026-11-22", "rows": 17, "größe": "ü"}), 3)
    same(r.hgetall("Sales ETL"), {"last run": "2026-11-22", "rows": "17", "größe": "ü"})
    same(r.hget("Sales ETL", "nope"), None)
    same(r.hmget("Sales ETL", ["rows", "nope"]), ["17", None])
    same([r.hexists("Sales ETL", "rows"), r.hexists("Sales ETL", "nope")], [True, False])
    same(r.hstrlen("Sales ETL", "größe"), 2)
    same(sorted(r.hkeys("Sales ETL")), ["größe", "last run", "rows"])
    same(sorted(r.hvals("Sales ETL")), ["17", "2026-11-22", "ü"])
    same(r.hlen("Sales ETL"), 3)


@check("HSETNX, HINCRBY, HINCRBYFLOAT, HDEL")
def hash_changes(protocol):
    r = connect(protocol)
    same([r.hsetnx("h", "n", 1), r.hsetnx("h", "n", 2)], [1, 0])
    same(r.hincrby("h", "n", 41), 42)
    same(r.hincrbyfloat("h", "x", 0.1), 0.1)
    same(r.hincrbyfloat("h", "x", 0.2), 0.3)
    same(r.hdel("h", "n", "x", "nope"), 2)
    same([r.exists("h"), r.hgetall("h"), r.hlen("h")], [0, {}, 0])
    r.hset("h", "text", "abc")
    with raises(redis.ResponseError, "hash value is not an integer"):
        r.hincrby("h", "text")
    same(r.hget("h", "text"), "abc")


@check("HRANDFIELD")
def hash_random(protocol):
    r = connect(protocol)
    pairs = {f"f{i}": str(i) for i in range(20)}
    r.hset("h", mapping=pairs)
    same(r.hrandfield("h") in pairs, True)
    same(len(set(r.hrandfield("h", 5))), 5)
    same(len(r.hrandfield("h", -50)), 50)
    drawn = r.hrandfield("h", 20, withvalues=True)
    same({f: v for f, v in (drawn if isinstance(drawn[0], list) else zip(drawn[::2], drawn[1::2]))}, pairs)
    same(r.hrandfield("nope"), None)


@check("HSCAN iterates over 3000 pairs, each at least once, while others are written")
def hash_scan(protocol):
    r = connect(protocol)
    pairs = {f"field:{i}": f"v{i}" for i in range(3000)}
    r.hset("h", mapping=pairs)
    seen = {}
    for step, (field, value) in enumerate(r.hscan_iter("h", count=100)):
        seen[field] = value
        if step % 100 == 0:
            r.hset("h", f"new:{step}", "x")
    same({f: v for f, v in seen.items() if f.startswith("field:")}, pairs)
    same(dict(r.hscan_iter("h", match="field:299*", count=1000)), {f: v for f, v in pairs.items() if "field:299" in f})


@check("HSCAN NOVALUES", needs="redis-8")
def hash_scan_names(protocol):
    r = connect(protocol)
    r.hset("h", mapping={"a": 1, "b": 2})
    same(sorted(r.hscan_iter("h", no_values=True)), ["a", "b"])


# ---- field TTLs


@check("HEXPIRE, HPEXPIRE, HTTL, HPTTL, HPERSIST", needs="redis-8")
def field_ttl(protocol):
    r = connect(protocol)
    r.hset("ns", mapping={"a": 1, "b": 2})
    same(r.hexpire("ns", 100, "a", "nope"), [1, -2])
    between(r.httl("ns", "a")[0], 98, 100)
    same(r.httl("ns", "b", "nope"), [-1, -2])
    same(r.hpexpire("ns", timedelta(minutes=1), "b"), [1])
    between(r.hpttl("ns", "b")[0], 55_000, 60_000)
    same(r.hpersist("ns", "a", "b", "nope"), [1, 1, -2])
    same(r.hpersist("ns", "a"), [-1])
    same(r.hexpire("nope", 10, "a"), [-2])


@check("HEXPIRE NX, XX, GT, LT", needs="redis-8")
def field_ttl_conditions(protocol):
    r = connect(protocol)
    r.hset("ns", "a", 1)
    same(r.hexpire("ns", 100, "a", xx=True), [0])
    same(r.hexpire("ns", 100, "a", gt=True), [0])
    same(r.hexpire("ns", 100, "a", lt=True), [1])
    same(r.hexpire("ns", 50, "a", nx=True), [0])
    same(r.hexpire("ns", 200, "a", gt=True), [1])
    same(r.hexpire("ns", 300, "a", lt=True), [0])
    between(r.httl("ns", "a")[0], 198, 200)


@check("HEXPIREAT, HPEXPIREAT, HEXPIRETIME, HPEXPIRETIME; a time in the past deletes", needs="redis-8")
def field_deadline(protocol):
    r = connect(protocol)
    r.hset("ns", mapping={"a": 1, "b": 2, "c": 3})
    deadline_s = int(time.time()) + 500
    same(r.hexpireat("ns", deadline_s, "a"), [1])
    same([r.hexpiretime("ns", "a"), r.hpexpiretime("ns", "a")], [[deadline_s], [deadline_s * 1000]])
    same(r.hpexpireat("ns", deadline_s * 1000 + 7, "b"), [1])
    same(r.hpexpiretime("ns", "b"), [deadline_s * 1000 + 7])
    same(r.hpexpireat("ns", 1000, "c"), [2])
    same(r.hgetall("ns"), {"a": "1", "b": "2"})


@check("HSETEX with EX, PX, KEEPTTL, FNX, FXX", needs="redis-8")
def hsetex(protocol):
    r = connect(protocol)
    FNX, FXX = HashDataPersistOptions.FNX, HashDataPersistOptions.FXX
    same(r.hsetex("ns", mapping={"a": "1", "b": "2"}, px=60_000), 1)
    between(r.hpttl("ns", "a")[0], 55_000, 60_000)
    same(r.hsetex("ns", "a", "3", data_persist_option=FNX, ex=5), 0)
    same(r.hsetex("ns", mapping={"a": "3", "c": "4"}, data_persist_option=FXX, ex=5), 0)
    same(r.hgetall("ns"), {"a": "1", "b": "2"})
    same(r.hsetex("ns", "a", "3", keepttl=True), 1)
    between(r.hpttl("ns", "a")[0], 55_000, 60_000)
    same(r.hsetex("ns", "a", "4"), 1)
    same([r.hget("ns", "a"), r.httl("ns", "a")], ["4", [-1]])


@check("HGETEX with EX, PERSIST and nothing; HGETDEL", needs="redis-8")
def hgetex(protocol):
    r = connect(protocol)
    r.hset("ns", mapping={"a": "1", "b": "2"})
    same(r.hgetex("ns", "a", "nope", ex=100), ["1", None])
    between(r.httl("ns", "a")[0], 98, 100)
    same(r.hgetex("ns", "a"), ["1"])
    between(r.httl("ns", "a")[0], 98, 100)
    same([r.hgetex("ns", "a", persist=True), r.httl("ns", "a")], [["1"], [-1]])
    same(r.hgetdel("ns", "a", "nope"), ["1", None])
    same([r.hgetdel("ns", "b"), r.exists("ns")], [["2"], 0])


@check("a pair is gone when its TTL has run out, its neighbours stay, and overwriting clears a TTL", needs="redis-8")
def field_runs_out(protocol):
    r = connect(protocol)
    r.hset("ns", mapping={"short": 1, "kept": 2, "rewritten": 3, "counted": 4})
    r.hpexpire("ns", 400, "short", "rewritten", "counted")
    r.hset("ns", "rewritten", 5)
    r.hincrby("ns", "counted")
    time.sleep(0.8)
    same(r.hgetall("ns"), {"kept": "2", "rewritten": "5"})
    same([r.hget("ns", "short"), r.httl("ns", "short", "rewritten")], [None, [-2, -1]])
    until(lambda: r.hlen("ns") == 2)


# ---- strings


@check("SET with EX, PX, EXAT, PXAT, NX, XX, GET, KEEPTTL")
def set_options(protocol):
    r = connect(protocol)
    same(r.set("s", "1", ex=100), True)
    between(r.ttl("s"), 98, 100)
    same(r.set("s", "2", px=timedelta(seconds=50)), True)
    between(r.pttl("s"), 45_000, 50_000)
    deadline_s = int(time.time()) + 300
    same([r.set("s", "3", exat=deadline_s), r.expiretime("s")], [True, deadline_s])
    same([r.set("s", "4", pxat=deadline_s * 1000 + 5), r.pexpiretime("s")], [True, deadline_s * 1000 + 5])
    same([r.set("s", "5", keepttl=True), r.pexpiretime("s")], [True, deadline_s * 1000 + 5])
    same([r.set("s", "6", nx=True), r.set("new", "6", nx=True)], [None, True])
    same([r.set("s", "7", xx=True), r.set("none", "7", xx=True)], [True, None])
    same([r.set("s", "8", get=True), r.set("none", "8", get=True)], ["7", None])
    same([r.get("s"), r.ttl("s")], ["8", -1])
    with raises(redis.ResponseError, "invalid expire time in 'set' command"):
        r.set("s", "x", ex=0)
    with raises(redis.ResponseError, "syntax error"):
        r.execute_command("SET", "s", "x", "EX", "10", "KEEPTTL")


@check("GETEX, GETDEL, GETSET, SETEX, SETNX, APPEND, STRLEN, SETRANGE, GETRANGE")
def string_commands(protocol):
    r = connect(protocol)
    r.set("s", "Hello")
    same([r.getex("s", ex=100), r.ttl("s") > 90], ["Hello", True])
    same([r.getex("s", persist=True), r.ttl("s")], ["Hello", -1])
    same([r.append("s", " World"), r.strlen("s"), r.getrange("s", 6, -1)], [11, 11, "World"])
    same([r.setrange("s", 6, "Redis"), r.get("s")], [11, "Hello Redis"])
    same([r.getset("s", "x"), r.getdel("s"), r.get("s")], ["Hello Redis", "x", None])
    same([r.setex("s", 10, "y"), r.psetex("s", 9000, "z"), r.setnx("s", "n")], [True, True, False])


@check("INCR, DECRBY, INCRBYFLOAT, MSET, MGET, MSETNX, and their errors")
def string_numbers(protocol):
    r = connect(protocol)
    same([r.incr("n"), r.incr("n", 41), r.decr("n", 2)], [1, 42, 40])
    same([r.incrbyfloat("x", 0.1), r.incrbyfloat("x", 0.2)], [0.1, 0.3])
    same(r.mset({"a": "1", "b": "2"}), True)
    same(r.mget("a", "nope", "b"), ["1", None, "2"])
    same([bool(r.msetnx({"b": "9", "c": "9"})), r.exists("c")], [False, 0])
    r.set("n", 2**63 - 1)
    with raises(redis.ResponseError, "increment or decrement would overflow"):
        r.incr("n")
    with raises(redis.ResponseError, "not an integer or out of range"):
        r.set("t", "text")
        r.incr("t")
    with raises(redis.ResponseError, "WRONGTYPE"):
        r.hset("h", "f", "v")
        r.get("h")


# ---- generic commands


@check("SCAN iterates over 3000 names, with MATCH and TYPE")
def scan(protocol):
    r = connect(protocol)
    with r.pipeline(transaction=False) as pipe:
        for i in range(3000):
            pipe.set(f"s:{i}", i) if i % 3 else pipe.hset(f"h:{i}", "f", i)
        pipe.execute()
    names = set(r.scan_iter(count=200))
    same(names, {f"s:{i}" if i % 3 else f"h:{i}" for i in range(3000)})
    same(set(r.scan_iter(match="h:29?7")), {f"h:{i}" for i in range(2907, 3000, 10) if i % 3 == 0})
    same(set(r.scan_iter(_type="hash", count=500)), {n for n in names if n.startswith("h:")})
    same(set(r.keys("s:1?")), {f"s:1{d}" for d in range(10) if (10 + d) % 3})
    same(r.dbsize(), 3000)
    same(r.randomkey() in names, True)


@check("EXPIRE with NX, XX, GT, LT; PEXPIRE, EXPIREAT, EXPIRETIME, PERSIST, TTL")
def expire(protocol):
    r = connect(protocol)
    r.hset("h", "f", "v")
    same([r.ttl("h"), r.ttl("nope"), r.pttl("nope")], [-1, -2, -2])
    same([r.expire("h", 100, xx=True), r.expire("h", 100, nx=True), r.expire("h", 50, nx=True)], [False, True, False])
    same([r.expire("h", 50, gt=True), r.expire("h", 200, gt=True), r.expire("h", 50, lt=True)], [False, True, True])
    between(r.ttl("h"), 48, 50)
    same([r.persist("h"), r.persist("h"), r.expire("nope", 5)], [True, False, False])
    deadline_s = int(time.time()) + 77
    same([r.expireat("h", deadline_s), r.expiretime("h"), r.pexpiretime("h")], [True, deadline_s, deadline_s * 1000])
    same(r.pexpire("h", 60), True)
    time.sleep(0.2)
    same([r.hgetall("h"), r.get("h"), r.ttl("h")], [{}, None, -2])
    r.set("s", "v")
    same([r.expire("s", -1), r.exists("s")], [True, 0])


@check("RENAME, RENAMENX, COPY, MOVE, TYPE, TOUCH, UNLINK, EXISTS")
def names(protocol):
    r = connect(protocol)
    r.hset("h", mapping={"a": "1", "b": "2"})
    r.expire("h", 500)
    same([r.rename("h", "h2"), r.hgetall("h2"), r.ttl("h2") > 490], [True, {"a": "1", "b": "2"}, True])
    r.set("s", "v")
    same([r.renamenx("s", "h2"), r.renamenx("s", "s2")], [False, True])
    with raises(redis.ResponseError, "no such key"):
        r.rename("nope", "x")
    same([r.copy("h2", "h3"), r.copy("s2", "h3"), r.copy("s2", "h3", replace=True)], [True, False, True])
    same([r.type("h2"), r.type("h3"), r.type("nope")], ["hash", "string", "none"])
    other = connect(protocol, db=7)
    same([r.copy("h2", "there", destination_db=7), other.hgetall("there")], [True, {"a": "1", "b": "2"}])
    same([r.move("s2", 7), r.exists("s2"), other.get("s2")], [True, 0, "v"])
    same([r.touch("h2", "h3", "nope"), r.exists("h2", "h2"), r.unlink("h2", "h3")], [2, 2, 2])


@check("COPY and RENAME carry the TTLs of pairs", needs="redis-8")
def names_with_field_ttl(protocol):
    r = connect(protocol)
    r.hset("h", "a", "1")
    r.hexpire("h", 500, "a")
    r.copy("h", "copy")
    r.rename("h", "renamed")
    between(r.httl("copy", "a")[0], 495, 500)
    between(r.httl("renamed", "a")[0], 495, 500)


@check("OBJECT ENCODING, REFCOUNT, IDLETIME")
def object_commands(protocol):
    r = connect(protocol)
    r.set("n", 12345)
    r.set("short", "abc")
    r.set("long", "x" * 1000)
    r.hset("h", "f", "v")
    same([r.object("ENCODING", k) for k in ("n", "short", "long")], ["int", "embstr", "raw"])
    same(r.object("ENCODING", "h") in ("listpack", "listpackex", "hashtable"), True)
    same([r.object("ENCODING", "nope"), r.object("REFCOUNT", "short") >= 1], [None, True])
    between(r.object("IDLETIME", "short"), 0, 5)


@check("databases: SELECT in the URL, SWAPDB, FLUSHDB leaves the others")
def databases(protocol):
    zero, nine = connect(protocol), connect(protocol, db=9)
    zero.set("where", "0")
    nine.set("where", "9")
    same([zero.get("where"), nine.get("where")], ["0", "9"])
    same([zero.swapdb(0, 9), zero.get("where"), nine.get("where")], [True, "9", "0"])
    same([nine.flushdb(), nine.dbsize(), zero.get("where")], [True, 0, "9"])
    with raises(redis.ResponseError, "DB index is out of range"):
        connect(protocol, db=16).ping()
