# What the rules of this estate talk about.
package estate

production if input.host.labels.env == "prod"

contractor if startswith(input.requester.login, "ext-")

on_call if input.requester.login in input.on_call.ops

has_ticket if regex.match(`^OPS-[0-9]{1,6}$`, input.ticket)

office_hours if {
	input.time.weekday in {"mon", "tue", "wed", "thu", "fri"}
	input.time.hour >= 8
	input.time.hour < 17
}

# A shell as root, or everything as anyone.
root_equal if {
	some detail in input.details
	detail.commands == "ALL"
	detail.runas == "ALL"
}
