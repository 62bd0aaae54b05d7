// An endless supply of primes, found by trial division.
function* primes() {
  const known = [];
  for (let candidate = 2; ; candidate++) {
    // A composite number has a prime factor no larger than its square root.
    let isPrime = true;
    for (const prime of known) {
      if (prime * prime > candidate) break;
      if (candidate % prime === 0) {
        isPrime = false;
        break;
      }
    }
    if (isPrime) {
      known.push(candidate);
      yield candidate;
    }
  }
}

for (const prime of primes()) {
  if (prime > 50) break;
  console.log(prime);
}
