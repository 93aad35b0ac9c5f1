from .error_bars import compare_scores as compare_scores
