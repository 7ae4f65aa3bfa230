//! Each way to call sudo, in each state of a grant, with each sudo of Debian: did the command run, as whom, and what did
//! sudo return? docs/reference/sudo-matrix.md is written from the same table.
#![cfg(feature = "e2e")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::time::Duration;

use jit_tests::{Host, Release, grants, project};
use serde_json::{Value, json};

#[derive(Clone, Copy, PartialEq)]
enum Sudo {
    /// 1.9.13 of Debian 12.
    Old,
    /// 1.9.16 of Debian 13.
    New,
    /// sudo-rs 0.2.5 of Debian 13.
    Rs,
}

impl Sudo {
    fn program(self) -> &'static str {
        match self {
            Sudo::Old | Sudo::New => "sudo",
            Sudo::Rs => "sudo-rs",
        }
    }
}

const ALL: [Sudo; 3] = [Sudo::Old, Sudo::New, Sudo::Rs];

/// The grant that is held: the role's name.
const FULL: &str = "admin";
const SCOPED: &str = "web";
const NO_DOOR: &str = "logs";

const ROLES: &str = r#"
[roles.web]
max = "1h"
doors = ["sudo"]
runas = ["root"]
commands = [{ path = "/usr/sbin/mark", args = ["*"] }]
sudoedit = ["/etc/edit-in"]
auth = "none"

[[approve]]
roles = ["web"]
effect = "automatic"
"#;

/// Leaves what it was run as: uid, gid, working directory, two variables.
const MARK: &str = "#!/bin/sh\nprintf '%s' \"$(id -u):$(id -g):$(pwd):${LC_MESSAGES-}${MARK-}\" >\"/run/marks/$1\"\n";
/// The user's editor: adds a word to each file.
const EDITOR: &str = "#!/bin/sh\nfor file; do echo \"$WORD\" >>\"$file\"; done\n";

/// Runs cells one after the other as alice; a cell is [name, script, what to look at].
const RUNNER: &str = r#"
import json, os, subprocess, sys, time
out = []
for name, script, looks, runs in json.load(sys.stdin):
    env = dict(os.environ, WORD=name)
    p = subprocess.run(["bash", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30, env=env, errors="replace")
    def seen():
        if looks == "edit":
            return "edited" if name in open("/etc/edit-in").read() + open("/etc/edit-out").read() else None
        if looks == "mark":
            marks = sorted(m for m in os.listdir("/run/marks") if m.split("+")[0] == name)
            return " ".join(open("/run/marks/" + m).read() for m in marks) or None
        return None
    # A command in the background may be on its way.
    end = time.monotonic() + (5 if runs else 0)
    while seen() is None and looks == "mark" and time.monotonic() < end:
        time.sleep(0.01)
    out.append({"name": name, "rc": p.returncode, "said": p.stdout, "seen": seen()})
print(json.dumps(out))
"#;

/// What a cell shows.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Is {
    /// The command ran as this uid, gid, in this directory, with this variable; sudo returned 0.
    Ran(&'static str),
    /// It returned 0; there is no command to run.
    Zero,
    /// Nothing ran, and sudo returned something else than 0.
    No,
    /// The first of the two ran, the second did not.
    Half(&'static str),
}

struct Row {
    option: &'static str,
    /// `$S` is the sudo, `$T` the name of the mark, `$P` the program.
    inside: &'static str,
    /// The grant that covers it, for classic sudo; sudo-rs takes no other than a full one.
    by: &'static str,
    inside_is: Is,
    outside: &'static str,
    /// The grant that does not cover it.
    outside_by: &'static str,
    outside_is: Is,
    looks: &'static str,
    /// Where a sudo shows something else: in scope, out of scope, and why.
    but: &'static [(Sudo, Is, Is, &'static str)],
}

const AS_ROOT: Is = Is::Ran("0:0:/home/alice:");

/// A row in which sudo itself never lets the option pass.
const NEVER: Is = Is::No;

