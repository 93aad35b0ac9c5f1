"""The recipe: Gaussian clusters of a numeric table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from scipy.stats import chi2
from sklearn.metrics import adjusted_rand_score

from statlas.core import (
    Category,
    Example,
    Features,
    InputError,
    Notice,
    Option,
    OptionError,
    Result,
    Roles,
    Status,
    Table,
    Value,
    recipe,
)
from statlas.core.numerics.proportions import clopper_pearson_interval
from statlas.core.progress import track
from statlas.core.rng import Rng, sklearn_seed
from statlas.statistics.ila_sdp.certificate import Certificate, bounded_kmeans
from statlas.statistics.ila_sdp.estimators import LikelihoodAdjustedSDP
from statlas.statistics.ila_sdp.likelihood import (
    CovarianceKind,
    Solver,
    covariance_floor,
    integrated_criterion,
    likelihood_gap,
    match_labels,
)
from statlas.statistics.ila_sdp.relaxation import (
    EXACT_LIMIT,
    FloatArray,
    IntArray,
    Relaxed,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FEWEST, _SHOWN, _MANY = 10, 1500, 5000  # rows at least, in the figure, and from which it is slow
_SURE, _INTEGRAL = 0.9, 0.9  # a row's probability that is not doubtful, a membership nearly one
_FAR, _TAIL = 0.001, 0.01  # a row that far out is rare, and so many of them are too many


# --- the result ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Clustering(Result):
    """Clusters; `table` has a row a row of the input."""

    def draw(self, figure: Figure) -> None:
        """Rows on their principal axes with the clusters' ellipses, and how the fit was chosen."""
        left, right = figure.subplots(1, 2, width_ratios=(1.4, 1.0))
        figure.set_size_inches(9.8, 4.4)
        self._draw_rows(left)
        if len(self.details["criteria"]) > 1:
            self._draw_criteria(right)
        else:
            self._draw_trace(right)

    def _draw_rows(self, axes: Axes) -> None:
        from statlas.core.figures import MARKERS, PALETTE

        shown = self.details["shown"]
        points, cluster = np.array(shown["points"]), np.array(shown["cluster"])
        sure = np.array(shown["probability"]) >= _SURE
        for k, (mean, spread) in enumerate(zip(shown["means"], shown["spreads"], strict=True)):
            colour, marker = PALETTE[k % len(PALETTE)], MARKERS[k % len(MARKERS)]
            own = cluster == k + 1
            axes.plot(*points[own & sure].T, marker, color=colour, markersize=4, alpha=0.7,
                      label=f"cluster {k + 1}")  # fmt: skip
            axes.plot(*points[own & ~sure].T, marker, color=colour, markersize=5, fillstyle="none")
            if len(shown["axes"]) == 2 and shown["ellipses"]:
                turn = np.linspace(0, 2 * np.pi, 100)
                circle = np.sqrt(chi2.ppf(0.95, 2)) * np.stack([np.cos(turn), np.sin(turn)])
                root = np.linalg.cholesky(np.array(spread) + 1e-12 * np.eye(2))
                axes.plot(*(np.array(mean)[:, None] + root @ circle), color=colour, linewidth=1.2)
        axes.set_xlabel(shown["axes"][0])
        axes.set_ylabel(shown["axes"][1])
        axes.set_title(f"open: probability below {_SURE:g}", fontsize=9)
        axes.legend(fontsize=8, ncols=1 + len(shown["means"]) // 6)

    def _draw_criteria(self, axes: Axes) -> None:
        criteria = pd.DataFrame(self.details["criteria"])
        fits = criteria["admitted"].to_numpy(bool)
        axes.plot(criteria["clusters"], criteria["icl"], color="#999999", linewidth=1)
        axes.plot(criteria["clusters"][fits], criteria["icl"][fits], "o", label="admitted")
        if not fits.all():
            axes.plot(criteria["clusters"][~fits], criteria["icl"][~fits], "x", color="#999999",
                      label="a cluster too small")  # fmt: skip
        axes.axvline(self.details["clusters"], color="#D55E00", linewidth=1, label="chosen")
        axes.set_xticks(criteria["clusters"])
        axes.set_xlabel("number of clusters")
        axes.set_ylabel("ICL, less is better (nats, times 2)")
        axes.legend(fontsize=8)

    def _draw_trace(self, axes: Axes) -> None:
        trace = self.details["log_likelihoods"]
        axes.plot(np.arange(1, len(trace) + 1), trace, "o-")
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel("iteration")
        axes.set_ylabel("log-likelihood of the lifted memberships (nats)")


# --- the recipe ----------------------------------------------------------------------------------


def _example() -> pd.DataFrame:
    """Fisher's irises."""
    from sklearn.datasets import load_iris

    data = load_iris(as_frame=True)
    frame: pd.DataFrame = data.frame.drop(columns="target")
    frame.columns = [str(name).replace(" (cm)", "").replace(" ", "_") for name in frame.columns]
    frame["species"] = np.asarray(data.target_names)[data.target]
    return frame


@recipe(
    "ila-sdp",
    example=Example(
        loader=_example,
        about="150 irises of three species with four lengths in cm; the species are only used to "
        "judge the clusters.",
        origin="scikit-learn's iris data (Fisher, 1936).",
        options={"label": "species", "clusters": 3},
    ),
)
def cluster_gaussians(
    rows: Annotated[
        Table,
        Roles(
            label=Category(
                optional=True,
                help="true group, used only to judge the clusters",
                aliases=("true_label", "class", "target", "species", "group", "true_cluster"),
            ),
            features=Features(help="numeric columns to cluster on"),
            min_rows=_FEWEST,
        ),
    ],
    *,
    clusters: Annotated[
        int | None, Option(ge=1, le=30, help="number of clusters; none to choose it by ICL")
    ] = None,
    max_clusters: Annotated[
        int, Option(ge=1, le=15, help="largest number tried where none is given")
    ] = 6,
    covariance: Annotated[
        CovarianceKind,
        Option(help="shape of the clusters: full, diag or spherical each, or tied, one for all"),
    ] = "full",
    standardize: Annotated[
        bool, Option(help="bring every column to variance one before clustering")
    ] = True,
    solver: Annotated[
        Solver,
        Option(help="low-rank, or exact: the convex programme itself, slow, for up to 400 rows"),
    ] = "low-rank",
    starts: Annotated[
        int, Option(ge=1, le=50, help="random starts of the low-rank solver of the first step")
    ] = 1,
    min_variance: Annotated[
        float,
        Option(gt=0, le=1, help="least variance of a cluster in any direction, over the columns'"),
    ] = 1e-3,
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of intervals")] = 0.95,
    rng: Rng = None,
) -> Clustering:
    """Find Gaussian clusters of different spread and shape by semidefinite programming.

    Parameters
    ----------
    rows
        Numeric columns, and the true group where it is known.

    Returns
    -------
    Clustering
        `table` has a row a row of the input: its cluster, and how sure that is.

    Examples
    --------
    >>> result = cluster_gaussians.run_example()
    >>> len(result.table), int(result.table["cluster"].max())
    (150, 3)
    """
    generator = np.random.default_rng(rng)
    x, columns = rows.features()
    z = _prepared(x, columns, standardize)
    if solver == "exact" and len(z) > EXACT_LIMIT:
        raise OptionError(
            f"option 'solver' is 'exact', which takes at most {EXACT_LIMIT} rows; there are "
            f"{len(z)}; leave it at 'low-rank'"
        )
    tried = _numbers(clusters, max_clusters, len(z))
    floor = covariance_floor(z, min_variance)
    fits, criteria = [], []
    for k in track(tried, "numbers of clusters") if len(tried) > 1 else tried:
        model = LikelihoodAdjustedSDP(
            k, covariance_type=covariance, min_variance=min_variance, solver=solver,
            n_init=starts, random_state=sklearn_seed(generator) % 2**31,
        ).fit(z)  # fmt: skip
        sizes = np.bincount(model.labels_, minlength=k)
        admitted = bool(sizes.min() > (z.shape[1] if covariance == "full" and k > 1 else 1))
        icl = integrated_criterion(z, model.labels_, covariance, floor)
        fits.append(_ordered(model))
        criteria.append({"clusters": k, "icl": icl, "admitted": admitted})
    chosen = _best(criteria)
    model = fits[chosen]
    plain = bounded_kmeans(
        z, np.unique(model.start_labels_, return_inverse=True)[1], model.start_solution_
    )
    gap = likelihood_gap(z, model.labels_, model.covariances_, model.solution_)
    table = _table(model, z, rows)
    wrong = _judged(model, rows)
    values = _values(model, plain, gap, table, wrong, level)
    status, advice = _status(model, criteria[chosen])
    return Clustering(
        headline=_headline(model, table, values, clusters is None),
        table=table,
        values=tuple(values),
        details={
            "clusters": model.n_clusters,
            "criteria": criteria,
            "summary": _summary(model, x, columns, table),
            "log_likelihoods": model.log_likelihoods_.tolist(),
            "shown": _shown(model, z, columns, table),
        },
        status=status,
        advice=advice,
        warnings=tuple(_notices(model, plain, z, covariance)),
    )


# --- reading -------------------------------------------------------------------------------------


def _prepared(x: FloatArray, columns: list[str], standardize: bool) -> FloatArray:
    spread = x.std(axis=0)
    constant = [name for name, one in zip(columns, spread, strict=True) if not one > 0]
    if constant:
        raise InputError(
            f"all {len(x)} values are equal, which tells no clusters apart",
            column=constant[0],
            remedy="leave it out: features=COLUMN,COLUMN",
        )
    centred = x - x.mean(axis=0)
    return np.asarray(centred / spread if standardize else centred)


def _numbers(clusters: int | None, largest: int, n_rows: int) -> list[int]:
    if clusters is not None:
        if clusters > n_rows // 2:
            raise OptionError(
                f"option 'clusters' is {clusters}, and {n_rows} rows have at most {n_rows // 2} "
                "clusters of two"
            )
        return [clusters]
    return list(range(1, min(largest, n_rows // 4) + 1))


def _ordered(model: LikelihoodAdjustedSDP) -> LikelihoodAdjustedSDP:
    """The same fit with the clusters numbered by their first rows."""
    present, first = np.unique(model.labels_, return_index=True)
    missing = np.setdiff1d(np.arange(model.n_clusters), present)
    order = np.append(present[np.argsort(first)], missing)
    model.labels_ = np.argsort(order)[model.labels_]
    model.memberships_ = model.memberships_[:, order]
    model.means_, model.covariances_ = model.means_[order], model.covariances_[order]
    if isinstance(model.solution_, Relaxed):
        known = model.solution_.multipliers
        assert known is not None
        model.solution_ = replace(
            model.solution_, factors=model.solution_.factors[order],
            multipliers=replace(known, traces=known.traces[order]),
        )  # fmt: skip
    return model


def _best(criteria: list[dict[str, Any]]) -> int:
    """The number of clusters of least ICL among those whose clusters are large enough."""
    admitted = [place for place, one in enumerate(criteria) if one["admitted"]]
    places = admitted or range(len(criteria))
    return min(places, key=lambda place: criteria[place]["icl"])


# --- what is said --------------------------------------------------------------------------------


def _table(model: LikelihoodAdjustedSDP, z: FloatArray, rows: Table) -> pd.DataFrame:
    chances = model.predict_proba(z)
    own = np.arange(len(z))
    others = chances.copy()
    others[own, model.labels_] = -1.0
    columns: dict[str, Any] = {
        "row": own + 1,
        "cluster": model.labels_ + 1,
        "probability": chances[own, model.labels_],
        "membership": model.memberships_[own, model.labels_],
        "plain_cluster": model.start_labels_ + 1,
    }
    if model.n_clusters > 1:
        columns["runner_up"] = others.argmax(axis=1) + 1
    if rows.has("label"):
        factor = rows.factor("label")
        columns["label"] = [factor.levels[code] for code in factor.codes]
    return pd.DataFrame(columns)


def _judged(model: LikelihoodAdjustedSDP, rows: Table) -> dict[str, IntArray]:
    """Rows wrong by either clustering, where the true groups are known."""
    if not rows.has("label"):
        return {}
    truth = np.unique(rows.factor("label").codes, return_inverse=True)[1]
    found = {"": model.labels_, " of the plain programme": model.start_labels_}
    return {name: match_labels(labels, truth) != truth for name, labels in found.items()}


def _values(
    model: LikelihoodAdjustedSDP,
    plain: Certificate,
    gap: float,
    table: pd.DataFrame,
    wrong: dict[str, IntArray],
    level: float,
) -> list[Value]:
    values = []
    for name, misses in wrong.items():
        low, high = clopper_pearson_interval(int(misses.sum()), len(misses), level)
        values.append(
            Value(f"mis-clustered{name}", float(misses.mean()), float(low), float(high), level,
                  "share of rows", "Clopper-Pearson, as if the matching of clusters were fixed")
        )  # fmt: skip
    values += [
        Value("expected mis-clustering", float(1 - table["probability"].mean()),
              unit="share of rows", why_no_interval="it takes the fitted Gaussians for true"),
        Value("doubtful rows", float((table["probability"] < _SURE).mean()),
              unit="share of rows", why_no_interval="a count of these rows"),
        Value("log-likelihood", float(model.log_likelihoods_[-1]), unit="nats",
              why_no_interval="a statistic, not an estimate"),
        Value("agreement with the plain programme",
              float(adjusted_rand_score(model.start_labels_, model.labels_)),
              why_no_interval="an adjusted Rand index of these rows"),
        Value("K-means cost of the plain programme", plain.cost, plain.lower_bound, plain.cost,
              1.0, "squared units",
              "from the best cost that the dual leaves possible to the cost reached"),
    ]  # fmt: skip
    if not np.isnan(gap):
        values.append(
            Value("log-likelihood that no other clusters can add", gap, 0.0, gap, 1.0, "nats",
                  "from the dual, at the fitted covariances")
        )  # fmt: skip
    if not np.isnan(plain.margin):
        values.append(
            Value("margin of the dual certificate", plain.margin,
                  why_no_interval="computed exactly; optimality is proved where it is not negative")
        )  # fmt: skip
    return values


def _summary(
    model: LikelihoodAdjustedSDP, x: FloatArray, columns: list[str], table: pd.DataFrame
) -> list[dict[str, Any]]:
    """A row a cluster: its size and its means in the units of the table."""
    rows = []
    for k in range(model.n_clusters):
        own = model.labels_ == k
        means = x[own].mean(axis=0) if own.any() else np.full(len(columns), np.nan)
        rows.append(
            {
                "cluster": k + 1,
                "rows": int(own.sum()),
                "doubtful": int((table["probability"].to_numpy()[own] < _SURE).sum()),
                "log_volume": float(np.linalg.slogdet(model.covariances_[k])[1] / 2),
                **{f"mean_{name}": float(one) for name, one in zip(columns, means, strict=True)},
            }
        )
    return rows


def _shown(
    model: LikelihoodAdjustedSDP, z: FloatArray, columns: list[str], table: pd.DataFrame
) -> dict[str, Any]:
    """Rows and clusters on the two principal axes; a single column beside the probability."""
    step = -(-len(z) // _SHOWN)
    chance = table["probability"].to_numpy()
    if z.shape[1] == 1:
        points = np.column_stack([z[:, 0], chance])
        names = [f"{columns[0]} (prepared)", "probability of the cluster"]
        means, spreads = [[0.0, 0.0]] * model.n_clusters, [np.eye(2).tolist()] * model.n_clusters
    else:
        _, scales, turned = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)
        plane = turned[:2].T
        points = z @ plane
        shares = scales[:2] ** 2 / (scales**2).sum()
        names = [f"principal axis {i + 1} ({100 * one:.0f} % of variance)"
                 for i, one in enumerate(shares)]  # fmt: skip
        means = (model.means_ @ plane).tolist()
        spreads = (plane.T @ model.covariances_ @ plane).tolist()
    return {
        "points": points[::step].tolist(),
        "cluster": table["cluster"].to_numpy()[::step].tolist(),
        "probability": chance[::step].tolist(),
        "axes": names,
        "means": means,
        "spreads": spreads,
        "ellipses": z.shape[1] > 1,
    }


def _headline(
    model: LikelihoodAdjustedSDP, table: pd.DataFrame, values: list[Value], searched: bool
) -> str:
    sizes = ", ".join(map(str, np.bincount(model.labels_, minlength=model.n_clusters)))
    named = {value.name: value for value in values}
    expected = named["expected mis-clustering"].estimate or 0.0
    doubtful = int((table["probability"] < _SURE).sum())
    how = "ICL chooses " if searched else ""
    text = (
        f"{how}{model.n_clusters} Gaussian cluster{'s' * (model.n_clusters > 1)} of {sizes} rows; "
        f"if the fitted Gaussians were true, {100 * expected:.2g} % of rows would be in the wrong "
        f"one ({doubtful} rows are doubtful)"
    )
    if "mis-clustered" in named:
        own, plain = named["mis-clustered"], named["mis-clustered of the plain programme"]
        text += (
            f"; against the true groups {100 * (own.estimate or 0):.3g} % are "
            f"({100 * (own.level or 0):g} % interval {100 * (own.low or 0):.2g} to "
            f"{100 * (own.high or 0):.2g} %), and {100 * (plain.estimate or 0):.3g} % without "
            "unequal covariances"
        )
    return text + "."


def _status(model: LikelihoodAdjustedSDP, criterion: dict[str, Any]) -> tuple[Status, str]:
    if not model.converged_:
        return Status.NOT_CONVERGED, (
            f"the likelihood had not settled, or a programme was not solved, after "
            f"{model.n_iter_} steps; try another seed, fewer clusters or covariance='diag'"
        )
    if not criterion["admitted"]:
        return Status.ASSUMPTION_DOUBTFUL, (
            "a cluster has too few rows for a covariance of its own; ask for fewer clusters, or "
            "covariance='diag' or 'tied'"
        )
    return Status.OK, ""


def _notices(
    model: LikelihoodAdjustedSDP, plain: Certificate, z: FloatArray, kind: CovarianceKind
) -> list[Notice]:
    notices = []
    if not plain.certified:
        notices.append(
            Notice(
                "not certified",
                "the starting K-means partition is not proved optimal: the dual leaves room for a "
                f"cost lower by up to {100 * plain.gap:.2g} %",
                "raise starts; overlapping clusters rarely have a certificate",
            )
        )
    loose = float((model.memberships_.max(axis=1) < _INTEGRAL).mean())
    if loose > 0:
        notices.append(
            Notice(
                "rounded",
                f"{100 * loose:.2g} % of rows have fractional memberships: the relaxation is not "
                "tight there, and labels were rounded",
                "read these rows as undecided; column membership",
            )
        )
    centred = z - model.means_[model.labels_]
    inverse = np.linalg.inv(model.covariances_)[model.labels_]
    distance = np.einsum("ni,nij,nj->n", centred, inverse, centred)
    far = float((distance > chi2.isf(_FAR, z.shape[1])).mean())
    if far > _TAIL:
        notices.append(
            Notice(
                "heavy tails",
                f"{100 * far:.2g} % of rows lie where a Gaussian cluster has {100 * _FAR:g} %",
                "look at the figure for outliers or curved clusters",
            )
        )
    if np.linalg.eigvalsh(model.covariances_).min() <= covariance_floor(z, model.min_variance) * (
        1 + 1e-9
    ):
        notices.append(
            Notice(
                "flat cluster",
                "a cluster has no spread in some direction, and its variance there was raised to "
                "the least admitted, which drives the likelihood",
                "raise min_variance, drop columns that others determine, or use covariance='diag'",
            )
        )
    if len(z) > _MANY:
        notices.append(
            Notice(
                "many rows",
                f"{len(z)} rows: time grows with rows, columns and the square of clusters",
                "cluster a sample, and assign the other rows by LikelihoodAdjustedSDP.predict",
            )
        )
    if kind == "tied":
        notices.append(
            Notice(
                "one covariance",
                "with one covariance for all clusters this is K-means on whitened columns",
                "use covariance='full' or 'diag' where clusters differ in spread",
            )
        )
    return notices
