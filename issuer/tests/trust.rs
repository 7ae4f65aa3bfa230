//! Rotation of the trust statement with root keys that are elsewhere, by the program itself.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod common;

use common::Place;
use serde_json::{Value, json};
use statement::digest::sha256_b64;
use statement::trust::{VerifiedTrust, verify_first, verify_next};
use std::path::{Path, PathBuf};
use std::process::Command;

struct Shop {
    place: Place,
    config: PathBuf,
}

impl Shop {
    fn new() -> Self {
        let place = Place::new();
        let config = place.dir.path().join("issuer.toml");
        std::fs::write(
            &config,
            format!("state_dir = {:?}\n", place.config.state_dir),
        )
        .expect("config");
        Self { place, config }
    }

    fn file(&self, name: &str) -> String {
        self.place
            .dir
            .path()
            .join(name)
            .to_string_lossy()
            .into_owned()
    }

    /// Runs `jit-issuer trust ARGS`: its output, or what it says on failing.
    fn trust(&self, args: &[&str]) -> Result<String, String> {
        let out = Command::new(env!("CARGO_BIN_EXE_jit-issuer"))
            .arg("--config")
            .arg(&self.config)
            .arg("trust")
            .args(args)
            .output()
            .expect("the program");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if out.status.success() {
            Ok(said(&out.stdout))
        } else {
            Err(said(&out.stderr))
        }
    }

    fn state(&self, name: &str) -> PathBuf {
        self.place.config.state_dir.join(name)
    }

    fn in_force(&self) -> String {
        std::fs::read_to_string(self.state("trust.json")).expect("a trust statement")
    }
}

fn first(doc: &str) -> VerifiedTrust {
    verify_first(doc, &sha256_b64(doc.as_bytes())).expect("trust")
}

fn edit(path: &str, change: impl FnOnce(&mut Value)) {
    let text = std::fs::read_to_string(path).expect("draft");
    let mut draft: Value = serde_json::from_str(&text).expect("JSON");
    change(&mut draft);
    std::fs::write(path, draft.to_string()).expect("draft");
}

