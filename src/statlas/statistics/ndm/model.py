"""The evidence bound of the deconvolution model, and the steps that raise it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln, multigammaln, psi, zeta

from statlas.statistics.ndm.likelihood import FloatArray, Observations, Quadratic

_NODES = 12  # of the quadrature for E log Gamma(alpha beta)
_LOG_LIMITS = (-7.0, 16.0)  # of the log concentration of a row's proportions
_HALVINGS = 4


@dataclass(frozen=True)
class Prior:
    """Hyperparameters: DP concentrations, global means N(centre, spread), covariances IW."""

    alpha0: float
    centre: FloatArray  # mu_0, (n_features,)
    spread: FloatArray  # sigma_0^2, (n_features,)
    scale: FloatArray  # Psi_0, (n_features,), its diagonal
    freedom: float  # nu_0
    local: bool = True  # whether factors may vary from row to row


@dataclass(frozen=True)
class Globals:
    """What all rows share, as parameters of q."""

    mean: FloatArray  # of mu, (K, M)
    variance: FloatArray  # of mu, (K, M)
    scale: FloatArray  # Psi_k of q(Sigma_k), (K, M, M)
    freedom: float  # nu of q(Sigma_k)
    beta: FloatArray  # Dirichlet parameters of the global proportions, (K,)
    alpha: float  # concentration of local proportions

    @property
    def n_factors(self) -> int:
        """Number of factors."""
        return len(self.mean)

    @cached_property
    def covariance(self) -> FloatArray:
        """1 / E[1 / Sigma_k], shape (K, M, M)."""
        return np.asarray(self.scale / self.freedom, dtype=np.float64)

    @cached_property
    def inverse(self) -> FloatArray:
        """E[1 / Sigma_k]."""
        return np.asarray(np.linalg.inv(self.covariance), dtype=np.float64)

    @cached_property
    def root(self) -> FloatArray:
        """Upper triangular R_k with R_k' R_k = E[1 / Sigma_k]."""
        return np.asarray(np.linalg.cholesky(self.inverse).transpose(0, 2, 1), dtype=np.float64)

    @cached_property
    def share(self) -> FloatArray:
        """Mean of the global proportions."""
        return np.asarray(self.beta / self.beta.sum())

    @cached_property
    def prior_constant(self) -> float:
        """E log of the constant of the Dirichlet density of a row's proportions."""
        rest = self.beta.sum() - self.beta
        gammas = mean_log_gamma(self.beta, rest, np.array(self.alpha))
        return float(gammaln(self.alpha) - gammas.sum())


@dataclass(frozen=True)
class Locals:
    """What each row has of its own, as parameters of q."""

    weights: FloatArray  # lambda_n, Dirichlet parameters of pi_n, (N, K)
    deviation: FloatArray  # d_nk, mean of x_nk - mu_k, (N, K, M)
    quadratic: Quadratic

    @property
    def proportions(self) -> FloatArray:
        """E pi_n."""
        return np.asarray(self.weights / self.weights.sum(axis=1, keepdims=True))

    def rows(self, which: NDArray[np.bool_], other: Locals) -> Locals:
        """These rows where `which` is true, the other's elsewhere."""
        return Locals(
            np.where(which[:, None], self.weights, other.weights),
            np.where(which[:, None, None], self.deviation, other.deviation),
            self.quadratic.rows(which, other.quadratic),
        )

    def take(self, places: NDArray[np.int64]) -> Locals:
        """Some of the rows."""
        return Locals(self.weights[places], self.deviation[places], self.quadratic.take(places))

    def put(self, places: NDArray[np.int64], rows: Locals) -> Locals:
        """The rows with those at `places` replaced; quadratic bounds stay."""
        weights, deviation = self.weights.copy(), self.deviation.copy()
        weights[places], deviation[places] = rows.weights, rows.deviation
        return Locals(weights, deviation, self.quadratic)


# --- the bound ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Moments:
    """What the bound and its derivatives need of the rows, at fixed globals."""

    m: FloatArray  # E pi, (N, K)
    s: FloatArray  # sum of lambda, (N, 1)
    pull: FloatArray  # T = (1 / W + C(m))^-1, (N, M, M)
    logdet: FloatArray  # log |I + W C(m)|, (N,)
    factors: FloatArray  # mu_k + d_nk, (N, K, M)
    fitted: FloatArray  # sum of m_k (mu_k + d_nk), (N, M)
    answer: FloatArray  # B, how deviations answer to pi and mu, (N, M, M)
    loose: FloatArray  # W (1 - B) part and B part of the cost of moving theta, (N, M, M)
    cost: FloatArray  # twice what lies in deviations and in the uncertainty of pi, (N,)
    own: FloatArray  # what each feature's variance of mu_k costs, (N, K, M)


