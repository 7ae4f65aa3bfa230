//! The program itself: signals, the service manager, and kills.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod common;

use api::token::Token;
use api::{Client, Error, Kind, NewToken, Revoke, Status};
use common::{Host, Place, ROLES, until_state};
use statement::claims::Target;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command};
use std::time::Duration;

async fn elevate(client: &Client, host: &Host) {
    let got = client.submit(&host.sign(&host.request())).await;
    assert_eq!(got.expect("answer").status, Status::Accepted);
}

async fn revoke(client: &Client, target: Target) -> Result<u64, Error> {
    let revoke = Revoke {
        target,
        reason: "test".to_owned(),
    };
    client.revoke(&revoke).await.map(|r| r.serial)
}

/// The real program, to be killed.
struct Program {
    child: Child,
}

impl Program {
    fn start(place: &Place) -> Self {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid())
            .expect("users")
            .map_or_else(|| "root".to_owned(), |u| u.name);
        let config = place.dir.path().join("issuer.toml");
        let text = format!(
            "socket = {:?}\nstate_dir = {:?}\nroles = {:?}\nlink_user = {user:?}\n{}",
            place.config.socket,
            place.config.state_dir,
            place.config.roles,
            place.https_text(),
        );
        std::fs::write(&config, text).expect("config");
        let child = Command::new(env!("CARGO_BIN_EXE_jit-issuer"))
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .env("NOTIFY_SOCKET", place.dir.path().join("notify"))
            .stderr(std::fs::File::create(place.dir.path().join("log")).expect("log"))
            .spawn()
            .expect("program");
        Self { child }
    }

    async fn answers(&self, client: &Client) {
        let up = async {
            while client.health().await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), up)
            .await
            .expect("up");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn after_a_kill_no_number_comes_again_and_nothing_answered_is_lost() {
    let place = Place::new();
    let client = place.client();
    let mut host: Option<Host> = None;
    let (mut seq, mut after, mut state_seq, mut serial) = (0, 0, 0, 0);
    for round in 1..=3 {
        let program = Program::start(&place);
        program.answers(&client).await;
        let host = match host.take() {
            Some(h) => host.insert(h),
            None => host.insert(Host::enrolled("a", &client).await),
        };
        elevate(&client, host).await;
        let mut events = client.stream(&host.id, after, None).await.expect("stream");
        let got = until_state(&mut events).await;
        let granted = got.iter().find(|e| e.kind == Kind::Grant).expect("grant");
        let grant = host.grant(granted);
        assert_eq!(grant.claims().seq, seq + 1);
        seq = grant.claims().seq;
        let state = host.state(got.last().expect("state"));
        assert!(state.state_seq > state_seq, "round {round}");
        state_seq = state.state_seq;
        let now = revoke(&client, Target::Grant(grant.claims().jti.clone())).await;
        assert_eq!(now.expect("serial"), serial + 1);
        serial += 1;
        after = granted.id.expect("number");
        // Answered: it must be there after the kill, which comes at once.
        drop(program);
        let program = Program::start(&place);
        program.answers(&client).await;
        let mut events = client.stream(&host.id, after, None).await.expect("stream");
        let got = until_state(&mut events).await;
        assert_eq!(host.revocation(&got[0]).serial, serial);
        let state = host.state(got.last().expect("state"));
        assert_eq!(state.rev_serial, serial);
        assert!(state.state_seq > state_seq, "round {round}");
        state_seq = state.state_seq;
        after = got[0].id.expect("number");
    }
}

/// What is written is read by many: no secret of anybody, and no statement, is in it.
#[tokio::test]
async fn no_secret_and_no_statement_reaches_the_log() {
    let mut place = Place::new();
    let ca = place.https();
    let client = place.client();
    let program = Program::start(&place);
    program.answers(&client).await;
    let new = NewToken {
        host: "a".to_owned(),
        labels: [].into(),
        life_s: 60,
        replace: false,
    };
    let text = client.new_token(&new).await.expect("token").token;
    let token = Token::decode(&text).expect("token");
    let mut host = Host::new("a");
    // Used in vain, by a wrong proof, and well.
    let refused = host.join(&token, |proof| proof.iss.push('x')).await;
    assert!(refused.is_err());
    host.join(&token, |_| ()).await.expect("enrolled");
    let request = host.sign(&host.request());
    client.submit(&request).await.expect("answer");
    client.submit("rubbish").await.expect_err("refused");
    let away = place.away(&ca.roots());
    let word = host.say(&host.word());
    for word in [word.as_str(), "rubbish"] {
        let _ = away.stream(&host.id, 0, Some(word)).await;
    }
    drop(program);
    let log = std::fs::read_to_string(place.dir.path().join("log")).expect("log");
    assert!(log.contains("enrolled"), "{log}");
    let keys = std::fs::read_dir(place.config.state_dir.join("keys")).expect("keys");
    let keys = keys.map(|k| std::fs::read(k.expect("key").path()).expect("key"));
    let secrets = [text, token.secret, request, word];
    for secret in secrets
        .into_iter()
        .chain(keys.map(|k| statement::digest::encode(&k)))
    {
        // Its end: a beginning may be the same for all of a kind.
        let end = &secret[secret.len() - 24..];
        assert!(!log.contains(end), "{end} is in the log:\n{log}");
    }
}

#[tokio::test]
async fn the_program_says_ready_reloads_on_hup_and_stops_on_term() {
    let place = Place::new();
    let client = place.client();
    let notify = UnixDatagram::bind(place.dir.path().join("notify")).expect("bind");
    notify
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("timeout");
    let heard = || {
        let mut buffer = [0; 64];
        let n = notify.recv(&mut buffer).expect("a word in time");
        String::from_utf8_lossy(&buffer[..n]).trim_end().to_owned()
    };
    let mut program = Program::start(&place);
    assert_eq!(heard(), "READY=1");
    assert_eq!(
        client.health().await.expect("ready means ready").policy_ver,
        1
    );

    let signal = |name: &str| {
        let done = Command::new("kill")
            .args(["-s", name, &program.child.id().to_string()])
            .status();
        assert!(done.expect("kill").success());
    };
    place.roles(&format!("{ROLES}# changed\n"));
    signal("HUP");
    // A new entry wakes the tail, which tells the watchdog.
    assert_eq!(heard(), "WATCHDOG=1");
    assert_eq!(client.health().await.expect("health").policy_ver, 2);
    signal("TERM");
    while heard() != "STOPPING=1" {}
    assert_eq!(program.child.wait().expect("end").code(), Some(0));
}
