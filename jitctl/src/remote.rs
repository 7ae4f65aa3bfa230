//! `jitctl elevate --host` and `drop --remote`: a right on another host, asked for from here with a key of one's own.
//!
//! What is signed is made here, from the role table that the issuer shows. The host believes neither the issuer nor this
//! program: it compares the request with its own policy, and the key with the trust statement.

use crate::args;
use crate::ask::{Patience, Pending};
use crate::context::Context;
use crate::elevate::{active_lines, next, undecided_so};
use crate::exit::{Code, Exit};
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::interrupt::{runtime, unless_interrupted};
use crate::output::Line;
use crate::person::{Issuer, random, refused};
use crate::show;
use api::{AskAs, AskFor, Call, Client, GaveBack, GiveBack, Given, Status, Submitted};
use serde_json::{Value, json};
use statement::asked::{NAMESPACE, sealed, to_sign};
use statement::claims::{Policy, Request};
use statement::detail::{AllOr, Detail};
use statement::limits::MAX_AHEAD;
use statement::role::Role;
use statement::{id, scope};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wire::cli::Grant;

/// A request that nobody has decided by then is dead; as on a host.
const APPROVE_WITHIN_S: u64 = 3600;
/// Between two questions what became of it, at first and later.
const ASK_AGAIN: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(2)];
/// The first answer is waited for this long also with `--no-wait`.
const FIRST: Duration = Duration::from_secs(3);

/// Options that name the issuer mean nothing to the agent of this host.
///
/// # Errors
/// One was given.
pub fn refuse_issuer(said: &args::Issuer, without: &str) -> Result<(), Failure> {
    match said.is_said() {
        true => Err(Failure::new(
            Code::Usage,
            format!("--issuer, --ca and --key mean nothing without {without}."),
        )
        .hint("What is asked for on this host goes through its own agent.")),
        false => Ok(()),
    }
}

/// # Errors
/// The refusal of the issuer or the host; no key; no issuer; Ctrl-C.
pub fn elevate(ctx: &Context, args: &args::Elevate, host: &str) -> Result<u8, Failure> {
    let of_ci = id_token(args.remote.id_token_file.as_deref())?;
    let mut issuer = Issuer::find(&args.remote.issuer)?;
    let id_token = of_ci.or_else(|| issuer.id_token());
    if issuer.is_root() {
        return Err(Failure::new(
            Code::Usage,
            "Root of the issuer's box asks for no right of its own.",
        )
        .hint("Name the key of whoever asks with --key, or ask as the person."));
    }
    let target: AskFor = issuer.call(&Call::target(host))?;
    if host.starts_with("spiffe://") && host != target.host {
        return Err(strange("it is about another host"));
    }
    let account = account(&target, args.remote.login.as_deref())?;
    let claims = claims(&target, account, args, now_ms()?)?;
    let input = to_sign(&claims, &issuer.known_key()?)
        .map_err(|e| Failure::new(Code::Usage, format!("Nothing was asked for: {e}.")))?;
    ctx.out.note_line(
        &Line::new("Asking as ")
            .text(&account.login)
            .text(format!(" (uid {}) on ", account.uid))
            .text(&target.host),
    );
    let request = sealed(&input, &issuer.sign(NAMESPACE, &input)?);
    let asked = Asked {
        client: issuer.client().clone(),
        request,
        id_token,
        host: target.host_name.clone(),
        patience: args.ask.wait.patience(),
    };
    let (id, out) = (claims.id.clone(), ctx.out);
    let waited = unless_interrupted("Interrupted.", move || {
        asked.wait(|what| out.note(format!("{what} Request {id}; Ctrl-C gives it up.")))
    });
    let answer = match waited {
        Err(failure) if failure.code == Code::Interrupted => {
            return Err(give_up(&mut issuer, &claims.id, failure));
        }
        waited => waited?,
    };
    match answer.grant {
        Some(given) => granted(ctx, &claims, &target, &given),
        None => {
            let hint = format!(
                "It goes on without you; withdraw it: jitctl drop --remote {}",
                claims.id
            );
            let pending = Pending {
                request: claims.id,
                role: claims.role,
                waiting_for: answer.waiting_for.unwrap_or_default(),
            };
            Ok(undecided_so(ctx, &pending, &hint))
        }
    }
}

/// # Errors
/// The file cannot be read.
fn id_token(file: Option<&Path>) -> Result<Option<String>, Failure> {
    let Some(file) = file else { return Ok(None) };
    let text = fs::read_to_string(file).map_err(|e| {
        Failure::new(Code::Usage, format!("{}: {e}.", file.display()))
            .hint("Write the ID token that the CI gives this job into that file.")
    })?;
    Ok(Some(text.trim().to_owned()))
}

