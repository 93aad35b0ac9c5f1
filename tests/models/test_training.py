"""Training: global state untouched, known minima, early stopping, a missing torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from statlas.core import InputError, MissingExtra
from statlas.models.training import (
    TrainingPlan,
    dense_layer,
    limited_threads,
    perceptron,
    require_torch,
    split_validation,
    torch_generator,
    train_network,
)

pytestmark = pytest.mark.extras
torch = pytest.importorskip("torch")


def _line_fit(seed: int = 0, epochs: int = 400, **plan: float) -> tuple[object, object]:
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(200, 2)))
    y = x @ torch.tensor([[2.0], [-1.0]], dtype=torch.float64) + 0.5
    layer = dense_layer(2, 1, torch_generator(rng))

    def loss(rows: np.ndarray) -> object:
        return ((layer(x[torch.from_numpy(rows)]) - y[torch.from_numpy(rows)]) ** 2).mean()

    settings = {"learning_rate": 0.05, "weight_decay": 0.0} | plan
    train = np.arange(150)
    history = train_network(
        layer,
        lambda batch: loss(train[batch]),
        150,
        TrainingPlan(epochs=epochs, **settings),
        rng,
        lambda: loss(np.arange(150, 200)),
    )
    return layer, history


def test_recovers_a_line_without_noise() -> None:
    layer, history = _line_fit()
    assert torch.allclose(layer.weight, torch.tensor([[2.0, -1.0]], dtype=torch.float64), atol=1e-4)
    assert abs(float(layer.bias.detach()) - 0.5) < 1e-4
    assert history.validation_losses[history.best_epoch - 1] == min(history.validation_losses)


def test_global_state_of_torch_and_numpy_is_untouched() -> None:
    numbers, threads, dtype = (
        torch.get_rng_state(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
    )
    legacy = np.random.get_state()[1].copy()  # noqa: NPY002 - the state that must not change
    _line_fit(epochs=2)
    perceptron([3, 4, 1], torch_generator(np.random.default_rng(1)))
    assert torch.equal(numbers, torch.get_rng_state())
    assert threads == torch.get_num_threads()
    assert dtype == torch.get_default_dtype()
    assert np.array_equal(legacy, np.random.get_state()[1])  # noqa: NPY002


def test_same_seed_same_parameters_and_other_seed_others() -> None:
    first, again, other = (_line_fit(seed, epochs=3)[0] for seed in (0, 0, 1))
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)


def test_threads_are_put_back_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), limited_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise RuntimeError
    assert torch.get_num_threads() == before


def test_initial_weights_are_uniform_within_their_bound() -> None:
    layer = dense_layer(400, 500, torch_generator(np.random.default_rng(0)))
    bound = 1 / 20
    assert layer.weight.dtype == torch.float64
    assert float(layer.weight.detach().abs().max()) <= bound
    # Variance of the uniform law on +-bound is bound^2 / 3; 200,000 draws.
    assert float(layer.weight.detach().var()) == pytest.approx(bound**2 / 3, rel=0.01)


def test_training_stops_when_patience_runs_out_and_keeps_the_best() -> None:
    weight = torch.nn.ParameterList([torch.zeros(1, dtype=torch.float64)])
    losses = iter([3.0, 2.0, 2.5, 2.6, 2.7, 0.0])
    seen = []

    def validation() -> object:
        seen.append(float(weight[0].detach()))
        return torch.tensor(next(losses))

    plan = TrainingPlan(epochs=6, batch_size=1, patience=3, weight_decay=0.0)
    rng = np.random.default_rng(0)
    history = train_network(
        weight, lambda _: ((weight[0] - 1) ** 2).sum(), 1, plan, rng, validation
    )
    assert history.best_epoch == 2
    assert history.stopped_early
    assert len(history.train_losses) == 5
    assert float(weight[0].detach()) == seen[1]


def test_without_validation_every_epoch_runs() -> None:
    weight = torch.nn.ParameterList([torch.zeros(1, dtype=torch.float64)])
    plan = TrainingPlan(epochs=4, patience=1)
    rng = np.random.default_rng(0)
    history = train_network(weight, lambda _: (weight[0] ** 2).sum() + 1, 5, plan, rng)
    assert (history.best_epoch, len(history.train_losses), history.stopped_early) == (4, 4, False)


def test_infinite_loss_is_an_error() -> None:
    weight = torch.nn.ParameterList([torch.zeros(1, dtype=torch.float64)])
    with pytest.raises(InputError, match="range of floating-point"):
        train_network(
            weight,
            lambda _: weight[0].sum() * torch.inf,
            1,
            TrainingPlan(epochs=3),
            np.random.default_rng(0),
        )


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.9])
def test_split_is_a_partition_that_keeps_every_class_in_training(fraction: float) -> None:
    classes = np.repeat([0, 1, 2], [1, 5, 30])
    train, validation = split_validation(36, fraction, np.random.default_rng(0), classes)
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(36))
    assert set(classes[train]) == {0, 1, 2}
    expected = sum(min(round(fraction * n), n - 1) for n in (1, 5, 30))
    assert len(validation) == expected


BLOCK_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""


def test_absent_torch_names_its_extra() -> None:
    code = (
        f"{BLOCK_TORCH}"
        "import statlas.models.training as training\n"
        "from statlas.core import MissingExtra\n"
        "try: training.require_torch()\n"
        "except MissingExtra as error: print(error.package, error.extra)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["torch", "nn"]
    assert issubclass(MissingExtra, ImportError)
    assert require_torch() is torch
