"""Text of an item as a vector: TF-IDF over word and character n-grams, reduced by a truncated SVD.

Character n-grams carry languages written without spaces, words carry the others; no model is
downloaded. The fitted state is two vocabularies, their inverse document frequencies and the SVD's
components: JSON and arrays, nothing that executes on load. scikit-learn costs seconds to import and
is imported where it is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from scipy.sparse import hstack

ANALYZERS: dict[str, dict[str, Any]] = {
    "word": {"analyzer": "word", "ngram_range": (1, 2)},
    "char": {"analyzer": "char_wb", "ngram_range": (2, 4)},
}


@dataclass(frozen=True)
class TextBlock:
    """Fitted n-grams and their projection.

    Attributes:
        vocabulary: per analyzer the n-grams, in column order.
        idf: per analyzer (V,) float64.
        components: (width, sum of V) float32, rows are right singular vectors.
    """

    vocabulary: dict[str, list[str]]
    idf: dict[str, np.ndarray]
    components: np.ndarray

    @classmethod
    def fit(cls, texts: Sequence[str], width: int, max_ngrams: int, seed: int) -> Self:
        """Learn from the texts; without a single n-gram the block has width 0.

        An n-gram of one text only says nothing about likeness and is not kept.
        """
        empty = cls({}, {}, np.zeros((0, 0), np.float32))
        if width < 1 or not any(texts):
            return empty
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        vocabulary: dict[str, list[str]] = {}
        idf: dict[str, np.ndarray] = {}
        for name, options in ANALYZERS.items():
            vectorizer = TfidfVectorizer(**options, sublinear_tf=True, min_df=2, max_features=max_ngrams)
            try:
                vectorizer.fit(texts)
            except ValueError:  # scikit-learn's answer to "no n-gram is left"
                continue
            vocabulary[name] = vectorizer.get_feature_names_out().tolist()
            idf[name] = vectorizer.idf_
        columns = sum(len(words) for words in vocabulary.values())
        width = min(width, len(texts) - 1, columns - 1)
        if width < 1:
            return empty
        block = cls(vocabulary, idf, np.zeros((0, columns), np.float32))
        svd = TruncatedSVD(width, random_state=seed, n_iter=7).fit(block._tfidf(texts))
        return cls(vocabulary, idf, svd.components_.astype(np.float32))

    @property
    def width(self) -> int:
        return len(self.components)

    @cached_property
    def _vectorizers(self) -> list[Any]:
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizers = []
        for name, words in self.vocabulary.items():
            vectorizer = TfidfVectorizer(**ANALYZERS[name], sublinear_tf=True, vocabulary=words)
            vectorizer.idf_ = self.idf[name]
            vectorizers.append(vectorizer)
        return vectorizers

    def _tfidf(self, texts: Sequence[str]) -> Any:
        """(N, sum of V) sparse; each analyzer's part of a row has length 1."""
        return hstack([vectorizer.transform(texts) for vectorizer in self._vectorizers], format="csr")

    def transform(self, texts: Sequence[str]) -> np.ndarray:
        """(N, width) float32, not normalised; a text without a known n-gram is all zeros."""
        if not self.width:
            return np.zeros((len(texts), 0), np.float32)
        return np.asarray(self._tfidf(texts) @ self.components.T, dtype=np.float32)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        arrays = {f"idf_{name}": values for name, values in self.idf.items()}
        return {"vocabulary": self.vocabulary}, {**arrays, "components": self.components}

    @classmethod
    def from_state(cls, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        vocabulary = {name: meta["vocabulary"][name] for name in ANALYZERS if name in meta["vocabulary"]}
        return cls(vocabulary, {name: arrays[f"idf_{name}"] for name in vocabulary}, arrays["components"])
