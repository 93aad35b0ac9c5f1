from .conformal_selective import ConformalSelectiveRegressor as ConformalSelectiveRegressor
from .conformal_selective import QuantileForest as QuantileForest
from .conformal_selective import selective_regression as selective_regression
from .ece_interval import calibration_error as calibration_error
from .optcs import shortlist as shortlist
from .unified_ood import ModelSpecificDetector as ModelSpecificDetector
from .unified_ood import NetworkClassifier as NetworkClassifier
from .unified_ood import rank_detectors as rank_detectors
