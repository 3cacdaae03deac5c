"""What the OpenAPI documents cannot tell schemathesis: tokens, what exists, and which requests take long."""

import json
import os
from pathlib import Path

import schemathesis

# The routes of operators.
OPERATORS = r"^/(admin/|seed$|metrics$)"
# By path: the value of its parameter that exists, for which the example of the document stands.
EXISTING = json.loads(os.environ["M3A3_EXISTING"])
# One line for each response: method, path and status.
RESPONSES = Path(os.environ["M3A3_RESPONSES"])
FILE_HEADERS = {"Range", "If-None-Match", "If-Match"}


class Token:
    variable = "M3A3_TOKEN"

    def get(self, case, context):
        return os.environ[self.variable]

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


class OperatorToken(Token):
    variable = "M3A3_OPERATOR_TOKEN"


schemathesis.auth().skip_for(path_regex=OPERATORS)(Token)
schemathesis.auth().apply_to(path_regex=OPERATORS)(OperatorToken)


@schemathesis.hook
def before_call(context, case, kwargs):
    is_about_file = not FILE_HEADERS.isdisjoint(case.headers)
    if case.path in EXISTING:
        in_query = case.path == "/confirm-email"
        (parameter,) = case.operation.query if in_query else case.operation.path_parameters
        values = case.query if in_query else case.path_parameters
        if is_about_file or values.get(parameter.name) == parameter.definition["example"]:
            values[parameter.name] = EXISTING[case.path]
    # A long poll is held for as long as the request asks: here as short as possible.
    timeout = case.query.get("timeout")
    if str(timeout).isdecimal() and 1 <= int(timeout) <= 60:
        case.query["timeout"] = 1


@schemathesis.hook
def after_call(context, case, response):
    with RESPONSES.open("a") as responses:
        responses.write(f"{case.method} {case.path} {response.status_code}\n")


@schemathesis.check
def described_headers_are_sent(context, response, case):
    """All headers that the documents describe are sent always, and the id of the request with every response."""
    described = case.operation.responses.find_by_status_code(response.status_code)
    names = ["X-Request-Id", *(name for name, _ in described.headers.items())] if described else ["X-Request-Id"]
    missing = [name for name in names if name.lower() not in response.headers]
    assert not missing, f"the response has no {', '.join(missing)}"
