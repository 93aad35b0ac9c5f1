"""What the scores do not determine, and where the assumptions look wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from statlas.core import Notice, Status, Value
from statlas.scaling.sloth.axes import SkillAxes
from statlas.scaling.sloth.fitting import determined_rank
from statlas.scaling.sloth.law import FloatArray, ModelScores, SkillLaw
from statlas.scaling.sloth.reading import Named


@dataclass(frozen=True)
class Doubts:
    """Whether the forecasts can be relied on, and what to do where they cannot."""

    status: Status
    advice: str


def find_doubts(
    named: Named,
    law: SkillLaw,
    values: dict[str, Value],
    axes: SkillAxes,
    half_axes: dict[str, FloatArray],
) -> tuple[Doubts, list[Notice]]:
    """Status with advice, and notices of axes and effects that the scores do not determine."""
    notices = _loose_axes(axes, half_axes)
    told_apart = tokens_vary_within(named.data)
    if law.features.with_tokens and not told_apart:
        notices.append(
            Notice("tokens-or-family", "tokens are the same for all models of a family, so scores "
                   "do not tell their effect from the families' efficiency; the pull of the "
                   "efficiencies settles it, and forecasts at a family's own tokens hardly depend "
                   "on it", "do not read slopes of log tokens, nor forecast at other tokens")
        )  # fmt: skip
    if not law.converged:
        advice = "the fit stopped before it settled; use fewer skills"
        return Doubts(Status.NOT_CONVERGED, advice), notices
    doubts = _doubts(named.data, law, values, told_apart)
    if doubts:
        return Doubts(Status.ASSUMPTION_DOUBTFUL, "; ".join(doubts)), notices
    return Doubts(Status.OK, ""), notices


def tokens_vary_within(data: ModelScores) -> bool:
    """Whether log tokens vary within families by more than a thousandth of their variance."""
    known = np.isfinite(data.tokens)
    if not known.any():
        return False
    log, family = np.log(data.tokens[known]), data.family[known]
    mean = _family_means(log, family, data.n_families)
    within = log - mean[family]
    return bool(within.var() > 1e-3 * log.var())


def _family_means(values: FloatArray, family: np.ndarray, n: int) -> FloatArray:
    total = np.bincount(family, values, n)
    mean: FloatArray = total / np.maximum(np.bincount(family, minlength=n), 1)
    return mean


def _doubts(
    data: ModelScores, law: SkillLaw, values: dict[str, Value], told_apart: bool
) -> list[str]:
    doubts = []
    rank, possible = determined_rank(data, law)
    if law.features.with_tokens and not told_apart:
        possible -= law.n_skills
    if rank < possible:
        doubts.append(
            f"the scores determine {rank} of {possible} directions of slopes, loadings and "
            "intercepts; use fewer skills, or add families and sizes"
        )
    for kind in ("one member", "none"):
        cover = values[f"coverage {kind}"]
        if cover.high is not None and cover.level is not None and cover.high < cover.level:
            doubts.append(
                f"{cover.name} is {cover.estimate:.2f} where {cover.level:g} was meant, so "
                "errors of some families are far larger than others'; find them in the held-out "
                "forecasts, and leave out benchmarks or variants that are not comparable"
            )
    return doubts


def _loose_axes(axes: SkillAxes, half_axes: dict[str, FloatArray]) -> list[Notice]:
    """Skills of which no loading is told from 0."""
    loose = np.flatnonzero((np.abs(axes.loadings) <= half_axes["loadings"]).all(axis=1))
    if len(loose) == 0:
        return []
    which = " and ".join(str(place + 1) for place in loose)
    return [
        Notice("loose-skills", f"no loading of skill {which} is told from 0, so its axis is not "
               "determined; forecasts do not depend on axes", "do not interpret it")
    ]  # fmt: skip
