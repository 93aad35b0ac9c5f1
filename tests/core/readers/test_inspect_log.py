"""Inspect: logs that Inspect itself wrote, against its own reading, and hostile archives."""

from __future__ import annotations

import io
import json
import math
import shutil
import struct
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from statlas.core.errors import InputError, MissingExtra
from statlas.core.readers import inspect_log, read_frame, read_inspect_log, streams
from statlas.core.readers.inspect_log import score_to_float

FIXTURES = Path(__file__).parent / "fixtures"
LOGS = FIXTURES / "inspect"
EXPECTED: dict[str, list[dict[str, Any]]] = json.loads(
    (FIXTURES / "inspect_expected.json").read_text()
)


def codes(frame: Any) -> list[str]:
    return [code for code, _, _ in frame.attrs["notes"]]


def scores_by_sample(frame: Any) -> dict[tuple[str, int], float]:
    return dict(
        zip(
            zip(frame["question"], frame["repeat"], strict=True),
            frame["score"],
            strict=True,
        )
    )


# --- against Inspect -------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_scores_are_those_that_inspect_reads(name: str) -> None:
    frame = read_frame(LOGS / name)
    wanted = {
        (row["id"], row["epoch"]): math.nan
        if row["first_as_float"] is None
        else row["first_as_float"]
        for row in EXPECTED[name]
    }
    found = scores_by_sample(frame)
    assert found.keys() == wanted.keys()
    np.testing.assert_array_equal([found[key] for key in wanted], list(wanted.values()))
    assert frame.attrs["format"] == "inspect"


def test_samples_df_has_the_same_rows_and_values() -> None:
    for name, rows in EXPECTED.items():
        scorer = "letter" if name == "grades.eval" else "match"
        found = scores_by_sample(read_inspect_log(LOGS / name, metric=scorer))
        for row in rows:
            text = row["samples_df"].get(f"score_{scorer}", "nan")
            np.testing.assert_equal(found[row["id"], row["epoch"]], score_to_float(text))


@pytest.mark.parametrize("key", ["style", "facts"])
def test_mappings_are_read_by_key(key: str) -> None:
    for metric in (f"rubric/{key}", key):
        frame = read_frame(LOGS / "grades.eval", metric=metric)
        found = scores_by_sample(frame)
        for row in EXPECTED["grades.eval"]:
            value = row["values"].get("rubric", {}).get(key)
            wanted = {"C": 1.0, None: math.nan}.get(value, value)
            np.testing.assert_equal(found[row["id"], 1], float(wanted))
        assert set(frame["scorer"]) == {f"rubric/{key}"}


def test_the_mean_over_epochs_is_the_accuracy_in_the_header() -> None:
    header = json.loads((LOGS / "capitals_alpha.json").read_text())
    [score] = header["results"]["scores"]
    frame = read_frame(LOGS / "capitals_alpha.eval")
    assert frame["score"].mean() == pytest.approx(score["metrics"]["accuracy"]["value"])


def test_every_form_of_a_log_gives_the_same_frame() -> None:
    frame = read_frame(LOGS / "capitals_alpha.eval")
    assert list(frame.columns) == ["model", "task", "question", "repeat", "score", "scorer"]
    assert set(frame["model"]) == {"mockllm/alpha"}
    assert set(frame["task"]) == {"capitals"}
    assert frame["repeat"].dtype == np.int64
    rows = sorted(frame.to_numpy().tolist())
    for name in ("capitals_alpha.json", "capitals_alpha_deflate.eval", "no_summaries.eval"):
        other = read_frame(LOGS / name)
        assert sorted(other.to_numpy().tolist()) == rows
        assert codes(other) == []


# --- states and choices ----------------------------------------------------------------------


def test_an_unfinished_log_is_told() -> None:
    cancelled = read_frame(LOGS / "cancelled.eval")
    assert codes(cancelled) == ["unfinished-log"]
    assert "'cancelled': it holds 4 of 6 answers" in cancelled.attrs["notes"][0][1]
    crashed = read_frame(LOGS / "crashed.eval")  # no header: only the journal
    assert codes(crashed) == ["unfinished-log"]
    assert "'started'" in crashed.attrs["notes"][0][1]


