//! Grants by the wrong key, for another host or request, or wider than their request.

use crate::Cases;
use crate::grants::Making;
use crate::world::*;
use serde_json::json;
use statement::claims::{Grant, Mode, Request, Typ};
use statement::detail::{AllOr, Auth, Command, Detail, Door, OnEnd};
use statement::digest::sha256_b64;
use statement::sign;

pub fn keys(cases: &mut Cases, world: &World) {
    let m = Making::new(world, &request(), &grant());
    let payload = m.payload();
    let by = |key: &Key| m.with_jws(&key.over(Typ::Grant, &payload));
    cases.refuse(
        "stranger's key",
        "unknown-key",
        "unknown key",
        by(&world.stranger),
    );
    cases.refuse(
        "the host's own key",
        "unknown-key",
        "unknown key",
        by(&world.host),
    );
    cases.refuse(
        "a root key",
        "unknown-key",
        "unknown key",
        by(&world.roots[0]),
    );
    for (name, key) in [
        ("state", &world.state),
        ("revocation", &world.revocation),
        ("enrolment", &world.enrol),
        ("policy", &world.policy),
    ] {
        cases.refuse(
            &format!("the {name} key"),
            "key-use",
            "may not sign jit-grant+jwt",
            by(key),
        );
    }
    cases.refuse("key expired", "key-time", "not valid", by(&world.old));
    cases.refuse(
        "key not yet valid",
        "key-time",
        "not valid",
        by(&world.coming),
    );
    let header = world.grant.header("jit-grant+jwt");
    cases.refuse(
        "stranger under the pinned key's id",
        "signature",
        "does not match",
        m.with_jws(&world.stranger.jws(&header, &payload)),
    );
    let other = Making::new(world, &request(), &Grant { seq: 2, ..grant() });
    let (mine, theirs) = (
        world.grant.over(Typ::Grant, &payload),
        world.grant.over(Typ::Grant, &other.payload()),
    );
    let swapped = format!(
        "{}.{}",
        theirs.rsplit_once('.').unwrap().0,
        mine.rsplit_once('.').unwrap().1
    );
    cases.refuse(
        "signature of another grant",
        "signature",
        "does not match",
        m.with_jws(&swapped),
    );
    let input = mine.rsplit_once('.').unwrap().0;
    cases.refuse(
        "signature of zeros",
        "signature",
        "does not match",
        m.with_jws(&format!("{input}.{}", b64([0; 64]))),
    );
    let es = world.es256.over(Typ::Grant, &payload);
    let input = es.rsplit_once('.').unwrap().0;
    cases.refuse(
        "ES256 signature of zeros",
        "signature",
        "does not match",
        m.with_jws(&format!("{input}.{}", b64([0; 64]))),
    );
    let iss = Making {
        grant: with(&grant(), "/iss", json!("spiffe://local.test/issuer/other")),
        request: m.request.clone(),
        world,
    };
    cases.refuse(
        "another issuer",
        "issuer",
        "not the pinned issuer",
        iss.bundle(),
    );
}

