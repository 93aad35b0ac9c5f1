"""What the quality of a text is worth in tokens, and whether measures of the text can tell.

Answers      How many tokens of one text are worth a token of another, judged by how varied and how
             machine-like the text is, and do these measures predict the loss of models trained on a
             text that was not in the fit?
Use when     small models were trained on several texts and tested on one text for all, and each
             training text has a measure of diversity (compression ratio, distinct n-grams) and of
             syntheticity (loss or perplexity under a teacher), in columns or as texts to measure.
             Avoid it where losses are on different test texts, where texts differ in subject rather
             than in quality, where repetition makes the loss rise again, and with fewer than about
             eight texts.
Assumes      Quality acts on the number of tokens alone: all texts share the floor and the exponents
             of the law, and log(worth) is linear in the measures.
Notation     loss = E + A N^-alpha + B D_q^-beta; effective tokens D_q = D Q;
             Q = exp(c_d (diversity - diversity_ref) + c_s (syntheticity - syntheticity_ref)), the
             worth of a token, 1 for the reference text. N parameters, D tokens, plain numbers;
             diversity = 1 / compression ratio (or the share of distinct n-grams), syntheticity =
             1 / perplexity of the text under the teacher = exp(-teacher loss); logarithms are
             natural. Coefficients are given for a unit of a measure and, as a factor on tokens, for
             a standard deviation over the texts.
             A text's own worth: Q of each text fitted freely, with the same E, A, B, alpha, beta.
Departs      The paper's equation of D_q could not be found: its text was at hand in its abstract
             and opening, no public code was found, and secondary sources give the ingredients
             (diversity as the inverse of gzip's compression ratio, also type-token and n-gram
             ratios; syntheticity as the inverse of a teacher's perplexity; D_q in Chinchilla's
             form; constants fitted to more than 200 models) and not how they combine. The
             exponential form here was chosen because a worth must be positive, and because with
             logarithms of measures (roles diversity and syntheticity take any number) it is a
             product of their powers. The paper relates D_q to accuracies of eight tasks; here it is
             the loss on one test text for all. The paper's teacher is a language model (Llama-2 7B,
             says a summary of it); the one that ships here is an n-gram model of bytes. Constants
             do not carry over between teachers, as they do not between tokenizers.
             Added here: the fit is Huber's of log residuals (threshold 0.02: texts a few per cent
             off are no outliers, and with the usual 1e-3 half of them would go unheard) over means
             of repeated runs; Kaplan's form as another option; intervals from texts drawn anew,
             since runs of one text share its peculiarity; texts left out one by one, with and
             without the measures; each text's own worth and how much of it the measures explain,
             with a permutation test over texts.
             What recorded runs say: on variants of one corpus (the example) both coefficients are
             positive, the measures explain 81 % of the texts' own worth and the held-out error
             falls, though by little (from 4.0 to 3.7 %): a text of 16,384 characters repeated 32
             times, on which the loss rises again, has most of it. Text sampled from an n-gram model
             of order 3 or 5 is worth as much as real text to models this small. On corpora of
             different subjects the measures make the prediction worse (with least squares in place
             of Huber's function a little better), which is the case that "Avoid" names; that claim
             fails and is kept.
Reference    Chang, Paltenghi, Li, Lin, Zhao, Huber et al. (2024), Scaling Parameter-Constrained
             Language Models with Quality Data, EMNLP Industry Track, arXiv:2410.03083. N-gram
             mixture: Witten and Bell (1991), IEEE Trans. Inf. Theory 37:1085.
"""

from __future__ import annotations

from statlas.scaling.effective_tokens.claims import (
    diversity_is_worth_more,
    gain_on_subjects,
    gain_on_variants,
    planted_constants,
    planted_coverage,
)
from statlas.scaling.effective_tokens.laws import (
    Runs,
    average_repeats,
    explained_share,
    fit_runs,
    free_worth_law,
    held_out_errors,
    quality_law,
)
from statlas.scaling.effective_tokens.reading import load_texts
from statlas.scaling.effective_tokens.recipe import EffectiveTokens, token_worth
from statlas.scaling.effective_tokens.texts import (
    NgramTeacher,
    compression_ratio,
    distinct_ngrams,
    measure_texts,
    type_token_ratio,
)

__all__ = [
    "EffectiveTokens", "NgramTeacher", "Runs", "average_repeats", "compression_ratio",
    "distinct_ngrams", "explained_share", "fit_runs", "free_worth_law", "held_out_errors",
    "load_texts", "measure_texts", "quality_law", "token_worth", "type_token_ratio",
    "diversity_is_worth_more", "gain_on_subjects", "gain_on_variants", "planted_constants",
    "planted_coverage",
]  # fmt: skip
