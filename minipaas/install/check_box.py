"""Checks of the box itself: configuration, service, and what it says when it is asked."""

from __future__ import annotations

import os
import time
from pathlib import Path

from minipaas.install.facts import Facts
from minipaas.install.findings import Finding, bad, ok, warn
from minipaas.install.installation import service_of
from minipaas.install.service import Init, Manager
from minipaas.model.units import counted

OLD_COPY = 3 * 86400.0
"""Seconds; the copy is made daily."""


def configuration(facts: Facts) -> Finding | None:
    """config.toml can be read."""
    if facts.config_error:
        return bad("config.toml", facts.config_error, f"mend {facts.places.config}")
    return None


def program(facts: Facts) -> Finding:
    """An installed version, in the path of who types."""
    layout = facts.places.layout
    current = layout.current()
    if current is None:
        return warn("program", "not installed: it runs from where it was copied to", _install(facts))
    link = facts.places.link
    on_path = os.environ.get("PATH", "").split(":")
    if str(link.parent) not in on_path:
        return warn(
            "program", f"{current.version}, and {link.parent} is not in PATH", f'export PATH="{link.parent}:$PATH"'
        )
    if not link.exists():
        return warn("program", f"{current.version}, without {link}", _install(facts))
    return ok("program", f"{current.version} in {current.path}")


def box(facts: Facts) -> Finding | None:
    """It runs, answers, and has no trouble."""
    if facts.box is None:
        if facts.receipt is None and not (facts.data / "registry.db").exists():
            return None
        return bad("box", facts.box_error or "it does not answer", _start(facts))
    if facts.box.trouble:
        return bad("box", facts.box.trouble, "minipaas status")
    healthy = f"{facts.box.healthy} of {counted(facts.box.instances, 'instance')} healthy"
    says = f"{facts.box.version}: {counted(facts.box.apps, 'app')}, {healthy}"
    current = facts.places.layout.current()
    if current is not None and facts.box.version not in ("unknown", current.version):
        return warn("box", f"{facts.box.version} runs, and {current.version} is installed", _restart(facts))
    return ok("box", says)


def upgrade(facts: Facts) -> Finding | None:
    """The last one stayed. Who began it may have left before it was gone back from."""
    if facts.box is None or not facts.box.returned:
        return None
    return warn(
        "upgrade",
        facts.box.returned,
        "minipaas upgrade --status; a newer bundle that holds ends this, or minipaas upgrade --seen",
    )


def trust(facts: Facts) -> Finding | None:
    """It believes somebody."""
    if facts.box is None:
        return None
    if facts.box.root_version is None:
        return warn("trust", "it believes nobody yet, and takes no bundle", "minipaas trust add root.json")
    return ok("trust", f"root version {facts.box.root_version}")


def certificates(facts: Facts) -> Finding | None:
    """What it shows over TLS is good, and will be for a while."""
    if facts.box is None or facts.box.certificates is None:
        return None
    if facts.box.certificate_troubles:
        return warn("certificates", "; ".join(facts.box.certificate_troubles), "mend it, then: minipaas certs reload")
    return ok("certificates", f"{facts.box.certificates}, all good")


def shipping(facts: Facts) -> Finding | None:
    """Logs arrive where they are sent, and none made way before."""
    if facts.box is None or not facts.box.shipping:
        return None
    if facts.box.shipping_troubles:
        return warn("shipping", "; ".join(facts.box.shipping_troubles), "minipaas shipping")
    return ok("shipping", f"logs go to {facts.box.shipping} destination{'' if facts.box.shipping == 1 else 's'}")


def service_files(facts: Facts) -> Finding | None:
    """The service is as this version would write it."""
    receipt = facts.receipt
    if receipt is None or receipt.init is Init.NONE:
        return None
    manager = Manager(receipt.init, facts.places, service_of(receipt, facts.places, facts.config))
    wrong = [path for path, (text, _) in manager.content().items() if _text(facts.places.at(path)) != text]
    if wrong:
        return warn("service", f"{wrong[0]} is not as this version or config.toml has it", _install(facts))
    return ok("service", f"{receipt.init.value}, as written")


def registry_copy(facts: Facts) -> Finding | None:
    """There is a fresh copy for the day on which the registry is damaged."""
    if facts.box is None or not facts.data.is_dir() or not os.access(facts.data, os.X_OK):
        return None
    try:
        age = time.time() - facts.registry_copy.stat().st_mtime
    except FileNotFoundError:
        return None
    if age > OLD_COPY:
        says = f"{facts.registry_copy.name} is {counted(round(age / 86400), 'day')} old"
        return warn("registry copy", says, f"a full disk is the usual cause: df -h {facts.data}")
    return ok("registry copy", f"{max(0.0, age) / 3600:.0f} h old")


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def _install(facts: Facts) -> str:
    return "minipaas install --user" if facts.places.user else "minipaas install"


def _start(facts: Facts) -> str:
    match facts.receipt.init if facts.receipt is not None else Init.NONE:
        case Init.SYSTEMD:
            user = "--user " if facts.places.user else ""
            return f"systemctl {user}start minipaas; why it ended: journalctl {user}-u minipaas -n 50"
        case Init.OPENRC | Init.SYSV:
            return f"{facts.places.init}/minipaas start"
        case Init.NONE:
            return "minipaas serve"


def _restart(facts: Facts) -> str:
    match facts.receipt.init if facts.receipt is not None else Init.NONE:
        case Init.SYSTEMD:
            return f"systemctl {'--user ' if facts.places.user else ''}restart minipaas"
        case Init.OPENRC | Init.SYSV:
            return f"{facts.places.init}/minipaas restart"
        case Init.NONE:
            return "stop minipaas serve and start it again; apps keep running"


CHECKS = (configuration, program, service_files, box, upgrade, trust, certificates, shipping, registry_copy)