pub fn requests(cases: &mut Cases, world: &World) {
    let m = Making::new(world, &request(), &grant());
    let given = |grant: Grant| Making::new(world, &request(), &grant).bundle();
    cases.refuse(
        "another host",
        "audience",
        "other hosts",
        given(Grant {
            aud: vec![OTHER_HOST.into()],
            ..grant()
        }),
    );
    cases.refuse(
        "a group it is not in",
        "audience",
        "other hosts",
        given(Grant {
            aud: vec!["spiffe://local.test/group/db".into()],
            ..grant()
        }),
    );
    cases.refuse(
        "req_hash of other bytes",
        "request-hash",
        "another request",
        given(Grant {
            req_hash: sha256_b64(b"x"),
            ..grant()
        }),
    );
    let other = Request {
        id: JTI.into(),
        ..request()
    };
    let swapped = sign::bundle(
        &world.grant.over(Typ::Grant, &m.payload()),
        &world.host.over(Typ::Request, &tree(&other).to_string()),
    );
    cases.refuse(
        "another request beside it",
        "request-hash",
        "another request",
        swapped,
    );

    let with_request = |request_jws: &str| {
        let grant = Grant {
            req_hash: sha256_b64(request_jws.as_bytes()),
            ..grant()
        };
        sign::bundle(
            &world.grant.over(Typ::Grant, &tree(&grant).to_string()),
            request_jws,
        )
    };
    cases.refuse(
        "request by another host's key",
        "unknown-key",
        "unknown key",
        with_request(&world.other_host.over(Typ::Request, &m.request)),
    );
    cases.refuse(
        "request by the issuer's key",
        "unknown-key",
        "unknown key",
        with_request(&world.grant.over(Typ::Request, &m.request)),
    );
    let stolen = world
        .other_host
        .jws(&world.host.header("jit-request+jwt"), &m.request);
    cases.refuse(
        "request not really by this host",
        "signature",
        "does not match",
        with_request(&stolen),
    );
    cases.refuse(
        "request is a grant",
        "typ",
        "jit-request+jwt is expected",
        with_request(&world.host.over(Typ::Grant, &m.request)),
    );
    cases.refuse(
        "request is not a JWS",
        "encoding",
        "statement",
        with_request(&m.request),
    );
    let foreign = with(&request(), "/iss", json!(OTHER_HOST)).to_string();
    cases.refuse(
        "request of another host",
        "not-our-request",
        "not made by this host",
        with_request(&world.host.over(Typ::Request, &foreign)),
    );
    let endless = with(&request(), "/dur", json!(43_201)).to_string();
    cases.refuse(
        "request over its limits",
        "limit",
        "claim dur",
        with_request(&world.host.over(Typ::Request, &endless)),
    );

    cases.refuse(
        "approved, without approvals",
        "approval",
        "no approvals",
        given(Grant {
            mode: Mode::Approved,
            ..grant()
        }),
    );
    let (asked, given) = people::asked("dba");
    let given = Grant {
        mode: Mode::Auto,
        ..given
    };
    let manual = Making::new(world, &asked, &given);
    cases.refuse(
        "a role that is never automatic",
        "approval",
        "does not let",
        manual.bundle(),
    );
}

