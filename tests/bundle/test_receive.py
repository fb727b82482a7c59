from __future__ import annotations

import contextlib
import hashlib
import io
import random
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import zstandard

from minipaas.bundle import tarball
from minipaas.bundle.frames import check_frame, seek_table
from minipaas.bundle.limits import Limits
from minipaas.bundle.receive import NullSink, read_metadata, receive
from minipaas.bundle.verify import Verdict
from minipaas.model.errors import NoSpace, Refused
from tests.bundle.builders import make_box, make_bundle, make_image, tar_layer
from tests.bundle.forge import Forge, Member, finish, frame, frames_of, pack, unpack
from tests.bundle.sinks import Store, Trickle, Writer


def take(data: bytes, sink: Store | None = None, limits: Limits = Limits()) -> Verdict:  # noqa: B008 - frozen
    return receive(io.BytesIO(data), sink or NullSink(), make_box(), limits)


def refusal(data: bytes, sink: Store | None = None, limits: Limits = Limits()) -> Refused:  # noqa: B008 - frozen
    store = sink or Store()
    with pytest.raises(Refused) as caught:
        take(data, store, limits)
    assert caught.value.message.startswith("cannot accept the bundle: ")
    assert caught.value.hint
    return caught.value


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_bundle(tmp_path_factory.mktemp("bundle"), name="it.bundle").read_bytes()


# -- what a good bundle leaves behind ----------------------------------------------------------------------------------


def test_the_sink_holds_every_needed_blob_as_one_frame(bundle: bytes) -> None:
    store = Store()
    verdict = take(bundle, store)
    assert verdict.release.app == "shop"
    assert set(store.frames) == set(verdict.release.blobs)
    assert not store.aborted
    for digest, compressed in store.frames.items():
        assert zstandard.get_frame_parameters(compressed).content_size == verdict.descriptors[digest]
        content = zstandard.ZstdDecompressor().decompress(compressed)
        assert "sha256:" + hashlib.sha256(content).hexdigest() == digest


def test_a_slow_source_gives_the_same(bundle: bytes) -> None:
    store, slow = Store(), Store()
    take(bundle, store)
    receive(Trickle(bundle, 7), slow, make_box())
    assert slow.frames == store.frames


def test_nothing_reaches_the_sink_before_admission(bundle: bytes) -> None:
    store = Store()

    def full(verdict: Verdict) -> None:
        assert verdict.descriptors and not store.started
        raise NoSpace("cannot accept it: no room")

    with pytest.raises(NoSpace):
        receive(io.BytesIO(bundle), store, make_box(), on_verified=full)
    assert not store.started


def test_admission_is_asked_before_the_first_layer_is_read() -> None:
    layer = tar_layer({"big": random.Random(1).randbytes(3 << 20)})
    source = io.BytesIO(Forge(images={"web": make_image(layer)}).build())
    places: list[int] = []
    receive(source, NullSink(), make_box(), on_verified=lambda verdict: places.append(source.tell()))
    assert places[0] <= 1 << 20


def test_an_unverified_bundle_reaches_no_sink() -> None:
    store = Store()
    forge = Forge()
    forge.signed = lambda number, payload: payload + b"\n{}"
    assert refusal(forge.build(), store).code == "signature.statement"
    assert not store.started


def test_what_is_there_already_is_not_written_again(bundle: bytes) -> None:
    first = Store()
    verdict = take(bundle, first)
    again = Store(*verdict.release.blobs)
    assert take(bundle, again).release == verdict.release
    assert not again.started


def test_a_damaged_layer_is_aborted_not_committed() -> None:
    members = Forge().members()
    name, data = members[-1]
    store = Store()
    error = refusal(pack([*members[:-1], (name, data[:-1] + b"\1")]), store)
    assert error.code == "bundle.digest"
    assert store.aborted == [tarball.member_digest(name)]
    assert tarball.member_digest(name) not in store.frames


