"""The law: features of size and tokens, monotone links, and what a fit holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_TRANSLOG = ("log size", "log tokens", "log size x log tokens")


@dataclass(frozen=True)
class ModelScores:
    """Scores of models on benchmarks, with size, tokens and family of each model.

    Attributes
    ----------
    size, tokens
        Parameters and training tokens, positive, in any one unit each, shape (n_models,); tokens
        are NaN where they are not known.
    family
        Family of each model, 0 to n_families - 1, shape (n_models,).
    n_families
        Number of families; a family may have no model here.
    scores
        Shape (n_models, n_benchmarks); NaN where a model has no score.
    """

    size: FloatArray
    tokens: FloatArray
    family: IntArray
    n_families: int
    scores: FloatArray

    def rows(self, chosen: NDArray[np.bool_] | IntArray) -> ModelScores:
        """The chosen models, families numbered as before."""
        return replace(
            self,
            size=self.size[chosen],
            tokens=self.tokens[chosen],
            family=self.family[chosen],
            scores=self.scores[chosen],
        )


@dataclass(frozen=True)
class Features:
    """Centred log size, log tokens and their product: the translog form.

    Centring changes no prediction: with an intercept both sets of features span the same space.
    Unknown tokens stand at the centre; a family trained on one unknown amount has the rest of
    their effect in its efficiency. Where no tokens are known, or all are equal, log size is the
    only feature.
    """

    centre: tuple[float, float]
    with_tokens: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features in order."""
        return _TRANSLOG if self.with_tokens else _TRANSLOG[:1]

    @classmethod
    def of(cls, data: ModelScores) -> Features:
        """Centre on the means of the models given."""
        known = np.isfinite(data.tokens)
        log_size, log_tokens = np.log(data.size), np.log(data.tokens[known])
        if len(np.unique(log_tokens)) < 2:
            return cls((float(log_size.mean()), 0.0), with_tokens=False)
        return cls((float(log_size.mean()), float(log_tokens.mean())))

    def __call__(self, size: ArrayLike, tokens: ArrayLike) -> FloatArray:
        """Features, shape (n_models, 3), or (n_models, 1) without tokens."""
        log_size: FloatArray = np.log(np.asarray(size, float)) - self.centre[0]
        if not self.with_tokens:
            return log_size[:, None]
        log_tokens = np.log(np.asarray(tokens, float)) - self.centre[1]
        log_tokens = np.where(np.isnan(log_tokens), 0.0, log_tokens)
        columns: FloatArray = np.column_stack([log_size, log_tokens, log_size * log_tokens])
        return columns


@dataclass(frozen=True)
class Links:
    """Increasing links from the linear scale to scores, one a benchmark.

    Link j is floor_j + sum over k of weight_jk expit((eta - centre_jk) / width_jk); with one term
    of weight 1 - floor it is the sigmoid with a guess rate. All arrays but `floor` have shape
    (n_benchmarks, n_terms).
    """

    floor: FloatArray
    weight: FloatArray
    centre: FloatArray
    width: FloatArray

    @classmethod
    def sigmoid(cls, floor: ArrayLike) -> Links:
        """The fixed link, from the guess rate to 1."""
        low = np.asarray(floor, float)
        one = np.ones((len(low), 1))
        return cls(low, 1 - low[:, None], 0 * one, one)

    @property
    def ceiling(self) -> FloatArray:
        """Largest score of each link."""
        top: FloatArray = self.floor + self.weight.sum(axis=1)
        return top

    def value(self, eta: FloatArray) -> FloatArray:
        """Scores, shape as `eta`, (n_models, n_benchmarks)."""
        total = np.broadcast_to(self.floor, eta.shape).copy()
        for weight, centre, width in self._terms():
            total += weight * expit((eta - centre) / width)
        return total

    def __call__(self, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Scores and their derivatives, shapes as `eta`, (n_models, n_benchmarks)."""
        total, slope = np.broadcast_to(self.floor, eta.shape).copy(), np.zeros_like(eta)
        for weight, centre, width in self._terms():
            bent = expit((eta - centre) / width)
            total += weight * bent
            slope += weight / width * bent * (1 - bent)
        return total, slope

    def _terms(self) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
        """Weight, centre and width of each term, of shape (n_benchmarks,)."""
        return zip(self.weight.T, self.centre.T, self.width.T, strict=True)


@dataclass(frozen=True)
class SkillLaw:
    """A fitted law; skills and loadings have no unique axes until they are rotated.

    Attributes
    ----------
    slopes
        Of the skills in the features, shape (n_features, n_skills).
    efficiency
        Family intercepts of the skills, shape (n_families, n_skills).
    loadings
        Of the benchmarks on the skills, shape (n_skills, n_benchmarks).
    intercept
        Of the benchmarks, shape (n_benchmarks,).
    features, links
        How inputs become features, and how the linear scale becomes scores.
    objective
        Huber sum over observed scores plus the penalty, in squared score units.
    converged
        Whether the last steps no longer lowered the objective.
    iterations
        Steps taken.
    """

    slopes: FloatArray
    efficiency: FloatArray
    loadings: FloatArray
    intercept: FloatArray
    features: Features
    links: Links
    objective: float = np.nan
    converged: bool = False
    iterations: int = 0

    @property
    def n_skills(self) -> int:
        """Number of latent skills."""
        return int(self.slopes.shape[1])

    def skills(self, size: ArrayLike, tokens: ArrayLike, efficiency: FloatArray) -> FloatArray:
        """Skills of models of given efficiency, shape (n_models, n_skills)."""
        found: FloatArray = self.features(size, tokens) @ self.slopes + efficiency
        return found

    def predict(self, size: ArrayLike, tokens: ArrayLike, efficiency: FloatArray) -> FloatArray:
        """Scores of models, shape (n_models, n_benchmarks).

        Parameters
        ----------
        size, tokens
            Shape (n_models,), in the units of the fit.
        efficiency
            Family intercepts, shape (n_models, n_skills) or (n_skills,).
        """
        return self.links.value(
            self.skills(size, tokens, efficiency) @ self.loadings + self.intercept
        )
