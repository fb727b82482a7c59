"""The error tree. Every message reads "cannot X: why"; `hint` says what to do next.

    MinipaasError          failed            exit 1
    ├── Invalid            malformed input   exit 2   app.toml, config.toml, arguments
    ├── Refused            well understood   exit 3   signature, trust, downgrade, policy, a broken bundle
    │   ├── Conflict                         exit 3   clashes with what this box already runs
    │   └── Forbidden                        exit 3   who asks may not
    ├── Missing            no such thing     exit 4
    ├── Unreachable        box or socket     exit 5
    ├── NoSpace            disk too small    exit 1
    └── EngineError        Podman said no    exit 1
        ├── EngineDown     cannot be reached exit 1
        └── Deadline       took too long     exit 1

Only the command line turns an error into an exit code, and only the API turns one into an HTTP status; both do it
by class, through `kind`, the word that crosses the wire. `code` names the rule that was broken (`bundle.truncated`).
"""

from __future__ import annotations

from typing import ClassVar


class MinipaasError(Exception):
    """Anything minipaas can explain. `message`: cannot X: why. `hint`: the next thing to do or type."""

    kind: ClassVar[str] = "failed"

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.kind


class Invalid(MinipaasError):
    """The input is malformed: the sender has to change it."""

    kind = "invalid"


class Refused(MinipaasError):
    """Understood, and not allowed by a rule of trust or policy."""

    kind = "refused"


class Conflict(Refused):
    """Clashes with something this box already has."""

    kind = "conflict"


class Forbidden(Refused):
    """The caller lacks the right."""

    kind = "forbidden"


class Missing(MinipaasError):
    """No such app, release, change, file."""

    kind = "missing"


class Unreachable(MinipaasError):
    """The box does not answer."""

    kind = "unreachable"


class NoSpace(MinipaasError):
    """Not enough disk for what is asked."""

    kind = "no_space"


class EngineError(MinipaasError):
    """Podman refused or failed."""

    kind = "engine"


class EngineDown(EngineError):
    """Podman cannot be reached at all."""

    kind = "engine_down"


class Deadline(EngineError):
    """An operation outlived its deadline."""

    kind = "deadline"


KINDS: dict[str, type[MinipaasError]] = {
    cls.kind: cls
    for cls in (
        MinipaasError,
        Invalid,
        Refused,
        Conflict,
        Forbidden,
        Missing,
        Unreachable,
        NoSpace,
        EngineError,
        EngineDown,
        Deadline,
    )
}
