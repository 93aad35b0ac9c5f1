"""The recipe: the best sketch size and penalty for a table, and the error to expect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from scipy.stats import beta as beta_law
from scipy.stats import t as student

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
from statlas.core.numerics.sketches import SketchKind
from statlas.core.progress import track
from statlas.core.rng import Rng
from statlas.statistics.sketched_ensembles.ridge import (
    DEFAULT_SHARES,
    FloatArray,
    SketchedPath,
    default_penalties,
    draw_sketches,
    sizes_of,
    sketched_ridge,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FEW = 100  # rows or features below which the large-sample argument is doubtful
_FEW_FEATURES = 20
_NEAR_ONE = 0.05  # of 1 - tr(L) / n: below it GCV divides by next to nothing
_METHOD = "Student's t over squared corrected residuals"


@dataclass(frozen=True, kw_only=True)
class SketchedRidgeReport(Result):
    """Risk of every setting; `table` has a row a sketch size and penalty."""

    def draw(self, figure: Figure) -> None:
        """Risk against penalty at the best size, and against size at each size's best penalty."""
        figure.set_size_inches(10.0, 4.4)
        left, right = figure.subplots(1, 2)
        size, penalty = self.details["size"], self.details["penalty"]
        path = self.table[self.table["size"] == size]
        self._curves(left, path, "penalty")
        left.axvline(penalty, color="#666666", linewidth=0.9, linestyle=":")
        left.set(xscale="log", xlabel="penalty λ (variance of the standardised features)")
        left.set_title(f"At the best size, {size} sketched features")
        best = self.table.loc[self.table.groupby("size")["gcv_rmse"].idxmin()]
        self._curves(right, best, "size")
        right.axvline(size, color="#666666", linewidth=0.9, linestyle=":")
        right.set(xlabel="sketch size (features)", title="Each size at its best penalty")

    def _curves(self, axes: Axes, rows: pd.DataFrame, column: str) -> None:
        unit = self.options.get("target_unit", "")
        x = rows[column]
        axes.plot(x, rows["gcv_rmse"], "o-", label="GCV, from the training rows", markersize=4)
        axes.plot(x, rows["train_rmse"], "x--", color="#999999", label="training error")
        if rows["held_out_rmse"].notna().any():
            axes.plot(x, rows["held_out_rmse"], "s-", label="held-out rows", markersize=4)
            axes.fill_between(x, rows["held_out_low"], rows["held_out_high"], alpha=0.15,
                              linewidth=0, color=axes.get_lines()[-1].get_color())  # fmt: skip
        if rows["infinite_rmse"].notna().any():
            axes.plot(x, rows["infinite_rmse"], ":", label="GCV, infinitely many sketches")
        axes.set_ylabel(f"root mean squared error{f' ({unit})' if unit else ''}")
        shown = ["train_rmse", "gcv_rmse", "held_out_rmse", "held_out_low", "held_out_high"]
        seen = rows[shown].to_numpy(dtype=float)
        low, high = np.nanmin(seen), min(np.nanmax(seen), 2.0 * self.details["target_sd"])
        axes.set_ylim(0.92 * low, 1.08 * max(high, low * 1.01 + 1e-12))
        axes.legend(fontsize=8)


