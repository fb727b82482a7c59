"""The app and the author of these tests: a root that wants both of two keys, and bundles to bend."""

from __future__ import annotations

import functools
import os
from typing import Any

from minipaas.bundle.keys import SigningKey
from tests.boxes import toml
from tests.bundle.builders import make_image, make_trust, tar_layer
from tests.bundle.forge import Forge

SERVES, NEXT = "2.0", "3.0"


@functools.cache
def author() -> tuple[tuple[SigningKey, ...], bytes]:
    """Both keys and the root, the same throughout a run."""
    return make_trust(keys=2, threshold=2)


@functools.cache
def stranger() -> tuple[tuple[SigningKey, ...], bytes]:
    """Somebody else, with as many keys."""
    return make_trust(keys=2, threshold=2)


def forge(app: str = "shop", version: str = NEXT, sequence: int = 300, **contents: Any) -> Forge:
    """A release that the box would take, until a test bends it."""
    keys, root = author()
    text = contents.pop("app_toml", None) or toml(app, version, routes=f'"{app}.local"')
    roots = contents.pop("roots", [root])
    keys = contents.pop("keys", keys)
    return Forge(keys, app=app, version=version, sequence=sequence, app_toml=text, roots=roots, **contents)


def fresh(**contents: Any) -> Forge:
    """A release whose layers the box has never seen."""
    layers = [tar_layer({name: os.urandom(5000)}) for name in ("one", "two")]
    return forge(images={"web": make_image(*layers)}, **contents)
