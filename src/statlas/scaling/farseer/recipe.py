"""The recipe: a loss surface whose data exponent depends on size, beside simpler laws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from statlas.core import (
    Category,
    ConvergenceError,
    Example,
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
from statlas.core.numerics.laws import Draws, power_allocation
from statlas.core.numerics.laws.uncertainty import BootstrapKind, percentile_interval
from statlas.core.rng import Rng
from statlas.core.runs import (
    BATCH_SIZE,
    COMPUTE,
    LEARNING_RATE,
    LOSS,
    PARAMETERS,
    TOKENS,
    ComputeUnit,
    ParametersUnit,
    TokensUnit,
)
from statlas.scaling.farseer.figure import draw_exponents, draw_losses, draw_ratio
from statlas.scaling.farseer.joint import (
    Beyond,
    Fits,
    HeldOut,
    LossFit,
    Plan,
    SizeTermChoice,
    draws_of,
    fit_all,
    held_out_errors,
    judge_beyond,
    random_folds,
)
from statlas.scaling.farseer.law import FloatArray
from statlas.scaling.farseer.published import published_surface
from statlas.scaling.farseer.reading import FEWEST_CELLS, Read, read_cells
from statlas.scaling.farseer.staged import Criterion
from statlas.scaling.farseer.views import (
    Ends,
    Optimum,
    exponent_ends,
    exponent_ratio,
    law_table,
    optimum,
    ratio_line,
    ratio_range,
    rises_with_size,
    words,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BEYOND, _FEWEST_BEYOND = 4.0, 4  # compute left out for the check, and the runs it needs
_GRID_END = 0.5
_BUDGETS, _CURVE, _CURVES = 15, 40, 8  # points of the figure's lines, and curves at most


@dataclass(frozen=True, kw_only=True)
class LossSurface(Result):
    """A fitted surface; `table` has a row a law."""

    def draw(self, figure: Figure) -> None:
        """Draw losses with the fit, the data exponent over size, the best ratio over compute."""
        axes = figure.subplots(1, 3)
        draw_losses(axes[0], self.details)
        draw_exponents(axes[1], self.details)
        draw_ratio(axes[2], self.details, self.options["level"])
        figure.set_size_inches(14.5, 4.4)


@recipe(
    "farseer",
    example=Example(
        file="surface_runs.csv",
        about="108 small transformers trained on the source code of Python's standard library: "
        "6 widths, 6 lengths of training, 3 seeds.",
        origin="Recorded with torch (BSD-3) on the standard library of Python 3.11 (PSF); see "
        "examples.",
    ),
)
def loss_surface(
    runs: Annotated[
        Table | None,
        Roles(
            parameters=PARAMETERS,
            loss=LOSS,
            tokens=TOKENS,
            compute=COMPUTE,
            learning_rate=LEARNING_RATE,
            batch_size=BATCH_SIZE,
            setting=Category(
                optional=True,
                help="kind of training, of which one is looked at, such as the data",
                aliases=("warmup", "schedule", "configuration", "recipe"),
            ),
            min_rows=FEWEST_CELLS,
        ),
    ] = None,
    *,
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of the intervals")] = 0.95,
    loss_fit: Annotated[
        LossFit, Option(help="what fits minimise: Huber's function (1e-3) or squares of log(loss)")
    ] = "huber",
    size_term: Annotated[
        SizeTermChoice,
        Option(
            help="term of size: the paper's stretched exponential, a power law plus a constant, "
            "or the first unless Chinchilla's law fits better than it"
        ),
    ] = "auto",
    stage_error: Annotated[
        Criterion,
        Option(
            help="what the staged procedure minimises: mean relative errors, as the released "
            "code, or squares, as the text"
        ),
    ] = "relative",
    resample: Annotated[
        BootstrapKind,
        Option(help="bootstrap samples: residuals or rows drawn anew, or normal errors"),
    ] = "residual",
    focus: Annotated[
        str | None, Option(help="setting to look at; by default the one with the lowest loss")
    ] = None,
    cut: Annotated[
        float | None,
        Option(
            gt=0,
            unit="FLOP",
            help="laws are fitted up to this compute and judged above; by default a quarter of "
            "the largest",
        ),
    ] = None,
    target: Annotated[
        float | None,
        Option(gt=0, unit="FLOP", help="budget to plan for; ten times the largest by default"),
    ] = None,
    target_parameters: Annotated[
        float | None, Option(gt=0, unit="parameters", help="size of a model to predict")
    ] = None,
    target_tokens: Annotated[
        float | None, Option(gt=0, unit="tokens", help="tokens of the model to predict")
    ] = None,
    parameters_unit: ParametersUnit = 1.0,
    tokens_unit: TokensUnit = 1.0,
    compute_unit: ComputeUnit = 1.0,
    draws: Annotated[int, Option(ge=50, le=20_000, help="bootstrap draws")] = 200,
    rng: Rng = None,
) -> LossSurface:
    """Fit Farseer's law and simpler ones to runs, and say what the surface means for planning.

    Parameters
    ----------
    runs
        One row a training run that was planned to end where it did. Without a table, the
        published constants are used, and only `level`, the targets and `draws` matter.

    Returns
    -------
    LossSurface
        `table` has a row a law: Kaplan's, Chinchilla's, Farseer's by the published stages and
        by the joint fit.
    """
    generator = np.random.default_rng(rng)
    if (target_parameters is None) != (target_tokens is None):
        raise OptionError("target_parameters and target_tokens are given together or not at all")
    point = None if target_parameters is None else (target_parameters, float(target_tokens or 0))
    if runs is None:
        parts = published_surface(level, target, point, draws, generator)
        return LossSurface(**parts)
    read = read_cells(runs, (parameters_unit, tokens_unit, compute_unit), focus)
    cells = read.cells
    plan = Plan(loss_fit, size_term, stage_error, resample, draws)
    fits = fit_all(cells, plan, generator)
    drawn = draws_of(fits.joint, plan, generator)
    chinchilla = _chinchilla_draws(fits, plan, generator)
    edge = float(cells.compute.max()) / _BEYOND if cut is None else cut
    held = held_out_errors(cells, random_folds(cells, generator), plan, fits)
    beyond = _beyond(fits, edge, plan, generator, asked=cut is not None)
    goal = 10 * float(cells.compute.max()) if target is None else target
    view = _View(read, fits, drawn, chinchilla, held, beyond, level, goal, point)
    status, advice = _status(view)
    return LossSurface(
        headline=_headline(view),
        table=law_table(fits, held, beyond),
        values=tuple(_values(view)),
        details=_details(view),
        status=status,
        advice=advice,
        warnings=tuple(_notices(view)),
        set_aside=read.set_aside,
        options={"target": goal, "cut": edge},
    )


def _chinchilla_draws(fits: Fits, plan: Plan, rng: np.random.Generator) -> Draws | None:
    """Draws of Chinchilla's fit under which a best size exists; None with too few."""
    try:
        drawn = draws_of(fits.chinchilla, plan, rng)
    except ConvergenceError:
        return None
    natural = np.vstack([fits.chinchilla.natural, drawn.values])
    names = fits.chinchilla.law.names
    falls = np.all(natural[:, [names.index("alpha"), names.index("beta")]] > 1e-3, axis=1)
    return drawn if falls.all() else None


