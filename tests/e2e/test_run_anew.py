"""The serving release run anew on a real Podman: scaled, restarted, looked at before; no request is lost."""

from __future__ import annotations

from kit.box import Box, wait_for
from kit.podman import PrivatePodman

from tests.e2e.hello import HOST, HelloBundles
from tests.e2e.load import Load

BY_HAND = "2 of 2 healthy (by hand; the release says 1)"


def test_scaling_and_restarting_lose_no_request(box: Box, hello: HelloBundles, podman: PrivatePodman) -> None:
    looked = box.cli("deploy", hello(web={"replicas": 1}), "--dry-run").out
    assert "signed by 1 of 1 release keys, 1 needed" in looked
    assert "switch to 1.0.0" in looked
    assert not podman.containers("hello")
    box.cli("deploy", hello(web={"replicas": 1}))
    with Load(box, HOST) as load:
        for wanted in (4, 1):
            assert f"hello/web runs {wanted} times" in box.cli("scale", "hello/web", str(wanted)).out
            wait_for(f"{wanted} run", lambda wanted=wanted: len(podman.containers("hello")) == wanted)
        assert "by hand" not in box.cli("status", "hello").out
        before = set(podman.containers("hello"))
        assert "1. start web #1" in box.cli("restart", "hello", "--dry-run").out
        assert set(podman.containers("hello")) == before
        assert "hello/web was restarted" in box.cli("restart", "hello/web").out
        wait_for("the old one is gone", lambda: not before & set(podman.containers("hello")))
    assert load.failures == []
    assert load.count > 50
    box.cli("scale", "hello/web", "2")
    wait_for("status says so", lambda: BY_HAND in box.cli("status", "hello").out)
    box.cli("deploy", hello("2.0.0", sequence=2, web={"replicas": 1}))
    wait_for("status says so", lambda: BY_HAND in box.cli("status", "hello").out)
    assert "web: another image (2 new layers, " in box.cli("diff", "hello").out
    kinds = [change["kind"] for change in box.cli("changes", "hello", "--json").json["changes"]]
    assert kinds == ["deploy", "scale", "restart", "scale", "scale", "deploy"]
