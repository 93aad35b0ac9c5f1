"""The recipe: modes and basins of a table of numbers, with their heights and a bound on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri

from statlas.core import (
    Example,
    Features,
    InputError,
    Notice,
    Option,
    Result,
    Roles,
    Status,
    Table,
    Value,
    recipe,
)
from statlas.core.rng import Rng, sklearn_seed
from statlas.statistics.kde_modes.estimator import SketchedModeFinder
from statlas.statistics.kde_modes.kernels import FloatArray, Kernel, KernelName, sketch_size
from statlas.statistics.kde_modes.search import squared_distances

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN, _COLOURED, _DRAWN = 12, 6, 1_500  # modes in the figure, of them coloured, rows drawn
_FEW_COLUMNS = 12  # features whose values at the modes fit into the table


@dataclass(frozen=True, kw_only=True)
class ModeReport(Result):
    """Modes from the highest down; `table` has a row a mode."""

    def draw(self, figure: Figure) -> None:
        """Rows and modes on their first two principal components; heights under the bound."""
        left, right = figure.subplots(1, 2, width_ratios=(1.1, 1.0))
        figure.set_size_inches(10.0, 4.6)
        self._draw_rows(left)
        self._draw_heights(right)

    def _draw_rows(self, axes: Axes) -> None:
        from statlas.core.figures import PALETTE

        rows, label = np.array(self.details["rows"]), np.array(self.details["basins"])
        modes = np.array(self.details["modes"])
        for mode in range(min(_COLOURED, len(modes))):
            own = rows[label == mode]
            colour = PALETTE[mode % len(PALETTE)]
            axes.plot(own[:, 0], own[:, 1], ".", color=colour, markersize=3, alpha=0.6)
            axes.plot(*modes[mode, :2], "D", color=colour, markersize=8, markeredgecolor="white",
                      label=f"mode {mode + 1}")  # fmt: skip
        rest = rows[label >= _COLOURED]
        if len(rest):
            axes.plot(rest[:, 0], rest[:, 1], ".", color="#999999", markersize=3, alpha=0.6)
            axes.plot([], [], "o", color="#999999", label="other basins")
        shares = 100 * np.array(self.details["variance_shares"])
        axes.set_xlabel(f"first principal component ({shares[0]:.0f} % of variance)")
        axes.set_ylabel(f"second principal component ({shares[1]:.0f} %)")
        axes.legend(fontsize=8)

    def _draw_heights(self, axes: Axes) -> None:
        from statlas.core.figures import PALETTE

        shown = self.table.head(_SHOWN)
        place = np.arange(len(shown))
        axes.hlines(place, shown["low"], shown["high"], linewidth=2.2, color="#666666")
        colours = [PALETTE[m] if m < _COLOURED else "#999999" for m in place]
        axes.scatter(shown["height"], place, c=colours, s=36, zorder=3)
        if self.details["upper_bound"] is not None:
            bound = self.details["upper_bound"]
            axes.axvline(bound, color="#111111", linestyle="--", linewidth=1.2)
            axes.text(bound, (len(shown) - 1) / 2, "no place is higher ", rotation=90, fontsize=8,
                      ha="right", va="center")  # fmt: skip
        labels = [
            f"mode {row.mode} ({row.rows} row{'s' if row.rows != 1 else ''})"
            for row in shown.itertuples()
        ]
        axes.set_yticks(place, labels)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlim(0, None)
        axes.locator_params(axis="x", nbins=6)
        axes.set_xlabel(f"height: mean kernel value ({100 * self.options['level']:g} % interval)")


def _digit_images() -> pd.DataFrame:
    from sklearn.datasets import load_digits

    frame: pd.DataFrame = load_digits(as_frame=True).data
    return frame


@recipe(
    "kde-modes",
    example=Example(
        loader=_digit_images,
        about="1,797 images of handwritten digits, 64 pixels each; the digits are not told.",
        origin="scikit-learn's load_digits (UCI optical recognition of handwritten digits, "
        "CC BY 4.0).",
        options={"standardise": False, "neighbours": 0.01},
    ),
)
def density_modes(
    table: Annotated[
        Table, Roles(features=Features(help="numeric columns; by default all"), min_rows=10)
    ],
    *,
    kernel: Annotated[
        KernelName, Option(help="kernel: Gaussian, logistic, sigmoid or generalised Gaussian")
    ] = "gaussian",
    power: Annotated[
        float, Option(ge=1, le=20, help="exponent of the distance in the generalised Gaussian")
    ] = 4.0,
    bandwidth: Annotated[
        float | None,
        Option(gt=0, help="unit of distance, after standardising; chosen by `rule` by default"),
    ] = None,
    rule: Annotated[
        Literal["neighbours", "likelihood"],
        Option(help="choose the bandwidth by the size of neighbourhoods, or by likelihood"),
    ] = "neighbours",
    neighbours: Annotated[
        float, Option(gt=0, le=0.5, help="share of the rows that a neighbourhood holds")
    ] = 0.02,
    standardise: Annotated[
        bool, Option(help="whether columns are brought to variance 1 first")
    ] = True,
    dimensions: Annotated[
        int | None, Option(ge=1, help="dimensions of the sketch; 4 ln n by default")
    ] = None,
    sketches: Annotated[
        int, Option(ge=1, le=100, help="sketches to search; the modes of all are pooled")
    ] = 1,
    epsilon: Annotated[
        float, Option(gt=0, lt=1, help="share of the largest density that may be missed")
    ] = 0.1,
    certificate: Annotated[
        bool, Option(help="whether to bound the largest density (takes all pairs of rows)")
    ] = True,
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of the intervals")] = 0.95,
    rng: Rng = None,
) -> ModeReport:
    """Find the highest peaks of a table's kernel density, with their basins and a bound.

    Parameters
    ----------
    table
        One row a point: numeric features.

    Returns
    -------
    ModeReport
        `table` has a row a mode: height with interval, rows in its basin, nearest row.

    Examples
    --------
    >>> result = density_modes.run_example(certificate=False)
    >>> result.value("bandwidth").unit
    'units of the table'
    """
    generator = np.random.default_rng(rng)
    values, names = table.features()
    points, centre, scale = _scaled(values, standardise)
    finder = SketchedModeFinder(
        kernel=kernel, power=power, bandwidth=bandwidth, rule=rule, neighbours=neighbours,
        n_dimensions=dimensions, n_sketches=sketches, bound=certificate,
        random_state=sklearn_seed(generator),
    ).fit(points)  # fmt: skip
    found = _table(finder, points, level)
    at_modes = finder.cluster_centers_ * scale + centre
    if len(names) <= _FEW_COLUMNS:
        for column, name in enumerate(names):
            found[f"at {name}"] = at_modes[:, column]
    theory = sketch_size(len(points), epsilon, Kernel(kernel, power))
    status, advice = _status(finder, len(points))
    return ModeReport(
        headline=_headline(finder, found, len(names), level),
        table=found,
        values=_values(finder, found, theory.rows, level, epsilon, standardise),
        details={
            **_picture(points, finder, generator),
            "upper_bound": finder.upper_bound_ if certificate else None,
            "features": names,
            "modes_in_units_of_the_table": at_modes[:_SHOWN].tolist(),
        },
        status=status,
        advice=advice,
        warnings=tuple(_notices(finder, len(names), epsilon, theory.rows, certificate)),
    )


# --- reading -------------------------------------------------------------------------------------


def _scaled(values: FloatArray, standardise: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Centred (and scaled) points; centre and scale bring them back."""
    centre = values.mean(axis=0)
    points = values - centre
    spread = points.std(axis=0)
    flat = spread <= 1e-12 * np.maximum(np.abs(values).max(axis=0), np.finfo(float).tiny)
    if flat.all():
        raise InputError("all rows are equal, so there is no density to speak of",
                         remedy="give at least one column that varies")  # fmt: skip
    points[:, flat] = 0.0
    scale = np.where(flat, 1.0, spread) if standardise else np.ones_like(spread)
    return points / scale, centre, scale


