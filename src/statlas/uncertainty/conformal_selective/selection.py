"""Which rows to keep, and the conformal quantile that covers the kept ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from statlas.core.numerics.conformal import conformal_quantile

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

# Keeps 0.7 * (9 + 1) at 7 although the product may be rounded upwards.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class KeepRule:
    """A row is kept where its score is at most `limit`; quantiles are of conformity scores.

    `quantile` covers kept rows whose score is below `limit`, `quantile_at_limit` those whose score
    equals it (the two differ only where scores are tied), `quantile_all` all rows together.
    """

    limit: float
    quantile: float
    quantile_at_limit: float
    quantile_all: float

    def kept(self, scores: ArrayLike) -> BoolArray:
        """Whether rows with these rejection scores are kept."""
        return np.asarray(np.asarray(scores, dtype=float) <= self.limit)

    def quantiles(self, scores: ArrayLike) -> FloatArray:
        """The quantile that covers each row among the kept ones."""
        at_limit = np.asarray(scores, dtype=float) == self.limit
        return np.where(at_limit, self.quantile_at_limit, self.quantile)


def keep_rule(conformity: ArrayLike, scores: ArrayLike, keep: float, level: float) -> KeepRule:
    """Largest score to keep, and the conformal quantiles, from calibration rows.

    Let t be the K-th smallest score of the n calibration rows and the new one, K = ceil(keep (n +
    1)). The new row is kept where its own score is at most t. The rows with a score of at most t
    are the same set whichever of them is the new one, so within it the new row is exchangeable
    with the others, and a conformal quantile over them covers it. In terms of calibration rows:
    the K-th smallest of their scores is the limit; the set holds those at most the (K - 1)-th,
    or at most the limit where the new row's score is the limit. Ties need no draw.

    Parameters
    ----------
    conformity
        Conformity scores of calibration rows, large where a row conforms badly, shape (n,).
    scores
        Rejection scores of the same rows, shape (n,).
    keep
        Share of rows to keep at least, in (0, 1].
    level
        Coverage among the kept, in (0, 1).

    Examples
    --------
    >>> rule = keep_rule([1.0, 2.0, 3.0, 9.0], [0.1, 0.2, 0.3, 0.4], keep=0.8, level=0.6)
    >>> rule.limit, rule.quantile, rule.quantile_all
    (0.4, 3.0, 3.0)
    """
    r, s = np.asarray(conformity, dtype=float), np.asarray(scores, dtype=float)
    n, ordered = len(s), np.sort(s)
    rank = max(int(np.ceil(keep * (n + 1) - _ROUNDING)), 1)
    limit = float(ordered[rank - 1]) if rank <= n else np.inf
    last = float(ordered[rank - 2]) if rank > 1 else -np.inf
    return KeepRule(
        limit=limit,
        quantile=conformal_quantile(r[s <= last], level),
        quantile_at_limit=conformal_quantile(r[s <= limit], level),
        quantile_all=conformal_quantile(r, level),
    )
