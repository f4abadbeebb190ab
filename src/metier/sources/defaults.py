"""The pretrained sources that are tried when none is named: the one place that names hub ids."""

from __future__ import annotations

from metier.types import Modality

EMBEDDED = "embedded"
"""The text model that ships in the package of the extra `embedded` (all-MiniLM-L6-v2)."""

EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of `model.safetensors` in the hub's own sentence-transformers/all-MiniLM-L6-v2."""

DEFAULTS: dict[Modality, tuple[str, ...]] = {
    "text": (EMBEDDED,),
    "image": ("google/mobilenet_v2_1.0_224", "facebook/dinov2-small", "microsoft/resnet-18"),
    "tabular": ("lightgbm",),
}
"""Candidates by modality. The first is the fixed default, which is always in the race."""
