#include <stdio.h>

/* Euclid's algorithm: the pair (b, a mod b) has the same common
   divisors as (a, b), and it shrinks until b reaches zero. */
static unsigned gcd(unsigned a, unsigned b)
{
    while (b != 0) {
        unsigned remainder = a % b;
        a = b;
        b = remainder;
    }
    return a;
}

int main(void)
{
    unsigned pairs[][2] = {{48, 36}, {17, 5}, {1071, 462}};
    size_t count = sizeof pairs / sizeof pairs[0];

    for (size_t i = 0; i < count; i++) {
        unsigned a = pairs[i][0], b = pairs[i][1];
        printf("gcd(%u, %u) = %u\n", a, b, gcd(a, b));
    }
    return 0;
}
