"""What schemathesis has to know of this service: where requests may lead, which words mean something, how a refusal looks."""

import copy
import datetime
import json
import os
import re

import schemathesis
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

# What the test has prepared: `target`, the only place that a request may lead to, values by their format, and `steady`, a task
# that fires and that nothing changes.
with open(os.environ["SCHEDULE_TEST_PREPARED"], encoding="utf-8") as file:
    PREPARED = json.load(file)
TARGET = PREPARED["target"] + "/"

# A name of 64 letters has at most the 256 bytes that are allowed.
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
# What is made up beside the values prepared.
MADE_UP = {
    "identity": NAMES,
    "entry-name": NAMES,
    "uuid": st.uuids().map(str),
    "one-shot-id": st.uuids().map(str),
    "date-time": st.datetimes(
        min_value=datetime.datetime(1970, 1, 2), max_value=datetime.datetime(2199, 12, 30), timezones=st.timezones()
    ).map(lambda moment: moment.isoformat(timespec="seconds")),
}

for name, values in PREPARED["formats"].items():
    prepared = st.sampled_from(values)
    schemathesis.openapi.format(name, prepared | MADE_UP[name] if name in MADE_UP else prepared)


# Nothing may leave this machine, whatever was made up.


def at_home(value):
    """The same with every URL in it leading to the target."""
    if isinstance(value, dict):
        return {key: at_home(item) for key, item in value.items()}
    if isinstance(value, list):
        return [at_home(item) for item in value]
    if isinstance(value, str) and not value.startswith(TARGET) and may_be_url(value):
        return TARGET + "elsewhere"
    return value


def may_be_url(text):
    # Parsers of URLs leave out control characters and white space, and do not need the slashes.
    return "".join(text.split()).lstrip("".join(map(chr, range(33)))).casefold().startswith("http")


@schemathesis.hook
def before_call(context, case, kwargs):
    if isinstance(case.body, bytes):
        if b"http" in case.body.lower():
            case.body = b""
    else:
        case.body = at_home(case.body)
    # The log of a task that is put, cleared and deleted all the time would hold little to look at.
    if case.operation.path == "/search" and isinstance(case.body, dict) and case.body.get("identity") == "backup":
        case.body["identity"] = PREPARED["steady"]


# A body of lines: for the document it is a text, here it is a list of what stands in its lines.

LINES = "application/x-ndjson"


def as_lists(value):
    """Turns texts of lines into lists, wherever the document has them."""
    if isinstance(value, list):
        for item in value:
            as_lists(item)
    if not isinstance(value, dict):
        return
    content = value.get(LINES)
    if isinstance(content, dict) and "schema" in content:
        content["schema"] = {"type": "array", "items": content["schema"]["contentSchema"]}
        content["example"] = [json.loads(line) for line in content["example"].splitlines()]
    for item in value.values():
        as_lists(item)


@schemathesis.serializer(LINES)
def write_lines(context, value):
    items = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


@schemathesis.deserializer(LINES)
def read_lines(context, response):
    return [json.loads(line) for line in response.content.splitlines()]


# The document tells what an answer has, and leaves room for more. Here an answer may have nothing that it does not tell.

SCHEMAS = "#/components/schemas/"


@schemathesis.hook
def before_load_schema(context, raw_schema):
    # The key that is sent is right. What would be made up beside it is no word of a key, and so is passed over.
    raw_schema.pop("security", None)
    raw_schema["components"].pop("securitySchemes", None)
    as_lists(raw_schema["paths"])
    schemas = raw_schema["components"]["schemas"]
    parts = {name for schema in schemas.values() for part in schema.get("allOf", ()) for name in named(part)}
    # Requests go on with the schemas as they are, answers with closed ones of their own.
    for name, schema in list(schemas.items()):
        schemas[answered(name)] = closed(schema, is_part=name in parts)
    responses = raw_schema["components"]["responses"]
    responses.update({name: closed(response) for name, response in responses.items()})
    for path in raw_schema["paths"].values():
        for operation in path.values():
            operation.pop("security", None)
            operation["responses"] = closed(operation["responses"])


def named(schema):
    reference = schema.get("$ref", "")
    return [reference.removeprefix(SCHEMAS)] if reference.startswith(SCHEMAS) else []