def moments(
    rows: Locals, shared: Globals, particles: FloatArray, prior: Prior,
    pulls: tuple[FloatArray, FloatArray] | None = None,
) -> Moments:  # fmt: skip
    """Moments of theta under q, and what they cost; those last asked for are kept with the rows.

    `pulls` are T and log |I + W C| where they are known already.
    """
    kept = rows.__dict__.get("_moments")
    parts = (shared.mean, shared.variance, shared.scale)
    if kept is not None and all(a is b for a, b in zip(kept[0], parts, strict=True)):
        found: Moments = kept[1]
        return found
    at = _moments(rows, shared, particles, prior, pulls)
    rows.__dict__["_moments"] = (parts, at)
    return at


def _moments(
    rows: Locals, shared: Globals, particles: FloatArray, prior: Prior,
    pulls: tuple[FloatArray, FloatArray] | None,
) -> Moments:  # fmt: skip
    s = rows.weights.sum(axis=1, keepdims=True)
    m = rows.weights / s
    weight = rows.quadratic.precision
    pull, logdet = pulls or _pulls(m, weight, shared, particles, prior)
    factors = shared.mean + rows.deviation
    fitted = _mix(m, factors)
    apart = factors - fitted[:, None, :]
    squares = m * (s * m + 1) / (s + 1)
    if not prior.local:
        cost = ((m[:, None, :] @ apart**2)[:, 0] / (s + 1) * weight).sum(axis=1)
        own = squares[:, :, None] * weight[:, None, :]
        loose = weight[:, :, None] * np.eye(weight.shape[1])
        return Moments(m, s, pull, logdet, factors, fitted, np.zeros_like(pull), loose, cost, own)
    root = shared.root
    answer, stiff = _answers(m, weight, shared.inverse, particles)
    answered = apart @ answer.transpose(0, 2, 1)
    left = apart - answered
    deviation_roots = _rooted(rows.deviation, root)
    answered_roots = _rooted(answered, root)
    p = particles[:, None]
    each = weight_sum(left**2, weight) + s / (s + 2) * weight_sum(
        answered * (answered @ stiff), np.ones_like(weight)
    )
    each = each / (s + 1) + p * (deviation_roots**2).sum(axis=2)
    each += 2 * p / ((s + 1) * (s + 2)) * (answered_roots**2).sum(axis=2)
    each -= 2 * p / (s + 1) * (deviation_roots * answered_roots).sum(axis=2)
    cost = (m * each).sum(axis=1)
    rest = np.eye(weight.shape[1]) - answer
    kept = np.einsum("nij,ni->nj", rest**2, weight)
    taken = np.einsum("nij,nij->nj", answer, stiff @ answer)
    flat = (root.reshape(-1, root.shape[2]) @ answer).reshape(len(m), len(root), -1, root.shape[2])
    single = (flat**2).sum(axis=2) * p[:, :, None]
    lam = rows.weights
    below = (s + 1) * (s + 2)
    own = (
        squares[:, :, None] * kept[:, None, :]
        + (lam * (lam + 1) / below)[:, :, None] * taken[:, None, :]
        + (2 * m * (lam + 1) / below)[:, :, None] * single
    )
    loose = weight[:, :, None] * rest  # W - W G W, symmetric
    return Moments(m, s, pull, logdet, factors, fitted, answer, loose, cost, own)


def weight_sum(values: FloatArray, weight: FloatArray) -> FloatArray:
    """Sum over features of (N, K, M) values with (N, M) weights."""
    return np.asarray((values @ weight[:, :, None])[..., 0])


def _rooted(values: FloatArray, root: FloatArray) -> FloatArray:
    return np.stack([values[:, k] @ root[k].T for k in range(len(root))], axis=1)