@recipe(
    "sketched-ensembles",
    example=Example(
        file="diabetes_quadratic.csv",
        about="442 diabetes patients: progression of the disease after a year against ten "
        "measures, their squares and products (64 columns).",
        origin="scikit-learn's diabetes table (Efron et al., 2004); recorded by "
        "examples/record_diabetes_quadratic.py.",
        options={"target": "progression", "target_unit": "points"},
    ),
)
def tune_sketched_ridge(
    table: Annotated[
        Table,
        Roles(
            target=Number(
                varies=True,
                help="what to predict",
                aliases=("y", "response", "outcome", "label", "dependent"),
            ),
            features=Features(help="numeric columns to predict from; by default all others"),
            min_rows=20,
        ),
    ],
    *,
    n_sketches: Annotated[int, Option(ge=1, le=1000, help="members of the ensemble")] = 5,
    kind: Annotated[
        SketchKind,
        Option(help="sketch: cosine transform, Hadamard, rotation, Gaussian or count sketch"),
    ] = "srdct",
    sizes: Annotated[
        tuple[float, ...],
        Option(gt=0, le=1, help="sketch sizes to try, as shares of the number of features"),
    ] = DEFAULT_SHARES,
    lambdas: Annotated[
        tuple[float, ...] | None,
        Option(gt=0, help="penalties to try, by default nineteen over six decades"),
    ] = None,
    level: Annotated[
        float, Option(gt=0, lt=1, help="level of confidence and prediction intervals")
    ] = 0.9,
    held_out: Annotated[
        float, Option(ge=0, le=0.8, help="share of rows kept to check GCV against; 0 for none")
    ] = 0.25,
    standardise: Annotated[
        bool, Option(help="whether features are brought to variance 1 first")
    ] = True,
    target_unit: Annotated[str, Option(help="unit of the target, for labels")] = "",
    rng: Rng = None,
) -> SketchedRidgeReport:
    """Tune ridge on random sketches of the features by GCV; say the error to expect, and check it.

    Parameters
    ----------
    table
        One row an independent observation: a numeric target and numeric features.

    Returns
    -------
    SketchedRidgeReport
        `table` has a row a sketch size and penalty.

    Examples
    --------
    >>> result = tune_sketched_ridge.run_example(n_sketches=2, sizes=(0.5,))
    >>> int(result.value("sketch size").estimate)
    32
    """
    generator = np.random.default_rng(rng)
    X, names = table.features()
    y = table.number("target")
    train, test = _split(len(y), held_out, generator)
    X = _scaled(X, train, standardise)
    if np.ptp(y[train]) == 0:
        raise InputError("all training rows have the same target",
                         column=str(table.columns["target"]),
                         remedy="give rows whose target differs, or hold fewer out")  # fmt: skip
    penalties = _penalties(lambdas, X[train])
    paths = [
        sketched_ridge(X[train], y[train],
                       draw_sketches(kind, size, X.shape[1], n_sketches, generator), penalties)
        for size in track(sizes_of(sizes, X.shape[1]), "sketch sizes")
    ]  # fmt: skip
    held = [y[test, None] - X[test] @ path.coefficients - path.intercepts for path in paths]
    found = _table(paths, held, kind, level)
    if not np.isfinite(found["gcv_rmse"]).any():
        raise InputError("every setting fits the rows exactly, so GCV says nothing",
                         remedy="try larger penalties or smaller sketches")  # fmt: skip
    row, place = divmod(int(np.nanargmin(found["gcv_rmse"].to_numpy())), len(penalties))
    best, errors = paths[row], held[row][:, place]
    chosen = found.iloc[row * len(penalties) + place]
    corrected = best.corrected[:, place]
    ends = np.quantile(corrected, [(1 - level) / 2, (1 + level) / 2])
    inside = (int(np.sum((errors >= ends[0]) & (errors <= ends[1]))), len(errors))
    status, advice = _status(best, place, len(train), X.shape[1])
    return SketchedRidgeReport(
        headline=_headline(best, chosen, ends, inside, len(names), kind, level, target_unit),
        table=found,
        values=_values(best, place, chosen, corrected, ends, inside, level, target_unit),
        details={
            "size": best.size, "penalty": float(best.penalties[place]), "features": names,
            "coefficients": best.coefficients[:, place].tolist(), "target_sd": float(y.std()),
        },
        status=status,
        advice=advice,
        warnings=tuple(_notices(paths, row, place, len(names))),
    )  # fmt: skip


# --- reading -------------------------------------------------------------------------------------


def _split(n: int, share: float, rng: np.random.Generator) -> tuple[Any, Any]:
    order = rng.permutation(n)
    n_test = round(share * n)
    return np.sort(order[n_test:]), np.sort(order[:n_test])