def test_a_sink_that_fails_is_told_to_abort(bundle: bytes) -> None:
    class Full(Writer):
        def write(self, compressed: bytes) -> None:
            raise NoSpace("cannot write: the disk is full")

    class FullStore(Store):
        def create(self, digest: str, size: int) -> Writer:
            return Full(self, digest, size)

    store = FullStore()
    with pytest.raises(NoSpace):
        take(bundle, store)
    assert len(store.aborted) == 1


def test_a_broken_source_is_not_a_broken_bundle(bundle: bytes) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise TimeoutError("the sender went silent")

    with pytest.raises(TimeoutError):
        receive(Broken(bundle), NullSink(), make_box())


def test_progress_adds_up() -> None:
    layer = tar_layer({"big": bytes(5 << 20)})
    counts: list[int] = []
    verdict = receive(
        io.BytesIO(Forge(images={"web": make_image(layer)}).build()), NullSink(), make_box(), on_bytes=counts.append
    )
    assert sum(counts) == verdict.release.images["web"].size


def _peak(path: Path) -> int:
    """Most bytes of Python memory while a file is received, or refused."""
    tracemalloc.start()
    try:
        with path.open("rb", buffering=0) as file, contextlib.suppress(Refused):
            receive(file, NullSink(), make_box())
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("seed", [None, 3], ids=["zeros", "random"])
def test_memory_does_not_grow_with_the_layer(seed: int | None, tmp_path: Path) -> None:
    content = bytes(128 << 20) if seed is None else random.Random(seed).randbytes(48 << 20)
    path = tmp_path / "big.bundle"
    path.write_bytes(Forge(images={"web": make_image(content)}).build())
    assert _peak(path) < 20 << 20


# -- damage ------------------------------------------------------------------------------------------------------------


def test_every_flipped_byte_is_refused(bundle: bytes) -> None:
    for place in range(len(bundle)):
        changed = bytearray(bundle)
        changed[place] ^= 1 << (place % 8)
        with pytest.raises(Refused):
            take(bytes(changed))


def test_every_flipped_byte_is_refused_even_when_the_layers_are_here(bundle: bytes) -> None:
    present = take(bundle).release.blobs
    for place in range(0, len(bundle), 3):
        changed = bytearray(bundle)
        changed[place] ^= 0x80
        with pytest.raises(Refused):
            take(bytes(changed), Store(*present))


def test_every_truncation_is_refused(bundle: bytes) -> None:
    for length in range(1, len(bundle), 2):
        with pytest.raises(Refused) as caught:
            take(bundle[:length])
        assert caught.value.code == "bundle.truncated", length


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bundle.empty"),
        (b"hello", "bundle.not_a_bundle"),
        (b"\x1f\x8b\x08\x00 gzip", "bundle.not_a_bundle"),
        (b"PK\x03\x04 zip", "bundle.not_a_bundle"),
        (b"\x28", "bundle.truncated"),
        (b"\x28\xb5\x2f\xfd", "bundle.truncated"),
        (zstandard.compress(b"not a tar"), "bundle.tar"),
        (zstandard.compress(bytes(512)), "bundle.member_name"),
        (zstandard.compress(bytes(1024)), "bundle.order"),
    ],
)
def test_what_is_no_bundle(data: bytes, code: str) -> None:
    assert refusal(data).code == code


def test_bytes_after_the_end(bundle: bytes) -> None:
    assert refusal(bundle + b"\0").code == "bundle.trailing"
    assert refusal(bundle + bundle).code == "bundle.trailing"


def test_a_change_that_decompresses_to_the_same_is_noticed(bundle: bytes) -> None:
    contents = frames_of(unpack(bundle))
    frames = [(frame(content), len(content)) for content in contents]
    good = finish(frames)
    assert take(good).release.app == "shop"
    other = [(frame(content, level=19), len(content)) for content in contents]
    body = b"".join(data for data, _ in other)
    old = check_frame(zlib.crc32(b"".join(data for data, _ in frames)))
    table = seek_table([(len(data), size) for data, size in other] + [(len(old), 0)])
    assert refusal(body + old + table).code == "bundle.damaged"


