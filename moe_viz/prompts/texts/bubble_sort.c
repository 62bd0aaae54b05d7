#include <stdbool.h>
#include <stdio.h>

/* Sorts in place: large values rise to the end like bubbles in water. */
static void bubble_sort(int *values, int count)
{
    bool swapped = true;

    for (int end = count - 1; swapped && end > 0; end--) {
        swapped = false;
        for (int i = 0; i < end; i++) {
            if (values[i] > values[i + 1]) {
                int saved = values[i];
                values[i] = values[i + 1];
                values[i + 1] = saved;
                swapped = true;
            }
        }
    }
}

int main(void)
{
    int values[] = {64, 34, 25, 12, 22, 11, 90};

    bubble_sort(values, 7);
    for (int i = 0; i < 7; i++)
        printf("%d%c", values[i], i < 6 ? ' ' : '\n');
}
