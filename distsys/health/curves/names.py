"""What the name of a series says of it, as people write them: ``train/loss``, ``val_acc``, ``lr-AdamW``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from distsys.health.curves.history import Kind, Meaning, Series, Split
from distsys.specs import Direction

_SPLITS: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training", "tr", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation", "vali"), "validation"),
    **dict.fromkeys(("test", "testing", "holdout"), "test"),
}
_FILLERS = {"epoch", "step", "avg", "average", "mean", "running", "batch", "iter", "metrics", "metric", "total", "term"}
_LOSS = {"loss", "losses", "objective", "cost", "criterion", "nll"}
_LOWER = _LOSS | {
    *("error", "err", "mae", "mse", "rmse", "mape", "l1", "l2", "bce", "ce", "crossentropy", "logloss", "hinge"),
    *("huber", "triplet", "nce", "infonce", "ntxent", "contrastive", "wer", "cer", "eer", "der", "fid", "kid", "ppl"),
    *("perplexity", "distance", "crps", "lpips", "mcd", "lsd", "bpb", "bpd", "bpc", "brier", "ece", "regret"),
}
_HIGHER = {
    *("acc", "accuracy", "top1", "top5", "f1", "auc", "auroc", "auprc", "ap", "map", "map50", "iou", "miou", "dice"),
    *("bleu", "rouge", "rougel", "meteor", "cider", "snr", "sisnr", "sisdr", "sdr", "psnr", "ssim", "pesq", "stoi"),
    *("estoi", "precision", "recall", "sensitivity", "specificity", "r2", "correlation", "corr", "pearson"),
    *("spearman", "kappa", "mcc", "ndcg", "mrr", "score", "reward", "return", "em"),
}
_NOT_NEGATIVE = {
    *("mae", "mse", "rmse", "mape", "l1", "l2", "bce", "ce", "crossentropy", "logloss", "hinge", "huber", "triplet"),
    *("nce", "infonce", "ntxent", "wer", "cer", "acc", "accuracy", "crps", "brier"),
}
_CONTRASTIVE = {"nce", "infonce", "ntxent", "contrastive", "simclr", "itc", "moco"}
_FREE = {
    *("gan", "adv", "adversarial", "disc", "discriminator", "critic", "gen", "generator", "policy", "actor", "pg"),
    *("surrogate", "value", "vf", "td", "q", "entropy", "reward", "return", "fake", "real"),
}
_PENALTY = {
    *("reg", "regularization", "regularizer", "regulariser", "wd", "decay", "kl", "kld", "commit", "commitment"),
    *("sparsity", "tv", "smoothness", "penalty", "gp", "balance", "balancing", "router", "z", "norm", "size", "l2"),
    *("kl_div", "codebook", "vq", "orthogonality", "diversity", "excess"),
}
_LOGARITHMIC = {"log", "log10", "db", "neg", "negative", "signed", "bias", "delta", "diff", "advantage"}
_KNOWN = sorted({*_SPLITS, *_LOWER, *_HIGHER, "lr", "ratio"}, key=len, reverse=True)
_PHRASES = {
    "squared error": "mse",
    "absolute error": "mae",
    "cross entropy": "ce",
    "learning rate": "lr",
    "smooth l1": "huber",
}
_JOINED = {"crossentropy": "ce", "learningrate": "lr", "sisnri": "sisnr", "sisdri": "sisdr", "mloss": "loss"}


def words(name: str) -> list[str]:
    """The words of a name in small letters: ``valLoss``, ``val_loss`` and ``valloss`` have the same two."""
    text = name.replace("mAP", "map").replace("SI-SDR", "sisdr").replace("SI-SNR", "sisnr")
    text = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", text).lower()
    text = re.sub(r"\bsi[ _-](sdr|snr)", r"si\1", re.sub(r"[_/.\s-]+", " ", text))
    for long, short in _PHRASES.items():
        text = text.replace(long, short)
    return [part for word in re.split(r"[^a-z0-9]+", text) if word for part in _parted(_JOINED.get(word, word))]


def _parted(word: str) -> list[str]:
    """``word``, or a split and the rest of it, or something and ``loss``."""
    if word in _KNOWN or word in _FREE or word in _PENALTY:
        return [word]
    for split in (item for item in _SPLITS if len(item) > 2):
        if word.startswith(split) and word[len(split) :] in _KNOWN:
            return [split, word[len(split) :]]
    return [word[:-4], "loss"] if word.endswith("loss") and len(word) > 4 else [word]


def guess(name: str) -> Meaning:
    """What a series of this name is most likely to be."""
    found = words(name)
    split: Split = next((_SPLITS[word] for word in found if word in _SPLITS), "")
    rest = [word for word in found if word not in _SPLITS and word not in _FILLERS]
    of, kind = " ".join(rest), _kind(name, found, set(rest))
    if kind not in ("loss", "term", "metric"):
        return Meaning(kind, split, of=of)
    low = 0.0 if set(rest) & _NOT_NEGATIVE and not set(rest) & _LOGARITHMIC else -math.inf
    is_free = bool(set(rest) & _FREE) or set(rest) in ({"g", "loss"}, {"d", "loss"})
    return Meaning(kind, split, _direction(set(rest)), low=low, of=of, is_free=is_free, is_penalty=is_penalty(name))


def is_contrastive(series: Series) -> bool:
    """Whether chance is the logarithm of the number of candidates in a batch."""
    return bool(set(words(series.name)) & _CONTRASTIVE)


def _kind(name: str, found: list[str], rest: set[str]) -> Kind:
    if "grad" in rest or "gradient" in rest or "gradients" in rest:
        return "share" if "share" in rest or "fraction" in rest else "other"
    if "lr" in rest:
        return "rate"
    if name.startswith("lambda_") or (rest & {"weight", "coef", "coefficient"} and not rest & _NO_WEIGHT):
        return "weight"
    if "skipped" in rest:
        return "skipped"
    if rest & {"optimizer", "optimiser", "opt"} and "step" in " ".join(found):
        return "steps"
    if rest & _LOSS or "term" in found:
        if found[-2:] == ["loss", "scale"]:
            return "other"
        return "loss" if rest <= _LOSS and "term" not in found else "term"
    if rest & {"ratio", "time", "sec", "seconds", "ms", "memory", "scale", "count", "num", "clipfrac", "lambda"}:
        return "other"
    if rest & _CONTRASTIVE:
        return "term"
    return "metric" if _direction(rest) else "other"


_NO_WEIGHT = _HIGHER | {"norm", "decay"}
"""Beside "weight": an average, or the parameters themselves."""
_DERIVED = {"gap", "change", "improvement", "reduction", "gain", "drop", "skill"}
"""What is made of a metric goes its own way."""


def _direction(rest: set[str]) -> Direction | None:
    low, high = bool(rest & _LOWER), bool(rest & _HIGHER)
    if (not low and not high) or rest & _DERIVED:
        return None
    turned = bool(rest & {"neg", "negative"}) and not rest & _LOSS
    return "min" if low != turned else "max"


def with_guesses(series: Iterable[Series]) -> tuple[Series, ...]:
    """Series whose meaning is guessed from their names and from each other's."""
    named = _with_a_loss([replace(item, meaning=guess(item.name)) for item in series])
    names = {item.name for item in named}
    splits = {(item.meaning.of, item.meaning.split) for item in named}
    return tuple(replace(item, meaning=_beside(item, splits, names)) for item in named)


