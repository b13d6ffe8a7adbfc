"""Python's requests against the HTTP door: what a data scientist would do. Started by compat/run."""

import base64
import json
import os
import threading

import requests

from checks import PASSWORD, Checks, same, until

URL = f"http://127.0.0.1:{os.environ['COMPAT_HTTP_PORT']}"
CLOSED_URL = f"http://127.0.0.1:{os.environ['COMPAT_AUTH_HTTP_PORT']}"
TIMEOUT_S = 15

checks = Checks("http-requests")
session = requests.Session()


def ask(method, path, **options):
    """One request on the kept connection."""
    return session.request(method, URL + path, timeout=TIMEOUT_S, **options)


@checks.check("requests: pairs under names with blanks and beyond ASCII")
def pairs():
    name = "/v1/namespaces/py shop/pairs/größte Menge"
    same(ask("PUT", name, data="3".encode(), headers={"Content-Type": "text/plain"}).status_code, 204)
    pair = ask("GET", name).json()
    same((pair["namespace"], pair["key"], pair["value"]), ("py shop", "größte Menge", "3"))
    same(ask("GET", "/v1/get", params={"namespace": "py shop", "key": "größte Menge", "format": "text"}).text, "3")
    same(ask("POST", "/v1/increment", json={"namespace": "py shop", "key": "n", "by": 2}).json()["value"], "2")
    same(ask("DELETE", name).status_code, 204)
    same(ask("GET", name).json()["error"], "key_not_found")


@checks.check("requests: conditions")
def conditions():
    put = {"Content-Type": "text/plain"}
    path = "/v1/namespaces/py if/pairs/k"
    tag = ask("PUT", path, data="1", headers=put).headers["ETag"]
    same(ask("GET", path, headers={"If-None-Match": tag}).status_code, 304)
    same(ask("PUT", path, data="2", headers={**put, "If-Match": tag}).status_code, 204)
    same(ask("PUT", path, data="3", headers={**put, "If-Match": tag}).status_code, 412)


@checks.check("requests: forms, many pairs, bytes")
def bodies():
    same(ask("POST", "/v1/set", data={"namespace": "py form", "key": "a b", "value": "c&d"}).json()["key"], "a b")
    rows = [{"namespace": "py form", "key": str(i), "value": i} for i in range(1000)]
    same(ask("POST", "/v1/set-many", json=rows).json(), {"set": 1000})
    raw = bytes(range(256))
    ask("POST", "/v1/set", json={"namespace": "py form", "key": "raw", "encoding": "base64",
                                 "value": base64.b64encode(raw).decode()})
    same(ask("GET", "/v1/get", params={"namespace": "py form", "key": "raw", "format": "text"}).content, raw)


@checks.check("requests: an import of unknown length, and the export streamed")
def streams():
    lines = (json.dumps({"key": f"k{i}", "value": "v" * 50}).encode() + b"\n" for i in range(5_000))
    imported = ask("POST", "/v1/namespaces/py big/import", data=lines, headers={"Content-Type": "application/x-ndjson"})
    same(imported.json(), {"set": 5_000})
    with ask("GET", "/v1/namespaces/py big.ndjson", stream=True) as answer:
        same(sum(1 for _ in answer.iter_lines()), 5_000)
    with ask("GET", "/v1/namespaces/py big.csv", stream=True) as answer:
        # A CR and its LF may come in two pieces: neither iter_lines nor a count of pairs by piece sees one end there.
        same(sum(piece.count(b"\n") for piece in answer.iter_content(65536)), 5_001)


@checks.check("requests: pages by their links")
def pages():
    keys, href = [], f"{URL}/v1/namespaces/py%20form/pairs?limit=100"
    while href:
        page = session.get(href, timeout=TIMEOUT_S).json()
        keys += [row["key"] for row in page["data"]]
        href = page["links"].get("next", {}).get("href")
    same((len(keys), len(set(keys))), (1002, 1002))


@checks.check("requests: events")
def events():
    seen, watching = [], threading.Event()

    def watch():
        path = f"{URL}/v1/watch?namespace=py watched&values=1"
        with requests.get(path, stream=True, timeout=TIMEOUT_S) as answer:
            for line in answer.iter_lines(chunk_size=1):
                if line.startswith(b"event: "):
                    seen.append(line.decode()[7:])
                    watching.set()
                if len(seen) == 4:
                    return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    assert watching.wait(5), "no event"
    ask("POST", "/v1/set", json={"namespace": "py watched", "key": "k", "value": "v"})
    ask("POST", "/v1/delete", json={"namespace": "py watched", "key": "k"})
    until(lambda: len(seen) == 4)
    same(seen, ["ready", "create", "put", "delete"])


@checks.check("requests: a long poll")
def long_poll():
    since = ask("GET", "/v1/changes", params={"namespace": "py polled"}).json()["since"]
    later = threading.Timer(0.2, lambda: requests.post(
        URL + "/v1/set", json={"namespace": "py polled", "key": "k", "value": "v"}, timeout=TIMEOUT_S))
    later.start()
    answer = ask("GET", "/v1/changes", params={"namespace": "py polled", "since": since, "wait": "8s"}).json()
    assert answer["data"], answer


@checks.check("requests: user and password")
def credentials():
    same(requests.get(f"{CLOSED_URL}/v1/ping", timeout=TIMEOUT_S).status_code, 401)
    for auth in (("default", PASSWORD.encode()), ("", PASSWORD.encode())):
        same(requests.get(f"{CLOSED_URL}/v1/ping", auth=auth, timeout=TIMEOUT_S).status_code, 200)


checks.run("", lambda: None)
checks.close()
