"""Debian's rsyslog on loopback, with TLS or without, that writes what it gets into a file."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

from kit.box import free_port

_TLS = """
global(
    defaultNetstreamDriver="gtls"
    defaultNetstreamDriverCAFile="{ca}"
    defaultNetstreamDriverCertFile="{cert}"
    defaultNetstreamDriverKeyFile="{key}"
)
"""
_CONFIG = """
global(workDirectory="{directory}" maxMessageSize="16k" parser.escapeControlCharactersOnReceive="off")
{tls}
module(load="imtcp" {driver})
input(type="imtcp" port="{port}" address="127.0.0.1")
template(name="json" type="list" option.jsonf="on") {{
    property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
    property(outname="host" name="hostname" format="jsonf")
    property(outname="app" name="app-name" format="jsonf")
    property(outname="instance" name="procid" format="jsonf")
    property(outname="stream" name="msgid" format="jsonf")
    property(outname="fields" name="structured-data" format="jsonf")
    property(outname="severity" name="syslogseverity-text" format="jsonf")
    property(outname="message" name="msg" format="jsonf")
}}
action(type="omfile" file="{out}" template="json")
"""


class Rsyslog:
    """It goes away and comes back at the same port. `pair`: PEM files of its certificate and key, and of the CA."""

    def __init__(self, directory: Path, pair: tuple[Path, Path, Path] | None = None) -> None:
        self.out = directory / "messages"
        self.port = free_port()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True)
        tls = _TLS.format(cert=pair[0], key=pair[1], ca=pair[2]) if pair else ""
        driver = 'streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon"' if pair else ""
        text = _CONFIG.format(directory=directory, tls=tls, driver=driver, port=self.port, out=self.out)
        (directory / "rsyslog.conf").write_text(text)

    async def start(self) -> None:
        program = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin:/sbin")
        assert program is not None, "rsyslogd is not here: apt-get install rsyslog rsyslog-gnutls"
        config, pid = self._directory / "rsyslog.conf", self._directory / "pid"
        with (self._directory / "said").open("ab") as said:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a moment
                [program, "-n", "-f", str(config), "-i", str(pid)], stdout=said, stderr=said, stdin=subprocess.DEVNULL
            )
        async with asyncio.timeout(60):
            while True:
                assert self._process.poll() is None, (self._directory / "said").read_text()
                try:
                    socket.create_connection(("127.0.0.1", self.port), 1).close()
                    return
                except OSError:
                    await asyncio.sleep(0.02)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            await asyncio.to_thread(process.wait, 20)

    def hang(self) -> None:
        """It goes on existing and does nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def messages(self) -> list[dict[str, Any]]:
        """Whole ones, in the order in which they came."""
        text = self.out.read_text(errors="replace") if self.out.exists() else ""
        return [json.loads(row) for row in text.split("\n")[:-1]]

    def lines(self) -> list[str]:
        """The same, each once: what is sent again has the same id."""
        found: dict[str, str] = {}
        for one in self.messages():
            match = re.search(r' id="([^"]+)"(?: part="(\d+)/\d+")?', one["fields"])
            assert match, one
            found.setdefault(f"{match[1]} {match[2]}", one["message"].removeprefix(" "))
        return list(found.values())
