"""Convert phone numbers to E.164. Pure."""

import re

import phonenumbers
import polars as pl

from importer.parse.fastpath import CellTransform


def phone(region: str | None) -> CellTransform:
    """The transform to E.164. Numbers that cannot be parsed stay unchanged. `region` is the country of
    numbers without a country code."""

    def read(cells: pl.Series) -> pl.Series:
        known = {text: _phone(text, region) for text in cells.unique() if text is not None}
        return cells.replace_strict(known, default=None, return_dtype=pl.String) if known else cells

    return CellTransform(read, lambda cell: cell.str.contains(f"^{_E164}$"))


_E164 = r"\+[1-9][0-9]{3,14}"


def _phone(text: str, region: str | None) -> str:
    if re.fullmatch(_E164, text):
        return text
    try:
        number = phonenumbers.parse(text.removeprefix("'"), region)
    except phonenumbers.NumberParseException:
        return text
    if not phonenumbers.is_possible_number(number):
        return text
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
