"""svlm as a model of lmms-eval, found by the entry-point group ``lmms_eval.models``.

``lmms-eval --model svlm --model_args pretrained=DIR,show=streamed --tasks videomme`` runs one of its tasks.
lmms-eval calls ``manifest`` and imports the class it names; nothing here imports it before.
"""

from __future__ import annotations

from typing import Any

MODEL_ID = "svlm"
CLASS_PATH = "svlm_cli.bench.questions.lmms_model.Svlm"


def manifest() -> Any:
    """What lmms-eval is told: an id and where the class is."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id=MODEL_ID, simple_class_path=CLASS_PATH, aliases=("streaming_vlm",))
