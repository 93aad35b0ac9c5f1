"""What is held out together: the paper's five protocols, and two that hold out more.

Held-out groups are the levels of the named columns taken together, dealt to folds at random, as
in the paper's code (folder data/bigbench, a script for each of l1, l2_1, l2_2, l3 and l4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from statlas.scaling.bigbench_predict.records import IntArray, Records


@dataclass(frozen=True)
class Protocol:
    """One way of splitting records.

    Attributes
    ----------
    name, paper
        Name here and in the paper.
    together
        Codes whose combinations are held out as one.
    says
        What a held-out record is, for people.
    """

    name: str
    paper: str
    together: tuple[str, ...]
    says: str


RANDOM = Protocol("single record", "L1", ("model", "column"), "any single record")
MODEL_TASK = Protocol(
    "model and task", "L2.1", ("model", "task"), "a model never run on the task at any shots"
)
FAMILY_TASK_SHOTS = Protocol(
    "family, task and shots", "L2.2", ("family", "task", "shots"),
    "a family never run on the task at these shots",
)  # fmt: skip
FAMILY_TASK = Protocol(
    "family and task", "L3", ("family", "task"), "a family never run on the task"
)
FAMILY_GROUP = Protocol(
    "family and task group",
    "L4",
    ("family", "group"),
    "a family never run on any task of the group",
)
FAMILY = Protocol("family", "", ("family",), "a family without any record")
TASK = Protocol("task", "", ("task",), "a task without any record")
PROTOCOLS = (RANDOM, MODEL_TASK, FAMILY_TASK_SHOTS, FAMILY_TASK, FAMILY_GROUP, FAMILY, TASK)


def groups_of(records: Records, protocol: Protocol) -> IntArray:
    """The held-out group of each record, shape (n_records,), whole numbers from 0."""
    keys = np.zeros(len(records), dtype=np.int64)
    for name in protocol.together:
        keys = keys * records.count(name) + getattr(records, name)
    return np.unique(keys, return_inverse=True)[1].ravel().astype(np.int64)


def usable_protocols(records: Records) -> list[Protocol]:
    """Protocols that differ on these records and have at least three groups to hold out.

    Some fall together where there are no shots, no sizes or no task groups. The one whose name says
    more stays: "family and task" where there are no shots.
    """
    without_shots = records.count("shots") == 1
    found: list[tuple[Protocol, IntArray]] = []
    for protocol in PROTOCOLS:
        if without_shots and protocol is FAMILY_TASK_SHOTS:
            continue
        groups = groups_of(records, protocol)
        if groups.max() >= 2 and not any(_same_partition(groups, other) for _, other in found):
            found.append((protocol, groups))
    return [protocol for protocol, _ in found]


def _same_partition(one: IntArray, other: IntArray) -> bool:
    """Whether two codings group the records alike."""
    pairs = len(np.unique(one * (int(other.max()) + 1) + other))
    return pairs == int(one.max()) + 1 == int(other.max()) + 1


def make_folds(groups: IntArray, folds: int, rng: np.random.Generator) -> IntArray:
    """Fold of each record, groups kept whole and dealt at random to folds of equal size."""
    n_groups = int(groups.max()) + 1
    dealt = rng.permutation(n_groups) % min(folds, n_groups)
    return np.asarray(dealt[groups], dtype=np.int64)
