//! Decisions, as a table.

use policy::{Ask, Outcome};

const TEXT: &str = r#"
default = "admin"
[roles.admin]
max = "1h"
doors = ["sudo"]
runas = "ALL"
commands = "ALL"
[roles.logs]
max = "10m"
doors = []
groups = ["adm"]
[roles.unruled]
max = "1h"
doors = []
groups = ["adm"]

[[approve]]
name = "not mallory"
roles = ["admin", "logs"]
logins = ["mallory"]
effect = "deny"
[[approve]]
roles = ["admin"]
logins = ["alice", "mallory"]
effect = "automatic"
[[approve]]
roles = ["logs"]
effect = "automatic"
[[approve]]
roles = ["logs"]
effect = "deny"
"#;

#[test]
fn first_match_wins_and_no_match_denies() {
    let p = policy::load(TEXT).expect("policy");
    let table = [
        ("admin", "alice", 1, Ok("approve 2")),
        ("admin", "alice", 3600, Ok("approve 2")),
        (
            "admin",
            "alice",
            3601,
            Err("Role admin lasts at most 1h; 3601s was asked for."),
        ),
        (
            "admin",
            "alice",
            u64::MAX,
            Err("Role admin lasts at most 1h;"),
        ),
        (
            "admin",
            "alice",
            0,
            Err("Role admin lasts at most 1h; 0s was asked for."),
        ),
        (
            "admin",
            "bob",
            60,
            Err("No rule of the policy gives role admin to bob."),
        ),
        (
            "admin",
            "mallory",
            60,
            Err("The policy's rule \"not mallory\" denies role admin to mallory."),
        ),
        (
            "logs",
            "mallory",
            60,
            Err("The policy's rule \"not mallory\" denies role logs to mallory."),
        ),
        ("logs", "bob", 600, Ok("approve 3")),
        ("logs", "bob", 601, Err("Role logs lasts at most 10m;")),
        (
            "unruled",
            "alice",
            60,
            Err("No rule of the policy gives role unruled to alice."),
        ),
        (
            "nope",
            "alice",
            60,
            Err("There is no role \"nope\"; roles are admin, logs, unruled."),
        ),
        ("", "alice", 60, Err("There is no role \"\";")),
        ("Admin", "alice", 60, Err("There is no role \"Admin\";")),
    ];
    for (role, login, dur, want) in table {
        match (p.decide(&Ask::new(role, login, dur)), want) {
            (Outcome::Automatic { rule, .. }, Ok(name)) => assert_eq!(rule, name),
            (Outcome::Deny { why }, Err(start)) => {
                assert!(why.starts_with(start), "{why}\nwant {start}");
            }
            (got, want) => panic!("{role} {login} {dur}: {got:?}, want {want:?}"),
        }
    }
}

#[test]
fn a_rule_names_who_must_approve_level_after_level_and_for_how_long_at_most() {
    let rules = TEXT.replacen(
        "logins = [\"alice\", \"mallory\"]\neffect = \"automatic\"",
        "max = \"30m\"\neffect = \"approve\"\nlevels = [{ group = \"ops\", count = 2 }, { group = \"security\", count = 1 }]",
        1,
    );
    let p = policy::load(&rules).expect("policy");
    let ask = |dur| p.decide(&Ask::new("admin", "bob", dur));
    let Outcome::Approve {
        rule,
        levels,
        terms,
    } = ask(1800)
    else {
        panic!("{:?}", ask(1800));
    };
    assert_eq!(rule, "approve 2");
    assert_eq!(policy::in_words(&levels), "2 of ops, then 1 of security");
    assert_eq!((terms.max_s, terms.unheld()), (Some(1800), None));
    let why = "The policy's rule \"approve 2\" gives at most 30m; 1801s was asked for.";
    assert_eq!(
        ask(1801),
        Outcome::Deny {
            why: why.to_owned()
        }
    );
}

#[test]
fn no_rules_denies_everything() {
    let text = TEXT.split("[[approve]]").next().expect("head");
    let p = policy::load(text).expect("policy without rules");
    for role in ["admin", "logs", "unruled"] {
        let got = p.decide(&Ask::new(role, "alice", 60));
        assert!(matches!(got, Outcome::Deny { .. }), "{role}: {got:?}");
    }
}

#[test]
fn a_role_is_free_when_a_rule_for_everyone_gives_it_without_password() {
    let sample = include_str!("../../packaging/etc/policy/roles.toml");
    let free = |text: &str| -> Vec<String> {
        let policy = policy::load(text).expect("a policy");
        policy.free_roles().into_iter().map(str::to_owned).collect()
    };
    assert_eq!(free(sample), ["admin", "logs", "restart-web"]);
    let edit = |from: &str, to: &str| {
        assert!(sample.contains(from), "{from}");
        free(&sample.replace(from, to))
    };
    assert_eq!(
        edit("\"none\"         #", "\"password\"     #"),
        ["logs", "restart-web"]
    );
    let none: [&str; 0] = [];
    assert_eq!(edit("\"automatic\"", "\"deny\""), none);
    assert_eq!(edit("effect =", "logins = [\"alice\"]\neffect ="), none);
}
