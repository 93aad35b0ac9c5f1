from .error_bars import compare_scores as compare_scores
from .llm_overview import guide as guide
from .no_clt import small_sample_comparison as small_sample_comparison
from .show_your_work import budget_curve as budget_curve