def test_missing_scores_are_kept_and_told() -> None:
    frame = read_frame(LOGS / "grades.eval")
    assert codes(frame) == ["scorer-chosen", "missing-scores"]
    assert "also has rubric/style, rubric/facts" in frame.attrs["notes"][0][1]
    assert frame.attrs["notes"][1][1].startswith("3 of 11 answers in grades.eval have no score (1")
    assert frame["score"].isna().sum() == 3


def test_an_unknown_scorer_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="letter, rubric/style, rubric/facts"):
        read_frame(LOGS / "grades.eval", metric="match")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("C", 1.0),
        ("I", 0.0),
        ("P", 0.5),
        ("N", 0.0),
        ("True", 1.0),
        ("NO", 0.0),
        ("1e-3", 0.001),
        (False, 0.0),
        (3, 3.0),
        ("c", math.nan),
        ("inf", math.nan),
        ("", math.nan),
        (None, math.nan),
        ([1], math.nan),
    ],
)
def test_score_to_float(value: object, number: float) -> None:
    np.testing.assert_equal(score_to_float(value), number)


def document(**changes: Any) -> dict[str, Any]:
    spec = {"task": "t", "model": "m", "created": "2026-01-01T00:00:00+00:00"}
    samples = [{"id": i, "epoch": 1, "scores": {"s": {"value": "C"}}} for i in (1, 2)]
    return {"version": 2, "status": "success", "eval": spec, "samples": samples, **changes}


def write_log(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(document(**changes)))
    return path


def test_a_grade_that_is_no_number_is_missing_and_told(tmp_path: Path) -> None:
    samples = [{"id": 1, "epoch": 1, "scores": {"s": {"value": value}}} for value in ("A", "C")]
    samples[1]["id"] = 2
    frame = read_frame(write_log(tmp_path / "a.json", samples=samples))
    np.testing.assert_array_equal(frame["score"], [np.nan, 1])
    assert codes(frame) == ["missing-scores", "scores-not-numbers"]


def test_the_last_record_of_a_sample_counts(tmp_path: Path) -> None:
    samples = [{"id": 1, "epoch": 1, "scores": {"s": {"value": value}}} for value in (0, 1)]
    assert read_frame(write_log(tmp_path / "a.json", samples=samples))["score"].tolist() == [1]


def test_the_headline_chooses_scorer_and_key(tmp_path: Path) -> None:
    scores = {"a": {"value": 0}, "b": {"value": {"x": 0, "y": 1}}}
    samples = [{"id": 1, "epoch": 1, "scores": scores}]
    results = {"headline": {"scorer": "b", "score": "y"}}
    frame = read_frame(write_log(tmp_path / "a.json", samples=samples, results=results))
    assert frame[["scorer", "score"]].to_numpy().tolist() == [["b/y", 1.0]]


def test_scores_of_logs_before_there_were_several(tmp_path: Path) -> None:
    samples = [{"id": 1, "epoch": 1, "score": {"value": "P"}}]
    assert read_frame(write_log(tmp_path / "a.json", samples=samples))["score"].tolist() == [0.5]


def test_lists_are_no_score(tmp_path: Path) -> None:
    samples = [{"id": 1, "epoch": 1, "scores": {"s": {"value": [1, 0]}, "u": {"value": 1}}}]
    path = write_log(tmp_path / "a.json", samples=samples)
    with pytest.raises(InputError, match="gives lists"):
        read_frame(path)
    assert read_frame(path, metric="u")["score"].tolist() == [1]


def test_invalidated_samples_are_told(tmp_path: Path) -> None:
    path = write_log(tmp_path / "a.json", invalidated=True)
    assert codes(read_frame(path)) == ["invalidated-samples"]


