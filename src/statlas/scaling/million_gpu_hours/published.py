"""Published laws of the best size, and published trainings with their accounting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from statlas.core.numerics.laws import CHINCHILLA
from statlas.core.numerics.transformer_costs import Decoder

FloatArray = NDArray[np.float64]
LawName = Literal[
    "chinchilla-corrected", "chinchilla-printed", "chinchilla-envelope", "llama-3", "kaplan",
    "bloom",
]  # fmt: skip

PF_DAY = 1e15 * 86_400


# --- laws -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LossLaw:
    """A published E + A N^-alpha + B D^-beta.

    Attributes
    ----------
    label, source
        What it is and where it is printed.
    parameters
        E, A, B, alpha, beta.
    covariance
        Of (log E, log A, log B, alpha, beta); None where no believable one is known.
    counts
        Parameters that N counts: all, or those of the blocks.
    """

    label: str
    source: str
    parameters: tuple[float, float, float, float, float]
    covariance: tuple[tuple[float, ...], ...] | None = None
    counts: Literal["all", "body"] = "all"

    def draw(self, n_draws: int, rng: np.random.Generator) -> FloatArray:
        """Parameters of draws, natural units, shape (n_draws, 5)."""
        centre = CHINCHILLA.to_coordinates(np.array(self.parameters))
        if self.covariance is None:
            return np.repeat(CHINCHILLA.to_natural(centre)[None], n_draws, axis=0)
        drawn = rng.multivariate_normal(centre, np.array(self.covariance), n_draws)
        return CHINCHILLA.to_natural(drawn)


@dataclass(frozen=True)
class SizeLaw:
    """A published best size N = size x (C / at)^exponent, which says nothing about the loss.

    Attributes
    ----------
    label, source, counts
        As for `LossLaw`.
    size, at, exponent
        The law.
    exponent_error
        Standard deviation of the exponent; 0 where none is known.
    """

    label: str
    source: str
    size: float
    at: float
    exponent: float
    exponent_error: float = 0.0
    counts: Literal["all", "body"] = "all"

    def draw(self, n_draws: int, rng: np.random.Generator) -> FloatArray:
        """Exponents of draws, shape (n_draws,)."""
        return self.exponent + self.exponent_error * rng.standard_normal(n_draws)


# From a bootstrap (3,000 samples) of this package's refit of the 240 runs that Besiroglu et al.
# read off the figure of Hoffmann et al.; their intervals agree. Drawn from it, the exponent has a
# standard deviation of 0.019 and tokens per parameter at 5.76e23 go from 8 to 40.
_COVARIANCE = (
    (1.964040e-04, 2.111485e-03, 3.581204e-03, 1.246789e-04, 1.744555e-04),
    (2.111485e-03, 6.336215e-02, -2.284279e-02, 3.779547e-03, -1.154966e-03),
    (3.581204e-03, -2.284279e-02, 1.689905e-01, -1.433720e-03, 8.270833e-03),
    (1.246789e-04, 3.779547e-03, -1.433720e-03, 2.257609e-04, -7.250281e-05),
    (1.744555e-04, -1.154966e-03, 8.270833e-03, -7.250281e-05, 4.050670e-04),
)

LAWS: dict[str, LossLaw | SizeLaw] = {
    "chinchilla-corrected": LossLaw(
        "Chinchilla, re-analysed", "Besiroglu et al. (2024), arXiv:2404.10102",
        (1.8172, 482.01, 2085.43, 0.3478, 0.3658), _COVARIANCE,
    ),
    "chinchilla-printed": LossLaw(
        "Chinchilla, as printed", "Hoffmann et al. (2022), arXiv:2203.15556, Eq. (10)",
        (1.69, 406.4, 410.7, 0.34, 0.28),
    ),
    # Table 3 prints 67e9 parameters at 5.76e23; the exponent's 10 and 90 % points are 0.488, 0.502.
    "chinchilla-envelope": SizeLaw(
        "Chinchilla, envelope of curves", "Hoffmann et al. (2022), Tables 2 and 3, approach 1",
        67e9, 5.76e23, 0.50, 0.0055,
    ),
    # Section 3.2.1: best tokens = 0.299 C^0.537, so N = C / (6 x tokens).
    "llama-3": SizeLaw(
        "Llama 3", "Llama team (2024), arXiv:2407.21783, Section 3.2.1",
        3.8e25 / 6 / (0.299 * 3.8e25**0.537), 3.8e25, 1 - 0.537,
    ),
    # Table 6: N = 1.3e9 (C / PF-day)^0.73, without embeddings.
    "kaplan": SizeLaw(
        "Kaplan et al.", "Kaplan et al. (2020), arXiv:2001.08361, Table 6",
        1.3e9, PF_DAY, 0.73, counts="body",
    ),
    # 392e9 parameters and 165e9 tokens for 4,500 PF-days; the exponent is Kaplan's.
    "bloom": SizeLaw(
        "BLOOM's laws", "Le Scao et al. (2022), arXiv:2210.15424, compute allocation",
        392e9, 4500 * PF_DAY, 0.73,
    ),
}  # fmt: skip


# --- trainings ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Training:
    """One published training.

    Attributes
    ----------
    name, source
        What was trained and where its numbers are stated.
    parameters, tokens
        As stated.
    shape
        Its shape.
    flops
        Operations of the training, where stated.
    accelerator, device_hours
        Hardware of the hours, and hours summed over devices, where stated.
    """

    name: str
    source: str
    parameters: float
    tokens: float
    shape: Decoder
    flops: float | None = None
    accelerator: str = ""
    device_hours: float | None = None


def _gpt3(size: str, width: int, depth: int, parameters: float, flops: float) -> Training:
    shape = Decoder(width, depth, 50_257, 2048, biases=True, positions=2048)
    source = "Brown et al. (2020), arXiv:2005.14165, Tables 2.1 and D.1"
    return Training(f"GPT-3 {size}", source, parameters, 300e9, shape, flops)


def _llama(
    name: str, source: str, parameters: float, tokens: float, sizes: tuple[int, int, int, int, int],
    share: float, accelerator: str, hours: float, flops: float | None = None,
) -> Training:  # fmt: skip
    width, depth, hidden, vocabulary, context = sizes
    shape = Decoder(
        width, depth, vocabulary, context, key_value_share=share, feed_forward=hidden, gated=True,
        tied=False,
    )  # fmt: skip
    return Training(name, source, parameters, tokens, shape, flops, accelerator, hours)


def _pythia(size: str, width: int, depth: int, parameters: float, hours: float) -> Training:
    shape = Decoder(width, depth, 50_304, 2048, tied=False, biases=True)
    source = "Biderman et al. (2023), arXiv:2304.01373, Tables 1 and 5"
    return Training(f"Pythia {size}", source, parameters, 299.9e9, shape, None, "a100-40gb", hours)


_LLAMA1 = "Touvron et al. (2023), arXiv:2302.13971, Tables 2 and 15"
_LLAMA2 = "Touvron et al. (2023), arXiv:2307.09288, Tables 1 and 2"
_LLAMA3 = "Llama team (2024), arXiv:2407.21783, Table 3, and the model card of Llama 3.1"

TRAININGS: tuple[Training, ...] = (
    _gpt3("small", 768, 12, 125e6, 2.25e20),
    _gpt3("medium", 1024, 24, 356e6, 6.41e20),
    _gpt3("large", 1536, 24, 760e6, 1.37e21),
    _gpt3("XL", 2048, 24, 1320e6, 2.38e21),
    _gpt3("2.7B", 2560, 32, 2650e6, 4.77e21),
    _gpt3("6.7B", 4096, 32, 6660e6, 1.20e22),
    _gpt3("13B", 5140, 40, 12_850e6, 2.31e22),
    _gpt3("175B", 12_288, 96, 174_600e6, 3.14e23),
    Training(
        "Gopher", "Hoffmann et al. (2022), arXiv:2203.15556, Tables 1, 4 and A3", 280e9, 300e9,
        Decoder(16_384, 80, 32_000, 2048), 5.76e23,
    ),
    Training(
        "Chinchilla", "Hoffmann et al. (2022), arXiv:2203.15556, Tables 1, 4 and 3", 70e9, 1.4e12,
        Decoder(8192, 80, 32_000, 2048), 5.76e23,
    ),
    Training(
        "PaLM 540B", "Chowdhery et al. (2022), arXiv:2204.02311, Tables 1 and 21", 540e9, 780e9,
        Decoder(
            18_432, 118, 256_000, 2048, attention_width=48 * 256, key_value_share=1 / 48,
            feed_forward=4 * 18_432, gated=True,
        ),
        2.53e24, "tpu-v4", 6144 * 1200 + 3072 * 336,
    ),
    Training(
        "BLOOM", "Le Scao et al. (2022), arXiv:2211.05100, Table 3 and Section 3", 176.247e9, 366e9,
        Decoder(14_336, 70, 250_880, 2048, biases=True), None, "a100-80gb", 1_082_990,
    ),
    _llama("LLaMA 7B", _LLAMA1, 6.7e9, 1.0e12, (4096, 32, 11_008, 32_000, 2048), 1.0, "a100-80gb",
           82_432),
    _llama("LLaMA 13B", _LLAMA1, 13.0e9, 1.0e12, (5120, 40, 13_824, 32_000, 2048), 1.0,
           "a100-80gb", 135_168),
    _llama("LLaMA 33B", _LLAMA1, 32.5e9, 1.4e12, (6656, 60, 17_920, 32_000, 2048), 1.0,
           "a100-80gb", 530_432),
    _llama("LLaMA 65B", _LLAMA1, 65.2e9, 1.4e12, (8192, 80, 22_016, 32_000, 2048), 1.0,
           "a100-80gb", 1_022_362),
    _llama("Llama 2 7B", _LLAMA2, 6.7e9, 2.0e12, (4096, 32, 11_008, 32_000, 4096), 1.0,
           "a100-80gb", 184_320),
    _llama("Llama 2 13B", _LLAMA2, 13.0e9, 2.0e12, (5120, 40, 13_824, 32_000, 4096), 1.0,
           "a100-80gb", 368_640),
    _llama("Llama 2 70B", _LLAMA2, 69.0e9, 2.0e12, (8192, 80, 28_672, 32_000, 4096), 1 / 8,
           "a100-80gb", 1_720_320),
    _llama("Llama 3.1 8B", _LLAMA3, 8.03e9, 15e12, (4096, 32, 14_336, 128_256, 8192), 1 / 4,
           "h100-sxm", 1.46e6),
    _llama("Llama 3.1 70B", _LLAMA3, 70.6e9, 15e12, (8192, 80, 28_672, 128_256, 8192), 1 / 8,
           "h100-sxm", 7.0e6),
    _llama("Llama 3.1 405B", _LLAMA3, 405e9, 15.6e12, (16_384, 126, 53_248, 128_256, 8192), 1 / 16,
           "h100-sxm", 30.84e6, 3.8e25),
    _pythia("70M", 512, 6, 70.4e6, 510),
    _pythia("160M", 768, 12, 162.3e6, 1_030),
    _pythia("410M", 1024, 24, 405.3e6, 2_540),
    _pythia("1B", 2048, 16, 1011.8e6, 4_830),
    _pythia("1.4B", 2048, 24, 1414.6e6, 7_120),
    _pythia("2.8B", 2560, 32, 2775.2e6, 14_240),
    _pythia("6.9B", 4096, 32, 6857.3e6, 33_500),
    _pythia("12B", 5120, 36, 11_846.1e6, 72_300),
)  # fmt: skip


def utilisation_of(training: Training, peak: float) -> float:
    """Share of the peak that 6 N D over all hours of a training comes to.

    Parameters
    ----------
    training
        One with device hours.
    peak
        Operations a second of one device.
    """
    assert training.device_hours is not None
    return 6 * training.parameters * training.tokens / (training.device_hours * 3600 * peak)
