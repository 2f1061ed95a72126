"""Settings of the domain: which records, how they are cut, which model."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from distsys.config import DataPath, Section

NUM_FOLDS = 4
"""Of the events; each has a member of the committee that learned from the other three."""

Unit = Literal["g", "m/s2", "cm/s2"]
Route = Literal["gaussian", "ensemble", "envelope", "complement", "broadband"]
Scale = Literal["raw", "global_std", "record_rms", "pga"]
Sampler = Literal["euler", "heun", "dpmpp_2m"]


class DataConfig(Section):
    """Whose records, and what is done to them."""

    records: list[DataPath] = Field(default=[])
    """Files or folders of them (AT2, COSMOS, CSMIP, K-NET, ESM, SMC, miniSEED, columns of text, NPZ, HDF5), with a
    metadata.csv beside them if wanted; empty makes synthetic records."""
    quakes: bool = False
    """Also the 50 pairs of components of FEMA P-695; needs the extra ``quakes``."""
    unit: Unit = "g"
    """Of files that do not say their own."""
    dt_s: Annotated[float, Field(ge=1e-4, le=0.1)] | None = None
    """Seconds between samples, of text files of one column that do not say their own."""
    on_fault: Literal["refuse", "leave_out"] = "refuse"
    """What to do about records that cannot be used; those left out are named in the report."""
    low_hz: PositiveFloat = 0.1
    high_hz: Annotated[float, Field(ge=30.0, le=45.0)] = 30.0
    """Pass band of a record, zero-phase, before anything else looks at it."""
    synthetic_events: Annotated[int, Field(ge=12)] = 60
    synthetic_stations: PositiveInt = 3
    """Of each synthetic event, each with two components."""
    validation_share: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.15
    """Events of every fold's training part on which trials and checkpoints are chosen."""
    validation_samples: Annotated[int, Field(ge=19)] = 20
    test_samples: Annotated[int, Field(ge=19)] = 40
    """Motions generated for one conditioning; fewer than 19 have no 5 and 95 % quantiles."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.low_hz >= 0.5:
            raise ValueError(f"low_hz {self.low_hz:g} leaves too little below 1 Hz: at most 0.5")
        return self


class DiffusionConfig(Section):
    """Of the routes that diffuse."""

    network: Literal["unet", "dit"] = "unet"
    """Of the routes complement and broadband."""
    fixed_blend: bool = False
    """The original's mix of attention and input, in place of the gates of a dit."""
    scale: Scale = "record_rms"
    """What the broadband route divides a motion by."""
    sigma_data: PositiveFloat | None = None
    """Standard deviation of what is diffused; null measures it, a number that the data contradict is refused."""
    sampler: Sampler = "dpmpp_2m"
    steps: Annotated[int, Field(ge=2)] = 12
    """Noise levels of the sampler."""
    churn: Annotated[float, Field(ge=0.0)] = 0.0
    """Fresh noise on the way, of the samplers euler and heun."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.churn > 0.0 and self.sampler == "dpmpp_2m":
            raise ValueError("churn needs sampler euler or heun: dpmpp_2m adds no noise")
        return self


class ModelConfig(Section):
    """From the motion below 1 Hz to the motion above."""

    route: Route = "gaussian"
    channels: Annotated[int, Field(ge=4, multiple_of=4)] = 32
    blocks: PositiveInt = 8
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.35
    diffusion: DiffusionConfig = DiffusionConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        diffusion, is_one_pass = self.diffusion, self.route in ("gaussian", "ensemble")
        unread = {
            "sigma_data": is_one_pass and diffusion.sigma_data is not None,
            "scale": self.route != "broadband" and diffusion.scale != "record_rms",
            "network": (is_one_pass or self.route == "envelope") and diffusion.network != "unet",
            "fixed_blend": diffusion.network != "dit" and diffusion.fixed_blend,
            "sampler": is_one_pass and diffusion.sampler != "dpmpp_2m",
            "steps": is_one_pass and diffusion.steps != DiffusionConfig().steps,
        }
        for name, ignored in unread.items():
            if ignored:
                raise ValueError(f"diffusion.{name} is read by nothing with route {self.route}")
        return self


class Config(Section):
    """Both."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()


class Request(Section):
    """Motions for a part below 1 Hz."""

    beside: ClassVar[tuple[str, ...]] = ("metadata.csv", "*.xml")
    """Names of files that say more of those which are asked about, and are not asked about themselves."""
    lowfreq: DataPath
    """One record, of any format that is read, of the motion below 1 Hz, or of the whole motion: that part is taken."""
    samples: Annotated[int, Field(ge=1, le=1000)] = 20
    """Motions to generate."""
    unit: Unit = "g"
    """Of the record, where its file does not say."""
    dt_s: Annotated[float, Field(ge=1e-4, le=0.1)] | None = None
    """Seconds between samples, of a text file of one column that does not say."""
    magnitude: Annotated[float, Field(ge=2.0, le=9.5)] | None = None
    """Moment magnitude; like the next three it sharpens the level where it is known, before what the file says."""
    distance_km: PositiveFloat | None = None
    """Closest distance to the rupture."""
    vs30_m_s: PositiveFloat | None = None
    """Shear-wave velocity of the upper 30 m."""
    component: Literal["horizontal", "vertical"] | None = None
    onset_s: Annotated[float, Field(ge=0.0)] | None = None
    """Where the shaking begins, in s of the record; else where 1 % of the energy below 1 Hz has arrived."""
    duration_s: Annotated[float, Field(ge=20.48)] | Literal["whole"] | None = None
    """Of the motions, or ``whole`` for the record's; more than 20.48 s is tiled. Else 20.48 s around the onset."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Another seed gives other motions."""