#[test]
fn root_keys_elsewhere_rotate_the_trust_statement() {
    let shop = Shop::new();
    let one = first(&shop.in_force());
    let (draft, copy) = (shop.file("draft"), shop.file("copy"));
    let keys = ["a", "b", "c"].map(|n| shop.file(n));
    let public = keys
        .clone()
        .map(|k| shop.trust(&["init", &k]).expect("a key"));
    assert!(
        shop.trust(&["init", &keys[0]])
            .expect_err("it is there")
            .contains("exists")
    );

    // From the root key of this box to two of three keys elsewhere, and a rule.
    shop.trust(&["rotate", "--draft", &draft, "--new-key", "grant"])
        .expect("draft");
    edit(&draft, |d| {
        let list: Vec<Value> = public
            .iter()
            .map(|p| serde_json::from_str(p).expect("a JWK"))
            .collect();
        d["root"] = json!({ "keys": list, "threshold": 2 });
        d["rules"]["approval"] = json!({ "admin": [{ "group": "ops", "count": 2 }] });
    });
    let present = shop.state("trust.json").to_string_lossy().into_owned();
    let root = shop.state("keys/root.pk8").to_string_lossy().into_owned();
    let shown = shop
        .trust(&["sign", &draft, "--key", &root, "--present", &present])
        .expect("signed");
    assert!(
        shown.contains("+ 2 of 3 root keys must sign what comes next."),
        "{shown}"
    );
    assert!(
        shown.contains("+ Role admin must be approved by 2 of ops."),
        "{shown}"
    );
    assert!(shown.contains("- Root key"), "{shown}");
    // Copies are signed apart.
    std::fs::copy(&draft, &copy).expect("copy");
    shop.trust(&["sign", &draft, "--key", &keys[0]])
        .expect("signed");
    let few = shop
        .trust(&["rotate", "--install", &draft])
        .expect_err("one of two");
    assert!(few.contains("too few of its own"), "{few}");
    assert_eq!(
        shop.in_force(),
        std::fs::read_to_string(Path::new(&present)).expect("as before")
    );
    shop.trust(&["sign", &copy, "--key", &keys[2]])
        .expect("signed");
    let told = shop
        .trust(&["rotate", "--install", &draft, &copy])
        .expect("installed");
    assert!(told.contains("Version 2 is installed"), "{told}");
    let two = verify_next(&one, &shop.in_force()).expect("hosts take it");
    assert!(!two.ring().may_be_automatic("admin"));
    let again = shop
        .trust(&["rotate", "--install", &draft])
        .expect_err("once only");
    assert!(
        again.contains("present root keys") || again.contains("not newer"),
        "{again}"
    );

    // The next one needs two of them; the key of this box counts no more.
    shop.trust(&["rotate", "--draft", &draft, "--drop-key", "grant"])
        .expect("draft");
    std::fs::copy(&draft, &copy).expect("copy");
    shop.trust(&["sign", &copy, "--key", &root])
        .expect("signed");
    assert!(shop.trust(&["rotate", "--install", &copy]).is_err());
    edit(&draft, |d| d["rules"]["automatic"] = json!(["logs"]));
    shop.trust(&["sign", &draft, "--key", &keys[1]])
        .expect("signed");
    let other = shop
        .trust(&["rotate", "--install", &draft, &copy])
        .expect_err("two statements");
    assert!(other.contains("not signed copies of one"), "{other}");
    shop.trust(&["sign", &draft, "--key", &keys[0]])
        .expect("signed");
    shop.trust(&["rotate", "--install", &draft])
        .expect("installed");
    let three = verify_next(&two, &shop.in_force()).expect("hosts take it");
    assert_eq!(three.claims().keys.len(), 6);
    let shown = shop.trust(&["show"]).expect("words");
    assert!(shown.contains("Version 3, epoch 1."), "{shown}");
    let exposed = shop.file("exposed");
    std::fs::copy(&keys[0], &exposed).expect("copy");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&exposed, mode).expect("mode");
    assert!(
        shop.trust(&["sign", &draft, "--key", &exposed])
            .expect_err("0644")
            .contains("mode")
    );
}

/// A running issuer signs with the new key, hands every step to hosts, and signs its policy anew.
#[tokio::test]
async fn hosts_get_every_step_and_a_policy_they_can_take() {
    let shop = Shop::new();
    let one = first(&shop.in_force());
    let root = shop.state("keys/root.pk8").to_string_lossy().into_owned();
    let draft = shop.file("draft");
    let running = shop.place.start().await;
    let client = shop.place.client();
    let mut host = common::Host::new("a");
    let before = host.enrol(&client).await;
    running.stop().await;
    for key_use in ["policy", "grant"] {
        shop.trust(&["rotate", "--draft", &draft, "--drop-key", key_use])
            .expect("draft");
        shop.trust(&["sign", &draft, "--key", &root])
            .expect("signed");
        shop.trust(&["rotate", "--install", &draft])
            .expect("installed");
    }
    let running = shop.place.start().await;
    let mut stream = client.stream(&host.id, 0, None).await.expect("stream");
    let events = common::until_state(&mut stream).await;
    let of = |kind| {
        events
            .iter()
            .filter(move |e| e.kind == kind)
            .map(|e| e.data.as_str())
    };
    let mut last = one;
    for doc in of(api::Kind::Trust) {
        last = verify_next(&last, doc).expect("the next step");
    }
    assert_eq!(last.claims().trust_ver, 3);
    let policies: Vec<&str> = of(api::Kind::Policy).collect();
    assert!(statement::verify_policy(policies[0], &last.ring()).is_ok());
    assert_ne!(policies[0], before.policy);
    running.stop().await;
}
