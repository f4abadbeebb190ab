"""Stores keep arrays by content, survive kills and full disks, and stay under one quota."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from metier.cache import RESIDENT, Cache, Make, fingerprint, write_aside

Arrays = list[NDArray[np.float32]]


def ragged(n: int, width: int = 3) -> Arrays:
    """One array a row, row `i` of length 1 + i % 4."""
    random = np.random.default_rng(0)
    return [random.random((1 + i % 4, width), dtype=np.float32) for i in range(n)]


def names(n: int) -> NDArray[np.uint64]:
    return np.arange(n, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def maker(arrays: Arrays, asked: list[int] | None = None, size: int = 2) -> Make:
    """Give `arrays` in batches, the last rows first, and note which were asked for."""

    def make(rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Sequence[Any]]]:
        if asked is not None:
            asked.extend(rows.tolist())
        backwards = rows[::-1]
        for start in range(0, len(rows), size):
            batch = backwards[start : start + size]
            yield batch, [arrays[i] for i in batch]

    return make


def assert_holds(cache: Cache, arrays: Arrays) -> None:
    store, digests = cache.store("x"), names(len(arrays))
    for digest, array in zip(digests.tolist(), arrays, strict=True):
        np.testing.assert_array_equal(store[digest], array)
    np.testing.assert_array_equal(store.lengths(digests), [len(a) for a in arrays])


def test_what_is_missing_is_computed_once(tmp_path: Path) -> None:
    arrays, digests = ragged(9), names(9)
    asked: list[int] = []
    store = Cache(tmp_path).store("x")
    twice = np.concatenate([digests[:5], digests[:5]])
    assert store.fill(twice, maker(arrays[:5] * 2, asked)) and asked == [0, 1, 2, 3, 4]
    assert store.fill(digests, maker(arrays, asked)) and asked[5:] == [5, 6, 7, 8]
    again = Cache(tmp_path)
    assert len(again.store("x").missing(digests)) == 0
    assert_holds(again, arrays)


def test_arrays_of_one_row_are_stacked(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    arrays = [random.integers(0, 9, (1, 2, 5), dtype=np.uint8) for _ in range(6)]
    store = Cache(tmp_path).store("pixels")
    store.fill(names(6), maker(arrays))
    order = np.array([4, 0, 0, 5])
    stacked = store.stack(names(6)[order])
    assert stacked.dtype == np.uint8
    np.testing.assert_array_equal(stacked, np.concatenate([arrays[i] for i in order]))


def test_other_keys_are_other_stores(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.store("x", 1).fill(names(3), maker(ragged(3)))
    assert len(cache.store("x", 2).missing(names(3))) == 3
    assert cache.store("x", 1) is cache.store("x", 1)
    assert fingerprint("ab", "c") != fingerprint("a", "bc") != fingerprint("a", "b", "c")
    assert fingerprint(1) != fingerprint("1")


def test_numbers_appended_without_an_index_are_cut_off(tmp_path: Path) -> None:
    arrays = ragged(8)
    Cache(tmp_path).store("x").fill(names(4), maker(arrays[:4]))
    numbers = tmp_path / f"{fingerprint('x')}.bin"
    with numbers.open("ab") as out:
        out.write(b"half a row of a run that was killed")
    cache = Cache(tmp_path)
    assert_holds(cache, arrays[:4])
    cache.store("x").fill(names(8), maker(arrays))
    assert_holds(cache, arrays)
    assert_holds(Cache(tmp_path), arrays)


def test_numbers_of_a_run_killed_before_its_first_index(tmp_path: Path) -> None:
    (tmp_path / f"{fingerprint('x')}.bin").write_bytes(b"half a row")
    cache = Cache(tmp_path)
    cache.store("x").fill(names(3), maker(ragged(3)))
    assert_holds(cache, ragged(3))


@pytest.mark.parametrize("suffix", ["bin", "npy", "json"])
@settings(max_examples=25, deadline=None)
@given(share=st.floats(0, 1))
def test_truncated_files_cost_time_and_never_a_wrong_number(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, share: float
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    arrays = ragged(10)
    Cache(folder).store("x").fill(names(10), maker(arrays))
    path = folder / f"{fingerprint('x')}.{suffix}"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    cache = Cache(folder)
    store = cache.store("x")
    missing = set(store.missing(names(10)).tolist())
    for i in set(range(10)) - missing:
        np.testing.assert_array_equal(store[int(names(10)[i])], arrays[i])
    store.fill(names(10), maker(arrays))
    assert_holds(cache, arrays)
    assert_holds(Cache(folder), arrays)


def test_a_fault_while_computing_keeps_what_was_written(tmp_path: Path) -> None:
    arrays = ragged(8)

    def breaks(rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Sequence[Any]]]:
        yield rows[:2], arrays[:2]
        raise MemoryError

    cache = Cache(tmp_path)
    with pytest.raises(MemoryError):
        cache.store("x").fill(names(8), breaks)
    for found in (cache, Cache(tmp_path)):
        assert found.store("x").missing(names(8)).tolist() == [2, 3, 4, 5, 6, 7]
    cache.store("x").fill(names(8), maker(arrays))
    assert_holds(cache, arrays)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
def test_a_full_disk_leaves_no_hole(tmp_path: Path) -> None:
    """Rows whose numbers never reached the disk must not read as zeros later."""
    import resource

    arrays = ragged(20, width=100)
    cache = Cache(tmp_path)
    store = cache.store("x")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            store.fill(names(20), maker(arrays))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    missing = set(store.missing(names(20)).tolist())
    assert 0 < len(missing) < 20
    for i in set(range(20)) - missing:
        np.testing.assert_array_equal(store[int(names(20)[i])], arrays[i])
    store.fill(names(20), maker(arrays))
    assert_holds(cache, arrays)
    assert_holds(Cache(tmp_path), arrays)


def test_beyond_the_quota_nothing_is_kept_or_computed_in_vain(tmp_path: Path) -> None:
    arrays = ragged(40)
    sizes = np.asarray([len(a) for a in arrays])
    whole = int(sizes.sum()) * 3 * 4
    assert Cache(tmp_path / "fits", whole).store("x").fill(names(40), maker(arrays), sizes)

    batches = 0

    def counted(rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Sequence[Any]]]:
        nonlocal batches
        for batch in maker(arrays)(rows):
            batches += 1
            yield batch

    cache = Cache(tmp_path / "small", whole - 1)
    for _ in range(3):
        assert not cache.store("x").fill(names(40), counted, sizes)
        assert cache.store("x").bytes == 0
    assert batches == 3, "one batch tells that the rest will not fit"
    assert cache.store("x").fill(names(5), maker(arrays[:5]), sizes[:5])
    assert not cache.store("x").fill(names(40), maker(arrays), sizes)
    assert cache.store("x").missing(names(40)).tolist() == list(range(5, 40))
    np.testing.assert_array_equal(cache.store("x")[int(names(5)[3])], arrays[3])


def test_all_stores_share_one_quota(tmp_path: Path) -> None:
    arrays = [np.zeros((1, 25), np.float32)] * 10
    cache = Cache(tmp_path, quota=1500)
    one, two = cache.store("one"), cache.store("two")
    assert one.fill(names(10), maker(arrays))
    assert not two.fill(names(10), maker(arrays))
    assert two.fill(names(5), maker(arrays))
    assert sum(path.stat().st_size for path in tmp_path.glob("*.bin")) <= 1500


def test_a_cache_without_a_folder_cleans_up() -> None:
    cache = Cache()
    folder = cache.folder
    cache.store("x").fill(names(2), maker(ragged(2)))
    assert any(folder.iterdir())
    del cache
    assert not folder.exists()


def test_the_cache_holds_no_pickle(tmp_path: Path) -> None:
    Cache(tmp_path).store("x").fill(names(3), maker(ragged(3)))
    for path in tmp_path.glob("*.npy"):
        np.load(path, allow_pickle=False)
    assert {path.suffix for path in tmp_path.iterdir()} == {".bin", ".npy", ".json"}


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_aside(path, b"old")
    with pytest.raises(TypeError):
        write_aside(path, None)
    assert path.read_bytes() == b"old"
    write_aside(path, b"new")
    assert path.read_bytes() == b"new" and [p.name for p in path.parent.iterdir()] == ["file"]


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what is mapped")
def test_what_was_read_long_ago_is_given_back(tmp_path: Path) -> None:
    store, n = Cache(tmp_path).store("wide"), 160
    digests = np.arange(n, dtype=np.uint64)

    def make(
        positions: NDArray[np.int64],
    ) -> Iterator[tuple[NDArray[np.int64], list[NDArray[np.float32]]]]:
        for position in positions.tolist():
            yield np.array([position]), [np.full((1, 1 << 18), position, np.float32)]

    assert store.fill(digests, make)
    assert store.bytes > 2 * RESIDENT
    for digest in range(n):
        assert store[digest][0, -1] == digest and store.stack(digests[[digest]])[0, 0] == digest
    mapped = Path("/proc/self/smaps").read_text().split(str(tmp_path))[1:]
    resident = sum(int(part.split("Rss:")[1].split()[0]) << 10 for part in mapped)
    assert 0 < resident <= 1.25 * RESIDENT
