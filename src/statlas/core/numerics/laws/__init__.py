"""Laws fitted to tables of runs: one engine for scaling laws, learning curves and their like.

    law = CHINCHILLA                                  # a `Law`: named parameters and a Jacobian
    fit = fit_law(law, {"N": n, "D": d}, loss, Objective("log", huber=1e-3), n_starts=500, rng=0)
    fit.parameters["alpha"], fit.predict({"N": 7e10, "D": 1.4e12})
    fit.identification()                              # what the data do not determine, flat valleys
    draws = bootstrap(fit, 1000, kind="runs", rng=0)  # also "residual", "parametric", by group
    draws.interval("alpha"), draws.predict({"N": 7e10, "D": 1.4e12}), draws.of(function)
    profile_interval(fit, "alpha")
    information(fit).bic; compare_laws([...], inputs, loss, rng=0)
    held_out_residuals(fit, fold)                     # each row by a refit without its fold
    extrapolation_check(law, inputs, loss, compute, cut=1e20, rng=0)
    compute_optimal(law, draws.values, compute=1e24)  # N, D and loss for each draw, any law of N, D

Conventions, the same in every module:

* **Inputs** are a mapping of name to values of shape (n_rows,), positive unless the law says
  otherwise, in plain units (parameters, tokens, floating-point operations: no millions, no
  logarithms). All logarithms are natural.
* **Parameters** are in natural units outside the fitter. Inside it each has a *fitting coordinate*:
  the logarithm of a parameter marked ``log``, else the parameter itself. Arrays of parameters have
  shape (n_fits, n_parameters), in the order of ``law.names``.
* **Batches**: everything is advanced together, so one call fits hundreds of starts, bootstrap
  samples or profile points. The first axis is the fit, the last one the row.
* **Objective**: the sum over rows of weight x rho(residual); the residual is log(fitted) -
  log(observed) (``"log"``) or fitted - observed (``"linear"``); rho(r) is r^2 / 2, or Huber's,
  which is linear beyond `huber`. The value is a sum, not a mean.
* **Randomness** is the argument ``rng`` (a numpy Generator or a seed).
* Failures raise `ConvergenceError` (no start reached a finite objective) or `InputError` (shapes,
  signs); a fit that merely leaves a parameter undetermined is returned and says so.

Defining a law takes a function and its parameters (see `Law`); `library` has the usual ones, and
`check_jacobian` tests a new one. A law of one's own that is linear in some parameters names them in
``linear``: starts then need only the others, and least squares on linear residuals solves for them
exactly at every step (variable projection). Inputs that may be 0 or below (a family's number, a
flag) go with ``positive_inputs=False``; ``x["log name"]`` is there for inputs that are all above 0.
A fit of ten rows takes a few milliseconds, one of 240 rows from 500 starts about 50.
"""

from __future__ import annotations

from statlas.core.numerics.laws.allocation import Allocation, compute_optimal, power_allocation
from statlas.core.numerics.laws.comparison import (
    Extrapolation,
    Information,
    LawScore,
    compare_laws,
    extrapolation_check,
    held_out_residuals,
    information,
)
from statlas.core.numerics.laws.fitting import Identification, LawFit, fit_law
from statlas.core.numerics.laws.law import Law, Parameter, check_jacobian
from statlas.core.numerics.laws.library import (
    CHINCHILLA,
    KAPLAN,
    POWER_LAW,
    SATURATING_POWER_LAW,
    SHIFTED_POWER_LAW,
)
from statlas.core.numerics.laws.problem import Objective
from statlas.core.numerics.laws.uncertainty import (
    Draws,
    ProfileInterval,
    bootstrap,
    profile_interval,
)

__all__ = [
    "CHINCHILLA", "KAPLAN", "POWER_LAW", "SATURATING_POWER_LAW", "SHIFTED_POWER_LAW",
    "Allocation", "Draws", "Extrapolation", "Identification", "Information", "Law", "LawFit",
    "LawScore", "Objective", "Parameter", "ProfileInterval", "bootstrap", "check_jacobian",
    "compare_laws", "compute_optimal", "extrapolation_check", "fit_law", "held_out_residuals",
    "information", "power_allocation", "profile_interval",
]  # fmt: skip
