"""Least squares on sketched rows: how far to downsample, and when that lowers the error.

Answers      How many sketched rows m should a minimum-norm least-squares fit use, what error has it
             out of sample at each m, and does it beat the fit on all rows?
Use when     unknowns p are near or above the rows n, or rows are too many to fit them all, and no
             penalty is tuned. Avoid it where a ridge penalty can be tuned: that does at least as
             well; and for the formulas where rows are dependent.
Assumes      y = x' beta + noise of variance sigma^2, independent rows; for the formulas n, p and m
             large, features linear images of independent entries, and beta without preferred
             direction, E|beta|^2 = alpha^2. Validation needs independent rows only.
Notation     n rows, p features, m sketched rows, S (m, n); phi = p / n, psi = m / n, so p / m =
             phi / psi; coefficients = (S X)^+ S y; signal = alpha^2, noise = sigma^2;
             spectrum = eigenvalues l_j of the features' covariance; excess risk = bias + variance.
             m > p, no bias; variance / sigma^2 = phi / (psi - phi) for orthogonal sketches,
             phi / (psi - phi) + phi / (1 - phi) for Gaussian ones, whatever the spectrum.
             m < p, any sketch: kappa solves sum l_j / (l_j + kappa) = m; d2 = sum (l_j / (l_j +
             kappa))^2; variance = sigma^2 d2 / (m - d2), bias = alpha^2 kappa m / p; if all l_j
             are 1: sigma^2 psi / (phi - psi) and alpha^2 (phi - psi) / phi.
             Best psi for l_j = 1, s = alpha / sigma > 1: phi (1 - 1 / s) if phi is above
             1 - 1 / (2 s) and that is below 1, else 1 (all rows).
Departs      The text of the theorems was not at hand. The formulas are derived here from known
             ones (Dobriban and Liu, 2019, for sketches that keep m > p; Hastie et al., 2022, for
             minimum norm), with the remark that for m < p the fit solves S X b = S y exactly, so
             that only the space of the sketch matters; they are checked against simulation. For
             Gaussian sketches of m > p rows phi < 1 is needed. The SRHT, padded, and the SRDCT are
             taken as orthogonal. Central limit theorems and misspecified models are left out:
             intervals here come from the held-out rows. The recipe chooses m on one half of the
             held-out rows and judges it on the other.
Reference    Chen, Zeng, Yang and Sun (2023), Sketched Ridgeless Linear Regression: The Role of
             Downsampling, arXiv:2302.01088.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import lstsq
from scipy.optimize import brentq, nnls
from scipy.stats import t as student

from statlas.core import (
    Above,
    Below,
    Example,
    Features,
    InputError,
    Notice,
    Number,
    Option,
    Result,
    Roles,
    Status,
    Table,
    Twin,
    Value,
    Within,
    claim,
    recipe,
)
from statlas.core.numerics.sketches import make_sketch
from statlas.core.progress import track
from statlas.core.rng import Rng

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
RowSketch = Literal["srdct", "srht", "haar", "gaussian"]

_FEW = 40  # rows to choose from, or to judge by, below which the choice is doubtful

# --- the method, on arrays -----------------------------------------------------------------------


def sketched_least_squares(
    X: ArrayLike, y: ArrayLike, m: int, kind: RowSketch = "srdct", rng: Rng = 0
) -> FloatArray:
    """Minimum-norm least squares on m sketched rows: (S X)^+ S y, shape (p,).

    Parameters
    ----------
    X, y
        Features (n, p) and target (n,), centred if there is to be an intercept.
    m
        Sketched rows, 1 to n; n takes the rows as they are.
    kind
        The sketch of the rows.

    Examples
    --------
    >>> X = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    >>> print(sketched_least_squares(X, X @ [3.0, 4.0], 2).round(6))
    [3. 4.]
    """
    X, y = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    if not 1 <= m <= len(y):
        raise InputError(f"a sketch of {m} rows of {len(y)} cannot be", remedy="take 1 to n rows")
    if m == len(y):
        return np.asarray(lstsq(X, y, check_finite=False)[0])
    both = make_sketch(kind, m, len(y), np.random.default_rng(rng)) @ np.column_stack([X, y])
    return np.asarray(lstsq(both[:, :-1], both[:, -1], check_finite=False)[0])


def limiting_parts(
    m: ArrayLike, n: int, spectrum: ArrayLike, kind: RowSketch = "srdct"
) -> tuple[FloatArray, FloatArray]:
    """Limits of bias / alpha^2 and variance / sigma^2 of the excess risk at m sketched rows.

    Parameters
    ----------
    m
        Sketched rows, each in (0, n]; numbers need not be whole, only ratios count.
    n
        Rows before sketching.
    spectrum
        Eigenvalues of the features' covariance, positive, shape (p,).

    Returns
    -------
    bias, variance
        Shaped like m; infinite variance at m = p.

    Examples
    --------
    >>> bias, variance = limiting_parts([50, 100, 200], 200, np.ones(100))
    >>> print(bias, variance)
    [0.5 0.  0. ] [ 1. inf  1.]
    """
    sizes = np.atleast_1d(np.asarray(m, dtype=float))
    values = np.asarray(spectrum, dtype=float)
    p = len(values)
    bias, variance = np.zeros(len(sizes)), np.full(len(sizes), np.inf)
    for place, size in enumerate(sizes):
        if size > p:
            variance[place] = p / (size - p)
            if kind == "gaussian" and size < n:
                variance[place] += p / (n - p)
        elif size < p:
            kappa = _implicit_penalty(values, size)
            d2 = float(((values / (values + kappa)) ** 2).sum())
            bias[place], variance[place] = kappa * size / p, d2 / (size - d2)
    return bias, variance


def _implicit_penalty(values: FloatArray, size: float) -> float:
    """Kappa with sum l / (l + kappa) = size, for size below the number of eigenvalues."""
    top = float(values.sum()) / size  # l / (l + kappa) <= l / kappa
    return float(brentq(lambda k: float((values / (values + k)).sum()) - size, 0.0, top))


def best_ratio(phi: float, signal: float, noise: float) -> float:
    """Best psi = m / n for isotropic features and an orthogonal sketch; 1 is all rows.

    Examples
    --------
    >>> print(best_ratio(0.95, signal=4.0, noise=1.0), best_ratio(0.5, signal=4.0, noise=1.0))
    0.475 1.0
    """
    s = float(np.sqrt(signal / noise))
    if phi < 1 and phi <= 1 - 1 / (2 * max(s, 1.0)):
        return 1.0
    return min(1.0, phi * (1 - 1 / max(s, 1.0)))


# --- recipe --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SketchSizeReport(Result):
    """Error at each number of sketched rows; `table` has a row a sketch size."""

    def draw(self, figure: Figure) -> None:
        """Validation error against sketch size with its band, and the fitted limit formula."""
        axes = figure.subplots()
        unit, level = self.options.get("target_unit", ""), 100 * self.options["level"]
        shown = self.table
        x = shown["rows"]
        axes.plot(x, shown["error"], "o-", markersize=4, label="validation rows")
        axes.fill_between(x, shown["low"], shown["high"], alpha=0.2, linewidth=0,
                          label=f"{level:g} % band")  # fmt: skip
        curve = self.details["curve"]
        axes.plot(curve["rows"], curve["error"], "--", label="formula, signal and noise fitted")
        p = self.details["features"]
        axes.axvline(p, color="#666666", linewidth=0.9, linestyle=":", label=f"{p} features")
        axes.axvline(self.details["chosen"], color="#111111", linewidth=1.1, label="chosen")
        axes.set(xlabel="sketched rows m", xlim=(0, None), yscale="log")
        axes.set_ylabel(f"root mean squared error{f' ({unit})' if unit else ''}")
        errors = shown[["error", "high"]].to_numpy()
        low = float(shown["error"].min())
        axes.set_ylim(0.75 * low, 1.3 * float(np.nanmax(errors)))
        axes.legend(fontsize=8)


@recipe(
    "sketched-ridgeless",
    example=Example(
        file="diabetes_quadratic.csv",
        about="442 diabetes patients, 64 columns (ten measures, squares and products); a fifth "
        "of the patients is fitted, so that rows are hardly more than columns.",
        origin="scikit-learn's diabetes table (Efron et al., 2004); recorded by "
        "examples/record_diabetes_quadratic.py.",
        options={"target": "progression", "held_out": 0.8, "target_unit": "points"},
    ),
)
def choose_sketch_size(
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
    kind: Annotated[
        RowSketch, Option(help="sketch of the rows: cosine transform, Hadamard, rotation, Gaussian")
    ] = "srdct",
    n_sizes: Annotated[int, Option(ge=3, le=200, help="numbers of sketched rows to try")] = 24,
    repeats: Annotated[int, Option(ge=1, le=200, help="sketches drawn at each number")] = 5,
    held_out: Annotated[
        float, Option(gt=0, lt=0.95, help="share of rows held out, half to choose, half to judge")
    ] = 0.4,
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of the intervals")] = 0.95,
    target_unit: Annotated[str, Option(help="unit of the target, for labels")] = "",
    rng: Rng = None,
) -> SketchSizeReport:
    """Choose the number of sketched rows for minimum-norm least squares on held-out rows.

    Parameters
    ----------
    table
        One row an independent observation: a numeric target and numeric features.

    Returns
    -------
    SketchSizeReport
        `table` has a row a sketch size: error on the validation rows, interval, formula.

    Examples
    --------
    >>> result = choose_sketch_size.run_example(repeats=1, n_sizes=5)
    >>> result.value("chosen sketched rows").unit
    'rows'
    """
    generator = np.random.default_rng(rng)
    X, names = table.features()
    y = table.number("target")
    order = generator.permutation(len(y))
    n_half = max(round(held_out * len(y) / 2), 2)
    judge, choose, train = order[:n_half], order[n_half : 2 * n_half], order[2 * n_half :]
    if len(train) < 4 or np.ptp(y[train]) == 0:
        raise InputError(f"{len(train)} rows are left to fit, or their targets are all equal",
                         column=str(table.columns["target"]),
                         remedy="give more rows, or a smaller held_out")  # fmt: skip
    X, spectrum = _standardised(X, train)
    centre = y[train].mean()
    sizes = _sizes(len(train), len(spectrum), n_sizes)
    squares = np.zeros((2, len(sizes), n_half))
    for row, m in enumerate(track(sizes, "sketch sizes")):
        draws = 1 if m == len(train) else repeats
        for child in generator.spawn(draws):
            b = sketched_least_squares(X[train], y[train] - centre, m, kind, child)
            for part, rows in enumerate((choose, judge)):
                squares[part, row] += (y[rows] - centre - X[rows] @ b) ** 2 / draws
    best = int(np.argmin(squares[0].mean(axis=1)))
    found = _curve_table(sizes, squares[0], len(train), spectrum, kind, level)
    return _report(found, squares[1], best, sizes, spectrum, len(names), level,
                   target_unit, kind, len(train))  # fmt: skip


def _standardised(X: FloatArray, train: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """Varying features by centre and spread of the training rows, and all rows' eigenvalues."""
    centred = X - X[train].mean(axis=0)
    spread = centred[train].std(axis=0)
    varies = spread > 1e-12 * np.maximum(np.abs(X[train]).max(axis=0), np.finfo(float).tiny)
    if not varies.any():
        raise InputError("all features are constant over the rows to fit",
                         remedy="give at least one feature that varies")  # fmt: skip
    scaled = centred[:, varies] / spread[varies]
    values = np.linalg.svd(scaled - scaled.mean(axis=0), compute_uv=False) ** 2 / len(X)
    full = np.zeros(scaled.shape[1])
    full[: len(values)] = values
    return scaled, np.maximum(full, 1e-10 * full.max())


