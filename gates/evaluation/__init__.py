"""Does the candidate answer the golden set at least as well as it must, and as the champion does?"""

from __future__ import annotations

from gates.evaluation.gate import Evaluation
from gates.evaluation.inference import Inference
from gates.evaluation.settings import EvaluationSettings

__all__ = ["Evaluation", "EvaluationSettings", "Inference"]
