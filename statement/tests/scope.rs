//! What a grant covers, ask by ask, in the terms of sudo's options and the attacks behind them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod world;

use statement::detail::{All, AllOr, Detail, Door};
use statement::scope::{Ask, covers};
use world::ask::{allowed, ask, command, edit, list, refused, restart};
use world::{bare, detail};

#[test]
fn exactly_the_command() {
    allowed(&restart(), ask());
    allowed(
        &restart(),
        Ask {
            argv: &[b"/usr/bin/systemctl", b"restart", b"nginx"],
            ..ask()
        },
    );
    for other in [
        &b"/bin/systemctl"[..],
        b"/usr/bin/systemctl2",
        b"/usr/bin/../bin/systemctl",
        b"/usr/bin/SYSTEMCTL",
        b"/usr/bin/",
    ] {
        refused(
            &restart(),
            Ask {
                command: other,
                ..ask()
            },
            "does not allow the command",
        );
    }
    refused(&bare(), ask(), "does not allow the command");
}

#[test]
fn exactly_the_arguments() {
    for argv in [
        &[&b"systemctl"[..]][..],
        &[b"systemctl", b"restart"],
        &[b"systemctl", b"restart", b"ssh"],
        &[b"systemctl", b"restart", b"nginx", b"ssh"],
        &[b"systemctl", b"restart", b"nginx", b""],
        &[b"systemctl", b"restart nginx"],
        &[b"systemctl", b"nginx", b"restart"],
        &[b"systemctl", b"--root=/tmp", b"restart", b"nginx"],
        &[b"systemctl", b"restart", b"nginx\n"],
        &[b"systemctl", b"restart", b"*"],
        &[b"systemctl", b"restart", b"nginx\xff"],
    ] {
        refused(&restart(), Ask { argv, ..ask() }, "with these arguments");
    }
    // Any of several lines may match, never a mixture of them.
    let two = Detail {
        commands: AllOr::List(vec![
            command("/usr/bin/systemctl", &["restart", "nginx"]),
            command("/usr/bin/systemctl", &["stop", "ssh"]),
        ]),
        ..bare()
    };
    allowed(&two, ask());
    allowed(
        &two,
        Ask {
            argv: &[b"systemctl", b"stop", b"ssh"],
            ..ask()
        },
    );
    refused(
        &two,
        Ask {
            argv: &[b"systemctl", b"restart", b"ssh"],
            ..ask()
        },
        "with these arguments",
    );
}

fn with<'a>(argv: &'a [&'a [u8]]) -> Ask<'a> {
    Ask { argv, ..ask() }
}

#[test]
fn a_star_counts_only_as_the_whole_last_argument() {
    let scoped = |args: &[&str]| Detail {
        commands: AllOr::List(vec![command("/usr/bin/systemctl", args)]),
        ..bare()
    };
    for argv in [
        &[&b"systemctl"[..], b"restart"][..],
        &[b"systemctl", b"restart", b"a"],
        &[b"systemctl", b"restart", b"a", b"b"],
    ] {
        allowed(&scoped(&["restart", "*"]), with(argv));
        allowed(&scoped(&["*"]), with(argv));
    }
    allowed(&scoped(&["*"]), with(&[b"systemctl"]));
    refused(
        &scoped(&["restart", "*"]),
        with(&[b"systemctl", b"stop", b"a"]),
        "arguments",
    );
    refused(
        &scoped(&["restart", "*"]),
        with(&[b"systemctl"]),
        "arguments",
    );
    refused(&scoped(&["restart", "ng*"]), ask(), "arguments");
    refused(&scoped(&["*", "nginx"]), ask(), "arguments");
    allowed(
        &scoped(&["*", "nginx"]),
        with(&[b"systemctl", b"*", b"nginx"]),
    );
    refused(&scoped(&["**"]), ask(), "arguments");
}

#[test]
fn a_program_cannot_be_called_by_another_name() {
    let busybox = Detail {
        commands: AllOr::List(vec![command("/bin/busybox", &["*"])]),
        ..bare()
    };
    let called = |argv: &'static [&'static [u8]]| Ask {
        command: b"/bin/busybox",
        argv,
        ..ask()
    };
    allowed(&busybox, called(&[b"busybox", b"ls"]));
    refused(&busybox, called(&[b"sh"]), "calls itself sh");
    refused(&busybox, called(&[b"-busybox"]), "calls itself -busybox");
    refused(&busybox, called(&[]), "no argument list");
    refused(&detail(), called(&[]), "no argument list");
}

#[test]
fn relative_commands_are_never_covered() {
    for command in [
        &b""[..],
        b"systemctl",
        b"./systemctl",
        b"../bin/id",
        b"usr/bin/id",
    ] {
        refused(&detail(), Ask { command, ..ask() }, "not an absolute path");
        refused(&restart(), Ask { command, ..ask() }, "not an absolute path");
    }
}

