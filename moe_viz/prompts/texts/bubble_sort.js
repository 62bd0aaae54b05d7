// Bubble sort, with a count of the swaps it needed.
function bubbleSort(input) {
  const items = [...input]; // leave the caller's array alone
  let swaps = 0;

  for (let end = items.length - 1; end > 0; end--) {
    const before = swaps;
    for (let i = 0; i < end; i++) {
      if (items[i] > items[i + 1]) {
        [items[i], items[i + 1]] = [items[i + 1], items[i]];
        swaps++;
      }
    }
    if (swaps === before) break; // a quiet pass means the array is sorted
  }
  return { items, swaps };
}

console.log(bubbleSort([5, 1, 4, 2, 8])); // 4 swaps
console.log(bubbleSort([1, 2, 3])); // none
