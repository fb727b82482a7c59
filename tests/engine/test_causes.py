"""Podman's words, explained."""

from __future__ import annotations

import pytest

from minipaas.engine.causes import explain, podman_text
from minipaas.engine.limits import MAX_ERROR_TEXT

KNOWN = [
    ("runc: runc create failed: setrlimit RLIMIT_NOFILE: Operation not permitted", "engine.rlimit", "default_ulimits"),
    ("crun: cgroups in hybrid mode not supported, drop all controllers from cgroupv1", "engine.cgroups", "runc"),
    (
        "cannot listen on the TCP port: listen tcp4 127.0.0.1:44919: bind: address already in use",
        "engine.port_taken",
        "ss",
    ),
    ("writing blob: storing blob: write /var/tmp/x: no space left on device", "engine.no_space", "disk is full"),
    ('could not find "netavark" in one of [/usr/libexec/podman]', "engine.network", "netavark"),
    ("netavark: unable to append rule: iptables: No such file or directory", "engine.network", "iptables"),
    ("subnet 10.89.0.0/24 is already used on the host or by another config", "engine.subnet", "default_subnet_pools"),
    ("the requested cgroup controller `cpu` is not available", "engine.cgroups", "Delegate"),
    ("image used by eae26c40b2bb: image is in use by a container", "engine.in_use", ""),
    ("something new", "engine.failed", ""),
]


@pytest.mark.parametrize(("text", "code", "hint"), KNOWN, ids=[case[1] + case[2] for case in KNOWN])
def test_known_causes_bring_their_mend(text: str, code: str, hint: str) -> None:
    error = explain("start web", text, 500)
    assert error.message == f"cannot start web: {text}"
    assert error.code == code
    assert hint in error.hint


def test_the_sentence_in_an_answer() -> None:
    body = b'{"cause":"no such container","message":"no container with ID \\"x\\" found:\\n no such container"}'
    assert podman_text(body) == 'no container with ID "x" found: no such container'
    assert podman_text(b"<html>") == "<html>"
    assert podman_text(b'{"cause":"why","message":""}') == "why"
    assert len(podman_text(b"x" * 10_000)) <= MAX_ERROR_TEXT
    assert "HTTP 502" in explain("start web", podman_text(b""), 502).message
    assert explain("start web", "no such container", 404).code == "engine.missing"
    raced = "container 4db8f4a2c4e2 does not exist in database: no such container"
    assert explain("inspect web", raced, 500).code == "engine.missing"
