//! What the README and the first how-to tell a newcomer to type, typed: the very lines of their code blocks, on a Debian that has
//! nothing but the built packages in a folder. From `apt install` to a working sudo it takes less than two minutes. And the page
//! on hooks, with a receiver that goes away.
#![cfg(feature = "e2e")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::time::{Duration, Instant};

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use jit_tests::net::certified;
use jit_tests::{Host, Release, project};
use serde_json::Value;
use standardwebhooks::Webhook;

const LIMIT: Duration = Duration::from_secs(120);

/// One line that somebody types.
struct Line {
    user: String,
    command: String,
    /// The text says so behind it.
    refused: bool,
}

/// The lines of all code blocks of a text. Whose they are is said by their prompt, else by the last sentence before that begins
/// with "As"; else they are root's.
fn lines(text: &str) -> Vec<Line> {
    let (mut inside, mut user, mut found) = (false, "root".to_owned(), Vec::new());
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if !inside {
            if let Some(rest) = line.strip_prefix("As ") {
                user = rest.split([' ', ',']).next().unwrap().to_owned();
            }
        } else if !line.trim().is_empty() {
            let (command, comment) = line.split_once(" # ").unwrap_or((line, ""));
            let (user, command) = match command.split_once(' ') {
                Some((prompt, rest)) if prompt.ends_with(['$', '#']) => {
                    (prompt[..prompt.len() - 1].to_owned(), rest)
                }
                _ => (user.clone(), command),
            };
            let refused = comment.trim_start().starts_with("refused");
            let command = command.trim().to_owned();
            found.push(Line {
                user,
                command,
                refused,
            });
        }
    }
    found
}

#[test]
fn a_newcomer_is_root_for_a_while_within_two_minutes_on_debian_12() {
    newcomer(Release::Bookworm);
}

#[test]
fn a_newcomer_is_root_for_a_while_within_two_minutes_on_debian_13() {
    newcomer(Release::Trixie);
}

fn newcomer(release: Release) {
    let text = |path: &str| std::fs::read_to_string(project::root().join(path)).unwrap();
    let readme = text("README.md");
    let (_, readme) = readme.split_once("\n## On one host\n").unwrap();
    let (readme, _) = readme.split_once("\n## ").unwrap();
    for (name, page) in [
        ("README.md", readme),
        ("first-host.md", &text("docs/how-to/first-host.md")),
    ] {
        follow(release, name, &lines(page));
    }
}

/// Types the lines one after the other, in the folder where the packages were built.
#[track_caller]
fn follow(release: Release, name: &str, lines: &[Line]) {
    let host = Host::boot(release, false);
    host.run(&["mkdir", "-p", "/root/target"]).ok();
    host.bring(&project::packages());
    host.run(&["mv", "/root/packages", "/root/target/packages"])
        .ok();
    let start = Instant::now();
    let mut root = None;
    let (mut elevated, mut refused) = (false, 0);
    // The build is the one line that is not typed here.
    for line in lines.iter().filter(|l| l.command != "make packages") {
        let script = format!("set -e; {}", line.command);
        let said = match line.user.as_str() {
            "root" => host.sh(&format!("cd /root; {script}")),
            user => host.run_as(user, &script),
        };
        if line.refused {
            refused += 1;
            said.refused().says("jitctl elevate");
            continue;
        }
        said.ok();
        elevated |= line.command.starts_with("jitctl elevate");
        if elevated && root.is_none() {
            host.run_as(&line.user, "sudo -n id -u").ok().says("0");
            root = Some(start.elapsed());
        }
    }
    let took = root.unwrap_or_else(|| panic!("{name}: nobody was root"));
    eprintln!(
        "{name}: root after {took:?}, all lines after {:?}",
        start.elapsed()
    );
    assert!(took < LIMIT, "{name}: {took:?}");
    // Its last lines gave it back, and refused it was before.
    host.run_as("alice", "sudo -n id")
        .refused()
        .says("jitctl elevate");
    assert_eq!(refused, usize::from(name != "README.md"), "{name}");
}

/// What is between the fences, as it would be copied out.
fn blocks(text: &str) -> Vec<String> {
    let (mut found, mut open): (Vec<String>, Option<String>) = (Vec::new(), None);
    for line in text.lines() {
        open = match (line.trim_start().starts_with("```"), open) {
            (true, None) => Some(String::new()),
            (true, Some(block)) => {
                found.push(block);
                None
            }
            (false, open) => {
                open.map(|block| block + line.strip_prefix("   ").unwrap_or(line) + "\n")
            }
        };
    }
    found
}

