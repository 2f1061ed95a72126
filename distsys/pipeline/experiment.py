"""One experiment: its config, search space and folder, loaded and tried before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distsys.config.layers import Layers, find_config, leaves, read_layers
from distsys.config.reads import record_reads
from distsys.config.schema import CoreConfig
from distsys.config.space import SearchSpace, read_space
from distsys.config.validate import config_type, dump, fingerprint, numbers_of, validate_layers, with_values
from distsys.domains.protocol import AnyDomain
from distsys.domains.registry import domain_homes, get_domain
from distsys.errors import ConfigError, DistsysError, Interrupted, StoppedByHealth, UsageError, did_you_mean
from distsys.files import clear_partial, lock
from distsys.health.causes import CAUSES
from distsys.health.verdict import Verdict, is_sick
from distsys.tracking.spool import RunRecord, Spool
from distsys.training.interrupt import interrupted, told_of_end
from distsys.training.spec import Origin, RunSpec

if TYPE_CHECKING:
    from distsys.training.evaluate import Validation


@dataclass(frozen=True)
class Experiment:
    """Everything an experiment is asked to do.

    Args:
        root: the folder of all experiments of this ``--out``.
        origin: whose weights its final training starts from, or None.
        earlier: the folder of an experiment whose trials its search begins with, or None.
        final_steps: of its final training, where that goes on for so many; None takes the config's.
    """

    domain: AnyDomain
    config: CoreConfig
    space: SearchSpace
    layers: Layers
    preset: str | None
    root: Path
    origin: Origin | None = None
    earlier: Path | None = None
    final_steps: int | None = None

    @property
    def identity(self) -> str:
        """Hash of config and search space: the same question has the same answer's folder."""
        return fingerprint({"config": numbers_of(self.config), "space": self.space.content()})

    @property
    def name(self) -> str:
        return "-".join([self.domain.name, *([self.preset] if self.preset else []), self.identity[:8]])

    @property
    def folder(self) -> Path:
        return self.root / self.name

    @property
    def home(self) -> Path:
        """Where its final trainings and their report are: apart from others where they start from other weights."""
        return self.folder if self.origin is None else self.folder / f"from-{self.origin.identity[:8]}"

    @property
    def given(self) -> list[str]:
        """What the command line set, as it stands there."""
        names = [name for name, source in self.layers.sources.items() if source.startswith("--set")]
        values = dict(leaves(self.layers.values))
        return [f"{name}={values[name]}" for name in names if name in values]

    def with_more(self, trials: int) -> Experiment:
        """The same experiment, whose search has so many more."""
        more = with_values(self.config, {"search.trials": self.config.search.trials + trials})
        return replace(self, config=more)

    def record(self, tags: dict[str, str]) -> RunRecord:
        """What trackers know of the experiment as a whole."""
        return RunRecord("experiment", self.name, None, flat_params(self.config), tags)


def flat_params(config: CoreConfig) -> dict[str, Any]:
    """Every key of ``config`` by dotted path, values that trackers take."""
    plain = (str, int, float, bool, type(None))
    return {path: value if isinstance(value, plain) else str(value) for path, value in leaves(dump(config))}


def load_experiment(
    name: str,
    *,
    root: Path,
    preset: str | None = None,
    overrides: Sequence[str] = (),
    space: Path | None = None,
    searches: bool = True,
) -> Experiment:
    """The experiment that a config (a path or a shipped name) describes.

    Args:
        space: its search space; the domain's shipped one when absent.
        searches: False leaves the search space out, for commands that do not search.

    Raises:
        ConfigError: with every problem of the config, or of the search space.
    """
    layers = read_layers(find_config(name, homes=domain_homes()), preset=preset, overrides=overrides)
    domain = named_domain(layers)
    config = validate_layers(
        layers, config_type(domain.config), also=[*_weight_problems(layers, domain), *_unknown_causes(layers)]
    )
    searched = SearchSpace({}, frozenset())
    if searches:
        space_path = space or find_config(domain.name, folder="search_spaces", homes=domain_homes())
        searched = read_space(space_path, config)
        _require_carried_over(space_path, searched, config)
    return Experiment(domain, config, searched, layers, preset, root.absolute())


def named_domain(layers: Layers) -> AnyDomain:
    """The domain that a config names, whatever else is wrong with it.

    Raises:
        ConfigError: it names none that is installed.
    """
    name = layers.values.get("domain")
    if not isinstance(name, str):
        found = "'domain' is missing" if name is None else f"domain = {name!r} is no text"
        raise ConfigError(f"{layers.file}: {found}", expected="the name of a domain, see 'distsys domains'")
    return get_domain(name)


def _unknown_causes(layers: Layers) -> list[DistsysError]:
    """What ``health.accept`` names must be something that can be found."""
    health = layers.values.get("health")
    accepted = health.get("accept") if isinstance(health, dict) else None
    names = [name for name in accepted if isinstance(name, str)] if isinstance(accepted, list) else []
    source = layers.sources.get("health.accept", "")
    return [
        DistsysError(f"unknown cause '{name}' in health.accept ({source})", fix=did_you_mean(name, CAUSES))
        for name in names
        if name not in CAUSES
    ]


