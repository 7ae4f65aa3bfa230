//! The checks of the fuzz targets, fed for a bounded time with what is nearly right.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

#[path = "../../fuzz/checks/scope.rs"]
mod scope;
#[path = "../../fuzz/checks/statement.rs"]
mod statement_check;
mod world;

use proptest::prelude::*;
use statement::detail::{AllOr, Command, Detail};
use statement::sign::Signer;

/// Good bytes with some of them changed, removed, doubled.
fn spoiled(good: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), any::<u8>(), 0..4u8);
    prop::collection::vec(edit, 0..4).prop_map(move |edits| {
        let mut bytes = good.clone();
        for (at, byte, how) in edits {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[at]),
            }
        }
        bytes
    })
}

fn right() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec!["a", "b", "*", "", "a b"]);
    let args = prop::collection::vec(word, 0..3);
    let commands = prop::collection::vec((prop::sample::select(vec!["/x", "/y/z"]), args), 0..3);
    (commands, any::<bool>(), any::<bool>()).prop_flat_map(|(commands, full, tty)| {
        let command = |(path, args): (&str, Vec<&str>)| Command {
            path: path.to_owned(),
            args: args.into_iter().map(str::to_owned).collect(),
        };
        let list = AllOr::List(commands.into_iter().map(command).collect());
        let right = Detail {
            commands: if full { world::detail().commands } else { list },
            sudoedit: vec!["/x".to_owned()],
            env: vec!["A".to_owned()],
            cwd: vec!["/srv".to_owned()],
            tty,
            ..world::bare()
        };
        let good = serde_json::to_vec(&right).unwrap();
        prop_oneof![9 => Just(good.clone()), 1 => spoiled(good)]
    })
}

fn asked() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "x", "a", "b", "*", "", "a b", "A=1", "LD_A=1", "B=2", "/x", "TZ=UTC",
    ]);
    let command = prop::sample::select(vec!["/x", "/y/z", "x", "", "/x/"]);
    (
        right(),
        "[PumgDRtse]{0,2}",
        command,
        prop::collection::vec(word, 0..4),
    )
        .prop_map(|(right, options, command, words)| {
            let mut parts = vec![right, options.into_bytes(), command.as_bytes().to_vec()];
            parts.push(
                command
                    .rsplit('/')
                    .next()
                    .unwrap_or_default()
                    .as_bytes()
                    .to_vec(),
            );
            parts.extend(words.iter().map(|w| w.as_bytes().to_vec()));
            parts.join(&0)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_scope_covers_nothing_it_must_not(bytes in asked()) {
        scope::scope(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_statement_is_refused_or_within_its_limits(
        spoiled in spoiled(serde_json::to_vec(&world::request()).unwrap()), noise in any::<Vec<u8>>(),
    ) {
        let signer = Signer::generate().unwrap().0;
        statement_check::statement(&signer, &spoiled);
        statement_check::statement(&signer, &noise);
    }
}

/// So that the first property speaks of something.
#[test]
fn the_asks_are_covered_now_and_then() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let covered = (0..2000)
        .filter(|_| scope::scope(&asked().new_tree(&mut runner).unwrap().current()))
        .count();
    assert!(covered > 20, "{covered}");
}
