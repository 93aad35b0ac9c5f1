from .error_bars import compare_scores as compare_scores
from .llm_overview import guide as guide
