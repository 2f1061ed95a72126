"""The data of a run, built once for all configs that agree on what was read for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distsys.config.reuse import reused, settle
from distsys.config.schema import CoreConfig
from distsys.domains.protocol import AnyDomain, DataBundle, EvalSet

_MOMENTS = (0.0, 0.5, 1.0)
"""Of a run: what a source reads late, it reads at one of them."""


def built_data(domain: AnyDomain, config: CoreConfig) -> DataBundle:
    """The data of ``config``: those of an earlier call where no key differs that was read to build them."""

    @reused
    def build(config: CoreConfig, *, name: str) -> DataBundle:
        bundle = domain.build_data(config, seed=config.seed)
        for progress in _MOMENTS:
            bundle.train.batch([0], progress=progress)
        return bundle

    kind = type(domain)
    bundle = build(config, name=f"{domain.name} of {kind.__module__}.{kind.__qualname__}")
    settle(bundle)
    return bundle


def changed_sets(meta: Mapping[str, Any], data: DataBundle) -> list[str]:
    """Frozen sets that are not those a checkpoint was made beside, and may hold what it was trained on."""
    made = meta.get("sets", {})
    return [name for name, digest in set_digests(data).items() if made.get(name, digest) != digest]


def set_digests(data: DataBundle) -> dict[str, str]:
    """What tells a frozen set from another, by its name."""
    return {name: frozen.digest for name, frozen in frozen_sets(data).items()}


def frozen_sets(data: DataBundle) -> dict[str, EvalSet]:
    """The sets that are evaluated on, by their names."""
    return {"validation": data.validation, "test": data.test}
