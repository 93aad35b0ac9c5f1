"""The recipe: the compute-optimal exponent of a table of runs, and what moves it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from statlas.core import (
    Category,
    Example,
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
from statlas.core.numerics.laws import CHINCHILLA, Extrapolation, extrapolation_check
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.core.rng import Rng
from statlas.core.runs import (
    BATCH_SIZE,
    COMPUTE,
    CONTEXT,
    DEPTH,
    LEARNING_RATE,
    LOSS,
    PARAMETERS,
    TOKENS,
    VOCABULARY,
    WIDTH,
    ComputeUnit,
    ParametersUnit,
    TokensUnit,
)
from statlas.scaling.kaplan_chinchilla.accounting import Counted
from statlas.scaling.kaplan_chinchilla.estimates import (
    Estimate,
    LossFit,
    Optimiser,
    Plan,
    optimal_at,
)
from statlas.scaling.kaplan_chinchilla.figure import draw_curves, draw_exponents, draw_sizes
from statlas.scaling.kaplan_chinchilla.isoflop import FloatArray, Surrogate
from statlas.scaling.kaplan_chinchilla.reading import RunTable, read_runs
from statlas.scaling.kaplan_chinchilla.views import (
    METHODS,
    View,
    choose_view,
    make_views,
    tokens_each,
    view_table,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CountingChoice = Literal["given", "last-layer", "body", "attention"]

_FAR = 6  # robust standard deviations from the fit at which a run is called far off
_FEWEST_BEYOND, _BEYOND = 5, 4.0  # runs above the cut, and the factor of compute it leaves out


# --- the result -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ComputeOptimal(Result):
    """Compute-optimal exponents; `table` has a row a view of the runs and method."""

    def draw(self, figure: Figure) -> None:
        """Draw equal-compute curves, best sizes with both power laws, exponents by view."""
        details = self.details
        several = len(details["exponents"]) > 2
        axes = figure.subplots(1, 3 if several else 2)
        draw_curves(axes[0], details["curves"])
        draw_sizes(axes[1], details)
        if several:
            draw_exponents(axes[2], details["exponents"], self.options["level"])
        rows = len({row["view"] for row in details["exponents"]})
        figure.set_size_inches(15.0 if several else 10.5, max(4.4, 1.4 + 0.42 * rows))


@recipe(
    "kaplan-chinchilla",
    example=Example(
        file="nano_runs.csv",
        about="240 small transformers trained on the source code of Python's standard library: "
        "8 widths, 5 learning rates, 2 warm-ups, 3 seeds; losses at 8 compute budgets.",
        origin="Recorded with torch (BSD-3) on the standard library of Python 3.11 (PSF); see "
        "examples.",
        options={"focus": "short"},
    ),
)
def compute_optimal_exponent(
    runs: Annotated[
        Table,
        Roles(
            parameters=PARAMETERS,
            loss=LOSS,
            tokens=TOKENS,
            compute=COMPUTE,
            width=WIDTH,
            depth=DEPTH,
            vocabulary=VOCABULARY,
            context=CONTEXT,
            learning_rate=LEARNING_RATE,
            batch_size=BATCH_SIZE,
            setting=Category(
                optional=True,
                help="kind of training that is analysed by itself, such as the warm-up",
                aliases=("warmup", "schedule", "configuration"),
            ),
            min_rows=6,
        ),
    ],
    *,
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of the intervals")] = 0.95,
    counting: Annotated[
        CountingChoice,
        Option(
            help="cost of a token in the headline: as given (compute / tokens, or 6 x parameters), "
            "6 x weights with the last layer, without it (body), or with attention"
        ),
    ] = "given",
    counted: Annotated[
        Counted,
        Option(
            help="weights that the column of parameters counts: blocks and last layer, "
            "blocks alone (body), or all with an input embedding"
        ),
    ] = "last-layer",
    optimiser: Annotated[
        Optimiser,
        Option(help="headline from the best learning rate of each size, or one for all sizes"),
    ] = "tuned",
    focus: Annotated[
        str | None, Option(help="setting that the headline is about; by default the best one")
    ] = None,
    minimum: Annotated[
        Surrogate,
        Option(
            help="curve through an equal-compute slice: Akima's, a parabola, or by their density"
        ),
    ] = "auto",
    loss_fit: Annotated[
        LossFit,
        Option(
            help="parametric fit: Huber's function (threshold 1e-3), absolute errors or squares "
            "of log(loss)"
        ),
    ] = "huber",
    budgets: Annotated[
        tuple[float, ...] | None,
        Option(gt=0, help="budgets of the equal-compute curves; found by default", unit="FLOP"),
    ] = None,
    target: Annotated[
        float | None,
        Option(gt=0, help="budget to plan for; ten times the largest by default", unit="FLOP"),
    ] = None,
    seed_noise: Annotated[
        float | None,
        Option(ge=0, help="standard deviation of log(loss) of one run; estimated by default"),
    ] = None,
    parameters_unit: ParametersUnit = 1.0,
    tokens_unit: TokensUnit = 1.0,
    compute_unit: ComputeUnit = 1.0,
    draws: Annotated[int, Option(ge=50, le=20_000, help="bootstrap draws")] = 400,
    rng: Rng = None,
) -> ComputeOptimal:
    """Estimate how the best model size grows with compute, by two methods and several countings.

    Parameters
    ----------
    runs
        One row a training run, or a checkpoint of one trained at a constant learning rate.

    Returns
    -------
    ComputeOptimal
        `table` has a row a view (setting, counting, optimiser) and method.
    """
    generator = np.random.default_rng(rng)
    read = read_runs(runs, (parameters_unit, tokens_unit, compute_unit), counted)
    _check_choices(read, counting, focus)
    grid = None if budgets is None else np.sort(np.asarray(budgets, dtype=float))
    plan = Plan(grid, minimum, loss_fit, seed_noise, draws)
    views, failures = make_views(read, plan, generator)
    if not views:
        raise InputError(failures[0])
    main = choose_view(views, read, focus, counting, optimiser)
    goal = 10 * float(main.estimate.runs.compute.max()) if target is None else target
    table = view_table(views, level, goal)
    shifts = _shifts(views, main, level)
    beyond = _beyond(main, generator)
    status, advice = _status(main)
    return ComputeOptimal(
        headline=_headline(main, shifts, level, goal),
        table=table,
        values=tuple(_values(main, shifts, beyond, level, goal)),
        details=_details(views, main, level, goal),
        status=status,
        advice=advice,
        warnings=tuple(_notices(read, views, main, beyond, failures)),
        options={"target": goal},
    )


def _check_choices(runs: RunTable, counting: str, focus: str | None) -> None:
    if counting not in runs.cost:
        raise OptionError(
            f"counting={counting!r} needs columns of width and vocabulary"
            + (", depth and context" if counting == "attention" else "")
            + f"; there are {', '.join(runs.cost)}"
        )
    if focus is not None and focus not in runs.settings:
        known = ", ".join(filter(None, runs.settings)) or "none, for there is no such column"
        raise OptionError(f"there is no setting {focus!r} to focus on; there are {known}")


def _interval(value: float, drawn: FloatArray, level: float) -> tuple[float, float, float]:
    low, high = percentile_interval(drawn, level)
    return value, float(low), float(high)


def _shifts(views: list[View], main: View, level: float) -> list[dict[str, Any]]:
    """How the equal-compute exponent moves when one thing about the main view is changed."""
    names = ("setting", "counting", "optimiser")
    words = {
        "body": "leaving out the last layer",
        "attention": "counting attention too",
        "last-layer": "counting the last layer",
        "given": "taking compute as given",
        "tuned": "tuning each size",
    }
    base = main.estimate.line
    shifts = []
    for view in views:
        changed = [name for name in names if getattr(view, name) != getattr(main, name)]
        other = view.estimate.line
        if len(changed) != 1 or other is None or base is None:
            continue
        value = getattr(view, changed[0])
        if changed[0] == "setting":
            what = f"the setting {value}"
        else:
            what = words.get(value, f"one {view.common} for all sizes")
        shift = other.exponent - base.exponent
        centre, low, high = _interval(shift, other.paired - base.paired, level)
        shifts.append({"what": what, "shift": centre, "low": low, "high": high})
    return shifts


def _beyond(main: View, rng: np.random.Generator) -> Extrapolation | None:
    """The parametric law fitted to the cheaper runs and judged on the dearest ones.

    These are the runs of the last factor of 4 in compute, or the dearest 15 % where those are more.
    """
    runs = main.estimate.runs
    cut = min(float(runs.compute.max()) / _BEYOND, float(np.quantile(runs.compute, 0.85)))
    above = runs.compute > cut
    if main.estimate.fit is None or above.sum() < _FEWEST_BEYOND or (~above).sum() < 12:
        return None
    return extrapolation_check(
        CHINCHILLA,
        {"N": runs.size, "D": runs.tokens},
        runs.loss,
        runs.compute,
        cut=cut,
        objective=main.estimate.fit.problem.objective,
        n_draws=200,
        n_starts=100,
        rng=rng,
    )


def _disagreement(main: View) -> float | None:
    """Difference of the two methods' exponents where it is more than their noise."""
    curves, law = (main.exponent(method) for method in METHODS)
    if curves is None or law is None:
        return None
    n_draws = min(len(curves[1]), len(law[1]))
    low, high = percentile_interval(curves[1][:n_draws] - law[1][:n_draws], 0.95)
    return curves[0] - law[0] if low > 0 or high < 0 else None


