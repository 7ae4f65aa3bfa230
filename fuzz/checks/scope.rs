//! Any right and any ask: what no right covers is never covered, and a list covers only what is on it.

use statement::detail::{AllOr, Detail, Door};
use statement::scope::{Ask, covers};

/// Parts between zero bytes: the right as JSON, options, the command, then words; a word with `=` in it is a variable.
/// True when it was covered.
pub fn scope(bytes: &[u8]) -> bool {
    let mut parts = bytes.split(|b| *b == 0);
    let right = parts.next().unwrap_or_default();
    let Ok(right) = serde_json::from_slice::<Detail>(right) else {
        return false;
    };
    let options = parts.next().unwrap_or_default();
    let has = |letter: u8| options.contains(&letter);
    let command = parts.next().unwrap_or_default();
    let words: Vec<&[u8]> = parts.collect();
    let (env, argv): (Vec<&[u8]>, Vec<&[u8]>) = words.iter().partition(|w| w.contains(&b'='));
    let ask = Ask {
        door: if has(b'P') { Door::Polkit } else { Door::Sudo },
        command,
        argv: &argv,
        env: &env,
        runas_user: Some(if has(b'u') { b"bob" } else { b"root" }),
        runas_uid: if has(b'm') {
            u32::MAX
        } else {
            u32::from(has(b'u')) * 1002
        },
        runas_group: has(b'g').then_some(b"adm"),
        cwd: has(b'D').then_some(b"/srv"),
        user_cwd_changed: has(b'D'),
        chroot: has(b'R').then_some(b"/"),
        has_tty: has(b't'),
        shell: has(b's'),
        sudoedit: has(b'e'),
        files: if has(b'e') { &argv } else { &[] },
        unusual: &[],
    };
    if covers(&right, &ask).is_err() {
        return false;
    }
    assert!(right.doors.contains(&ask.door));
    assert!(ask.runas_uid != u32::MAX && ask.chroot.is_none());
    assert!(ask.has_tty || !right.tty);
    let AllOr::List(listed) = &right.commands else {
        return true;
    };
    assert!(!ask.shell && ask.door == Door::Sudo);
    if ask.sudoedit {
        let on_list = |file: &&[u8]| right.sudoedit.iter().any(|f| f.as_bytes() == *file);
        assert!(!argv.is_empty() && argv.iter().all(on_list));
        return true;
    }
    assert!(
        env.iter()
            .all(|e| !e.starts_with(b"LD_") && !e.starts_with(b"PYTHON"))
    );
    // Said in other words than the code's: the listed words and the given ones are one text, up to the star.
    let given: Vec<&[u8]> = argv[1..].to_vec();
    let on_list = |c: &&statement::detail::Command| {
        let star = c.args.last().is_some_and(|a| a == "*");
        let fixed = c.args.len() - usize::from(star);
        let same = given
            .iter()
            .take(fixed)
            .copied()
            .eq(c.args[..fixed].iter().map(String::as_bytes));
        c.path.as_bytes() == command && same && (star || given.len() == fixed)
    };
    assert!(command.starts_with(b"/") && listed.iter().any(|c| on_list(&c)));
    true
}
