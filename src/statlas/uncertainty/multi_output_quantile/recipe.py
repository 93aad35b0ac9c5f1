"""The recipe: a calibrated region for several targets of one table, beside simpler regions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
from statlas.core.numerics.proportions import wilson_interval
from statlas.core.progress import track
from statlas.core.rng import Rng, sklearn_seed
from statlas.uncertainty.multi_output_quantile.diagnostics import (
    SlabCoverage,
    cluster_rows,
    worst_slab_coverage,
)
from statlas.uncertainty.multi_output_quantile.estimators import (
    Areas,
    BoxRegressor,
    EllipsoidRegressor,
    MultiOutputQuantileRegressor,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Shape = Literal["learned", "directional", "box", "ellipsoid"]

_SHAPES: tuple[Shape, ...] = ("learned", "directional", "box", "ellipsoid")
_TITLES = {
    "learned": "learned representation",
    "directional": "directional quantiles",
    "box": "box (Bonferroni)",
    "ellipsoid": "ellipsoid",
}
_LEVEL = 0.95
_FEWEST, _CLUSTERS, _SHOWN, _GRID, _RESAMPLES = 40, 3, 3, 70, 1_000
_TEST_SHARE = 0.25
_COLOURS = ("#0072B2", "#D55E00", "#009E73")


# --- the result -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RegionReport(Result):
    """Coverage and area of four kinds of region; `table` has a row a kind, the method's first."""

    def draw(self, figure: Figure) -> None:
        """Regions of three unseen rows, and coverage and area of each kind."""
        left, middle, right = figure.subplots(1, 3, width_ratios=[1.6, 1, 1])
        figure.set_size_inches(12, 4.4)
        self._draw_regions(left)
        self._draw_coverage(middle)
        self._draw_areas(right)

    def _draw_regions(self, axes: Axes) -> None:
        from statlas.core.figures import plain_label

        shown = self.details["shown"]
        first, second = (plain_label(name) for name in shown["targets"][:2])
        axes.plot(*np.array(shown["others"]).T, ".", color="#bbbbbb", markersize=3,
                  label="other unseen rows")  # fmt: skip
        for row, colour in zip(shown["rows"], _COLOURS, strict=False):
            _draw_region(axes, shown, row, colour)
            axes.plot(*row["actual"][:2], "X", color=colour, markeredgecolor="black", markersize=9,
                      label=f"row {row['row']}")  # fmt: skip
        axes.set(xlabel=first, ylabel=second)
        axes.set_title("regions of three unseen rows; cross: what came")
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4)

    def _draw_coverage(self, axes: Axes) -> None:
        table = self.table[::-1]
        place = np.arange(len(table))
        middle = table["coverage"].to_numpy(float)
        ends = [middle - table["coverage_low"], table["coverage_high"] - middle]
        axes.errorbar(middle, place, xerr=np.abs(ends), fmt="o", color="#0072B2", capsize=3)
        axes.axvline(self.options["level"], color="#666666", linewidth=1, linestyle=":")
        axes.set_yticks(place, [_TITLES[name] for name in table["region"]])
        axes.set_ylim(-0.6, len(table) - 0.4)
        axes.set_xlabel("share of unseen rows covered")
        axes.set_title("coverage")

    def _draw_areas(self, axes: Axes) -> None:
        table = self.table[::-1]
        place = np.arange(len(table))
        middle = table["ratio_to_box"].to_numpy(float)
        ends = np.nan_to_num([middle - table["ratio_low"], table["ratio_high"] - middle])
        axes.errorbar(middle, place, xerr=np.abs(ends), fmt="s", color="#D55E00", capsize=3)
        axes.axvline(1.0, color="#666666", linewidth=1, linestyle=":")
        axes.set_yticks(place, [""] * len(table))
        axes.set_ylim(-0.6, len(table) - 0.4)
        axes.set_xlabel("mean area, box = 1")
        axes.set_title("area")


def _draw_region(axes: Axes, shown: dict[str, Any], row: dict[str, Any], colour: str) -> None:
    """The region itself where there are two targets; points of it, seen from above, for more."""
    if "inside" in row:
        inside = np.array(row["inside"], dtype=float)
        axes.contourf(shown["across"], shown["up"], inside, [0.5, 2], colors=[colour], alpha=0.3)
        axes.contour(shown["across"], shown["up"], inside, [0.5], colors=[colour], linewidths=1.2)
    else:
        points = np.array(row["points"])
        axes.plot(points[:, 0], points[:, 1], ".", color=colour, alpha=0.25, markersize=2)


