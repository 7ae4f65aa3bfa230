"""What the attack scripts share: the journal's files as docs/spec/journal.md describes them, read and written without a line
of jit's own code, and Ed25519 (RFC 8032) for those that forge signatures."""

import base64
import hashlib
import json
import os
import struct
import subprocess

DIR = "/var/log/jit/journal"
HEAD = "/var/lib/jit/journal.head"
HOST_KEY = "/var/lib/jit/host.key"
HEADER, ENTRY, SEAL = 1, 2, 3
ZERO = bytes(32)


def sha256(data):
    return hashlib.sha256(data).digest()


# What must be named --------------------------------------------------------------------------------------------------


def expect(kind, index=None):
    """Says what `jitctl log verify` must name, and for which entry."""
    print(kind if index is None else f"{kind} {index}")


# Frames and segments -------------------------------------------------------------------------------------------------


class Frame:
    def __init__(self, kind, index, payload, chain=None, at=None):
        self.kind, self.index, self.payload, self.chain, self.at = kind, index, payload, chain, at

    def head(self):
        return b"\xffJ" + struct.pack(">BBIQ", self.kind, 0, len(self.payload), self.index)

    def link(self, before):
        """Its chain value behind a frame with the chain value `before`."""
        return sha256(before + self.head() + leaf(self.payload))

    def bytes(self):
        return self.head() + self.payload + self.chain

    def json(self):
        return json.loads(self.payload)

    def put(self, value):
        self.payload = json.dumps(value, separators=(",", ":")).encode()


def names():
    return sorted(name for name in os.listdir(DIR) if name.endswith(".seg"))


def path(name):
    return os.path.join(DIR, name)


def read(name):
    with open(path(name), "rb") as file:
        return file.read()


def frames(data):
    """The frames of a segment's bytes; what a crash left behind them is left out."""
    out, at = [], 0
    while data[at : at + 2] == b"\xffJ" and len(data) >= at + 16:
        kind, _, length, index = struct.unpack(">BBIQ", data[at + 2 : at + 16])
        end = at + 16 + length
        if len(data) < end + 32:
            break
        out.append(Frame(kind, index, data[at + 16 : end], data[end : end + 32], at))
        at = end + 32
    return out


def unlock():
    subprocess.run(["chattr", "-f", "-i", "-a"] + [path(name) for name in names()], check=True)


def lock():
    """As the journal leaves them: the last one may grow, the others nothing."""
    all_names = [name for name in names() if os.path.isfile(path(name)) and not os.path.islink(path(name))]
    for name in all_names:
        flag = "+a" if name == all_names[-1] else "+i"
        subprocess.run(["chattr", flag, path(name)], check=True)


def write(name, data):
    """Puts other bytes in a segment's place, and every flag back."""
    unlock()
    with open(path(name), "wb") as file:
        file.write(data)
    lock()


class Segment:
    def __init__(self, name):
        self.name, self.data = name, read(name)
        self.frames = frames(self.data)
        self.tail = self.data[sum(len(f.bytes()) for f in self.frames) :]

    def bytes(self):
        return b"".join(f.bytes() for f in self.frames) + self.tail

    def entries(self):
        return [f for f in self.frames if f.kind == ENTRY]

    def seals(self):
        return [f for f in self.frames if f.kind == SEAL]


def log():
    return [Segment(name) for name in names()]


def target(segment):
    """The record that somebody wants gone: a use in this segment that is neither its first nor its last entry."""
    entries = segment.entries()[1:-1]
    return next(f for f in entries if f.json()["type"] == "use")


def place(segment, frame):
    """Where a frame's bytes stand."""
    return slice(frame.at, frame.at + len(frame.bytes()))


def seal_over(segment, frame):
    """The first seal behind an entry."""
    return next(f for f in segment.frames if f.kind == SEAL and f.at > frame.at)


# The head file -------------------------------------------------------------------------------------------------------


def slot(count, chain):
    text = b"JITHEAD1" + struct.pack(">Q", count) + chain
    return text + sha256(ZERO + text)[:16]


def slots():
    with open(HEAD, "rb") as file:
        data = file.read()
    return [data[:64], data[64:128]]


def set_head(data):
    with open(HEAD, "wb") as file:
        file.write(data)


# Making a log anew ---------------------------------------------------------------------------------------------------


def chain_anew(segments):
    """Computes every chain value anew, over all segments, and what headers say of the segment before; then the head file.
    What a patient attacker without any key can do."""
    before, previous, count = ZERO, None, 0
    for segment in segments:
        for frame in segment.frames:
            if frame.kind == HEADER:
                header = frame.json()
                if previous is not None:
                    length = len(previous.bytes()) - len(previous.tail)
                    header["prev"].update(length=length, next=count, chain=before.hex())
                    for torn in header.get("torn", []):
                        torn["offset"] = length
                    frame.put(header)
            frame.chain = frame.link(before)
            if frame.kind != SEAL:
                before = frame.chain
            if frame.kind == ENTRY:
                count = frame.index + 1
        previous = segment
    return count, before


def save(segments, head=True):
    count, chain = chain_anew(segments)
    unlock()
    for segment in segments:
        with open(path(segment.name), "wb") as file:
            file.write(segment.bytes())
    lock()
    if head:
        set_head(slot(count, chain) * 2)
    return count


