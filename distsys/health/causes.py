"""Every cause that a verdict may name: a word for it, what it is, and what to change. Checks take them from here."""

from __future__ import annotations

from dataclasses import dataclass

from distsys.health.verdict import Status, Verdict


@dataclass(frozen=True)
class Cause:
    """A defect by name.

    Args:
        fix: what to change, where the check that finds it knows nothing better.
    """

    name: str
    fix: str

    def verdict(self, status: Status, evidence: str, *, step: int, fix: str = "") -> Verdict:
        """A verdict that names this cause."""
        return Verdict(status, self.name, evidence, step, fix or self.fix)


SCALED_TWICE = Cause("scaled twice", "scale the signal once: decode(encode(x)) must be x, in the unit that is declared")
ROUND_TRIP = Cause(
    "decoding does not undo encoding", "make each the other's inverse over the whole declared range, edges included"
)
CONDITIONING_SCALE = Cause(
    "conditioning scaled by another signal", "scale the conditioning by its own statistic, or both by the target's"
)
STALE_STATISTICS = Cause(
    "statistics of other data", "compute them anew from what the loader yields, after every scaling"
)
OUTPUT_ON_BOUND = Cause("outputs on their bound", "widen the bound, or bound smoothly: a clamp has no gradient outside")
CONSTANT_OUTPUT = Cause("constant outputs", "look for a dead path or a learning rate that is too high; lower it")
DEAD_PARAMETERS = Cause("parameters without gradient", "connect them to the loss, or freeze or delete them")
NOISE_RATIO = Cause("noise far from the signal's level", "scale the noise by the standard deviation of the data")
UNGUARDED_SAMPLING = Cause(
    "a constraint holds in training alone", "enforce it while sampling too, and measure it on generated samples"
)
NOISE_LEVELS = Cause(
    "sampling visits noise levels that training never saw", "draw training levels over the whole range of the sampler"
)
IGNORED_INPUT = Cause("an input does nothing", "look for a dead path: a gate, a mask, a scale of zero")
UNBOUNDED_TERM = Cause("a term falls below its bound", "mend the term, or declare its true lower bound")
DEAD_TERM = Cause("a term has no gradient", "it is saturated: move its clamp or margin to where outputs are")
NO_ANCHOR = Cause("nothing holds the scale of outputs", "add a term that is sensitive to scale, or raise its weight")
LOSS_AGAINST_METRIC = Cause("loss and metric disagree", "choose by the metric; mend the weight of the term that wins")
OTHER_VALIDATION_LOSS = Cause(
    "training and validation weigh differently", "use the same weights and the same reduction in both"
)
UNSTABLE_EVALUATION = Cause(
    "evaluation is not repeatable", "draw everything random from a fixed seed, and switch to evaluation mode"
)
NOISY_EVALUATION = Cause("evaluation noise exceeds what is decided by it", "evaluate on more items")
STALE_MOMENTS = Cause(
    "moments of another loss", "start with fresh moments: in a folder of its own, or by optimizer.reset_moments_at"
)
NEAR_EIGENVALUES = Cause(
    "nearly equal eigenvalues", "add a small loading, or write the loss without eigenvectors: their gradient is 1/gap"
)
FAILS_IN_EVALUATION = Cause("evaluation fails", "run one evaluation batch before training; mend what it raises")
STEP_ORDER = Cause("steps in the wrong order", "unscale once, then clip, then step; zero gradients before backward")
SCHEDULE_ORDER = Cause(
    "schedule ahead of the optimiser", "step the schedule after the optimiser, and only if it stepped"
)
MIXED_UNITS = Cause("one scale for different units", "scale every column by its own range, frequencies by a logarithm")
OUT_OF_BOUNDS = Cause("outputs outside their range", "bound the model's heads to the declared range")
ONE_TERM = Cause("one term takes all of the gradient", "lower its weight, or scale it: the others do nothing")
ONE_COLUMN = Cause(
    "one column takes all of the gradient",
    "scale every column by its own range, frequencies by a logarithm, or weigh columns apart",
)
AT_CHANCE = Cause("a term stays at chance", "raise its weight or the learning rate; check that positives exist")
CIRCULAR_TARGET = Cause("the target depends on the noise", "make the target from clean data alone")
NOT_FINITE = Cause(
    "not finite", "lower optimizer.learning_rate, set optimizer.grad_clip_norm, or mend what computes it"
)
TRIVIAL = Cause("worse than a trivial baseline", "train longer, raise the learning rate, or look for what it ignores")
OUT_OF_RANGE = Cause("data outside their declared range", "mend the scaling or the unit, or declare the true range")
MIXED_ITEMS = Cause(
    "items of a batch influence each other", "look for a mean, softmax or normalisation over the axis of items"
)
DROPOUT = Cause("dropout hides what is learned", "lower the dropout: without it eight items are learned")
NOTHING_LEARNED = Cause("nothing is learned", "raise optimizer.learning_rate, or train longer")
STALE_GRADIENTS = Cause("gradients are never cleared", "call optimizer.zero_grad() before every backward")
CLEARED_GRADIENTS = Cause(
    "gradients are cleared before the step", "call optimizer.zero_grad() before backward, not between it and step()"
)
SCALED_STEP = Cause("a step on scaled gradients", "step through scaler.step(optimizer), which unscales them")
UNSCALED_STEP = Cause("gradients unscaled that were never scaled", "call scaler.scale(loss).backward()")
OTHER_PARAMETERS = Cause(
    "the optimiser holds other parameters",
    "build the optimiser over the parameters that the loss reaches, after the last layer was replaced",
)
NOT_HELD = Cause(
    "parameters that no optimiser holds", "give them to the optimiser, or freeze them with requires_grad_(False)"
)
RATE_ZERO = Cause("learning rate of zero", "give the optimiser a learning rate; look at what the schedule makes of it")
RATE_TOO_LOW = Cause("learning rate too low", "raise the learning rate, or train longer")
RATE_TOO_HIGH = Cause("learning rate too high", "lower the learning rate, or clip gradients")
UNRELATED_TARGETS = Cause(
    "targets do not follow from inputs", "look at the pairs: labels shuffled, shifted, or joined to other inputs"
)
CANNOT_LEARN = Cause("the model cannot learn a handful of items", "look for what cuts, saturates or ignores its input")
LEARNED_BY_HEART = Cause(
    "nothing carries over to items without gradient", "look at the pairs of inputs and labels, and at the split"
)
SYMMETRIC = Cause("units that are all alike", "initialise weights at random: equal units get equal gradients for ever")
AXIS_OF_ONE = Cause(
    "softmax or argmax over an axis of one", "choose the axis of classes: over one entry nothing is left"
)
SOFTMAX_TWICE = Cause("softmax twice", "give cross-entropy the logits: it takes the softmax itself")
SIGMOID_TWICE = Cause("sigmoid twice", "give the loss the logits, or use binary_cross_entropy")
NOT_LOG_PROBABILITIES = Cause(
    "a loss of log-probabilities gets something else", "apply log_softmax, or use cross_entropy"
)
TARGET_RANGE = Cause("targets outside the range of their loss", "scale them to [0, 1], or use another loss")
BROADCAST = Cause("prediction and target are broadcast", "give both the same shape: squeeze or unsqueeze one of them")
PEAKED_ATTENTION = Cause("attention is peaked before training", "divide scores by the root of the key's width")
EVAL_LEFT_ON = Cause("training in evaluation mode", "call model.train() before each epoch")
TRAIN_LEFT_ON = Cause("evaluation in training mode", "call model.eval() before evaluation, and model.train() after")
SAME_BATCH = Cause("the same batch at every step", "iterate over the loader: next(iter(loader)) begins anew each time")
SAME_ITEMS = Cause("all items of a batch are alike", "look at how the dataset uses its index")
CHANGED_DATA = Cause("data are changed in place", "work on a copy: what a step does to the data, the next epoch sees")
SEES_TARGET = Cause("the model sees its own target", "mask the future: outputs may depend on earlier positions alone")
SCHEDULE_PACE = Cause("schedule out of pace with the optimiser", "step it once per optimiser step, or once per epoch")
DIVERGED = Cause("the loss diverges", "lower the learning rate, warm it up, or clip gradients")
JUMPS = Cause("the loss jumps", "clip gradients, lower the learning rate, or look at the batches of that step")
OVERFIT = Cause(
    "training gains what validation does not", "choose the checkpoint of the best validation; more data, or regularise"
)
CHECK_FAILED = Cause("a check failed", "tell the authors; the run itself is not touched")