def test_the_seek_table_tells_the_truth(bundle: bytes) -> None:
    frames = [(frame(content), len(content)) for content in frames_of(unpack(bundle))]
    body = b"".join(data for data, _ in frames)
    check = check_frame(zlib.crc32(body))
    entries = [(len(data), size) for data, size in frames]
    for wrong in (entries, [*entries, (15, 0)], [*entries[1:], (16, 0)], [*entries, (16, 0), (16, 0)]):
        assert refusal(body + check + seek_table(wrong)).code in ("bundle.seek_table", "bundle.truncated")


# -- compression -------------------------------------------------------------------------------------------------------


def _frames(bend: Callable[[bytes], bytes], which: int = 1) -> bytes:
    bends = {which: bend}
    contents = enumerate(frames_of(Forge().members()))
    return finish([(bends.get(number, frame)(content), len(content)) for number, content in contents])


def _streamed(content: bytes) -> bytes:
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return compressor.compress(content) + compressor.flush()


def _wide(content: bytes) -> bytes:
    # The header of a frame with a 128 MiB window, around one raw block.
    block = (len(content) << 3 | 1).to_bytes(3, "little") + content
    return b"\x28\xb5\x2f\xfd\x80" + bytes([17 << 3]) + len(content).to_bytes(4, "little") + block


def _crumbs(content: bytes) -> bytes:
    # Blocks of one byte each: little content, much work.
    blocks = b"".join((1 << 3).to_bytes(3, "little") + bytes([byte]) for byte in content)
    return b"\x28\xb5\x2f\xfd\xa0" + len(content).to_bytes(4, "little") + blocks + b"\x01\0\0"


@pytest.mark.parametrize(
    "bend",
    [
        lambda content: frame(content, write_checksum=True),
        _streamed,
        _wide,
        lambda content: b"\x28\xb5\x2f\xfd\x20" + bytes([len(content)]) + b"\x07\0\0",
        lambda content: b"\x50\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content,
        lambda content: content,
    ],
    ids=["checksum", "no size", "wide window", "reserved block", "skippable", "not compressed"],
)
def test_frames_of_another_form(bend: Callable[[bytes], bytes]) -> None:
    assert refusal(_frames(bend)).code in ("bundle.frame", "bundle.truncated")


def test_blocks_of_one_byte() -> None:
    layer = random.Random(2).randbytes(20_480)
    contents = frames_of(Forge(images={"web": make_image(layer)}).members())
    bent = [(_crumbs(content) if content == layer else frame(content), len(content)) for content in contents]
    error = refusal(finish(bent))
    assert error.code == "bundle.frame" and "too many blocks" in error.message


def test_a_frame_that_holds_more_or_less_than_it_says() -> None:
    for content in (b"x" * 4, b"x" * 6):
        block = (len(content) << 3 | 1).to_bytes(3, "little") + content
        lie = b"\x28\xb5\x2f\xfd\x20\x05" + block
        members = Forge().members()
        frames = [(frame(tarball.header(tarball.LAYOUT, 5)), 512), (lie, 5)]
        rest = [(frame(content), len(content)) for content in frames_of(members[1:])]
        assert refusal(finish([*frames, *rest])).code == "bundle.frame"


def test_a_bomb_in_the_metadata_is_not_unpacked(tmp_path: Path) -> None:
    members = Forge().members()
    bomb = ("index.json", bytes(200 << 20))
    path = tmp_path / "bomb.bundle"
    path.write_bytes(pack([members[0], bomb, *members[2:]]))
    assert refusal(path.read_bytes()).code == "bundle.too_large"
    assert _peak(path) < 4 << 20


def test_a_bomb_that_hides_its_size_is_stopped_at_what_it_said(tmp_path: Path) -> None:
    head = b"\x28\xb5\x2f\xfd\xa0" + (1000).to_bytes(4, "little")
    block = ((128 << 10) << 3 | 2).to_bytes(3, "little") + b"x"
    last = ((128 << 10) << 3 | 3).to_bytes(3, "little") + b"x"
    members = Forge().members()
    frames = [(frame(content), len(content)) for content in frames_of(members[:1])[:-1]]
    frames.append((frame(tarball.header(tarball.INDEX, 1000)), 512))
    path = tmp_path / "bomb.bundle"
    path.write_bytes(finish([*frames, (head + 60 * block + last, 1000)]))
    assert refusal(path.read_bytes()).code == "bundle.frame"
    assert _peak(path) < 4 << 20


