"""All prime numbers up to a limit, by the sieve of Eratosthenes."""


def primes(limit):
    """Return the primes that are not greater than limit, in order."""
    if limit < 2:
        return []
    is_prime = [True] * (limit + 1)
    is_prime[0] = is_prime[1] = False
    number = 2
    while number * number <= limit:
        if is_prime[number]:
            # Smaller multiples were crossed out by smaller primes.
            for multiple in range(number * number, limit + 1, number):
                is_prime[multiple] = False
        number += 1
    return [n for n, prime in enumerate(is_prime) if prime]


print(primes(50))
print("There are", len(primes(1000)), "primes below a thousand.")