def _status(main: View) -> tuple[Status, str]:
    found = main.estimate
    if found.fit is not None and not found.fit.converged:
        return Status.NOT_CONVERGED, "the parametric fit did not converge; remove runs far off"
    if found.fit is not None and found.draws is None:
        return Status.ASSUMPTION_DOUBTFUL, (
            "under the parametric fit loss does not fall with both size and tokens, so it has no "
            "best size; only the equal-compute estimate is given"
        )
    if found.fit is not None and (open_ := found.fit.identification().undetermined):
        return Status.ASSUMPTION_DOUBTFUL, (
            f"the runs do not determine {', '.join(open_)} of the parametric fit (its 95 % "
            "interval is wider than a factor of 20, or 1 for an exponent, either way); the "
            "exponent's interval shows what is left; add sizes, or longer runs of small ones"
        )
    inside = sum(minimum.bracketed for minimum in found.minima)
    if inside < 3:
        return Status.ASSUMPTION_DOUBTFUL, (
            f"only {inside} budgets have a best size inside their sizes, so the equal-compute "
            "exponent rests on too little; add smaller and larger models at the same compute"
        )
    if _disagreement(main) is not None:
        return Status.ASSUMPTION_DOUBTFUL, (
            "the two methods' exponents differ by more than their noise, so the parametric form "
            "does not hold over these runs; rely on the equal-compute curves within their budgets, "
            "or fit runs nearer to the best sizes"
        )
    return Status.OK, ""


