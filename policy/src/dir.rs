//! The one file that reads files: a policy's folder.

use crate::TEXT_MAX;
use crate::bundle::Files;
use crate::error::Fault;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// Signatures over the archive, one a file; not part of it.
const REVIEWS: &str = "reviews";

/// Reads a folder, or `roles.toml` alone, or an archive.
///
/// # Errors
/// What cannot be read, is too long or is no text.
pub fn read(at: &Path) -> Result<Files, Fault> {
    if at.is_dir() {
        return folder(at);
    }
    let shown = at.display().to_string();
    // An archive holds many files, and JSON makes them longer.
    let text = text(at, &shown, 64 * TEXT_MAX)?;
    Files::from_text(&text)
}

fn folder(dir: &Path) -> Result<Files, Fault> {
    let mut files = Files::default();
    for below in ["", "approvers/"] {
        let at = dir.join(below);
        if !at.is_dir() {
            continue;
        }
        for name in names(&at)? {
            let path = format!("{below}{name}");
            let whole = dir.join(&path);
            if Files::belongs(&path) && whole.is_file() {
                files.add(&path, text(&whole, &path, TEXT_MAX)?)?;
            }
        }
    }
    Ok(files)
}

/// The signatures of a folder over its archive, for [`crate::approvers::Approvers::signed`].
///
/// # Errors
/// What cannot be read.
pub fn reviews(dir: &Path) -> Result<Vec<String>, Fault> {
    let at = dir.join(REVIEWS);
    if !at.is_dir() {
        return Ok(Vec::new());
    }
    let sigs = names(&at)?.into_iter().filter(|n| n.ends_with(".sig"));
    sigs.map(|name| text(&at.join(&name), &format!("{REVIEWS}/{name}"), 8192))
        .collect()
}

/// In the order of their bytes. A name that is no text is nothing of ours.
fn names(dir: &Path) -> Result<Vec<String>, Fault> {
    let shown = dir.display().to_string();
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| unreadable(&shown, &e))? {
        let entry = entry.map_err(|e| unreadable(&shown, &e))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

fn text(at: &Path, shown: &str, max: usize) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    File::open(at)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|e| unreadable(shown, &e))?;
    if bytes.len() > max {
        let hint = format!("at most {max} bytes");
        return Err(Fault::new(shown, 0, "the file is too long", hint));
    }
    String::from_utf8(bytes)
        .map_err(|_| Fault::new(shown, 0, "the file is not UTF-8 text", "save it as UTF-8"))
}

fn unreadable(shown: &str, e: &io::Error) -> Fault {
    Fault::new(
        shown,
        0,
        format!("it cannot be read: {e}"),
        "check the path and its owner",
    )
}
