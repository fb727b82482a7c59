"""The operator's handbook is true: its commands, keys, addresses and codes are those of the program."""

from __future__ import annotations

import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
import yaml

from minipaas.model.config import AcmeConfig, Config, TlsConfig
from minipaas.model.metrics import Summary
from minipaas.model.typed import convert, to_builtins
from minipaas.surface.access import Access
from minipaas.surface.cli.main import EXIT_CODES, INTERRUPTED, cli
from minipaas.surface.table import TABLE
from minipaas.telemetry.exposition import Facts, exposition
from tests.boxes import fake, started, toml
from tests.telemetry.made import counters, route

__all__ = ["fake", "started"]

BOOK = (Path(__file__).parents[3] / "docs" / "operator-handbook.md").read_text()
BLOCKS = "\n".join(re.findall(r"```sh\n(.*?)```", BOOK, re.DOTALL)).splitlines()
INLINE = re.findall(r"`(minipaas [^`]+)`", BOOK)
COMMANDS = sorted(
    {line[line.index("minipaas ") :] for line in BLOCKS if re.match(r"(\w+=\S+ )?minipaas ", line)} | {*INLINE}
)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_exists_with_its_options(line):
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = cli
    while isinstance(command, click.Group) and not (
        command.invoke_without_command and (not words or words[0][0] in "->")
    ):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None
        command = found
    words = words[: words.index("--")] if "--" in words else words  # behind it stands somebody else's command
    options = {name for param in command.params for name in param.opts}
    assert {word for word in words if word.startswith("-")} <= options


async def test_all_that_lies_in_the_data_directory_is_there(started):
    await started.deploy(toml())
    started.fake.crash(*await started.until(started.running), 3)
    await started.until(started.control.shelf.groups)
    table = BOOK.partition("## Where things lie")[2].partition("## Back up")[0]
    rows = [re.findall(r"`([^`]+)`", row.split("|")[1]) for row in table.splitlines() if row.startswith("| `")]
    told = {
        name.rstrip("/")
        for first, *more in rows
        for name in (first, *(f"{first}{one}" if one.startswith("-") else one for one in more))
    }
    here = {one.name for one in (started.directory / "data").iterdir()}
    assert {"registry.db", "crashes", "box.key"} <= here
    assert {name for name in here if not any(fnmatch(name, one) for one in told)} == set()


def test_every_key_of_the_configuration_is_there_with_its_default():
    rows = dict(re.findall(r"^\| `(\w+(?:\.\w+)+)` \| `(.+?)` \|", BOOK, re.MULTILINE))
    assert rows["tls.acme.agree"] == "false"
    told: dict[str, dict[str, Any]] = {}
    for key, default in (rows | {"tls.acme.agree": "true"}).items():
        section, *inner, name = key.split(".")
        table = told.setdefault(section, {})
        for one in inner:
            table = table.setdefault(one, {})
        table[name] = tomllib.loads(f"x = {default}")["x"]
    whole = Config(tls=TlsConfig(acme=AcmeConfig(agree=True)))
    assert to_builtins(convert(told, Config, "the handbook")) == to_builtins(whole)
    keys = {
        f"{section}.{field.name}"
        for section in Config.__struct_fields__
        for field in msgspec.structs.fields(getattr(whole, section))
    }
    keys = keys - {"tls.acme"} | {f"tls.acme.{field.name}" for field in msgspec.structs.fields(AcmeConfig)}
    assert set(rows) == keys


def test_every_configuration_can_be_copied():
    examples = re.findall(r"```toml\n(.*?)```", BOOK, re.DOTALL)
    for example in examples:
        convert(tomllib.loads(example), Config, "the handbook")
    assert len(examples) > 1


def test_prometheus_is_sent_where_the_api_listens():
    """Its defaults fill in the rest: http, and /metrics."""
    (told,) = (one for one in re.findall(r"```yaml\n(.*?)```", BOOK, re.DOTALL) if "scrape_configs" in one)
    (job,) = yaml.safe_load(told)["scrape_configs"]
    assert job["static_configs"] == [{"targets": list(Config().api.listen)}]
    assert set(job) == {"job_name", "static_configs"}
    assert any(row.path == "/metrics" and row.access is Access.OPEN for row in TABLE)


def test_traefik_asks_where_the_api_answers():
    (told,) = (one for one in re.findall(r"```yaml\n(.*?)```", BOOK, re.DOTALL) if "providers" in one)
    address, slash, path = yaml.safe_load(told)["providers"]["http"]["endpoint"].removeprefix("http://").partition("/")
    assert address in Config().api.listen
    assert slash + path in [row.path for row in TABLE if row.method == "GET"]


def test_every_metric_that_is_named_is_exposed():
    facts = Facts(
        version="",
        podman="",
        trouble=False,
        clock_synced=True,
        disk_free=0,
        changes={},
        summary=Summary(at=0.0, step=60, host=None, apps=()),
        ingress=counters(route()),
        slots={},
        host=None,
    )
    exposed = set(re.findall(r"# TYPE (\w+)", exposition(facts)[0].decode()))
    named = {name.removesuffix("_bucket") for name in re.findall(r"\bminipaas_[a-z]+_\w+", BOOK)}
    assert len(named) > 5
    assert named <= exposed


def test_every_exit_code_is_explained():
    (table,) = re.findall(r"### Exit codes.*?\n((?:\|.*\n)+)", BOOK, re.DOTALL)
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert codes == {0, INTERRUPTED, *EXIT_CODES.values()}


def test_what_is_typed_into_curl_is_in_the_api():
    calls = [line for line in BLOCKS if line.startswith("curl ")]
    assert len(calls) > 5
    for line in calls:
        words = shlex.split(line, comments=True)
        path = re.sub(r"^https?://[^/]+|\?.*$", "", words[-1])
        body = any(word in ("--json", "--data-binary") for word in words)
        method = "PUT" if "-T" in words else "DELETE" if "DELETE" in words else "POST" if body else "GET"
        known = [
            row for row in TABLE if row.method == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", row.path), path)
        ]
        assert known, line
        query = re.findall(r"[?&](\w+)=", words[-1])
        assert set(query) <= {one.name for one in known[0].query}
