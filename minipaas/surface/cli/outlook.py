"""What would happen, for people: `--dry-run`, and what is said before a question."""

from __future__ import annotations

from typing import Any

from minipaas.model.outlook import Fate
from minipaas.surface.cli.show import Cell, clean, paint, print_json, print_table, span
from minipaas.surface.client import Box, segment
from minipaas.surface.wire_plan import PlanPreview, ServiceForecast

_COLOURS = {Fate.NEW: "green", Fate.KEPT: "", Fate.SCALED: "cyan", Fate.REPLACED: "yellow", Fate.GONE: "red"}


def ask(box: Box, app: str, **query: Any) -> PlanPreview:
    """What the box says would happen. Raises what the request itself would raise."""
    return box.get(f"/apps/{segment(app)}/preview", PlanPreview, **query)


def show(preview: PlanPreview, as_json: bool) -> None:
    """All of it."""
    if as_json:
        print_json(preview)
        return
    serving = f" ({preview.serving} serves now)" if preview.serving else ""
    print(f"{preview.app}: {preview.kind.value} {preview.version or ''}".rstrip() + serving)
    rows: list[list[Cell]] = [
        [f"  {one.name}", (one.fate.value, _COLOURS[one.fate]), f"{one.before} → {one.after}", _pause(one)]
        for one in preview.services
    ]
    if rows:
        print_table(["  SERVICE", "WILL BE", "RUNNING", "PAUSES"], rows)
    for number, step in enumerate([step for step in preview.steps if not step.after], 1):
        print(f"{number:>4}. {clean(step.title)}")
    after = [step for step in preview.steps if step.after]
    if after:
        print(paint("after it, without haste:", "bright_black"))
    for step in after:
        print(f"      {clean(step.title)}")
    if preview.volumes_deleted:
        print(paint(f"deleted with all data in them: {', '.join(preview.volumes_deleted)}", "red"))
    print(f"given up and taken back if it is not done within {span(preview.at_most)}")


def _pause(service: ServiceForecast) -> str:
    if not service.pauses or service.at_most is None:
        return "-"
    held = f" (requests wait, up to {span(service.hold)})" if service.hold else ""
    return f"for at most {span(service.at_most)}{held}: {service.why}"
