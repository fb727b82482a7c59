"""What changed between two releases, from what is known of both."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from minipaas.model.difference import Contents, Difference, Layer, Package
from minipaas.plan.difference import command, compare
from tests.plan.world import release, sha

TOML = """[app]
name = "shop"
version = "1.0"
[services.web]
image = "x"
port = 80
replicas = 2
routes = ["shop.local"]
env = { LEVEL = "info", PASSWORD = "hunter2" }
health = { http = "/", interval = "2s" }
"""
WORKER = '[services.worker]\nimage = "x"\ncommand = ["work", "--fast"]\n'
BASE, TOP, NEW = Layer(sha("base"), 1000), Layer(sha("top"), 10), Layer(sha("new"), 2048)


def contents(toml: str = TOML, image: str = "a", layers: tuple[Layer, ...] = (BASE, TOP), **known: object) -> Contents:
    made = release(toml, images={"web": image, "worker": "w"})
    plain: dict[str, object] = {
        "layers": {name: layers if name == "web" else (BASE,) for name in made.images},
        "packages": (),
    }
    return Contents(release=made, **{**plain, **known})  # type: ignore[arg-type]


def test_of_what_is_the_same_nothing_is_said() -> None:
    found = compare(contents(), contents(TOML.replace("1.0", "2.0")))
    assert (found.images, found.settings, found.packages, found.unknown) == ((), (), (), "")
    assert found.sentence == "nothing but the version"


def test_another_image_says_which_layers_are_new() -> None:
    found = compare(contents(), contents(image="b", layers=(BASE, NEW)))
    [image] = found.images
    assert (image.service, image.difference, image.new_layers, image.new_bytes) == ("web", Difference.CHANGED, 1, 2048)
    assert (image.before, image.after) == (sha("a"), sha("b"))
    assert found.sentence == "web: another image (1 new layer, 2.0 KiB)"


def test_a_layer_that_another_service_had_is_not_new() -> None:
    base = contents(TOML + WORKER)
    moved = contents(TOML + WORKER, image="b", layers=(BASE,))
    assert compare(base, moved).images[0].new_layers == 0


def test_settings_by_key_and_never_a_value_of_the_environment() -> None:
    text = TOML.replace("replicas = 2", 'replicas = 3\nmemory = "64MiB"').replace('http = "/"', 'http = "/up"')
    text = text.replace('LEVEL = "info", PASSWORD = "hunter2"', 'PASSWORD = "hunter3", EXTRA = "1"')
    found = compare(contents(), contents(text))
    told = [(one.key, one.difference.value, one.before, one.after, one.hidden) for one in found.settings]
    assert told == [
        ("services.web.env.EXTRA", "added", None, None, True),
        ("services.web.env.LEVEL", "removed", None, None, True),
        ("services.web.env.PASSWORD", "changed", None, None, True),
        ("services.web.health.http", "changed", '"/"', '"/up"', False),
        ("services.web.memory", "added", None, '"64.0 MiB"', False),
        ("services.web.replicas", "changed", "2", "3", False),
    ]
    assert "hunter" not in repr(found)
    assert found.sentence == "6 keys of app.toml"


def test_a_service_that_came_or_went_is_one_line() -> None:
    came, went = compare(contents(), contents(TOML + WORKER)), compare(contents(TOML + WORKER), contents())
    assert [(one.key, one.difference, one.after) for one in came.settings] == [
        ("services.worker", Difference.ADDED, None)
    ]
    assert [(one.service, one.difference, one.new_layers) for one in came.images] == [("worker", Difference.ADDED, 0)]
    assert [one.difference for one in went.settings] == [Difference.REMOVED]
    assert [(one.difference, one.new_layers, one.after) for one in went.images] == [(Difference.REMOVED, None, None)]
    assert went.sentence == "worker removed; 1 key of app.toml"


def test_packages_by_version_in_all_services() -> None:
    before = (
        Package("deb", "bash", "5.1", "web"),
        Package("deb", "curl", "8.0", "web"),
        Package("deb", "curl", "8.0", "worker"),
        Package("pypi", "flask", "2.0", "web"),
        Package("os", "debian", "12", "web"),
    )
    after = (
        Package("deb", "bash", "5.1", "worker"),
        Package("deb", "curl", "8.0", "worker"),
        Package("deb", "curl", "8.1", "web"),
        Package("pypi", "quart", "1.0", "web"),
        Package("os", "debian", "13", "web"),
    )
    found = compare(contents(packages=before), contents(packages=after))
    assert [(one.ecosystem, one.name, one.before, one.after, one.services) for one in found.packages] == [
        ("deb", "curl", "8.0", "8.0, 8.1", ("web", "worker")),
        ("os", "debian", "12", "13", ("web",)),
        ("pypi", "flask", "2.0", None, ("web",)),
        ("pypi", "quart", None, "1.0", ("web",)),
    ]
    assert found.sentence == "packages: 1 added, 1 removed, 2 changed"
    assert len(compare(contents(packages=before), contents(packages=())).packages) == 4


def test_what_is_not_known_is_said_and_not_guessed() -> None:
    gone = replace(contents(), layers=None, packages=None, unknown="the files of shop 1.0 are no longer on this box")
    found = compare(gone, contents(image="b", packages=(Package("deb", "bash", "5.1", "web"),)))
    assert found.unknown == "the files of shop 1.0 are no longer on this box"
    assert found.packages == ()
    assert found.images[0].new_layers is None
    assert found.sentence == "web: another image"


@pytest.mark.parametrize(
    ("key", "is_one"),
    [
        ("services.web.command", True),
        ("services.web.hooks.release", True),
        ("services.web.health.command", True),
        ("services.web.health.http", False),
        ("services.command.replicas", False),
    ],
)
def test_which_keys_say_what_is_run(key: str, is_one: bool) -> None:
    assert command(key) is is_one