def _beyond(
    fits: Fits, cut: float, plan: Plan, rng: np.random.Generator, *, asked: bool
) -> Beyond | None:
    cells = fits.cells
    above = int(np.sum(cells.compute > cut))
    enough = len(cells) - above >= FEWEST_CELLS - 2
    if enough and above >= (1 if asked else _FEWEST_BEYOND):
        return judge_beyond(cells, cut, plan, rng, fits)
    if asked:
        raise OptionError(
            f"cut={cut:g} leaves {len(cells) - above} combinations of size and tokens to fit and "
            f"{above} to predict; {FEWEST_CELLS - 2} and 1 are needed"
        )
    return None


# --- what the result says -------------------------------------------------------------------------


@dataclass(frozen=True)
class _View:
    """Everything that the result is written from."""

    read: Read
    fits: Fits
    draws: Draws
    chinchilla: Draws | None
    held: HeldOut
    beyond: Beyond | None
    level: float
    target: float
    point: tuple[float, float] | None

    @cached_property
    def budgets(self) -> FloatArray:
        compute = self.fits.cells.compute
        first = min(float(np.median(compute)), self.target / 10)
        return np.append(np.geomspace(first, self.target, _BUDGETS)[:-1], self.target)

    @cached_property
    def optimum(self) -> Optimum:
        """Over budgets, the target last."""
        joint, cells = self.fits.joint, self.fits.cells
        ratios = ratio_range(cells.parameters, cells.tokens)
        return optimum(joint.law, joint.natural, self.draws.values, self.budgets, ratios)

    def predicted(self, point: tuple[float, float], *, new_run: bool = True) -> Ends:
        inputs = {"N": np.array([point[0]]), "D": np.array([point[1]])}
        loss, low, high = self.draws.predict(inputs, self.level, new_run=new_run)
        return float(loss[0]), float(low[0]), float(high[0])


