"""Tables of training runs: their columns as people name them, units, and what follows from what.

Recipes about training runs take these roles, so that one table serves them all:

    Roles(parameters=PARAMETERS, tokens=TOKENS, compute=COMPUTE, loss=LOSS, min_rows=6)

`dataclasses.replace(LOSS, optional=True)` changes what one recipe needs otherwise. Inside, all is
in plain numbers: parameters, tokens, floating-point operations (FLOP), no logarithms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from statlas.core.errors import InputError
from statlas.core.numerics.laws.allocation import FLOPS_PER_PARAMETER_AND_TOKEN
from statlas.core.options import Option
from statlas.core.roles import Category, Number
from statlas.core.tables import Table

FloatArray = NDArray[np.float64]

PARAMETERS = Number(
    gt=0,
    help="weights of the model",
    aliases=("N", "n_params", "params", "model_size", "size", "num_params"),
)
TOKENS = Number(
    gt=0,
    optional=True,
    help="tokens trained on",
    aliases=("D", "n_tokens", "training_tokens", "data", "num_tokens", "tokens_seen"),
)
COMPUTE = Number(
    gt=0,
    optional=True,
    help="floating-point operations of the training",
    aliases=("C", "flops", "flop", "training_flop", "training_flops", "budget"),
)
LOSS = Number(
    gt=0,
    varies=True,
    help="loss of the run, such as nats a token",
    aliases=("L", "val_loss", "test_loss", "final_loss", "eval_loss", "train_loss"),
)
WIDTH = Number(gt=0, optional=True, help="width of the model", aliases=("d_model", "hidden_size"))
DEPTH = Number(gt=0, optional=True, help="number of blocks", aliases=("n_layers", "layers"))
VOCABULARY = Number(gt=0, optional=True, help="symbols of the last layer", aliases=("vocab_size",))
CONTEXT = Number(gt=0, optional=True, help="tokens a sequence", aliases=("seq_len", "n_ctx"))
LEARNING_RATE = Number(gt=0, optional=True, help="learning rate", aliases=("lr", "peak_lr"))
BATCH_SIZE = Number(gt=0, optional=True, help="batch size", aliases=("bs", "batch"))
RUN = Category(
    optional=True,
    help="name of the training; its checkpoints share it and are drawn together",
    aliases=("run_id", "run_name", "training"),
)

ParametersUnit = Annotated[
    float, Option(gt=0, help="parameters in one unit of the column, such as 1e9")
]
TokensUnit = Annotated[float, Option(gt=0, help="tokens in one unit of the column, such as 1e12")]
ComputeUnit = Annotated[float, Option(gt=0, help="FLOP in one unit of the column, such as 1e21")]


# Names of columns that state a unit, for recipes that read it with `unit_in_name`.
NAMED_SIZES = (
    "#Params (B)", "Params (B)", "Parameters (B)", "Model Size (B)", "Size (B)", "Params (M)",
    "Parameters (M)",
)  # fmt: skip
NAMED_TOKENS = (
    "Pretraining Data Size (T)", "Tokens (T)", "Training Tokens (T)", "Pretraining Tokens (T)",
    "Tokens (B)", "Training Tokens (B)",
)  # fmt: skip
_LETTERS = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}


def unit_in_name(column: str) -> float:
    """The unit that a column's name states in brackets, 1 where it states none.

    Examples
    --------
    >>> unit_in_name("#Params (B)"), unit_in_name("FLOPs (1E21)"), unit_in_name("tokens")
    (1000000000.0, 1e+21, 1.0)
    """
    found = re.search(r"[(\[]\s*([kmbt]|1e\d+)\s*[)\]]\s*$", column.strip(), re.IGNORECASE)
    if found is None:
        return 1.0
    text = found.group(1).lower()
    return _LETTERS[text] if text in _LETTERS else float(text)


@dataclass(frozen=True)
class RunSizes:
    """Sizes of the runs of a table in plain numbers, shape (n_runs,) each.

    Attributes
    ----------
    parameters, tokens
        N and D.
    compute
        The column of compute, or 6 N D without one.
    stated_compute
        Whether there was a column of compute.
    """

    parameters: FloatArray
    tokens: FloatArray
    compute: FloatArray
    stated_compute: bool

    @property
    def flops_ratio(self) -> float:
        """Median of compute / (6 N D); 1 where compute follows from the others."""
        return float(
            np.median(
                self.compute / (FLOPS_PER_PARAMETER_AND_TOKEN * self.parameters * self.tokens)
            )
        )


def read_run_sizes(
    table: Table,
    parameters_unit: float = 1.0,
    tokens_unit: float = 1.0,
    compute_unit: float = 1.0,
) -> RunSizes:
    """N, D and C of a table with the roles ``parameters`` and ``tokens`` or ``compute``.

    Whichever of tokens and compute is not there follows from C = 6 N D.

    Raises
    ------
    InputError
        Without a column of tokens and without one of compute.
    """
    parameters = table.number("parameters") * parameters_unit
    per_token = FLOPS_PER_PARAMETER_AND_TOKEN * parameters
    stated = table.has("compute")
    if table.has("tokens"):
        tokens = table.number("tokens") * tokens_unit
        compute = table.number("compute") * compute_unit if stated else per_token * tokens
    elif stated:
        compute = table.number("compute") * compute_unit
        tokens = compute / per_token
    else:
        raise InputError(
            "neither a column of tokens nor one of compute was found",
            remedy="name one with tokens=COLUMN or compute=COLUMN",
        )
    return RunSizes(parameters, tokens, compute, stated)