def test_a_log_without_samples(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no samples"):
        read_frame(write_log(tmp_path / "a.json", samples=None, status="error"))


def test_a_json_log_with_other_key_order(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(dict(reversed(document().items())), indent=2))
    assert read_frame(path)["score"].tolist() == [1, 1]


# --- folders ---------------------------------------------------------------------------------


def test_a_folder_of_logs(tmp_path: Path) -> None:
    for name in ("capitals_alpha.eval", "capitals_beta.eval"):
        shutil.copy(LOGS / name, tmp_path)
    frame = read_frame(tmp_path)
    assert frame.groupby("model").size().to_dict() == {"mockllm/alpha": 6, "mockllm/beta": 6}
    assert "cluster" not in frame
    shutil.copy(LOGS / "grades.eval", tmp_path)
    several = read_frame(tmp_path)
    assert several["cluster"].tolist() == several["task"].tolist()
    assert several["question"].iloc[0] == "capitals/q/France"


def test_the_newest_successful_log_is_taken(tmp_path: Path) -> None:
    def spec(day: int, **more: Any) -> dict[str, Any]:
        return {"task": "t", "model": "m", "created": f"2026-01-0{day}", **more}

    def one(value: int) -> list[dict[str, Any]]:
        return [{"id": 1, "epoch": 1, "scores": {"s": {"value": value}}}]

    write_log(tmp_path / "1.json", eval=spec(1), samples=one(1))
    write_log(tmp_path / "2.json", eval=spec(2), samples=one(2))
    write_log(tmp_path / "3.json", eval=spec(3), samples=one(3), status="error")
    frame = read_frame(tmp_path)
    assert frame["score"].tolist() == [2]
    assert codes(frame) == ["older-runs"]
    write_log(tmp_path / "4.json", eval=spec(4, task_args={"shots": 5}), samples=one(4))
    with pytest.raises(InputError, match="with different settings"):
        read_frame(tmp_path)


# --- hostile archives ------------------------------------------------------------------------


def archive(
    members: dict[str, bytes],
    *,
    size: int | None = None,
    crc: int | None = None,
    flags: int = 0,
    method: int = 93,
    shift: int = 0,
    pack: Any = None,
) -> bytes:
    """A zip file written by hand, so that its central directory can lie."""
    pack = pack or (lambda data: pa.compress(data, codec="zstd", asbytes=True))
    body, directory = io.BytesIO(), io.BytesIO()
    for name, data in members.items():
        packed = pack(data)
        lie = name == "header.json"
        common = struct.pack(
            "<HHHHHIIIHH",
            63,
            flags if lie else 0,
            method,
            0,
            0,
            crc if lie and crc is not None else zlib.crc32(data),
            len(packed),
            size if lie and size is not None else len(data),
            len(name),
            0,
        )
        offset = body.tell() + (shift if lie else 0)
        body.write(b"PK\x03\x04" + common + name.encode() + packed)
        directory.write(b"PK\x01\x02" + struct.pack("<H", 63) + common)
        directory.write(struct.pack("<HHHII", 0, 0, 0, 0, offset) + name.encode())
    end = struct.pack(
        "<HHHHIIH", 0, 0, len(members), len(members), directory.tell(), body.tell(), 0
    )
    return body.getvalue() + directory.getvalue() + b"PK\x05\x06" + end


def members() -> dict[str, bytes]:
    log = document()
    samples = log.pop("samples")
    return {"summaries.json": json.dumps(samples).encode(), "header.json": json.dumps(log).encode()}


def refusal(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "a.eval"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_frame(path)
    return str(caught.value)


def two_frames(data: bytes) -> bytes:
    return b"".join(
        pa.compress(half, codec="zstd", asbytes=True) for half in (data[:50], data[50:])
    )


def test_an_honest_archive_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.eval"
    path.write_bytes(archive(members()))
    assert read_frame(path)["score"].tolist() == [1, 1]
    path.write_bytes(archive(members(), pack=two_frames))
    assert read_frame(path)["score"].tolist() == [1, 1]
    path.rename(tmp_path / "a.zip")
    assert read_frame(tmp_path / "a.zip")["score"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ({"size": 10}, "is damaged: its size or checksum"),
        ({"size": 10_000}, "is damaged: its size or checksum"),
        ({"size": 2**31}, "unfolds to 2,147,483,648 bytes, more than"),
        ({"size": 10, "crc": zlib.crc32(members()["header.json"][:10])}, "is damaged"),
        ({"crc": 1}, "is damaged: its size or checksum"),
        ({"flags": 1}, "cannot be decompressed: it is encrypted"),
        ({"shift": 3}, "its header is not where the archive says"),
        ({"method": 99}, "compression method is not supported"),
        ({"pack": lambda data: b"no zstd data"}, "cannot be decompressed"),
        (
            {"pack": lambda data: pa.compress(data, codec="zstd", asbytes=True)[:-9]},
            "header.json in a.eval",
        ),
        ({"method": 8}, "cannot be decompressed"),
    ],
)
def test_archives_that_lie(tmp_path: Path, lie: dict[str, Any], words: str) -> None:
    assert words in refusal(tmp_path, archive(members(), **lie))


def test_a_bomb_is_not_unfolded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect_log, "MAX_MEMBER", 10_000)
    bomb = {**members(), "header.json": b" " * 50_000_000}
    assert "unfolds to 50,000,000 bytes" in refusal(tmp_path, archive(bomb))
    # one that claims to be small is read to its claimed size and no further
    assert "is damaged" in refusal(tmp_path, archive(bomb, size=500))


