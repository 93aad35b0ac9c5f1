"""The recipe: what distilling a Gaussian process into itself does to held-out predictions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit
from sklearn.exceptions import ConvergenceWarning

from statlas.core import (
    Example,
    Features,
    InputError,
    Notice,
    Number,
    Option,
    OptionError,
    Result,
    Roles,
    Status,
    Table,
    Value,
    recipe,
)
from statlas.core.numerics.proportions import wilson_interval
from statlas.core.progress import track
from statlas.core.rng import Rng
from statlas.statistics.gp_distillation.classification import DistilledGPClassifier
from statlas.statistics.gp_distillation.regression import DistilledGPRegressor, FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Task = Literal["auto", "regression", "classification"]

_MOST = 2_000  # rows above which the cubic cost is too much
_WORDS = {
    "data": "on point predictions", "distribution": "on whole distributions",
    "scaled": "kernel scaled",
}  # fmt: skip


@dataclass(frozen=True)
class DistillationReport(Result):
    """Held-out loss by kind of distillation and step, and its change since the first step."""

    def draw(self, figure: Figure) -> None:
        """Change of the loss and of the negative log score with the step, and coverage."""
        coverage = self.table["coverage"].notna().any()
        axes = figure.subplots(1, 3 if coverage else 2, squeeze=False)[0]
        unit = self.details["loss"]
        last = int(self.table["step"].max())
        steps = range(1, last + 1, 1 + last // 12)
        for axis, name, label in (
            (axes[0], "change", f"change of {unit}"),
            (axes[1], "log_change", "change of negative log score (nats)"),
        ):
            for colour, (mode, rows) in enumerate(self.table.groupby("mode", sort=False)):
                place = rows["step"] + 0.08 * colour
                prefix = "log_" if name == "log_change" else ""
                axis.vlines(place, rows[f"{prefix}low"], rows[f"{prefix}high"], color=f"C{colour}")
                axis.plot(place, rows[name], "o-", color=f"C{colour}", label=_WORDS[str(mode)])
            axis.axhline(0, color="black", linewidth=0.8)
            axis.set_xlabel("step (1 is no distillation)")
            axis.set_xticks(steps)
            axis.set_ylabel(label)
        if coverage:
            for colour, (_, rows) in enumerate(self.table.groupby("mode", sort=False)):
                place = rows["step"] + 0.08 * colour
                axes[2].vlines(
                    place,
                    100 * rows["coverage_low"],
                    100 * rows["coverage_high"],
                    color=f"C{colour}",
                )
                axes[2].plot(place, 100 * rows["coverage"], "o-", color=f"C{colour}")
            axes[2].axhline(100 * self.options["level"], color="black", linewidth=0.8)
            axes[2].set_xlabel("step (1 is no distillation)")
            axes[2].set_xticks(steps)
            axes[2].set_ylabel("held-out values inside the interval, %")
        axes[0].legend(loc="upper left")
        figure.set_size_inches(11.0 if coverage else 8.0, 3.6)


def _diabetes() -> pd.DataFrame:
    from sklearn.datasets import load_diabetes

    table = load_diabetes(as_frame=True, scaled=False).frame
    renamed: pd.DataFrame = table.rename(columns={"target": "progression"})
    return renamed


@recipe(
    "gp-distillation",
    example=Example(
        loader=_diabetes,
        about="Ten measurements of 442 diabetes patients and the progression of the disease a "
        "year later.",
        origin="Shipped with scikit-learn (BSD-3); Efron, Hastie, Johnstone and Tibshirani (2004).",
        options={"target": "progression", "folds": 3},
    ),
)
def distil_process(
    table: Annotated[
        Table,
        Roles(
            target=Number(
                help="what is predicted: a number, or one of two numbers (classes)",
                aliases=("y", "outcome", "response", "label"),
                varies=True,
            ),
            features=Features(help="numeric features"),
            min_rows=12,
        ),
    ],
    *,
    steps: Annotated[int, Option(ge=2, le=50, help="processes in a row, the first included")] = 4,
    folds: Annotated[int, Option(ge=2, le=20, help="parts for held-out predictions")] = 4,
    noise_factor: Annotated[
        float, Option(gt=0, help="regression: noise of every step over the one fitted")
    ] = 1.0,
    task: Annotated[
        Task, Option(help="classification where the target has two values, unless said")
    ] = "auto",
    level: Annotated[float, Option(gt=0, lt=1, help="level of all intervals")] = 0.95,
    rng: Rng = None,
) -> DistillationReport:
    """Distil a Gaussian process into itself and say what each step does to held-out predictions.

    Parameters
    ----------
    table
        One row an observation: target and numeric features.

    Returns
    -------
    DistillationReport
        `table` has a row a kind of distillation and step.

    Raises
    ------
    InputError
        If there are too many rows, or not two classes.
    """
    x, _ = table.features()
    y = table.number("target")
    kind = _task(y, task, table)
    assert isinstance(rng, np.random.Generator)
    held = _held_out(x, y, kind, steps, folds, noise_factor, level, rng)
    rows = _rows(held, level)
    best = _best_data_step(rows)
    return DistillationReport(
        headline=_headline(rows, best, kind, level),
        table=rows,
        values=_values(rows, best, level),
        details={"loss": "squared error" if kind == "regression" else "Brier loss", "task": kind},
        status=Status.ASSUMPTION_DOUBTFUL if held.troubled else Status.OK,
        advice="the kernel's parameters could not be fitted well in a fold; check the features"
        if held.troubled
        else "",
        warnings=tuple(_notices(rows, kind)),
    )


def _task(y: FloatArray, task: Task, table: Table) -> str:
    levels = np.unique(y)
    if table.n_rows > _MOST:
        raise InputError(
            f"{table.n_rows} rows are too many for exact processes (cost grows with the cube)",
            column=str(table.columns["target"]),
            remedy=f"give a random part of at most {_MOST} rows",
        )
    if task == "classification" and len(levels) != 2:
        raise OptionError(
            f"option 'task' is 'classification', but the target has {len(levels)} values; two are "
            "needed"
        )
    return "classification" if task != "regression" and len(levels) == 2 else "regression"


@dataclass(frozen=True)
class _Held:
    """Held-out losses by mode, shape (steps, n_rows)."""

    loss: dict[str, FloatArray]
    log_loss: dict[str, FloatArray]
    inside: dict[str, FloatArray]
    troubled: bool


def _held_out(
    x: FloatArray, y: FloatArray, kind: str, steps: int, folds: int, noise_factor: float,
    level: float, rng: np.random.Generator,
) -> _Held:  # fmt: skip
    regression = kind == "regression"
    modes = ("data", "distribution") if regression else ("data", "distribution", "scaled")
    shape = (steps, len(y))
    losses, log_losses, inside = (
        {mode: np.full(shape, np.nan) for mode in modes} for _ in range(3)
    )
    held = _Held(losses, log_losses, inside, False)
    classes = np.zeros(len(y)) if regression else (y == y.max()).astype(float)
    fold = _folds(classes, folds, rng)
    troubled = False
    for part in track(range(folds), "held-out part"):
        test = fold == part
        if not regression and len(np.unique(classes[~test])) < 2:
            raise InputError(
                "a class has too few rows for the folds", column="target", remedy="use fewer folds"
            )
        centre, spread = x[~test].mean(axis=0), x[~test].std(axis=0)
        z = (x - centre) / np.where(spread > 0, spread, 1.0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            if regression:
                _regress(held, z, y, test, steps, noise_factor, level)
            else:
                _classify(held, z, classes, test, steps)
        troubled |= any("failed to converge" in str(item.message) for item in caught)
    return _Held(held.loss, held.log_loss, held.inside, troubled)


def _folds(classes: FloatArray, folds: int, rng: np.random.Generator) -> FloatArray:
    """Number of the part of each row, classes spread evenly."""
    order = np.lexsort((rng.random(len(classes)), classes))
    fold = np.empty(len(classes))
    fold[order] = np.arange(len(classes)) % folds
    return fold


def _regress(
    held: _Held, z: FloatArray, y: FloatArray, test: Any, steps: int, factor: float, level: float
) -> None:
    first = DistilledGPRegressor(steps=1).fit(z[~test], y[~test])
    noise = float(first.noises_[0])
    for mode in held.loss:
        model = DistilledGPRegressor(
            first.kernel_, steps=steps, mode=mode, noise=noise * factor, optimize=False
        ).fit(z[~test], y[~test])
        mean, deviation = model.staged(z[test])
        # A new value carries the noise of the data, whatever the steps made of the function.
        total = np.sqrt(deviation**2 + noise * factor * y[~test].var())
        residual = y[test] - mean
        held.loss[mode][:, test] = residual**2
        held.log_loss[mode][:, test] = (
            0.5 * (residual / total) ** 2 + np.log(total) + 0.5 * np.log(2 * np.pi)
        )
        held.inside[mode][:, test] = np.abs(residual) <= ndtri((1 + level) / 2) * total


def _classify(held: _Held, z: FloatArray, y: FloatArray, test: Any, steps: int) -> None:
    first = DistilledGPClassifier(steps=1).fit(z[~test], y[~test])
    for mode in held.loss:
        model = DistilledGPClassifier(first.kernel_, steps=steps, mode=mode, optimize=False)
        chance = np.clip(model.fit(z[~test], y[~test]).staged_proba(z[test]), 1e-12, 1 - 1e-12)
        held.loss[mode][:, test] = (y[test] - chance) ** 2
        held.log_loss[mode][:, test] = -np.log(np.where(y[test] > 0.5, chance, 1 - chance))


def _rows(held: _Held, level: float) -> pd.DataFrame:
    rows = []
    for mode, loss in held.loss.items():
        log_loss, inside = held.log_loss[mode], held.inside[mode]
        for step in range(len(loss)):
            change, low, high = _paired(loss[step] - loss[0], level)
            log_change, log_low, log_high = _paired(log_loss[step] - log_loss[0], level)
            known = bool(np.isfinite(inside[step]).all())
            covered = [
                float(end) for end in wilson_interval(inside[step].sum(), len(inside[step]), level)
            ] if known else [np.nan, np.nan]  # fmt: skip
            rows.append(
                {
                    "mode": mode, "step": step + 1, "loss": float(loss[step].mean()),
                    "negative_log_score": float(log_loss[step].mean()),
                    "coverage": float(inside[step].mean()) if known else np.nan,
                    "coverage_low": covered[0], "coverage_high": covered[1],
                    "change": change, "low": low, "high": high,
                    "log_change": log_change, "log_low": log_low, "log_high": log_high,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _paired(differences: FloatArray, level: float) -> tuple[float, float, float]:
    """Mean of paired differences with Student's interval."""
    n = len(differences)
    mean = float(differences.mean())
    reach = float(stdtrit(n - 1, (1 + level) / 2) * differences.std(ddof=1) / np.sqrt(n))
    return mean, mean - reach, mean + reach


