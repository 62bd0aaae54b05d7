// A stack, and what it is good for: checking that brackets match.
class Stack {
  #items = [];
  push(item) { this.#items.push(item); }
  pop() { return this.#items.pop(); } // undefined when empty
  get isEmpty() { return this.#items.length === 0; }
}

const partner = { ")": "(", "]": "[", "}": "{" };

function balanced(text) {
  const open = new Stack();
  for (const character of text) {
    if ("([{".includes(character)) {
      open.push(character);
    } else if (character in partner && open.pop() !== partner[character]) {
      return false; // closes something else, or nothing at all
    }
  }
  return open.isEmpty;
}

console.log(balanced("f(a[0], {b: 1})")); // true
console.log(balanced("(]")); // false
