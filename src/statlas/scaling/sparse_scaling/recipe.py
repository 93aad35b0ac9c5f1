"""The recipe: one law for dense, pruned and mixture-of-experts runs, against separate laws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd

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
from statlas.core.numerics.laws import Draws, power_allocation
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.core.rng import Rng
from statlas.core.runs import (
    BATCH_SIZE,
    COMPUTE,
    LEARNING_RATE,
    LOSS,
    TOKENS,
    ComputeUnit,
    ParametersUnit,
    TokensUnit,
)
from statlas.scaling.sparse_scaling.figure import draw_fit, draw_schemes, draw_sparsity
from statlas.scaling.sparse_scaling.fitting import (
    Comparison,
    Fits,
    Scheme,
    criteria_of,
    draws_of,
    fit_everything,
    held_out_errors,
    nested_tests,
)
from statlas.scaling.sparse_scaling.laws import GENERALIZED, FloatArray, inputs_of
from statlas.scaling.sparse_scaling.reading import FEWEST_CELLS, Read, read_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Ends = tuple[float, float, float]
_CURVE = 40
_SMALL = 1e-3  # p-value and BIC from which architectures are said to differ
_CLEAR = 10.0


@dataclass(frozen=True, kw_only=True)
class SparsityLaw(Result):
    """The one law and what it is compared with; `table` has a row a way of describing the runs."""

    def draw(self, figure: Figure) -> None:
        """Draw the fit by architecture, the loss over sparsity, the errors of all laws."""
        axes = figure.subplots(1, 3)
        draw_fit(axes[0], self.details["points"])
        draw_sparsity(axes[1], self.details)
        draw_schemes(axes[2], self.details["schemes"])
        figure.set_size_inches(14.5, 4.6)


@recipe(
    "sparse-scaling",
    example=Example(
        file="sparse_runs.csv",
        about="105 small transformers trained on the source code of Python's standard library: 5 "
        "widths, dense, pruned to 3 sparsities and with 2, 4 or 8 experts, 3 seeds; losses at 5 "
        "numbers of characters.",
        origin="Recorded with torch (BSD-3) on the standard library of Python 3.11 (PSF); see "
        "examples.",
    ),
)
def sparsity_law(
    runs: Annotated[
        Table,
        Roles(
            active_parameters=Number(
                gt=0,
                optional=True,
                help="parameters that a token is multiplied by: not pruned, of the experts chosen",
                aliases=("Na", "N_active", "active_params", "active", "nonzero_parameters"),
            ),
            total_parameters=Number(
                gt=0,
                optional=True,
                help="parameters stored, with those pruned and of all experts",
                aliases=("N", "N_total", "total_params", "parameters", "params", "n_params"),
            ),
            sparsity=Number(
                ge=0,
                lt=1,
                optional=True,
                help="share of the parameters that is not active; 0 for a dense model",
                aliases=("S",),
            ),
            tokens=TOKENS,
            compute=COMPUTE,
            loss=LOSS,
            architecture=Category(
                optional=True,
                help="kind of model; by default dense where the sparsity is 0, else sparse",
                aliases=("family", "kind", "model_type"),
            ),
            learning_rate=LEARNING_RATE,
            batch_size=BATCH_SIZE,
            min_rows=FEWEST_CELLS,
        ),
    ],
    *,
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of the intervals")] = 0.95,
    target_active: Annotated[
        float | None,
        Option(
            gt=0,
            unit="parameters",
            help="active parameters of the model asked about; the largest dense one by default",
        ),
    ] = None,
    target_tokens: Annotated[
        float | None,
        Option(gt=0, unit="tokens", help="its tokens; the most of the runs by default"),
    ] = None,
    target_sparsity: Annotated[
        float | None,
        Option(ge=0, lt=1, help="its sparsity; the middle one of the sparse runs by default"),
    ] = None,
    parameters_unit: ParametersUnit = 1.0,
    tokens_unit: TokensUnit = 1.0,
    compute_unit: ComputeUnit = 1.0,
    draws: Annotated[int, Option(ge=50, le=20_000, help="bootstrap draws")] = 300,
    rng: Rng = None,
) -> SparsityLaw:
    """Fit one law to dense and sparse runs and compare it with the laws of single architectures.

    Parameters
    ----------
    runs
        One row a training run, or a checkpoint of one; two of active parameters, all parameters
        and sparsity.

    Returns
    -------
    SparsityLaw
        `table` has a row a scheme: each law on all runs, and laws for each architecture.
    """
    generator = np.random.default_rng(rng)
    read = read_cells(runs, (parameters_unit, tokens_unit, compute_unit))
    fits = fit_everything(read.cells, generator)
    drawn = draws_of(fits, draws, generator)
    held = held_out_errors(fits, generator)
    target = _target(read, target_active, target_tokens, target_sparsity)
    view = _View(read, fits, drawn, held, tuple(nested_tests(fits)), level, target)
    status, advice = _status(view)
    return SparsityLaw(
        headline=_headline(view),
        table=pd.DataFrame(view.rows),
        values=tuple(_values(view)),
        details=_details(view),
        status=status,
        advice=advice,
        warnings=(*read.notices, *_notices(view)),
        set_aside=read.set_aside,
        options={
            "target_active": target[0], "target_tokens": target[1], "target_sparsity": target[2],
        },
    )  # fmt: skip


def _target(
    read: Read, active: float | None, tokens: float | None, sparsity: float | None
) -> tuple[float, float, float]:
    cells = read.cells
    dense = cells.sparsity == 0
    if active is None:
        active = float(cells.active[dense].max() if dense.any() else np.median(cells.active))
    if tokens is None:
        tokens = float(cells.tokens.max())
    if sparsity is None:
        levels = np.unique(cells.sparsity[~dense])
        sparsity = float(levels[len(levels) // 2])
    return active, tokens, sparsity


@dataclass(frozen=True)
class _View:
    """Everything that the result is written from."""

    read: Read
    fits: Fits
    draws: Draws
    held: dict[str, FloatArray]
    tests: tuple[Comparison, ...]
    level: float
    target: tuple[float, float, float]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """A row a scheme."""
        cells, rows = self.fits.cells, []
        for scheme in self.fits.schemes:
            errors = scheme.log_losses(cells) - np.log(cells.loss)
            found = criteria_of(scheme, cells)
            rows.append(
                {
                    "scheme": scheme.name,
                    "constants": scheme.n_parameters,
                    "fit_error": float(np.sqrt(np.mean(errors**2))),
                    "largest_error": float(np.max(np.abs(errors))),
                    "aicc": found.aicc,
                    "bic": found.bic,
                    "held_out_error": float(np.sqrt(np.mean(self.held[scheme.name] ** 2))),
                    "laws": _laws(scheme, self.read.architectures),
                }
            )
        return rows

    def row(self, name: str) -> dict[str, Any]:
        """The row of a scheme."""
        return next(row for row in self.rows if row["scheme"] == name)

    @property
    def one(self) -> dict[str, Any]:
        """The row of the generalized law."""
        return self.row(f"one law: {GENERALIZED.name}")

    def losses(self, active: FloatArray, sparsity: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Losses at the target's tokens: by the fit (n,), by the draws (n_draws, n)."""
        inputs = inputs_of(active, self.target[1], sparsity)
        return self.fits.generalized.predict(inputs), GENERALIZED.values(self.draws.values, inputs)

    def ends(self, value: float, drawn: FloatArray) -> Ends:
        """A value with the percentile interval of its draws."""
        low, high = percentile_interval(drawn, self.level)
        return float(value), float(low), float(high)

    @cached_property
    def gain(self) -> Ends:
        """Loss of the sparse model asked about less that of the dense one of equal cost."""
        active, _, sparsity = self.target
        own, drawn = self.losses(np.array([active, active]), np.array([sparsity, 0.0]))
        return self.ends(own[0] - own[1], drawn[:, 0] - drawn[:, 1])

    @cached_property
    def equivalent(self) -> Ends:
        """Parameters of the dense model of equal loss, over the active ones; infinite if none."""
        everything = np.vstack([self.fits.generalized.natural[None], self.draws.values])
        p = {name: everything[:, place] for place, name in enumerate(GENERALIZED.names)}
        active, _, sparsity = self.target
        kept = 1 - sparsity
        size = p["a"] * (kept ** p["alpha"] + p["penalty"] * sparsity) * active ** -p["alpha"]
        left = size + p["e"] * (kept ** p["gamma"] - 1)  # what a dense size has to leave of a
        # The inverse is 0 where no dense model, however large, has so low a loss.
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = np.maximum(left / p["a"], 0.0) ** (1 / p["alpha"]) * active
            low, high = percentile_interval(inverse[1:], self.level)
            ends = 1 / np.array([inverse[0], high, low])
        return float(ends[0]), float(ends[1]), float(ends[2])


