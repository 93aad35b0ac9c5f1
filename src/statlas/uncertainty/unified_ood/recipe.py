"""The recipe: detectors ranked by what they let the model get wrong, and by classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from statlas.core import (
    Category,
    Columns,
    Example,
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
from statlas.core.class_probabilities import ROUNDING
from statlas.core.rng import Rng
from statlas.uncertainty.unified_ood.evaluation import (
    COVARIATE,
    IN,
    SEMANTIC,
    BoolArray,
    Cases,
    CovariateRows,
    FloatArray,
    IntArray,
    Protocol,
    accepted_shares,
    against_source,
    area_under_curve,
    class_based,
    draw_weights,
    kendall_tau,
    measure,
    model_specific,
    sure_reversals,
    with_shares,
)
from statlas.uncertainty.unified_ood.scores import (
    DETECTORS,
    DetectorName,
    DetectorSettings,
    Outputs,
    fit_detectors,
    recover_head,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FEW_ROWS, _FEW_CLUSTERS = 20, 20
_SHOWN = 15  # detectors and domains in the figure
_SOURCES = ("in-distribution", "covariate shift", "semantic shift")
_METHOD = "percentiles of bootstrap draws"


# --- the result -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class DetectorRanking(Result):
    """Detectors, the best at telling right answers from wrong ones first."""

    def draw(self, figure: Figure) -> None:
        """Both areas of each detector, and what the best one accepts of each set of rows."""
        rows = max(min(len(self.table), _SHOWN), len(self.details["domains"]))
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1.0))
        figure.set_size_inches(10.4, max(4.2, 2.2 + 0.27 * rows))
        self._draw_areas(left)
        self._draw_domains(right)

    def _draw_areas(self, axes: Axes) -> None:
        from statlas.core.figures import plain_label

        shown = self.table.head(_SHOWN)
        place = np.arange(len(shown))
        series = [("", -0.14, "o", "#0072B2", "right or wrong"),
                  ("class_", 0.14, "D", "#D55E00", "by class")]  # fmt: skip
        for prefix, shift, marker, colour, label in series:
            middle = shown[f"{prefix}auroc"].to_numpy(float)
            if np.isnan(middle).all():
                continue
            axes.hlines(
                place + shift, shown[f"{prefix}low"], shown[f"{prefix}high"], color=colour,
                linewidth=1.6,
            )  # fmt: skip
            axes.plot(middle, place + shift, marker, color=colour, markersize=4.5, label=label)
        names = [
            f"{plain_label(str(name)[:22])}  {_rank(rank)} ({_rank(other)})"
            for name, rank, other in zip(
                shown["detector"], shown["rank"], shown["class_rank"], strict=True
            )
        ]
        axes.set_yticks(place, names, fontsize=8.5)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlabel(f"area under the ROC curve ({100 * self.options['level']:g} % interval)")
        axes.set_ylabel("detector, rank by right or wrong (by class)")
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=2)

    def _draw_domains(self, axes: Axes) -> None:
        from statlas.core.figures import plain_label

        domains = self.details["domains"][:_SHOWN]
        series = [("right", -0.14, "o", "#009E73", "rows it gets right"),
                  ("wrong", 0.14, "X", "#000000", "rows it gets wrong")]  # fmt: skip
        for kind, shift, marker, colour, label in series:
            drawn = [
                (place + shift, *domain[kind])
                for place, domain in enumerate(domains)
                if domain[kind][0] is not None
            ]
            if not drawn:
                continue
            place, middle, low, high = np.array(drawn, dtype=float).T
            axes.hlines(place, low, high, color=colour, linewidth=1.6)
            axes.plot(middle, place, marker, color=colour, markersize=4.5, label=label)
        axes.axvline(self.options["tpr"], color="#666666", linewidth=1, linestyle=":")
        labels = [
            f"{plain_label(domain['domain'][:20])}\n{domain['rows']} rows" for domain in domains
        ]
        axes.set_yticks(np.arange(len(domains)), labels, fontsize=8.5)
        axes.set_ylim(len(domains) - 0.4, -0.6)
        axes.set_xlim(-0.03, 1.03)
        best = plain_label(str(self.table["detector"].iloc[0])[:20])
        axes.set_xlabel(f"share accepted by {best} ({100 * self.options['level']:g} % interval)")
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=2)


def _rank(rank: float) -> str:
    return "-" if np.isnan(rank) else f"{rank:.0f}"


# --- the recipe -----------------------------------------------------------------------------------


@recipe(
    "unified-ood",
    example=Example(
        file="shifted_digits.csv",
        about="What a small network that knows the digits 0 to 7 of seven writers says of other "
        "digits of theirs, of other writers, of tilted and noisy digits, and of 8 and 9.",
        origin="scikit-learn's digits (UCI optdigits); recorded by "
        "examples/record_shifted_digits.py.",
        options={"cluster": "writer"},
    ),
)
def rank_detectors(
    rows: Annotated[
        Table,
        Roles(
            domain=Category(
                help="set the row comes from; one set is in-distribution, one may be training",
                aliases=("set", "source", "dataset", "split", "environment", "shift"),
            ),
            label=Category(
                optional=True,
                help="true class; one that the model does not know marks semantic shift",
                aliases=("true_label", "class", "target", "y", "y_true"),
            ),
            predicted=Category(
                optional=True,
                help="class that the model says; by default that of the largest logit",
                aliases=("prediction", "predicted_class", "y_pred"),
            ),
            correct=Number(
                ge=0,
                le=1,
                integer=True,
                optional=True,
                help="1 where the model is right, in place of classes",
                aliases=("is_correct", "right", "hit"),
            ),
            cluster=Category(
                optional=True,
                help="rows that belong together, such as those of one person",
                aliases=("group", "subject", "patient", "person"),
            ),
            columns=Columns(
                help="logits or probabilities, features and scores, told apart by how their names "
                "begin; others are ignored"
            ),
            min_rows=20,
        ),
    ],
    *,
    in_distribution: Annotated[
        str, Option(help="domain of the rows that are like those of training")
    ] = "in-distribution",
    training: Annotated[
        str, Option(help="domain of training rows, with which some detectors compare; not judged")
    ] = "training",
    semantic: Annotated[
        tuple[str, ...] | None,
        Option(help="domains of unknown classes, where the labels do not tell"),
    ] = None,
    logits: Annotated[
        str, Option(help="how names of logits or probabilities begin; the class follows")
    ] = "logit",
    features: Annotated[
        str, Option(help="how names of features begin: what the model's last layer sees")
    ] = "feature",
    scores: Annotated[str, Option(help="how names of your own detectors' scores begin")] = "score",
    larger: Annotated[
        Literal["accept", "reject"], Option(help="what a larger score of your own speaks for")
    ] = "accept",
    detectors: Annotated[
        tuple[DetectorName, ...], Option(help="detectors to compute from logits and features")
    ] = DETECTORS,
    covariate: Annotated[
        CovariateRows,
        Option(help="what to do by class with rows of known classes from elsewhere"),
    ] = "leave-out",
    tpr: Annotated[
        float, Option(gt=0, lt=1, help="share of right in-distribution answers to accept")
    ] = 0.95,
    shares: Annotated[
        tuple[float, ...] | None,
        Option(
            ge=0,
            help="weights of in-distribution, covariate and semantic rows in use; as in the table "
            "by default",
        ),
    ] = None,
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of the intervals")] = 0.95,
    draws: Annotated[int, Option(ge=100, le=20_000, help="bootstrap draws")] = 500,
    temperature: Annotated[
        float, Option(gt=0, help="temperature of the tempered softmax")
    ] = 1000.0,
    neighbours: Annotated[int, Option(ge=1, help="which nearest training row counts")] = 10,
    clip_percentile: Annotated[
        float, Option(gt=0, le=100, unit="%", help="percentile at which ReAct cuts features")
    ] = 90.0,
    vim_dimension: Annotated[
        int | None,
        Option(ge=1, help="dimension of ViM's principal space; none: half the features"),
    ] = None,
    rng: Rng = None,
) -> DetectorRanking:
    """Rank detectors by how well they tell the model's right answers from its wrong ones.

    Parameters
    ----------
    rows
        One row an input: set, true class, and logits or scores.

    Returns
    -------
    DetectorRanking
        `table` has a row a detector, the best first.

    Examples
    --------
    >>> result = rank_detectors.run_example(draws=100, detectors=("max_softmax", "knn"))
    >>> sorted(result.table["detector"])
    ['knn', 'max_softmax', 'odin']
    """
    beginnings = {"logits": logits, "features": features, "scores": scores}
    read = _read(rows, beginnings, in_distribution, training, semantic)
    settings = DetectorSettings(temperature, neighbours, clip_percentile, vim_dimension)
    names, scored, missing = _scores(read, detectors, larger, settings)
    weights = _checked_shares(shares, read.cases.source)
    found = _evaluate(
        read, scored, class_based(read.cases, covariate), tpr, weights, draws,
        np.random.default_rng(rng),
    )  # fmt: skip
    table = _table(read, names, scored, found, level)
    domains = _domains(read, found, int(table.index[0]), level)
    values = _values(read, table, found, names, level)
    status, advice = _status(read)
    return DetectorRanking(
        headline=_headline(table, values, tpr, level),
        table=table.reset_index(drop=True),
        values=tuple(values.values()),
        details={"domains": domains, "reversals": _reversals(found, names, level)},
        status=status,
        advice=advice,
        warnings=tuple(_notices(read, missing, found)),
    )


# --- reading --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rows:
    """The rows to judge, and what to compare them with."""

    cases: Cases
    domain: IntArray
    domain_names: list[str]
    cluster: IntArray | None
    outputs: Outputs | None
    own: dict[str, FloatArray]
    training: Outputs | None
    training_labels: IntArray | None


def _read(
    rows: Table,
    beginnings: Mapping[str, str],
    in_distribution: str,
    training: str,
    semantic: Sequence[str] | None,
) -> _Rows:
    domain = rows.factor("domain")
    _check_domains(domain.levels, in_distribution, semantic)
    names = np.array(domain.levels)[domain.codes]
    judged = (names != training) | (training == in_distribution)
    groups = _sort_columns(rows, beginnings)
    outputs, classes = _outputs(groups)
    right = _right(rows, outputs, classes)
    unknown = _unknown_class(rows, classes, np.isin(names, [in_distribution, training]))
    unknown |= np.isin(names, semantic or [])
    inside = names == in_distribution
    strange = unknown & np.isin(names, [in_distribution, training])
    if strange.any():
        raise InputError(
            f"{int(strange.sum())} in-distribution or training rows have a class that the model "
            "does not know",
            column=str(rows.columns.get("label", rows.columns["domain"])),
            remedy="give them a domain of their own",
        )
    source = np.where(inside, IN, np.where(unknown, SEMANTIC, COVARIATE))
    cases = Cases(source[judged], (right & ~unknown)[judged])
    _check_cases(cases)
    kept, codes = np.unique(domain.codes[judged], return_inverse=True)
    return _Rows(
        cases=cases,
        domain=codes,
        domain_names=[domain.levels[code] for code in kept],
        cluster=_clusters(rows, judged),
        outputs=None if outputs is None else outputs.take(judged),
        own={name: values[judged] for name, values in groups["scores"].items()},
        training=None if outputs is None or judged.all() else outputs.take(~judged),
        training_labels=_training_labels(rows, outputs, ~judged),
    )


def _check_domains(levels: list[str], in_distribution: str, semantic: Sequence[str] | None) -> None:
    for option, wanted in (("in_distribution", [in_distribution]), ("semantic", semantic or [])):
        if absent := [name for name in wanted if name not in levels]:
            raise OptionError(
                f"option {option!r}: there is no domain {absent[0]!r}; there are "
                f"{', '.join(map(repr, levels[:12]))}"
            )


def _sort_columns(rows: Table, beginnings: Mapping[str, str]) -> dict[str, dict[str, FloatArray]]:
    """Columns by what they hold; the rest of the name is the key."""
    groups: dict[str, dict[str, FloatArray]] = {kind: {} for kind in beginnings}
    for name, values in rows.mixed_columns("columns").items():
        kind = next((k for k, start in beginnings.items() if name.startswith(start)), None)
        if kind is None:
            continue
        if not isinstance(values, np.ndarray):
            raise InputError(
                f"must hold numbers to be one of the {kind}",
                column=name,
                remedy=f"rename it, or say how the names of {kind} begin: {kind}=...",
            )
        key = name.removeprefix(beginnings[kind]).lstrip("_-. :")
        groups[kind][key or name] = values
    if not groups["logits"] and not groups["scores"]:
        starts = " or ".join(repr(beginnings[kind]) for kind in ("logits", "scores"))
        raise InputError(
            f"no column of numbers begins with {starts}, so there is nothing to rank",
            remedy="say how the names begin: logits=p_ or scores=my_score",
        )
    return groups


def _outputs(groups: Mapping[str, Mapping[str, FloatArray]]) -> tuple[Outputs | None, list[str]]:
    """Logits with features, and the classes of the logits."""
    classes = list(groups["logits"])
    if not classes:
        return None, []
    if len(classes) == 1:
        raise InputError(
            f"there is one column of logits ({classes[0]!r}), and each class needs one",
            remedy="add the other classes; for two classes z and 0 do",
        )
    matrix = np.column_stack([groups["logits"][name] for name in classes])
    features = list(groups["features"].values())
    seen = np.column_stack(features) if features else None
    if np.all(matrix >= 0) and np.all(np.abs(matrix.sum(axis=1) - 1) <= ROUNDING):
        smallest = np.finfo(float).tiny
        return Outputs(np.log(np.maximum(matrix, smallest)), seen, absolute=False), classes
    return Outputs(matrix, seen), classes


def _right(rows: Table, outputs: Outputs | None, classes: list[str]) -> BoolArray:
    if rows.has("correct"):
        return np.asarray(rows.number("correct") == 1)
    if not rows.has("label") or not (rows.has("predicted") or outputs is not None):
        raise InputError(
            "whether the model is right cannot be told",
            remedy="give correct=COLUMN, or label=COLUMN with logits or predicted=COLUMN",
        )
    truth = _texts(rows, "label")
    if rows.has("predicted"):
        return np.asarray(_texts(rows, "predicted") == truth)
    assert outputs is not None
    return np.asarray(np.array(classes)[outputs.logits.argmax(axis=1)] == truth)


def _texts(rows: Table, role: str) -> NDArray[np.str_]:
    factor = rows.factor(role)
    return np.array(factor.levels)[factor.codes]


def _unknown_class(rows: Table, classes: list[str], familiar: BoolArray) -> BoolArray:
    """Rows whose class is not among the logits' or, without logits, among the familiar rows'."""
    if not rows.has("label"):
        return np.zeros(rows.n_rows, dtype=bool)
    truth = _texts(rows, "label")
    known = classes or np.unique(truth[familiar]).tolist()
    if not np.isin(truth, known).any():
        raise InputError(
            f"none of the classes, such as {str(truth[0])!r}, is the name of a logit; these are "
            f"{', '.join(map(repr, known[:6]))}",
            column=str(rows.columns["label"]),
            remedy="name each column of logits after its class, such as logit_cat",
        )
    return np.asarray(~np.isin(truth, known))


def _check_cases(cases: Cases) -> None:
    for kind, absent in (("right", not cases.right.any()), ("wrong", cases.right.all())):
        if absent:
            raise InputError(
                f"the model gets no judged row {kind}, so no detector can be judged",
                remedy="give rows of both kinds, such as new classes or shifted inputs",
            )
    if not (cases.right & (cases.source == IN)).any():
        raise InputError(
            "the model gets no in-distribution row right, so no threshold can be fixed",
            remedy="check the classes and the option 'in_distribution'",
        )


def _clusters(rows: Table, judged: BoolArray) -> IntArray | None:
    if not rows.has("cluster"):
        return None
    levels, codes = np.unique(rows.factor("cluster").codes[judged], return_inverse=True)
    if len(levels) < 2:
        raise InputError(
            "all judged rows are of one cluster, so there is no spread between clusters",
            column=str(rows.columns["cluster"]),
            remedy="leave the role 'cluster' out",
        )
    return np.asarray(codes)


def _training_labels(rows: Table, outputs: Outputs | None, trained: BoolArray) -> IntArray | None:
    """Classes of the training rows: true ones where they are known, else predicted ones."""
    if outputs is None or not trained.any():
        return None
    if rows.has("label"):
        return rows.factor("label").codes[trained]
    return np.asarray(outputs.logits[trained].argmax(axis=1))


def _checked_shares(shares: Sequence[float] | None, source: IntArray) -> FloatArray | None:
    if shares is None:
        return None
    if len(shares) != len(_SOURCES) or sum(shares) <= 0:
        raise OptionError(
            f"option 'shares' needs three weights, of {', '.join(_SOURCES)}, not all 0; got "
            f"{tuple(shares)!r}"
        )
    if shares[IN] == 0:
        raise OptionError("option 'shares': in-distribution rows need a weight above 0")
    for place, name in enumerate(_SOURCES):
        if shares[place] > 0 and not (source == place).any():
            raise OptionError(f"option 'shares': there are no rows of {name} to be weighted")
    return np.asarray(shares, dtype=float) / sum(shares)


def _scores(
    read: _Rows,
    wanted: Sequence[DetectorName],
    larger: str,
    settings: DetectorSettings,
) -> tuple[list[str], FloatArray, dict[str, str]]:
    """Names of detectors, their scores (n_detectors, n), and why others are missing."""
    sign = 1 if larger == "accept" else -1
    columns = {name: sign * values for name, values in read.own.items()}
    missing: dict[str, str] = {}
    if read.outputs is not None:
        basis = read.training or read.outputs
        found = fit_detectors(
            basis, read.training_labels, recover_head(basis), dict.fromkeys(wanted), settings
        )
        missing = {str(name): reason for name, reason in found.missing.items()}
        computed = {str(name): found.score(name, read.outputs) for name in found.names}
        columns = computed | {
            f"{name} (yours)" if name in computed else name: v for name, v in columns.items()
        }
    if not columns:
        raise InputError(
            "none of the detectors asked for can be computed: "
            + "; ".join(f"{name}: {reason}" for name, reason in missing.items()),
            remedy="ask for others, or bring logits, features, training rows or scores",
        )
    return list(columns), np.array(list(columns.values())), missing


# --- measuring ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Measured:
    """Measures of the table itself (first) and of each draw; detectors in the second axis."""

    auroc: FloatArray
    class_auroc: FloatArray
    fpr: FloatArray
    class_fpr: FloatArray
    threshold: FloatArray
    source_auroc: FloatArray  # (1 + n_draws, n_detectors, 3), right against wrong of a source
    shares: FloatArray  # (1 + n_draws, n_detectors, n_groups), accepted
    right: FloatArray  # (1 + n_draws,), share of rows that are right


_IN_WORDS = ("errors in-distribution", "errors under covariate shift", "unknown classes")
_KINDS = ("wrong_in", "wrong_covariate", "semantic")  # of rows to reject, by source
# Groups of rows of which the accepted share is told; then two a domain.
_GROUPS = ("all", "right", *_KINDS, "right_covariate")


def _groups(read: _Rows) -> BoolArray:
    right, source = read.cases.right, read.cases.source
    columns = [
        np.ones(len(right), dtype=bool),
        right,
        ~right & (source == IN),
        ~right & (source == COVARIATE),
        source == SEMANTIC,
        right & (source == COVARIATE),
    ]
    for place in range(len(read.domain_names)):
        columns += [right & (read.domain == place), ~right & (read.domain == place)]
    return np.column_stack(columns)


def _evaluate(
    read: _Rows,
    scored: FloatArray,
    by_class: Protocol,
    tpr: float,
    shares: FloatArray | None,
    n_draws: int,
    rng: np.random.Generator,
) -> _Measured:
    by_model, groups = model_specific(read.cases), _groups(read)
    by_source = [against_source(read.cases, source) for source in range(len(_SOURCES))]
    blocks: dict[str, list[FloatArray]] = {}
    for drawn in draw_weights(read.domain, read.cluster, n_draws, rng):
        weights = with_shares(drawn, read.cases.source, shares)
        right = weights[read.cases.right].sum(axis=0) / weights.sum(axis=0)
        columns = [
            _measure_one(scores, by_model, by_class, by_source, groups, tpr, weights)
            for scores in scored
        ]
        blocks.setdefault("right", []).append(right)
        for name in columns[0]:
            blocks.setdefault(name, []).append(np.stack([one[name] for one in columns], axis=1))
    return _Measured(**{name: np.concatenate(parts) for name, parts in blocks.items()})


def _measure_one(
    scores: FloatArray,
    by_model: Protocol,
    by_class: Protocol,
    by_source: Sequence[Protocol],
    groups: BoolArray,
    tpr: float,
    weights: FloatArray,
) -> dict[str, FloatArray]:
    """All measures of a detector, a number (or several) a draw."""
    ours, nothing = measure(scores, by_model, tpr, weights), np.full(weights.shape[1], np.nan)
    theirs = measure(scores, by_class, tpr, weights) if by_class.possible else None
    sources = [
        area_under_curve(scores, protocol, weights) if protocol.possible else nothing
        for protocol in by_source
    ]
    return {
        "auroc": ours.auroc,
        "fpr": ours.fpr,
        "threshold": ours.threshold,
        "shares": accepted_shares(scores, ours.threshold, groups, weights).T,
        "class_auroc": nothing if theirs is None else theirs.auroc,
        "class_fpr": nothing if theirs is None else theirs.fpr,
        "source_auroc": np.column_stack(sources),
    }


def _interval(measured: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Percentiles over the draws, NaN where none has a number."""
    tails = [(1 - level) / 2, (1 + level) / 2]
    drawn = measured[1:]
    empty = np.isnan(drawn).all(axis=0)
    low, high = np.nanquantile(np.where(empty, 0.0, drawn), tails, axis=0)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def _accuracy(found: _Measured) -> FloatArray:
    """Share of accepted rows that are right, shape (1 + n_draws, n_detectors)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(found.shares[:, :, 1] * found.right[:, None] / found.shares[:, :, 0])


# --- what is said ---------------------------------------------------------------------------------


def _table(
    read: _Rows, names: list[str], scored: FloatArray, found: _Measured, level: float
) -> pd.DataFrame:
    accuracy = _accuracy(found)
    low, high = _interval(found.auroc, level)
    class_low, class_high = _interval(found.class_auroc, level)
    fpr_low, fpr_high = _interval(found.fpr, level)
    accuracy_low, accuracy_high = _interval(accuracy, level)
    columns: dict[str, Any] = {
        "detector": names,
        "auroc": found.auroc[0],
        "low": low,
        "high": high,
        "rank": _ranks(found.auroc[0]),
        "class_auroc": found.class_auroc[0],
        "class_low": class_low,
        "class_high": class_high,
        "class_rank": _ranks(found.class_auroc[0]),
        "best_in": np.mean(_is_best(found.auroc[1:]), axis=0),
        "aupr": [average_precision_score(read.cases.right, row) for row in scored],
        "fpr": found.fpr[0],
        "fpr_low": fpr_low,
        "fpr_high": fpr_high,
        "class_fpr": found.class_fpr[0],
        "threshold": found.threshold[0],
        "accuracy": accuracy[0],
        "accuracy_low": accuracy_low,
        "accuracy_high": accuracy_high,
    }
    labels = ("accepted", "accepted_right", *(f"accepted_{name}" for name in _GROUPS[2:]))
    for place, name in enumerate(labels):
        columns[name] = found.shares[0, :, place]
    for source, name in enumerate(_KINDS):
        columns[f"auroc_{name}"] = found.source_auroc[0, :, source]
    table = pd.DataFrame(columns)
    return table.iloc[np.argsort(-found.auroc[0], kind="stable")]


def _ranks(auroc: FloatArray) -> FloatArray:
    """1 for the best; detectors that tie share the better rank; NaN without a measure."""
    ranks = 1.0 + np.sum(auroc[None, :] > auroc[:, None], axis=1)
    return np.where(np.isnan(auroc), np.nan, ranks)


def _is_best(auroc: FloatArray) -> FloatArray:
    """Which detector is first in each draw; ties are shared."""
    first = auroc >= np.nanmax(auroc, axis=1, keepdims=True)
    return np.asarray(first / np.maximum(first.sum(axis=1, keepdims=True), 1))


def _domains(read: _Rows, found: _Measured, best: int, level: float) -> list[dict[str, Any]]:
    """Of each domain: rows, accuracy, and the shares of right and wrong rows accepted."""
    shares = found.shares[:, best, len(_GROUPS) :]
    low, high = _interval(shares, level)
    told = []
    for place, name in enumerate(read.domain_names):
        members = read.domain == place
        record: dict[str, Any] = {
            "domain": name,
            "source": _SOURCES[read.cases.source[members][0]],
            "rows": int(members.sum()),
            "accuracy": float(read.cases.right[members].mean()),
        }
        for offset, kind in enumerate(("right", "wrong")):
            at = 2 * place + offset
            numbers = (shares[0, at], low[at], high[at])
            record[kind] = [None if np.isnan(number) else float(number) for number in numbers]
        told.append(record)
    return told


def _reversals(found: _Measured, names: list[str], level: float) -> list[list[str]]:
    """Pairs surely ordered one way by class and the other way by right or wrong."""
    if np.isnan(found.class_auroc[0]).any():
        return []
    pairs = sure_reversals(found.class_auroc, found.auroc, level)
    return [[names[i], names[j]] for i, j in pairs]


def _values(
    read: _Rows, table: pd.DataFrame, found: _Measured, names: list[str], level: float
) -> dict[str, Value]:
    """Named numbers, the key says which."""
    best, row = int(table.index[0]), table.iloc[0]
    right_low, right_high = _interval(found.right[:, None], level)
    values = {
        "auroc": _value(
            f"AUROC of {names[best]}, right against wrong", found.auroc[:, best], level
        ),
        "fpr": _value(
            f"wrong rows accepted by {names[best]}", found.fpr[:, best], level, "share of them"
        ),
        "accuracy": _value(
            f"accuracy of rows accepted by {names[best]}", _accuracy(found)[:, best], level, "share"
        ),
        "accuracy_all": Value(
            "accuracy of all rows", float(found.right[0]), float(right_low[0]),
            float(right_high[0]), level, "share", _METHOD,
        ),
        "threshold": Value(
            f"acceptance threshold of {names[best]}", float(row["threshold"]),
            why_no_interval="a setting, taken from the in-distribution rows",
        ),
    }  # fmt: skip
    for source, kind in enumerate(_KINDS):
        areas = found.source_auroc[:, :, source]
        if not np.isnan(areas[0]).any():
            first = int(np.argmax(areas[0]))
            values[kind] = _value(
                f"AUROC of {names[first]}, the best at {_IN_WORDS[source]}", areas[:, first], level
            )
    if np.isnan(found.class_auroc[0]).any():
        return values
    by_class = int(np.argmax(found.class_auroc[0]))
    values["class_auroc"] = _value(
        f"AUROC of {names[by_class]}, by class", found.class_auroc[:, by_class], level
    )
    if by_class != best:
        values["gain"] = _value(
            f"AUROC, right against wrong, of {names[best]} minus that of {names[by_class]}",
            found.auroc[:, best] - found.auroc[:, by_class], level,
        )  # fmt: skip
    if len(names) > 2:
        tau = kendall_tau(found.auroc, found.class_auroc)
        values["tau"] = _value("Kendall's tau of the two rankings", tau, level)
    values["reversals"] = Value(
        "pairs of detectors that surely change places", len(_reversals(found, names, level)),
        unit="pairs", why_no_interval="a count of tests, with Bonferroni's correction",
    )  # fmt: skip
    return values


def _value(name: str, measured: FloatArray, level: float, unit: str = "") -> Value:
    low, high = _interval(measured[:, None], level)
    if np.isnan(low[0]):
        return Value(name, float(measured[0]), unit=unit, why_no_interval="no draw has a number")
    return Value(
        name, float(measured[0]), float(low[0]), float(high[0]), level, unit, _METHOD
    )  # fmt: skip


def _headline(table: pd.DataFrame, values: Mapping[str, Value], tpr: float, level: float) -> str:
    best = table["detector"].iloc[0]
    rivals = f"the best of {len(table)} detectors" if len(table) > 1 else "the only detector here"
    text = (
        f"{best}, {rivals}, tells this model's right answers from wrong ones with AUROC "
        f"{_said(values['auroc'])}, {100 * level:g} % interval"
    )
    if "class_auroc" in values and len(table) > 1:
        if "gain" not in values:
            text += "; it is the best by class alone too"
        else:
            first = table.sort_values("class_rank", kind="stable")["detector"].iloc[0]
            text += (
                f"; by class alone it would be {first}, whose AUROC here is lower by "
                f"{_said(values['gain'])}"
            )
    if "tau" in values and values["tau"].estimate is not None:
        text += f"; Kendall's tau of the two rankings is {_said(values['tau'])}"
    return (
        f"{text}. Accepting {100 * tpr:g} % of right in-distribution answers lifts accuracy from "
        f"{_said(values['accuracy_all'])} to {_said(values['accuracy'])}."
    )


def _said(value: Value) -> str:
    if value.low is None or value.high is None:
        return f"{value.estimate:.3f}"
    return f"{value.estimate:.3f} ({value.low:.3f} to {value.high:.3f})"


def _status(read: _Rows) -> tuple[Status, str]:
    right = int(read.cases.right.sum())
    fewest = min(right, len(read.cases.right) - right)
    if fewest < _FEW_ROWS:
        kind = "right" if fewest == right else "wrong"
        return Status.ASSUMPTION_DOUBTFUL, (
            f"the model gets {fewest} judged rows {kind}, too few for the bootstrap; bring more"
        )
    return Status.OK, ""


def _notices(read: _Rows, missing: Mapping[str, str], found: _Measured) -> Iterator[Notice]:
    for reason in dict.fromkeys(missing.values()):
        left = [name for name, why in missing.items() if why == reason]
        yield Notice(
            "not computed",
            f"{', '.join(left)}: {reason}",
            "bring what is missing, or your own scores",
        )
    if np.isnan(found.class_auroc[0]).any():
        yield Notice(
            "no unknown class",
            "there is no row to reject by class, so the rankings cannot be compared",
            "bring rows of classes that the model does not know",
        )
    wrong_in = int(np.sum(~read.cases.right & (read.cases.source == IN)))
    if wrong_in < _FEW_ROWS:
        yield Notice(
            "few errors in-distribution",
            f"the model gets {wrong_in} in-distribution rows wrong, so what is said of these alone "
            "(wrong_in) is rough",
            "bring more in-distribution rows",
        )
    if read.cluster is not None and (n_clusters := int(read.cluster.max()) + 1) < _FEW_CLUSTERS:
        yield Notice(
            "few clusters",
            f"there are {n_clusters} clusters, and intervals from so few are too short",
            "bring more clusters, or read the intervals as lower bounds of the uncertainty",
        )