pub fn wider(cases: &mut Cases, world: &World) {
    let mut wider = |name: &str, says: &str, asked: Request, grant: Grant| {
        cases.refuse(
            name,
            "wider",
            says,
            Making::new(world, &asked, &grant).bundle(),
        );
    };
    wider(
        "another subject",
        "subject",
        request(),
        Grant {
            sub: "local:1001@x".into(),
            ..grant()
        },
    );
    wider(
        "another role",
        "role",
        request(),
        Grant {
            role: "restart-web".into(),
            authorization_details: vec![Detail {
                groups: vec![],
                ..detail()
            }],
            ..grant()
        },
    );
    wider(
        "another reason",
        "reason",
        request(),
        Grant {
            reason: "x".into(),
            ..grant()
        },
    );
    wider(
        "a ticket nobody named",
        "ticket",
        request(),
        Grant {
            ticket: Some("x".into()),
            ..grant()
        },
    );
    wider(
        "an extension nobody asked for",
        "extends",
        request(),
        Grant {
            extends: Some(REQUEST_ID.into()),
            ..grant()
        },
    );
    wider(
        "more hosts",
        "more hosts",
        request(),
        Grant {
            aud: vec![HOST.into(), OTHER_HOST.into()],
            ..grant()
        },
    );
    wider(
        "by group when asked for a host",
        "more hosts",
        request(),
        Grant {
            aud: vec![GROUP.into()],
            ..grant()
        },
    );
    wider(
        "a second longer",
        "lasts longer",
        request(),
        Grant {
            exp: T0 + 902,
            ..grant()
        },
    );
    wider(
        "ends later",
        "ends later",
        request(),
        Grant {
            nbf: T0 + 100,
            exp: T0 + 1000,
            ..grant()
        },
    );
    let asked = Request {
        not_before: T0 + 500,
        ..request()
    };
    wider(
        "starts earlier",
        "starts earlier",
        asked,
        Grant {
            nbf: T0 + 499,
            exp: T0 + 600,
            ..grant()
        },
    );
    let late = Grant {
        iat: T0 + 601,
        nbf: T0 + 601,
        exp: T0 + 700,
        ..grant()
    };
    wider(
        "after the request died",
        "after the request",
        request(),
        late,
    );

    let scoped = || {
        let mut d = bare();
        d.commands = AllOr::List(vec![
            Command {
                path: "/usr/bin/systemctl".into(),
                args: vec!["restart".into(), "nginx".into()],
            },
            Command {
                path: "/usr/bin/tail".into(),
                args: vec!["-n".into(), "*".into()],
            },
        ]);
        d.groups = vec!["jit-admin".into()];
        d.tty = true;
        d.once = true;
        d.auth = Auth::Password;
        d
    };
    let mut wider_detail = |name: &str, says: &str, spoil: &dyn Fn(&mut Detail)| {
        let mut given = scoped();
        spoil(&mut given);
        let asked = Request {
            authorization_details: vec![scoped()],
            ..request()
        };
        wider(
            name,
            says,
            asked,
            Grant {
                authorization_details: vec![given],
                ..grant()
            },
        );
    };
    let command = |path: &str, args: &[&str]| {
        AllOr::List(vec![Command {
            path: path.into(),
            args: args.iter().map(|a| (*a).into()).collect(),
        }])
    };
    wider_detail("another login", "login", &|d| d.login = "bob".into());
    wider_detail("another uid", "login", &|d| d.uid = 1001);
    wider_detail("another door", "open su", &|d| d.doors.push(Door::Su));
    wider_detail("another group", "groups", &|d| d.groups.push("adm".into()));
    wider_detail("runas another", "runas", &|d| {
        d.runas = AllOr::List(vec!["root".into(), "www-data".into()])
    });
    wider_detail("runas ALL", "runas", &|d| d.runas = detail().runas);
    wider_detail("commands ALL", "commands", &|d| {
        d.commands = detail().commands
    });
    wider_detail("another command", "commands", &|d| {
        d.commands = command("/usr/bin/id", &[])
    });
    wider_detail("other arguments", "commands", &|d| {
        d.commands = command("/usr/bin/systemctl", &["restart", "ssh"])
    });
    wider_detail("fewer arguments", "commands", &|d| {
        d.commands = command("/usr/bin/systemctl", &["restart"])
    });
    wider_detail("a star after the arguments", "commands", &|d| {
        d.commands = command("/usr/bin/systemctl", &["restart", "nginx", "*"]);
    });
    wider_detail("a star for an argument", "commands", &|d| {
        d.commands = command("/usr/bin/systemctl", &["restart", "*"])
    });
    wider_detail("a star further ahead", "commands", &|d| {
        d.commands = command("/usr/bin/tail", &["*"])
    });
    wider_detail("a file to edit", "sudoedit", &|d| {
        d.sudoedit = vec!["/etc/hosts".into()]
    });
    wider_detail("a directory", "cwd", &|d| d.cwd = vec!["/srv".into()]);
    wider_detail("a variable", "env", &|d| d.env = vec!["EDITOR".into()]);
    wider_detail("an unlocked file", "unlock", &|d| {
        d.unlock = vec!["/etc/secret".into()]
    });
    wider_detail("no terminal needed", "tty", &|d| d.tty = false);
    wider_detail("more than once", "once", &|d| d.once = false);
    wider_detail("no password", "auth", &|d| d.auth = Auth::None);
    wider_detail("processes live on", "on_end", &|d| d.on_end = OnEnd::Report);
    let mut one_more = scoped();
    one_more.runas = detail().runas;
    let asked = Request {
        authorization_details: vec![scoped()],
        ..request()
    };
    wider(
        "one detail of two is wider",
        "runas",
        asked,
        Grant {
            authorization_details: vec![scoped(), one_more],
            ..grant()
        },
    );
    let mut shell = detail();
    shell.shell = false;
    let asked = Request {
        authorization_details: vec![shell],
        ..request()
    };
    wider("a shell", "shell", asked, grant());
}
