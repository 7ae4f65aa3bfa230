//! Grants and states as text and as JSON.

use crate::failure::SCHEMA_VERSION;
use crate::output::{Line, Style};
use serde_json::{Value, json};
use wire::cli::{Grant, Health, Level, Part, Pending, Status};

/// RFC 3339 in UTC.
pub fn time(unix: u64) -> String {
    i64::try_from(unix)
        .ok()
        .and_then(|s| jiff::Timestamp::from_second(s).ok())
        .map_or_else(|| format!("@{unix}"), |t| t.to_string())
}

/// `1h 2m 3s`; for people.
pub fn seconds(total: u64) -> String {
    let (h, m, s) = (total / 3600, total / 60 % 60, total % 60);
    match (h, m) {
        (0, 0) => format!("{s}s"),
        (0, _) => format!("{m}m {s}s"),
        _ => format!("{h}h {m}m {s}s"),
    }
}

/// A grant as in `status --json`.
pub fn grant_json(grant: &Grant) -> Value {
    json!({
        "id": grant.id,
        "role": grant.role,
        "doors": grant.doors,
        "groups": grant.groups,
        "commands": grant.commands,
        "seconds_left": grant.seconds_left,
        "ends_at": time(grant.ends_at),
        "reason": grant.reason,
        "ticket": grant.ticket,
    })
}

fn is_all(list: &[String]) -> bool {
    matches!(list, [one] if one == "ALL")
}

/// What one may do with it, in one line.
pub fn scope(grant: &Grant) -> String {
    let mut parts = Vec::new();
    if !grant.doors.is_empty() {
        let commands = if is_all(&grant.commands) {
            "any command".to_owned()
        } else if grant.commands.is_empty() {
            "no command".to_owned()
        } else {
            grant.commands.join("; ")
        };
        let whom = if is_all(&grant.runas) {
            "any user".to_owned()
        } else {
            grant.runas.join(", ")
        };
        parts.push(format!("{}: {commands} as {whom}", grant.doors.join(", ")));
    }
    if !grant.groups.is_empty() {
        parts.push(format!("groups {}", grant.groups.join(", ")));
    }
    if parts.is_empty() {
        "nothing".to_owned()
    } else {
        parts.join("; ")
    }
}

/// A grant of some lines; `whose` when grants of several people are shown together.
pub fn grant_lines(grant: &Grant, whose: bool) -> Vec<Line> {
    let mut head = Line::new("  ").styled(Style::Strong, &grant.id);
    if whose {
        head = head.text(format!("  {} (uid {})", grant.login, grant.uid));
    }
    let mut reason = Line::new("    reason  ").text(&grant.reason);
    if let Some(ticket) = &grant.ticket {
        reason = reason.text(" [").text(ticket).text("]");
    }
    vec![
        head.text("  ")
            .text(&grant.role)
            .text("  ")
            .styled(Style::Good, format!("{} left", seconds(grant.seconds_left)))
            .text(format!(", ends {}", time(grant.ends_at))),
        Line::new("    scope   ").text(scope(grant)),
        reason,
    ]
}

/// `status --json`. The shape is frozen; with `all`, each entry also says whose it is.
pub fn status_json(status: &Status, all: bool) -> Value {
    let with_owner = |mut value: Value, login: &str, uid: Option<u32>| {
        if all {
            value["login"] = json!(login);
            if let Some(uid) = uid {
                value["uid"] = json!(uid);
            }
        }
        value
    };
    let grants: Vec<Value> = status
        .grants
        .iter()
        .map(|g| with_owner(grant_json(g), &g.login, Some(g.uid)))
        .collect();
    let pending: Vec<Value> = status
        .pending
        .iter()
        .map(|p| {
            let value = json!({
                "id": p.id, "role": p.role, "waiting_for": p.waiting_for, "age_s": p.age_s,
            });
            with_owner(value, &p.login, None)
        })
        .collect();
    json!({
        "schema_version": SCHEMA_VERSION,
        "login": status.login,
        "uid": status.uid,
        "eligible": status.eligible,
        "grants": grants,
        "pending": pending,
        "health": health_json(&status.health),
    })
}

