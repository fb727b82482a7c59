"""`bundle`: the author's commands. They work on files and on the author's own Podman; no box is asked.

Exit codes: 3 when a bundle is refused, 4 when a file, image or directory is missing, 2 when the input is malformed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from minipaas.model.errors import Invalid, MinipaasError
from minipaas.model.units import Duration, counted, human_bytes
from minipaas.surface.cli.options import json_option
from minipaas.surface.cli.show import Cell, clean, on_terminal, paint, print_json, print_table, span, stamp

if TYPE_CHECKING:
    from minipaas.author.build import Built
    from minipaas.author.progress import Progress
    from minipaas.bundle.read import Inspection
    from minipaas.model.release import ImageRef, Release

FILE = click.Path(path_type=Path)  # who opens it says what is missing: exit code 4
LAST_LINES = 40
"""Lines of a failed build that are shown."""


def _duration(ctx: click.Context, param: click.Parameter, value: str | None) -> Duration | None:
    """An option like `90d`. Raises BadParameter."""
    try:
        return None if value is None else Duration.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


@click.group()
def bundle() -> None:
    """Make, sign, verify and look into bundles.

    A bundle is one signed file that carries one release of an app: its images, app.toml and bill of materials.
    """


@bundle.command("init")
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), default=".")
@click.option("--from", "compose", metavar="COMPOSE", type=FILE, help="Import a Compose file.")
def init(directory: Path, compose: Path | None) -> None:
    """Write an app.toml into DIR: a commented one to start from, or a Compose file's.

    What Compose has and minipaas has not is said in words.
    """
    from minipaas.author.starter import CONTAINERFILE_HINT, app_name, starter

    path = directory / "app.toml"
    if path.exists():
        raise Invalid(
            f"cannot write {path}: it exists already", hint="edit it, or remove it first", code="author.exists"
        )
    notes: tuple[str, ...] = ()
    if compose is not None:
        from minipaas.author.compose import import_compose

        imported = import_compose(compose, directory, os.environ)
        text, notes = imported.text, imported.notes
    else:
        text = starter(app_name(directory.resolve().name))
    directory.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    print(f"{path}: written")
    if notes:
        print(paint("Not carried over, or different:", "yellow"))
        for note in notes:
            print(f"  - {clean(note)}")
    if compose is None and not any((directory / name).exists() for name in ("Containerfile", "Dockerfile")):
        print(CONTAINERFILE_HINT.format(directory=directory), end="")
    print(f"Next: minipaas bundle build {directory} -o {path.parent.resolve().name}.bundle --key KEY --root root.json")


@bundle.command("build")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The bundle.")
@click.option(
    "--key", "keys", metavar="KEY", type=FILE, multiple=True, required=True, help="A release key. Repeatable."
)
@click.option(
    "--root",
    "roots",
    metavar="ROOT",
    type=FILE,
    multiple=True,
    required=True,
    help="The newest trust root. Older versions are found beside it, or given too.",
)
@click.option("--sequence", type=click.IntRange(min=1), help="Default: --issued as Unix seconds.")
@click.option("--min-sequence", type=click.IntRange(min=0), default=0, help="Forbid rollbacks below this sequence.")
@click.option("--valid-for", metavar="TIME", callback=_duration, help="Not to be installed later than this, like 90d.")
@click.option("--issued", help="Unix seconds or RFC 3339. Default: SOURCE_DATE_EPOCH, else now.")
@click.option(
    "--podman", metavar="URL", default="", help="unix:///path. Default: CONTAINER_HOST, else the usual places."
)
@json_option
def build(
    directory: Path,
    output: Path,
    keys: tuple[Path, ...],
    roots: tuple[Path, ...],
    sequence: int | None,
    min_sequence: int,
    valid_for: Duration | None,
    issued: str | None,
    podman: str,
    as_json: bool,
) -> None:
    """Build the images of the app in DIR, and pack and sign the release.

    The same inputs with the same --issued and --sequence give the same bytes.
    """
    from minipaas.author.build import Request, build_bundle
    from minipaas.author.times import issue_time

    began = time.monotonic()
    request = Request(
        directory=directory,
        output=output,
        keys=keys,
        roots=roots,
        issued=issue_time(issued, os.environ, time.time()),
        reproducible=issued is not None or bool(os.environ.get("SOURCE_DATE_EPOCH")),
        sequence=sequence,
        min_sequence=min_sequence,
        valid_for=valid_for,
        socket=podman,
    )
    with _showing(quiet=as_json) as progress:
        built = build_bundle(request, progress)
    _print_built(output, built, as_json, began, f"minipaas deploy {output} --to URL")


def _print_built(output: Path, built: Built, as_json: bool, began: float, following: str) -> None:
    if as_json:
        print_json({"file": str(output), **{name: getattr(built, name) for name in built.__struct_fields__}})
        return
    for note in built.notes:
        print(paint(f"note: {clean(note)}", "yellow"))
    print(
        f"{output}: {built.app} {built.version}, {human_bytes(built.size)}, sequence {built.sequence}, "
        f"{counted(built.packages, 'package')} listed  {span(time.monotonic() - began)}"
    )
    print(f"Next: {following}")


@bundle.command("self")
@click.argument("program", metavar="PROGRAM", type=FILE)
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The bundle.")
@click.option(
    "--key", "keys", metavar="KEY", type=FILE, multiple=True, required=True, help="A release key. Repeatable."
)
@click.option("--root", "roots", metavar="ROOT", type=FILE, multiple=True, required=True, help="The newest trust root.")
@click.option("--sequence", type=click.IntRange(min=1), help="Default: --issued as Unix seconds.")
@click.option("--min-sequence", type=click.IntRange(min=0), default=0, help="Forbid bundles below this sequence.")
@click.option("--valid-for", metavar="TIME", callback=_duration, help="Not to be installed later than this, like 90d.")
@click.option("--issued", help="Unix seconds or RFC 3339. Default: SOURCE_DATE_EPOCH, else now.")
@click.option("--platform", default="", metavar="OS/ARCH", help="Default: what the program itself says.")
@json_option
def bundle_self(
    program: Path,
    output: Path,
    keys: tuple[Path, ...],
    roots: tuple[Path, ...],
    sequence: int | None,
    min_sequence: int,
    valid_for: Duration | None,
    issued: str | None,
    platform: str,
    as_json: bool,
) -> None:
    """Pack and sign minipaas itself, for `minipaas upgrade`. PROGRAM: its one file, or its unpacked tree.

    Podman is not needed, and PROGRAM is not run.
    """
    from minipaas.author.own import Request, bundle_self
    from minipaas.author.times import issue_time

    began = time.monotonic()
    request = Request(
        program=program,
        output=output,
        keys=keys,
        roots=roots,
        issued=issue_time(issued, os.environ, time.time()),
        sequence=sequence,
        min_sequence=min_sequence,
        valid_for=valid_for,
        platform=platform,
    )
    with _showing(quiet=as_json) as progress:
        built = bundle_self(request, progress)
    _print_built(output, built, as_json, began, f"minipaas upgrade {output} --to URL")


@bundle.command("sign")
@click.argument("file", type=FILE)
@click.option(
    "--key", "keys", metavar="KEY", type=FILE, multiple=True, required=True, help="A release key. Repeatable."
)
def sign(file: Path, keys: tuple[Path, ...]) -> None:
    """Add a signature to FILE, for a trust root that wants more than one key. Nothing else in it changes."""
    from minipaas.author.files import replacing
    from minipaas.bundle.keys import SigningKey
    from minipaas.bundle.sign import sign_bundle

    signers = [SigningKey.load(path) for path in keys]
    with replacing(file) as out:
        sign_bundle(file, out, signers)
    print(f"{file}: signed by {', '.join(key.key_id[:12] for key in signers)}")


@bundle.command("verify")
@click.argument("file", type=FILE)
@click.option("--root", metavar="ROOT", type=FILE, required=True, help="The trust root that a box would have.")
@json_option
def verify(file: Path, root: Path, as_json: bool) -> None:
    """Check FILE from end to end, as a box that trusts ROOT would. Exit code 3 when it is refused."""
    from minipaas.author.roots import load_root
    from minipaas.bundle.read import verify_file
    from minipaas.bundle.root import follow_chain

    trusted = load_root(root)
    with _showing(quiet=as_json) as progress:
        progress.begin("check", _content(file))
        verdict = verify_file(file, trusted.raw, on_bytes=progress.advance)
    release = verdict.release
    if as_json:
        facts = _release_facts(release) | {"accepted": True, "signers": release.signers, "warnings": verdict.warnings}
        print_json(facts | {"new_roots": [version for version, _ in verdict.new_roots]})
        return
    print(
        paint(f"{file}: good", "green")
        + f": {release.app} {release.version}, epoch {release.epoch}, sequence {release.sequence}"
    )
    print(f"  release    {release.digest}")
    newest, _ = follow_chain(trusted.raw, [raw for _, raw in verdict.new_roots])
    print(f"  signed by  {', '.join(key[:12] for key in release.signers)} (needed: {newest.threshold})")
    print(f"  issued     {stamp(release.issued)}{_until(release.valid_until)}")
    for version, _ in verdict.new_roots:
        print(f"  brings     trust root version {version}")
    for warning in verdict.warnings:
        print(paint(f"  warning    {clean(warning)}", "yellow"))


@bundle.command("inspect")
@click.argument("file", type=FILE)
@click.option("--file", "title", metavar="NAME", help="Print a file of it: app.toml, sbom.cdx.json, provenance.json.")
@json_option
def inspect(file: Path, title: str | None, as_json: bool) -> None:
    """What FILE says of itself. Nothing is verified: that is `bundle verify`."""
    from minipaas.bundle.read import file_of
    from minipaas.bundle.read import inspect as look

    if title is not None:
        data = file_of(file, title)
        if data is None:
            known = ", ".join(look(file).files)
            raise Invalid(f"cannot print {title}: {file} has no such file", hint=f"it has: {known}", code="bundle.file")
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    inspection = look(file)
    if as_json:
        print_json(inspection)
        return
    _print_inspection(inspection)


def _print_inspection(seen: Inspection) -> None:
    print(f"{seen.app} {seen.version}  (not verified: minipaas bundle verify FILE --root root.json)")
    print(f"  release    {seen.digest}")
    print(f"  order      epoch {seen.epoch}, sequence {seen.sequence}; no rollback below {seen.min_sequence}")
    print(f"  issued     {stamp(seen.issued)}{_until(seen.valid_until)}")
    print(f"  signed by  {clean(', '.join(key[:12] for key in seen.keys))}, trust root version {seen.root_version}")
    print(f"  size       {human_bytes(seen.size)}, unpacked {human_bytes(seen.content)}")
    print(f"  with       {clean(', '.join(f'{name} ({human_bytes(size)})' for name, size in seen.files.items()))}")
    print()
    rows: list[list[Cell]] = []
    for name, service in seen.spec.services.items():
        image: ImageRef = seen.images[name]
        where = ", ".join([*service.routes, *service.ports, *(str(one.stream) for one in service.streams)]) or "-"
        rows.append([name, str(service.replicas), where, image.config[7:19], image.platform, human_bytes(image.size)])
    print_table(["SERVICE", "INSTANCES", "ROUTES, PORTS", "IMAGE", "PLATFORM", "SIZE"], rows)


def _content(file: Path) -> int | None:
    """Bytes to check, for the bar; None when the file does not say: what is wrong with it is said by the check."""
    from minipaas.bundle.read import inspect as look

    try:
        return look(file).content
    except MinipaasError:
        return None


def _release_facts(release: Release) -> dict[str, object]:
    return {
        "digest": release.digest,
        "app": release.app,
        "version": release.version,
        "epoch": release.epoch,
        "sequence": release.sequence,
        "min_sequence": release.min_sequence,
        "root_version": release.root_version,
        "issued": release.issued,
        "valid_until": release.valid_until,
    }


def _until(valid_until: int | None) -> str:
    return f", to be installed until {stamp(valid_until)}" if valid_until is not None else ""


@contextmanager
def _showing(quiet: bool) -> Iterator[Progress]:
    """Bars on a terminal, plain lines elsewhere, nothing when quiet. A failed build's last lines are always shown."""
    lines: list[str] = []
    try:
        if not quiet and on_terminal(sys.stderr):
            with _bars(lines) as bars:
                yield bars
        else:
            yield _Plain(lines, quiet)
    except MinipaasError:
        for line in lines[-LAST_LINES:]:
            print(f"  {clean(line, sys.stderr)}", file=sys.stderr)
        raise


