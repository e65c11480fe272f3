"""Encoded contexts that are kept, so that a follow-up page of the same user costs only its decoding."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

from higr.errors import InputError
from higr.model.higr import Context
from higr.slate import UserContext


class ContextCache:
    """The contexts used last, up to a size in memory.

    A context is known by its user and by all that the encoder reads of it, so another history, profile
    or situation is another entry and nothing has to be invalidated. Serves one thread.

    Args:
        max_bytes: of the encoded tensors; the least recently used go first. A context that is larger
            alone is not kept.

    Attributes:
        hits, misses: contexts that were found, and that had to be encoded, so far.
        nbytes: held now.

    Raises:
        InputError: a negative size.
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 0:
            raise InputError(f"context cache of {max_bytes} bytes; 0 keeps nothing")
        self.max_bytes, self.nbytes, self.hits, self.misses = max_bytes, 0, 0, 0
        self._kept: OrderedDict[Hashable, Context] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def encoded(self, users: Sequence[UserContext], encode: Callable[[list[int]], Context]) -> Context:
        """Contexts of all users as one batch.

        Args:
            encode: encodes the users of these rows, each once.
        """
        if not self.max_bytes:
            self.misses += len(users)
            return encode(list(range(len(users))))
        keys = [_key(user) for user in users]
        first = {key: row for row, key in reversed(list(enumerate(keys)))}
        missing = [row for row, key in enumerate(keys) if key not in self._kept and first[key] == row]
        fresh: dict[Hashable, Context] = {}
        if missing:
            made = encode(missing)
            fresh = {keys[row]: made.rows(at, at + 1) for at, row in enumerate(missing)}
        self.hits += len(keys) - len(missing)
        self.misses += len(missing)
        wanted = [fresh[key] if key in fresh else self._kept[key] for key in keys]
        for key in keys:
            if key in self._kept:
                self._kept.move_to_end(key)
        for key, context in fresh.items():
            self._keep(key, context)
        return wanted[0] if len(wanted) == 1 else Context.join(wanted)

    def _keep(self, key: Hashable, context: Context) -> None:
        if context.nbytes > self.max_bytes:
            return
        self._kept[key] = context.copied()
        self.nbytes += context.nbytes
        while self.nbytes > self.max_bytes:
            self.nbytes -= self._kept.popitem(last=False)[1].nbytes


def _key(user: UserContext) -> Hashable:
    facts = (tuple(sorted(mapping.items())) for mapping in (user.profile, user.situation))
    return (user.user_id, tuple(user.item_ids), tuple(user.feedback), *facts)