def _headline(view: _View) -> str:
    fits, percent = view.fits, f"{100 * view.level:g} %"
    sizes = fits.cells.parameters
    ratio = exponent_ratio(fits, view.draws, view.level)
    ends = fits.exponent(fits.joint.natural, np.array([sizes.min(), sizes.max()]))[0]
    moved = "falls" if ratio[2] < 1 else "rises" if ratio[1] > 1 else "may fall or rise"
    gain = fits.information("chinchilla").bic - fits.information("farseer, joint").bic
    better = "better" if gain > 0 else "worse"
    text = (
        f"The pay-off of more tokens {moved} with size: the data exponent is {ends[0]:.3g} at "
        f"{sizes.min():.3g} parameters and {ends[1]:.3g} at {sizes.max():.3g} (ratio "
        f"{ratio[0]:.2g}, {percent} interval {ratio[1]:.2g} to {ratio[2]:.2g}); Farseer's law "
        f"fits {better} than Chinchilla's by {abs(gain):.3g} of BIC"
    )
    if view.beyond is not None:
        errors = view.beyond.held_out
        pair = [errors.root_mean_square(name) for name in ("farseer, joint", "chinchilla")]
        text += (
            f", with an error of {100 * pair[0]:.2g} % against {100 * pair[1]:.2g} % on the "
            f"{int(view.beyond.above.sum())} dearest runs"
        )
    size, each = view.optimum.sizes(-1, view.level), view.optimum.ratios(-1, view.level)
    if size[0] is None or each[0] is None:
        return f"{text}; at {view.target:.3g} FLOP the law has no best size."
    growth = view.optimum.growth(view.level)
    ratio_text = "" if growth[0] is None else f", a ratio that goes as compute^{words(growth)}"
    return (
        f"{text}; at {view.target:.3g} FLOP the best model has {words(size)} parameters and "
        f"{each[0]:.3g} tokens each{ratio_text}."
    )


def _values(view: _View) -> Iterator[Value]:
    fits, level = view.fits, view.level
    how = f"bootstrap ({view.draws.kind})"

    def value(name: str, ends: Ends, unit: str = "", method: str = how) -> Value:
        return Value(
            name, ends[0], ends[1], ends[2], level, unit=unit, method=method,
            why_no_interval="the law, or a fifth of its draws, has no best size there",
        )  # fmt: skip

    sizes = np.array([fits.cells.parameters.min(), fits.cells.parameters.max()])
    estimate, low, high = exponent_ends(fits, view.draws, sizes, level)
    for place, which in enumerate(("smallest", "largest")):
        yield value(
            f"data exponent at the {which} size", (estimate[place], low[place], high[place])
        )
    yield value("data exponent, largest size over smallest",
                exponent_ratio(fits, view.draws, level))  # fmt: skip
    best = view.optimum
    yield value("best size at target", best.sizes(-1, level), "parameters")
    yield value("best tokens per parameter at target", best.ratios(-1, level), "tokens")
    yield value(
        "growth of tokens per parameter with compute", best.growth(level), "exponent",
        f"{how}, from {view.budgets[0]:.3g} FLOP to the target",
    )  # fmt: skip
    if np.isfinite(best.size[-1]):
        at_best = (float(best.size[-1]), float(best.tokens[-1]))
        yield value(
            "loss of a run at the best size", view.predicted(at_best), "loss",
            f"{how}, with a residual for the run",
        )  # fmt: skip
    if view.point is not None:
        yield value(
            "loss of the run asked for", view.predicted(view.point), "loss",
            f"{how}, with a residual for the run",
        )  # fmt: skip
    yield from _constant_values(view)


