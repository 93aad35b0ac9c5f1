"""Accelerators: peak rates of dense products by number format, memory and power, as stated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from statlas.core import OptionError

Precision = Literal["bf16", "fp16", "fp8", "tf32", "fp32"]
AcceleratorName = Literal[
    "v100", "t4", "a100-40gb", "a100-80gb", "h100-sxm", "h100-pcie", "h200", "b200", "l40s",
    "rtx-4090", "mi250x", "mi300x", "tpu-v3", "tpu-v4", "tpu-v5p", "gaudi2", "custom",
]  # fmt: skip


@dataclass(frozen=True)
class Accelerator:
    """One device.

    Attributes
    ----------
    label
        Its name.
    peaks
        Peak rate by format, 1e12 operations a second, products of dense matrices (not the rates
        for sparse ones that data sheets often put first).
    memory
        In 1e9 bytes.
    watts
        Stated board or chip power; None where none is stated.
    source
        Where the numbers are stated.
    """

    label: str
    peaks: dict[str, float]
    memory: float
    watts: float | None
    source: str


_A100 = {"bf16": 312.0, "fp16": 312.0, "tf32": 156.0, "fp32": 19.5}
_H100 = {"bf16": 989.4, "fp16": 989.4, "fp8": 1978.9, "tf32": 494.7, "fp32": 66.9}

ACCELERATORS: dict[str, Accelerator] = {
    "v100": Accelerator(
        "NVIDIA V100 SXM2 32GB", {"fp16": 125.0, "fp32": 15.7}, 32, 300,
        "NVIDIA V100 data sheet",
    ),
    "t4": Accelerator("NVIDIA T4", {"fp16": 65.0, "fp32": 8.1}, 16, 70, "NVIDIA T4 data sheet"),
    "a100-40gb": Accelerator(
        "NVIDIA A100 SXM4 40GB", _A100, 40, 400, "NVIDIA A100 data sheet",
    ),
    "a100-80gb": Accelerator(
        "NVIDIA A100 SXM4 80GB", _A100, 80, 400, "NVIDIA A100 data sheet",
    ),
    "h100-sxm": Accelerator(
        "NVIDIA H100 SXM5 80GB", _H100, 80, 700, "NVIDIA H100 architecture paper",
    ),
    "h100-pcie": Accelerator(
        "NVIDIA H100 PCIe 80GB",
        {"bf16": 756.0, "fp16": 756.0, "fp8": 1513.0, "tf32": 378.0, "fp32": 51.0}, 80, 350,
        "NVIDIA H100 data sheet",
    ),
    "h200": Accelerator("NVIDIA H200 SXM 141GB", _H100, 141, 700, "NVIDIA H200 data sheet"),
    "b200": Accelerator(
        "NVIDIA B200 SXM", {"bf16": 2250.0, "fp16": 2250.0, "fp8": 4500.0}, 180, 1000,
        "NVIDIA HGX B200 data sheet, an eighth of the board",
    ),
    "l40s": Accelerator(
        "NVIDIA L40S", {"bf16": 362.0, "fp16": 362.0, "fp8": 733.0, "tf32": 183.0, "fp32": 91.6},
        48, 350, "NVIDIA L40S data sheet",
    ),
    "rtx-4090": Accelerator(
        "NVIDIA RTX 4090", {"bf16": 165.2, "fp16": 165.2, "fp8": 330.3, "fp32": 82.6}, 24, 450,
        "NVIDIA Ada architecture paper, sums kept in fp32",
    ),
    "mi250x": Accelerator(
        "AMD Instinct MI250X (both dies)", {"bf16": 383.0, "fp16": 383.0, "fp32": 47.9}, 128, 560,
        "AMD MI250X data sheet",
    ),
    "mi300x": Accelerator(
        "AMD Instinct MI300X",
        {"bf16": 1307.4, "fp16": 1307.4, "fp8": 2614.9, "tf32": 653.7, "fp32": 163.4}, 192, 750,
        "AMD MI300X data sheet",
    ),
    "tpu-v3": Accelerator(
        "Google TPU v3 chip", {"bf16": 123.0}, 32, None, "Google Cloud documentation of TPU v3",
    ),
    "tpu-v4": Accelerator(
        "Google TPU v4 chip", {"bf16": 275.0}, 32, 192,
        "Google Cloud documentation of TPU v4; the largest power that arXiv:2304.01433 reports",
    ),
    "tpu-v5p": Accelerator(
        "Google TPU v5p chip", {"bf16": 459.0}, 95, None, "Google Cloud documentation of TPU v5p",
    ),
    "gaudi2": Accelerator(
        "Intel Gaudi 2", {"bf16": 432.0, "fp8": 865.0}, 96, 600, "Intel Gaudi 2 white paper",
    ),
}  # fmt: skip


def peak_rate(name: str, precision: str, given: float | None) -> float:
    """Operations a second of one device at its peak.

    Parameters
    ----------
    name
        Of the accelerator, or ``"custom"``.
    precision
        Number format of the products.
    given
        Peak in 1e12 operations a second, which replaces the stated one.

    Raises
    ------
    OptionError
        For a custom device without a peak, or a format that the device has not.

    Examples
    --------
    >>> peak_rate("a100-80gb", "bf16", None)
    312000000000000.0
    """
    if given is not None:
        return given * 1e12
    if name == "custom":
        raise OptionError("accelerator 'custom' needs its peak; give it as peak_tflops")
    peaks = ACCELERATORS[name].peaks
    if precision not in peaks:
        raise OptionError(
            f"accelerator {name!r} has no stated peak for precision {precision!r}; it has "
            f"{', '.join(peaks)}, or give one as peak_tflops"
        )
    return peaks[precision] * 1e12