const ROWS: [Row; 16] = [
    Row {
        option: "command",
        inside: "$S -n /usr/sbin/mark $T",
        by: SCOPED,
        inside_is: AS_ROOT,
        outside: "$S -n /usr/sbin/other $T",
        outside_by: SCOPED,
        outside_is: Is::No,
        looks: "mark",
        but: &[],
    },
    Row {
        option: "-i",
        inside: "$S -n -i /usr/sbin/mark $T",
        by: FULL,
        inside_is: Is::Ran("0:0:/root:"),
        outside: "$S -n -i /usr/sbin/mark $T",
        outside_by: SCOPED,
        outside_is: Is::No,
        looks: "mark",
        but: &[],
    },
    Row {
        option: "-s",
        inside: "$S -n -s /usr/sbin/mark $T",
        by: FULL,
        inside_is: AS_ROOT,
        outside: "$S -n -s /usr/sbin/mark $T",
        outside_by: SCOPED,
        outside_is: Is::No,
        looks: "mark",
        but: &[],
    },
    Row {
        option: "-e",
        inside: "EDITOR=/usr/bin/word $S -n -e /etc/edit-in",
        by: SCOPED,
        inside_is: Is::Ran("edited"),
        outside: "EDITOR=/usr/bin/word $S -n -e /etc/edit-out",
        outside_by: SCOPED,
        outside_is: Is::No,
        looks: "edit",
        but: &[(Sudo::Rs, Is::No, Is::No, "0.2.5 has no sudoedit")],
    },
    Row {
        option: "-l",
        inside: "$S -n -l",
        by: SCOPED,
        inside_is: Is::Zero,
        outside: "$S -n -l",
        outside_by: NO_DOOR,
        outside_is: Is::No,
        looks: "none",
        but: &[],
    },
    Row {
        option: "-v",
        inside: "$S -n -v",
        by: SCOPED,
        inside_is: Is::Zero,
        outside: "$S -n -v",
        outside_by: NO_DOOR,
        outside_is: Is::No,
        looks: "none",
        but: &[],
    },
    Row {
        option: "-b",
        inside: "$S -n -b /usr/sbin/mark $T",
        by: SCOPED,
        inside_is: AS_ROOT,
        outside: "$S -n -b /usr/sbin/other $T",
        outside_by: SCOPED,
        outside_is: Is::No,
        looks: "mark",
        but: &[(Sudo::Rs, Is::No, Is::No, "0.2.5 has no `-b`")],
    },
    Row {
        option: "pipeline",
        inside: "set -o pipefail; $S -n /usr/sbin/mark $T+1 | $S -n /usr/sbin/mark $T+2",
        by: SCOPED,
        inside_is: Is::Ran("0:0:/home/alice: 0:0:/home/alice:"),
        outside: "set -o pipefail; $S -n /usr/sbin/mark $T+1 | $S -n /usr/sbin/other $T+2",
        outside_by: SCOPED,
        outside_is: Is::Half("0:0:/home/alice:"),
        looks: "mark",
        but: &[(
            Sudo::Rs,
            Is::Ran("0:0:/home/alice: 0:0:/home/alice:"),
            Is::No,
            "each call is asked about by itself; sudo-rs takes no grant that names commands, so out of scope neither runs",
        )],
    },
    Row {
        option: "-u",
        inside: "$S -n -u bob /usr/sbin/mark $T",
        by: FULL,
        inside_is: Is::Ran("1002:1002:/home/alice:"),
        outside: "$S -n -u bob /usr/sbin/mark $T",
        outside_by: SCOPED,
        outside_is: Is::No,
        looks: "mark",
        but: &[],
    },
    Row {
        option: "-g",
        inside: "$S -n -g adm /usr/sbin/mark $T",
        by: FULL,
        inside_is: Is::Ran("1001:4:/home/alice:"),
        outside: "$S -n -g adm /usr/sbin/mark $T",
        outside_by: SCOPED,
        outside_is: Is::No,
        looks: "mark",
        but: &[],
    },
    Row {
        option: "-C",
        inside: "$S -n -C 10 /usr/sbin/mark $T",
        by: FULL,
        inside_is: NEVER,
        outside: "$S -n -C 10 /usr/sbin/mark $T",
        outside_by: SCOPED,
        outside_is: Is::No,
        looks: "mark",
        but: &[],
    },
    Row {
        option: "-D",
        inside: "$S -n -D /var /usr/sbin/mark $T",
        by: FULL,
        inside_is: Is::Ran("0:0:/var:"),
        outside: "$S -n -D /var /usr/sbin/mark $T",
        outside_by: SCOPED,
        outside_is: Is::No,
        looks: "mark",
        but: &[(
            Sudo::Rs,
            Is::No,
            Is::No,
            "its rule has no `CWD=*`, as nothing would compare the directory with the grant",
        )],
    },
    Row {
        option: "-R",
        inside: "$S -n -R / /usr/sbin/mark $T",
        by: FULL,
        inside_is: NEVER,
        outside: "$S -n -R / /usr/sbin/mark $T",
        outside_by: SCOPED,
        outside_is: Is::No,
        looks: "mark",
        but: &[],
    },
    Row {
        option: "-h",
        inside: "$S -n -h elsewhere /usr/sbin/mark $T",
        by: FULL,
        inside_is: NEVER,
        outside: "$S -n -h elsewhere /usr/sbin/mark $T",
        outside_by: SCOPED,
        outside_is: Is::No,
        looks: "mark",
        but: &[],
    },
    Row {
        option: "-E",
        inside: "MARK=kept $S -n -E /usr/sbin/mark $T",
        by: FULL,
        inside_is: NEVER,
        outside: "MARK=kept $S -n -E /usr/sbin/mark $T",
        outside_by: SCOPED,
        outside_is: Is::No,
        looks: "mark",
        but: &[(
            Sudo::Rs,
            AS_ROOT,
            Is::No,
            "0.2.5 warns, ignores the option and keeps no variable",
        )],
    },
    Row {
        option: "VAR=value",
        inside: "$S -n LC_MESSAGES=C /usr/sbin/mark $T",
        by: SCOPED,
        inside_is: Is::Ran("0:0:/home/alice:C"),
        outside: "$S -n MARK=given /usr/sbin/mark $T",
        outside_by: SCOPED,
        outside_is: Is::No,
        looks: "mark",
        but: &[],
    },
];

