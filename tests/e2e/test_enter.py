"""Going into instances on real Podman, with the real command line: over the socket, and from elsewhere with a token."""

from __future__ import annotations

import contextlib
import http.client
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path

import pytest
from kit.box import Author, Box, Done, Program, fetch, wait_for
from kit.podman import PrivatePodman

from tests.e2e.hello import HelloBundles

PATIENCE = 60.0


@pytest.fixture(scope="module")
def entered(program: Program, author: Author, hello: HelloBundles, podman: PrivatePodman) -> Iterator[Box]:
    """A box on which hello runs."""
    box = Box(podman.directory / "enter", program, config='[access]\nrole = "deploy"\n')
    with box:
        box.cli("trust", "add", author.root)
        box.cli("deploy", hello(web={"replicas": 1}))
        yield box
    podman.run("rm", "--all", "--force", "--time", "0", check=False)


def run(box: Box, *args: str, stdin: bytes = b"", **env: str) -> Done:
    """A command with this standard input."""
    ran = subprocess.run(
        [*box.program.command, *args],
        env=box.program.environment(MINIPAAS_HOST=box.url) | env,
        input=stdin,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return Done(args, ran.returncode, ran.stdout.decode(), ran.stderr.decode())


def test_a_command_has_its_own_streams_and_exit_code(entered: Box) -> None:
    done = run(entered, "exec", "hello", "--", "sh", "-c", "cat; echo oops >&2; exit 7", stdin=b"given\n")
    assert (done.code, done.out, done.err) == (7, "given\n", "oops\n")

    missing = run(entered, "exec", "hello", "--", "no-such-command")
    assert missing.code == 127
    assert "cannot run no-such-command" in missing.err

    assert run(entered, "exec", "nobody", "--", "true").code == 125
    assert run(entered, "exec", "hello").code == 2

    much = run(entered, "exec", "hello/web/1", "--", "sh", "-c", "cat | busybox wc -c", stdin=b"x" * 3_000_000)
    assert (much.code, much.out) == (0, "3000000\n")


def test_from_elsewhere_it_needs_a_token_for_it(entered: Box) -> None:
    url = f"http://127.0.0.1:{entered.page}"
    for role, code in (("deploy", 0), ("read", 125)):
        secret = entered.cli("token", "new", role, "--role", role, "--json").json["secret"]
        done = run(entered, "exec", "hello", "--to", url, "--", "echo", "hi", MINIPAAS_TOKEN=secret)
        assert done.code == code, done
    stranger = run(entered, "exec", "hello", "--to", url, "--", "echo", "hi")
    assert stranger.code == 125
    assert "without a token" in stranger.err


class Terminal:
    """A person at a terminal: what is typed goes in, what is shown can be waited for."""

    def __init__(self, box: Box, *args: str, columns: int = 80, rows: int = 24) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(  # noqa: S606
                box.program.command[0],
                [*box.program.command, *args],
                box.program.environment(MINIPAAS_HOST=box.url, TERM="xterm"),
            )
        self.shown = ""
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def wait(self, pattern: str) -> re.Match[str]:
        """Until this is shown; what was shown up to there is forgotten."""
        until = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.shown)):
            assert time.monotonic() < until, f"{pattern!r} never came: {self.shown!r}"
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.shown += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    raise AssertionError(f"{pattern!r} never came: {self.shown!r}") from None
        self.shown = self.shown[found.end() :]
        return found

    def end(self) -> int:
        """The exit code of the command."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                if select.select([self.fd], [], [], 0.1)[0]:
                    self.shown += os.read(self.fd, 65536).decode(errors="replace")
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        raise AssertionError(f"it does not end: {self.shown!r}")


def test_a_shell_is_a_real_terminal(entered: Box) -> None:
    person = Terminal(entered, "shell", "hello", "--reason", "just looking", columns=100, rows=30)
    person.wait("recorded")
    person.wait("[#$] ")
    person.type("stty size\n")
    person.wait("\n30 100")
    person.resize(71, 19)
    person.type("sleep 0.2; stty size\n")
    person.wait("\n19 71")
    person.type("printf '\\033[31mred\\033[0m%s\\n' -; tty\n")
    person.wait("\x1b\\[31mred\x1b\\[0m-")
    person.wait("/dev/pts/")
    person.type("sleep 600; echo over\n")
    time.sleep(0.5)
    person.type("\x03")
    person.wait("[#$] ")

    leases = entered.cli("access", "list", "--json").json["leases"]
    assert [(one["kind"], one["reason"], one["ended"]) for one in leases[:1]] == [("shell", "just looking", None)]
    person.type("exit 5\n")
    assert person.end() == 5
    assert "\nover" not in person.shown
    ended = entered.cli("access", "list", "--json").json["leases"][0]
    assert (ended["id"], ended["ending"], ended["result"]) == (leases[0]["id"], "done", "exit code 5")
    played = entered.cli("access", "play", ended["id"]).out
    assert "\x1b[31mred" in played
    audit = [row["action"] for row in entered.cli("audit", "--app", "hello", "--json").json["rows"]]
    assert audit[:2] == ["access.shell.end", "access.shell"]


def test_an_access_that_is_ended_ends_what_it_has_begun(entered: Box) -> None:
    person = Terminal(
        entered, "exec", "hello", "-t", "--for", "20m", "--", "sh", "-c", "trap '' HUP; echo in; sleep 4711"
    )
    person.wait(r"(?m)^in\r")
    (lease,) = [one for one in entered.cli("access", "list", "--json").json["leases"] if one["ended"] is None]
    entered.cli("access", "end", lease["id"])
    assert person.end() == 125
    assert "ended by" in person.shown
    assert "4711" not in entered.cli("exec", "hello", "--", "busybox", "ps").out

    late = run(entered, "exec", "hello", "--for", "1s", "--", "sleep", "4712")
    assert late.code == 125
    assert "its time was up" in late.err
    assert "4712" not in entered.cli("exec", "hello", "--", "busybox", "ps").out


def test_files_go_in_and_come_out(entered: Box, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(os.urandom(1024**2) * 50)
    entered.cli("cp", big, "hello/web:/tmp/")
    size = entered.cli("exec", "hello", "--", "busybox", "stat", "-c", "%s", "/tmp/big")
    assert size.out == f"{50 * 1024**2}\n"
    entered.cli("cp", "hello:/tmp/big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == big.read_bytes()

    entered.cli("cp", "hello:/www", tmp_path)
    assert "Hello from" in (tmp_path / "www/index.html").read_text()
    (tmp_path / "www/new").write_text("new")
    entered.cli("cp", tmp_path / "www", "hello:/tmp/site")
    assert entered.cli("exec", "hello", "--", "cat", "/tmp/site/new").out == "new"

    refused = entered.cli("cp", big, "hello:/", check=False)
    assert refused.code == 1
    assert "read-only file system" in refused.err
    assert entered.cli("cp", "hello:/nothing", tmp_path, check=False).code == 4


def test_an_image_without_a_shell_is_entered_with_tools_beside_it(
    entered: Box, author: Author, podman: PrivatePodman, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy2(shutil.which("busybox") or "", bare / "server")
    (bare / "marker").write_text("found me")
    (bare / "Containerfile").write_text(
        "FROM scratch\nCOPY server /busybox\nCOPY marker /marker\nUSER 999\n"
        'CMD ["/busybox", "httpd", "-f", "-p", "8099", "-h", "/"]\n'
    )
    (bare / "app.toml").write_text(
        '[app]\nname = "bare"\nversion = "1.0.0"\n[rollout]\nconfirm = "100ms"\n[services.web]\nbuild = "."\n'
    )
    entered.cli("deploy", author.build(bare, "bare"))
    assert run(entered, "exec", "bare", "--", "sh").code == 127

    person = Terminal(entered, "shell", "bare")
    person.wait("tools beside the instance")
    person.wait("[#$] ")
    person.type("ps\n")
    person.wait("busybox httpd")
    person.type("cat /instance/marker; wget -qO- http://127.0.0.1:8099/marker; echo; hostname\n")
    person.wait("found me.*found me")
    person.type("exit\n")
    assert person.end() == 0
    assert "debug" not in podman.run("ps", "-a", "--format", "{{.Names}}")

    visitor = Terminal(entered, "exec", "bare", "-t", "--toolbox", "--", "sh", "-c", "echo in; sleep 600")
    visitor.wait(r"(?m)^in\r")
    podman.run("kill", next(iter(podman.containers("bare"))))
    assert visitor.end() in (125, 137)
    assert "the instance ended" in visitor.shown


def test_a_port_that_nobody_published_is_reached_from_here(entered: Box) -> None:
    hidden = Terminal(
        entered, "exec", "hello", "-t", "--", "sh", "-c", "echo in; busybox httpd -f -p 127.0.0.1:8098 -h /www"
    )
    hidden.wait(r"(?m)^in\r")
    person = Terminal(entered, "forward", "hello", "0:8098", "0:8097")
    port = int(person.wait(r"127\.0\.0\.1:(\d+) → hello-web-1-1:8098")[1])
    dead = int(person.wait(r"127\.0\.0\.1:(\d+) → hello-web-1-1:8097")[1])

    def there() -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return "Hello from" in fetch(port, "/index.html").text
        return False

    wait_for("it is there", there)
    for _ in range(3):
        assert "Hello from" in fetch(port, "/index.html").text
    with pytest.raises((OSError, http.client.HTTPException)):
        fetch(dead, "/")
    person.wait("cannot connect to port 8097 there")
    person.type("\x03")
    assert person.end() == 130
    hidden.type("\x03")
    hidden.end()
    with pytest.raises(OSError):
        fetch(port, "/")
