#![no_main]

#[path = "../checks/scope.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    check::scope(bytes);
});
