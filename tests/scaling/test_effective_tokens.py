"""Known answers for effective training tokens and the measures of texts."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from statlas.core import InputError, OptionError, Status
from statlas.core.numerics.laws import CHINCHILLA, KAPLAN, check_jacobian
from statlas.scaling import token_worth
from statlas.scaling.effective_tokens import (
    NgramTeacher,
    average_repeats,
    compression_ratio,
    distinct_ngrams,
    explained_share,
    fit_runs,
    free_worth_law,
    held_out_errors,
    load_texts,
    measure_texts,
    quality_law,
    type_token_ratio,
)

FloatArray = NDArray[np.float64]
LAW = {"E": 1.7, "A": 400.0, "B": 1800.0, "alpha": 0.34, "beta": 0.36}
NAMES = ("diversity", "syntheticity")


def planted(n_texts: int = 8, noise: float = 0.0, seed: int = 0) -> tuple[pd.DataFrame, FloatArray]:
    """Runs on texts with log(worth) = 3 (diversity - first) - 2 (syntheticity - first)."""
    rng = np.random.default_rng(seed)
    diversity, syntheticity = rng.uniform(0.2, 0.6, n_texts), rng.uniform(0.05, 0.5, n_texts)
    log_worth = 3 * (diversity - diversity[0]) - 2 * (syntheticity - syntheticity[0])
    rows = [
        (n, d, k)
        for n in (1e7, 1e8, 1e9)
        for d in np.geomspace(1e9, 1e11, 4)
        for k in range(n_texts)
    ]
    n, d, k = np.array(rows).T
    text = k.astype(int)
    loss = CHINCHILLA(LAW, {"N": n, "D": d * np.exp(log_worth[text])})
    loss *= np.exp(noise * rng.standard_normal(len(loss)))
    table = pd.DataFrame(
        {
            "parameters": n, "tokens": d, "loss": loss, "recipe": [f"text {i}" for i in text],
            "diversity": diversity[text], "syntheticity": syntheticity[text],
        }
    )  # fmt: skip
    return table, log_worth


# --- measures of texts ---------------------------------------------------------------------------


def test_compression_is_gzips() -> None:
    """Peer: zlib, which gzip wraps."""
    text = "the same words, and the same words again. " * 30
    assert compression_ratio(text) == len(text) / len(zlib.compress(text.encode(), 9))
    varied = "".join(map(chr, np.random.default_rng(0).integers(32, 127, len(text))))
    assert compression_ratio(text) > 5 * compression_ratio(varied)


@settings(max_examples=60, deadline=None)
@given(st.text("abc ", min_size=6, max_size=60), st.integers(1, 5))
def test_distinct_ngrams_by_enumeration(text: str, n: int) -> None:
    runs = [text[place : place + n] for place in range(len(text) - n + 1)]
    assert distinct_ngrams(text, n, "characters") == len(set(runs)) / len(runs)


def test_long_ngrams_do_not_overflow() -> None:
    rng = np.random.default_rng(1)
    text = "".join(map(chr, rng.integers(200, 2000, 400)))
    assert distinct_ngrams(text * 2, 40, "characters") == pytest.approx(400 / (800 - 39))
    with pytest.raises(InputError, match="3 words hold no run of 4"):
        distinct_ngrams("one two three", 4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=40), st.integers(1, 12))
def test_type_token_ratio_by_enumeration(words: list[str], window: int) -> None:
    width = min(window, len(words))
    windows = [words[at : at + width] for at in range(len(words) - width + 1)]
    expected = np.mean([len(set(part)) / width for part in windows])
    assert type_token_ratio(" ".join(words), window) == pytest.approx(expected)


def witten_bell(seen: str, context: str, symbol: str) -> float:
    """The mixture by its recursion, with counts by hand over places with a full context."""

    def chance(k: int) -> float:
        if k < 0:
            return 1 / 256
        tail = context[len(context) - k :]
        order = len(context)
        followers = Counter(seen[at] for at in range(order, len(seen)) if seen[at - k : at] == tail)
        total, kinds = sum(followers.values()), len(followers)
        if total == 0:
            return chance(k - 1)
        return (followers[symbol] + kinds * chance(k - 1)) / (total + kinds)

    return chance(len(context))


def test_teacher_is_the_witten_bell_mixture() -> None:
    seen, read = "abracadabra abracadabra cadabra", "abradacab"
    losses = NgramTeacher(2).fit(seen).losses(read)
    expected = [
        -math.log(witten_bell(seen, read[at - 2 : at], read[at])) for at in range(2, len(read))
    ]
    np.testing.assert_allclose(losses, expected, rtol=1e-12)


def test_chances_of_the_teacher_sum_to_one() -> None:
    """Identity, over all 256 bytes after a context that was seen and one that was not."""
    teacher = NgramTeacher(3).fit("to be or not to be, that is the question")
    for context in (b" be", b"zqx"):
        chances = [math.exp(-teacher.losses(context + bytes([b]))[0]) for b in range(256)]
        assert sum(chances) == pytest.approx(1, rel=1e-12)


def test_order_0_is_unigram_with_its_mixture() -> None:
    """Closed form: (n(c) + t / 256) / (n + t)."""
    teacher = NgramTeacher(0).fit("aab")
    assert teacher.loss("a") == pytest.approx(-math.log((2 + 2 / 256) / 5))
    assert teacher.perplexity("z") == pytest.approx(5 / (2 / 256))


def test_own_text_is_likelier_than_that_of_lower_order() -> None:
    words = [f"word{k % 7} follows {k % 5} " for k in range(4000)]
    source = "".join(words)
    teacher = NgramTeacher(4).fit(source)
    rng = np.random.default_rng(2)
    own, lower = (NgramTeacher(order).fit(source).sample(20_000, rng) for order in (4, 1))
    assert len(own) == 20_000
    assert teacher.loss(own) < teacher.loss(lower)
    with pytest.raises(InputError, match="call fit"):
        NgramTeacher().loss("text enough")
    with pytest.raises(InputError, match="0 to 6"):
        NgramTeacher(7)


def test_repetition_shows_in_every_measure() -> None:
    rng = np.random.default_rng(3)
    letters = "".join(rng.choice(list("abcdefghij "), 60_000))
    texts = {"varied": letters, "repeated": letters[:2_000] * 30}
    rows = measure_texts(texts, NgramTeacher(2).fit(letters), characters=30_000).set_index("recipe")
    assert rows.loc["repeated", "compression_ratio"] > rows.loc["varied", "compression_ratio"]
    assert rows.loc["repeated", "distinct_ngrams"] < rows.loc["varied", "distinct_ngrams"]
    with pytest.raises(InputError, match="too short"):
        measure_texts({"short": "abc"})


# --- laws ----------------------------------------------------------------------------------------


def runs_of(table: pd.DataFrame, reference: int = 0) -> tuple:
    labels, codes = np.unique(table["recipe"], return_inverse=True)
    first = table.drop_duplicates("recipe").set_index("recipe").loc[labels]
    measures = first[list(NAMES)].to_numpy()
    return average_repeats(
        table["parameters"], table["tokens"], table["loss"], codes, measures, NAMES, reference
    ), labels


def test_derivatives_agree_with_differences() -> None:
    runs, _ = runs_of(planted()[0])
    quality = {**LAW, "c_diversity": 0.4, "c_syntheticity": -0.3}
    assert check_jacobian(quality_law(NAMES), quality, runs.inputs) < 1e-6
    own = {f"log_worth_{k}": 0.2 * k - 0.5 for k in range(1, 8)}
    assert check_jacobian(free_worth_law(8), {**LAW, **own}, runs.inputs) < 1e-6
    kaplan = {"N_c": 1e13, "D_c": 5e13, "alpha_N": 0.08, "alpha_D": 0.1}
    assert check_jacobian(free_worth_law(8, "kaplan"), {**kaplan, **own}, runs.inputs) < 1e-6
    weighted = {**kaplan, "c_diversity": 0.4, "c_syntheticity": -0.3}
    assert check_jacobian(quality_law(NAMES, "kaplan"), weighted, runs.inputs) < 1e-6
    none = {**kaplan, "c_diversity": 0.0, "c_syntheticity": 0.0}
    np.testing.assert_allclose(
        quality_law(NAMES, "kaplan")(none, runs.inputs), KAPLAN(kaplan, runs.inputs)
    )


def test_without_worth_both_laws_are_chinchillas() -> None:
    """Reduction to a known law."""
    runs, _ = runs_of(planted()[0])
    plain = CHINCHILLA(LAW, runs.inputs)
    none = {**LAW, "c_diversity": 0.0, "c_syntheticity": 0.0}
    np.testing.assert_allclose(quality_law(NAMES)(none, runs.inputs), plain)
    equal = {**LAW, **{f"log_worth_{k}": 0.0 for k in range(1, 8)}}
    np.testing.assert_allclose(free_worth_law(8)(equal, runs.inputs), plain)
    # Twice the worth is twice the tokens.
    double = {**LAW, **{f"log_worth_{k}": math.log(2) for k in range(1, 8)}}
    others = runs.text != runs.reference
    doubled = CHINCHILLA(LAW, {"N": runs.parameters, "D": 2 * runs.tokens})
    np.testing.assert_allclose(free_worth_law(8)(double, runs.inputs)[others], doubled[others])


def test_planted_constants_come_back_exactly_without_noise() -> None:
    runs, _ = runs_of(planted()[0])
    fit = fit_runs(quality_law(NAMES), runs)
    found = np.array([fit.parameters[f"c_{name}"] for name in NAMES]) / runs.scales
    np.testing.assert_allclose(found, [3, -2], rtol=1e-4)
    assert fit.parameters["beta"] == pytest.approx(0.36, rel=1e-4)


def test_own_worth_comes_back_whatever_the_reference() -> None:
    table, log_worth = planted()
    for reference in (0, 3):
        runs, _ = runs_of(table, reference)
        fit = fit_runs(free_worth_law(8), runs, near=fit_runs(CHINCHILLA, runs))
        others = [k for k in range(8) if k != reference]
        found = [fit.parameters[f"log_worth_{k + 1}"] for k in range(7)]
        np.testing.assert_allclose(found, (log_worth - log_worth[reference])[others], atol=1e-3)


def test_a_text_left_out_is_predicted_by_its_measures_only() -> None:
    runs, _ = runs_of(planted()[0])
    errors = [
        held_out_errors(law, runs, fit_runs(law, runs)) for law in (CHINCHILLA, quality_law(NAMES))
    ]
    assert np.all(errors[1] < 1e-3)
    assert np.median(errors[0]) > 0.01


def test_repeats_are_averaged_geometrically() -> None:
    runs = average_repeats(
        [1e6, 1e6, 2e6], [1e9, 1e9, 1e9], [2.0, 8.0, 3.0], np.array([0, 0, 0]),
        np.array([[1.0]]), ("diversity",), 0,
    )  # fmt: skip
    np.testing.assert_allclose(runs.loss, [4, 3])
    np.testing.assert_allclose(runs.weight, [2, 1])


def test_share_explained_is_r_squared_and_chance_level_without_relation() -> None:
    """Peer: numpy's least squares. The p-value of a perfect relation is that of one permutation."""
    rng = np.random.default_rng(4)
    scores, worth = rng.standard_normal((12, 2)), rng.standard_normal(12)
    share, p_value = explained_share(worth, scores, 499, rng)
    rows = np.column_stack([np.ones(12), scores])
    fitted = rows @ np.linalg.lstsq(rows, worth, rcond=None)[0]
    assert share == pytest.approx(1 - np.var(worth - fitted) / np.var(worth))
    assert 0.002 <= p_value <= 1
    perfect, smallest = explained_share(scores @ [1.0, -2.0], scores, 499, rng)
    assert perfect == pytest.approx(1)
    assert smallest == pytest.approx(1 / 500)


