"""The guide as a recipe: every tool run on the shipped table, or on the user's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score

from statlas.core import (
    Example,
    InputError,
    Notice,
    Option,
    Result,
    Status,
    Table,
    Value,
    recipe,
)
from statlas.core.examples import example_path
from statlas.core.progress import track
from statlas.core.rng import Rng
from statlas.core.tables import build_table
from statlas.statistics.ecology_review.reading import ROLES, Design, read
from statlas.statistics.ecology_review.tools import TOOLS, FloatArray, IntArray, Tool, Tuning
from statlas.statistics.ecology_review.validation import (
    OutOfFold,
    Splits,
    accumulated_local_effects,
    block_folds,
    mean_interval,
    out_of_fold,
    permutation_losses,
    random_folds,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Topic = Literal[
    "all", "statistical", "distance", "trees", "networks", "unsupervised", "interpretation"
]
_FAMILIES = ("statistical", "distance", "trees", "networks")
_SHOWN = 8  # covariates in the figure
_SLOW = 5_000  # rows above which tools that slow with their square are left out
_PENGUINS: dict[str, Any] = {"response": "body_mass_g", "group": "population"}


@dataclass(frozen=True, kw_only=True)
class EcologyGuide(Result):
    """The guide; `table` has a row an entry."""

    def draw(self, figure: Figure) -> None:
        """Errors of the tools at random and in blocks; importance of the covariates."""
        tools = self.table[self.table["random_error"].notna()]
        has_importance = bool(self.details["importance"])
        panels = figure.subplots(1, 2, width_ratios=(1.3, 1.0), squeeze=False)[0]
        figure.set_size_inches(11.0, 4.8)
        if len(tools):
            self._draw_errors(panels[0], tools)
        else:
            self._draw_scree(panels[0])
        if has_importance:
            self._draw_importance(panels[1])
        else:
            self._draw_scree(panels[1])

    def _draw_errors(self, axes: Axes, tools: pd.DataFrame) -> None:
        from statlas.core.figures import plain_label

        place = np.arange(len(tools))
        kinds = (("random", "o", -0.14, "folds of rows at random"),
                 ("blocked", "s", 0.14, f"folds of {self.details['what_blocks']}"))  # fmt: skip
        for kind, marker, shift, label in kinds:
            error = tools[f"{kind}_error"].to_numpy(dtype=float)
            if np.isnan(error).all():
                continue
            low, high = (tools[f"{kind}_{end}"].to_numpy(dtype=float) for end in ("low", "high"))
            reach = np.nan_to_num(np.vstack([error - low, high - error]).clip(0))
            axes.errorbar(error, place + shift, xerr=reach, fmt=marker, markersize=5,
                          elinewidth=1.2, label=plain_label(label))  # fmt: skip
        axes.set_yticks(place, tools["entry"])
        axes.set_ylim(len(tools) - 0.5, -0.5)
        axes.set_xlabel(plain_label(self.details["error_label"]))
        shown = float(np.nanmax(tools[["random_error", "blocked_error"]].to_numpy(dtype=float)))
        axes.set_xlim(0, 1.6 * shown if shown > 0 else 1.0)
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=2)

    def _draw_importance(self, axes: Axes) -> None:
        from statlas.core.figures import plain_label

        shown = pd.DataFrame(self.details["importance"]).head(_SHOWN)
        place = np.arange(len(shown))
        axes.hlines(place, shown["low"], shown["high"], linewidth=2.0, color="#666666")
        axes.plot(shown["importance"], place, "o")
        axes.axvline(0, color="#666666", linewidth=1)
        axes.set_yticks(place, [plain_label(name[-26:]) for name in shown["covariate"]])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlabel(plain_label(self.details["importance_label"]), fontsize=9)

    def _draw_scree(self, axes: Axes) -> None:
        shares = self.details["variance_shares"]
        axes.bar(np.arange(1, len(shares) + 1), 100 * np.array(shares))
        axes.set_xlabel("principal component")
        axes.set_ylabel("share of variance (%)")


@recipe(
    "ecology-review",
    example=Example(
        file="penguins.csv",
        about="333 penguins of three species on three islands: bill, flipper, sex, body mass.",
        origin="Palmer Station LTER (K. Gorman), data CC0, as the package palmerpenguins 0.1.6 "
        "ships them; recorded by examples/record_penguins.py.",
        options={**_PENGUINS, "response_unit": "g", "folds": 3},
    ),
)
def choose_ecology_tool(
    table: Annotated[Table | None, ROLES] = None,
    *,
    topic: Annotated[Topic, Option(help="part of the guide")] = "all",
    folds: Annotated[int, Option(ge=2, le=20, help="folds of the cross-validations")] = 4,
    tune: Annotated[
        Tuning, Option(help="tune no tool, those that are quick, or all, within the training parts")
    ] = "light",
    response_unit: Annotated[str, Option(help="unit of a numeric response, for labels")] = "",
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of the intervals")] = 0.95,
    rng: Rng = None,
) -> EcologyGuide:
    """Compare statistical and machine-learning tools on an ecological table, out of sample.

    Parameters
    ----------
    table
        One row an observation. Without one the shipped penguins are used. Without a response only
        the unsupervised entries run.

    Returns
    -------
    EcologyGuide
        `table` has a row an entry: errors of folds at random and in blocks with intervals, gain
        over the GLM, the settings chosen, what was found, what it suits, its gain and its trap.

    Examples
    --------
    >>> guide = choose_ecology_tool.run_example(topic="statistical", folds=3)
    >>> guide.table["entry"].tolist()
    ['no covariates', 'GLM', 'penalised GLM (ridge)']
    """
    generator = np.random.default_rng(rng)
    if table is None:
        table = build_table(example_path("penguins.csv"), ROLES, _PENGUINS)
        response_unit = response_unit or "g"
    design = read(table, folds, generator)
    if design.y is None and topic not in ("all", "unsupervised"):
        raise InputError(f"the topic {topic!r} needs a response",
                         remedy="name one with response=COLUMN or label=COLUMN")  # fmt: skip
    study = _Study(design, folds, tune, level, response_unit, generator)
    entries: list[dict[str, Any]] = []
    if design.y is not None and topic != "unsupervised":
        entries += study.supervised(topic)
    if design.y is not None and topic in ("all", "interpretation"):
        entries += study.interpretation()
    shares: list[float] = []
    if topic in ("all", "unsupervised"):
        found, shares = _unsupervised(design, generator)
        entries += found
    status, advice = study.status()
    return EcologyGuide(
        headline=study.headline() or f"{entries[0]['finding']}.",
        table=_as_table(entries),
        values=study.values() or (Value("entries", len(entries), why_no_interval="a count"),),
        details={
            "what_blocks": design.what_blocks,
            "error_label": study.error_label(),
            "importance": study.importance,
            "importance_label": study.importance_label(),
            "effects": study.effects,
            "variance_shares": shares or _variance_shares(design.X),
        },
        status=status,
        advice=advice,
        warnings=tuple(study.notices()),
    )


_COLUMNS = (
    "entry", "family", "random_error", "random_low", "random_high", "blocked_error", "blocked_low",
    "blocked_high", "gain", "gain_low", "gain_high", "settings", "finding", "suits", "gains",
    "watch_for", "see_also",
)  # fmt: skip


def _as_table(entries: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(entries, columns=list(_COLUMNS))
    numbers = [name for name in _COLUMNS if name.endswith(("error", "low", "high", "gain"))]
    frame[numbers] = frame[numbers].astype(float)
    words = [name for name in _COLUMNS if name not in numbers]
    frame[words] = frame[words].astype(object).fillna("")
    return frame


# --- supervised tools ----------------------------------------------------------------------------


class _Study:
    """All runs on one table."""

    def __init__(
        self, design: Design, folds: int, tune: Tuning, level: float, unit: str,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self.design, self.tune, self.level, self.unit = design, tune, level, unit
        self.rng = rng
        self.splits: dict[str, Splits] = {}
        self.runs: dict[str, dict[str, OutOfFold]] = {"random": {}, "blocked": {}}
        self.entries: dict[str, dict[str, Any]] = {}
        self.importance: list[dict[str, Any]] = []
        self.effects: dict[str, Any] = {}
        self.left_out: list[str] = []
        if design.y is not None:
            self.splits["random"] = random_folds(design.y, design.labels, folds, rng)
            if design.blocks is not None:
                self.splits["blocked"] = block_folds(design.blocks, folds)

    @property
    def judged_by(self) -> str:
        """The folds by which tools are compared."""
        return "blocked" if "blocked" in self.splits else "random"

    def supervised(self, topic: Topic) -> list[dict[str, Any]]:
        """Fit the tools of a topic (always with the baseline and the GLM) and compare them."""
        wanted = [
            tool for tool in TOOLS
            if topic in ("all", tool.family) or tool.key in ("baseline", "glm")
            or (topic == "interpretation" and tool.key == "forest")
        ]  # fmt: skip
        for tool in track(wanted, "tools"):
            if tool.key == "svm" and len(self.design.X) > _SLOW:
                self.left_out.append(tool.name)
                continue
            for kind, splits in self.splits.items():
                assert self.design.y is not None
                blocks = self.design.blocks if kind == "blocked" else None
                self.runs[kind][tool.key] = out_of_fold(
                    tool, self.design.X, self.design.y, splits, self.design.labels, blocks,
                    self.tune, 0,
                )  # fmt: skip
        for tool in wanted:
            if tool.name not in self.left_out:
                self.entries[tool.key] = self._entry(tool)
        return list(self.entries.values())

    def _entry(self, tool: Tool) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "entry": tool.name, "family": tool.family, "suits": tool.suits, "gains": tool.gains,
            "watch_for": tool.watch_for, "see_also": ", ".join(tool.papers),
        }  # fmt: skip
        for kind in self.splits:
            ends = ("error", "low", "high")
            for end, value in zip(ends, self.error(kind, tool.key), strict=True):
                entry[f"{kind}_{end}"] = value
        run = self.runs[self.judged_by][tool.key]
        settings = [fit.settings for fit in run.fits if fit.settings]
        entry["settings"] = "; ".join(dict.fromkeys(settings))
        gain, low, high = self.gain(tool.key)
        entry |= {"gain": gain, "gain_low": low, "gain_high": high}
        entry["finding"] = self._finding(tool, gain, low, high)
        return entry

    def _finding(self, tool: Tool, gain: float, low: float, high: float) -> str:
        if tool.key == "glm":
            return "the reference"
        if not np.isfinite(low):
            return "too few blocks, or no loss, to compare with the GLM"
        if low > 0:
            return f"better than the GLM by {100 * gain:.0f} % of its loss"
        if high < 0:
            return f"worse than the GLM by {-100 * gain:.0f} % of its loss"
        return "no difference from the GLM that these rows can show"

    def _units(self, kind: str) -> IntArray | None:
        return self.design.blocks if kind == "blocked" else None

    def error(self, kind: str, key: str) -> tuple[float, float, float]:
        """Root mean squared error, or share of wrong classes, with its interval."""
        found = mean_interval(self.runs[kind][key].losses, self._units(kind), self.level)
        if self.design.labels:
            return found[0], max(found[1], 0.0), min(found[2], 1.0)
        mean, low, high = (float(np.sqrt(max(value, 0.0))) for value in found)
        return mean, low, high

    def gain(self, key: str) -> tuple[float, float, float]:
        """Share of the GLM's loss that a tool saves, row by row, with its interval."""
        kind = self.judged_by
        glm, own = self.runs[kind].get("glm"), self.runs[kind][key]
        if key == "glm" or glm is None or not glm.losses.mean() > 0:
            return float("nan"), float("nan"), float("nan")
        saved = (glm.losses - own.losses) / glm.losses.mean()
        return mean_interval(saved, self._units(kind), self.level)

    # --- what a model says -------------------------------------------------------------------

    def best(self) -> str:
        """The tool of least loss, the baseline aside."""
        runs = self.runs[self.judged_by]
        return min((k for k in runs if k != "baseline"), key=lambda k: runs[k].losses.mean())

    def interpretation(self) -> list[dict[str, Any]]:
        """Importance of the covariates to the best tool, its effect of one, and a warning."""
        design, kind, key = self.design, self.judged_by, self.best()
        assert design.y is not None
        run = self.runs[kind][key]
        names = list(design.covariates)
        change = permutation_losses(
            run, design.X, design.y, self.splits[kind], list(design.covariates.values()),
            design.labels, self.rng,
        )  # fmt: skip
        scale = run.losses.mean() or 1.0
        for name, values in zip(names, change, strict=True):
            mean, low, high = mean_interval(values / scale, self._units(kind), self.level)
            self.importance.append(
                {"covariate": name, "importance": mean, "low": low, "high": high}
            )
        self.importance.sort(key=lambda item: -item["importance"])
        top = self.importance[0]
        entries = [
            {
                "entry": "permutation importance", "family": "interpretation",
                "finding": f"shuffling {top['covariate']} raises the loss of {self._name(key)} by "
                f"{100 * top['importance']:.0f} % on rows held out",
                "suits": "which covariates a fitted tool leans on",
                "gains": "it works for any tool",
                "watch_for": "correlated covariates share or hide their importance",
                "see_also": "shapley-residual",
            }
        ]  # fmt: skip
        entries += self._effect()
        return entries

    def _effect(self) -> list[dict[str, Any]]:
        """Accumulated local effect of the leading numeric covariate, and if it is confounded."""
        design = self.design
        numeric = [i["covariate"] for i in self.importance if i["covariate"] in design.numeric]
        if design.labels or not numeric:
            return []
        assert design.y is not None
        name, column = numeric[0], design.numeric[numeric[0]]
        curves: dict[str, Any] = {"covariate": name}
        ranges = []
        for key in dict.fromkeys(("glm", self.best())):
            fit = self.runs["random"][key].fits[0]
            edges, effect = accumulated_local_effects(fit.predict, design.X, column)
            curves[self._name(key)] = {"x": edges.tolist(), "effect": effect.tolist()}
            ranges.append(f"{np.ptp(effect):.3g}{self._unit()} in {self._name(key)}")
        self.effects = curves
        alone = float(np.polyfit(design.X[:, column], design.y, 1)[0])
        centred = design.X - design.X.mean(axis=0)
        joint = float(np.linalg.lstsq(centred, design.y - design.y.mean(), rcond=None)[0][column])
        turns = "turns its sign" if alone * joint < 0 else f"is {joint / alone:.2g} times as steep"
        return [
            {
                "entry": "accumulated local effects", "family": "interpretation",
                "finding": f"over its range {name} moves the prediction by {' and '.join(ranges)}",
                "suits": "the shape of a covariate's effect in any tool",
                "gains": "unlike partial dependence it stays where data are",
                "watch_for": "it is an effect on the prediction, not on nature",
                "see_also": "ice-plots",
            },
            {
                "entry": "causal or predictive", "family": "interpretation",
                "finding": f"the slope on {name} {turns} once the other covariates are in the GLM",
                "suits": "a reminder before any effect is read as a cause",
                "gains": "nothing is gained in prediction",
                "watch_for": "which covariates to adjust for is a question of causes, not of error",
                "see_also": "collider-regression, hte-selection",
            },
        ]  # fmt: skip

    # --- what is said ------------------------------------------------------------------------

    def _name(self, key: str) -> str:
        return next(tool.name for tool in TOOLS if tool.key == key)

    def _unit(self) -> str:
        return f" {self.unit}" if self.unit else ""

    def error_label(self) -> str:
        """Name of the error axis."""
        interval = f"{100 * self.level:g} % interval"
        if self.design.labels:
            return f"share of wrong {self.design.name} ({interval})"
        unit = f"{self.unit}, " if self.unit else ""
        return f"error of {self.design.name}: root mean square ({unit}{interval})"

    def importance_label(self) -> str:
        """Name of the importance axis."""
        if not self.importance:
            return ""
        return f"loss added by shuffling it, relative\n({self._name(self.best())})"

    def _shown(self, values: tuple[float, float, float]) -> str:
        if self.design.labels:
            mean, low, high = (f"{100 * value:.1f}" for value in values)
            return f"{mean} % wrong ({100 * self.level:g} % interval {low} to {high})"
        mean, low, high = (f"{value:.3g}" for value in values)
        return f"{mean}{self._unit()} ({100 * self.level:g} % interval {low} to {high})"

    def headline(self) -> str:
        """The answer in a sentence."""
        if not self.entries:
            return ""
        kind, key = self.judged_by, self.best()
        how = f"folds of {self.design.what_blocks}" if kind == "blocked" else "folds at random"
        text = (
            f"Of {len(self.entries) - 1} tools for {self.design.name}, {self._name(key)} has the "
            f"least error on {how}: {self._shown(self.error(kind, key))}"
        )
        if key != "glm" and "glm" in self.entries:
            entry = self.entries[key]
            text += (
                f", against {self.error(kind, 'glm')[0]:.3g} of the GLM "
                f"({entry['finding']}; saving {100 * entry['gain']:.0f} %, interval "
                f"{100 * entry['gain_low']:.0f} to {100 * entry['gain_high']:.0f})"
            )
        if kind == "blocked":
            ratio = self.error("blocked", key)[0] / max(self.error("random", key)[0], 1e-300)
            text += f"; on folds at random its error seems {ratio:.2g} times as small"
        return text + "."

    def values(self) -> tuple[Value, ...]:
        """Errors of the best tool, the GLM and the baseline."""
        if not self.entries:
            return ()
        kind, key = self.judged_by, self.best()
        unit = "share of wrong classes" if self.design.labels else (
            self.unit or "unit of the response"
        )  # fmt: skip
        how = "Student's t over " + ("blocks" if kind == "blocked" else "rows")
        wanted = {"best tool": key, "GLM": "glm", "no covariates": "baseline"}
        found = [
            Value(f"error of the {name}" if name != "no covariates" else "error without covariates",
                  *self.error(kind, k), self.level, unit, how)
            for name, k in wanted.items()
        ]  # fmt: skip
        if key != "glm":
            found.append(
                Value("share of the GLM's loss saved", *self.gain(key), self.level, "", how)
                if np.isfinite(self.gain(key)[0])
                else Value(
                    "share of the GLM's loss saved", None, why_no_interval="the GLM errs not"
                )
            )
        if kind == "blocked":
            ratio = self.error("blocked", key)[0] / max(self.error("random", key)[0], 1e-300)
            found.append(
                Value("error in blocks over error at random", ratio,
                      why_no_interval="few blocks; see the intervals of both errors")
            )  # fmt: skip
        return tuple(found)

    def status(self) -> tuple[Status, str]:
        """Whether the tools learnt anything that carries over."""
        if not self.entries:
            return Status.OK, ""
        runs = self.runs[self.judged_by]
        if runs[self.best()].losses.mean() >= runs["baseline"].losses.mean():
            return Status.ASSUMPTION_DOUBTFUL, (
                "no tool beats the prediction without covariates on new "
                f"{'blocks' if self.judged_by == 'blocked' else 'rows'}: nothing learnt here "
                "carries over to them"
            )
        return Status.OK, ""

    def notices(self) -> Iterator[Notice]:
        """What the reader should know."""
        if not self.entries:
            yield Notice("no-response", "no response was named: only unsupervised entries ran",
                         "name one with response=COLUMN or label=COLUMN")  # fmt: skip
            return
        if self.design.blocks is None:
            yield Notice(
                "rows-independent",
                "no group or coordinates were given: rows are taken as independent, and errors "
                "are too small if neighbours are alike",
                "name the site or plot of each row with group=COLUMN, or its coordinates",
            )
        elif len(np.unique(self.design.blocks)) < 8:
            yield Notice(
                "few-blocks",
                f"{len(np.unique(self.design.blocks))} blocks: intervals over blocks are wide, and "
                "rough",
                "smaller blocks help if they are still independent of each other",
            )
        if self.left_out:
            yield Notice("left-out", f"left out above {_SLOW:,} rows: {', '.join(self.left_out)}")
        yield Notice(
            "chosen-on-the-same-rows",
            "the best tool was chosen by the errors shown, so its own is a little too small",
            "keep a part of the data for a last test if a single number is to be reported",
        )


