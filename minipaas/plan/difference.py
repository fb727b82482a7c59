"""What changed from one release to another: images, settings, packages. A pure function of what is known of both.

What always holds: values of environment variables never leave here, only their names and that they differ; of equal
parts nothing is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from minipaas.model.difference import Contents, Difference, ImageDiff, Layer, Package, PackageDiff, SettingDiff
from minipaas.model.release import Release
from minipaas.model.units import human_bytes

T = TypeVar("T")
_QUIET = frozenset({"app.version"})
"""Told elsewhere."""
_ENV = ".env."
_COMMANDS = (".command", ".entrypoint", ".hooks.release", ".health.command")


class Comparison(Struct, frozen=True, kw_only=True):
    """All differences, sorted by name."""

    images: tuple[ImageDiff, ...]
    settings: tuple[SettingDiff, ...]
    packages: tuple[PackageDiff, ...]
    unknown: str
    """Why packages or layers could not be compared; empty: they were."""

    @property
    def sentence(self) -> str:
        """All of it in a few words."""
        parts = [_image_words(image) for image in self.images]
        counts = {kind: sum(1 for one in self.packages if one.difference is kind) for kind in Difference}
        if self.packages:
            words = [f"{count} {kind.value}" for kind, count in counts.items() if count]
            parts.append(f"packages: {', '.join(words)}")
        if self.settings:
            parts.append(f"{len(self.settings)} key{'s' if len(self.settings) > 1 else ''} of app.toml")
        return "; ".join(parts) if parts else "nothing but the version"


def compare(base: Contents, new: Contents) -> Comparison:
    """What is different in `new`, seen from `base`."""
    return Comparison(
        images=tuple(_images(base, new)),
        settings=tuple(_settings(base.release, new.release)),
        packages=tuple(_packages(base.packages, new.packages))
        if base.packages is not None and new.packages is not None
        else (),
        unknown="; ".join(dict.fromkeys(why for why in (base.unknown, new.unknown) if why)),
    )


def _difference(before: object, after: object) -> Difference:
    if before is None:
        return Difference.ADDED
    return Difference.REMOVED if after is None else Difference.CHANGED


def _both(before: Mapping[str, T], after: Mapping[str, T]) -> list[tuple[str, T | None, T | None]]:
    """Every name with what it is in each, where that differs; sorted."""
    names = sorted({*before, *after})
    return [(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]


def _images(base: Contents, new: Contents) -> list[ImageDiff]:
    known = {layer for layers in (base.layers or {}).values() for layer in layers}
    found = []
    for service, before, after in _both(base.release.images, new.release.images):
        if before is not None and after is not None and before.config == after.config:
            continue  # the same image in another manifest
        fresh: set[Layer] | None = None
        if after is not None and base.layers is not None and new.layers is not None:
            fresh = set(new.layers[service]) - known
        found.append(
            ImageDiff(
                service=service,
                difference=_difference(before, after),
                before=before.config if before is not None else None,
                after=after.config if after is not None else None,
                size_before=before.size if before is not None else None,
                size_after=after.size if after is not None else None,
                new_layers=len(fresh) if fresh is not None else None,
                new_bytes=sum(layer.size for layer in fresh) if fresh is not None else None,
            )
        )
    return found


def _settings(base: Release, new: Release) -> list[SettingDiff]:
    # Sizes and durations as people write them.
    before, after = (msgspec.to_builtins(one.spec, enc_hook=str) for one in (base, new))
    services = {*before["services"], *after["services"]}
    alone = {name for name in services if name not in before["services"] or name not in after["services"]}
    for name in alone:  # one line says it; its keys would say the defaults
        for spec in (before, after):
            if name in spec["services"]:
                spec["services"][name] = True
    found = []
    for key, old, fresh in _both(_flat(before), _flat(after)):
        if key in _QUIET:
            continue
        said = key.split(".")
        whole = len(said) == 2 and said[0] == "services"
        hidden = _ENV in key
        shown = not (whole or hidden)
        found.append(
            SettingDiff(
                key=key,
                difference=_difference(old, fresh),
                before=old if shown else None,
                after=fresh if shown else None,
                hidden=hidden,
            )
        )
    return found


def command(key: str) -> bool:
    """Whether a key's value is what is run: its arguments are not for everybody."""
    return key.endswith(_COMMANDS)


def _flat(value: Any, path: str = "") -> dict[str, str]:
    """Dotted keys to JSON; what is null is not there."""
    if isinstance(value, dict):
        return {
            key: text
            for name, child in value.items()
            for key, text in _flat(child, f"{path}.{name}" if path else str(name)).items()
        }
    return {} if value is None else {path: msgspec.json.encode(value).decode()}


def _packages(base: tuple[Package, ...], new: tuple[Package, ...]) -> list[PackageDiff]:
    before, after = _by_name(base), _by_name(new)
    found = []
    for key in sorted({*before, *after}):
        old, fresh = before.get(key, {}), after.get(key, {})
        if old.keys() == fresh.keys():
            continue
        services = {service for versions in (old, fresh) for names in versions.values() for service in names}
        found.append(
            PackageDiff(
                name=key[1],
                ecosystem=key[0],
                difference=_difference(old or None, fresh or None),
                before=", ".join(sorted(old)) or None,
                after=", ".join(sorted(fresh)) or None,
                services=tuple(sorted(services)),
            )
        )
    return found


def _by_name(packages: tuple[Package, ...]) -> dict[tuple[str, str], dict[str, set[str]]]:
    """(ecosystem, name) -> version -> services."""
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    for one in packages:
        found.setdefault((one.ecosystem, one.name), {}).setdefault(one.version, set()).add(one.service)
    return found


def _image_words(image: ImageDiff) -> str:
    if image.difference is not Difference.CHANGED:
        return f"{image.service} {image.difference.value}"
    if image.new_layers is None or image.new_bytes is None:
        return f"{image.service}: another image"
    layers = f"{image.new_layers} new layer{'' if image.new_layers == 1 else 's'}"
    return f"{image.service}: another image ({layers}, {human_bytes(image.new_bytes)})"
