"""Pictures from and to files, arrays and Pillow: float tensors in [0, 1] inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zsir.lazy import on_first_use

if TYPE_CHECKING:
    from zsir.errors import PictureWarning
    from zsir.pictures.reading import READABLE, Picture, PictureLike, as_picture, from_array, read, read_gray
    from zsir.pictures.sheets import contact_sheet, enlarge
    from zsir.pictures.writing import WRITABLE, write, write_animation

__all__ = [
    "READABLE",
    "WRITABLE",
    "Picture",
    "PictureLike",
    "PictureWarning",
    "as_picture",
    "contact_sheet",
    "enlarge",
    "from_array",
    "read",
    "read_gray",
    "write",
    "write_animation",
]

__getattr__ = on_first_use(__name__, __file__)
