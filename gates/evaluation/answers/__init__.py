"""Do the candidate's answers in words score as well as they must, and as the champion's?

``settings`` says what can be set, ``reading`` reads questions and answers (also as lm-eval and MLflow write
them), ``scorers`` has the scorers there are, ``gate`` asks and judges.
"""

from __future__ import annotations

from gates.evaluation.answers.gate import Answers
from gates.evaluation.answers.settings import AnswersSettings

__all__ = ["Answers", "AnswersSettings"]
