"""The first look in 8 bits against exact search, on random unit vectors: python -m bench.first_look [PHOTOS].

Prints the median time of one query for the 20 best photos, each way (docs/decisions/0018).
"""

import sys
from collections.abc import Callable
from time import perf_counter

import numpy as np

from devise.ranking import Matches, top_k
from devise.search.coarse import Coarse, may_be_first

DIM, TOP, QUERIES, BLOCK = 300, 20, 30, 8192


def unit(rng: np.random.Generator, rows: int) -> np.ndarray:
    made = rng.standard_normal((rows, DIM), dtype=np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def main(photos: int) -> None:
    rng = np.random.default_rng(0)
    stored = np.concatenate([unit(rng, min(BLOCK, photos - at)).astype(np.float16) for at in range(0, photos, BLOCK)])
    queries, whole, coarse = unit(rng, QUERIES + 1), stored.astype(np.float32), Coarse(stored)

    def looked(query: np.ndarray) -> Matches:
        near = may_be_first(coarse.products(query[None])[0], coarse.slack(query[None]), TOP)
        return top_k((stored[near].astype(np.float32) @ query)[None], TOP)

    def in_16_bits(query: np.ndarray) -> Matches:
        blocks = [stored[at : at + BLOCK].astype(np.float32) @ query for at in range(0, photos, BLOCK)]
        return top_k(np.concatenate(blocks)[None], TOP)

    def median(search: Callable[[np.ndarray], Matches]) -> float:
        times = []
        for query in queries:
            start = perf_counter()
            search(query)
            times.append(perf_counter() - start)
        return 1000 * float(np.median(times[1:]))

    ways = {
        "8-bit look": looked,
        "exact, 32 bits": lambda query: top_k((whole @ query)[None], TOP),
        "exact, kept in 16 bits": in_16_bits,
    }
    six = unit(rng, 6)
    ways["8-bit products with one"] = lambda query: top_k(coarse.products(query[None]), TOP)
    ways["with six"] = lambda query: top_k(coarse.products(six), TOP)
    print(f"{photos:,} photos: {', '.join(f'{name} {median(search):.1f} ms' for name, search in ways.items())}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