def _kernel_values(finder: SketchedModeFinder, points: FloatArray) -> FloatArray:
    """Kernel value of each row at each mode, shape (n_modes, n_rows)."""
    kernel = Kernel(finder.kernel, finder.power)
    z = squared_distances(finder.cluster_centers_, points) / finder.bandwidth_**2
    return np.asarray(np.exp(kernel.log_profile(z)))


def _table(finder: SketchedModeFinder, points: FloatArray, level: float) -> pd.DataFrame:
    n = len(points)
    values = _kernel_values(finder, points)
    height = values.mean(axis=1)
    reach = ndtri((1 + level) / 2) * values.std(axis=1, ddof=1) / np.sqrt(n)
    rows = np.bincount(finder.labels_, minlength=len(height))
    return pd.DataFrame(
        {
            "mode": np.arange(1, len(height) + 1),
            "height": height,
            "low": np.maximum(height - reach, 0.0),
            "high": np.minimum(height + reach, 1.0),
            "relative": height / height.max(),
            "rows": rows,
            "share": rows / n,
            "log_density": np.log(height) + finder.log_scale,
            "nearest_row": values.argmax(axis=1) + 1,
        }
    )


def _picture(
    points: FloatArray, finder: SketchedModeFinder, rng: np.random.Generator
) -> dict[str, Any]:
    """Rows (at most some) and modes on the first two principal components."""
    centred = points - points.mean(axis=0)
    _, size, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] if len(axes) > 1 else np.vstack([axes, np.zeros_like(axes)])
    shares = np.append(size**2 / (size**2).sum(), 0.0)[:2]
    drawn = np.sort(rng.permutation(len(points))[:_DRAWN])
    modes = finder.cluster_centers_[:_SHOWN] - points.mean(axis=0)
    return {
        "rows": (centred[drawn] @ axes.T).round(6).tolist(),
        "basins": finder.labels_[drawn].tolist(),
        "modes": (modes @ axes.T).round(6).tolist(),
        "variance_shares": shares.tolist(),
    }


