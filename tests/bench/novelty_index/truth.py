"""The exact Jaccard index of some sets with all others, computed in another way than by the index."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from filter_svc.fingerprints import Hashes

ROWS_A_STEP = 5000


def exact_jaccards(probes: Sequence[Hashes], others: Sequence[Hashes]) -> NDArray[np.float64]:
    """A row for each probe, a column for each of the others."""
    vocabulary = np.unique(np.concatenate(probes))
    asked = _matrix(probes, vocabulary)
    parts = [
        (asked @ _matrix(others[start : start + ROWS_A_STEP], vocabulary).T).toarray()
        for start in range(0, len(others), ROWS_A_STEP)
    ]
    common = np.concatenate(parts, axis=1).astype(np.float64)
    sizes = np.array([len(one) for one in probes])[:, None] + np.array([len(one) for one in others])
    return common / (sizes - common)


def _matrix(sets: Sequence[Hashes], vocabulary: Hashes) -> csr_matrix:
    """Zeros and ones; what is not in the vocabulary is left out."""
    flat = np.concatenate(sets)
    rows = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
    columns = np.searchsorted(vocabulary, flat)
    columns[columns == len(vocabulary)] = 0
    known = vocabulary[columns] == flat
    ones = np.ones(int(known.sum()), dtype=np.int32)
    return csr_matrix((ones, (rows[known], columns[known])), shape=(len(sets), len(vocabulary)))
