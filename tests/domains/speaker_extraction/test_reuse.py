"""What is read and made once for all configs that cannot tell the difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distsys.config.layers import read_layers
from distsys.config.reuse import reads_of
from distsys.config.schema import CoreConfig
from distsys.config.validate import config_type, validate_layers
from distsys.domains.protocol import DataBundle
from distsys.domains.speaker_extraction import SpeakerExtraction
from distsys.domains.speaker_extraction.config import Config
from distsys.domains.speaker_extraction.data import speakers
from distsys.domains.speaker_extraction.data.mixing import MixtureSource
from distsys.domains.speaker_extraction.data.recordings import read_recording
from distsys.training.data import built_data
from tests.domains.speaker_extraction.support import SMALL, write_speakers


def configured(*overrides: str) -> CoreConfig:
    path = Path(__file__).parents[3] / "configs" / "speaker_extraction.yaml"
    layers = read_layers(path, preset=None, overrides=(*SMALL, *overrides))
    return validate_layers(layers, config_type(Config))


def built(*overrides: str) -> DataBundle:
    return built_data(SpeakerExtraction(), configured(*overrides))


def stock_of(bundle: DataBundle) -> object:
    assert isinstance(bundle.train, MixtureSource)
    return bundle.train.mixer.stock


def test_settings_of_the_loss_and_of_the_model_share_the_data() -> None:
    first = built()
    assert built("model.ta_target_db=-20.0", "model.width=16", "optimizer.learning_rate=1e-4") is first
    assert not [path for path in reads_of(first) if path.startswith("model.")]


@pytest.mark.parametrize("override", ["data.ta_share=0.4", "data.ta_from=0.9"])
def test_another_curriculum_is_another_source_of_the_same_speech(override: str) -> None:
    first, second = built(), built(override)
    assert second.train is not first.train
    assert stock_of(second) is stock_of(first)
    assert second.validation is first.validation
    assert second.test is first.test


@pytest.mark.parametrize("override", ["data.speeds=[1.0]", "data.mixture_s=0.6"])
def test_frozen_sets_do_not_depend_on_how_training_speech_is_cut(override: str) -> None:
    first, second = built(), built(override)
    assert stock_of(second) is not stock_of(first)
    assert second.validation is first.validation


def test_what_a_set_is_made_with_makes_another() -> None:
    first, louder, longer = built(), built("data.max_sir_db=9.0"), built("data.test_items=60")
    assert louder.validation is not first.validation
    assert louder.validation != first.validation
    assert longer.validation is first.validation
    assert longer.test is not first.test


def test_recordings_are_read_once_for_all_of_these(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, read = write_speakers(tmp_path / "speakers"), list[Path]()

    def counted(path: Path, *rest: Any, **more: Any) -> np.ndarray | None:
        read.append(path)
        return read_recording(path, *rest, **more)

    monkeypatch.setattr(speakers, "read_recording", counted)
    for override in ("data.ta_share=0.1", "data.speeds=[1.0]", "data.max_sir_db=9.0", "data.max_interferers=2"):
        built(f"data.speakers={folder}", override)
    assert len(read) == len(set(read)) == 28