@pytest.mark.parametrize("summarised", [0, 1])
def test_samples_are_opened_where_summaries_are_missing(tmp_path: Path, summarised: int) -> None:
    log = document()
    samples = log.pop("samples")
    content = {f"samples/{s['id']}_epoch_1.json": json.dumps(s).encode() for s in samples}
    content["summaries.json"] = json.dumps(samples[:summarised]).encode()
    content["header.json"] = json.dumps(log).encode()
    path = tmp_path / "a.eval"
    path.write_bytes(archive(content))
    assert read_frame(path)["question"].tolist() == ["1", "2"]


def test_truncated_and_foreign_archives(tmp_path: Path) -> None:
    whole = (LOGS / "capitals_alpha.eval").read_bytes()
    assert "is not a complete archive" in refusal(tmp_path, whole[:-30])
    assert "is not a complete archive" in refusal(tmp_path, whole[:3000])
    assert "not an Inspect log" in refusal(tmp_path, archive({"a.txt": b"x"}))
    assert "a.eval is not valid JSON" in refusal(tmp_path, b"not a log")


def test_a_bad_member_is_named(tmp_path: Path) -> None:
    bad = {**members(), "summaries.json": b"[{]"}
    assert "summaries.json in a.eval is not valid JSON" in refusal(tmp_path, archive(bad))
    bad["summaries.json"] = b"[1]"
    assert "a sample of a.eval has no id and epoch" in refusal(tmp_path, archive(bad))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_last_member_of_a_name_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w") as log:
        for value in (0, 1):
            header = {key: item for key, item in document().items() if key != "samples"}
            log.writestr("header.json", json.dumps(header))
            summary = {"id": 1, "epoch": 1, "scores": {"s": {"value": value}}}
            log.writestr("summaries.json", json.dumps([summary]))
    assert read_frame(path)["score"].tolist() == [1]


def test_without_arrows_decoder_the_extra_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("zstandard")
    frame = read_frame(LOGS / "capitals_alpha.eval")
    monkeypatch.setattr(streams, "_arrow_knows", lambda codec: False)
    assert read_frame(LOGS / "capitals_alpha.eval").equals(frame)
    assert "cannot be decompressed" in refusal(tmp_path, archive(members(), pack=lambda _: b"xxxx"))


def test_without_any_decoder_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_arrow_knows", lambda codec: False)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtra, match=r'pip install "statlas\[logs\]"'):
        read_frame(LOGS / "capitals_alpha.eval")
    assert len(read_frame(LOGS / "capitals_alpha_deflate.eval")) == 6  # needs none
