"""Settings of the domain: which voices, how they are mixed, which model."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from distsys.config import DataPath, Section, Share
from distsys.domains.kit import require_ordered

RMS_RATIO_BAND = (0.9, 1.1)
"""In which a model counts as healthy."""

LENGTHS = ("mixture_s", "enrolment_s", "test_mixture_s", "test_enrolment_s")
"""Settings of how long things are."""

Speed = Annotated[float, Field(ge=0.5, le=2.0)]


class DataConfig(Section):
    """Whose speech, and what is done to it."""

    speakers: DataPath | None = None
    """Folder with one folder of recordings a speaker; null makes synthetic voices."""
    include: list[str] = Field(default=["*"], min_length=1)
    """Patterns of the speaker folders to use."""
    holdout: str | None = None
    """Pattern of speakers who are only ever tested on, as a group of their own (``/holdout``)."""
    on_fault: Literal["refuse", "leave_out"] = "refuse"
    """What to do about recordings that cannot be used; those left out are named in the report."""
    aliases: DataPath | None = None
    """YAML file, speaker folder to person: folders of one person count as one speaker."""
    noise: DataPath | None = None
    """Folder of noise recordings."""
    noise_source: str = r"(\d+-\d+)-[A-Z]\b|([^/]+)/ch\d+"
    """Regular expression on their names whose group says what they are parts of; a name without a match is its own
    source. Parts of one source stay in one set. The default knows takes of ESC-50 and channels of DEMAND."""
    rooms: DataPath | None = None
    """Folder of room impulse responses; every speaker of a mixture gets one, drawn at random."""
    librimix: DataPath | None = None
    """Metadata file of Libri2Mix (``.../metadata/mixture_test_mix_clean.csv``), a test group of its own."""
    librimix_enrolments: DataPath | None = None
    """SpeakerBeam's list of enrolments for it: ``map_mixture2enrollment`` or ``mixture2enrollment.csv``."""
    librimix_items: PositiveInt | None = None
    """Queries of it; null takes all 6,000, about 0.6 MB each at 8 kHz."""
    sample_rate_hz: Annotated[int, Field(ge=2000)] = 8000
    mixture_s: PositiveFloat = 2.0
    """Of training items, as is ``enrolment_s``."""
    enrolment_s: PositiveFloat = 2.0
    test_mixture_s: PositiveFloat = 3.0
    """Of the frozen sets, as is ``test_enrolment_s``."""
    test_enrolment_s: PositiveFloat = 3.0
    min_interferers: PositiveInt = 1
    max_interferers: Annotated[int, Field(ge=1, le=3)] = 1
    """Speakers beside the first; how many is drawn for each mixture."""
    min_sir_db: float = -3.0
    max_sir_db: float = 3.0
    """Level of the first speaker against each other, uniform in dB; asked for the other, the sign turns."""
    noise_share: Share = 0.0
    """Mixtures with noise, in training and in the frozen sets alike; the group ``/noisy`` always has it."""
    min_snr_db: float = 5.0
    max_snr_db: float = 15.0
    """Level of the speech sum against the noise, uniform in dB."""
    enrolment_noise_share: Share = 0.0
    """Enrolments with noise at the end of a run; the share grows linearly from 0."""
    speeds: list[Speed] = Field(default=[0.9, 1.0, 1.1])
    """Every other speed than 1 makes a further training speaker of each."""
    ta_share: Annotated[float, Field(ge=0.0, le=0.5)] = 0.2
    """Queries whose speaker is not in the mixture, from ``ta_from`` on."""
    ta_from: Share = 0.2
    """Share of a run's budget before which every target is present."""
    synthetic_speakers: Annotated[int, Field(ge=12)] = 120
    synthetic_s: Annotated[float, Field(ge=4.0)] = 12.0
    """Speech of every synthetic speaker."""
    validation_items: Annotated[int, Field(ge=20, multiple_of=10)] = 400
    test_items: Annotated[int, Field(ge=20, multiple_of=10)] = 400
    """Queries of the frozen sets, one in five of them for an absent speaker."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        require_ordered(
            self,
            ("min_interferers", "max_interferers"),
            ("min_sir_db", "max_sir_db"),
            ("min_snr_db", "max_snr_db"),
        )
        longest_s = max(getattr(self, name) for name in LENGTHS)
        if self.speakers is None and 0.5 * self.synthetic_s < longest_s:
            raise ValueError(f"synthetic_s {self.synthetic_s:g} makes two utterances, each below {longest_s:g} s")
        if 1.0 not in self.speeds or len(set(self.speeds)) < len(self.speeds):
            raise ValueError(f"speeds {self.speeds} must hold 1 and nothing twice")
        try:
            re.compile(self.noise_source)
        except re.error as error:
            raise ValueError(f"noise_source '{self.noise_source}' is no regular expression ({error})") from None
        if self.noise is None and (self.noise_share > 0.0 or self.enrolment_noise_share > 0.0):
            raise ValueError("noise_share and enrolment_noise_share need a folder: set data.noise")
        if (self.librimix is None) is not (self.librimix_enrolments is None):
            raise ValueError("librimix and librimix_enrolments are set together")
        return self


class ModelConfig(Section):
    """The band-split extractor."""

    window: Annotated[int, Field(ge=64)] = 512
    """Samples of a frame; frames overlap by half."""
    width: Annotated[int, Field(ge=4, multiple_of=4)] = 32
    """Channels of a band."""
    hidden: PositiveInt = 32
    """State of each scan, in each direction."""
    mixture_depth: Annotated[int, Field(ge=0)] = 1
    """Dual-path blocks of the mixture alone, behind the one it shares with the enrolment: one pass for all queries."""
    depth: Annotated[int, Field(ge=1)] = 2
    """Dual-path blocks behind these, in front of each of which the enrolment is consulted."""
    mask_hidden: PositiveInt = 64
    causal: bool = False
    """No look ahead in time beyond the frame itself."""
    ta_target_db: Annotated[float, Field(lt=0.0)] = -30.0
    """Energy of the estimate for an absent speaker below which ``ta_energy`` is satisfied."""
    ta_reference: Literal["mixture", "full_scale"] = "mixture"
    """What ``ta_target_db`` is relative to."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.window % 2:
            raise ValueError(f"window {self.window} is odd: frames overlap by half")
        return self


class Config(Section):
    """Settings of data and model."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        frame_s = self.model.window / self.data.sample_rate_hz
        for name in LENGTHS:
            if getattr(self.data, name) < frame_s:
                raise ValueError(f"data.{name} {getattr(self.data, name):g} is below one frame, {frame_s:g} s")
        return self


class Request(Section):
    """One speaker out of a recording."""

    mixture: DataPath
    """Recording to extract from: .wav, .flac, .mp3, .ogg or .opus of any rate, length and number of channels."""
    enrol: DataPath
    """Another recording of the wanted speaker alone."""
