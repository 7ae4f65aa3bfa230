//! `jit-issuer init`: keys, trust statement, empty store. Can be cut off anywhere and run again.
//!
//! State directory, 0700: `keys/*.pk8` 0600, `trust.json` (made last: it means "initialised"), `issuer.db`, `lock`.

use crate::clock;
use crate::error::Error;
use crate::files;
use crate::keys::{self, ROOT, USES};
use crate::store::Sqlite;
use statement::claims::Jwk;
use statement::detail::{All, AllOr};
use statement::digest::sha256_b64;
use statement::limits::MAX_TRUST_LIFE;
use statement::sign;
use statement::trust::{self, Root, Rules, TrustClaims, TrustKey};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Files of a state directory.
#[derive(Clone, Debug)]
pub struct Layout {
    pub dir: PathBuf,
}

impl Layout {
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.dir.join("keys")
    }

    #[must_use]
    pub fn trust(&self) -> PathBuf {
        self.dir.join("trust.json")
    }

    /// Trust statements that followed the first, one file each: hosts need every step.
    #[must_use]
    pub fn steps(&self) -> PathBuf {
        self.dir.join("trust")
    }

    #[must_use]
    pub fn db(&self) -> PathBuf {
        self.dir.join("issuer.db")
    }
}

/// What `init` found or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    Made,
    WasThere,
}

/// Makes what is missing. Statements name the issuer `spiffe://<trust domain>/issuer`.
///
/// # Errors
/// [`Error::AlreadyInitialised`] unless `if_missing`; [`Error::InUse`], [`Error::File`], [`Error::Exposed`],
/// [`Error::OwnStatement`] for a trust domain that makes no id.
pub fn init(dir: &Path, trust_domain: &str, if_missing: bool) -> Result<Done, Error> {
    let at = Layout::new(dir);
    files::private_dir(dir)?;
    if at.trust().exists() {
        return if if_missing {
            Ok(Done::WasThere)
        } else {
            Err(Error::AlreadyInitialised(dir.to_owned()))
        };
    }
    let _lock = files::lock(dir)?;
    make_keys(&at)?;
    make_trust(&at, trust_domain)?;
    Ok(Done::Made)
}

/// The keys appear all at once: a directory with some of them is never called `keys`.
fn make_keys(at: &Layout) -> Result<(), Error> {
    if at.keys().exists() {
        return Ok(());
    }
    let unfinished = at.dir.join("keys.new");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(Error::file(&unfinished))?;
    }
    files::private_dir(&unfinished)?;
    keys::generate(&unfinished, ROOT)?;
    for (_, name) in USES {
        keys::generate(&unfinished, name)?;
    }
    files::sync_dir(&unfinished)?;
    files::publish(&at.dir, &unfinished, &at.keys())
}

fn make_trust(at: &Layout, trust_domain: &str) -> Result<(), Error> {
    let now = clock::unix();
    let exp = now + MAX_TRUST_LIFE;
    let root = keys::load(&at.keys(), ROOT)?;
    let keys = USES
        .iter()
        .map(|(key_use, name)| {
            let public = keys::load(&at.keys(), name)?.public();
            Ok(TrustKey {
                jwk: public.to_jwk(),
                alg: public.alg().name().to_owned(),
                uses: vec![*key_use],
                // A machine's first clock may be ahead; a day's margin lets it be set right.
                nbf: now.saturating_sub(86_400),
                exp,
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let root_keys: Vec<Jwk> = vec![root.public().to_jwk()];
    let claims = TrustClaims {
        ver: 1,
        iss: format!("spiffe://{trust_domain}/issuer"),
        iat: now,
        trust_ver: 1,
        epoch: 1,
        exp,
        prev: sha256_b64(b""),
        keys,
        root: Root {
            keys: root_keys,
            threshold: 1,
        },
        // The root key lies beside the grant key: a list here would promise a separation that is not there.
        rules: Rules {
            automatic: AllOr::All(All::All),
            approval: BTreeMap::new(),
            self_approval: Vec::new(),
        },
        people: Vec::new(),
        carry: Vec::new(),
    };
    let doc = sign::trust(&claims, &[&root])?;
    trust::verify_first(&doc, &sha256_b64(doc.as_bytes())).map_err(Error::OwnStatement)?;

    if !at.db().exists() {
        // SQLite gives its side files the mode of this one.
        files::create_secret(&at.db(), b"")?;
    }
    drop(Sqlite::open(&at.db())?);

    let unfinished = at.dir.join("trust.json.new");
    match fs::remove_file(&unfinished) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::file(&unfinished)(e));
        }
        _ => {}
    }
    files::create_secret(&unfinished, doc.as_bytes())?;
    files::publish(&at.dir, &unfinished, &at.trust())
}

/// The trust domain of an issuer on one box: `local.<machine-id>` (machine-id(5)).
///
/// # Errors
/// [`Error::File`], [`Error::Config`] for a file without 32 hexadecimal digits.
pub fn local_trust_domain(machine_id: &Path) -> Result<String, Error> {
    let text = files::read_text(machine_id, 64)?;
    let id = text.trim_end();
    if id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        Ok(format!("local.{id}"))
    } else {
        Err(Error::Config {
            path: machine_id.to_owned(),
            why: "no machine id of 32 hexadecimal digits".to_owned(),
        })
    }
}
