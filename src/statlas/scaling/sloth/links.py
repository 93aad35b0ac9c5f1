"""Trained links: each benchmark's own increasing curve, as a non-negative sum of sigmoids."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls
from scipy.special import expit

from statlas.scaling.sloth.law import FloatArray, Links

_KNOTS = (0.05, 0.275, 0.5, 0.725, 0.95)  # quantiles of the linear scale
_WIDTHS = (1.0, 0.4)  # widths of the candidates there, in quarters of the knots' range


def best_links(links: Links, eta: FloatArray, scores: FloatArray, weights: FloatArray) -> Links:
    """Weighted least squares of every benchmark's link, all else held.

    Candidates are the terms of the present link and wide and narrow sigmoids along the linear
    scale, so the present link is among what can be reached.

    Parameters
    ----------
    links
        The present links.
    eta, scores, weights
        Linear scale, scores and weights, shape (n_models, n_benchmarks); weight 0 for a missing
        score.
    """
    found = [
        _best_link(links, place, *(a[weights[:, place] > 0, place] for a in (eta, scores, weights)))
        for place in range(len(links.floor))
    ]
    floors, tops, centres, widths = zip(*found, strict=True)
    return Links(np.array(floors), _padded(tops, 0.0), _padded(centres, 0.0), _padded(widths, 1.0))


_Link = tuple[float, FloatArray, FloatArray, FloatArray]


def _best_link(
    links: Links, place: int, eta: FloatArray, scores: FloatArray, weights: FloatArray
) -> _Link:
    """Floor, and weight, centre and width of each term, of one benchmark."""
    keep = links.weight[place] > 0
    centre, width = links.centre[place, keep], links.width[place, keep]
    if len(eta) < 2:
        return float(links.floor[place]), links.weight[place, keep], centre, width
    knots = np.quantile(eta, _KNOTS)
    spread = max(float(np.ptp(knots)) / 4, 0.2)
    centre = np.concatenate([centre, *(knots for _ in _WIDTHS)])
    width = np.concatenate([width, *(np.full(len(knots), spread * wide) for wide in _WIDTHS)])
    basis = np.column_stack([np.ones(len(eta)), expit((eta[:, None] - centre) / width)])
    share = _shares(basis, scores, weights)
    used = share[1:] > 0
    return float(share[0]), share[1:][used], centre[used], width[used]


def _shares(basis: FloatArray, scores: FloatArray, weights: FloatArray) -> FloatArray:
    """Non-negative weights that with an unused share add up to 1, so no score leaves [0, 1]."""
    root = np.sqrt(weights)
    heavy = 1e3 * np.sqrt(max(float(weights.sum()), 1.0))
    gram_rows = np.vstack(
        [
            np.column_stack([basis * root[:, None], np.zeros(len(basis))]),
            np.full(basis.shape[1] + 1, heavy),
        ]
    )
    # The same normal equations in a few rows: the cost of a step no longer grows with the models.
    _, triangle = np.linalg.qr(np.column_stack([gram_rows, np.append(scores * root, heavy)]))
    share, _ = nnls(triangle[:, :-1], triangle[:, -1])
    shares: FloatArray = share[:-1] / share.sum()
    return shares


def _padded(rows: tuple[FloatArray, ...], filler: float) -> FloatArray:
    """Rows of unequal length as a matrix."""
    longest = max(max(map(len, rows)), 1)
    return np.array([np.append(row, np.full(longest - len(row), filler)) for row in rows])