/// Gives back what was asked for from elsewhere.
///
/// # Errors
/// Nothing of this id that is open or live; no key; no issuer.
pub fn give_back(ctx: &Context, said: &args::Issuer, id: &str) -> Result<u8, Failure> {
    let mut issuer = Issuer::find(said)?;
    let back = gave_back(&mut issuer, id).map_err(|failure| match failure.code {
        Code::NotFound => Failure {
            code: Code::NoGrant,
            ..failure
        },
        _ => failure,
    })?;
    ctx.out.json(&json!({
        "schema_version": SCHEMA_VERSION,
        "dropped": back.grant.iter().collect::<Vec<_>>(),
        "request": back.id,
    }));
    ctx.out.lines(&[match &back.grant {
        Some(grant) => Line::new("Given back: ").text(grant),
        None => Line::new("Withdrawn: ").text(&back.id),
    }]);
    Ok(Exit::Ok.code())
}

fn gave_back(issuer: &mut Issuer, id: &str) -> Result<GaveBack, Failure> {
    let call = Call::give_back(&GiveBack { id: id.to_owned() }).map_err(|e| refused(&e))?;
    issuer.look(&call)
}

/// Nobody waits for it any more.
fn give_up(issuer: &mut Issuer, id: &str, mut failure: Failure) -> Failure {
    failure.message = match gave_back(issuer, id) {
        Ok(_) => format!("Interrupted; request {id} was given up."),
        Err(_) => format!("Interrupted; request {id} may go on: jitctl drop --remote {id}"),
    };
    failure
}

/// A request on its way.
struct Asked {
    client: Client,
    request: String,
    id_token: Option<String>,
    host: String,
    patience: Patience,
}

impl Asked {
    async fn submit(&self) -> Result<Submitted, api::Error> {
        let id_token = self.id_token.as_deref();
        self.client.submit_with(&self.request, id_token).await
    }

    /// Hands it in, and asks again with the same bytes until there is an answer that ends the wait.
    fn wait(&self, mut progress: impl FnMut(&str)) -> Result<Submitted, Failure> {
        let runtime = runtime()?;
        let begun = Instant::now();
        let mut told = String::new();
        let mut last: Option<Submitted> = None;
        loop {
            let answer = match (runtime.block_on(self.submit()), last) {
                (Ok(answer), _) => answer,
                // It was taken, and goes on while its issuer is away for a while.
                (Err(e), Some(before)) if is_away(&e) => before,
                (Err(e), _) => return Err(refused(&e)),
            };
            let waits_for = match (&answer.status, &answer.grant) {
                (Status::Denied, _) => {
                    return Err(Failure::new(
                        Code::Denied,
                        format!("The request was denied: {}", answer.detail),
                    ));
                }
                (Status::Accepted, None) => return Err(strange("it names no grant")),
                (Status::Accepted, Some(given)) => match &given.host_says {
                    Some(said) if said.active => return Ok(answer),
                    Some(said) => {
                        return Err(Failure::new(
                            Code::Denied,
                            format!(
                                "{} did not take grant {}: {}.",
                                self.host, given.id, said.why
                            ),
                        ));
                    }
                    None if given.until <= now_ms()? / 1000 => {
                        return Err(Failure::new(
                            Code::Denied,
                            format!(
                                "Grant {} is over, and {} never took it.",
                                given.id, self.host
                            ),
                        ));
                    }
                    // It starts later: nothing to wait for.
                    None if given.from > now_ms()? / 1000 => return Ok(answer),
                    None => format!("Granted; {} has not taken it yet.", self.host),
                },
                (Status::Pending, _) => {
                    let whom = answer.waiting_for.as_deref().unwrap_or_default();
                    format!("Waiting for {whom}.")
                }
            };
            let patience = match self.patience {
                Patience::None => FIRST.min(match answer.status {
                    // People take longer than anybody who does not wait has time for.
                    Status::Pending => Duration::ZERO,
                    _ => FIRST,
                }),
                Patience::Seconds(s) => Duration::from_secs(s),
                Patience::Forever => Duration::MAX,
            };
            if begun.elapsed() >= patience {
                return Ok(answer);
            }
            let slow = begun.elapsed() > FIRST;
            if waits_for != told && (slow || answer.status == Status::Pending) {
                progress(&waits_for);
                told = waits_for;
            }
            sleep(ASK_AGAIN[usize::from(slow)]);
            last = Some(answer);
        }
    }
}

fn is_away(e: &api::Error) -> bool {
    matches!(
        e,
        api::Error::Connect { .. } | api::Error::Timeout | api::Error::Broken(_)
    )
}

