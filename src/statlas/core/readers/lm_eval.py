"""Logs of lm-evaluation-harness: the samples that ``--log_samples`` writes, and results files.

What is read
    ``MODEL/samples_TASK_TIME.jsonl`` holds one line per document and filter, with the fields
    ``doc_id``, ``doc``, ``filter``, ``metrics`` (the names of the metrics) and one key per metric;
    ``MODEL/results_TIME.json`` holds aggregates, and the model's name in ``model_name``.

What is chosen
    Metric: the first of `PREFERRED_METRICS` that the task has as one number per document, else
    the first such metric in the file's order; lists (corpus metrics such as perplexity) are no
    score of a document. Filter: the first in the file, which is the first in the task's
    definition. Run: the newest of several of the same model and task in one folder. Each choice
    that had an alternative is told in ``attrs["notes"]``.

Memory
    One line of a file, and a few numbers per document.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from statlas.core.errors import InputError
from statlas.core.readers.streams import (
    Note,
    as_float,
    as_mapping,
    files_under,
    first_bytes,
    json_lines,
    label_frame,
)
from statlas.core.readers.tables import load_json

FORMAT = "lm-evaluation-harness"
PREFERRED_METRICS = (
    "acc",
    "acc_norm",
    "exact_match",
    "f1",
    "em",
    "pass@1",
    "prompt_level_strict_acc",
    "mcc",
    "bleu",
    "rouge1",
    "brier_score",
)
"""Order in which a task's metric is chosen when none is named."""

_TIME = r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?:\.\d+)?"
_SAMPLES_NAME = re.compile(rf"samples_(?P<task>.+?)(?:_(?P<time>{_TIME}))?\.jsonl?(?:\.gz|\.zst)?")
_RESULTS_NAME = re.compile(rf".+?(?:_(?P<time>{_TIME}))?\.json")
_FIELDS = {  # of a sample, beside its metrics
    "doc_id",
    "doc",
    "target",
    "arguments",
    "resps",
    "filtered_resps",
    "filter",
    "metrics",
    "doc_hash",
    "prompt_hash",
    "target_hash",
}
_NO_MEASURE = "bypass"  # placeholder that --predict_only writes

Value = float | None


def is_sample(record: object) -> bool:
    """Whether a JSON value is one line of a samples file."""
    return (
        isinstance(record, dict)
        and {"doc_id", "doc"} <= record.keys()
        and bool({"resps", "filtered_resps"} & record.keys())
    )


