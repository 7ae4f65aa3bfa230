//! A right for one command of a wider one.

use super::{Gap, subset};
use crate::detail::{AllOr, Command, Detail};
use std::fmt;

/// Why there is no such right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotNarrow {
    /// The words are no command that can be asked for.
    Words(&'static str),
    /// The wider right does not give it.
    Gap(Gap),
}

impl fmt::Display for NotNarrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotNarrow::Words(why) => f.write_str(why),
            NotNarrow::Gap(gap) => write!(f, "the role does not cover that: {gap}"),
        }
    }
}

/// Exactly this command of what `wide` gives, and nothing else of it.
pub fn narrow(wide: &Detail, words: &[&str]) -> Result<Detail, NotNarrow> {
    let (path, args) = words
        .split_first()
        .ok_or(NotNarrow::Words("the command is empty"))?;
    if !path.starts_with('/') {
        return Err(NotNarrow::Words("give the command with its absolute path"));
    }
    if args.last() == Some(&"*") {
        return Err(NotNarrow::Words(
            "a last argument * would stand for any arguments; ask for the whole role instead",
        ));
    }
    let narrow = Detail {
        commands: AllOr::List(vec![Command {
            path: (*path).to_owned(),
            args: args.iter().map(|a| (*a).to_owned()).collect(),
        }]),
        shell: false,
        sudoedit: Vec::new(),
        ..wide.clone()
    };
    subset(&narrow, wide).map_err(NotNarrow::Gap)?;
    Ok(narrow)
}
