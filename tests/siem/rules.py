"""Checks what packaging/siem ships against what receivers got of a real host: rules.py RECORDS EVENTS LINES METRICS...

RECORDS  what came as format "json": the text of each message a line
EVENTS   the same log as format "ocsf"
LINES    what the host's local log has of it, as `journalctl -o json` prints it
METRICS  metrics files

Sigma rules are read and validated by pySigma, and their conditions put to each record; Wazuh's decoders and rules are
applied as its manual says (PCRE2 expressions, whose part that is used here Python's re shares); metrics are read by
prometheus_client, as OpenMetrics and as Prometheus' own format. Every rule must find what it is for, and nothing else.
Prints one line a rule; exit code 1 with a fault."""

import fnmatch
import json
import re
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus
from sigma.collection import SigmaCollection
from sigma.conditions import ConditionAND, ConditionFieldEqualsValueExpression, ConditionNOT, ConditionOR
from sigma.correlations import SigmaCorrelationRule
from sigma.plugins import InstalledSigmaPlugins
from sigma.validation import SigmaValidator

ROOT = Path(__file__).resolve().parents[2] / "packaging/siem"
faults = []


def fault(text):
    faults.append(text)
    print("FAULT", text)


def flat(value, name=""):
    """Members by their path, each a list of texts."""
    out = {}
    if isinstance(value, dict):
        for key, inner in value.items():
            out.update(flat(inner, f"{name}.{key}" if name else key))
    elif isinstance(value, list):
        # As stores of such events do it: members of each object under one name.
        for item in value:
            for path, texts in flat(item, name).items():
                out.setdefault(path, []).extend(texts)
    else:
        out[name] = [str(value)]
    return out


# What each rule is for: records of which this holds, and only these.
def alert(*codes):
    return lambda r: r["type"] == "alert" and r.get("detail", {}).get("code") in codes


def groups(record):
    return record["detail"]["groups"]


EQUAL_TO_ROOT = {"adm", "disk", "docker", "kvm", "lxd", "root", "shadow", "sudo", "wheel"}
CHANGED = "changed from outside"
MEANT = {
    "breakglass": lambda r: r["type"] == "breakglass" and r["decision"] in ("allow", "deny"),
    "refused": lambda r: r["type"] == "refused",
    "refused_flood": alert("burst"),
    "journal_changed": lambda r: alert("journal")(r)
    or r["type"] == "recovery" and r["detail"]["why"].startswith(CHANGED),
    "root_equal_group": lambda r: r["type"] in ("grant", "extend") and EQUAL_TO_ROOT & set(groups(r)),
    "end_unproven": lambda r: alert("unproven")(r) or r["type"] == "proof" and r["decision"] == "unproven",
    "escape": lambda r: r["type"] == "escape",
    "clock_set": alert("clock"),
    "agent_stopped": lambda r: r["type"] == "stop" or alert("killed")(r),
    "part_away": alert("link"),
    "receiver_behind": alert("receiver"),
}
# What a host without a clock of its own cannot bring about, and in a virtual machine tests/tests/guest.rs does: from the events
# that are shipped.
ELSEWHERE = "111540"
# Nothing that these say may be found, but for what the rules are for.
EVERY_DAY = {"start", "enrol", "policy", "request", "grant", "use", "list", "close", "extend", "end", "proof", "witness"}


def matches(condition, fields):
    if isinstance(condition, ConditionAND):
        return all(matches(arg, fields) for arg in condition.args)
    if isinstance(condition, ConditionOR):
        return any(matches(arg, fields) for arg in condition.args)
    if isinstance(condition, ConditionNOT):
        return not matches(condition.args[0], fields)
    assert isinstance(condition, ConditionFieldEqualsValueExpression), condition
    pattern = str(condition.value).lower()
    return any(fnmatch.fnmatchcase(text.lower(), pattern) for text in fields.get(condition.field, []))


def sigma(records):
    files = sorted((ROOT / "sigma").glob("*.yml"))
    rules = SigmaCollection.load_ruleset(files)
    known = InstalledSigmaPlugins.autodiscover().validators
    # Whose list of techniques comes over the network.
    chosen = [v for v in known.values() if v.__name__ not in ("ATTACKTagValidator", "D3FENDTagValidator")]
    for issue in SigmaValidator(chosen).validate_rules(iter(rules)):
        if str(issue.severity).lower().rsplit(".", 1)[-1] != "low":
            fault(f"sigma {[r.source for r in issue.rules]}: {issue}")
    seen, touched = set(), []
    for rule in rules:
        name = Path(str(rule.source.path)).stem
        if isinstance(rule, SigmaCorrelationRule):
            by = {}
            for record in records:
                if record["type"] == "refused":
                    key = tuple(record.get(field) for field in rule.group_by)
                    by[key] = by.get(key, 0) + 1
            most = max(by.values(), default=0)
            print(f"sigma {name}: {most} of one user")
            if most < rule.condition.count:
                fault(f"sigma {name} finds nothing")
            continue
        condition = rule.detection.parsed_condition[0].parsed
        found = [r for r in records if matches(condition, flat(r))]
        wanted = [r for r in records if MEANT[name](r)]
        seen.add(name)
        touched += found
        print(f"sigma {name}: {len(found)}")
        if found != wanted or not found:
            fault(f"sigma {name} finds {len(found)} records, not {len(wanted)}")
    if seen != set(MEANT):
        fault(f"sigma: rules {seen ^ set(MEANT)}")
    silent = {r["type"] for r in records if r not in touched}
    print("sigma: nothing to say of", " ".join(sorted(silent)))
    if not EVERY_DAY <= silent:
        fault(f"sigma: no ordinary {EVERY_DAY - silent}")