#[test]
fn all_commands_are_all_but_not_more() {
    let all = detail();
    allowed(&all, ask());
    allowed(
        &all,
        Ask {
            command: b"/tmp/x\xff",
            argv: &[b"anything", b"\xff"],
            ..ask()
        },
    );
    allowed(
        &all,
        Ask {
            shell: true,
            command: b"/bin/bash",
            argv: &[b"-bash"],
            ..ask()
        },
    );
    allowed(
        &all,
        Ask {
            runas_user: None,
            runas_uid: 4242,
            runas_group: Some(b"disk"),
            ..ask()
        },
    );
    allowed(
        &all,
        Ask {
            user_cwd_changed: true,
            cwd: Some(b"/root"),
            ..ask()
        },
    );
    allowed(
        &all,
        Ask {
            unusual: &[b"closefrom=3"],
            ..ask()
        },
    );
    allowed(
        &all,
        Ask {
            env: &[b"FOO=bar", b"LANG=/x", b"PATH=."],
            ..ask()
        },
    );
    allowed(&all, edit(&[b"/etc/shadow"]));
    refused(
        &all,
        Ask {
            chroot: Some(b"/srv"),
            ..ask()
        },
        "another root directory",
    );
    refused(
        &all,
        Ask {
            chroot: Some(b"/"),
            ..ask()
        },
        "another root directory",
    );
    refused(
        &all,
        Ask {
            door: Door::Su,
            ..ask()
        },
        "does not open su",
    );
}

#[test]
fn run_as() {
    let as_user = |users: &[&str]| Detail {
        runas: AllOr::List(list(users)),
        ..restart()
    };
    let asked = |name: Option<&'static [u8]>, uid: u32| Ask {
        runas_user: name,
        runas_uid: uid,
        ..ask()
    };
    allowed(&as_user(&["www-data"]), asked(Some(b"www-data"), 33));
    refused(
        &as_user(&["www-data"]),
        asked(Some(b"root"), 0),
        "run as user root",
    );
    refused(
        &as_user(&["www-data"]),
        asked(Some(b"www-data2"), 34),
        "run as user",
    );
    refused(&as_user(&[]), ask(), "run as user root");
    // By number only where the grant says a number.
    refused(&as_user(&["www-data"]), asked(None, 33), "run as user #33");
    allowed(&as_user(&["#33"]), asked(None, 33));
    allowed(&as_user(&["#33"]), asked(Some(b"www-data"), 33));
    allowed(&as_user(&["#33"]), asked(Some(b"#33"), 33));
    refused(&as_user(&["#33"]), asked(Some(b"#33"), 0), "run as user");
    refused(
        &as_user(&["#33"]),
        asked(Some(b"www-data"), 34),
        "run as user",
    );
    // A stranger that calls itself root, and root that calls itself a stranger.
    refused(&as_user(&["root"]), asked(Some(b"root"), 1), "run as user");
    refused(&as_user(&["root"]), asked(None, 0), "run as user");
    allowed(&as_user(&["#0"]), asked(Some(b"toor"), 0));
    // CVE-2019-14287.
    for all in [as_user(&["#4294967295"]), detail()] {
        refused(&all, asked(None, u32::MAX), "run as user #-1");
        refused(&all, asked(Some(b"root"), u32::MAX), "run as user #-1");
    }
    refused(
        &restart(),
        Ask {
            runas_group: Some(b"root"),
            ..ask()
        },
        "run as group root",
    );
    let any_group = Detail {
        runas: AllOr::All(All::All),
        ..restart()
    };
    allowed(
        &any_group,
        Ask {
            runas_group: Some(b"root"),
            ..ask()
        },
    );
}

#[test]
fn shells() {
    let shell = Ask {
        shell: true,
        command: b"/bin/bash",
        argv: &[b"-bash"],
        ..ask()
    };
    refused(&restart(), shell, "does not allow a shell");
    refused(
        &Detail {
            shell: false,
            ..detail()
        },
        shell,
        "does not allow a shell",
    );
    // Limits forbid this combination; the rule must hold without them.
    let listed = Detail {
        shell: true,
        commands: AllOr::List(vec![command("/bin/bash", &["*"])]),
        ..bare()
    };
    refused(
        &listed,
        Ask {
            argv: &[b"bash"],
            ..shell
        },
        "does not allow a shell",
    );
    // `sudo -s systemctl restart nginx` is a shell too.
    refused(
        &restart(),
        Ask {
            shell: true,
            ..ask()
        },
        "does not allow a shell",
    );
}

