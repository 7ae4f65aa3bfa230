//! `jitctl enrol`: this host joins the issuer that a token names. Nothing is believed on first sight: the token says who
//! certified the issuer and which trust statement is the right one. Can be run again while the token lives.

use super::local::{groups, link_connects, services, systemctl};
use super::steps::{Steps, failed};
use crate::agent::unexpected;
use crate::args;
use crate::context::{Context, need_root};
use crate::exit::{Code, Exit};
use crate::failure::Failure;
use crate::files::{self, Content, Owner};
use crate::interrupt::runtime;
use crate::revoke::refusal;
use api::token::Token;
use api::{Address, Client, Enrolled, Join, Roots, Transport};
use statement::claims::Jwk;
use statement::trust;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use wire::cli::{Reply, Request};

/// Where a token is looked for when none is named: what systemd was given (cloud-init, a virtual machine's firmware),
/// then the file that provisioning leaves. The last is removed when it was used.
const CREDENTIAL: &str = "jit.enrol-token";
const SYSTEM_CREDENTIALS: &str = "/run/credentials/@system";
const TOKEN_FILE: &str = "/etc/jit/enrol-token";
/// Bytes of a file with a token.
const TOKEN_MAX: u64 = 64 * 1024;
const LINK_DIR: &str = "/etc/jit/link.toml.d";
const LINK_FILE: &str = "/etc/jit/link.toml.d/enrolment.toml";
const CA_FILE: &str = "/etc/jit/issuer-ca.pem";
/// All but the link, which is started when it knows where to go.
const SERVICES: [&str; 4] = [
    "jit-agent.socket",
    "jit-gate.socket",
    "jit-link.socket",
    "jit-agent.service",
];
const LINK: &str = "jit-link.service";

pub fn command(ctx: &Context, args: &args::Enrol) -> Result<u8, Failure> {
    need_root("enrol this host")?;
    let (text, source) = find(args)?;
    let token = Token::decode(&text).map_err(|e| {
        Failure::new(Code::Usage, format!("{}: {e}.", source.display()))
            .hint("Make one on the issuer: jit-issuer enrol-token --host NAME")
    })?;
    let mut steps = Steps::new(ctx);
    services(&SERVICES, &mut steps)?;
    let answer = join(ctx, &token)?;
    let roles = verify(&token, &answer)?;
    steps.done("issuer", format!("{} takes this host", token.url));
    enrol(ctx, answer, args.replace, &mut steps)?;
    wire_link(&token, &mut steps)?;
    groups(roles.iter(), &mut steps)?;
    link_connects(ctx, &mut steps)?;
    if source == Path::new(TOKEN_FILE) {
        files::remove(&source).map_err(|why| failed(format!("{why}."), "Remove it by hand."))?;
        steps.done("token", format!("removed {TOKEN_FILE}"));
    }
    ctx.out.json(&steps.result([]));
    ctx.out
        .note("To let jit decide about sudo on this host: jitctl setup sudo");
    Ok(Exit::Ok.code())
}

/// The token's text and where it came from.
fn find(args: &args::Enrol) -> Result<(String, PathBuf), Failure> {
    if let Some(text) = &args.token {
        return Ok((text.clone(), "the token".into()));
    }
    let unreadable = |path: &Path, why: &dyn std::fmt::Display| {
        Failure::new(Code::Usage, format!("{}: {why}.", path.display()))
    };
    if let Some(path) = &args.token_file {
        if path == Path::new("-") {
            let mut text = String::new();
            std::io::stdin()
                .take(TOKEN_MAX)
                .read_to_string(&mut text)
                .map_err(|e| unreadable(path, &e))?;
            return Ok((text, path.clone()));
        }
        return match files::read_up_to(path, TOKEN_MAX) {
            Ok(Some(content)) => Ok((content.text(), path.clone())),
            Ok(None) => Err(unreadable(path, &"there is no such file")),
            Err(why) => Err(Failure::new(Code::Usage, format!("{why}."))),
        };
    }
    let own = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let places = own
        .into_iter()
        .chain([PathBuf::from(SYSTEM_CREDENTIALS)])
        .map(|dir| dir.join(CREDENTIAL))
        .chain([PathBuf::from(TOKEN_FILE)]);
    for path in places {
        match files::read_up_to(&path, TOKEN_MAX) {
            Ok(Some(content)) => return Ok((content.text(), path)),
            Ok(None) => {}
            Err(why) => return Err(Failure::new(Code::Usage, format!("{why}."))),
        }
    }
    Err(
        Failure::new(Code::Usage, "There is no enrolment token.").hint(format!(
            "Name it, or put it into {TOKEN_FILE} or the systemd credential {CREDENTIAL}."
        )),
    )
}