fn health_json(health: &Health) -> Value {
    json!({
        "agent": level(health.agent.level),
        "link": level(health.link.level),
        "issuer": level(health.issuer.level),
        "clock": level(health.clock.level),
        "log": level(health.log.level),
    })
}

pub fn level(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Degraded => "degraded",
        Level::Down => "down",
    }
}

/// The parts in the order they are shown.
pub fn parts(health: &Health) -> [(&'static str, &Part); 5] {
    [
        ("agent", &health.agent),
        ("link", &health.link),
        ("issuer", &health.issuer),
        ("clock", &health.clock),
        ("log", &health.log),
    ]
}

/// The one screen of `status`.
pub fn status_lines(status: &Status, all: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    let who = Line::default()
        .styled(Style::Strong, &status.login)
        .text(format!(" (uid {}), ", status.uid));
    lines.push(if status.uid == 0 {
        who.text("needs no grant")
    } else if status.eligible {
        who.styled(Style::Good, "eligible")
    } else {
        who.text("not eligible (not in group jit-eligible)")
    });
    if status.grants.is_empty() {
        lines.push(Line::new("Grants: none"));
    } else {
        lines.push(Line::new("Grants:"));
        for grant in &status.grants {
            lines.extend(grant_lines(grant, all));
        }
    }
    if !status.pending.is_empty() {
        lines.push(Line::new("Pending:"));
        for pending in &status.pending {
            lines.push(pending_line(pending, all));
        }
    }
    let mut health = Line::new("Health: ");
    for (at, (name, part)) in parts(&status.health).into_iter().enumerate() {
        let style = match part.level {
            Level::Ok => Style::Good,
            Level::Degraded => Style::Warn,
            Level::Down => Style::Bad,
        };
        health = health
            .text(if at == 0 { "" } else { ", " })
            .text(name)
            .text(" ")
            .styled(style, level(part.level));
    }
    lines.push(health);
    for (name, part) in parts(&status.health) {
        if let Some(note) = &part.note {
            lines.push(Line::new(format!("  {name}: ")).text(note));
        }
    }
    lines
}

fn pending_line(pending: &Pending, whose: bool) -> Line {
    let mut line = Line::new("  ").styled(Style::Strong, &pending.id);
    if whose {
        line = line.text("  ").text(&pending.login);
    }
    line.text("  ")
        .text(&pending.role)
        .text("  ")
        .styled(Style::Warn, "waiting for ")
        .styled(Style::Warn, &pending.waiting_for)
        .text(format!(" since {}", seconds(pending.age_s)))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn grant() -> Grant {
        Grant {
            id: "01JD3ZK5T2M8Q4W7X9Y0B1C2D3".to_owned(),
            request: "01JD3ZK5T2M8Q4W7X9Y0B1C2D2".to_owned(),
            login: "alice".to_owned(),
            uid: 1000,
            role: "admin".to_owned(),
            doors: vec!["sudo".to_owned()],
            groups: vec!["jit-admin".to_owned()],
            commands: vec!["ALL".to_owned()],
            runas: vec!["ALL".to_owned()],
            seconds_left: 872,
            ends_at: 1_795_182_963,
            reason: "restart nginx".to_owned(),
            ticket: Some("OPS-12".to_owned()),
        }
    }

    fn ok() -> Part {
        Part {
            level: Level::Ok,
            note: None,
        }
    }

    fn status() -> Status {
        Status {
            login: "alice".to_owned(),
            uid: 1000,
            eligible: true,
            grants: vec![grant()],
            pending: vec![Pending {
                id: "01JD3ZK5T2M8Q4W7X9Y0B1C2D4".to_owned(),
                login: "alice".to_owned(),
                role: "logs".to_owned(),
                waiting_for: "ops".to_owned(),
                age_s: 61,
            }],
            health: Health {
                agent: ok(),
                link: Part {
                    level: Level::Down,
                    note: Some("never connected".to_owned()),
                },
                issuer: Part {
                    level: Level::Degraded,
                    note: None,
                },
                clock: ok(),
                log: ok(),
            },
        }
    }

    fn text(lines: &[Line]) -> String {
        lines.iter().map(|l| l.plain() + "\n").collect()
    }

    #[test]
    fn the_screen() {
        assert_eq!(
            text(&status_lines(&status(), false)),
            "\
alice (uid 1000), eligible
Grants:
  01JD3ZK5T2M8Q4W7X9Y0B1C2D3  admin  14m 32s left, ends 2026-11-20T13:56:03Z
    scope   sudo: any command as any user; groups jit-admin
    reason  restart nginx [OPS-12]
Pending:
  01JD3ZK5T2M8Q4W7X9Y0B1C2D4  logs  waiting for ops since 1m 1s
Health: agent ok, link down, issuer degraded, clock ok, log ok
  link: never connected
"
        );
    }

    #[test]
    fn root_is_not_told_to_become_eligible() {
        let mut root = status();
        (root.login, root.uid, root.eligible) = ("root".to_owned(), 0, false);
        let first = status_lines(&root, false).remove(0);
        assert_eq!(first.plain(), "root (uid 0), needs no grant");
    }

    #[test]
    fn the_screen_without_anything() {
        let mut empty = status();
        empty.eligible = false;
        empty.grants.clear();
        empty.pending.clear();
        empty.health.link = ok();
        empty.health.issuer = ok();
        assert_eq!(
            text(&status_lines(&empty, false)),
            "\
alice (uid 1000), not eligible (not in group jit-eligible)
Grants: none
Health: agent ok, link ok, issuer ok, clock ok, log ok
"
        );
    }

    /// Scripts depend on it.
    #[test]
    fn json_shape_is_frozen() {
        assert_eq!(
            status_json(&status(), false),
            json!({
                "schema_version": 1,
                "login": "alice",
                "uid": 1000,
                "eligible": true,
                "grants": [{
                    "id": "01JD3ZK5T2M8Q4W7X9Y0B1C2D3",
                    "role": "admin",
                    "doors": ["sudo"],
                    "groups": ["jit-admin"],
                    "commands": ["ALL"],
                    "seconds_left": 872,
                    "ends_at": "2026-11-20T13:56:03Z",
                    "reason": "restart nginx",
                    "ticket": "OPS-12",
                }],
                "pending": [{
                    "id": "01JD3ZK5T2M8Q4W7X9Y0B1C2D4",
                    "role": "logs",
                    "waiting_for": "ops",
                    "age_s": 61,
                }],
                "health": {
                    "agent": "ok", "link": "down", "issuer": "degraded", "clock": "ok", "log": "ok",
                },
            })
        );
    }

    #[test]
    fn with_all_each_entry_says_whose_it_is() {
        let value = status_json(&status(), true);
        assert_eq!(value["grants"][0]["login"], "alice");
        assert_eq!(value["grants"][0]["uid"], 1000);
        assert_eq!(value["pending"][0]["login"], "alice");
    }

    #[test]
    fn hostile_text_stays_in_its_line() {
        let mut hostile = grant();
        hostile.reason = "x\nGrants: none\x1b[2J".to_owned();
        hostile.commands = vec!["/bin/a\r\nb".to_owned()];
        hostile.role = "\u{202e}nimda".to_owned();
        let shown = text(&grant_lines(&hostile, true));
        assert_eq!(shown.lines().count(), 3);
        assert!(!shown.contains('\x1b') && !shown.contains('\r') && !shown.contains('\u{202e}'));
    }

    #[test]
    fn times_out_of_range_are_numbers() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(u64::MAX), format!("@{}", u64::MAX));
    }

    #[test]
    fn scopes_in_words() {
        let mut g = grant();
        g.doors.clear();
        g.groups = vec!["adm".to_owned(), "jit-logs".to_owned()];
        assert_eq!(scope(&g), "groups adm, jit-logs");
        g.groups.clear();
        assert_eq!(scope(&g), "nothing");
        let mut g = grant();
        g.runas = vec!["root".to_owned()];
        g.commands = vec!["/usr/bin/systemctl restart nginx".to_owned()];
        g.groups.clear();
        assert_eq!(scope(&g), "sudo: /usr/bin/systemctl restart nginx as root");
    }
}
