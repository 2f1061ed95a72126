"""Where a watch stands: modules, backward, optimisers, schedules, AMP scalers, clipping, losses, softmax, loaders."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import lr_scheduler
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.data import DataLoader

from distsys.health.watch.events import Call, Choice, Loss
from distsys.health.watch.patches import Patches
from distsys.health.watch.run import Run

LOSSES = (
    "cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "mse_loss", "l1_loss",
    "smooth_l1_loss", "huber_loss", "kl_div",
)  # fmt: skip
_TORCH = torch.__path__[0]


class Hooks:
    """Everything replaced or registered for one run; :meth:`remove` takes all of it away."""

    def __init__(self, run: Run) -> None:
        self._run, self._patches, self._inside = run, Patches(), 0
        self._depth = {"backward": 0, "loss": 0, "schedule": 0, "scaler": 0}
        self._handles = [
            register_optimizer_step_pre_hook(lambda optimizer, args, kwargs: run.before_step(optimizer)),
            register_optimizer_step_post_hook(lambda optimizer, args, kwargs: run.after_step(optimizer)),
        ]
        try:
            self._attach()
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Leave torch as it was."""
        for handle in self._handles:
            handle.remove()
        self._patches.restore()

    def _attach(self) -> None:
        wrap = self._patches.wrap
        wrap(nn.Module, "__call__", self._module)
        for owner in (Tensor, torch.autograd):
            wrap(owner, "backward", self._backward)
        for name in LOSSES:
            original = getattr(functional, name)
            wrap(functional, name, partial(self._loss, name))
            self._patches.wrap_everywhere(original, getattr(functional, name))
        for name in ("softmax", "log_softmax", "argmax"):
            for owner in (functional, torch, Tensor):
                if hasattr(owner, name):
                    wrap(owner, name, partial(self._choice, name))
        wrap(torch.linalg, "eigh", self._eigh)
        wrap(Tensor, "__sub__", self._difference)
        for name in ("clip_grad_norm_", "clip_grad_value_"):
            wrap(nn.utils, name, self._clip)
            original = getattr(nn.utils.clip_grad, name)
            wrap(nn.utils.clip_grad, name, self._clip)
            self._patches.wrap_everywhere(original, getattr(nn.utils.clip_grad, name))
        for kind in _schedules():
            wrap(kind, "step", self._schedule)
        for name in ("scale", "unscale_", "step"):
            wrap(torch.amp.GradScaler, name, partial(self._scaler, name))
        wrap(DataLoader, "__iter__", self._loader)

    def _module(self, original: Callable[..., Any]) -> Callable[..., Any]:
        run = self._run

        def __call__(module: nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 - the name it stands in for
            if torch.compiler.is_compiling():
                return original(module, *args, **kwargs)
            if self._inside or run.quiet:
                if run.looking and module._parameters and not run.quiet:
                    run.inner[id(module)] = module
                return original(module, *args, **kwargs)
            self._inside = 1
            try:
                output = original(module, *args, **kwargs)
            finally:
                self._inside = 0
            if not isinstance(module, nn.modules.loss._Loss):
                graded = torch.is_grad_enabled() and any(item.requires_grad for item in module.parameters())
                call = Call(module, args, kwargs, output, graded, module.training)
                if graded:
                    run.calls[id(module)] = call
                run.tell("on_call", call)
            return output

        return __call__

    def _backward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def backward(loss: Any, *args: Any, **kwargs: Any) -> Any:
            if self._depth["backward"] or self._run.quiet or not isinstance(loss, Tensor):
                return original(loss, *args, **kwargs)
            self._depth["backward"] += 1
            try:
                self._run.backwards += 1
                self._run.tell("on_backward", loss)
                result = original(loss, *args, **kwargs)
                self._run.tell("on_backward_done", loss)
            finally:
                self._depth["backward"] -= 1
            return result

        return backward

    def _loss(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def loss(*args: Any, **kwargs: Any) -> Any:
            value = original(*args, **kwargs)
            if self._depth["loss"] or self._run.quiet:
                return value
            given = dict(kwargs)
            rest = list(args)
            prediction = rest.pop(0) if rest else given.pop("input", None)
            target = rest.pop(0) if rest else given.pop("target", None)
            if isinstance(prediction, Tensor) and isinstance(target, Tensor) and isinstance(value, Tensor):
                graded = torch.is_grad_enabled() and prediction.requires_grad

                def again(other: Tensor, goal: Tensor) -> Tensor:
                    return original(other, goal, *rest, **given)

                reduction = str(given.get("reduction", "mean"))
                seen = Loss(name, _site(), prediction, target, value, again, reduction, graded)
                if graded:
                    self._run.losses.append(seen)
                self._run.tell("on_loss", seen)
            return value

        return loss

    def _choice(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def choice(source: Tensor, *args: Any, **kwargs: Any) -> Any:
            result = original(source, *args, **kwargs)
            evaluates = name == "argmax" and not torch.is_grad_enabled()
            if (self._run.looking or evaluates) and not self._run.quiet and isinstance(source, Tensor):
                dim = args[0] if args else kwargs.get("dim")
                if dim is None or isinstance(dim, int):
                    self._run.tell("on_choice", Choice(name, _site(), source, dim, result))
            return result

        return choice

    def _eigh(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def eigh(source: Tensor, *args: Any, **kwargs: Any) -> Any:
            result = original(source, *args, **kwargs)
            if self._run.looking and source.requires_grad:
                self._run.tell("on_eigh", source, result[0], result[1])
            return result

        return eigh

    def _difference(self, original: Callable[..., Any]) -> Callable[..., Any]:
        run = self._run

        def __sub__(left: Any, right: Any, *args: Any) -> Any:  # noqa: N807 - the name it stands in for
            result = original(left, right, *args)
            if torch.compiler.is_compiling() or self._inside or not run.looking or run.quiet:
                return result
            if isinstance(right, Tensor) and left.requires_grad != right.requires_grad:
                prediction, target = (left, right) if left.requires_grad else (right, left)
                run.tell("on_difference", _site(), prediction, target)
            return result

        return __sub__

    def _clip(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def clip(parameters: Any, *args: Any, **kwargs: Any) -> Any:
            items = [parameters] if isinstance(parameters, Tensor) else list(parameters)
            self._run.tell("on_clip", items)
            return original(items, *args, **kwargs)

        return clip

    def _schedule(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def step(scheduler: Any, *args: Any, **kwargs: Any) -> Any:
            outermost = self._depth["schedule"] == 0
            begun = vars(scheduler).get("_step_count", 1) > 0 and not getattr(scheduler, "_is_initial", False)
            self._depth["schedule"] += 1
            try:
                result = original(scheduler, *args, **kwargs)
            finally:
                self._depth["schedule"] -= 1
            if outermost and begun:
                self._run.tell("on_schedule", scheduler)
            return result

        return step

    def _scaler(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        event = {"scale": "on_scale", "unscale_": "on_unscale", "step": "on_scaler_step"}[name]

        def call(scaler: Any, given: Any, *args: Any, **kwargs: Any) -> Any:
            outermost = self._depth["scaler"] == 0 and scaler.is_enabled()
            if outermost:
                self._run.scaled = True
                self._run.tell(event, scaler, given)
            self._depth["scaler"] += name != "scale"
            try:
                return original(scaler, given, *args, **kwargs)
            finally:
                self._depth["scaler"] -= name != "scale"

        return call

    def _loader(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def __iter__(loader: Any) -> Any:  # noqa: N807 - the name it stands in for
            self._run.tell("on_loader", loader)
            return original(loader)

        return __iter__


def _schedules() -> list[type]:
    kinds: list[Any] = [lr_scheduler.LRScheduler]
    for kind in kinds:
        kinds.extend(item for item in kind.__subclasses__() if item not in kinds)
    return [kind for kind in kinds if "step" in vars(kind)]


def _site() -> str:
    """File and line of the nearest caller outside of torch and of this file."""
    frame = sys._getframe(2)
    while frame.f_back is not None and (
        frame.f_code.co_filename.startswith(_TORCH) or frame.f_code.co_filename == __file__
    ):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