def decoders():
    tree = xml.fromstring(f"<root>{(ROOT / 'wazuh/jit_decoders.xml').read_text()}</root>")
    out = []
    for decoder in tree.findall("decoder"):
        if decoder.find("parent") is not None:
            regex = decoder.find("regex")
            assert regex.get("type") == "pcre2"
            out.append((re.compile(regex.text), [name.strip() for name in decoder.find("order").text.split(",")]))
    return out


def decode(line, known):
    fields = {}
    for regex, order in known:
        found = regex.search(line)
        if found:
            fields.update({name: [value] for name, value in zip(order, found.groups()) if value is not None})
    return fields


# The line of a local syslog, up to the message.
HEAD = re.compile(r"^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ jit-agent\[\d+\]: ")


def shipped():
    """The test events of wazuh/jit_events.tsv: of each the rule that it must hit, and the line."""
    lines = (ROOT / "wazuh/jit_events.tsv").read_text().splitlines()
    return [tuple(line.split("\t", 1)) for line in lines]


def fields_of(record):
    # Wazuh joins a list into one text.
    return {name: ",".join(values) for name, values in flat(record).items()}


class Wazuh:
    """Its decoders and rules: what a manager does with one event after the other."""

    def __init__(self):
        self.rules = xml.fromstring((ROOT / "wazuh/jit_rules.xml").read_text()).findall("rule")
        ids = [int(rule.get("id")) for rule in self.rules]
        assert len(ids) == len(set(ids)) and all(111500 <= i <= 111599 for i in ids), ids
        self.known = decoders()
        self.before = {}

    def decode(self, text):
        """What a message of the local log is taken apart into."""
        return {name: values[0] for name, values in decode(text, self.known).items()}

    def read(self, line):
        """The rule that knows it, and its fields."""
        if line.startswith("{"):
            fields = fields_of(json.loads(line))
            assert re.search("^jit/", fields.get("origin", "")), line
            return "111500", fields
        assert HEAD.match(line), line
        return "111501", self.decode(HEAD.sub("", line))

    def hits(self, kind, fields):
        """Of the rules that stand on the one that knows it, those which match."""
        for rule in self.rules:
            parents = rule.find("if_sid")
            tests = [(f.get("name"), f.text) for f in rule.findall("field")]
            if parents is not None and kind in parents.text.split(","):
                if all(re.search(regex, fields.get(name, "")) for name, regex in tests):
                    yield rule

    def judge(self, kind, fields):
        """The rule that it ends at: that of the highest level, and one that counts how often that was hit."""
        # All events are of one moment: each is within the time frame of the others.
        found = max(self.hits(kind, fields), key=lambda rule: int(rule.get("level")), default=None)
        number = kind if found is None else found.get("id")
        for rule in self.rules:
            if rule.findtext("if_matched_sid") == number:
                same = (rule.get("id"), fields.get(rule.findtext("same_field")))
                self.before[same] = self.before.get(same, 0) + 1
                if same[1] is not None and self.before[same] >= int(rule.get("frequency")):
                    self.before[same] = 0
                    return rule.get("id")
        return number


def wazuh(records, lines):
    meant = {
        111510: ["breakglass"], 111511: ["refused"], 111513: ["refused_flood"],
        111520: ["journal_changed"], 111521: ["journal_changed"], 111530: ["root_equal_group"],
        111531: ["end_unproven"], 111532: ["end_unproven"], 111533: ["escape"], 111540: ["clock_set"],
        111541: ["agent_stopped"], 111542: ["agent_stopped", "part_away", "receiver_behind"],
    }
    manager = Wazuh()
    events = [("111500", fields_of(r), r) for r in records]
    for line, record in lines:
        got = manager.decode(line)
        events.append(("111501", got, record))
        for name in ("type", "login", "decision", "grant"):
            have, want = got.get(name), record.get(name)
            if isinstance(want, str) and have != want and have != json.dumps(want):
                fault(f"wazuh: {name} of {line!r} is decoded as {have!r}")
            if want is None and have is not None:
                fault(f"wazuh: {name} of {line!r} is invented: {have!r}")
        if "groups" in record.get("detail", {}) and got.get("detail.groups") != " ".join(groups(record)):
            fault(f"wazuh: the groups of {line!r} are decoded as {got.get('detail.groups')!r}")
    found = {int(rule.get("id")): 0 for rule in manager.rules}
    for kind, fields, record in events:
        if kind == "111500" and not re.search("^jit/", fields.get("origin", "")):
            fault(f"wazuh 111500 does not know {record}")
        found[int(kind)] += 1
        for rule in manager.hits(kind, fields):
            number = int(rule.get("id"))
            found[number] += 1
            if not any(MEANT[name](record) for name in meant[number]):
                fault(f"wazuh {number} finds {record}")
        if manager.judge(kind, fields) == "111512":
            found[111512] += 1
    for number, count in found.items():
        print(f"wazuh {number}: {count}")
        if not count:
            fault(f"wazuh {number} finds nothing")


