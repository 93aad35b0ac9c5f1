"""Losses of the families on torch tensors: one number a row, concentrations (n, n_classes)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from statlas.models.training import Tensor, require_torch

Row = Callable[[Tensor, Tensor, float], Tensor]  # concentration, one-hot label, weight
Outside = Callable[[Tensor, float], Tensor]  # concentration, weight

ClassFamily = Literal[
    "natural-posterior", "posterior", "evidential", "evidential-cross-entropy",
    "evidential-likelihood", "belief-matching", "information-robust", "prior-reverse",
    "prior-forward", "precision-gap", "plain",
]  # fmt: skip
NumberFamily = Literal["natural-posterior", "evidential", "plain"]
NUMBER_FAMILIES: tuple[NumberFamily, ...] = ("natural-posterior", "evidential", "plain")

# Pseudo-observations of the right class in the target of prior networks.
_TARGET_EVIDENCE = 10.0
# The norm of information-robust Dirichlet networks.
_POWER = 4.0


# --- Dirichlet pieces -----------------------------------------------------------------------------


def dirichlet_divergence(alpha: Tensor, beta: Tensor) -> Tensor:
    """KL(Dirichlet(alpha) || Dirichlet(beta)), shape (n,)."""
    total, other = alpha.sum(-1), beta.sum(-1)
    normaliser = total.lgamma() - other.lgamma() + (beta.lgamma() - alpha.lgamma()).sum(-1)
    gap = alpha.digamma() - total.digamma()[..., None]
    return normaliser + ((alpha - beta) * gap).sum(-1)


def dirichlet_entropy(alpha: Tensor) -> Tensor:
    """Differential entropy, shape (n,): a constant minus the divergence to the uniform."""
    ones = require_torch().ones_like(alpha)
    return -dirichlet_divergence(alpha, ones) - math.lgamma(alpha.shape[-1])


def squared_risk(alpha: Tensor, onehot: Tensor) -> Tensor:
    """Expected squared error of the class probabilities: bias plus variance (Sensoy et al.)."""
    total = alpha.sum(-1, keepdim=True)
    mean = alpha / total
    return ((onehot - mean) ** 2 + mean * (1 - mean) / (total + 1)).sum(-1)


def cross_entropy_risk(alpha: Tensor, onehot: Tensor) -> Tensor:
    """Expected cross-entropy under the Dirichlet, the uncertain cross-entropy."""
    return alpha.sum(-1).digamma() - (onehot * alpha.digamma()).sum(-1)


def marginal_likelihood(alpha: Tensor, onehot: Tensor) -> Tensor:
    """Cross-entropy of the expected probabilities (type II maximum likelihood)."""
    return alpha.sum(-1).log() - (onehot * alpha.log()).sum(-1)


def power_risk(alpha: Tensor, onehot: Tensor, power: float = _POWER) -> Tensor:
    """Bound on the expected l_p error of the class probabilities (Tsiligkaridis, 2019)."""
    torch = require_torch()
    total = alpha.sum(-1)
    right = (onehot * alpha).sum(-1)
    wrong = total - right
    # Both 1 - p_right and each other p_k are beta variables; their moments are ratios of gammas.
    missed = (wrong + power).lgamma() - wrong.lgamma()
    others = (alpha + power).lgamma() - alpha.lgamma()
    others = others.masked_fill(onehot > 0, -math.inf)
    terms = torch.cat([missed[:, None], others], dim=-1).logsumexp(-1)
    return ((terms + total.lgamma() - (total + power).lgamma()) / power).exp()


def misleading(alpha: Tensor, onehot: Tensor) -> Tensor:
    """Concentrations with the evidence of the right class removed."""
    return onehot + (1 - onehot) * alpha


def _to_uniform(alpha: Tensor) -> Tensor:
    return dirichlet_divergence(alpha, require_torch().ones_like(alpha))


# --- classification families ----------------------------------------------------------------------


def _evidential(risk: Callable[[Tensor, Tensor], Tensor]) -> Row:
    def loss(alpha: Tensor, onehot: Tensor, weight: float) -> Tensor:
        return risk(alpha, onehot) + weight * _to_uniform(misleading(alpha, onehot))

    return loss


def _belief_matching(alpha: Tensor, onehot: Tensor, weight: float) -> Tensor:
    return cross_entropy_risk(alpha, onehot) + weight * _to_uniform(alpha)


def _information_robust(alpha: Tensor, onehot: Tensor, weight: float) -> Tensor:
    torch = require_torch()
    rest = misleading(alpha, onehot)
    information = torch.polygamma(1, rest) - torch.polygamma(1, rest.sum(-1, keepdim=True))
    return power_risk(alpha, onehot) + weight * 0.5 * ((rest - 1) ** 2 * information).sum(-1)


def _posterior(alpha: Tensor, onehot: Tensor, weight: float) -> Tensor:
    return cross_entropy_risk(alpha, onehot) - weight * dirichlet_entropy(alpha)


def _prior_forward(alpha: Tensor, onehot: Tensor, weight: float) -> Tensor:
    return dirichlet_divergence(1 + _TARGET_EVIDENCE * onehot, alpha)


def _prior_reverse(alpha: Tensor, onehot: Tensor, weight: float) -> Tensor:
    return dirichlet_divergence(alpha, 1 + _TARGET_EVIDENCE * onehot)


def _precision_gap(alpha: Tensor, onehot: Tensor, weight: float) -> Tensor:
    return marginal_likelihood(alpha, onehot) - weight * alpha.log().sigmoid().mean(-1)


def _plain(alpha: Tensor, onehot: Tensor, weight: float) -> Tensor:
    return marginal_likelihood(alpha, onehot)


def _flat_forward(alpha: Tensor, weight: float) -> Tensor:
    return weight * dirichlet_divergence(require_torch().ones_like(alpha), alpha)


def _flat_reverse(alpha: Tensor, weight: float) -> Tensor:
    return weight * _to_uniform(alpha)


def _low_precision(alpha: Tensor, weight: float) -> Tensor:
    n_classes = alpha.shape[-1]
    uniform = alpha.sum(-1).log() - alpha.log().mean(-1)
    return uniform + (0.5 - 1 / n_classes) * alpha.log().sigmoid().mean(-1)


@dataclass(frozen=True)
class ClassLoss:
    """How a family of classifiers is trained.

    Attributes
    ----------
    row
        Loss of a row with a label.
    outside
        Loss of a row from outside the distribution, where the family trains on such rows.
    link
        From the network's outputs to concentrations; ``"density"`` where densities give them.
    weight
        Default weight of the regulariser.
    annealed
        Whether that weight grows from 0 to its value over the first ten epochs.
    """

    row: Row
    link: Literal["exp", "one-plus-softplus", "density"]
    weight: float
    outside: Outside | None = None
    annealed: bool = False


CLASS_LOSSES: dict[ClassFamily, ClassLoss] = {
    "natural-posterior": ClassLoss(_posterior, "density", 1e-5),
    "posterior": ClassLoss(_posterior, "density", 1e-5),
    "evidential": ClassLoss(_evidential(squared_risk), "one-plus-softplus", 1.0, annealed=True),
    "evidential-cross-entropy": ClassLoss(
        _evidential(cross_entropy_risk), "one-plus-softplus", 1.0, annealed=True
    ),
    "evidential-likelihood": ClassLoss(
        _evidential(marginal_likelihood), "one-plus-softplus", 1.0, annealed=True
    ),
    "belief-matching": ClassLoss(_belief_matching, "exp", 0.01),
    "information-robust": ClassLoss(_information_robust, "one-plus-softplus", 0.1, annealed=True),
    "prior-reverse": ClassLoss(_prior_reverse, "exp", 1.0, _flat_reverse),
    "prior-forward": ClassLoss(_prior_forward, "exp", 1.0, _flat_forward),
    "precision-gap": ClassLoss(_precision_gap, "exp", 0.5, _low_precision),
    "plain": ClassLoss(_plain, "exp", 0.0),
}


# --- regression -----------------------------------------------------------------------------------

NumberLoss = Callable[[Tensor, Tensor, float], Tensor]  # parameters (n, 4), target (n,), weight


def student_loss(parameters: Tensor, target: Tensor) -> Tensor:
    """Negative log density of the predictive Student distribution (Amini et al., Eq. (8))."""
    location, evidence, shape, scale = parameters.unbind(-1)
    width = 2 * scale * (1 + evidence)
    squares = (target - location) ** 2 * evidence + width
    return (
        0.5 * (math.pi / evidence).log()
        - shape * width.log()
        + (shape + 0.5) * squares.log()
        + shape.lgamma()
        - (shape + 0.5).lgamma()
    )


def evidence_penalty(parameters: Tensor, target: Tensor) -> Tensor:
    """Absolute error times total evidence 2 nu + alpha (Amini et al., Eq. (9))."""
    location, evidence, shape, _ = parameters.unbind(-1)
    return (target - location).abs() * (2 * evidence + shape)


def _evidential_regression(parameters: Tensor, target: Tensor, weight: float) -> Tensor:
    return student_loss(parameters, target) + weight * evidence_penalty(parameters, target)


def _natural_regression(parameters: Tensor, target: Tensor, weight: float) -> Tensor:
    """Minus the expected log likelihood, minus `weight` times the entropy of (mean, variance)."""
    location, evidence, shape, scale = parameters.unbind(-1)
    squares = shape / scale * (target - location) ** 2 + 1 / evidence
    expected = 0.5 * (shape.digamma() - scale.log() - math.log(2 * math.pi) - squares)
    entropy = shape + shape.lgamma() - (shape + 1.5) * shape.digamma()
    entropy = entropy + 1.5 * scale.log() - 0.5 * evidence.log()
    return -expected - weight * entropy


def _gaussian(parameters: Tensor, target: Tensor, weight: float) -> Tensor:
    """Minus the normal log likelihood with variance scale / shape."""
    location, variance = parameters[:, 0], parameters[:, 3] / parameters[:, 2]
    return 0.5 * (variance.log() + (target - location) ** 2 / variance + math.log(2 * math.pi))


NUMBER_LOSSES: dict[NumberFamily, tuple[NumberLoss, float]] = {
    "natural-posterior": (_natural_regression, 1e-5),
    "evidential": (_evidential_regression, 0.01),
    "plain": (_gaussian, 0.0),
}
