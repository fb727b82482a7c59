"""A Compose file as an `app.toml`, with a note for everything that could not be carried over.

What always holds: the text parses as the model's AppSpec; the file is read with safe YAML only, within limits; scalars
follow YAML 1.2 as Compose reads them (`22:22` is a text, `on` is a text).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from minipaas.author.apptoml import Draft, render
from minipaas.author.compose_service import ServiceImport, Surroundings, service_names
from minipaas.author.interpolate import Interpolation, parse_env
from minipaas.author.limits import LIMITS
from minipaas.author.starter import app_name
from minipaas.model.errors import Invalid, Missing

_TOP_WHY = {
    "secrets": "there are no secret files",
    "configs": "bake the files into the image, or pass them through env",
    "include": "import each file by itself, or merge them first (docker compose config does it)",
    "models": "not carried over",
}
_VOLUME_WHY = "is created empty on the box"


class Imported(Struct, frozen=True, kw_only=True):
    """The result of an import."""

    text: str
    """The `app.toml`."""
    notes: tuple[str, ...]
    """What was not carried over, or has changed; one sentence each."""


def import_compose(file: Path, directory: Path, environ: Mapping[str, str]) -> Imported:
    """Read a Compose file for an app in `directory`; `environ` and the `.env` beside the file give the variables.

    Raises Missing when there is no such file, Invalid when it is not Compose.
    """
    notes: list[str] = []
    raw = _load(file)
    variables = _variables(file.parent, environ)
    interpolation = Interpolation(variables, file.name)
    raw = interpolation.walk(raw)
    services = _services(raw, file, notes)
    around = Surroundings(
        compose_dir=file.parent,
        target_dir=directory,
        environ=variables,
        names=service_names(list(services)),
        note=notes.append,
    )
    for theirs, ours in around.names.items():
        if theirs != ours:
            notes.append(f"{theirs} is now {ours}: other services reach it by that name")
    drafts = [ServiceImport(name, service, around).run() for name, service in services.items()]
    _drop_port_clashes(drafts, notes)
    _top_level(raw, notes)
    _say_variables(interpolation, notes)
    name = app_name(str(raw.get("name") or file.resolve().parent.name))
    head = [f"Imported from {file.name}. It keeps Compose's meaning; comments say what may be hardened.", *_head(notes)]
    return Imported(text=render(name, "0.1.0", head, drafts), notes=tuple(notes))


def _load(file: Path) -> dict[Any, Any]:
    import yaml

    try:
        with file.open("rb") as stream:
            data = stream.read(LIMITS.compose_file + 1)
    except (FileNotFoundError, IsADirectoryError):
        raise Missing(f"cannot import {file}: there is no such file") from None
    except OSError as error:
        raise Invalid(f"cannot import {file}: {error.strerror}", code="author.compose") from None
    if len(data) > LIMITS.compose_file:
        raise Invalid(f"cannot import {file}: it is larger than {LIMITS.compose_file // 1024} KiB", code="input.size")
    try:
        raw = yaml.load(data, _loader())  # noqa: S506 (a SafeLoader with fewer implicit types)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Invalid(f"cannot import {file}: {error}", code="author.compose") from None
    if not isinstance(raw, dict):
        raise Invalid(f"cannot import {file}: it is not a Compose file", code="author.compose")
    return raw


def _loader() -> Any:
    """SafeLoader with YAML 1.2's scalars: no sexagesimal integers, no yes/no/on/off, no dates."""
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's own shape)
            first: [(tag, rule) for tag, rule in rules if tag.rpartition(":")[2] in ("null", "merge")]
            for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    def add(tag: str, rule: str, first: str) -> None:
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rule), list(first))

    add("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
    add("int", r"^[-+]?[0-9]+$|^0x[0-9a-fA-F]+$", "-+0123456789")
    add("float", r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789")
    Loader.add_constructor("tag:yaml.org,2002:int", _int)
    return Loader


def _int(loader: Any, node: Any) -> int | str:
    """`0644` is octal in YAML 1.1 and decimal in 1.2; as a text both readings stay open."""
    text = str(loader.construct_scalar(node))
    return text if re.fullmatch(r"[-+]?0[0-9]+", text) else int(text, 0)


def _variables(directory: Path, environ: Mapping[str, str]) -> dict[str, str]:
    path = directory / ".env"
    if not path.is_file():
        return dict(environ)
    if path.stat().st_size > LIMITS.env_file:
        raise Invalid(f"cannot read {path}: it is larger than {LIMITS.env_file // 1024} KiB", code="input.size")
    found = {name: value for name, value in parse_env(path.read_text("utf-8", "replace")).items() if value is not None}
    return found | dict(environ)


def _services(raw: dict[Any, Any], file: Path, notes: list[str]) -> dict[str, dict[str, Any]]:
    services = raw.get("services")
    if not isinstance(services, dict) or not services:
        raise Invalid(f"cannot import {file}: it has no services", code="author.compose")
    kept: dict[str, dict[str, Any]] = {}
    for name, service in services.items():
        if not isinstance(service, dict):
            raise Invalid(f"cannot import {file}: service {name} is not a mapping", code="author.compose")
        if profiles := service.get("profiles"):
            notes.append(f"{name}: left out: Compose starts it only with a profile ({', '.join(map(str, profiles))})")
        else:
            kept[str(name)] = service
    if not kept:
        raise Invalid(f"cannot import {file}: every service belongs to a profile", code="author.compose")
    return kept


def _drop_port_clashes(drafts: list[Draft], notes: list[str]) -> None:
    """Two services on one port of the host would fail in Compose too; the second loses its line, and it is said."""
    import tomllib

    from minipaas.model.spec import Published

    taken: list[tuple[Published, str]] = []
    for draft in drafts:
        for at, line in enumerate(draft.lines):
            if not line.startswith("ports = "):
                continue
            ports = [Published.parse(port) for port in tomllib.loads(line)["ports"]]
            clash = next((owner for port in ports for other, owner in taken if port.clashes(other)), None)
            if clash is None:
                taken += [(port, draft.name) for port in ports]
            else:
                draft.lines[at] = "# " + line.replace("\n", " ")
                notes.append(f"{draft.name}: ports: already published by {clash}; the line is commented out")


def _top_level(raw: dict[Any, Any], notes: list[str]) -> None:
    for key, why in _TOP_WHY.items():
        if raw.get(key):
            notes.append(f"{key}: {why}")
    networks = raw.get("networks") or {}
    if isinstance(networks, dict) and set(networks) - {"default"}:
        notes.append(f"networks: {', '.join(map(str, networks))}: an app has one network, where all its services meet")
    volumes = raw.get("volumes") or {}
    for name, setting in volumes.items() if isinstance(volumes, dict) else ():
        options = sorted(set(setting or {}) - {"labels", "name"}) if isinstance(setting, dict) else []
        if options:
            notes.append(f"volumes: {name}: {', '.join(options)}: not carried over; the volume {_VOLUME_WHY}")


def _say_variables(interpolation: Interpolation, notes: list[str]) -> None:
    if interpolation.unset:
        notes.append(f"variables without a value became empty: {', '.join(sorted(interpolation.unset))}")
    if interpolation.used:
        names = ", ".join(sorted(interpolation.used))
        notes.append(f"values were written out for {names}; whoever has the bundle can read them")


def _head(notes: list[str]) -> list[str]:
    return ["", "Not carried over, or different:", *(f"  - {note}" for note in notes)] if notes else []
