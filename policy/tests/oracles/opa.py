"""What stock OPA decides: opa.py LIBRARY, the policies and inputs as JSON on standard input, the answers on standard output."""

import ctypes
import json
import sys

library = ctypes.CDLL(sys.argv[1])
library.OpaNew.restype = ctypes.c_uint64
for name in ("OpaAddPolicy", "OpaEvalQuery"):
    getattr(library, name).restype = ctypes.c_void_p


def call(function, engine, *rest):
    answer = json.loads(ctypes.string_at(function(ctypes.c_uint64(engine), *rest)))
    return answer if "error" in answer else answer["result"]


asked = json.load(sys.stdin)


def value(engine, rule, document):
    rows = call(library.OpaEvalQuery, engine, rule.encode(), json.dumps(document).encode(), 0, 0)
    # No row: undefined. An error stays an object of its own.
    return rows[0]["expressions"][0]["value"] if isinstance(rows, list) and rows else rows or None


engines = {}
for policy, files in asked["policies"].items():
    engines[policy] = library.OpaNew()
    for path, text in files.items():
        loaded = call(library.OpaAddPolicy, engines[policy], path.encode(), text.encode())
        assert loaded is True, (path, loaded)
answers = [value(engines[policy], "data.jit.decision", document) for policy, document in asked["asks"]]
tests = {name: value(engines["estate"], f"data.jit_test.{name}", {}) for name in asked["tests"]}
json.dump({"answers": answers, "tests": tests}, sys.stdout)
