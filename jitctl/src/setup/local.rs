//! `jitctl setup local`: everything on this one box. Asks nothing; each step looks first and can be run again.

use super::steps::{Steps, failed};
use super::sudo;
use crate::agent::unexpected;
use crate::args;
use crate::context::Context;
use crate::exit::Exit;
use crate::facts::{self, POLICY};
use crate::failure::Failure;
use crate::files::{self, Place};
use crate::host::{self, ISSUER_SOCK};
use crate::interrupt::runtime;
use crate::program;
use crate::revoke::refusal;
use crate::show;
use ::policy::Policy;
use api::Client;
use statement::claims::Jwk;
use std::thread;
use std::time::{Duration, Instant};
use wire::cli::{Level, Reply, Request, Status};
use wire::nss::ELIGIBLE_GROUP;

const SYSTEMCTL: &str = "/usr/bin/systemctl";
const GROUPADD: &str = "/usr/sbin/groupadd";
/// Started now and at every boot.
const SERVICES: [&str; 6] = [
    "jit-issuer.service",
    "jit-agent.socket",
    "jit-gate.socket",
    "jit-link.socket",
    "jit-agent.service",
    "jit-link.service",
];
/// Only at boot.
const AT_BOOT: &str = "jit-reconcile.service";
const START: Duration = Duration::from_secs(90);
const ISSUER: Duration = Duration::from_secs(30);
const LINK: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(100);

pub fn command(ctx: &Context, wiring: args::Wiring) -> Result<u8, Failure> {
    let place = Place::default();
    let mut steps = Steps::new(ctx);
    services(&SERVICES, &mut steps)?;
    issuer_answers(&mut steps)?;
    let policy = policy(&place)?;
    groups(policy.roles().keys(), &mut steps)?;
    enrolment(ctx, &mut steps)?;
    link_connects(ctx, &mut steps)?;
    sudo::wire(ctx, &place, wiring, &mut steps)?;
    finish(ctx, &policy, &steps)
}

pub(super) fn systemctl(args: &[&str]) -> Result<(), Failure> {
    let why = match program::run(SYSTEMCTL, args, START) {
        Ok(ended) if ended.ok() => return Ok(()),
        Ok(ended) => ended.last_line().to_owned(),
        Err(why) => why,
    };
    let unit = args.last().unwrap_or(&"");
    Err(failed(
        format!("systemctl {} failed: {why}", args.join(" ")),
        format!("See `systemctl status {unit}` and `journalctl -u {unit}`."),
    ))
}

fn is(what: &str, unit: &str) -> bool {
    program::run(SYSTEMCTL, &[what, "--quiet", unit], START).is_ok_and(|e| e.ok())
}

/// Enabled and running, and what puts things right at boot.
pub(super) fn services(units: &[&str], steps: &mut Steps) -> Result<(), Failure> {
    for &unit in units {
        if is("is-enabled", unit) && is("is-active", unit) {
            steps.already("services", format!("{unit} is enabled and runs"));
        } else {
            systemctl(&["enable", "--now", unit])?;
            steps.done("services", format!("enabled and started {unit}"));
        }
    }
    if is("is-enabled", AT_BOOT) {
        steps.already("services", format!("{AT_BOOT} is enabled"));
    } else {
        systemctl(&["enable", AT_BOOT])?;
        steps.done("services", format!("enabled {AT_BOOT}"));
    }
    Ok(())
}

/// Asks until there is an answer or the time is over.
fn until<T>(patience: Duration, mut ask: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    let deadline = Instant::now() + patience;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(failure) if Instant::now() >= deadline => return Err(failure),
            Err(_) => thread::sleep(AGAIN),
        }
    }
}

fn issuer_answers(steps: &mut Steps) -> Result<(), Failure> {
    let runtime = runtime()?;
    let client = Client::unix(ISSUER_SOCK);
    let health = until(ISSUER, || {
        runtime.block_on(client.health()).map_err(|e| refusal(&e))
    })?;
    steps.already(
        "issuer",
        format!("the issuer answers, policy version {}", health.policy_ver),
    );
    Ok(())
}

fn policy(place: &Place) -> Result<Policy, Failure> {
    let fault = |why: String| {
        failed(
            format!("The policy {POLICY} cannot be used: {why}."),
            "Put it right, then run this again.",
        )
    };
    let text = match files::read(&place.at(POLICY)) {
        Ok(Some(content)) => content.text(),
        Ok(None) => return Err(fault("there is none".to_owned())),
        Err(why) => return Err(fault(why)),
    };
    policy::load(&text).map_err(|e| fault(e.to_string()))
}