def _laws(scheme: Scheme, architectures: list[str]) -> str:
    return "; ".join(
        fit.law.name if number < 0 else f"{architectures[number]}: {fit.law.name}"
        for number, fit in scheme.fits.items()
    )


def _headline(view: _View) -> str:
    one, specific = view.one, view.row(view.fits.specific.name)
    gap = specific["bic"] - one["bic"]
    kinds = ", ".join(view.read.architectures)
    active, tokens, sparsity = view.target
    gain, equal = view.gain, view.equivalent
    word = "less" if gain[0] < 0 else "more"
    size = "no dense one, however large"
    if np.isfinite(equal[0]):
        size = f"a dense one {equal[0]:.3g} times as large ({equal[1]:.2g} to {equal[2]:.2g})"
    return (
        f"One law with {one['constants']} constants describes {kinds} runs to "
        f"{100 * one['fit_error']:.2g} % (models held out: {100 * one['held_out_error']:.2g} %), a "
        f"law of its kind for each architecture with {specific['constants']} to "
        f"{100 * specific['fit_error']:.2g} % ({100 * specific['held_out_error']:.2g} %): BIC is "
        f"{abs(gap):.3g} {'better' if gap > 0 else 'worse'} for the one law; by it, a model of "
        f"{active:.3g} active parameters at sparsity {sparsity:.2g} after {tokens:.3g} tokens has "
        f"a loss {abs(gain[0]):.3g} {word} than a dense one of equal cost (difference "
        f"{gain[1]:+.2g} to {gain[2]:+.2g}, {100 * view.level:g} % interval), like {size}."
    )


