"""docs/api.md, made from the table; `scripts/docs` renews it."""

from __future__ import annotations

import msgspec

from minipaas.surface import problems
from minipaas.surface.access import Access
from minipaas.surface.openapi import errors_of, is_struct
from minipaas.surface.rows.row import Row
from minipaas.surface.table import TABLE
from minipaas.surface.wire import EndEvent, NewsEvent, StepEvent

_HEAD = """# The API

Generated from `minipaas/surface/table.py`; do not edit.

The box answers HTTP/1.1 on its Unix socket, `minipaas.sock` in its data directory, and on TCP where `[api] listen` says
(127.0.0.1:7070). The command line uses nothing else. `GET /api/v1/openapi.json` has the same table for programs.

On the socket the peer's user decides: root and the user of the box may do everything. On TCP a token does, sent as
`Authorization: Bearer SECRET`; make one with `minipaas token new NAME --role read|deploy|admin`. Without a token TCP
only reads, and never sees secrets, environment values or logs. Requests on TCP need a `Host` that names this box, and
change nothing when the page of another site sent them.

<!-- prepare
examples/hello/prepare
minipaas key new release.key
minipaas trust new --key release.key.pub -o root.json
minipaas trust add root.json
minipaas bundle build examples/hello -o shop.bundle --key release.key --root root.json
MINIPAAS_TOKEN=$(minipaas token new docs --role deploy --json | jq -r .secret)
-->
```sh
curl --unix-socket /var/lib/minipaas/minipaas.sock http://box/api/v1/apps
curl -T shop.bundle -H "Authorization: Bearer $MINIPAAS_TOKEN" http://127.0.0.1:7070/api/v1/bundles
curl -N http://127.0.0.1:7070/api/v1/changes/1/events
```

Times are Unix seconds, sizes bytes, digests `sha256:<hex>`. Query parameters that are not listed are refused.
"""

_EVENTS = """
## Events

`text/event-stream`, with a comment at least every 15 seconds. A reader that comes back sends `Last-Event-ID` and misses
nothing.
"""


def markdown() -> str:
    """The whole text."""
    parts = [_HEAD, "\n## Access\n\n", *(f"- `{access.value}`: {access.explained}\n" for access in Access)]
    parts += ["\n## Endpoints\n\n| | path | access | |\n| --- | --- | --- | --- |\n"]
    parts += [f"| {row.method} | `{row.path}` | {row.access.value} | {row.summary} |\n" for row in TABLE]
    parts += [_row(row) for row in TABLE if row.api]
    parts += [_EVENTS]
    for name, kind in (("step", StepEvent), ("end", EndEvent), ("news", NewsEvent)):
        parts += [f"\n### `{name}`\n\n{_said(kind)}\n\n{_fields(kind)}"]
    parts += [_errors(), _types()]
    return "".join(parts)


def _row(row: Row) -> str:
    lines = [f"\n### {row.method} {row.path}\n\n{row.summary} Access: {row.access.value}.\n\n"]
    for query in row.query:
        default = "" if query.default is None else f" Default: {str(query.default).lower()}."
        lines.append(f"- query `{query.name}` ({query.kind.__name__}): {query.summary}{default}\n")
    if row.request is bytes:
        lines.append("- body: as it is\n")
    elif row.request is not None:
        lines.append(f"- body: {_link(row.request)}\n")
    answer = _link(row.response) if isinstance(row.response, type) else row.response or "nothing"
    lines.append(f"- answer {row.status}: {answer}\n")
    lines += [f"- answer {status}: {_link(kind)}\n" for status, kind in row.others]
    if row.websocket:
        begins = [f"it begins with your {_link(row.hears)}"] if row.hears else []
        lines.append(f"- messages: {'; '.join([*begins, 'the box says ' + ', '.join(map(_link, row.says))])}\n")
    lines.append(f"- errors: {', '.join(map(str, errors_of(row)))}\n")
    return "".join(lines)


def _link(kind: type) -> str:
    return f"[{kind.__name__}](#{kind.__name__.lower()})"


def _errors() -> str:
    lines = [
        '\n## Errors\n\n`{"error": {"kind", "code", "message", "hint"}}`: `message` says why, `hint` what to do next, '
        "`code` names the rule, `kind` decides the status:\n\n| kind | status |\n| --- | --- |\n"
    ]
    lines += [f"| {kind} | {status} |\n" for kind, status in problems.STATUS.items()]
    lines += ["\nThese codes have a status of their own:\n\n| code | status |\n| --- | --- |\n"]
    lines += [f"| {code} | {status} |\n" for code, status in problems.STATUS_BY_CODE.items()]
    return "".join(lines)


def _types() -> str:
    kinds: dict[str, type] = {}
    for row in TABLE:
        for kind in (row.request, row.response, *dict(row.others).values(), row.hears, *row.says):
            if is_struct(kind):
                _collect(kind, kinds)
    for event in (StepEvent, EndEvent):
        _collect(event, kinds)
    text = "\n## Types\n"
    for name in sorted(kinds):
        text += f"\n### {name}\n\n{_said(kinds[name])}\n\n{_fields(kinds[name])}"
    return text


def _collect(kind: type, into: dict[str, type]) -> None:
    """The struct and every struct in its fields."""
    if kind.__name__ in into:
        return
    into[kind.__name__] = kind
    pending = [field.type for field in _struct(kind).fields]
    while pending:
        info = pending.pop()
        if isinstance(info, msgspec.inspect.StructType):
            _collect(info.cls, into)
        elif isinstance(info, msgspec.inspect.UnionType):
            pending += info.types
        elif isinstance(info, msgspec.inspect.VarTupleType):
            pending.append(info.item_type)
        elif isinstance(info, msgspec.inspect.DictType):
            pending.append(info.value_type)


def _fields(kind: type) -> str:
    return "".join(f"- `{field.encode_name}`: {_type(field.type)}\n" for field in _struct(kind).fields)


def _struct(kind: type) -> msgspec.inspect.StructType:
    info = msgspec.inspect.type_info(kind)
    if not isinstance(info, msgspec.inspect.StructType):
        raise TypeError(f"{kind.__name__} is not a struct")
    return info


def _type(info: msgspec.inspect.Type) -> str:
    match info:
        case msgspec.inspect.StructType(cls=cls):
            return _link(cls)
        case msgspec.inspect.EnumType(cls=cls):
            return " \\| ".join(f"`{member.value}`" for member in cls)
        case msgspec.inspect.LiteralType(values=values):
            return " \\| ".join(f"`{value}`" for value in values)
        case msgspec.inspect.UnionType(types=types):
            return " or ".join(_type(one) for one in types)
        case msgspec.inspect.VarTupleType(item_type=item):
            return f"list of {_type(item)}"
        case msgspec.inspect.TupleType(item_types=items):
            return f"list of {len(items)}: {', '.join(map(_type, items))}"
        case msgspec.inspect.DictType(value_type=value):
            return f"{_type(value)} by name"
        case msgspec.inspect.NoneType():
            return "null"
        case _:
            return {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}[
                type(info).__name__.removesuffix("Type").lower()
            ]


def _said(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split())
