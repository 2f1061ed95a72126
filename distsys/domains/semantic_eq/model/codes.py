"""The code of a setting, and of a curve whose setting is not known: from some that sound like it, the nearest kept."""

from __future__ import annotations

from torch import Tensor

from distsys.domains.semantic_eq.data.response import response_db
from distsys.domains.semantic_eq.data.settings import nearest
from distsys.domains.semantic_eq.model.network import SettingAutoencoder
from distsys.domains.semantic_eq.model.words import words_of
from distsys.shapes import Float

_STARTS = 8


def code_of_setting(model: SettingAutoencoder, u: Float[Tensor, "items 13"]) -> Float[Tensor, "items latent"]:
    """The codes of settings, refined as in evaluation."""
    curve_db = response_db(u, model.ranges)
    return model.refined(model.encode(u, curve_db=curve_db).mean, curve_db=curve_db)


def code_of_curve(model: SettingAutoencoder, curve_db: Float[Tensor, " points"]) -> Float[Tensor, " latent"]:
    """The code whose response is nearest to ``curve_db``, on the response's own grid."""
    words = words_of(model)
    far = (response_db(words.u, model.ranges) - curve_db).abs().mean(dim=1)
    starts = words.latent[far.topk(min(_STARTS, len(far)), largest=False).indices]
    codes = model.refined(starts, curve_db=curve_db.expand(len(starts), -1))
    return codes[error_db(model, codes, curve_db).argmin()]


def error_db(
    model: SettingAutoencoder, codes: Float[Tensor, "items latent"], curve_db: Float[Tensor, "*items points"]
) -> Float[Tensor, " items"]:
    """Mean absolute difference of the codes' responses from ``curve_db``, in dB."""
    found: Tensor = (response_db(nearest(model.decode(codes)), model.ranges) - curve_db).abs().mean(dim=-1)
    return found
