//! A policy that is a folder: what the issuer takes of it, and when it wants a second person to have looked.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

mod common;

use api::{Client, Status};
use common::{Host, Place, ROLES, Running, admin, until_state};
use jit_issuer::serve::Order;
use statement::claims::Request;
use std::path::{Path, PathBuf};
use std::process::Command;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// `ROLES` without its rules.
fn roles() -> String {
    ROLES.split("[[approve]]").next().expect("head").to_owned()
}

/// The rule of a policy in Rego: the body of what is automatic.
fn rego(body: &str) -> String {
    format!(
        "package jit\n\ndecision := {{\"effect\": \"automatic\", \"rule\": \"r\", \"max\": \"30m\"}} if {{\n\t{body}\n}}\n"
    )
}

struct Folder(PathBuf);

impl Folder {
    fn of(place: &Place) -> Self {
        let folder = Self(place.dir.path().to_owned());
        folder.write("roles.toml", &roles());
        folder
    }

    fn write(&self, name: &str, text: &str) {
        let to = self.0.join(name);
        std::fs::create_dir_all(to.parent().expect("folder")).expect("folder");
        std::fs::write(to, text).expect(name);
    }
}

/// All that was ordered before has been done: the third is taken when the first is through.
async fn reload(running: &Running) {
    for _ in 0..3 {
        running.order(Order::Reload).await;
    }
}

async fn ask(client: &Client, host: &Host, dur: u64) -> (Status, String) {
    let jws = host.sign(&Request {
        dur,
        ..host.request()
    });
    let answer = client.submit(&jws).await.expect("answer");
    (answer.status, answer.detail)
}

async fn version(client: &Client) -> u64 {
    client.health().await.expect("health").policy_ver
}

#[tokio::test]
async fn rules_in_rego_decide_the_commit_is_signed_and_a_bad_folder_changes_nothing() {
    let place = Place::new();
    let folder = Folder::of(&place);
    folder.write("jit.rego", &rego("input.requester.login == \"alice\""));
    folder.write("commit", COMMIT);
    folder.write("README.md", "not of the policy");
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    let mut events = client.stream(&host.id, 0, None).await.expect("stream");
    let got = until_state(&mut events).await;
    let signed = statement::verify_policy(&got[0].data, host.ring()).expect("policy");
    assert_eq!(signed.commit.as_deref(), Some(COMMIT));
    let files = policy::dir::read(&folder.0).expect("files");
    assert_eq!(signed.digest, files.digest());
    assert_eq!(admin().login, "alice");
    assert_eq!(ask(&client, &host, 60).await.0, Status::Accepted);
    let (status, why) = ask(&client, &host, 1801).await;
    assert_eq!(status, Status::Denied);
    assert!(why.contains("gives at most 30m"), "{why}");

    for (name, bad) in [
        ("jit.rego", "package jit\ndecision := ".to_owned()),
        ("jit.rego", rego("unknown.builtin(1)")),
        ("jit.rego", rego("undefined_variable == 1")),
        ("roles.toml", format!("{}\nunknown = 1\n", roles())),
        ("approvers/ops", "alice ssh-ed25519 AAAA".to_owned()),
        ("commit", "HEAD".to_owned()),
    ] {
        let before = std::fs::read_to_string(folder.0.join(name)).ok();
        folder.write(name, &bad);
        reload(&running).await;
        assert_eq!(version(&client).await, 1, "{name}: {bad}");
        assert_eq!(ask(&client, &host, 60).await.0, Status::Accepted, "{bad}");
        match before {
            Some(text) => folder.write(name, &text),
            None => std::fs::remove_file(folder.0.join(name)).expect("removed"),
        }
    }
    // Taken without a restart, and only now.
    folder.write("jit.rego", &rego("input.requester.login == \"bob\""));
    reload(&running).await;
    assert_eq!(version(&client).await, 2);
    assert_eq!(ask(&client, &host, 60).await.0, Status::Denied);
    running.stop().await;
    // A restart with a fault keeps the last good one, too.
    folder.write("jit.rego", "package jit\ndecision := ");
    let running = place.start().await;
    assert_eq!(version(&client).await, 2);
    running.stop().await;
}

