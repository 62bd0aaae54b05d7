// Binary search in a sorted array; `compare` works as in Array.prototype.sort.
function binarySearch(items, target, compare = (a, b) => a - b) {
  let low = 0;
  let high = items.length - 1;

  while (low <= high) {
    const middle = Math.floor((low + high) / 2);
    const order = compare(items[middle], target);
    if (order === 0) return middle;
    if (order < 0) low = middle + 1;
    else high = middle - 1;
  }
  return -1; // nothing left to look at
}

const temperatures = [-8, -3, 0, 4, 9, 15, 22];
console.log(binarySearch(temperatures, 9)); // 4
console.log(binarySearch(temperatures, 10)); // -1

const rivers = ["Danube", "Loire", "Po", "Rhine", "Tagus", "Thames"];
const byName = (a, b) => a.localeCompare(b);
console.log(binarySearch(rivers, "Rhine", byName)); // 3
