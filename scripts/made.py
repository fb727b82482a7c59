"""What docs/ takes from the program, so that it cannot be wrong: whole files, and parts between two marks of a file.

`made()` gives file -> text as it should be; run as a program it writes them.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from minipaas.model.change import Change, ChangeKind, ChangeState
from minipaas.plan.lifecycle import Event, IllegalTransition, advance
from minipaas.surface import reference
from minipaas.surface.cli import manual

DOCS = Path(__file__).resolve().parents[1] / "docs"
LIFECYCLE = re.compile(r"(?<=<!-- made: lifecycle -->\n).*?(?=<!-- end -->)", re.DOTALL)


def made() -> dict[Path, str]:
    """Every file of docs/ that has something of the program in it, as it should be."""
    architecture = DOCS / "architecture.md"
    diagram = lifecycle()
    return {
        DOCS / "api.md": reference.markdown(),
        DOCS / "commands.md": manual.markdown(),
        architecture: LIFECYCLE.sub(lambda _: diagram, architecture.read_text()),
    }


def lifecycle() -> str:
    """The life of a change as a diagram (Mermaid, stateDiagram-v2), by trying every event in every state."""
    seen: dict[tuple[str, str, str], None] = {}
    for state, event, switched in itertools.product(ChangeState, Event, (None, 1.0)):
        try:
            then = advance(_change(state, switched), event, now=2.0).state
        except IllegalTransition:
            continue
        word = event.value
        if state is ChangeState.REVERTING and event is Event.RESTORED:
            word += ", routes were switched" if switched else ", never switched"
        seen[state.value, then.value, word] = None
    active = [state for state in ChangeState if state.active]
    superseded = {(state.value, ChangeState.SUPERSEDED.value, "superseded"): None for state in active}
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> rolling: deploy, roll back", "    [*] --> removing: remove"]
    lines += [f"    {old} --> {new}: {word}" for old, new, word in seen | superseded]
    lines += [f"    {state.value} --> [*]" for state in ChangeState if not state.active]
    return "\n".join([*lines, "```", ""])


def _change(state: ChangeState, switched: float | None) -> Change:
    return Change(
        id=1,
        app="app",
        kind=ChangeKind.DEPLOY,
        state=state,
        target="sha256:0",
        fallback=None,
        actor="",
        started=0.0,
        deadline=9.0,
        switched=switched,
    )


if __name__ == "__main__":
    for path, text in made().items():
        path.write_text(text)
