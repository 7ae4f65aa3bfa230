package jit_test

import data.jit

prod := {"id": "h", "name": "web1", "labels": {"env": "prod"}}

ask(login, host, role, ticket) := {
	"requester": {"login": login, "uid": 1000},
	"host": host,
	"role": role,
	"duration": 900,
	"reason": "x",
	"ticket": ticket,
	"at": 1763632800,
	"details": [{"commands": "ALL", "runas": "ALL"}],
	"time": {"date": "2025-11-20", "weekday": "thu", "hour": 10, "minute": 0},
	"on_call": {"ops": ["olga"]},
}

test_nothing_is_given_without_a_ticket if {
	jit.decision.effect == "deny" with input as ask("alice", prod, "admin", "none")
}

test_whoever_is_on_call_waits_for_nobody if {
	jit.decision.rule == "on call" with input as ask("olga", prod, "admin", "OPS-1")
}

test_others_are_approved_by_operations if {
	jit.decision.levels == [{"group": "ops", "count": 1}] with input as ask("alice", prod, "admin", "OPS-1")
}

test_contractors_get_no_root_in_production if {
	jit.decision.rule == "contractors" with input as ask("ext-bob", prod, "admin", "OPS-1")
}
