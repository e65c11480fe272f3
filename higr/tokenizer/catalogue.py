"""From encoded items to a catalogue, the first one or the next.

A catalogue never changes. The next one drops items and takes new ones; whatever stays keeps its
semantic ID, and new items work their way around it as the collision policy says. What the model was
not trained with is given a stand-in, so that it is not only generable but generated.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from higr.catalog import Catalog
from higr.data.prepared import PreparedData
from higr.data.schemas import Feedback
from higr.errors import InputError
from higr.stand_ins import find_stand_ins
from higr.tokenizer.collisions import CollisionReport, Policy, resolve
from higr.tokenizer.encoding import Encoding

if TYPE_CHECKING:
    from higr.tokenizer.tokenizer import Tokenizer


def engagement(data: PreparedData, item_ids: Sequence[str]) -> np.ndarray:
    """(N,) float32 effective views of each item in the training period: the priority of `share`."""
    events = data.train_events
    engaged = events.filter(pc.greater_equal(events["feedback"], int(Feedback.ENGAGED)))["item_id"]
    counts = pc.value_counts(engaged.combine_chunks())
    views = dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True))
    return np.fromiter((views.get(item, 0) for item in item_ids), np.float32, count=len(item_ids))


def build_catalog(
    encoding: Encoding, tokenizer: "Tokenizer", priority: np.ndarray | None = None
) -> tuple[Catalog, CollisionReport]:
    """Apply the collision policy and wrap the result as a first catalogue.

    Args:
        priority: (N,) what decides between items of one semantic ID under the policy `share`, such
            as `engagement`; of no use under the others.

    Raises:
        InputError: an item id twice, `share` without priorities, or items that the policy cannot
            give an ID.
    """
    policy: Policy = tokenizer.config.collisions
    codes, report = resolve(policy, encoding.item_ids, encoding.codes, encoding.latents, tokenizer.codebooks)
    if policy != "share":
        priority = None
    elif priority is None:
        raise InputError("collision policy share: no priorities were given; give one number an item")
    size = tokenizer.config.codebook_size
    return Catalog.build(encoding.item_ids, codes, size, tokenizer.id, priority=priority), report


def next_catalog(
    catalog: Catalog,
    tokenizer: "Tokenizer",
    new: Encoding | None,
    removed: Collection[str] = (),
    priority: np.ndarray | None = None,
    trained: np.ndarray | None = None,
) -> tuple[Catalog, CollisionReport | None]:
    """The catalogue after an update, and what the collision policy did to the new items.

    Args:
        new: items that the catalogue does not have; None: there are none.
        removed: items to drop; their semantic IDs are free again, and unknown ids are ignored.
        priority: of the new items under `share`. None: the mean of those that stay, as nobody has
            seen the new ones yet.
        trained: (T, L) semantic IDs of the catalogue that the model was trained with, those of items
            removed since included. None: those of `catalog`, as far as it knows them.

    Raises:
        InputError: another tokenizer's catalogue, an item that is there already, no item left, or
            new items that the policy cannot give an ID.
    """
    _check(catalog, tokenizer)
    removed = frozenset(removed)
    stays = np.fromiter((item not in removed for item in catalog.item_ids), bool, count=len(catalog))
    ids = [item for item, keep in zip(catalog.item_ids, stays.tolist(), strict=True) if keep]
    codes, ranks = catalog.codes[stays], None if catalog.priority is None else catalog.priority[stays]
    known = catalog.codes if catalog.stand_ins is None else catalog.stand_ins
    stand_ins = known[stays]
    report = None
    if new is not None:
        if there := set(ids).intersection(new.item_ids):
            raise InputError(
                f"catalogue {catalog.version} holds {len(there)} of the new items already, {min(there)!r} "
                "among them; an item keeps its semantic ID"
            )
        policy: Policy = tokenizer.config.collisions
        fresh, report = resolve(policy, new.item_ids, new.codes, new.latents, tokenizer.codebooks, codes)
        ids, codes = [*ids, *new.item_ids], np.concatenate((codes, fresh))
        theirs = find_stand_ins(fresh, known if trained is None else trained, tokenizer.codebooks)
        stand_ins = np.concatenate((stand_ins, theirs))
        if ranks is not None:
            usual = ranks.mean() if len(ranks) else 0.0
            given = np.full(len(fresh), usual) if priority is None else priority
            ranks = np.concatenate((ranks, given)).astype(np.float32)
    if not ids:
        raise InputError(
            f"catalogue {catalog.version}: all {len(catalog)} items would be removed and none added; a "
            "catalogue needs at least one item"
        )
    following = Catalog.build(
        ids,
        codes,
        catalog.codebook_size,
        catalog.tokenizer_id,
        priority=ranks,
        parent=catalog.version,
        stand_ins=stand_ins,
    )
    return following, report


def _check(catalog: Catalog, tokenizer: "Tokenizer") -> None:
    config = tokenizer.config
    made = (catalog.tokenizer_id, catalog.codebook_size, catalog.depth, catalog.priority is not None)
    due = (
        tokenizer.id,
        config.codebook_size,
        config.depth + (config.collisions == "extend"),
        config.collisions == "share",
    )
    if made != due:
        raise InputError(
            f"catalogue {catalog.version} was made by tokenizer {made[0] or 'none'} ({made[2]} codes of "
            f"{made[1]}), not by {due[0]} ({due[2]} codes of {due[1]}, policy {config.collisions}); take "
            "both from one bundle"
        )