def _headline(main: View, shifts: list[dict[str, Any]], level: float, target: float) -> str:
    percent = f"{100 * level:g} % interval"
    parts = []
    for method in METHODS:
        found = main.exponent(method)
        if found is not None:
            value, low, high = _interval(*found, level)
            name = "equal-compute curves" if method == "equal compute" else "the parametric fit"
            parts.append(f"compute^{value:.3f} ({percent} {low:.3f} to {high:.3f}) by {name}")
    sizes = optimal_at(main.estimate, target)
    size, drawn = sizes.get("equal compute") or sizes["parametric"]
    least, most = percentile_interval(drawn, level)
    text = (
        f"The best model size grows as {' and '.join(parts)} ({main.label}); at {target:.3g} FLOP "
        f"it is {size:.3g} parameters ({least:.3g} to {most:.3g}) with "
        f"{tokens_each(target, size):.3g} tokens each"
    )
    moved = [
        f"{shift['what']} moves the exponent by {shift['shift']:+.3f} "
        f"({shift['low']:+.3f} to {shift['high']:+.3f})"
        for shift in shifts
    ]
    return text + "".join(f"; {words}" for words in moved[:4]) + "."


def _values(
    main: View,
    shifts: list[dict[str, Any]],
    beyond: Extrapolation | None,
    level: float,
    target: float,
) -> Iterator[Value]:
    found = main.estimate
    how = {
        "equal compute": "draws of the losses' noise",
        "parametric": f"bootstrap ({found.draws.kind})" if found.draws is not None else "",
    }
    sizes = optimal_at(found, target)
    for method in METHODS:
        exponent = main.exponent(method)
        if exponent is None:
            continue
        note, without = how[method], "some draws have no finite optimum"
        yield Value(f"exponent of size, {method}", *_interval(*exponent, level), level, method=note)
        size = _interval(*sizes[method], level)
        yield Value(
            f"size at target, {method}",
            *size,
            level,
            unit="parameters",
            method=note,
            why_no_interval=without,
        )
        ratio = [tokens_each(target, end) for end in size]
        yield Value(
            f"tokens per parameter at target, {method}",
            ratio[0], ratio[2], ratio[1], level, unit="tokens", method=note,
        )  # fmt: skip
    if found.fit is not None and found.draws is not None:
        for name, estimate_ in found.fit.parameters.items():
            low, high = found.draws.interval(name, level)
            yield Value(
                name, estimate_, low, high, level, unit="loss" if name == "E" else "",
                method=how["parametric"],
            )  # fmt: skip
        best = sizes["parametric"][0]
        at = {"N": np.array([best]), "D": np.array([target / 6 / best])}
        loss, low_loss, high_loss = found.draws.predict(at, level)
        yield Value(
            "loss at target, parametric", float(loss[0]), float(low_loss[0]), float(high_loss[0]),
            level, unit="loss", method=how["parametric"],
        )  # fmt: skip
    for shift in shifts:
        yield Value(
            f"shift of the exponent, {shift['what']}", shift["shift"], shift["low"],
            shift["high"], level, method="the same draws of the losses' noise on both sides",
        )  # fmt: skip
    if beyond is not None:
        yield Value(
            "error beyond the fit",
            beyond.root_mean_square,
            unit="root mean square of log(loss)",
            why_no_interval=f"a plain mean over the {len(beyond.errors)} dearest runs",
        )
    yield Value(
        "noise of one run", found.noise, unit="standard deviation of log(loss)",
        why_no_interval=f"from {found.noise_from}",
    )  # fmt: skip


