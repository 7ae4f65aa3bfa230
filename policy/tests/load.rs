//! Every fault of a policy text is named with its line and a hint.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

use statement::detail::{All, AllOr, Auth, Command, Door, OnEnd, Record};

const SAMPLE: &str = include_str!("../../packaging/etc/policy/roles.toml");

const SMALL: &str = r#"default = "admin"
[roles.admin]
max = "1h"
doors = ["sudo"]
runas = "ALL"
commands = "ALL"
[[approve]]
roles = ["admin"]
effect = "automatic"
"#;

/// `SMALL` with one piece changed.
fn with(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    SMALL.replacen(from, to, 1)
}

#[test]
fn the_sample_loads_with_what_it_says() {
    let p = policy::load(SAMPLE).expect("sample");
    assert_eq!(p.default_role(), "admin");
    assert_eq!(p.digest(), statement::digest::sha256_b64(SAMPLE.as_bytes()));
    let roles = p.roles();
    assert_eq!(
        roles.keys().collect::<Vec<_>>(),
        ["admin", "logs", "restart-web"]
    );
    let admin = &roles["admin"];
    assert_eq!(
        (admin.default_s, admin.max_s, admin.max_stale_s),
        (900, 3600, 300)
    );
    assert_eq!(admin.doors, [Door::Sudo]);
    assert_eq!(admin.runas, AllOr::All(All::All));
    assert_eq!(admin.commands, AllOr::All(All::All));
    assert!(admin.shell);
    assert_eq!(
        (admin.auth, admin.record, admin.on_end),
        (Auth::None, Record::None, OnEnd::Kill)
    );
    let logs = &roles["logs"];
    assert!(logs.doors.is_empty());
    assert_eq!(logs.groups, ["adm", "systemd-journal"]);
    let web = &roles["restart-web"];
    assert_eq!((web.default_s, web.max_s), (900, 900));
    assert_eq!(web.runas, AllOr::List(vec!["root".to_owned()]));
    assert_eq!(
        web.commands,
        AllOr::List(vec![Command {
            path: "/usr/bin/systemctl".to_owned(),
            args: vec!["restart".to_owned(), "nginx".to_owned()],
        }])
    );
    assert!(!web.shell);
}

#[test]
fn what_is_left_out_gives_nothing() {
    let p = policy::load(&with(
        r#"doors = ["sudo"]
runas = "ALL"
commands = "ALL"
"#,
        "doors = []\n",
    ))
    .expect("no door");
    let r = &p.roles()["admin"];
    assert_eq!(r.runas, AllOr::List(vec![]));
    assert_eq!(r.commands, AllOr::List(vec![]));
    assert!(!r.shell && r.groups.is_empty() && r.sudoedit.is_empty() && r.env.is_empty());
    assert_eq!(r.auth, Auth::Password);
    assert_eq!(r.on_end, OnEnd::Kill);
}

#[test]
fn a_short_maximum_is_also_the_default() {
    let p = policy::load(&with("\"1h\"", "\"90s\"")).expect("short");
    assert_eq!(p.roles()["admin"].default_s, 90);
    let p = policy::load(&with("\"1h\"", "\"1h\"\nmax_stale = \"0s\"")).expect("online only");
    assert_eq!(p.roles()["admin"].max_stale_s, 0);
}

#[test]
fn another_text_has_another_digest() {
    let a = policy::load(SMALL).expect("small");
    let b = policy::load(&format!("{SMALL}# x\n")).expect("with a comment");
    assert_ne!(a.digest(), b.digest());
}

