"""Networks that end in a distribution over distributions; torch is imported when they are made.

A network is a small object with `modules` (its parameters, for the optimiser) and a call from
standardised features (n, n_features) to concentrations (n, n_classes), or to the four parameters of
normal-inverse-gamma distributions (n, 4).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from statlas.models.training import (
    Module,
    Tensor,
    TorchGenerator,
    dense_layer,
    perceptron,
    require_torch,
)

Density = Literal["radial", "mixture"]

# Log evidence is kept in this range, as in the code of natural posterior networks.
_LARGEST_LOG_EVIDENCE = 30.0
# Prior of natural posterior regression on standardised targets, worth one observation.
_PRIOR_DEVIATION = 10.0
# Evidence and shape that stand for none of the doubt being about mean and variance.
SURE = 1e6


def bounded(values: Tensor, limit: float = _LARGEST_LOG_EVIDENCE) -> Tensor:
    """Values within +-limit; gradients pass as if nothing had been cut."""
    return values + (values.clamp(-limit, limit) - values).detach()


# --- densities ------------------------------------------------------------------------------------


class RadialFlows:
    """Several normalising flows of radial layers side by side, base distribution standard normal.

    A layer maps z to z + b h(a, r) (z - c) with r = |z - c|, h = 1 / (a + r) and b > -a
    (Rezende and Mohamed, 2015).
    """

    def __init__(self, n_flows: int, latent: int, layers: int, generator: TorchGenerator):
        torch = require_torch()
        bound = 1 / math.sqrt(latent)

        def drawn(*shape: int) -> Any:
            values = torch.empty(*shape, dtype=torch.float64)
            return torch.nn.Parameter(values.uniform_(-bound, bound, generator=generator))

        self.latent = latent
        self.centre = drawn(layers, n_flows, latent)
        self.raw_a, self.raw_b = drawn(layers, n_flows), drawn(layers, n_flows)
        self.modules = torch.nn.ParameterList([self.centre, self.raw_a, self.raw_b])

    def log_density(self, z: Tensor) -> Tensor:
        """Log density of each row under each flow, shape (n, n_flows)."""
        softplus = require_torch().nn.functional.softplus
        a = softplus(self.raw_a)
        b = softplus(self.raw_b) - a
        moved = z[:, None, :].expand(-1, self.centre.shape[1], -1)
        log_jacobian = 0.0
        for layer in range(len(self.centre)):
            offset = moved - self.centre[layer]
            radius = (offset**2).sum(-1).clamp_min(1e-24).sqrt()
            h = 1 / (a[layer] + radius)
            stretch = 1 + b[layer] * h
            along = stretch - b[layer] * radius * h**2
            moved = moved + (b[layer] * h)[..., None] * offset
            log_jacobian = log_jacobian + (self.latent - 1) * stretch.log() + along.log()
        squares = (moved**2).sum(-1)
        return log_jacobian - 0.5 * squares - 0.5 * self.latent * math.log(2 * math.pi)


class Mixtures:
    """Several mixtures of normal densities with diagonal covariance side by side."""

    def __init__(self, n_mixtures: int, latent: int, components: int, generator: TorchGenerator):
        torch = require_torch()
        start = torch.empty(n_mixtures, components, latent, dtype=torch.float64)
        self.centre = torch.nn.Parameter(start.uniform_(-1, 1, generator=generator))
        self.log_deviation = torch.nn.Parameter(torch.zeros_like(start))
        self.log_share = torch.nn.Parameter(torch.zeros(n_mixtures, components).double())
        self.modules = torch.nn.ParameterList([self.centre, self.log_deviation, self.log_share])

    def log_density(self, z: Tensor) -> Tensor:
        """Log density of each row under each mixture, shape (n, n_mixtures)."""
        scaled = (z[:, None, None, :] - self.centre) * (-self.log_deviation).exp()
        constant = 0.5 * z.shape[1] * math.log(2 * math.pi)
        each = -0.5 * (scaled**2).sum(-1) - self.log_deviation.sum(-1) - constant
        return (each + self.log_share.log_softmax(-1)).logsumexp(-1)


def _densities(
    kind: Density, count: int, latent: int, parts: int, generator: TorchGenerator
) -> RadialFlows | Mixtures:
    if kind == "mixture":
        return Mixtures(count, latent, parts, generator)
    return RadialFlows(count, latent, parts, generator)


class _Latent:
    """An encoder whose outputs are standardised by batch normalisation."""

    def __init__(self, widths: tuple[int, ...], generator: TorchGenerator):
        torch = require_torch()
        self.encoder = perceptron(widths, generator)
        self.norm = torch.nn.BatchNorm1d(widths[-1], dtype=torch.float64)
        self.modules = torch.nn.ModuleList([self.encoder, self.norm])

    def __call__(self, x: Tensor) -> Tensor:
        z = self.encoder(x)
        if len(z) == 1 and self.norm.training:  # one row has no spread to divide by
            return require_torch().nn.functional.batch_norm(
                z, self.norm.running_mean, self.norm.running_var, self.norm.weight, self.norm.bias
            )
        return self.norm(z)


# --- classification -------------------------------------------------------------------------------


class DirichletHead:
    """A perceptron whose outputs become concentrations by a link.

    Parameters
    ----------
    widths
        Inputs, hidden units, classes.
    link
        ``"exp"``, or ``"one-plus-softplus"`` for non-negative evidence on top of a flat prior.
    """

    def __init__(self, widths: tuple[int, ...], link: str, generator: TorchGenerator):
        self.modules: Module = perceptron(widths, generator)
        self.link = link

    def __call__(self, x: Tensor) -> Tensor:
        """Concentrations, shape (n, n_classes)."""
        outputs = self.modules(x)
        if self.link == "exp":
            return bounded(outputs).exp()
        return 1 + require_torch().nn.functional.softplus(outputs)


class PosteriorNetwork:
    """Concentrations 1 + N_c p(z | c): class counts spread over the latent space by densities.

    Parameters
    ----------
    widths
        Inputs, hidden units, latent dimensions.
    counts
        Training rows of each class, shape (n_classes,).
    density, parts
        Kind of class-conditional density, layers of a flow or components of a mixture.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        counts: NDArray[Any],
        density: Density,
        parts: int,
        generator: TorchGenerator,
    ):
        torch = require_torch()
        self.latent = _Latent(widths, generator)
        self.densities = _densities(density, len(counts), widths[-1], parts, generator)
        self.log_counts = torch.from_numpy(np.log(counts.astype(float)))
        self.modules = torch.nn.ModuleList([self.latent.modules, self.densities.modules])

    def __call__(self, x: Tensor) -> Tensor:
        """Concentrations, shape (n, n_classes)."""
        log_density = self.densities.log_density(self.latent(x))
        return 1 + bounded(self.log_counts + log_density).exp()


