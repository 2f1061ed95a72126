"""The search space: dotted config paths, their ranges, and priors that become the first trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ValidationError, model_validator

from distsys.config.layers import get_path, leaves
from distsys.config.schema import Schedule, Section
from distsys.config.validate import dump, plain_message, with_values
from distsys.config.yaml_file import read_yaml
from distsys.errors import ConfigError, DistsysError, did_you_mean

Value = int | float | str | bool | None


class Dimension(Section):
    """One searched parameter: a range from ``low`` to ``high``, or a list of ``choices``."""

    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    """Search the logarithm."""
    choices: list[Value] | None = None
    prior: Value = None
    """A value believed to be good; the first trial takes all priors."""

    @model_validator(mode="after")
    def _range_or_choices(self) -> Self:
        has_range = self.low is not None and self.high is not None
        if has_range == (self.choices is not None):
            raise ValueError("give 'low' and 'high', or 'choices'")
        if self.choices is not None:
            if not self.choices or self.log:
                raise ValueError("'choices' is a list with at least one value, without 'log'")
            if self.prior is not None and not any(_is_same(self.prior, choice) for choice in self.choices):
                raise ValueError(f"prior {self.prior!r} is not among the choices")
            return self
        assert self.low is not None and self.high is not None
        if not self.low < self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low} on a log scale; it must be above 0")
        if self.prior is not None and (isinstance(self.prior, bool) or not isinstance(self.prior, int | float)):
            raise ValueError(f"prior {self.prior!r} is no number")
        if self.prior is not None and not self.low <= self.prior <= self.high:
            raise ValueError(f"prior {self.prior!r} lies outside [{self.low}, {self.high}]")
        return self

    def holds(self, value: Any) -> bool:
        """Whether a trial may have ``value``."""
        if self.choices is not None:
            return value in self.choices
        assert self.low is not None and self.high is not None
        return isinstance(value, int | float) and self.low <= value <= self.high

    def corners(self) -> list[Value]:
        """The values that must fit the schema for the whole dimension to fit."""
        return list(self.choices) if self.choices is not None else [self.low, self.high]


def _is_same(value: Value, choice: Value) -> bool:
    """Python has True equal 1."""
    return value == choice and isinstance(value, bool) == isinstance(choice, bool)


class SearchSpace:
    """Every searched parameter of an experiment, checked against its config."""

    def __init__(self, dimensions: dict[str, Dimension], integers: frozenset[str]) -> None:
        self.dimensions, self.integers = dimensions, integers

    def priors(self) -> dict[str, Value]:
        """The parameters of the first trial."""
        return {path: item.prior for path, item in self.dimensions.items() if item.prior is not None}

    def content(self) -> dict[str, Any]:
        """Plain values, for a run's identity."""
        return {path: dump(item) for path, item in self.dimensions.items()}


def read_space(path: Path, config: BaseModel) -> SearchSpace:
    """The search space in ``path``, each dimension tried against ``config``.

    Raises:
        ConfigError: with every path that does not exist and every value that does not fit.
    """
    content, lines = read_yaml(path)
    dimensions: dict[str, Dimension] = {}
    integers: set[str] = set()
    problems: list[DistsysError] = []
    for dotted, fields in content.items():
        try:
            dimensions[dotted] = _dimension(dotted, fields, config)
            if type(get_path(_tried(config, dotted, dimensions[dotted]), dotted)) is int:
                integers.add(dotted)
                _require_whole_prior(dotted, dimensions[dotted])
        except DistsysError as problem:
            problems.append(
                DistsysError(f"line {lines[dotted]}: {problem.found}", expected=problem.expected, fix=problem.fix)
            )
    if problems:
        raise ConfigError.collect(str(path), problems)
    return SearchSpace(dimensions, frozenset(integers))


def _require_whole_prior(dotted: str, dimension: Dimension) -> None:
    if isinstance(dimension.prior, float):
        raise DistsysError(f"{dotted}: prior {dimension.prior!r}", expected="a whole number", fix="round it")


def can_be_searched(path: str) -> bool:
    """Whether trials may differ in this key. The seed may be tried, where it decides no frozen set."""
    return path.startswith(("data.", "model.", "optimizer.", "search.weights.")) or path in ("batch_size", "seed")


def _dimension(dotted: str, fields: Any, config: BaseModel) -> Dimension:
    try:
        found = get_path(config, dotted)
    except KeyError:
        known = [path for path, _ in leaves(dump(config)) if can_be_searched(path)]
        raise DistsysError(
            f"'{dotted}' is not in the config", expected="a dotted config path", fix=did_you_mean(dotted, known)
        ) from None
    if isinstance(found, Section) and not isinstance(found, Schedule):
        inner = next(iter(fields), "key") if isinstance(fields, dict) else "key"
        raise DistsysError(
            f"'{dotted}' is a section with keys of its own",
            expected="one dotted path a parameter, none inside another",
            fix=f"{dotted}.{inner}: {{low: ..., high: ...}}",
        )
    if not can_be_searched(dotted):
        raise DistsysError(
            f"'{dotted}' cannot be searched: it is not what tells one trial from another",
            expected="a key of data, model, optimizer or search.weights, or batch_size",
        )
    if not isinstance(fields, dict):
        raise DistsysError(f"{dotted} = {fields!r}", expected="{low: ..., high: ...} or {choices: [...]}")
    choices = fields.get("choices")
    if isinstance(choices, list) and any(isinstance(choice, list | dict) for choice in choices):
        raise DistsysError(
            f"{dotted}: a choice is a list or a mapping",
            expected="numbers, texts, booleans or null as choices",
            fix="search a key that holds one value",
        )
    try:
        return Dimension.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][:1])
        if first["type"] == "extra_forbidden" and key in ("step", "q", "quantized"):
            raise DistsysError(
                f"{dotted}: unknown key '{key}'", fix="name the values: choices: [32, 64, 128]"
            ) from None
        if first["type"] == "extra_forbidden":
            raise DistsysError(
                f"{dotted}: unknown key '{key}'", fix=did_you_mean(key, Dimension.model_fields)
            ) from None
        raise DistsysError(f"{dotted}: {plain_message(first)}") from None


def _tried(config: BaseModel, dotted: str, dimension: Dimension) -> BaseModel:
    tried = config
    for value in dimension.corners():
        try:
            tried = with_values(config, {dotted: value})
        except ValidationError as error:
            first = error.errors()[0]
            raise DistsysError(f"{dotted} = {value!r} does not fit the config", expected=plain_message(first)) from None
    return tried
