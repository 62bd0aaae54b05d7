"""The greatest common divisor, by Euclid's algorithm."""


def gcd(a: int, b: int) -> int:
    """Return the largest number that divides both a and b."""
    # Replacing the pair by (b, remainder) keeps the set of common divisors.
    while b != 0:
        a, b = b, a % b
    return abs(a)


def lcm(a: int, b: int) -> int:
    """Return the smallest positive number that both a and b divide."""
    if a == 0 or b == 0:
        return 0
    return abs(a * b) // gcd(a, b)


if __name__ == "__main__":
    for pair in [(48, 36), (17, 5), (1071, 462)]:
        print(pair, "gcd", gcd(*pair), "lcm", lcm(*pair))
