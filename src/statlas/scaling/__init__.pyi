from .model_collapse import collapse_curve as collapse_curve
