"""One file on a disk that may lose power: what is durable, and what is under way.

The durable image is a bytearray. Operations that no sync has covered wait in their order. What may
be found after a power loss is decided sector by sector and, apart from that, for the size:

- A sector of 512 bytes is found in one of the versions that it has had since it was last durable:
  whole operations are never torn within a sector, and a later operation's sector holds what
  earlier ones had put there. An operation on several sectors may be found in some of them only.
- The size is one of those that the file has had since it was last durable. A cut of the file is
  part of its size: found with it, or not at all.
- Where the size has grown, and no version of a sector has arrived, there are zeroes or garbage.
"""

SECTOR = 512
OPPOSITE = bytes((1, 0)) + bytes(254)


class Operation:
    """kind: write (at, source), zero (at, length) or size (length). size: the file's, after it."""

    __slots__ = ("number", "kind", "at", "length", "source", "size", "is_durable")

    def __init__(self, number, kind, at, length, source, size):
        self.number, self.kind, self.at, self.length = number, kind, at, length
        self.source, self.size, self.is_durable = source, size, False

    def bytes_within(self, start, stop):
        if self.kind == "write":
            return self.source[start - self.at:stop - self.at]
        return bytes(stop - start)


def either(one, other):
    """The sectors that are in one mask or in the other: bytes of 0 and 1."""
    joined = int.from_bytes(one, "little") | int.from_bytes(other, "little")
    return joined.to_bytes(len(one), "little")


def runs(mask):
    """[start, stop) of each run of ones."""
    start = mask.find(1)
    while start >= 0:
        stop = mask.find(0, start)
        if stop < 0:
            stop = len(mask)
        yield start, stop
        start = mask.find(1, stop)


def put(image, at, source):
    if len(image) < at:
        image.extend(bytes(at - len(image)))
    image[at:at + len(source)] = source


class Choice:
    """What arrived of the operations under way: for each True, False or a mask of its sectors; the
    number of the operation whose size is found (0: the durable one); garbage: of so many bytes."""

    def __init__(self, picks, size_version, garbage=None):
        self.picks, self.size_version, self.garbage = picks, size_version, garbage


class Content:
    def __init__(self, durable=b""):
        self.durable = bytearray(durable)
        self.pending = []
        self.size = len(self.durable)

    # What the program does.

    def write(self, number, at, source):
        self.size = max(self.size, at + len(source))
        self.pending.append(Operation(number, "write", at, len(source), source, self.size))

    def zero(self, number, at, length):
        length = min(length, self.size - at)
        if length > 0:
            self.pending.append(Operation(number, "zero", at, length, None, self.size))

    def resize(self, number, size):
        if size != self.size:
            self.size = size
            self.pending.append(Operation(number, "size", 0, size, None, size))

    # What the disk promises.

    def sync(self, before, data_only=False, span=None):
        """What was done before event `before` is durable. span: only writes within (at, stop)."""
        size = len(self.durable)
        for operation in self.pending:
            if operation.number >= before:
                break
            is_shrink = operation.kind == "size" and operation.size < size
            size = operation.size
            # The shorter size is not needed to read what is there.
            if data_only and is_shrink:
                continue
            if span and not (span[0] <= operation.at and
                             operation.at + operation.length <= span[1]):
                continue
            operation.is_durable = True
        # A newer size that is durable leaves no older one to be found.
        for operation in self.pending[:self.least_size_version()]:
            operation.is_durable |= operation.kind == "size"
        folded = 0
        for operation in self.pending:
            if not operation.is_durable:
                break
            self._fold(operation)
            folded += 1
        del self.pending[:folded]

    def _fold(self, operation):
        if operation.kind != "size":
            put(self.durable, operation.at, operation.bytes_within(
                operation.at, operation.at + operation.length))
        elif operation.size < len(self.durable):
            del self.durable[operation.size:]
        else:
            put(self.durable, operation.size, b"")

    def least_size_version(self):
        """The size is at least as new as the last durable change of it."""
        least, size = 0, len(self.durable)
        for version, operation in enumerate(self.pending, 1):
            if operation.is_durable and operation.size != size:
                least = version
            size = operation.size
        return least

    # What may be found.

    def sectors_of(self, operation, last):
        """[first, stop): the sectors that an operation touches; of a cut, all from there on."""
        if operation.kind == "size":
            return min(operation.size // SECTOR, last), last
        return operation.at // SECTOR, (operation.at + operation.length - 1) // SECTOR + 1

    def find(self, choice):
        """The file's bytes after a power loss."""
        if not self.pending:
            return self.durable
        extent = max(len(self.durable), max(operation.size for operation in self.pending),
                     max(operation.at + operation.length for operation in self.pending
                         if operation.kind != "size") if self._has_bytes() else 0)
        masks, arrived = self._masks(choice, (extent + SECTOR - 1) // SECTOR)
        image = bytearray(self.durable)
        image.extend(bytes(extent - len(image)))
        if choice.garbage is not None:
            self._spoil(image, arrived, choice.garbage)
        size = len(self.durable)
        for operation, (first, mask) in zip(self.pending, masks):
            self._apply(image, operation, first, mask, operation.size < size)
            size = operation.size
        found = (self.pending[choice.size_version - 1].size if choice.size_version
                 else len(self.durable))
        del image[found:]
        return image

    def _has_bytes(self):
        return any(operation.kind != "size" for operation in self.pending)

    def _masks(self, choice, last):
        """For each operation (first sector, mask of those that hold it); all sectors that arrived.

        From the last to the first: a sector that holds a later operation holds this one, too."""
        arrived = bytearray(last)
        masks = []
        for version in range(len(self.pending), 0, -1):
            operation, pick = self.pending[version - 1], choice.picks[version - 1]
            if operation.kind == "size":
                pick = choice.size_version >= version
            first, stop = self.sectors_of(operation, last)
            if operation.is_durable or pick is True:
                mask = b"\1" * (stop - first)
            elif pick is False or operation.kind != "write":
                mask = bytes(arrived[first:stop])
            else:
                mask = either(arrived[first:stop], pick)
            # A cut needs nothing before it: it takes its bytes away whatever they were.
            if operation.kind != "size":
                arrived[first:stop] = mask
            masks.append((first, mask))
        masks.reverse()
        return masks, arrived

    @staticmethod
    def _apply(image, operation, first, mask, is_shrink):
        if operation.kind == "size":
            start, end = operation.size, len(image)
            if not is_shrink:
                return
        else:
            start, end = operation.at, operation.at + operation.length
        for begin, stop in runs(mask):
            low = max(start, (first + begin) * SECTOR)
            high = min(end, (first + stop) * SECTOR)
            if low < high:
                image[low:high] = operation.bytes_within(low, high)

    def _spoil(self, image, arrived, garbage):
        """Garbage in the sectors behind the durable end that were written, and did not arrive."""
        fresh = (len(self.durable) + SECTOR - 1) // SECTOR
        for operation in self.pending:
            if operation.kind != "write":
                continue
            first, stop = self.sectors_of(operation, len(arrived))
            first = max(first, fresh)
            for begin, end in runs(arrived[first:stop].translate(OPPOSITE)):
                low, high = (first + begin) * SECTOR, min((first + end) * SECTOR, len(image))
                image[low:high] = garbage(high - low)