def _answers(
    m: FloatArray, weight: FloatArray, inverse: FloatArray, particles: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """B = (W + H)^-1 W with H = P sum of m_k / Sigma_k, and H."""
    n, n_features = weight.shape
    stiff = (m @ inverse.reshape(len(inverse), -1)).reshape(n, n_features, n_features)
    stiff *= particles[:, None, None]
    whole = stiff.copy()
    diagonal = np.arange(n_features)
    whole[:, diagonal, diagonal] += weight
    return np.linalg.inv(whole) * weight[:, None, :], stiff


def _mix(m: FloatArray, factors: FloatArray) -> FloatArray:
    return np.asarray((m[:, None, :] @ factors)[:, 0])


def _pulls(
    m: FloatArray, precision: FloatArray, shared: Globals, particles: FloatArray, prior: Prior
) -> tuple[FloatArray, FloatArray]:
    n, n_features = precision.shape
    if not prior.local:
        return precision[:, :, None] * np.eye(n_features), np.zeros(n)
    root = np.sqrt(precision)
    flat = shared.covariance.reshape(len(shared.covariance), -1)
    mixed = (m @ flat).reshape(n, n_features, n_features) / particles[:, None, None]
    inner = root[:, :, None] * mixed * root[:, None, :]
    diagonal = np.arange(n_features)
    inner[:, diagonal, diagonal] += 1.0
    lower = np.linalg.cholesky(inner)
    logdet = 2 * np.log(lower[:, diagonal, diagonal]).sum(axis=1)
    pull = root[:, :, None] * np.linalg.inv(inner) * root[:, None, :]
    return pull, logdet


def row_bounds(
    rows: Locals, at: Moments, shared: Globals, particles: FloatArray, prior: Prior
) -> FloatArray:
    """Each row's part of the evidence bound, shape (N,)."""
    quadratic = rows.quadratic
    misfit = quadratic.precision * (quadratic.centre - at.fitted) ** 2
    bound = (quadratic.height - 0.5 * misfit).sum(axis=1)
    bound -= 0.5 * (at.cost + (at.own * shared.variance).sum(axis=(1, 2)))
    if prior.local:
        bound -= 0.5 * at.logdet
        bound += 0.5 * _log_covariance_gap(shared)
    return np.asarray(bound + _proportion_terms(rows.weights, shared))


def _proportion_terms(weights: FloatArray, shared: Globals) -> FloatArray:
    """E log p(pi_n | alpha, beta) - E log q(pi_n)."""
    total = weights.sum(axis=1)
    logs = psi(weights) - psi(total)[:, None]
    prior = shared.alpha * shared.share
    entropy = gammaln(weights).sum(axis=1) - gammaln(total)
    return np.asarray(shared.prior_constant + entropy + ((prior - weights) * logs).sum(axis=1))


def _log_covariance_gap(shared: Globals) -> float:
    """Sum over factors of log |1 / E[1 / Sigma]| - E log |Sigma|: what not knowing Sigma costs."""
    n_features = shared.mean.shape[1]
    halves = (shared.freedom - np.arange(n_features)) / 2
    one = float(psi(halves).sum() - n_features * np.log(shared.freedom / 2))
    return shared.n_factors * one


def global_bound(shared: Globals, prior: Prior) -> float:
    """The part of the bound that no row has: minus the divergences of the global q."""
    off = shared.variance + (shared.mean - prior.centre) ** 2
    ratio = shared.variance / prior.spread
    bound = -0.5 * float((off / prior.spread - 1 - np.log(ratio)).sum())
    if prior.local:
        bound -= _wishart_divergence(shared, prior)
    return bound + stick_terms(shared.beta, prior.alpha0)


def _wishart_divergence(shared: Globals, prior: Prior) -> float:
    """Sum of KL(IW(Psi_k, nu) || IW(Psi_0, nu_0)), Psi_0 diagonal."""
    n_features = shared.mean.shape[1]
    nu, nu0 = shared.freedom, prior.freedom
    logdet = np.linalg.slogdet(shared.scale)[1]
    logdet0 = float(np.log(prior.scale).sum())
    inverse = np.linalg.inv(shared.scale)
    trace = (np.einsum("kmm->km", inverse) * prior.scale).sum(axis=1)
    known = float(psi((nu - np.arange(n_features)) / 2).sum())
    fixed = multigammaln(nu0 / 2, n_features) - multigammaln(nu / 2, n_features)
    each = 0.5 * nu0 * (logdet - logdet0) + 0.5 * nu * (trace - n_features) + fixed
    return float((each + 0.5 * (nu - nu0) * known).sum())


def stick_terms(beta: FloatArray, alpha0: float) -> float:
    """E log p - E log q of the broken sticks beta'_k; the last takes what is left."""
    return float(_stick_terms(beta[None, :], alpha0)[0])


def _stick_terms(beta: FloatArray, alpha0: float) -> FloatArray:
    if beta.shape[1] == 1:
        return np.zeros(len(beta))
    rest = np.cumsum(beta[:, ::-1], axis=1)[:, ::-1][:, 1:]
    a, b = beta[:, :-1], rest
    left = psi(b) - psi(a + b)
    entropy = (
        gammaln(a) + gammaln(b) - gammaln(a + b)
        - (a - 1) * psi(a) - (b - 1) * psi(b) + (a + b - 2) * psi(a + b)
    )  # fmt: skip
    return np.asarray((np.log(alpha0) + (alpha0 - 1) * left + entropy).sum(axis=1))


def mean_log_gamma(a: FloatArray, b: FloatArray, alpha: FloatArray) -> FloatArray:
    """E log Gamma(alpha x), x ~ Beta(a, b), by Gauss-Jacobi quadrature; b = 0 is x = 1.

    log Gamma(z) = log Gamma(1 + z) - log z: the first is smooth, the second has a closed form.
    """
    sure = b <= 1e-9 * a
    safe = np.where(sure, 1.0, b)
    points, weights = _beta_quadrature(a, safe)
    smooth = (weights * gammaln(1 + alpha[..., None] * points)).sum(axis=-1)
    value = smooth - np.log(alpha) - psi(a) + psi(a + safe)
    return np.asarray(np.where(sure, gammaln(alpha), value))


def _beta_quadrature(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights for a Beta(a, b) mean (Golub and Welsch), one more axis at the end."""
    i = np.arange(_NODES)
    p, q = (b - 1)[..., None], (a - 1)[..., None]  # Jacobi weight (1 - t)^p (1 + t)^q
    total = 2 * i + p + q
    with np.errstate(divide="ignore", invalid="ignore"):
        diagonal = (q**2 - p**2) / (total * (total + 2))
    diagonal[..., 0] = ((q - p) / (p + q + 2))[..., 0]
    j = np.arange(1, _NODES)
    total = 2 * j + p + q
    with np.errstate(divide="ignore", invalid="ignore"):
        square = 4 * j * (j + p) * (j + q) * (j + p + q) / (total**2 * (total + 1) * (total - 1))
    first = 4 * (1 + p) * (1 + q) / ((2 + p + q) ** 2 * (3 + p + q))
    square[..., 0] = first[..., 0]
    matrix = np.zeros((*a.shape, _NODES, _NODES))
    matrix[..., i, i] = diagonal
    matrix[..., j, j - 1] = matrix[..., j - 1, j] = np.sqrt(square)
    values, vectors = np.linalg.eigh(matrix)
    return (1 + values) / 2, vectors[..., 0, :] ** 2


# --- steps for the rows ---------------------------------------------------------------------------


def tied_deviation(
    m: FloatArray, pull: FloatArray, centre: FloatArray, shared: Globals, particles: FloatArray
) -> FloatArray:
    """Posterior mean of x_nk - mu_k at proportions m: Sigma_k T (z - m' mu) / P."""
    residual = centre - m @ shared.mean
    pulled = np.einsum("nij,nj->ni", pull, residual) / particles[:, None]
    flat = np.concatenate(list(shared.covariance), axis=1)
    return np.asarray((pulled @ flat).reshape(len(m), shared.n_factors, -1))


def step_rows(
    rows: Locals, shared: Globals, particles: FloatArray, prior: Prior
) -> tuple[Locals, FloatArray]:
    """Raise each row's bound by a Newton step in its proportions, its deviations following.

    A row moves only where its bound rises, by step halving. Returns each row's bound as well.
    """
    at = moments(rows, shared, particles, prior)
    value = row_bounds(rows, at, shared, particles, prior)
    if shared.n_factors == 1:
        trial, pulls = _tied(rows.weights, rows.quadratic, shared, particles, prior)
        rows, value, _ = _better(rows, value, trial, shared, particles, prior, pulls)
        return rows, value
    direction, concentration = _direction(rows, at, shared, particles, prior)
    left = np.arange(len(value))
    for size in (1.0, 0.25, 0.06, 0.015):
        here = rows.take(left)
        m = at.m[left] * np.exp(np.clip(size * direction[left], -3.0, 3.0))
        m = np.maximum(m / m.sum(axis=1, keepdims=True), 1e-9)
        weights = np.maximum(m * at.s[left] * np.exp(size * concentration[left]), 1e-8)
        trial, pulls = _tied(weights, here.quadratic, shared, particles[left], prior)
        moved, reached, taken = _better(
            here, value[left], trial, shared, particles[left], prior, pulls
        )
        if len(left) == len(value):
            rows, value = moved, reached
        else:
            rows, value = rows.put(left, moved), _put(value, left, reached)
        left = left[~taken]
        if len(left) == 0:
            break
    return rows, value


def _put(array: FloatArray, places: NDArray[np.int64], values: FloatArray) -> FloatArray:
    copy = array.copy()
    copy[places] = values
    return copy


def _better(
    rows: Locals, value: FloatArray, trial: Locals, shared: Globals, particles: FloatArray,
    prior: Prior, pulls: tuple[FloatArray, FloatArray] | None = None,
) -> tuple[Locals, FloatArray, NDArray[np.bool_]]:  # fmt: skip
    """Take the trial in the rows whose bound it raises; which they are comes last."""
    there = moments(trial, shared, particles, prior, pulls)
    reached = row_bounds(trial, there, shared, particles, prior)
    taken = reached > value
    if taken.all():
        return trial, reached, taken
    return trial.rows(taken, rows), np.where(taken, reached, value), taken


def _tied(
    weights: FloatArray, quadratic: Quadratic, shared: Globals, particles: FloatArray, prior: Prior
) -> tuple[Locals, tuple[FloatArray, FloatArray]]:
    """Rows of these proportions with the deviations that follow from them."""
    m = weights / weights.sum(axis=1, keepdims=True)
    pulls = _pulls(m, quadratic.precision, shared, particles, prior)
    if prior.local:
        d = tied_deviation(m, pulls[0], quadratic.centre, shared, particles)
    else:
        d = np.zeros((*weights.shape, quadratic.centre.shape[1]))
    return Locals(weights, d, quadratic), pulls


def _direction(
    rows: Locals, at: Moments, shared: Globals, particles: FloatArray, prior: Prior
) -> tuple[FloatArray, FloatArray]:
    """Newton direction of the proportions on the simplex, and of their log concentration."""
    m, s, weights = at.m, at.s, rows.weights
    precision = rows.quadratic.precision
    weighted = precision * (rows.quadratic.centre - at.fitted)
    gradient = np.einsum("nkm,nm->nk", at.factors, weighted)
    curve = _curvature(at, shared.mean)
    apart = at.factors - at.fitted[:, None, :]
    spread = (apart * (apart @ at.loose)).sum(axis=2)
    if prior.local:
        flat = shared.covariance.reshape(shared.n_factors, -1)
        traces = at.pull.reshape(len(m), -1) @ flat.T
        energy = (_rooted(rows.deviation, shared.root) ** 2).sum(axis=2)
        answered = apart @ at.answer.transpose(0, 2, 1)
        between = (answered * m[:, :, None]).transpose(0, 2, 1) @ answered / (s[:, :, None] + 1)
        energy += between.reshape(len(m), -1) @ shared.inverse.reshape(shared.n_factors, -1).T
        gradient -= 0.5 * traces / particles[:, None] + 0.5 * particles[:, None] * energy
    own = (at.own * shared.variance).sum(axis=2)
    gradient -= 0.5 * spread / (s + 1) + own * (2 * s * m + 1) / (2 * m * (s * m + 1))
    trigamma = zeta(2, weights)
    excess = shared.alpha * shared.share - weights
    gradient += s * excess * trigamma
    curve[:, np.arange(m.shape[1]), np.arange(m.shape[1])] += s**2 * trigamma
    both = np.stack([gradient, np.ones_like(gradient)], axis=-1)
    solved = np.linalg.solve(curve, both)
    balance = solved[..., 0].sum(axis=1) / solved[..., 1].sum(axis=1)
    move = solved[..., 0] - balance[:, None] * solved[..., 1]
    noise = (m * spread).sum(axis=1, keepdims=True)
    noise += (own * (s + 1) * (1 - m) / (s * m + 1)).sum(axis=1, keepdims=True)
    return move / m, _log_concentration_step(m, s, noise, shared)


def _curvature(at: Moments, mean: FloatArray) -> FloatArray:
    """Means times T times means, row by row, the curvature of the collapsed likelihood."""
    return np.asarray(mean @ (at.pull @ mean.T))


def _log_concentration_step(
    m: FloatArray, s: FloatArray, noise: FloatArray, shared: Globals
) -> FloatArray:
    """Two Newton steps for log s with the proportions held."""
    prior = shared.alpha * shared.share
    low, high = _LOG_LIMITS

    def slope(log_s: FloatArray) -> FloatArray:
        total = np.exp(log_s)
        weights = np.maximum(m * total, 1e-12)
        dirichlet = (prior - weights) * (m * zeta(2, weights) - zeta(2, total))
        return np.asarray(total * (dirichlet.sum(axis=1, keepdims=True)
                                   + 0.5 * noise / (total + 1) ** 2))  # fmt: skip

    start = log_s = np.log(s)
    for _ in range(2):
        here = slope(log_s)
        bend = (slope(log_s + 1e-4) - here) / 1e-4
        bend = np.where(bend < 0, bend, -np.abs(here) - 1e-9)
        log_s = np.clip(log_s + np.clip(-here / bend, -1.5, 1.5), low, high)
    return log_s - start


def theta_moments(
    at: Moments, shared: Globals, particles: FloatArray, prior: Prior
) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of theta = sum of pi_k x_k under q, each (N, M)."""
    apart = at.factors - at.fitted[:, None, :]
    rest = np.eye(apart.shape[2]) - at.answer
    left = apart @ rest.transpose(0, 2, 1)
    variance = (at.m[:, None, :] @ left**2)[:, 0] / (at.s + 1)
    squares = at.m * (at.s * at.m + 1) / (at.s + 1)
    variance += np.einsum("nij,nj->ni", rest**2, squares @ shared.variance)
    if prior.local:
        n_features = at.fitted.shape[1]
        flat = shared.covariance.reshape(shared.n_factors, -1)
        mixed = (at.m @ flat).reshape(-1, n_features, n_features) / particles[:, None, None]
        variance += np.einsum("nmm->nm", mixed)
        variance -= np.einsum("nij,njk,nki->ni", mixed, at.pull, mixed, optimize=True)
    return at.fitted, np.maximum(variance, 1e-300)


def step_bound(
    observations: Observations, rows: Locals, shared: Globals, particles: FloatArray, prior: Prior
) -> Locals:
    """Move the quadratic bounds to where theta is now; a row's stays where that is better."""
    if observations.family == "gaussian":
        return rows
    at = moments(rows, shared, particles, prior)
    value = row_bounds(rows, at, shared, particles, prior)
    mean, variance = theta_moments(at, shared, particles, prior)
    trial = replace(rows, quadratic=observations.bound(mean, mean**2 + variance))
    return _better(rows, value, trial, shared, particles, prior)[0]


# --- steps for what the rows share ----------------------------------------------------------------


def step_means(
    rows: Locals, shared: Globals, particles: FloatArray, prior: Prior
) -> tuple[Locals, Globals]:
    """Global means by generalised least squares, the deviations following where that is better."""
    at = moments(rows, shared, particles, prior)
    before = total_bound(rows, shared, particles, prior)
    shared = replace(shared, variance=1 / (1 / prior.spread + at.own.sum(axis=0)))
    target = _fitted_means(rows, at, prior)
    for size in (1.0, 0.5, 0.1):
        moved = replace(shared, mean=shared.mean + size * (target - shared.mean))
        here = rows
        if prior.local:
            d = tied_deviation(at.m, at.pull, rows.quadratic.centre, moved, particles)
            here = replace(rows, deviation=d)
        if total_bound(here, moved, particles, prior) > before:
            return here, moved
    return rows, shared


def total_bound(rows: Locals, shared: Globals, particles: FloatArray, prior: Prior) -> float:
    """Lower bound of log p(observations), in nats."""
    at = moments(rows, shared, particles, prior)
    local = row_bounds(rows, at, shared, particles, prior)
    return float(local.sum()) + global_bound(shared, prior)


def _fitted_means(rows: Locals, at: Moments, prior: Prior) -> FloatArray:
    """Means that fit best where each row's deviations answer."""
    m, s = at.m, at.s
    n, n_factors = m.shape
    n_features = at.fitted.shape[1]
    k, j = np.arange(n_factors), np.arange(n_features)
    products = m[:, :, None] * m[:, None, :]
    scatter = -products / (s[:, :, None] + 1)
    scatter[:, k, k] += m / (s + 1)
    flat = products.reshape(n, -1).T @ at.pull.reshape(n, -1)
    flat += scatter.reshape(n, -1).T @ at.loose.reshape(n, -1)
    matrix = flat.reshape(n_factors, n_factors, n_features, n_features)
    matrix[k[:, None], k[:, None], j, j] += 1 / prior.spread
    pulled = np.einsum("nij,nj->ni", at.pull, rows.quadratic.centre)
    right = m.T @ pulled + prior.centre / prior.spread
    right -= ((scatter @ rows.deviation) @ at.loose).sum(axis=0)
    whole = matrix.transpose(0, 2, 1, 3).reshape(n_factors * n_features, -1)
    return np.asarray(np.linalg.solve(whole, right.ravel()).reshape(n_factors, n_features))


def step_covariances(
    rows: Locals, shared: Globals, particles: FloatArray, prior: Prior, reach: float
) -> tuple[Globals, float]:
    """Covariances of the factors by a step of expectation maximisation, lengthened if that pays.

    Returns the step length to try next time.
    """
    if not prior.local:
        return shared, reach
    at = moments(rows, shared, particles, prior)
    n, s, m = len(at.m), at.s, at.m
    covariance = shared.covariance
    apart = at.factors - at.fitted[:, None, :]
    answered = apart @ at.answer.transpose(0, 2, 1)
    between = (answered * m[:, :, None]).transpose(0, 2, 1) @ answered / (s[:, :, None] + 1)
    lam, below = rows.weights, (s + 1) * (s + 2)
    noise = (lam * (lam + 1) / below) @ shared.variance
    common = s[:, :, None] / (s[:, :, None] + 2) * between
    common += (at.answer * noise[:, None, :]) @ at.answer.transpose(0, 2, 1)
    plain = np.empty_like(covariance)
    for k in range(shared.n_factors):
        weight = particles * m[:, k]
        d, b = rows.deviation[:, k], answered[:, k]
        shifted = d - b / (s + 1)
        rest = (2 / below - 1 / (s + 1) ** 2)[:, 0] * weight
        observed = (shifted * weight[:, None]).T @ shifted + (b * rest[:, None]).T @ b
        observed += np.tensordot(weight, common, axes=1)
        extra = (2 * (lam[:, k] + 1) / below[:, 0]) * weight
        observed += np.einsum("n,nij,j,nlj->il", extra, at.answer, shared.variance[k], at.answer,
                              optimize=True)  # fmt: skip
        known = ((m[:, k] / particles) @ at.pull.reshape(n, -1)).reshape(covariance[k].shape)
        plain[k] = observed + n * covariance[k] - covariance[k] @ known @ covariance[k]
        plain[k] += np.diag(prior.scale)
    plain = (plain + plain.transpose(0, 2, 1)) / 2
    freedom = prior.freedom + n
    old = covariance * freedom
    before = total_bound(rows, shared, particles, prior)
    for size in dict.fromkeys((reach, 1.0, 0.3)):
        scale = old + size * (plain - old)
        if np.linalg.eigvalsh(scale).min() <= 0:
            continue
        found = replace(shared, scale=scale, freedom=freedom)
        if total_bound(rows, found, particles, prior) > before:
            return found, min(1.5 * size, 8.0)
    return shared, 1.0


def step_shares(rows: Locals, shared: Globals, prior: Prior, learn_alpha: bool) -> Globals:
    """Global proportions, and alpha where it is learnt, by quasi-Newton on their part."""
    if shared.n_factors == 1:
        return shared
    logs = (psi(rows.weights) - psi(rows.weights.sum(axis=1))[:, None]).sum(axis=0)
    n, n_factors = rows.weights.shape

    def part(x: FloatArray) -> FloatArray:
        """Minus the part of the bound that depends on q(beta) and alpha, of each row of x."""
        beta = np.exp(x[:, :n_factors])
        alpha = np.exp(x[:, n_factors]) if learn_alpha else np.full(len(x), shared.alpha)
        total = beta.sum(axis=1, keepdims=True)
        gammas = mean_log_gamma(beta, total - beta, alpha[:, None]).sum(axis=1)
        fit = n * (gammaln(alpha) - gammas) + alpha * ((beta / total) @ logs)
        return np.asarray(-(fit + _stick_terms(beta, prior.alpha0)))

    def part_and_slope(x: FloatArray) -> tuple[float, FloatArray]:
        step = 1e-6
        shifted = np.vstack([x + step * np.eye(len(x)), x - step * np.eye(len(x)), x])
        values = part(shifted)
        size = len(x)
        return float(values[-1]), (values[:size] - values[size : 2 * size]) / (2 * step)

    start = np.log(shared.beta)
    start = np.append(start, np.log(shared.alpha)) if learn_alpha else start
    bounds = [(np.log(1e-3), np.log(1e7))] * n_factors + [(np.log(1e-2), np.log(1e3))] * learn_alpha
    found = minimize(
        part_and_slope, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 3}
    )
    if not found.fun < float(part(start[None, :])[0]):
        return shared
    beta = np.exp(found.x[:n_factors])
    alpha = float(np.exp(found.x[n_factors])) if learn_alpha else shared.alpha
    return replace(shared, beta=beta, alpha=alpha)


def step_noise(
    observations: Observations, rows: Locals, shared: Globals, particles: FloatArray, prior: Prior
) -> tuple[Observations, Locals]:
    """Gaussian noise of each feature where factors do not vary: the mean squared misfit."""
    at = moments(rows, shared, particles, prior)
    seen = observations.seen
    values = np.where(seen, observations.values, 0.0)
    _, variance = theta_moments(at, shared, particles, prior)
    misfit = np.where(seen, (values - at.fitted) ** 2 + variance, 0.0)
    noise = misfit.sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    size = np.broadcast_to(np.maximum(noise, 1e-8 * prior.spread), values.shape)
    observations = replace(observations, size=size)
    zero = np.zeros_like(values)
    return observations, replace(rows, quadratic=observations.bound(zero, zero))


def reordered(rows: Locals, shared: Globals) -> tuple[Locals, Globals]:
    """Factors by falling share, the order in which sticks are expected to break."""
    order = np.argsort(-rows.proportions.sum(axis=0), kind="stable")
    return _selected(rows, shared, order)


def _selected(rows: Locals, shared: Globals, which: NDArray[np.int64]) -> tuple[Locals, Globals]:
    return (
        replace(rows, weights=rows.weights[:, which], deviation=rows.deviation[:, which]),
        replace(
            shared, mean=shared.mean[which], variance=shared.variance[which],
            scale=shared.scale[which], beta=shared.beta[which],
        ),
    )  # fmt: skip


def merged(rows: Locals, shared: Globals, one: int, two: int) -> tuple[Locals, Globals]:
    """Two factors as one: proportions added, the rest averaged by them (the paper's M1 to M6)."""
    share = shared.beta[[one, two]] / shared.beta[[one, two]].sum()
    local = rows.weights[:, [one, two]]
    total = local.sum(axis=1)
    weights, deviation = rows.weights.copy(), rows.deviation.copy()
    weights[:, one] = total
    mean, variance = shared.mean.copy(), shared.variance.copy()
    scale, beta = shared.scale.copy(), shared.beta.copy()
    mean[one] = share @ shared.mean[[one, two]]
    variance[one] = share @ shared.variance[[one, two]]
    scale[one] = np.tensordot(share, shared.scale[[one, two]], axes=1)
    beta[one] += beta[two]
    if rows.deviation.any():
        factors = shared.mean[[one, two]] + rows.deviation[:, [one, two]]
        deviation[:, one] = _mix(local / total[:, None], factors) - mean[one]
    left = np.delete(np.arange(len(mean)), two)
    return _selected(
        replace(rows, weights=weights, deviation=deviation),
        replace(shared, mean=mean, variance=variance, scale=scale, beta=beta),
        left,
    )


def split(
    rows: Locals, shared: Globals, which: int, centres: FloatArray, part: FloatArray
) -> tuple[Locals, Globals]:
    """One factor as two with means `centres` (2, M); `part` (N,) of it goes to the first."""
    order = np.append(np.arange(shared.n_factors), which)
    rows, shared = _selected(rows, shared, order)
    weights, mean, beta = rows.weights.copy(), shared.mean.copy(), shared.beta.copy()
    part = np.clip(part, 0.02, 0.98)
    weights[:, which] *= part
    weights[:, -1] *= 1 - part
    mean[which], mean[-1] = centres
    overall = float(np.average(part, weights=rows.weights[:, -1]))
    beta[which] *= overall
    beta[-1] *= 1 - overall
    return replace(rows, weights=weights), replace(shared, mean=mean, beta=beta)


def merge_candidates(
    rows: Locals, shared: Globals, prior: Prior, most: int
) -> Iterator[tuple[int, int]]:
    """Pairs to try: proportions that rise and fall together (the paper's), then closest means."""
    m = rows.proportions
    if m.shape[1] < 2:
        return
    covariance = np.cov(m.T)
    spread = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    correlation = covariance / np.outer(spread, spread)
    one, two = np.triu_indices(len(covariance), 1)
    together = correlation[one, two]
    gap = ((shared.mean[one] - shared.mean[two]) ** 2 / prior.spread).sum(axis=1)
    first = [place for place in np.argsort(-together, kind="stable")[:most] if together[place] > 0]
    second = np.argsort(gap, kind="stable")[:most]
    for place in dict.fromkeys([*first, *second]):
        yield int(one[place]), int(two[place])
