"""A stack: the last item that went in is the first to come out."""


class Stack:
    """Items piled on top of each other."""

    def __init__(self):
        self._items = []

    def push(self, item):
        self._items.append(item)

    def pop(self):
        if not self._items:
            raise IndexError("pop from an empty stack")
        return self._items.pop()

    def __len__(self):
        return len(self._items)


plates = Stack()
for colour in ("red", "green", "blue"):
    plates.push(colour)
while len(plates) > 0:
    print("take the", plates.pop(), "plate")  # blue, green, red
