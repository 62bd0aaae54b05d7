#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>

/* Counts the words in a string: runs of characters that are not spaces. */
static size_t word_count(const char *text)
{
    size_t words = 0;
    bool inside = false;

    for (; *text != '\0'; text++) {
        if (isspace((unsigned char)*text)) {
            inside = false;
        } else if (!inside) {
            inside = true; /* the first letter of a new word */
            words++;
        }
    }
    return words;
}

int main(void)
{
    const char *line = "  the quick brown fox\tjumps\nover the lazy dog ";

    printf("%zu words\n", word_count(line));
    return 0;
}
