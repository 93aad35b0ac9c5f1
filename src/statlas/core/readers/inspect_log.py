"""Logs of Inspect: ``.eval`` archives and ``.json`` documents, read without Inspect.

What is read
    An ``.eval`` log is a zip archive with the members ``header.json`` (absent while a run is
    going on or after a crash; then ``_journal/start.json``), ``summaries.json`` (or
    ``_journal/summaries/N.json``) and ``samples/ID_epoch_N.json``. The members are compressed with
    deflate or, in newer logs, zstd (method 93, which Python's `zipfile` does not know). Scores
    are taken from the summaries; the samples are opened only where summaries are missing. Of
    several records of one sample and epoch the last counts.

How a score becomes a number
    As Inspect's metrics do it: ``C`` 1, ``I`` 0, ``P`` 0.5, ``N`` 0, yes/true 1, no/false 0,
    numbers and texts of numbers as they are. Unlike there, what is none of these is missing and
    told, not 0. A sample with an error or without score is kept, its score missing.

Limits
    Nothing is unpacked to disk. A member that says it unfolds to more than `MAX_MEMBER` bytes is
    refused, and so is one that unfolds to another size than it says.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from statlas.core.errors import InputError
from statlas.core.readers.streams import (
    DECOMPRESSION_ERRORS,
    Note,
    as_float,
    as_mapping,
    files_under,
    first_bytes,
    label_frame,
    parse_json,
    zstd_stream,
)
from statlas.core.readers.tables import load_json

FORMAT = "inspect"
MAX_MEMBER = 512 * 2**20
"""Most bytes that one member of an archive may unfold to."""

_ZSTD = 93
_LOCAL_HEADER = 30  # bytes, before the member's name
_LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_START = re.compile(rb'\s*\{\s*"version"\s*:\s*\d+\s*,\s*"status"\s*:')


def is_inspect_archive(names: list[str]) -> bool:
    """Whether a zip archive with these members is an Inspect log."""
    return "header.json" in names or "_journal/start.json" in names


def is_inspect_document(document: object) -> bool:
    """Whether a JSON document is an Inspect log."""
    if not isinstance(document, dict) or not isinstance(document.get("eval"), dict):
        return False
    return "task" in document["eval"] and "model" in document["eval"]


def is_inspect_path(path: Path) -> bool:
    """Whether a file of a folder is an Inspect log, by suffix and first bytes."""
    if path.suffix == ".eval":
        return True
    if path.suffix != ".json":
        return False
    return _START.match(first_bytes(path, 256)) is not None


def read_inspect_log(path: str | Path, *, metric: str | None = None) -> pd.DataFrame:
    """Read the scores of an Inspect log, or of a folder of logs.

    Parameters
    ----------
    path
        An ``.eval`` or ``.json`` log, or a folder of them; of several logs of the same task and
        model the newest successful one is taken, else the newest.
    metric
        Scorer to take, and after a slash the key where its scores are mappings:
        ``"match"``, ``"rubric/style"``. Default: the log's headline, else the first scorer and
        its first key.

    Returns
    -------
    pandas.DataFrame
        One row per sample and epoch: ``model``, ``task``, ``question`` (the sample's id, after
        ``task/`` where there are several tasks), ``repeat`` (the epoch), ``cluster`` (the task,
        only where there are several), ``score`` (float64, missing where there is none) and
        ``scorer``.

    Raises
    ------
    InputError
        If the log is damaged or empty, the scorer does not exist or gives lists, or two logs of
        one task and model have different settings.
    MissingExtra
        If the log is compressed with zstd and no decompressor is installed.
    """
    path = Path(path)
    notes: list[Note] = []
    if path.is_dir():
        logs = [_load(file) for file in files_under(path) if is_inspect_path(file)]
        if not logs:
            raise InputError(f"there is no Inspect log in {path}")
        logs = _latest_logs(logs, notes)
    else:
        logs = [_load(path)]
    several_tasks = len({log.task for log in logs}) > 1
    parts = [_frame_of_log(log, metric, several_tasks, notes) for log in logs]
    frame = pd.concat(parts, ignore_index=True)
    return label_frame(frame, path, FORMAT, notes)


# --- one log ---------------------------------------------------------------------------------


@dataclass
class _Sample:
    """What is kept of a sample."""

    id: str
    epoch: int
    scores: dict[str, Any]  # raw value of each scorer
    failed: bool


@dataclass
class _Log:
    """What is kept of a log."""

    path: Path
    header: dict[str, Any]
    samples: list[_Sample] = field(default_factory=list)

    @property
    def spec(self) -> dict[str, Any]:
        return dict(self.header["eval"])

    @property
    def task(self) -> str:
        return str(self.spec["task"])

    @property
    def model(self) -> str:
        return str(self.spec["model"])

    @property
    def status(self) -> str:
        return str(self.header.get("status", "started"))


def _load(path: Path) -> _Log:
    with path.open("rb") as stream:
        if stream.read(2) != b"PK":
            return _load_document(path, load_json(path))
        stream.seek(0)
        try:
            with zipfile.ZipFile(stream) as archive:
                return _load_archive(_Archive(path, archive, stream))
        except zipfile.BadZipFile as error:
            raise InputError(
                f"{path.name} is not a complete archive: {error}",
                remedy="copy it again; it may have been cut short",
            ) from None


def _load_document(path: Path, document: Any) -> _Log:
    if not is_inspect_document(document):
        raise InputError(f"{path.name} is not an Inspect log", remedy="it has no 'eval' entry")
    header = {key: value for key, value in document.items() if key != "samples"}
    records = document.get("samples")
    records = records if isinstance(records, list) else []
    return _Log(path, header, _last_of_each(_sample(record, path) for record in records))


def _load_archive(archive: _Archive) -> _Log:
    names = archive.names
    if "header.json" in names:
        header = archive.json("header.json")
    elif "_journal/start.json" in names:
        header = {**archive.json("_journal/start.json"), "status": "started"}
    else:
        raise InputError(
            f"{archive.path.name} is a zip archive, but not an Inspect log",
            remedy="unpack it and give the table inside",
        )
    if not is_inspect_document(header):
        raise InputError(f"the header of {archive.path.name} names no task and model")
    full = [name for name in names if re.fullmatch(r"samples/.*\.json", name, re.DOTALL)]
    samples = _last_of_each(_sample(item, archive.path) for item in _summaries(archive))
    if len(samples) < len(full):
        samples = _last_of_each(_sample(archive.json(name), archive.path) for name in full)
    return _Log(archive.path, header, samples)


def _summaries(archive: _Archive) -> Iterator[Any]:
    members = ["summaries.json"]
    if members[0] not in archive.names:
        pattern = re.compile(r"_journal/summaries/(\d+)\.json")
        numbered = [match for name in archive.names if (match := pattern.fullmatch(name))]
        members = [match[0] for match in sorted(numbered, key=lambda match: int(match[1]))]
    for member in members:
        records = archive.json(member)
        if not isinstance(records, list):
            raise InputError(f"{member} in {archive.path.name} must be a list")
        yield from records


def _sample(record: Any, path: Path) -> _Sample:
    record = as_mapping(record)
    if not isinstance(record.get("id"), str | int) or not isinstance(record.get("epoch"), int):
        raise InputError(f"a sample of {path.name} has no id and epoch")
    scores = record.get("scores")
    if scores is None and record.get("score") is not None:  # logs before there were several
        scores = {"score": record["score"]}
    values = {name: as_mapping(score).get("value") for name, score in as_mapping(scores).items()}
    failed = record.get("error") is not None
    return _Sample(str(record["id"]), int(record["epoch"]), values, failed)


def _last_of_each(samples: Iterator[_Sample]) -> list[_Sample]:
    return list({(sample.id, sample.epoch): sample for sample in samples}.values())


class _Archive:
    """Members of a zip archive, zstd included, none larger than allowed."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, stream: BinaryIO):
        self.path, self._archive, self._stream = path, archive, stream
        self.names = list(dict.fromkeys(archive.namelist()))

    def json(self, name: str) -> Any:
        return parse_json(self._read(name), f"{name} in {self.path.name}")

    def _read(self, name: str) -> bytes:
        info = self._archive.getinfo(name)  # the last of several of this name
        where = f"{name} in {self.path.name}"
        if info.file_size > MAX_MEMBER:
            raise InputError(
                f"{where} unfolds to {info.file_size:,} bytes, more than {MAX_MEMBER:,}",
                remedy="write the log without samples' transcripts, or as .json",
            )
        try:
            data = self._unfold(info)
        except (*DECOMPRESSION_ERRORS, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
            raise InputError(f"{where} cannot be decompressed: {error}") from None
        if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
            raise InputError(
                f"{where} is damaged: its size or checksum is not what the archive says",
                remedy="copy the log again",
            )
        return data

    def _unfold(self, info: zipfile.ZipInfo) -> bytes:
        """At most one byte more than the member says it has, so that a wrong size is noticed."""
        if info.compress_type != _ZSTD:
            with self._archive.open(info) as member:
                return member.read(info.file_size + 1)
        if info.flag_bits & 1:
            raise RuntimeError("it is encrypted")
        self._stream.seek(info.header_offset)
        head = self._stream.read(_LOCAL_HEADER)
        if len(head) < _LOCAL_HEADER or not head.startswith(b"PK\x03\x04"):
            raise zipfile.BadZipFile("its header is not where the archive says")
        name_length, extra_length = head[26:28], head[28:30]
        self._stream.seek(
            int.from_bytes(name_length, "little") + int.from_bytes(extra_length, "little"), 1
        )
        packed = io.BytesIO(self._stream.read(info.compress_size))
        with zstd_stream(packed) as member:
            return member.read(info.file_size + 1)


# --- several logs ----------------------------------------------------------------------------


def _latest_logs(logs: list[_Log], notes: list[Note]) -> list[_Log]:
    """One log per task and model: the newest successful one, else the newest."""
    ordered = sorted(
        logs, key=lambda log: (log.status == "success", str(log.spec.get("created", "")))
    )
    latest: dict[tuple[str, str], _Log] = {}
    for log in ordered:
        other = latest.setdefault((log.task, log.model), log)
        if _settings(other) != _settings(log):
            raise InputError(
                f"{other.path.name} and {log.path.name} are runs of task {log.task!r} and model "
                f"{log.model!r} with different settings",
                remedy="read them one at a time",
            )
        latest[log.task, log.model] = log
    if len(latest) < len(logs):
        notes.append(
            (
                "older-runs",
                f"{len(logs) - len(latest)} older or unfinished log(s) of the same task and model "
                "were left out",
                "read a log on its own to see it",
            )
        )
    return [log for log in logs if latest[log.task, log.model] is log]


def _settings(log: _Log) -> str:
    """What makes two runs of a task and model the same experiment, as text."""
    keys = ("task_args", "solver", "solver_args", "model_args", "model_generate_config")
    return json.dumps({key: log.spec.get(key) or None for key in keys}, sort_keys=True)


# --- scores ----------------------------------------------------------------------------------


def score_to_float(value: object) -> float:
    """Read one score as a number, as Inspect's ``value_to_float`` does; NaN where it is none.

    Examples
    --------
    >>> [score_to_float(value) for value in ("C", "P", True, "no", "0.25", "maybe")]
    [1.0, 0.5, 1.0, 0.0, 0.25, nan]
    """
    if isinstance(value, bool | int | float):
        return as_float(value)
    if not isinstance(value, str):
        return math.nan
    if value in _LETTERS:
        return _LETTERS[value]
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    try:
        number = float(value)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _frame_of_log(
    log: _Log, metric: str | None, several_tasks: bool, notes: list[Note]
) -> pd.DataFrame:
    if not log.samples:
        raise InputError(
            f"{log.path.name} holds no samples (status {log.status!r})",
            remedy="the run ended before the first answer, or was logged without samples",
        )
    scorer, key = _choose_scorer(log, metric, notes)
    values = [_value(sample, scorer, key) for sample in log.samples]
    scores = np.array([score_to_float(value) for value in values], dtype=np.float64)
    columns: dict[str, Any] = {
        "model": log.model,
        "task": log.task,
        "question": [f"{log.task}/{s.id}" if several_tasks else s.id for s in log.samples],
        "repeat": np.array([sample.epoch for sample in log.samples], dtype=np.int64),
    }
    if several_tasks:
        columns["cluster"] = log.task
    columns |= {"score": scores, "scorer": scorer if key is None else f"{scorer}/{key}"}
    _note_state(log, notes)
    _note_missing(log, values, scores, notes)
    return pd.DataFrame(columns)


def _value(sample: _Sample, scorer: str, key: str | None) -> object:
    value = sample.scores.get(scorer)
    if key is None or not isinstance(value, dict):
        return value
    return value.get(key)


def _choose_scorer(log: _Log, metric: str | None, notes: list[Note]) -> tuple[str, str | None]:
    """The scorer, and the key of its mapping where it gives one."""
    keys: dict[str, list[str]] = {}  # of each scorer, empty where scores are single values
    for sample in log.samples:
        for name, value in sample.scores.items():
            known = keys.setdefault(name, [])
            if isinstance(value, dict):
                known += [key for key in value if key not in known]
    choices = [f"{name}/{key}" if key else name for name in keys for key in keys[name] or [""]]
    if not keys:
        if metric is not None:
            raise InputError(f"no sample of {log.path.name} has a score", column="metric")
        return "none", None
    scorer, key = _named_scorer(log, metric, keys, choices)
    if any(isinstance(_value(sample, scorer, key), list) for sample in log.samples):
        raise InputError(
            f"the scorer {scorer!r} of {log.path.name} gives lists, not one number",
            column="score",
            remedy=f"choose another with metric=: {', '.join(choices)}",
        )
    chosen = f"{scorer}/{key}" if key else scorer
    others = [choice for choice in choices if choice != chosen]
    if metric is None and others:
        notes.append(
            (
                "scorer-chosen",
                f"{log.path.name} was read with the scorer {chosen!r}; it also has "
                f"{', '.join(others)}",
                'choose another with metric="..."',
            )
        )
    return scorer, key


def _named_scorer(
    log: _Log, metric: str | None, keys: dict[str, list[str]], choices: list[str]
) -> tuple[str, str | None]:
    if metric is None:
        headline = as_mapping(as_mapping(log.header.get("results")).get("headline"))
        scorer = str(headline.get("scorer"))
        scorer = scorer if scorer in keys else next(iter(keys))
        wanted = str(headline.get("score"))
        return scorer, wanted if wanted in keys[scorer] else next(iter(keys[scorer]), None)
    if metric in keys:
        return metric, next(iter(keys[metric]), None)
    for scorer in keys:
        for key in keys[scorer]:
            if metric in (key, f"{scorer}/{key}"):
                return scorer, key
    raise InputError(
        f"{log.path.name} has no scorer {metric!r}",
        column="metric",
        remedy=f"choose among {', '.join(choices)}",
    )


def _note_state(log: _Log, notes: list[Note]) -> None:
    if log.status != "success":
        planned = _planned_samples(log.spec)
        of = f" of {planned}" if planned else ""
        notes.append(
            (
                "unfinished-log",
                f"{log.path.name} has the status {log.status!r}: it holds {len(log.samples)}{of} "
                "answers",
                "the answers that are there may not be a random part; finish the run if you can",
            )
        )
    if log.header.get("invalidated"):
        notes.append(
            (
                "invalidated-samples",
                f"samples of {log.path.name} were marked invalid after the run; they are included",
                "write the log without them, or run them again",
            )
        )


def _planned_samples(spec: dict[str, Any]) -> int:
    ids = as_mapping(spec.get("dataset")).get("sample_ids")
    epochs = as_mapping(spec.get("config")).get("epochs")
    return (len(ids) if isinstance(ids, list) else 0) * (epochs if isinstance(epochs, int) else 1)


def _note_missing(
    log: _Log, values: list[object], scores: np.ndarray[Any, Any], notes: list[Note]
) -> None:
    missing = int(np.isnan(scores).sum())
    if missing:
        failed = sum(
            sample.failed and math.isnan(score)
            for sample, score in zip(log.samples, scores, strict=True)
        )
        notes.append(
            (
                "missing-scores",
                f"{missing} of {len(scores)} answers in {log.path.name} have no score "
                f"({failed} of them ended in an error)",
                "leaving them out is right only if failing has nothing to do with the answer",
            )
        )
    odd = sorted(
        {
            value
            for value, score in zip(values, scores, strict=True)
            if isinstance(value, str) and math.isnan(score)
        }
    )
    if odd:
        notes.append(
            (
                "scores-not-numbers",
                f"scores that are not numbers were read as missing: {', '.join(odd[:5])}",
                "Inspect's own metrics count them as 0; rescore the log with numbers",
            )
        )
