"""Training small torch networks without touching anything global.

Torch keeps one generator, one number of threads and one default dtype for the whole process.
Nothing here uses or changes them: parameters are drawn from a generator of their own, the number
of threads is put back, dtypes are named. Torch is imported when a function is called, so that this
module imports without it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from statlas.core import InputError, MissingExtra

IntArray = NDArray[np.int64]
# Torch's own types, which only a checker that has torch installed could look into.
Tensor = Any
TorchGenerator = Any
Module = Any

# Largest norm of a gradient that one step follows; keeps a rare bad batch from undoing a fit.
_LARGEST_GRADIENT = 5.0


def require_torch() -> Any:
    """The torch package.

    Raises
    ------
    MissingExtra
        If it is not installed.
    """
    try:
        import torch
    except ImportError:
        raise MissingExtra("torch", extra="nn") from None
    return torch


def torch_generator(rng: np.random.Generator, device: str = "cpu") -> TorchGenerator:
    """A torch generator of its own, seeded by one draw from `rng`.

    Parameters
    ----------
    rng
        Generator that is advanced by one draw.
    device
        Device on which the random numbers will be drawn.
    """
    generator = require_torch().Generator(device=device)
    generator.manual_seed(int(rng.integers(2**63 - 1)))
    return generator


@contextmanager
def limited_threads(n_threads: int = 1) -> Iterator[None]:
    """Run torch on `n_threads` threads inside the block, and as before after it.

    One thread is the fastest for networks this small, makes sums independent of the machine's
    number of cores, and leaves the cores to whatever runs replicates in parallel.
    """
    torch = require_torch()
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def dense_layer(
    n_inputs: int, n_outputs: int, generator: TorchGenerator, *, bias: bool = True
) -> Module:
    """A float64 linear layer with weights and biases uniform on +-1 / sqrt(n_inputs).

    Parameters
    ----------
    n_inputs, n_outputs
        Widths, at least 1.
    generator
        Source of the initial values; torch's global one is not used.
    bias
        Whether the layer has one.
    """
    torch = require_torch()
    layer = torch.nn.utils.skip_init(
        torch.nn.Linear, n_inputs, n_outputs, bias=bias, dtype=torch.float64
    )
    bound = 1 / math.sqrt(n_inputs)
    for parameter in layer.parameters():
        torch.nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return layer


def perceptron(widths: Sequence[int], generator: TorchGenerator) -> Module:
    """Linear layers of the given widths with ELU between them, linear at the end.

    Parameters
    ----------
    widths
        Inputs, hidden units of each layer, outputs: at least two numbers.
    generator
        Source of the initial values.
    """
    torch = require_torch()
    layers: list[Module] = []
    for n_inputs, n_outputs in itertools.pairwise(widths):
        layers += [dense_layer(n_inputs, n_outputs, generator), torch.nn.ELU()]
    return torch.nn.Sequential(*layers[:-1])


def split_validation(
    n_items: int,
    fraction: float,
    rng: np.random.Generator,
    strata: ArrayLike | None = None,
) -> tuple[IntArray, IntArray]:
    """Split items into training and validation at random.

    Parameters
    ----------
    n_items
        Number of items.
    fraction
        Share of validation items in [0, 1).
    rng
        Source of the split.
    strata
        Class of each item, shape (n_items,): every class keeps its share on both sides, and the
        first item drawn of each class trains.

    Returns
    -------
    train, validation
        Item numbers in increasing order; `validation` is empty where the share is below one item
        of every class.

    Examples
    --------
    >>> train, validation = split_validation(10, 0.2, np.random.default_rng(0))
    >>> len(train), len(validation)
    (8, 2)
    """
    classes = np.zeros(n_items, dtype=np.int64) if strata is None else np.asarray(strata)
    held_out = []
    for label in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == label))
        held_out.append(members[: min(round(fraction * len(members)), len(members) - 1)])
    validation = np.sort(np.concatenate(held_out)).astype(np.int64)
    return np.setdiff1d(np.arange(n_items), validation), validation


@dataclass(frozen=True)
class TrainingPlan:
    """How to train.

    Parameters
    ----------
    epochs
        Largest number of passes through the training items.
    batch_size
        Items a step.
    learning_rate, weight_decay
        Of Adam with decoupled weight decay.
    patience
        Epochs without a lower validation loss after which training stops.
    """

    epochs: int = 200
    batch_size: int = 32
    learning_rate: float = 5e-3
    weight_decay: float = 1e-4
    patience: int = 20


@dataclass(frozen=True)
class TrainingHistory:
    """What training did.

    Attributes
    ----------
    train_losses, validation_losses
        Mean loss of each epoch; the second is empty without validation.
    best_epoch
        Epoch (from 1) whose parameters were kept.
    stopped_early
        Whether patience ran out before the epochs did.
    """

    train_losses: tuple[float, ...]
    validation_losses: tuple[float, ...]
    best_epoch: int
    stopped_early: bool


def train_network(
    network: Module,
    batch_loss: Callable[[IntArray], Tensor],
    n_items: int,
    plan: TrainingPlan,
    rng: np.random.Generator,
    validation_loss: Callable[[], Tensor] | None = None,
) -> TrainingHistory:
    """Train with Adam in shuffled batches; keep the parameters of the best validation loss.

    Without `validation_loss` all epochs run and the last parameters are kept.

    Parameters
    ----------
    network
        Holds the parameters; changed in place.
    batch_loss
        Mean loss of the items with the given numbers in [0, n_items).
    n_items
        Number of training items.
    plan
        Epochs, batches, steps, patience.
    rng
        Source of the order of items.
    validation_loss
        Loss on items that do not train, evaluated after every epoch without gradients.

    Raises
    ------
    InputError
        If the loss is not finite in the first epoch: the data are out of range.
    """
    torch = require_torch()
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
    )
    best, best_epoch, best_state = math.inf, 0, _copy_state(network)
    train_losses: list[float] = []
    validation_losses: list[float] = []
    for epoch in range(1, plan.epochs + 1):
        train_losses.append(_one_epoch(network, optimiser, batch_loss, n_items, plan, rng))
        if not math.isfinite(train_losses[-1]):
            break
        if validation_loss is None:
            best_epoch = epoch
            continue
        with torch.no_grad():
            validation_losses.append(float(validation_loss()))
        if validation_losses[-1] < best:
            best, best_epoch, best_state = validation_losses[-1], epoch, _copy_state(network)
        elif epoch - best_epoch >= plan.patience:
            break
    if best_epoch == 0:
        raise InputError(
            "training left the range of floating-point numbers in its first epoch",
            remedy="scale features and targets, or lower the learning rate",
        )
    if validation_loss is not None:
        network.load_state_dict(best_state)
    stopped = len(train_losses) < plan.epochs
    return TrainingHistory(tuple(train_losses), tuple(validation_losses), best_epoch, stopped)


def _one_epoch(
    network: Module,
    optimiser: Any,
    batch_loss: Callable[[IntArray], Tensor],
    n_items: int,
    plan: TrainingPlan,
    rng: np.random.Generator,
) -> float:
    """One pass through the items in a new order; returns the mean loss on the way."""
    torch = require_torch()
    total = 0.0
    order = rng.permutation(n_items)
    for start in range(0, n_items, plan.batch_size):
        batch = order[start : start + plan.batch_size]
        optimiser.zero_grad()
        loss = batch_loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
        optimiser.step()
        total += float(loss.detach()) * len(batch)
    return total / n_items


def _copy_state(network: Module) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