class _Natural:
    """Latent space, one density over it, and an output layer: what natural posteriors share."""

    def __init__(
        self,
        widths: tuple[int, ...],
        n_outputs: int,
        density: Density,
        parts: int,
        generator: TorchGenerator,
    ):
        torch = require_torch()
        self.latent = _Latent(widths, generator)
        self.density = _densities(density, 1, widths[-1], parts, generator)
        self.output = dense_layer(widths[-1], n_outputs, generator)
        # A standard normal then gives the origin the same evidence in any dimension.
        self.log_budget = 0.5 * math.log(4 * math.pi) * widths[-1]
        self.modules = torch.nn.ModuleList([self.latent.modules, self.density.modules, self.output])

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evidence (n,) and outputs (n, n_outputs)."""
        z = self.latent(x)
        evidence = bounded(self.density.log_density(z)[:, 0] + self.log_budget).exp()
        return evidence, self.output(z)

    def surprise(self, x: Tensor) -> Tensor:
        """Minus the log density of the rows in a latent space that is held fixed, shape (n,)."""
        with require_torch().no_grad():
            z = self.latent(x)
        return -self.density.log_density(z)[:, 0]


class NaturalDirichlet(_Natural):
    """Concentrations 1 + n(x) p(x): evidence from one density, probabilities from a softmax."""

    def __call__(self, x: Tensor) -> Tensor:
        """Concentrations, shape (n, n_classes)."""
        evidence, outputs = self.read(x)
        return 1 + evidence[:, None] * outputs.softmax(-1)


# --- regression -----------------------------------------------------------------------------------


class InverseGammaHead:
    """A perceptron to the four parameters, made positive by softplus and shape above 1."""

    def __init__(self, widths: tuple[int, ...], generator: TorchGenerator):
        self.modules: Module = perceptron((*widths, 4), generator)

    def __call__(self, x: Tensor) -> Tensor:
        """Location, evidence, shape and scale, shape (n, 4)."""
        torch = require_torch()
        outputs = self.modules(x)
        positive = torch.nn.functional.softplus(outputs[:, 1:]) + 1e-9
        evidence, shape, scale = positive.unbind(-1)
        return torch.stack([outputs[:, 0], evidence, 1 + shape, scale], dim=-1)


class NormalHead:
    """A perceptron to mean and variance, as a normal-inverse-gamma that is sure of both."""

    def __init__(self, widths: tuple[int, ...], generator: TorchGenerator):
        self.modules: Module = perceptron((*widths, 2), generator)

    def __call__(self, x: Tensor) -> Tensor:
        """Mean, two columns of `SURE`, and that times the variance, shape (n, 4)."""
        torch = require_torch()
        mean, log_variance = self.modules(x).unbind(-1)
        sure = torch.full_like(mean, SURE)
        return torch.stack([mean, sure, sure, SURE * bounded(log_variance).exp()], dim=-1)


class NaturalInverseGamma(_Natural):
    """Bayes' rule with n(x) pseudo-observations of a predicted mean and variance."""

    def __call__(self, x: Tensor) -> Tensor:
        """Location, evidence, shape and scale, shape (n, 4)."""
        torch = require_torch()
        evidence, outputs = self.read(x)
        mean, log_precision = outputs.unbind(-1)
        total = evidence + 1
        location = evidence * mean / total
        # Spread of predicted observations and prior around the location, without cancellation.
        within = evidence * bounded(-log_precision).exp() + _PRIOR_DEVIATION**2
        between = evidence / total * mean**2
        scale = 0.5 * (within + between)
        return torch.stack([location, total, 0.5 * total, scale], dim=-1)