def test_a_layer_larger_than_signed_is_not_unpacked() -> None:
    members = Forge().members()
    name, data = members[-1]
    for other in (data + bytes(100 << 20), data[:-512]):
        assert refusal(pack([*members[:-1], (name, other)])).code == "bundle.size"


# -- the tar -----------------------------------------------------------------------------------------------------------


def _header(**fields: object) -> Callable[[str, int], bytes]:
    def make(name: str, size: int) -> bytes:
        info = tarfile.TarInfo(name)
        info.size = size
        info.mode = 0o644
        for field, value in fields.items():
            setattr(info, field, value)
        return info.tobuf(tarfile.USTAR_FORMAT)

    return make


HEADERS = [
    ("symbolic link", _header(type=tarfile.SYMTYPE, linkname="/etc/passwd"), "bundle.member_type"),
    ("hard link", _header(type=tarfile.LNKTYPE, linkname="index.json"), "bundle.member_type"),
    ("character device", _header(type=tarfile.CHRTYPE, devmajor=1, devminor=3), "bundle.member_type"),
    ("block device", _header(type=tarfile.BLKTYPE), "bundle.member_type"),
    ("fifo", _header(type=tarfile.FIFOTYPE), "bundle.member_type"),
    ("directory", _header(type=tarfile.DIRTYPE), "bundle.member_type"),
    ("sparse file", _header(type=tarfile.GNUTYPE_SPARSE), "bundle.member_type"),
    ("extended header", _header(type=tarfile.XHDTYPE), "bundle.member_type"),
    ("time", _header(mtime=1), "bundle.tar"),
    ("owner", _header(uid=1000), "bundle.tar"),
    ("owner's name", _header(uname="root"), "bundle.tar"),
    ("mode", _header(mode=0o4755), "bundle.tar"),
    ("a link target on a file", _header(linkname="/etc/passwd"), "bundle.tar"),
    ("parent path", _header(name="../../etc/passwd"), "bundle.member_name"),
    ("absolute path", _header(name="/oci-layout"), "bundle.member_name"),
    ("dot path", _header(name="./oci-layout"), "bundle.member_name"),
    ("another file", _header(name="manifest.json"), "bundle.member_name"),
    ("upper-case digest", _header(name="blobs/sha256/" + "A" * 64), "bundle.member_name"),
    ("short digest", _header(name="blobs/sha256/abc"), "bundle.member_name"),
    ("no name", _header(name=""), "bundle.member_name"),
    ("line break", _header(name="oci-layout\n"), "bundle.member_name"),
]


@pytest.mark.parametrize(("header", "code"), [case[1:] for case in HEADERS], ids=[case[0] for case in HEADERS])
def test_tar_headers(header: Callable[[str, int], bytes], code: str) -> None:
    contents = frames_of(Forge().members(), header)
    assert refusal(finish([(frame(content), len(content)) for content in contents])).code == code


def test_a_bad_header_is_refused_wherever_it_is() -> None:
    contents = frames_of(Forge().members())
    last = max(number for number, content in enumerate(contents) if content[:5] == b"blobs" and len(content) == 512)
    contents[last] = _header(name="../x")("", 10240)
    assert refusal(finish([(frame(content), len(content)) for content in contents])).code == "bundle.member_name"


def test_padding_holds_nothing() -> None:
    contents = frames_of(Forge().members())
    contents[2] = b"\1" + contents[2][1:]
    assert refusal(finish([(frame(content), len(content)) for content in contents])).code == "bundle.tar"


def test_the_end_of_the_tar_is_two_blocks() -> None:
    contents = frames_of(Forge().members())
    for end in (bytes(512), bytes(1536), b"\1" + bytes(1023)):
        bent = [*contents[:-1], end]
        assert refusal(finish([(frame(content), len(content)) for content in bent])).code.startswith("bundle.")


