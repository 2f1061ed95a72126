"""Loops whose steps are more than one call: accumulated gradients, schedules, scaled losses."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its customary name
from torch import Tensor, nn

from distsys.health import causes
from tests.health.watch.programs import blobs, mlp, program


@program()
def accumulation(seed: int) -> list[float]:
    torch.manual_seed(seed)
    inputs, labels = blobs()
    net = mlp(16, 64, 4)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    losses = []
    for index, (batch, target) in enumerate(zip(inputs.split(8) * 8, labels.split(8) * 8, strict=True)):
        value = F.cross_entropy(net(batch), target) / 4
        value.backward()
        losses.append(value.item())
        if index % 4 == 3:
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    return losses


def scheduled(seed: int, *, first: bool, every: int = 1) -> list[float]:
    torch.manual_seed(seed)
    inputs, labels = blobs()
    net = mlp(16, 64, 4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=16 * 8)
    losses = []
    for batch, target in zip(inputs.split(32) * 8, labels.split(32) * 8, strict=True):
        optimizer.zero_grad()
        value = F.cross_entropy(net(batch), target)
        value.backward()
        if first:
            schedule.step()
        optimizer.step()
        if not first:
            schedule.step()
        losses.append(value.item())
    return losses


@program()
def schedule_after_the_optimiser(seed: int) -> list[float]:
    return scheduled(seed, first=False)


@program(causes.SCHEDULE_ORDER)
def schedule_before_the_optimiser(seed: int) -> list[float]:
    return scheduled(seed, first=True)


@program(causes.SCHEDULE_PACE)
def schedule_by_epochs_stepped_by_batches(seed: int) -> list[float]:
    torch.manual_seed(seed)
    inputs, labels = blobs()
    net = mlp(16, 64, 4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.8)
    losses = []
    for batch, target in zip(inputs.split(32) * 10, labels.split(32) * 10, strict=True):
        optimizer.zero_grad()
        value = F.cross_entropy(net(batch), target)
        value.backward()
        optimizer.step()
        schedule.step()
        losses.append(value.item())
    return losses


def mixed(seed: int, *, unscale: bool, clip: bool = True, direct: bool = False) -> list[float]:
    torch.manual_seed(seed)
    inputs, labels = blobs()
    net = mlp(16, 64, 4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    losses = []
    for batch, target in zip(inputs.split(32) * 8, labels.split(32) * 8, strict=True):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = F.cross_entropy(net(batch), target)
        scaler.scale(value).backward()
        if unscale:
            scaler.unscale_(optimizer)
        if clip:
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        if direct:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        losses.append(value.item())
    return losses


@program()
def amp(seed: int) -> list[float]:
    return mixed(seed, unscale=True)


@program(causes.STEP_ORDER)
def clipped_before_unscaling(seed: int) -> list[float]:
    return mixed(seed, unscale=False)


@program(causes.SCALED_STEP)
def steps_on_scaled_gradients(seed: int) -> list[float]:
    return mixed(seed, unscale=False, clip=False, direct=True)


@program()
def amp_that_skips(seed: int) -> list[float]:
    """The scale begins so high that the first steps are skipped."""
    torch.manual_seed(seed)
    inputs, labels = blobs()
    net = mlp(16, 64, 4)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=20)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=10_000)
    losses = []
    for batch, target in zip(inputs.split(32) * 8, labels.split(32) * 8, strict=True):
        optimizer.zero_grad()
        value = F.cross_entropy(net(batch), target)
        scaler.scale(value * 100.0).backward()
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        losses.append(value.item())
    return losses


class Stack(nn.Module):
    """Layers in a list, which torch sees only if it is a ModuleList."""

    def __init__(self, *, is_plain: bool) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(16, 64), nn.Linear(64, 4)
        layers = [nn.Linear(64, 64) for _ in range(2)]
        self.layers = layers if is_plain else nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        for layer in self.layers:
            x = layer(x).relu()
        return self.last(x)


def stacked(seed: int, *, is_plain: bool) -> list[float]:
    torch.manual_seed(seed)
    inputs, labels = blobs()
    net = Stack(is_plain=is_plain)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    losses = []
    for batch, target in zip(inputs.split(32) * 8, labels.split(32) * 8, strict=True):
        optimizer.zero_grad()
        value = F.cross_entropy(net(batch), target)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


@program()
def layers_in_a_module_list(seed: int) -> list[float]:
    return stacked(seed, is_plain=False)


@program(causes.NOT_HELD)
def layers_in_a_plain_list(seed: int) -> list[float]:
    return stacked(seed, is_plain=True)


def squared_by_hand(seed: int, *, is_flat: bool) -> list[float]:
    """A loss without torch.nn.functional, over predictions [items, 1]."""
    torch.manual_seed(seed)
    inputs = torch.randn(512, 16)
    wanted = inputs[:, :3].sum(dim=1) + 0.1 * torch.randn(512)
    net = mlp(16, 64, 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    losses = []
    for batch, target in zip(inputs.split(32) * 8, wanted.split(32) * 8, strict=True):
        optimizer.zero_grad()
        output = net(batch)
        value = ((output.squeeze(1) if is_flat else output) - target).square().mean()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


@program()
def squared_error_by_hand(seed: int) -> list[float]:
    return squared_by_hand(seed, is_flat=True)


@program(causes.BROADCAST)
def squared_error_of_all_pairs(seed: int) -> list[float]:
    return squared_by_hand(seed, is_flat=False)
