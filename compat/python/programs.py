"""Programs of the Python world that keep their state in Redis, each used for real: Django's cache and sessions
(django-redis), redis-py's Lock, its client-side cache, rate limits by Lua (limits), and Prometheus' reading of /metrics.

Started by compat/run. Not here: what the client library does itself.
"""

import importlib.metadata
import os
import threading
import time
import urllib.request

import django
import limits
from django.conf import settings
from prometheus_client.parser import text_string_to_metric_families
from redis.cache import CacheConfig
from redis.exceptions import LockError, LockNotOwnedError

from checks import PORT, Checks, between, connect, raises, same, until

checks = Checks("python-programs")
URL = f"redis://127.0.0.1:{PORT}"

settings.configure(
    CACHES={
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": f"{URL}/1",
            "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
            "KEY_PREFIX": "shop",
        },
        "packed": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": f"{URL}/2",
            "OPTIONS": {
                "COMPRESSOR": "django_redis.compressors.zlib.ZlibCompressor",
                "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            },
        },
    },
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    SECRET_KEY="a secret",
    USE_TZ=True,
)
django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402 - Django wants its settings first
from django.core.cache import cache, caches  # noqa: E402


@checks.check("django-redis: values, lifetimes, counters, many at once")
def _cache():
    cache.set("größe", {"a": [1, 2.5, None], "b": "ü"}, timeout=60)
    same(cache.get("größe"), {"a": [1, 2.5, None], "b": "ü"})
    between(cache.ttl("größe"), 55, 60)
    same((cache.get("nope"), cache.get("nope", 7), cache.add("größe", 1), cache.add("new", 1)), (None, 7, False, True))
    cache.set("n", 1)
    same((cache.incr("n", 4), cache.decr("n"), cache.incr("n")), (5, 4, 5))
    with raises(ValueError):
        cache.incr("nope")
    cache.set_many({"x": 1, "y": 2}, timeout=None)
    same(cache.get_many(["x", "y", "z"]), {"x": 1, "y": 2})
    same((cache.ttl("x"), cache.touch("x", 10), cache.persist("x"), cache.expire("y", 5)), (None, True, True, True))
    same((cache.get_or_set("computed", lambda: 42), cache.get_or_set("computed", lambda: 43)), (42, 42))
    same((sorted(cache.keys("[xy]")), sorted(cache.iter_keys("x*"))), (["x", "y"], ["x"]))
    same((cache.delete("x"), cache.delete("x"), cache.delete_many(["y", "n"]), cache.delete_pattern("*")), (True, False, 2, 3))
    cache.set("short", 1, timeout=0.2)
    until(lambda: cache.get("short") is None, 2)


@checks.check("django-redis: versions, a lock, a compressed cache of JSON, clear")
def _cache_more():
    cache.set("k", "one", version=1)
    same((cache.incr_version("k"), cache.get("k"), cache.get("k", version=2)), (2, None, "one"))
    with cache.lock("job", timeout=5):
        same(cache.lock("job", timeout=5).acquire(blocking=False), False)
    packed = caches["packed"]
    packed.set("text", "long " * 1000)
    same(packed.get("text"), "long " * 1000)
    between(connect(2, db=2, decode_responses=False).strlen(packed.make_key("text")), 10, 300)
    cache.clear()
    same((cache.keys("*"), packed.get("text") is not None), ([], True))


@checks.check("Django's sessions in django-redis: kept, renamed at login, ended, run out")
def _sessions():
    session = SessionStore()
    session["cart"] = {"apples": 3}
    session.set_expiry(100)
    session.save()
    again = SessionStore(session.session_key)
    same((again["cart"], again.exists(session.session_key)), ({"apples": 3}, True))
    again.cycle_key()
    same((SessionStore(again.session_key)["cart"], again.exists(session.session_key)), ({"apples": 3}, False))
    again.flush()
    same(connect(2, db=1).keys("*session*"), [])
    short = SessionStore()
    short["a"] = 1
    short.set_expiry(1)
    short.save()
    until(lambda: not SessionStore(short.session_key).exists(short.session_key), 3)