def _weight_problems(layers: Layers, domain: AnyDomain) -> list[DistsysError]:
    """Each phase names exactly the weights of the domain's terms."""
    wanted = [term.weight_name for term in domain.terms]
    problems = []
    for phase in ("search", "final"):
        section = layers.values.get(phase)
        weights = section.get("weights") if isinstance(section, dict) else None
        if not isinstance(weights, dict):
            continue
        for unknown in sorted(set(weights) - set(wanted)):
            source = layers.sources.get(f"{phase}.weights.{unknown}", "")
            problems.append(
                DistsysError(
                    f"unknown weight '{phase}.weights.{unknown}' ({source})", fix=did_you_mean(unknown, wanted)
                )
            )
        problems += [
            DistsysError(f"'{phase}.weights.{missing}' is missing", expected="a weight for every term; 0 is one")
            for missing in wanted
            if missing not in weights
        ]
        problems += _relative_in_search(phase, weights)
    return problems


def _relative_in_search(phase: str, weights: dict[str, Any]) -> list[DistsysError]:
    relative = [name for name, value in weights.items() if isinstance(value, dict) and "times" in value]
    if phase == "final":
        return []
    return [
        DistsysError(f"search.weights.{name} uses 'times'", expected="'to': only the final phase can be relative")
        for name in relative
    ]


def _require_carried_over(path: Path, space: SearchSpace, config: CoreConfig) -> None:
    """A weight that is searched must reach the final phase, else the winner is trained on another objective."""
    prefix = "search.weights."
    searched = [item.removeprefix(prefix) for item in space.dimensions if item.startswith(prefix)]
    problems = [
        DistsysError(
            f"'{prefix}{name}' is searched, but 'final.weights.{name}' does not depend on it",
            expected="a final weight relative to the searched one",
            fix=f"final.weights.{name}: {{times: 2}}, or take it out of the search space",
        )
        for name in searched
        if config.final.weights[name].times is None
    ]
    if problems:
        raise ConfigError.collect(str(path), problems)


def preflight(experiment: Experiment) -> Validation:
    """Build data and model, take one step and one validation, which is given back, and write nothing.

    Raises:
        DataError: a data file is missing, damaged or mislabelled.
        ConfigError: a constraint names no metric, or a searched parameter is read by nothing.
    """
    from distsys.cluster.session import joins_cluster
    from distsys.training.context import FitContext
    from distsys.training.loop import Run
    from distsys.training.workers import Workers, pick_device

    config, reads = record_reads(experiment.config)
    # The driver of a cluster's job may stand on a machine without the GPU that its workers have.
    workers = Workers(pick_device("auto" if joins_cluster() else config.device))
    spec = RunSpec(config, "search")
    context = FitContext(spec, experiment.domain, experiment.root / ".nowhere", workers, tracker=None)
    validation = Run(context).rehearse()
    problems = [
        DistsysError(
            f"'{path}' is searched, but nothing reads it", fix="take it out, or choose the variant that reads it"
        )
        for path in experiment.space.dimensions
        if path not in reads
    ]
    problems += _moved_sets(experiment)
    if problems:
        raise ConfigError.collect("search space", problems)
    return validation


def _moved_sets(experiment: Experiment) -> Iterator[DistsysError]:
    """Searched keys on which a frozen set depends: trials would be judged on different items.

    The ends of each range and every choice are tried, one key at a time.
    """
    from distsys.config.reuse import forgetting, reads_of
    from distsys.training.data import built_data, set_digests

    domain, config = experiment.domain, experiment.config
    bundle = built_data(domain, config)
    known, read = set_digests(bundle), reads_of(bundle)
    for path, dimension in experiment.space.dimensions.items():
        for value in dimension.corners() if path in read else []:
            with forgetting():
                found = set_digests(built_data(domain, with_values(config, {path: value})))
            moved = [name for name, digest in found.items() if digest != known[name]]
            if moved:
                yield DistsysError(
                    f"'{path}' is searched, but with {value} the {' and '.join(moved)} set is another one",
                    expected="frozen sets that all trials share, else their values cannot be compared",
                    fix="take it out of the search space",
                )
                break


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The only driver of the experiment in ``folder``.

    Raises:
        UsageError: another driver holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder / ".lock") as is_held:
        if not is_held:
            raise UsageError(
                f"another distsys works on {folder}",
                expected="one driver an experiment",
                fix="wait for it, or use another --out or --seed",
            )
        clear_partial(folder)
        yield


_KEPT = "what had ended is kept, the rest goes on from its last checkpoint"


@dataclass
class Ending:
    """What a run that ends by itself is found to be; ``stopped`` where nothing in it may be chosen."""

    verdicts: Sequence[Verdict] = ()

    @property
    def status(self) -> str:
        return "stopped" if is_sick(self.verdicts) else "finished"


@contextmanager
def noted_end(spool: Spool) -> Iterator[Ending]:
    """How the block ends becomes the run's status for trackers.

    Raises:
        Interrupted: a signal came, be it as a KeyboardInterrupt.
    """
    ending = Ending()
    try:
        with told_of_end(lambda message: spool.finish("interrupted", message)):
            yield ending
    except StoppedByHealth as error:
        spool.finish("stopped", str(error), verdicts=error.verdicts)
        raise
    except Interrupted as error:
        spool.finish("interrupted", error.found)
        raise
    except KeyboardInterrupt:
        stopped = interrupted(_KEPT)
        spool.finish("interrupted", stopped.found)
        raise stopped from None
    except (Exception, SystemExit) as error:
        spool.finish("failed", str(error) or type(error).__name__)
        raise
    spool.finish(ending.status, verdicts=ending.verdicts)
