"""The joint refinement: all nine parameters at once, beside the laws that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from statlas.core import ConvergenceError, InputError
from statlas.core.numerics.laws import (
    CHINCHILLA,
    KAPLAN,
    Draws,
    Information,
    Law,
    LawFit,
    Objective,
    bootstrap,
    fit_law,
    held_out_residuals,
    information,
)
from statlas.core.numerics.laws.uncertainty import BootstrapKind
from statlas.core.progress import track
from statlas.scaling.farseer.law import (
    Centre,
    FloatArray,
    SizeTerm,
    data_exponent,
    farseer_law,
)
from statlas.scaling.farseer.staged import Criterion, Staged, best_line, fit_staged

SizeTermChoice = Literal["auto", "stretched", "power"]
LossFit = Literal["huber", "squares"]
LAWS = ("kaplan", "chinchilla", "farseer, staged", "farseer, joint")
_STAGED = "farseer, staged"

OBJECTIVES = {"huber": Objective("log", huber=1e-3), "squares": Objective("log")}
_STARTS = {"kaplan": 60, "chinchilla": 60, "farseer": 16}


@dataclass(frozen=True)
class Cells:
    """Runs averaged over repeats: one row for each size and number of tokens.

    Attributes
    ----------
    parameters, tokens, compute, loss
        N, D, C and L, shape (n_cells,).
    repeats
        Runs behind each row.
    """

    parameters: FloatArray
    tokens: FloatArray
    compute: FloatArray
    loss: FloatArray
    repeats: FloatArray

    def __len__(self) -> int:
        return len(self.loss)

    def take(self, rows: NDArray[np.bool_]) -> Cells:
        """Some of the rows."""
        return Cells(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @property
    def inputs(self) -> dict[str, FloatArray]:
        """As laws take them."""
        return {"N": self.parameters, "D": self.tokens}


@dataclass(frozen=True)
class Plan:
    """How to fit.

    Attributes
    ----------
    loss_fit
        Huber's function (threshold 1e-3) or squares of log(loss).
    size_term
        Form of the term of size; ``"auto"`` is Eq. (14) unless Chinchilla's form fits better.
    criterion
        Of the staged procedure.
    resample
        How bootstrap samples are drawn.
    n_draws
        Bootstrap samples.
    """

    loss_fit: LossFit = "huber"
    size_term: SizeTermChoice = "auto"
    criterion: Criterion = "relative"
    resample: BootstrapKind = "residual"
    n_draws: int = 200

    @property
    def objective(self) -> Objective:
        """The objective of every fit."""
        return OBJECTIVES[self.loss_fit]


@dataclass(frozen=True)
class Fits:
    """Every law on the same rows.

    Attributes
    ----------
    centre
        N0 and D0 of the joint fit.
    kaplan, chinchilla, joint
        Fits on the engine.
    size_term
        Form of the joint fit's term of size.
    staged
        The published procedure; None where it cannot be carried out.
    why_not_staged
        Why, then.
    """

    cells: Cells
    centre: Centre
    kaplan: LawFit
    chinchilla: LawFit
    joint: LawFit
    size_term: SizeTerm
    staged: Staged | None
    why_not_staged: str

    def predict(self, name: str, inputs: dict[str, FloatArray]) -> FloatArray:
        """Losses by one of `LAWS`."""
        if name == "farseer, staged":
            assert self.staged is not None
            return self.staged.loss(inputs["N"], inputs["D"])
        return self.of(name).predict(inputs)

    def of(self, name: str) -> LawFit:
        """The fit of one of `LAWS` but the staged one."""
        fits = {"kaplan": self.kaplan, "chinchilla": self.chinchilla, "farseer, joint": self.joint}
        return fits[name]

    @property
    def names(self) -> tuple[str, ...]:
        """The laws there are."""
        return tuple(name for name in LAWS if name != "farseer, staged" or self.staged is not None)

    def information(self, name: str) -> Information:
        """Criteria of one of the laws; the staged constants count as nine parameters."""
        if name != "farseer, staged":
            return information(self.of(name))
        assert self.staged is not None
        law = farseer_law(self.centre.size, self.centre.data)
        natural = self.centre.natural(self.staged.constants)
        problem = replace(self.chinchilla.problem, law=law, prepared=law.prepare(self.cells.inputs))
        at = replace(
            self.joint, problem=problem, coordinates=law.to_coordinates(natural),
            free=np.ones(len(law.names), dtype=bool),
        )  # fmt: skip
        return information(at)

    def exponent(self, natural: FloatArray, parameters: FloatArray) -> FloatArray:
        """A(N) of the joint law at sets of its parameters."""
        return data_exponent(self.joint.law, natural, self.centre, parameters)


def fit_all(cells: Cells, plan: Plan, rng: np.random.Generator, starts: Fits | None = None) -> Fits:
    """Fit Kaplan's, Chinchilla's and Farseer's laws to the same rows.

    Parameters
    ----------
    cells
        The rows; at least ten.
    plan
        How to fit.
    rng
        Source of starts.
    starts
        Fits on more rows, for the centre of the parameters only.

    Raises
    ------
    InputError
        For fewer rows than parameters.
    """
    centre = starts.centre if starts is not None else middle(cells)
    kaplan, chinchilla = (
        fit_law(
            law, cells.inputs, cells.loss, plan.objective, weights=cells.repeats,
            n_starts=_STARTS[law.name], rng=rng,
        )
        for law in (KAPLAN, CHINCHILLA)
    )  # fmt: skip
    staged, why_not = None, ""
    try:
        staged = fit_staged(cells.parameters, cells.tokens, cells.loss, criterion=plan.criterion)
    except InputError as error:
        why_not = str(error)
    joint, size_term = _fit_joint(cells, plan, centre, chinchilla, staged, rng)
    return Fits(cells, centre, kaplan, chinchilla, joint, size_term, staged, why_not)


def middle(cells: Cells) -> Centre:
    """Geometric means of sizes and tokens."""
    return Centre(*(float(np.exp(np.mean(np.log(x)))) for x in (cells.parameters, cells.tokens)))


def _fit_joint(
    cells: Cells,
    plan: Plan,
    centre: Centre,
    chinchilla: LawFit,
    staged: Staged | None,
    rng: np.random.Generator,
) -> tuple[LawFit, SizeTerm]:
    """Farseer's form from the staged constants, from Chinchilla's fit and from random starts."""
    level = float(np.median(cells.loss))

    def fitted(term: SizeTerm) -> LawFit:
        law = farseer_law(centre.size, centre.data, level, term)
        starts = [chinchilla_start(law, centre, chinchilla, cells.parameters)]
        if staged is not None and term == "stretched":
            starts.append(centre.natural(staged.constants))
        boxed = law.to_natural(np.clip(law.to_coordinates(starts), *law.box))
        return fit_law(
            law, cells.inputs, cells.loss, plan.objective, weights=cells.repeats,
            n_starts=_STARTS["farseer"], starts=boxed, rng=rng,
        )  # fmt: skip

    if plan.size_term == "power":
        return fitted("power"), "power"
    joint = fitted("stretched")
    if plan.size_term == "stretched" or joint.value <= chinchilla.value:
        return joint, "stretched"
    return fitted("power"), "power"


def chinchilla_start(
    law: Law, centre: Centre, chinchilla: LawFit, parameters: FloatArray
) -> FloatArray:
    """Chinchilla's fit in the parameters of a Farseer law, shape (9,).

    With the power term of size it is the same function. The stretched term of size does not hold
    E + A N^-alpha and takes the nearest curve over the sizes given.
    """
    c = chinchilla.parameters
    own = {
        "A0": c["beta"], "tilt_A": 0.0, "alpha": 0.0,
        "T0": c["B"] * centre.data ** -c["beta"], "tilt_T": 0.0, "beta": 0.0,
    }  # fmt: skip
    if "E" in law.names:
        own |= {"E": c["E"], "K": c["A"] * centre.size ** -c["alpha"], "gamma": c["alpha"]}
    else:
        sizes = np.unique(parameters)
        u = np.log(sizes / centre.size)
        logs = np.log(c["E"] + c["A"] * sizes ** -c["alpha"])
        line = best_line(u, logs, lambda lines: np.sum((lines.values(u) - logs) ** 2, axis=1))
        own |= {
            "G0": float(np.exp(line.intercept[0])),
            "tilt_G": float(line.slope[0]),
            "gamma": float(line.bends[0]),
        }
    return np.array([own[name] for name in law.names])


# --- judged on rows that were not fitted ----------------------------------------------------------


@dataclass(frozen=True)
class HeldOut:
    """Errors of each law on rows that it was not fitted to.

    Attributes
    ----------
    errors
        log(predicted) - log(observed) by law, shape (n_cells,) each; NaN where not held out.
    n_failed
        Fits that could not be made, by law.
    """

    errors: dict[str, FloatArray]
    n_failed: dict[str, int]

    def root_mean_square(self, name: str) -> float:
        """Over the rows held out; NaN where a fit failed."""
        if self.n_failed[name] or name not in self.errors:
            return float("nan")
        errors = self.errors[name]
        return float(np.sqrt(np.mean(errors[np.isfinite(errors)] ** 2)))

    def bias(self, name: str) -> float:
        """Mean error: above 0 where the law predicts too much."""
        if self.n_failed[name]:
            return float("nan")
        return float(np.nanmean(self.errors[name]))


def held_out_errors(cells: Cells, fold: NDArray[np.int64], plan: Plan, whole: Fits) -> HeldOut:
    """Errors of fits without each fold; a fold of -1 is always fitted.

    Refits of the laws on the engine start from the optima on all rows and keep the term of size
    chosen there; the stages are carried out anew.
    """
    errors = {
        name: held_out_residuals(whole.of(name), fold) for name in whole.names if name != _STAGED
    }
    failed = dict.fromkeys(LAWS, 0)
    errors[_STAGED], failed[_STAGED] = np.full(len(cells), np.nan), int(whole.staged is None)
    for number in track(sorted(set(fold[fold >= 0].tolist())), "holding rows out"):
        out = fold == number
        kept, held = cells.take(~out), cells.take(out)
        try:
            staged = fit_staged(kept.parameters, kept.tokens, kept.loss, criterion=plan.criterion)
        except InputError:
            failed[_STAGED] += 1
            continue
        predicted = staged.loss(held.parameters, held.tokens)
        errors[_STAGED][out] = np.log(predicted) - np.log(held.loss)
    return HeldOut(errors, failed)


def random_folds(cells: Cells, rng: np.random.Generator, n_folds: int = 5) -> NDArray[np.int64]:
    """Fold of each row; rows at the edge of the grid are held out like others."""
    return np.asarray(rng.permutation(len(cells)) % min(n_folds, len(cells)), dtype=np.int64)


@dataclass(frozen=True)
class Beyond:
    """Laws fitted to the cheaper runs and judged on the dearer ones.

    Attributes
    ----------
    cut
        Compute that was fitted up to.
    above
        Rows predicted, shape (n_cells,).
    held_out
        Their errors.
    coverage
        Share of them within the 95 % interval for a new run, by law that has one.
    fits
        The fits below the cut.
    """

    cut: float
    above: NDArray[np.bool_]
    held_out: HeldOut
    coverage: dict[str, float]
    fits: Fits


def judge_beyond(
    cells: Cells, cut: float, plan: Plan, rng: np.random.Generator, whole: Fits
) -> Beyond:
    """Fit below a compute cut, predict above it, with intervals where the law has them."""
    above = cells.compute > cut
    fits = fit_all(cells.take(~above), plan, rng, whole)
    out = cells.take(above)
    errors = {name: np.full(len(cells), np.nan) for name in LAWS}
    failed = {name: int(name not in fits.names) for name in LAWS}
    coverage = {}
    for name in fits.names:
        errors[name][above] = np.log(fits.predict(name, out.inputs)) - np.log(out.loss)
        if name in ("chinchilla", "farseer, joint"):
            draws = draws_of(fits.of(name), plan, rng)
            _, low, high = draws.predict(out.inputs, 0.95, new_run=True, rng=rng)
            coverage[name] = float(np.mean((low <= out.loss) & (out.loss <= high)))
    return Beyond(cut, above, HeldOut(errors, failed), coverage, fits)


def draws_of(fit: LawFit, plan: Plan, rng: np.random.Generator) -> Draws:
    """Bootstrap draws of a fit."""
    try:
        return bootstrap(fit, plan.n_draws, kind=plan.resample, rng=rng)
    except ConvergenceError as error:
        raise ConvergenceError(
            f"{error}: the runs do not carry its {fit.n_free} constants; add sizes, and lengths of "
            "training of each"
        ) from None
