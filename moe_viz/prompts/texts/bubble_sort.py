"""Bubble sort: swap neighbours that are in the wrong order until none are."""


def bubble_sort(items):
    """Return a sorted copy of items."""
    result = list(items)
    end = len(result)
    swapped = True
    while swapped:
        swapped = False
        end -= 1
        for i in range(end):
            if result[i] > result[i + 1]:
                result[i], result[i + 1] = result[i + 1], result[i]
                swapped = True
        # The largest value of this pass has now reached its place.
    return result


if __name__ == "__main__":
    print(bubble_sort([5, 1, 4, 2, 8]))
    print(bubble_sort(["pear", "apple", "fig", "cherry"]))
    assert bubble_sort([]) == []
