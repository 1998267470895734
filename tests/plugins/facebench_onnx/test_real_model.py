"""A published network on real faces, against embeddings computed apart from this package."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facebench_onnx.plugin import OnnxOptions, build

MODEL = "models/mobilefacenet_arcface_ms1m_112x112.onnx"
COUNT = 64


@pytest.fixture
def data() -> Path:
    folder = os.environ.get("FACEBENCH_TEST_DATA")
    if not folder:
        pytest.skip("FACEBENCH_TEST_DATA is not set")
    return Path(folder)


@pytest.mark.data
def test_a_published_model_gives_its_published_embeddings(data: Path) -> None:
    with np.load(data / "embeddings/lfw_mobilefacenet_arcface_ms1m.npz", allow_pickle=False) as stored:
        rows = {name: row for row, name in enumerate(stored["names"])}
        vectors, mirrored = stored["embedding"], stored["embedding_flip"]
    pictures, chosen = [], []
    with tarfile.open(data / "lfw/lfw_112x112.tar") as pack:
        for member in pack:
            file = pack.extractfile(member)
            if file is not None:
                pictures.append(np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB")))
                chosen.append(rows[member.name.removeprefix("lfw_112x112/")])
            if len(pictures) == COUNT:
                break
    embedder = build(data / MODEL, OnnxOptions(threads=1, batch_size=24))
    assert embedder.notes["preprocess"] == (
        "in the graph: Sub '_minusscalar0', Mul '_mulscalar0' before the first layer (found)"
    )
    assert (embedder.embedding_size, embedder.preprocess.size) == (128, (112, 112))
    images = np.stack(pictures)
    for given, wanted in ((images, vectors[chosen]), (images[:, :, ::-1], mirrored[chosen])):
        off = np.linalg.norm(embedder.embed(given).vectors - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
        assert off.max() < 1e-4
