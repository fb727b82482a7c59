"""Whatever the bytes are: a bundle is accepted as it was made, or refused in words; nothing else happens."""

from __future__ import annotations

import contextlib
import io
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minipaas.bundle import dsse, layout, oci, statement
from minipaas.bundle.member import members
from minipaas.bundle.read import verify_file
from minipaas.bundle.receive import receive
from minipaas.bundle.root import check_first
from minipaas.bundle.verify import Verdict
from minipaas.bundle.write import Image
from minipaas.model.errors import Refused
from tests.bundle.builders import ISSUED, default_trust, make_box, make_bundle
from tests.bundle.forge import Forge, finish, frame, frames_of, pack, unpack
from tests.bundle.sinks import Store, Trickle

FAST = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def good() -> bytes:
    with TemporaryDirectory() as directory:
        return make_bundle(Path(directory)).read_bytes()


@cache
def contents() -> tuple[bytes, ...]:
    return tuple(frames_of(unpack(good())))


def take(data: bytes) -> Verdict | None:
    """The verdict; None when refused. A refused bundle leaves no blob that was not verified."""
    store = Store()
    try:
        return receive(io.BytesIO(data), store, make_box())
    except Refused as error:
        assert error.code.split(".")[0] in ("bundle", "signature", "root", "release")
        assert set(store.frames) <= set(needed())
        return None


@cache
def needed() -> tuple[str, ...]:
    return receive(io.BytesIO(good()), Store(), make_box()).release.blobs


@FAST
@given(st.binary(max_size=4096))
def test_arbitrary_bytes(data: bytes) -> None:
    assert take(data) is None


@FAST
@given(st.binary(max_size=4096))
def test_arbitrary_bytes_in_a_frame(data: bytes) -> None:
    assert take(finish([(frame(data), len(data))])) is None


@FAST
@given(st.integers(min_value=0), st.binary(max_size=64))
def test_arbitrary_truncations_and_what_follows(length: int, more: bytes) -> None:
    data = good()[: length % len(good())] + more
    assert data == good() or take(data) is None


@FAST
@given(st.lists(st.tuples(st.integers(min_value=0), st.integers(1, 255)), min_size=1, max_size=8))
def test_arbitrary_flips(flips: list[tuple[int, int]]) -> None:
    data = bytearray(good())
    for place, bits in flips:
        data[place % len(data)] ^= bits
    assert bytes(data) == good() or take(bytes(data)) is None


@FAST
@given(st.integers(min_value=0), st.integers(0, 40), st.binary(max_size=40))
def test_arbitrary_cuts_and_inserts(place: int, cut: int, insert: bytes) -> None:
    place %= len(good())
    data = good()[:place] + insert + good()[place + cut :]
    assert data == good() or take(data) is None


@FAST
@given(st.integers(min_value=0), st.integers(min_value=0), st.integers(1, 255))
def test_arbitrary_flips_of_contents_below_a_right_checksum(which: int, place: int, bits: int) -> None:
    parts = list(contents())
    which %= len(parts)
    changed = bytearray(parts[which])
    changed[place % len(changed)] ^= bits
    parts[which] = bytes(changed)
    assert take(finish([(frame(part), len(part)) for part in parts])) is None


@FAST
@given(st.data())
def test_arbitrary_orders_and_subsets_of_members(data: st.DataObject) -> None:
    whole = unpack(good())
    chosen = data.draw(st.lists(st.sampled_from(whole), max_size=len(whole) + 2))
    assert chosen == whole or take(pack(chosen)) is None


@FAST
@given(st.integers(min_value=0, max_value=2**32))
def test_a_source_may_give_what_it_likes_at_a_time(seed: int) -> None:
    assert receive(Trickle(good(), seed), Store(), make_box()).release.blobs == needed()


@FAST
@given(st.integers(1, 22), st.sampled_from([10, 12, 17, 20, 22]))
def test_other_levels_of_compression_are_fine(level: int, window: int) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(level, window_log=window, write_content_size=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    verdict = take(finish([(compressor.compress(part), len(part)) for part in contents()]))
    assert verdict is not None and verdict.release.blobs == needed()


@FAST
@given(st.binary(max_size=300))
def test_files_on_disk(data: bytes) -> None:
    for tail in (data, good()[:-20] + data, data + good()[-200:]):
        try:
            members(io.BytesIO(tail), "it")
        except Refused:
            continue
        assert tail == good()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


@FAST
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_documents_that_strangers_wrote(data: bytes) -> None:
    for parse in (
        lambda: check_first(data),
        lambda: dsse.parse(data, "it"),
        lambda: statement.parse(data, "it"),
        lambda: layout.parse_index(oci.LAYOUT_JSON, data, "it"),
    ):
        try:
            parse()
        except Refused:
            continue
        raise AssertionError("nothing of this is a document of ours")


def test_the_untouched_file_passes(tmp_path: Path) -> None:
    (tmp_path / "x.bundle").write_bytes(good())
    assert verify_file(tmp_path / "x.bundle", default_trust()[1], now=ISSUED).release.blobs == needed()


@st.composite
def edits(draw: st.DrawFn) -> tuple[int, int, bytes]:
    """(place, how much is cut there, what is put there) in some document."""
    word = st.sampled_from([b'"', b"[", b"{", b"null", b"1e999", b"-1", b"\\ud800", b"\xff", b"\0", b"[" * 5000])
    return draw(st.integers(0, 5000)), draw(st.integers(0, 3)), draw(word | st.binary(max_size=4))


def edited(data: bytes, edit: tuple[int, int, bytes]) -> bytes:
    place, cut, insert = edit
    place %= len(data)
    return data[:place] + insert + data[place + cut :] or b"\0"


@FAST
@given(st.sampled_from(["app.toml", "statement", "config", "root", "index"]), edits())
def test_documents_that_are_signed_and_still_odd(which: str, edit: tuple[int, int, bytes]) -> None:
    forge = Forge()
    if which == "app.toml":
        forge.app_toml = edited(forge.app_toml or b"", edit)
    elif which == "statement":
        forge.signed = lambda number, payload: edited(payload, edit)
    elif which == "config":
        image = forge.images["web"]
        forge.images["web"] = Image(edited(image.config, edit), image.layers)
    elif which == "root":
        forge.roots = [edited(forge.roots[0], edit)]
    else:
        forge.index_bytes = lambda data: edited(data, edit)
    with contextlib.suppress(Refused):
        receive(io.BytesIO(forge.build()), Store(), make_box())