/// Which of the person's accounts there.
fn account<'a>(target: &'a AskFor, login: Option<&str>) -> Result<&'a AskAs, Failure> {
    let all = &target.accounts;
    let names = || {
        let all: Vec<&str> = all.iter().map(|a| a.login.as_str()).collect();
        all.join(", ")
    };
    let found = match (login, all.as_slice()) {
        (Some(login), _) => all.iter().find(|a| a.login == login),
        (None, [one]) => Some(one),
        (None, []) => None,
        (None, _) => {
            return Err(
                Failure::new(Code::Usage, "You have several accounts on that host.")
                    .hint(format!("Name one with --login: {}.", names())),
            );
        }
    };
    found.ok_or_else(|| {
        Failure::new(
            Code::Denied,
            format!(
                "The trust statement gives {} no such account on that host.",
                target.person
            ),
        )
        .hint(match all.as_slice() {
            [] => "Its root keys must name the account: see docs/how-to/ci.md.".to_owned(),
            _ => format!("It gives: {}.", names()),
        })
    })
}

/// What is asked for; as the agent makes it on its host.
fn claims(
    target: &AskFor,
    account: &AskAs,
    args: &args::Elevate,
    now_ms: u64,
) -> Result<Request, Failure> {
    let policy =
        statement::unverified_policy(&target.policy).map_err(|e| strange(&e.to_string()))?;
    let (name, role) = role(&policy, args.ask.role.as_deref())?;
    let seconds = args.ask.seconds.unwrap_or(role.default_s);
    if seconds > role.max_s {
        let most = show::seconds(role.max_s);
        return Err(Failure::new(
            Code::TooLong,
            format!("Role {name} is given for at most {most}."),
        )
        .hint(format!("Ask with: --for {}s", role.max_s)));
    }
    let whole = role.expand(name, &account.login, account.uid);
    let detail = narrowed(whole, &args.command)?;
    let now = now_ms / 1000;
    let not_before = args.at.unwrap_or(0);
    if not_before > now + MAX_AHEAD {
        return Err(Failure::new(
            Code::Usage,
            "A grant may start at most seven days from now.",
        ));
    }
    Ok(Request {
        ver: 1,
        iss: target.person.clone(),
        iat: now,
        id: id::ulid(now_ms, random()?),
        nonce: statement::digest::encode(&random::<16>()?),
        sub: format!("local:{}@{}", account.uid, target.host),
        aud: vec![target.host.clone()],
        role: name.to_owned(),
        policy_ver: policy.policy_ver,
        authorization_details: vec![detail],
        not_before,
        dur: seconds,
        approve_until: now + APPROVE_WITHIN_S,
        reason: args.ask.reason.clone(),
        ticket: args.ask.ticket.clone(),
        extends: None,
    })
}

fn role<'a>(policy: &'a Policy, wanted: Option<&'a str>) -> Result<(&'a str, &'a Role), Failure> {
    let name = wanted.unwrap_or(&policy.default_role);
    let role = policy.roles.get(name).ok_or_else(|| {
        let known: Vec<&str> = policy.roles.keys().map(String::as_str).collect();
        Failure::new(Code::UnknownRole, format!("There is no role {name:?}."))
            .hint(format!("Roles: {}.", known.join(", ")))
    })?;
    Ok((name, role))
}

/// The command is one of that host, so nothing is looked for here.
fn narrowed(whole: Detail, command: &[OsString]) -> Result<Detail, Failure> {
    if command.is_empty() {
        return Ok(whole);
    }
    let words: Option<Vec<&str>> = command.iter().map(|w| w.to_str()).collect();
    let words = words.ok_or_else(|| Failure::new(Code::Usage, "The command is not UTF-8."))?;
    scope::narrow(&whole, &words).map_err(|e| match e {
        scope::NotNarrow::Words(_) => {
            Failure::new(Code::Usage, format!("Nothing was asked for: {e}."))
        }
        scope::NotNarrow::Gap(_) => {
            Failure::new(Code::Denied, format!("Nothing was asked for: {e}."))
        }
    })
}

