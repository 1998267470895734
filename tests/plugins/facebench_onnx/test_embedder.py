"""Pictures in, embeddings out: the same whatever the graph's batch, and refused where the graph is no embedder."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from facebench import ConfigError, DataError
from facebench_onnx.embedder import OnnxEmbedder
from facebench_onnx.plugin import OnnxOptions

if TYPE_CHECKING:
    from pathlib import Path

RAW = {"mean": 0.0, "std": 1.0}


def opened(path: Path, **options: Any) -> OnnxEmbedder:
    return OnnxEmbedder(path, OnnxOptions(**{"threads": 1, **options}))


def planes(pictures: Any, mean: float = 127.5, std: float = 127.5) -> Any:
    return (pictures.astype(np.float64).transpose(0, 3, 1, 2) - mean) / std


def same(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found.vectors, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    assert found.vectors.dtype == np.float32
    assert found.confidence is None


def test_vectors_are_those_of_the_formula(parts: Any, save: Any, net: Any, pictures: Any) -> None:
    embedder = opened(save(parts()))
    assert embedder.embedding_size == 7
    assert embedder.preprocess.size == pictures.shape[1:3]
    same(embedder.embed(pictures), net.vectors(planes(pictures)))


def test_a_graph_that_normalises_gets_raw_pixels(parts: Any, save: Any, net: Any, pictures: Any) -> None:
    path = save(parts(before=(("Sub", "_minusscalar0", 127.5), ("Mul", "_mulscalar0", 1 / 128))))
    embedder = opened(path)
    assert (embedder.preprocess.mean, embedder.preprocess.std) == ((0, 0, 0), (1, 1, 1))
    assert "in the graph: Sub '_minusscalar0', Mul '_mulscalar0'" in embedder.notes["preprocess"]
    same(embedder.embed(pictures), net.vectors(planes(pictures, 127.5, 128)))


def test_bgr_and_one_mean_per_channel(parts: Any, save: Any, net: Any, pictures: Any) -> None:
    embedder = opened(save(parts()), color="bgr", mean=(10.0, 20.0, 30.0), std=(2.0, 3.0, 4.0))
    wanted = pictures[..., ::-1].astype(np.float64)
    wanted = (wanted - [10, 20, 30]) / [2, 3, 4]
    same(embedder.embed(pictures), net.vectors(wanted.transpose(0, 3, 1, 2)))


@pytest.mark.parametrize("count", [1, 4, 10])
def test_a_fixed_batch_is_filled_and_cut(count: int, parts: Any, save: Any, net: Any, pictures: Any) -> None:
    embedder = opened(save(parts(batch=4)))
    same(embedder.embed(pictures[:count]), net.vectors(planes(pictures[:count])))


def test_how_many_at_a_time_does_not_matter(parts: Any, save: Any, pictures: Any) -> None:
    path = save(parts())
    one, seven = (opened(path, batch_size=n).embed(pictures).vectors for n in (1, 7))
    np.testing.assert_allclose(one, seven, rtol=0, atol=1e-6 * np.abs(one).max())
    apart = np.concatenate([opened(path).embed(pictures[i : i + 1]).vectors for i in range(len(pictures))])
    np.testing.assert_allclose(apart, seven, rtol=0, atol=1e-6 * np.abs(one).max())


def test_an_open_batch_that_is_fixed_inside_is_found_out(parts: Any, save: Any, net: Any, pictures: Any) -> None:
    made = parts()
    made.weights["shape"] = np.array([1, -1], np.int64)
    made.nodes[1] = helper.make_node("Reshape", ["maps", "shape"], ["flat"])
    embedder = opened(save(made))
    assert "one picture at a time" in embedder.notes["batch"]
    same(embedder.embed(pictures), net.vectors(planes(pictures)))
    assert "batch" not in opened(save(parts())).notes


def test_half_precision(parts: Any, save: Any, net: Any, pictures: Any) -> None:
    embedder = opened(save(parts(dtype=np.float16)))
    found, wanted = embedder.embed(pictures).vectors, net.vectors(planes(pictures))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=0.01 * np.abs(wanted).max())


def test_external_weights_are_read(parts: Any, net: Any, pictures: Any, tmp_path: Path) -> None:
    onnx.save(parts().proto(), tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    same(opened(tmp_path / "m.onnx").embed(pictures), net.vectors(planes(pictures)))
    whole = (tmp_path / "m.data").read_bytes()
    (tmp_path / "m.data").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot load"):
        opened(tmp_path / "m.onnx")


def test_the_fingerprint_follows_what_changes_the_output(parts: Any, save: Any, net: Any, tmp_path: Path) -> None:
    path = save(parts())
    elsewhere = shutil.copy(path, tmp_path / "copy.onnx")
    changed = parts()
    changed.weights["bias"] = changed.weights["bias"] + 1
    same_thing = {opened(path).fingerprint, opened(elsewhere, batch_size=3, output="embedding").fingerprint}
    assert len(same_thing) == 1
    others = {
        opened(path, **RAW).fingerprint,
        opened(path, color="bgr").fingerprint,
        opened(save(changed, "changed.onnx")).fingerprint,
    }
    assert len(others | same_thing) == 4


class TestOutputs:
    @staticmethod
    def two(parts: Any) -> Any:
        made = parts()
        made.nodes.append(helper.make_node("Neg", ["embedding"], ["logits"]))
        made.outputs.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 7]))
        return made

    def test_of_two_one_must_be_told(self, parts: Any, save: Any, net: Any, pictures: Any) -> None:
        path = save(self.two(parts))
        with pytest.raises(ConfigError, match=r"embedder.output.*embedding \(2, 7\), logits \(2, 7\)"):
            opened(path)
        first, second = opened(path, output="embedding"), opened(path, output="logits")
        same(first.embed(pictures), net.vectors(planes(pictures)))
        same(second.embed(pictures), -net.vectors(planes(pictures)))
        assert first.fingerprint != second.fingerprint

    def test_the_only_flat_one_is_taken(self, parts: Any, save: Any, net: Any, pictures: Any) -> None:
        made = parts()
        made.outputs.insert(0, helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["N", 4, 6, 5]))
        path = save(made)
        same(opened(path).embed(pictures), net.vectors(planes(pictures)))
        with pytest.raises(ConfigError, match="not of shape"):
            opened(path, output="maps")

    def test_an_unknown_name(self, parts: Any, save: Any) -> None:
        with pytest.raises(ConfigError, match=r"'fc9' is no float output"):
            opened(save(parts()), output="fc9")

    def test_none_fits(self, parts: Any, save: Any) -> None:
        made = parts()
        made.outputs = [helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["N", 4, 6, 5])]
        with pytest.raises(DataError, match=r"no output has the shape \(N, D\)"):
            opened(save(made))

    def test_none_is_float(self, parts: Any, save: Any) -> None:
        made = parts()
        made.nodes.append(helper.make_node("ArgMax", ["embedding"], ["class"], axis=1))
        made.outputs = [helper.make_tensor_value_info("class", TensorProto.INT64, ["N", 1])]
        with pytest.raises(DataError, match="no output of this graph is a float tensor"):
            opened(save(made))


class TestInputs:
    @staticmethod
    def shaped(parts: Any, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
        """A graph that only says what it takes: the mean over all but the first axis."""
        made = parts()
        made.inputs = [helper.make_tensor_value_info("data", kind, shape)]
        made.nodes = [
            helper.make_node("Cast", ["data"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["floats"], ["flat"]),
            helper.make_node("ReduceMean", ["flat"], ["embedding"], axes=[1]),
        ]
        made.outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, None)]
        made.weights = {}
        return made

    @pytest.mark.parametrize(
        ("shape", "said"),
        [
            (["N", 3, 8], "expected \\(N, 3, height, width\\)"),
            (["N", 8, 8, 3], "channels last"),
            (["N", 1, 8, 8], "1 channels"),
        ],
    )
    def test_other_shapes_are_refused(self, shape: list[Any], said: str, parts: Any, save: Any) -> None:
        with pytest.raises(DataError, match=said):
            opened(save(self.shaped(parts, shape)))

    def test_other_types_are_refused(self, parts: Any, save: Any) -> None:
        with pytest.raises(DataError, match="uint8"):
            opened(save(self.shaped(parts, ["N", 3, 8, 8], TensorProto.UINT8)))

    def test_two_inputs_are_refused(self, parts: Any, save: Any) -> None:
        made = parts()
        made.inputs.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [7]))
        made.nodes[-1].input[2] = "other"
        with pytest.raises(DataError, match=r"data \(N, 3, 6, 5\), other \(7\)"):
            opened(save(made))

    def test_an_open_size_must_be_told(self, parts: Any, save: Any, pictures: Any) -> None:
        path = save(self.shaped(parts, ["N", 3, "H", "W"]))
        with pytest.raises(ConfigError, match=r"set embedder.size"):
            opened(path)
        embedder = opened(path, size=(6, 5), **RAW)
        assert embedder.preprocess.size == (6, 5)
        same(embedder.embed(pictures), pictures.mean(axis=(1, 2, 3))[:, None])

    def test_a_told_size_must_be_the_graphs(self, parts: Any, save: Any) -> None:
        assert opened(save(parts()), size=(6, 5)).preprocess.size == (6, 5)
        with pytest.raises(ConfigError, match="contradicts"):
            opened(save(parts()), size=(5, 6))

    def test_a_size_that_the_graph_cannot_take(self, parts: Any, save: Any) -> None:
        made = parts()
        made.inputs = [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 3, "H", "W"])]
        with pytest.raises(DataError, match="does not run on pictures of 9 x 9"):
            opened(save(made), size=(9, 9))

    def test_pictures_must_fit(self, parts: Any, save: Any, pictures: Any) -> None:
        embedder = opened(save(parts()))
        for wrong in (pictures[:, :4], pictures[0], pictures.astype(np.float32), pictures[:0]):
            with pytest.raises(DataError, match=r"it takes uint8 \(N, 6, 5, 3\)"):
                embedder.embed(wrong)


def test_nan_is_handed_on(parts: Any, save: Any, pictures: Any) -> None:
    made = parts()
    made.weights["bias"] = made.weights["bias"] * np.nan
    assert np.isnan(opened(save(made)).embed(pictures).vectors).all()


def test_operators_of_strangers_are_refused(parts: Any, save: Any, capfd: pytest.CaptureFixture[str]) -> None:
    made = parts()
    made.nodes[1] = helper.make_node("Flatten", ["maps"], ["flat"], domain="com.stranger")
    with pytest.raises(DataError, match="cannot load"):
        opened(save(made))
    assert capfd.readouterr().err == ""


def test_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x00" * 1000)
    with pytest.raises(DataError, match="not an ONNX model"):
        opened(tmp_path / "model.onnx")


def test_a_device_that_is_not_there(parts: Any, save: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ConfigError, match="computes on cpu only"):
        opened(save(parts()), device="cuda")


def test_a_graph_that_fails_later_is_told(parts: Any, save: Any, pictures: Any) -> None:
    """It takes two pictures at most, which the trial does not see."""
    made = parts()
    made.weights |= {"starts": np.array([0], np.int64), "ends": np.array([2], np.int64)}
    made.nodes.append(helper.make_node("Slice", ["embedding", "starts", "ends"], ["cut"]))
    made.outputs = [helper.make_tensor_value_info("cut", TensorProto.FLOAT, None)]
    with pytest.raises(DataError, match=r"has shape \(2, 7\); expected \(10, 7\)"):
        opened(save(made)).embed(pictures)