/// Writes down what comes.
const RECEIVER: &str = r#"
import http.server, json, ssl
class In(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        came = {"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body}
        with open("/root/came", "a") as f:
            f.write(json.dumps(came) + "\n")
        self.send_response(204)
        self.end_headers()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/root/chat.pem", "/root/chat.key")
server = http.server.HTTPServer(("10.20.0.7", 443), In)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

const ASKED: &str = r#"
default = "admin"
[roles.admin]
max = "1h"
max_stale = "5m"
doors = ["sudo"]
runas = "ALL"
commands = "ALL"
shell = true
auth = "none"
[[approve]]
name = "people"
roles = ["admin"]
effect = "approve"
levels = [{ group = "ops", count = 1 }]
"#;

/// Once so many came: subject, kind and text of each. The library of the Standard Webhooks project says whether they are signed.
fn told(host: &Host, count: usize) -> Vec<(String, String, String)> {
    let all = format!("test $(wc -l </root/came) -ge {count}");
    host.wait_for("the events", Duration::from_secs(60), &all);
    let judge = Webhook::new(host.read("/etc/jit/hooks/chat.secret").trim()).unwrap();
    let came = host.read("/root/came");
    let event = |line: &str| {
        let came: Value = serde_json::from_str(line).unwrap();
        assert_eq!(came["path"], "/hooks/jit");
        let headers: HeaderMap = came["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_str(value.as_str().unwrap()).unwrap();
                (name.parse::<HeaderName>().unwrap(), value)
            })
            .collect();
        let body = came["body"].as_str().unwrap();
        judge.verify(body.as_bytes(), &headers).unwrap();
        let event: Value = serde_json::from_str(body).unwrap();
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        let kind = text(&event["type"]).replace("org.jitctl.", "");
        (text(&event["subject"]), kind, text(&event["data"]["text"]))
    };
    came.lines().map(event).collect()
}

#[test]
fn a_hook_set_up_as_its_page_says_tells_what_approvers_need_also_after_its_receiver_was_away() {
    let page = std::fs::read_to_string(project::root().join("docs/how-to/hooks.md")).unwrap();
    let blocks = blocks(&page);
    let [secret, hook, unit, outgoing, ..] = &blocks[..] else {
        panic!("{blocks:?}")
    };
    let host = Host::ready();
    let (ca, certificate, key) = certified("chat.example.org");
    host.sh("ip addr add 10.20.0.7/32 dev lo; echo 10.20.0.7 chat.example.org >>/etc/hosts; install -d /etc/jit/tls").ok();
    for (path, text) in [
        ("/etc/jit/tls/ca.pem", ca.as_str()),
        ("/root/chat.pem", &certificate),
        ("/root/chat.key", &key),
        ("/root/chat.py", RECEIVER),
        ("/etc/jit/policy/roles.toml", ASKED),
    ] {
        host.write(path, text);
    }
    let receiver = "systemd-run -q --unit=chat python3 /root/chat.py";
    host.sh(receiver).ok();

    // Its four steps; `systemctl edit` writes this file.
    host.sh(&format!("set -e; {secret}")).ok();
    let sample = host.read("/etc/jit/issuer.toml");
    host.write(
        "/etc/jit/issuer.toml",
        &format!("{sample}\n{hook}\n{outgoing}"),
    );
    host.sh("mkdir /etc/systemd/system/jit-issuer.service.d")
        .ok();
    let opened = unit.replace("192.0.2.7 192.0.2.53", "10.20.0.7");
    assert_ne!(&opened, unit);
    host.write(
        "/etc/systemd/system/jit-issuer.service.d/override.conf",
        &opened,
    );
    host.sh("systemctl daemon-reload && jitctl config check && systemctl restart jit-issuer")
        .ok();

    let ask = |options: &str| {
        let asked = format!("jitctl elevate --no-wait --for 5m --json {options}");
        let asked = host.run_as("alice", &asked).exits(4).json();
        asked["request"].as_str().unwrap().to_owned()
    };
    let first = ask("--reason 'disk full' --ticket OPS-1");
    let came = told(&host, 1);
    let (of, kind, text) = &came[0];
    assert_eq!((of, kind.as_str()), (&first, "waiting.v1"));
    for must in [
        "alice (uid ",
        " as admin: waits for 1 of ops.",
        "\nhost: spiffe://local.",
        "\ncommands: ANY",
        "\nrisk: ROOT-EQUAL",
        "\nhow long: 5m",
        "\nwhy: disk full",
        "\nticket: OPS-1",
        &format!("\nto approve: jitctl approve {first}"),
    ] {
        assert!(text.contains(must), "{must}\n{text}");
    }

    // Away, while things happen.
    host.sh("systemctl stop chat").ok();
    host.sh(&format!(
        "jitctl deny {first} --reason 'not now' --issuer unix:/run/jit-issuer/api.sock"
    ))
    .ok();
    let second = ask("--reason again");
    host.sh(&format!(
        "jitctl approve {second} --yes --issuer unix:/run/jit-issuer/api.sock"
    ))
    .ok();
    host.wait_record("the grant", |r| {
        r["type"] == "grant" && r["request"] == second.as_str()
    });
    host.wait_for(
        "the word of the log",
        Duration::from_secs(20),
        "journalctl -u jit-issuer | grep -q 'hook chat: .* were not taken'",
    );
    assert_eq!(host.read("/root/came").lines().count(), 1);
    host.sh(receiver).ok();
    let came = told(&host, 4);
    let of = |id: &str| -> Vec<&str> {
        let mine = came.iter().filter(|(of, ..)| of == id);
        mine.map(|(_, kind, _)| kind.as_str()).collect()
    };
    assert_eq!(of(&first), ["waiting.v1", "denied.v1"]);
    assert_eq!(of(&second), ["waiting.v1", "granted.v1"]);
}