/// One for the eligible and one for each role.
pub(super) fn groups<'a>(
    roles: impl Iterator<Item = &'a String>,
    steps: &mut Steps,
) -> Result<(), Failure> {
    let accounts = facts::accounts().map_err(|why| {
        failed(
            format!("The groups of this host cannot be listed: {why}."),
            "Run `getent group`.",
        )
    })?;
    let wanted =
        std::iter::once(ELIGIBLE_GROUP.to_owned()).chain(roles.map(|role| format!("jit-{role}")));
    for group in wanted {
        if accounts.has_group(&group) {
            steps.already("groups", format!("group {group} exists"));
            continue;
        }
        let why = match program::run(GROUPADD, &["-r", &group], START) {
            Ok(ended) if ended.ok() => {
                steps.done("groups", format!("made group {group}"));
                continue;
            }
            Ok(ended) => ended.last_line().to_owned(),
            Err(why) => why,
        };
        return Err(failed(
            format!("Group {group} cannot be made: {why}"),
            format!("Run `groupadd -r {group}`."),
        ));
    }
    Ok(())
}

/// The issuer answers the same host the same way again, and the agent takes the same issuer again, so nothing
/// needs to be remembered here. Another issuer's host is not taken over: the agent refuses.
fn enrolment(ctx: &Context, steps: &mut Steps) -> Result<(), Failure> {
    // An agent without an issuer says so in its health.
    let enrolled_before = status(ctx)?.health.agent.level == Level::Ok;
    let Reply::HostKey {
        host_id,
        host_name,
        jwk,
    } = ctx.agent.ask(&Request::HostKey)?
    else {
        return Err(unexpected());
    };
    let jwk: Jwk = serde_json::from_str(&jwk).map_err(|_| unexpected())?;
    // The agent knows its machine; the issuer of this box has a name for it.
    let host_id = if host_id.starts_with("spiffe://") {
        host_id
    } else {
        host::id(&host_id)
    };
    let enrol = api::Enrol {
        host_id,
        host_name,
        jwk,
    };
    let enrolled = runtime()?
        .block_on(Client::unix(ISSUER_SOCK).enrol(&enrol))
        .map_err(|e| refusal(&e))?;
    let reply = ctx.agent.ask(&Request::Enrol {
        trust: enrolled.trust,
        enrolment: enrolled.enrolment,
        policy: enrolled.policy,
        replace: false,
    })?;
    match reply {
        Reply::Enrolled { host } => {
            let what = format!("enrolled as {host}");
            if enrolled_before {
                steps.already("enrolment", what);
            } else {
                steps.done("enrolment", what);
            }
            Ok(())
        }
        _ => Err(unexpected()),
    }
}

fn status(ctx: &Context) -> Result<Status, Failure> {
    match ctx.agent.ask(&Request::Status { all: false })? {
        Reply::Status(status) => Ok(status),
        _ => Err(unexpected()),
    }
}

/// Waits until the agent says that link and issuer are well.
pub(super) fn link_connects(ctx: &Context, steps: &mut Steps) -> Result<(), Failure> {
    until(LINK, || {
        let health = status(ctx)?.health;
        // A link that is degraded is connected: one of its receivers does not answer, which is no matter of the issuer's.
        let link = health.link.level != Level::Down;
        let issuer = health.issuer.level == Level::Ok;
        for (name, part, well) in [
            ("link", &health.link, link),
            ("issuer", &health.issuer, issuer),
        ] {
            if !well {
                let note = part.note.as_deref().unwrap_or("no reason is given");
                return Err(failed(
                    format!(
                        "The {name} is {} after {} s: {note}",
                        show::level(part.level),
                        LINK.as_secs()
                    ),
                    "See `journalctl -u jit-link -u jit-issuer`.",
                ));
            }
        }
        Ok(())
    })?;
    steps.already(
        "link",
        "the link is connected and the issuer's state is fresh",
    );
    Ok(())
}

fn finish(ctx: &Context, policy: &Policy, steps: &Steps) -> Result<u8, Failure> {
    let status = status(ctx)?;
    ctx.out
        .json(&steps.result([("status", show::status_json(&status, false))]));
    ctx.out.lines(&show::status_lines(&status, false));
    if !policy.free_roles().is_empty() {
        ctx.out.note(format!(
            "The sample policy ({POLICY}) approves every role automatically, and sudo asks for no password (auth = \"none\"). That is the sample's choice: change it before real use."
        ));
    }
    ctx.out.note(format!(
        "To make a user eligible: usermod -aG {ELIGIBLE_GROUP} LOGIN"
    ));
    Ok(Exit::Ok.code())
}
