"""lm-evaluation-harness: logs that the harness itself wrote, and the variants of its format."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from statlas.core.errors import InputError
from statlas.core.readers import read_frame, read_lm_eval

LOGS = Path(__file__).parent / "fixtures" / "lm_eval"
MODELS = ["acme/alpha-7b", "acme/beta-7b"]
FIRST, SECOND = "2026-01-01T00-00-00.000001", "2026-01-02T00-00-00.000001"


def codes(frame: Any) -> list[str]:
    return [code for code, _, _ in frame.attrs["notes"]]


def sample(doc_id: int, acc: float | None, **more: Any) -> dict[str, Any]:
    return {
        "doc_id": doc_id,
        "doc": {"subject": "history" if doc_id % 2 else "law"},
        "target": "0",
        "arguments": {},
        "resps": [],
        "filtered_resps": [],
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": f"hash {doc_id}",
        "acc": acc,
        **more,
    }


def write_samples(path: Path, samples: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return path


def result_files() -> list[Path]:
    return sorted(LOGS.rglob("results_*.json"))


# --- against the harness ---------------------------------------------------------------------


@pytest.mark.parametrize("path", result_files(), ids=lambda path: path.parent.name)
def test_means_are_the_aggregates_that_the_harness_printed(path: Path) -> None:
    printed = json.loads(path.read_text())["results"]
    checked = 0
    for task in ("tiny_quiz_geography", "tiny_quiz_sums", "tiny_free"):
        for key, value in printed[task].items():
            metric, _, filter_name = key.partition(",")
            if metric in ("acc", "acc_norm", "exact_match"):
                frame = read_lm_eval(path, metric=metric, filter=_or_none(filter_name))
                assert frame.loc[frame["task"] == task, "score"].mean() == value
                checked += 1
    assert checked == 6
    group = read_lm_eval(path, metric="acc")
    assert group["score"].mean() == printed["tiny_quiz"]["acc,none"]


def _or_none(filter_name: str) -> str | None:
    return None if filter_name == "none" else filter_name


def test_a_folder_with_two_models() -> None:
    frame = read_frame(LOGS)
    assert frame.attrs["format"] == "lm-evaluation-harness"
    assert list(frame.columns) == [
        "model",
        "task",
        "question",
        "cluster",
        "score",
        "metric",
        "filter",
    ]
    assert frame.groupby("model").size().to_dict() == dict.fromkeys(MODELS, 11)
    assert (frame["cluster"] == frame["task"]).all()
    assert not frame.duplicated(["model", "question"]).any()
    assert frame["question"].iloc[0] == "tiny_free/0"
    assert frame["score"].dtype == np.float64
    metrics = frame.groupby("task")["metric"].unique().map(list).to_dict()
    assert metrics == {
        "tiny_free": ["exact_match"],
        "tiny_quiz_geography": ["acc"],
        "tiny_quiz_sums": ["acc"],
    }
    assert codes(frame) == ["tasks-left-out", "filter-chosen", "several-metrics"]
    assert "tiny_text" in frame.attrs["notes"][0][1]


def test_scores_are_those_of_the_lines() -> None:
    [path] = LOGS.glob("acme__alpha-7b/samples_tiny_quiz_geography_*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    frame = read_frame(path)
    assert frame["score"].tolist() == [line["acc"] for line in lines]
    assert frame["question"].tolist() == [f"tiny_quiz_geography/{line['doc_id']}" for line in lines]
    assert set(frame["model"]) == {"acme/alpha-7b"}  # from the results file, not the folder
    assert "cluster" not in frame  # one task is one cluster, which says nothing
    assert codes(frame) == []


def test_the_filter_is_a_choice() -> None:
    [path] = LOGS.glob("acme__alpha-7b/samples_tiny_free_*.jsonl")
    assert read_lm_eval(path)["score"].tolist() == [0, 0, 0, 0]  # strict-match finds no "LOL"
    flexible = read_lm_eval(path, filter="flexible-extract")
    assert flexible["score"].tolist() == [1, 0, 1, 0]  # the targets that are "lol"
    assert set(flexible["filter"]) == {"flexible-extract"}
    with pytest.raises(InputError, match="choose among flexible-extract, strict-match"):
        read_lm_eval(path, filter="lenient")


def test_metrics_as_columns() -> None:
    frame = read_lm_eval(LOGS, metric="all")
    assert list(frame.columns[-3:]) == ["exact_match", "acc", "acc_norm"]
    quiz = frame[frame["metric"] == "acc"]
    assert (quiz["score"] == quiz["acc"]).all()
    assert quiz["exact_match"].isna().all()
    assert (quiz["acc"] != quiz["acc_norm"]).any()


def test_a_metric_is_taken_where_it_is() -> None:
    frame = read_frame(LOGS, metric="acc_norm")
    assert set(frame["task"]) == {"tiny_quiz_geography", "tiny_quiz_sums"}
    assert codes(frame) == ["tasks-left-out"]
    with pytest.raises(InputError, match="choose among acc, acc_norm, exact_match"):
        read_frame(LOGS, metric="accuracy")


def test_a_corpus_metric_is_no_score() -> None:
    [path] = LOGS.glob("acme__alpha-7b/samples_tiny_text_*.jsonl")
    with pytest.raises(InputError, match="no task holds one number per document"):
        read_frame(path)


def test_clusters_from_a_field_of_the_documents() -> None:
    [path] = LOGS.glob("acme__alpha-7b/samples_tiny_quiz_sums_*.jsonl")
    frame = read_lm_eval(path, cluster="question")
    assert frame["cluster"].tolist() == ["1 + 1?", "2 + 2?", "3 + 3?"]
    with pytest.raises(InputError, match="3 of 3 documents of task 'tiny_quiz_sums'"):
        read_lm_eval(path, cluster="subject")


def test_results_without_samples(tmp_path: Path) -> None:
    path = result_files()[0]
    printed = json.loads(path.read_text())["results"]
    alone = shutil.copy(path, tmp_path / path.name)
    for source in (alone, tmp_path):
        frame = read_frame(source)
        assert codes(frame) == ["aggregates-only"]
        by_task = frame.set_index("task")
        assert (
            by_task.loc["tiny_quiz_geography", "score"]
            == (printed["tiny_quiz_geography"]["acc,none"])
        )
        assert by_task["n_questions"].to_dict()["tiny_free"] == 4
        assert "tiny_quiz" not in by_task.index  # a group repeats its members
        assert set(frame["model"]) == {"acme/alpha-7b"}


# --- variants --------------------------------------------------------------------------------


def test_older_runs_are_left_out_or_numbered(tmp_path: Path) -> None:
    folder = tmp_path / "acme__alpha"
    write_samples(folder / f"samples_quiz_{FIRST}.jsonl", [sample(0, 0.0), sample(1, 0.0)])
    write_samples(folder / f"samples_quiz_{SECOND}.jsonl", [sample(0, 1.0), sample(1, 1.0)])
    latest = read_frame(tmp_path)
    assert latest["score"].tolist() == [1, 1]
    assert codes(latest) == ["older-runs", "model-from-folder"]
    every = read_lm_eval(tmp_path, runs="all")
    assert every[["repeat", "score"]].to_numpy().tolist() == [[1, 0], [1, 0], [2, 1], [2, 1]]


def test_the_same_model_name_in_two_folders(tmp_path: Path) -> None:
    for folder, score in (("zero_shot", 0.0), ("five_shot", 1.0)):
        path = tmp_path / folder / "acme__alpha"
        write_samples(path / f"samples_quiz_{FIRST}.jsonl", [sample(0, score)])
        results = {"results": {}, "configs": {}, "model_name": "acme/alpha"}
        (path / f"results_{FIRST}.json").write_text(json.dumps(results))
    frame = read_frame(tmp_path)
    assert dict(zip(frame["model"], frame["score"], strict=True)) == {
        "five_shot/acme__alpha": 1.0,
        "zero_shot/acme__alpha": 0.0,
    }


def test_results_named_by_the_user(tmp_path: Path) -> None:
    # --output_path run.json writes run_TIME.json and the samples beside it
    write_samples(tmp_path / f"samples_quiz_{FIRST}.jsonl", [sample(0, 1.0)])
    results = {"results": {}, "configs": {}, "config": {"model_args": "pretrained=acme/a,dtype=x"}}
    (tmp_path / f"run_{FIRST}.json").write_text(json.dumps(results))
    for path in (tmp_path, tmp_path / f"run_{FIRST}.json"):
        assert read_frame(path)["model"].tolist() == ["acme/a"]


def test_early_samples_without_filter_and_metrics(tmp_path: Path) -> None:
    old = [sample(i, float(i % 2)) for i in range(4)]
    for record in old:
        del record["filter"], record["metrics"], record["doc_hash"]
    lines = write_samples(tmp_path / "samples_quiz.jsonl", old)
    array = tmp_path / f"samples_quiz_{FIRST}.json"
    array.write_text(json.dumps(old))
    for path in (lines, array):
        frame = read_frame(path)
        assert frame["score"].tolist() == [0, 1, 0, 1]
        assert set(frame["metric"]) == {"acc"}
    assert read_lm_eval(lines, cluster="subject")["cluster"].tolist() == ["law", "history"] * 2


def test_a_samples_file_under_another_name(tmp_path: Path) -> None:
    path = write_samples(tmp_path / "download.jsonl", [sample(0, 1.0), sample(1, None)])
    frame = read_frame(path)
    np.testing.assert_array_equal(frame["score"], [1, np.nan])
    assert frame["task"].tolist() == ["download"] * 2


def test_metrics_in_the_documented_order(tmp_path: Path) -> None:
    record = sample(0, 0.5, metrics=["odd", "f1", "exact_match"], odd=1.0, f1=0.25, exact_match=0.0)
    path = write_samples(tmp_path / "samples_quiz.jsonl", [record])
    assert read_frame(path)["metric"].tolist() == ["exact_match"]
    record["metrics"] = ["odd", "even"]
    record["even"] = 2.0
    write_samples(path, [record])
    assert read_frame(path)["score"].tolist() == [1.0]


def test_truth_values_are_scores_and_placeholders_are_not(tmp_path: Path) -> None:
    record = sample(0, None, metrics=["bypass", "ok", "parts"], bypass=999, ok=True, parts=[True])
    path = write_samples(tmp_path / "samples_quiz.jsonl", [record])
    frame = read_lm_eval(path, metric="all")
    assert frame["score"].tolist() == [1.0]
    assert list(frame.columns[-1:]) == ["ok"]


def test_different_questions_under_one_number_are_told(tmp_path: Path) -> None:
    for model, digest in (("a", "x"), ("b", "y")):
        path = tmp_path / model / f"samples_quiz_{FIRST}.jsonl"
        write_samples(path, [sample(0, 1.0, doc_hash=digest), sample(1, 1.0)])
    frame = read_frame(tmp_path)
    [told] = [note for note in frame.attrs["notes"] if note[0] == "different-questions"]
    assert told[1].startswith("1 question(s)")


def test_lower_is_better_is_told(tmp_path: Path) -> None:
    path = write_samples(
        tmp_path / f"samples_quiz_{FIRST}.jsonl", [sample(0, None, metrics=["loss"], loss=2.0)]
    )
    results = {
        "results": {},
        "configs": {},
        "model_name": "m",
        "higher_is_better": {"quiz": {"loss": False}},
    }
    (tmp_path / f"results_{FIRST}.json").write_text(json.dumps(results))
    assert codes(read_frame(path)) == ["lower-is-better"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"doc_id": 1', "line 2 of samples_quiz.jsonl is not valid JSON"),
        ('{"doc_id": 1}', "line 2 of samples_quiz.jsonl is not a sample"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    path = write_samples(tmp_path / "samples_quiz.jsonl", [sample(0, 1.0)])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InputError, match=words):
        read_frame(path)


def test_an_empty_samples_file_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / f"samples_quiz_{FIRST}.jsonl").write_text("")
    with pytest.raises(InputError, match="holds no samples"):
        read_frame(tmp_path)
