"""What schemathesis must know to talk to pantry.

With soft=1 the status of an error stands in the body, and with atomic=0 each row has one: these count as the answer's. And nobody
waits for changes for minutes.
"""

import json

import schemathesis

WAIT_MS_MAX = 300_000


@schemathesis.hook
def before_call(_context, case, _kwargs):
    """Makes a wait that is a valid number short."""
    wait = case.body.get("wait") if isinstance(case.body, dict) else None
    if isinstance(wait, (int, float)) and not isinstance(wait, bool) and 0 <= wait <= WAIT_MS_MAX:
        case.body["wait"] = 1


@schemathesis.hook
def after_call(_context, _case, response):
    """Judges by the first error that an answer states."""
    content_type = (response.headers.get("content-type") or [""])[0]
    if response.status_code != 200 or not content_type.startswith("application/json"):
        return
    try:
        answer = json.loads(response.content)
    except ValueError:
        return
    for row in answer if isinstance(answer, list) else [answer]:
        if isinstance(row, dict) and row.get("ok") is False:
            response.status_code = row["status"]
            response.content = json.dumps(row).encode()
            return
