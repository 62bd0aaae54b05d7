// Count the words of a text and list the most frequent ones first.
function wordCount(text) {
  const counts = new Map();
  // \p{L} matches a letter of any alphabet, so "été" is one word.
  for (const word of text.toLowerCase().match(/\p{L}+/gu) ?? []) {
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return counts;
}

function mostFrequent(counts, limit) {
  return [...counts]
    .sort(([a, m], [b, n]) => n - m || a.localeCompare(b))
    .slice(0, limit);
}

const text = "To be, or not to be: that is the question.";
for (const [word, count] of mostFrequent(wordCount(text), 3)) {
  console.log(`${word}: ${count}`);
}
