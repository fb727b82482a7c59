"""What Prometheus gets, read by its own client's parser."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from minipaas.model.certificate import Certificate, Source
from minipaas.model.metrics import Summary
from minipaas.model.stream import Stream
from minipaas.model.traffic import StreamCounters
from minipaas.telemetry.exposition import Facts, exposition
from minipaas.telemetry.meter import Totals
from tests.telemetry.made import counters, reading, route


@pytest.fixture
def facts() -> Facts:
    return Facts(
        version="1.2.3",
        podman="4.3.1",
        trouble=False,
        clock_synced=True,
        disk_free=10,
        changes={("deploy", "done"): 3},
        summary=Summary(at=0.0, step=60, host=None, apps=()),
        ingress=replace(
            counters(route("shop", {200: 7, 503: 2}, bucket=4), route("blog")),
            streams=(
                StreamCounters(
                    stream=Stream("udp", 514),
                    app="logs",
                    service="syslog",
                    active=3,
                    connections=5,
                    refused=1,
                    retries=0,
                    received=700,
                    sent=0,
                    dropped=2,
                ),
            ),
        ),
        slots={("shop", "web", 1): Totals(cpu=1.5, memory=100, ooms=2)},
        host=reading(1.0, busy=5.0),
        certificates=[
            certificate("shop.local", "*.shop.local", ends=9e9),
            *[certificate("a.b", ends=e) for e in (8e9, 7e9)],
        ],
    )


def certificate(*names: str, ends: float) -> Certificate:
    return Certificate(
        names=names,
        subject="",
        issuer="",
        source=Source.FILE,
        not_before=0.0,
        not_after=ends,
        serial="1",
        fingerprint=f"sha256:{ends}",
    )


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (one.name, frozenset(one.labels.items())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_every_family_has_a_sane_name_a_text_and_no_sample_twice(facts: Facts) -> None:
    text = exposition(facts)[0].decode()
    families = list(text_string_to_metric_families(text))
    assert len(families) > 30
    for family in families:
        assert re.fullmatch(r"minipaas_[a-z0-9_]+", family.name)
        assert family.documentation.endswith(".")
        seen = [(one.name, frozenset(one.labels.items())) for one in family.samples]
        assert len(seen) == len(set(seen)), family.name


def test_values(facts: Facts) -> None:
    found = samples(exposition(facts)[0].decode())
    shop = {("app", "shop"), ("service", "web"), ("route", "shop.local")}
    assert found["minipaas_ingress_requests_total", frozenset(shop | {("code", "503")})] == 2
    port = frozenset({("app", "logs"), ("service", "syslog"), ("protocol", "udp"), ("port", "514")})
    streams = {name: value for (name, labels), value in found.items() if labels == port}
    assert streams == {
        "minipaas_stream_active": 3,
        "minipaas_stream_connections_total": 5,
        "minipaas_stream_refused_total": 1,
        "minipaas_stream_retries_total": 0,
        "minipaas_stream_receive_bytes_total": 700,
        "minipaas_stream_transmit_bytes_total": 0,
        "minipaas_stream_dropped_total": 2,
    }
    slot = frozenset({("app", "shop"), ("service", "web"), ("slot", "1")})
    assert found["minipaas_instance_cpu_seconds_total", slot] == 1.5
    assert found["minipaas_instance_oom_kills_total", slot] == 2
    assert found["minipaas_host_cpu_seconds_total", frozenset({("mode", "busy")})] == 5.0
    ends = {
        dict(labels)["names"]: at for (name, labels), at in found.items() if name == "minipaas_certificate_end_seconds"
    }
    assert ends == {"shop.local,*.shop.local": 9e9, "a.b": 7e9}, "of two for the same names the one that ends first"


def test_the_histogram_is_cumulative(facts: Facts) -> None:
    found = samples(exposition(facts)[0].decode())
    steps = {
        float(dict(labels)["le"]): value
        for (name, labels), value in found.items()
        if name == "minipaas_ingress_request_duration_seconds_bucket" and ("app", "shop") in labels
    }
    ordered = [steps[bound] for bound in sorted(steps)]
    assert ordered == sorted(ordered)
    assert (steps[0.002], steps[0.004], steps[float("inf")]) == (0, 9, 9)


def test_open_metrics_for_who_accepts_it(facts: Facts) -> None:
    body, kind = exposition(facts, "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    assert "minipaas_ingress_requests" in {family.name for family in open_metrics(body.decode())}