def _with_a_loss(named: list[Series]) -> list[Series]:
    """Where nothing is called a loss: the only term, or the only error that training has too, is minimised."""
    kinds = {item.meaning.kind for item in named}
    if "loss" in kinds:
        return named
    terms = {item.meaning.of for item in named if item.meaning.kind == "term"}
    errors = {item.meaning.of for item in named if item.meaning.split == "train" and item.meaning.direction == "min"}
    (only,) = terms if len(terms) == 1 else errors if not terms and len(errors) == 1 else ("",)
    as_loss = [replace(item, meaning=replace(item.meaning, kind="loss")) for item in named]
    return [loss if only and item.meaning.of == only else item for item, loss in zip(named, as_loss, strict=True)]


def _beside(series: Series, splits: set[tuple[str, Split]], names: set[str]) -> Meaning:
    """Keras writes ``loss`` and ``val_loss``, others ``train_loss`` and ``loss``; terms have their weights."""
    meaning, weight = series.meaning, f"lambda_{series.name.split('/')[-1]}"
    if meaning.kind in ("term", "share") and weight in names:
        meaning = replace(meaning, weight=weight)
    if meaning.split:
        return meaning
    if (meaning.of, "validation") in splits or (meaning.of, "test") in splits:
        return replace(meaning, split="train")
    return replace(meaning, split="validation") if (meaning.of, "train") in splits else meaning


def is_penalty(name: str) -> bool:
    """Whether a name is that of a regulariser."""
    return bool(set(words(name)) & _PENALTY)


def is_split(word: str) -> bool:
    """Whether ``word`` names a part of the data: ``train``, ``val``."""
    return word.lower() in _SPLITS
