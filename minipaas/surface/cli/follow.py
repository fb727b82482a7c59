"""Watch a change until it ends: a live list on a terminal, one line a step elsewhere.

What always holds: the box does the work; a watcher that is interrupted or loses the connection changes nothing.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from minipaas.model.change import RELEASES, ChangeKind, ChangeState
from minipaas.model.errors import MinipaasError
from minipaas.model.steps import RevertChange
from minipaas.surface.cli.show import clean, on_terminal, paint, span
from minipaas.surface.client import Box
from minipaas.surface.wire import Accepted, EndEvent, StepEvent, StepView

if TYPE_CHECKING:
    from rich.console import RenderableType


class Watcher(Protocol):
    """Shows steps as they begin and end."""

    def __enter__(self) -> Watcher: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def started(self, step: StepView) -> None: ...

    def ended(self, step: StepView) -> None: ...


class Silent:
    """For `--json`."""

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def started(self, step: StepView) -> None:
        pass

    def ended(self, step: StepView) -> None:
        pass


class Plain(Silent):
    """One line for each step that has ended."""

    def ended(self, step: StepView) -> None:
        print(line_of(step), flush=True)


class Live(Silent):
    """Steps under way with a spinner at the bottom, those that ended above."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._running: dict[int, tuple[StepView, float]] = {}
        self._console = Console(highlight=False)
        self._live = RichLive(console=self._console, get_renderable=self._render, refresh_per_second=8, transient=True)

    def __enter__(self) -> Watcher:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def started(self, step: StepView) -> None:
        self._running.setdefault(step.id, (step, time.monotonic()))

    def ended(self, step: StepView) -> None:
        from rich.text import Text

        self._running.pop(step.id, None)
        self._console.print(Text.from_ansi(line_of(step)))

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.spinner import Spinner
        from rich.text import Text

        now = time.monotonic()
        rows: list[Any] = []
        for step, since in self._running.values():
            spinner = Spinner("dots", Text(f"{clean(step.title)}  {span(now - since)}"), style="cyan")
            rows.append(_Ticking(spinner))
        return Group(*rows)


class _Ticking:
    """A spinner made anew at each refresh still turns: its frame comes from the clock."""

    def __init__(self, spinner: Any) -> None:
        self._spinner = spinner

    def __rich_console__(self, console: Any, options: Any) -> Any:
        yield self._spinner.render(time.monotonic())


def line_of(step: StepView) -> str:
    """`✓ start web #1  1.2 s`, or `✗ …: why`; `↩` where the box turned back."""
    took = span(step.ended - step.started) if step.ended is not None else ""
    if step.kind == RevertChange.__name__ and step.ok:
        return f"{paint('↩', 'yellow')} {clean(step.title)}"
    if step.ok:
        return f"{paint('✓', 'green')} {clean(step.title)}  {paint(took, 'bright_black')}".rstrip()
    detail = clean(step.detail).strip().replace("\n", "\n    ")
    return f"{paint('✗', 'red')} {clean(step.title)}  {took}{f': {detail}' if detail else ''}"


def watcher(as_json: bool) -> Watcher:
    """The right one for where stdout goes."""
    return Silent() if as_json else Live() if on_terminal() else Plain()


def follow(box: Box, accepted: Accepted, as_json: bool) -> EndEvent:
    """Watch until the end. Raises Unreachable when the box stays away."""
    seen_end: set[int] = set()
    try:
        with watcher(as_json) as show:
            for event in box.events(accepted.events):
                if event.name == "step":
                    told = box.understand(event.data.encode(), StepEvent)
                    if told.state == "started":
                        show.started(told.step)
                    elif told.step.id not in seen_end:
                        seen_end.add(told.step.id)
                        show.ended(told.step)
                elif event.name == "end":
                    return box.understand(event.data.encode(), EndEvent)
    except KeyboardInterrupt:
        if not as_json and on_terminal(sys.stderr):
            print(f"change {accepted.change} goes on; look with: minipaas changes {accepted.change}", file=sys.stderr)
        raise
    raise MinipaasError(f"cannot follow change {accepted.change}: the box ended the story without its end")


_DID = {
    ChangeKind.DEPLOY: "deploy",
    ChangeKind.ROLLBACK: "roll back",
    ChangeKind.REMOVE: "remove",
    ChangeKind.RESTART: "restart",
    ChangeKind.SCALE: "scale",
}


def conclude(end: EndEvent) -> None:
    """Nothing for a change that did what was asked; else raise why not."""
    change = end.change
    if end.outcome is ChangeState.DONE:
        return
    what = f"{_DID[change.kind]} {change.app}"
    if change.kind in RELEASES and change.version:
        what += f" {'to ' if change.kind is ChangeKind.ROLLBACK else ''}{change.version}"
    reason = end.reason.strip() or "the box gave no reason"
    before = change.fallback_version
    hint = f"the steps: minipaas changes {change.id}; its output: minipaas logs {change.app}"
    if change.kind not in RELEASES and before:
        before = f"{before}, as it ran before,"
    if end.outcome is ChangeState.ROLLED_BACK and before:
        hint = f"{before} serves again; {hint}"
    elif end.outcome is ChangeState.FAILED and before:
        hint = f"{before} still serves; {hint}"
    elif end.outcome is ChangeState.SUPERSEDED:
        hint = f"a newer change took its place: minipaas changes {change.app}"
    raise MinipaasError(f"cannot {what}: {reason}", hint=hint, code=f"change.{end.outcome.value}")
