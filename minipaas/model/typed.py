"""Untyped data into frozen structs, with errors that name the key's path and the nearest valid key."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from minipaas.model.errors import Invalid
from minipaas.model.units import decode_unit, encode_unit

T = TypeVar("T")


def to_json(value: object) -> bytes:
    """Canonical JSON of a struct: keys sorted, no white space; equal values give equal bytes."""
    return msgspec.json.encode(value, enc_hook=encode_unit, order="deterministic")


def to_builtins(value: object) -> Any:
    """A struct as dicts, lists, strings and numbers."""
    return msgspec.to_builtins(value, enc_hook=encode_unit)


def from_json(data: bytes | str, kind: type[T]) -> T:
    """JSON that we wrote, or a peer's. Raises msgspec.ValidationError/DecodeError."""
    return msgspec.json.decode(data, type=kind, dec_hook=decode_unit)


def convert(data: object, kind: type[T], what: str) -> T:
    """Data that a person wrote. Raises Invalid: "cannot read WHAT: PATH: why"."""
    _refuse_unknown_keys(data, kind, "", what)
    try:
        return msgspec.convert(data, kind, dec_hook=decode_unit)
    except msgspec.ValidationError:
        path, why = _blame(data, kind, "")
        raise Invalid(f"cannot read {what}: {path or 'top level'}: {why}", code="input.value") from None


def _children(data: object, kind: Any) -> list[tuple[str, object, Any]]:
    """(key, value, declared type) one level down, through unions, dict[str, X] and tuples of structs (by number)."""
    kind = _member(kind, data)
    if typing.get_origin(kind) is tuple and isinstance(data, list):
        of = typing.get_args(kind)[0]
        structs = any(_is_struct(one) for one in (of, *typing.get_args(of)))
        return [(str(number), value, of) for number, value in enumerate(data)] if structs else []
    if not isinstance(data, Mapping):
        return []
    if _is_struct(kind):
        hints = typing.get_type_hints(kind)
        by_key = {field.encode_name: hints[field.name] for field in msgspec.structs.fields(kind)}
        return [(key, value, by_key[key]) for key, value in data.items() if key in by_key]
    if typing.get_origin(kind) is dict:
        return [(key, value, typing.get_args(kind)[1]) for key, value in data.items()]
    return []


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _member(kind: Any, data: object) -> Any:
    """Of a union, the one member that is shaped like the data; the union where none or several are.
    None, and what says that a key was not given, are no members."""
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return kind
    rest = [one for one in typing.get_args(kind) if one not in (type(None), msgspec.UnsetType)]
    if isinstance(data, Mapping):
        shaped = [one for one in rest if _is_struct(one) or typing.get_origin(one) is dict]
    elif isinstance(data, list):
        shaped = [one for one in rest if typing.get_origin(one) is tuple]
    else:
        shaped = rest
    return shaped[0] if len(shaped) == 1 else kind


def _refuse_unknown_keys(data: object, kind: Any, path: str, what: str) -> None:
    bare = _member(kind, data)
    if _is_struct(bare) and isinstance(data, Mapping):
        known = [field.encode_name for field in msgspec.structs.fields(bare)]
        for key in data:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]}?" if near else f"valid keys here: {', '.join(sorted(known))}"
                full = f"{path}.{key}" if path else str(key)
                raise Invalid(f"cannot read {what}: {full}: unknown key", hint=hint, code="input.unknown_key")
    for key, value, child in _children(data, kind):
        _refuse_unknown_keys(value, child, f"{path}.{key}" if path else key, what)


def _blame(data: object, kind: Any, path: str) -> tuple[str, str]:
    """The smallest part that does not convert, and why."""
    kind = _member(kind, data)
    for key, value, child in _children(data, kind):
        try:
            msgspec.convert(value, child, dec_hook=decode_unit)
        except msgspec.ValidationError:
            return _blame(value, child, f"{path}.{key}" if path else key)
    try:
        msgspec.convert(data, kind, dec_hook=decode_unit)
    except msgspec.ValidationError as error:
        return path, str(error).split(" - at `$")[0]
    return path, "not valid"