def _values(view: _View) -> Iterator[Value]:
    level, how = view.level, f"bootstrap ({view.draws.kind})"

    def value(name: str, ends: Ends, unit: str = "") -> Value:
        return Value(name, *ends, level, unit=unit, method=how)

    yield value("sparse less dense loss at equal active parameters", view.gain, "loss")
    yield value("size of the dense model of equal loss over active parameters", view.equivalent)
    own, drawn = view.losses(np.array([view.target[0]]), np.array([view.target[2]]))
    yield value("loss of the model asked about", view.ends(own[0], drawn[:, 0]), "loss")
    yield from _allocation_values(view, how)
    parameters = view.fits.generalized.parameters
    for name, number in parameters.items():
        yield value(name, (number, *view.draws.interval(name, level)),
                    "loss" if name == "e" else "")  # fmt: skip
    yield value(
        "c", view.ends(parameters["penalty"] * parameters["a"],
                       view.draws["penalty"] * view.draws["a"]),
    )  # fmt: skip
    for test in view.tests:
        yield Value(
            f"p-value: {test.question}", test.p_value,
            why_no_interval=f"F = {test.statistic:.3g} with {test.extra} and {test.freedom} "
            "degrees of freedom",
        )  # fmt: skip
    yield Value(
        "noise of one run", view.fits.cells.noise, unit="standard deviation of log(loss)",
        why_no_interval=f"from {view.fits.cells.noise_freedom} degrees of freedom of repeats",
    )  # fmt: skip


def _allocation_values(view: _View, how: str) -> Iterator[Value]:
    """Compute-optimal active parameters at the target's cost, sparse and dense."""
    budget = 6 * view.target[0] * view.target[1]
    everything = np.vstack([view.fits.generalized.natural[None], view.draws.values])
    p = {name: everything[:, place] for place, name in enumerate(GENERALIZED.names)}
    for sparsity, kind in ((view.target[2], "at the sparsity"), (0.0, "dense")):
        kept = 1 - sparsity
        size = p["a"] * (kept ** p["alpha"] + p["penalty"] * sparsity)
        usable = (size > 0) & (p["alpha"] > 1e-3) & (p["beta"] > 1e-3)
        columns = np.column_stack([p["e"], size, p["b"], p["alpha"], p["beta"]])
        name = f"best active parameters at the model's cost, {kind}"
        if usable[0] and usable.mean() > 0.8:
            best, _, _ = power_allocation(columns[usable], [budget])
            yield Value(name, *view.ends(best[0, 0], best[1:, 0]), view.level,
                        unit="parameters", method=how)  # fmt: skip
        else:
            yield Value(
                name, None, unit="parameters",
                why_no_interval="the law or a fifth of its draws have no best size",
            )  # fmt: skip


