# Decisions that no policy should make; the reason of the request picks one.
package jit

decision := {"effect": "automatic"} if input.reason == "good"

decision := {"effect": "maybe"} if input.reason == "unknown effect"

decision := {"effect": "automatic", "levls": []} if input.reason == "unknown key"

decision := {} if input.reason == "empty"

decision := true if input.reason == "a flag"

decision := ["automatic"] if input.reason == "a list"

decision := "automatic" if input.reason == "a word"

decision := {"effect": "approve"} if input.reason == "nobody"

decision := {"effect": "approve", "levels": []} if input.reason == "no level"

decision := {"effect": "approve", "levels": [{"group": "ops", "count": 0}]} if input.reason == "none of ops"

decision := {"effect": "approve", "levels": [{"group": "ops", "count": 17}]} if input.reason == "too many"

decision := {"effect": "approve", "levels": [{"group": "ops", "count": 1.5}]} if input.reason == "half a person"

decision := {"effect": "approve", "levels": [{"group": "ops", "count": 1, "or": 2}]} if input.reason == "key in a level"

decision := {"effect": "automatic", "levels": [{"group": "ops", "count": 1}]} if input.reason == "automatic with levels"

decision := {"effect": "automatic", "max": "1 hour"} if input.reason == "bad cap"

decision := {"effect": "automatic", "max": 3600} if input.reason == "cap as number"

decision := {"effect": "automatic", "max": null} if input.reason == "no cap"

decision := {"effect": "deny", "max": "1h"} if input.reason == "denial with terms"

decision := {"effect": "automatic", "reason": "x"} if input.reason == "reason for nothing"

decision := {"effect": "automatic", "rule": ""} if input.reason == "nameless"

decision := {"effect": "automatic", "record": "video"} if input.reason == "unknown recording"

decision := {"effect": "automatic", "record": "full"} if input.reason == "recorded"

decision := {"effect": "automatic", "witness": "ops"} if input.reason == "watched"

decision := {"effect": "automatic", "rule": "one"} if input.reason in {"conflict", "one"}

decision := {"effect": "automatic", "rule": "two"} if input.reason in {"conflict", "two"}

# Errors, not refusals, and denials all the same.
decision := {"effect": "automatic"} if {
	input.reason == "failing built-in"
	not to_number("three") == 3
}

decision := {"effect": "automatic"} if {
	input.reason == "division by zero"
	not 1 / (count(input.role) - 1) == 1
}

digits := [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]

decision := {"effect": "automatic"} if {
	input.reason == "runaway"
	tries := [1 |
		some a in digits
		some b in digits
		some c in digits
		some d in digits
		some e in digits
		some f in digits
		some g in digits
		some h in digits
		a + b + c + d + e + f + g + h == 1000
	]
	count(tries) == 0
}