/// Why classic sudo never lets an option pass.
const REASONS: [(&str, &str); 4] = [
    (
        "-C",
        "sudo refuses it unless `closefrom_override` is set; no grant covers it",
    ),
    (
        "-R",
        "no grant covers another root directory (CVE-2025-32463)",
    ),
    (
        "-h",
        "sudo takes another host only for listings (CVE-2025-32462); sudo-rs has no such option",
    ),
    (
        "-E",
        "the rule says `NOSETENV`: no variable is kept that sudo does not keep by itself",
    ),
];

impl Row {
    fn is(&self, sudo: Sudo) -> (Is, Is) {
        self.but
            .iter()
            .find(|(other, ..)| *other == sudo)
            .map_or((self.inside_is, self.outside_is), |b| (b.1, b.2))
    }

    /// The grant under which the first cell is in scope.
    fn covered_by(&self, sudo: Sudo) -> &'static str {
        if sudo == Sudo::Rs { FULL } else { self.by }
    }
}

/// A cell to run: its row, script and what must be seen.
struct Cell {
    name: String,
    script: String,
    looks: &'static str,
    is: Is,
}

fn cell(row: usize, sudo: Sudo, state: &str, inside: bool, is: Is) -> Cell {
    let r = &ROWS[row];
    let name = format!("{state}-{}-{row}", sudo.program());
    let script = if inside { r.inside } else { r.outside };
    let script = script.replace("$S", sudo.program()).replace("$T", &name);
    Cell {
        name,
        script: format!("cd; {script}"),
        looks: r.looks,
        is,
    }
}

