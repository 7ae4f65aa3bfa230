//! A policy as one archive: the same files give the same bytes, wherever they lay.
//!
//! The archive is JSON, `{"v":1,"files":{"roles.toml":"…"}}`: only text, no paths to follow, no modes, times or links.

use crate::TEXT_MAX;
use crate::error::Fault;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Files of one policy.
const FILES: usize = 64;
const ROLES: &str = "roles.toml";
const ON_CALL: &str = "on-call.json";
const COMMIT: &str = "commit";
const APPROVERS: &str = "approvers/";

/// The files of a policy by their path below its folder. Made by [`crate::dir::read`] or from an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<String, String>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Archive {
    v: u32,
    files: BTreeMap<String, String>,
}

impl Files {
    /// Whether a path below the folder is of the policy; everything else there is not looked at.
    #[must_use]
    pub fn belongs(path: &str) -> bool {
        let name = |s: &str| {
            let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@');
            (1..=64).contains(&s.len()) && !s.starts_with('.') && s.bytes().all(word)
        };
        match path.strip_prefix(APPROVERS) {
            Some(group) => name(group),
            None => {
                matches!(path, ROLES | ON_CALL | COMMIT) || (name(path) && path.ends_with(".rego"))
            }
        }
    }

    /// Adds one file that [belongs](Self::belongs).
    ///
    /// # Errors
    /// Too long, or one too many.
    pub fn add(&mut self, path: &str, text: String) -> Result<(), Fault> {
        if text.len() > TEXT_MAX {
            let hint = format!("at most {TEXT_MAX} bytes");
            return Err(Fault::new(path, 0, "the file is too long", hint));
        }
        if self.0.len() >= FILES {
            let hint = format!("at most {FILES}");
            return Err(Fault::new(path, 0, "too many files", hint));
        }
        self.0.insert(path.to_owned(), text);
        Ok(())
    }

    /// A policy that is this `roles.toml` alone.
    #[must_use]
    pub fn of_roles(text: &str) -> Self {
        Self(BTreeMap::from([(ROLES.to_owned(), text.to_owned())]))
    }

    /// The text to sign and to keep: `roles.toml` when there is nothing else, or the archive.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self.0.get(ROLES) {
            Some(text) if self.0.len() == 1 => text.clone(),
            _ => self.archive(),
        }
    }

    fn archive(&self) -> String {
        let archive = Archive {
            v: 1,
            files: self.0.clone(),
        };
        // Maps of text always become JSON.
        serde_json::to_string(&archive).unwrap_or_default()
    }

    /// Reads what [`Self::to_text`] wrote. No TOML begins with a brace.
    ///
    /// # Errors
    /// An archive with a fault.
    pub fn from_text(text: &str) -> Result<Self, Fault> {
        if !text.starts_with('{') {
            return Ok(Self::of_roles(text));
        }
        let fault =
            |what: String| Fault::new("archive", 0, what, "make it with jitctl policy bundle");
        let archive: Archive = serde_json::from_str(text).map_err(|e| fault(e.to_string()))?;
        if archive.v != 1 {
            return Err(fault(format!("version {} is not known", archive.v)));
        }
        let mut files = Self::default();
        for (path, text) in archive.files {
            if !Self::belongs(&path) {
                return Err(fault(format!("{path:?} is no file of a policy")));
            }
            files.add(&path, text)?;
        }
        Ok(files)
    }

    /// SHA-256 of [`Self::to_text`], base64url.
    #[must_use]
    pub fn digest(&self) -> String {
        Self::digest_of_text(&self.to_text())
    }

    pub(crate) fn digest_of_text(text: &str) -> String {
        statement::digest::sha256_b64(text.as_bytes())
    }

    pub(crate) fn roles(&self) -> Result<&str, Fault> {
        let hint = "a policy is a folder with at least this file";
        self.get(ROLES)
            .ok_or_else(|| Fault::new(ROLES, 0, "there is no such file", hint))
    }

    pub(crate) fn on_call(&self) -> Option<&str> {
        self.get(ON_CALL)
    }

    pub(crate) fn approvers(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter();
        all.filter_map(|(path, text)| Some((path.strip_prefix(APPROVERS)?, text.as_str())))
    }

    pub(crate) fn has_rego(&self) -> bool {
        self.rego().next().is_some()
    }

    pub(crate) fn rego(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter();
        all.filter(|(path, _)| path.ends_with(".rego"))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The commit that the files are of. `git archive` writes it where `.gitattributes` says `commit export-subst`;
    /// in a work tree the placeholder still stands there, and nobody knows.
    pub(crate) fn commit(&self) -> Result<Option<String>, Vec<Fault>> {
        let Some(text) = self.get(COMMIT).map(str::trim) else {
            return Ok(None);
        };
        if text.starts_with("$Format:") {
            return Ok(None);
        }
        let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hex && matches!(text.len(), 40 | 64) {
            return Ok(Some(text.to_owned()));
        }
        let hint = "40 or 64 hexadecimal digits, or $Format:%H$ for git archive";
        Err(vec![Fault::new(COMMIT, 1, "not a commit", hint)])
    }

    fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }
}
