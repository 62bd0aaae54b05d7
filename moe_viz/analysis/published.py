# SPDX-License-Identifier: Apache-2.0
"""Numbers that others published about Mixtral, each with its source. Never ours.

From the paper (arXiv 2401.04088) and the announcement of 11 December 2023. Figures that we could
not read at first hand are marked. Percentages are as printed.
"""

from __future__ import annotations

PAPER = "arXiv 2401.04088"

#: Consecutive tokens sent to the same expert, %, Mixtral 8x7B on subsets of The Pile (Table 5).
#: For each domain: first choice at layers 0, 15, 31, then first or second choice.
REPETITION = {
    "ArXiv": ((14.0, 27.9, 22.7), (46.5, 62.3, 52.9)),
    "DM Mathematics": ((14.1, 28.4, 19.7), (44.9, 67.0, 44.5)),
    "Github": ((14.9, 28.1, 19.7), (49.9, 66.9, 49.2)),
    "Gutenberg": ((13.9, 26.1, 26.3), (49.5, 63.1, 52.2)),
    "PhilPapers": ((13.6, 25.3, 22.1), (46.9, 61.9, 51.3)),
    "PubMed Abstracts": ((14.2, 24.6, 22.0), (48.6, 61.6, 51.8)),
    "StackExchange": ((13.6, 27.2, 23.6), (48.2, 64.6, 53.6)),
    "Wikipedia (en)": ((14.4, 23.6, 25.3), (49.8, 62.1, 51.8)),
}
REPETITION_LAYERS = (0, 15, 31)

#: Accuracy, %, Mixtral 8x7B and Llama 2 70B (Table 2).
BENCHMARKS = {
    "MMLU": (70.6, 69.9),
    "HellaSwag": (84.4, 85.4),
    "WinoGrande": (77.2, 80.4),
    "PIQA": (83.6, 82.6),
    "Arc-e": (83.1, 79.9),
    "Arc-c": (59.7, 56.5),
    "NQ": (30.6, 25.4),
    "TriviaQA": (71.5, 73.0),
    "HumanEval": (40.2, 29.3),
    "MBPP": (60.7, 49.8),
    "MATH": (28.4, 13.8),
    "GSM8K": (74.4, 69.6),
}

#: Llama 2 70B, GPT-3.5 and Mixtral 8x7B (Table 3); MT-Bench is of the Instruct model, out of 10.
WITH_GPT = {
    "MMLU": (69.9, 70.0, 70.6),
    "HellaSwag": (87.1, 85.5, 86.7),
    "ARC-C": (85.1, 85.2, 85.8),
    "WinoGrande": (83.2, 81.6, 81.2),
    "MBPP": (49.8, 52.2, 60.7),
    "GSM8K": (53.6, 57.1, 58.4),
    "MT-Bench (Instruct)": (6.86, 8.32, 8.30),
}

#: Arc-c, HellaSwag, MMLU, %, by model and language (Table 4).
LANGUAGES = {
    "Llama 1 33B": {
        "fr": (39.3, 68.1, 49.9),
        "de": (41.1, 63.3, 48.7),
        "es": (45.7, 69.8, 52.3),
        "it": (42.9, 65.4, 49.0),
    },
    "Llama 2 70B": {
        "fr": (49.9, 72.5, 64.3),
        "de": (47.3, 68.7, 64.2),
        "es": (50.5, 74.5, 66.0),
        "it": (49.4, 70.9, 65.1),
    },
    "Mixtral 8x7B": {
        "fr": (58.2, 77.4, 70.9),
        "de": (54.3, 73.0, 71.5),
        "es": (55.4, 77.6, 72.5),
        "it": (52.8, 75.1, 70.9),
    },
}

#: BBQ accuracy, %; BOLD mean sentiment and its deviation: Llama 2 70B, then Mixtral 8x7B.
BBQ = (51.5, 56.0)
BOLD = {
    "gender": ((0.293, 0.073), (0.323, 0.045)),
    "profession": ((0.218, 0.073), (0.243, 0.087)),
    "religious": ((0.188, 0.133), (0.144, 0.089)),
    "political": ((0.149, 0.140), (0.186, 0.146)),
    "race": ((0.232, 0.049), (0.232, 0.052)),
}

#: Mixtral and Llama 2 70B: reported when it was announced, absent from the copies that we read.
TRUTHFULQA_NOT_CONFIRMED = (73.9, 50.2)

#: Parameters of the dense model that Mixtral was compared with.
LLAMA_2_70B = 68_976_648_192
