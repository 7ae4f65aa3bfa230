//! Stock `ssh-agent` and `ssh-add` hold the keys; what comes out is verified as a host would.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation is a failed test"
)]

use api::ssh_agent::{SshAgent, SshAgentError};
use statement::sshsig::{NAMESPACE, SshSig};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use tempfile::TempDir;

/// A real agent; it ends with the test.
struct Real {
    dir: TempDir,
    agent: Child,
}

impl Real {
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let mut agent = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(dir.path().join("sock"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("ssh-agent, of the package openssh-client");
        // It says where it listens once it does.
        let mut said = String::new();
        BufReader::new(agent.stdout.take().unwrap())
            .read_line(&mut said)
            .unwrap();
        Self { dir, agent }
    }

    fn ask(&self) -> SshAgent {
        SshAgent::connect(&self.dir.path().join("sock")).unwrap()
    }

    fn run(&self, program: &str, args: &[&str]) {
        let done = Command::new(program)
            .args(args)
            .current_dir(self.dir.path())
            .env("SSH_AUTH_SOCK", self.dir.path().join("sock"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    fn add(&self, name: &str, kind: &[&str]) {
        let args = [&["-q", "-N", "", "-C", name, "-f", name], kind].concat();
        self.run("ssh-keygen", &args);
        self.run("ssh-add", &["-q", name]);
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

fn public(dir: &Path, name: &str) -> String {
    let text = std::fs::read_to_string(dir.join(format!("{name}.pub"))).unwrap();
    text.rsplit_once(' ').unwrap().0.to_owned()
}

#[test]
fn keys_of_a_real_agent_sign_what_hosts_take() {
    let real = Real::start();
    assert!(matches!(real.ask().keys(), Err(SshAgentError::NoKey)));
    real.add("rsa", &["-t", "rsa", "-b", "2048"]);
    real.add("p384", &["-t", "ecdsa", "-b", "384"]);
    assert!(matches!(real.ask().keys(), Err(SshAgentError::NoKey)));
    real.add("ed", &["-t", "ed25519"]);
    real.add("p256", &["-t", "ecdsa", "-b", "256"]);

    let mut agent = real.ask();
    let held = agent.keys().unwrap();
    let names: Vec<&str> = held.iter().map(|h| h.comment.as_str()).collect();
    assert_eq!(names, ["ed", "p256"]);
    for one in &held {
        assert_eq!(one.key.text(), public(real.dir.path(), &one.comment));
        // Numbers of ECDSA signatures are shorter now and then.
        for n in 0..16u8 {
            let armour = agent.sign(&one.key, NAMESPACE, &[n]).unwrap();
            let signature = SshSig::parse(&armour).unwrap();
            assert_eq!(signature.key(), &one.key);
            signature.verify(NAMESPACE, &[n]).unwrap();
            assert!(signature.verify(NAMESPACE, &[n, n]).is_err());
            assert!(signature.verify("git", &[n]).is_err());
        }
    }
    // Exactly the armour of ssh-keygen: Ed25519 has one signature for one message.
    std::fs::write(real.dir.path().join("m"), "message").unwrap();
    real.run(
        "ssh-keygen",
        &["-Y", "sign", "-q", "-f", "ed", "-n", NAMESPACE, "m"],
    );
    let theirs = std::fs::read_to_string(real.dir.path().join("m.sig")).unwrap();
    assert_eq!(
        agent.sign(&held[0].key, NAMESPACE, b"message").unwrap(),
        theirs
    );
    // What it no longer holds it does not sign with.
    real.run("ssh-add", &["-q", "-D"]);
    let refused = agent.sign(&held[0].key, NAMESPACE, b"message");
    assert!(matches!(refused, Err(SshAgentError::Refused)));
}

/// An agent that answers whatever is asked with these bytes.
fn answering(answer: Vec<u8>) -> (TempDir, SshAgent) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4];
        while stream.read_exact(&mut head).is_ok() {
            let mut body = vec![0; u32::from_be_bytes(head) as usize];
            stream.read_exact(&mut body).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    let agent = SshAgent::connect(&path).unwrap();
    (dir, agent)
}

fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&length, body].concat()
}

#[test]
fn an_agent_that_answers_nonsense_is_no_agent() {
    for (name, answer) in [
        ("nothing", framed(&[])),
        ("failure", framed(&[5])),
        ("another answer", framed(&[14, 0, 0, 0, 0])),
        ("fewer keys than promised", framed(&[12, 0, 0, 0, 1])),
        ("more than it says", framed(&[12, 0, 0, 0, 0, 0])),
        (
            "longer than it is",
            framed(&[12, 0, 0, 0, 1, 255, 255, 255, 255]),
        ),
        ("endless", vec![255; 8]),
    ] {
        let (_dir, mut agent) = answering(answer);
        let got = agent.keys();
        assert!(
            matches!(got, Err(SshAgentError::Garbled)),
            "{name}: {got:?}"
        );
    }
    // A signature of its own over something else.
    let real = Real::start();
    real.add("ed", &["-t", "ed25519"]);
    let key = real.ask().keys().unwrap().remove(0).key;
    let wrong = [
        &[14, 0, 0, 0, 83],
        &framed(b"ssh-ed25519")[..],
        &framed(&[7; 64]),
    ]
    .concat();
    let (_dir, mut agent) = answering(framed(&wrong));
    let got = agent.sign(&key, NAMESPACE, b"message");
    assert!(matches!(got, Err(SshAgentError::Garbled)), "{got:?}");
}
