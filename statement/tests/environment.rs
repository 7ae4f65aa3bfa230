//! Which environment variables a grant covers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod world;

use statement::detail::Detail;
use statement::scope::{Ask, Gap, covers};
use world::ask::{ENV, allowed, ask, list, refused, restart};
use world::detail;

#[test]
fn variables_that_load_code_are_never_covered() {
    let entries: &[&[u8]] = &[
        b"LD_PRELOAD=/tmp/x.so",
        b"LD_=",
        b"LD_LIBRARY_PATH=",
        b"LD_AUDIT=x",
        b"GCONV_PATH=/tmp",
        b"GLIBC_TUNABLES=x",
        b"BASH_ENV=/tmp/x",
        b"ENV=/tmp/x",
        b"SHELLOPTS=xtrace",
        b"PS4=$(id)",
        b"BASH_FUNC_ls%%=() { id; }",
        b"IFS=x",
        b"PERL5LIB=/tmp",
        b"PERL5OPT=-M",
        b"PYTHONPATH=/tmp",
        b"PYTHONSTARTUP=x",
        b"RUBYOPT=-r",
        b"NODE_OPTIONS=--require",
        b"JAVA_TOOL_OPTIONS=-agent",
        b"GIT_CONFIG_COUNT=1",
        b"GIT_CONFIG=x",
        b"OPENSSL_CONF=/tmp/x",
        b"KRB5_CONFIG=/tmp/x",
        b"HOSTALIASES=/tmp/x",
        b"TERM=() { :;}; id",
        b"FOO=() { :;}; id",
    ];
    // Limits refuse most of these names in `env`; the rule must hold without them.
    let names = list(&[
        "LD_PRELOAD",
        "BASH_ENV",
        "GCONV_PATH",
        "FOO",
        "TERM",
        "PYTHONPATH",
        "IFS",
        "ENV",
    ]);
    for entry in entries {
        let env = [&[*entry][..], ENV].concat();
        for grant in [
            detail(),
            restart(),
            Detail {
                env: names.clone(),
                ..restart()
            },
        ] {
            refused(
                &grant,
                Ask { env: &env, ..ask() },
                "no grant allows the environment variable",
            );
        }
    }
    for entry in [&b"LD_PRELOAD"[..], b"=x", b"", b"="] {
        refused(
            &detail(),
            Ask {
                env: &[entry],
                ..ask()
            },
            "without a name",
        );
    }
    // Near misses.
    allowed(
        &detail(),
        Ask {
            env: &[
                b"LDX=1",
                b"MY_LD_PRELOAD=1",
                b"ld_preload=1",
                b"GCONV=1",
                b"LOADER=x",
            ],
            ..ask()
        },
    );
}

#[test]
fn variables_of_scoped_grants() {
    let with = |entry: &'static [u8]| [&[entry][..], ENV].concat();
    let asked = |entry: &'static [u8], grant: &Detail| {
        covers(
            grant,
            &Ask {
                env: &with(entry),
                ..ask()
            },
        )
    };
    for other in [
        &b"FOO=bar"[..],
        b"EDITOR=vi",
        b"http_proxy=x",
        b"LESSOPEN=|x",
        b"PAGER=x",
        b"home=/tmp",
        b"SYSTEMD_PAGER=x",
        b"HOMEX=1",
        b"SUDO_PS1=x",
    ] {
        assert!(
            matches!(asked(other, &restart()), Err(Gap::Variable(_))),
            "{}",
            other.escape_ascii()
        );
    }
    let listed = Detail {
        env: list(&["EDITOR", "LANG"]),
        ..restart()
    };
    assert_eq!(asked(b"EDITOR=vi", &listed), Ok(()));
    assert_eq!(asked(b"LANG=/listed/as/it/is", &listed), Ok(()));
    assert!(asked(b"EDITORS=vi", &listed).is_err());
    for bad in [
        &b"LANG=/tmp/x"[..],
        b"LC_ALL=%n",
        b"LANGUAGE=../x",
        b"TERM=/tmp/x",
        b"COLORTERM=%s",
        b"TZ=/etc/shadow",
        b"TZ=:/etc/shadow",
        b"TZ=../../x",
        b"TZ=a b",
        b"TZ=a/..",
        b"TZ=a\n",
        b"PATH=",
        b"PATH=/bin:",
        b"PATH=/bin::/sbin",
        b"PATH=.:/bin",
        b"PATH=bin",
        // Without secure_path sudo hands on what the caller has.
        b"PATH=/home/alice/bin:/usr/bin",
        b"PATH=/usr/bin:/tmp",
        b"PATH=/usr/bin/",
        b"PATH=/usr/bin/../../tmp",
        b"PATH=/opt/tools/bin",
    ] {
        assert!(
            matches!(asked(bad, &restart()), Err(Gap::VariableValue(_))),
            "{}",
            bad.escape_ascii()
        );
    }
    let own_path = Detail {
        env: list(&["PATH"]),
        ..restart()
    };
    assert_eq!(asked(b"PATH=/opt/tools/bin", &own_path), Ok(()));
    for good in [
        &b"TZ=:Europe/Berlin"[..],
        b"PATH=/sbin:/bin:/usr/sbin:/usr/bin",
        b"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin",
        b"TZ=CET-1CEST,M3.5.0,M10.5.0/3",
        b"TZ=",
        b"LC_ALL=C",
        b"TERM=screen.xterm-new",
        b"KRB5CCNAME=FILE:/tmp/krb5cc_1000",
        b"PS1=\\u@\\h$ ",
    ] {
        assert_eq!(asked(good, &restart()), Ok(()), "{}", good.escape_ascii());
    }
}
