"""Small training loops in plain PyTorch, buggy ones and their healthy twins, with the cause that is expected of each.

Each takes a seed and gives the losses of its steps. They know nothing of the checks, and the checks nothing of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812 - its customary name
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from distsys.health import causes
from distsys.health.causes import Cause

Loop = Callable[[int], list[float]]
Loader = DataLoader[tuple[Tensor, ...]]


@dataclass(frozen=True)
class Program:
    """A loop and the causes that name its defect; none for a healthy one."""

    name: str
    loop: Loop
    causes: tuple[Cause, ...] = ()


PROGRAMS: list[Program] = []


def program(*expected: Cause) -> Callable[[Loop], Loop]:
    """Register a loop."""

    def add(loop: Loop) -> Loop:
        def seeded(seed: int) -> list[float]:
            torch.manual_seed(seed)
            return loop(seed)

        PROGRAMS.append(Program(loop.__name__, seeded, expected))
        return loop

    return add


def blobs(num: int = 512, *, width: int = 16, classes: int = 4) -> tuple[Tensor, Tensor]:
    centres = 2.0 * torch.randn(classes, width)
    labels = torch.randint(0, classes, (num,))
    return centres[labels] + torch.randn(num, width), labels


def mlp(*widths: int, dropout: float = 0.0) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths[:-1]):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def linear(net: nn.Sequential, at: int) -> nn.Linear:
    layer = net[at]
    assert isinstance(layer, nn.Linear)
    return layer


def classify(
    seed: int,
    *,
    model: nn.Module | None = None,
    rate: float = 1e-3,
    epochs: int = 10,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    shuffled: bool = False,
    num: int = 512,
    clear: bool = True,
    evaluate: Callable[[nn.Module, Loader], None] | None = None,
    held: nn.Module | None = None,
) -> list[float]:
    torch.manual_seed(seed)
    inputs, labels = blobs(num)
    if shuffled:
        labels = labels[torch.randperm(len(labels))]
    loader = DataLoader(TensorDataset(inputs, labels), batch_size=32, shuffle=True)
    net = model or mlp(16, 64, 64, 4)
    step = optimizer((held or net).parameters(), lr=rate)
    losses = []
    for _ in range(epochs):
        for batch, target in loader:
            value = (loss or F.cross_entropy)(net(batch), target)
            if clear:
                step.zero_grad()
            value.backward()
            step.step()
            losses.append(value.item())
        if evaluate:
            evaluate(net, loader)
    return losses


@program()
def classifier(seed: int) -> list[float]:
    return classify(seed)


@program()
def classifier_with_validation(seed: int) -> list[float]:
    def evaluate(net: nn.Module, loader: Loader) -> None:
        net.eval()
        with torch.no_grad():
            sum(int((net(batch).argmax(1) == target).sum()) for batch, target in loader)
        net.train()

    return classify(seed, model=mlp(16, 64, 64, 4, dropout=0.3), evaluate=evaluate)


@program()
def classifier_at_a_tiny_rate(seed: int) -> list[float]:
    """Slow, and learning: nothing to refuse."""
    return classify(seed, rate=2e-4, epochs=20)


@program()
def classifier_with_a_zero_head(seed: int) -> list[float]:
    torch.manual_seed(seed)
    net = mlp(16, 64, 64, 4)
    head = linear(net, -1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return classify(seed, model=net)


@program(causes.RATE_TOO_LOW, causes.NOTHING_LEARNED)
def rate_far_too_low(seed: int) -> list[float]:
    return classify(seed, rate=1e-7)


@program(causes.RATE_TOO_HIGH, causes.DEAD_PARAMETERS, causes.NOT_FINITE, causes.CONSTANT_OUTPUT)
def rate_far_too_high(seed: int) -> list[float]:
    return classify(seed, rate=3.0, optimizer=torch.optim.Adam)


@program(causes.RATE_ZERO)
def rate_zero(seed: int) -> list[float]:
    return classify(seed, rate=0.0)


@program(causes.UNRELATED_TARGETS)
def labels_shuffled(seed: int) -> list[float]:
    return classify(seed, shuffled=True, epochs=1, num=4096)


@program(causes.LEARNED_BY_HEART)
def few_labels_shuffled(seed: int) -> list[float]:
    """All pairs are learned by heart; what is held out is at chance."""
    others, _ = blobs(512)
    guesses = torch.randint(0, 4, (512,))

    def evaluate(net: nn.Module, loader: Loader) -> None:
        net.eval()
        with torch.no_grad():
            F.cross_entropy(net(others), guesses)
        net.train()

    return classify(seed, shuffled=True, epochs=30, num=128, rate=5e-3, evaluate=evaluate)


@program(causes.SOFTMAX_TWICE)
def softmax_before_cross_entropy(seed: int) -> list[float]:
    return classify(seed, model=nn.Sequential(mlp(16, 64, 4), nn.Softmax(dim=1)))


@program(causes.STALE_GRADIENTS)
def zero_grad_forgotten(seed: int) -> list[float]:
    return classify(seed, clear=False, rate=1e-3)


@program(causes.OTHER_PARAMETERS)
def optimiser_of_another_model(seed: int) -> list[float]:
    torch.manual_seed(seed)
    return classify(seed, held=mlp(16, 64, 64, 4))


@program(causes.EVAL_LEFT_ON)
def eval_left_on(seed: int) -> list[float]:
    def evaluate(net: nn.Module, loader: Loader) -> None:
        net.eval()
        with torch.no_grad():
            sum(int((net(batch).argmax(1) == target).sum()) for batch, target in loader)

    return classify(seed, model=mlp(16, 64, 64, 4, dropout=0.3), evaluate=evaluate)


@program(causes.TRAIN_LEFT_ON)
def evaluated_in_training_mode(seed: int) -> list[float]:
    def evaluate(net: nn.Module, loader: Loader) -> None:
        with torch.no_grad():
            sum(float(F.cross_entropy(net(batch), target)) for batch, target in loader)

    return classify(seed, model=mlp(16, 64, 64, 4, dropout=0.3), evaluate=evaluate)


@program(causes.DEAD_PARAMETERS)
def dead_relu(seed: int) -> list[float]:
    torch.manual_seed(seed)
    net = mlp(16, 64, 64, 4)
    nn.init.constant_(linear(net, 0).bias, -100.0)
    return classify(seed, model=net)


@program(causes.SYMMETRIC)
def constant_initialisation(seed: int) -> list[float]:
    net = mlp(16, 64, 64, 4)
    for item in net.parameters():
        nn.init.constant_(item, 0.05)
    return classify(seed, model=net)


class SoftmaxOverOne(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = mlp(16, 64, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.softmax(self.body(inputs), dim=1)


@program(causes.AXIS_OF_ONE)
def softmax_over_an_axis_of_one(seed: int) -> list[float]:
    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(output.squeeze(1), (target % 2).float())

    return classify(seed, model=SoftmaxOverOne(), loss=loss)


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = mlp(16, 64, 64), nn.Linear(64, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.encoder(inputs).detach())


@program(causes.DEAD_PARAMETERS)
def detached_by_mistake(seed: int) -> list[float]:
    torch.manual_seed(seed)
    return classify(seed, model=Detached())


@program()
def frozen_backbone(seed: int) -> list[float]:
    torch.manual_seed(seed)
    net = nn.Sequential(mlp(16, 64, 64), nn.Linear(64, 4))
    net[0].requires_grad_(False)
    return classify(seed, model=net)


@program()
def backbone_under_no_grad(seed: int) -> list[float]:
    """Frozen by no_grad, though the optimiser holds it."""
    torch.manual_seed(seed)
    backbone, head = mlp(16, 64, 64), nn.Linear(64, 4)
    optimizer = torch.optim.Adam([*backbone.parameters(), *head.parameters()], lr=1e-3)
    losses = []
    all_inputs, all_labels = blobs()
    for _ in range(120):
        chosen = torch.randint(0, 512, (32,))
        inputs, labels = all_inputs[chosen], all_labels[chosen]
        with torch.no_grad():
            features = backbone(inputs)
        optimizer.zero_grad()
        value = F.cross_entropy(head(features), labels)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


def regress(
    seed: int, loss: Callable[[Tensor, Tensor], Tensor], *, wide: bool = False, corrupt: bool = False
) -> list[float]:
    torch.manual_seed(seed)
    inputs = torch.randn(512, 8)
    target = (inputs[:, :1].sin() + inputs[:, 1:2] * inputs[:, 2:3]) + 0.1 * torch.randn(512, 1)
    target = target if wide else target.squeeze(1)
    net = mlp(8, 64, 64, 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    losses = []
    for epoch in range(12):
        for start in range(0, 512, 32):
            goal = target[start : start + 32]
            if corrupt and epoch:
                goal.mul_(0.9)
            optimizer.zero_grad()
            value = loss(net(inputs[start : start + 32]), goal)
            value.backward()
            optimizer.step()
            losses.append(value.item())
    return losses


@program()
def regression(seed: int) -> list[float]:
    return regress(seed, F.mse_loss, wide=True)


@program(causes.CHANGED_DATA)
def targets_changed_in_place(seed: int) -> list[float]:
    return regress(seed, F.mse_loss, wide=True, corrupt=True)


@program(causes.BROADCAST)
def prediction_and_target_broadcast(seed: int) -> list[float]:
    import warnings

    def loss(output: Tensor, target: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return F.mse_loss(output, target)

    return regress(seed, loss)


@program(causes.NOT_FINITE)
def log_of_zero(seed: int) -> list[float]:
    def loss(output: Tensor, target: Tensor) -> Tensor:
        return ((output.relu().log() - target.abs().log()) ** 2).mean()

    return regress(seed, loss, wide=True)


def one_batch(seed: int, *, anew: bool) -> list[float]:
    torch.manual_seed(seed)
    inputs, labels = blobs(256)
    loader = DataLoader(TensorDataset(inputs, labels), batch_size=32, shuffle=False)
    net = mlp(16, 64, 4)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    batches = [next(iter(loader)) for _ in range(80)] if anew else None
    losses = []
    full = next(iter(loader))
    for index in range(80):
        batch, target = batches[index] if batches else full
        optimizer.zero_grad()
        value = F.cross_entropy(net(batch), target)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


@program(causes.SAME_BATCH)
def repeated_batch(seed: int) -> list[float]:
    return one_batch(seed, anew=True)


@program()
def one_batch_on_purpose(seed: int) -> list[float]:
    """The same tensors at every step: somebody tries whether the model can learn a batch."""
    return one_batch(seed, anew=False)


class OneItem(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self) -> None:
        self.inputs, self.labels = blobs(256)

    def __len__(self) -> int:
        return 256

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[0], self.labels[index]


@program(causes.SAME_ITEMS)
def dataset_ignores_its_index(seed: int) -> list[float]:
    torch.manual_seed(seed)
    loader = DataLoader(OneItem(), batch_size=32, shuffle=True)
    net = mlp(16, 64, 4)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    losses = []
    for _ in range(10):
        for batch, target in loader:
            optimizer.zero_grad()
            value = F.cross_entropy(net(batch), target)
            value.backward()
            optimizer.step()
            losses.append(value.item())
    return losses