# --- the recipe -----------------------------------------------------------------------------------


@recipe(
    "multi-output-quantile",
    example=Example(
        file="penguins.csv",
        about="333 penguins of three species, whose bills differ more than their bodies. Where "
        "will length and depth of a bill lie, given flipper length and body mass?",
        origin="palmerpenguins 0.1.6 (Gorman, Williams and Fraser, 2014; CC0).",
        options={
            "targets": "bill_length_mm,bill_depth_mm",
            "features": "flipper_length_mm,body_mass_g",
            "epochs": 60,
            "n_points": 512,
        },
    ),
)
def response_region(
    rows: Annotated[
        Table,
        Roles(
            targets=Features(minimum=2, help="what is predicted together; list the columns"),
            features=Features(help="what it is predicted from"),
            min_rows=_FEWEST,
        ),
    ],
    *,
    level: Annotated[
        float, Option(gt=0, lt=1, help="probability that a region holds all targets of a new row")
    ] = 0.9,
    latent_dim: Annotated[
        int, Option(ge=1, le=16, help="numbers in the learned representation")
    ] = 3,
    kl_weight: Annotated[
        float, Option(ge=0, help="pull of the representation towards a normal distribution")
    ] = 0.1,
    epochs: Annotated[
        int, Option(ge=1, le=10_000, help="passes through the training rows at most")
    ] = 150,
    width: Annotated[int, Option(ge=2, le=1_024, help="units of each hidden layer")] = 64,
    n_points: Annotated[
        int, Option(ge=64, le=100_000, help="points that probe each region")
    ] = 1_024,
    rng: Rng = None,
) -> RegionReport:
    """Learn a region for all targets together, and judge it on rows that it has not seen.

    Three quarters of the rows train (60 %) and calibrate (40 %), the last quarter judges.

    Parameters
    ----------
    rows
        One row a case: two or more numeric targets and numeric features.

    Returns
    -------
    RegionReport
        `table` has a row a kind of region.

    Examples
    --------
    >>> result = response_region.run_example(epochs=2, n_points=64)
    >>> list(result.table["region"])
    ['learned', 'directional', 'box', 'ellipsoid']
    """
    generator = np.random.default_rng(rng)
    data = _read(rows, level, generator)
    common: dict[str, Any] = {"level": level, "epochs": epochs, "width": width}
    models = _models(common, latent_dim, kl_weight, n_points)
    judged: dict[Shape, _Judged] = {}
    for name in track(_SHAPES, "fitting"):
        models[name].set_params(random_state=sklearn_seed(generator)).fit(data.x_own, data.y_own)
        judged[name] = _Judged(
            models[name].contains(data.x_test, data.y_test),
            models[name].area(data.x_test, n_draws=500, rng=generator),
        )
    table = _table(judged, generator)
    method = models["learned"]
    slab, clusters = _conditional(data, judged["learned"].covered, generator)
    values = _values(table, judged["learned"], slab, clusters, data)
    status, advice = _status(table.iloc[0], level, len(data.x_test))
    return RegionReport(
        headline=_headline(table.iloc[0], data, level),
        table=table,
        values=values,
        details={
            "shown": _shown(method, data),
            "radius": float(method.radius_),
            "coverage_before_calibration": float(method.initial_coverage_),
            "coverage_by_cluster": clusters,
            "calibration_rows": round(0.4 * len(data.x_own)),
        },
        status=status,
        advice=advice,
        warnings=tuple(_notices(table, slab, level)),
    )


def _models(
    common: dict[str, Any], latent_dim: int, kl_weight: float, n_points: int
) -> dict[Shape, Any]:
    return {
        "learned": MultiOutputQuantileRegressor(
            **common, latent_dim=latent_dim, kl_weight=kl_weight, n_points=n_points
        ),
        "directional": MultiOutputQuantileRegressor(
            **common, representation="identity", n_points=n_points
        ),
        "box": BoxRegressor(**common),
        "ellipsoid": EllipsoidRegressor(**common),
    }


# --- reading --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Data:
    """Rows that train and calibrate, rows that judge, and the names."""

    x_own: FloatArray
    y_own: FloatArray
    x_test: FloatArray
    y_test: FloatArray
    test_rows: NDArray[np.int64]
    targets: list[str]


def _read(rows: Table, level: float, rng: np.random.Generator) -> _Data:
    y, targets = rows.features("targets")
    x, features = rows.features("features")
    if shared := sorted(set(targets) & set(features)):
        raise InputError(
            "is both a target and a feature",
            column=shared[0],
            remedy="list the targets: targets=FIRST,SECOND (command line: --targets FIRST,SECOND)",
        )
    for name, column in zip(targets, y.T, strict=True):
        if np.ptp(column) == 0:
            raise InputError("is a constant target", column=name, remedy="leave it out")
    if np.ptp(x, axis=0).max() == 0:
        raise InputError("all features are constant", column=features[0],
                         remedy="give features that vary")  # fmt: skip
    order = rng.permutation(len(y))
    n_test = round(_TEST_SHARE * len(y))
    test, own = order[:n_test], order[n_test:]
    _check_calibration(round(0.4 * len(own)), level)
    return _Data(x[own], y[own], x[test], y[test], test, targets)


def _check_calibration(n_calibration: int, level: float) -> None:
    needed = int(np.ceil(level / (1 - level) - 1e-9))
    if n_calibration < needed:
        raise InputError(
            f"{n_calibration} rows calibrate, and a region at level {level:g} needs {needed}: "
            "with fewer it would be the whole space",
            remedy="give more rows or lower the level",
        )


# --- the answer -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Judged:
    """What a kind of region did on unseen rows."""

    covered: BoolArray
    areas: Areas