# --- the recipe ----------------------------------------------------------------------------------


def test_recipe_recovers_the_planted_worth() -> None:
    table, log_worth = planted(10, noise=0.002)
    result = token_worth(table, reference="text 0", rng=0)
    assert result.status is Status.OK
    by_name = result.table.set_index("recipe")
    for k in range(10):
        assert by_name.loc[f"text {k}", "worth"] == pytest.approx(np.exp(log_worth[k]), rel=0.08)
        assert by_name.loc[f"text {k}", "own_worth"] == pytest.approx(np.exp(log_worth[k]), rel=0.1)
    for name, truth in zip(NAMES, (3, -2), strict=True):
        assert result.value(f"coefficient of {name}").estimate == pytest.approx(truth, rel=0.05)
    assert result.value("gain of quality on texts left out").low > 0
    assert result.value("p-value of the share explained").estimate < 0.01


def test_columns_become_the_papers_measures() -> None:
    table, _ = planted(8)
    users = pd.DataFrame(
        {
            "N": table["parameters"] / 1e6, "D": table["tokens"] / 1e9, "val_loss": table["loss"],
            "corpus": table["recipe"], "compression_ratio": 1 / table["diversity"],
            "ppl": 1 / table["syntheticity"],
        }
    )  # fmt: skip
    result = token_worth(users, parameters_unit=1e6, tokens_unit=1e9, rng=0)
    assert result.value("coefficient of diversity").estimate == pytest.approx(3, rel=1e-3)
    assert result.value("coefficient of syntheticity").estimate == pytest.approx(-2, rel=1e-3)
    nats = users.assign(teacher_loss=-np.log(table["syntheticity"])).drop(columns="ppl")
    again = token_worth(nats, parameters_unit=1e6, tokens_unit=1e9, rng=0)
    assert again.value("coefficient of syntheticity").estimate == pytest.approx(-2, rel=1e-3)
    one = token_worth(users, parameters_unit=1e6, tokens_unit=1e9, syntheticity_from="none", rng=0)
    with pytest.raises(KeyError):
        one.value("coefficient of syntheticity")