def is_results(document: object) -> bool:
    """Whether a JSON document is a results file."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("results"), dict)
        and bool({"configs", "config", "versions"} & document.keys())
    )


def is_samples_path(path: Path) -> bool:
    """Whether a file is named as the harness names its samples."""
    return _SAMPLES_NAME.fullmatch(path.name) is not None


def is_results_path(path: Path) -> bool:
    """Whether a file is named as the harness names its results."""
    return re.fullmatch(rf"results(_{_TIME})?\.json", path.name) is not None


def read_lm_eval(
    path: str | Path,
    *,
    metric: str | None = None,
    filter: str | None = None,
    cluster: str = "task",
    runs: Literal["latest", "all"] = "latest",
) -> pd.DataFrame:
    """Read per-question scores that lm-evaluation-harness logged.

    Parameters
    ----------
    path
        A samples file, a results file (its samples are those beside it with the same time), or a
        folder that holds them, one or several models.
    metric
        Metric to take as score; tasks without it are left out. ``"all"`` takes the default one
        and adds a column for every metric that is one number per document. Default: see the
        module.
    filter
        Answer filter to take in tasks that have several, for example ``"flexible-extract"``.
    cluster
        ``"task"``, or a field of the documents, for example ``"subject"``.
    runs
        ``"latest"`` takes the newest run of a model and task, ``"all"`` takes every run and
        numbers them in a column ``repeat``, from 1, oldest first.

    Returns
    -------
    pandas.DataFrame
        One row per model, task and document: ``model``, ``task``, ``question`` (``task/doc_id``),
        ``repeat`` (only with ``runs="all"``), ``cluster`` (only where there are at least two),
        ``score`` (float64), ``metric`` and ``filter``. A results file without samples gives one
        row per task: ``model``, ``task``, ``score``, ``standard_error``, ``n_questions``,
        ``metric``, ``filter``, and a note that says so.

    Raises
    ------
    InputError
        If a file is damaged (line named), no task has a score per document, or the metric,
        filter or cluster field does not exist.
    """
    path = Path(path)
    files = _sample_files(path)
    if not files:
        return _read_aggregates(path, metric)
    notes: list[Note] = []
    loaded = [_load_run(file, cluster) for file in files]
    _tell_apart(loaded, path if path.is_dir() else path.parent)
    kept = _number_runs(loaded) if runs == "all" else _latest_runs(loaded, notes)
    chosen = _choose(kept, metric, filter, notes)
    _require_clusters(chosen, cluster)
    frame = _assemble(chosen, with_repeat=runs == "all", all_metrics=metric == "all")
    _note_choices(chosen, frame, notes)
    return label_frame(frame, path, FORMAT, notes)


# --- files -----------------------------------------------------------------------------------


@dataclass
class _Answers:
    """What one filter gave: parallel lists over documents."""

    doc_ids: list[object] = field(default_factory=list)
    hashes: list[str | None] = field(default_factory=list)
    clusters: list[str | None] = field(default_factory=list)  # None where the field is absent
    values: list[dict[str, Value]] = field(default_factory=list)


@dataclass
class _Run:
    """One samples file."""

    path: Path
    task: str
    time: str
    model: str
    named_by_folder: bool
    results: dict[str, Any]
    answers: dict[str, _Answers]  # by filter, in the file's order
    metrics: list[str]  # one number per document, in the file's order
    repeat: int = 1


@dataclass
class _Chosen:
    """A run with the metric and filter to take."""

    run: _Run
    metric: str
    filter: str

    @property
    def answers(self) -> _Answers:
        return self.run.answers[self.filter]


def _sample_files(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in files_under(path) if is_samples_path(file)]
    if path.suffix == ".json" and not _starts_with_array(path):
        match = _RESULTS_NAME.fullmatch(path.name)
        time = match["time"] if match else None
        beside = [file for file in files_under(path.parent, depth=1) if is_samples_path(file)]
        return [file for file in beside if time is not None and _time_of(file) == time]
    return [path]


def _starts_with_array(path: Path) -> bool:
    return first_bytes(path, 64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def _time_of(path: Path) -> str:
    match = _SAMPLES_NAME.fullmatch(path.name)
    return (match["time"] or "") if match else ""


def _task_of(path: Path) -> str:
    match = _SAMPLES_NAME.fullmatch(path.name)
    return match["task"] if match else path.name.split(".")[0]


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    """Samples with their place; files of early versions hold one array."""
    if _starts_with_array(path):
        for place, record in enumerate(load_json(path), start=1):
            yield f"record {place}", record
    else:
        for line, record in json_lines(path):
            yield f"line {line}", record


def _load_run(path: Path, cluster: str) -> _Run:
    answers: dict[str, _Answers] = {}
    numeric: dict[str, bool] = {}
    task = _task_of(path)
    for where, record in _records(path):
        if not is_sample(record):
            raise InputError(
                f"{where} of {path.name} is not a sample of lm-evaluation-harness",
                remedy="it needs the fields doc_id, doc and filtered_resps",
            )
        kept = answers.setdefault(str(record.get("filter", "none")), _Answers())
        kept.doc_ids.append(record["doc_id"])
        kept.hashes.append(record.get("doc_hash"))
        kept.clusters.append(task if cluster == "task" else _field(record["doc"], cluster))
        kept.values.append(_metric_values(record, numeric))
    if not answers:
        raise InputError(f"{path.name} holds no samples", remedy="run again with --log_samples")
    results = _results_beside(path.parent, _time_of(path))
    model = _model_name(results)
    return _Run(
        path=path,
        task=task,
        time=_time_of(path),
        model=model or path.resolve().parent.name,
        named_by_folder=model is None,
        results=results,
        answers=answers,
        metrics=[name for name, is_number in numeric.items() if is_number],
    )


def _field(document: object, name: str) -> str | None:
    value = as_mapping(document).get(name)
    return str(value) if isinstance(value, str | int) else None


def _metric_values(record: dict[str, Any], numeric: dict[str, bool]) -> dict[str, Value]:
    """Metrics of one document; `numeric` keeps which of them are always one number."""
    listed = record.get("metrics")
    names = listed if isinstance(listed, list) else [key for key in record if key not in _FIELDS]
    values: dict[str, Value] = {}
    for name in [name for name in names if isinstance(name, str)]:
        value = record.get(name)
        number = as_float(value) if isinstance(value, int | float) else None
        if name == _NO_MEASURE or (number is None and value is not None):
            numeric[name] = False
        elif number is not None:
            numeric.setdefault(name, True)
        values[name] = number
    return values


@lru_cache(maxsize=1)  # the tasks of one run share a results file and are read one after another
def _cached_json(path: Path, modified_at: int) -> Any:
    return load_json(path)


def _results_beside(folder: Path, time: str) -> dict[str, Any]:
    """The results file of the same run; empty when there is none."""
    if time:
        names = [f"results_{time}.json", *(p.name for p in sorted(folder.glob(f"*_{time}.json")))]
    else:
        names = ["results.json"]
    for name in names:
        path = folder / name
        if path.is_file() and not is_samples_path(path):
            document = _cached_json(path, path.stat().st_mtime_ns)
            if is_results(document):
                return dict(document)
    return {}


def _model_name(results: dict[str, Any]) -> str | None:
    name = results.get("model_name")
    if isinstance(name, str) and name:
        return name
    # Versions before 0.4.3 name the model in its arguments only.
    arguments = as_mapping(results.get("config")).get("model_args")
    if isinstance(arguments, dict):
        arguments = ",".join(f"{key}={value}" for key, value in arguments.items())
    match = re.search(r"(?:pretrained|model|path)=([^,]+)", str(arguments))
    return match[1] if match else None


# --- choices ---------------------------------------------------------------------------------


def _tell_apart(runs: list[_Run], root: Path) -> None:
    """Name models by folder where two folders hold runs of the same model name."""
    folders = defaultdict(set)
    for run in runs:
        folders[run.model].add(run.path.parent)
    for run in runs:
        if len(folders[run.model]) > 1:
            run.model = run.path.parent.relative_to(root).as_posix()


def _by_task(runs: list[_Run]) -> dict[tuple[str, str], list[_Run]]:
    """Runs of each model and task, oldest first."""
    grouped: dict[tuple[str, str], list[_Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.time):
        grouped[run.model, run.task].append(run)
    return grouped


def _number_runs(runs: list[_Run]) -> list[_Run]:
    for same in _by_task(runs).values():
        for number, run in enumerate(same, start=1):
            run.repeat = number
    return runs


def _latest_runs(runs: list[_Run], notes: list[Note]) -> list[_Run]:
    latest = [same[-1] for same in _by_task(runs).values()]
    if len(latest) < len(runs):
        notes.append(
            (
                "older-runs",
                f"{len(runs) - len(latest)} older run(s) of the same model and task were left out",
                'read them as repeats with read_lm_eval(..., runs="all")',
            )
        )
    return [run for run in runs if run in latest]


def _choose(
    runs: list[_Run], metric: str | None, filter: str | None, notes: list[Note]
) -> list[_Chosen]:
    wanted = None if metric == "all" else metric
    known = sorted({name for run in runs for name in run.metrics})
    if wanted is not None and wanted not in known:
        raise InputError(
            f"no task has a metric {wanted!r} with one number per document",
            column="metric",
            remedy=f"choose among {', '.join(known) or 'none'}",
        )
    if filter is not None and not any(filter in run.answers for run in runs):
        filters = sorted({name for run in runs for name in run.answers})
        raise InputError(
            f"no task has a filter {filter!r}",
            column="filter",
            remedy=f"choose among {', '.join(filters)}",
        )
    chosen, without = [], []
    for run in runs:
        name = wanted or _default_metric(run.metrics)
        if name is None or name not in run.metrics:
            without.append(run.task)
        else:
            chosen.append(_Chosen(run, name, _choose_filter(run, filter)))
    if not chosen:
        raise InputError(
            f"no task holds one number per document ({', '.join(sorted(set(without)))})",
            remedy="corpus metrics such as perplexity have no score of a single document",
        )
    if without:
        what = f"metric {wanted!r}" if wanted else "score per document"
        notes.append(
            (
                "tasks-left-out",
                f"tasks without {what} were left out: {', '.join(sorted(set(without)))}",
                "choose another metric, or read their files one at a time",
            )
        )
    return chosen


def _require_clusters(chosen: list[_Chosen], cluster: str) -> None:
    for item in chosen:
        absent = item.answers.clusters.count(None)
        if absent:
            raise InputError(
                f"{absent} of {len(item.answers.clusters)} documents of task {item.run.task!r} "
                f"have no field {cluster!r} of text or a whole number",
                column="cluster",
                remedy="choose a field that all documents have, or cluster='task'",
            )


def _default_metric(metrics: list[str]) -> str | None:
    preferred = [name for name in PREFERRED_METRICS if name in metrics]
    return next(iter(preferred + metrics), None)


def _choose_filter(run: _Run, filter: str | None) -> str:
    if filter in run.answers:
        return str(filter)
    if filter is not None and len(run.answers) > 1:
        raise InputError(
            f"task {run.task!r} has no filter {filter!r}",
            column="filter",
            remedy=f"choose among {', '.join(run.answers)}",
        )
    return next(iter(run.answers))


# --- the frame -------------------------------------------------------------------------------


def _assemble(chosen: list[_Chosen], with_repeat: bool, all_metrics: bool) -> pd.DataFrame:
    counts = [len(item.answers.doc_ids) for item in chosen]

    def spread(values: list[Any]) -> Any:
        return np.repeat(np.array(values, dtype=object), counts)

    columns: dict[str, Any] = {
        "model": spread([item.run.model for item in chosen]),
        "task": spread([item.run.task for item in chosen]),
        "question": [f"{item.run.task}/{doc}" for item in chosen for doc in item.answers.doc_ids],
    }
    if with_repeat:
        columns["repeat"] = np.repeat([item.run.repeat for item in chosen], counts)
    clusters = [label for item in chosen for label in item.answers.clusters]
    if len(set(clusters)) > 1:
        columns["cluster"] = clusters
    columns["score"] = _metric_column(chosen, [item.metric for item in chosen])
    columns["metric"] = spread([item.metric for item in chosen])
    columns["filter"] = spread([item.filter for item in chosen])
    if all_metrics:
        for name in dict.fromkeys(name for item in chosen for name in item.run.metrics):
            columns[name] = _metric_column(chosen, [name] * len(chosen))
    return pd.DataFrame(columns).infer_objects()


def _metric_column(chosen: list[_Chosen], names: list[str]) -> np.ndarray[Any, Any]:
    return np.array(
        [
            values.get(name)
            for item, name in zip(chosen, names, strict=True)
            for values in item.answers.values
        ],
        dtype=np.float64,
    )


def _note_choices(chosen: list[_Chosen], frame: pd.DataFrame, notes: list[Note]) -> None:
    """Tell what was chosen where the log offered more, and what a comparison must know."""
    filtered = [item for item in chosen if len(item.run.answers) > 1]
    if filtered:
        item = filtered[0]
        others = ", ".join(name for name in item.run.answers if name != item.filter)
        notes.append(
            (
                "filter-chosen",
                f"task {item.run.task!r} was read with the filter {item.filter!r}; it also has "
                f"{others}",
                'choose another with read_lm_eval(..., filter="...")',
            )
        )
    folders = sorted({item.run.model for item in chosen if item.run.named_by_folder})
    if folders:
        notes.append(
            (
                "model-from-folder",
                f"no results file names the model; the folder does: {', '.join(folders)}",
                "keep the results file beside the samples",
            )
        )
    lower = sorted({f"{item.run.task} ({item.metric})" for item in chosen if _lower_better(item)})
    if lower:
        notes.append(
            ("lower-is-better", f"a lower score is better in {', '.join(lower)}", "mind the sign")
        )
    metrics = sorted(set(frame["metric"]))
    if len(metrics) > 1:
        notes.append(
            (
                "several-metrics",
                f"tasks are scored by different metrics: {', '.join(metrics)}",
                "choose one with metric=, or read one task",
            )
        )
    different = _different_questions(chosen)
    if different:
        notes.append(
            (
                "different-questions",
                f"{different} question(s) have the same number but another text in another run",
                "compare runs of the same version of the task only",
            )
        )


def _lower_better(item: _Chosen) -> bool:
    by_task = as_mapping(item.run.results.get("higher_is_better"))
    return as_mapping(by_task.get(item.run.task)).get(item.metric) is False


def _different_questions(chosen: list[_Chosen]) -> int:
    seen: dict[tuple[str, object], str] = {}
    different = set()
    for item in chosen:
        for doc, digest in zip(item.answers.doc_ids, item.answers.hashes, strict=True):
            if digest is not None and seen.setdefault((item.run.task, str(doc)), digest) != digest:
                different.add((item.run.task, str(doc)))
    return len(different)


# --- results without samples -----------------------------------------------------------------


def _read_aggregates(path: Path, metric: str | None) -> pd.DataFrame:
    files = [path]
    if path.is_dir():
        files = [file for file in files_under(path) if is_results_path(file)]
    rows = []
    for file in files:
        document = load_json(file)
        if not is_results(document):
            raise InputError(f"{file.name} is not a results file of lm-evaluation-harness")
        rows += _aggregate_rows(file, document, None if metric == "all" else metric)
    if not rows:
        raise InputError(
            f"{path.name} holds no task with such a metric", remedy="choose another metric"
        )
    note = (
        "aggregates-only",
        "there are no samples beside the results: each row is a whole task, not a question",
        "run the harness again with --log_samples for scores per question",
    )
    return label_frame(pd.DataFrame(rows), path, FORMAT, [note])


def _aggregate_rows(
    path: Path, document: dict[str, Any], metric: str | None
) -> list[dict[str, object]]:
    """One row per task; a group repeats what its members say and is left out."""
    members_of = as_mapping(document.get("group_subtasks"))
    groups = {name for name, members in members_of.items() if members}
    counts = as_mapping(document.get("n-samples"))
    rows: list[dict[str, object]] = []
    for task, entries in document["results"].items():
        if task in groups or not isinstance(entries, dict):
            continue
        found: dict[str, tuple[str, float]] = {}
        for key, value in entries.items():
            name, _, filter_name = key.partition(",")
            is_metric = isinstance(value, int | float) and not name.endswith("_stderr")
            if is_metric and name != "sample_len":
                found.setdefault(name, (filter_name, as_float(value)))
        chosen = metric if metric in found else _default_metric(list(found))
        if chosen is None or (metric is not None and chosen != metric):
            continue
        filter_name, value = found[chosen]
        suffix = f",{filter_name}" if filter_name else ""
        error = entries.get(f"{chosen}_stderr{suffix}")
        count = as_mapping(counts.get(task)).get("effective", entries.get("sample_len"))
        rows.append(
            {
                "model": _model_name(document) or path.resolve().parent.name,
                "task": task,
                "score": value,
                "standard_error": as_float(error) if isinstance(error, int | float) else np.nan,
                "n_questions": count,
                "metric": chosen,
                "filter": filter_name or "none",
            }
        )
    return rows
