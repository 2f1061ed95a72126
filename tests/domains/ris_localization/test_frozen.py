"""Frozen sets: made once for all configs that train on other scenes, and what no model changes about them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

from distsys.config import reuse
from distsys.domains.ris_localization import RisLocalization
from distsys.domains.ris_localization.config import Config
from distsys.domains.ris_localization.data.bundle import build_data, frozen_set
from distsys.domains.ris_localization.model.localizer import Localizer, localizer_of
from distsys.domains.ris_localization.model.network import CovarianceNet
from distsys.domains.ris_localization.score.evaluation import evaluate
from distsys.domains.ris_localization.score.figures import figures
from distsys.domains.ris_localization.score.frozen import deviations, raw_peaks
from distsys.testing.subject import Subject
from distsys.training.data import built_data


def small(**data: Any) -> Config:
    scenes = {"num_x": 4, "num_y": 4, "validation_scenes": 20, "test_scenes": 20}
    return Config.model_validate({"data": {**scenes, **data}, "model": {"width": 16, "depth": 1}})


def counted(function: Callable[..., Any], calls: list[int]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        calls.append(1)
        return function(*args, **options)

    return call


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({"coherent_share": 0.5, "partial_share": 0.2, "few_share": 0.1, "min_snr_db": 0.0}, True),
        ({"steering": "fresnel"}, True),
        ({"world": "fresnel"}, False),
        ({"max_range_m": 8.0}, False),
    ],
)
def test_a_frozen_set_is_made_again_only_where_its_scenes_change(change: dict[str, Any], is_same: bool) -> None:
    first = frozen_set(small().data, part="validation", seed=0)
    other = frozen_set(small(**change).data, part="validation", seed=0)
    assert (first is other) == is_same
    assert (first == other) == is_same


def test_built_data_can_be_handed_to_another_process() -> None:
    """After its reads were settled: a source that kept the section would read all of it when pickled."""
    subject = Subject("ris_localization", overrides=("data.validation_scenes=20", "data.test_scenes=20"))
    bundle = built_data(subject.domain, subject.config)
    copies = pickle.loads(pickle.dumps(reuse.kept()))
    (copy,) = [entry.result for entry in copies if hasattr(entry.result, "train")]
    assert copy.validation == bundle.validation
    first, second = (item.train.batch(range(4), progress=0.0)["snapshots"] for item in (bundle, copy))
    assert torch.equal(first, second)


def test_what_no_model_changes_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    config, calls = small(), list[int]()
    validation = build_data(config, seed=0).validation
    monkeypatch.setattr(Localizer, "raw_peaks", counted(Localizer.raw_peaks, calls))
    for seed in range(2):
        torch.manual_seed(seed)
        with torch.no_grad():
            evaluate(CovarianceNet(config).eval(), validation)
    assert len(calls) == len(validation.batches)
    for find in (raw_peaks, deviations):
        assert find(small(coherent_share=0.5).data, validation)[0] is find(config.data, validation)[0]
    assert raw_peaks(small(steering="fresnel").data, validation)[0] is not raw_peaks(config.data, validation)[0]


def test_the_dictionary_is_made_once_for_all_configs_of_one_surface() -> None:
    assert localizer_of(small().data) is localizer_of(small(coherent_share=0.5, world="fresnel").data)
    assert localizer_of(small().data) is not localizer_of(small(max_sources=3).data)


def test_figures_estimate_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    config, calls = small(), list[int]()
    test = build_data(config, seed=0).test
    model = CovarianceNet(config).eval()
    with torch.no_grad():
        found = evaluate(model, test)
        for owner, name in ((Localizer, "estimate"), (Localizer, "raw_peaks"), (CovarianceNet, "forward")):
            monkeypatch.setattr(owner, name, counted(getattr(owner, name), calls))
        assert len(figures(model, test, found)) == 4
    assert not calls


def test_what_starts_from_the_truth_is_a_bound_and_other_methods_are_peers() -> None:
    config = small()
    bundle = build_data(config, seed=0)
    rows = RisLocalization().baselines(config, bundle, bundle.validation)
    kinds = {kind: {name for name, row in rows.items() if row.kind == kind} for kind in ("trivial", "peer", "bound")}
    assert kinds["trivial"] == {"constant"}
    assert kinds["peer"] == {"raw MUSIC", "smoothed", "greedy ML"}
    assert kinds["bound"] == {"oracle", "CRB"}
    constant = rows["constant"].metrics
    assert constant["music_position_error_m"] == constant["position_error_m"]
