//! Asks of a door, and rights to hold against them.

use super::bare;
use statement::detail::{AllOr, Command, Detail, Door};
use statement::scope::{Ask, Gap, covers};

/// What sudo sets on a stock Debian.
pub const ENV: &[&[u8]] = &[
    b"HOME=/root",
    b"LANG=en_GB.UTF-8",
    b"LC_TIME=de_DE.UTF-8",
    b"LOGNAME=root",
    b"LS_COLORS=rs=0:di=01;34:*.tar=01;31",
    b"MAIL=/var/mail/root",
    b"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    b"SHELL=/bin/bash",
    b"SUDO_COMMAND=/usr/bin/systemctl restart nginx",
    b"SUDO_GID=1000",
    b"SUDO_HOME=/home/alice",
    b"SUDO_TTY=/dev/pts/0",
    b"SUDO_UID=1000",
    b"SUDO_USER=alice",
    b"TERM=xterm-256color",
    b"TZ=Europe/Berlin",
    b"USER=root",
    b"XAUTHORITY=/home/alice/.Xauthority",
];

pub fn ask() -> Ask<'static> {
    Ask {
        door: Door::Sudo,
        command: b"/usr/bin/systemctl",
        argv: &[b"systemctl", b"restart", b"nginx"],
        env: ENV,
        runas_user: Some(b"root"),
        runas_uid: 0,
        runas_group: None,
        cwd: Some(b"/home/alice"),
        user_cwd_changed: false,
        chroot: None,
        has_tty: true,
        shell: false,
        sudoedit: false,
        files: &[],
        unusual: &[],
    }
}

pub fn edit(files: &'static [&'static [u8]]) -> Ask<'static> {
    Ask {
        command: b"/usr/bin/vim",
        argv: &[b"vim", b"--", b"/etc/nginx/nginx.conf"],
        // The editor runs as the user, with all of his own environment.
        env: &[b"LD_PRELOAD=/home/alice/mine.so", b"EDITOR=vim", b"FOO=bar"],
        sudoedit: true,
        files,
        ..ask()
    }
}

pub fn command(path: &str, args: &[&str]) -> Command {
    Command {
        path: path.into(),
        args: args.iter().map(|a| (*a).into()).collect(),
    }
}

pub fn restart() -> Detail {
    Detail {
        commands: AllOr::List(vec![command("/usr/bin/systemctl", &["restart", "nginx"])]),
        ..bare()
    }
}

pub fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|i| (*i).to_owned()).collect()
}

#[track_caller]
pub fn refused(detail: &Detail, ask: Ask<'_>, says: &str) -> Gap {
    let gap = covers(detail, &ask).unwrap_err();
    assert!(gap.to_string().contains(says), "{gap}");
    gap
}

#[track_caller]
pub fn allowed(detail: &Detail, ask: Ask<'_>) {
    assert_eq!(covers(detail, &ask), Ok(()));
}
