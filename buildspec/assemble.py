"""The program tree and the one file, from what PyInstaller made. README.md in this directory shows both.

What always holds: the same inputs give the same bytes (times, owners, order and modes are fixed, and no path of the
machine that builds gets in); what is in `dist/` is whole, also when a build is interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import re
import shutil
import struct
import subprocess
import tarfile
import zipfile
from pathlib import Path

import bom
import zstandard

from minipaas.surface.cli.about import own_version
from minipaas.surface.cli.parts import SBOM

HERE = Path(__file__).parent
MARK = b"minipaas"
LEVEL = 12
WINDOW = 24
"""log2 of the window in bytes: 16 MiB, what the launcher needs in memory while it unpacks."""
LOADERS = {"x86_64": "ld-linux-x86-64.so.2", "aarch64": "ld-linux-aarch64.so.1"}
GLIBC = (
    "libc.so.6",
    "libm.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "libutil.so.1",
    "libresolv.so.2",
    "libanl.so.1",
    "libnss_files.so.2",
    "libnss_dns.so.2",
    "libnss_compat.so.2",
)
"""All that a program or a name service module of a host may ask of a libc: pieces of two versions do not mix."""


class BuildError(Exception):
    """The binary cannot be built; the text says why."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="assemble", description=__doc__)
    parser.add_argument("made", type=Path, help="the directory that PyInstaller made")
    parser.add_argument("origins", type=Path, help="what minipaas.spec wrote of where that came from")
    parser.add_argument("dist", type=Path, help="where the tree `program` and the file `minipaas` go")
    asked = parser.parse_args()
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    asked.dist.mkdir(parents=True, exist_ok=True)
    tree = asked.dist / "program.new"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(asked.made, tree / "lib", symlinks=True)
    in_order(next((tree / "lib").rglob("base_library.zip")))
    from_libc = glibc(tree / "lib/glibc")
    launcher(tree / "minipaas")
    also = {f"lib/glibc/{name}": str(source) for name, source in from_libc.items()}
    bom.write(tree, asked.origins, own_version(), epoch, also)
    same_modes(tree, epoch)
    whole = one_file(tree, epoch)
    shutil.copyfile(tree / SBOM, asked.dist / SBOM)
    shutil.rmtree(asked.dist / "program", ignore_errors=True)
    tree.rename(asked.dist / "program")
    new = asked.dist / "minipaas.new"
    new.write_bytes(whole)
    new.chmod(0o755)
    new.rename(asked.dist / "minipaas")


def libc_directory() -> Path:
    """Where this machine's libc is."""
    found = run("gcc", "-print-file-name=libc.so.6").strip()
    if "/" not in found:
        raise BuildError("cannot find libc.so.6: gcc does not know of one; apt-get install libc6-dev")
    return Path(found).resolve().parent


def glibc(into: Path) -> dict[str, Path]:
    """The loader and the libc of this machine, for hosts with an older one; name -> where it is here."""
    into.mkdir()
    directory = libc_directory()
    loader = LOADERS.get(platform.machine())
    if loader is None:
        raise BuildError(f"cannot build for {platform.machine()}: buildspec knows {', '.join(LOADERS)}")
    sources = {name: directory / name for name in (loader, *GLIBC)}
    for name, source in sources.items():
        shutil.copyfile(source, into / name)
        (into / name).chmod(0o755)
    return sources


def libc_minor() -> int:
    """36 for glibc 2.36."""
    found = re.fullmatch(r"glibc 2\.(\d+)", os.confstr("CS_GNU_LIBC_VERSION") or "")
    if found is None:
        raise BuildError("cannot build: this machine's libc is not glibc 2")
    return int(found[1])


def launcher(path: Path) -> None:
    """Compile launcher.c: static, so that it starts on any Linux of this architecture."""
    flags = ("-static", "-Os", "-Wall", "-Wextra", "-Werror", "-Wl,--build-id=none", f"-DBUILT_WITH={libc_minor()}")
    run("gcc", *flags, "-o", str(path.absolute()), "launcher.c", "-lzstd", cwd=HERE)
    run("strip", str(path))


def in_order(path: Path) -> None:
    """PyInstaller packs these modules as it comes across them, which follows the order of directories on disk."""
    with zipfile.ZipFile(path) as made:
        members = sorted(((info, made.read(info)) for info in made.infolist()), key=lambda one: one[0].filename)
    with zipfile.ZipFile(path, "w") as ordered:
        for info, data in members:
            ordered.writestr(info, data)


def same_modes(tree: Path, epoch: int) -> None:
    """Modes and times do not depend on who built it, and when."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def one_file(tree: Path, epoch: int) -> bytes:
    """The launcher, the tree as tar and zstd, and the trailer that launcher.c looks for."""
    plain = io.BytesIO()
    unpacked = 0
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(tree.rglob("*")):
            entry = tar.gettarinfo(path, str(path.relative_to(tree)))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mtime = epoch
            if entry.islnk():  # a second name of a file: the launcher knows files, directories and symbolic links
                entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", path.stat().st_size
            unpacked += (entry.size + 4095) // 4096 * 4096 + 4096
            if entry.isreg():
                with path.open("rb") as file:
                    tar.addfile(entry, file)
            else:
                tar.addfile(entry)
    parameters = zstandard.ZstdCompressionParameters.from_level(LEVEL, window_log=WINDOW, write_checksum=True)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compress(plain.getvalue())
    return (tree / "minipaas").read_bytes() + packed + struct.pack("<QQ8s", len(packed), unpacked, MARK)


def run(*words: str, cwd: Path | None = None) -> str:
    """A tool's output. Raises BuildError with its last words."""
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{words[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    try:
        main()
    except (BuildError, bom.UnknownOrigin) as error:
        raise SystemExit(f"cannot build: {error}") from None