def test_measures_that_say_nothing_are_called_doubtful() -> None:
    """Measures dealt to other texts; over 4 draws at most one may look useful by chance."""
    helped = 0
    for seed in range(4):
        table, _ = planted(10, noise=0.002, seed=seed)
        rng = np.random.default_rng(100 + seed)
        names = [f"text {k}" for k in range(10)]
        dealt = dict(zip(names, rng.permutation(names), strict=True))
        values = table.drop_duplicates("recipe").set_index("recipe")[list(NAMES)]
        moved = table["recipe"].map(dealt)
        result = token_worth(
            table.assign(**{name: values.loc[moved, name].to_numpy() for name in NAMES}),
            draws=50,
            rng=0,
        )
        helped += result.value("p-value of the share explained").estimate < 0.01
    assert helped <= 1


def test_texts_are_measured_and_joined(tmp_path: Path) -> None:
    table, _ = planted(5)
    rng = np.random.default_rng(5)
    letters = "".join(rng.choice(list("abcdefghijklmnop \n"), 40_000))
    folder = tmp_path / "texts"
    folder.mkdir()
    for k in range(5):
        size = 1_500 * 2**k
        (folder / f"text {k}.txt").write_text((letters[:size] * 30)[:40_000], encoding="utf-8")
    runs = table.drop(columns=list(NAMES))
    (tmp_path / "teacher.txt").write_text(letters[::-1], encoding="utf-8")
    result = token_worth(runs, texts=str(folder), teacher_text=str(tmp_path / "teacher.txt"), rng=0)
    by_name = result.table.set_index("recipe").sort_index()
    assert by_name["diversity"].is_monotonic_increasing
    pairs = pd.DataFrame(
        {
            "recipe": [f.stem for f in folder.glob("*")],
            "text": [f.read_text() for f in folder.glob("*")],
        }
    )
    pairs.to_csv(tmp_path / "texts.csv", index=False)
    assert load_texts(str(tmp_path / "texts.csv")) == load_texts(str(folder))
    (folder / "text 4.txt").unlink()
    with pytest.raises(InputError, match="1 of 5 recipes have no text"):
        token_worth(runs, texts=str(folder), rng=0)
    with pytest.raises(InputError, match="column 'text'"):
        pairs.drop(columns="text").to_csv(tmp_path / "none.csv", index=False)
        token_worth(runs, texts=str(tmp_path / "none.csv"), rng=0)


