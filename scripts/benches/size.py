"""What the binary weighs, and what each part of it costs: bytes on disk, milliseconds of import, resident memory."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from kit.box import REPO, BoxError

from benches.rows import Row, note

LIMIT = 30.0
"""MB of the one file."""
PROBE = """
import importlib, resource, sys, time
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
before, began = resident(), time.perf_counter()
for name in sys.argv[1:]:
    importlib.import_module(name)
print(1000 * (time.perf_counter() - began), (resident() - before) / 1e6)
"""
WHOLE = {
    "a client command": ["minipaas.surface.cli.main", "minipaas.surface.cli.apps"],
    "serve": ["minipaas.app", "uvloop"],
}
"""What our own commands import."""
USED = {
    "cryptography": ["cryptography.x509", "cryptography.hazmat.primitives.asymmetric.ec"],
    "rich": ["rich.progress"],
    "securesystemslib": ["securesystemslib.dsse"],
    "tuf": ["tuf.api.metadata"],
}
"""Parts whose top module imports next to nothing: what we import of them."""


def bench_size(runs: int) -> list[Row]:
    """Bytes from the built tree; import and memory from a new interpreter each, with all that a part imports itself."""
    tree = REPO / "dist/program"
    origins = REPO / "build/pyinstaller/minipaas/origins.json"
    if not tree.exists() or not origins.exists():
        raise BoxError("there is no dist/program; make it: scripts/build")
    whole = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    rows = [
        Row("the one file", [(REPO / "dist/minipaas").stat().st_size / 1e6], "MB", LIMIT),
        Row("the program tree", [whole / 1e6], "MB"),
    ]
    for name, modules in WHOLE.items():
        spent, resident = _import(modules, runs)
        rows.append(Row(f"imports of {name}", spent, "ms", beside=f"{statistics.median(resident):.1f} MB resident"))
    taken, imports = _parts(tree, json.loads(origins.read_text()))
    for part, size in taken.most_common():
        note(part)
        spent, resident = _import(imports[part], runs) if imports.get(part) else ([0.0], [0.0])
        cost = f"import {statistics.median(spent):5.1f} ms  {statistics.median(resident):5.1f} MB resident"
        rows.append(Row(f"  {part}", [size / 1e6], "MB", beside=cost if imports.get(part) else ""))
    return rows


def _parts(tree: Path, origins: Any) -> tuple[Counter[str], dict[str, list[str]]]:
    """Bytes of each part in the tree, and the names that it is imported by."""
    sys.path.insert(0, str(REPO / "buildspec"))
    from bom import Owners, debian_owners

    owners = Owners()
    packed = _packed_modules(tree / "lib/minipaas")
    sources = {name: source for name, source in origins["modules"] if source.startswith("/")}
    files = {f"lib/parts/{name}": source for name, source in (*origins["libraries"], *origins["data"])}
    debian = debian_owners(path for path in (*sources.values(), *files.values()) if not owners.distribution_of(path))
    sizes: Counter[str] = Counter()
    imports: dict[str, list[str]] = {}

    def part_of(source: str) -> str:
        package = debian.get(source, "")
        if package.startswith("libpython"):
            return "python"
        if source.startswith(str(REPO / "minipaas")):
            return "minipaas"
        return owners.distribution_of(source) or package or "minipaas"

    for name, source in sources.items():
        part = part_of(source)
        sizes[part] += packed.get(name, 0)
        if "." not in name and "__init__" in source and part not in ("python", "minipaas"):
            imports.setdefault(part, []).append(name)
    for name, source in files.items():
        if (tree / name).is_file():
            sizes[part_of(source)] += (tree / name).stat().st_size
    sizes["python"] += (tree / "lib/parts/base_library.zip").stat().st_size
    for directory, part in (("glibc", "libc6, for older hosts"), ("licenses", "licence texts")):
        sizes[part] += sum(path.stat().st_size for path in (tree / "lib" / directory).rglob("*") if path.is_file())
    sizes["launcher"] = (tree / "minipaas").stat().st_size
    return sizes, imports | {part: names for part, names in USED.items() if part in sizes}


def _packed_modules(program: Path) -> dict[str, int]:
    """Module -> its bytes in PyInstaller's archive."""
    from PyInstaller.archive.readers import CArchiveReader  # type: ignore[import-untyped]

    archive = CArchiveReader(str(program))
    modules = archive.open_embedded_archive(next(name for name in archive.toc if name.endswith(".pyz")))
    return {name: entry[2] for name, entry in modules.toc.items()}


def _import(modules: list[str], runs: int) -> tuple[list[float], list[float]]:
    """Milliseconds and MB that importing these costs a new interpreter."""
    spent, resident = [], []
    for _ in range(runs):
        ran = subprocess.run(
            [sys.executable, "-c", PROBE, *modules], capture_output=True, text=True, timeout=60, check=True, cwd=REPO
        )
        milliseconds, megabytes = ran.stdout.split()
        spent.append(float(milliseconds))
        resident.append(float(megabytes))
    return spent, resident
