"""The survey's taxonomy: who puts which distribution where, and what of it runs here. Data only."""

from __future__ import annotations

from dataclasses import dataclass

BRANCHES = {
    "prior, outside rows": "prior networks trained on outside rows",
    "prior": "prior networks without outside rows",
    "posterior": "posterior networks",
    "regression": "evidential regression",
}
"""Branches of the taxonomy, with the label that the figure shows."""


@dataclass(frozen=True)
class Approach:
    """One line of the taxonomy.

    Attributes
    ----------
    branch
        A key of `BRANCHES`.
    name, source
        The approach, and who proposed it.
    learns
        What the network is trained to do.
    family
        Option value under which it runs here, or ``""``.
    watch_for
        What fails most often, or why it does not run here.
    task
        ``"label"`` or ``"number"``: the column that it needs.
    """

    branch: str
    name: str
    source: str
    learns: str
    family: str
    watch_for: str
    task: str = "label"


_ENSEMBLE = "Not here: it needs a trained ensemble as teacher, which could answer itself."
_FORMS = "Not here: the loss is one of those above on another kind of input."

TAXONOMY: tuple[Approach, ...] = (
    Approach(
        "prior, outside rows", "prior network, forward divergence", "Malinin and Gales (2018)",
        "match a sharp Dirichlet at the label inside, a flat one outside", "prior-forward",
        "Outside rows of another kind than those trained on may look familiar.",
    ),
    Approach(
        "prior, outside rows", "prior network, reverse divergence", "Malinin and Gales (2019)",
        "as above with the divergence turned round, so that mixed labels stay one peak",
        "prior-reverse", "Outside rows of another kind than those trained on may look familiar.",
    ),
    Approach(
        "prior, outside rows", "precision gap", "Nandy, Hsu and Lee (2020)",
        "cross-entropy, with high precision inside and low precision outside", "precision-gap",
        "Where classes overlap precision falls too, and looks like strangeness.",
    ),
    Approach(
        "prior, outside rows", "generated outside rows",
        "Sensoy et al. (2020); Hu et al. (2021); Nagarajan et al. (2022)",
        "outside rows come from a generator trained along", "",
        "Not here: bring outside rows and choose prior-reverse.",
    ),
    Approach(
        "prior", "evidential deep learning, squared error", "Sensoy, Kaplan and Kandemir (2018)",
        "expected squared error, and no evidence for wrong classes", "evidential",
        "The weight of the regulariser sets the evidence, not the number of rows.",
    ),
    Approach(
        "prior", "evidential deep learning, cross-entropy", "Sensoy, Kaplan and Kandemir (2018)",
        "expected cross-entropy, and no evidence for wrong classes", "evidential-cross-entropy",
        "Without the regulariser evidence grows without end.",
    ),
    Approach(
        "prior", "evidential deep learning, likelihood", "Sensoy, Kaplan and Kandemir (2018)",
        "type II likelihood, and no evidence for wrong classes", "evidential-likelihood",
        "The likelihood does not see evidence at all: the regulariser alone sets it.",
    ),
    Approach(
        "prior", "belief matching", "Joo, Chung and Seo (2020); Chen et al. (2018)",
        "variational bound with a flat Dirichlet prior", "belief-matching",
        "The weight of the prior sets the evidence, not the number of rows.",
    ),
    Approach(
        "prior", "information-robust Dirichlet network", "Tsiligkaridis (2019)",
        "bound on the expected l_p error, and little information on wrong classes",
        "information-robust", "Large p minds the worst class only.",
    ),
    Approach(
        "prior", "distribution distillation",
        "Malinin, Mlodozeniec and Gales (2020); Fathullah and Gales (2022)",
        "likelihood of the answers of an ensemble", "", _ENSEMBLE,
    ),
    Approach(
        "prior", "graphs, actions, text", "Zhao et al. (2020); Bao et al. (2021)",
        "evidential losses on graphs, videos, documents", "", _FORMS,
    ),
    Approach(
        "posterior", "posterior network", "Charpentier, Zuegner and Guennemann (2020)",
        "uncertain cross-entropy; evidence is the class count times a density of the class",
        "posterior", "Rows that the encoder maps onto a class get its full evidence.",
    ),
    Approach(
        "posterior", "natural posterior network", "Charpentier et al. (2022)",
        "Bayes' rule for any exponential family; evidence from one density",
        "natural-posterior", "The one density must have as many modes as there are groups.",
    ),
    Approach(
        "posterior", "graph posterior network", "Stadler et al. (2021)",
        "posterior network with evidence spread over a graph", "", _FORMS,
    ),
    Approach(
        "regression", "deep evidential regression", "Amini et al. (2020)",
        "Student likelihood, and no evidence where errors are large", "evidential",
        "Likelihood fixes three of four numbers: the epistemic part is set by the regulariser.",
        "number",
    ),
    Approach(
        "regression", "natural posterior network", "Charpentier et al. (2022)",
        "Bayes' rule for mean and variance; evidence from one density", "natural-posterior",
        "The one density must have as many modes as there are groups.", "number",
    ),
    Approach(
        "regression", "several responses at once", "Meinert and Lavin (2021)",
        "normal-inverse-Wishart likelihood with fewer free numbers", "",
        "Not here: one response at a time.", "number",
    ),
    Approach(
        "regression", "regression prior network", "Malinin et al. (2020)",
        "reverse divergence to a normal-Wishart, outside rows or an ensemble", "", _ENSEMBLE,
        "number",
    ),
)  # fmt: skip
