"""A contact sheet of all images of a file: one block a series, labelled, windowed alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from elastron.client.export.planes import Plane, label, planes, series_details, series_title
from elastron.client.export.window import Part, Window, auto_window
from elastron.errors import DataError
from elastron.mrd.image import Image

BACKGROUND = (14, 16, 20)
CARD = (24, 27, 33)
TITLE = (236, 239, 244)
QUIET = (139, 148, 163)
ACCENT = (88, 166, 255)

#: Sheets above this many pixels a side are refused: no viewer opens them.
SIDE_MAX = 16384


@dataclass(frozen=True, slots=True)
class MontageSettings:
    """Look of a montage.

    Attributes:
        window: for all series; None chooses one for each.
        part: what to show of complex images.
        tile: shortest side a picture is enlarged to, in pixels; larger ones keep their size.
        columns: pictures in a row; None makes the sheet about as wide as a screen.
        tiles_max: pictures of one series; of more an even choice is shown.
        title: heading, e.g. the file's name.
    """

    window: Window | None = None
    part: Part = Part.MAGNITUDE
    tile: int = 256
    columns: int | None = None
    tiles_max: int = 48
    title: str = ""


@dataclass(frozen=True, slots=True)
class _Block:
    """One series, ready to draw."""

    title: str
    details: tuple[str, str]
    tiles: list[tuple[Plane, str]]
    window: Window
    settings: MontageSettings
    tile_size: tuple[int, int]
    columns: int


_MARGIN, _GAP, _PADDING, _LABEL, _HEAD = 28, 10, 16, 24, 70
_TITLE_SIZE = 24


def montage(
    series: Mapping[str, Sequence[Image]], settings: MontageSettings | None = None
) -> Picture.Image:
    """Draw the contact sheet.

    Args:
        series: name -> its images. What stands before a slash in the name, as in `brain/image_1`,
            begins the series' title.
        settings: see `MontageSettings`.

    Raises:
        DataError: there is no image, or the sheet would be too large.
    """
    settings = settings or MontageSettings()
    blocks = [_block(name, images, settings) for name, images in series.items() if images]
    if not blocks:
        raise DataError("There is no image to show.")
    rows = _rows(blocks)
    inner = max(
        *(_row_width(row) for row in rows), math.ceil(_font(_TITLE_SIZE).getlength(settings.title))
    )
    width = inner + 2 * _MARGIN
    top = _MARGIN + (44 if settings.title else 0)
    height = top + sum(_row_height(row) + _GAP for row in rows) + _MARGIN - _GAP
    if max(width, height) > SIDE_MAX:
        raise DataError(
            f"The montage would be {width} x {height} pixels; choose smaller or fewer tiles."
        )
    sheet = Picture.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    if settings.title:
        draw.text((_MARGIN, _MARGIN - 6), settings.title, fill=TITLE, font=_font(_TITLE_SIZE))
    for row in rows:
        left = _MARGIN
        bottom = top + _row_height(row)
        for block in row:
            right = width - _MARGIN if block is row[-1] else left + _block_width(block)
            _draw_block(sheet, draw, block, (left, top, right, bottom))
            left = right + _GAP
        top = bottom + _GAP
    return sheet


def _rows(blocks: Sequence[_Block]) -> list[list[_Block]]:
    """Narrow blocks side by side, no wider than the widest block or a good half screen."""
    limit = max(1100, *(_block_width(block) for block in blocks))
    rows: list[list[_Block]] = []
    for block in blocks:
        if rows and _row_width([*rows[-1], block]) <= limit:
            rows[-1].append(block)
        else:
            rows.append([block])
    return rows


def _row_width(row: Sequence[_Block]) -> int:
    return sum(_block_width(block) + _GAP for block in row) - _GAP


def _row_height(row: Sequence[_Block]) -> int:
    return max(_block_height(block) for block in row)


def _block(name: str, images: Sequence[Image], settings: MontageSettings) -> _Block:
    window = settings.window or auto_window(images, settings.part)
    every = list(planes(images))
    chosen = _even_choice(every, settings.tiles_max)
    size = _tile_size(chosen[0], settings.tile)
    tiles = [(plane, label(plane, images)) for plane in chosen]
    columns = min(len(tiles), settings.columns or max(1, 1600 // (size[0] + _GAP)))
    if settings.columns is None and len(tiles) > columns:
        columns = math.ceil(len(tiles) / math.ceil(len(tiles) / columns))  # even rows
    shown = series_details(images)
    if len(chosen) < len(every):
        shown += f" · {len(chosen)} of {len(every)} pictures shown"
    details = (shown, f"window {window.low:.4g} … {window.high:.4g}")
    title = " · ".join(filter(None, (name.rpartition("/")[0], series_title(images))))
    return _Block(title, details, tiles, window, settings, size, columns)


def _even_choice(items: list[Plane], count: int) -> list[Plane]:
    if len(items) <= count:
        return items
    return [items[i] for i in np.linspace(0, len(items) - 1, count).round().astype(int)]


def _tile_size(plane: Plane, shortest: int) -> tuple[int, int]:
    """Width and height in pixels, with square millimetres."""
    rows, columns = plane.image.data.shape[2:]
    width, height = float(columns), rows * plane.aspect
    scale = max(1.0, shortest / min(width, height))
    # A line or a strip must not blow the sheet up.
    scale = min(scale, 4 * shortest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _picture(plane: Plane, block: _Block) -> Picture.Image:
    grey = Picture.fromarray(block.window.grey(plane.values(block.settings.part)))
    return grey.resize(_tile_size(plane, block.settings.tile), Picture.Resampling.BICUBIC)


def _block_width(block: _Block) -> int:
    tiles = block.columns * (block.tile_size[0] + _GAP) - _GAP
    details = max(_font(14).getlength(line) for line in block.details)
    words = max(_font(17).getlength(block.title), details)
    return 2 * _PADDING + max(tiles, math.ceil(words))


def _block_height(block: _Block) -> int:
    rows = math.ceil(len(block.tiles) / block.columns)
    return _HEAD + _PADDING + rows * (block.tile_size[1] + _LABEL + _GAP) - _GAP + _PADDING // 2


def _draw_block(
    sheet: Picture.Image,
    draw: ImageDraw.ImageDraw,
    block: _Block,
    box: tuple[int, int, int, int],
) -> None:
    left, top, _, _ = box
    draw.rounded_rectangle(box, radius=10, fill=CARD)
    draw.rounded_rectangle((left, top + 14, left + 3, top + 70), radius=1, fill=ACCENT)
    left += _PADDING
    draw.text((left, top + 11), block.title, fill=TITLE, font=_font(17))
    for line, words in enumerate(block.details):
        draw.text((left, top + 36 + 20 * line), words, fill=QUIET, font=_font(14))
    for number, (plane, words) in enumerate(block.tiles):
        row, column = divmod(number, block.columns)
        x = left + column * (block.tile_size[0] + _GAP)
        y = top + _HEAD + _PADDING + row * (block.tile_size[1] + _LABEL + _GAP)
        picture = _picture(plane, block)
        sheet.paste(picture, (x, y))
        draw.text(
            (x + 2, y + picture.height + 3),
            _shortened(words, block.tile_size[0] - 4),
            fill=QUIET,
            font=_font(13),
        )


def _shortened(words: str, width: int) -> str:
    font = _font(13)
    if font.getlength(words) <= width:
        return words
    while words and font.getlength(words + "…") > width:
        words = words[:-1]
    return words + "…"


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise DataError(
            "This Pillow was built without FreeType, so it cannot write labels: "
            "install Pillow from PyPI (pip install --force-reinstall pillow)."
        )
    return font
