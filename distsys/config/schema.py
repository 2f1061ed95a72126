"""The part of an experiment's config that every domain shares, validated on construction."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_serializer,
    model_validator,
)

Share = Annotated[float, Field(ge=0.0, le=1.0)]
"""A part of a budget, 0 to 1."""
_LEAST_OF_GPU = 0.01


class Section(BaseModel):
    """Base of every config section: unknown keys and silent type conversion are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Schedule(Section):
    """A loss weight over a run: ``before`` until ``start_at``, then linearly to its end value.

    A plain number in a file is the constant schedule. In the final phase ``times`` stands in place
    of ``to``: the end value is that multiple of the weight the search phase used, which is also
    where the ramp begins.
    """

    before: NonNegativeFloat | None = Field(default=None, alias="from")
    """Weight before the change; 0 when absent."""
    to: NonNegativeFloat | None = None
    """Weight after the change."""
    times: NonNegativeFloat | None = None
    """Weight after the change, as a multiple of the search phase's end value."""
    start_at: Share = 0.0
    """Share of the budget at which the change begins."""
    over: Share = 0.0
    """Share of the budget that the change takes; 0 is a jump."""

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if (self.to is None) == (self.times is None):
            raise ValueError("give exactly one of 'to' and 'times'")
        if self.times is not None and self.before is not None:
            raise ValueError("'times' begins at the search phase's weight: leave 'from' out")
        return self

    @model_serializer
    def _plain(self) -> float | dict[str, float]:
        if self.to is not None and self.start_at == 0.0 and self.over == 0.0:
            return self.to
        named = {"from": self.before, "to": self.to, "times": self.times}
        shares = {"start_at": self.start_at, "over": self.over}
        return {key: value for key, value in (named | shares).items() if value is not None}

    def at(self, progress: float) -> float:
        """The weight at ``progress`` (0 to 1) of the budget."""
        assert self.to is not None, "a relative weight is resolved before it is used"
        before = self.before or 0.0
        if self.over == 0.0:
            return self.to if progress >= self.start_at else before
        done = min(max((progress - self.start_at) / self.over, 0.0), 1.0)
        return before + (self.to - before) * done

    def resolved(self, search: Schedule) -> Schedule:
        """This schedule with ``times`` replaced, given the weight that the search phase used."""
        if self.times is None:
            return self
        end = search.at(1.0)
        return Schedule.model_validate(
            {"from": end, "to": end * self.times, "start_at": self.start_at, "over": self.over}
        )


def _number_is_constant(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"to": float(value)} if is_number else value


Weights = dict[str, Annotated[Schedule, BeforeValidator(_number_is_constant)]]
"""``lambda_<term>`` to its schedule; every term of the domain is named."""


class Band(Section):
    """The healthy range of a metric, ends included; an absent end is open."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give 'min', 'max' or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class OptimizerConfig(Section):
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101) and what surrounds its step."""

    learning_rate: PositiveFloat = 1e-3
    beta1: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    beta2: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.999
    weight_decay: NonNegativeFloat = 0.0
    warmup_share: Share = 0.0
    """Share of the budget over which the learning rate rises linearly from 0."""
    schedule: Literal["cosine", "constant"] = "cosine"
    grad_clip_norm: PositiveFloat | None = None
    """Largest gradient norm, applied after unscaling; null leaves gradients as they are."""
    ema_decay: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Decay per step of the averaged weights that are evaluated and saved; null evaluates the raw ones."""
    reset_moments_at: Share | None = None
    """Share of the budget at which the optimiser forgets its moments, at a change of the task; null keeps them."""
    max_skipped_share: Share = 0.05
    """Share of steps that may be skipped for non-finite gradients before the run is stopped."""


class PhaseConfig(Section):
    """What may differ between the two phases: the weights and the budget."""

    steps: PositiveInt
    eval_every_steps: PositiveInt
    weights: Weights

    @model_validator(mode="after")
    def _evaluates_at_all(self) -> Self:
        if self.eval_every_steps > self.steps:
            raise ValueError(f"eval_every_steps {self.eval_every_steps} is above steps {self.steps}")
        return self


class SearchConfig(PhaseConfig):
    """The search phase: many short trials under conservative weights."""

    trials: PositiveInt
    startup_trials: PositiveInt = 8
    """Trials drawn at random before the sampler models the results."""
    reduction_factor: Annotated[int, Field(ge=2)] | None = 3
    """One in this many trials passes each rung of successive halving; null never prunes."""
    constraints: dict[str, Band] = {}
    """Healthy bands for trials and for the handoff's candidates, which are too short to keep the final ones."""
    concurrent_trials: PositiveInt | None = None
    """Trials at a time; null takes what the cluster's CPUs (or GPUs) allow."""
    gpus_per_trial: float = 1.0
    """Share of a GPU that a trial gets where it runs on one: 0.125 lets eight share it, and its memory."""
    workers_per_trial: PositiveInt = 1
    """Workers that share each batch of a trial or a candidate of the handoff, each with a GPU where there are some."""

    @field_validator("gpus_per_trial")
    @classmethod
    def _one_worker_uses_one(cls, value: float) -> float:
        if not _LEAST_OF_GPU <= value <= 1.0:
            raise ValueError(f"a worker uses one GPU at most: from {_LEAST_OF_GPU} to 1, not {value:g}")
        return value

    @model_validator(mode="after")
    def _workers_have_whole_gpus(self) -> Self:
        if self.workers_per_trial > 1 and self.gpus_per_trial != 1.0:
            found = f"gpus_per_trial {self.gpus_per_trial:g} with workers_per_trial {self.workers_per_trial}"
            raise ValueError(f"{found}: workers that share a batch have a whole GPU each")
        return self


