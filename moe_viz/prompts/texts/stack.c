#include <assert.h>
#include <stdio.h>

#define CAPACITY 16

struct stack {
    int items[CAPACITY];
    int size; /* the next free slot */
};

static void push(struct stack *stack, int item)
{
    assert(stack->size < CAPACITY);
    stack->items[stack->size++] = item;
}

static int pop(struct stack *stack)
{
    assert(stack->size > 0);
    return stack->items[--stack->size];
}

int main(void)
{
    struct stack numbers = {.size = 0};
    for (int i = 1; i <= 5; i++)
        push(&numbers, i * i);
    while (numbers.size > 0)
        printf("%d\n", pop(&numbers)); /* 25 16 9 4 1 */
}