def leaf(record):
    if len(record) > 65535:
        text = f'{{"length":{len(record)},"sha256":"{sha256(record).hex()}"}}'
        record = text.encode()
    return sha256(b"\0" + record)


class Tree:
    """RFC 6962: all whole subtrees, the largest first."""

    def __init__(self):
        self.size, self.nodes = 0, []

    def push(self, node):
        size = self.size
        while size & 1:
            node = sha256(b"\1" + self.nodes.pop() + node)
            size >>= 1
        self.nodes.append(node)
        self.size += 1

    def root(self):
        out = self.nodes[-1]
        for left in reversed(self.nodes[:-1]):
            out = sha256(b"\1" + left + out)
        return out


def b64(data):
    return base64.b64encode(data).decode()


def seal_anew(segments, start, sign, rename=True):
    """Makes the seals of a log anew from entry `start` on: roots over the entries as they are now; `sign(text, seal)`
    signs the three lines of a checkpoint."""
    tree = Tree()
    for segment in segments:
        for frame in segment.frames:
            if frame.kind == HEADER:
                header = frame.json()
                header["sealed"]["tree"] = [b64(node) for node in tree.nodes]
                if rename:
                    frame.put(header)
                origin = header["sealed"]["origin"]
            elif frame.kind == ENTRY:
                tree.push(leaf(frame.payload))
            elif frame.index > start:
                seal = frame.json()
                seal["root"] = b64(tree.root())
                text = f"{origin}\n{frame.index}\n{seal['root']}\n"
                seal["sig"] = b64(sign(text.encode(), seal))
                frame.put({k: seal[k] for k in ("n", "root", "epoch", "sig", "next") if seal.get(k) is not None})


class Keys:
    """What an attacker signs with who takes every key in a log for his own: the host's, and an epoch key for each."""

    def __init__(self, host_seed):
        self.host, self.epochs = host_seed, {}

    def epoch(self, number):
        return self.epochs.setdefault(number, sha256(b"mine %d" % number))

    def rename(self, segments, start=0, host=True):
        """Names his keys in records, seals and headers, from entry `start` on."""
        for segment in segments:
            for frame in segment.frames:
                if frame.kind == HEADER:
                    header = frame.json()
                    if host:
                        header["sealed"]["host"] = b64(public(self.host))
                    if "signs" in header["sealed"] and frame.index > start:
                        number = header["sealed"]["signs"]["epoch"]
                        header["sealed"]["signs"]["key"] = b64(public(self.epoch(number)))
                    frame.put(header)
                elif frame.kind == SEAL and frame.index > start:
                    seal = frame.json()
                    if "next" in seal:
                        old = seal["next"]["key"]
                        seal["next"]["key"] = b64(public(self.epoch(seal["next"]["epoch"])))
                        frame.put(seal)
                        entry = next(f for f in segment.frames if f.kind == ENTRY and f.index == frame.index - 1)
                        entry.payload = entry.payload.replace(old.encode(), seal["next"]["key"].encode())

    def sign(self, text, seal):
        return sign(self.host if seal.get("epoch") is None else self.epoch(seal["epoch"]), text)


def host_seed():
    """The host's private key: root can read it."""
    with open(HOST_KEY, "rb") as file:
        data = file.read()
    at = data.index(b"\x04\x22\x04\x20") + 4
    return data[at : at + 32]


def edit(frame, **members):
    """Changes members of a record; the key that it names stays its end."""
    record = frame.json()
    key = {name: record.pop(name) for name in ("epoch", "key") if name in record}
    record.update(members)
    frame.put({**record, **key})


# Ed25519 -------------------------------------------------------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def add(a, b):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    e, f = (y1 - x1) * (y2 - x2), (y1 + x1) * (y2 + x2)
    g, h = 2 * t1 * t2 * D, 2 * z1 * z2
    u, v, w, s = f - e, h - g, h + g, f + e
    return u * v % P, w * s % P, v * w % P, u * s % P


BASE_Y = 4 * pow(5, -1, P) % P
BASE_X = pow((BASE_Y**2 - 1) * pow(D * BASE_Y**2 + 1, -1, P), (P + 3) // 8, P)
if (BASE_X**2 * (D * BASE_Y**2 + 1) - (BASE_Y**2 - 1)) % P:
    BASE_X = BASE_X * pow(2, (P - 1) // 4, P) % P
BASE_X = P - BASE_X if BASE_X & 1 else BASE_X
BASE = BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P


def times(n, point=BASE):
    out = 0, 1, 1, 0
    while n:
        if n & 1:
            out = add(out, point)
        point, n = add(point, point), n >> 1
    return out


def pack(point):
    x, y, z, _ = point
    z = pow(z, -1, P)
    return (y * z % P | (x * z % P & 1) << 255).to_bytes(32, "little")


def expand(seed):
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    return scalar, digest[32:]


def public(seed):
    return pack(times(expand(seed)[0]))


def sign(seed, text):
    scalar, prefix = expand(seed)

    def number(data):
        return int.from_bytes(hashlib.sha512(data).digest(), "little") % L

    r = number(prefix + text)
    point = pack(times(r))
    s = (r + number(point + pack(times(scalar)) + text) * scalar) % L
    return point + s.to_bytes(32, "little")


def pkcs8(seed):
    """A private key as the host keeps its own."""
    return bytes.fromhex("3051020101300506032b657004220420") + seed + bytes.fromhex("812100") + public(seed)