class FinalConfig(PhaseConfig):
    """The final phase: one configuration trained to its end."""

    rollbacks: NonNegativeInt = 1
    """Times that a training which turns sick goes back to its last healthy checkpoint, with fresh moments."""


class HandoffConfig(Section):
    """The re-ranking of the search's best under the final phase's weights."""

    top_k: PositiveInt = 3
    budget_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """Share of the final budget that each candidate gets."""
    fallbacks: NonNegativeInt = 1
    """Further candidates that are trained to the end, one after the other, where the winner ends without health."""


def _thresholds_or_off(value: Any) -> Any:
    """``value``, where YAML reads ``off`` as false; refused in one line if it is neither."""
    if value is False or value == "off":
        return "off"
    if not isinstance(value, dict) or any(isinstance(item, str | bool | None) for item in value.values()):
        raise ValueError(f"'off', or thresholds: {{name: number}}, not {value!r}")
    return value


class HealthConfig(Section):
    """Checks that watch every run; they change no number of it."""

    on: bool = True
    """Whether anything is looked at in flight; false costs nothing and finds nothing but what is not finite."""
    every: PositiveInt = 50
    """Steps between looks, after twelve early ones; each validation is looked at too."""
    checks: dict[str, Annotated[Literal["off"] | dict[str, float], BeforeValidator(_thresholds_or_off)]] = {}
    """By a check's name: thresholds that replace its own, or off."""
    accept: list[str] = []
    """Causes that are meant here: what doctor or checks say of them is no more than a warning, and refuses nothing."""


class FeedingConfig(Section):
    """Who makes batches; whoever does, they are the same ones to the bit."""

    workers: NonNegativeInt = 0
    """Threads that make batches while others are trained on; 0 makes each when it is needed."""
    ahead: PositiveInt = 2
    """Steps whose batches are made ahead at most, with threads."""

    @model_validator(mode="after")
    def _all_are_busy(self) -> Self:
        if self.workers > self.ahead:
            raise ValueError(f"ahead {self.ahead} keeps no more than {self.ahead} of {self.workers} workers busy")
        return self


class CoreConfig(Section):
    """One experiment, both phases; a domain adds its ``data`` and ``model`` sections."""

    domain: str
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    batch_size: PositiveInt
    """Items a step over all workers and parts together."""
    accumulate: PositiveInt = 1
    """Parts in which a worker takes its items of a step, one after the other, to save memory; moves last digits."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Autocast type of the forward pass; losses stay in float32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    compile: bool | Literal["graphs"] = False
    """Whether torch.compile makes the forward pass and the losses, which takes its time once and moves last digits;
    ``graphs`` has a CUDA device replay them as graphs too, for models whose steps are many small kernels."""
    cpu_threads: PositiveInt = 1
    """Threads of one training process; part of the numbers, so part of the config."""
    feeding: FeedingConfig = FeedingConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    search: SearchConfig
    handoff: HandoffConfig = HandoffConfig()
    final: FinalConfig
    constraints: dict[str, Band] = {}
    """Healthy bands that replace the domain's own, by metric name."""
    health: HealthConfig = HealthConfig()

    @model_validator(mode="after")
    def _there_are_gpus_to_share(self) -> Self:
        if self.device == "cpu" and self.search.gpus_per_trial != 1.0:
            raise ValueError(
                f"search.gpus_per_trial {self.search.gpus_per_trial:g} shares GPUs that device: cpu leaves"
            )
        return self

    @model_validator(mode="after")
    def _parts_are_equal(self) -> Self:
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate {self.accumulate} does not divide batch_size {self.batch_size}")
        if self.batch_size % (self.accumulate * self.search.workers_per_trial):
            workers = f"search.workers_per_trial {self.search.workers_per_trial}"
            parts = f" times accumulate {self.accumulate}" if self.accumulate > 1 else ""
            raise ValueError(f"{workers}{parts} does not divide batch_size {self.batch_size}")
        return self
