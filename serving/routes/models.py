"""The registered versions."""

from typing import Any

from fastapi import APIRouter

from serving.access import TO_READ
from serving.descriptions import described
from serving.service import ServiceOf

router = APIRouter(tags=["models"], dependencies=TO_READ)


@router.get("/models", summary="Registered versions", responses=described("application/json"))
def models(service: ServiceOf) -> dict[str, Any]:
    """Every version, the newest first, as `serverload models` lists them; and the one that answers here."""
    model = service.champion.model
    return {
        "answering": {"name": model.name, "version": model.version} if model else None,
        "models": list(service.champion.standing.versions),
    }
