"""Amazon Beauty 2014 as leave-last-out: each user's last purchase is the test, the one before validation.

Users and items with at least five purchases; the products without a title are left out, so there are
22,332 users and 12,086 items where the papers have 22,363 and 12,101.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.tokenizer_data import FAR
from higr.catalog import Catalog
from higr.config import EmbeddingConfig, ModelConfig, TokenizerConfig
from higr.data.conform import conform
from higr.data.prepared import PreparedData
from higr.data.schemas import ITEMS, LABELLED_EVENTS, SLATES, USERS, Feedback
from higr.model.inputs import ContextBatch, ProfileVocabulary, encode_contexts
from higr.slate import Recommender, UserContext
from higr.tokenizer.catalogue import build_catalog
from higr.tokenizer.tokenizer import Tokenizer

K = 10
BATCH = 512


@dataclass(frozen=True)
class Purchases:
    """Attributes:
    sequences: item ids of each user, oldest first.
    titles: of each item id.
    """

    sequences: list[tuple[str, ...]]
    titles: dict[str, str]

    def before(self, users: Sequence[int], back: int) -> tuple[list[UserContext], list[str]]:
        """What was known before each user's purchase number `back` from the end, and that purchase."""
        chosen = [self.sequences[user] for user in users]
        return [context(items[:-back]) for items in chosen], [items[-back] for items in chosen]


def load(folder: Path) -> Purchases:
    """Read `amazon2014-beauty.*.parquet`."""
    events = pq.read_table(folder / "amazon2014-beauty.inter.parquet")
    items = pq.read_table(folder / "amazon2014-beauty.items.parquet")
    users, times = events["user_id"].to_numpy(), events["timestamp"].to_numpy()
    order = np.lexsort((np.arange(len(users)), times, users))
    bought = np.array([str(item) for item in events["item_id"].to_pylist()], dtype=object)[order]
    ends = np.flatnonzero(np.diff(users[order])) + 1
    titles = dict(zip(map(str, items["item_id"].to_pylist()), items["title"].to_pylist(), strict=True))
    return Purchases([tuple(part) for part in np.split(bought, ends)], titles)


def context(items: Sequence[str]) -> UserContext:
    return UserContext("", tuple(items), (int(Feedback.ENGAGED),) * len(items))


def numbered(data: Purchases) -> Catalog:
    """SASRec looks at no codes: any distinct ones."""
    ids = sorted(data.titles)
    side = int(np.ceil(len(ids) ** 0.5))
    return Catalog.build(ids, np.stack(np.divmod(np.arange(len(ids)), side), axis=1), side)


def tokenized(data: Purchases) -> Catalog:
    """RQ-VAE of three codes of 256 and a fourth where items collide, as TIGER's, from TF-IDF of titles."""
    titles = pa.table(
        {
            "item_id": list(data.titles),
            "category": ["product"] * len(data.titles),
            "text": list(data.titles.values()),
        }
    )
    items = conform(titles, ITEMS, "items").cast(ITEMS)
    weights = {"cooccurrence_weight": 0.0, "category_weight": 0.0, "numeric_weight": 0.0}
    config = TokenizerConfig(
        kind="rq_vae",
        embedding=EmbeddingConfig(text_dim=256, given_weight=0.0, enrichment_weight=0.0, **weights),
        depth=3,
        codebook_size=256,
        latent_dim=32,
        layer_weight=1.0,
        commitment=0.25,
        collisions="extend",
        stability=False,
    )
    nothing = (LABELLED_EVENTS.empty_table(), items, USERS.empty_table(), SLATES.empty_table())
    prepared = PreparedData(*nothing, pa.table({}), {"validation_start": FAR.isoformat()})
    tokenizer = Tokenizer.fit(prepared, config, 0)
    return build_catalog(tokenizer.encode(items), tokenizer)[0]


def last_items(data: Purchases, catalog: Catalog, config: ModelConfig) -> tuple[ContextBatch, torch.Tensor]:
    """One example a user: the third last purchase after those before it."""
    contexts, targets = data.before(range(len(data.sequences)), 3)
    return _encoded(contexts, targets, catalog, config)


def every_item(data: Purchases, catalog: Catalog, config: ModelConfig) -> tuple[ContextBatch, torch.Tensor]:
    """One example a training purchase but each user's first, after those before it."""
    pairs = [(context(items[:i]), items[i]) for items in data.sequences for i in range(1, len(items) - 2)]
    contexts, targets = zip(*pairs, strict=True)
    return _encoded(contexts, targets, catalog, config)


def _encoded(
    contexts: Sequence[UserContext], targets: Sequence[str], catalog: Catalog, config: ModelConfig
) -> tuple[ContextBatch, torch.Tensor]:
    batch = encode_contexts(contexts, catalog, ProfileVocabulary({}), config)
    return batch, torch.tensor([[catalog.position[item]] for item in targets])


def measure(
    recommender: Recommender, contexts: Sequence[UserContext], targets: Sequence[str]
) -> dict[str, float]:
    """recall@10 and NDCG@10 over all items that the user has not bought before; no sampled negatives."""
    gains = ndcg(recommender, contexts, targets)
    return {f"recall@{K}": float((gains > 0).mean()), f"ndcg@{K}": float(gains.mean())}


def ndcg(recommender: Recommender, contexts: Sequence[UserContext], targets: Sequence[str]) -> np.ndarray:
    """NDCG@10 of each context, whose one relevant item is its target."""
    ranks = np.array(list(_ranks(recommender, contexts, targets)))
    return np.where(ranks < K, 1 / np.log2(ranks + 2), 0)


def _ranks(
    recommender: Recommender, contexts: Sequence[UserContext], targets: Sequence[str]
) -> Iterator[int]:
    """Place of each target from 0; K where it is not among the first K."""
    for start in range(0, len(contexts), BATCH):
        users = contexts[start : start + BATCH]
        slates = recommender.recommend(users, K, [frozenset(user.item_ids) for user in users])
        for slate, target in zip(slates, targets[start : start + BATCH], strict=True):
            yield slate.item_ids.index(target) if target in slate.item_ids else K
