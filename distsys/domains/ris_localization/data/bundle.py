"""Endless training scenes, and frozen sets by condition."""

from __future__ import annotations

from distsys.config.reuse import reused
from distsys.domains.kit import part_seed
from distsys.domains.protocol import DataBundle, EvalSet
from distsys.domains.ris_localization.config import Config, DataConfig
from distsys.domains.ris_localization.data.conditions import Part, conditions_of
from distsys.domains.ris_localization.data.scenes import SceneSource
from distsys.domains.ris_localization.data.site import true_site

_PARTS = ("train", "validation", "test")


def build_data(config: Config, *, seed: int) -> DataBundle:
    """Training scenes and frozen sets for ``config``; no scene of one is a scene of another."""
    data = config.data
    validation, test = frozen_set(data, part="validation", seed=seed), frozen_set(data, part="test", seed=seed)
    return DataBundle(
        train=SceneSource(data, wave=data.steering, seed=part_seed(seed, "train", parts=_PARTS)),
        validation=validation,
        test=test,
        provenance={
            "source": "simulated",
            "steering assumed": data.steering,
            "steering of the frozen sets": data.world,
            "validation_scenes": data.validation_scenes * len(validation.batches),
            "test_scenes": data.test_scenes * len(test.batches),
            "licence": "Apache-2.0",
        },
    )


@reused
def frozen_set(data: DataConfig, *, part: Part, seed: int) -> EvalSet:
    """A batch a condition; the same for configs that differ only in how training scenes are drawn."""
    scene_seed = part_seed(seed, part, parts=_PARTS)
    count = data.test_scenes if part == "test" else data.validation_scenes
    batches, site = [], true_site(data)
    for number, condition in enumerate(conditions_of(data, part=part)):
        source = SceneSource(data, wave=data.world, seed=scene_seed, condition=condition, site=site)
        batches.append(source.batch(range(number * count, (number + 1) * count), progress=0.0))
    return EvalSet(batches)