def _status(view: _View) -> tuple[Status, str]:
    if not view.fits.generalized.converged:
        return (
            Status.NOT_CONVERGED,
            "the fit of the one law can still be lowered; remove runs far off",
        )
    found = view.fits.generalized.identification()
    open_ = dict.fromkeys((*found.undetermined, *found.at_edge))
    if open_:
        return Status.ASSUMPTION_DOUBTFUL, (
            f"the runs do not determine {', '.join(open_)} of the one law (its 95 % interval is "
            "wider than a factor of 20, or 1 for exponents and the penalty, or it ended on an end "
            "of its range); judge it by predictions within the runs, or add sizes and sparsities"
        )
    differ = [test for test in view.tests if "constants differ" in test.question]
    own = view.row(view.fits.own.name)
    if differ and differ[0].p_value < _SMALL and own["bic"] < view.one["bic"] - _CLEAR:
        return Status.ASSUMPTION_DOUBTFUL, (
            "the architectures follow different constants of the same law (F test and BIC), so one "
            "law for all averages over them; use the laws of single architectures for predictions"
        )
    return Status.OK, ""


def _notices(view: _View) -> Iterator[Notice]:
    fits, cells = view.fits, view.fits.cells
    for sentence in fits.generalized.identification().sentences(GENERALIZED):
        if "flat valley" in sentence:
            yield Notice("identification", sentence, "judge the law by its predictions")
    lack = [test for test in view.tests if "noise of repeats" in test.question]
    if lack and lack[0].p_value < _SMALL:
        yield Notice(
            "lack-of-fit",
            f"the one law misses the runs by {100 * view.one['fit_error']:.2g} %, more than the "
            f"{100 * cells.noise:.2g} % of noise between repeats explains",
            "differences of losses below that error say nothing",
        )
    if len(np.unique(cells.configuration)) < len(cells):
        yield Notice(
            "dependent-rows",
            "models have rows at several numbers of tokens; if those are checkpoints of one "
            "training, their errors go together and the F tests' p-values are too small",
            "trust the errors on models held out, and the bootstrap, which draws whole models",
        )
    active, tokens, sparsity = view.target
    ranges = {
        "active parameters": (active, cells.active),
        "tokens": (tokens, cells.tokens),
        "sparsity": (sparsity, cells.sparsity),
    }
    for name, (value, seen) in ranges.items():
        if value > 2 * seen.max() or (name == "sparsity" and value > seen.max() + 0.02):
            yield Notice(
                "extrapolation",
                f"{name} of {value:.3g} asked about lie beyond the runs' {seen.max():.3g}",
                "the interval holds only what the law itself allows",
            )


def _details(view: _View) -> dict[str, Any]:
    cells, fits = view.fits.cells, view.fits
    fitted = fits.generalized.predict(cells.inputs)
    points = []
    for number, name in enumerate(view.read.architectures):
        rows = cells.architecture == number
        points.append(
            {
                "architecture": name,
                "fitted": fitted[rows].tolist(),
                "observed": cells.loss[rows].tolist(),
            }
        )
    active, tokens, sparsity = view.target
    own, _ = view.losses(np.array([active]), np.array([sparsity]))
    return {
        "points": points,
        "sparsity_lines": _sparsity_lines(view),
        "schemes": view.rows,
        "target": {
            "active": active, "tokens": tokens, "sparsity": sparsity, "loss": float(own[0]),
        },
        "tests": [
            {
                "question": test.question, "F": test.statistic, "extra": test.extra,
                "freedom": test.freedom, "p_value": test.p_value,
            }
            for test in view.tests
        ],
        "fit": fits.generalized.rows(),
        "formula": GENERALIZED.text,
    }  # fmt: skip


def _sparsity_lines(view: _View) -> dict[str, Any]:
    """Loss over sparsity at the target's active, and at as many stored, parameters."""
    active, _, asked = view.target
    most = max(float(view.fits.cells.sparsity.max()), asked)
    sparsity = np.linspace(0, most, _CURVE)
    lines = {}
    for name, sizes in (
        ("active", np.full(_CURVE, active)),
        ("stored", active * (1 - sparsity)),
    ):
        own, drawn = view.losses(sizes, sparsity)
        low, high = percentile_interval(drawn, view.level)
        lines[name] = {
            "sparsity": sparsity.tolist(), "loss": own.tolist(), "low": low.tolist(),
            "high": high.tolist(),
        }  # fmt: skip
    return lines
