"""The objective, and its least-squares system in which every family is eliminated first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from statlas.scaling.sloth.law import Features, FloatArray, IntArray, ModelScores, SkillLaw


@dataclass(frozen=True)
class System:
    """Gauss-Newton matrix and gradient, split into shared parameters and families.

    Shared are slopes, loadings and intercept, in this order, row by row.
    """

    shared: FloatArray  # (n_shared, n_shared)
    gradient: FloatArray  # (n_shared,)
    family: FloatArray  # (n_families, n_skills, n_skills)
    family_gradient: FloatArray  # (n_families, n_skills)
    cross: FloatArray  # (n_families, n_skills, n_shared)


@dataclass(frozen=True)
class Problem:
    """The data as the fit sees them: rows sorted by family, missing scores with weight 0."""

    design: FloatArray  # features, (n_models, n_features)
    scores: FloatArray  # missing ones set to 0
    observed: FloatArray  # 1 or 0
    family: IntArray
    present: IntArray  # families that have rows
    first_row: IntArray  # of each of them
    n_families: int
    huber: float
    shrinkage: float

    @classmethod
    def of(cls, data: ModelScores, features: Features, huber: float, shrinkage: float) -> Problem:
        """The problem of some models, with features that may come from others."""
        order = np.argsort(data.family, kind="stable")
        data = data.rows(order)
        present, first_row = np.unique(data.family, return_index=True)
        seen = np.isfinite(data.scores)
        return cls(
            features(data.size, data.tokens), np.where(seen, data.scores, 0.0), seen.astype(float),
            data.family, present, first_row, data.n_families, huber, shrinkage,
        )  # fmt: skip

    def by_family(self, values: FloatArray) -> FloatArray:
        """Sums over the rows of each family; `values` has a row a model."""
        total = np.zeros((self.n_families, *values.shape[1:]))
        if len(values):
            total[self.present] = np.add.reduceat(values, self.first_row, axis=0)
        return total

    def linear(self, law: SkillLaw) -> tuple[FloatArray, FloatArray]:
        """Skills and linear scale of the rows."""
        skills = self.design @ law.slopes + law.efficiency[self.family]
        return skills, skills @ law.loadings + law.intercept

    def per_family(self, law: SkillLaw) -> FloatArray:
        """The objective by family, shape (n_families,)."""
        size = np.abs(law.links.value(self.linear(law)[1]) - self.scores) * self.observed
        inside = np.minimum(size, self.huber)
        shift = law.efficiency @ law.loadings
        total = self.by_family((inside * (size - 0.5 * inside)).sum(axis=1))
        penalised: FloatArray = total + 0.5 * self.shrinkage * (shift**2).sum(axis=1)
        return penalised

    def objective(self, law: SkillLaw) -> float:
        """Huber's function of all residuals, plus the penalty."""
        return float(self.per_family(law).sum())

    def weights(self, residual: FloatArray) -> FloatArray:
        """Weights under which squares bound Huber's function from above."""
        size = np.maximum(np.abs(residual), 1e-300)
        bound: FloatArray = np.minimum(1.0, self.huber / size) * self.observed
        return bound

    def cells(self, law: SkillLaw) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Skills, and curvature and gradient of the objective in every cell's linear scale."""
        skills, eta = self.linear(law)
        value, bend = law.links(eta)
        residual = value - self.scores
        weighted = self.weights(residual) * bend
        return skills, weighted * bend, weighted * residual

    def family_system(self, law: SkillLaw) -> tuple[FloatArray, FloatArray]:
        """Matrix and gradient of each family's efficiency, all else held."""
        _, curve, pull = self.cells(law)
        return self._family_part(law, self.by_family(curve), self.by_family(pull))

    def _family_part(
        self, law: SkillLaw, curve: FloatArray, pull: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        loads, n_skills = law.loadings, law.n_skills
        penalty = self.shrinkage * loads @ loads.T
        pairs = (loads[:, None] * loads).reshape(n_skills**2, -1)
        matrix = (curve @ pairs.T).reshape(-1, n_skills, n_skills) + penalty
        return matrix, pull @ loads.T + law.efficiency @ penalty

    def system(self, law: SkillLaw) -> System:
        """Matrix and gradient of all parameters.

        A cell's linear scale moves with the shared parameters as local @ chain of its benchmark,
        where local holds features, skills and 1, and with its family as the loadings. The penalty
        acts as one more cell for each family and benchmark: weight `shrinkage`, residual the
        shift, local the efficiency in the place of the skills.
        """
        skills, curve, pull = self.cells(law)
        local = np.column_stack([self.design, skills, np.ones(len(skills))])
        n_local, n_bench = local.shape[1], curve.shape[1]
        as_skill = slice(n_local - 1 - law.n_skills, n_local - 1)
        squares = (local[:, :, None] * local[:, None, :]).reshape(len(local), -1)
        moment = (curve.T @ squares).reshape(n_bench, n_local, n_local)
        moment[:, as_skill, as_skill] += self.shrinkage * law.efficiency.T @ law.efficiency
        sums = pull.T @ local  # (n_bench, n_local)
        shift = law.efficiency @ law.loadings
        sums[:, as_skill] += self.shrinkage * shift.T @ law.efficiency
        of_family = self.by_family(curve[:, :, None] * local[:, None, :])
        family, family_gradient = self._family_part(law, of_family[:, :, -1], self.by_family(pull))
        of_family[:, :, as_skill] += self.shrinkage * law.efficiency[:, None, :]

        chain = _chain(law)
        shared = (chain.transpose(0, 2, 1) @ moment @ chain).sum(axis=0)
        gradient = np.einsum("jq,jqs->s", sums, chain)
        spread = law.loadings[:, :, None, None] * chain  # (n_skills, n_bench, n_local, n_shared)
        flat = spread.reshape(law.n_skills, n_bench * n_local, -1).transpose(1, 0, 2)
        cross = of_family.reshape(-1, len(flat)) @ flat.reshape(len(flat), -1)
        return System(
            shared, gradient, family, family_gradient,
            cross.reshape(self.n_families, law.n_skills, -1),
        )  # fmt: skip


def _chain(law: SkillLaw) -> FloatArray:
    """Derivatives of (slopes' @ feature, skill, 1) sums in the shared parameters.

    Shape (n_bench, n_features + n_skills + 1, n_shared): a feature's place moves with its slopes by
    the loadings, a skill's with its own loading, the last with the intercept.
    """
    (n_features, n_skills), n_bench = law.slopes.shape, len(law.intercept)
    n_slopes = n_features * n_skills
    chain = np.zeros((n_bench, n_features + n_skills + 1, n_slopes + (n_skills + 1) * n_bench))
    bench = np.arange(n_bench)
    for feature in range(n_features):
        own = slice(feature * n_skills, (feature + 1) * n_skills)
        chain[:, feature, own] = law.loadings.T
    for skill in range(n_skills):
        chain[bench, n_features + skill, n_slopes + skill * n_bench + bench] = 1.0
    chain[bench, -1, n_slopes + n_skills * n_bench + bench] = 1.0
    return chain


def eliminate(system: System, damping: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Matrix and gradient of the shared parameters with the families solved for.

    Also returned are the families' solutions for each shared parameter, and last for their own
    gradient, shape (n_families, n_skills, n_shared + 1).
    """
    family = system.family.copy()
    places = np.arange(family.shape[1])
    floor = 1e-10 * max(float(family[:, places, places].max()), 1e-300)
    family[:, places, places] += damping * family[:, places, places] + floor
    right = np.concatenate([system.cross, system.family_gradient[:, :, None]], axis=2)
    solved = np.linalg.solve(family, right)
    n_shared = len(system.gradient)
    flat = system.cross.reshape(-1, n_shared)
    reduced = system.shared - flat.T @ solved[:, :, :-1].reshape(-1, n_shared)
    gradient = system.gradient - flat.T @ solved[:, :, -1].ravel()
    reduced[np.diag_indices(n_shared)] += damping * np.diag(system.shared)
    return reduced, gradient, solved
