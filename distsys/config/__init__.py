"""What an experiment is asked to do: schema, layers, overrides, search space and identity."""

from distsys.config.paths import DataPath
from distsys.config.schema import Band, CoreConfig, Schedule, Section, Share

__all__ = ["Band", "CoreConfig", "DataPath", "Schedule", "Section", "Share"]
