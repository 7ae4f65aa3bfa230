//! `setup sudo --root DIR`: in the tree of an image. The image's own jitctl does it, inside, with the image's own sudo as its
//! judge, as dpkg runs a package's scripts below its `--root`.

use super::steps::failed;
use crate::failure::Failure;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

const JITCTL: &str = "/usr/bin/jitctl";

/// Returns only if the image cannot be entered or has no jitctl that runs here.
pub fn enter(image: &Path) -> Failure {
    let hint = "Install the packages in it first, for this machine's architecture.";
    let inside = nix::unistd::chroot(image).and_then(|()| nix::unistd::chdir("/"));
    if let Err(e) = inside {
        return failed(format!("{} cannot be entered: {e}.", image.display()), hint);
    }
    let error = Command::new(JITCTL)
        .args(without_root(std::env::args_os().skip(1)))
        .exec();
    failed(
        format!(
            "{JITCTL} of {} cannot be started: {error}.",
            image.display()
        ),
        hint,
    )
}

/// The same words without `--root DIR`.
fn without_root(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut words = words;
    while let Some(word) = words.next() {
        if word == "--root" {
            words.next();
        } else if !word.as_encoded_bytes().starts_with(b"--root=") {
            kept.push(word);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_told_the_same_but_its_own_place() {
        for words in [
            &["setup", "sudo", "--root", "/img", "--undo"][..],
            &["setup", "sudo", "--root=/img", "--undo"],
        ] {
            let words = words.iter().map(OsString::from);
            assert_eq!(without_root(words), ["setup", "sudo", "--undo"]);
        }
    }
}
