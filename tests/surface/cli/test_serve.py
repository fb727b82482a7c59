"""serve: reads the configuration, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from minipaas.model.config import Config
from minipaas.surface.cli.main import run


def start(*args: str) -> tuple[int, list[tuple[Config, Path]]]:
    started: list[tuple[Config, Path]] = []

    def serve(config: Config, data: Path) -> int:
        started.append((config, data))
        return 7

    return run(["serve", *args], serve=serve), started


def test_a_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("c.toml").write_text('[api]\nlisten = ["127.0.0.1:0"]\n[limits]\nreserve = "1GiB"\n')
    code, started = start("--config", "c.toml", "--data", "d")
    assert code == 7
    ((config, data),) = started
    assert (config.api.listen, config.limits.reserve, data) == (("127.0.0.1:0",), 1024**3, tmp_path / "d")


def test_the_data_directory_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIPAAS_DATA", str(tmp_path / "x"))
    (tmp_path / "c.toml").write_bytes(b"")
    assert start("--config", str(tmp_path / "c.toml"))[1] == [(Config(), tmp_path / "x")]


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (None, 4, "there is no such file"),
        ("[api]\nlisen = []", 2, "api.lisen: unknown key\n→ did you mean listen?"),
        ("[api]\nlisten = ['x']", 2, "'x' is not ADDRESS:PORT"),
        ("[api", 2, "cannot read"),
        ("[limits]\nkeep_releases = 1", 2, "at least 2"),
        ("[ingress]\nhttps = ['443']", 2, "'443' is not ADDRESS:PORT"),
        ("[ingress]\ntrusted_proxies = ['10.0.0.0/33']", 2, "'10.0.0.0/33' is not an address or a network; write"),
        ("[ingress]\ntrusted_proxies = ['lan']", 2, "'lan' is not an address or a network; write"),
        (
            "[ingress]\ntrusted_proxies = ['10.1.2.3/8']",
            2,
            "'10.1.2.3/8' has bits behind its prefix; write '10.0.0.0/8'",
        ),
        ("[ingress]\ntrusted_proxies = ['::/0']", 2, "'::/0' would believe everybody"),
        ("[ingress]\naccess_log_sample = 50", 2, "ingress.access_log_sample must be from 0 to 1"),
        ("[ingress]\naccess_log_size = '1KiB'", 2, "ingress.access_log_size must be 64KiB or more"),
        ("[tls]\nredirekt = true", 2, "tls.redirekt: unknown key\n→ did you mean redirect?"),
        ("[tls]\nhsts = 'soon'", 2, "'soon' is not a duration"),
        ("[tls]\nplain = ['a.b/c']", 2, "tls.plain: 'a.b/c' is not a host"),
        ("[tls.acme]", 2, "tls.acme.agree must be true: read the terms"),
        (
            "[tls.acme]\nagree = true\ndirectory = 'http://a'",
            2,
            "tls.acme.directory: 'http://a' is not an https:// addr",
        ),
        ("[tls.acme]\nagree = true\ncontact = 'me'", 2, "tls.acme.contact: 'me' is not an e-mail address"),
        ("[tls.acme]\nagree = true\nhosts = ['*.a.b']", 2, "tls.acme.hosts: '*.a.b': wildcards cannot be proven"),
        ("[tls.acme]\nagree = true\nhosts = ['10.0.0.1']", 2, "tls.acme.hosts: '10.0.0.1' is not a host name"),
        ("[tls.acme]\nagree = true\nhots = []", 2, "tls.acme.hots: unknown key"),
        ("[tls]\nnames = ['a b']", 2, "'a b' is not a host name"),
        (
            "[[tls.certificate]]\ncert = 'a.pem'\nkay = 'b'",
            2,
            "tls.certificate.0.kay: unknown key\n→ did you mean key?",
        ),
        ("[[tls.certificate]]\nkey = 'b'", 2, "tls.certificate.0: Object missing required field `cert`"),
        ("[api]\nkey = 'b'", 2, "api.key without api.cert"),
    ],
)
def test_a_bad_configuration_starts_nothing(tmp_path, capsys, content, code, says):
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_text(content)
    assert start("--config", str(path), "--data", str(tmp_path)) == (code, [])
    assert says in capsys.readouterr().err
