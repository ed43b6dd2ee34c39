"""Rows as the reader likes them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


@dataclass(frozen=True, eq=False, repr=False)
class Rows:
    """Rows of a table, held as Arrow; times are UTC."""

    table: pa.Table

    def to_arrow(self) -> pa.Table:
        """The rows as a pyarrow table; nothing is copied."""
        return self.table

    def to_polars(self) -> "pl.DataFrame":
        """The rows as a Polars frame."""
        import polars as pl

        return pl.DataFrame(pl.from_arrow(self.table))

    def to_pandas(self) -> "pd.DataFrame":
        """The rows as a pandas frame; whole numbers that may be unknown become floats there."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        return f"Rows({len(self)} rows: {', '.join(self.table.column_names)})"
