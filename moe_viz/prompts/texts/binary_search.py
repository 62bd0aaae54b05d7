"""Find a value in a sorted list by halving the range that is left."""


def binary_search(items, target):
    """Return the index of target in items, or -1 if it is not there."""
    low, high = 0, len(items) - 1
    while low <= high:
        middle = (low + high) // 2
        if items[middle] == target:
            return middle
        if items[middle] < target:
            low = middle + 1   # the target can only be on the right
        else:
            high = middle - 1  # the target can only be on the left
    return -1


years = [1776, 1789, 1848, 1914, 1945, 1969, 1989]
assert binary_search(years, 1945) == 4
assert binary_search(years, 1900) == -1
assert binary_search([], 1) == -1
print("1969 is at position", binary_search(years, 1969))
