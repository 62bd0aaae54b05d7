// The greatest common divisor of two integers, by Euclid's algorithm.
function gcd(a, b) {
  if (!Number.isInteger(a) || !Number.isInteger(b)) {
    throw new TypeError("gcd needs two integers");
  }
  // The remainder gets smaller on every turn, so the loop must end.
  while (b !== 0) {
    [a, b] = [b, a % b];
  }
  return Math.abs(a);
}

// Dividing both parts by their gcd brings a fraction to lowest terms.
function simplify(numerator, denominator) {
  const divisor = gcd(numerator, denominator);
  return `${numerator / divisor}/${denominator / divisor}`;
}

for (const [a, b] of [[48, 36], [17, 5], [1071, 462]]) {
  console.log(`gcd(${a}, ${b}) = ${gcd(a, b)}, ${a}/${b} = ${simplify(a, b)}`);
}