def _sizes(n: int, p: int, count: int) -> list[int]:
    """Sketch sizes from few rows to all of them, with p itself left out of the grid."""
    spaced = np.unique(np.linspace(max(2, n // (2 * count)), n, count).round().astype(int))
    return [int(m) for m in spaced if m == n or m != p]


def _mean_interval(squares: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    n = squares.shape[-1]
    margin = student.ppf((1 + level) / 2, n - 1) * squares.std(axis=-1, ddof=1) / np.sqrt(n)
    mean = squares.mean(axis=-1)
    return np.maximum(mean - margin, 0.0), mean + margin


def _curve_table(
    sizes: list[int], squares: FloatArray, n: int, spectrum: FloatArray, kind: RowSketch,
    level: float,
) -> pd.DataFrame:  # fmt: skip
    """Validation error a size, and the formula with signal and noise fitted to the curve."""
    mean = squares.mean(axis=1)
    low, high = _mean_interval(squares, level)
    bias, variance = limiting_parts(sizes, n, spectrum, kind)
    weights = np.where(np.isfinite(variance), 1 / mean, 0.0)
    design = np.column_stack([np.nan_to_num(bias), np.where(weights > 0, 1 + variance, 0.0)])
    (signal, noise), _ = nnls(design * weights[:, None], mean * weights)
    with np.errstate(invalid="ignore"):
        formula = signal * bias + (noise * (1 + variance) if noise else 0.0)
    return pd.DataFrame(
        {
            "rows": sizes,
            "ratio": np.array(sizes) / n,
            "error": np.sqrt(mean),
            "low": np.sqrt(low),
            "high": np.sqrt(high),
            "formula_error": np.where(np.isfinite(formula), np.sqrt(formula), np.nan),
        }
    )


def _report(
    found: pd.DataFrame, judged: FloatArray, best: int, sizes: list[int], spectrum: FloatArray,
    n_features: int, level: float, unit: str, kind: str, n: int,
) -> SketchSizeReport:  # fmt: skip
    p, m = len(spectrum), sizes[best]
    chosen, full = judged[best], judged[-1]
    low, high = (float(np.sqrt(end)) for end in _mean_interval(chosen, level))
    full_low, full_high = (float(np.sqrt(end)) for end in _mean_interval(full, level))
    gain = full - chosen
    margin = student.ppf((1 + level) / 2, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain))
    mean_gain = float(gain.mean())
    error, full_error = float(np.sqrt(chosen.mean())), float(np.sqrt(full.mean()))
    space, percent = (f" {unit}" if unit else ""), f"{100 * level:g} %"
    if m == n:
        text = f"Use all {n} rows: no sketch of them has a smaller validation error"
        text += f"; error on fresh rows {error:.4g}{space} ({percent} interval {low:.4g} to "
        text += f"{high:.4g}), with {p} features."
    else:
        sure = "more than chance" if mean_gain - margin > 0 else "could be chance"
        text = (
            f"Sketch the {n} rows down to {m} ({kind}, {p} features): error on fresh rows "
            f"{error:.4g}{space} ({percent} interval {low:.4g} to {high:.4g}), against "
            f"{full_error:.4g}{space} ({full_low:.4g} to {full_high:.4g}) from all rows; the "
            f"difference of squared errors {sure}."
        ).replace("errors more", "errors is more")
    by = "Student's t over squared errors of the judging rows"
    target = unit or "unit of the target"
    few = len(gain) < _FEW
    return SketchSizeReport(
        headline=text,
        table=found,
        values=(
            Value("chosen sketched rows", float(m), unit="rows",
                  why_no_interval="chosen from the numbers tried"),
            Value("error of the chosen fit", error, low, high, level, target, by),
            Value("error of the fit on all rows", full_error, full_low, full_high, level, target,
                  by),
            Value("squared error of all rows minus chosen", mean_gain, mean_gain - margin,
                  mean_gain + margin, level, f"square of {target}", "paired Student's t"),
        ),
        details={"chosen": m, "features": p,
                 "curve": _formula_curve(found)},
        status=Status.ASSUMPTION_DOUBTFUL if few else Status.OK,
        advice=(f"only {len(gain)} rows judge the choice; give more rows or a larger held_out"
                if few else ""),
        warnings=tuple(_notices(p, n, n_features, m)),
    )  # fmt: skip


def _formula_curve(found: pd.DataFrame) -> dict[str, list[float]]:
    known = found.dropna(subset=["formula_error"])
    return {"rows": known["rows"].tolist(), "error": known["formula_error"].tolist()}


def _notices(p: int, n: int, n_features: int, m: int) -> list[Notice]:
    notices = []
    if p < n_features:
        notices.append(Notice("constant columns", f"{n_features - p} features are constant over "
                              "the rows to fit and are left out", "remove them"))  # fmt: skip
    if 0.8 < n / p < 1.25:
        notices.append(
            Notice("near the peak", f"{n} rows for {p} features: the fit on all rows sits at the "
                   "peak of its error", "a ridge penalty removes it too; compare with one")
        )  # fmt: skip
    return notices


# --- claims --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Draw:
    X: FloatArray
    y: FloatArray
    beta: FloatArray
    spectrum: FloatArray

    def excess(self, b: FloatArray) -> float:
        """Exact excess risk of coefficients."""
        return float(self.spectrum @ (b - self.beta) ** 2)


def _draw(rng: np.random.Generator, n: int, p: int, signal: float, falls: float = 1.0) -> _Draw:
    """Normal features whose variances fall from 1 to 1 / falls; noise of variance 1."""
    spectrum = np.linspace(1, np.sqrt(falls), p) ** -2
    X = rng.normal(size=(n, p)) * np.sqrt(spectrum)
    beta = rng.normal(size=p) * np.sqrt(signal / p)
    return _Draw(X, X @ beta + rng.normal(size=n), beta, spectrum)


def _limit(m: int, n: int, spectrum: FloatArray, kind: RowSketch, signal: float) -> float:
    bias, variance = limiting_parts(m, n, spectrum, kind)
    return float(signal * bias[0] + variance[0])


def _isotropic_limit(m: int, n: int, spectrum: FloatArray, kind: RowSketch, signal: float) -> float:
    return _limit(m, n, np.full(len(spectrum), spectrum.mean()), kind, signal)


def _orthogonal_limit(
    m: int, n: int, spectrum: FloatArray, kind: RowSketch, signal: float
) -> float:
    return _limit(m, n, spectrum, "haar", signal)


@claim(
    "sketched-ridgeless",
    says="the limit formula gives the risk below the peak for correlated features",
    where="risk for correlated features, over-parameterised after sketching",
    expect=Within(0.95, 1.05),
    unit="simulated excess risk over the limit, 200 rows, 240 features, 100 sketched rows",
    subject=_limit,
    twin=Twin("the isotropic formula at the mean variance", _isotropic_limit),
    quick=40,
    full=1_500,
)
def theory_below_the_peak(rng: np.random.Generator, limit: Callable[..., float]) -> float:
    """Ratio on one table, variances falling to 1/900."""
    drawn = _draw(rng, 200, 240, 10.0, 900.0)
    b = sketched_least_squares(drawn.X, drawn.y, 100, "srdct", rng)
    return drawn.excess(b) / limit(100, 200, drawn.spectrum, "srdct", 10.0)


@claim(
    "sketched-ridgeless",
    says="the limit formula gives the risk above the peak for Gaussian sketches",
    where="risk with i.i.d. sketches, under-parameterised after sketching",
    expect=Within(0.95, 1.05),
    unit="simulated excess risk over the limit, 300 rows, 80 features, 200 sketched rows",
    subject=_limit,
    twin=Twin("the formula for orthogonal sketches", _orthogonal_limit),
    quick=40,
    full=1_500,
)
def theory_above_the_peak(rng: np.random.Generator, limit: Callable[..., float]) -> float:
    """Ratio on one table."""
    drawn = _draw(rng, 300, 80, 4.0, 5.0)
    b = sketched_least_squares(drawn.X, drawn.y, 200, "gaussian", rng)
    return drawn.excess(b) / limit(200, 300, drawn.spectrum, "gaussian", 4.0)


@claim(
    "sketched-ridgeless",
    says="the risk peaks where sketched rows equal features",
    where="risk curve in the sketch size",
    expect=Above(0.7),
    unit="log of the excess risk at m over that at the better of m = 60 and m = 180, 120 features",
    subject=120,
    twin=Twin("half as many sketched rows as features", 60),
    quick=60,
    full=1_500,
)
def peak_at_m_equals_p(rng: np.random.Generator, m: int) -> float:
    """Log ratio on one table of 200 rows."""
    drawn = _draw(rng, 200, 120, 4.0)
    at, *others = (
        drawn.excess(sketched_least_squares(drawn.X, drawn.y, size, "srdct", rng))
        for size in (m, 60, 180)
    )
    return float(np.log(at / min(others)))


def _best_rows(n: int, p: int, signal: float) -> int:
    return max(1, round(n * best_ratio(p / n, signal, 1.0)))


def _all_rows(n: int, p: int, signal: float) -> int:
    return n


@claim(
    "sketched-ridgeless",
    says="near the interpolation threshold downsampling to the best size lowers the risk",
    where="optimal sketch size",
    expect=Below(-0.7),
    unit="log of the excess risk over that of all rows, 200 rows, 190 features, signal to noise 4",
    subject=_best_rows,
    twin=Twin("no downsampling", _all_rows),
    quick=40,
    full=1_000,
)
def downsampling_can_help(rng: np.random.Generator, rows: Callable[..., int]) -> float:
    """Log ratio on one table."""
    drawn = _draw(rng, 200, 190, 4.0)
    sketched = sketched_least_squares(drawn.X, drawn.y, rows(200, 190, 4.0), "srdct", rng)
    full = sketched_least_squares(drawn.X, drawn.y, 200)
    return float(np.log(drawn.excess(sketched) / drawn.excess(full)))


@claim(
    "sketched-ridgeless",
    says="at the best sketch size the risk has no peak as features pass the number of rows",
    where="stabler risk curves at the optimal size",
    expect=Below(0.2),
    unit="log of the excess risk at 200 features over the mean of 170 and 240 features, 200 rows",
    subject=_best_rows,
    twin=Twin("all rows", _all_rows),
    quick=40,
    full=1_000,
)
def no_peak_at_the_best_size(rng: np.random.Generator, rows: Callable[..., int]) -> float:
    """Log ratio of three tables."""
    found = []
    for p in (200, 170, 240):
        drawn = _draw(rng, 200, p, 4.0)
        m = rows(200, p, 4.0)
        found.append(drawn.excess(sketched_least_squares(drawn.X, drawn.y, m, "srdct", rng)))
    return float(np.log(found[0] / np.mean(found[1:])))


def _by_validation(drawn: _Draw, fits: dict[int, FloatArray], rng: np.random.Generator) -> int:
    p = len(drawn.beta)
    X = rng.normal(size=(100, p)) * np.sqrt(drawn.spectrum)
    y = X @ drawn.beta + rng.normal(size=100)
    return min(fits, key=lambda m: float(np.mean((y - X @ fits[m]) ** 2)))


def _without_validation(drawn: _Draw, fits: dict[int, FloatArray], rng: np.random.Generator) -> int:
    return max(fits)


@claim(
    "sketched-ridgeless",
    says="a validation set finds a sketch size nearly as good as the best",
    where="practical selection of the sketch size",
    expect=Below(0.1),
    unit="log of the prediction risk over that of the best of 12 sizes, 100 validation rows",
    subject=_by_validation,
    twin=Twin("all rows, without a choice", _without_validation),
    quick=30,
    full=600,
)
def validation_finds_the_size(rng: np.random.Generator, choose: Callable[..., int]) -> float:
    """Log ratio on one table of 120 rows and 110 features."""
    drawn = _draw(rng, 120, 110, 4.0)
    fits = {
        m: sketched_least_squares(drawn.X, drawn.y, m, "srdct", rng) for m in range(10, 121, 10)
    }
    risks = {m: 1 + drawn.excess(b) for m, b in fits.items()}
    return float(np.log(risks[choose(drawn, fits, rng)] / min(risks.values())))
