"""A causal extractor block by block, as sound comes in: what it gives is what the whole recording would."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distsys.domains.speaker_extraction.model.network import SILENCE, DualPath, Extractor, rms_of
from distsys.errors import UsageError
from distsys.shapes import Float


class Live:
    """The enrolled speaker of sound that comes in, one window of the model behind it.

    Args:
        model: a causal one, in evaluation mode.
        enrolment: of the wanted speaker, at the model's rate, without offset.

    Raises:
        UsageError: ``model`` looks ahead.
    """

    def __init__(self, model: Extractor, enrolment: Float[Tensor, " enrol_time"]) -> None:
        if not model.is_causal:
            raise UsageError(
                "a model that looks ahead, asked live", expected="a causal one", fix="train with model.causal=true"
            )
        self._model, self._hop = model, model.stft.hop
        device = next(model.parameters()).device
        with torch.no_grad():
            spectrum = model.stft(enrolment[None].to(device))
            features = model.bands.features(spectrum / rms_of(spectrum, causal=False))
            self._reference = model.shared(model.encode(features))
        blocks: list[nn.Module] = [model.shared, *model.alone, *model.blocks]
        self._states: list[Tensor | None] = [None] * len(blocks)
        self._power, self._frames = torch.zeros((), device=device), 0
        self._waiting = torch.zeros(self._hop, device=device)  # as the transform pads its first frame
        self._tail = torch.zeros(self._hop, device=device)

    @property
    def latency_s(self) -> float:
        """From when a sample comes in to when it can go out: one frame of the model; computing comes on top."""
        return self._model.stft.size / self._model.sample_rate_hz

    @torch.no_grad()
    def push(self, samples: Float[Tensor, " time"]) -> Float[Tensor, " out_time"]:
        """The next samples of the estimate, now that ``samples`` came in: whole hops, perhaps none.

        One after the other they are the estimate of everything that came in, from its first sample on.
        """
        self._waiting = torch.cat((self._waiting, samples.to(self._waiting)))
        found = []
        while len(self._waiting) >= 2 * self._hop:
            frame, self._waiting = self._waiting[: 2 * self._hop], self._waiting[self._hop :]
            found.append(self._hop_of(frame))
        ready = torch.cat(found) if found else self._waiting[:0]
        return ready.to(samples)

    def _hop_of(self, frame: Tensor) -> Tensor:
        """The hop that ``frame`` [window] completes; none by the first one, half of which is padding."""
        window = self._model.stft.window
        spectrum = torch.fft.rfft(frame * window)[None, :, None]
        self._frames += 1
        self._power = self._power + torch.view_as_real(spectrum).square().sum() / spectrum.shape[1]
        estimate = self._mask(spectrum / self._rms()) * spectrum
        sound = window * torch.fft.irfft(estimate[0, :, 0], self._model.stft.size)
        whole, self._tail = self._tail + sound[: self._hop], sound[self._hop :]
        return whole if self._frames > 1 else whole[:0]

    def _rms(self) -> Tensor:
        return (self._power / self._frames).sqrt().clamp(min=SILENCE)

    def _mask(self, spectrum: Tensor) -> Tensor:
        """Of one frame [1, bins, 1]."""
        model = self._model
        x = model.encode(model.bands.features(spectrum))
        number = 0
        for block in (model.shared, *model.alone):
            x = self._through(block, x, number)
            number += 1
        for fusion, block in zip(model.fusions, model.blocks, strict=True):
            x = self._through(block, fusion(x, self._reference), number)
            number += 1
        hidden = torch.tanh(model.mask_hidden(model.norm(x)))
        return model.bands.to_bins(model.mask(hidden).float())

    def _through(self, block: nn.Module, x: Tensor, number: int) -> Tensor:
        assert isinstance(block, DualPath)
        x, self._states[number] = block.over_time.step(block.over_bands(x), self._states[number])
        return x
