from .error_bars import compare_scores as compare_scores
from .llm_overview import guide as guide
from .show_your_work import budget_curve as budget_curve
