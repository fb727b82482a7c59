"""A progress bar for bytes: on a terminal, and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from minipaas.surface.cli.show import on_terminal


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Call it with the bytes so far, and with how many there are. None: nobody is looking."""
    if not on_terminal(sys.stderr):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn(what), BarColumn(), DownloadColumn(True))
    with Progress(*columns, transient=True, console=Console(stderr=True)) as shown:
        task = shown.add_task(what, total=None)
        yield lambda got, whole: shown.update(task, completed=got, total=whole)
