"""Count how often each word occurs in a text."""

import re
from collections import Counter

TEXT = """
The river is wide and the river is slow. In summer the children swim
across it; in winter the river freezes and they walk.
"""


def word_count(text):
    """Return a Counter of the words in text, ignoring upper and lower case."""
    # A word is a run of letters, perhaps with an apostrophe inside.
    words = re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower())
    return Counter(words)


counts = word_count(TEXT)
for word, count in counts.most_common(5):
    print(f"{word:<10}{count:>4}")
print(sum(counts.values()), "words,", len(counts), "of them different")