def _constant_values(view: _View) -> Iterator[Value]:
    fits, level = view.fits, view.level
    if fits.size_term == "stretched":
        own = asdict(fits.centre.constants(fits.joint.natural))
        drawn = asdict(fits.centre.constants(view.draws.values))
        for name, number in own.items():
            low, high = _finite_interval(drawn[name], level)
            yield Value(
                f"{name}, joint", float(number), low, high, level,
                method=f"bootstrap ({view.draws.kind})",
                why_no_interval="the exponent it belongs to passes 0 among the draws",
            )  # fmt: skip
    else:
        for name, number in fits.joint.parameters.items():
            low, high = view.draws.interval(name, level)
            yield Value(
                f"{name}, joint", number, low, high, level,
                method=f"bootstrap ({view.draws.kind})",
            )  # fmt: skip
    if fits.staged is not None:
        for name, number in asdict(fits.staged.constants).items():
            yield Value(
                f"{name}, staged", float(number), why_no_interval="the procedure gives none"
            )


def _finite_interval(drawn: FloatArray, level: float) -> tuple[float | None, float | None]:
    finite = np.where(np.isfinite(drawn), drawn, np.nan)
    if np.isnan(finite).any():
        return None, None
    low, high = percentile_interval(finite, level)
    return float(low), float(high)


def _status(view: _View) -> tuple[Status, str]:
    fits = view.fits
    if not fits.joint.converged:
        return Status.NOT_CONVERGED, (
            "the joint fit can still be lowered; the staged constants do not depend on it"
        )
    if not np.isfinite(view.optimum.size[-1]):
        return Status.ASSUMPTION_DOUBTFUL, (
            "at the target the law has no best size at ratios of tokens to parameters near those "
            "of the runs, so it cannot plan there; take a target nearer to the runs"
        )
    found = fits.joint.identification()
    open_ = [
        *found.undetermined,
        *(name for name in found.at_edge if name not in found.undetermined),
    ]
    if open_:
        return Status.ASSUMPTION_DOUBTFUL, (
            f"the runs do not determine {', '.join(open_)} of the nine parameters (a 95 % interval "
            "wider than a factor of 20, or 1 for slopes and exponents, or an end of the range "
            "allowed); predictions within the sizes given do not need them, far ones do; add "
            "sizes and lengths of training"
        )
    return Status.OK, ""


def _notices(view: _View) -> Iterator[Notice]:
    fits, read = view.fits, view.read
    if np.isfinite(read.flops_ratio) and not 0.5 <= read.flops_ratio <= 2:
        yield Notice(
            "units",
            f"the compute column is {read.flops_ratio:.3g} times 6 x parameters x tokens (median)",
            "check the units: parameters_unit, tokens_unit, compute_unit",
        )
    if fits.staged is None:
        yield Notice("no-stages", fits.why_not_staged, "only the joint fit is given")
    else:
        yield from _stage_notices(fits)
    if fits.size_term == "power":
        yield Notice(
            "size-term",
            "the term of size is a power law plus a constant, which holds Chinchilla's law as a "
            "special case",
            "size_term='stretched' gives the paper's Eq. (3)",
        )
    if fits.joint.value > fits.chinchilla.value:
        yield Notice(
            "worse-than-chinchilla",
            "Chinchilla's law fits these runs better than Farseer's with five constants",
            "use size_term='auto', or Chinchilla's law",
        )
    for sentence in fits.joint.identification().sentences(fits.joint.law):
        if "flat valley" in sentence:
            yield Notice("identification", sentence, "judge the law by its predictions")
    if fits.information("chinchilla").bic < fits.information("farseer, joint").bic:
        yield Notice(
            "simpler-law",
            "by BIC Chinchilla's five constants suffice for these runs",
            "its extrapolation is the steadier one",
        )
    if view.draws.n_failed > 0.05 * len(view.draws.values):
        yield Notice(
            "refits",
            f"{view.draws.n_failed} refits of the bootstrap did not converge and are left out",
        )
    yield from _beyond_notices(view)


def _stage_notices(fits: Fits) -> Iterator[Notice]:
    assert fits.staged is not None
    stage = fits.staged.exponents
    if len(stage.left_out) or stage.n_not_positive:
        yield Notice(
            "stage-one",
            f"{len(stage.left_out)} sizes have no positive data exponent by their differences, and "
            f"{stage.n_not_positive} differences are not above 0; the staged procedure leaves them "
            "out",
            "the joint fit uses all runs",
        )
    ends = [
        name
        for name in ("alpha", "beta", "gamma")
        if abs(getattr(fits.staged.constants, name)) > _GRID_END
    ]
    if ends:
        yield Notice(
            "stage-grid",
            f"{', '.join(ends)} of the staged procedure ended at an end of the exponents tried, "
            f"-{_GRID_END:g} to {_GRID_END:g}",
            "its surface is not to be trusted; the joint fit has a wider range",
        )
    if not fits.staged.constrained:
        yield Notice(
            "stage-two",
            "the coefficient of the data term does not fall with size to a limit, as the paper's "
            "code asks; the best exponent without that condition is taken",
        )


