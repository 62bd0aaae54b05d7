#include <stdio.h>

/* Returns the index of target in the sorted array, or -1. */
static int binary_search(const int *values, int count, int target)
{
    int low = 0;
    int high = count - 1;

    while (low <= high) {
        /* low + high could overflow; this form cannot. */
        int middle = low + (high - low) / 2;

        if (values[middle] == target)
            return middle;
        if (values[middle] < target)
            low = middle + 1;
        else
            high = middle - 1;
    }
    return -1;
}

int main(void)
{
    const int primes[] = {2, 3, 5, 7, 11, 13, 17, 19};

    printf("13 is at index %d\n", binary_search(primes, 8, 13));
    printf("14 is at index %d\n", binary_search(primes, 8, 14));
    return 0;
}
