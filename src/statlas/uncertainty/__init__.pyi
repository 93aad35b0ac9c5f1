from .ece_interval import calibration_error as calibration_error
from .optcs import shortlist as shortlist
