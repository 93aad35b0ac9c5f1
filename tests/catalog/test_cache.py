"""The cache is fast when it is right and silent when it is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from statlas.catalog import cache, find, load_catalogue
from statlas.catalog import load as loader

Write = Callable[..., Path]
Paper = Callable[..., str]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory for each test, not yet made."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("STATLAS_CACHE", str(folder))
    return folder


@pytest.fixture
def root(write_area: Write, paper: Paper) -> Path:
    return write_area(paper(), paper(2, "second", answers="Where are the whales?"))


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where the catalogue was compiled, one item each time."""
    done: list[Path] = []
    compile_ = loader._compile

    def noted(root: Path, *rest: object) -> object:
        done.append(root)
        return compile_(root, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(loader, "_compile", noted)
    return done


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def whales(root: Path) -> list[str]:
    return [hit.id for hit in find("whale", catalogue=load_catalogue(root))]


def test_the_second_load_reads_the_cache(
    root: Path, own_cache: Path, compilations: list[Path]
) -> None:
    cold, warm = load_catalogue(root), load_catalogue(root)
    assert len(compilations) == 1
    assert list(cold.values()) == list(warm.values())
    assert cold.index == warm.index
    assert only_file(own_cache).name.startswith("catalogue-")


def test_the_package_survives_the_cache() -> None:
    cold, warm = load_catalogue(), load_catalogue()
    assert list(cold.values()) == list(warm.values())
    assert cold.index == warm.index


def test_a_changed_file_is_read_again(
    root: Path, write_area: Write, paper: Paper, compilations: list[Path]
) -> None:
    assert whales(root) == ["second"]
    write_area(paper(), paper(2, "second"), paper(3, "third", answers="Whales?"))
    assert whales(root) == ["third"]
    assert len(compilations) == 2


def test_a_touched_file_is_read_again(root: Path, compilations: list[Path]) -> None:
    load_catalogue(root)
    file = root / "evaluation" / "papers.toml"
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    load_catalogue(root)
    assert len(compilations) == 2


def test_a_new_area_and_a_new_version_are_noticed(
    root: Path,
    write_area: Write,
    paper: Paper,
    compilations: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load_catalogue(root)
    write_area(paper(3, "third"), area="scaling")
    assert len(load_catalogue(root)) == 3
    monkeypatch.setattr("statlas.__version__", "0.0.0.dev1")
    load_catalogue(root)
    monkeypatch.setattr(cache, "FORMAT", -1)
    load_catalogue(root)
    assert len(compilations) == 4


def test_two_installations_do_not_share_a_file(
    root: Path, own_cache: Path, tmp_path: Path, compilations: list[Path]
) -> None:
    other = tmp_path / "other"
    for place in (root, other, root, other):
        load_catalogue(place)
    assert compilations == [root, other]
    assert len(list(own_cache.iterdir())) == 2


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "not JSON": lambda content: b"\x00\xff" * 100,
    "another format": lambda content: b'{"entries": []}',
    "a wrong letter in the entries": lambda content: content.replace(b"A Title", b"A Tidle", 1),
    "a wrong digit in the index": lambda content: content[:-30] + b"9" + content[-29:],
    "a header that is a number": lambda content: b"7\n" + content.partition(b"\n")[2],
    "deep nesting": lambda content: b"[" * 200_000 + b"\n\n",
    "one line more": lambda content: content + b"\n{}",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_replaced(
    root: Path, own_cache: Path, compilations: list[Path], damage: str
) -> None:
    load_catalogue(root)
    file = only_file(own_cache)
    sound = file.read_bytes()
    broken = DAMAGES[damage](sound)
    assert broken != sound
    file.write_bytes(broken)
    assert whales(root) == ["second"]
    assert len(compilations) == 2
    assert file.read_bytes() == sound


def test_a_directory_in_the_place_of_the_file(root: Path, own_cache: Path) -> None:
    file = cache.cache_file(root.resolve())
    assert file is not None
    file.mkdir(parents=True)
    assert whales(root) == ["second"]
    assert [path.name for path in own_cache.iterdir()] == [file.name]  # no part is left behind


def test_a_file_in_the_place_of_the_directory(root: Path, own_cache: Path) -> None:
    own_cache.write_text("not a directory")
    assert whales(root) == ["second"]
    assert own_cache.read_text() == "not a directory"


def test_a_full_disk_leaves_nothing_behind(
    root: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert whales(root) == ["second"]
    assert list(own_cache.iterdir()) == []


def test_no_home_and_no_cache(
    root: Path, compilations: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "cache_directory", lambda: None)
    assert whales(root) == whales(root) == ["second"]
    assert len(compilations) == 2


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("STATLAS_CACHE", "relative/place")
    assert cache.cache_directory() == Path.cwd() / "relative" / "place"
    monkeypatch.setenv("STATLAS_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_directory() == tmp_path / "xdg" / "statlas"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.cache_directory() == tmp_path / ".cache" / "statlas"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache.cache_directory() == tmp_path / "local" / "statlas"


def test_the_header_names_the_sources(root: Path, own_cache: Path) -> None:
    load_catalogue(root)
    header = json.loads(only_file(own_cache).read_bytes().partition(b"\n")[0])
    number, _, files = header["key"]
    assert number == cache.FORMAT
    names = {Path(name).name for name, size, changed in files}
    assert {"papers.toml", "synonyms.toml", "index.py", "search.py"} <= names


def test_many_writers_leave_one_whole_file(root: Path, own_cache: Path) -> None:
    """Processes that start together all answer right, and the file they leave is sound."""
    program = (
        "import sys; from pathlib import Path\n"
        "from statlas.catalog import find, load_catalogue\n"
        "c = load_catalogue(Path(sys.argv[1]))\n"
        "print(len(c), find('whale', catalogue=c)[0].id)\n"
    )
    command = [sys.executable, "-c", program, str(root)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    answers = [run.communicate(timeout=120)[0].strip() for run in runs]
    assert answers == ["2 second"] * 6
    file = only_file(own_cache)
    key = json.loads(file.read_bytes().partition(b"\n")[0])["key"]
    assert cache.read_cache(file, key) is not None


def test_a_reader_never_meets_half_a_file(tmp_path: Path) -> None:
    """While one key is written over another, a reader sees one of them, whole, or neither."""
    file = tmp_path / "c.jsonl"
    for n in range(50):
        assert cache.write_cache(file, [n % 2], [n % 2] * 1000, {})
        seen = [cache.read_cache(file, [k]) for k in (0, 1)]
        (kept,) = [found for found in seen if found is not None]
        assert kept[0] == [n % 2] * 1000
        assert kept[1]() == {}
