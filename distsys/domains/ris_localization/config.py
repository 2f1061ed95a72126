"""Settings of the domain: which surface, which scenes, which model."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from distsys.config import DataPath, Section, Share
from distsys.domains.kit import require_ordered

SteeringModel = Literal["exact", "fresnel", "paraxial"]
MAX_SOURCES = 3


class Imperfections(Section):
    """How the real array or surface differs from the one that is assumed; drawn once for ``data.site``.

    The frozen sets are made with it and their bounds know it; training scenes and estimators never see it.
    """

    gain_db: NonNegativeFloat = 0.0
    """Standard deviation of the elements' gains."""
    phase_deg: NonNegativeFloat = 0.0
    """Standard deviation of the elements' phases."""
    position_share: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Standard deviation of each coordinate of an element, as a share of the spacing."""
    coupling: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    """Amplitude that leaks into a direct neighbour; at n spacings it is the n-th power of that."""
    coupling_band: PositiveInt = 1
    """Spacings along x and y over which elements couple."""
    dead_share: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Elements that receive nothing."""
    code_bits: Annotated[int, Field(ge=1, le=8)] | None = None
    """Resolution of the phases that the surface really takes, for ``coded``; none: that of ``phase_bits``."""
    code_bias_deg: NonNegativeFloat = 0.0
    """Standard deviation of the error of each element's phase states, for ``coded``."""
    noise_correlation: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Of the noise of neighbouring channels, falling geometrically with their distance."""


class DataConfig(Section):
    """The surface, its region, and the scenes that are simulated there."""

    num_x: Annotated[int, Field(ge=2)] = 8
    num_y: Annotated[int, Field(ge=2)] = 8
    wavelength_m: PositiveFloat = 0.3
    spacing_wavelengths: PositiveFloat = 0.5
    max_phi_deg: Annotated[float, Field(gt=0.0, lt=90.0)] = 60.0
    max_theta_deg: Annotated[float, Field(gt=0.0, lt=90.0)] = 30.0
    min_range_m: PositiveFloat = 0.5
    max_range_m: PositiveFloat = 10.0
    steering: SteeringModel = "exact"
    """The wave that training, loss and inference assume."""
    world: SteeringModel = "exact"
    """The wave of validation and test scenes; another one than ``steering`` is a mismatch study."""
    measurement: Literal["array", "coded"] = "array"
    """``array``: every element is read. ``coded``: antennas see the surface through one phase code a snapshot."""
    num_antennas: PositiveInt = 16
    """Of the base station, for ``coded``."""
    phase_bits: Annotated[int, Field(ge=1, le=8)] = 3
    """Resolution of the codes, for ``coded``."""
    site: Annotated[int, Field(ge=0)] = 0
    """Which fixed channel and codes, for ``coded``, and which draw of ``imperfections``."""
    imperfections: Imperfections = Imperfections()
    array: DataPath | None = None
    """What ``distsys calibrate`` learned of the elements; by default the nominal array is assumed."""
    min_sources: PositiveInt = 2
    max_sources: Annotated[int, Field(ge=1, le=MAX_SOURCES)] = 2
    num_snapshots: PositiveInt = 16
    """Snapshots of a scene; ``few_share`` of training scenes have one to this many."""
    few_share: Share = 0.25
    coherent_share: Share = 0.7
    """Training scenes whose sources are copies of one signal."""
    partial_share: Share = 0.1
    """Training scenes whose sources are correlated by one half; in the others they are independent."""
    power_spread_db: Annotated[float, Field(ge=0.0)] = 0.0
    """Powers of sources are uniform within plus and minus half of this."""
    min_snr_db: float = -5.0
    max_snr_db: float = 20.0
    """SNR per element and source of training scenes, uniform in dB."""
    validation_scenes: Annotated[int, Field(ge=20)] = 100
    test_scenes: Annotated[int, Field(ge=20)] = 500
    """Scenes of every condition in the frozen sets."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        ranges = (("min_range_m", "max_range_m"), ("min_sources", "max_sources"), ("min_snr_db", "max_snr_db"))
        require_ordered(self, *ranges)
        if self.coherent_share + self.partial_share > 1.0:
            raise ValueError(
                f"coherent_share {self.coherent_share} and partial_share {self.partial_share} add up to more than 1"
            )
        if self.measurement == "array" and (self.imperfections.code_bits or self.imperfections.code_bias_deg):
            raise ValueError("imperfections.code_bits and code_bias_deg need measurement: coded, which has codes")
        if self.max_sources >= self.num_channels:
            raise ValueError(f"max_sources {self.max_sources} needs more than {self.num_channels} channels")
        return self

    @property
    def num_channels(self) -> int:
        """Numbers a snapshot has."""
        return self.num_x * self.num_y if self.measurement == "array" else self.num_antennas


class ModelConfig(Section):
    """The network from snapshots to the factors of a covariance."""

    width: PositiveInt = 192
    """Complex numbers a layer."""
    depth: PositiveInt = 4
    """Residual blocks."""
    load: Annotated[float, Field(ge=1e-3, le=1.0)] = 0.01
    """Identity added to trace-normalised covariances in the loss, as a share of the mean eigenvalue."""
    align_form: Literal["linear", "squared"] = "linear"
    """``linear``: tr(P R)/tr(R). ``squared``: ||P R P||^2/||R||^2, whose gradient vanishes near the goal."""


class Config(Section):
    """Both."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()


class Request(Section):
    """Sources in recorded snapshots."""

    snapshots: DataPath
    """.npz, .npy, .mat or .h5 with snapshots [scenes, channels, snapshots], complex; docs/domains says what else."""
    num_sources: Annotated[int, Field(ge=1)] | Literal["auto"] | None = None
    """Sources in every scene; the file's own where it names them; auto: by likelihood, none to the model's most."""
    array: DataPath | None = None
    """What ``distsys calibrate`` learned of the elements, in place of the array that the model was trained for."""


class CalibrationRequest(Section):
    """Recordings from which the elements of an array are learned."""

    scenes: DataPath
    """Recorded snapshots, in the form that predict takes; nobody needs to know where the sources were."""
    anchors: DataPath | None = None
    """Few more of them whose ``sources`` are known."""
    num_sources: Annotated[int, Field(ge=1)] | None = None
    """Sources in every scene; the file's own where it names them."""
