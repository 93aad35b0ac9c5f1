"""The recipe: what the tokens of each text are worth, and whether measures of the text tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri

from statlas.core import (
    Category,
    Example,
    Notice,
    Number,
    Option,
    Result,
    Roles,
    Status,
    Table,
    Value,
    recipe,
)
from statlas.core.numerics.laws import Draws, LawFit, bootstrap
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.core.progress import tell
from statlas.core.rng import Rng
from statlas.core.runs import (
    COMPUTE,
    LOSS,
    PARAMETERS,
    TOKENS,
    ComputeUnit,
    ParametersUnit,
    TokensUnit,
    read_run_sizes,
)
from statlas.scaling.effective_tokens.figure import draw_all
from statlas.scaling.effective_tokens.laws import (
    FORMS,
    FloatArray,
    FormName,
    explained_share,
    fit_runs,
    free_worth_law,
    held_out_errors,
    log_worth,
    quality_law,
)
from statlas.scaling.effective_tokens.reading import (
    WORDS,
    DiversityFrom,
    SyntheticityFrom,
    Texts,
    read_texts,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Resample = Literal["texts", "rows"]

_PERMUTATIONS = 1_999
_FORM_SHARE = 0.5  # of the held-out error, from which the law's form is said to limit it


@dataclass(frozen=True, kw_only=True)
class EffectiveTokens(Result):
    """Worth of tokens by text: `table` has a row a text."""

    def draw(self, figure: Figure) -> None:
        """Draw losses over effective tokens, the worth of each text, and held-out errors."""
        draw_all(figure, self.details)


@dataclass(frozen=True)
class _Findings:
    """All that was fitted."""

    texts: Texts
    plain: LawFit
    fit: LawFit
    free: LawFit
    draws: Draws
    errors: FloatArray  # (2, n_texts), of the law without and with the quality term
    explained: tuple[float, float]
    level: float

    @property
    def names(self) -> tuple[str, ...]:
        return self.texts.runs.names

    def coefficients(self, natural: FloatArray) -> FloatArray:
        places = [self.fit.law.position(f"c_{name}") for name in self.names]
        return np.asarray(natural[..., places])

    @property
    def worth(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Worth of each text by the quality term, with its interval."""
        scores = self.texts.runs.scores
        centre = log_worth(self.coefficients(self.fit.natural), scores)
        low, high = percentile_interval(
            log_worth(self.coefficients(self.draws.values), scores), self.level
        )
        return np.exp(centre), np.exp(low), np.exp(high)

    @property
    def own_worth(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Worth of each text fitted freely, with its asymptotic interval."""
        runs = self.texts.runs
        logs, error = np.zeros(runs.n_texts), np.zeros(runs.n_texts)
        others = [text for text in range(runs.n_texts) if text != runs.reference]
        places = [self.free.law.position(f"log_worth_{k + 1}") for k in range(len(others))]
        logs[others] = self.free.natural[places]
        error[others] = np.sqrt(np.diag(self.free.covariance))[places]
        reach = float(ndtri((1 + self.level) / 2)) * error
        with np.errstate(over="ignore"):
            return np.exp(logs), np.exp(logs - reach), np.exp(logs + reach)

    @property
    def misfit(self) -> float:
        """Root mean square of log residuals with each text's own worth: the form's own error."""
        weight = self.texts.runs.weight
        return float(np.sqrt(np.average(self.free.residuals**2, weights=weight)))

    @property
    def mean_errors(self) -> tuple[float, float]:
        """Held-out error without and with the quality term, root mean square over texts."""
        without, with_term = np.sqrt(np.mean(self.errors**2, axis=1))
        return float(without), float(with_term)


@recipe(
    "effective-tokens",
    example=Example(
        file="quality_runs.csv",
        about="99 small transformers (3 widths, 3 seeds) trained on 11 variants of the source code "
        "of Python's standard library: whole, repeated parts, n-gram text and blends; losses at 7 "
        "lengths on the same unseen files.",
        origin="Recorded with torch (BSD-3) on the standard library of Python 3.11 (PSF); see "
        "examples.",
        options={"reference": "whole"},
    ),
)
def token_worth(
    runs: Annotated[
        Table,
        Roles(
            parameters=PARAMETERS,
            loss=replace(LOSS, help="loss of the run on a test text that all runs share"),
            tokens=TOKENS,
            compute=COMPUTE,
            recipe=Category(
                optional=True,
                help="name of the text that the run was trained on",
                aliases=("corpus", "dataset", "mixture", "source", "training_data"),
            ),
            compression_ratio=Number(
                gt=0,
                optional=True,
                help="size of the text over its compressed size",
                aliases=("gzip_ratio", "compression"),
            ),
            distinct_ngrams=Number(
                ge=0,
                le=1,
                optional=True,
                help="share of different n-grams in the text",
                aliases=("ngram_diversity", "distinct_n"),
            ),
            diversity=Number(optional=True, help="a diversity of one's own, more is more varied"),
            teacher_loss=Number(
                ge=0, optional=True, help="nats a token of the text under a teacher model"
            ),
            teacher_perplexity=Number(
                ge=1,
                optional=True,
                help="perplexity of the text under a teacher model",
                aliases=("perplexity", "ppl"),
            ),
            syntheticity=Number(
                optional=True, help="a syntheticity of one's own, more is more machine-like"
            ),
            min_rows=8,
        ),
    ],
    *,
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of the intervals")] = 0.95,
    law: Annotated[
        FormName, Option(help="law in which effective tokens take the place of tokens")
    ] = "chinchilla",
    reference: Annotated[
        str | None, Option(help="text whose tokens count one each; that with most runs by default")
    ] = None,
    diversity_from: Annotated[
        DiversityFrom,
        Option(help="role that gives the diversity; by default the first of those there"),
    ] = "auto",
    syntheticity_from: Annotated[
        SyntheticityFrom,
        Option(help="role that gives the syntheticity; by default the first of those there"),
    ] = "auto",
    texts: Annotated[
        str | None,
        Option(help="texts to measure: a folder of NAME.txt, or a table with recipe and text"),
    ] = None,
    teacher_text: Annotated[
        str | None,
        Option(help="text file that an n-gram teacher reads, to measure the syntheticity of texts"),
    ] = None,
    resample: Annotated[
        Resample, Option(help="intervals from texts drawn anew, or from single rows")
    ] = "texts",
    parameters_unit: ParametersUnit = 1.0,
    tokens_unit: TokensUnit = 1.0,
    compute_unit: ComputeUnit = 1.0,
    draws: Annotated[int, Option(ge=50, le=20_000, help="bootstrap draws")] = 200,
    rng: Rng = None,
) -> EffectiveTokens:
    """Fit what the tokens of each text are worth from its diversity and syntheticity.

    Parameters
    ----------
    runs
        One row a run, tested on one text for all, with measures of the text it was trained on.

    Returns
    -------
    EffectiveTokens
        `table` has a row a text: its measures, the worth of its tokens by them and by its own runs
        alone, and the error of predicting its losses from the other texts, without and with them.
    """
    generator = np.random.default_rng(rng)
    sizes = read_run_sizes(runs, parameters_unit, tokens_unit, compute_unit)
    choices = (diversity_from, syntheticity_from)
    read = read_texts(runs, sizes, choices, reference, (texts, teacher_text))
    found = _fit(read, law, resample, draws, level, generator)
    status, advice = _status(found)
    return EffectiveTokens(
        headline=_headline(found),
        table=_table(found),
        values=tuple(_values(found)),
        details=_details(found),
        status=status,
        advice=advice,
        warnings=tuple(_notices(found)),
        options={"reference": read.labels[read.runs.reference]},
    )


def _fit(
    read: Texts,
    form: FormName,
    resample: Resample,
    n_draws: int,
    level: float,
    rng: np.random.Generator,
) -> _Findings:
    runs = read.runs
    tell("fitting the laws")
    plain = fit_runs(FORMS[form].law, runs, rng=rng)
    fit = fit_runs(quality_law(runs.names, form), runs, near=plain, rng=rng)
    free = fit_runs(free_worth_law(runs.n_texts, form), runs, near=fit, n_starts=12, rng=rng)
    tell("drawing texts anew")
    drawn = bootstrap(
        fit, n_draws, kind="runs", groups=runs.text if resample == "texts" else None, rng=rng
    )
    tell("leaving texts out")
    errors = np.stack([held_out_errors(each.law, runs, each, rng=rng) for each in (plain, fit)])
    logs = np.zeros(runs.n_texts)
    others = [text for text in range(runs.n_texts) if text != runs.reference]
    logs[others] = [free.parameters[f"log_worth_{k + 1}"] for k in range(len(others))]
    explained = explained_share(logs, runs.scores, _PERMUTATIONS, rng)
    return _Findings(read, plain, fit, free, drawn, errors, explained, level)


# --- the answer -----------------------------------------------------------------------------------


def _table(found: _Findings) -> pd.DataFrame:
    read, runs = found.texts, found.texts.runs
    worth, own = found.worth, found.own_worth
    columns: dict[str, Any] = {"recipe": read.labels, "runs": read.n_runs}
    columns |= {name: runs.measures[:, k] for k, name in enumerate(runs.names)}
    columns |= {
        "worth": worth[0],
        "worth_low": worth[1],
        "worth_high": worth[2],
        "own_worth": own[0],
        "own_worth_low": own[1],
        "own_worth_high": own[2],
        "error_without_%": 100 * found.errors[0],
        "error_with_%": 100 * found.errors[1],
    }
    order = np.argsort(-worth[0], kind="stable")
    return pd.DataFrame(columns).iloc[order].reset_index(drop=True)


def _values(found: _Findings) -> Iterator[Value]:
    runs, level = found.texts.runs, found.level
    drawn = found.coefficients(found.draws.values)
    centre = found.coefficients(found.fit.natural)
    how = f"bootstrap ({found.draws.kind}), {len(found.draws.values)} draws"
    for k, name in enumerate(found.names):
        for label, scale, unit in (
            (f"coefficient of {name}", runs.scales[k], f"log(worth) a unit of {name}"),
            (f"worth of a standard deviation of {name}", 0.0, "factor on tokens"),
        ):
            if scale:
                value, spread = centre[k] / scale, drawn[:, k] / scale
            else:
                value, spread = np.exp(centre[k]), np.exp(drawn[:, k])
            low, high = percentile_interval(spread, level)
            yield Value(label, value, float(low), float(high), level, unit=unit, method=how)
    for parameter in found.plain.law.parameters:
        name = parameter.name
        low_, high_ = found.draws.interval(name, level)
        yield Value(
            name, found.fit.parameters[name], low_, high_, level,
            unit="loss" if name == "E" else parameter.unit, method=how,
        )  # fmt: skip
    without, with_term = found.mean_errors
    plain = "root mean square over texts that were each left out of the fit"
    yield Value(
        "held-out error without quality", 100 * without, unit="% of loss", why_no_interval=plain
    )
    yield Value(
        "held-out error with quality", 100 * with_term, unit="% of loss", why_no_interval=plain
    )
    yield Value(
        "error of the law with each text's own worth", 100 * found.misfit, unit="% of loss",
        why_no_interval="root mean square over the runs that were fitted: what the form leaves",
    )  # fmt: skip
    least, most = _gain_interval(found)
    yield Value(
        "gain of quality on texts left out", 100 * (without - with_term), 100 * least, 100 * most,
        level, unit="% of loss", method="texts drawn anew",
    )  # fmt: skip
    share, p_value = found.explained
    yield Value(
        "share of texts' own worth explained", share,
        why_no_interval=f"R^2 over {runs.n_texts} texts; p = {p_value:.3g} by permutation",
    )  # fmt: skip
    yield Value(
        "p-value of the share explained", p_value,
        why_no_interval=f"from {_PERMUTATIONS} permutations of the measures between texts",
    )  # fmt: skip


def _gain_interval(found: _Findings) -> tuple[float, float]:
    """Interval of the fall of the held-out error when texts are drawn anew."""
    n = found.texts.runs.n_texts
    picks = np.random.default_rng(0).integers(0, n, (4_000, n))
    means = np.sqrt(np.mean(found.errors[:, picks] ** 2, axis=2))
    low, high = percentile_interval(means[0] - means[1], found.level)
    return float(low), float(high)


def _cut(label: str, most: int = 40) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"


def _headline(found: _Findings) -> str:
    labels, reference = found.texts.labels, found.texts.runs.reference
    worth, low, high = found.worth
    best, worst = int(worth.argmax()), int(worth.argmin())
    parts = [
        f"one of {_cut(labels[text])} counts {worth[text]:.3g} "
        f"({low[text]:.2g} to {high[text]:.2g})"
        for text in dict.fromkeys((best, worst))
        if text != reference
    ]
    measures = " and ".join(found.names)
    without, with_term = found.mean_errors
    share, p_value = found.explained
    better = int(np.sum(found.errors[1] < found.errors[0]))
    return (
        f"Judged by {measures}, where a token of {_cut(labels[reference])} counts 1, "
        f"{' and '.join(parts)} ({100 * found.level:g} % intervals); "
        f"for a text left out of the fit the measures change the error of its loss from "
        f"{100 * without:.2g} to {100 * with_term:.2g} % (lower for {better} of "
        f"{len(labels)} texts), and they explain {100 * share:.0f} % of what the texts' tokens are "
        f"worth by their own runs (p = {p_value:.2g})."
    )


def _status(found: _Findings) -> tuple[Status, str]:
    if not found.fit.converged:
        return Status.NOT_CONVERGED, "the fit did not converge; remove runs far off the others"
    open_ = found.fit.identification().undetermined
    if open_:
        return Status.ASSUMPTION_DOUBTFUL, (
            f"the runs do not determine {', '.join(open_)} (a 95 % interval wider than a factor of "
            "20, 1 for an exponent, 2 for a coefficient of quality); add sizes, lengths or texts"
        )
    without, with_term = found.mean_errors
    if with_term >= without:
        return Status.ASSUMPTION_DOUBTFUL, (
            "the measures do not help to predict a text that was left out, so their coefficients "
            "describe these texts only; texts may differ in subject rather than in quality, or be "
            "too few"
        )
    return Status.OK, ""


def _notices(found: _Findings) -> Iterator[Notice]:
    read = found.texts
    if read.constant:
        yield Notice(
            "constant-measure",
            f"{' and '.join(read.constant)} is the same for all texts and left out",
            "measure it on texts that differ in it",
        )
    if read.runs.n_texts < 8:
        yield Notice(
            "few-texts",
            f"{read.runs.n_texts} texts say little about {len(found.names)} measure(s): the "
            "intervals rest on drawing them anew",
            "add texts that differ in diversity and syntheticity",
        )
    for k, name in enumerate(found.names):
        low, high = percentile_interval(found.coefficients(found.draws.values)[:, k], found.level)
        if low < 0 < high:
            yield Notice(
                "sign-open",
                f"whether more {name} raises or lowers the worth of a token is open: its interval "
                "holds 0",
                "texts that differ in it alone would tell",
            )
    if found.draws.n_failed:
        yield Notice(
            "failed-draws", f"{found.draws.n_failed} bootstrap draws did not converge, left out"
        )
    if found.misfit > _FORM_SHARE * found.mean_errors[1]:
        yield Notice(
            "form-limits",
            f"even with each text's own worth the law misses the losses by "
            f"{100 * found.misfit:.2g} %, a large part of the error for a text left out",
            "the form of the law, or a text on which the loss rises again, limits the prediction: "
            "see the other form (option law), and leave out what was repeated too often",
        )
    own = found.own_worth[0]
    if np.any((own < 0.02) | (own > 50)):
        far = [read.labels[text] for text in np.flatnonzero((own < 0.02) | (own > 50))]
        yield Notice(
            "beyond-tokens",
            f"no number of tokens makes {', '.join(far[:3])} equal to the reference: worths below "
            "0.02 or above 50 stand for a loss that levels off elsewhere",
            "such texts differ in subject, or their loss rises with repetition; leave them out",
        )


def _details(found: _Findings) -> dict[str, Any]:
    runs, read = found.texts.runs, found.texts
    worth, own = found.worth, found.own_worth
    log_q = np.log(worth[0])[runs.text]
    effective = runs.tokens * np.exp(log_q)
    sizes = np.unique(runs.parameters)
    lines = []
    for size in sizes:
        rows = runs.parameters == size
        grid = np.geomspace(effective[rows].min(), effective[rows].max(), 60)
        form = found.plain.law
        known = {name: found.fit.parameters[name] for name in form.names}
        values = form(known, {"N": np.full(60, size), "D": grid})
        lines.append({"parameters": float(size), "effective": grid, "loss": values})
    return {
        "labels": read.labels,
        "reference": read.labels[runs.reference],
        "measures": [f"{name}: {WORDS[source]}" for name, source in read.sources.items()],
        "points": {
            "text": runs.text, "parameters": runs.parameters, "tokens": runs.tokens,
            "effective": effective, "loss": runs.loss,
        },
        "lines": lines,
        "worth": [list(part) for part in worth],
        "own_worth": [list(part) for part in own],
        "errors": [list(part) for part in 100 * found.errors],
        "level": found.level,
        "identification": found.fit.identification().sentences(found.fit.law),
    }  # fmt: skip
