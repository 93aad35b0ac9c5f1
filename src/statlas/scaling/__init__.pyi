from .bigbench_predict import predict_scores as predict_scores
from .effective_tokens import token_worth as token_worth
from .kaplan_chinchilla import compute_optimal_exponent as compute_optimal_exponent
from .million_gpu_hours import plan_training as plan_training
from .model_collapse import collapse_curve as collapse_curve
from .observational import forecast_downstream as forecast_downstream
from .step_law import best_hyperparameters as best_hyperparameters
