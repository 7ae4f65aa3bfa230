//! `jit-issuer trust`: drafts, signatures and rotation of the trust statement. Root keys are files that may be on other
//! machines; only `rotate --install` needs the state directory, and it takes nothing that hosts would refuse.

mod words;

use crate::clock;
use crate::error::Error;
use crate::files;
use crate::init::Layout;
use crate::keys::{self, USES};
use clap::{ArgGroup, Args, Subcommand};
use statement::limits::MAX_TRUST_LIFE;
use statement::sign::{self, Signer};
use statement::trust::{self, MAX_TRUST, TrustClaims, TrustKey, Use, VerifiedTrust};
use std::fs;
use std::path::{Path, PathBuf};

/// An old key is still good for so long, seconds: what was signed just now must not be refused.
const OVERLAP_S: u64 = 3600;

#[derive(Subcommand)]
pub enum Command {
    /// Make a root key in a file, for any machine; prints its public half
    Init {
        /// File of the new private key (PKCS#8), mode 0600
        key: PathBuf,
    },
    /// Write the draft of the next trust statement, or install it when it is signed
    Rotate(Rotate),
    /// Sign a draft, or add a signature: says what it changes
    Sign {
        /// The draft; the signed statement takes its place
        file: PathBuf,
        /// Private root key (PKCS#8)
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The trust statement in force, to show what changes
        #[arg(long, value_name = "FILE")]
        present: Option<PathBuf>,
    },
    /// Say in words what a trust statement or a draft says; without FILE, the one in force
    Show {
        file: Option<PathBuf>,
        /// Only what is different from this one
        #[arg(long, value_name = "FILE")]
        present: Option<PathBuf>,
    },
}

#[derive(Args)]
#[command(group(ArgGroup::new("what").required(true).args(["draft", "install"])))]
pub struct Rotate {
    /// Write the next statement's claims here, to be edited and signed
    #[arg(long, value_name = "FILE")]
    draft: Option<PathBuf>,
    /// With --draft: make a new key for this use; the old one counts for an hour more
    #[arg(long, value_name = "USE", requires = "draft")]
    new_key: Vec<String>,
    /// With --draft: make a new key for this use; the old one, and what it signed, ends at once
    #[arg(long, value_name = "USE", requires = "draft")]
    drop_key: Vec<String>,
    /// Signed copies of one draft: put them together and in force; then restart the service
    #[arg(long, value_name = "FILE", num_args = 1..)]
    install: Vec<PathBuf>,
}

/// # Errors
/// What the command says on its way out.
pub fn command(dir: &Path, command: &Command) -> Result<(), Error> {
    let at = Layout::new(dir);
    match command {
        Command::Init { key } => {
            let (signer, pkcs8) = Signer::generate()?;
            files::create_secret(key, &pkcs8)?;
            say(&json(&signer.public().to_jwk())?);
            Ok(())
        }
        Command::Rotate(args) => match &args.draft {
            Some(file) => draft(&at, file, args),
            None => install(&at, &args.install),
        },
        Command::Sign { file, key, present } => add_signature(file, key, present.as_deref()),
        Command::Show { file, present } => show(
            &read(file.as_deref().unwrap_or(&at.trust()))?,
            present.as_deref(),
        ),
    }
}

/// The trust statements that followed the first, in order.
///
/// # Errors
/// [`Error::File`].
pub fn steps(at: &Layout) -> Result<Vec<String>, Error> {
    (2..)
        .map(|ver| step(at, ver))
        .take_while(|path| path.exists())
        .map(|path| read(&path))
        .collect()
}

fn step(at: &Layout, ver: u64) -> PathBuf {
    at.steps().join(format!("{ver}.json"))
}

fn read(path: &Path) -> Result<String, Error> {
    // A draft is indented, so it may be longer than what is signed.
    files::read_text(path, 4 * MAX_TRUST)
}

fn refused(path: &Path) -> impl FnOnce(statement::Refused) -> Error + '_ {
    |e| Error::Keys(format!("{}: {e}", path.display()))
}

fn json(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|e| Error::Keys(e.to_string()))
}

fn say(text: &str) {
    crate::out::say(format_args!("{text}"));
}

/// The trust statement in force.
fn present(at: &Layout) -> Result<VerifiedTrust, Error> {
    let path = at.trust();
    if !path.exists() {
        return Err(Error::NotInitialised(at.dir.clone()));
    }
    let doc = read(&path)?;
    let pin = statement::digest::sha256_b64(doc.as_bytes());
    trust::verify_first(&doc, &pin).map_err(refused(&path))
}

fn draft(at: &Layout, file: &Path, args: &Rotate) -> Result<(), Error> {
    let present = present(at)?;
    let now = clock::unix();
    let mut next = TrustClaims {
        trust_ver: present.claims().trust_ver + 1,
        prev: present.hash().to_owned(),
        iat: now,
        exp: now + MAX_TRUST_LIFE,
        carry: Vec::new(),
        ..present.claims().clone()
    };
    // Keys whose time is over bear nothing any more.
    next.keys.retain(|k| k.exp > now);
    for (name, at_once) in args
        .new_key
        .iter()
        .map(|n| (n, false))
        .chain(args.drop_key.iter().map(|n| (n, true)))
    {
        let (key_use, name) = *USES.iter().find(|(_, n)| n == name).ok_or_else(|| {
            let known: Vec<&str> = USES.iter().map(|(_, n)| *n).collect();
            Error::Keys(format!("no use {name:?}; uses are {}", known.join(", ")))
        })?;
        replace_key(at, &mut next, key_use, name, at_once, now)?;
    }
    for key in &mut next.keys {
        if key.exp == present.claims().exp {
            key.exp = next.exp;
        }
    }
    let text = serde_json::to_string_pretty(&next).map_err(|e| Error::Keys(e.to_string()))?;
    fs::write(file, text + "\n").map_err(Error::file(file))?;
    say(&format!(
        "{}: edit it, then have it signed by {} root keys: jit-issuer trust sign {} --key KEY",
        file.display(),
        present.claims().root.threshold,
        file.display()
    ));
    Ok(())
}

