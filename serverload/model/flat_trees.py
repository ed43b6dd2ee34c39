"""The trees of a forest as flat arrays, walked for many rows at once; numpy alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serverload.contracts.classes import CLASSES

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_ROWS_AT_ONCE = 512
"""Rows walked together: with 100 trees their places fit into a core's own cache."""


@dataclass(frozen=True, eq=False)
class FlatTrees:
    """All nodes, tree after tree. A row goes to `children[node, 0]` if its input is at most the threshold, else to 1.

    A leaf is its own child. `shares`: class distribution of the training rows in each node, inner ones too, in the
    order of CLASSES. A category's column holds 0 or 1: a threshold between them asks for membership.
    """

    roots: Integers
    inputs: Integers
    thresholds: Floats
    children: Integers
    shares: Floats
    depth: int

    @property
    def base(self) -> Floats:
        """The class distribution before anything is known of a row: the mean over the roots."""
        return np.asarray(self.shares[self.roots].mean(axis=0))

    def probabilities(self, matrix: Floats) -> Floats:
        """Mean class distribution of the leaves that each row of inputs comes to, shape (n, 3)."""
        return np.vstack([np.empty((0, len(CLASSES))), *(self._voted(rows) for rows in _slices(matrix))])

    def contributions(self, matrix: Floats, owners: Integers) -> Floats:
        """What each feature adds to each row's probabilities, shape (n, features, 3).

        A step from a node to its child is the owner's of the input that the node asks for: base and contributions
        of a row add up to its probabilities.
        """
        parts = (self._added(rows, owners) for rows in _slices(matrix))
        return np.vstack([np.empty((0, int(owners.max()) + 1, len(CLASSES))), *parts])

    def _voted(self, rows: Floats) -> Floats:
        leaves = np.broadcast_to(self.roots, (len(rows), self.roots.size))
        for _, leaves in self._steps(rows):  # noqa: B007
            pass
        return np.asarray(self.shares[leaves].mean(axis=1))

    def _added(self, rows: Floats, owners: Integers) -> Floats:
        features = int(owners.max()) + 1
        first = np.arange(len(rows))[:, None] * features
        added = np.zeros((len(CLASSES), len(rows) * features))
        for nodes, children in self._steps(rows):
            place = (first + owners[self.inputs[nodes]]).ravel()
            moved = (self.shares[children] - self.shares[nodes]).reshape(-1, len(CLASSES))
            added += [np.bincount(place, moved[:, index], added.shape[1]) for index in range(len(CLASSES))]
        return (added / self.roots.size).reshape(len(CLASSES), len(rows), features).transpose(1, 2, 0)

    def _steps(self, rows: Floats) -> Iterator[tuple[Integers, Integers]]:
        """Nodes and the children that rows go to, shape (rows, trees) each, level by level."""
        flat, first = np.ascontiguousarray(rows).ravel(), np.arange(len(rows))[:, None] * rows.shape[1]
        nodes = np.broadcast_to(self.roots, (len(rows), self.roots.size))
        for _ in range(self.depth):
            beyond = flat.take(first + self.inputs.take(nodes)) > self.thresholds.take(nodes)
            children = self.children.ravel().take(2 * nodes + beyond)
            yield nodes, children
            nodes = children


def _slices(matrix: Floats) -> Iterator[Floats]:
    return (matrix[start : start + _ROWS_AT_ONCE] for start in range(0, len(matrix), _ROWS_AT_ONCE))