def _best_data_step(rows: pd.DataFrame) -> dict[str, Any]:
    """The later step of least negative log score, over all kinds."""
    later: Any = rows[rows["step"] > 1]
    return dict(later.iloc[int(np.argmin(later["negative_log_score"]))])


def _headline(rows: pd.DataFrame, best: dict[str, Any], kind: str, level: float) -> str:
    last: Any = rows[rows["mode"] == "data"].iloc[-1]
    first = rows["loss"].iloc[0]
    helps = _verdict(best["log_low"], best["log_high"])
    what = "squared error" if kind == "regression" else "Brier loss"
    text = (
        f"After {int(last['step']) - 1} rounds of distillation on point predictions the held-out "
        f"{what} goes from {first:.4g} to {last['loss']:.4g} (paired change "
        f"{last['change']:+.3g}, {100 * level:g} % interval {last['low']:.3g} to "
        f"{last['high']:.3g}). Of all later steps the best by log score is step "
        f"{int(best['step'])} {_WORDS[best['mode']]}: {helps}, with a change of "
        f"{best['log_change']:+.3g} nats a row ({best['log_low']:.3g} to {best['log_high']:.3g})"
    )
    return text + "."


def _verdict(low: float, high: float) -> str:
    if high < 0:
        return "it helps"
    return "it hurts" if low > 0 else "no clear gain or harm"


