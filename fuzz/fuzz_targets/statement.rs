#![no_main]

#[path = "../checks/statement.rs"]
mod check;

use statement::sign::Signer;
use std::cell::LazyCell;

thread_local! {
    static SIGNER: LazyCell<Option<Signer>> = LazyCell::new(|| Signer::generate().ok().map(|made| made.0));
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| SIGNER.with(|signer| {
    if let Some(signer) = &**signer {
        check::statement(signer, bytes);
    }
}));
