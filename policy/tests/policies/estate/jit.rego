# One estate: who gets what where, and whose word it takes.
package jit

import data.estate

# Everything else is denied, with a sentence for the user.
default decision := {"effect": "deny", "reason": "Nothing gives this role on this host."}

decision := {"effect": "deny", "rule": "frozen", "reason": "The host is frozen."} if {
	input.host.labels.freeze == "yes"
} else := {"effect": "deny", "rule": "contractors", "reason": "Contractors get no root in production."} if {
	estate.contractor
	estate.production
	estate.root_equal
} else := {"effect": "automatic", "rule": "reading"} if {
	input.role == "logs"
} else := {"effect": "automatic", "rule": "restart", "max": "15m"} if {
	input.role == "restart-web"
	input.host.labels.service == "web"
} else := {"effect": "automatic", "rule": "test hosts"} if {
	input.host.labels.env == "test"
} else := {"effect": "automatic", "rule": "on call", "max": "1h"} if {
	estate.production
	estate.on_call
	estate.has_ticket
} else := {"effect": "approve", "rule": "databases", "levels": [{"group": "dba", "count": 1}], "max": "30m"} if {
	input.role == "db"
	estate.has_ticket
} else := {"effect": "approve", "rule": "office hours", "levels": [{"group": "ops", "count": 1}]} if {
	estate.production
	estate.has_ticket
	estate.office_hours
} else := {
	"effect": "approve",
	"rule": "at night",
	"levels": [{"group": "ops", "count": 2}, {"group": "security", "count": 1}],
	"max": "2h",
} if {
	estate.production
	estate.has_ticket
}
