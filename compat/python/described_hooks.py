"""What schemathesis must know to read pantry's answers.

With soft=1 the status of an error stands in the body, and with atomic=0 each row has one: these count as the answer's.
"""

import json

import schemathesis


@schemathesis.hook
def after_call(_context, _case, response):
    """Judges by the status that an answer states: the first that is an error."""
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
            return