def _details(views: list[View], main: View, level: float, target: float) -> dict[str, Any]:
    curves = []
    for minimum in main.estimate.minima:
        low, high = np.nan, np.nan
        if minimum.bracketed:
            low, high = map(float, percentile_interval(minimum.inside, level))
        curves.append(
            {
                "budget": minimum.at.budget,
                "sizes": minimum.at.size.tolist(),
                "losses": minimum.at.loss.tolist(),
                "best": minimum.size,
                "best_loss": minimum.loss,
                "low": low,
                "high": high,
                "share_inside": len(minimum.inside) / len(minimum.draws),
            }
        )
    return {
        "curves": curves,
        "lines": _lines(main, level, target),
        "exponents": _exponent_rows(views, main, level),
        "view": main.label,
        "target": target,
        "fit": None if main.estimate.fit is None else main.estimate.fit.rows(),
    }


def _lines(main: View, level: float, target: float) -> list[dict[str, Any]]:
    """Best size over compute by each method, for the figure."""
    compute = main.estimate.runs.compute
    grid = np.geomspace(compute.min(), max(target, compute.max()), 25)
    lines: list[dict[str, Any]] = []
    columns = [optimal_at(main.estimate, float(budget)) for budget in grid]
    for method in columns[0]:
        ends = np.array([percentile_interval(column[method][1], level) for column in columns])
        lines.append(
            {
                "method": method,
                "compute": grid.tolist(),
                "size": [column[method][0] for column in columns],
                "low": ends[:, 0].tolist(),
                "high": ends[:, 1].tolist(),
            }
        )
    return lines


def _exponent_rows(views: list[View], main: View, level: float) -> list[dict[str, Any]]:
    rows = []
    for view in views:
        for method in METHODS:
            found = view.exponent(method)
            if found is not None:
                value, low, high = _interval(*found, level)
                rows.append(
                    {"view": view.label, "method": method, "exponent": value, "low": low,
                     "high": high, "main": view is main}
                )  # fmt: skip
    return rows


def _notices(
    runs: RunTable,
    views: list[View],
    main: View,
    beyond: Extrapolation | None,
    failures: list[str],
) -> Iterator[Notice]:
    found = main.estimate
    if np.isfinite(runs.ratio) and not 0.5 <= runs.ratio <= 2:
        yield Notice(
            "units",
            f"the compute column is {runs.ratio:.3g} times 6 x parameters x tokens (median)",
            "check the units: parameters_unit, tokens_unit, compute_unit",
        )
    outside = [m.at.budget for m in found.minima if not m.bracketed]
    if outside:
        yield Notice(
            "not-bracketed",
            f"at {len(outside)} of {len(found.minima)} budgets the best size lies at an end of the "
            f"sizes tried (first: {outside[0]:.3g} FLOP); they are left out of the line",
            "add smaller or larger models there",
        )
    if found.fit is not None:
        for sentence in found.fit.identification().sentences(CHINCHILLA):
            yield Notice("identification", sentence, "judge the law by its predictions")
        yield from _far_off(found)
    gap = _disagreement(main)
    if gap is not None:
        yield Notice(
            "methods-disagree",
            f"the two methods' exponents differ by {gap:+.3f}, more than their noise",
            "the parametric form may not fit these runs; trust the curves within their range",
        )
    if beyond is not None and beyond.coverage < 0.8:
        yield Notice(
            "extrapolation",
            f"fitted without the {len(beyond.errors)} dearest runs, the parametric law covers "
            f"{100 * beyond.coverage:.0f} % of them with its 95 % intervals (mean error "
            f"{beyond.bias:+.2g} in log loss)",
            "intervals of predictions beyond the runs are too short",
        )
    if failures:
        yield Notice(
            "views-left-out", f"{len(failures)} view(s) could not be estimated: {failures[0]}"
        )


def _far_off(found: Estimate) -> Iterator[Notice]:
    assert found.fit is not None
    sizes = np.abs(found.fit.residuals)
    limit = _FAR * 1.4826 * float(np.median(sizes))
    far = np.flatnonzero(sizes > limit) if limit > 0 else np.array([], dtype=int)
    if len(far):
        worst = far[sizes[far].argmax()]
        yield Notice(
            "far-off",
            f"{len(far)} of {len(sizes)} combinations of size and tokens lie more than {_FAR} "
            f"robust standard deviations from the parametric fit (farthest: "
            f"{found.runs.size[worst]:.3g} parameters, {found.runs.tokens[worst]:.3g} tokens, "
            f"loss {found.runs.loss[worst]:.4g})",
            "see whether they were trained like the others; they pull at the fit",
        )
