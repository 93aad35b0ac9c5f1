"""The statistical questions about language models, and who answers them. Data only."""

from __future__ import annotations

from dataclasses import dataclass

SELF = "llm-overview"
"""Id of the guide, whose own short methods answer what no other paper here does."""

TOPICS: dict[str, str] = {
    "uncertainty": "knowing what it does not know",
    "calibration": "calibration and conformal sets",
    "evaluation": "evaluation and comparison",
    "watermarking": "watermarks, detection, descent",
    "privacy": "privacy and memorisation",
    "fairness": "fairness and bias",
    "interpretability": "interpretability",
    "alignment": "alignment and preferences",
    "training": "training data and scaling",
    "tools": "language models as tools",
}
"""Topics in the guide's order, with the label that the figure shows."""


@dataclass(frozen=True)
class Question:
    """One question of the guide.

    Attributes
    ----------
    topic
        A key of `TOPICS`.
    asks
        The question.
    watch_for
        The assumption or trap that matters most, for whichever method is chosen.
    papers
        Catalogue ids of the papers that answer it, best entry point first.
    own
        Name of the guide's own short method that answers it, or ``""``.
    """

    topic: str
    asks: str
    watch_for: str
    papers: tuple[str, ...] = ()
    own: str = ""


QUESTIONS: tuple[Question, ...] = (
    Question(
        "uncertainty",
        "Which answers should the model hold back?",
        "What is kept is no longer a random sample: its error rate needs a guarantee of its own.",
        ("conformal-selective", "unified-ood", "optcs"),
    ),
    Question(
        "uncertainty",
        "Does doubt come from little evidence or from noise in the task?",
        "One network's pseudo-counts are set by its training loss as much as by the data.",
        ("evidential",),
    ),
    Question(
        "uncertainty",
        "Does the model reason soundly about chances?",
        "Repeated answers to one prompt depend on each other; vary the wording too.",
        ("what-are-odds", "binary-bias"),
    ),
    Question(
        "calibration",
        "Do stated probabilities match frequencies?",
        "Plug-in calibration errors are biased upwards, the more so the more bins.",
        ("ece-interval",),
    ),
    Question(
        "calibration",
        "Which set of answers holds the right one with a given probability?",
        "Coverage is an average over questions like the checked ones, and breaks under shift.",
        ("multi-output-quantile",),
        own="conformal_sets",
    ),
    Question(
        "evaluation",
        "Is one model really better on a benchmark?",
        "Questions that share a passage are not independent; few questions need exact intervals.",
        ("error-bars", "no-clt"),
    ),
    Question(
        "evaluation",
        "Would the conclusion survive other tuning and design choices?",
        "The best of many trials is biased upwards; equal budgets, or no comparison.",
        ("show-your-work", "multiverse"),
    ),
    Question(
        "evaluation",
        "How is a score estimated with few or no labels?",
        "Questions picked for their worth must be weighted back, and shift is not seen unlabelled.",
        ("active-testing", "disco", "mde"),
    ),
    Question(
        "evaluation",
        "May a model judge the answers?",
        "Judges share errors and favour their own family: check some verdicts by hand.",
        ("juries",),
    ),
    Question(
        "evaluation",
        "Does an effect hold for models of a kind, or for one network only?",
        "The unit of sampling is the training run, not the prompt.",
        ("population-lm",),
    ),
    Question(
        "evaluation",
        "What did an update break?",
        "Equal accuracy hides flips in both directions: compare question by question.",
        ("muscle",),
    ),
    Question(
        "watermarking",
        "Does this text carry my watermark?",
        "Repeated phrases count once; editing and predictable text weaken the mark.",
        own="green_list_test",
    ),
    Question(
        "watermarking",
        "Did a machine write this text, and which one?",
        "With few machine texts about, most alarms are false even at a small error rate.",
        ("text-to-source",),
    ),
    Question(
        "watermarking",
        "Does that model or service descend from mine?",
        "Likeness has innocent causes such as shared training data; ask for an exact null.",
        ("palimpsest", "qurd", "prompt-detective", "loglik-map"),
    ),
    Question(
        "privacy",
        "What has the model memorised of its training text?",
        "A passage that can be completed may just be predictable: compare with one never seen.",
        ("memorization-taxonomy", "memorize-capacity"),
    ),
    Question(
        "privacy",
        "How is something learnt from data that only leave with noise added?",
        "Privacy loss adds up over releases, and intervals must count the added noise.",
        ("dp-regression",),
    ),
    Question(
        "fairness",
        "Does the model serve some groups worse?",
        "Swap only the group word, and pair the answers; a single template proves little.",
        ("calm", "model-cards"),
    ),
    Question(
        "fairness",
        "Whose prediction hangs on an arbitrary choice of model?",
        "Models of equal accuracy are equal only within the error of that accuracy.",
        ("multiplicity", "prob-multiplicity"),
    ),
    Question(
        "fairness",
        "Which data or training make errors more even?",
        "Small groups give wide intervals; crossed groups smaller ones still.",
        ("equitable-sampling", "rebias", "accuracy-curve"),
    ),
    Question(
        "interpretability",
        "Which parts of the network carry a fact, and can it be edited?",
        "Switching a part off shows that it is needed, not that the fact sits there alone.",
        ("relation-neurons", "editing", "counterfact-plus"),
    ),
    Question(
        "interpretability",
        "Which inputs does a prediction depend on?",
        "Correlated inputs: replacing one alone leaves the data's support.",
        ("black-box-testing", "ice-plots"),
    ),
    Question(
        "interpretability",
        "Which training examples made the model predict this?",
        "Influences of single examples are small against the noise of retraining.",
        ("datamodels", "shapley-residual"),
    ),
    Question(
        "interpretability",
        "Was a rule learnt or a shortcut, and why do reasoning steps help?",
        "Seeds differ: a rule in one run is an anecdote.",
        ("hierarchical-generalization", "stepwise-inference"),
    ),
    Question(
        "alignment",
        "How does a model learn to prefer better answers?",
        "Comparisons fix differences of reward only, and longer is easily taken for better.",
        ("brio", "domain-adaptation"),
    ),
    Question(
        "alignment",
        "Which of many sampled answers should be returned?",
        "The choice is only as good as the utility, and exploiting it too hard backfires.",
        ("mbr-decoding",),
    ),
    Question(
        "alignment",
        "What does a chain of prompts infer?",
        "A chain's answer averages over hidden thoughts; one run is one draw of them.",
        ("cascades",),
    ),
    Question(
        "training",
        "What would more compute or data give?",
        "Extrapolation by a factor of ten: the interval of the fit misses the error of the form.",
        ("kaplan-chinchilla", "predictable-scaling", "farseer", "model-ladders", "observational"),
    ),
    Question(
        "training",
        "Which data should be kept or weighted up?",
        "A score made by the model that is then trained rewards what it already likes.",
        ("data-selection-survey", "cartography", "datadecide", "presence", "effective-tokens"),
    ),
    Question(
        "training",
        "What if models train on what models wrote?",
        "Errors add up over generations unless fresh data are kept in.",
        ("model-collapse", "tale-of-tails"),
    ),
    Question(
        "training",
        "How little tuning data is enough, and what is lost by it?",
        "Gains on the task are bought with skills that nobody measured.",
        ("ltd-tuning", "specialist-generalist"),
    ),
    Question(
        "tools",
        "May texts labelled by a model be analysed as data?",
        "Errors of labels rarely cancel: check a random sample, or estimates are biased.",
        ("llm-hacking",),
        own="rectified_mean",
    ),
    Question(
        "tools",
        "Can synthetic records or texts stand in for real ones?",
        "Matching margins says nothing of the joint law, and synthetic does not mean private.",
        ("llmsynthor", "unigen"),
    ),
    Question(
        "tools",
        "Can a model answer a survey in place of people?",
        "Answers follow the order and label of options before they follow opinions.",
        ("survey-responses",),
    ),
    Question(
        "tools",
        "Can a number be predicted from text, or an event from coded histories?",
        "Compare with a simple baseline on the same features, split by time.",
        ("llm-regression", "motor", "labor-llm"),
    ),
    Question(
        "tools",
        "Can a model do statistics itself?",
        "Published problems may be in its training data: prefer new ones.",
        ("stateval", "boxing-gym"),
    ),
)
"""All questions, by topic."""
