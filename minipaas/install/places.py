"""Where on this host everything of minipaas goes: for all users, for one user, or below a prefix.

`root` is the host's root directory, another one for an image that is being made (DESTDIR): files are written below it,
and what is written into them names the places as they will be.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from minipaas.install.layout import PROGRAM, Layout

SYSTEM_CONFIG = Path("/etc/minipaas/config.toml")
SYSTEM_DATA = Path("/var/lib/minipaas")


class Places(Struct, frozen=True, kw_only=True):
    """All paths are as the installed program will see them; `at` gives where they are now."""

    home: Path
    link: Path
    """The name that people type."""
    config: Path
    data: Path
    share: Path
    """For manual page and completions (hier(7))."""
    units: Path
    """systemd's units."""
    init: Path = Path("/etc/init.d")
    user: bool = False
    root: Path = Path("/")

    @classmethod
    def system(cls, root: Path = Path("/")) -> Places:
        """For everybody on the host."""
        return cls(
            home=Path("/opt/minipaas"),
            link=Path("/usr/local/bin", PROGRAM),
            config=SYSTEM_CONFIG,
            data=SYSTEM_DATA,
            share=Path("/usr/local/share"),
            units=Path("/etc/systemd/system"),
            root=root,
        )

    @classmethod
    def below(cls, prefix: Path, root: Path = Path("/")) -> Places:
        """For everybody, everything but the service's files below one directory."""
        return cls(
            home=prefix / "opt/minipaas",
            link=prefix / "bin" / PROGRAM,
            config=prefix / "etc/minipaas/config.toml",
            data=prefix / "var/lib/minipaas",
            share=prefix / "share",
            units=Path("/etc/systemd/system"),
            root=root,
        )

    @classmethod
    def of_user(cls, home: Path, environ: Mapping[str, str] = os.environ) -> Places:
        """For one user, by the XDG base directory specification."""

        def base(name: str, usual: str) -> Path:
            named = environ.get(name, "")
            return Path(named) if named.startswith("/") else home / usual

        config, share = base("XDG_CONFIG_HOME", ".config"), base("XDG_DATA_HOME", ".local/share")
        return cls(
            home=home / ".local/opt/minipaas",
            link=home / ".local/bin" / PROGRAM,
            config=config / "minipaas/config.toml",
            data=share / "minipaas",
            share=share,
            units=config / "systemd/user",
            user=True,
        )

    @classmethod
    def around(cls, home: Path) -> Places | None:
        """The places whose HOME this is; None where it is none that an install makes."""
        if home == Path("/opt/minipaas"):
            return cls.system()
        user = Path.home()
        if home == user / ".local/opt/minipaas":
            return cls.of_user(user)
        return cls.below(home.parents[1]) if home.parts[-2:] == ("opt", "minipaas") else None

    def at(self, path: Path) -> Path:
        """Where a place is now."""
        return self.root / path.relative_to("/")

    @property
    def layout(self) -> Layout:
        """The versions."""
        return Layout(self.at(self.home))

    @property
    def program(self) -> Path:
        """What a service starts."""
        return self.home / "current" / PROGRAM

    @property
    def completions(self) -> dict[str, Path]:
        """Shell -> where it looks for a completion of ours. Bash and fish look below each of XDG_DATA_DIRS."""
        return {
            "bash": self.share / "bash-completion/completions/minipaas",
            "zsh": self.share / "zsh/site-functions/_minipaas",
            "fish": self.share / "fish/vendor_completions.d/minipaas.fish",
        }

    @property
    def manual(self) -> Path:
        """The manual page."""
        return self.share / "man/man1/minipaas.1"
