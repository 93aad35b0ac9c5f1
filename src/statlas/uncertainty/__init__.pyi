from .ece_interval import calibration_error as calibration_error
from .optcs import shortlist as shortlist
from .unified_ood import ModelSpecificDetector as ModelSpecificDetector
from .unified_ood import NetworkClassifier as NetworkClassifier
from .unified_ood import rank_detectors as rank_detectors