def _swap(one: int, two: int) -> Callable[[list[Member]], list[Member]]:
    def bend(members: list[Member]) -> list[Member]:
        members = list(members)
        members[one], members[two] = members[two], members[one]
        return members

    return bend


STOWAWAY = tarball.member_name("sha256:" + hashlib.sha256(b"stowaway").hexdigest()), b"stowaway"
MEMBERS: list[tuple[str, Callable[[list[Member]], list[Member]], set[str]]] = [
    ("index first", _swap(0, 1), {"bundle.order"}),
    ("no oci-layout", lambda members: members[1:], {"bundle.order"}),
    ("no index", lambda members: [members[0], *members[2:]], {"bundle.order"}),
    ("another layout", lambda members: [(members[0][0], b"{}"), *members[1:]], {"bundle.layout"}),
    ("manifests swapped", _swap(2, 3), {"bundle.order"}),
    ("manifest and layer swapped", _swap(2, -1), {"bundle.order"}),
    ("config and layer swapped", _swap(-2, -3), {"bundle.missing_blob"}),
    ("layers swapped", _swap(-1, -2), {"bundle.missing_blob"}),
    ("no bundle manifest", lambda members: [*members[:2], *members[3:]], {"bundle.order"}),
    ("no config", lambda members: [*members[:-3], *members[-2:]], {"bundle.missing_blob"}),
    ("no layer", lambda members: members[:-1], {"bundle.missing_blob"}),
    ("nothing but files", lambda members: members[:2], {"bundle.missing_blob"}),
    ("oci-layout twice", lambda members: [members[0], *members], {"bundle.order"}),
    ("index twice", lambda members: [*members[:2], *members[1:]], {"bundle.duplicate"}),
    ("index at the end", lambda members: [*members, members[1]], {"bundle.duplicate"}),
    ("manifest twice", lambda members: [*members[:3], *members[2:]], {"bundle.duplicate"}),
    ("manifest at the end", lambda members: [*members, members[2]], {"bundle.duplicate"}),
    ("layer twice", lambda members: [*members, members[-1]], {"bundle.duplicate"}),
    ("extra manifest", lambda members: [*members[:2], STOWAWAY, *members[2:]], {"bundle.order"}),
    ("extra config", lambda members: [*members[:-3], STOWAWAY, *members[-3:]], {"bundle.extra_blob"}),
    ("extra layer", lambda members: [*members[:-1], STOWAWAY, members[-1]], {"bundle.extra_blob"}),
    ("extra at the end", lambda members: [*members, STOWAWAY], {"bundle.extra_blob"}),
    ("other content", lambda members: [*members[:-1], (members[-1][0], bytes(10240))], {"bundle.digest"}),
    ("other config", lambda m: [*m[:-3], (m[-3][0], b" " * len(m[-3][1])), *m[-2:]], {"bundle.digest"}),
]


@pytest.mark.parametrize(("bend", "codes"), [case[1:] for case in MEMBERS], ids=[case[0] for case in MEMBERS])
def test_members(bend: Callable[[list[Member]], list[Member]], codes: set[str]) -> None:
    assert refusal(pack(bend(Forge().members()))).code in codes


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limit",
    [
        {"compressed": 2000},
        {"content": 20_000},
        {"blobs": 5},
        {"metadata_blobs": 5},
        {"metadata_each": 500},
        {"metadata_total": 2000},
        {"signatures": 0},
        {"roots": 0},
    ],
)
def test_limits(limit: dict[str, int], bundle: bytes) -> None:
    assert refusal(bundle, limits=msgspec.structs.replace(Limits(), **limit)).code == "bundle.too_large"


def test_metadata_is_read_without_the_layers(tmp_path: Path) -> None:
    path = make_bundle(tmp_path)
    with path.open("rb") as file:
        metadata = read_metadata(file, name="x")
    assert metadata.name == "x"
    assert set(metadata.blobs) == {
        tarball.member_digest(name) for name, data in unpack(path.read_bytes())[2:] if len(data) != 10240
    }