def test_bad_tables_say_what_is_wrong() -> None:
    table, _ = planted(6)
    with pytest.raises(InputError, match="no measure"):
        token_worth(table.drop(columns=list(NAMES)), rng=0)
    with pytest.raises(InputError, match="differs between its runs"):
        token_worth(table.assign(diversity=np.arange(len(table)) / 100), rng=0)
    with pytest.raises(InputError, match="3 texts cannot show"):
        token_worth(planted(3)[0], rng=0)
    with pytest.raises(InputError, match="2 different numbers of tokens"):
        token_worth(table[table["tokens"] < 1e10], rng=0)
    few = table.drop_duplicates("recipe", keep="first")
    few = few.assign(tokens=[1e9, 2e9, 4e9, 1e9, 2e9, 4e9])
    with pytest.raises(InputError, match="6 combinations"):
        token_worth(pd.concat([few, few]), rng=0)
    with pytest.raises(InputError, match="no text 'absent'"):
        token_worth(table, reference="absent", rng=0)
    with pytest.raises(InputError, match="same diversity and syntheticity"):
        token_worth(table.assign(diversity=0.3, syntheticity=0.1), rng=0)
    with pytest.raises(InputError, match="needs a column of that role"):
        token_worth(table, diversity_from="compression_ratio", rng=0)
    with pytest.raises(OptionError, match="resample"):
        token_worth(table, resample="runs", rng=0)
    constant = token_worth(table.assign(syntheticity=0.1), rng=0)
    assert any(notice.code == "constant-measure" for notice in constant.warnings)