class _Plain:
    """Progress for a pipe: what is done, one line each, on stderr."""

    def __init__(self, lines: list[str], quiet: bool) -> None:
        self._lines = lines
        self._quiet = quiet

    def begin(self, title: str, total: int | None) -> None:
        self._lines.clear()

    def advance(self, count: int) -> None:
        """A pipe has no bars."""

    def line(self, text: str) -> None:
        self._lines.append(text)
        del self._lines[:-LAST_LINES]

    def done(self, title: str) -> None:
        self._lines.clear()
        if not self._quiet:
            print(f"{title}: done", file=sys.stderr)


@contextmanager
def _bars(lines: list[str]) -> Iterator[Progress]:
    """Progress as a bar on stderr, with the newest line of a build beside it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Rich

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(True), TimeElapsedColumn())
    console = Console(stderr=True, highlight=False)
    with Rich(*columns, console=console, transient=True) as rich:

        class Bars(_Plain):
            """One bar at a time."""

            task = rich.add_task("", total=None)

            def begin(self, title: str, total: int | None) -> None:
                super().begin(title, total)
                rich.reset(self.task, description=escape(title), total=total, start=True)

            def advance(self, count: int) -> None:
                rich.advance(self.task, count)

            def line(self, text: str) -> None:
                super().line(text)
                room = max(console.width - 50, 20)
                rich.update(self.task, description=escape(clean(text, sys.stderr)[:room]))

            def done(self, title: str) -> None:
                super().done(title)
                rich.print(f"[green]✓[/green] {escape(title)}")

        yield Bars(lines, quiet=True)