def _values(rows: pd.DataFrame, best: dict[str, Any], level: float) -> tuple[Value, ...]:
    method = "Student's t of paired held-out differences"
    values = [
        Value("negative log score without distillation", rows["negative_log_score"].iloc[0],
              unit="nats a row", why_no_interval="the changes are what is compared"),
        Value("change of negative log score, best later step", best["log_change"],
              best["log_low"], best["log_high"], level, unit="nats a row", method=method),
    ]  # fmt: skip
    lasts: Any = rows.groupby("mode", sort=False).tail(1).to_dict("records")
    for row in lasts:
        values.append(
            Value(f"change of loss, {row['mode']}, step {row['step']}", row["change"], row["low"],
                  row["high"], level, unit="loss a row", method=method)
        )  # fmt: skip
    return tuple(values)


def _notices(rows: pd.DataFrame, kind: str) -> Iterator[Notice]:
    yield Notice(
        "best-of-several",
        "the best later step is the best of several on the same held-out rows, so its interval is "
        "a little too hopeful; rows of a part share one training set",
        "choose the step on other rows before relying on it",
    )
    if kind == "regression":
        worst: Any = rows.iloc[int(np.argmin(rows["coverage"]))]
        yield Notice(
            "coverage",
            f"coverage is least at step {worst['step']} {_WORDS[str(worst['mode'])]}: "
            f"{100 * worst['coverage']:.3g} %",
            "steps change how sure the process is; recalibrate its intervals after distilling",
        )