def answered(name):
    return f"{name}InAnswers"


def closed(value, is_part=False):
    """A copy of a schema in which objects are closed. A part of a whole stays open: the whole is closed."""
    if isinstance(value, list):
        return [closed(item, is_part) for item in value]
    if not isinstance(value, dict):
        return value
    copied = {}
    for key, item in value.items():
        if key == "allOf":
            copied[key] = closed(item, is_part=True)
        elif key in ("oneOf", "anyOf"):
            copied[key] = closed(item, is_part)
        elif key == "$ref" and named(value):
            copied[key] = SCHEMAS + answered(*named(value))
        else:
            copied[key] = item if key in ("example", "examples", "default", "enum") else closed(item)
    if not is_part and "allOf" in value:
        copied.setdefault("unevaluatedProperties", False)
    elif not is_part and value.get("type") == "object" and "properties" in value:
        copied.setdefault("additionalProperties", False)
    return copied


# The task endpoints answer 200 to whatever they understood or not, and tell in the envelope.

# Why data that the document allows is refused: what no schema can say.
BEYOND_SCHEMAS = [
    r"this identity does not exists",
    r"node: this service is alone on its store, there is nobody to take its shards",
    r"is \d+, (expected \d+, (the task has revision|there is no such task)|but the history of this task holds no such version)",
    r"the task has no such entry",
    r"with an offset, from 1970 to 9999",
    r"leaves none of the instants that the trigger names",
    r"is (before|more than 31 days after) `from`",
    r"`, which is no duration \((it is longer than|it is finer than)",
    r"`, expected (whole seconds from )?\d+m?s to \d+[hd]",
    r"is shorter than `initial`|is before `start_at`",
    r"name every day of the week",
    r"must be in the future",
    r"is missing, expected the task of the run|is no dead letter",
    r"is earlier than from|the range holds \d+ instants",
    # A whole number may be written as 20.0 in a schema, not in a request.
    r"is `-?\d+(\.\d+)?([eE][+-]?\d+)?`, expected a (whole number|status)",
    # A format of ours is only a word to who makes up data: now and then another text is made up.
    r"is no date, expected a date such as",
    r"ends before it begins",
    r"has \d+ words, expected at most 32",
    r"cursor: is none that this service gave",
    r"is \d+ bytes long, expected (at most|1 to) \d+",
    r"is not a header name|holds a character that HTTP forbids",
    r"is given twice|given by `(sign|auth)`",
    r"is `\d{3}-\d{3}`, expected a status",
    r"id: (there is no such key|this key is (revoked|expired))",
    r"name: (`.*` is (the name of another key|kept for)|cannot be seen whole)",
    r"expires_at: (stands beside expires_in|has passed or is too far ahead)|expires_in: is too short or too long",
    r"overlap: is too long",
    r"all secrets would be \d+ bytes together",
]


def is_refusal(envelope):
    if not isinstance(envelope, dict):
        return False
    verdict = envelope.get("data")
    return envelope.get("error") == 1 or isinstance(verdict, dict) and verdict.get("valid") is False


def told_status(response):
    """400 where an envelope, a line or a verdict tells of a refusal."""
    try:
        envelopes = [json.loads(line) for line in response.content.splitlines()]
    except ValueError:
        envelopes = []
    return 400 if response.status_code == 200 and any(map(is_refusal, envelopes)) else response.status_code


def as_told(response):
    told = copy.copy(response)
    told.status_code = told_status(response)
    return told


@schemathesis.check
def wrong_data_is_refused(ctx, response, case):
    # A request that was made wrong by leaving out what may be left out is right.
    if case.meta and (case.meta.phase.data.description or "").lower().endswith("positive test case"):
        return None
    # Such clients send empty parameters, which are the same as none.
    if case.operation.path.startswith("/scheduled-jobs") and "" in (case.query or {}).values():
        return None
    # Refused before it was read.
    if response.status_code == 413:
        return None
    return negative_data_rejection(ctx, as_told(response), case)


@schemathesis.check
def right_data_is_accepted(ctx, response, case):
    told = as_told(response)
    if told.status_code == 400 and any(re.search(reason, response.text) for reason in BEYOND_SCHEMAS):
        return None
    return positive_data_acceptance(ctx, told, case)