#[test]
fn each_fault_has_its_line_and_a_hint() {
    let admin = "[roles.admin]";
    let door = r#"doors = ["sudo"]"#;
    let max = r#"max = "1h""#;
    let cmd = r#"commands = "ALL""#;
    let run = r#"runas = "ALL""#;
    let long = "x".repeat(40);
    let table = [
        // TOML itself.
        (with("default = ", "default : "), "line 1: "),
        (with("[[approve]]", "[[approve]"), "line 7: "),
        (
            with("max = \"1h\"", "max = \"1h\"\nmax = \"2h\""),
            "line 4: duplicate key",
        ),
        // Keys.
        (
            with("default = ", "defualt = "),
            "line 1: unknown key `defualt`; did you mean `default`?",
        ),
        (
            with("max =", "maxx ="),
            "line 3: unknown key `maxx`; did you mean `max`?",
        ),
        (
            with("max =", "zzzzzz ="),
            "line 3: unknown key `zzzzzz`; known here: default, max,",
        ),
        (
            with("effect =", "efect ="),
            "line 9: unknown key `efect`; did you mean `effect`?",
        ),
        (
            with("max = \"1h\"\n", ""),
            "line 2: `max` is missing; add a line `max = …`",
        ),
        (
            with("doors = [\"sudo\"]\n", ""),
            "line 2: `doors` is missing",
        ),
        (
            with("effect = \"automatic\"\n", ""),
            "line 7: `effect` is missing",
        ),
        (
            with("default = \"admin\"\n", ""),
            "line 1: `default` is missing",
        ),
        ("default = \"a\"\n".to_owned(), "line 1: `roles` is missing"),
        (
            "default = \"a\"\n[roles]\n".to_owned(),
            "line 1: no role; add a table [roles.NAME]",
        ),
        (String::new(), "line 1: `default` is missing"),
        // Values.
        (
            with(door, r#"doors = ["sudoo"]"#),
            "line 4: unknown value `sudoo`; did you mean `sudo`?",
        ),
        (with(door, r#"doors = "sudo""#), "line 4: invalid type"),
        (
            with("\"automatic\"", "\"maybe\""),
            "line 9: unknown value `maybe`; known here: automatic, approve, deny",
        ),
        (with("effect = \"automatic\"", "effect = true"), "line 9: "),
        (
            with(max, "max = 3600"),
            "line 3: invalid type: integer `3600`, expected a duration in quotes",
        ),
        (
            with(max, r#"max = "1 hour""#),
            "line 3: \"1 hour\": not a duration; write a whole number and s, m or h",
        ),
        (
            with(max, r#"max = "0s""#),
            "line 3: \"0s\": a duration is at least 1s; as in \"90s\"",
        ),
        (
            with(max, r#"max = "13h""#),
            "line 3: `max` is too long; a grant lives at most 12h",
        ),
        (
            with(max, r#"max = "99999999999999999999s""#),
            "line 3: \"99999999999999999999s\": this duration is too long",
        ),
        (
            with(max, "max = \"1h\"\ndefault = \"2h\""),
            "line 4: `default` is longer than `max`; at most 1h",
        ),
        (
            with(max, "max = \"1h\"\nmax_stale = \"25h\""),
            "line 4: `max_stale` is too long; at most 24h",
        ),
        (
            with(max, "max = \"1h\"\nauth = \"no\""),
            "line 4: unknown value `no`",
        ),
        (
            with(max, "max = \"1h\"\nrecord = \"full\""),
            "line 4: bad value beyond \"none\" in `record`; nothing records sessions yet",
        ),
        (
            with(max, "max = \"1h\"\non_end = \"keep\""),
            "line 4: unknown value `keep`",
        ),
        (
            with(run, r#"runas = "root""#),
            "line 5: \"root\" is neither \"ALL\" nor a list; write \"ALL\" or [ … ]",
        ),
        (with(run, r#"runas = "all""#), "line 5: \"all\" is neither"),
        (
            with(run, "runas = true"),
            "line 5: invalid type: boolean `true`, expected \"ALL\" or a list",
        ),
        (
            with(run, r#"runas = [""]"#),
            "line 5: bad value \"\" in `runas`; not an account name",
        ),
        (
            with(run, r#"runas = ["a","b","c","d","e","f","g","h","i"]"#),
            "line 2: `runas` is outside its limits; at most 8",
        ),
        (
            with(run, "runas = []"),
            "line 2: a door, but nobody to run as",
        ),
        (
            with(cmd, r#"commands = ["/bin/ls"]"#),
            "line 6: invalid type: string \"/bin/ls\"",
        ),
        (
            with(cmd, r#"commands = [{ path = "/bin/ls" }]"#),
            "line 6: `args` is missing",
        ),
        (
            with(cmd, r#"commands = [{ path = "/bin/ls", arg = [] }]"#),
            "line 6: unknown key `arg`; did you mean `args`?",
        ),
        (
            with(cmd, r#"commands = [{ path = "ls", args = [] }]"#),
            "line 6: bad value { path = \"ls\", args = [] } in `commands`; not an absolute, normal path",
        ),
        (
            with(cmd, r#"commands = [{ path = "/bin/../ls", args = [] }]"#),
            "line 6: bad value { path = \"/bin/../ls\", args = [] } in `commands`",
        ),
        (
            with(
                cmd,
                "commands = [\n  { path = \"/bin/ls\", args = [] },\n  { path = \"ls\", args = [] },\n]",
            ),
            "line 8: bad value { path = \"ls\"",
        ),
        (
            with(
                cmd,
                r#"commands = [{ path = "/bin/ls", args = ["a\u0000"] }]"#,
            ),
            "line 6: bad value { path = \"/bin/ls\", args = [\"a\\0\"] } in `commands`; too long, or control",
        ),
        (
            with(cmd, "commands = []"),
            "line 2: a door, but nothing to run",
        ),
        (
            with("commands = \"ALL\"\n", ""),
            "line 2: a door, but nothing to run",
        ),
        (
            with(
                cmd,
                "shell = true\ncommands = [{ path = \"/bin/ls\", args = [] }]",
            ),
            "line 7: a shell runs any command",
        ),
        (
            with(
                "doors = [\"sudo\"]\nrunas = \"ALL\"\ncommands = \"ALL\"",
                "doors = [\"sudo\", \"su\"]\nrunas = \"ALL\"\ncommands = [{ path = \"/bin/ls\", args = [] }]",
            ),
            "line 4: su cannot enforce a grant that limits commands or shells; the doors su and ssh need",
        ),
        (with(door, "doors = []"), "line 4: commands without a door"),
        (
            with(max, "max = \"1h\"\ngroups = [\"adm\", \"a b\"]"),
            "line 4: bad value \"a b\" in `groups`",
        ),
        (
            with(max, "max = \"1h\"\ngroups = [\"jit-link\"]"),
            "line 4: bad value \"jit-link\" in `groups`; groups of jit itself",
        ),
        (
            with(
                max,
                &format!("max = \"1h\"\ngroups = [{}]", "\"a\",".repeat(16)),
            ),
            "line 2: `groups` is outside its limits; at most 15 in a role",
        ),
        (
            with(max, "max = \"1h\"\nsudoedit = [\"etc/hosts\"]"),
            "line 4: bad value \"etc/hosts\" in `sudoedit`; not an absolute, normal path",
        ),
        (
            with(max, "max = \"1h\"\ncwd = [\"/a//b\"]"),
            "line 4: bad value \"/a//b\" in `cwd`",
        ),
        (
            with(max, "max = \"1h\"\nunlock = [\"/a\\n\"]"),
            "line 4: bad value \"/a\\n\" in `unlock`",
        ),
        (
            with(max, "max = \"1h\"\nenv = [\"A=B\"]"),
            "line 4: bad value \"A=B\" in `env`",
        ),
        // Who must approve.
        (
            with("\"automatic\"", "\"approve\""),
            "line 9: nobody to approve; add levels, as levels = [{ group = \"ops\", count = 1 }]",
        ),
        (
            with("\"automatic\"", "\"approve\"\nlevels = []"),
            "line 10: bad `levels`; 1 to 4 groups",
        ),
        (
            with(
                "\"automatic\"",
                "\"approve\"\nlevels = [{ group = \"ops\", count = 0 }]",
            ),
            "line 10: bad `levels`; 1 to 16 persons",
        ),
        (
            with(
                "\"automatic\"",
                "\"approve\"\nlevels = [{ group = \"o ps\", count = 1 }]",
            ),
            "line 10: bad `levels`; 1 to 64 of letters",
        ),
        (
            with(
                "\"automatic\"",
                "\"approve\"\nlevels = [{ group = \"ops\", cuont = 1 }]",
            ),
            "line 10: unknown key `cuont`; did you mean `count`?",
        ),
        (
            with(
                "\"automatic\"",
                "\"automatic\"\nlevels = [{ group = \"ops\", count = 1 }]",
            ),
            "line 10: `levels` without people being asked; set the effect \"approve\"",
        ),
        (
            with("\"automatic\"", "\"deny\"\nmax = \"1m\""),
            "line 10: a denial with terms",
        ),
        (
            with("\"automatic\"", "\"automatic\"\nwitness = \"ops\""),
            "line 10: The policy wants a witness of ops, and nothing here lets one watch yet; drop",
        ),
        (
            with("\"automatic\"", "\"automatic\"\nrecord = \"full\""),
            "line 10: The policy wants the session recorded, and nothing records",
        ),
        // Names.
        (
            with("\"admin\"", "\"root\""),
            "line 1: there is no role \"root\"; roles here: admin",
        ),
        (
            with("roles = [\"admin\"]", "roles = [\"admin\", \"adm\"]"),
            "line 8: there is no role \"adm\"; roles here: admin",
        ),
        (
            with("roles = [\"admin\"]", "roles = []"),
            "line 7: a rule for no role",
        ),
        (
            with(admin, "[roles.Admin]"),
            "line 2: bad role name \"Admin\"",
        ),
        (
            with(admin, "[roles.\"a/b\"]"),
            "line 2: bad role name \"a/b\"",
        ),
        (
            with(admin, &format!("[roles.{long}]")),
            "line 2: bad role name",
        ),
        (
            with(admin, "[roles.eligible]"),
            "line 2: bad role name \"eligible\"; with jit- before it, this is the name of a group of jit itself",
        ),
        (
            with(admin, "[roles.link]"),
            "line 2: bad role name \"link\"",
        ),
        (
            with("effect =", "logins = [\"\"]\neffect ="),
            "line 9: bad login \"\"",
        ),
        (
            with("effect =", "name = \"a\\nb\"\neffect ="),
            "line 9: bad name of a rule",
        ),
        (
            "# ".to_owned() + &"x".repeat(policy::TEXT_MAX),
            "the policy is too long; at most 65536 bytes",
        ),
    ];
    let mut wrong = Vec::new();
    for (text, want) in table {
        let Err(e) = policy::load(&text) else {
            wrong.push(format!("want {want}\n got a policy\n"));
            continue;
        };
        let got = e.to_string();
        if !got.starts_with(want) {
            wrong.push(format!("want {want}\n got {got}\n"));
        }
        assert!(!got.contains('\n'), "one line: {got}");
        assert!(!e.hint.is_empty(), "{got}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
