"""How fast demo faces are drawn. Run alone on a quiet machine: ``OMP_NUM_THREADS=1 pytest tests/benchmarks``."""

from __future__ import annotations

import numpy as np

from facebench.demo import DemoFaces

FLOOR = 700
"""Pictures per second on one core, ordinary nuisance included: a quiet core draws 1,000, a shared one a bit less."""


def test_demo_faces_per_second(benchmark):
    faces = DemoFaces(range(64), 8)
    indices = np.random.default_rng(0).permutation(len(faces))
    faces.batch(indices[:16])
    pictures = benchmark(faces.batch, indices)
    assert pictures.shape == (512, 112, 112, 3)
    per_second = len(faces) / benchmark.stats.stats.median
    benchmark.extra_info["images_per_second"] = round(per_second)
    assert per_second >= FLOOR, f"{per_second:.0f} pictures per second; expected at least {FLOOR}"
