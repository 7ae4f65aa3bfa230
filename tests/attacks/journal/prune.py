"""What the scripts share that forge the giving up of old entries as root can, who reads the host's key: an entry that says so, sealed
as after an opening, a new segment whose header names it, and the oldest segment gone."""

import os

from jitlog import ENTRY, HEADER, SEAL, Frame, Keys, Segment, b64, host_seed, lock, log, path, public, save, seal_anew, unlock


def forge(time):
    """Gives up the first segment by an entry of this time."""
    segments, keys = log(), Keys(host_seed())
    last = segments[-1]
    seal = last.seals()[-1]
    epoch = max(s.json()["next"]["epoch"] for seg in segments for s in seg.seals() if "next" in s.json()) + 1
    named = {"epoch": epoch, "key": b64(public(keys.epoch(epoch)))}
    first = segments[1].frames[0].index
    entry, made = Frame(ENTRY, seal.index, b""), Frame(SEAL, seal.index + 1, b"")
    entry.put({"time": time, "type": "prune", "detail": {"first": first, "keep_days": 30}, **named})
    made.put({"n": seal.json()["n"] + 1, "root": "", "sig": "", "next": named})
    last.frames += [entry, made]
    generation = int(last.name.split(".")[1]) + 1
    name = f"{seal.index + 1:020}.{generation}.seg"
    header = last.frames[0].json()
    header.update(file=name, prev={"file": last.name, "length": 0, "next": 0, "chain": ""}, torn=[], time=time)
    header["begins"] = {"first": first, "entry": entry.index}
    header["sealed"].update(n=made.json()["n"] + 1, epochs=epoch, signs=named)
    begin = Frame(HEADER, seal.index + 1, b"")
    begin.put(header)
    open(path(name), "wb").close()
    new = Segment(name)
    new.frames = [begin]
    segments.append(new)
    seal_anew(segments, entry.index, keys.sign)
    save(segments)
    unlock()
    os.remove(path(segments[0].name))
    lock()