@checks.check("redis-py's Lock: one at a time among threads, extended, not released by another, runs out")
def _lock():
    client, inside, most, order = connect(3), [], [], []

    def work(name):
        with connect(3).lock("lock", timeout=10, sleep=0.01, blocking_timeout=10):
            inside.append(name)
            most.append(len(inside))
            time.sleep(0.02)
            inside.remove(name)
            order.append(name)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    same((max(most), sorted(order)), (1, list(range(6))))
    lock = client.lock("lock", timeout=1)
    same((lock.acquire(), lock.locked(), lock.owned(), client.lock("lock").acquire(blocking=False)), (True, True, True, False))
    lock.extend(5)
    between(client.pttl("lock"), 5000, 6000)
    lock.reacquire()
    between(client.pttl("lock"), 500, 1000)
    with raises(LockError):
        client.lock("lock").release()
    client.set("lock", "somebody else's")
    with raises(LockNotOwnedError):
        lock.release()
    client.delete("lock")
    same(client.lock("lock", timeout=0.1).acquire(), True)
    same(client.lock("lock", timeout=1, blocking_timeout=3, sleep=0.02).acquire(), True)


@checks.check("redis-py's client-side cache: a reply is kept, and forgotten when somebody writes")
def _client_side_cache():
    cached, other = connect(3, cache_config=CacheConfig()), connect(3)
    other.mset({"a": "1", "b": "2"})
    other.hset("ns", mapping={"f": "v"})
    same((cached.get("a"), cached.mget("a", "b"), cached.hgetall("ns")), ("1", ["1", "2"], {"f": "v"}))
    calls = lambda command: other.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0)  # noqa: E731
    before = calls("get"), calls("hgetall")
    same([cached.get("a") for _ in range(20)] + [cached.hgetall("ns")["f"]], ["1"] * 20 + ["v"])
    same((calls("get"), calls("hgetall")), before)
    other.set("a", "3")
    until(lambda: cached.get("a") == "3")
    same(cached.mget("a", "b"), ["3", "2"])
    other.hset("ns", "f", "w")
    until(lambda: cached.hget("ns", "f") == "w" and cached.hgetall("ns") == {"f": "w"})
    other.set("b", "4", px=60)
    until(lambda: cached.get("b") == "4")
    until(lambda: cached.get("b") is None)
    other.flushall()
    until(lambda: cached.get("a") is None)


@checks.check("limits: fixed windows and sliding counters, by Lua")
def _limits():
    storage = limits.storage.storage_from_string(URL)
    same(storage.check(), True)
    fixed = limits.strategies.FixedWindowRateLimiter(storage)
    three = limits.parse("3/minute")
    same([fixed.hit(three, "ada") for _ in range(5)], [True, True, True, False, False])
    same((fixed.test(three, "ada"), fixed.get_window_stats(three, "ada").remaining, fixed.hit(three, "bob")), (False, 0, True))
    fixed.clear(three, "ada")
    same(fixed.hit(three, "ada", cost=3), True)
    sliding = limits.strategies.SlidingWindowCounterRateLimiter(storage)
    same([sliding.hit(three, "eve") for _ in range(4)], [True, True, True, False])
    # A moment that may be now, which is past when it is looked at.
    between(sliding.get_window_stats(three, "eve").reset_time - time.time(), -1, 61)
    storage.reset()
    same(connect(2).keys("LIMITS*"), [])


@checks.check("Prometheus reads /metrics", needs="http")
def _metrics():
    connect(3).hset("ns", "f", "v")
    with urllib.request.urlopen(f"http://127.0.0.1:{os.environ['COMPAT_HTTP_PORT']}/metrics") as response:
        families = {family.name: family for family in text_string_to_metric_families(response.read().decode())}
    commands = {sample.labels.get("command") or sample.labels.get("cmd") for family in families.values() for sample in family.samples}
    assert "hset" in commands, sorted(families)
    assert all(family.type != "unknown" and family.documentation for family in families.values()), families
    buckets = [family for family in families.values() if family.type == "histogram"]
    assert buckets, sorted(families)


def main():
    """Runs every check once, on empty databases: these programs choose their protocol themselves."""
    for name in ("Django", "django-redis", "redis", "limits", "prometheus-client"):
        print(f"{name} {importlib.metadata.version(name)}")
    checks.run("", connect(3).flushall)
    checks.close()


if __name__ == "__main__":
    main()
