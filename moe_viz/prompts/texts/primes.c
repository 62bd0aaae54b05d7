#include <stdbool.h>
#include <stdio.h>

#define LIMIT 100

int main(void)
{
    bool composite[LIMIT + 1] = {false};
    int found = 0;

    for (int n = 2; n <= LIMIT; n++) {
        if (composite[n])
            continue;
        printf("%d ", n);
        found++;
        /* Cross out every multiple of the prime we have just met. */
        for (int multiple = n * n; multiple <= LIMIT; multiple += n)
            composite[multiple] = true;
    }
    printf("\n%d primes up to %d\n", found, LIMIT);
    return 0;
}