def _table(judged: dict[Shape, _Judged], rng: np.random.Generator) -> pd.DataFrame:
    box = judged["box"].areas.area
    draws = rng.integers(len(box), size=(_RESAMPLES, len(box)))
    records = []
    for name in _SHAPES:
        covered, areas = judged[name].covered, judged[name].areas
        low, high = wilson_interval(int(covered.sum()), len(covered), _LEVEL)
        ratios = areas.area[draws].mean(axis=1) / box[draws].mean(axis=1)
        ratio_low, ratio_high = np.quantile(ratios, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
        records.append(
            {
                "region": name,
                "coverage": float(covered.mean()),
                "coverage_low": float(low),
                "coverage_high": float(high),
                "mean_area": areas.mean,
                "monte_carlo_error": areas.mean_error,
                "ratio_to_box": areas.mean / float(box.mean()),
                "ratio_low": float(ratio_low),
                "ratio_high": float(ratio_high),
            }
        )
    return pd.DataFrame(records)


def _conditional(
    data: _Data, covered: BoolArray, rng: np.random.Generator
) -> tuple[SlabCoverage, list[dict[str, Any]]]:
    """Coverage in the worst slab of standardised features, and by k-means cluster."""
    centre, spread = data.x_own.mean(axis=0), data.x_own.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    own, test = (data.x_own - centre) / spread, (data.x_test - centre) / spread
    slab = worst_slab_coverage(test, covered, rng)
    n_clusters = min(_CLUSTERS, len(np.unique(own, axis=0)))
    codes = cluster_rows(own, test, n_clusters, rng)
    clusters = []
    for code in range(n_clusters):
        mask = codes == code
        if mask.any():
            middle = data.x_test[mask].mean(axis=0)
            clusters.append(
                {"rows": int(mask.sum()), "covered": int(covered[mask].sum()),
                 "mean_features": middle.tolist()}
            )  # fmt: skip
    return slab, clusters


def _values(
    table: pd.DataFrame, method: _Judged, slab: SlabCoverage, clusters: list[dict[str, Any]],
    data: _Data,
) -> tuple[Value, ...]:  # fmt: skip
    own = table.iloc[0]
    unit = "product of the targets' units"
    spread = 1.96 * float(np.std(method.areas.area, ddof=1)) / np.sqrt(len(method.areas.area))
    worst = min(clusters, key=lambda cluster: cluster["covered"] / cluster["rows"])
    return (
        Value("coverage", own["coverage"], own["coverage_low"], own["coverage_high"], _LEVEL,
              "share of unseen rows", "Wilson"),
        Value("mean area", own["mean_area"], own["mean_area"] - spread, own["mean_area"] + spread,
              _LEVEL, unit, "normal, over unseen rows"),
        Value("mean area over that of boxes", own["ratio_to_box"], own["ratio_low"],
              own["ratio_high"], _LEVEL, "ratio", "bootstrap over unseen rows, models as fitted"),
        _share("coverage in the worst cluster of features", worst["covered"], worst["rows"]),
        _share("coverage in the worst slab of features", slab.covered, slab.rows),
    )  # fmt: skip


def _share(name: str, covered: int, rows: int) -> Value:
    unit = "share of unseen rows there"
    if rows == 0:
        return Value(name, None, unit=unit, why_no_interval="no row to judge it by")
    low, high = wilson_interval(covered, rows, _LEVEL)
    return Value(name, covered / rows, float(low), float(high), _LEVEL, unit,
                 f"Wilson, {rows} rows")  # fmt: skip


def _headline(own: Any, data: _Data, level: float) -> str:
    names = ", ".join(data.targets[:3]) + (" and more" if len(data.targets) > 3 else "")
    less = "smaller than" if own["ratio_high"] < 1 else (
        "larger than" if own["ratio_low"] > 1 else "about as large as"
    )  # fmt: skip
    return (
        f"The learned region of ({names}) holds {100 * own['coverage']:.0f} % of "
        f"{len(data.x_test)} unseen rows ({100 * _LEVEL:g} % interval "
        f"{100 * own['coverage_low']:.0f} to {100 * own['coverage_high']:.0f} %), {100 * level:g} "
        f"% being promised on average; it is {less} the box of separate intervals: "
        f"{own['ratio_to_box']:.2f} of its area ({own['ratio_low']:.2f} to "
        f"{own['ratio_high']:.2f})."
    )


def _shown(model: MultiOutputQuantileRegressor, data: _Data) -> dict[str, Any]:
    """What the figure needs: regions of three rows of low, middle and high prediction."""
    predicted = model.predict(data.x_test)[:, 0]
    chosen = np.argsort(predicted)[np.linspace(0, len(predicted) - 1, _SHOWN).astype(int)]
    shown: dict[str, Any] = {
        "targets": data.targets,
        "others": np.delete(data.y_test[:, :2], chosen, axis=0),
    }
    found = [{"row": int(data.test_rows[c]) + 1, "actual": data.y_test[c].tolist()} for c in chosen]
    clouds = model.region_points(data.x_test[chosen])
    if len(data.targets) == 2:
        every = np.concatenate([*clouds, data.y_test])
        low, high = every.min(axis=0), every.max(axis=0)
        pad = 0.04 * (high - low) + max(model.radius_, 0.0) * model.target_scaler_.spread
        across, up = (np.linspace(a, b, _GRID) for a, b in zip(low - pad, high + pad, strict=True))
        grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
        inside = model.contains_each(data.x_test[chosen], grid)
        for row, mask in zip(found, inside, strict=True):
            row["inside"] = mask.reshape(_GRID, _GRID).astype(int).tolist()
        shown |= {"across": across.tolist(), "up": up.tolist()}
    else:
        for row, cloud in zip(found, clouds, strict=True):
            row["points"] = cloud[:: max(len(cloud) // 300, 1)].tolist()
    return shown | {"rows": found}


def _status(own: Any, level: float, n_test: int) -> tuple[Status, str]:
    if own["coverage_high"] < level:
        return (
            Status.ASSUMPTION_DOUBTFUL,
            f"the region holds fewer of {n_test} unseen rows than promised; ask whether rows are "
            "exchangeable (repeated cases, an order in time)",
        )
    return Status.OK, ""


def _notices(table: pd.DataFrame, slab: SlabCoverage, level: float) -> Iterator[Notice]:
    smallest = table.iloc[int(table["mean_area"].argmin())]
    if smallest["region"] != "learned":
        yield Notice(
            "simpler-is-smaller",
            f"the {_TITLES[str(smallest['region'])]} has the smaller mean area "
            f"({smallest['mean_area']:.4g} against {table['mean_area'].iloc[0]:.4g})",
            "use it, or give the learned region more rows or epochs",
        )
    if slab.rows:
        _, high = wilson_interval(slab.covered, slab.rows, _LEVEL)
        if float(high) < level:
            yield Notice(
                "uneven",
                f"in the worst slab of features the region holds {slab.covered} of {slab.rows} "
                "rows; the promise is an average over rows",
                "look at `coverage_by_cluster`",
            )
