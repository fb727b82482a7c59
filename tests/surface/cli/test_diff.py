"""`minipaas diff`."""

from __future__ import annotations

import json

from minipaas.model.difference import Difference, ImageDiff, PackageDiff, SettingDiff
from minipaas.surface import wire
from minipaas.surface.wire_history import ReleaseDiff


def found(views, **given):
    plain = {
        "app": "shop",
        "base": views.release("1.4.1", sequence=2),
        "release": views.release(),
        "sentence": "web: another image",
        "images": (
            ImageDiff(
                service="web",
                difference=Difference.CHANGED,
                before="sha256:" + "1" * 64,
                after="sha256:" + "2" * 64,
                size_before=1,
                size_after=3 * 2**20,
                new_layers=1,
                new_bytes=2**20,
            ),
        ),
        "settings": (
            SettingDiff(key="services.web.replicas", difference="changed", before="1", after="2", hidden=False),
            SettingDiff(key="services.web.env.KEY", difference="added", before=None, after=None, hidden=True),
        ),
        "packages": (
            PackageDiff(
                name="curl", ecosystem="deb", difference="removed", before="8", after=None, services=("web", "db")
            ),
        ),
        "unknown": "the files of shop 1.4.1 are no longer on this box",
        "left_out": 7,
    }
    return ReleaseDiff(**plain | given)


def test_the_newest_against_what_serves(box, views, minipaas):
    newest = views.release()
    box.answers["GET /api/v1/apps/shop/releases"] = (200, wire.Releases(releases=(newest,)))
    box.answers[f"GET /api/v1/apps/shop/releases/{newest.digest[7:]}/diff"] = (200, found(views))
    done = minipaas("diff", "shop")
    assert (done.code, done.err) == (0, "")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    for line in (
        "shop 1.4.1 → 1.4.2: web: another image",
        "~ web 111111111111 222222222222 3.0 MiB 1 layer, 1.0 MiB",
        "~ services.web.replicas 1 2",
        "+ services.web.env.KEY hidden hidden",
        "- curl deb 8 - web, db",
        "and 7 more packages",
        "not all can be compared: the files of shop 1.4.1 are no longer on this box",
    ):
        assert line in lines, done.out


def test_two_named_ones(box, views, minipaas):
    box.answers["GET /api/v1/apps/shop/releases/1.4.2/diff"] = (200, found(views))
    assert json.loads(minipaas("diff", "shop", "1.4.1", "1.4.2", "--json").out)["left_out"] == 7
    assert box.seen[0].query == {"from": "1.4.1"}