def _scaled(X: FloatArray, train: Any, standardise: bool) -> FloatArray:
    """Features by centre and spread of the training rows; constant ones become 0."""
    centred = X - X[train].mean(axis=0)
    spread = centred[train].std(axis=0)
    size = np.maximum(np.abs(X[train]).max(axis=0), np.finfo(float).tiny)
    flat = spread <= 1e-12 * size
    if flat.all():
        raise InputError("all features are constant over the training rows",
                         remedy="give at least one feature that varies")  # fmt: skip
    centred[:, flat] = 0.0
    return np.asarray(centred / np.where(flat, 1.0, spread) if standardise else centred)


def _penalties(lambdas: tuple[float, ...] | None, X: FloatArray) -> FloatArray:
    if lambdas is None:
        return default_penalties(X)
    if not lambdas:
        raise OptionError("option 'lambdas' is empty; give at least one penalty above 0")
    return np.unique(np.asarray(lambdas, dtype=float))


# --- what is said --------------------------------------------------------------------------------


def _mean_interval(squares: FloatArray, level: float) -> tuple[float, float]:
    """Student's interval on a mean of squares, never below 0."""
    n = len(squares)
    if n < 2 or not np.all(np.isfinite(squares)):
        return np.nan, np.nan
    margin = student.ppf((1 + level) / 2, n - 1) * squares.std(ddof=1) / np.sqrt(n)
    mean = squares.mean()
    return float(max(mean - margin, 0.0)), float(mean + margin)


def _table(
    paths: list[SketchedPath], held: list[FloatArray], kind: SketchKind, level: float
) -> pd.DataFrame:
    rows = []
    for path, errors in zip(paths, held, strict=True):
        infinite = path.risk_of(np.inf) if path.n_sketches > 1 else np.full(len(path.risk), np.nan)
        equivalent = path.equivalent_penalties(kind)
        for place, penalty in enumerate(path.penalties):
            squares = errors[:, place] ** 2
            low, high = _mean_interval(squares, level)
            rows.append(
                {
                    "size": path.size,
                    "share": path.size / path.n_features,
                    "penalty": float(penalty),
                    "gcv_rmse": float(np.sqrt(path.risk[place])),
                    "infinite_rmse": float(np.sqrt(max(infinite[place], 0.0))),
                    "held_out_rmse": float(np.sqrt(squares.mean())) if len(squares) else np.nan,
                    "held_out_low": np.sqrt(low),
                    "held_out_high": np.sqrt(high),
                    "train_rmse": float(np.sqrt((path.residuals[:, place] ** 2).mean())),
                    "degrees_of_freedom": float(path.degrees[place]),
                    "equivalent_penalty": float(equivalent[place]),
                }
            )
            if np.isnan(infinite[place]):
                rows[-1]["infinite_rmse"] = np.nan
    return pd.DataFrame(rows)


def _headline(
    best: SketchedPath, chosen: pd.Series[Any], ends: FloatArray, inside: tuple[int, int],
    n_features: int, kind: str, level: float, unit: str,
) -> str:  # fmt: skip
    unit = f" {unit}" if unit else ""
    low, high = _gcv_interval(best, chosen, level)
    text = (
        f"By GCV the best of the settings is {best.n_sketches} {kind} "
        f"sketch{'es' if best.n_sketches > 1 else ''} of {best.size} of the {n_features} features "
        f"with penalty {chosen['penalty']:.3g}: root mean squared error on new rows about "
        f"{chosen['gcv_rmse']:.4g}{unit} ({100 * level:g} % interval {low:.4g} to {high:.4g})"
    )
    text += f"; {100 * level:g} % prediction intervals are {ends[1] - ends[0]:.4g}{unit} wide"
    if inside[1]:
        text += (
            f". On {inside[1]} held-out rows the error is {chosen['held_out_rmse']:.4g}{unit} and "
            f"{100 * inside[0] / inside[1]:.3g} % lie in their intervals"
        )
    return text + "."


def _gcv_interval(best: SketchedPath, chosen: pd.Series[Any], level: float) -> tuple[float, float]:
    place = int(np.flatnonzero(best.penalties == chosen["penalty"])[0])
    low, high = _mean_interval(best.corrected[:, place] ** 2, level)
    return float(np.sqrt(low)), float(np.sqrt(high))


