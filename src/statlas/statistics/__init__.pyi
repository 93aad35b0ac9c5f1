from .flexible_survival import survival_model as survival_model
