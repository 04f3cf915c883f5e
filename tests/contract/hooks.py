"""What a valid request needs that no schema can say.

A revision is only known from an answer, a cursor from the page before, and an idempotency key is new
for a new request. Valid requests get valid ones here; the tests of this repository look at the others.
"""

import uuid

import schemathesis
from schemathesis import GenerationMode

# The document says that the bodies of these are text.
schemathesis.serializer.alias(["application/jsonl", "text/csv"], "text/plain")


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    for name in list(case.headers):
        if name.lower() == "if-match":
            case.headers[name] = "*"
        elif name.lower() == "idempotency-key":
            case.headers[name] = str(uuid.uuid4())
    case.query.pop("cursor", None)
    # A number of one run's events, not of a tree's; and where a stream is, which only a page tells.
    if case.query.get("children") or case.path == "/v1/stream":
        case.query.pop("after", None)
    # A worker's call waits for work as long as it is told to.
    if isinstance(case.body, dict) and "waitMs" in case.body:
        case.body["waitMs"] = 0