/// The host proves its key; the issuer, by its certificate, that it is the one the token means.
fn join(ctx: &Context, token: &Token) -> Result<Enrolled, Failure> {
    let Reply::HostKey { jwk, .. } = ctx.agent.ask(&Request::HostKey)? else {
        return Err(unexpected());
    };
    let jwk: Jwk = serde_json::from_str(&jwk).map_err(|_| unexpected())?;
    let prove = Request::ProveKey {
        host: token.host.clone(),
        issuer: token.issuer.clone(),
        secret_hash: Token::hash(&token.secret),
    };
    let Reply::KeyProof { proof } = ctx.agent.ask(&prove)? else {
        return Err(unexpected());
    };
    let wrong = |why: String| failed(format!("The token cannot be used: {why}."), "Make another.");
    let address = Address::parse(&token.url).map_err(|e| wrong(e.to_string()))?;
    let roots = token.ca.clone().map_or(Roots::System, Roots::Pem);
    let transport = Transport::new(address, &roots).map_err(|e| wrong(e.to_string()))?;
    let join = Join {
        secret: token.secret.clone(),
        jwk,
        proof,
    };
    runtime()?
        .block_on(Client::new(transport).join(&join))
        .map_err(|e| match e {
            // Its own words say what to do.
            api::Error::Problem(_) => refusal(&e),
            e => Failure {
                hint: Some(format!(
                    "Can this host reach {}? Is its clock right?",
                    token.url
                )),
                ..refusal(&e)
            },
        })
}

/// The trust statement must be the one of the token; returns the roles of the policy that it vouches for.
fn verify(token: &Token, answer: &Enrolled) -> Result<Vec<String>, Failure> {
    let refused = |why: String| {
        failed(
            format!("The issuer's answer is not what the token promises: {why}."),
            "Do not go on: somebody may stand between this host and its issuer. A token made before the trust statement changed must be made again.",
        )
    };
    let trust = trust::verify_first(&answer.trust, &token.trust)
        .map_err(|e| refused(format!("trust statement: {e}")))?;
    let ring = trust.ring();
    let enrolment = statement::verify_enrol(&answer.enrolment, &ring)
        .map_err(|e| refused(format!("enrolment: {e}")))?;
    if enrolment.host != token.host || ring.iss() != token.issuer {
        return Err(refused("it names another host or issuer".to_owned()));
    }
    let policy = statement::verify_policy(&answer.policy, &ring)
        .map_err(|e| refused(format!("policy: {e}")))?;
    Ok(policy.roles.keys().cloned().collect())
}

fn enrol(ctx: &Context, answer: Enrolled, replace: bool, steps: &mut Steps) -> Result<(), Failure> {
    let request = Request::Enrol {
        trust: answer.trust,
        enrolment: answer.enrolment,
        policy: answer.policy,
        replace,
    };
    match ctx.agent.ask(&request)? {
        Reply::Enrolled { host } => {
            steps.done("enrolment", format!("enrolled as {host}"));
            Ok(())
        }
        _ => Err(unexpected()),
    }
}

/// Tells the link where to go. Files of the admin are not touched.
fn wire_link(token: &Token, steps: &mut Steps) -> Result<(), Failure> {
    let mut text = format!("# Written by \"jitctl enrol\".\nissuer = {:?}\n", token.url);
    let written = (|| {
        files::make_dir(Path::new(LINK_DIR), 0o755)?;
        // Whatever umask this runs under, the link must get in.
        fs::set_permissions(LINK_DIR, fs::Permissions::from_mode(0o755))
            .map_err(|e| format!("{LINK_DIR}: {e}"))?;
        if let Some(ca) = &token.ca {
            text.push_str(&format!("ca = {CA_FILE:?}\n"));
            files::write(Path::new(CA_FILE), &content(ca))?;
        }
        files::write(Path::new(LINK_FILE), &content(&text))
    })();
    written.map_err(|why| failed(format!("{why}."), "Put it right, then run this again."))?;
    steps.done("link", format!("wrote {LINK_FILE}"));
    systemctl(&["enable", LINK])?;
    systemctl(&["restart", LINK])?;
    steps.done("link", format!("enabled and started {LINK}"));
    Ok(())
}

fn content(text: &str) -> Content {
    Content {
        bytes: text.as_bytes().to_vec(),
        owner: Owner {
            mode: 0o644,
            uid: 0,
            gid: 0,
        },
    }
}
