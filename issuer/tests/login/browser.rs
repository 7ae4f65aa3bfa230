//! A real OpenID provider (`provider.py`), and browsers that go there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// It runs until it is dropped.
pub struct Provider {
    child: Child,
    pub issuer: String,
}

impl Provider {
    pub fn start() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let judges = Command::new(here.join("../scripts/judges")).output();
        let judges = judges.expect("scripts/judges");
        assert!(judges.status.success(), "{judges:?}");
        let judges = String::from_utf8(judges.stdout).expect("a path");
        let mut child = Command::new(Path::new(judges.trim()).join("bin/python"))
            .arg(here.join("tests/login/provider.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python");
        let mut issuer = String::new();
        let out = child.stdout.take().expect("stdout");
        let read = BufReader::new(out).read_line(&mut issuer);
        assert!(read.expect("its address") > 0, "the provider did not start");
        let issuer = issuer.trim().to_owned();
        Self { child, issuer }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Page {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Page {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status");
        Self {
            status: status.parse().expect("a number"),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    /// Where it leads.
    pub fn location(&self) -> String {
        let mut lines = self.head.lines();
        let line = lines.find_map(|l| l.strip_prefix("Location: "));
        line.unwrap_or_else(|| panic!("{}\n{}", self.head, self.body))
            .to_owned()
    }
}

/// All that comes back for these bytes.
pub fn raw(at: &str, bytes: &[u8]) -> String {
    let mut tcp = TcpStream::connect(at).expect("a connection");
    tcp.write_all(bytes).expect("a call");
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).expect("an answer");
    String::from_utf8(answer).expect("text")
}

fn split(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("http://").expect("http");
    rest.split_at(rest.find('/').expect("a path"))
}

/// The browser of `who` goes there, and follows nothing by itself.
pub fn get(url: &str, who: &str) -> Page {
    let (at, target) = split(url);
    let call = format!(
        "GET {target} HTTP/1.1\r\nhost: {at}\r\nx-browser-of: {who}\r\nconnection: close\r\n\r\n"
    );
    Page::parse(&raw(at, call.as_bytes()))
}

/// A login by hand, for tokens that `jitctl login` would not take.
pub mod form {
    use super::{Page, get, raw, split};

    /// Of RFC 7636, Appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    pub const CHALLENGE: &str = "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    pub fn token(issuer: &str, who: &str, client: &str, nonce: &str) -> String {
        let back = "http%3A%2F%2F127.0.0.1%3A1%2Fcallback";
        let nonce = match nonce {
            "" => String::new(),
            nonce => format!("&nonce={nonce}"),
        };
        let to = get(
            &format!(
                "{issuer}/authorize/?response_type=code&client_id={client}&redirect_uri={back}&scope=openid+email\
                 &state=s&code_challenge_method=S256&{CHALLENGE}{nonce}"
            ),
            who,
        )
        .location();
        let code = to.split("code=").nth(1).and_then(|c| c.split('&').next());
        let body = format!(
            "grant_type=authorization_code&client_id={client}&redirect_uri={back}&code_verifier={VERIFIER}&code={}",
            code.expect("a code")
        );
        let url = format!("{issuer}/token/");
        let (at, target) = split(&url);
        let call = format!(
            "POST {target} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\ncontent-length: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\n\r\n{body}",
            body.len()
        );
        let page = Page::parse(&raw(at, call.as_bytes()));
        let got: serde_json::Value = serde_json::from_str(&page.body).expect("JSON");
        got["id_token"].as_str().expect("a token").to_owned()
    }
}