/// The private half waits beside the one in use until the trust statement names it.
fn replace_key(
    at: &Layout,
    next: &mut TrustClaims,
    key_use: Use,
    name: &str,
    at_once: bool,
    now: u64,
) -> Result<(), Error> {
    let dir = at.keys();
    let coming = keys::coming(name);
    let path = keys::file(&dir, &coming);
    if path.exists() {
        let kid = keys::load(&dir, &coming)?.kid().to_owned();
        if next.keys.iter().any(|k| kid_of(k).as_ref() == Some(&kid)) {
            // In force since the last rotation: now it is the old one.
            files::publish(&dir, &path, &keys::file(&dir, name))?;
        } else {
            fs::remove_file(&path).map_err(Error::file(&path))?;
        }
    }
    keys::generate(&dir, &coming)?;
    let public = keys::load(&dir, &coming)?.public();
    if at_once {
        next.keys.retain(|k| !k.uses.contains(&key_use));
    }
    for old in next.keys.iter_mut().filter(|k| k.uses.contains(&key_use)) {
        old.exp = old.exp.min(now + OVERLAP_S);
    }
    next.keys.push(TrustKey {
        jwk: public.to_jwk(),
        alg: public.alg().name().to_owned(),
        uses: vec![key_use],
        nbf: now.saturating_sub(OVERLAP_S),
        exp: next.exp,
    });
    Ok(())
}

fn kid_of(key: &TrustKey) -> Option<String> {
    statement::keys::PublicKey::from_jwk(&key.jwk)
        .ok()
        .map(|k| k.kid())
}

fn add_signature(file: &Path, key: &Path, present: Option<&Path>) -> Result<(), Error> {
    let text = read(file)?;
    let claims = trust::unverified(&text).map_err(refused(file))?;
    show(&text, present)?;
    let signer = Signer::from_pkcs8(&files::read_secret(key, 4096)?)
        .map_err(|e| Error::Keys(format!("{}: {e}", key.display())))?;
    // A draft becomes a statement by its first signature; its bytes are fixed from then on.
    let draft = serde_json::from_str::<TrustClaims>(&text).is_ok();
    let signed = if draft {
        sign::trust(&claims, &[&signer])?
    } else {
        sign::cosign(&text, &signer)?
    };
    let unfinished = file.with_extension("new");
    fs::write(&unfinished, &signed).map_err(Error::file(&unfinished))?;
    fs::rename(&unfinished, file).map_err(Error::file(file))?;
    say(&format!("Signed by root key {}.", signer.kid()));
    Ok(())
}

fn install(at: &Layout, copies: &[PathBuf]) -> Result<(), Error> {
    let docs = copies
        .iter()
        .map(|c| read(c))
        .collect::<Result<Vec<_>, _>>()?;
    let doc = sign::assemble(&docs)
        .ok_or_else(|| Error::Keys("these are not signed copies of one statement".to_owned()))?;
    let old = present(at)?;
    let new = trust::verify_next(&old, &doc).map_err(Error::OwnStatement)?;
    let claims = new.claims();
    if claims.exp <= clock::unix() {
        return Err(Error::Keys("its time is over: make a new draft".to_owned()));
    }
    if claims.epoch != old.claims().epoch {
        return Err(Error::Keys(
            "this issuer's store cannot begin a new epoch yet; hosts can".to_owned(),
        ));
    }
    for (key_use, name) in USES {
        let mine = [keys::coming(name), name.to_owned()];
        // An issuer need not be a witness.
        let unused = key_use == Use::Witness && new.ring().witnesses().is_empty();
        let held = unused
            || mine.iter().any(|n| {
                keys::load(&at.keys(), n).is_ok_and(|s| keys::may(&new.ring(), s.kid(), key_use))
            });
        if !held {
            return Err(Error::Keys(format!(
                "it names no {name} key that this issuer has"
            )));
        }
    }
    files::private_dir(&at.steps())?;
    // First the step, then the statement in force: a service never runs under one that hosts cannot reach.
    replace(&at.steps(), &step(at, claims.trust_ver), &doc)?;
    replace(&at.dir, &at.trust(), &doc)?;
    for line in words::changes(old.claims(), claims) {
        say(&line);
    }
    say(&format!(
        "Version {} is installed; restart the service: systemctl restart jit-issuer",
        claims.trust_ver
    ));
    Ok(())
}

fn replace(dir: &Path, path: &Path, text: &str) -> Result<(), Error> {
    let unfinished = path.with_extension("json.new");
    if unfinished.exists() {
        fs::remove_file(&unfinished).map_err(Error::file(&unfinished))?;
    }
    files::create_secret(&unfinished, text.as_bytes())?;
    files::publish(dir, &unfinished, path)
}

fn show(text: &str, present: Option<&Path>) -> Result<(), Error> {
    let claims = trust::unverified(text).map_err(|e| Error::Keys(e.to_string()))?;
    let lines = match present {
        None => words::all(&claims),
        Some(path) => words::changes(
            &trust::unverified(&read(path)?).map_err(refused(path))?,
            &claims,
        ),
    };
    lines.iter().for_each(|l| say(l));
    Ok(())
}
