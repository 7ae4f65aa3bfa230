//! `jitctl login` and `logout`: who one is, by an OpenID provider that the issuer names. Authorization code with PKCE through a
//! browser that comes back to this machine's loopback (RFC 8252); never a device code, which anybody can have somebody else
//! type in.
//!
//! What is kept is the ID token alone, in the session's own folder in memory. It looks, denies and gives back; it never stands
//! for a signature.

mod kept;
mod loopback;
mod provider;
mod token;

use crate::args;
use crate::context::Context;
use crate::exit::{Code, Exit};
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::interrupt::{runtime, unless_interrupted};
use crate::output::{Line, Output, Style};
use crate::person::{Issuer, refused};
use crate::show;
use api::{Call, Client, Login};
pub use kept::Kept;
use kept::Place;
use loopback::Loopback;
use provider::Provider;
use serde_json::json;
use std::env;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Opens what the desktop is set to open addresses with.
const OPENER: &str = "xdg-open";

pub fn command(ctx: &Context, args: &args::Login) -> Result<u8, Failure> {
    let issuer = Issuer::find(&args.issuer)?;
    if issuer.is_root() {
        return Err(
            Failure::new(Code::Usage, "Root of the issuer's box needs no login.")
                .hint("Log in as the person, from any machine."),
        );
    }
    // Before anybody is sent to a browser for nothing.
    let place = Place::of(issuer.address())?;
    let (client, out) = (issuer.client().clone(), ctx.out);
    let (patience, browser) = (Duration::from_secs(args.within), !args.no_browser);
    let kept = unless_interrupted("Interrupted; nobody was logged in.", move || {
        runtime()?.block_on(log_in(out, &client, patience, browser))
    })?;
    place.write(&kept)?;
    ctx.out.json(&json!({
        "schema_version": SCHEMA_VERSION,
        "person": kept.person,
        "issuer": issuer.address().to_string(),
        "expires_at": show::time(kept.exp),
    }));
    ctx.out.lines(&[Line::new("Logged in as ")
        .styled(Style::Strong, &kept.person)
        .text(format!(", until {}.", show::time(kept.exp)))]);
    ctx.out
        .note("To end it before: jitctl logout. What is signed wants your key as well.");
    Ok(Exit::Ok.code())
}

async fn log_in(
    out: Output,
    client: &Client,
    patience: Duration,
    browser: bool,
) -> Result<Kept, Failure> {
    let login = client.login().await.map_err(|e| refused(&e))?;
    let provider = Provider::find(&login).await?;
    let loopback = Loopback::bind().await.map_err(|e| {
        Failure::new(
            Code::Internal,
            format!("No port of the loopback can be had: {e}."),
        )
    })?;
    let asking = provider.ask(&login, &loopback.address())?;
    out.note_line(
        &Line::new("Log in at ")
            .styled(Style::Strong, &login.issuer)
            .text(", with a browser on this machine:"),
    );
    out.note(asking.url());
    if browser {
        open(asking.url());
    }
    let waited = tokio::time::timeout(patience, loopback.answer(asking.state())).await;
    let came = waited.map_err(|_| {
        Failure::new(
            Code::Denied,
            format!("Nobody logged in within {} s.", patience.as_secs()),
        )
        .hint("The browser must run on this machine; `--within 15m` waits longer.")
    })?;
    let token = asking.exchange(came).await?;
    // Who that is, the issuer says: it alone has verified the signature.
    let whose: Login = client
        .call_as(&Call::login(), &token.text)
        .await
        .map_err(|e| refused(&e))?;
    let person = whose.person.ok_or_else(|| {
        Failure::new(Code::Denied, "The issuer does not say whose login this is.")
    })?;
    Ok(Kept {
        person,
        exp: token.exp,
        token: token.text,
    })
}

/// With whatever there is; the address stands on the terminal all the same.
fn open(url: &str) {
    let has_screen = |name| env::var_os(name).is_some_and(|v| !v.is_empty());
    if !(has_screen("DISPLAY") || has_screen("WAYLAND_DISPLAY")) {
        return;
    }
    let _ = Command::new(OPENER)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}

/// `jitctl logout`.
pub fn logout(ctx: &Context, args: &args::Logout) -> Result<u8, Failure> {
    let issuer = Issuer::find(&args.issuer)?;
    let was = Place::of(issuer.address())?.remove()?;
    ctx.out.json(&json!({
        "schema_version": SCHEMA_VERSION,
        "issuer": issuer.address().to_string(),
        "was_logged_in": was,
    }));
    ctx.out.line(match was {
        true => "Logged out here. Your browser may still be logged in at the provider.",
        false => "Nobody was logged in.",
    });
    Ok(Exit::Ok.code())
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}
