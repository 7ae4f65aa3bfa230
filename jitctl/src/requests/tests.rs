use super::*;
use statement::detail::AllOr;

fn asked() -> Request {
    serde_json::from_value(json!({
        "ver": 1, "iss": "spiffe://x/host/web1", "iat": 1_795_182_000, "id": "01JD3ZK5T2M8Q4W7X9Y0B1C2D3",
        "nonce": "AAAAAAAAAAAAAAAAAAAAAA", "sub": "local:1000@spiffe://x/host/web1",
        "aud": ["spiffe://x/host/web1"], "role": "admin", "policy_ver": 1,
        "authorization_details": [{
            "type": "urn:jitctl:linux-elevation:1", "login": "alice", "uid": 1000, "doors": ["sudo"],
            "groups": ["jit-admin"], "runas": "ALL", "commands": "ALL", "shell": true,
            "auth": "none", "record": "none", "on_end": "kill",
        }],
        "not_before": 0, "dur": 900, "approve_until": 1_795_185_600,
        "reason": "disk \u{1b}[2Jfull", "ticket": "OPS-1",
    }))
    .unwrap()
}

fn waiting() -> Waiting {
    Waiting {
        id: asked().id,
        request: "bytes".to_owned(),
        host_name: "web1".to_owned(),
        standing: Standing::Open,
        waiting_for: "1 of security".to_owned(),
        detail: String::new(),
        at: 1_795_182_000,
        until: 1_795_185_600,
        approvals: vec![],
        self_approval: None,
    }
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(|l| l.plain() + "\n").collect()
}

#[test]
fn an_approver_sees_all_that_is_signed() {
    let shown = text(&full(&waiting(), &asked()));
    for must in [
        "who       alice (uid 1000)",
        "host      spiffe://x/host/web1",
        "(the issuer calls it web1)",
        "role      admin",
        "through   sudo",
        "as        any user",
        "commands  ANY",
        "groups    jit-admin",
        "with      a shell, no password",
        "risk      ROOT-EQUAL: any command as root",
        "how long  15m 0s, from the last approval on",
        "why       disk \\u{1b}[2Jfull",
        "ticket    OPS-1",
        "dies 2026-11-20T14:40:00Z",
        "approved  by nobody yet",
        "waits for 1 of security",
        "To approve: jitctl approve 01JD3ZK5T2M8Q4W7X9Y0B1C2D3",
    ] {
        assert!(shown.contains(must), "{must}\n{shown}");
    }
}

#[test]
fn an_own_approval_is_loud_before_anybody_signs_and_after() {
    let plain = text(&full(&waiting(), &asked())) + &text(&short(&waiting(), &asked()));
    assert!(!plain.contains("SELF"), "{plain}");
    let given = |by: &str| Approval {
        fmt: statement::people::Format::Sshsig,
        by: by.to_owned(),
        sig: String::new(),
    };
    let mut own = waiting();
    own.self_approval = Some("alice".to_owned());
    own.approvals = vec![given("alice"), given("bob")];
    let shown = text(&full(&own, &asked()));
    for must in [
        "self      SELF-APPROVAL: alice asks, and may be one of those who approve",
        "for role admin",
        "approved  by alice (THE OWN REQUEST), bob",
    ] {
        assert!(shown.contains(must), "{must}\n{shown}");
    }
    assert!(text(&short(&own, &asked())).contains("ROOT-EQUAL  SELF-APPROVAL"));
    assert_eq!(short_json(&own, &asked())["self_approval"], "alice");
}

#[test]
fn limited_commands_show_where_a_word_ends() {
    let mut asked = asked();
    asked.authorization_details[0].shell = false;
    asked.authorization_details[0].runas = AllOr::List(vec!["root".to_owned()]);
    asked.authorization_details[0].commands = AllOr::List(vec![statement::detail::Command {
        path: "/usr/bin/touch".to_owned(),
        args: vec![
            "a b".to_owned(),
            "c'd".to_owned(),
            String::new(),
            "*".to_owned(),
        ],
    }]);
    let shown = text(&full(&waiting(), &asked));
    assert!(
        shown.contains("commands  /usr/bin/touch 'a b' 'c'\\''d' '' *\n"),
        "{shown}"
    );
    assert!(shown.contains("risk      limited"), "{shown}");
    assert!(text(&short(&waiting(), &asked)).contains("limited"));
}

#[test]
fn what_is_decided_has_no_command_to_decide_it() {
    let mut done = waiting();
    done.standing = Standing::Denied;
    done.detail = "bob denied it: no".to_owned();
    let shown = text(&full(&done, &asked()));
    assert!(
        shown.contains("is        denied  bob denied it: no"),
        "{shown}"
    );
    assert!(!shown.contains("jitctl approve"), "{shown}");
}

/// Scripts depend on it.
#[test]
fn json_names_are_frozen() {
    let short = short_json(&waiting(), &asked());
    let full = full_json(&waiting(), &asked());
    let names =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(
        names(&short),
        [
            "age_s",
            "approved_by",
            "expires_at",
            "host_name",
            "hosts",
            "id",
            "login",
            "reason",
            "role",
            "root_equal",
            "seconds",
            "self_approval",
            "status",
            "ticket",
            "uid",
            "waiting_for",
        ]
    );
    let more: Vec<String> = names(&full)
        .into_iter()
        .filter(|n| !names(&short).contains(n))
        .collect();
    assert_eq!(
        more,
        [
            "approvals",
            "bytes",
            "detail",
            "details",
            "extends",
            "sha256",
            "starts_at"
        ]
    );
    assert_eq!(
        (&short["seconds"], &short["root_equal"]),
        (&json!(900), &json!(true))
    );
}
