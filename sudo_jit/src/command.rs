//! One command about to run: `command_info`, `run_argv` and `run_envp` turned into the question to the agent.

use crate::call::{Settings, number, value};
use wire::Text;
use wire::gate::{Door, Subject, Use};

/// What sudo resolved, as handed to the approval plugin's `check`.
#[derive(Clone, Debug, Default)]
pub struct Command<'a> {
    pub info: Vec<&'a [u8]>,
    pub argv: Vec<&'a [u8]>,
    pub envp: Vec<&'a [u8]>,
}

/// sudo's description of the command lacks something without which no scope can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclear {
    Command,
    RunAs,
    Files,
    TooLarge,
}

impl std::fmt::Display for Unclear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Command => "jit: refused, sudo does not say which command is to run.",
            Self::RunAs => "jit: refused, sudo does not say as whom the command is to run.",
            Self::Files => "jit: refused, sudo does not say which files are to be edited.",
            Self::TooLarge => {
                "jit: refused, command line and environment are too large to be recorded."
            }
        })
    }
}

fn texts(words: &[&[u8]]) -> Vec<Text> {
    words.iter().map(|w| Text(w.to_vec())).collect()
}

impl Command<'_> {
    /// The question for G3.
    ///
    /// # Errors
    /// [`Unclear`] when sudo's words leave open what would run.
    pub fn as_use(
        &self,
        subject: Subject,
        tty: Option<Text>,
        settings: &Settings,
    ) -> Result<Use, Unclear> {
        let info = |key| value(&self.info, key);
        let text = |key| info(key).map(|v| Text(v.to_vec()));
        let command = text("command")
            .filter(|c| !c.0.is_empty())
            .ok_or(Unclear::Command)?;
        let id = |key| info(key).and_then(number).ok_or(Unclear::RunAs);
        let sudoedit = info("sudoedit") == Some(b"true");
        let files = match sudoedit {
            // The targets are the last words of argv; `command` is the editor the caller chose.
            true => self.files().ok_or(Unclear::Files)?,
            false => &[],
        };
        Ok(Use {
            subject,
            door: Door::Sudo,
            command,
            argv: texts(&self.argv),
            env: texts(&self.envp),
            runas_user: text("runas_user"),
            runas_uid: id("runas_uid")?,
            runas_gid: id("runas_gid")?,
            runas_group: settings.runas_group.clone(),
            // Only a directory the caller chose: a login shell's home is not one.
            cwd: settings
                .cwd
                .as_ref()
                .map(|asked| text("cwd").unwrap_or_else(|| asked.clone())),
            chroot: text("chroot"),
            tty,
            shell: settings.shell,
            sudoedit,
            files: texts(files),
            unusual: settings.unusual.clone(),
            source: text("source"),
        })
    }

    fn files(&self) -> Option<&[&[u8]]> {
        let count = usize::try_from(number(value(&self.info, "sudoedit_nfiles")?)?).ok()?;
        // argv[0] is never a target.
        let first = self
            .argv
            .len()
            .checked_sub(count)
            .filter(|first| count > 0 && *first > 0)?;
        self.argv.get(first..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(
        info: &[&'static str],
        argv: &[&'static str],
        settings: &Settings,
    ) -> Result<Use, Unclear> {
        let bytes = |words: &[&'static str]| words.iter().map(|w| w.as_bytes()).collect();
        let command = Command {
            info: bytes(info),
            argv: bytes(argv),
            envp: vec![b"A=\xff"],
        };
        command.as_use(
            Subject {
                login: Text(b"alice".to_vec()),
                uid: 1000,
            },
            None,
            settings,
        )
    }

    const ROOT: [&str; 4] = [
        "command=/usr/bin/id",
        "runas_user=root",
        "runas_uid=0",
        "runas_gid=0",
    ];

    fn with(more: &[&'static str]) -> Vec<&'static str> {
        [&ROOT[..], more].concat()
    }

    #[test]
    fn a_plain_command_is_told_as_it_is() {
        let u = ask(&ROOT, &["id", "-u"], &Settings::default()).unwrap();
        assert_eq!(u.command.0, b"/usr/bin/id");
        assert_eq!(u.argv, [Text(b"id".to_vec()), Text(b"-u".to_vec())]);
        assert_eq!(u.env, [Text(b"A=\xff".to_vec())]);
        assert_eq!((u.runas_uid, u.runas_gid), (0, 0));
        assert_eq!(u.runas_user.unwrap().0, b"root");
        assert_eq!(
            (u.runas_group, u.cwd, u.chroot, u.source),
            (None, None, None, None)
        );
        assert!(!u.shell && !u.sudoedit && u.files.is_empty() && u.unusual.is_empty());
    }

    #[test]
    fn the_group_counts_only_when_the_caller_named_it() {
        let info = with(&["runas_group=adm"]);
        assert_eq!(
            ask(&info, &["id"], &Settings::default())
                .unwrap()
                .runas_group,
            None
        );
        let settings = Settings::parse(&[b"runas_group=adm"]);
        assert_eq!(
            ask(&info, &["id"], &settings)
                .unwrap()
                .runas_group
                .unwrap()
                .0,
            b"adm"
        );
    }

    #[test]
    fn the_directory_counts_only_when_the_caller_named_it() {
        let info = with(&[
            "cwd=/root",
            "cwd_optional=true",
            "chroot=/srv",
            "source=/etc/jit/sudoers:5:1",
        ]);
        let u = ask(&info, &["-bash"], &Settings::parse(&[b"login_shell=true"])).unwrap();
        assert!(u.shell);
        assert_eq!(u.cwd, None);
        assert_eq!(u.chroot.unwrap().0, b"/srv");
        assert_eq!(u.source.unwrap().0, b"/etc/jit/sudoers:5:1");
        let asked = Settings::parse(&[b"cmnd_cwd=~root"]);
        assert_eq!(
            ask(&info, &["id"], &asked).unwrap().cwd.unwrap().0,
            b"/root"
        );
        assert_eq!(
            ask(&ROOT, &["id"], &asked).unwrap().cwd.unwrap().0,
            b"~root"
        );
    }

    #[test]
    fn sudoedit_targets_are_the_last_words() {
        let edit =
            |n: &'static str, argv| ask(&with(&["sudoedit=true", n]), argv, &Settings::default());
        let u = edit("sudoedit_nfiles=2", &["vi", "--", "/etc/a", "/etc/b"]).unwrap();
        assert!(u.sudoedit);
        assert_eq!(
            u.files,
            [Text(b"/etc/a".to_vec()), Text(b"/etc/b".to_vec())]
        );
        for (n, argv) in [
            ("sudoedit_nfiles=0", &["vi", "--", "/etc/a"][..]),
            ("sudoedit_nfiles=2", &["vi", "/etc/a"]),
            ("sudoedit_nfiles=1", &["vi"]),
            ("sudoedit_nfiles=-1", &["vi", "/etc/a"]),
            ("sudoedit_nfiles=99999999999", &["vi", "/etc/a"]),
            ("sudoedit_checkdir=true", &["vi", "/etc/a"]),
            ("sudoedit_nfiles=1", &[]),
        ] {
            assert_eq!(edit(n, argv).unwrap_err(), Unclear::Files, "{n} {argv:?}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        let settings = Settings::default();
        assert_eq!(
            ask(&ROOT[1..], &["id"], &settings).unwrap_err(),
            Unclear::Command
        );
        assert_eq!(
            ask(
                &["command=", "runas_uid=0", "runas_gid=0"],
                &["id"],
                &settings
            )
            .unwrap_err(),
            Unclear::Command
        );
        assert_eq!(
            ask(&["command=/bin/id", "runas_gid=0"], &["id"], &settings).unwrap_err(),
            Unclear::RunAs
        );
        assert_eq!(
            ask(
                &["command=/bin/id", "runas_uid=-1", "runas_gid=0"],
                &["id"],
                &settings
            )
            .unwrap_err(),
            Unclear::RunAs
        );
        assert_eq!(
            ask(&["command=/bin/id", "runas_uid=0"], &["id"], &settings).unwrap_err(),
            Unclear::RunAs
        );
    }
}
