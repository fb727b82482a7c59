"""The author's handbook is true: every key with its default, every option, every example."""

from __future__ import annotations

import re
from pathlib import Path

import click
import msgspec
import pytest

from minipaas.model import spec, stream
from minipaas.model.units import Duration
from minipaas.surface.cli.bundle import bundle
from minipaas.surface.cli.key import key

TEXT = (Path(__file__).parents[2] / "docs" / "author-handbook.md").read_text()
TABLES: dict[str, type[msgspec.Struct]] = {
    "### `[app]`": spec.AppMeta,
    "### `[services.NAME]`": spec.ServiceSpec,
    "### `health`": spec.Health,
    "### `[services.NAME.hooks]`": spec.Hooks,
    "### `[rollout]`": spec.Rollout,
    "### `tcp` and `udp`": stream.StreamSpec,
}


def rows(title: str) -> dict[str, str]:
    """Key -> default of the table below a heading."""
    section = TEXT.split(title + "\n", 1)[1].split("\n#", 1)[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]*?) ?\|", section, re.MULTILINE))


def written(field: msgspec.structs.FieldInfo) -> set[str]:
    """How a default may stand in the table."""
    if field.default_factory is not msgspec.NODEFAULT:
        return {"`{}`"}
    default = field.default
    if default is msgspec.NODEFAULT:
        return {"required", ""}
    if isinstance(default, bool):
        return {f"`{str(default).lower()}`"}
    if isinstance(default, Duration):
        return {f"`{default}`"}
    if default == ():
        return {"`[]`"}
    if default is None or default is msgspec.UNSET:
        other = {"the first of `tcp`", "`listen`", f"`{stream.IDLE['tcp']}`; UDP: `{stream.IDLE['udp']}`"}
        return {"", "none", "the image's", "see below", *other}
    if isinstance(default, msgspec.Struct):
        return {"none"}
    return {f"`{default}`", '`""`'} if default == "" else {f"`{default}`"}


@pytest.mark.parametrize("title", TABLES)
def test_every_key_stands_in_its_table_with_its_default(title: str) -> None:
    fields = {field.encode_name: field for field in msgspec.structs.fields(TABLES[title])}
    table = rows(title)
    assert set(table) == set(fields)
    assert {name: default for name, default in table.items() if default not in written(fields[name])} == {}


def test_every_command_and_every_option_of_build_is_named() -> None:
    for group, name in ((bundle, "bundle"), (key, "key")):
        for command in group.commands:
            assert f"{name} {command}" in TEXT
    options = [
        option for param in bundle.commands["build"].params if isinstance(param, click.Option) for option in param.opts
    ]
    missing = [option for option in options if option.startswith("--") and option not in TEXT]
    assert missing in ([], ["--output", "--json"])
