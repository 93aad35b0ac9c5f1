from statlas.evaluation.prob_multiplicity.ranges import fit_logistic, viable_ranges