#[test]
fn sudoedit_is_about_the_files() {
    let one = Detail {
        sudoedit: list(&["/etc/nginx/nginx.conf"]),
        ..bare()
    };
    allowed(&one, edit(&[b"/etc/nginx/nginx.conf"]));
    allowed(
        &one,
        Ask {
            command: b"vim",
            argv: &[],
            ..edit(&[b"/etc/nginx/nginx.conf"])
        },
    );
    // CVE-2023-22809: one more file behind the editor's `--`.
    refused(
        &one,
        edit(&[b"/etc/nginx/nginx.conf", b"/etc/shadow"]),
        "edit /etc/shadow",
    );
    refused(&one, edit(&[b"/etc/shadow"]), "edit /etc/shadow");
    refused(
        &one,
        edit(&[b"/etc/nginx/../shadow"]),
        "edit /etc/nginx/../shadow",
    );
    refused(&one, edit(&[b"nginx.conf"]), "edit nginx.conf");
    refused(&one, edit(&[]), "edit this way");
    refused(&detail(), edit(&[]), "edit this way");
    refused(
        &one,
        Ask {
            shell: true,
            ..edit(&[b"/etc/nginx/nginx.conf"])
        },
        "edit this way",
    );
    refused(
        &one,
        Ask {
            runas_user: Some(b"www-data"),
            runas_uid: 33,
            ..edit(&[b"/etc/nginx/nginx.conf"])
        },
        "run as user",
    );
    refused(
        &one,
        Ask {
            chroot: Some(b"/srv"),
            ..edit(&[b"/etc/nginx/nginx.conf"])
        },
        "root directory",
    );
    // The editor as an allowed command edits nothing, and an allowed file runs nothing.
    let vim = Detail {
        commands: AllOr::List(vec![command("/usr/bin/vim", &["*"])]),
        ..bare()
    };
    refused(
        &vim,
        edit(&[b"/etc/nginx/nginx.conf"]),
        "edit /etc/nginx/nginx.conf",
    );
    refused(&one, ask(), "does not allow the command");
    let file = Ask {
        command: b"/etc/nginx/nginx.conf",
        argv: &[b"nginx.conf"],
        ..ask()
    };
    refused(&one, file, "does not allow the command");
}

#[test]
fn directories() {
    let asked = |dir: Option<&'static [u8]>| Ask {
        user_cwd_changed: true,
        cwd: dir,
        ..ask()
    };
    refused(
        &restart(),
        asked(Some(b"/home/alice")),
        "working directory /home/alice",
    );
    let srv = Detail {
        cwd: list(&["/srv"]),
        ..restart()
    };
    allowed(&srv, asked(Some(b"/srv")));
    allowed(&srv, ask());
    for other in [&b"/srv/"[..], b"/srv/x", b"/", b"srv", b"/srv/."] {
        refused(&srv, asked(Some(other)), "working directory");
    }
    refused(&srv, asked(None), "working directory");
}

#[test]
fn terminal_and_settings() {
    let tty = Detail {
        tty: true,
        ..detail()
    };
    allowed(&tty, ask());
    refused(
        &tty,
        Ask {
            has_tty: false,
            ..ask()
        },
        "terminal",
    );
    allowed(
        &detail(),
        Ask {
            has_tty: false,
            ..ask()
        },
    );
    refused(
        &restart(),
        Ask {
            unusual: &[b"remote_host=x"],
            ..ask()
        },
        "setting remote_host=x",
    );
}

#[test]
fn doors_that_know_no_command() {
    let empty = |door: Door| Ask {
        door,
        command: b"",
        argv: &[],
        env: &[],
        ..ask()
    };
    for door in [Door::Su, Door::Ssh, Door::Polkit] {
        let every = vec![Door::Sudo, Door::Su, Door::Ssh, Door::Polkit];
        allowed(
            &Detail {
                doors: every.clone(),
                ..detail()
            },
            empty(door),
        );
        refused(
            &Detail {
                doors: vec![Door::Sudo],
                ..detail()
            },
            empty(door),
            "does not open",
        );
        refused(
            &Detail {
                doors: vec![],
                ..detail()
            },
            empty(door),
            "does not open",
        );
        refused(
            &Detail {
                doors: every.clone(),
                ..restart()
            },
            empty(door),
            "cannot enforce",
        );
        refused(
            &Detail {
                doors: every.clone(),
                ..bare()
            },
            empty(door),
            "cannot enforce",
        );
        let no_shell = Detail {
            doors: every.clone(),
            shell: false,
            ..detail()
        };
        // Limits forbid a shell beside a list; the rule must hold without them.
        let listed = Detail {
            doors: every.clone(),
            shell: true,
            ..restart()
        };
        refused(&listed, empty(door), "cannot enforce");
        match door {
            Door::Polkit => allowed(&no_shell, empty(door)),
            _ => drop(refused(&no_shell, empty(door), "cannot enforce")),
        }
        let www = Detail {
            doors: every.clone(),
            runas: AllOr::List(list(&["www-data"])),
            ..detail()
        };
        refused(&www, empty(door), "run as user root");
        let edits = Ask {
            sudoedit: true,
            files: &[b"/etc/hosts"],
            ..empty(door)
        };
        refused(
            &Detail {
                doors: every,
                ..detail()
            },
            edits,
            "edit this way",
        );
    }
}

#[test]
fn sentences_cannot_be_forged() {
    let gap = refused(
        &restart(),
        Ask {
            command: b"/x\n\x1b[2Jok",
            ..ask()
        },
        "command",
    );
    assert_eq!(
        gap.to_string(),
        "the grant does not allow the command /x\\n\\x1b[2Jok"
    );
    let long = [b'/'; 5000];
    assert!(
        covers(
            &restart(),
            &Ask {
                command: &long,
                ..ask()
            }
        )
        .unwrap_err()
        .to_string()
        .len()
            < 300
    );
}