/// Runs the cells as alice and says which of them are not as they must be.
fn run(host: &Host, cells: &[Cell], wrong: &mut Vec<String>) {
    let list: Vec<Value> = cells
        .iter()
        .map(|c| {
            let runs = matches!(c.is, Is::Ran(_) | Is::Half(_));
            json!([c.name, c.script, c.looks, runs])
        })
        .collect();
    host.write("/run/cells.json", &Value::from(list).to_string());
    let seen = host
        .run_as("alice", "python3 /usr/local/bin/runner </run/cells.json")
        .ok();
    let seen = seen.json();
    let seen = seen.as_array().unwrap();
    assert_eq!(seen.len(), cells.len());
    for (cell, result) in cells.iter().zip(seen) {
        let rc = result["rc"].as_i64().unwrap();
        let mark = result["seen"].as_str();
        let good = match cell.is {
            Is::Ran(what) => rc == 0 && mark == Some(what),
            Is::Zero => rc == 0 && mark.is_none(),
            Is::No => rc != 0 && mark.is_none(),
            Is::Half(what) => rc != 0 && mark == Some(what),
        };
        if !good {
            wrong.push(format!("{}: not {:?}, but {result}", cell.script, cell.is));
        }
    }
}

fn elevate(host: &Host, role: &str, span: &str) -> Value {
    let asked = format!("jitctl --json elevate --role {role} --for {span} --reason matrix");
    host.run_as("alice", &asked).ok().json()["grant"].clone()
}

fn drop_all(host: &Host) {
    host.run_as("alice", "jitctl drop --all").ok();
}