# --- what is said --------------------------------------------------------------------------------


def _status(finder: SketchedModeFinder, n: int) -> tuple[Status, str]:
    if not finder.converged_:
        return Status.NOT_CONVERGED, "some searches were still climbing: choose another bandwidth"
    if len(finder.heights_) > n / 4 or finder.heights_[0] * n < 3:
        return Status.ASSUMPTION_DOUBTFUL, (
            "the kernel is so narrow that most rows stand nearly alone, so modes are single rows: "
            "raise `neighbours` or `bandwidth`"
        )
    if len(finder.heights_) == 1 and finder.heights_[0] > 0.5:
        return Status.ASSUMPTION_DOUBTFUL, (
            "the kernel is so wide that the density is hardly more than one bump: lower "
            "`neighbours` or `bandwidth`"
        )
    return Status.OK, ""


def _headline(
    finder: SketchedModeFinder, found: pd.DataFrame, n_features: int, level: float
) -> str:
    top, n_modes = found.iloc[0], len(found)
    m = finder.n_dimensions_
    how = f"in sketches of {m} of {n_features} dimensions" if m < n_features else "from every row"
    text = (
        f"The highest of {n_modes} mode{'s' if n_modes > 1 else ''} found {how} has a mean kernel "
        f"value of {top['height']:.4g} ({100 * level:g} % interval {top['low']:.4g} to "
        f"{top['high']:.4g}, the place taken as fixed) near row {int(top['nearest_row'])}, and "
        f"{100 * top['share']:.3g} % of the rows climb to it"
    )
    if np.isfinite(finder.certificate_):
        text += (
            f"; no place can have more than {finder.upper_bound_:.4g}, so it is proved to have "
            f"at least {100 * finder.certificate_:.0f} % of the largest value there is"
        )
    return text + "."


def _values(
    finder: SketchedModeFinder, found: pd.DataFrame, theory: int, level: float, epsilon: float,
    standardise: bool,
) -> tuple[Value, ...]:  # fmt: skip
    top = found.iloc[0]
    unit = "standard deviations of a column" if standardise else "units of the table"
    values = [
        Value("height of the highest mode", float(top["height"]), float(top["low"]),
              float(top["high"]), level, "mean kernel value",
              "normal over rows, the place of the mode taken as fixed"),
        Value("modes", len(found), why_no_interval="a count"),
        Value("bandwidth", finder.bandwidth_, unit=unit,
              why_no_interval="chosen, not estimated"),
        Value("dimensions of the sketch", finder.n_dimensions_, why_no_interval="chosen"),
        Value(f"dimensions sufficient by the theorem, epsilon {epsilon:g}", theory,
              why_no_interval="a formula of epsilon and the number of rows"),
    ]  # fmt: skip
    if np.isfinite(finder.certificate_):
        values.insert(
            1,
            Value("proved share of the largest density", finder.certificate_,
                  why_no_interval="a proved bound, not an estimate"),
        )  # fmt: skip
    return tuple(values)


def _notices(
    finder: SketchedModeFinder, n_features: int, epsilon: float, theory: int, certificate: bool
) -> Iterator[Notice]:
    m = finder.n_dimensions_
    if m < min(n_features, theory):
        yield Notice(
            "sketch-below-theorem",
            f"the theorem asks for {theory:,} dimensions to lose at most {epsilon:g} for certain; "
            f"{m} are used",
            "compare with dimensions equal to the number of columns, and read the proved share; "
            "basins are those of the sketch, where close ones may have merged",
        )
    if m >= n_features:
        yield Notice(
            "no-sketch",
            f"the search was in all {n_features} dimensions",
            "set dimensions to less to search a sketch",
        )
    if certificate and finder.certificate_ < 1 - epsilon:
        yield Notice(
            "not-proved",
            f"a mode up to {1 / finder.certificate_:.3g} times as high cannot be ruled out",
            "the bound is often loose by such a factor; more sketches or more dimensions make a "
            "miss less likely",
        )
    alone = int(np.sum(np.bincount(finder.labels_, minlength=len(finder.heights_)) <= 1))
    if alone > 1:
        yield Notice(
            "single-rows",
            f"{alone} modes have at most one row in their basin",
            "read them as outliers",
        )