# --- unsupervised --------------------------------------------------------------------------------


def _standardised(X: FloatArray) -> FloatArray:
    return np.asarray((X - X.mean(axis=0)) / X.std(axis=0))


def _variance_shares(X: FloatArray) -> list[float]:
    size = np.linalg.svd(_standardised(X), compute_uv=False) ** 2
    return [float(share) for share in (size / size.sum())[:10]]


def _unsupervised(
    design: Design, rng: np.random.Generator
) -> tuple[list[dict[str, Any]], list[float]]:
    """Principal components and k-means on the standardised covariates."""
    Z = _standardised(design.X)
    shares = _variance_shares(design.X)
    seed = int(rng.integers(2**31))
    some = rng.permutation(len(Z))[:2_000]
    scores = {}
    for k in range(2, min(7, len(np.unique(Z[some], axis=0)))):
        labels = KMeans(k, n_init=3, random_state=seed).fit_predict(Z[some])
        scores[k] = (float(silhouette_score(Z[some], labels)), labels)
    entries = [
        {
            "entry": "principal components", "family": "unsupervised",
            "finding": f"two components hold {100 * sum(shares[:2]):.0f} % of the variance of "
            f"{design.X.shape[1]} columns",
            "suits": "ordination: the main gradients among correlated covariates",
            "gains": "no response is needed", "watch_for": "large variance is not importance",
            "see_also": "",
        }
    ]  # fmt: skip
    if scores:
        k = max(scores, key=lambda k: scores[k][0])
        text = f"{k} groups have the best silhouette, {scores[k][0]:.2f}"
        if design.labels and design.y is not None:
            agreement = adjusted_rand_score(design.y[some], scores[k][1])
            text += f"; they agree with {design.name} to {agreement:.2f} (adjusted Rand index)"
        entries.append(
            {
                "entry": "k-means", "family": "unsupervised", "finding": text,
                "suits": "groups of sites or individuals that nobody has named",
                "gains": "it finds groups without labels",
                "watch_for": "it always finds groups, round ones of like size",
                "see_also": "kde-modes",
            }
        )  # fmt: skip
    return entries, shares
