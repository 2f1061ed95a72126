"""CPU cost of target speaker extraction: mixing, training steps, and the scan beside its plain form and an LSTM.

    python benchmarks/extraction_cost.py [--speakers FOLDER]

Every figure is CPU time of one thread; the pairs of a ratio are measured in turn, and medians are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor, nn

from distsys.domains.protocol import DataBundle
from distsys.domains.speaker_extraction import SpeakerExtraction
from distsys.domains.speaker_extraction.config import Config, ModelConfig
from distsys.domains.speaker_extraction.model import native
from distsys.domains.speaker_extraction.model.live import Live
from distsys.domains.speaker_extraction.model.network import Extractor
from distsys.domains.speaker_extraction.model.scan import GatedScan

BATCH = 4
SHORT_BATCH, SHORT_S = 16, 1.0
"""Crops half as long, twice as many seconds a step."""
LIVE_S = 4
CROPS = ("mixture_s", "enrolment_s")
ROUNDS = 9


class Recurrent(nn.Module):
    """A bidirectional LSTM in the place of a scan: same width, same hidden size, same residual form."""

    def __init__(self, width: int, hidden: int, *, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.norm = nn.LayerNorm(width)
        self.lstm = nn.LSTM(width, hidden, bidirectional=True)
        self.out = nn.Linear(2 * hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        moved = self.norm(x).movedim(self.axis, 0)
        flat = moved.flatten(1, -2)
        return x + self.out(self.lstm(flat)[0]).view_as(moved).movedim(0, self.axis)


def with_lstms(model: Extractor, settings: ModelConfig) -> Extractor:
    """``model`` with every scan replaced."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, GatedScan):
                setattr(module, name, Recurrent(settings.width, settings.hidden, axis=child.axis))
    return model


def cpu_s(call: Callable[[], object]) -> float:
    before = time.process_time()
    call()
    return time.process_time() - before


def plain(step: Callable[[], None]) -> None:
    """``step`` without the compiled scan."""
    with patch.object(native, "serves", return_value=False):
        step()


def stepper(config: Config, model: Extractor, bundle: DataBundle, size: int = BATCH) -> Callable[[], None]:
    """One training step on a batch that is already there."""
    domain, optimizer = SpeakerExtraction(), torch.optim.AdamW(model.parameters(), fused=True)
    batch = bundle.train.batch(range(size), progress=1.0)
    generator = torch.Generator()

    def step() -> None:
        terms = domain.loss_terms(domain.forward(model, batch, generator=generator), batch, config=config)
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def live_hops_s(config: Config) -> list[float]:
    """CPU seconds for each hop of a causal model that sound comes in to."""
    model = Extractor(config.model_copy(update={"model": config.model.model_copy(update={"causal": True})})).eval()
    live, hop = Live(model, 0.1 * torch.randn(LIVE_S * model.sample_rate_hz)), model.stft.hop
    blocks = (0.1 * torch.randn(LIVE_S * model.sample_rate_hz)).split(hop)
    return [cpu_s(partial(live.push, block)) for block in blocks]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speakers", type=Path, help="folder of speakers (default: synthetic voices)")
    chosen = parser.parse_args().speakers
    torch.set_num_threads(1)
    data = {"synthetic_speakers": 40} if chosen is None else {"speakers": str(chosen), "on_fault": "leave_out"}
    config = Config.model_validate({"data": {**data, "validation_items": 20, "test_items": 20}})
    bundle = SpeakerExtraction().build_data(config, seed=0)
    torch.manual_seed(0)
    scans = stepper(config, Extractor(config), bundle)
    lstms = stepper(config, with_lstms(Extractor(config), config.model), bundle)
    short = config.model_copy(update={"data": config.data.model_copy(update=dict.fromkeys(CROPS, SHORT_S))})
    crops = stepper(short, Extractor(short), SpeakerExtraction().build_data(short, seed=0), SHORT_BATCH)
    times: dict[str, list[float]] = {"mixing": [], "scan": [], "plain": [], "lstm": [], "crops": []}
    for warm in (scans, partial(plain, scans), lstms, crops):
        warm()
    for round_number in range(ROUNDS):
        start = round_number * BATCH
        mix = partial(bundle.train.batch, range(start, start + BATCH), progress=1.0)
        times["mixing"].append(cpu_s(mix) / BATCH)
        times["scan"].append(cpu_s(scans) / BATCH)
        times["plain"].append(cpu_s(partial(plain, scans)) / BATCH)
        times["lstm"].append(cpu_s(lstms) / BATCH)
        times["crops"].append(cpu_s(crops) / SHORT_BATCH)
    mixing, scan, loop, lstm, crop = (statistics.median(values) for values in times.values())
    source, length_s = bundle.provenance["source"], config.data.mixture_s
    print(f"source: {source}, mixtures of {length_s:g} s, one thread, median of {ROUNDS}")
    print(f"{'mixing':<28}{1.0 / mixing:>9.0f} mixtures/s  {mixing / (mixing + scan):.2%} of a training step")
    how = "compiled" if native.serves(torch.zeros(1, 3), 1) else "no compiler: plain"
    print(f"{'training, gated scan':<28}{1.0 / scan:>9.1f} mixtures/s  ({how})")
    print(f"{'training, scan not compiled':<28}{1.0 / loop:>9.1f} mixtures/s  ratio {loop / scan:.2f}")
    print(f"{'training, LSTM in its place':<28}{1.0 / lstm:>9.1f} mixtures/s  ratio {lstm / scan:.2f}")
    gain = (SHORT_S / crop) / (length_s / scan)
    print(
        f"{SHORT_BATCH} crops of {SHORT_S:g} s for {BATCH} of {length_s:g} s: {gain:.2f} times the mixture a CPU second"
    )
    hops, hop_s = live_hops_s(config), config.model.window / 2 / config.data.sample_rate_hz
    busy = statistics.median(hops) / hop_s
    print(f"live, causal: {1e3 * statistics.median(hops):.1f} ms for each {1e3 * hop_s:.0f} ms of sound ({busy:.0%})")


if __name__ == "__main__":
    main()
