//! Link options of the plugin.

use std::io::Write;

fn main() -> std::io::Result<()> {
    let mut cargo = std::io::stdout();
    // nodelete: sudo closes and reopens plugins, while a Rust library cannot be unloaded safely (thread-local
    // destructors and the panic hook would point into nothing). relro, now: no writable function pointers of
    // the linker in a root process.
    for option in ["nodelete", "relro", "now"] {
        writeln!(cargo, "cargo:rustc-cdylib-link-arg=-Wl,-z,{option}")?;
    }
    writeln!(cargo, "cargo:rerun-if-changed=build.rs")
}
