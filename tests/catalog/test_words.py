"""From text to terms."""

from __future__ import annotations

import pytest

from statlas.catalog.words import compounds, fold, term, words


def terms(text: str) -> list[str]:
    return [word.term for word in words(text)]


def test_folding_drops_accents_and_case() -> None:
    assert fold("SCHÜRHOLT’s Ødegård naïve") == "schurholt's ødegard naive"


@pytest.mark.parametrize(
    ("british", "american"),
    [
        ("generalisation", "generalization"),
        ("quantise", "quantize"),
        ("analysed", "analyzed"),
        ("behaviour", "behavior"),
        ("neighbouring", "neighboring"),
        ("labelled", "labeled"),
        ("modelling", "modeling"),
        ("centre", "center"),
        ("programme", "program"),
    ],
)
def test_both_spellings_give_one_term(british: str, american: str) -> None:
    assert term(british) == term(american)


def test_different_needs_keep_different_terms() -> None:
    assert len({term(word) for word in ("general", "generate", "noise", "norm", "hour")}) == 5


def test_stop_words_and_single_letters_are_left_out() -> None:
    assert terms("What is the error of a model, and why?") == ["error", "model"]
    assert terms("option A of k-means, 7 times") == ["option", "mean", "7", "time"]


def test_hyphenated_words_are_read_apart_and_as_one() -> None:
    assert terms("fine-tuning") == ["fine", "tune"]
    assert [word.term for word in compounds("fine-tuning")] == terms("finetuning")


@pytest.mark.parametrize("text", ["", "   ", "?!", "the of and", "___", "'"])
def test_nothing_to_read(text: str) -> None:
    assert words(text) == []
