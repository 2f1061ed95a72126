"""Settings of the domain: which data, which model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from distsys.config import DataPath, Section, Share

NUM_PARAMETERS = 13
"""Of a setting: gain and frequency of five bands, and Q of the three bells."""
SHARED = {"gain": "gain_db", "q": "q"}
"""What ``data.bounds`` calls the bounds that all bands have in common, by the kind of parameter."""
FREQUENCIES_HZ = {
    "low_shelf_freq_hz": (22.0, 1000.0),
    "bell1_freq_hz": (82.0, 3900.0),
    "bell2_freq_hz": (180.0, 4700.0),
    "bell3_freq_hz": (220.0, 10000.0),
    "high_shelf_freq_hz": (580.0, 20000.0),
}
"""SAFE's."""
_MOST_DB, _MOST_HZ = 30.0, 22000.0


class DataConfig(Section):
    """Settings to learn from: a file of SAFE, or synthetic ones of the same shape."""

    path: DataPath | None = None
    """CSV of settings with the columns submitter, term and the 13 parameters, or SAFE's own 25; null is synthetic."""
    columns: Mapping[str, str] = Field(default={})
    """What the file calls its columns, where that is something else: ``{bell1_q: Q1, submitter: user}``."""
    frequencies_in: Literal["Hz", "kHz"] = "Hz"
    q_in: Literal["q", "octaves"] = "q"
    """Octaves are the bandwidth between half-gain points (RBJ Audio EQ Cookbook)."""
    bounds: Mapping[str, Annotated[tuple[float, float], Field(strict=False)]] = Field(default={})
    """Of another equaliser than SAFE's: lowest and highest gain_db and q of all bands, and freq_hz of a band."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """Checksum that the file must have; null accepts any and notes what it found."""
    num_synthetic: Annotated[int, Field(ge=200)] = 1600
    """Synthetic settings, when there is no path."""
    held_out_rows: Annotated[int, Field(ge=20)] = 119
    """Rows, about, in each of test and validation."""
    held_out_max_rows: PositiveInt = 30
    """Only people with at most this many settings are held out: many are heard there, no single one much."""
    recombined_share: Share = 0.5
    """Share of training items whose bands come from five different rows."""
    min_term_count: Annotated[int, Field(ge=2)] = 20
    """Words that occur less often in training have no place in the latent."""
    ignored_terms: Annotated[tuple[str, ...], Field(strict=False)] = ("test",)
    """Words that are no description of a sound."""

    @field_validator("bounds")
    @classmethod
    def _bounds_of_an_equaliser(cls, bounds: Mapping[str, tuple[float, float]]) -> Mapping[str, tuple[float, float]]:
        known = [*SHARED.values(), *FREQUENCIES_HZ]
        for name, (low, high) in bounds.items():
            if name not in known:
                raise ValueError(f"no bounds of '{name}': there are {', '.join(known)}")
            least, most = (-_MOST_DB, _MOST_DB) if name == "gain_db" else (1e-3, _MOST_HZ)
            if not least <= low < high <= most:
                raise ValueError(f"{name} from {low:g} to {high:g}, expected a range within {least:g} to {most:g}")
        bells = [bounds.get(f"bell{number}_freq_hz", FREQUENCIES_HZ[f"bell{number}_freq_hz"]) for number in (1, 2, 3)]
        if bells != sorted(bells) or [high for _, high in bells] != sorted(high for _, high in bells):
            raise ValueError("bells are sorted by frequency: none may reach lower or less high than the one before")
        return bounds


class ModelConfig(Section):
    """The autoencoder."""

    variant: Literal["ae", "vae"] = "ae"
    latent_size: PositiveInt = 8
    width: PositiveInt = 384
    depth: PositiveInt = 3
    heads: Literal["clamp", "seed"] = "clamp"
    temperature: PositiveFloat = 0.1
    """Of the contrastive loss."""
    refine_steps: NonNegativeInt = 0
    """Gauss-Newton steps by which a code is refined against its curve, in evaluation; 0 is the encoder alone."""

    @model_validator(mode="after")
    def _compresses(self) -> Self:
        if self.latent_size > NUM_PARAMETERS:
            raise ValueError(f"latent_size {self.latent_size} is above the {NUM_PARAMETERS} parameters of a setting")
        return self


class Config(Section):
    """Both."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()


class Request(Section):
    """A setting for a word, or towards examples."""

    term: str | None = None
    """Word to move towards, such as warm."""
    amount: Annotated[float, Field(ge=0.0, le=2.0)] = 1.0
    """0 is the start (flat, the setting of --from, or with --toward the first word), 1 its end, 2 beyond."""
    toward: str | None = None
    """Second word: interpolate from the first to it, in the latent."""
    from_: DataPath | None = None
    """Setting to start from: an equaliser's text file (Equalizer APO, AutoEq, REW), or a .csv or .json of predict."""
    like: tuple[DataPath, ...] = Field(default=(), strict=False)
    """Settings to move towards in place of a word; may be repeated."""
    draws: Annotated[int, Field(ge=0, le=1000)] = 0
    """So many settings of the word in place of one, as different people would make them."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Another seed draws others."""

    @model_validator(mode="after")
    def _says_where_to(self) -> Self:
        if (self.term is None) == (not self.like):
            raise ValueError("give a word (term) or examples (like), one of the two")
        if self.toward and (self.term is None or self.from_ is not None):
            raise ValueError("toward goes from a word (term) to another: no from, no like")
        if self.draws and (self.term is None or self.toward or self.from_ is not None):
            raise ValueError("draws are of a word (term) alone")
        return self