fn granted(ctx: &Context, claims: &Request, target: &AskFor, given: &Given) -> Result<u8, Failure> {
    let now = now_ms()? / 1000;
    let scheduled = given.from > now;
    let grant = shown(claims, given, now);
    let active = given.host_says.as_ref().is_some_and(|s| s.active);
    let status = match (scheduled, active) {
        (true, _) => "scheduled",
        (false, true) => "active",
        (false, false) => "granted",
    };
    let mut value: Value = json!({
        "schema_version": SCHEMA_VERSION,
        "status": status,
        "request": claims.id,
        "host": target.host,
        "login": grant.login,
        "grant": show::grant_json(&grant),
    });
    if scheduled {
        value["starts_at"] = json!(show::time(given.from));
    }
    ctx.out.json(&value);
    let mut lines = active_lines(&grant);
    lines.push(
        Line::new("  host   ")
            .text(&target.host_name)
            .text(", as ")
            .text(&grant.login),
    );
    ctx.out.lines(&lines);
    ctx.out.note(match (scheduled, active) {
        (true, _) => format!(
            "It starts {}. To give it up: jitctl drop --remote {}",
            show::time(given.from),
            given.id
        ),
        (false, true) => match next(&grant) {
            Some(next) => format!(
                "{next} (there). To give it back: jitctl drop --remote {}",
                given.id
            ),
            None => format!("To give it back: jitctl drop --remote {}", given.id),
        },
        (false, false) => format!(
            "The host has not said yet that it took it. To give it back: jitctl drop --remote {}",
            given.id
        ),
    });
    Ok(Exit::Ok.code())
}

/// A grant as the agent of its host would show it.
fn shown(claims: &Request, given: &Given, now: u64) -> Grant {
    let details = &claims.authorization_details;
    let first = details.first();
    let doors = details.iter().flat_map(|d| &d.doors);
    Grant {
        id: given.id.clone(),
        request: claims.id.clone(),
        login: first.map(|d| d.login.clone()).unwrap_or_default(),
        uid: first.map_or(u32::MAX, |d| d.uid),
        role: claims.role.clone(),
        doors: doors
            .filter_map(|d| serde_json::to_value(d).ok()?.as_str().map(str::to_owned))
            .collect(),
        groups: details.iter().flat_map(|d| d.groups.clone()).collect(),
        commands: details.iter().flat_map(commands).collect(),
        runas: details
            .iter()
            .flat_map(|d| match &d.runas {
                AllOr::All(_) => vec!["ALL".to_owned()],
                AllOr::List(list) => list.clone(),
            })
            .collect(),
        seconds_left: given.until.saturating_sub(given.from.max(now)).max(1),
        ends_at: given.until,
        reason: claims.reason.clone(),
        ticket: claims.ticket.clone(),
    }
}

fn commands(detail: &Detail) -> Vec<String> {
    match &detail.commands {
        AllOr::All(_) => vec!["ALL".to_owned()],
        AllOr::List(list) => list
            .iter()
            .map(|c| {
                let words =
                    std::iter::once(c.path.as_str()).chain(c.args.iter().map(String::as_str));
                words.collect::<Vec<_>>().join(" ")
            })
            .collect(),
    }
}

fn strange(why: &str) -> Failure {
    Failure::new(
        Code::Internal,
        format!("The issuer's answer is not what it should be: {why}."),
    )
    .hint("Are jitctl and jit-issuer of the same version?")
}

fn now_ms() -> Result<u64, Failure> {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|d| u64::try_from(d.as_millis()).ok())
        .ok_or_else(|| Failure::new(Code::Internal, "This machine's clock is before 1970."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(accounts: &[(&str, u32)]) -> AskFor {
        AskFor {
            host: "spiffe://d/host/web1".to_owned(),
            host_name: "web1".to_owned(),
            person: "alice".to_owned(),
            accounts: accounts
                .iter()
                .map(|(login, uid)| AskAs {
                    login: (*login).to_owned(),
                    uid: *uid,
                })
                .collect(),
            policy: String::new(),
        }
    }

    #[test]
    fn the_account_is_the_only_one_or_the_one_that_is_named() {
        let code = |t: &AskFor, login| account(t, login).map_err(|f| f.code).map(|a| a.uid);
        let none = target(&[]);
        assert_eq!(code(&none, None), Err(Code::Denied));
        let one = target(&[("alice", 1)]);
        assert_eq!(code(&one, None), Ok(1));
        assert_eq!(code(&one, Some("root")), Err(Code::Denied));
        let two = target(&[("alice", 1), ("alice-adm", 2)]);
        assert_eq!(code(&two, None), Err(Code::Usage));
        assert_eq!(code(&two, Some("alice-adm")), Ok(2));
    }

    #[test]
    fn an_answer_that_is_no_policy_is_told_as_such() {
        let failure = statement::unverified_policy("x.y.z").map_err(|e| strange(&e.to_string()));
        assert!(failure.is_err_and(|f| f.code == Code::Internal));
    }

    #[test]
    fn the_issuers_options_mean_nothing_to_the_agent() {
        let none = args::Issuer::default();
        assert!(refuse_issuer(&none, "--host").is_ok());
        let said = args::Issuer {
            issuer: Some("https://a".to_owned()),
            ..args::Issuer::default()
        };
        let failure = refuse_issuer(&said, "--host");
        assert!(failure.is_err_and(|f| f.code == Code::Usage && f.message.contains("--host")));
    }
}
