"""Healthy loops of other kinds, each of which once looked sick to a rule that was too simple."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F  # noqa: N812 - its customary name
from torch import Tensor, nn

from tests.health.watch.programs import mlp, program
from tests.health.watch.programs_more import counting


@program()
def heads_that_take_turns(seed: int) -> list[float]:
    """One of five heads a step: a dozen looks in a row may miss one."""
    body, heads = mlp(16, 64, 64), nn.ModuleList([nn.Linear(64, 4) for _ in range(5)])
    optimizer = torch.optim.Adam([*body.parameters(), *heads.parameters()], lr=1e-3)
    maps = torch.randn(5, 16, 4)
    losses = []
    for _ in range(250):
        task = int(torch.randint(0, 5, ()))
        inputs = torch.randn(32, 16)
        value = F.cross_entropy(heads[task](body(inputs)), (inputs @ maps[task]).argmax(1))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


@program()
def critic_of_differences(seed: int) -> list[float]:
    """A Wasserstein game: the gradient of the critic's last bias is exactly zero."""
    maker, critic = mlp(4, 32, 2), mlp(2, 32, 1)
    make = torch.optim.RMSprop(maker.parameters(), lr=5e-4)
    judge = torch.optim.RMSprop(critic.parameters(), lr=5e-4)
    losses = []
    for index in range(200):
        fake = maker(torch.randn(64, 4))
        value = critic(fake.detach()).mean() - critic(torch.randn(64, 2) + 2).mean()
        judge.zero_grad()
        value.backward()
        judge.step()
        with torch.no_grad():
            for item in critic.parameters():
                item.clamp_(-0.05, 0.05)
        if index % 5 == 0:
            make.zero_grad()
            (-critic(maker(torch.randn(64, 4))).mean()).backward()
            make.step()
        losses.append(value.item())
    return losses


@program()
def values_learned_from_themselves(seed: int) -> list[float]:
    """Q-learning: targets come from a copy of the network, and have no chance level."""
    net = mlp(4, 64, 2)
    slow = copy.deepcopy(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    losses = []
    for index in range(250):
        state = torch.randn(64, 4)
        action = torch.randint(0, 2, (64, 1))
        reward = (state[:, :1] * (action * 2 - 1)).clamp(-1, 1)
        with torch.no_grad():
            target = reward + 0.9 * slow(state + 0.1 * torch.randn_like(state)).max(1, keepdim=True)[0]
        value = F.smooth_l1_loss(net(state).gather(1, action), target)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_value_(net.parameters(), 1.0)
        optimizer.step()
        if index % 50 == 0:
            slow.load_state_dict(net.state_dict())
        losses.append(value.item())
    return losses


@program()
def quasi_newton(seed: int) -> list[float]:
    """LBFGS computes gradients inside of its step."""
    net = nn.Linear(4, 1)
    optimizer = torch.optim.LBFGS(net.parameters(), lr=0.5)
    inputs = torch.randn(100, 4)
    target = inputs @ torch.randn(4, 1) + 0.1 * torch.randn(100, 1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = F.mse_loss(net(inputs), target)
        value.backward()
        return value

    return [optimizer.step(closure).item() for _ in range(25)]


class Streams(nn.Module):
    """A recurrent language model whose first axis is time, and whose state goes on from step to step."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.cell, self.head = nn.Embedding(12, 32), nn.LSTM(32, 64), nn.Linear(64, 12)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden, _ = self.cell(self.embed(tokens))
        return self.head(hidden).view(-1, 12)


@program()
def time_first(seed: int) -> list[float]:
    net = Streams()
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    losses = []
    for _ in range(200):
        tokens = counting(16).T
        value = F.cross_entropy(net(tokens[:-1]), tokens[1:].reshape(-1))
        net.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.25)
        optimizer.step()
        losses.append(value.item())
    return losses


@program()
def buffers_written_anew(seed: int) -> list[float]:
    """The same two tensors hold every batch: other content each time is no corruption."""
    net, inputs, target = mlp(16, 64, 4), torch.empty(32, 16), torch.empty(32, dtype=torch.long)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    weights = torch.randn(16, 4)
    losses = []
    for _ in range(150):
        inputs.copy_(torch.randn(32, 16))
        target.copy_((inputs @ weights).argmax(1))
        value = F.cross_entropy(net(inputs), target)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses
