from .deep_sets import DeepSetClassifier as DeepSetClassifier
from .deep_sets import DeepSetRegressor as DeepSetRegressor
from .deep_sets import SetExpander as SetExpander
from .deep_sets import SetOutlierDetector as SetOutlierDetector
from .deep_sets import predict_sets as predict_sets