/// Every row out of every state for the sudos of one host.
fn matrix(release: Release, sudos: &[Sudo]) {
    let host = Host::boot(release, true);
    host.sh(&format!(
        "cat >>/etc/jit/policy/roles.toml <<'END'\n{ROLES}\nEND\ninstall -d -m 1777 /run/marks; echo >/etc/edit-in; echo >/etc/edit-out"
    ))
    .ok();
    for (path, text) in [
        ("/usr/sbin/mark", MARK),
        ("/usr/sbin/other", MARK),
        ("/usr/bin/word", EDITOR),
        ("/usr/local/bin/runner", RUNNER),
    ] {
        host.write(path, text);
    }
    host.sh("chmod 0755 /usr/sbin/mark /usr/sbin/other /usr/bin/word")
        .ok();
    host.set_up();
    let mut wrong = Vec::new();
    let each = |state: &str, inside: bool, which: &dyn Fn(&Row, Sudo) -> Option<Is>| {
        let mut cells = Vec::new();
        for &sudo in sudos {
            for (at, row) in ROWS.iter().enumerate() {
                if let Some(is) = which(row, sudo) {
                    cells.push(cell(at, sudo, state, inside, is));
                }
            }
        }
        cells
    };
    for role in [FULL, SCOPED, NO_DOOR] {
        elevate(&host, role, "5m");
        let inside = each(&format!("in-{role}"), true, &|row, sudo| {
            (row.covered_by(sudo) == role).then(|| row.is(sudo).0)
        });
        run(&host, &inside, &mut wrong);
        let outside = each(&format!("out-{role}"), false, &|row, sudo| {
            (row.outside_by == role).then(|| row.is(sudo).1)
        });
        run(&host, &outside, &mut wrong);
        if role == SCOPED && sudos.contains(&Sudo::Rs) {
            sudo_rs_names_the_other(&host);
        }
        drop_all(&host);
    }

    // What a full grant gave is asked for again when it is over, in each way that it may be.
    let never = |state: &str| each(state, true, &|_, _| Some(Is::No));
    let grant = elevate(&host, FULL, "1s");
    grants::proof(
        &host,
        grant["id"].as_str().unwrap(),
        Duration::from_secs(10),
    );
    run(&host, &never("expired"), &mut wrong);

    let grant = elevate(&host, FULL, "5m");
    let id = grant["id"].as_str().unwrap();
    host.run(&["jitctl", "revoke", id, "--reason", "matrix"])
        .ok();
    grants::proof(&host, id, Duration::from_secs(10));
    run(&host, &never("revoked"), &mut wrong);

    elevate(&host, FULL, "5m");
    host.sh("systemctl mask --now --runtime jit-agent.service jit-agent.socket jit-gate.socket jit-link.socket")
        .ok();
    run(&host, &never("dead"), &mut wrong);
    host.sh("sudo -n true && runuser -u carol -- sudo -n true")
        .ok();

    // Nothing came late either.
    let late = host
        .sh("ls /run/marks | grep -v ^in-; cat /etc/edit-out")
        .stdout;
    let half: Vec<_> = late
        .lines()
        .filter(|l| !l.is_empty() && !l.contains("-7+1"))
        .collect();
    assert!(half.is_empty(), "ran after all: {half:?}");
    assert!(
        wrong.is_empty(),
        "{} cells:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// A grant with limits, in and out of them: sudo-rs says why not, and which sudo can.
fn sudo_rs_names_the_other(host: &Host) {
    // On a terminal of its own: sudo-rs shows what PAM says nowhere else.
    host.sh("runuser -u alice -- script --quiet --return --command 'sudo-rs -n /usr/sbin/mark rs' /dev/null")
        .refused()
        .says("sudo-rs cannot hold grant")
        .says("it names its commands")
        .says("Use the other sudo of this host, which can: /usr/bin/sudo");
    host.wait_refusal("sudo-rs cannot hold grant");
    host.sh("test ! -e /run/marks/rs").ok();
}

#[test]
fn sudo_1_9_13_of_debian_12() {
    matrix(Release::Bookworm, &[Sudo::Old]);
}

#[test]
fn sudo_1_9_16_and_sudo_rs_of_debian_13() {
    matrix(Release::Trixie, &[Sudo::New, Sudo::Rs]);
}

fn shown(is: Is) -> &'static str {
    match is {
        Is::Ran(_) | Is::Zero => "works",
        Is::No => "refused",
        Is::Half(_) => "only the part in scope",
    }
}

#[test]
fn the_page_of_the_matrix_is_this_table() {
    let mut page = String::from(
        "# What works in which sudo\n\n\
         Held by `tests/tests/matrix.rs`, which runs each cell on booted hosts and looks at what ran, as whom, and what sudo returned.\n\
         \"In scope\" is under a grant that covers the call (for sudo-rs a grant without limits), \"out of scope\" under one that does not (for `-l` and `-v` a\n\
         grant without the door sudo). **Expired, revoked, agent dead: refused in every cell of every sudo.**\n\n\
         | | sudo 1.9.13 in scope | out of scope | sudo 1.9.16 in scope | out of scope | sudo-rs 0.2.5 in scope | out of scope |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let mut reasons = String::new();
    for row in &ROWS {
        let option = row.option;
        let _ = write!(page, "| `{option}` ");
        for sudo in ALL {
            let (inside, outside) = row.is(sudo);
            let _ = write!(page, "| {} | {} ", shown(inside), shown(outside));
        }
        page.push_str("|\n");
        if let Some((_, why)) = REASONS.iter().find(|(o, _)| *o == option) {
            let _ = writeln!(reasons, "- `{option}`: {why}.");
        }
        for (sudo, _, _, why) in row.but {
            let _ = writeln!(reasons, "- `{option}` with {}: {why}.", sudo.program());
        }
    }
    page.push_str("\nWhere a call in scope is refused, or a cell differs:\n");
    page.push_str(&reasons);
    page.push_str(
        "\nFurther limits: `sudo -l CMD` of classic sudo goes by its generic `ALL` line and returns 0 for every command while a grant lives; the grant's own\n\
         commands stand in the listing, and the scope is asked when something runs. sudo-rs lists the rules of the roles.\n",
    );
    let path = project::root().join("docs/reference/sudo-matrix.md");
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    if found != page {
        let wanted = project::root().join("target/sudo-matrix.md");
        std::fs::write(&wanted, &page).unwrap();
        panic!(
            "{} is not this table: copy {}",
            path.display(),
            wanted.display()
        );
    }
}