def _values(
    best: SketchedPath, place: int, chosen: pd.Series[Any], corrected: FloatArray,
    ends: FloatArray, inside: tuple[int, int], level: float, unit: str,
) -> tuple[Value, ...]:  # fmt: skip
    low, high = _gcv_interval(best, chosen, level)
    tuned = "chosen from the settings tried"
    unit = unit or "unit of the target"
    values = [
        Value("root mean squared error", float(chosen["gcv_rmse"]), low, high, level, unit,
              _METHOD),
        Value("mean absolute error", *_absolute(corrected, level), level, unit,
              "Student's t over corrected residuals"),
        Value("sketch size", float(best.size), unit="features", why_no_interval=tuned),
        Value("penalty", float(best.penalties[place]), unit="variance of a feature",
              why_no_interval=tuned),
        Value("lower end of prediction intervals", float(ends[0]), unit=f"{unit}, from prediction",
              why_no_interval="it is the end of an interval"),
        Value("upper end of prediction intervals", float(ends[1]), unit=f"{unit}, from prediction",
              why_no_interval="it is the end of an interval"),
    ]  # fmt: skip
    if best.n_sketches > 1:
        values.append(
            Value("root mean squared error of infinitely many sketches",
                  float(chosen["infinite_rmse"]), unit=unit,
                  why_no_interval="an extrapolation in the number of sketches")
        )  # fmt: skip
    if inside[1]:
        hits, n = inside
        low = float(beta_law.ppf((1 - level) / 2, hits, n - hits + 1)) if hits else 0.0
        high = float(beta_law.ppf((1 + level) / 2, hits + 1, n - hits)) if hits < n else 1.0
        values.append(
            Value("held-out root mean squared error", float(chosen["held_out_rmse"]),
                  float(chosen["held_out_low"]), float(chosen["held_out_high"]), level, unit,
                  "Student's t over squared errors",
                  why_no_interval="fewer than two rows are held out")
        )  # fmt: skip
        values.append(
            Value("held-out coverage", hits / n, low, high, level, "share of rows",
                  "Clopper-Pearson")
        )  # fmt: skip
    return tuple(values)


def _absolute(corrected: FloatArray, level: float) -> tuple[float, float, float]:
    sizes = np.abs(corrected)
    low, high = _mean_interval(sizes, level)
    return float(sizes.mean()), low, high


def _status(best: SketchedPath, place: int, n: int, p: int) -> tuple[Status, str]:
    if best.left[place] < _NEAR_ONE:
        return Status.ASSUMPTION_DOUBTFUL, (
            "the chosen fit nearly interpolates the rows, so GCV divides by next to nothing; try "
            "larger penalties or smaller sketches and trust the held-out error"
        )
    if n < _FEW or p < _FEW_FEATURES:
        return Status.ASSUMPTION_DOUBTFUL, (
            f"GCV for sketches is a large-table argument, and this fit has {n} rows and {p} "
            "features; for a table this small plain ridge with exact leave-one-out is better"
        )
    return Status.OK, ""


def _notices(paths: list[SketchedPath], row: int, place: int, n_features: int) -> list[Notice]:
    notices = []
    last = len(paths[row].penalties) - 1
    if last > 0 and place in (0, last):
        notices.append(
            Notice(
                "penalty at the edge",
                f"the best penalty is the {'smallest' if place == 0 else 'largest'} tried",
                "give lambdas beyond it; at the largest the features may say nothing",
            )
        )
    if len(paths) > 1 and row == 0:
        notices.append(
            Notice("size at the edge", "the best sketch is the smallest tried",
                   "give smaller shares in sizes; it would also be faster")
        )  # fmt: skip
    notices.append(
        Notice(
            "chosen on the same rows",
            f"the error of the best of {len(paths) * (last + 1)} settings is read from the rows "
            "that chose it, so it is slightly low, and its interval ignores the choice",
            "compare with the held-out error",
        )
    )
    return notices