def test_events():
    """Each that is shipped hits its rule; each rule has one, as JSON and as a line of the local syslog."""
    manager, told = Wazuh(), set()
    for number, line in shipped():
        kind, fields = manager.read(line)
        got = manager.judge(kind, fields)
        told.add((number, kind))
        if got != number:
            fault(f"wazuh: the test event of {number} hits {got}: {line}")
    print(f"wazuh: {len(told)} kinds of test events")
    for rule in manager.rules:
        number = rule.get("id")
        either = [kind for kind in ("111500", "111501") if (number, kind) in told]
        wanted = 1 if number in ("111500", "111501", "111512") else 2
        if len(either) != wanted:
            fault(f"wazuh: the test events of {number} are of {either}")


def metrics(path):
    text = Path(path).read_text()
    families = {family.name: family for family in openmetrics(text)}
    list(prometheus(text))
    for name in ("jit_records", "jit_alerts", "jit_grants", "jit_journal_writable", "jit_agent_seen_seconds"):
        if name not in families:
            fault(f"metrics: no {name}")
    for record in ("alice", "bob"):
        if record in text:
            fault(f"metrics: names {record}")
    print(f"metrics: {len(families)} families")


def lacks(event):
    """What the schema requires of this event and it does not have."""
    schema = json.loads((Path(__file__).parent / "ocsf-1.8.0.json").read_text())
    rule = schema["classes"].get(str(event["class_uid"]), {})
    lack = [name for name in schema["every"] if name != "metadata" and not isinstance(event.get(name), int)]
    lack += [name for name in ("activity_id", "status_id") if event.get(name) not in rule.get(name, [])]
    if event["severity_id"] not in schema["severity_id"] or event["category_uid"] != rule.get("category_uid"):
        lack.append("severity or category")
    objects = [("members", event, rule)]
    for path, of in schema["objects"].items():
        value = event
        for name in path.split("."):
            value = value.get(name, {})
        objects += [(path, value, of)] if value else []
    for path, value, of in objects:
        one = of.get("one_of", [])
        if not set(of.get("required", [])) <= set(value) or one and not set(one) & set(value):
            lack.append(path)
    return lack


def events(path, records):
    """The same log, as events of OCSF."""
    got = {}
    for event in map(json.loads, open(path)):
        if event.get("type") == "checkpoint":
            continue
        got[event["metadata"]["sequence"]] = json.loads(event["raw_data"])
        for lack in lacks(event):
            fault(f"ocsf: {lack} of {event}")
        if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
            fault(f"ocsf: the type of {event}")
        if event["metadata"]["uid"] != f"{records[0]['origin']}#{event['metadata']['sequence']}":
            fault(f"ocsf: the uid of {event}")
    said = {r["index"]: {k: v for k, v in r.items() if k not in ("origin", "index")} for r in records}
    differ = [index for index in said.keys() | got.keys() if said.get(index) != got.get(index)]
    print(f"ocsf: {len(got)} events")
    if differ:
        fault(f"ocsf: records {differ} are others than as json")


def local(path, records):
    """The lines of the local log that are of a record, with it."""
    by = {str(r["index"]): r for r in records}
    lines = [json.loads(line) for line in open(path)]
    told = [(line["MESSAGE"], by[line["JIT_INDEX"]]) for line in lines if line.get("JIT_INDEX") in by]
    print(f"local: {len(told)} lines of records")
    if {record["index"] for _, record in told} != {int(index) for index in by}:
        fault("local: not a line for each record")
    return told


def main():
    # After a lost connection some come twice.
    records = {r["index"]: r for r in map(json.loads, open(sys.argv[1])) if r["type"] != "checkpoint"}
    records = [records[index] for index in sorted(records)]
    events(sys.argv[2], records)
    made = [json.loads(line) for number, line in shipped() if number == ELSEWHERE and line.startswith("{")]
    sigma(records + made)
    wazuh(records + made, local(sys.argv[3], records))
    test_events()
    for path in sys.argv[4:]:
        metrics(path)
    sys.exit(1 if faults else 0)


main()
