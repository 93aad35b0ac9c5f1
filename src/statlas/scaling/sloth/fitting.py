"""Fitting the law: damped Gauss-Newton steps on the problem with the families eliminated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import logit

from statlas.core import ConvergenceError
from statlas.scaling.sloth.law import Features, FloatArray, Links, ModelScores, SkillLaw
from statlas.scaling.sloth.links import best_links
from statlas.scaling.sloth.problem import Problem, System, eliminate

HUBER = 0.01  # of the official code, in score units
SHRINKAGE = 1e-3  # least error on families held out of two tables; flat from 3e-4 to 3e-3
TOLERANCE = 1e-6  # share of the objective that three steps in a row must gain to go on
_SCOUTING = 8  # steps of each start before the best goes on alone
_LINK_ROUNDS, _LINK_STEPS = 12, 12


def fit_law(
    data: ModelScores,
    floor: FloatArray,
    *,
    n_skills: int = 2,
    trained_link: bool = False,
    huber: float = HUBER,
    shrinkage: float = SHRINKAGE,
    n_starts: int = 2,
    start: SkillLaw | None = None,
    tolerance: float = TOLERANCE,
    max_iterations: int = 300,
    rng: np.random.Generator | None = None,
) -> SkillLaw:
    """Fit skills, efficiencies and loadings to the scores that are there.

    Minimised is the sum over observed scores of Huber's function of predicted less observed, plus
    shrinkage / 2 times the sum over families and benchmarks of the squared shift that the
    family's efficiency makes on the linear scale. Both are the same whatever the axes of the
    skills. The penalty settles families with too few scores for their intercepts.

    Parameters
    ----------
    data
        Models, with NaN for missing scores and unknown tokens.
    floor
        Guess rate of each benchmark, in [0, 1), shape (n_benchmarks,).
    n_skills
        Number of latent skills, at most the number of benchmarks.
    trained_link
        Whether each benchmark gets a monotone link of its own instead of the sigmoid.
    huber
        Where Huber's function becomes linear, in score units; ``inf`` for least squares.
    shrinkage
        Weight of the penalty, in squared score units.
    n_starts
        Cold starts: one from a truncated decomposition, the others disturbed.
    start
        A fit to other data with as many families and benchmarks, to start from besides; its
        links are the first ones that are trained.
    tolerance
        Gain of a step, as a share of the objective, below which three steps in a row end the fit.
    max_iterations
        Most steps.
    rng
        Disturbs the starts; a fixed generator by default.

    Raises
    ------
    ConvergenceError
        If no start reaches a finite objective.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> size, family = np.tile([1.0, 2.0, 4.0, 8.0], 6), np.repeat(np.arange(6), 4)
    >>> tokens = rng.uniform(1, 5, 24)
    >>> eta = (np.log(size) + rng.normal(size=6)[family])[:, None] * [0.5, 0.8, 0.6]
    >>> data = ModelScores(size, tokens, family, 6, 1 / (1 + np.exp(-eta)))
    >>> law = fit_law(data, np.zeros(3), n_skills=1)
    >>> error = law.predict(size, tokens, law.efficiency[family]) - data.scores
    >>> bool(np.abs(error).max() < 0.02)
    True
    """
    rng = np.random.default_rng(0) if rng is None else rng
    features = Features.of(data) if start is None else start.features
    problem = Problem.of(data, features, huber, shrinkage)
    first = _first_guess(data, features, Links.sigmoid(floor), n_skills)
    starts = [first, *(_disturbed(first, rng) for _ in range(n_starts - 1))][:n_starts]
    if start is not None:
        placed = place_families(start, data, huber=huber, shrinkage=shrinkage)
        starts.append(replace(placed, iterations=0))
    scouted = [_minimise(problem, guess, tolerance, _SCOUTING) for guess in starts]
    finite = [law for law in scouted if np.isfinite(law.objective)]
    if not finite:
        raise ConvergenceError("no start of the skill law reached a finite objective")
    best = min(finite, key=lambda law: law.objective)
    if trained_link:
        best = _train_links(problem, best, tolerance)
    return best if best.converged else _minimise(problem, best, tolerance, max_iterations)


def place_families(
    law: SkillLaw,
    data: ModelScores,
    *,
    huber: float = HUBER,
    shrinkage: float = SHRINKAGE,
    steps: int = 40,
) -> SkillLaw:
    """The law with efficiencies re-estimated from `data`, all else held.

    Every family takes damped steps of its own. A family without scores in `data` is left at 0.
    """
    problem = Problem.of(data, law.features, huber, shrinkage)
    law = replace(law, efficiency=np.zeros((data.n_families, law.n_skills)))
    value, damping = problem.per_family(law), np.full(data.n_families, 1e-3)
    places = np.arange(law.n_skills)
    for _ in range(steps):
        matrix, gradient = problem.family_system(law)
        matrix[:, places, places] = matrix[:, places, places] * (1 + damping[:, None]) + 1e-12
        step = np.linalg.solve(matrix, gradient[:, :, None])[:, :, 0]
        trial = replace(law, efficiency=law.efficiency - step)
        new = problem.per_family(trial)
        better = new < value
        law = replace(law, efficiency=np.where(better[:, None], trial.efficiency, law.efficiency))
        gain = np.where(better, value - new, 0.0)
        value = np.where(better, new, value)
        damping = np.where(better, damping / 10, damping * 10)
        if np.all(gain <= TOLERANCE * value) and np.all(better | (damping > 1e3)):
            break
    return law


def determined_rank(data: ModelScores, law: SkillLaw) -> tuple[int, int]:
    """Number of shared directions that the scores determine, and the number there can be.

    Neither the axes of the skills (n_skills^2) nor their origin (n_skills) ever count. The
    penalty is left out.
    """
    problem = Problem.of(data, law.features, np.inf, 0.0)
    system = problem.system(law)
    reduced, _, _ = eliminate(system, 0.0)
    # In units of what each parameter does before the families take their share.
    scale = np.sqrt(np.maximum(np.diag(system.shared), 1e-300))
    roots = np.linalg.eigvalsh(reduced / scale[:, None] / scale)
    possible = len(roots) - law.n_skills**2 - law.n_skills
    return min(int((roots > 1e-7 * roots.max()).sum()), possible), possible


# --- minimising --------------------------------------------------------------------------------


def _minimise(problem: Problem, law: SkillLaw, tolerance: float, steps: int) -> SkillLaw:
    """At most so many steps; each is lengthened for as long as that lowers the objective."""
    value, damping, calm, taken = problem.objective(law), 1e-3, 0, 0
    while taken < steps and calm < 3:
        taken += 1
        system = problem.system(law)
        for _ in range(12):
            trial = _moved(law, system, damping)
            new = problem.objective(trial)
            if new < value:
                break
            damping *= 6
        else:  # no shorter step is lower in double precision
            calm = 3
            break
        trial, new = _lengthened(problem, law, trial, new)
        calm = calm + 1 if value - new <= tolerance * value else 0
        law, value, damping = trial, new, max(damping / 5, 1e-9)
    return replace(law, objective=value, converged=calm >= 3, iterations=law.iterations + taken)


def _moved(law: SkillLaw, system: System, damping: float) -> SkillLaw:
    """One damped Gauss-Newton step of all parameters."""
    reduced, gradient, solved = eliminate(system, damping)
    reduced[np.diag_indices(len(gradient))] += 1e-12 * np.trace(reduced) / len(gradient)
    step = np.linalg.lstsq(reduced, gradient, rcond=1e-14)[0]
    of_families = solved[:, :, -1] - solved[:, :, :-1] @ step
    n_slopes, n_loadings = law.slopes.size, law.loadings.size
    slopes, loadings, intercept = np.split(step, [n_slopes, n_slopes + n_loadings])
    return replace(
        law,
        slopes=law.slopes - slopes.reshape(law.slopes.shape),
        loadings=law.loadings - loadings.reshape(law.loadings.shape),
        intercept=law.intercept - intercept,
        efficiency=law.efficiency - of_families,
    )


def _lengthened(
    problem: Problem, law: SkillLaw, trial: SkillLaw, value: float
) -> tuple[SkillLaw, float]:
    """The step from `law` to `trial` doubled until that no longer pays.

    Huber's bound makes steps short where most residuals are beyond its threshold; without this
    the last per mille takes a hundred steps.
    """
    best = trial
    for doubling in range(1, 6):
        longer = _beyond(law, trial, 2.0**doubling)
        new = problem.objective(longer)
        if not new < value:
            break
        best, value = longer, new
    return best, value


def _beyond(law: SkillLaw, trial: SkillLaw, times: float) -> SkillLaw:
    """The point at so many times the way from one law to another."""
    names = ("slopes", "loadings", "intercept", "efficiency")
    ends = {name: (getattr(law, name), getattr(trial, name)) for name in names}
    return replace(trial, **{name: a + times * (b - a) for name, (a, b) in ends.items()})


def _train_links(problem: Problem, law: SkillLaw, tolerance: float) -> SkillLaw:
    """Links and law in turn; every turn lowers the objective, so the sigmoid bounds it."""
    enough = max(10 * tolerance, 1e-4)
    law = _minimise(problem, law, 1e-3, _LINK_STEPS)
    for _ in range(_LINK_ROUNDS):
        before = law.objective
        eta = problem.linear(law)[1]
        weights = problem.weights(law.links.value(eta) - problem.scores)
        trial = replace(law, links=best_links(law.links, eta, problem.scores, weights))
        value = problem.objective(trial)
        law = replace(trial if value < before else law, converged=False)
        law = _minimise(problem, law, enough, _LINK_STEPS)
        if before - law.objective <= enough * before:
            break
    return replace(law, converged=False)


# --- starts ------------------------------------------------------------------------------------


def _first_guess(data: ModelScores, features: Features, links: Links, n_skills: int) -> SkillLaw:
    """Ridge on features and families of the scores' logits, then its leading directions."""
    share = (data.scores - links.floor) / (1 - links.floor)
    target = logit(np.clip(share, 0.02, 0.98))
    seen = np.isfinite(target)
    counted = np.maximum(seen.sum(axis=0), 1)
    intercept = np.where(seen, target, 0.0).sum(axis=0) / counted
    target = np.where(seen, target - intercept, 0.0)
    x = features(data.size, data.tokens)
    slopes, shift = _ridge(x, target, data)
    _, _, axes = np.linalg.svd(x @ slopes + shift[data.family], full_matrices=False)
    loadings = np.zeros((n_skills, target.shape[1]))
    loadings[: len(axes)] = axes[:n_skills]
    return SkillLaw(slopes @ loadings.T, shift @ loadings.T, loadings, intercept, features, links)


def _ridge(x: FloatArray, target: FloatArray, data: ModelScores) -> tuple[FloatArray, FloatArray]:
    """Slopes of each benchmark and shifts of the families, each in turn."""
    members = np.bincount(data.family, minlength=data.n_families) + 0.3
    order = np.argsort(data.family, kind="stable")
    present, first = np.unique(data.family[order], return_index=True)
    slopes = np.zeros((x.shape[1], target.shape[1]))
    shift = np.zeros((data.n_families, target.shape[1]))
    gram = x.T @ x + 0.1 * np.eye(x.shape[1])
    for _ in range(20):
        left = (target - x @ slopes)[order]
        shift[present] = np.add.reduceat(left, first) / members[present, None]
        slopes = np.asarray(np.linalg.solve(gram, x.T @ (target - shift[data.family])))
    return slopes, shift


def _disturbed(law: SkillLaw, rng: np.random.Generator) -> SkillLaw:
    def moved(values: FloatArray) -> FloatArray:
        size = np.abs(values).max() + 0.1
        shaken: FloatArray = values + 0.3 * size * rng.normal(size=values.shape)
        return shaken

    return replace(
        law, slopes=moved(law.slopes), loadings=moved(law.loadings), intercept=moved(law.intercept)
    )
