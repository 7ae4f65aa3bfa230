//! `jitctl revoke`: root on one box, through the issuer's own socket.

use crate::args;
use crate::context::{Context, need_root};
use crate::exit::{Code, Exit};
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::host;
use crate::interrupt::runtime;
use crate::person::random;
use api::{Client, Error, HostInfo};
use serde_json::json;
use statement::claims::Target;
use statement::digest::encode;
use wire::nss;

pub fn command(ctx: &Context, args: &args::Revoke) -> Result<u8, Failure> {
    need_root("revoke on the issuer of this box")?;
    let target = match (&args.id, &args.user, &args.host) {
        (Some(id), _, _) => Target::Grant(id.clone()),
        (_, Some(user), _) => Target::Sub(host::subject(&host::machine_id()?, uid(user)?)),
        (_, _, Some(name)) => Target::Host(host_id(name)?),
        (None, None, None) => by_key_or_time(args)?,
    };
    let revoke = api::Revoke {
        target,
        reason: args.reason.clone(),
    };
    let key = encode(&random::<16>()?);
    let revoked = runtime()?
        .block_on(Client::unix(host::ISSUER_SOCK).revoke_once(&revoke, &key))
        .map_err(|e| refusal(&e))?;
    ctx.out
        .json(&json!({ "schema_version": SCHEMA_VERSION, "serial": revoked.serial }));
    ctx.out.line(format!("Revoked, serial {}.", revoked.serial));
    ctx.out
        .note("The host ends it when the link brings it; see `jitctl status --all`.");
    Ok(Exit::Ok.code())
}

fn by_key_or_time(args: &args::Revoke) -> Result<Target, Failure> {
    match (&args.key, &args.before) {
        (Some(kid), _) => Ok(Target::Kid(kid.clone())),
        (_, Some(time)) => u64::try_from(time.as_second())
            .map(Target::IssuedBefore)
            .map_err(|_| Failure::new(Code::Usage, "That time is before 1970.")),
        (None, None) => Err(Failure::new(Code::Usage, "Say what to revoke.")),
    }
}

/// This host, or one that its issuer knows.
fn host_id(name: &str) -> Result<String, Failure> {
    let own = host::named(name, &host::machine_id()?, &host::name());
    let known = runtime()?
        .block_on(Client::unix(host::ISSUER_SOCK).hosts())
        .map_err(|e| refusal(&e))?
        .hosts;
    let named: Vec<&HostInfo> = known
        .iter()
        .filter(|h| h.id == name || h.name == name)
        .collect();
    match (own, &named[..]) {
        // "localhost" and the machine id are nobody else's; a host name may be.
        (Some(own), []) => Ok(own),
        (Some(own), [one]) if one.id == own => Ok(own),
        (None, [one]) => Ok(one.id.clone()),
        (None, []) => Err(
            Failure::new(Code::Usage, format!("The issuer knows no host {name:?}."))
                .hint("See `jit-issuer host ls`."),
        ),
        _ => Err(
            Failure::new(Code::Usage, format!("Several hosts are called {name:?}."))
                .hint("Say its id; see `jit-issuer host ls`."),
        ),
    }
}

fn uid(user: &str) -> Result<u32, Failure> {
    if let Ok(uid) = user.parse() {
        return Ok(uid);
    }
    match nss::user_by_name(user.as_bytes()) {
        Ok(Some(found)) => Ok(found.uid),
        Ok(None) => Err(
            Failure::new(Code::Usage, format!("There is no user {user:?} here."))
                .hint("A user who is gone can be named by uid."),
        ),
        Err(error) => Err(Failure::new(Code::Internal, format!("{error}."))),
    }
}

/// What the issuer's answer means for the caller.
pub fn refusal(error: &Error) -> Failure {
    let code = match error {
        Error::Connect { .. } | Error::Timeout | Error::Broken(_) => Code::Unreachable,
        Error::Garbled(_) => Code::Internal,
        Error::Problem(problem) => match problem.status {
            401 | 403 => Code::Denied,
            404 => Code::NoGrant,
            400 | 413 | 422 => Code::Usage,
            _ => Code::Internal,
        },
    };
    let failure = Failure::new(code, sentence(&error.to_string()));
    match error {
        Error::Connect { .. } => failure.hint("See `systemctl status jit-issuer`."),
        Error::Timeout | Error::Broken(_) => {
            failure.hint("It may have been done; look before doing it again.")
        }
        Error::Garbled(_) => failure.hint("Are jitctl and jit-issuer of the same version?"),
        Error::Problem(_) => failure,
    }
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::Problem;

    #[test]
    fn sentences() {
        assert_eq!(sentence("the issuer is away"), "The issuer is away.");
        assert_eq!(sentence("No."), "No.");
        assert_eq!(sentence(""), ".");
    }

    #[test]
    fn the_issuers_answers_have_their_exit_codes() {
        let problem = |status| {
            refusal(&Error::Problem(Problem {
                kind: "about:blank".to_owned(),
                title: String::new(),
                status,
                detail: "no".to_owned(),
            }))
            .code
            .exit()
            .code()
        };
        assert_eq!(problem(403), 3);
        assert_eq!(problem(404), 6);
        assert_eq!(problem(400), 2);
        assert_eq!(problem(500), 1);
        assert_eq!(refusal(&Error::Timeout).code.exit().code(), 5);
    }

    #[test]
    fn a_user_is_a_login_or_a_uid() {
        assert_eq!(uid("root"), Ok(0));
        assert_eq!(uid("4242"), Ok(4242));
        assert_eq!(uid("no-such-user-x").unwrap_err().code, Code::Usage);
    }
}
