"""More loops, with other networks: autoencoders, sequences, games, contrastive pairs, graphs."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its customary name
from torch import Tensor, nn

from distsys.health import causes
from tests.health.watch.programs import blobs, mlp, program


def fit(net: nn.Module, step, *, steps: int = 150, rate: float = 2e-3) -> list[float]:  # type: ignore[no-untyped-def]
    """Adam on what ``step`` gives, ``steps`` times."""
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = step()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


def images(num: int = 32) -> Tensor:
    """Soft stripes of random phase and pitch, in [0, 1]."""
    place = torch.linspace(0, 6.28, 64)
    return 0.5 + 0.5 * torch.sin(place * torch.randint(1, 4, (num, 1)) + 6.28 * torch.rand(num, 1))


@program()
def autoencoder(seed: int) -> list[float]:
    torch.manual_seed(seed)
    net = nn.Sequential(mlp(64, 64, 8), mlp(8, 64, 64))

    def step() -> Tensor:
        batch = images()
        return F.mse_loss(net(batch), batch)

    return fit(net, step, steps=300)


@program(causes.SIGMOID_TWICE)
def sigmoid_before_logits(seed: int) -> list[float]:
    torch.manual_seed(seed)
    net = nn.Sequential(mlp(64, 64, 8), mlp(8, 64, 64), nn.Sigmoid())

    def step() -> Tensor:
        batch = images()
        return F.binary_cross_entropy_with_logits(net(batch), batch)

    return fit(net, step)


class Variational(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp(64, 64, 16), mlp(8, 64, 64)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(inputs).chunk(2, dim=1)
        latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return self.decoder(latent), mean, log_variance


@program()
def variational_autoencoder(seed: int) -> list[float]:
    torch.manual_seed(seed)
    net = Variational()

    def step() -> Tensor:
        batch = images()
        logits, mean, log_variance = net(batch)
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum()
        return (F.binary_cross_entropy_with_logits(logits, batch, reduction="sum") + 0.1 * divergence) / len(batch)

    return fit(net, step, steps=400)


class Tiny(nn.Module):
    """A transformer of one layer over tokens."""

    def __init__(self, *, masked: bool = True, scaled: bool = True) -> None:
        super().__init__()
        self.masked, self.scale = masked, 32**-0.5 if scaled else 1.0
        self.embed, self.place = nn.Embedding(12, 32), nn.Parameter(0.02 * torch.randn(16, 32))
        self.query, self.key, self.value = nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 32)
        self.norm, self.mix, self.head = nn.LayerNorm(32), mlp(32, 64, 32), nn.Linear(32, 12)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.embed(tokens) + self.place[: tokens.shape[1]]
        scores = self.query(hidden) @ self.key(hidden).mT * self.scale
        if self.masked:
            future = torch.ones(scores.shape[-2:]).triu(1).bool()
            scores = scores.masked_fill(future, float("-inf"))
        hidden = hidden + scores.softmax(-1) @ self.value(hidden)
        return self.head(hidden + self.mix(self.norm(hidden)))


def counting(num: int = 32) -> Tensor:
    """Sequences that count on by a stride of their own, modulo 12."""
    return (torch.randint(0, 12, (num, 1)) + torch.randint(1, 4, (num, 1)) * torch.arange(13)) % 12


def language(seed: int, **options: bool) -> list[float]:
    torch.manual_seed(seed)
    net = Tiny(**options)
    if not options.get("scaled", True):
        for layer in (net.query, net.key):
            nn.init.normal_(layer.weight, std=1.0)

    def step() -> Tensor:
        tokens = counting()
        return F.cross_entropy(net(tokens[:, :-1]).transpose(1, 2), tokens[:, 1:])

    return fit(net, step, steps=250)


@program()
def transformer(seed: int) -> list[float]:
    return language(seed)


@program(causes.SEES_TARGET)
def transformer_without_mask(seed: int) -> list[float]:
    return language(seed, masked=False)


@program(causes.PEAKED_ATTENTION)
def attention_without_scale(seed: int) -> list[float]:
    return language(seed, scaled=False)


class Recurrent(nn.Module):
    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self.cell, self.head, self.reset = nn.GRU(4, 32, batch_first=True), nn.Linear(32, 4), reset

    def forward(self, inputs: Tensor) -> Tensor:
        hidden, _ = self.cell(inputs * 0.0 if self.reset else inputs)
        return self.head(hidden[:, -1])


def sequences(seed: int, *, reset: bool) -> list[float]:
    torch.manual_seed(seed)
    net = Recurrent(reset=reset)

    def step() -> Tensor:
        inputs = torch.randn(32, 6, 4)
        return F.cross_entropy(net(inputs), inputs.sum(1).argmax(1))

    return fit(net, step, steps=300, rate=5e-3)


@program()
def recurrent(seed: int) -> list[float]:
    return sequences(seed, reset=False)


@program(causes.IGNORED_INPUT, causes.CONSTANT_OUTPUT)
def recurrent_ignores_its_input(seed: int) -> list[float]:
    return sequences(seed, reset=True)


@program()
def game(seed: int) -> list[float]:
    """A GAN with two optimisers; fakes for the discriminator are made without gradient."""
    torch.manual_seed(seed)
    generator, judge = mlp(4, 64, 2), mlp(2, 64, 1)
    make = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
    tell = torch.optim.Adam(judge.parameters(), lr=1e-3, betas=(0.5, 0.9))
    losses = []
    for _ in range(150):
        real = torch.randn(64, 2) @ torch.tensor([[1.0, 0.5], [0.0, 0.5]]) + 2.0
        with torch.no_grad():
            fake = generator(torch.randn(64, 4))
        tell.zero_grad()
        value = F.binary_cross_entropy_with_logits(judge(real), torch.ones(64, 1))
        value = value + F.binary_cross_entropy_with_logits(judge(fake), torch.zeros(64, 1))
        value.backward()
        tell.step()
        make.zero_grad()
        fooled = F.binary_cross_entropy_with_logits(judge(generator(torch.randn(64, 4))), torch.ones(64, 1))
        fooled.backward()
        make.step()
        losses += [value.item(), fooled.item()]
    return losses


def pairs(seed: int, *, broken: bool) -> list[float]:
    torch.manual_seed(seed)
    left, right = mlp(16, 64, 16), mlp(16, 64, 16)
    both = nn.ModuleList([left, right])

    def step() -> Tensor:
        inputs, _ = blobs(32)
        other = inputs + 0.3 * torch.randn_like(inputs)
        if broken:
            other = other[torch.randperm(len(other))]
        a, b = F.normalize(left(inputs), dim=1), F.normalize(right(other), dim=1)
        return F.cross_entropy(a @ b.T / 0.1, torch.arange(len(a)))

    return fit(both, step, steps=250)


@program()
def contrastive(seed: int) -> list[float]:
    return pairs(seed, broken=False)


@program(causes.AT_CHANCE, causes.UNRELATED_TARGETS)
def contrastive_with_shuffled_pairs(seed: int) -> list[float]:
    return pairs(seed, broken=True)


class Mixing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate, self.body = nn.Linear(16, 16), mlp(16, 64, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.body(inputs * self.gate(inputs).softmax(dim=0) * len(inputs))


@program(causes.MIXED_ITEMS)
def softmax_over_the_items(seed: int) -> list[float]:
    torch.manual_seed(seed)
    net = Mixing()
    inputs, labels = blobs()

    def step() -> Tensor:
        chosen = torch.randint(0, len(inputs), (32,))
        return F.cross_entropy(net(inputs[chosen]), labels[chosen])

    return fit(net, step)


@program()
def graph(seed: int) -> list[float]:
    """All nodes at once, every step: they are meant to see each other."""
    torch.manual_seed(seed)
    inputs, labels = blobs(64)
    near = torch.softmax(-torch.cdist(inputs, inputs), 1)
    net = mlp(16, 64, 4)
    return fit(net, lambda: F.cross_entropy(net(near @ inputs), labels))


@program()
def hinge_at_its_floor(seed: int) -> list[float]:
    """An auxiliary margin that is met for most items has no gradient there."""
    torch.manual_seed(seed)
    inputs, labels = blobs()
    net = mlp(16, 64, 4)

    def step() -> Tensor:
        chosen = torch.randint(0, len(inputs), (32,))
        logits = net(inputs[chosen])
        return F.cross_entropy(logits, labels[chosen]) + F.multi_margin_loss(logits, labels[chosen], margin=0.01)

    return fit(net, step)


@program()
def batch_norm_and_clipping(seed: int) -> list[float]:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    inputs, labels = blobs()
    losses = []
    for index in range(150):
        chosen = torch.arange(index * 32, index * 32 + 32) % 512
        value = F.cross_entropy(net(inputs[chosen]), labels[chosen], label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=False)
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
        losses.append(value.item())
    return losses


@program(causes.DROPOUT, causes.CANNOT_LEARN)
def dropout_of_nearly_everything(seed: int) -> list[float]:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Dropout(0.98), mlp(16, 64, 64, 4, dropout=0.98))
    inputs, labels = blobs()

    def step() -> Tensor:
        chosen = torch.randint(0, len(inputs), (32,))
        return F.cross_entropy(net(inputs[chosen]), labels[chosen])

    return fit(net, step, steps=200, rate=1e-3)


@program(causes.CLEARED_GRADIENTS)
def cleared_before_the_step(seed: int) -> list[float]:
    torch.manual_seed(seed)
    net = mlp(16, 64, 4)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    inputs, labels = blobs()
    losses = []
    for _ in range(60):
        chosen = torch.randint(0, len(inputs), (32,))
        value = F.cross_entropy(net(inputs[chosen]), labels[chosen])
        value.backward()
        optimizer.zero_grad()
        optimizer.step()
        losses.append(value.item())
    return losses


@program(causes.NOT_LOG_PROBABILITIES)
def likelihood_of_logits(seed: int) -> list[float]:
    torch.manual_seed(seed)
    net = mlp(16, 64, 4)
    inputs, labels = blobs()

    def step() -> Tensor:
        chosen = torch.randint(0, len(inputs), (32,))
        return F.nll_loss(net(inputs[chosen]), labels[chosen])

    return fit(net, step, steps=60)


@program(causes.NOT_HELD)
def encoder_that_no_optimiser_holds(seed: int) -> list[float]:
    torch.manual_seed(seed)
    encoder, head = mlp(16, 64, 32), nn.Linear(32, 4)
    inputs, labels = blobs()

    def step() -> Tensor:
        chosen = torch.randint(0, len(inputs), (32,))
        return F.cross_entropy(head(encoder(inputs[chosen])), labels[chosen])

    return fit(head, step)
