from __future__ import annotations

import pytest

from facebench import ConfigError, DataError, UnknownName
from facebench.config import load
from facebench.planning import make


def plan(bench, *changes, **flags):
    return bench.plan(*changes, **{"plugin": "maker", **flags})


def test_parts_are_planned_as_far_as_the_protocols_need_them(bench):
    assert list(plan(bench).parts) == ["extractor", "downstream"]
    assert list(plan(bench, protocols=("judged",)).parts) == ["extractor", "judge"]
    assert list(plan(bench, protocols=("judged", "toy")).parts) == ["extractor", "judge", "downstream"]
    alone = make(bench.settings(plugin="maker"), bench.host.catalog, generates=True)
    assert list(alone.parts) == ["extractor"]
    assert alone.protocols == ()


def test_on_demo_faces_everybody_takes_its_demo_settings(bench):
    found = plan(bench, protocols=("judged", "toy"))
    assert found.trains
    assert found.method.options.epochs == 1
    assert (found.settings.generation.identities, found.settings.generation.images_per_id) == (3, 4)
    assert found.train_data.resolved == {"name": "demo", "identities": 4}
    extractor, judge, downstream = (found.parts[name] for name in ("extractor", "judge", "downstream"))
    assert extractor.backbone.resolved == {"name": "tinier", "width": 8, "factor": 1.0}
    assert (extractor.method.options.epochs, judge.method.options.epochs, downstream.method.options.epochs) == (2, 1, 2)
    assert (extractor.settings.seed, judge.settings.seed, downstream.settings.seed) == (0, 1, 0)
    assert all(part.train_data.resolved == found.train_data.resolved for part in found.parts.values())


def test_elsewhere_the_defaults_hold(bench, tmp_path):
    found = plan(bench, train_data={"name": str(tmp_path)})
    assert found.method.options.epochs == 3
    assert (found.settings.generation.identities, found.settings.generation.images_per_id) == (10_000, 50)
    assert found.parts["extractor"].backbone.name == "small"
    assert found.resolved()["train_data"] == {"name": str(tmp_path)}


def test_what_the_user_sets_wins(bench):
    found = plan(
        bench,
        "generation.identities=7",
        "generation.contrast=2",
        "extractor.backbone.width=5",
        "judge.seed=9",
        "judge.backbone.name=small",
        "downstream.trainer.epochs=4",
        "downstream.faces=mixed",
        protocols=("judged", "toy"),
    )
    assert (found.settings.generation.identities, found.drawing.contrast) == (7, 2)
    assert found.parts["extractor"].backbone.resolved == {"name": "tinier", "width": 5, "factor": 1.0}
    assert found.parts["judge"].backbone.resolved == {"name": "small", "width": 16, "factor": 1.0}
    assert found.parts["judge"].settings.seed == 9
    assert found.parts["downstream"].method.options.epochs == 4
    assert found.settings.downstream.faces == "mixed"


def test_the_judge_may_bring_its_own_weights(bench):
    found = plan(bench, "judge.plugin=means", "judge.embedder.scale=2", protocols=("judged",))
    assert found.parts["judge"].kind == "embedders"
    assert found.parts["judge"].method.options.scale == 2


@pytest.mark.parametrize(
    ("changes", "flags", "said"),
    [
        (("backbone.width=3",), {}, "section 'backbone' does not apply: 'maker' is a generator; say extractor.KEY"),
        (("trainer.epochs=3",), {}, "section 'trainer' does not apply: 'maker' is a generator"),
        (("generator.epoch=3",), {}, "unknown option in 'generator': 'epoch'; did you mean 'epochs'?"),
        (("generation.contrst=3",), {}, "unknown option in 'generation': 'contrst'; did you mean 'contrast'?"),
        (("generation.identities=0",), {}, "generation.identities = 0: input should be greater than or equal to 1"),
        (
            ("extractor.plugin=means",),
            {},
            "extractor.plugin = 'means' is one of the embedders; the extractor is trained",
        ),
        (("downstream.plugin=maker",), {}, "downstream.plugin = 'maker' is one of the generators"),
        (("extractor.plugin=tinny",), {}, "unknown method (trainer, generator or embedder) 'tinny'"),
        (("extractor.trainer.keep=best",), {}, "extractor: trainer.keep = 'best' needs something to judge by"),
        ((), {"weights": "nowhere"}, "weights nowhere: a generator is loaded from the folder of its checkpoint"),
        (("generator.epochs=2",), {"plugin": "tiny"}, "section 'generator' does not apply: 'tiny' is no generator"),
        (("judge.seed=2",), {}, "section 'judge' does not apply: no protocol of this run needs it"),
        (("downstream.weights=x",), {}, "downstream.weights does not apply: it is trained on the generated faces"),
        (("judge.seed=2",), {"plugin": "means"}, "section 'judge' does not apply: 'means' is no generator"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(bench, changes, flags, said):
    with pytest.raises((ConfigError, UnknownName, DataError)) as error:
        plan(bench, *changes, **flags)
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_only_generators_draw(bench):
    with pytest.raises(UnknownName, match="unknown generator 'tiny'; offered: maker; it is one of the trainers"):
        make(bench.settings(plugin="tiny"), bench.host.catalog, generates=True)


def test_a_resolved_plan_runs_the_same_again(bench):
    found = plan(bench, "judge.seed=5", "generation.contrast=3", "downstream.faces=mixed", protocols=("judged", "toy"))
    again = make(load(None, flags=found.resolved()), bench.host.catalog)
    assert again.resolved() == found.resolved()
    assert again.fingerprint() == found.fingerprint()


@pytest.mark.parametrize(
    "change",
    [
        "generator.epochs=2",
        "generation.contrast=2",
        "generation.identities=4",
        "extractor.trainer.epochs=5",
        "judge.seed=4",
        "downstream.faces=mixed",
        "generation.encoding=jpeg",
    ],
)
def test_what_decides_has_another_fingerprint(bench, change):
    usual = plan(bench, protocols=("judged", "toy"))
    assert plan(bench, change, protocols=("judged", "toy")).fingerprint() != usual.fingerprint()


@pytest.mark.parametrize("change", ["generation.form=tar", "extractor.trainer.workers=3", "embedding.batch_size=3"])
def test_what_cannot_change_a_number_has_the_same(bench, change):
    usual = plan(bench, protocols=("judged", "toy"))
    assert plan(bench, change, protocols=("judged", "toy")).fingerprint() == usual.fingerprint()


def test_parts_may_bring_their_own_weights_on_demo_faces(bench):
    network = bench.train("backbone.name=small").checkpoint.folder
    found = plan(bench, f"extractor.weights='{network}'", f"judge.weights='{network}'", protocols=("judged",))
    assert {part.backbone.name for part in found.parts.values()} == {"small"}
    assert not any(part.trains for part in found.parts.values())


def test_a_plan_with_weights_runs_the_same_again(bench):
    kept = bench.train(plugin="maker").checkpoint.folder
    found = plan(bench, protocols=("judged", "toy"), weights=kept)
    again = make(load(None, flags=found.resolved()), bench.host.catalog)
    assert again.resolved() == found.resolved()
    assert again.fingerprint() == found.fingerprint()


def test_a_generator_of_photographs_is_not_drawn_from_as_on_demo_faces(bench, tmp_path):
    bench.generate(tmp_path / "faces")
    kept = bench.train(plugin="maker", train_data={"name": str(tmp_path / "faces")}).checkpoint.folder
    assert plan(bench, weights=kept).settings.generation.identities == 10_000
    few = ("generation.identities=2", "generation.images_per_id=2")
    judged = bench.run(*few, plugin="maker", protocols=("judged",), weights=kept).results[0]
    assert judged.data.counts == {"images": 4, "reference": 0, "beside": 0}
    assert not judged.data.demo
    assert any("the training set at hand is another ('demo')" in said for said in judged.warnings)