DEFECTS: dict[str, Cause] = {
    "D1": SCALED_TWICE,
    "D2": CONDITIONING_SCALE,
    "D3": STALE_STATISTICS,
    "D4": OUTPUT_ON_BOUND,
    "D5": CONSTANT_OUTPUT,
    "D6": DEAD_PARAMETERS,
    "D7": NOISE_RATIO,
    "D8": UNGUARDED_SAMPLING,
    "D9": NOISE_LEVELS,
    "D10": IGNORED_INPUT,
    "D11": UNBOUNDED_TERM,
    "D12": DEAD_TERM,
    "D13": NO_ANCHOR,
    "D14": LOSS_AGAINST_METRIC,
    "D15": OTHER_VALIDATION_LOSS,
    "D16": UNSTABLE_EVALUATION,
    "D17": STALE_MOMENTS,
    "D18": NEAR_EIGENVALUES,
    "D19": FAILS_IN_EVALUATION,
    "D20": STEP_ORDER,
    "D21": SCHEDULE_ORDER,
    "D22": MIXED_UNITS,
    "D23": OUT_OF_BOUNDS,
    "D24": ONE_TERM,
    "D25": AT_CHANCE,
    "D26": CIRCULAR_TARGET,
}
"""The 26 silent defects that each cost a project weeks, by number."""
CAUSES: dict[str, Cause] = {item.name: item for item in list(globals().values()) if isinstance(item, Cause)}
"""Every cause of this page by its name."""
