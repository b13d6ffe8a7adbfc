"""What schemathesis must know to read pantry's answers: with soft=1 the status stands in the body, not in the status line."""

import json

import schemathesis


@schemathesis.hook
def after_call(_context, _case, response):
    """Judges a soft error by the status that it states."""
    content_type = (response.headers.get("content-type") or [""])[0]
    if response.status_code != 200 or not content_type.startswith("application/json"):
        return
    try:
        answer = json.loads(response.content)
    except ValueError:
        return
    if isinstance(answer, dict) and answer.get("ok") is False:
        response.status_code = answer["status"]
