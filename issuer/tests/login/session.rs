//! An issuer with a login, and somebody's session with the built `jitctl`.

use crate::browser::{Provider, get};
use crate::common::people::{Hands, trust};
use crate::common::{Place, ROLES};
use settings::login::Login as Settings;
use statement::people::Need;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const OPS: &str = r#"
[[approve]]
name = "ops"
roles = ["admin"]
effect = "approve"
levels = [{ group = "ops", count = 1 }]
"#;

/// jitctl of this very source, built beside the issuer.
fn jitctl() -> PathBuf {
    static BUILT: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let beside = Path::new(env!("CARGO_BIN_EXE_jit-issuer")).parent();
        let beside = beside.expect("a folder");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--package", "jitctl"])
            .arg("--target-dir")
            .arg(beside.parent().expect("the target folder"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.expect("cargo").success());
        beside.join("jitctl")
    });
    built.clone()
}

/// Is told the address that a login begins at.
pub type Browser = Box<dyn FnOnce(&str) -> Result<(), String> + Send>;

/// An issuer at whose provider alice, bob and carol log in, and a session of one of them.
pub struct Scene {
    pub hands: Hands,
    pub provider: Provider,
    pub place: Place,
    ca: PathBuf,
    session: PathBuf,
}

impl Scene {
    pub fn new() -> Self {
        let hands = Hands::new();
        let provider = Provider::start();
        let mut place = Place::new();
        place.roles(&(ROLES.split("[[approve]]").next().expect("head").to_owned() + OPS));
        trust(&place, |c| {
            c.people = hands.people();
            let one = Need {
                group: "ops".to_owned(),
                count: 1,
            };
            c.rules.approval = [("admin".to_owned(), vec![one])].into();
        });
        place.https();
        place.config.outgoing.allow = vec!["127.0.0.1".to_owned()];
        place.config.login = Some(Settings {
            issuer: provider.issuer.clone(),
            client_id: "jit".to_owned(),
            claim: "email".to_owned(),
            people: ["alice", "bob", "carol"]
                .map(|who| (format!("{who}@example.org"), who.to_owned()))
                .into(),
            claims: [].into(),
            scopes: vec!["email".to_owned()],
            required: true,
        });
        let session = place.dir.path().join("session");
        std::fs::create_dir(&session).expect("a folder");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&session, private).expect("mode");
        Self {
            ca: place.dir.path().join("ca.pem"),
            hands,
            provider,
            place,
            session,
        }
    }

    /// Puts a program there that is set to open addresses; returns where it writes what it was to open.
    pub fn opener(&self) -> PathBuf {
        let (program, opened) = (self.session.join("xdg-open"), self.session.join("opened"));
        let text = format!("#!/bin/sh\necho \"$1\" >{}\n", opened.display());
        // By another process: one that is open for writing here could not be run by a child that another test just forked.
        let written = Command::new("sh")
            .args(["-c", "printf %s \"$1\" >\"$0\" && chmod 700 \"$0\""])
            .args([program.as_os_str(), text.as_ref()])
            .status();
        assert!(written.expect("sh").success());
        opened
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let https = self.place.config.https.as_ref().expect("HTTPS");
        let mut command = Command::new(jitctl());
        command
            .args(args)
            .args(["--issuer", https.url.as_deref().expect("address"), "--ca"])
            .arg(&self.ca)
            .env_clear()
            .env("HOME", &self.session)
            .env("XDG_RUNTIME_DIR", &self.session)
            .env("PATH", &self.session)
            .env("DISPLAY", ":9")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Exit code, and everything it said.
    pub async fn jitctl(&self, args: &[&str]) -> (i32, String) {
        let mut command = self.command(args);
        let done = tokio::task::spawn_blocking(move || command.output());
        said(&done.await.expect("thread").expect("jitctl"))
    }

    /// Begins a login, and lets `browser` do what it likes with the address.
    pub async fn login(
        &self,
        browser: impl FnOnce(&str) -> Result<(), String> + Send + 'static,
    ) -> (i32, String) {
        let mut command = self.command(&["login", "--no-browser", "--within", "60s"]);
        let child = command.spawn().expect("jitctl");
        let done = tokio::task::spawn_blocking(move || through(child, browser));
        done.await.expect("thread")
    }

    pub async fn as_person(&self, who: &'static str) -> (i32, String) {
        self.login(move |url| {
            let back = get(url, who).location();
            assert_eq!(get(&back, who).status, 200);
            Ok(())
        })
        .await
    }

    /// The token that was kept.
    pub fn token(&self) -> String {
        let mut files = std::fs::read_dir(self.session.join("jit")).expect("folder");
        let file = files.next().expect("a login").expect("file").path();
        assert_eq!(
            std::fs::metadata(&file).expect("file").mode() & 0o777,
            0o600
        );
        let kept: serde_json::Value =
            serde_json::from_slice(&std::fs::read(file).expect("kept")).expect("JSON");
        kept["token"].as_str().expect("a token").to_owned()
    }
}

/// Reads the address, has the browser go there, and waits for the end.
pub fn through(
    mut child: Child,
    browser: impl FnOnce(&str) -> Result<(), String>,
) -> (i32, String) {
    let mut lines = BufReader::new(child.stderr.take().expect("stderr"));
    let mut before = String::new();
    let url = loop {
        let mut line = String::new();
        if lines.read_line(&mut line).expect("a line") == 0 {
            break None;
        }
        if line.contains("/authorize/?") {
            break Some(line.trim().to_owned());
        }
        before += &line;
    };
    if let Some(url) = url {
        browser(&url).expect("the browser");
    }
    lines.read_to_string(&mut before).expect("the rest");
    let (code, out) = said(&child.wait_with_output().expect("jitctl"));
    (code, before + &out)
}

fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout, &output.stderr].map(|b| String::from_utf8_lossy(b));
    (output.status.code().expect("a code"), text.concat())
}

/// The real program.
pub struct Program(Child);

impl Program {
    pub fn start(scene: &Scene) -> Self {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
        let user = user.expect("users").map_or("root".to_owned(), |u| u.name);
        let (place, file) = (&scene.place, scene.place.dir.path().join("issuer.toml"));
        let text = format!(
            "socket = {:?}\nstate_dir = {:?}\nroles = {:?}\nlink_user = {user:?}\n{}[outgoing]\nallow = [\"127.0.0.1\"]\n\
             [login]\nissuer = {:?}\nclient_id = \"jit\"\nclaim = \"email\"\nscopes = [\"email\"]\n\
             people = {{ \"alice@example.org\" = \"alice\", \"bob@example.org\" = \"bob\" }}\n",
            place.config.socket,
            place.config.state_dir,
            place.config.roles,
            place.https_text(),
            scene.provider.issuer,
        );
        std::fs::write(&file, text).expect("settings");
        let child = Command::new(env!("CARGO_BIN_EXE_jit-issuer"))
            .args(["serve", "--config"])
            .arg(file)
            .spawn();
        Self(child.expect("jit-issuer"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
