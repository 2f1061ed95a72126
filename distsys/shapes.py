"""Array shapes in annotations: jaxtyping where it is installed, plain names where it is not.

A machine that only trains needs no jaxtyping; the tests have it and check every shape at run time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtyping import Bool, Complex, Float, Int
else:
    try:
        from jaxtyping import Bool, Complex, Float, Int
    except ImportError:

        class _Unchecked:
            def __class_getitem__(cls, item: Any) -> Any:
                return item[0]

        Bool = Complex = Float = Int = _Unchecked

__all__ = ["Bool", "Complex", "Float", "Int"]
