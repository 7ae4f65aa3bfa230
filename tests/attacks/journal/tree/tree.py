"""What the scripts beside it share: files of a tree as C2SP tlog-tiles has it."""

import glob
import struct


def part(root, folder, index):
    """The file of that folder which holds an entry; trees of more than 256,000 are not for these scripts."""
    number = f"{index // 256:03}"
    (path,) = glob.glob(f"{root}/{folder}/{number}") + glob.glob(f"{root}/{folder}/{number}.p/*")
    return path


def put(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def edit_entry(root, index):
    """Flips a bit in the middle of an entry of its bundle, and returns the entry as it is then."""
    path = part(root, "tile/entries", index)
    with open(path, "rb") as file:
        data = file.read()
    at = 0
    for _ in range(index % 256):
        at += 2 + struct.unpack(">H", data[at : at + 2])[0]
    size = struct.unpack(">H", data[at : at + 2])[0]
    entry = bytearray(data[at + 2 : at + 2 + size])
    entry[size // 2] ^= 1
    put(path, at + 2, entry)
    return bytes(entry)
