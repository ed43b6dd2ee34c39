"""What a challenger has to show before it is promoted. Meanings stand in conf/base.toml."""

from pydantic import Field

from serverload.contracts.setting_types import Section


class PromotionSettings(Section):
    """The bounds of the promotion gate."""

    least_days: int = Field(ge=1)
    max_rps_loss: float = Field(ge=0, le=1)
    max_macro_f1_loss: float = Field(ge=0, le=1)
    max_high_recall_loss: float = Field(ge=0, le=1)