def _beyond_notices(view: _View) -> Iterator[Notice]:
    if view.beyond is None:
        yield Notice(
            "no-check-beyond",
            f"fewer than {_FEWEST_BEYOND} rows lie within a factor of {_BEYOND:g} of the largest "
            "compute, so the laws are not judged beyond a cut",
            "give a cut",
        )
    else:
        coverage = view.beyond.coverage.get("farseer, joint", 1.0)
        if coverage < 0.8:
            yield Notice(
                "extrapolation",
                f"fitted up to {view.beyond.cut:.3g} FLOP, Farseer's law covers "
                f"{100 * coverage:.0f} % of the {int(view.beyond.above.sum())} dearer rows with "
                "its 95 % intervals",
                "intervals of predictions beyond the runs are too short",
            )
    if view.point is not None and rises_with_size(
        view.fits.joint, np.array([view.point[0]]), np.array([view.point[1]])
    ):
        yield Notice(
            "not-monotone",
            "at the run asked for the law says that a slightly larger model would be worse",
            "it is too far from the runs to be trusted",
        )


# --- what the figure needs ------------------------------------------------------------------------


def _details(view: _View) -> dict[str, Any]:
    fits, cells = view.fits, view.fits.cells
    sizes = np.unique(cells.parameters)
    reach = max(sizes.max(), float(np.nan_to_num(view.optimum.size[-1])))
    grid = np.geomspace(sizes.min(), reach, _CURVE)
    value, low, high = exponent_ends(fits, view.draws, grid, view.level)
    stage: dict[str, Any] = {}
    if fits.staged is not None:
        found = fits.staged.exponents
        stage = {"sizes": found.sizes.tolist(), "exponent": found.exponent.tolist()}
    return {
        "curves": _curves(view, sizes),
        "exponent": {
            "sizes": grid.tolist(), "value": value.tolist(), "low": low.tolist(),
            "high": high.tolist(),
        },
        "stage_one": stage,
        "chinchilla_exponent": fits.chinchilla.parameters["beta"],
        "optimum": _ratio_lines(view),
        "target": view.target,
        "setting": view.read.setting,
        "loss_name": "loss",
        "fit": fits.joint.rows(),
        "formula": fits.joint.law.text,
        "difference_error": None if fits.staged is None else fits.staged.difference_error,
    }  # fmt: skip


def _curves(view: _View, sizes: FloatArray) -> list[dict[str, Any]]:
    """Runs and laws over tokens for some of the sizes."""
    cells = view.fits.cells
    chosen = sizes[np.unique(np.linspace(0, len(sizes) - 1, min(_CURVES, len(sizes))).astype(int))]
    curves = []
    for size in chosen:
        rows = cells.parameters == size
        tokens = cells.tokens[rows]
        grid = np.geomspace(tokens.min() / 1.3, tokens.max() * 2, _CURVE)
        inputs = {"N": np.full_like(grid, size), "D": grid}
        fit, low, high = view.draws.predict(inputs, view.level)
        curves.append(
            {
                "size": float(size), "tokens": tokens.tolist(), "loss": cells.loss[rows].tolist(),
                "grid": grid.tolist(), "fit": fit.tolist(), "low": low.tolist(),
                "high": high.tolist(),
                "chinchilla": view.fits.chinchilla.predict(inputs).tolist(),
            }
        )  # fmt: skip
    return curves


def _ratio_lines(view: _View) -> dict[str, Any]:
    """Best tokens per parameter over compute, by both laws."""
    budgets = view.budgets
    lines = {"farseer": ratio_line(view.optimum, view.level)}
    if view.chinchilla is not None:
        size, data, _ = power_allocation(view.fits.chinchilla.natural[None], budgets)
        sizes, tokens, _ = power_allocation(view.chinchilla.values, budgets)
        low, high = percentile_interval(tokens / sizes, view.level)
        lines["chinchilla"] = {
            "compute": budgets.tolist(), "ratio": (data / size)[0].tolist(), "low": low.tolist(),
            "high": high.tolist(),
        }  # fmt: skip
    return lines
