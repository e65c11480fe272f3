"""Who lives in the simulated world: items with content, users with several interests."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from higr.config import SimulatorConfig
from higr.data.lexicon import CATEGORIES, titles

START_MS = 1_767_225_600_000
"""First moment of every simulated log: 2026-01-01 UTC."""

DAY_MS = 86_400_000
WIDTH = 16
INTERESTS = 4
AGES = ("under 18", "18-24", "25-39", "40-59", "60 and over")
REGIONS = ("north", "south", "east", "west", "islands")
DEVICES = ("phone", "tablet", "television")


@dataclass(frozen=True)
class Items:
    """N items, T topics.

    Attributes:
        table: `ITEMS` columns.
        topic, category: (N,) int64. vector: (N, WIDTH) unit rows, alike within a topic.
        quality: (N,) standard normal, what everybody likes. weight: (N,) popularity, sums to 1.
        duration: (N,) seconds. created: (N,) int64 ms.
        topic_vectors: (T, WIDTH) unit rows, alike within a category.
    """

    table: pa.Table
    topic: np.ndarray
    category: np.ndarray
    vector: np.ndarray
    quality: np.ndarray
    weight: np.ndarray
    duration: np.ndarray
    created: np.ndarray
    topic_vectors: np.ndarray


@dataclass(frozen=True)
class Users:
    """U users.

    Attributes:
        table: user_id and profile columns.
        interests: (U, INTERESTS) topics; share: (U, INTERESTS) their weights, 0 for unused ones.
        vector: (U, WIDTH), sum of the interests' topic vectors by share.
        activity: (U,) expected number of requests.
    """

    table: pa.Table
    interests: np.ndarray
    share: np.ndarray
    vector: np.ndarray
    activity: np.ndarray


def make_items(config: SimulatorConfig, rng: np.random.Generator) -> Items:
    count = config.items
    topics = [
        (c, name, words) for c, topics in enumerate(CATEGORIES.values()) for name, words in topics.items()
    ]
    category_of = np.array([c for c, _, _ in topics])
    base = _unit(rng.standard_normal((len(CATEGORIES), WIDTH)))
    topic_vectors = _unit(base[category_of] + 0.9 * _unit(rng.standard_normal((len(topics), WIDTH))))
    demand = rng.dirichlet(np.full(len(topics), 3.0))
    topic = rng.choice(len(topics), size=count, p=demand)
    quality = rng.standard_normal(count)
    weight = np.exp(0.9 * quality + 0.7 * rng.standard_normal(count))
    pace = np.exp(0.4 * rng.standard_normal(len(topics)))
    duration = np.clip(32 * pace[topic] * np.exp(0.5 * rng.standard_normal(count)), 5, 240).round(1)
    young = rng.random(count) < 0.3  # the others were there before the log begins
    age_days = np.where(young, -rng.random(count) * (config.days - 1), rng.random(count) * 60)
    created = START_MS - (age_days * DAY_MS).astype(np.int64)
    names = list(CATEGORIES)
    table = pa.table(
        {
            "item_id": [f"v{i:07d}" for i in range(count)],
            "category": [names[topics[t][0]] for t in topic],
            "text": titles(rng, [topics[t][1] for t in topic], [topics[t][2] for t in topic]),
            "tags": [[topics[t][1]] for t in topic],
            "creator_id": [f"c{t:03d}-{n}" for t, n in zip(topic, rng.integers(5, size=count), strict=True)],
            "duration_seconds": duration,
            "created_at": created,
            "status": ["active"] * count,
        }
    )
    return Items(
        table=table,
        topic=topic,
        category=category_of[topic],
        vector=_unit(topic_vectors[topic] + 0.4 * _unit(rng.standard_normal((count, WIDTH)))),
        quality=quality,
        weight=weight / weight.sum(),
        duration=duration,
        created=created,
        topic_vectors=topic_vectors,
    )


def make_users(config: SimulatorConfig, items: Items, rng: np.random.Generator) -> Users:
    """Interests lean on the age band and on what there is to see."""
    count, topics = config.users, len(items.topic_vectors)
    age, region, device = (rng.integers(len(names), size=count) for names in (AGES, REGIONS, DEVICES))
    supply = np.bincount(items.topic, minlength=topics)
    taste = np.exp(1.2 * rng.standard_normal((len(AGES), topics))) * supply  # (ages, T)
    keys = np.log(taste + 1e-300)[age] + rng.gumbel(size=(count, topics))  # draws without replacement
    interests = np.argsort(-keys, axis=1)[:, :INTERESTS]
    used = np.arange(INTERESTS) < rng.integers(2, INTERESTS + 1, size=count)[:, None]
    share = rng.gamma(2.0, size=(count, INTERESTS)) * used
    share /= share.sum(axis=1, keepdims=True)
    table = pa.table(
        {
            "user_id": [f"u{i:07d}" for i in range(count)],
            "age": [AGES[i] for i in age],
            "region": [REGIONS[i] for i in region],
            "device": [DEVICES[i] for i in device],
        }
    )
    return Users(
        table=table,
        interests=interests,
        share=share,
        vector=(share[:, :, None] * items.topic_vectors[interests]).sum(axis=1),
        activity=rng.gamma(2.0, config.slates_per_user / 2, size=count),
    )


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