/// A key of its own for `name`, and the line that lists it.
fn key(dir: &Path, name: &str) -> String {
    let file = dir.join(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "x", "-f"])
        .arg(&file)
        .status();
    assert!(made.expect("ssh-keygen is needed").success());
    let public = std::fs::read_to_string(file.with_extension("pub")).expect("public half");
    let words: Vec<&str> = public.split(' ').collect();
    format!(
        "{} {} {}\n",
        name.trim_end_matches(char::is_numeric),
        words[0],
        words[1]
    )
}

fn sign(dir: &Path, name: &str, text: &str) -> String {
    let file = dir.join("signed");
    std::fs::write(&file, text).expect("text");
    let sig = dir.join("signed.sig");
    let _ = std::fs::remove_file(&sig);
    let done = Command::new("ssh-keygen")
        .args([
            "-q",
            "-Y",
            "sign",
            "-n",
            policy::approvers::POLICY_NAMESPACE,
            "-f",
        ])
        .arg(dir.join(name))
        .arg(&file)
        .status();
    assert!(done.expect("ssh-keygen is needed").success());
    std::fs::read_to_string(sig).expect("signature")
}

#[tokio::test]
async fn what_gives_more_to_requests_of_the_past_needs_two_signatures() {
    let mut place = Place::new();
    place.config.policy_review = Some("policy".to_owned());
    let keys = tempfile::tempdir().expect("directory");
    let keys = keys.path();
    let folder = Folder::of(&place);
    let group: String = ["ann1", "ann2", "ben1"].map(|n| key(keys, n)).concat();
    let stranger = key(keys, "eve1");
    folder.write("approvers/policy", &group);
    folder.write("jit.rego", &rego("input.duration <= 60"));
    let running = place.start().await;
    let client = place.client();
    let host = Host::enrolled("a", &client).await;
    assert_eq!(ask(&client, &host, 60).await.0, Status::Accepted);
    assert_eq!(ask(&client, &host, 90).await.0, Status::Denied);

    // Wider, but nobody ever asked for it: taken.
    folder.write("jit.rego", &rego("input.duration <= 61"));
    reload(&running).await;
    assert_eq!(version(&client).await, 2);
    // Now somebody had asked.
    let wide = rego("input.duration <= 120");
    folder.write("jit.rego", &wide);
    let text = policy::dir::read(&folder.0).expect("files").to_text();
    let ann = sign(keys, "ann1", &text);
    let other = sign(keys, "ben1", &text.replace("120", "600"));
    let eve = sign(keys, "eve1", &text);
    let tries: &[(&str, &[&str])] = &[
        ("nobody", &[]),
        ("one person", &[&ann]),
        (
            "one person with two keys",
            &[&ann, &sign(keys, "ann2", &text)],
        ),
        ("the second signed something else", &[&ann, &other]),
        ("the second is not of the group", &[&ann, &eve]),
    ];
    for (what, signatures) in tries {
        let _ = std::fs::remove_dir_all(folder.0.join("reviews"));
        for (n, signature) in signatures.iter().enumerate() {
            folder.write(&format!("reviews/{n}.sig"), signature);
        }
        reload(&running).await;
        assert_eq!(version(&client).await, 2, "{what}");
        assert_eq!(ask(&client, &host, 90).await.0, Status::Denied, "{what}");
    }
    // Nor does a restart let it in, nor who puts himself into the group first.
    running.stop().await;
    let running = place.start().await;
    assert_eq!(version(&client).await, 2);
    folder.write("jit.rego", &rego("input.duration <= 61"));
    folder.write("approvers/policy", &format!("{group}{stranger}"));
    reload(&running).await;
    assert_eq!(version(&client).await, 2);

    folder.write("approvers/policy", &group);
    folder.write("jit.rego", &wide);
    folder.write("reviews/0.sig", &ann);
    folder.write("reviews/1.sig", &sign(keys, "ben1", &text));
    reload(&running).await;
    assert_eq!(version(&client).await, 3);
    assert_eq!(ask(&client, &host, 90).await.0, Status::Accepted);
    // Less needs nobody.
    std::fs::remove_dir_all(folder.0.join("reviews")).expect("removed");
    folder.write("jit.rego", &rego("input.duration <= 30"));
    reload(&running).await;
    assert_eq!(version(&client).await, 4);
    assert_eq!(ask(&client, &host, 60).await.0, Status::Denied);
    running.stop().await;
}
