"""The input of each seed: an export and its damages."""

import random
from collections.abc import Callable
from dataclasses import replace

from damages import OF_BYTES, OF_DIALECT, OF_LINES, OF_PACKED, OF_PARQUET
from exports import Case, encoded, fresh, packed, parquet, serialised

UNDAMAGED = "undamaged"
_CSV = (*OF_DIALECT, *OF_LINES, *OF_BYTES, *OF_PACKED)
# In turn, so that every class comes up equally often for any seed.
_TURNS = (
    *_CSV,
    *([UNDAMAGED] * 8),
    *(f"parquet {name}" for name in (*OF_PARQUET, *OF_PARQUET, *([UNDAMAGED] * 3))),
)
SEEDS_OF_A_RUN = 1_000_000


def case(seed: int) -> Case:
    """The input of a seed. The same seed always gives the same input."""
    chance = random.Random(seed)
    first = _TURNS[seed % SEEDS_OF_A_RUN % len(_TURNS)]
    if first.startswith("parquet "):
        return _of_parquet(seed, first.removeprefix("parquet "), chance)
    names = [] if first == UNDAMAGED else [first]
    if names and chance.random() < 0.35:
        names.append(chance.choice(_CSV))
    return _of_csv(seed, list(dict.fromkeys(names)), chance)


def label(case: Case) -> list[str]:
    """The classes that an input belongs to."""
    prefix = "parquet " if case.kind == "parquet" else ""
    return [f"{prefix}{name}" for name in case.damages or (UNDAMAGED,)]


def _of_parquet(seed: int, first: str, chance: random.Random) -> Case:
    made = parquet(seed, chance)
    if first == UNDAMAGED:
        return made
    names = [first, *([chance.choice(list(OF_PARQUET))] if chance.random() < 0.2 else [])]
    data = made.data
    for name in names:
        data = OF_PARQUET[name](data, chance) if len(data) > 16 else data
    return replace(made, data=data, damages=tuple(dict.fromkeys(names)))


def _of_csv(seed: int, names: list[str], chance: random.Random) -> Case:
    draft = fresh(chance)
    if set(names) & set(OF_PACKED):
        draft.written = replace(draft.written, packing=chance.choice(("gzip", "zstd")))
    _apply(OF_DIALECT, names, draft, chance)
    draft.lines = [serialised(row, draft.written) for row in (draft.header, *draft.rows)]
    _apply(OF_LINES, names, draft, chance)
    draft.data = encoded(draft)
    _apply(OF_BYTES, names, draft, chance)
    data = packed(draft.data, draft.written.packing)
    for name in names:
        data = OF_PACKED[name](data, chance) if name in OF_PACKED else data
    return Case(
        seed,
        "csv",
        draft.table,
        tuple(draft.header),
        tuple(map(tuple, draft.rows)),
        draft.written,
        damages=tuple(names),
        plain=draft.data,
        data=data,
        declared=tuple(name for name in ("encoding", "delimiter") if chance.random() < 0.15),
        chunk=chance.choice((None, 64, 128, 1024)),
        sample=chance.choice((None, None, 1024)),
    )


def _apply(changes: dict[str, Callable[..., None]], names: list[str], *given: object) -> None:
    for name in names:
        if name in changes:
            changes[name](*given)
